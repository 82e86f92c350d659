"""Faulty schedulers, each a small slip that a real one could have made."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from properties.mutants.drivers import RegistersTwice, StartsAgain
from properties.mutants.mutant import Mutant
from sim.parts import Parts
from sim.scheduler import (
    Connection,
    Execution,
    Scheduler,
    StreamRecord,
    TaskRecord,
    _Changes,
    execution_name,
)
from workflow import (
    Manifest,
    ManifestRefused,
    RecordWriter,
    RunnerError,
    Stream,
    StreamState,
    TaskState,
    TaskStatus,
)
from workflow.runner import manifest_violations

__all__ = ["MUTANTS"]


class RequeuesAtOnce(Scheduler):
    """A late acknowledgement is taken for none: another worker gets the task as well."""

    def _ack_timeout(self, connection: Connection, execution: Execution) -> None:
        if self._pending(connection, execution) and connection.alive:
            self._world.record("ack_timeout", execution.name, worker=connection.name)
            self._take_back(connection, execution)


class FormerAttemptsCount(RequeuesAtOnce):
    """Whoever reports on a task is believed, whatever attempt it was."""

    _said: tuple[Connection, Execution]

    def on_status(self, connection: Connection, execution: Execution, status: TaskStatus) -> bool:
        self._said = connection, execution
        record = execution.record
        if record.owner is None:
            return super().on_status(connection, execution, status)
        current = replace(execution, attempt=record.attempt)
        return super().on_status(record.owner, current, status)

    def _reported(
        self, connection: Connection, execution: Execution, status: TaskStatus, *, changed: bool
    ) -> None:
        del connection, execution  # the trace tells who really said it
        super()._reported(*self._said, status, changed=changed)


class OwnerForgotten(Scheduler):
    """Who accepted a task is not written down."""

    def _own(self, record: TaskRecord, connection: Connection | None) -> None:
        if connection is None:  # only what is given up
            super()._own(record, connection)


class RefusedIsDropped(Scheduler):
    """A task that comes back is not put into the queue again."""

    def _requeue(self, record: TaskRecord) -> None:
        pass


class RefusedGoesLast(Scheduler):
    """A task that comes back has to queue anew."""

    def _requeue(self, record: TaskRecord) -> None:
        if record.state.terminal or not record.entry.alive:
            return
        place = self._queue.push(record.entry.scope, record)
        self._world.record("queue", record.name, place=place, again=True)
        self._queue.charge(record.entry.scope, -1)
        self._assign_soon()


class EndToldTwice(Scheduler):
    """The handler hears of the end of a task twice."""

    def _deliver(self, changes: _Changes, *, at_once: bool = False) -> None:
        changes.tasks += [each for each in changes.tasks if each[1].state.terminal]
        super()._deliver(changes, at_once=at_once)


class RefusedIsCreated(Scheduler):
    """A task that comes back is as if it had never been started."""

    def _requeue(self, record: TaskRecord) -> None:
        if not record.state.terminal and record.entry.alive:
            record.state = TaskState.CREATED
            self._world.record("move", record.name, state="Created")
        super()._requeue(record)


class ClosedAgain(Scheduler):
    """A stream is closed by its sender's word, and again with its sender."""

    def _close(self, stream: StreamRecord, changes: _Changes) -> None:
        self._set(stream, StreamState.CLOSED, changes)


class RegistersAgain(Scheduler):
    """To register a manifest that is registered is no error."""

    def _refuse(self, violations: tuple[str, ...]) -> None:
        raise _Known(violations)

    def register_manifest(self, manifest: Manifest) -> None:
        with suppress(_Known):
            super().register_manifest(manifest)


class _Known(Exception):
    pass


