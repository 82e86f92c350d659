"""What Hypothesis draws for the tests of the engine: instants, expressions, nodes, plans."""

from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from workflow import Plan, TimeRange, Timestamp
from workflow.expressions import Call, Column, ColumnType, Duration, Expression, Literal
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

__all__ = ["columns", "expressions", "instants", "nodes", "plans", "ranges", "spans"]

_DAY: Final = 24 * 3600 * 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH).days * _DAY
_LAST: Final = ((datetime.max.replace(tzinfo=UTC) - _EPOCH).days + 1) * _DAY - 1
_MAX_U32: Final = 2**32 - 1
_MAX_I64: Final = 2**63 - 1

counts = st.integers(0, _MAX_I64)
# Any int64; as Go prints it.
spans = st.one_of(
    st.integers(-_MAX_I64 - 1, _MAX_I64),
    st.builds(lambda n, unit: n * unit, st.integers(-99, 99), st.sampled_from([1, 10**6, 10**9])),
)


@st.composite
def instants(draw: st.DrawFn, *, zones: bool = True) -> Timestamp:
    """An instant of the years 1 to 9999, on its own calendar too, but not the unset one."""
    offset = draw(st.integers(-23 * 60 - 59, 23 * 60 + 59)) if zones else 0
    east = offset * 60 * 10**9
    low, high = max(_FIRST, _FIRST - east) + 1, min(_LAST, _LAST - east)
    near = st.integers(0, 10**12).map(lambda n: n * 10**6)  # within weeks of the epoch
    return Timestamp(draw(st.one_of(st.integers(low, high), near)), offset)


maybe_instants = st.none() | instants()
ranges = st.builds(TimeRange, maybe_instants, maybe_instants)

_WORDS: Final = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,7}", fullmatch=True)
columns = st.builds(Column, st.sampled_from(ColumnType), _WORDS)

# Whole floats print like integers, and texts with quotes may have several readings.
_LITERALS: Final = st.builds(
    Literal,
    st.none()
    | st.booleans()
    | st.integers(-_MAX_I64 - 1, _MAX_I64)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"'), max_size=12)
    | st.builds(Duration, st.integers(-_MAX_I64, _MAX_I64))
    | instants(zones=False),
)


def expressions(depth: int = 2) -> st.SearchStrategy[Expression]:
    """A predicate or an arithmetic expression whose printed form has one reading."""
    leaf: st.SearchStrategy[Expression] = st.builds(
        lambda operator, column, literal: Call(operator, (column, literal)),
        st.sampled_from(["EQ", "NEQ", "GT", "LTE", "MATCH_STR", "DIV"]),
        columns,
        _LITERALS,
    )
    if not depth:
        return leaf
    below = expressions(depth - 1)
    return st.one_of(
        leaf,
        columns,
        st.builds(lambda a, b: Call("AND", (a, b)), below, below),
        st.builds(lambda a: Call("NOT", (a,)), below),
    )


def _tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, max_size=3).map(tuple)


_MANY_EXPRESSIONS: Final = _tuples(expressions())
_GROUPING: Final[dict[str, st.SearchStrategy[Any]]] = {
    "operation": st.sampled_from(["invalid", "sum", "count", "max"]),
    "without": st.booleans(),
    "group_by": _tuples(columns),
    "max_query_series": counts,
}
_DATA_SCANS: Final = st.builds(
    DataObjScan,
    location=st.text(max_size=9),
    section=counts,
    stream_ids=st.none() | _tuples(st.integers(-_MAX_I64 - 1, _MAX_I64)),
    projections=_tuples(columns),
    predicates=_MANY_EXPRESSIONS,
    max_time_range=ranges,
    stream_count=st.none() | counts,
)
_POINTER_SCANS: Final = st.builds(
    PointersScan,
    location=st.text(max_size=9),
    selector=st.text(max_size=9),
    predicates=_MANY_EXPRESSIONS,
    start=maybe_instants,
    end=maybe_instants,
    predicate_count=st.none() | counts,
)

nodes: st.SearchStrategy[Node] = st.one_of(
    _DATA_SCANS,
    _POINTER_SCANS,
    st.builds(
        Projection,
        expressions=_MANY_EXPRESSIONS,
        all=st.booleans(),
        expand=st.booleans(),
        drop=st.booleans(),
    ),
    st.builds(Filter, predicates=_MANY_EXPRESSIONS),
    st.builds(Limit, skip=st.integers(0, _MAX_U32), fetch=st.integers(0, _MAX_U32)),
    st.builds(
        RangeAggregation,
        start=maybe_instants,
        end=maybe_instants,
        step_ns=spans,
        range_ns=spans,
        **_GROUPING,
    ),
    st.builds(VectorAggregation, **_GROUPING),
    st.builds(
        Compat,
        source=st.text(max_size=9),
        destination=st.text(max_size=9),
        collisions=_tuples(st.text(max_size=9)),
    ),
    st.builds(TopK, sort_by=columns, ascending=st.booleans(), nulls_first=st.booleans(), k=counts),
    st.builds(
        ScanSet,
        targets=_tuples(_DATA_SCANS | _POINTER_SCANS),
        projections=_tuples(columns),
        predicates=_MANY_EXPRESSIONS,
    ),
    st.builds(Batching, batch_size=st.integers(-_MAX_I64 - 1, _MAX_I64)),
    st.builds(Merge),
    st.builds(Parallelize),
    st.builds(Join),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """An acyclic plan of any shape, with ids for some of its nodes, all or none."""
    plan = Plan()
    listed = [plan.add(node) for node in draw(st.lists(nodes, min_size=1, max_size=5))]
    for parent in range(len(listed)):
        for child in draw(st.lists(st.integers(0, len(listed) - 1), max_size=3)):
            if child > parent:
                plan.add_edge(listed[parent], listed[child])
    named = draw(st.lists(st.integers(0, 99), max_size=len(listed), unique=True))
    plan.ids.update(zip(listed, named, strict=False))
    return plan
