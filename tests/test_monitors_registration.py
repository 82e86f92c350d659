"""R1 to R6: each rule is violated by one story at least, and holds in those that look alike."""

import pytest
from stories import CLUSTER, END, FAN, REGISTERED, holds, violated

from properties.monitors.registration import (
    MONITORS,
    AtomicRegistration,
    CallbacksInScope,
    StartIsTolerant,
    TwoEnds,
    UnregisterEndsAll,
    WellFormed,
)

CALL = "call m0 method=register_manifest"
REFUSED = "return m0 method=register_manifest error=known"
LISTENED = ("call m0 method=listen stream=0", "return m0 method=listen stream=0 error=null")
START = "call m0 method=start tasks=[1]"
STARTED = "return m0 method=start tasks=[1] error=null"
LEAVE = "call m0 method=unregister_manifest"
LEFT = "return m0 method=unregister_manifest error=null"
OTHER = tuple(line.replace(" m0", " m1") for line in REGISTERED)
ENDS = (
    *(f"stream_event m0/s{index} state=Closed" for index in range(3)),
    *(f"task_event m0/t{index} state=Cancelled" for index in range(3)),
)


def test_the_family_is_whole() -> None:
    assert [monitor.rule for monitor in MONITORS] == ["R1", "R2", "R3", "R4", "R5", "R6"]


# R1


def test_a_refusal_that_leaves_a_task_behind_is_seen_in_the_tables() -> None:
    story = (
        CLUSTER,
        FAN,
        CALL,
        "tables scheduler manifests=0 tasks=0 when=before",
        "tables scheduler manifests=0 tasks=1 when=after",
        REFUSED,
    )
    violated(AtomicRegistration, story, "kept 0 tasks before it refused a manifest, and 1 after")


def test_a_refusal_that_leaves_the_tables_alone_is_atomic() -> None:
    story = (
        CLUSTER,
        FAN,
        CALL,
        "tables scheduler manifests=2 tasks=9 when=before",
        "tables scheduler manifests=2 tasks=9 when=after",
        REFUSED,
        "tables scheduler manifests=0 tasks=0 when=end",
        "tables w0 jobs=1 when=after",
    )
    holds(AtomicRegistration, story)


@pytest.mark.parametrize("event", ["task_event m0/t1 state=Pending", "queue m0/t1 place=0"])
def test_a_refused_manifest_has_no_events(event: str) -> None:
    violated(AtomicRegistration, (FAN, CALL, REFUSED, event), "although m0 was refused")
    violated(AtomicRegistration, (FAN, CALL, event, REFUSED), "although m0 was refused")


def test_a_manifest_that_is_registered_at_the_second_try_has_events() -> None:
    again = (FAN, CALL, "return m0 method=register_manifest error=null")
    pending = "task_event m0/t1 state=Pending"
    holds(AtomicRegistration, (FAN, CALL, REFUSED, *again, pending))
    # One that was there already stays, when it is refused as known.
    holds(AtomicRegistration, (*REGISTERED, FAN, CALL, REFUSED, pending))


# R2


def test_a_manifest_is_not_registered_twice_at_a_time() -> None:
    violated(WellFormed, (*REGISTERED, *REGISTERED), "m0 was registered again")
    holds(WellFormed, (*REGISTERED, FAN, CALL, REFUSED))
    holds(WellFormed, (*REGISTERED, LEAVE, LEFT, *REGISTERED))


def test_every_stream_of_a_task_is_in_its_manifest() -> None:
    lacks = FAN.replace('"sources":[1,2]', '"sources":[-1,2]')
    violated(WellFormed, (lacks, *REGISTERED[1:]), "m0/t0 reads a stream that is not in m0")
    beyond = FAN.replace('"sinks":[2]', '"sinks":[7]')
    violated(WellFormed, (beyond, *REGISTERED[1:]), "m0/t2 writes a stream that is not in m0")
    holds(WellFormed, (lacks, CALL, REFUSED))


# R3


def test_a_stream_has_one_sender_and_one_reader() -> None:
    two = FAN.replace('"sinks":[2]', '"sinks":[1]')
    violated(TwoEnds, (two, *REGISTERED[1:]), "m0/s1 has 2 senders (m0/t1 and m0/t2)")
    unread = FAN.replace('"sources":[1,2]', '"sources":[1]')
    violated(TwoEnds, (unread, *REGISTERED[1:]), "m0/s2 has 0 reading tasks")
    shared = FAN.replace('"sources":[],"sinks":[2]', '"sources":[1],"sinks":[2]')
    violated(TwoEnds, (shared, *REGISTERED[1:]), "m0/s1 has 2 reading tasks (m0/t0 and m0/t2)")
    results = FAN.replace('"sources":[],"sinks":[2]', '"sources":[0],"sinks":[2]')
    violated(TwoEnds, (results, *REGISTERED[1:]), "m0/s0 has 1 reading task (m0/t2)")
    holds(TwoEnds, (two, CALL, REFUSED, END))
    holds(TwoEnds, (*REGISTERED, *LISTENED, START, STARTED, END))


def test_the_results_have_a_listener_before_anything_starts() -> None:
    refused = LISTENED[1].replace("null", "bound")
    violated(TwoEnds, (*REGISTERED, START, *LISTENED), "nobody listens to m0/s0")
    violated(TwoEnds, (*REGISTERED, LISTENED[0], refused, END), "nobody listens to m0/s0")
    holds(TwoEnds, (*REGISTERED, LISTENED[0], refused, LEAVE, *ENDS, LEFT, END))


