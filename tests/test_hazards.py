"""No hazard of the reference is left: one test or more for each, named as in docs/departures.md."""

import re
from pathlib import Path

import pytest
from cases import build
from driven import (
    BATCH,
    CASES,
    S,
    above,
    below,
    end_of,
    span,
    states,
    three_scans,
    tokens,
    workflow_of,
)
from strict_runner import StrictRunner

from workflow import (
    ContributingTimeRange,
    EndOfStream,
    GraphError,
    LimitTooSmall,
    ManifestRefused,
    Options,
    Plan,
    PlanError,
    Statistic,
    Statistics,
    StreamState,
    TaskCancelled,
    TaskFailed,
    TaskStatus,
    Workflow,
    WorkflowCancelled,
    WorkflowClosed,
    WorkflowMisuse,
    WriteClosed,
)
from workflow.plan import DataObjScan, Filter, Merge, Parallelize, TopK


def test_w1_a_task_cancelled_before_its_start_takes_no_token() -> None:
    runner = StrictRunner()
    workflow = Workflow(
        three_scans((0, 45), (50, 60), (10, 100)), runner, Options(max_running_scan_tasks=1)
    )
    workflow.run()
    runner.run("T1", "T2")
    runner.report_range("T1", below(40))
    assert states(workflow) == "RRXC"
    runner.complete("T2")
    assert states(workflow) == "ROXP"  # E11: the token went to the task that can use it
    assert "start T3" not in runner.calls


def test_w1_after_an_early_end_nothing_is_left_holding_or_waiting() -> None:  # E09
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, scan=1)
    runner.run("T1", "T2", "T3")
    runner.complete("T1")
    assert states(workflow) == "OXXXX"
    assert tokens(workflow) == "0/0"
    assert "start T4" not in runner.calls


def test_w2_an_end_that_arrives_before_the_start_returns_the_token() -> None:
    runner = StrictRunner(reports_later=True)
    workflow = Workflow(
        three_scans((0, 45), (50, 60), (10, 100)), runner, Options(max_running_scan_tasks=1)
    )
    workflow.run()  # pending: T1 Pending, T2 Pending
    runner.cancel([runner.task("T2")])  # pending: stream Closed, T2 Cancelled
    runner.deliver(3, 1, 0, 2)
    assert workflow.state(runner.task("T2")) is S.CANCELLED
    assert tokens(workflow).startswith("0/")


@pytest.mark.parametrize(("name", "smallest"), [("V26", 2), ("V04", 2)], ids=["E10", "V04"])
def test_w3_too_few_tokens_of_the_other_lane_are_refused(name: str, smallest: int) -> None:
    with pytest.raises(LimitTooSmall) as refused:
        workflow_of(name, StrictRunner(), other=smallest - 1)
    assert refused.value.smallest == smallest
    runner = StrictRunner()
    workflow_of(name, runner, other=smallest)
    assert "register" in runner.calls


@pytest.mark.parametrize(("name", "smallest"), [("V43", 2), ("V36", 4)], ids=["E15", "E14"])
def test_w4_too_few_tokens_for_scans_that_wait_for_scans_are_refused(
    name: str, smallest: int
) -> None:
    runner = StrictRunner()
    with pytest.raises(LimitTooSmall) as refused:
        workflow_of(name, runner, scan=smallest - 1)
    assert str(refused.value) == (
        f"max_running_scan_tasks: got {smallest - 1}, with which this plan can hang: tasks would"
        " hold every token while they wait for a task that needs one; expected at least"
        f" {smallest}, or 0 for no limit"
    )
    assert runner.calls == []
    workflow_of(name, runner, scan=smallest)


def test_w5_the_end_waits_for_every_task_and_a_failure_comes_first() -> None:
    runner = StrictRunner()
    runner.close_sinks = False
    workflow = workflow_of("V03", runner)
    runner.run("T1", "T2")
    runner.stream(workflow.results_stream, StreamState.CLOSED)
    assert end_of(workflow) is None
    error = RuntimeError("late")
    runner.report("T2", S.FAILED, error)
    assert end_of(workflow) is error


