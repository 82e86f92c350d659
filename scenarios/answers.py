"""Every answer of the reference, under many schedules: `python -m scenarios.answers`.

The log lines of `tests/data` become buckets of one, two and eight objects, in each of which every
query runs in a simulated cluster, again and again.  The seed decides the schedule, the cluster,
the sizes of batches, the order of the shards and the trouble, of kinds that lose no data.  A run
is right if its reader gets the rows that the reference gave, and no rule is violated.

Prints a line for each query.  Exits with 1 if a run is wrong, and tells how to see it again.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from properties.judged import judged
from properties.oracle import Answer, same_answer
from scenarios.data import rebind
from scenarios.data.importing import import_lines, reader
from scenarios.data.lines import BadLine, Limits
from scenarios.inputs import InputError
from scenarios.processes import fresh_processes
from sim.choices import Seeded
from sim.latency import Bimodal, Constant, Exponential, Latency, Uniform
from sim.real import Held
from sim.scenario import Client, Cluster, Fault, FaultKind, Scenario, Workload
from workflow import Options, Plan, partition, plan_from_json
from workflow.limits import smallest_limits
from workflow.objects import Bucket, Section
from workflow.plan import Parallelize, ScanSet

__all__ = [
    "HARMLESS",
    "TARGETS",
    "Case",
    "Tally",
    "answers",
    "cases",
    "describe",
    "main",
    "one_to_a_million",
    "scenario_of",
    "told",
]

TARGETS: Final = (1, 2, 8)  # objects that hold the lines
# Not half_open: a message that is lost unnoticed costs the connection, and what runs there fails.
HARMLESS: Final[tuple[FaultKind, ...]] = (
    "late_ack",
    "lost_ack",
    "refused_assignment",
    "slow_link",
    "slow_worker",
)

_DATA: Final = Path("tests/data")
_AS_THE_REFERENCE: Final = 8  # objects, which the lines name
_CHUNK: Final = 20  # schedules of one piece of work
_ORDERS: Final = 4  # of the shards of a plan: the single-process answer is kept for each
_UNCUT: Final = _ORDERS  # a plan whose scans are read in one task
_SHOWN: Final = 5  # wrong runs of a query that are told
_OFTEN: Final = 400_000  # the largest chance of a fault at an occasion, in millionths


@dataclass(frozen=True, slots=True)
class Case:
    """A query of the reference, and the rows that it answered."""

    number: int  # from 1
    query: str
    plan: dict[str, Any]
    rows: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class Tally:
    """What the runs of a query came to."""

    runs: int = 0
    right: int = 0
    seconds: float = 0.0  # of processor time
    seen: Counter[str] = field(default_factory=Counter)  # runs, by kind of trouble
    wrong: list[tuple[int, int, str]] = field(default_factory=list)  # targets, seed, what is wrong

    def merge(self, other: "Tally") -> None:
        """Add other runs."""
        self.runs += other.runs
        self.right += other.right
        self.seconds += other.seconds
        self.seen.update(other.seen)
        self.wrong += other.wrong


@cache
def cases(folder: Path = _DATA) -> tuple[Case, ...]:
    """The queries, in their order.  Raises InputError."""
    lines = _text(folder / "results.jsonl").splitlines()
    found = [json.loads(line) for line in lines]
    return tuple(
        Case(number, each["query"], each["plan"], tuple(each["rows"]))
        for number, each in enumerate(found, 1)
    )


@cache
def _right(folder: Path, number: int) -> Answer:
    """The rows that the reference answered."""
    return Answer.from_json(list(cases(folder)[number - 1].rows))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None


@cache
def _bucket(folder: Path, targets: int) -> tuple[tuple[Section, ...], Held]:
    """The lines in so many objects: as they name them, or each a slice of time."""

    def refuse(number: int, error: BadLine) -> None:
        raise InputError(f"{folder / 'input.jsonl'}:{number}", str(error))

    with tempfile.TemporaryDirectory() as place:
        limits = Limits()
        import_lines(
            str(folder / "input.jsonl"),
            Path(place) / "bucket",
            reader("jsonl", limits=limits, labels={}),
            limits=limits,
            sections=None if targets == _AS_THE_REFERENCE else targets,
            refuse=refuse,
            progress=lambda _bytes: None,
        )
        bucket = Bucket(Path(place) / "bucket")
        return tuple(bucket.sections()), Held(bucket.load())


@cache
def _plan(folder: Path, number: int, targets: int, order: int) -> Plan:
    """A query's plan over so many objects; of orders above 0 its shards are shuffled, or none."""
    plan = plan_from_json(cases(folder)[number - 1].plan)
    if targets != _AS_THE_REFERENCE:
        plan = rebind(plan, _bucket(folder, targets)[0])
    if not order:
        return plan
    random = Random(f"windtunnel shards {order}")
    for node in list(plan):
        if order == _UNCUT:
            if isinstance(node, Parallelize):
                plan.eliminate(node)
        elif isinstance(node, ScanSet):
            shuffled = tuple(random.sample(node.targets, len(node.targets)))
            plan.inject(node, replace(node, targets=shuffled))
            plan.eliminate(node)
    return plan


