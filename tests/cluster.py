"""A DaskRunner over rows of its own, in worker processes: for the contract, and for tests of it."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from distributed import Client
from numbered import Numbered
from threads import OverNumbers, until

from workflow import Task
from workflow.runners.dask import DaskRunner, local_cluster


@contextmanager
def cluster(workers: int = 2) -> Iterator[Client]:
    """A cluster of this machine, whose processes are gone afterwards."""
    with local_cluster(workers) as client:
        yield client
        pids = list(client.run(os.getpid).values())
    assert until(lambda: not any(is_alive(pid) for pid in pids))


@pytest.fixture(scope="session")
def dask_client() -> Iterator[Client]:
    """One cluster of two workers for all tests of a process."""
    with cluster() as client:
        yield client


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def whole(client: Client) -> Client:
    """The cluster with two workers, once those that were killed are started again."""
    client.wait_for_workers(2, timeout=60)
    return client


class OnACluster(OverNumbers[DaskRunner]):
    """The hooks for a DaskRunner, all of them on one cluster kept up."""

    client: Client
    moment = 0.05  # seconds in which it would do what it should not

    @pytest.fixture(autouse=True)
    def _cluster(self, dask_client: Client) -> None:
        self.client = dask_client

    def make_runner(self) -> DaskRunner:
        return DaskRunner(whole(self.client), Numbered(), slots=6, buffer=1, batch_rows=8)

    def lose_worker(self, runner: DaskRunner, task: Task) -> bool:
        worker = runner.worker_of(task)
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        return True


class Wire:
    """A wire to a port of this machine, which can be cut: then nothing comes through any more.

    Neither end is told, as where a cable is pulled.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._whole = threading.Event()
        self._whole.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Nothing comes through from now on."""
        self._whole.clear()

    def close(self) -> None:
        """Break all connections."""
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._whole.is_set():
                    target.sendall(data)


class OverWires(DaskRunner):
    """Reaches each hub over a wire, as do the other hubs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.wires: dict[int, Wire] = {}  # by the worker's process
        super().__init__(*args, **kwargs)

    def _announce(self, event: tuple[float, Any]) -> None:
        said = event[1]
        scheme, _, port = said["hub"].rpartition(":")
        wire = self.wires.get(said["pid"])
        if wire is None:
            wire = self.wires[said["pid"]] = Wire(int(port))
        super()._announce((event[0], {**said, "hub": f"{scheme}:{wire.port}"}))

    def close(self) -> None:
        super().close()
        for wire in self.wires.values():
            wire.close()