class FailureKeepsSinksOpen(Scheduler):
    """The streams of a task that failed stay open."""

    _failed = False

    def on_status(self, connection: Connection, execution: Execution, status: TaskStatus) -> bool:
        self._failed = status.state is TaskState.FAILED
        try:
            return super().on_status(connection, execution, status)
        finally:
            self._failed = False

    def _close(self, stream: StreamRecord, changes: _Changes) -> None:
        if not self._failed:
            super()._close(stream, changes)

    def cancel(self, tasks: Any) -> None:
        self._failed = False
        super().cancel(tasks)

    def unregister_manifest(self, manifest: Manifest) -> None:
        entry = self._entries.get(manifest)
        for stream in entry.streams if entry else ():
            if stream.sender is not None and stream.sender.state is TaskState.FAILED:
                stream.state = StreamState.CLOSED  # nobody is told
        super().unregister_manifest(manifest)


class CloseToldTwice(Scheduler):
    """A worker is told twice that a source has ended."""

    def _tell_closed(self, stream: StreamRecord, connection: Connection) -> None:
        super()._tell_closed(stream, connection)
        super()._tell_closed(stream, connection)


class CloseLostAfterHandOff(Scheduler):
    """What ends between the hand-off and its acknowledgement is told to nobody."""

    _accepting = False

    def _accept(self, connection: Connection, execution: Execution) -> None:
        self._accepting = True
        super()._accept(connection, execution)
        self._accepting = False

    def _tell_closed(self, stream: StreamRecord, connection: Connection) -> None:
        if not self._accepting:
            super()._tell_closed(stream, connection)


class BindsTooEarly(Scheduler):
    """A sender is told where its reader is before a worker has accepted that."""

    def _bind(self, stream: StreamRecord) -> None:
        super()._bind(stream)
        sender, receiver = stream.sender, stream.receiver
        if sender is None or sender.owner is None or receiver is None or receiver.owner:
            return
        handed = [each for each in self._connections if receiver in each.handed]
        if not handed or stream.bound is not None:
            return
        stream.bound = (sender.attempt, receiver.attempt)
        worker = handed[0].worker
        task = execution_name(sender.name, sender.attempt)
        reader = execution_name(receiver.name, receiver.attempt)
        self._world.record("bind", stream.name, task=task, reader=reader, to=worker.name)
        sender.owner.to_worker.send(
            f"bind {stream.name}",
            sender.owner.worker.on_bind,
            sender.name,
            sender.attempt,
            stream.name,
            worker,
        )


class BindsTwice(Scheduler):
    """A sender is told where its reader is at every occasion."""

    def _bind(self, stream: StreamRecord) -> None:
        super()._bind(stream)
        stream.bound = None
        super()._bind(stream)


class CancelNotTold(Scheduler):
    """The worker of a cancelled task is not told."""

    def _tell_cancel(self, connection: Connection, execution: Execution) -> None:
        pass


class CancelToldTwice(Scheduler):
    """The worker of a cancelled task is told twice."""

    def _tell_cancel(self, connection: Connection, execution: Execution) -> None:
        super()._tell_cancel(connection, execution)
        super()._tell_cancel(connection, execution)


class CancelledStarts(Scheduler):
    """A task that was cancelled in the queue is handed to a worker all the same."""

    def _assign(self) -> None:
        self._assigning = False
        while True:
            ready = [each for each in self._connections if each.ready > 0]
            popped = self._queue.pop() if ready else None
            if popped is None:
                return
            record, ticket = popped
            self._queue.charge(record.entry.scope, 1)
            record.ticket = ticket
            place = self._world.choices.pick("place", f"{record.name}.{record.attempt}", ready)
            self._hand(record, place)


class HandlersInsideASection(Scheduler):
    """The scheduler holds its lock while it calls the handlers."""

    def _deliver(self, changes: _Changes, *, at_once: bool = False) -> None:
        self._world.record("enter", "scheduler")
        super()._deliver(changes, at_once=at_once)
        self._world.record("exit", "scheduler")


class WaitsInsideASection(Scheduler):
    """The scheduler holds its lock until a worker has answered an assignment."""

    def _hand(self, record: TaskRecord, connection: Connection) -> None:
        self._world.record("enter", "scheduler")
        super()._hand(record, connection)

    def _accept(self, connection: Connection, execution: Execution) -> None:
        super()._accept(connection, execution)
        self._world.record("exit", "scheduler")


