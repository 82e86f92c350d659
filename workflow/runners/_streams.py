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

    def __init__(self, stream: Stream, inbox: "Inbox | None", capacity: int) -> None:
        self.stream: Final = stream
        self.state = StreamState.IDLE  # the Runner's account
        self.inbox: Final = inbox  # of the task that reads it
        self.capacity: Final = capacity
        # Guarded by `changed`, whose lock is the inbox's if there is one:
        self.changed: Final = Condition(inbox.lock if inbox is not None else Lock())
        self.cut = False  # nothing more is to be sent
        self.held = 0  # batches in the inbox
        self.writer: RecordWriter | None = None
        self.offering: int | None = None  # the thread that has a batch at the writer
        self._due: Callable[[], None] | None = None

    def listen(self, writer: RecordWriter) -> None:
        """Batches go to `writer`."""
        with self.changed:
            self.writer = writer
            self.changed.notify_all()

    def close(self, report: Callable[[], None]) -> None:
        """Nothing more is sent.  Calls `report` once no batch is at the writer."""
        with self.changed:
            self.cut = True
            self.changed.notify_all()
            if self.offering is not None:
                self._due = report
                return
        report()

    def settle(self) -> None:
        """Wait until no other thread has a batch at the writer, and the close was reported."""
        with self.changed:
            while self.offering not in (None, get_ident()):
                self.changed.wait()
            due, self._due = self._due, None
        if due is not None:
            due()

    def begin_offer(self) -> RecordWriter:
        """Wait for the writer.  Raises Stopped.  `end_offer` has to follow."""
        with self.changed:
            while self.writer is None:
                self._check()
                self.changed.wait()
            self._check()
            self.offering = get_ident()
            return self.writer

    def end_offer(self) -> None:
        """The writer has answered."""
        with self.changed:
            self.offering = None
            due, self._due = self._due, None
            # Before anybody is woken: whoever waits for the offer finds the report made.
            if due is not None:
                due()
            self.changed.notify_all()

    def _check(self) -> None:
        if self.cut:
            raise Stopped


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
                channel.changed.notify()
            return channel.stream, batch

    def put(self, channel: Channel, batch: pa.RecordBatch, patience: float | None) -> _Put:
        """A batch comes; wait for room, at most that many seconds.  Raises Stopped."""
        with self.lock:
            if channel.held >= channel.capacity and not (self._closed or channel.cut):
                room = channel.changed.wait_for(
                    lambda: channel.held < channel.capacity or self._closed or channel.cut,
                    patience,
                )
                if not room:
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
                channel.changed.notify_all()


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
                pass
        except WriteClosed:
            return False
        return True

    def _offer(self, batch: pa.RecordBatch) -> bool:
        """Offer once, and if there was no room wait for a change."""
        channel = self._channel
        woken = False

        def wake() -> None:
            nonlocal woken
            with channel.changed:
                woken = True
                channel.changed.notify_all()

        writer = channel.begin_offer()
        try:
            self._show(StreamState.OPEN if self._state is StreamState.IDLE else self._state)
            writer.watch(wake)
            taken = writer.offer(batch)
        finally:
            channel.end_offer()
        if taken:
            self._show(StreamState.OPEN)
            return True
        with channel.changed:
            changed = channel.changed.wait_for(lambda: woken or channel.cut, _BLOCKED_AFTER)
        if not changed:
            self._show(StreamState.BLOCKED)
            with channel.changed:
                channel.changed.wait_for(lambda: woken or channel.cut)
        return False
