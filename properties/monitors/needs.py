"""Who may still be needed, as far as events tell: for the rules about cancelling (P2, C1).

A child is not needed by a parent that is over, nor by one that reported a range which excludes
all the times of the child.  An unset bound excludes nothing.  The times of a child are what its
manifest prints, or the windows of a range aggregation in its fragment: its rows carry those,
whatever it reads.  Where the two differ the reading that excludes more is taken, so that what an
engine with better knowledge does is never called wrong.
"""

import re
from typing import Final

from properties.monitors.story import Shape, Story
from workflow.times import Timestamp, parse_instant
from workflow.trace import Event

__all__ = ["Needs"]

_WINDOWS: Final = re.compile(r"RangeAggregation [^\n]*?start=(\S+) end=(\S+)")

_Range = tuple[Timestamp | None, Timestamp | None]


class Needs:
    """Told of every task_event; asked when a task is cancelled."""

    def __init__(self, story: Story) -> None:
        self._story: Final = story
        self._dropped: dict[str, dict[str, Event]] = {}  # by child: the parents that exclude it
        self._times: dict[str, list[_Range]] = {}

    def report(self, event: Event) -> None:
        """A task said which times still matter to it."""
        text, less = event.details.get("contributing"), event.details.get("less_than")
        shape = self._story.shape(event.subject)
        if text is None or shape is None:
            return
        bound = Timestamp.parse(text)
        for child in shape.children.get(event.subject, ()):
            if any(_excludes(bound, each, less=bool(less)) for each in self._ranges(shape, child)):
                self._dropped.setdefault(child, {}).setdefault(event.subject, event)

    def needed_by(self, task: str) -> str | None:
        """A parent that is not over and may still use the task; None if there is none."""
        shape = self._story.shape(task)
        dropped = self._dropped.get(task, {})
        parents = shape.parents.get(task, []) if shape is not None else []
        for parent in parents:
            if not self._story.terminal(parent) and parent not in dropped:
                return parent
        return None

    def _ranges(self, shape: Shape, task: str) -> list[_Range]:
        if task not in self._times:
            described = shape.tasks[task]
            start, end = described.get("max_time_range") or (None, None)
            found = [(start, end), *_WINDOWS.findall(described.get("fragment") or "")]
            self._times[task] = [(_instant(first), _instant(last)) for first, last in found]
        return self._times[task]


def _instant(text: str | None) -> Timestamp | None:
    return None if text is None else parse_instant(text)


def _excludes(bound: Timestamp, times: _Range, *, less: bool) -> bool:
    start, end = times
    if less:
        return start is not None and start >= bound
    return end is not None and end <= bound
