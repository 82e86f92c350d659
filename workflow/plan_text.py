"""A plan as the tree that the reference prints (semantics 9).

`plan_reader` reads the same form back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from workflow.plan import (
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Limit,
    Node,
    Plan,
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)
from workflow.times import TimeRange, format_duration, format_instant
from workflow.tree import Tree, render_lines

__all__ = ["TARGET_TYPES", "node_trees", "plan_to_text"]

Properties = tuple[tuple[str, str | tuple[str, ...]], ...]

TARGET_TYPES = {"ScanTypeDataObject": DataObjScan, "ScanTypePointers": PointersScan}


def plan_to_text(plan: Plan) -> str:
    """The plan as printed: roots in order, one blank line between two of them.

    Raises CycleError for a plan that is not acyclic, TreeTooLarge for one whose shared nodes
    would print too often.
    """
    plan.check_acyclic()
    return "\n".join(
        "".join(line + "\n" for line in render_lines(tree)) for tree in node_trees(plan)
    )


def node_trees(plan: Plan, comments: Mapping[Node, list[Tree]] | None = None) -> Iterator[Tree]:
    """A tree to draw for each root of an acyclic plan.

    `comments` are added after a node's own, at the node's first occurrence only.
    """
    plain: dict[Node, Tree] = {}

    def build(root: Node) -> None:
        for node in plan.walk(root, order="post"):
            if node not in plain:
                plain[node] = Tree(
                    node.kind,
                    _properties(node),
                    comments=_own_comments(node),
                    children=[plain[child] for child in plan.children(node)],
                )

    for root in plan.roots():
        build(root)
        yield _with_comments(plan, root, plain, comments) if comments else plain[root]


def _with_comments(
    plan: Plan, root: Node, plain: dict[Node, Tree], comments: Mapping[Node, list[Tree]]
) -> Tree:
    first: dict[Node, Tree] = {}
    for node in plan.walk(root):
        tree = plain[node]
        first[node] = Tree(
            tree.name, tree.properties, comments=[*tree.comments, *comments.get(node, ())]
        )
    placed = {root: None}
    # The same walk again, so that the copy with comments goes to the first place met.
    for node in first:
        for child in plan.children(node):
            is_first = child not in placed
            placed[child] = None
            first[node].children.append(first[child] if is_first else plain[child])
    return first[root]


def _properties(node: Node) -> Properties:
    describe = _DESCRIBE.get(type(node))
    return describe(node) if describe else ()


def _own_comments(node: Node) -> list[Tree]:
    if isinstance(node, DataObjScan):
        return [_range_comment(node.max_time_range)]
    if isinstance(node, ScanSet):
        return [_target_comment(target) for target in node.targets]
    return []


def _range_comment(time_range: TimeRange) -> Tree:
    return Tree(
        "@max_time_range",
        (
            ("start", format_instant(time_range.start)),
            ("end", format_instant(time_range.end)),
        ),
    )


def _target_comment(target: DataObjScan | PointersScan) -> Tree:
    name = next(name for name, kind in TARGET_TYPES.items() if isinstance(target, kind))
    return Tree("@target", (("type", name), *_properties(target)))


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _strings(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(map(str, values))


def _predicates(values: Iterable[object]) -> Properties:
    return tuple((f"predicate[{i}]", str(value)) for i, value in enumerate(values))


def _grouping(node: RangeAggregation | VectorAggregation) -> Properties:
    columns = _strings(node.group_by)
    if node.without:
        return (("group_without", columns),) if columns else ()
    return (("group_by", columns),)


def _data_obj_scan(node: DataObjScan) -> Properties:
    return (
        ("location", node.location),
        ("streams", str(node.streams)),
        ("section_id", str(node.section)),
        ("projections", _strings(node.projections)),
        *_predicates(node.predicates),
    )


def _pointers_scan(node: PointersScan) -> Properties:
    return (
        ("location", node.location),
        ("num_predicates", str(node.num_predicates)),
        ("start", format_instant(node.start)),
        ("end", format_instant(node.end)),
    )


def _scan_set(node: ScanSet) -> Properties:
    projections = _strings(node.projections)
    return (
        ("num_targets", str(len(node.targets))),
        *((("projections", projections),) if projections else ()),
        *_predicates(node.predicates),
    )


def _projection(node: Projection) -> Properties:
    what = "expand" if node.expand else "drop" if node.drop else ""
    return (
        ("all", _flag(node.all)),
        *(((what, _strings(node.expressions)),) if what else ()),
    )


def _range_aggregation(node: RangeAggregation) -> Properties:
    return (
        ("operation", node.operation),
        ("start", format_instant(node.start)),
        ("end", format_instant(node.end)),
        ("step", format_duration(node.step_ns)),
        ("range", format_duration(node.range_ns)),
        *_grouping(node),
    )


def _top_k(node: TopK) -> Properties:
    return (
        ("sort_by", str(node.sort_by)),
        ("ascending", _flag(node.ascending)),
        ("nulls_first", _flag(node.nulls_first)),
        ("k", str(node.k)),
    )


def _compat(node: Compat) -> Properties:
    return (
        ("src", node.source),
        ("dst", node.destination),
        ("collisions", node.collisions),
    )


_DESCRIBE: dict[type[Node], Callable[..., Properties]] = {
    DataObjScan: _data_obj_scan,
    PointersScan: _pointers_scan,
    ScanSet: _scan_set,
    Projection: _projection,
    Filter: lambda node: _predicates(node.predicates),
    Limit: lambda node: (("offset", str(node.skip)), ("limit", str(node.fetch))),
    RangeAggregation: _range_aggregation,
    VectorAggregation: lambda node: (("operation", node.operation), *_grouping(node)),
    Compat: _compat,
    TopK: _top_k,
    Batching: lambda node: (("batch_size", str(node.batch_size)),),
}
