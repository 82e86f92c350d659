"""Rows, where a plan may leave it open which ones: all of some, and any few of others.

A TopK leaves the rows with its K-th key interchangeable, a Limit takes any rows of its input
(semantics 11.7).  Such an answer is still checked: it holds every row that it must, no row that it
must not, and the right number of the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from properties.oracle.rows import Row

__all__ = ["Choice", "Key"]

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """All of `fixed`, and from `low` to `high` rows of `pool`."""

    fixed: tuple[Row, ...] = ()
    pool: tuple[Row, ...] = ()
    low: int = 0
    high: int = 0

    @property
    def exact(self) -> bool:
        """Whether it is settled which rows there are."""
        return not self.pool

    @property
    def every(self) -> tuple[Row, ...]:
        """All rows that may occur."""
        return self.fixed + self.pool

    def settled(self) -> "Choice":
        """The same, with the pool among the fixed rows if all or none of it is taken."""
        if self.low >= len(self.pool):
            return Choice(self.every)
        return self if self.high else Choice(self.fixed)

    def map(self, change: Callable[[Sequence[Row]], Sequence[Row]]) -> "Choice":
        """Every row changed, none added or left out."""
        return Choice(tuple(change(self.fixed)), tuple(change(self.pool)), self.low, self.high)

    def keep(self, holds: Callable[[Sequence[Row]], Sequence[bool]]) -> "Choice":
        """The rows for which `holds` is true."""
        fixed, pool = (
            tuple(row for row, held in zip(rows, holds(rows), strict=True) if held)
            for rows in (self.fixed, self.pool)
        )
        gone = len(self.pool) - len(pool)
        return Choice(fixed, pool, max(0, self.low - gone), min(self.high, len(pool))).settled()

    def limit(self, skip: int, fetch: int) -> "Choice":
        """Any `fetch` rows after leaving out `skip`."""
        least, most = (
            min(max(len(self.fixed) + taken - skip, 0), fetch) for taken in (self.low, self.high)
        )
        if not skip and len(self.fixed) + self.high <= fetch:
            return self
        return Choice((), self.every, least, most).settled()

    def top(self, k: int, key: Callable[[Row], Key], *, descending: bool) -> "Choice":
        """The `k` first rows in the order of `key`; any of those that tie for the last place."""
        if len(self.fixed) + self.high <= k:
            return self
        if self.low != self.high or len(dict.fromkeys(map(key, self.pool))) > 1:
            return self.limit(0, k)  # which rows there are decides which are first
        ranked = sorted(map(key, self.fixed + self.pool[: self.low]), reverse=descending)
        last = ranked[k - 1]

        def better(row: Row) -> bool:
            return key(row) > last if descending else key(row) < last

        sure = tuple(row for row in self.fixed if better(row))
        ties = tuple(row for row in self.fixed if key(row) == last)
        alike = tuple(row for row in self.pool if better(row) or key(row) == last)
        left = k - len(sure)
        return Choice(sure, ties + alike, left, left).settled()

    def merged(self, other: "Choice") -> "Choice":
        """The rows of both."""
        return Choice(
            self.fixed + other.fixed,
            self.pool + other.pool,
            self.low + other.low,
            self.high + other.high,
        )
