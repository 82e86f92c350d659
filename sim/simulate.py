"""The heart of the simulator: a scenario and choices in, an outcome out.

>>> from sim.choices import Seeded
>>> from sim.scenario import Scenario, Workload
>>> from workflow import plan_from_text
>>> plan = plan_from_text('''
... TopK sort_by=builtin.timestamp ascending=false nulls_first=false k=30
... └── Parallelize
...     └── ScanSet num_targets=2
...             ├── @target type=ScanTypeDataObject location=a streams=0 section_id=0 projections=()
...             └── @target type=ScanTypeDataObject location=b streams=0 section_id=0 projections=()
... ''')
>>> scenario = Scenario(workloads=(Workload(plan=plan, rows_per_scan=10),))
>>> outcome = simulate(scenario, Seeded(7))
>>> outcome.ends[0].end, outcome.ends[0].rows
('eof', 20)
>>> simulate(scenario, Seeded(7)).digest == outcome.digest
True
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from sim.choices import Choices, Recorded
from sim.client import Client, End
from sim.clock import StepBudgetExceeded
from sim.runner import SimRunner
from sim.scenario import Scenario
from sim.world import World
from workflow import Workflow
from workflow.admission import LANES
from workflow.trace import Trace

__all__ = ["End", "Outcome", "StuckReport", "simulate"]

_YOUNG: Final = 100_000  # objects made since the last collection


@dataclass(frozen=True, slots=True)
class StuckReport:
    """Nothing is due, and these wait, each for what it says."""

    waiting: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "\n".join(f"{who} waits for {what}" for who, what in self.waiting)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    scenario: Scenario
    ends: tuple[End, ...]
    makespan: int  # tick at which the last workload ended
    trace: Trace
    digest: str
    counts: dict[str, int]
    deltas: dict[str, int]  # the choices that were not the tamest
    decisions: int
    steps: int
    stuck: StuckReport | None = None
    over_budget: bool = False
    kept: dict[str, int] = field(default_factory=dict)  # the scheduler's tables at the end


def simulate(
    scenario: Scenario, choices: Choices, *, workflow_type: type[Workflow] = Workflow
) -> Outcome:
    """Run a scenario.  The same scenario and answers give the same bytes of trace.

    Raises what the engine raises for a plan or limits that it refuses.
    """
    with _rare_collections():
        return _simulate(scenario, Recorded(choices), workflow_type)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector look less often: a run's events are there to stay.

    It took a quarter of the time of a run with 800,000 events.
    """
    young, *older = gc.get_threshold()
    if young:  # 0: the caller has switched it off
        gc.set_threshold(max(young, _YOUNG), *older)
    try:
        yield
    finally:
        gc.set_threshold(young, *older)


def _simulate(scenario: Scenario, recorded: Recorded, workflow_type: type[Workflow]) -> Outcome:
    runner = SimRunner(scenario, recorded)
    world = runner.world
    clients = [
        Client(world, index, workload, workflow_type)
        for index, workload in enumerate(scenario.workloads)
    ]
    for client in clients:
        world.clock.spawn(client.name, client.run())

    try:
        over_budget = _runs_on(world, clients)
        # Before the clock is closed: what ends only then is no part of the run.
        ends = tuple(client.outcome() for client in clients)
        trace = runner.trace
        return Outcome(
            scenario,
            ends,
            max((end.tick for end in ends), default=0),
            trace,
            trace.digest(),
            dict(sorted(world.counts.items())),
            dict(recorded.deltas),
            recorded.decisions,
            world.clock.steps,
            None if over_budget else _stuck(runner, clients),
            over_budget,
            runner.scheduler.tables(),
        )
    finally:
        runner.close()


def _runs_on(world: World, clients: list[Client]) -> bool:
    """Run until all clients are over or nothing is due; True if the budget ends first."""
    clock = world.clock
    left = [client.name for client in clients]
    try:
        while left and not clock.idle:
            if clock.runs(left[-1]):
                clock.step()
            else:
                left.pop()
    except StepBudgetExceeded:
        return True
    return False


def _stuck(runner: SimRunner, clients: list[Client]) -> StuckReport | None:
    scheduler = runner.scheduler
    blocked = [client for client in clients if runner.world.clock.runs(client.name)]
    if not blocked:
        return None
    return StuckReport(
        (
            *((client.name, client.waits_for) for client in blocked),
            *((job.name, str(job.waits_for)) for worker in runner.workers for job in worker.jobs),
            *((name, "a free slot") for name in scheduler.queued()),
            *(
                (scheduler.name(task), f"a token of the lane {lane}")
                for client in blocked
                if client.workflow is not None and not client.workflow.closed
                for lane in LANES
                for task in client.workflow.admission.waiting(lane)
            ),
        )
    )
