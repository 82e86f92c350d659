"""Series: sets of group values, numbered as they come.

`by` groups by the listed columns, an empty list by none; `without` by all labels, metadata and
parsed values but those with a listed name.  A value that is missing and the empty text are one.
"""

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.errors import ExecutionError
from workflow.execute.groups import encode
from workflow.execute.rows import Rows, name_parts, text_name
from workflow.execute.scalars import int64
from workflow.expressions import Column, ColumnType
from workflow.plan import PlanError, RangeAggregation, VectorAggregation

__all__ = ["Series"]

_GROUPED = ("ambiguous", "label", "metadata", "parsed")
_NO_TEXT = (Column(ColumnType.BUILTIN, "timestamp"), Column(ColumnType.GENERATED, "value"))

_Key = tuple[tuple[str, str], ...]  # full names and values, none of them empty


class Series:
    """The series met so far."""

    def __init__(self, node: RangeAggregation | VectorAggregation, where: str) -> None:
        for column in node.group_by:
            if column in _NO_TEXT:
                raise PlanError("group-column", where, f"got {column}, expected a column of text")
        if node.max_query_series < 0:
            raise PlanError(
                "max-query-series",
                where,
                f"got {node.max_query_series}, expected a number of series, or 0 for no limit",
            )
        self._without = node.without
        self._listed = dict.fromkeys(node.group_by)
        self._names = dict.fromkeys(column.name for column in node.group_by)
        self._limit = node.max_query_series
        self._where = where
        self._numbers: dict[_Key, int] = {}

    def numbers(self, rows: Rows) -> pa.Array:
        """Each row's series.  Raises ExecutionError (``max-query-series``)."""
        columns = self._columns(rows)
        if not columns:
            number = self._number(())
            return pa.repeat(int64(number), rows.count)
        codes = pc.dictionary_encode(encode(list(columns.values()))).indices
        # Codes count up as they come: a row has a new one where they rise above all before.
        highest = pc.cumulative_max(codes)
        first = pc.indices_nonzero(
            pa.concat_arrays([pa.array([True], pa.bool_()), pc.greater(highest[1:], highest[:-1])])
        )
        values = [column.take(first).to_pylist() for column in columns.values()]
        names = list(columns)
        numbers = [
            self._number(tuple((n, v) for n, v in zip(names, row, strict=True) if v))
            for row in zip(*values, strict=True)
        ]
        return pa.array(numbers, pa.int64()).take(codes)

    def columns(self, numbers: pa.Array) -> dict[str, pa.Array]:
        """The group columns of rows of these series; null where a series has no value."""
        count = len(self._numbers)
        names = [] if self._without else [_output_name(column) for column in self._listed]
        values: dict[str, list[str | None]] = {name: [None] * count for name in names}
        for key, number in self._numbers.items():
            for name, value in key:
                column = values.get(name)
                if column is None:
                    column = values[name] = [None] * count
                column[number] = value
        return {name: pa.array(values[name], pa.string()).take(numbers) for name in sorted(values)}

    def _columns(self, rows: Rows) -> dict[str, pa.Array]:
        if not self._without:
            named = {_output_name(column): rows.text(column) for column in self._listed}
            return {name: named[name] for name in sorted(named)}
        columns = {}
        for full in sorted(rows.columns):
            prefix, kind, name = name_parts(full)
            if prefix == "utf8" and kind in _GROUPED and name not in self._names:
                columns[full] = pc.fill_null(rows.columns[full], "")
        return columns

    def _number(self, key: _Key) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            if 0 < self._limit <= number:
                raise ExecutionError(
                    "max-query-series",
                    self._where,
                    f"got more than {self._limit} series, expected at most that many",
                )
        return number


def _output_name(column: Column) -> str:
    return text_name(column.type.value, column.name)
