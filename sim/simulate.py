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

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from simpy.events import Event

from sim.choices import Choices, Recorded
from sim.clock import StepBudgetExceeded
from sim.rows import row_names
from sim.scenario import Fault, Scenario, Workload
from sim.scheduler import Scheduler
from sim.worker import Worker
from sim.world import World
from workflow import EndOfStream, Identifiers, Statistics, TaskState, Workflow
from workflow.admission import LANES
from workflow.trace import RecordedResults, Recorder, Trace

__all__ = ["End", "Outcome", "StuckReport", "simulate"]

_PATIENCE: Final = 64_000_000  # ticks between two looks, after which nobody waits any more

EndKind = Literal["eof", "error", "closed", "unfinished"]


@dataclass(frozen=True, slots=True)
class End:
    """How one workload ended, as its reader saw it."""

    end: EndKind
    error: str = ""  # the error's type and text
    rows: int = 0
    records: int = 0
    tick: int = 0
    states: dict[str, int] = field(default_factory=dict)  # tasks by state
    row_names: tuple[str, ...] = ()  # runs of rows, in the order read
    tokens: dict[str, int] = field(default_factory=dict)  # still in use, by lane


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


class _Client:
    """The reader and user of one workload."""

    def __init__(
        self, world: World, index: int, workload: Workload, workflow_type: type[Workflow]
    ) -> None:
        self.world = world
        self.index = index
        self.workload = workload
        self.name = f"client {index}"
        self.workflow: Workflow | None = None
        self.end: EndKind = "unfinished"
        self.error = ""
        self.rows = self.records = self.tick = 0
        self.names: list[str] = []
        self.waits_for = ""
        self.tokens: dict[str, int] = {}
        self.states: dict[str, int] = {}
        self._type = workflow_type

    def run(self) -> Generator[Event, Any, None]:
        """Start the workflow, read it to its end, and close it."""
        world, workload = self.world, self.workload
        if workload.arrival:
            # Without a name, and so without choices: manifests are registered in order of arrival.
            yield world.clock.timeout(workload.arrival)
        ids = Identifiers(f"{world.scenario.name}/{self.index}", lambda: world.clock.tick // 1_000)
        workflow = self.workflow = self._type(
            workload.plan, world.recorder, workload.options, ids=ids
        )
        self._schedule(workflow)
        results = world.recorder.reader(workflow.run(statistics=Statistics()))
        yield from self._read(workflow, results)
        self.tick = world.clock.tick
        results.close()
        patience = 1_000
        while not workflow.closed and self._unfinished(workflow) and patience < _PATIENCE:
            # What was cancelled comes to its end first, so that the trace shows it.
            self.waits_for = "its tasks to end"
            yield world.clock.pause(patience, f"{self.name} looks again")
            patience *= 2
        self.states = self._states(workflow)
        self.tokens = {lane: len(list(workflow.admission.holders(lane))) for lane in LANES}
        workflow.close()

    def _unfinished(self, workflow: Workflow) -> bool:
        return any(not workflow.state(task).terminal for task in workflow.manifest.tasks)

    def _states(self, workflow: Workflow) -> dict[str, int]:
        states = Counter(str(workflow.state(task)) for task in workflow.manifest.tasks)
        return {str(state): states[str(state)] for state in TaskState if states[str(state)]}

    def _schedule(self, workflow: Workflow) -> None:
        clock, client = self.world.clock, self.workload.client
        if client.cancel_at is not None:
            clock.after(
                max(client.cancel_at - clock.tick, 0),
                f"{self.name} cancels",
                lambda: workflow.cancel("cancelled by the user"),
            )
        if client.close_at is not None:
            clock.after(max(client.close_at - clock.tick, 0), f"{self.name} closes", workflow.close)

    def _read(self, workflow: Workflow, results: RecordedResults) -> Generator[Event, Any, None]:
        clock, client = self.world.clock, self.workload.client
        pause = client.pause.table()
        stalls = client.stall_after is not None
        while True:
            if client.close_after is not None and self.records >= client.close_after:
                self.end = "closed"
                return
            if stalls and self.records == client.stall_after:
                stalls = False
                self.waits_for = "nothing: it stalls"
                yield clock.pause(client.stall_ticks, f"{self.name} stalls")
            changed = clock.named(f"wake {self.name}")

            def wake(event: Event = changed) -> None:
                if not event.triggered:
                    event.succeed()

            results.watch(wake)
            # A client that never reads still hears how the run ended.
            deaf = client.never_reads and not workflow.results.ended
            try:
                batch = None if deaf else results.poll()
            except EndOfStream:
                self.end = "eof"
                return
            except Exception as error:  # noqa: BLE001 - whatever ended the results
                self.end = "error"
                self.error = f"{type(error).__name__}: {error}"
                return
            if batch is None:
                self.waits_for = "a record or the end"
                yield changed
                continue
            self.records += 1
            self.rows += batch.num_rows
            self.names.extend(row_names(batch))
            ticks = self.world.choices.ticks("read", f"{self.name}/{self.records}", pause)
            if ticks:
                yield clock.pause(ticks, f"{self.name} reads on")

    def outcome(self) -> End:
        """How it ended."""
        states = self.states
        if not states and self.workflow is not None:
            states = self._states(self.workflow)
        return End(
            self.end,
            self.error,
            self.rows,
            self.records,
            self.tick,
            states,
            tuple(self.names),
            self.tokens,
        )


def simulate(
    scenario: Scenario, choices: Choices, *, workflow_type: type[Workflow] = Workflow
) -> Outcome:
    """Run a scenario.  The same scenario and answers give the same bytes of trace.

    Raises what the engine raises for a plan or limits that it refuses.
    """
    recorded = Recorded(choices)
    world = World(scenario, recorded)
    scheduler = Scheduler(world)
    world.recorder = Recorder(
        scheduler, clock=lambda: world.clock.tick, identify=row_names, ran={"name": scenario.name}
    )
    world.clock.on_failure = lambda name, error: world.record(
        "process_failed", name, error=f"{type(error).__name__}: {error}"
    )
    workloads: dict[str, tuple[int, Workload]] = {}
    workers = [
        Worker(world, scheduler, index, workloads) for index in range(scenario.cluster.workers)
    ]
    clients = [
        _Client(world, index, workload, workflow_type)
        for index, workload in enumerate(scenario.workloads)
    ]
    # Manifests are named in the order in which they are registered.
    by_arrival = sorted(enumerate(scenario.workloads), key=lambda each: (each[1].arrival, each[0]))
    for number, (index, workload) in enumerate(by_arrival):
        workloads[f"m{number}"] = (index, workload)
    for worker in workers:
        worker.connect()
    for client in clients:
        world.clock.spawn(client.name, client.run())
    for index, fault in world.faults.timed():
        at = fault.at or 0
        world.clock.after(
            at,
            world.faults.label(index),
            lambda i=index, f=fault: _strike(world, scheduler, workers, i, f),  # type: ignore[misc]
        )

    try:
        over_budget = _runs_on(world, clients)
        # Before the clock is closed: what ends only then is no part of the run.
        ends = tuple(client.outcome() for client in clients)
        trace = world.recorder.trace
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
            None if over_budget else _stuck(world, scheduler, workers, clients),
            over_budget,
            scheduler.tables(),
        )
    finally:
        world.clock.close()


