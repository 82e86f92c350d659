"""The Trace Event Format, checked by its rules: what the Perfetto UI needs of a file."""

import json
from collections import Counter
from typing import Any

import pytest
from shown_runs import demo, failing, hostile, large, recorded

from scenarios.report.perfetto import perfetto_of
from scenarios.report.shown import Shown
from workflow.trace import Event

Entry = dict[str, Any]

METADATA = {
    "process_name": ("name", str),
    "process_sort_index": ("sort_index", int),
    "thread_name": ("name", str),
    "thread_sort_index": ("sort_index", int),
}


def entries_of(shown: Shown) -> list[Entry]:
    """The events of the file."""
    file = json.loads(perfetto_of(shown))
    assert set(file) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert file["displayTimeUnit"] in ("ms", "ns")
    found: list[Entry] = file["traceEvents"]
    return found


def problems(entries: list[Entry]) -> list[str]:
    """What breaks a rule of the format."""
    found = []
    for place, entry in enumerate(entries):
        found += [f"{place}: {problem}" for problem in _problems(entry)]
    return found + _nesting(entries) + _flows(entries) + _names(entries)


def _problems(entry: Entry) -> list[str]:
    found = []
    if entry.get("ph") not in ("X", "i", "C", "M", "s", "f"):
        found.append(f"ph {entry.get('ph')!r}")
    if not isinstance(entry.get("name"), str):
        found.append("no name")
    numbers = {key: entry.get(key) for key in ("ts", "pid", "tid")}
    found += [f"{key} {n!r}" for key, n in numbers.items() if type(n) is not int or n < 0]
    if entry["ph"] == "X" and (type(entry.get("dur")) is not int or entry["dur"] < 0):
        found.append(f"dur {entry.get('dur')!r}")
    if entry["ph"] == "i" and entry.get("s") not in ("g", "p", "t"):
        found.append(f"scope {entry.get('s')!r}")
    if entry["ph"] == "C":
        values = entry.get("args", {}).values()
        if not values or not all(type(value) is int for value in values):
            found.append(f"counter {entry.get('args')!r}")
    if entry["ph"] == "M":
        key, kind = METADATA.get(entry["name"], ("", object))
        if set(entry.get("args", {})) != {key} or type(entry["args"][key]) is not kind:
            found.append(f"metadata {entry!r}")
    return found


def _nesting(entries: list[Entry]) -> list[str]:
    """Slices of one thread lie in each other or beside each other."""
    found = []
    threads: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for entry in entries:
        if entry["ph"] == "X":
            span = (entry["ts"], entry["ts"] + entry["dur"])
            threads.setdefault((entry["pid"], entry["tid"]), []).append(span)
    for thread, spans in threads.items():
        open_: list[tuple[int, int]] = []
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_ and open_[-1][1] <= start:
                open_.pop()
            if open_ and end > open_[-1][1]:
                found.append(f"{thread}: {start}-{end} crosses {open_[-1]}")
            open_.append((start, end))
    return found


def _flows(entries: list[Entry]) -> list[str]:
    """Each flow begins once and ends once, later, and both ends lie in a slice."""
    found = []
    ends: dict[tuple[str, int], dict[str, Entry]] = {}
    slices: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for entry in entries:
        if entry["ph"] == "X":
            span = (entry["ts"], entry["ts"] + entry["dur"])
            slices.setdefault((entry["pid"], entry["tid"]), []).append(span)
        elif entry["ph"] in ("s", "f"):
            flow = ends.setdefault((entry["cat"], entry["id"]), {})
            if entry["ph"] in flow:
                found.append(f"flow {entry['id']} has two of {entry['ph']}")
            flow[entry["ph"]] = entry
    for name, flow in ends.items():
        if set(flow) != {"s", "f"}:
            found.append(f"flow {name} has {set(flow)}")
            continue
        if flow["s"]["ts"] > flow["f"]["ts"] or flow["s"]["name"] != flow["f"]["name"]:
            found.append(f"flow {name} goes back, or changes its name")
        if flow["f"].get("bp") != "e":
            found.append(f"flow {name} is bound to the next slice")
        for entry in flow.values():
            spans = slices.get((entry["pid"], entry["tid"]), [])
            if not any(start <= entry["ts"] <= end for start, end in spans):
                found.append(f"flow {name}: {entry['ph']} lies in no slice")
    return found


