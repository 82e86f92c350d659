"""Windows, instants, groups and exact sums."""

import math
from dataclasses import replace
from fractions import Fraction
from time import process_time

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from executed import Row, through
from hypothesis import given
from hypothesis import strategies as st

from workflow import PlanError, Timestamp
from workflow.execute import ExecutionError
from workflow.execute.groups import Groups, encode
from workflow.execute.rows import Rows
from workflow.execute.series import Series
from workflow.execute.sums import join, split
from workflow.expressions import parse_column
from workflow.plan import RangeAggregation, VectorAggregation

TIME = "timestamp_ns.builtin.timestamp"
VALUE = "float64.generated.value"
LINE = "utf8.builtin.message"
POD = "utf8.label.pod"
LEVEL = "utf8.parsed.level"

RANGE = RangeAggregation(
    operation="count", start=Timestamp(100), end=Timestamp(140), step_ns=20, range_ns=30
)
BY_POD = (parse_column("ambiguous.pod"),)


def windows(node: RangeAggregation, *times: int) -> dict[int, float]:
    """Counts by the ends of windows."""
    rows = through(node, [{TIME: time} for time in times])
    return {row[TIME]: row[VALUE] for row in rows}


def test_a_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    assert windows(RANGE, 70) == {}
    assert windows(RANGE, 71) == {100: 1}
    assert windows(RANGE, 90) == {100: 1}
    assert windows(RANGE, 91) == {100: 1, 120: 1}
    assert windows(RANGE, 100) == {100: 1, 120: 1}
    assert windows(RANGE, 101) == {120: 1}
    assert windows(RANGE, 140) == {140: 1}
    assert windows(RANGE, 141) == {}


def test_the_last_window_ends_at_the_last_step_that_the_end_allows() -> None:
    assert windows(replace(RANGE, end=Timestamp(139)), 121) == {}
    assert windows(replace(RANGE, end=Timestamp(99)), 90) == {}


def test_windows_may_leave_gaps() -> None:
    sparse = replace(RANGE, range_ns=5)
    assert windows(sparse, 95) == {}
    assert windows(sparse, 96, 100, 101, 115, 116, 120, 121) == {100: 2, 120: 2}


def test_without_a_step_there_is_one_window_at_the_start() -> None:
    assert windows(replace(RANGE, step_ns=0), 70, 71, 100, 101) == {100: 2}
    assert windows(replace(RANGE, step_ns=0, end=None), 100) == {100: 1}


@given(
    st.lists(st.integers(-50, 250), max_size=20),
    st.integers(1, 40),
    st.integers(1, 90),
    st.integers(0, 100),
)
def test_every_window_counts_what_lies_in_it(
    times: list[int], step: int, length: int, span: int
) -> None:
    node = replace(RANGE, end=Timestamp(100 + span), step_ns=step, range_ns=length)
    ends = range(100, 100 + span + 1, step)
    expected = {end: sum(end - length < time <= end for time in times) for end in ends}
    seen = windows(node, *times)
    assert seen == {end: count for end, count in expected.items() if count}


def test_rows_without_a_time_lie_in_no_window() -> None:
    assert through(RANGE, [{POD: "p1"}]) == []
    assert through(RANGE, [{POD: "p1"}, {TIME: 100}]) != []
    assert through(VectorAggregation(operation="sum"), [{VALUE: 1.0}, {VALUE: 1.0, TIME: 7}]) == [
        {TIME: 7, VALUE: 1.0}
    ]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("sum", 6.5), ("min", -1.0), ("max", 5.0), ("avg", 6.5 / 3), ("count", 4.0)],
)
@pytest.mark.parametrize("kind", ["range", "vector"])
def test_all_but_count_pass_over_rows_without_a_value(
    kind: str, operation: str, expected: float
) -> None:
    node = (
        replace(RANGE, operation=operation)
        if kind == "range"
        else VectorAggregation(operation=operation)
    )
    rows: list[Row] = [{TIME: 120, VALUE: value} for value in (2.5, -1.0, None, 5.0)]
    assert {TIME: 120, VALUE: expected} in through(node, rows)
    nothing = through(node, [{TIME: 120, VALUE: None, POD: "p"}], [{TIME: 120, POD: "p"}])
    assert bool(nothing) == (operation == "count")


