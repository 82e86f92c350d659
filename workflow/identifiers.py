"""Identifiers that replay: ULIDs from a clock and a source of bytes that the caller owns.

>>> print(Identifiers().make())
0000000000K9MENKP2P5D4SKDK
"""

import itertools
from collections.abc import Callable
from hashlib import blake2b

from ulid import ULID

__all__ = ["Identifiers"]


class Identifiers:
    """Makes ULIDs that depend on `seed`, on the clock and on how many were made before.

    ``clock`` gives milliseconds since the Unix epoch.  Workflows that share a Runner share one
    Identifiers, or take different seeds: a Runner refuses an identifier that it knows already.
    """

    def __init__(self, seed: str = "", clock: Callable[[], int] = lambda: 0) -> None:
        self._seed = seed
        self._clock = clock
        self._made = itertools.count(1)  # counts in one step, in any thread

    def make(self) -> ULID:
        """The next identifier."""
        entropy = blake2b(f"{self._seed}/{next(self._made)}".encode(), digest_size=10).digest()
        return ULID.from_bytes(self._clock().to_bytes(6, "big") + entropy)
