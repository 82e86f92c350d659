"""Many runs come to one tally, however many processes share them."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from properties.coverage import PRECONDITIONS
from scenarios import search as searching
from scenarios.archive import load_failure
from scenarios.cli import cli, main
from scenarios.replay import replay_failure
from scenarios.search import Found, Tally, describe_tally, exercised, search, too_rare
from scenarios.shelf import scenario_names

NAMES = ("count-over-time", "one-token")


def test_one_and_two_processes_come_to_the_same() -> None:
    told: dict[int, list[int]] = {1: [], 2: []}
    tallies = [
        search(NAMES, seeds=range(3, 70), processes=n, progress=told[n].append) for n in (1, 2)
    ]
    assert tallies[0] == tallies[1]
    assert list(describe_tally(tallies[0])) == list(describe_tally(tallies[1]))
    assert tallies[0].runs == {"count-over-time": 67, "one-token": 67}
    assert tallies[0].found == []
    assert told[1] == told[2] == [50, 17, 50, 17]


def test_a_mutant_is_found_printed_and_saved_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--seeds", "40", "--mutant", "W7-silent-failure", "--processes", "1")
    result = CliRunner().invoke(cli, ["search", "error-rate", *words])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("error-rate                   40 runs, found ")
    found = [line for line in lines if line.startswith("VIOLATED   error-rate with seed ")]
    assert found
    assert any(rule in found[0] for rule in ("P1 ", "P2 ", "D1 "))
    replays = [
        line.split()[-1] for line in lines if line.startswith("  replay  windtunnel replay ")
    ]
    assert replays
    for path in replays:
        failure = load_failure(Path(path))
        assert failure.origin.mutant == "W7-silent-failure"
        assert replay_failure(failure).verdict == "SAME"


def test_a_violation_of_the_engine_itself_comes_with_its_replay() -> None:
    tally = Tally(Counter({"demo": 3}), {"demo": Counter()})
    tally.violations["demo", "L1"] = 2
    tally.found.append(Found("demo", 5, "L1", "L1 the run ends: not", "demo@5@sound@0123"))
    lines = list(describe_tally(tally))
    assert lines[:3] == [
        "demo                          3 runs, found L1 in 2",
        "VIOLATED   demo with seed 5: L1 the run ends: not",
        "replay     windtunnel replay demo@5@sound@0123",
    ]


def test_what_should_happen_and_never_does_is_too_rare() -> None:
    tally = search(["worker-lost"], seeds=range(10), processes=1)
    assert "fault worker_crash" not in too_rare(tally)
    tally.features["worker-lost"]["fault worker_crash"] = 0
    assert "fault worker_crash" in too_rare(tally)
    [line] = [line for line in describe_tally(tally) if "fault worker_crash" in line]
    assert line == "  fault worker_crash              0 of     10 (  0.0%)  TOO RARE"


def test_one_in_a_hundred_is_enough_and_less_is_not() -> None:
    tally = Tally(Counter({"max-of-sums": 200}), {"max-of-sums": Counter({"fault slow_worker": 2})})
    for what in exercised(tally):
        tally.features["max-of-sums"].setdefault(what[0], 200)
    assert too_rare(tally) == []
    tally.features["max-of-sums"]["fault slow_worker"] = 1
    assert too_rare(tally) == ["fault slow_worker"]


def test_what_is_too_rare_exits_with_1_though_nothing_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["search", "max-of-sums", "--seeds", "3", "--processes", "1"]
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, "TOO RARE" in result.stdout) == (0, False)
    monkeypatch.setattr(searching, "features", lambda _outcome: [])
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, "TOO RARE" in result.stdout) == (1, True)
    assert "found nothing" in result.stdout


def test_progress_is_not_on_the_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["search", "max-of-sums", "--seeds", "3", "--processes", "1"]
    quiet = CliRunner().invoke(cli, words)
    assert quiet.stderr == ""
    # As on a terminal.
    monkeypatch.setattr("scenarios.cli._is_terminal", lambda _stream: True)
    shown = CliRunner().invoke(cli, words)
    assert "runs" in shown.stderr
    assert shown.stdout == quiet.stdout


def test_every_name_is_looked_up_before_anything_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_words: Any, **_more: Any) -> Tally:
        raise AssertionError("it ran")

    monkeypatch.setattr("scenarios.cli.search", fail)
    monkeypatch.setattr(sys, "argv", ["windtunnel", "search", "demo", "dmeo"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "windtunnel: dmeo: got no library scenario; did you mean 'demo'?\n",
    )


def test_a_name_given_twice_counts_once_and_none_means_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[str]] = []

    def note(names: list[str], **_more: Any) -> Tally:
        asked.append(names)
        return Tally()

    monkeypatch.setattr("scenarios.cli.search", note)
    assert CliRunner().invoke(cli, ["search", "demo", "demo"]).exit_code == 0
    assert CliRunner().invoke(cli, ["search"]).exit_code == 0
    assert asked == [["demo"], scenario_names()]


def test_what_fails_says_in_which_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_words: Any, **_more: Any) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr(searching, "run", fail)
    with pytest.raises(RuntimeError) as failed:
        search(["demo"], seeds=range(4, 6), processes=1)
    assert failed.value.__notes__ == ["in scenario demo with seed 4"]


def test_meant_for_names_what_there_is() -> None:
    known = set(scenario_names())
    assert set(searching._MEANT_FOR) <= known
    hazards = {what for names in searching._MEANT_FOR.values() for what in names}
    assert hazards <= set(PRECONDITIONS)
