"""A simulated run with every monitor on: the first violation stops it.

>>> from sim.choices import Seeded
>>> from sim.scenario import Scenario, Workload
>>> from workflow import Plan
>>> from workflow.plan import DataObjScan
>>> plan = Plan()
>>> scan = plan.add(DataObjScan(location="objects/0"))
>>> run = judged(Scenario(workloads=(Workload(plan=plan),)), Seeded(7))
>>> run.outcome.ends[0].end, run.violations
('eof', ())
"""

from collections.abc import Sequence
from dataclasses import dataclass

from properties.monitors import MONITORS, Judge, Monitor, Verdict, Violation
from sim.choices import Choices
from sim.parts import SOUND, Parts
from sim.scenario import Scenario
from sim.simulate import Outcome, simulate

__all__ = ["Judged", "judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a run came to, and what each monitor says of it."""

    outcome: Outcome
    verdicts: tuple[Verdict, ...]

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Everything that is wrong, rule by rule."""
        return tuple(each for verdict in self.verdicts for each in verdict.violations)


def judged(
    scenario: Scenario,
    choices: Choices,
    *,
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = MONITORS,
    stop: bool = True,
) -> Judged:
    """Simulate and judge.  ``stop``: at the first violation, else run to the end."""
    judge = Judge(monitors, scenario=scenario)
    outcome = simulate(scenario, choices, parts=parts, watch=lambda event: judge.on(event) and stop)
    return Judged(outcome, tuple(judge.verdicts()))
