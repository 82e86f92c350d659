"""An answer, its JSON form, and whether two answers are the same.

Rows have no order (semantics 11.1): answers are compared as multisets.  A null and a missing column
are the same.  Two numbers are the same within `TOLERANCE` of the larger one, since a sum depends on
the order of its addends; NaN is NaN.  What an error says (``__error_details__``) is not compared,
and an empty ``__error__`` is none.

>>> seen = Answer.from_json([{"float64.generated.value": 3, "utf8.label.app": "shop"}])
>>> right = Answer.from_json([{"float64.generated.value": 2, "utf8.label.app": "shop"}])
>>> print(same_answer(right, seen))
got 1 rows, expected 1: 1 missing, 1 too many
  missing   float64.generated.value=2 utf8.label.app='shop'
  too many  float64.generated.value=3 utf8.label.app='shop'
  nearest   differs in float64.generated.value: expected 2, got 3
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import pyarrow as pa

from properties.oracle.choice import Choice
from properties.oracle.evaluate import Objects, evaluate_plan, grouped_by
from properties.oracle.rows import ERROR, CannotAnswer, Row, Value, text_column
from properties.oracle.shards import shards_add_up
from workflow.plan import Plan
from workflow.times import Timestamp

__all__ = ["TOLERANCE", "Answer", "Difference", "answer", "same_answer"]

TOLERANCE: Final = 1e-9  # relative: a million addends move a sum by less

Json = Any

_DETAILS: Final = text_column("generated", "__error_details__")
_SHOWN: Final = 3  # rows of each sort in a message
_COMPARED: Final = 30  # of each sort, for the nearest two
_LONGEST: Final = 200  # letters of a row in a message
_WORDS: Final = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


@dataclass(frozen=True, slots=True)
class Answer:
    """All of `rows`, and from `low` to `high` of the rows of `pool`, where any of them will do."""

    rows: tuple[Row, ...] = ()
    pool: tuple[Row, ...] = ()
    low: int = 0
    high: int = 0
    columns: tuple[str, ...] = ()  # that a printed answer has even where no row has a value

    @property
    def determined(self) -> bool:
        """Whether it is settled which rows there are.

        If not, an answer that is the same lies within these bounds: more is not said.
        """
        return not self.pool

    @classmethod
    def from_json(cls, rows: Json, where: str = "rows") -> "Answer":
        """Read a list of rows as answers print them.  Raises CannotAnswer, rule ``data``."""
        if not isinstance(rows, list):
            raise CannotAnswer("data", where, f"got {type(rows).__name__}, expected a list")
        return cls(tuple(_row_from_json(row, f"{where}[{i}]") for i, row in enumerate(rows)))

    @classmethod
    def from_batches(cls, batches: Iterable[pa.RecordBatch | pa.Table]) -> "Answer":
        """The rows of batches whose columns are named as in answers."""
        rows: list[Row] = []
        for batch in batches:
            columns = [
                (
                    name,
                    batch.column(index).cast(pa.int64()) if _timed(name) else batch.column(index),
                )
                for index, name in enumerate(batch.schema.names)
            ]
            listed = [(name, column.to_pylist()) for name, column in columns]
            for index in range(batch.num_rows):
                values = ((name, column[index]) for name, column in listed)
                rows.append({name: value for name, value in values if value is not None})
        return cls(tuple(rows))

    def to_json(self) -> list[dict[str, Json]]:
        """The rows as answers print them: every column in every row, null where it is missing.

        Of the pool the first rows are taken, as few as will do.
        """
        rows = self.rows + self.pool[: self.low]
        names = [*self.columns, *(name for row in rows for name in row)]
        columns = sorted(dict.fromkeys(names))
        return [{name: _to_json(name, row.get(name)) for name in columns} for row in rows]


def answer(plan: Plan, objects: Objects) -> Answer:
    """What the plan answers over the objects, by location and section, in storage form.

    Raises CannotAnswer for a plan that has no answer, or another one in tasks than whole, and
    GraphError for what is no plan.
    """
    if not shards_add_up(plan):
        raise CannotAnswer(
            "sharded", plan.name(plan.root()), "what is done for each shard does not add up"
        )
    chosen: Choice = evaluate_plan(plan, objects)
    columns = grouped_by(plan)
    return Answer(chosen.fixed, chosen.pool, chosen.low, chosen.high, columns)


def _timed(column: str) -> bool:
    return column.startswith("timestamp_ns.")


def _row_from_json(row: Json, where: str) -> Row:
    if not isinstance(row, dict):
        raise CannotAnswer("data", where, f"got {type(row).__name__}, expected an object")
    return {
        name: _from_json(name, value, f"{where}.{name}")
        for name, value in row.items()
        if value is not None
    }


def _from_json(name: str, value: Json, where: str) -> Value:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name.startswith("float64.") and (number or value in _WORDS):
        return _WORDS[value] if isinstance(value, str) else float(value)
    if _timed(name) and isinstance(value, str):
        try:
            return Timestamp.parse(value).ns
        except ValueError as error:
            raise CannotAnswer("data", where, str(error)) from None
    if name.startswith("utf8.") and isinstance(value, str):
        return value
    raise CannotAnswer("data", where, f"got {value!r}, expected what its type says, or null")


def _to_json(name: str, value: Value | None) -> Json:
    if value is None or isinstance(value, str):
        return value
    if _timed(name):
        return str(Timestamp(int(value)))
    if math.isfinite(value):
        return int(value) if value == int(value) else value
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


@dataclass(frozen=True, slots=True)
class Difference:
    """How an answer differs from the one that is right.  Prints as a message of some lines."""

    missing: tuple[Row, ...]  # smallest first
    extra: tuple[Row, ...]
    expected: int  # how many rows the right answer has at least
    most: int  # and at most
    seen: int  # how many there are

    def __str__(self) -> str:
        some = str(self.expected) if self.expected == self.most else f"{self.expected}-{self.most}"
        lines = [f"got {self.seen} rows, expected {some}"]
        if self.missing or self.extra:
            lines[0] += f": {len(self.missing)} missing, {len(self.extra)} too many"
        for word, rows in (("missing", self.missing), ("too many", self.extra)):
            lines += [f"  {word:<8}  {_shown(row)}" for row in rows[:_SHOWN]]
            if len(rows) > _SHOWN:
                lines.append(f"  {'':<8}  ... and {len(rows) - _SHOWN} more")
        if self.missing and self.extra:
            pairs = product(self.missing[:_COMPARED], self.extra[:_COMPARED])
            right, near = min(pairs, key=lambda pair: len(_unequal(*pair)))
            words = [
                f"{name}: expected {_value(name, right)}, got {_value(name, near)}"
                for name in _unequal(right, near)
            ]
            lines.append(f"  nearest   differs in {'; '.join(words)}"[:_LONGEST])
        return "\n".join(lines)


def _unequal(a: Row, b: Row) -> list[str]:
    return [name for name in sorted({**a, **b}) if a.get(name) != b.get(name)]


def _value(name: str, row: Row) -> str:
    value = _to_json(name, row.get(name))
    return "null" if value is None else repr(value) if name.startswith("utf8.") else str(value)


def _shown(row: Row) -> str:
    text = " ".join(f"{name}={_value(name, row)}" for name in sorted(row)) or "a row without values"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def same_answer(right: Answer, seen: Answer, *, tolerance: float = TOLERANCE) -> Difference | None:
    """How `seen` differs from the answer that is right; None if it does not.

    Where `right` leaves open which rows there are, `seen` holds its rows, others of its pool only,
    and a number of these that it allows.  Where `seen` leaves it open too, any that it has will do.
    """
    missing, rest = _subtract(right.rows, seen.rows + seen.pool, tolerance)
    extra, _ = _subtract(rest, right.pool, tolerance)
    least, most = (len(right.rows) + taken for taken in (right.low, right.high))
    fewest, count = (len(seen.rows) + taken for taken in (seen.low, seen.high))
    if not missing and not extra and least <= fewest and count <= most:
        return None
    return Difference(missing, extra, least, most, count)


def _subtract(
    rows: Sequence[Row], others: Sequence[Row], tolerance: float
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """What is left of both after each row has been paired with an equal one; smallest first."""
    left: list[Row] = []
    over: list[Row] = []
    groups: dict[tuple[tuple[str, Value], ...], tuple[list[Row], list[Row]]] = {}
    for side, some in enumerate((rows, others)):
        for row in some:
            groups.setdefault(_plain(row), ([], []))[side].append(row)
    for key in sorted(groups):
        mine, theirs = (sorted(some, key=_numbers, reverse=True) for some in groups[key])
        while mine and theirs:
            if _close(mine[-1], theirs[-1], tolerance):
                mine.pop()
                theirs.pop()
            elif _numbers(mine[-1]) < _numbers(theirs[-1]):
                left.append(mine.pop())
            else:
                over.append(theirs.pop())
        left += reversed(mine)
        over += reversed(theirs)
    return tuple(left), tuple(over)


def _plain(row: Row) -> tuple[tuple[str, Value], ...]:
    """What must be equal exactly: all but the numbers."""
    return tuple(
        sorted(
            (name, value)
            for name, value in row.items()
            if not isinstance(value, float) and name != _DETAILS and (name != ERROR or value)
        )
    )


def _numbers(row: Row) -> tuple[tuple[str, bool, float], ...]:
    return tuple(
        (name, math.isnan(value), 0.0 if math.isnan(value) else value)
        for name, value in sorted(row.items())
        if isinstance(value, float)
    )


def _close(a: Row, b: Row, tolerance: float) -> bool:
    mine, theirs = _numbers(a), _numbers(b)
    return len(mine) == len(theirs) and all(
        one[:2] == other[:2]
        and math.isclose(one[2], other[2], rel_tol=tolerance, abs_tol=tolerance**2)
        for one, other in zip(mine, theirs, strict=True)
    )
