"""The compact notation of `data/cases.txt`: a plan, and the tasks that it is cut into.

``nodes`` gives ``id=Kind(arguments)``, ``edges`` gives ``parent > children``, and a ``task`` line
the lane, the range (seconds after the epoch), the fragment, who reads which streams, what the
root writes, and the tasks below.  Streams are numbered as the tasks' sources are met.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from workflow import Plan, Stream, Task, TaskGraph, TimeRange, Timestamp
from workflow.plan import (
    NODE_KINDS,
    Batching,
    DataObjScan,
    Node,
    PointersScan,
    RangeAggregation,
    ScanSet,
)

DATA = Path(__file__).parent / "data"
SHORT = {
    "Scan": "DataObjScan",
    "PtrScan": "PointersScan",
    "RangeAgg": "RangeAggregation",
    "VectorAgg": "VectorAggregation",
}


@dataclass
class Case:
    """One case as written."""

    name: str
    nodes: str = ""
    edges: str = ""
    tasks: list[str] = field(default_factory=list)
    error: str = ""


def load_cases() -> dict[str, Case]:
    """Every case by name."""
    cases: dict[str, Case] = {}
    case = Case("")
    for line in (DATA / "cases.txt").read_text(encoding="utf-8").splitlines():
        key, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if key == "task":
            case.tasks.append(rest)
        elif key in {"nodes", "edges", "error"}:
            setattr(case, key, rest.replace("(none)", ""))
        elif key:
            case = cases[key] = Case(key)
    return cases


def build(case: Case) -> tuple[Plan, dict[Node, str]]:
    """The plan of a case, and what its nodes are called."""
    plan = Plan()
    by_name: dict[str, Node] = {}
    for index, entry in enumerate(filter(None, re.split(r";\s*", case.nodes))):
        name, _, kind = entry.partition("=")
        by_name[name] = plan.add(_node(name, kind, index))
    for entry in filter(None, re.split(r";\s*", case.edges)):
        parent, _, children = entry.partition(" > ")
        for child in children.split():
            plan.add_edge(by_name[parent], by_name[child])
    return plan, {node: name for name, node in by_name.items()}


def _node(name: str, text: str, index: int) -> Node:
    found = re.fullmatch(r"(\w+)(?:\((.*)\)|\[(.*)\])?", text)
    assert found, text
    kind = SHORT.get(found[1], found[1])
    if kind == "ScanSet":
        return ScanSet(targets=tuple(_target(t, index) for t in (found[3] or "").split(", ") if t))
    if kind == "Batching":
        return Batching(batch_size=int(found[2]))
    bounds = _bounds(found[2] or "zero")
    if kind == "DataObjScan":
        return DataObjScan(location=name, max_time_range=bounds)
    if kind == "RangeAggregation":
        return RangeAggregation(start=bounds.start, end=bounds.end)
    return NODE_KINDS[kind]()


def _target(text: str, index: int) -> DataObjScan | PointersScan:
    found = re.fullmatch(r"(\w+)(:PtrScan)?\((.*)\)", text)
    assert found, text
    bounds = _bounds(found[3])
    if found[2]:
        return PointersScan(location=found[1], start=bounds.start, end=bounds.end)
    # The section tells a shard whose target it was.
    return DataObjScan(location=found[1], section=index, max_time_range=bounds)


def second(n: int) -> Timestamp:
    """`n` seconds after the epoch."""
    return Timestamp(n * 1_000_000_000)


def _bounds(text: str) -> TimeRange:
    if text == "zero":
        return TimeRange()
    start, end = text.split("..")
    return TimeRange(second(int(start)), second(int(end)))


def describe(tasks: TaskGraph, names: dict[Node, str]) -> list[str]:
    """The tasks in the notation."""
    order = {task: f"T{i}" for i, task in enumerate(tasks.preorder(), 1)}
    streams: dict[Stream, str] = {}
    for task in order:
        for stream in task.source_streams():
            streams[stream] = f"s{len(streams) + 1}"
    return [_describe(task, tasks, order, streams, names) for task in order]


def _describe(
    task: Task,
    tasks: TaskGraph,
    order: dict[Task, str],
    streams: dict[Stream, str],
    names: dict[Node, str],
) -> str:
    bounds = task.max_time_range
    shown = (
        "zero"
        if bounds.start is None or bounds.end is None
        else f"{bounds.start.ns // 10**9}..{bounds.end.ns // 10**9}"
    )
    parts = [f"{order[task]} {task.lane} {shown} : {_fragment(task, names)}"]
    if task.sources:
        reads = (
            f"{names[node]}<{','.join(streams[s] for s in of_node)}"
            for node, of_node in task.sources.items()
        )
        parts.append("in " + " ".join(reads))
    written = [streams[s] for s in task.sink_streams() if s in streams]
    if written:
        parts.append("out " + ",".join(written))
    if tasks.children(task):
        parts.append("kids " + ",".join(order[child] for child in tasks.children(task)))
    return " | ".join(parts)


def _fragment(task: Task, names: dict[Node, str]) -> str:
    fragment = task.fragment
    seen: dict[Node, None] = {}

    def show(node: Node) -> str:
        if node in names:
            name = names[node]
        elif isinstance(node, Batching):
            name = f"B{node.batch_size}"
        else:
            assert isinstance(node, DataObjScan | PointersScan)
            name = f"{_owner(node, names)}/{node.location}"
        if node in seen:
            return f"^{name}"
        seen[node] = None
        children = ", ".join(show(child) for child in fragment.children(node))
        return f"{name}{{{children}}}" if children else name

    return show(fragment.root())


def _owner(shard: DataObjScan | PointersScan, names: dict[Node, str]) -> str:
    return next(
        name
        for node, name in names.items()
        if isinstance(node, ScanSet)
        and any(_place(target) == _place(shard) for target in node.targets)
    )


def _place(scan: DataObjScan | PointersScan) -> tuple[str, int]:
    return scan.location, scan.section if isinstance(scan, DataObjScan) else 0
