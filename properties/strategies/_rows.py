"""Operators that compute something over rows, and sections of small data for them to read.

The names of columns, the values and the instants are few, so that they meet: groups have several
rows, keys tie, columns collide, times lie on the very bounds of windows.
"""

from dataclasses import replace
from typing import Final

import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.strategies._arguments import check_bounds
from workflow import Timestamp
from workflow.expressions import Column, ColumnType, Expression, parse_column, parse_expression
from workflow.plan import (
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Limit,
    Node,
    Projection,
    RangeAggregation,
    TopK,
    VectorAggregation,
)

__all__ = [
    "POOLED",
    "chains",
    "row_chains",
    "scan_predicates",
    "scan_projections",
    "scanned",
    "sections",
]

_SECOND: Final = 10**9  # nanoseconds
_LAST: Final = 12  # seconds of the latest line
POOLED: Final = (TopK, RangeAggregation, VectorAggregation)  # with any number of inputs

_TIME: Final = Column(ColumnType.BUILTIN, "timestamp")
_VALUE: Final = Column(ColumnType.GENERATED, "value")


def _named(*names: str) -> tuple[Column, ...]:
    return tuple(parse_column(name) for name in names)


_TEXTS: Final = _named(
    "ambiguous.pod",
    "label.app",
    "ambiguous.level",
    "metadata.pod",
    "parsed.pod",
    "label.pod",
    "metadata.pod_extracted",
    "parsed.level",
    "builtin.message",
    "generated.__error__",
    "ambiguous.value",
    "ambiguous.nowhere",
)
_columns: Final = st.lists(st.sampled_from(_TEXTS), min_size=1, max_size=2).map(tuple)

_ATOMS: Final = tuple(
    map(
        parse_expression,
        (
            'EQ(label.app, "shop")',
            'EQ(generated.__error__, "")',
            'NEQ(ambiguous.pod, "p0")',
            'EQ(ambiguous.level, "")',
            "EQ(ambiguous.pod, label.pod)",
            'GT(metadata.pod, "p0")',
            'LTE(parsed.level, "info")',
            'NEQ(ambiguous.value, "1")',
            'EQ(ambiguous.timestamp, "")',
            'MATCH_STR(builtin.message, "=")',
            'NOT_MATCH_STR(ambiguous.app, "o")',
            'MATCH_RE(ambiguous.pod, "^p[01]$|^$")',
            'NOT_MATCH_RE(builtin.message, "le(vel)?=")',
            "GT(generated.value, 1)",
            "NEQ(generated.value, 0)",
            "LTE(generated.value, 500ms)",
            "GTE(generated.value, 1kB)",
            "LT(MUL(generated.value, 2), ADD(generated.value, 3))",
            "GTE(builtin.timestamp, 1970-01-01T00:00:04Z)",
            "LT(builtin.timestamp, 1970-01-01T00:00:09Z)",
        ),
    )
)
_atoms: Final = st.sampled_from(_ATOMS)
# A scan has no value to compare.
_scan_atoms: Final = st.sampled_from([each for each in _ATOMS if "generated" not in str(each)])
_seldom_atoms: Final = st.one_of(
    *[st.just(())] * 4, st.lists(_scan_atoms, min_size=1, max_size=2).map(tuple)
)


def _call(template: str, *expressions: Expression) -> Expression:
    return parse_expression(template.format(*expressions))


_conditions: Final[SearchStrategy[Expression]] = st.one_of(
    _atoms,
    st.builds(_call, st.just("NOT({})"), _atoms),
    st.builds(_call, st.sampled_from(("OR({}, {})", "AND({}, {})", "XOR({}, {})")), _atoms, _atoms),
)


def _expand(text: str) -> Projection:
    return Projection((parse_expression(text),), all=True, expand=True)


