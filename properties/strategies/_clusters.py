"""How long things take, and the workers that they take it on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.strategies._arguments import check_bounds
from sim.latency import Bimodal, Constant, Empirical, Exponential, Latency, Lognormal, Uniform
from sim.scenario import Cluster

__all__ = ["CLUSTER_TROUBLE", "calm_clusters", "clusters", "latencies"]

_MOST: Final = 500  # ticks: ten times as long and there and back is within `ack_timeout`


@st.composite
def latencies(draw: DrawFn, *, min_ticks: int = 0, max_ticks: int = 5_000) -> Latency:
    """A latency of any shape: its constants, means and medians are within the bounds.

    Tails go beyond, to forty times `max_ticks`.  Shrinks to a Constant of `min_ticks`.
    """
    check_bounds("ticks", min_ticks, max_ticks)
    return draw(_shapes(min_ticks, max_ticks))


def _shapes(low: int, high: int) -> SearchStrategy[Latency]:
    ticks = st.integers(low, high)
    return st.one_of(
        st.builds(Constant, ticks),
        st.tuples(ticks, ticks).map(lambda ends: Uniform(min(ends), max(ends))),
        st.builds(Exponential, ticks),
        st.builds(Lognormal, ticks, st.integers(0, 100)),
        st.builds(
            lambda short, times, percent: Bimodal(short, short * times, percent),
            ticks,
            st.integers(1, 40),
            st.integers(0, 10),
        ),
        st.lists(ticks, min_size=1, max_size=4).map(lambda each: Empirical(tuple(each))),
    )


_LATENCIES: Final = _shapes(1, _MOST)

# What a cluster may have beside its workers: each changes other fields than the rest.
CLUSTER_TROUBLE: Final[Mapping[str, SearchStrategy[dict[str, Any]]]] = {
    "reordering": st.fixed_dictionaries({"slack": st.integers(1, 500)}),
    "late_notices": st.fixed_dictionaries({"notify": _LATENCIES}),
    "short_timeouts": st.fixed_dictionaries(
        {"ack_timeout": st.integers(20_000, 100_000), "detect": st.integers(5_000, 100_000)}
    ),
}


@st.composite
def calm_clusters(draw: DrawFn, min_workers: int, max_workers: int) -> Cluster:
    """Workers, and how long they and their messages take."""
    return Cluster(
        workers=draw(st.integers(min_workers, max_workers)),
        buffer=draw(st.integers(1, 5)),
        control=draw(_LATENCIES),
        data=draw(_LATENCIES),
        work=draw(_LATENCIES),
    )


@st.composite
def clusters(
    draw: DrawFn,
    *,
    min_workers: int = 1,
    max_workers: int = 4,
    min_slots: int = 4,
    max_slots: int = 12,
) -> Cluster:
    """A cluster of the sound profile.

    Its latencies have any shape; events within some ticks may change order, notices may be late
    and time-outs short, each or none.  Shrinks to one worker with constant latencies of one tick.
    """
    check_bounds("workers", min_workers, max_workers, least=1)
    check_bounds("slots", min_slots, max_slots, least=1)
    slots = draw(st.integers(min_slots, max_slots))
    cluster = replace(draw(calm_clusters(min_workers, max_workers)), slots=slots)
    for name in draw(st.lists(st.sampled_from(list(CLUSTER_TROUBLE)), unique=True)):
        cluster = replace(cluster, **draw(CLUSTER_TROUBLE[name]))
    return cluster
