"""The slot between the root task and the reader: how it ends, who is woken, what is kept."""

import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from threading import Semaphore, Thread
from types import FrameType
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow import EndOfStream, Results, WriteClosed, results


def batch(number: int) -> pa.RecordBatch:
    return pa.record_batch([[number]], names=["n"])


def number(of: pa.RecordBatch) -> int:
    value: int = of.column(0)[0].as_py()
    return value


class Boom(Exception):
    pass


def polled(results: Results) -> object:
    """What a read gives: a record's number, None, or the end's exception."""
    try:
        of = results.poll()
    except Exception as error:  # noqa: BLE001 - the test compares it
        return error if isinstance(error, Boom) else type(error)
    return None if of is None else number(of)


def offered(results: Results, n: int) -> object:
    try:
        return results.offer(batch(n))
    except WriteClosed:
        return WriteClosed


def test_i01_after_the_end_every_read_says_so() -> None:
    for end in (Results.finish, Results.close):
        results = Results()
        end(results)
        assert [polled(results) for _ in range(3)] == [EndOfStream] * 3


def test_i02_p3_after_an_error_every_read_raises_that_one() -> None:
    results, error = Results(), Boom("e")
    assert results.fail(error)
    assert [polled(results) for _ in range(3)] == [error] * 3


def test_i03_an_end_that_a_reader_may_have_seen_never_becomes_an_error() -> None:
    """Departs from the reference: there the error comes after all (hazard E3)."""
    for end in (Results.finish, Results.close):
        results = Results()
        end(results)
        assert not results.fail(Boom("late"))
        assert polled(results) is EndOfStream


def test_i04_the_first_error_stays() -> None:
    results, first = Results(), Boom("1")
    assert results.fail(first)
    assert not results.fail(Boom("2"))
    assert not results.fail(first)  # decided before, by the same
    assert not results.finish()
    assert polled(results) is first


def test_i06_p6_a_writer_that_waits_learns_of_the_readers_close() -> None:
    results = Results()
    woken: list[str] = []
    assert results.offer(batch(1))
    results.watch(lambda: woken.append("writer"))
    assert not results.offer(batch(2))
    results.close()
    assert woken == ["writer"]
    assert offered(results, 2) is WriteClosed
    assert polled(results) is EndOfStream


def test_i07_a_writer_that_waits_is_released_by_an_error() -> None:
    """Departs from the reference: there it stays blocked (hazard E2)."""
    results = Results()
    woken: list[str] = []
    assert results.offer(batch(1))
    results.watch(lambda: woken.append("writer"))
    results.fail(Boom("e"))
    assert woken == ["writer"]
    assert offered(results, 2) is WriteClosed


def test_i08_p5_a_record_goes_from_the_writer_to_the_reader() -> None:
    results = Results()
    assert polled(results) is None
    record = batch(1)
    assert results.offer(record)
    assert results.poll() is record
    assert polled(results) is None


def test_i10_p1_an_error_comes_before_everything_still_in_the_slot() -> None:
    results, error = Results(), Boom("e")
    results.offer(batch(1))
    results.fail(error)
    assert polled(results) is error


def test_p5_an_end_comes_after_everything_still_in_the_slot() -> None:
    results = Results(capacity=2)
    results.offer(batch(1))
    results.offer(batch(2))
    results.finish()
    assert [polled(results) for _ in range(4)] == [1, 2, EndOfStream, EndOfStream]


def test_i11_after_a_close_nothing_can_be_written() -> None:
    results = Results()
    results.close()
    assert offered(results, 1) is WriteClosed


def test_after_the_end_nothing_can_be_written() -> None:
    results = Results()
    results.finish()
    assert offered(results, 1) is WriteClosed


def test_p6_after_a_close_nothing_can_be_read_also_if_the_end_had_been_decided() -> None:
    results = Results()
    results.offer(batch(1))
    results.finish()
    results.close()
    assert polled(results) is EndOfStream
    failed, error = Results(), Boom("e")
    failed.fail(error)
    failed.close()
    assert polled(failed) is error


def test_p6_closing_twice_is_closing_once_and_the_workflow_hears_of_it() -> None:
    told: list[str] = []
    results = Results(lambda: told.append("closed"))
    woken: list[str] = []
    results.watch(lambda: woken.append("once"))
    results.close()
    results.close()
    assert woken == ["once"]
    assert told == ["closed"] * 2  # every time: the workflow takes the first
    assert results.ended


