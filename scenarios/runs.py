"""One run: from what a user names to an outcome, its rules judged, and back from a saved trace.

Saved traces replay: their header carries the scenario, every choice that was not the tamest, and
the versions.  A replay code carries the same for a library scenario by its name and seed.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from properties.invariants import Violation, check
from scenarios.inputs import InputError, NamedPlan, load_plans
from scenarios.shelf import find_plan, find_scenario, plan_names, scenario_names
from sim.choices import Choices, Deltas, Seeded
from sim.scenario import Profile, Scenario, Workload
from sim.scenario_file import (
    ScenarioError,
    scenario_from_json,
    scenario_from_toml,
    scenario_to_json,
)
from sim.simulate import Outcome, simulate
from workflow import Workflow
from workflow.trace import Event, Trace, TraceError, read_trace

__all__ = ["Replay", "Run", "load_target", "replay_code", "replay_trace", "run", "saved_trace"]

Verdict = Literal["SAME", "FIXED", "DIVERGED"]

_LONGEST_CODE: Final = 2_000
_DIGEST: Final = 12  # characters of a digest in a replay code


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run and what is wrong with it."""

    outcome: Outcome
    violations: tuple[Violation, ...]
    target: str = ""  # a library name, if the run can be named so
    seed: int | None = None
    profile: str = "sound"

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


def load_target(target: str) -> tuple[Scenario, str]:
    """A scenario file, a library scenario, or a plan; and its library name, if it has one.

    Raises InputError.
    """
    path = Path(target)
    if target in scenario_names() and not path.is_file():
        return find_scenario(target), target
    if not path.is_file():
        if target in plan_names():
            return _scenario_of(find_plan(target), target), ""
        return find_scenario(target), target  # raises with the nearest name
    if path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(target, f"cannot be read ({error})") from None
        try:
            return (
                scenario_from_toml(
                    text,
                    where=target,
                    folder=path.parent,
                    find_plan=find_plan,
                    plan_names=plan_names(),
                ),
                "",
            )
        except ScenarioError as error:
            raise InputError("", str(error)) from None
    plans = list(load_plans(target))
    if len(plans) != 1:
        raise InputError(target, f"got {len(plans)} plans, expected one")
    [plan] = plans
    if not isinstance(plan, NamedPlan):
        raise plan.error
    return _scenario_of(plan.plan, plan.name), ""


def _scenario_of(plan: Any, name: str) -> Scenario:
    return Scenario(name=name, workloads=(Workload(plan=plan, plan_name=name),))


def run(
    scenario: Scenario,
    choices: Choices,
    *,
    target: str = "",
    seed: int | None = None,
    profile: Profile | None = None,
    workflow_type: type[Workflow] = Workflow,
) -> Run:
    """Simulate and judge.  `profile` replaces the scenario's own."""
    if profile is not None:
        scenario = replace(scenario, cluster=replace(scenario.cluster, profile=profile))
    outcome = simulate(scenario, choices, workflow_type=workflow_type)
    return Run(
        outcome,
        tuple(check(outcome)),
        target,
        seed,
        scenario.cluster.profile,
    )


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
    try:
        trace = read_trace(lines, name=name)
        scenario = scenario_from_json(trace.ran.get("scenario"), where=f"{name}:1 scenario")
    except TraceError as error:
        raise InputError("", str(error)) from None
    except ScenarioError as error:
        raise InputError("", str(error)) from None
    choices = trace.ran.get("choices")
    if not isinstance(choices, dict) or not all(type(x) is int for x in choices.values()):
        raise InputError(
            f"{name}:1", f"ran.choices: got {choices!r:.60}, expected integers by name"
        )
    deltas = Deltas(choices)
    again = run(scenario, deltas)
    return _compare(trace, again, deltas)


def _compare(trace: Trace, again: Run, deltas: Deltas) -> Replay:
    events = again.outcome.trace.events
    for recorded, seen in zip(trace.events, events, strict=False):
        if recorded != seen:
            return _different(trace, again, deltas, recorded, seen)
    if len(trace.events) != len(events):
        shared = min(len(trace.events), len(events))
        return _different(
            trace,
            again,
            deltas,
            trace.events[shared] if shared < len(trace.events) else None,
            events[shared] if shared < len(events) else None,
        )
    return Replay("SAME", again)


def _different(
    trace: Trace, again: Run, deltas: Deltas, recorded: Event | None, seen: Event | None
) -> Replay:
    was_wrong = bool(trace.ran.get("violations"))
    verdict: Verdict = "FIXED" if was_wrong and not again.violations else "DIVERGED"
    if trace.versions != again.outcome.trace.versions:
        reason = (
            f"recorded with {dict(trace.versions)}, this is {dict(again.outcome.trace.versions)}"
        )
    elif deltas.unused:
        first = next(iter(deltas.unused))
        reason = f"{len(deltas.unused)} recorded choices were not asked, {first!r} first"
    else:
        reason = "the code, or something that it depends on, is not what it was"
    return Replay(verdict, again, reason, recorded, seen)


def replay_code(code: str) -> Replay:
    """Run again what a replay code names.  Raises InputError."""
    body, _, digest = code.rpartition("@")
    if body.startswith("z") and "@" not in body:
        scenario, choices = _unpacked(body[1:], code)
        again = run(scenario, Deltas(choices))
    else:
        target, _, rest = body.partition("@")
        seed, _, profile = rest.partition("@")
        if not seed.lstrip("-").isdigit() or profile not in get_args(Profile):
            raise InputError(
                code[:60], "got no file and no replay code, expected NAME@SEED@PROFILE@DIGEST"
            )
        again = run(
            find_scenario(target),
            Seeded(int(seed)),
            target=target,
            seed=int(seed),
            profile="sound" if profile == "sound" else "reference",
        )
    if again.outcome.digest.startswith(digest) and digest:
        return Replay("SAME", again)
    return Replay(
        "DIVERGED", again, f"the trace's digest is {again.outcome.digest[:_DIGEST]}, not {digest}"
    )


def _unpacked(packed: str, code: str) -> tuple[Scenario, dict[str, int]]:
    try:
        text = zlib.decompressobj().decompress(base64.urlsafe_b64decode(packed), 10_000_000)
        scenario, choices = json.loads(text)
        return scenario_from_json(scenario), {str(k): int(v) for k, v in choices.items()}
    except (binascii.Error, zlib.error, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{code[:20]}...", f"got a damaged replay code ({error})") from None
