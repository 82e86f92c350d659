"""What `workflow.Runner` asks for, asked of the runner in one thread."""

from collections.abc import Callable, Sized
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pytest
from cases import build, load_cases
from ulid import ULID

from sim.inline import InlineRunner, Stuck
from workflow import (
    AlreadyBound,
    EndOfStream,
    Identifiers,
    Manifest,
    ManifestRefused,
    Plan,
    Results,
    Stream,
    StreamState,
    Task,
    TaskState,
    TaskStatus,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
    Workflow,
    partition,
)
from workflow.partition import attach_results
from workflow.plan import DataObjScan, Limit

CASES = load_cases()
Handler = Callable[[str, str], None]


@dataclass
class Bench:
    """A manifest of a case on a runner, and what that reported: ``T1 Pending``, ``s0 Open``."""

    name: str = "V04"
    seed: str = ""
    runner: InlineRunner = field(default_factory=lambda: InlineRunner(rows_per_scan=6))
    events: list[str] = field(default_factory=list)
    react: Handler = lambda _subject, _state: None

    def __post_init__(self) -> None:
        ids = Identifiers(self.seed)
        graph = partition(build(CASES[self.name])[0], ids=ids)
        self.results = attach_results(graph, ids=ids)
        self.tasks = list(graph.preorder())
        self.streams = [self.results, *(s for task in self.tasks for s in task.source_streams())]
        self.manifest = Manifest(
            ids.make(), "", (), tuple(self.streams), tuple(self.tasks), self.on_task, self.on_stream
        )

    def on_task(self, task: Task, status: TaskStatus) -> None:
        self.told(f"T{self.tasks.index(task) + 1}", str(status.state))

    def on_stream(self, stream: Stream, state: StreamState) -> None:
        self.told(f"s{self.streams.index(stream)}", str(state))

    def told(self, subject: str, state: str) -> None:
        self.events.append(f"{subject} {state}")
        self.react(subject, state)

    def news(self) -> list[str]:
        """What was reported since last asked."""
        news, self.events[:] = list(self.events), []
        return news

    def registered(self) -> "Bench":
        self.runner.register_manifest(self.manifest)
        return self

    def named(self, *names: str) -> list[Task]:
        return [self.tasks[int(name[1:]) - 1] for name in names]

    def run(self) -> list[pa.RecordBatch]:
        """Everything that the results stream gives."""
        results = Results(capacity=100)
        self.runner.listen(self.results, results)
        self.runner.start(self.tasks)
        while self.runner.step():
            pass
        results.finish()
        return list(self.runner.read(results))


def stranger() -> Task:
    return Bench("V01", seed="stranger").tasks[0]


def changed(manifest: Manifest, **changes: Any) -> Manifest:
    return replace(manifest, **changes)


# register_manifest


def test_after_registering_tasks_are_created_and_nothing_was_reported() -> None:
    bench = Bench().registered()
    assert bench.news() == []
    assert not bench.runner.step()
    bench.runner.start(bench.tasks[:1])
    assert bench.news() == ["T1 Pending"]


def zero_stream(bench: Bench) -> Manifest:
    streams = (Stream(ULID.from_int(0)), *bench.streams[1:])
    bench.tasks[0].sinks = {}
    return changed(bench.manifest, streams=streams)


def zero_task(bench: Bench) -> Manifest:
    bench.tasks[2].id = ULID.from_int(0)
    return bench.manifest


def twice_the_same_id(bench: Bench) -> Manifest:
    bench.tasks[2].id = bench.tasks[3].id
    return bench.manifest


def twice_the_same_stream(bench: Bench) -> Manifest:
    return changed(bench.manifest, streams=(*bench.streams, bench.streams[1]))


def source_not_there(bench: Bench) -> Manifest:
    bench.tasks[0].sources = {bench.tasks[0].fragment.root(): [Stream(ULID.from_int(99))]}
    return bench.manifest


