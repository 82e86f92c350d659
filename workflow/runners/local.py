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
from workflow.runners._streams import Inbox, TaskChannel, TaskOutlet
from workflow.runners.base import BaseRunner, Job, Pipeline, RunnerClosed
from workflow.runners.channel import Channel, WriterOutlet
from workflow.runners.task import Outlet, Stopped, TaskRun
from workflow.sections import Sections
from workflow.stream import Stream
from workflow.task import Task, TaskState, TaskStatus

__all__ = ["LocalRunner", "RunnerClosed"]


@dataclass(eq=False)
class _Job(Job[Channel["_Job"]]):
    inbox: Inbox = field(default_factory=Inbox)


class LocalRunner(BaseRunner[_Job, Channel[_Job]]):
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
        self.refuse_own(self._threads)
        self.end_everything()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        with self._lock:
            self._threads.clear()
            self._over.clear()
        self.end_delivery()

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
            if self.begin(job):
                run.run()
                end = TaskStatus(TaskState.COMPLETED, statistics=run.statistics)
        except Stopped:
            pass  # its end was reported when it was stopped
        except BaseException as error:  # noqa: BLE001 - whatever it is, the task has failed with it
            reason = error if isinstance(error, Exception) else RuntimeError(repr(error))
            end = TaskStatus(TaskState.FAILED, reason, statistics=run.statistics)
        if end is not None:
            self.finish(job, end)
        self.free_slot(job)
        with self._lock:
            self._over.append(threading.current_thread())

    def _task_run(self, job: _Job) -> TaskRun:
        outlets = [self._outlet(job, channel) for channel in job.sinks]
        host = self.host(job)
        return TaskRun(job.task, self._data, job.inbox, outlets, host, batch_rows=self.batch_rows)

    def _outlet(self, job: _Job, channel: Channel[_Job]) -> Outlet:
        report = partial(self.show, job.manifest)
        if isinstance(channel, TaskChannel):
            return TaskOutlet(channel, report)
        return WriterOutlet(channel, report)

    # What the account of tasks and streams asks, with its lock held.

    def make_job(self, task: Task, manifest: Manifest, pipeline: Pipeline) -> _Job:
        """See `BaseRunner`."""
        return _Job(task, manifest, pipeline)

    def make_channel(
        self, stream: Stream, sender: _Job | None, reader: _Job | None
    ) -> Channel[_Job]:
        """See `BaseRunner`."""
        if reader is None:
            return Channel(stream, sender, None)
        return TaskChannel(stream, sender, reader, reader.inbox, self.buffer)

    def capacity(self) -> int:
        """See `BaseRunner`."""
        return self.slots

    def launch(self, job: _Job) -> None:
        """See `BaseRunner`."""
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

    def halt(self, job: _Job) -> None:
        """See `BaseRunner`."""
        job.inbox.close()

    # Without it.

    def tell_reader(self, channel: Channel[_Job]) -> None:
        """See `BaseRunner`."""
        if isinstance(channel, TaskChannel):
            channel.inbox.end(channel)
