"""Ledger: the books that any Runner with threads keeps; what runs a task is up to who extends it.

It knows manifests, tasks, streams and their states, refuses what a Runner has to refuse, and tells
each change in the order in which it happens.  All of that under one lock, which a thread may take
again: so a handler may call the Runner, and nothing is told late, or after it ceased to be true.
The price: while one handler is called, or one batch is offered, nobody else can be.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from threading import Condition
from typing import TYPE_CHECKING, Final

from workflow.manifest import Manifest
from workflow.results import WriteClosed
from workflow.runner import (
    AlreadyBound,
    ManifestRefused,
    RecordWriter,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
    manifest_violations,
)
from workflow.runners.task import Host, Stopped
from workflow.stream import Stream, StreamState
from workflow.task import ContributingTimeRange, Task, TaskState, TaskStatus

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Ledger"]


class Ledger(ABC):
    """A `workflow.Runner`, but for `launch`.

    ``lock`` guards everything, and is notified of every change: who waits for one, waits on it.
    """

    def __init__(self) -> None:
        self.lock: Final = Condition()  # over a lock that its owner may take again
        self._owners: dict[Task | Stream, Manifest] = {}
        self._states: dict[Task, TaskState] = {}
        self._streams: dict[Stream, StreamState] = {}
        self._readers: dict[Stream, Task] = {}
        self._writers: dict[Stream, RecordWriter] = {}

    # What is up to who extends it.  Called with the lock held; none of it may wait.

    @abstractmethod
    def launch(self, task: Task) -> None:
        """Have the task done, elsewhere: `begin`, its work, `end`."""

    def closed(self, stream: Stream, reader: Task) -> None:  # noqa: B027 - nothing, by default
        """The end of a stream was told, so the task that reads it may learn of it."""

    def forget(self, task: Task) -> None:  # noqa: B027 - nothing, by default
        """The task is over, and gone with its manifest."""

    # The Runner protocol.

    def register_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        with self.lock:
            known = [*(task.id for task in self._states), *(each.id for each in self._streams)]
            violations = tuple(manifest_violations(manifest, known))
            if violations:
                raise ManifestRefused(violations)
            self._owners.update(dict.fromkeys((*manifest.tasks, *manifest.streams), manifest))
            self._states.update(dict.fromkeys(manifest.tasks, TaskState.CREATED))
            self._streams.update(dict.fromkeys(manifest.streams, StreamState.IDLE))
            for task in manifest.tasks:
                self._readers.update(dict.fromkeys(task.source_streams(), task))

    def unregister_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        with self.lock:
            items: tuple[Task | Stream, ...] = (*manifest.tasks, *manifest.streams)
            unknown = [each for each in items if self._owners.get(each) is not manifest]
            if unknown:
                raise UnknownManifest(_ids(unknown))
            for task in manifest.tasks:
                self.end(task, TaskStatus(TaskState.CANCELLED))
            for stream in manifest.streams:
                self.show(stream, StreamState.CLOSED)
            for stream in manifest.streams:
                for table in (self._owners, self._streams, self._readers, self._writers):
                    table.pop(stream, None)  # a handler may have been faster
            for task in manifest.tasks:
                self._owners.pop(task, None)
                if self._states.pop(task, None) is not None:
                    self.forget(task)
            self.lock.notify_all()

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """See `workflow.Runner`."""
        with self.lock:
            if stream not in self._streams:
                raise UnknownStream((str(stream.id),))
            if stream in self._readers or stream in self._writers:
                raise AlreadyBound(str(stream.id))
            self._writers[stream] = writer
            self.lock.notify_all()

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        with self.lock:
            unknown = [task for task in tasks if task not in self._states]
            if unknown:
                raise UnknownTask(_ids(unknown))
            for task in tasks:
                if self._states.get(task) is TaskState.CREATED:
                    self._tell(task, TaskStatus(TaskState.PENDING))
                    if self._states.get(task) is TaskState.PENDING:
                        self.launch(task)

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        with self.lock:
            unknown = [task for task in tasks if task not in self._states]
            for task in tasks:
                self.end(task, TaskStatus(TaskState.CANCELLED))
            if unknown:
                raise UnknownTask(_ids(unknown))

    # For who does the work, from any thread.

    def begin(self, task: Task) -> None:
        """The task runs.  Raises Stopped if it was cancelled."""
        with self.lock:
            if self._states.get(task) is not TaskState.PENDING:
                raise Stopped
            self._tell(task, TaskStatus(TaskState.RUNNING))

    def check(self, task: Task) -> None:
        """Raises Stopped once the task is not to go on."""
        if self._states.get(task) is not TaskState.RUNNING:
            raise Stopped

    def end(self, task: Task, status: TaskStatus) -> None:
        """The task is over, and its sinks close; nothing, if it was over."""
        with self.lock:
            if self.over(task):
                return
            completed = status.state is TaskState.COMPLETED
            if completed:
                self._close(task.sink_streams())
            self._tell(task, status)
            if not completed:
                # Only then: who reads what was cut short must not be taken for done before.
                self._close(task.sink_streams())
            self.lock.notify_all()

    def show(self, stream: Stream, state: StreamState) -> None:
        """A stream is in a state; nothing, if it was, or is closed."""
        with self.lock:
            if self._streams.get(stream, StreamState.CLOSED) in (state, StreamState.CLOSED):
                return
            self._streams[stream] = state
            self._owners[stream].stream_event_handler(stream, state)
            reader = self._readers.get(stream)
            if state is StreamState.CLOSED and reader is not None:
                self.closed(stream, reader)
            self.lock.notify_all()

    def offer(self, task: Task, stream: Stream, batch: "pa.RecordBatch") -> bool | None:
        """A record of a stream that no task reads.

        True: it was taken.  False: nobody reads any more.  None: there is no room, or no reader
        yet; wait on the lock, which is held, and offer it again.  Raises Stopped.
        """
        with self.lock:
            self.check(task)
            writer = self._writers.get(stream)
            if writer is None:
                return None
            if self._streams[stream] is StreamState.IDLE:
                self.show(stream, StreamState.OPEN)
                self.check(task)  # whoever was told may have cancelled it
            writer.watch(self._wake)
            try:
                taken = writer.offer(batch)
            except WriteClosed:
                return False
            self.show(stream, StreamState.OPEN if taken else StreamState.BLOCKED)
            return True if taken else None

    def over(self, task: Task) -> bool:
        """Whether a task is over, or gone."""
        return self._states.get(task, TaskState.CANCELLED).terminal

    def reader(self, stream: Stream) -> Task | None:
        """The task that reads a stream."""
        return self._readers.get(stream)

    def host(self, task: Task) -> Host:
        """For a `TaskRun`."""
        return _Host(self, task)

    def close(self) -> None:
        """Cancel everything; manifests may still be unregistered."""
        with self.lock:
            for task in list(self._states):
                self.end(task, TaskStatus(TaskState.CANCELLED))

    def tables(self) -> dict[str, int]:
        """How much is kept, by kind."""
        with self.lock:
            return {
                "tasks": len(self._states),
                "streams": len(self._streams),
                "readers": len(self._readers),
                "writers": len(self._writers),
                "owners": len(self._owners),
            }

    def _wake(self) -> None:
        with self.lock:
            self.lock.notify_all()

    def _tell(self, task: Task, status: TaskStatus) -> None:
        if not self.over(task):
            self._states[task] = status.state
            self._owners[task].task_event_handler(task, status)

    def _close(self, streams: Iterable[Stream]) -> None:
        for stream in streams:
            self.show(stream, StreamState.CLOSED)


class _Host:
    """See `task.Host`."""

    def __init__(self, ledger: Ledger, task: Task) -> None:
        self._ledger = ledger
        self._task = task

    def check(self) -> None:
        self._ledger.check(self._task)

    def narrow(self, range_: ContributingTimeRange) -> None:
        with self._ledger.lock:
            self.check()
            status = TaskStatus(TaskState.RUNNING, contributing_time_range=range_)
            self._ledger._tell(self._task, status)


def _ids(items: Iterable[Task | Stream]) -> tuple[str, ...]:
    return tuple(str(each.id) for each in items)
