"""Lanes and tokens, against a model that looks through lists."""

import itertools

import pytest
from cases import build, load_cases
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ulid import ULID

from workflow import Identifiers, Plan, Task, partition
from workflow.admission import LANES, Admission
from workflow.plan import DataObjScan, Node, PointersScan, ScanSet, TopK
from workflow.task import Lane

CASES = load_cases()


def task(number: int, lane: Lane = "scan") -> Task:
    return Task(ULID.from_int(number + 1), "", Plan(), lane=lane)


def admitted(lanes: Admission) -> list[Task]:
    """Everything that may start now."""
    out = []
    while (each := lanes.admit()) is not None:
        out.append(each)
    return out


def chain(*nodes: Node) -> Plan:
    plan = Plan()
    for node in nodes:
        plan.add(node)
    for parent, child in itertools.pairwise(nodes):
        plan.add_edge(parent, child)
    return plan


@pytest.mark.parametrize(
    ("plan", "lanes"),
    [
        pytest.param(chain(TopK()), ["other"], id="D01: nothing that reads"),
        pytest.param(chain(TopK(), DataObjScan()), ["scan"], id="D02: a data object"),
        pytest.param(chain(TopK(), PointersScan()), ["scan"], id="D03: an index object"),
        pytest.param(chain(TopK(), ScanSet(targets=(DataObjScan(),))), ["other"], id="D04"),
        pytest.param(build(CASES["V43"])[0], ["scan", "scan"], id="D05: beside a remote child"),
    ],
)
def test_a_task_that_reads_storage_is_of_the_scan_lane(plan: Plan, lanes: list[Lane]) -> None:
    assert [each.lane for each in partition(plan).preorder()] == lanes


@pytest.mark.parametrize("limit", [-1, 0])
def test_d08_a_limit_below_one_is_none(limit: int) -> None:
    lanes = Admission(scan=limit, other=limit)
    tasks = [task(n, lane) for n in range(20) for lane in LANES]
    lanes.enqueue(tasks)
    assert len(admitted(lanes)) == 40
    assert all(lanes.has_free(lane) for lane in LANES)


@pytest.mark.parametrize(
    ("name", "order"),
    [("V36", "T1 T2 T3 T4 T5"), ("V25", "T1 T2 T5 T3 T4 T6 T7")],
)
def test_d09_all_of_the_other_lane_comes_before_all_of_the_scan_lane(name: str, order: str) -> None:
    tasks = list(partition(build(CASES[name])[0], ids=Identifiers()).preorder())
    lanes = Admission(scan=0, other=0)
    lanes.enqueue(tasks)
    assert [f"T{tasks.index(each) + 1}" for each in admitted(lanes)] == order.split()


def test_d07_a_hundred_scans_pass_a_lane_of_thirty_two() -> None:
    lanes = Admission(scan=32, other=0)
    root, *scans = [task(0, "other"), *(task(n) for n in range(1, 101))]
    lanes.enqueue([root, *scans])
    assert admitted(lanes) == [root, *scans[:32]]
    for n, scan in enumerate(scans):
        assert lanes.release(scan)
        assert admitted(lanes) == scans[32 + n : 33 + n]


def test_a_task_of_the_other_lane_that_comes_late_overtakes_waiting_scans() -> None:
    lanes = Admission(scan=1, other=1)
    first, second, late = task(1), task(2), task(3, "other")
    lanes.enqueue([first, second])
    assert lanes.admit() is first
    lanes.enqueue([late])
    lanes.release(first)
    assert admitted(lanes) == [late, second]


def test_one_lane_that_is_full_does_not_hold_up_the_other() -> None:
    lanes = Admission(scan=1, other=1)
    others, scan = [task(1, "other"), task(2, "other")], task(3)
    lanes.enqueue([*others, scan])
    assert admitted(lanes) == [others[0], scan]


class Model(RuleBasedStateMachine):
    """A task waits, holds a token, or neither; each step looks through all of them."""

    @initialize(scan=st.integers(-1, 3), other=st.integers(-1, 3))
    def start(self, scan: int, other: int) -> None:
        self.lanes = Admission(scan=scan, other=other)
        self.limits = {"scan": scan, "other": other}
        self.known: list[Task] = []
        self.waiting: list[Task] = []
        self.holding: list[Task] = []

    def pick(self, index: int) -> Task | None:
        return self.known[index % len(self.known)] if self.known else None

    @rule(wanted=st.lists(st.sampled_from(LANES), max_size=3))
    def enqueue(self, wanted: list[Lane]) -> None:
        new = [task(len(self.known) + n, lane) for n, lane in enumerate(wanted)]
        self.known += new
        self.waiting += new
        self.lanes.enqueue(new)

    @rule()
    def admit(self) -> None:
        expected = None
        for lane in LANES:
            for each in self.waiting:
                held = [one for one in self.holding if one.lane == lane]
                free = self.limits[lane] < 1 or len(held) < self.limits[lane]
                if expected is None and each.lane == lane and free:
                    expected = each
        assert self.lanes.admit() is expected
        if expected is not None:
            self.waiting.remove(expected)
            self.holding.append(expected)

    @rule(index=st.integers(0, 50))
    def release(self, index: int) -> None:
        if (each := self.pick(index)) is None:
            return
        held = each in self.holding
        assert self.lanes.release(each) is held
        assert self.lanes.release(each) is False  # a token comes back once
        if held:
            self.holding.remove(each)

    @rule(index=st.integers(0, 50))
    def withdraw(self, index: int) -> None:
        if (each := self.pick(index)) is None:
            return
        self.lanes.withdraw(each)
        if each in self.waiting:
            self.waiting.remove(each)

    @rule()
    def stop(self) -> None:
        self.lanes.stop()
        self.waiting.clear()
        assert self.lanes.admit() is None

    @invariant()
    def both_agree(self) -> None:
        if not hasattr(self, "lanes"):
            return
        for lane in LANES:
            held = [each for each in self.holding if each.lane == lane]
            assert list(self.lanes.holders(lane)) == held
            assert list(self.lanes.waiting(lane)) == [
                each for each in self.waiting if each.lane == lane
            ]
            limit = self.limits[lane]
            assert limit < 1 or len(held) <= limit
            assert self.lanes.has_free(lane) == (limit < 1 or len(held) < limit)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
