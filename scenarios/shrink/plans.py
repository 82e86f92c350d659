"""Smaller plans: fewer workloads, scans, branches and nodes, and less said of each."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from functools import partial
from typing import Any, Final, TypeVar

from scenarios.shrink.names import Edit, manifests, matched_tasks
from scenarios.shrink.passes import fewest, lowest
from scenarios.shrink.trial import Trial
from workflow import GraphError
from workflow.plan import DataObjScan, Node, Parallelize, Plan, PointersScan, ScanSet

__all__ = [
    "drop_nodes",
    "drop_targets",
    "drop_workloads",
    "lower_numbers",
    "rebuilt",
    "simplify_nodes",
]

_N = TypeVar("_N", bound=Node)
_Target = DataObjScan | PointersScan
_TARGETS: Final = (DataObjScan, PointersScan)

_TASK: Final = re.compile(r"\bm(\d+)/([ts])(\d+)")


def drop_workloads(trial: Trial, *, seeds: int = 0) -> None:
    """All but those that it takes."""
    scenario = trial.best.scenario
    there = list(range(len(scenario.workloads)))

    def keep(kept: list[int]) -> bool:
        nonlocal there
        if not kept:
            return False
        best = trial.best.scenario
        moves = {there.index(number): place for place, number in enumerate(kept)}
        faults = [
            (
                place,
                replace(fault, workload=None if fault.workload is None else moves[fault.workload]),
            )
            for place, fault in enumerate(best.faults)
            if fault.workload is None or fault.workload in moves
        ]
        edit = Edit(
            replace(
                best,
                workloads=tuple(best.workloads[old] for old in moves),
                faults=tuple(fault for _, fault in faults),
            ),
            workloads=moves,
            faults={old: new for new, (old, _) in enumerate(faults)},
        )
        if trial.edit(edit, seeds=seeds):
            there = kept
            return True
        return False

    fewest(there, keep)


def drop_targets(trial: Trial, *, seeds: int = 0) -> None:
    """Of the scan sets; at first all that the violation has nothing to do with."""
    for place in range(len(trial.best.scenario.workloads)):
        targets = list(_targets(_plan(trial, place)))
        if not targets:
            continue
        near = _near(trial, place)
        last = [each for each in targets if _scan_key(each) in near]
        first = [each for each in targets if _scan_key(each) not in near]
        keep = partial(_keep_targets, trial, place, seeds=seeds)
        if first and last:
            keep(last)
        there = [each for each in (*first, *last) if each in _targets(_plan(trial, place))]
        fewest(there, keep, left=partial(_targets_of, trial, place))


def drop_nodes(trial: Trial, *, seeds: int = 0) -> None:
    """A node below as the root; a branch less; a node less between two others."""
    for place in range(len(trial.best.scenario.workloads)):
        _promote(trial, place, seeds)
        _prune(trial, place, seeds)
        _splice(trial, place, seeds)


def simplify_nodes(trial: Trial) -> None:
    """A scan set of one as the scan itself; of nodes only what must be said; short names."""
    for place in range(len(trial.best.scenario.workloads)):
        for node in list(_plan(trial, place)):
            if isinstance(node, ScanSet) and len(node.targets) == 1:
                _unwrap(trial, place, node)
        for node in list(_plan(trial, place)):
            if node in _plan(trial, place):
                _defaults(trial, place, node)
        _rename(trial, place)


def lower_numbers(trial: Trial) -> None:
    """How many rows nodes keep, leave out and the like."""
    for place in range(len(trial.best.scenario.workloads)):
        for node in list(_plan(trial, place)):
            numbers = [each.name for each in fields(node) if type(getattr(node, each.name)) is int]
            for name in numbers:
                if node in _plan(trial, place):
                    _Number(trial, place, node, name).lower()


class _Number:
    """A number of a node, to be brought down."""

    def __init__(self, trial: Trial, place: int, node: Node, name: str) -> None:
        self._trial = trial
        self._place = place
        self._node = node
        self._name = name

    def lower(self) -> None:
        """As far as it goes."""
        lowest(getattr(self._node, self._name), 0, self._attempt)

    def _attempt(self, number: int) -> bool:
        changes: dict[str, Any] = {self._name: number}
        new = replace(self._node, **changes)
        if _edit(self._trial, self._place, swapped={self._node: new}):
            self._node = new
            return True
        return False


def _rename(trial: Trial, place: int) -> None:
    """Short names for what is scanned."""
    plan = _plan(trial, place)
    short: dict[str, str] = {}
    for node in plan.preorder():
        for each in node.targets if isinstance(node, ScanSet) else (node,):
            if isinstance(each, _TARGETS):
                short.setdefault(each.location, _letters(len(short)))
    swapped: dict[Node, Node] = {}
    for node in plan:
        if isinstance(node, ScanSet):
            targets = tuple(replace(each, location=short[each.location]) for each in node.targets)
            swapped[node] = replace(node, targets=targets)
        elif isinstance(node, _TARGETS):
            swapped[node] = replace(node, location=short[node.location])
    # Nothing else changes, so all choices keep their names.
    best = trial.best.scenario
    workload = replace(best.workloads[place], plan=rebuilt(plan, swapped=swapped))
    workloads = (*best.workloads[:place], workload, *best.workloads[place + 1 :])
    trial.run(replace(best, workloads=workloads), trial.best.choices)


def _letters(number: int) -> str:
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def _plan(trial: Trial, place: int) -> Plan:
    return trial.best.scenario.workloads[place].plan


def _targets(plan: Plan) -> dict[_Target, None]:
    return {t: None for node in plan if isinstance(node, ScanSet) for t in node.targets}


def _targets_of(trial: Trial, place: int) -> dict[_Target, None]:
    return _targets(_plan(trial, place))


def rebuilt(
    plan: Plan,
    *,
    root: Node | None = None,
    children: Mapping[Node, list[Node]] | None = None,
    swapped: Mapping[Node, Node] | None = None,
) -> Plan:
    """What can be reached from the root, some nodes with other children, some as other nodes."""
    children, swapped = children or {}, swapped or {}
    start = plan.root() if root is None else root
    reached = {start: None}
    stack = [start]
    while stack:
        node = stack.pop()
        for child in children.get(node, plan.children(node)):
            if child not in reached:
                reached[child] = None
                stack.append(child)
    new = Plan()
    order = [node for node in plan if node in reached]
    for node in order:
        new.add(swapped.get(node, node))
    for node in order:
        for child in children.get(node, plan.children(node)):
            new.add_edge(swapped.get(node, node), swapped.get(child, child))
    new.ids = {swapped.get(node, node): plan.ids[node] for node in order if node in plan.ids}
    return new


def _edit(
    trial: Trial,
    place: int,
    *,
    root: Node | None = None,
    children: Mapping[Node, list[Node]] | None = None,
    swapped: Mapping[Node, Node] | None = None,
    seeds: int = 0,
) -> bool:
    """Try another plan for a workload, see `rebuilt`."""
    best = trial.best.scenario
    old = best.workloads[place].plan
    plan = rebuilt(old, root=root, children=children, swapped=swapped)
    if _idle(plan) > _idle(old):
        return False
    origins = {new: node for node, new in (swapped or {}).items()}
    try:
        tasks = matched_tasks(trial.shape(old), trial.shape(plan), origins)
    except GraphError:  # a plan that cannot be cut
        return False
    faults = []
    for number, fault in enumerate(best.faults):
        if fault.task is not None and fault.workload in (None, place):
            if fault.task not in tasks:
                continue
            faults.append((number, replace(fault, task=tasks[fault.task])))
        else:
            faults.append((number, fault))
    workload = replace(best.workloads[place], plan=plan, plan_name="", query="")
    scenario = replace(
        best,
        workloads=(*best.workloads[:place], workload, *best.workloads[place + 1 :]),
        faults=tuple(fault for _, fault in faults),
    )
    moved = {number: new for new, (number, _) in enumerate(faults)}
    return trial.edit(Edit(scenario, faults=moved, origins=origins), seeds=seeds)


def _idle(plan: Plan) -> int:
    """How many nodes have nothing to read: no plan of a real query has such a node."""
    return sum(
        not (node.targets if isinstance(node, ScanSet) else node.scan) for node in plan.leaves()
    )


def _keep_targets(trial: Trial, place: int, kept: list[_Target], *, seeds: int) -> bool:
    plan, keep = _plan(trial, place), dict.fromkeys(kept)
    swapped: dict[Node, Node] = {}
    empty: dict[Node, None] = {}
    for node in plan:
        if isinstance(node, ScanSet):
            targets = tuple(target for target in node.targets if target in keep)
            if len(targets) < len(node.targets):
                swapped[node] = replace(node, targets=targets)
            if not targets:
                empty[node] = None
    if not swapped:
        return False
    children = _without(plan, empty)
    return _edit(trial, place, swapped=swapped, children=children, seeds=seeds)


def _without(plan: Plan, gone: dict[Node, None]) -> dict[Node, list[Node]]:
    """Each node's inputs, where some are gone, and with them those that have no other input."""
    children: dict[Node, list[Node]] = {}
    for node in plan.walk(plan.root(), order="post"):
        inputs = plan.children(node)
        children[node] = [each for each in inputs if each not in gone]
        if inputs and not children[node]:
            gone[node] = None
    return children


