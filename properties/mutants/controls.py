"""Parts with nothing wrong: what a monitor says of them is a false alarm."""

from dataclasses import dataclass
from typing import Final

from properties.mutants.drivers import EmptyBatches, RegistersTwice, StartsAgain
from sim.parts import SOUND, Parts

__all__ = ["CONTROLS", "Control"]


@dataclass(frozen=True, slots=True)
class Control:
    """Parts, and the rules that are about them alone and that they do break."""

    parts: Parts
    breaks: tuple[str, ...] = ()


CONTROLS: Final[dict[str, Control]] = {
    "sound": Control(SOUND),
    "registers-twice": Control(Parts(workflow=RegistersTwice)),
    # It starts without a token, and not once: that is the workflow's affair, not the Runner's.
    "starts-again": Control(Parts(workflow=StartsAgain), breaks=("A1", "A5")),
    "empty-batches": Control(Parts(job=EmptyBatches)),
}
