"""Whether a plan answers the same whole and cut into tasks (semantics 3.3).

>>> from workflow import Plan
>>> def plan(above):
...     plan = Plan()
...     [*_, scans] = [plan.add(node) for node in (*above, ScanSet())]
...     for parent, child in zip(list(plan), list(plan)[1:]):
...         plan.add_edge(parent, child)
...     return plan
>>> shards_add_up(plan([TopK(k=3), Parallelize(), TopK(k=3)]))
True
>>> shards_add_up(plan([Batching(), Parallelize(), TopK(k=3)]))
False
"""

from typing import Final

from workflow.plan import (
    Batching,
    Compat,
    Filter,
    Limit,
    Node,
    Parallelize,
    Plan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)

__all__ = ["shards_add_up"]

_ROW_BY_ROW: Final = (Filter, Projection, Compat, Batching)
# What adds up the parts of an operation over ranges.
_TOTALS: Final = {"count": "sum", "sum": "sum", "bytes": "sum", "min": "min", "max": "max"}


def shards_add_up(plan: Plan) -> bool:
    """Whether cutting the plan into tasks leaves its answer as it is.

    What lies below a Parallelize with a scan set is done once for each target.  That makes no
    difference row by row, nor for a TopK or Limit that stands above the Parallelize once more, nor
    for an aggregation whose parts are added up there.
    """
    return all(
        _adds_up(plan, node)
        for node in plan
        # On top it is not cut.
        if isinstance(node, Parallelize) and plan.parents(node)
    )


def _adds_up(plan: Plan, parallel: Node) -> bool:
    branch: dict[Node, None] = {}
    stack = _not_cut_below(plan, parallel)
    while stack:
        node = stack.pop()
        if node not in branch:
            branch[node] = None
            stack += _not_cut_below(plan, node)
    if not any(isinstance(node, ScanSet) for node in branch):
        return True
    [top] = plan.children(parallel)
    repeated = _repeats(top, _above(plan, parallel))
    return all(
        (repeated and node is top)
        or isinstance(node, ScanSet)
        or (
            (isinstance(node, _ROW_BY_ROW) or node.kind == "Merge")
            and plan.children(node)
            and not any(isinstance(each, Parallelize) for each in plan.children(node))
        )
        for node in branch
    )


def _not_cut_below(plan: Plan, node: Node) -> list[Node]:
    return [each for each in plan.children(node) if not isinstance(each, Parallelize)]


def _above(plan: Plan, parallel: Node) -> list[Node]:
    """What reads a Parallelize, through others."""
    found: list[Node] = []
    for parent in plan.parents(parallel):
        found += _above(plan, parent) if isinstance(parent, Parallelize) else [parent]
    return found


def _repeats(top: Node, above: list[Node]) -> bool:
    if not above:
        return False
    if isinstance(top, TopK):
        return all(
            isinstance(node, TopK)
            and (node.sort_by, node.ascending, node.nulls_first)
            == (top.sort_by, top.ascending, top.nulls_first)
            and (not top.k or 0 < node.k <= top.k)
            for node in above
        )
    if isinstance(top, Limit):
        return all(
            isinstance(node, Limit) and not top.skip and node.skip + node.fetch <= top.fetch
            for node in above
        )
    if isinstance(top, RangeAggregation):
        return all(
            isinstance(node, VectorAggregation) and node.operation == _TOTALS.get(top.operation)
            for node in above
        )
    return False
