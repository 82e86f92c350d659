"""Plans over data on a real runner: what `windtunnel run --runner` does and says."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any, Final

import pyarrow as pa

from scenarios.data.running import answer_lines, answer_rows
from scenarios.progress import Progress
from scenarios.wording import counted
from sim.scenario import Scenario, Workload
from workflow import Identifiers, Runner, Task, TaskState, Workflow
from workflow.raised import text_of
from workflow.runners.reading import read
from workflow.trace import Recorder

__all__ = ["RealRun", "Workloaded", "on_runner"]

_SHOWN: Final = 5  # cancelled tasks that are named


@dataclass(slots=True)
class Workloaded:
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

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return sum(batch.num_rows for batch in self.batches)

    def lines(self, *, saved: str = "") -> Iterator[str]:
        """The answer as a table, or where it was `saved`; then how it ended."""
        if saved:
            yield f"saved      {saved}: {counted(self.rows, 'row')}"
        else:
            yield from answer_lines(self.batches)
            yield ""
        states = ", ".join(f"{count} {state}" for state, count in self.states.items())
        what = {"eof": "end of stream", "error": "error", "interrupted": "interrupted"}[self.end]
        yield f"-> {what} after {self.seconds:.2f} s, {self.rows:,} rows read; tasks: {states}"
        if self.error:
            yield f"   {self.error}"
        if self.end == "interrupted":
            names = [name for name, state in self.tasks.items() if state is TaskState.CANCELLED]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield f"   cancelled: {', '.join(names[:_SHOWN]) or 'nothing'}{more}"

    def to_json(self, *, saved: str = "") -> dict[str, Any]:
        """The same as data; see docs/cli.md."""
        what = {"saved": saved} if saved else {"answer": answer_rows(self.batches)}
        return what | {
            "plan": self.workload.plan_name,
            "query": self.workload.query,
            "end": self.end,
            "error": self.error or None,
            "rows": self.rows,
            "records": len(self.batches),
            "tasks": self.states,
            "seconds": round(self.seconds, 6),
        }


@dataclass(slots=True)
class RealRun:
    """The workloads of a scenario on a runner; those after an interruption are missing."""

    scenario: Scenario
    workloads: list[Workloaded] = field(default_factory=list)

    @property
    def ends(self) -> dict[str, None]:
        """How its workloads ended."""
        return dict.fromkeys(each.end for each in self.workloads)


def on_runner(scenario: Scenario, runner: Runner, *, progress: Progress | None = None) -> RealRun:
    """Run each plan of a scenario, one after the other, and read all of its answer.

    An interruption from the keyboard cancels the plan that runs, waits for its tasks, and ends the
    run; it is no exception here.
    """
    run = RealRun(scenario)
    seen: Runner = runner
    if progress is not None:
        seen = Recorder(runner, identify=lambda _batch: (), watch=progress.see)
    for number, workload in enumerate(scenario.workloads):
        ids = Identifiers(f"{scenario.name}/{number}")
        workflow = Workflow(workload.plan, seen, workload.options, ids=ids)
        run.workloads.append(_read(workload, workflow, progress))
        if run.workloads[-1].end == "interrupted":
            break
    return run


def _read(workload: Workload, workflow: Workflow, progress: Progress | None) -> Workloaded:
    done = Workloaded(workload)
    begun = monotonic()
    try:
        for batch in read(workflow.run()):
            done.batches.append(batch)
            if progress is not None:
                progress.batch()
    except KeyboardInterrupt:
        done.end = "interrupted"
    except Exception as error:  # noqa: BLE001 - whatever ended the results
        done.end = "error"
        done.error = f"{type(error).__name__}: {text_of(error)}"
    closed = Event()
    workflow.close()
    workflow.when_closed(closed.set)
    closed.wait()
    done.seconds = monotonic() - begun
    done.tasks = {
        _name(number, task): workflow.state(task)
        for number, task in enumerate(workflow.manifest.tasks)
    }
    return done


def _name(number: int, task: Task) -> str:
    return f"t{number} {task.fragment.root().kind}"
