"""A Workflow drives the tasks of one plan through a Runner, and never waits.

Events go in (`Manifest.task_event_handler`, `stream_event_handler`, the reader's close), commands
go out (start, cancel, unregister).  Both pass a mailbox, so events may come from any thread, in
any order, and from inside a command; the same object runs under a simulator, threads or a
cluster.

What holds for any Runner and any order of events:
    the first terminal state of a task counts, and no state goes back;
    a token belongs to a task from its start to its end, and is never idle while a task waits;
    the reader sees the end only when the results stream is closed and every task is over, and
    a failure before it always;
    on the first failure nothing more starts, and the root is cancelled, then whatever nobody
    reads any more, down to the leaves;
    a child is cancelled only when no parent can still need it.

Sources: semantics 4 and 5; where this departs from the reference, `docs/departures.md` says why.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

from workflow._brief import Brief
from workflow.admission import LANES, Admission
from workflow.capture import Capture, Region, Statistics
from workflow.identifiers import Identifiers
from workflow.limits import LimitTooSmall, check_diamonds, smallest_limits
from workflow.mailbox import Mailbox
from workflow.manifest import Manifest
from workflow.partition import attach_results, partition
from workflow.plan import Plan
from workflow.printing import sprint
from workflow.raised import describe_raised, text_of
from workflow.results import Results
from workflow.runner import Runner, RunnerError
from workflow.short_circuit import Needs
from workflow.stream import Stream, StreamState
from workflow.task import Lane, Task, TaskGraph, TaskState, TaskStatus

__all__ = [
    "ForeignEvent",
    "Observer",
    "Options",
    "TaskCancelled",
    "TaskFailed",
    "Workflow",
    "WorkflowCancelled",
    "WorkflowClosed",
    "WorkflowMisuse",
]


class WorkflowMisuse(RuntimeError):
    """The caller used a workflow in a way that it does not allow; nothing was changed."""


class WorkflowClosed(Exception):
    """The reader's end of a run that was closed before it was over."""

    def __str__(self) -> str:
        return "the workflow was closed before its results had ended"


class WorkflowCancelled(Exception):
    """The reader's end of a run that was cancelled; `args` is the reason."""


class TaskFailed(Exception):
    """The reader's end of a run in which a task failed without saying why."""

    def __init__(self, task: str) -> None:
        super().__init__(task)

    def __str__(self) -> str:
        return f"task {self.args[0]} failed without an error"


class TaskCancelled(Exception):
    """The reader's end of a run in which a task was cancelled that the workflow still needed."""

    def __init__(self, task: str) -> None:
        super().__init__(task)

    def __str__(self) -> str:
        return f"task {self.args[0]} was cancelled, and not by this workflow"


