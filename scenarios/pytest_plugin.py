"""The pytest plugin: a mark that runs a test over many scenarios, and failures that replay.

It does nothing until a test uses the mark ``windtunnel`` or calls `scenarios.testing.check`, and
imports nothing of weight before that.

```python
@pytest.mark.windtunnel("one-token", "random", runs=200)
def test_my_engine(windtunnel):
    windtunnel.check(parts=Parts(workflow=MyWorkflow))
```
"""

import inspect
import os
import shlex
import sys
import types
import unittest
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import pytest

if TYPE_CHECKING:
    from properties.judged import Judged
    from properties.monitors import Monitor
    from scenarios.determinism import DeterminismReport
    from sim.parts import Parts
    from sim.scenario import Profile, Scenario

__all__ = ["Case", "SameInEveryProcess", "same_in_every_process", "windtunnel"]

_ARTIFACTS: Final = "WINDTUNNEL_ARTIFACTS"  # as in `scenarios.archive`, which imports more
_Report = Generator[None, pytest.TestReport, pytest.TestReport]

_MARK: Final = "windtunnel"
_REPLAY: Final = "windtunnel_replay"
_LEAST: Final = {"runs": 1, "seed": 0}  # of each keyword of the mark
_MOST: Final = 2**63 - 1
_WAS: Final = pytest.StashKey[str | None]()


