"""A LocalRunner over rows of its own: for the contract, and for tests of it alone."""

import threading
from collections.abc import Callable, Iterator, Mapping
from time import monotonic, sleep

import pyarrow as pa

from properties.contract import ROWS, RunnerContract
from workflow import Plan
from workflow.plan import DataObjScan
from workflow.runners.local import LocalRunner

FAILS = "fails"  # the location of a section that breaks off after its first batch

PATIENCE = 10.0  # seconds in which a LocalRunner should have done anything
MOMENT = 0.02  # seconds in which it would do what it should not


class Numbered:
    """Every section has the same rows, whose messages are their numbers."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        del section
        for start in range(0, ROWS, rows):
            numbers = range(start, min(start + rows, ROWS))
            yield pa.RecordBatch.from_pydict({"message": [str(number) for number in numbers]})
            if location == FAILS:
                raise ValueError("the section is damaged")


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


class OnThreads(RunnerContract[LocalRunner]):
    """The hooks for a LocalRunner."""

    def make_runner(self) -> LocalRunner:
        return LocalRunner(Numbered(), slots=6, buffer=1, batch_rows=8)

    def run_until(self, runner: LocalRunner, condition: Callable[[], bool]) -> None:
        del runner
        until(condition)

    def quiet(self, runner: LocalRunner) -> None:
        del runner
        sleep(MOMENT)

    def row_numbers(self, batch: pa.RecordBatch) -> list[int]:
        return [int(each.as_py()) for each in batch.column("utf8.builtin.message")]

    def failing_scan(self) -> Plan:
        plan = Plan()
        plan.add(DataObjScan(location=FAILS))
        return plan

    def tables(self, runner: LocalRunner) -> Mapping[str, int]:
        return runner.tables()

    def close(self, runner: LocalRunner) -> None:
        runner.close()
        left = threads_left()
        if left and not self._open:  # a test may have several Runners
            raise AssertionError(f"got threads {left} after the close, expected none")
