"""Trouble: of each kind, at a tick, at an occasion or with a chance, for anybody or for one."""

from collections.abc import Collection
from typing import Any, Final, cast

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.strategies._arguments import check_count, check_names
from sim.scenario import CONNECTION_FAULTS, FAULT_KINDS, Fault, FaultKind

__all__ = ["fault_kinds", "faults"]

_LATEST: Final = 15_000  # ticks
_OFTEN: Final = 60_000  # the largest chance at an occasion, in millionths: runs still get through

_ticks = st.sampled_from((0, 400, 5_000, 60_000))
_some_ticks = st.sampled_from((400, 5_000, 60_000))
_whens: Final[SearchStrategy[dict[str, int]]] = st.one_of(
    st.fixed_dictionaries({"nth": st.integers(0, 5)}),
    st.fixed_dictionaries({"at": st.integers(0, _LATEST)}),
    st.fixed_dictionaries({"per_million": st.integers(0, _OFTEN)}),
)
_whens_of_steps: Final = _whens | st.just({"nth": -1})
_factors = st.integers(2, 10)


@st.composite
def faults(
    draw: DrawFn,
    *,
    kinds: Collection[FaultKind] | None = None,
    max_worker: int | None = None,
    max_task: int | None = None,
    max_workload: int | None = None,
) -> Fault:
    """A fault of one of these kinds; None stands for all of them.

    The numbers of workers, tasks and workloads that it may be about go from 0 to `max_worker`,
    `max_task` and `max_workload`; with None it is about any.  Shrinks to the first occasion, of
    the first kind, for any worker and task.
    """
    chosen = fault_kinds("kinds", kinds)
    if not chosen:
        raise InvalidArgument(f"kinds: got {kinds!r}, expected at least one")
    most = {"worker": max_worker, "task": max_task, "workload": max_workload}
    for name, value in most.items():
        if value is not None:
            check_count(f"max_{name}", value)
    kind = draw(st.sampled_from(chosen))
    fault: dict[str, Any] = {"kind": kind}
    fault |= draw(_whens_of_steps if kind == "task_failure" else _whens)
    if kind == "task_failure":
        fault["silent"] = draw(st.booleans())
    elif kind in ("worker_crash", "half_open"):
        fault["ticks"] = draw(_ticks)
    elif kind == "late_ack":
        fault["ticks"] = draw(_some_ticks)
    elif kind in ("slow_worker", "slow_link"):
        fault["factor"] = draw(_factors)
    # A connection, or a worker that is struck at a tick, is no task's.
    whole = kind in CONNECTION_FAULTS or (
        kind in ("worker_crash", "worker_leave") and "at" in fault
    )
    for name, value in most.items():
        if value is not None and (name == "worker" or not whole):
            fault[name] = draw(st.none() | st.integers(0, value))
    return Fault(**fault)


def fault_kinds(name: str, kinds: Collection[str] | None) -> list[FaultKind]:
    """The chosen kinds in their order; None stands for all.  Raises InvalidArgument."""
    known = list(FAULT_KINDS)
    chosen = known if kinds is None else check_names(name, kinds, known)
    return cast("list[FaultKind]", chosen)