def test_bytes_adds_up_the_length_of_the_lines_in_utf8() -> None:
    node = replace(RANGE, operation="bytes")
    rows: list[Row] = [{TIME: 100, LINE: "é😀"}, {TIME: 100, LINE: None}, {TIME: 100, LINE: "abc"}]
    assert {TIME: 100, VALUE: 9.0} in through(node, rows)
    assert {TIME: 100, VALUE: 0.0} in through(node, [{TIME: 100}])


def test_by_groups_by_what_is_listed_and_a_missing_value_is_a_group() -> None:
    node = replace(RANGE, group_by=BY_POD, step_ns=0)
    rows: list[Row] = [
        {TIME: 100, POD: "a", LEVEL: "x"},
        {TIME: 100, POD: "a", LEVEL: "y"},
        {TIME: 100, POD: ""},
        {TIME: 100, LEVEL: "x"},
    ]
    assert through(node, rows) == [
        {TIME: 100, "utf8.ambiguous.pod": "a", VALUE: 2.0},
        {TIME: 100, VALUE: 2.0},
    ]
    assert through(node, *([row] for row in rows)) == through(node, rows)


def test_by_nothing_makes_one_series_and_by_a_listed_kind_reads_that_kind() -> None:
    rows = [{TIME: 100, POD: "a", "utf8.parsed.pod": "b"}, {TIME: 100, POD: "b"}]
    none = replace(RANGE, step_ns=0)
    assert through(none, rows) == [{TIME: 100, VALUE: 2.0}]
    label = replace(none, group_by=(parse_column("label.pod"),))
    assert through(label, rows) == [
        {TIME: 100, POD: "a", VALUE: 1.0},
        {TIME: 100, POD: "b", VALUE: 1.0},
    ]
    both = replace(none, group_by=BY_POD)  # parsed before label
    assert through(both, rows) == [{TIME: 100, "utf8.ambiguous.pod": "b", VALUE: 2.0}]


def test_without_keeps_labels_metadata_and_parsed_values_but_not_the_named() -> None:
    row = {
        TIME: 100,
        POD: "a",
        LEVEL: "x",
        "utf8.metadata.trace": "t",
        "utf8.metadata.pod": "m",
        "utf8.generated.__error__": "e",
        LINE: "line",
    }
    node = replace(RANGE, step_ns=0, without=True)
    series = {LEVEL: "x", "utf8.metadata.trace": "t"}
    assert through(node, [row]) == [
        {TIME: 100, POD: "a", "utf8.metadata.pod": "m", **series, VALUE: 1.0}
    ]
    named = replace(node, group_by=BY_POD)
    assert through(named, [row]) == [{TIME: 100, **series, VALUE: 1.0}]


def test_without_sees_what_a_range_aggregation_grouped_by() -> None:
    node = VectorAggregation(operation="sum", without=True, group_by=BY_POD)
    rows: list[Row] = [
        {TIME: 1, "utf8.ambiguous.pod": pod, "utf8.ambiguous.env": "x", VALUE: 1.0}
        for pod in ("a", "b")
    ]
    assert through(node, rows) == [{TIME: 1, "utf8.ambiguous.env": "x", VALUE: 2.0}]


def test_rows_come_by_time_then_by_series() -> None:
    node = replace(RANGE, group_by=BY_POD)
    rows = [{TIME: time, POD: pod} for time in (120, 100) for pod in ("b", "a")]
    found = through(node, rows)
    assert [(row[TIME], row["utf8.ambiguous.pod"]) for row in found] == sorted(
        (row[TIME], row["utf8.ambiguous.pod"]) for row in found
    )


@pytest.mark.parametrize("node", [replace(RANGE, group_by=BY_POD), replace(RANGE, without=True)])
def test_more_series_than_allowed_over_all_instants_fail_the_task(node: RangeAggregation) -> None:
    limited = replace(node, max_query_series=2)
    rows = [{TIME: time, POD: pod} for time, pod in ((90, "a"), (110, "b"), (110, "a"))]
    assert through(limited, rows)
    assert through(limited, [*rows, {TIME: 10, POD: "in no window"}])
    with pytest.raises(ExecutionError) as failed:
        through(limited, rows, [{TIME: 140}])
    assert str(failed.value) == (
        "max-query-series: node 0 (RangeAggregation): got more than 2 series, expected at most"
        " that many"
    )


def test_vector_aggregations_count_their_series_too() -> None:
    node = VectorAggregation(operation="sum", group_by=BY_POD, max_query_series=1)
    with pytest.raises(ExecutionError, match="got more than 1 series"):
        through(node, [{TIME: 1, VALUE: 1.0, POD: "a"}, {TIME: 2, VALUE: 1.0, POD: "b"}])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("operation", ["sum", "avg", "max", "min"])
