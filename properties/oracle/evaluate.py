"""A whole plan, evaluated node by node over all rows at once (semantics 2.1 and 11).

Nothing is partitioned: Parallelize and Batching pass their rows on.  Predicates and projections of
a ScanSet count together with those of its targets, as they do for shards.

Choices of ours where the reference decides nothing stand in docs/execution.md, and hold here too.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from properties.oracle.casts import CASTS
from properties.oracle.choice import Choice, Key
from properties.oracle.expressions import evaluate, kind_of, truth
from properties.oracle.parsing import ParseError, parse_json, parse_logfmt, parse_regexp
from properties.oracle.rows import (
    ERROR,
    MESSAGE,
    TIMESTAMP,
    VALUE,
    CannotAnswer,
    Row,
    Section,
    Value,
    called,
    found,
    kind_and_name,
    pick,
    stored_rows,
    text_column,
)
from workflow.expressions import Call, Column, Expression, Literal
from workflow.plan import (
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Join,
    Limit,
    Node,
    Plan,
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)

__all__ = ["Objects", "evaluate_plan", "grouped_by"]

Objects = Mapping[tuple[str, int], Section]

_SINGLE: Final = ("Projection", "Filter", "Limit", "Compat", "Parallelize", "Batching")
_SERIES_KINDS: Final = ("label", "metadata", "parsed", "ambiguous")
_MOST_WINDOWS: Final = 1_000_000  # that one row may lie in

Series = tuple[tuple[str, str], ...]  # the columns that a series has a value in


def evaluate_plan(plan: Plan, objects: Objects) -> Choice:
    """The rows that the plan answers over the objects.  Raises CannotAnswer and GraphError."""
    plan.check_acyclic()
    root = plan.root()
    for node in plan.preorder():
        _check(plan, node)
    given: dict[Node, Choice] = {}
    for node in plan.walk(root, order="post"):
        inputs = [given[child] for child in plan.children(node)]
        given[node] = _rows_of(node, inputs, objects, plan.name(node))
    return given[root]


def grouped_by(plan: Plan) -> tuple[str, ...]:
    """The columns by which the answer is grouped: it has them even where they hold no value."""
    node = plan.root()
    while not isinstance(node, RangeAggregation | VectorAggregation):
        below = plan.children(node)
        if len(below) != 1 or (isinstance(node, Projection) and not node.expand):
            return ()
        [node] = below
    columns = () if node.without else node.group_by
    return tuple(text_column(column.type.value, column.name) for column in columns)


def _check(plan: Plan, node: Node) -> None:
    where, inputs = plan.name(node), len(plan.children(node))
    targets = node.targets if isinstance(node, ScanSet) else ()
    if isinstance(node, Join | PointersScan) or any(isinstance(t, PointersScan) for t in targets):
        kind = "Join" if isinstance(node, Join) else "PointersScan"
        raise CannotAnswer("unsupported", where, f"{kind} has no answer here")
    if (node.kind in _SINGLE and inputs > 1) or (isinstance(node, Batching) and not inputs):
        raise CannotAnswer("arity", where, f"got {inputs} inputs, expected one")


def _rows_of(node: Node, inputs: Sequence[Choice], objects: Objects, where: str) -> Choice:
    if isinstance(node, DataObjScan):
        return Choice(tuple(_scan(node, (), (), objects, where)))
    if isinstance(node, ScanSet):
        return Choice(
            tuple(
                row
                for target in node.targets
                if isinstance(target, DataObjScan)
                for row in _scan(target, node.projections, node.predicates, objects, where)
            )
        )
    rows = Choice()
    for each in inputs:
        rows = rows.merged(each)
    if isinstance(node, Filter):
        return rows.keep(lambda some: _all_hold(node.predicates, some, where))
    if isinstance(node, Projection):
        change = _projection(node, where)
        return rows.map(change)
    if isinstance(node, Compat):
        return rows.map(lambda some: [_without_collisions(node, row) for row in some])
    if isinstance(node, Limit):
        return rows.limit(node.skip, node.fetch)
    if isinstance(node, TopK):
        return rows.top(node.k, _sort_key(node), descending=not node.ascending) if node.k else rows
    if isinstance(node, RangeAggregation | VectorAggregation):
        if not rows.exact:
            raise CannotAnswer("undetermined", where, "any of several rows would do as its input")
        return Choice(tuple(_aggregate(node, rows.fixed, where)))
    return rows


def _scan(
    scan: DataObjScan,
    projections: tuple[Column, ...],
    predicates: tuple[Expression, ...],
    objects: Objects,
    where: str,
) -> Iterable[Row]:
    place = (scan.location, scan.section)
    shown = f"{scan.location} section {scan.section}"
    if place not in objects:
        raise CannotAnswer("no-object", where, f"there is no {shown}")
    rows = [
        row
        for stream, row in stored_rows(objects[place], shown)
        if scan.stream_ids is None or stream in scan.stream_ids
    ]
    held = _all_hold(predicates + scan.predicates, rows, where)
    kept = [row for row, holds in zip(rows, held, strict=True) if holds]
    wanted = projections + scan.projections
    return [_only(row, wanted) for row in kept] if wanted else kept


def _all_hold(predicates: Iterable[Expression], rows: Sequence[Row], where: str) -> list[bool]:
    held = [True] * len(rows)
    for predicate in predicates:
        held = [a and b for a, b in zip(held, truth(predicate, rows, where), strict=True)]
    return held


def _only(row: Row, columns: Iterable[Column]) -> Row:
    wanted = dict.fromkeys(name for column in columns for name in called(column))
    return {name: value for name, value in row.items() if name in wanted}


def _projection(node: Projection, where: str) -> Callable[[Sequence[Row]], Sequence[Row]]:
    columns = [each for each in node.expressions if isinstance(each, Column)]
    others = [each for each in node.expressions if not isinstance(each, Column)]
    if not node.expressions:
        raise CannotAnswer("arity", where, "got no expression, expected at least one")
    shape = (node.all, node.expand, node.drop)
    if shape == (True, False, False):
        return lambda rows: rows
    if shape == (False, False, False):
        return lambda rows: [_only(row, columns) for row in rows]
    if shape == (True, False, True):
        return lambda rows: [
            {name: row[name] for name in row if name not in _only(row, columns)} for row in rows
        ]
    if shape != (True, True, False) or len(others) != 1:
        raise CannotAnswer("unsupported", where, "expected all, with drop or one expression")
    [expression] = others
    return lambda rows: _expand(expression, rows, where)


def _expand(expression: Expression, rows: Sequence[Row], where: str) -> list[Row]:
    name = expression.operator if isinstance(expression, Call) else ""
    if isinstance(expression, Call) and name.startswith("PARSE_"):
        return _parse(expression, rows, where)
    if isinstance(expression, Call) and name in CASTS and len(expression.args) == 1:
        return _cast(name, expression.args[0], rows, where)
    if kind_of(expression, where) != "number":
        raise CannotAnswer("types", where, f"{expression} gives no number")
    return [
        _with(row, {VALUE: value})
        for row, value in zip(rows, evaluate(expression, rows, where), strict=True)
    ]


def _with(row: Row, values: Mapping[str, str | float | None]) -> Row:
    """`row` with these columns instead of its own; None takes one away."""
    changed = {**row, **values}
    return {name: value for name, value in changed.items() if value is not None}


def _cast(name: str, source: Expression, rows: Sequence[Row], where: str) -> list[Row]:
    if kind_of(source, where) != "text":
        raise CannotAnswer("types", where, f"{name} of {source}, which is no text")
    changed = []
    for row, text in zip(rows, evaluate(source, rows, where), strict=True):
        value = CASTS[name](text)
        if value is None:
            changed.append({ERROR: "SampleExtractionErr", **row, VALUE: 0.0})
        else:
            changed.append({**row, VALUE: value})
    return list(changed)


def _parse(call: Call, rows: Sequence[Row], where: str) -> list[Row]:
    source, *settings = call.args
    if kind_of(source, where) != "text":
        raise CannotAnswer("types", where, f"{call.operator} of {source}, which is no text")
    values = [each.value for each in settings if isinstance(each, Literal)]
    lines = evaluate(source, rows, where)
    if call.operator == "PARSE_REGEXP" and len(values) == 1 and isinstance(values[0], str):
        groups = parse_regexp(lines, values[0])
        parsed: list[Mapping[str, str]] = (
            [{ERROR: "RegexpParseErr"}] * len(rows)
            if groups is None
            else [{text_column("parsed", name): text for name, text in g.items()} for g in groups]
        )
    elif call.operator in ("PARSE_LOGFMT", "PARSE_JSON") and len(values) == len(settings) == 3:
        keys, _, keep_empty = values  # strict makes no difference: an error leaves no pairs
        if keys is not None and not isinstance(keys, tuple):
            raise CannotAnswer("types", where, f"got {keys!r}, expected a list of keys")
        parsed = [_pairs(call.operator, line, keys or (), keep_empty is True) for line in lines]
    else:
        raise CannotAnswer("unsupported", where, f"{call} is not executed here")
    # What is found replaces what an earlier parser found, but the first error of a row stays.
    return [
        {**row, **pairs, **({ERROR: row[ERROR]} if ERROR in row else {})}
        for pairs, row in zip(parsed, rows, strict=True)
    ]


def _pairs(parser: str, line: str, keys: tuple[str, ...], keep_empty: bool) -> dict[str, str]:
    try:
        if parser == "PARSE_JSON":
            pairs = parse_json(line)
        else:
            pairs = parse_logfmt(line, keep_empty=keep_empty)
    except ParseError as error:
        return {ERROR: str(error)}
    return {text_column("parsed", k): text for k, text in pairs.items() if not keys or k in keys}


def _without_collisions(node: Compat, row: Row) -> Row:
    moved: dict[str, Value] = {}
    kept: dict[str, Value] = {}
    for column, value in row.items():
        kind, name = kind_and_name(column)
        others = [text_column(other, name) for other in node.collisions if other != kind]
        if kind == node.source and any(other in row for other in others):
            moved[text_column(node.destination, f"{name}_extracted")] = value
        else:
            kept[column] = value
    return {**kept, **moved}


def _sort_key(node: TopK) -> Callable[[Row], Key]:
    def key(row: Row) -> Key:
        value = found(row, node.sort_by)
        if value is None:
            return (0 if node.nulls_first else 2,)
        if isinstance(value, str):
            return (1, "text", value.encode())
        nan = isinstance(value, float) and math.isnan(value)
        return (1, "number", not nan, 0.0 if nan else value)  # NaN is below all

    return key


def _aggregate(
    node: RangeAggregation | VectorAggregation, rows: Sequence[Row], where: str
) -> Iterable[Row]:
    combine = _AGGREGATES.get(node.operation)
    if combine is None or (node.operation == "bytes" and isinstance(node, VectorAggregation)):
        raise CannotAnswer("unsupported", where, f"{node.operation} is not executed here")
    groups: dict[int, dict[Series, list[float]]] = {}
    for row in rows:
        series = _series(node, row, where)
        time, value = row.get(TIMESTAMP), row.get(VALUE)
        if node.operation == "count":
            value = 1.0
        elif node.operation == "bytes":
            value = float(len(str(row.get(MESSAGE, "")).encode()))
        if isinstance(time, int) and isinstance(value, float):
            for instant in _instants(node, time, where):
                groups.setdefault(instant, {}).setdefault(series, []).append(value)
    count = len(dict.fromkeys(series for at in groups.values() for series in at))
    if 0 < node.max_query_series < count:
        raise CannotAnswer(
            "series-limit", where, f"got {count} series, expected {node.max_query_series} at most"
        )
    return [
        {**dict(series), TIMESTAMP: instant, VALUE: combine(values) + 0.0}  # no minus zero
        for instant in sorted(groups)
        for series, values in groups[instant].items()
    ]


def _series(node: RangeAggregation | VectorAggregation, row: Row, where: str) -> Series:
    if not node.without:
        series = {}
        for column in node.group_by:
            value = pick(row, column)
            if not isinstance(value, str):
                raise CannotAnswer("types", where, f"grouping by {column}, which is no text")
            series[text_column(column.type.value, column.name)] = value
    else:
        left_out = [column.name for column in node.group_by]
        series = {
            name: value
            for name, value in row.items()
            if isinstance(value, str)
            and kind_and_name(name)[0] in _SERIES_KINDS
            and kind_and_name(name)[1] not in left_out
        }
    # No value and the empty text are the same group.
    return tuple(sorted((name, value) for name, value in series.items() if value))


def _instants(node: RangeAggregation | VectorAggregation, time: int, where: str) -> Iterable[int]:
    """The ends of the windows that a row lies in: ``end - range < time <= end``."""
    if isinstance(node, VectorAggregation):
        return [time]
    step = node.step_ns
    if node.start is None or (step and node.end is None):
        raise CannotAnswer("data", where, "got no start or no end, expected both")
    start = node.start.ns
    if step <= 0 or node.end is None:
        return [start] if start - node.range_ns < time <= start else []
    end = node.end.ns
    first = start + max(0, -((start - time) // step)) * step  # the first end at or after the row
    ends = range(first, min(end, time + node.range_ns - 1) + 1, step)
    if len(ends) > _MOST_WINDOWS:
        raise CannotAnswer("unsupported", where, f"a row lies in {len(ends)} windows")
    return ends


def _sum(values: Sequence[float]) -> float:
    """Exact, so that no order of the addends shows."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond all floats, or both infinities
        return sum(values)


def _largest(values: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else max(values)


def _smallest(values: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else min(values)


_AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "avg": lambda values: _sum(values) / len(values),
    "bytes": _sum,
    "count": lambda values: float(len(values)),
    "max": _largest,
    "min": _smallest,
    "sum": _sum,
}
