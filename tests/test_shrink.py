"""A failing run becomes small, and stays the same failure."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest

from properties.judged import judged
from properties.monitors import MONITORS, Monitor
from properties.mutants import MUTANTS
from scenarios.mutation import hunting_ground
from scenarios.shelf import find_scenario
from scenarios.shrink import Shrunk, Size, shrink
from scenarios.shrink.names import Edit, renamed, shape_of
from scenarios.shrink.passes import fewest, lowest
from scenarios.shrink.plans import rebuilt
from sim.choices import Deltas, Seeded
from sim.job import Job
from sim.parts import SOUND, Parts
from sim.scenario import Client, Cluster, Fault, Scenario, Workload
from workflow import Options, plan_to_json
from workflow.plan import DataObjScan, Merge, Parallelize, Plan, ScanSet
from workflow.trace import Event


class NoFailure(Monitor):
    rule, sentence = "X1", "no task fails of trouble"

    def on_fault(self, event: Event) -> None:
        if event.details["fault"] == "task_failure":
            self.violated(event.subject, event)


class FirstWorkerOnly(Monitor):
    rule, sentence = "X2", "nothing runs but on the first worker"

    def on_run(self, event: Event) -> None:
        if event.details["worker"] != "w0":
            self.violated(event.subject, event)


class NoManifest(Monitor):
    rule, sentence = "X3", "there is no manifest"

    def on_manifest(self, event: Event) -> None:
        self.violated(event.subject, event)


class MoreThanOne(Monitor):
    rule, sentence = "X4", "a plan has more than one task"

    def on_manifest(self, event: Event) -> None:
        if len(event.details["tasks"]) < 2:
            self.violated(event.subject, event)


# Each with the scenario, the seed and the rule of a run that fails: found by `make mutants`.
FOUND = {
    "W1-token-leak": ("overlapping-ranges", 0, "A2"),
    "W2-token-by-state": ("one-token", 3, "A1"),
    "W8-belied-outcome": ("rate-by-level-and-env", 8, "C1"),
    "lost-is-run-again": ("average-latency", 11, "S1"),
    "closes-deaf": ("log-search", 0, "L2"),
}


@cache
def shrunk(name: str) -> Shrunk:
    scenario, seed, rule = FOUND[name]
    return shrink(hunting_ground(scenario), Seeded(seed), rule, parts=MUTANTS[name].parts)


def scans(count: int) -> Plan:
    plan = Plan()
    top, shards = plan.add(Merge()), plan.add(Parallelize())
    below = plan.add(ScanSet(targets=tuple(DataObjScan(location=f"o/{i}") for i in range(count))))
    plan.add_edge(top, shards)
    plan.add_edge(shards, below)
    return plan


def one_scan() -> Plan:
    plan = Plan()
    plan.add(DataObjScan(location="a"))
    return plan


def test_a_planted_failure_comes_down_to_what_it_takes_and_nothing_else() -> None:
    scenario = Scenario(
        cluster=Cluster(workers=4, slots=7, buffer=3, slack=50, detect=5),
        workloads=(
            Workload(plan=scans(3), client=Client(cancel_at=40_000), arrival=500),
            Workload(plan=scans(5), options=Options(max_running_scan_tasks=2)),
        ),
        faults=(
            Fault(kind="worker_crash", at=9_000, ticks=1_000),
            Fault(kind="slow_link", per_million=30_000),
            Fault(kind="task_failure", per_million=60_000, silent=True),
        ),
    )
    result = shrink(scenario, Seeded(3), "X1", monitors=[NoFailure])
    assert result.choices == {}
    assert result.scenario == Scenario(
        cluster=Cluster(workers=1),
        workloads=(Workload(plan=one_scan(), rows_per_scan=0),),
        faults=(Fault(kind="task_failure", nth=0),),
    )
    assert result.needed == {"fault 0": True}
    assert result.complete


def test_the_choices_that_it_takes_stay_and_are_known_to_be_needed() -> None:
    scenario = Scenario(cluster=Cluster(workers=3), workloads=(Workload(plan=scans(4)),))
    result = shrink(scenario, Seeded(1), "X2", monitors=[FirstWorkerOnly])
    assert (result.after.tasks, result.after.workers, result.after.choices) == (1, 2, 1)
    [(name, answer)] = result.choices.items()
    assert answer == 1
    assert result.needed == {name: True}


def test_another_rule_that_fails_sooner_is_not_what_is_shrunk() -> None:
    scenario = Scenario(
        workloads=(Workload(plan=scans(4)),),
        faults=(Fault(kind="task_failure", per_million=200_000),),
    )
    result = shrink(scenario, Seeded(1), "X1", monitors=[NoManifest, NoFailure])
    assert [violation.rule for violation in result.judged.violations] == ["X1"]
    assert len(result.scenario.faults) == 1


def test_a_rule_that_failed_first_does_so_in_the_result_as_well() -> None:
    scenario = Scenario(
        workloads=(Workload(plan=scans(4)),), faults=(Fault(kind="task_failure", nth=2),)
    )
    alone = shrink(scenario, Seeded(1), "X1", monitors=[NoFailure])
    assert alone.after.tasks == 1
    # A plan of one task would violate the other rule, and a replay show that one.
    result = shrink(scenario, Seeded(1), "X1", monitors=[MoreThanOne, NoFailure])
    assert result.after.tasks == 2
    assert [violation.rule for violation in result.judged.violations] == ["X1"]


@pytest.mark.parametrize("name", FOUND)
def test_the_result_replays_and_is_the_fault_of_the_mutant_alone(name: str) -> None:
    result, rule = shrunk(name), FOUND[name][2]
    found = dict.fromkeys(violation.rule for violation in result.judged.violations)
    again = judged(
        result.scenario,
        Deltas(result.choices),
        parts=MUTANTS[name].parts,
        monitors=[each for each in MONITORS if each.rule in found],
    )
    assert rule in found
    assert again.violations == result.judged.violations
    assert again.outcome.digest == result.judged.outcome.digest
    assert result.judged.outcome.scenario == result.scenario
    assert result.judged.outcome.deltas == result.choices
    sound = judged(result.scenario, Deltas(result.choices), parts=SOUND, stop=False)
    assert rule not in [violation.rule for violation in sound.violations]


@pytest.mark.parametrize("name", FOUND)
def test_the_result_is_small_and_all_that_is_left_is_needed(name: str) -> None:
    result = shrunk(name)
    assert result.after < result.before
    assert result.after.tasks <= 3
    assert result.after.choices <= 3
    assert result.complete
    assert list(result.needed) == [
        *(f"fault {place}" for place in range(len(result.scenario.faults))),
        *result.choices,
    ]
    assert all(result.needed.values())


@pytest.mark.parametrize("name", ["W1-token-leak", "W8-belied-outcome", "lost-is-run-again"])
def test_what_was_shrunk_does_not_shrink(name: str) -> None:
    once = shrunk(name)
    twice = shrink(once.scenario, once.choices, FOUND[name][2], parts=MUTANTS[name].parts)
    assert (twice.scenario, twice.choices) == (once.scenario, once.choices)


_PRINTS = """
from scenarios.shelf import find_scenario
from scenarios.shrink import shrink
from properties.mutants import MUTANTS
from sim.choices import Seeded
from sim.scenario_file import scenario_to_toml
parts = MUTANTS["W8-belied-outcome"].parts
result = shrink(find_scenario("rate-by-level-and-env"), Seeded(8), "C1", parts=parts)
print(scenario_to_toml(result.scenario), result.choices, result.runs, result.steps, result.needed)
"""


def test_the_same_input_gives_the_same_result_under_any_hash_seed() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", _PRINTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert b"[[workload]]" in printed[0]


def test_a_run_that_does_not_fail_is_refused() -> None:
    with pytest.raises(ValueError, match="got 'A2', which the run does not violate"):
        shrink(find_scenario("count-over-time"), Seeded(1), "A2")


def test_the_budget_is_kept_and_what_was_found_until_then_fails() -> None:
    scenario, seed, rule = FOUND["W1-token-leak"]
    parts = MUTANTS["W1-token-leak"].parts
    result = shrink(hunting_ground(scenario), Seeded(seed), rule, parts=parts, max_steps=1_500)
    assert not result.complete
    assert result.steps <= 1_500
    assert rule in [violation.rule for violation in result.judged.violations]
    assert result.after < result.before


class Raising(Job):
    def _take_sources(self):  # type: ignore[no-untyped-def]
        if len(self.task.sources) > 0:
            raise RuntimeError("no sources today")
        return super()._take_sources()


def test_what_a_part_raises_is_a_rule_like_any_other() -> None:
    scenario = Scenario(cluster=Cluster(workers=3), workloads=(Workload(plan=scans(6)),))
    result = shrink(scenario, Seeded(2), "raised RuntimeError", parts=Parts(job=Raising))
    assert result.after.tasks == 2  # one that reads, and one that it reads
    assert result.after.workers == 1
    assert result.choices == {}


def test_a_cluster_does_not_become_too_small_for_its_tasks() -> None:
    for name in FOUND:
        result = shrunk(name)
        cluster = result.scenario.cluster
        assert cluster.workers * cluster.slots >= result.after.tasks


# Who is called what.


def test_a_task_less_gives_the_tasks_behind_it_new_numbers() -> None:
    plan = scans(3)
    [scan_set] = [node for node in plan if isinstance(node, ScanSet)]
    fewer = replace(scan_set, targets=(scan_set.targets[0], scan_set.targets[2]))
    new = rebuilt(plan, swapped={scan_set: fewer})
    old = Scenario(workloads=(Workload(plan=plan),))
    edit = Edit(Scenario(workloads=(Workload(plan=new),)), origins={fewer: scan_set})
    choices = {
        "work:m0/t1/0": 1,
        "work:m0/t2/0": 2,
        "work:m0/t3/0": 3,
        "latency:m0/s3/m0/t3>/data 1": 4,
        "latency:m0/s2/m0/t2>/data 1": 5,
        "place:m0/t3.0": 6,
        "tie:wake m0/t0#2": 7,
        "node:m0/t1+m0/t2+m0/t3": 8,
    }
    assert renamed(choices, old, edit, shape_of) == {
        "work:m0/t1/0": 1,
        "work:m0/t2/0": 3,
        "latency:m0/s2/m0/t2>/data 1": 4,
        "place:m0/t2.0": 6,
        "tie:wake m0/t0#2": 7,
        "node:m0/t1+m0/t2": 8,
    }


def test_a_workload_less_gives_the_others_and_their_clients_new_numbers() -> None:
    early, late = Workload(plan=scans(1)), Workload(plan=scans(1), arrival=9)
    old = Scenario(workloads=(late, early))  # manifests are numbered as they arrive
    edit = Edit(Scenario(workloads=(late,)), workloads={0: 0})
    choices = {"work:m0/t0/0": 1, "work:m1/t0/0": 2, "read:client 0/1": 3, "read:client 1/1": 4}
    assert renamed(choices, old, edit, shape_of) == {"work:m0/t0/0": 2, "read:client 0/1": 3}


def test_a_worker_and_a_fault_less_give_the_others_new_numbers() -> None:
    crash, leave = (
        Fault(kind="worker_crash", per_million=9),
        Fault(kind="worker_leave", per_million=9),
    )
    old = Scenario(
        cluster=Cluster(workers=3),
        workloads=(Workload(plan=scans(1)),),
        faults=(crash, crash, leave),
    )
    new = replace(old, cluster=Cluster(workers=2), faults=(crash, leave))
    edit = Edit(new, workers={0: 0, 2: 1}, faults={1: 0, 2: 1})
    choices = {
        "latency:w1>/hello": 1,
        "latency:w2.2</assign m0/t1": 2,
        "fault:worker_crash/m0/t0": 3,
        "fault:worker_crash#2/m0/t0": 4,
        "fault:worker_leave/m0/t1": 5,
    }
    assert renamed(choices, old, edit, shape_of) == {
        "latency:w1.2</assign m0/t1": 2,
        "fault:worker_crash/m0/t0": 4,
        "fault:worker_leave/m0/t1": 5,
    }


def test_a_plan_rebuilt_without_a_change_says_the_same() -> None:
    plan = scans(3)
    assert plan_to_json(rebuilt(plan)) == plan_to_json(plan)


# Ways to take away.


def test_of_many_things_only_those_stay_that_it_takes() -> None:
    left = list(range(40))
    tried = []

    def keep(fewer: list[int]) -> bool:
        tried.append(fewer)
        if {7, 8, 31} <= set(fewer):
            left[:] = fewer
            return True
        return False

    fewest(left.copy(), keep)
    assert left == [7, 8, 31]
    assert len(tried) < 60


@pytest.mark.parametrize("least_that_works", [0, 1, 3, 17, 29, 30])
def test_a_number_comes_down_as_far_as_it_goes(least_that_works: int) -> None:
    value = 30

    def attempt(number: int) -> bool:
        nonlocal value
        if number >= least_that_works:
            value = number
            return True
        return False

    lowest(value, 0, attempt)
    assert value == least_that_works


def test_a_task_less_is_worth_more_than_anything_that_comes_behind_it() -> None:
    sizes = dict.fromkeys(Size.__dataclass_fields__, 5)
    assert Size(**{**sizes, "tasks": 4, "choices": 900}) < Size(**sizes)
    assert Size(**{**sizes, "faults": 4, "answers": 900}) < Size(**sizes)


def test_every_mutant_of_the_tests_is_still_there() -> None:
    rules = {monitor.rule for monitor in MONITORS}
    assert all(rule in rules and name in MUTANTS for name, (_, _, rule) in FOUND.items())