def test_w6_a_root_cancelled_by_somebody_else_is_no_success() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V03", runner)
    runner.run("T1")
    runner.cancel([runner.task("T1")])
    assert isinstance(end_of(workflow), TaskCancelled)
    assert str(end_of(workflow)).endswith("was cancelled, and not by this workflow")


def test_w6_a_close_in_the_middle_is_no_success() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V03", runner)
    runner.run("T1")
    workflow.close()
    assert isinstance(end_of(workflow), WorkflowClosed)


def test_w6_a_reader_that_closed_first_sees_no_error() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V03", runner)
    workflow.results.close()
    assert states(workflow) == "XX"
    workflow.close()
    assert isinstance(end_of(workflow), EndOfStream)


@pytest.mark.parametrize("name", ["T1", "T2"])
def test_w7_a_failure_without_an_error_is_a_failure(name: str) -> None:  # departs from E18
    runner = StrictRunner()
    runner.close_sinks = False
    workflow = workflow_of("V03", runner)
    runner.report(name, S.FAILED)
    assert isinstance(end_of(workflow), TaskFailed)


def test_w8_a_child_that_has_closed_its_sinks_is_left_to_complete() -> None:
    runner = StrictRunner()
    runner.close_sinks = False
    workflow = workflow_of("V03", runner)
    runner.run("T1", "T2")
    child = runner.task("T2")
    for stream in child.sink_streams():
        runner.stream(stream, StreamState.CLOSED)
    runner.complete("T1")
    assert not any(call.startswith("cancel") for call in runner.calls)
    runner.complete("T2")
    assert states(workflow) == "OO"


def test_w8_the_reader_sees_no_end_before_the_root_s_own_word() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    runner.run("T1")
    runner.stream(workflow.results_stream, StreamState.CLOSED)
    assert end_of(workflow) is None


def test_w9_a_failure_stops_dispatch_and_cancels_from_the_root_down() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, scan=1)
    runner.run("T1", "T2", "T3")
    runner.report("T3", S.FAILED, RuntimeError("broken"))
    assert states(workflow) == "XXFXX"
    assert [call for call in runner.calls if call.startswith("cancel")] == [
        "cancel T1",
        "cancel T2",
        "cancel T4 T5",
    ]
    assert "start T4" not in runner.calls


def test_w10_a_child_that_another_parent_reads_is_not_cancelled() -> None:  # departs from E13
    runner = StrictRunner()
    workflow = workflow_of("V36", runner)
    runner.run("T2", "T5")
    runner.report_range("T2", below(55))
    assert states(workflow) == "PRPPR"
    runner.report_range("T5", below(60))
    assert states(workflow) == "PRPXR"


def test_w10_a_parent_that_is_over_needs_nothing() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V36", runner)
    runner.run("T2", "T5")
    runner.report_range("T2", below(55))
    runner.complete("T5")
    assert states(workflow) == "PRPXO"


@pytest.mark.parametrize("range_", [above(5), below(5)])
def test_w11_a_child_whose_times_are_unknown_is_never_excluded(
    range_: ContributingTimeRange,
) -> None:  # departs from E16
    runner = StrictRunner()
    workflow = workflow_of("V45", runner)
    runner.run("T1")
    runner.report_range("T1", range_)
    assert states(workflow) == "RP"


def test_w11_a_child_is_judged_by_what_its_own_children_may_give() -> None:
    runner = StrictRunner()  # V43 under a root: T2 prints 10..50, and reads up to 100
    plan, _ = build(CASES["V43"])
    join = plan.root()
    root, fork = plan.add(TopK()), plan.add(Parallelize())
    plan.add_edge(root, fork)
    plan.add_edge(fork, join)
    workflow = Workflow(plan, runner)
    workflow.run()
    runner.run("T1")
    runner.report_range("T1", above(60))
    assert "X" not in states(workflow)


def test_w12_a_report_counts_whoever_sends_it() -> None:
    runner = StrictRunner()
    plan = three_scans((0, 45), (50, 60))
    workflow = Workflow(plan, runner)
    workflow.run()
    runner.run("T1")
    runner.report_range("T1", below(50))
    assert states(workflow) == "RPX"


