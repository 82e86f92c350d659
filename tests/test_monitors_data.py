"""D1 to D5, D7 and D8: each rule is violated by a story at least, and holds in its likes."""

import pytest
from stories import CLUSTER, END, LANES, REGISTERED, holds, verdict, violated

from properties.monitors.data import (
    MONITORS,
    EmptyBatchIsNoEnd,
    ErrorKindsStay,
    NoDuplication,
    NoLoss,
    NothingLostInCutting,
    RecordsInOrder,
    RightAnswer,
)
from properties.monitors.judge import judge_trace
from scenarios.shelf import find_scenario, scenario_names
from sim.choices import Seeded
from sim.scenario import Scenario, Workload
from sim.simulate import simulate
from workflow import plan_from_text
from workflow.trace import Event, Trace

WORLD = (CLUSTER, *REGISTERED)
TARGET = "@target type=ScanTypeDataObject location={} streams=0 section_id=0 projections=()"
PLAN = f"""
Merge
└── Parallelize
    └── ScanSet num_targets=2
            ├── {TARGET.format("north")}
            └── {TARGET.format("south")}
"""
SCENARIO = Scenario(workloads=(Workload(plan=plan_from_text(PLAN), rows_per_scan=4),))
ALL = 'read m0/s0 rows=8 ids=["m0/t1.0:0-3","m0/t2.0:0-3"]'
EOF = "read_eof m0/s0"


def test_the_family_is_whole() -> None:
    rules = [monitor.rule for monitor in MONITORS]
    assert rules == ["D1", "D2", "D3", "D4", "D5", "D7", "D8"]


# D1


def test_a_reader_gets_the_rows_of_the_plan() -> None:
    part = 'read m0/s0 rows=4 ids=["m0/t1.0:0-3"]'
    holds(RightAnswer, (*REGISTERED, ALL, EOF, END), scenario=SCENARIO)
    short = (*REGISTERED, part, EOF, END)
    violated(RightAnswer, short, "got 4 rows, expected 8", scenario=SCENARIO)
    twice = (*REGISTERED, ALL, part, END)
    violated(RightAnswer, twice, "m0/t1.0:0 came too often", scenario=SCENARIO)
    foreign = (*REGISTERED, part.replace("0-3", "0-4"), "read_error m0/s0 error=x", END)
    violated(RightAnswer, foreign, "m0/t1.0:4 does not belong", scenario=SCENARIO)


@pytest.mark.parametrize("end", ["read_error m0/s0 error=x", "close_results m0/s0"])
def test_a_reader_that_does_not_come_to_the_end_may_get_less(end: str) -> None:
    part = 'read m0/s0 rows=2 ids=["m0/t1.0:0-1"]'
    holds(RightAnswer, (*REGISTERED, part, end, END), scenario=SCENARIO)
    holds(RightAnswer, (*REGISTERED, part, "close_results m0/s0", EOF, END), scenario=SCENARIO)


def test_without_a_scenario_or_names_of_rows_the_answer_is_not_known() -> None:
    assert "scenario" in verdict(RightAnswer, (*REGISTERED, ALL, EOF, END)).why
    unnamed = (*REGISTERED, "read m0/s0 rows=8", EOF)
    hashed = (*REGISTERED, 'read m0/s0 rows=1 ids=["c0ffee"]', EOF)
    other = (*REGISTERED, ALL.replace("m0/s0", "m1/s0"), "read_eof m1/s0")
    for story in (unnamed, hashed, other):
        assert verdict(RightAnswer, story, scenario=SCENARIO).word == "not judged"


# D2

SENT = ("accept m0/t1 worker=w0", "send m0/s1 task=m0/t1 number=1 rows=5")
RECEIVE = "receive m0/s1 task=m0/t0 sender=m0/t1 number=1 rows=5"
COMPLETED = "move m0/t1 state=Completed"
RUNNING = ("assign m0/t0 worker=w1 closed=[]", "accept m0/t0 worker=w1")


def test_what_a_completed_task_sent_was_accepted() -> None:
    seen = "record 1 of m0/s1 was not accepted by m0/t0"
    holds(NoLoss, (*WORLD, *RUNNING, *SENT, RECEIVE, COMPLETED))
    violated(NoLoss, (*WORLD, *RUNNING, *SENT, COMPLETED, RECEIVE), seen)
    violated(NoLoss, (*WORLD, *SENT, COMPLETED), seen)
    holds(NoLoss, (*WORLD, *RUNNING, *SENT, "move m0/t1 state=Failed"))


