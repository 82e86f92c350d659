"""What a mutant is: a fault put into the simulated cluster on purpose, and who must notice."""

from dataclasses import dataclass

from sim.parts import Parts

__all__ = ["Mutant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """Faulty parts, the rules of which one must be violated, and how soon.

    ``scenarios`` are names of the library; each seed is tried in all of them, in this order.
    ``faults``: 1 if the mutant alone is enough, 2 if the scenario must bring trouble as well.
    """

    sentence: str  # what is wrong
    rules: tuple[str, ...]  # at least one of them must be violated
    parts: Parts
    scenarios: tuple[str, ...]
    runs: int = 5  # at most, until a rule is violated
    faults: int = 1
    hazard: str = ""  # of the reference: W1, E2