_PARSERS: Final = tuple(
    map(
        _expand,
        (
            "PARSE_LOGFMT(builtin.message, [], false, false)",
            "PARSE_LOGFMT(builtin.message, [level, pod], false, true)",
            "PARSE_LOGFMT(ambiguous.trace, [], true, false)",
            "PARSE_JSON(builtin.message, [], false, false)",
            "PARSE_JSON(builtin.message, [level, took_ms], false, false)",
            'PARSE_REGEXP(builtin.message, "(le|)vel=(?P<level>[a-z]*)")',
            'PARSE_REGEXP(builtin.message, "(?P<pod>p.)?[(]")',
            'PARSE_REGEXP(builtin.message, "no name")',
        ),
    )
)
_CASTS: Final = tuple(
    _expand(f"CAST_{kind}({column})")
    for kind, column in (
        ("FLOAT", "ambiguous.n"),
        ("DURATION", "parsed.took"),
        ("BYTES", "ambiguous.size"),
        ("FLOAT", "ambiguous.took"),
        ("FLOAT", "metadata.n"),
    )
)
_SUMS: Final = tuple(
    map(
        _expand,
        (
            "DIV(generated.value, 60)",
            "MUL(generated.value, 100)",
            "SUB(1, generated.value)",
            "DIV(1, generated.value)",
            "MOD(generated.value, 3)",
            "POW(generated.value, 2)",
            "ABS(ADD(generated.value, -2))",
        ),
    )
)
_NO_ERROR: Final = Filter(_ATOMS[1:2])
_counts: Final = st.sampled_from((1, 2, 3, 5, 20))
_parsers: Final = st.sampled_from(_PARSERS)
_filters: Final = st.lists(_conditions, max_size=1).map(lambda some: Filter(tuple(some)))
_projections: Final = st.one_of(
    st.builds(Projection, _columns, all=st.just(True), drop=st.just(True)),
    st.builds(lambda some: Projection((_TIME, *some)), _columns),
    st.builds(lambda some: Projection((_TIME, _VALUE, *some)), _columns),
    st.builds(Projection, _columns),
)
_compats: Final = st.sampled_from(
    (
        Compat("metadata", "metadata", ("label",)),
        Compat("parsed", "parsed", ("label", "metadata")),
        Compat("parsed", "metadata", ("label",)),
        Compat("label", "parsed", ("label", "metadata")),
    )
)


@st.composite
def _cast(draw: DrawFn) -> list[Node]:
    """From the top down: rows that failed left out, perhaps, and what is cast parsed, perhaps."""
    over = [_NO_ERROR] if draw(st.sampled_from((True, True, False))) else []
    below = draw(st.one_of(st.just(_PARSERS[0]), st.just(_PARSERS[0]), _parsers, st.none()))
    return [*over, draw(st.sampled_from(_CASTS)), *([] if below is None else [below])]


def _alone(nodes: SearchStrategy[Node]) -> SearchStrategy[list[Node]]:
    return nodes.map(lambda node: [node])


_row_chains: Final[SearchStrategy[list[Node]]] = st.one_of(
    _alone(_parsers),
    _alone(_filters),
    _cast(),
    _alone(_projections),
    _alone(_compats),
    _alone(st.sampled_from(_SUMS)),
    _alone(st.builds(Batching, _counts)),
)
_without: Final = st.booleans()
_series_limits: Final = st.sampled_from((0, 0, 0, 2, 50))
_groups: Final = st.lists(st.sampled_from(_TEXTS), max_size=2).map(tuple)
_spans: Final = st.sampled_from((5, 3, 20, 2, 1)).map(lambda seconds: seconds * _SECOND)
_steps: Final = st.sampled_from((2, 0, 1, 5)).map(lambda seconds: seconds * _SECOND)
_tops: Final = st.builds(
    TopK,
    st.sampled_from((_TIME, _TIME, _VALUE, *_named("ambiguous.pod", "metadata.pod", "label.app"))),
    st.booleans(),
    st.booleans(),
    st.sampled_from((2, 1, 5, 20, 20, 0)),
)


def _windows(operations: tuple[str, ...]) -> SearchStrategy[RangeAggregation]:
    return st.builds(
        lambda start, length, **others: RangeAggregation(
            start=Timestamp(start * _SECOND), end=Timestamp((start + length) * _SECOND), **others
        ),
        st.sampled_from((4, 2, 6, 0, 9)),
        st.sampled_from((6, 8, 3, 10, 0, -1)),
        operation=st.sampled_from(operations),
        step_ns=_steps,
        range_ns=_spans,
        without=_without,
        group_by=_groups,
        max_query_series=_series_limits,
    )


_vectors: Final = st.builds(
    VectorAggregation,
    st.sampled_from(("sum", "count", "max", "min", "avg")),
    _without,
    _groups,
    _series_limits,
)
_counted: Final = _windows(("count", "bytes"))
_valued: Final = _windows(("sum", "avg", "max", "min"))
_measured: Final = st.one_of(
    _alone(_counted),
    _alone(_valued),
    st.builds(lambda node, below: [node, *below], _valued, _cast()),
)
_chains: Final[SearchStrategy[list[Node]]] = st.one_of(
    _row_chains,
    _row_chains,
    _alone(_tops),
    _measured,
    st.builds(lambda node, below: [node, *below], _vectors, _measured),
    _alone(st.one_of(_counted, _counted, _vectors)),
    _alone(st.builds(Limit, st.integers(0, 3), st.sampled_from((50, 1, 2, 5, 0)))),
)


_some_chains: Final = st.integers(0, 3).flatmap(
    lambda count: st.lists(_chains, min_size=count, max_size=count)
)


def _flat(parts: list[list[Node]]) -> list[Node]:
    # Copies: a node is told apart by identity, and what is sampled is one object.
    return [replace(node) for part in parts for node in part]


def row_chains() -> SearchStrategy[list[Node]]:
    """Some nodes from the top down that go row by row.  Simplest are none."""
    return st.lists(_row_chains, max_size=2).map(_flat)


