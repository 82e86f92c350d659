"""A run in words: what ran, how it ended, a small timeline, how to see it again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, Final

from scenarios.explain import Explained
from scenarios.replay import Replay
from scenarios.runs import Run
from scenarios.wording import WIDTH, counted, cut
from sim.scenario import Scenario
from sim.simulate import End
from workflow.trace import Event

__all__ = ["HEIGHT", "describe_replay", "describe_run", "run_as_json"]

HEIGHT: Final = 40  # and lines

_LONGEST: Final = 400  # columns of a violation or an event; --json and the trace have all of it
_COLUMNS: Final = 57  # of the timeline
_BEFORE: Final = 34  # columns before it
_LANES: Final = 16  # tasks shown of each workload
_SMALLEST: Final = 5  # lines of a workload: its name, two for tasks, and how it ended
_MARKS: Final = {
    "Pending": "·",
    "Running": "━",
    "Blocked": "▒",
    "Completed": "✓",
    "Cancelled": "x",
    "Failed": "!",
}
_ENDS: Final = ("Completed", "Cancelled", "Failed")
_LATER: Final = "→"  # ends only after the timeline
_LEGEND: Final = "  ".join(f"{mark} {state}" for state, mark in _MARKS.items())


def describe_run(run: Run, *, saved: str = "", width: int = WIDTH) -> Iterator[str]:
    """A screenful about a run."""
    outcome, scenario = run.outcome, run.outcome.scenario
    columns = min(_COLUMNS, width - _BEFORE)
    # A run that is not over has no makespan: its picture ends with what happened last.
    last = outcome.trace.events[-1].tick if outcome.trace.events else 0
    over = outcome.stuck is None and not outcome.over_budget
    span = outcome.makespan if over else last
    per_column = max(1, -(-(span + 1) // columns))
    head = [
        *_title(scenario, width),
        f"cluster    {_cluster(scenario)}",
        f"timeline   {span:,} us, a column is {per_column:,} us",
    ]
    foot = [*_foot(run, saved, width)]
    room = HEIGHT - len(head) - len(foot) - 2  # the legend, and a word about what is hidden
    ends = [[cut(line, width) for line in _end(end)] for end in outcome.ends]
    ends = ends[: max(1, room // _SMALLEST)]
    hidden = [*_hidden(outcome.ends[len(ends) :])]
    room -= sum(1 + len(end) for end in ends)
    later = False
    yield from head
    for index, end in enumerate(ends):
        lanes = _lanes(run, index)
        share = min(_LANES, max(2, room // (len(ends) - index)))
        yield cut(f"  {_name(scenario, index)}", width)
        shown = len(lanes) if len(lanes) <= share else share - 1
        for lane in lanes[:shown]:
            line = lane.line(columns, per_column)
            later |= line.endswith(_LATER)
            yield line
        if len(lanes) > shown:
            yield f"    ... {counted(len(lanes) - shown, 'more task')}"
        room -= shown + (len(lanes) > shown)
        yield from end
    yield from hidden
    yield f"  {_LEGEND}" + (f"  {_LATER} later" if later else "")
    yield from foot


def _title(scenario: Scenario, width: int) -> list[str]:
    text = f"{scenario.name}: {scenario.sentence or 'no description'}"
    lines = wrap(text, width, initial_indent="scenario   ", subsequent_indent=" " * 11)
    return lines[:3]


def _name(scenario: Scenario, index: int) -> str:
    workload = scenario.workloads[index]
    name = workload.plan_name or f"workload {index}"
    return " ".join(f"{name}: {workload.query}".split()) if workload.query else name


def _hidden(rest: Sequence[End]) -> Iterator[str]:
    if rest:
        ends = Counter(end.end for end in rest)
        shown = ", ".join(f"{count} {end}" for end, count in ends.items())
        yield f"  ... {counted(len(rest), 'more workload')}: {shown}"


def _foot(run: Run, saved: str, width: int) -> Iterator[str]:
    outcome = run.outcome
    faults = {
        name.removeprefix("fault "): count
        for name, count in outcome.counts.items()
        if name.startswith("fault ")
    }
    shown = ", ".join(f"{name} x{count}" for name, count in faults.items())
    yield cut(f"trouble    {shown or 'none'}", width)
    blocked = outcome.counts.get("blocked ticks", 0)
    peak = outcome.counts.get("peak buffer", 0)
    yield (
        f"streams    blocked for {blocked:,} us in all,"
        f" at most {counted(peak, 'batch', 'batches')} in a buffer"
    )
    if outcome.stuck is not None:
        waiting = outcome.stuck.waiting
        yield "stuck      nothing can happen any more:"
        yield from (cut(f"             {who} waits for {what}", width) for who, what in waiting[:6])
        if len(waiting) > 6:
            yield f"             ... and {len(waiting) - 6} more wait"
        if any(what == "a free slot" for _, what in waiting):
            yield "             more workers or slots would help: tasks hold all while they wait"
    if outcome.over_budget:
        yield f"stuck      not over after {outcome.steps:,} steps"
    yield from _violations(run)
    if not run.violations:
        yield f"rules      {_rules(run)}"
    yield f"digest     {outcome.digest} ({counted(len(outcome.trace.events), 'event')})"
    if saved:
        yield f"replay     windtunnel replay {saved}"
    elif run.violations:  # the report of the failure says how
        return
    elif run.code:
        yield f"replay     windtunnel replay {run.code}"
    else:
        yield "replay     save it with --trace FILE, then: windtunnel replay FILE"


def _rules(run: Run) -> str:
    open_ = [verdict.rule for verdict in run.judged.verdicts if verdict.word == "not judged"]
    holding = len(run.judged.verdicts) - len(open_)
    if not open_:
        return f"all {holding} hold"
    return f"{holding} hold, {len(open_)} could not be judged: {' '.join(open_)}"


def _violations(run: Run) -> Iterator[str]:
    yield from (cut(f"VIOLATED   {violation}", _LONGEST) for violation in run.violations[:5])
    if len(run.violations) > 5:
        yield f"           ... and {len(run.violations) - 5} more"


def _cluster(scenario: Scenario) -> str:
    cluster = scenario.cluster
    return (
        f"{counted(cluster.workers, 'worker')} with {counted(cluster.slots, 'slot')},"
        f" {cluster.profile} profile, buffers of {counted(cluster.buffer, 'batch', 'batches')}"
    )


def _end(end: End) -> Iterator[str]:
    how = {
        "eof": "end of stream",
        "error": "error",
        "closed": "closed by its reader",
        "unfinished": "not over",
    }[end.end]
    at = f" at {end.tick:,} us" if end.end != "unfinished" else ""
    states = ", ".join(f"{count} {state}" for state, count in end.states.items())
    yield f"    -> {how}{at}, {counted(end.rows, 'row')} read; tasks: {states or 'none'}"
    if end.error:
        yield f"       {' '.join(end.error.split())}"


@dataclass(slots=True)
class _Lane:
    """A task: what it is, where it ran, and its states with their ticks."""

    index: int
    what: str
    place: str = ""
    changes: list[tuple[int, str]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The last one."""
        return self.changes[-1][1] if self.changes else ""

    def change(self, tick: int, state: str) -> None:
        """A state is reported; a late word about an earlier one counts no more."""
        if self.state not in _ENDS and not (state == "Pending" and self.state):
            self.changes.append((tick, state))

    def line(self, columns: int, per_column: int) -> str:
        """A line of the timeline."""
        text = f"    t{self.index:<3}{self.what:<18.18} {self.place:<6.6} "
        return (text + self._marks(columns, per_column)).rstrip()

    def _marks(self, columns: int, per_column: int) -> str:
        marks = ""
        changes = list(self.changes)
        for column in range(columns):
            # A state that lasted less than a column shows only if none followed in it.
            while changes and changes[0][0] < (column + 1) * per_column:
                mark = _MARKS[changes.pop(0)[1]]
                marks = marks[:column].ljust(column) + mark
                if self.state in _ENDS and not changes:
                    return marks
            if len(marks) == column and marks:
                marks += marks[-1]
        return marks[:-1] + _LATER if changes else marks


