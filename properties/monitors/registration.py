"""Rules of registration, R1 to R6 of the invariants over a trace.

A trace shows places in a manifest and no ids, so R2 judges what that leaves: every stream of a task
is of the manifest, and no manifest is registered twice at a time.

R1 is judged by the tables around a refusal where they are recorded, and by what follows it.
R4 counts an event of an item that the recorder does not know, such as one that comes out of a
registration that has not returned, as out of scope.
R5 lets a handler that is called by an unregistration change other manifests by calls of its own.
R6 finds a hand-off that is due to the call by what can be no other: one of a task that is over,
or a second one while the first has not come back.
"""

from typing import Final

from properties.monitors.executions import FollowsExecutions
from properties.monitors.monitor import Monitor
from properties.monitors.story import TERMINAL, Shape, Story, attempt_of, manifest_of
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "AtomicRegistration",
    "CallbacksInScope",
    "StartIsTolerant",
    "TwoEnds",
    "UnregisterEndsAll",
    "WellFormed",
]

_UNKNOWN: Final = "m?"


class _Registrations(Monitor):
    """A monitor that knows which manifests are registered."""

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.live: dict[str, Event] = {}  # by manifest: the return of its registration
        self.leaving: dict[str, Event] = {}  # by manifest: a call of unregister under way
        self.left: dict[str, Event] = {}  # by manifest: the return of its unregistration

    def on_call(self, event: Event) -> None:
        """A call of the Runner."""
        if event.details["method"] == "unregister_manifest":
            self.leaving[event.subject] = event

    def on_return(self, event: Event) -> None:
        """Its end."""
        done = event.details["error"] is None
        if event.details["method"] == "register_manifest" and done:
            self.registered(event, self.story.shapes.get(event.subject))
            self.live[event.subject] = event
            self.left.pop(event.subject, None)
        elif event.details["method"] == "unregister_manifest":
            if done:
                self.unregistered(event, self.story.shapes.get(event.subject))
                self.live.pop(event.subject, None)
                self.left[event.subject] = event
            self.leaving.pop(event.subject, None)

    def registered(self, event: Event, shape: Shape | None) -> None:
        """A registration has succeeded; `live` is as it was before."""

    def unregistered(self, event: Event, shape: Shape | None) -> None:
        """An unregistration has succeeded; `live` is as it was before."""


class AtomicRegistration(_Registrations):
    """R1."""

    rule, sentence = "R1", "a refused registration leaves everything as it was"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._before: Event | None = None  # the tables
        self._calling: dict[str, Event | None] = {}  # by manifest: what came of it meanwhile
        self._refused: dict[str, Event] = {}

    def on_tables(self, event: Event) -> None:
        """How much the Runner keeps, before and after a refusal."""
        if event.subject != "scheduler":
            return
        before, when = self._before, event.details.get("when")
        self._before = event if when == "before" else None
        if when != "after" or before is None:
            return
        then, now = _counts(before), _counts(event)
        for name in dict.fromkeys((*then, *now)):
            if then.get(name) != now.get(name):
                self.violated(
                    f"the Runner kept {then.get(name, 0)} {name} before it refused a manifest,"
                    f" and {now.get(name, 0)} after it",
                    before,
                    event,
                    right="the same tables before and after",
                )

    def on_call(self, event: Event) -> None:
        super().on_call(event)
        if event.details["method"] == "register_manifest" and event.subject not in self.live:
            self._calling[event.subject] = None
            self._refused.pop(event.subject, None)

    def on_return(self, event: Event) -> None:
        super().on_return(event)
        if event.details["method"] != "register_manifest":
            return
        seen = self._calling.pop(event.subject, None)
        if event.details["error"] is None or event.subject in self.live:
            return
        self._refused[event.subject] = event
        if seen is not None:
            self._found(seen, event)

    def _look(self, event: Event) -> None:
        name = manifest_of(event.subject)
        if name in self._refused:
            self._found(event, self._refused[name])
        elif name in self._calling:
            self._calling[name] = self._calling[name] or event

    def _found(self, event: Event, refusal: Event) -> None:
        first, second = sorted((event, refusal), key=lambda each: each.seq)
        self.violated(
            f"{event.subject} had a {event.kind} event although {refusal.subject} was refused",
            first,
            second,
            right=f"no event of {refusal.subject}",
        )

    # What a Runner makes of tasks and streams; what a workflow does with its own is no matter.
    on_task_event = on_stream_event = on_write = _look
    on_queue = on_assign = on_accept = on_owner = on_move = on_bind = _look
    on_run = on_send = on_receive = _look


def _counts(event: Event) -> dict[str, object]:
    return {name: count for name, count in event.details.items() if name != "when"}


