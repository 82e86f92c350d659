"""Whether the events of a trace that somebody made are what docs/traces.md says.

Rules look up what an event must have.  A trace that was converted from elsewhere may lack it, and
then it is the trace that is wrong: `check_events` says where, before any rule stumbles.  Kinds and
details that it does not know pass.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from workflow.stream import StreamState
from workflow.task import TaskState
from workflow.times import Timestamp
from workflow.trace import Event, TraceError

__all__ = ["check_events"]

_SUBJECT: Final = re.compile(r"m([0-9]{1,9}|\?)(?:/([ts])([0-9]{1,9}|-1)(\.[1-9][0-9]{0,8})?)?")
_MOST_STREAMS: Final = 1_000_000
_METHODS: Final = ("register_manifest", "unregister_manifest", "listen", "start", "cancel")

_Test = Callable[[Any], bool]
_Fields = dict[str, tuple[str, _Test]]  # what is right, and whether a value is


@dataclass(slots=True)
class _Kind:
    subject: str  # a key of _SHAPES
    needed: _Fields = field(default_factory=dict)
    optional: _Fields = field(default_factory=dict)


def _integer(least: int) -> tuple[str, _Test]:
    return f"an integer >= {least}", lambda value: type(value) is int and value >= least


def _one_of(words: Iterable[str]) -> tuple[str, _Test]:
    known = tuple(words)
    return f"one of {', '.join(known)}", lambda value: isinstance(value, str) and value in known


def _list_of(what: str, test: _Test) -> tuple[str, _Test]:
    return f"a list of {what}", lambda value: isinstance(value, list) and all(map(test, value))


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(Timestamp.parse(value))
    except ValueError:
        return False


_TEXT: Final = ("a text", lambda value: isinstance(value, str))
_TEXT_OR_NULL: Final = ("a text or null", lambda value: value is None or isinstance(value, str))
_FLAG: Final = ("true or false", lambda value: isinstance(value, bool))
_INDICES: Final = _list_of("integers >= -1", _integer(-1)[1])
_TASK_STATE: Final = _one_of(str(state) for state in TaskState)
_TIME: Final = ("an RFC 3339 time", _is_time)
_INTEGER: Final = ("an integer", lambda value: type(value) is int)
_TEXTS: Final = _list_of("texts", _TEXT[1])
_LANE: Final = _one_of(("scan", "other"))
_STATE: Final = _one_of(dict.fromkeys([*map(str, TaskState), *map(str, StreamState)]))
_COUNTED: Final = (
    "an object of integers",
    lambda value: isinstance(value, dict) and all(type(each) is int for each in value.values()),
)
_WORKER: Final[_Fields] = {"worker": _TEXT}
_RECORD: Final[_Fields] = {"rows": _integer(0)}
_IDS: Final[_Fields] = {"ids": _list_of("texts", _TEXT[1])}
_ERROR: Final[_Fields] = {"error": _TEXT, "error_type": _TEXT}

_TASK: Final[_Fields] = {
    "lane": _one_of(("scan", "other")),
    "max_time_range": (
        "a list of two times or nulls",
        lambda value: (
            isinstance(value, list)
            and len(value) == 2
            and all(time is None or _is_time(time) for time in value)
        ),
    ),
    "sources": _INDICES,
    "sinks": _INDICES,
}
_KINDS: Final = {
    "manifest": _Kind(
        "",
        {
            "tenant": _TEXT,
            "actor": _list_of("texts", _TEXT[1]),
            "streams": (
                f"an integer from 0 to {_MOST_STREAMS}",
                lambda value: type(value) is int and 0 <= value <= _MOST_STREAMS,
            ),
            "tasks": _list_of("objects", lambda value: isinstance(value, dict)),
        },
    ),
    "call": _Kind("", {"method": _one_of(_METHODS)}),
    "return": _Kind(
        "", {"method": _one_of(_METHODS), "error": _TEXT_OR_NULL}, {"error_type": _TEXT_OR_NULL}
    ),
    "task_event": _Kind(
        "t",
        {"state": _TASK_STATE},
        {
            **_ERROR,
            "contributing": _TIME,
            "less_than": _FLAG,
            "statistics": ("an object", lambda value: isinstance(value, dict)),
        },
    ),
    "task_event_done": _Kind("t", {"state": _TASK_STATE}),
    "stream_event": _Kind("s", {"state": _one_of(str(state) for state in StreamState)}),
    "write": _Kind("s", _RECORD, _IDS),
    "write_done": _Kind("s", {"outcome": _one_of(("taken", "full", "closed"))}),
    "read": _Kind("s", _RECORD, _IDS),
    "read_wait": _Kind("s"),
    "read_eof": _Kind("s"),
    "read_error": _Kind("s", {"error": _TEXT}, {"error_type": _TEXT}),
    "close_results": _Kind("s"),
    "ask": _Kind("", {"what": _one_of(("cancel", "close"))}),
    # What the workflow decides.
    "admission": _Kind("", {"scan": _integer(0), "other": _integer(0)}),
    "acquire": _Kind("t", {"lane": _LANE}),
    "release": _Kind("t", {"lane": _LANE}),
    "recorded": _Kind("ts", {"state": _STATE}),
    "results_error": _Kind("", _ERROR),
    "results_end": _Kind(""),
    "stop": _Kind(""),
    "statistics": _Kind("", {"total": _COUNTED}),
    # What happens inside of the simulated cluster.
    "cluster": _Kind(
        "*",
        {
            **{
                name: _integer(0)
                for name in (
                    "workers",
                    "slots",
                    "buffer",
                    "ack_timeout",
                    "detect",
                    "slack",
                    "reconnect",
                    "slowest",
                )
            },
            "profile": _one_of(("sound", "reference")),
        },
        {"rows": _one_of(("real",))},
    ),
    "connect": _Kind("*", {"connection": _TEXT}),
    "queue": _Kind("t", {"place": _integer(0), "again": _FLAG}),
    "assign": _Kind("e", {**_WORKER, "closed": _TEXTS}),
    "accept": _Kind("e", _WORKER),
    "refuse": _Kind("e", {**_WORKER, "leaving": _FLAG}),
    "ack_timeout": _Kind("e", _WORKER),
    "revoked": _Kind("e", _WORKER),
    "owner": _Kind("t", {"worker": _TEXT_OR_NULL}),
    "report": _Kind(
        "e", {**_WORKER, "state": _TASK_STATE, "changed": _FLAG}, {"error_type": _TEXT}
    ),
    "move": _Kind("ts", {"state": _STATE}),
    "bind": _Kind("s", {"task": _TEXT, "reader": _TEXT_OR_NULL, "to": _TEXT}),
    "told_closed": _Kind("s", {**_WORKER, "task": _TEXT}),
    "tell_cancel": _Kind("e", _WORKER),
    "stopped": _Kind("e", _WORKER),
    "run": _Kind("e", {**_WORKER, "idle": _INTEGER}),
    "over": _Kind("e", {**_WORKER, "idle": _INTEGER, "worked": _integer(0), "crashed": _FLAG}),
    "send": _Kind("s", {**_RECORD, "task": _TEXT, "number": _integer(1)}),
    "receive": _Kind("s", {**_RECORD, "task": _TEXT, "sender": _TEXT, "number": _integer(1)}),
    "take": _Kind("s", {**_RECORD, "task": _TEXT, "sender": _TEXT, "number": _integer(1)}),
    "input_end": _Kind("e", {"streams": _TEXTS}),
    "fault": _Kind("*", {"fault": _TEXT}, {"factor": _integer(1)}),
    "tables": _Kind("*", {"when": _one_of(("before", "after", "end"))}),
    "activities": _Kind("*", {"running": _TEXTS}),
}
_SHAPES: Final = {
    "": "a manifest such as m0",
    "t": "a task such as m0/t3",
    "s": "a stream such as m0/s0",
    "ts": "a task such as m0/t3, or a stream such as m0/s0",
    "e": "an attempt at a task such as m0/t3 or m0/t3.2",
    "*": "a name",
}


def check_events(events: Iterable[Event], *, name: str) -> None:
    """Raises TraceError naming the line, on which event 0 is line 2, and the field."""
    sizes: dict[str, dict[str, int]] = {}  # by manifest: how many tasks and streams
    for event in events:
        where = f"{name}:{event.seq + 2}"
        if event.kind == "end":
            _end(event, where)
        kind = _KINDS.get(event.kind)
        if kind is None:
            continue
        _fields(event.details, kind, where)
        if event.kind == "manifest":
            for index, task in enumerate(event.details["tasks"]):
                _fields(task, _Kind("", _TASK), f"{where}: tasks[{index}]")
            sizes[event.subject] = {
                "t": len(event.details["tasks"]),
                "s": event.details["streams"],
            }
        elif event.kind in ("call", "return"):
            _call(event, where)
        _subject(event, kind, sizes, where)
        for key in ("task", "sender", "reader"):
            whom = event.details.get(key)
            if key in kind.needed and whom not in (None, "scheduler"):
                _subject(replace(event, subject=whom, details={}), _Kind("e"), sizes, where)


def _fields(seen: Any, kind: _Kind, where: str) -> None:
    for name, (expected, right) in (*kind.needed.items(), *kind.optional.items()):
        if name not in seen:
            if name in kind.needed:
                raise TraceError(where, f"{name}: got nothing, expected {expected}")
        elif not right(seen[name]):
            raise TraceError(where, f"{name}: got {seen[name]!r:.60}, expected {expected}")


def _call(event: Event, where: str) -> None:
    method = event.details["method"]
    if method in ("start", "cancel"):
        _fields(event.details, _Kind("", {"tasks": _INDICES}), where)
    elif method == "listen":
        _fields(event.details, _Kind("", {"stream": _integer(-1)}), where)


def _subject(event: Event, kind: _Kind, sizes: dict[str, dict[str, int]], where: str) -> None:
    if kind.subject == "*":
        return
    found = _SUBJECT.fullmatch(event.subject)
    wanted = kind.subject.replace("e", "t")
    if (
        found is None
        or (found[2] or "") not in (wanted or "", *wanted)
        or (wanted and not found[2])
        or (found[4] and kind.subject != "e")
    ):
        raise TraceError(
            where, f"subject: got {event.subject!r:.60}, expected {_SHAPES[kind.subject]}"
        )
    if found[1] == "?":
        return  # the recorder's name for what was never registered
    size = sizes.get(f"m{found[1]}")
    if size is None:
        raise TraceError(where, f"subject: got {event.subject!r}, expected a manifest seen before")
    named = [int(found[3])] if found[3] else []
    named += event.details.get("tasks", []) if event.kind in ("call", "return") else []
    most = size[found[2] or "t"]
    for index in named:
        if index >= most:
            what = "streams" if found[2] == "s" else "tasks"
            raise TraceError(where, f"got number {index} of {most} {what}")


def _end(event: Event, where: str) -> None:
    if "stuck" not in event.details or not isinstance(event.details.get("over_budget"), bool):
        raise TraceError(where, "end: expected stuck (null or a list) and over_budget (a flag)")
    if not isinstance(event.details["stuck"], list | None):
        raise TraceError(
            where, f"stuck: got {event.details['stuck']!r:.60}, expected null or a list"
        )
