"""Rows as the oracle sees them: a dict from a column to a value, and nothing for what is missing.

A column is named as in answers (``utf8.label.app``, ``float64.generated.value``), a time is an
integer of nanoseconds since the epoch, a number is a float, everything else is text.

Missing: a text that a row does not have reads as the empty text, whichever other rows have it; so
no answer depends on how rows are cut into batches.  (The reference tells a column that a batch
lacks from a null in one that it has, semantics 11.3 and 11.7.)  A missing time or number is None.

>>> pick({"utf8.label.pod": "p0"}, Column(ColumnType.AMBIGUOUS, "pod"))
'p0'
>>> pick({}, Column(ColumnType.LABEL, "pod"))
''
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import pyarrow as pa

from workflow.expressions import Column, ColumnType

__all__ = [
    "ERROR",
    "MESSAGE",
    "TIMESTAMP",
    "VALUE",
    "CannotAnswer",
    "Row",
    "Section",
    "called",
    "found",
    "kind_and_name",
    "pick",
    "stored_rows",
    "text_column",
]

Value = str | int | float
Row = Mapping[str, Value]
Section: TypeAlias = "pa.Table | pa.RecordBatch | Sequence[pa.RecordBatch]"

TIMESTAMP: Final = "timestamp_ns.builtin.timestamp"
MESSAGE: Final = "utf8.builtin.message"
VALUE: Final = "float64.generated.value"
ERROR: Final = "utf8.generated.__error__"
_NO_TEXTS: Final = (TIMESTAMP, VALUE)

# Of columns of one name the first that a row has (semantics 11.7).
_PRIORITY: Final = ("generated", "parsed", "metadata", "label", "ambiguous", "builtin")
_FIXED: Final = {"stream_id": pa.int64(), "timestamp": pa.timestamp("ns", "UTC")}


class CannotAnswer(ValueError):
    """The plan has no answer here.

    ``rule`` says why: ``unsupported`` (the reference does not execute it either), ``arity``,
    ``types``, ``pattern``, ``series-limit`` (a task fails), ``undetermined`` (what any rows will
    do for is aggregated), ``no-object`` and ``data``.  ``where`` names the node or the object.
    """

    def __init__(self, rule: str, where: str, message: str) -> None:
        super().__init__(rule, where, message)
        self.rule = rule
        self.where = where

    def __str__(self) -> str:
        return ": ".join(part for part in self.args if part)


def text_column(kind: str, name: str) -> str:
    """The name of a column of text."""
    return f"utf8.{kind}.{name}"


def kind_and_name(column: str) -> tuple[str, str]:
    """``utf8.label.app`` is a ``label`` called ``app``."""
    _, kind, name = column.split(".", 2)
    return kind, name


def called(column: Column) -> tuple[str, ...]:
    """The columns that `column` may mean, in the order in which they are looked at."""
    if column.type is ColumnType.AMBIGUOUS:
        kinds: tuple[str, ...] = _PRIORITY
    else:
        kinds = (column.type.value,)
    return tuple(_full_name(kind, column.name) for kind in kinds)


def _full_name(kind: str, name: str) -> str:
    if (kind, name) == ("builtin", "timestamp"):
        return TIMESTAMP
    if (kind, name) == ("generated", "value"):
        return VALUE
    return text_column(kind, name)


def found(row: Row, column: Column) -> Value | None:
    """What `row` has in `column`, if anything.

    An ambiguous column is a text, whatever else the row has under that name: else what it is
    would differ from row to row.
    """
    for name in called(column):
        if name in row and (name not in _NO_TEXTS or column.type is not ColumnType.AMBIGUOUS):
            return row[name]
    return None


def pick(row: Row, column: Column) -> Value | None:
    """What `row` has in `column`; None for a missing time or number, "" for a missing text."""
    value = found(row, column)
    if value is None and called(column) not in ((TIMESTAMP,), (VALUE,)):
        return ""
    return value


def stored_rows(section: Section, where: str) -> Iterator[tuple[int, Row]]:
    """The stream and the columns of each row of a section in storage form.

    Raises CannotAnswer, naming the column, for what is not in storage form.
    """
    for batch in _batches(section):
        names = _names(batch.schema, where)
        streams = batch.column("stream_id").to_pylist()
        columns = [
            (name, _values(batch.column(index)))
            for index, name in enumerate(names)
            if name != "stream_id"
        ]
        for index, stream in enumerate(streams):
            found = ((name, values[index]) for name, values in columns)
            row = {name: value for name, value in found if value is not None}
            if stream is None or TIMESTAMP not in row:
                raise CannotAnswer("data", where, f"row {index} has no stream_id or no timestamp")
            yield stream, row


def _batches(section: Section) -> Iterable[pa.RecordBatch]:
    if isinstance(section, pa.Table):
        batches: list[pa.RecordBatch] = section.to_batches()
        return batches
    return [section] if isinstance(section, pa.RecordBatch) else section


def _names(schema: pa.Schema, where: str) -> list[str]:
    for name, kind in _FIXED.items():
        if name not in schema.names or schema.field(name).type != kind:
            raise CannotAnswer("data", where, f"got {schema.names}, expected {name} as {kind}")
    return [_answer_name(name, where) for name in schema.names]


def _answer_name(name: str, where: str) -> str:
    if name in ("stream_id", "timestamp", "message"):
        return {"timestamp": TIMESTAMP, "message": MESSAGE}.get(name, name)
    kind, _, rest = name.partition(".")
    if kind not in ("label", "metadata") or not rest:
        raise CannotAnswer("data", where, f"got column {name!r}, expected label.X or metadata.X")
    return text_column(kind, rest)


def _values(column: pa.Array) -> list[Value | None]:
    values: list[Value | None]
    if pa.types.is_timestamp(column.type):
        values = column.cast(pa.int64()).to_pylist()
    else:
        values = column.to_pylist()
    return values
