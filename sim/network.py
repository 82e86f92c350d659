"""Links: messages that take their time, in order on one link, in any order across links."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sim.clock import Clock

__all__ = ["Link"]


class Link:
    """One direction of a connection.

    Messages arrive in the order in which they were sent.  A link that was cut delivers nothing
    more, not even what is under way.
    """

    def __init__(self, clock: Clock, name: str, table: Sequence[int]) -> None:
        self.name = name
        self.factor = 1
        self.alive = True
        self.mute = False  # half-open: what is sent gets lost, and nobody notices
        self.lost = 0
        self._clock = clock
        self._table = table
        self._queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._last = 0

    def send(self, label: str, deliver: Callable[..., None], *args: Any, extra: int = 0) -> None:
        """Send a message: `deliver(*args)` is called when it arrives."""
        if not self.alive:
            return
        if self.mute:
            self.lost += 1
            return
        clock = self._clock
        name = f"{self.name}/{label}"
        delay = clock.choices.ticks("latency", name, self._table) * self.factor + extra
        due = max(clock.tick + delay, self._last)  # never before the one sent earlier
        self._last = due
        self._queue.append((deliver, args))
        clock.after(due - clock.tick, name, self._arrive)

    def cut(self) -> None:
        """Lose the link and everything on it."""
        self.alive = False
        self._queue.clear()

    def _arrive(self) -> None:
        # Whichever event comes first brings the oldest message: a tie cannot change their order.
        if self._queue:
            deliver, args = self._queue.popleft()
            deliver(*args)
