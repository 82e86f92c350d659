"""Sums and extremes of groups, from plain kernels.

The kernels that aggregate by group run only inside of a query plan of Arrow's own; here rows are
sorted by group, so that a group is a run, and a running sum gives each run's sum by one
subtraction.  The sums are of integers: they wrap around, and the difference is exact.

>>> groups = Groups(encode([pa.array(["a", "b", "a"])]))
>>> groups.sum(pa.array([1, 2, 3])).to_pylist()
[4, 2]
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.scalars import int64

__all__ = ["Groups", "encode"]

_WIDE = 2**62


def encode(columns: Sequence[pa.Array]) -> pa.Array:
    """One integer for each row, equal for rows that are equal in every column, without nulls."""
    codes: pa.Array | None = None
    size = 1
    for column in columns:
        encoded = pc.dictionary_encode(column)
        indices = pc.cast(encoded.indices, pa.int64())
        if codes is None:
            codes, size = indices, len(encoded.dictionary)
            continue
        if size * len(encoded.dictionary) > _WIDE:
            dense = pc.dictionary_encode(codes)
            codes, size = pc.cast(dense.indices, pa.int64()), len(dense.dictionary)
        codes = pc.add(pc.multiply(codes, int64(len(encoded.dictionary))), indices)
        size *= len(encoded.dictionary)
    if codes is None:
        raise ValueError("encode(columns): got none, expected at least one")
    return codes


class Groups:
    """The groups of rows that have one code, in the order of their codes."""

    def __init__(self, codes: pa.Array) -> None:
        self._codes = codes
        self._order = pc.sort_indices(codes)
        in_order = codes.take(self._order)
        count = len(codes)
        ends = pc.not_equal(in_order.slice(1), in_order.slice(0, max(0, count - 1)))
        self._last = pc.indices_nonzero(
            pa.concat_arrays([ends, pa.array([True] if count else [], pa.bool_())])
        )

    def __len__(self) -> int:
        return len(self._last)

    @property
    def rows(self) -> pa.Array:
        """A row of each group."""
        return self._order.take(self._last)

    def count(self) -> pa.Array:
        """How many rows each group has."""
        last = pc.cast(self._last, pa.int64())
        return _differences(pc.add(last, int64(1)))

    def sum(self, values: pa.Array) -> pa.Array:
        """The sum of each group's int64 values."""
        return _differences(pc.cumulative_sum(values.take(self._order)).take(self._last))

    def extreme(self, values: pa.Array, *, largest: bool) -> pa.Array:
        """The largest or smallest value of each group; NaN if one is."""
        table = pa.RecordBatch.from_arrays([self._codes, values], ["code", "value"])
        # NaN sorts last either way.
        order = pc.sort_indices(
            table,
            sort_keys=[("code", "ascending"), ("value", "ascending" if largest else "descending")],
        )
        return values.take(order.take(self._last))


def _differences(totals: pa.Array) -> pa.Array:
    if not len(totals):
        return totals
    before = pa.concat_arrays([pa.array([0], totals.type), totals.slice(0, len(totals) - 1)])
    return pc.subtract(totals, before)
