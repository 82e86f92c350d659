"""Small runs to judge, and ways to tamper with what they came to."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from sim.choices import Seeded
from sim.scenario import Cluster, Scenario, Workload
from sim.simulate import Outcome, simulate
from workflow import Options, Plan, TimeRange, Timestamp
from workflow.expressions import Column, ColumnType
from workflow.plan import DataObjScan, Limit, Merge, Node, Parallelize, ScanSet, TopK
from workflow.trace import Event, Trace

SECOND = 10**9  # nanoseconds
TIME = Column(ColumnType.BUILTIN, "timestamp")


def chain(*nodes: Node) -> Plan:
    """A plan of nodes below each other."""
    plan = Plan()
    for node in nodes:
        plan.add(node)
    for above, below in pairwise(nodes):
        plan.add_edge(above, below)
    return plan


def scan(name: str, start: int | None = None, end: int | None = None) -> DataObjScan:
    """A scan over times in seconds."""
    if start is None or end is None:
        return DataObjScan(location=name)
    between = TimeRange(Timestamp(start * SECOND), Timestamp(end * SECOND))
    return DataObjScan(location=name, max_time_range=between)


def merged(*names: str) -> Plan:
    """A Merge over scans, a task each: t0 the root, t1 the first scan, ..."""
    return chain(Merge(), Parallelize(), ScanSet(targets=tuple(map(scan, names))))


def limited(skip: int, fetch: int, *names: str) -> Plan:
    """The same with a Limit on top, in the root's task."""
    targets = ScanSet(targets=tuple(map(scan, names)))
    return chain(Limit(skip=skip, fetch=fetch), Merge(), Parallelize(), targets)


def newest(k: int, *targets: DataObjScan) -> Plan:
    """The K newest rows of scans, a task each."""
    return chain(TopK(sort_by=TIME, k=k), Parallelize(), ScanSet(targets=targets))


def outcome_of(
    plan: Plan,
    *,
    seed: int = 7,
    cluster: Cluster | None = None,
    options: Options | None = None,
    faults: Any = (),
    **workload: Any,
) -> Outcome:
    """A run of one plan."""
    load = Workload(
        plan=plan, rows_per_scan=6, batch_rows=2, options=options or Options(), **workload
    )
    scenario = Scenario(
        cluster=cluster or Cluster(), workloads=(load,), faults=tuple(faults), name="crafted"
    )
    return simulate(scenario, Seeded(seed))


def with_events(outcome: Outcome, events: Iterable[Event]) -> Outcome:
    """The outcome with another trace, numbered anew."""
    numbered = [replace(event, seq=seq) for seq, event in enumerate(events)]
    return replace(outcome, trace=Trace(outcome.trace.ran, numbered))


def edited(
    outcome: Outcome, fits: Callable[[Event], bool], edit: Callable[[Event], Iterable[Event]]
) -> Outcome:
    """The outcome with the first event that fits replaced by what `edit` makes of it."""
    events: list[Event] = []
    done = False
    for event in outcome.trace.events:
        if not done and fits(event):
            done = True
            events.extend(edit(event))
        else:
            events.append(event)
    assert done, "no such event"
    return with_events(outcome, events)


def is_event(kind: str, subject: str, **details: Any) -> Callable[[Event], bool]:
    """What fits an event of this kind about this subject, with these details."""
    return lambda event: (
        (event.kind, event.subject) == (kind, subject)
        and all(event.details.get(key) == value for key, value in details.items())
    )


def saying(event: Event, **details: Any) -> Event:
    """The event with other details."""
    return replace(event, details={**event.details, **details})