@pytest.mark.parametrize("late", [S.PENDING, S.RUNNING, S.FAILED, S.CANCELLED])
def test_w13_nothing_changes_after_the_end_of_a_task(late: S) -> None:  # departs from E22
    runner = StrictRunner()
    workflow = workflow_of("V36", runner, scan=4)
    runner.complete("T2")
    before = states(workflow), tokens(workflow), list(runner.calls)
    handler = workflow.manifest.task_event_handler
    handler(runner.task("T2"), TaskStatus(late, contributing_time_range=below(0)))
    assert (states(workflow), tokens(workflow), runner.calls) == before
    assert end_of(workflow) is None


def test_w14_statistics_are_given_to_the_caller_once() -> None:
    rows = Statistic("rows")
    runner = StrictRunner()
    workflow = workflow_of("V03", runner, run=False)
    mine = Statistics()
    results = workflow.run(statistics=mine)
    runner.run("T2")
    runner.report_status("T2", TaskStatus(S.COMPLETED, statistics=Statistics({rows: 5})))
    runner.reports_later = True  # so that T1 is not over when the reader closes
    results.close()
    results.close()
    assert mine[rows] == 5
    late = TaskStatus(S.CANCELLED, statistics=Statistics({rows: 2}))
    workflow.manifest.task_event_handler(runner.task("T1"), late)
    assert mine[rows] == workflow.statistics[rows] == 7


def test_w15_close_asks_for_no_cancellation_and_happens_once() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner)
    before = len(runner.calls)
    workflow.close()
    workflow.close()
    assert runner.calls[before:] == ["unregister"]
    assert states(workflow) == "XXXXX"
    assert workflow.closed


def test_w15_a_workflow_that_could_not_register_does_not_unregister() -> None:
    runner = StrictRunner()
    runner.refuse["register_manifest"] = ManifestRefused(("no room",))
    with pytest.raises(ManifestRefused):
        workflow_of("V04", runner)
    assert runner.calls == []


def test_w15_a_workflow_that_could_not_listen_leaves_nothing_registered() -> None:
    runner = StrictRunner()
    runner.refuse["listen"] = RuntimeError("no")
    with pytest.raises(RuntimeError, match="no"):
        workflow_of("V04", runner)
    assert runner.calls == ["register", "unregister"]
    assert runner.manifests == []


def test_w15_close_returns_whatever_the_runner_raises() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner)
    error = RuntimeError("gone")
    runner.refuse["unregister_manifest"] = error
    workflow.close()
    assert workflow.closed
    assert workflow.close_error is error


def test_w16_a_second_run_is_refused_and_changes_nothing() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner)
    before = list(runner.calls)
    with pytest.raises(WorkflowMisuse):
        workflow.run()
    assert runner.calls == before


def test_w16_a_run_after_close_starts_nothing_and_says_so() -> None:  # E23
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, run=False)
    workflow.close()
    results = workflow.run()
    assert not any(call.startswith("start") for call in runner.calls)
    with pytest.raises(WorkflowClosed):
        results.poll()


def test_w17_cancel_stops_dispatch_and_what_runs_and_gives_the_reason() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, scan=1)
    workflow.cancel("the user went home")
    assert states(workflow) == "XXXXX"
    assert tokens(workflow) == "0/0"
    error = end_of(workflow)
    assert isinstance(error, WorkflowCancelled)
    assert str(error) == "the user went home"


def test_w17_cancel_before_run_starts_nothing() -> None:  # E24
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, run=False)
    reason = TimeoutError("too late")
    workflow.cancel(reason)
    assert workflow.run() is workflow.results
    assert not any(call.startswith("start") for call in runner.calls)
    assert end_of(workflow) is reason


def test_w18_an_end_before_the_first_start_is_handled_as_any_other() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, scan=1, run=False)
    runner.cancel([runner.task("T3")])
    assert isinstance(end_of(workflow), TaskCancelled)
    workflow.run()
    assert not any(call.startswith("start") for call in runner.calls)


def test_w19_another_end_of_the_same_task_adds_nothing() -> None:
    rows = Statistic("rows")
    runner = StrictRunner()
    workflow = workflow_of("V03", runner)
    runner.run("T2")
    runner.report_status("T2", TaskStatus(S.COMPLETED, statistics=Statistics({rows: 1})))
    again = TaskStatus(S.FAILED, RuntimeError("again"), statistics=Statistics({rows: 1}))
    workflow.manifest.task_event_handler(runner.task("T2"), again)
    assert workflow.statistics[rows] == 1
    assert end_of(workflow) is None


