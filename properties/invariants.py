"""What must hold in every simulated run, judged by its outcome.

Each rule is a function over an outcome that yields what is wrong, in words.

>>> [rule_id for rule_id in INVARIANTS]
['RUN-1', 'RUN-2', 'RUN-3', 'RUN-4', 'RUN-5', 'RUN-6', 'RUN-7', 'RUN-8', 'RUN-9', 'RUN-10']
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from properties.answer import answer_of
from sim.simulate import End, Outcome
from workflow import StreamState, TaskState
from workflow.runner import LEGAL_STREAM_MOVES, LEGAL_TASK_MOVES
from workflow.trace import Event

__all__ = ["INVARIANTS", "Violation", "check"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that does not hold: its id, its sentence, and what was seen."""

    rule: str
    sentence: str
    seen: str

    def __str__(self) -> str:
        return f"{self.rule} {self.sentence}: {self.seen}"


_TASK_STATES: Final = {str(state): state for state in TaskState}
_STREAM_STATES: Final = {str(state): state for state in StreamState}


def _of(outcome: Outcome, kind: str) -> Iterator[Event]:
    return (event for event in outcome.trace.events if event.kind == kind)


def _manifest_of(outcome: Outcome, index: int) -> str:
    """Manifests are named in the order in which their workloads arrived."""
    order = sorted(
        range(len(outcome.scenario.workloads)),
        key=lambda i: (outcome.scenario.workloads[i].arrival, i),
    )
    return f"m{order.index(index)}"


def _reordered(outcome: Outcome) -> bool:
    """Whether reports may reach the workflow in another order than they were made."""
    return any(outcome.scenario.cluster.notify.table())


def _legal_tasks(outcome: Outcome) -> Iterator[str]:
    if _reordered(outcome):
        return
    states: dict[str, TaskState] = {}
    for event in _of(outcome, "task_event"):
        old = states.get(event.subject, TaskState.CREATED)
        new = _TASK_STATES[event.details["state"]]
        if new not in LEGAL_TASK_MOVES[old]:
            yield f"{event.subject} went from {old} to {new} (event {event.seq})"
        states[event.subject] = new


def _legal_streams(outcome: Outcome) -> Iterator[str]:
    if _reordered(outcome):
        return
    states: dict[str, StreamState] = {}
    for event in _of(outcome, "stream_event"):
        old = states.get(event.subject, StreamState.IDLE)
        new = _STREAM_STATES[event.details["state"]]
        if new not in LEGAL_STREAM_MOVES[old]:
            yield f"{event.subject} went from {old} to {new} (event {event.seq})"
        states[event.subject] = new


def _two_ends(outcome: Outcome) -> Iterator[str]:
    for event in _of(outcome, "manifest"):
        senders: Counter[int] = Counter()
        readers: Counter[int] = Counter({0: 1})  # the workflow reads its results
        for task in event.details["tasks"]:
            senders.update(task["sinks"])
            readers.update(task["sources"])
        for stream in range(event.details["streams"]):
            if senders[stream] != 1 or readers[stream] != 1:
                yield (
                    f"{event.subject}/s{stream} has {senders[stream]} senders"
                    f" and {readers[stream]} readers"
                )


def _one_end(outcome: Outcome) -> Iterator[str]:
    ends: Counter[str] = Counter(
        event.subject
        for event in _of(outcome, "task_event")
        if _TASK_STATES[event.details["state"]].terminal
    )
    for task, count in ends.items():
        if count > 1:
            yield f"{task} ended {count} times"


def _tokens(outcome: Outcome) -> Iterator[str]:
    for index, (workload, end) in enumerate(
        zip(outcome.scenario.workloads, outcome.ends, strict=True)
    ):
        if end.end != "unfinished" and any(end.tokens.values()) and _all_terminal(end):
            yield f"workload {index} ended with tokens in use: {end.tokens}"
        limits = {
            "scan": workload.options.max_running_scan_tasks,
            "other": workload.options.max_running_other_tasks,
        }
        yield from _too_many(outcome, _manifest_of(outcome, index), limits)


def _all_terminal(end: End) -> bool:
    return all(_TASK_STATES[state].terminal for state in end.states)


