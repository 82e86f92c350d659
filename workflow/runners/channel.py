"""A stream as a Runner has it: its state, its two ends, and the `RecordWriter` that may read it.

Nothing here calls a handler with a lock held, and no lock is held while a writer is offered a
batch: `Channel.settle` waits for that instead.
"""

from collections.abc import Callable
from threading import Condition, Lock, get_ident
from typing import Any, Final, Generic, TypeVar

import pyarrow as pa

from workflow.results import WriteClosed
from workflow.runner import RecordWriter
from workflow.runners._gate import Gate
from workflow.runners.task import Stopped
from workflow.stream import Stream, StreamState

__all__ = ["BLOCKED_AFTER", "Channel", "Reporting", "WriterOutlet"]

# Seconds.  A sender that waits no longer than that for room is not worth two reports.
BLOCKED_AFTER: Final = 0.005

J = TypeVar("J")


class Channel(Generic[J]):
    """A stream between two ends, ``sender`` and ``reader`` if these are tasks here."""

    def __init__(
        self, stream: Stream, sender: J | None, reader: J | None, lock: "Lock | None" = None
    ) -> None:
        self.stream: Final = stream
        self.sender: Final = sender
        self.reader: Final = reader
        self.state = StreamState.IDLE  # the Runner's own account, which it guards
        # The rest is guarded by the lock.
        self.lock: Final = lock or Lock()
        self.cut = False  # nothing more is to be sent
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
            self.was_cut()
            at_writer = self._offering is not None
            if at_writer:
                self._due = report
        self.changed.open()
        if not at_writer:
            report()

    def was_cut(self) -> None:
        """For a subclass, with the lock held: nobody waits for room any more."""

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


class Reporting:
    """A sender's end: says what its stream is doing, through ``report``."""

    def __init__(self, channel: Channel[Any], report: Callable[[Any, StreamState], None]) -> None:
        self._channel = channel
        self._report = report
        self._state = StreamState.IDLE

    def _show(self, state: StreamState) -> None:
        if self._state is not state:
            self._state = state
            self._report(self._channel, state)


class WriterOutlet(Reporting):
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
        if not channel.changed.wait(BLOCKED_AFTER):
            if channel.writer is not None:
                self._show(StreamState.BLOCKED)
            channel.changed.wait()
