"""What the Runners of this package share: who holds which state, and who is told in what order.

What is true of a task or stream is decided here, under one lock, and not where the task is at
work: a cancelled task is Cancelled at once, and what its work still says counts no more.
"""

import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

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
from workflow.runners.channel import Channel, WriterOutlet
from workflow.runners.reading import Readable, read
from workflow.runners.task import Host, Stopped
from workflow.stream import Stream, StreamState
from workflow.task import ContributingTimeRange, Task, TaskState, TaskStatus

__all__ = ["BaseRunner", "Channel", "Job", "Pipeline", "RunnerClosed", "WriterOutlet"]

C = TypeVar("C", bound=Channel[Any])


class RunnerClosed(RunnerError):
    """A manifest was to be registered with a Runner that is closed."""

    def __str__(self) -> str:
        return "the Runner is closed"


@dataclass(slots=True, eq=False)
class Pipeline:
    """Tasks joined by streams; those that read no stream take one of its slots to be at work."""

    busy: int = 0  # slots that are taken
    waiting: deque["Job[Any]"] = field(default_factory=deque)


@dataclass(eq=False)
class Job(Generic[C]):
    """A task here; whoever runs it may give it more attributes."""

    task: Task
    manifest: Manifest
    pipeline: Pipeline
    sinks: list[C] = field(default_factory=list)
    state: TaskState = TaskState.CREATED

    @property
    def takes_slot(self) -> bool:
        """Whether it reads no stream, see `Pipeline`."""
        return next(self.task.source_streams(), None) is None


J = TypeVar("J", bound=Job[Any])


