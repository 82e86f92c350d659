"""Make a failing run small: its plan, cluster, workload, faults and schedule together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from properties.judged import Judged
from properties.monitors import MONITORS, Monitor
from scenarios.shrink import plans, schedule, settings, trouble
from scenarios.shrink.size import Size
from scenarios.shrink.trial import Spent, Trial
from sim.choices import Choices, Deltas
from sim.parts import SOUND, Parts
from sim.scenario import Scenario

__all__ = ["MAX_STEPS", "Shrunk", "shrink"]

MAX_STEPS: Final = 1_000_000
_SEEDS: Final = 5  # other schedules that a smaller plan is tried with


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A failing run made small."""

    scenario: Scenario
    choices: dict[str, int]  # answers that are not the tamest; all others are
    judged: Judged  # the run, stopped at the violation
    runs: int  # runs that were tried
    steps: int  # simulated steps of all of them
    before: Size
    after: Size
    needed: dict[str, bool]  # whether the run is fine without it: each choice, each `fault 0`
    complete: bool  # nothing smaller was found; else the budget ended first


def shrink(
    scenario: Scenario,
    choices: Choices | Mapping[str, int],
    rule: str,
    *,
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = MONITORS,
    max_steps: int = MAX_STEPS,
) -> Shrunk:
    """The smallest run found that violates the same rule.  The same input gives the same result.

    ``choices`` are the schedule: a seed's, or the answers that are not the tamest.  ``max_steps``
    bounds the simulated steps of all runs together.  Raises ValueError if the run does not violate
    the rule.
    """
    source = choices if isinstance(choices, Choices) else Deltas(choices)
    trial = Trial(scenario, source, rule, parts=parts, monitors=monitors, max_steps=max_steps)
    before = trial.best.size
    complete = True
    try:
        _until_nothing_gets_smaller(trial)
    except Spent:
        complete = False
    best = trial.best
    return Shrunk(
        best.scenario,
        best.choices,
        best.judged,
        trial.runs,
        trial.steps,
        before,
        best.size,
        {},
        complete,
    )


def _until_nothing_gets_smaller(trial: Trial) -> None:
    settings.shorten(trial)
    seeds = 0
    while True:
        size = trial.best.size
        _structure(trial, 0)
        _structure(trial, _SEEDS)
        schedule.drop_choices(trial)
        if trial.best.choices:
            trial.aim(trial.best.scenario, {})
        trouble.simplify_faults(trial)
        settings.plain_cluster(trial)
        settings.plain_workloads(trial)
        settings.fewer_rows(trial)
        plans.simplify_nodes(trial)
        schedule.drop_choices(trial)
        schedule.lower_answers(trial)
        if trial.best.size < size:
            continue
        if seeds:
            return
        seeds = _SEEDS


def _structure(trial: Trial, seeds: int) -> None:
    trouble.drop_faults(trial, seeds=seeds)
    plans.drop_workloads(trial, seeds=seeds)
    plans.drop_targets(trial, seeds=seeds)
    plans.drop_nodes(trial, seeds=seeds)
    settings.drop_workers(trial, seeds=seeds)
