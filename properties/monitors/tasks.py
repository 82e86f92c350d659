"""Rules of single tasks: legal moves, one end, one live execution, true outcomes.

Source: "Invariants over a trace of events", T1 to T10.

Refinements:
    T1: where the inside of the Runner is known its own moves are judged, as its reports may be
        delivered late and in another order.
    T2: what a second end changes is judged where the workflow is known; that a Runner reports
        two is a violation unless the trace is of a workflow alone, on a Runner made to be lax.
    T3: a state that is not the last one may be recorded again.
    T5: an acknowledgement changes something where it gives the task an owner.
    T8: a hand-off that timed out lasts until the worker says that it does not run the task; in the
        reference profile until the task is queued again.
    T9: without the inside of a Runner nobody knows who else cancels; then only an outcome of a
        task that was never started is known to be untrue.
    T10: trace and virtual time have one order, so times show as the order of events; a duration is
        a task's work, which fits between the begin and the end of its execution.
"""

from typing import Final

from properties.monitors.monitor import Level, Monitor
from properties.monitors.rest import RestMonitor, is_task, over_budget
from properties.monitors.story import TERMINAL, Story, attempt_of, manifest_of, worker_of
from workflow.runner import LEGAL_TASK_MOVES
from workflow.task import TaskState
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "AcceptedMeansOwned",
    "EveryStartedTaskEnds",
    "FencedAttempts",
    "LegalTaskMoves",
    "NoGoingBack",
    "NoTaskFallsOut",
    "OneLiveExecution",
    "OneTerminal",
    "TimesAndStatistics",
    "TruthfulOutcomes",
]

_LEGAL: Final = {
    str(state): tuple(str(each) for each in following)
    for state, following in LEGAL_TASK_MOVES.items()
}
_RANK: Final = {
    str(state): 3 if state.terminal else int(state) for state in TaskState
}  # all ends are equal


class LegalTaskMoves(Monitor):
    """T1."""

    rule, sentence = "T1", "a task only moves as the table of states allows"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._last: dict[str, Event] = {}

    def on_move(self, event: Event) -> None:
        if self.story.cluster and is_task(event.subject):
            self._moved(event)

    def on_task_event(self, event: Event) -> None:
        if not self.story.cluster:
            self._moved(event)

    def _moved(self, event: Event) -> None:
        last = self._last.get(event.subject)
        old = last.details["state"] if last else "Created"
        new = event.details["state"]
        self._last[event.subject] = event
        if new not in _LEGAL[old]:
            right = f"one of {', '.join(_LEGAL[old])}" if _LEGAL[old] else f"nothing after {old}"
            proof = (last, event) if last else (event,)
            self.violated(f"{event.subject} went from {old} to {new}", *proof, right=right)


class OneTerminal(Monitor):
    """T2."""

    rule, sentence = "T2", "a task ends once, and nothing changes it afterwards"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._recorded: dict[str, Event] = {}  # the end that the workflow recorded

    def on_task_event(self, event: Event) -> None:
        if event.details["state"] not in TERMINAL:
            return
        first = self.story.ends[event.subject]
        lax = not self.story.cluster and manifest_of(event.subject) in self.story.limits
        if first is not event and not lax:
            self.violated(
                f"{event.subject} was reported {event.details['state']} after it was "
                f"{first.details['state']}",
                first,
                event,
                right="one end for each task",
            )

    def on_recorded(self, event: Event) -> None:
        if not is_task(event.subject):
            return
        first = self._recorded.get(event.subject)
        if first is not None:
            self.violated(
                f"the workflow recorded {event.subject} {event.details['state']} after "
                f"{first.details['state']}",
                first,
                event,
                right="the first end stays",
            )
        elif event.details["state"] in TERMINAL:
            self._recorded[event.subject] = event


class NoGoingBack(Monitor):
    """T3."""

    rule, sentence = "T3", "no recorded state of a task goes back"
    level = Level.ENGINE

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._last: dict[str, Event] = {}

    def on_recorded(self, event: Event) -> None:
        if not is_task(event.subject):
            return
        last = self._last.get(event.subject)
        if last and _RANK[event.details["state"]] < _RANK[last.details["state"]]:
            old, new = last.details["state"], event.details["state"]
            self.violated(f"{event.subject} went back from {old} to {new}", last, event)
        self._last[event.subject] = event


