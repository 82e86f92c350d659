"""Expressions over rows (semantics 11.3, 11.7): one value for each row.

Texts, numbers, times and truths are never compared with one another.  A comparison or a match is
never null: a number or a time that is missing makes it false, a text that is missing is the empty
text.  Arithmetic with a missing number gives none.  Patterns are RE2, unanchored.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.casts import parse_byte_size
from workflow.execute.errors import ExecutionError
from workflow.execute.rows import TIME_TYPE, Rows
from workflow.execute.scalars import FALSE, NO_TEXT, NULL_FLOAT, TRUE, float64, text
from workflow.expressions import ByteSize, Call, Column, Duration, Expression, Literal
from workflow.plan import PlanError
from workflow.times import Timestamp

__all__ = ["ARITHMETIC", "check_expression", "evaluate", "pattern_error", "truth"]

_COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "EQ": pc.equal,
    "NEQ": pc.not_equal,
    "GT": pc.greater,
    "GTE": pc.greater_equal,
    "LT": pc.less,
    "LTE": pc.less_equal,
}
_LOGIC: Final[dict[str, Callable[..., Any]]] = {
    "AND": pc.and_,
    "OR": pc.or_,
    "XOR": pc.xor,
    "NOT": pc.invert,
}
_MATCHES: Final[dict[str, Callable[[Any, str], Any]]] = {
    "MATCH_STR": pc.match_substring,
    "MATCH_RE": pc.match_substring_regex,
}


def _remainder(dividends: pa.Array, divisors: pa.Array) -> pa.Array:
    """C's fmod, row by row: pyarrow 18 has no kernel for it."""

    def one(dividend: float | None, divisor: float | None) -> float | None:
        if dividend is None or divisor is None:
            return None
        if divisor == 0 or math.isinf(dividend):
            return math.nan
        return math.fmod(dividend, divisor)

    pairs = zip(dividends.to_pylist(), divisors.to_pylist(), strict=True)
    return pa.array([one(*pair) for pair in pairs], pa.float64())


ARITHMETIC: Final[dict[str, Callable[..., Any]]] = {
    "ADD": pc.add,
    "SUB": pc.subtract,
    "MUL": pc.multiply,
    "DIV": pc.divide,
    "MOD": _remainder,
    "POW": pc.power,
    "ABS": pc.abs,
}
_UNARY: Final = ("NOT", "ABS")


def pattern_error(pattern: str) -> str | None:
    """Why RE2 refuses a pattern; None if it takes it."""
    try:
        pc.match_substring_regex(pa.array([""], pa.string()), pattern)
    except pa.ArrowInvalid as error:
        return str(error)
    return None


def check_expression(expression: Expression, where: str) -> None:
    """Raises PlanError for a call that cannot be evaluated: operator, arguments, pattern."""
    if not isinstance(expression, Call):
        return
    operator, args = expression.operator, expression.args
    match = operator.removeprefix("NOT_") if operator.startswith("NOT_MATCH") else operator
    if match in _MATCHES:
        _check_arity(expression, 2, where)
        pattern = args[1]
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            raise PlanError(
                "pattern", where, f"got {pattern} in {operator}, expected a text in quotes"
            )
        if match == "MATCH_RE" and (reason := pattern_error(pattern.value)) is not None:
            raise PlanError("pattern", where, f"got {pattern}, expected RE2: {reason}")
        check_expression(args[0], where)
        return
    if operator not in {**_COMPARISONS, **_LOGIC, **ARITHMETIC}:
        known = [*_COMPARISONS, *_LOGIC, *ARITHMETIC, *_MATCHES, *(f"NOT_{m}" for m in _MATCHES)]
        raise PlanError(
            "operator",
            where,
            f"got {operator}, expected one that executes here ({', '.join(known)})",
        )
    _check_arity(expression, 1 if operator in _UNARY else 2, where)
    for arg in args:
        check_expression(arg, where)


def _check_arity(call: Call, expected: int, where: str) -> None:
    if len(call.args) != expected:
        raise PlanError(
            "arity", where, f"{call.operator}: got {len(call.args)} arguments, expected {expected}"
        )


