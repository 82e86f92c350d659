"""Whom a report or an end makes superfluous, judged by what tasks can truly give."""

import pytest
from cases import Case, build, load_cases, second
from hypothesis import given
from hypothesis import strategies as st

from workflow import ContributingTimeRange, Identifiers, Task, TaskGraph, partition
from workflow.short_circuit import Needs, Reach, true_ranges

CASES = load_cases()
# E11, and a window of aggregation above a scan that starts before it.
E11 = Case(
    "E11", "k=TopK; p=Parallelize; s=ScanSet[A(0..45), X(50..60), Y(10..100)]", "k > p; p > s"
)
WINDOW = Case("", "k=TopK; r=RangeAgg(30..45); x=Scan(10..50)", "k > r; r > x")


def cut(case: Case) -> tuple[TaskGraph, dict[str, Task]]:
    """The tasks of a case, and their names in the notation."""
    tasks = partition(build(case)[0], ids=Identifiers())
    return tasks, {f"T{n}": task for n, task in enumerate(tasks.preorder(), 1)}


def ranges(case: Case) -> dict[str, tuple[int | None, int | None] | None]:
    tasks, named = cut(case)
    found = true_ranges(tasks)
    return {name: _seconds(found[task]) for name, task in named.items()}


def _seconds(reach: Reach | None) -> tuple[int | None, int | None] | None:
    if reach is None:
        return None
    start, end = (None if at is None else at.ns // 10**9 for at in (reach.start, reach.end))
    return start, end


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param(
            CASES["V36"],
            # Not 1..2 and 3..4, as the shards print: they pass on what T3 and T4 give.
            {"T1": (1, 80), "T2": (1, 80), "T3": (50, 60), "T4": (70, 80), "T5": (3, 80)},
            id="V36: nested children",
        ),
        pytest.param(
            CASES["V43"], {"T1": (5, 100), "T2": (5, 100)}, id="V43: a remote child beside a scan"
        ),
        pytest.param(
            CASES["V45"], {"T1": (None, None), "T2": (None, None)}, id="V45: no window, no bound"
        ),
        pytest.param(
            CASES["V44"],
            {"T1": (None, None), "T2": (None, None), "T3": (10, 50)},
            id="V44: no window, also above a child with bounds",
        ),
        pytest.param(
            WINDOW, {"T1": (30, 45), "T2": (30, 45)}, id="the window counts, not what it reads"
        ),
        pytest.param(
            CASES["V46"],
            {"T1": (1, 200), "T2": (1, 200)},
            id="V46: a window beside a scan hides nothing",
        ),
        pytest.param(CASES["V47"], {"T1": None}, id="V47: no rows at all"),
        pytest.param(
            CASES["V10"],
            {"T1": (-180, 0), "T2": (-60, 0), "T3": (-120, -60), "T4": (-180, -120)},
            id="V10: shards",
        ),
        pytest.param(
            Case("", "m=Merge; k=TopK; x=Scan(zero); y=Scan(1..2)", "m > k y; k > x"),
            {"T1": (None, None), "T2": (None, None)},
            id="one unknown bound makes the whole unknown",
        ),
        pytest.param(
            Case("", "m=Merge; k=TopK; y=Scan(1..2); s=ScanSet[]", "m > k y; k > s"),
            {"T1": (1, 2), "T2": None},
            id="one that gives no rows adds nothing",
        ),
    ],
)
def test_a_task_reaches_as_far_as_the_rows_that_it_passes_on(
    case: Case, expected: dict[str, tuple[int | None, int | None] | None]
) -> None:
    assert ranges(case) == expected


class Asked:
    """Needs, asked by name."""

    def __init__(self, case: Case) -> None:
        self.tasks, self.named = cut(case)
        self.names = {task: name for name, task in self.named.items()}
        self.needs = Needs(self.tasks)

    def end(self, parent: str) -> list[str]:
        return [self.names[task] for task in self.needs.end(self.named[parent])]

    def below(self, parent: str, at: int) -> list[str]:
        """Only rows strictly below `at` matter still."""
        return self._narrow(parent, at, less=True)

    def above(self, parent: str, at: int) -> list[str]:
        """Only rows strictly above `at` matter still."""
        return self._narrow(parent, at, less=False)

    def _narrow(self, parent: str, at: int, *, less: bool) -> list[str]:
        report = ContributingTimeRange(second(at), less)
        return [self.names[task] for task in self.needs.narrow(self.named[parent], report)]


