"""That runs end and nobody starves: each rule can be broken, and holds where it should."""

import pytest
from stories import CLUSTER, END, FAN, REGISTERED, holds, verdict, violated

from properties.monitors.liveness import (
    AnotherRunIsLeftAlone,
    LeaveHurtsNobody,
    NobodyStarves,
    NoRescueByTimeout,
    NothingIsStuck,
    ReadinessComesBack,
    RunEnds,
)
from sim.scenario import Scenario, Workload
from workflow import Plan

START = "call m0 method=start tasks=[0,1,2]"
WAITS = "read_wait m0/s0"
EOF = "read_eof m0/s0"
ERROR = "read_error m0/s0 error=lost"
WORLD = (CLUSTER, *REGISTERED, START, WAITS)
OTHER = tuple(line.replace("m0", "m1") for line in (*REGISTERED, START, WAITS))
STUCK = 'end run stuck=[["client 0","a record or the end"]] over_budget=false'
CUT = "end run stuck=null over_budget=true"
QUEUED, READY = "queue m0/t1 place=1 again=false", "ready w0"
ASSIGN = "assign m0/t1 worker=w0 closed=[]"


def test_l1_a_run_ends() -> None:
    """With any end, or with a reader that wants no more."""
    violated(RunEnds, (*WORLD, END), "the reader of m0 never saw an end")
    violated(RunEnds, (*WORLD, EOF, CUT), "its steps were used up")
    for end in (EOF, ERROR, "close_results m0/s0"):
        holds(RunEnds, (*WORLD, end, END))


def test_l1_asks_for_a_consumer_that_reads() -> None:
    """One that never looks may wait for ever; and a trace must say that it is over."""
    holds(RunEnds, (*REGISTERED, START, END))
    assert verdict(RunEnds, WORLD).word == "not judged"


def test_l2_nobody_waits_for_ever() -> None:
    """Unless for a consumer that does not read."""
    violated(NothingIsStuck, (*WORLD, STUCK), "client 0 waits for a record or the end")
    holds(NothingIsStuck, (*WORLD, EOF, END))
    holds(NothingIsStuck, (*REGISTERED, START, STUCK))


def test_l3_no_timeout_fires_without_a_fault() -> None:
    """If messages can be there and back in time."""
    fired = "ack_timeout m0/t1 worker=w0"
    violated(NoRescueByTimeout, (*WORLD, fired), "took back m0/t1")
    holds(NoRescueByTimeout, (*WORLD, "fault m0/t1 fault=lost_ack", fired))
    short = CLUSTER.replace("ack_timeout=5000", "ack_timeout=100")
    holds(NoRescueByTimeout, (short, *WORLD[1:], fired))


def test_l3_time_passes_only_in_work_and_messages() -> None:
    """50 ticks for each of 8 events at most, and what was worked."""
    scenario = Scenario(workloads=(Workload(plan=Plan()),))
    over = "over m0/t1 worker=w0 idle=2 worked=1000 crashed=false"
    violated(NoRescueByTimeout, (*WORLD, f"@401 {EOF}", END), "at most 400", scenario=scenario)
    holds(NoRescueByTimeout, (*WORLD, f"@400 {EOF}", END), scenario=scenario)
    holds(NoRescueByTimeout, (*WORLD, over, f"@1400 {EOF}", END), scenario=scenario)


def test_l4_a_free_slot_and_a_task_that_waits_meet() -> None:
    """Within 1000 + 4 x 50 ticks here."""
    violated(NobodyStarves, (*WORLD, QUEUED, READY, f"@1201 {EOF}"), "w0 asks for a task")
    violated(NobodyStarves, (*WORLD, QUEUED, READY, END), "m0/t1 waits")
    holds(NobodyStarves, (*WORLD, QUEUED, READY, f"@1200 {ASSIGN}", END))


@pytest.mark.parametrize("gone", ["worker_lost w0", "worker_gone w0", "move m0/t1 state=Cancelled"])
def test_l4_counts_only_what_is_there(gone: str) -> None:
    """A lost worker asks no more, a task that is over waits no more."""
    holds(NobodyStarves, (*WORLD, QUEUED, READY, gone, f"@9000 {EOF}", END))


def test_l5_a_run_without_trouble_ends_well() -> None:
    """Whatever happens to another."""
    fault = "fault m1/t1 fault=task_failure"
    story = (*WORLD, *OTHER, fault, "read_error m1/s0 error=lost")
    holds(AnotherRunIsLeftAlone, (*story, EOF, END))
    violated(AnotherRunIsLeftAlone, (*story, ERROR, END), "the reader of m0 got 'lost'")
    violated(AnotherRunIsLeftAlone, (*story, END), "the reader of m0 never saw an end")


@pytest.mark.parametrize(
    "trouble",
    ["fault w0 fault=worker_crash", "fault m0/t1 fault=cancel_task", "ask m0 what=cancel"],
)
def test_l5_trouble_of_its_own_or_of_all_is_excused(trouble: str) -> None:
    """Then its end may be an error."""
    holds(AnotherRunIsLeftAlone, (*WORLD, *OTHER, trouble, "read_eof m1/s0", ERROR, END))


def test_l6_a_leave_hurts_nobody() -> None:
    """No task Failed, no error."""
    leave = "fault w0 fault=worker_leave"
    failed = "task_event m0/t1 state=Failed"
    violated(LeaveHurtsNobody, (*WORLD, leave, failed, EOF, END), "m0/t1 Failed")
    violated(LeaveHurtsNobody, (*WORLD, "leaving w0", ERROR, END), "got 'lost'")
    holds(LeaveHurtsNobody, (*WORLD, leave, EOF, END))
    crash = "fault w1 fault=worker_crash"
    holds(LeaveHurtsNobody, (*WORLD, leave, crash, failed, ERROR, END))
    report = "report m0/t1 worker=w0 state=Failed changed=true"
    holds(LeaveHurtsNobody, (*WORLD, leave, report, failed, ERROR, END))


REFUSED = (*WORLD, "worker_up w0", "refuse m0/t1 worker=w0 leaving=false", QUEUED)


def test_l7_a_worker_that_refused_gets_a_task_again() -> None:
    """Once it asks."""
    violated(ReadinessComesBack, (*REFUSED, READY, f"@1201 {EOF}"), "after it had refused one")
    holds(ReadinessComesBack, (*REFUSED, READY, f"@9 {ASSIGN}", f"@2000 {EOF}", END))


def test_l7_a_worker_with_a_free_slot_asks_again() -> None:
    """Unless it has none, leaves, or is not there."""
    full = "run m0/t2 worker=w0 idle=0"
    violated(ReadinessComesBack, (*REFUSED, END), "w0 has 2 free slots")
    for excuse in (full, "leaving w0", "worker_lost w0"):
        holds(ReadinessComesBack, (*REFUSED, excuse, END))


def test_a_story_has_the_manifest_that_the_others_speak_of() -> None:
    """The second run of these stories is a manifest of its own."""
    assert OTHER[0] == FAN.replace("m0", "m1")