def _promote(trial: Trial, place: int, seeds: int) -> None:
    """The lowest nodes first: what is above goes with all its other branches."""
    went = True
    while went:
        went = False
        plan = _plan(trial, place)
        for node in plan.walk(plan.root(), order="post"):
            if node is not plan.root() and _edit(trial, place, root=node, seeds=seeds):
                went = True
                break


def _prune(trial: Trial, place: int, seeds: int) -> None:
    """One input less for a node that has several."""
    went = True
    while went:
        went = False
        plan = _plan(trial, place)
        for node in plan.preorder():
            inputs = plan.children(node)
            for child in inputs if len(inputs) > 1 else ():
                rest = [each for each in inputs if each is not child]
                if _edit(trial, place, children={node: rest}, seeds=seeds):
                    went = True
                    break
            if went:
                break


def _splice(trial: Trial, place: int, seeds: int) -> None:
    """Nodes from between those above and those below."""
    plan = _plan(trial, place)
    inner = [node for node in plan.preorder() if plan.parents(node) and plan.children(node)]

    def keep(kept: list[Node]) -> bool:
        plan = _plan(trial, place)
        gone = {node: None for node in inner if node in plan and node not in kept}
        if not gone:
            return False
        below: dict[Node, list[Node]] = {}
        for node in plan.walk(plan.root(), order="post"):
            through: dict[Node, None] = {}
            for child in plan.children(node):
                through.update(dict.fromkeys(below[child] if child in gone else [child]))
            below[node] = list(through)
        children = {node: below[node] for node in plan if node not in gone}
        return _edit(trial, place, children=children, seeds=seeds)

    fewest(inner, keep)