@pytest.mark.parametrize(
    "over", ["over m0/t0 worker=w1", "stopped m0/t0 worker=w1", "move m0/t0 state=Cancelled"]
)
def test_a_reader_that_is_over_accepts_nothing(over: str) -> None:
    holds(NoLoss, (*WORLD, *RUNNING, *SENT, over, COMPLETED))


def test_results_are_accepted_unless_nobody_reads() -> None:
    story = (*WORLD, RUNNING[1], "send m0/s0 task=m0/t0 number=1 rows=5")
    completed = "move m0/t0 state=Completed"
    taken = "receive m0/s0 task=scheduler sender=m0/t0 number=1 rows=5"
    violated(NoLoss, (*story, completed), "record 1 of m0/s0 was not accepted by the listener")
    for event in (taken, "close_results m0/s0", "write_done m0/s0 outcome=closed"):
        holds(NoLoss, (*story, event, completed))


# D3, D4


def test_a_record_is_accepted_once_and_in_order() -> None:
    second = RECEIVE.replace("number=1", "number=2")
    other = RECEIVE.replace("m0/s1", "m0/s2").replace("sender=m0/t1", "sender=m0/t2")
    holds(NoDuplication, (*WORLD, RECEIVE, second, other))
    holds(RecordsInOrder, (*WORLD, RECEIVE, other, second))
    violated(NoDuplication, (*WORLD, RECEIVE, second, RECEIVE), "record 1 of m0/s1 from m0/t1 was")
    again = RECEIVE.replace("task=m0/t0", "task=m0/t0.2")
    violated(NoDuplication, (*WORLD, RECEIVE, again), "by m0/t0 and again by m0/t0.2")
    violated(RecordsInOrder, (*WORLD, second, RECEIVE), "was accepted after record 2")
    holds(RecordsInOrder, (*WORLD, RECEIVE, RECEIVE))


# D5


def test_an_empty_batch_is_no_end() -> None:
    take = RECEIVE.replace("receive", "take").replace("rows=5", "rows=0")
    end = 'input_end m0/t0 streams=["m0/s1"]'
    told = "told_closed m0/s1 task=m0/t0 worker=w1"
    violated(EmptyBatchIsNoEnd, (*WORLD, take, end), "the end of m0/s1 after an empty batch")
    holds(EmptyBatchIsNoEnd, (*WORLD, take, told, end))
    holds(EmptyBatchIsNoEnd, (*WORLD, take.replace("rows=0", "rows=5"), end))


def test_an_empty_batch_changes_no_answer() -> None:
    empty = SENT[1].replace("rows=5", "rows=0")
    part = ('read m0/s0 rows=4 ids=["m0/t1.0:0-3"]', EOF)
    violated(EmptyBatchIsNoEnd, (*WORLD, empty, *part), "got 4 rows", scenario=SCENARIO)
    holds(EmptyBatchIsNoEnd, (*WORLD, empty, ALL, EOF), scenario=SCENARIO)
    holds(EmptyBatchIsNoEnd, (*WORLD, SENT[1], *part), scenario=SCENARIO)  # that is D1's
    assert verdict(EmptyBatchIsNoEnd, (*WORLD, empty, *part)).word == "not judged"


# D7


def _cut(scenario: Scenario, old: str = "", new: str = "") -> list[Event]:
    """What a simulated run records of its manifest, with another text in its fragments."""
    events = simulate(scenario, Seeded(1)).trace.events
    seen = next(event for event in events if event.kind == "manifest")
    tasks = [
        {**task, "fragment": task["fragment"].replace(old, new)} for task in seen.details["tasks"]
    ]
    changed = Event(0, 0, "manifest", "m0", {**seen.details, "tasks": tasks})
    done = Event(1, 0, "return", "m0", {"method": "register_manifest", "error": None})
    return [changed, done]


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        (
            "location=south",
            "location=north",
            "location=north streams=0 section_id=0 stands 2 times",
        ),
        ("section_id=0", "section_id=1", "location=north streams=0 section_id=0 stands 0 times"),
        ("Merge", "Limit offset=0 limit=9", "Merge stands 0 times"),
        ("Merge", "Merge\n└── Join", "Join stands 1 times"),
    ],
)
def test_tasks_hold_the_nodes_of_the_plan_and_no_other(old: str, new: str, seen: str) -> None:
    (found,) = judge_trace(
        _cut(SCENARIO, old, new), monitors=[NothingLostInCutting], scenario=SCENARIO
    )
    assert any(seen in violation.seen for violation in found.violations), found.violations
    (right,) = judge_trace(_cut(SCENARIO), monitors=[NothingLostInCutting], scenario=SCENARIO)
    assert right.word == "holds"


