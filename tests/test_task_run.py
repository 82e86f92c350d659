"""A task at work without a thread: what it reads next, what it sends, when it is over."""

from collections import deque
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest
from stored import chain, stored

from sim.real import Held
from workflow import ContributingTimeRange, Identifiers, Plan, Stream, Task
from workflow.execute import ExecutionError
from workflow.expressions import Column, ColumnType
from workflow.plan import DataObjScan, Limit, Merge, ScanSet, TopK
from workflow.runners.task import ROWS, Arrival, Outlet, Stopped, TaskRun

MESSAGE = "utf8.builtin.message"


class Bench:
    """A task's border: what it did there, in order, as short texts."""

    def __init__(self, plan: Plan, *arrivals: tuple[int, str | None], streams: int = 0) -> None:
        ids = Identifiers("task")
        self.did: list[str] = []
        self.task = Task(ids.make(), "", plan)
        self.streams = [Stream(ids.make()) for _ in range(streams)]
        if streams:
            bottom = next(node for node in plan if isinstance(node, Merge))
            self.task.sources[bottom] = self.streams
        self.arrivals: deque[Arrival] = deque()
        for number, text in arrivals:
            batch = None if text is None else pa.RecordBatch.from_pydict({MESSAGE: [text]})
            self.arrivals.append((self.streams[number], batch))
        self.stop_after: int | None = None  # looks
        self.ranges: list[ContributingTimeRange] = []
        self.closed = 0  # sections whose reading was ended

    def run(self, outlets: Sequence[Outlet] = (), *, batch_rows: int = 2) -> TaskRun:
        """Run the task over sections of six rows."""
        run = TaskRun(self.task, self, self, outlets, self, batch_rows=batch_rows)
        run.run()
        return run

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        lines = [{"timestamp": 10 - second, "line": f"{location}:{second}"} for second in range(6)]
        held = Held({(location, section): stored(lines)})
        try:
            for batch in held.batches(location, section, rows):
                self.did.append(f"read {location}")
                yield batch
        finally:
            self.closed += 1

    def take(self, *, wait: bool) -> Arrival | None:
        """See `task.Inbox`."""
        if not self.arrivals:
            assert not wait, "it would wait for ever"
            return None
        stream, batch = self.arrivals.popleft()
        self.did.append(f"took {self.streams.index(stream)}" if batch is not None else "ended")
        return stream, batch

    def check(self) -> None:
        """See `task.Host`."""
        if self.stop_after is not None:
            self.stop_after -= 1
            if self.stop_after < 0:
                raise Stopped

    def narrow(self, range_: ContributingTimeRange) -> None:
        """See `task.Host`."""
        self.ranges.append(range_)


class Sink:
    """Takes so many batches, then nobody reads any more."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.rows: list[str] = []

    def send(self, batch: pa.RecordBatch) -> bool:
        """See `task.Outlet`."""
        if not self.room:
            return False
        self.room -= 1
        self.rows += batch.column(MESSAGE).to_pylist()
        return True


def scan(location: str = "a") -> DataObjScan:
    return DataObjScan(location=location)


def test_a_section_is_read_in_batches_and_sent_in_order_to_each_sink() -> None:
    bench, sinks = Bench(chain(scan())), [Sink(), Sink()]
    run = bench.run(sinks)
    assert sinks[0].rows == [f"a:{number}" for number in range(6)]
    assert sinks[1].rows == sinks[0].rows
    assert (bench.did, run.statistics[ROWS]) == (["read a"] * 3, 6)


def test_streams_are_read_as_they_come_and_before_any_section() -> None:
    plan = chain(Merge(), scan())
    bench = Bench(plan, (1, "x"), (0, "y"), (1, "z"), (1, None), (0, None), streams=2)
    sink = Sink()
    bench.run([sink])
    assert bench.did == ["took 1", "took 0", "took 1", "ended", "ended", *["read a"] * 3]
    assert sink.rows[:3] == ["x", "y", "z"]


def test_a_section_is_read_while_no_stream_brings_anything() -> None:
    bench = Bench(chain(Merge(), scan()), streams=1)
    bench.stop_after = 3  # as there is nothing left to do but to wait
    sink = Sink()
    with pytest.raises(Stopped):
        bench.run([sink])
    assert sink.rows == [f"a:{number}" for number in range(6)]


def test_sections_are_read_one_after_the_other() -> None:
    plan = chain(ScanSet(targets=(scan("a"), scan("b"))))
    bench = Bench(plan)
    bench.run()
    assert bench.did == ["read a"] * 3 + ["read b"] * 3
    assert bench.closed == 2


def test_once_a_limit_has_its_rows_nothing_more_is_read() -> None:
    bench, sink = Bench(chain(Limit(fetch=3), scan())), Sink()
    run = bench.run([sink])
    assert (sink.rows, bench.did) == (["a:0", "a:1", "a:2"], ["read a"] * 2)
    assert (bench.closed, run.statistics[ROWS]) == (1, 4)


def test_a_task_that_nobody_reads_any_more_is_over() -> None:
    bench, sinks = Bench(chain(scan())), [Sink(room=1), Sink(room=2)]
    bench.run(sinks)
    assert (len(sinks[0].rows), len(sinks[1].rows)) == (2, 4)
    assert (bench.did, bench.closed) == (["read a"] * 3, 1)


def test_a_task_without_sinks_works_to_its_end() -> None:
    bench = Bench(chain(scan()))
    assert bench.run().statistics[ROWS] == 6


def test_a_task_that_is_stopped_ends_its_reading() -> None:
    bench, sink = Bench(chain(scan())), Sink()
    bench.stop_after = 1
    with pytest.raises(Stopped):
        bench.run([sink])
    assert (sink.rows, bench.closed) == (["a:0", "a:1"], 1)


def test_an_empty_batch_ends_nothing() -> None:
    bench = Bench(chain(Merge()), (0, "x"), (0, "y"), (0, None), streams=1)
    stream, batch = bench.arrivals[0]
    assert batch is not None
    bench.arrivals.appendleft((stream, batch.slice(0, 0)))
    sink = Sink()
    bench.run([sink])
    assert sink.rows == ["x", "y"]


def test_which_times_contribute_is_told_whenever_it_changes() -> None:
    top = TopK(k=2, sort_by=Column(ColumnType.BUILTIN, "timestamp"))
    bench = Bench(chain(top, ScanSet(targets=(scan("a"), scan("b")))))
    bench.run([Sink()])
    assert [each.timestamp.ns for each in bench.ranges] == [9 * 10**9 - 1, 10**10 - 1]
    assert not any(each.less_than for each in bench.ranges)


def test_what_a_section_raises_comes_out_as_it_is() -> None:
    class Missing(Bench):
        def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
            return Held({}).batches(location, section, rows)

    with pytest.raises(LookupError, match="got section 0 of 'a', expected one of the data"):
        Missing(chain(scan())).run()


def test_rows_that_the_fragment_cannot_work_on_raise() -> None:
    class Renamed(Bench):
        def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
            for batch in super().batches(location, section, rows):
                yield batch.rename_columns(["stream_id", "timestamp", "text"])

    bench = Renamed(chain(scan()))
    with pytest.raises(ExecutionError, match="got a column 'text'"):
        bench.run()
    assert bench.closed == 1
