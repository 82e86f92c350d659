"""Whether an event costs the same in small and in large runs: time and memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from time import process_time

from benchmarks.measure import Figure, Sizes, alone, peak_bytes
from benchmarks.shapes import scenario
from sim.choices import Seeded
from sim.simulate import simulate

__all__ = ["growth", "large_run"]


@dataclass(frozen=True, slots=True)
class _Cost:
    seconds: float
    events: int  # of the trace
    bytes: int  # above what the process had before


def _cost(shape: str, tasks: int, records: int) -> _Cost:
    run = scenario(shape, tasks, records)
    simulate(scenario(shape, 2, 2), Seeded(7))  # what the first run of a process costs besides
    before = peak_bytes()
    start = process_time()
    outcome = simulate(run, Seeded(7))
    spent = process_time() - start
    assert outcome.ends[0].end == "eof", outcome.ends
    return _Cost(spent, len(outcome.trace.events), peak_bytes() - before)


def growth(sizes: Sizes) -> Iterator[Figure]:
    """Microseconds and bytes for each event of the trace, by number of tasks."""
    for shape in ("topk", "merge"):
        for tasks in sizes.tasks:
            case = f"{shape}, {tasks:,} tasks"
            repeats = sizes.repeats if tasks < 1_000 else 1
            costs = [alone(sizes.fresh, _cost, shape, tasks, sizes.records) for _ in range(repeats)]
            spent, events = median(cost.seconds for cost in costs), costs[0].events
            memory = median(cost.bytes for cost in costs)
            yield Figure("growth", case, "run", spent, "s")
            yield Figure("growth", case, "events", events)
            yield Figure("growth", case, "time an event", spent / events * 1e6, "µs")
            yield Figure("growth", case, "memory an event", memory / events, "B")


def large_run(sizes: Sizes) -> Iterator[Figure]:
    """A plan whose scans give many records each."""
    tasks, records = sizes.large
    cost = alone(sizes.fresh, _cost, "merge", tasks, records)
    case = f"{tasks:,} tasks x {records:,} records"
    yield Figure("large", case, "run", cost.seconds, "s")
    yield Figure("large", case, "events", cost.events)
    yield Figure("large", case, "time an event", cost.seconds / cost.events * 1e6, "µs")
    yield Figure("large", case, "peak memory", cost.bytes / 2**20, "MiB")
