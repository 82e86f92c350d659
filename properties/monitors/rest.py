"""What monitors share that judge where nothing is in progress: between two ticks, and at the end.

Virtual time moves on only when nothing more is due at a tick, so a later tick is a position at
which no step is in progress.  A clock that was read says no such thing: without a `cluster` event
only the end is such a position.
"""

from properties.monitors.monitor import Monitor
from properties.monitors.story import Story
from workflow.trace import Event

__all__ = ["RestMonitor", "is_task", "over_budget", "unsettled"]


class RestMonitor(Monitor):
    """Judges in `at_rest`.  Each handler calls `arrive` first.

    What an event settles must have a handler; then it is enough to look before the next event
    that has one.  The story knows that event already: `at_rest` asks only what the monitor kept.
    """

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._tick = 0

    def arrive(self, event: Event) -> None:
        """An event is about to be handled: if its tick is a later one, all was at rest before."""
        if event.tick > self._tick:
            if self.story.cluster:
                self.at_rest()
            self._tick = event.tick

    def at_end(self, event: Event) -> None:
        """The end is a rest, unless the run was cut short in the middle of a tick."""
        if not over_budget(event) or event.tick > self._tick:
            self.at_rest()

    def at_rest(self) -> None:
        """No step is in progress."""
        raise NotImplementedError


def over_budget(end: Event) -> bool:
    """Whether a run was cut short, so that what is missing could still have come."""
    return bool(end.details.get("over_budget"))


def unsettled(story: Story, end: Event) -> str:
    """Why the tables at the end may hold something; empty if nothing may be left."""
    if over_budget(end):
        return "the run was cut short by its budget"
    for manifest in story.registered:
        if manifest not in story.unregistered:
            return f"{manifest} was still registered at the end"
    return ""


def is_task(subject: str) -> bool:
    """Whether a name is a task's, and no stream's.

    >>> is_task("m0/t3"), is_task("m0/s0")
    (True, False)
    """
    return subject.partition("/")[2].startswith("t")
