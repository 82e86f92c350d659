"""Foreign traces: what was recorded at the border of another implementation, as our `Trace`.

A file is JSON Lines with one run after the other: a `run` line, a `manifest` line, then events
with ``seq`` (rising from 0 in each run; some are left out) and ``t_ns`` (nanoseconds since the
run began, never falling), up to `end`.  docs/traces.md says what each line becomes.

Every line after the `run` line becomes one event, in the order of the file, so that the event
with ``seq`` n of ours stands n + 1 lines below the run's first.  A line with a kind or a field
that is not known is refused: nothing is dropped in silence.

>>> lines = [
...     '{"kind":"run","seq":0,"t_ns":0,"run":24,"mode":"drain"}',
...     '{"kind":"manifest","seq":1,"t_ns":7500,"tenant":"","streams":1,"tasks":[{"fragment":'
...     '"TopK k=3\\\\n","max_time_range":[null,null],"sources":[],"sinks":[0]}]}',
...     '{"kind":"task_event","seq":2,"t_ns":9000,"task":0,"state":"Pending","error":null}',
... ]
>>> [trace] = read_foreign(lines)
>>> trace.ran["name"], trace.events[1]
('run 24', Event(seq=1, tick=9, kind='task_event', subject='m0/t0', details={'state': 'Pending'}))
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal

from workflow.plan import NODE_KINDS
from workflow.stream import StreamState
from workflow.task import TaskState
from workflow.times import Timestamp, parse_instant
from workflow.trace import Event, Trace, TraceError

__all__ = ["form_of", "read_foreign"]

_METHODS: Final = ("register_manifest", "unregister_manifest", "listen", "start", "cancel")
_TASK_STATES: Final = tuple(str(state) for state in TaskState)
_STREAM_STATES: Final = tuple(str(state) for state in StreamState)
# What a drawn tree puts before an operator's name, and the name.
_OPERATOR: Final = re.compile(r"^[ │├└─]*(\w+)", re.MULTILINE)
_NANOSECONDS: Final = 1_000  # in a tick
_MOST_STREAMS: Final = 1_000_000  # of a manifest; each costs memory, said or unsaid
_MISSING: Final = object()


def form_of(line: str) -> Literal["ours", "foreign", "unknown"]:
    """Whose trace begins with this line; ours also where reading it says best what is wrong."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return "ours"
    if not isinstance(value, dict) or "format" in value:
        return "ours"
    return "foreign" if value.get("kind") == "run" else "unknown"


def read_foreign(lines: Iterable[str], *, name: str = "trace") -> Iterator[Trace]:
    """One trace a run; only one of them is held at a time.

    ``ran`` has the run's ``name``, the ``line`` that it begins on (from 1), and the other facts
    of its `run` line as they stand there.  Raises TraceError naming line and field.
    """
    run: _Run | None = None
    for number, text in enumerate(lines, 1):
        line = _Line(text, f"{name}:{number}")
        if line.kind == "run":
            if run is not None:
                yield run.finished(f"{name}:{number}")
            run = _Run(line, number)
        elif run is None:
            raise line.wrong("kind", line.kind, "'run' on the first line")
        else:
            run.add(line)
    if run is None:
        raise TraceError(f"{name}:1", "got an empty file, expected a line of kind 'run'")
    yield run.finished(f"{name}:{number}")


class _Fields:
    """An object's fields, taken out one by one; what is left over at the end is wrong."""

    def __init__(self, value: dict[str, Any], where: str) -> None:
        self.where: Final = where
        self._left: Final = value

    def wrong(self, field: str, seen: Any, expected: str) -> TraceError:
        """An error that names the field."""
        shown = "nothing" if seen is _MISSING else f"{seen!r:.60}"
        return TraceError(self.where, f"{field}: got {shown}, expected {expected}")

    def _take(
        self, field: str, expected: str, right: Callable[[Any], bool], default: Any = _MISSING
    ) -> Any:
        value = self._left.pop(field, default)
        if not right(value):
            raise self.wrong(field, value, expected)
        return value

    def text(self, field: str) -> str:
        """A text."""
        return str(self._take(field, "a text", lambda value: isinstance(value, str)))

    def text_or_null(self, field: str) -> str | None:
        """A text or null; null also where there is no such field."""
        value: str | None = self._take(
            field, "a text or null", lambda each: each is None or isinstance(each, str), None
        )
        return value

    def count(self, field: str, below: int | None = None) -> int:
        """An integer from 0 on."""
        expected = "an integer >= 0"
        if below is not None:
            expected = f"an integer from 0 to {below - 1}" if below else "none: there are none"
        return int(self._take(field, expected, lambda value: _is_count(value, below)))

    def one_of(self, field: str, words: tuple[str, ...]) -> str:
        """One of some words."""
        return str(self._take(field, f"one of {', '.join(words)}", lambda value: value in words))

    def counts(self, field: str, below: int) -> list[int]:
        """A list of integers below a bound; the same one may stand twice."""
        value: list[int] = self._take(
            field,
            f"a list of integers from 0 to {below - 1}" if below else "an empty list",
            lambda each: isinstance(each, list) and all(_is_count(one, below) for one in each),
        )
        return value

    def has(self, field: str) -> bool:
        """Whether there is such a field."""
        return field in self._left

    def objects(self, field: str) -> list[dict[str, Any]]:
        """A list of objects."""
        value: list[dict[str, Any]] = self._take(
            field,
            "a list of objects",
            lambda each: isinstance(each, list) and all(isinstance(one, dict) for one in each),
        )
        return value

    def rest(self) -> dict[str, Any]:
        """All fields that are left."""
        rest = dict(self._left)
        self._left.clear()
        return rest

    def flag(self, field: str) -> bool:
        """True or false."""
        return bool(self._take(field, "true or false", lambda value: isinstance(value, bool)))

    def range(self, field: str) -> list[str | None]:
        """Two times, null for one that is not set."""
        value = self._take(
            field,
            "a list of two times",
            lambda each: (
                isinstance(each, list)
                and len(each) == 2
                and all(time is None or isinstance(time, str) for time in each)
            ),
        )
        try:
            times = [None if text is None else parse_instant(text) for text in value]
        except ValueError as error:
            raise TraceError(self.where, f"{field}: {error}") from None
        return [None if time is None else str(time) for time in times]

    def done(self) -> None:
        """Nothing may be left."""
        for field in self._left:
            raise TraceError(self.where, f"{field}: got a field that is not known here")


