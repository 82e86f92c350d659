"""Real rows in a simulated run: what the tasks of a plan do to the sections of data objects.

Apart from `sim.rows`, since it loads what executes fragments.

>>> lines = pa.table({"message": ["a", "b", "c"]})
>>> [batch.num_rows for batch in Held({("objects/0", 0): lines}).batches("objects/0", 0, 2)]
[2, 1]
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import pyarrow as pa

from sim.rows import Reading, Record, WorkFailed
from workflow import ContributingTimeRange, Stream, Task
from workflow.execute import Execution, ExecutionError, ScanSource, Source
from workflow.plan import Batching, PlanError
from workflow.sections import Sections

__all__ = ["Held", "RealFragment", "RealRecord", "RealScan"]

_T = TypeVar("_T")


class Held:
    """Sections that are held in memory, by location and section."""

    def __init__(
        self, sections: Mapping[tuple[str, int], pa.Table | Sequence[pa.RecordBatch]]
    ) -> None:
        self._sections = dict(sections)

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`.  Raises LookupError for a section that is not there."""
        if (location, section) not in self._sections:
            raise LookupError(f"got section {section} of {location!r}, expected one of the data")
        held = self._sections[location, section]
        for batch in held.to_batches() if isinstance(held, pa.Table) else held:
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)


class RealRecord(Record):
    """A batch as it is."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self.rows = batch.num_rows

    @property
    def batch(self) -> pa.RecordBatch:
        """The rows."""
        return self._batch


@dataclass(frozen=True, eq=False, slots=True)
class RealScan:
    """A section to read."""

    name: str
    source: ScanSource
    sections: Sections

    def records(self, batch_rows: int) -> Iterator[RealRecord]:
        """All rows, a batch after the other.  Raises WorkFailed."""
        target = self.source.target
        try:
            for batch in self.sections.batches(target.location, target.section, batch_rows):
                yield RealRecord(batch)
        except (LookupError, ValueError) as error:
            raise WorkFailed(error) from error


class RealFragment:
    """A task's fragment over real rows: `workflow.execute` with a job as its host.

    ``name`` is the task's, ``streams`` its sources by their names.  ``hides``: a batching root
    hides what times contribute, as in the reference (hazard W12).
    """

    def __init__(
        self,
        task: Task,
        name: str,
        streams: Mapping[str, Stream],
        sections: Sections,
        *,
        hides: bool = False,
    ) -> None:
        self._execution: Final = _tried(lambda: Execution.of(task))
        self._hidden = hides and isinstance(task.fragment.root(), Batching)
        self._sources: dict[str, Source] = {**streams}
        self.scans: Final[list[RealScan]] = []
        for source in self._execution.sources:
            if isinstance(source, ScanSource):
                scan = RealScan(f"{name}.{len(self.scans)}", source, sections)
                self.scans.append(scan)
                self._sources[scan.name] = source

    @property
    def done(self) -> bool:
        """Whether nothing more can come out."""
        return self._execution.done

    @property
    def contributing(self) -> ContributingTimeRange | None:
        """See `Execution.contributing`."""
        return None if self._hidden else self._execution.contributing

    def rows_in(self) -> dict[str, int]:
        """See `Execution.rows_in`."""
        return self._execution.rows_in()

    def wants(self, scan: Reading[RealRecord]) -> bool:
        """Whether its rows can change anything."""
        return self._execution.takes(self._sources[scan.name])

    def push(self, source: Sequence[str], record: RealRecord) -> list[RealRecord]:
        """Take a batch; gives what comes out.  Raises WorkFailed."""
        # The streams of a node are one input to it, and end together.
        push = partial(self._execution.push, self._sources[source[0]], record.batch)
        return _records(_tried(push))

    def end(self, source: Sequence[str]) -> list[RealRecord]:
        """A scan, or all streams of a node, have ended; gives what comes out."""
        out: list[RealRecord] = []
        for name in source:
            ended = partial(self._execution.end, self._sources[name])
            out += _records(_tried(ended))
        return out

    def finish(self) -> list[RealRecord]:
        """Everything has come out with the ends."""
        return []


def _records(batches: Sequence[pa.RecordBatch]) -> list[RealRecord]:
    return [RealRecord(batch) for batch in batches]


def _tried(go: Callable[[], _T]) -> _T:
    try:
        return go()
    except (ExecutionError, PlanError) as error:
        raise WorkFailed(error) from error
