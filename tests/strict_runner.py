"""A Runner that does nothing by itself, and keeps to the table of legal states.

Start reports Pending before it returns, Cancel reports closed sinks and then Cancelled.  With
`reports_later` they are only noted in `pending`, for a test to deliver in an order of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from workflow import (
    ContributingTimeRange,
    Manifest,
    RecordWriter,
    Stream,
    StreamState,
    Task,
    TaskState,
    TaskStatus,
)
from workflow.runner import LEGAL_TASK_MOVES


class StrictRunner:
    """Implements `workflow.Runner`; a test moves the tasks with `report`, `T1` being task 1."""

    def __init__(self, *, reports_later: bool = False) -> None:
        self.reports_later = reports_later
        self.pending: list[Callable[[], None]] = []
        self.calls: list[str] = []  # start T1, cancel T2 T3, ...
        self.refuse: dict[str, Exception] = {}  # what a method raises, once
        self.states: dict[Task, TaskState] = {}
        self.streams: dict[Stream, StreamState] = {}
        self.manifests: list[Manifest] = []
        self.writer: RecordWriter | None = None
        self.close_sinks = True  # when a task is over

    def register_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        self._maybe_refuse("register_manifest")
        self.manifests.append(manifest)
        self.states.update(dict.fromkeys(manifest.tasks, TaskState.CREATED))
        self.streams.update(dict.fromkeys(manifest.streams, StreamState.IDLE))
        self.calls.append("register")

    def unregister_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        self.calls.append("unregister")
        self._maybe_refuse("unregister_manifest")
        for task in manifest.tasks:
            self._move(task, TaskStatus(TaskState.CANCELLED))
        for stream in manifest.streams:
            self.stream(stream, StreamState.CLOSED)
        self.manifests.remove(manifest)

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """See `workflow.Runner`."""
        self._maybe_refuse("listen")
        assert stream in self.streams
        self.writer = writer

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        self.calls.append(f"start {self._names(tasks)}")
        self._maybe_refuse("start")
        for task in tasks:
            if self.states[task] is TaskState.CREATED:
                self._move(task, TaskStatus(TaskState.PENDING))

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        self.calls.append(f"cancel {self._names(tasks)}")
        self._maybe_refuse("cancel")
        for task in tasks:
            self._move(task, TaskStatus(TaskState.CANCELLED))

    # What a test does.

    @property
    def tasks(self) -> Sequence[Task]:
        """The tasks of the first manifest, T1 first."""
        return self.manifests[0].tasks

    def task(self, name: str) -> Task:
        """T1 is the first task of the manifest."""
        return list(self.states)[int(name[1:]) - 1]

    def report(self, name: str, state: TaskState, error: Exception | None = None) -> bool:
        """A worker's word about a task; False if the table forbids it."""
        return self._move(self.task(name), TaskStatus(state, error))

    def report_status(self, name: str, status: TaskStatus) -> bool:
        """The same with a whole status."""
        return self._move(self.task(name), status)

    def report_range(self, name: str, range_: ContributingTimeRange) -> bool:
        """A running task says what can still contribute."""
        status = TaskStatus(TaskState.RUNNING)
        return self._move(self.task(name), replace(status, contributing_time_range=range_))

    def run(self, *names: str) -> None:
        """Tasks begin to run."""
        for name in names:
            assert self.report(name, TaskState.RUNNING)

    def complete(self, *names: str) -> None:
        """Tasks run, if they did not yet, and complete."""
        for name in names:
            if self.states[self.task(name)] is TaskState.PENDING:
                self.run(name)
            assert self.report(name, TaskState.COMPLETED)

    def stream(self, stream: Stream, state: StreamState) -> None:
        """A stream changes."""
        if self.streams[stream] not in (state, StreamState.CLOSED):
            self.streams[stream] = state
            manifest = next((m for m in self.manifests if stream in m.streams), None)
            if manifest is not None:
                self._tell(manifest.stream_event_handler, stream, state)

    def deliver(self, *order: int) -> None:
        """Deliver what is pending: in the given order of places, or all from the first on."""
        pending, self.pending = self.pending, []
        for place in order or range(len(pending)):
            pending[place]()

    def _move(self, task: Task, status: TaskStatus) -> bool:
        if status.state not in LEGAL_TASK_MOVES[self.states[task]]:
            return False
        if status.state.terminal and self.close_sinks:
            for stream in task.sink_streams():
                self.stream(stream, StreamState.CLOSED)
        self.states[task] = status.state
        manifest = next((m for m in self.manifests if task in m.tasks), None)
        if manifest is not None:
            self._tell(manifest.task_event_handler, task, status)
        return True

    def _tell(self, handler: Callable[..., None], *args: Any) -> None:
        if self.reports_later:
            self.pending.append(lambda: handler(*args))
        else:
            handler(*args)

    def _names(self, tasks: Sequence[Task]) -> str:
        order = list(self.states)
        return " ".join(f"T{order.index(task) + 1}" for task in tasks)

    def _maybe_refuse(self, method: str) -> None:
        error = self.refuse.pop(method, None)
        if error is not None:
            raise error
