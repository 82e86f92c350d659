"""What a test calls: `check` runs a scenario and fails with a report if a rule is broken.

>>> from scenarios.shelf import find_scenario
>>> check(find_scenario("demo"), 7).outcome.ends[0].end
'eof'
"""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, overload

from hypothesis import Phase, currently_in_test_context, settings
from hypothesis.control import current_build_context

from properties.judged import Judged, judged
from properties.monitors import MONITORS, Monitor
from scenarios.archive import load_failure
from scenarios.explain import explain
from scenarios.failure import Failure, Origin
from scenarios.held import pinned, rows_of
from scenarios.replay import replay_failure
from scenarios.report.summary import describe_replay
from sim.choices import Choices, Seeded
from sim.parts import SOUND, Parts
from sim.scenario import Scenario

__all__ = ["Violated", "check", "check_kept", "simulated"]

Test = TypeVar("Test", bound=Callable[..., Any])

_NOTES: Final = 12  # lines that Hypothesis may add to a report


class Violated(AssertionError):
    """A rule is broken.  The message is the report, or one line while Hypothesis still looks.

    Each rule has a subclass of its own: Hypothesis tells failures apart by class, and so does not
    slip from one rule to another while it shrinks.
    """

    def __init__(self, text: str, command: str = "") -> None:
        super().__init__(text, command)
        self.command = command  # that replays it, if one does
        self._noted = 0

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return Violated, self.args  # the subclass is made on demand and has no name to import

    def add_note(self, note: str, /) -> None:
        """Take a note, as long as there is room: of Hypothesis's example we have a smaller one."""
        lines = note.splitlines()
        room = _NOTES - self._noted
        self._noted += len(lines)
        if room > 0:
            cut = (
                ["... and more, of which the report has the smallest"] if len(lines) > room else []
            )
            super().add_note("\n".join([*lines[:room], *cut]))


@overload
def simulated(test: Test, /) -> Test: ...
@overload
def simulated(**more: Any) -> Callable[[Test], Test]: ...
def simulated(test: Test | None = None, /, **more: Any) -> Test | Callable[[Test], Test]:
    """Settings for a Hypothesis test that calls `check`, to stand above its ``@given``.

    There is no deadline, since a slow machine is no failure.  Hypothesis neither shrinks nor
    explains: for each rule the first example that breaks it is reduced by our own reducer, which
    takes seconds where Hypothesis takes minutes.  ``more`` are settings of Hypothesis's, as in
    ``@simulated(max_examples=1_000)``; all else is as the current profile says.
    """
    phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target)
    chosen = settings(**{"deadline": None, "phases": phases, **more})
    return chosen if test is None else chosen(test)


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
    default the one that the environment names as WINDTUNNEL_ARTIFACTS, else below the current one.
    `Violated` says what broke and how to replay it; in a Hypothesis test that is done for the last
    example only.  Raises what the engine raises for a plan that it refuses, TypeError or ValueError
    for an argument that makes no sense, and InputError for data that cannot be read.
    """
    __tracebackhide__ = True
    _check_arguments(scenario, choices, parts, monitors)
    monitors = [each for each in monitors if each not in MONITORS]
    source = Seeded(choices) if isinstance(choices, int) else choices
    scenario = pinned(scenario)
    run = judged(
        scenario,
        source,
        parts=parts,
        monitors=(*MONITORS, *monitors),
        data=rows_of(scenario),
    )
    if not run.violations:
        return run
    text, command = str(run.first), ""
    if not _still_looking():
        explained = explain(
            run,
            parts=parts,
            monitors=monitors,
            origin=Origin(test=_test()) if origin is None else origin,
            folder=folder,
        )
        text, command = "\n".join(explained.lines()), explained.command
    # One place for both: Hypothesis tells failures apart by the line that raises, too.
    raise _violated(run.first.rule)(text, command)


def _check_arguments(
    scenario: object, choices: object, parts: object, monitors: Sequence[object]
) -> None:
    __tracebackhide__ = True
    for name, value, kind in (
        ("scenario", scenario, Scenario),
        ("choices", choices, int | Choices),
        ("parts", parts, Parts),
    ):
        if not isinstance(value, kind):
            wanted = "a seed or Choices" if name == "choices" else f"a {kind.__name__}"  # type: ignore[union-attr]
            raise TypeError(f"check({name}): got {value!r:.60}, expected {wanted}")
    if isinstance(choices, int) and choices < 0:
        raise ValueError(f"check(choices): got {choices}, expected a seed >= 0")
    for each in fields(Parts):
        part, sound = getattr(parts, each.name), getattr(SOUND, each.name)
        if not isinstance(part, type) or not issubclass(part, sound):
            raise TypeError(
                f"check(parts): {each.name}: got {part!r:.60},"
                f" expected a subclass of {sound.__name__}"
            )
    for monitor in monitors:
        if not isinstance(monitor, type) or not issubclass(monitor, Monitor):
            raise TypeError(f"check(monitors): got {monitor!r:.60}, expected subclasses of Monitor")
        for name in ("rule", "sentence"):
            if not isinstance(getattr(monitor, name, None), str):
                raise TypeError(f"check(monitors): {monitor.__name__} has no {name}, a text")


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


def check_kept(failure: Failure | Path) -> None:
    """Fail unless a kept failure is as it should be: its rule holds, or is still violated.

    Once the rule holds, the run may go other ways than the recorded one: that is no failure.
    Raises InputError for a file that cannot be read.
    """
    __tracebackhide__ = True
    command = f"windtunnel replay {shlex.quote(str(failure))}" if isinstance(failure, Path) else ""
    if isinstance(failure, Path):
        failure = load_failure(failure)
    replay = replay_failure(failure)
    holds = not replay.run.violations
    if not (holds if failure.expect == "holds" else replay.verdict == "SAME"):
        lines = [*describe_replay(replay)]
        if command:
            lines.append(f"  replay  {command}")
        raise Violated("\n".join(lines), command)
