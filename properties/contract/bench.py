"""What the contract's tests are made of: manifests, a reader that can be full, reports."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from properties.contract.broken import expect
from workflow import (
    Identifiers,
    Manifest,
    Plan,
    Runner,
    Stream,
    StreamState,
    Task,
    TaskState,
    TaskStatus,
    WriteClosed,
)
from workflow.plan import Merge

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MANY", "Report", "State", "Work", "Writer"]

MANY: Final = 1_000_000  # batches: room for all of them

State = TaskState | StreamState


@dataclass(frozen=True, slots=True)
class Report:
    """An event as a handler got it."""

    subject: Task | Stream
    state: State


class Writer:
    """A RecordWriter with room for some batches, until it is given more or closed.

    It may be offered from any thread; a test gives it room from its own.
    """

    def __init__(self, room: int = MANY) -> None:
        self.room = room
        self.batches: list[pa.RecordBatch] = []
        self.turned_away = 0  # offers without room
        self.refused = 0  # offers after the close
        self._closed = False
        self._watchers: deque[Callable[[], None]] = deque()

    def offer(self, batch: "pa.RecordBatch") -> bool:
        """See `workflow.RecordWriter`."""
        if self._closed:
            self.refused += 1
            raise WriteClosed
        if len(self.batches) >= self.room:
            self.turned_away += 1
            return False
        self.batches.append(batch)
        self._wake()
        return True

    def watch(self, wake: Callable[[], None]) -> None:
        """See `workflow.RecordWriter`."""
        self._watchers.append(wake)

    def give_room(self, room: int = MANY) -> None:
        """From now on there is room for that many batches in all."""
        self.room = room
        self._wake()

    def close(self) -> None:
        """Nobody will read any more."""
        self._closed = True
        self._wake()

    @property
    def rows(self) -> int:
        """How many rows were taken."""
        return sum(batch.num_rows for batch in self.batches)

    def _wake(self) -> None:
        for _ in range(len(self._watchers)):
            try:
                wake = self._watchers.popleft()
            except IndexError:  # another thread was faster
                return
            wake()


class Work:
    """Tasks and streams in the making, then a manifest on a runner and what that reports.

    `react` is called in the handlers, with each report once it is noted.
    """

    def __init__(self, runner: Runner, seed: str) -> None:
        self.runner = runner
        self.tasks: list[Task] = []
        self.streams: list[Stream] = []
        self.reports: list[Report] = []
        self.raised: list[Exception] = []  # by `react`
        self.react: Callable[[Report], None] = lambda _report: None
        self._ids = Identifiers(seed)
        self._manifest: Manifest | None = None

    # In the making.

    def leaf(self, fragment: Plan) -> Task:
        """A task that reads no stream."""
        task = Task(self._ids.make(), "", fragment, lane="scan")
        self.tasks.append(task)
        return task

    def merge(self, *nodes: tuple[Task, ...]) -> Task:
        """A task that passes on what others write; each of its nodes reads some of them."""
        plan = Plan()
        root = plan.add(Merge())
        task = Task(self._ids.make(), "", plan)
        for children in nodes:
            node = root
            if len(nodes) > 1:
                node = plan.add(Merge())
                plan.add_edge(root, node)
            task.sources[node] = [self.sink(child) for child in children]
        self.tasks.insert(0, task)  # parents stand first, as a Workflow has them
        return task

    def sink(self, task: Task) -> Stream:
        """One more stream that the task writes."""
        stream = self.stream()
        task.sinks.setdefault(task.fragment.root(), []).append(stream)
        return stream

    def stream(self) -> Stream:
        """A stream that no task reads or writes yet."""
        stream = Stream(self._ids.make())
        self.streams.append(stream)
        return stream

    @property
    def manifest(self) -> Manifest:
        """All of it.  What is made afterwards is not in it."""
        if self._manifest is None:
            self._manifest = Manifest(
                self._ids.make(),
                "",
                (),
                tuple(self.streams),
                tuple(self.tasks),
                self._task_event,
                self._stream_event,
            )
        return self._manifest

    def changed(self, **changes: Any) -> Manifest:
        """The manifest with other fields, and the same handlers."""
        return replace(self.manifest, **changes)

    def register(self) -> "Work":
        """Hand the manifest to the runner."""
        self.runner.register_manifest(self.manifest)
        return self

    def unregister(self) -> None:
        """Take it out again."""
        self.runner.unregister_manifest(self.manifest)

    def start(self, *tasks: Task) -> None:
        """Start some tasks with one call, all of them if none is named."""
        self.runner.start(tasks or self.tasks)

    def cancel(self, *tasks: Task) -> None:
        """Cancel some tasks with one call, all of them if none is named."""
        self.runner.cancel(tasks or self.tasks)

    def listen(self, task: Task, room: int = MANY) -> Writer:
        """Read the task's only stream here."""
        [stream] = task.sink_streams()
        writer = Writer(room)
        self.runner.listen(stream, writer)
        return writer

    # What was reported.

    def states(self, subject: Task | Stream) -> list[State]:
        """The states reported of a task or stream, in the order in which they came."""
        return [report.state for report in list(self.reports) if report.subject is subject]

    def ends(self, task: Task) -> list[State]:
        """The terminal states reported of a task."""
        return [s for s in self.states(task) if isinstance(s, TaskState) and s.terminal]

    def closes(self, stream: Stream) -> int:
        """How often the end of a stream was reported."""
        return self.states(stream).count(StreamState.CLOSED)

    def over(self, *tasks: Task) -> bool:
        """Whether these tasks, or all, have ended and all of their sinks are closed."""
        return all(
            self.ends(task) and all(self.closes(stream) for stream in task.sink_streams())
            for task in tasks or self.tasks
        )

    def running(self, task: Task) -> bool:
        """Whether the task was reported Running."""
        return TaskState.RUNNING in self.states(task)

    def place(self, subject: Task | Stream, state: State) -> int:
        """Where a report stands among all, the first of them; -1 if it has not come."""
        reports = list(self.reports)
        wanted = Report(subject, state)
        return reports.index(wanted) if wanted in reports else -1

    def story(self) -> str:
        """All that was reported, for messages: ``t0 Pending, s1 Open``."""
        return (
            ", ".join(f"{self.name(r.subject)} {r.state}" for r in list(self.reports)) or "nothing"
        )

    def name(self, subject: Task | Stream) -> str:
        """``t0`` is the first task of the manifest, ``s0`` its first stream."""
        if isinstance(subject, Task):
            return f"t{self.tasks.index(subject)}" if subject in self.tasks else str(subject)
        return f"s{self.streams.index(subject)}" if subject in self.streams else str(subject)

    # What tests ask.

    def expect_ends(self, ends: dict[Task, TaskState], sentence: str) -> None:
        """These tasks ended once each, like this, and each of their sinks closed once."""
        for task, state in ends.items():
            self.expect(self.ends(task) == [state], f"{self.name(task)} {state} once", sentence)
            for stream in task.sink_streams():
                once = f"{self.name(stream)} Closed once"
                self.expect(self.closes(stream) == 1, once, sentence)

    def expect(self, holds: bool, wanted: str, sentence: str) -> None:
        """Something holds of what was reported.  Raises ContractBroken."""
        expect(holds, sentence, got=self.story(), wanted=wanted)

    def expect_silence(self, since: int, sentence: str) -> None:
        """Nothing was reported after the first `since` reports."""
        self.expect(len(self.reports) == since, f"{since} reports and no more", sentence)

    def expect_no_raise(self) -> None:
        """What `react` called did not raise."""
        sentence = "a handler may call the Runner"
        expect(not self.raised, sentence, got=self.raised, wanted="no exception")

    def every_stream(self) -> Iterator[Stream]:
        """The streams of the manifest."""
        yield from self.manifest.streams

    def _task_event(self, task: Task, status: TaskStatus) -> None:
        self._note(Report(task, status.state))

    def _stream_event(self, stream: Stream, state: StreamState) -> None:
        self._note(Report(stream, state))

    def _note(self, report: Report) -> None:
        self.reports.append(report)
        try:
            self.react(report)
        except Exception as error:  # noqa: BLE001 - a handler never raises: the test asks for it
            self.raised.append(error)
