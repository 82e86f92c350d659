"""The one source of everything in a run that could have gone differently.

A choice is asked at a *site* (``latency``, ``tie``, ``place``, ``fault``, ...) with a *key* made of
identities (task, attempt, link, record), never of positions, and answered with one of n options.
Option 0 is always the tamest: first in line, shortest delay, no fault.  So a run shrinks toward
boring by shrinking its answers toward zero, and an answer stays with what it is about when
something else is added to or taken from the run.

The same key asked again is a decision of its own: its number is added to the key.

>>> choices = Seeded(7)
>>> choices.index("tie", "t3", 4) == Seeded(7).index("tie", "t3", 4)
True
>>> recorded = Recorded(choices)
>>> answer = recorded.index("latency", "m0/t3", 32)
>>> Deltas(recorded.deltas).index("latency", "m0/t3", 32) == answer
True
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

__all__ = ["MILLION", "Choices", "Deltas", "Recorded", "Seeded", "Tame"]

T = TypeVar("T")

MILLION: Final = 1_000_000


class Choices(ABC):
    """Answers choices.  A source implements `_answer`; everything else is built on it."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}

    @abstractmethod
    def _answer(self, decision: str, n: int) -> int:
        """One of 0 to n - 1 for a decision that is asked once."""

    def _rare(self, decision: str, _per_million: int) -> int:
        """1 if the unlikely happens, else 0.  A random source looks at the chance."""
        return self._answer(decision, 2)

    def index(self, site: str, key: str, n: int) -> int:
        """Which of n options?  Nothing is asked when there is nothing to decide."""
        return self._answer(self._decision(site, key), n) if n > 1 else 0

    def pick(self, site: str, key: str, options: Sequence[T]) -> T:
        """One of the options; the first is the tamest."""
        return options[self.index(site, key, len(options))]

    def ticks(self, site: str, key: str, table: Sequence[int]) -> int:
        """A delay from an ascending table of equally likely ones."""
        return table[self.index(site, key, len(table))]

    def chance(self, site: str, key: str, per_million: int) -> bool:
        """Whether something happens that does `per_million` times in a million.

        Nothing is asked about what never or always happens.
        """
        if not 0 < per_million < MILLION:
            return per_million > 0
        return self._rare(self._decision(site, key), per_million) == 1

    def _decision(self, site: str, key: str) -> str:
        name = f"{site}:{key}"
        count = self._asked.get(name, 0)
        self._asked[name] = count + 1
        return f"{name}#{count}" if count else name


class Tame(Choices):
    """Always the first option: the boring run."""

    def _answer(self, _decision: str, _n: int) -> int:
        return 0


class Seeded(Choices):
    """A hash of seed and decision: no answer depends on which others were asked."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed: Final = seed
        self._hash = blake2b(key=str(seed).encode(), digest_size=8)

    def _number(self, decision: str) -> int:
        hashed = self._hash.copy()  # a fifth faster than to begin with the key each time
        hashed.update(decision.encode())
        return int.from_bytes(hashed.digest(), "big")

    def _answer(self, decision: str, n: int) -> int:
        return self._number(decision) * n >> 64

    def _rare(self, decision: str, per_million: int) -> int:
        return int(self._number(decision) * MILLION >> 64 < per_million)


class Deltas(Choices):
    """Known answers for some decisions, the tamest for all others.

    An answer too large for its options is cut to the last one.  ``unused`` has the answers whose
    decision was not asked: the run is not the one that they come from.
    """

    def __init__(self, answers: Mapping[str, int]) -> None:
        super().__init__()
        self.answers: Final = dict(answers)
        self.unused = dict(answers)

    def _answer(self, decision: str, n: int) -> int:
        self.unused.pop(decision, None)
        return min(self.answers.get(decision, 0), n - 1)


class Recorded(Choices):
    """Passes on to another source and keeps what it answered, but for the tamest answers."""

    def __init__(self, source: Choices) -> None:
        super().__init__()
        self._source = source
        self.deltas: dict[str, int] = {}
        self.decisions = 0

    def _answer(self, decision: str, n: int) -> int:
        return self._keep(decision, self._source._answer(decision, n))

    def _rare(self, decision: str, per_million: int) -> int:
        return self._keep(decision, self._source._rare(decision, per_million))

    def _keep(self, decision: str, answer: int) -> int:
        self.decisions += 1
        if answer:
            self.deltas[decision] = answer
        return answer
