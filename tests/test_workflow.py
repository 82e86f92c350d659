"""What a Workflow does with events, call by call; and no hazard of the reference is left.

E01 to E24 are the event cases, W, P and E the hazards, as docs/departures.md names them.
"""

import sys
import threading
from collections.abc import Callable

import pyarrow as pa
import pytest
from cases import build, load_cases, second
from strict_runner import StrictRunner

from sim.inline import InlineRunner
from workflow import (
    Capture,
    ContributingTimeRange,
    EndOfStream,
    ForeignEvent,
    GraphError,
    Identifiers,
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
    TaskState,
    TaskStatus,
    TimeRange,
    Workflow,
    WorkflowCancelled,
    WorkflowClosed,
    WorkflowMisuse,
    WriteClosed,
    sprint,
)
from workflow.plan import DataObjScan, Filter, Merge, Parallelize, ScanSet, TopK

S = TaskState
CASES = load_cases()
BATCH = pa.record_batch({"row": [1]})


def workflow_of(
    name: str, runner: StrictRunner, *, scan: int = 0, other: int = 0, run: bool = True
) -> Workflow:
    """The workflow of a case, run."""
    plan, _ = build(CASES[name])
    options = Options(max_running_scan_tasks=scan, max_running_other_tasks=other)
    workflow = Workflow(plan, runner, options)
    if run:
        workflow.run()
    return workflow


def three_scans(*ranges: tuple[int, int]) -> Plan:
    """A TopK over one scan for each range."""
    plan = Plan()
    top, fork = plan.add(TopK(ascending=True)), plan.add(Parallelize())
    scans = plan.add(
        ScanSet(
            targets=tuple(
                DataObjScan(location=f"x{i}", max_time_range=_range(*bounds))
                for i, bounds in enumerate(ranges)
            )
        )
    )
    plan.add_edge(top, fork)
    plan.add_edge(fork, scans)
    return plan


def _range(start: int, end: int) -> TimeRange:
    return TimeRange(second(start), second(end))


def below(seconds: int) -> ContributingTimeRange:
    """Only data before this can matter."""
    return ContributingTimeRange(second(seconds), less_than=True)


def above(seconds: int) -> ContributingTimeRange:
    """Only data after this can matter."""
    return ContributingTimeRange(second(seconds), less_than=False)


def states(workflow: Workflow) -> str:
    """The recorded states, a letter each: Created Pending Running cOmpleted X cancelled Failed."""
    letters = {
        S.CREATED: "C",
        S.PENDING: "P",
        S.RUNNING: "R",
        S.COMPLETED: "O",
        S.CANCELLED: "X",
        S.FAILED: "F",
    }
    return "".join(letters[workflow.state(task)] for task in workflow.manifest.tasks)


def tokens(workflow: Workflow) -> str:
    """Tokens in use, scan/other."""
    return "/".join(str(len(list(workflow.admission.holders(x)))) for x in ("scan", "other"))


def end_of(workflow: Workflow) -> BaseException | None:
    """How the results end, after whatever is still in them; None if they have not."""
    try:
        while workflow.results.poll() is not None:
            pass
    except Exception as error:  # noqa: BLE001 - any error may be the end
        return error
    return None


# Construction and dispatch.


def test_a_workflow_registers_its_tasks_and_starts_none_before_run() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, run=False)
    assert runner.calls == ["register"]
    assert states(workflow) == "CCCCC"
    assert len(workflow) == 5
    assert str(workflow) == sprint(workflow)
    assert workflow.manifest.streams[0] is workflow.results_stream
    assert runner.writer is workflow.results


@pytest.mark.parametrize(
    ("name", "starts"),
    [("V36", "T1 T2 T3 T4 T5"), ("V25", "T1 T2 T5 T3 T4 T6 T7")],
    ids=["D09 V36", "D09 V25"],
)
def test_tasks_start_one_by_one_the_other_lane_first(name: str, starts: str) -> None:
    runner = StrictRunner()
    workflow_of(name, runner)
    assert runner.calls[1:] == [f"start {task}" for task in starts.split()]