SHARED = f"""
Merge
├── Filter
│   └── TopK sort_by=builtin.timestamp ascending=false nulls_first=false k=5
│       └── Parallelize
│           └── ScanSet num_targets=1
│                   └── {TARGET.format("north")}
└── Parallelize
    └── Join
        ├── ScanSet num_targets=2
        │       ├── {TARGET.format("south")}
        │       └── {TARGET.format("west")}
        └── Filter
            └── Parallelize
                └── ScanSet num_targets=1
                        └── {TARGET.format("east")}
"""


def test_a_branch_is_cut_once_for_each_target_and_what_is_cut_below_it_once() -> None:
    plan = plan_from_text(SHARED, shared=False)
    scenario = Scenario(workloads=(Workload(plan=plan),))
    events = _cut(scenario)
    (found,) = judge_trace(events, monitors=[NothingLostInCutting], scenario=scenario)
    assert found.word == "holds", found.violations
    tasks = [dict(task) for task in events[0].details["tasks"]]
    lost = next(task for task in tasks if "Join" in task["fragment"])
    lost["fragment"] = lost["fragment"].replace("Join", "Merge")
    events[0] = Event(0, 0, "manifest", "m0", {**events[0].details, "tasks": tasks})
    (found,) = judge_trace(events, monitors=[NothingLostInCutting], scenario=scenario)
    assert "Merge stands 2 times" in found.violations[0].seen


TWO_LEVELS = f"""
Merge
└── Parallelize
    └── Parallelize
        └── ScanSet num_targets=2
                ├── {TARGET.format("north")}
                └── {TARGET.format("south")}
"""


def test_a_branch_that_begins_with_a_parallelize_keeps_it_in_each_of_its_tasks() -> None:
    scenario = Scenario(workloads=(Workload(plan=plan_from_text(TWO_LEVELS)),))
    (found,) = judge_trace(_cut(scenario), monitors=[NothingLostInCutting], scenario=scenario)
    assert found.word == "holds", found.violations
    lost = _cut(scenario, "Parallelize", "Filter")
    (found,) = judge_trace(lost, monitors=[NothingLostInCutting], scenario=scenario)
    assert "Parallelize stands 0 times" in found.violations[0].seen


def test_every_task_leads_to_the_results() -> None:
    astray = REGISTERED[0].replace('"sources":[1,2]', '"sources":[1]')
    violated(NothingLostInCutting, (astray, *REGISTERED[1:]), "nothing that m0/t2 gives leads to")
    assert verdict(NothingLostInCutting, REGISTERED).word == "not judged"


@pytest.mark.parametrize("name", scenario_names())
def test_every_library_scenario_is_cut_and_answered_rightly(name: str) -> None:
    scenario = find_scenario(name)
    outcome = simulate(scenario, Seeded(2))
    monitors = [NothingLostInCutting, RightAnswer]
    for found in judge_trace(
        Trace(events=_border(outcome.trace)), monitors=monitors, scenario=scenario
    ):
        assert found.word == "holds", f"{found}: {found.violations}"


def _border(trace: Trace) -> list[Event]:
    wanted = ("manifest", "call", "return", "read", "read_eof", "read_error", "close_results")
    return [event for event in trace.events if event.kind in wanted]


# D8

FAILED = "task_event m0/t1 state=Failed error=bad error_type=TaskError"
SILENT = "task_event m0/t1 state=Failed"
REPORT = "report m0/t1 worker=w0 state=Failed changed=true error_type=TaskError"
RESULTS = "results_error m0 error=bad error_type=TaskError"
READ = "read_error m0/s0 error=bad error_type=TaskError"
LOST = ("accept m0/t1 worker=w0.2", "worker_lost w0.2", "move m0/t1 state=Failed")
TOLD_LOST = "task_event m0/t1 state=Failed error=lost error_type=ConnectionLost"


def test_a_user_may_cancel_what_was_closed_before() -> None:
    cancelled = "results_error m0 error=enough error_type=WorkflowCancelled"
    holds(ErrorKindsStay, (*WORLD, LANES, "ask m0 what=close", "ask m0 what=cancel", cancelled))
    closed = (*WORLD, LANES, "ask m0 what=close", cancelled)
    violated(ErrorKindsStay, closed, "nobody cancelled the run")


