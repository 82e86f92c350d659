"""A workflow as the text that the reference prints (semantics 9)."""

from collections.abc import Iterator
from typing import Protocol, TextIO

from workflow.plan import Node
from workflow.plan_text import node_trees
from workflow.task import Task, TaskGraph
from workflow.tree import Tree, render_lines

__all__ = ["fprint", "sprint"]


class HasTasks(Protocol):
    """A Workflow, seen from here."""

    tasks: TaskGraph


def sprint(workflow: HasTasks | TaskGraph) -> str:
    """All tasks, parents first, each with its range and its fragment."""
    return "".join(line + "\n" for line in _lines(workflow))


def fprint(out: TextIO, workflow: HasTasks | TaskGraph) -> None:
    """Write what `sprint` returns, line by line."""
    out.writelines(line + "\n" for line in _lines(workflow))


def _lines(workflow: HasTasks | TaskGraph) -> Iterator[str]:
    tasks = workflow if isinstance(workflow, TaskGraph) else workflow.tasks
    for task in tasks.preorder():
        yield from _task_lines(task)


def _task_lines(task: Task) -> Iterator[str]:
    yield f"┌ Task {task.id}"
    yield f"│ @max_time_range {task.max_time_range}"
    yield "│"
    comments: dict[Node, list[Tree]] = {}
    for name, by_node in (("@source", task.sources), ("@sink", task.sinks)):
        for node, streams in by_node.items():
            comments.setdefault(node, []).extend(
                Tree(name, (("stream", str(stream.id)),)) for stream in streams
            )
    for tree in node_trees(task.fragment, comments):
        for line in render_lines(tree):
            yield f"│ {line}"
    yield "└"