class _Line(_Fields):
    """One line."""

    def __init__(self, text: str, where: str) -> None:
        try:
            value = json.loads(
                text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once
            )
        except (ValueError, RecursionError) as error:
            raise TraceError(where, f"got a line that is no JSON ({error})") from None
        if not isinstance(value, dict):
            raise TraceError(where, f"got {text.strip()[:60]!r}, expected an object")
        super().__init__(value, where)
        self.kind: Final = self.text("kind")
        self.seq: Final = self.count("seq")
        self.t_ns: Final = self.count("t_ns")


def _is_count(value: Any, below: int | None) -> bool:
    return type(value) is int and value >= 0 and (below is None or value < below)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands twice")
    return fields


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is not a number that a float can hold")
    return value


class _Run:
    """A run while it is being read."""

    def __init__(self, line: _Line, number: int) -> None:
        self._seq = line.seq
        self._t_ns = line.t_ns
        if line.seq:
            raise line.wrong("seq", line.seq, "0 in a line of kind 'run'")
        run = line.count("run")
        mode = line.text_or_null("mode")
        limits: dict[str, int] = {}
        if line.has("max_running_scan_tasks"):
            limits["scan"] = line.count("max_running_scan_tasks")
        for field in ("name", "line", "limits"):  # would be mistaken for ours
            if line.has(field):
                raise TraceError(line.where, f"{field}: got a field that is not known here")
        self._trace = Trace(
            {
                "name": f"run {run}",
                "line": number,
                "run": run,
                "mode": mode,
                "limits": limits,
                **line.rest(),
            },
            versions={},
        )
        self._tasks = 0
        self._streams = 0
        self._writers: dict[int, int] = {}  # the task that writes a stream
        self._listened: int | None = None
        self._read_to_the_end = False
        self._ended = False

    def finished(self, where: str) -> Trace:
        """The whole run.  One that breaks off, without an `end`, is a run all the same."""
        if not self._trace.events:
            raise TraceError(where, "got a run without a line of kind 'manifest'")
        return self._trace

    def add(self, line: _Line) -> None:
        """The next line."""
        if self._ended:
            raise line.wrong("kind", line.kind, "'run', after the 'end' of a run")
        if line.seq <= self._seq:
            raise line.wrong("seq", line.seq, f"more than {self._seq}, that of the line before")
        if line.t_ns < self._t_ns:
            raise line.wrong("t_ns", line.t_ns, f"at least {self._t_ns}, that of the line before")
        self._seq, self._t_ns = line.seq, line.t_ns
        if not self._trace.events and line.kind != "manifest":
            raise line.wrong("kind", line.kind, "'manifest', after a line of kind 'run'")
        if self._trace.events and line.kind == "manifest":
            raise line.wrong("kind", line.kind, "one manifest a run")
        reader = _READERS.get(line.kind)
        if reader is None:
            raise line.wrong("kind", line.kind, f"one of {', '.join(['run', *_READERS])}")
        kind, subject, details = reader(self, line)
        line.done()
        events = self._trace.events
        events.append(Event(len(events), line.t_ns // _NANOSECONDS, kind, subject, details))

    def _manifest(self, line: _Line) -> "_Told":
        tenant = line.text("tenant")
        self._streams = line.count("streams", _MOST_STREAMS + 1)
        tasks = [
            _Fields(task, f"{line.where}: tasks[{index}]")
            for index, task in enumerate(line.objects("tasks"))
        ]
        self._tasks = len(tasks)
        described = [self._task(task, index) for index, task in enumerate(tasks)]
        for task in described:
            below = (self._writers[s] for s in task["sources"] if s in self._writers)
            task["children"] = list(dict.fromkeys(below))
        details = {"tenant": tenant, "actor": [], "streams": self._streams, "tasks": described}
        return "manifest", "m0", details

    def _task(self, task: _Fields, index: int) -> dict[str, Any]:
        fragment = task.text("fragment")
        operators = _OPERATOR.findall(fragment)
        scans = any(NODE_KINDS[word].scan for word in operators if word in NODE_KINDS)
        sinks = task.counts("sinks", self._streams)
        self._writers.update(dict.fromkeys(sinks, index))
        described = {
            "fragment": fragment,
            "lane": "scan" if scans else "other",
            "max_time_range": task.range("max_time_range"),
            "sources": task.counts("sources", self._streams),
            "sinks": sinks,
        }
        task.done()
        return described

    def _call(self, line: _Line) -> "_Told":
        method = line.one_of("method", _METHODS)
        details: dict[str, Any] = {"method": method}
        if method == "listen":
            self._listened = details["stream"] = line.count("stream", self._streams)
        elif method in ("start", "cancel"):
            details["tasks"] = line.counts("tasks", self._tasks)
        return "call", "m0", details

    def _return(self, line: _Line) -> "_Told":
        method = line.one_of("method", _METHODS)
        details: dict[str, Any] = {"method": method}
        if method == "listen":  # it may leave out what its call has said
            known = line.has("stream") or self._listened is None
            details["stream"] = line.count("stream", self._streams) if known else self._listened
        elif method in ("start", "cancel"):
            details["tasks"] = line.counts("tasks", self._tasks)
        details["error"] = line.text_or_null("error")
        return "return", "m0", details

    def _task_event(self, line: _Line) -> "_Told":
        subject = f"m0/t{line.count('task', self._tasks)}"
        details: dict[str, Any] = {"state": line.one_of("state", _TASK_STATES)}
        error = line.text_or_null("error")
        if error is not None:
            details["error"] = error
        if line.has("contributing") or line.has("less_than"):
            shown = line.text("contributing")
            try:
                details["contributing"] = str(Timestamp.parse(shown))
            except ValueError as wrong:
                raise TraceError(line.where, f"contributing: {wrong}") from None
            details["less_than"] = line.flag("less_than")
        return "task_event", subject, details

    def _task_event_done(self, line: _Line) -> "_Told":
        subject = f"m0/t{line.count('task', self._tasks)}"
        return "task_event_done", subject, {"state": line.one_of("state", _TASK_STATES)}

    def _stream_event(self, line: _Line) -> "_Told":
        subject = f"m0/s{line.count('stream', self._streams)}"
        return "stream_event", subject, {"state": line.one_of("state", _STREAM_STATES)}

    def _write(self, line: _Line) -> "_Told":
        return "write", f"m0/s{line.count('stream', self._streams)}", {"rows": line.count("rows")}

    def _write_done(self, line: _Line) -> "_Told":
        subject = f"m0/s{line.count('stream', self._streams)}"
        error = line.text_or_null("error")
        if error is None:
            return "write_done", subject, {"outcome": "taken"}
        # Such a pipe waits for room; that it refuses says that nobody reads any more.
        return "write_done", subject, {"outcome": "closed", "error": error}

    def _read(self, line: _Line) -> "_Told":
        return "read", "m0/s0", {"rows": line.count("rows")}

    def _read_eof(self, _: _Line) -> "_Told":
        self._read_to_the_end = True
        return "read_eof", "m0/s0", {}

    def _read_error(self, line: _Line) -> "_Told":
        self._read_to_the_end = True
        return "read_error", "m0/s0", {"error": line.text("error")}

    def _close_pipeline(self, _: _Line) -> "_Told":
        return "close_results", "m0/s0", {}

    def _close_workflow(self, _: _Line) -> "_Told":
        if self._read_to_the_end:
            return "close_workflow", "m0", {}  # how every run ends: no wish that excuses anything
        return "ask", "m0", {"what": "close"}

    def _end(self, _: _Line) -> "_Told":
        self._ended = True
        return "end", "run", {"stuck": None, "over_budget": False}


_Told = tuple[str, str, dict[str, Any]]  # kind, subject, details

_READERS: Final[dict[str, Callable[[_Run, _Line], _Told]]] = {
    "manifest": _Run._manifest,
    "call": _Run._call,
    "return": _Run._return,
    "task_event": _Run._task_event,
    "task_event_done": _Run._task_event_done,
    "stream_event": _Run._stream_event,
    "write": _Run._write,
    "write_done": _Run._write_done,
    "read": _Run._read,
    "read_eof": _Run._read_eof,
    "read_error": _Run._read_error,
    "close_pipeline": _Run._close_pipeline,
    "close_workflow": _Run._close_workflow,
    "end": _Run._end,
}
