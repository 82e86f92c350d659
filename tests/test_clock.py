"""The clock: virtual time without the traps of the library beneath it."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
from simpy.core import EmptySchedule
from simpy.events import Event

from sim.choices import Choices, Deltas, Recorded, Seeded, Tame
from sim.clock import Clock, Process, StepBudgetExceeded


class Rebuilt(Exception):
    """Cannot be made from its own `args`, as SimPy would."""

    def __init__(self, task: str, *, attempt: int) -> None:
        super().__init__()
        self.task = task
        self.attempt = attempt


def run(clock: Clock) -> None:
    while not clock.idle:
        clock.step()


def order_of(choices: Choices, names: list[str], *, slack: int = 0, gap: int = 0) -> list[str]:
    """In which order events come that are due at one tick, or `gap` ticks after one another."""
    clock = Clock(choices, slack=slack)
    seen: list[str] = []
    for number, name in enumerate(names):
        clock.after(5 + gap * number, name, lambda name=name: seen.append(name))  # type: ignore[misc]
    run(clock)
    return seen


def trigger(event: Event) -> None:
    event.succeed("value")


NAMES = [f"e{i}" for i in range(6)]


# Time.


@pytest.mark.parametrize("delay", [1.0, 0.1, True, -1, "1", None])
def test_a_delay_that_is_no_natural_number_is_refused(delay: Any) -> None:
    clock = Clock(Tame())
    waits: list[Callable[[], object]] = [
        lambda: clock.pause(delay, "p"),
        lambda: clock.after(delay, "a", lambda: None),
        lambda: clock.schedule(clock.event(), delay=delay),
    ]
    for wait in waits:
        with pytest.raises(TypeError, match="expected an integer >= 0"):
            wait()
    assert clock.idle  # nothing of it is left


def test_simpys_own_timeouts_take_no_floats_either() -> None:
    clock = Clock(Tame())
    with pytest.raises(TypeError, match=r"got 0\.5, expected an integer"):
        clock.timeout(0.5)


def test_ten_pauses_end_exactly_where_one_ten_times_as_long_ends() -> None:
    clock = Clock(Tame())
    ticks: list[object] = []

    def many() -> Process:
        for _ in range(10):
            yield clock.pause(100_000, "short")
        ticks.append(clock.now)

    def one() -> Process:
        yield clock.pause(1_000_000, "long")
        ticks.append(clock.now)

    clock.spawn("many", many())
    clock.spawn("one", one())
    run(clock)
    assert ticks == [1_000_000, 1_000_000]
    assert [type(tick) for tick in ticks] == [int, int]


@pytest.mark.parametrize("slack", [0, 1, 7, 500])
@pytest.mark.parametrize("seed", range(20))
def test_time_never_runs_backwards_and_nothing_comes_early(seed: int, slack: int) -> None:
    clock = Clock(Seeded(seed), slack=slack)
    seen: list[int] = []

    def event(due: int, depth: int) -> None:
        seen.append(clock.tick)
        assert due <= clock.tick <= due + slack
        for child in range(2 * (depth < 4)):
            delay = 3 * child + depth
            due = clock.tick + delay
            clock.after(delay, f"{depth}/{child}/{len(seen)}", lambda d=due: event(d, depth + 1))  # type: ignore[misc]

    clock.after(0, "first", lambda: event(0, 0))
    run(clock)
    assert len(seen) == 31
    assert seen == sorted(seen)


# Ties.


def test_the_tamest_run_is_first_in_first_out() -> None:
    assert order_of(Tame(), NAMES) == NAMES
    assert order_of(Tame(), NAMES, slack=50) == NAMES


def test_a_tie_is_a_choice_that_is_keyed_by_the_events_name() -> None:
    orders = {tuple(order_of(Seeded(seed), NAMES)) for seed in range(300)}
    assert len(orders) > 100  # of 720
    for seed in range(20):
        order = order_of(Seeded(seed), NAMES)
        # The others keep their order when one is added or left out.
        assert [n for n in order_of(Seeded(seed), ["x", *NAMES]) if n != "x"] == order
        assert order_of(Seeded(seed), NAMES[1:]) == [n for n in order if n != "e0"]


def test_one_answer_moves_one_event_behind_the_others() -> None:
    assert order_of(Deltas({"tie:e2": 1}), NAMES) == ["e0", "e1", "e3", "e4", "e5", "e2"]


def test_only_slack_lets_events_of_different_ticks_change_their_order() -> None:
    for seed in range(30):
        assert order_of(Seeded(seed), NAMES, gap=1) == NAMES
    loose = {tuple(order_of(Seeded(seed), NAMES, gap=1, slack=10)) for seed in range(100)}
    assert len(loose) > 50
    near = {tuple(order_of(Seeded(seed), NAMES, gap=11, slack=10)) for seed in range(100)}
    assert near == {tuple(NAMES)}


def test_no_choice_is_spent_on_the_end_of_a_process() -> None:
    # SimPy calls a process by its function's name: all would share one numbered key.
    recorded = Recorded(Seeded(1))
    clock = Clock(recorded, slack=9)

    def process(number: int) -> Process:
        yield clock.pause(number, f"pause {number}")

    for number in range(10):
        clock.spawn(f"p{number}", process(number))
    run(clock)
    assert recorded.decisions == 2 * 10  # a tie and a slack for each pause
    assert all(" " in decision for decision in recorded.deltas)


def test_a_process_begins_before_anything_else_that_is_due() -> None:
    clock = Clock(Deltas({}))
    seen: list[str] = []

    def process() -> Process:
        seen.append("process")
        yield clock.pause(0, "end")

    clock.after(0, "event", lambda: seen.append("event"))
    clock.spawn("p", process())
    run(clock)
    assert seen == ["process", "event"]


# Failures.


def failing(clock: Clock, error: BaseException, *, pauses: int) -> Process:
    for _ in range(pauses):
        yield clock.pause(1, "before")
    raise error


@pytest.mark.parametrize("pauses", [0, 1, 3])
def test_what_a_process_raises_comes_through_as_it_was_raised(pauses: int) -> None:
    clock = Clock(Tame())
    error = Rebuilt("t3", attempt=2)
    clock.spawn("task t3", failing(clock, error, pauses=pauses))
    with pytest.raises(Rebuilt) as caught:
        run(clock)
    assert caught.value is error
    assert (caught.value.task, caught.value.attempt) == ("t3", 2)
    assert clock.tick == pauses


def test_a_failure_comes_out_of_the_very_step_it_happened_in() -> None:
    # Else a run that stops as soon as its client is over would never see it.
    clock = Clock(Tame())
    error = Rebuilt("last", attempt=1)
    clock.spawn("last", failing(clock, error, pauses=1))
    clock.step()  # the process begins
    with pytest.raises(Rebuilt) as caught:
        clock.step()  # its pause ends, and this is the last thing that happens
    assert caught.value is error
    assert clock.waiting == []


def test_what_a_callback_raises_comes_through_too() -> None:
    clock = Clock(Tame())
    error = Rebuilt("callback", attempt=0)

    def call() -> None:
        raise error

    clock.after(3, "call", call)
    with pytest.raises(Rebuilt) as caught:
        run(clock)
    assert caught.value is error


def test_a_process_that_fails_is_named() -> None:
    clock = Clock(Tame())
    failed: list[tuple[str, BaseException]] = []
    clock.on_failure = lambda name, error: failed.append((name, error))
    error = Rebuilt("t", attempt=1)
    clock.spawn("calm", iter_pauses(clock, 5))
    clock.spawn("task t", failing(clock, error, pauses=2))
    with pytest.raises(Rebuilt):
        run(clock)
    assert failed == [("task t", error)]
    assert clock.waiting == ["calm"]
    run(clock)  # what is left goes on
    assert clock.waiting == []


def test_two_that_fail_in_one_step_are_both_named_and_the_first_is_raised() -> None:
    clock = Clock(Tame())
    failed: list[tuple[str, BaseException]] = []
    clock.on_failure = lambda name, error: failed.append((name, error))
    signal = clock.named("signal")
    errors = [Rebuilt("a", attempt=1), Rebuilt("b", attempt=1)]

    def wait(error: Exception) -> Process:
        yield signal
        raise error

    for name, error in zip("ab", errors, strict=True):
        clock.spawn(name, wait(error))
    clock.after(1, "succeed", lambda: trigger(signal))
    with pytest.raises(Rebuilt) as caught:
        run(clock)
    assert caught.value is errors[0]
    assert failed == list(zip("ab", errors, strict=True))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), BaseException("stop")])
@pytest.mark.parametrize("pauses", [0, 2])
def test_an_interrupt_is_not_put_off_and_not_swallowed(error: BaseException, pauses: int) -> None:
    clock = Clock(Tame())
    clock.spawn("task", failing(clock, error, pauses=pauses))
    for _ in range(pauses):
        clock.step()
    with pytest.raises(type(error)) as caught:
        clock.step()
    assert caught.value is error
    clock.close()


# Ends.


def iter_pauses(clock: Clock, ticks: int) -> Process:
    for _ in range(ticks):
        yield clock.pause(1, "pause")


def test_a_run_that_goes_on_for_ever_ends_with_its_budget() -> None:
    clock = Clock(Tame(), max_steps=1_000)

    def spin() -> Process:
        while True:
            yield clock.pause(0, "spin")

    clock.spawn("spin", spin())
    with pytest.raises(StepBudgetExceeded, match="the run was not over after 1,000 steps") as e:
        run(clock)
    assert e.value.args == (1_000,)
    assert clock.tick == 0


def test_a_run_within_its_budget_is_not_stopped() -> None:
    clock = Clock(Tame(), max_steps=7)
    clock.spawn("p", iter_pauses(clock, 5))
    run(clock)  # its begin, five pauses, its end
    assert clock.steps == 7


def test_to_be_idle_is_not_to_be_done() -> None:
    # SimPy's own `run` returns in silence here.
    clock = Clock(Tame())
    never = clock.named("never")

    def wait() -> Process:
        yield never

    clock.spawn("waits", wait())
    clock.spawn("ends", iter_pauses(clock, 2))
    assert (clock.idle, clock.waiting) == (False, ["waits", "ends"])
    run(clock)
    assert (clock.idle, clock.waiting) == (True, ["waits"])
    with pytest.raises(EmptySchedule):
        clock.step()
    clock.close()


def test_two_processes_with_one_name_are_two() -> None:
    clock = Clock(Tame())
    closed: list[str] = []

    def wait(label: str) -> Process:
        try:
            yield clock.named("never")
        finally:
            closed.append(label)

    for number, name in enumerate(["t", "t", "t#2", "t", "u"]):
        clock.spawn(name, wait(f"{name} {number}"))
    run(clock)
    assert len(clock.waiting) == len(set(clock.waiting)) == 5
    assert clock.waiting[:2] == ["t", "t#2"]
    assert clock.waiting[4] == "u"
    clock.close()
    assert closed == ["t 0", "t 1", "t#2 2", "t 3", "u 4"]


def test_close_ends_what_waits_once_and_in_the_order_of_its_begin() -> None:
    clock = Clock(Seeded(3))
    ended: list[int] = []

    def wait(number: int, event: Event) -> Process:
        try:
            yield clock.pause(10 - number, f"first {number}")
            yield event
        finally:
            ended.append(number)

    for number in range(8):
        clock.spawn(f"p{number}", wait(number, clock.named("never")))
    run(clock)
    assert ended == []
    clock.close()
    assert ended == list(range(8))
    assert clock.waiting == []
    clock.close()
    gc.collect()
    assert ended == list(range(8))


def test_what_was_closed_does_not_come_back_with_its_event() -> None:
    clock = Clock(Tame())
    went_on: list[int] = []

    def wait() -> Process:
        yield clock.pause(5, "p")
        went_on.append(clock.tick)

    clock.spawn("p", wait())
    clock.step()
    clock.close()
    run(clock)
    assert went_on == []


def test_one_that_raises_at_its_end_keeps_no_other_from_being_closed() -> None:
    clock = Clock(Tame())
    ended: list[str] = []
    error = Rebuilt("second", attempt=1)

    def wait(name: str, raises: Exception | None = None) -> Process:
        try:
            yield clock.named("never")
        finally:
            ended.append(name)
            if raises is not None:
                raise raises

    clock.spawn("first", wait("first"))
    clock.spawn("second", wait("second", error))
    clock.spawn("third", wait("third"))
    run(clock)
    with pytest.raises(Rebuilt) as caught:
        clock.close()
    assert caught.value is error
    assert ended == ["first", "second", "third"]


def test_what_a_process_waits_for_is_there_once_it_happened() -> None:
    # An event that was triggered before it is yielded must not be lost.
    clock = Clock(Tame())
    got: list[object] = []
    event = clock.named("e")

    def late() -> Process:
        yield clock.pause(5, "later")
        got.append((yield event))

    clock.spawn("late", late())
    clock.after(1, "succeed", lambda: trigger(event))
    run(clock)
    assert got == ["value"]