def _lanes(run: Run, index: int) -> list[_Lane]:
    workloads = run.outcome.scenario.workloads
    order = sorted(range(len(workloads)), key=lambda i: (workloads[i].arrival, i))
    name = f"m{order.index(index)}"
    lanes: list[_Lane] = []
    senders: dict[int, _Lane] = {}
    for event in run.outcome.trace.events:
        if event.kind == "manifest" and event.subject == name:
            lanes = [_Lane(i, _word(task)) for i, task in enumerate(event.details["tasks"])]
            senders = _senders(lanes, event.details["tasks"])
        elif not event.subject.startswith(f"{name}/"):
            continue
        elif event.kind == "task_event":
            lanes[_number(event, "t")].change(event.tick, event.details["state"])
        elif event.kind == "accept":
            lanes[_number(event, "t")].place = event.details["worker"].partition(".")[0]
        elif event.kind == "stream_event" and event.details["state"] in ("Blocked", "Open"):
            state = "Blocked" if event.details["state"] == "Blocked" else "Running"
            sender = senders[_number(event, "s")]
            if sender.state in ("Running", "Blocked"):
                sender.change(event.tick, state)
    return lanes


def _word(task: dict[str, Any]) -> str:
    return str(task["fragment"]).partition("\n")[0].partition(" ")[0]


