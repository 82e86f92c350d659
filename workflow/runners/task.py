"""A task at work, wherever it runs: what it reads next, what it sends, and when it is over.

No thread, no clock and no lock: whoever has those gives a task its `Inbox`, its `Outlet`s and its
`Host`, and calls `TaskRun.run`.  So runners with threads and runners with processes run one code.

* Streams are read as they come, all nodes alike, before any section: who feeds this task never
  waits for another source of it.  A section is read a batch at a time, between two looks.
* A stream is read to its end even where its rows are wanted no more, since who writes it may write
  others.  A section is not.
* A sink that nobody reads any more is left out.  Once that is so of all, the task is over.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import pyarrow as pa

from workflow.capture import Statistic, Statistics
from workflow.execute import Execution, ScanSource
from workflow.sections import Sections
from workflow.stream import Stream
from workflow.task import ContributingTimeRange, Task

__all__ = ["ROWS", "Arrival", "Host", "Inbox", "Outlet", "Stopped", "TaskRun"]

ROWS: Final = Statistic("rows")  # that a task has read, from streams and sections

Arrival = tuple[Stream, pa.RecordBatch | None]  # None: the stream is over


class Stopped(Exception):
    """The task is not to go on: it was cancelled.  Not a failure."""


class Inbox(Protocol):
    """What the streams of a task bring."""

    def take(self, *, wait: bool) -> Arrival | None:
        """The next batch or end of any stream; None if nothing is there and it is not to wait.

        Of one stream in order, the end last and once.  Raises Stopped.
        """


class Outlet(Protocol):
    """The task's end of one sink."""

    def send(self, batch: pa.RecordBatch) -> bool:
        """Wait until there is room for the batch.  False once nobody reads the stream any more.

        Raises Stopped.
        """


class Host(Protocol):
    """Whoever runs the task."""

    def check(self) -> None:
        """Raises Stopped once the task is not to go on."""

    def narrow(self, range_: ContributingTimeRange) -> None:
        """Report which times can still change what the task gives."""


class TaskRun:
    """One task at work; to be run once.  ``batch_rows``: the most that is read at once."""

    def __init__(
        self,
        task: Task,
        sections: Sections,
        inbox: Inbox,
        outlets: Sequence[Outlet],
        host: Host,
        *,
        batch_rows: int,
    ) -> None:
        self.rows = 0  # read so far
        self._task = task
        self._sections = sections
        self._inbox = inbox
        self._outlets = list(outlets)
        self._host = host
        self._batch_rows = batch_rows
        self._unread = False  # it has sinks, and nobody reads any of them
        self._contributing: ContributingTimeRange | None = None  # as it was reported last
        self._rows: Iterator[pa.RecordBatch] | None = None  # of the first of `_scans`
        self._scans: list[ScanSource] = []
        self._open = 0  # streams that are not over

    @property
    def statistics(self) -> Statistics:
        """What was counted so far."""
        return Statistics({ROWS: self.rows})

    def run(self) -> None:
        """Do all of the work.

        Raises Stopped; or whatever the fragment or `sections` raise, which is the task's failure.
        """
        execution = self._execution = Execution.of(self._task)
        for source in execution.sources:
            if isinstance(source, ScanSource):
                self._scans.append(source)
            else:
                self._open += 1
        try:
            while not (execution.done or self._unread):
                self._step()
        finally:
            self._close_rows()

    def _step(self) -> None:
        self._host.check()
        arrival = self._inbox.take(wait=not self._scans) if self._open else None
        if arrival is not None:
            self._receive(*arrival)
        else:
            self._scan(self._scans[0])

    def _receive(self, stream: Stream, batch: pa.RecordBatch | None) -> None:
        if batch is None:
            self._open -= 1
            self._send(self._execution.end(stream))
        else:
            self._push(stream, batch)

    def _scan(self, source: ScanSource) -> None:
        if self._rows is None:
            target = source.target
            self._rows = iter(
                self._sections.batches(target.location, target.section, self._batch_rows)
            )
        wanted = self._execution.takes(source)
        batch = next(self._rows, None) if wanted else None
        if batch is not None:
            self._push(source, batch)
            return
        self._close_rows()
        del self._scans[0]
        self._send(self._execution.end(source))

    def _push(self, source: Stream | ScanSource, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        out = self._execution.push(source, batch)
        contributing = self._execution.contributing
        if contributing is not None and contributing != self._contributing:
            self._contributing = contributing
            self._host.narrow(contributing)
        self._send(out)

    def _send(self, batches: Sequence[pa.RecordBatch]) -> None:
        for batch in batches:
            if self._unread:
                return
            refused = [outlet for outlet in self._outlets if not outlet.send(batch)]
            if refused:
                self._outlets = [each for each in self._outlets if each not in refused]
                self._unread = not self._outlets

    def _close_rows(self) -> None:
        """What is read lazily has a file open."""
        close = getattr(self._rows, "close", None)
        self._rows = None
        if close is not None:
            close()