def test_with_a_limit_of_32_a_hundred_scans_go_through_32_at_a_time() -> None:  # D07
    runner = StrictRunner()
    workflow = Workflow(three_scans(*[(0, 1)] * 100), runner, Options(max_running_scan_tasks=32))
    workflow.run()
    assert 101 - states(workflow).count("C") == 33
    for number in range(2, 102):
        runner.complete(f"T{number}")
    assert states(workflow).count("O") == 100


@pytest.mark.parametrize("limit", [0, -1], ids=["D08 zero", "D08 negative"])
def test_a_limit_below_one_is_none(limit: int) -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, scan=limit, other=limit)
    assert states(workflow) == "PPPPP"


def test_a_waiting_scan_starts_when_one_completes() -> None:  # E08
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, scan=1)
    assert states(workflow) == "PPPCC"
    runner.complete("T3")
    assert states(workflow) == "PPOPC"
    runner.complete("T4")
    assert states(workflow) == "PPOOP"


@pytest.mark.parametrize("bad", [{"tenant": 3}, {"max_running_scan_tasks": True}])
def test_an_option_of_the_wrong_type_is_refused_by_name(bad: dict[str, object]) -> None:
    [name] = bad
    with pytest.raises(TypeError, match=f"Options.{name}: got .*, expected a "):
        Options(**bad)  # type: ignore[arg-type]


# Cancellation.


@pytest.mark.parametrize("state", [S.COMPLETED, S.CANCELLED, S.FAILED])
def test_when_the_root_is_over_everything_below_is_cancelled(state: S) -> None:  # E01
    runner = StrictRunner()
    workflow = workflow_of("V09", runner)
    runner.run("T1")
    runner.report("T1", state)
    assert states(workflow)[1:] == "XX"


def test_the_cascade_goes_level_by_level_and_returns_every_token() -> None:  # E07
    runner = StrictRunner()
    workflow = workflow_of("V04", runner)
    runner.complete("T1")
    assert [call for call in runner.calls if call.startswith("cancel")] == [
        "cancel T2",
        "cancel T3 T4 T5",
    ]
    assert tokens(workflow) == "0/0"


def test_a_report_cancels_the_children_that_lie_outside_and_later_ones_more() -> None:  # E02 E03
    runner = StrictRunner()
    workflow = Workflow(three_scans((120, 180), (60, 120), (0, 60)), runner)
    workflow.run()
    runner.run("T1")
    runner.report_range("T1", above(135))
    assert states(workflow) == "RPXX"
    assert tokens(workflow) == "1/1"
    runner.report_range("T1", above(170))
    assert states(workflow) == "RPXX"
    runner.report_range("T1", above(180))
    assert states(workflow) == "RXXX"


def test_a_report_of_an_upper_bound_spares_what_starts_before_it() -> None:  # E04
    runner = StrictRunner()
    workflow = Workflow(three_scans((120, 180), (60, 120), (0, 60)), runner)
    workflow.run()
    runner.run("T1")
    runner.report_range("T1", below(80))
    assert states(workflow) == "RXPP"
    runner.report_range("T1", below(60))
    assert states(workflow) == "RXXP"


def test_a_shared_child_is_cancelled_with_its_last_parent() -> None:  # E12
    runner = StrictRunner()
    workflow = workflow_of("V36", runner)
    runner.complete("T2")
    assert states(workflow) == "POPPP"
    runner.complete("T5")
    assert states(workflow) == "POXXO"
    assert runner.calls[-1] == "cancel T3 T4"


def test_a_terminal_state_with_nobody_to_cancel_calls_nobody() -> None:  # departs from E20
    runner = StrictRunner()
    workflow_of("V04", runner)
    runner.complete("T3")
    assert not any(call.startswith("cancel") for call in runner.calls)