def test_a_stream_with_a_reader_takes_no_listener() -> None:
    violated(TwoEnds, (*REGISTERED, *LISTENED, *LISTENED), "m0/s0 got a second listener")
    inner = tuple(line.replace("stream=0", "stream=1") for line in LISTENED)
    violated(TwoEnds, (*REGISTERED, *inner), "m0/s1 got a listener although m0/t0 reads it")


# R4


@pytest.mark.parametrize(
    ("before", "event", "seen"),
    [
        (REGISTERED, "task_event m?/t-1 state=Pending", "m?/t-1, which no registered manifest"),
        (REGISTERED, "task_event m0/t3 state=Pending", "m0/t3, which m0 does not have"),
        (REGISTERED, "stream_event m0/s3 state=Open", "m0/s3, which m0 does not have"),
        ((FAN, CALL), "task_event m0/t1 state=Pending", "while m0 was not registered"),
        (
            (*REGISTERED, LEAVE, LEFT),
            "stream_event m0/s0 state=Closed",
            "after m0 had been unregistered",
        ),
    ],
)
def test_a_handler_hears_nothing_else(before: tuple[str, ...], event: str, seen: str) -> None:
    violated(CallbacksInScope, (*before, event), seen)


def test_a_handler_hears_until_the_unregistration_returns() -> None:
    holds(CallbacksInScope, (*REGISTERED, START, *ENDS[:1], STARTED, LEAVE, *ENDS, LEFT))
    failed = LEFT.replace("null", "unknown")
    holds(CallbacksInScope, (*REGISTERED, LEAVE, failed, *ENDS))


# R5


def test_unregistering_ends_everything_first() -> None:
    holds(UnregisterEndsAll, (*REGISTERED, *ENDS[:3], LEAVE, *ENDS[3:], LEFT))
    violated(UnregisterEndsAll, (*REGISTERED, LEAVE, *ENDS[:-1], LEFT), "m0/t2 had no end")
    violated(UnregisterEndsAll, (*REGISTERED, LEAVE, *ENDS[1:], LEFT), "m0/s0 was not reported")
    twice = "task_event m0/t0 state=Failed"
    violated(UnregisterEndsAll, (*REGISTERED, twice, LEAVE, *ENDS, LEFT), "m0/t0 had 2 ends")


def test_a_second_life_of_a_manifest_needs_ends_of_its_own() -> None:
    first = (*REGISTERED, LEAVE, *ENDS, LEFT)
    holds(UnregisterEndsAll, (*first, *first))
    violated(UnregisterEndsAll, (*first, *REGISTERED, LEAVE, LEFT), "m0/t0 had no end")


def test_what_is_not_registered_cannot_be_unregistered() -> None:
    failed = LEFT.replace("null", "unknown")
    violated(UnregisterEndsAll, (FAN, CALL, REFUSED, LEAVE, LEFT), "although it was not registered")
    holds(UnregisterEndsAll, (FAN, CALL, REFUSED, LEAVE, failed))
    violated(
        UnregisterEndsAll,
        (*REGISTERED, LEAVE, *ENDS, LEFT, LEAVE, LEFT),
        "although it was not registered",
    )


def test_unregistering_touches_no_other_manifest() -> None:
    touched = "owner m1/t0 worker=null"
    start = "call m1 method=start tasks=[0]"
    started = "return m1 method=start tasks=[0] error=null"
    both = (CLUSTER, *REGISTERED, *OTHER)
    violated(UnregisterEndsAll, (*both, LEAVE, *ENDS, touched, LEFT), "m1/t0 had a owner event")
    holds(UnregisterEndsAll, (*both, LEAVE, "owner m0/t0 worker=null", *ENDS, LEFT, touched))
    # A handler may use another manifest meanwhile.
    holds(UnregisterEndsAll, (*both, LEAVE, *ENDS, start, "queue m1/t0 place=0", started, LEFT))


# R6


def test_a_start_of_what_is_registered_is_no_error() -> None:
    failed = STARTED.replace("null", "over")
    unknown = ("call m0 method=start tasks=[9]", "return m0 method=start tasks=[9] error=unknown")
    violated(StartIsTolerant, (*REGISTERED, START, failed), "start of m0/t1 failed (over)")
    holds(StartIsTolerant, (*REGISTERED, *unknown))
    holds(StartIsTolerant, (*REGISTERED, LEAVE, *ENDS, LEFT, START, failed))


def test_a_start_of_a_task_that_is_over_runs_nothing() -> None:
    over = (CLUSTER, *REGISTERED, "move m0/t1 state=Cancelled", START, STARTED)
    assign = "assign m0/t1 worker=w0 closed=[]"
    violated(StartIsTolerant, (*over, assign), "m0/t1 was handed to w0 after a start that found it")
    holds(StartIsTolerant, (*over, "assign m0/t2 worker=w0 closed=[]"))


@pytest.mark.parametrize(
    ("back", "right"),
    [
        ("accept m0/t1 worker=w0", False),
        ("refuse m0/t1 worker=w0 leaving=false", True),
        ("ack_timeout m0/t1 worker=w0", True),
        ("queue m0/t1 place=0 again=true", True),
        ("worker_lost w0", True),
        ("worker_lost w1", False),
    ],
)
def test_a_second_start_runs_nothing_but_retries(back: str, right: bool) -> None:
    story = (
        CLUSTER,
        *REGISTERED,
        START,
        STARTED,
        START,
        STARTED,
        "assign m0/t1 worker=w0 closed=[]",
        back,
        "assign m0/t1.2 worker=w1 closed=[]",
    )
    if right:
        holds(StartIsTolerant, story)
    else:
        violated(StartIsTolerant, story, "m0/t1 was handed to w1 once more after a second start")
