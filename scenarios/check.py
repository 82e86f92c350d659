"""Saved traces judged by every rule, and the verdicts in words and as JSON."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Final

from properties.monitors import MONITORS
from properties.monitors.judge import Verdict, judge_trace
from properties.monitors.monitor import KINDS, Monitor, Violation
from properties.monitors.story import TERMINAL
from scenarios.foreign import form_of, read_foreign
from scenarios.inputs import InputError
from scenarios.well_formed import check_events
from sim.scenario import Scenario
from sim.scenario_file import ScenarioError, scenario_from_json
from workflow.trace import Trace, TraceError, read_trace

__all__ = ["Judged", "check_trace", "describe_judged", "judged_as_json", "title_of"]

_SHOWN: Final = 3  # violations of a rule; --json has all that its monitor keeps
_NOTED: Final = 5
_LONGEST: Final = 400  # columns of a line
_WORDS: Final = ("holds", "violated", "not judged")


@dataclass(frozen=True, slots=True)
class Judged:
    """A run and what each rule says of it.  ``first`` is the line of its first event, from 1."""

    file: str
    name: str
    events: int
    first: int
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()  # what no rule forbids, and is worth a look

    @property
    def violated(self) -> bool:
        """Whether a rule is."""
        return any(verdict.word == "violated" for verdict in self.verdicts)

    def counts(self) -> dict[str, int]:
        """How many rules each word is said of."""
        words = [verdict.word for verdict in self.verdicts]
        return {word: words.count(word) for word in _WORDS}

    def line(self, event: int) -> int:
        """The line in the file that an event stands on."""
        return self.first + event


def check_trace(
    lines: Iterable[str], *, name: str, monitors: Sequence[type[Monitor]] | None = None
) -> Iterator[Judged]:
    """Judge each run of a trace, ours or a foreign one, as soon as it is read.

    Raises InputError.
    """
    chosen = MONITORS if monitors is None else monitors
    rest = iter(lines)
    first = next(rest, "")
    if not first:
        raise InputError(name, "got an empty file, expected a trace")
    whole = itertools.chain([first], rest)
    try:
        form = form_of(first)
        if form == "foreign":
            for trace in read_foreign(whole, name=name):
                yield _judge(trace, name, str(trace.ran["name"]), trace.ran["line"] + 1, chosen)
        elif form == "unknown":
            raise InputError(
                f"{name}:1",
                "got no 'format' and no kind 'run', expected the header of a trace or the first"
                " line of a foreign one",
            )
        else:
            trace = read_trace(whole, name=name)
            check_events(trace.events, name=name)
            yield _judge(trace, name, title_of(trace.ran), 2, chosen)
    except (TraceError, ScenarioError) as error:
        raise InputError("", str(error)) from None


def _judge(
    trace: Trace, file: str, name: str, first: int, monitors: Sequence[type[Monitor]]
) -> Judged:
    scenario: Scenario | None = None
    if "scenario" in trace.ran:
        scenario = scenario_from_json(trace.ran["scenario"], where=f"{file}:1: ran.scenario")
    if not trace.events:
        raise InputError(file, "got a header without any event")
    verdicts = judge_trace(trace, monitors=monitors, scenario=scenario)
    return Judged(file, name, len(trace.events), first, tuple(verdicts), tuple(_notes(trace)))


def _notes(trace: Trace) -> Iterator[str]:
    """What a Runner may do, and a workflow should give no occasion for."""
    over: dict[str, None] = {}
    unknown = dict.fromkeys(event.kind for event in trace.events if event.kind not in KINDS)
    if unknown:
        yield f"kinds of events that no rule knows: {', '.join(unknown):.200}"
    for event in trace.events:
        details = event.details
        if event.kind == "task_event" and details["state"] in TERMINAL:
            over[event.subject] = None
        elif event.kind == "return" and details["error"] is not None:
            yield f"{details['method']} came back with an error (event {event.seq})"
        elif event.kind == "call" and details["method"] == "start":
            for task in (f"{event.subject}/t{index}" for index in details["tasks"]):
                if task in over:
                    yield f"{task} was started although it was over (event {event.seq})"


def title_of(ran: Mapping[str, Any]) -> str:
    """What a run is called, by the header of its trace."""
    scenario = ran.get("scenario")
    named = scenario.get("name") if isinstance(scenario, dict) else None
    name = next((each for each in (ran.get("name"), named) if isinstance(each, str) and each), "")
    seed = f"seed {ran['seed']}" if type(ran.get("seed")) is int else ""
    return " ".join(part for part in (name, seed) if part) or "run"


def describe_judged(
    judged: Judged, *, every: bool = False, width: int = 100, file: bool = False
) -> Iterator[str]:
    """What a user reads: a line, and what is violated or cannot be judged.

    `every` shows each rule in a line of its own; `file` puts the file's name before the run's.
    """
    counts = judged.counts()
    where = f"{judged.file}: " if file else ""
    holding = _rules(counts["holds"], "holds", "hold")
    yield (
        f"{where}{judged.name}: {judged.events:,} events; {holding},"
        f" {counts['violated']} violated, {counts['not judged']} not judged"
    )
    for verdict in judged.verdicts:
        if verdict.word == "violated":
            yield f"  {verdict.word:<10}  {verdict.rule} {verdict.sentence}"
            yield from _violations(judged, verdict.violations)
        elif every:
            why = f" ({verdict.why})" if verdict.why else ""
            yield _cut(f"  {verdict.word:<10}  {verdict.rule} {verdict.sentence}{why}")
    yield from (f"  noted       {note}" for note in judged.notes[:_NOTED])
    if len(judged.notes) > _NOTED:
        yield f"  noted       {len(judged.notes) - _NOTED} more"
    if not every:
        yield from _unjudged(judged.verdicts, width)


def _rules(count: int, one: str, many: str) -> str:
    return f"{count} {'rule ' + one if count == 1 else 'rules ' + many}"


def _violations(judged: Judged, violations: Sequence[Violation]) -> Iterator[str]:
    for violation in violations[:_SHOWN]:
        yield _cut(f"    seen      {violation.seen}")
        if violation.events:
            yield _cut(f"    proof     {_proof(judged, violation.events)}")
        if violation.right:
            yield _cut(f"    right     {violation.right}")
    if len(violations) > _SHOWN:
        yield f"    and {len(violations) - _SHOWN} more"


def _proof(judged: Judged, events: Sequence[int]) -> str:
    numbers = ", ".join(str(event) for event in events)
    lines = ", ".join(str(judged.line(event)) for event in events)
    many = "s" if len(events) > 1 else ""
    return f"event{many} {numbers}, on line{many} {lines} of {judged.file}"


def _unjudged(verdicts: Sequence[Verdict], width: int) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.word == "not judged":
            groups.setdefault(verdict.why, []).append(verdict.rule)
    for why, rules in groups.items():
        yield from wrap(
            f"not judged: {', '.join(rules)}: {why}",
            width,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _cut(line: str) -> str:
    line = " ".join(line.split("\n"))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def judged_as_json(judged: Judged) -> dict[str, Any]:
    """The same for a program."""
    return {
        "file": judged.file,
        "run": judged.name,
        "events": judged.events,
        "counts": judged.counts(),
        "notes": list(judged.notes),
        "rules": [
            {
                "rule": verdict.rule,
                "sentence": verdict.sentence,
                "verdict": verdict.word,
                "why": verdict.why or None,
                "violations": [
                    {
                        "seen": violation.seen,
                        "events": list(violation.events),
                        "lines": [judged.line(event) for event in violation.events],
                        "right": violation.right or None,
                    }
                    for violation in verdict.violations
                ],
            }
            for verdict in judged.verdicts
        ],
    }
