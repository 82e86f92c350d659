"""Data objects in memory: those of the vectors, and small ones written by hand."""

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow.plan import DataObjScan, Node, Plan, ScanSet
from workflow.times import Timestamp

DATA = Path(__file__).parent / "data"

Line = dict[str, Any]
Objects = dict[tuple[str, int], pa.Table]


@cache
def vector_lines() -> list[Line]:
    """The lines that the reference read."""
    text = (DATA / "input.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def vector_cases() -> list[dict[str, Any]]:
    """The queries over them, each with its plan and the rows that the reference answered."""
    text = (DATA / "results.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def stored(lines: Iterable[Line]) -> pa.Table:
    """Lines as one section in storage form.  A time is RFC 3339, or seconds since the epoch."""
    rows = sorted(lines, key=lambda line: (line.get("stream_id", 1), -_ns(line)))
    columns = {
        "stream_id": pa.array([line.get("stream_id", 1) for line in rows], pa.int64()),
        "timestamp": pa.array([_ns(line) for line in rows], pa.timestamp("ns", "UTC")),
        "message": pa.array([line.get("line", "") for line in rows], pa.string()),
    }
    for field, kind in (("labels", "label"), ("metadata", "metadata")):
        for name in sorted({name for line in rows for name in line.get(field, {})}):
            values = [line.get(field, {}).get(name) for line in rows]
            columns[f"{kind}.{name}"] = pa.array(values, pa.string())
    return pa.table(columns)


def _ns(line: Line) -> int:
    time = line["timestamp"]
    return Timestamp.parse(time).ns if isinstance(time, str) else int(time * 10**9)


def objects_of(lines: Iterable[Line], places: Iterable[int]) -> Objects:
    """Objects of one section each, every line in the object of its place."""
    groups: dict[int, list[Line]] = {}
    for line, place in zip(lines, places, strict=False):
        groups.setdefault(place, []).append(line)
    return {(f"objects/{name}", 0): stored(group) for name, group in sorted(groups.items())}


def over(plan: Plan, objects: Iterable[tuple[str, int]]) -> Plan:
    """The plan with these objects as the targets of every ScanSet."""
    targets = tuple(DataObjScan(location=name, section=section) for name, section in objects)
    nodes: dict[Node, Node] = {
        node: replace(node, targets=targets) if isinstance(node, ScanSet) else node for node in plan
    }
    changed = Plan()
    for node in nodes.values():
        changed.add(node)
    for parent, child in plan.edges():
        changed.add_edge(nodes[parent], nodes[child])
    return changed


def chain(*nodes: Node) -> Plan:
    """A plan in which each node is the only input of the one before it."""
    plan = Plan()
    for node in nodes:
        plan.add(node)
    for parent, child in pairwise(nodes):
        plan.add_edge(parent, child)
    return plan
