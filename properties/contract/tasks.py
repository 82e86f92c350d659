"""Tasks: start, cancel, and the states that they go through."""

from collections.abc import Mapping
from typing import Any

from properties.contract.base import ROWS, ContractBase, R
from properties.contract.bench import State, Work, Writer
from properties.contract.broken import expect
from properties.contract.registration import expect_raises
from workflow import Stream, StreamState, Task, TaskState, UnknownTask
from workflow.runner import LEGAL_STREAM_MOVES, LEGAL_TASK_MOVES

__all__ = ["Tasks"]


class Tasks(ContractBase[R]):
    """`start`, `cancel`, and the legal moves."""

    # start

    def test_a_started_task_runs_completes_and_closes_its_sinks(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task)
        work.start()
        self.finish(runner, work)
        self.quiet(runner)
        work.expect(work.running(task), "t0 Running", "a task runs before it completes")
        work.expect_ends({task: TaskState.COMPLETED}, "a task that nobody stops completes once")
        expect(writer.rows == ROWS, "every row arrives", got=writer.rows, wanted=ROWS)

    def test_a_task_that_was_not_started_does_not_run(self) -> None:
        runner = self.runner()
        work, [first, second] = self.scans(runner, 2)
        for task in (first, second):
            work.listen(task)
        work.start(first)
        self.wait(runner, lambda: work.over(first), "t0 over", work)
        self.quiet(runner)
        silent = not work.states(second)
        work.expect(silent, "nothing of t1", "a task runs once it was started, not before")

    def test_no_call_waits_for_a_task(self) -> None:
        """A Runner that waits never comes back here: the reader takes nothing."""
        runner = self.runner()
        work, [first, second] = self.scans(runner, 2)
        writer = work.listen(first, room=0)
        work.start(first)
        self.wait(runner, lambda: writer.turned_away > 0, "a full writer", work)
        work.listen(second, room=0)
        work.start(second)
        work.expect(not work.ends(second), "t1 not over", "start does not wait for a task")
        work.cancel(first)
        work.unregister()

    def test_start_with_an_unknown_task_starts_none(self) -> None:
        runner = self.runner()
        work, [first, second] = self.scans(runner, 2)
        writers = [work.listen(task) for task in (first, second)]
        stranger = self._stranger(runner)
        sentence = "start refuses unknown tasks, and starts none"
        error = expect_raises(
            UnknownTask, lambda: runner.start([first, stranger, second]), sentence
        )
        wanted = (str(stranger.id),)
        expect(error.ids == wanted, "the unknown tasks are named", got=error.ids, wanted=wanted)
        self.quiet(runner)
        work.expect_silence(0, sentence)
        work.start()
        self.finish(runner, work)
        got = [writer.rows for writer in writers]
        expect(got == [ROWS, ROWS], "every row arrives", got=got, wanted=[ROWS, ROWS])

    def test_a_task_named_twice_in_one_start_runs_once(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task)
        work.start(task, task)
        self.finish(runner, work)
        self._ran_once(runner, work, task, writer)

    def test_a_task_that_was_just_started_is_left_alone_by_another_start(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task)
        work.start()
        work.start()
        self.finish(runner, work)
        self._ran_once(runner, work, task, writer)

    def test_a_task_that_runs_is_left_alone_by_another_start(self) -> None:
        runner = self.runner()
        work, task, writer = self.blocked(runner)
        work.start()
        writer.give_room()
        self.finish(runner, work)
        self._ran_once(runner, work, task, writer)

    def test_a_task_that_is_over_is_left_alone_by_another_start(self) -> None:
        runner = self.runner()
        work, [done, fresh] = self.scans(runner, 2)
        writer, other = work.listen(done), work.listen(fresh)
        work.start(done)
        self.wait(runner, lambda: work.over(done), "t0 over", work)
        work.start(done, fresh)
        self.finish(runner, work)
        self._ran_once(runner, work, done, writer)
        self._ran_once(runner, work, fresh, other)

    def test_start_and_cancel_of_no_task_do_nothing(self) -> None:
        runner = self.runner()
        work, _ = self.scans(runner, 1)
        runner.start([])
        runner.cancel([])
        self.quiet(runner)
        work.expect_silence(0, "a call with no task does nothing")

    # cancel

    def test_a_task_cancelled_before_its_start_never_runs(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task)
        work.cancel()
        self.finish(runner, work)
        work.start()
        self.quiet(runner)
        sentence = "a cancelled task closes its sinks, and never starts"
        work.expect_ends({task: TaskState.CANCELLED}, sentence)
        work.expect(len(work.states(task)) == 1, "t0 Cancelled only", sentence)
        expect(not writer.rows, sentence, got=writer.rows, wanted="no row")

    def test_a_task_cancelled_right_after_its_start_ends_so(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        work.listen(task, room=0)
        work.start()
        work.cancel()
        self.finish(runner, work)
        self.quiet(runner)
        work.expect_ends({task: TaskState.CANCELLED}, "a cancelled task closes its sinks")

    def test_a_task_cancelled_while_it_runs_ends_so(self) -> None:
        runner = self.runner()
        work, task, writer = self.blocked(runner)
        work.cancel()
        self.finish(runner, work)
        writer.give_room()
        self.quiet(runner)
        work.expect_ends({task: TaskState.CANCELLED}, "a cancelled task closes its sinks")

    def test_a_task_that_is_over_is_left_alone_by_cancel(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        work.listen(task)
        work.start()
        self.finish(runner, work)
        self.quiet(runner)
        count = len(work.reports)
        work.cancel()
        self.quiet(runner)
        work.expect_silence(count, "cancel leaves tasks that are over alone")

    def test_a_second_cancel_does_nothing(self) -> None:
        runner = self.runner()
        work, _, _ = self.blocked(runner)
        work.cancel()
        self.finish(runner, work)
        self.quiet(runner)
        count = len(work.reports)
        work.cancel()
        self.quiet(runner)
        work.expect_silence(count, "cancel leaves tasks that are over alone")

    def test_a_task_named_twice_in_one_cancel_ends_once(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        work.cancel(task, task)
        self.finish(runner, work)
        self.quiet(runner)
        work.expect_ends({task: TaskState.CANCELLED}, "a task ends once")

    def test_cancel_with_an_unknown_task_cancels_the_known_ones_and_raises(self) -> None:
        runner = self.runner()
        work, [first, second] = self.scans(runner, 2)
        stranger = self._stranger(runner)
        sentence = "cancel raises for unknown tasks after cancelling the known ones"
        error = expect_raises(
            UnknownTask, lambda: runner.cancel([first, stranger, second]), sentence
        )
        wanted = (str(stranger.id),)
        expect(error.ids == wanted, "the unknown tasks are named", got=error.ids, wanted=wanted)
        self.run_until(runner, work.over)
        work.expect_ends(dict.fromkeys((first, second), TaskState.CANCELLED), sentence)

    def test_cancel_stops_no_other_task(self) -> None:
        runner = self.runner()
        work = self.work(runner)
        children = [work.leaf(self.scan(ROWS)) for _ in range(2)]
        parent = work.merge(tuple(children))
        work.sink(parent)
        work.register()
        writer = work.listen(parent, room=0)
        work.start()
        self.wait(runner, lambda: writer.turned_away > 0, "a full writer", work)
        work.cancel(children[0])
        self.wait(runner, lambda: work.over(children[0]), "one child over", work)
        writer.give_room()
        self.finish(runner, work)
        self.quiet(runner)
        sentence = "cancel stops the tasks that it names, and no others"
        work.expect_ends(dict.fromkeys((children[1], parent), TaskState.COMPLETED), sentence)
        expect(writer.rows >= ROWS, sentence, got=writer.rows, wanted=f"{ROWS} rows or more")

    def test_the_reader_of_a_cancelled_task_learns_of_the_end(self) -> None:
        for started in (False, True):
            runner = self.runner()
            work = self.family(runner).register()
            parent, child = work.tasks
            work.listen(parent)
            work.start(parent)
            self.quiet(runner)
            if started:
                work.start(child)
            work.cancel(child)
            self.finish(runner, work)
            work.expect_ends({parent: TaskState.COMPLETED}, "who is over closes its sinks")

    def test_a_task_whose_reader_was_cancelled_comes_to_its_end(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        parent, child = work.tasks
        writer = work.listen(parent, room=0)
        work.start()
        self.wait(runner, lambda: writer.turned_away > 0, "a full writer", work)
        work.cancel(parent)
        self.finish(runner, work)
        self.quiet(runner)
        work.expect_ends({parent: TaskState.CANCELLED}, "a cancelled task closes its sinks")
        once = len(work.ends(child)) == 1 and TaskState.FAILED not in work.ends(child)
        work.expect(once, "t1 over once, and not Failed", "every started task comes to its end")

    # The states.

    def test_tasks_and_streams_make_legal_moves_only(self) -> None:
        runner = self.runner()
        work = self.work(runner)
        children = tuple(work.leaf(self.scan(rows)) for rows in (ROWS, 0, 7))
        parent = work.merge(children)
        work.sink(parent)
        work.register()
        writer = work.listen(parent, room=1)
        work.start()
        self.wait(runner, lambda: writer.turned_away > 0, "a full writer", work)
        self.quiet(runner)
        writer.give_room(2)
        self.quiet(runner)
        work.cancel(children[0])
        writer.give_room()
        self.finish(runner, work)
        self.quiet(runner)
        for task in work.tasks:
            self._moves_legally(work, task, TaskState.CREATED, LEGAL_TASK_MOVES)
        for stream in work.streams:
            self._moves_legally(work, stream, StreamState.IDLE, LEGAL_STREAM_MOVES)

    # What these tests share.

    def _moves_legally(
        self,
        work: Work,
        subject: Task | Stream,
        state: State,
        after: Mapping[Any, tuple[State, ...]],
    ) -> None:
        name, states = work.name(subject), work.states(subject)
        if not self.in_order and isinstance(subject, Stream):
            states = [s for s in states if s is StreamState.CLOSED]  # Open and Blocked alternate
        elif not self.in_order:
            states = sorted(states)
        for reached in states:
            wanted = f"{name} {' or '.join(map(str, after[state])) or 'nothing'} after {state}"
            work.expect(reached in after[state], wanted, "a state follows one that allows it")
            state = reached

    def _stranger(self, runner: R) -> Task:
        return self.work(runner, "stranger").leaf(self.scan(ROWS))

    def _ran_once(self, runner: R, work: Work, task: Task, writer: Writer) -> None:
        self.quiet(runner)
        sentence = "start leaves tasks alone that are not Created"
        for state in (TaskState.PENDING, TaskState.RUNNING, TaskState.COMPLETED):
            count = work.states(task).count(state)
            fine = count == 1 or (count == 0 and state is TaskState.PENDING)
            work.expect(fine, f"{work.name(task)} {state} once", sentence)
        expect(writer.rows == ROWS, sentence, got=f"{writer.rows} rows", wanted=ROWS)
