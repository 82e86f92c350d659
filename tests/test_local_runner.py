"""LocalRunner on real threads.  `make threads` repeats what chance decides a few hundred times."""

import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from numbered import FAILS, Numbered
from stored import DATA, chain, objects_of, over, vector_cases, vector_lines
from threads import Ran, recorded, threads_left, until

from properties.contract import ROWS
from properties.contract.bench import Work
from properties.oracle import Answer, same_answer
from scenarios.cli import cli
from sim.real import Held
from workflow import (
    Identifiers,
    Options,
    Plan,
    Results,
    RunnerError,
    Stream,
    StreamState,
    Task,
    TaskCancelled,
    TaskState,
    Workflow,
    WorkflowClosed,
    plan_from_json,
)
from workflow.objects import Bucket
from workflow.plan import DataObjScan, Limit, Merge, Parallelize, ScanSet, TopK
from workflow.runners.local import LocalRunner, RunnerClosed
from workflow.runners.reading import read

RUNS = int(os.environ.get("WINDTUNNEL_THREAD_RUNS", "20"))
CASES = {case["query"]: case for case in vector_cases()}
LOGS = '{app="shop"}'
LATENCY = 0.05  # seconds from a cancel to the end of what it stops


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threads_left() == []
    assert threading.active_count() <= before


@cache
def held(count: int) -> Held:
    """The lines of the vectors in so many objects."""
    return Held(_objects(count))


@cache
def _objects(count: int) -> dict[tuple[str, int], pa.Table]:
    lines = vector_lines()
    places = (line["object"] for line in lines) if count == 8 else cycle(range(count))
    return objects_of(lines, places)


def plan_of(query: str, count: int) -> Plan:
    """A query's plan over so many objects."""
    plan = plan_from_json(CASES[query]["plan"])
    return plan if count == 8 else over(plan, _objects(count))


def wrong(query: str, ran: Ran) -> str | None:
    """How the answer differs from that of the reference."""
    right = Answer.from_json(CASES[query]["rows"])
    difference = same_answer(right, Answer.from_batches(ran.batches))
    return None if difference is None else str(difference)


# Answers.


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("query", CASES)
def test_each_query_gives_the_rows_of_the_reference(query: str, count: int) -> None:
    ran = recorded(plan_of(query, count), LocalRunner(held(count), batch_rows=60))
    assert (ran.error, wrong(query, ran), ran.violations) == (None, None, [])


@pytest.mark.parametrize("query", [LOGS, 'avg by (pod) (count_over_time({app="shop"}[5m]))'])
def test_one_slot_is_enough_for_a_plan_with_ten_tasks(query: str) -> None:
    runner = LocalRunner(held(8), slots=1, buffer=1, batch_rows=20)
    ran = recorded(plan_of(query, 8), runner)
    assert (ran.error, wrong(query, ran), ran.violations) == (None, None, [])


def test_a_bucket_is_read_as_it_lies_on_the_disk(tmp_path: Path) -> None:
    place = tmp_path / "bucket"
    made = CliRunner().invoke(
        cli, ["data", "import", str(DATA / "input.jsonl"), "--out", str(place)]
    )
    assert made.exit_code == 0
    ran = recorded(plan_of(LOGS, 8), LocalRunner(Bucket(place), batch_rows=50))
    assert (ran.error, wrong(LOGS, ran), ran.violations) == (None, None, [])


def test_new_rows_cancel_the_scans_of_older_ones() -> None:
    ran = recorded(plan_of(LOGS, 8), LocalRunner(held(8), slots=1, buffer=1, batch_rows=60))
    assert ran.ends["Cancelled"] >= 4
    assert ran.violations == []


class Breaks:
    """Sections of which one breaks off at a batch."""

    def __init__(self, sections: Held, location: str, at: int) -> None:
        self._sections = sections
        self._place = location, at

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        for number, batch in enumerate(self._sections.batches(location, section, rows)):
            if (location, number) == self._place:
                raise ValueError("the section is damaged")
            yield batch


