"""LocalRunners with one fault each: what is told, or sent, is not what is so."""

import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from workflow import Task, TaskState, TaskStatus
from workflow.manifest import Manifest
from workflow.runners._streams import TaskChannel
from workflow.runners.channel import Channel
from workflow.runners.local import LocalRunner, _Job
from workflow.runners.task import Outlet
from workflow.stream import StreamState

LATE = 0.03  # seconds


class _HoldsBack:
    """Keeps the last batch."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.last: pa.RecordBatch | None = None

    def send(self, batch: pa.RecordBatch) -> bool:
        before, self.last = self.last, batch
        return before is None or self.outlet.send(before)


class ClosesBeforeTheLastRecord(LocalRunner):
    """A listened stream's close is reported, then its last record is offered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: dict[Channel[_Job], _HoldsBack] = {}

    def _outlet(self, job: _Job, channel: Channel[_Job]) -> Outlet:
        outlet = super()._outlet(job, channel)
        if isinstance(channel, TaskChannel):
            return outlet
        return self._kept.setdefault(channel, _HoldsBack(outlet))

    def finish(self, job: _Job, end: TaskStatus) -> None:
        with self._lock:
            self._close_sinks(job)
        self._delivery.flush()
        for channel in job.sinks:
            kept = self._kept.get(channel)
            if kept is not None and kept.last is not None and channel.writer is not None:
                while not channel.writer.offer(kept.last):
                    threading.Event().wait(0.001)
        super().finish(job, end)


class CompletesBeforeItCloses(LocalRunner):
    """Who reads a stream learns of its end, and the handler only later."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timers: list[threading.Timer] = []

    def _close_channel(self, manifest: Manifest, channel: Channel[_Job]) -> None:
        if not isinstance(channel, TaskChannel):
            super()._close_channel(manifest, channel)
        elif channel.state is not StreamState.CLOSED:
            channel.state = StreamState.CLOSED
            channel.close(lambda: None)
            channel.inbox.end(channel)
            handler = manifest.stream_event_handler
            timer = threading.Timer(LATE, handler, (channel.stream, StreamState.CLOSED))
            timer.start()
            self._timers.append(timer)

    def close(self) -> None:
        super().close()
        for timer in self._timers:
            timer.join()


class LosesCancels(LocalRunner):
    """A task that runs is not stopped."""

    def cancel(self, tasks: Sequence[Task]) -> None:
        super().cancel([task for task in tasks if not self._runs(task)])

    def _runs(self, task: Task) -> bool:
        return task in self._jobs and self._jobs[task].state is TaskState.RUNNING


class PendsAfterItRuns(LocalRunner):
    """What was told first is told once more."""

    def begin(self, job: _Job) -> bool:
        begun = super().begin(job)
        tell, task = job.manifest.task_event_handler, job.task
        self._delivery.post(lambda: tell(task, TaskStatus(TaskState.PENDING)))
        return begun


class EndsTwice(LocalRunner):
    """The end of a task is told twice."""

    def finish(self, job: _Job, end: TaskStatus) -> None:
        super().finish(job, end)
        tell, task = job.manifest.task_event_handler, job.task
        self._delivery.post(lambda: tell(task, end))


class _SendsTwice:
    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.sent = False

    def send(self, batch: pa.RecordBatch) -> bool:
        again, self.sent = not self.sent, True
        return self.outlet.send(batch) and (not again or self.outlet.send(batch))


class SendsAgain(LocalRunner):
    """The first record of each stream is sent once more."""

    def _outlet(self, job: _Job, channel: Channel[_Job]) -> Outlet:
        return _SendsTwice(super()._outlet(job, channel))


class LeavesSinksOpen(LocalRunner):
    """The sinks of a task that failed are not closed."""

    def finish(self, job: _Job, end: TaskStatus) -> None:
        if end.state is not TaskState.FAILED:
            super().finish(job, end)
            return
        with self._lock:
            self._set(job, end)
            job.inbox.close()


class HasHiddenErrors(LocalRunner):
    """A failure is told as a cancellation."""

    def finish(self, job: _Job, end: TaskStatus) -> None:
        failed = end.state is TaskState.FAILED
        super().finish(job, TaskStatus(TaskState.CANCELLED) if failed else end)
