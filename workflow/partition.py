"""A plan becomes a graph of tasks joined by streams (semantics 3).

A plan is cut below every node that needs all of its input first, and below Parallelize, whose
branch becomes one task for each target of the scan set in it.  What crosses a cut becomes a
stream, one for each edge and shard.

Sibling nodes are visited last first, as the reference's stack does: the order of sources, tasks
and streams follows from it, and the reference's printed workflows with it.

>>> from workflow.plan import DataObjScan, TopK, VectorAggregation
>>> plan = Plan()
>>> nodes = [plan.add(node) for node in (VectorAggregation(), TopK(), DataObjScan())]
>>> plan.add_edge(nodes[0], nodes[1]); plan.add_edge(nodes[1], nodes[2])
>>> [(task.lane, len(task.fragment)) for task in partition(plan).preorder()]
[('other', 1), ('scan', 2)]
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from workflow.identifiers import Identifiers
from workflow.plan import (
    Batching,
    DataObjScan,
    Node,
    Parallelize,
    Plan,
    PlanError,
    PointersScan,
    ScanSet,
)
from workflow.stream import Stream
from workflow.task import Task, TaskGraph
from workflow.times import TimeRange

__all__ = ["attach_results", "partition"]


def partition(plan: Plan, *, tenant: str = "", ids: Identifiers | None = None) -> TaskGraph:
    """Cut `plan` into tasks; the plan itself stays as it is.

    Time and memory are linear in the plan and the streams made.  Raises RootError
    (``no-root``, ``many-roots``), CycleError, or PlanError (``parallelize-arity``,
    ``two-shardable``), each naming the node.

    The graph usually has one root; a scan set without targets beside a nested Parallelize
    leaves more, which `attach_results` refuses.
    """
    return _Partitioner(plan, tenant, ids or Identifiers()).run()


def attach_results(tasks: TaskGraph, *, tenant: str = "", ids: Identifiers) -> Stream:
    """Give the root task the stream whose reader is the workflow.  Raises RootError."""
    root = tasks.root()
    results = Stream(ids.make(), tenant)
    _add_sink(root, results)
    return results


def _add_sink(task: Task, stream: Stream) -> None:
    root = next(iter(task.sinks), None) or task.fragment.root()
    task.sinks.setdefault(root, []).append(stream)


# A step asks for the tasks of a child and is sent them, so that no plan is too deep to recurse.
_Step = Generator["_Step", list[Task], list[Task]]


class _Partitioner:
    def __init__(self, plan: Plan, tenant: str, ids: Identifiers) -> None:
        self.plan = plan
        self.tenant = tenant
        self.ids = ids
        self.tasks = TaskGraph()
        self.writers: dict[Stream, Task] = {}
        self.batch_size = 0

    def run(self) -> TaskGraph:
        self.plan.check_acyclic()
        start = self.plan.root()
        if isinstance(start, Batching):
            self.batch_size = start.batch_size
            children = self.plan.children(start)
            if len(children) == 1:
                start = children[0]
        stack: list[_Step] = [self._cut(start, split=True)]
        answer: list[Task] | None = None
        while stack:
            try:
                stack.append(stack[-1].send(answer) if answer is not None else next(stack[-1]))
                answer = None
            except StopIteration as done:
                stack.pop()
                answer = done.value
        return self.tasks

    def _cut(self, start: Node, *, split: bool) -> _Step:
        """One fragment from `start` down to the next cuts; gives its one task."""
        plan = self.plan
        fragment = Plan()
        fragment.ids = plan.ids
        fragment.add(start)
        sources: dict[Node, list[Stream]] = {}
        below: dict[Node, list[Task]] = {}  # what is cut off at a node, once for each fragment
        below_range = TimeRange()
        visited: dict[Node, None] = {}
        stack = [start]
        while stack:
            node = stack.pop()
            if node in visited:
                continue
            visited[node] = None
            for child in plan.children(node):
                if isinstance(child, Parallelize) or (split and child.breaker):
                    if child not in below:
                        below[child] = yield (
                            self._expand(child)
                            if isinstance(child, Parallelize)
                            else self._cut(child, split=True)
                        )
                    for task in below[child]:
                        sources.setdefault(node, []).append(self._connect(task, self.tenant))
                        below_range = below_range.merge(task.max_time_range)
                else:
                    fragment.add(child)
                    fragment.add_edge(node, child)
                    stack.append(child)

        own_range = fragment.max_time_range()
        if self.batch_size > 0:
            wrapper = fragment.add(Batching(batch_size=self.batch_size))
            fragment.add_edge(wrapper, start)
        task = Task(
            self.ids.make(),
            self.tenant,
            fragment,
            sources,
            max_time_range=below_range if own_range.is_zero else own_range,
            lane="scan" if any(node.scan for node in fragment) else "other",
        )
        self.tasks.add(task)
        for tasks in below.values():
            for child_task in tasks:
                self.tasks.add_edge(task, child_task)
        return [task]

    def _connect(self, writer: Task, tenant: str) -> Stream:
        stream = Stream(self.ids.make(), tenant)
        _add_sink(writer, stream)
        self.writers[stream] = writer
        return stream

    def _expand(self, node: Parallelize) -> _Step:
        """One task for each shard of the branch below `node`, or one if nothing shards."""
        children = self.plan.children(node)
        if len(children) != 1:
            raise PlanError(
                "parallelize-arity",
                self.plan.name(node),
                f"got {len(children)} children, expected 1",
            )
        [template] = yield self._cut(children[0], split=False)
        fragment = template.fragment
        shardable = [
            each
            for each in fragment.walk(children[0])
            if isinstance(each, ScanSet) and not fragment.children(each)
        ]
        if not shardable:
            return [template]
        if len(shardable) > 1:
            names = " and ".join(self.plan.name(each) for each in shardable[:2])
            raise PlanError(
                "two-shardable",
                self.plan.name(node),
                f"got {len(shardable)} scan sets in one branch ({names}), expected at most 1",
            )
        return self._shard(template, shardable[0])

    def _shard(self, template: Task, leaf: ScanSet) -> list[Task]:
        children = self.tasks.children(template)
        shards = []
        for target in leaf.targets:
            fragment = template.fragment.clone()
            fragment.inject(leaf, _shard_node(leaf, target))
            fragment.eliminate(leaf)
            # The reference gives these streams no tenant (semantics 3.6).
            sources = {
                node: [self._connect(self.writers[stream], "") for stream in streams]
                for node, streams in template.sources.items()
            }
            shard = Task(
                self.ids.make(),
                self.tenant,
                fragment,
                sources,
                max_time_range=fragment.max_time_range(),
                lane="scan",
            )
            self.tasks.add(shard)
            for child in children:
                self.tasks.add_edge(shard, child)
            shards.append(shard)

        replaced = dict.fromkeys(template.source_streams())
        for child in children:
            for node, streams in child.sinks.items():
                child.sinks[node] = [stream for stream in streams if stream not in replaced]
        self.tasks.eliminate(template)
        return shards


def _shard_node(leaf: ScanSet, target: DataObjScan | PointersScan) -> Node:
    if isinstance(target, PointersScan):
        return replace(target)  # a node of its own, even if two targets are one object
    changes: dict[str, Any] = {
        "projections": leaf.projections + target.projections,
        "predicates": leaf.predicates + target.predicates,
    }
    return replace(target, **changes)
