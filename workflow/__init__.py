"""The engine: plans, tasks, streams, and a Workflow that drives them through a Runner.

A sans-IO state machine: no clock, no thread, no wait.  See `Workflow` for what it promises.
"""

from workflow.capture import Aggregation, Capture, Region, Statistic, Statistics
from workflow.graph import CycleError, Graph, GraphError, RootError
from workflow.identifiers import Identifiers
from workflow.limits import LimitTooSmall, SmallestLimits, smallest_limits
from workflow.manifest import Manifest, StreamEventHandler, TaskEventHandler
from workflow.partition import partition
from workflow.plan import Plan, PlanError
from workflow.plan_json import plan_from_json, plan_to_json
from workflow.plan_reader import plan_from_text
from workflow.plan_text import plan_to_text
from workflow.printing import fprint, sprint
from workflow.results import EndOfStream, Results, WriteClosed
from workflow.runner import (
    AlreadyBound,
    ManifestRefused,
    RecordWriter,
    Runner,
    RunnerError,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
)
from workflow.stream import Stream, StreamState
from workflow.task import (
    ContributingTimeRange,
    Task,
    TaskGraph,
    TaskState,
    TaskStatus,
)
from workflow.times import TimeRange, Timestamp
from workflow.workflow import (
    ForeignEvent,
    Options,
    TaskCancelled,
    TaskFailed,
    Workflow,
    WorkflowCancelled,
    WorkflowClosed,
    WorkflowMisuse,
)

__all__ = [
    "Aggregation",
    "AlreadyBound",
    "Capture",
    "ContributingTimeRange",
    "CycleError",
    "EndOfStream",
    "ForeignEvent",
    "Graph",
    "GraphError",
    "Identifiers",
    "LimitTooSmall",
    "Manifest",
    "ManifestRefused",
    "Options",
    "Plan",
    "PlanError",
    "RecordWriter",
    "Region",
    "Results",
    "RootError",
    "Runner",
    "RunnerError",
    "SmallestLimits",
    "Statistic",
    "Statistics",
    "Stream",
    "StreamEventHandler",
    "StreamState",
    "Task",
    "TaskCancelled",
    "TaskEventHandler",
    "TaskFailed",
    "TaskGraph",
    "TaskState",
    "TaskStatus",
    "TimeRange",
    "Timestamp",
    "UnknownManifest",
    "UnknownStream",
    "UnknownTask",
    "Workflow",
    "WorkflowCancelled",
    "WorkflowClosed",
    "WorkflowMisuse",
    "WriteClosed",
    "fprint",
    "partition",
    "plan_from_json",
    "plan_from_text",
    "plan_to_json",
    "plan_to_text",
    "smallest_limits",
    "sprint",
]
