"""How rows are cut into batches, and in which order these come, must not show in an answer."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pytest
from executed import Row, answer, batch_of, chain, json_rows
from hypothesis import given
from hypothesis import strategies as st

from workflow import Identifiers, Stream, Timestamp
from workflow.execute import Execution
from workflow.expressions import parse_column, parse_expression
from workflow.plan import (
    Batching,
    Compat,
    Filter,
    Limit,
    Node,
    Parallelize,
    Projection,
    RangeAggregation,
    TopK,
    VectorAggregation,
)

TIME = "timestamp_ns.builtin.timestamp"
VALUE = "float64.generated.value"
POD = parse_column("ambiguous.pod")
CALLED_VALUE = parse_column("ambiguous.value")


def expand(text: str) -> Projection:
    return Projection(expressions=(parse_expression(text),), all=True, expand=True)


def where(text: str) -> Filter:
    return Filter(predicates=(parse_expression(text),))


def over_time(operation: str, **changes: object) -> RangeAggregation:
    fields = {"start": Timestamp(2), "end": Timestamp(9), "step_ns": 2, "range_ns": 3, **changes}
    return RangeAggregation(operation=operation, **fields)  # type: ignore[arg-type]


PARSED: Final = (
    Compat(source="parsed", destination="parsed", collisions=("label", "metadata")),
    expand("PARSE_LOGFMT(builtin.message, [], false, false)"),
    Compat(source="metadata", destination="metadata", collisions=("label",)),
)
NO_ERROR: Final = where('AND(EQ(generated.__error__, ""), EQ(generated.__error_details__, ""))')

# From the root down.  What ends in one batch is compared to the byte, the rest as a multiset.
ONE_BATCH: Final[dict[str, Sequence[Node]]] = {
    "newest": [TopK(k=3)],
    "oldest, nulls first": [TopK(k=4, ascending=True, nulls_first=True), *PARSED],
    "largest": [TopK(k=2, sort_by=parse_column("generated.value"))],
    "by a label": [TopK(k=3, sort_by=POD, nulls_first=True)],
    "everything": [TopK(), *PARSED],
    "by what is called value": [TopK(k=3, sort_by=CALLED_VALUE), *PARSED],
    "count of what is called value": [over_time("count", group_by=(CALLED_VALUE,))],
    "a part of the newest": [Limit(skip=1, fetch=2), TopK(k=4)],
    "count": [over_time("count", group_by=(POD,))],
    "sum": [over_time("sum", without=True)],
    "avg": [over_time("avg", without=True, group_by=(POD,))],
    "min": [over_time("min", group_by=(POD, parse_column("parsed.a")), range_ns=1), *PARSED],
    "bytes": [over_time("bytes")],
    "a cast": [
        VectorAggregation(operation="max", group_by=(POD,)),
        over_time("max", without=True),
        NO_ERROR,
        Projection(expressions=(parse_column("ambiguous.a"),), all=True, drop=True),
        expand("CAST_FLOAT(ambiguous.a)"),
        *PARSED,
    ],
    "series of an instant": [VectorAggregation(operation="sum", group_by=(POD,))],
    "avg of an instant": [
        expand("MUL(generated.value, 100)"),
        VectorAggregation(operation="avg", without=True, group_by=(POD,)),
        over_time("count", without=True),
    ],
}
MANY_BATCHES: Final[dict[str, Sequence[Node]]] = {
    "as they are": [Parallelize()],
    "batches": [Batching(batch_size=3), *PARSED],
    "parsed": [Batching(batch_size=3), where('MATCH_RE(ambiguous.a, "^.?$")'), *PARSED],
    "good ones": [NO_ERROR, *PARSED],
    "json": [expand("PARSE_JSON(builtin.message, [], false, false)")],
    "regexp": [
        where('NOT_MATCH_STR(ambiguous.v, "1")'),
        expand('PARSE_REGEXP(builtin.message, "(?P<k>.)=(?P<v>.*)")'),
    ],
    "casts": [where("GTE(generated.value, 0)"), expand("CAST_DURATION(parsed.a)"), *PARSED],
    "called value": [where('NEQ(ambiguous.value, "")')],
    "a cast of what is called value": [expand("CAST_FLOAT(ambiguous.value)")],
    "called as the time": [where('LT(ambiguous.timestamp, "y")')],
    "dropped": [Projection(expressions=(CALLED_VALUE,), all=True, drop=True)],
    "kept": [Projection(expressions=(POD, parse_column("builtin.timestamp")))],
}

texts = st.sampled_from([None, "", "x", "y"])
a_row: Final = st.fixed_dictionaries(
    {},
    optional={
        TIME: st.none() | st.integers(0, 12),
        VALUE: st.none() | st.sampled_from([0.0, -0.0, 0.1, 0.2, 0.3, 1e16, -1e16, 5.0]),
        "utf8.builtin.message": st.sampled_from(
            [None, "", "a=1 pod=x", "a=", "a=1s b=2", "a=0.5", "a=b=c", '{"a": 1}', "{}", "a=2 a=3"]
        ),
        "utf8.label.pod": texts,
        "utf8.label.app": texts,
        "utf8.label.value": texts,
        "utf8.metadata.timestamp": texts,
        "utf8.metadata.pod": texts,
        "utf8.parsed.pod": texts,
        "utf8.parsed.a": texts,
    },
)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[Row], list[tuple[int, pa.RecordBatch]]]:
    """Rows, and the same rows in batches, each with the number of its stream, as they come."""
    rows = draw(st.lists(a_row, max_size=12))
    mixed = draw(st.permutations(rows))
    edges = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    batches = []
    for start, end in zip([0, *edges], [*edges, len(rows)], strict=True):
        piece = mixed[start:end]
        batch = batch_of(piece)
        if draw(st.booleans()):  # a column that no row has, or only nulls
            nulls = [{**row, "utf8.label.none": None, VALUE: row.get(VALUE)} for row in piece]
            batch = batch_of(nulls)
        batches.append((draw(st.integers(0, 2)), batch))
    return rows, batches


def given_batches(
    nodes: Sequence[Node], batches: Sequence[tuple[int, pa.RecordBatch]]
) -> list[pa.RecordBatch]:
    plan, bottom, _ = chain(*nodes)
    ids = Identifiers()
    streams = [Stream(ids.make()) for _ in range(3)]
    execution = Execution(plan, {bottom: streams})
    out = []
    last = {number: place for place, (number, _) in enumerate(batches)}
    for number in range(3):
        if number not in last:
            out += execution.end(streams[number])
    for place, (number, batch) in enumerate(batches):
        out += execution.push(streams[number], batch)
        if last[number] == place:
            out += execution.end(streams[number])
    assert execution.done
    return out


@pytest.mark.parametrize("name", ONE_BATCH)
@given(cuts())
def test_one_batch_is_the_same_to_the_byte(
    name: str, cut: tuple[list[Row], list[tuple[int, pa.RecordBatch]]]
) -> None:
    rows, batches = cut
    whole = given_batches(ONE_BATCH[name], [(0, batch_of(rows))])
    pieces = given_batches(ONE_BATCH[name], batches)
    assert [encoded(batch) for batch in pieces] == [encoded(batch) for batch in whole]


@pytest.mark.parametrize("name", MANY_BATCHES)
@given(cuts())
def test_many_batches_hold_the_same_rows(
    name: str, cut: tuple[list[Row], list[tuple[int, pa.RecordBatch]]]
) -> None:
    rows, batches = cut
    whole = given_batches(MANY_BATCHES[name], [(0, batch_of(rows))])
    pieces = given_batches(MANY_BATCHES[name], batches)
    assert answer(json_rows(pieces)) == answer(json_rows(whole))
    assert all(batch.num_rows for batch in pieces)


@given(cuts(), st.integers(0, 3), st.integers(0, 5))
def test_a_limit_of_unsorted_rows_gives_as_many_of_them(
    cut: tuple[list[Row], list[tuple[int, pa.RecordBatch]]], skip: int, fetch: int
) -> None:
    rows, batches = cut
    found = json_rows(given_batches([Limit(skip=skip, fetch=fetch)], batches))
    assert len(found) == min(fetch, max(0, len(rows) - skip))
    left = [without_nulls(row) for row in json_rows([batch_of(rows)])]
    for row in found:
        left.remove(without_nulls(row))


def without_nulls(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def encoded(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]
