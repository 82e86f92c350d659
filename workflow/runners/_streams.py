"""Streams between the threads of one process: a reader's inbox, and what a sender holds of it.

A task that reads has one `Inbox` with one lock for all of its streams, on which it waits for what
comes and its senders for room.  A stream that a `RecordWriter` reads has a lock of its own.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from threading import Condition, Lock
from typing import Any, Final

import pyarrow as pa

from workflow.runners.channel import BLOCKED_AFTER, Channel, Reporting
from workflow.runners.task import Arrival, Stopped
from workflow.stream import Stream, StreamState

__all__ = ["Inbox", "TaskChannel", "TaskOutlet"]


class _Put(Enum):
    TAKEN = 0
    FULL = 1
    UNREAD = 2


class TaskChannel(Channel[Any]):
    """A stream to a task of this process, whose inbox's lock it shares."""

    def __init__(
        self, stream: Stream, sender: Any, reader: Any, inbox: "Inbox", capacity: int
    ) -> None:
        super().__init__(stream, sender, reader, inbox.lock)
        self.inbox: Final = inbox
        self.capacity: Final = capacity
        self.room: Final = Condition(self.lock)  # where its sender waits
        self.held = 0  # batches in the inbox
        inbox.add(self)

    def was_cut(self) -> None:
        """See `Channel`."""
        self.room.notify()


class Inbox:
    """What a task has yet to read, in the order in which it came: see `task.Inbox`."""

    def __init__(self) -> None:
        self.lock: Final = Lock()
        self._arrived = Condition(self.lock)
        self._arrivals: deque[tuple[TaskChannel, pa.RecordBatch | None]] = deque()
        self._channels: list[TaskChannel] = []
        self._closed = False

    def add(self, channel: TaskChannel) -> None:
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

    def put(self, channel: TaskChannel, batch: pa.RecordBatch, patience: float | None) -> _Put:
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

    def end(self, channel: TaskChannel) -> None:
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


class TaskOutlet(Reporting):
    """To the inbox of another task: see `task.Outlet`."""

    def __init__(self, channel: TaskChannel, report: Callable[[Any, StreamState], None]) -> None:
        super().__init__(channel, report)
        self._to = channel

    def send(self, batch: pa.RecordBatch) -> bool:
        """See `task.Outlet`."""
        if self._state is StreamState.IDLE:
            self._show(StreamState.OPEN)
        put = self._to.inbox.put(self._to, batch, BLOCKED_AFTER)
        if put is _Put.FULL:
            self._show(StreamState.BLOCKED)
            put = self._to.inbox.put(self._to, batch, None)
            self._show(StreamState.OPEN)
        return put is _Put.TAKEN
