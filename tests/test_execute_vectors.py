"""Every answer of the reference implementation, from the lines that it read."""

import json
from random import Random

import pytest
from executed import DATA, answer, json_rows, objects, rebound, run, run_tasks

from workflow import plan_from_json

ANSWERS = [json.loads(line) for line in (DATA / "results.jsonl").read_text("utf-8").splitlines()]
LOGQL = {
    case["name"]: case
    for case in map(json.loads, (DATA / "logql.jsonl").read_text("utf-8").splitlines())
}


def test_all_fourteen_are_there() -> None:
    assert len(ANSWERS) == 14
    assert sum(len(case["rows"]) for case in ANSWERS) > 1_500


@pytest.mark.parametrize("case", ANSWERS, ids=[case["query"] for case in ANSWERS])
def test_a_whole_plan_gives_the_rows_of_the_reference(case: dict[str, object]) -> None:
    plan = plan_from_json(case["plan"])
    expected = answer(case["rows"])  # type: ignore[arg-type]
    assert answer(json_rows(run(plan, objects(8)))) == expected
    assert answer(json_rows(run(plan, objects(8), Random(1)))) == expected


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("case", ANSWERS, ids=[case["query"] for case in ANSWERS])
def test_its_tasks_give_the_rows_of_the_reference(case: dict[str, object], count: int) -> None:
    plan = rebound(plan_from_json(case["plan"]), objects(count))
    for seed in range(3):
        batches = run_tasks(plan, objects(count), Random(seed), encode=seed == 0)
        assert answer(json_rows(batches)) == answer(case["rows"])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LOGQL)
def test_every_plan_of_a_real_query_executes(name: str) -> None:
    plan = rebound(plan_from_json(LOGQL[name]["plan"]), objects(8), keep_ids=False)
    whole = answer(json_rows(run(plan, objects(8))))
    assert answer(json_rows(run_tasks(plan, objects(8), Random(3)))) == whole
    if "timeout|deadline" not in LOGQL[name]["query"] and "by (host)" not in LOGQL[name]["query"]:
        assert whole
