"""S1 to S7: each rule is violated by one story at least, and holds in those that look alike."""

import pytest
from stories import CLUSTER, END, REGISTERED, holds, verdict, violated

from properties.monitors.streams import (
    MONITORS,
    BoundToTheReader,
    CloseReachesTheReader,
    EndOfInput,
    NothingAfterClose,
    SingleSender,
    SinksClose,
    StreamsMoveForward,
)

WORLD = (CLUSTER, *REGISTERED)
SEND = "send m0/s1 task=m0/t1 number=1 rows=5"
RECEIVE = "receive m0/s1 task=m0/t0 sender=m0/t1 number=1 rows=5"
TAKE = RECEIVE.replace("receive", "take")
CLOSED = "move m0/s1 state=Closed"


def test_the_family_is_whole() -> None:
    assert [monitor.rule for monitor in MONITORS] == [f"S{number}" for number in range(1, 8)]


# S1


def test_a_stream_has_records_of_one_attempt() -> None:
    runs = ("run m0/t1 worker=w0 idle=1", "run m0/t1.2 worker=w1 idle=1")
    second = RECEIVE.replace("sender=m0/t1", "sender=m0/t1.2")
    violated(SingleSender, (*WORLD, *runs, RECEIVE, second), "m0/t1 on w0 and from m0/t1.2 on w1")
    holds(SingleSender, (*WORLD, *runs, second, second.replace("number=1", "number=2")))


def test_one_attempt_is_on_one_worker() -> None:
    runs = ("run m0/t1 worker=w0 idle=1", RECEIVE, "run m0/t1 worker=w1 idle=1", RECEIVE)
    violated(SingleSender, (*WORLD, *runs), "from m0/t1 on w0 and from m0/t1 on w1")


# S2


def test_a_closed_stream_stays_closed() -> None:
    states = [f"stream_event m0/s1 state={each}" for each in ("Open", "Blocked", "Open", "Closed")]
    holds(StreamsMoveForward, (*REGISTERED, *states))
    violated(StreamsMoveForward, (*REGISTERED, *states, states[0]), "went from Closed to Open")
    violated(StreamsMoveForward, (*REGISTERED, *states, states[3]), "went from Closed to Closed")


def test_handlers_of_a_cluster_may_hear_late_but_not_twice() -> None:
    late = ("stream_event m0/s1 state=Closed", "stream_event m0/s1 state=Open")
    moves = ("move m0/s1 state=Open", CLOSED)
    holds(StreamsMoveForward, (*WORLD, *moves, *late))
    violated(StreamsMoveForward, (*WORLD, *moves, *late, late[0]), "went from Closed to Closed")
    violated(StreamsMoveForward, (*WORLD, *reversed(moves)), "went from Closed to Open")
    violated(StreamsMoveForward, (*WORLD, moves[0], moves[0]), "went from Open to Open")
    holds(StreamsMoveForward, (*WORLD, "move m0/t1 state=Completed", "move m0/t1 state=Running"))


# S3


def test_nothing_is_written_to_results_that_were_reported_closed() -> None:
    closed = "stream_event m0/s0 state=Closed"
    write = "write m0/s0 rows=5 ids=[]"
    done = "write_done m0/s0 outcome="
    violated(
        NothingAfterClose,
        (*REGISTERED, closed, write, done + "taken"),
        "written to m0/s0, which had been reported Closed",
    )
    holds(NothingAfterClose, (*REGISTERED, write, closed, done + "taken"))
    holds(NothingAfterClose, (*REGISTERED, closed, write, done + "closed"))


def test_a_sender_that_completes_closes_behind_its_last_record() -> None:
    completed, cancelled = (f"move m0/t1 state={state}" for state in ("Completed", "Cancelled"))
    story = (*WORLD, SEND)
    violated(NothingAfterClose, (*story, CLOSED, RECEIVE, completed), "record 1 of m0/s1 was acc")
    violated(NothingAfterClose, (*story, CLOSED, completed, RECEIVE), "record 1 of m0/s1 was acc")
    holds(NothingAfterClose, (*story, RECEIVE, CLOSED, completed))
    # Closed over its head: the record was under way.
    holds(NothingAfterClose, (*story, CLOSED, RECEIVE, cancelled))
    holds(NothingAfterClose, (*story, CLOSED, cancelled, RECEIVE))


