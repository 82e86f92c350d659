"""Text as a number: what CAST_FLOAT, CAST_DURATION and CAST_BYTES accept.

Forms: those of Go's ParseFloat and ParseDuration, and sizes such as ``1.5 MiB``.  Units: a duration
gives seconds, a size gives whole bytes.  None where the text has no such form.

>>> cast_float("1e3"), cast_duration("1m30.5s"), cast_bytes("1.5KiB"), cast_float("429ms")
(1000.0, 90.5, 1536.0, None)
"""

import math
from collections.abc import Callable
from typing import Final

__all__ = ["CASTS", "cast_bytes", "cast_duration", "cast_float"]

_DIGITS: Final = "0123456789"
_HEX: Final = _DIGITS + "abcdefABCDEF"
_SPECIAL: Final = {
    "nan": math.nan,
    **{sign + word: math.inf for sign in ("", "+") for word in ("inf", "infinity")},
    **{"-" + word: -math.inf for word in ("inf", "infinity")},
}
_NS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # the micro sign
    "μs": 10**3,  # the Greek letter, which Go accepts too
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SIZES: Final = {
    f"{prefix}{end}": base**power
    for power, prefix in enumerate(("", "k", "m", "g", "t", "p", "e"))
    for end, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
    if prefix or end in ("", "b")
}


def cast_float(text: str) -> float | None:
    """A decimal or hexadecimal number, an infinity or NaN; None beyond a float's range."""
    special = _SPECIAL.get(text.lower())
    if special is not None:
        return special
    digits = text[1:] if text[:1] in ("+", "-") else text
    hexadecimal = digits[:2] in ("0x", "0X")
    mantissa, mark, exponent = _split(digits[2:], "pP") if hexadecimal else _split(digits, "eE")
    if not _is_decimal(mantissa, _HEX if hexadecimal else _DIGITS):
        return None
    if (mark and not _is_whole(exponent)) or (hexadecimal and not mark):
        return None
    try:
        value = float.fromhex(text) if hexadecimal else float(text)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _split(text: str, marks: str) -> tuple[str, str, str]:
    at = next((index for index, letter in enumerate(text) if letter in marks), len(text))
    return text[:at], text[at : at + 1], text[at + 1 :]


def _is_decimal(text: str, digits: str) -> bool:
    bare = text.replace(".", "", 1)
    return bare != "" and all(letter in digits for letter in bare)


def _is_whole(text: str) -> bool:
    bare = text[1:] if text[:1] in ("+", "-") else text
    return bare != "" and all(letter in _DIGITS for letter in bare)


def cast_duration(text: str) -> float | None:
    """Seconds: numbers with units, such as ``1h2m3.5s`` or ``-250ms``, or a bare ``0``."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    if not rest:
        return None
    total = 0
    while rest:
        number = _leading(rest, _DIGITS + ".")
        rest = rest[len(number) :]
        unit = rest[: next((i for i, c in enumerate(rest) if c in _DIGITS + "."), len(rest))]
        rest = rest[len(unit) :]
        if unit not in _NS or not _is_decimal(number, _DIGITS):
            return None
        whole, _, part = number.partition(".")
        # The part as Go computes it, in floats and cut to whole nanoseconds.
        total += int(whole or 0) * _NS[unit] + int(int(part or 0) * (_NS[unit] / 10 ** len(part)))
    if total >= 2**63:
        return None
    seconds, left = divmod(total, 10**9)
    value = seconds + left / 1e9
    return -value if text[0] == "-" else value


def _leading(text: str, letters: str) -> str:
    return text[: next((i for i, c in enumerate(text) if c not in letters), len(text))]


def cast_bytes(text: str) -> float | None:
    """Whole bytes: a number and a unit up to EiB in any case; k is 1000, Ki is 1024."""
    number = _leading(text, _DIGITS + ".,")
    unit = text[len(number) :].strip().lower()
    value = cast_float(number.replace(",", ""))
    if value is None or unit not in _SIZES:
        return None
    value *= _SIZES[unit]
    return None if value >= 2.0**64 else float(int(value))


CASTS: Final[dict[str, Callable[[str], float | None]]] = {
    "CAST_BYTES": cast_bytes,
    "CAST_DURATION": cast_duration,
    "CAST_FLOAT": cast_float,
}
