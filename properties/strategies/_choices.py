"""What decides a run: a seed, or Hypothesis itself, answer by answer."""

from random import Random
from typing import Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from properties.strategies._arguments import check_count
from sim.choices import MILLION, Choices

__all__ = ["drawn_choices", "seeds"]


def seeds() -> SearchStrategy[int]:
    """A seed for `sim.choices.Seeded`, from 0 to 2**63 - 1."""
    return st.integers(0, 2**63 - 1)


@st.composite
def drawn_choices(draw: DrawFn, *, max_answers: int = 1_000) -> Choices:
    """Choices whose answers Hypothesis draws as the run asks for them, and shrinks one by one.

    Only the first `max_answers` questions are Hypothesis's, all further ones get the tamest
    answer: an example can hold no more than some thousands.  Answers that are not the tamest are
    noted beside a failing example.  For one run, as any Choices.
    """
    check_count("max_answers", max_answers)
    return _Drawn(draw(st.randoms(use_true_random=False)), max_answers)


class _Drawn(Choices):
    """Asks a Random of Hypothesis, which shrinks what it gives to 0."""

    def __init__(self, random: Random, most: int) -> None:
        super().__init__()
        self._random: Final = random
        self._left = most

    def __repr__(self) -> str:
        return "drawn_choices()"

    def _answer(self, decision: str, n: int) -> int:
        answer = self._drawn(n)
        if answer:
            note(f"{decision}: {answer} of 0 to {n - 1}")
        return answer

    def _rare(self, decision: str, per_million: int) -> int:
        # From the top: the simplest number is no fault.
        happens = self._drawn(MILLION) >= MILLION - per_million
        if happens:
            note(f"{decision}: happens")
        return int(happens)

    def _drawn(self, n: int) -> int:
        if not self._left:
            return 0
        self._left -= 1
        return self._random.randrange(n)
