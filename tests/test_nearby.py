"""Runs near a failure: where a replay looks when what was recorded breaks nothing any more."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from scenarios.archive import OURS, load_failure
from scenarios.failure import Failure
from scenarios.nearby import RUNS, Nearby, nearby
from scenarios.replay import replay_failure
from sim.choices import Deltas
from sim.parts import SOUND
from sim.scenario_file import scenario_to_json


def ours(name: str) -> Failure:
    return load_failure(OURS / f"{name}.json")


def cancelled_at(failure: Failure, ticks: int) -> Failure:
    [workload] = failure.scenario.workloads
    workload = replace(workload, client=replace(workload.client, cancel_at=ticks))
    return replace(failure, scenario=replace(failure.scenario, workloads=(workload,)))


def test_there_are_no_more_than_so_many_and_they_are_always_the_same() -> None:
    failure = ours("takes-after-close")
    first, second = list(nearby(failure)), list(nearby(failure))
    assert len(first) == RUNS
    assert [(each.what, each.scenario) for each in first] == [
        (each.what, each.scenario) for each in second
    ]
    assert len({each.what for each in first}) == RUNS


@pytest.mark.parametrize("name", ["cut-keeps-jobs", "former-attempts-count", "W2-token-by-state"])
def test_each_is_another_run_and_can_be_saved(name: str) -> None:
    failure = ours(name)
    moved = [each for each in nearby(failure) if each.scenario != failure.scenario]
    assert moved
    assert all(scenario_to_json(each.scenario) for each in moved)
    assert len({str(scenario_to_json(each.scenario)) for each in moved}) == len(moved)


def test_what_was_recorded_is_kept_over_what_a_seed_draws() -> None:
    failure = ours("ends-with-the-first")
    [(name, answer)] = failure.choices.items()
    *_, last = nearby(failure)
    assert "drawn from seed" in last.what
    asked: Mapping[str, int] = failure.run(last.choices, stop=False).outcome.deltas
    assert asked[name] == answer
    assert len(asked) > 1


def test_a_moment_that_was_just_right_is_found_again_and_that_is_said() -> None:
    failure = ours("cancel-told-twice")
    replay = replay_failure(cancelled_at(failure, 3))
    assert replay.verdict == "SAME"
    assert replay.reason.startswith("found again nearby, in run 3 of at most 100: cancel_at of ")
    assert any(each.rule == failure.rule for each in replay.run.violations)
    assert replay.recorded is None


def test_an_answer_that_was_just_right_is_found_again() -> None:
    failure = ours("hasty-time-out")
    [(name, answer)] = failure.choices.items()
    replay = replay_failure(replace(failure, choices={name: answer - 1}))
    assert replay.verdict == "SAME"
    assert f"{name} is answered with {answer} instead of {answer - 1}" in replay.reason


def test_what_is_mended_is_not_found_nearby_and_the_number_of_runs_is_said() -> None:
    replay = replay_failure(ours("hasty-time-out"), parts=SOUND)
    assert replay.verdict == "FIXED"
    assert replay.reason.endswith(f"; the rule holds nearby too, in runs: {RUNS}")


def test_a_run_that_was_cut_short_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = ours("closes-deaf")
    [workload] = failure.scenario.workloads
    long = replace(failure.scenario, workloads=(replace(workload, rows_per_scan=2_000),))
    there = [Nearby("many rows", long, Deltas({}))]
    monkeypatch.setattr("scenarios.replay.nearby", lambda _: iter(there))
    # Whoever is cut short never comes to its end, which is what L1 is about.
    ends = replace(failure, violation=replace(failure.violation, rule="L1"))
    replay = replay_failure(ends, parts=SOUND)
    assert replay.verdict == "FIXED"
    assert replay.reason.endswith("the rule holds nearby too, in runs: 1")
