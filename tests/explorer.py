"""Every schedule of a small workflow, one after the other, to see whether one of them hangs.

An abstract executor: what tasks compute is left out, what makes them wait is kept.

- A task waits for a token of its lane, then runs, then is over; it keeps its token until then.
  Tokens go out at once, in the order of the manifest.
- A running task offers a record (it goes on when every one of its readers has taken it), or is
  committed to one of the nodes that read from other tasks, until a record comes or every task
  behind that node is over.  A record is taken only by a reader committed to the node it is for.
- A task with a record in hand passes it on or drops it, and chooses its next node.  A task that
  drains (each way to the top of its fragment passes a breaker) passes nothing on before all of
  its nodes have ended.  A task with a scan may offer any number of records.
- The shards of one branch read their nodes to the end, one after the other, in one order.  Every
  other task chooses freely each time.

This is the measure of `workflow.limits` and shares no code with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import Final

from workflow.plan import ScanSet
from workflow.task import Task, TaskGraph

__all__ = ["Hang", "Undecided", "find_hang"]

# What a task is doing.  Above ENDING: committed to node ``mode - ENDING - 1``.  Below WAITING:
# offers a record, and ``-mode`` is the bit mask of the streams not served yet.
WAITING: Final = 0
OVER: Final = 1
CHOOSING: Final = 2
RECEIVED: Final = 3  # choosing, with a record in hand
ENDING: Final = 4

State = tuple[int, ...]


class Undecided(Exception):
    """More states than the budget allows, and no hang among those seen."""


@dataclass(frozen=True, slots=True)
class Hang:
    """A schedule after which nothing can happen although tasks are left."""

    steps: tuple[str, ...]
    stuck: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join((*self.steps, "hang: " + ", ".join(self.stuck)))


@dataclass(slots=True)
class _Agent:
    """A task, with numbers for everything it refers to."""

    lane: int
    drains: bool
    scans: bool  # has records of its own
    gives: bool  # can have records at all
    nodes: list[list[int]] = field(default_factory=list)  # the writers behind each node
    sinks: list[tuple[int, int]] = field(default_factory=list)  # reader, and its node
    order: tuple[int, ...] | None = None  # of nodes, for one of many shards


def find_hang(
    tasks: TaskGraph, *, scan: int = 0, other: int = 0, budget: int = 400_000
) -> Hang | None:
    """A schedule that hangs, or None if none does.  Raises Undecided beyond `budget` states."""
    order = list(tasks.preorder())
    agents = _agents(order)
    limits = (scan or len(order), other or len(order))
    branches = _branches(tasks, order)
    left = budget
    for orders in product(*(permutations(range(len(agents[b[0]].nodes))) for b in branches)):
        for branch, chosen in zip(branches, orders, strict=True):
            for index in branch:
                agents[index].order = chosen
        hang, seen = _Explorer(agents, limits, left).run()
        if hang:
            return hang
        left -= seen
    return None


def _agents(order: list[Task]) -> list[_Agent]:
    number = {task: index for index, task in enumerate(order)}
    agents = []
    for task in order:
        scans = any(node.scan or isinstance(node, ScanSet) for node in task.fragment)
        lane = 0 if task.lane == "scan" else 1
        agents.append(_Agent(lane, not _may_pass(task), scans, scans))
    reader = {s: (t, n) for t in order for n, streams in t.sources.items() for s in streams}
    for task in order:
        agent = agents[number[task]]
        for stream in task.sink_streams():
            if stream in reader:  # else it is the results stream
                parent, node = reader[stream]
                agent.sinks.append((number[parent], list(parent.sources).index(node)))
        agent.nodes = [[] for _ in task.sources]
    for index, agent in enumerate(agents):
        for parent_index, node_index in agent.sinks:
            behind = agents[parent_index].nodes[node_index]
            if index not in behind:
                behind.append(index)
    for _ in agents:  # as many rounds as the deepest chain could need
        for agent in agents:
            agent.gives |= any(agents[writer].gives for node in agent.nodes for writer in node)
    return agents


def _may_pass(task: Task) -> bool:
    """Whether some way from what the task reads to its top meets no breaker."""
    fragment = task.fragment
    open_ways = [
        node
        for node in fragment
        if (node in task.sources or node.scan or isinstance(node, ScanSet)) and not node.breaker
    ]
    for node in open_ways:  # grows while it is walked
        parents = fragment.parents(node)
        if not parents:
            return True
        open_ways += [p for p in parents if not p.breaker and p not in open_ways]
    return False


def _branches(tasks: TaskGraph, order: list[Task]) -> list[list[int]]:
    """The shards of each branch whose children have several of them as parents."""
    found: dict[tuple[Task, ...], list[int]] = {}
    for index, task in enumerate(order):
        children = tuple(tasks.children(task))
        if any(len(tasks.parents(child)) > 1 for child in children):
            found.setdefault(children, []).append(index)
    return list(found.values())


class _Explorer:
    def __init__(self, agents: list[_Agent], limits: tuple[int, int], budget: int) -> None:
        self.agents = agents
        self.limits = limits
        self.budget = budget

    def run(self) -> tuple[Hang | None, int]:
        """A hang, if there is one, and the number of states seen."""
        came_from: dict[State, tuple[State | None, str]] = {}
        stack: list[State] = []
        for state in self._settled([WAITING] * len(self.agents)):
            came_from[state] = (None, "")
            stack.append(state)
        while stack:
            state = stack.pop()
            moves = False
            for step, new in self._steps(state):
                moves = True
                if new not in came_from:
                    came_from[new] = (state, step)
                    stack.append(new)
            if not moves and any(mode != OVER for mode in state):
                return self._hang(state, came_from), len(came_from)
            if len(came_from) > self.budget:
                raise Undecided(f"more than {self.budget} states")
        return None, len(came_from)

    def _steps(self, state: State) -> Iterator[tuple[str, State]]:
        for index, mode in enumerate(state):
            if mode == ENDING:
                modes = list(state)
                modes[index] = OVER
                for new in self._settled(modes):
                    yield f"T{index + 1} ends", new
            elif mode < WAITING:
                for bit, (reader, node) in enumerate(self.agents[index].sinks):
                    if -mode & 1 << bit and state[reader] == ENDING + 1 + node:
                        modes = list(state)
                        left = -mode & ~(1 << bit)
                        modes[index] = -left if left else CHOOSING
                        modes[reader] = RECEIVED
                        for new in self._settled(modes):
                            yield f"T{reader + 1} takes a record of T{index + 1}", new

    def _settled(self, modes: list[int]) -> Iterator[State]:
        """Hand out tokens, and let every task choose that has to.

        To choose at once loses no schedule: what a task could choose later it may choose now,
        and wait.  That is why ending takes two steps.
        """
        for lane, limit in enumerate(self.limits):
            free = limit
            for agent, mode in zip(self.agents, modes, strict=True):
                free -= agent.lane == lane and mode not in (WAITING, OVER)
            for index, agent in enumerate(self.agents):
                if agent.lane == lane and modes[index] == WAITING and free > 0:
                    modes[index] = CHOOSING
                    free -= 1
        yield from product(*(self._options(i, mode, modes) for i, mode in enumerate(modes)))

    def _options(self, index: int, mode: int, modes: list[int]) -> tuple[int, ...]:
        agent = self.agents[index]
        if mode > ENDING and all(modes[w] == OVER for w in agent.nodes[mode - ENDING - 1]):
            mode = CHOOSING
        if mode not in (CHOOSING, RECEIVED):
            return (mode,)
        order = agent.order or range(len(agent.nodes))
        still = [n for n in order if any(modes[w] != OVER for w in agent.nodes[n])]
        offers = agent.scans and not agent.drains
        if not still:
            options = [ENDING]
            offers = offers or (agent.gives and agent.drains)
        elif agent.order is not None:
            options = [ENDING + 1 + still[0]]
        else:
            options = [ENDING + 1 + node for node in still]
        if agent.sinks and (offers or (mode == RECEIVED and not agent.drains)):
            options.append(-((1 << len(agent.sinks)) - 1))
        return tuple(options)

    def _hang(self, state: State, came_from: dict[State, tuple[State | None, str]]) -> Hang:
        steps = []
        at: State | None = state
        while at is not None:
            at, step = came_from[at]
            steps.append(step)
        stuck = []
        for index, mode in enumerate(state):
            if mode == WAITING:
                stuck.append(f"T{index + 1} waits for a token")
            elif mode < WAITING:
                stuck.append(f"T{index + 1} offers a record")
            elif mode > ENDING:
                stuck.append(f"T{index + 1} reads its node {mode - ENDING}")
        return Hang(tuple(reversed(steps[:-1])), tuple(stuck))
