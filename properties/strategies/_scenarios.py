"""Scenarios: each can run, and comes through the trouble that it has.

Trouble is drawn first, as a list of kinds, each with all of its details: that no kind touches
what another one draws lets Hypothesis switch one off in a single step.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.strategies import _plans
from properties.strategies._arguments import check_bounds, check_names
from properties.strategies._clusters import CLUSTER_TROUBLE, calm_clusters
from properties.strategies._faults import fault_kinds, faults
from properties.strategies._workloads import More, calm_workloads, clients, limited, more_tokens
from sim.scenario import FAULT_KINDS, Client, Cluster, Fault, FaultKind, Scenario, Workload
from workflow import GraphError, Plan, partition
from workflow.limits import check_diamonds

__all__ = ["TROUBLE", "from_plan", "scenarios"]

TROUBLE: Final = ("clients", "limits", *CLUSTER_TROUBLE, *FAULT_KINDS)

_MOST_INDEX: Final = 63  # of a worker, task or workload, before it is taken modulo their number
_KINDS_AT_ONCE: Final = 4
_KEPT: Final = 64  # strategies that are not made anew for each draw: a third of the time


@st.composite
def scenarios(
    draw: DrawFn,
    *,
    plans: SearchStrategy[Plan] | None = None,
    min_workloads: int = 1,
    max_workloads: int = 3,
    min_tasks: int = 1,
    max_tasks: int = 12,
    min_workers: int = 1,
    max_workers: int = 4,
    min_rows: int = 0,
    max_rows: int = 20,
    min_faults: int = 0,
    max_faults: int = 4,
    trouble: Collection[str] = TROUBLE,
) -> Scenario:
    """A scenario of the sound profile that can run, whatever choices its run is given.

    `plans` draws the plan of each workload, by default one of `min_tasks` to `max_tasks` tasks.
    `trouble` has the kinds that there may be: those of `FAULT_KINDS`, and what else stands in
    `TROUBLE`.  A worker has a slot for every task, however many workers are lost.  Shrinks to
    one workload of one task, one worker, constant latencies of one tick, and no trouble.
    """
    check_bounds("workloads", min_workloads, max_workloads, least=1)
    check_bounds("tasks", min_tasks, max_tasks, least=1)
    check_bounds("workers", min_workers, max_workers, least=1)
    check_bounds("rows", min_rows, max_rows)
    check_bounds("faults", min_faults, max_faults)
    allowed = check_names("trouble", trouble, TROUBLE)
    kinds = [each for each in fault_kinds("trouble", None) if each in allowed]
    if min_faults and not kinds:
        raise InvalidArgument(f"min_faults: got {min_faults}, expected 0 as trouble has no faults")
    if plans is None:
        plans = _any_plans(min_tasks, max_tasks)
    elif not isinstance(plans, SearchStrategy):
        raise InvalidArgument(f"plans: got {plans!r:.60}, expected a strategy of plans")

    met = _Trouble()
    for name, detail in draw(_troubles(tuple(allowed))):
        met.add(name, detail)
    while len(met.faults) < min_faults:
        met.faults.append(draw(_faults_of(kinds)))
    del met.faults[max_faults:]

    many = draw(_workloads(plans, min_workloads, max_workloads, min_rows, max_rows))
    counts = [len(partition(workload.plan)) for workload in many]
    cluster = draw(_clusters(min_workers, max_workers))
    return Scenario(
        cluster=replace(cluster, slots=sum(counts), **met.changes),
        workloads=tuple(met.given_to(many)),
        faults=tuple(_fitting(fault, cluster.workers, counts) for fault in met.faults),
    )


def from_plan(
    plan: Plan,
    *,
    min_workloads: int = 1,
    max_workloads: int = 3,
    min_workers: int = 1,
    max_workers: int = 4,
    min_rows: int = 0,
    max_rows: int = 20,
    min_faults: int = 0,
    max_faults: int = 4,
    trouble: Collection[str] = TROUBLE,
) -> SearchStrategy[Scenario]:
    """Scenarios whose workloads all run this plan; see `scenarios` for what may vary."""
    return scenarios(
        plans=st.just(plan).map(_runnable),
        min_workloads=min_workloads,
        max_workloads=max_workloads,
        min_workers=min_workers,
        max_workers=max_workers,
        min_rows=min_rows,
        max_rows=max_rows,
        min_faults=min_faults,
        max_faults=max_faults,
        trouble=trouble,
    )


def _runnable(plan: Plan) -> Plan:
    """The plan, if it can run."""
    if not isinstance(plan, Plan):
        raise InvalidArgument(f"plan: got {plan!r}, expected a Plan")
    try:
        tasks = partition(plan)
        tasks.root()
        check_diamonds(tasks)
    except GraphError as error:
        raise InvalidArgument(f"plan: got one that cannot run: {error}") from None
    return plan


@dataclass(slots=True)
class _Trouble:
    """All that was drawn of it."""

    changes: dict[str, Any] = field(default_factory=dict)  # of the cluster
    clients: list[Client] = field(default_factory=list)
    limits: list[More] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, name: str, detail: Any) -> None:
        """One kind with its details."""
        if name == "clients":
            self.clients = detail
        elif name == "limits":
            self.limits = detail
        elif name in CLUSTER_TROUBLE:
            self.changes |= detail
        else:
            self.faults += detail

    def given_to(self, workloads: list[Workload]) -> Iterator[Workload]:
        """The workloads with their clients and limits; where these run out, they begin again."""
        for index, workload in enumerate(workloads):
            given = workload
            if self.limits:
                given = limited(given, self.limits[index % len(self.limits)])
            if self.clients:
                given = replace(given, client=self.clients[index % len(self.clients)])
            yield given


@lru_cache(_KEPT)
def _any_plans(min_tasks: int, max_tasks: int) -> SearchStrategy[Plan]:
    return _plans.plans(min_tasks=min_tasks, max_tasks=max_tasks)


@lru_cache(_KEPT)
def _workloads(
    plans: SearchStrategy[Plan], least: int, most: int, min_rows: int, max_rows: int
) -> SearchStrategy[list[Workload]]:
    each = calm_workloads(plans, min_rows, max_rows)
    return st.lists(each, min_size=least, max_size=most)


@lru_cache(_KEPT)
def _clusters(min_workers: int, max_workers: int) -> SearchStrategy[Cluster]:
    return calm_clusters(min_workers, max_workers)


def _faults_of(kinds: Collection[FaultKind]) -> SearchStrategy[Fault]:
    return faults(
        kinds=kinds, max_worker=_MOST_INDEX, max_task=_MOST_INDEX, max_workload=_MOST_INDEX
    )


def _few(of: SearchStrategy[Any], most: int) -> SearchStrategy[list[Any]]:
    return st.lists(of, min_size=1, max_size=most)


_DETAILS: Final[Mapping[str, SearchStrategy[Any]]] = {
    "clients": _few(clients(), 3),
    "limits": _few(more_tokens(), 3),
    **CLUSTER_TROUBLE,
    **{kind: _few(_faults_of([kind]), 2) for kind in fault_kinds("kinds", None)},
}


_WITH_DETAILS: Final = {
    name: st.tuples(st.just(name), details) for name, details in _DETAILS.items()
}


@lru_cache(_KEPT)
def _troubles(allowed: tuple[str, ...]) -> SearchStrategy[list[tuple[str, Any]]]:
    """Some kinds of those that may be, each with its details."""
    if not allowed:
        return st.just([])
    return st.lists(
        st.sampled_from(allowed).flatmap(_WITH_DETAILS.__getitem__),
        unique_by=lambda each: each[0],
        max_size=min(_KINDS_AT_ONCE, len(allowed)),
    )


def _fitting(fault: Fault, workers: int, counts: list[int]) -> Fault:
    """The fault about a worker, task and workload that there are."""
    workload = None if fault.workload is None else fault.workload % len(counts)
    tasks = max(counts) if workload is None else counts[workload]
    return replace(
        fault,
        worker=None if fault.worker is None else fault.worker % workers,
        task=None if fault.task is None else fault.task % tasks,
        workload=workload,
    )
