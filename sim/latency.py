"""How long things take: shapes of delay as integer tables.

A shape becomes a table of `POINTS` equally likely delays in ticks, ascending, so that the first
is the tamest and a choice among them is a choice of one.  The tables are made with integers
only: the same on every machine, whatever its floating-point library.

>>> Exponential(mean=1_000).table()[:3], len(Uniform(low=5, high=9).table())
((15, 48, 81), 32)
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = [
    "POINTS",
    "Bimodal",
    "Constant",
    "Empirical",
    "Exponential",
    "Latency",
    "Lognormal",
    "Uniform",
]

POINTS: Final = 32

# Quantiles at (i + 1/2) / 32, in millionths: -ln(1 - q) of the exponential distribution with
# mean 1, and the standard normal's for the upper half (the lower half mirrors it).
_EXPONENTIAL: Final = (
    15748, 48009, 81346, 115832, 151550, 188591, 227057, 267063,
    308735, 352221, 397683, 445311, 495321, 547965, 603535, 662376,
    724896, 791587, 863046, 940007, 1023389, 1114361, 1214444, 1325670,
    1450833, 1593934, 1760988, 1961659, 2212973, 2549445, 3060271, 4158883,
)  # fmt: skip
_NORMAL_UPPER: Final = (
    39176, 117770, 197099, 277690, 360130, 445097, 533410, 626099,
    724514, 830511, 946782, 1077516, 1229859, 1417797, 1675940, 2153875,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    ticks: int

    def table(self) -> tuple[int, ...]:
        """One entry."""
        return (self.ticks,)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything from low to high, alike."""

    low: int
    high: int

    def table(self) -> tuple[int, ...]:
        """Evenly spaced, both ends included as far as there are points."""
        span = self.high - self.low + 1
        return tuple(self.low + span * (2 * i + 1) // (2 * POINTS) for i in range(POINTS))


@dataclass(frozen=True, slots=True)
class Exponential:
    """Mostly short, sometimes a few times the mean."""

    mean: int

    def table(self) -> tuple[int, ...]:
        """Scaled quantiles."""
        return tuple(self.mean * q // 1_000_000 for q in _EXPONENTIAL)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Around the median, with a long tail: `spread` percent is one standard deviation up."""

    median: int
    spread: int

    def table(self) -> tuple[int, ...]:
        """Scaled quantiles."""
        factors = [_power(self.spread, q) for q in _NORMAL_UPPER]
        lower = [self.median * 1_000_000 // factor for factor in reversed(factors)]
        upper = [self.median * factor // 1_000_000 for factor in factors]
        return (*lower, *upper)


@lru_cache(maxsize=1024)
def _power(spread: int, exponent: int) -> int:
    """(1 + spread/100) ** (exponent / 1,000,000), in millionths, by squaring and roots."""
    one = 1_000_000
    base = one + spread * one // 100
    whole, part = divmod(exponent, one)
    result = one
    for _ in range(whole):
        result = result * base // one
    root = base
    for bit in range(1, 21):  # base ** (1/2), (1/4), ... for each binary digit of the part
        root = _root(root * one)
        if part * 2**bit // one % 2:
            result = result * root // one
    return result


def _root(value: int) -> int:
    guess = 1 << (value.bit_length() + 1) // 2
    while True:
        better = (guess + value // guess) // 2
        if better >= guess:
            return guess
        guess = better


@dataclass(frozen=True, slots=True)
class Bimodal:
    """Short mostly, long for `long_percent` of all."""

    short: int
    long: int
    long_percent: int

    def table(self) -> tuple[int, ...]:
        """Two values; the long one at least once, unless its share is zero."""
        longs = -(-POINTS * self.long_percent // 100)
        return (self.short,) * (POINTS - longs) + (self.long,) * longs


@dataclass(frozen=True, slots=True)
class Empirical:
    """What was measured: each value alike, in any order."""

    ticks: tuple[int, ...]

    def table(self) -> tuple[int, ...]:
        """Sorted."""
        return tuple(sorted(self.ticks))


Latency = Constant | Uniform | Exponential | Lognormal | Bimodal | Empirical