def sink_not_there(bench: Bench) -> Manifest:
    bench.tasks[2].sinks = {bench.tasks[2].fragment.root(): [Stream(ULID.from_int(99))]}
    return bench.manifest


def two_senders(bench: Bench) -> Manifest:
    bench.tasks[2].sinks = bench.tasks[3].sinks
    return bench.manifest


def two_readers(bench: Bench) -> Manifest:
    bench.tasks[2].sources = bench.tasks[1].sources
    return bench.manifest


def one_reader_twice(bench: Bench) -> Manifest:
    [streams] = bench.tasks[0].sources.values()
    streams.append(streams[0])
    return bench.manifest


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(zero_stream, "stream {zero}: got the zero id, expected another", id="F03"),
        pytest.param(zero_task, "task {zero}: got the zero id, expected another", id="zero task"),
        pytest.param(
            twice_the_same_id,
            "task {T4}: got an id that is known already, expected a new one",
            id="one id twice",
        ),
        pytest.param(
            twice_the_same_stream,
            "stream {s1}: got an id that is known already, expected a new one",
            id="one stream twice",
        ),
        pytest.param(
            source_not_there, "task {T1}: its stream {alien} is not in the manifest", id="F04"
        ),
        pytest.param(
            sink_not_there, "task {T3}: its stream {alien} is not in the manifest", id="F05"
        ),
        pytest.param(
            two_senders,
            "stream {s3}: got task {T3} and task {T4} as its sender, expected one",
            id="F06",
        ),
        pytest.param(
            two_readers,
            "stream {s2}: got task {T2} and task {T3} as its reader, expected one",
            id="F07",
        ),
        pytest.param(
            one_reader_twice,
            "stream {s1}: got task {T1} and task {T1} as its reader, expected one",
            id="one reader for two",
        ),
    ],
)
def test_r1_a_refused_manifest_says_why_and_nothing_of_it_is_known(
    spoil: Callable[[Bench], Manifest], message: str
) -> None:
    bench = Bench()
    manifest = spoil(bench)
    with pytest.raises(ManifestRefused) as refused:
        bench.runner.register_manifest(manifest)
    names = {"zero": str(ULID.from_int(0)), "alien": str(ULID.from_int(99))}
    names |= {f"T{n}": str(task.id) for n, task in enumerate(bench.tasks, 1)}
    names |= {f"s{n}": str(stream.id) for n, stream in enumerate(bench.streams)}
    assert message.format(**names) in refused.value.violations
    assert str(refused.value).startswith("manifest refused: ")
    for task in bench.tasks:
        with pytest.raises(UnknownTask):
            bench.runner.start([task])
    for stream in bench.streams:
        with pytest.raises(UnknownStream):
            bench.runner.listen(stream, Results())
    with pytest.raises(UnknownManifest):
        bench.runner.unregister_manifest(manifest)
    assert bench.news() == []
    right = Bench(runner=bench.runner).registered()  # the same identifiers, unspoilt
    assert len(right.run()) > 0


def test_a_refusal_lists_every_violation() -> None:
    bench = Bench()
    two_readers(bench)
    two_senders(bench)
    zero_task(bench)
    with pytest.raises(ManifestRefused) as refused:
        bench.runner.register_manifest(bench.manifest)
    words = ("zero id", "as its reader", "as its sender")
    assert all(any(word in each for each in refused.value.violations) for word in words)


def test_f02_a_manifest_is_registered_once() -> None:
    bench = Bench().registered()
    with pytest.raises(ManifestRefused, match="known already"):
        bench.runner.register_manifest(bench.manifest)
    with pytest.raises(ManifestRefused, match="known already"):
        Bench(runner=bench.runner).registered()  # others with the same identifiers
    assert len(bench.run()) > 0  # and the first goes on as if nothing had been


# unregister_manifest


def test_f09_a_manifest_that_was_never_registered_cannot_be_unregistered() -> None:
    bench = Bench()
    with pytest.raises(UnknownManifest) as refused:
        bench.runner.unregister_manifest(bench.manifest)
    ids = [*(task.id for task in bench.tasks), *(stream.id for stream in bench.streams)]
    assert refused.value.ids == tuple(map(str, ids))
    assert str(refused.value).startswith("unknown tasks or streams of the manifest: 0")


