"""A task: one fragment of a plan, run by one worker, and the states it goes through."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from ulid import ULID

from workflow.capture import Capture, Statistics
from workflow.graph import Graph
from workflow.plan import Node, Plan
from workflow.stream import Stream
from workflow.times import TimeRange, Timestamp

__all__ = [
    "ContributingTimeRange",
    "Lane",
    "Task",
    "TaskGraph",
    "TaskState",
    "TaskStatus",
]

Lane = Literal["other", "scan"]


class TaskState(IntEnum):
    """Where a task stands.  Numbers as in the reference (semantics 1.7)."""

    CREATED = 0
    PENDING = 1
    RUNNING = 2
    COMPLETED = 3
    CANCELLED = 4
    FAILED = 5

    @property
    def terminal(self) -> bool:
        """Whether a task in this state is over."""
        return self >= TaskState.COMPLETED

    def __str__(self) -> str:
        return self.name.capitalize()


@dataclass(frozen=True, slots=True)
class ContributingTimeRange:
    """Which of its input can still change what a task gives.

    With `less_than` only data strictly below `timestamp` can, else only data strictly above.
    """

    timestamp: Timestamp
    less_than: bool


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What a Runner reports of a task."""

    state: TaskState
    error: Exception | None = None  # with Failed; may be absent even then
    capture: Capture | None = None  # with a terminal state
    statistics: Statistics | None = None  # with a terminal state
    contributing_time_range: ContributingTimeRange | None = None  # with Running


@dataclass(slots=True, eq=False)
class Task:
    """One fragment and the streams at its border.  Told apart by identity.

    ``sources`` has the streams that a node of the fragment reads across the border, in the order
    in which partitioning met the nodes; ``sinks`` those that the fragment's root writes.
    """

    id: ULID
    tenant: str
    fragment: Plan
    sources: dict[Node, list[Stream]] = field(default_factory=dict)
    sinks: dict[Node, list[Stream]] = field(default_factory=dict)
    max_time_range: TimeRange = TimeRange()
    lane: Lane = "other"  # scan: the fragment reads storage

    def source_streams(self) -> Iterator[Stream]:
        """Every stream that the task reads, node after node."""
        for streams in self.sources.values():
            yield from streams

    def sink_streams(self) -> Iterator[Stream]:
        """Every stream that the task writes."""
        for streams in self.sinks.values():
            yield from streams

    def __str__(self) -> str:
        return f"task {self.id}"


class TaskGraph(Graph[Task]):
    """The tasks of a workflow; an edge leads from a task to one that it reads from."""
