"""Operators that let rows pass."""

import pytest
from executed import Row, batch_of, chain, feed, through

from workflow import PlanError
from workflow.execute import Execution
from workflow.expressions import Column, ColumnType, parse_column, parse_expression
from workflow.plan import Batching, Compat, Filter, Limit, Projection

POD = "utf8.label.pod"
N = "utf8.label.n"

COMPAT = Compat(source="metadata", destination="metadata", collisions=("label",))


def numbered(*numbers: int) -> list[Row]:
    return [{N: str(number)} for number in numbers]


def sizes(node: Batching, *counts: int) -> list[int]:
    plan, bottom, stream = chain(node)
    batches = [batch_of(numbered(*range(count))) for count in counts]
    return [batch.num_rows for batch in feed(plan, {stream: batches}, {bottom: [stream]})]


def test_a_limit_skips_and_passes_across_batches() -> None:
    limit = Limit(skip=2, fetch=3)
    expected = numbered(2, 3, 4)
    assert through(limit, numbered(*range(9))) == expected
    assert through(limit, *([row] for row in numbered(*range(9)))) == expected
    assert through(limit, numbered(0)) == []
    assert through(limit, numbered(0, 1, 2)) == numbered(2)


def test_a_limit_that_passed_its_rows_wants_no_more() -> None:
    plan, bottom, stream = chain(Limit(fetch=2))
    execution = Execution(plan, {bottom: [stream]})
    [batch] = execution.push(stream, batch_of(numbered(0, 1, 2)))
    assert batch.num_rows == 2
    assert execution.done
    assert execution.wants() == []
    assert execution.push(stream, batch_of(numbered(3))) == []
    assert execution.end(stream) == []


def test_a_limit_of_nothing_is_done_at_once() -> None:
    plan, bottom, stream = chain(Limit(fetch=0))
    execution = Execution(plan, {bottom: [stream]})
    assert execution.done
    assert execution.wants() == []


def test_batching_joins_and_never_splits() -> None:
    ten = Batching(batch_size=10)
    assert sizes(ten, 3, 3, 3, 3) == [9, 3]
    assert sizes(ten, 5, 5, 1) == [10, 1]
    assert sizes(ten, 3, 25, 3) == [3, 25, 3]
    assert sizes(ten, 0, 0) == []
    assert sizes(Batching(batch_size=0), 3, 3) == [3, 3]


def test_batching_joins_batches_of_other_columns() -> None:
    rows = [[{POD: "a"}], [{N: "1"}], [{POD: "b", N: "2"}]]
    assert through(Batching(batch_size=10), *rows) == [row for batch in rows for row in batch]


def test_compat_moves_a_value_where_another_of_its_name_stands() -> None:
    metadata, moved = "utf8.metadata.pod", "utf8.metadata.pod_extracted"
    rows = [
        {POD: "a", metadata: "x"},
        {metadata: "y"},
        {POD: "b"},
        {"utf8.parsed.pod": "c", metadata: "z"},
    ]
    expected = [{POD: "a", moved: "x"}, rows[1], rows[2], rows[3]]
    assert through(COMPAT, rows) == expected
    assert through(COMPAT, *([row] for row in rows)) == expected


def test_compat_moves_to_its_destination_for_any_of_several_kinds() -> None:
    node = Compat(source="parsed", destination="generated", collisions=("label", "metadata"))
    source, moved = "utf8.parsed.pod", "utf8.generated.pod_extracted"
    rows = [
        {POD: "a", source: "1"},
        {"utf8.metadata.pod": "m", source: "2"},
        {POD: "a", "utf8.metadata.pod": "m", source: "3"},
        {source: "4"},
    ]
    assert [row.get(moved) for row in through(node, rows)] == ["1", "2", "3", None]
    assert [row.get(source) for row in through(node, rows)] == [None, None, None, "4"]


def test_a_value_that_moves_takes_the_place_of_one_that_is_there() -> None:
    metadata, moved = "utf8.metadata.pod", "utf8.metadata.pod_extracted"
    assert through(COMPAT, [{POD: "a", metadata: "x", moved: "old"}, {moved: "old"}]) == [
        {POD: "a", moved: "x"},
        {moved: "old"},
    ]


def test_moved_values_may_collide_in_turn() -> None:
    row = {
        POD: "a",
        "utf8.label.pod_extracted": "b",
        "utf8.metadata.pod": "x",
        "utf8.metadata.pod_extracted": "y",
    }
    other = {"utf8.label.pod_extracted": "b", "utf8.metadata.pod_extracted": "y"}
    assert through(COMPAT, [row, other]) == [
        {
            POD: "a",
            "utf8.label.pod_extracted": "b",
            "utf8.metadata.pod_extracted": "x",
            "utf8.metadata.pod_extracted_extracted": "y",
        },
        {"utf8.label.pod_extracted": "b", "utf8.metadata.pod_extracted_extracted": "y"},
    ]


ROW = {POD: "l", "utf8.parsed.pod": "p", N: "1", "float64.generated.value": 2.0}


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ("ambiguous.pod", {N, "float64.generated.value"}),
        ("label.pod", {"utf8.parsed.pod", N, "float64.generated.value"}),
        ("generated.value", {POD, "utf8.parsed.pod", N}),
        ("label.none", set(ROW)),
    ],
)
def test_drop_and_keep_take_every_column_of_a_name_for_ambiguous(
    listed: str, left: set[str]
) -> None:
    column = parse_column(listed)
    for everything in (True, False):
        [row] = through(Projection(expressions=(column,), all=everything, drop=True), [ROW])
        assert set(row) == left
    [row] = through(Projection(expressions=(column,)), [ROW])
    assert set(row) == set(ROW) - left
    assert through(Projection(expressions=(column,), all=True), [ROW]) == [ROW]


@pytest.mark.parametrize(
    "node",
    [
        Projection(),
        Projection(expressions=(Column(ColumnType.LABEL, "x"),), drop=True, expand=True),
    ],
)
def test_projections_without_sense_are_refused(node: Projection) -> None:
    with pytest.raises(PlanError, match="node 0"):
        through(node)


def test_what_no_row_is_left_of_gives_no_batch_and_no_column() -> None:
    plan, bottom, stream = chain(Filter(predicates=(parse_expression('EQ(label.n, "1")'),)))
    execution = Execution(plan, {bottom: [stream]})
    assert execution.push(stream, batch_of([{N: "2"}])) == []
    [batch] = execution.push(stream, batch_of([{N: "1"}, {N: "2", POD: "a"}]))
    assert batch.schema.names == [N]


def test_a_filter_without_predicates_keeps_all() -> None:
    assert through(Filter(), numbered(1, 2)) == numbered(1, 2)
