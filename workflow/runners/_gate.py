"""What one thread waits at until another one lets it through."""

from threading import Lock

__all__ = ["Gate"]


class Gate:
    """Lets its one waiter through once for any number of openings since it was shut.

    A lock and no `threading.Event`, which costs four times as much for each time that one waits.

    >>> gate = Gate()
    >>> gate.open()
    >>> gate.wait(), gate.wait(0.001)
    (True, False)
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Let the waiter through, or the next one.  May be called from any thread."""
        try:  # noqa: SIM105 - cheaper than `suppress`, and this is done for each record
            self._lock.release()
        except RuntimeError:
            pass  # it is open

    def shut(self) -> None:
        """Forget that it was opened."""
        self._lock.acquire(blocking=False)

    def wait(self, seconds: float = -1) -> bool:
        """Wait until it is open, and shut it; False if that took too long (-1: no limit)."""
        return self._lock.acquire(timeout=seconds)
