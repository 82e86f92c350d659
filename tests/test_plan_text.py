"""Printed plans read back, and everything else is refused with its line and column."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.expressions import Call, Column, ColumnType, Expression, Literal
from workflow.plan import (
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
from workflow.plan_json import plan_from_json
from workflow.plan_reader import PlanTextError, plan_from_text
from workflow.plan_text import plan_to_text
from workflow.times import TimeRange, Timestamp

DATA = Path(__file__).parent / "data"
CASES = [
    case
    for name in ("plans.jsonl", "logql.jsonl", "results.jsonl")
    for case in map(json.loads, (DATA / name).read_text(encoding="utf-8").splitlines())
]
TEXTS = [case["plan_text"] for case in CASES]


def carried(node: Node, *, is_target: bool = False) -> list[tuple[str, object]]:
    """What of a node its printed form tells."""
    told: dict[str, object] = {each.name: getattr(node, each.name) for each in fields(node)}
    told["kind"] = node.kind
    if isinstance(node, DataObjScan):
        told |= {"stream_ids": None, "stream_count": node.streams or None}
        if is_target:
            told["max_time_range"] = TimeRange()
    if isinstance(node, PointersScan):
        told |= {"selector": "", "predicates": (), "predicate_count": node.num_predicates or None}
    if isinstance(node, RangeAggregation | VectorAggregation):
        told["max_query_series"] = 0
    if isinstance(node, Projection) and not node.expand and not node.drop:
        told["expressions"] = ()
    if isinstance(node, ScanSet):
        told["targets"] = [carried(each, is_target=True) for each in node.targets]
    return sorted(told.items())


def shape(plan: Plan) -> list[str]:
    """The plan as far as its printed form tells it; roots in any order."""
    return sorted(
        repr(
            [(carried(node), [numbers[child] for child in plan.children(node)]) for node in numbers]
        )
        for root in plan.roots()
        for numbers in [{node: i for i, node in enumerate(plan.walk(root))}]
    )


@pytest.mark.parametrize("text", TEXTS)
def test_what_the_reference_printed_prints_again(text: str) -> None:
    for shared in (True, False):
        plan = plan_from_text(text, shared=shared)
        assert plan_to_text(plan) == text
        assert list(plan.ids.values()) == list(range(len(plan)))


def test_plans_of_the_reference_read_as_their_json_says() -> None:
    reads: dict[object, int] = {"as one": 0, "as two": 0, "as neither": 0, "alike": 0}
    for case in CASES:
        told = shape(plan_from_json(case["plan"]))
        as_one, as_two = (
            shape(plan_from_text(case["plan_text"], shared=shared)) == told
            for shared in (True, False)
        )
        try:
            assert shape(plan_from_text(case["plan_text"])) == told
        except PlanTextError as error:
            assert error.rule == "ambiguous-sharing"  # noqa: PT017 (either is right)
            reads["as one" if as_one else "as two" if as_two else "as neither"] += 1
        else:
            assert as_one
            assert as_two
            reads["alike"] += 1
    # One plan shares one subtree and repeats another, which no single answer can tell.
    assert reads == {"as one": 14, "as two": 3, "as neither": 1, "alike": 390}


LINE = st.characters(exclude_characters="\n", exclude_categories=["Cs"])
NAMES = st.text(
    st.characters(exclude_characters=',()[]"\n', exclude_categories=["Cs"]), min_size=1
).filter(lambda name: name == name.strip())
WORDS = st.text(
    st.characters(exclude_characters=" \n", exclude_categories=["Cs"]), min_size=1, max_size=5
).filter(lambda word: not word.endswith("\r"))
COLUMNS = st.builds(Column, st.sampled_from(ColumnType), NAMES)
COUNTS = st.integers(0, 2**63 - 1)
COUNTS_32 = st.integers(0, 2**32 - 1)
INSTANTS = st.none() | st.builds(
    Timestamp,
    st.integers(
        Timestamp.parse("0001-01-02T00:00:00Z").ns, Timestamp.parse("9999-12-30T00:00:00Z").ns
    ),
    st.integers(-1439, 1439),
)
SPANS = st.integers(-(2**63), 2**63 - 1)
PARTS = ['"', ", ", ")", "(", "EQ(", " predicate[1]=", " streams=1", " section_id=0", " ascending="]
NASTY = st.lists(st.sampled_from([*PARTS, " projections=()", "└── ", "label.a", "x"])).map("".join)


def tuples(items: st.SearchStrategy[Expression]) -> st.SearchStrategy[tuple[Expression, ...]]:
    return st.lists(items, max_size=3).map(tuple)


def nodes(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Node]:
    """Nodes of every kind, with `texts` for their texts and locations."""
    literals = st.builds(Literal, st.booleans() | st.integers(0, 99) | texts)
    operands = COLUMNS | literals
    calls = st.builds(Call, st.sampled_from(["EQ", "OR"]), st.tuples(operands, operands))
    expressions = tuples(COLUMNS | literals | calls)
    columns = st.lists(COLUMNS, max_size=3).map(tuple)
    ranges = st.builds(TimeRange, INSTANTS, INSTANTS)
    streams = st.none() | st.integers(1, 99)
    scans = st.builds(
        DataObjScan,
        location=texts,
        section=COUNTS,
        projections=columns,
        predicates=expressions,
        max_time_range=ranges,
        stream_count=streams,
    )
    targets = st.builds(
        DataObjScan, location=texts, section=COUNTS, predicates=expressions, stream_count=streams
    )
    pointers = st.builds(
        PointersScan, location=texts, start=INSTANTS, end=INSTANTS, predicate_count=streams
    )
    return st.one_of(
        scans,
        pointers,
        st.builds(
            ScanSet,
            targets=st.lists(targets | pointers, max_size=3).map(tuple),
            projections=columns,
            predicates=expressions,
        ),
        st.builds(Projection, expressions=expressions, all=st.booleans(), expand=st.just(True)),
        st.builds(Projection, expressions=expressions, all=st.booleans(), drop=st.just(True)),
        st.builds(Projection, all=st.booleans()),
        st.builds(Filter, predicates=expressions),
        st.builds(Limit, skip=COUNTS_32, fetch=COUNTS_32),
        st.builds(
            RangeAggregation,
            operation=WORDS,
            start=INSTANTS,
            end=INSTANTS,
            step_ns=SPANS,
            range_ns=SPANS,
            without=st.booleans(),
            group_by=columns,
        ),
        st.builds(VectorAggregation, operation=WORDS, without=st.booleans(), group_by=columns),
        st.builds(
            Compat,
            source=WORDS,
            destination=WORDS,
            collisions=st.lists(NAMES, max_size=3).map(tuple),
        ),
        st.builds(
            TopK, sort_by=COLUMNS, ascending=st.booleans(), nulls_first=st.booleans(), k=COUNTS
        ),
        st.builds(Batching, batch_size=st.integers(-(2**63), 2**63 - 1)),
        st.sampled_from([Merge, Join, Parallelize]).flatmap(st.builds),
    )


@st.composite
def plans(draw: st.DrawFn, texts: st.SearchStrategy[str], *, trees: bool = False) -> Plan:
    """Trees or acyclic graphs of a few nodes, with one root or several."""
    plan = Plan()
    placed: list[Node] = []
    for node in draw(st.lists(nodes(texts), max_size=7)):
        plan.add(node)
        parents = st.lists(st.sampled_from(placed), max_size=1 if trees else 3) if placed else None
        for parent in () if parents is None else draw(parents):
            plan.add_edge(parent, node)
        placed.append(node)
    return plan


SIMPLE = st.text(st.characters(exclude_characters='"=\n', exclude_categories=["Cs"]))


@given(plans(SIMPLE, trees=True))
def test_a_tree_reads_as_it_was_printed(plan: Plan) -> None:
    again = plan_from_text(plan_to_text(plan), shared=False, quotes=False)
    assert shape(again) == shape(plan)
    assert plan_to_text(again) == plan_to_text(plan)


@given(plans(SIMPLE))
def test_a_graph_prints_as_what_it_was_read_from(plan: Plan) -> None:
    text = plan_to_text(plan)
    for shared in (True, False):
        assert plan_to_text(plan_from_text(text, shared=shared, quotes=False)) == text


@given(plans(NASTY))
def test_a_plan_reads_as_it_was_printed_unless_it_has_two_readings(plan: Plan) -> None:
    text = plan_to_text(plan)
    try:
        again = plan_from_text(text, shared=True)
    except PlanTextError as error:
        assert error.rule in {"ambiguous-text", "ambiguous-value"}  # noqa: PT017 (either is right)
    else:
        assert plan_to_text(again) == text


@given(st.data())
def test_a_graph_of_distinct_nodes_reads_as_it_was_when_told_to_share(data: st.DataObject) -> None:
    plan = Plan()
    placed: list[Node] = []
    for i in range(data.draw(st.integers(1, 7))):
        node = plan.add(Limit(skip=i))
        for parent in data.draw(st.lists(st.sampled_from(placed), max_size=3)) if placed else ():
            plan.add_edge(parent, node)
        placed.append(node)
    again = plan_from_text(plan_to_text(plan), shared=True)
    assert shape(again) == shape(plan)
    assert len(again) == len(plan)


def pieces() -> Iterator[str]:
    yield from [
        "├── ",
        "└── ",
        "│   ",
        "    ",
        "\n",
        "\r\n",
        "\ufeff",
        '"',
        ", ",
        ")",
        "(",
        "=",
        "@",
    ]
    yield from [
        "Merge",
        "Limit offset=0 limit=1",
        "@target type=",
        " predicate[0]=",
        "9" * 30,
        "\t",
    ]


@given(st.data())
def test_a_damaged_text_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(TEXTS).filter(lambda text: len(text) < 3_000))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.sampled_from([0, 0, 1, 2, 4, 40])))
        copied = data.draw(st.integers(0, len(text)))
        new = data.draw(
            st.sampled_from(["", text[copied : copied + 30], *pieces()]) | st.text(max_size=3)
        )
        text = text[:start] + new + text[end:]
    try:
        plan = plan_from_text(text, shared=data.draw(st.sampled_from([None, True, False])))
    except PlanTextError as error:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines)  # noqa: PT017 (either is right)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1  # noqa: PT017
    else:
        plan_to_text(plan)


def test_surroundings_of_a_pasted_text_do_not_matter() -> None:
    text = "Merge\n├── Limit offset=0 limit=1\n└── Join\n\nJoin\n"
    plan = plan_from_text(text)
    assert [plan.name(node) for node in plan.roots()] == ["node 0 (Merge)", "node 3 (Join)"]
    indented = "".join(f"  \t{line}" if line.strip() else line for line in text.splitlines(True))
    for pasted in (
        text.replace("\n", "\r\n"),
        "\ufeff" + text,
        indented,
        f"\n{indented}   ",
        text + "\n \n\r\n",
        text.rstrip("\n"),
    ):
        assert plan_to_text(plan_from_text(pasted)) == text


@pytest.mark.parametrize("text", ["", "\n", " \r\n\n", "\ufeff"])
def test_an_empty_text_is_an_empty_plan(text: str) -> None:
    assert len(plan_from_text(text)) == 0


def test_no_grouping_is_without_and_an_empty_one_is_by_nothing() -> None:
    read = [
        plan_from_text(f"VectorAggregation operation=sum{grouping}\n").root()
        for grouping in ("", " group_by=()", " group_without=(label.a)")
    ]
    assert [(n.without, len(n.group_by)) for n in read if isinstance(n, VectorAggregation)] == [
        (True, 0),
        (False, 0),
        (True, 1),
    ]


SCAN = "DataObjScan location=a streams=0 section_id=0 projections=()"
RANGE = "@max_time_range start=0001-01-01T00:00:00Z end=2025-01-01T00:00:00Z"
TARGET = "@target type=ScanTypeDataObject location=a streams=0 section_id=0 projections=()"


def test_a_location_may_hold_what_looks_like_a_property() -> None:
    location = "a streams=1 section_id=2 projections=()"
    text = f"{SCAN.replace('location=a', f'location={location}')}\n    └── {RANGE}\n"
    scan = plan_from_text(text).root()
    assert isinstance(scan, DataObjScan)
    assert (scan.location, scan.stream_ids, scan.stream_count) == (location, None, None)


def test_what_the_text_does_not_carry_is_unset() -> None:
    times = RANGE.removeprefix("@max_time_range ")
    text = f"PointersScan location=i num_predicates=2 {times}\n"
    scan = plan_from_text(text).root()
    assert isinstance(scan, PointersScan)
    assert (scan.predicates, scan.num_predicates, scan.selector, scan.start) == ((), 2, "", None)


def test_texts_of_two_predicates_are_told_apart_when_none_holds_a_quote() -> None:
    text = 'Filter predicate[0]=EQ(label.a, "x") predicate[1]=EQ(label.b, "y")\n'
    with pytest.raises(PlanTextError, match=r"^ambiguous-text"):
        plan_from_text(text)
    assert plan_to_text(plan_from_text(text, quotes=False)) == text


def test_equal_siblings_are_two_nodes_whatever_is_said_about_sharing() -> None:
    text = "Merge\n├── Limit offset=0 limit=1\n└── Limit offset=0 limit=1\n"
    for shared in (None, True, False):
        assert len(plan_from_text(text, shared=shared)) == 3


def test_below_equal_siblings_a_node_may_still_be_shared() -> None:
    branch = "Merge\n{}└── Limit offset=0 limit=1\n"
    text = f"Join\n├── {branch.format('│   ')}└── {branch.format('    ')}"
    with pytest.raises(PlanTextError) as refused:
        plan_from_text(text)
    assert refused.value.line == 5
    assert [len(plan_from_text(text, shared=shared)) for shared in (True, False)] == [4, 5]


def test_deep_trees_and_many_targets_read_without_recursion() -> None:
    deep, previous = Plan(), None
    for i in range(2_000):
        node = deep.add(Limit(skip=i))
        if previous:
            deep.add_edge(previous, node)
        previous = node
    wide = Plan()
    wide.add(ScanSet(targets=tuple(DataObjScan(section=i) for i in range(20_000))))
    for plan in (deep, wide):
        text = plan_to_text(plan)
        assert plan_to_text(plan_from_text(text)) == text


KINDS = (
    "DataObjScan, Projection, Filter, Limit, RangeAggregation, VectorAggregation, Merge, Compat,"
    " TopK, Parallelize, ScanSet, Join, PointersScan, Batching"
)
TYPES = "builtin, label, metadata, parsed, ambiguous, generated"
REMEDY = "if no text here holds a double quote, quotes=False reads it"
AGGREGATION = (
    "RangeAggregation operation=sum start={} end=2025-01-01T00:00:00Z step={} range=5m0s\n"
)

GOLDEN = {
    "Fliter\n": f"unknown-kind: line 1, column 1: got 'Fliter', expected one of {KINDS}; did you"
    " mean 'Filter'?",
    "Limit offset=0 limt=5\n": "unknown-property: line 1, column 16: got 'limt', expected limit=;"
    " did you mean 'limit'?",
    SCAN.replace("streams", "stream"): "unknown-property: line 1, column 24: got 'stream', expected"
    " streams=; did you mean 'streams'?",
    "Limit offset=0 limit=4294967296\n": "bad-number: line 1, column 22: got '4294967296', expected"
    " an integer from 0 to 2^32 - 1",
    "Limit offset=0\n": "missing-property: line 1, column 15: got the end of the line, expected"
    " limit=",
    "Limit limit=1 offset=0\n": "property-order: line 1, column 7: got limit=, expected offset=",
    "Merge \n": "text-left: line 1, column 6: got ' ', expected the end of the line",
    AGGREGATION.format("2025-13-01T00:00:00Z", "1m0s"): "bad-time: line 1, column 38: got"
    " '2025-13-01T00:00:00Z', expected a date that exists: month must be in 1..12",
    AGGREGATION.format("2025-01-01T00:00:00Z", "1x"): "bad-duration: line 1, column 89: got '1x',"
    " expected a duration such as 0s, 250ms or 1h30m0s",
    "  Limit offset=zero limit=5\n": "bad-number: line 1, column 16: got 'zero', expected an"
    " integer"
    " from 0 to 2^32 - 1",
    "Projection all=yes\n": "bad-flag: line 1, column 16: got 'yes', expected true or false",
    "Compat src=a dst=b collisions=label\n": "bad-list: line 1, column 31: got 'label', expected a"
    " list in round brackets",
    "VectorAggregation operation=sum group_without=()\n": "bad-list: line 1, column 48: got no"
    " columns, expected one, or the property left out",
    "Merge\n├── Merge\n│  └── Join\n└── Join\n": "bad-prefix: line 3, column 4: got '└── Join',"
    " expected a branch, '├── ' or '└── '",
    "Merge\n├── Merge\n    └── Join\n└── Join\n": "bad-prefix: line 3, column 1: got ' ',"
    " expected '│'",
    "Merge\n└── Merge\n└── Join\n": "bad-prefix: line 3, column 1: got another node, expected"
    " the one"
    " in line 2 drawn with '├── ', or no other",
    "Merge\n├── Join\n": "bad-prefix: line 2, column 1: got '├── ', expected '└── ', or another"
    " node"
    " below the same one",
    "Merge\n        └── Join\n": "bad-prefix: line 2, column 9: got a branch to a node,"
    " expected one"
    " at column 1 or before",
    "Merge\nJoin\n": "bad-prefix: line 2, column 1: got 'Join', expected a line of the tree, or one"
    " blank line and another root",
    "Merge\n\n└── Join\n": "bad-prefix: line 3, column 1: got '└── Join', expected a root after a"
    " blank line",
    "└── Join\n": "bad-prefix: line 1, column 1: got a branch to a node, expected a root",
    "  Merge\n └── Join\n": "bad-indent: line 2, column 1: got ' └── Join', expected the"
    " indentation"
    " of the first line",
    f"ScanSet num_targets=2\n    └── {TARGET}\n": "comment-count: line 1, column 1: got 1 @target"
    " comments, expected num_targets=2 of them",
    f"ScanSet num_targets=1\n        └── {TARGET}\n": "bad-prefix: line 2, column 9: got a"
    " branch to"
    " a comment, expected one at column 5",
    f"ScanSet num_targets=1\n│   └── {TARGET}\n": "bad-prefix: line 2, column 1: got '│   '"
    " before the"
    " comments of a node with no children, expected '    '",
    f"ScanSet num_targets=1\n    └── {TARGET}\n└── Join\n": "bad-prefix: line 2, column 1: got"
    " '    '"
    " before the comments of a node with children, expected '│   '",
    f"ScanSet num_targets=1\n    ├── {TARGET}\n": "bad-prefix: line 2, column 5: got '├── ',"
    " expected"
    " '└── ' or another comment of the same node",
    f"ScanSet num_targets=1\n    └── {TARGET.replace('Object', 'Obj')}\n": "unknown-target-type:"
    " line 2, column 22: got 'ScanTypeDataObj', expected ScanTypeDataObject or ScanTypePointers;"
    " did you mean 'ScanTypeDataObject'?",
    f"{SCAN}\n": "comment-count: line 1, column 1: got no comment below, expected @max_time_range",
    f"{SCAN}\n    ├── {RANGE}\n    └── {RANGE}\n": "comment-count: line 3, column 9: got another"
    " @max_time_range, expected one",
    "Merge\n    └── @source stream=1\n": "unknown-comment: line 2, column 9: got '@source',"
    " expected"
    " no comment below Merge",
    'Filter predicate[0]=EQ(label.a, "x") predicate[1]=EQ(label.b, "y")\n': "ambiguous-text:"
    " line 1,"
    " column 35: got a text that starts at column 33 and may end at column 35 or at column 65,"
    f" expected one reading; {REMEDY}",
    'Projection all=true\n└── Filter predicate[0]=IN("x", "y")\n': "ambiguous-text: line 2, column"
    " 30: got a text that starts at column 28 and may end at column 30 or at column 35, expected"
    f" one reading; {REMEDY}",
    f'{SCAN} predicate[0]=EQ(label.x, "q{SCAN[22:]} predicate[0]=EQ(label.y, "z")'
    f"\n    └── {RANGE}\n": "ambiguous-value: line 1, column 23: got a value that may end before"
    " column 23 or before column 89, expected one reading",
    'Filter predicate[0]=EQ(label.a, "x\n└── Join")\n': "text-not-ended: line 1, column 33: got"
    " '\"x',"
    " expected a closing quote before a comma and a space, a closing bracket or the end of the"
    " line",
    "Filter predicate[0]=EQ(labl.a, 1)\n": "unknown-column-type: line 1, column 24: got 'labl',"
    f" expected a column type ({TYPES}), a dot and a name; did you mean 'label'?",
    "Filter predicate[0]=true predicate[2]=false\n": "text-left: line 1, column 25: got"
    " ' predicate[2]=false', expected predicate[1]= or the end of the line",
    f"Filter predicate[0]={'NOT(' * 201}true{')' * 201}\n": "too-deep: line 1, column 821: got more"
    " than 200 operators inside each other, expected up to 200",
    "Projection all=true drop=(label.a,label.b)\n": "bad-expression: line 1, column 34: got"
    " ',label.b)', expected a comma and a space or a closing bracket after an item",
    "Merge\n├── Merge\n│   └── Filter\n└── Parallelize\n    └── Filter\n": "ambiguous-sharing:"
    " line 5,"
    " column 9: got the same subtree as in line 3, expected to be told whether the two are one"
    " node:"
    " shared=True reads them as one, shared=False as two",
}


@pytest.mark.parametrize("text", GOLDEN)
def test_a_refusal_says_what_was_seen_where_and_what_would_be_right(text: str) -> None:
    with pytest.raises(PlanTextError) as refused:
        plan_from_text(text)
    assert str(refused.value) == GOLDEN[text]


def test_an_error_survives_pickling_and_is_a_plan_error() -> None:
    error = PlanTextError("bad-prefix", 3, 5, "got 1, expected 2")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert again.args == ("bad-prefix", 3, 5, "got 1, expected 2")
    assert str(again) == "bad-prefix: line 3, column 5: got 1, expected 2"
    assert isinstance(error, PlanError)
    assert (again.rule, again.where, again.line, again.column) == (
        "bad-prefix",
        "line 3, column 5",
        3,
        5,
    )
