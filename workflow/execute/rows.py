"""Rows between two operators: columns by full name, and how many rows there are.

A column's full name is ``<type>.<kind>.<name>``, such as ``utf8.label.app``.  A text that is null,
a column that is missing and, where values are compared or grouped, the empty text are the same:
columns exist only where they have a value, so a cut between two rows must not tell them apart.

>>> rows = Rows({"utf8.label.app": pa.array(["shop", None])}, 2)
>>> rows.text(Column(ColumnType.AMBIGUOUS, "app")).to_pylist()
['shop', '']
>>> rows.text(Column(ColumnType.PARSED, "level")).to_pylist()
['', '']
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.scalars import NO_TEXT
from workflow.expressions import Column, ColumnType

__all__ = [
    "DETAILS",
    "ERROR",
    "MESSAGE",
    "TIME",
    "TIME_TYPE",
    "VALUE",
    "Rows",
    "concat",
    "name_parts",
    "text_name",
]

TIME: Final = "timestamp_ns.builtin.timestamp"
MESSAGE: Final = "utf8.builtin.message"
VALUE: Final = "float64.generated.value"
ERROR: Final = "utf8.generated.__error__"
DETAILS: Final = "utf8.generated.__error_details__"

TIME_TYPE: Final = pa.timestamp("ns", "UTC")

# Of columns that share a name, the first kind that has a value is read (semantics 11.7).
_PRIORITY: Final = {
    kind: place for place, kind in enumerate(("generated", "parsed", "metadata", "label"))
}
# Group columns, which stay although no row has a value; others exist only where they have one.
_LASTING: Final = "utf8.ambiguous."


@lru_cache(maxsize=4096)
def name_parts(full: str) -> tuple[str, str, str]:
    """Type, kind and name of a column's full name; a name may hold dots."""
    kind, _, rest = full.partition(".")
    middle, _, name = rest.partition(".")
    return kind, middle, name


def text_name(kind: str, name: str) -> str:
    """The full name of a text column."""
    return f"utf8.{kind}.{name}"


class Rows:
    """Some rows.  Never changed once made; columns of one length each, `count`."""

    __slots__ = ("columns", "count")

    def __init__(self, columns: Mapping[str, pa.Array], count: int) -> None:
        self.columns = dict(columns)
        self.count = count

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "Rows":
        """The rows of a batch; of columns with one name each row takes the first value."""
        columns: dict[str, pa.Array] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            known = columns.get(name)
            columns[name] = column if known is None else pc.coalesce(known, column)
        return cls(columns, batch.num_rows)

    def batch(self) -> pa.RecordBatch:
        """A batch, its columns by name."""
        if not self.columns:  # only this way a batch keeps its count without any column
            empty = pa.array([{}] * self.count, pa.struct([]))
            return pa.RecordBatch.from_struct_array(empty)
        names = sorted(self.columns)
        return pa.RecordBatch.from_arrays([self.columns[name] for name in names], names)

    # Fewer rows.

    def filter(self, mask: pa.Array) -> "Rows":
        """The rows for which `mask`, without nulls, is true."""
        kept = pc.sum(mask).as_py() or 0
        if kept == self.count:
            return self
        return Rows({name: each.filter(mask) for name, each in self.columns.items()}, kept)

    def take(self, places: pa.Array) -> "Rows":
        """The rows at `places`, in that order."""
        return Rows({name: each.take(places) for name, each in self.columns.items()}, len(places))

    def slice(self, start: int, length: int) -> "Rows":
        """At most `length` rows from `start` on."""
        length = max(0, min(length, self.count - start))
        columns = {name: each.slice(start, length) for name, each in self.columns.items()}
        return Rows(columns, length)

    # Other columns.

    def with_columns(self, columns: Mapping[str, pa.Array]) -> "Rows":
        """The same rows with columns added or replaced."""
        return Rows({**self.columns, **columns}, self.count)

    def only(self, names: Iterable[str]) -> "Rows":
        """The same rows with these columns."""
        return Rows({name: self.columns[name] for name in names}, self.count)

    def without(self, names: Iterable[str]) -> "Rows":
        """The same rows without these columns."""
        gone = dict.fromkeys(names)
        return self.only(name for name in self.columns if name not in gone)

    def tidy(self) -> "Rows":
        """The same rows without columns that no row has, but for those grouped by."""
        return self.without(
            name
            for name, each in self.columns.items()
            if each.null_count == self.count and not name.startswith(_LASTING)
        )

    # Reading.

    def named(self, column: Column) -> list[str]:
        """Full names of the columns meant, in the order in which they are read."""
        kind = None if column.type is ColumnType.AMBIGUOUS else column.type.value
        found = [
            full
            for full in self.columns
            if (parts := name_parts(full))[2] == column.name and kind in (None, parts[1])
        ]
        return sorted(found, key=lambda full: (_PRIORITY.get(name_parts(full)[1], 9), full))

    def read(self, column: Column) -> pa.Array | None:
        """A column's values, null where there is none; None if there is no such column.

        Of those that `ambiguous` may mean only texts are read, row by row the first that there
        is.  A value or a time has one name only: what a column is must not depend on which others
        a batch happens to have.
        """
        found = [self.columns[name] for name in self.named(column)]
        if column.type is ColumnType.AMBIGUOUS:
            found = [each for each in found if pa.types.is_string(each.type)]
        return pc.coalesce(*found) if len(found) > 1 else found[0] if found else None

    def text(self, column: Column) -> pa.Array:
        """A text column, the empty text where there is no value or no text column."""
        values = self.read(column)
        if values is None or not pa.types.is_string(values.type):
            return pa.repeat(NO_TEXT, self.count)
        return pc.fill_null(values, "") if values.null_count else values


def concat(parts: list[Rows]) -> Rows:
    """All rows, one after the other, with every column; null where a part lacks it."""
    if len(parts) == 1:
        return parts[0]
    types: dict[str, pa.DataType] = {}
    for part in parts:
        for name, column in part.columns.items():
            types.setdefault(name, column.type)
    columns = {
        name: pa.concat_arrays(
            [
                part.columns[name] if name in part.columns else pa.nulls(part.count, type_)
                for part in parts
            ]
        )
        for name, type_ in types.items()
    }
    return Rows(columns, sum(part.count for part in parts))
