"""Batches a second through DaskRunner, beside bare Arrow Flight between the same processes.

A scan of batches of 64 KiB that its worker has in memory.  They go to a task in another worker that
drops them, or to the reader in this process, or through a Merge in another worker to the reader.
Bare Flight sends the same batches through as many processes with DoGet, once with the fragments of
the plan at work on them, and once with nothing done to them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa
from distributed import Client
from pyarrow import flight

from benchmarks.local import ROWS, batch_of_64_kib
from benchmarks.measure import Figure, Sizes, interleaved_spent
from benchmarks.shapes import many_scans
from workflow import Plan, Task, Workflow, partition
from workflow.execute import Execution
from workflow.plan import DataObjScan, Limit, Merge
from workflow.runners.dask import DaskRunner, local_cluster

__all__ = ["cluster"]


class Repeated:
    """One section, of the same batch again and again."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.batch = batch_of_64_kib()

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        del location, section, rows
        return repeat(self.batch, self.count)


def _plans() -> dict[str, Plan]:
    alone = Plan()
    alone.add(DataObjScan(location="objects/0"))
    return {
        "task to task": many_scans(1, Limit(skip=2**32 - 1, fetch=1)),
        "task to reader": alone,
        "task to task to reader": many_scans(1, Merge()),
    }


def cluster(sizes: Sizes) -> Iterator[Figure]:
    """Throughputs, and their ratios."""
    data = Repeated(4 * sizes.batches)
    with local_cluster(2) as client:
        for case, plan in _plans().items():
            with ExitStack() as stack:
                bare = partial(_bare, stack, plan, data.count)
                calls: dict[str, Callable[[], object]] = {
                    "DaskRunner": partial(_through_the_runner, client, plan, data),
                    "bare Flight": bare(works=True),
                    "bare Flight, only moving": bare(works=False),
                }
                spent = interleaved_spent(calls, sizes.repeats)
            times = {name: each.wall for name, each in spent.items()}
            for name, took in times.items():
                yield Figure("cluster", case, name, data.count / took, "batches/s")
            for other in ("bare Flight", "bare Flight, only moving"):
                ratio = times[other] / times["DaskRunner"]
                yield Figure("cluster", case, f"DaskRunner, against {other}", ratio, "x")


def _through_the_runner(client: Client, plan: Plan, data: Repeated) -> None:
    with DaskRunner(client, data, batch_rows=ROWS) as runner:
        workflow = Workflow(plan, runner)
        arrived = sum(1 for _ in runner.read(workflow.run()))
        assert arrived in (0, data.count)
        workflow.close()


def _bare(stack: ExitStack, plan: Plan, count: int, *, works: bool) -> Callable[[], object]:
    """Reads all of it from the last of as many processes as the plan has tasks.

    Of a plan that drops what it scans the last task works here.
    """
    tasks = list(partition(plan).preorder())
    here = Execution.of(tasks[0]) if _drops(tasks[0]) else None
    upstream: str | None = None
    for index in range(len(tasks) - 1, -1 if here is None else 0, -1):
        upstream = stack.enter_context(_serving(plan, index, count, upstream, works))
    assert upstream is not None
    return partial(_read, upstream, count, here if works else None)


def _drops(task: Task) -> bool:
    return isinstance(task.fragment.root(), Limit)


def _read(location: str, count: int, execution: Execution | None) -> None:
    with flight.connect(location) as client:
        arrived = 0
        for chunk in client.do_get(flight.Ticket(b"all")):
            arrived += 1
            if execution is not None:
                execution.push(execution.sources[0], chunk.data)
        assert arrived == count


@contextmanager
def _serving(
    plan: Plan, index: int, count: int, upstream: str | None, works: bool
) -> Iterator[str]:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, plan, index, count, upstream, works))
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def _serve(connection: Connection, *args: Any) -> None:
    server = _Server(*args)
    connection.send(f"grpc://127.0.0.1:{server.port}")
    server.serve()


class _Server(flight.FlightServerBase):  # type: ignore[misc]
    """Sends what a task of the plan gives, or what it is given."""

    def __init__(
        self, plan: Plan, index: int, count: int, upstream: str | None, works: bool
    ) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._task = list(partition(plan).preorder())[index]
        self._data = Repeated(count)
        self._upstream = upstream
        self._works = works

    def do_get(self, context: Any, ticket: Any) -> Any:
        """See `pyarrow.flight.FlightServerBase`."""
        del context, ticket
        batches = self._batches()
        first = next(batches)
        return flight.GeneratorStream(first.schema, _from(first, batches))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        execution = Execution.of(self._task)
        [source] = execution.sources
        for batch in self._inputs():
            yield from execution.push(source, batch) if self._works else (batch,)

    def _inputs(self) -> Iterator[pa.RecordBatch]:
        if self._upstream is None:
            yield from self._data.batches("", 0, ROWS)
            return
        with flight.connect(self._upstream) as client:
            for chunk in client.do_get(flight.Ticket(b"all")):
                yield chunk.data


def _from(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest
