"""The rows of a simulated run, made up: known in advance, each traceable to its scan.

A scan gives `rows_per_scan` rows, row 0 first.  Its times spread evenly over the scan's range,
newest first, or oldest first where the plan asks for the oldest.  So what a run should read is
known, and a row lost or doubled on the way shows by its name.  Real rows are in `sim.real`; what a
job needs of either kind is `Record` and `Work`.
"""

from abc import ABC, abstractmethod
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Final, Protocol, TypeVar

import pyarrow as pa

from sim.scenario import Workload
from workflow import ContributingTimeRange, Task, Timestamp
from workflow.expressions import Column, ColumnType
from workflow.plan import (
    Batching,
    DataObjScan,
    Limit,
    Node,
    Plan,
    PointersScan,
    ScanSet,
    TopK,
)

__all__ = [
    "Fragment",
    "Pieces",
    "Reading",
    "Record",
    "RowNames",
    "Scan",
    "Work",
    "WorkFailed",
    "oldest_first",
    "row_names",
    "scans_of",
]

_TIME: Final = Column(ColumnType.BUILTIN, "timestamp")

_rank = itemgetter(0, 1, 2)  # of what a TopK keeps

SCHEMA: Final = pa.schema([("scan", pa.string()), ("row", pa.int64())])


class Record(ABC):
    """A batch of rows on its way."""

    rows: int  # how many

    @property
    @abstractmethod
    def batch(self) -> pa.RecordBatch:
        """The rows as Arrow data."""


R_co = TypeVar("R_co", bound=Record, covariant=True)
R = TypeVar("R", bound=Record)


class Reading(Protocol[R_co]):
    """A scan of a task: a section to read."""

    @property
    def name(self) -> str:
        """The task's name and a number."""

    def records(self, batch_rows: int) -> Iterator[R_co]:
        """All rows, a batch after the other."""


class Work(Protocol[R]):
    """What a task does to rows.

    A source is given as its names: of one scan, or of the streams of one node, which are one input
    to it.  Everything but `done`, `contributing` and `rows_in` raises WorkFailed.
    """

    @property
    def scans(self) -> Sequence[Reading[R]]:
        """What is read from storage."""

    @property
    def done(self) -> bool:
        """Whether nothing more can come out."""

    @property
    def contributing(self) -> ContributingTimeRange | None:
        """Which times can still change what comes out, where the task is to report it."""

    def rows_in(self) -> Mapping[str, int]:
        """How many rows went into the nodes of each kind since this was asked last."""

    def wants(self, scan: Reading[R]) -> bool:
        """Whether its rows can change anything."""

    def push(self, source: Sequence[str], record: R) -> Sequence[R]:
        """Take a batch; gives what comes out at once."""

    def end(self, source: Sequence[str]) -> Sequence[R]:
        """A source has ended; gives what comes out."""

    def finish(self) -> Sequence[R]:
        """All sources have ended; gives what is left."""


