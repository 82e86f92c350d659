"""A real runner held to the simulator: the same plans over the same rows, and three verdicts.

Rules: every rule that a recorded run shows enough for.  Answer: the rows that the plan gives in one
process.  Time: how long it took, beside the simulated cluster with the costs of operators as they
were measured here and the latency of a start as it was recorded; as a whole and by kind of task.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import monotonic_ns
from typing import Any, Final

import pyarrow as pa

from properties.judged import escaped
from properties.monitors import MONITORS, Verdict, judge_trace
from properties.monitors.story import TERMINAL
from properties.oracle import Answer, same_answer
from properties.real_answer import right_answer
from scenarios.archive import found_folder
from scenarios.data.costs import with_measured
from scenarios.held import rows_of
from scenarios.inputs import InputError
from scenarios.runners import Make, close_runner
from scenarios.runs import save_trace
from scenarios.wording import counted
from sim.choices import Seeded
from sim.latency import Constant
from sim.scenario import Cluster, Scenario
from sim.simulate import simulate
from workflow import Identifiers, Workflow, partition
from workflow.raised import text_of
from workflow.runners.reading import read
from workflow.sections import Sections
from workflow.trace import Event, Recorder, Trace

__all__ = ["Comparison", "RealRun", "compare", "comparison_as_json", "describe_comparison"]

PATIENCE: Final = 60.0  # seconds for a run, then it is given up
_SIMULATED: Final = 20  # seeds
_SHOWN: Final = 5  # violations


@dataclass(slots=True)
class RealRun:
    """A plan on a real runner, once."""

    workload: int
    seconds: float
    trace: Trace
    error: str = ""  # that ended the results
    given_up: bool = False
    verdicts: Sequence[Verdict] = ()
    difference: str = ""  # between the right answer and what was read; "": none
    judged: bool = False  # whether there was a right answer, and the reader came to the end

    @property
    def violations(self) -> list[str]:
        """What is wrong by the rules."""
        return [str(each) for verdict in self.verdicts for each in verdict.violations]


@dataclass(slots=True)
class Comparison:
    """All runs, and what the simulator says of the same."""

    runner: str
    scenario: Scenario
    runs: list[RealRun] = field(default_factory=list)
    simulated: list[int] = field(default_factory=list)  # microseconds of each seed
    real_kinds: dict[str, list[int]] = field(default_factory=dict)  # of each task, by kind
    simulated_kinds: dict[str, list[int]] = field(default_factory=dict)
    saved: Path | None = None  # the trace of the first run that broke a rule

    @property
    def right(self) -> bool:
        """Whether rules and answers hold in every run."""
        return not any(run.violations or run.difference or run.given_up for run in self.runs)


def compare(
    scenario: Scenario,
    make: Make,
    *,
    name: str,
    runs: int = 10,
    patience: float = PATIENCE,
    progress: Callable[[], object] = lambda: None,
) -> Comparison:
    """Run each plan of a scenario over its data, so often on a new runner each, and judge.

    ``patience``: seconds after which a run is given up.  Raises InputError for data that cannot be
    read, and whatever `make` raises.
    """
    rows = rows_of(scenario)
    if rows is None or scenario.data is None:
        raise InputError(scenario.name, "got no data, expected a bucket: --data BUCKET")
    found = Comparison(name, scenario)
    for _ in range(runs):
        for number in range(len(scenario.workloads)):
            run = _run(scenario, number, make, rows, patience)
            found.runs.append(run)
            if run.violations and found.saved is None:
                found.saved = _save(run.trace, name)
            progress()
    for run in found.runs:
        _add(found.real_kinds, run.trace.events)
    _simulate(found, scenario.data.bucket, rows)
    return found


def _run(scenario: Scenario, number: int, make: Make, rows: Sections, patience: float) -> RealRun:
    workload = scenario.workloads[number]
    runner = make(rows)
    recorder = Recorder(
        runner,
        clock=lambda: monotonic_ns() // 1000,
        ran={"name": f"{scenario.name} {workload.plan_name}".strip()},
    )
    batches: list[pa.RecordBatch] = []
    error, late = "", threading.Event()

    def give_up() -> None:
        late.set()
        recorder.finish()  # before anything is cancelled: the rules say what is missing
        workflow.close()

    timer = threading.Timer(patience, give_up)
    timer.daemon = True
    begun = monotonic_ns()
    try:
        workflow = Workflow(
            workload.plan,
            recorder,
            workload.options,
            ids=Identifiers(f"{scenario.name}/{number}"),
            observe=recorder.observe,
        )
        results = recorder.reader(workflow.run())
        timer.start()
        try:
            batches.extend(read(results))
        except Exception as raised:  # noqa: BLE001 - whatever ended the results
            error = f"{type(raised).__name__}: {text_of(raised)}"
        seconds = (monotonic_ns() - begun) / 10**9
        results.close()
        while not (late.is_set() or _over(workflow)):
            late.wait(0.0005)
        timer.cancel()
        timer.join()  # it may be at it already
        if not late.is_set():
            recorder.finish()
        workflow.close()
    finally:
        timer.cancel()
        close_runner(runner)
    run = RealRun(number, seconds, recorder.trace, error, late.is_set())
    run.verdicts = judge_trace(run.trace, monitors=MONITORS)
    if not error and not late.is_set():
        right = right_answer(workload.plan, rows)
        if isinstance(right, Answer):
            run.judged = True
            difference = same_answer(right, Answer.from_batches(batches))
            run.difference = "" if difference is None else str(difference)
    return run


def _over(workflow: Workflow) -> bool:
    return all(workflow.state(task).terminal for task in workflow.manifest.tasks)


def _save(trace: Trace, name: str) -> Path:
    """Keep the trace of a run that broke a rule: chance made it, and may not make it again."""
    words = "".join(each if each.isalnum() else "-" for each in name).strip("-")
    path = found_folder().parent / f"compared-{words}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(str(path), f"cannot be written ({error.strerror})") from None
    save_trace(path, trace)
    return path


def _simulate(found: Comparison, bucket: str, rows: Sections) -> None:
    """The same plans in a simulated cluster that is as fast as this machine."""
    tasks = max(len(partition(each.plan)) for each in found.scenario.workloads)
    starts = [ticks for run in found.runs for ticks in _starts(run.trace.events)]
    # There, and the word of it.  Others may have waited for a slot.
    half = min(starts, default=0) // 2
    none = Constant(ticks=0)
    scenario = with_measured(found.scenario, bucket)
    plain = Cluster()
    cluster = replace(
        plain,
        workers=1,
        slots=tasks,
        control=Constant(ticks=half),
        data=none,
        costs=scenario.cluster.costs,
        # Nothing may time out that is only slow.
        ack_timeout=max(plain.ack_timeout, 8 * half),
        detect=max(plain.detect, 8 * half),
    )
    for number, workload in enumerate(scenario.workloads):
        alone = replace(
            scenario, cluster=cluster, faults=(), workloads=(replace(workload, arrival=0),)
        )
        for seed in range(_SIMULATED):
            outcome = simulate(alone, Seeded(seed), data=rows)
            if number == 0:
                found.simulated.append(0)
            found.simulated[seed] += outcome.makespan
            _add(found.simulated_kinds, outcome.trace.events)


def _starts(events: Sequence[Event]) -> Iterator[int]:
    """How long tasks took from their start to the word that they run."""
    begun: dict[str, int] = {}
    for event in events:
        if event.kind == "call" and event.details["method"] == "start":
            for index in event.details["tasks"]:
                begun[f"{event.subject}/t{index}"] = event.tick
        elif event.kind == "task_event" and event.details["state"] == "Running":
            at = begun.pop(event.subject, None)
            if at is not None:
                yield event.tick - at


def _add(kinds: dict[str, list[int]], events: Sequence[Event]) -> None:
    """How long each completed task ran, by the kind of its topmost node."""
    roots: dict[str, str] = {}
    begun: dict[str, int] = {}
    for event in events:
        if event.kind == "manifest":
            for index, task in enumerate(event.details["tasks"]):
                roots[f"{event.subject}/t{index}"] = task["fragment"].split(maxsplit=1)[0]
        elif event.kind == "task_event":
            if event.details["state"] == "Running":
                begun.setdefault(event.subject, event.tick)
            elif event.details["state"] in TERMINAL and event.subject in begun:
                taken = event.tick - begun.pop(event.subject)
                if event.details["state"] == "Completed":
                    kinds.setdefault(roots[event.subject], []).append(taken)


def _real(found: Comparison) -> list[int]:
    """Microseconds of each round over all workloads."""
    count = len(found.scenario.workloads)
    return [
        round(sum(run.seconds for run in found.runs[at : at + count]) * 10**6)
        for at in range(0, len(found.runs), count)
    ]


def describe_comparison(found: Comparison) -> Iterator[str]:
    """The three verdicts, and what is behind them."""
    runs = counted(len(found.runs), "run")
    yield f"runner     {found.runner}, {runs} of {found.scenario.name}"
    broken = [text for run in found.runs for text in run.violations]
    held = {v.rule for run in found.runs for v in run.verdicts if v.word == "holds"}
    violated = {v.rule for run in found.runs for v in run.verdicts if v.violations}
    rest = len(MONITORS) - len(held | violated)
    words = f"{len(held - violated)} hold, {len(violated)} violated, {rest} could not be judged"
    yield f"rules      {words}"
    yield from (f"VIOLATED   {text}" for text in dict.fromkeys(broken[:_SHOWN]))
    if found.saved is not None:
        yield f"           the first such run: windtunnel check {found.saved}"
    given_up = sum(run.given_up for run in found.runs)
    if given_up:
        yield f"given up   {counted(given_up, 'run')} that did not end"
    yield f"answer     {_answers(found)}"
    wrong = next((run.difference for run in found.runs if run.difference), "")
    yield from (f"           {escaped(line)}" for line in wrong.splitlines())
    yield from (
        f"           {each}" for each in dict.fromkeys(r.error for r in found.runs if r.error)
    )
    real, simulated = _real(found), found.simulated
    ratio = median(real) / max(median(simulated), 1)
    yield f"time       real {_spread(real)}; simulated {_spread(simulated)}: {ratio:.2f} times"
    for kind in sorted({**found.real_kinds, **found.simulated_kinds}):
        mine, theirs = found.real_kinds.get(kind), found.simulated_kinds.get(kind)
        if mine and theirs:
            off = median(mine) / max(median(theirs), 1)
            times = f"{_spread(mine)}; {_spread(theirs)}: {off:.2f} times"
            yield f"           a task of {kind}: {times}"


def _answers(found: Comparison) -> str:
    wrong = sum(bool(run.difference) for run in found.runs)
    right = sum(run.judged and not run.difference for run in found.runs)
    said = f"right in {right} of {counted(len(found.runs), 'run')}, wrong in {wrong}"
    rest = len(found.runs) - right - wrong
    return f"{said}, none to compare in {rest}" if rest else said


def _spread(ticks: Sequence[int]) -> str:
    return f"{median(ticks) / 1000:,.1f} ms ({min(ticks) / 1000:,.1f} to {max(ticks) / 1000:,.1f})"


def comparison_as_json(found: Comparison) -> dict[str, Any]:
    """The same for a program."""
    return {
        "runner": found.runner,
        "scenario": found.scenario.name,
        "right": found.right,
        "trace": None if found.saved is None else str(found.saved),
        "runs": [
            {
                "workload": run.workload,
                "seconds": round(run.seconds, 6),
                "error": run.error or None,
                "given_up": run.given_up,
                "rules": {verdict.rule: verdict.word for verdict in run.verdicts},
                "violations": run.violations,
                "answer": "wrong" if run.difference else "right" if run.judged else None,
                "difference": run.difference or None,
            }
            for run in found.runs
        ],
        "simulated_us": found.simulated,
        "kinds": {
            kind: {
                "real_us": found.real_kinds.get(kind, []),
                "simulated_us": found.simulated_kinds.get(kind, []),
            }
            for kind in sorted({**found.real_kinds, **found.simulated_kinds})
        },
    }
