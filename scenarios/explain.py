"""From a run that broke a rule to what people need: small, saved, and told.

Steps, not seconds, bound the work, so the same run gives the same failure everywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from properties.judged import Judged
from properties.monitors import MONITORS, Monitor
from scenarios.archive import save
from scenarios.failure import Failure, Origin, failure_of
from scenarios.failure_report import describe_failure
from scenarios.inputs import InputError
from scenarios.named import is_local
from scenarios.shrink import Shrunk, shrink
from scenarios.wording import choice_in_words, fault_in_words
from sim.parts import SOUND, Parts

__all__ = ["Explained", "explain", "reduced"]

STEPS: Final = 400_000  # that a reduction may simulate: some ten seconds


_UNSTEADY: Final = (
    "the same run went otherwise when it was made again: a part or a rule keeps state from one run"
    " to the next, or draws chance of its own"
)
_LOCAL: Final = "a class made inside of a function has no name: only its own test can run it again"


class Unsteady(Exception):
    """A run did not come out the same a second time."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A reduced failure, its run, and where it was saved; else why it was not."""

    failure: Failure
    run: Judged
    saved: Path | None
    trouble: str = ""

    @property
    def command(self) -> str:
        """What replays it; empty if nothing does."""
        return next((line[10:] for line in self.lines() if line.startswith("  replay")), "")

    def lines(self) -> Iterator[str]:
        """The report."""
        saved = "" if self.saved is None else str(self.saved)
        yield from describe_failure(self.failure, self.run, saved=saved, trouble=self.trouble)


def explain(
    run: Judged,
    *,
    rule: str = "",
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = (),
    origin: Origin | None = None,
    folder: Path | None = None,
    max_steps: int = STEPS,
) -> Explained:
    """Reduce a run that broke a rule, save it and be ready to tell.

    ``rule`` is by default the one that was broken first; ``monitors`` are those beside `MONITORS`.
    Raises ValueError if no rule was broken.
    """
    try:
        failure, small = reduced(
            run, rule=rule, parts=parts, monitors=monitors, origin=origin, max_steps=max_steps
        )
    except Unsteady:
        whole = failure_of(
            run, rule or run.first.rule, parts=parts, monitors=monitors, origin=origin
        )
        return Explained(whole, run, None, _UNSTEADY)
    if any(map(is_local, failure.classes)):
        return Explained(failure, small, None, _LOCAL)
    try:
        return Explained(failure, small, save(failure, folder))
    except InputError as error:
        return Explained(failure, small, None, f"{error}")


def reduced(
    run: Judged,
    *,
    rule: str = "",
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = (),
    origin: Origin | None = None,
    max_steps: int = STEPS,
) -> tuple[Failure, Judged]:
    """What `explain` saves, and its run.  Raises as `explain`, and `Unsteady`."""
    outcome, rule = run.outcome, rule or run.first.rule
    try:
        shrunk = shrink(
            outcome.scenario,
            outcome.deltas,
            rule,
            parts=parts,
            monitors=(*MONITORS, *monitors),
            max_steps=max_steps,
        )
    except ValueError as error:
        raise Unsteady(str(error)) from None
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
