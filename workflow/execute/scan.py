"""A scan at work: the rows of one section, from the form in which it is stored (semantics 11.2).

Stored columns are ``stream_id``, ``timestamp``, ``message``, ``label.X`` and ``metadata.X``.  The
host reads them, in any cut; predicates are applied before projections, since they may read what
these leave out.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.errors import ExecutionError
from workflow.execute.evaluate import check_expression
from workflow.execute.operator import Operator
from workflow.execute.passing import matching
from workflow.execute.rows import MESSAGE, TIME, TIME_TYPE, Rows, text_name
from workflow.expressions import Call, Column, Expression
from workflow.plan import DataObjScan, Node, PlanError

__all__ = ["ScanSource", "ScanWork"]

_STREAM_ID: Final = "stream_id"
_KINDS: Final = ("label", "metadata")


@dataclass(frozen=True, slots=True)
class ScanSource:
    """One section to read, as a source of a fragment.

    ``node`` is the node of the fragment, ``target`` what it reads: location, section, and all
    projections and predicates that apply.  ``index`` counts the targets of a scan set.
    """

    node: Node
    index: int
    target: DataObjScan

    def __str__(self) -> str:
        return f"section {self.target.section} of {self.target.location}"

    def reads(self, stored: str) -> bool:
        """Whether the scan looks at a column, by its name in storage.

        A host may leave out the others: the same comes out.
        """
        target = self.target
        if stored == _STREAM_ID:
            return target.stream_ids is not None
        kind, _, name = stored.partition(".") if "." in stored else ("builtin", "", stored)
        asked = [*target.projections, *chain.from_iterable(map(_columns, target.predicates))]
        return not target.projections or any(
            each.name == name and each.type.value in ("ambiguous", kind) for each in asked
        )


def _columns(expression: Expression) -> list[Column]:
    """The columns in an expression."""
    found: list[Column] = []
    stack = [expression]
    while stack:
        each = stack.pop()
        if isinstance(each, Column):
            found.append(each)
        elif isinstance(each, Call):
            stack.extend(each.args)
    return found


class ScanWork(Operator):
    """Chooses rows and columns of a section, and names the columns."""

    def __init__(self, target: DataObjScan, where: str) -> None:
        for predicate in target.predicates:
            check_expression(predicate, where)
        if target.stream_ids is None and target.stream_count:
            raise PlanError(
                "stream-ids",
                where,
                f"got {target.stream_count} streams without their ids, as a printed plan has them,"
                " expected their ids, or none at all for every stream",
            )
        self._target = target
        self._where = where
        ids = target.stream_ids
        self._ids = None if ids is None else pa.array(ids, pa.int64())

    def push(self, rows: Rows) -> list[Rows]:
        """The rows asked for, from rows as they are stored."""
        stored = rows
        if self._ids is not None:
            if _STREAM_ID not in rows.columns:
                raise ExecutionError(
                    "storage-column", self._where, f"got no column {_STREAM_ID}, expected one"
                )
            stored = rows.filter(pc.is_in(rows.columns[_STREAM_ID], value_set=self._ids))
        named: dict[str, pa.Array] = {}
        for name, column in stored.columns.items():
            if name != _STREAM_ID:
                full, type_ = self._named(name)
                values = column if column.type == type_ else pc.cast(column, type_)
                named[full] = values if full not in named else pc.coalesce(named[full], values)
        kept = matching(self._target.predicates, Rows(named, stored.count), self._where)
        wanted = self._target.projections
        if not wanted:
            return [kept]
        return [kept.only(dict.fromkeys(name for each in wanted for name in kept.named(each)))]

    def _named(self, name: str) -> tuple[str, pa.DataType]:
        if name == "timestamp":
            return TIME, TIME_TYPE
        if name == "message":
            return MESSAGE, pa.string()
        kind, dot, rest = name.partition(".")
        if not dot or kind not in _KINDS:
            raise ExecutionError(
                "storage-column",
                self._where,
                f"got a column {name!r}, expected stream_id, timestamp, message, label.NAME or"
                " metadata.NAME",
            )
        return text_name(kind, rest), pa.string()
