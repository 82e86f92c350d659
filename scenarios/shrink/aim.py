"""When trouble strikes: at each moment at which anything happens at all.

Trouble at a tick misses what it hit as soon as anything else in the run takes another time.  So
for a smaller scenario it is aimed anew: at the ticks of a run of that very scenario.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from sim.scenario import Fault, Scenario

__all__ = ["aimed"]

_OCCASIONS: Final = 8


def aimed(scenario: Scenario, ticks: Sequence[int], most: int) -> Iterator[Scenario]:
    """The scenario with one of its users or faults at another time, for each at most ``most``."""
    every = list(dict.fromkeys(ticks))
    for place, workload in enumerate(scenario.workloads):
        for name in ("cancel_at", "close_at"):
            now = getattr(workload.client, name)
            if now is not None:
                for tick in _some(every, now, most):
                    change: dict[str, Any] = {name: tick}
                    new = replace(workload, client=replace(workload.client, **change))
                    yield replace(
                        scenario,
                        workloads=(
                            *scenario.workloads[:place],
                            new,
                            *scenario.workloads[place + 1 :],
                        ),
                    )
    for place, fault in enumerate(scenario.faults):
        for other in _at_other_times(fault, every, most):
            faults = (*scenario.faults[:place], other, *scenario.faults[place + 1 :])
            yield replace(scenario, faults=faults)


def _at_other_times(fault: Fault, ticks: list[int], most: int) -> Iterator[Fault]:
    if fault.at is not None:
        yield from (replace(fault, at=tick) for tick in _some(ticks, fault.at, most))
    else:
        first = -1 if fault.kind == "task_failure" else 0
        for number in range(first, min(_OCCASIONS, most)):
            yield replace(fault, per_million=None, nth=number)


def _some(ticks: list[int], now: int, most: int) -> list[int]:
    """Half of them the nearest to what it is now, the others from all over the run."""
    near = sorted(ticks, key=lambda tick: (abs(tick - now), tick))[: (most + 1) // 2]
    count = min(len(ticks), most - len(near))
    spread = (ticks[index * (len(ticks) - 1) // max(count - 1, 1)] for index in range(count))
    return list(dict.fromkeys((*near, *spread)))
