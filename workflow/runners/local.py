"""LocalRunner: the tasks of workflows on threads of this process.

Each task that runs has a thread.  One more thread delivers all events, in the order in which
things happened.

Slots: each pipeline (tasks joined by streams) has `slots` of them.  A task that reads no stream
takes one while its thread is at work.  A task that reads others takes none, and has its thread
from its start: it mostly waits, and if it held what its children need, both would wait for ever.
It reads all of its streams as they come, so what its children send is always taken, unless the
reader of the results takes nothing.  So one slot is enough for any plan, and a reader that stalls
holds up nothing but the pipeline that feeds it.

What is true of a task is decided here, under one lock, and not by its thread: a cancelled task is
Cancelled at once, and its thread, which notices where it waits or at its next batch, can neither
send nor report anything more.

>>> import pyarrow as pa
>>> from workflow import Plan, Workflow
>>> from workflow.plan import DataObjScan, TopK
>>> class Lines:
...     def batches(self, location, section, rows):
...         yield pa.record_batch({"message": ["hello", "world"]})
>>> plan = Plan()
>>> plan.add_edge(plan.add(TopK(k=5)), plan.add(DataObjScan(location="objects/0")))
>>> with LocalRunner(Lines()) as runner:
...     results = Workflow(plan, runner).run()
...     [batch.num_rows for batch in runner.read(results)]
[2]
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
from ulid import ULID

from workflow.manifest import Manifest
from workflow.runner import (
    AlreadyBound,
    ManifestRefused,
    RecordWriter,
    RunnerError,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
    manifest_violations,
)
from workflow.runners._delivery import Delivery
from workflow.runners._streams import Channel, Inbox, TaskOutlet, WriterOutlet
from workflow.runners.reading import Readable, read
from workflow.runners.task import Outlet, Stopped, TaskRun
from workflow.sections import Sections
from workflow.stream import Stream, StreamState
from workflow.task import ContributingTimeRange, Task, TaskState, TaskStatus

__all__ = ["LocalRunner", "RunnerClosed"]


class RunnerClosed(RunnerError):
    """A manifest was to be registered with a Runner that is closed."""

    def __str__(self) -> str:
        return "the Runner is closed"


@dataclass(slots=True, eq=False)
class _Pipeline:
    """Tasks joined by streams, and the slots of those among them that read no stream."""

    free: int
    waiting: deque["_Job"] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class _Job:
    """A task here."""

    task: Task
    manifest: Manifest
    inbox: Inbox
    pipeline: _Pipeline
    sinks: list[Channel] = field(default_factory=list)
    state: TaskState = TaskState.CREATED

    @property
    def takes_slot(self) -> bool:
        return next(self.task.source_streams(), None) is None


class LocalRunner:
    """Implements `workflow.Runner` over `data`, on threads; to be closed.

    ``slots``: how many tasks that read no stream run at once, of one pipeline.  ``buffer``: the
    batches that a stream between two tasks holds.  ``batch_rows``: the most rows that a scan reads
    at once.  Raises ValueError for one of them below 1.
    """

    def __init__(
        self, data: Sections, *, slots: int = 4, buffer: int = 4, batch_rows: int = 8192
    ) -> None:
        for name, value in (("slots", slots), ("buffer", buffer), ("batch_rows", batch_rows)):
            if type(value) is not int or value < 1:
                raise ValueError(f"LocalRunner({name}): got {value!r}, expected 1 or more")
        self.slots: Final = slots
        self.buffer: Final = buffer
        self.batch_rows: Final = batch_rows
        self._data = data
        self._lock = threading.Lock()
        self._delivery = Delivery("windtunnel events")
        self._manifests: dict[Manifest, None] = {}
        self._jobs: dict[Task, _Job] = {}
        self._channels: dict[Stream, Channel] = {}
        self._owners: dict[Channel, Manifest] = {}
        self._ids: dict[ULID, None] = {}
        self._threads: dict[threading.Thread, None] = {}
        self._over: deque[threading.Thread] = deque()  # of these, to be joined
        self._closed = False

    # The Runner protocol.

    def register_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`.  Raises RunnerClosed after `close`."""
        with self._lock:
            if self._closed:
                raise RunnerClosed
            violations = tuple(manifest_violations(manifest, self._ids))
            if violations:
                raise ManifestRefused(violations)
            self._manifests[manifest] = None
            self._ids.update(dict.fromkeys(each.id for each in _items(manifest)))
            pipelines = _pipelines(manifest, self.slots)
            readers: dict[Stream, Inbox] = {}
            for task in manifest.tasks:
                job = self._jobs[task] = _Job(task, manifest, Inbox(), pipelines[task])
                readers.update(dict.fromkeys(task.source_streams(), job.inbox))
            for stream in manifest.streams:
                inbox = readers.get(stream)
                channel = self._channels[stream] = Channel(stream, inbox, self.buffer)
                self._owners[channel] = manifest
                if inbox is not None:
                    inbox.add(channel)
            for task in manifest.tasks:
                self._jobs[task].sinks = [self._channels[each] for each in task.sink_streams()]

    def unregister_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`.  Waits for no task, but for a batch that a writer is offered."""
        with self._lock:
            if manifest not in self._manifests:
                unknown = tuple(
                    str(each.id) for each in _items(manifest) if each.id not in self._ids
                )
                raise UnknownManifest(unknown or (str(manifest.id),))
            channels = self._end_all(manifest)
            del self._manifests[manifest]
            for task in manifest.tasks:
                del self._jobs[task], self._ids[task.id]
            for channel in channels:
                del self._channels[channel.stream], self._owners[channel]
                del self._ids[channel.stream.id]
        self._tell_all(channels)

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """See `workflow.Runner`."""
        with self._lock:
            channel = self._channels.get(stream)
            if channel is None:
                raise UnknownStream((str(stream.id),))
            if channel.inbox is not None or channel.writer is not None:
                raise AlreadyBound(str(stream.id))
            channel.listen(writer)

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        with self._lock:
            unknown = tuple(str(task.id) for task in tasks if task not in self._jobs)
            if unknown:
                raise UnknownTask(unknown)
            for task in tasks:
                job = self._jobs[task]
                if job.state is not TaskState.CREATED:
                    continue
                self._set(job, TaskStatus(TaskState.PENDING))
                if job.takes_slot:
                    job.pipeline.waiting.append(job)
                    self._fill_slots(job.pipeline)
                else:
                    self._run(job)

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`.  Their threads end soon after."""
        with self._lock:
            unknown = tuple(str(task.id) for task in tasks if task not in self._jobs)
            for task in tasks:
                if task in self._jobs:
                    self._end(self._jobs[task], TaskStatus(TaskState.CANCELLED))
        if unknown:
            raise UnknownTask(unknown)

    # What a user calls besides.

    @staticmethod
    def read(results: Readable) -> Iterator[pa.RecordBatch]:
        """Every record of the results; raises the error that ends them."""
        return read(results)

    def close(self) -> None:
        """Cancel all tasks, deliver what is to be told, and join every thread.  Idempotent.

        Manifests may still be unregistered.  Raises RunnerError if called by a handler or by what
        a writer wakes: a thread cannot join itself.
        """
        if self._delivery.is_current or threading.current_thread() in self._threads:
            raise RunnerError("close: got a call from one of the Runner's own threads")
        with self._lock:
            self._closed = True
            channels = [channel for each in self._manifests for channel in self._end_all(each)]
            threads = list(self._threads)
        self._tell_all(channels)
        for thread in threads:
            thread.join()
        with self._lock:
            self._threads.clear()
            self._over.clear()
        self._delivery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def tables(self) -> Mapping[str, int]:
        """How much is kept, by kind."""
        with self._lock:
            return {
                "manifests": len(self._manifests),
                "tasks": len(self._jobs),
                "streams": len(self._channels),
                "ids": len(self._ids),
                "threads": len(self._threads) - len(self._over),
            }

    # A task on its thread.

    def _work(self, job: _Job) -> None:
        run = self._task_run(job)
        end: TaskStatus | None = None
        try:
            self._begin(job)
            run.run()
            end = TaskStatus(TaskState.COMPLETED, statistics=run.statistics)
        except Stopped:
            pass  # its end was reported when it was stopped
        except BaseException as error:  # noqa: BLE001 - whatever it is, the task has failed with it
            reason = error if isinstance(error, Exception) else RuntimeError(repr(error))
            end = TaskStatus(TaskState.FAILED, reason, statistics=run.statistics)
        if end is not None:
            self._finish(job, end)
        with self._lock:
            if job.takes_slot:
                job.pipeline.free += 1
                self._fill_slots(job.pipeline)
            self._over.append(threading.current_thread())

    def _task_run(self, job: _Job) -> TaskRun:
        outlets = [self._outlet(job, channel) for channel in job.sinks]
        host = _Host(self, job)
        return TaskRun(job.task, self._data, job.inbox, outlets, host, batch_rows=self.batch_rows)

    def _outlet(self, job: _Job, channel: Channel) -> Outlet:
        report = partial(self._show, job.manifest)
        if channel.inbox is None:
            return WriterOutlet(channel, report)
        return TaskOutlet(channel, report, channel.inbox)

    def _begin(self, job: _Job) -> None:
        with self._lock:
            if job.state is not TaskState.PENDING:
                raise Stopped
            self._set(job, TaskStatus(TaskState.RUNNING))

    def _finish(self, job: _Job, end: TaskStatus) -> None:
        with self._lock:
            self._end(job, end)

    def _show(self, manifest: Manifest, channel: Channel, state: StreamState) -> None:
        """A sender's word about its stream; none counts once that is closed."""
        with self._lock:
            if channel.state not in (state, StreamState.CLOSED):
                channel.state = state
                self._delivery.post(partial(manifest.stream_event_handler, channel.stream, state))

    def _narrow(self, job: _Job, range_: ContributingTimeRange) -> None:
        with self._lock:
            if job.state is TaskState.RUNNING:
                self._set(job, TaskStatus(TaskState.RUNNING, contributing_time_range=range_))

    # With the lock held.  Handlers are called later, see `Delivery`.

    def _set(self, job: _Job, status: TaskStatus) -> None:
        job.state = status.state
        self._delivery.post(partial(job.manifest.task_event_handler, job.task, status))

    def _end(self, job: _Job, status: TaskStatus) -> None:
        """The task is over, unless it was already."""
        if job.state.terminal:
            return
        completed = status.state is TaskState.COMPLETED
        if completed:
            self._close_sinks(job)
        self._set(job, status)
        if not completed:
            # Only then: who reads what was cut short must not be taken for done before.
            self._close_sinks(job)
        job.inbox.close()

    def _close_sinks(self, job: _Job) -> None:
        for channel in job.sinks:
            self._close_channel(job.manifest, channel)

    def _close_channel(self, manifest: Manifest, channel: Channel) -> None:
        if channel.state is not StreamState.CLOSED:
            channel.state = StreamState.CLOSED
            tell = partial(self._tell_closed, manifest, channel)
            channel.close(partial(self._delivery.post, tell))

    def _end_all(self, manifest: Manifest) -> list[Channel]:
        """Every task of it is over, and every stream closed.  Gives these."""
        for task in manifest.tasks:
            self._end(self._jobs[task], TaskStatus(TaskState.CANCELLED))
        channels = [self._channels[stream] for stream in manifest.streams]
        for channel in channels:
            self._close_channel(manifest, channel)
        return channels

    def _fill_slots(self, pipeline: _Pipeline) -> None:
        while pipeline.free and pipeline.waiting:
            job = pipeline.waiting.popleft()
            if job.state is TaskState.PENDING:
                pipeline.free -= 1
                self._run(job)

    def _run(self, job: _Job) -> None:
        while self._over:  # these hold no lock, and have nothing more to do
            thread = self._over.popleft()
            thread.join()
            del self._threads[thread]
        thread = threading.Thread(
            target=self._work, args=(job,), name=f"windtunnel {job.task}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads
            job.pipeline.free += job.takes_slot
            self._end(job, TaskStatus(TaskState.FAILED, error))
        else:
            self._threads[thread] = None

    # Without it.

    @staticmethod
    def _tell_closed(manifest: Manifest, channel: Channel) -> None:
        """Called by the delivery: the reader learns of the end once the handler has."""
        try:
            manifest.stream_event_handler(channel.stream, StreamState.CLOSED)
        finally:
            if channel.inbox is not None:
                channel.inbox.end(channel)

    def _tell_all(self, channels: Sequence[Channel]) -> None:
        """Return once all that these channels and their tasks have to tell was delivered."""
        for channel in channels:
            channel.settle()
        self._delivery.flush()


class _Host:
    """A task's way to its Runner: see `task.Host`."""

    def __init__(self, runner: LocalRunner, job: _Job) -> None:
        self._runner = runner
        self._job = job

    def check(self) -> None:
        """See `task.Host`."""
        if self._job.state is not TaskState.RUNNING:
            raise Stopped

    def narrow(self, range_: ContributingTimeRange) -> None:
        """See `task.Host`."""
        self._runner._narrow(self._job, range_)


def _pipelines(manifest: Manifest, slots: int) -> dict[Task, _Pipeline]:
    """The pipeline of each task."""
    neighbours: dict[Stream, list[Task]] = {}
    for task in manifest.tasks:
        for stream in _streams(task):
            neighbours.setdefault(stream, []).append(task)
    found: dict[Task, _Pipeline] = {}
    for first in manifest.tasks:
        if first in found:
            continue
        pipeline = found[first] = _Pipeline(slots)
        stack = [first]
        while stack:
            near = [each for stream in _streams(stack.pop()) for each in neighbours[stream]]
            new = [each for each in dict.fromkeys(near) if each not in found]
            found.update(dict.fromkeys(new, pipeline))
            stack += new
    return found


def _items(manifest: Manifest) -> Iterator[Task | Stream]:
    yield from manifest.tasks
    yield from manifest.streams


def _streams(task: Task) -> Iterator[Stream]:
    yield from task.source_streams()
    yield from task.sink_streams()