class EveryStartedTaskEnds(Monitor):
    """T4."""

    rule, sentence = "T4", "every task that was started comes to an end"
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._started: dict[str, Event] = {}

    def on_return(self, event: Event) -> None:
        if event.details["method"] == "start" and event.details["error"] is None:
            for index in event.details["tasks"]:
                self._started.setdefault(f"{event.subject}/t{index}", event)

    def at_end(self, event: Event) -> None:
        if over_budget(event):
            self.cannot_judge("the run was cut short by its budget")
            return
        for task, started in self._started.items():
            if not self.story.terminal(task):
                state = self.story.states.get(task, "Created")
                self.violated(
                    f"{task} was started and is still {state} at the end",
                    started,
                    event,
                    right="Completed, Cancelled or Failed",
                )


class FencedAttempts(Monitor):
    """T5."""

    rule, sentence = "T5", "only the current attempt at a task can change it"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._current: dict[str, Event] = {}  # the assignment, by task
        self._back: dict[str, Event] = {}  # in the queue again since then
        self._down: dict[str, Event] = {}  # connections

    def on_assign(self, event: Event) -> None:
        task, _ = attempt_of(event.subject)
        self._current[task] = event
        self._back.pop(task, None)

    def on_queue(self, event: Event) -> None:
        self._back[event.subject] = event

    def on_worker_lost(self, event: Event) -> None:
        self._down.setdefault(event.subject, event)

    def on_worker_gone(self, event: Event) -> None:
        self._down.setdefault(event.subject, event)

    def on_report(self, event: Event) -> None:
        if event.details["changed"]:
            task, attempt = attempt_of(event.subject)
            what = f"a report of {event.subject} made it {event.details['state']}"
            self._judge(event, task, event.details["worker"], what, attempt)

    def on_owner(self, event: Event) -> None:
        worker = event.details["worker"]
        if worker is not None:
            what = f"{event.subject} got the owner {worker}"
            self._judge(event, event.subject, worker, what, None)

    def _judge(self, event: Event, task: str, worker: str, what: str, attempt: int | None) -> None:
        current = self._current.get(task)
        if current is None:
            self.violated(f"{what}, which was never handed off", event)
            return
        right = f"only {current.subject} on {current.details['worker']} counts"
        if attempt not in (None, attempt_of(current.subject)[1]):
            self.violated(
                f"{what}, while {current.subject} is current", current, event, right=right
            )
        elif worker != current.details["worker"]:
            self.violated(f"{what} from {worker}, not its worker", current, event, right=right)
        elif task in self._back:
            self.violated(f"{what}, but it was back in the queue", self._back[task], event)
        elif worker in self._down:
            self.violated(f"{what} after {worker} was lost", self._down[worker], event)
        elif manifest_of(task) in self.story.unregistered:
            gone = self.story.unregistered[manifest_of(task)]
            self.violated(f"{what} after its manifest was unregistered", gone, event)


class OneLiveExecution(Monitor):
    """T6."""

    rule, sentence = "T6", "a task has at most one live execution"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._connections: dict[str, str] = {}  # by execution
        self._live: dict[str, dict[str, Event]] = {}  # by task: executions
        self._places: dict[str, dict[str, None]] = {}  # by worker: executions

    def on_assign(self, event: Event) -> None:
        self._connections[event.subject] = event.details["worker"]

    def on_run(self, event: Event) -> None:
        task, _ = attempt_of(event.subject)
        live = self._live.setdefault(task, {})
        for other, began in live.items():
            self.violated(
                f"{event.subject} runs on {event.details['worker']} while {other} runs on "
                f"{began.details['worker']}",
                began,
                event,
                right="one at a time",
            )
        live[event.subject] = event
        self._places.setdefault(event.details["worker"], {})[event.subject] = None

    def on_report(self, event: Event) -> None:
        if event.details["state"] in TERMINAL:
            self._dies(event.subject)

    def on_over(self, event: Event) -> None:
        self._dies(event.subject)

    def on_stopped(self, event: Event) -> None:
        self._dies(event.subject)

    def on_crash(self, event: Event) -> None:
        for execution in list(self._places.get(event.subject, ())):
            self._dies(execution)

    def on_worker_lost(self, event: Event) -> None:
        self._lose(event.subject)

    def on_worker_gone(self, event: Event) -> None:
        self._lose(event.subject)

    def _lose(self, connection: str) -> None:
        for execution in list(self._places.get(worker_of(connection), ())):
            if self._connections.get(execution) == connection:
                self._dies(execution)

    def _dies(self, execution: str) -> None:
        began = self._live.get(attempt_of(execution)[0], {}).pop(execution, None)
        if began is not None:
            self._places[began.details["worker"]].pop(execution, None)


