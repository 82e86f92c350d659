"""Traces of another implementation, recorded at the border, read as our own."""

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scenarios.foreign import read_foreign
from scenarios.well_formed import check_events
from workflow import plan_from_text
from workflow.trace import Event, Trace, TraceError, read_trace

FILE = Path(__file__).parent / "data" / "traces.jsonl"
TERMINAL = ("Completed", "Cancelled", "Failed")
MAY_FOLLOW = {
    "Created": ("Pending", "Running", "Cancelled"),
    "Pending": ("Pending", "Running", "Cancelled", "Failed"),
    "Running": ("Running", *TERMINAL),
}


@cache
def raw() -> list[dict[str, Any]]:
    """Every line of the file."""
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


@cache
def runs() -> dict[int, Trace]:
    """Every run by its number."""
    with FILE.open(encoding="utf-8") as file:
        return {trace.ran["run"]: trace for trace in read_foreign(file, name=FILE.name)}


def illegal_moves(trace: Trace) -> list[tuple[str, str, str]]:
    """A task, and the states from and to which it cannot move."""
    states: dict[str, str] = {}
    found = []
    for event in trace.events:
        if event.kind == "task_event":
            old, new = states.get(event.subject, "Created"), event.details["state"]
            if new not in MAY_FOLLOW.get(old, ()):
                found.append((event.subject, old, new))
            states[event.subject] = new
    return found


def starts_of_the_dead(trace: Trace) -> list[str]:
    """Tasks that are started when their end has been reported."""
    over: dict[str, None] = {}
    found = []
    for event in trace.events:
        if event.kind == "task_event" and event.details["state"] in TERMINAL:
            over[event.subject] = None
        elif event.kind == "call" and event.details["method"] == "start":
            started = [f"m0/t{index}" for index in event.details["tasks"]]
            found += [task for task in started if task in over]
    return found


def failed_calls(trace: Trace) -> list[str]:
    """The methods of calls that came back with an error."""
    return [
        event.details["method"]
        for event in trace.events
        if event.kind == "return" and event.details["error"] is not None
    ]


def where(found: Callable[[Trace], list[Any]]) -> dict[int, list[Any]]:
    """What is found in which runs."""
    return {run: found(trace) for run, trace in runs().items() if found(trace)}


