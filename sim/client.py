"""The reader and user of a simulated workload: starts it, reads it, gives it up."""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pyarrow as pa
from simpy.events import Event

from sim.scenario import Workload
from sim.world import World
from workflow import EndOfStream, GraphError, Identifiers, Statistics, TaskState, Workflow
from workflow.admission import LANES
from workflow.limits import LimitTooSmall
from workflow.raised import text_of
from workflow.trace import RecordedResults

__all__ = ["Client", "End", "EndKind"]

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
    batches: tuple[pa.RecordBatch, ...] = ()  # what was read, in a run over data


class Client:
    """The reader and user of one workload."""

    def __init__(self, world: World, index: int, workload: Workload) -> None:
        self.world = world
        self.index = index
        self.workload = workload
        self.name = f"client {index}"
        self.workflow: Workflow | None = None
        self.end: EndKind = "unfinished"
        self.error = ""
        self.rows = self.records = self.tick = 0
        self.names: list[str] = []
        self.batches: list[pa.RecordBatch] = []
        self.waits_for = ""
        self.tokens: dict[str, int] = {}
        self.states: dict[str, int] = {}

    def run(self) -> Generator[Event, Any, None]:
        """Start the workflow, read it to its end, and close it."""
        world, workload = self.world, self.workload
        if workload.arrival:
            # Without a name, and so without choices: manifests are registered in order of arrival.
            yield world.clock.timeout(workload.arrival)
        ids = Identifiers(f"{world.scenario.name}/{self.index}", lambda: world.clock.tick // 1_000)
        recorder = world.recorder
        try:
            workflow = self.workflow = world.parts.workflow(
                workload.plan, recorder, workload.options, ids=ids, observe=recorder.observe
            )
        except (GraphError, LimitTooSmall) as error:
            world.refusal = error
            raise
        self._schedule(workflow)
        counted = Statistics()
        results = recorder.reader(workflow.run(statistics=counted))
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
        recorder.observe(
            "statistics", workflow.manifest, total={key.name: value for key, value in counted}
        )

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
                lambda: self._ask(workflow, "cancel"),
            )
        if client.close_at is not None:
            clock.after(
                max(client.close_at - clock.tick, 0),
                f"{self.name} closes",
                lambda: self._ask(workflow, "close"),
            )

    def _ask(self, workflow: Workflow, what: str) -> None:
        self.world.recorder.observe("ask", workflow.manifest, what=what)
        if what == "cancel":
            workflow.cancel("cancelled by the user")
        else:
            workflow.close()

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
                self.end = "closed" if client.never_reads else "eof"
                return
            except Exception as error:  # noqa: BLE001 - whatever ended the results
                self.end = "error"
                self.error = f"{type(error).__name__}: {text_of(error)}"
                return
            if client.never_reads and batch is not None:
                continue  # it only wants to hear how the run ended
            if batch is None:
                self.waits_for = "a record or the end"
                yield changed
                continue
            self.records += 1
            self.rows += batch.num_rows
            self.names.extend(self.world.row_names(batch))
            if self.world.sections is not None:
                self.batches.append(batch)
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
            tuple(self.batches),
        )
