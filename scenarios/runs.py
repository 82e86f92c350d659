"""One run: from what a user names to an outcome, its rules judged, and back from a saved trace.

Saved traces replay: their header carries the scenario, every choice that was not the tamest, and
the versions.  A replay code carries the same for a library scenario by its name and seed.
"""

import base64
import binascii
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from properties.judged import Judged, judged
from properties.monitors import Violation
from scenarios.inputs import InputError, NamedPlan, is_there, load_plans
from scenarios.shelf import (
    RANDOM,
    find_plan,
    find_scenario,
    load_plan,
    plan_names,
    scenario_for,
    scenario_names,
    unknown,
    with_queries,
)
from sim.choices import Choices, Deltas, Seeded
from sim.parts import SOUND, Parts
from sim.scenario import Cluster, Profile, Scenario, Workload
from sim.scenario_file import (
    ScenarioError,
    scenario_from_json,
    scenario_from_toml,
    scenario_to_json,
)
from sim.simulate import Outcome
from workflow import GraphError, Plan, partition
from workflow.trace import Event, Trace, TraceError, read_trace

__all__ = [
    "LARGEST_SEED",
    "Replay",
    "Run",
    "load_target",
    "replay_code",
    "replay_trace",
    "run",
    "saved_trace",
]

Verdict = Literal["SAME", "FIXED", "DIVERGED"]

LARGEST_SEED: Final = 2**63 - 1

