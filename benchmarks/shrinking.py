"""How small a failing run becomes, and what that costs.

`token_leak`: a token that gets lost in a plan of 16 tasks, found by ten seeds.  `every_mutant`: the
run in which each mutant was found.  Costs are processor time, also as a multiple of one judged run
of what was to be shrunk.
"""

from collections.abc import Iterator
from itertools import islice
from statistics import median
from time import process_time
from typing import Final

from benchmarks.measure import Figure, Sizes
from properties.judged import judged
from properties.mutants import MUTANTS
from scenarios.mutation import ALL, hunt, hunting_ground
from scenarios.shrink import Shrunk, shrink
from sim.choices import Seeded
from sim.latency import Bimodal
from sim.parts import Parts
from sim.scenario import Cluster, Fault, Scenario, Workload
from workflow import Options, Plan, TimeRange, Timestamp
from workflow.plan import DataObjScan, Parallelize, ScanSet, TopK

__all__ = ["every_mutant", "leaking", "token_leak"]

_MINUTE: Final = 60 * 10**9  # nanoseconds
# Of four scans: the first finds the oldest rows, the others overlap or come later.
_RANGES: Final = ((0, 45), (50, 60), (2, 100), (55, 80))
_LEAK: Final = "W1-token-leak"
_RULE: Final = "A2"


def leaking() -> Scenario:
    """16 tasks: a root, three below it, four scans below each; and trouble beside the point."""
    plan = Plan()
    root = plan.add(TopK(ascending=True, k=10))
    for branch in range(3):
        middle = plan.add(TopK(ascending=True, k=10))
        shards = plan.add(Parallelize())
        scans = plan.add(
            ScanSet(
                targets=tuple(
                    DataObjScan(
                        location=f"objects/{branch}",
                        section=section,
                        max_time_range=TimeRange(
                            Timestamp(low * _MINUTE), Timestamp(high * _MINUTE)
                        ),
                    )
                    for section, (low, high) in enumerate(_RANGES)
                )
            )
        )
        plan.add_edge(root, middle)
        plan.add_edge(middle, shards)
        plan.add_edge(shards, scans)
    return Scenario(
        name="leaking",
        cluster=Cluster(
            workers=3,
            slots=6,
            notify=Bimodal(short=0, long=2_500, long_percent=50),
        ),
        workloads=(
            Workload(plan=plan, options=Options(max_running_scan_tasks=2), rows_per_scan=40),
        ),
        faults=(
            Fault(kind="slow_worker", per_million=50_000, factor=3),
            Fault(kind="late_ack", per_million=100_000, ticks=400),
            Fault(kind="task_failure", per_million=500),
        ),
    )


def token_leak(sizes: Sizes) -> Iterator[Figure]:
    """Ten seeds of one scenario."""
    scenario, parts = leaking(), MUTANTS[_LEAK].parts
    seeds = _failing(scenario, parts, sizes.failing)
    costs, ratios, small = [], [], []
    for seed in seeds:
        start = process_time()
        judged(scenario, Seeded(seed), parts=parts, stop=False)
        once = process_time() - start
        start = process_time()
        shrunk = shrink(scenario, Seeded(seed), _RULE, parts=parts)
        cost = process_time() - start
        costs.append(cost)
        ratios.append(cost / once)
        small.append(shrunk)
        yield from _sizes("shrink", f"seed {seed}", shrunk, cost)
    yield Figure("shrink", "median", "tasks", median(each.after.tasks for each in small))
    yield Figure("shrink", "median", "choices", median(each.after.choices for each in small))
    yield Figure("shrink", "median", "runs", median(each.runs for each in small))
    yield Figure("shrink", "median", "time", median(costs), "s")
    yield Figure("shrink", "median", "time of one run", median(ratios), "x")


def every_mutant(sizes: Sizes) -> Iterator[Figure]:
    """The run in which each was found, shrunk for the first of its rules."""
    small, costs = [], []
    for name, mutant in islice(ALL.items(), sizes.mutants):
        found = hunt(name, mutant)
        where, _, seed = found.where.partition(" with seed ")
        start = process_time()
        shrunk = shrink(hunting_ground(where), Seeded(int(seed)), found.by[0], parts=mutant.parts)
        cost = process_time() - start
        small.append(shrunk)
        costs.append(cost)
        yield from _sizes("shrink-mutants", f"{name}, {found.by[0]}", shrunk, cost)
    for word, of in (("median", median), ("worst", max)):
        yield Figure("shrink-mutants", word, "tasks", of([each.after.tasks for each in small]))
        yield Figure("shrink-mutants", word, "faults", of([each.after.faults for each in small]))
        yield Figure("shrink-mutants", word, "choices", of([each.after.choices for each in small]))
        yield Figure("shrink-mutants", word, "runs", of([each.runs for each in small]))
        yield Figure("shrink-mutants", word, "time", of(costs), "s")


def _failing(scenario: Scenario, parts: Parts, count: int) -> list[int]:
    """The first seeds that violate the rule."""
    seeds: list[int] = []
    seed = 0
    while len(seeds) < count:
        run = judged(scenario, Seeded(seed), parts=parts, stop=False)
        if any(violation.rule == _RULE for violation in run.violations):
            seeds.append(seed)
        seed += 1
    return seeds


def _sizes(benchmark: str, case: str, shrunk: Shrunk, cost: float) -> Iterator[Figure]:
    for name in ("tasks", "faults", "choices"):
        before, after = getattr(shrunk.before, name), getattr(shrunk.after, name)
        yield Figure(benchmark, case, name, after, f"of {before}")
    yield Figure(benchmark, case, "runs", shrunk.runs)
    yield Figure(benchmark, case, "time", cost, "s")
