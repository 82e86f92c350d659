"""Faulty engines that only a whole cluster shows, or that it shows by other rules."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from properties.mutants.mutant import Mutant
from properties.mutants.scheduling import ListenersWelcome, StartFails, WritesAfterClose
from sim.parts import Parts
from workflow import (
    EndOfStream,
    Manifest,
    RecordWriter,
    Results,
    Runner,
    RunnerError,
    Stream,
    Task,
    TaskState,
    TaskStatus,
    Workflow,
    WriteClosed,
)
from workflow.admission import Admission
from workflow.identifiers import Identifiers
from workflow.plan import Batching, Parallelize, Plan
from workflow.task import Lane, TaskGraph

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MUTANTS"]


class _NobodyWoken(Results):
    def _decide(self, how: object) -> bool:
        watchers = self._watchers.copy()
        self._watchers.clear()
        decided = super()._decide(how)
        self._watchers.extend(watchers)
        return decided


class EndWakesNobody(Workflow):
    """The end of the results wakes nobody who waits for them."""

    def _make_results(self) -> Results:
        return _NobodyWoken(self._on_reader_close)


class _LastInFirstOut(Results):
    def poll(self) -> "pa.RecordBatch | None":
        if len(self._slot) > 1:
            self._slot.rotate(1)
        return super().poll()


class ResultsReordered(Workflow):
    """The newest record comes out first."""

    def _make_results(self) -> Results:
        return _LastInFirstOut(self._on_reader_close, capacity=3)


class _LossyAtTheEnd(Results):
    def finish(self) -> bool:
        self._slot.clear()
        return super().finish()


class LastRecordLost(Workflow):
    """The end of the results throws away what was not read yet."""

    def _make_results(self) -> Results:
        return _LossyAtTheEnd(self._on_reader_close)


class _TakesAfterClose(Results):
    def offer(self, batch: "pa.RecordBatch") -> bool:
        try:
            return super().offer(batch)
        except WriteClosed:
            return True


class TakesAfterClose(Workflow):
    """Who writes after the reader has closed hears that the record was taken."""

    def _make_results(self) -> Results:
        return _TakesAfterClose(self._on_reader_close)


class _RecordBeforeError(Results):
    def poll(self) -> "pa.RecordBatch | None":
        if self._slot and self._decision:
            return self._slot.popleft()
        return super().poll()


class RecordBeforeError(Workflow):
    """E1: a record that waits is read after the error has been set."""

    def _make_results(self) -> Results:
        return _RecordBeforeError(self._on_reader_close)


class _ErrorIsTheEnd(Results):
    def poll(self) -> "pa.RecordBatch | None":
        try:
            return super().poll()
        except EndOfStream:
            raise
        except Exception as error:
            raise EndOfStream from error


class ErrorIsTheEnd(Workflow):
    """E3: a reader sees the end where an error was set."""

    def _make_results(self) -> Results:
        return _ErrorIsTheEnd(self._on_reader_close)


class StartErrorSwallowed(Workflow):
    """A task whose start fails is taken for one that nobody needs."""

    def _dispatch(self) -> bool:
        try:
            return super()._dispatch()
        except RunnerError:
            self._cancel(task for task in self.manifest.tasks if self._refused(task))
            return True

    def _refused(self, task: Task) -> bool:
        return self.state(task) is TaskState.CREATED and task not in self.admission.waiting(
            task.lane
        )


class _WrongStream:
    """A Runner that takes the reader of the results for one of another stream."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._streams: tuple[Stream, ...] = ()
        self.unregister_manifest = runner.unregister_manifest
        self.start = runner.start
        self.cancel = runner.cancel

    def register_manifest(self, manifest: Manifest) -> None:
        self._streams = manifest.streams
        self._runner.register_manifest(manifest)

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        del stream
        self._runner.listen(self._streams[-1], writer)


class ListensElsewhere(Workflow):
    """The workflow listens to a stream that a task reads, and not to its results."""

    def __init__(self, plan: Plan, runner: Runner, *args: Any, **kwargs: Any) -> None:
        super().__init__(plan, _WrongStream(runner), *args, **kwargs)


class TokenGivenBackTwice(Workflow):
    """A token comes back at the start of a task already, and again at its end."""

    def _release(self, task: Task) -> None:
        super()._release(task)
        self._observe("release", task, lane=task.lane)


