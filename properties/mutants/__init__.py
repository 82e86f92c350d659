"""Faults put in on purpose, each with the rules that must find it.

A harness is as good as the faults that it finds: a rule that no mutant has violated has not been
shown to check anything.  `MUTANTS` are those of the simulated cluster, the faulty engines among
them; `properties.mutants.engine` has the engines, with the rules that find them in the bare
engine's state machine.

>>> MUTANTS["W1-token-leak"].sentence
'a task cancelled before its start takes a token that never comes back'
"""

from typing import Final

from properties.mutants import cluster, engine
from properties.mutants.mutant import Mutant

__all__ = ["MUTANTS", "Mutant"]

# Of each faulty engine: the rules that find it in the cluster, scenarios, runs, and faults.
_IN_CLUSTER: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], int, int]]] = {
    "W1-token-leak": (("A2", "L1"), ("overlapping-ranges", "one-token"), 5, 1),
    "W2-token-by-state": (("A2", "A1"), ("one-token",), 20, 1),
    "W3-lanes-in-turn": (("A3", "A4", "L1"), ("two-branches",), 5, 1),
    "W5-end-overtakes-failure": (("P1",), ("log-search",), 20, 2),
    "W6-cancellation-looks-like-success": (("P2",), ("count-over-time",), 5, 2),
    "W7-silent-failure": (("P1",), ("error-rate",), 5, 2),
    "W8-belied-outcome": (("D1", "T9", "C1"), ("rate-by-level-and-env",), 40, 1),
    "W9-runs-on": ((), ("log-search",), 20, 2),
    "W10-other-parents-forgotten": (("C1", "D1"), ("shared-scans",), 5, 1),
    "W11-unknown-range-excluded": (("C1", "D1"), ("unknown-times",), 5, 1),
    "W13-state-goes-back": (("T3",), ("rate-by-level-and-env",), 5, 1),
}


def _in_cluster(name: str, mutant: engine.EngineMutant) -> Mutant:
    rules, scenarios, runs, faults = _IN_CLUSTER[name]
    return Mutant(
        sentence=mutant.sentence,
        rules=rules,
        parts=mutant.parts,
        scenarios=scenarios,
        runs=runs,
        faults=faults,
        hazard=name.partition("-")[0],
    )


MUTANTS: Final[dict[str, Mutant]] = {
    **{name: _in_cluster(name, mutant) for name, mutant in engine.MUTANTS.items()},
    **cluster.MUTANTS,
}
