"""Run again what was recorded, and say whether it is the same.

A saved failure is judged by its rule: SAME if the rule is broken again, though other events may
have come to lie around it, or it is broken in a run nearby, which is then said; FIXED if it holds,
and DIVERGED if it holds but the run is not the one that was recorded, so that nothing can be said.
A saved trace is compared event by event, and a code by the digest of its trace.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from properties.judged import Judged
from scenarios.codes import DIGEST, is_packed, unpack
from scenarios.failure import Failure, failure_from_code, mark
from scenarios.inputs import InputError
from scenarios.named import parts_named
from scenarios.nearby import RUNS, nearby
from scenarios.runs import LARGEST_SEED, Run, run
from scenarios.shelf import scenario_for
from sim.choices import Deltas, Seeded
from sim.parts import Parts
from sim.scenario import Profile
from sim.scenario_file import ScenarioError, scenario_from_json
from workflow.trace import Event, Trace, TraceError, read_trace
from workflow.version import VERSION

__all__ = ["Replay", "replay_code", "replay_failure", "replay_trace"]

Verdict = Literal["SAME", "FIXED", "DIVERGED"]

_NEAR_STEPS: Final = 400_000  # that a search nearby may take: some ten seconds
_NAMED: Final = re.compile(r"([^@]+)@([0-9]{1,19})@([a-z]+)@([0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay compares with what was recorded."""

    verdict: Verdict
    run: Run
    reason: str = ""
    recorded: Event | None = None  # the first event that differs, as it was
    seen: Event | None = None  # and as it is now; None: one of the two runs is shorter
    unkept: int | None = None  # the number of the first event that differs, if it was not kept


def replay_trace(lines: Iterator[str], *, name: str) -> Replay:
    """Run again what a saved trace comes from.  Raises InputError."""
    first = next(lines, "")
    if not first:
        raise InputError(name, "got an empty file, expected a trace")
    try:
        trace = read_trace(itertools.chain([first], lines), name=name)
        if "scenario" not in trace.ran:
            raise InputError(
                f"{name}:1", "ran.scenario: got nothing, expected what windtunnel run --trace saves"
            )
        scenario = scenario_from_json(trace.ran["scenario"], where=f"{name}:1: ran.scenario")
    except (TraceError, ScenarioError) as error:
        raise InputError("", str(error)) from None
    deltas = Deltas(_choices(trace.ran.get("choices"), f"{name}:1"))
    parts = parts_named(trace.ran.get("parts", {}), f"{name}:1: ran")
    return _compare(trace, run(scenario, deltas, parts=parts), deltas)


def _choices(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, dict):
        shown = "nothing" if value is None else f"{value!r:.60}"
        raise InputError(where, f"ran.choices: got {shown}, expected an object of integers")
    for key, answer in value.items():
        if type(answer) is not int or answer < 0:
            raise InputError(
                where, f"ran.choices: {key:.60}: got {answer!r:.60}, expected an integer >= 0"
            )
    return value


def _compare(trace: Trace, again: Run, deltas: Deltas) -> Replay:
    was_wrong = bool(trace.ran.get("violations"))
    fixed = was_wrong and not again.violations
    for recorded, seen in itertools.zip_longest(trace.events, again.outcome.trace.events):
        if recorded != seen:
            reason = _why(trace, again, deltas)
            return Replay("FIXED" if fixed else "DIVERGED", again, reason, recorded, seen)
    if fixed:
        return Replay("FIXED", again, "the events are as recorded: it is the rules that changed")
    return Replay("SAME", again)


def _why(trace: Trace, again: Run, deltas: Deltas) -> str:
    if trace.versions != again.outcome.trace.versions:
        return f"recorded with {_versions(trace)}, this is {_versions(again.outcome.trace)}"
    as_run = Trace(again.outcome.trace.ran, trace.events, trace.versions)
    if trace.ran.get("digest") != as_run.digest():
        return "the file was edited or cut off: its events are not those that its digest is of"
    if deltas.unused:
        first = next(iter(deltas.unused))
        return f"{len(deltas.unused)} recorded choices were not asked, {first!r:.80} first"
    return "the code, or something that it depends on, is not what it was"


def _versions(trace: Trace) -> str:
    return ", ".join(f"{name} {version}" for name, version in trace.versions.items()) or "nothing"


def replay_code(code: str) -> Replay:
    """Run again what a replay code names.  Raises InputError."""
    named = _NAMED.fullmatch(code)
    if is_packed(code):
        what, digest = unpack(code)
        where = f"{code[:20]}..."
        if "rule" in what:
            return _judge(failure_from_code(what, where=where), digest=digest)
        try:
            scenario = scenario_from_json(what.get("scenario"), where=where)
        except ScenarioError as error:
            raise InputError("", str(error)) from None
        parts = parts_named(what.get("parts", {}), where)
        again = run(scenario, Deltas(_choices(what.get("choices"), where)), parts=parts)
    elif named is not None and named[3] in get_args(Profile) and int(named[2]) <= LARGEST_SEED:
        target, seed, digest = named[1], int(named[2]), named[4]
        again = run(
            scenario_for(target, seed),
            Seeded(seed),
            target=target,
            seed=seed,
            profile="sound" if named[3] == "sound" else "reference",
        )
    else:
        raise InputError(
            code if len(code) <= 60 else f"{code[:57]}...",
            "got no file, no saved failure and no replay code, expected a code as windtunnel run"
            " prints it, such as demo@7@sound@0123456789ab",
        )
    if again.outcome.digest.startswith(digest):
        return Replay("SAME", again)
    return Replay("DIVERGED", again, _other_digest(again, digest))


