"""Cancellation: what is given up, by whom, and that it stops (C1 to C6 of the invariants).

Refinements of the rules' letter:
    C1  a task whose sinks are all Closed is not cancelled: its own end is on its way (hazard W8);
        a workflow that is being closed leaves the cancelling to `unregister_manifest`;
        a child that every live parent has excluded by a range may go early; the root goes when
        nothing more starts.  Where the workflow's own records are shown, it has until its next
        record; else until it unregisters, or the trace ends;
    C1, C2  a user may cancel one task of a run behind the workflow's back: a call for a task that
        a fault of that kind named is not the workflow's;
    C4  an assignment on its way cannot be recalled: what was assigned before the call returned
        may begin, and then has to stop.
"""

from typing import Final

from properties.monitors.monitor import Level, Monitor
from properties.monitors.needs import Needs
from properties.monitors.story import TERMINAL, Story, attempt_of, manifest_of
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "CancelBeatsAssignment",
    "CancelReachesDown",
    "CancelledTasksEnd",
    "HandlersMayCall",
    "NothingOverIsCancelled",
    "SecondCancelDoesNothing",
]


class _Foreign:
    """Calls that a user made behind the workflow's back, each excused by a fault."""

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def fault(self, event: Event) -> None:
        """A task is to be cancelled by a user."""
        if event.details.get("fault") == "cancel_task":
            task, _ = attempt_of(event.subject)
            self._credit[task] = self._credit.get(task, 0) + 1

    def excuses(self, call: Event, task: str) -> bool:
        """Whether the call may be such a one; each fault excuses one call, of one task."""
        if len(call.details["tasks"]) != 1 or not self._credit.get(task):
            return False
        self._credit[task] -= 1
        return True


def _tasks(call: Event) -> list[str]:
    return [f"{call.subject}/t{index}" for index in call.details["tasks"] if index >= 0]


class CancelReachesDown(Monitor):
    """C1."""

    rule = "C1"
    sentence = "a task that nobody needs any more is cancelled, and no other"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._needs: Final = Needs(story)
        self._foreign: Final = _Foreign()
        self._over: dict[str, Event] = {}  # as the workflow recorded it, or was told
        self._closed: dict[str, Event] = {}  # streams, likewise
        self._owed: dict[str, dict[str, Event]] = {}  # by manifest: child, the end that freed it

    def on_fault(self, event: Event) -> None:
        """Perhaps a user's cancel."""
        self._foreign.fault(event)

    def on_task_event(self, event: Event) -> None:
        """Perhaps a report of times, or an end."""
        self._needs.report(event)
        if self.story.ends.get(event.subject) is event and self._untold(event.subject):
            self._ended(event)

    def on_stream_event(self, event: Event) -> None:
        """Perhaps a close."""
        if event.details["state"] == "Closed" and self._untold(event.subject):
            self._closed.setdefault(event.subject, event)

    def on_recorded(self, event: Event) -> None:
        """One handler is over, and the next at work: the workflow records first."""
        self._due(manifest_of(event.subject), event)
        state = event.details["state"]
        if state == "Closed":
            self._closed.setdefault(event.subject, event)
        elif state in TERMINAL and event.subject not in self._over:
            self._ended(event)

    def on_acquire(self, event: Event) -> None:
        """The workflow starts tasks only when it has handled everything."""
        self._due(manifest_of(event.subject), event)

    def on_call(self, event: Event) -> None:
        """Who is cancelled?"""
        method = event.details["method"]
        if method == "unregister_manifest":
            self._due(event.subject, event)
        elif method == "cancel":
            for task in _tasks(event):
                self._owed.get(event.subject, {}).pop(task, None)
                self._check(event, task)

    def at_end(self, event: Event) -> None:
        """What is owed now never comes."""
        for manifest in list(self._owed):
            self._due(manifest, event)

    def _untold(self, subject: str) -> bool:
        return manifest_of(subject) not in self.story.limits

    def _ended(self, event: Event) -> None:
        self._over[event.subject] = event
        shape = self.story.shape(event.subject)
        if shape is None or shape.name in self.story.unregistering:
            return
        for child in shape.children.get(event.subject, ()):
            if (
                child not in self._over
                and child not in self.story.cancelled
                and all(parent in self._over for parent in shape.parents[child])
                and not self._finished(child)
            ):
                self._owed.setdefault(shape.name, {})[child] = event

    def _finished(self, task: str) -> bool:
        shape = self.story.shape(task)
        return shape is not None and all(sink in self._closed for sink in shape.sinks[task])

    def _due(self, manifest: str, event: Event) -> None:
        exact = manifest in self.story.limits
        for child, end in self._owed.pop(manifest, {}).items():
            # Without the workflow's own records: what was over by now needed no cancel.
            if exact or not (self.story.terminal(child) or self._finished(child)):
                self.violated(
                    f"{child} was not cancelled when {end.subject} was over, the last that read it",
                    end,
                    event,
                    right="the workflow cancels it at once",
                )

    def _check(self, call: Event, task: str) -> None:
        shape = self.story.shape(task)
        if shape is None or task not in shape.tasks:
            return
        wrong, right = "", ""
        parent = self._needs.needed_by(task)
        exact = shape.name in self.story.limits
        if parent is not None:
            wrong = f"{task} was cancelled while {parent} could still use it"
            right = "it goes on until no parent can use it"
        elif exact and not shape.parents[task] and not self._stopping(shape.name):
            wrong = f"{task}, the root, was cancelled although the run had not been stopped"
            right = "the root goes on"
        elif exact and task not in self._over and shape.sinks[task] and self._finished(task):
            wrong = f"{task} was cancelled although all it writes was Closed"
            right = "its own end, which is on its way, is waited for"
        if wrong and not self._foreign.excuses(call, task):
            self.violated(wrong, call, right=right)

    def _stopping(self, manifest: str) -> bool:
        story = self.story
        return (
            manifest in story.stopped
            or manifest in story.first_error
            or manifest in story.reader_closed
            or manifest in story.asked
        )


