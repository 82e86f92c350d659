"""Ways to measure, and what a measurement gives."""

import gc
import resource
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final, ParamSpec, TypeVar

__all__ = [
    "FULL",
    "QUICK",
    "Figure",
    "Sizes",
    "Spent",
    "alone",
    "interleaved",
    "interleaved_spent",
    "peak_bytes",
    "seconds",
]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a benchmark."""

    benchmark: str
    case: str
    name: str
    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    repeats: int = 5
    seeds: int = 40  # of each small scenario
    tasks: tuple[int, ...] = (10, 100, 1_000, 10_000)
    records: int = 10  # of each stream, in the runs above
    targets: tuple[int, ...] = (1_000, 10_000, 100_000)
    rows: int = 1_000_000
    large: tuple[int, int] = (1_000, 100)  # tasks, records of each stream
    profiled: tuple[int, int] = (1_000, 20)
    failing: int = 10  # seeds whose run is shrunk
    mutants: int = 1_000  # at most, whose run is shrunk
    batches: int = 1_000  # of each scan, through threads
    fresh: bool = True  # large runs have a process of their own


FULL: Final = Sizes()
QUICK: Final = Sizes(
    repeats=3,
    seeds=10,
    tasks=(10, 100, 1_000),
    targets=(1_000, 10_000),
    rows=100_000,
    large=(1_000, 10),
    profiled=(300, 10),
    failing=3,
    mutants=10,
    batches=300,
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of a call: of all processors together, and on the clock."""

    processor: float
    wall: float


def _spent(call: Callable[[], object]) -> Spent:
    """Of one call, garbage of earlier ones not counted."""
    gc.collect()
    processor, wall = process_time(), perf_counter()
    call()
    return Spent(process_time() - processor, perf_counter() - wall)


def seconds(call: Callable[[], object]) -> float:
    """Processor time of one call."""
    return _spent(call).processor


def interleaved_spent(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Spent]:
    """Median seconds of each call, measured in turns (A B A B), so that all see the same noise."""
    times: dict[str, list[Spent]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(_spent(call))
    return {
        name: Spent(median(one.processor for one in each), median(one.wall for one in each))
        for name, each in times.items()
    }


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The same, processor time alone."""
    return {name: each.processor for name, each in interleaved_spent(calls, repeats).items()}


def alone(fresh: bool, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a call, if `fresh` from a process in which nothing ran before."""
    if not fresh:
        return call(*args, **kwargs)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call, *args, **kwargs).result()


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not from getrusage, which on Linux also counts what the parent had at the start.
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
