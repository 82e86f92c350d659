"""Workflows on the strict runner: how tests build, look at and end them."""

import pyarrow as pa
from cases import build, load_cases, second
from strict_runner import StrictRunner

from workflow import (
    ContributingTimeRange,
    Options,
    Plan,
    TaskState,
    TimeRange,
    Workflow,
)
from workflow.plan import DataObjScan, Parallelize, ScanSet, TopK

S = TaskState
CASES = load_cases()
BATCH = pa.record_batch({"row": [1]})


def workflow_of(
    name: str, runner: StrictRunner, *, scan: int = 0, other: int = 0, run: bool = True
) -> Workflow:
    """The workflow of a case, run."""
    plan, _ = build(CASES[name])
    options = Options(max_running_scan_tasks=scan, max_running_other_tasks=other)
    workflow = Workflow(plan, runner, options)
    if run:
        workflow.run()
    return workflow


def three_scans(*ranges: tuple[int, int]) -> Plan:
    """A TopK over one scan for each range."""
    plan = Plan()
    top, fork = plan.add(TopK(ascending=True)), plan.add(Parallelize())
    scans = plan.add(
        ScanSet(
            targets=tuple(
                DataObjScan(location=f"x{i}", max_time_range=span(*bounds))
                for i, bounds in enumerate(ranges)
            )
        )
    )
    plan.add_edge(top, fork)
    plan.add_edge(fork, scans)
    return plan


def span(start: int, end: int) -> TimeRange:
    return TimeRange(second(start), second(end))


def below(seconds: int) -> ContributingTimeRange:
    """Only data before this can matter."""
    return ContributingTimeRange(second(seconds), less_than=True)


def above(seconds: int) -> ContributingTimeRange:
    """Only data after this can matter."""
    return ContributingTimeRange(second(seconds), less_than=False)


def states(workflow: Workflow) -> str:
    """The recorded states, a letter each: Created Pending Running cOmpleted X cancelled Failed."""
    letters = {
        S.CREATED: "C",
        S.PENDING: "P",
        S.RUNNING: "R",
        S.COMPLETED: "O",
        S.CANCELLED: "X",
        S.FAILED: "F",
    }
    return "".join(letters[workflow.state(task)] for task in workflow.manifest.tasks)


def tokens(workflow: Workflow) -> str:
    """Tokens in use, scan/other."""
    return "/".join(str(len(list(workflow.admission.holders(x)))) for x in ("scan", "other"))


def end_of(workflow: Workflow) -> BaseException | None:
    """How the results end, after whatever is still in them; None if they have not."""
    try:
        while workflow.results.poll() is not None:
            pass
    except Exception as error:  # noqa: BLE001 - any error may be the end
        return error
    return None
