"""A Runner in one thread and without time: the smallest world in which a workflow runs.

Tasks take turns, a batch at a time, in the order in which they started.  A scan gives
`rows_per_scan` rows, any other task passes on what it reads (a Limit cuts, a breaker collects
first).  A stream holds one batch: a sender that finds it full is Blocked until it is read.

>>> from workflow import EndOfStream, Plan, Workflow
>>> from workflow.plan import DataObjScan, TopK
>>> plan = Plan()
>>> top, scan = plan.add(TopK(k=5)), plan.add(DataObjScan(location="objects/0"))
>>> plan.add_edge(top, scan)
>>> runner = InlineRunner(rows_per_scan=3)
>>> results = Workflow(plan, runner).run()
>>> [batch.num_rows for batch in runner.read(results)]
[3]
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from ulid import ULID

from workflow import (
    AlreadyBound,
    Manifest,
    ManifestRefused,
    RecordWriter,
    Stream,
    StreamState,
    Task,
    TaskState,
    TaskStatus,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
    WriteClosed,
)
from workflow.plan import DataObjScan, Limit, Node, PointersScan, ScanSet
from workflow.results import EndOfStream, Results
from workflow.runner import manifest_violations
from workflow.trace import RecordedResults

__all__ = ["InlineRunner", "Stuck"]

SCHEMA = pa.schema([("scan", pa.string()), ("row", pa.int64())])


class Stuck(Exception):
    """Nothing can move although somebody waits; `args` is what was waited for."""


@dataclass(slots=True, eq=False)
class _Channel:
    state: StreamState = StreamState.IDLE
    reader: Task | None = None
    writer: RecordWriter | None = None
    slot: pa.RecordBatch | None = None


@dataclass(slots=True, eq=False)
class _Execution:
    """One task at work: what it has read, what it has yet to send."""

    own: deque[pa.RecordBatch]
    kept: list[pa.RecordBatch] = field(default_factory=list)
    out: deque[tuple[Stream, pa.RecordBatch]] = field(default_factory=deque)
    left: int | None = None  # rows that a Limit lets pass yet
    collects: bool = False
    flushed: bool = False


class InlineRunner:
    """Implements `workflow.Runner`; `step` moves the world, `read` moves it as a reader needs."""

    def __init__(self, *, rows_per_scan: int = 10, batch_rows: int = 4) -> None:
        self.rows_per_scan = rows_per_scan
        self.batch_rows = batch_rows
        self._manifests: dict[Manifest, None] = {}
        self._owner: dict[Task, Manifest] = {}
        self._states: dict[Task, TaskState] = {}
        self._channels: dict[Stream, _Channel] = {}
        self._stream_owner: dict[Stream, Manifest] = {}
        self._running: dict[Task, _Execution] = {}
        self._queue: dict[Task, None] = {}  # started and not over, in order

    # The Runner protocol.

    def register_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        violations = self._violations(manifest)
        if violations:
            raise ManifestRefused(violations)
        self._manifests[manifest] = None
        for stream in manifest.streams:
            self._channels[stream] = _Channel()
            self._stream_owner[stream] = manifest
        for task in manifest.tasks:
            self._owner[task] = manifest
            self._states[task] = TaskState.CREATED
            for stream in task.source_streams():
                self._channels[stream].reader = task

    def unregister_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        if manifest not in self._manifests:
            unknown = (
                *(str(task.id) for task in manifest.tasks if task not in self._states),
                *(str(stream.id) for stream in manifest.streams if stream not in self._channels),
            )
            raise UnknownManifest(unknown or (str(manifest.id),))
        del self._manifests[manifest]
        for task in manifest.tasks:
            self._forget(task)
            self._set(task, TaskStatus(TaskState.CANCELLED))
        for stream in manifest.streams:
            self._close(stream)
        for task in manifest.tasks:
            del self._owner[task], self._states[task]
        for stream in manifest.streams:
            del self._channels[stream], self._stream_owner[stream]

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """See `workflow.Runner`."""
        channel = self._channels.get(stream)
        if channel is None:
            raise UnknownStream((str(stream.id),))
        if channel.reader is not None or channel.writer is not None:
            raise AlreadyBound(str(stream.id))
        channel.writer = writer

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        unknown = tuple(str(task.id) for task in tasks if task not in self._states)
        if unknown:
            raise UnknownTask(unknown)
        for task in tasks:
            if self._states.get(task) is TaskState.CREATED:
                self._queue[task] = None
                self._set(task, TaskStatus(TaskState.PENDING))

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        unknown = tuple(str(task.id) for task in tasks if task not in self._states)
        for task in tasks:
            if not self._is_over(task):
                self._end(task, TaskStatus(TaskState.CANCELLED))
        if unknown:
            raise UnknownTask(unknown)

    # Moving the world.

    def read(self, results: Results | RecordedResults) -> Iterator[pa.RecordBatch]:
        """Every record of the results; raises the error that ends them, or Stuck."""
        while True:
            try:
                batch = results.poll()
            except EndOfStream:
                return
            if batch is not None:
                yield batch
            elif not self.step():
                raise Stuck("the results")

    def step(self) -> bool:
        """Let every task take one turn; False if none could move."""
        moved = False
        for task in list(self._queue):
            if task in self._queue:  # nobody has ended it meanwhile
                moved |= self._turn(task)
        return moved

    def _turn(self, task: Task) -> bool:
        if self._states[task] is TaskState.PENDING:
            self._running[task] = _Execution(
                deque(self._scan(task)),
                left=_limit(task),
                collects=any(node.breaker for node in task.fragment),
            )
            self._set(task, TaskStatus(TaskState.RUNNING))
            return True
        work = self._running[task]
        if work.out:
            return self._send(task, work)
        batch = work.own.popleft() if work.own else self._receive(task)
        if batch is not None:
            self._take(task, work, batch)
            return True
        if any(
            self._channels[stream].state is not StreamState.CLOSED
            or self._channels[stream].slot is not None
            for stream in task.source_streams()
        ):
            return False
        if work.kept and not work.flushed:
            work.flushed = True
            self._put(task, work, pa.concat_batches(work.kept))
            return True
        self._end(task, TaskStatus(TaskState.COMPLETED))
        return True

    def _take(self, task: Task, work: _Execution, batch: pa.RecordBatch) -> None:
        if work.left is not None:
            batch = batch.slice(0, work.left)
            work.left -= batch.num_rows
        if not batch.num_rows:
            return
        if work.collects:
            work.kept.append(batch)
        else:
            self._put(task, work, batch)

    def _put(self, task: Task, work: _Execution, batch: pa.RecordBatch) -> None:
        work.out.extend((stream, batch) for stream in task.sink_streams())

    def _send(self, task: Task, work: _Execution) -> bool:
        stream, batch = work.out[0]
        channel = self._channels[stream]
        if channel.reader is None and channel.writer is None:
            return False  # who listens may come yet
        if channel.state is StreamState.IDLE:
            self._report(stream, StreamState.OPEN)
            if task not in self._running:  # whoever was told has ended it
                return True
        try:
            taken = self._offer(channel, batch)
        except WriteClosed:
            work.out.clear()
            self._end(task, TaskStatus(TaskState.CANCELLED))
            return True
        if task not in self._running:  # whoever the offer woke has ended it
            return True
        if not taken:
            blocked = channel.state is not StreamState.BLOCKED
            self._report(stream, StreamState.BLOCKED)
            return blocked
        work.out.popleft()
        self._report(stream, StreamState.OPEN)
        return True

    def _offer(self, channel: _Channel, batch: pa.RecordBatch) -> bool:
        if channel.writer is not None:
            return channel.writer.offer(batch)
        reader = channel.reader
        if reader is None or self._is_over(reader):
            return True  # nobody reads it any more
        if channel.slot is not None:
            return False
        channel.slot = batch
        return True

    def _receive(self, task: Task) -> pa.RecordBatch | None:
        for stream in task.source_streams():
            channel = self._channels[stream]
            if channel.slot is not None:
                batch, channel.slot = channel.slot, None
                return batch
        return None

    def _scan(self, task: Task) -> Iterator[pa.RecordBatch]:
        for node in task.fragment.preorder():
            for name in _scanned(node):
                for first in range(0, self.rows_per_scan, self.batch_rows):
                    rows = range(first, min(first + self.batch_rows, self.rows_per_scan))
                    yield pa.record_batch([[name] * len(rows), list(rows)], schema=SCHEMA)

    # Handlers may call the runner again: after each event, what was known may be gone.

    def _end(self, task: Task, status: TaskStatus) -> None:
        self._forget(task)
        for stream in task.sink_streams():
            self._close(stream)
        self._set(task, status)

    def _forget(self, task: Task) -> None:
        self._running.pop(task, None)
        self._queue.pop(task, None)

    def _is_over(self, task: Task) -> bool:
        return self._states.get(task, TaskState.CANCELLED).terminal

    def _close(self, stream: Stream) -> None:
        self._report(stream, StreamState.CLOSED)

    def _report(self, stream: Stream, state: StreamState) -> None:
        channel = self._channels.get(stream)
        if channel is not None and channel.state not in (state, StreamState.CLOSED):
            channel.state = state
            self._stream_owner[stream].stream_event_handler(stream, state)

    def _set(self, task: Task, status: TaskStatus) -> None:
        if not self._is_over(task):
            self._states[task] = status.state
            self._owner[task].task_event_handler(task, status)

    def _violations(self, manifest: Manifest) -> tuple[str, ...]:
        return tuple(manifest_violations(manifest, self._known_ids()))

    def _known_ids(self) -> dict[ULID, None]:
        tasks = dict.fromkeys(task.id for task in self._states)
        return tasks | dict.fromkeys(stream.id for stream in self._channels)


def _limit(task: Task) -> int | None:
    fetches = [node.fetch for node in task.fragment if isinstance(node, Limit)]
    return min(fetches, default=None)


def _scanned(node: Node) -> list[str]:
    if isinstance(node, ScanSet):
        return [f"{target.location}#{index}" for index, target in enumerate(node.targets)]
    if isinstance(node, DataObjScan):
        return [f"{node.location}#{node.section}"]
    return [node.location] if isinstance(node, PointersScan) else []
