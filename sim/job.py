"""A task's life on a worker (semantics 6.5).

It takes its sources, reports Running, reads and sends in rounds, closes its sinks and reports its
end.  A sink waits until it is bound, then sends one batch after the other, each acknowledged once
the reader has room for it.  Cancellation is cooperative: a task notices it where it waits.
"""

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from simpy.events import Event

from sim.channel import Channel, Input, Sending
from sim.costs import Meter
from sim.network import Link
from sim.rows import Fragment, Reading, Record, Work, WorkFailed, scans_of
from sim.scenario import Fault
from sim.scheduler import Connection, Execution
from workflow import (
    ContributingTimeRange,
    Statistic,
    Statistics,
    StreamState,
    TaskState,
    TaskStatus,
)

if TYPE_CHECKING:
    from sim.worker import Worker

__all__ = ["Job", "TaskError"]

ROWS: Final = Statistic("rows")

_Waits = Generator[Event, Any, None]


class TaskError(Exception):
    """A task failed, as a fault of the scenario says; `args` is the task and the step."""

    def __str__(self) -> str:
        return f"task {self.args[0]} failed at its {self.args[1]}"


class Stopped(Exception):
    """The task was cancelled, or its worker is gone."""


class Job:
    """One attempt at a task on a worker."""

    def __init__(self, worker: "Worker", connection: Connection, execution: Execution) -> None:
        self.worker = worker
        self.connection = connection
        self.execution = execution
        self.name: Final = execution.name
        self.task: Final = execution.record.task
        self.waits_for: object = "its slot"  # shown with str()
        self.stopped = False
        self.doomed: Fault | None = None  # a failure to come at the next step
        self.addresses: dict[str, Worker | None] = {}  # by sink; None: the scheduler
        self.acked = False
        self.rows = 0
        self.worked = 0  # ticks
        costs = worker.world.costs
        self._meter = None if costs is None else Meter(costs)
        make = worker.world.parts.channel
        self.channels = {
            source.name: make(source.name, self, worker.world.cluster.buffer)
            for source in execution.record.sources
        }
        for name in execution.closed_sources:
            self.channels[name].closed = True
        self._links: dict[str, tuple[Link, Link]] = {}
        self._event: Event | None = None
        self._step = 0
        self._sent: dict[str, int] = {}
        self._contributing: ContributingTimeRange | None = None  # as it was reported last

    # Waiting.

    def wake(self) -> None:
        """Something changed: look again."""
        if self._event is not None and not self._event.triggered:
            self._event.succeed()

    def stop(self) -> None:
        """Stop where the task waits next."""
        self.stopped = True
        self.wake()

    def die(self) -> None:
        """Stop with the worker, and with all that was under way to or from here."""
        self.stop()
        for links in self._links.values():
            for link in links:
                link.cut()

    def _wait(self, what: object) -> _Waits:
        self._check()  # nobody wakes one that was stopped while it was at work
        self.waits_for = what
        self._event = self.worker.world.clock.named(f"wake {self.name}")
        yield self._event
        self._event = None
        self._check()

    def _pause(self, label: str, ticks: int) -> _Waits:
        self.waits_for = label
        yield self.worker.world.clock.pause(ticks, f"{label} {self.name}")
        self._check()

    def _check(self) -> None:
        if self.stopped:
            raise Stopped

    # The task.

    def run(self) -> _Waits:
        """The whole life of the task."""
        world = self.worker.world
        try:
            yield from self._live()
        except Stopped:
            if not world.sound and self.worker.alive:
                # The reference reports this, and its scheduler refuses it.
                self._report(TaskStatus(TaskState.FAILED, RuntimeError("context canceled")))
        except TaskError as error:
            silent = self.doomed is not None and self.doomed.silent
            self._report(TaskStatus(TaskState.FAILED, None if silent else error))
        except WorkFailed as failed:
            self._report(TaskStatus(TaskState.FAILED, failed.error))
        # Not in a `finally`: whom the run itself ends has nothing more to say.
        self.waits_for = "nothing"
        for channel in self.channels.values():
            channel.drop()
        self.worker.job_over(self)

    def _live(self) -> _Waits:
        world = self.worker.world
        _, workload = world.workload(self.execution.record.entry.name)
        yield from self._take_sources()
        self._report(TaskStatus(TaskState.RUNNING))
        self._maybe_fail("start", 0)
        work = self._work()
        for scan in work.scans:
            yield from self._scan(work, scan, workload.batch_rows)
        for group in self._inputs():
            yield from self._read(work, group)
        yield from self._send_each(work.finish())
        self._maybe_fail("end", -1)
        for sink in self.execution.record.sinks:
            self._report_stream(sink.name, StreamState.CLOSED)
        statistics = Statistics({ROWS: self.rows})
        self._report(TaskStatus(TaskState.COMPLETED, statistics=statistics))
        while not self.acked:
            yield from self._wait("the acknowledgement of its end")
        world.counts["completed"] += 1

    def _work(self) -> Work[Any]:
        """What the task does: to real rows if there are any, else to made-up ones."""
        world, record = self.worker.world, self.execution.record
        if world.sections is not None:
            from sim.real import RealFragment  # noqa: PLC0415 - heavy, and few runs have data

            streams = {source.name: source.stream for source in record.sources}
            return RealFragment(
                self.task, record.name, streams, world.sections, hides=not world.sound
            )
        _, workload = world.workload(record.entry.name)
        ascending = world.oldest_first(record.entry.name)
        scans = scans_of(self.task, record.name, workload, ascending=ascending)
        return Fragment(self.task, scans, hides=not world.sound)

    def _take_sources(self) -> _Waits:
        """The reference binds its sources one by one, and counts those that are open."""
        if self.worker.world.sound:
            return
        names = {s.stream: s.name for s in self.execution.record.sources}
        for streams in self.task.sources.values():
            yield from self._bind_one_by_one([self.channels[names[s]] for s in streams])

    def _bind_one_by_one(self, channels: list[Channel]) -> _Waits:
        """One node's sources.  Its input ends when the count of open ones falls to zero."""
        world = self.worker.world
        bound: list[Channel] = []
        for position, channel in enumerate(channels):
            ticks = world.choices.ticks("bind", f"{self.name}/{channel.name}", (0, 1, 50, 400))
            if ticks:
                yield from self._pause("binding", ticks)
            if bound and all(each.closed for each in bound):
                # Hazard H13: the end, although others are yet to be bound; those are refused.
                world.counts["hazard H13"] += 1
                for late in channels[position:]:
                    late.drop()
                return
            if not channel.closed:
                bound.append(channel)
        if channels and not bound:
            # Hazard H12: nothing was bound, so nothing will bring the count to zero.
            world.counts["hazard H12"] += 1
            while True:
                yield from self._wait("sources that had all closed before they were bound")

    def _inputs(self) -> list[Input]:
        """Each source node's input, in the order in which the nodes are read."""
        record = self.execution.record
        names = {s.stream: s.name for s in record.sources}
        groups = [
            self.worker.world.parts.input([self.channels[names[stream]] for stream in streams])
            for streams in self.task.sources.values()
        ]
        # All shards of a branch read in one order: it is chosen once for those who share senders.
        senders = [s.sender.name for s in record.sources if s.sender is not None]
        order = self.worker.world.reading_order("+".join(senders), len(groups))
        return [groups[place] for place in order]

    def _take(self, group: Input) -> Record | None:
        if not group.ready:
            return None
        key = f"{self.name}/{self._step}"
        choices = self.worker.world.choices
        channel = group.channel(choices.index("take", key, group.ready))
        return channel.take()

    def _scan(self, work: Work[Any], scan: Reading[Any], batch_rows: int) -> _Waits:
        records = scan.records(batch_rows)
        while work.wants(scan):
            record = next(records, None)
            if record is None:
                yield from self._end(work, [scan.name])
                return
            yield from self._process(work, [scan.name], record)

    def _read(self, work: Work[Any], group: Input) -> _Waits:
        names = group.names
        # A stream is read to its end even where its node wants no more while others go on: who
        # sends here may send to those too, and would wait for ever.  The reference lets it wait.
        while not work.done:
            record = self._take(group)
            if record is not None:
                yield from self._process(work, names, record)
            elif group.ended:
                self.worker.world.record("input_end", self.name, streams=names)
                yield from self._end(work, names)
                return
            else:
                yield from self._wait(group)

    def _process(self, work: Work[Any], source: Sequence[str], record: Record) -> _Waits:
        world = self.worker.world
        done: Sequence[Record] | None = None
        if self._meter is None:
            ticks = world.choices.ticks("work", f"{self.name}/{self._step}", world.work)
        else:
            # Only once it is done is it known what it costs; what comes out waits until then.
            done = work.push(source, record)
            ticks = self._meter.ticks(work.rows_in())
        began = world.clock.tick
        yield from self._pause("work", ticks * self.worker.factor)
        self.worked += world.clock.tick - began  # slack included
        self._step += 1
        self.rows += record.rows
        self._maybe_fail(f"batch {self._step}", self._step)
        out = work.push(source, record) if done is None else done
        contributing = work.contributing
        if contributing is not None and contributing != self._contributing:
            self._contributing = contributing
            self._report(TaskStatus(TaskState.RUNNING, contributing_time_range=contributing))
        yield from self._send_each(out)

    def _end(self, work: Work[Any], source: Sequence[str]) -> _Waits:
        """A source is over: what was held back goes on, which may be work, too."""
        out = work.end(source)
        ticks = 0 if self._meter is None else self._meter.ticks(work.rows_in())
        if ticks:
            ticks *= self.worker.factor
            yield from self._pause("work", ticks)
            self.worked += ticks
        yield from self._send_each(out)

    def _maybe_fail(self, where: str, place: int) -> None:
        self._check()
        record = self.execution.record
        fault = self.doomed or self.worker.world.faults.met(
            "task_failure",
            f"{self.name}/{where}",
            worker=self.worker.index,
            task=record.index,
            workload=self.worker.world.workload(record.entry.name)[0],
            place=place,
        )
        if fault is not None:
            self.doomed = fault
            raise TaskError(self.name, where)

    # Sending.

    def _send_each(self, records: Iterable[Record]) -> _Waits:
        for record in records:
            yield from self._send_all(record)

    def _send_all(self, record: Record) -> _Waits:
        for sink in self.execution.record.sinks:
            yield from self._send(sink.name, record)

    def _send(self, name: str, record: Record) -> _Waits:
        world = self.worker.world
        while name not in self.addresses:
            yield from self._wait(f"the reader of {name} to be known")
        number = self._sent[name] = self._sent.get(name, 0) + 1
        world.record("send", name, task=self.name, number=number, rows=record.rows)
        there, back = self._link(name)
        sending = Sending(self, number, back)
        there.send(f"data {number}", self._arrive, name, record, sending)
        blocked_at: int | None = None
        while sending.taken is None:
            if sending.full and blocked_at is None:
                blocked_at = world.clock.tick
                self._report_stream(name, StreamState.BLOCKED)
            yield from self._wait(f"room in {name}" if sending.full else f"an answer on {name}")
        if blocked_at is not None:
            world.counts["blocked ticks"] += world.clock.tick - blocked_at
            self._report_stream(name, StreamState.OPEN)

    @property
    def links(self) -> int:
        """How many links are open."""
        return sum(link.alive for pair in self._links.values() for link in pair)

    def _link(self, name: str) -> tuple[Link, Link]:
        if name not in self._links:
            world = self.worker.world
            links = (
                Link(world.clock, f"{name}/{self.name}>", world.data),
                Link(world.clock, f"{name}/{self.name}<", world.data),
            )
            for link in links:
                link.factor = self.worker.link_factor
            self._links[name] = links
        return self._links[name]

    def _arrive(self, name: str, record: Record, sending: Sending) -> None:
        """At the other end of the data connection."""
        reader = self.addresses[name]
        if reader is None:
            self.worker.offer(name, record, sending)
        elif reader.alive:
            channel = reader.channel(name)
            if channel is None or channel.closed:
                sending.ack(False)
            else:
                channel.arrive(record, sending)

    # Reporting.

    def _report(self, status: TaskStatus) -> None:
        scheduler = self.worker.scheduler

        def arrive() -> None:
            scheduler.on_status(self.connection, self.execution, status)
            if status.state.terminal:
                self.connection.to_worker.send(f"acknowledged {self.name}", self._acknowledged)

        self.worker.say(self.connection, f"status {self.name} {status.state}", arrive)

    def _acknowledged(self) -> None:
        self.acked = True
        self.wake()

    def _report_stream(self, name: str, state: StreamState) -> None:
        scheduler = self.worker.scheduler
        self.worker.say(
            self.connection,
            f"stream {name} {state}",
            lambda: scheduler.on_stream(self.execution, name, state),
        )

    def bind(self, name: str, reader: "Worker | None") -> None:
        """Learn where a sink sends to."""
        if name not in self.addresses:
            self.addresses[name] = reader
            self._report_stream(name, StreamState.OPEN)
            self.wake()
