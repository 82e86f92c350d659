"""What happened between a Workflow and its Runner, in order, as data.

A trace is a header and events.  As a file it is JSON Lines in UTF-8, keys sorted: first the header
``{"format": "windtunnel.trace", "version": 1, "versions": {...}, "ran": {...}}``, then an event
a line with ``seq`` (0, 1, 2, ...), ``tick`` (integer microseconds), ``kind``, ``subject`` and the
details of its kind.  ``m0`` is the first manifest, ``m0/t3`` its task 3 in the manifest's order,
``m0/s0`` its results stream.

==================  ========  ====================================================================
kind                subject   details
==================  ========  ====================================================================
manifest            m         tenant, actor, streams (count), tasks (fragment, lane, max_time_range,
                              sources and sinks as stream indices, -1 for one that is not in
                              the manifest, children as task indices)
call, return        m         method, tasks (indices, of start and cancel), stream (of listen);
                              a return also error: null or its text
task_event          m/t       before the workflow's handler: state, error, contributing, less_than,
                              statistics
task_event_done     m/t       after it
stream_event        m/s       state
write               m/s       a record is offered: rows, ids
write_done          m/s       outcome: taken, full, or closed (nobody will read)
read                m/s       a record read: rows, ids
read_eof            m/s       the reader saw the end
read_error          m/s       the reader saw error
close_results       m/s       the reader closed
==================  ========  ====================================================================

Batches stand as counts and row identities, never as bytes of a buffer.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TextIO

from workflow.manifest import Manifest
from workflow.plan import Plan
from workflow.plan_text import plan_to_text
from workflow.raised import text_of
from workflow.results import EndOfStream, Results
from workflow.runner import RecordWriter, Runner
from workflow.stream import Stream, StreamState
from workflow.task import Task, TaskStatus
from workflow.times import Timestamp
from workflow.tree import TreeTooLarge
from workflow.version import VERSION

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Event",
    "RecordedResults",
    "Recorder",
    "Trace",
    "TraceError",
    "read_trace",
    "row_digests",
    "write_trace",
]

FORMAT: Final = "windtunnel.trace"
FORMAT_VERSION: Final = 1


class TraceError(ValueError):
    """A trace file that cannot be read: where, what was seen, what would be right."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(where, message)

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.  ``details`` holds what JSON holds, under other keys than ours."""

    seq: int
    tick: int
    kind: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The event as one flat object."""
        return {
            "seq": self.seq,
            "tick": self.tick,
            "kind": self.kind,
            "subject": self.subject,
            **self.details,
        }


