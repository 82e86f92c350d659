"""What a test calls: `check` runs a scenario and fails with a report if a rule is broken.

>>> from scenarios.shelf import find_scenario
>>> check(find_scenario("demo"), 7).outcome.ends[0].end
'eof'
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from hypothesis import Phase, currently_in_test_context, settings
from hypothesis.control import current_build_context

from properties.judged import Judged, judged
from properties.monitors import MONITORS, Monitor
from scenarios.archive import ARTIFACTS, FAILURES
from scenarios.explain import explain
from scenarios.failure import Failure, Origin
from scenarios.replay import replay_failure
from scenarios.report import describe_replay
from sim.choices import Choices, Seeded
from sim.parts import SOUND, Parts
from sim.scenario import Scenario

__all__ = ["Violated", "check", "check_kept", "simulated"]

Test = TypeVar("Test", bound=Callable[..., Any])

_LONGEST_NOTE: Final = 12  # lines


class Violated(AssertionError):
    """A rule is broken.  The message is the report, or one line while Hypothesis still looks.

    Each rule has a subclass of its own: Hypothesis tells failures apart by class, and so does not
    slip from one rule to another while it shrinks.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return Violated, self.args  # the subclass is made on demand and has no name to import

    def add_note(self, note: str, /) -> None:
        """Take a note, a long one cut: of Hypothesis's example the report has a smaller one."""
        first, *more = note.splitlines() or [""]
        if len(more) > _LONGEST_NOTE:
            more = [f"    ... {len(more):,} more lines: what is above is smaller"]
        super().add_note("\n".join([first, *more]))


def simulated(test: Test) -> Test:
    """Settings for a Hypothesis test that calls `check`, to stand above its ``@given``.

    There is no deadline, since a slow machine is no failure.  Hypothesis neither shrinks nor
    explains: for each rule the first example that breaks it is reduced by our own reducer, which
    takes seconds where Hypothesis takes minutes.  All else is as the current profile says.
    """
    phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target)
    return settings(deadline=None, phases=phases)(test)


@cache
def _violated(rule: str) -> type[Violated]:
    return type("Violated", (Violated,), {"rule": rule, "__module__": __name__})


def check(
    scenario: Scenario,
    choices: int | Choices = 0,
    *,
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = (),
    folder: Path | None = None,
    origin: Origin | None = None,
) -> Judged:
    """Run a scenario with every monitor on; gives the run if no rule is broken.

    ``choices`` is a seed or a source of choices.  ``parts`` are the classes under test,
    ``monitors`` rules of your own beside ours.  A failure is reduced and saved in ``folder``, by
    default the one that the environment names as WINDTUNNEL_ARTIFACTS, else `FAILURES`.  `Violated`
    says what broke and how to replay it; in a Hypothesis test that is done for the last example
    only.  Raises what the engine raises for a plan that it refuses.
    """
    __tracebackhide__ = True
    source = Seeded(choices) if isinstance(choices, int) else choices
    run = judged(scenario, source, parts=parts, monitors=(*MONITORS, *monitors))
    if not run.violations:
        return run
    if _still_looking():
        text = str(run.first)
    else:
        explained = explain(
            run,
            parts=parts,
            monitors=monitors,
            origin=Origin(test=_test()) if origin is None else origin,
            folder=Path(os.environ.get(ARTIFACTS, FAILURES)) if folder is None else folder,
        )
        text = "\n".join(explained.lines())
    # One place for both: Hypothesis tells failures apart by the line that raises, too.
    raise _violated(run.first.rule)(text)


def _still_looking() -> bool:
    """Whether Hypothesis tries examples, of which this one is not the last."""
    return currently_in_test_context() and not current_build_context().is_final


_PHASES: Final = (" (setup)", " (call)", " (teardown)")


def _test() -> str:
    """The test that is running, as pytest tells its processes."""
    name = os.environ.get("PYTEST_CURRENT_TEST", "")
    for phase in _PHASES:
        name = name.removesuffix(phase)
    return name


def check_kept(failure: Failure) -> None:
    """Fail unless a kept failure is as it should be: its rule holds, or is still violated."""
    __tracebackhide__ = True
    replay = replay_failure(failure)
    # Once its rule holds, a run may go other ways than the recorded one, and so diverge.
    holds = not replay.run.violations
    if not (holds if failure.expect == "holds" else replay.verdict == "SAME"):
        raise Violated("\n".join(describe_replay(replay)))
