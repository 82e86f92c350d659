"""What a run has exercised: faults, states, endings, and how hazards begin.

A search that finds nothing means something only if what it looks for could have happened.  Each
hazard of the engine has a precondition, told here from the trace: the situation in which a
faulty engine would go wrong.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sim.simulate import Outcome
from workflow.trace import Event

__all__ = ["PRECONDITIONS", "features"]

_TERMINAL: Final = ("Completed", "Cancelled", "Failed")


@dataclass(slots=True)
class _Run:
    """One manifest's events, and what is known when each happens."""

    tasks: list[dict[str, list[int]]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def features(outcome: Outcome) -> list[str]:
    """What happened at least once in this run, each named once."""
    seen: dict[str, None] = {}
    for name in outcome.counts:
        if name.startswith(("fault ", "hazard ")):
            seen[name] = None
    for event in outcome.trace.events:
        if event.kind == "stream_event":
            seen[f"stream {event.details['state']}"] = None
        elif event.kind == "task_event":
            seen[f"task {event.details['state']}"] = None
    for end in outcome.ends:
        seen[f"end {end.end}"] = None
    for run in _runs(outcome):
        for name, (_, holds) in PRECONDITIONS.items():
            if name not in seen and holds(run):
                seen[name] = None
    return list(seen)


def _runs(outcome: Outcome) -> Iterator[_Run]:
    runs: dict[str, _Run] = {}
    for event in outcome.trace.events:
        name = event.subject.partition("/")[0]
        if event.kind == "manifest":
            runs[name] = _Run(event.details["tasks"])
        elif name in runs:
            runs[name].events.append(event)
    yield from runs.values()


def _index(event: Event) -> int:
    return int(event.subject.rpartition("/t")[2])


def _task_events(run: _Run) -> Iterator[tuple[int, str, Event]]:
    for event in run.events:
        if event.kind == "task_event":
            yield _index(event), event.details["state"], event


def _calls(run: _Run, method: str) -> Iterator[Event]:
    for event in run.events:
        if event.kind == "call" and event.details["method"] == method:
            yield event


def _cancelled_before_start(run: _Run) -> bool:
    started: dict[int, None] = {}
    waiting_cancelled = False
    for event in run.events:
        if event.kind != "call":
            continue
        if event.details["method"] == "start":
            if waiting_cancelled:
                return True  # and the run goes on
            started.update(dict.fromkeys(event.details["tasks"]))
        elif event.details["method"] == "cancel":
            waiting_cancelled |= any(task not in started for task in event.details["tasks"])
    return False


def _end_before_pending(run: _Run) -> bool:
    started = {task for event in _calls(run, "start") for task in event.details["tasks"]}
    first: dict[int, str] = {}
    for task, state, _ in _task_events(run):
        first.setdefault(task, state)
    return any(first.get(task) in _TERMINAL for task in sorted(started))


def _closed_before_ends(run: _Run) -> bool:
    closed = False
    for event in run.events:
        if event.kind == "stream_event" and event.subject.endswith("/s0"):
            closed |= event.details["state"] == "Closed"
        elif event.kind == "task_event" and closed and event.details["state"] in _TERMINAL:
            return True
    return False


def _foreign_cancel(run: _Run) -> bool:
    return any(
        event.kind == "read_error" and "not by this workflow" in event.details["error"]
        for event in run.events
    )


def _silent_failure(run: _Run) -> bool:
    return any(
        state == "Failed" and "error" not in event.details for _, state, event in _task_events(run)
    )


def _finished_child(run: _Run) -> bool:
    closed: dict[int, None] = {}
    over: dict[int, None] = {}
    for event in run.events:
        if event.kind == "stream_event" and event.details["state"] == "Closed":
            closed[int(event.subject.rpartition("/s")[2])] = None
        elif event.kind == "task_event" and event.details["state"] in _TERMINAL:
            over[_index(event)] = None
            for child in run.tasks[_index(event)]["children"]:
                if child not in over and all(s in closed for s in run.tasks[child]["sinks"]):
                    return True
    return False


def _failure_while_others_run(run: _Run) -> bool:
    live: dict[int, None] = {}
    for task, state, _ in _task_events(run):
        if state in _TERMINAL:
            live.pop(task, None)
            if state == "Failed" and live:
                return True
        else:
            live[task] = None
    return False


def _report_with_other_parents(run: _Run) -> bool:
    parents: dict[int, int] = {}
    for task in run.tasks:
        for child in task["children"]:
            parents[child] = parents.get(child, 0) + 1
    return any(
        "contributing" in event.details
        and any(parents[child] > 1 for child in run.tasks[task]["children"])
        for task, _, event in _task_events(run)
    )


def _report(run: _Run) -> bool:
    return any("contributing" in event.details for _, _, event in _task_events(run))


def _word_after_end(run: _Run) -> bool:
    over: dict[int, None] = {}
    for task, state, _ in _task_events(run):
        if task in over:
            return True
        if state in _TERMINAL:
            over[task] = None
    return False


def _full_at_error(run: _Run) -> bool:
    full = False
    for event in run.events:
        if event.kind == "write_done":
            full = event.details["outcome"] == "full"
        elif event.kind == "read":
            full = False
        elif event.kind == "read_error":
            return full
    return False


def _record_at_error(run: _Run) -> bool:
    waiting = False
    for event in run.events:
        if event.kind == "write_done" and event.details["outcome"] == "taken":
            waiting = True
        elif event.kind == "read":
            waiting = False
        elif event.kind == "read_error":
            return waiting
    return False


PRECONDITIONS: Final[dict[str, tuple[str, Callable[[_Run], bool]]]] = {
    "W1": ("a task is cancelled before its start, and the run goes on", _cancelled_before_start),
    "W2": ("the end of a task arrives before its start", _end_before_pending),
    "W5": ("the results stream closes before the last task's end", _closed_before_ends),
    "W6": ("a task is cancelled by somebody else", _foreign_cancel),
    "W7": ("a task fails without an error", _silent_failure),
    "W8": ("a child has closed its sinks when its parent ends", _finished_child),
    "W9": ("a task fails while others run", _failure_while_others_run),
    "W10": ("a parent reports about a child that another one reads", _report_with_other_parents),
    "W12": ("a range is reported", _report),
    "W13": ("a word about a task arrives after its end", _word_after_end),
    "E1": ("a record waits in the results when they fail", _record_at_error),
    "E2": ("a writer waits for room when the results fail", _full_at_error),
}
