"""Rules of data, D1 to D5, D7 and D8 of the invariants over a trace.

D1, D5 and D7 need the scenario: what its plans must answer is computed without a cluster, and how
often each of their nodes must stand in the tasks is counted from the plan alone, not by cutting it
again.  Where plans share nodes, or a branch is sharded around a node, the count is a span: a node
stands in at least one fragment, and at most once for each way from the top to it.

D3 and D4 are about what tasks and the scheduler accept; the order of the results at their reader is
P5's.  D4 leaves a record that is accepted twice to D3.

D8 follows an error from the worker's word over the handler and the results to the reader, and holds
each to the kind that it had before.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from properties.answer import answer_of
from properties.monitors.executions import FollowsExecutions
from properties.monitors.monitor import Level, Monitor
from properties.monitors.story import TERMINAL, Story, attempt_of, manifest_of, worker_of
from sim.scenario import Workload
from workflow.plan import Batching, Node, Parallelize, Plan, ScanSet
from workflow.plan_text import node_trees
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "REAL_ROWS",
    "EmptyBatchIsNoEnd",
    "ErrorKindsStay",
    "NoDuplication",
    "NoLoss",
    "NothingLostInCutting",
    "RecordsInOrder",
    "RightAnswer",
]

REAL_ROWS: Final = "the rows are real, and a trace does not show what they should be"
_NO_SCENARIO: Final = "the scenario is not known, and with it what the plans must answer"


def _workload_of(monitor: Monitor, manifest: str) -> Workload | None:
    """The workload of a manifest: they are named in the order in which their workloads arrived."""
    scenario = monitor.story.scenario
    if scenario is None:
        monitor.cannot_judge(_NO_SCENARIO)
        return None
    order = sorted(
        range(len(scenario.workloads)), key=lambda index: (scenario.workloads[index].arrival, index)
    )
    number = manifest.removeprefix("m")
    if not number.isdecimal() or int(number) >= len(order):
        monitor.cannot_judge(f"the scenario has no workload for {manifest}")
        return None
    return scenario.workloads[order[int(number)]]


class _Reads(Monitor):
    """A monitor that holds what a reader got to the answer of its workload."""

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._rows: dict[str, Counter[str]] = {}  # by manifest
        self._last: dict[str, Event] = {}
        self._judged: dict[str, None] = {}
        self._unnamed: dict[str, None] = {}  # manifests whose rows a trace does not tell apart

    def on_read(self, event: Event) -> None:
        """A record is read."""
        name = manifest_of(event.subject)
        self._last[name] = event
        rows = self._rows.setdefault(name, Counter())
        ids = event.details.get("ids")
        if ids is None and event.details.get("rows"):
            self._unnamed[name] = None
        for run in ids or ():
            try:
                rows.update(_single_rows(run))
            except ValueError:
                self._unnamed[name] = None

    def on_read_eof(self, event: Event) -> None:
        """The reader saw the end: it has all rows, unless it closed before."""
        name = manifest_of(event.subject)
        if name not in self._judged:
            self._judge(name, event, whole=name not in self.story.reader_closed)

    def at_end(self, event: Event) -> None:  # noqa: ARG002 - the last read proves it
        for name, last in self._last.items():
            if name not in self._judged:
                self._judge(name, last, whole=False)

    def _judge(self, name: str, event: Event, *, whole: bool) -> None:
        self._judged[name] = None
        workload = _workload_of(self, name) if self.concerned(name) else None
        if workload is None:
            return
        if self.story.cluster.get("rows") == "real":
            self.cannot_judge(REAL_ROWS)
            return
        if name in self._unnamed:
            self.cannot_judge(f"the rows that {name}'s reader got have no names of the scenario's")
            return
        answer = answer_of(workload, name)
        for wrong in answer.wrong(self._rows.get(name, Counter()), whole):
            self.wrong(name, wrong, event)

    def concerned(self, name: str) -> bool:
        """Whether the rule says something about the manifest."""
        return bool(name)

    def wrong(self, name: str, seen: str, event: Event) -> None:
        """The reader got something else."""
        self.violated(
            f"the reader of {name} {seen}" if seen.startswith("got") else f"{name}: {seen}",
            event,
            right="the rows that the plan gives in one process",
        )


def _single_rows(run: str) -> Iterator[str]:
    """The rows of a run such as m0/t1.0:3-5.  Raises ValueError."""
    scan, _, span = run.rpartition(":")
    first, dash, last = span.partition("-")
    if not scan or not dash:
        raise ValueError(run)
    for row in range(int(first), int(last) + 1):
        yield f"{scan}:{row}"


class RightAnswer(_Reads):
    """D1."""

    rule = "D1"
    sentence = "a reader gets the rows that the plan gives in one process"


class NoLoss(FollowsExecutions):
    """D2."""

    rule = "D2"
    sentence = "what a completed task sent was accepted, unless its reader was over"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        # By stream and execution, records that nobody has accepted yet.
        self._open: dict[tuple[str, str], dict[int, Event]] = {}
        self._over: dict[str, Event] = {}  # by manifest: nobody reads the results any more

    def on_send(self, event: Event) -> None:
        """A record leaves."""
        key = (event.subject, event.details["task"])
        self._open.setdefault(key, {})[event.details["number"]] = event

    def on_receive(self, event: Event) -> None:
        """It is accepted."""
        waiting = self._open.get((event.subject, event.details["sender"]), {})
        waiting.pop(event.details["number"], None)

    def _results_over(self, event: Event) -> None:
        self._over.setdefault(manifest_of(event.subject), event)

    on_results_error = on_results_end = _results_over
    on_close_results = on_read_eof = on_read_error = _results_over

    def on_write_done(self, event: Event) -> None:
        """An offer of results may find that nobody reads."""
        if event.details["outcome"] == "closed":
            self._results_over(event)

    def on_move(self, event: Event) -> None:
        super().on_move(event)
        task = event.subject
        shape, accept = self.story.shape(task), self.current.get(task)
        if shape is None or accept is None or event.details["state"] != "Completed":
            return
        for stream in shape.sinks.get(task, ()):
            waiting = self._open.get((stream, accept.subject))
            readers = shape.readers.get(stream, [])
            if waiting and not self._reader_over(stream, readers):
                send = next(iter(waiting.values()))
                self.violated(
                    f"{task} completed, and record {send.details['number']} of {stream} was not"
                    f" accepted by {' and '.join(readers) or 'the listener'}",
                    send,
                    event,
                    right="all of its records accepted, or a reader that is over",
                )

    def _reader_over(self, stream: str, readers: Sequence[str]) -> bool:
        if not readers:
            return manifest_of(stream) in self._over
        for reader in readers:
            accept = self.current.get(reader)
            if reader not in self.task_ends and (
                accept is None or self.end_of(accept.subject) is None
            ):
                return False
        return True


class NoDuplication(Monitor):
    """D3."""

    rule, sentence = "D3", "no record is accepted twice"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._accepted: dict[tuple[str, str], dict[int, Event]] = {}

    def on_receive(self, event: Event) -> None:
        """A record is accepted."""
        sender, number = event.details["sender"], event.details["number"]
        accepted = self._accepted.setdefault((event.subject, sender), {})
        if number in accepted:
            self.violated(
                f"record {number} of {event.subject} from {sender} was accepted by"
                f" {accepted[number].details['task']} and again by {event.details['task']}",
                accepted[number],
                event,
                right="each record once",
            )
        accepted.setdefault(number, event)


class RecordsInOrder(Monitor):
    """D4."""

    rule, sentence = "D4", "records of a stream are accepted in the order in which they were sent"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._last: dict[tuple[str, str], Event] = {}

    def on_receive(self, event: Event) -> None:
        """A record is accepted."""
        sender, number = event.details["sender"], event.details["number"]
        last = self._last.setdefault((event.subject, sender), event)
        if number < last.details["number"]:
            self.violated(
                f"record {number} of {event.subject} from {sender} was accepted after record"
                f" {last.details['number']}",
                last,
                event,
                right="rising numbers",
            )
        else:
            self._last[event.subject, sender] = event


class EmptyBatchIsNoEnd(FollowsExecutions, _Reads):
    """D5."""

    rule, sentence = "D5", "an empty batch ends nothing and changes no answer"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._sent: dict[str, Event] = {}  # by manifest: its first empty batch
        self._taken: dict[tuple[str, str], Event] = {}  # by execution and stream

    def on_send(self, event: Event) -> None:
        """A batch leaves."""
        if not event.details["rows"]:
            self._sent.setdefault(manifest_of(event.subject), event)

    def on_take(self, event: Event) -> None:
        """A batch is read."""
        if not event.details["rows"]:
            self._taken[event.details["task"], event.subject] = event

    def on_input_end(self, event: Event) -> None:
        """An execution has read an input to its end."""
        for stream in event.details["streams"]:
            empty = self._taken.get((event.subject, stream))
            if empty is not None and not self.knows_ended(event.subject, stream):
                self.violated(
                    f"{event.subject} came to the end of {stream} after an empty batch,"
                    " and had not heard that the stream had ended",
                    empty,
                    event,
                    right="the end once the stream has ended",
                )

    def concerned(self, name: str) -> bool:
        return name in self._sent

    def wrong(self, name: str, seen: str, event: Event) -> None:
        self.violated(
            f"{self._sent[name].details['task']} sent an empty batch, and the answer of {name} is"
            f" not right: {seen}",
            self._sent[name],
            event,
            right="the rows that the plan gives in one process",
        )


@dataclass(slots=True)
class _Span:
    """How often something may stand in the tasks of a plan."""

    least: int = 0
    most: int = 0

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


class NothingLostInCutting(Monitor):
    """D7."""

    rule = "D7"
    sentence = "the tasks hold every node of the plan, no other, and all lead to the results"

    def on_return(self, event: Event) -> None:
        """A manifest may be registered."""
        shape = self.story.shapes.get(event.subject)
        method, error = event.details["method"], event.details["error"]
        if shape is None or method != "register_manifest" or error is not None:
            return
        ways = {shape.results: None}
        for task in shape.tasks:  # parents stand before their children
            if any(stream in ways for stream in shape.sinks[task]):
                ways.update(dict.fromkeys(shape.sources[task]))
            else:
                self.violated(
                    f"nothing that {task} gives leads to the results of {event.subject}",
                    shape.event,
                    right="a way from every task to the results, parents before children",
                )
        workload = _workload_of(self, event.subject)
        fragments = [task.get("fragment") for task in shape.tasks.values()]
        if workload is None:
            return
        if None in fragments:
            self.cannot_judge("a fragment was too large to be printed")
            return
        seen = Counter(line for text in fragments for line in _nodes_in(str(text)))
        self._compare(shape.event, seen, _spans(workload.plan))

    def _compare(self, manifest: Event, seen: Counter[str], spans: dict[str, _Span]) -> None:
        for line in dict.fromkeys((*spans, *seen)):
            span = spans.get(line, _Span())
            if not span.least <= seen[line] <= span.most:
                self.violated(
                    f"{line} stands {seen[line]} times in the tasks of {manifest.subject}",
                    manifest,
                    right=f"{span} times, as in the plan",
                )


def _nodes_in(text: str) -> Iterator[str]:
    """The nodes of a printed fragment, targets of scan sets among them, one line each."""
    for drawn in text.split("\n"):
        line = drawn.lstrip("│├└─ ")
        if line.startswith(("@target type=", "DataObjScan ")):
            yield _scan_line(line.partition(" location=")[2], line)
        elif line and not line.startswith(("@", "ScanSet ", "Batching ")):
            yield line


def _scan_line(described: str, line: str) -> str:
    if "ScanTypePointers" in line.partition(" location=")[0]:
        return f"PointersScan location={described}"
    # Cutting adds what the scan set says to the projections and predicates of its targets.
    return f"DataObjScan location={described.partition(' projections=')[0]}"


def _line_of(node: Node) -> str:
    """A node as `_nodes_in` gives it."""
    alone = Plan()
    alone.add(node)
    return next(_nodes_in(next(node_trees(alone)).line()))


def _spans(plan: Plan) -> dict[str, _Span]:
    """How often each node of a plan must stand in its tasks, by its line."""
    total: dict[str, _Span] = {}
    top = plan.root()
    if isinstance(top, Batching) and len(plan.children(top)) == 1:
        top = plan.children(top)[0]
    for (node, branch), span in _ways(plan, top).items():
        if isinstance(node, ScanSet):
            for target in node.targets:
                _add(total, _line_of(target), span.least, span.most)
        elif not isinstance(node, Batching) and not _is_cut(plan, node, branch, top):
            shards = 1 if branch is None else _shards(plan, branch)
            _add(total, _line_of(node), span.least * shards, span.most * shards)
    return total


_Place = tuple[Node, Node | None]  # a node, and the nearest Parallelize above it that is cut


def _ways(plan: Plan, top: Node) -> dict[_Place, _Span]:
    """For each place of a node, how many ways lead there; at least 1 stands for all of them.

    A node at two places, one with shards and one without, stands at each of them.
    """
    ways: dict[_Place, _Span] = {(top, None): _Span(1, 1)}
    # Parents before children: in the reverse of a walk that ends with the root.
    for node in reversed(list(plan.walk(top, order="post"))):
        for branch in (None, *_parallelizes(plan)):
            span = ways.get((node, branch))
            if span is None:
                continue
            below = node if _is_cut(plan, node, branch, top) else branch
            for child in plan.children(node):
                at = ways.setdefault((child, below), _Span(1, 0))
                at.most += span.most
    return ways


def _is_cut(plan: Plan, node: Node, branch: Node | None, top: Node) -> bool:
    """Whether the plan is cut at the node; not where a fragment begins with it.

    One right below another Parallelize begins the branch of that one, and stays in its tasks.
    """
    begins = node is top or branch in plan.parents(node)
    return isinstance(node, Parallelize) and not begins


def _parallelizes(plan: Plan) -> list[Node]:
    return [node for node in plan if isinstance(node, Parallelize)]


def _shards(plan: Plan, branch: Node) -> int:
    """How many tasks a Parallelize becomes."""
    first = plan.children(branch)  # one node
    stack, seen = list(first), dict[Node, None]()
    while stack:
        node = stack.pop()
        if node in seen or (isinstance(node, Parallelize) and node not in first):
            continue
        seen[node] = None
        if isinstance(node, ScanSet) and not plan.children(node):
            return len(node.targets)
        stack.extend(plan.children(node))
    return 1


def _add(total: dict[str, _Span], line: str, least: int, most: int) -> None:
    span = total.setdefault(line, _Span())
    span.least += least
    span.most += most


_ENGINE_KINDS: Final = ("TaskFailed", "TaskCancelled", "WorkflowCancelled", "WorkflowClosed")


@dataclass(slots=True)
class _Word:
    """What a worker said of a task's end, or what its loss means."""

    event: Event
    state: str
    kind: str | None


