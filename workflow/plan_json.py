"""A plan as JSON: ``{"nodes": [{"id", "type", "props"}], "edges": [[parent, child]]}``.

Times are RFC 3339 with null for unset, spans integer nanoseconds, expressions and columns their
printed form.  A missing property is unset; an unknown one is refused.

>>> plan_from_json({"nodes": [{"id": 0, "type": "TopK", "props": {"k": 3}}], "edges": []})
plan_from_json({'nodes': [{'id': 0, 'type': 'TopK', 'props': {'k': 3}}], 'edges': []})
"""

import difflib
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from workflow.expressions import ExpressionError, parse_column, parse_expression
from workflow.graph import Graph
from workflow.plan import (
    NODE_KINDS,
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Join,
    Limit,
    Merge,
    Node,
    Parallelize,
    Plan,
    PlanError,
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)
from workflow.times import TimeRange, Timestamp, parse_instant

__all__ = ["node_to_json", "plan_from_json", "plan_to_brief_json", "plan_to_json"]

Json = Any  # what the json module gives and takes

# Values come from outside: they may be nested too deep for the ordinary repr.
_REPR: Final = reprlib.Repr()
_REPR.maxlist = _REPR.maxdict = 20
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 100

_MAX_U32: Final = 2**32 - 1
_MAX_I64: Final = 2**63 - 1


def plan_from_json(value: Json, *, where: str = "plan") -> Plan:
    """Read a plan; its nodes keep their numbers in ``Plan.ids``.

    Raises PlanError with rule ``json``, naming the field, what was seen and what would be
    right, and CycleError with the path.
    """
    fields = _object(value, where, {"nodes", "edges"}, {"nodes", "edges"})
    plan = Plan()
    by_id: dict[int, Node] = {}
    for index, entry in enumerate(_list(fields["nodes"], f"{where}.nodes")):
        at = f"{where}.nodes[{index}]"
        parts = _object(entry, at, {"id", "type", "props"}, {"id", "type"})
        number = _integer(0, _MAX_I64)(parts["id"], f"{at}.id")
        if number in by_id:
            raise _error(f"{at}.id", number, "a number that no other node has")
        node = _node(parts["type"], parts.get("props", {}), at, _FIELDS)
        by_id[number] = plan.add(node)
        plan.ids[node] = number
    for index, edge in enumerate(_list(fields["edges"], f"{where}.edges")):
        at = f"{where}.edges[{index}]"
        if not isinstance(edge, list) or len(edge) != 2:
            raise _error(at, edge, "[parent, child]")
        ends = []
        for end in edge:
            if type(end) is not int or end not in by_id:
                raise _error(at, end, f"the id of a node ({_some(by_id)})")
            ends.append(by_id[end])
        plan.add_edge(*ends)
    plan.check_acyclic()
    return plan


def plan_to_json(plan: Plan) -> Json:
    """Write a plan: nodes in pre-order, numbered so unless all have distinct ids.

    Raises CycleError for one that is not acyclic.
    """
    plan.check_acyclic()
    nodes = list(plan.preorder())
    numbers = {node: index for index, node in enumerate(nodes)}
    if all(node in plan.ids for node in nodes) and len(
        dict.fromkeys(plan.ids[node] for node in nodes)
    ) == len(nodes):
        numbers = {node: plan.ids[node] for node in nodes}
    return graph_to_json(plan, numbers)


def plan_to_brief_json(plan: Plan) -> Json:
    """The same without what is at its default, which `plan_from_json` fills in again."""
    written = plan_to_json(plan)
    return {
        "nodes": [
            {"id": entry["id"], **_brief(entry["type"], entry.get("props", {}))}
            for entry in written["nodes"]
        ],
        "edges": written["edges"],
    }


def _brief(kind: str, props: Mapping[str, Json]) -> Json:
    defaults = node_to_json(NODE_KINDS[kind]())["props"]
    kept = {
        name: [_brief(each["type"], each["props"]) for each in value]
        if name == "targets"
        else value
        for name, value in props.items()
        if name not in defaults or value != defaults[name]
    }
    return {"type": kind, "props": kept} if kept else {"type": kind}


