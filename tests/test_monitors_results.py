"""What a reader is told: each rule can be broken, and holds where it should."""

import pytest
from stories import CLUSTER, END, FAN, LANES, REGISTERED, holds, violated

from properties.monitors.results import (
    BlockedReaderWakes,
    CloseOfResultsEndsBoth,
    ErrorBeforeEnd,
    FirstEndStays,
    NoErrorOutOfNothing,
    RecordsInOrder,
    SoundEnd,
)

EOF = "read_eof m0/s0"
DONE = (
    "task_event m0/t1 state=Completed",
    "task_event m0/t2 state=Completed",
    "task_event m0/t0 state=Completed",
    "stream_event m0/s0 state=Closed",
)
ERROR = 'read_error m0/s0 error="it broke"'
FAILED = 'task_event m0/t1 state=Failed error="it broke"'


def _taken(*ids: str) -> tuple[str, str]:
    shown = "[" + ",".join(f'"{each}"' for each in ids) + "]"
    return (f"write m0/s0 rows={len(ids)} ids={shown}", "write_done m0/s0 outcome=taken")


def _read(*ids: str) -> str:
    return f"read m0/s0 rows={len(ids)} ids=[" + ",".join(f'"{each}"' for each in ids) + "]"


def test_p1_a_failure_before_the_end_makes_it_an_error() -> None:
    """The reader must not see a clean end."""
    violated(ErrorBeforeEnd, (*REGISTERED, FAILED, EOF), "although m0/t1 had Failed")
    holds(ErrorBeforeEnd, (*REGISTERED, FAILED, ERROR, END))


def test_p1_leaves_a_reader_alone_that_closed_and_a_failure_that_came_late() -> None:
    """Neither a closed reader, nor a second word about a task, counts."""
    holds(ErrorBeforeEnd, (*REGISTERED, "close_results m0/s0", FAILED, EOF))
    holds(ErrorBeforeEnd, (*REGISTERED, EOF, FAILED))
    holds(ErrorBeforeEnd, (*REGISTERED, *DONE, FAILED, EOF))


def test_p2_an_end_is_sound_when_all_is_done() -> None:
    """Everything Completed, the stream Closed."""
    holds(SoundEnd, (*REGISTERED, *DONE, EOF, END))


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        (DONE[:3], "while m0/s0 was not Closed"),
        (DONE[1:], "although m0/t1 was Created"),
        ((FAILED, *DONE[1:]), "m0/t1 had Failed"),
        (("task_event m0/t1 state=Cancelled", *DONE[1:]), "nobody had asked"),
        (
            (
                "call m0 method=cancel tasks=[1]",
                "task_event m0/t1 state=Cancelled",
                *DONE[1:],
            ),
            "while m0/t0 could still use it",
        ),
        (
            (
                *DONE[:2],
                "call m0 method=cancel tasks=[0]",
                "task_event m0/t0 state=Cancelled",
                DONE[3],
            ),
            "is the root",
        ),
    ],
)
def test_p2_an_end_is_not_sound(lines: tuple[str, ...], seen: str) -> None:
    """One thing is not in order."""
    violated(SoundEnd, (*REGISTERED, *lines, EOF), seen)


def test_p2_a_task_may_be_given_up_once_its_parents_are_over() -> None:
    """The root is done before the scans."""
    holds(
        SoundEnd,
        (
            *REGISTERED,
            "task_event m0/t0 state=Completed",
            "stream_event m0/s0 state=Closed",
            "call m0 method=cancel tasks=[1,2]",
            "task_event m0/t1 state=Cancelled",
            "task_event m0/t2 state=Cancelled",
            EOF,
        ),
    )


def _excluded(times: str, report: str) -> tuple[str, ...]:
    dated = FAN.replace('"max_time_range":[null,null],"sources":[],"sinks":[1]', times)
    return (
        dated,
        *REGISTERED[1:],
        f"task_event m0/t0 state=Running {report}",
        "call m0 method=cancel tasks=[1]",
        "task_event m0/t1 state=Cancelled",
        *DONE[1:],
        EOF,
    )


def test_p2_a_task_may_be_given_up_once_a_range_excludes_it() -> None:
    """Strictly before or after what matters; an unknown bound is never excluded."""
    dated = (
        '"max_time_range":["2025-01-01T00:00:00Z","2025-01-01T01:00:00Z"],"sources":[],"sinks":[1]'
    )
    unknown = '"max_time_range":[null,null],"sources":[],"sinks":[1]'
    above = "contributing=2025-01-01T02:00:00Z less_than=false"
    below = "contributing=2025-01-01T02:00:00Z less_than=true"
    holds(SoundEnd, _excluded(dated, above))
    violated(SoundEnd, _excluded(dated, below), "while m0/t0 could still use it")
    violated(SoundEnd, _excluded(unknown, above), "while m0/t0 could still use it")


