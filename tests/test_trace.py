"""What a trace records of a run, and that it reads back, or is refused in words."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cases import build, load_cases, second
from hypothesis import given
from hypothesis import strategies as st

from sim.inline import InlineRunner
from workflow import (
    Aggregation,
    ContributingTimeRange,
    EndOfStream,
    Identifiers,
    Manifest,
    ManifestRefused,
    Options,
    Results,
    Statistic,
    Statistics,
    Stream,
    TaskState,
    TaskStatus,
    UnknownTask,
    Workflow,
    WriteClosed,
)
from workflow.manifest import StreamEventHandler, TaskEventHandler
from workflow.trace import Event, Recorder, Trace, TraceError, read_trace, row_digests, write_trace

CASES = load_cases()


def recorded(name: str = "V04", *, rows: int = 6, seed: str = "") -> Trace:
    """The trace of a whole run of a case."""
    runner = InlineRunner(rows_per_scan=rows)
    ticks = iter(range(100_000))
    recorder = Recorder(runner, clock=lambda: next(ticks), ran={"case": name})
    options = Options(tenant="acme", actor=("team", "alice"))
    workflow = Workflow(build(CASES[name])[0], recorder, options, ids=Identifiers(seed))
    results = recorder.reader(workflow.run())
    for _ in runner.read(results):
        pass
    results.close()
    workflow.close()
    return recorder.trace


def text_of(trace: Trace) -> str:
    out = io.StringIO()
    write_trace(out, trace)
    return out.getvalue()


def kinds(trace: Trace) -> list[str]:
    return [event.kind for event in trace.events]


V01 = """\
manifest m0
call m0 register_manifest
return m0 register_manifest
call m0 listen 0
return m0 listen 0
call m0 start [0]
task_event m0/t0 Pending
task_event_done m0/t0 Pending
return m0 start [0]
read_wait m0/s0
task_event m0/t0 Running
task_event_done m0/t0 Running
read_wait m0/s0
read_wait m0/s0
stream_event m0/s0 Open
write m0/s0 1
write_done m0/s0 taken
read m0/s0 1
read_wait m0/s0
stream_event m0/s0 Closed
task_event m0/t0 Completed
task_event_done m0/t0 Completed
read_eof m0/s0
close_results m0/s0
call m0 unregister_manifest
return m0 unregister_manifest
"""


def test_a_run_is_recorded_step_by_step() -> None:
    shown = ""
    for event in recorded("V01", rows=1).events:
        words = [event.kind, event.subject]
        words += [
            str(event.details[key])
            for key in ("method", "tasks", "stream", "state", "rows", "outcome")
            if key in event.details and event.kind != "manifest"
        ]
        shown += " ".join(words) + "\n"
    assert shown == V01


DETAILS = {
    "manifest": {"tenant", "actor", "streams", "tasks"},
    "task_event_done": {"state"},
    "stream_event": {"state"},
    "write": {"rows", "ids"},
    "write_done": {"outcome"},
    "read": {"rows", "ids"},
    "read_eof": set(),
    "read_error": {"error", "error_type"},
    "read_wait": set(),
    "close_results": set(),
}
OPTIONAL = {
    "call": ({"method"}, {"tasks", "stream"}),
    "return": ({"method", "error"}, {"tasks", "stream", "error_type"}),
    "task_event": (
        {"state"},
        {"error", "error_type", "contributing", "less_than", "statistics"},
    ),
}


@pytest.mark.parametrize("name", ["V04", "V10", "V36", "V43"])
def test_events_are_numbered_and_have_the_documented_details(name: str) -> None:
    trace = recorded(name)
    assert [event.seq for event in trace.events] == list(range(len(trace.events)))
    assert [event.tick for event in trace.events] == sorted(event.tick for event in trace.events)
    for event in trace.events:
        least, most = OPTIONAL.get(event.kind, (DETAILS.get(event.kind), set()))
        assert least is not None, event.kind
        assert least <= set(event.details) <= least | most


def test_the_manifest_says_which_tasks_there_are_and_how_they_hang_together() -> None:
    [manifest] = [event for event in recorded("V36").events if event.kind == "manifest"]
    details = manifest.details
    assert (details["tenant"], details["actor"], details["streams"]) == (
        "acme",
        ["team", "alice"],
        7,
    )
    tasks = details["tasks"]
    assert [task["children"] for task in tasks] == [[1, 4], [2, 3], [], [], [2, 3]]
    assert [task["lane"] for task in tasks] == ["other", "scan", "scan", "scan", "scan"]
    assert [task["sinks"] for task in tasks] == [[0], [1], [3, 5], [4, 6], [2]]
    assert [task["sources"] for task in tasks] == [[1, 2], [3, 4], [], [], [5, 6]]
    assert tasks[2]["max_time_range"] == ["1970-01-01T00:00:50Z", "1970-01-01T00:01:00Z"]
    assert tasks[0]["fragment"].startswith("Batching batch_size=10\n└── TopK ")


@pytest.mark.parametrize("name", ["V04", "V10", "V36"])
def test_a_record_is_written_before_it_is_read_and_read_as_it_was_written(name: str) -> None:
    written: list[list[str]] = []
    offered: list[str] = []
    read = 0
    for event in recorded(name, rows=9).events:
        if event.kind == "write":
            offered = event.details["ids"]
            assert len(offered) == event.details["rows"]
            written.append(offered)
        elif event.kind == "write_done" and event.details["outcome"] != "taken":
            written.pop()
        elif event.kind == "read":
            assert event.details["ids"] == written[read]
            read += 1
    assert read == len(written) > 0


def test_a_reader_woken_by_an_offer_reads_after_the_write_and_before_it_is_done() -> None:
    bench = Bench()
    reader = bench.recorder.reader(bench.results)

    def wake() -> None:
        assert reader.poll() is not None

    reader.watch(wake)
    bench.writer.offer(batch())
    assert kinds(bench.recorder.trace)[-3:] == ["write", "read", "write_done"]


def batch(*numbers: int) -> pa.RecordBatch:
    return pa.record_batch([list(numbers or (1,))], names=["n"])


class Fake:
    """A runner that keeps what it is given."""

    def register_manifest(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def unregister_manifest(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def listen(self, stream: Stream, writer: Any) -> None:
        self.stream, self.writer = stream, writer

    def start(self, _tasks: Any) -> None:
        raise UnknownTask(("x",))

    def cancel(self, tasks: Any) -> None:
        """Nothing."""


def manifest_of(
    name: str = "V10",
    on_task: TaskEventHandler = lambda _task, _status: None,
    on_stream: StreamEventHandler = lambda _stream, _state: None,
) -> Manifest:
    made = Workflow(build(CASES[name])[0], InlineRunner(), ids=Identifiers(name)).manifest
    return replace(made, task_event_handler=on_task, stream_event_handler=on_stream)


class Bench:
    """A recorder over a runner that does nothing, with a manifest and its results."""

    def __init__(self) -> None:
        self.handled: list[TaskStatus] = []
        self.runner = Fake()
        self.recorder = Recorder(self.runner)
        self.manifest = manifest_of(on_task=lambda _task, status: self.handled.append(status))
        self.results = Results()
        self.recorder.register_manifest(self.manifest)
        self.recorder.listen(self.manifest.streams[0], self.results)
        self.writer = self.runner.writer

    def report(self, task: int, status: TaskStatus) -> dict[str, Any]:
        """What is recorded when the runner reports this."""
        self.runner.manifest.task_event_handler(self.manifest.tasks[task], status)
        event, done = self.recorder.trace.events[-2:]
        assert (event.kind, done.kind) == ("task_event", "task_event_done")
        assert event.subject == done.subject == f"m0/t{task}"
        assert self.handled[-1] is status
        return dict(event.details)


def test_all_that_a_status_says_is_recorded() -> None:
    bench = Bench()
    at = ContributingTimeRange(second(45), less_than=True)
    assert bench.report(0, TaskStatus(TaskState.RUNNING, contributing_time_range=at)) == {
        "state": "Running",
        "contributing": "1970-01-01T00:00:45Z",
        "less_than": True,
    }
    assert bench.report(1, TaskStatus(TaskState.FAILED, error=OSError("gone"))) == {
        "state": "Failed",
        "error": "gone",
        "error_type": "OSError",
    }
    statistics = Statistics({Statistic("rows"): 3, Statistic("slowest", Aggregation.MAX): 9})
    assert bench.report(2, TaskStatus(TaskState.COMPLETED, statistics=statistics)) == {
        "state": "Completed",
        "statistics": {"rows": 3, "slowest": 9},
    }


def test_how_an_offer_ended_is_recorded() -> None:
    bench = Bench()
    assert bench.writer.offer(batch(1))
    assert not bench.writer.offer(batch(2))
    bench.results.close()
    with pytest.raises(WriteClosed):
        bench.writer.offer(batch(3))
    outcomes = [e.details["outcome"] for e in bench.recorder.trace.events if e.kind == "write_done"]
    assert outcomes == ["taken", "full", "closed"]


@pytest.mark.parametrize(
    ("end", "kind", "details"),
    [
        (lambda results: results.finish(), "read_eof", {}),
        (
            lambda results: results.fail(OSError("no")),
            "read_error",
            {"error": "no", "error_type": "OSError"},
        ),
    ],
)
def test_what_the_reader_sees_is_recorded(
    end: Callable[[Results], object], kind: str, details: dict[str, str]
) -> None:
    bench = Bench()
    reader = bench.recorder.reader(bench.results)
    before = len(bench.recorder.trace.events)
    assert reader.poll() is None
    end(bench.results)
    with pytest.raises((EndOfStream, OSError)):
        reader.poll()
    assert bench.recorder.trace.events[before:] == [
        Event(before, 0, "read_wait", "m0/s0"),
        Event(before + 1, 0, kind, "m0/s0", details),
    ]


def test_a_refused_call_is_recorded_with_its_error_and_refused_all_the_same() -> None:
    bench = Bench()
    with pytest.raises(UnknownTask):
        bench.recorder.start(bench.manifest.tasks[1:3])
    call, back = bench.recorder.trace.events[-2:]
    assert (call.kind, call.subject) == ("call", "m0")
    assert call.details == {"method": "start", "tasks": [1, 2]}
    assert back.kind == "return"
    assert back.details == {
        "method": "start",
        "tasks": [1, 2],
        "error": "unknown tasks: x",
        "error_type": "UnknownTask",
    }


def test_a_manifest_refused_a_second_time_keeps_its_name_and_can_be_unregistered() -> None:
    recorder = Recorder(InlineRunner())
    first, second = manifest_of("V10"), manifest_of("V04")
    recorder.register_manifest(first)
    with pytest.raises(ManifestRefused):
        recorder.register_manifest(first)
    recorder.start(first.tasks[:1])
    recorder.register_manifest(second)
    recorder.start(second.tasks[:1])
    recorder.unregister_manifest(first)
    pending = [e.subject for e in recorder.trace.events if e.details.get("state") == "Pending"]
    assert pending == ["m0/t0", "m0/t0", "m1/t0", "m1/t0"]


def test_another_manifest_of_the_same_tasks_does_not_take_their_names() -> None:
    recorder = Recorder(InlineRunner())
    first = manifest_of("V10")
    recorder.register_manifest(first)
    with pytest.raises(ManifestRefused):
        recorder.register_manifest(replace(first, tasks=tuple(reversed(first.tasks))))
    recorder.start(first.tasks[:1])
    assert recorder.trace.events[-1].subject == "m0"
    assert [e.subject for e in recorder.trace.events if e.kind == "task_event"] == ["m0/t0"]


def test_a_manifest_that_names_streams_it_does_not_have_is_refused_by_the_runner() -> None:
    recorder = Recorder(InlineRunner())
    manifest = manifest_of("V10")
    with pytest.raises(ManifestRefused, match="is not in the manifest"):
        recorder.register_manifest(replace(manifest, streams=manifest.streams[:2]))
    with pytest.raises(ManifestRefused, match="is not in the manifest"):
        recorder.register_manifest(replace(manifest, tasks=manifest.tasks[:1], streams=()))
    assert kinds(recorder.trace) == ["manifest", "call", "return"] * 2
    recorder.register_manifest(manifest)  # as it should be, it is taken


def test_workflows_on_one_recorder_are_told_apart() -> None:
    runner = InlineRunner()
    recorder = Recorder(runner)
    ids = Identifiers()
    for name in ("V10", "V04"):
        workflow = Workflow(build(CASES[name])[0], recorder, ids=ids)
        for _ in runner.read(recorder.reader(workflow.run())):
            pass
    subjects = {e.subject.split("/")[0] for e in recorder.trace.events}
    assert subjects == {"m0", "m1"}
    assert {e.subject for e in recorder.trace.events if e.kind == "read_eof"} == {"m0/s0", "m1/s0"}


def test_a_trace_holds_names_of_rows_and_nothing_of_their_buffers() -> None:
    words = "correct horse battery staple"
    bench = Bench()
    rows = pa.record_batch([[words, words, None], [1, 2, 3]], names=["text", "n"])
    bench.writer.offer(rows)
    text = text_of(bench.recorder.trace)
    assert words not in text
    [write] = [e for e in bench.recorder.trace.events if e.kind == "write"]
    assert write.details == {"rows": 3, "ids": row_digests(rows)}
    assert len(set(row_digests(rows))) == 3


def test_rows_are_named_by_what_they_hold_not_by_where() -> None:
    one = pa.record_batch([[7, 8, 9]], names=["n"])
    assert row_digests(one.slice(1)) == row_digests(pa.record_batch([[8, 9]], names=["n"]))
    assert row_digests(one) != row_digests(pa.record_batch([[7, 8, 9]], names=["m"]))
    assert row_digests(one) != row_digests(pa.record_batch([["7", "8", "9"]], names=["n"]))


# The file.


@pytest.mark.parametrize("name", ["V01", "V04", "V36", "V47"])
def test_a_file_reads_back_as_the_trace_that_it_was(name: str) -> None:
    trace = recorded(name)
    twin = read_trace(io.StringIO(text_of(trace)))
    assert twin == trace
    assert text_of(twin) == text_of(trace)
    assert twin.digest() == trace.digest()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(
        st.characters() | st.characters(categories=["Cs"])
    ),  # halves of surrogate pairs too, as in names of files
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    st.lists(
        st.tuples(st.integers(0), st.text(max_size=5), st.text(max_size=5), json_values), max_size=4
    ),
)
def test_whatever_json_holds_reads_back(
    ran: dict[str, Any], events: list[tuple[int, str, str, Any]]
) -> None:
    trace = Trace(
        ran,
        [Event(n, tick, kind, who, {"x": it}) for n, (tick, kind, who, it) in enumerate(events)],
    )
    file = text_of(trace).encode()  # UTF-8, whatever it holds
    twin = read_trace(file.decode().split("\n")[:-1])
    assert twin == trace
    assert twin.digest() == trace.digest()


def test_text_that_is_no_utf_8_reads_back() -> None:
    """As in the name of a file, which Python tells with halves of surrogate pairs."""
    trace = Trace({"file": b"\xff.dat".decode(errors="surrogateescape")})
    file = text_of(trace).encode()
    assert b'{"file":"\\udcff.dat"}' in file
    assert read_trace(file.decode().splitlines()) == trace
    assert len(trace.digest()) == 32


def test_keys_are_sorted_so_that_the_order_of_details_does_not_count() -> None:
    one, other = (
        Trace({}, [Event(0, 7, "k", "m0", details)])
        for details in ({"b": 1, "a": 2}, {"a": 2, "b": 1})
    )
    assert one.digest() == other.digest()
    assert (
        text_of(one).splitlines()[1] == '{"a":2,"b":1,"kind":"k","seq":0,"subject":"m0","tick":7}'
    )


def test_equal_runs_have_equal_digests_and_others_have_not() -> None:
    assert recorded().digest() == recorded().digest()
    assert recorded().digest() == recorded(seed="other identifiers").digest()
    others = [recorded(), recorded(rows=7), recorded("V10"), Trace(), Trace({"x": 1})]
    assert len({trace.digest() for trace in others}) == len(others)


def test_any_change_changes_the_digest() -> None:
    trace = recorded("V01")
    first = trace.events[5]
    for other in (
        replace(first, tick=first.tick + 1),
        replace(first, subject="m0/t9"),
        replace(first, details={**first.details, "x": 1}),
    ):
        changed = Trace(trace.ran, [*trace.events[:5], other, *trace.events[6:]])
        assert changed.digest() != trace.digest()
    assert Trace(trace.ran, trace.events[:-1]).digest() != trace.digest()


def test_a_digest_depends_on_nothing_of_the_process() -> None:
    tests = Path(__file__).parent
    program = "from test_trace import recorded; print(recorded('V36').digest())"
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert printed == [recorded("V36").digest()] * 2


HEADER = '{"format":"windtunnel.trace","ran":{},"version":1,"versions":{}}'
EVENT = '{"kind":"k","seq":0,"subject":"m0","tick":0}'

GOLDEN: dict[str, tuple[list[str], str]] = {
    "an empty file": (
        [],
        "t.jsonl:1: got a line that is no JSON (Expecting value: line 1 column 1 (char 0))",
    ),
    "no JSON": (
        ["{'format'"],
        (
            "t.jsonl:1: got a line that is no JSON (Expecting property name enclosed in double"
            " quotes: line 1 column 2 (char 1))"
        ),
    ),
    "no object": (["[1]\n"], "t.jsonl:1: got '[1]', expected an object"),
    "another format": (
        ['{"format":"csv"}'],
        "t.jsonl:1: format: got 'csv', expected 'windtunnel.trace'",
    ),
    "no format": (
        [EVENT],
        "t.jsonl:1: format: got None, expected 'windtunnel.trace'",
    ),
    "a later version": (
        [HEADER.replace('"version":1', '"version":2')],
        "t.jsonl:1: version: got 2, expected 1",
    ),
    "a version that is no number": (
        [HEADER.replace('"version":1', '"version":true')],
        "t.jsonl:1: version: got True, expected 1",
    ),
    "ran no object": (
        [HEADER.replace('"ran":{}', '"ran":[]')],
        "t.jsonl:1: ran: got [], expected an object",
    ),
    "no versions": (
        [HEADER.replace(',"versions":{}', "")],
        "t.jsonl:1: versions: got None, expected an object",
    ),
    "a broken second line": (
        [HEADER, EVENT[:-1]],
        (
            "t.jsonl:2: got a line that is no JSON (Expecting ',' delimiter: line 1 column 44"
            " (char 43))"
        ),
    ),
    "a text for a tick": (
        [HEADER, EVENT.replace('"tick":0', '"tick":"0"')],
        "t.jsonl:2: tick: got '0', expected an integer",
    ),
    "true for a number": (
        [HEADER, EVENT.replace('"seq":0', '"seq":false')],
        "t.jsonl:2: seq: got False, expected an integer",
    ),
    "no kind": (
        [HEADER, EVENT.replace('"kind":"k",', "")],
        "t.jsonl:2: kind: got None, expected a text",
    ),
    "an event missing": (
        [HEADER, EVENT, EVENT.replace('"seq":0', '"seq":2')],
        "t.jsonl:3: seq: got 2, expected 1",
    ),
    "an event twice": (
        [HEADER, EVENT, EVENT],
        "t.jsonl:3: seq: got 0, expected 1",
    ),
    "NaN": (
        [HEADER, EVENT.replace('"tick":0', '"tick":0,"x":NaN')],
        "t.jsonl:2: got a line that is no JSON (NaN is not a number of JSON)",
    ),
    "a number too large": (
        [HEADER, EVENT.replace('"tick":0', '"tick":0,"x":-1e999')],
        "t.jsonl:2: got a line that is no JSON (-1e999 is not a number that a float can hold)",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_an_unreadable_file_names_line_and_field(name: str) -> None:
    lines, message = GOLDEN[name]
    with pytest.raises(TraceError) as refused:
        read_trace(lines, name="t.jsonl")
    assert str(refused.value) == message


def test_nesting_that_is_too_deep_is_refused_in_words() -> None:
    with pytest.raises(TraceError, match="trace:2: got a line that is no JSON"):
        read_trace([HEADER, "[" * 200_000])


def test_a_number_that_is_none_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Trace({"x": float("nan")}).digest()


@given(st.data())
def test_a_file_that_was_damaged_is_read_or_refused_in_words(data: st.DataObject) -> None:
    text = text_of(SMALL)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 40))
    text = text[:at] + data.draw(st.text('{}[]",:0-e\n\\', max_size=3)) + text[at + cut :]
    try:
        read_trace(text.split("\n")[:-1]).digest()
    except TraceError as error:
        assert str(error).startswith("trace:")  # noqa: PT017


SMALL = recorded("V01")


def test_headers_say_what_ran_and_with_what() -> None:
    header = json.loads(text_of(recorded("V10")).split("\n")[0])
    assert (header["format"], header["version"]) == ("windtunnel.trace", 1)
    assert header["ran"] == {"case": "V10"}
    assert "windtunnel" in header["versions"]


def test_a_fragment_too_large_to_draw_is_recorded_without_its_drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workflow.tree.MAX_LINES", 2)
    plan, _ = build(load_cases()["V02"])
    recorder = Recorder(InlineRunner())
    Workflow(plan, recorder)
    assert recorder.trace.events[0].details["tasks"][0]["fragment"] is None
