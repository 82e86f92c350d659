"""Simulated tasks over real rows that are not needed any more, or have had enough."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pytest
from executed import rows_of
from stored import chain

from properties.judged import Judged, judged
from sim.choices import Seeded
from sim.latency import Constant
from sim.real import Held
from sim.scenario import Cluster, Scenario, Workload
from workflow import Options, Plan, partition
from workflow.expressions import Column, ColumnType
from workflow.plan import DataObjScan, Limit, Merge, Parallelize, ScanSet, TopK
from workflow.times import TimeRange, Timestamp

Rows = list[tuple[int, str]]  # nanoseconds, and the message

BATCH: Final = 2  # rows that a scan takes at once
SECOND: Final = 1_735_689_600 * 10**9
TIME: Final = Column(ColumnType.BUILTIN, "timestamp")

# Nanoseconds of one second, counted back from its last: so the newest lines come first.  With K = 3
# the bound is at 500.  Another line of that instant is in the next section, and wins by its text.
BOUND: Final = 500
SECTIONS: Final[list[Rows]] = [
    [(0, "first"), (0, "first too"), (BOUND, "m")],
    [(BOUND, "a"), (BOUND + 7, "x")],  # ends on the very bound
    [(BOUND + 1, "one nanosecond beyond"), (BOUND + 2, "y")],
    [(BOUND + 2, "z")],
    [(999_999_999, "at the other end of the second")],
]
FIRST: Final = {(0, "first"), (0, "first too"), (BOUND, "a")}


class Counted(Held):
    """Sections in memory that count the rows which scans take."""

    taken = 0

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        for batch in super().batches(location, section, rows):
            if rows == BATCH:  # else the single-process answer reads
                self.taken += batch.num_rows
            yield batch


def instant(back: int, *, ascending: bool) -> int:
    """The same distances from the first nanosecond of the second, or from its last."""
    return SECOND + back if ascending else SECOND + 10**9 - 1 - back


def case(*, ascending: bool, known: bool, sections: list[Rows]) -> tuple[ScanSet, Counted]:
    """The sections as data and as targets; of these the times are known, or not."""
    data: dict[tuple[str, int], list[pa.RecordBatch]] = {}
    targets = []
    for number, rows in enumerate(sections):
        lines = sorted(((instant(b, ascending=ascending), text) for b, text in rows), reverse=True)
        times = [time for time, _ in lines]
        data[f"objects/{number}", 0] = [
            pa.RecordBatch.from_pydict(
                {
                    "stream_id": pa.array([1] * len(lines), pa.int64()),
                    "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
                    "message": pa.array([text for _, text in lines], pa.string()),
                }
            )
        ]
        span = TimeRange(Timestamp(min(times)), Timestamp(max(times))) if known else TimeRange()
        targets.append(DataObjScan(location=f"objects/{number}", max_time_range=span))
    return ScanSet(tuple(targets)), Counted(data)


def ran(plan: Plan, data: Held, seed: int, *, scans: int = 1) -> Judged:
    """One scan after the other, by default; word of what contributes comes before the next."""
    cluster = Cluster(
        slots=len(partition(plan)),
        control=Constant(ticks=1_000),
        data=Constant(ticks=10),
        work=Constant(ticks=10),
    )
    workload = Workload(plan=plan, options=Options(max_running_scan_tasks=scans), batch_rows=BATCH)
    run = judged(Scenario(cluster=cluster, workloads=(workload,)), Seeded(seed), data=data)
    assert run.violations == ()
    assert run.outcome.ends[0].end == "eof"
    return run


def lines_of(run: Judged) -> list[tuple[int, str]]:
    return sorted(
        (row["timestamp_ns.builtin.timestamp"], row["utf8.builtin.message"])
        for row in rows_of(run.outcome.ends[0].batches)
    )


def cancelled(run: Judged) -> list[str]:
    """The tasks that the trace tells to have been cancelled."""
    return sorted(
        event.subject
        for event in run.outcome.trace.events
        if event.kind == "task_event" and event.details["state"] == "Cancelled"
    )


@pytest.mark.parametrize("ascending", [True, False])
def test_scans_beyond_the_bound_are_cancelled_and_the_answer_is_the_same(ascending: bool) -> None:
    right = sorted((instant(back, ascending=ascending), text) for back, text in FIRST)
    for seed in range(3):
        found = {}
        for known in (True, False):
            scans, data = case(ascending=ascending, known=known, sections=SECTIONS)
            top = TopK(sort_by=TIME, ascending=ascending, k=3)
            run = ran(chain(top, Parallelize(), scans), data, seed)
            assert lines_of(run) == right
            found[known] = len(cancelled(run)), data.taken
        # What ends on the bound is read, what begins a nanosecond beyond is not.
        assert found == {True: (3, 5), False: (0, sum(map(len, SECTIONS)))}


@pytest.mark.parametrize("ascending", [True, False])
def test_rows_that_tie_on_the_bound_leave_no_choice(ascending: bool) -> None:
    ties: list[Rows] = [[(BOUND, letter), (BOUND, f"{letter}{letter}")] for letter in "dcba"]
    for seed in range(3):
        scans, data = case(ascending=ascending, known=True, sections=[*ties, [(BOUND + 1, "0")]])
        plan = chain(TopK(sort_by=TIME, ascending=ascending, k=2), Parallelize(), scans)
        run = ran(plan, data, seed)
        assert [text for _, text in lines_of(run)] == ["a", "aa"]
        assert (len(cancelled(run)), data.taken) == (1, 8)


def test_a_task_that_has_had_enough_ends_and_its_sources_with_it() -> None:
    scans, data = case(ascending=False, known=False, sections=SECTIONS)
    for seed in range(3):
        data.taken = 0
        run = ran(chain(Limit(fetch=2), Parallelize(), scans), data, seed)
        assert run.outcome.ends[0].rows == 2
        assert len(cancelled(run)) >= 4  # all but the first scan, and perhaps that
        assert data.taken < sum(map(len, SECTIONS))


def test_a_stream_of_which_no_more_is_needed_is_read_to_its_end_while_the_task_goes_on() -> None:
    some, data = case(ascending=False, known=False, sections=SECTIONS)
    others = ScanSet(some.targets[:2])
    plan, top, limit = Plan(), Merge(), Limit(fetch=1)
    one, two = Parallelize(), Parallelize()
    for node in (top, limit, one, two, some, others):
        plan.add(node)
    for parent, child in ((top, limit), (top, two), (limit, one), (one, some), (two, others)):
        plan.add_edge(parent, child)
    run = ran(plan, data, 1, scans=0)
    assert run.outcome.ends[0].rows == 1 + 5
    assert cancelled(run) == []
    assert data.taken == sum(map(len, SECTIONS)) + 5
