"""The smallest limits, held against every schedule of small workflows."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest
from explorer import Undecided, find_hang
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from workflow.graph import GraphError, RootError
from workflow.limits import LimitTooSmall, SmallestLimits, check_diamonds, smallest_limits
from workflow.partition import partition
from workflow.plan import (
    Batching,
    DataObjScan,
    Filter,
    Join,
    Merge,
    Node,
    Parallelize,
    Plan,
    PlanError,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)
from workflow.task import Lane, TaskGraph

KINDS: Final[dict[str, type[Node]]] = {
    "B": Batching,
    "F": Filter,
    "J": Join,
    "K": TopK,
    "M": Merge,
    "P": Parallelize,
    "R": RangeAggregation,
    "V": VectorAggregation,
    "X": DataObjScan,
}


def scan_set(targets: int) -> ScanSet:
    return ScanSet(targets=tuple(DataObjScan(location=f"objects/{i}") for i in range(targets)))


def plan_of(text: str) -> Plan:
    """``J F1 P S2; F1 K; K X``: a parent with its children, then more of them.

    The first letter is the kind, what follows tells nodes apart; ``S2`` is a scan set of two.
    """
    plan = Plan()
    nodes: dict[str, Node] = {}
    for group in text.split("; "):
        for word in group.split():
            if word not in nodes:
                kind = word[0]
                node = scan_set(int(word[1])) if kind == "S" else KINDS[kind]()
                nodes[word] = plan.add(node)
                plan.ids[node] = len(nodes)
        parent, *children = group.split()
        for child in children:
            plan.add_edge(nodes[parent], nodes[child])
    return plan


def tasks_of(text: str) -> TaskGraph:
    tasks = partition(plan_of(text))
    check_diamonds(tasks)
    return tasks


def hangs(tasks: TaskGraph, *, budget: int = 400_000, **limits: int) -> bool:
    return find_hang(tasks, budget=budget, **limits) is not None


def smallest_by_trial(tasks: TaskGraph, lane: Lane) -> int:
    return next(limit for limit in range(1, len(tasks) + 1) if not hangs(tasks, **{lane: limit}))


# --- named plans --------------------------------------------------------------------------------

NAMED: Final[dict[str, tuple[str, int, int]]] = {  # plan, scan, other
    "V04": ("B V; V R; R P; P F; F J; J S3", 1, 2),
    "V10": ("K P; P S3", 1, 1),
    "V26": ("V K; K R; R X", 1, 2),
    "V32": ("J P1 P2; P1 S2; P2 S1", 1, 1),
    "V33": ("J F1 F2; F1 P1; F2 P2; P1 S2; P2 S1", 2, 1),
    "V36": ("B K; K P1; P1 J; J S2 P2; P2 S2b", 4, 1),
    "V40": ("K P; P J; J F1 F2; F1 S2; F2 S2", 1, 1),
    "V43": ("J X1 K; K X2", 2, 1),
    "V58": ("K1 M; M K2 F; F K3; K2 X1; K3 X2", 2, 1),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_plans(name: str) -> None:
    text, scan, other = NAMED[name]
    tasks = tasks_of(text)
    assert smallest_limits(tasks, both=False) == SmallestLimits(scan, other)
    assert smallest_by_trial(tasks, "scan") == scan
    assert smallest_by_trial(tasks, "other") == other
    assert not hangs(tasks)


def test_a_hang_comes_with_its_schedule() -> None:
    """V36 (hazard W4): below four tokens the first shard waits for children that get none."""
    tasks = tasks_of(NAMED["V36"][0])
    assert [hangs(tasks, scan=limit) for limit in (1, 2, 3, 4)] == [True, True, True, False]
    assert str(find_hang(tasks, scan=1)) == (
        "hang: T1 reads its node 1, T2 reads its node 1, T3 waits for a token,"
        " T4 waits for a token, T5 waits for a token"
    )
    assert str(find_hang(tasks, scan=3)) == (
        "T2 takes a record of T4; T2 takes a record of T3; hang: T1 reads its node 1,"
        " T2 reads its node 1, T3 offers a record, T4 offers a record, T5 waits for a token"
    )


def test_both_lanes_limited_may_need_more() -> None:
    """The root waits for the later `other` task while the branch before it offers a record.

    Each lane runs dry only because the other did: no number of one lane alone shows it.
    """
    tasks = tasks_of(
        "M F1 F2; F2 P1; P1 M2; M2 P2 P3; P2 S2; P3 K; K J; J F4 F3; F3 P4; P4 X4;"
        " F4 P5; P5 J2; J2 P6; P6 X6; F1 K2; K2 S1"
    )
    assert smallest_limits(tasks, both=False) == SmallestLimits(2, 4)
    assert smallest_limits(tasks, both=True) == SmallestLimits(4, 4)
    assert hangs(tasks, scan=3, other=4)
    assert not hangs(tasks, scan=4, other=4)


# --- refused ------------------------------------------------------------------------------------

DIAMOND: Final = (
    "diamond: {}: got 2 ways for its rows into one task, through {}; expected one,"
    " since the reader may wait for the end of one way while the other is full"
)
REFUSED: Final[dict[str, tuple[str, str]]] = {
    "V28": (
        "M F1 F2; F1 R; F2 R; R X",
        DIAMOND.format("node 4 (RangeAggregation)", "node 3 (Filter) and node 2 (Filter)"),
    ),
    "V29": (
        "M K F; F K; K X",
        DIAMOND.format("node 2 (TopK)", "node 1 (Merge) and node 3 (Filter)"),
    ),
    "V34": (
        "J F1 F2; F1 P; F2 P; P S2",
        DIAMOND.format("DataObjScan", "node 3 (Filter) and node 2 (Filter)"),
    ),
    "P2": (
        "M FA FB; FA F; FB F; F K; K X",
        (
            "diamond: node 4 (Filter): got two ways from it to the top of its task while it reads"
            " from another task; expected one, since the task may wait for the end of one way"
            " while the other is full"
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_diamonds_are_refused(name: str) -> None:
    text, message = REFUSED[name]
    with pytest.raises(PlanError) as caught:
        check_diamonds(partition(plan_of(text)))
    assert caught.value.rule == "diamond"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["V28", "V29", "V34"])
def test_a_diamond_hangs_without_limits(name: str) -> None:
    """Hazard P3: the writer waits at one way in while the reader waits at the other."""
    assert hangs(partition(plan_of(REFUSED[name][0])))


def test_limit_too_small_says_what_works() -> None:
    assert str(LimitTooSmall("max_running_scan_tasks", 3, 4)) == (
        "max_running_scan_tasks: got 3, with which this plan can hang: tasks would hold every"
        " token while they wait for a task that needs one; expected at least 4, or 0 for no limit"
    )


def test_several_roots_are_refused() -> None:
    with pytest.raises(RootError, match="many-roots"):  # V48
        smallest_limits(partition(plan_of("K P; P J; J S0 P2; P2 S1")), both=False)


# --- every schedule of small plans --------------------------------------------------------------


class _Grower:
    """Draws a plan from the top down, where a branch may hold a branch."""

    def __init__(self, draw: st.DrawFn, nodes: int) -> None:
        self.draw = draw
        self.left = nodes
        self.plan = Plan()

    def choose(self, words: str) -> str:
        return self.draw(st.sampled_from(words.split()))

    def over(self, node: Node, *children: Node) -> Node:
        for child in children:
            self.plan.add_edge(node, child)
        return node

    def grow(self, *, sharded: bool) -> Node:
        """A subplan; `sharded` if a Parallelize above still lacks its scan set."""
        self.left -= 1
        kind = self.choose("F K R M M J J P P P X" if self.left > 0 else "X P")
        if kind == "X" and sharded:
            return self.scans()
        node = self.plan.add(KINDS[kind]())
        if kind == "X":
            return node
        if kind == "P":
            below = self.grow(sharded=self.choose("y y y n") == "y") if self.left > 0 else None
            return self.over(node, below or self.scans())
        count = int(self.choose("2 2 3")) if kind in "MJ" else 1
        heir = self.draw(st.integers(0, count - 1))  # two scan sets in one branch are refused
        return self.over(
            node, *[self.grow(sharded=sharded and index == heir) for index in range(count)]
        )

    def scans(self) -> Node:
        return self.plan.add(scan_set(int(self.choose("1 2 2 3"))))


@st.composite
def small_workflows(draw: st.DrawFn) -> TaskGraph:
    grower = _Grower(draw, draw(st.integers(2, 9)))
    grower.grow(sharded=False)
    try:
        tasks = partition(grower.plan)
        tasks.root()
        check_diamonds(tasks)
    except GraphError:
        assume(False)
    assume(2 <= len(tasks) <= 7)
    return tasks


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(small_workflows())
def test_smallest_limits_agree_with_every_schedule(tasks: TaskGraph) -> None:
    single = smallest_limits(tasks, both=False)
    double = smallest_limits(tasks, both=True)
    try:
        assert not hangs(tasks, budget=50_000)
        assert not hangs(tasks, budget=50_000, scan=double.scan, other=double.other)
        lanes: tuple[tuple[Lane, int], ...] = (("scan", single.scan), ("other", single.other))
        for lane, limit in lanes:
            assert not hangs(tasks, budget=50_000, **{lane: limit})
            assert limit == 1 or hangs(tasks, budget=50_000, **{lane: limit - 1})
    except Undecided:
        assume(False)


# --- size ---------------------------------------------------------------------------------------


def fan(targets: int) -> TaskGraph:
    plan = Plan()
    top, parallel = plan.add(TopK()), plan.add(Parallelize())
    plan.add_edge(top, parallel)
    plan.add_edge(parallel, plan.add(scan_set(targets)))
    return partition(plan)


def wide(targets: int) -> TaskGraph:
    """Many shards of one branch, each reading the same four tasks."""
    plan = Plan()
    top, outer, join, inner = (plan.add(k()) for k in (TopK, Parallelize, Join, Parallelize))
    plan.add_edge(top, outer)
    plan.add_edge(outer, join)
    plan.add_edge(join, plan.add(scan_set(targets)))
    plan.add_edge(join, inner)
    plan.add_edge(inner, plan.add(scan_set(4)))
    return partition(plan)


def deep(breakers: int) -> TaskGraph:
    plan = Plan()
    above: Node = plan.add(TopK())
    for kind in [TopK] * (breakers - 1) + [DataObjScan]:
        below = plan.add(kind())
        plan.add_edge(above, below)
        above = below
    return partition(plan)


def opcodes(tasks: TaskGraph) -> int:
    """How many instructions the checks take: a measure of time that is the same every time."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ARG001
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        check_diamonds(tasks)
        smallest_limits(tasks, both=True)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", [fan, wide, deep])
def test_time_is_linear(shape: Callable[[int], TaskGraph]) -> None:
    assert opcodes(shape(400)) < 2.1 * opcodes(shape(200))


def test_large_plans() -> None:
    flat = fan(20_000)
    check_diamonds(flat)
    assert smallest_limits(flat, both=True) == SmallestLimits(1, 1)

    shards = wide(5_000)
    check_diamonds(shards)
    assert smallest_limits(shards, both=True) == SmallestLimits(5_004, 1)

    chain = deep(3_000)
    check_diamonds(chain)
    assert smallest_limits(chain, both=True) == SmallestLimits(1, 2_999)