def test_p3_the_first_end_stays() -> None:
    """Whatever is read later gives the same."""
    violated(FirstEndStays, (*REGISTERED, ERROR, EOF), "got the end after 'it broke'")
    violated(FirstEndStays, (*REGISTERED, EOF, ERROR), "after the end")
    violated(FirstEndStays, (*REGISTERED, ERROR, _read("a")), "a record of 1 rows")
    violated(FirstEndStays, (*REGISTERED, ERROR, "read_error m0/s0 error=other"), "'other'")
    holds(FirstEndStays, (*REGISTERED, ERROR, ERROR))


def test_p3_the_first_error_set_is_the_readers() -> None:
    """Not a later one, and not a clean end."""
    first, second = 'results_error m0 error="it broke"', "results_error m0 error=late"
    shown = (*REGISTERED, LANES)
    holds(FirstEndStays, (*shown, first, second, ERROR))
    violated(FirstEndStays, (*shown, second, first, ERROR), "set first was 'late'")
    violated(FirstEndStays, (*shown, ERROR), "no error")
    violated(FirstEndStays, (*shown, first, EOF), "an error had been set")
    holds(FirstEndStays, (*shown, "results_end m0", first, EOF))


def test_p4_a_blocked_reader_is_woken() -> None:
    """At once where there is a cluster's clock; before all is over in any case."""
    story = (CLUSTER, *REGISTERED, LANES, "@5 read_wait m0/s0", "results_end m0")
    holds(BlockedReaderWakes, (*story, EOF, END))
    violated(BlockedReaderWakes, (*story, f"@6 {EOF}"), "still is at tick 6")
    slack = CLUSTER.replace("slack=0", "slack=2")
    holds(BlockedReaderWakes, (slack, *story[1:], f"@7 {EOF}"))
    violated(BlockedReaderWakes, (*story[1:], END), "was blocked when its end was decided")


def test_p4_a_reader_that_pauses_is_not_blocked() -> None:
    """It looks again in its own time."""
    story = (CLUSTER, *REGISTERED, LANES, "read_wait m0/s0", _read("a"), "results_end m0")
    holds(BlockedReaderWakes, (*story, f"@900 {EOF}", END))


def test_p5_records_are_read_as_written() -> None:
    """In order, and all of them; an error may come first."""
    holds(RecordsInOrder, (*REGISTERED, *_taken("a"), _read("a"), *_taken("b"), _read("b"), EOF))
    violated(
        RecordsInOrder,
        (*REGISTERED, *_taken("a"), *_taken("b"), _read("b"), _read("a")),
        "got rows b, next was rows a",
    )
    violated(RecordsInOrder, (*REGISTERED, _read("a")), "next was nothing")
    violated(RecordsInOrder, (*REGISTERED, *_taken("a"), EOF), "the end before rows a")
    holds(RecordsInOrder, (*REGISTERED, *_taken("a"), ERROR))


def test_p5_a_reader_may_be_faster_than_the_writers_answer() -> None:
    """It reads inside of the offer; a write that found no room is no record."""
    write, done = _taken("a")
    holds(RecordsInOrder, (*REGISTERED, write, _read("a"), done, EOF))
    full = "write_done m0/s0 outcome=full"
    holds(RecordsInOrder, (*REGISTERED, write, full, write, done, _read("a"), EOF))
    violated(RecordsInOrder, (*REGISTERED, write, _read("a"), full), "its writer told full")


def test_p6_after_a_close_nothing_is_taken_or_read() -> None:
    """A writer is told, a reader gets its end and does not wait."""
    closed = (*REGISTERED, "close_results m0/s0")
    write, done = _taken("a")
    violated(CloseOfResultsEndsBoth, (*closed, write, done), "was told taken")
    violated(CloseOfResultsEndsBoth, (*closed, _read("a")), "rows a came out")
    violated(CloseOfResultsEndsBoth, (*closed, "read_wait m0/s0", END), "waits for ever")
    holds(
        CloseOfResultsEndsBoth,
        (*closed, "close_results m0/s0", write, "write_done m0/s0 outcome=closed", EOF, END),
    )
    holds(CloseOfResultsEndsBoth, (*REGISTERED, write, "close_results m0/s0", done, END))


def test_p7_a_refused_start_reaches_the_reader() -> None:
    """As an error."""
    refused = "return m0 method=start tasks=[1] error=no"
    violated(NoErrorOutOfNothing, (*REGISTERED, refused, EOF), "a start had been refused")
    holds(NoErrorOutOfNothing, (CLUSTER, *REGISTERED, refused, ERROR))


@pytest.mark.parametrize("trouble", ["fault w0 fault=worker_crash", "ask m0 what=cancel", FAILED])
def test_p7_an_error_has_a_reason(trouble: str) -> None:
    """Without any it is wrong."""
    holds(NoErrorOutOfNothing, (CLUSTER, *REGISTERED, trouble, ERROR))
    violated(NoErrorOutOfNothing, (CLUSTER, *REGISTERED, ERROR), "nothing had gone wrong")
