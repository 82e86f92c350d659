"""A simulated worker: slots that run one task at a time each.

A task's life (semantics 6.5): take the sources, report Running, read and send in rounds, close
the sinks, report the end.  A sink waits until it is bound, then sends one batch after the other,
each acknowledged once the reader has room for it.  Cancellation is cooperative: a task notices
it where it waits.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from simpy.events import Event

from sim.network import Link
from sim.rows import Fragment, Record, Scan, scans_of
from sim.scenario import Fault, Workload
from sim.scheduler import Connection, Execution, Scheduler, TaskRecord
from sim.world import World
from workflow import (
    ContributingTimeRange,
    Statistic,
    Statistics,
    StreamState,
    TaskState,
    TaskStatus,
    Timestamp,
    WriteClosed,
)

__all__ = ["TaskError", "Worker"]

ROWS: Final = Statistic("rows")

_LAST_COMES_BACK: Final = 50_000  # ticks

_Waits = Generator[Event, Any, None]


class TaskError(Exception):
    """A task failed, as a fault of the scenario says; `args` is the task and the step."""

    def __str__(self) -> str:
        return f"task {self.args[0]} failed at its {self.args[1]}"


class _Stopped(Exception):
    """The task was cancelled, or its worker is gone."""


class Channel:
    """A stream at its reader: a bounded buffer, and the batch that waits for room."""

    def __init__(self, name: str, job: "Job", capacity: int) -> None:
        self.name = name
        self.closed = False
        self.input: Input | None = None  # once the task reads it
        self.place = 0  # among the channels of its input
        self._job = job
        self._capacity = capacity
        self._buffer: deque[Record] = deque()
        self._waiting: deque[tuple[Record, _Sending]] = deque()

    def arrive(self, record: Record, sending: "_Sending") -> None:
        """A batch is here: acknowledged once there is room, or never will be."""
        if len(self._buffer) < self._capacity:
            self._accept(record)
            sending.ack(True)
        else:
            self._waiting.append((record, sending))
            sending.wait()

    def take(self) -> Record | None:
        """The oldest batch; what waited moves up."""
        if not self._buffer:
            return None
        record = self._buffer.popleft()
        if self._waiting:
            waiting, sending = self._waiting.popleft()
            self._accept(waiting)
            sending.ack(True)
        if self.input is not None and not self._buffer:
            self.input.emptied(self)
        return record

    @property
    def holds(self) -> bool:
        """Whether there is a batch to take."""
        return bool(self._buffer)

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        return self.closed and not self._buffer and not self._waiting

    def drop(self) -> None:
        """The reader is gone: what waits is refused."""
        self.closed = True
        waiting, self._waiting = self._waiting, deque()
        for _, sending in waiting:
            sending.ack(False)

    def _accept(self, record: Record) -> None:
        self._buffer.append(record)
        if self.input is not None:
            self.input.filled(self)
        self._job.worker.world.peak("peak buffer", len(self._buffer))
        self._job.wake()


class Input:
    """The channels of one source node, and those of them that hold a batch, in order.

    Kept up to date by the channels: to look through all of them for each batch took a task
    with 10,000 streams minutes.
    """

    def __init__(self, channels: list[Channel]) -> None:
        self._channels = channels
        self._open = channels.copy()  # trimmed from its end as channels end
        for place, channel in enumerate(channels):
            channel.input, channel.place = self, place
        self._ready = [channel.place for channel in channels if channel.holds]

    def __str__(self) -> str:
        names = ", ".join(channel.name for channel in self._channels if not channel.ended)
        return f"input from {names}"

    @property
    def ready(self) -> int:
        """How many channels hold a batch."""
        return len(self._ready)

    def channel(self, number: int) -> Channel:
        """One of those that hold a batch."""
        return self._channels[self._ready[number]]

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        # What has ended stays so.
        while self._open and self._open[-1].ended:
            self._open.pop()
        return not self._open

    def filled(self, channel: Channel) -> None:
        """A channel holds a batch."""
        at = bisect_left(self._ready, channel.place)
        if at == len(self._ready) or self._ready[at] != channel.place:
            self._ready.insert(at, channel.place)

    def emptied(self, channel: Channel) -> None:
        """A channel holds no batch any more."""
        del self._ready[bisect_left(self._ready, channel.place)]


@dataclass(slots=True, eq=False)
class _Sending:
    """One batch on its way, as its sender sees it."""

    job: "Job"
    number: int
    back: Link
    taken: bool | None = None
    full: bool = False

    def ack(self, taken: bool) -> None:
        """The reader took it, or never will."""
        self.back.send(f"ack {self.number}", self._settled, taken)

    def wait(self) -> None:
        """The reader has no room yet."""
        self.back.send(f"full {self.number}", self._held)

    def _settled(self, taken: bool) -> None:
        self.taken = taken
        self.job.wake()

    def _held(self) -> None:
        self.full = True
        self.job.wake()


@dataclass(slots=True, eq=False)
class _Offer:
    """A batch of results at who listens to them.

    An object and no closures: these would refer to each other, and all of them to the batch, so
    that only the garbage collector could free them, which took a fifth of the time of long runs.
    """

    worker: "Worker"
    name: str
    record: Record
    sending: _Sending
    settled: bool = False

    def attempt(self, *, first: bool = False) -> None:
        """Hand it over if there is room, else at the next change."""
        if self.settled:
            return
        writer = self.worker.scheduler.writer_of(self.name)  # the stream may have closed meanwhile
        if writer is None:
            self._settle(False)
            return
        writer.watch(self._again)
        try:
            taken = writer.offer(self.record.batch)
        except WriteClosed:
            self._settle(False)
            return
        if taken:
            self._settle(True)
        elif first:
            self.sending.wait()

    def _settle(self, taken: bool) -> None:
        if not self.settled:
            self.settled = True
            self.sending.ack(taken)

    def _again(self) -> None:
        if not self.settled:
            self.worker.world.clock.after(0, f"offer {self.name}", self.attempt)


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
        self.channels = {
            source.name: Channel(source.name, self, worker.world.cluster.buffer)
            for source in execution.record.sources
        }
        for name in execution.closed_sources:
            self.channels[name].closed = True
        self._links: dict[str, tuple[Link, Link]] = {}
        self._event: Event | None = None
        self._step = 0
        self._sent: dict[str, int] = {}

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
            raise _Stopped

    # The task.

    def run(self) -> _Waits:
        """The whole life of the task."""
        world = self.worker.world
        world.record("run", self.name, worker=self.worker.name)
        try:
            yield from self._live()
        except _Stopped:
            if not world.sound and self.worker.alive:
                # The reference reports this, and its scheduler refuses it.
                self._report(TaskStatus(TaskState.FAILED, RuntimeError("context canceled")))
        except TaskError as error:
            silent = self.doomed is not None and self.doomed.silent
            self._report(TaskStatus(TaskState.FAILED, None if silent else error))
        finally:
            self.waits_for = "nothing"
            for channel in self.channels.values():
                channel.drop()
            self.worker.job_over(self)

    def _live(self) -> _Waits:
        world = self.worker.world
        workload = self.worker.workload_of(self.execution)
        yield from self._take_sources()
        self._report(TaskStatus(TaskState.RUNNING))
        self._maybe_fail("start", 0)
        fragment = Fragment(self.task, hides=not world.sound)
        for scan in scans_of(self.task, self.execution.record.name, workload):
            yield from self._scan(fragment, scan, workload.batch_rows)
        for group in self._inputs():
            while not fragment.done:
                record = self._take(group)
                if record is not None:
                    yield from self._process(fragment, record)
                elif group.ended:
                    break
                else:
                    yield from self._wait(group)
        rest = fragment.finish()
        if rest is not None:
            yield from self._send_all(rest)
        self._maybe_fail("end", -1)
        for sink in self.execution.record.sinks:
            self._report_stream(sink.name, StreamState.CLOSED)
        statistics = Statistics({ROWS: self.rows})
        self._report(TaskStatus(TaskState.COMPLETED, statistics=statistics))
        while not self.acked:
            yield from self._wait("the acknowledgement of its end")
        world.counts["completed"] += 1

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
            Input([self.channels[names[stream]] for stream in streams])
            for streams in self.task.sources.values()
        ]
        # All shards of a branch read in one order, so the key is what they have in common.
        senders = [s.sender.name for s in record.sources if s.sender is not None]
        ordered = []
        while groups:
            key = f"{record.entry.name}/{'+'.join(senders)}"
            ordered.append(groups.pop(self.worker.world.choices.index("node", key, len(groups))))
        return ordered

    def _take(self, group: Input) -> Record | None:
        if not group.ready:
            return None
        key = f"{self.name}/{self._step}"
        choices = self.worker.world.choices
        channel = group.channel(choices.index("take", key, group.ready))
        record = channel.take()
        self.worker.world.record(
            "receive", channel.name, task=self.name, rows=record.rows if record else 0
        )
        return record

    def _scan(self, fragment: Fragment, scan: Scan, batch_rows: int) -> _Waits:
        for record in scan.records(batch_rows):
            if fragment.done:
                return
            yield from self._process(fragment, record)

    def _process(self, fragment: Fragment, record: Record) -> _Waits:
        world = self.worker.world
        ticks = world.choices.ticks("work", f"{self.name}/{self._step}", world.work)
        yield from self._pause("work", ticks * self.worker.factor)
        self._step += 1
        self.rows += record.rows
        self._maybe_fail(f"batch {self._step}", self._step)
        before = fragment.bound() if fragment.reports else None
        out = fragment.push(record)
        if fragment.reports:
            after = fragment.bound()
            if after is not None and after != before:
                self._report_range(after, less_than=bool(fragment.top and fragment.top.ascending))
        if out is not None:
            yield from self._send_all(out)

    def _report_range(self, bound: int, *, less_than: bool) -> None:
        # Rows of the very instant may still win by their other columns.
        edge = Timestamp(bound + 1 if less_than else bound - 1)
        self._report(
            TaskStatus(
                TaskState.RUNNING, contributing_time_range=ContributingTimeRange(edge, less_than)
            )
        )

    def _maybe_fail(self, where: str, place: int) -> None:
        self._check()
        record = self.execution.record
        fault = self.doomed or self.worker.world.faults.met(
            "task_failure",
            f"{self.name}/{where}",
            worker=self.worker.index,
            task=record.index,
            workload=self.worker.workload_index(record),
            place=place,
        )
        if fault is not None:
            self.doomed = fault
            raise TaskError(self.name, where)

    # Sending.

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
        sending = _Sending(self, number, back)
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

    def _arrive(self, name: str, record: Record, sending: _Sending) -> None:
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


class Worker:
    """Slots, and a connection to the scheduler."""

    def __init__(
        self,
        world: World,
        scheduler: Scheduler,
        index: int,
        workloads: dict[str, tuple[int, Workload]],
    ) -> None:
        self.world: Final = world
        self.scheduler: Final = scheduler
        self.index: Final = index
        self.name: Final = f"w{index}"
        self.alive = True
        self.leaving = False
        self.factor = 1
        self.link_factor = 1
        self.connection: Connection | None = None
        self._workloads = workloads
        self._idle = world.cluster.slots
        self._connections = 0
        self._jobs: dict[str, Job] = {}

    @property
    def jobs(self) -> list[Job]:
        """What it runs, oldest first."""
        return list(self._jobs.values())

    def connect(self) -> None:
        """Say hello, and ask for a task with each free slot."""
        self._connections += 1
        name = self.name if self._connections == 1 else f"{self.name}.{self._connections}"
        connection = self.connection = self.scheduler.connect(self, name)
        connection.to_worker.factor = connection.to_scheduler.factor = self.link_factor
        self.say(connection, "hello", self.scheduler.on_hello, connection)
        for slot in range(self._idle):
            self.say(connection, f"ready {slot}", self.scheduler.on_ready, connection)

    def say(
        self,
        connection: Connection,
        label: str,
        deliver: Callable[..., None],
        *args: Any,
        extra: int = 0,
    ) -> None:
        """Send to the scheduler; trouble of connections strikes here."""
        if not self.alive or not connection.alive:
            return
        met = self.world.faults.met
        subject = f"{connection.name}/{label}"
        if met("connection_cut", subject, worker=self.index):
            self.cut()
            return
        fault = met("half_open", subject, worker=self.index)
        if fault is not None:
            self._half_open(connection, fault)
        fault = met("slow_link", subject, worker=self.index)
        if fault is not None:
            self._slow_link(fault)
        connection.to_scheduler.send(label, deliver, *args, extra=extra)

    # What the scheduler says.

    def on_assign(self, connection: Connection, execution: Execution) -> None:
        """A task to run: take it, or say that there is no slot."""
        if not self.alive or connection is not self.connection:
            return  # one that came back does not answer for its former connection
        met = partial(
            self.world.faults.met,
            worker=self.index,
            task=execution.record.index,
            workload=self.workload_index(execution.record),
        )
        refused = met("refused_assignment", execution.name)
        if refused or self.leaving or self._idle <= 0:
            refuse = self.scheduler.on_refuse
            self.say(connection, f"refuse {execution.name}", refuse, connection, execution)
            if self._idle > 0 and not self.leaving:
                self.say(
                    connection, f"ready after {execution.name}", self.scheduler.on_ready, connection
                )
            return
        self._idle -= 1
        job = self._jobs[execution.name] = Job(self, connection, execution)
        lost = met("lost_ack", execution.name)
        late = met("late_ack", execution.name)
        if not lost:
            accept = self.scheduler.on_accept
            extra = late.ticks if late else 0
            if extra:
                self.world.clock.after(
                    extra,
                    f"late ack {execution.name}",
                    lambda: self.say(
                        connection, f"accept {execution.name}", accept, connection, execution
                    ),
                )
            else:
                self.say(connection, f"accept {execution.name}", accept, connection, execution)
        self._trouble(job)
        if self.alive:
            self.world.clock.spawn(f"task {execution.name}", job.run())

    def on_bind(self, task: str, attempt: int, stream: str, reader: "Worker | None") -> None:
        """A sink of a task here has a reader now."""
        for job in self._jobs.values():
            if job.execution.record.name == task and job.execution.attempt == attempt:
                job.bind(stream, reader)

    def on_closed(self, stream: str) -> None:
        """A source of a task here has ended."""
        channel = self.channel(stream)
        if channel is not None:
            channel.closed = True
            for job in self._jobs.values():
                if stream in job.channels:
                    job.wake()

    def on_cancel(self, execution: Execution) -> None:
        """A task here is not wanted any more."""
        job = self._jobs.get(execution.name)
        if job is not None:
            job.stop()

    # Its own life.

    def job_over(self, job: Job) -> None:
        """A slot is free again."""
        if self._jobs.get(job.name) is not job:
            return  # it died with the worker, which may be back with new slots
        del self._jobs[job.name]
        self.world.record("over", job.name, worker=self.name)
        self._idle += 1
        connection = self.connection
        if self.leaving:
            if not self._jobs and connection is not None:
                self.say(connection, "goodbye", lambda: self.scheduler.lose(connection, clean=True))
        elif connection is not None:
            self.say(connection, f"ready after {job.name}", self.scheduler.on_ready, connection)

    def crash(self, back_after: int) -> None:
        """Die with everything on it; come back after that many ticks, if not 0.

        The last worker always comes back: a run without any could only hang.
        """
        if not self.alive:
            return
        if not back_after and not self.scheduler.others(self):
            back_after = _LAST_COMES_BACK
        self.alive = False
        jobs, self._jobs = self.jobs, {}
        for job in jobs:
            self.world.record("over", job.name, worker=self.name)
            job.die()
        connection, self.connection = self.connection, None
        if connection is not None:
            # The scheduler notices once the connection breaks.
            self.world.clock.after(
                1, f"{connection.name} breaks", lambda: self.scheduler.lose(connection)
            )
        if back_after:
            self.world.clock.after(back_after, f"{self.name} restarts", self._restart)

    def _restart(self) -> None:
        self.alive, self.leaving = True, False
        self._idle = self.world.cluster.slots
        self.connect()

    def leave(self) -> None:
        """Take no more tasks, end those that run, and go; the last worker stays."""
        if self.leaving or not self.alive or not self.scheduler.others(self):
            return
        self.leaving = True
        connection = self.connection
        if not self._jobs and connection is not None:
            self.say(connection, "goodbye", lambda: self.scheduler.lose(connection, clean=True))

    def cut(self) -> None:
        """Lose the connection, and with it the tasks; connect anew."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        self.scheduler.lose(connection)
        for job in self.jobs:
            if job.connection is connection:
                job.stop()
        self.world.clock.after(1_000, f"{self.name} reconnects", self._reconnect)

    def _reconnect(self) -> None:
        if self.alive and self.connection is None and not self.leaving:
            self.connect()

    def _half_open(self, connection: Connection, fault: Fault) -> None:
        # Nothing gets lost in silence for ever: who misses a message breaks the connection.
        connection.to_scheduler.mute = True
        wait = self.world.cluster.detect
        self.world.clock.after(
            wait, f"{connection.name} is missed", lambda: self._missed(connection)
        )
        if fault.ticks and fault.ticks < wait:
            self.world.clock.after(
                fault.ticks, f"{connection.name} speaks", lambda: self._speaks(connection)
            )

    def _speaks(self, connection: Connection) -> None:
        connection.to_scheduler.mute = False

    def _missed(self, connection: Connection) -> None:
        if connection.alive and connection.to_scheduler.lost and self.connection is connection:
            self.cut()

    def _slow_link(self, fault: Fault) -> None:
        self.link_factor = fault.factor
        if self.connection is not None:
            self.connection.to_worker.factor = fault.factor
            self.connection.to_scheduler.factor = fault.factor

    def _trouble(self, job: Job) -> None:
        """The faults that count the tasks that a worker runs."""
        record = job.execution.record
        met = partial(
            self.world.faults.met,
            subject=job.name,
            worker=self.index,
            task=record.index,
            workload=self.workload_index(record),
        )
        fault = met("slow_worker")
        if fault is not None:
            self.factor = fault.factor
        fault = met("worker_leave")
        if fault is not None:
            self.leave()
        # These two strike some way into the task, not with its very assignment.
        fault = met("worker_crash")
        if fault is not None:
            delay = self.world.choices.ticks("crash", job.name, self.world.work)
            back = fault.ticks
            self.world.clock.after(delay, f"{self.name} crashes", lambda: self.crash(back))
        fault = met("cancel_task")
        if fault is not None:
            delay = self.world.choices.ticks("cancel", job.name, self.world.work)
            self.world.clock.after(
                delay,
                f"{job.name} is cancelled",
                lambda: self.world.recorder.cancel([record.task]) if record.entry.alive else None,
            )

    def channel(self, stream: str) -> Channel | None:
        """A source of a task here."""
        for job in self._jobs.values():
            if stream in job.channels and not job.stopped:
                return job.channels[stream]
        return None

    def offer(self, name: str, record: Record, sending: "_Sending") -> None:
        """Results have come to the scheduler: hand them to who listens."""
        _Offer(self, name, record, sending).attempt(first=True)

    def workload_of(self, execution: Execution) -> Workload:
        """What the task belongs to."""
        return self._workloads[execution.record.entry.name][1]

    def workload_index(self, record: TaskRecord) -> int:
        """The place in the scenario of what the task belongs to."""
        return self._workloads[record.entry.name][0]
