"""The Runner protocol: what a Workflow asks of whatever executes its tasks.

A Runner owns the states of tasks and streams and reports each change to the handlers of their
manifest.  It may do so from any thread and also before the call that caused the change returns.
No method waits for a task: each returns once its request is noted.
Sources: semantics 6.1 (methods, errors, atomicity) and 7 (which states may follow which).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from ulid import ULID

from workflow.manifest import Manifest
from workflow.stream import Stream, StreamState
from workflow.task import Task, TaskState

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "LEGAL_STREAM_MOVES",
    "LEGAL_TASK_MOVES",
    "AlreadyBound",
    "ManifestRefused",
    "RecordWriter",
    "Runner",
    "RunnerError",
    "UnknownManifest",
    "UnknownStream",
    "UnknownTask",
    "manifest_violations",
]

# Which state may follow which (semantics 7).  Running may follow itself with another range.
LEGAL_TASK_MOVES: Final[dict[TaskState, tuple[TaskState, ...]]] = {
    TaskState.CREATED: (TaskState.PENDING, TaskState.RUNNING, TaskState.CANCELLED),
    TaskState.PENDING: (TaskState.RUNNING, TaskState.CANCELLED, TaskState.FAILED),
    TaskState.RUNNING: (
        TaskState.RUNNING,
        TaskState.COMPLETED,
        TaskState.CANCELLED,
        TaskState.FAILED,
    ),
    TaskState.COMPLETED: (),
    TaskState.CANCELLED: (),
    TaskState.FAILED: (),
}

LEGAL_STREAM_MOVES: Final[dict[StreamState, tuple[StreamState, ...]]] = {
    StreamState.IDLE: (StreamState.OPEN, StreamState.BLOCKED, StreamState.CLOSED),
    StreamState.OPEN: (StreamState.BLOCKED, StreamState.CLOSED),
    StreamState.BLOCKED: (StreamState.OPEN, StreamState.CLOSED),
    StreamState.CLOSED: (),
}


class RunnerError(Exception):
    """A Runner refused a call."""


class ManifestRefused(RunnerError):
    """A manifest breaks rules; every violation found is listed, and nothing was registered."""

    def __init__(self, violations: tuple[str, ...]) -> None:
        super().__init__(violations)
        self.violations = violations

    def __str__(self) -> str:
        return "manifest refused: " + "; ".join(self.violations)


class _Unknown(RunnerError):
    what = "items"

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__(ids)
        self.ids = ids

    def __str__(self) -> str:
        return f"unknown {self.what}: {', '.join(self.ids)}"


class UnknownManifest(_Unknown):
    """A manifest has tasks or streams that the Runner does not know; nothing was removed."""

    what = "tasks or streams of the manifest"


class UnknownTask(_Unknown):
    """Tasks that no registered manifest has."""

    what = "tasks"


class UnknownStream(_Unknown):
    """A stream that no registered manifest has."""

    what = "streams"


class AlreadyBound(RunnerError):
    """A stream has a reader already; `args` is the stream's id."""

    def __str__(self) -> str:
        return f"stream {self.args[0]} has a reader already"


class RecordWriter(Protocol):
    """Where the records of a listened stream go.  Neither method waits."""

    def offer(self, batch: "pa.RecordBatch") -> bool:
        """Take the batch if there is room, and say whether it was taken.

        Raises WriteClosed once nobody will read any more.
        """

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` once, at the next change.  Watch first, then offer."""


class Runner(Protocol):
    """Executes tasks somewhere.

    A task that ends, however it ends, closes its sinks; a stream's Closed may be reported
    before or after its task's end, but before the stream's reader learns of it.  Without that a
    task cut short by somebody else looks like one that nobody needed: its reader may have ended
    before anything of it is known here.  A task reads the streams of one node as they come, and may
    choose any order among its nodes, the same for all shards of one branch.
    """

    def register_manifest(self, manifest: Manifest) -> None:
        """Make tasks (Created) and streams (Idle) known, all or none of them; no event follows.

        Refuses, listing every violation: an id that is zero, known already or there twice; a
        source or sink whose stream is not in the manifest; a stream with two senders or two
        reading tasks.  Raises ManifestRefused.
        """

    def unregister_manifest(self, manifest: Manifest) -> None:
        """Cancel what is not over, close what is not closed, and forget all of it.

        The events of this call are delivered before it returns.  Raises UnknownManifest, and
        then nothing was removed.
        """

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """Deliver the records of `stream` to `writer`.

        Raises UnknownStream, or AlreadyBound if a task or another writer reads the stream.
        """

    def start(self, tasks: Sequence[Task]) -> None:
        """Let tasks run that are Created; the others are left alone without an error.

        Raises UnknownTask, and then none was started.
        """

    def cancel(self, tasks: Sequence[Task]) -> None:
        """Stop tasks and close their sinks; tasks that are over are left alone.

        Raises UnknownTask after cancelling those that are known.
        """


def manifest_violations(manifest: Manifest, known: Collection[ULID]) -> Iterator[str]:
    """What a Runner that knows the ids `known` has to refuse in a manifest, if anything."""
    seen: dict[ULID, None] = {}  # `known` may be large, and is not copied for each manifest
    items: tuple[Stream | Task, ...] = (*manifest.streams, *manifest.tasks)
    for item in items:
        if not int(item.id):
            yield f"{item}: got the zero id, expected another"
        if item.id in seen or item.id in known:
            yield f"{item}: got an id that is known already, expected a new one"
        seen[item.id] = None
    ours = dict.fromkeys(manifest.streams)
    ends: tuple[tuple[str, Callable[[Task], Iterator[Stream]]], ...] = (
        ("reader", Task.source_streams),
        ("sender", Task.sink_streams),
    )
    for role, streams_of in ends:
        taken: dict[Stream, Task] = {}
        for task in manifest.tasks:
            for stream in streams_of(task):
                if stream not in ours:
                    yield f"{task}: its {stream} is not in the manifest"
                if stream in taken:
                    yield f"{stream}: got {taken[stream]} and {task} as its {role}, expected one"
                taken[stream] = task
