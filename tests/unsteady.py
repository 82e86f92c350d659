"""Workflows and functions with one cause each for which a run is not a function of its seed."""

import os
import random
import sys
import time
import weakref
from typing import Any

from worlds import newest

from sim.choices import Seeded
from sim.scenario import Scenario, Workload
from sim.simulate import simulate
from workflow import Workflow
from workflow.admission import Admission
from workflow.task import Task
from workflow.trace import Event, Trace


class SetOrder(Workflow):
    """Lets tasks wait in the order of a set of texts."""

    def _begin(self, *args: Any) -> None:
        super()._begin(*args)
        by_name = {str(task.id): task for task in self.manifest.tasks}
        reorder(self.admission, [by_name[name] for name in set(by_name)])


class SetOfTasks(Workflow):
    """Lets tasks wait in the order of a set of tasks, which are told apart by identity."""

    def _begin(self, *args: Any) -> None:
        super()._begin(*args)
        reorder(self.admission, list(set(self.manifest.tasks)))


class IdOrder(Workflow):
    """Lets tasks wait in the order of their addresses."""

    def _begin(self, *args: Any) -> None:
        super()._begin(*args)
        reorder(self.admission, sorted(self.manifest.tasks, key=id))


class WallClock(Workflow):
    """Starts whichever task the clock points at."""

    def _dispatch(self) -> bool:
        waiting = [task for lane in ("other", "scan") for task in self.admission.waiting(lane)]
        if waiting:
            first = time.time_ns() // 1_000 % len(waiting)
            reorder(self.admission, waiting[first:] + waiting[:first])
        return super()._dispatch()


class Unseeded(Workflow):
    """Lets tasks wait in any order."""

    def _begin(self, *args: Any) -> None:
        super()._begin(*args)
        tasks = list(self.manifest.tasks)
        random.shuffle(tasks)
        reorder(self.admission, tasks)


class SetOrderOfCancels(Workflow):
    """Cancels tasks in the order of a set of texts."""

    def _cancel(self, tasks: Any) -> None:
        by_name = {str(task.id): task for task in tasks}
        super()._cancel(by_name[name] for name in set(by_name))


def reorder(admission: Admission, tasks: list[Task]) -> None:
    """Let those of these tasks that wait do so in this order."""
    waiting = [task for task in tasks if task in [*admission.waiting(task.lane)]]
    for task in waiting:
        admission.withdraw(task)
    admission.enqueue(waiting)


a_number = 7


def steady() -> Trace:
    """A trace that is always the same."""
    scenario = Scenario(workloads=(Workload(plan=newest(5, 6)),))
    return simulate(scenario, Seeded(3)).trace


def stamped() -> Trace:
    """An event says when it was made."""
    trace = steady()
    at = len(trace.events) // 2
    event = trace.events[at]
    details = {**event.details, "made_us": time.time_ns() // 1_000}
    trace.events[at] = Event(event.seq, event.tick, event.kind, event.subject, details)
    return trace


def shorter() -> Trace:
    """A trace that ends earlier under some hash seeds."""
    trace = steady()
    del trace.events[len(trace.events) - hash_seed() % 10 :]
    return trace


def longer() -> Trace:
    """A trace that has one event more under some hash seeds."""
    trace = steady()
    if hash_seed():
        trace.events.append(Event(len(trace.events), 0, "one more", "m0"))
    return trace


def collected() -> Trace:
    """An event says whether the garbage collector came by."""
    trace = steady()
    left: weakref.WeakSet[Ring] = weakref.WeakSet()
    for _ in range(5_000):
        ring = Ring()
        ring.next = ring
        left.add(ring)
    trace.events.append(Event(len(trace.events), 0, "rings", "m0", {"all": len(left) == 5_000}))
    return trace


class Ring:
    """Refers to itself, so that only the garbage collector can free it."""

    next: "Ring"


def far_away() -> Trace:
    """The difference stands far behind in a long event."""
    trace = steady()
    text = f"{'x' * 5_000} here: {hash_seed()} {'y' * 5_000}"
    trace.events.append(Event(len(trace.events), 0, "far", "m0", {"text": text}))
    return trace


def other_python() -> Trace:
    """A launcher of the tests says which Python this is."""
    return Trace({"python": os.environ.get("OTHER_PYTHON", "")}, steady().events)


def other_keys() -> Trace:
    """The header has a field more under some hash seeds."""
    return Trace({"more": 1} if hash_seed() else {}, steady().events)


def other_header() -> Trace:
    """The events are the same, the header is not."""
    trace = steady()
    return Trace({**trace.ran, "workers": list({"north", "south", "east", "west"})}, trace.events)


def one_or_true() -> Trace:
    """Equal for Python, and not the same trace."""
    trace = steady()
    trace.events.append(
        Event(len(trace.events), 0, "last", "m0", {"n": [True, 1][not hash_seed()]})
    )
    return trace


def crashes_sometimes() -> Trace:
    """Fails where the hash seed is not 0."""
    if hash_seed():
        raise ValueError("the hash seed\nis not to my taste")
    return steady()


def leaves() -> Trace:
    """Ends its process with success and without a trace."""
    sys.exit(0)


def killed() -> Trace:
    """Ends its process as a fault of memory would."""
    os.abort()


def no_trace() -> str:
    """Gives something else."""
    return "trace"


def chatty() -> Trace:
    """Prints more than a pipe holds."""
    for stream in (sys.stdout, sys.stderr):
        stream.write("so it goes\n" * 50_000)
    return steady()


def hash_seed() -> int:
    """Of this process."""
    return int(os.environ["PYTHONHASHSEED"])
