"""The scenarios and plans that come with Windtunnel."""

import json
from pathlib import Path

import pytest

from scenarios.report.summary import HEIGHT, describe_run
from scenarios.runs import run
from scenarios.shelf import find_plan, find_scenario, load_plan, plan_names, scenario_names
from scenarios.wording import WIDTH
from sim.choices import Seeded
from sim.scenario_file import scenario_from_json, scenario_from_toml, scenario_to_json
from sim.scenario_file import scenario_to_toml as to_toml
from workflow import plan_from_json, plan_to_json

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "scenarios" / "library"
LOGQL = [
    json.loads(line)
    for line in (ROOT / "tests" / "data" / "logql.jsonl").read_text("utf-8").splitlines()
]
# Plans of real LogQL queries: the library's name, and the vector's.
REAL = {
    "average-latency": "logql-19-2sections",
    "count-over-time": "logql-10-2sections",
    "error-rate": "logql-11-12sections",
    "errors-by-status": "logql-33-2sections",
    "log-lines": "logql-08-2sections",
    "log-search": "logql-04-12sections",
    "max-of-sums": "logql-27-12sections",
    "rate-by-level-and-env": "logql-14-12sections",
    "regexp-search": "logql-07-12sections",
    "sum-by-level": "logql-13-12sections",
}


def test_there_are_at_least_eight_scenarios_and_six_real_queries_run_in_them() -> None:
    assert len(scenario_names()) >= 8
    used = {load.plan_name for name in scenario_names() for load in find_scenario(name).workloads}
    assert len(used & set(REAL)) >= 6


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_says_what_it_is_about_and_is_called_like_its_file(name: str) -> None:
    scenario = find_scenario(name)
    assert scenario.name == name
    assert scenario.sentence.endswith(".")
    assert len(scenario.sentence) > 20
    assert scenario.cluster.profile == "sound"


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_runs_without_violation_and_its_summary_fits_a_screen(name: str) -> None:
    for seed in range(5):
        finished = run(find_scenario(name), Seeded(seed), target=name, seed=seed)
        assert finished.violations == ()
        lines = list(describe_run(finished))
        assert len(lines) <= HEIGHT
        assert [line for line in lines if len(line) > WIDTH or line != line.rstrip()] == []
        assert lines[-1] == f"replay     windtunnel replay {finished.code}"


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_stays_the_same_through_its_forms(name: str) -> None:
    scenario = find_scenario(name)
    for find in (find_plan, None):
        text = to_toml(scenario, find_plan=find)
        again = scenario_from_toml(text, find_plan=find, plan_names=plan_names())
        assert again == scenario
    assert scenario_from_json(scenario_to_json(scenario)) == scenario


def test_a_scenario_s_workload_carries_the_query_of_its_plan() -> None:
    for name in scenario_names():
        for workload in find_scenario(name).workloads:
            assert workload.query == load_plan(workload.plan_name).query


@pytest.mark.parametrize(("name", "vector"), REAL.items(), ids=list(REAL))
def test_the_plan_of_a_real_query_is_that_of_its_vector(name: str, vector: str) -> None:
    [case] = [case for case in LOGQL if case["name"] == vector]
    file = json.loads((LIBRARY / "plans" / f"{name}.json").read_text(encoding="utf-8"))
    assert (file["name"], file["query"]) == (name, case["query"])
    assert json.dumps(file["plan"], sort_keys=True) == json.dumps(case["plan"], sort_keys=True)
    named = load_plan(name)
    assert (named.name, named.query) == (name, case["query"])
    assert plan_to_json(named.plan) == plan_to_json(plan_from_json(case["plan"]))


def test_every_plan_is_named_once_and_loads() -> None:
    files = sorted((LIBRARY / "plans").iterdir())
    assert [file.stem for file in files] == plan_names()
    for name in plan_names():
        assert load_plan(name).name == name
        assert len(load_plan(name).plan) > 0
    with pytest.raises(LookupError):
        load_plan("nothing")


def test_every_plan_runs_by_its_name_or_in_a_scenario() -> None:
    used = {load.plan_name for name in scenario_names() for load in find_scenario(name).workloads}
    assert used <= set(plan_names())
    # Those that no scenario uses are there to be run and cut by hand; `windtunnel list` has them.
    assert set(plan_names()) - used == {"regexp-search", "two-scans"}
