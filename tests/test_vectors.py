"""What the reference implementation printed, compared with what this engine makes of it."""

import json
from pathlib import Path

import pytest

from workflow import (
    GraphError,
    Identifiers,
    Plan,
    TaskGraph,
    partition,
    plan_from_json,
    plan_to_json,
    plan_to_text,
)
from workflow.partition import attach_results
from workflow.partition_json import partition_to_json

DATA = Path(__file__).parent / "data"
CASES = {
    case["name"]: case
    for name in ("plans.jsonl", "logql.jsonl")
    for case in map(json.loads, (DATA / name).read_text(encoding="utf-8").splitlines())
}


def tasks_of(plan: Plan) -> TaskGraph:
    """The tasks of a workflow over the plan, the results stream included."""
    ids = Identifiers()
    tasks = partition(plan, ids=ids)
    attach_results(tasks, ids=ids)
    return tasks


def test_all_of_the_vectors_are_there() -> None:
    assert len(CASES) == 394
    assert sum("error" in case for case in CASES.values()) == 68


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_read_written_printed_and_cut_as_the_reference_does(name: str) -> None:
    case = CASES[name]
    plan = plan_from_json(case["plan"])
    assert plan_to_json(plan) == case["plan"]
    # A plan of several roots prints them in any order.
    assert sorted(f"{part}\n" for part in plan_to_text(plan).rstrip("\n").split("\n\n")) == sorted(
        f"{part}\n" for part in case["plan_text"].rstrip("\n").split("\n\n")
    )
    if "error" in case:
        with pytest.raises(GraphError) as refused:
            tasks_of(plan)
        assert refused.value.rule == case["error"]
        return
    seen = partition_to_json(tasks_of(plan), plan)
    assert seen["workflow_text"] == case["workflow_text"]
    assert seen["streams"] == case["streams"]
    assert seen["tasks"] == case["tasks"]
