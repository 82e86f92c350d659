"""Choices as other tools keep them: by position.  For comparison only.

`Stream` is one generator that every choice draws from, named by its seed.  `Tape` is the list of
all answers of a run, read again from its beginning.
"""

import random
from collections.abc import Sequence
from typing import Final

from sim.choices import Choices

__all__ = ["Stream", "Tape", "Taped"]

_MILLION: Final = 1_000_000


class Stream(Choices):
    """Answers from one generator, in the order of the questions."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def _answer(self, _decision: str, n: int) -> int:
        return self._random.randrange(n)

    def _rare(self, _decision: str, per_million: int) -> int:
        return int(self._random.randrange(_MILLION) < per_million)


class Taped(Choices):
    """Passes on to another source and keeps every answer, in order."""

    def __init__(self, source: Choices) -> None:
        super().__init__()
        self._source = source
        self.answers: list[int] = []

    def _answer(self, decision: str, n: int) -> int:
        return self._keep(self._source._answer(decision, n))

    def _rare(self, decision: str, per_million: int) -> int:
        return self._keep(self._source._rare(decision, per_million))

    def _keep(self, answer: int) -> int:
        self.answers.append(answer)
        return answer


class Tape(Choices):
    """Known answers in order; the tamest once they are used up."""

    def __init__(self, answers: Sequence[int]) -> None:
        super().__init__()
        self._answers = iter(answers)

    def _answer(self, _decision: str, n: int) -> int:
        return min(next(self._answers, 0), n - 1)
