"""Columns, literals and operators as values that print in the reference's form.

Printed form (semantics 9): a column is ``type.name``, a call ``OP(first, second)``, a text stands
in double quotes *without* any escaping, a time is RFC 3339 in UTC, a span is Go's, a list of texts
is ``[a, b]`` and the absent value is ``null``.

Reading back: since a text may hold quotes, it may end at any quote that a separator follows, and
only arity and brackets tell which.  A printed form with more than one reading is refused.
A whole number is an int within 64 bits, else a float; list items and column names hold none of
``,()[]"``.

>>> print(Call("EQ", (Column(ColumnType.LABEL, "app"), Literal("shop"))))
EQ(label.app, "shop")
>>> parse_expression('NOT(EQ(label.app, "say "hi", twice"))').args[0].args[1]
Literal(value='say "hi", twice')
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workflow._messages import hint, short
from workflow.times import Timestamp, format_duration, parse_duration

__all__ = [
    "ByteSize",
    "Call",
    "Column",
    "ColumnType",
    "Duration",
    "Expression",
    "ExpressionError",
    "Literal",
    "parse_column",
    "parse_expression",
    "parse_plain",
    "parse_words",
]


class ColumnType(StrEnum):
    """Where the values of a column come from."""

    BUILTIN = "builtin"
    LABEL = "label"
    METADATA = "metadata"
    PARSED = "parsed"
    AMBIGUOUS = "ambiguous"
    GENERATED = "generated"


@dataclass(frozen=True, slots=True)
class Column:
    """A column by kind and name, such as ``builtin.timestamp``."""

    type: ColumnType
    name: str

    def __str__(self) -> str:
        return f"{self.type.value}.{self.name}"


@dataclass(frozen=True, slots=True)
class Duration:
    """A span as a literal."""

    ns: int

    def __str__(self) -> str:
        return format_duration(self.ns)


@dataclass(frozen=True, slots=True)
class ByteSize:
    """A size as a literal, kept as printed: the printed form is rounded."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant.  Whether a whole number is meant as a float is decided by what it meets."""

    value: bool | int | float | str | Timestamp | Duration | ByteSize | tuple[str, ...] | None

    def __str__(self) -> str:
        value = self.value
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return f'"{value}"'
        if isinstance(value, float):
            return _plain(value)
        if isinstance(value, tuple):
            return f"[{', '.join(value)}]"
        if isinstance(value, Timestamp):
            return str(Timestamp(value.ns))
        return str(value)


