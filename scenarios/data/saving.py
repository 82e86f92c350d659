"""The result of a run as a file: Parquet, CSV or JSON Lines, as its ending says.

It is there as a whole or not at all: written under another name beside it, and renamed.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from scenarios.data.running import answer_rows
from scenarios.inputs import InputError

__all__ = ["ENDINGS", "Save", "result_file"]

Save = Callable[[Sequence[pa.RecordBatch]], None]  # raises InputError; called at most once

_AT_ONCE: Final = 8_192  # rows that are turned into JSON


@contextmanager
def result_file(place: Path) -> "Iterator[Save]":
    """Make sure that a result can be saved at `place`, and give what saves it.

    Without a save, or if it fails, what was there before stays.  Raises InputError for an ending
    that is not known, and for a place where nothing can be written.
    """
    write = _WRITERS.get(place.suffix.lower())
    if write is None:
        known = ", ".join(ENDINGS[:-1])
        raise InputError(
            str(place), f"got the ending {place.suffix!r}, expected {known} or {ENDINGS[-1]}"
        )
    try:
        path = place.resolve()  # through a link, to what it points at
        if path.exists() and not path.is_file():
            raise InputError(str(place), "cannot be written (it is there, and no file)")
        part = path.with_name(f".windtunnel-{os.getpid()}.part")
        out = part.open("wb")
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        raise _cannot(place, error) from None

    def save(batches: Sequence[pa.RecordBatch]) -> None:
        try:
            write(_whole(batches), out)
            out.close()
            part.replace(path)
        except OSError as error:
            raise _cannot(place, error) from None

    try:
        yield save
    finally:
        try:
            out.close()  # it may still have something to write, and no room
        except OSError:
            pass
        finally:
            part.unlink(missing_ok=True)


def _cannot(place: Path, error: Exception) -> InputError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return InputError(str(place), f"cannot be written ({why})")


def _whole(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """All rows in the order in which they were read; the columns of all batches, by name."""
    if not batches:
        return pa.table({})
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    whole = pa.concat_tables(tables, promote_options="default")
    return whole.select(sorted(whole.column_names))


def _write_parquet(table: pa.Table, out: IO[bytes]) -> None:
    pq.write_table(table, out)


def _write_csv(table: pa.Table, out: IO[bytes]) -> None:
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(at, field.name, _rfc_3339(table.column(at)))
    if table.num_columns:
        csv.write_csv(table, out)


def _rfc_3339(times: pa.ChunkedArray) -> pa.ChunkedArray:
    # By hand: what formats times of a zone asks a database of zones, which may not be there.
    plain = pc.cast(pc.cast(times, pa.timestamp("ns")), pa.string())
    dated = pc.replace_substring(plain, " ", "T")
    return pc.binary_join_element_wise(dated, "Z", "")


def _write_json(table: pa.Table, out: IO[bytes]) -> None:
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        for row in answer_rows([batch]):
            out.write(f"{json.dumps(row, ensure_ascii=False)}\n".encode())


_WRITERS: Final[dict[str, Callable[[Any, IO[bytes]], None]]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".json": _write_json,
    ".jsonl": _write_json,
}
ENDINGS: Final = tuple(_WRITERS)
