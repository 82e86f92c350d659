"""The contract's hooks for the Runners of this project."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from simpy.core import EmptySchedule

from properties.contract import RunnerContract
from sim.choices import Choices, Tame
from sim.inline import InlineRunner
from sim.runner import SimRunner
from sim.scenario import Cluster, Fault, Scenario
from workflow import Plan, Task
from workflow.plan import DataObjScan

FAILS = "fails"  # the location of a scan whose task is to fail


class OnTheSimulatedCluster(RunnerContract[SimRunner]):
    """The hooks for a SimRunner: time is virtual, so nothing has to be waited for."""

    cluster: ClassVar[Cluster] = Cluster()

    def choices(self) -> Choices:
        """What is up to chance."""
        return Tame()

    def make_runner(self) -> SimRunner:
        return SimRunner(Scenario(cluster=self.cluster), self.choices())

    def run_until(self, runner: SimRunner, condition: Callable[[], bool]) -> None:
        while not condition():
            self.doom(runner)
            try:
                runner.step()
            except EmptySchedule:
                return

    def doom(self, runner: SimRunner) -> None:
        """The tasks that are to fail do so at their next step."""
        for worker in runner.workers:
            for job in worker.jobs:
                nodes = job.task.fragment
                if any(isinstance(node, DataObjScan) and node.location == FAILS for node in nodes):
                    job.doomed = Fault(kind="task_failure", nth=0)

    def failing_scan(self) -> Plan:
        plan = Plan()
        plan.add(DataObjScan(location=FAILS))
        return plan

    def lose_worker(self, runner: SimRunner, task: Task) -> bool:
        for worker in runner.workers:
            if any(job.task is task for job in worker.jobs):
                worker.crash(back_after=0)
                return True
        return False

    def tables(self, runner: SimRunner) -> Mapping[str, int]:
        return runner.scheduler.tables()

    def close(self, runner: SimRunner) -> None:
        runner.close()


class Inline(RunnerContract[InlineRunner]):
    """The hooks for an InlineRunner: no task of it fails, and it has no workers to lose."""

    def make_runner(self) -> InlineRunner:
        return InlineRunner(rows_per_scan=20)

    def run_until(self, runner: InlineRunner, condition: Callable[[], bool]) -> None:
        while not condition() and runner.step():
            pass
