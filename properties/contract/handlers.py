"""Handlers: what they are told, and what they may call."""

from collections.abc import Callable

from properties.contract.base import ROWS, ContractBase, R
from properties.contract.bench import Report, State, Work
from properties.contract.broken import expect
from workflow import Stream, StreamState, Task, TaskState, UnknownTask

__all__ = ["Handlers"]

OCCASIONS = (
    TaskState.PENDING,
    TaskState.RUNNING,
    StreamState.OPEN,
    StreamState.BLOCKED,
    StreamState.CLOSED,
    TaskState.COMPLETED,
    TaskState.CANCELLED,
)


def once(at: State, call: Callable[[], None]) -> Callable[[Report], None]:
    """A handler that makes a call of its own at the first report of a state."""
    left = [call]

    def react(report: Report) -> None:
        if report.state is at and left:
            left.pop()()

    return react


class Handlers(ContractBase[R]):
    """Events go to the handlers of their manifest, which may call the Runner."""

    def test_a_handler_hears_of_its_own_manifest_only(self) -> None:
        runner = self.runner()
        works = [self.family(runner, seed=seed).register() for seed in ("one", "two")]
        for work in works:
            work.listen(work.tasks[0])
            work.start()
        self.finish(runner, *works)
        for work in works:
            work.cancel()
            work.unregister()
        self.quiet(runner)
        for work in works:
            own: dict[Task | Stream, None] = dict.fromkeys((*work.tasks, *work.streams))
            foreign = [str(r.subject) for r in work.reports if r.subject not in own]
            sentence = "events go to the handlers of their manifest"
            expect(not foreign, sentence, got=foreign, wanted="its own tasks and streams")

    def test_a_handler_may_start_a_task(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        parent, child = work.tasks
        writer = work.listen(parent)
        work.react = once(TaskState.RUNNING, lambda: work.start(child))
        work.start(parent)
        self.finish(runner, work)
        work.expect_no_raise()
        expect(writer.rows == ROWS, "every row arrives", got=writer.rows, wanted=ROWS)

    def test_a_handler_may_cancel_a_task_at_any_event(self) -> None:
        for at in OCCASIONS:
            for place in range(2):
                self._cancels(at, place)

    def test_a_handler_may_unregister_while_the_runner_works(self) -> None:
        for at in OCCASIONS:
            self._leaves_at_work(at)

    def test_a_handler_may_unregister_in_the_middle_of_a_start(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        known: list[int] = []
        work.react = once(TaskState.PENDING, lambda: self._leave(work, known))
        work.listen(work.tasks[0])
        work.start()
        self.quiet(runner)
        work.expect_no_raise()
        self._left_for_good(work, known, "a handler may unregister during start")

    def test_a_handler_may_unregister_in_the_middle_of_a_cancel(self) -> None:
        for at in (StreamState.CLOSED, TaskState.CANCELLED):
            self._leaves_in_cancel(at)

    def test_a_handler_may_register_and_start_another_manifest(self) -> None:
        runner = self.runner()
        work = self.family(runner, seed="one").register()
        follower = self.family(runner, seed="two")

        def follow() -> None:
            follower.register()
            follower.listen(follower.tasks[0])
            follower.start()

        work.react = once(TaskState.COMPLETED, follow)
        work.listen(work.tasks[0])
        work.start()
        self.finish(runner, work)
        work.expect_no_raise()
        self.finish(runner, follower)

    # What these tests share.

    def _cancels(self, at: State, place: int) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        work.react = once(at, lambda: work.cancel(work.tasks[place]))
        self._lead_to_every_event(runner, work)
        self.run_until(runner, work.over)
        self.quiet(runner)
        work.expect_no_raise()
        self._ended_once(work, f"a handler may cancel at {at}")

    def _leaves_at_work(self, at: State) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        known: list[int] = []
        writer = work.listen(work.tasks[0], room=1)
        work.react = once(at, lambda: self._leave(work, known))
        try:
            for task in work.tasks:  # one task a call: of this call nothing else is to be told
                work.start(task)
        except UnknownTask:  # a handler has unregistered it by now
            left = any(isinstance(r.state, TaskState) and r.state.terminal for r in work.reports)
            work.expect(left, "the tasks over", "start refuses unknown tasks only")
        self.run_until(runner, lambda: bool(known or writer.turned_away))
        self.quiet(runner)
        writer.give_room()
        self.quiet(runner)
        work.expect_no_raise()
        self._left_for_good(work, known, f"a handler may unregister at {at}")

    def _leaves_in_cancel(self, at: State) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        known: list[int] = []
        work.react = once(at, lambda: self._leave(work, known))
        work.cancel()
        self.quiet(runner)
        work.expect_no_raise()
        self._left_for_good(work, known, f"a handler may unregister during cancel, at {at}")

    def _lead_to_every_event(self, runner: R, work: Work) -> None:
        """Start, block, cancel: whatever is reported meanwhile."""
        writer = work.listen(work.tasks[0], room=1)
        work.start()
        self.run_until(runner, lambda: writer.turned_away > 0 or work.over())
        work.cancel(work.tasks[1])
        writer.give_room()

    def _leave(self, work: Work, known: list[int]) -> None:
        """Unregister, and note how much was reported by then."""
        work.unregister()
        known.append(len(work.reports))

    def _left_for_good(self, work: Work, known: list[int], sentence: str) -> None:
        if not known:  # the occasion did not come: not every Runner reports each state
            work.unregister()
            known.append(len(work.reports))
        self._ended_once(work, sentence)
        for stream in work.streams:
            once_closed = work.closes(stream) == 1
            work.expect(once_closed, f"{work.name(stream)} Closed once", sentence)
        work.expect_silence(known[0], f"{sentence}, and hears nothing after it returned")

    def _ended_once(self, work: Work, sentence: str) -> None:
        for task in work.tasks:
            ended = len(work.ends(task)) == 1
            work.expect(ended, f"{work.name(task)} over once", sentence)
