"""Scenarios and plans that come with Windtunnel, by name.

>>> find_scenario("slow-reader").cluster.workers
2
"""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from scenarios.arbitrary import arbitrary_scenario
from scenarios.inputs import InputError, NamedPlan, read_plans
from sim.scenario import Scenario
from sim.scenario_file import scenario_from_toml
from workflow import Plan

__all__ = [
    "RANDOM",
    "find_plan",
    "find_scenario",
    "load_plan",
    "plan_names",
    "scenario_for",
    "scenario_names",
    "unknown",
    "with_queries",
]

RANDOM: Final = "random"

_LIBRARY = files("scenarios") / "library"


def scenario_names() -> list[str]:
    """Every scenario, in order."""
    return sorted(_stem(entry) for entry in _LIBRARY.iterdir() if entry.name.endswith(".toml"))


def plan_names() -> list[str]:
    """Every plan, in order."""
    return sorted(_stem(entry) for entry in (_LIBRARY / "plans").iterdir())


def find_scenario(name: str) -> Scenario:
    """A scenario by its name.  Raises InputError with the nearest name."""
    entry = _LIBRARY / f"{name}.toml"
    if name not in scenario_names():
        raise unknown(name, "no library scenario", scenario_names())
    return with_queries(
        scenario_from_toml(
            entry.read_text(encoding="utf-8"),
            where=f"{name}.toml",
            find_plan=find_plan,
            plan_names=plan_names(),
        )
    )


def scenario_for(name: str, seed: int) -> Scenario:
    """A scenario by its name; `RANDOM` is another one for each seed.  Raises InputError."""
    return arbitrary_scenario(seed) if name == RANDOM else find_scenario(name)


def with_queries(scenario: Scenario) -> Scenario:
    """The scenario, its plans from the library with the queries that they are for."""
    return replace(
        scenario,
        workloads=tuple(
            replace(workload, query=load_plan(workload.plan_name).query)
            if not workload.query and workload.plan_name in plan_names()
            else workload
            for workload in scenario.workloads
        ),
    )


def unknown(name: str, what: str, names: list[str]) -> InputError:
    """The error for a name that is none of `names`, with the nearest."""
    close = difflib.get_close_matches(name[:100], names, 1)
    hint = f"did you mean {close[0]!r}?" if close else "see windtunnel list"
    return InputError(name if len(name) <= 100 else f"{name[:97]}...", f"got {what}; {hint}")


def load_plan(name: str) -> NamedPlan:
    """A plan by its name, with its query.  Raises LookupError."""
    for entry in _plans():
        if _stem(entry) == name:
            [named] = read_plans(entry.read_text(encoding="utf-8"), name=name)
            if not isinstance(named, NamedPlan):
                raise named.error
            return named
    raise LookupError(name)


def find_plan(name: str) -> Plan:
    """A plan by its name.  Raises LookupError."""
    return load_plan(name).plan


def _plans() -> Iterator[Traversable]:
    return (_LIBRARY / "plans").iterdir()


def _stem(entry: Traversable) -> str:
    return entry.name.rpartition(".")[0]