def _other_digest(again: Run, digest: str) -> str:
    return f"the trace's digest is {again.outcome.digest[:DIGEST]}, not {digest}"


def replay_failure(failure: Failure, *, parts: Parts | None = None) -> Replay:
    """Run a failure again, with other parts than its own if they are given."""
    return _judge(failure, parts=parts)


def _judge(failure: Failure, *, digest: str = "", parts: Parts | None = None) -> Replay:
    """SAME if the rule is broken again, whatever else is different."""
    choices = Deltas(failure.choices)
    found = failure.run(choices, parts=parts)
    if found.violations and not _breaks(found, failure.rule):
        # Another rule stopped the run: the one that it is about may break later.
        choices = Deltas(failure.choices)
        found = failure.run(choices, parts=parts, stop=False)
    again = Run(found, profile=failure.scenario.cluster.profile)
    place = _first_difference(failure, found)
    differs = _events(failure, found, place)
    moved = "" if place is None else f"the rule is broken again, by other events from #{place} on"
    if digest and not found.outcome.digest.startswith(digest):
        moved = f"the rule is broken again, but {_other_digest(again, digest)}"
    if _breaks(found, failure.rule):
        return Replay("SAME", again, moved, *differs)
    beside = ""
    if not _as_recorded(failure, found, place, digest):
        near, beside = _found_nearby(failure, found, parts)
        if near is not None:
            return Replay("SAME", replace(again, judged=near), beside)
    if found.violations:
        reason = f"another rule is broken instead: {found.first.rule}{beside}"
        return Replay("DIVERGED", again, reason, *differs)
    if choices.unused:
        return Replay("DIVERGED", again, _why_lost(failure, choices) + beside, *differs)
    return Replay("FIXED", again, f"every recorded choice was asked{beside}", *differs)


def _as_recorded(failure: Failure, found: Judged, place: int | None, digest: str) -> bool:
    """Whether it is known to be the same run: then it is the rules that have changed."""
    if digest:
        return found.outcome.digest.startswith(digest)
    return bool(failure.marks) and place is None


def _found_nearby(
    failure: Failure, found: Judged, parts: Parts | None
) -> tuple[Judged | None, str]:
    """The first run near a failure that breaks its rule, and what is said about that.

    Steps of the simulator bound the search as well as `RUNS`.
    """
    most = max(_NEAR_STEPS // RUNS, 2 * found.outcome.steps)  # of a run
    steps = runs = 0
    for near in nearby(failure):
        if steps >= _NEAR_STEPS:
            break
        short = min(most, near.scenario.max_steps)
        scenario = replace(near.scenario, max_steps=short)
        there = replace(failure, scenario=scenario).run(near.choices, parts=parts, stop=False)
        steps, runs = steps + there.outcome.steps, runs + 1
        cut = there.outcome.over_budget and short < near.scenario.max_steps
        if _breaks(there, failure.rule) and not cut:
            return there, f"found again nearby, in run {runs} of at most {RUNS}: {near.what}"
    return None, f"; the rule holds nearby too, in runs: {runs}"


def _breaks(found: Judged, rule: str) -> bool:
    return any(each.rule == rule for each in found.violations)


def _why_lost(failure: Failure, choices: Deltas) -> str:
    first = next(iter(choices.unused))
    lost = f"{len(choices.unused)} of {len(failure.choices)} recorded choices were not asked"
    was = failure.versions.get("windtunnel", VERSION)
    version = f"; recorded with windtunnel {was}, this is {VERSION}" if was != VERSION else ""
    return f"{lost}, {first!r:.80} first{version}"


def _first_difference(failure: Failure, found: Judged) -> int | None:
    """The number of the first event that is not as recorded; None if all are, or none is known."""
    if not failure.marks:
        return None
    for place, (was, now) in enumerate(
        itertools.zip_longest(failure.marks, map(mark, found.outcome.trace.events))
    ):
        if was != now:
            return place
    return None


def _events(
    failure: Failure, found: Judged, place: int | None
) -> tuple[Event | None, Event | None, int | None]:
    """The event at a place as it was and as it is; and the place if what it was is not known."""
    if place is None:
        return None, None, None
    events = found.outcome.trace.events
    seen = events[place] if place < len(events) else None
    for event in (*failure.first, *failure.last):
        if event.seq == place:
            return event, seen, None
    return None, seen, place if place < len(failure.marks) else None
