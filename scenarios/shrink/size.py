"""Which of two failing runs is the smaller one: one order for plan, cluster, faults and schedule.

Compared field by field, in the order in which a reader meets them: first how much there is to
look at (tasks, workers, faults, choices), then how much has to be said about it (settings that are
not the defaults), then plain amounts.  A field may grow where one before it falls: a plan with a
task less is worth a choice more.  Each step of shrinking makes the run smaller in this order, and
every field is a count, so shrinking comes to an end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, Final

from sim.latency import Constant, Latency
from sim.scenario import Client, Cluster, Fault, Scenario, Workload
from workflow import Options
from workflow.plan import DataObjScan, Node, Plan, PointersScan, ScanSet

__all__ = ["Size", "size_of"]

_ALL: Final = 10**9  # rows: more than any section has


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """How large a failing run is; compared from the first field on."""

    tasks: int
    workloads: int
    workers: int
    faults: int
    choices: int  # answers that are not the tamest
    answers: int  # their sum
    nodes: int  # of the plans, the targets of scan sets and what is said of each included
    settings: int  # what is said that is not the default
    rows: int  # of all scans
    amounts: int  # ticks, factors and numbers of what is said
    events: int  # of the trace, until the rule is violated

    @property
    def rough(self) -> tuple[int, ...]:
        """The same without plain amounts, which may fall by one a hundred times."""
        return (
            *(self.tasks, self.workloads, self.workers, self.faults),
            *(self.choices, self.nodes, self.settings, self.rows),
        )


def size_of(scenario: Scenario, choices: Mapping[str, int], *, tasks: int, events: int) -> Size:
    """The size of a run; ``tasks`` are those of all its plans."""
    said = list(_said(scenario))
    return Size(
        tasks=tasks,
        workloads=len(scenario.workloads),
        workers=scenario.cluster.workers,
        faults=len(scenario.faults),
        choices=len(choices),
        answers=sum(choices.values()),
        nodes=sum(_nodes(each.plan) for each in scenario.workloads),
        settings=sum(_weight(value) for value, _ in said),
        rows=sum(_scans(each.plan) * _rows(scenario, each) for each in scenario.workloads),
        amounts=sum(_amount(value) for value, _ in said)
        + sum(_amount(value) for each in scenario.workloads for value in _in_nodes(each.plan))
        + scenario.max_steps,
        events=events,
    )


def _rows(scenario: Scenario, workload: Workload) -> int:
    if scenario.data is None:
        return workload.rows_per_scan
    return _ALL if scenario.data.rows is None else scenario.data.rows


def _said(scenario: Scenario) -> Iterator[tuple[Any, Any]]:
    """Each setting that is not the default, with the default."""
    yield from _unlike(scenario.cluster, Cluster(), but=("workers", "profile"))
    for workload in scenario.workloads:
        own = ("plan", "plan_name", "query", "options", "client", "rows_per_scan")
        yield from _unlike(workload, Workload(plan=workload.plan), but=own)
        yield from _unlike(workload.options, Options(), but=())
        yield from _unlike(workload.client, Client(), but=())
        yield workload.rows_per_scan, 0
    for fault in scenario.faults:
        yield from _unlike(fault, Fault(kind=fault.kind), but=("kind",))


def _unlike(value: Any, default: Any, *, but: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    for each in fields(value):
        if each.name not in but:
            own, other = getattr(value, each.name), getattr(default, each.name)
            if own != other:
                yield own, other


def _weight(value: Any) -> int:
    """A delay that is always the same is simpler than one with a shape."""
    return 2 if isinstance(value, Latency) and not isinstance(value, Constant) else 1


def _amount(value: Any) -> int:
    if isinstance(value, Latency):
        return sum(value.table())
    if isinstance(value, str | tuple):
        return len(value)
    return abs(value) if isinstance(value, int) else 1


def _each(plan: Plan) -> Iterator[Node]:
    """The nodes of a plan and the targets of its scan sets."""
    for node in plan:
        yield node
        if isinstance(node, ScanSet):
            yield from node.targets


def _nodes(plan: Plan) -> int:
    """Nodes and targets, and the fields of each that are not the defaults."""
    named = ("location", "section", "targets")
    return sum(
        1 + sum(value != field.default for field, value in _fields(node) if field.name not in named)
        for node in _each(plan)
    )


def _in_nodes(plan: Plan) -> Iterator[Any]:
    for node in _each(plan):
        yield from (value for _, value in _fields(node) if isinstance(value, (int, str)))


def _fields(node: Node) -> Iterator[tuple[Field[Any], Any]]:
    return ((each, getattr(node, each.name)) for each in fields(node))


def _scans(plan: Plan) -> int:
    total = 0
    for node in plan:
        if isinstance(node, ScanSet):
            total += len(node.targets)
        elif isinstance(node, (DataObjScan, PointersScan)):
            total += 1
    return total
