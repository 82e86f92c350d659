"""Scenarios made up from a number: all sorts of them, each can run, and nothing is wrong."""

from collections import Counter

from worlds import chain, scan_set

from properties.judged import judged
from scenarios.arbitrary import arbitrary_scenario
from scenarios.replay import replay_code
from scenarios.runs import load_target, run
from sim.choices import Seeded
from sim.scenario import FAULT_KINDS, Scenario, Workload
from sim.scenario_file import scenario_from_json, scenario_to_json
from workflow.plan import Batching, Parallelize


def test_each_kind_of_trouble_and_every_number_of_workloads_comes_up() -> None:
    scenarios = [arbitrary_scenario(number) for number in range(200)]
    kinds = Counter(fault.kind for scenario in scenarios for fault in scenario.faults)
    assert sorted(kinds) == sorted(FAULT_KINDS)
    assert sorted(Counter(len(scenario.workloads) for scenario in scenarios)) == [1, 2, 3]
    assert any(not scenario.faults for scenario in scenarios)


def test_one_is_a_scenario_like_any_other() -> None:
    for number in range(20):
        scenario = arbitrary_scenario(number)
        assert scenario_from_json(scenario_to_json(scenario)) == scenario


def test_a_hundred_of_them_break_no_rule() -> None:
    for number in range(100):
        violations = judged(arbitrary_scenario(number), Seeded(number)).violations
        assert not violations, f"windtunnel run random --seed {number}: {violations[0]}"


def test_the_seed_names_scenario_and_run() -> None:
    scenario, name = load_target("random", seed=12)
    finished = run(scenario, Seeded(12), target=name, seed=12)
    assert finished.code.startswith("random@12@sound@")
    assert replay_code(finished.code).verdict == "SAME"


def test_a_task_that_only_makes_batches_runs() -> None:
    plan = chain(Batching(batch_size=10), Parallelize(), scan_set(2))
    run_ = judged(Scenario(workloads=(Workload(plan=plan),)), Seeded(1))
    assert (run_.violations, run_.outcome.ends[0].rows) == ((), 40)