@pytest.mark.parametrize("kind", ["stopped m0/t1 worker=w0", "over m0/t1 worker=w0 idle=1"])
def test_an_execution_that_was_stopped_sends_nothing(kind: str) -> None:
    violated(NothingAfterClose, (*WORLD, kind, SEND), f"after it was {kind.partition(' ')[0]}")
    holds(NothingAfterClose, (*WORLD, kind, SEND.replace("task=m0/t1", "task=m0/t1.2")))


# S4


def test_sinks_close_with_their_task() -> None:
    failed, closed = "task_event m0/t1 state=Failed", "stream_event m0/s1 state=Closed"
    violated(SinksClose, (*REGISTERED, failed, END), "m0/t1 was Failed, and its m0/s1 was never")
    holds(SinksClose, (*REGISTERED, failed, closed, END))
    holds(SinksClose, (*REGISTERED, "task_event m0/t1 state=Running", END))


def test_sinks_of_a_completed_task_close_last() -> None:
    over = ("task_event m0/t1 state=Completed", "stream_event m0/s1 state=Closed", END)
    violated(SinksClose, (*WORLD, CLOSED, RECEIVE, *over), "closed before its last record")
    holds(SinksClose, (*WORLD, RECEIVE, CLOSED, *over))
    cut = over[0].replace("Completed", "Cancelled")
    holds(SinksClose, (*WORLD, CLOSED, RECEIVE, cut, *over[1:]))


def test_what_is_yet_to_come_is_not_judged_in_a_run_that_was_broken_off() -> None:
    broken = END.replace("over_budget=false", "over_budget=true")
    for monitor, story in (
        (SinksClose, (*REGISTERED, "task_event m0/t1 state=Failed")),
        (CloseReachesTheReader, (*WORLD, *READING, CLOSED)),
    ):
        assert verdict(monitor, (*story, broken)).word == "not judged"


# S5

READING = (
    "assign m0/t0 worker=w0 closed=[]",
    "accept m0/t0 worker=w0",
)
TOLD = "told_closed m0/s1 task=m0/t0 worker=w0"


def test_the_reader_is_told_once() -> None:
    before = ('assign m0/t0 worker=w0 closed=["m0/s1"]', "accept m0/t0 worker=w0")
    seen = "m0/t0 was never told that m0/s1 had ended"
    violated(CloseReachesTheReader, (*WORLD, *READING, CLOSED, END), seen)
    holds(CloseReachesTheReader, (*WORLD, *READING, CLOSED, TOLD, END))
    holds(CloseReachesTheReader, (*WORLD, READING[0], CLOSED, READING[1], TOLD, END))
    holds(CloseReachesTheReader, (*WORLD, CLOSED, *before, END))
    violated(CloseReachesTheReader, (*WORLD, CLOSED, *before, TOLD, END), "was told 2 times")


def test_the_current_execution_is_told() -> None:
    second = ("assign m0/t0.2 worker=w1 closed=[]", "accept m0/t0.2 worker=w1")
    told = TOLD.replace("task=m0/t0", "task=m0/t0.2")
    story = (*WORLD, *READING, "over m0/t0 worker=w0", *second, CLOSED)
    violated(CloseReachesTheReader, (*story, TOLD, END), "m0/t0.2 was never told")
    holds(CloseReachesTheReader, (*story, told, END))


@pytest.mark.parametrize(
    "over",
    [
        "over m0/t0 worker=w0",
        "stopped m0/t0 worker=w0",
        "worker_lost w0",
        "worker_gone w0",
        "move m0/t0 state=Cancelled",
    ],
)
def test_an_execution_that_is_over_needs_no_word(over: str) -> None:
    holds(CloseReachesTheReader, (*WORLD, *READING, over, CLOSED, "@9000 " + END))
    holds(CloseReachesTheReader, (*WORLD, *READING, CLOSED, "@200 " + over, END))
    late = (*WORLD, *READING, CLOSED, "@201 " + over, END)
    violated(CloseReachesTheReader, late, "m0/t0 was never told")


def test_a_reader_that_was_never_accepted_needs_no_word() -> None:
    holds(CloseReachesTheReader, (*WORLD, READING[0], CLOSED, END))
    holds(CloseReachesTheReader, (*WORLD, *READING, "move m0/s0 state=Closed", END))


# S6

OWNED = (
    "accept m0/t0 worker=w0.2",
    "owner m0/t0 worker=w0.2",
    "accept m0/t1 worker=w1",
    "owner m0/t1 worker=w1",
)
BIND = "bind m0/s1 task=m0/t1 reader=m0/t0 to=w0"
LISTEN = "call m0 method=listen stream=0"


