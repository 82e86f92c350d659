"""One handler at a time, in order, whoever calls, from wherever, and whatever it raises."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import pytest

from workflow.mailbox import Mailbox


class Log(list[str]):
    """A mailbox and what it did."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.todo: list[str] = []  # what `idle` has to do
        self.mailbox = Mailbox(self.idle, self.errors.append)

    def idle(self) -> bool:
        if not self.todo:
            return False
        self.append(self.todo.pop(0))
        return True


def unexpected(error: Exception) -> None:
    pytest.fail(f"a handler raised {error!r}")


def test_messages_are_handled_in_the_order_in_which_they_came() -> None:
    log = Log()
    for name in "abc":
        log.mailbox.post(log.append, name)
    assert log == ["a", "b", "c"]


def test_no_handler_runs_inside_another() -> None:
    log = Log()

    def outer(name: str, *inner: str) -> None:
        log.append(f"{name} begins")
        for each in inner:
            log.mailbox.post(outer, each)
        log.append(f"{name} ends")

    log.mailbox.post(outer, "a", "b", "c")
    assert log == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


def test_idle_runs_when_no_message_is_left_and_until_it_says_no() -> None:
    log = Log()
    log.todo = ["i1", "i2"]
    log.mailbox.post(lambda: log.mailbox.post(log.append, "b"))
    assert log == ["b", "i1", "i2"]


def test_a_message_that_idle_posts_comes_before_idle_goes_on() -> None:
    log: list[str] = []
    rounds = iter(["one", "two"])

    def idle() -> bool:
        name = next(rounds, None)
        if name is None:
            return False
        mailbox.post(log.append, f"message of {name}")
        log.append(name)
        return True

    mailbox = Mailbox(idle, unexpected)
    mailbox.post(log.append, "start")
    assert log == ["start", "one", "message of one", "two", "message of two"]


def test_a_message_that_the_last_idle_posts_is_not_left_behind() -> None:
    log: list[str] = []
    posted = iter([True])

    def idle() -> bool:
        if next(posted, False):
            mailbox.post(log.append, "late")
        return False

    mailbox = Mailbox(idle, unexpected)
    mailbox.post(log.append, "start")
    assert log == ["start", "late"]


def boom() -> None:
    raise ZeroDivisionError("boom")


def both(mailbox: Mailbox, one: Callable[[], None], other: Callable[[], None]) -> None:
    mailbox.post(one)
    mailbox.post(other)


def test_a_handler_that_raises_does_not_strand_what_comes_after_it() -> None:
    log = Log()
    log.mailbox.post(both, log.mailbox, boom, lambda: log.append("b"))
    log.mailbox.post(log.append, "c")
    assert log == ["b", "c"]
    assert [str(error) for error in log.errors] == ["boom"]


def test_each_of_many_handlers_that_raise_is_told() -> None:
    log = Log()
    for _ in range(20):
        log.mailbox.post(boom)
    assert len(log.errors) == 20
    log.mailbox.post(both, log.mailbox, boom, boom)
    assert len(log.errors) == 22


def test_an_error_is_told_before_the_next_message_is_handled() -> None:
    log: list[str] = []
    mailbox = Mailbox(lambda: False, lambda error: log.append(str(error)))
    mailbox.post(both, mailbox, boom, lambda: log.append("after"))
    assert log == ["boom", "after"]


