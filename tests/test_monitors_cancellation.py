"""What is given up, and that it stops: each rule can be broken, and holds where it should."""

import pytest
from stories import CLUSTER, END, FAN, LANES, REGISTERED, holds, violated

from properties.monitors.cancellation import (
    CancelBeatsAssignment,
    CancelledTasksEnd,
    CancelReachesDown,
    HandlersMayCall,
    NothingOverIsCancelled,
    SecondCancelDoesNothing,
)

ROOT_DONE = (
    "task_event m0/t0 state=Completed",
    "recorded m0/t0 state=Completed",
    "task_event_done m0/t0 state=Completed",
)
CANCEL = "call m0 method=cancel tasks=[1,2]"
CANCELLED = "return m0 method=cancel tasks=[1,2] error=null"
ONE = ("call m0 method=cancel tasks=[1]", "return m0 method=cancel tasks=[1] error=null")
SHOWN = (*REGISTERED, LANES)


def test_c1_children_go_when_the_last_parent_is_over() -> None:
    """Before the workflow records anything else."""
    holds(CancelReachesDown, (*SHOWN, *ROOT_DONE[:2], CANCEL, CANCELLED, END))
    violated(
        CancelReachesDown,
        (*SHOWN, *ROOT_DONE, "recorded m0/t1 state=Running", CANCEL),
        "m0/t1 was not cancelled when m0/t0 was over",
    )
    violated(CancelReachesDown, (*SHOWN, *ROOT_DONE, END), "was not cancelled")


def test_c1_a_foreign_trace_gives_time_until_the_end() -> None:
    """Without the workflow's own records only what never came is wrong."""
    story = (*REGISTERED, ROOT_DONE[0], ROOT_DONE[2])
    holds(CancelReachesDown, (*story, "@9 task_event m0/t1 state=Running", CANCEL, END))
    violated(CancelReachesDown, (*story, "call m0 method=unregister_manifest"), "not cancelled")


def test_c1_a_child_that_has_closed_all_its_sinks_is_waited_for() -> None:
    """It is neither owed a cancel, nor may it get one."""
    closed = ("recorded m0/s1 state=Closed", "recorded m0/s2 state=Closed")
    holds(CancelReachesDown, (*SHOWN, *closed, *ROOT_DONE, END))
    violated(CancelReachesDown, (*SHOWN, *closed, *ROOT_DONE, CANCEL), "all it writes was Closed")


def test_c1_a_closing_workflow_leaves_it_to_the_runner() -> None:
    """Unregistering cancels by itself."""
    holds(
        CancelReachesDown,
        (*SHOWN, "call m0 method=unregister_manifest", *ROOT_DONE, END),
    )


def test_c1_a_child_that_is_needed_stays() -> None:
    """Unless a user cancels it behind the workflow's back, or a range excludes it."""
    violated(CancelReachesDown, (*SHOWN, *ONE), "while m0/t0 could still use it")
    holds(CancelReachesDown, (*SHOWN, "fault m0/t1 fault=cancel_task", *ONE))
    dated = FAN.replace(
        '[null,null],"sources":[],"sinks":[1]',
        '[null,"2025-01-01T00:00:00Z"],"sources":[],"sinks":[1]',
    )
    report = "task_event m0/t0 state=Running contributing=2025-01-01T00:00:00Z less_than=false"
    holds(CancelReachesDown, (dated, *SHOWN[1:], report, *ONE))


def test_c1_the_root_goes_only_when_the_run_stops() -> None:
    """A reason must be seen."""
    root = "call m0 method=cancel tasks=[0]"
    violated(CancelReachesDown, (*SHOWN, root), "the root, was cancelled")
    holds(CancelReachesDown, (*SHOWN, "stop m0", root))


def test_c2_what_is_over_is_not_cancelled() -> None:
    """As far as the workflow knows."""
    over = (
        "task_event m0/t1 state=Completed",
        "recorded m0/t1 state=Completed",
        "task_event_done m0/t1 state=Completed",
    )
    seen = "after it had been Completed"
    violated(NothingOverIsCancelled, (*SHOWN, *over, *ONE), seen)
    violated(NothingOverIsCancelled, (*REGISTERED, over[0], over[2], *ONE), seen)
    holds(NothingOverIsCancelled, (*SHOWN, over[0], *ONE))
    holds(NothingOverIsCancelled, (*SHOWN, *over, "fault m0/t1.2 fault=cancel_task", *ONE))


