"""What a run observed: statistics that merge, and captures that order them in regions.

Values are integers, so that a sum does not depend on the order of its addends.  How values of
one name combine belongs to the name: see `Aggregation`.

>>> rows = Statistic("rows", Aggregation.SUM)
>>> total = Statistics({rows: 3})
>>> total.merge(Statistics({rows: 4}))
>>> total[rows]
7
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Aggregation", "Capture", "Region", "Statistic", "Statistics"]


class Aggregation(StrEnum):
    """How two values of one statistic become one."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"

    def combine(self, old: int, new: int) -> int:
        """The value that stands for `old` followed by `new`."""
        if self is Aggregation.SUM:
            return old + new
        if self is Aggregation.MIN:
            return min(old, new)
        if self is Aggregation.MAX:
            return max(old, new)
        return old if self is Aggregation.FIRST else new


@dataclass(frozen=True, slots=True)
class Statistic:
    """The name of something counted, and how its values combine."""

    name: str
    aggregation: Aggregation = Aggregation.SUM


class Statistics:
    """One value for each statistic observed, in order of first observation."""

    def __init__(self, values: Mapping[Statistic, int] | None = None) -> None:
        self._values: dict[Statistic, int] = {}
        for statistic, value in (values or {}).items():
            self.record(statistic, value)

    def record(self, statistic: Statistic, value: int) -> None:
        """Add one observation."""
        if type(value) is not int:
            raise TypeError(f"record({statistic.name}): got {value!r}, expected an integer")
        old = self._values.get(statistic)
        self._values[statistic] = (
            value if old is None else statistic.aggregation.combine(old, value)
        )

    def merge(self, other: "Statistics") -> None:
        """Add every observation of `other`, as if they came after the ones already here."""
        for statistic, value in other:
            self.record(statistic, value)

    def __getitem__(self, statistic: Statistic) -> int:
        return self._values[statistic]

    def __iter__(self) -> Iterator[tuple[Statistic, int]]:
        return iter(list(self._values.items()))

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Statistics({self._values!r})"


@dataclass(slots=True, eq=False)
class Region:
    """A named part of a run, with its observations and the region that it lies in."""

    name: str
    parent: "Region | None" = None
    statistics: Statistics = field(default_factory=Statistics)


class Capture:
    """A tree of regions, kept as a list in order of arrival; roots have no parent."""

    def __init__(self) -> None:
        self.regions: list[Region] = []

    def region(self, name: str, parent: Region | None = None) -> Region:
        """Begin a region."""
        region = Region(name, parent)
        self.regions.append(region)
        return region

    def adopt(self, other: "Capture", parent: Region | None) -> None:
        """Take over all regions of `other`, its roots below `parent` (semantics 5.1 d)."""
        for region in other.regions:
            if region.parent is None:
                region.parent = parent
        self.regions.extend(other.regions)

    def total(self) -> Statistics:
        """The observations of all regions together."""
        total = Statistics()
        for region in self.regions:
            total.merge(region.statistics)
        return total
