"""Plans over data on real threads: what `windtunnel run --runner local` does and says."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any, Final

import pyarrow as pa

from scenarios.data.running import answer_rows, table
from sim.scenario import Scenario, Workload
from workflow import Identifiers, Task, TaskState, Workflow
from workflow.raised import text_of
from workflow.runners.local import LocalRunner
from workflow.sections import Sections

__all__ = ["ThreadRun", "Threaded", "on_threads"]

_SHOWN: Final = 5  # cancelled tasks that are named


@dataclass(slots=True)
class Threaded:
    """How a workload ended, and what its reader got."""

    workload: Workload
    end: str = "eof"  # or error, or interrupted
    error: str = ""
    batches: list[pa.RecordBatch] = field(default_factory=list)
    tasks: dict[str, TaskState] = field(default_factory=dict)  # by number and topmost operator
    seconds: float = 0.0

    @property
    def states(self) -> dict[str, int]:
        """How many tasks ended how."""
        found = Counter(self.tasks.values())
        return {str(state): found[state] for state in TaskState if found[state]}

    def lines(self) -> Iterator[str]:
        """The answer as a table, then how it ended."""
        yield from table(answer_rows(self.batches))
        yield ""
        rows = sum(batch.num_rows for batch in self.batches)
        states = ", ".join(f"{count} {state}" for state, count in self.states.items())
        what = {"eof": "end of stream", "error": "error", "interrupted": "interrupted"}[self.end]
        yield f"-> {what} after {self.seconds:.2f} s, {rows:,} rows read; tasks: {states}"
        if self.error:
            yield f"   {self.error}"
        if self.end == "interrupted":
            names = [name for name, state in self.tasks.items() if state is TaskState.CANCELLED]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield f"   cancelled: {', '.join(names[:_SHOWN]) or 'nothing'}{more}"

    def to_json(self) -> dict[str, Any]:
        """The same as data; see docs/cli.md."""
        return {
            "plan": self.workload.plan_name,
            "query": self.workload.query,
            "end": self.end,
            "error": self.error or None,
            "rows": sum(batch.num_rows for batch in self.batches),
            "records": len(self.batches),
            "tasks": self.states,
            "seconds": round(self.seconds, 6),
            "answer": answer_rows(self.batches),
        }


@dataclass(slots=True)
class ThreadRun:
    """The workloads of a scenario on threads; those after an interruption are missing."""

    scenario: Scenario
    slots: int
    workloads: list[Threaded] = field(default_factory=list)

    @property
    def ends(self) -> dict[str, None]:
        """How its workloads ended."""
        return dict.fromkeys(each.end for each in self.workloads)

    def to_json(self) -> dict[str, Any]:
        """The same as data; see docs/cli.md."""
        return {
            "scenario": self.scenario.name,
            "runner": "local",
            "slots": self.slots,
            "workloads": [each.to_json() for each in self.workloads],
        }


def on_threads(scenario: Scenario, data: Sections, *, slots: int) -> ThreadRun:
    """Run each plan of a scenario, one after the other, and read all of its answer.

    An interruption from the keyboard cancels the plan that runs, waits for its tasks, and ends the
    run; it is no exception here.
    """
    run = ThreadRun(scenario, slots)
    with LocalRunner(data, slots=slots) as runner:
        for number, workload in enumerate(scenario.workloads):
            ids = Identifiers(f"{scenario.name}/{number}")
            workflow = Workflow(workload.plan, runner, workload.options, ids=ids)
            run.workloads.append(_read(workload, workflow))
            if run.workloads[-1].end == "interrupted":
                break
    return run


def _read(workload: Workload, workflow: Workflow) -> Threaded:
    read = Threaded(workload)
    begun = monotonic()
    try:
        for batch in LocalRunner.read(workflow.run()):
            read.batches.append(batch)
    except KeyboardInterrupt:
        read.end = "interrupted"
    except Exception as error:  # noqa: BLE001 - whatever ended the results
        read.end = "error"
        read.error = f"{type(error).__name__}: {text_of(error)}"
    closed = Event()
    workflow.close()
    workflow.when_closed(closed.set)
    closed.wait()
    read.seconds = monotonic() - begun
    read.tasks = {
        _name(number, task): workflow.state(task)
        for number, task in enumerate(workflow.manifest.tasks)
    }
    return read


def _name(number: int, task: Task) -> str:
    return f"t{number} {task.fragment.root().kind}"