def _too_many(outcome: Outcome, name: str, limits: dict[str, int]) -> Iterator[str]:
    lanes: list[str] = []
    running: Counter[str] = Counter()
    live: dict[int, None] = {}
    for event in outcome.trace.events:
        if event.kind == "manifest" and event.subject == name:
            lanes = [task["lane"] for task in event.details["tasks"]]
        elif event.kind == "call" and event.subject == name and event.details["method"] == "start":
            for task in event.details["tasks"]:
                live[task] = None
                lane = lanes[task]
                running[lane] += 1
                if 0 < limits[lane] < running[lane]:
                    yield (
                        f"{running[lane]} {lane} tasks of {name} ran with {limits[lane]} tokens"
                        f" (event {event.seq})"
                    )
        elif event.kind == "task_event" and event.subject.startswith(f"{name}/"):
            task = int(event.subject.rpartition("/t")[2])
            if task in live and _TASK_STATES[event.details["state"]].terminal:
                del live[task]
                running[lanes[task]] -= 1


def _error_first(outcome: Outcome) -> Iterator[str]:
    failed: dict[str, Event] = {}
    live: dict[str, dict[str, None]] = {}
    for event in outcome.trace.events:
        name = event.subject.partition("/")[0]
        if event.kind == "manifest":
            tasks = event.details["tasks"]
            live[name] = {f"{name}/t{index}": None for index in range(len(tasks))}
        elif event.kind == "task_event" and _TASK_STATES[event.details["state"]].terminal:
            live[name].pop(event.subject, None)
            if event.details["state"] == "Failed":
                failed.setdefault(name, event)
        elif event.kind == "read_eof" and not _closed_by_reader(outcome, event):
            if name in failed:
                yield f"the reader saw the end although {failed[name].subject} had failed"
            elif live[name]:
                yield f"the reader saw the end while {next(iter(live[name]))} was not over"


def _closed_by_reader(outcome: Outcome, eof: Event) -> bool:
    return any(
        event.subject == eof.subject and event.seq < eof.seq
        for event in _of(outcome, "close_results")
    )


def _rows(outcome: Outcome) -> Iterator[str]:
    for index, end in enumerate(outcome.ends):
        seen = Counter(_single_rows(end.row_names))
        answer = answer_of(outcome.scenario.workloads[index], _manifest_of(outcome, index))
        yield from (f"workload {index}: {wrong}" for wrong in answer.wrong(seen, end.end == "eof"))


def _single_rows(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        scan, _, run = name.rpartition(":")
        first, _, last = run.partition("-")
        for row in range(int(first), int(last) + 1):
            yield f"{scan}:{row}"


def _ends(outcome: Outcome) -> Iterator[str]:
    if outcome.over_budget:
        yield f"the run was not over after {outcome.steps:,} steps"
    if outcome.stuck is not None:
        first = "; ".join(f"{who} waits for {what}" for who, what in outcome.stuck.waiting[:4])
        yield f"nothing can happen any more: {first}"


def _truthful(outcome: Outcome) -> Iterator[str]:
    """No trouble, no error; and each task that was started came to an end."""
    quiet = not any(name.startswith("fault ") for name in outcome.counts)
    for index, (workload, end) in enumerate(
        zip(outcome.scenario.workloads, outcome.ends, strict=True)
    ):
        client = workload.client
        asked = client.cancel_at is not None or client.close_at is not None
        if end.end == "error" and quiet and not asked:
            yield f"workload {index} ended with an error without any trouble: {end.error}"
        if end.end != "unfinished" and client.close_at is None and not _all_terminal(end):
            yield f"workload {index} left tasks {end.states}"


def _nothing_kept(outcome: Outcome) -> Iterator[str]:
    if outcome.stuck is None and not outcome.over_budget and any(outcome.kept.values()):
        yield f"the scheduler still keeps {outcome.kept}"


Rule = Callable[[Outcome], Iterator[str]]

INVARIANTS: Final[dict[str, tuple[str, Rule]]] = {
    "RUN-1": ("the run ends", _ends),
    "RUN-2": ("a task only moves as the table of states allows", _legal_tasks),
    "RUN-3": ("a stream only moves as the table of states allows", _legal_streams),
    "RUN-4": ("every stream has one sender and one reader", _two_ends),
    "RUN-5": ("a task ends once", _one_end),
    "RUN-6": ("tokens are conserved", _tokens),
    "RUN-7": ("the end comes last: after every task, and after any error", _error_first),
    "RUN-8": ("no row is lost or doubled", _rows),
    "RUN-9": ("every started task ends, and only trouble is an error", _truthful),
    "RUN-10": ("an unregistered manifest leaves nothing behind", _nothing_kept),
}


def check(outcome: Outcome) -> list[Violation]:
    """Every violation, rule by rule; empty when all hold."""
    found: list[Violation] = []
    for rule_id, (sentence, rule) in INVARIANTS.items():
        found.extend(Violation(rule_id, sentence, seen) for seen in rule(outcome))
    return found