def test_an_error_keeps_its_kind_from_worker_to_reader() -> None:
    way = (REPORT, FAILED, RESULTS, READ)
    holds(ErrorKindsStay, (*WORLD, LANES, *way))
    holds(ErrorKindsStay, (*WORLD, LANES, FAILED, REPORT, RESULTS, READ))
    for place, phrase in (
        (0, "failed with OSError, and its handler heard TaskError"),
        (1, "failed with TaskError, and its handler heard OSError"),
        (2, "TaskError became OSError in the results"),
        (3, "the results ended with TaskError, and the reader saw OSError"),
    ):
        changed = [
            each.replace("TaskError", "OSError") if at == place else each
            for at, each in enumerate(way)
        ]
        violated(ErrorKindsStay, (*WORLD, LANES, *changed), phrase)


def test_at_the_border_the_reader_sees_the_kind_that_the_handler_heard() -> None:
    holds(ErrorKindsStay, (*REGISTERED, FAILED, READ))
    changed = READ.replace("TaskError", "OSError")
    violated(ErrorKindsStay, (*REGISTERED, FAILED, changed), "TaskError became OSError at the re")
    holds(ErrorKindsStay, (*REGISTERED, FAILED.partition(" error_type")[0], changed))


def test_a_report_that_changed_nothing_says_nothing() -> None:
    late = REPORT.replace("changed=true", "changed=false")
    holds(ErrorKindsStay, (*WORLD, late, "task_event m0/t1 state=Cancelled"))
    cancelled = (*WORLD, REPORT, "task_event m0/t1 state=Cancelled")
    violated(ErrorKindsStay, cancelled, "was reported Failed, and its handler heard Cancelled")


def test_a_lost_worker_is_a_lost_connection() -> None:
    holds(ErrorKindsStay, (*WORLD, *LOST, TOLD_LOST))
    violated(ErrorKindsStay, (*WORLD, *LOST, FAILED), "failed with ConnectionLost, and its handler")
    holds(ErrorKindsStay, (*WORLD, *LOST[:2], "task_event m0/t1 state=Cancelled"))


def test_a_refusal_is_no_failure() -> None:
    refused = "refuse m0/t1 worker=w0 leaving=false"
    failed = "move m0/t1 state=Failed"
    violated(ErrorKindsStay, (*WORLD, refused, failed), "m0/t1 was refused by w0, and became Fail")
    again = ("assign m0/t1.2 worker=w1 closed=[]", failed)
    holds(ErrorKindsStay, (*WORLD, refused, *again))


@pytest.mark.parametrize(
    ("kind", "cause", "phrase"),
    [
        ("TaskFailed", SILENT, "no task failed without an error"),
        ("TaskCancelled", "task_event m0/t1 state=Cancelled", "no task was cancelled"),
        ("WorkflowCancelled", "ask m0 what=cancel", "nobody cancelled the run"),
        ("WorkflowClosed", "ask m0 what=close", "nobody closed the workflow"),
        (
            "RunnerError",
            "return m0 method=start tasks=[] error=x error_type=RunnerError",
            "nothing had",
        ),
    ],
)
def test_the_workflows_own_errors_have_their_causes(kind: str, cause: str, phrase: str) -> None:
    error = f"results_error m0 error=x error_type={kind}"
    holds(ErrorKindsStay, (*WORLD, LANES, cause, error))
    violated(ErrorKindsStay, (*WORLD, LANES, error), phrase)


def test_closing_a_workflow_that_was_read_is_nobodys_error() -> None:
    error = "results_error m0 error=x error_type=WorkflowClosed"
    holds(ErrorKindsStay, (*WORLD, LANES, EOF, "close_results m0/s0", error))


def test_a_write_finds_the_results_closed_only_if_they_are() -> None:
    closed = "write_done m0/s0 outcome=closed"
    seen = "a write to m0/s0 found it closed"
    violated(ErrorKindsStay, (*REGISTERED, LANES, closed), seen)
    holds(ErrorKindsStay, (*REGISTERED, LANES, "close_results m0/s0", closed))
    holds(ErrorKindsStay, (*REGISTERED, LANES, FAILED, RESULTS, closed))
    holds(ErrorKindsStay, (*REGISTERED, closed))  # no foreign trace says when they ended
