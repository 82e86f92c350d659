"""Operators that let rows pass: Filter, Projection, Limit, Compat, Batching."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.casts import CASTS, SAMPLE_ERROR, cast
from workflow.execute.evaluate import ARITHMETIC, check_expression, evaluate, truth
from workflow.execute.operator import Operator
from workflow.execute.parse import PARSERS, Parser, parse, parser_of
from workflow.execute.rows import DETAILS, ERROR, VALUE, Rows, concat, name_parts, text_name
from workflow.execute.scalars import NULL_TEXT, text
from workflow.expressions import Call, Column, Expression
from workflow.plan import Compat, Filter, Limit, PlanError, Projection

__all__ = ["BatchingWork", "CompatWork", "FilterWork", "LimitWork", "ProjectionWork", "matching"]


def matching(predicates: Sequence[Expression], rows: Rows, where: str) -> Rows:
    """The rows for which every predicate holds."""
    for predicate in predicates:
        if not rows.count:
            break
        rows = rows.filter(truth(predicate, rows, where))
    return rows


class FilterWork(Operator):
    """Keeps the rows for which every predicate holds."""

    def __init__(self, node: Filter, where: str) -> None:
        for predicate in node.predicates:
            check_expression(predicate, where)
        self._predicates = node.predicates
        self._where = where

    def push(self, rows: Rows) -> list[Rows]:
        """Those that are kept."""
        return [matching(self._predicates, rows, self._where)]


class ProjectionWork(Operator):
    """Keeps the listed columns, drops them, or adds what its expressions give."""

    def __init__(self, node: Projection, where: str) -> None:
        if not node.expressions:
            raise PlanError("arity", where, "got no expressions, expected at least one")
        if node.expand and node.drop:
            raise PlanError("projection", where, "got expand and drop, expected one of the two")
        self._node = node
        self._where = where
        self._columns = [each for each in node.expressions if isinstance(each, Column)]
        self._calls: list[tuple[Call, Parser | None]] = []
        if not node.expand:
            if len(self._columns) < len(node.expressions):
                raise PlanError(
                    "projection",
                    where,
                    f"got {', '.join(map(str, node.expressions))}, expected columns alone where"
                    " nothing is expanded",
                )
            return
        for expression in node.expressions:
            self._calls.append(self._checked(expression))

    def _checked(self, expression: Expression) -> tuple[Call, Parser | None]:
        if isinstance(expression, Call):
            operator = expression.operator
            if operator in PARSERS:
                return expression, parser_of(expression, self._where)
            if operator in CASTS and [type(arg) for arg in expression.args] == [Column]:
                return expression, None
            if operator in ARITHMETIC:
                check_expression(expression, self._where)
                return expression, None
        wanted = ", ".join([*PARSERS, *CASTS, *ARITHMETIC])
        raise PlanError(
            "projection", self._where, f"got {expression} to expand, expected one of {wanted}"
        )

    def push(self, rows: Rows) -> list[Rows]:
        """The same rows with other columns."""
        node = self._node
        if node.expand:
            for call, parser in self._calls:
                rows = self._expanded(rows, call, parser)
            return [rows]
        listed = dict.fromkeys(name for column in self._columns for name in rows.named(column))
        if node.drop:
            return [rows.without(listed)]
        return [rows if node.all else rows.only(listed)]

    def _expanded(self, rows: Rows, call: Call, parser: Parser | None) -> Rows:
        if parser is not None:
            found = parse(parser, rows)
            columns = {
                (full := text_name("parsed", key)): pc.coalesce(values, rows.columns[full])
                if full in rows.columns
                else values
                for key, values in found.columns.items()
            }
            rows = rows.with_columns(columns)
            if found.failed is None:
                return rows
            return _flagged(rows, found.failed, found.error, found.details)
        if call.operator in CASTS:
            [column] = call.args
            if not isinstance(column, Column):
                raise TypeError(f"{call}: not checked before")
            values, failed = cast(call.operator, column, rows)
            flagged = rows.with_columns({VALUE: values})
            if not pc.any(failed).as_py():
                return flagged
            details = pc.binary_join_element_wise(
                text(f"{call.operator} of"), rows.text(column), text(" ")
            )
            return _flagged(flagged, failed, SAMPLE_ERROR, details)
        return rows.with_columns({VALUE: evaluate(call, rows, self._where)})


def _flagged(rows: Rows, failed: pa.Array, error: str, details: pa.Array) -> Rows:
    """The rows with an error where they failed; the first error of a row stays."""
    columns = {}
    fresh = failed
    if ERROR in rows.columns:
        fresh = pc.and_(failed, pc.is_null(rows.columns[ERROR]))
    for name, values in ((ERROR, text(error)), (DETAILS, details)):
        old = rows.columns.get(name, pa.nulls(rows.count, pa.string()))
        columns[name] = pc.if_else(fresh, values, old)
    return rows.with_columns(columns)


class LimitWork(Operator):
    """Leaves out `skip` rows, lets `fetch` pass, then wants no more."""

    def __init__(self, node: Limit) -> None:
        self._skip = node.skip
        self._fetch = node.fetch
        self.done = node.fetch == 0

    def push(self, rows: Rows) -> list[Rows]:
        """A slice."""
        skipped = min(self._skip, rows.count)
        self._skip -= skipped
        passed = rows.slice(skipped, self._fetch)
        self._fetch -= passed.count
        self.done = self._fetch == 0
        return [passed]


class CompatWork(Operator):
    """Moves values out of the way of others of the same name.

    Row by row: where a column of a colliding kind has a value, that of the source kind moves to
    ``<name>_extracted`` of the destination kind.
    """

    def __init__(self, node: Compat) -> None:
        self._node = node

    def push(self, rows: Rows) -> list[Rows]:
        """The same rows."""
        kinds = dict.fromkeys(self._node.collisions)
        kinds.pop(self._node.source, None)
        others: dict[str, list[str]] = {}
        for full in rows.columns:
            _, kind, name = name_parts(full)
            if kind in kinds:
                others.setdefault(name, []).append(full)
        changed: dict[str, pa.Array] = {}
        moved: list[tuple[str, pa.Array]] = []
        for full, source in rows.columns.items():
            prefix, kind, name = name_parts(full)
            if kind != self._node.source or name not in others:
                continue
            taken = pc.is_valid(pc.coalesce(*(rows.columns[each] for each in others[name])))
            changed[full] = pc.if_else(taken, NULL_TEXT, source)
            target = f"{prefix}.{self._node.destination}.{name}_extracted"
            moved.append((target, pc.if_else(taken, source, NULL_TEXT)))
        for target, values in moved:
            old = changed.get(target, rows.columns.get(target))
            changed[target] = values if old is None else pc.coalesce(values, old)
        return [rows.with_columns(changed) if changed else rows]


class BatchingWork(Operator):
    """Joins small batches into ones of up to `size` rows; never splits one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: list[Rows] = []
        self._count = 0

    def push(self, rows: Rows) -> list[Rows]:
        """What is full."""
        if self._size <= 0:
            return [rows]
        out = self.finish() if self._count + rows.count > self._size else []
        self._held.append(rows)
        self._count += rows.count
        if self._count >= self._size:
            out += self.finish()
        return out

    def finish(self) -> list[Rows]:
        """What is left."""
        held, self._held, self._count = self._held, [], 0
        return [concat(held)] if held else []
