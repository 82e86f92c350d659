"""What a trace says so far: the shape of its manifests, and the facts that several rules need.

The story is told each event before any monitor sees it, so that a monitor asked about an event
finds the state *after* it.  Nothing here judges.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from sim.scenario import Scenario
from workflow.trace import Event

__all__ = ["TERMINAL", "Shape", "Story", "attempt_of", "manifest_of", "worker_of"]

TERMINAL: Final = ("Completed", "Cancelled", "Failed")


def manifest_of(subject: str) -> str:
    """The manifest that a task, an execution or a stream belongs to.

    >>> manifest_of("m0/t3.2")
    'm0'
    """
    return subject.partition("/")[0]


def attempt_of(execution: str) -> tuple[str, int]:
    """The task of an execution, and which attempt it is.

    >>> attempt_of("m0/t3"), attempt_of("m0/t3.2")
    (('m0/t3', 1), ('m0/t3', 2))
    """
    task, _, attempt = execution.partition(".")
    return task, int(attempt or 1)


def worker_of(connection: str) -> str:
    """The worker of a connection.

    >>> worker_of("w0"), worker_of("w0.2")
    ('w0', 'w0')
    """
    return connection.partition(".")[0]


@dataclass(slots=True)
class Shape:
    """A manifest: who writes to whom.  Tasks and streams by name, m0/t3 and m0/s3."""

    name: str
    event: Event
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)  # as the event describes them
    streams: list[str] = field(default_factory=list)
    sources: dict[str, list[str]] = field(default_factory=dict)  # streams that a task reads
    sinks: dict[str, list[str]] = field(default_factory=dict)  # streams that a task writes
    children: dict[str, list[str]] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    senders: dict[str, list[str]] = field(default_factory=dict)  # by stream; a right one has one
    readers: dict[str, list[str]] = field(default_factory=dict)  # tasks, by stream

    @property
    def results(self) -> str:
        """The stream that the workflow itself reads."""
        return f"{self.name}/s0"


def _shape(event: Event) -> Shape:
    shape = Shape(event.subject, event)
    name = event.subject
    shape.streams = [f"{name}/s{index}" for index in range(event.details["streams"])]
    shape.senders = {stream: [] for stream in shape.streams}
    shape.readers = {stream: [] for stream in shape.streams}
    for index, described in enumerate(event.details["tasks"]):
        task = f"{name}/t{index}"
        shape.tasks[task] = described
        shape.parents.setdefault(task, [])
        shape.sources[task] = [f"{name}/s{stream}" for stream in described["sources"]]
        shape.sinks[task] = [f"{name}/s{stream}" for stream in described["sinks"]]
        for stream in shape.sinks[task]:
            shape.senders.setdefault(stream, []).append(task)
        for stream in shape.sources[task]:
            shape.readers.setdefault(stream, []).append(task)
    for task in shape.tasks:
        # A source may be no stream of the manifest at all: rule R2 says so.
        below = [sender for s in shape.sources[task] for sender in shape.senders.get(s, ())]
        shape.children[task] = list(dict.fromkeys(below))
        for child in shape.children[task]:
            shape.parents[child].append(task)
    return shape


class Story:
    """What has happened so far.  ``scenario`` is None where only events are known."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        self.scenario: Final = scenario
        self.broken = False  # whether a monitor has found a violation
        self.shapes: dict[str, Shape] = {}  # by manifest
        # Of tasks: the state last reported to the handler; the first end stays.
        self.states: dict[str, str] = {}
        self.ends: dict[str, Event] = {}  # the first terminal report of each task
        self.closes: dict[str, Event] = {}  # the first Closed of each stream
        # Calls of the workflow, and other wishes of its user.
        self.started: dict[str, Event] = {}  # by task: the first start call
        self.cancelled: dict[str, Event] = {}  # by task: the first cancel call that names it
        self.registered: dict[str, Event] = {}  # by manifest: when register_manifest returned
        self.unregistering: dict[str, Event] = {}  # by manifest: when unregister was called
        self.unregistered: dict[str, Event] = {}  # by manifest: when it returned
        self.reader_closed: dict[str, Event] = {}  # by manifest: close_results
        self.reader_ended: dict[str, Event] = {}  # by manifest: the first read_eof or read_error
        self.first_error: dict[str, Event] = {}  # by manifest: the first results_error
        self.stopped: dict[str, Event] = {}  # by manifest: the workflow starts nothing more
        # Trouble.
        self.faults: list[Event] = []
        self.asked: dict[str, Event] = {}  # by manifest: its user cancelled or closed it
        self.cluster: dict[str, Any] = {}  # details of the `cluster` event
        self.limits: dict[str, dict[str, int]] = {}  # by manifest: the lanes' limits, 0 for none

    def tell(self, event: Event) -> None:
        """An event has happened."""
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event)

    def shape(self, subject: str) -> Shape | None:
        """The manifest of a task or stream, if the trace has it."""
        return self.shapes.get(manifest_of(subject))

    def terminal(self, task: str) -> bool:
        """Whether the end of a task was reported."""
        return task in self.ends

    def lane(self, task: str) -> str:
        """The lane of a task."""
        return str(self.shapes[manifest_of(task)].tasks[task].get("lane", ""))

    def _manifest(self, event: Event) -> None:
        self.shapes[event.subject] = _shape(event)

    def _call(self, event: Event) -> None:
        method = event.details["method"]
        if method == "unregister_manifest":
            self.unregistering.setdefault(event.subject, event)
        elif method in ("start", "cancel"):
            first = self.started if method == "start" else self.cancelled
            for index in event.details["tasks"]:
                first.setdefault(f"{event.subject}/t{index}", event)

    def _return(self, event: Event) -> None:
        if event.details["error"] is not None:
            return
        if event.details["method"] == "register_manifest":
            self.registered.setdefault(event.subject, event)
        elif event.details["method"] == "unregister_manifest":
            self.unregistered.setdefault(event.subject, event)

    def _task_event(self, event: Event) -> None:
        if event.subject in self.ends:
            return
        self.states[event.subject] = event.details["state"]
        if event.details["state"] in TERMINAL:
            self.ends[event.subject] = event

    def _stream_event(self, event: Event) -> None:
        if event.subject in self.closes:
            return
        if event.details["state"] == "Closed":
            self.closes[event.subject] = event

    def _reader_end(self, event: Event) -> None:
        self.reader_ended.setdefault(manifest_of(event.subject), event)

    def _close_results(self, event: Event) -> None:
        self.reader_closed.setdefault(manifest_of(event.subject), event)

    def _results_error(self, event: Event) -> None:
        self.first_error.setdefault(event.subject, event)

    def _stop(self, event: Event) -> None:
        self.stopped.setdefault(event.subject, event)

    def _ask(self, event: Event) -> None:
        self.asked.setdefault(event.subject, event)

    def _fault(self, event: Event) -> None:
        self.faults.append(event)
        if "factor" in event.details:
            self.cluster["factor"] = max(self.cluster.get("factor", 1), event.details["factor"])

    def _cluster(self, event: Event) -> None:
        self.cluster = {"factor": 1, **event.details}

    def _admission(self, event: Event) -> None:
        self.limits[event.subject] = dict(event.details)


_HANDLERS: Final = {
    "manifest": Story._manifest,
    "call": Story._call,
    "return": Story._return,
    "task_event": Story._task_event,
    "stream_event": Story._stream_event,
    "read_eof": Story._reader_end,
    "read_error": Story._reader_end,
    "close_results": Story._close_results,
    "results_error": Story._results_error,
    "stop": Story._stop,
    "ask": Story._ask,
    "fault": Story._fault,
    "cluster": Story._cluster,
    "admission": Story._admission,
}
