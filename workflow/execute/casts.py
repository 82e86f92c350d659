"""Texts become numbers: CAST_FLOAT, CAST_DURATION (seconds) and CAST_BYTES (semantics 11.3).

The forms are those that Go's ``strconv.ParseFloat`` and ``time.ParseDuration`` take, and sizes
such as ``1.5 MiB``.  A text that is no number, the empty one included, gives 0 and an error.

>>> seconds("1m0.5s"), seconds("-200ms"), seconds("5")
(60.5, -0.2, None)
>>> parse_byte_size("1.5 kB"), parse_byte_size("2KiB"), parse_byte_size("two")
(1500.0, 2048.0, None)
"""

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.rows import Rows
from workflow.execute.scalars import NULL_FLOAT, NULL_TEXT
from workflow.expressions import Column

__all__ = ["CASTS", "SAMPLE_ERROR", "cast", "parse_byte_size", "seconds"]

SAMPLE_ERROR: Final = "SampleExtractionErr"

_DECIMAL: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_SPECIAL: Final = r"^[+-]?(?i:inf|infinity|nan)$"
_HEX: Final = r"^[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+$"

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5
    "μs": 1_000,  # U+03BC
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_SIZES: Final = {
    "": 1,
    "b": 1,
    **{
        letter + end: base**power
        for power, letter in enumerate("kmgtpe", 1)
        for end, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
    },
}


def cast(operator: str, column: Column, rows: Rows) -> tuple[pa.Array, pa.Array]:
    """Numbers, 0 for what is none, and for each row whether it failed."""
    values = CASTS[operator](rows.text(column))
    return pc.fill_null(values, 0.0), pc.is_null(values)


def _floats(texts: pa.Array) -> pa.Array:
    # A kernel that casts what it can and leaves the rest null is missing: so a pattern chooses.
    plain = pc.match_substring_regex(texts, _DECIMAL)
    values = pc.cast(pc.if_else(plain, texts, NULL_TEXT), pa.float64())
    values = pc.if_else(pc.is_inf(values), NULL_FLOAT, values)  # out of range
    others = texts.filter(pc.invert(plain)).unique()
    for pattern, read in ((_SPECIAL, float), (_HEX, _hexadecimal)):
        if pc.any(pc.match_substring_regex(others, pattern)).as_py():
            found = pc.match_substring_regex(texts, pattern)
            rare = pc.if_else(found, texts, NULL_TEXT)
            values = pc.coalesce(values, _each(rare, read))
    return values


def _hexadecimal(text: str) -> float | None:
    try:
        return float.fromhex(text)
    except OverflowError:
        return None


def _each(texts: pa.Array, read: Callable[[str], float | None]) -> pa.Array:
    """`read` of each text, once for each different one."""
    encoded = pc.dictionary_encode(texts)
    numbers = [read(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(numbers, pa.float64()).take(encoded.indices)


def seconds(text: str) -> float | None:
    """A duration in seconds; None for what is none, or lasts more than 2**63 nanoseconds."""
    negative = text.startswith("-")
    rest = text[1:] if text.startswith(("-", "+")) else text
    if rest == "0":
        return 0.0
    total = 0
    while rest:
        unread = rest.lstrip("0123456789.")
        number, unit_on = rest[: len(rest) - len(unread)], unread
        rest = unit_on.lstrip("".join(dict.fromkeys("".join(_NANOSECONDS))))
        scale = _NANOSECONDS.get(unit_on[: len(unit_on) - len(rest)])
        if scale is None or number.count(".") > 1 or number in ("", "."):
            return None
        whole, _, part = number.partition(".")
        total += int(whole or 0) * scale + int(part or 0) * scale // 10 ** len(part)
    if not text.strip("+-") or total > 2**63 - (not negative):
        return None
    # As Go does it: whole seconds and the rest apart.
    sign = -1 if negative else 1
    return sign * (total // 10**9) + sign * (total % 10**9) / 1e9


def parse_byte_size(text: str) -> float | None:
    """A size in bytes, a whole number; None for what is none, or needs more than 64 bits."""
    unread = text.lstrip("0123456789.,")
    number = text[: len(text) - len(unread)].replace(",", "")
    scale = _SIZES.get(unread.strip().lower())
    if scale is None or number.count(".") > 1 or not number.strip("."):
        return None
    size = float(number) * scale  # rounded as a product of floats, so that 4.35 kB are 4350 bytes
    return float(int(size)) if size < 2**64 else None


CASTS: Final[dict[str, Callable[[pa.Array], pa.Array]]] = {
    "CAST_FLOAT": _floats,
    "CAST_DURATION": lambda texts: _each(texts, seconds),
    "CAST_BYTES": lambda texts: _each(texts, parse_byte_size),
}
