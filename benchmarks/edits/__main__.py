"""The command: `python -m benchmarks.edits [--json FILE] [EDIT ...]`."""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.edits.copies import EDITS, replayed_under
from benchmarks.edits.inside import CHANGES, SAME
from benchmarks.edits.recorded import FORMS, record, sensitive
from scenarios.mutation import ALL

__all__ = ["main", "table"]

Verdicts = Mapping[str, Mapping[str, str]]  # by mutant, then by form

_PROCESSES: Final = 2


def table(found: Mapping[str, Verdicts], names: Sequence[str]) -> Iterator[str]:
    """How many of these mutants each form finds again, an edit a row; in brackets, how many nearby.

    Nearby: not in the recorded run itself, but in one of those that a replay tries after it.
    """
    yield f"| edit | {' | '.join(FORMS.values())} |"
    yield "|---|" + "---|" * len(FORMS)
    for edit, verdicts in found.items():
        cells = [_count([verdicts[name][form] for name in names]) for form in FORMS]
        yield f"| {edit or 'none'} | {' | '.join(cells)} |"


def _count(words: Sequence[str]) -> str:
    same = sum(word.startswith(SAME) for word in words)
    near = same - sum(word == SAME for word in words)
    return f"{same} ({near})" if near else str(same)


def _lost(found: Mapping[str, Verdicts]) -> Iterator[str]:
    """What our own forms do not find again, or only nearby; and what an edit itself breaks."""
    for edit, verdicts in found.items():
        for name, words in verdicts.items():
            for form in ("kept", "found", "seed"):
                if words[form] != SAME:
                    word = "NEARBY" if words[form].startswith(SAME) else "LOST"
                    yield f"{word:<10} {edit}: {name}, {form}: {words[form]}"
            if words["sound"] != found[""][name]["sound"]:
                yield f"SOUND      {edit}: {name}: without the mutant, {words['sound']} violated"


def main(arguments: Sequence[str] | None = None) -> int:
    """Record, replay under each edit, print; 1 if one is lost over code that is not about it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__)
    parser.add_argument("edits", nargs="*", metavar="EDIT", help=f"of {', '.join(EDITS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all verdicts there")
    chosen = parser.parse_args(arguments)
    for name in chosen.edits:
        if name not in EDITS:
            parser.error(f"EDIT: got {name!r}, expected one of {', '.join(EDITS)}")
    edits = ("", *(chosen.edits or EDITS))
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("spawn")) as pool:
        print("recording ...", file=sys.stderr, flush=True)
        records = list(pool.map(record, ALL, chunksize=4))
        print("replaying ...", file=sys.stderr, flush=True)
        replays = pool.map(partial(replayed_under, records=records), edits)
        found = {
            edit: {words["name"]: words for words in verdicts}
            for edit, verdicts in zip(edits, replays, strict=True)
        }
    few = sensitive(records)
    print(f"The {len(few)} most sensitive to the schedule: {', '.join(few)}\n")
    for names in (few, list(ALL)):
        print(f"Of {len(names)}:\n")
        for line in table(found, names):
            print(line)
        print()
    lost = list(_lost(found))
    for line in lost:
        print(line)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if any(_must_survive(line) for line in lost) else 0


def _must_survive(line: str) -> bool:
    """Whether a failure is lost over an edit that is no part of its race."""
    return (
        line.startswith("LOST")
        and "racing" not in line
        and not any(f"{change}:" in line for change in CHANGES if change)
    )


if __name__ == "__main__":
    sys.exit(main())