def test_an_idle_that_raises_is_told_and_asked_again_once_something_new_was_posted() -> None:
    answers: Iterator[bool | Exception] = iter([True, OSError("no"), True, False])
    errors: list[Exception] = []
    asked: list[object] = []

    def idle() -> bool:
        answer = next(answers)
        asked.append(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    mailbox = Mailbox(idle, errors.append)
    mailbox.post(lambda: None)
    assert [str(error) for error in errors] == ["no"]
    assert len(asked) == 2
    mailbox.post(lambda: None)
    assert [str(error) for error in errors] == ["no"]
    assert len(asked) == 4


def idle_that_always_raises(asked: list[int]) -> Callable[[], bool]:
    def idle() -> bool:
        asked.append(len(asked))
        if len(asked) > 100:
            pytest.fail("asked for ever")
        raise OSError("no")

    return idle


def test_an_idle_that_always_raises_is_asked_once_for_each_message() -> None:
    asked: list[int] = []
    errors: list[Exception] = []
    mailbox = Mailbox(idle_that_always_raises(asked), errors.append)
    for number in range(1, 4):
        mailbox.post(lambda: None)
        assert len(asked) == len(errors) == number


def test_what_is_posted_while_an_idle_raises_makes_it_be_asked_again() -> None:
    asked: list[str] = []

    def idle() -> bool:
        asked.append("asked")
        if len(asked) == 1:
            mailbox.post(asked.append, "posted")
            raise OSError("no")
        return False

    mailbox = Mailbox(idle, lambda _error: None)
    mailbox.post(lambda: None)
    assert asked == ["asked", "posted", "asked"]


def test_an_idle_that_raises_and_one_told_of_it_that_raises_too_come_to_an_end() -> None:
    asked: list[int] = []

    def failed(error: Exception) -> None:
        raise error

    mailbox = Mailbox(idle_that_always_raises(asked), failed)
    mailbox.post(lambda: None)
    assert len(asked) == 1
    mailbox.post(boom)
    assert len(asked) == 2


def test_what_the_one_told_of_errors_raises_comes_back_to_it() -> None:
    """So that whatever it had yet to do gets a second try."""
    told: list[str] = []

    def failed(error: Exception) -> None:
        told.append(str(error))
        if len(told) == 1:
            raise OSError("half way")

    mailbox = Mailbox(lambda: False, failed)
    mailbox.post(boom)
    assert told == ["boom", "half way"]


def test_one_told_of_errors_that_always_raises_strands_nothing_and_stops_nobody() -> None:
    log: list[str] = []

    def failed(error: Exception) -> None:
        log.append(str(error))
        raise OSError("and again")

    mailbox = Mailbox(lambda: False, failed)
    mailbox.post(both, mailbox, boom, lambda: log.append("b"))
    mailbox.post(log.append, "c")
    assert log == ["boom", "and again", "and again", "and again", "b", "c"]
    log.clear()
    mailbox.post(boom)  # each error gets as many tries
    assert log == ["boom", "and again", "and again", "and again"]


def test_an_interrupt_goes_through_and_leaves_the_mailbox_usable() -> None:
    log = Log()

    def interrupted() -> None:
        log.mailbox.post(log.append, "b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.mailbox.post(interrupted)
    log.mailbox.post(log.append, "c")
    assert log == ["b", "c"]
    assert log.errors == []


def test_a_chain_of_posts_does_not_grow_the_stack() -> None:
    log = Log()
    depths = set()

    def link(left: int) -> None:
        depths.add(len(list(frames())))
        if left:
            log.mailbox.post(link, left - 1)

    log.mailbox.post(link, 10_000)
    assert len(depths) == 1


def frames() -> Iterator[object]:
    frame = sys._getframe()
    while frame.f_back is not None:
        yield frame
        frame = frame.f_back


@pytest.fixture
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_eight_threads_lose_nothing_and_never_meet() -> None:
    posts, threads = 2_000, 8
    inside: list[int] = []
    seen: dict[int, list[int]] = {}
    overlaps: list[int] = []
    start = Barrier(threads)

    def handle(sender: int, number: int) -> None:
        inside.append(sender)
        if len(inside) != 1:
            overlaps.append(sender)
        seen.setdefault(sender, []).append(number)
        inside.pop()

    mailbox = Mailbox(lambda: False, unexpected)

    def send(_: int) -> int:
        start.wait()
        me = get_ident()
        for number in range(posts):
            mailbox.post(handle, me, number)
        return me

    with ThreadPoolExecutor(threads) as pool:
        senders = list(pool.map(send, range(threads)))
    # Every sender's last post found somebody at work or did it itself: nothing is left.
    assert overlaps == []
    assert seen == {sender: list(range(posts)) for sender in senders}


@pytest.mark.usefixtures("quick_switches")
def test_the_last_of_many_posts_at_once_is_not_left_lying() -> None:
    """Two that post at the same time: who loses the race for the turn may go at once."""
    start = Barrier(2)
    handled: list[int] = []
    mailbox = Mailbox(lambda: False, unexpected)
    missing: list[int] = []

    def send(me: int) -> None:
        for number in range(300):
            start.wait()
            mailbox.post(handled.append, number)
            start.wait()
            if len(handled) != 2 * (number + 1) and not me:
                missing.append(number)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(send, range(2)))
    assert missing == []
