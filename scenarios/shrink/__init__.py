"""Make a failing run small."""

from scenarios.shrink.shrinking import MAX_STEPS, Shrunk, shrink
from scenarios.shrink.size import Size

__all__ = ["MAX_STEPS", "Shrunk", "Size", "shrink"]
