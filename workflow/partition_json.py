"""A partitioned plan as JSON: tasks in the manifest's order, streams as task indices.

``sources`` and ``sinks`` name the tasks at the other end, ``plan_ids[i]`` the plan's node that
fragment node i is (null for a shard or an added Batching), and ``workflow_text`` is the printed
workflow with each identifier replaced by ``<k>``, k counting first appearances.
"""

import re
from dataclasses import dataclass
from typing import Any

from workflow.plan import Node, Plan
from workflow.plan_json import graph_to_json
from workflow.printing import sprint
from workflow.stream import Stream
from workflow.task import Task, TaskGraph
from workflow.times import Timestamp

__all__ = ["partition_to_json"]

_ULID = re.compile(
    r"(?<=^┌ Task )[0-9A-HJKMNP-TV-Z]{26}$|(?<= stream=)[0-9A-HJKMNP-TV-Z]{26}$", re.MULTILINE
)


def partition_to_json(tasks: TaskGraph, plan: Plan) -> dict[str, Any]:
    """The keys ``tasks``, ``streams`` (a count, the results stream included) and
    ``workflow_text`` for the tasks that `plan` was cut into."""
    order = {task: index for index, task in enumerate(tasks.preorder())}
    names = _Names(
        plan_ids=plan.ids or {node: index for index, node in enumerate(plan.preorder())},
        order=order,
        writers={stream: order[task] for task in order for stream in task.sink_streams()},
        readers={stream: order[task] for task in order for stream in task.source_streams()},
    )
    seen: dict[str, int] = {}
    return {
        "streams": len(names.writers),
        "tasks": [
            {**_task(task, names), "children": [order[child] for child in tasks.children(task)]}
            for task in order
        ],
        "workflow_text": _ULID.sub(
            lambda match: f"<{seen.setdefault(match[0], len(seen))}>", sprint(tasks)
        ),
    }


@dataclass(frozen=True, slots=True)
class _Names:
    plan_ids: dict[Node, int]
    order: dict[Task, int]
    writers: dict[Stream, int]
    readers: dict[Stream, int]


def _task(task: Task, names: _Names) -> dict[str, Any]:
    fragment = task.fragment
    numbers = {node: index for index, node in enumerate(fragment.preorder())}
    bounds = task.max_time_range
    return {
        "admission_lane": task.lane,
        "fragment": {
            **graph_to_json(fragment, numbers),
            "plan_ids": [names.plan_ids.get(node) for node in numbers],
        },
        "max_time_range": [_instant(bounds.start), _instant(bounds.end)],
        "sinks": [
            {
                "node": numbers[node],
                "to_tasks": [names.readers.get(stream, "results") for stream in streams],
            }
            for node, streams in task.sinks.items()
            if streams
        ],
        "sources": [
            {"from_tasks": [names.writers[stream] for stream in streams], "node": numbers[node]}
            for node, streams in sorted(task.sources.items(), key=lambda entry: numbers[entry[0]])
        ],
    }


def _instant(value: Timestamp | None) -> str | None:
    return None if value is None else str(value)
