"""Faults put into the engine on purpose, each with the rule that must find it.

A harness is as good as the faults that it finds: a rule that no mutant has violated has not been
shown to check anything.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from sim.parts import Parts
from workflow import (
    ContributingTimeRange,
    StreamState,
    Task,
    TaskState,
    TaskStatus,
    Timestamp,
    Workflow,
)
from workflow.admission import Admission
from workflow.short_circuit import Needs, Reach

__all__ = ["MUTANTS", "EngineMutant"]


@dataclass(frozen=True, slots=True)
class EngineMutant:
    """A faulty workflow: what is wrong, who must notice, and in how many runs at most."""

    sentence: str
    rules: tuple[str, ...]
    workflow_type: type[Workflow]
    budget: int = 1000  # runs of the engine's state machine; most take a few dozen

    @property
    def parts(self) -> Parts:
        """The cluster's parts with it."""
        return Parts(workflow=self.workflow_type)


class _ForgetfulQueue(Admission):
    def withdraw(self, task: Task) -> None:
        pass


class TokenLeak(Workflow):
    """W1: a task cancelled before its start still waits, and takes a token that stays away."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits = self.admission.limits
        self.admission = _ForgetfulQueue(scan=limits["scan"], other=limits["other"])


class _MissedReturn(Admission):
    missed = False

    def release(self, task: Task) -> bool:
        return not self.missed and super().release(task)


class TokenByState(Workflow):
    """W2: a token comes back only from a task that was recorded Pending or Running."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits = self.admission.limits
        self.admission: _MissedReturn = _MissedReturn(scan=limits["scan"], other=limits["other"])

    def _task_changed(self, task: Task, status: TaskStatus) -> None:
        self.admission.missed = self.state(task) is TaskState.CREATED
        super()._task_changed(task, status)


class _LanesInTurn(Admission):
    def admit(self) -> Task | None:
        if any(True for _ in self.waiting("other")) and not self.has_free("other"):
            return None
        return super().admit()


class LanesInTurn(Workflow):
    """W3: no scan starts before every other task has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits = self.admission.limits
        self.admission = _LanesInTurn(scan=limits["scan"], other=limits["other"])


class EndOvertakesFailure(Workflow):
    """W5: the results end with their stream, whatever the tasks do."""

    def _finish_if_over(self) -> None:
        if self.stream_state(self.results_stream) is StreamState.CLOSED:
            self._finish()


class CancellationLooksLikeSuccess(Workflow):
    """W6: a task cancelled by somebody else is taken for one that nobody needed."""

    def _task_ended(self, task: Task, status: TaskStatus) -> None:
        self._cancelled[task] = None
        super()._task_ended(task, status)


class SilentFailure(Workflow):
    """W7: a failure without an error object is none."""

    def _task_ended(self, task: Task, status: TaskStatus) -> None:
        if status.state is TaskState.FAILED and status.error is None:
            self._cancelled[task] = None
            status = replace(status, state=TaskState.CANCELLED)
        super()._task_ended(task, status)


class BeliedOutcome(Workflow):
    """W8: a task that has closed its sinks is cancelled before it can say that it completed."""

    def _may_cancel(self, task: Task) -> bool:
        return not self.state(task).terminal and task not in self._cancelled


class RunsOnAfterFailure(Workflow):
    """W9: a failure stops nothing."""

    def _fail(self, error: Exception) -> None:
        self._end_with(error)


class _SelfishNeeds(Needs):
    def narrow(self, parent: Task, range_: ContributingTimeRange) -> list[Task]:
        before = dict(self._dropped.get(parent, {}))
        super().narrow(parent, range_)
        return [task for task in self._dropped[parent] if task not in before]


class OtherParentsForgotten(Workflow):
    """W10: one parent's report is enough to cancel a child that another one reads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._needs = _SelfishNeeds(self.tasks)


class UnknownRangeExcluded(Workflow):
    """W11: a child whose times are unknown counts as one of year 1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        year_1 = Timestamp.parse("0001-01-01T00:00:01Z")
        for task, reach in self._needs._reach.items():
            if reach is not None:
                self._needs._reach[task] = Reach(reach.start or year_1, reach.end or year_1)


class StateGoesBack(Workflow):
    """W13: the last report counts, even a late one."""

    def _task_changed(self, task: Task, status: TaskStatus) -> None:
        super()._task_changed(task, status)
        self._record(task, status.state)


MUTANTS: Final[dict[str, EngineMutant]] = {
    "W1-token-leak": EngineMutant(
        "a task cancelled before its start takes a token that never comes back",
        ("ENG-4",),
        TokenLeak,
    ),
    "W2-token-by-state": EngineMutant(
        "a token is lost when the end of its task arrives before its start",
        ("ENG-1",),
        TokenByState,
        budget=3000,
    ),
    "W3-lanes-in-turn": EngineMutant(
        "no scan starts before every other task has",
        ("ENG-1",),
        LanesInTurn,
    ),
    "W5-end-overtakes-failure": EngineMutant(
        "the reader sees the end while a task may still fail", ("ENG-7",), EndOvertakesFailure
    ),
    "W6-cancellation-looks-like-success": EngineMutant(
        "a task cancelled by somebody else does not end the run",
        ("ENG-7", "ENG-9"),
        CancellationLooksLikeSuccess,
    ),
    "W7-silent-failure": EngineMutant(
        "a failure without an error does not end the run", ("ENG-7", "ENG-9"), SilentFailure
    ),
    "W8-belied-outcome": EngineMutant(
        "a task that has finished is cancelled", ("ENG-5",), BeliedOutcome, budget=3000
    ),
    "W9-runs-on": EngineMutant("a failure stops nothing", ("ENG-4", "ENG-8"), RunsOnAfterFailure),
    "W10-other-parents-forgotten": EngineMutant(
        "a child is cancelled that another parent reads",
        ("ENG-5",),
        OtherParentsForgotten,
        budget=3000,
    ),
    "W11-unknown-range-excluded": EngineMutant(
        "a child is cancelled although its times are unknown", ("ENG-5",), UnknownRangeExcluded
    ),
    "W13-state-goes-back": EngineMutant(
        "a late report overwrites the end of a task", ("ENG-3",), StateGoesBack
    ),
}