class NothingOverIsCancelled(Monitor):
    """C2."""

    rule = "C2"
    sentence = "a workflow never cancels a task that it knows to be over"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._foreign: Final = _Foreign()
        self._known: dict[str, Event] = {}
        self._fresh: list[Event] = []  # told from inside of another call or handler
        self._depth = 0

    def on_fault(self, event: Event) -> None:
        """Perhaps a user's cancel."""
        self._foreign.fault(event)

    def on_recorded(self, event: Event) -> None:
        """The workflow knows."""
        if event.details["state"] in TERMINAL:
            self._known.setdefault(event.subject, event)

    def on_task_event(self, _event: Event) -> None:
        """A handler is at work."""
        self._depth += 1

    def on_task_event_done(self, event: Event) -> None:
        """The workflow was told; it knows once no handler and no call is under way."""
        if event.details["state"] in TERMINAL and manifest_of(event.subject) not in (
            self.story.limits
        ):
            self._fresh.append(event)
        self._back()

    def on_return(self, _event: Event) -> None:
        """A call is over."""
        self._back()

    def _back(self) -> None:
        self._depth = max(self._depth - 1, 0)
        if not self._depth and self._fresh:
            for each in self._fresh:
                self._known.setdefault(each.subject, each)
            self._fresh.clear()

    def on_call(self, event: Event) -> None:
        """Nobody who is over may be named."""
        self._depth += 1
        if event.details["method"] != "cancel":
            return
        for task in _tasks(event):
            known = self._known.get(task)
            if known is not None and not self._foreign.excuses(event, task):
                self.violated(
                    f"{task} was cancelled after it had been {known.details['state']}",
                    known,
                    event,
                    right="only what is not over is cancelled",
                )


class SecondCancelDoesNothing(Monitor):
    """C3."""

    rule = "C3"
    sentence = "a second cancel of a task changes nothing, and its worker is told once"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._told: dict[str, Event] = {}
        self._done: dict[str, Event] = {}  # by task: the return of its first cancel
        self._calls: list[Event] = []  # under way

    def on_tell_cancel(self, event: Event) -> None:
        """Once for each execution."""
        first = self._told.setdefault(event.subject, event)
        if first is not event:
            self.violated(
                f"the worker of {event.subject} was told twice to stop it",
                first,
                event,
                right="one message for an execution",
            )

    def on_call(self, event: Event) -> None:
        """A call begins."""
        self._calls.append(event)

    def on_return(self, event: Event) -> None:
        """A call is over."""
        if self._calls:
            self._calls.pop()
        if event.details["method"] == "cancel":
            for task in _tasks(event):
                self._done.setdefault(task, event)

    def on_move(self, event: Event) -> None:
        """Not because of a second cancel."""
        first = self._done.get(event.subject)
        call = self._calls[-1] if self._calls else None
        if (
            first is not None
            and call is not None
            and call.details["method"] == "cancel"
            and event.subject in _tasks(call)
        ):
            self.violated(
                f"{event.subject} became {event.details['state']} in a second cancel of it",
                first,
                call,
                event,
                right="a second cancel changes nothing",
            )


