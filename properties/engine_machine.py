"""Hypothesis drives a Workflow through its handlers, with no simulator behind them.

`EngineMachine` plays the Runner, the reader and the user: it moves tasks and streams, holds back
what it should report and delivers it in any order, repeats old reports, refuses a start, reads,
closes and cancels.  After each step the rules of `RULES` are checked against a model that knows
only what was delivered.

    TestEngine = EngineMachine.TestCase
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Final

import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from workflow import (
    ContributingTimeRange,
    EndOfStream,
    Manifest,
    Options,
    Plan,
    RecordWriter,
    RunnerError,
    Stream,
    StreamState,
    Task,
    TaskCancelled,
    TaskFailed,
    TaskGraph,
    TaskState,
    TaskStatus,
    TimeRange,
    Timestamp,
    Workflow,
    WorkflowCancelled,
    WorkflowClosed,
    WriteClosed,
    partition,
    smallest_limits,
)
from workflow.admission import LANES
from workflow.plan import DataObjScan, Join, Node, Parallelize, ScanSet, TopK, VectorAggregation
from workflow.short_circuit import Reach, true_ranges

__all__ = ["RULES", "EngineMachine"]

# A run that is stopped early shows little more: let most go on for a while.
_MOSTLY: Final = st.sampled_from([True, True, True, False])
_RARELY: Final = st.sampled_from([False] * 19 + [True])
_BATCH: Final = pa.record_batch({"row": [1]})


# Plans: the shapes that matter to admission and cancellation.


def _second(n: int) -> Timestamp:
    return Timestamp(n * 1_000_000_000)


def _scan_set(name: str, count: int, *, timed: bool) -> ScanSet:
    return ScanSet(
        targets=tuple(
            DataObjScan(
                location=f"{name}{i}",
                max_time_range=TimeRange(_second(10 * i), _second(10 * i + 9))
                if timed
                else TimeRange(),
            )
            for i in range(count)
        )
    )


def _chain(plan: Plan, *nodes: Node) -> Node:
    for parent, child in pairwise(nodes):
        plan.add(parent)
        plan.add(child)
        plan.add_edge(parent, child)
    return plan.add(nodes[0])


def fan_out(middles: int, scans: int, *, timed: bool) -> Plan:
    """A root over `middles` breakers, each over `scans` scans."""
    plan = Plan()
    root = plan.add(VectorAggregation() if middles > 1 else TopK())
    for middle in range(middles):
        top = TopK()
        _chain(plan, top, Parallelize(), _scan_set(f"m{middle}/", scans, timed=timed))
        plan.add_edge(root, top)
    return plan


def shared_children(outer: int, inner: int, *, timed: bool) -> Plan:
    """`outer` shards that all read the same `inner` scans."""
    plan = Plan()
    join = Join()
    _chain(plan, TopK(), Parallelize(), join)
    plan.add_edge(join, plan.add(_scan_set("outer/", outer, timed=timed)))
    plan.add_edge(join, _chain(plan, Parallelize(), _scan_set("inner/", inner, timed=timed)))
    return plan


def scan_over_scan(*, timed: bool) -> Plan:
    """A root that scans, and reads a breaker that scans."""
    plan = Plan()
    join = plan.add(Join())
    whole = TimeRange(_second(0), _second(50)) if timed else TimeRange()
    plan.add_edge(join, plan.add(DataObjScan(location="x", max_time_range=whole)))
    plan.add_edge(join, _chain(plan, TopK(), DataObjScan(location="y", max_time_range=whole)))
    return plan


@st.composite
def _plans(draw: st.DrawFn) -> Plan:
    timed = draw(_MOSTLY)
    shape = draw(st.sampled_from(["fan", "fan", "shared", "shared", "scans"]))
    if shape == "fan":
        return fan_out(draw(st.integers(1, 3)), draw(st.integers(1, 4)), timed=timed)
    if shape == "shared":
        return shared_children(draw(st.integers(1, 3)), draw(st.integers(1, 3)), timed=timed)
    return scan_over_scan(timed=timed)


# The Runner that the machine plays.


class StartRefused(RunnerError):
    """The Runner would not start a task."""


@dataclass
class _Script:
    """Keeps the true states; what it should report goes to `tell`."""

    tell: Callable[[Task | Stream, Any], None]
    on_start: Callable[[Task], None]
    on_cancel: Callable[[Sequence[Task]], None]
    on_refuse: Callable[[], None]
    refuse_start: int = -1  # the start with this number raises
    states: dict[Task, TaskState] = field(default_factory=dict)
    streams: dict[Stream, StreamState] = field(default_factory=dict)
    started: list[Task] = field(default_factory=list)
    manifest: Manifest | None = None
    unregistered: int = 0

    def register_manifest(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.states = dict.fromkeys(manifest.tasks, TaskState.CREATED)
        self.streams = dict.fromkeys(manifest.streams, StreamState.IDLE)

    def unregister_manifest(self, manifest: Manifest) -> None:
        self.unregistered += 1
        for task in manifest.tasks:
            self.end(task, TaskStatus(TaskState.CANCELLED))

    def listen(self, _stream: Stream, _writer: RecordWriter) -> None:
        pass  # the machine writes to the results itself

    def start(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if len(self.started) == self.refuse_start:
                self.refuse_start = -1
                self.on_refuse()
                raise StartRefused
            self.on_start(task)
            self.started.append(task)
            if self.states[task] is TaskState.CREATED:
                self.states[task] = TaskState.PENDING
                self.tell(task, TaskStatus(TaskState.PENDING))

    def cancel(self, tasks: Sequence[Task]) -> None:
        self.on_cancel(tasks)
        for task in tasks:
            self.end(task, TaskStatus(TaskState.CANCELLED))

    def end(self, task: Task, status: TaskStatus) -> None:
        if self.states[task].terminal:
            return
        for stream in task.sink_streams():
            self.move(stream, StreamState.CLOSED)
        self.states[task] = status.state
        self.tell(task, status)

    def move(self, stream: Stream, state: StreamState) -> None:
        if self.streams[stream] not in (state, StreamState.CLOSED):
            self.streams[stream] = state
            self.tell(stream, state)

    def live(self) -> list[Task]:
        return [
            task
            for task, state in self.states.items()
            if state in (TaskState.PENDING, TaskState.RUNNING)
        ]


# What must hold.  Each rule sees the machine after a step and says what is wrong, or nothing.


def _idle_tokens(m: "EngineMachine") -> str:
    if not m.ran or m.stopped:
        return ""
    for lane in LANES:
        held = [t for t in m.holders() if t.lane == lane]
        waiting = [
            task
            for task, state in m.model.items()
            if task.lane == lane
            and not state.terminal
            and task not in m.script.started
            and task not in m.asked
        ]
        if waiting and (not m.limits[lane] or len(held) < m.limits[lane]):
            return f"{len(waiting)} {lane} tasks wait while {len(held)} tokens are held"
    return ""


def _too_many(m: "EngineMachine") -> str:
    for lane in LANES:
        held = [t for t in m.holders() if t.lane == lane]
        if m.limits[lane] and len(held) > m.limits[lane]:
            return f"{len(held)} {lane} tasks run with {m.limits[lane]} tokens"
    return ""


def _states(m: "EngineMachine") -> str:
    for task, state in m.model.items():
        if m.workflow.state(task) is not state:
            return f"{m.name(task)}: recorded {m.workflow.state(task)}, delivered {state}"
    return ""


def _unread(m: "EngineMachine") -> str:
    if m.closed:
        return ""
    for task, state in m.model.items():
        parents = m.workflow.tasks.parents(task)
        over = parents and all(m.model[parent].terminal for parent in parents)
        finishing = all(m.streams[s] is StreamState.CLOSED for s in task.sink_streams())
        if over and not state.terminal and not finishing and task not in m.asked:
            return f"{m.name(task)}: nobody reads it, and it was not cancelled"
    return ""


def _running_on(m: "EngineMachine") -> str:
    root = m.tasks[0]
    finishing = m.streams[m.workflow.results_stream] is StreamState.CLOSED
    if m.stopped and not (m.closed or m.model[root].terminal or finishing or root in m.asked):
        return "the run has failed or was stopped, and its root was not cancelled"
    return ""


def _end(m: "EngineMachine") -> str:
    if m.workflow.results.ended != (m.end is not None):
        return f"the results have {'' if m.end is None else 'not '}ended, expected {m.end!r}"
    return ""


RULES: Final[dict[str, tuple[str, Callable[["EngineMachine"], str]]]] = {
    "ENG-1": ("no token is idle while a task of its lane waits", _idle_tokens),
    "ENG-2": ("no more tasks of a lane run than it has tokens", _too_many),
    "ENG-3": ("a recorded state is the furthest that was reported", _states),
    "ENG-4": ("a task is started once, and neither after its end nor after a stop", lambda _: ""),
    "ENG-5": ("only a task that nobody needs is cancelled, and once", lambda _: ""),
    "ENG-6": ("a task that nobody reads any more is cancelled", _unread),
    "ENG-7": ("the results end when the run is decided, not before", _end),
    "ENG-8": ("after a failure or a stop the root is cancelled", _running_on),
    "ENG-9": ("the reader sees the first thing that decided the run", lambda _: ""),
    "ENG-10": ("every run ends", lambda _: ""),
}


class RuleViolated(AssertionError):
    """A rule of `RULES` does not hold: its id, its sentence, and what was seen."""

    def __init__(self, rule_id: str, seen: str) -> None:
        super().__init__(rule_id, seen)
        self.rule_id = rule_id

    def __str__(self) -> str:
        return f"{self.rule_id} {RULES[self.rule_id][0]}: {self.args[1]}"


class EngineMachine(RuleBasedStateMachine):
    """Any order of events for one workflow.  Subclass it to test another `workflow_type`."""

    workflow_type: ClassVar[type[Workflow]] = Workflow

    @initialize(
        plan=_plans(),
        spare=st.tuples(st.integers(0, 2), st.integers(0, 2)),
        limited=st.tuples(_MOSTLY, st.booleans()),
        inside=st.booleans(),
        refuse_start=st.sampled_from([-1, -1, -1, -1, -1, 0, 1, 2]),
        run=_MOSTLY,
    )
    def begin(
        self,
        *,
        plan: Plan,
        spare: tuple[int, int],
        limited: tuple[bool, bool],
        inside: bool,
        refuse_start: int,
        run: bool,
    ) -> None:
        least = smallest_limits(partition(plan), both=all(limited))
        self.limits: dict[str, int] = {
            "scan": least.scan + spare[0] if limited[0] else 0,
            "other": least.other + spare[1] if limited[1] else 0,
        }
        self.inside = inside  # whether the Runner reports before its calls return
        self.ran = self.stopped = self.closed = False
        self.end: object = None  # how the results must end: an error, EndOfStream, or not yet
        self.asked: dict[Task, None] = {}  # to stop
        self.held_back: list[tuple[Task | Stream, Any]] = []
        self.delivered: list[tuple[Task | Stream, Any]] = []
        self.dropped: dict[Task, dict[Task, None]] = {}  # by parent: children it reported useless
        self.violation: RuleViolated | None = None
        self.script = _Script(
            self._tell, self._check_start, self._check_cancel, self._start_refused, refuse_start
        )
        self.workflow = self.workflow_type(
            plan,
            self.script,
            Options(
                max_running_scan_tasks=self.limits["scan"],
                max_running_other_tasks=self.limits["other"],
            ),
        )
        self.tasks = self.workflow.manifest.tasks
        self.model = dict.fromkeys(self.tasks, TaskState.CREATED)
        self.streams = dict.fromkeys(self.workflow.manifest.streams, StreamState.IDLE)
        self.reach = true_ranges(self.workflow.tasks)
        if run:
            self.run()

    # The Runner's moves.

    @precondition(lambda self: self.held_back)
    @rule(index=st.integers(0, 30))
    def deliver(self, index: int) -> None:
        """One report arrives, not always the oldest."""
        self._deliver(*self.held_back.pop(index % len(self.held_back)))

    @precondition(lambda self: self.held_back)
    @rule()
    def deliver_latest(self) -> None:
        """The newest report overtakes all others."""
        self._deliver(*self.held_back.pop())

    @precondition(lambda self: self.delivered)
    @rule(index=st.integers(0, 30))
    def repeat(self, index: int) -> None:
        """An old report arrives again."""
        self._deliver(*self.delivered[-1 - index % len(self.delivered)])

    @precondition(lambda self: self.script.live())
    @rule(index=st.integers(0, 30))
    def run_task(self, index: int) -> None:
        """A task begins to run."""
        task = self._pick(self.script.live(), index)
        if self.script.states[task] is TaskState.PENDING:
            self.script.states[task] = TaskState.RUNNING
            self._tell(task, TaskStatus(TaskState.RUNNING))
        for stream in task.sink_streams():
            self.script.move(stream, StreamState.OPEN)

    @precondition(lambda self: self.script.live())
    @rule(
        index=st.integers(0, 30),
        state=st.sampled_from([TaskState.COMPLETED] * 10 + [TaskState.FAILED, TaskState.CANCELLED]),
        silent=st.booleans(),
        early=_RARELY,
    )
    def end_task(self, index: int, state: TaskState, silent: bool, early: bool) -> None:
        """A task ends, of its own or with its worker; the root, which ends all, mostly last."""
        error = None if silent or state is not TaskState.FAILED else RuntimeError("task failed")
        live = self.script.live()
        if live[0] is self.tasks[0] and len(live) > 1 and not early:
            live = live[1:]
        self.script.end(self._pick(live, index), TaskStatus(state, error))

    @precondition(lambda self: self.script.live())
    @rule(index=st.integers(0, 30), second=st.integers(0, 50), less=st.booleans())
    def report_range(self, index: int, second: int, less: bool) -> None:
        """A task says which times still matter to it."""
        task = self._pick(self.script.live(), index)
        self.script.states[task] = TaskState.RUNNING
        range_ = ContributingTimeRange(_second(second), less)
        self._tell(task, TaskStatus(TaskState.RUNNING, contributing_time_range=range_))

    @rule(index=st.integers(0, 30), state=st.sampled_from(StreamState))
    def move_stream(self, index: int, state: StreamState) -> None:
        """A stream of a task that runs opens, blocks, or is reported idle again."""
        stream = self._pick(list(self.streams), index)
        if state is not StreamState.CLOSED:
            self._tell(stream, state)

    @rule(again=st.booleans())
    def write_and_read(self, again: bool) -> None:
        """The root task has a record, and the reader looks for one."""
        try:
            self.workflow.results.offer(_BATCH)
        except WriteClosed:
            self._require("ENG-7", self.end is not None, "a write was refused during the run")
        for _ in range(1 + again):
            self._read()

    # The reader's and the user's moves.

    @precondition(lambda self: not self.ran)
    @rule()
    def run(self) -> None:
        """The user runs the workflow."""
        self.ran = True
        self.workflow.run()

    @rule(really=_RARELY)
    def close_results(self, really: bool) -> None:
        """The reader has seen enough."""
        if really:
            self._decide(EndOfStream)
            self.stopped = True
            self.workflow.results.close()

    @rule(really=_RARELY)
    def cancel(self, really: bool) -> None:
        """The user cancels the run."""
        if really:
            self._decide(WorkflowCancelled)
            self.stopped = True
            self.workflow.cancel("enough")

    @rule(really=_RARELY)
    def close(self, really: bool) -> None:
        """The user closes the workflow."""
        if really:
            self._decide(WorkflowClosed)
            self.stopped = self.closed = True
            self.workflow.close()

    @invariant()
    def check_rules(self) -> None:
        """Every rule holds."""
        if hasattr(self, "reach"):
            if self.violation is not None:
                raise self.violation
            for rule_id, (_, wrong) in RULES.items():
                seen = wrong(self)
                self._require(rule_id, not seen, seen)

    def teardown(self) -> None:
        """Whatever happened, the run ends once tasks end and reports arrive."""
        if not hasattr(self, "reach"):
            return
        self.check_rules()
        if not self.ran:
            self.run()
        for _ in range(20 * len(self.tasks)):
            while self.held_back:
                self._deliver(*self.held_back.pop(0))
                self.check_rules()
            if not self.script.live():
                break
            self.script.end(self.script.live()[-1], TaskStatus(TaskState.COMPLETED))
        stuck = [self.name(task) for task, state in self.model.items() if not state.terminal]
        self._require("ENG-10", not stuck, f"still not over: {', '.join(stuck)}")
        for _ in range(3):
            self._read()
        self._require("ENG-10", self.workflow.results.ended, "every task is over, the reader waits")
        self.workflow.close()
        self.workflow.close()
        self._require("ENG-10", self.script.unregistered == 1, "not unregistered exactly once")

    # How the model follows.

    def holders(self) -> list[Task]:
        """The tasks that were started and are not over, as far as was reported."""
        return [task for task in self.script.started if not self.model[task].terminal]

    def name(self, task: Task) -> str:
        """The task's place in the manifest."""
        return f"task {self.tasks.index(task)}"

    def _pick(self, items: Sequence[Any], index: int) -> Any:
        return items[index % len(items)]

    def _require(self, rule_id: str, holds: object, seen: str) -> None:
        if not holds:
            # Kept, too: inside a call of the workflow it would count as the Runner's error.
            self.violation = self.violation or RuleViolated(rule_id, seen)
            raise self.violation

    def _decide(self, end: object) -> None:
        if self.end is None:
            self.end = end

    def _tell(self, item: Task | Stream, report: Any) -> None:
        if self.inside:
            self._deliver(item, report)
        else:
            self.held_back.append((item, report))

    def _deliver(self, item: Task | Stream, report: Any) -> None:
        self.delivered.append((item, report))
        manifest = self.workflow.manifest
        if isinstance(item, Task):
            self._model_task(item, report)
            manifest.task_event_handler(item, report)
        else:
            if self.streams[item] is not StreamState.CLOSED and report is not StreamState.IDLE:
                self.streams[item] = report
            self._model_over()
            manifest.stream_event_handler(item, report)

    def _model_task(self, task: Task, status: TaskStatus) -> None:
        if self.model[task].terminal or status.state < self.model[task]:
            return
        self.model[task] = status.state
        range_ = status.contributing_time_range
        if range_ is not None:
            useless = [c for c in self.workflow.tasks.children(task) if self._misses(c, range_)]
            self.dropped.setdefault(task, {}).update(dict.fromkeys(useless))
        if status.state is TaskState.FAILED:
            self._decide(status.error or TaskFailed)
            self.stopped = True
        elif status.state is TaskState.CANCELLED and task not in self.asked:
            self._decide(TaskCancelled)
            self.stopped = True
        self._model_over()

    def _misses(self, child: Task, range_: ContributingTimeRange) -> bool:
        reach: Reach | None = self.reach[child]
        if reach is None:
            return False
        if range_.less_than:
            return reach.start is not None and reach.start >= range_.timestamp
        return reach.end is not None and reach.end <= range_.timestamp

    def _model_over(self) -> None:
        closed = self.streams[self.workflow.results_stream] is StreamState.CLOSED
        if closed and all(state.terminal for state in self.model.values()):
            self._decide(EndOfStream)

    def _start_refused(self) -> None:
        self._decide(StartRefused)
        self.stopped = True

    def _check_start(self, task: Task) -> None:
        fresh = task not in self.script.started and not self.model[task].terminal
        self._require("ENG-4", fresh, f"{self.name(task)} was started again or after its end")
        self._require("ENG-4", not self.stopped, f"{self.name(task)} was started after a stop")

    def _check_cancel(self, tasks: Sequence[Task]) -> None:
        graph: TaskGraph = self.workflow.tasks
        for task in tasks:
            self._require("ENG-5", task not in self.asked, f"{self.name(task)} was asked twice")
            self._require("ENG-5", not self.model[task].terminal, f"{self.name(task)} was over")
            done = all(self.streams[s] is StreamState.CLOSED for s in task.sink_streams())
            self._require("ENG-5", not done, f"{self.name(task)} had closed all of its sinks")
            needed = [
                parent
                for parent in graph.parents(task)
                if not self.model[parent].terminal and task not in self.dropped.get(parent, {})
            ]
            is_root = task is self.tasks[0]
            self._require("ENG-5", not needed, f"{self.name(task)} has a parent that reads it")
            self._require("ENG-5", self.stopped or not is_root, "the root was cancelled")
            self.asked[task] = None

    def _read(self) -> None:
        self.check_rules()  # what is wrong already has its own rule
        try:
            self.workflow.results.poll()
        except EndOfStream:
            seen: object = EndOfStream
        except Exception as error:  # noqa: BLE001 - any error may be the end
            seen = error
        else:
            return
        same = seen is self.end or (isinstance(self.end, type) and isinstance(seen, self.end))
        self._require("ENG-9", same, f"got {seen!r}, expected {self.end!r}")
