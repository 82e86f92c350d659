"""The pytest plugin, as a project of its own meets it: each test runs pytest in a fresh process."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

MINE = '''\
import pytest
from properties.mutants import MUTANTS
from sim.parts import Parts
from workflow import Workflow


class Mine(Workflow):
    """Loses the token of a task that was cancelled."""

    def _release(self, task):
        if self.state(task).name != "CANCELLED":
            super()._release(task)


@pytest.mark.windtunnel("one-token", runs=20)
def test_mine(windtunnel):
    windtunnel.check(parts=Parts(workflow=Mine))
'''


def run(folder: Path, *words: str, test: str = MINE) -> subprocess.CompletedProcess[str]:
    """Pytest in a folder with one test file."""
    (folder / "test_it.py").write_text(test, encoding="utf-8")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "HYPOTHESIS", "WINDTUNNEL"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the test has failed, and what pytest said."""
    folder = tmp_path_factory.mktemp("failed")
    done = run(folder, "--junitxml=report.xml")
    assert done.returncode == 1, done.stdout
    return folder, done.stdout


def test_a_failure_carries_its_report_its_seed_and_its_replay(failed: tuple[Path, str]) -> None:
    folder, out = failed
    assert "FAILED  A1 a token belongs to one unfinished task" in out
    found = re.search(r"pytest  pytest (test_it\.py::test_mine) --windtunnel-seed=(\d+)", out)
    assert found is not None
    [saved] = (folder / ".windtunnel" / "failures").iterdir()
    command = f"windtunnel replay .windtunnel/failures/{saved.name}"
    assert f"replay  {command}" in out
    assert f"test_it.py::test_mine: {command}" in out.partition("= windtunnel =")[2]

    again = run(folder, found[1], f"--windtunnel-seed={found[2]}")
    assert again.returncode == 1
    assert f"windtunnel: seed {found[2]}" in again.stdout
    assert command in again.stdout

    replay = subprocess.run(
        [sys.executable, "-m", "scenarios", "replay", saved.stem],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert replay.returncode == 1
    assert replay.stdout.startswith("SAME       all ")


def test_two_processes_report_the_same_failure(tmp_path: Path) -> None:
    done = run(tmp_path, "-n", "2")
    assert done.returncode == 1, done.stdout
    assert "test_it.py::test_mine: windtunnel replay " in done.stdout
    assert len([*(tmp_path / ".windtunnel" / "failures").iterdir()]) == 1


def test_junit_carries_the_line_that_replays(failed: tuple[Path, str]) -> None:
    report = (failed[0] / "report.xml").read_bytes()
    properties = ET.fromstring(report).iter("property")  # noqa: S314 - our own
    values = {each.get("name"): each.get("value") for each in properties}
    command = str(values["windtunnel_replay"])
    assert command.startswith("windtunnel replay .windtunnel/failures/A1-")


def test_failures_can_be_saved_elsewhere(tmp_path: Path) -> None:
    done = run(tmp_path, "--windtunnel-artifacts=found")
    assert len([*(tmp_path / "found").iterdir()]) == 1
    assert not (tmp_path / ".windtunnel").exists()
    assert f"windtunnel replay {tmp_path / 'found'}" in done.stdout


def test_an_assertion_of_the_tests_own_says_the_seed(tmp_path: Path) -> None:
    test = MINE.replace(
        "windtunnel.check(parts=Parts(workflow=Mine))", "assert windtunnel.seed < 3"
    )
    done = run(tmp_path, test=test)
    assert "windtunnel: one-token with seed 3" in done.stdout
    assert "pytest test_it.py::test_mine --windtunnel-seed=3" in done.stdout


COUNTING = """\
import pytest
from sim.scenario import Scenario

SEEN = []

@pytest.mark.windtunnel({mark})
def test_runs(windtunnel, tmp_path):
    assert isinstance(windtunnel.scenario, Scenario) and tmp_path.is_dir()
    SEEN.append((windtunnel.target, windtunnel.seed))

def test_seen():
    assert False, SEEN
"""


def seen(folder: Path, mark: str, *words: str) -> list[tuple[str, int]]:
    done = run(folder, *words, test=COUNTING.format(mark=mark))
    found = re.search(r"AssertionError: (\[.*\])", done.stdout)
    assert found is not None, done.stdout
    pairs = re.findall(r"\('([\w-]+)', (\d+)\)", found[1])
    return [(name, int(seed)) for name, seed in pairs]


@pytest.mark.parametrize(
    ("mark", "words", "runs"),
    [
        ("'demo', 'random', runs=3", (), [("demo", 0), ("random", 0), ("demo", 1)]),
        ("'demo', runs=2, seed=9", (), [("demo", 9), ("demo", 10)]),
        ("'demo', runs=5", ("--windtunnel-seed=7",), [("demo", 7)]),
        ("'demo', 'random', runs=5", ("--windtunnel-seed=7",), [("demo", 7), ("random", 7)]),
        ("'demo'", ("--windtunnel-runs=2", "--windtunnel-seed=7"), [("demo", 7), ("demo", 8)]),
        ("runs=1", (), [("random", 0)]),
    ],
)
def test_the_mark_and_the_options_say_what_runs(
    tmp_path: Path, mark: str, words: tuple[str, ...], runs: list[tuple[str, int]]
) -> None:
    assert seen(tmp_path, mark, "-vv", *words) == runs


def test_without_a_number_a_test_runs_as_often_as_hypothesis_tries(tmp_path: Path) -> None:
    assert "runs: 100" in run(tmp_path, test=COUNTED).stdout
    assert "runs: 5000" in run(tmp_path, "--hypothesis-profile=nightly", test=COUNTED).stdout


COUNTED = """\
import pytest

SEEN = []

@pytest.mark.windtunnel("one-token")
def test_runs(windtunnel):
    SEEN.append(1)

def test_seen():
    assert False, f"runs: {len(SEEN)}"
"""


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("'demo', run=3", "mark windtunnel: run: got an argument that is not known, expected runs"),
        ("'demo', runs=0", "mark windtunnel: runs: got 0, expected an integer >= 1"),
        ("'demo', seed='7'", "mark windtunnel: seed: got '7', expected an integer >= 0"),
        ("'demo', seed=2**63", "mark windtunnel: seed: got 9223372036854775808, expected"),
        ("7", "mark windtunnel: targets: got 7, expected names, files or Scenarios"),
        ("'dmo'", "dmo: got no file, and no scenario or plan of the library; did you mean 'demo'?"),
    ],
)
def test_a_mark_that_makes_no_sense_is_said_to(tmp_path: Path, mark: str, said: str) -> None:
    done = run(tmp_path, test=COUNTING.format(mark=mark))
    assert said in done.stdout
    assert "Traceback" not in done.stdout