class CancelledIsFailed(Scheduler):
    """A task that was cancelled while it ran counts as failed."""

    def _move(self, record: TaskRecord, status: TaskStatus, changes: _Changes) -> bool:
        if status.state is TaskState.CANCELLED and record.owner is not None:
            status = TaskStatus(TaskState.FAILED, RuntimeError("context canceled"))
        return super()._move(record, status, changes)


class AssignsAtStartOnly(Scheduler):
    """A slot that asks gets a task only once another one is started."""

    def on_ready(self, connection: Connection) -> None:
        if connection.alive:
            self._world.record("ready", connection.name)
            connection.ready += 1


class AsksTheLeaving(Scheduler):
    """A worker that refused because it leaves is asked again."""

    def on_refuse(self, connection: Connection, execution: Execution, *, leaving: bool) -> None:
        self._world.record("refuse", execution.name, worker=connection.name, leaving=leaving)
        connection.ready += leaving
        self._take_back(connection, execution)


class StreamsKept(Scheduler):
    """The streams of a manifest are never forgotten."""

    def unregister_manifest(self, manifest: Manifest) -> None:
        kept = {s: record for s, record in self._streams.items() if s in manifest.streams}
        super().unregister_manifest(manifest)
        self._streams.update(kept)


class SilentUnregister(Scheduler):
    """Unregistering tells no handler of the ends."""

    def _deliver(self, changes: _Changes, *, at_once: bool = False) -> None:
        if not at_once:
            super()._deliver(changes)


class RegistersHalf(Scheduler):
    """A refused manifest leaves its queue behind."""

    def register_manifest(self, manifest: Manifest) -> None:
        if any(True for _ in manifest_violations(manifest, self._ids)):
            self._world.record("tables", "scheduler", when="before", **self.tables())
            self._streams[Stream(manifest.id, manifest.tenant)] = self._streams[manifest.streams[0]]
            self._world.record("tables", "scheduler", when="after", **self.tables())
            raise ManifestRefused(("got ids that are registered",))
        super().register_manifest(manifest)


class ToldAfterUnregister(Scheduler):
    """What was cancelled by unregistering is told once more, when its worker has stopped."""

    def unregister_manifest(self, manifest: Manifest) -> None:
        super().unregister_manifest(manifest)
        status = TaskStatus(TaskState.CANCELLED)
        tell = partial(manifest.task_event_handler, manifest.tasks[0], status)
        self._world.clock.after(1, "a late word", tell)


class ForeignTasksCancelled(Scheduler):
    """Unregistering a manifest cancels what runs of another."""

    def unregister_manifest(self, manifest: Manifest) -> None:
        super().unregister_manifest(manifest)
        changes = _Changes()
        for record in list(self._tasks.values())[:2]:
            self._cancel(record, changes)
        self._deliver(changes)


class ForeignTasksCancelledInside(Scheduler):
    """Unregistering a manifest cancels what is queued of others, within the call."""

    def _cancel(self, record: TaskRecord, changes: _Changes) -> None:
        super()._cancel(record, changes)
        if record.entry.manifest not in self._entries and record.index == 0:
            for other in list(self._tasks.values()):
                if other.entry is not record.entry:
                    super()._cancel(other, changes)


class StartRefusesWhatIsOver(Scheduler):
    """To start a task that is over is an error."""

    def start(self, tasks: Any) -> None:
        for task in tasks:
            record = self._tasks.get(task)
            if record is not None and record.state.terminal:
                raise RunnerError(f"{record.name} is {record.state}")
        super().start(tasks)


class StartsAfresh(Scheduler):
    """To start a task that is over runs it again."""

    def start(self, tasks: Any) -> None:
        for task in tasks:
            record = self._tasks.get(task)
            if record is not None and record.state.terminal:
                self._hand_soon(record)
        super().start(tasks)

    def _hand_soon(self, record: TaskRecord) -> None:
        ready = [each for each in self._connections if each.ready > 0]
        if ready:
            self._hand(record, ready[0])


