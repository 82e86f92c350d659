"""One handler at a time, in order of arrival, whoever calls and from wherever.

A caller that finds another one at work leaves its message and goes; the one at work takes it
next.  So no handler ever runs inside another, no caller waits, and a chain of calls never grows
the stack.  The one lock of the engine is only ever tried, never waited for.
"""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

__all__ = ["Mailbox"]

_MAX_RAISED: Final = 5  # one of a handler and four of `failed`, which is called four times


class Mailbox:
    """Runs posted handlers; `idle` whenever none is left, until it says False.

    An exception of a handler or of `idle` goes to `failed`, and the work goes on.  So does one
    of `failed` itself, which may get further the next time; the fifth in a row is dropped.  An
    `idle` that raised is not asked again before something new was handled.
    """

    def __init__(self, idle: Callable[[], bool], failed: Callable[[Exception], None]) -> None:
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._turn = Lock()
        self._idle = idle
        self._failed = failed
        self._raised = 0  # in a row
        # Like all that is changed in `_step`: only by the one at work, so no thread can miss it.
        self._rests = False  # `idle` has raised, and nothing new was handled since

    def post(self, handler: Callable[..., None], *args: Any) -> None:
        """Hand in a message.  It has been handled on return unless somebody is at work."""
        inbox, turn = self._inbox, self._turn
        inbox.append((handler, args))
        # Looking again after the release takes in what came between the last look and it.
        while inbox and turn.acquire(blocking=False):
            try:
                while self._step():
                    pass
            finally:
                turn.release()

    def _step(self) -> bool:
        try:
            if not self._inbox:
                return self._ask()
            handler, args = self._inbox.popleft()
            if handler is not self._failed:
                self._rests = False
            handler(*args)
            self._raised = 0
        except Exception as error:  # noqa: BLE001 - whatever a handler raises goes to `failed`
            # As a message of its own: if it raises too, what is left still gets its turn.
            self._raised += 1
            if self._raised < _MAX_RAISED:
                self._inbox.appendleft((self._failed, (error,)))
            else:
                self._raised = 0
        return True

    def _ask(self) -> bool:
        if self._rests:  # it would raise for ever
            return False
        try:
            return self._idle()
        except Exception:
            self._rests = True
            raise