def graph_to_json(plan: Graph[Node], numbers: Mapping[Node, int]) -> Json:
    """Nodes in the order of `numbers`, and edges each after its child's whole subtree."""
    return {
        "nodes": [{"id": number, **node_to_json(node)} for node, number in numbers.items()],
        "edges": [[numbers[parent], numbers[child]] for parent, child in plan.edges()],
    }


def node_to_json(node: Node) -> Json:
    """One node: its type and its properties."""
    props = {}
    for name, field in _FIELDS[type(node)].items():
        value = getattr(node, field.attribute)
        if value is not None or not field.optional:
            props[name] = field.write(value)
    return {"type": node.kind, "props": props}


@dataclass(frozen=True, slots=True)
class _Field:
    attribute: str
    read: Callable[[Json, str], Any]
    write: Callable[[Any], Json]
    optional: bool = False  # left out when unset


def _error(where: str, seen: object, expected: str) -> PlanError:
    shown = _REPR.repr(seen)
    return PlanError(
        "json",
        where,
        f"got {shown if len(shown) <= 80 else shown[:77] + '...'}, expected {expected}",
    )


def _some(names: Iterable[object]) -> str:
    listed = [str(name) for name in names]
    return (
        ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "") if listed else "there are none"
    )


def _nearest(name: object, names: Iterable[str]) -> str:
    listed = list(names)
    close = difflib.get_close_matches(name, listed, 1) if isinstance(name, str) else []
    return f"one of {', '.join(listed)}" + (f"; did you mean {close[0]!r}?" if close else "")


def _object(value: Json, where: str, known: set[str], needed: set[str]) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _error(where, value, "an object")
    for key in value:
        if key not in known:
            raise _error(where, key, "a key that is " + _nearest(key, sorted(known)))
    for key in sorted(needed):
        if key not in value:
            raise PlanError(
                "json", where, f"got no {key!r}, expected the keys {', '.join(sorted(needed))}"
            )
    return value


def _list(value: Json, where: str) -> list[Json]:
    if not isinstance(value, list):
        raise _error(where, value, "a list")
    return value


def _node(
    kind: Json, props: Json, where: str, kinds: Mapping[type[Node], Mapping[str, _Field]]
) -> Any:
    names = [known.__name__ for known in kinds]
    if kind not in names:
        raise _error(f"{where}.type", kind, _nearest(kind, names))
    cls = NODE_KINDS[kind]
    if not isinstance(props, dict):
        raise _error(f"{where}.props", props, "an object")
    values = {}
    for name, value in props.items():
        field = kinds[cls].get(name)
        if field is None:
            expected = _nearest(name, kinds[cls]) if kinds[cls] else "no properties"
            raise _error(f"{where}.props", name, f"for {kind} {expected}")
        values[field.attribute] = field.read(value, f"{where}.props.{name}")
    return cls(**values)


def _text(value: Json, where: str) -> str:
    if not isinstance(value, str):
        raise _error(where, value, "a text")
    return value


def _flag(value: Json, where: str) -> bool:
    if not isinstance(value, bool):
        raise _error(where, value, "true or false")
    return value


