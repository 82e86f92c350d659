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
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from workflow.manifest import Manifest
from workflow.runner import RunnerError
from workflow.runners._base import BaseRunner, Job, Pipeline, RunnerClosed
from workflow.runners._streams import Channel, Inbox, TaskOutlet, WriterOutlet
from workflow.runners.task import Outlet, Stopped, TaskRun
from workflow.sections import Sections
from workflow.stream import Stream
from workflow.task import ContributingTimeRange, Task, TaskState, TaskStatus

__all__ = ["LocalRunner", "RunnerClosed"]


@dataclass(slots=True, eq=False)
class _Job(Job[Channel]):
    inbox: Inbox = field(default_factory=Inbox)


class LocalRunner(BaseRunner[_Job, Channel]):
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
        super().__init__()
        self._data = data
        self._threads: dict[threading.Thread, None] = {}
        self._over: deque[threading.Thread] = deque()  # of these, to be joined

    # What a user calls besides.

    def close(self) -> None:
        """Cancel all tasks, deliver what is to be told, and join every thread: see `BaseRunner`."""
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

    def tables(self) -> Mapping[str, int]:
        """How much is kept, by kind."""
        tables = super().tables()
        with self._lock:
            return {**tables, "threads": len(self._threads) - len(self._over)}

    # A task on its thread.

    def _work(self, job: _Job) -> None:
        run = self._task_run(job)
        end: TaskStatus | None = None
        try:
            if self._begin(job):
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
            self._free_slot(job)
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

    # What the account of tasks and streams asks, with its lock held.

    def _make_job(self, task: Task, manifest: Manifest, pipeline: Pipeline) -> _Job:
        return _Job(task, manifest, pipeline)

    def _make_channel(self, stream: Stream, sender: _Job | None, reader: _Job | None) -> Channel:
        del sender
        if reader is None:
            return Channel(stream)
        channel = Channel(stream, reader.inbox, self.buffer)
        reader.inbox.add(channel)
        return channel

    def _slots(self) -> int:
        return self.slots

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
            job.pipeline.busy -= job.takes_slot
            self._end(job, TaskStatus(TaskState.FAILED, error))
        else:
            self._threads[thread] = None

    def _halt(self, job: _Job) -> None:
        job.inbox.close()

    # Without it.

    def _tell_reader(self, channel: Channel) -> None:
        if channel.inbox is not None:
            channel.inbox.end(channel)


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
