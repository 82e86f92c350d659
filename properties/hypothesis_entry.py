"""What Hypothesis calls as it is imported: ``from_type`` knows scenarios and their parts.

Only the types are imported with it.  The strategies, which bring Hypothesis and the simulator,
come when the first value is asked for.
"""

from typing import Any, Final

from hypothesis.strategies import SearchStrategy, register_type_strategy

from sim.scenario import Client, Cluster, Fault, Scenario, Workload
from workflow.plan import Plan

__all__ = ["register"]

# Each type with the name of its strategy.
_STRATEGIES: Final[dict[type, str]] = {
    Plan: "plans",
    Cluster: "clusters",
    Client: "clients",
    Workload: "workloads",
    Fault: "faults",
    Scenario: "scenarios",
}


def register() -> None:
    """Let ``from_type`` draw each of the types."""
    for kind in _STRATEGIES:
        register_type_strategy(kind, _strategy)


def _strategy(kind: type) -> SearchStrategy[Any]:
    from properties import strategies  # noqa: PLC0415 (see above)

    strategy: SearchStrategy[Any] = getattr(strategies, _STRATEGIES[kind])()
    return strategy