def _integer(low: int, high: int) -> Callable[[Json, str], int]:
    def read(value: Json, where: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _error(where, value, f"an integer from {low} to {high}")
        return value

    return read


def _instant(value: Json, where: str) -> Timestamp | None:
    if value is None:
        return None
    try:
        return parse_instant(_text(value, where))
    except ValueError as error:
        raise _wrap(where, error) from None


def _wrap(where: str, error: ValueError) -> PlanError:
    return error if isinstance(error, PlanError) else PlanError("json", where, str(error))


def _range(value: Json, where: str) -> TimeRange:
    if not isinstance(value, list) or len(value) != 2:
        raise _error(where, value, "[start, end], null for unset")
    return TimeRange(_instant(value[0], f"{where}[0]"), _instant(value[1], f"{where}[1]"))


def _many(read: Callable[[Json, str], Any]) -> Callable[[Json, str], tuple[Any, ...]]:
    def read_all(value: Json, where: str) -> tuple[Any, ...]:
        if value is None:
            return ()
        return tuple(read(v, f"{where}[{i}]") for i, v in enumerate(_list(value, where)))

    return read_all


def _printed(parse: Callable[[str], Any]) -> Callable[[Json, str], Any]:
    def read(value: Json, where: str) -> Any:
        try:
            return parse(_text(value, where))
        except ExpressionError as error:
            raise PlanError("json", where, str(error)) from None

    return read


def _stream_ids(value: Json, where: str) -> tuple[int, ...] | None:
    return None if value is None else _many(_ANY_INTEGER)(value, where)


def _target(value: Json, where: str) -> Any:
    parts = _object(value, where, {"type", "props"}, {"type"})
    kinds: dict[type[Node], Mapping[str, _Field]] = {
        DataObjScan: _FIELDS[DataObjScan],
        PointersScan: _FIELDS[PointersScan],
    }
    return _node(parts["type"], parts.get("props", {}), where, kinds)


def _same(value: Any) -> Any:
    return value


def _strings(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]


def _instant_json(value: Timestamp | None) -> str | None:
    return None if value is None else str(value)


def _field(
    attribute: str,
    read: Callable[[Json, str], Any],
    write: Callable[[Any], Json] = _same,
    optional: bool = False,
) -> _Field:
    return _Field(attribute, read, write, optional)


_COUNT = _integer(0, _MAX_I64)
_ANY_INTEGER = _integer(-_MAX_I64 - 1, _MAX_I64)
_COLUMNS = _many(_printed(parse_column))
_EXPRESSIONS = _many(_printed(parse_expression))
_PREDICATES = _field("predicates", _EXPRESSIONS, _strings)
_PROJECTIONS = _field("projections", _COLUMNS, _strings)
_GROUPING = {
    "group_by": _field("group_by", _COLUMNS, _strings),
    "max_query_series": _field("max_query_series", _COUNT),
    "operation": _field("operation", _text),
    "without": _field("without", _flag),
}

_FIELDS: Final[dict[type[Node], Mapping[str, _Field]]] = {
    DataObjScan: {
        "location": _field("location", _text),
        "max_time_range": _field(
            "max_time_range", _range, lambda r: [_instant_json(r.start), _instant_json(r.end)]
        ),
        "predicates": _PREDICATES,
        "projections": _PROJECTIONS,
        "section": _field("section", _COUNT),
        "stream_ids": _field(
            "stream_ids", _stream_ids, lambda ids: None if ids is None else list(ids)
        ),
        "stream_count": _field("stream_count", _COUNT, optional=True),
    },
    Projection: {
        "all": _field("all", _flag),
        "drop": _field("drop", _flag),
        "expand": _field("expand", _flag),
        "expressions": _field("expressions", _EXPRESSIONS, _strings),
    },
    Filter: {"predicates": _PREDICATES},
    Limit: {
        "fetch": _field("fetch", _integer(0, _MAX_U32)),
        "skip": _field("skip", _integer(0, _MAX_U32)),
    },
    RangeAggregation: {
        "end": _field("end", _instant, _instant_json),
        "range_ns": _field("range_ns", _ANY_INTEGER),
        "start": _field("start", _instant, _instant_json),
        "step_ns": _field("step_ns", _ANY_INTEGER),
        **_GROUPING,
    },
    VectorAggregation: _GROUPING,
    Merge: {},
    Compat: {
        "collisions": _field("collisions", _many(_text), list),
        "destination": _field("destination", _text),
        "source": _field("source", _text),
    },
    TopK: {
        "ascending": _field("ascending", _flag),
        "k": _field("k", _COUNT),
        "nulls_first": _field("nulls_first", _flag),
        "sort_by": _field("sort_by", _printed(parse_column), str),
    },
    Parallelize: {},
    ScanSet: {
        "predicates": _PREDICATES,
        "projections": _PROJECTIONS,
        # The reference writes null, not [], for a set without targets.
        "targets": _field(
            "targets", _many(_target), lambda targets: [node_to_json(t) for t in targets] or None
        ),
    },
    Join: {},
    PointersScan: {
        "end": _field("end", _instant, _instant_json),
        "location": _field("location", _text),
        "predicates": _PREDICATES,
        "selector": _field("selector", _text),
        "start": _field("start", _instant, _instant_json),
        "predicate_count": _field("predicate_count", _COUNT, optional=True),
    },
    Batching: {"batch_size": _field("batch_size", _ANY_INTEGER)},
}
