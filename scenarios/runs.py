"""One run: from what a user names to an outcome, its rules judged, and a trace that replays.

A saved trace's header carries the scenario, every choice that was not the tamest, and
the versions.  A replay code carries the same for a library scenario by its name and seed.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from properties.judged import Judged, judged
from properties.monitors import Violation
from scenarios.codes import DIGEST, pack
from scenarios.held import rows_of
from scenarios.inputs import InputError, NamedPlan, is_there, load_plans
from scenarios.named import name_parts
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
from sim.choices import Choices
from sim.parts import SOUND, Parts
from sim.scenario import Cluster, Data, Profile, Scenario, Workload
from sim.scenario_file import (
    ScenarioError,
    scenario_from_json,
    scenario_from_toml,
    scenario_to_json,
)
from sim.simulate import Outcome
from workflow import GraphError, Plan, partition
from workflow.trace import Trace, write_trace

__all__ = [
    "LARGEST_SEED",
    "Run",
    "load_target",
    "roomy",
    "run",
    "save_trace",
    "saved_trace",
]


LARGEST_SEED: Final = 2**63 - 1

_MOST_SLOTS: Final = 1_000  # of a worker, in a scenario file


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run and what is wrong with it."""

    judged: Judged
    target: str = ""  # a library name, if the run can be named so
    seed: int | None = None
    profile: str = "sound"
    parts: Parts = SOUND

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
        digest = self.outcome.digest[:DIGEST]
        parts = name_parts(self.parts)
        if self.target and self.seed is not None and not parts:
            return f"{self.target}@{self.seed}@{self.profile}@{digest}"
        what = {
            "scenario": scenario_to_json(self.outcome.scenario),
            "choices": self.outcome.deltas,
            **({"parts": parts} if parts else {}),
        }
        return pack(what, digest=self.outcome.digest)


def load_target(
    target: str, *, seed: int = 0, bucket: str = "", anew: bool = False
) -> tuple[Scenario, str]:
    """A scenario file, a library scenario, or a plan; and its library name, if it has one.

    `RANDOM` is a scenario made up from the seed.  With a `bucket` it runs over that, bound `anew`
    or as its plans say, and then has no name.  Raises InputError.
    """
    scenario, name = _load_target(target, seed)
    data = Data(bucket=bucket) if bucket else scenario.data
    if data is None:
        return scenario, name
    from scenarios.data.running import over  # noqa: PLC0415 - heavy

    return over(scenario, data, anew=anew), ""


def _load_target(target: str, seed: int) -> tuple[Scenario, str]:
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


def roomy(plan: Plan) -> Cluster:
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
    scenario = Scenario(name=named.name, cluster=roomy(named.plan), workloads=(workload,))
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
    """Simulate and judge.  `profile` replaces the scenario's own.

    Raises InputError if the scenario runs over data that is not there.
    """
    if profile is not None:
        scenario = replace(scenario, cluster=replace(scenario.cluster, profile=profile))
    # To its end, whatever was violated: a report shows the whole story.
    found = judged(scenario, choices, parts=parts, stop=False, data=rows_of(scenario))
    return Run(found, target, seed, scenario.cluster.profile, parts)


def saved_trace(finished: Run) -> Trace:
    """The run's trace with a header from which it replays."""
    outcome, parts = finished.outcome, name_parts(finished.parts)
    return Trace(
        {
            "scenario": scenario_to_json(outcome.scenario),
            "choices": dict(sorted(outcome.deltas.items())),
            "digest": outcome.digest,
            "violations": [str(violation) for violation in finished.violations],
            **({"parts": parts} if parts else {}),
            **({"target": finished.target} if finished.target else {}),
            **({"seed": finished.seed} if finished.seed is not None else {}),
        },
        outcome.trace.events,
    )


def save_trace(place: Path, trace: Trace) -> None:
    """Write a trace to a file, whole or not at all.  Raises InputError."""
    try:
        path = place.resolve()  # through a link, to what it points at
        if path.exists() and not path.is_file():  # a pipe, a terminal, /dev/null
            with path.open("w", encoding="utf-8") as out:
                write_trace(out, trace)
            return
        # A name of its own first: a full disk must not cost what was saved before.
        part = path.with_name(f".windtunnel-{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as out:
                write_trace(out, trace)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(str(place), f"cannot be written ({why})") from None