def _runs_on(world: World, clients: list[_Client]) -> bool:
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


def _stuck(
    world: World, scheduler: Scheduler, workers: list[Worker], clients: list[_Client]
) -> StuckReport | None:
    blocked = [client for client in clients if world.clock.runs(client.name)]
    if not blocked:
        return None
    return StuckReport(
        (
            *((client.name, client.waits_for) for client in blocked),
            *((job.name, str(job.waits_for)) for worker in workers for job in worker.jobs),
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


def _strike(
    world: World, scheduler: Scheduler, workers: list[Worker], index: int, fault: Fault
) -> None:
    """A fault whose tick has come, where it does not wait for an occasion."""
    fitting = [w for w in workers if w.alive and (fault.worker is None or w.index == fault.worker)]
    if fault.kind in ("worker_crash", "worker_leave", "connection_cut"):
        if fitting:
            worker = world.choices.pick("victim", world.faults.label(index), fitting)
            world.fault_fired(fault.kind, worker.name)
            if fault.kind == "worker_crash":
                worker.crash(fault.ticks)
            elif fault.kind == "worker_leave":
                worker.leave()
            else:
                worker.cut()
        return
    if fault.kind == "cancel_task":
        running = [
            record
            for record, connection in scheduler.running()
            if fault.task in (None, record.index)
            and fault.worker in (None, connection.worker.index)
            and fault.workload in (None, connection.worker.workload_index(record))
        ]
        if running:
            record = world.choices.pick("victim", world.faults.label(index), running)
            world.fault_fired(fault.kind, record.name)
            world.recorder.cancel([record.task])
        return
    world.faults.arm(index)