class ErrorsFlattened(Scheduler):
    """Errors travel as texts."""

    def _move(self, record: TaskRecord, status: TaskStatus, changes: _Changes) -> bool:
        if status.error is not None:
            status = replace(status, error=RuntimeError(str(status.error)))
        return super()._move(record, status, changes)


class LostTasksStay(Scheduler):
    """What a lost worker ran goes on running, in the books."""

    def lose(self, connection: Connection, *, clean: bool = False) -> None:
        connection.tasks.clear()
        super().lose(connection, clean=clean)


class LostIsRunAgain(Scheduler):
    """What a lost worker ran is run again, from its beginning."""

    def lose(self, connection: Connection, *, clean: bool = False) -> None:
        for record in [] if clean else list(connection.tasks):
            del connection.tasks[record]
            self._own(record, None)
            connection.handed[record] = None
        super().lose(connection, clean=clean)


class CancelWaits(Scheduler):
    """A cancelled task is over when its worker says so, which says nothing then."""

    def _cancel(self, record: TaskRecord, changes: _Changes) -> None:
        owner = record.owner
        if owner is None or not owner.alive or record.state.terminal:
            super()._cancel(record, changes)
        elif record.entry.manifest in self._entries:
            self._tell_cancel(owner, Execution(record, record.attempt, ()))


class HandedTasksStay(Scheduler):
    """What was on its way to a worker that is lost waits for its answer for ever."""

    def lose(self, connection: Connection, *, clean: bool = False) -> None:
        connection.handed.clear()
        super().lose(connection, clean=clean)


class HastyTimeout(Scheduler):
    """An assignment is taken back long before its answer can be there."""

    def _hand(self, record: TaskRecord, connection: Connection) -> None:
        super()._hand(record, connection)
        execution = Execution(record, record.attempt, ())
        self._world.clock.after(
            100, "hasty time-out", lambda: self._ack_timeout(connection, execution)
        )


class WritesAfterClose(Scheduler):
    """Results are handed over although their stream has closed."""

    def writer_of(self, name: str) -> Any:
        record = self._by_name.get(name)
        return None if record is None else record.writer


class ListenersWelcome(Scheduler):
    """Whoever wants to listen to a stream may, even where a task reads it."""

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        record = self._streams[stream]
        record.writer = writer
        self._bind(record)


class StartFails(Scheduler):
    """Not a fault of its own: every fourth start is refused."""

    _starts = 0

    def start(self, tasks: Any) -> None:
        self._starts += 1
        if self._starts == 4:
            raise RunnerError("no route to the workers")
        super().start(tasks)


class BindsElsewhere(Scheduler):
    """A stream is bound to a worker that does not run its reader."""

    def _bind(self, stream: StreamRecord) -> None:
        receiver = stream.receiver
        owner = receiver.owner if receiver else None
        if receiver is not None and owner is not None and len(self._connections) > 1:
            others = [each for each in self._connections if each is not owner]
            receiver.owner = others[0]
            super()._bind(stream)
            receiver.owner = owner
        else:
            super()._bind(stream)