class AcceptedMeansOwned(RestMonitor):
    """T7."""

    rule, sentence = "T7", "a task that a worker accepted is owned by it or over"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._handed: dict[str, Event] = {}  # assignments without an answer
        self._accepted: dict[str, Event] = {}  # since the last rest, by task
        self._owners: dict[str, Event] = {}
        self._owned: dict[str, dict[str, None]] = {}  # by connection: tasks
        self._over: dict[str, None] = {}
        self._down: dict[str, Event] = {}
        self._look: dict[str, Event] = {}  # connections to judge at the next rest

    def on_assign(self, event: Event) -> None:
        self.arrive(event)
        self._handed[attempt_of(event.subject)[0]] = event

    def on_queue(self, event: Event) -> None:
        self.arrive(event)
        self._handed.pop(event.subject, None)

    def on_accept(self, event: Event) -> None:
        self.arrive(event)
        task, _ = attempt_of(event.subject)
        handed = self._handed.get(task)
        if (
            handed is not None
            and handed.subject == event.subject
            and handed.details["worker"] == event.details["worker"]
        ):  # else it comes too late to count
            del self._handed[task]
            self._accepted[task] = event

    def on_owner(self, event: Event) -> None:
        self.arrive(event)
        old = self._owners.pop(event.subject, None)
        if old is not None:
            self._owned[old.details["worker"]].pop(event.subject, None)
        worker = event.details["worker"]
        if worker is not None:
            self._owners[event.subject] = event
            self._owned.setdefault(worker, {})[event.subject] = None
            if worker in self._down:
                self._look[worker] = event

    def on_move(self, event: Event) -> None:
        self.arrive(event)
        if event.details["state"] in TERMINAL:
            self._over[event.subject] = None

    def on_worker_lost(self, event: Event) -> None:
        self.arrive(event)
        self._down[event.subject] = self._look[event.subject] = event

    def on_worker_gone(self, event: Event) -> None:
        self.on_worker_lost(event)

    def at_rest(self) -> None:
        for task, accepted in self._accepted.items():
            worker = accepted.details["worker"]
            owner = self._owners.get(task)
            owned = owner is not None and owner.details["worker"] == worker
            if task not in self._over and not owned:
                who = owner.details["worker"] if owner else "nobody"
                self.violated(
                    f"{worker} accepted {accepted.subject}, and {who} owns it",
                    accepted,
                    right=f"{worker} owns it, or it is over",
                )
        self._accepted.clear()
        for worker, why in self._look.items():
            for task in self._owned.get(worker, ()):
                if task not in self._over:
                    proof = (self._owners[task], self._down[worker])
                    self.violated(
                        f"{task} is owned by {worker}, which is gone",
                        *sorted((*proof, why) if why not in proof else proof, key=_seq),
                        right="no owner, or an end",
                    )
        self._look.clear()


def _seq(event: Event) -> int:
    return event.seq