class Case:
    """One run of a marked test: what to run, and with which seed."""

    def __init__(self, scenario: "Scenario", target: str, seed: int, test: str) -> None:
        self.scenario: Final = scenario
        self.target: Final = target
        self.seed: Final = seed
        self._test: Final = test

    def check(
        self, *, parts: "Parts | None" = None, monitors: "Sequence[type[Monitor]]" = ()
    ) -> "Judged":
        """As `scenarios.testing.check`, of this scenario with this seed."""
        __tracebackhide__ = True
        from scenarios.failure import Origin  # noqa: PLC0415 - nothing of weight before
        from scenarios.testing import check  # noqa: PLC0415
        from sim.parts import SOUND  # noqa: PLC0415

        return check(
            self.scenario,
            self.seed,
            parts=SOUND if parts is None else parts,
            monitors=monitors,
            origin=Origin(test=self._test, target=self.target, seed=self.seed),
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("windtunnel")
    group.addoption(
        "--windtunnel-seed",
        type=int,
        metavar="N",
        help="Run marked tests with this seed, or from it on with --windtunnel-runs.",
    )
    group.addoption(
        "--windtunnel-runs",
        type=int,
        metavar="N",
        help="How many runs of each marked test; by default as its mark says, else as many as"
        " Hypothesis tries examples.",
    )
    group.addoption(
        "--windtunnel-artifacts",
        metavar="DIR",
        help="Save failures here; by default in .windtunnel/failures.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and the profiles that `--hypothesis-profile` may ask for."""
    config.addinivalue_line(
        "markers",
        "windtunnel(*targets, runs=None, seed=0): run the test over many scenarios, each a name of"
        " the library, a file or a Scenario; by default `random`.",
    )
    for name, least in _LEAST.items():
        value = config.getoption(f"--windtunnel-{name}")
        if value is not None and not least <= value <= _MOST:
            raise pytest.UsageError(f"--windtunnel-{name}: got {value}, expected {_range(least)}")
    folder = config.getoption("--windtunnel-artifacts")
    if folder is not None:
        config.stash[_WAS] = os.environ.get(_ARTIFACTS)
        os.environ[_ARTIFACTS] = str(Path(folder).absolute())
    profile = config.getoption("--hypothesis-profile", default=None)
    if profile is not None:
        from scenarios.profiles import register_profiles  # noqa: PLC0415 - imports Hypothesis

        register_profiles()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was."""
    if _WAS in config.stash:
        was = config.stash[_WAS]
        if was is None:
            os.environ.pop(_ARTIFACTS, None)
        else:
            os.environ[_ARTIFACTS] = was


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say the seed if there is one."""
    seed = config.getoption("--windtunnel-seed")
    return None if seed is None else f"windtunnel: seed {seed}"


@pytest.fixture
def windtunnel(request: pytest.FixtureRequest) -> Case:
    """The run at hand of a test with the mark ``windtunnel``."""
    if request.node.get_closest_marker(_MARK) is None:
        pytest.fail(
            "the fixture windtunnel: got a test without a mark, expected"
            " @pytest.mark.windtunnel(...)",
            pytrace=False,
        )
    return next(_cases(request.node))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse the mark where nothing would look at it."""
    if item.get_closest_marker(_MARK) is not None and isinstance(
        getattr(item, "obj", None), types.MethodType
    ):
        kind = item.obj.__self__  # type: ignore[attr-defined]
        if isinstance(kind, unittest.TestCase):
            pytest.fail(
                f"{item.name}: got the mark windtunnel on a unittest.TestCase, expected a function"
                " or a method of a plain class",
                pytrace=False,
            )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Call a marked test once for each of its runs, until one fails."""
    __tracebackhide__ = True
    if pyfuncitem.get_closest_marker(_MARK) is None:
        return None
    if _MARK not in pyfuncitem.funcargs:
        pytest.fail(
            f"{pyfuncitem.name}: got the mark windtunnel on a test without an argument of that"
            " name, so that all of its runs would be the same",
            pytrace=False,
        )
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pytest.fail(
            f"{pyfuncitem.name}: got the mark windtunnel on an async test, expected a plain"
            " function: a simulated run awaits nothing",
            pytrace=False,
        )
    names = pyfuncitem._fixtureinfo.argnames
    for case in _cases(pyfuncitem):
        arguments = {name: pyfuncitem.funcargs[name] for name in names}
        try:
            pyfuncitem.obj(**{**arguments, _MARK: case})
        except Exception as error:
            _add_notes(error, case, pyfuncitem.nodeid)
            raise
    return True


def _add_notes(error: Exception, case: Case, test: str) -> None:
    """Say with which seed it was; a report of ours has said so already."""
    from scenarios.testing import Violated  # noqa: PLC0415 - nothing of weight before

    if not isinstance(error, Violated):
        error.add_note(f"windtunnel: {case.target} with seed {case.seed}")
        error.add_note(f"  pytest  pytest {shlex.quote(test)} --windtunnel-seed={case.seed}")


def _cases(item: pytest.Item) -> Iterator[Case]:
    """The runs of a marked test: each seed with all of its targets, then the next seed."""
    mark = next(item.iter_markers(_MARK))
    for name in mark.kwargs:
        if name not in _LEAST:
            _wrong(name, "an argument that is not known", " or ".join(_LEAST))
    first, runs = _seed_and_runs(item.config, mark, len(mark.args) or 1)
    from scenarios.inputs import InputError  # noqa: PLC0415 - nothing of weight before
    from scenarios.runs import load_target  # noqa: PLC0415
    from scenarios.shelf import RANDOM  # noqa: PLC0415
    from sim.scenario import Scenario  # noqa: PLC0415

    targets: tuple[Any, ...] = mark.args or (RANDOM,)
    loaded: dict[str, Scenario] = {}
    for number in range(runs):
        turn, place = divmod(number, len(targets))
        target, seed = targets[place], first + turn
        if isinstance(target, Scenario):
            yield Case(target, target.name, seed, item.nodeid)
        elif isinstance(target, str):
            if target == RANDOM or target not in loaded:
                try:
                    loaded[target] = load_target(target, seed=seed)[0]
                except InputError as error:
                    pytest.fail(f"mark windtunnel: {error}", pytrace=False)
            yield Case(loaded[target], target, seed, item.nodeid)
        else:
            _wrong("targets", repr(target), "names, files or Scenarios")


def _seed_and_runs(config: pytest.Config, mark: pytest.Mark, targets: int) -> tuple[int, int]:
    for name, least in _LEAST.items():
        value = mark.kwargs.get(name)
        if value is not None and (type(value) is not int or not least <= value <= _MOST):
            _wrong(name, repr(value), _range(least))
    seed, runs = config.getoption("--windtunnel-seed"), config.getoption("--windtunnel-runs")
    if runs is None and seed is not None:
        return seed, targets  # this one only
    if runs is None:
        runs = mark.kwargs.get("runs")
    if runs is None:
        from hypothesis import settings  # noqa: PLC0415 - nothing of weight before

        runs = settings().max_examples
    return mark.kwargs.get("seed") or 0 if seed is None else seed, runs


def _range(least: int) -> str:
    return f"an integer >= {least}, and of 63 bits"


def _wrong(name: str, got: str, expected: str) -> None:
    pytest.fail(f"mark windtunnel: {name}: got {got}, expected {expected}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> _Report:
    """Put the line that replays a failure where reports of any kind carry it."""
    report = yield
    testing = sys.modules.get("scenarios.testing")  # not loaded: nobody has called `check`
    if call.excinfo is not None and testing is not None:
        for error in _each(call.excinfo.value):
            if isinstance(error, testing.Violated) and error.command:
                entry = (_REPLAY, error.command)
                report.user_properties.append(entry)
                item.user_properties.append(entry)  # JUnit writes those of the teardown
    return report


def _each(error: BaseException) -> Iterator[BaseException]:
    """An exception, or those of a group: Hypothesis finds several failures at once."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _each(each)
    else:
        yield error


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List what can be replayed."""
    lines = [
        (report.nodeid, value)
        for report in terminalreporter.stats.get("failed", ())
        for name, value in report.user_properties
        if name == _REPLAY
    ]
    if lines:
        terminalreporter.section("windtunnel")
        for test, command in lines:
            terminalreporter.write_line(f"{test}: {command}")


class SameInEveryProcess(Protocol):
    """`check_determinism`, and the test fails if two traces differ."""

    def __call__(
        self,
        what: str,
        *,
        seed: int = 0,
        profile: "Profile | None" = None,
        workflow_type: str = "",
        pythons: Sequence[str] | None = None,
    ) -> "DeterminismReport":
        """Return what was compared.  Raises as `check_determinism`."""
        ...


@pytest.fixture(scope="session")
def same_in_every_process() -> SameInEveryProcess:
    """Call it with what is to be the same: a scenario, a file, ``package.module:function``."""
    from scenarios.determinism import (  # noqa: PLC0415 - nothing of weight before
        check_determinism,
        describe_determinism,
    )

    def check(
        what: str,
        *,
        seed: int = 0,
        profile: "Profile | None" = None,
        workflow_type: str = "",
        pythons: Sequence[str] | None = None,
    ) -> "DeterminismReport":
        __tracebackhide__ = True
        report = check_determinism(
            what, seed=seed, profile=profile, workflow_type=workflow_type, pythons=pythons
        )
        if not report.same:
            pytest.fail("\n".join(describe_determinism(report)), pytrace=False)
        return report

    return check