class _OneTokenUnused(Admission):
    def has_free(self, lane: Lane) -> bool:
        limit = self.limits[lane]
        return not limit or len(self._holders[lane]) < max(limit - 1, 1)


class TokenUnused(Workflow):
    """One token of each lane is never given away."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits = self.admission.limits
        self.admission = _OneTokenUnused(scan=limits["scan"], other=limits["other"])


class _OneTokenTooMany(Admission):
    def has_free(self, lane: Lane) -> bool:
        limit = self.limits[lane]
        return not limit or len(self._holders[lane]) <= limit


class TokenTooMany(Workflow):
    """A lane gives away one token more than it has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits = self.admission.limits
        self.admission = _OneTokenTooMany(scan=limits["scan"], other=limits["other"])


class StartedTwice(Workflow):
    """A task that is slow to begin is started once more."""

    def _task_changed(self, task: Task, status: TaskStatus) -> None:
        super()._task_changed(task, status)
        if status.state is TaskState.PENDING and not self._closed:
            self._runner.start([task])


class _LastNeverStarts(Admission):
    def enqueue(self, tasks: Iterable[Task]) -> None:
        super().enqueue(list(tasks)[:-1])


class LastNeverStarts(Workflow):
    """The last task is never started."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits = self.admission.limits
        self.admission = _LastNeverStarts(scan=limits["scan"], other=limits["other"])


class ChildrenForgotten(Workflow):
    """A task that ends lets the tasks run on that only it has read."""

    def _cancel(self, tasks: Iterable[Task]) -> None:
        super()._cancel([task for task in tasks if task is self._root])


class CancelsWhatIsOver(Workflow):
    """Tasks are cancelled without a look at what is known of them."""

    def _may_cancel(self, task: Task) -> bool:
        return task not in self._cancelled


class FilterLost(Workflow):
    """In cutting a plan, a node in the middle of a fragment gets lost."""

    def _partition(self, plan: Plan, ids: Identifiers) -> TaskGraph:
        tasks = super()._partition(plan, ids)
        for task in tasks:
            root = task.fragment.root()
            for node in list(task.fragment.preorder()):
                inner = node is not root and task.fragment.children(node)
                if (
                    inner
                    and node not in task.sources
                    and not isinstance(node, (Batching, Parallelize))
                ):
                    task.fragment.eliminate(node)
                    break
        return tasks


class ShardLost(Workflow):
    """In cutting a plan, the last target of a scan gets lost."""

    def _partition(self, plan: Plan, ids: Identifiers) -> TaskGraph:
        tasks = super()._partition(plan, ids)
        last = list(tasks.preorder())[-1]
        streams = dict.fromkeys(s for streams in last.sinks.values() for s in streams)
        for parent in tasks.parents(last):
            for node, sources in parent.sources.items():
                parent.sources[node] = [s for s in sources if s not in streams]
        for child in tasks.children(last):
            tasks.eliminate(child)
        tasks.eliminate(last)
        return tasks


class StatisticsTwice(Workflow):
    """W14: what was counted is added at each close of the results."""

    def _reader_gone(self) -> None:
        if self._reader_closed or self._caller_statistics is None:
            super()._reader_gone()
            return
        self._caller_statistics.merge(self.statistics)
        super()._reader_gone()


class StopCancelsNothing(Workflow):
    """W17: to cancel a run stops what waits, and lets run what runs."""

    def _stop(self) -> None:
        self._stopping = True
        self._observe("stop", self.manifest)
        self.admission.stop()


class CancelledIsEnded(Workflow):
    """A user's cancel ends the results as if all had been read."""

    def cancel(self, reason: str | Exception) -> None:
        del reason
        self._mailbox.post(self._ended_early)

    def _ended_early(self) -> None:
        self._finish()
        self._stop()


class NothingOut(Workflow):
    """An end in which no task had failed becomes an error."""

    def _finish(self) -> None:
        self._fail(RuntimeError("context canceled"))


