"""Calls in the order in which they were posted, on one thread."""

import sys
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Delivery"]


class Delivery:
    """Makes the calls that are posted, one after the other, on a thread that the first one starts.

    No lock is held during a call, and a call may do anything here but `close`.  What a call raises
    goes to `threading.excepthook`, and the next one is made.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition(threading.Lock())
        self._calls: deque[Callable[[], None]] = deque()
        self._posted = 0
        self._taken = 0  # of those posted
        self._under_way: list[int] = []  # numbers of calls that have not returned
        self._thread: threading.Thread | None = None
        self._closing = False

    def post(self, call: Callable[[], None]) -> None:
        """Let a call be made after all that were posted before.  Returns at once."""
        with self._changed:
            self._calls.append(call)
            self._posted += 1
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that makes the calls."""
        return threading.current_thread() is self._thread

    def flush(self) -> None:
        """Return once every call that was posted has returned, but for those that led here."""
        with self._changed:
            last = self._posted
            if not self.is_current:
                while self._thread is not None and self._owes(last):
                    self._changed.wait()
        # From inside of a call, or after the close, when there is no other thread to make them.
        while (self.is_current or self._thread is None) and self._make_next(last):
            pass

    def _owes(self, last: int) -> bool:
        return self._taken < last or any(each <= last for each in self._under_way)

    def close(self) -> None:
        """Make every call that is posted, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
        with self._changed:
            self._thread = None
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._calls:
                    if self._closing:
                        return
                    self._changed.wait()
            self._make_next(sys.maxsize)

    def _make_next(self, last: int) -> bool:
        """Make the next call if it is one of the first `last`; whether there was one."""
        with self._changed:
            if not self._calls or self._taken >= last:
                return False
            self._taken += 1
            number = self._taken
            self._under_way.append(number)
            call = self._calls.popleft()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next call is due
            told = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(told))
        finally:
            with self._changed:
                self._under_way.remove(number)
                self._changed.notify_all()
        return True