MUTANTS: Final[dict[str, Mutant]] = {
    "former-attempts-count": Mutant(
        sentence="the report of a former attempt changes the task",
        rules=("T5",),
        parts=Parts(scheduler=FormerAttemptsCount),
        scenarios=("short-time-outs",),
        runs=40,
    ),
    "requeues-at-once": Mutant(
        sentence="a late acknowledgement is taken for none, and another worker gets the task",
        rules=("T6",),
        parts=Parts(scheduler=RequeuesAtOnce),
        scenarios=("short-time-outs",),
    ),
    "owner-forgotten": Mutant(
        sentence="who accepted a task is not written down",
        rules=("T7",),
        parts=Parts(scheduler=OwnerForgotten),
        scenarios=("log-search",),
    ),
    "refused-is-dropped": Mutant(
        sentence="a refused task is not queued again",
        rules=("T8",),
        parts=Parts(scheduler=RefusedIsDropped),
        scenarios=("sum-by-level",),
        runs=10,
        faults=2,
    ),
    "refused-goes-last": Mutant(
        sentence="a refused task goes to the end of its queue",
        rules=("T8",),
        parts=Parts(scheduler=RefusedGoesLast),
        scenarios=("sum-by-level",),
        runs=10,
        faults=2,
    ),
    "refused-is-created": Mutant(
        sentence="a refused task is as if it had never been started",
        rules=("T1",),
        parts=Parts(scheduler=RefusedIsCreated),
        scenarios=("sum-by-level",),
        faults=2,
    ),
    "closed-again": Mutant(
        sentence="a stream is closed by its sender's word, and again with its sender",
        rules=("S2",),
        parts=Parts(scheduler=ClosedAgain),
        scenarios=("log-search",),
    ),
    "end-told-twice": Mutant(
        sentence="the handler hears of the end of a task twice",
        rules=("T2",),
        parts=Parts(scheduler=EndToldTwice),
        scenarios=("log-search",),
    ),
    "failure-keeps-sinks-open": Mutant(
        sentence="the streams of a task that failed stay open",
        rules=("S4",),
        parts=Parts(scheduler=FailureKeepsSinksOpen),
        scenarios=("log-search", "error-rate"),
        faults=2,
    ),
    "close-told-twice": Mutant(
        sentence="a reader is told twice that a stream has ended",
        rules=("S5",),
        parts=Parts(scheduler=CloseToldTwice),
        scenarios=("log-search",),
    ),
    "close-lost-after-hand-off": Mutant(
        sentence="what ends between a hand-off and its acknowledgement is told to nobody",
        rules=("S5",),
        parts=Parts(scheduler=CloseLostAfterHandOff),
        scenarios=("empty-scans", "worker-lost"),
        faults=2,
    ),
    "binds-too-early": Mutant(
        sentence="a sender is told of its reader before a worker has accepted that",
        rules=("S6",),
        parts=Parts(scheduler=BindsTooEarly),
        scenarios=("log-search",),
    ),
    "binds-twice": Mutant(
        sentence="a sender is told of its reader at every occasion",
        rules=("S6",),
        parts=Parts(scheduler=BindsTwice),
        scenarios=("log-search",),
    ),
    "binds-elsewhere": Mutant(
        sentence="a sender is sent to a worker that does not run its reader",
        rules=("S6",),
        parts=Parts(scheduler=BindsElsewhere),
        scenarios=("log-search",),
    ),
    "cancel-not-told": Mutant(
        sentence="the worker of a cancelled task is not told",
        rules=("C4", "C5", "M1"),
        parts=Parts(scheduler=CancelNotTold),
        scenarios=("impatient-users", "short-circuit"),
    ),
    "cancel-told-twice": Mutant(
        sentence="the worker of a cancelled task is told twice",
        rules=("C3",),
        parts=Parts(scheduler=CancelToldTwice),
        scenarios=("impatient-users",),
    ),
    "cancelled-starts": Mutant(
        sentence="a task that was cancelled in the queue is run",
        rules=("C4",),
        parts=Parts(scheduler=CancelledStarts),
        scenarios=("few-slots",),
    ),
    "handlers-inside-a-section": Mutant(
        sentence="the scheduler holds its lock while it calls handlers",
        rules=("C6",),
        parts=Parts(scheduler=HandlersInsideASection),
        scenarios=("log-search",),
    ),
    "waits-inside-a-section": Mutant(
        sentence="the scheduler holds its lock until a worker has answered",
        rules=("M5",),
        parts=Parts(scheduler=WaitsInsideASection),
        scenarios=("log-search",),
    ),
    "cancelled-is-failed": Mutant(
        sentence="a task that was cancelled while it ran counts as failed",
        rules=("T9",),
        parts=Parts(scheduler=CancelledIsFailed),
        scenarios=("count-over-time", "impatient-users"),
    ),
    "assigns-at-start-only": Mutant(
        sentence="a slot that asks gets a task only once another one is started",
        rules=("L4",),
        parts=Parts(scheduler=AssignsAtStartOnly),
        scenarios=("sum-by-level", "average-latency"),
    ),
    "asks-the-leaving": Mutant(
        sentence="a worker that leaves is asked again for what it refused",
        rules=("M7",),
        parts=Parts(scheduler=AsksTheLeaving),
        scenarios=("leave",),
        faults=2,
    ),
    "streams-kept": Mutant(
        sentence="the streams of a manifest are never forgotten",
        rules=("M1",),
        parts=Parts(scheduler=StreamsKept),
        scenarios=("log-search",),
    ),
    "silent-unregister": Mutant(
        sentence="unregistering tells no handler of the ends",
        rules=("R5",),
        parts=Parts(scheduler=SilentUnregister),
        scenarios=("impatient-users",),
    ),
    "registers-half": Mutant(
        sentence="a refused manifest leaves something behind",
        rules=("R1",),
        parts=Parts(scheduler=RegistersHalf, workflow=RegistersTwice),
        scenarios=("log-search",),
    ),
    "registers-twice": Mutant(
        sentence="a manifest may be registered while it is registered",
        rules=("R2",),
        parts=Parts(scheduler=RegistersAgain, workflow=RegistersTwice),
        scenarios=("log-search",),
    ),
    "told-after-unregister": Mutant(
        sentence="a handler hears of its tasks after they were unregistered",
        rules=("R4",),
        parts=Parts(scheduler=ToldAfterUnregister),
        scenarios=("two-queries", "demo"),
    ),
    "foreign-tasks-cancelled": Mutant(
        sentence="to unregister a manifest cancels tasks of another",
        rules=("R5",),
        parts=Parts(scheduler=ForeignTasksCancelledInside),
        scenarios=("two-queries",),
    ),
    "foreign-tasks-cancelled-later": Mutant(
        sentence="once a manifest is gone tasks of another are cancelled",
        rules=("L5",),
        parts=Parts(scheduler=ForeignTasksCancelled),
        scenarios=("two-queries",),
    ),
    "start-refuses-what-is-over": Mutant(
        sentence="to start a task that is over is an error",
        rules=("R6",),
        parts=Parts(scheduler=StartRefusesWhatIsOver, workflow=StartsAgain),
        scenarios=("log-search",),
    ),
    "starts-afresh": Mutant(
        sentence="to start a task that is over runs it again",
        rules=("R6",),
        parts=Parts(scheduler=StartsAfresh, workflow=StartsAgain),
        scenarios=("log-search",),
    ),
    "errors-flattened": Mutant(
        sentence="errors travel as texts, without their kind",
        rules=("D8",),
        parts=Parts(scheduler=ErrorsFlattened),
        scenarios=("log-search", "worker-lost"),
        runs=20,
        faults=2,
    ),
    "lost-tasks-stay": Mutant(
        sentence="what a lost worker ran is never ended",
        rules=("T4", "T7"),
        parts=Parts(scheduler=LostTasksStay),
        scenarios=("worker-lost", "average-latency"),
        runs=15,
        faults=2,
    ),
    "lost-is-run-again": Mutant(
        sentence="what a lost worker ran is run again, from its beginning",
        rules=("S1",),
        parts=Parts(scheduler=LostIsRunAgain),
        scenarios=("worker-lost", "average-latency"),
        runs=100,
        faults=2,
    ),
    "cancel-waits": Mutant(
        sentence="a cancelled task is over when its worker says so, which says nothing then",
        rules=("C5",),
        parts=Parts(scheduler=CancelWaits),
        scenarios=("impatient-users",),
    ),
    "handed-tasks-stay": Mutant(
        sentence="what was on its way to a lost worker is not queued again",
        rules=("T8",),
        parts=Parts(scheduler=HandedTasksStay),
        scenarios=("worker-lost", "average-latency"),
        runs=30,
        faults=2,
    ),
    "hasty-time-out": Mutant(
        sentence="an assignment is taken back before its answer can be there",
        rules=("L3",),
        parts=Parts(scheduler=HastyTimeout),
        scenarios=("slow-reader",),
    ),
}
