"""How long work takes, from what it costs: rows per millisecond for each kind of node.

Whole microseconds, and what is left over is carried on: many small batches take as long as one of
all their rows, to a microsecond.

>>> meter = Meter(Costs((("Filter", 3_000), ("TopK", 500))))
>>> [meter.ticks({"Filter": 10, "TopK": 1, "Merge": 99}) for _ in range(3)]
[5, 5, 6]
>>> meter.ticks({"Filter": 3_000_000})
1000000
"""

from collections.abc import Mapping
from math import lcm
from typing import Final

__all__ = ["Costs", "Meter"]

_MILLISECOND: Final = 1_000  # ticks


class Costs:
    """A table of costs: of each kind of node, how many rows it takes in a millisecond, > 0."""

    def __init__(self, rates: tuple[tuple[str, int], ...]) -> None:
        self.whole: Final = lcm(*(rate for _, rate in rates))
        # Of a row, in parts of a tick: `whole` of them are one.
        self.parts: Final = {kind: _MILLISECOND * self.whole // rate for kind, rate in rates}


class Meter:
    """One task's account."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._left = 0  # parts of a tick that are not counted yet

    def ticks(self, rows: Mapping[str, int]) -> int:
        """How long these rows take, by the kind of node that they go into."""
        parts = self._costs.parts
        self._left += sum(count * parts.get(kind, 0) for kind, count in rows.items())
        ticks, self._left = divmod(self._left, self._costs.whole)
        return ticks