_LONGEST_CODE: Final = 2_000
_LARGEST_SCENARIO: Final = 10_000_000  # bytes that a replay code may unpack to
_MOST_SLOTS: Final = 1_000  # of a worker, in a scenario file
_DIGEST: Final = 12  # characters of a digest in a replay code
_NAMED: Final = re.compile(r"([^@]+)@([0-9]{1,19})@([a-z]+)@([0-9a-f]{12})")
_PACKED: Final = re.compile(r"z([A-Za-z0-9_=-]+)@([0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run and what is wrong with it."""

    judged: Judged
    target: str = ""  # a library name, if the run can be named so
    seed: int | None = None
    profile: str = "sound"

    @property
    def outcome(self) -> Outcome:
        """What it came to."""
        return self.judged.outcome

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The rules that do not hold, and why."""
        return self.judged.violations

    @property
    def code(self) -> str:
        """What `windtunnel replay` takes for this run; empty if it would be too long."""
        digest = self.outcome.digest[:_DIGEST]
        if self.target and self.seed is not None:
            return f"{self.target}@{self.seed}@{self.profile}@{digest}"
        packed = json.dumps(
            [scenario_to_json(self.outcome.scenario), self.outcome.deltas], sort_keys=True
        )
        code = base64.urlsafe_b64encode(zlib.compress(packed.encode(), 9)).decode()
        return f"z{code}@{digest}" if len(code) <= _LONGEST_CODE else ""


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay compares with what was recorded."""

    verdict: Verdict
    run: Run
    reason: str = ""
    recorded: Event | None = None  # the first event that differs, as it was
    seen: Event | None = None  # and as it is now; None: one of the two runs is shorter


def load_target(target: str, *, seed: int = 0) -> tuple[Scenario, str]:
    """A scenario file, a library scenario, or a plan; and its library name, if it has one.

    `RANDOM` is a scenario made up from the seed.  Raises InputError.
    """
    if not is_there(target):
        if target == RANDOM:
            return scenario_for(target, seed), target
        if target in scenario_names():
            return find_scenario(target), target
        if target in plan_names():
            return _scenario_of(load_plan(target), target), ""
        names = [*scenario_names(), *plan_names()]
        raise unknown(target, "no file, and no scenario or plan of the library", names)
    if Path(target).suffix == ".toml":
        return _read_toml(Path(target), target), ""
    plans = list(load_plans(target))
    if len(plans) != 1:
        raise InputError(target, f"got {len(plans)} plans, expected one")
    [plan] = plans
    if isinstance(plan, NamedPlan):
        return _scenario_of(plan, target), ""
    hint = " (in a scenario's file: plan_shared)" if plan.rule == "ambiguous-sharing" else ""
    raise InputError("", f"{plan.error}{hint}")


def _read_toml(path: Path, target: str) -> Scenario:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(target, f"cannot be read ({error.strerror})") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{target}:{line}", "got bytes that are no UTF-8") from None
    try:
        scenario = scenario_from_toml(
            text, where=target, folder=path.parent, find_plan=find_plan, plan_names=plan_names()
        )
    except ScenarioError as error:
        raise InputError("", str(error)) from None
    return with_queries(scenario)


def _roomy(plan: Plan) -> Cluster:
    """A slot for every task: with fewer, tasks that wait for their input can hold them all."""
    cluster = Cluster()
    try:
        tasks = len(partition(plan))
    except GraphError:
        return cluster  # reading the scenario says what is wrong
    slots = max(cluster.slots, min(-(-tasks // cluster.workers), _MOST_SLOTS))
    return replace(cluster, slots=slots)


def _scenario_of(named: NamedPlan, where: str) -> Scenario:
    workload = Workload(plan=named.plan, plan_name=named.name, query=named.query)
    scenario = Scenario(name=named.name, cluster=_roomy(named.plan), workloads=(workload,))
    try:
        # The one place that knows whether a plan can run: what is saved must be readable, too.
        return scenario_from_json(scenario_to_json(scenario), where=where)
    except ScenarioError as error:
        raise InputError("", str(error).replace("[workload 0] plan_json: ", "")) from None


def run(
    scenario: Scenario,
    choices: Choices,
    *,
    target: str = "",
    seed: int | None = None,
    profile: Profile | None = None,
    parts: Parts = SOUND,
) -> Run:
    """Simulate and judge.  `profile` replaces the scenario's own."""
    if profile is not None:
        scenario = replace(scenario, cluster=replace(scenario.cluster, profile=profile))
    # To its end, whatever was violated: a report shows the whole story.
    found = judged(scenario, choices, parts=parts, stop=False)
    return Run(found, target, seed, scenario.cluster.profile)


def saved_trace(finished: Run) -> Trace:
    """The run's trace with a header from which it replays."""
    outcome = finished.outcome
    return Trace(
        {
            "scenario": scenario_to_json(outcome.scenario),
            "choices": dict(sorted(outcome.deltas.items())),
            "digest": outcome.digest,
            "violations": [str(violation) for violation in finished.violations],
            **({"target": finished.target} if finished.target else {}),
            **({"seed": finished.seed} if finished.seed is not None else {}),
        },
        outcome.trace.events,
    )


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
    return _compare(trace, run(scenario, deltas), deltas)


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
    packed, named = _PACKED.fullmatch(code), _NAMED.fullmatch(code)
    if packed is not None:
        digest = packed[2]
        scenario, choices = _unpacked(packed[1], code)
        again = run(scenario, Deltas(choices))
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
            "got no file and no replay code, expected a code as windtunnel run prints it,"
            " such as demo@7@sound@0123456789ab",
        )
    if again.outcome.digest.startswith(digest):
        return Replay("SAME", again)
    return Replay(
        "DIVERGED", again, f"the trace's digest is {again.outcome.digest[:_DIGEST]}, not {digest}"
    )


def _unpacked(packed: str, code: str) -> tuple[Scenario, dict[str, int]]:
    where = f"{code[:20]}..."
    try:
        raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(packed), _LARGEST_SCENARIO)
        scenario, choices = json.loads(raw)
        return scenario_from_json(scenario), _choices(choices, where)
    except InputError:
        raise
    except (binascii.Error, zlib.error, ValueError, TypeError, RecursionError) as error:
        shown = str(error).partition("\n")[0]
        raise InputError(where, f"got a damaged replay code ({shown})") from None
