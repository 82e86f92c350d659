"""Lines in any order become a bucket, in bounded memory and all at once.

Lines are gathered into runs, sorted by object and time, which go to a file; the runs are merged and
cut into sections.  What is finished gets the bucket's name, so that a bucket is whole or not there.
"""

import heapq
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from scenarios.data.lines import BadLine, Limits, Line, Pairs
from scenarios.inputs import InputError
from workflow.objects import SUFFIX, storage_schema
from workflow.times import TimeRange, Timestamp

__all__ = ["Store", "Stored"]

RUN_ROWS: Final = 100_000  # sorted in memory
RUN_BYTES: Final = 2**26
SECTION_ROWS: Final = 100_000  # of a section at most, and by default

_CHUNK: Final = 512  # rows of a run that are in memory while runs are merged

_Row = tuple[int, int, int, str, Pairs]  # object, time, stream, message, metadata

_SPOOLED: Final = pa.schema(
    [
        ("object", pa.int64()),
        ("ns", pa.int64()),
        ("stream", pa.int64()),
        ("message", pa.string()),
        ("metadata", pa.map_(pa.string(), pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a bucket holds."""

    rows: int
    streams: int
    sections: int
    objects: int
    time_range: TimeRange


class Store:
    """Gathers lines, and makes a bucket of them on `finish`.

    With `sections` the lines are cut into so many, equal in rows, each its own object and slice of
    time; without, each line goes to the object that it names, or, if lines name none, they are cut
    into as few sections as will do.  Raises InputError for a place that cannot be written.
    """

    def __init__(
        self,
        out: Path,
        *,
        sections: int | None = None,
        limits: Limits | None = None,
        run_rows: int = RUN_ROWS,
        section_rows: int = SECTION_ROWS,
    ) -> None:
        self._out = out
        self._target = out.resolve()
        self._sections = sections
        self._limits = limits or Limits()
        self._run_rows = run_rows
        self._section_rows = section_rows
        self._streams: dict[Pairs, int] = {}
        self._labels: dict[int, Pairs] = {}
        self._next_stream = 1
        self._names: dict[str, dict[str, None]] = {"label": {}, "metadata": {}}
        self._named_objects: bool | None = None  # whether lines name their objects
        self._buffer: list[_Row] = []
        self._bytes = 0
        self._rows = 0
        self._counts: dict[int, int] = {}  # rows of each object
        self._runs: list[tuple[int, int]] = []  # of each run the first of its batches, and the end
        self._part = self._target.with_name(f".{self._target.name}-{os.getpid()}.part")
        self._spool: Any = None

    def __enter__(self) -> Self:
        self._guarded(self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._spool is not None:
            self._spool.close()
        shutil.rmtree(self._part, ignore_errors=True)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            why = error.strerror or error
            raise InputError(str(self._out), f"cannot be written ({why})") from None

    def _begin(self) -> None:
        there = self._target
        if there.exists() and (not there.is_dir() or any(there.iterdir())):
            raise InputError(str(self._out), "is there already, expected a new or an empty folder")
        shutil.rmtree(self._part, ignore_errors=True)
        (self._part / "bucket" / "objects").mkdir(parents=True)
        self._spool = pa.ipc.new_file(str(self._part / "runs"), _SPOOLED)

    def add(self, line: Line) -> None:
        """Take a line.  Raises BadLine for one that does not fit to those before."""
        names_object = line.object is not None
        if self._named_objects is None:
            self._named_objects = names_object
        if names_object != self._named_objects:
            right = (
                "one as in the lines before" if self._named_objects else "none as in those before"
            )
            raise BadLine(f"got {'an' if names_object else 'no'} object, expected {right}")
        names = {"label": line.labels, "metadata": line.metadata}
        for kind, pairs in names.items():
            self._check_names(kind, pairs)
        stream = self._stream(line)
        for kind, pairs in names.items():
            self._names[kind].update(dict.fromkeys(name for name, _ in pairs))
        place = line.object if line.object is not None and self._sections is None else 0
        self._buffer.append((place, line.ns, stream, line.message, line.metadata))
        self._bytes += len(line.message) + sum(len(text) for _, text in line.metadata)
        self._rows += 1
        self._counts[place] = self._counts.get(place, 0) + 1
        if len(self._buffer) >= self._run_rows or self._bytes >= RUN_BYTES:
            self._guarded(self._flush)

    def _check_names(self, kind: str, pairs: Pairs) -> None:
        known = self._names[kind]
        new = [name for name, _ in pairs if name not in known]
        if len(known) + len(new) > self._limits.names:
            raise BadLine(f"got one more name of {kind}, expected {self._limits.names} at most")

    def _stream(self, line: Line) -> int:
        known = self._streams.get(line.labels)
        number = line.stream_id
        if number is None:
            number = known
        if number is None:
            number = self._next_stream
        if number in self._labels and self._labels[number] != line.labels:
            raise BadLine(f"got stream_id {number} with other labels, expected the same as before")
        if number not in self._labels:
            if len(self._labels) >= self._limits.streams:
                raise BadLine(f"got one more stream, expected {self._limits.streams} at most")
            self._labels[number] = line.labels
            self._streams.setdefault(line.labels, number)
            self._next_stream = max(self._next_stream, number + 1)
        return number

    def _flush(self) -> None:
        self._buffer.sort(key=_order)
        first = sum(end - start for start, end in self._runs)
        for at in range(0, len(self._buffer), _CHUNK):
            rows = self._buffer[at : at + _CHUNK]
            columns = [list(column) for column in zip(*rows, strict=True)]
            self._spool.write_batch(pa.record_batch(columns, schema=_SPOOLED))
        count = -(-len(self._buffer) // _CHUNK)
        self._runs.append((first, first + count))
        self._buffer, self._bytes = [], 0

    def finish(self) -> Stored:
        """Write the bucket.  Raises InputError if there are no lines, or it cannot be written."""
        if not self._rows:
            raise InputError(str(self._out), "got no lines, expected one at least")
        found: list[Stored] = []
        self._guarded(lambda: found.append(self._written()))
        return found[0]

    def _written(self) -> Stored:
        if self._buffer:
            self._flush()
        self._spool.close()
        self._spool = None
        sections, bounds = 0, []
        layout = self._layout()
        with pa.OSFile(str(self._part / "runs")) as file:
            reader = pa.ipc.open_file(file)
            rows = heapq.merge(*(_run(reader, *run) for run in self._runs), key=_order)
            for number, count in layout:
                sizes = _shares(count, -(-count // self._section_rows))
                pieces = (list(islice(rows, size)) for size in sizes)
                path = self._part / "bucket" / "objects" / f"{number}{SUFFIX}"
                bounds += self._write(path, pieces, several=len(sizes) > 1)
                sections += len(sizes)
        (self._part / "bucket").replace(self._target)
        first, last = min(bounds), max(bounds)
        span = TimeRange(Timestamp(first), Timestamp(last))
        return Stored(self._rows, len(self._labels), sections, len(layout), span)

    def _layout(self) -> list[tuple[int, int]]:
        """The number of each object and of its rows, in the order in which rows are merged."""
        if self._named_objects and self._sections is None:
            return sorted(self._counts.items())
        wanted = self._sections or -(-self._rows // self._section_rows)
        return list(enumerate(_shares(self._rows, min(wanted, self._rows))))

    def _write(self, path: Path, pieces: Iterator[list[_Row]], *, several: bool) -> list[int]:
        """A file with a section for each piece; the first and the last time of each."""
        writer, bounds = None, []
        try:
            for rows in pieces:
                table = self._table(rows, self._names if several else self._names_of(rows))
                if writer is None:
                    writer = pq.ParquetWriter(
                        path, table.schema, compression="zstd", write_page_checksum=True
                    )
                writer.write_table(table, row_group_size=len(rows))
                bounds += [min(row[1] for row in rows), max(row[1] for row in rows)]
        finally:
            if writer is not None:
                writer.close()
        return bounds

    def _names_of(self, rows: list[_Row]) -> dict[str, dict[str, None]]:
        streams = dict.fromkeys(row[2] for row in rows)
        return {
            "label": {name: None for stream in streams for name, _ in self._labels[stream]},
            "metadata": {name: None for row in rows for name, _ in row[4]},
        }

    def _table(self, rows: list[_Row], names: dict[str, dict[str, None]]) -> pa.Table:
        rows.sort(key=lambda row: (row[2], -row[1]))
        labels = {number: dict(self._labels[number]) for number in {row[2]: 0 for row in rows}}
        columns: dict[str, list[Any]] = {
            "stream_id": [row[2] for row in rows],
            "timestamp": [row[1] for row in rows],
            "message": [row[3] for row in rows],
        }
        for name in names["label"]:
            columns[f"label.{name}"] = [labels[row[2]].get(name) for row in rows]
        metadata = [dict(row[4]) for row in rows]
        for name in names["metadata"]:
            columns[f"metadata.{name}"] = [pairs.get(name) for pairs in metadata]
        schema = storage_schema(names["label"], names["metadata"])
        return pa.table(columns, schema=schema)


def _order(row: _Row) -> tuple[int, int]:
    return row[:2]


def _run(reader: Any, first: int, end: int) -> Iterator[_Row]:
    for index in range(first, end):
        columns = reader.get_batch(index).to_pydict()
        for place, ns, stream, message, metadata in zip(*columns.values(), strict=True):
            yield place, ns, stream, message, tuple(metadata)


def _shares(count: int, parts: int) -> list[int]:
    """`count` as `parts` whole numbers, as equal as can be."""
    return [count * (index + 1) // parts - count * index // parts for index in range(parts)]
