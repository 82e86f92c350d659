"""What a long run says on a terminal while it runs."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pyarrow as pa
from commands import filled
from threads import until

from scenarios.data.real import on_runner
from scenarios.progress import Progress
from sim.scenario import Scenario, Workload
from workflow import Plan
from workflow.plan import DataObjScan, Merge
from workflow.runners.local import LocalRunner


class Rows:
    """Two batches, and some time between them."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        del location, section, rows
        for _ in range(2):
            yield pa.record_batch({"message": ["hello"] * 600})
            sleep(0.05)


def scans() -> Scenario:
    """Two of them."""
    plan = Plan()
    top = plan.add(Merge())
    for name in "ab":
        plan.add_edge(top, plan.add(DataObjScan(location=name)))
    return Scenario(workloads=(Workload(plan=plan), Workload(plan=plan)))


def test_the_line_counts_what_is_over_and_what_was_read() -> None:
    out = io.StringIO()
    with LocalRunner(Rows()) as runner, Progress(out, after=0.0, every=0.01) as progress:
        run = on_runner(scans(), runner, progress=progress)
        assert until(lambda: "4,800 rows" in out.getvalue())
    assert sum(each.rows for each in run.workloads) == 4_800
    tasks = sum(len(each.tasks) for each in run.workloads)
    assert progress.line().startswith(
        f"{tasks} of {tasks} tasks over, 4,800 rows read by those that scan, 8 result batches, "
    )
    assert out.getvalue().count("\n") == 0
    assert out.getvalue().endswith("\r\x1b[2K")


def test_a_short_run_says_nothing() -> None:
    out = io.StringIO()
    with LocalRunner(Rows()) as runner, Progress(out) as progress:
        on_runner(scans(), runner, progress=progress)
    assert out.getvalue() == ""


SLOW = """
import time
from workflow.runners.local import LocalRunner

class Slow(LocalRunner):
    def register_manifest(self, manifest):
        time.sleep(2.3)
        super().register_manifest(manifest)
"""


def test_it_is_shown_on_a_terminal_and_in_no_pipe(tmp_path: Path) -> None:
    filled(tmp_path / "logs", rows=20, seed=1, sections=1)
    (tmp_path / "slow.py").write_text(SLOW, "utf-8")
    command = [sys.executable, "-m", "scenarios", "run", "sum-by-level", "--data", "logs"]
    command += ["--runner", "slow.py:Slow"]
    master, slave = pty.openpty()
    try:
        shown = subprocess.run(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=slave, check=True
        )
        told = os.read(master, 100_000).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert "0 of 2 tasks over, 0 rows read by those that scan, 0 result batches, 2 s" in told
    assert told.endswith("\r\x1b[2K")
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert piped.stderr == b""
    assert len(piped.stdout.splitlines()) == len(shown.stdout.splitlines())
