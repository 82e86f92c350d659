"""Choices that go along when a scenario changes: who is called what before and after.

A choice is named after tasks, streams, workers, clients and faults, and these are numbered.  Take
one of them away and the others move up.  `Edit` says what became of each; `renamed` gives the
choices the names that they have in the new scenario, and drops those about what is gone.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sim.choices import Tame
from sim.faults import Faults
from sim.scenario import Fault, Scenario
from workflow import Plan, Stream, Task, partition
from workflow.identifiers import Identifiers
from workflow.partition import attach_results
from workflow.plan import DataObjScan, Node, PointersScan

__all__ = ["Edit", "Shape", "manifests", "matched_tasks", "renamed", "shape_of"]

_NAMES: Final = re.compile(r"\bm(\d+)/([ts])(\d+)|\bm(\d+)\b|\bw(\d+)\b|\bclient (\d+)\b")


@dataclass(frozen=True, slots=True)
class Shape:
    """The tasks of a plan in the manifest's order, and their streams."""

    anchors: tuple[tuple[object, ...], ...]  # of each task, what it is known by in another plan
    streams: tuple[tuple[int, int], ...]  # sender and reader; a reader of -1 is the client
    parents: tuple[tuple[int, ...], ...]  # of each task, those that read it

    @property
    def tasks(self) -> int:
        """How many."""
        return len(self.anchors)


@dataclass(frozen=True, slots=True)
class Edit:
    """A new scenario, and what became of what the old one had; None: all stayed as they were."""

    scenario: Scenario
    workloads: Mapping[int, int] | None = None  # places, old to new; who is missing is gone
    workers: Mapping[int, int] | None = None
    faults: Mapping[int, int] | None = None
    origins: Mapping[Node, Node] = field(default_factory=dict)  # new nodes to old ones


def shape_of(plan: Plan) -> Shape:
    """Cut a plan as a workflow would.  Raises GraphError for one that cannot be cut."""
    graph = partition(plan)
    results = attach_results(graph, ids=Identifiers())
    tasks = tuple(graph.preorder())
    number = {task: index for index, task in enumerate(tasks)}
    sender: dict[Stream, int] = {}
    reader: dict[Stream, int] = {}
    for index, task in enumerate(tasks):
        sender.update((stream, index) for stream in task.sink_streams())
        reader.update((stream, index) for stream in task.source_streams())
    streams = (results, *(stream for task in tasks for stream in task.source_streams()))
    seen: dict[object, int] = {}
    return Shape(
        anchors=tuple(tuple(_anchors(task, plan, seen)) for task in tasks),
        streams=tuple((sender.get(each, -1), reader.get(each, -1)) for each in streams),
        parents=tuple(tuple(number[each] for each in graph.parents(task)) for task in tasks),
    )


def _anchors(task: Task, plan: Plan, seen: dict[object, int]) -> Iterator[object]:
    """Scans by what they read, since sharding makes new nodes of them; else the plan's nodes."""
    scans = [n for n in task.fragment.preorder() if isinstance(n, (DataObjScan, PointersScan))]
    for node in scans:
        key = (node.kind, node.location, getattr(node, "section", 0))
        seen[key] = seen.get(key, -1) + 1
        yield (*key, seen[key])
    if all(node in plan for node in scans):  # else the others are in every shard
        yield from (node for node in task.fragment.preorder() if node in plan)


def manifests(scenario: Scenario) -> list[int]:
    """The workload of each manifest: manifests are numbered in the order of arrival."""
    workloads = scenario.workloads
    return sorted(range(len(workloads)), key=lambda place: (workloads[place].arrival, place))


def renamed(
    choices: Mapping[str, int], old: Scenario, edit: Edit, shape: Callable[[Plan], Shape]
) -> dict[str, int]:
    """The same choices under the names that they have in the new scenario."""
    names = _Names(old, edit, shape)
    new: dict[str, int] = {}
    for decision, answer in choices.items():
        name = names.of_decision(decision)
        if name is not None:
            new.setdefault(name, answer)
    return new


