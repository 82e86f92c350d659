"""The command: `python -m benchmarks [--quick] [--json FILE] [NAME ...]`."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.against_duckdb import against_duckdb
from benchmarks.against_simpy import against_simpy
from benchmarks.cluster import cluster
from benchmarks.growth import growth, large_run
from benchmarks.local import local
from benchmarks.measure import FULL, QUICK, Figure, Sizes
from benchmarks.partitioning import partitioning
from benchmarks.shares import shares
from benchmarks.shrinking import every_mutant, token_leak
from benchmarks.small_runs import small_runs

__all__ = ["BENCHMARKS", "main", "table"]

BENCHMARKS: Final[dict[str, Callable[[Sizes], Iterator[Figure]]]] = {
    "simpy": against_simpy,
    "small": small_runs,
    "partition": partitioning,
    "growth": growth,
    "large": large_run,
    "rows": against_duckdb,
    "shares": shares,
    "shrink": token_leak,
    "shrink-mutants": every_mutant,
    "local": local,
    "cluster": cluster,
}


def _shown(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """The figures as lines; what repeats from the line above is left out."""
    rows = [("benchmark", "case", "figure", "value", "")]
    above = Figure("", "", "", 0)
    for each in figures:
        benchmark = each.benchmark if each.benchmark != above.benchmark else ""
        case = each.case if benchmark or each.case != above.case else ""
        rows.append((benchmark, case, each.name, _shown(each.value), each.unit))
        above = each
    wide = [max(len(row[column]) for row in rows) for column in range(4)]
    for benchmark, case, name, value, unit in rows:
        yield (
            f"{benchmark:{wide[0]}}  {case:{wide[1]}}  {name:{wide[2]}}  {value:>{wide[3]}} {unit}"
        ).rstrip()


def main(args: Sequence[str] | None = None, sizes: Sizes | None = None) -> None:
    """Measure, then print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, half a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    chosen = parser.parse_args(args)
    unknown = [name for name in chosen.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"NAME: got {unknown[0]!r}, expected one of {', '.join(BENCHMARKS)}")
    sizes = sizes or (QUICK if chosen.quick else FULL)
    figures: list[Figure] = []
    for name in chosen.names or BENCHMARKS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures += BENCHMARKS[name](sizes)
    for line in table(figures):
        print(line)
    if chosen.json is not None:
        text = json.dumps([asdict(figure) for figure in figures], indent=1, ensure_ascii=False)
        chosen.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
