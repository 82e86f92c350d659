"""`--runner dask` of `windtunnel run` and `compare`: a plan over a bucket, on worker processes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import dask_client
from commands import imported, saved, windtunnel
from distributed import Client
from stored import vector_cases

from scenarios.inputs import InputError

__all__ = ["dask_client"]  # a fixture

SUMS = 'sum by (level) (count_over_time({app="shop"} | json [5m]))'
[ROWS] = (case["rows"] for case in vector_cases() if case["query"] == SUMS)


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    """A plan, and the lines of the vectors as a bucket."""
    return [saved(SUMS, tmp_path), "--data", imported(tmp_path), "--runner", "dask"]


def by_text(rows: list[dict[str, object]]) -> list[str]:
    """Rows that can be compared, in whatever order."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def test_the_command_gives_the_answer_of_the_reference_on_workers_of_its_own(
    words: list[object],
) -> None:
    result = windtunnel("run", *words, "--workers", 1, "--slots", 2, "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["runner"], shown["slots"]) == ("dask", 2)
    [workload] = shown["workloads"]
    assert by_text(workload["answer"]) == by_text(ROWS)
    assert (workload["end"], workload["error"]) == ("eof", None)
    assert sum(workload["tasks"].values()) == 9


def test_it_runs_and_is_compared_on_a_cluster_that_is_there(
    words: list[object], dask_client: Client
) -> None:
    address = dask_client.scheduler_info()["address"]
    result = windtunnel("run", *words, "--cluster", address)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].endswith("60 rows read; tasks: 9 Completed")
    result = windtunnel("compare", *words, "--cluster", address, "--runs", 2, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["runner"], found["right"]) == ("dask", True)


def test_workers_and_a_cluster_exclude_each_other(words: list[object]) -> None:
    result = windtunnel("run", *words, "--workers", 2, "--cluster", "tcp://x")
    assert result.exit_code == 2
    assert "--workers and --cluster exclude each other." in result.stderr


def test_an_address_where_no_scheduler_answers_is_one_clear_error(words: list[object]) -> None:
    result = windtunnel("run", *words, "--cluster", "x://y")
    said = r"--cluster: got 'x://y', where no scheduler answers \(unknown address scheme"
    assert isinstance(result.exception, InputError)
    assert re.match(said, str(result.exception))


@pytest.mark.parametrize("option", ["--workers", "--cluster"])
@pytest.mark.parametrize("runner", ["local", "sim"])
def test_an_option_of_a_cluster_is_for_nothing_else(
    words: list[object], option: str, runner: str
) -> None:
    result = windtunnel("run", *words[:-1], runner, option, 2)
    assert result.exit_code == 2
    assert f"{option} is for --runner dask." in result.stderr


def test_without_the_extra_the_command_says_what_to_install(
    words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = windtunnel("run", *words)
    assert isinstance(result.exception, InputError)
    said = "--runner: dask needs distributed: pip install 'windtunnel[cluster]'"
    assert str(result.exception) == said


INTERRUPTED = """
import os, signal, time
from workflow.runners.dask import local_cluster

if __name__ == "__main__":
    with local_cluster(1) as client:
        [before] = client.run(os.getpid).values()
        try:
            os.killpg(0, signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt:
            [after] = client.run(os.getpid).values()
            print("lives" if after == before else "was started again")
"""


def test_ctrl_c_is_for_the_command_and_no_worker_of_it(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(script)],
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("lives\n", "", 0)