def scenario_of(case: Case, targets: int, seed: int, folder: Path = _DATA) -> Scenario:
    """A query over so many objects, in the cluster and with the trouble that the seed makes."""
    random = Random(f"windtunnel answers {seed} {targets} {case.query}")
    plan = _plan(folder, case.number, targets, seed % (_ORDERS + 1))
    tasks = partition(plan)
    workers = random.randint(1, 4)
    cluster = Cluster(
        workers=workers,
        slots=-(-len(tasks) // workers) + random.choice((0, 0, 1, 4)),
        buffer=random.choice((1, 1, 2, 5, 20)),
        slack=random.choice((0, 0, 50, 500, 5_000)),
        control=_latency(random, 200),
        data=_latency(random, 400),
        work=_latency(random, 300),
        notify=random.choice((Constant(ticks=0), Exponential(mean=300))),
        ack_timeout=random.choice((5_000_000, 20_000)),
    )
    options = Options()
    if random.random() < 0.5:
        least = smallest_limits(tasks, both=True)
        options = Options(
            max_running_scan_tasks=least.scan + random.choice((0, 0, 1, 3)),
            max_running_other_tasks=least.other + random.choice((0, 0, 1, 3)),
        )
    workload = Workload(
        plan=plan,
        query=case.query,
        options=options,
        batch_rows=random.randint(1, random.choice((20, 1_000, 1_000, 1_000))),
        client=random.choice(
            (
                Client(),
                Client(),
                Client(pause=Exponential(mean=2_000)),
                Client(stall_after=random.randrange(3), stall_ticks=random.randrange(1, 90_000)),
            )
        ),
    )
    chosen = random.sample(HARMLESS, random.choice((0, 1, 1, 2, 3, 5)))
    return Scenario(
        name="answers",
        cluster=cluster,
        workloads=(workload,),
        faults=tuple(_fault(random, kind) for kind in chosen),
    )


def _latency(random: Random, mean: int) -> Latency:
    return random.choice(
        (
            Constant(ticks=mean),
            Uniform(low=0, high=2 * mean),
            Exponential(mean=mean),
            Bimodal(short=mean, long=40 * mean, long_percent=3),
        )
    )


def _fault(random: Random, kind: FaultKind) -> Fault:
    return Fault(
        kind=kind,
        per_million=random.randrange(1, _OFTEN),
        ticks=random.choice((400, 5_000, 60_000)) if kind == "late_ack" else 0,
        factor=random.choice((2, 10, 40)),
    )


def _wrong(case: Case, targets: int, seed: int, folder: Path, seen: Counter[str]) -> str:
    """What is wrong with a run; "" if nothing is.  Counts the kinds of trouble that it had."""
    scenario = scenario_of(case, targets, seed, folder)
    try:
        run = judged(scenario, Seeded(seed), data=_bucket(folder, targets)[1], stop=False)
    except Exception as error:
        error.add_note(f"in {_again(case, targets, seed)}")
        raise
    [end] = run.outcome.ends
    seen.update(
        what.removeprefix("fault ") for what in run.outcome.counts if what.startswith("fault ")
    )
    seen["cancelled tasks"] += end.states.get("Cancelled", 0) > 0
    if run.violations:
        return str(run.first)
    if end.end != "eof":
        return f"the reader came to {end.end}: {end.error}"
    right = _right(folder, case.number)
    return str(same_answer(right, Answer.from_batches(end.batches)) or "")


def _again(case: Case, targets: int, seed: int, folder: Path = _DATA) -> str:
    words = ["python", "-m", "scenarios.answers", "--only", case.query]
    words += ["--targets", str(targets), "--seed", str(seed)]
    if folder != _DATA:
        words += ["--folder", str(folder)]
    return shlex.join(words)


@dataclass(frozen=True, slots=True)
class _Piece:
    folder: Path
    number: int
    targets: int
    seeds: range


def _run(piece: _Piece) -> Tally:
    case = cases(piece.folder)[piece.number - 1]
    tally = Tally()
    began = time.process_time()
    for seed in piece.seeds:
        wrong = _wrong(case, piece.targets, seed, piece.folder, tally.seen)
        tally.runs += 1
        if wrong:
            tally.wrong.append((piece.targets, seed, wrong))
        else:
            tally.right += 1
    tally.seconds = time.process_time() - began
    return tally


def answers(
    chosen: Sequence[Case],
    *,
    seeds: range,
    targets: Sequence[int] = TARGETS,
    folder: Path = _DATA,
    processes: int = 2,
    progress: Callable[[int], object] = lambda _runs: None,
) -> dict[int, Tally]:
    """What the runs of each query came to, by its number; `progress` is told of runs done."""
    work = [
        _Piece(folder, case.number, count, range(start, min(start + _CHUNK, seeds.stop)))
        for case in chosen
        for count in targets
        for start in range(seeds.start, seeds.stop, _CHUNK)
    ]
    found = {case.number: Tally() for case in chosen}
    if processes < 2:
        for piece in work:
            found[piece.number].merge(_run(piece))
            progress(len(piece.seeds))
        return found
    pool = fresh_processes(processes)
    try:
        for piece, tally in zip(work, pool.map(_run, work), strict=True):
            found[piece.number].merge(tally)
            progress(len(piece.seeds))
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def describe(
    chosen: Sequence[Case], found: dict[int, Tally], folder: Path = _DATA
) -> Iterator[str]:
    """A line for each query, then what is wrong and how to see it again, then the sum."""
    total = Tally()
    for case in chosen:
        tally = found[case.number]
        total.merge(tally)
        yield (
            f"{tally.runs:>5} runs  {tally.right:>5} right  {tally.seconds:>6.1f} s"
            f"  {sum(tally.seen[kind] > 0 for kind in HARMLESS)} of {len(HARMLESS)} kinds"
            f"  {case.query}"
        )
    for case in chosen:
        for count, seed, text in found[case.number].wrong[:_SHOWN]:
            yield from told(_again(case, count, seed, folder), text)
        more = len(found[case.number].wrong) - _SHOWN
        if more > 0:
            yield f"  ... and {more} more of {case.query}"
    for kind in (*HARMLESS, "cancelled tasks"):
        yield f"{kind:<18} in {total.seen[kind]:>5} runs"
    yield (
        f"{total.right} of {total.runs} answers are right,"
        f" in {total.seconds:.0f} s of processor time"
    )


def told(again: str, text: str) -> Iterator[str]:
    """What is wrong with a run, below the command that shows it again."""
    yield f"WRONG  {again}"
    yield from (f"  {line}" for line in text.splitlines())


def one_to_a_million(text: str) -> int:
    """A number of an option, 1 to 1,000,000.  Raises ArgumentTypeError."""
    number = int(text)
    if not 0 < number <= 10**6:
        raise argparse.ArgumentTypeError(f"got {text}, expected 1 to 1000000")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m scenarios.answers", description=__doc__)
    parser.add_argument(
        "--schedules",
        type=one_to_a_million,
        default=200,
        metavar="N",
        help="of each query; 200 by default",
    )
    parser.add_argument(
        "--targets",
        type=int,
        action="append",
        choices=TARGETS,
        help="over so many objects; all three by default",
    )
    parser.add_argument("--only", metavar="QUERY", help="only this query")
    parser.add_argument("--seed", type=int, metavar="N", help="only this schedule")
    parser.add_argument(
        "--processes", type=one_to_a_million, default=2, metavar="N", help="2 by default"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=_DATA,
        help=f"has input.jsonl and results.jsonl; {_DATA} by default",
    )
    given = parser.parse_args(arguments)
    chosen = [case for case in cases(given.folder) if given.only in (None, case.query)]
    if not chosen:
        known = "\n".join(case.query for case in cases(given.folder))
        parser.error(f"got --only {given.only}, expected one of these:\n{known}")
    seeds = range(given.schedules) if given.seed is None else range(given.seed, given.seed + 1)
    targets = given.targets or TARGETS
    with click.progressbar(
        length=len(chosen) * len(targets) * len(seeds),
        label="runs",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        found = answers(
            chosen,
            seeds=seeds,
            targets=targets,
            folder=given.folder,
            processes=given.processes if given.seed is None else 1,
            progress=bar.update,
        )
    for line in describe(chosen, found, given.folder):
        print(line)  # noqa: T201 - a command
    return 1 if any(tally.wrong for tally in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