def test_p1_a_root_parallelize_stays_in_its_one_task() -> None:
    workflow = workflow_of("V23", StrictRunner())
    assert len(workflow) == 1


def _remote_diamond() -> Plan:
    plan = Plan()
    merge, fa, fb, f = (plan.add(node) for node in (Merge(), Filter(), Filter(), Filter()))
    top, scan = plan.add(TopK()), plan.add(DataObjScan())
    for parent, child in ((merge, fa), (merge, fb), (fa, f), (fb, f), (f, top), (top, scan)):
        plan.add_edge(parent, child)
    for number, node in enumerate(plan):
        plan.ids[node] = number
    return plan


def test_p2_a_diamond_over_remote_input_is_refused() -> None:
    runner = StrictRunner()
    with pytest.raises(PlanError, match=r"diamond: node 3 \(Filter\)"):
        Workflow(_remote_diamond(), runner)
    assert runner.calls == []


@pytest.mark.parametrize("name", ["V28", "V29", "V34"])
def test_p3_a_task_with_two_ways_into_one_reader_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match="diamond: "):
        workflow_of(name, StrictRunner())


def test_p4_tasks_that_nobody_reads_are_refused() -> None:
    with pytest.raises(GraphError, match="many-roots: got 2 nodes without a parent"):
        workflow_of("V48", StrictRunner())


def test_p5_printed_ranges_are_the_reference_s_and_decide_nothing() -> None:
    workflow = workflow_of("V36", StrictRunner())
    shard = workflow.manifest.tasks[1]
    assert shard.max_time_range == span(1, 2)  # it reads up to 80


def test_p6_a_shard_stands_behind_its_siblings_as_in_the_reference() -> None:
    workflow = workflow_of("V39", StrictRunner())
    shard = workflow.manifest.tasks[1].fragment
    *_, last = shard.children(shard.root())
    assert isinstance(last, DataObjScan)
    assert last.location == "a"


def test_p7_a_node_in_two_fragments_cannot_be_changed_through_one() -> None:
    workflow = workflow_of("V05", StrictRunner())
    one, other = workflow.manifest.tasks[1:]
    shared = one.fragment.root()
    assert shared in other.fragment
    with pytest.raises(AttributeError):
        shared.batch_size = 7  # type: ignore[attr-defined]
    one.fragment.add(Merge())
    assert len(other.fragment) == 3


def test_e1_an_error_comes_before_a_record_that_waits() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    workflow.results.offer(BATCH)
    error = RuntimeError("broken")
    runner.report("T1", S.FAILED, error)
    assert end_of(workflow) is error


def test_e2_a_writer_without_room_hears_of_an_error() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    woken: list[str] = []
    assert workflow.results.offer(BATCH)
    workflow.results.watch(lambda: woken.append("writer"))
    assert not workflow.results.offer(BATCH)
    runner.report("T1", S.FAILED, RuntimeError("broken"))
    assert woken == ["writer"]
    with pytest.raises(WriteClosed):
        workflow.results.offer(BATCH)


def test_e3_no_error_follows_the_end() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    runner.complete("T1")
    assert isinstance(end_of(workflow), EndOfStream)
    workflow.cancel("late")
    workflow.close()
    assert isinstance(end_of(workflow), EndOfStream)


def test_every_hazard_that_is_settled_in_the_docs_has_a_test_here() -> None:
    page = (Path(__file__).parent.parent / "docs" / "departures.md").read_text(encoding="utf-8")
    settled = re.findall(r"^\| ([WPE]\d+) ", page, re.MULTILINE)
    assert settled == [
        *(f"P{number}" for number in range(1, 8)),
        *(f"W{number}" for number in range(1, 20)),
        *(f"E{number}" for number in range(1, 4)),
    ]
    tested = " ".join(name for name in globals() if name.startswith("test_"))
    assert [each for each in settled if f"test_{each.lower()}_" not in tested] == []
