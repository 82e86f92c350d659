"""The simulated scheduler: a Runner that hands tasks to workers over connections.

It owns the states of tasks and streams, a fair queue of what waits, and who runs what.  Workers
say hello, ask for a task whenever a slot is free, and report.  Semantics 6.1 to 6.4 and 7.

The *sound* profile closes the sinks of every task that is over, listens only to the current
attempt of a task, takes a report for the acknowledgement that got lost, takes an assignment back
only once its worker has answered, and reports a stream's end before its reader learns of it.
The *reference* profile follows the reference to the letter and does none of that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from ulid import ULID

from sim.fairqueue import FairQueue, Ticket
from sim.network import Link
from sim.world import World
from workflow import (
    AlreadyBound,
    Manifest,
    ManifestRefused,
    RecordWriter,
    Stream,
    StreamState,
    Task,
    TaskState,
    TaskStatus,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
)
from workflow.runner import LEGAL_STREAM_MOVES, LEGAL_TASK_MOVES, manifest_violations

__all__ = ["Connection", "ConnectionLost", "Execution", "Scheduler", "TaskRecord"]


class ConnectionLost(Exception):
    """The worker that ran a task is gone; `args` is the worker's name."""

    def __str__(self) -> str:
        return f"connection to worker {self.args[0]} lost"


class WorkerEnd(Protocol):
    """A worker, as the scheduler sees it: what it can be told."""

    @property
    def name(self) -> str:
        """Who it is."""

    @property
    def index(self) -> int:
        """Its number."""

    @property
    def alive(self) -> bool:
        """Whether it has not died."""

    @property
    def leaving(self) -> bool:
        """Whether it is about to go."""

    def on_assign(self, connection: "Connection", execution: "Execution") -> None:
        """Run a task, or say that there is no slot."""

    def on_bind(self, task: str, attempt: int, stream: str, reader: Any) -> None:
        """A sink has a reader: another worker's end, or None for the scheduler."""

    def on_closed(self, stream: str) -> None:
        """A source has ended."""

    def on_cancel(self, execution: "Execution") -> None:
        """A task is not wanted any more."""

    def on_revoke(self, connection: "Connection", execution: "Execution") -> None:
        """A task is taken back: stop it if it is here, and say so."""


@dataclass(slots=True, eq=False)
class Connection:
    """One control connection of a worker, as both ends see it."""

    name: str  # w0, w0.2 for the second
    worker: WorkerEnd
    to_worker: Link
    to_scheduler: Link
    ready: int = 0  # slots that wait for a task
    alive: bool = True
    tasks: dict["TaskRecord", None] = field(default_factory=dict)  # owned
    handed: dict["TaskRecord", None] = field(default_factory=dict)  # not yet acknowledged
    revoked: dict["TaskRecord", None] = field(default_factory=dict)  # of those, taken back


@dataclass(slots=True, eq=False)
class TaskRecord:
    """What the scheduler knows of a task."""

    task: Task
    name: str  # m0/t3
    index: int
    entry: "Entry"
    state: TaskState = TaskState.CREATED
    status: TaskStatus | None = None
    attempt: int = 0
    owner: Connection | None = None
    ticket: "Ticket[TaskRecord] | None" = None
    sources: list["StreamRecord"] = field(default_factory=list)
    sinks: list["StreamRecord"] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class StreamRecord:
    """What the scheduler knows of a stream."""

    stream: Stream
    name: str  # m0/s3
    entry: "Entry"
    state: StreamState = StreamState.IDLE
    sender: TaskRecord | None = None
    receiver: TaskRecord | None = None
    writer: RecordWriter | None = None
    ended: bool = False  # closed, and its reader may know
    bound: tuple[int, int] | None = None  # the attempts of sender and receiver last told


@dataclass(slots=True, eq=False)
class Entry:
    """A registered manifest."""

    manifest: Manifest
    name: str
    scope: tuple[str, ...]
    tasks: list[TaskRecord] = field(default_factory=list)
    streams: list[StreamRecord] = field(default_factory=list)
    alive: bool = True
    untold: dict[int, Callable[[], None]] = field(default_factory=dict)  # events under way


def execution_name(task: str, attempt: int) -> str:
    """What an attempt at a task is called."""
    return task if attempt == 1 else f"{task}.{attempt}"


@dataclass(frozen=True, slots=True)
class Execution:
    """An assignment: one attempt at a task, with the states of its sources at that time."""

    record: TaskRecord
    attempt: int
    closed_sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """The attempt's identity."""
        return execution_name(self.record.name, self.attempt)


