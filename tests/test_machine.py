"""The engine's state machine finds nothing in the engine, and the faults in its mutants."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from properties.engine_machine import RULES, EngineMachine, RuleViolated
from properties.mutants.engine import MUTANTS

TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=200, stateful_step_count=40)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found_by_its_rule_within_its_budget(name: str) -> None:
    mutant = MUTANTS[name]
    machine = type(name, (EngineMachine,), {"workflow_type": mutant.workflow_type})
    with pytest.raises(RuleViolated) as found:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=mutant.budget,
                stateful_step_count=40,
                database=None,
                deadline=None,
                derandomize=True,
                phases=[Phase.generate],  # to find is enough, shrinking takes longer
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    assert found.value.rule_id in mutant.rules, str(found.value)


def test_every_rule_that_a_mutant_breaks_is_a_rule() -> None:
    assert {rule for mutant in MUTANTS.values() for rule in mutant.rules} <= set(RULES)