def _unwrap(trial: Trial, place: int, node: ScanSet) -> None:
    """Of one target, the scan itself; without the sharding above it, if that goes too."""
    plan = _plan(trial, place)
    [target] = node.targets
    scan = replace(target)
    children = {
        parent: [
            below
            for child in plan.children(parent)
            for below in (plan.children(child) if isinstance(child, Parallelize) else [child])
        ]
        for parent in plan
    }
    if not _edit(trial, place, swapped={node: scan}, children=children):
        _edit(trial, place, swapped={node: scan})


def _defaults(trial: Trial, place: int, node: Node) -> None:
    """All of a node's fields, then one by one; the same for each target of a scan set."""
    for simpler in _simpler(node):
        if _edit(trial, place, swapped={node: simpler}):
            node = simpler
    if isinstance(node, ScanSet):
        for index in range(len(node.targets)):
            for other in _simpler(node.targets[index]):
                targets = (*node.targets[:index], other, *node.targets[index + 1 :])
                new = replace(node, targets=targets)
                if _edit(trial, place, swapped={node: new}):
                    node = new


def _simpler(node: _N) -> Iterator[_N]:
    """Without anything that is said of it, then one field after the other."""
    said = {
        each.name: each.default
        for each in fields(node)
        if each.name not in ("location", "section", "targets")
        and each.default is not MISSING
        and getattr(node, each.name) != each.default
    }
    if len(said) > 1:
        yield replace(node, **said)
    for name, default in said.items():
        yield replace(node, **{name: default})


def _near(trial: Trial, place: int) -> dict[object, None]:
    """What the tasks that the violation is about scan, with those that read them."""
    scenario, shape = trial.best.scenario, trial.shape(_plan(trial, place))
    number = manifests(scenario).index(place)
    near: dict[object, None] = {}
    for manifest, kind, index in _TASK.findall(trial.proof()):
        if int(manifest) != number:
            continue
        tasks = (int(index),) if kind == "t" else shape.streams[int(index)]
        for task in tasks:
            if 0 <= task < shape.tasks:
                near.update(dict.fromkeys(shape.anchors[task]))
    return near


def _scan_key(node: Node) -> object:
    return (node.kind, getattr(node, "location", ""), getattr(node, "section", 0), 0)