def truth(expression: Expression, rows: Rows, where: str) -> pa.Array:
    """For each row whether a predicate holds, without nulls."""
    values = evaluate(expression, rows, where)
    if not pa.types.is_boolean(values.type):
        raise ExecutionError(
            "operand-types",
            where,
            f"{expression}: got {_kind(values)} as a predicate, expected true or false",
        )
    return values


def evaluate(expression: Expression, rows: Rows, where: str) -> pa.Array:
    """One value for each row.  Raises ExecutionError (``operand-types``)."""
    if isinstance(expression, Literal):
        return _literal(expression, rows.count, where)
    if isinstance(expression, Column):
        return _column(expression, rows)
    operator = expression.operator
    args = [evaluate(arg, rows, where) for arg in expression.args]
    if operator in _COMPARISONS:
        return _compare(expression, args, where)
    if operator in _LOGIC:
        return _LOGIC[operator](*_operands(expression, args, "truth", where))
    if operator in ARITHMETIC:
        return ARITHMETIC[operator](*_operands(expression, args, "number", where))
    texts = _operands(expression, args, "text", where)[0]
    return _match(expression, texts)


def _match(call: Call, texts: pa.Array) -> pa.Array:
    pattern = call.args[1]
    if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
        raise TypeError(f"{call}: not checked before")
    match = _MATCHES[call.operator.removeprefix("NOT_")](texts, pattern.value)
    return pc.invert(match) if call.operator.startswith("NOT_") else match


def _column(column: Column, rows: Rows) -> pa.Array:
    values = rows.read(column)
    if values is None:  # a number or a time stays one where it is missing
        full = f"{column.type}.{column.name}"
        if full == "generated.value":
            return pa.nulls(rows.count, pa.float64())
        if full == "builtin.timestamp":
            return pa.nulls(rows.count, TIME_TYPE)
        return rows.text(column)
    if pa.types.is_string(values.type):
        return pc.fill_null(values, "")
    return values


def _literal(literal: Literal, count: int, where: str) -> pa.Array:
    value = literal.value
    if value is None:
        return pa.nulls(count)
    if isinstance(value, tuple):
        raise ExecutionError("operand-types", where, f"got the list {literal}, expected one value")
    scalar: Any
    if isinstance(value, bool):
        scalar = TRUE if value else FALSE
    elif isinstance(value, Timestamp):
        scalar = pa.scalar(value.ns, TIME_TYPE)
    elif isinstance(value, Duration):  # beside a value that was cast: seconds
        scalar = float64(value.ns / 1e9)
    elif isinstance(value, ByteSize):
        scalar = pa.scalar(parse_byte_size(value.text), pa.float64())
    elif isinstance(value, str):
        scalar = text(value)
    else:  # a whole number beside a value is a float, although it prints as whole
        scalar = float64(float(value))
    return pa.repeat(scalar, count)


def _compare(call: Call, args: list[pa.Array], where: str) -> pa.Array:
    first, second = args
    if pa.types.is_null(first.type) or pa.types.is_null(second.type):
        return pa.repeat(FALSE, len(first))
    if _kind(first) != _kind(second):
        raise ExecutionError(
            "operand-types",
            where,
            f"{call}: got a {_kind(first)} and a {_kind(second)}, expected two of one type",
        )
    return pc.fill_null(_COMPARISONS[call.operator](first, second), False)


# What the absent value stands for beside values of a kind.
_ABSENT: Final = {"truth": FALSE, "number": NULL_FLOAT, "text": NO_TEXT}


def _operands(call: Call, args: list[pa.Array], kind: str, where: str) -> list[pa.Array]:
    """The arguments, each of one kind."""
    for arg, values in zip(call.args, args, strict=True):
        if _kind(values) not in (kind, "null"):
            raise ExecutionError(
                "operand-types", where, f"{call}: got a {_kind(values)} ({arg}), expected a {kind}"
            )
    return [
        pa.repeat(_ABSENT[kind], len(values)) if pa.types.is_null(values.type) else values
        for values in args
    ]


def _kind(values: pa.Array) -> str:
    kind = values.type
    if pa.types.is_string(kind):
        return "text"
    if pa.types.is_timestamp(kind):
        return "time"
    if pa.types.is_boolean(kind):
        return "truth"
    return "null" if pa.types.is_null(kind) else "number"
