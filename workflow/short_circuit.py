"""Which children a task can still use, once it has said which times matter to it.

A task may report that only rows above (or below) an instant can still change its output.  A
child whose rows all lie elsewhere is not needed by that parent any more.  What a child can give
is judged by *true* ranges, not by the printed ones, which understate some plans (hazards P5,
W11): a bound that is not known excludes nothing.
"""

from dataclasses import dataclass

from workflow.plan import DataObjScan, Node, PointersScan, RangeAggregation, ScanSet
from workflow.task import ContributingTimeRange, Task, TaskGraph
from workflow.times import TimeRange, Timestamp

__all__ = ["Needs", "Reach", "true_ranges"]


@dataclass(frozen=True, slots=True)
class Reach:
    """The times that rows may carry, both ends inclusive; None: no bound is known."""

    start: Timestamp | None
    end: Timestamp | None

    def union(self, other: "Reach") -> "Reach":
        """What either of the two may carry."""
        return Reach(
            None if self.start is None or other.start is None else min(self.start, other.start),
            None if self.end is None or other.end is None else max(self.end, other.end),
        )


def true_ranges(tasks: TaskGraph) -> dict[Task, Reach | None]:
    """For each task the times of the rows that it can give; None for one that gives no rows."""
    writers = {stream: task for task in tasks for stream in task.sink_streams()}
    reach: dict[Task, Reach | None] = {}
    for task in tasks.walk(*tasks.roots(), order="post"):
        fragment = task.fragment
        of_node: dict[Node, Reach | None] = {}
        for node in fragment.walk(*fragment.roots(), order="post"):
            total = _own_reach(node)
            # The rows of a range aggregation carry its windows' ends, whatever it reads.
            if not isinstance(node, RangeAggregation):
                for child in fragment.children(node):
                    total = _union(total, of_node[child])
                for stream in task.sources.get(node, ()):
                    total = _union(total, reach[writers[stream]])
            of_node[node] = total
        reach[task] = of_node[fragment.root()]
    return reach


def _own_reach(node: Node) -> Reach | None:
    if isinstance(node, RangeAggregation):
        return Reach(node.start, node.end)
    if isinstance(node, DataObjScan | PointersScan):
        return _reach(node.max_time_range)
    if isinstance(node, ScanSet):
        total = None
        for target in node.targets:
            total = _union(total, _reach(target.max_time_range))
        return total
    return None


def _reach(time_range: TimeRange) -> Reach:
    return Reach(time_range.start, time_range.end)


def _union(one: Reach | None, other: Reach | None) -> Reach | None:
    if one is None or other is None:
        return one or other
    return one.union(other)


class Needs:
    """Who still needs whom: a child is needed while one of its parents is."""

    def __init__(self, tasks: TaskGraph) -> None:
        self._tasks = tasks
        self._reach = true_ranges(tasks)
        self._readers = {task: len(tasks.parents(task)) for task in tasks}
        self._dropped: dict[Task, dict[Task, None]] = {}
        self._sorted: dict[tuple[Task, bool], list[tuple[int, int, Task]]] = {}

    def end(self, parent: Task) -> list[Task]:
        """`parent` is over.  Gives its children that nobody needs now, in their order."""
        dropped = self._dropped.get(parent, {})
        children = [child for child in self._tasks.children(parent) if child not in dropped]
        return self._drop(parent, children)

    def narrow(self, parent: Task, range_: ContributingTimeRange) -> list[Task]:
        """`parent` has reported.  Gives its children that nobody needs now, in their order."""
        less = range_.less_than
        bound = range_.timestamp.ns
        waiting = self._by_bound(parent, less)
        excluded = []
        # Bounds nearest to exclusion stand last, so a report costs what it excludes.
        while waiting and (waiting[-1][0] >= bound if less else waiting[-1][0] <= bound):
            excluded.append(waiting.pop())
        excluded.sort(key=lambda entry: entry[1])
        dropped = self._dropped.setdefault(parent, {})
        return self._drop(parent, [task for _, _, task in excluded if task not in dropped])

    def _by_bound(self, parent: Task, less: bool) -> list[tuple[int, int, Task]]:
        key = (parent, less)
        if key not in self._sorted:
            bounds = []
            for index, child in enumerate(self._tasks.children(parent)):
                reach = self._reach[child]
                if reach is None:
                    continue
                bound = reach.start if less else reach.end
                if bound is not None:
                    bounds.append((bound.ns, index, child))
            bounds.sort(key=lambda entry: entry[0], reverse=not less)
            self._sorted[key] = bounds
        return self._sorted[key]

    def _drop(self, parent: Task, children: list[Task]) -> list[Task]:
        self._dropped.setdefault(parent, {}).update(dict.fromkeys(children))
        unneeded = []
        for child in children:
            self._readers[child] -= 1
            if not self._readers[child]:
                unneeded.append(child)
        return unneeded
