"""`windtunnel run --runner local`: a plan over a bucket, on threads."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import imported, saved, windtunnel
from stored import vector_cases

from scenarios.data.real import on_runner
from scenarios.named import find_callable
from sim.real import Held
from sim.scenario import Scenario, Workload
from workflow import plan_from_json
from workflow.runners.local import LocalRunner

CASES = {case["query"]: case for case in vector_cases()}
LOGS = '{app="shop"}'
SUMS = 'sum by (level) (count_over_time({app="shop"} | json [5m]))'


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The lines of the vectors as a bucket."""
    return imported(tmp_path)


def by_text(rows: list[dict[str, Any]]) -> list[str]:
    """Rows that can be compared, in whatever order."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@pytest.mark.parametrize("query", [LOGS, SUMS])
def test_the_command_gives_the_answer_of_the_reference(
    query: str, bucket: Path, tmp_path: Path
) -> None:
    plan = saved(query, tmp_path)
    result = windtunnel("run", plan, "--data", bucket, "--runner", "local", "--slots", 2, "--json")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert (shown["runner"], shown["slots"]) == ("local", 2)
    [workload] = shown["workloads"]
    assert by_text(workload["answer"]) == by_text(CASES[query]["rows"])
    assert (workload["end"], workload["error"]) == ("eof", None)
    assert workload["rows"] == len(workload["answer"])
    assert sum(workload["tasks"].values()) == 9
    assert workload["seconds"] > 0


def test_the_command_prints_a_table_and_how_it_ended(bucket: Path, tmp_path: Path) -> None:
    result = windtunnel("run", saved(SUMS, tmp_path), "--data", bucket, "--runner", "local")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split()[:2] == ["float64.generated.value", "timestamp_ns.builtin.timestamp"]
    assert lines.index("") == 61  # a head and sixty rows
    assert lines[-1].startswith("-> end of stream after 0.")
    assert lines[-1].endswith(" s, 60 rows read; tasks: 9 Completed")


def test_each_workload_of_a_scenario_is_run(bucket: Path) -> None:
    result = windtunnel("run", "demo", "--data", bucket, "--runner", "local")
    assert result.exit_code == 0
    assert result.stdout.count("-> end of stream") == 3


def test_a_damaged_section_ends_the_run_with_its_error(bucket: Path, tmp_path: Path) -> None:
    file = bucket / "objects/3.parquet"
    group = pq.ParquetFile(file).metadata.row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    [message] = [column for column in columns if column.path_in_schema == "message"]
    damaged = bytearray(file.read_bytes())
    first = message.dictionary_page_offset or message.data_page_offset
    middle = first + message.total_compressed_size // 2
    damaged[middle : middle + 8] = b"\xff" * 8
    file.write_bytes(damaged)
    result = windtunnel("run", saved(SUMS, tmp_path), "--data", bucket, "--runner", "local")
    assert result.exit_code == 2
    assert "-> error after" in result.stdout
    assert "DataError: " in result.stdout
    assert "objects/3.parquet: column message: got damage in section 0" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runner", "local"], "--runner local needs --data."),
        (["--data", "b", "--slots", "2"], "--slots is for --runner dask or local."),
        (
            ["--data", "b", "--runner", "local", "--mutant", "sends-twice"],
            "--mutant is for the simulated cluster.",
        ),
        (
            ["--data", "b", "--runner", "local", "--profile", "sound"],
            "--profile is for the simulated cluster.",
        ),
        (["--data", "b", "--runner", "local", "--slots", "0"], "0 is not in the range"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], message: str) -> None:
    result = windtunnel("run", "demo", *words)
    assert result.exit_code == 2
    assert message in result.output


OWN = """
from workflow.runners.local import LocalRunner

closed = []

class Mine(LocalRunner):
    def close(self):
        super().close()
        closed.append(self)

def broken(data):
    raise ConnectionError("no such cluster")

def lazy(data):
    return object()
"""


def test_a_runner_of_ones_own_is_named_by_its_factory_and_closed(
    bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, encoding="utf-8")
    plan = ("run", saved(SUMS, tmp_path), "--data", bucket, "--json", "--runner")
    result = windtunnel(*plan, "own.py:Mine")
    shown = json.loads(result.stdout)
    assert (shown["runner"], shown["slots"]) == ("own.py:Mine", None)
    assert by_text(shown["workloads"][0]["answer"]) == by_text(CASES[SUMS]["rows"])
    assert find_callable("own.py:closed.__len__", "")() == 1
    for name, seen in (
        ("own.py:broken", "own.py:broken raised ConnectionError: no such cluster"),
        ("own.py:lazy", "which has no register_manifest, unregister_manifest, listen, start, "),
        ("own.py:other", "nothing of that name there; expected something to call"),
        (
            "threads",
            "got 'threads', expected dask, local, package.module:FACTORY or file.py:FACTORY",
        ),
    ):
        assert seen in str(windtunnel(*plan, name).exception)


def test_a_failed_workload_ends_no_other() -> None:
    plan = plan_from_json(CASES[LOGS]["plan"])
    twice = Scenario(workloads=(Workload(plan=plan), Workload(plan=plan)))
    with LocalRunner(Held({}), slots=1) as runner:
        run = on_runner(twice, runner)
    assert [each.end for each in run.workloads] == ["error", "error"]
    assert run.workloads[0].error.startswith("LookupError: got section 0 of 'objects/")
    assert list(run.ends) == ["error"]


ENDLESS = """
import sys
import pyarrow as pa
from scenarios import cli
from workflow import objects

class Endless:
    def batches(self, location, section, rows):
        print("reading", flush=True)
        while True:
            yield pa.record_batch({"stream_id": [0], "message": ["of no stream that is asked for"]})

load_target = cli.load_target
cli.load_target = lambda target, **_: load_target(target)
objects.Bucket = lambda place: Endless()
sys.argv[1:] = ["run", "plan.json", "--data", "none", "--runner", "local", "--slots", "1"]
sys.argv += ["--to", "a.csv"]
cli.main()
"""


def test_an_interruption_cancels_and_says_what(tmp_path: Path) -> None:
    saved(SUMS, tmp_path)
    (tmp_path / "a.csv").write_text("older", encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert process.returncode == 130
    end, cancelled = out.splitlines()[-2:]
    assert end.startswith("-> interrupted after ")
    assert end.endswith(" s, 0 rows read; tasks: 9 Cancelled")
    assert cancelled.startswith("   cancelled: t0 ")
    assert cancelled.endswith(" and 4 more")
    assert told == "windtunnel: interrupted\n"
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "older"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "plan.json"]