def test_every_run_is_read_and_every_line_is_an_event() -> None:
    assert len(runs()) == 27
    for trace in runs().values():
        lines = raw()[trace.ran["line"] :][: len(trace.events)]
        assert raw()[trace.ran["line"] - 1]["kind"] == "run"
        assert [event.tick for event in trace.events] == [line["t_ns"] // 1_000 for line in lines]
        for event, line in zip(trace.events, lines, strict=True):
            for key in ("state", "rows", "method", "tasks"):
                if key in line and line["kind"] != "manifest":
                    assert event.details[key] == line[key]
            if "task" in line:
                assert event.subject == f"m0/t{line['task']}"
    assert sum(1 + len(trace.events) for trace in runs().values()) == len(raw())


def test_kinds_of_lines_become_our_kinds_of_events() -> None:
    ours = Counter(event.kind for trace in runs().values() for event in trace.events)
    theirs = Counter(line["kind"] for line in raw())
    assert ours.pop("ask") + ours.pop("close_workflow") == theirs.pop("close_workflow")
    assert ours.pop("close_results") == theirs.pop("close_pipeline")
    assert theirs.pop("run") == 27
    assert ours == theirs


def test_a_workflow_closed_before_its_reader_saw_the_end_was_asked_to_stop() -> None:
    asked = [
        run for run, trace in runs().items() if any(event.kind == "ask" for event in trace.events)
    ]
    assert asked == [88, 100, 106, 111, 123, 135, 147]


def test_what_ran_stands_in_the_header() -> None:
    ran = dict(runs()[24].ran)
    assert ran.pop("plan_text").startswith("TopK ")
    assert ran == {
        "name": "run 24",
        "line": 420,
        "run": 24,
        "mode": "drain",
        "limits": {"scan": 2},
        "query": '{app="shop"} | json | level="error"',
        "workers": 3,
        "threads": 4,
        "batch_size": 16,
    }


def test_lanes_are_those_of_the_fragments_and_children_those_of_the_streams() -> None:
    for trace in runs().values():
        tasks = trace.events[0].details["tasks"]
        for task in tasks:
            nodes = list(plan_from_text(task["fragment"]))
            assert task["lane"] == ("scan" if any(node.scan for node in nodes) else "other")
            sinks = [tasks[child]["sinks"] for child in task["children"]]
            assert sinks == [[stream] for stream in task["sources"]]


def test_a_range_that_still_matters_is_kept() -> None:
    details = next(
        event.details
        for event in runs()[0].events
        if event.kind == "task_event" and "contributing" in event.details
    )
    assert details == {
        "state": "Running",
        "contributing": "2025-01-01T00:50:21.26Z",
        "less_than": False,
    }


def test_a_foreign_trace_can_be_saved_as_ours() -> None:
    for trace in runs().values():
        again = read_trace(trace.lines())
        assert again.events == trace.events
        check_events(again.events, name="saved")


def test_illegal_moves_are_in_run_24_alone() -> None:
    assert where(illegal_moves) == {
        24: [("m0/t2", "Running", "Pending"), ("m0/t2", "Pending", "Completed")]
    }


def test_runs_123_and_135_start_tasks_that_are_over() -> None:
    assert where(starts_of_the_dead) == {123: ["m0/t4"], 135: ["m0/t0"]}


def test_calls_come_back_with_errors_in_four_runs() -> None:
    assert where(failed_calls) == {
        111: ["cancel"],
        123: ["cancel", "start"],
        135: ["cancel", "cancel", "cancel", "start"],
        147: ["cancel"],
    }


RUN = {"kind": "run", "seq": 0, "t_ns": 0, "run": 1, "mode": "drain"}
TASK = {"fragment": "TopK k=3\n", "max_time_range": [None, None], "sources": [], "sinks": [0]}
MANIFEST = {
    "kind": "manifest",
    "seq": 1,
    "t_ns": 5,
    "tenant": "",
    "streams": 1,
    "tasks": [TASK],
}
PENDING = {"kind": "task_event", "seq": 2, "t_ns": 9, "task": 0, "state": "Pending", "error": None}
WRITTEN = {"kind": "write_done", "seq": 2, "t_ns": 9, "stream": 0, "error": None}


def read(*lines: dict[str, Any] | str) -> list[Trace]:
    """The runs of these lines."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return list(read_foreign(texts, name="mine"))


def third(line: dict[str, Any], **fields: Any) -> Event:
    """What a line becomes, after a run and its manifest."""
    [trace] = read(RUN, MANIFEST, line | fields)
    return trace.events[1]


def test_errors_are_kept() -> None:
    failed = third(PENDING, state="Failed", error="no disk")
    assert failed.details == {"state": "Failed", "error": "no disk"}
    assert third(WRITTEN, error="closed pipe").details == {
        "outcome": "closed",
        "error": "closed pipe",
    }
    event = third({"kind": "read_error", "seq": 2, "t_ns": 9, "error": "no disk"})
    assert (event.kind, event.subject, event.details) == (
        "read_error",
        "m0/s0",
        {"error": "no disk"},
    )


def test_a_run_that_breaks_off_is_a_run_without_an_end() -> None:
    first, second = read(RUN, MANIFEST, PENDING, RUN, MANIFEST)
    assert [event.kind for event in first.events] == ["manifest", "task_event"]
    assert [event.kind for event in second.events] == ["manifest"]


def test_runs_are_given_one_by_one_as_they_are_read() -> None:
    taken = []

    def lines() -> Any:
        for line in (RUN, MANIFEST, RUN, MANIFEST, RUN, MANIFEST):
            taken.append(line["kind"])
            yield json.dumps(line)

    next(read_foreign(lines()))
    assert taken == ["run", "manifest", "run"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "mine:1: got an empty file, expected a line of kind 'run'"),
        ([MANIFEST], "mine:1: kind: got 'manifest', expected 'run' on the first line"),
        ([RUN], "mine:1: got a run without a line of kind 'manifest'"),
        ([RUN, PENDING], "mine:2: kind: got 'task_event', expected 'manifest', after a"),
        ([RUN, MANIFEST, MANIFEST | {"seq": 2}], "mine:3: kind: got 'manifest', expected one"),
        ([RUN, MANIFEST, '{"kind":'], "mine:3: got a line that is no JSON ("),
        ([RUN, MANIFEST, "7"], "mine:3: got '7', expected an object"),
        ([RUN, MANIFEST, '{"kind":"end","kind":"end"}'], "mine:3: got a line that is no JSON (a f"),
        (
            [RUN, MANIFEST, PENDING | {"kind": "nap"}],
            "mine:3: kind: got 'nap', expected one of run",
        ),
        ([RUN, MANIFEST, PENDING | {"seq": 1}], "mine:3: seq: got 1, expected more than 1, that"),
        ([RUN, MANIFEST, PENDING | {"t_ns": 4}], "mine:3: t_ns: got 4, expected at least 5, that"),
        ([RUN, MANIFEST, PENDING | {"t_ns": 9.5}], "mine:3: t_ns: got 9.5, expected an integer"),
        ([RUN, MANIFEST, PENDING | {"task": 1}], "mine:3: task: got 1, expected an integer from 0"),
        ([RUN, MANIFEST, PENDING | {"task": True}], "mine:3: task: got True, expected an integer"),
        (
            [RUN, MANIFEST, PENDING | {"state": "Idle"}],
            "mine:3: state: got 'Idle', expected one of",
        ),
        ([RUN, MANIFEST, PENDING | {"error": 3}], "mine:3: error: got 3, expected a text or null"),
        ([RUN, MANIFEST, PENDING | {"nap": 3}], "mine:3: nap: got a field that is not known here"),
        (
            [RUN, MANIFEST, PENDING | {"contributing": "noon", "less_than": True}],
            "mine:3: contributing: got 'noon', expected an RFC 3339 time",
        ),
        (
            [RUN, MANIFEST, PENDING | {"contributing": "2025-01-01T00:00:00Z"}],
            "mine:3: less_than: got nothing, expected true or false",
        ),
        (
            [RUN, MANIFEST | {"tasks": [TASK, TASK | {"sinks": [1]}]}],
            "mine:2: tasks[1]: sinks: got [1], expected a list of integers from 0 to 0",
        ),
        (
            [RUN, MANIFEST | {"tasks": [TASK | {"max_time_range": ["soon", None]}]}],
            "mine:2: tasks[0]: max_time_range: got 'soon', expected an RFC 3339 time",
        ),
        ([RUN, MANIFEST | {"streams": 10**9}], "mine:2: streams: got 1000000000, expected an int"),
        (
            [RUN, MANIFEST, {"kind": "end", "seq": 2, "t_ns": 9}, PENDING | {"seq": 3}],
            "mine:4: kind: got 'task_event', expected 'run', after the 'end' of a run",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_one_clear_error(
    lines: list[dict[str, Any] | str], message: str
) -> None:
    with pytest.raises(TraceError) as raised:
        read(*lines)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