class _Names:
    """Old names to new ones; None for what is gone."""

    def __init__(self, old: Scenario, edit: Edit, shape: Callable[[Plan], Shape]) -> None:
        new = edit.scenario
        self.workers = edit.workers
        self.workloads = _or_same(edit.workloads, len(old.workloads))
        places = {place: number for number, place in enumerate(manifests(new))}
        self.manifests = {
            number: places[self.workloads[place]]
            for number, place in enumerate(manifests(old))
            if place in self.workloads
        }
        self.tasks: dict[tuple[int, int], int] = {}  # of a manifest's old number
        self.streams: dict[tuple[int, int], int] = {}
        for number, place in enumerate(manifests(old)):
            if place in self.workloads:
                before = old.workloads[place].plan
                after = new.workloads[self.workloads[place]].plan
                if before is not after:
                    tasks, streams = _matched(shape(before), shape(after), edit.origins)
                    self.tasks.update(((number, k), v) for k, v in tasks.items())
                    self.streams.update(((number, k), v) for k, v in streams.items())
                else:
                    self.tasks.update(((number, k), k) for k in range(shape(before).tasks))
                    self.streams.update(((number, k), k) for k in range(len(shape(before).streams)))
        faults = _or_same(edit.faults, len(old.faults))
        before_labels, after_labels = _labels(old.faults), _labels(new.faults)
        self.labels = {
            label: after_labels[faults[index]] if index in faults else None
            for index, label in enumerate(before_labels)
        }

    def of_decision(self, decision: str) -> str | None:
        site, _, key = decision.partition(":")
        if site == "node":  # named after all who send, of whom some may be gone
            parts = [self._replaced(part) for part in key.split("+")]
            return f"{site}:{'+'.join(part for part in parts if part is not None)}"
        for label in sorted(self.labels, key=len, reverse=True):
            if key.startswith(label) and key[len(label) : len(label) + 1] in ("", "/", "#"):
                new = self.labels[label]
                rest = self._replaced(key[len(label) :])
                return None if new is None or rest is None else f"{site}:{new}{rest}"
        name = self._replaced(key)
        return None if name is None else f"{site}:{name}"

    def _replaced(self, text: str) -> str | None:
        gone = False

        def replace(match: re.Match[str]) -> str:
            nonlocal gone
            name = self._name(match)
            gone = gone or name is None
            return name or ""

        new = _NAMES.sub(replace, text)
        return None if gone else new

    def _name(self, match: re.Match[str]) -> str | None:
        manifest, kind, number, alone, worker, client = match.groups()
        if worker is not None:
            new = int(worker) if self.workers is None else self.workers.get(int(worker))
            return None if new is None else f"w{new}"
        if client is not None:
            new = self.workloads.get(int(client))
            return None if new is None else f"client {new}"
        new = self.manifests.get(int(manifest or alone))
        if new is None or alone is not None:
            return None if new is None else f"m{new}"
        known = self.tasks if kind == "t" else self.streams
        place = known.get((int(manifest), int(number)))
        return None if place is None else f"m{new}/{kind}{place}"


def _or_same(mapping: Mapping[int, int] | None, count: int) -> Mapping[int, int]:
    return {place: place for place in range(count)} if mapping is None else mapping


def _labels(faults: tuple[Fault, ...]) -> list[str]:
    named = Faults(faults, Tame(), lambda _fault, _subject: None)
    return [named.label(index) for index in range(len(faults))]


def matched_tasks(old: Shape, new: Shape, origins: Mapping[Node, Node]) -> dict[int, int]:
    """The tasks of an old plan to those of a new one; ``origins``: new nodes to old ones."""
    place: dict[object, int] = {}
    for index, anchors in enumerate(new.anchors):
        for anchor in anchors:
            origin = origins.get(anchor, anchor) if isinstance(anchor, Node) else anchor
            place.setdefault(origin, index)
    tasks: dict[int, int] = {}
    for index, anchors in enumerate(old.anchors):
        found = next((place[anchor] for anchor in anchors if anchor in place), None)
        if found is not None:
            tasks[index] = found
    return tasks


def _matched(
    old: Shape, new: Shape, origins: Mapping[Node, Node]
) -> tuple[dict[int, int], dict[int, int]]:
    """Tasks and streams of an old plan to those of a new one."""
    tasks = matched_tasks(old, new, origins)
    ends: dict[tuple[int, int], list[int]] = {}
    for index, pair in enumerate(new.streams):
        ends.setdefault(pair, []).append(index)
    streams: dict[int, int] = {}
    for index, (sender, reader) in enumerate(old.streams):
        pair = (tasks.get(sender, -2), -1 if reader == -1 else tasks.get(reader, -2))
        if ends.get(pair):
            streams[index] = ends[pair].pop(0)
    return tasks, streams