def _names(entries: list[Entry]) -> list[str]:
    """Each thread that something happens on, and its process, has one name."""
    named = Counter(
        (entry["name"], entry["pid"], entry["tid"]) for entry in entries if entry["ph"] == "M"
    )
    found = [f"{key} twice" for key, count in named.items() if count > 1]
    for entry in entries:
        pid, tid = entry["pid"], entry["tid"]
        if ("process_name", pid, 0) not in named:
            found.append(f"process {pid} has no name")
        if entry["ph"] in ("X", "i", "s", "f") and ("thread_name", pid, tid) not in named:
            found.append(f"thread {pid}/{tid} has no name")
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("make", [demo, failing, hostile, large, recorded])
def test_a_file_keeps_the_rules_of_the_format(make: Any) -> None:
    assert problems(entries_of(make())) == []


def spoiled(entries: list[Entry], spoil: str) -> list[Entry]:
    """The same with one thing wrong."""
    copy: list[Entry] = json.loads(json.dumps(entries))
    flow = next(entry for entry in copy if entry["ph"] == "f")
    piece = next(entry for entry in copy if entry["ph"] == "X" and entry["dur"] > 1000)
    match spoil:
        case "flow":
            copy.remove(flow)
        case "flow goes back":
            flow["ts"] = 0
        case "flow without a slice":
            flow["tid"] = 999
        case "duration":
            del piece["dur"]
        case "float":
            piece["ts"] = 0.5
        case "crossing":
            copy.append({**piece, "ts": piece["ts"] + 1})
        case "name":
            copy.remove(next(entry for entry in copy if entry["name"] == "thread_name"))
        case "counter":
            next(entry for entry in copy if entry["ph"] == "C")["args"] = {"count": "many"}
    return copy


@pytest.mark.parametrize(
    "spoil",
    [
        "flow",
        "flow goes back",
        "flow without a slice",
        "duration",
        "float",
        "crossing",
        "name",
        "counter",
    ],
)
def test_what_breaks_a_rule_is_noticed(spoil: str) -> None:
    if spoil in ("duration", "float"):
        assert any(map(_problems, spoiled(entries_of(demo()), spoil)))
    else:
        assert problems(spoiled(entries_of(demo()), spoil)) != []


def test_a_slot_is_a_thread_and_an_attempt_a_slice_with_its_states_inside() -> None:
    entries = entries_of(demo())
    [slots] = [e["pid"] for e in entries if e["ph"] == "M" and e["args"].get("name") == "Slots"]
    names = {e["tid"]: e["args"]["name"] for e in entries if _is_name(e, slots)}
    assert names[1] == "w0 slot 0"
    pieces = [e for e in entries if e["ph"] == "X" and e["pid"] == slots and e["tid"] == 1]
    [attempt] = [each for each in pieces if each["name"] == "m0/t2"]
    inside = [
        each["name"]
        for each in pieces
        if each is not attempt
        and attempt["ts"] <= each["ts"]
        and each["ts"] + each["dur"] <= attempt["ts"] + attempt["dur"]
    ]
    assert inside == ["Running", "Blocked", "Running"]


def _is_name(entry: Entry, pid: int) -> bool:
    return (entry["ph"], entry["name"], entry["pid"]) == ("M", "thread_name", pid)


def test_each_batch_that_was_received_is_a_flow() -> None:
    for make in (demo, large):
        shown = make()
        received = sum(event.kind == "receive" for event in shown.events)
        flows = sum(entry["ph"] == "s" for entry in entries_of(shown))
        assert flows == received > 0


def test_what_a_recorded_reader_reads_is_a_flow_from_the_root() -> None:
    entries = entries_of(recorded())
    [start] = [entry for entry in entries if entry["ph"] == "s"]
    [end] = [entry for entry in entries if entry["ph"] == "f"]
    threads = {
        (e["pid"], e["tid"]): e["args"]["name"] for e in entries if e["name"] == "thread_name"
    }
    assert threads[start["pid"], start["tid"]] == "m0/t0 Merge"
    assert threads[end["pid"], end["tid"]] == "reader of m0"


def test_a_broken_rule_is_an_instant_over_all_threads() -> None:
    [broken, *_] = [entry for entry in entries_of(failing()) if entry.get("s") == "g"]
    assert broken["name"] == "A1 broken"
    assert broken["ts"] == 5852


def test_the_same_run_gives_the_same_bytes() -> None:
    first = perfetto_of(demo())
    demo.cache_clear()
    assert perfetto_of(demo()) == first


def test_a_run_of_one_event_is_a_file_too() -> None:
    shown = Shown(name="x", title="x", broken=False, events=[Event(0, 0, "end", "run")])
    assert problems(entries_of(shown)) == []
