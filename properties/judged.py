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
from typing import Final

from properties.monitors import MONITORS, Judge, Monitor, Verdict, Violation
from properties.monitors.data import RightAnswer
from sim.choices import Choices
from sim.contained import Raised
from sim.parts import SOUND, Parts
from sim.scenario import Scenario
from sim.simulate import Outcome, simulate
from workflow.sections import Sections

__all__ = ["Judged", "escaped", "judged"]

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
        """The violation that was proven first.  Raises ValueError if there is none.

        What was raised comes before all else that was seen in its step: its consequences are.
        """
        return min(self.violations, key=self._age)

    def _age(self, violation: Violation) -> tuple[tuple[int, ...], bool]:
        raised = self.outcome.raised
        if raised is None or not _tells(violation, raised):
            return violation.events[-1:], True
        return (raised.since,), False


def judged(
    scenario: Scenario,
    choices: Choices,
    *,
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = MONITORS,
    stop: bool = True,
    data: Sections | None = None,
) -> Judged:
    """Simulate and judge.  ``stop``: at the first violation, else run to the end.

    With ``data`` the tasks execute over its rows.  D1 then compares what a reader got, once it
    came to the end, with what `properties.oracle` answers; that is computed once for a plan and
    data, so `data` must be the same object from run to run.

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
        data=data,
    )
    verdicts = judge.verdicts()
    if data is not None:
        from properties.real_answer import judge_answers  # noqa: PLC0415 - few runs have data

        verdicts = [
            judge_answers(verdict, outcome, data) if verdict.rule == RightAnswer.rule else verdict
            for verdict in verdicts
        ]
    if outcome.raised is not None:
        verdicts.append(_raised(outcome.raised))
    return Judged(outcome, tuple(verdicts))


def _rule(raised: Raised) -> str:
    """A rule of its own for each class of exception."""
    return f"raised {raised.error_type}"


def _tells(violation: Violation, raised: Raised) -> bool:
    return violation.rule == _rule(raised) and violation.events == (raised.seq,)


def _raised(raised: Raised) -> Verdict:
    """What a part raised, as a violation."""
    rule, seen = _rule(raised), escaped(f"{raised.error} ({raised.place})")
    violation = Violation(rule, _NOTHING_RAISES, seen, (raised.seq,))
    return Verdict(rule, _NOTHING_RAISES, "violated", (violation,))


def escaped(text: str) -> str:
    """A message may hold what would move a terminal's cursor."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