def test_a_mark_without_the_argument_and_the_argument_without_a_mark_are_said(
    tmp_path: Path,
) -> None:
    test = (
        "import pytest\n\n"
        "@pytest.mark.windtunnel('demo')\ndef test_deaf():\n    pass\n\n"
        "def test_unmarked(windtunnel):\n    pass\n"
    )
    done = run(tmp_path, test=test)
    assert "test_deaf: got the mark windtunnel on a test without an argument of that" in done.stdout
    assert "got a test without a mark, expected @pytest.mark.windtunnel(...)" in done.stdout


def test_a_mark_that_nothing_would_look_at_is_refused(tmp_path: Path) -> None:
    test = (
        "import pytest, unittest\n\n"
        "@pytest.mark.windtunnel('demo')\nasync def test_async(windtunnel):\n    assert 0\n\n"
        "class TestCase(unittest.TestCase):\n"
        "    @pytest.mark.windtunnel('demo')\n    def test_case(self):\n        pass\n\n"
        "class TestPlain:\n"
        "    @pytest.mark.windtunnel('demo', runs=2)\n    def test_plain(self, windtunnel):\n"
        "        windtunnel.check()\n"
    )
    done = run(tmp_path, test=test)
    assert "test_async: got the mark windtunnel on an async test, expected a plain" in done.stdout
    assert "test_case: got the mark windtunnel on a unittest.TestCase, expected" in done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("option", ["--windtunnel-runs=0", "--windtunnel-seed=-1"])
def test_an_option_out_of_range_is_an_error_of_usage(tmp_path: Path, option: str) -> None:
    done = run(tmp_path, option)
    assert done.returncode == 4
    assert f"{option.partition('=')[0]}: got {option.partition('=')[2]}, expected" in done.stderr


def test_a_project_that_does_not_use_it_does_not_notice_it(tmp_path: Path) -> None:
    test = (
        "import sys\n\ndef test_inert():\n"
        "    heavy = ('hypothesis', 'simpy', 'pyarrow', 'workflow', 'sim', 'properties')\n"
        "    assert not [name for name in heavy if name in sys.modules]\n\n"
        "class Evil(Exception):\n    def __str__(self):\n        raise RuntimeError\n\n"
        "def test_that_fails_badly():\n    raise Evil\n"
    )
    done = run(tmp_path, "-p", "no:hypothesispytest", test=test)
    assert "1 failed, 1 passed" in done.stdout
    assert "INTERNALERROR" not in done.stdout
    assert "windtunnel" not in done.stdout.partition("collected")[2]


HYPOTHESIS = """\
from hypothesis import given, strategies as st
from properties.mutants import MUTANTS
from scenarios.shelf import find_scenario
from scenarios.testing import check, simulated


@simulated
@given(st.sampled_from(["demo", "one-token"]), st.integers(0, 999))
def test_leak(name, seed):
    check(find_scenario(name), seed, parts=MUTANTS["W1-token-leak"].parts)
"""


def test_a_hypothesis_test_fails_with_one_report_and_saves_one_failure(tmp_path: Path) -> None:
    done = run(tmp_path, test=HYPOTHESIS)
    assert done.returncode == 1, done.stdout
    assert "Flaky" not in done.stdout
    # By its mark: where CI is set, pytest repeats a message whole in its summary.
    assert done.stdout.count("E         pytest  pytest test_it.py::test_leak\n") == 1
    assert len([*(tmp_path / ".windtunnel" / "failures").iterdir()]) == 1
