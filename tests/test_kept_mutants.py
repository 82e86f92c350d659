"""The failures of mutants that come with the package: each is still one, and the mutant's alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scenarios.archive import OURS, find_failure, load_failure, write_failure
from scenarios.cli import cli
from scenarios.mutation import ALL, hunt, keep_all
from scenarios.shelf import plan_names, scenario_names
from scenarios.testing import check_kept
from sim.parts import SOUND

STEPS = 20_000  # of a run that never ends


def test_of_every_mutant_one_is_kept_and_of_nothing_else() -> None:
    assert {path.stem for path in OURS.iterdir()} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_kept_failure_breaks_its_rule_again(name: str) -> None:
    failure = load_failure(OURS / f"{name}.json")
    assert failure.expect == "violated"
    assert failure.origin.mutant == name
    assert failure.rule in ALL[name].rules
    check_kept(failure)


@pytest.mark.parametrize("name", ALL)
def test_parts_with_nothing_wrong_break_no_rule_there(name: str) -> None:
    failure = load_failure(OURS / f"{name}.json")
    steps = min(failure.scenario.max_steps, STEPS)
    failure = replace(failure, scenario=replace(failure.scenario, max_steps=steps))
    assert not failure.run(parts=SOUND).violations


@pytest.mark.parametrize("name", ["canary", "hasty-time-out"])
def test_the_same_code_keeps_the_same_bytes(name: str, tmp_path: Path) -> None:
    keep_all([hunt(name, ALL[name])], folder=tmp_path, processes=1)
    kept = load_failure(OURS / f"{name}.json")
    again = tmp_path / f"{name}.json"
    # All but the versions.
    write_failure(replace(load_failure(again), versions=kept.versions), again)
    assert again.read_bytes() == (OURS / f"{name}.json").read_bytes()


def test_one_is_replayed_by_its_name_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_failure("W1-token-leak") == OURS / "W1-token-leak.json"
    done = CliRunner().invoke(cli, ["replay", "W1-token-leak"])
    assert done.exit_code == 1
    assert done.output.startswith("SAME       all ")


def test_the_list_counts_them_and_no_scenario_or_plan_is_one() -> None:
    done = CliRunner().invoke(cli, ["list"])
    assert f"kept failures: {len(ALL)}, one of each mutant" in done.output
    assert not set(ALL) & {*scenario_names(), *plan_names()}
