"""What led to each event of a trace.

A trace holds no causes.  They are read from its names: a batch is received since it was sent, a
task begins since it was assigned, a state is recorded since it was reported.  Where nothing of that
kind is known, what befell the same subject before stands in for it, so a chain always leads back.

>>> events = [
...     Event(0, 0, "assign", "m0/t0", {"worker": "w0"}),
...     Event(1, 0, "assign", "m0/t1", {"worker": "w0"}),
...     Event(2, 5, "run", "m0/t0", {"worker": "w0"}),
... ]
>>> causes_of(events)
[(), (), (0,)]
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from properties.monitors.story import attempt_of, manifest_of, worker_of
from workflow.trace import Event

__all__ = ["causes_of"]


def causes_of(events: Sequence[Event]) -> list[tuple[int, ...]]:
    """By event: the numbers of those that led to it, ascending, each lower than its own."""
    known = _Known()
    return [known.causes(event) for event in events]


class _Known:
    """The last event of each kind for each name; what else a cause is looked up by."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, ...], int] = {}
        self._readers: dict[str, str] = {}  # of a stream, the task that reads it
        self._senders: dict[str, str] = {}  # of a stream, the task that writes it
        self._before: dict[str, int] = {}  # by subject: what befell it last

    def causes(self, event: Event) -> tuple[int, ...]:
        """Those of the next event."""
        finder = _FINDERS.get(event.kind)
        found = [] if finder is None else [seq for seq in finder(self, event) if seq is not None]
        task, _ = attempt_of(event.subject) if "/t" in event.subject else (event.subject, 1)
        if not found and event.kind not in _FIRST:
            before = self._before.get(event.subject, self._before.get(task))
            found = [] if before is None else [before]
        self._note(event, task)
        return tuple(sorted(dict.fromkeys(found)))

    def _note(self, event: Event, task: str) -> None:
        seq, kind, details = event.seq, event.kind, event.details
        self._before[event.subject] = self._before[task] = seq
        self._last[kind, event.subject] = seq
        for key in ("state", "method", "number"):
            if key in details:
                self._last[kind, event.subject, str(details[key])] = seq
        if kind == "manifest":
            self._shape(event)
        elif kind == "call" and "tasks" in details:
            for index in details["tasks"]:
                self._last["call", details["method"], f"{event.subject}/t{index}"] = seq
        elif kind in ("send", "receive"):
            sender = str(details.get("sender", details.get("task")))
            self._last[kind, event.subject, sender, str(details.get("number"))] = seq
        elif kind == "take":
            self._last["takes", str(details.get("task"))] = seq
        elif kind in ("results_error", "results_end"):
            self._last.setdefault(("first", kind, event.subject), seq)

    def _shape(self, event: Event) -> None:
        for index, task in enumerate(event.details.get("tasks", ())):
            name = f"{event.subject}/t{index}"
            self._readers |= {f"{event.subject}/s{s}": name for s in task.get("sources", ())}
            self._senders |= {f"{event.subject}/s{s}": name for s in task.get("sinks", ())}

    def last(self, *names: str) -> int | None:
        """The number of the last event that is known by these names."""
        return self._last.get(names)

    def latest(self, *found: int | None) -> int | None:
        """The last of several."""
        return max((seq for seq in found if seq is not None), default=None)

    # What leads to which kind.

    def call(self, event: Event) -> Iterator[int | None]:
        """Tokens lead to a start; the wish of a user, an error or an end to all others."""
        method, name = event.details.get("method"), event.subject
        if method == "register_manifest":
            yield self.last("manifest", name)
        elif method == "start":
            for index in event.details.get("tasks", ()):
                yield self.last("acquire", f"{name}/t{index}")
        elif method in ("cancel", "unregister_manifest"):
            yield self.latest(
                self.last("results_error", name),
                self.last("ask", name),
                self.last("close_results", f"{name}/s0"),
                self.last("read_eof", f"{name}/s0"),
            )

    def returned(self, event: Event) -> Iterator[int | None]:
        """A call."""
        yield self.last("call", event.subject, str(event.details.get("method")))

    def acquired(self, event: Event) -> Iterator[int | None]:
        """A token that came back to the lane, or the limits."""
        name, lane = manifest_of(event.subject), str(event.details.get("lane"))
        yield self.latest(self.last("lane", name, lane), self.last("admission", name))

    def released(self, event: Event) -> Iterator[int | None]:
        """The end of a task."""
        yield self.last("task_event", event.subject)
        self._last["lane", manifest_of(event.subject), str(event.details.get("lane"))] = event.seq

    def reported(self, event: Event) -> Iterator[int | None]:
        """What a task did last on its worker."""
        state, name = event.details.get("state"), event.subject
        if state == "Running":
            yield self.last("run", name)
        elif state == "Failed":
            yield self.latest(self.last("failing", name), self.last("stopped", name))
        else:
            yield self.latest(self.last("input_end", name), self.last("run", name))

    def fault(self, event: Event) -> Iterator[int | None]:
        """What it struck at, if that is named."""
        head = "/".join(event.subject.split("/")[:2])
        self._last["failing", head] = event.seq
        yield self.latest(self.last("run", head), self.last("assign", head))

    def moved(self, event: Event) -> Iterator[int | None]:
        """A report, the call of the workflow, or the loss of a worker."""
        name, state = event.subject, str(event.details.get("state"))
        if "/s" in name:
            sender = self._senders.get(name, "")
            yield self.latest(self.last("move", sender), self.last("report", sender))
            return
        calls = (self.last("call", "start", name), self.last("call", "cancel", name))
        if state in ("Failed", "Cancelled"):
            yield self.latest(*calls, self._reports(name), self.last("lost"))
        elif state == "Pending":
            yield self.latest(calls[0], self.last("queue", name))
        else:
            yield self._reports(name)

    def _reports(self, task: str) -> int | None:
        return self.last("reports", task)

    def stream(self, event: Event) -> Iterator[int | None]:
        """The scheduler's own state of it, or what its sender did last."""
        name = event.subject
        if event.details.get("state") == "Closed":
            moved = self.last("move", name, "Closed")
            sender = self._senders.get(name, "")
            yield self.latest(self.last("task_event", sender)) if moved is None else moved
        else:
            yield self.latest(self.last("bind", name), self.last("send", name))

    def task(self, event: Event) -> Iterator[int | None]:
        """The scheduler's state of the task; without a scheduler the call."""
        name, state = event.subject, str(event.details.get("state"))
        moved = self.last("move", name, state)
        if moved is not None:
            yield moved
        elif state == "Cancelled":
            yield self.last("call", "cancel", name)
        elif state == "Pending":
            yield self.last("call", "start", name)

    def recorded(self, event: Event) -> Iterator[int | None]:
        """What was reported, or the call that decided it."""
        name, state = event.subject, str(event.details.get("state"))
        heard = self.last("task_event" if "/t" in name else "stream_event", name, state)
        yield self.last("call", "cancel", name) if heard is None else heard

    def heard(self, event: Event) -> Iterator[int | None]:
        """A report whose handler is through."""
        yield self.last("task_event", event.subject, str(event.details.get("state")))

    def assigned(self, event: Event) -> Iterator[int | None]:
        """A slot that asked, and a task that waited."""
        task, _ = attempt_of(event.subject)
        yield self.last("queue", task)
        yield self.last("ready", str(event.details.get("worker")))

    def asked(self, event: Event) -> Iterator[int | None]:
        """A slot that came free, or the worker's first word."""
        yield self.latest(
            self.last("freed", worker_of(event.subject)), self.last("worker_up", event.subject)
        )

    def queued(self, event: Event) -> Iterator[int | None]:
        """The start, or what brought it back."""
        name = event.subject
        if event.details.get("again"):
            yield self.latest(
                self.last("refuse", name), self.last("ack_timeout", name), self.last("lost")
            )
        else:
            yield self.last("call", "start", name)

    def begun(self, event: Event) -> Iterator[int | None]:
        """The assignment."""
        yield self.last("assign", event.subject)

    def accepted(self, event: Event) -> Iterator[int | None]:
        """Its beginning; the scheduler hears of it later."""
        yield self.last("run", event.subject)

    def bound(self, event: Event) -> Iterator[int | None]:
        """That the sender and the reader have a place."""
        yield self.last("accept", str(event.details.get("task")))
        yield self.last("accept", str(event.details.get("reader")))

    def sent(self, event: Event) -> Iterator[int | None]:
        """Where to send; what it was made of; and room for the batch before it."""
        task, name = str(event.details.get("task")), event.subject
        number = event.details.get("number")
        yield self.last("takes", task)
        if number == 1:
            yield self.last("bind", name)
        elif type(number) is int:
            yield self.last("receive", name, task, str(number - 1))

    def received(self, event: Event) -> Iterator[int | None]:
        """The sending, or the room that a taking made."""
        details = event.details
        yield self.last("send", event.subject, str(details.get("sender")), str(details["number"]))
        if details.get("task") == "scheduler":
            yield self.last("write_done", event.subject)

    def taken(self, event: Event) -> Iterator[int | None]:
        """The receiving."""
        details = event.details
        yield self.last(
            "receive", event.subject, str(details.get("sender")), str(details["number"])
        )

    def written(self, event: Event) -> Iterator[int | None]:
        """What its sender sent last."""
        yield self.last("send", event.subject)

    def offered(self, event: Event) -> Iterator[int | None]:
        """The offer."""
        yield self.last("write", event.subject)

    def read(self, event: Event) -> Iterator[int | None]:
        """What was written."""
        yield self.latest(self.last("write_done", event.subject), self.last("write", event.subject))

    def read_end(self, event: Event) -> Iterator[int | None]:
        """The decision about the end of the results: the first one stays."""
        kind = "results_error" if event.kind == "read_error" else "results_end"
        yield self.last("first", kind, manifest_of(event.subject))

    def ended(self, event: Event) -> Iterator[int | None]:
        """The last end of a task or of the results stream; a wish of the user."""
        name = event.subject
        yield self.latest(
            self.last("ends", name),
            self.last("ask", name),
            self.last("close_results", f"{name}/s0"),
        )

    def told_to_stop(self, event: Event) -> Iterator[int | None]:
        """The call."""
        yield self.last("call", "cancel", attempt_of(event.subject)[0])

    def stopped(self, event: Event) -> Iterator[int | None]:
        """The word, or that the assignment is taken back."""
        yield self.latest(
            self.last("tell_cancel", event.subject), self.last("ack_timeout", event.subject)
        )

    def over(self, event: Event) -> Iterator[int | None]:
        """The stop, the crash, or the last that it did."""
        name, worker = event.subject, str(event.details.get("worker"))
        self._last["freed", worker] = event.seq
        if event.details.get("crashed"):
            yield self.last("crash", worker)
        else:
            yield self.latest(
                self.last("stopped", name), self.last("failing", name), self.last("report", name)
            )

    def told_closed(self, event: Event) -> Iterator[int | None]:
        """The end of the stream."""
        yield self.last("move", event.subject, "Closed")

    def input_end(self, event: Event) -> Iterator[int | None]:
        """The ends of its streams."""
        for name in event.details.get("streams", ()):
            yield self.latest(self.last("told_closed", str(name)), self.last("take", str(name)))

    def lost(self, event: Event) -> Iterator[int | None]:
        """What struck the worker."""
        worker = worker_of(event.subject)
        yield self.latest(
            self.last("crash", worker),
            self.last("failing", worker),
            self.last("leaving", worker),
        )

    def struck(self, event: Event) -> Iterator[int | None]:
        """A fault."""
        yield self.latest(self.last("fault", event.subject), self.last("fault any"))

    def connected(self, event: Event) -> Iterator[int | None]:
        """That the worker is back."""
        yield self.latest(self.last("restart", event.subject), self.last("lost"))


