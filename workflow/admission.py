"""Which task may start now: two lanes of tokens, each first in, first out.

A task holds a token of its lane from the moment it is admitted to the moment it is released.
Who holds a token is remembered by task, not by state, so that no order of events can lose one
or return it twice (hazards W1, W2, W13).

>>> scan = Task(None, "", None, lane="scan"), Task(None, "", None, lane="scan")
>>> lanes = Admission(scan=1, other=0)
>>> lanes.enqueue(scan)
>>> lanes.admit() is scan[0], lanes.admit()
(True, None)
>>> lanes.release(scan[0]), lanes.admit() is scan[1]
(True, True)
"""

from collections.abc import Iterable, Iterator
from typing import Final

from workflow.task import Lane, Task

__all__ = ["LANES", "Admission"]

LANES: Final[tuple[Lane, ...]] = ("other", "scan")  # in order of dispatch


class Admission:
    """Tokens and queues of both lanes.  A limit below 1 is no limit."""

    def __init__(self, *, scan: int, other: int) -> None:
        self.limits: Final[dict[Lane, int]] = {"other": max(other, 0), "scan": max(scan, 0)}
        self._holders: dict[Lane, dict[Task, None]] = {lane: {} for lane in LANES}
        self._waiting: dict[Lane, dict[Task, None]] = {lane: {} for lane in LANES}

    def enqueue(self, tasks: Iterable[Task]) -> None:
        """Let tasks wait for their tokens, in this order."""
        for task in tasks:
            self._waiting[task.lane][task] = None

    def admit(self) -> Task | None:
        """Give the next task a token and return it; None if no lane has both."""
        for lane in LANES:
            if self._waiting[lane] and self.has_free(lane):
                task = next(iter(self._waiting[lane]))
                del self._waiting[lane][task]
                self._holders[lane][task] = None
                return task
        return None

    def withdraw(self, task: Task) -> None:
        """Take a task out of its queue; no effect if it does not wait."""
        self._waiting[task.lane].pop(task, None)

    def release(self, task: Task) -> bool:
        """Take back the token of a task; False if it holds none."""
        if task not in self._holders[task.lane]:
            return False
        del self._holders[task.lane][task]
        return True

    def stop(self) -> None:
        """Empty both queues: nothing is admitted any more."""
        for waiting in self._waiting.values():
            waiting.clear()

    def has_free(self, lane: Lane) -> bool:
        """Whether the lane has a token to give."""
        limit = self.limits[lane]
        return not limit or len(self._holders[lane]) < limit

    def holders(self, lane: Lane) -> Iterator[Task]:
        """The tasks with a token, in order of admission."""
        return iter(list(self._holders[lane]))

    def waiting(self, lane: Lane) -> Iterator[Task]:
        """The tasks without one, first in line first."""
        return iter(list(self._waiting[lane]))
