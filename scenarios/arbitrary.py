"""Scenarios made up from a number: any plan, any cluster, any trouble; room for every task.

The same number gives the same scenario.  Which kinds of trouble there are is drawn first, then
their details, so that some runs are calm and some have a little of everything.

>>> arbitrary_scenario(7) == arbitrary_scenario(7)
True
"""

from collections.abc import Sequence
from random import Random
from typing import Final, get_args

from sim.latency import Bimodal, Constant, Exponential, Latency, Uniform
from sim.scenario import Client, Cluster, Fault, FaultKind, Scenario, Workload
from workflow import GraphError, Options, Plan, TimeRange, Timestamp, partition
from workflow.expressions import Column, ColumnType
from workflow.limits import check_diamonds, smallest_limits
from workflow.plan import (
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Limit,
    Merge,
    Node,
    Parallelize,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)

__all__ = ["arbitrary_scenario"]

_SECOND: Final = 10**9  # nanoseconds
_TIME: Final = Column(ColumnType.BUILTIN, "timestamp")
_OFTEN: Final = 60_000  # the largest chance of a fault at an occasion, in millionths


def arbitrary_scenario(number: int) -> Scenario:
    """The scenario of a number."""
    random = Random(f"windtunnel scenario {number}")
    plans = [_plan(random) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    workloads = tuple(_workload(random, plan) for plan in plans)
    tasks = sum(len(partition(plan)) for plan in plans)
    workers = random.randint(1, 4)
    cluster = Cluster(
        workers=workers,
        slots=tasks,  # however many workers are lost
        buffer=random.choice((1, 1, 2, 5)),
        slack=random.choice((0, 0, 0, 50, 500)),
        control=_latency(random, 200),
        data=_latency(random, 400),
        work=_latency(random, 300),
        notify=random.choice((Constant(ticks=0), Constant(ticks=0), Exponential(mean=300))),
        ack_timeout=random.choice((5_000_000, 5_000_000, 20_000)),
        detect=random.choice((1_000_000, 30_000)),
    )
    return Scenario(
        name="random",
        sentence="made up from its seed",
        cluster=cluster,
        workloads=workloads,
        faults=_faults(random),
    )


def _latency(random: Random, mean: int) -> Latency:
    shapes: tuple[Latency, ...] = (
        Constant(ticks=mean),
        Uniform(low=0, high=2 * mean),
        Exponential(mean=mean),
        Bimodal(short=mean, long=40 * mean, long_percent=3),
    )
    return random.choice(shapes)


def _workload(random: Random, plan: Plan) -> Workload:
    return Workload(
        plan=plan,
        arrival=random.choice((0, 0, 1_000, 20_000)),
        options=_options(random, plan),
        rows_per_scan=random.choice((0, 1, 7, 20)),
        batch_rows=random.choice((1, 3, 5)),
        client=_client(random),
    )


def _options(random: Random, plan: Plan) -> Options:
    if random.random() < 0.5:
        return Options()
    least = smallest_limits(partition(plan), both=True)
    more = random.choice((0, 0, 1, 3))
    return Options(
        max_running_scan_tasks=least.scan + more, max_running_other_tasks=least.other + more
    )


def _client(random: Random) -> Client:
    kind = random.randrange(12)
    if kind == 0:
        return Client(cancel_at=random.randrange(1, 20_000))
    if kind == 1:
        return Client(close_at=random.randrange(1, 20_000))
    if kind == 2:
        return Client(close_after=random.randrange(4))
    if kind == 3:
        return Client(stall_after=random.randrange(3), stall_ticks=random.randrange(1, 90_000))
    if kind == 4:
        return Client(pause=Exponential(mean=2_000))
    if kind == 5:  # for ever would be no fair run
        return Client(never_reads=True, close_at=random.randrange(1, 60_000))
    return Client()


def _faults(random: Random) -> tuple[Fault, ...]:
    kinds: Sequence[FaultKind] = get_args(FaultKind)
    chosen = random.sample(kinds, random.choice((0, 0, 1, 1, 2, 3)))
    return tuple(_fault(random, kind) for kind in chosen)


def _fault(random: Random, kind: FaultKind) -> Fault:
    ticks, factor = random.choice((0, 400, 5_000, 60_000)), random.choice((2, 10))
    silent = kind == "task_failure" and random.random() < 0.3
    ticks = max(ticks, 1) if kind in ("late_ack", "half_open") else ticks
    when = random.randrange(3)
    if when == 0:
        at = random.randrange(1, 15_000)
        return Fault(kind=kind, at=at, ticks=ticks, factor=factor, silent=silent)
    if when == 1:
        return Fault(kind=kind, nth=random.randrange(6), ticks=ticks, factor=factor, silent=silent)
    chance = random.randrange(1, _OFTEN)
    return Fault(kind=kind, per_million=chance, ticks=ticks, factor=factor, silent=silent)


def _plan(random: Random) -> Plan:
    """A tree of nodes above scan sets, as deep and wide as it comes; one that can run."""
    while True:
        plan = Plan()
        below = _branch(random, plan, depth=random.randrange(1, 4))
        for _ in range(random.randrange(3)):
            below = _above(plan, _node(random), below)
        try:
            check_diamonds(partition(plan))
        except GraphError:
            continue  # a shape that the engine refuses
        return plan


def _branch(random: Random, plan: Plan, depth: int) -> Node:
    if depth == 1 or random.random() < 0.4:
        scans = plan.add(ScanSet(targets=tuple(_scan(random, i) for i in range(_width(random)))))
        node: Node = scans
        if random.random() < 0.3:
            node = _above(plan, Filter(), node)
        return _above(plan, Parallelize(), node) if random.random() < 0.8 else node
    branches = [_branch(random, plan, depth - 1) for _ in range(random.choice((1, 1, 2, 3)))]
    top = plan.add(Merge() if len(branches) > 1 else _node(random))
    for branch in branches:
        plan.add_edge(top, branch)
    return _above(plan, Parallelize(), top) if random.random() < 0.2 else top


def _above(plan: Plan, node: Node, below: Node) -> Node:
    plan.add(node)
    plan.add_edge(node, below)
    return node


def _width(random: Random) -> int:
    return random.choice((1, 2, 3, 4, 8))


def _scan(random: Random, index: int) -> DataObjScan:
    start = random.randrange(100)
    times = TimeRange(
        Timestamp(start * _SECOND), Timestamp((start + random.randrange(1, 40)) * _SECOND)
    )
    known = random.random() < 0.8
    return DataObjScan(
        location=f"objects/{index}",
        section=random.randrange(3),
        max_time_range=times if known else TimeRange(None, None),
    )


def _node(random: Random) -> Node:
    nodes: tuple[Node, ...] = (
        TopK(sort_by=_TIME, ascending=random.random() < 0.5, k=random.choice((1, 5, 50))),
        Limit(fetch=random.choice((1, 10, 100))),
        Filter(),
        Projection(all=True),
        Compat(source="metadata", destination="metadata"),
        RangeAggregation(operation="count"),
        VectorAggregation(operation="sum"),
        Batching(batch_size=10),
    )
    return random.choice(nodes)
