"""Partitioning of one scan set into a task for each of its targets."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.measure import Figure, Sizes, interleaved
from benchmarks.shapes import many_scans
from workflow import partition
from workflow.plan import TopK

__all__ = ["partitioning"]

# What the reference took for as many targets, in milliseconds, on another machine: its shape
# can be compared, not its size.
REFERENCE_MS: Final = {1_000: 36, 10_000: 287, 100_000: 13_500}


def partitioning(sizes: Sizes) -> Iterator[Figure]:
    """Time for each number of targets, and how much more a target costs than among the fewest."""
    calls = {n: partial(partition, many_scans(n, TopK(k=100))) for n in sizes.targets}
    times = interleaved({str(n): call for n, call in calls.items()}, min(sizes.repeats, 3))
    least = sizes.targets[0]
    for n in sizes.targets:
        case = f"{n:,} targets"
        spent = times[str(n)]
        yield Figure("partition", case, "time", spent * 1e3, "ms")
        yield Figure("partition", case, "time a target", spent / n * 1e6, "µs")
        each = spent / n / (times[str(least)] / least)
        yield Figure("partition", case, f"a target, against {least:,}", each, "x")
        if n in REFERENCE_MS and least in REFERENCE_MS:
            theirs = REFERENCE_MS[n] / n / (REFERENCE_MS[least] / least)
            yield Figure("partition", case, "reference: time", REFERENCE_MS[n], "ms")
            yield Figure("partition", case, f"reference: a target, against {least:,}", theirs, "x")
