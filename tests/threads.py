"""A LocalRunner over rows of its own: for the contract, and for tests of it alone."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from time import monotonic, monotonic_ns, sleep
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
from numbered import FAILS, Numbered

from properties.contract import RunnerContract
from properties.monitors import MONITORS, judge_trace
from properties.monitors.story import TERMINAL
from workflow import Options, Plan, Workflow
from workflow.plan import DataObjScan
from workflow.runners.base import BaseRunner
from workflow.runners.local import LocalRunner
from workflow.runners.reading import read
from workflow.trace import Recorder, Trace

PATIENCE = 10.0  # seconds in which a LocalRunner should have done anything
B = TypeVar("B", bound=BaseRunner[Any, Any])

MOMENT = 0.02  # seconds in which it would do what it should not


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until the condition holds; whether it does."""
    end = monotonic() + patience
    while not condition():
        if monotonic() > end:
            return False
        sleep(0.0005)
    return True


def threads_left() -> list[str]:
    """The threads of any LocalRunner that are alive."""
    return [each.name for each in threading.enumerate() if each.name.startswith("windtunnel ")]


class OverNumbers(RunnerContract[B]):
    """The hooks for a real Runner over `Numbered`."""

    moment: ClassVar[float] = MOMENT

    def run_until(self, runner: B, condition: Callable[[], bool]) -> None:
        del runner
        until(condition)

    def quiet(self, runner: B) -> None:
        del runner
        sleep(self.moment)

    def row_numbers(self, batch: pa.RecordBatch) -> list[int]:
        return [int(each.as_py()) for each in batch.column("utf8.builtin.message")]

    def failing_scan(self) -> Plan:
        plan = Plan()
        plan.add(DataObjScan(location=FAILS))
        return plan

    def tables(self, runner: B) -> Mapping[str, int]:
        return runner.tables()

    def close(self, runner: B) -> None:
        runner.close()
        left = threads_left()
        if left and not self._open:  # a test may have several Runners
            raise AssertionError(f"got threads {left} after the close, expected none")


class OnThreads(OverNumbers[LocalRunner]):
    """The hooks for a LocalRunner."""

    def make_runner(self) -> LocalRunner:
        return LocalRunner(Numbered(), slots=6, buffer=1, batch_rows=8)


@dataclass
class Ran:
    """What a recorded run came to."""

    trace: Trace
    batches: list[pa.RecordBatch] = field(default_factory=list)
    error: Exception | None = None  # that ended the results
    workflow: Workflow | None = None

    @property
    def violations(self) -> list[str]:
        """What is wrong with it, by any rule that such a trace can be judged by."""
        verdicts = judge_trace(self.trace, monitors=MONITORS)
        return [str(each) for verdict in verdicts for each in verdict.violations]

    @property
    def ends(self) -> Counter[str]:
        """How many tasks ended how, as it was reported."""
        return Counter(
            event.details["state"]
            for event in self.trace.events
            if event.kind == "task_event" and event.details["state"] in TERMINAL
        )


def recorded(
    plan: Plan,
    runner: BaseRunner[Any, Any],
    *,
    options: Options | None = None,
    after: int | None = None,
    then: Callable[[Workflow], None] = lambda _workflow: None,
    pause: float = 0.0,
    patience: float = PATIENCE,
) -> Ran:
    """Run a plan on a Runner, which is closed then, and record all that crosses.

    ``after`` so many batches, or at the end, the reader does what `then` says, and reads on.
    ``pause``: seconds for which it stops at each batch.  ``patience``: seconds for the tasks to
    come to their ends once it has read.
    """
    recorder = Recorder(runner, clock=lambda: monotonic_ns() // 1000)
    with runner:
        workflow = Workflow(plan, recorder, options, observe=recorder.observe)
        results = recorder.reader(workflow.run())
        ran = Ran(recorder.trace, workflow=workflow)
        try:
            if after == 0:
                then(workflow)
            for batch in read(results):
                ran.batches.append(batch)
                sleep(pause)
                if len(ran.batches) == after:
                    then(workflow)
        except Exception as error:  # noqa: BLE001 - whatever ended the results
            ran.error = error
        results.close()
        over = until(lambda: workflow.closed or _over(workflow), patience)
        if not over:
            recorder.finish()  # the rules say what should have come to its end
        workflow.close()
        closed = Event()
        workflow.when_closed(closed.set)
        assert closed.wait(PATIENCE)
    if over:
        recorder.finish()
    ran.trace = recorder.trace
    return ran


def _over(workflow: Workflow) -> bool:
    return all(workflow.state(task).terminal for task in workflow.manifest.tasks)