def test_f11_unregistering_twice_is_an_error_and_reports_nothing() -> None:
    bench = Bench().registered()
    bench.runner.unregister_manifest(bench.manifest)
    bench.news()
    with pytest.raises(UnknownManifest):
        bench.runner.unregister_manifest(bench.manifest)
    assert bench.news() == []


def test_r5_unregistering_cancels_and_closes_and_says_so_before_it_returns() -> None:
    bench = Bench().registered()
    bench.runner.start(bench.named("T1", "T2", "T3"))
    bench.runner.step()
    bench.runner.cancel(bench.named("T3"))
    assert bench.news()[-2:] == ["s2 Closed", "T3 Cancelled"]
    bench.runner.unregister_manifest(bench.manifest)
    news = bench.news()
    tasks = [each for each in news if each[0] == "T"]
    assert tasks == ["T1 Cancelled", "T2 Cancelled", "T4 Cancelled", "T5 Cancelled"]
    assert [each for each in news if each[0] == "s"] == [f"s{n} Closed" for n in (0, 1, 3, 4)]
    assert not bench.runner.step()
    assert bench.news() == []


def test_r5_unregistering_leaves_other_manifests_alone() -> None:
    bench = Bench().registered()
    other = Bench("V10", seed="other", runner=bench.runner).registered()
    other.runner.start(other.tasks)
    other.runner.step()
    other.news()
    bench.runner.unregister_manifest(bench.manifest)
    assert other.news() == []
    while other.runner.step():
        pass
    assert "T2 Completed" in other.news()


def test_m1_after_unregistering_the_same_manifest_may_come_again() -> None:
    bench = Bench().registered()
    bench.runner.start(bench.tasks)
    bench.runner.step()
    bench.runner.unregister_manifest(bench.manifest)
    bench.news()
    bench.registered()
    assert not bench.runner.step()  # nothing was started again
    assert len(bench.run()) > 0
    assert bench.news().count("T3 Completed") == 1
    bench.runner.unregister_manifest(bench.manifest)
    assert sizes(bench.runner) == sizes(InlineRunner())


def sizes(runner: InlineRunner) -> dict[str, int]:
    """How much is in each of its tables."""
    return {name: len(table) for name, table in vars(runner).items() if isinstance(table, Sized)}


# listen


def test_f14_f17_the_records_of_a_listened_stream_reach_the_listener_once() -> None:
    bench = Bench("V10").registered()
    rows = [row for batch in bench.run() for row in batch.to_pylist()]
    assert sorted((row["scan"], row["row"]) for row in rows) == sorted(
        (f"{scan}#2", n) for scan in "ABC" for n in range(6)
    )


def test_f15_f16_a_stream_has_one_reader() -> None:
    bench = Bench().registered()
    with pytest.raises(AlreadyBound) as refused:
        bench.runner.listen(bench.streams[1], Results())
    assert str(refused.value) == f"stream {bench.streams[1].id} has a reader already"
    first = Results(capacity=9)
    bench.runner.listen(bench.results, first)
    second = Results(capacity=9)
    with pytest.raises(AlreadyBound):
        bench.runner.listen(bench.results, second)
    bench.runner.start(bench.tasks)
    while bench.runner.step():
        pass
    assert first.poll() is not None
    assert second.poll() is None


def test_a_stream_that_nobody_registered_has_no_listener() -> None:
    stream = Stream(ULID.from_int(7))
    with pytest.raises(UnknownStream) as refused:
        InlineRunner().listen(stream, Results())
    assert str(refused.value) == f"unknown streams: {stream.id}"


# start


def test_f18_a_started_task_is_pending_before_start_returns() -> None:
    bench = Bench().registered()
    bench.runner.start(bench.named("T3", "T1"))
    assert bench.news() == ["T3 Pending", "T1 Pending"]