@dataclass(slots=True)
class Trace:
    """A header's ``ran`` (what ran: anything that JSON holds), and events by ``seq``."""

    ran: Mapping[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    versions: Mapping[str, str] = field(default_factory=lambda: {"windtunnel": VERSION})

    def lines(self) -> Iterator[str]:
        """The file, line by line, without line ends."""
        yield _line(
            {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                "versions": self.versions,
                "ran": self.ran,
            }
        )
        for event in self.events:
            yield _line(event.to_json())

    def digest(self) -> str:
        """A hash of the file's bytes: equal traces, equal digests."""
        total = hashlib.blake2b(digest_size=16)
        for line in self.lines():
            total.update(line.encode() + b"\n")
        return total.hexdigest()


# Made once: json.dumps would make one for each line, and take twice as long.
# NaN is no JSON: a trace that held one could not be read elsewhere.
_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def _line(value: Any) -> str:
    line = _ENCODER.encode(value)
    # Half a surrogate pair, as in the name of a file that is not UTF-8, becomes JSON's own escape.
    return line.encode("utf-8", "backslashreplace").decode()


def write_trace(out: TextIO, trace: Trace) -> None:
    """Write a trace as JSON Lines."""
    out.writelines(line + "\n" for line in trace.lines())


def read_trace(lines: Iterable[str], *, name: str = "trace") -> Trace:
    """Read what `write_trace` wrote.  Raises TraceError naming line and field."""
    numbered = enumerate(lines, 1)
    header = _object(next(numbered, (1, "")), name)
    where = f"{name}:1"
    if header.get("format") != FORMAT:
        raise TraceError(where, f"format: got {header.get('format')!r}, expected {FORMAT!r}")
    if type(header.get("version")) is not int or header["version"] != FORMAT_VERSION:
        raise TraceError(
            where, f"version: got {header.get('version')!r}, expected {FORMAT_VERSION}"
        )
    for key in ("ran", "versions"):
        if not isinstance(header.get(key), dict):
            raise TraceError(where, f"{key}: got {header.get(key)!r}, expected an object")
    trace = Trace(header["ran"], versions=header["versions"])
    for number, line in numbered:
        entry = _object((number, line), name)
        where = f"{name}:{number}"
        for key, wanted in (("seq", int), ("tick", int), ("kind", str), ("subject", str)):
            if type(entry.get(key)) is not wanted:
                shown = "an integer" if wanted is int else "a text"
                raise TraceError(where, f"{key}: got {entry.get(key)!r}, expected {shown}")
        if entry["seq"] != len(trace.events):
            raise TraceError(where, f"seq: got {entry['seq']}, expected {len(trace.events)}")
        trace.events.append(
            Event(
                entry.pop("seq"), entry.pop("tick"), entry.pop("kind"), entry.pop("subject"), entry
            )
        )
    return trace


def _object(numbered: tuple[int, str], name: str) -> dict[str, Any]:
    number, line = numbered
    try:
        value = json.loads(line, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{name}:{number}", f"got a line that is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise TraceError(f"{name}:{number}", f"got {line.strip()[:60]!r}, expected an object")
    return value


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is not a number that a float can hold")
    return value


def row_digests(batch: "pa.RecordBatch") -> list[str]:
    """A short hash of each row's names and values: equal rows, equal identities."""
    for index, kind in enumerate(batch.schema.types):
        if str(kind).startswith("timestamp[ns"):  # Python's own times have no nanoseconds
            name = batch.schema.names[index]
            batch = batch.set_column(index, name, batch.column(index).view("int64"))
    return [
        hashlib.blake2b(repr(row).encode(), digest_size=6).hexdigest() for row in batch.to_pylist()
    ]


class Recorder:
    """A Runner that passes everything on to another one and records what crosses.

    ``clock`` gives ticks (integer microseconds).  ``identify`` names the rows of a batch.  Every
    method may be called from any thread; events of different threads stand in the order in
    which they were recorded.  ``watch`` is called with each event as it is recorded.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        clock: Callable[[], int] = lambda: 0,
        identify: Callable[["pa.RecordBatch"], Sequence[str]] = row_digests,
        ran: Mapping[str, Any] | None = None,
        watch: Callable[[Event], None] | None = None,
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._identify = identify
        self._ran = ran or {}
        self._watch = watch
        self._next = itertools.count()
        self._events: dict[int, Event] = {}
        self._manifests: dict[Manifest, str] = {}
        self._twins: dict[Manifest, Manifest] = {}  # what the Runner knows instead
        self._tasks: dict[Task, tuple[str, int]] = {}
        self._streams: dict[Stream, tuple[str, int]] = {}
        self._writers: dict[RecordWriter, str] = {}

    @property
    def trace(self) -> Trace:
        """What was recorded so far."""
        return Trace(self._ran, [self._events[seq] for seq in sorted(self._events)])

    def record(self, kind: str, subject: str, **details: Any) -> None:
        """Add an event."""
        seq = next(self._next)
        event = self._events[seq] = Event(seq, self._clock(), kind, subject, details)
        if self._watch is not None:
            self._watch(event)

    def observe(self, kind: str, subject: Manifest | Task | Stream, /, **details: Any) -> None:
        """Add an event that a Workflow tells: see `workflow.workflow.Observer`."""
        if isinstance(subject, Manifest):
            self.record(kind, self._manifests.get(subject, "m?"), **details)
        else:
            self.record(kind, self._subject(subject), **details)

    def finish(
        self, *, stuck: Sequence[tuple[str, str]] | None = None, over_budget: bool = False
    ) -> None:
        """Say that nothing more will happen: rules about what must have come can be judged.

        ``stuck``, if something still waits: who waits, and for what.  ``over_budget``: the run was
        cut short.
        """
        waiting = None if stuck is None else [list(each) for each in stuck]
        self.record("end", "run", stuck=waiting, over_budget=over_budget)

    def reader(self, results: Results) -> "RecordedResults":
        """The results of a workflow on this Runner, for a reader whose reads are recorded."""
        return RecordedResults(self, results, self._writers[results])

    def batch(self, batch: "pa.RecordBatch") -> dict[str, Any]:
        """How a batch stands in an event."""
        return {"rows": batch.num_rows, "ids": list(self._identify(batch))}

    # The Runner protocol.

    def register_manifest(self, manifest: Manifest) -> None:
        """Record the manifest, and hand on one whose handlers record."""
        name = self._manifests.setdefault(manifest, f"m{len(self._manifests)}")
        self.record("manifest", name, **self._describe(manifest))

        def task_event(task: Task, status: TaskStatus) -> None:
            subject = self._subject(task)
            self.record("task_event", subject, **_describe_status(status))
            manifest.task_event_handler(task, status)
            self.record("task_event_done", subject, state=str(status.state))

        def stream_event(stream: Stream, state: StreamState) -> None:
            self.record("stream_event", self._subject(stream), state=str(state))
            manifest.stream_event_handler(stream, state)

        # One twin for all tries: the Runner may know it from the first.
        twin = self._twins.setdefault(
            manifest,
            replace(manifest, task_event_handler=task_event, stream_event_handler=stream_event),
        )
        self._call(name, "register_manifest", {}, lambda: self._runner.register_manifest(twin))
        # Only now: what is refused may have tasks and streams of another manifest.
        self._tasks.update({task: (name, i) for i, task in enumerate(manifest.tasks)})
        self._streams.update({stream: (name, i) for i, stream in enumerate(manifest.streams)})

    def unregister_manifest(self, manifest: Manifest) -> None:
        """Record the call."""
        twin = self._twins.get(manifest, manifest)
        self._call(
            self._manifests.get(manifest, "m?"),
            "unregister_manifest",
            {},
            lambda: self._runner.unregister_manifest(twin),
        )

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """Record the call, and hand on a writer that records."""
        name, index = self._streams.get(stream, ("m?", -1))
        self._writers[writer] = f"{name}/s{index}"
        recorded = _RecordedWriter(self, writer, f"{name}/s{index}")
        self._call(name, "listen", {"stream": index}, lambda: self._runner.listen(stream, recorded))

    def start(self, tasks: Sequence[Task]) -> None:
        """Record the call."""
        self._call_tasks("start", tasks, self._runner.start)

    def cancel(self, tasks: Sequence[Task]) -> None:
        """Record the call."""
        self._call_tasks("cancel", tasks, self._runner.cancel)

    def _call_tasks(
        self, method: str, tasks: Sequence[Task], call: Callable[[Sequence[Task]], None]
    ) -> None:
        places = [self._tasks.get(task, ("m?", -1)) for task in tasks]
        name = places[0][0] if places else "m?"
        self._call(name, method, {"tasks": [index for _, index in places]}, lambda: call(tasks))

    def _call(
        self, subject: str, method: str, details: Mapping[str, Any], call: Callable[[], None]
    ) -> None:
        self.record("call", subject, method=method, **details)
        error: BaseException | None = None
        try:
            call()
        except BaseException as raised:
            error = raised
            raise
        finally:
            self.record("return", subject, method=method, **details, **_describe_error(error))

    def _subject(self, item: Task | Stream) -> str:
        if isinstance(item, Task):
            name, index = self._tasks.get(item, ("m?", -1))
            return f"{name}/t{index}"
        name, index = self._streams.get(item, ("m?", -1))
        return f"{name}/s{index}"

    def _describe(self, manifest: Manifest) -> dict[str, Any]:
        writers = {
            stream: index
            for index, task in enumerate(manifest.tasks)
            for stream in task.sink_streams()
        }
        streams = {stream: index for index, stream in enumerate(manifest.streams)}
        return {
            "tenant": manifest.tenant,
            "actor": list(manifest.actor),
            "streams": len(manifest.streams),
            "tasks": [
                {
                    "fragment": _printed(task.fragment),
                    "lane": task.lane,
                    "max_time_range": [
                        _instant(task.max_time_range.start),
                        _instant(task.max_time_range.end),
                    ],
                    # A manifest may be wrong: the Runner will say so.
                    "sources": [streams.get(stream, -1) for stream in task.source_streams()],
                    "sinks": [streams.get(stream, -1) for stream in task.sink_streams()],
                    "children": list(
                        dict.fromkeys(
                            writers[stream] for stream in task.source_streams() if stream in writers
                        )
                    ),
                }
                for task in manifest.tasks
            ],
        }


def _describe_status(status: TaskStatus) -> dict[str, Any]:
    details: dict[str, Any] = {"state": str(status.state)}
    if status.error is not None:
        details |= _describe_error(status.error)
    if status.contributing_time_range is not None:
        details["contributing"] = str(status.contributing_time_range.timestamp)
        details["less_than"] = status.contributing_time_range.less_than
    if status.statistics is not None:
        details["statistics"] = {key.name: value for key, value in status.statistics}
    return details


def _describe_error(error: BaseException | None) -> dict[str, Any]:
    if error is None:
        return {"error": None}
    return {"error": text_of(error), "error_type": type(error).__name__}


def _printed(fragment: Plan) -> str | None:
    try:
        return plan_to_text(fragment)
    except TreeTooLarge:
        return None  # a run is not refused for want of a drawing


def _instant(value: Timestamp | None) -> str | None:
    return None if value is None else str(value)


class _RecordedWriter:
    def __init__(self, recorder: Recorder, writer: RecordWriter, subject: str) -> None:
        self._recorder = recorder
        self._writer = writer
        self._subject = subject

    def offer(self, batch: "pa.RecordBatch") -> bool:
        # Before and after: a reader that the offer wakes reads before it returns.
        self._recorder.record("write", self._subject, **self._recorder.batch(batch))
        outcome = "closed"
        try:
            taken = self._writer.offer(batch)
            outcome = "taken" if taken else "full"
        finally:
            self._recorder.record("write_done", self._subject, outcome=outcome)
        return taken

    def watch(self, wake: Callable[[], None]) -> None:
        self._writer.watch(wake)


class RecordedResults:
    """The reader's side of a workflow's results, see `Results`; what it sees is recorded."""

    def __init__(self, recorder: Recorder, results: Results, subject: str) -> None:
        self._recorder = recorder
        self._results = results
        self._subject = subject

    def poll(self) -> "pa.RecordBatch | None":
        """As `Results.poll`."""
        try:
            batch = self._results.poll()
        except EndOfStream:
            self._recorder.record("read_eof", self._subject)
            raise
        except Exception as error:
            self._recorder.record("read_error", self._subject, **_describe_error(error))
            raise
        if batch is None:
            self._recorder.record("read_wait", self._subject)
        else:
            self._recorder.record("read", self._subject, **self._recorder.batch(batch))
        return batch

    def watch(self, wake: Callable[[], None]) -> None:
        """As `Results.watch`."""
        self._results.watch(wake)

    def close(self) -> None:
        """As `Results.close`."""
        self._recorder.record("close_results", self._subject)
        self._results.close()
