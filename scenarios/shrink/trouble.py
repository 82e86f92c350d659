"""Less trouble: fewer faults, and less said of each."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from scenarios.shrink.names import Edit
from scenarios.shrink.passes import fewest, lowest
from scenarios.shrink.trial import Trial
from sim.choices import Tame
from sim.faults import Faults
from sim.scenario import Fault, Scenario

__all__ = ["drop_faults", "simplify_faults", "without"]

_ALWAYS = 1_000_000
# A run comes to its end even if each task or message suffers one of these.
_BEARABLE = ("task_failure", "slow_worker", "slow_link", "late_ack", "cancel_task")
_FACTOR = Fault(kind="slow_worker").factor  # the default


def drop_faults(trial: Trial, *, seeds: int = 0) -> None:
    """As many as can go."""
    count = len(trial.best.scenario.faults)
    if not count:
        return
    # Places move up as faults go, so they are told apart by who they are.
    faults = list(trial.best.scenario.faults)
    numbered = list(range(count))
    there = numbered.copy()

    def keep(kept: list[int]) -> bool:
        nonlocal there
        edit = Edit(
            replace(trial.best.scenario, faults=tuple(faults[number] for number in kept)),
            faults={there.index(number): place for place, number in enumerate(kept)},
        )
        if trial.edit(edit, seeds=seeds):
            there = kept
            return True
        return False

    fewest(numbered, keep)


def simplify_faults(trial: Trial) -> None:
    """Each of them: once or always, not by chance; whoever it strikes, early and short."""
    for place in range(len(trial.best.scenario.faults)):
        for simpler in _once(trial, place):
            if _put(trial, place, simpler):
                break
        for name in ("worker", "task", "workload"):
            _set(trial, place, name, None)
        _set(trial, place, "silent", False)
        _set(trial, place, "factor", _FACTOR)
        if _fault(trial, place).at is not None:
            _put(trial, place, replace(_fault(trial, place), at=None, nth=0))
        if _fault(trial, place).nth == -1:
            _set(trial, place, "nth", 0)
        for name, least in (("nth", 0), ("at", 0), ("ticks", 0), ("factor", 2)):
            value = getattr(_fault(trial, place), name)
            if value is not None and value >= 0:
                lowest(value, least, partial(_set, trial, place, name))


def without(scenario: Scenario, place: int) -> Edit:
    """All faults but one."""
    kept = [other for other in range(len(scenario.faults)) if other != place]
    return Edit(
        replace(scenario, faults=tuple(scenario.faults[other] for other in kept)),
        faults={old: new for new, old in enumerate(kept)},
    )


def _fault(trial: Trial, place: int) -> Fault:
    return trial.best.scenario.faults[place]


def _set(trial: Trial, place: int, name: str, value: int | None) -> bool:
    changes: dict[str, Any] = {name: value}
    return _put(trial, place, replace(_fault(trial, place), **changes))


def _put(trial: Trial, place: int, fault: Fault) -> bool:
    faults = trial.best.scenario.faults
    if fault == faults[place]:
        return False
    new = (*faults[:place], fault, *faults[place + 1 :])
    return trial.edit(Edit(replace(trial.best.scenario, faults=new)))


def _once(trial: Trial, place: int) -> Iterator[Fault]:
    """Instead of by chance: at one occasion, best one at which it struck, or at each of them."""
    fault = _fault(trial, place)
    if fault.per_million is None:
        return
    once = replace(fault, per_million=None)
    for number in _occasions(trial, place):
        yield replace(once, nth=number)
    for number in (0, -1) if fault.kind == "task_failure" else (0,):
        yield replace(once, nth=number)
    if fault.kind in _BEARABLE:
        yield replace(fault, per_million=_ALWAYS)


def _occasions(trial: Trial, place: int) -> list[int]:
    """At which of its occasions a fault of chance struck in the smallest run, by its choices."""
    best = trial.best
    label = Faults(best.scenario.faults, Tame(), lambda _fault, _subject: None).label(place)
    prefix = f"fault:{label}/"
    asked = [name for name in trial.asked() if name.startswith(prefix)]
    struck = [index for index, name in enumerate(asked) if best.choices.get(name)]
    if best.scenario.faults[place].kind != "task_failure":
        return struck
    steps = (asked[index].partition("#")[0].rpartition("/")[2] for index in struck)
    return [
        {"start": 0, "end": -1}.get(step) or int(step.rpartition(" ")[2] or 0) for step in steps
    ]