@pytest.mark.parametrize("seed", range(RUNS))
def test_whatever_is_done_to_a_run_it_keeps_the_rules(seed: int) -> None:
    draw = Random(seed)
    query, count = draw.choice(list(CASES)), draw.choice((1, 2, 8))
    runner: dict[str, Any] = {
        "slots": draw.choice((1, 2, 4)),
        "buffer": draw.choice((1, 3)),
        "batch_rows": draw.choice((10, 60, 500)),
    }
    after, location, at = (
        draw.choice((0, 1, 2)),
        f"objects/{draw.randrange(count)}",
        draw.choice((0, 1)),
    )
    options = Options(max_running_scan_tasks=draw.choice((0, 0, 2)))
    deeds: dict[str, dict[str, Any]] = {
        "reads": {},
        "reads slowly": {"pause": 0.007},
        "cancels": {"after": after, "then": lambda workflow: workflow.cancel("enough")},
        "closes": {"after": after, "then": Workflow.close},
        "meets damage": {},
    }
    deed = draw.choice(list(deeds))
    data = Breaks(held(count), location, at) if deed == "meets damage" else held(count)
    ran = recorded(
        plan_of(query, count), LocalRunner(data, **runner), options=options, **deeds[deed]
    )
    assert ran.violations == []
    if ran.error is None:
        assert wrong(query, ran) is None


# Cancellation.


class Endless:
    """A section without an end, each batch of it a hundredth of a second of work."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        while True:
            sleep(0.01)
            yield from Numbered().batches(location, section, rows)


def numbered(slots: int = 4) -> LocalRunner:
    """A Runner whose sections have twenty rows in three batches."""
    return LocalRunner(Numbered(), slots=slots, buffer=1, batch_rows=8)


def scan() -> Plan:
    """A scan of one section."""
    return chain(DataObjScan(location="objects/0"))


def at_a_full_writer(runner: LocalRunner, seed: str = "one") -> tuple[Work, Task]:
    work = Work(runner, seed)
    task = work.leaf(scan())
    work.sink(task)
    work.register()
    writer = work.listen(task, room=1)
    work.start()
    assert until(lambda: work.running(task) and writer.turned_away > 0)
    return work, task


def without_a_writer(runner: LocalRunner, seed: str = "one") -> tuple[Work, Task]:
    work = Work(runner, seed)
    task = work.leaf(scan())
    work.sink(task)
    work.register().start()
    assert until(lambda: work.running(task))
    return work, task


def at_a_full_buffer(runner: LocalRunner, seed: str = "one") -> tuple[Work, Task]:
    work = Work(runner, seed)
    child = work.leaf(scan())
    work.sink(work.merge((child,)))
    work.register().start(child)
    [stream] = child.sink_streams()
    assert until(lambda: StreamState.BLOCKED in work.states(stream))
    return work, child


def at_an_empty_buffer(runner: LocalRunner, seed: str = "one") -> tuple[Work, Task]:
    work = Work(runner, seed)
    parent = work.merge((work.leaf(scan()),))
    work.sink(parent)
    work.register().start(parent)
    assert until(lambda: work.running(parent))
    return work, parent


def before_a_slot(runner: LocalRunner, seed: str = "one") -> tuple[Work, Task]:
    work = Work(runner, seed)
    children = tuple(work.leaf(scan()) for _ in range(5))
    work.sink(work.merge(children))
    work.register().start(*children)
    assert until(lambda: work.running(children[3]))
    assert until(lambda: bool(work.states(children[4])))
    return work, children[4]


def in_the_middle_of_a_scan(runner: LocalRunner, seed: str = "one") -> tuple[Work, Task]:
    work = Work(runner, seed)
    task = work.leaf(chain(TopK(k=1), DataObjScan(location="objects/0")))
    work.sink(task)
    work.register().start()
    assert until(lambda: work.running(task))
    return work, task


def latency(where: Callable[[LocalRunner], tuple[Work, Task]]) -> float:
    """Seconds from the cancel of a task there to the end of its thread."""
    with LocalRunner(Endless()) if where is in_the_middle_of_a_scan else numbered() as runner:
        work, task = where(runner)
        others = runner.tables()["threads"] - work.running(task)
        start = monotonic()
        work.cancel(task)
        assert until(lambda: work.over(task) and runner.tables()["threads"] == others)
        took = monotonic() - start
        assert work.ends(task) == [TaskState.CANCELLED]
    return took


@pytest.mark.parametrize(
    "where",
    [
        at_a_full_writer,
        without_a_writer,
        at_a_full_buffer,
        at_an_empty_buffer,
        before_a_slot,
        in_the_middle_of_a_scan,
    ],
)
def test_a_cancel_ends_a_task_and_its_thread_at_once(
    where: Callable[[LocalRunner], tuple[Work, Task]],
) -> None:
    # The machine may be busy with something else.
    assert min(latency(where) for _ in range(4)) < LATENCY


def test_a_task_cancelled_before_it_got_a_slot_never_runs() -> None:
    with numbered() as runner:
        work, task = before_a_slot(runner)
        work.cancel(task)
        work.listen(work.tasks[0])
        work.start(work.tasks[0])
        assert until(work.over)
        assert work.states(task) == [TaskState.PENDING, TaskState.CANCELLED]


# Failure.


def test_a_task_that_raises_has_failed_with_that_very_error() -> None:
    error = ValueError("the section is damaged")

    class Damaged:
        def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
            del location, section, rows
            raise error

    ran = recorded(scan(), LocalRunner(Damaged()))
    assert ran.error is error
    assert ran.violations == []


def test_an_exit_in_a_task_is_its_failure_too() -> None:
    class Exits:
        def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
            del section, rows
            raise SystemExit(location)

    ran = recorded(scan(), LocalRunner(Exits()))
    assert str(ran.error) == "SystemExit('objects/0')"


def test_a_plan_that_cannot_execute_fails() -> None:
    ran = recorded(chain(DataObjScan(location="objects/0", stream_count=3)), numbered())
    assert str(ran.error).startswith("stream-ids")


def test_a_failure_is_told_before_the_reader_of_the_task_learns_of_its_end() -> None:
    with numbered() as runner:
        work = Work(runner, "seed")
        child = work.leaf(chain(DataObjScan(location=FAILS)))
        parent = work.merge((child,))
        work.sink(parent)
        work.register()
        work.listen(parent)
        work.start()
        assert until(work.over)
        [stream] = child.sink_streams()
        failed = work.place(child, TaskState.FAILED)
        assert failed < work.place(stream, StreamState.CLOSED)
        assert failed < work.place(parent, TaskState.COMPLETED)


def test_without_more_threads_a_task_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with numbered(slots=1) as runner:
        work, _ = without_a_writer(runner)
        more = Work(runner, "more")
        tasks = [more.leaf(scan()) for _ in range(2)]
        more.register()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            more.start()
        assert until(more.over)
        assert [more.ends(task) for task in tasks] == [[TaskState.FAILED]] * 2
        assert work.running(work.tasks[0])


# Streams and slots.


def test_a_stream_is_open_blocked_and_closed_as_its_reader_has_it() -> None:
    with numbered() as runner:
        work, child = at_a_full_buffer(runner)
        [stream] = child.sink_streams()
        assert work.states(stream) == [StreamState.OPEN, StreamState.BLOCKED]
        parent = work.tasks[0]
        work.listen(parent)
        work.start(parent)
        assert until(work.over)
        assert work.states(stream) == [
            StreamState.OPEN,
            StreamState.BLOCKED,
            StreamState.OPEN,
            StreamState.CLOSED,
        ]


def test_a_stream_without_a_record_is_never_open() -> None:
    with numbered() as runner:
        work = Work(runner, "seed")
        task = work.leaf(chain(Limit(fetch=0), DataObjScan(location="objects/0")))
        stream = work.sink(task)
        work.register().start()
        assert until(work.over)
        assert work.states(stream) == [StreamState.CLOSED]


class Counted(Numbered):
    """Counts the sections that are read at once, and all batches."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.read = 0

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            for batch in super().batches(location, section, rows):
                sleep(0.002)
                self.read += 1
                yield batch
        finally:
            with self.lock:
                self.now -= 1