def test_the_same_end_twice_has_no_second_effect() -> None:  # E19
    runner = StrictRunner()
    workflow = workflow_of("V04", runner, scan=1)
    runner.complete("T3")
    before = list(runner.calls)
    workflow.manifest.task_event_handler(runner.task("T3"), TaskStatus(S.COMPLETED))
    assert runner.calls == before
    assert tokens(workflow) == "1/2"


# How the results end.


def test_the_reader_gets_every_record_and_then_the_end() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    assert workflow.results.offer(BATCH)
    runner.complete("T1")
    assert workflow.results.poll() is BATCH
    for _ in range(2):
        with pytest.raises(EndOfStream):
            workflow.results.poll()


def test_only_the_results_stream_can_end_the_results() -> None:  # E21
    runner = StrictRunner()
    runner.close_sinks = False
    workflow = workflow_of("V03", runner)
    for state in (StreamState.OPEN, StreamState.BLOCKED, StreamState.OPEN):
        runner.stream(workflow.results_stream, state)
    runner.stream(workflow.manifest.streams[1], StreamState.CLOSED)
    runner.complete("T2", "T1")
    assert end_of(workflow) is None
    runner.stream(workflow.results_stream, StreamState.CLOSED)
    assert isinstance(end_of(workflow), EndOfStream)


def test_the_first_error_wins() -> None:  # E05
    runner = StrictRunner(reports_later=True)
    workflow = workflow_of("V04", runner)
    runner.deliver()
    first, other = RuntimeError("first"), RuntimeError("second")
    runner.run("T3", "T4")
    runner.report("T3", S.FAILED, first)
    runner.report("T4", S.FAILED, other)
    runner.deliver()
    assert end_of(workflow) is first
    assert end_of(workflow) is first


def test_an_event_of_another_manifest_fails_the_run_and_says_of_what() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    stranger = next(Workflow(build(CASES["V02"])[0], StrictRunner()).tasks.preorder())
    workflow.manifest.task_event_handler(stranger, TaskStatus(S.RUNNING))
    assert isinstance(end_of(workflow), ForeignEvent)
    assert str(stranger.id) in str(end_of(workflow))


# Capture and statistics.


def test_captures_and_statistics_of_tasks_merge_into_the_run_s() -> None:
    rows = Statistic("rows")
    runner = StrictRunner()
    workflow = workflow_of("V03", runner, run=False)
    capture, mine = Capture(), Statistics({rows: 100})
    region = capture.region("query")
    results = workflow.run(capture=capture, region=region, statistics=mine)
    for name, count in (("T2", 3), ("T1", 4)):
        part = Capture()
        part.region(f"task {name}").statistics.record(rows, count)
        runner.run(name)
        runner.report_status(
            name, TaskStatus(S.COMPLETED, capture=part, statistics=Statistics({rows: count}))
        )
    assert workflow.statistics[rows] == 7
    assert mine[rows] == 100
    results.close()
    assert mine[rows] == 107
    assert [(each.name, each.parent) for each in capture.regions] == [
        ("query", None),
        ("task T2", region),
        ("task T1", region),
    ]


def test_without_a_capture_of_the_caller_none_is_kept() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    part = Capture()
    part.region("task")
    runner.run("T1")
    runner.report_status("T1", TaskStatus(S.COMPLETED, capture=part))
    assert workflow.capture is None


def test_debug_options_log_a_line_for_each_event() -> None:
    lines: list[str] = []
    runner = StrictRunner()
    plan, _ = build(CASES["V02"])
    options = Options(debug_tasks=True, debug_streams=True)
    workflow = Workflow(plan, runner, options, log=lines.append)
    workflow.run()
    runner.complete("T1")
    [task] = workflow.manifest.tasks
    assert lines == [
        f"task {task.id} Pending",
        f"task {task.id} Running",
        f"stream {workflow.results_stream.id} Closed",
        f"task {task.id} Completed",
    ]


# The hazards of the reference, one by one.


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
    assert shard.max_time_range == _range(1, 2)  # it reads up to 80


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


# Errors of the Runner, re-entrance, threads.


