"""A simulated worker: slots that run one task at a time each, and a connection to the scheduler.

Trouble strikes here: a worker dies, leaves, slows down, loses its connection, or answers late.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sim.channel import Channel, Offer, Sending
from sim.job import Job
from sim.rows import Record
from sim.scenario import Fault
from sim.scheduler import Connection, Execution, Scheduler
from sim.world import RECONNECT, World

__all__ = ["Worker"]

_LAST_COMES_BACK: Final = 50_000  # ticks


class Worker:
    """Slots, and a connection to the scheduler."""

    def __init__(self, world: World, scheduler: Scheduler, index: int) -> None:
        self.world: Final = world
        self.scheduler: Final = scheduler
        self.index: Final = index
        self.name: Final = f"w{index}"
        self.alive = True
        self.leaving = False
        self.factor = 1
        self.link_factor = 1
        self.connection: Connection | None = None
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
        self.world.record("connect", self.name, connection=name)
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
            workload=self.world.workload(execution.record.entry.name)[0],
        )
        refused = met("refused_assignment", execution.name)
        if refused or self.leaving or self._idle <= 0:
            refuse = partial(self.scheduler.on_refuse, leaving=self.leaving)
            self.say(connection, f"refuse {execution.name}", refuse, connection, execution)
            if self._idle > 0 and not self.leaving:
                self.say(
                    connection, f"ready after {execution.name}", self.scheduler.on_ready, connection
                )
            return
        self._idle -= 1
        job = self._jobs[execution.name] = self.world.parts.job(self, connection, execution)
        self.world.record("run", job.name, worker=self.name, idle=self._idle)
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
            channel.close()

    def on_cancel(self, execution: Execution) -> None:
        """A task here is not wanted any more."""
        job = self._jobs.get(execution.name)
        if job is not None:
            self.world.record("stopped", job.name, worker=self.name)
            job.stop()

    def on_revoke(self, connection: Connection, execution: Execution) -> None:
        """A task is taken back: stop it if it is here, and say so."""
        self.on_cancel(execution)
        answer = self.scheduler.on_revoked
        self.say(connection, f"revoked {execution.name}", answer, connection, execution)

    # Its own life.

    def job_over(self, job: Job) -> None:
        """A slot is free again."""
        if self._jobs.get(job.name) is not job:
            return  # it died with the worker, which may be back with new slots
        del self._jobs[job.name]
        self._idle += 1
        self._record_over(job, crashed=False)
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
        self.world.record("crash", self.name)
        jobs, self._jobs = self.jobs, {}
        for job in jobs:
            self._record_over(job, crashed=True)
            job.die()
        connection, self.connection = self.connection, None
        if connection is not None:
            # The scheduler notices once the connection breaks.
            self.world.clock.after(
                1, f"{connection.name} breaks", lambda: self.scheduler.lose(connection)
            )
        if back_after:
            self.world.clock.after(back_after, f"{self.name} restarts", self._restart)

    def _record_over(self, job: Job, *, crashed: bool) -> None:
        self.world.record(
            "over", job.name, worker=self.name, idle=self._idle, worked=job.worked, crashed=crashed
        )

    def _restart(self) -> None:
        self.alive, self.leaving = True, False
        self.world.record("restart", self.name)
        self._idle = self.world.cluster.slots
        self.connect()

    @property
    def can_leave(self) -> bool:
        """Whether it is there, and not the last one."""
        return self.alive and not self.leaving and self.scheduler.others(self)

    def leave(self) -> None:
        """Take no more tasks, end those that run, and go; the last worker stays."""
        if not self.can_leave:
            return
        self.leaving = True
        self.world.record("leaving", self.name)
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
        self.world.clock.after(RECONNECT, f"{self.name} reconnects", self._reconnect)

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
            workload=self.world.workload(record.entry.name)[0],
        )
        fault = met("slow_worker")
        if fault is not None:
            self.factor = fault.factor
        # The last worker stays, whatever the scenario says: without any, a run could only hang.
        fault = met("worker_leave") if self.can_leave else None
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

    def tables(self) -> dict[str, int]:
        """How much is kept: nothing, once no task runs here."""
        jobs = self._jobs.values()
        return {
            "jobs": len(jobs),
            "channels": sum(len(job.channels) for job in jobs),
            "links": sum(job.links for job in jobs),
        }

    def offer(self, name: str, record: Record, sending: Sending) -> None:
        """Results have come to the scheduler: hand them to who listens."""
        Offer(self, name, record, sending).attempt(first=True)
