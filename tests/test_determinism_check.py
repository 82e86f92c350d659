"""Planted causes for which a run is not a function of its seed: each is caught, and named."""

import json
import re

import pytest
from click.testing import CliRunner

from scenarios.cli import cli
from scenarios.determinism import (
    DeterminismReport,
    ProcessFailed,
    check_determinism,
    describe_determinism,
)
from scenarios.inputs import InputError
from scenarios.pytest_plugin import SameInEveryProcess


def planted(name: str) -> DeterminismReport:
    """What a run with a faulty workflow comes to."""
    return check_determinism("log-search", seed=7, workflow_type=f"unsteady:{name}", pythons=())


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("SetOrder", "hash_seed"),
        ("SetOfTasks", "heap"),
        ("IdOrder", "heap"),
        ("WallClock", "nothing"),
        ("Unseeded", "nothing"),
    ],
)
def test_a_planted_cause_is_caught_and_named_with_both_sides(name: str, cause: str) -> None:
    found = planted(name).divergence
    assert found is not None
    assert found.index is not None
    assert found.left != found.right
    # Where addresses differ by themselves in each process, no change is needed.
    assert cause in found.causes or (cause == "heap" and found.causes == ("nothing",))


def test_the_engine_itself_is_the_same_everywhere(
    same_in_every_process: SameInEveryProcess,
) -> None:
    report = same_in_every_process("worker-lost", seed=7, pythons=())
    assert report.same
    assert len(report.compared) == 3
    assert report.events > 100


def test_the_fixture_fails_a_test_with_what_was_found(
    same_in_every_process: SameInEveryProcess,
) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^DIVERGED   at event \d+, between two"):
        same_in_every_process("unsteady:stamped", pythons=())


def test_traces_of_other_lengths_differ_where_one_ends() -> None:
    found = check_determinism("unsteady:shorter", pythons=()).divergence
    assert found is not None
    assert None in (found.left, found.right)
    assert found.causes == ("hash_seed",)


def test_a_header_that_differs_is_no_event_and_found_all_the_same() -> None:
    found = check_determinism("unsteady:other_header", pythons=()).divergence
    assert found is not None
    assert (found.where, found.index) == ("the header's ran.workers", None)


def test_what_is_equal_for_python_but_not_as_text_differs() -> None:
    found = check_determinism("unsteady:one_or_true", pythons=()).divergence
    assert found is not None
    assert '"n":' in str(found.left)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crashes_sometimes", "hash seed 12345.* ended with exit code 1: is not to my taste"),
        ("leaves", "ended without a trace: it said nothing"),
        ("killed", "was ended by signal 6"),
        ("no_trace", "got str, expected a Trace"),
    ],
)
def test_a_process_without_a_trace_says_how_it_ended(name: str, words: str) -> None:
    with pytest.raises(ProcessFailed, match=words):
        check_determinism(f"unsteady:{name}", pythons=())


def test_what_a_function_prints_does_no_harm() -> None:
    assert check_determinism("unsteady:chatty", pythons=()).same


def test_a_python_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="got no program, expected a Python"):
        check_determinism("demo", pythons=("no-such-python",))


def test_a_function_takes_no_seed() -> None:
    with pytest.raises(InputError, match="takes no seed"):
        check_determinism("unsteady:steady", seed=3)


def test_the_command_says_same_and_with_what() -> None:
    result = CliRunner().invoke(cli, ["run", "short-circuit", "--check-determinism", "--json"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["verdict"] == "SAME"
    assert shown["compared"][:3] == [
        "hash seed 0",
        "hash seed 12345, no garbage collection, shuffled heap",
        "hash seed 2, heap of malloc",
    ]


@pytest.mark.parametrize(
    "words", [["--check-determinism", "--trace", "x"], ["--python", "python3"]]
)
def test_options_that_exclude_each_other_are_refused(words: list[str]) -> None:
    result = CliRunner().invoke(cli, ["run", "demo", *words])
    assert result.exit_code == 2


def test_the_report_shows_both_sides_and_the_cause() -> None:
    lines = list(describe_determinism(planted("SetOrder")))
    assert re.match(
        r"DIVERGED   at event \d+, between two processes that run log-search$", lines[0]
    )
    assert [line.split()[0] for line in lines] == [
        "DIVERGED",
        "one",
        "with",
        "other",
        "with",
        "cause",
    ]
    assert lines[-1] == "cause      the hash seed alone: the order of a set, or hash of a text"
