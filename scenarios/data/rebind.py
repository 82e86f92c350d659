"""Any plan over any bucket.

>>> from workflow import Plan
>>> from workflow.plan import TopK
>>> from workflow.times import TimeRange
>>> plan = Plan()
>>> plan.add_edge(plan.add(TopK(k=3)), plan.add(ScanSet()))
>>> [scan] = rebind(plan, [Section("objects/0", 0, 9, (1, 2), TimeRange(), 100)]).leaves()
>>> [(target.location, target.stream_ids) for target in scan.targets]
[('objects/0', (1, 2))]
"""

from collections.abc import Sequence
from dataclasses import replace

from workflow.objects import Section
from workflow.plan import DataObjScan, Node, Plan, PlanError, PointersScan, ScanSet, TopK
from workflow.times import TimeRange

__all__ = ["rebind"]


def rebind(plan: Plan, sections: Sequence[Section]) -> Plan:
    """The plan with all sections as the targets of each ScanSet, every stream of them read.

    Targets stand newest end first, or oldest start first where a TopK wants the oldest rows.
    Other nodes stay the same objects, and numbers of nodes stay.  Raises PlanError for a set of
    index objects.
    """
    oldest_first = any(isinstance(node, TopK) and node.ascending for node in plan)
    targets = tuple(
        DataObjScan(
            location=each.location,
            section=each.section,
            stream_ids=each.stream_ids,
            max_time_range=each.time_range,
        )
        for each in sorted(sections, key=lambda each: _bound(each.time_range, oldest_first))
    )
    bound = Plan()
    twins: dict[Node, Node] = {}
    for node in plan:
        twins[node] = bound.add(_over(plan, node, targets))
        if node in plan.ids:
            bound.ids[twins[node]] = plan.ids[node]
    for node in plan:
        for child in plan.children(node):
            bound.add_edge(twins[node], twins[child])
    return bound


def _bound(span: TimeRange, oldest_first: bool) -> int:
    end = span.start if oldest_first else span.end
    ns = 0 if end is None else end.ns
    return ns if oldest_first else -ns


def _over(plan: Plan, node: Node, targets: tuple[DataObjScan, ...]) -> Node:
    if not isinstance(node, ScanSet):
        return node
    if any(isinstance(target, PointersScan) for target in node.targets):
        raise PlanError("rebind", plan.name(node), "got index objects as targets, expected data")
    return replace(node, targets=targets)
