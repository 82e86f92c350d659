"""The physical plan: fourteen kinds of node, and the graph that they form.

Nodes are immutable and told apart by identity: two equal-looking nodes are two nodes, and one
node may stand in several fragments without any of them being able to change it for the others.
Sources: semantics 2.1 (kinds, fields), 3.5 (ranges).

>>> plan = Plan()
>>> top, scan = plan.add(TopK(k=10)), plan.add(DataObjScan(location="objects/1"))
>>> plan.add_edge(top, scan)
>>> plan.root().kind
'TopK'
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from workflow._brief import Printer
from workflow.expressions import Column, ColumnType, Expression
from workflow.graph import Graph, GraphError
from workflow.times import TimeRange, Timestamp

__all__ = [
    "NODE_KINDS",
    "Batching",
    "Compat",
    "DataObjScan",
    "Filter",
    "Join",
    "Limit",
    "Merge",
    "Node",
    "Parallelize",
    "Plan",
    "PlanError",
    "PointersScan",
    "Projection",
    "RangeAggregation",
    "ScanSet",
    "TopK",
    "VectorAggregation",
]


class PlanError(GraphError):
    """A plan that breaks a rule.

    ``rule`` names the rule (``no-root``, ``many-roots``, ``parallelize-arity``,
    ``two-shardable``, ...), ``where`` the node, and the message says what was seen and what
    would be right.
    """

    def __init__(self, rule: str, where: str, message: str) -> None:
        super().__init__(rule, where, message)
        self.rule = rule
        self.where = where

    def __str__(self) -> str:
        return ": ".join(part for part in self.args if part)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A physical operator.  Compared by identity."""

    breaker: ClassVar[bool] = False  # needs all of its input before it gives anything
    scan: ClassVar[bool] = False  # reads storage: puts its task into the scan lane

    @property
    def kind(self) -> str:
        """The name under which the node prints."""
        return type(self).__name__


@dataclass(frozen=True, slots=True, eq=False)
class DataObjScan(Node):
    """Reads one section of a data object."""

    scan: ClassVar[bool] = True

    location: str = ""
    section: int = 0
    stream_ids: tuple[int, ...] | None = None  # None: unset
    projections: tuple[Column, ...] = ()
    predicates: tuple[Expression, ...] = ()  # all must hold
    max_time_range: TimeRange = TimeRange()
    stream_count: int | None = None  # how many ids, where a printed plan does not list them

    @property
    def streams(self) -> int:
        """How many streams are read; 0 when no id is set."""
        if self.stream_ids is not None:
            return len(self.stream_ids)
        return self.stream_count or 0


