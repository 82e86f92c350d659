"""Calls in the order in which they were posted, on one thread."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from threads import until

from workflow.runners._delivery import Delivery


@pytest.fixture
def delivery() -> Iterator[Delivery]:
    made = Delivery("windtunnel events")
    yield made
    made.close()


def test_calls_are_made_in_order_on_one_other_thread(delivery: Delivery) -> None:
    made: list[tuple[int, threading.Thread]] = []

    def note(number: int) -> None:
        made.append((number, threading.current_thread()))

    for number in range(100):
        delivery.post(partial(note, number))
    delivery.flush()
    assert [number for number, _ in made] == list(range(100))
    [thread] = {thread for _, thread in made}
    assert thread is not threading.current_thread()


def test_a_flush_waits_for_a_call_that_is_under_way(delivery: Delivery) -> None:
    gate, made = threading.Event(), threading.Event()

    def outer() -> None:
        gate.wait()
        made.set()

    delivery.post(outer)
    threading.Timer(0.02, gate.set).start()
    delivery.flush()
    assert made.is_set()


def test_a_flush_from_inside_of_a_call_makes_what_was_posted_before(delivery: Delivery) -> None:
    made: list[str] = []

    def outer() -> None:
        delivery.post(lambda: made.append("inner"))
        delivery.flush()
        made.append("outer")

    delivery.post(outer)
    delivery.flush()
    assert made == ["inner", "outer"]


def test_a_flush_from_elsewhere_waits_for_the_call_that_flushes_too(delivery: Delivery) -> None:
    inside, gate, made = threading.Event(), threading.Event(), threading.Event()

    def outer() -> None:
        delivery.flush()
        inside.set()
        gate.wait()
        made.set()

    delivery.post(outer)
    assert inside.wait(10)
    threading.Timer(0.02, gate.set).start()
    delivery.flush()
    assert made.is_set()


def test_close_makes_every_call_and_ends_the_thread() -> None:
    before = threading.active_count()
    delivery = Delivery("windtunnel events")
    made: list[int] = []
    for number in range(100):
        delivery.post(partial(made.append, number))
    delivery.close()
    assert (len(made), threading.active_count()) == (100, before)


def test_what_is_posted_after_the_close_is_made_by_whoever_flushes() -> None:
    delivery = Delivery("windtunnel events")
    made: list[str] = []
    delivery.post(lambda: made.append("before"))
    delivery.close()
    delivery.post(lambda: made.append(threading.current_thread().name))
    delivery.flush()
    assert made == ["before", threading.current_thread().name]


def test_a_call_may_post_more(delivery: Delivery) -> None:
    made: list[int] = []

    def step(number: int) -> None:
        made.append(number)
        if number < 1000:  # no stack grows
            delivery.post(lambda: step(number + 1))

    delivery.post(lambda: step(0))
    assert until(lambda: len(made) == 1001)
