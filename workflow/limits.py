"""Can a workflow hang, whatever its Runner does?  Refused before it starts, if so.

Two things make a workflow hang that has no fault in it.

*Diamonds.* A task that writes two streams of one reader (hazard P3), or a node with remote
input that two nodes of its fragment read (P2), needs both readers to take each record, while the
reader may want to finish one side first.  No limit helps: `check_diamonds` refuses the plan.

*Limits.* A task holds its token until it is over.  It is not over before its children are, and
its children hold tokens while they wait for it to read.  `smallest_limits` gives for each lane
the smallest number of tokens with which no schedule hangs.

The model behind the numbers: a stream holds one batch until its reader takes it.  A task reads
from all streams of a node as they come, but chooses freely which of its nodes to read next, the
same way in all shards of one branch.  A task whose fragment has a breaker at its root gives
nothing before all of its input has ended; any other may give records at once.  Tokens go out in
the order of the manifest.

How the number comes about: take a task x that waits for a token, the first in the manifest that
does, and let everything behind it in its lane wait too.  Count the tokens of those before it
that can all be stuck until x or one behind it runs.  One more than the largest count suffices,
and with fewer the tokens run out in front of that x.  Everything before x lies on the way down
to x or to the left of it, so the count is a sum along the way, and one walk gives the largest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from workflow.plan import Batching, Node, PlanError, ScanSet
from workflow.task import Lane, Task, TaskGraph

__all__ = ["LimitTooSmall", "SmallestLimits", "check_diamonds", "smallest_limits"]


class LimitTooSmall(ValueError):
    """A limit with which some schedule hangs; ``smallest`` is the smallest that works."""

    def __init__(self, option: str, limit: int, smallest: int) -> None:
        super().__init__(option, limit, smallest)
        self.option = option
        self.limit = limit
        self.smallest = smallest

    def __str__(self) -> str:
        return (
            f"{self.option}: got {self.limit}, with which this plan can hang: tasks would hold"
            f" every token while they wait for a task that needs one; expected at least"
            f" {self.smallest}, or 0 for no limit"
        )


@dataclass(frozen=True, slots=True)
class SmallestLimits:
    """The smallest number of tokens of each lane with which no schedule hangs."""

    scan: int
    other: int


def check_diamonds(tasks: TaskGraph) -> None:
    """Raises PlanError (``diamond``) for a plan in which a reader can block itself."""
    reader_of = {
        stream: (reader, node)
        for reader in tasks
        for node, streams in reader.sources.items()
        for stream in streams
    }
    for task in tasks:
        ways: dict[Task, list[Node]] = {}
        for stream in task.sink_streams():
            if stream in reader_of:  # else it is the results stream
                reader, node = reader_of[stream]
                ways.setdefault(reader, []).append(node)
        for reader, nodes in ways.items():
            if len(nodes) > 1:
                raise PlanError(
                    "diamond",
                    task.fragment.name(_top(task)),
                    f"got {len(nodes)} ways for its rows into one task, through"
                    f" {' and '.join(reader.fragment.name(node) for node in nodes)}; expected one,"
                    " since the reader may wait for the end of one way while the other is full",
                )
        paths = _paths(task)
        for node in task.sources:
            if paths[node] > 1:
                raise PlanError(
                    "diamond",
                    task.fragment.name(node),
                    "got two ways from it to the top of its task while it reads from another"
                    " task; expected one, since the task may wait for the end of one way while"
                    " the other is full",
                )


def _paths(task: Task) -> dict[Node, int]:
    """How many ways lead from the fragment's root to each node; 2 stands for more."""
    fragment = task.fragment
    paths = dict.fromkeys(fragment, 0)
    order = list(fragment.walk(fragment.root(), order="post"))
    paths[order[-1]] = 1
    for node in reversed(order):
        for child in fragment.children(node):
            paths[child] = min(2, paths[child] + paths[node])
    return paths


def smallest_limits(tasks: TaskGraph, *, both: bool) -> SmallestLimits:
    """The smallest limits for tasks that `check_diamonds` lets pass; linear in the graph.

    Each number is exact while the other lane is unlimited.  With `both` lanes limited the two
    numbers together suffice whatever the plan, and one of them may be larger than needed where

    - a task reads from several nodes, or
    - a task of the other lane stands below the shards of a branch:

    then what one lane needs depends on the limit of the other, and the count takes the other
    lane's tasks for stuck.  For all other plans both pairs of numbers are the same.
    (A limit that is not below the number of tasks of its lane is as good as none.)

    Raises RootError for a graph without a single root.
    """
    top = _groups(tasks)
    return SmallestLimits(
        scan=_smallest(top, "scan", both=both), other=_smallest(top, "other", both=both)
    )