def chains() -> SearchStrategy[list[Node]]:
    """Some nodes from the top down.  Simplest are none."""
    return _some_chains.map(_flat)


def scan_predicates() -> SearchStrategy[tuple[Expression, ...]]:
    """Predicates of a scan or a set of them, mostly none."""
    return _seldom_atoms


def scan_projections() -> SearchStrategy[tuple[Column, ...]]:
    """Projections of a scan or a set of them, mostly none."""
    return st.one_of(*[st.just(())] * 4, _columns.map(lambda some: (_TIME, *some)))


@st.composite
def scanned(draw: DrawFn) -> DataObjScan:
    """A scan of one of four sections."""
    place = draw(st.integers(0, 3))
    return DataObjScan(
        location=f"objects/{place // 2}",
        section=place % 2,
        stream_ids=draw(st.sampled_from((None,) * 9 + ((), (2,), (1, 3, 9)))),
        projections=draw(scan_projections()),
        predicates=draw(scan_predicates()),
    )


# Data.

_MESSAGES: Final = (
    "n=1 took=250ms size=2kB",
    "",
    "level=warn pod=p1 took=250ms size=1.5KiB n=1",
    "level=info n=2 took=1.5s",
    "level= pod=p2 n=0.1 size=4.35kB",
    "level=warn n=NaN took=1m0.5s size=12",
    "n=-0 level=warn level=info",
    "n=1e16 pod=p0 size=2,000B",
    "n=-1e16 took=500ms",
    "n=1e400 took=5 size=big",
    "n=+Inf level=error",
    'msg="say "hi"" level=warn',
    'msg="a \\"b\\" \\u00e9" 1st.key=x flag',
    "a=b=c level=warn",
    '{"level": "warn", "took": {"ms": 12.50}, "n": 3, "pod": null}',
    '{"level": "", "n": true, "list": [1], "pod": "p1", "n": 4}',
    "{}",
    '[{"level": "warn"}]',
    '{"level": ',
    "vel=error p1(",
    "plain words",
    "µ level=größer",
)
_odd: Final = st.text(alphabet='ab=" \\1n{}:\t', max_size=8)
_messages: Final = st.one_of(st.sampled_from(_MESSAGES), st.sampled_from(_MESSAGES), _odd)
_texts: Final = st.sampled_from((None, "p0", "p1", "", "info", "1"))
_streams: Final = st.fixed_dictionaries(
    {"app": st.sampled_from(("shop", "bank", None))},
    optional={"pod": _texts, "pod_extracted": _texts},
)
_metadata: Final = st.fixed_dictionaries(
    {},
    optional={
        "pod": _texts,
        "value": st.sampled_from((None, "1", "")),
        "n": st.sampled_from((None, "1", "0x1p-2", "x", "")),
        "trace": st.sampled_from((None, "level=info pod=p3", "")),
    },
)
_times: Final = st.one_of(
    st.integers(0, _LAST).map(lambda second: second * _SECOND),
    st.builds(
        lambda second, off: second * _SECOND + off, st.integers(1, _LAST), st.sampled_from((1, -1))
    ),
)
_lines: Final = st.tuples(_times, _messages, _metadata)


@st.composite
def sections(draw: DrawFn, *, min_rows: int = 0, max_rows: int = 8) -> pa.RecordBatch:
    """A section of a data object in storage form, of up to three streams.

    Columns as a host hands them to a scan, sorted by stream and newest first.  Simplest has none.
    """
    check_bounds("rows", min_rows, max_rows)
    streams = draw(st.lists(_streams, min_size=1, max_size=3))
    count = draw(st.integers(min_rows, max_rows))  # drawn first: lists by themselves are short
    lines = draw(st.lists(_lines, min_size=count, max_size=count))
    if lines and len(lines) < max_rows and draw(st.booleans()):
        lines.append(lines[0])  # a duplicate
    placed = [(draw(st.integers(1, len(streams))), *line) for line in lines]
    placed.sort(key=lambda line: (line[0], -line[1]))
    columns: dict[str, pa.Array] = {
        "stream_id": pa.array([stream for stream, *_ in placed], pa.int64()),
        "timestamp": pa.array([time for _, time, *_ in placed], pa.timestamp("ns", "UTC")),
        "message": pa.array([message for _, _, message, _ in placed], pa.string()),
    }
    for name in sorted({**{n: 0 for each in streams for n in each}}):
        values = [streams[stream - 1].get(name) for stream, *_ in placed]
        columns[f"label.{name}"] = pa.array(values, pa.string())
    for name in sorted({n: 0 for *_, metadata in placed for n in metadata}):
        columns[f"metadata.{name}"] = pa.array([each.get(name) for *_, each in placed], pa.string())
    return pa.RecordBatch.from_pydict(columns)
