"""SimRunner: a Runner over a simulated cluster.

>>> from sim.choices import Seeded
>>> from workflow import Plan, Workflow
>>> from workflow.plan import DataObjScan
>>> plan = Plan()
>>> scan = plan.add(DataObjScan(location="objects/0"))
>>> runner = SimRunner(Scenario(), Seeded(7))
>>> workflow = Workflow(plan, runner)
>>> results = workflow.run()
>>> while results.poll() is None:
...     runner.step()
>>> runner.tick > 0, runner.trace.events[0].kind
(True, 'cluster')
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from sim.choices import Choices
from sim.contained import FirstRaised, Raised, RaisesTold
from sim.parts import SOUND, Parts
from sim.scenario import Fault, Scenario
from sim.scheduler import Scheduler
from sim.worker import Worker
from sim.world import World
from workflow import Manifest, RecordWriter, Results, Stream, Task
from workflow.raised import describe_raised, text_of
from workflow.sections import Sections
from workflow.trace import Event, RecordedResults, Recorder, Trace

__all__ = ["SimRunner"]

_T = TypeVar("_T")


class SimRunner:
    """Scheduler, links and workers in virtual time, behind the Runner protocol.

    A scenario's cluster and faults make the world; its workloads say how many rows the scans of
    the first manifest have, of the second, and so on, unless ``data`` has the rows.  `step` moves
    the world by one event.  With ``contain`` whatever a part raises, also what the engine takes
    for an end of its results, stops the run; the first of it stands in `raised`.
    """

    scheduler: Scheduler  # missing if a contained run could not even make it

    def __init__(
        self,
        scenario: Scenario,
        choices: Choices,
        *,
        parts: Parts = SOUND,
        watch: Callable[[Event], bool] | None = None,
        contain: bool = False,
        data: Sections | None = None,
    ) -> None:
        self.world: Final = World(scenario, choices, parts, data)
        self.recorder: Final = Recorder(
            RaisesTold(lambda: self.scheduler, self._scheduler_raised),
            clock=lambda: self.world.clock.tick,
            identify=self.world.row_names,
            ran={"name": scenario.name},
            watch=partial(self._seen, watch) if watch is not None or contain else None,
        )
        self.workers: Final[list[Worker]] = []
        self._contains: Final = contain
        self._first_raised: Final = FirstRaised(lambda: self.world.clock.steps)
        self.world.recorder = self.recorder
        self.world.describe()
        self.world.clock.on_failure = self._process_failed
        self.contained(self._set_up, None)

    def _set_up(self) -> None:
        parts = self.world.parts
        self.scheduler = parts.scheduler(self.world)
        for index in range(self.world.cluster.workers):
            self.workers.append(parts.worker(self.world, self.scheduler, index))
        for worker in self.workers:
            worker.connect()
        for index, fault in self.world.faults.timed():
            self.world.clock.after(
                fault.at or 0, self.world.faults.label(index), partial(self._strike, index, fault)
            )

    # The Runner protocol, recorded.

    def register_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        self.recorder.register_manifest(manifest)

    def unregister_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        self.recorder.unregister_manifest(manifest)

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """See `workflow.Runner`."""
        self.recorder.listen(stream, writer)

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        self.recorder.start(tasks)

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        self.recorder.cancel(tasks)

    # The world.

    def step(self) -> None:
        """Handle the next event.  Raises SimPy's EmptySchedule if nothing is due."""
        self.world.clock.step()

    @property
    def tick(self) -> int:
        """The time, in microseconds since the start."""
        return self.world.clock.tick

    @property
    def trace(self) -> Trace:
        """What has happened."""
        return self.recorder.trace

    def reader(self, results: Results) -> RecordedResults:
        """The results of a workflow here, for a reader whose reads are recorded."""
        return self.recorder.reader(results)

    def close(self) -> None:
        """End what still waits, in the order in which it was begun."""
        self.world.clock.close()

    @property
    def raised(self) -> Raised | None:
        """What a part raised first, in a run that contains it."""
        return self._first_raised.first

    def contained(self, go: Callable[[], _T], otherwise: _T) -> _T:
        """What `go` gives.  What it raises comes out, or stops a run that contains it."""
        self._first_raised.begin()
        try:
            return go()
        except Exception as error:
            if not self._contains or self._is_refused(error):
                raise
            self.world.stopped = True
            self._process_failed("run", error)
            return otherwise

    def _seen(self, watch: Callable[[Event], bool] | None, event: Event) -> None:
        # Only noted: an exception from here would end in whatever was just going on.
        self._first_raised.see(event)
        if (watch is not None and watch(event)) or (self._contains and event.kind == "raised"):
            self.world.stopped = True

    def _is_refused(self, error: BaseException) -> bool:
        """Whether there is no run, since the engine refuses what was to run."""
        return error is self.world.refusal and not self._first_raised.knows(error)

    def _scheduler_raised(self, error: Exception) -> None:
        details = describe_raised(error)
        self._first_raised.tell(error, lambda: self.world.record("raised", "scheduler", **details))

    def _process_failed(self, name: str, error: BaseException) -> None:
        if self._is_refused(error):
            return
        text = f"{type(error).__name__}: {text_of(error)}"
        self._first_raised.tell(
            error, lambda: self.world.record("process_failed", name, error=text)
        )

    def _strike(self, index: int, fault: Fault) -> None:
        """A fault whose tick has come, where it does not wait for an occasion."""
        world = self.world
        fitting = [
            worker
            for worker in self.workers
            if fault.worker in (None, worker.index)
            and (worker.can_leave if fault.kind == "worker_leave" else worker.alive)
        ]
        if fault.kind in ("worker_crash", "worker_leave", "connection_cut"):
            if fitting:
                worker = world.choices.pick("victim", world.faults.label(index), fitting)
                world.fault_fired(fault, worker.name)
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
                for record, connection in self.scheduler.running()
                if fault.task in (None, record.index)
                and fault.worker in (None, connection.worker.index)
                and fault.workload in (None, world.workload(record.entry.name)[0])
            ]
            if running:
                record = world.choices.pick("victim", world.faults.label(index), running)
                world.fault_fired(fault, record.name)
                self.recorder.cancel([record.task])
            return
        world.faults.arm(index)