def test_what_is_not_finite_counts_as_floats_do(operation: str, value: float) -> None:
    rows = [{TIME: 100, VALUE: each} for each in (1.0, value, 2.0)]
    [row, *_] = through(replace(RANGE, operation=operation), rows)
    if math.isnan(value):
        assert math.isnan(row[VALUE])
    elif operation in ("sum", "avg") or (operation == "max") == (value > 0):
        assert row[VALUE] == value
    else:
        assert row[VALUE] == {"max": 2.0, "min": 1.0}[operation]


def test_both_infinities_have_no_sum() -> None:
    rows = [{TIME: 100, VALUE: each} for each in (math.inf, -math.inf)]
    assert math.isnan(through(replace(RANGE, operation="sum"), rows)[0][VALUE])


def test_a_sum_of_zeros_of_either_sign_is_plus_zero() -> None:
    for operation in ("sum", "min", "max", "avg"):
        for values in ((0.0, -0.0), (-0.0, 0.0), (-0.0,)):
            rows = [{TIME: 100, VALUE: each} for each in values]
            [row, *_] = through(replace(RANGE, operation=operation), rows)
            assert math.copysign(1, row[VALUE]) == 1


def _sum(values: list[float]) -> float:
    parts = split(pa.array(values, pa.float64()))
    return join({n: pa.array([pc.sum(c).as_py()]) for n, c in parts.items()}, 1)[0].as_py()  # type: ignore[no-any-return]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_a_sum_is_the_exact_one_rounded_once(values: list[float]) -> None:
    exact = sum(map(Fraction, values))
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf if exact > 0 else -math.inf
    assert _sum(values) == expected


@pytest.mark.parametrize(
    "values",
    [[5e-324], [1.7976931348623157e308, 1.0, -1.7976931348623157e308], [2.0**799, 2.0**-801]],
)
def test_sums_reach_to_the_ends_of_the_floats(values: list[float]) -> None:
    assert _sum(values) == math.fsum(values)


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (replace(RANGE, operation="stddev"), "operation"),
        (replace(RANGE, start=None), "range-bounds"),
        (replace(RANGE, end=None), "range-bounds"),
        (replace(RANGE, range_ns=0), "range-bounds"),
        (replace(RANGE, step_ns=-1), "range-bounds"),
        (replace(RANGE, group_by=(parse_column("generated.value"),)), "group-column"),
        (replace(RANGE, max_query_series=-1), "max-query-series"),
        (VectorAggregation(operation="bytes"), "operation"),
        (VectorAggregation(), "operation"),
        (
            VectorAggregation(operation="sum", group_by=(parse_column("builtin.timestamp"),)),
            "group-column",
        ),
    ],
)
def test_what_cannot_be_aggregated_is_refused(
    node: RangeAggregation | VectorAggregation, rule: str
) -> None:
    with pytest.raises(PlanError) as refused:
        through(node)
    assert (refused.value.rule, refused.value.where) == (rule, f"node 0 ({node.kind})")


def test_groups_of_many_columns_are_told_apart() -> None:
    count = 1 << 16  # five columns of as many values have more combinations than 64 bits
    first = pa.array([*range(count), 0, 7], pa.int64())
    others = pa.array([*range(count), 3, 3], pa.int64())
    assert len(Groups(encode([first, *[others] * 4]))) == count + 2


def test_many_partial_results_are_folded_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    from workflow.execute import aggregate  # noqa: PLC0415

    node = replace(RANGE, operation="avg", group_by=BY_POD)
    batches = [[{TIME: 80 + n % 60, POD: f"p{n % 7}", VALUE: n / 7}] for n in range(200)]
    expected = through(node, *batches)
    monkeypatch.setattr(aggregate, "_MANY", 3)
    assert through(node, *batches) == expected


def test_the_columns_of_many_series_take_time_in_proportion_to_them() -> None:
    def spent(count: int) -> float:
        series = Series(RangeAggregation(operation="count", without=True), "here")
        numbers = series.numbers(
            Rows({"utf8.label.pod": pa.array(map(str, range(count)), pa.string())}, count)
        )
        took = []
        for _ in range(3):
            begun = process_time()
            [column] = series.columns(numbers).values()
            took.append(process_time() - begun)
            assert len(column) == count
        return min(took)

    # 8 times if it is so, 64 times if each series costs as much as all.
    assert spent(20_000) < 24 * spent(2_500)