MUTANTS: Final[dict[str, Mutant]] = {
    "end-wakes-nobody": Mutant(
        sentence="the end of the results wakes no reader",
        rules=("P4",),
        parts=Parts(workflow=EndWakesNobody),
        scenarios=("log-search",),
    ),
    "results-reordered": Mutant(
        sentence="the newest record comes out first",
        rules=("P5",),
        parts=Parts(workflow=ResultsReordered),
        scenarios=("slow-reader",),
    ),
    "last-record-lost": Mutant(
        sentence="the end of the results throws away what is unread",
        rules=("P5",),
        parts=Parts(workflow=LastRecordLost),
        scenarios=("slow-reader",),
    ),
    "takes-after-close": Mutant(
        sentence="after the reader has closed, a write is told that it was taken",
        rules=("P6",),
        parts=Parts(workflow=TakesAfterClose, scheduler=WritesAfterClose),
        faults=2,
        scenarios=("impatient-users",),
        runs=130,
        hazard="E1",
    ),
    "E1-record-before-error": Mutant(
        sentence="a record that waits is read after the error was set",
        rules=(),
        parts=Parts(workflow=RecordBeforeError),
        scenarios=("slow-reader-failing",),
        faults=2,
        hazard="E1",
    ),
    "E3-error-is-the-end": Mutant(
        sentence="a reader sees the end where an error was set",
        rules=("P1", "P3"),
        parts=Parts(workflow=ErrorIsTheEnd),
        scenarios=("log-search", "error-rate"),
        faults=2,
        hazard="E3",
    ),
    "start-error-swallowed": Mutant(
        sentence="a task whose start failed is taken for one that nobody needs",
        rules=("P7",),
        parts=Parts(workflow=StartErrorSwallowed, scheduler=StartFails),
        scenarios=("log-search",),
        faults=2,
    ),
    "listens-elsewhere": Mutant(
        sentence="a workflow listens to a stream that a task reads, and not to its results",
        rules=("R3",),
        parts=Parts(workflow=ListensElsewhere, scheduler=ListenersWelcome),
        scenarios=("log-search",),
        faults=2,
    ),
    "error-out-of-nothing": Mutant(
        sentence="a run ends in an error in which nothing went wrong",
        rules=("P7",),
        parts=Parts(workflow=NothingOut),
        scenarios=("slow-reader",),
    ),
    "token-given-back-twice": Mutant(
        sentence="a token comes back twice",
        rules=("A1", "A2"),
        parts=Parts(workflow=TokenGivenBackTwice),
        scenarios=("one-token",),
    ),
    "token-unused": Mutant(
        sentence="one token of each lane is never given away",
        rules=("A3",),
        parts=Parts(workflow=TokenUnused),
        scenarios=("log-search",),
    ),
    "token-too-many": Mutant(
        sentence="a lane gives away one token more than it has",
        rules=("A1",),
        parts=Parts(workflow=TokenTooMany),
        scenarios=("one-token", "log-search"),
    ),
    "started-twice": Mutant(
        sentence="a task that is slow to begin is started once more",
        rules=("A5",),
        parts=Parts(workflow=StartedTwice),
        scenarios=("log-search",),
    ),
    "last-never-starts": Mutant(
        sentence="the last task is never started",
        rules=("A3", "A5", "L1"),
        parts=Parts(workflow=LastNeverStarts),
        scenarios=("log-search",),
    ),
    "children-forgotten": Mutant(
        sentence="a task that ends lets run on what only it has read",
        rules=("C1",),
        parts=Parts(workflow=ChildrenForgotten),
        scenarios=("limit-early", "impatient-users"),
    ),
    "cancels-what-is-over": Mutant(
        sentence="a task is cancelled that is known to be over",
        rules=("C2",),
        parts=Parts(workflow=CancelsWhatIsOver),
        scenarios=("log-search",),
    ),
    "filter-lost": Mutant(
        sentence="a node gets lost in cutting a plan",
        rules=("D7",),
        parts=Parts(workflow=FilterLost),
        scenarios=("log-search",),
    ),
    "shard-lost": Mutant(
        sentence="the last target of a scan gets lost in cutting a plan",
        rules=("D7", "D1"),
        parts=Parts(workflow=ShardLost),
        scenarios=("slow-reader", "log-search"),
    ),
    "W14-statistics-twice": Mutant(
        sentence="what the tasks counted is added at each close",
        rules=("T10",),
        parts=Parts(workflow=StatisticsTwice),
        scenarios=("slow-reader",),
        hazard="W14",
    ),
    "W17-stop-cancels-nothing": Mutant(
        sentence="to stop a run lets run what runs",
        rules=(),
        parts=Parts(workflow=StopCancelsNothing),
        scenarios=("impatient-users",),
        hazard="W17",
    ),
    "cancelled-is-ended": Mutant(
        sentence="a user's cancel looks like the end of all results",
        rules=("P2",),
        parts=Parts(workflow=CancelledIsEnded),
        scenarios=("impatient-users",),
    ),
}
