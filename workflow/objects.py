"""Data objects: log lines in Parquet files.  The only module that reads them.

A bucket is a folder, or a URL that `pyarrow.fs` knows.  A location is a file in it, without the
ending ``.parquet``; a section is a row group.  Storage form: ``stream_id`` int64, ``timestamp``
nanoseconds in UTC, ``message`` text, none of them null, then ``label.X`` and ``metadata.X`` as
text; rows by ascending stream, and inside a stream newest first.

A file that is damaged or of another form is one DataError.  What is read is checked as it passes:
nulls, order, and that every row lies in the range that the file claims for its section.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from workflow.times import TimeRange, Timestamp

__all__ = ["SUFFIX", "Bucket", "DataError", "Section", "storage_schema"]

SUFFIX: Final = ".parquet"
MAX_SECTION_BYTES: Final = 2**31  # a section, unpacked, as its file declares it

_PIECE: Final = 2**20  # bytes that are read at once

_FIXED: Final = {
    "stream_id": pa.int64(),
    "timestamp": pa.timestamp("ns", "UTC"),
    "message": pa.string(),
}
_TRUE: Final = pa.scalar(True, pa.bool_())  # a plain value takes far longer
_ORDERED: Final = ("stream_id", "timestamp")
_KINDS: Final = ("label.", "metadata.")


class DataError(ValueError):
    """A data object that cannot be read: which file and column, what was seen, what is right."""

    def __init__(self, where: str, column: str, seen: str, right: str) -> None:
        super().__init__(where, column, seen, right)
        self.where = where
        self.column = column

    def __str__(self) -> str:
        where, column, seen, right = self.args
        place = f"{where}: column {column}" if column else where
        return f"{place}: got {seen}, expected {right}"


@dataclass(frozen=True, slots=True)
class Section:
    """A section that has rows: where it is, and what it holds."""

    location: str
    section: int
    rows: int
    stream_ids: tuple[int, ...]  # ascending
    time_range: TimeRange  # exactly from the first to the last of its rows
    unpacked_bytes: int


def storage_schema(labels: Iterable[str] = (), metadata: Iterable[str] = ()) -> pa.Schema:
    """The columns of a section with these labels and metadata, sorted by name."""
    texts = [f"label.{name}" for name in sorted(labels)]
    texts += [f"metadata.{name}" for name in sorted(metadata)]
    return pa.schema([*_FIXED.items(), *((name, pa.string()) for name in texts)])


class Bucket:
    """The data objects below one place.  Every method raises DataError."""

    def __init__(self, place: str | PathLike[str]) -> None:
        self.place: Final = fspath(place)
        self._files, self._root = _file_system(self.place)

    def locations(self) -> list[str]:
        """The locations, numbers in their names as numbers; other files are passed over."""
        selector = pafs.FileSelector(self._root, recursive=True)
        try:
            found = self._files.get_file_info(selector)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                self.place, "", _first_line(error), f"a folder of {SUFFIX} files"
            ) from None
        names = []
        for info in found:
            path = PurePosixPath(info.path).relative_to(PurePosixPath(self._root))
            hidden = any(part.startswith((".", "_")) for part in path.parts)
            if info.type == pafs.FileType.File and path.suffix == SUFFIX and not hidden:
                names.append(str(path).removesuffix(SUFFIX))
        return sorted(names, key=_natural)

    def sections(self) -> list[Section]:
        """All sections that have rows, in the order of their locations.

        Ranges come from the files' statistics, stream ids from their data.
        """
        return [section for location in self.locations() for section in self._listed(location)]

    def _listed(self, location: str) -> Iterator[Section]:
        where = self._shown(location)
        with self._opened(location) as file:
            for index in range(file.num_row_groups):
                group = file.metadata.row_group(index)
                if group.num_rows:
                    times = self._times(file, index, where)
                    yield Section(
                        location,
                        index,
                        group.num_rows,
                        self._streams(file, index, where),
                        TimeRange(Timestamp(times[0]), Timestamp(times[1])),
                        group.total_byte_size,
                    )

    def read(
        self,
        location: str,
        section: int,
        *,
        batch_rows: int = 8192,
        columns: Callable[[str], bool] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a section in batches of `batch_rows` or fewer.

        ``columns`` says which columns to read, such as `ScanSource.reads`; None is all of them.
        Streams and times come anyway, since their order is checked.
        """
        where = self._shown(location)
        with self._opened(location) as file:
            if not 0 <= section < file.num_row_groups:
                raise DataError(
                    where, "", f"no section {section}", f"0 to {file.num_row_groups - 1}"
                )
            size = file.metadata.row_group(section).total_byte_size
            if size > MAX_SECTION_BYTES:
                raise DataError(
                    where, "", f"section {section} of {size} bytes", f"{MAX_SECTION_BYTES} at most"
                )
            first, last = self._times(file, section, where)
            check = _Order(where, first, last)
            names = [
                name
                for name in file.schema_arrow.names
                if columns is None or name in _ORDERED or columns(name)
            ]
            for batch in _batches(file, section, where, batch_rows, *names):
                check.batch(batch)
                yield batch

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`: `read`, a batch at a time as it is asked for."""
        return self.read(location, section, batch_rows=rows)

    def load(self) -> dict[tuple[str, int], list[pa.RecordBatch]]:
        """Everything, by location and section."""
        return {
            (each.location, each.section): list(self.read(each.location, each.section))
            for each in self.sections()
        }

    def digest(self) -> str:
        """16 hexadecimal digits that tell these files from others: of their names and bytes."""
        total = hashlib.sha256()
        for location in self.locations():
            try:
                with self._files.open_input_stream(self._file(location)) as file:
                    one = hashlib.sha256()
                    while piece := file.read(_PIECE):
                        one.update(piece)
            except (OSError, pa.ArrowException) as error:
                raise DataError(
                    self._shown(location), "", _first_line(error), "a Parquet file"
                ) from None
            total.update(f"{location}\0{one.hexdigest()}\n".encode())
        return total.hexdigest()[:16]

    def _file(self, location: str) -> str:
        return f"{self._root}/{location}{SUFFIX}"

    def _shown(self, location: str) -> str:
        return f"{self.place.rstrip('/')}/{location}{SUFFIX}"

    def _opened(self, location: str) -> pq.ParquetFile:
        where = self._shown(location)
        path = PurePosixPath(location)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise DataError(self.place, "", f"location {location!r}", "one inside of the bucket")
        try:
            file = pq.ParquetFile(
                self._file(location),
                filesystem=self._files,
                pre_buffer=False,  # which would use threads
                page_checksum_verification=True,
            )
        except (OSError, pa.ArrowException) as error:
            raise DataError(where, "", _first_line(error), "a Parquet file") from None
        try:
            _check_columns(file.schema_arrow, where)
        except DataError:
            file.close()
            raise
        return file

    @staticmethod
    def _times(file: pq.ParquetFile, section: int, where: str) -> tuple[int, int]:
        """The first and the last time of a section, in nanoseconds."""
        group = file.metadata.row_group(section)
        statistics = group.column(file.schema_arrow.names.index("timestamp")).statistics
        if statistics is not None and statistics.has_min_max:
            return int(statistics.min_raw), int(statistics.max_raw)
        times: list[int] = []
        for batch in _batches(file, section, where, 65536, "timestamp"):
            some = batch.column(0).drop_null().cast(pa.int64())
            bounds = pc.min_max(some).as_py()
            times += [bound for bound in bounds.values() if bound is not None]
        return (min(times), max(times)) if times else (0, 0)

    @staticmethod
    def _streams(file: pq.ParquetFile, section: int, where: str) -> tuple[int, ...]:
        found: dict[int, None] = {}
        for batch in _batches(file, section, where, 65536, "stream_id"):
            found.update(dict.fromkeys(batch.column(0).drop_null().unique().to_pylist()))
        return tuple(sorted(found))


def _file_system(place: str) -> tuple[Any, str]:
    if "://" not in place:
        return pafs.LocalFileSystem(), place.rstrip("/") or "/"
    try:
        files, root = pafs.FileSystem.from_uri(place)
    except (OSError, pa.ArrowException) as error:
        raise DataError(place, "", _first_line(error), "a folder, or a URL of one") from None
    return files, root.rstrip("/") or "/"


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _first_line(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    text = str(error).partition("\n")[0].removeprefix("Invalid: ")
    return text.rstrip(".") or type(error).__name__


def _check_columns(schema: pa.Schema, where: str) -> None:
    for name, kind in _FIXED.items():
        count = schema.names.count(name)
        if count != 1:
            raise DataError(where, name, f"{count} of it", f"one, as {kind}")
        if schema.field(name).type != kind:
            raise DataError(where, name, str(schema.field(name).type), str(kind))
    for index, name in enumerate(schema.names):
        if name in _FIXED:
            continue
        if not name.startswith(_KINDS) or name in _KINDS:
            raise DataError(where, name, "a column of that name", "label.X or metadata.X")
        if schema.names.count(name) > 1:
            raise DataError(where, name, f"{schema.names.count(name)} of it", "one")
        if schema.field(index).type != pa.string():
            raise DataError(where, name, str(schema.field(index).type), "string")


def _batches(
    file: pq.ParquetFile, section: int, where: str, rows: int, *columns: str
) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(
        batch_size=rows, row_groups=[section], columns=list(columns), use_threads=False
    )
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
        except (OSError, pa.ArrowException) as error:
            seen = f"damage in section {section} ({_first_line(error)})"
            damaged = _damaged(file, section, columns)
            raise DataError(where, damaged, seen, "sound data") from None
        for name in batch.schema.names:
            try:
                batch.column(name).validate(full=True)
            except pa.ArrowException as error:
                raise DataError(where, name, _first_line(error), "text in UTF-8") from None
        yield batch


def _damaged(file: pq.ParquetFile, section: int, columns: Iterable[str]) -> str:
    """The first of these columns that cannot be read by itself; "" if each of them can."""
    for name in columns:
        try:
            for _ in file.iter_batches(row_groups=[section], columns=[name], use_threads=False):
                pass
        except (OSError, pa.ArrowException):
            return str(name)
    return ""


class _Order:
    """Checks one section's batches, in their order: nulls, the order of rows, and their range."""

    def __init__(self, where: str, first: int, last: int) -> None:
        self._where = where
        self._range = first, last
        self._rows = 0
        self._end: tuple[int, int] | None = None  # stream and time of the last row so far

    def batch(self, batch: pa.RecordBatch) -> None:
        for name in _FIXED:
            if name not in batch.schema.names:
                continue
            column = batch.column(name)
            if column.null_count:
                self._fail(name, pc.index(column.is_null(), _TRUE).as_py(), "null", "a value")
        streams, times = batch.column("stream_id"), batch.column("timestamp").cast(pa.int64())
        low, high = self._range
        outside = pc.or_(pc.less(times, low), pc.greater(times, high))
        if pc.any(outside).as_py():
            row = pc.index(outside, _TRUE).as_py()
            seen = str(Timestamp(times[row].as_py()))
            right = f"{Timestamp(low)} to {Timestamp(high)} as its section claims"
            self._fail("timestamp", row, seen, right)
        if self._end is not None:
            streams = pa.concat_arrays([pa.array([self._end[0]], pa.int64()), streams])
            times = pa.concat_arrays([pa.array([self._end[1]], pa.int64()), times])
        before = len(streams) - batch.num_rows  # rows of the batch before, none or one
        back = pc.less(streams[1:], streams[:-1])
        later = pc.and_(pc.equal(streams[1:], streams[:-1]), pc.greater(times[1:], times[:-1]))
        for name, wrong, right in (
            ("stream_id", back, "ascending streams"),
            ("timestamp", later, "the newest row of a stream first"),
        ):
            row = pc.index(wrong, _TRUE).as_py()
            if row >= 0:
                column = streams if name == "stream_id" else times
                pair = [column[row + step].as_py() for step in (0, 1)]
                self._fail(name, row + 1 - before, f"{pair[1]} after {pair[0]}", right)
        self._rows += batch.num_rows
        self._end = streams[-1].as_py(), times[-1].as_py()

    def _fail(self, column: str, row: int, seen: str, right: str) -> None:
        raise DataError(self._where, column, f"{seen} in row {self._rows + row}", right)
