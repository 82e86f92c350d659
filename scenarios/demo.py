"""The demonstration: the plan of a real query, cut into tasks and run to its end."""

import itertools
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

from scenarios.inputs import NamedPlan, read_plans
from sim.inline import InlineRunner
from workflow import Identifiers, Options, Task, Workflow, plan_to_text
from workflow.plan import DataObjScan
from workflow.trace import Recorder, Trace

__all__ = ["show_demo"]

_PLAN: Final = "sum-by-level.json"
_MARKS: Final = {
    "Pending": "·",
    "Running": "━",
    "Completed": "✓",
    "Cancelled": "x",
    "Failed": "!",
}
_WIDTH: Final = 60  # columns of the timeline
_PLAN_LINES: Final = 9


def show_demo(say: Callable[[str], object]) -> Trace:
    """Run it, say how it went, and return the trace."""
    text = (files("scenarios") / "library" / _PLAN).read_text(encoding="utf-8")
    [named] = read_plans(text, name="demo")
    if not isinstance(named, NamedPlan):
        raise named.error
    options = Options(tenant="demo", max_running_scan_tasks=4)
    inner = InlineRunner(rows_per_scan=25, batch_rows=10)
    # Without time, an event's place is its tick.
    recorder = Recorder(inner, clock=itertools.count().__next__, ran={"query": named.query})
    workflow = Workflow(named.plan, recorder, options, ids=Identifiers(named.name))

    say(f"query      {named.query}")
    say("plan")
    lines = plan_to_text(named.plan).splitlines()
    for line in lines[:_PLAN_LINES]:
        say(f"  {line if len(line) <= _WIDTH + 20 else line[: _WIDTH + 17] + '...'}")
    if len(lines) > _PLAN_LINES:
        say(f"  ... {len(lines) - _PLAN_LINES} more lines")
    lanes = Counter(task.lane for task in workflow.tasks)
    streams = len(workflow.manifest.streams)
    say(
        f"workflow   {len(workflow)} tasks ({lanes['scan']} scan, {lanes['other']} other),"
        f" {streams} streams, at most {options.max_running_scan_tasks} scans at once"
    )

    results = recorder.reader(workflow.run())
    rows = sum(batch.num_rows for batch in inner.read(results))
    results.close()
    workflow.close()

    trace = recorder.trace
    per_column = -(-len(trace.events) // _WIDTH)
    say(f"run        a column is {per_column} events")
    for index, task in enumerate(workflow.manifest.tasks):
        say(f"  t{index:<3} {_name(task):<20.20} {_timeline(trace, index, per_column)}")
    say("  " + "  ".join(f"{mark} {state}" for state, mark in _MARKS.items()))
    say(f"ended      end of stream after {rows} rows and {len(trace.events)} events")
    say(f"digest     {trace.digest()} (the same on every run)")
    return trace


def _name(task: Task) -> str:
    """What the task does first."""
    *_, leaf = task.fragment.preorder()
    if isinstance(leaf, DataObjScan):
        return f"scan {PurePosixPath(leaf.location).parent}/ {leaf.section}"
    return leaf.kind


def _timeline(trace: Trace, task: int, per_column: int) -> str:
    """The task's state, a mark a column."""
    marks = []
    mark = " "
    for start in range(0, len(trace.events), per_column):
        for event in trace.events[start : start + per_column]:
            if event.kind == "task_event" and event.subject == f"m0/t{task}":
                mark = _MARKS[event.details["state"]]
        marks.append(mark)
        if mark in "✓x!":
            break
    return "".join(marks)
