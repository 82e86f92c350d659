"""Faulty engines in the simulated cluster: each is found, by its rule, within its budget."""

import pytest

from properties.invariants import check
from properties.mutants import MUTANTS
from scenarios.shelf import find_scenario
from sim.choices import Seeded
from sim.simulate import simulate

# Mutant, scenario, the rule that must notice, and in how many seeds at most.
FOUND = [
    ("W1-token-leak", "overlapping-ranges", "RUN-1", 3),
    ("W1-token-leak", "one-token", "RUN-6", 3),
    ("W2-token-by-state", "one-token", "RUN-6", 100),
    ("W3-lanes-in-turn", "two-branches", "RUN-1", 3),
    ("W5-end-overtakes-failure", "log-search", "RUN-7", 10),
    ("W6-cancellation-looks-like-success", "count-over-time", "RUN-8", 3),
    ("W7-silent-failure", "error-rate", "RUN-7", 20),
    ("W8-belied-outcome", "rate-by-level-and-env", "RUN-8", 100),
    ("W10-other-parents-forgotten", "shared-scans", "RUN-8", 3),
    ("W13-state-goes-back", "rate-by-level-and-env", "RUN-9", 20),
]


@pytest.mark.parametrize(("mutant", "name", "rule", "budget"), FOUND)
def test_a_faulty_engine_is_found_in_the_cluster(
    mutant: str, name: str, rule: str, budget: int
) -> None:
    scenario = find_scenario(name)
    rules: dict[str, None] = {}
    for seed in range(budget):
        outcome = simulate(scenario, Seeded(seed), parts=MUTANTS[mutant].parts)
        rules.update(dict.fromkeys(violation.rule for violation in check(outcome)))
        if rule in rules:
            return
    pytest.fail(f"{rule} noticed nothing in {budget} seeds of {name}; noticed: {list(rules)}")