@dataclass(slots=True)
class _Kinds:
    """The errors that a manifest has seen so far: by text, the kinds that came with it."""

    by_text: dict[str, dict[str, Event]] = field(default_factory=dict)
    silent: Event | None = None  # a task that failed without an error
    cancelled: Event | None = None  # a task that was cancelled


class ErrorKindsStay(FollowsExecutions):
    """D8."""

    rule = "D8"
    sentence = "busy, closed, refused, cancelled and failed stay what they are, end to end"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._words: dict[str, _Word] = {}  # by task
        self._told: dict[str, Event] = {}  # by task: what its handler heard last, once it ended
        self._refused: dict[str, Event] = {}  # by task, until it is handed out again
        self._kinds: dict[str, _Kinds] = {}
        self._cancel_asked: dict[str, Event] = {}  # by manifest, also after a close
        self._results_ends: dict[str, Event] = {}

    # From the worker to the handler.

    def on_assign(self, event: Event) -> None:
        super().on_assign(event)
        self._refused.pop(attempt_of(event.subject)[0], None)

    def on_refuse(self, event: Event) -> None:
        """A worker is busy, or leaves."""
        self._refused[attempt_of(event.subject)[0]] = event

    def on_report(self, event: Event) -> None:
        """A worker says how a task ended."""
        state = event.details["state"]
        if not event.details.get("changed") or state not in TERMINAL:
            return
        task, _ = attempt_of(event.subject)
        word = self._words[task] = _Word(event, state, event.details.get("error_type"))
        if task in self._told:
            self._match(task, word, self._told[task])

    def on_worker_lost(self, event: Event) -> None:
        super().on_worker_lost(event)
        for task, accept in self.current.items():
            if accept.details["worker"] == event.subject and task not in self.task_ends:
                self._words.setdefault(task, _Word(event, "Failed", "ConnectionLost"))

    def on_move(self, event: Event) -> None:
        super().on_move(event)
        refusal = self._refused.get(event.subject)
        if event.details["state"] == "Failed" and refusal and event.subject not in self._words:
            self.violated(
                f"{event.subject} was refused by {worker_of(refusal.details['worker'])},"
                " and became Failed",
                refusal,
                event,
                right="back to its place in the queue",
            )

    def on_task_event(self, event: Event) -> None:
        """The handler hears of it."""
        task, state = event.subject, event.details["state"]
        if state not in TERMINAL or task in self._told:
            return
        self._told[task] = event
        kinds = self._kinds.setdefault(manifest_of(task), _Kinds())
        text, kind = event.details.get("error"), event.details.get("error_type")
        if state == "Cancelled":
            kinds.cancelled = kinds.cancelled or event
        elif state == "Failed" and text is None and kind is None:
            kinds.silent = kinds.silent or event
        elif state == "Failed" and text is not None and kind is not None:
            kinds.by_text.setdefault(text, {}).setdefault(kind, event)
        word = self._words.get(task)
        if word is not None:
            self._match(task, word, event)

    def _match(self, task: str, word: _Word, told: Event) -> None:
        # Where a loss is the last word, a cancellation may have come before it.
        state = told.details["state"]
        lost = word.event.kind == "worker_lost"
        if state != word.state and not (lost and state == "Cancelled"):
            said = "lost" if lost else f"reported {word.state}"
            self._wrong(f"{task} was {said}, and its handler heard {state}", word.event, told)
        elif state == "Failed" and told.details.get("error_type") != word.kind:
            self._wrong(
                f"{task} failed with {word.kind or 'no error'}, and its handler heard"
                f" {told.details.get('error_type') or 'no error'}",
                word.event,
                told,
            )

    # From the handler to the results.

    def on_ask(self, event: Event) -> None:
        """The user cancels or closes; the workflow says why it stops, even if it has before."""
        if event.details["what"] == "cancel":
            self._cancel_asked[event.subject] = event

    def on_return(self, event: Event) -> None:
        """What the Runner raises may end a run too."""
        text, kind = event.details["error"], event.details.get("error_type")
        if text is not None and kind is not None:
            kinds = self._kinds.setdefault(event.subject, _Kinds())
            kinds.by_text.setdefault(text, {}).setdefault(kind, event)

    def on_results_error(self, event: Event) -> None:
        """The workflow sets an error."""
        self._results_ends.setdefault(event.subject, event)
        kinds = self._kinds.setdefault(event.subject, _Kinds())
        kind, text = event.details.get("error_type"), event.details.get("error")
        if kind is None:
            return
        came = kinds.by_text.get(str(text), {})
        if came and kind not in came:
            before, source = next(iter(came.items()))
            self._wrong(f"{before} became {kind} in the results", source, event)
            return
        asked = self.story.asked.get(event.subject)
        over = event.subject in self.story.reader_closed or event.subject in self.story.reader_ended
        if kind == "TaskFailed" and not came and kinds.silent is None:
            self._wrong("the results got TaskFailed, and no task failed without an error", event)
        elif kind == "TaskCancelled" and not came and kinds.cancelled is None:
            self._wrong("the results got TaskCancelled, and no task was cancelled", event)
        elif not self.story.cluster or came or over:
            return  # anybody may have closed or cancelled it, with an error of their own
        elif kind == "WorkflowCancelled" and event.subject not in self._cancel_asked:
            self._wrong("the results got WorkflowCancelled, and nobody cancelled the run", event)
        elif kind == "WorkflowClosed" and not asked:
            self._wrong("the results got WorkflowClosed, and nobody closed the workflow", event)
        elif kind not in _ENGINE_KINDS:
            self._wrong(f"the results got {kind}, which nothing had raised", event)

    def on_results_end(self, event: Event) -> None:
        """The workflow ends the results."""
        self._results_ends.setdefault(event.subject, event)

    # From the results to the reader and the writer.

    def on_read_error(self, event: Event) -> None:
        """The reader sees an error."""
        name, kind = manifest_of(event.subject), event.details.get("error_type")
        first = self.story.first_error.get(name)
        if kind is None:
            return
        if first is not None and first.details.get("error_type") is not None:
            if first.details["error_type"] != kind:
                self._wrong(
                    f"the results ended with {first.details['error_type']}, and the reader saw"
                    f" {kind}",
                    first,
                    event,
                )
            return
        came = self._kinds.get(name, _Kinds()).by_text.get(str(event.details.get("error")), {})
        if came and kind not in came:
            before, source = next(iter(came.items()))
            self._wrong(f"{before} became {kind} at the reader", source, event)

    def on_write_done(self, event: Event) -> None:
        """A writer hears that a record was taken, or that there is no room, or no reader."""
        name = manifest_of(event.subject)
        if event.details["outcome"] != "closed" or name not in self.story.limits:
            return
        if name not in self.story.reader_closed and name not in self._results_ends:
            self._wrong(
                f"a write to {event.subject} found it closed, and it was neither ended nor closed",
                event,
                right="full, as long as somebody may read",
            )

    def _wrong(self, seen: str, *events: Event, right: str = "the kind that it had") -> None:
        self.violated(seen, *events, right=right)


MONITORS: Final[tuple[type[Monitor], ...]] = (
    RightAnswer,
    NoLoss,
    NoDuplication,
    RecordsInOrder,
    EmptyBatchIsNoEnd,
    NothingLostInCutting,
    ErrorKindsStay,
)
