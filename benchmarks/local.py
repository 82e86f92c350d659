"""Batches a second through LocalRunner, beside bare threads with `queue.Queue`.

Scans of batches of 64 KiB, held in memory; a Merge that passes them on; a reader.  The bare threads
move the same batches between as many threads through queues of the same size, once with the
fragments of the plan at work on them, as in the Runner, and once with nothing done to them.  That
is also done through the Runner's own streams and the workflow's results, without tasks.
"""

from collections.abc import Callable, Iterator
from functools import partial
from queue import Queue
from threading import Thread
from typing import Final

import pyarrow as pa

from benchmarks.measure import Figure, Sizes, interleaved
from benchmarks.shapes import many_scans
from sim.real import Held
from workflow import Identifiers, Plan, Results, Stream, StreamState, Task, Workflow, partition
from workflow.execute import Execution
from workflow.plan import Merge
from workflow.runners._streams import Inbox, TaskChannel, TaskOutlet
from workflow.runners.channel import Channel, WriterOutlet
from workflow.runners.local import LocalRunner
from workflow.runners.reading import read

__all__ = ["ROWS", "batch_of_64_kib", "local"]

SCANS: Final = (1, 4)
ROWS: Final = 850  # of a batch of 64 KiB
BUFFER: Final = 4  # batches of a stream

_Item = tuple[int, pa.RecordBatch | None]  # which scan; None: its end


def local(sizes: Sizes) -> Iterator[Figure]:
    """Throughputs, and their ratios."""
    for scans in SCANS:
        plan = many_scans(scans, Merge())
        batch = batch_of_64_kib()
        data = Held({(f"objects/{n}", 0): [batch] * sizes.batches for n in range(scans)})
        moved = scans * sizes.batches
        calls: dict[str, Callable[[], object]] = {
            "LocalRunner": partial(_through_the_runner, plan, data, moved),
            "bare threads": partial(_bare, plan, data, moved, works=True),
            "bare threads, only moving": partial(_bare, plan, data, moved, works=False),
            "its streams, only moving": partial(_streams, plan, data, moved),
        }
        times = interleaved(calls, 3 * sizes.repeats)
        case = f"{scans} scan{'s' if scans > 1 else ''}"
        for name, spent in times.items():
            yield Figure("local", case, name, moved / spent, "batches/s")
        for mine, other in (
            ("LocalRunner", "bare threads"),
            ("its streams, only moving", "bare threads, only moving"),
            ("LocalRunner", "bare threads, only moving"),
        ):
            yield Figure("local", case, f"{mine}, against {other}", times[other] / times[mine], "x")


def batch_of_64_kib() -> pa.RecordBatch:
    """Log lines in storage form."""
    columns = {
        "stream_id": pa.array([1] * ROWS, pa.int64()),
        "timestamp": pa.array(range(ROWS), pa.timestamp("ns", "UTC")),
        "message": pa.array(["x" * 57] * ROWS),
    }
    return pa.RecordBatch.from_pydict(columns)


def _through_the_runner(plan: Plan, data: Held, moved: int) -> None:
    with LocalRunner(data, buffer=BUFFER, batch_rows=ROWS) as runner:
        workflow = Workflow(plan, runner)
        assert sum(1 for _ in runner.read(workflow.run())) == moved
        workflow.close()


def _bare(plan: Plan, data: Held, moved: int, *, works: bool) -> None:
    root, *scans = partition(plan).preorder()
    between: Queue[_Item] = Queue(BUFFER * len(scans))
    results: Queue[_Item] = Queue(1)
    threads = [
        Thread(target=_scan, args=(number, task, data, between, works))
        for number, task in enumerate(scans)
    ]
    threads.append(Thread(target=_merge, args=(root, between, results, works)))
    for thread in threads:
        thread.start()
    count = 0
    while results.get()[1] is not None:
        count += 1
    for thread in threads:
        thread.join()
    assert count == moved


def _scan(number: int, task: Task, data: Held, out: "Queue[_Item]", works: bool) -> None:
    execution = Execution.of(task)
    [source] = execution.sources
    for batch in data.batches(f"objects/{number}", 0, ROWS):
        for each in execution.push(source, batch) if works else (batch,):
            out.put((number, each))
    out.put((number, None))


def _merge(task: Task, inputs: "Queue[_Item]", out: "Queue[_Item]", works: bool) -> None:
    execution = Execution.of(task)
    sources = execution.sources
    left = len(sources)
    while left:
        number, batch = inputs.get()
        if batch is None:
            left -= 1
            continue
        for each in execution.push(sources[number], batch) if works else (batch,):
            out.put((number, each))
    out.put((0, None))


def _streams(plan: Plan, data: Held, moved: int) -> None:
    """What `_bare` does without work, through the streams of a LocalRunner."""
    root, *scans = partition(plan).preorder()
    results, inbox = Results(), Inbox()
    between = [TaskChannel(stream, None, None, inbox, BUFFER) for stream in root.source_streams()]
    last: Channel[None] = Channel(Stream(Identifiers().make()), None, None)
    last.listen(results)

    def scan(number: int, channel: TaskChannel) -> None:
        outlet = TaskOutlet(channel, _nothing)
        for batch in data.batches(f"objects/{number}", 0, ROWS):
            outlet.send(batch)
        inbox.end(channel)

    def merge() -> None:
        outlet, left = WriterOutlet(last, _nothing), len(scans)
        while left:
            arrival = inbox.take(wait=True)
            assert arrival is not None
            if arrival[1] is None:
                left -= 1
            else:
                outlet.send(arrival[1])
        results.finish()

    threads = [Thread(target=scan, args=each) for each in enumerate(between)]
    threads.append(Thread(target=merge))
    for thread in threads:
        thread.start()
    assert sum(1 for _ in read(results)) == moved
    for thread in threads:
        thread.join()


def _nothing(_channel: object, _state: StreamState) -> None:
    pass
