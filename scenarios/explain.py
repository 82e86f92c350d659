"""From a run that broke a rule to what people need: small, saved, and told.

Steps, not seconds, bound the work, so the same run gives the same failure everywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from properties.judged import Judged
from properties.monitors import MONITORS, Monitor
from scenarios.archive import FAILURES, save
from scenarios.failure import Failure, Origin, failure_of
from scenarios.failure_report import describe_failure
from scenarios.inputs import InputError
from scenarios.shrink import Shrunk, shrink
from scenarios.wording import choice_in_words, fault_in_words
from sim.parts import SOUND, Parts

__all__ = ["Explained", "explain", "reduced"]

STEPS: Final = 400_000  # that a reduction may simulate: some ten seconds


@dataclass(frozen=True, slots=True)
class Explained:
    """A reduced failure, its run, and where it was saved."""

    failure: Failure
    run: Judged
    saved: Path | None
    trouble: str = ""  # why it could not be saved

    def lines(self) -> Iterator[str]:
        """The report."""
        saved = "" if self.saved is None else str(self.saved)
        yield from describe_failure(self.failure, self.run, saved=saved)
        if self.trouble:
            yield f"  unsaved {self.trouble}"


def explain(
    run: Judged,
    *,
    rule: str = "",
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = (),
    origin: Origin | None = None,
    folder: Path = FAILURES,
    max_steps: int = STEPS,
) -> Explained:
    """Reduce a run that broke a rule, save it and be ready to tell.

    ``rule`` is by default the one that was broken first; ``monitors`` are those beside `MONITORS`.
    Raises ValueError if no rule was broken.
    """
    failure, small = reduced(
        run, rule=rule, parts=parts, monitors=monitors, origin=origin, max_steps=max_steps
    )
    try:
        return Explained(failure, small, save(failure, folder))
    except InputError as error:
        return Explained(failure, small, None, str(error))


def reduced(
    run: Judged,
    *,
    rule: str = "",
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = (),
    origin: Origin | None = None,
    max_steps: int = STEPS,
) -> tuple[Failure, Judged]:
    """What `explain` saves, and its run.  Raises ValueError if no rule was broken."""
    outcome, rule = run.outcome, rule or run.first.rule
    shrunk = shrink(
        outcome.scenario,
        outcome.deltas,
        rule,
        parts=parts,
        monitors=(*MONITORS, *monitors),
        max_steps=max_steps,
    )
    failure = failure_of(
        shrunk.judged,
        rule,
        parts=parts,
        monitors=monitors,
        origin=replace(
            origin or Origin(),
            events=len(outcome.trace.events),
            choices=len(outcome.deltas),
            runs=shrunk.runs,
        ),
        cause=_causes(shrunk),
    )
    # The reducer cuts runs short; who replays this in a changed world has all steps.
    return replace(failure, scenario=shrunk.scenario), shrunk.judged


def _causes(shrunk: Shrunk) -> list[str]:
    """The faults and choices of which it was seen that without them the rule holds."""
    return [
        *(
            fault_in_words(fault)
            for place, fault in enumerate(shrunk.scenario.faults)
            if shrunk.needed.get(f"fault {place}")
        ),
        *(
            choice_in_words(key, answer)
            for key, answer in shrunk.choices.items()
            if shrunk.needed.get(key)
        ),
    ]
