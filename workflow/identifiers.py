"""Identifiers that replay: ULIDs from a clock and a source of bytes that the caller owns.

>>> print(Identifiers().make())
00000000000000000000000001
"""

from collections.abc import Callable
from hashlib import blake2b

from ulid import ULID, ULIDGenerator

__all__ = ["Identifiers"]


class Identifiers:
    """Makes ULIDs that depend on `seed`, on the clock and on how many were made before.

    ``clock`` gives milliseconds since the Unix epoch.  Workflows that share a Runner share one
    Identifiers, or take different seeds: a Runner refuses an identifier that it knows already.
    """

    def __init__(self, seed: str = "", clock: Callable[[], int] = lambda: 0) -> None:
        self._seed = seed
        self._made = 0
        self._generator = ULIDGenerator(clock=clock, randomness=self._bytes)

    def make(self) -> ULID:
        """The next identifier; never one that was made before, never the zero one."""
        return self._generator.generate()

    def _bytes(self, _ms: int) -> bytes:
        self._made += 1
        return blake2b(f"{self._seed}/{self._made}".encode(), digest_size=10).digest()