class WellFormed(_Registrations):
    """R2."""

    rule = "R2"
    sentence = "a registered manifest is registered once, and has all streams of its tasks"

    def registered(self, event: Event, shape: Shape | None) -> None:
        name = event.subject
        if name in self.live and name not in self.leaving:
            self.violated(
                f"{name} was registered again although it was registered",
                self.live[name],
                event,
                right="an error: its ids are known already",
            )
        if shape is None:
            return
        own = dict.fromkeys(shape.streams)
        for role, ends in (("reads", shape.sources), ("writes", shape.sinks)):
            for task, streams in ends.items():
                if any(stream not in own for stream in streams):
                    self.violated(
                        f"{task} {role} a stream that is not in {name}, which was registered",
                        shape.event,
                        event,
                        right="an error: the manifest lacks a stream",
                    )


class TwoEnds(_Registrations):
    """R3."""

    rule = "R3"
    sentence = "a registered stream has one sender and one reader"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._listening: dict[str, Event] = {}  # by stream: the return of listen
        self._missed: dict[str, None] = {}  # manifests whose missing listener was told

    def registered(self, event: Event, shape: Shape | None) -> None:
        if shape is None:
            return
        self._missed.pop(event.subject, None)
        for stream in shape.streams:
            self._listening.pop(stream, None)
            senders, readers = shape.senders[stream], shape.readers[stream]
            wanted = 0 if stream == shape.results else 1
            if len(senders) != 1:
                self._wrong(stream, "sender", senders, 1, event)
            if len(readers) != wanted:
                self._wrong(stream, "reading task", readers, wanted, event)

    def _wrong(self, stream: str, what: str, who: list[str], wanted: int, event: Event) -> None:
        plural = "" if len(who) == 1 else "s"
        names = f" ({' and '.join(who[:3])})" if who else ""
        self.violated(
            f"{stream} has {len(who)} {what}{plural}{names} in a manifest that was registered",
            self.story.shapes[event.subject].event,
            event,
            right=f"{wanted} {what}{'' if wanted == 1 else 's'}, or an error",
        )

    def on_return(self, event: Event) -> None:
        super().on_return(event)
        if event.details["method"] != "listen" or event.details["error"] is not None:
            return
        stream = f"{event.subject}/s{event.details['stream']}"
        shape = self.story.shapes.get(event.subject)
        readers = shape.readers.get(stream) if shape else None
        if stream in self._listening:
            self.violated(
                f"{stream} got a second listener",
                self._listening[stream],
                event,
                right="an error: the stream has a reader",
            )
        elif shape and readers:
            self.violated(
                f"{stream} got a listener although {readers[0]} reads it",
                shape.event,
                event,
                right="an error: the stream has a reader",
            )
        self._listening.setdefault(stream, event)

    def on_call(self, event: Event) -> None:
        super().on_call(event)
        if event.details["method"] == "start" and event.subject in self.live:
            self._listens(event.subject, event)

    def at_end(self, event: Event) -> None:
        for name in self.live:
            self._listens(name, event)

    def _listens(self, name: str, event: Event) -> None:
        shape = self.story.shapes.get(name)
        if shape is None or shape.results in self._listening or name in self._missed:
            return
        self._missed[name] = None
        self.violated(
            f"nobody listens to {shape.results}",
            self.live[name],
            event,
            right="a listener of the results before the first start",
        )


class CallbacksInScope(_Registrations):
    """R4."""

    rule = "R4"
    sentence = "a handler hears of its manifest alone, and only while that is registered"

    def _look(self, event: Event) -> None:
        name = manifest_of(event.subject)
        shape = self.story.shapes.get(name)
        state = event.details["state"]
        if name == _UNKNOWN or shape is None:
            self.violated(
                f"a handler heard {state} of {event.subject}, which no registered manifest has",
                event,
                right="events of tasks and streams of the handler's manifest",
            )
        elif name in self.left:
            self.violated(
                f"{event.subject} was reported {state} after {name} had been unregistered",
                self.left[name],
                event,
                right="no event once unregister_manifest has returned",
            )
        elif name not in self.live:
            self.violated(
                f"{event.subject} was reported {state} while {name} was not registered",
                shape.event,
                event,
                right="no event before register_manifest has returned",
            )
        elif event.subject not in shape.tasks and event.subject not in shape.senders:
            self.violated(
                f"a handler heard {state} of {event.subject}, which {name} does not have",
                shape.event,
                event,
                right="events of tasks and streams of the handler's manifest",
            )

    on_task_event = on_stream_event = _look