def test_it_holds_as_many_records_as_it_has_room_for() -> None:
    results = Results(capacity=3)
    assert [offered(results, n) for n in range(4)] == [True, True, True, False]
    assert polled(results) == 0
    assert offered(results, 4) is True
    assert [polled(results) for _ in range(4)] == [1, 2, 4, None]


def test_it_has_ended_as_soon_as_it_is_decided_how() -> None:
    for end in (Results.finish, Results.close, lambda results: results.fail(Boom())):
        results = Results()
        results.offer(batch(1))
        assert not results.ended
        end(results)
        assert results.ended


CHANGES: dict[str, Callable[[Results], object]] = {
    "offer": lambda results: results.offer(batch(2)),
    "poll": lambda results: results.poll(),
    "fail": lambda results: results.fail(Boom("e")),
    "finish": lambda results: results.finish(),
    "close": lambda results: results.close(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_p4_every_change_wakes_all_who_watch_each_once(change: str) -> None:
    results = Results(capacity=2)
    results.offer(batch(1))
    woken: list[str] = []
    for name in ("reader", "writer", "third"):
        results.watch(lambda name=name: woken.append(name))  # type: ignore[misc]
    CHANGES[change](results)
    assert woken == ["reader", "writer", "third"]
    results.close()
    assert len(woken) == 3


def test_what_changes_nothing_wakes_nobody() -> None:
    results = Results()
    woken: list[str] = []
    results.watch(lambda: woken.append("early"))
    results.poll()
    assert woken == []
    results.offer(batch(1))
    assert woken == ["early"]
    results.watch(lambda: woken.append("late"))
    results.offer(batch(2))  # full
    assert woken == ["early"]


def test_one_that_watches_again_while_it_is_woken_waits_for_the_next_change() -> None:
    results = Results()
    woken: list[int] = []

    def wake() -> None:
        woken.append(len(woken))
        results.watch(wake)

    results.watch(wake)
    results.offer(batch(1))
    assert woken == [0]
    results.poll()
    assert woken == [0, 1]


def test_one_that_is_woken_may_read_and_close() -> None:
    seen: list[object] = []
    told: list[str] = []
    results = Results(lambda: told.append("closed"))

    def wake() -> None:
        seen.append(polled(results))
        results.close()

    results.watch(wake)
    assert results.offer(batch(1))
    assert seen == [1]
    assert told == ["closed"]
    assert offered(results, 2) is WriteClosed


def angry() -> None:
    raise ZeroDivisionError("a watcher")


@pytest.mark.parametrize("change", CHANGES)
def test_a_watcher_that_raises_keeps_nobody_asleep(change: str) -> None:
    told: list[str] = []
    results = Results(lambda: told.append("closed"), capacity=2)
    results.offer(batch(1))
    woken: list[str] = []
    results.watch(lambda: woken.append("before"))
    results.watch(angry)
    results.watch(lambda: woken.append("after"))
    with pytest.raises(ZeroDivisionError, match="a watcher"):
        CHANGES[change](results)
    assert woken == ["before", "after"]
    assert told == (["closed"] if change == "close" else [])


def test_a_watcher_that_raises_costs_no_record_and_doubles_none() -> None:
    results = Results()
    results.watch(angry)
    with pytest.raises(ZeroDivisionError):
        results.offer(batch(1))
    assert offered(results, 2) is False  # the first is in
    results.watch(angry)
    with pytest.raises(ZeroDivisionError):
        results.poll()
    assert [polled(results), polled(results)] == [1, None]


def test_a_watcher_that_raises_does_not_undo_the_end() -> None:
    results, error = Results(), Boom("e")
    results.watch(angry)
    with pytest.raises(ZeroDivisionError):
        results.fail(error)
    assert polled(results) is error


class Lists:
    """What the slot promises, as two lists and a word."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.slot: list[int] = []
        self.end: object = None

    def offer(self, n: int) -> object:
        if self.end is not None:
            return WriteClosed
        if len(self.slot) == self.capacity:
            return False
        self.slot.append(n)
        return True

    def poll(self) -> object:
        if isinstance(self.end, Boom):
            return self.end
        if self.slot:
            return self.slot.pop(0)
        return self.end


@given(
    st.integers(1, 3),
    st.lists(
        st.sampled_from(["offer", "offer", "offer", "poll", "poll", "finish", "fail", "close"]),
        max_size=14,
    ),
)
def test_any_order_of_calls_gives_what_the_words_say(capacity: int, calls: list[str]) -> None:
    results, lists = Results(capacity=capacity), Lists(capacity)
    for n, call in enumerate(calls):
        decided = lists.end is not None
        if call == "offer":
            assert offered(results, n) == lists.offer(n)
        elif call == "poll":
            assert polled(results) == lists.poll()
        elif call == "close":
            results.close()
            lists.end = lists.end or EndOfStream
            lists.slot.clear()
        elif call == "finish":
            assert results.finish() is not decided
            lists.end = lists.end or EndOfStream
        else:
            error = Boom(str(n))
            assert results.fail(error) is not decided
            lists.end = lists.end or error
        assert results.ended == (lists.end is not None)


class Stepper:
    """Lets threads run one line of `results.py` at a time, in the order that a schedule says."""

    def __init__(self, *bodies: Callable[[], None]) -> None:
        self.errors: list[BaseException] = []
        self.go = [Semaphore(0) for _ in bodies]
        self.came = Semaphore(0)
        self.done = [False] * len(bodies)
        self.threads = [
            Thread(target=self._run, args=(index, body), daemon=True)
            for index, body in enumerate(bodies)
        ]

    def _run(self, index: int, body: Callable[[], None]) -> None:
        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if frame.f_code.co_filename != results.__file__:
                return None
            if event == "line":
                self.came.release()
                self.go[index].acquire()
            return trace

        self.go[index].acquire()
        sys.settrace(trace)
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - the test fails on it
            self.errors.append(error)
        finally:
            sys.settrace(None)
            self.done[index] = True
            self.came.release()

    def run(self, schedule: Iterator[int]) -> None:
        """Follow the schedule while it chooses, and then let each thread go on to its end."""
        for thread in self.threads:
            thread.start()
        while not all(self.done):
            index = next(schedule, 0)
            if self.done[index]:
                index = self.done.index(False)
            self.go[index].release()
            assert self.came.acquire(timeout=10)
        for thread in self.threads:
            thread.join(10)
        assert self.errors == []


def switches(first: int, steps: int) -> Iterator[list[int]]:
    """Schedules of two threads that change over once or twice within the first steps."""
    for once, back in combinations(range(steps + 1), 2):
        yield [1 - first if once <= step < back else first for step in range(steps)]


@pytest.mark.parametrize("end", ["finish", "fail"])
@pytest.mark.parametrize("first", [0, 1])
def test_watching_before_polling_loses_no_wake_up(first: int, end: str) -> None:
    """Line by line, with every place at which two threads may change over, up to twice."""
    for schedule in switches(first, 30):
        slot = Results()
        seen: list[object] = []
        woken: list[str] = []

        def read(slot: Results = slot, seen: list[object] = seen, woken: list[str] = woken) -> None:
            slot.watch(lambda: woken.append("reader"))
            seen.append(polled(slot))

        def write(slot: Results = slot) -> None:
            assert slot.offer(batch(1))
            CHANGES[end](slot)

        Stepper(read, write).run(iter(schedule))
        # It has seen the last word, or it was woken after it had looked and looks again.
        assert seen != [None] or woken == ["reader"], schedule
        rest = [*seen, polled(slot), polled(slot)]
        assert rest[-1] is EndOfStream or isinstance(rest[-1], Boom), schedule
        if end == "fail":
            assert EndOfStream not in rest, schedule
        if end == "finish":
            assert [each for each in rest if each not in (None, EndOfStream)] == [1], schedule


def test_two_ends_at_once_leave_one() -> None:
    for first in (0, 1):
        for schedule in switches(first, 10):
            slot = Results()
            error = Boom("e")
            decided: list[bool] = []

            def fail(
                slot: Results = slot, decided: list[bool] = decided, error: Boom = error
            ) -> None:
                decided.append(slot.fail(error))

            def finish(slot: Results = slot, decided: list[bool] = decided) -> None:
                decided.append(slot.finish())

            Stepper(fail, finish).run(iter(schedule))
            assert sorted(decided) == [False, True], schedule
            assert polled(slot) == polled(slot)
