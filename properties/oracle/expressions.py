"""The value of an expression for every row of a list (semantics 11.3, 11.7).

Kinds of value: text, time (integer nanoseconds), number (float) and truth.  Both sides of an
operator must be of one kind.  A comparison with a missing time or number is false, arithmetic with
one is missing.

>>> evaluate(parse_expression('NEQ(label.app, "shop")'), [{"utf8.label.app": "shop"}, {}])
[False, True]
"""

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from properties.oracle.casts import cast_bytes
from properties.oracle.rows import TIMESTAMP, VALUE, CannotAnswer, Row, called, pick
from workflow.expressions import (
    ByteSize,
    Call,
    Column,
    Duration,
    Expression,
    Literal,
    parse_expression,
)
from workflow.times import Timestamp

__all__ = ["evaluate", "kind_of", "parse_expression", "truth"]

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "EQ": operator.eq,
    "NEQ": operator.ne,
    "GT": operator.gt,
    "GTE": operator.ge,
    "LT": operator.lt,
    "LTE": operator.le,
}
_LOGIC: Final[dict[str, Callable[[bool, bool], bool]]] = {
    "AND": lambda a, b: a and b,
    "OR": lambda a, b: a or b,
    "XOR": lambda a, b: a is not b,
}
_UNORDERED: Final = ("EQ", "NEQ")


def _divide(a: float, b: float) -> float:
    if b:
        return a / b
    if math.isnan(a) or a == 0:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1, b)


def _modulo(a: float, b: float) -> float:
    return math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)


def _power(a: float, b: float) -> float:
    result: float = pc.power(pa.scalar(a), pa.scalar(b)).as_py()  # infinities, and no exceptions
    return result


_ARITHMETIC: Final[dict[str, Callable[[float, float], float]]] = {
    "ADD": operator.add,
    "SUB": operator.sub,
    "MUL": operator.mul,
    "DIV": _divide,
    "MOD": _modulo,
    "POW": _power,
}


def truth(expression: Expression, rows: Sequence[Row], where: str) -> list[bool]:
    """Whether a predicate holds, row by row.  Raises CannotAnswer for what is no predicate."""
    if kind_of(expression, where) != "truth":
        raise CannotAnswer("types", where, f"{expression} is no predicate")
    return evaluate(expression, rows, where)


def kind_of(expression: Expression, where: str = "") -> str:
    """The kind of value: ``text``, ``time``, ``number`` or ``truth``.  Raises CannotAnswer."""
    if isinstance(expression, Column):
        names = called(expression)
        plain = names[0] if len(names) == 1 else ""
        return {TIMESTAMP: "time", VALUE: "number"}.get(plain, "text")
    if isinstance(expression, Literal):
        return _kind_of_literal(expression, where)
    kinds = [kind_of(each, where) for each in expression.args]
    name, expected, result = expression.operator, kinds[:1] * 2, "truth"
    if name in _LOGIC:
        expected = ["truth", "truth"]
    elif name in _ARITHMETIC:
        expected, result = ["number", "number"], "number"
    elif name.removeprefix("NOT_") in ("MATCH_STR", "MATCH_RE"):
        expected = ["text", "text"]
    elif name == "NOT":
        expected = ["truth"]
    elif name == "ABS":
        expected, result = ["number"], "number"
    elif name not in _COMPARISONS:
        raise CannotAnswer("unsupported", where, f"{name} is not executed here")
    if kinds != expected:
        raise CannotAnswer("types", where, f"got {name} of {' and '.join(kinds)} in {expression}")
    return result


def _kind_of_literal(literal: Literal, where: str) -> str:
    value = literal.value
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float | Duration) or _size(value) is not None:
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Timestamp):
        return "time"
    raise CannotAnswer("unsupported", where, f"a value such as {literal} meets no column here")


def evaluate(expression: Expression, rows: Sequence[Row], where: str = "") -> list[Any]:
    """The value for each row.  Raises CannotAnswer."""
    if isinstance(expression, Column):
        return [_read(row, expression, where) for row in rows]
    if isinstance(expression, Literal):
        return [_plain(expression)] * len(rows)
    kind_of(expression, where)
    name = expression.operator
    if name.endswith("MATCH_RE"):
        return _match(expression, rows, where)
    sides = [evaluate(each, rows, where) for each in expression.args]
    return [_apply(name, *values) for values in zip(*sides, strict=True)]


def _read(row: Row, column: Column, where: str) -> Any:
    value = pick(row, column)
    if kind_of(column) == "text" and not isinstance(value, str):
        raise CannotAnswer("types", where, f"{column} meets {value!r}, expected text")
    return value


def _size(value: object) -> float | None:
    return cast_bytes(value.text) if isinstance(value, ByteSize) else None


def _plain(literal: Literal) -> Any:
    """The value, as what it meets has it: a duration in seconds, a size in bytes."""
    value = literal.value
    if isinstance(value, Duration):
        return value.ns / 1e9
    if isinstance(value, ByteSize):
        return _size(value)
    if isinstance(value, Timestamp):
        return value.ns
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _apply(name: str, *values: Any) -> Any:
    if name in _ARITHMETIC or name == "ABS":
        if None in values:
            return None
        return abs(values[0]) if name == "ABS" else _ARITHMETIC[name](*values)
    if None in values:
        return False
    if name in _COMPARISONS:
        return _compare(name, *values)
    if name in _LOGIC:
        return _LOGIC[name](*values)
    if name == "NOT":
        return not values[0]
    text, part = values
    return (part in text) is (name == "MATCH_STR")


def _compare(name: str, a: Any, b: Any) -> bool:
    if isinstance(a, str) and name not in _UNORDERED:
        a, b = a.encode(), b.encode()  # texts are ordered by their bytes
    return _COMPARISONS[name](a, b)


def _match(call: Call, rows: Sequence[Row], where: str) -> list[bool]:
    subjects, patterns = (evaluate(each, rows, where) for each in call.args)
    wanted = call.operator == "MATCH_RE"
    found: list[bool] = [False] * len(rows)
    for pattern in dict.fromkeys(patterns):
        places = [index for index, each in enumerate(patterns) if each == pattern]
        texts = pa.array([subjects[index] for index in places], pa.string())
        for index, matched in zip(places, _kernel(pattern, where)(texts).to_pylist(), strict=True):
            found[index] = matched is wanted
    return found


def _kernel(pattern: str, where: str) -> Callable[[pa.Array], pa.Array]:
    match = partial(pc.match_substring_regex, pattern=pattern)
    try:
        match(pa.array([""]))
    except pa.ArrowInvalid as error:
        raise CannotAnswer("pattern", where, str(error)) from None
    return match