def _reads(finder: Callable[[_Known, Event], Iterator[int | None]], *keys: str) -> "_Finder":
    """A finder whose events are known by further names from then on."""

    def find(known: _Known, event: Event) -> Iterator[int | None]:
        yield from finder(known, event)
        task = attempt_of(event.subject)[0] if "/t" in event.subject else event.subject
        for key in keys:
            known._last[(key, task) if key in _BY_TASK else (key,)] = event.seq
        if "ends" in keys:
            known._last["ends", manifest_of(event.subject)] = event.seq

    return find


_Finder = Callable[[_Known, Event], Iterator[int | None]]
_FIRST: Final = ("enter",)  # what only looks as if its like before had led to it
_BY_TASK: Final = ("reports",)
_FINDERS: Final[dict[str, _Finder]] = {
    "accept": _Known.accepted,
    "ack_timeout": _Known.begun,
    "acquire": _Known.acquired,
    "assign": _Known.assigned,
    "bind": _Known.bound,
    "call": _Known.call,
    "connect": _Known.connected,
    "crash": _Known.struck,
    "fault": _reads(_Known.fault, "fault any"),
    "input_end": _Known.input_end,
    "leaving": _Known.struck,
    "move": _Known.moved,
    "over": _Known.over,
    "owner": _Known.accepted,
    "queue": _Known.queued,
    "read": _Known.read,
    "read_eof": _Known.read_end,
    "read_error": _Known.read_end,
    "ready": _Known.asked,
    "receive": _Known.received,
    "recorded": _reads(_Known.recorded, "ends"),
    "refuse": _Known.begun,
    "release": _Known.released,
    "report": _reads(_Known.reported, "reports"),
    "results_end": _Known.ended,
    "results_error": _Known.ended,
    "return": _Known.returned,
    "run": _Known.begun,
    "send": _Known.sent,
    "stop": _Known.ended,
    "stopped": _Known.stopped,
    "stream_event": _Known.stream,
    "take": _Known.taken,
    "task_event": _Known.task,
    "task_event_done": _Known.heard,
    "tell_cancel": _Known.told_to_stop,
    "told_closed": _Known.told_closed,
    "worker_gone": _reads(_Known.lost, "lost"),
    "worker_lost": _reads(_Known.lost, "lost"),
    "write": _Known.written,
    "write_done": _Known.offered,
}
