"""Streams between threads: a reader's inbox, and what a sender holds at the other end.

A task that reads has one `Inbox` with one lock for all of its streams, on which it waits for what
comes and its senders for room.  A stream that a `RecordWriter` reads has a lock of its own.
Nothing here calls a handler with a lock held, and no lock is held while a writer is offered a
batch: `Channel.settle` waits for that instead.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from threading import Condition, Lock, get_ident
from typing import Final

import pyarrow as pa

from workflow.results import WriteClosed
from workflow.runner import RecordWriter
from workflow.runners._gate import Gate
from workflow.runners.task import Arrival, Stopped
from workflow.stream import Stream, StreamState

__all__ = ["Channel", "Inbox", "TaskOutlet", "WriterOutlet"]

# Seconds.  A sender that waits no longer than that for room is not worth two reports.
_BLOCKED_AFTER: Final = 0.005


class _Put(Enum):
    TAKEN = 0
    FULL = 1
    UNREAD = 2


class Channel:
    """A stream between two ends.  The Runner's own account of it is guarded by the Runner."""

    def __init__(
        self,
        stream: Stream,
        inbox: "Inbox | None" = None,
        capacity: int = 0,
        *,
        has_reader: bool = False,
    ) -> None:
        self.stream: Final = stream
        self.state = StreamState.IDLE  # the Runner's account
        self.inbox: Final = inbox  # of the task that reads it, if both are here
        self.has_reader: Final = has_reader or inbox is not None  # a task, here or elsewhere
        self.capacity: Final = capacity
        # The rest is guarded by the lock, which is the inbox's if there is one.
        self.lock: Final = inbox.lock if inbox is not None else Lock()
        self.room: Final = Condition(self.lock)  # where its sender waits
        self.cut = False  # nothing more is to be sent
        self.held = 0  # batches in the inbox
        self.writer: RecordWriter | None = None
        self.changed: Final = Gate()  # where its sender waits for the writer
        self._offering: int | None = None  # the thread that has a batch at the writer
        self._offered: Final = Condition(self.lock)
        self._due: Callable[[], None] | None = None

    def listen(self, writer: RecordWriter) -> None:
        """Batches go to `writer`."""
        with self.lock:
            self.writer = writer
        self.changed.open()

    def close(self, report: Callable[[], None]) -> None:
        """Nothing more is sent.  Calls `report` once no batch is at the writer."""
        with self.lock:
            self.cut = True
            self.room.notify()
            at_writer = self._offering is not None
            if at_writer:
                self._due = report
        self.changed.open()
        if not at_writer:
            report()

    def settle(self) -> None:
        """Wait until no other thread has a batch at the writer, and the close was reported."""
        with self.lock:
            while self._offering not in (None, get_ident()):
                self._offered.wait()
            self._report_close()

    def begin_offer(self) -> RecordWriter | None:
        """The writer, if there is one yet; then `end_offer` has to follow.  Raises Stopped."""
        with self.lock:
            if self.cut:
                raise Stopped
            if self.writer is not None:
                self._offering = get_ident()
            return self.writer

    def end_offer(self) -> None:
        """The writer has answered."""
        with self.lock:
            self._offering = None
            if self.cut:
                # Before anybody is woken: whoever waits for the offer finds the report made.
                self._report_close()
                self._offered.notify_all()

    def _report_close(self) -> None:
        due, self._due = self._due, None
        if due is not None:
            due()


