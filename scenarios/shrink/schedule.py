"""A tamer schedule: fewer choices that are not the tamest, and lower answers."""

import re
from functools import partial
from typing import Final

from scenarios.shrink.passes import fewest, grouped, lowest
from scenarios.shrink.trial import Trial

__all__ = ["drop_choices", "lower_answers"]

_WHOM: Final = re.compile(r"m\d+/[ts]\d+|\bw\d+|client \d+")


def drop_choices(trial: Trial, *, aims: int = 0) -> None:
    """All at once, then by site, by whom they are about, at last one by one.

    With ``aims``, trouble may strike at that many other moments: it took some of the choices only
    to bring something about at the very tick at which it strikes.
    """
    if trial.choices({}):
        return
    for key in (_site, _whom):
        groups = grouped(trial.best.choices, key)
        names = [tuple(group) for group in groups]
        if len(names) > 1:
            fewest(names, lambda kept: _only(trial, [n for group in kept for n in group], aims))
    ordered = [name for group in grouped(trial.best.choices, _site) for name in group]
    fewest(ordered, lambda kept: _only(trial, kept, aims), left=lambda: trial.best.choices)


def lower_answers(trial: Trial) -> None:
    """Each answer that is left as low as it goes; 1 is next to the tamest."""
    for name in list(trial.best.choices):
        lowest(trial.best.choices.get(name, 0), 1, partial(_answered, trial, name))


def _answered(trial: Trial, name: str, answer: int) -> bool:
    return trial.choices({**trial.best.choices, name: answer})


def _only(trial: Trial, names: list[str], aims: int) -> bool:
    known = trial.best.choices
    fewer = {name: known[name] for name in names if name in known}
    if len(fewer) == len(known):
        return False
    return trial.choices(fewer) or (aims > 0 and trial.aim(trial.best.scenario, fewer, most=aims))


def _site(decision: str) -> str:
    return decision.partition(":")[0]


def _whom(decision: str) -> str:
    match = _WHOM.search(decision)
    return match[0] if match else decision
