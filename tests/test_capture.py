"""What runs observed: how values combine, and how captures of tasks come together."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow import Aggregation, Capture, Statistic, Statistics

ROWS = Statistic("rows")
FASTEST = Statistic("fastest", Aggregation.MIN)
SLOWEST = Statistic("slowest", Aggregation.MAX)
FIRST = Statistic("first", Aggregation.FIRST)
LAST = Statistic("last", Aggregation.LAST)
ALL = [ROWS, FASTEST, SLOWEST, FIRST, LAST]

observations = st.lists(st.tuples(st.sampled_from(ALL), st.integers(-9, 9)), max_size=12)


def recorded(pairs: list[tuple[Statistic, int]]) -> Statistics:
    statistics = Statistics()
    for statistic, value in pairs:
        statistics.record(statistic, value)
    return statistics


@given(observations)
def test_values_of_one_name_combine_as_the_name_says(pairs: list[tuple[Statistic, int]]) -> None:
    total = recorded(pairs)
    rules: dict[Statistic, Callable[[list[int]], int]] = {
        ROWS: sum,
        FASTEST: min,
        SLOWEST: max,
        FIRST: lambda values: values[0],
        LAST: lambda values: values[-1],
    }
    expected = {}
    for statistic, rule in rules.items():
        if values := [value for name, value in pairs if name is statistic]:
            expected[statistic] = rule(values)
    assert dict(total) == expected
    assert [name for name, _ in total] == list(dict.fromkeys(name for name, _ in pairs))


@given(observations, observations)
def test_merging_is_observing_one_after_the_other(
    one: list[tuple[Statistic, int]], other: list[tuple[Statistic, int]]
) -> None:
    total, second = recorded(one), recorded(other)
    before = dict(second)
    total.merge(second)
    assert total == recorded(one + other)
    assert dict(second) == before


def test_statistics_can_be_merged_into_themselves() -> None:
    total = Statistics({ROWS: 3, SLOWEST: 4})
    total.merge(total)
    assert dict(total) == {ROWS: 6, SLOWEST: 4}


def test_names_that_combine_differently_are_different() -> None:
    both = Statistics({Statistic("n"): 1, Statistic("n", Aggregation.MAX): 2})
    assert len(both) == 2


@pytest.mark.parametrize("value", [True, 1.0, None, "1"])
def test_only_integers_are_counted(value: object) -> None:
    statistics = Statistics()
    with pytest.raises(TypeError) as refused:
        statistics.record(ROWS, value)  # type: ignore[arg-type]
    assert str(refused.value) == f"record(rows): got {value!r}, expected an integer"
    assert len(statistics) == 0


def test_a_capture_that_is_adopted_hangs_below_the_region_of_the_one_that_adopts() -> None:
    run, task = Capture(), Capture()
    query = run.region("query")
    scan = task.region("scan")
    page = task.region("page", scan)
    decode = task.region("decode")
    run.adopt(task, query)
    assert run.regions == [query, scan, page, decode]  # in order of arrival
    assert [region.parent for region in run.regions] == [None, query, scan, query]


def test_without_a_region_to_hang_below_roots_stay_roots() -> None:
    run, task = Capture(), Capture()
    scan = task.region("scan")
    run.adopt(task, None)
    assert scan.parent is None


def test_the_total_of_a_capture_counts_each_region_once() -> None:
    run, task = Capture(), Capture()
    query = run.region("query")
    query.statistics.record(ROWS, 1)
    task.region("scan").statistics.record(ROWS, 10)
    task.region("page", task.regions[0]).statistics.record(ROWS, 100)
    run.adopt(task, query)
    assert dict(run.total()) == {ROWS: 111}
    assert dict(run.total()) == {ROWS: 111}  # and takes nothing out
