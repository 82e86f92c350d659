"""Exact sums of floats: the same in any order, and in any cut.

A float is cut into digits of 32 bits, ``v = sum of digit[i] * 2**(32 * i)``, which are summed as
integers and put together at the end, rounded once: the sum is what `math.fsum` gives.  A column of
digits for each place that occurs: usually two or three, 60 at worst; so a sum costs about three
times what one of floats would.  Exact for up to 2**31 addends.

>>> digits = split(pa.array([1e16, 1.0, -1e16]))
>>> join({name: pa.array([pc.sum(each).as_py()]) for name, each in digits.items()}, 1).to_pylist()
[1.0]
"""

import math
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.scalars import float64, int64

__all__ = ["is_part", "join", "split"]

_BITS: Final = 32
_DIGIT: Final = "digit "
_SPECIAL: Final = ("nan", "+inf", "-inf")
# Beyond these the powers of two that cut digits out would leave the range of floats.
_HUGE: Final = 2.0**800
_TINY: Final = 2.0**-800
_SHIFT: Final = 19  # in digits
_ZERO: Final = float64(0.0)


def is_part(name: str) -> bool:
    """Whether `split` gave a column this name."""
    return name.startswith(_DIGIT) or name in _SPECIAL


def split(values: pa.Array) -> dict[str, pa.Array]:
    """Columns of integers to sum, for floats without nulls."""
    parts: dict[str, pa.Array] = {}
    finite = pc.is_finite(values)
    if not pc.all(finite).as_py():
        for name, found in (
            ("nan", pc.is_nan(values)),
            ("+inf", pc.equal(values, float64(math.inf))),
            ("-inf", pc.equal(values, float64(-math.inf))),
        ):
            if pc.any(found).as_py():
                parts[name] = pc.cast(found, pa.int64())
        values = pc.if_else(finite, values, _ZERO)
    sizes = pc.abs(values)
    bounds = pc.min_max(sizes)
    top = bounds["max"].as_py() or 0.0
    if top < _HUGE and ((bounds["min"].as_py() or 0.0) >= _TINY or not _any_tiny(sizes)):
        _cut(values, 0, parts)
        return parts
    huge = pc.greater_equal(sizes, float64(_HUGE))
    tiny = pc.less(sizes, float64(_TINY))
    plain = pc.invert(pc.or_(huge, tiny))
    # Powers of two: exact.
    _cut(pc.if_else(plain, values, _ZERO), 0, parts)
    _cut(_scaled(pc.if_else(huge, values, _ZERO), -_SHIFT), _SHIFT, parts)
    _cut(_scaled(pc.if_else(tiny, values, _ZERO), _SHIFT), -_SHIFT, parts)
    return parts


def _any_tiny(sizes: pa.Array) -> bool:
    tiny = pc.and_(pc.less(sizes, float64(_TINY)), pc.greater(sizes, _ZERO))
    return bool(pc.any(tiny).as_py())


def _scaled(values: pa.Array, places: int) -> pa.Array:
    return pc.multiply(values, float64(2.0 ** (_BITS * places)))


def _cut(rest: pa.Array, shift: int, parts: dict[str, pa.Array]) -> None:
    while True:
        top = pc.max(pc.abs(rest)).as_py() or 0.0
        if not top:
            return
        place = (math.frexp(top)[1] - 1) // _BITS
        # Digits keep the sign of their value, so that each step is exact.
        digit = pc.trunc(_scaled(rest, -place))
        rest = pc.subtract(rest, _scaled(digit, place))
        name = f"{_DIGIT}{place + shift}"
        whole = pc.cast(digit, pa.int64())
        parts[name] = pc.add(parts[name], whole) if name in parts else whole


def join(parts: Mapping[str, pa.Array], count: int) -> pa.Array:
    """The `count` sums of what `split` gave, each rounded once; of nothing 0."""
    digits = {
        int(name.removeprefix(_DIGIT)): column
        for name, column in parts.items()
        if name.startswith(_DIGIT)
    }
    special = {name: parts[name].to_pylist() for name in _SPECIAL if name in parts}
    if not special and list(digits) in ([], [0]):  # whole numbers
        whole = digits.get(0, pa.repeat(int64(0), count))
        return pc.cast(whole, pa.float64(), safe=False)
    lowest = min(digits, default=0)
    columns = [(_BITS * (place - lowest), column.to_pylist()) for place, column in digits.items()]
    scale = _BITS * lowest
    sums = [
        _rounded(sum(values[row] << shift for shift, values in columns), scale)
        for row in range(count)
    ]
    for row in range(count if special else 0):
        nan, plus, minus = (special[name][row] if name in special else 0 for name in _SPECIAL)
        if nan or (plus and minus):
            sums[row] = math.nan
        elif plus or minus:
            sums[row] = math.inf if plus else -math.inf
    return pa.array(sums, pa.float64())


def _rounded(total: int, scale: int) -> float:
    try:
        return float(total << scale) if scale >= 0 else total / (1 << -scale)
    except OverflowError:
        return math.inf if total > 0 else -math.inf
