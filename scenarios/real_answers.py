"""Every LogQL plan over a million rows, on the real runners: `python -m scenarios.real_answers`.

The lines of `tests/data` are varied and repeated, from ten minutes before the hour that the plans
ask for to five minutes after it, and become buckets of one, two and eight sections.  Each plan of
`tests/data/logql.jsonl` is bound to them and runs on a LocalRunner and on a DaskRunner with two
worker processes.  A run is right if its reader gets the rows that the plan gives in one process.

These rows do not depend on the cut into sections: the lines are the same, no two have the same
time, and so no TopK leaves anything open.  So they are computed once for a plan, over one section.
Plans that differ only in what they read are one plan once they are bound to a bucket: they have
their answer in common too.

Prints a line for each plan.  Exits with 1 if a run is wrong, and tells how to see it again.
"""

import argparse
import json
import resource
import shlex
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from properties.oracle import Answer, same_answer
from properties.real_answer import right_answer
from scenarios.answers import TARGETS, one_to_a_million, told
from scenarios.data import Limits, Store, rebind
from scenarios.data.importing import reader
from scenarios.data.lines import BadLine
from scenarios.data.source import numbered_lines
from scenarios.data.varied import varied_lines
from scenarios.inputs import InputError, NamedPlan, load_plans
from scenarios.processes import fresh_processes
from scenarios.runners import Make, Room, close_runner, runner_named
from workflow import Identifiers, Plan, Workflow, plan_to_json
from workflow.objects import Bucket
from workflow.raised import text_of
from workflow.runners.reading import read
from workflow.times import Timestamp

__all__ = ["Found", "Try", "describe", "main", "real_answers"]

ROWS: Final = 1_000_000
RUNNERS: Final = ("local", "dask")
PATIENCE: Final = 900.0  # seconds for a run, then it is given up

_PLANS: Final = Path("tests/data/logql.jsonl")
_LINES: Final = Path("tests/data/input.jsonl")
_FIRST: Final = Timestamp.parse("2024-12-31T23:50:00Z").ns
_LAST: Final = Timestamp.parse("2025-01-01T01:05:00Z").ns
_FEW: Final = 50_000  # rows that one process may have again and again


@dataclass(frozen=True, slots=True)
class Try:
    """A plan on a runner, over so many sections."""

    runner: str
    sections: int
    seconds: float
    wrong: str  # "": nothing


@dataclass(slots=True)
class Found:
    """What was seen of a plan."""

    plan: NamedPlan
    rows: int  # of the right answer
    seconds: float | None  # that it took; None: it was known from a plan before
    tries: list[Try] = field(default_factory=list)


@dataclass(slots=True)
class _Right:
    """The right answers, by the plan as it reads the whole bucket."""

    bucket: Path
    pool: Executor
    known: dict[str, Answer | str] = field(default_factory=dict)

    def of(self, plan: Plan) -> tuple[Answer | str, float | None]:
        """The answer, or why there is none, and the seconds that it took; None: it was known."""
        bound = rebind(plan, Bucket(self.bucket).sections())
        text = json.dumps(plan_to_json(bound))
        if text in self.known:
            return self.known[text], None
        self.known[text], seconds = self.pool.submit(_answered, bound, self.bucket).result()
        return self.known[text], seconds


def _answered(plan: Plan, bucket: Path) -> tuple[Answer | str, float]:
    begun = monotonic()
    return right_answer(plan, Bucket(bucket)), monotonic() - begun


def _make_bucket(place: Path, rows: int, sections: int) -> None:
    """Lines as the plans want them, each section an object of its own.  Raises InputError."""
    limits = Limits()
    parse = reader("jsonl", limits=limits, labels={})
    given = []
    for number, text in numbered_lines(str(_LINES), limits):
        try:
            if isinstance(text, BadLine):
                raise text
            given.append(parse(text))
        except BadLine as error:
            raise InputError(f"{_LINES}:{number}", str(error)) from None
    with Store(place, sections=sections, section_rows=rows) as store:
        for line in varied_lines(given, rows, first=_FIRST, last=_LAST):
            store.add(line)
        store.finish()


def real_answers(
    chosen: Sequence[NamedPlan],
    runners: Mapping[str, Make],
    *,
    folder: Path,
    rows: int = ROWS,
    sections: Sequence[int] = TARGETS,
    patience: float = PATIENCE,
) -> Iterator[Found]:
    """What each plan came to, one after the other; the buckets are made below `folder`.

    ``patience``: seconds after which a run is given up.  Raises InputError.
    """
    buckets = {count: folder / f"{count}-sections" for count in dict.fromkeys((1, *sections))}
    # The right answer takes more memory than all that is tested: the system gets it back.
    with fresh_processes(1, once=rows > _FEW) as pool:
        for count, place in buckets.items():
            pool.submit(_make_bucket, place, rows, count).result()
        known = _Right(buckets[1], pool)
        for named in chosen:
            right, seconds = known.of(named.plan)
            size = len(right.rows) + right.low if isinstance(right, Answer) else 0
            found = Found(named, size, seconds)
            for name, make in runners.items():
                for count in sections:
                    begun = monotonic()
                    wrong = _wrong(named.plan, right, make, Bucket(buckets[count]), patience)
                    found.tries.append(Try(name, count, monotonic() - begun, wrong))
            yield found