class WorkFailed(Exception):
    """A task cannot go on, for the reason `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error: Final = error


@dataclass(frozen=True, eq=False)
class Scan:
    """Where rows come from."""

    name: str
    rows: int
    start: int | None  # nanoseconds; None: the rows have no known time
    end: int | None
    ascending: bool

    def time(self, row: int) -> int | None:
        """When a row is from."""
        if self.start is None or self.end is None:
            return None
        step = (self.end - self.start) * row // max(self.rows - 1, 1)
        return self.start + step if self.ascending else self.end - step

    def records(self, batch_rows: int) -> Iterator["Pieces"]:
        """All rows, a batch after the other."""
        for low in range(0, self.rows, batch_rows):
            yield Pieces(((self, low, min(low + batch_rows, self.rows)),))


class Pieces(Record):
    """A batch of rows as pieces of scans: (scan, first row, row behind the last)."""

    def __init__(self, pieces: tuple[tuple[Scan, int, int], ...]) -> None:
        self.pieces: Final = pieces
        self.rows = sum(high - low for _, low, high in pieces)

    @cached_property
    def batch(self) -> pa.RecordBatch:
        """The same as Arrow data."""
        names = [scan.name for scan, low, high in self.pieces for _ in range(low, high)]
        rows = [row for _, low, high in self.pieces for row in range(low, high)]
        # Typed columns: with bare lists and the schema alone a batch takes half as long again.
        columns = [pa.array(names, pa.string()), pa.array(rows, pa.int64())]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    def head(self, rows: int) -> "Pieces":
        """The first rows."""
        pieces = []
        for scan, low, high in self.pieces:
            if rows <= 0:
                break
            pieces.append((scan, low, min(high, low + rows)))
            rows -= high - low
        return Pieces(tuple(pieces))

    def tail(self, skip: int) -> "Pieces":
        """All but the first rows."""
        pieces = []
        for scan, low, high in self.pieces:
            cut = min(skip, high - low)
            skip -= cut
            if low + cut < high:
                pieces.append((scan, low + cut, high))
        return Pieces(tuple(pieces))


def row_names(batch: pa.RecordBatch) -> list[str]:
    """The rows of a batch by name, runs as ``scan:first-last``."""
    names: list[str] = []
    run: tuple[str, int, int] | None = None
    for scan, row in zip(
        batch.column("scan").to_pylist(), batch.column("row").to_pylist(), strict=True
    ):
        if run and run[0] == scan and run[2] + 1 == row:
            run = (scan, run[1], row)
            continue
        if run:
            names.append(f"{run[0]}:{run[1]}-{run[2]}")
        run = (scan, row, row)
    if run:
        names.append(f"{run[0]}:{run[1]}-{run[2]}")
    return names


class RowNames:
    """`row_names`, which for one batch is asked at its way in, out and to the client in turn.

    ``name`` names real rows.
    """

    def __init__(self, name: Callable[[pa.RecordBatch], list[str]] = row_names) -> None:
        self._name = name
        self._last: tuple[pa.RecordBatch, list[str]] | None = None

    def __call__(self, batch: pa.RecordBatch) -> list[str]:
        """The names of the rows of a batch."""
        if self._last is None or self._last[0] is not batch:
            self._last = batch, self._name(batch)
        return self._last[1]


def oldest_first(plan: Plan) -> bool:
    """Whether the plan asks for the oldest rows."""
    return any(isinstance(node, TopK) and node.ascending for node in plan)


def scans_of(
    task: Task, name: str, workload: Workload, *, ascending: bool | None = None
) -> list[Scan]:
    """What the task reads from storage; `name` is the task's.

    `ascending` is what `oldest_first` says of the plan: who knows it spares a look at the whole
    plan for each task.
    """
    found: list[Scan] = []
    if ascending is None:
        ascending = oldest_first(workload.plan)
    for node in task.fragment.preorder():
        targets: Iterable[Node] = node.targets if isinstance(node, ScanSet) else (node,)
        for target in targets:
            if isinstance(target, DataObjScan | PointersScan):
                bounds = target.max_time_range
                found.append(
                    Scan(
                        f"{name}.{len(found)}",
                        workload.rows_per_scan,
                        None if bounds.start is None else bounds.start.ns,
                        None if bounds.end is None else bounds.end.ns,
                        ascending,
                    )
                )
    return found


class Fragment:
    """What a task does to rows here: it merges, keeps the newest or oldest, skips and limits.

    A breaker collects everything before it gives one batch.  A TopK over times keeps its K rows
    by (time, scan, row), so that its answer does not depend on the order of arrival.
    """

    def __init__(
        self,
        task: Task,
        scans: Sequence[Scan] = (),
        *,
        unlimited: bool = False,
        hides: bool = False,
    ) -> None:
        self.scans: Final = scans
        nodes = list(task.fragment.preorder())
        self._nodes = nodes
        self._taken = 0
        limits = [node for node in nodes if isinstance(node, Limit) and not unlimited]
        self._skip = sum(node.skip for node in limits)
        self._left: int | None = min((node.fetch for node in limits), default=None)
        tops = [node for node in nodes if isinstance(node, TopK) and not unlimited]
        self._top: TopK | None = tops[0] if tops else None
        self._collects = any(node.breaker for node in nodes)
        self._kept: list[tuple[int, str, int, Scan]] = []
        self._pieces: list[tuple[Scan, int, int]] = []
        # A batching root hides the range reports in the reference (hazard W12).
        shown = nodes if hides else [n for n in nodes if not isinstance(n, Batching)]
        outermost = shown[0] if shown else None
        self._reports = (
            isinstance(outermost, TopK) and outermost.k > 0 and outermost.sort_by == _TIME
        )

    @property
    def done(self) -> bool:
        """Whether nothing more can come out."""
        return self._left == 0 and not self._collects

    def rows_in(self) -> dict[str, int]:
        """Every batch counts once for each node: what a filter keeps is not made up."""
        taken, self._taken = self._taken, 0
        counts = Counter(node.kind for node in self._nodes)
        return {kind: taken * count for kind, count in counts.items()}

    def wants(self, scan: Reading[Pieces]) -> bool:  # noqa: ARG002 - all alike
        """Whether more rows can change anything."""
        return not self.done

    def push(self, source: Sequence[str], record: Pieces) -> list[Pieces]:  # noqa: ARG002
        """Take a batch; gives what comes out at once."""
        self._taken += record.rows
        if not self._collects:
            return self._limited(record)
        if self._top is not None and self._top.k:
            self._keep(record, self._top)
        else:
            self._pieces.extend(record.pieces)
        return []

    def end(self, source: Sequence[str]) -> list[Pieces]:  # noqa: ARG002
        """Nothing depends on the end of one source."""
        return []

    def finish(self) -> list[Pieces]:
        """All input has ended; gives what was collected."""
        if not self._collects:
            return []
        pieces = self._pieces or [
            (scan, row, row + 1) for _, _, row, scan in sorted(self._kept, key=itemgetter(1, 2))
        ]
        return self._limited(Pieces(_joined(pieces)))

    @property
    def contributing(self) -> ContributingTimeRange | None:
        """Which times can still change the answer, once K rows are kept; else None."""
        if not self._reports or self._top is None or len(self._kept) < self._top.k:
            return None
        _, _, row, scan = self._kept[-1]
        bound = scan.time(row)
        if bound is None:
            return None
        # Rows of the very instant may still win by their other columns.
        less_than = self._top.ascending
        return ContributingTimeRange(Timestamp(bound + (1 if less_than else -1)), less_than)

    def _keep(self, record: Pieces, top: TopK) -> None:
        sign = 1 if top.ascending else -1
        for scan, low, high in record.pieces:
            for row in range(low, high):
                time = scan.time(row)
                kept = (sign * time if time is not None else 0, scan.name, row, scan)
                if len(self._kept) < top.k or _rank(kept) < _rank(self._kept[-1]):
                    insort(self._kept, kept, key=_rank)
                    del self._kept[top.k :]

    def _limited(self, record: Pieces) -> list[Pieces]:
        if self._skip:
            cut = min(self._skip, record.rows)
            self._skip -= cut
            record = record.tail(cut)
        if self._left is not None:
            record = record.head(self._left)
            self._left -= record.rows
        return [record] if record.rows else []


def _joined(pieces: Iterable[tuple[Scan, int, int]]) -> tuple[tuple[Scan, int, int], ...]:
    joined: list[tuple[Scan, int, int]] = []
    for scan, low, high in pieces:
        if joined and joined[-1][0] is scan and joined[-1][2] == low:
            joined[-1] = (scan, joined[-1][1], high)
        else:
            joined.append((scan, low, high))
    return tuple(joined)
