"""Make a failing run small: its plan, cluster, workload, faults and schedule together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from properties.judged import Judged
from properties.monitors import MONITORS, Monitor
from scenarios.shrink import plans, schedule, settings, trouble
from scenarios.shrink.names import Edit, renamed
from scenarios.shrink.size import Size
from scenarios.shrink.trial import Spent, Trial
from sim.choices import Choices, Deltas, Seeded
from sim.parts import SOUND, Parts
from sim.scenario import Scenario, Workload
from workflow import Plan

__all__ = ["MAX_STEPS", "Shrunk", "shrink"]

MAX_STEPS: Final = 500_000  # a quarter of a minute
_SEEDS: Final = 5  # other schedules that a plan is tried with for each task less
_MANY_ROWS: Final = 500
_ROWS: Final = Workload(plan=Plan()).rows_per_scan  # the default
_ROUNDS: Final = 3
_MOMENTS: Final = 48  # at which trouble is tried under the tamest schedule


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
    needed: dict[str, bool]  # of each `fault 0` and each choice: without it the rule holds
    complete: bool  # all was tried; else the budget ended first, and `needed` may lack some


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
    bounds the simulated steps of all runs together, but that the run to begin with is always made
    in full.  Raises ValueError if that run does not violate the rule, and what the engine raises
    for a plan or limits that it refuses.
    """
    source = choices if isinstance(choices, Choices) else Deltas(choices)
    trial = Trial(scenario, source, rule, parts=parts, monitors=monitors, max_steps=max_steps)
    before = trial.best.size
    needed: dict[str, bool] = {}
    complete = True
    try:
        _until_nothing_gets_smaller(trial)
        for name, edit, fewer in _less(trial):
            needed[name] = trial.needs(edit, fewer)
    except Spent:
        complete = False
    best = trial.best
    return Shrunk(
        scenario=best.scenario,
        choices=best.choices,
        judged=best.judged,
        runs=trial.runs,
        steps=trial.steps,
        before=before,
        after=best.size,
        needed=needed,
        complete=complete,
    )


def _less(trial: Trial) -> Iterator[tuple[str, Edit, dict[str, int]]]:
    """The smallest run without one of its faults, without one of its choices."""
    best = trial.best
    for place in range(len(best.scenario.faults)):
        edit = trouble.without(best.scenario, place)
        yield f"fault {place}", edit, renamed(best.choices, best.scenario, edit, trial.shape)
    for name in best.choices:
        fewer = {other: answer for other, answer in best.choices.items() if other != name}
        yield name, Edit(best.scenario), fewer


def _until_nothing_gets_smaller(trial: Trial) -> None:
    settings.shorten(trial)
    if trial.best.scenario.data is not None:  # what makes every run dear
        settings.fewer_rows(trial, least=_ROWS)
    before = None
    while before is None or trial.best.size.rough < before.rough:
        before = trial.best.size
        _structure(trial, 0)
        # What makes runs long, before the many runs of a search.  Not all of it yet: with next to
        # no rows left fewer schedules fail.
        if trial.best.size.rows > _MANY_ROWS:
            plans.lower_numbers(trial)
            settings.fewer_rows(trial, least=_ROWS)
        _structure(trial, _SEEDS)
        _schedule(trial)
        trouble.simplify_faults(trial)
        settings.plain_cluster(trial)
        settings.plain_workloads(trial)
        settings.fewer_rows(trial)
        plans.simplify_nodes(trial)
        _schedule(trial)
        _amounts(trial)
    # Other amounts may have made some of this superfluous.
    while True:
        size = trial.best.size
        trouble.drop_faults(trial)
        schedule.drop_choices(trial)
        if trial.best.size == size:
            return


def _schedule(trial: Trial) -> None:
    schedule.drop_choices(trial)
    if trial.best.choices:
        trial.aim(trial.best.scenario, {}, most=_MOMENTS)
    if trial.best.choices:
        schedule.drop_choices(trial, aims=_SEEDS)
    if len(trial.best.choices) > 1:
        for seed in range(_SEEDS):
            trial.restart(Seeded(seed), schedule.drop_choices)


def _amounts(trial: Trial) -> None:
    """Plain numbers: each round may make room for another, but they are worth few rounds."""
    for _ in range(_ROUNDS):
        before = trial.best.size
        schedule.lower_answers(trial)
        trouble.simplify_faults(trial)
        settings.plain_cluster(trial)
        settings.plain_workloads(trial)
        plans.lower_numbers(trial)
        settings.fewer_rows(trial)
        if trial.best.size == before:
            return


def _structure(trial: Trial, seeds: int) -> None:
    trouble.drop_faults(trial, seeds=seeds)
    plans.drop_workloads(trial, seeds=seeds)
    plans.drop_targets(trial, seeds=seeds)
    plans.drop_nodes(trial, seeds=seeds)
    settings.drop_workers(trial, seeds=seeds)