def many(count: int) -> Plan:
    """A TopK over so many sections, each with a task of its own."""
    plan = Plan()
    targets = tuple(DataObjScan(location=f"objects/{number}") for number in range(count))
    top, spread, scans = (
        plan.add(TopK(k=5)),
        plan.add(Parallelize()),
        plan.add(ScanSet(targets=targets)),
    )
    plan.add_edge(top, spread)
    plan.add_edge(spread, scans)
    return plan


def test_no_more_scans_run_at_once_than_there_are_slots() -> None:
    for slots in (1, 3):
        data = Counted()
        ran = recorded(many(9), LocalRunner(data, slots=slots, batch_rows=8))
        assert (ran.error, ran.ends["Completed"]) == (None, 10)
        assert data.most == slots
        assert data.now == 0


def test_a_task_that_scans_and_reads_takes_no_slot() -> None:
    with numbered(slots=1) as runner:
        work = Work(runner, "seed")
        children = [work.leaf(scan()) for _ in range(3)]
        plan = chain(Merge(), DataObjScan(location="objects/0"))
        parent = work.leaf(plan)
        parent.sources[plan.root()] = [work.sink(child) for child in children]
        work.sink(parent)
        work.register()
        writer = work.listen(parent)
        work.start(*children, parent)
        assert until(work.over)
        assert writer.rows == 4 * ROWS