def test_a_sender_is_told_where_its_reader_runs() -> None:
    holds(BoundToTheReader, (*WORLD, *OWNED, BIND))
    violated(BoundToTheReader, (*WORLD, *OWNED, BIND[:-1] + "1"), "told to send m0/s1 to w1")
    violated(BoundToTheReader, (*WORLD, *OWNED, BIND, BIND), "was told twice where m0/t0 reads")


@pytest.mark.parametrize(
    ("events", "seen"),
    [
        (OWNED[2:], "ran m0/t0, which reads it"),
        (OWNED[:2], "ran m0/t1, which sends it"),
        ((*OWNED, "owner m0/t1 worker=null"), "ran m0/t1, which sends it"),
        ((*OWNED, "worker_lost w0.2"), "ran m0/t0, which reads it"),
        ((*OWNED, "accept m0/t1.2 worker=w1"), "bound for m0/t1 while m0/t1.2 sends it"),
    ],
)
def test_both_ends_run_when_they_are_bound(events: tuple[str, ...], seen: str) -> None:
    violated(BoundToTheReader, (*WORLD, *events, BIND), seen)


def test_the_ends_of_a_stream_are_those_of_its_manifest() -> None:
    other = BIND.replace("m0/s1", "m0/s2")
    violated(BoundToTheReader, (*WORLD, *OWNED, other), "bound with m0/t1 as its sender")
    nobody = BIND.replace("reader=m0/t0 to=w0", "reader=null to=scheduler")
    violated(BoundToTheReader, (*WORLD, *OWNED, nobody), "bound with a listener as its reader")


def test_results_go_to_a_listener() -> None:
    bind = "bind m0/s0 task=m0/t0 reader=null to=scheduler"
    refused = "return m0 method=listen stream=0 error=bound"
    holds(BoundToTheReader, (*WORLD, *OWNED, LISTEN, bind))
    violated(BoundToTheReader, (*WORLD, *OWNED, bind), "where nobody listens")
    violated(BoundToTheReader, (*WORLD, *OWNED, LISTEN, refused, bind), "where nobody listens")
    wrong = bind.replace("to=scheduler", "to=w0")
    violated(BoundToTheReader, (*WORLD, *OWNED, LISTEN, wrong), "told to send m0/s0 to w0")


# S7

BOTH = 'input_end m0/t0 streams=["m0/s1","m0/s2"]'
TOLD_OTHER = TOLD.replace("m0/s1", "m0/s2")


def test_an_input_ends_when_all_of_its_streams_have() -> None:
    half = ('assign m0/t0 worker=w0 closed=["m0/s2"]', "accept m0/t0 worker=w0")
    holds(EndOfInput, (*WORLD, *READING, TOLD, TOLD_OTHER, BOTH))
    holds(EndOfInput, (*WORLD, *half, TOLD, BOTH))
    violated(EndOfInput, (*WORLD, *READING, TOLD, BOTH), "had not heard that m0/s2 had ended")
    violated(EndOfInput, (*WORLD, *half, TOLD, BOTH, BOTH), "came to the end of m0/s1 twice")


def test_an_input_ends_when_all_of_its_records_were_read() -> None:
    told = (*WORLD, *READING, TOLD, TOLD_OTHER)
    holds(EndOfInput, (*told, RECEIVE, TAKE, BOTH))
    violated(EndOfInput, (*told, RECEIVE, BOTH, TAKE), "with record 1 of m0/s1 unread")
    violated(EndOfInput, (*told, BOTH, RECEIVE), "accepted after m0/t0 had read that input")


def test_a_task_completes_at_the_end_of_its_inputs_unless_it_limits_them() -> None:
    completed = "move m0/t0 state=Completed"
    seen = "m0/t0 completed and m0/t0 had not come to the end of m0/s1"
    limit = CLUSTER, REGISTERED[0].replace('"Merge"', '"Limit offset=0 limit=5"'), *REGISTERED[1:]
    holds(EndOfInput, (*WORLD, *READING, TOLD, TOLD_OTHER, BOTH, completed))
    violated(EndOfInput, (*WORLD, *READING, TOLD, TOLD_OTHER, completed), seen)
    holds(EndOfInput, (*limit, *READING, completed))
    holds(EndOfInput, (*WORLD, *READING, "move m0/t0 state=Cancelled"))