class _Changes:
    """Events of one call: all of streams before all of tasks, each in the order recorded."""

    def __init__(self) -> None:
        self.streams: list[tuple[StreamRecord, StreamState]] = []
        self.tasks: list[tuple[TaskRecord, TaskStatus]] = []


class Scheduler:
    """Implements `workflow.Runner`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entries: dict[Manifest, Entry] = {}
        self._registered = 0
        self._tasks: dict[Task, TaskRecord] = {}
        self._streams: dict[Stream, StreamRecord] = {}
        self._by_name: dict[str, StreamRecord] = {}
        self._ids: dict[ULID, None] = {}  # of tasks and streams
        self._queue: FairQueue[TaskRecord] = FairQueue()
        self._connections: list[Connection] = []
        self._assigning = False
        self._told = 0

    # The Runner protocol.

    def register_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        violations = tuple(manifest_violations(manifest, self._ids))
        if violations:
            self._refuse(violations)
        self._ids.update((task.id, None) for task in manifest.tasks)
        self._ids.update((stream.id, None) for stream in manifest.streams)
        name = f"m{self._registered}"
        self._registered += 1
        scope = (manifest.tenant or "unknown-tenant", *manifest.actor, str(manifest.id))
        entry = self._entries[manifest] = Entry(manifest, name, scope)
        self._queue.register(scope)
        for index, stream in enumerate(manifest.streams):
            record = StreamRecord(stream, f"{name}/s{index}", entry)
            self._streams[stream] = self._by_name[record.name] = record
            entry.streams.append(record)
        for index, task in enumerate(manifest.tasks):
            known_task = TaskRecord(task, f"{name}/t{index}", index, entry)
            self._tasks[task] = known_task
            entry.tasks.append(known_task)
            for stream in task.source_streams():
                self._streams[stream].receiver = known_task
                known_task.sources.append(self._streams[stream])
            for stream in task.sink_streams():
                self._streams[stream].sender = known_task
                known_task.sinks.append(self._streams[stream])

    def _refuse(self, violations: tuple[str, ...]) -> None:
        self._world.record("tables", "scheduler", when="before", **self.tables())
        self._world.record("tables", "scheduler", when="after", **self.tables())
        raise ManifestRefused(violations)

    def unregister_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        entry = self._entries.pop(manifest, None)
        if entry is None:
            raise UnknownManifest((str(manifest.id),))
        # What is under way comes first: of each task its end is told before this returns.
        for number in list(entry.untold):
            self._tell(entry, number)
        changes = _Changes()
        self._queue.unregister(entry.scope)
        for record in entry.tasks:
            self._cancel(record, changes)
        for stream in entry.streams:
            if stream.state is not StreamState.CLOSED:
                self._set(stream, StreamState.CLOSED, changes)
        self._deliver(changes, at_once=True)
        entry.alive = False
        entry.untold.clear()
        for record in entry.tasks:
            del self._tasks[record.task], self._ids[record.task.id]
        for stream in entry.streams:
            del self._streams[stream.stream], self._by_name[stream.name]
            del self._ids[stream.stream.id]

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """See `workflow.Runner`."""
        record = self._streams.get(stream)
        if record is None:
            raise UnknownStream((str(stream.id),))
        if record.receiver is not None or record.writer is not None:
            raise AlreadyBound(str(stream.id))
        record.writer = writer
        self._bind(record)

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        unknown = tuple(str(task.id) for task in tasks if task not in self._tasks)
        if unknown:
            raise UnknownTask(unknown)
        changes = _Changes()
        for task in tasks:
            record = self._tasks[task]
            if record.state is TaskState.CREATED:
                self._enqueue(record)
                self._move(record, TaskStatus(TaskState.PENDING), changes)
        self._deliver(changes)  # another thread's event may overtake this one
        self._assign_soon()

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        changes = _Changes()
        unknown = []
        for task in tasks:
            record = self._tasks.get(task)
            if record is None:
                unknown.append(str(task.id))
                continue
            self._cancel(record, changes)
            for sink in record.sinks:  # whether or not the state changed
                self._close(sink, changes)
        self._deliver(changes)
        if unknown:
            raise UnknownTask(tuple(unknown))

    # What workers say.

    def connect(self, worker: WorkerEnd, name: str) -> Connection:
        """A worker's new control connection."""
        clock, table = self._world.clock, self._world.control
        connection = Connection(
            name, worker, Link(clock, f"{name}<", table), Link(clock, f"{name}>", table)
        )
        self._connections.append(connection)
        return connection

    def on_hello(self, connection: Connection) -> None:
        """The worker is there."""
        self._world.record("worker_up", connection.name)

    def on_ready(self, connection: Connection) -> None:
        """One of its slots waits for a task."""
        if connection.alive:
            self._world.record("ready", connection.name)
            connection.ready += 1
            self._assign_soon()

    def on_accept(self, connection: Connection, execution: Execution) -> None:
        """The worker took the task."""
        if execution.record not in connection.revoked:  # what was taken back stops there
            self._accept(connection, execution)

    def on_refuse(self, connection: Connection, execution: Execution, *, leaving: bool) -> None:
        """The worker was too busy: the task goes back to its place, the worker asks again.

        One that is leaving is asked no more: it would refuse for ever.
        """
        self._world.record("refuse", execution.name, worker=connection.name, leaving=leaving)
        if leaving:
            connection.ready = 0
        self._take_back(connection, execution)

    def on_revoked(self, connection: Connection, execution: Execution) -> None:
        """The worker does not run what was taken back from it."""
        self._world.record("revoked", execution.name, worker=connection.name)
        self._take_back(connection, execution)

    def on_status(self, connection: Connection, execution: Execution, status: TaskStatus) -> bool:
        """A worker's word about a task; False if it was refused."""
        record = execution.record
        if not record.entry.alive:
            return False
        if self._world.sound:
            self.on_accept(connection, execution)  # its acknowledgement is late or lost
            if record.owner is not connection or record.attempt != execution.attempt:
                self._reported(connection, execution, status, changed=False)
                return False
        changes = _Changes()
        # First the report, then what it changes, then who is told.
        changed = self._changes(record, status)
        self._reported(connection, execution, status, changed=changed)
        self._move(record, status, changes)
        if changed and status.state.terminal:
            connection.tasks.pop(record, None)
            if self._world.sound:
                for sink in record.sinks:
                    self._close(sink, changes)
        self._deliver(changes)
        return changed

    def _reported(
        self, connection: Connection, execution: Execution, status: TaskStatus, *, changed: bool
    ) -> None:
        details: dict[str, Any] = {"state": str(status.state), "changed": changed}
        if status.error is not None:
            details["error_type"] = type(status.error).__name__
        self._world.record("report", execution.name, worker=connection.name, **details)

    def on_stream(self, execution: Execution, name: str, state: StreamState) -> None:
        """A sender's word about a stream."""
        record = self._by_name.get(name)
        if record is None:
            return
        sender = execution.record
        if self._world.sound and (sender.owner is None or sender.attempt != execution.attempt):
            return
        changes = _Changes()
        if state is StreamState.CLOSED:
            self._close(record, changes)
        elif state in LEGAL_STREAM_MOVES[record.state]:
            self._set(record, state, changes)
        self._deliver(changes)

    def lose(self, connection: Connection, *, clean: bool = False) -> None:
        """The connection is gone, and with it what the worker ran."""
        if not connection.alive:
            return
        connection.alive = False
        connection.ready = 0
        connection.to_worker.cut()
        connection.to_scheduler.cut()
        self._connections.remove(connection)
        self._world.record("worker_gone" if clean else "worker_lost", connection.name)
        changes = _Changes()
        for record in list(connection.tasks):
            if self._world.sound:
                self._own(record, None)
            error = None if clean else ConnectionLost(connection.name)
            state = TaskState.CANCELLED if clean else TaskState.FAILED
            if self._move(record, TaskStatus(state, error), changes) and self._world.sound:
                for sink in record.sinks:
                    self._close(sink, changes)
        connection.tasks.clear()
        for record in list(connection.handed):
            self._requeue(record)
        connection.handed.clear()
        connection.revoked.clear()
        self._deliver(changes)
        self._assign_soon()

    def others(self, worker: WorkerEnd) -> bool:
        """Whether another worker is there to stay."""
        return any(
            each.worker is not worker and each.worker.alive and not each.worker.leaving
            for each in self._connections
        )

    def running(self) -> list[tuple[TaskRecord, Connection]]:
        """Tasks that a worker owns, in the order of their connections."""
        return [(record, each) for each in self._connections for record in each.tasks]

    def queued(self) -> list[str]:
        """Tasks that were started and have no slot yet."""
        handed = dict.fromkeys(record for each in self._connections for record in each.handed)
        return [
            record.name
            for record in self._tasks.values()
            if not record.state.terminal
            and record.state is not TaskState.CREATED
            and record.owner is None
            and record not in handed
        ]

    def name(self, task: Task) -> str:
        """What a registered task is called."""
        return self._tasks[task].name

    def tables(self) -> dict[str, int]:
        """How much is kept: nothing, once all manifests are unregistered."""
        return {
            "manifests": len(self._entries),
            "tasks": len(self._tasks),
            "streams": len(self._streams),
            "queued": len(self._queue),
        }

    def writer_of(self, name: str) -> RecordWriter | None:
        """Who listens to a stream, unless it is closed or forgotten."""
        record = self._by_name.get(name)
        if record is None or (self._world.sound and record.state is StreamState.CLOSED):
            return None
        return record.writer

    # Assignment.

    def _assign_soon(self) -> None:
        # A step of its own: no worker is called from inside a call of the workflow.
        if not self._assigning:
            self._assigning = True
            self._world.clock.after(0, "assign", self._assign)

    def _assign(self) -> None:
        self._assigning = False
        while True:
            ready = [each for each in self._connections if each.ready > 0]
            popped = self._queue.pop() if ready else None
            if popped is None:
                return
            record, ticket = popped
            if record.state.terminal:
                continue
            self._queue.charge(record.entry.scope, 1)
            record.ticket = ticket
            place = self._world.choices.pick("place", f"{record.name}.{record.attempt}", ready)
            self._hand(record, place)

    def _hand(self, record: TaskRecord, connection: Connection) -> None:
        world = self._world
        record.attempt += 1
        closed = tuple(source.name for source in record.sources if source.ended)
        execution = Execution(record, record.attempt, closed)
        connection.ready -= 1
        connection.handed[record] = None
        world.record("assign", execution.name, worker=connection.name, closed=list(closed))
        connection.to_worker.send(
            f"assign {execution.name}", connection.worker.on_assign, connection, execution
        )
        world.clock.after(
            world.cluster.ack_timeout,
            f"ack timeout {execution.name}",
            lambda: self._ack_timeout(connection, execution),
        )

    def _pending(self, connection: Connection, execution: Execution) -> bool:
        record = execution.record
        return record in connection.handed and record.attempt == execution.attempt

    def _accept(self, connection: Connection, execution: Execution) -> None:
        record = execution.record
        if not self._pending(connection, execution):
            return  # taken back meanwhile
        del connection.handed[record]
        connection.revoked.pop(record, None)
        self._world.record("accept", execution.name, worker=connection.name)
        if record.state.terminal or not record.entry.alive:
            self._tell_cancel(connection, execution)
            return
        self._own(record, connection)
        connection.tasks[record] = None
        for source in record.sources:
            if source.ended and source.name not in execution.closed_sources:
                self._tell_closed(source, connection)
        for stream in (*record.sources, *record.sinks):
            self._bind(stream)

    def _ack_timeout(self, connection: Connection, execution: Execution) -> None:
        record = execution.record
        if (
            not self._pending(connection, execution)
            or not connection.alive
            or record in connection.revoked
        ):
            return
        self._world.counts["ack timeouts"] += 1
        self._world.record("ack_timeout", execution.name, worker=connection.name)
        if self._world.sound:
            # It may run there after all: it goes to nobody else before its worker has answered.
            connection.revoked[record] = None
            connection.to_worker.send(
                f"revoke {execution.name}", connection.worker.on_revoke, connection, execution
            )
        else:
            self._take_back(connection, execution)

    def _take_back(self, connection: Connection, execution: Execution) -> None:
        """An assignment came to nothing."""
        record = execution.record
        if self._pending(connection, execution):
            del connection.handed[record]
            connection.revoked.pop(record, None)
            self._requeue(record)

    def _enqueue(self, record: TaskRecord) -> None:
        place = self._queue.push(record.entry.scope, record)
        self._world.record("queue", record.name, place=place, again=False)

    def _requeue(self, record: TaskRecord) -> None:
        if record.state.terminal or not record.entry.alive or record.ticket is None:
            return
        self._queue.requeue(record.ticket)
        self._world.record("queue", record.name, place=record.ticket.sequence, again=True)
        self._queue.charge(record.entry.scope, -1)
        self._assign_soon()

    def _own(self, record: TaskRecord, connection: Connection | None) -> None:
        record.owner = connection
        self._world.record("owner", record.name, worker=connection and connection.name)

    def _bind(self, stream: StreamRecord) -> None:
        """Tell the sender where to send, once both ends are known."""
        sender = stream.sender
        if sender is None or sender.owner is None or not sender.owner.alive:
            return
        reader: str | None = None
        if stream.receiver is None:
            if stream.writer is None:
                return
            place, attempts = None, (sender.attempt, 0)
        else:
            owner = stream.receiver.owner
            if owner is None:
                return
            place, attempts = owner.worker, (sender.attempt, stream.receiver.attempt)
            reader = execution_name(stream.receiver.name, stream.receiver.attempt)
        if stream.bound == attempts:
            return
        stream.bound = attempts
        self._world.record(
            "bind",
            stream.name,
            task=execution_name(sender.name, sender.attempt),
            reader=reader,
            to=place.name if place else "scheduler",
        )
        sender.owner.to_worker.send(
            f"bind {stream.name}",
            sender.owner.worker.on_bind,
            sender.name,
            sender.attempt,
            stream.name,
            place,
        )

    # States.

    def _changes(self, record: TaskRecord, status: TaskStatus) -> bool:
        if status.state not in LEGAL_TASK_MOVES[record.state]:
            return False
        return status.state is not record.state or status != record.status

    def _move(self, record: TaskRecord, status: TaskStatus, changes: _Changes) -> bool:
        if not self._changes(record, status):
            return False
        self._enter(changes)
        record.state, record.status = status.state, status
        self._world.record("move", record.name, state=str(status.state))
        changes.tasks.append((record, status))
        return True

    # An exclusive section, where a real scheduler holds its lock: from the first change of a
    # task until before anybody is told of it.

    def _enter(self, changes: _Changes) -> None:
        if not changes.tasks:
            self._world.record("enter", "scheduler")

    def _exit(self, changes: _Changes) -> None:
        if changes.tasks:
            self._world.record("exit", "scheduler")

    def _set(self, stream: StreamRecord, state: StreamState, changes: _Changes) -> None:
        # Open and Blocked come and go with each batch of a slow reader.
        if StreamState.CLOSED in (stream.state, state):
            self._world.record("move", stream.name, state=str(state))
        stream.state = state
        changes.streams.append((stream, state))

    def _cancel(self, record: TaskRecord, changes: _Changes) -> None:
        if not self._move(record, TaskStatus(TaskState.CANCELLED), changes):
            return
        owner = record.owner
        if owner is not None and owner.alive:
            owner.tasks.pop(record, None)
            self._tell_cancel(owner, Execution(record, record.attempt, ()))

    def _close(self, stream: StreamRecord, changes: _Changes) -> None:
        if stream.state is StreamState.CLOSED:
            return
        self._set(stream, StreamState.CLOSED, changes)
        if not self._world.sound:
            self._let_reader_know(stream)

    def _let_reader_know(self, stream: StreamRecord) -> None:
        stream.ended = True
        receiver = stream.receiver
        if receiver is not None and receiver.owner is not None and receiver.owner.alive:
            self._tell_closed(stream, receiver.owner)

    def _tell_closed(self, stream: StreamRecord, connection: Connection) -> None:
        connection.to_worker.send(f"closed {stream.name}", connection.worker.on_closed, stream.name)

    def _tell_cancel(self, connection: Connection, execution: Execution) -> None:
        self._world.record("tell_cancel", execution.name, worker=connection.name)
        connection.to_worker.send(
            f"cancel {execution.name}", connection.worker.on_cancel, execution
        )

    def _deliver(self, changes: _Changes, *, at_once: bool = False) -> None:
        self._exit(changes)
        # All are under way before the first is told: a handler may unregister, and then hears the
        # others before that returns.
        told = []
        for stream, state in changes.streams:
            tell = partial(self._tell_stream, stream, state)
            told.append(self._put_under_way(stream.entry, f"{stream.name} {state}", tell))
        for record, status in changes.tasks:
            tell = partial(record.entry.manifest.task_event_handler, record.task, status)
            told.append(self._put_under_way(record.entry, f"{record.name} {status.state}", tell))
        world = self._world
        for entry, number, label in told:
            delay = 0 if at_once else world.choices.ticks("notify", label, world.notify)
            if delay:
                world.clock.after(delay, f"notify {label}", partial(self._tell, entry, number))
            else:
                self._tell(entry, number)

    def _put_under_way(
        self, entry: Entry, label: str, tell: Callable[[], None]
    ) -> tuple[Entry, int, str]:
        self._told += 1
        entry.untold[self._told] = tell
        return entry, self._told, label

    def _tell_stream(self, stream: StreamRecord, state: StreamState) -> None:
        stream.entry.manifest.stream_event_handler(stream.stream, state)
        if state is StreamState.CLOSED and self._world.sound:
            self._let_reader_know(stream)  # not before: see `workflow.Runner`

    def _tell(self, entry: Entry, number: int) -> None:
        tell = entry.untold.pop(number, None)
        if tell is not None:
            tell()
