"""Faults of the simulated cluster: of its scheduler, its workers, and of the engine in it."""

from typing import Final

from properties.mutants import deciding, scheduling, working
from properties.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS: Final[dict[str, Mutant]] = {
    **scheduling.MUTANTS,
    **working.MUTANTS,
    **deciding.MUTANTS,
}
