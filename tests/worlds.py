"""Small plans and scenarios, and what to ask of an outcome."""

from collections import Counter
from collections.abc import Iterator

from cases import second

from sim.latency import Constant
from sim.scenario import Cluster, Fault, Scenario, Workload
from sim.simulate import Outcome
from workflow import Plan, TimeRange
from workflow.plan import Batching, DataObjScan, Filter, Limit, Node, Parallelize, ScanSet, TopK
from workflow.trace import Event

# Every message and every batch takes its time, always the same.
CALM = Cluster(
    control=Constant(ticks=10), data=Constant(ticks=20), work=Constant(ticks=30), workers=2
)
TERMINAL = ("Completed", "Cancelled", "Failed")


def chain(*nodes: Node) -> Plan:
    """Each node the child of the one before."""
    plan = Plan()
    for above, node in zip((None, *nodes), nodes, strict=False):
        plan.add(node)
        if above is not None:
            plan.add_edge(above, node)
    return plan


def scan_set(count: int) -> ScanSet:
    """Scans of ten seconds each, the newest first."""
    return ScanSet(
        targets=tuple(
            DataObjScan(
                location=f"object{i}",
                max_time_range=TimeRange(second(10 * (count - i - 1)), second(10 * (count - i))),
            )
            for i in range(count)
        )
    )


def logs(scans: int = 3) -> Plan:
    """Task 0 passes on what tasks 1, 2, ... scan."""
    return chain(Filter(), Parallelize(), scan_set(scans))


def newest(k: int, scans: int, *, batching: bool = False) -> Plan:
    """Task 0 keeps the newest rows."""
    plan = (TopK(k=k), Parallelize(), scan_set(scans))
    return chain(Batching(batch_size=10), *plan) if batching else chain(*plan)


def limited(fetch: int, scans: int) -> Plan:
    """Task 0 takes any rows."""
    return chain(Limit(fetch=fetch), Parallelize(), scan_set(scans))


def scenario(
    *workloads: Workload, cluster: Cluster = CALM, faults: tuple[Fault, ...] = ()
) -> Scenario:
    """A scenario; one workload of `logs` unless told."""
    return Scenario(workloads=workloads or (Workload(plan=logs()),), cluster=cluster, faults=faults)


def of(outcome: Outcome, *kinds: str, subject: str = "") -> Iterator[Event]:
    """The events of some kinds, of one subject if told."""
    return (
        event
        for event in outcome.trace.events
        if event.kind in kinds and subject in ("", event.subject)
    )


def stream_states(outcome: Outcome, stream: str) -> list[str]:
    """The states that were reported of a stream, in order."""
    return [event.details["state"] for event in of(outcome, "stream_event", subject=stream)]


def task_ends(outcome: Outcome) -> dict[str, list[str]]:
    """The terminal states that were reported of each task."""
    ends: dict[str, list[str]] = {}
    for event in of(outcome, "task_event"):
        if event.details["state"] in TERMINAL:
            ends.setdefault(event.subject, []).append(event.details["state"])
    return ends


def rows(outcome: Outcome, workload: int = 0) -> Counter[str]:
    """The rows that were read, by name."""
    found: Counter[str] = Counter()
    for name in outcome.ends[workload].row_names:
        scan, _, run = name.rpartition(":")
        first, _, last = run.partition("-")
        found.update(f"{scan}:{row}" for row in range(int(first), int(last) + 1))
    return found


def went_well(outcome: Outcome) -> None:
    """Every workload read its end, every task is over, and nothing is left."""
    assert outcome.stuck is None, str(outcome.stuck)
    assert not outcome.over_budget
    for end in outcome.ends:
        assert (end.end, end.error) == ("eof", "")
    is_over(outcome)


def is_over(outcome: Outcome) -> None:
    """However it ended: every task ended once, no token is in use, and nothing is left."""
    assert outcome.stuck is None, str(outcome.stuck)
    assert not outcome.over_budget
    for end in outcome.ends:
        assert end.end != "unfinished"
        assert not any(end.tokens.values())
        assert all(state in TERMINAL for state in end.states), end.states
    assert not any(outcome.kept.values())
    assert all(len(states) == 1 for states in task_ends(outcome).values())
