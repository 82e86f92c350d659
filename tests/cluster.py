"""A DaskRunner over rows of its own, in worker processes: for the contract, and for tests of it."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import sleep
from typing import ClassVar

import psutil
import pyarrow as pa
import pytest
from distributed import Client
from threads import FAILS, Numbered, threads_left, until

from properties.contract import RunnerContract
from workflow import Plan, Task
from workflow.plan import DataObjScan
from workflow.runners.dask import DaskRunner, local_cluster

MOMENT = 0.05  # seconds in which it would do what it should not


@contextmanager
def cluster(workers: int = 2) -> Iterator[Client]:
    """A cluster of this machine whose processes are gone afterwards."""
    before = dict.fromkeys(psutil.Process().children(recursive=True))
    with local_cluster(workers) as client:
        yield client
    until(lambda: all(child in before for child in psutil.Process().children(recursive=True)))


def ready(client: Client, workers: int = 2) -> None:
    """Wait for workers that are started again."""
    client.wait_for_workers(workers, timeout=60)


def kill(pid: int) -> None:
    """The process dies at once; returns when it has."""
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


class OnACluster(RunnerContract[DaskRunner]):
    """The hooks for a DaskRunner, all of them on one cluster kept up."""

    client: ClassVar[Client]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _cluster(cls) -> Iterator[None]:
        with cluster() as client:
            cls.client = client
            yield

    def make_runner(self) -> DaskRunner:
        return DaskRunner(self.client, Numbered(), slots=6, buffer=1, batch_rows=8)

    def run_until(self, runner: DaskRunner, condition: Callable[[], bool]) -> None:
        del runner
        until(condition)

    def quiet(self, runner: DaskRunner) -> None:
        del runner
        sleep(MOMENT)

    def row_numbers(self, batch: pa.RecordBatch) -> list[int]:
        return [int(each.as_py()) for each in batch.column("utf8.builtin.message")]

    def failing_scan(self) -> Plan:
        plan = Plan()
        plan.add(DataObjScan(location=FAILS))
        return plan

    def lose_worker(self, runner: DaskRunner, task: Task) -> bool:
        worker = runner.worker_of(task)
        assert worker is not None
        kill(worker.pid)
        return True

    def tables(self, runner: DaskRunner) -> Mapping[str, int]:
        return runner.tables()

    def close(self, runner: DaskRunner) -> None:
        runner.close()
        left = threads_left()
        if left and not self._open:  # a test may have several Runners
            raise AssertionError(f"got threads {left} after the close, expected none")
