"""A stream at its reader: a bounded buffer, batches on their way, and who listens to results."""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.network import Link
from sim.rows import Record
from workflow import WriteClosed

if TYPE_CHECKING:
    from sim.job import Job
    from sim.worker import Worker

__all__ = ["Channel", "Input", "Offer", "Sending"]


@dataclass(slots=True, eq=False)
class Sending:
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


class Channel:
    """A stream at its reader: a bounded buffer, and the batch that waits for room."""

    def __init__(self, name: str, job: "Job", capacity: int) -> None:
        self.name = name
        self.closed = False
        self.input: Input | None = None  # once the task reads it
        self.place = 0  # among the channels of its input
        self._job = job
        self._capacity = capacity
        self._buffer: deque[tuple[Record, Sending]] = deque()
        self._waiting: deque[tuple[Record, Sending]] = deque()

    def arrive(self, record: Record, sending: Sending) -> None:
        """A batch is here: acknowledged once there is room, or never will be."""
        if len(self._buffer) < self._capacity:
            self._accept(record, sending)
            sending.ack(True)
        else:
            self._waiting.append((record, sending))
            sending.wait()

    def take(self) -> Record | None:
        """The oldest batch; what waited moves up."""
        if not self._buffer:
            return None
        record, taken = self._buffer.popleft()
        self._record("take", record, taken)
        if self._waiting:
            waiting, sending = self._waiting.popleft()
            self._accept(waiting, sending)
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

    def close(self) -> None:
        """The word has come that the stream has ended."""
        worker = self._job.worker
        worker.world.record("told_closed", self.name, task=self._job.name, worker=worker.name)
        self.closed = True
        self._job.wake()

    def drop(self) -> None:
        """The reader is gone: what waits is refused."""
        self.closed = True
        waiting, self._waiting = self._waiting, deque()
        for _, sending in waiting:
            sending.ack(False)

    def _record(self, kind: str, record: Record, sending: Sending) -> None:
        self._job.worker.world.record(
            kind,
            self.name,
            task=self._job.name,
            sender=sending.job.name,
            number=sending.number,
            rows=record.rows,
        )

    def _accept(self, record: Record, sending: Sending) -> None:
        self._buffer.append((record, sending))
        self._record("receive", record, sending)
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
    def names(self) -> list[str]:
        """The streams."""
        return [channel.name for channel in self._channels]

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
class Offer:
    """A batch of results at who listens to them.

    An object and no closures: these would refer to each other, and all of them to the batch, so
    that only the garbage collector could free them, which took a fifth of the time of long runs.
    """

    worker: "Worker"
    name: str
    record: Record
    sending: Sending
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
            self.worker.world.record(
                "receive",
                self.name,
                task="scheduler",
                sender=self.sending.job.name,
                number=self.sending.number,
                rows=self.record.rows,
            )
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