def test_f19_r6_starting_again_is_silent_whatever_the_task_does() -> None:
    bench = Bench().registered()
    bench.runner.start(bench.named("T3", "T3"))
    assert bench.news() == ["T3 Pending"]
    bench.runner.start(bench.named("T3"))
    bench.runner.step()
    bench.runner.start(bench.named("T3"))
    assert bench.news() == ["T3 Running"]
    bench.runner.cancel(bench.named("T3", "T4"))
    bench.news()
    bench.runner.start(bench.named("T3", "T4"))
    assert bench.news() == []
    assert not bench.runner.step()


def test_f20_one_unknown_task_starts_none() -> None:
    bench, unknown = Bench().registered(), stranger()
    with pytest.raises(UnknownTask) as refused:
        bench.runner.start([*bench.named("T1"), unknown, *bench.named("T2")])
    assert refused.value.ids == (str(unknown.id),)
    assert str(refused.value) == f"unknown tasks: {unknown.id}"
    assert bench.news() == []
    assert not bench.runner.step()


# cancel


def test_f21_f25_known_tasks_are_cancelled_also_beside_an_unknown_one() -> None:
    bench, unknown = Bench().registered(), stranger()
    bench.runner.start(bench.named("T3", "T4"))
    bench.news()
    with pytest.raises(UnknownTask) as refused:
        bench.runner.cancel([*bench.named("T3"), unknown, *bench.named("T4")])
    assert refused.value.ids == (str(unknown.id),)
    assert bench.news() == ["s2 Closed", "T3 Cancelled", "s3 Closed", "T4 Cancelled"]


def test_f23_f26_a_task_that_never_started_closes_its_sinks_and_is_cancelled() -> None:
    bench = Bench("V34").registered()
    bench.runner.cancel(bench.named("T2"))
    assert bench.news() == ["s1 Closed", "s3 Closed", "T2 Cancelled"]


def test_f24_cancelling_again_reports_nothing() -> None:
    bench = Bench().registered()
    bench.runner.cancel(bench.named("T3", "T3"))
    bench.news()
    bench.runner.cancel(bench.named("T3"))
    assert bench.news() == []


def test_a_task_that_is_over_stays_what_it_is() -> None:
    bench = Bench().registered()
    bench.run()
    assert "T3 Completed" in bench.news()
    bench.runner.cancel(bench.tasks)
    assert bench.news() == []


# What handlers may do.


def doing(call: Callable[[], object], *, at: str) -> Handler:
    """A handler that makes a call of its own once, when it is told `at`."""
    left = [call]

    def react(subject: str, state: str) -> None:
        if f"{subject} {state}" == at and left:
            left.pop()()

    return react


@pytest.mark.parametrize(
    "at",
    [
        "T1 Pending",
        "T3 Pending",
        "T1 Running",
        "T3 Running",
        "s2 Open",
        "s4 Blocked",
        "s0 Open",
        "s2 Closed",
        "T3 Completed",
        "s0 Closed",
        "T1 Completed",
    ],
)
def test_c6_a_handler_may_unregister_at_any_event(at: str) -> None:
    bench = Bench(runner=InlineRunner(rows_per_scan=20)).registered()
    bench.react = doing(lambda: bench.runner.unregister_manifest(bench.manifest), at=at)
    bench.runner.listen(bench.results, Results(capacity=9))
    bench.runner.start(bench.tasks)
    while bench.runner.step():
        pass
    news = bench.news()
    assert at in news
    for n in range(1, 6):
        ends = [each for each in news if each in (f"T{n} Completed", f"T{n} Cancelled")]
        assert len(ends) == 1, news
    for n in range(5):
        assert news.count(f"s{n} Closed") == 1, news
    with pytest.raises(UnknownTask):
        bench.runner.start(bench.tasks)


