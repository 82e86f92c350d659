"""Faulty workers, jobs and channels."""

from typing import Any, Final

from properties.mutants.drivers import EmptyBatches
from properties.mutants.mutant import Mutant
from sim.channel import Channel, Input, Sending
from sim.job import ROWS, Job
from sim.parts import Parts
from sim.rows import Record
from sim.scheduler import Connection, Execution
from sim.worker import Worker
from workflow import Statistics, StreamState, TaskState, TaskStatus

__all__ = ["MUTANTS"]


class SlotFreedTwice(Worker):
    """A task that ends frees two slots."""

    def job_over(self, job: Job) -> None:
        if self._jobs.get(job.name) is job:
            self._idle += 1
        super().job_over(job)


class SlotKept(Worker):
    """A task that was stopped keeps its slot."""

    def job_over(self, job: Job) -> None:
        if job.stopped and self._jobs.get(job.name) is job:
            self._idle -= 1
        super().job_over(job)


class ReconnectsAtOnce(Worker):
    """A worker that lost its connection tries again without a pause."""

    def cut(self) -> None:
        super().cut()
        self.world.clock.after(0, f"{self.name} reconnects", self._reconnect)


class JobsKept(Worker):
    """A job that is over stays in the table of jobs."""

    def job_over(self, job: Job) -> None:
        super().job_over(job)
        self._jobs.setdefault(f"{job.name} that was", job)


class LeavesAtOnce(Worker):
    """A worker that leaves does not wait for its tasks."""

    def leave(self) -> None:
        super().leave()
        connection = self.connection
        if self.leaving and self._jobs and connection is not None:
            self.say(connection, "goodbye", lambda: self.scheduler.lose(connection, clean=True))


class ReadinessLost(Worker):
    """A worker that refused a task does not ask for another."""

    _refusing = False

    def on_assign(self, connection: Connection, execution: Execution) -> None:
        self._refusing = True
        super().on_assign(connection, execution)
        self._refusing = False

    def say(self, connection: Connection, label: str, *args: Any, **kwargs: Any) -> None:
        if not (self._refusing and label.startswith("ready after")):
            super().say(connection, label, *args, **kwargs)


class CutKeepsJobs(Worker):
    """A worker that lost its connection lets its tasks go on."""

    def cut(self) -> None:
        jobs, self._jobs = self._jobs, {}
        super().cut()
        self._jobs = jobs


class CancelIgnored(Worker):
    """A cancel does not reach the task that runs."""

    def on_cancel(self, execution: Execution) -> None:
        job = self._jobs.get(execution.name)
        if job is not None:
            self.world.record("stopped", job.name, worker=self.name)


class SendsTwice(Job):
    """A batch arrives twice, as after a retry whose first try had worked."""

    def _arrive(self, name: str, record: Record, sending: Sending) -> None:
        super()._arrive(name, record, sending)
        if sending.number % 2:
            super()._arrive(name, record, sending)


class DropsABatch(Job):
    """A batch gets lost, and is acknowledged."""

    def _arrive(self, name: str, record: Record, sending: Sending) -> None:
        if sending.number == 2 and self.addresses[name] is not None:
            sending.ack(True)
        else:
            super()._arrive(name, record, sending)


class DoesNotWaitForTheAnswer(Job):
    """A batch is on its way, and its sender goes on: the close may overtake it."""

    def _send(self, name: str, record: Record) -> Any:
        world = self.worker.world
        while name not in self.addresses:
            yield from self._wait(f"the reader of {name} to be known")
        number = self._sent[name] = self._sent.get(name, 0) + 1
        world.record("send", name, task=self.name, number=number, rows=record.rows)
        there, back = self._link(name)
        there.send(f"data {number}", self._arrive, name, record, Sending(self, number, back))


class ClosesBeforeItSends(Job):
    """The sinks are closed before the last batch is sent."""

    def _send_all(self, record: Record) -> Any:
        if self._sent:
            for sink in self.execution.record.sinks:
                self._report_stream(sink.name, StreamState.CLOSED)
        yield from super()._send_all(record)


class EndedByAnEmptyBatch(EmptyBatches):
    """An empty batch is taken for the end of its stream."""

    def _take(self, group: Input) -> Record | None:
        record = super()._take(group)
        if record is None or record.rows:
            return record
        for channel in group._channels:
            channel._buffer.clear()
            channel.drop()
        group._open.clear()
        group._ready.clear()
        return None


class FailureIsSuccess(Job):
    """A task that failed reports that it completed."""

    def _report(self, status: TaskStatus) -> None:
        if status.state is TaskState.FAILED:
            status = TaskStatus(TaskState.COMPLETED, statistics=Statistics({ROWS: self.rows}))
        super()._report(status)


class NeverReports(Job):
    """A task does not say how it ended."""

    def _report(self, status: TaskStatus) -> None:
        if status.state.terminal:
            self._acknowledged()
        else:
            super()._report(status)


class OneTooMany(Channel):
    """A buffer takes one batch more than it may."""

    def __init__(self, name: str, job: Job, capacity: int) -> None:
        super().__init__(name, job, capacity + 1)


class ClosesDeaf(Channel):
    """The end of a stream wakes nobody."""

    def close(self) -> None:
        worker = self._job.worker
        worker.world.record("told_closed", self.name, task=self._job.name, worker=worker.name)
        self.closed = True


class NoRoomForWhoWaits(Channel):
    """A batch that waits for room is forgotten when there is some."""

    def take(self) -> Record | None:
        waiting, self._waiting = self._waiting, type(self._waiting)()
        try:
            return super().take()
        finally:
            self._waiting = waiting