def _wrong(plan: Plan, right: Answer | str, make: Make, bucket: Bucket, patience: float) -> str:
    """What is wrong with a run; "" if nothing is."""
    bound = rebind(plan, bucket.sections())
    runner = make(bucket)
    workflow = Workflow(bound, runner, ids=Identifiers("real answers"))
    late = threading.Event()

    def give_up() -> None:
        late.set()
        workflow.close()

    timer = threading.Timer(patience, give_up)
    timer.daemon = True
    try:
        timer.start()
        batches = list(read(workflow.run()))
    except Exception as error:  # noqa: BLE001 - whatever ended the results
        given_up = f"given up after {patience:g} s: " if late.is_set() else ""
        return f"{given_up}{type(error).__name__}: {text_of(error)}"
    finally:
        timer.cancel()
        timer.join()  # it may be at it already
        workflow.close()
        close_runner(runner)
    if isinstance(right, str):
        return right
    return str(same_answer(right, Answer.from_batches(batches)) or "")


def describe(found: Found) -> str:
    """A line: the rows of the answer, then each runner over each number of sections."""
    took = "as above" if found.seconds is None else f"{found.seconds:6.1f} s"
    words = [f"{found.plan.name:<18}  {found.rows:>7,} rows  oracle {took}"]
    for runner in dict.fromkeys(each.runner for each in found.tries):
        words.append(runner)
        words += [
            f"{each.sections}: {'WRONG' if each.wrong else 'right'} {each.seconds:5.1f} s"
            for each in found.tries
            if each.runner == runner
        ]
    return "  ".join((*words, found.plan.query))


def _again(found: Found, tried: Try, rows: int) -> str:
    words = ["python", "-m", "scenarios.real_answers", "--plans", found.plan.name]
    words += ["--runner", tried.runner, "--sections", str(tried.sections), "--rows", str(rows)]
    return shlex.join(words)


def _plans(names: Sequence[str]) -> list[NamedPlan]:
    """The plans of these names, or all of them.  Raises InputError."""
    found = []
    for each in load_plans(str(_PLANS)):
        if not isinstance(each, NamedPlan):
            raise each.error
        found.append(each)
    known = [each.name for each in found]
    for name in names:
        if name not in known:
            raise InputError("--plans", f"got {name!r:.80}, expected some of {', '.join(known)}")
    return [each for each in found if not names or each.name in names]


def _memory() -> str:
    mine, largest = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return f"at most {mine:,.0f} MiB of memory here, {largest:,.0f} MiB in another process"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and say how it went."""
    parser = argparse.ArgumentParser(
        prog="python -m scenarios.real_answers", description=(__doc__ or "").partition("\n")[0]
    )
    some: dict[str, Any] = {"nargs": "+", "metavar": "NAME"}
    parser.add_argument(
        "--rows", type=one_to_a_million, default=ROWS, metavar="N", help=f"{ROWS:,} by default"
    )
    parser.add_argument(
        "--runner",
        action="append",
        metavar="NAME",
        help="local, dask, package.module:FACTORY or file.py:FACTORY; local and dask by default",
    )
    parser.add_argument(
        "--sections", nargs="+", type=int, choices=TARGETS, help="all three by default"
    )
    parser.add_argument("--plans", **some, help=f"some of {_PLANS}; all by default")
    given = parser.parse_args(arguments)
    sections = tuple(dict.fromkeys(given.sections or TARGETS))
    tried = right = 0
    begun = monotonic()
    try:
        chosen = _plans(given.plans or ())
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            runners = {
                name: stack.enter_context(runner_named(name, Room()))
                for name in given.runner or RUNNERS
            }
            every = real_answers(
                chosen, runners, folder=Path(folder), rows=given.rows, sections=sections
            )
            for found in every:
                _print(describe(found))
                for each in found.tries:
                    tried += 1
                    right += not each.wrong
                    if each.wrong:
                        for line in told(_again(found, each, given.rows), each.wrong):
                            _print(line)
    except InputError as error:
        parser.error(str(error))
    _print(f"{right} of {tried} answers are right, in {monotonic() - begun:.0f} s; {_memory()}")
    return 0 if right == tried else 1


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main())
