"""A stream: a one-way channel of record batches between one task and one reader.

The reader is another task or, for the results stream, the workflow itself.  A stream carries no
state of its own: the Runner owns it and reports it, the Workflow keeps a copy.
"""

from dataclasses import dataclass
from enum import IntEnum

from ulid import ULID

__all__ = ["Stream", "StreamState"]


class StreamState(IntEnum):
    """What a stream is doing.  Numbers as in the reference (semantics 1.7)."""

    IDLE = 0
    OPEN = 1
    BLOCKED = 2
    CLOSED = 3

    def __str__(self) -> str:
        return self.name.capitalize()


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """A channel, told apart by identity."""

    id: ULID
    tenant: str = ""

    def __str__(self) -> str:
        return f"stream {self.id}"