class CancelBeatsAssignment(Monitor):
    """C4."""

    rule = "C4"
    sentence = "what is cancelled before a worker has it does not begin"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._gone: dict[str, Event] = {}  # by task: the return of its cancel or unregister
        self._never_started: dict[str, Event] = {}
        self._assigned: dict[str, Event] = {}  # by execution
        self._running: dict[str, Event] = {}  # executions that have to stop

    def on_return(self, event: Event) -> None:
        """A cancel or an unregister is over."""
        if event.details["error"] is not None:
            return
        if event.details["method"] == "cancel":
            tasks = _tasks(event)
        elif event.details["method"] == "unregister_manifest":
            shape = self.story.shapes.get(event.subject)
            tasks = list(shape.tasks) if shape is not None else []
        else:
            return
        for task in tasks:
            self._gone.setdefault(task, event)
            if task not in self.story.started:
                self._never_started.setdefault(task, event)

    def on_task_event(self, event: Event) -> None:
        """A task that was cancelled before any start never runs."""
        gone = self._never_started.get(event.subject)
        if gone is not None and event.details["state"] in ("Running", "Completed"):
            self._began(event.subject, gone, event)

    def on_assign(self, event: Event) -> None:
        """On its way."""
        self._assigned[event.subject] = event

    def on_run(self, event: Event) -> None:
        """Begun: it may, only if it was on its way already."""
        task, _ = attempt_of(event.subject)
        gone, assigned = self._gone.get(task), self._assigned.get(event.subject)
        self._running[event.subject] = event
        if gone is not None and (assigned is None or assigned.seq > gone.seq):
            self._began(event.subject, gone, event)

    def _began(self, who: str, gone: Event, event: Event) -> None:
        self.violated(
            f"{who} began after {gone.details['method']} of it had returned",
            gone,
            event,
            right="it never begins",
        )

    def _ended(self, event: Event) -> None:
        self._running.pop(event.subject, None)

    on_stopped = on_over = _ended

    def at_end(self, event: Event) -> None:
        """What had to stop has stopped."""
        if event.details.get("over_budget") or not self.story.cluster:
            return  # only a cluster's whole world shows how an execution ends
        for execution, run in self._running.items():
            gone = self._gone.get(attempt_of(execution)[0])
            if gone is not None:
                self.violated(
                    f"{execution} never stopped after {gone.details['method']} of it",
                    gone,
                    run,
                    event,
                    right="it is stopped, or over",
                )


class CancelledTasksEnd(Monitor):
    """C5."""

    rule = "C5"
    sentence = "a task that was cancelled comes to its end"
    final = True

    def at_end(self, event: Event) -> None:
        """Every task named in a cancel is over."""
        if event.details.get("over_budget"):
            self.cannot_judge("the run was cut short")
            return
        for task, call in self.story.cancelled.items():
            if manifest_of(task) in self.story.registered and not self.story.terminal(task):
                state = self.story.states.get(task, "Created")
                self.violated(
                    f"{task} was cancelled, and is {state} for ever",
                    call,
                    event,
                    right="it ends, whatever happens to its worker",
                )


class HandlersMayCall(Monitor):
    """C6."""

    rule = "C6"
    sentence = "handlers are called with no section held, and calls from inside of them return"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._held: dict[str, Event] = {}
        self._calls: list[Event] = []
        self._handlers: list[Event] = []
        self._handlers_return = False

    def on_enter(self, event: Event) -> None:
        """A section is held."""
        self._held[event.subject] = event

    def on_exit(self, event: Event) -> None:
        """It is not any more."""
        self._held.pop(event.subject, None)

    def _told(self, event: Event) -> None:
        for section, enter in self._held.items():
            self.violated(
                f"a handler was told of {event.subject} while {section} was held",
                enter,
                event,
                right="handlers are called with nothing held",
            )

    def on_stream_event(self, event: Event) -> None:
        """A handler is called."""
        self._told(event)

    def on_task_event(self, event: Event) -> None:
        """A handler is called."""
        self._told(event)
        self._handlers.append(event)

    def on_task_event_done(self, event: Event) -> None:
        """It came back."""
        self._handlers_return = True
        _drop_last(self._handlers, event, ("state",))

    def on_call(self, event: Event) -> None:
        """A call begins."""
        self._calls.append(event)

    def on_return(self, event: Event) -> None:
        """It came back."""
        _drop_last(self._calls, event, ("method", "tasks"))

    def at_end(self, event: Event) -> None:
        """Everything came back."""
        handlers = self._handlers if self._handlers_return else []
        for call in self._calls:
            self.violated(
                f"the call {call.details['method']} for {call.subject} never returned",
                call,
                event,
                right="each call returns",
            )
        for each in handlers:
            self.violated(
                f"the handler that was told of {each.subject} never returned",
                each,
                event,
                right="each handler returns",
            )


def _drop_last(waiting: list[Event], back: Event, keys: tuple[str, ...]) -> None:
    """Take out the youngest that this ends; nearly always the last."""
    for place in range(len(waiting) - 1, -1, -1):
        each = waiting[place]
        if each.subject == back.subject and all(
            each.details.get(key) == back.details.get(key) for key in keys
        ):
            del waiting[place]
            return


MONITORS: Final[tuple[type[Monitor], ...]] = (
    CancelReachesDown,
    NothingOverIsCancelled,
    SecondCancelDoesNothing,
    CancelBeatsAssignment,
    CancelledTasksEnd,
    HandlersMayCall,
)
