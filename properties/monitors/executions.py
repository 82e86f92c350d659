"""Who runs what, as the inside of a Runner shows it: the base of monitors that need to know.

It takes `move`, `assign`, `accept`, `over`, `stopped`, `worker_lost`, `worker_gone` and
`told_closed`; a monitor that looks at one of these itself calls the base's method first.
"""

from properties.monitors.monitor import Monitor
from properties.monitors.story import TERMINAL, Story, attempt_of
from workflow.trace import Event

__all__ = ["FollowsExecutions"]


class FollowsExecutions(Monitor):
    """A monitor that knows the Runner's own states, and what became of each execution."""

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.task_ends: dict[str, Event] = {}  # by task: the Runner's first terminal state of it
        self.stream_ends: dict[str, Event] = {}  # by stream: the Runner's first Closed
        self.current: dict[str, Event] = {}  # by task: the last accept
        self.connection: dict[str, str] = {}  # by execution: where it was handed
        self.gone: dict[str, Event] = {}  # by connection: lost, or left in good order
        self.ends: dict[str, Event] = {}  # by execution: stopped or over, whichever came first
        # By execution: the sources that it knows to have ended, and from which events.
        self.told: dict[str, dict[str, list[Event]]] = {}

    def on_move(self, event: Event) -> None:
        """The Runner's own state changes."""
        state = event.details["state"]
        if state in TERMINAL:
            self.task_ends.setdefault(event.subject, event)
        elif state == "Closed":
            self.stream_ends.setdefault(event.subject, event)

    def on_assign(self, event: Event) -> None:
        """A task is handed to a worker, with what is known of its sources."""
        self.connection[event.subject] = event.details["worker"]
        told = self.told.setdefault(event.subject, {})
        for stream in event.details.get("closed", ()):
            told.setdefault(stream, []).append(event)

    def on_accept(self, event: Event) -> None:
        """The Runner has heard that a worker runs it."""
        self.current[attempt_of(event.subject)[0]] = event

    def on_told_closed(self, event: Event) -> None:
        """An execution learns that one of its sources has ended."""
        told = self.told.setdefault(event.details["task"], {})
        told.setdefault(event.subject, []).append(event)

    def on_stopped(self, event: Event) -> None:
        """A cancellation has reached an execution."""
        self.ends.setdefault(event.subject, event)

    def on_over(self, event: Event) -> None:
        """An execution has left its slot."""
        self.ends.setdefault(event.subject, event)

    def on_worker_lost(self, event: Event) -> None:
        """A connection is gone."""
        self.gone.setdefault(event.subject, event)

    def on_worker_gone(self, event: Event) -> None:
        """A worker has left in good order."""
        self.gone.setdefault(event.subject, event)

    def knows_ended(self, execution: str, stream: str) -> bool:
        """Whether an execution has been told that a source of it has ended."""
        return stream in self.told.get(execution, ())

    def end_of(self, execution: str) -> Event | None:
        """Why an execution needs nothing any more: the first event that says so."""
        reasons = (
            self.ends.get(execution),
            self.gone.get(self.connection.get(execution, "")),
            self.task_ends.get(attempt_of(execution)[0]),
        )
        return min((each for each in reasons if each is not None), key=_seq, default=None)


def _seq(event: Event) -> int:
    return event.seq
