"""What the maker of a Runner supplies, and what the tests of the contract share."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import pytest

from properties.contract.bench import Work, Writer
from properties.contract.broken import expect
from workflow import Plan, Runner, Task
from workflow.plan import DataObjScan, Limit

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ROWS", "ContractBase", "R"]

R = TypeVar("R", bound=Runner)

ROWS: Final = 20  # the most that a test asks of one scan


class ContractBase(Generic[R]):
    """The hooks.  Two must be written, the others have defaults."""

    #: Tests that this Runner is known to fail, each with the reason.  They are run, and one that
    #: passes all the same is a failure: the list says the truth in both directions.
    departures: ClassVar[Mapping[str, str]] = {}

    #: Whether the events of one task or stream are delivered in the order in which they happened.
    #: A Runner whose threads may overtake each other says False; then its reports are judged as
    #: if they were sorted.
    in_order: ClassVar[bool] = True

    def make_runner(self) -> R:
        """A new Runner, with room for at least six tasks that run at the same time."""
        raise TypeError(f"{type(self).__name__} has no method make_runner")

    def run_until(self, runner: R, condition: Callable[[], bool]) -> None:  # noqa: ARG002
        """Let the Runner work until the condition holds, or give up.

        A simulated one gives up when nothing is due, a real one after a time in which it should
        have done anything.  The test looks at the condition itself, and says what is missing.
        """
        raise TypeError(f"{type(self).__name__} has no method run_until")

    def quiet(self, runner: R) -> None:
        """Let the Runner do what it still has to, in tests where nothing should happen.

        A real one does not wait here for as long as in `run_until`, but for a moment.
        """
        self.run_until(runner, lambda: False)

    def scan(self, rows: int) -> Plan:
        """A fragment that gives so many rows, from 0 to 20; 20 in two batches or more.

        By default a Limit over a scan that has 20 rows or more, whatever its location.
        """
        plan = Plan()
        limit, scan = plan.add(Limit(fetch=rows)), plan.add(DataObjScan(location="contract"))
        plan.add_edge(limit, scan)
        return plan

    def row_numbers(self, batch: "pa.RecordBatch") -> list[int]:
        """The numbers of a batch's rows: row n is the n-th that its scan gives, from 0.

        By default the column `row`.
        """
        numbers: list[int] = batch.column("row").to_pylist()
        return numbers

    def failing_scan(self) -> Plan | None:
        """A fragment whose task fails before it ends; None if no task can be made to fail."""
        return None

    def lose_worker(self, runner: R, task: Task) -> bool:  # noqa: ARG002 - for who overrides it
        """Have the worker that runs the task die at once; False if none can."""
        return False

    def tables(self, runner: R) -> Mapping[str, int] | None:  # noqa: ARG002 - as above
        """How much the Runner keeps, by kind of thing; None if it cannot tell."""
        return None

    def close(self, runner: R) -> None:
        """End a Runner after a test.  What is left behind, as a thread, is to raise here."""

    # What the tests share.

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cls.departures:
            if not name.startswith("test_") or not hasattr(cls, name):
                raise TypeError(f"{cls.__name__}.departures: got {name!r}, expected a test's name")

    @pytest.fixture(autouse=True)
    def _around_a_test(self, request: pytest.FixtureRequest) -> Iterator[None]:
        reason = self.departures.get(request.function.__name__)
        if reason is not None:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        yield
        self.close_all()

    @property
    def _open(self) -> list[R]:
        runners: list[R] = self.__dict__.setdefault("_runners", [])  # pytest forbids __init__
        return runners

    def close_all(self) -> None:
        """Close the Runners that a test made."""
        while self._open:
            self.close(self._open.pop())

    def runner(self) -> R:
        """A new Runner, closed after the test."""
        runner = self.make_runner()
        self._open.append(runner)
        return runner

    def work(self, runner: R, seed: str = "contract") -> Work:
        """Tasks and streams to be made for a Runner.  Two works of one test differ in `seed`."""
        return Work(runner, seed)

    def wait(self, runner: R, condition: Callable[[], bool], what: str, *works: Work) -> None:
        """Let the Runner work until the condition holds.  Raises ContractBroken if it does not."""
        self.run_until(runner, condition)
        story = "; ".join(work.story() for work in works)
        expect(condition(), "a task that was started comes to its end", got=story, wanted=what)

    def finish(self, runner: R, *works: Work) -> None:
        """Let the Runner work until all tasks are over."""
        self.wait(
            runner,
            lambda: all(work.over() for work in works),
            "all tasks over, sinks closed",
            *works,
        )

    # What the tests run.

    def scans(self, runner: R, count: int) -> tuple[Work, list[Task]]:
        """Tasks that scan, each with a stream that nobody reads yet; registered."""
        work = self.work(runner)
        tasks = [work.leaf(self.scan(ROWS)) for _ in range(count)]
        for task in tasks:
            work.sink(task)
        return work.register(), tasks

    def blocked(self, runner: R) -> tuple[Work, Task, Writer]:
        """A task that runs and waits for its writer, which has taken one batch."""
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task, room=1)
        work.start()
        self.wait(runner, lambda: writer.turned_away > 0, "a full writer", work)
        return work, task, writer

    def family(self, runner: R, *rows: int, seed: str = "contract") -> Work:
        """Task 0 passes on what the others scan, at one node; one of 20 rows unless told.

        Not registered yet.
        """
        work = self.work(runner, seed)
        work.sink(work.merge(tuple(work.leaf(self.scan(count)) for count in rows or (ROWS,))))
        return work
