"""The first K rows, whatever the order in which they came."""

import math
from itertools import permutations

import pytest
from executed import Row, batch_of, chain, through

from workflow import ContributingTimeRange, Timestamp
from workflow.execute import Execution
from workflow.expressions import parse_column
from workflow.plan import Batching, Merge, Node, Parallelize, TopK

TIME = "timestamp_ns.builtin.timestamp"
VALUE = "float64.generated.value"
POD = "utf8.label.pod"
BY_VALUE = parse_column("generated.value")
BY_POD = parse_column("ambiguous.pod")


def times(node: TopK, *values: int | None) -> list[int | None]:
    return [row.get(TIME) for row in through(node, [{TIME: each, POD: "x"} for each in values])]


def test_descending_keeps_the_largest_and_ascending_the_smallest() -> None:
    assert times(TopK(k=2), 1, 3, 2) == [3, 2]
    assert times(TopK(k=2, ascending=True), 1, 3, 2) == [1, 2]
    assert times(TopK(k=9), 1, 3, 2) == [3, 2, 1]
    assert times(TopK(k=0), 1, 3, 2) == [3, 2, 1]


@pytest.mark.parametrize(
    ("ascending", "nulls_first", "expected"),
    [
        (False, False, [None, 3]),  # a null is larger than every time
        (False, True, [3, 2]),
        (True, False, [2, 3]),
        (True, True, [None, 2]),
    ],
)
def test_nulls_are_smaller_or_larger_than_every_value(
    ascending: bool, nulls_first: bool, expected: list[int | None]
) -> None:
    node = TopK(k=2, ascending=ascending, nulls_first=nulls_first)
    for order in permutations((2, None, 3)):
        assert times(node, *order) == expected


def test_ties_are_broken_by_the_other_columns_and_never_by_arrival() -> None:
    rows: list[Row] = [
        {TIME: 1, POD: "a", "utf8.label.app": "z"},
        {TIME: 1, POD: "b", "utf8.label.app": "y"},
        {TIME: 1, "utf8.label.app": "y"},
        {TIME: 1, POD: "a"},
        {TIME: 2},
    ]
    expected = [rows[4], rows[1], rows[2]]
    for order in permutations(rows):
        assert through(TopK(k=3), order) == expected
        assert through(TopK(k=3), *([row] for row in order)) == expected


def test_rows_that_are_equal_in_all_columns_are_kept_as_often_as_they_fit() -> None:
    assert through(TopK(k=2), [{TIME: 1}] * 3, [{TIME: 1}]) == [{TIME: 1}] * 2


def test_any_column_may_order_also_one_that_is_not_there() -> None:
    rows = [{VALUE: value, POD: pod} for value, pod in ((1.0, "b"), (math.nan, "c"), (2.0, "a"))]
    assert [row[POD] for row in through(TopK(sort_by=BY_VALUE, k=2), rows)] == ["a", "b"]
    lowest = through(TopK(sort_by=BY_VALUE, ascending=True, k=2), rows)
    assert [row[POD] for row in lowest] == ["c", "b"]  # NaN is below every number
    assert [row[POD] for row in through(TopK(sort_by=BY_POD, k=1), rows)] == ["c"]
    absent = TopK(sort_by=parse_column("label.none"), k=2)
    assert [row[VALUE] for row in through(absent, rows)][:1] == [1.0]


def test_a_column_that_only_rows_which_were_dropped_had_is_gone() -> None:
    plan, bottom, stream = chain(TopK(k=1))
    execution = Execution(plan, {bottom: [stream]})
    for row in ({TIME: 1, POD: "x"}, {TIME: 2}):
        assert execution.push(stream, batch_of([row])) == []
    [batch] = execution.end(stream)
    assert batch.schema.names == [TIME]


def reports(node: Node, *values: int | None) -> list[ContributingTimeRange | None]:
    plan, bottom, stream = chain(*([node] if isinstance(node, TopK) else [node, TopK(k=2)]))
    execution = Execution(plan, {bottom: [stream]})
    seen = []
    for value in values:
        execution.push(stream, batch_of([{TIME: value, POD: "x"}]))
        seen.append(execution.contributing)
    return seen


def above(ns: int) -> ContributingTimeRange:
    return ContributingTimeRange(Timestamp(ns), less_than=False)


def test_the_range_is_known_with_k_rows_and_tightens() -> None:
    # Rows of the very instant of the last row may still win: the bound lies one below.
    assert reports(TopK(k=2), 5, 3, 1, 4, 9) == [None, above(2), above(2), above(3), above(4)]


def test_an_ascending_one_reports_what_lies_below() -> None:
    assert reports(TopK(k=1, ascending=True), 5, 3) == [
        ContributingTimeRange(Timestamp(6), less_than=True),
        ContributingTimeRange(Timestamp(4), less_than=True),
    ]


def test_rows_without_a_time_give_no_bound() -> None:
    assert reports(TopK(k=1, nulls_first=True), None, 3) == [None, above(2)]
    assert reports(TopK(k=1), 3, None) == [above(2), None]


def test_a_batching_root_does_not_hide_the_range() -> None:
    assert reports(Batching(batch_size=10), 5, 3) == [None, above(2)]
    assert reports(Parallelize(), 5, 3) == [None, above(2)]


def test_others_report_nothing() -> None:
    assert reports(TopK(k=0), 5, 3) == [None, None]
    assert reports(TopK(k=1, sort_by=BY_POD), 5, 3) == [None, None]
    assert reports(Merge(), 5, 3) == [None, None]


def test_rows_beyond_the_reported_range_change_nothing() -> None:
    plan, bottom, stream = chain(TopK(k=2))
    execution = Execution(plan, {bottom: [stream]})
    execution.push(stream, batch_of([{TIME: 5, POD: "b"}, {TIME: 3, POD: "b"}]))
    assert execution.contributing == above(2)
    execution.push(stream, batch_of([{TIME: 2}, {TIME: 3, POD: "a"}]))
    [batch] = execution.end(stream)
    assert batch.column(POD).to_pylist() == ["b", "a"]
