"""Plans that the engine refuses, for each rule that it may name."""

from collections.abc import Callable, Collection
from typing import Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.strategies._arguments import check_names
from properties.strategies._plans import above, operators, plans
from workflow import Plan
from workflow.plan import DataObjScan, Filter, Merge, Node, Parallelize, ScanSet, TopK

__all__ = ["REFUSALS", "refused_plans"]


@st.composite
def refused_plans(draw: DrawFn, *, rules: Collection[str] | None = None) -> Plan:
    """A plan that the engine refuses, naming one of these rules; None stands for all of them.

    The rules are those of `REFUSALS`: the ``rule`` of the GraphError that `Workflow` raises.
    """
    chosen = list(REFUSALS) if rules is None else check_names("rules", rules, list(REFUSALS))
    if not chosen:
        raise InvalidArgument(f"rules: got {rules!r}, expected at least one")
    return REFUSALS[draw(st.sampled_from(chosen))](draw)


def _no_root(_draw: DrawFn) -> Plan:
    return Plan()


def _many_roots(draw: DrawFn) -> Plan:
    """A node beside the plan, or shards of nothing that leave the tasks which they read."""
    if draw(st.booleans()):
        plan = Plan()
        both = above(plan, Merge(), plan.add(ScanSet()), _put(plan, draw(_shards)))
        above(plan, Filter(), above(plan, Parallelize(), both))
        return plan
    plan = draw(plans())
    plan.add(draw(operators()))
    return plan


def _cycle(draw: DrawFn) -> Plan:
    plan = draw(plans())
    top = plan.root()
    nodes = list(plan.walk(top))
    plan.add_edge(nodes[draw(st.integers(0, len(nodes) - 1))], top)
    return plan


def _arity(draw: DrawFn) -> Plan:
    plan = draw(plans())
    children = [plan.add(DataObjScan()) for _ in range(draw(st.sampled_from((0, 2, 3))))]
    return _beside(plan, above(plan, Parallelize(), *children))


def _two_shardable(draw: DrawFn) -> Plan:
    plan = draw(plans())
    sets = [
        plan.add(ScanSet(targets=tuple(DataObjScan() for _ in range(draw(st.integers(0, 2))))))
        for _ in range(draw(st.integers(2, 3)))
    ]
    return _beside(plan, above(plan, Parallelize(), above(plan, Merge(), *sets)))


def _diamond(draw: DrawFn) -> Plan:
    """Rows of another task on two ways into one: as two streams, or through a node that forks."""
    plan = draw(plans())
    shared = _put(plan, draw(_inputs))
    if draw(st.booleans()):
        shared = above(plan, draw(_unbroken), shared)
    ways = [above(plan, draw(_unbroken), shared) for _ in range(2)]
    return _beside(plan, above(plan, Merge(), *ways))


_unbroken: Final = operators().filter(lambda node: not node.breaker)
# What becomes a task of its own, as a chain from its top down.
_shards: Final[SearchStrategy[tuple[Node, ...]]] = st.sampled_from(
    (
        (Parallelize(), DataObjScan()),
        (Parallelize(), ScanSet(targets=(DataObjScan(),))),
    )
)
_inputs: Final = st.just((TopK(k=5), DataObjScan())) | _shards


def _put(plan: Plan, chain: tuple[Node, ...]) -> Node:
    """A chain in the plan; gives its top."""
    *over, node = chain
    plan.add(node)
    for each in reversed(over):
        node = above(plan, each, node)
    return node


def _beside(plan: Plan, node: Node) -> Plan:
    """One plan of what there is and of a branch with a fault."""
    first = next(each for each in plan.roots() if each is not node)
    above(plan, Merge(), first, node)
    return plan


# In the order in which they get harder to read.
REFUSALS: Final[dict[str, Callable[[DrawFn], Plan]]] = {
    "no-root": _no_root,
    "many-roots": _many_roots,
    "cycle": _cycle,
    "parallelize-arity": _arity,
    "two-shardable": _two_shardable,
    "diamond": _diamond,
}
