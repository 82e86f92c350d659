"""The same scenario and seed give the same bytes: anywhere, any time, whatever else is added."""

import gc
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cases import build, load_cases
from worlds import is_over, limited, logs, newest, of

from sim.choices import Deltas, Seeded
from sim.latency import Bimodal, Exponential
from sim.scenario import Client, Cluster, Fault, Scenario, Workload
from sim.simulate import simulate
from workflow import Options

ROOT = Path(__file__).parent.parent
SEEDS = range(3)
TROUBLE = (
    Fault(kind="task_failure", per_million=6_000),
    Fault(kind="worker_crash", per_million=30_000, ticks=2_000),
    Fault(kind="connection_cut", per_million=3_000),
    Fault(kind="late_ack", per_million=100_000, ticks=900),
    Fault(kind="refused_assignment", per_million=100_000),
    Fault(kind="cancel_task", per_million=10_000),
)


def scenarios() -> dict[str, Scenario]:
    """A little of everything."""
    diamond, _ = build(load_cases()["V36"])
    slow = Client(pause=Exponential(mean=2_000), stall_after=2, stall_ticks=9_000)
    return {
        "calm": Scenario(workloads=(Workload(plan=logs(4)),)),
        "trouble": Scenario(
            cluster=Cluster(workers=3, slack=40),
            workloads=(Workload(plan=logs(6), client=slow), Workload(plan=newest(8, 5))),
            faults=TROUBLE,
        ),
        "late news": Scenario(
            cluster=Cluster(notify=Bimodal(short=0, long=5_000, long_percent=30)),
            workloads=(Workload(plan=diamond, options=Options(max_running_scan_tasks=4)),),
            faults=TROUBLE,
        ),
        "reference": Scenario(
            cluster=Cluster(profile="reference", ack_timeout=4_000),
            workloads=(Workload(plan=newest(5, 4, batching=True)),),
            faults=(Fault(kind="lost_ack", per_million=200_000), *TROUBLE),
        ),
        "silence": Scenario(
            cluster=Cluster(detect=8_000, slack=500),
            workloads=(Workload(plan=limited(9, 5)), Workload(plan=logs(3), arrival=3_000)),
            faults=(
                Fault(kind="half_open", per_million=20_000, ticks=4_000),
                Fault(kind="worker_leave", at=2_500),
                Fault(kind="slow_link", nth=12, factor=20),
            ),
        ),
        "crowd": Scenario(
            cluster=Cluster(workers=4, slots=6, slack=7),
            workloads=tuple(
                Workload(
                    plan=logs(5),
                    arrival=900 * (index // 2),
                    options=Options(tenant=f"t{index % 2}", max_running_scan_tasks=2),
                    client=Client(cancel_at=9_000 if index == 3 else None),
                )
                for index in range(5)
            ),
            faults=TROUBLE,
        ),
    }


def digests() -> dict[str, list[str]]:
    """What every scenario comes to, by its name."""
    return {
        name: [simulate(scenario, Seeded(seed)).digest for seed in SEEDS]
        for name, scenario in scenarios().items()
    }


HERE = digests()


def digests_of(python: str | Path, *options: str, **env: str) -> dict[str, list[str]]:
    """The digests that a process of its own finds."""
    code = "import json, test_determinism; print(json.dumps(test_determinism.HERE))"
    done = subprocess.run(
        [python, *options, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(("tests", str(ROOT))), **env},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_scenarios_differ_from_one_another_and_with_the_seed() -> None:
    # Else equal digests would say nothing.
    everything = [digest for found in HERE.values() for digest in found]
    assert len(set(everything)) == len(everything) == 6 * len(SEEDS)
    kinds = {
        event.details["fault"]
        for scenario in scenarios().values()
        for seed in SEEDS
        for event in of(simulate(scenario, Seeded(seed)), "fault")
    }
    assert len(kinds) >= 8


def test_a_second_run_in_one_process_is_the_same() -> None:
    assert digests() == HERE


@pytest.mark.parametrize("threshold", [0, 30])
def test_the_garbage_collector_has_no_say(threshold: int) -> None:
    before = gc.get_threshold()
    gc.set_threshold(threshold)  # 0: never; 30: all the time
    try:
        assert digests() == HERE
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345", "random"])
def test_another_process_with_another_hash_seed_finds_the_same(hash_seed: str) -> None:
    assert digests_of(sys.executable, PYTHONHASHSEED=hash_seed) == HERE


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_another_python_finds_the_same(version: str) -> None:
    python = ROOT / f".venv-{version}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no environment .venv-{version} here")
    assert digests_of(python) == HERE


@pytest.mark.parametrize("name", list(scenarios()))
def test_the_deltas_of_a_run_are_all_that_a_replay_needs(name: str) -> None:
    scenario = scenarios()[name]
    for seed in SEEDS:
        outcome = simulate(scenario, Seeded(seed))
        replay = Deltas(outcome.deltas)
        again = simulate(scenario, replay)
        assert (again.digest, again.deltas) == (outcome.digest, outcome.deltas)
        assert (again.steps, again.decisions) == (outcome.steps, outcome.decisions)
        assert replay.unused == {}


def test_a_fault_that_never_happens_leaves_no_trace() -> None:
    never = (
        Fault(kind="task_failure", nth=9_999),
        Fault(kind="connection_cut", nth=999_999),
        Fault(kind="half_open", nth=999_999, worker=0),
        Fault(kind="worker_crash", nth=99_999),
        Fault(kind="cancel_task", nth=99_999, task=2),
    )
    scenario = scenarios()["trouble"]
    more = replace(scenario, faults=(*never[:3], *scenario.faults, *never[3:]))
    for seed in range(50):
        assert simulate(more, Seeded(seed)).digest == simulate(scenario, Seeded(seed)).digest


def test_what_comes_after_a_run_does_not_change_it() -> None:
    for name in ("calm", "trouble", "late news"):
        scenario = scenarios()[name]
        later = Workload(plan=logs(3), arrival=10_000_000)
        both = replace(scenario, workloads=(*scenario.workloads, later))
        for seed in range(10):
            alone = simulate(scenario, Seeded(seed))
            outcome = simulate(both, Seeded(seed))
            is_over(alone)
            until = next(e.seq for e in of(alone, "tables"))  # what is kept at the end
            assert outcome.trace.events[:until] == alone.trace.events[:until]
            assert outcome.ends[: len(alone.ends)] == alone.ends


class Noted(Seeded):
    """Keeps every answer, the tamest too."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.answers: dict[str, int] = {}

    def _answer(self, decision: str, n: int) -> int:
        answer = self.answers[decision] = super()._answer(decision, n)
        return answer


@pytest.mark.parametrize("workers", [1, 3])
def test_one_scan_more_leaves_nearly_all_delays_as_they_were(workers: int) -> None:
    kept = total = 0
    for seed in range(20):
        noted = []
        for scans in (6, 7):
            choices = Noted(seed)
            simulate(
                Scenario(
                    cluster=Cluster(workers=workers, slots=9),
                    workloads=(Workload(plan=newest(5, scans)),),
                ),
                choices,
            )
            noted.append(choices.answers)
        for decision, answer in noted[0].items():
            if decision.startswith(("latency:", "work:")):
                total += 1
                kept += noted[1].get(decision) == answer
    assert total > 1_000
    assert kept > 0.95 * total