class ForeignEvent(Exception):
    """A Runner reported something that is not of the workflow's manifest."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)

    def __str__(self) -> str:
        return f"got an event of {self.args[0]}, expected one of this workflow's tasks or streams"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Options(Brief):
    """How to run a plan.  All defaults are the reference's.

    ``max_running_*`` are the tokens of a lane: that many of its tasks run at once, and a number
    below 1 is no limit.  ``debug_*`` send a line for each event to the workflow's log.
    """

    tenant: str = ""
    actor: tuple[str, ...] = ()
    max_running_scan_tasks: int = 0
    max_running_other_tasks: int = 0
    debug_tasks: bool = False
    debug_streams: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            wanted = type(each.default)
            if type(value) is not wanted:  # `type is`: True is not a count
                raise TypeError(f"Options.{each.name}: got {value!r}, expected a {wanted.__name__}")
        if not all(isinstance(part, str) for part in self.actor):
            raise TypeError(f"Options.actor: got {self.actor!r}, expected a tuple of texts")


class Observer(Protocol):
    """Is told what a workflow decides, as it decides it; see the table in `workflow.trace`."""

    def __call__(self, kind: str, subject: Manifest | Task | Stream, /, **details: Any) -> None:
        """Something was decided."""


def _nobody(kind: str, subject: Manifest | Task | Stream, /, **details: Any) -> None:
    pass


_LIMIT_OPTIONS: dict[Lane, str] = {
    "scan": "max_running_scan_tasks",
    "other": "max_running_other_tasks",
}


class Workflow:
    """The tasks of one plan, on one Runner.

    Construction partitions `plan` and registers the tasks; nothing runs before `run`.  Raises
    PlanError, RootError or CycleError for a plan that cannot run, LimitTooSmall for limits with
    which it can hang, and whatever the Runner raises; then nothing stays registered.

    Every method may be called from any thread, and from inside the Runner's calls.
    """

    def __init__(
        self,
        plan: Plan,
        runner: Runner,
        options: Options | None = None,
        *,
        ids: Identifiers | None = None,
        log: Callable[[str], None] | None = None,
        observe: Observer = _nobody,
    ) -> None:
        self.options = options or Options()
        self._runner = runner
        self._observe = observe
        self._log = log or (lambda _line: None)
        ids = ids or Identifiers()
        self.tasks: TaskGraph = self._partition(plan, ids)
        self.results_stream: Stream = attach_results(
            self.tasks, tenant=self.options.tenant, ids=ids
        )
        self._check_can_finish()
        self._root = self.tasks.root()
        tasks = tuple(self.tasks.preorder())
        self.manifest = Manifest(
            ids.make(),
            self.options.tenant,
            self.options.actor,
            (self.results_stream, *(s for task in tasks for s in task.source_streams())),
            tasks,
            self._on_task,
            self._on_stream,
        )
        self.admission = Admission(
            scan=self.options.max_running_scan_tasks,
            other=self.options.max_running_other_tasks,
        )
        self.results = self._make_results()
        self.statistics = Statistics()
        self.capture: Capture | None = None
        self.close_error: Exception | None = None  # what the Runner raised at the end
        self._region: Region | None = None
        self._caller_statistics: Statistics | None = None
        self._states = dict.fromkeys(tasks, TaskState.CREATED)
        self._stream_states = dict.fromkeys(self.manifest.streams, StreamState.IDLE)
        self._needs = Needs(self.tasks)
        self._unfinished = len(tasks)
        self._cancelled: dict[Task, None] = {}  # those whom this workflow asked to stop
        self._stopping = False
        self._closed = False
        self._reader_closed = False
        self._tickets = [None]  # for `run`: taking one out is one step, in any thread
        self._closed_watchers: list[Callable[[], None]] = []
        self._mailbox = Mailbox(self._dispatch, self._raised)

        runner.register_manifest(self.manifest)
        observe("admission", self.manifest, **self.admission.limits)
        try:
            runner.listen(self.results_stream, self.results)
        except BaseException:
            self._closed = True
            runner.unregister_manifest(self.manifest)
            raise

    def __len__(self) -> int:
        return len(self.manifest.tasks)

    def __str__(self) -> str:
        return sprint(self.tasks)

    def run(
        self,
        *,
        capture: Capture | None = None,
        region: Region | None = None,
        statistics: Statistics | None = None,
    ) -> Results:
        """Let the tasks start, and return their results.

        The regions that tasks report are added to `capture` below `region`.  What tasks counted
        is added to `statistics` when the reader closes the results, once.  Raises
        WorkflowMisuse if called twice.
        """
        try:
            self._tickets.pop()
        except IndexError:
            raise WorkflowMisuse("run: the workflow has been run already") from None
        self._mailbox.post(self._begin, capture, region, statistics)
        return self.results

    def cancel(self, reason: str | Exception) -> None:
        """Stop: nothing more starts, what runs is cancelled, and the reader gets the reason.

        A text arrives as WorkflowCancelled.  No effect once the results have ended.
        """
        error = reason if isinstance(reason, Exception) else WorkflowCancelled(reason)
        self._mailbox.post(self._fail, error)

    def close(self) -> None:
        """Stop, and take everything out of the Runner.  Idempotent; returns without waiting.

        A reader that has not seen the end gets WorkflowClosed.  If another thread is just
        handling an event, it also does this; `when_closed` tells when it is done.
        """
        self._mailbox.post(self._end)

    def when_closed(self, call: Callable[[], None]) -> None:
        """Call `call` once the workflow is out of its Runner; at once if it is already."""
        self._mailbox.post(self._watch_closed, call)

    def state(self, task: Task) -> TaskState:
        """The state last recorded of a task."""
        return self._states[task]

    def stream_state(self, stream: Stream) -> StreamState:
        """The state last recorded of a stream."""
        return self._stream_states[stream]

    @property
    def closed(self) -> bool:
        """Whether the workflow is out of its Runner."""
        return self._closed

    # What the outside tells.

    def _on_task(self, task: Task, status: TaskStatus) -> None:
        self._mailbox.post(self._task_changed, task, status)

    def _on_stream(self, stream: Stream, state: StreamState) -> None:
        self._mailbox.post(self._stream_changed, stream, state)

    def _on_reader_close(self) -> None:
        self._mailbox.post(self._reader_gone)

    # Handlers.  One runs at a time, see Mailbox.

    def _begin(
        self, capture: Capture | None, region: Region | None, statistics: Statistics | None
    ) -> None:
        self.capture, self._region = capture, region
        self._caller_statistics = statistics
        if not self._stopping:
            self.admission.enqueue(task for task in self.manifest.tasks if self._may_start(task))

    def _dispatch(self) -> bool:
        """Start the next task that may; False if there is none.

        Called only when no event is left, so that a cancellation has gone through before its
        tokens are given away.
        """
        task = self.admission.admit()
        if task is None:
            return False
        self._observe("acquire", task, lane=task.lane)
        try:
            self._runner.start([task])
        except Exception:
            self._release(task)
            raise
        return True

    def _task_changed(self, task: Task, status: TaskStatus) -> None:
        if task not in self._states:
            raise ForeignEvent(str(task))
        if self.options.debug_tasks:
            self._log(f"{task} {status.state}")
        recorded, state = self._states[task], status.state
        if recorded.terminal or state < recorded:
            return  # a late word
        self._record(task, state)
        if state.terminal:
            self._task_ended(task, status)
        elif state is TaskState.RUNNING and status.contributing_time_range is not None:
            self._cancel(self._needs.narrow(task, status.contributing_time_range))

    def _task_ended(self, task: Task, status: TaskStatus) -> None:
        self._unfinished -= 1
        self.admission.withdraw(task)
        self._release(task)
        if status.capture is not None and self.capture is not None:
            self.capture.adopt(status.capture, self._region)
        if status.statistics is not None:
            self._count(status.statistics)
        if status.state is TaskState.FAILED:
            self._fail(status.error or TaskFailed(str(task.id)))
        elif status.state is TaskState.CANCELLED and task not in self._cancelled:
            self._fail(TaskCancelled(str(task.id)))
        self._cancel(self._needs.end(task))
        self._finish_if_over()

    def _stream_changed(self, stream: Stream, state: StreamState) -> None:
        if stream not in self._stream_states:
            raise ForeignEvent(str(stream))
        if self.options.debug_streams:
            self._log(f"{stream} {state}")
        recorded = self._stream_states[stream]
        if recorded is StreamState.CLOSED or state is StreamState.IDLE:
            return  # a late word
        self._stream_states[stream] = state
        if state is StreamState.CLOSED:
            self._observe("recorded", stream, state=str(state))
        self._finish_if_over()

    def _finish_if_over(self) -> None:
        closed = self._stream_states[self.results_stream] is StreamState.CLOSED
        if closed and not self._unfinished:
            self._finish()

    def _reader_gone(self) -> None:
        if self._reader_closed:
            return
        self._reader_closed = True
        if self._caller_statistics is not None:
            self._caller_statistics.merge(self.statistics)
        self._stop()

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._end_with(WorkflowClosed())
        finally:  # a watcher of the results may raise: nothing stays registered for that
            self._leave()

    def _leave(self) -> None:
        self._stop()
        try:
            self._runner.unregister_manifest(self.manifest)
        except Exception as error:  # noqa: BLE001 - a Runner may raise anything; closing goes on
            self.close_error = error
        watchers, self._closed_watchers = self._closed_watchers, []
        for call in watchers:
            self._mailbox.post(call)  # each on its own: one that raises keeps none from being told

    def _watch_closed(self, call: Callable[[], None]) -> None:
        if self._closed:
            call()
        else:
            self._closed_watchers.append(call)

    # What handlers share.

    def _record(self, task: Task, state: TaskState) -> None:
        self._states[task] = state
        self._observe("recorded", task, state=str(state))

    def _release(self, task: Task) -> None:
        if self.admission.release(task):
            self._observe("release", task, lane=task.lane)

    def _finish(self) -> None:
        # Told before it is done: a reader that waits reads on at once.
        self._observe("results_end", self.manifest)
        self.results.finish()

    def _end_with(self, error: Exception) -> None:
        self._observe(
            "results_error", self.manifest, error=text_of(error), error_type=type(error).__name__
        )
        self.results.fail(error)

    def _raised(self, error: Exception) -> None:
        """A handler has raised: the engine's own code, a subclass, or the Runner that it called."""
        if not isinstance(error, (ForeignEvent, RunnerError)):  # these tell of something foreseen
            self._observe("raised", self.manifest, **describe_raised(error))
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._end_with(error)
        self._stop()

    def _stop(self) -> None:
        """Nothing more starts; what runs is cancelled, from the root down as each task ends."""
        if self._stopping:
            return
        self._stopping = True
        self._observe("stop", self.manifest)
        self.admission.stop()
        self._cancel([self._root])

    def _cancel(self, tasks: Iterable[Task]) -> None:
        tasks = [task for task in tasks if self._may_cancel(task)]
        if not tasks or self._closed:  # closing cancels by itself
            return
        for task in tasks:
            self._cancelled[task] = None
            self.admission.withdraw(task)
        self._runner.cancel(tasks)

    def _may_start(self, task: Task) -> bool:
        return not self._states[task].terminal and task not in self._cancelled

    def _may_cancel(self, task: Task) -> bool:
        if self._states[task].terminal or task in self._cancelled:
            return False
        # A task that has closed all of its sinks is over, its own word is just not here yet:
        # to cancel it would belie its outcome (hazard W8).
        return any(
            self._stream_states[stream] is not StreamState.CLOSED for stream in task.sink_streams()
        )

    def _count(self, statistics: Statistics) -> None:
        self.statistics.merge(statistics)
        if self._reader_closed and self._caller_statistics is not None:
            self._caller_statistics.merge(statistics)  # counted after the caller took the rest

    def _partition(self, plan: Plan, ids: Identifiers) -> TaskGraph:
        return partition(plan, tenant=self.options.tenant, ids=ids)

    def _make_results(self) -> Results:
        return Results(self._on_reader_close)

    def _check_can_finish(self) -> None:
        check_diamonds(self.tasks)
        counts = Counter(task.lane for task in self.tasks)
        limits = {lane: getattr(self.options, _LIMIT_OPTIONS[lane]) for lane in LANES}
        # As many tokens as tasks are as good as no limit.
        binding = [lane for lane in LANES if 0 < limits[lane] < counts[lane]]
        if not binding:
            return
        smallest = smallest_limits(self.tasks, both=len(binding) == len(LANES))
        for lane in binding:
            least = min(getattr(smallest, lane), counts[lane])
            if limits[lane] < least:
                raise LimitTooSmall(_LIMIT_OPTIONS[lane], limits[lane], least)
