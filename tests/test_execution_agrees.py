"""Two implementations that share no code give the same answers: columns in batches, and rows."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import pyarrow as pa
import pytest
from executed import Sections, permuted, run, run_tasks, section
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.oracle import Answer, CannotAnswer, answer, same_answer
from properties.strategies import plans, sections, seeds
from workflow import Plan
from workflow.execute import ExecutionError
from workflow.plan import DataObjScan, TopK

PLACES: Final = [(f"objects/{number // 2}", number % 2) for number in range(4)]
EXAMPLES: Final = 60  # of each way
STEADY: Final = settings(deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class Case:
    plan: Plan
    sections: Sections
    random: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A plan, sections for all places that it may read, and a seed for cuts and orders."""
    rows = st.sampled_from((4, 6, 0))
    data = {place: draw(sections(min_rows=draw(rows))) for place in PLACES}
    plan = draw(plans(executable=True, min_targets=draw(st.sampled_from((1, 1, 1, 0)))))
    return Case(plan, data, draw(seeds()))


def compared(case: Case, given: Callable[[], list[pa.RecordBatch]]) -> str:
    """How far the answer is determined, once what was given has been found to be right."""
    try:
        right = answer(case.plan, case.sections)
    except CannotAnswer as cannot:
        return without_an_answer(case, cannot.rule, given)
    difference = same_answer(right, Answer.from_batches(given()))
    assert difference is None, str(difference)
    if not right.determined:
        return "not determined"
    return "equal" if right.rows else "empty"


def without_an_answer(case: Case, rule: str, given: Callable[[], list[pa.RecordBatch]]) -> str:
    """What is undetermined is given all the same; too many series are refused by both."""
    assert rule in ("undetermined", "series-limit"), rule
    try:
        given()
    except ExecutionError as refused:
        if refused.rule != "max-query-series":
            raise
        return "refused"
    # Above a Limit it may be over before it has met as many series.
    limited = any(node.kind == "Limit" for node in case.plan)
    assert limited or rule == "undetermined", f"{rule}, but nothing was refused"
    return "not determined"


def whole(case: Case) -> list[pa.RecordBatch]:
    return run(case.plan, case.sections)


def in_tasks(case: Case) -> list[pa.RecordBatch]:
    return run_tasks(case.plan, case.sections, Random(case.random))


def in_other_batches(case: Case) -> list[pa.RecordBatch]:
    return run(case.plan, case.sections, Random(case.random))


def with_shards_permuted(case: Case) -> list[pa.RecordBatch]:
    random = Random(case.random)
    return run_tasks(permuted(case.plan, random), case.sections, random)


WAYS = {
    "one execution": whole,
    "tasks": in_tasks,
    "other batches": in_other_batches,
    "shards permuted": with_shards_permuted,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_executing_a_plan_gives_the_answer_of_the_oracle(way: str) -> None:
    seen: Counter[str] = Counter()

    @settings(STEADY, max_examples=EXAMPLES)
    @given(cases())
    def agrees(case: Case) -> None:
        seen[compared(case, lambda: WAYS[way](case))] += 1

    agrees()
    assert seen["equal"] >= EXAMPLES // 4  # of the rest, many are empty
    assert 0 < seen["not determined"] < EXAMPLES // 3


def test_a_section_that_two_tasks_read_is_read_by_both() -> None:
    plan, scan = Plan(), DataObjScan(location="objects/0")
    over, below = TopK(k=5), TopK(k=2)
    for node in (over, below, scan):
        plan.add(node)
    for parent, child in ((over, below), (over, scan), (below, scan)):
        plan.add_edge(parent, child)
    stored = section(
        [{"stream_id": 1, "timestamp": "2025-01-01T00:00:00Z", "line": "a", "labels": {}}]
    )
    for seed in range(5):
        given = run_tasks(plan, {("objects/0", 0): stored}, Random(seed))
        assert sum(batch.num_rows for batch in given) == 2
