"""A run in words: what ran, how it ended, a small timeline, how to see it again."""

from collections.abc import Iterator
from typing import Any, Final

from scenarios.runs import Replay, Run
from sim.scenario import Scenario
from workflow.trace import Event, Trace

__all__ = ["describe_replay", "describe_run", "run_as_json"]

_WIDTH: Final = 56  # columns of the timeline
_LANES: Final = 14  # tasks shown of each workload
_MARKS: Final = {
    "Pending": "·",
    "Running": "━",
    "Blocked": "▒",
    "Completed": "✓",
    "Cancelled": "x",
    "Failed": "!",
}
_LEGEND: Final = "  ".join(f"{mark} {state}" for state, mark in _MARKS.items())


def describe_run(run: Run, *, saved: str = "") -> Iterator[str]:
    """A screenful about a run."""
    outcome, scenario = run.outcome, run.outcome.scenario
    yield f"scenario   {scenario.name}: {scenario.sentence or 'no description'}"
    yield f"cluster    {_cluster(scenario)}"
    yield f"timeline   {outcome.makespan:,} us, a column is {_column(outcome.makespan):,} us"
    for index, workload in enumerate(scenario.workloads):
        yield f"  {workload.query or workload.plan_name or f'workload {index}'}"
        yield from _lanes(outcome.trace, run, index)
        yield f"    {_end(run, index)}"
    yield f"  {_LEGEND}"
    faults = {
        name.removeprefix("fault "): count
        for name, count in outcome.counts.items()
        if name.startswith("fault ")
    }
    shown = ", ".join(f"{name} x{count}" for name, count in faults.items())
    yield f"trouble    {shown or 'none'}"
    blocked = outcome.counts.get("blocked ticks", 0)
    yield (
        f"streams    blocked for {blocked:,} us in all, at most"
        f" {outcome.counts.get('peak buffer', 0)} batches in a buffer"
    )
    if outcome.stuck is not None:
        yield "stuck      nothing can happen any more:"
        for who, what in outcome.stuck.waiting[:8]:
            yield f"             {who} waits for {what}"
    if outcome.over_budget:
        yield f"stuck      not over after {outcome.steps:,} steps"
    for violation in run.violations[:5]:
        yield f"VIOLATED   {violation}"
    if not run.violations:
        yield "rules      all hold"
    yield f"digest     {outcome.digest} ({len(outcome.trace.events):,} events)"
    if saved:
        yield f"replay     windtunnel replay {saved}"
    elif run.code:
        yield f"replay     windtunnel replay {run.code}"
    else:
        yield "replay     save it with --trace FILE, then: windtunnel replay FILE"


def _cluster(scenario: Scenario) -> str:
    cluster = scenario.cluster
    return (
        f"{cluster.workers} workers with {cluster.slots} slots, {cluster.profile} profile,"
        f" buffers of {cluster.buffer}"
    )


def _column(makespan: int) -> int:
    return max(1, -(-makespan // _WIDTH))


def _end(run: Run, index: int) -> str:
    end = run.outcome.ends[index]
    states = ", ".join(f"{count} {state}" for state, count in end.states.items())
    how = {
        "eof": "end of stream",
        "error": end.error,
        "closed": "closed by its reader",
        "unfinished": "not over",
    }[end.end]
    return f"-> {how} at {end.tick:,} us, {end.rows:,} rows read; tasks: {states}"


def _lanes(trace: Trace, run: Run, index: int) -> Iterator[str]:
    workloads = run.outcome.scenario.workloads
    order = sorted(range(len(workloads)), key=lambda i: (workloads[i].arrival, i))
    name = f"m{order.index(index)}"
    per_column = _column(run.outcome.makespan)
    manifest: dict[str, Any] = {}
    changes: dict[int, list[tuple[int, str]]] = {}
    places: dict[int, str] = {}
    senders: dict[int, int] = {}
    for event in trace.events:
        if event.kind == "manifest" and event.subject == name:
            manifest = dict(event.details)
            senders = {s: i for i, task in enumerate(manifest["tasks"]) for s in task["sinks"]}
        elif not event.subject.startswith(f"{name}/"):
            continue
        elif event.kind == "task_event":
            changes.setdefault(_number(event, "t"), []).append((event.tick, event.details["state"]))
        elif event.kind == "accept":
            places[_number(event, "t")] = event.details["worker"]
        elif event.kind == "stream_event" and event.details["state"] in ("Blocked", "Open"):
            state = "Blocked" if event.details["state"] == "Blocked" else "Running"
            task = senders[_number(event, "s")]
            if changes.get(task, [(0, "")])[-1][1] in ("Running", "Blocked"):
                changes[task].append((event.tick, state))
    tasks = manifest.get("tasks", [])
    for task in range(min(len(tasks), _LANES)):
        what = tasks[task]["fragment"].split(" ", 1)[0].split("\n", 1)[0]
        line = _line(changes.get(task, []), per_column)
        yield f"    t{task:<3}{what:<18.18} {places.get(task, ''):<5.5} {line}"
    if len(tasks) > _LANES:
        yield f"    ... {len(tasks) - _LANES} more tasks"


def _number(event: Event, letter: str) -> int:
    return int(event.subject.rpartition(f"/{letter}")[2].partition(".")[0])


def _line(changes: list[tuple[int, str]], per_column: int) -> str:
    marks: list[str] = []
    mark = " "
    for column in range(_WIDTH + 1):
        before = mark
        while changes and changes[0][0] < (column + 1) * per_column:
            mark = _MARKS[changes.pop(0)[1]]
        # A state that lasted less than a column still shows in it, unless it was overtaken.
        marks.append(mark)
        if mark in "✓x!" and before != mark:
            break
    return "".join(marks).rstrip()


def describe_replay(replay: Replay) -> Iterator[str]:
    """What a replay found."""
    outcome = replay.run.outcome
    if replay.verdict == "SAME":
        yield f"SAME       all {len(outcome.trace.events):,} events as recorded"
    elif replay.verdict == "FIXED":
        yield "FIXED      what was violated holds now"
    else:
        yield "DIVERGED   this is not the run that was recorded"
    if replay.verdict != "SAME":
        yield f"cause      {replay.reason}"
        if replay.recorded is not None or replay.seen is not None:
            yield f"recorded   {_event(replay.recorded)}"
            yield f"now        {_event(replay.seen)}"
    for violation in replay.run.violations[:5]:
        yield f"VIOLATED   {violation}"
    yield f"digest     {outcome.digest}"


def _event(event: Event | None) -> str:
    if event is None:
        return "nothing: the run had ended"
    details = " ".join(f"{key}={value}" for key, value in event.details.items())
    return f"event {event.seq} at {event.tick:,} us: {event.kind} {event.subject} {details:.120}"


def run_as_json(run: Run) -> dict[str, Any]:
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
    }
