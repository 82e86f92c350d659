"""Faults that are put into LocalRunner: each is found by what should find it."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from executed import objects, rebound
from faulty_local import (
    ClosesBeforeTheLastRecord,
    CompletesBeforeItCloses,
    EndsTwice,
    HasHiddenErrors,
    LeavesSinksOpen,
    LosesCancels,
    PendsAfterItRuns,
    SendsAgain,
)
from numbered import FAILS, Numbered
from stored import chain, vector_cases
from threads import OnThreads, Ran, recorded, until

from properties.contract import ContractBroken
from properties.monitors import MONITORS, judge_trace
from properties.oracle import Answer, same_answer
from sim.real import Held
from workflow import Plan, TaskState, Workflow, plan_from_json
from workflow.plan import DataObjScan, TopK
from workflow.runners.local import LocalRunner

SUMS = 'sum by (level) (count_over_time({app="shop"} | json [5m]))'


def summed(kind: type[LocalRunner]) -> tuple[Ran, str | None]:
    """A query over two objects, and how its answer differs from the right one."""
    case = next(case for case in vector_cases() if case["query"] == SUMS)
    plan = rebound(plan_from_json(case["plan"]), objects(2))
    held = Held({key: [batch] for key, batch in objects(2).items()})
    ran = recorded(plan, kind(held, batch_rows=200))
    difference = same_answer(Answer.from_json(case["rows"]), Answer.from_batches(ran.batches))
    return ran, None if difference is None else str(difference)


def broken_rules(ran: Ran) -> dict[str, None]:
    """The rules that a recorded run breaks."""
    verdicts = judge_trace(ran.trace, monitors=MONITORS)
    return dict.fromkeys(each.rule for each in verdicts if each.violations)


def breaks(kind: type[LocalRunner], test: str) -> bool:
    """Whether a Runner of that kind breaks the contract in this test of it."""

    class Faulty(OnThreads):
        def make_runner(self) -> LocalRunner:
            return kind(Numbered(), slots=6, buffer=1, batch_rows=8)

        def run_until(self, runner: LocalRunner, condition: Callable[[], bool]) -> None:
            del runner
            until(condition, 1.0)

    case = Faulty()
    try:
        getattr(case, test)()
    except ContractBroken:
        return True
    finally:
        case.close_all()
    return False


def test_without_a_fault_nothing_is_found() -> None:
    ran, difference = summed(LocalRunner)
    assert (ran.violations, ran.error, difference) == ([], None, None)


def test_a_close_before_the_last_record_breaks_s3() -> None:
    ran, _ = summed(ClosesBeforeTheLastRecord)
    assert "S3" in broken_rules(ran)


def test_an_end_that_is_told_before_the_close_breaks_the_contract() -> None:
    test = "test_a_streams_end_is_reported_before_its_reader_learns_of_it"
    assert breaks(CompletesBeforeItCloses, test)
    assert not breaks(LocalRunner, test)


def test_pending_after_running_breaks_t1() -> None:
    ran, difference = summed(PendsAfterItRuns)
    assert (list(broken_rules(ran)), difference) == (["T1"], None)


def test_an_end_that_is_told_twice_breaks_t1_and_r5() -> None:
    ran, difference = summed(EndsTwice)
    assert (list(broken_rules(ran)), difference) == (["R5", "T1"], None)


def test_a_record_that_is_sent_again_makes_a_wrong_answer() -> None:
    _, difference = summed(SendsAgain)
    assert difference is not None


class Endless:
    """A section that never ends."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        while True:
            yield from Numbered().batches(location, section, rows)


def endless() -> Plan:
    """A plan that gives nothing before the end of a section that has none."""
    return chain(TopK(k=1), DataObjScan(location="objects/0"))


def running(workflow: Workflow) -> list[bool]:
    """Of each task, whether it runs."""
    return [workflow.state(task) is TaskState.RUNNING for task in workflow.manifest.tasks]


def test_a_cancel_that_is_lost_breaks_c5() -> None:
    def cancel(workflow: Workflow) -> None:
        assert until(lambda: all(running(workflow)))
        workflow.cancel("enough")

    for kind, rules in ((LosesCancels, ["T4", "C5"]), (LocalRunner, [])):
        ran = recorded(endless(), kind(Endless()), after=0, then=cancel, patience=0.3)
        assert list(broken_rules(ran)) == rules


def test_a_cancel_that_is_lost_breaks_the_contract() -> None:
    assert breaks(LosesCancels, "test_a_task_cancelled_while_it_runs_ends_so")


def failing(kind: type[LocalRunner]) -> Ran:
    """A run whose only task fails."""
    plan = Plan()
    plan.add(DataObjScan(location=FAILS))
    return recorded(plan, kind(Numbered(), batch_rows=8), patience=0.3)


def test_a_failure_that_is_told_as_a_cancellation_is_another_error() -> None:
    assert type(failing(LocalRunner).error) is ValueError
    assert type(failing(HasHiddenErrors).error) is not ValueError


@pytest.mark.parametrize("kind", [LeavesSinksOpen, HasHiddenErrors])
def test_a_failure_that_is_not_told_as_it_was_breaks_the_contract(kind: type[LocalRunner]) -> None:
    test = "test_a_task_that_fails_is_reported_failed_and_closes_its_sinks"
    assert breaks(kind, test)
    assert not breaks(LocalRunner, test)
