"""What a Workflow does with events, call by call.  E01 to E24 are the event cases."""

import sys
import threading
from collections.abc import Callable

import pytest
from cases import build
from driven import (
    BATCH,
    CASES,
    S,
    above,
    below,
    end_of,
    states,
    three_scans,
    tokens,
    workflow_of,
)
from strict_runner import StrictRunner

from sim.inline import InlineRunner
from workflow import (
    Capture,
    EndOfStream,
    ForeignEvent,
    Identifiers,
    Options,
    Statistic,
    Statistics,
    StreamState,
    TaskStatus,
    Workflow,
    sprint,
)

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