def test_a_reader_that_stalls_holds_up_only_what_feeds_it() -> None:
    data = Counted()
    with LocalRunner(data, slots=1, buffer=2, batch_rows=4) as runner:
        stalled = Workflow(chain(Limit(fetch=1000), DataObjScan(location="objects/0")), runner)
        stalled.run()
        assert until(lambda: data.read >= 2)
        for seed in ("two", "three"):
            workflow = Workflow(many(3), runner, ids=Identifiers(seed))
            rows = [batch.num_rows for batch in runner.read(workflow.run())]
            assert sum(rows) == 5
        assert not stalled.results.ended
        stalled.close()


def test_what_is_sent_to_a_reader_that_stalls_is_bounded() -> None:
    data = Counted()
    with LocalRunner(data, buffer=1, batch_rows=1) as runner:
        Workflow(chain(Merge(), DataObjScan(location="objects/0")), runner).run()
        sleep(0.1)
        assert data.read <= 6  # of twenty: in a buffer, in a hand or in the results


# The end.


def test_close_ends_whatever_there_is_and_leaves_no_thread() -> None:
    before = threading.enumerate()
    runner = LocalRunner(Endless())
    wheres = (in_the_middle_of_a_scan, at_an_empty_buffer, without_a_writer)
    works = [where(runner, where.__name__)[0] for where in wheres]
    assert len(threading.enumerate()) > len(before)
    runner.close()
    assert threading.enumerate() == before
    for work in works:
        assert all(work.ends(task) == [TaskState.CANCELLED] for task in work.tasks)
        assert all(work.closes(stream) == 1 for stream in work.streams)


def test_what_was_registered_may_be_unregistered_after_the_close_and_nothing_registered() -> None:
    runner = numbered()
    work, _ = at_a_full_writer(runner)
    runner.close()
    runner.close()
    told = len(work.reports)
    with pytest.raises(RunnerClosed, match="the Runner is closed"):
        Work(runner, "more").register()
    work.start()
    work.unregister()
    assert len(work.reports) == told
    assert not any(runner.tables().values())


def test_a_workflow_whose_runner_is_closed_ends_with_an_error() -> None:
    runner = numbered()
    workflow = Workflow(many(3), runner)
    results = workflow.run()
    runner.close()
    with pytest.raises(TaskCancelled):
        list(runner.read(results))
    workflow.close()
    assert (workflow.closed, workflow.close_error) == (True, None)


def test_a_runner_is_not_closed_by_its_own_threads() -> None:
    with numbered() as runner:
        work, task = without_a_writer(runner)
        work.react = lambda _report: runner.close()
        work.cancel(task)
        assert until(lambda: len(work.raised) == 2)
        assert {type(error) for error in work.raised} == {RunnerError}


def test_a_workflow_may_be_closed_by_what_its_own_results_wake() -> None:
    """In the thread of the root, at the offer of the first record."""
    with numbered() as runner:
        workflow = Workflow(many(3), runner)
        workflow.results.watch(workflow.close)
        results = workflow.run()
        assert until(lambda: workflow.closed)
        with pytest.raises(WorkflowClosed):
            list(runner.read(results))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_handler_that_raises_keeps_no_other_from_being_told() -> None:
    with numbered() as runner:
        work = Work(runner, "seed")
        work.sink(work.merge((work.leaf(scan()),)))

        def raises(_stream: Stream, _state: StreamState) -> None:
            raise ValueError("a handler never raises")

        manifest = work.changed(stream_event_handler=raises)
        runner.register_manifest(manifest)
        work.listen(work.tasks[0])
        work.start()
        assert until(lambda: all(work.ends(task) for task in work.tasks))
        runner.unregister_manifest(manifest)


@pytest.mark.parametrize("name", ["slots", "buffer", "batch_rows"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_a_number_that_is_no_count_is_refused(name: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"LocalRunner\({name}\): got {value}, expected 1 or more"
    ):
        LocalRunner(Numbered(), **{name: value})


def test_a_reader_gets_what_came_before_it_read_and_waits_for_the_rest() -> None:
    results = Results()
    batch = pa.RecordBatch.from_pydict({"a": [1]})
    results.offer(batch)
    rest = read(results)
    assert next(rest) is batch
    threading.Timer(0.01, lambda: results.offer(batch)).start()
    assert next(rest) is batch
    results.finish()
    assert list(rest) == []