def test_a_start_that_is_refused_ends_the_run_with_that_error() -> None:
    runner = StrictRunner()
    error = RuntimeError("no worker")
    plan, _ = build(CASES["V04"])
    workflow = Workflow(plan, runner)
    runner.refuse["start"] = error
    workflow.run()
    assert end_of(workflow) is error
    assert tokens(workflow) == "0/0"
    assert [call for call in runner.calls if call.startswith("start")] == ["start T1"]


def test_a_cancel_that_raises_fails_this_run_and_leaves_no_event_behind() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V04", runner)
    error = RuntimeError("cannot cancel")
    runner.refuse["cancel"] = error
    runner.complete("T1")
    assert end_of(workflow) is error
    workflow.close()
    assert workflow.closed


def test_a_runner_that_answers_inside_its_calls_needs_no_deep_stack() -> None:
    runner = StrictRunner()
    workflow = Workflow(three_scans(*[(0, 1)] * 3_000), runner, Options(max_running_scan_tasks=1))

    def complete_at_once(start: Callable[..., None]) -> Callable[..., None]:
        def wrapped(tasks: list[object]) -> None:
            start(tasks)
            for task in tasks:
                name = f"T{order[task] + 1}"
                if name != "T1":
                    runner.complete(name)

        return wrapped

    order: dict[object, int] = {task: i for i, task in enumerate(runner.states)}
    runner.start = complete_at_once(runner.start)  # type: ignore[method-assign]
    workflow.run()
    assert states(workflow) == "P" + "O" * 3_000


def test_when_closed_tells_after_the_unregistration_and_at_once_later() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V02", runner)
    seen: list[str] = []
    workflow.when_closed(lambda: seen.append(runner.calls[-1]))
    assert seen == []
    workflow.close()
    workflow.when_closed(lambda: seen.append("late"))
    assert seen == ["unregister", "late"]


def test_events_from_eight_threads_end_in_one_consistent_state() -> None:
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        runner = StrictRunner(reports_later=True)
        workflow = Workflow(three_scans(*[(0, 1)] * 64), runner, Options(max_running_scan_tasks=3))
        workflow.run()
        done = threading.Event()
        lock = threading.Lock()

        def work() -> None:
            for _ in range(100_000):
                if done.is_set():
                    return
                with lock:
                    pending, runner.pending = runner.pending, []
                    live = [t for t, s in runner.states.items() if s is S.PENDING][1:2]
                    for task in live:
                        runner.states[task] = S.COMPLETED
                handler = workflow.manifest.task_event_handler
                for call in pending:
                    call()
                for task in live:
                    handler(task, TaskStatus(S.COMPLETED))
                if states(workflow).count("O") == 64:
                    done.set()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert done.is_set()
        assert tokens(workflow) == "0/1"
    finally:
        sys.setswitchinterval(old)


@pytest.mark.parametrize("name", ["V01", "V03", "V04", "V25", "V36", "V41", "V58"])
def test_a_workflow_on_the_runner_in_one_thread_runs_to_its_end(name: str) -> None:
    runner = InlineRunner(rows_per_scan=7, batch_rows=3)
    plan, _ = build(CASES[name])
    workflow = Workflow(plan, runner, ids=Identifiers(name))
    rows = sum(batch.num_rows for batch in runner.read(workflow.run()))
    assert rows > 0
    assert set(states(workflow)) == {"O"}
    workflow.close()


def test_a_watcher_that_raises_keeps_no_workflow_in_its_runner() -> None:
    runner = StrictRunner()
    workflow = workflow_of("V03", runner)
    told: list[str] = []

    def raises() -> None:
        raise RuntimeError("a host gone wrong")

    workflow.results.watch(raises)
    workflow.when_closed(lambda: told.append("closed"))
    workflow.close()
    assert runner.manifests == []
    assert told == ["closed"]
    assert states(workflow) == "XX"


def test_an_actor_that_is_no_text_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"Options.actor: got \('a', 2\), expected a tuple of texts"
    ):
        Options(actor=("a", 2))  # type: ignore[arg-type]