class NoTaskFallsOut(RestMonitor):
    """T8."""

    rule = "T8"
    sentence = "a started task that is not over is either queued, handed off or owned"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._started: dict[str, Event] = {}
        self._queues: dict[str, Event] = {}  # the first time in the queue
        self._queued: dict[str, None] = {}
        self._handed: dict[str, Event] = {}
        self._late: dict[str, None] = {}  # handed off, and timed out
        self._at: dict[str, dict[str, None]] = {}  # by connection: tasks handed off
        self._owned: dict[str, None] = {}
        self._over: dict[str, None] = {}
        self._touched: dict[str, Event] = {}  # since the last rest

    def on_return(self, event: Event) -> None:
        self.arrive(event)
        if event.details["method"] == "start" and event.details["error"] is None:
            for index in event.details["tasks"]:
                task = f"{event.subject}/t{index}"
                self._started.setdefault(task, event)
                self._touched[task] = event

    def on_queue(self, event: Event) -> None:
        self._touch(event, event.subject)
        first = self._queues.setdefault(event.subject, event)
        if event.details["place"] != first.details["place"]:
            self.violated(
                f"{event.subject} came back to place {event.details['place']} of its queue",
                first,
                event,
                right=f"its former place {first.details['place']}",
            )
        self._queued[event.subject] = None
        if event.subject in self._late and self.story.cluster.get("profile") == "reference":
            self._unhand(event.subject)

    def on_assign(self, event: Event) -> None:
        task, _ = attempt_of(event.subject)
        self._touch(event, task)
        self._queued.pop(task, None)
        self._unhand(task)
        self._handed[task] = event
        self._at.setdefault(event.details["worker"], {})[task] = None

    def on_accept(self, event: Event) -> None:
        self._answer(event)

    def on_refuse(self, event: Event) -> None:
        self._answer(event)

    def on_revoked(self, event: Event) -> None:
        self._answer(event)

    def on_ack_timeout(self, event: Event) -> None:
        self._touch(event, attempt_of(event.subject)[0])
        if self._is_handed(event):
            self._late[attempt_of(event.subject)[0]] = None

    def on_worker_lost(self, event: Event) -> None:
        self.arrive(event)
        for task in list(self._at.get(event.subject, ())):
            self._touched[task] = event
            self._unhand(task)

    def on_worker_gone(self, event: Event) -> None:
        self.on_worker_lost(event)

    def on_owner(self, event: Event) -> None:
        self._touch(event, event.subject)
        if event.details["worker"] is None:
            self._owned.pop(event.subject, None)
        else:
            self._owned[event.subject] = None

    def on_move(self, event: Event) -> None:
        self.arrive(event)
        if event.details["state"] in TERMINAL:
            self._over[event.subject] = None

    def _touch(self, event: Event, task: str) -> None:
        self.arrive(event)
        self._touched[task] = event

    def _is_handed(self, event: Event) -> bool:
        handed = self._handed.get(attempt_of(event.subject)[0])
        return (
            handed is not None
            and handed.subject == event.subject
            and handed.details["worker"] == event.details["worker"]
        )

    def _answer(self, event: Event) -> None:
        task, _ = attempt_of(event.subject)
        self._touch(event, task)
        if self._is_handed(event):
            self._unhand(task)

    def _unhand(self, task: str) -> None:
        handed = self._handed.pop(task, None)
        self._late.pop(task, None)
        if handed is not None:
            self._at[handed.details["worker"]].pop(task, None)

    def at_rest(self) -> None:
        for task, last in self._touched.items():
            started = self._started.get(task)
            if task in self._over or started is None:
                continue
            places = [
                name
                for name, tasks in (
                    ("queued", self._queued),
                    ("handed off", self._handed),
                    ("owned", self._owned),
                )
                if task in tasks
            ]
            if len(places) != 1:
                self.violated(
                    f"{task} is {' and '.join(places) or 'neither queued, handed off nor owned'}",
                    *((started, last) if last is not started else (started,)),
                    right="exactly one of queued, handed off, owned",
                )
        self._touched.clear()


class TruthfulOutcomes(RestMonitor):
    """T9."""

    rule, sentence = "T9", "the outcome of a task says what happened to it"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._ended: dict[str, Event] = {}  # since the last rest
        self._attempts: dict[str, int] = {}
        self._reports: dict[tuple[str, int, str], Event] = {}  # by task, attempt and state
        self._owners: dict[str, str] = {}  # the last one
        self._lost: dict[str, Event] = {}
        self._gone: dict[str, Event] = {}
        # When a cancel or an unregister was asked; kept here, as the story is an event ahead.
        self._asked: dict[str, Event] = {}

    def on_call(self, event: Event) -> None:
        self.arrive(event)
        if event.details["method"] == "cancel":
            for index in event.details["tasks"]:
                self._asked.setdefault(f"{event.subject}/t{index}", event)
        elif event.details["method"] == "unregister_manifest":
            self._asked.setdefault(event.subject, event)

    def on_assign(self, event: Event) -> None:
        self.arrive(event)
        task, attempt = attempt_of(event.subject)
        self._attempts[task] = attempt

    def on_owner(self, event: Event) -> None:
        self.arrive(event)
        if event.details["worker"] is not None:
            self._owners[event.subject] = event.details["worker"]

    def on_worker_lost(self, event: Event) -> None:
        self.arrive(event)
        self._lost.setdefault(event.subject, event)

    def on_worker_gone(self, event: Event) -> None:
        self.arrive(event)
        self._gone.setdefault(event.subject, event)

    def on_report(self, event: Event) -> None:
        self.arrive(event)
        task, attempt = attempt_of(event.subject)
        self._reports.setdefault((task, attempt, event.details["state"]), event)

    def on_move(self, event: Event) -> None:
        self.arrive(event)
        if self.story.cluster and is_task(event.subject) and event.details["state"] in TERMINAL:
            self._ended.setdefault(event.subject, event)

    def on_task_event(self, event: Event) -> None:
        task, state = event.subject, event.details["state"]
        if (
            state in ("Completed", "Failed")
            and not self.story.cluster
            and manifest_of(task) in self.story.registered
            and task not in self.story.started
        ):
            self.violated(f"{task} is {state}, but was never started", event, right="Cancelled")

    def at_rest(self) -> None:
        for task, ended in self._ended.items():
            self._judge(task, ended)
        self._ended.clear()

    def _judge(self, task: str, ended: Event) -> None:
        state = ended.details["state"]
        said = self._reports.get((task, self._attempts.get(task, 0), state))
        owner = self._owners.get(task, "")
        asked = self._asked.get(task) or self._asked.get(manifest_of(task))
        if state == "Completed":
            if said is None:
                self.violated(
                    f"{task} is Completed, and its execution did not say so",
                    ended,
                    right="Completed only after such a report",
                )
        elif state == "Cancelled":
            if (asked is None or asked.seq > ended.seq) and owner not in self._gone:
                self.violated(
                    f"{task} is Cancelled, and nobody asked for that",
                    ended,
                    right="a cancel, an unregister, or its worker's leave",
                )
        elif said is None:
            lost = self._lost.get(owner)
            if lost is None:
                self.violated(
                    f"{task} is Failed, and neither its execution said so nor was its worker lost",
                    ended,
                    right="Failed only after an error or a loss",
                )
            elif asked is not None and asked.seq < lost.seq:
                self.violated(
                    f"{task} is Failed by the loss of {owner}, its cancel was asked before",
                    asked,
                    lost,
                    ended,
                    right="Cancelled",
                )


