"""Shapes of delay: tables of integers, ascending, near what they are named for."""

import math
from statistics import NormalDist, fmean, median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.latency import (
    POINTS,
    Bimodal,
    Constant,
    Empirical,
    Exponential,
    Latency,
    Lognormal,
    Uniform,
)

TICKS = st.integers(0, 10**15)
PAIRS = st.tuples(TICKS, TICKS).map(sorted)
SHAPES: st.SearchStrategy[Latency] = st.one_of(
    st.builds(Constant, TICKS),
    PAIRS.map(lambda p: Uniform(p[0], p[1])),
    st.builds(Exponential, TICKS),
    st.builds(Lognormal, TICKS, st.integers(0, 10_000)),
    st.builds(lambda p, percent: Bimodal(p[0], p[1], percent), PAIRS, st.integers(0, 100)),
    st.lists(TICKS, min_size=1).map(lambda ticks: Empirical(tuple(ticks))),
)


@given(SHAPES)
def test_a_table_has_ascending_integers_and_no_negative_one(shape: Latency) -> None:
    table = shape.table()
    assert table
    assert all(type(ticks) is int and ticks >= 0 for ticks in table)
    assert list(table) == sorted(table)


@given(SHAPES)
def test_shapes_are_values(shape: Latency) -> None:
    assert shape.table() == shape.table()
    assert hash(shape) == hash(shape)


@pytest.mark.parametrize("mean", [100, 300, 1_000, 10**6, 10**15])
def test_exponential_delays_have_their_mean_within_three_percent(mean: int) -> None:
    assert fmean(Exponential(mean).table()) == pytest.approx(mean, rel=0.03)


def test_exponential_delays_are_the_quantiles_of_their_distribution() -> None:
    table = Exponential(10**9).table()
    exact = [-(10**9) * math.log(1 - (i + 0.5) / POINTS) for i in range(POINTS)]
    assert table == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("spread", [0, 1, 50, 100, 900])
def test_lognormal_delays_have_their_median_and_their_spread(spread: int) -> None:
    table = Lognormal(10**9, spread).table()
    # With an even number of points the median lies between two of them.
    assert table[POINTS // 2 - 1] <= 10**9 <= table[POINTS // 2]
    assert median(table) == pytest.approx(10**9, rel=0.01 + spread / 100 / 100)
    exact = [
        10**9 * (1 + spread / 100) ** NormalDist().inv_cdf((i + 0.5) / POINTS)
        for i in range(POINTS)
    ]
    assert table == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("percent", "longs"), [(0, 0), (1, 1), (10, 4), (25, 8), (50, 16), (99, 32), (100, 32)]
)
def test_bimodal_delays_are_long_as_often_as_said_rounded_up(percent: int, longs: int) -> None:
    table = Bimodal(1, 9, percent).table()
    assert (len(table), table.count(1), table.count(9)) == (POINTS, POINTS - longs, longs)


@pytest.mark.parametrize("high", [0, 1, 2, 3, 7, 15, 31])
def test_uniform_delays_reach_both_ends_and_favour_none(high: int) -> None:
    table = Uniform(5, 5 + high).table()
    counts = [table.count(5 + ticks) for ticks in range(high + 1)]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == POINTS


def test_wide_uniform_delays_are_evenly_spaced() -> None:
    table = Uniform(1_000, 9_000).table()
    assert quantiles(table, n=4) == pytest.approx([3_000, 5_000, 7_000], rel=0.05)
    assert fmean(table) == pytest.approx(5_000, abs=1)


def test_a_constant_is_no_choice_and_measurements_stay_as_they_are() -> None:
    assert Constant(7).table() == (7,)
    assert Empirical((3, 1, 2, 1)).table() == (1, 1, 2, 3)
