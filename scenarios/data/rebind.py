"""Any plan over any bucket.

A plan of the bucket's own says which sections it reads, and of which streams: `bind` leaves it as
it is.  Streams of a plan from elsewhere mean nothing in the bucket: it is bound anew.

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
from workflow.plan import DataObjScan, Merge, Node, Plan, PlanError, PointersScan, ScanSet, TopK
from workflow.times import TimeRange

__all__ = ["bind", "rebind"]


def bind(plan: Plan, sections: Sequence[Section]) -> Plan:
    """The plan itself if all that it reads lies in the bucket; bound anew if nothing does.

    What is read lies in the bucket if the section is there, has the streams, and has rows in the
    times that the plan tells of it.  Raises PlanError for a plan of which only a part lies there.
    """
    there = {(each.location, each.section): each for each in sections}
    known: list[str] = []
    foreign: list[tuple[str, str]] = []
    for node in plan:
        for scan in _scans(plan, node):
            why = _foreign(scan, there.get((scan.location, scan.section)))
            shown = f"section {scan.section} of {scan.location}"
            if why:
                foreign.append((plan.name(node), f"{shown}, {why}"))
            else:
                known.append(shown)
    if not foreign:
        return plan if known else rebind(plan, sections)
    if known:
        where, shown = foreign[0]
        raise PlanError(
            "rebind",
            where,
            f"got {shown}, while {known[0]} is there; expected all that the plan reads to be in the"
            " bucket, or nothing, or --rebind, which lets it read the whole bucket",
        )
    return rebind(plan, sections)


def _scans(plan: Plan, node: Node) -> list[DataObjScan]:
    """What a node reads.  Raises PlanError for index objects."""
    scans = node.targets if isinstance(node, ScanSet) else (node,)
    if any(isinstance(scan, PointersScan) for scan in scans):
        raise PlanError("rebind", plan.name(node), "got index objects as targets, expected data")
    return [scan for scan in scans if isinstance(scan, DataObjScan)]


def _foreign(scan: DataObjScan, section: Section | None) -> str:
    """Why a scan is none of the bucket's; "" if it is one."""
    if section is None:
        return "which the bucket does not have"
    held = dict.fromkeys(section.stream_ids)
    for stream in scan.stream_ids or ():
        if stream not in held:
            return f"which has no stream {stream} in the bucket"
    # What is unset bounds nothing.  A section that has rows has both.
    times, has = scan.max_time_range, section.time_range
    if (times.start and has.end and times.start > has.end) or (
        times.end and has.start and times.end < has.start
    ):
        return "which has other times in the bucket"
    return ""


def rebind(plan: Plan, sections: Sequence[Section]) -> Plan:
    """The plan with all sections instead of each scan or set of targets; every stream is read.

    Targets stand newest end first, or oldest start first where a TopK wants the oldest rows.  A
    scan that is no target becomes a Merge of scans with its projections and predicates, in the
    same task.  Other nodes stay the same objects, and numbers of nodes stay.  Raises PlanError for
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
        _scans(plan, node)
        twins[node] = bound.add(_over(node, targets))
        if node in plan.ids:
            bound.ids[twins[node]] = plan.ids[node]
        if isinstance(node, DataObjScan):
            for each in targets:
                scan = replace(each, projections=node.projections, predicates=node.predicates)
                bound.add_edge(twins[node], bound.add(scan))
    for node in plan:
        for child in plan.children(node):
            bound.add_edge(twins[node], twins[child])
    return bound


def _bound(span: TimeRange, oldest_first: bool) -> int:
    end = span.start if oldest_first else span.end
    ns = 0 if end is None else end.ns
    return ns if oldest_first else -ns


def _over(node: Node, targets: tuple[DataObjScan, ...]) -> Node:
    # No set of targets for a lone scan: below a Parallelize that would be cut, and the scan is not.
    if isinstance(node, DataObjScan):
        return Merge()
    return replace(node, targets=targets) if isinstance(node, ScanSet) else node
