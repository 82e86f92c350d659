"""Faulty clusters and engines: each is caught, by its rule, within its budget."""

from dataclasses import replace
from pathlib import Path

import pytest

from properties.monitors import MONITORS
from properties.mutants import MUTANTS
from properties.mutants import engine as bare
from properties.mutants.canary import CANARY
from properties.mutants.controls import CONTROLS
from properties.mutants.explained import EXPLAINED
from scenarios.mutation import ALL, Hunt, control, exit_code, hunt, rules_page, table, unviolated
from sim.parts import SOUND

_RULES = [monitor.rule for monitor in MONITORS]


@pytest.fixture(scope="module")
def hunts() -> list[Hunt]:
    return [hunt(name, mutant) for name, mutant in ALL.items()]


@pytest.mark.parametrize("name", ALL)
def test_a_mutant_is_caught_by_its_rule_within_its_budget(name: str, hunts: list[Hunt]) -> None:
    [found] = [each for each in hunts if each.name == name]
    assert found.caught, f"{name} survived {found.runs} runs; noticed by {list(found.seen)}"


def test_each_rule_has_been_violated_or_it_is_explained_why_not(hunts: list[Hunt]) -> None:
    assert unviolated(hunts) == []


def test_no_rule_is_explained_away_that_a_mutant_violates(hunts: list[Hunt]) -> None:
    violated = {rule for each in hunts for rule in each.seen}
    assert not violated & set(EXPLAINED)
    assert set(EXPLAINED) <= set(_RULES)


@pytest.mark.parametrize("name", CONTROLS)
def test_parts_with_nothing_wrong_violate_nothing(name: str) -> None:
    assert control(name, seeds=2) == []


def test_the_canary_goes_all_the_way_from_the_judge_to_the_exit_code() -> None:
    caught = hunt("canary", CANARY)
    assert caught.by == ("T3",)
    assert any("canary" in line and "T3" in line for line in table([caught], []))
    assert exit_code([caught], []) == 0


def test_a_survivor_is_named_and_makes_the_exit_code_1() -> None:
    survivor = hunt("harmless", replace(CANARY, parts=SOUND))
    assert not survivor.caught
    assert exit_code([hunt("canary", CANARY), survivor], []) == 1
    assert any(line.startswith("SURVIVED   harmless") for line in table([survivor], []))


def test_a_mutant_that_only_other_rules_notice_has_survived() -> None:
    survivor = hunt("canary", replace(CANARY, rules=("D3",)))
    assert not survivor.caught
    assert exit_code([survivor], []) == 1
    assert any("only" in line and "T3" in line for line in table([survivor], []))


def test_a_false_alarm_makes_the_exit_code_1() -> None:
    caught = hunt("canary", CANARY)
    assert exit_code([caught], ["sound: demo with seed 0 violates T3"]) == 1


def test_every_rule_that_must_catch_a_mutant_is_a_rule() -> None:
    assert {rule for mutant in MUTANTS.values() for rule in mutant.rules} <= set(_RULES)


@pytest.mark.parametrize("name", [name for name, mutant in MUTANTS.items() if not mutant.rules])
def test_what_is_said_to_break_no_rule_breaks_none(name: str) -> None:
    mutant = MUTANTS[name]
    assert hunt(name, replace(mutant, runs=5)).seen == {}


def test_every_faulty_engine_runs_in_the_cluster_too() -> None:
    assert set(bare.MUTANTS) <= set(MUTANTS)


def test_the_page_of_rules_is_what_the_mutants_give(hunts: list[Hunt]) -> None:
    assert Path("docs/rules.md").read_text(encoding="utf-8") == rules_page(hunts)
