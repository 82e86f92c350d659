"""TopK: the first K rows in the order of one column (semantics 11.6, 11.7).

Ties are broken by the other columns, by name, and what is missing comes last: so which rows are
kept depends neither on the order in which they came nor on how they were cut.  Numbers that are
NaN count as smaller than any other.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.operator import Operator
from workflow.execute.rows import Rows, concat
from workflow.execute.scalars import int8
from workflow.expressions import Column, ColumnType
from workflow.plan import TopK
from workflow.task import ContributingTimeRange
from workflow.times import Timestamp

__all__ = ["TopKWork"]

_TIME: Final = Column(ColumnType.BUILTIN, "timestamp")
_NULL_FIRST, _NAN, _PLAIN, _NULL_LAST = range(4)


class TopKWork(Operator):
    """Keeps at most K rows, or all of them if K is 0."""

    def __init__(self, node: TopK) -> None:
        self._node = node
        self._null_rank = _NULL_FIRST if node.nulls_first else _NULL_LAST
        self._order = "ascending" if node.ascending else "descending"
        self._kept: list[Rows] = []
        self._count = 0
        self._edge: tuple[int, pa.Scalar] | None = None  # rank and key of the K-th row

    @property
    def contributing(self) -> ContributingTimeRange | None:
        """Which rows can still be kept, once K are.

        Rows of the very instant of the K-th may still win by their other columns.  None for
        another column, or while rows without a time are among the K.
        """
        if self._edge is None or self._node.sort_by != _TIME or self._edge[0] != _PLAIN:
            return None
        bound = self._edge[1].value
        if self._node.ascending:
            return ContributingTimeRange(Timestamp(bound + 1), less_than=True)
        return ContributingTimeRange(Timestamp(bound - 1), less_than=False)

    def push(self, rows: Rows) -> list[Rows]:
        """Nothing comes out yet."""
        rows = self._near(rows)
        if rows.count:
            self._kept.append(rows)
            self._count += rows.count
            k = self._node.k
            if k and self._count >= k:
                self._choose()
        return []

    def finish(self) -> list[Rows]:
        """The rows, first ones first."""
        kept, self._kept = self._kept, []
        return [self._first(concat(kept), self._node.k)] if kept else []

    def _choose(self) -> None:
        kept = self._first(concat(self._kept), self._node.k)
        self._kept, self._count = [kept], kept.count
        if kept.count == self._node.k:
            ranks, keys = self._keys(kept)
            self._edge = ranks[-1].as_py(), keys[-1]

    def _near(self, rows: Rows) -> Rows:
        """Without the rows that lie beyond the K-th."""
        if self._edge is None:
            return rows
        ranks, keys = self._keys(rows)
        rank, key = self._edge
        beats = pc.less if self._node.ascending else pc.greater
        better = beats(ranks, int8(rank))
        even = pc.equal(ranks, int8(rank))
        if rank == _PLAIN:
            or_equal = pc.less_equal if self._node.ascending else pc.greater_equal
            even = pc.and_(even, pc.fill_null(or_equal(keys, key), False))
        return rows.filter(pc.or_(better, even))

    def _keys(self, rows: Rows) -> tuple[pa.Array, pa.Array]:
        keys = rows.read(self._node.sort_by)
        if keys is None:
            type_ = pa.string() if self._edge is None else self._edge[1].type
            ranks = pa.repeat(int8(self._null_rank), rows.count)
            return ranks, pa.nulls(rows.count, type_)
        ranks = pa.repeat(int8(_PLAIN), rows.count)
        if pa.types.is_floating(keys.type):
            nan = pc.fill_null(pc.is_nan(keys), False)
            ranks = pc.if_else(nan, int8(_NAN), ranks)
        null = int8(self._null_rank)
        return pc.if_else(pc.is_null(keys), null, ranks), keys

    def _first(self, rows: Rows, k: int) -> Rows:
        """The first `k` rows in order, all if 0.  Only what is tied is compared in full."""
        ranks, keys = self._keys(rows)
        order = _sorted([ranks, keys], [self._order, self._order])
        if k and rows.count > k:
            last = order[k - 1].as_py()
            rank, key = ranks[last].as_py(), keys[last]
            tied = pc.equal(ranks, int8(rank))
            if rank == _PLAIN:
                tied = pc.and_(tied, pc.fill_null(pc.equal(keys, key), False))
            places = pc.indices_nonzero(pc.take(tied, order))
            start, end = places[0].as_py(), places[-1].as_py() + 1
            rows = rows.take(
                order.slice(0, k)
                if end <= k
                else pa.concat_arrays(
                    [order.slice(0, start), _best(rows, order.slice(start, end - start), k - start)]
                )
            ).tidy()
            ranks, keys = self._keys(rows)
        names = sorted(rows.columns)
        others = [rows.columns[name] for name in names]
        orders = [self._order, self._order, *["ascending"] * len(names)]
        return rows.take(_sorted([ranks, keys, *others], orders)).tidy()


def _best(rows: Rows, places: pa.Array, count: int) -> pa.Array:
    """Of the rows at `places` the first by all columns."""
    tied = rows.take(places)
    names = sorted(tied.columns)
    if not names:
        return places.slice(0, count)
    order = _sorted([tied.columns[name] for name in names], ["ascending"] * len(names))
    return places.take(order.slice(0, count))


def _sorted(columns: list[pa.Array], orders: list[str]) -> pa.Array:
    """The places of rows in order; in each column nulls come last, as is the default."""
    names = [str(place) for place in range(len(columns))]
    table = pa.RecordBatch.from_arrays(columns, names)
    return pc.sort_indices(table, sort_keys=list(zip(names, orders, strict=True)))
