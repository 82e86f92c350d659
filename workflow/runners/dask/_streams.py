"""Streams between tasks of a cluster: a sink at one end, a source at the other, credits between.

Whoever reads a stream opens it at the hub where its sender is, and grants credits: the sender may
send as many batches.  More are granted as batches are taken.  So a stream never holds more than
its buffer, however much the network would hide.  Two tasks of one hub hand batches over directly,
under the same credits.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Final, Protocol

import pyarrow as pa

from workflow.runners.dask._flight import Peer
from workflow.runners.dask._wire import BatchWriter, decode_batch
from workflow.runners.task import Arrival, Stopped
from workflow.stream import Stream, StreamState

__all__ = ["Inbox", "Pull", "Sink", "Source", "serve_sink"]

# Seconds.  A sender that waits no longer than that for a credit is not worth two reports.
_BLOCKED_AFTER: Final = 0.005


class _Link(Protocol):
    """Where the batches of a sink go."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Does not wait for the reader: there was a credit."""


class Sink:
    """A task's end of a stream it writes: see `task.Outlet`.

    ``report`` is told what the stream is doing.
    """

    def __init__(self, report: Callable[[StreamState], None]) -> None:
        self.sent = 0  # batches; for the task's thread, and once that is over
        self._report = report
        self._state = StreamState.IDLE
        self._changed = threading.Condition(threading.Lock())
        self._link: _Link | None = None
        self._credits = 0
        self._unread = False
        self._stopped = False
        self._writing = False

    # For the task.

    def send(self, batch: pa.RecordBatch) -> bool:
        """See `task.Outlet`."""
        if self._state is StreamState.IDLE:
            self._show(StreamState.OPEN)
        link = self._take_credit()
        if link is None:
            return False
        try:
            link.write(batch)
        except (pa.ArrowException, OSError):  # its reader is gone; why is for others to tell
            with self._changed:
                self._unread = True
        else:
            self.sent += 1
        finally:
            with self._changed:
                self._writing = False
                if self._unread:  # see `settle`
                    self._changed.notify_all()
        return not self._unread

    def _take_credit(self) -> _Link | None:
        """Wait for a credit; where to write then, None if nobody reads.  Raises Stopped."""
        patience: float | None = _BLOCKED_AFTER
        while True:
            with self._changed:
                if not (self._credits or self._unread or self._stopped):
                    self._changed.wait(patience)
                if self._stopped:
                    raise Stopped
                if self._unread:
                    return None
                if self._credits:
                    self._credits -= 1
                    self._writing = True
                    break
                waits = self._link is not None and patience is not None
            if waits:
                self._show(StreamState.BLOCKED)
                patience = None
        self._show(StreamState.OPEN)
        return self._link

    def _show(self, state: StreamState) -> None:
        if self._state is not state:
            self._state = state
            self._report(state)

    # For its reader's end.

    def attach(self, link: _Link) -> bool:
        """Batches go there from now on; False if they go elsewhere."""
        with self._changed:
            if self._link is not None:
                return False
            self._link = link
            return True

    def grant(self, credits_: int) -> None:
        """So many batches more may come."""
        with self._changed:
            self._credits += credits_
            self._changed.notify_all()

    def leave(self) -> None:
        """Nobody reads any more."""
        with self._changed:
            self._unread = True
            self._changed.notify_all()

    def settle(self) -> None:
        """After `leave`: return once no batch is being written."""
        with self._changed:
            while self._writing:
                self._changed.wait()

    # For the hub.

    def stop(self) -> None:
        """The task is not to go on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def serve_sink(sink: Sink, reader: Any, writer: Any) -> None:
    """A sink's end of an exchange: takes credits until the reader has done or is gone.

    Raises pyarrow.ArrowInvalid if somebody else reads it.
    """
    link = BatchWriter(writer)
    if not sink.attach(link):
        raise pa.ArrowInvalid("the stream has a reader already")
    try:
        while True:
            sink.grant(int(bytes(reader.read_chunk().app_metadata)))
    except (StopIteration, pa.ArrowException, ValueError):
        pass
    finally:
        sink.leave()
        sink.settle()
        link.release()


class Pull:
    """A reader's end of an exchange: `run` on a thread of its own."""

    def __init__(self, peer: Peer, stream: str, credits_: int) -> None:
        self._writer, self._reader = peer.exchange({"stream": stream})
        self._lock = threading.Lock()
        self._over = False
        self.grant(credits_)

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """What comes, to the end of the exchange.  Raises pyarrow.ArrowException if it breaks."""
        try:
            while True:
                try:
                    chunk = self._reader.read_chunk()
                except StopIteration:
                    return
                yield decode_batch(chunk)
        finally:
            self._close()

    def _close(self) -> None:
        self._reader.cancel()
        # Without it Arrow complains on stderr about an exchange that was cancelled.
        with self._lock, suppress(pa.ArrowException, OSError):
            self._over = True
            self._writer.close()

    def grant(self, credits_: int) -> None:
        """The sender may send so many batches more."""
        # If the exchange is over, `batches` says so.
        with self._lock, suppress(pa.ArrowException, OSError):
            if not self._over:
                self._writer.write_metadata(str(credits_).encode())

    def cancel(self) -> None:
        """End it, whatever it waits for.  Does not wait itself."""
        self._reader.cancel()


class Source:
    """A task's end of a stream it reads.  Guarded by its inbox."""

    def __init__(self, stream: Stream, buffer: int) -> None:
        self.stream: Final = stream
        self.buffer: Final = buffer
        self.received = 0
        self.taken = 0  # since credits were granted last
        self.due: int | None = None  # how many are to be received, once that is known
        self.over = False
        self.grant: Callable[[int], None] = lambda _credits: None
        self.finish: Callable[[], None] = lambda: None  # all has come
        self.leave: Callable[[], None] = lambda: None  # nobody reads any more


class Inbox:
    """What a task has yet to read, in the order in which it came: see `task.Inbox`."""

    def __init__(self) -> None:
        self._arrived = threading.Condition(threading.Lock())
        self._arrivals: deque[tuple[Source, pa.RecordBatch | None]] = deque()
        self._closed = False

    def take(self, *, wait: bool) -> Arrival | None:
        """See `task.Inbox`."""
        granted = 0
        with self._arrived:
            while not self._arrivals:
                if self._closed:
                    raise Stopped
                if not wait:
                    return None
                self._arrived.wait()
            source, batch = self._arrivals.popleft()
            if batch is not None:
                source.taken += 1
                # Not for each batch: a sender that is woken has room for some.
                if 2 * source.taken >= source.buffer:
                    granted, source.taken = source.taken, 0
        if granted:
            source.grant(granted)
        return source.stream, batch

    def put(self, source: Source, batch: pa.RecordBatch) -> None:
        """A batch has come."""
        with self._arrived:
            if self._closed or source.over:
                return
            source.received += 1
            self._arrivals.append((source, batch))
            self._arrived.notify()
            over = self._end_if_due(source)
        if over:
            source.finish()

    def expect(self, source: Source, count: int | None) -> None:
        """The stream is over after so many batches; None: now."""
        with self._arrived:
            source.due = source.received if count is None else count
            over = self._end_if_due(source)
        if over:
            source.finish()

    def _end_if_due(self, source: Source) -> bool:
        if source.over or source.received != source.due:
            return False
        source.over = True
        if not self._closed:
            self._arrivals.append((source, None))
            self._arrived.notify()
        return True

    def close(self) -> None:
        """Nobody reads any more; a task that does is stopped."""
        with self._arrived:
            self._closed = True
            self._arrivals.clear()
            self._arrived.notify_all()