def test_e02_a_report_drops_the_children_that_lie_outside() -> None:
    assert Asked(CASES["V10"]).above("T1", -45) == ["T3", "T4"]


def test_e03_reports_that_say_more_drop_more_and_each_child_once() -> None:
    asked = Asked(CASES["V10"])
    assert asked.above("T1", -45) == ["T3", "T4"]
    assert asked.above("T1", -10) == []
    assert asked.above("T1", -1) == []  # rows at 0 lie above
    assert asked.above("T1", 0) == ["T2"]  # its last instant is 0, not after it
    assert asked.above("T1", 99) == []


def test_e04_bounds_are_inclusive_also_below() -> None:
    asked = Asked(CASES["V10"])
    assert asked.below("T1", -59) == []  # rows at -60 lie below
    assert asked.below("T1", -60) == ["T2"]
    assert asked.below("T1", -100) == []
    assert asked.below("T1", -119) == []
    assert asked.below("T1", -120) == ["T3"]


def test_e11_children_are_dropped_in_the_order_of_the_graph() -> None:
    assert Asked(E11).below("T1", 10) == ["T3", "T4"]
    asked = Asked(E11)
    assert asked.below("T1", 40) == ["T3"]
    assert asked.above("T1", 50) == ["T2"]  # both directions in one run
    assert asked.end("T1") == ["T4"]  # only the one that is left


def test_e12_a_child_is_needed_until_both_of_its_parents_are_over() -> None:
    asked = Asked(CASES["V36"])
    assert asked.end("T2") == []
    assert asked.end("T5") == ["T3", "T4"]


def test_e13_a_child_is_not_dropped_while_another_parent_reads_it() -> None:
    """Departs from the reference, which cancels T4 at once (hazard W10)."""
    asked = Asked(CASES["V36"])
    assert asked.below("T2", 55) == []
    assert asked.below("T5", 60) == ["T4"]
    assert asked.end("T5") == []  # T2 still reads T3
    assert asked.end("T2") == ["T3"]


def test_e16_a_child_without_bounds_is_never_excluded() -> None:
    """Departs from the reference, which cancels it (hazard W11)."""
    asked = Asked(CASES["V45"])
    assert asked.above("T1", 5) == []
    assert asked.below("T1", 5) == []
    assert asked.end("T1") == ["T2"]


def test_a_nested_child_keeps_the_shard_that_passes_its_rows_on() -> None:
    asked = Asked(CASES["V36"])  # T2 prints 1..2, and passes on rows of 50..80
    assert asked.above("T1", 40) == []
    assert asked.above("T1", 80) == ["T2", "T5"]


def test_a_parent_that_is_over_drops_nobody_a_second_time() -> None:
    asked = Asked(CASES["V10"])
    assert asked.end("T1") == ["T2", "T3", "T4"]
    assert asked.end("T1") == []
    assert asked.above("T1", 99) == []


def test_a_child_whose_other_parent_is_told_twice_is_still_needed_by_the_first() -> None:
    asked = Asked(CASES["V36"])
    assert asked.end("T2") == []
    assert asked.end("T2") == []
    assert asked.below("T2", -100) == []


@given(
    st.sampled_from(["V04", "V10", "V25", "V32", "V36", "V34", "V43", "V45"]),
    st.lists(
        st.tuples(
            st.integers(1, 7), st.sampled_from(["end", "below", "above"]), st.integers(-190, 110)
        ),
        max_size=12,
    ),
)
def test_a_child_goes_when_its_last_parent_lets_it_go(
    name: str, steps: list[tuple[int, str, int]]
) -> None:
    asked = Asked(CASES[name])
    reach = true_ranges(asked.tasks)
    let_go: set[tuple[Task, Task]] = set()
    gone: list[str] = []
    for number, what, at in steps:
        parent = asked.named.get(f"T{number}")
        if parent is None:
            continue
        for child in asked.tasks.children(parent):
            own = reach[child]
            start, end = (None, None) if own is None else (own.start, own.end)
            out = (
                what == "end"
                or (what == "below" and start is not None and start >= second(at))
                or (what == "above" and end is not None and end <= second(at))
            )
            if out:
                let_go.add((parent, child))
        expected = [
            asked.names[child]
            for child in asked.tasks.children(parent)
            if all((each, child) in let_go for each in asked.tasks.parents(child))
            and asked.names[child] not in gone
        ]
        seen = asked.end(f"T{number}") if what == "end" else getattr(asked, what)(f"T{number}", at)
        assert seen == expected
        gone += seen