@pytest.mark.parametrize("at", ["T3 Pending", "T3 Running", "s2 Open", "s2 Closed", "T3 Completed"])
@pytest.mark.parametrize("who", ["T1", "T3", "T4"])
def test_c6_a_handler_may_cancel_at_any_event(at: str, who: str) -> None:
    bench = Bench(runner=InlineRunner(rows_per_scan=20)).registered()
    bench.react = doing(lambda: bench.runner.cancel(bench.named(who)), at=at)
    bench.runner.listen(bench.results, Results(capacity=9))
    bench.runner.start(bench.tasks)
    while bench.runner.step():
        pass
    news = bench.news()
    assert at in news
    for n in range(1, 6):
        assert sum(f"T{n} {end}" in news for end in ("Completed", "Cancelled")) == 1, news


def test_s3_a_task_that_is_cancelled_as_it_opens_its_sink_sends_nothing() -> None:
    bench = Bench("V10").registered()
    bench.react = doing(lambda: bench.runner.cancel(bench.named("T2")), at="s1 Open")
    rows = [row["scan"] for batch in bench.run() for row in batch.to_pylist()]
    assert rows.count("A#2") == 0
    assert (rows.count("B#2"), rows.count("C#2")) == (6, 6)


def test_c6_a_handler_that_unregisters_while_others_are_cancelled_makes_no_task_unknown() -> None:
    bench = Bench().registered()
    bench.react = doing(lambda: bench.runner.unregister_manifest(bench.manifest), at="T3 Cancelled")
    bench.runner.cancel(bench.named("T3", "T4"))
    assert bench.news().count("T4 Cancelled") == 1


# How it runs.


@pytest.mark.parametrize("name", ["V04", "V10", "V28", "V31", "V36", "V39", "V43", "V56"])
def test_every_task_ends_and_states_go_forward(name: str) -> None:
    bench = Bench(name).registered()
    bench.run()
    order = ["Pending", "Running", "Completed"]
    streams = ["Idle", "Open", "Blocked", "Closed"]
    news = bench.news()
    for n in range(1, len(bench.tasks) + 1):
        assert [each.split()[1] for each in news if each.split()[0] == f"T{n}"] == order
    for n in range(len(bench.streams)):
        states = [each.split()[1] for each in news if each.split()[0] == f"s{n}"]
        assert states[-1:] == ["Closed"]
        assert states.count("Closed") == 1
        assert set(states) <= set(streams)


def test_a_reader_that_nobody_serves_is_told_that_it_is_stuck() -> None:
    with pytest.raises(Stuck):
        next(InlineRunner().read(Results()))


def test_a_limit_lets_no_more_rows_pass() -> None:
    plan = Plan()
    limit, scan = plan.add(Limit(fetch=7)), plan.add(DataObjScan())
    plan.add_edge(limit, scan)
    runner = InlineRunner(rows_per_scan=20)
    results = Workflow(plan, runner).run()
    assert [batch.num_rows for batch in runner.read(results)] == [4, 3]


def test_closing_the_workflow_from_inside_a_wake_up_takes_everything_out() -> None:
    runner = InlineRunner(rows_per_scan=20)
    workflow = Workflow(build(CASES["V04"])[0], runner)
    results = workflow.run()
    results.watch(workflow.close)
    while runner.step():
        pass
    assert workflow.closed
    assert workflow.close_error is None
    with pytest.raises(UnknownTask):
        runner.cancel(workflow.manifest.tasks)


def test_a_workflow_closed_at_its_last_event_is_over() -> None:
    """The end of the results wakes a reader that closes: from inside the root's last events."""
    runner = InlineRunner(rows_per_scan=3)
    workflow = Workflow(build(CASES["V01"])[0], runner)
    results = workflow.run()
    ends: list[str] = []

    def wake() -> None:
        try:
            batch = results.poll()
        except EndOfStream:
            ends.append("end")
            workflow.close()
        else:
            results.watch(wake)
            assert batch is None or batch.num_rows == 3

    results.watch(wake)
    while runner.step():
        pass
    assert ends == ["end"]
    assert workflow.closed
    assert workflow.state(workflow.manifest.tasks[0]) is TaskState.COMPLETED