class TimesAndStatistics(Monitor):
    """T10."""

    rule = "T10"
    sentence = "times of a task are in order, and what it counted is added once"
    level = Level.ENGINE

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._queues: dict[str, Event] = {}
        self._ends: dict[str, Event] = {}
        self._runs: dict[str, Event] = {}
        self._totals: dict[str, dict[str, int]] = {}

    def on_queue(self, event: Event) -> None:
        self._queues.setdefault(event.subject, event)
        self._not_over(event, event.subject, "queued")
        made = self.story.shape(event.subject)
        if made is None:
            self.violated(f"{event.subject} was queued before its manifest was made", event)

    def on_assign(self, event: Event) -> None:
        task, _ = attempt_of(event.subject)
        if task not in self._queues:
            self.violated(f"{task} was assigned before it was queued", event)
        self._not_over(event, task, "assigned")

    def _not_over(self, event: Event, task: str, what: str) -> None:
        ended = self._ends.get(task)
        if ended is not None:
            state = ended.details["state"]
            self.violated(f"{task} was {what} after it was {state}", ended, event)

    def on_move(self, event: Event) -> None:
        if is_task(event.subject) and event.details["state"] in TERMINAL:
            self._ends.setdefault(event.subject, event)

    def on_run(self, event: Event) -> None:
        self._runs[event.subject] = event

    def on_over(self, event: Event) -> None:
        began = self._runs.pop(event.subject, None)
        worked = event.details.get("worked", 0)
        if began is None or event.details.get("crashed"):
            return  # M3 judges the first; what was cut off had planned more work than it did
        if not 0 <= worked <= event.tick - began.tick:
            self.violated(
                f"{event.subject} worked {worked} ticks in an execution of "
                f"{event.tick - began.tick}",
                began,
                event,
                right=f"from 0 to {event.tick - began.tick}",
            )

    def on_task_event(self, event: Event) -> None:
        manifest = manifest_of(event.subject)
        if self.story.ends.get(event.subject) is event and manifest not in self.story.unregistered:
            total = self._totals.setdefault(manifest, {})
            for name, count in (event.details.get("statistics") or {}).items():
                total[name] = total.get(name, 0) + count

    def on_statistics(self, event: Event) -> None:
        given = {name: count for name, count in event.details["total"].items() if count}
        counted = self._totals.get(event.subject, {})
        counted = {name: count for name, count in counted.items() if count}
        if given != counted:
            self.violated(
                f"the caller of {event.subject} got the statistics {given}",
                event,
                right=f"what its tasks reported: {counted}",
            )


MONITORS: Final[tuple[type[Monitor], ...]] = (
    LegalTaskMoves,
    OneTerminal,
    NoGoingBack,
    EveryStartedTaskEnds,
    FencedAttempts,
    OneLiveExecution,
    AcceptedMeansOwned,
    NoTaskFallsOut,
    TruthfulOutcomes,
    TimesAndStatistics,
)
