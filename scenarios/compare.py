"""A real runner held to the simulator: the same plans over the same rows, and what is found.

Rules: every rule that a recorded run shows enough for, also in runs that are cancelled, closed and
made to fail.  Answer: the rows that the plan gives in one process.  Time: how long it took, beside
a simulated cluster that was fitted to other runs of it: see `scenarios.fitted`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import monotonic, monotonic_ns, sleep
from typing import Any, Final, Literal

import pyarrow as pa

from properties.judged import escaped
from properties.monitors import MONITORS, Verdict, judge_trace
from properties.monitors.story import TERMINAL
from properties.oracle import Answer, same_answer
from properties.real_answer import right_answer
from scenarios.archive import found_folder
from scenarios.data.costs import with_measured
from scenarios.disturbed import BROKEN, Breaking, Endless
from scenarios.fitted import Model, Timed, alone, fit, fitted, timed
from scenarios.held import rows_of
from scenarios.inputs import InputError
from scenarios.runners import Make, close_runner
from scenarios.runs import save_trace
from scenarios.wording import counted
from sim.choices import Seeded
from sim.scenario import Scenario
from sim.simulate import simulate
from workflow import Identifiers, Runner, StreamState, Workflow
from workflow.raised import text_of
from workflow.runners.reading import read
from workflow.sections import Sections
from workflow.trace import Event, RecordedResults, Recorder, Trace, row_digests

__all__ = ["Comparison", "How", "RealRun", "compare", "comparison_as_json", "describe_comparison"]

# What becomes of a run: its reader reads all; its user cancels it; its reader closes; its sections
# break off.
How = Literal["read", "cancelled", "closed", "failing"]

PATIENCE: Final = 60.0  # seconds for a run, then it is given up
BOUND: Final = 5.0  # seconds from a cancel to the end of the last task
_DISTURBED: Final[tuple[How, ...]] = ("cancelled", "closed", "failing")
_EVERY: Final = 5  # runs, then each of these once
_GLANCE: Final = 0.0005  # seconds between two looks
_MOMENT: Final = 0.005  # seconds from the first task that scans to the cancel: others begin
_SIMULATED: Final = 20  # seeds, at most
_ENOUGH: Final = 10.0  # seconds of simulation, then one seed for each fitted run must do
_SHOWN: Final = 5  # violations
_SLOWER: Final = 3.0  # times
_LEAST: Final = 1_000  # microseconds, of which less is not compared
_NOTABLE: Final = 10_000  # microseconds more than expected, to be told


@dataclass(slots=True)
class RealRun:
    """A plan on a real runner, once."""

    workload: int
    seconds: float
    trace: Trace
    how: How = "read"
    error: str = ""  # that ended the results
    given_up: bool = False
    verdicts: Sequence[Verdict] = ()
    difference: str = ""  # between the right answer and what was read; "": none
    judged: bool = False  # whether there was a right answer, and the reader came to the end
    untold: tuple[str, ...] = ()  # what was not told, or too late
    batch_rows: int | None = None  # that the runner reads at once, if it says so

    @property
    def violations(self) -> list[str]:
        """What is wrong with what was told."""
        rules = [str(each) for verdict in self.verdicts for each in verdict.violations]
        return [*rules, *self.untold]


@dataclass(slots=True)
class Kind:
    """The tasks of a kind: microseconds at work of each."""

    real: list[int] = field(default_factory=list)
    simulated: list[int] = field(default_factory=list)
    early: list[int] = field(default_factory=list)  # in the first third of all real runs
    late: list[int] = field(default_factory=list)  # in the last
    alone: list[int] = field(default_factory=list)  # in one thread, by what operators cost there
    crowd: int = 1  # tasks at work at once, at most, in the real runs


@dataclass(slots=True)
class Comparison:
    """All runs, and what the simulator says of the same."""

    runner: str
    scenario: Scenario
    runs: list[RealRun] = field(default_factory=list)
    model: Model | None = None  # None: no run came to its end
    own: bool = False  # whether the model was fitted to the very runs that it is compared with
    real: list[int] = field(default_factory=list)  # microseconds of each round that is compared
    simulated: list[int] = field(default_factory=list)  # microseconds of each seed
    kinds: dict[str, Kind] = field(default_factory=dict)
    saved: Path | None = None  # the trace of the first run that broke a rule

    @property
    def right(self) -> bool:
        """Whether rules and answers hold in every run."""
        return not any(run.violations or run.difference or run.given_up for run in self.runs)

    def of(self, *how: How) -> list[RealRun]:
        """The runs of which became that."""
        return [run for run in self.runs if run.how in how]


def compare(
    scenario: Scenario,
    make: Make,
    *,
    name: str,
    runs: int = 10,
    patience: float = PATIENCE,
    bound: float = BOUND,
    progress: Callable[[], object] = lambda: None,
) -> Comparison:
    """Run each plan of a scenario over its data, so often on a new runner each, and judge.

    One run in five more is cancelled, one closed and one made to fail, of each at least one.
    ``patience``: seconds after which a run is given up, ``bound`` after it was cancelled or closed.
    Raises InputError for data that cannot be read, and whatever `make` raises.
    """
    rows = rows_of(scenario)
    if rows is None or scenario.data is None:
        raise InputError(scenario.name, "got no data, expected a bucket: --data BUCKET")
    found = Comparison(name, scenario)
    what = _Task(scenario, make, rows, patience, bound)
    for count in range(runs):
        for number in range(len(scenario.workloads)):
            whole = _run(what, number, "read")
            _add(found, whole)
            if count % _EVERY == 0 and not whole.error:
                for how in _DISTURBED:
                    if not any(run.given_up for run in found.of(how)):
                        _add(found, _run(what, number, how))
            progress()
    _time(found, scenario.data.bucket, rows)
    return found


def _add(found: Comparison, run: RealRun) -> None:
    found.runs.append(run)
    if (run.violations or run.given_up) and found.saved is None:
        found.saved = _save(run.trace, found.runner)


@dataclass(frozen=True, slots=True)
class _Task:
    """What all runs have in common."""

    scenario: Scenario
    make: Make
    rows: Sections
    patience: float
    bound: float


def _run(what: _Task, number: int, how: How) -> RealRun:
    endless = Endless(what.rows, 3 * what.bound)
    data: Sections = what.rows
    if how in ("cancelled", "closed"):
        data = endless
    elif how == "failing":
        data = Breaking(what.rows)
    runner = what.make(data)
    attempt = _Attempt(what, number, how, runner)
    try:
        run = attempt.run(endless.stop)
    finally:
        endless.stop()
        close_runner(runner)
    run.batch_rows = _batch_rows(runner)
    _identify(run.trace.events)
    run.verdicts = judge_trace(run.trace, monitors=MONITORS)
    run.untold = tuple(_untold(run))
    if how == "read" and not run.error and not run.given_up:
        right = right_answer(what.scenario.workloads[number].plan, what.rows)
        if isinstance(right, Answer):
            run.judged = True
            difference = same_answer(right, Answer.from_batches(attempt.batches))
            run.difference = "" if difference is None else str(difference)
    return run


class _Attempt:
    """A workflow on a runner, watched until it is over or given up."""

    def __init__(self, what: _Task, number: int, how: How, runner: Runner) -> None:
        workload = what.scenario.workloads[number]
        self.batches: list[pa.RecordBatch] = []
        self._number = number
        self._how = how
        self._bound = what.bound
        self._scans: dict[str, None] = {}
        self._running = threading.Event()
        self._late = threading.Event()
        self._recorder = Recorder(
            runner,
            clock=lambda: monotonic_ns() // 1000,
            identify=_later,
            ran={"name": f"{what.scenario.name} {workload.plan_name}".strip(), "how": how},
            watch=self._see,
        )
        self._timer = threading.Timer(what.patience if how == "read" else what.bound, self._give_up)
        self._timer.daemon = True
        self._begun = monotonic_ns()
        self._workflow = Workflow(
            workload.plan,
            self._recorder,
            workload.options,
            ids=Identifiers(f"{what.scenario.name}/{number}"),
            observe=self._recorder.observe,
        )

    def run(self, before_the_close: Callable[[], None]) -> RealRun:
        """Read, or cut it short, and wait until nothing is left to be told."""
        error = ""
        try:
            results = self._recorder.reader(self._workflow.run())
            self._cut_short(results)
            self._timer.start()
            try:
                self.batches.extend(read(results))
            except Exception as raised:  # noqa: BLE001 - whatever ended the results
                error = f"{type(raised).__name__}: {text_of(raised)}"
            seconds = (monotonic_ns() - self._begun) / 10**9
            results.close()
            self._wait()
            self._timer.cancel()
            self._timer.join()  # it may be at it already
            if not self._late.is_set():
                self._recorder.finish()
            before_the_close()
            self._workflow.close()
        finally:
            self._timer.cancel()
        trace = self._recorder.trace
        return RealRun(self._number, seconds, trace, self._how, error, self._late.is_set())

    def _see(self, event: Event) -> None:
        """Wait for one that scans: only its work has no end of its own."""
        if event.kind == "manifest":
            for index, task in enumerate(event.details["tasks"]):
                if not task["sources"]:
                    self._scans[f"{event.subject}/t{index}"] = None
        elif event.subject in self._scans and event.details.get("state") == "Running":
            self._running.set()

    def _cut_short(self, results: RecordedResults) -> None:
        """Once a task scans: cancel the run, or close its results."""
        if self._how in ("cancelled", "closed"):
            self._running.wait(self._bound)
            sleep(_MOMENT)
        if self._how == "closed":
            results.close()
        elif self._how == "cancelled":
            self._recorder.record("ask", "m0", what="cancel")
            self._workflow.cancel("this run is cancelled")

    def _wait(self) -> None:
        while not (self._late.is_set() or _over(self._workflow)):
            self._late.wait(_GLANCE)
        # Who is told that a task is over may be told a moment later that its sinks are closed.
        end = monotonic() + self._bound
        while not (self._late.is_set() or _closed(self._workflow) or monotonic() > end):
            self._late.wait(_GLANCE)

    def _give_up(self) -> None:
        self._late.set()
        self._recorder.finish()  # before anything is cancelled: the rules say what is missing
        self._workflow.close()


def _later(batch: pa.RecordBatch) -> list[Any]:
    """In place of the names of rows, which take longer than the run."""
    return [batch]


def _identify(events: list[Event]) -> None:
    """Name the rows, now that nothing is timed any more."""
    known: dict[int, list[str]] = {}
    for event in events:
        if event.kind in ("write", "read"):
            [batch] = event.details["ids"]
            if id(batch) not in known:
                known[id(batch)] = row_digests(batch)
    for at, event in enumerate(events):
        if event.kind in ("write", "read"):
            ids = known[id(event.details["ids"][0])]
            events[at] = replace(event, details={**event.details, "ids": ids})


def _batch_rows(runner: Runner) -> int | None:
    rows = getattr(runner, "batch_rows", None)
    return rows if isinstance(rows, int) and rows > 0 else None


def _over(workflow: Workflow) -> bool:
    return all(workflow.state(task).terminal for task in workflow.manifest.tasks)


def _closed(workflow: Workflow) -> bool:
    return all(
        workflow.stream_state(stream) is StreamState.CLOSED for stream in workflow.manifest.streams
    )


def _untold(run: RealRun) -> Iterator[str]:
    """What no rule sees from the border alone, but here, where it is known what was done."""
    if run.how == "failing" and run.error and BROKEN not in run.error:
        yield f"a failure is told as it was: got {run.error}, expected ValueError: {BROKEN}"
    if run.how == "read" and not run.error:
        yield from _late_ends(run.trace.events)


def _late_ends(events: Sequence[Event]) -> Iterator[str]:
    """Tasks that came to their end before the ends of their streams were told.

    Where a Limit may have had enough, or a reader was over, a task may end before its streams do.
    """
    tasks: dict[str, Any] = {}
    closed: dict[str, None] = {}
    for event in events:
        state = event.details.get("state")
        if event.kind == "manifest":
            for index, task in enumerate(event.details["tasks"]):
                tasks[f"{event.subject}/t{index}"] = task
        elif event.kind == "stream_event" and state == "Closed":
            closed[event.subject] = None
        elif event.kind == "task_event" and state == "Completed":
            place = event.subject.partition("/")[0]
            task = tasks.pop(event.subject, None)
            if task is None or not task["fragment"] or "Limit " in task["fragment"]:
                continue
            late = [f"{place}/s{each}" for each in task["sources"]]
            late = [each for each in late if each not in closed]
            # Who reads it may have had enough: then it has ended before.
            wanted = any(set(task["sinks"]) & set(other["sources"]) for other in tasks.values())
            if late and (wanted or 0 in task["sinks"]):
                yield (
                    f"a stream's end is told before its reader acts on it: {event.subject} is"
                    f" Completed, and the end of {', '.join(late)} was not told"
                )


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


def _time(found: Comparison, bucket: str, rows: Sections) -> None:
    """Fit to every second round, and compare with those between.

    Not to the first half: how busy the machine is changes while this goes on.
    """
    count = len(found.scenario.workloads)
    every = found.of("read")
    rounds = [every[at : at + count] for at in range(0, len(every), count)]
    whole = [
        [(run, timed(run.trace.events)) for run in each]
        for each in rounds
        if not any(run.error or run.given_up for run in each)
    ]
    if not whole:
        return
    first, rest = whole[::2], whole[1::2] or whole
    found.own = rest is whole
    model = found.model = fit([(run.workload, time) for each in first for run, time in each])
    third = len(whole) // 3
    for at, each in enumerate(whole):
        for _, time in each:
            if at < third:
                _note(found, time, "early")
            elif at >= len(whole) - third:
                _note(found, time, "late")
    for each in rest:
        found.real.append(sum(time.makespan for _, time in each))
        for _, time in each:
            _note(found, time, "real")
    begun = monotonic()
    for seed in range(_SIMULATED):
        if seed >= len(first) and monotonic() > begun + _ENOUGH:
            break
        found.simulated.append(0)
        for number, (run, _) in enumerate(first[0]):
            scenario, parts = fitted(
                model, found.scenario, number, like=seed, batch_rows=run.batch_rows
            )
            outcome = simulate(scenario, Seeded(seed), parts=parts, data=rows)
            time = timed(outcome.trace.events)
            ending = max(0, model.ending - time.ending)  # of the workflow and the reader
            found.simulated[-1] += time.makespan + ending
            _note(found, time, "simulated")
    _note_alone(found, bucket, rows)


def _note(
    found: Comparison, time: Timed, where: Literal["early", "late", "real", "simulated"]
) -> None:
    for spell in time.spells:
        if spell.state == "Completed":
            kind = found.kinds.setdefault(spell.kind, Kind())
            getattr(kind, where).append(spell.work)
            if where == "real":
                kind.crowd = max(kind.crowd, *spell.beside, 1)


def _note_alone(found: Comparison, bucket: str, rows: Sections) -> None:
    try:
        measured = with_measured(found.scenario, bucket)
    except InputError:
        return  # a plan that can run in tasks only
    for number in range(len(measured.workloads)):
        for kind, ticks in alone(measured, number, rows).items():
            if kind in found.kinds:
                found.kinds[kind].alone += ticks


def describe_comparison(found: Comparison) -> Iterator[str]:
    """The verdicts, and what is behind them."""
    read_runs, others = found.of("read"), found.of(*_DISTURBED)
    also = f", and {len(others):,} that are cut short" if others else ""
    runs = counted(len(read_runs), "run")
    yield f"runner     {found.runner}, {runs} of {found.scenario.name}{also}"
    broken = [text for run in found.runs for text in run.violations]
    held = {v.rule for run in found.runs for v in run.verdicts if v.word == "holds"}
    violated = {v.rule for run in found.runs for v in run.verdicts if v.violations}
    rest = len(MONITORS) - len(held | violated)
    words = f"{len(held - violated)} hold, {len(violated)} violated, {rest} could not be judged"
    yield f"rules      {words}"
    yield from (f"VIOLATED   {escaped(text)}" for text in list(dict.fromkeys(broken))[:_SHOWN])
    if found.saved is not None:
        yield f"           the first such run: windtunnel check {found.saved}"
    given_up = sum(run.given_up for run in read_runs)
    if given_up:
        yield f"given up   {counted(given_up, 'run')} that did not end"
    yield f"answer     {_answers(found)}"
    wrong = next((run.difference for run in found.runs if run.difference), "")
    yield from (f"           {escaped(line)}" for line in wrong.splitlines())
    yield from (
        f"           {escaped(each)}"
        for each in dict.fromkeys(run.error for run in read_runs if run.error)
    )
    yield from _describe_stops(found)
    yield from _describe_time(found)


def _describe_stops(found: Comparison) -> Iterator[str]:
    stopped, failing = found.of("cancelled", "closed"), found.of("failing")
    if stopped:
        ended = sum(not run.given_up for run in stopped)
        yield f"cancel     {ended} of {counted(len(stopped), 'run')} ended with every task over"
        yield from (
            f"           still at it, {run.how}: {', '.join(_unfinished(run.trace.events))}"
            for run in stopped
            if run.given_up
        )
    if failing:
        told = sum(BROKEN in run.error for run in failing)
        yield f"failure    told as it was in {told} of {counted(len(failing), 'run')}"


def _unfinished(events: Sequence[Event]) -> Iterator[str]:
    """The tasks that were told to run, and not to be over."""
    states: dict[str, str] = {}
    for event in events:
        if event.kind == "end":
            break
        if event.kind == "task_event" and states.get(event.subject) not in TERMINAL:
            states[event.subject] = event.details["state"]
    yield from (name for name, state in states.items() if state not in TERMINAL)


def _describe_time(found: Comparison) -> Iterator[str]:
    model = found.model
    if model is None:
        return
    ratio = median(found.real) / max(median(found.simulated), 1)
    spreads = f"real {_spread(found.real)}; simulated {_spread(found.simulated)}"
    yield f"time       {spreads}: {ratio:.2f} times"
    where = "the same" if found.own else "the other"
    yield (
        f"           fitted to {where} {counted(model.runs, 'run')}: a start {_ms(model.start)},"
        f" a record {_ms(2 * model.delivery)}; of those at work {model.overlap / 10:.1f} advance"
    )
    for name in sorted(found.kinds):
        kind = found.kinds[name]
        if kind.real and kind.simulated:
            real, simulated = median(kind.real), median(kind.simulated)
            off = f": {real / max(simulated, 1):.2f} times" if max(real, simulated) > _LEAST else ""
            times = f"{_spread(kind.real)}; {_spread(kind.simulated)}{off}"
            yield f"           a task of {name}: {times}"
    yield from (f"SLOWER     {each}" for each in _slower(found))


def _slower(found: Comparison) -> Iterator[str]:
    """Kinds that take far longer than they did, or than they can for want of processors.

    Of what is slow the quicker ones count, so that no other process on the machine is told of.
    """
    for name in sorted(found.kinds):
        kind = found.kinds[name]
        others = [each for other, each in found.kinds.items() if other != name]
        checks = (
            (kind.late, kind.early, "in earlier runs", max(1, *map(_slowdown, others), 1)),
            # As if they all had but one processor.
            (kind.real, kind.alone, f"{kind.crowd} of them on one processor", kind.crowd),
        )
        for ticks, expected, what, times in checks:
            if ticks and expected:
                took, should = sorted(ticks)[len(ticks) // 4], median(expected) * times
                if took > _SLOWER * should and took - should > _NOTABLE:
                    yield (
                        f"a task of {name} is at work for {_ms(median(ticks))};"
                        f" {what}, {_ms(should)}"
                    )
                    break


def _slowdown(kind: Kind) -> float:
    """How much later runs took than earlier ones: then so did the machine."""
    if not kind.late or not kind.early:
        return 1.0
    return median(kind.late) / max(median(kind.early), 1)


def _answers(found: Comparison) -> str:
    runs = found.of("read")
    wrong = sum(bool(run.difference) for run in runs)
    right = sum(run.judged and not run.difference for run in runs)
    said = f"right in {right} of {counted(len(runs), 'run')}, wrong in {wrong}"
    rest = len(runs) - right - wrong
    return f"{said}, none to compare in {rest}" if rest else said


def _spread(ticks: Sequence[int]) -> str:
    return f"{_ms(median(ticks))} ({min(ticks) / 1000:,.1f} to {max(ticks) / 1000:,.1f})"


def _ms(ticks: float) -> str:
    return f"{ticks / 1000:,.1f} ms"


def comparison_as_json(found: Comparison) -> dict[str, Any]:
    """The same for a program."""
    model = found.model
    return {
        "runner": found.runner,
        "scenario": found.scenario.name,
        "right": found.right,
        "trace": None if found.saved is None else str(found.saved),
        "runs": [
            {
                "workload": run.workload,
                "how": run.how,
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
        "real_us": found.real,
        "simulated_us": found.simulated,
        "fitted": None
        if model is None
        else {
            "runs": model.runs,
            "start_us": model.start,
            "record_us": 2 * model.delivery,
            "overlap": model.overlap / 10,
        },
        "kinds": {
            name: {"real_us": kind.real, "simulated_us": kind.simulated, "alone_us": kind.alone}
            for name, kind in sorted(found.kinds.items())
        },
        "slower": list(_slower(found)),
    }
