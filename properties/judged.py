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

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from properties.monitors import MONITORS, Judge, Monitor, Verdict, Violation
from sim.choices import Choices
from sim.parts import SOUND, Parts
from sim.scenario import Scenario
from sim.simulate import Outcome, simulate

__all__ = ["Judged", "judged"]

_NOTHING_RAISES: Final = "nothing that a run is made of raises"


@dataclass(frozen=True, slots=True)
class Judged:
    """What a run came to, and what each monitor says of it."""

    outcome: Outcome
    verdicts: tuple[Verdict, ...]

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Everything that is wrong, rule by rule."""
        return tuple(each for verdict in self.verdicts for each in verdict.violations)

    @property
    def first(self) -> Violation:
        """The violation that was proven first.  Raises ValueError if there is none."""
        return min(self.violations, key=lambda each: each.events[-1:])


def judged(
    scenario: Scenario,
    choices: Choices,
    *,
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = MONITORS,
    stop: bool = True,
) -> Judged:
    """Simulate and judge.  ``stop``: at the first violation, else run to the end.

    What a part raises ends the run and is a violation as well: of the rule ``raised ValueError``,
    say.  Raises what the engine raises for a plan or limits that it refuses.
    """
    judge = Judge(monitors, scenario=scenario)
    outcome = simulate(
        scenario,
        choices,
        parts=parts,
        watch=lambda event: judge.on(event) and stop,
        contain=True,
    )
    verdicts = judge.verdicts()
    if outcome.raised is not None:
        verdicts.append(_raised(outcome.raised, outcome.trace.events[-1].seq))
    return Judged(outcome, tuple(verdicts))


def _raised(error: Exception, seq: int) -> Verdict:
    """What a part raised, as a rule of its own for each class of exception."""
    rule = f"raised {type(error).__name__}"
    violation = Violation(rule, _NOTHING_RAISES, f"{error} ({_place(error)})", (seq,))
    return Verdict(rule, _NOTHING_RAISES, "violated", (violation,))


def _place(error: Exception) -> str:
    """Where it was raised, without the folders of a machine."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    code = frames[-1].f_code
    return f"{PurePath(code.co_filename).name}, {code.co_name}"