class Inbox:
    """What a task has yet to read, in the order in which it came: see `task.Inbox`."""

    def __init__(self) -> None:
        self.lock: Final = Lock()
        self._arrived = Condition(self.lock)
        self._arrivals: deque[tuple[Channel, pa.RecordBatch | None]] = deque()
        self._channels: list[Channel] = []
        self._closed = False

    def add(self, channel: Channel) -> None:
        """One more stream, before the task begins."""
        self._channels.append(channel)

    def take(self, *, wait: bool) -> Arrival | None:
        """See `task.Inbox`."""
        with self.lock:
            while not self._arrivals:
                if self._closed:
                    raise Stopped
                if not wait:
                    return None
                self._arrived.wait()
            channel, batch = self._arrivals.popleft()
            if batch is not None:
                channel.held -= 1
                # Not for each batch: a sender that is woken has room for some.
                if channel.held == channel.capacity // 2:
                    channel.room.notify()
            return channel.stream, batch

    def put(self, channel: Channel, batch: pa.RecordBatch, patience: float | None) -> _Put:
        """A batch comes; wait for room, at most that many seconds.  Raises Stopped."""
        with self.lock:
            while channel.held >= channel.capacity and not (self._closed or channel.cut):
                if not channel.room.wait(patience) and channel.held >= channel.capacity:
                    return _Put.FULL
            if channel.cut:
                raise Stopped
            if self._closed:
                return _Put.UNREAD
            channel.held += 1
            self._arrivals.append((channel, batch))
            self._arrived.notify()
            return _Put.TAKEN

    def end(self, channel: Channel) -> None:
        """The task may learn that a stream is over."""
        with self.lock:
            if not self._closed:
                self._arrivals.append((channel, None))
                self._arrived.notify()

    def close(self) -> None:
        """Nobody reads any more; a task that does is stopped, and nobody waits for room."""
        with self.lock:
            self._closed = True
            self._arrivals.clear()
            self._arrived.notify()
            for channel in self._channels:
                channel.held = 0
                channel.room.notify()


class _Outlet:
    """A sender's end: says what its stream is doing, through ``report``."""

    def __init__(self, channel: Channel, report: Callable[[Channel, StreamState], None]) -> None:
        self._channel = channel
        self._report = report
        self._state = StreamState.IDLE

    def _show(self, state: StreamState) -> None:
        if self._state is not state:
            self._state = state
            self._report(self._channel, state)


class TaskOutlet(_Outlet):
    """To the inbox of another task: see `task.Outlet`."""

    def __init__(
        self, channel: Channel, report: Callable[[Channel, StreamState], None], inbox: Inbox
    ) -> None:
        super().__init__(channel, report)
        self._inbox = inbox

    def send(self, batch: pa.RecordBatch) -> bool:
        """See `task.Outlet`."""
        if self._state is StreamState.IDLE:
            self._show(StreamState.OPEN)
        put = self._inbox.put(self._channel, batch, _BLOCKED_AFTER)
        if put is _Put.FULL:
            self._show(StreamState.BLOCKED)
            put = self._inbox.put(self._channel, batch, None)
            self._show(StreamState.OPEN)
        return put is _Put.TAKEN


class WriterOutlet(_Outlet):
    """To a `RecordWriter`: see `task.Outlet`."""

    def send(self, batch: pa.RecordBatch) -> bool:
        """See `task.Outlet`."""
        try:
            while not self._offer(batch):
                self._wait()
        except WriteClosed:
            return False
        if self._state is not StreamState.OPEN:
            self._show(StreamState.OPEN)
        return True

    def _offer(self, batch: pa.RecordBatch) -> bool:
        """Offer it; where there is no room, again with a watch, so that no change is missed."""
        channel = self._channel
        writer = channel.begin_offer()
        if writer is None:
            return False
        try:
            if self._state is StreamState.IDLE:
                self._show(StreamState.OPEN)
            if writer.offer(batch):
                return True
            channel.changed.shut()
            writer.watch(channel.changed.open)
            return writer.offer(batch)
        finally:
            channel.end_offer()

    def _wait(self) -> None:
        """Until there is a writer, or it has changed, or nothing more is to be sent."""
        channel = self._channel
        if channel.cut:  # the gate may have been opened for that before it was shut
            raise Stopped
        if not channel.changed.wait(_BLOCKED_AFTER):
            if channel.writer is not None:
                self._show(StreamState.BLOCKED)
            channel.changed.wait()
