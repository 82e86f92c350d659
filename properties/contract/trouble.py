"""Trouble: a task that fails, a worker that is lost.  Judged if the Runner can be made to."""

import pytest

from properties.contract.base import ROWS, ContractBase, R
from properties.contract.bench import Work
from properties.contract.broken import expect
from workflow import Task, TaskState

__all__ = ["Trouble"]


class Trouble(ContractBase[R]):
    """Whatever ends a task: it ends once, closes its sinks, and stops nobody else."""

    # A task fails.

    def test_a_task_that_fails_is_reported_failed_and_closes_its_sinks(self) -> None:
        runner = self.runner()
        work, _, failing = self._with_a_failure(runner)
        self.wait(runner, lambda: work.over(failing), "t1 over, its sink closed", work)
        self.quiet(runner)
        work.expect_ends({failing: TaskState.FAILED}, "a task that fails closes its sinks")

    def test_the_reader_of_a_failed_task_comes_to_its_end(self) -> None:
        runner = self.runner()
        work, parent, _ = self._with_a_failure(runner)
        self.run_until(runner, work.over)
        self.quiet(runner)
        work.expect_ends({parent: TaskState.COMPLETED}, "a failure ends no other task")

    def test_a_failed_task_is_left_alone_by_start_and_cancel(self) -> None:
        runner = self.runner()
        work, _, failing = self._with_a_failure(runner)
        self.wait(runner, lambda: bool(work.ends(failing)), "t1 over", work)
        work.start(failing)
        work.cancel(failing)
        self.quiet(runner)
        expect(
            work.ends(failing) == [TaskState.FAILED],
            "start and cancel leave a failed task alone",
            got=work.story(),
            wanted="t1 Failed once",
        )

    # A worker is lost.

    def test_a_task_whose_worker_is_lost_ends_once_and_closes_its_sinks(self) -> None:
        runner = self.runner()
        work, task, writer = self.blocked(runner)
        self._lose(runner, task)
        self.quiet(runner)
        writer.give_room()
        self.finish(runner, work)
        self.quiet(runner)
        ends = work.ends(task)
        fine = ends in ([TaskState.FAILED], [TaskState.COMPLETED])
        sentence = "a task whose worker is lost fails, or is run again"
        work.expect(fine, "t0 Failed or Completed, once", sentence)
        if ends == [TaskState.COMPLETED]:
            numbers = [n for batch in writer.batches for n in self.row_numbers(batch)]
            expect(numbers == list(range(ROWS)), "every row arrives once", got=numbers, wanted=ROWS)

    def test_the_reader_of_a_task_whose_worker_is_lost_comes_to_its_end(self) -> None:
        runner = self.runner()
        work = self.work(runner)
        child = work.leaf(self.scan(ROWS))
        parent = work.merge((child,))
        work.sink(parent)
        work.register()
        writer = work.listen(parent, room=1)
        work.start()
        self.wait(runner, lambda: writer.turned_away > 0, "a full writer", work)
        if not work.ends(child):
            self._lose(runner, child)
        self.quiet(runner)
        writer.give_room()
        self.finish(runner, work)

    def test_a_cancel_before_the_loss_counts(self) -> None:
        runner = self.runner()
        work, task, _ = self.blocked(runner)
        work.cancel(task)
        self._lose(runner, task)
        self.finish(runner, work)
        self.quiet(runner)
        work.expect_ends({task: TaskState.CANCELLED}, "a cancel before a loss gives Cancelled")

    def test_after_a_loss_other_tasks_run(self) -> None:
        runner = self.runner()
        _, task, _ = self.blocked(runner)
        self._lose(runner, task)
        other = self.work(runner, "other")
        scan = other.leaf(self.scan(ROWS))
        other.sink(scan)
        other.register()
        rows = other.listen(scan)
        other.start()
        self.finish(runner, other)
        other.expect_ends({scan: TaskState.COMPLETED}, "a loss ends only what the worker ran")
        expect(rows.rows == ROWS, "every row arrives", got=rows.rows, wanted=ROWS)

    # What these tests share.

    def _with_a_failure(self, runner: R) -> tuple[Work, Task, Task]:
        """A parent, and its child that fails."""
        fragment = self.failing_scan()
        if fragment is None:
            pytest.skip("not judged, what becomes of a task that fails: `failing_scan` gives None")
        work = self.work(runner)
        failing = work.leaf(fragment)
        parent = work.merge((failing,))
        work.sink(parent)
        work.register()
        work.listen(parent)
        work.start()
        return work, parent, failing

    def _lose(self, runner: R, task: Task) -> None:
        if not self.lose_worker(runner, task):
            pytest.skip("not judged, what becomes of a lost worker's tasks: `lose_worker` is False")