def _plain(value: float) -> str:
    """The shortest digits that read back as `value`, never with an exponent."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    digits, exponent = text.split("e")
    sign = "-" if digits.startswith("-") else ""
    whole, _, part = digits.lstrip("-").partition(".")
    point = len(whole) + int(exponent)
    digits = whole + part
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return (
        sign + digits.ljust(point, "0")[:point] + (f".{digits[point:]}" if digits[point:] else "")
    )


@dataclass(frozen=True, slots=True)
class Call:
    """An operator, spelled in upper case, and its arguments."""

    operator: str
    args: tuple["Expression", ...]

    def __str__(self) -> str:
        return f"{self.operator}({', '.join(map(str, self.args))})"


Expression = Column | Literal | Call

_RESERVED: Final = re.compile(r'[,()\[\]"]')
_INTEGER: Final = re.compile(r"-?[0-9]+")
_DECIMAL: Final = re.compile(r"-?[0-9]+\.[0-9]+")
_SIZE: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)? ?(?:[kKMGTPEZY]i?)?B")
_DATE: Final = re.compile(r"[0-9]{4}-")
_DURATION: Final = re.compile(r"-?[0-9.]+[hmnsuµ]")
_CONSTANTS: Final[dict[str, bool | float | None]] = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": math.nan,
    "+Inf": math.inf,
    "-Inf": -math.inf,
}
_COLUMN_TYPES: Final = [kind.value for kind in ColumnType]


class ExpressionError(ValueError):
    """A printed expression that has no reading, or more than one.

    ``rule`` names what was broken (``ambiguous-text``, ``unknown-column-type``, ...) and
    ``position`` counts characters from 0; the message counts columns from 1.
    """

    def __init__(self, rule: str, position: int, message: str) -> None:
        super().__init__(rule, position, message)
        self.rule = rule
        self.position = position
        self.message = message

    def __str__(self) -> str:
        return f"{self.rule}: column {self.position + 1}: {self.message}"


def parse_expression(text: str, *, quotes: bool = True) -> Expression:
    """The expression that prints as `text`.  Raises ExpressionError.

    With ``quotes=False`` no text holds a double quote, so that each has one reading.
    """
    from workflow.expression_reader import ExpressionReader  # noqa: PLC0415 (it imports this one)

    return ExpressionReader(text, quotes=quotes).whole()


def parse_column(text: str, position: int = 0) -> Column:
    """The column that prints as `text`.  Raises ExpressionError.

    `position` is where the text stands, for errors only.
    """
    kind, dot, name = text.partition(".")
    if not dot or kind not in _COLUMN_TYPES:
        raise ExpressionError(
            "unknown-column-type",
            position,
            f"got {short(kind)}, expected a column type ({', '.join(_COLUMN_TYPES)}), a dot and a"
            f" name{hint(kind, _COLUMN_TYPES)}",
        )
    start = position + len(kind) + 1
    if wrong := _RESERVED.search(name):
        raise ExpressionError(
            "bad-column-name",
            start + wrong.start(),
            f"got {wrong.group()!r} in a column's name, expected none of , ( ) [ ] and quotes",
        )
    if not name or name != name.strip():
        raise ExpressionError(
            "bad-column-name",
            start,
            f"got {short(name)}, expected a name without white space at its ends",
        )
    return Column(ColumnType(kind), name)


def parse_words(text: str, position: int = 0) -> tuple[str, ...]:
    """The items of a printed list of bare texts, without its brackets.  Raises ExpressionError."""
    words = text.split(", ") if text else ()
    for word in words:
        if not word or word != word.strip() or _RESERVED.search(word):
            raise ExpressionError(
                "bad-list-item",
                position,
                f"got {short(word)}, expected words between a comma and one space, without white"
                " space at their ends and without brackets, commas and quotes",
            )
        position += len(word) + 2
    return tuple(words)


def parse_plain(word: str, position: int = 0) -> Column | Literal:
    """A column, or a literal without quotes and brackets.  Raises ExpressionError."""
    if word in _CONSTANTS:
        return Literal(_CONSTANTS[word])
    if _SIZE.fullmatch(word):
        return Literal(ByteSize(word))
    if not word[0].isdigit() and word[0] != "-":
        return _column_or_near(word, position)
    try:
        return Literal(_number_or_time(word))
    except ValueError as error:
        rule = "bad-time" if _DATE.match(word) else "bad-literal"
        raise ExpressionError(rule, position, str(error)) from None


def _number_or_time(word: str) -> int | float | Timestamp | Duration:
    if _DATE.match(word):
        time = Timestamp.parse(word)
        try:
            str(Timestamp(time.ns))
        except OverflowError:
            raise ValueError(f"got {word!r}, expected a year from 1 to 9999 in UTC") from None
        return time
    if word != "-0" and len(word) <= 20 and _INTEGER.fullmatch(word):
        number = int(word)
        if -(2**63) <= number < 2**63:
            return number
    if _INTEGER.fullmatch(word) or _DECIMAL.fullmatch(word):
        if math.isfinite(value := float(word)):
            return value
        raise ValueError(f"got {short(word)}, expected a number that a float can hold")
    if _DURATION.match(word):
        return Duration(parse_duration(word))
    raise ValueError(
        f"got {short(word)}, expected a number, a time, a duration such as 1m30s or a size such as"
        " 10 MiB"
    )


def _column_or_near(word: str, position: int) -> Column:
    if "." in word:
        return parse_column(word, position)
    names = [*_CONSTANTS, *(f"{kind}." for kind in _COLUMN_TYPES)]
    raise ExpressionError(
        "bad-expression",
        position,
        f"got {short(word)}, expected a column such as label.app, an operator or a literal"
        f"{hint(word, names)}",
    )