class BaseRunner(ABC, Generic[J, C]):
    """The Runner protocol; a subclass has the tasks work, and says what they come to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._delivery = Delivery("windtunnel events")
        self._manifests: dict[Manifest, None] = {}
        self._jobs: dict[Task, J] = {}
        self._channels: dict[Stream, C] = {}
        self._owners: dict[C, Manifest] = {}
        self._ids: dict[ULID, None] = {}
        self._closed = False

    # What a subclass supplies.  All but `tell_reader` are called with the lock held.

    def make_job(self, task: Task, manifest: Manifest, pipeline: Pipeline) -> J:
        """A task is registered."""
        return cast(J, Job(task, manifest, pipeline))

    def make_channel(self, stream: Stream, sender: J | None, reader: J | None) -> C:
        """A stream is registered, and who writes and reads it."""
        return cast(C, Channel(stream, sender, reader))

    def capacity(self) -> int:
        """How many tasks that take a slot may be at work, of one pipeline; any, unless told."""
        return sys.maxsize

    @abstractmethod
    def launch(self, job: J) -> None:
        """Have a task work that is Pending."""

    @abstractmethod
    def halt(self, job: J) -> None:
        """A task is over: its work is to end, and whoever feeds it feeds nobody."""

    @abstractmethod
    def tell_reader(self, channel: C) -> None:
        """A stream is over, the handler knows, and now its reader may."""

    def listened(self, channel: C) -> None:
        """A stream has a writer to read it."""

    def forget(self, job: J) -> None:
        """A task is unregistered."""

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
            pipelines = _pipelines(manifest)
            senders: dict[Stream, J] = {}
            readers: dict[Stream, J] = {}
            for task in manifest.tasks:
                job = self._jobs[task] = self.make_job(task, manifest, pipelines[task])
                senders.update(dict.fromkeys(task.sink_streams(), job))
                readers.update(dict.fromkeys(task.source_streams(), job))
            for stream in manifest.streams:
                channel = self.make_channel(stream, senders.get(stream), readers.get(stream))
                self._channels[stream] = channel
                self._owners[channel] = manifest
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
                self.forget(self._jobs[task])
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
            if channel.reader is not None or channel.writer is not None:
                raise AlreadyBound(str(stream.id))
            channel.listen(writer)
            self.listened(channel)

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
                self._queue(job)

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`.  Their work ends soon after."""
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

    @abstractmethod
    def close(self) -> None:
        """Cancel all tasks, tell what is to be told, and end every thread.  Idempotent.

        Manifests may still be unregistered.  Raises RunnerError if called by a handler or by what
        a writer wakes: a thread cannot join itself.
        """

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
            }

    # For a subclass, from any thread.

    def begin(self, job: J) -> bool:
        """The task is at work, unless it is not to be."""
        with self._lock:
            if job.state is not TaskState.PENDING:
                return False
            self._set(job, TaskStatus(TaskState.RUNNING))
            return True

    def finish(self, job: J, end: TaskStatus) -> None:
        """What the task has come to, unless it was over before."""
        with self._lock:
            self._end(job, end)

    def show(self, manifest: Manifest, channel: C, state: StreamState) -> None:
        """A sender's word about its stream; none counts once that is closed."""
        with self._lock:
            self._change(manifest, channel, state)

    def narrow(self, job: J, range_: ContributingTimeRange) -> None:
        """Which times can still change what a task gives."""
        with self._lock:
            self._narrow(job, range_)

    def free_slot(self, job: J) -> None:
        """A task that was launched is at work no more."""
        if job.takes_slot:
            with self._lock:
                job.pipeline.busy -= 1
                self._fill_slots(job.pipeline)

    def check(self, job: J) -> None:
        """Raises Stopped once the task is not to go on."""
        if job.state is not TaskState.RUNNING:
            raise Stopped

    def host(self, job: J) -> Host:
        """For a `TaskRun` of this process."""
        return _Host(self, job)

    def end_everything(self) -> None:
        """For `close`: cancel all tasks, take no new ones, and return once all is told."""
        with self._lock:
            self._closed = True
            channels = [channel for each in self._manifests for channel in self._end_all(each)]
        self._tell_all(channels)

    def end_delivery(self) -> None:
        """For `close`, at the last: end the thread that calls the handlers."""
        self._delivery.close()

    def refuse_own(self, threads: Container[threading.Thread]) -> None:
        """For `close`.  Raises RunnerError on one of these threads or that which tells."""
        if self._delivery.is_current or threading.current_thread() in threads:
            raise RunnerError("close: got a call from one of the Runner's own threads")

    # For a subclass, with the lock held.  Handlers are called later, see `Delivery`.

    def _queue(self, job: J) -> None:
        """A task that is Pending runs now, or once there is a slot."""
        if job.takes_slot:
            job.pipeline.waiting.append(job)
            self._fill_slots(job.pipeline)
        else:
            self.launch(job)

    def _fill_slots(self, pipeline: Pipeline) -> None:
        while pipeline.waiting and pipeline.busy < self.capacity():
            job = self._jobs.get(pipeline.waiting.popleft().task)
            if job is not None and job.state is TaskState.PENDING:
                pipeline.busy += 1
                self.launch(job)

    def _change(self, manifest: Manifest, channel: C, state: StreamState) -> None:
        if channel.state not in (state, StreamState.CLOSED):
            channel.state = state
            self._delivery.post(partial(manifest.stream_event_handler, channel.stream, state))

    def _narrow(self, job: J, range_: ContributingTimeRange) -> None:
        if job.state is TaskState.RUNNING:
            self._set(job, TaskStatus(TaskState.RUNNING, contributing_time_range=range_))

    def _set(self, job: J, status: TaskStatus) -> None:
        job.state = status.state
        self._delivery.post(partial(job.manifest.task_event_handler, job.task, status))

    def _end(self, job: J, status: TaskStatus) -> None:
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
        self.halt(job)

    def _close_sinks(self, job: J) -> None:
        for channel in job.sinks:
            self._close_channel(job.manifest, channel)

    def _close_channel(self, manifest: Manifest, channel: C) -> None:
        if channel.state is not StreamState.CLOSED:
            channel.state = StreamState.CLOSED
            tell = partial(self._tell_closed, manifest, channel)
            channel.close(partial(self._delivery.post, tell))

    def _end_all(self, manifest: Manifest) -> list[C]:
        """Every task of it is over, and every stream closed.  Gives these."""
        for task in manifest.tasks:
            self._end(self._jobs[task], TaskStatus(TaskState.CANCELLED))
        channels = [self._channels[stream] for stream in manifest.streams]
        for channel in channels:
            self._close_channel(manifest, channel)
        return channels

    # Without it.

    def _tell_closed(self, manifest: Manifest, channel: C) -> None:
        """Called by the delivery: the reader learns of the end once the handler has."""
        try:
            manifest.stream_event_handler(channel.stream, StreamState.CLOSED)
        finally:
            self.tell_reader(channel)

    def _tell_all(self, channels: Sequence[C]) -> None:
        """Return once all that these channels and their tasks have to tell was delivered."""
        for channel in channels:
            channel.settle()
        self._delivery.flush()


class _Host:
    """A task's way to its Runner: see `task.Host`."""

    def __init__(self, runner: BaseRunner[Any, Any], job: Job[Any]) -> None:
        self._runner = runner
        self._job = job

    def check(self) -> None:
        """See `task.Host`."""
        self._runner.check(self._job)

    def narrow(self, range_: ContributingTimeRange) -> None:
        """See `task.Host`."""
        self._runner.narrow(self._job, range_)


def _pipelines(manifest: Manifest) -> dict[Task, Pipeline]:
    """The pipeline of each task."""
    neighbours: dict[Stream, list[Task]] = {}
    for task in manifest.tasks:
        for stream in _streams(task):
            neighbours.setdefault(stream, []).append(task)
    found: dict[Task, Pipeline] = {}
    for first in manifest.tasks:
        if first in found:
            continue
        pipeline = found[first] = Pipeline()
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
