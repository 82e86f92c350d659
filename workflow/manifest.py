"""What a Runner is given: the tasks and streams of one workflow, and whom to tell about them."""

from collections.abc import Callable
from dataclasses import dataclass

from ulid import ULID

from workflow.stream import Stream, StreamState
from workflow.task import Task, TaskStatus

__all__ = ["Manifest", "StreamEventHandler", "TaskEventHandler"]

TaskEventHandler = Callable[[Task, TaskStatus], None]
StreamEventHandler = Callable[[Stream, StreamState], None]


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """Tasks and streams that live and end together.

    The handlers may be called from any thread, in any order, and from inside a call of the
    Runner; they return at once and never raise.
    """

    id: ULID
    tenant: str
    actor: tuple[str, ...]
    streams: tuple[Stream, ...]
    tasks: tuple[Task, ...]
    task_event_handler: TaskEventHandler
    stream_event_handler: StreamEventHandler