def _senders(lanes: Sequence[_Lane], tasks: Sequence[dict[str, Any]]) -> dict[int, _Lane]:
    return {
        stream: lane for lane, task in zip(lanes, tasks, strict=True) for stream in task["sinks"]
    }


def _number(event: Event, letter: str) -> int:
    return int(event.subject.rpartition(f"/{letter}")[2].partition(".")[0])


def describe_replay(replay: Replay) -> Iterator[str]:
    """What a replay found."""
    outcome = replay.run.outcome
    if replay.verdict == "SAME":
        how = replay.reason or f"all {counted(len(outcome.trace.events), 'event')} as recorded"
        yield f"SAME       {how}"
    elif replay.verdict == "FIXED":
        yield "FIXED      what was violated holds now"
    else:
        yield "DIVERGED   this is not the run that was recorded"
    yield from _title(outcome.scenario, WIDTH)
    if replay.verdict != "SAME":
        yield f"cause      {replay.reason}"
    if replay.recorded is not None or replay.seen is not None:
        was = _event(replay.recorded) if replay.unkept is None else "another event, not kept"
        yield cut(f"recorded   {was}", _LONGEST)
        yield cut(f"now        {_event(replay.seen)}", _LONGEST)
    yield from _violations(replay.run)
    yield f"digest     {outcome.digest}"


def _event(event: Event | None) -> str:
    if event is None:
        return "nothing: the run had ended"
    details = " ".join(f"{key}={value}" for key, value in event.details.items())
    return (
        f"event {event.seq} at {event.tick:,} us: {event.kind} {event.subject} {details}".rstrip()
    )


def run_as_json(run: Run, explained: Explained | None = None) -> dict[str, Any]:
    """The same as data; see docs/cli.md for the fields."""
    outcome = run.outcome
    return {
        "scenario": outcome.scenario.name,
        "profile": run.profile,
        "seed": run.seed,
        "makespan_us": outcome.makespan,
        "workloads": [
            {
                "plan": workload.plan_name,
                "query": workload.query,
                "end": end.end,
                "error": end.error or None,
                "rows": end.rows,
                "records": end.records,
                "tick_us": end.tick,
                "tasks": end.states,
                "tokens": end.tokens,
            }
            for workload, end in zip(outcome.scenario.workloads, outcome.ends, strict=True)
        ],
        "counts": outcome.counts,
        "events": len(outcome.trace.events),
        "steps": outcome.steps,
        "decisions": outcome.decisions,
        "digest": outcome.digest,
        "stuck": None
        if outcome.stuck is None
        else [{"who": who, "waits_for": what} for who, what in outcome.stuck.waiting],
        "violations": [
            {"rule": each.rule, "sentence": each.sentence, "seen": each.seen}
            for each in run.violations
        ],
        "replay": run.code or None,
        "failure": None
        if explained is None
        else {
            "name": explained.failure.name,
            "rule": explained.failure.rule,
            "saved": None if explained.saved is None else str(explained.saved),
            "report": list(explained.lines()),
        },
    }
