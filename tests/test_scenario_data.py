"""A scenario that names its data: it runs, is searched, reduced and replayed like any other."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import filled, windtunnel

from properties.mutants import MUTANTS
from properties.oracle import CannotAnswer, answer
from scenarios.archive import load_failure
from scenarios.held import pinned, rows_of
from scenarios.inputs import InputError
from scenarios.replay import replay_failure
from scenarios.runs import load_target, run
from scenarios.shelf import find_plan
from scenarios.testing import Violated, check
from sim.choices import Seeded
from sim.scenario import Data, Scenario, Workload
from sim.scenario_file import scenario_from_json, scenario_to_json, scenario_to_toml

WRONG = MUTANTS["failure-is-success"].parts
UNLUCKY = 25  # a seed with which a scan of log-search fails


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket of 3,000 lines in four sections."""
    place = tmp_path_factory.mktemp("made") / "logs"
    return filled(place, rows=3_000, seed=3, sections=4)


@pytest.fixture
def logs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it below the current folder, which is empty but for that."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, "logs")
    return Path("logs")


def told_by_replay(saved: Path) -> str:
    """What a fresh process says that cannot replay."""
    command = [str(Path(sys.executable).with_name("windtunnel")), "replay", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    return done.stderr


def failed(logs: Path) -> Path:
    """A run over data that broke a rule, saved."""
    done = windtunnel(
        *("run", "log-search", "--data", logs, "--seed", UNLUCKY),
        *("--mutant", "failure-is-success"),
    )
    assert done.exit_code == 1, done.output
    [saved] = Path(".windtunnel/failures").iterdir()
    return saved


def test_a_failure_over_data_is_reduced_and_replays(logs: Path) -> None:
    failure = load_failure(failed(logs))
    data = failure.scenario.data
    assert failure.rule == "D1"
    assert data is not None
    assert data.bucket == "logs"
    assert data.rows is not None
    assert data.rows < 10
    assert replay_failure(failure).verdict == "SAME"


def test_the_report_says_over_which_lines(logs: Path) -> None:
    saved = failed(logs)
    told = windtunnel("run", "log-search", "--data", logs, "--seed", UNLUCKY, "--mutant", saved)
    assert told.exit_code == 2  # no mutant of that name
    done = windtunnel("replay", saved)
    assert done.stdout.startswith("SAME")
    again = windtunnel(
        *("run", "log-search", "--data", logs, "--seed", UNLUCKY),
        *("--mutant", "failure-is-success"),
    )
    report = again.stdout[again.stdout.index("FAILED") :]
    assert "  with    data logs, of each section 1 row at most\n" in report
    whole = f"windtunnel run log-search --seed {UNLUCKY} --data logs --mutant failure-is-success"
    assert f"  whole   {whole}\n" in report
    code = next(line.split()[-1] for line in report.splitlines() if line.startswith("  code"))
    assert windtunnel("replay", code).stdout.startswith("SAME")


def test_other_lines_are_noticed(logs: Path) -> None:
    saved = failed(logs)
    (logs / "objects" / "3.parquet").unlink()
    assert told_by_replay(saved).startswith("windtunnel: logs: got lines with the digest ")


def test_lines_that_are_gone_are_one_clear_error(logs: Path) -> None:
    saved = failed(logs)
    shutil.rmtree(logs)
    assert told_by_replay(saved) == (
        "windtunnel: logs: got no such file or folder, expected a folder of .parquet files\n"
    )


def test_a_trace_over_data_replays(logs: Path) -> None:
    windtunnel("run", "sum-by-level", "--data", logs, "--seed", 4, "--trace", "t.jsonl")
    assert windtunnel("replay", "t.jsonl").stdout.startswith("SAME")


def test_a_run_over_data_is_the_same_in_every_process(logs: Path) -> None:
    done = windtunnel(
        *("run", "count-over-time", "--data", logs, "--check-determinism", "--python", "none"),
    )
    assert done.exit_code != 0  # no such Python
    good = windtunnel("run", "count-over-time", "--data", logs, "--check-determinism", "--json")
    assert good.exit_code == 0
    assert json.loads(good.stdout)["divergence"] is None


def test_a_search_over_data_finds_and_reduces(logs: Path) -> None:
    done = windtunnel(
        *("search", "log-search", "--data", logs, "--seeds", 2, "--first", UNLUCKY),
        *("--mutant", "failure-is-success", "--processes", 1),
    )
    assert "found D1 in 1" in done.stdout
    [saved] = Path(".windtunnel/failures").iterdir()
    data = load_failure(saved).scenario.data
    assert data is not None
    assert data.bucket == "logs"


def test_check_runs_over_data(logs: Path) -> None:
    scenario, _ = load_target("log-search", bucket=str(logs))
    assert check(scenario, 1).outcome.ends[0].batches[0].num_rows > 0
    with pytest.raises(Violated, match=r"(?s)FAILED  D1.*data logs, of each section 1 row"):
        check(scenario, UNLUCKY, parts=WRONG)


def test_a_scenarios_file_names_its_data(logs: Path) -> None:
    assert logs.is_dir()
    Path("s.toml").write_text(
        'format = 1\n[data]\nbucket = "logs"\n[[workload]]\nplan = "sum-by-level"\n', "utf-8"
    )
    scenario, _ = load_target("s.toml")
    assert scenario.data is not None
    assert len(scenario.data.digest) == 16
    rows = run(scenario, Seeded(1)).outcome.ends[0].rows
    assert (
        rows == run(load_target("sum-by-level", bucket="logs")[0], Seeded(2)).outcome.ends[0].rows
    )
    assert rows > 0


@pytest.mark.parametrize("place", ["../logs", "/etc", "s3://bucket/logs"])
def test_a_scenarios_data_lies_in_its_folder(place: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        f'format = 1\n[data]\nbucket = "{place}"\n[[workload]]\nplan = "sum-by-level"\n', "utf-8"
    )
    with pytest.raises(InputError) as error:
        load_target(str(file))
    assert str(error.value) == (
        f"{file}:3: data.bucket: got '{place}', expected a folder in the scenario's folder or below"
    )


def test_data_survives_the_files_of_a_scenario(logs: Path) -> None:
    workload = Workload(plan=find_plan("sum-by-level"))
    scenario = Scenario(workloads=(workload,), data=Data(bucket=str(logs), rows=7))
    assert scenario_from_json(scenario_to_json(scenario)) == scenario
    assert '[data]\nbucket = "logs"\nrows = 7\n' in scenario_to_toml(scenario)


def test_only_the_first_rows_of_each_section_are_read(logs: Path) -> None:
    scenario = Scenario(data=Data(bucket=str(logs), rows=5))
    rows, all_rows = rows_of(scenario), rows_of(replace(scenario, data=Data(bucket=str(logs))))
    assert rows is not None
    assert all_rows is not None
    assert (rows.total, rows.longest, all_rows.total) == (20, 5, 3_000)
    assert [batch.num_rows for batch in rows.batches("objects/0", 0, 3)] == [3, 2]
    assert rows_of(scenario) is rows  # so that an answer over it is computed once
    whole = pinned(scenario).data
    assert whole is not None
    assert pinned(replace(scenario, data=whole)).data == whole


def test_limits_and_faults_fit_the_plan_over_the_bucket(logs: Path) -> None:
    scenario, _ = load_target("shared-scans", bucket=str(logs))
    assert run(scenario, Seeded(0)).outcome.stuck is None
    troubled, _ = load_target("error-rate", bucket=str(logs))
    assert scenario_from_json(scenario_to_json(troubled)) == troubled


def test_a_plan_whose_shards_do_not_add_up_has_no_answer(logs: Path) -> None:
    # Each shard of it keeps its own newest rows, and nothing above keeps the newest of those.
    scenario, _ = load_target("shared-scans", bucket=str(logs))
    rows = rows_of(scenario)
    assert rows is not None
    with pytest.raises(CannotAnswer, match="what is done for each shard does not add up"):
        answer(scenario.workloads[0].plan, {})
    [verdict] = [each for each in run(scenario, Seeded(0)).judged.verdicts if each.rule == "D1"]
    assert verdict.word == "not judged"
