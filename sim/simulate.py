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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from sim.choices import Choices, Recorded
from sim.client import Client, End
from sim.clock import StepBudgetExceeded
from sim.contained import Raised
from sim.parts import SOUND, Parts
from sim.runner import SimRunner
from sim.scenario import Scenario
from sim.world import World
from workflow.admission import LANES
from workflow.sections import Sections
from workflow.trace import Event, Trace

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
    raised: Raised | None = None  # what ended the run, if it was told to contain that


def simulate(
    scenario: Scenario,
    choices: Choices,
    *,
    parts: Parts = SOUND,
    watch: Callable[[Event], bool] | None = None,
    contain: bool = False,
    data: Sections | None = None,
) -> Outcome:
    """Run a scenario.  The same scenario and answers give the same bytes of trace.

    With ``data`` the tasks execute over its rows, and the ends have what was read; without, rows
    are made up, as many as the workloads say.
    ``watch`` sees each event as it happens; if it gives True, the run stops after this step.
    Raises what the engine raises for a plan or limits that it refuses, and whatever a part raises;
    with ``contain`` the latter ends the run instead and stands in the outcome.
    """
    with _rare_collections():
        return _simulate(scenario, Recorded(choices), parts, watch, contain=contain, data=data)


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


def _simulate(
    scenario: Scenario,
    recorded: Recorded,
    parts: Parts,
    watch: Callable[[Event], bool] | None,
    *,
    contain: bool,
    data: Sections | None,
) -> Outcome:
    runner = SimRunner(scenario, recorded, parts=parts, watch=watch, contain=contain, data=data)
    world = runner.world
    clients = [Client(world, index, workload) for index, workload in enumerate(scenario.workloads)]
    for client in clients:
        world.clock.spawn(client.name, client.run())

    try:
        over_budget = runner.contained(lambda: _runs_on(world, clients), False)
        # Before the clock is closed: what ends only then is no part of the run.
        ends = tuple(runner.contained(client.outcome, End("unfinished")) for client in clients)
        stuck = None
        if not (over_budget or world.stopped):
            stuck = runner.contained(lambda: _stuck(runner, clients), None)
        if not (over_budget or world.stopped):
            over_budget = runner.contained(lambda: _drain(runner), False)
        if not world.stopped:
            runner.contained(lambda: _tell_the_end(runner, stuck, over_budget=over_budget), None)
        nothing: dict[str, int] = {}
        kept = runner.contained(lambda: _kept(runner), nothing)
        trace = runner.trace
    except BaseException:
        runner.close()
        raise
    before = runner.raised
    runner.contained(runner.close, None)
    if runner.raised is not before:
        trace = runner.trace  # with what tells of it
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
        stuck,
        over_budget,
        kept,
        runner.raised if contain else None,
    )


def _runs_on(world: World, clients: list[Client]) -> bool:
    """Run until all clients are over or nothing is due; True if the budget ends first."""
    clock = world.clock
    left = [client.name for client in clients]
    try:
        while left and not clock.idle and not world.stopped:
            if clock.runs(left[-1]):
                clock.step()
            else:
                left.pop()
    except StepBudgetExceeded:
        return True
    return False


def _drain(runner: SimRunner) -> bool:
    """Let what is under way come to its end; True if the budget ends first.

    Timers may be left: a worker that comes back, an assignment's time-out.
    """
    clock = runner.world.clock
    try:
        while not runner.world.stopped and not clock.idle and clock.busy:
            clock.step()
    except StepBudgetExceeded:
        return True
    return False


def _tell_the_end(runner: SimRunner, stuck: StuckReport | None, *, over_budget: bool) -> None:
    """Say what is kept, and that nothing more will happen."""
    world = runner.world
    world.record("tables", "scheduler", when="end", **runner.scheduler.tables())
    for worker in runner.workers:
        world.record("tables", worker.name, when="end", **worker.tables())
    world.record("activities", "run", running=world.clock.waiting)
    runner.recorder.finish(stuck=None if stuck is None else stuck.waiting, over_budget=over_budget)


def _kept(runner: SimRunner) -> dict[str, int]:
    return runner.scheduler.tables() if hasattr(runner, "scheduler") else {}


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
