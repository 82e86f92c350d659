"""Parts with nothing wrong: what a monitor says of them is a false alarm."""

from typing import Final

from properties.mutants.drivers import EmptyBatches, RegistersTwice, StartsAgain
from sim.parts import SOUND, Parts

__all__ = ["CONTROLS"]

CONTROLS: Final[dict[str, Parts]] = {
    "sound": SOUND,
    "registers-twice": Parts(workflow=RegistersTwice),
    "starts-again": Parts(workflow=StartsAgain),
    "empty-batches": Parts(job=EmptyBatches),
}
