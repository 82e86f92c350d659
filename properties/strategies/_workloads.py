"""Workloads and who reads them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.strategies import _plans
from properties.strategies._arguments import check_bounds
from sim.latency import Constant, Exponential, Uniform
from sim.scenario import Client, Workload
from workflow import Options, Plan, partition, smallest_limits

__all__ = ["More", "calm_workloads", "clients", "limited", "more_tokens", "workloads"]

_LATE: Final = 60_000  # ticks
_TENANTS: Final = ("", "first", "second")

_moments = st.integers(0, _LATE)
_BEHAVIOURS: Final[Mapping[str, SearchStrategy[dict[str, Any]]]] = {
    "pauses": st.fixed_dictionaries(
        {
            "pause": st.one_of(
                st.builds(Constant, st.integers(1, 2_000)),
                st.builds(Uniform, st.just(0), st.integers(1, 4_000)),
                st.builds(Exponential, st.integers(1, 2_000)),
            )
        }
    ),
    "stalls": st.fixed_dictionaries(
        {"stall_after": st.integers(0, 3), "stall_ticks": st.integers(1, 90_000)}
    ),
    "closes_the_results": st.fixed_dictionaries({"close_after": st.integers(0, 3)}),
    "cancels": st.fixed_dictionaries({"cancel_at": _moments}),
    "closes_the_workflow": st.fixed_dictionaries({"close_at": _moments}),
    # For ever would be no fair run.
    "never_reads": st.fixed_dictionaries({"never_reads": st.just(True), "close_at": _moments}),
}


_NAMED: Final = {name: st.tuples(st.just(name), each) for name, each in _BEHAVIOURS.items()}
_behaviours: Final = st.lists(
    st.sampled_from(list(_NAMED)).flatmap(_NAMED.__getitem__), unique_by=lambda each: each[0]
)


@st.composite
def clients(draw: DrawFn) -> Client:
    """A client that reads to the end at once, or pauses, stalls, gives up, or never reads.

    One that never reads closes the workflow at some tick, so that each run can end.  Shrinks to
    the default.
    """
    fields: dict[str, Any] = {}
    for _, changes in draw(_behaviours):
        fields |= changes
    return Client(**fields)


More = tuple[int | None, int | None]  # tokens beyond the smallest number; None: no limit

_more: Final = st.none() | st.integers(0, 3)


def more_tokens() -> SearchStrategy[More]:
    """For the lanes scan and other, tokens beyond those without which a plan could hang."""
    return st.tuples(_more, _more)


def limited(workload: Workload, more: More) -> Workload:
    """The workload with limits that its plan can run with."""
    if more == (None, None):
        return workload
    least = smallest_limits(partition(workload.plan), both=True)
    scan, other = more
    options = replace(
        workload.options,
        max_running_scan_tasks=0 if scan is None else least.scan + scan,
        max_running_other_tasks=0 if other is None else least.other + other,
    )
    return replace(workload, options=options)


@st.composite
def calm_workloads(
    draw: DrawFn, plans: SearchStrategy[Plan], min_rows: int, max_rows: int
) -> Workload:
    """A plan and its data, without limits, for a client that reads."""
    plan = draw(plans)
    if not isinstance(plan, Plan):
        raise InvalidArgument(f"plans: got {plan!r} from it, expected a Plan")
    return Workload(
        plan=plan,
        arrival=draw(st.just(0) | st.integers(1, 20_000)),
        options=Options(tenant=draw(st.sampled_from(_TENANTS))),
        rows_per_scan=draw(st.integers(min_rows, max_rows)),
        batch_rows=draw(st.integers(1, 5)),
    )


@st.composite
def workloads(
    draw: DrawFn,
    *,
    min_tasks: int = 1,
    max_tasks: int = 12,
    min_rows: int = 0,
    max_rows: int = 20,
) -> Workload:
    """A plan of `min_tasks` to `max_tasks` tasks, its options, data and client.

    Each scan gives `min_rows` to `max_rows` rows.  Limits are none with which the plan can hang.
    """
    check_bounds("tasks", min_tasks, max_tasks, least=1)
    check_bounds("rows", min_rows, max_rows)
    plans = _plans.plans(min_tasks=min_tasks, max_tasks=max_tasks)
    workload = draw(calm_workloads(plans, min_rows, max_rows))
    return replace(limited(workload, draw(more_tokens())), client=draw(clients()))
