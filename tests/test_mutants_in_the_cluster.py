"""Faulty engines in the simulated cluster: each is found, by its rule, within its budget."""

import pytest

from properties.judged import judged
from properties.mutants import MUTANTS
from scenarios.shelf import find_scenario
from sim.choices import Seeded

# Mutant, scenario, the rule that must notice, and in how many seeds at most.
FOUND = [
    ("W1-token-leak", "overlapping-ranges", "L1", 3),
    ("W1-token-leak", "one-token", "A2", 3),
    ("W2-token-by-state", "one-token", "A2", 100),
    ("W3-lanes-in-turn", "two-branches", "L1", 3),
    ("W5-end-overtakes-failure", "log-search", "P1", 10),
    ("W6-cancellation-looks-like-success", "count-over-time", "D1", 3),
    ("W7-silent-failure", "error-rate", "P1", 20),
    ("W8-belied-outcome", "rate-by-level-and-env", "D1", 100),
    ("W10-other-parents-forgotten", "shared-scans", "D1", 3),
    ("W13-state-goes-back", "rate-by-level-and-env", "T3", 20),
]


@pytest.mark.parametrize(("mutant", "name", "rule", "budget"), FOUND)
def test_a_faulty_engine_is_found_in_the_cluster(
    mutant: str, name: str, rule: str, budget: int
) -> None:
    scenario = find_scenario(name)
    rules: dict[str, None] = {}
    for seed in range(budget):
        run = judged(scenario, Seeded(seed), parts=MUTANTS[mutant].parts, stop=False)
        rules.update(dict.fromkeys(violation.rule for violation in run.violations))
        if rule in rules:
            return
    pytest.fail(f"{rule} noticed nothing in {budget} seeds of {name}; noticed: {list(rules)}")
