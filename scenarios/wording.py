"""Events, choices and faults in words, for people.

>>> in_words(Event(3, 1200, "assign", "m0/t2.0", {"worker": "w1"}))
'm0/t2.0 is assigned to w1'
>>> in_words(Event(4, 1200, "dream", "m0", {"of": "rows"}))
'dream m0 of=rows'
"""

from typing import Any, Final

from sim.scenario import Fault
from workflow.trace import Event

__all__ = ["WIDTH", "choice_in_words", "counted", "cut", "fault_in_words", "in_words", "line_of"]

WIDTH: Final = 100  # columns that a report fits into, but for what is there to be copied

# By kind: a sentence, with the event's subject as {s} and its details by name.
_WORDS: Final[dict[str, str]] = {
    "accept": "the scheduler hears that {worker} took {s}",
    "ack_timeout": "the scheduler has heard nothing from {worker} and takes {s} back",
    "acquire": "{s} takes a token of the lane {lane}",
    "activities": "at the end these processes still run: {running}",
    "admission": "limits of {s}: {scan} scans and {other} others (0: none)",
    "ask": "the user of {s} asks to {what} it",
    "assign": "{s} is assigned to {worker}",
    "bind": "{task} learns that {s} goes to {to}",
    "call": "the workflow calls {method}{of}",
    "close_results": "the reader of {s} closes",
    "close_workflow": "{s} is closed",
    "cluster": "a cluster of {workers} workers with {slots} slots",
    "connect": "{s} connects",
    "crash": "{s} dies",
    "end": "nothing more happens",
    "enter": "{s} enters what only one may enter",
    "exit": "{s} leaves what only one may enter",
    "fault": "fault: {fault} strikes {s}",
    "input_end": "{s} has read an input to its end",
    "leaving": "{s} takes no more tasks and will go",
    "manifest": "the manifest {s} has {count} tasks and {streams} streams",
    "move": "the scheduler moves {s} to {state}",
    "over": "{s} leaves its slot on {worker}",
    "owner": "by the scheduler's book {s} belongs to {worker}",
    "process_failed": "{s} raises {error}",
    "queue": "{s} waits for a slot",
    "raised": "{s} raises {error_type}: {error} ({place})",
    "read": "the reader reads {rows} rows of {s}",
    "read_eof": "the reader sees the end of {s}",
    "read_error": "the reader of {s} sees an error: {error}",
    "read_wait": "the reader of {s} waits",
    "ready": "a slot of {s} asks for a task",
    "receive": "{task} receives batch {number} of {s}",
    "recorded": "the workflow records {s} as {state}",
    "refuse": "the scheduler hears that {worker} refuses {s}",
    "release": "{s} gives its token of the lane {lane} back",
    "report": "the scheduler hears from {worker}: {s} is {state}",
    "restart": "{s} is back",
    "results_end": "the results of {s} shall end",
    "results_error": "the results of {s} shall end with {error}",
    "return": "{method} returns",
    "revoked": "the scheduler hears that {worker} does not run {s}",
    "run": "{s} begins on {worker}",
    "send": "{task} sends batch {number} of {s}",
    "statistics": "{s} gives its statistics",
    "stop": "{s} starts nothing more",
    "stopped": "{worker} hears that {s} must stop",
    "stream_event": "{s} is {state}",
    "tables": "{s} keeps {kept}",
    "take": "{task} takes batch {number} of {s}",
    "task_event": "{s} is {state}",
    "task_event_done": "the workflow has heard that {s} is {state}",
    "tell_cancel": "the scheduler tells {worker} to stop {s}",
    "told_closed": "{task} learns that {s} has ended",
    "worker_gone": "{s} has left",
    "worker_lost": "the scheduler loses {s}",
    "worker_up": "the scheduler hears from {s} for the first time",
    "write": "{rows} rows are offered to {s}",
    "write_done": "{s}: the rows are {outcome}",
}


def in_words(event: Event) -> str:
    """What happened, as a sentence; an event of a kind that has none in full."""
    values: dict[str, Any] = {"s": event.subject, **event.details}
    if event.kind == "call":
        values["of"] = _called(event)
    elif event.kind == "manifest":
        values["count"] = len(event.details.get("tasks", ()))
    elif event.kind == "tables":
        kept = [f"{count} {name}" for name, count in event.details.items() if name != "when"]
        values["kept"] = ", ".join(kept)
    try:
        text = _WORDS[event.kind].format(**values)
    except KeyError:
        details = " ".join(f"{key}={value}" for key, value in event.details.items())
        text = f"{event.kind} {event.subject} {details}"
    return " ".join(text.split())


def _called(event: Event) -> str:
    tasks = event.details.get("tasks")
    if tasks is not None:
        return " of " + (", ".join(f"{event.subject}/t{index}" for index in tasks) or "nothing")
    stream = event.details.get("stream")
    return f" of {event.subject}" if stream is None else f" of {event.subject}/s{stream}"


def line_of(event: Event) -> str:
    """Its number, its time and what happened: columns of a story."""
    return f"#{event.seq:<4} {event.tick:>9,} us  {in_words(event)}"


def fault_in_words(fault: Fault) -> str:
    """A fault of a scenario, short."""
    whom = (
        ("worker", fault.worker),
        ("task", fault.task),
        ("workload", fault.workload),
    )
    words = [f"fault {fault.kind}"]
    words += [f"of {noun} {index}" for noun, index in whom if index is not None]
    if fault.at is not None:
        words.append(f"at {fault.at:,} us")
    elif fault.nth is not None:
        words.append(f"at occasion {fault.nth}")
    else:
        words.append(f"by chance, {fault.per_million:,} in a million")
    return " ".join(words)


# By site: what an answer other than the tamest means, for {key}.
_CHOSEN: Final[dict[str, str]] = {
    "bind": "{key} takes up its source later",
    "cancel": "{key} is slow to stop",
    "crash": "{key} is well under way when its worker dies",
    "fault": "{key} happens",
    "latency": "the message {key} takes longer",
    "node": "{key} reads its inputs in another order",
    "notify": "the word about {key} comes later",
    "place": "{key} is placed elsewhere",
    "read": "the reader pauses longer at {key}",
    "slack": "{key} is moved within the slack",
    "take": "{key} takes from another input",
    "tie": "{key} comes after others of its tick",
    "victim": "{key} strikes another",
    "work": "{key} works longer",
}


def choice_in_words(decision: str, answer: int) -> str:
    """An answer that is not the tamest, short.

    >>> choice_in_words("work:m0/t2/0", 17)
    'm0/t2/0 works longer (work 17)'
    """
    site, _, key = decision.partition(":")
    return f"{_CHOSEN.get(site, '{key} is not the first').format(key=key)} ({site} {answer})"


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things.

    >>> counted(1, "batch", "batches"), counted(2_000, "task")
    ('1 batch', '2,000 tasks')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def cut(line: str, width: int = WIDTH) -> str:
    """A line, its end left out if it would not fit.

    >>> cut("somewhat long", 9)
    'somewh...'
    """
    return line if len(line) <= width else f"{line[: width - 3]}..."
