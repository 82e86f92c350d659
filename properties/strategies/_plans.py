"""Plans that the engine runs, made so that few have to be mended and none thrown away.

A tree of operators above scans is always accepted while no branch of a Parallelize has two scan
sets, or an empty one beside another Parallelize.  Only the edges that make it a graph are tried
one by one: one that the engine refuses is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.oracle.shards import shards_add_up
from properties.strategies import _rows
from properties.strategies._arguments import check_bounds
from workflow import GraphError, Plan, TimeRange, Timestamp, partition
from workflow.expressions import Call, Column, ColumnType, Expression, Literal
from workflow.limits import check_diamonds
from workflow.plan import (
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Join,
    Limit,
    Merge,
    Node,
    Parallelize,
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)

__all__ = ["above", "operators", "plans", "tasks_of"]

_SECOND: Final = 10**9  # nanoseconds
_DEPTH: Final = 3  # branchings above one another
_APP: Final = Column(ColumnType.LABEL, "app")
_COLUMNS: Final[tuple[tuple[Column, ...], ...]] = ((), (_APP,))
_PREDICATES: Final[tuple[tuple[Expression, ...], ...]] = (
    (),
    (Call("EQ", (_APP, Literal("shop"))),),
)

_counts = st.sampled_from((1, 2, 5, 50))
_columns = st.sampled_from(_COLUMNS)
_predicates = st.sampled_from(_PREDICATES)
_operations = st.sampled_from(("count", "sum", "max"))


def _instant(second: int) -> Timestamp:
    return Timestamp(second * _SECOND)


_ranges: Final = st.just(TimeRange()) | st.builds(
    lambda start, length: TimeRange(_instant(start), _instant(start + length)),
    st.integers(0, 99),
    st.integers(0, 40),
)

_operators: Final[SearchStrategy[Node]] = st.one_of(
    st.builds(Filter, predicates=_predicates),
    st.builds(Projection, all=st.booleans(), drop=st.booleans()),
    st.builds(Limit, skip=st.integers(0, 3), fetch=_counts),
    st.builds(TopK, ascending=st.booleans(), nulls_first=st.booleans(), k=st.just(0) | _counts),
    st.builds(
        RangeAggregation,
        operation=_operations,
        start=st.none() | st.integers(0, 50).map(_instant),
        end=st.none() | st.integers(50, 99).map(_instant),
        step_ns=st.integers(0, 10).map(lambda seconds: seconds * _SECOND),
        range_ns=st.integers(0, 10).map(lambda seconds: seconds * _SECOND),
        group_by=_columns,
    ),
    st.builds(VectorAggregation, operation=_operations, without=st.booleans(), group_by=_columns),
    st.builds(Compat, source=st.sampled_from(("metadata", "parsed"))),
    st.builds(Batching, batch_size=_counts),
)


def operators() -> SearchStrategy[Node]:
    """A node that reads one other.  Simplest is a Filter."""
    return _operators


@st.composite
def plans(
    draw: DrawFn,
    *,
    min_tasks: int = 1,
    max_tasks: int = 12,
    min_targets: int = 0,
    max_targets: int = 4,
    executable: bool = False,
) -> Plan:
    """A plan that the engine runs: any kind of node, nested Parallelize, shared nodes.

    It is cut into `min_tasks` to `max_tasks` tasks, and its scan sets have `min_targets` to
    `max_targets` targets; where `min_tasks` asks for it, one has more.  With `executable` all of
    its nodes execute over `sections`, and cutting it leaves its answer as it is.  Shrinks to one
    scan.
    """
    check_bounds("tasks", min_tasks, max_tasks, least=1)
    check_bounds("targets", min_targets, max_targets)
    kind = _ExecutableBuilder if executable else _Builder
    builder = kind(draw, max_tasks, min_targets, max_targets)
    top = builder.branch(_DEPTH, None)
    plan = builder.finished(top, min_tasks, max_tasks)
    for edge in draw(_edges):
        plan = _with_edge(plan, edge, min_tasks, max_tasks, executable=executable)
    return plan


def tasks_of(plan: Plan) -> int | None:
    """How many tasks the plan is cut into; None if the engine refuses it."""
    try:
        tasks = partition(plan)
        tasks.root()
        check_diamonds(tasks)
    except GraphError:
        return None
    return len(tasks)


def above(plan: Plan, node: Node, *below: Node) -> Node:
    """Put a node over others; gives it."""
    plan.add(node)
    for each in below:
        plan.add_edge(node, each)
    return node


# Of two nodes each, by number; taken modulo how many there are.
_edges: Final = st.lists(st.tuples(st.integers(0, 31), st.integers(0, 31)), max_size=2)


def _with_edge(
    plan: Plan, edge: tuple[int, int], least: int, most: int, *, executable: bool
) -> Plan:
    """The plan with one edge more, if it still can run and has no more tasks than it may have."""
    parents = [node for node in plan if plan.children(node) and not isinstance(node, Parallelize)]
    if executable:
        parents = [node for node in parents if isinstance(node, (Merge, *_rows.POOLED))]
    if not parents:
        return plan
    parent = parents[edge[0] % len(parents)]
    nodes = list(plan)
    child = nodes[edge[1] % len(nodes)]
    if parent in plan.walk(child):  # as its child it would close a cycle
        return plan
    twin = plan.clone()
    twin.add_edge(parent, child)
    tasks = tasks_of(twin)
    if isinstance(twin.root(), Parallelize):  # not cut there, but it is with a node above it
        higher = twin.clone()
        above(higher, Filter(), higher.root())
        if tasks_of(higher) is None:
            return plan
    if tasks is None or not least <= tasks <= most or (executable and not shards_add_up(twin)):
        return plan
    return twin


@dataclass(slots=True)
class _Shards:
    """The branch below a Parallelize, which one scan set may split."""

    targets: int
    split: bool = False


class _Builder:
    """Draws a plan from its top down, and counts the tasks that it may still make."""

    _merging: SearchStrategy[type[Node]] = st.sampled_from((Merge, Join))

    def __init__(self, draw: DrawFn, tasks: int, min_targets: int, max_targets: int) -> None:
        self.plan = Plan()
        self._draw = draw
        self._left = tasks - 1  # the top is one
        self._min_targets, self._max_targets = min_targets, max_targets
        self._scans = 0

    def branch(self, depth: int, shards: _Shards | None) -> Node:
        """Up to two operators above a scan, or above further branches."""
        draw = self._draw
        over = [node for node in draw(self._operators(shards)) if self._affords(node, shards)]
        makers: list[Callable[[int, _Shards | None], Node]] = [self._scan]
        if shards is None or not shards.split:
            makers.append(self._scan_set)
        if depth:
            least = max(self._min_targets, 1)
            if self._left >= least and (shards is None or shards.targets):
                makers += [self._parallelize] * 3
                if shards is not None and not shards.split:
                    makers += [self._shared_input] * 2
            makers += [self._merge] * 2
        node = makers[draw(st.integers(0, len(makers) - 1))](depth, shards)
        for each in reversed(over):
            node = above(self.plan, each, node)
        return node

    def _operators(self, _shards: _Shards | None) -> SearchStrategy[list[Node]]:
        return _few_operators

    def finished(self, top: Node, least: int, most: int) -> Plan:
        """The plan, with a wide scan set added if it has too few tasks."""
        plan = self.plan
        if len(partition(plan)) > most:
            # The engine does not cut at a Parallelize on top, and so cuts what is below it.
            top = above(plan, Filter(), top)
        if len(partition(plan)) >= least:
            return plan
        merge = above(plan, Merge(), top)
        missing = least - len(partition(plan))
        if missing > 0:
            targets = tuple(self._target() for _ in range(missing))
            scans = above(plan, ScanSet(targets=targets))
            plan.add_edge(merge, above(plan, Parallelize(), scans))
        return plan

    def _affords(self, node: Node, shards: _Shards | None) -> bool:
        """Whether there may be one task more, if the node makes one."""
        if not node.breaker or shards is not None:  # nothing is cut in the branch of a Parallelize
            return True
        self._left -= self._left > 0
        return self._left > 0

    def _scan(self, _depth: int, _shards: _Shards | None) -> Node:
        return self.plan.add(self._target())

    def _scan_set(self, _depth: int, shards: _Shards | None) -> Node:
        if shards is None:
            targets = self._draw(st.integers(self._min_targets, self._max_targets))
        else:
            targets, shards.split = shards.targets, True
        return self.plan.add(self._set_of(tuple(self._target() for _ in range(targets))))

    def _set_of(self, targets: tuple[DataObjScan | PointersScan, ...]) -> ScanSet:
        return ScanSet(targets=targets, predicates=self._draw(_predicates))

    def _parallelize(self, depth: int, _shards: _Shards | None) -> Node:
        most = min(self._max_targets, self._left)
        # One target is simpler than none.
        wide = st.integers(max(self._min_targets, 1), max(most, 1))
        targets = self._draw(wide if self._min_targets else st.one_of(wide, wide, st.just(0)))
        self._left -= max(targets, 1)
        inside = _Shards(targets)
        branch = self.branch(depth - 1, inside)
        return above(self.plan, Parallelize(), branch)

    def _merge(self, depth: int, shards: _Shards | None) -> Node:
        node = self._draw(self._merging)()
        branches = [self.branch(depth - 1, shards) for _ in range(self._draw(_two_or_three))]
        return above(self.plan, node, *branches)

    def _shared_input(self, depth: int, shards: _Shards | None) -> Node:
        """What each shard reads beside its own scan: a task with several parents."""
        node = self._draw(self._merging)()
        scans = self._scan_set(depth, shards)
        return above(self.plan, node, scans, self._parallelize(depth, None))

    def _target(self) -> DataObjScan | PointersScan:
        draw, index = self._draw, self._scans
        self._scans += 1
        covers = draw(_ranges)
        if draw(_seldom):
            return PointersScan(location=f"index/{index}", start=covers.start, end=covers.end)
        return DataObjScan(location=f"objects/{index}", max_time_range=covers)


class _ExecutableBuilder(_Builder):
    """Draws only what executes, and splits only branches that may be split."""

    _merging = st.just(Merge)

    def _operators(self, _shards: _Shards | None) -> SearchStrategy[list[Node]]:
        return _rows.chains()

    def _set_of(self, targets: tuple[DataObjScan | PointersScan, ...]) -> ScanSet:
        return ScanSet(
            targets, self._draw(_rows.scan_projections()), self._draw(_rows.scan_predicates())
        )

    def _target(self) -> DataObjScan:
        return self._draw(_rows.scanned())

    def _parallelize(self, depth: int, _shards: _Shards | None) -> Node:
        if self._draw(_seldom):  # a branch that is one task
            self._left -= self._left > 0
            branch = self.branch(depth - 1, _Shards(1, split=True))
            return above(self.plan, Parallelize(), branch)
        return self._sharded()

    def _sharded(self) -> Node:
        """Scans of a set, each with what goes row by row, and perhaps with the first rows only."""
        plan, draw = self.plan, self._draw
        first, again = draw(_pushed_down)
        if again is not None and again.breaker:  # one task more
            if self._left > max(self._min_targets, 1):
                self._left -= 1
            else:
                first = again = None
        most = min(self._max_targets, self._left)
        wide = st.integers(max(self._min_targets, 1), max(self._min_targets, most, 1))
        targets = draw(wide if self._min_targets else st.one_of(*[wide] * 5, st.just(0)))
        self._left -= min(max(targets, 1), self._left)
        node = self._set_of(tuple(self._target() for _ in range(targets)))
        below: Node = plan.add(node)
        lines = [draw(_rows.row_chains())]
        if draw(_seldom):
            lines.append(draw(_rows.row_chains()))
        tops = []
        for line in lines:
            top = below
            for each in reversed(line):
                top = above(plan, each, top)
            tops.append(top)
        top = tops[0] if len(tops) == 1 else above(plan, Merge(), *tops)
        if first is not None:
            top = above(plan, replace(first), top)
        top = above(plan, Parallelize(), top)
        return top if again is None else above(plan, replace(again), top)


_top: Final = TopK(k=2)
_pushed_down: Final[SearchStrategy[tuple[Node | None, Node | None]]] = st.sampled_from(
    (
        (None, None),
        (None, None),
        (_top, _top),
        (TopK(k=3, ascending=True), TopK(k=2, ascending=True)),
        (TopK(), TopK(k=5)),
        (Limit(fetch=3), Limit(skip=1, fetch=2)),
        (Limit(fetch=5), Limit(fetch=5)),
    )
)
_seldom: Final = st.sampled_from((False, False, False, True))
_two_or_three: Final = st.integers(2, 3)
_few_operators: Final = st.lists(_operators, max_size=2)
