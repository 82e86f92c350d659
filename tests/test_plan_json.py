"""Plans as JSON: nothing is lost on the way, and what is wrong is named."""

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import nodes, plans

from workflow import CycleError, GraphError, Plan, PlanError, plan_from_json, plan_to_json
from workflow.expressions import Column, ColumnType
from workflow.plan import NODE_KINDS, DataObjScan, Filter, Merge, Node, ScanSet, TopK
from workflow.plan_json import node_to_json

DATA = Path(__file__).parent / "data"


def one(kind: str, **props: Any) -> dict[str, Any]:
    """A plan of one node."""
    return {"nodes": [{"id": 0, "type": kind, "props": props}], "edges": []}


def scan_set(**target: Any) -> dict[str, Any]:
    return one("ScanSet", targets=[target])


def described(plan: Plan) -> list[object]:
    """Every node with all of its fields, targets and zones included, and its edges."""
    order = list(plan.preorder())
    return [(repr(node), [order.index(child) for child in plan.children(node)]) for node in order]


@given(plans())
@settings(max_examples=200)
def test_a_plan_comes_back_from_its_json_as_it_was(plan: Plan) -> None:
    text = json.dumps(plan_to_json(plan), allow_nan=False)
    twin = plan_from_json(json.loads(text))
    assert described(twin) == described(plan)
    assert json.dumps(plan_to_json(twin)) == text


@pytest.mark.parametrize("kind", NODE_KINDS)
def test_a_missing_property_and_a_null_list_are_unset(kind: str) -> None:
    [node] = plan_from_json({"nodes": [{"id": 0, "type": kind}], "edges": []})
    assert repr(node) == repr(NODE_KINDS[kind]())
    props = node_to_json(node)["props"]
    nulls = {name: None for name, value in props.items() if value in (None, [])}
    assert repr(next(iter(plan_from_json(one(kind, **nulls))))) == repr(node)


def names(kind: type[Node]) -> set[str]:
    return {field.name for field in fields(kind)}


def test_every_field_of_every_kind_comes_back() -> None:
    drawn: dict[str, set[str]] = {}

    @given(nodes)
    @settings(max_examples=1_500, database=None, derandomize=True)
    def draw(node: Node) -> None:
        default = type(node)()
        drawn.setdefault(node.kind, set()).update(
            name for name in names(type(node)) if getattr(node, name) != getattr(default, name)
        )
        [twin] = plan_from_json({"nodes": [{"id": 0, **node_to_json(node)}], "edges": []})
        assert repr(twin) == repr(node)

    draw()
    # Or it would say less than it seems to.
    assert drawn == {name: names(kind) for name, kind in NODE_KINDS.items()}


def test_the_first_second_of_year_1_is_unset_as_it_prints() -> None:
    unset = "0001-01-01T00:00:00Z"
    [scan] = plan_from_json(one("DataObjScan", max_time_range=[unset, "1970-01-01T00:00:00Z"]))
    assert isinstance(scan, DataObjScan)
    assert scan.max_time_range.start is None
    assert scan.max_time_range.end is not None


def test_nodes_keep_their_numbers_if_all_have_one() -> None:
    plan = Plan()
    merge, filter_ = plan.add(Merge()), plan.add(Filter())
    plan.add_edge(merge, filter_)
    plan.ids.update({merge: 7, filter_: 3})
    assert plan_to_json(plan)["edges"] == [[7, 3]]
    plan.ids[filter_] = 7  # not a number of its own
    assert plan_to_json(plan)["edges"] == [[0, 1]]
    del plan.ids[filter_]
    assert plan_to_json(plan)["edges"] == [[0, 1]]


def test_a_plan_with_a_cycle_is_not_written_as_if_it_had_none() -> None:
    plan = Plan()
    top, filter_ = plan.add(TopK()), plan.add(Filter())
    plan.add_edge(top, filter_)
    plan.add_edge(filter_, top)
    with pytest.raises(CycleError, match="TopK > Filter > TopK"):
        plan_to_json(plan)


def test_any_64_bit_number_may_be_a_stream_id() -> None:
    ids = [-(2**63), -1, 0, 2**63 - 1]
    [scan] = plan_from_json(one("DataObjScan", stream_ids=ids))
    assert node_to_json(scan)["props"]["stream_ids"] == ids


def test_two_nodes_that_look_alike_stay_two() -> None:
    plan = plan_from_json(
        {
            "nodes": [{"id": i, "type": "Merge", "props": {}} for i in range(3)],
            "edges": [[0, 1], [0, 2]],
        }
    )
    assert len(plan) == 3
    assert len(plan.children(plan.root())) == 2


DEEP: list[Any] = []
for _ in range(50_000):
    DEEP = [DEEP]