@dataclass(slots=True, eq=False)
class _Group:
    """Tasks that read the same children: the shards of one branch, or a task on its own.

    In the manifest the first member comes first, then everything below, then the others.
    """

    members: list[Task]
    node: Node | None = None  # where the parents read it
    below: list["_Group"] = field(default_factory=list)  # in the manifest's order
    silent: bool = False  # gives no records, so nothing holds it up
    drains: bool = False  # gives nothing before all of its input has ended
    # For the lane at hand:
    weight: int = 0  # tokens of all members
    full: int = 0  # tokens held when everything runs and the parents do not read
    size: int = 0  # tasks of the lane in it and below


def _groups(tasks: TaskGraph) -> _Group:
    group_of: dict[Task, _Group] = {}
    order = list(tasks.preorder())
    for task in order:
        if task in group_of:
            continue
        shared = next((c for c in tasks.children(task) if len(tasks.parents(c)) > 1), None)
        members = tasks.parents(shared) if shared else [task]
        group = _Group(members, drains=_drains(task))
        for member in members:
            group_of[member] = group
    for task in order:
        group = group_of[task]
        if task is not group.members[0]:
            continue
        writers = {s: node for node, streams in task.sources.items() for s in streams}
        placed: dict[_Group, None] = {}
        for child in tasks.children(task):
            below = group_of[child]
            if below not in placed:
                placed[below] = None
                below.node = next(writers[s] for s in child.sink_streams() if s in writers)
                group.below.append(below)
    top = group_of[tasks.root()]
    for group in reversed(list(_preorder(top))):
        first = group.members[0]
        group.silent = all(below.silent for below in group.below) and not any(
            node.scan or isinstance(node, ScanSet) for node in first.fragment
        )
    return top


def _top(task: Task) -> Node:
    """The fragment's root below the Batching nodes around it."""
    node = task.fragment.root()
    while isinstance(node, Batching) and len(task.fragment.children(node)) == 1:
        node = task.fragment.children(node)[0]
    return node


def _drains(task: Task) -> bool:
    """Whether everything that the task reads passes a breaker on its way out."""
    fragment = task.fragment
    stack = [fragment.root()]
    seen = dict.fromkeys(stack)
    while stack:
        node = stack.pop()
        if node.breaker:
            continue
        if node in task.sources or node.scan or isinstance(node, ScanSet):
            return False
        new = [child for child in fragment.children(node) if child not in seen]
        seen.update(dict.fromkeys(new))
        stack += new
    return True


def _preorder(top: _Group) -> Iterator[_Group]:
    stack = [top]
    while stack:
        group = stack.pop()
        yield group
        stack.extend(reversed(group.below))


_NEVER: Final = -(1 << 62)


def _smallest(top: _Group, lane: Lane, *, both: bool) -> int:
    for group in reversed(list(_preorder(top))):
        group.weight = len(group.members) if group.members[0].lane == lane else 0
        group.size = group.weight + sum(below.size for below in group.below)
        stuck_below = 0 if group.drains else sum(below.full for below in group.below)
        group.full = 0 if group.silent else group.weight + stuck_below

    worst = 0
    # For each group on the way to x: the most tokens that can be stuck further up and to the
    # left, and the most while its parents do not read it (there may be no such way).
    stack: list[tuple[_Group, int, int]] = [(top, 0, _NEVER)]
    while stack:
        group, stuck, unread = stack.pop()
        if group.weight:  # the first member as x
            worst = max(worst, stuck)
        shared = len(group.members) > 1 and not all(below.silent for below in group.below)
        if group.weight and len(group.members) > 1:  # the last member as x
            left = len(group.members) - 1
            # What is below gives its records to all members, so it is stuck without the last,
            # and the others with it.  Without such input they end one by one while they are read.
            held_below = sum(below.full for below in group.below)
            worst = max(worst, stuck + left + held_below if shared else unread + left)

        # With x below, only the first member of such a group has its token: the others stand
        # behind x.  Where only the other lane is limited they all run.
        partly = shared and (both or bool(group.weight))
        own = min(group.weight, 1)
        # The last of those below that can be stuck for want of a token behind x.
        last = max((i for i, b in enumerate(group.below) if b.size or both), default=-1)
        left_all = left_here = 0  # tokens stuck below and left of x; of these, at the same node
        before: _Group | None = None
        for index, below in enumerate(group.below):
            if before is not None and below.node is not before.node:
                left_here = 0
            most = stuck + own + left_all
            if partly:  # nobody below gets rid of a record, for a member is missing
                stack.append((below, most, most))
            else:
                # Not read, if the group waits at a later node, or offers a record to parents
                # that do not read it; what drains has no record yet.
                unread_below = max(
                    most if last > index and group.below[last].node is not below.node else _NEVER,
                    _NEVER if group.drains else unread + own + left_all,
                )
                # Read, it keeps nobody at its node from going on.
                stack.append((below, max(most - left_here, unread_below), unread_below))
            left_all += below.full
            left_here += below.full
            before = below
    return worst + 1
