"""Small scenarios a second, and what parts of a run cost.

The cost of a part is what a run saves without it.  Without hashing, the same choices come from
a table, so that it is the same run; without a trace nothing is recorded, and nothing digested.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from unittest.mock import patch

from benchmarks.measure import Figure, Sizes, interleaved
from scenarios.shelf import find_scenario
from sim.choices import Choices, Seeded
from sim.scenario import Scenario
from sim.simulate import simulate
from workflow import partition
from workflow.trace import Recorder, Trace

__all__ = ["small_runs"]

SCENARIOS: Final = ("count-over-time", "sum-by-level", "one-token")


class _Known(Choices):
    """Answers as before; cheaper than `Deltas`, which also keeps what was not asked."""

    def __init__(self, answers: Mapping[str, int]) -> None:
        super().__init__()
        self._answers = answers

    def _answer(self, decision: str, _n: int) -> int:
        return self._answers.get(decision, 0)


def small_runs(sizes: Sizes) -> Iterator[Figure]:
    """Runs a second and time a run, with the shares of its parts."""
    for name in SCENARIOS:
        # Cheap, and its shares are small differences of large numbers: three times as often.
        times = interleaved(_variants(find_scenario(name), sizes.seeds), 3 * sizes.repeats)
        whole = times["whole"]
        yield Figure("small", name, "runs", sizes.seeds / whole, "/s")
        yield Figure("small", name, "time a run", whole / sizes.seeds * 1e3, "ms")
        for part in ("trace", "hashing of choices", "garbage collection"):
            yield Figure("small", name, part, (1 - times[part] / whole) * 100, "%")
        yield Figure("small", name, "partitioning", times["partitioning"] / whole * 100, "%")


def _variants(scenario: Scenario, seeds: int) -> dict[str, Callable[[], object]]:
    """A whole sweep, sweeps without a part (under the part's name), and partitioning alone."""
    answers = [simulate(scenario, Seeded(seed)).deltas for seed in range(seeds)]

    def whole() -> None:
        for seed in range(seeds):
            simulate(scenario, Seeded(seed))

    def unhashed() -> None:
        for each in answers:
            simulate(scenario, _Known(each))

    def untraced() -> None:
        with (
            patch.object(Recorder, "record", lambda *_args, **_details: None),
            patch.object(Trace, "digest", lambda _trace: ""),
        ):
            whole()

    def uncollected() -> None:
        gc.disable()
        try:
            whole()
        finally:
            gc.enable()

    def partitioning() -> None:
        for _ in range(seeds):
            for workload in scenario.workloads:
                partition(workload.plan)

    return {
        "whole": whole,
        "trace": untraced,
        "hashing of choices": unhashed,
        "garbage collection": uncollected,
        "partitioning": partitioning,
    }