class Overtakes(Channel):
    """Every second batch overtakes the one before it."""

    _held: tuple[Record, Sending] | None = None

    def _accept(self, record: Record, sending: Sending) -> None:
        held, self._held = self._held, None
        if held is None and sending.number % 2:
            self._held = (record, sending)
            return
        super()._accept(record, sending)
        if held is not None:
            super()._accept(*held)

    def close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            super()._accept(*held)
        super().close()


class EndsWithTheFirst(Input):
    """An input ends with the first of its streams."""

    @property
    def ended(self) -> bool:
        return not self.ready and any(channel.ended for channel in self._channels)


class EndsUnread(Input):
    """An input ends once its streams are closed, whatever is still in them."""

    @property
    def ended(self) -> bool:
        if all(channel.closed for channel in self._channels):
            return True
        return super().ended

    @property
    def ready(self) -> int:
        return 0 if all(channel.closed for channel in self._channels) else super().ready


MUTANTS: Final[dict[str, Mutant]] = {
    "slot-freed-twice": Mutant(
        sentence="a task that ends frees two slots",
        rules=("M3",),
        parts=Parts(worker=SlotFreedTwice),
        scenarios=("log-search",),
    ),
    "slot-kept": Mutant(
        sentence="a task that was stopped keeps its slot",
        rules=("M3",),
        parts=Parts(worker=SlotKept),
        scenarios=("impatient-users", "limit-early"),
    ),
    "reconnects-at-once": Mutant(
        sentence="a worker that lost its connection tries again without a pause",
        rules=("M7",),
        parts=Parts(worker=ReconnectsAtOnce),
        scenarios=("average-latency",),
        runs=50,
        faults=2,
    ),
    "jobs-kept": Mutant(
        sentence="a job that is over stays in the worker's table",
        rules=("M1",),
        parts=Parts(worker=JobsKept),
        scenarios=("log-search",),
    ),
    "leaves-at-once": Mutant(
        sentence="a worker that leaves does not wait for its tasks",
        rules=("L6",),
        parts=Parts(worker=LeavesAtOnce),
        scenarios=("leave",),
        faults=2,
    ),
    "readiness-lost": Mutant(
        sentence="a worker that refused a task does not ask for another",
        rules=("L7",),
        parts=Parts(worker=ReadinessLost),
        scenarios=("refusals",),
        faults=2,
    ),
    "cut-keeps-jobs": Mutant(
        sentence="a worker that lost its connection lets its tasks run on",
        rules=("T6", "M2", "M3"),
        parts=Parts(worker=CutKeepsJobs),
        scenarios=("average-latency",),
        runs=20,
        faults=2,
    ),
    "cancel-ignored": Mutant(
        sentence="a cancel does not reach the task that runs",
        rules=("S3", "M1", "M2", "M3"),
        parts=Parts(worker=CancelIgnored),
        scenarios=("impatient-users", "short-circuit"),
    ),
    "sends-twice": Mutant(
        sentence="a batch is accepted twice",
        rules=("D3",),
        parts=Parts(job=SendsTwice),
        scenarios=("log-search",),
    ),
    "drops-a-batch": Mutant(
        sentence="a batch gets lost and is acknowledged",
        rules=("D2",),
        parts=Parts(job=DropsABatch),
        scenarios=("two-branches", "slow-reader"),
    ),
    "does-not-wait-for-the-answer": Mutant(
        sentence="a task goes on before its batch has arrived, and its close may overtake it",
        rules=("D2", "S4", "D1"),
        parts=Parts(job=DoesNotWaitForTheAnswer),
        scenarios=("slow-reader", "log-search"),
    ),
    "closes-before-it-sends": Mutant(
        sentence="a task closes its sinks before the last batch is sent",
        rules=("S4", "S3"),
        parts=Parts(job=ClosesBeforeItSends),
        scenarios=("slow-reader",),
    ),
    "ended-by-an-empty-batch": Mutant(
        sentence="an empty batch is taken for the end of its stream",
        rules=("D5",),
        parts=Parts(job=EndedByAnEmptyBatch),
        scenarios=("count-over-time", "slow-reader"),
    ),
    "failure-is-success": Mutant(
        sentence="a task that failed reports that it completed",
        rules=("T9", "S7", "D1"),
        parts=Parts(job=FailureIsSuccess),
        scenarios=("log-search",),
        runs=20,
        faults=2,
    ),
    "never-reports": Mutant(
        sentence="a task does not say how it ended",
        rules=("T4", "L2"),
        parts=Parts(job=NeverReports),
        scenarios=("log-search",),
    ),
    "one-too-many": Mutant(
        sentence="a buffer takes one batch more than it may",
        rules=("M4",),
        parts=Parts(channel=OneTooMany),
        scenarios=("slow-reader",),
    ),
    "closes-deaf": Mutant(
        sentence="the end of a stream wakes nobody",
        rules=("L2", "L1"),
        parts=Parts(channel=ClosesDeaf),
        scenarios=("log-search",),
    ),
    "no-room-for-who-waits": Mutant(
        sentence="a batch that waits for room is forgotten when there is some",
        rules=("L2", "L1"),
        parts=Parts(channel=NoRoomForWhoWaits),
        scenarios=("slow-reader",),
    ),
    "overtakes": Mutant(
        sentence="every second batch overtakes the one before it",
        rules=("D4",),
        parts=Parts(channel=Overtakes),
        scenarios=("slow-reader",),
    ),
    "ends-with-the-first": Mutant(
        sentence="an input ends with the first of its streams",
        rules=("S7",),
        parts=Parts(input=EndsWithTheFirst),
        scenarios=("log-search", "slow-reader"),
    ),
    "ends-unread": Mutant(
        sentence="an input ends with its streams, whatever is still in them",
        rules=("S7",),
        parts=Parts(input=EndsUnread),
        scenarios=("log-search", "slow-reader"),
    ),
}
