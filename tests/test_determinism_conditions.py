"""Every condition that must not matter is shown to matter where a fault was planted."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scenarios.cli import cli
from scenarios.determinism import ProcessFailed, check_determinism, describe_determinism
from scenarios.inputs import InputError

ROOT = Path(__file__).parent.parent


def test_an_order_of_cancels_is_caught() -> None:
    found = check_determinism(
        "short-circuit", seed=1, workflow_type="unsteady:SetOrderOfCancels", pythons=()
    ).divergence
    assert found is not None
    one, other = json.loads(found.left or ""), json.loads(found.right or "")
    assert one["method"] == other["method"] == "cancel"
    assert sorted(one["tasks"]) == sorted(other["tasks"])
    assert found.causes == ("hash_seed",)


def test_a_clock_that_stamps_an_event_is_caught() -> None:
    found = check_determinism("unsteady:stamped", pythons=()).divergence
    assert found is not None
    one, other = json.loads(found.left or ""), json.loads(found.right or "")
    assert {key for key in one if one[key] != other[key]} == {"made_us"}
    assert found.causes == ("nothing",)


def test_the_garbage_collector_is_caught() -> None:
    found = check_determinism("unsteady:collected", pythons=()).divergence
    assert found is not None
    assert found.causes == ("collects",)


def test_a_trace_that_goes_on_is_another_one() -> None:
    report = check_determinism("unsteady:longer", pythons=())
    found = report.divergence
    assert found is not None
    assert (found.index, found.left) == (report.events, None)
    assert json.loads(found.right or "")["kind"] == "one more"


def test_a_header_with_a_field_more_is_another_one() -> None:
    found = check_determinism("unsteady:other_keys", pythons=()).divergence
    assert found is not None
    assert (found.where, found.left, found.right) == ("the header's ran.more", None, "1")


def test_of_long_events_the_part_that_differs_is_shown() -> None:
    report = check_determinism("unsteady:far_away", pythons=())
    [one, other] = [line for line in describe_determinism(report) if "here: " in line]
    assert "here: 0" in one
    assert "here: 12345" in other
    assert len(one) < 300


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("a_number", "TypeError: unsteady:a_number: got int, expected something to call"),
        ("nowhere", "module 'unsteady' has no attribute 'nowhere'"),
    ],
)
def test_what_cannot_be_called_is_said(function: str, said: str) -> None:
    with pytest.raises(ProcessFailed, match=re.escape(said)):
        check_determinism(f"unsteady:{function}", pythons=())


# Other Pythons.  Scripts stand for their launchers; what they start is real.


def launcher(folder: Path, name: str, script: str) -> str:
    """A program that a PATH with this folder has."""
    place = folder / name
    place.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    place.chmod(0o755)
    return str(place)


THIS = f'exec {shlex.quote(sys.executable)} "$@"'
BARE = f'exec {shlex.quote(sys.executable)} -S "$@"'  # without installed packages


def test_a_python_on_the_path_is_compared_if_it_has_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher(tmp_path, "python3.18", THIS)
    launcher(tmp_path, "python3.19", BARE)
    launcher(tmp_path, "python3.20", "echo no such Python >&2; exit 127")
    monkeypatch.setenv("PATH", str(tmp_path))
    report = check_determinism("short-circuit")
    assert report.same
    assert [str(each) for each in report.compared[3:]] == [
        f"hash seed 0, Python {sys.version.split()[0]}"
    ]
    [skipped] = report.skipped
    assert skipped.startswith("python3.19 (ended with exit code 1: ModuleNotFoundError: ")


def test_a_difference_between_pythons_is_laid_to_the_python(tmp_path: Path) -> None:
    other = launcher(tmp_path, "other", f"OTHER_PYTHON=1 {THIS}")
    found = check_determinism("unsteady:other_python", pythons=[other]).divergence
    assert found is not None
    assert found.causes == ("python",)
    assert found.right_conditions.python == other


def test_without_another_python_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = check_determinism("short-circuit")
    assert report.skipped == ("another Python (there is none on the PATH)",)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (BARE, "cannot run this (ended with exit code 1: ModuleNotFoundError: "),
        ("exit 127", "cannot run this (ended with exit code 127: it said nothing)"),
        (None, "got no program, expected a Python"),
    ],
    ids=["bare", "launcher without its Python", "nowhere"],
)
def test_a_python_that_was_asked_for_must_be_of_use(
    tmp_path: Path, script: str | None, said: str
) -> None:
    name = launcher(tmp_path, "other", script) if script else str(tmp_path / "nowhere")
    with pytest.raises(InputError, match=re.escape(said)):
        check_determinism("short-circuit", pythons=[name])


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_real_other_python_agrees(version: str) -> None:
    python = ROOT / f".venv-{version}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"there is no environment .venv-{version} here")
    report = check_determinism("demo", seed=7, pythons=[str(python)])
    assert report.same
    assert report.compared[-1].version.startswith(version)


# The command.


def windtunnel(*words: str) -> Result:
    """Run the command, on a PATH without other Pythons."""
    return CliRunner().invoke(cli, ["run", *words], env={"PATH": "/nowhere"})


def customize(folder: Path, *lines: str) -> None:
    """Let every Python with this folder in its path begin with these lines."""
    (folder / "sitecustomize.py").write_text("\n".join(lines), encoding="utf-8")


def test_the_command_exits_with_3_when_two_traces_differ(tmp_path: Path) -> None:
    customize(
        tmp_path,
        "from workflow.admission import Admission",
        "enqueue = Admission.enqueue",
        "Admission.enqueue = lambda self, tasks: enqueue(self, reversed(list(tasks)))",
    )
    other = launcher(tmp_path, "other", f'export PYTHONPATH="{tmp_path}:$PYTHONPATH"\n{THIS}')
    words = ("log-search", "--check-determinism", "--python", other)
    result = windtunnel(*words)
    assert result.exit_code == 3
    assert result.stdout.startswith("DIVERGED   at event ")
    assert "\ncause      the Python alone" in result.stdout
    result = windtunnel(*words, "--json")
    assert result.exit_code == 3
    shown = json.loads(result.stdout)
    assert shown["verdict"] == "DIVERGED"
    assert json.loads(shown["divergence"]["one"])["seq"] == shown["divergence"]["event"]


def test_what_is_the_same_and_wrong_exits_with_1(tmp_path: Path) -> None:
    customize(
        tmp_path,
        "from workflow import Workflow",
        "Workflow._finish_if_over = lambda self: None",
    )
    done = subprocess.run(
        [sys.executable, "-m", "scenarios", "run", "demo", "--seed", "7", "--check-determinism"],
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": "/nowhere", "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.startswith("SAME       all ")
    assert "\nVIOLATED   " in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: got no file, and no scenario"),
        (["demo", "--python", "/nowhere/python"], "/nowhere/python: got no program"),
        (["/dev/null"], "/dev/null: "),
        (["unsteady:steady"], "unsteady:steady: got "),
    ],
)
def test_bad_input_of_the_command_is_a_line(words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scenarios", "run", *words, "--check-determinism"],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PATH": "/nowhere"},
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"windtunnel: {said}")


def test_a_process_that_fails_is_a_line_of_the_command(tmp_path: Path) -> None:
    # It can import everything, and ends when it is to run.
    other = launcher(
        tmp_path,
        "other",
        f"""case "$*" in *.jsonl*) echo 'no memory' >&2; exit 9;; esac\n{THIS}""",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "scenarios",
            "run",
            "demo",
            "--check-determinism",
            "--python",
            other,
        ],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"windtunnel: demo: the process with hash seed 0, Python {sys.version.split()[0]}"
        " ended with exit code 9: no memory\n"
    )
