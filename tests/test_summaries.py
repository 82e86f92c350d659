"""What a run, a replay and a list look like, to the letter.

After a change that is meant, `python tests/test_summaries.py` writes the file anew.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from properties.judged import Judged
from scenarios.cli import cli
from scenarios.report.summary import HEIGHT, describe_run
from scenarios.runs import Run, run
from scenarios.shelf import find_scenario
from scenarios.wording import WIDTH
from sim.choices import Seeded, Tame
from sim.scenario import FAULT_KINDS, Cluster, Scenario
from sim.simulate import StuckReport

FILE = Path(__file__).parent / "data" / "summaries.txt"
COMMANDS = ("windtunnel run count-over-time --seed 0", "windtunnel run impatient-users --seed 0")


def summaries() -> str:
    """Each command with what it prints."""
    text = ""
    for command in COMMANDS:
        result = CliRunner().invoke(cli, command.split()[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        text += f"$ {command}\n{result.stdout}\n"
    return text


def test_a_summary_looks_as_it_did() -> None:
    assert summaries() == FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [70, 80, 100])
def test_a_summary_fits_narrower_terminals(width: int) -> None:
    finished = run(find_scenario("demo"), Seeded(7), target="demo", seed=7)
    lines = list(describe_run(finished, width=width))
    foot = next(i for i, line in enumerate(lines) if line.startswith("  · Pending"))
    assert max(map(len, lines[:foot])) <= width
    assert len(lines) <= HEIGHT


@pytest.mark.parametrize("slots", [4, 100])
def test_many_workloads_and_many_tasks_still_fit_a_screen(slots: int) -> None:
    # With few slots the roots hold them all, and wait for scans that get none.
    [workload] = find_scenario("log-search").workloads
    crowd = tuple(replace(workload, arrival=100 * index, rows_per_scan=2) for index in range(9))
    finished = run(Scenario(workloads=crowd, cluster=Cluster(slots=slots)), Seeded(1))
    assert (finished.outcome.stuck is None) is (slots == 100)
    lines = list(describe_run(finished))
    assert len(lines) <= HEIGHT
    shown = sum(line.startswith("    -> ") for line in lines)
    assert shown >= 2
    [rest] = [line for line in lines if " more workloads: " in line]
    assert rest.startswith(f"  ... {9 - shown} more workloads: {9 - shown} ")
    assert sum(line.startswith("    ... ") for line in lines) == shown


def test_what_hangs_says_who_waits_and_what_is_violated() -> None:
    scenario = find_scenario("empty-scans")
    stuck = next(
        finished
        for finished in (run(scenario, Seeded(seed), profile="reference") for seed in range(200))
        if finished.outcome.stuck is not None
    )
    lines = list(describe_run(stuck))
    assert "stuck      nothing can happen any more:" in lines
    assert any(line.startswith("             client 0 waits for ") for line in lines)
    assert any(line.startswith("VIOLATED   L1 ") for line in lines)
    assert not any(line.startswith("rules ") for line in lines)
    assert any(line.startswith("    -> not over, 0 rows read; tasks: ") for line in lines)
    assert len(lines) <= HEIGHT


def test_a_task_that_ends_after_the_results_is_marked() -> None:
    scenario = find_scenario("rate-by-level-and-env")
    for seed in range(50):
        lines = list(describe_run(run(scenario, Seeded(seed))))
        if any(line.endswith("→") for line in lines):
            assert any(line.endswith("! Failed  → later") for line in lines)
            return
    raise AssertionError("no task ended later")


def test_a_long_error_is_cut_and_stays_on_its_line() -> None:
    finished = run(find_scenario("count-over-time"), Tame())
    end = replace(finished.outcome.ends[0], end="error", error="Oh: " + "no\n" * 99)
    counts = {f"fault {kind}": 12 for kind in FAULT_KINDS}
    stuck = StuckReport((("m0/t1", "input from " + ", ".join(["m0/s1"] * 999)),) * 9)
    outcome = replace(finished.outcome, ends=(end,), counts=counts, stuck=stuck)
    broken = Run(Judged(outcome, ()))
    lines = list(describe_run(broken))
    assert max(map(len, lines[:-1])) == WIDTH
    for begin in (
        "       Oh: no no no",
        "trouble    task_failure x12, ",
        "             m0/t1 waits for",
    ):
        assert next(line for line in lines if line.startswith(begin)).endswith("...")
    assert "             ... and 3 more wait" in lines


if __name__ == "__main__":
    FILE.write_text(summaries(), encoding="utf-8")
    sys.stdout.write(f"wrote {FILE}\n")