class UnregisterEndsAll(_Registrations):
    """R5."""

    rule = "R5"
    sentence = "unregistering ends each task once, closes each stream, and touches nothing else"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._ends: dict[str, list[Event]] = {}
        self._closed: dict[str, None] = {}
        self._calls: list[Event] = []  # under way, the innermost last

    def registered(self, event: Event, shape: Shape | None) -> None:
        if shape is not None and event.subject in self.left:  # it was there before
            for task in shape.tasks:
                self._ends.pop(task, None)
            for stream in shape.streams:
                self._closed.pop(stream, None)

    def on_task_event(self, event: Event) -> None:
        """A task's end may be reported."""
        if event.details["state"] in TERMINAL:
            self._ends.setdefault(event.subject, []).append(event)

    def on_stream_event(self, event: Event) -> None:
        """A stream's end may be reported."""
        if event.details["state"] == "Closed":
            self._closed[event.subject] = None

    def on_call(self, event: Event) -> None:
        super().on_call(event)
        self._calls.append(event)

    def on_return(self, event: Event) -> None:
        for place in range(len(self._calls) - 1, -1, -1):
            call = self._calls[place]
            same = call.details["method"] == event.details["method"]
            if same and call.subject == event.subject:
                del self._calls[place]
                break
        super().on_return(event)

    def unregistered(self, event: Event, shape: Shape | None) -> None:
        name = event.subject
        if name not in self.live:
            self.violated(
                f"{name} was unregistered although it was not registered",
                *([self.left[name]] if name in self.left else []),
                event,
                right="an error, and nothing changed",
            )
            return
        if shape is None:
            return
        for task in shape.tasks:
            ends = self._ends.get(task, [])
            if len(ends) != 1:
                seen = f"{len(ends)} ends" if ends else "no end"
                self.violated(
                    f"{task} had {seen} reported when {name} had been unregistered",
                    *ends[:3],
                    event,
                    right="one terminal event of each task before the call returns",
                )
        for stream in shape.streams:
            if stream not in self._closed:
                self.violated(
                    f"{stream} was not reported Closed when {name} had been unregistered",
                    event,
                    right="a Closed event of each stream before the call returns",
                )

    def _look(self, event: Event) -> None:
        call = self._calls[-1] if self._calls else None
        if call is None or call.details["method"] != "unregister_manifest":
            return
        if manifest_of(event.subject) != call.subject:
            self.violated(
                f"{event.subject} had a {event.kind} event while {call.subject} was unregistered",
                call,
                event,
                right="no change of another manifest",
            )

    on_move = on_owner = on_queue = on_assign = _look


class StartIsTolerant(FollowsExecutions, _Registrations):
    """R6."""

    rule = "R6"
    sentence = "starting a task that was started or is over is no error, and runs nothing again"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._again: dict[str, Event] = {}  # by task: a start that must not matter
        self._first: dict[str, Event] = {}  # by task: its first start
        self._out: dict[str, Event] = {}  # by task: an assignment that has not come back

    def registered(self, event: Event, shape: Shape | None) -> None:
        if shape is not None and event.subject in self.left:
            for task in shape.tasks:
                for table in (self._again, self._first, self._out, self.task_ends):
                    table.pop(task, None)

    def on_call(self, event: Event) -> None:
        super().on_call(event)
        if event.details["method"] != "start":
            return
        for index in event.details["tasks"]:
            task = f"{event.subject}/t{index}"
            if task in self._first or task in self.task_ends:
                self._again[task] = event
            self._first.setdefault(task, event)

    def on_return(self, event: Event) -> None:
        super().on_return(event)
        name, tasks = event.subject, event.details.get("tasks", [])
        if event.details["method"] != "start" or event.details["error"] is None:
            return
        shape = self.story.shapes.get(name)
        known = shape is not None and all(f"{name}/t{index}" in shape.tasks for index in tasks)
        if known and name in self.live and name not in self.leaving:
            shown = ", ".join(f"{name}/t{index}" for index in tasks[:3])
            self.violated(
                f"start of {shown} failed ({event.details['error']}) with all of them registered",
                self.live[name],
                event,
                right="no error",
            )

    def on_assign(self, event: Event) -> None:
        super().on_assign(event)
        task, _ = attempt_of(event.subject)
        again = self._again.get(task)
        if again is not None and task in self.task_ends:
            self.violated(
                f"{task} was handed to {event.details['worker']} after a start that found it"
                " started or over; it is over",
                again,
                event,
                right="no hand-off of a task that is over",
            )
        elif again is not None and task in self._out:
            self.violated(
                f"{task} was handed to {event.details['worker']} once more after a second start",
                self._out[task],
                again,
                event,
                right="no hand-off but the first and its retries",
            )
        self._out[task] = event

    def on_queue(self, event: Event) -> None:
        """A task that came back waits again."""
        if event.details.get("again"):
            self._out.pop(event.subject, None)

    def _back(self, event: Event) -> None:
        task, _ = attempt_of(event.subject)
        if task in self._out and self._out[task].subject == event.subject:
            del self._out[task]

    on_refuse = on_ack_timeout = on_revoked = _back

    def on_worker_lost(self, event: Event) -> None:
        super().on_worker_lost(event)
        self._lost(event)

    def on_worker_gone(self, event: Event) -> None:
        super().on_worker_gone(event)
        self._lost(event)

    def _lost(self, event: Event) -> None:
        for task, handed in list(self._out.items()):
            if handed.details["worker"] == event.subject:
                del self._out[task]


MONITORS: Final[tuple[type[Monitor], ...]] = (
    AtomicRegistration,
    WellFormed,
    TwoEnds,
    CallbacksInScope,
    UnregisterEndsAll,
    StartIsTolerant,
)
