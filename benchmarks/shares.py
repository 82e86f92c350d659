"""Where the time of a run goes, by part of the simulator."""

import cProfile
import pstats
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from benchmarks.measure import Figure, Sizes, alone
from benchmarks.shapes import scenario
from sim.choices import Seeded
from sim.simulate import simulate

__all__ = ["shares"]

# Which part a file belongs to: by its name in sim/ and by its package elsewhere.
PARTS: Final = {
    "sim/choices.py": "choices",
    "sim/clock.py": "clock and heap",
    "sim/network.py": "network",
    "sim/scheduler.py": "scheduler",
    "sim/fairqueue.py": "scheduler",
    "sim/worker.py": "workers",
    "sim/job.py": "workers",
    "sim/channel.py": "workers",
    "sim/faults.py": "workers",
    "sim/rows.py": "rows",
    "workflow/trace.py": "trace",
    "workflow": "engine",
    "simpy": "clock and heap",
    "sim": "client and frame",
}

_Function = tuple[str, int, str]


def _part(function: _Function) -> str | None:
    path = PurePath(function[0])
    place = f"{path.parent.name}/{path.name}"
    return PARTS.get(place) or PARTS.get(path.parent.name)


def _profile(tasks: int, records: int) -> dict[str, float]:
    run = scenario("merge", tasks, records)
    profile = cProfile.Profile()
    profile.runcall(simulate, run, Seeded(7))
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # not in its stubs
    spent: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in stats.items():
        part = _part(function)
        if part is not None:
            spent[part] += own
            continue
        # The library's and built-in functions count for whoever called them.
        for caller, (_, _, own_for_caller, _) in callers.items():
            spent[_part(caller) or _of_library(caller)] += own_for_caller
    total = sum(spent.values())
    return {part: time / total for part, time in spent.most_common()}


def _of_library(function: _Function) -> str:
    return "trace" if "json" in PurePath(function[0]).parts else "other"


def shares(sizes: Sizes) -> Iterator[Figure]:
    """The share of each part, as a profiler sees it: it makes short functions look longer."""
    tasks, records = sizes.profiled
    for part, share in alone(sizes.fresh, _profile, tasks, records).items():
        yield Figure("shares", f"{tasks:,} tasks x {records:,} records", part, share * 100, "%")
