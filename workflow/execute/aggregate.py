"""RangeAggregation and VectorAggregation (semantics 11.4, 11.5).

Rows are folded as they come: into one partial result for each series and pane, which is a set of
rows that lie in the same windows, or for each series and instant.  What is held grows with these,
not with the rows.  No row of Python for a row of input; a few for each series of a batch.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute import sums
from workflow.execute.groups import Groups, encode
from workflow.execute.operator import Operator
from workflow.execute.rows import MESSAGE, TIME, TIME_TYPE, VALUE, Rows
from workflow.execute.scalars import float64, int64
from workflow.execute.series import Series
from workflow.plan import PlanError, RangeAggregation, VectorAggregation

__all__ = ["RangeAggregationWork", "VectorAggregationWork"]

_Table = dict[str, pa.Array]

_OPERATIONS: Final = ("sum", "count", "max", "min", "avg")
_MANY: Final = 1 << 16
_SERIES: Final = "series"
_INSTANT: Final = "instant"
_EXTREME: Final = "extreme"
_COUNT: Final = "count"


class _Fold:
    """Partial results of one operation by some keys."""

    def __init__(self, operation: str, keys: Sequence[str]) -> None:
        self._operation = operation
        self._keys = keys
        self._parts: list[_Table] = []
        self._size = 0
        self._limit = _MANY

    def add(self, keys: Mapping[str, pa.Array], values: pa.Array | None, count: int) -> None:
        """Fold rows in: their keys, and their values unless they are only counted."""
        table = dict(keys)
        if self._operation in ("max", "min"):
            table[_EXTREME] = values
        elif self._operation != "count":
            table.update(sums.split(values))
        if self._operation in ("count", "avg"):
            table[_COUNT] = pa.repeat(int64(1), count)
        self.extend(table)

    def extend(self, table: _Table) -> None:
        """Fold in what another fold of the same operation gave, under these keys."""
        part = self._folded(table)
        self._parts.append(part)
        self._size += len(part[self._keys[0]])
        if self._size > self._limit:
            self._limit = max(_MANY, 2 * len(self.table()[self._keys[0]]))

    def table(self) -> _Table:
        """All of it, one row for each combination of keys."""
        if not self._parts:
            return {}
        if len(self._parts) > 1:
            self._parts = [self._folded(_joined(self._parts))]
            self._size = len(self._parts[0][self._keys[0]])
        return self._parts[0]

    def _folded(self, table: _Table) -> _Table:
        groups = Groups(encode([table[key] for key in self._keys]))
        if len(groups) == len(table[self._keys[0]]):
            return table
        first = groups.rows
        folded = {key: table[key].take(first) for key in self._keys}
        for name, column in table.items():
            if name == _EXTREME:
                folded[name] = groups.extreme(column, largest=self._operation == "max")
            elif name not in folded:
                folded[name] = groups.sum(column)
        return folded

    def results(self) -> tuple[_Table, pa.Array]:
        """The keys of each result, and the results."""
        table = self.table()
        count = len(table[self._keys[0]])
        if self._operation in ("max", "min"):
            values = table[_EXTREME]
        elif self._operation == "count":
            values = pc.cast(table[_COUNT], pa.float64())
        else:
            values = sums.join({n: c for n, c in table.items() if sums.is_part(n)}, count)
            if self._operation == "avg":
                values = pc.divide(values, pc.cast(table[_COUNT], pa.float64()))
        # Plus 0: minus zero is a zero, and which of the two came first must not show.
        return {key: table[key] for key in self._keys}, pc.add(values, float64(0.0))


def _joined(tables: list[_Table]) -> _Table:
    """All rows; a sum that a part does not have is 0."""
    names = dict.fromkeys(name for table in tables for name in table)
    return {
        name: pa.concat_arrays(
            [
                table[name] if name in table else pa.repeat(int64(0), len(table[_SERIES]))
                for table in tables
            ]
        )
        for name in names
    }


def _answer(series: Series, numbers: pa.Array, instants: pa.Array, values: pa.Array) -> Rows:
    """Rows by time, then by series."""
    groups = series.columns(numbers)
    columns = {TIME: pc.cast(instants, TIME_TYPE), **groups, VALUE: values}
    table = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    keys = [(name, "ascending") for name in (TIME, *groups)]
    order = pc.sort_indices(table, sort_keys=keys)
    return Rows(columns, len(values)).take(order).tidy()


def _check_operation(operation: str, known: Sequence[str], where: str) -> None:
    if operation not in known:
        raise PlanError(
            "operation",
            where,
            f"got {operation}, expected one that executes here ({', '.join(known)})",
        )


def _valued(rows: Rows) -> tuple[Rows, pa.Array]:
    """The rows that have a value, and their values."""
    values = rows.columns.get(VALUE)
    if values is None:
        return rows.slice(0, 0), pa.array([], pa.float64())
    if values.null_count:
        rows = rows.filter(pc.is_valid(values))
        values = rows.columns[VALUE]
    return rows, values


class RangeAggregationWork(Operator):
    """Aggregates over windows ``(end - range, end]`` with ends at start + i * step."""

    def __init__(self, node: RangeAggregation, where: str) -> None:
        _check_operation(node.operation, (*_OPERATIONS, "bytes"), where)
        if node.start is None or (node.end is None and node.step_ns):
            raise PlanError("range-bounds", where, "got a start or an end that is unset")
        if node.step_ns < 0 or node.range_ns <= 0:
            raise PlanError(
                "range-bounds",
                where,
                f"got a step of {node.step_ns} ns and a range of {node.range_ns} ns, expected none"
                " or more, and more than none",
            )
        self._node = node
        self._start = node.start.ns
        self._step = node.step_ns or 1
        end = self._start if node.end is None or not node.step_ns else node.end.ns
        self._windows = max(0, (end - self._start) // self._step + 1)
        self._series = Series(node, where)
        self._fold = _Fold(
            "sum" if node.operation == "bytes" else node.operation, (_SERIES, "first", "last")
        )

    def push(self, rows: Rows) -> list[Rows]:
        """Nothing comes out yet."""
        rows = self._inside(rows)
        values: pa.Array | None = None
        if self._node.operation == "bytes":
            texts = rows.columns.get(MESSAGE, pa.nulls(rows.count, pa.string()))
            values = pc.cast(pc.fill_null(pc.binary_length(texts), 0), pa.float64())
        elif self._node.operation != "count":
            rows, values = _valued(rows)
        if rows.count:
            since = pc.subtract(pc.cast(rows.columns[TIME], pa.int64()), int64(self._start))
            keys = {
                _SERIES: self._series.numbers(rows),
                "first": self._ceiling(since),
                "last": pc.subtract(
                    self._ceiling(pc.add(since, int64(self._node.range_ns))), int64(1)
                ),
            }
            self._fold.add(keys, values, rows.count)
        return []

    def finish(self) -> list[Rows]:
        """All windows with rows in them, as one batch."""
        panes = self._fold.table()
        if not panes:
            return []
        windows = _Fold(
            "sum" if self._node.operation == "bytes" else self._node.operation,
            (_SERIES, _INSTANT),
        )
        first = pc.max_element_wise(panes.pop("first"), int64(0))
        last = pc.min_element_wise(panes.pop("last"), int64(self._windows - 1))
        width = pc.max(pc.subtract(last, first)).as_py()
        for offset in range(width + 1):
            window = pc.add(first, int64(offset))
            inside = pc.less_equal(window, last)
            table = {name: column.filter(inside) for name, column in panes.items()}
            windows.extend({**table, _INSTANT: window.filter(inside)})
        keys, values = windows.results()
        ends = pc.add(pc.multiply(keys[_INSTANT], int64(self._step)), int64(self._start))
        return [_answer(self._series, keys[_SERIES], ends, values)]

    def _inside(self, rows: Rows) -> Rows:
        """The rows that lie in some window."""
        times = rows.columns.get(TIME)
        if times is None or not self._windows:
            return rows.slice(0, 0)
        # Windows may leave gaps between them; what lies in one has first <= last.
        final = self._start + (self._windows - 1) * self._step
        times = pc.cast(times, pa.int64())
        low = max(self._start - self._node.range_ns, -(2**63))
        mask = pc.and_(
            pc.greater(times, int64(low)), pc.less_equal(times, int64(min(final, 2**63 - 1)))
        )
        mask = pc.fill_null(mask, False)
        if self._node.step_ns > self._node.range_ns:
            since = pc.subtract(times, int64(self._start))
            first = self._ceiling(since)
            covered = pc.less(
                pc.subtract(pc.multiply(first, int64(self._step)), since),
                int64(self._node.range_ns),
            )
            mask = pc.and_(mask, pc.fill_null(covered, False))
        return rows.filter(mask)

    def _ceiling(self, spans: pa.Array) -> pa.Array:
        """Spans in steps, rounded up.  Division of integers truncates, so negatives are right."""
        steps = pc.divide(spans, int64(self._step))
        over = pc.greater(pc.subtract(spans, pc.multiply(steps, int64(self._step))), int64(0))
        return pc.add(steps, pc.cast(over, pa.int64()))


class VectorAggregationWork(Operator):
    """Aggregates the series of each instant."""

    def __init__(self, node: VectorAggregation, where: str) -> None:
        _check_operation(node.operation, _OPERATIONS, where)
        self._node = node
        self._series = Series(node, where)
        self._fold = _Fold(node.operation, (_SERIES, _INSTANT))

    def push(self, rows: Rows) -> list[Rows]:
        """Nothing comes out yet."""
        times = rows.columns.get(TIME)
        if times is None:
            return []
        if times.null_count:
            rows = rows.filter(pc.is_valid(times))
        values: pa.Array | None = None
        if self._node.operation != "count":
            rows, values = _valued(rows)
        if rows.count:
            instants = pc.cast(rows.columns[TIME], pa.int64())
            keys = {_SERIES: self._series.numbers(rows), _INSTANT: instants}
            self._fold.add(keys, values, rows.count)
        return []

    def finish(self) -> list[Rows]:
        """One row for each series and instant, as one batch."""
        if not self._fold.table():
            return []
        keys, values = self._fold.results()
        return [_answer(self._series, keys[_SERIES], keys[_INSTANT], values)]
