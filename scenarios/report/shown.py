"""What `windtunnel show` is asked to show: a failure or a trace, judged and told in words."""

import itertools
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from properties.judged import Judged
from properties.monitors import MONITORS, Verdict, Violation, judge_trace
from scenarios.archive import FAILURES, find_failure, found_folder, load_failure
from scenarios.check import title_of
from scenarios.failure import Failure
from scenarios.failure_report import Fact, describe_facts, facts_of, story_of
from scenarios.foreign import form_of, read_foreign
from scenarios.inputs import InputError, is_there, lines_of
from scenarios.well_formed import check_events
from scenarios.wording import counted, line_of
from sim.scenario import Scenario
from sim.scenario_file import ScenarioError, scenario_from_json
from workflow.trace import Event, Trace, TraceError, read_trace

__all__ = ["Shown", "describe_shown", "load_shown", "shown_failure", "shown_trace"]

_STORY: Final = 9  # events
_MORE: Final = 5  # violations beside the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A run to be shown, and what is to be said about it."""

    name: str  # of the failure, or of the run
    title: str  # the rule that is broken, or that all hold
    broken: bool
    events: Sequence[Event]
    violations: tuple[Violation, ...] = ()
    facts: tuple[Fact, ...] = ()
    scenario: Scenario | None = None

    @property
    def story(self) -> tuple[Event, ...]:
        """The events that tell it."""
        return next((fact.events for fact in self.facts if fact.kind == "story"), ())


def load_shown(what: str) -> Shown:
    """A saved failure by its file or name, or a trace by its file, or ``-``.  Raises InputError."""
    path = find_failure(what) if what != "-" else None
    if path is not None:
        found = path.parent in (FAILURES, found_folder())
        return shown_failure(load_failure(path), saved=str(path) if found else what, kept=not found)
    if what != "-" and not is_there(what):
        raise InputError(
            what if len(what) <= 60 else f"{what[:57]}...",
            "got no file and no saved failure, expected one of them; windtunnel run --trace FILE"
            " saves a trace",
        )
    return shown_trace(lines_of(what), name="stdin" if what == "-" else what)


def shown_failure(failure: Failure, *, saved: str = "", kept: bool = False) -> Shown:
    """A failure, run again to see all of it.

    ``saved``: how a command names it; ``kept``: whether it is in a library already.
    """
    run = failure.run()
    violation = _of_rule(run, failure.rule)
    if violation is None and run.violations:  # another rule stopped it
        run = failure.run(stop=False)
        violation = _of_rule(run, failure.rule)
    events = run.outcome.trace.events
    if violation is None:
        return _mended(failure, run, saved)
    now = replace(failure, violation=violation)
    return Shown(
        name=failure.name,
        title=f"{failure.rule} {violation.sentence}",
        broken=True,
        events=events,
        violations=(violation, *(each for each in run.violations if each is not violation)),
        facts=tuple(facts_of(now, run, saved=saved, kept=kept)),
        scenario=failure.scenario,
    )


def _of_rule(run: Judged, rule: str) -> Violation | None:
    return next((each for each in run.violations if each.rule == rule), None)


def _mended(failure: Failure, run: Judged, saved: str) -> Shown:
    """The rule holds: what was, and the run as it is now."""
    facts = [Fact("was", (failure.violation.seen,))]
    if run.violations:
        facts.append(Fact("now", (f"another rule is broken: {run.first}",)))
    else:
        facts.append(Fact("now", ("no rule is broken in the run that is left of it",)))
    if saved:
        facts.append(Fact("replay", (f"windtunnel replay {shlex.quote(saved)}",), "command"))
    return Shown(
        name=failure.name,
        title=f"{failure.rule} holds now: {failure.violation.sentence}",
        broken=bool(run.violations),
        events=run.outcome.trace.events,
        violations=run.violations,
        facts=tuple(facts),
        scenario=failure.scenario,
    )