GOLDEN: dict[str, tuple[Any, str]] = {
    "no object": ([], "json: plan: got [], expected an object"),
    "no edges": (
        {"nodes": []},
        "json: plan: got no 'edges', expected the keys edges, nodes",
    ),
    "unknown key": (
        {"nodes": [], "edges": [], "edgse": []},
        (
            "json: plan: got 'edgse', expected a key that is one of edges, nodes; did you mean"
            " 'edges'?"
        ),
    ),
    "nodes no list": (
        {"nodes": {}, "edges": []},
        "json: plan.nodes: got {}, expected a list",
    ),
    "node without type": (
        {"nodes": [{"id": 0}], "edges": []},
        "json: plan.nodes[0]: got no 'type', expected the keys id, type",
    ),
    "unknown type": (
        one("TopKay"),
        (
            f"json: plan.nodes[0].type: got 'TopKay', expected one of {', '.join(NODE_KINDS)};"
            " did you mean 'TopK'?"
        ),
    ),
    "unknown prop": (
        one("Limit", fetc=3),
        (
            "json: plan.nodes[0].props: got 'fetc', expected for Limit one of fetch, skip; did you"
            " mean 'fetch'?"
        ),
    ),
    "prop where there is none": (
        one("Merge", k=1),
        "json: plan.nodes[0].props: got 'k', expected for Merge no properties",
    ),
    "text for a count": (
        one("TopK", k="3"),
        "json: plan.nodes[0].props.k: got '3', expected an integer from 0 to 9223372036854775807",
    ),
    "true for a count": (
        one("TopK", k=True),
        "json: plan.nodes[0].props.k: got True, expected an integer from 0 to 9223372036854775807",
    ),
    "one for true": (
        one("TopK", ascending=1),
        "json: plan.nodes[0].props.ascending: got 1, expected true or false",
    ),
    "negative count": (
        one("Limit", skip=-1),
        "json: plan.nodes[0].props.skip: got -1, expected an integer from 0 to 4294967295",
    ),
    "float": (
        one("Batching", batch_size=2.0),
        (
            "json: plan.nodes[0].props.batch_size: got 2.0, expected an integer from"
            " -9223372036854775808 to 9223372036854775807"
        ),
    ),
    "NaN": (
        one("Batching", batch_size=float("nan")),
        (
            "json: plan.nodes[0].props.batch_size: got nan, expected an integer from"
            " -9223372036854775808 to 9223372036854775807"
        ),
    ),
    "text is null": (
        one("DataObjScan", location=None),
        "json: plan.nodes[0].props.location: got None, expected a text",
    ),
    "duplicate id": (
        {"nodes": [{"id": 4, "type": "Merge"}, {"id": 4, "type": "Join"}], "edges": []},
        "json: plan.nodes[1].id: got 4, expected a number that no other node has",
    ),
    "id is true": (
        {"nodes": [{"id": True, "type": "Merge"}], "edges": []},
        "json: plan.nodes[0].id: got True, expected an integer from 0 to 9223372036854775807",
    ),
    "unknown end of an edge": (
        {"nodes": [{"id": i, "type": "Merge"} for i in range(12)], "edges": [[0, 12]]},
        "json: plan.edges[0]: got 12, expected the id of a node (0, 1, 2, 3, 4, 5, 6, 7, ...)",
    ),
    "true as an end of an edge": (
        {"nodes": [{"id": i, "type": "Merge"} for i in range(2)], "edges": [[0, True]]},
        "json: plan.edges[0]: got True, expected the id of a node (0, 1)",
    ),
    "edge of three": (
        {"nodes": [], "edges": [[1, 2, 3]]},
        "json: plan.edges[0]: got [1, 2, 3], expected [parent, child]",
    ),
    "edge in an empty plan": (
        {"nodes": [], "edges": [[1, 2]]},
        "json: plan.edges[0]: got 1, expected the id of a node (there are none)",
    ),
    "cycle": (
        {
            "nodes": [{"id": 1, "type": "Filter"}, {"id": 2, "type": "TopK"}],
            "edges": [[1, 2], [2, 1]],
        },
        "cycle: node 1 (Filter) > node 2 (TopK) > node 1 (Filter)",
    ),
    "edge to itself": (
        {"nodes": [{"id": 1, "type": "Filter"}], "edges": [[1, 1]]},
        "cycle: node 1 (Filter) > node 1 (Filter)",
    ),
    "bad time": (
        one("RangeAggregation", start="yesterday"),
        (
            "json: plan.nodes[0].props.start: got 'yesterday', expected an RFC 3339 time such as"
            " 0001-01-01T00:00:00Z"
        ),
    ),
    "time as a number": (
        one("RangeAggregation", end=0),
        "json: plan.nodes[0].props.end: got 0, expected a text",
    ),
    "range of one": (
        one("DataObjScan", max_time_range=["2025-01-01T00:00:00Z"]),
        (
            "json: plan.nodes[0].props.max_time_range: got ['2025-01-01T00:00:00Z'], expected"
            " [start, end], null for unset"
        ),
    ),
    "bad expression": (
        one("Filter", predicates=['EQ(label.a, "x")', 'EQ(labl.a, "x")']),
        (
            "json: plan.nodes[0].props.predicates[1]: unknown-column-type: column 4: got 'labl',"
            " expected a column type (builtin, label, metadata, parsed, ambiguous, generated), a"
            " dot and a name; did you mean 'label'?"
        ),
    ),
    "expression no text": (
        one("Filter", predicates=[3]),
        "json: plan.nodes[0].props.predicates[0]: got 3, expected a text",
    ),
    "bad column": (
        one("TopK", sort_by="timestamp"),
        (
            "json: plan.nodes[0].props.sort_by: unknown-column-type: column 1: got 'timestamp',"
            " expected a column type (builtin, label, metadata, parsed, ambiguous, generated), a"
            " dot and a name"
        ),
    ),
    "nested target": (
        scan_set(type="ScanSet", props={"targets": []}),
        (
            "json: plan.nodes[0].props.targets[0].type: got 'ScanSet', expected one of DataObjScan,"
            " PointersScan"
        ),
    ),
    "wrong field of a target": (
        scan_set(type="DataObjScan", props={"section": -3}),
        (
            "json: plan.nodes[0].props.targets[0].props.section: got -3, expected an integer from 0"
            " to 9223372036854775807"
        ),
    ),
    "deep nesting": (
        one("TopK", k=DEEP),
        (
            "json: plan.nodes[0].props.k: got [[[[[[[...]]]]]]], expected an integer from 0 to"
            " 9223372036854775807"
        ),
    ),
    "deep type": (
        one(DEEP),  # type: ignore[arg-type]
        (
            "json: plan.nodes[0].type: got [[[[[[[...]]]]]]], expected one of"
            f" {', '.join(NODE_KINDS)}"
        ),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_an_error_names_the_field_what_was_seen_and_what_would_be_right(name: str) -> None:
    value, message = GOLDEN[name]
    with pytest.raises(GraphError) as refused:
        plan_from_json(value)
    assert str(refused.value) == message


def test_a_long_value_is_cut_short() -> None:
    with pytest.raises(PlanError) as refused:
        plan_from_json(one("TopK", k="x" * 1_000_000))
    assert len(str(refused.value)) < 200


def test_errors_begin_with_what_the_caller_calls_the_plan() -> None:
    with pytest.raises(PlanError, match=r"^json: case 3: got 7"):
        plan_from_json(7, where="case 3")


def test_a_set_of_scans_without_targets_is_written_as_the_reference_does() -> None:
    assert node_to_json(ScanSet())["props"]["targets"] is None
    column = Column(ColumnType.LABEL, "app")
    assert node_to_json(TopK(sort_by=column))["props"]["sort_by"] == "label.app"


REAL = [
    json.loads(line)["plan"]
    for name in ("logql.jsonl", "plans.jsonl")
    for line in (DATA / name).read_text(encoding="utf-8").splitlines()
]

STRANGE: list[Any] = [
    None,
    True,
    -1,
    2**70,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    "2025-02-30T00:00:00Z",
    'EQ(label.a, "',
    "(" * 500,
    "NOT(" * 5_000,
    "9" * 5_000,
    "1" * 5_000 + "h",
    [],
    {},
    [[]],
    {"type": "Merge"},
    {1: 2},
    (0, 1),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container inside `value` with every key of it."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        each = todo.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each))
        for key in keys:
            found.append((each, key))
            if isinstance(each[key], dict | list):
                todo.append(each[key])
    return found


@given(st.data())
@settings(max_examples=300)
def test_whatever_happens_to_a_real_plan_it_is_read_or_refused_in_words(
    data: st.DataObject,
) -> None:
    value = json.loads(json.dumps(data.draw(st.sampled_from(REAL))))
    for _ in range(data.draw(st.integers(1, 3))):
        if not (where := places(value)):
            break
        holder, key = data.draw(st.sampled_from(where))
        change = data.draw(st.sampled_from(["replace", "drop", "double", "cut"]))
        if change == "drop":
            del holder[key]
        elif change == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif change == "double":
            holder[str(key) + "s"] = copy.deepcopy(holder[key])
        elif change == "cut" and isinstance(holder[key], str):
            at = data.draw(st.integers(0, len(holder[key])))
            holder[key] = holder[key][:at] + data.draw(st.sampled_from(["", '"', ")", ", "]))
        else:
            holder[key] = copy.deepcopy(data.draw(st.sampled_from(STRANGE)))
    try:
        plan = plan_from_json(value)
    except GraphError as error:
        assert "got" in str(error) or error.rule == "cycle"  # noqa: PT017
    else:
        assert described(plan_from_json(plan_to_json(plan))) == described(plan)