def test_c2_word_from_inside_of_a_call_may_still_wait() -> None:
    """It is handled only once the one at work is done."""
    inside = ("call m0 method=cancel tasks=[0]", "task_event m0/t1 state=Completed")
    done = "task_event_done m0/t1 state=Completed"
    outer = "task_event m0/t2 state=Failed"
    back = "return m0 method=cancel tasks=[0] error=null"
    holds(NothingOverIsCancelled, (*REGISTERED, outer, *inside, done, back, *ONE))
    violated(NothingOverIsCancelled, (*REGISTERED, *inside, done, back, *ONE), "m0/t1")


def test_c3_a_second_cancel_does_nothing() -> None:
    """No second message, no move."""
    tell = "tell_cancel m0/t1 worker=w0"
    moved = (ONE[0], "move m0/t1 state=Cancelled", ONE[1])
    violated(SecondCancelDoesNothing, (CLUSTER, *REGISTERED, tell, tell), "told twice")
    violated(SecondCancelDoesNothing, (CLUSTER, *REGISTERED, *moved, *moved), "in a second cancel")
    holds(
        SecondCancelDoesNothing,
        (CLUSTER, *REGISTERED, *moved, tell, *ONE, "tell_cancel m0/t1.2 worker=w1"),
    )


def test_c4_what_is_cancelled_first_does_not_begin() -> None:
    """Nor after an unregister; what was on its way may, and stops."""
    assign, run = "assign m0/t1 worker=w0 closed=[]", "run m0/t1 worker=w0 idle=1"
    over = "over m0/t1 worker=w0 idle=2 worked=0 crashed=false"
    world = (CLUSTER, *REGISTERED, "call m0 method=start tasks=[1]")
    violated(CancelBeatsAssignment, (*world, *ONE, assign, run), "began after cancel")
    gone = "return m0 method=unregister_manifest error=null"
    violated(CancelBeatsAssignment, (*world, gone, assign, run), "began after unregister_manifest")
    violated(CancelBeatsAssignment, (*world, assign, *ONE, run, END), "never stopped")
    holds(CancelBeatsAssignment, (*world, assign, *ONE, run, over, END))
    holds(CancelBeatsAssignment, (*world, assign, run, *ONE, "stopped m0/t1 worker=w0", END))


def test_c4_any_runner_shows_a_task_that_runs_after_all() -> None:
    """If it was cancelled before it was ever started."""
    start, running = "call m0 method=start tasks=[1]", "task_event m0/t1 state=Running"
    violated(CancelBeatsAssignment, (*REGISTERED, *ONE, start, running), "began after cancel")
    holds(CancelBeatsAssignment, (*REGISTERED, start, *ONE, running, END))


def test_c5_a_cancelled_task_ends() -> None:
    """However it ends."""
    violated(CancelledTasksEnd, (*REGISTERED, *ONE, END), "m0/t1 was cancelled, and is Created")
    holds(CancelledTasksEnd, (*REGISTERED, *ONE, "task_event m0/t1 state=Failed", END))


def test_c6_handlers_are_called_with_nothing_held() -> None:
    """Of tasks and of streams."""
    enter, leave = "enter scheduler", "exit scheduler"
    told = "stream_event m0/s1 state=Open"
    violated(HandlersMayCall, (*REGISTERED, enter, told, leave), "while scheduler was held")
    holds(HandlersMayCall, (*REGISTERED, enter, leave, told, END))


@pytest.mark.parametrize("call", ["method=start tasks=[1]", "method=unregister_manifest"])
def test_c6_calls_from_inside_of_handlers_return(call: str) -> None:
    """And so do the handlers."""
    told, done = ROOT_DONE[0], ROOT_DONE[2]
    begin, back = f"call m0 {call}", f"return m0 {call} error=null"
    violated(HandlersMayCall, (*REGISTERED, told, begin, END), "never returned")
    violated(HandlersMayCall, (*REGISTERED, told, done, told, END), "the handler that was told")
    holds(HandlersMayCall, (*REGISTERED, told, begin, back, done, END))