def shown_trace(lines: Iterator[str], *, name: str) -> Shown:
    """A trace, ours or a foreign one; of several runs the first that breaks a rule, else the first.

    Raises InputError.
    """
    first = next(lines, "")
    if not first:
        raise InputError(name, "got an empty file, expected a trace")
    whole = itertools.chain([first], lines)
    try:
        form = form_of(first)
        if form == "unknown":
            raise InputError(f"{name}:1", "got no 'format' and no kind 'run', expected a trace")
        if form == "ours":
            trace = read_trace(whole, name=name)
            check_events(trace.events, name=name)
            return _told(trace, name, "")
        chosen: Shown | None = None
        count = 0
        for trace in read_foreign(whole, name=name):
            count += 1
            if chosen is None or not chosen.broken:
                told = _told(trace, name, str(trace.ran["name"]))
                chosen = told if chosen is None or told.broken else chosen
        if chosen is None:
            raise InputError(name, "got no run")
    except (TraceError, ScenarioError) as error:
        raise InputError("", str(error)) from None
    if count == 1:
        return chosen
    of = Fact("file", (f"this is {chosen.name} of the {count:,} runs in {name}",))
    return replace(chosen, facts=(of, *chosen.facts))


def _told(trace: Trace, file: str, run: str) -> Shown:
    if not trace.events:
        raise InputError(file, "got a header without any event")
    scenario = None
    if "scenario" in trace.ran:
        scenario = scenario_from_json(trace.ran["scenario"], where=f"{file}:1: ran.scenario")
    verdicts = judge_trace(trace, monitors=MONITORS, scenario=scenario)
    violations = [each for verdict in verdicts for each in verdict.violations]
    violations.sort(key=lambda each: (not each.events, each.events[-1:]))
    events = _from_zero(trace.events)
    name = run or title_of(trace.ran)
    title = f"{name}: {_verdicts(verdicts)}"
    if violations:
        title = f"{violations[0].rule} {violations[0].sentence}"
    return Shown(
        name=name,
        title=title,
        broken=bool(violations),
        events=events,
        violations=tuple(violations),
        facts=tuple(_facts(events, violations, scenario, "" if run else file)),
        scenario=scenario,
    )


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    open_ = sum(verdict.word == "not judged" for verdict in verdicts)
    holds = f"no rule is broken, {counted(len(verdicts) - open_, 'rule')} judged"
    return f"{holds}, {open_} not" if open_ else holds


def _from_zero(events: Sequence[Event]) -> Sequence[Event]:
    """Times since the first event; a clock that threads share may have gone back by a little."""
    start = now = events[0].tick
    moved = []
    for event in events:
        now = max(now, event.tick)
        moved.append(replace(event, tick=now - start) if now - start != event.tick else event)
    return moved


def _facts(
    events: Sequence[Event], violations: list[Violation], scenario: Scenario | None, file: str
) -> Iterator[Fact]:
    if violations:
        broken = violations[0]
        last = broken.events[-1] if broken.events else len(events) - 1
        when = f"t={events[last].tick:,} us, event {last} of {len(events):,}"
        yield Fact("when", (when,))
        yield Fact("seen", (broken.seen,))
        if broken.right:
            yield Fact("right", (broken.right,))
        story = tuple(story_of(broken, events, most=_STORY))
        yield Fact("story", tuple(map(line_of, story)), "story", story)
        rest = violations[1:]
        if rest:
            more = [str(each) for each in rest[:_MORE]]
            more += [f"and {len(rest) - _MORE:,} more"] if len(rest) > _MORE else []
            yield Fact("also", tuple(more), "lines")
    yield Fact("in", (f"{counted(len(events), 'event')}, {events[-1].tick:,} us",))
    if scenario is not None:
        said = f"{scenario.name}: {scenario.sentence}" if scenario.sentence else scenario.name
        yield Fact("run", (said,))
    elif all(event.kind != "cluster" for event in events):
        yield Fact("of", ("a recorded run, not a simulated one",))
    if file and file != "stdin":
        word = "replay" if scenario is not None else "check"
        yield Fact(word, (f"windtunnel {word} {shlex.quote(file)}",), "command")


def describe_shown(shown: Shown) -> Iterator[str]:
    """The same in lines, as the report of a failure."""
    word = "FAILED" if shown.broken else "HOLDS"
    yield from describe_facts(f"{word:<8}{shown.title}", shown.facts)
