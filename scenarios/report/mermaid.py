"""Mermaid: a partitioned plan as a flowchart, the story of a failure as a sequence diagram.

Forges and editors draw both.  Whatever a label holds, only letters, digits and a few harmless signs
reach the text as they are; all else is written as Mermaid's numbered characters.

>>> escape_label('a "b"; c')
'a #34;b#34;#59; c'
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from properties.judged import escaped
from properties.monitors.story import worker_of
from scenarios.failure_report import story_of
from scenarios.report.graph import Operator, operators_of
from scenarios.report.shown import Shown
from scenarios.wording import in_words
from workflow import Plan, TaskGraph
from workflow.plan_text import plan_to_text
from workflow.trace import Event
from workflow.tree import TreeTooLarge

__all__ = [
    "MOST_EVENTS",
    "escape_label",
    "flowchart",
    "flowchart_of",
    "mermaid_of",
    "sequence_diagram",
]

MOST_EVENTS: Final = 24  # of a sequence diagram

_LONG: Final = 60  # characters of a label
_MOST_TASKS: Final = 100
# What is no plain sign; and the word that ends a block of Mermaid's, wherever it stands.
_ODD: Final = re.compile(r"[^A-Za-z0-9 _.,/()=+\-]|\b[eE](?=[nN][dD]\b)")

_Task = Mapping[str, Any]


def escape_label(text: str) -> str:
    """A text as a label, on one line, not too long."""
    text = escaped(" ".join(text.split()))
    text = text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
    return _ODD.sub(lambda odd: f"#{ord(odd[0])};", text)


def mermaid_of(shown: Shown) -> Iterator[str]:
    """A flowchart of each manifest; for a broken rule also the sequence diagram.

    Each diagram stands in a block of its own, as Markdown has it.
    """
    for event in shown.events:
        if event.kind == "manifest":
            yield "```mermaid"
            yield from flowchart(event.subject, event.details["tasks"])
            yield "```"
    if shown.violations:
        yield "```mermaid"
        yield from sequence_diagram(shown)
        yield "```"


def flowchart(manifest: str, tasks: Sequence[_Task]) -> Iterator[str]:
    """The tasks of a manifest, each with its operators; streams run from senders to readers."""
    yield "flowchart BT"
    shown = tasks[:_MOST_TASKS]
    readers = {stream: index for index, task in enumerate(shown) for stream in task["sources"]}
    for index, task in enumerate(shown):
        yield f'  subgraph t{index}["{escape_label(f"{manifest}/t{index}".lstrip("/"))}"]'
        operators = operators_of(task) or [Operator(0, "too large to print", "")]
        above: dict[int, int] = {}  # by depth: the operator that was last
        for number, each in enumerate(operators):
            label = escape_label(f"{each.name} {each.arguments}".strip())
            yield f'    t{index}n{number}["{label}"]'
            reader = max((depth for depth in above if depth < each.depth), default=None)
            if reader is not None:
                yield f"    t{index}n{number} --> t{index}n{above[reader]}"
            above = {depth: n for depth, n in above.items() if depth < each.depth}
            above[each.depth] = number
        yield "  end"
    ends = False
    for index, task in enumerate(shown):
        for stream in task["sinks"]:
            to = readers.get(stream)
            if to is None and stream == 0:
                ends = True
            elif to is None:
                continue
            yield f'  t{index} -- "s{stream}" --> {"results" if to is None else f"t{to}"}'
    if ends:
        yield '  results(["results"])'
    if len(tasks) > len(shown):
        yield f'  more["and {len(tasks) - len(shown)} more tasks"]'


def flowchart_of(tasks: TaskGraph) -> Iterator[str]:
    """The same for a plan that was cut, its streams numbered as a manifest would."""
    order = [*tasks.preorder()]
    streams = [*tasks.root().sink_streams(), *(s for task in order for s in task.source_streams())]
    number = {stream: index for index, stream in enumerate(dict.fromkeys(streams))}
    described = [
        {
            "fragment": _printed(task.fragment),
            "sources": [number[stream] for stream in task.source_streams()],
            "sinks": [number[stream] for stream in task.sink_streams() if stream in number],
        }
        for task in order
    ]
    return flowchart("", described)


def _printed(fragment: Plan) -> str:
    try:
        return plan_to_text(fragment)
    except TreeTooLarge:
        return ""  # as in a trace


def sequence_diagram(shown: Shown) -> Iterator[str]:
    """The story of the first broken rule: who tells whom what, up to where it breaks."""
    violation = shown.violations[0]
    story = story_of(violation, shown.events, most=MOST_EVENTS)
    workers = _Workers(shown.events)
    steps = [(event, *workers.ends(event)) for event in story]
    yield "sequenceDiagram"
    met: dict[str, None] = dict.fromkeys(each for _, *ends in steps for each in ends)
    first = [name for name in ("reader", "workflow", "scheduler") if name in met]
    names: dict[str, str] = {name: name for name in first}
    for name in met:
        names.setdefault(name, f"p{len(names)}")
    for name, short in names.items():
        yield f"  participant {short} as {escape_label(name)}"
    over = ",".join(list(names.values())[:: max(1, len(names) - 1)])  # from the first to the last
    tick = -1
    for event, source, target in steps:
        if event.tick != tick:
            tick = event.tick
            yield f"  Note over {over}: {escape_label(f't={tick:,} us')}"
        words = escape_label(f"{event.seq}. {in_words(event)}")
        if source == target:
            yield f"  Note over {names[source]}: {words}"
        else:
            yield f"  {names[source]}->>{names[target]}: {words}"
        if violation.events and event.seq == violation.events[-1]:
            yield "  rect rgb(255, 225, 225)"
            broken = escape_label(f"{violation.rule} broken, {violation.seen}")
            yield f"  Note over {names[target]}: {broken}"
            yield "  end"


_TO_SCHEDULER: Final = (
    "accept", "refuse", "report", "revoked", "connect", "worker_up", "worker_gone", "ready",
)  # fmt: skip
_TO_WORKER: Final = ("assign", "tell_cancel", "told_closed")
_TO_WORKFLOW: Final = ("task_event", "stream_event", "return")
_AT_WORKER: Final = ("crash", "restart", "leaving", "run", "over", "stopped", "input_end")
_AT_READER: Final = ("read_wait", "read_eof", "read_error")
_AT_SCHEDULER: Final = (
    "ack_timeout", "worker_lost", "owner", "move", "queue", "bind", "enter", "exit", "tables",
)  # fmt: skip


class _Workers:
    """Who an event happens between."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._at = {
            event.subject: worker_of(str(event.details.get("worker")))
            for event in events
            if event.kind == "run"
        }
        self._runner = "scheduler" if self._at or _simulated(events) else "runner"

    def _worker(self, event: Event) -> str:
        worker = event.details.get("worker")
        if isinstance(worker, str):
            return worker_of(worker)
        return self._at.get(event.subject, worker_of(event.subject))

    def ends(self, event: Event) -> tuple[str, str]:
        """From whom, and to whom; the same one twice for what happens to it alone."""
        kind, runner = event.kind, self._runner
        if kind in _TO_SCHEDULER:
            return self._worker(event), runner
        if kind in _TO_WORKER:
            return runner, self._worker(event)
        if kind in _TO_WORKFLOW:
            return runner, "workflow"
        if kind == "call":
            return "workflow", runner
        if kind in _AT_WORKER:
            return (self._worker(event),) * 2
        if kind in ("send", "receive", "take"):
            return self._batch(event)
        if kind in _AT_READER:
            return "reader", "reader"
        if kind in ("read", "close_results", "ask"):
            return ("workflow", "reader") if kind == "read" else ("reader", "workflow")
        if kind in ("write", "write_done"):
            return (runner, "workflow") if kind == "write" else ("workflow", runner)
        if kind == "fault":
            head = "/".join(event.subject.split("/")[:2])
            return (self._at.get(head, worker_of(event.subject.partition("/")[0])),) * 2
        return (runner if kind in _AT_SCHEDULER else "workflow",) * 2

    def _batch(self, event: Event) -> tuple[str, str]:
        task = str(event.details.get("task"))
        here = self._runner if task == "scheduler" else self._at.get(task, task)
        if event.kind != "receive":
            return here, here
        sender = str(event.details.get("sender"))
        return self._at.get(sender, sender), here


def _simulated(events: Sequence[Event]) -> bool:
    return any(event.kind == "cluster" for event in events)