@dataclass(frozen=True, slots=True, eq=False)
class Projection(Node):
    """Adds (`expand`), removes (`drop`) or keeps columns."""

    expressions: tuple[Expression, ...] = ()
    all: bool = False
    expand: bool = False
    drop: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Filter(Node):
    """Keeps the rows for which every predicate is true."""

    predicates: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Limit(Node):
    """Lets `fetch` rows pass after leaving out `skip`."""

    skip: int = 0
    fetch: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class RangeAggregation(Node):
    """Aggregates rows over windows of time."""

    breaker: ClassVar[bool] = True

    operation: str = "invalid"
    start: Timestamp | None = None
    end: Timestamp | None = None
    step_ns: int = 0
    range_ns: int = 0
    without: bool = False
    group_by: tuple[Column, ...] = ()
    max_query_series: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class VectorAggregation(Node):
    """Aggregates the series of each instant."""

    breaker: ClassVar[bool] = True

    operation: str = "invalid"
    without: bool = False
    group_by: tuple[Column, ...] = ()
    max_query_series: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Merge(Node):
    """Passes on the rows of all inputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Compat(Node):
    """Renames columns of one kind that collide with others."""

    source: str = "metadata"
    destination: str = "metadata"
    collisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TopK(Node):
    """Keeps the `k` first rows in the order of one column; 0 keeps all."""

    breaker: ClassVar[bool] = True

    sort_by: Column = Column(ColumnType.BUILTIN, "timestamp")
    ascending: bool = False
    nulls_first: bool = False
    k: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Parallelize(Node):
    """Marks the branch below it for sharding."""


@dataclass(frozen=True, slots=True, eq=False)
class PointersScan(Node):
    """Reads one index object."""

    scan: ClassVar[bool] = True

    location: str = ""
    selector: str = ""  # in the reference's printed form; "" is none
    predicates: tuple[Expression, ...] = ()
    start: Timestamp | None = None
    end: Timestamp | None = None
    predicate_count: int | None = None  # how many, where a printed plan does not list them

    @property
    def num_predicates(self) -> int:
        """How many predicates there are."""
        return len(self.predicates) if self.predicate_count is None else self.predicate_count

    @property
    def max_time_range(self) -> TimeRange:
        """From start to end."""
        return TimeRange(self.start, self.end)


@dataclass(frozen=True, slots=True, eq=False)
class ScanSet(Node):
    """Many scans as one node, which Parallelize turns into one task each."""

    targets: tuple[DataObjScan | PointersScan, ...] = ()
    projections: tuple[Column, ...] = ()
    predicates: tuple[Expression, ...] = ()

    @property
    def max_time_range(self) -> TimeRange:
        """What the targets cover together."""
        return _merged(target.max_time_range for target in self.targets)


@dataclass(frozen=True, slots=True, eq=False)
class Join(Node):
    """Joins its inputs.  Partitions and prints; the reference does not execute it."""


@dataclass(frozen=True, slots=True, eq=False)
class Batching(Node):
    """Regroups rows into batches of up to `batch_size` rows."""

    batch_size: int = 0


# In the order of the reference's tags, which count from 1.
NODE_KINDS: Final[dict[str, type[Node]]] = {
    kind.__name__: kind
    for kind in (
        DataObjScan,
        Projection,
        Filter,
        Limit,
        RangeAggregation,
        VectorAggregation,
        Merge,
        Compat,
        TopK,
        Parallelize,
        ScanSet,
        Join,
        PointersScan,
        Batching,
    )
}


# Made once: "A | B | C" where it is used is a new object each time, at three times the cost.
_RANGED: Final = (DataObjScan, PointersScan, ScanSet)


def _merged(ranges: Iterable[TimeRange]) -> TimeRange:
    total = TimeRange()
    for each in ranges:
        total = total.merge(each)
    return total


class Plan(Graph[Node]):
    """A physical plan, or a fragment of one.

    ``ids`` names nodes in messages and in JSON; a reader fills it with the numbers that it
    found, and a node without one prints as its kind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[Node, int] = {}

    def __repr__(self) -> str:
        shown = self._shown()
        return super().__repr__() if shown is None else f"plan_from_json({shown})"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        shown = self._shown()
        if cycle or shown is None:
            printer.text(repr(self))
            return
        with printer.group(1, "plan_from_json(", ")"):
            printer.pretty(shown)

    def _shown(self) -> object:
        """The plan as short JSON; None for what is no plan."""
        from workflow.plan_json import plan_to_brief_json  # noqa: PLC0415 (it imports this one)

        try:
            return plan_to_brief_json(self)
        except GraphError:  # a cycle
            return None

    def name(self, node: Node) -> str:
        """``node 3 (Filter)``, or ``Filter`` for a node without a number."""
        return f"node {self.ids[node]} ({node.kind})" if node in self.ids else node.kind

    def clone(self) -> Self:
        """A plan of the same nodes that can be changed without touching this one."""
        twin = super().clone()
        twin.ids = {node: self.ids[node] for node in self if node in self.ids}
        return twin

    def max_time_range(self) -> TimeRange:
        """The range that the reference gives a fragment (semantics 3.5).

        The first range aggregation on a walk from a root replaces what was merged so far and
        ends that walk.  It understates what some plans read (hazard P5): use it for printing.
        """
        total = TimeRange()
        for root in self.roots():
            for node in self.walk(root):
                if isinstance(node, RangeAggregation):
                    total = TimeRange(node.start, node.end)
                    break
                if isinstance(node, _RANGED):
                    total = total.merge(node.max_time_range)
        return total
