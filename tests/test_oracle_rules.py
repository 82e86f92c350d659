"""What the oracle makes of rules that the reference's answers leave open (semantics 11.7)."""

from typing import Any

import pytest
from stored import Line, chain, stored

from properties.oracle import Answer, CannotAnswer, answer, same_answer
from workflow.expressions import Column, ColumnType, Expression, parse_expression
from workflow.plan import (
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Join,
    Limit,
    Node,
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)
from workflow.times import Timestamp

SCAN = DataObjScan(location="a")
VALUE = "float64.generated.value"
ERROR = "utf8.generated.__error__"


def at(second: float) -> Timestamp:
    return Timestamp(int(second * 10**9))


def column(text: str) -> Column:
    kind, name = text.split(".")
    return Column(ColumnType(kind), name)


def asked(lines: list[Line], *nodes: Node) -> Answer:
    """What the nodes, the topmost first, make of one object."""
    above = nodes if isinstance(nodes[-1], DataObjScan | ScanSet) else (*nodes, SCAN)
    return answer(chain(*above), {("a", 0): stored(lines)})


def values(found: Answer, name: str) -> list[Any]:
    """The values of one column, in order."""
    return [row.get(name) for row in found.rows]


def said(*texts: str) -> list[Line]:
    """Lines of one stream, a second apart, the last one first."""
    return [{"timestamp": len(texts) - i, "line": text} for i, text in enumerate(texts)]


def expand(text: str) -> Projection:
    return Projection((parse_expression(text),), all=True, expand=True)


def expression(text: str) -> Expression:
    return parse_expression(text)


def counted(lines: list[Line], **fields: Any) -> Answer:
    """A count per window; by default one at 10 s that is 5 s long."""
    settings = {"start": at(10), "end": at(10), "range_ns": 5 * 10**9, "without": True, **fields}
    return asked(lines, RangeAggregation("count", **settings))


@pytest.mark.parametrize(("second", "count"), [(5, 0), (5.000000001, 1), (10, 1), (10.5, 0)])
def test_a_window_is_open_at_its_start_and_closed_at_its_end(second: float, count: int) -> None:
    assert values(counted([{"timestamp": second}]), VALUE) == [1.0] * count


def test_a_row_is_counted_in_every_window_in_which_it_lies() -> None:
    found = counted([{"timestamp": 7}], start=at(0), end=at(20), step_ns=2 * 10**9)
    assert values(found, "timestamp_ns.builtin.timestamp") == [8 * 10**9, 10 * 10**9]


def test_no_text_and_the_empty_text_are_one_series_and_print_as_null() -> None:
    lines: list[Line] = [
        {"timestamp": 9, "labels": {"app": ""}, "stream_id": 1},
        {"timestamp": 9, "stream_id": 2},
        {"timestamp": 9, "labels": {"app": "x"}, "stream_id": 3},
    ]
    found = counted(lines, without=False, group_by=(column("label.app"),))
    assert [(row["utf8.label.app"], row[VALUE]) for row in found.to_json()] == [(None, 2), ("x", 1)]


def test_without_leaves_out_labels_and_metadata_of_that_name() -> None:
    lines = [
        {"timestamp": 9, "labels": {"x": "1", "y": "2"}, "metadata": {"x": "3", "z": "4"}},
    ]
    found = counted(lines, group_by=(column("label.x"),))
    assert sorted(found.rows[0])[2:] == ["utf8.label.y", "utf8.metadata.z"]


def test_more_series_than_allowed_are_an_error() -> None:
    lines: list[Line] = [
        {"timestamp": 6 + n, "labels": {"n": str(n)}, "stream_id": n} for n in range(3)
    ]
    assert len(counted(lines, max_query_series=3).rows) == 3
    with pytest.raises(CannotAnswer, match="series-limit: RangeAggregation: got 3 series"):
        counted(lines, max_query_series=2)


def test_only_listed_streams_are_read_and_without_a_list_all() -> None:
    lines: list[Line] = [{"timestamp": n, "stream_id": n, "line": str(n)} for n in (1, 2, 3)]
    for ids, expected in (((3, 1), ["1", "3"]), (None, ["1", "2", "3"]), ((), [])):
        found = asked(lines, DataObjScan(location="a", stream_ids=ids))
        assert values(found, "utf8.builtin.message") == expected


def test_projections_choose_the_columns_and_predicates_see_all_of_them() -> None:
    scan = DataObjScan(
        location="a",
        projections=(column("ambiguous.pod"), column("label.none")),
        predicates=(expression('EQ(builtin.message, "hit")'),),
    )
    lines = [{"timestamp": 1, "line": "hit", "labels": {"pod": "p0", "app": "x"}}]
    assert asked(lines, scan).rows == ({"utf8.label.pod": "p0"},)
    assert asked(said("miss"), scan).rows == ()


def test_a_set_of_scans_adds_its_predicates_to_those_of_its_targets() -> None:
    target = DataObjScan(location="a", predicates=(expression('MATCH_STR(builtin.message, "a")'),))
    both = ScanSet((target,), predicates=(expression('MATCH_STR(builtin.message, "b")'),))
    assert values(asked(said("ab", "a", "b"), both), "utf8.builtin.message") == ["ab"]


@pytest.mark.parametrize(
    ("predicate", "kept"),
    [
        ('EQ(metadata.x, "")', [False, True]),
        ('NEQ(metadata.x, "")', [True, False]),
        ('MATCH_STR(metadata.x, "")', [True, True]),
        ('NOT_MATCH_STR(metadata.x, "v")', [False, True]),
        ('MATCH_RE(metadata.x, "^$")', [False, True]),
        ('NOT_MATCH_RE(metadata.x, "[^v]|^$")', [True, False]),
        ("GT(generated.value, 1)", [False, False]),
        ("NEQ(generated.value, 1)", [False, False]),
        ('OR(GT(generated.value, 1), EQ(metadata.x, ""))', [False, True]),
    ],
)
def test_a_text_that_is_missing_reads_as_empty_and_a_number_compares_as_false(
    predicate: str, kept: list[bool]
) -> None:
    lines: list[Line] = [
        {"timestamp": 2, "line": "with", "metadata": {"x": "v"}},
        {"timestamp": 1, "line": "without"},
    ]
    found = values(asked(lines, Filter((expression(predicate),))), "utf8.builtin.message")
    assert ["with" in found, "without" in found] == kept


def test_a_pattern_matches_anywhere_and_follows_re2() -> None:
    found = asked(
        said("an error", "warn"), Filter((expression('MATCH_RE(builtin.message, "r{2}")'),))
    )
    assert values(found, "utf8.builtin.message") == ["an error"]
    for pattern in ("(", "(?=x)", r"(a)\1"):
        with pytest.raises(CannotAnswer, match="pattern: Filter"):
            asked(said("x"), Filter((expression(f'MATCH_RE(builtin.message, "{pattern}")'),)))


def test_of_columns_of_one_name_a_row_reads_the_first_that_it_has() -> None:
    lines = [
        {
            "timestamp": 3,
            "labels": {"x": "label"},
            "metadata": {"x": "metadata"},
            "line": "x=parsed",
        },
        {"timestamp": 2, "labels": {"x": "label"}, "metadata": {"x": "metadata"}},
        {"timestamp": 1, "labels": {"x": "label"}},
    ]
    for text in ("parsed", "metadata", "label"):
        found = asked(
            lines,
            Filter((expression(f'EQ(ambiguous.x, "{text}")'),)),
            expand("PARSE_LOGFMT(builtin.message, [], false, false)"),
        )
        assert len(found.rows) == 1


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("a=1 a=2", {"a": "1"}),
        ("a= b", {}),
        ('a="" b="x y"', {"b": "x y"}),
        (r'a="say \"hi\"\n" b="\u00e9\ud83d\ude00"', {"a": 'say "hi"\n', "b": "é😀"}),
        ("1a.b=2", {"_1a_b": "2"}),
        ("ключ=2", {"____": "2"}),
        ("a=1\tb=2", {"a": "1", "b": "2"}),
        ("", {}),
    ],
)
def test_logfmt_finds_pairs(line: str, pairs: dict[str, str]) -> None:
    assert parsed("PARSE_LOGFMT(builtin.message, [], false, false)", line) == pairs


@pytest.mark.parametrize("line", ["a=1 =2", 'a=1 b="open', 'a="x\\q"', "a=b=c", 'a"b=1', 'a=b"c'])
def test_a_line_that_is_no_logfmt_gets_an_error_and_no_pairs(line: str) -> None:
    assert parsed("PARSE_LOGFMT(builtin.message, [], false, false)", line) == {
        "error": "LogfmtParserErr"
    }


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        (
            '{"a": 1.50, "b": true, "c": null, "d": [1], "e": ""}',
            {"a": "1.50", "b": "true", "e": ""},
        ),
        ('{"a": {"b": {"1 c": "x"}}}', {"a_b__1_c": "x"}),
        ('{"a": 1, "a": 2, "b c": 1, "b_c": 2}', {"a": "1", "b_c": "1"}),
        ('{"a": 1e400}', {"a": "1e400"}),
        ("[]", {"error": "JSONParserErr"}),
        ('{"a": NaN}', {"error": "JSONParserErr"}),
        ("[" * 100_000, {"error": "JSONParserErr"}),
        ("plain", {"error": "JSONParserErr"}),
    ],
)
def test_json_finds_pairs(line: str, pairs: dict[str, str]) -> None:
    assert parsed("PARSE_JSON(builtin.message, [], false, false)", line) == pairs


@pytest.mark.parametrize(
    ("pattern", "line", "pairs"),
    [
        (r"(?P<verb>GET|POST) (?P<path>\S+)", "so GET /x", {"verb": "GET", "path": "/x"}),
        (r"(?P<verb>GET)", "POST", {}),
        (r"(GET|POST) (?P<path>[(\]]\S+)", "GET (x", {"path": "(x"}),
        (r"(?P<a>x)(?: (?P<b>y))?", "x", {"a": "x", "b": ""}),
        (r"\((?P<a>[^]()]*)\)\Q(\E", "(x)(", {"a": "x"}),
        (r"(GET)", "GET", {"error": "RegexpParseErr"}),
        (r"(?P<a>", "GET", {"error": "RegexpParseErr"}),
        (r"(?P<a>x)|(?P<a>y)", "x", {"error": "RegexpParseErr"}),
    ],
)
def test_a_regexp_finds_its_named_groups(pattern: str, line: str, pairs: dict[str, str]) -> None:
    assert parsed(f'PARSE_REGEXP(builtin.message, "{pattern}")', line) == pairs


def parsed(call: str, line: str) -> dict[str, Any]:
    """What a parser finds in a line; an error under ``error``."""
    [row] = asked([{"timestamp": 1, "line": line}], expand(call)).rows
    found = {name[12:]: text for name, text in row.items() if name.startswith("utf8.parsed.")}
    return {**found, **({"error": row[ERROR]} if ERROR in row else {})}


def test_requested_keys_are_the_only_ones_found_and_empty_values_stay_if_kept() -> None:
    assert parsed("PARSE_LOGFMT(builtin.message, [b, c], false, true)", "a=1 b= c=3") == {
        "b": "",
        "c": "3",
    }


@pytest.mark.parametrize(
    ("cast", "text", "value"),
    [
        ("CAST_FLOAT", "1.5", 1.5),
        ("CAST_FLOAT", "-.5e1", -5.0),
        ("CAST_FLOAT", "+Inf", float("inf")),
        ("CAST_FLOAT", "0x1p4", 16.0),
        ("CAST_FLOAT", "1_0", None),
        ("CAST_FLOAT", " 1", None),
        ("CAST_FLOAT", "1e400", None),
        ("CAST_FLOAT", "٣", None),
        ("CAST_FLOAT", "", None),
        ("CAST_DURATION", "1h2m3.5s", 3723.5),
        ("CAST_DURATION", "-250ms", -0.25),
        ("CAST_DURATION", "1.5us", 1.5e-06),
        ("CAST_DURATION", "0", 0.0),
        ("CAST_DURATION", "5", None),
        ("CAST_DURATION", "1d", None),
        ("CAST_DURATION", "300000h1000000h3000000h", None),
        ("CAST_BYTES", "1.5 KiB", 1536.0),
        ("CAST_BYTES", "2kB", 2000.0),
        ("CAST_BYTES", "1,024", 1024.0),
        ("CAST_BYTES", "-1", None),
        ("CAST_BYTES", "1 parsec", None),
    ],
)
def test_a_cast_gives_a_number_or_marks_the_row(cast: str, text: str, value: float | None) -> None:
    [row] = asked(said(text), expand(f"{cast}(builtin.message)")).rows
    assert row[VALUE] == (0.0 if value is None else value)
    assert row.get(ERROR) == ("SampleExtractionErr" if value is None else None)


@pytest.mark.parametrize(
    ("sum_", "value"),
    [
        ("DIV(generated.value, 0)", float("inf")),
        ("MOD(generated.value, 4)", 3.0),
        ("POW(generated.value, 2)", 49.0),
        ("SUB(1, generated.value)", -6.0),
        ("MUL(DIV(generated.value, 2), 2)", 7.0),
    ],
)
def test_arithmetic_replaces_the_value(sum_: str, value: float) -> None:
    [row] = asked(said("7"), expand(sum_), expand("CAST_FLOAT(builtin.message)")).rows
    assert row[VALUE] == value


def test_arithmetic_without_a_value_gives_none_and_an_aggregate_skips_it() -> None:
    lines = said("x")
    assert VALUE not in asked(lines, expand("ADD(generated.value, 1)")).rows[0]
    total = RangeAggregation("sum", at(5), at(5), 0, 5 * 10**9, without=True)
    assert asked(lines, total).rows == ()


def test_a_colliding_column_moves_where_the_other_one_has_a_value() -> None:
    lines = [
        {"timestamp": 2, "labels": {"x": "l"}, "metadata": {"x": "m", "y": "m"}},
        {"timestamp": 1, "metadata": {"x": "m"}},
    ]
    found = asked(lines, Compat("metadata", "metadata", ("label",)))
    assert values(found, "utf8.metadata.x") == [None, "m"]
    assert values(found, "utf8.metadata.x_extracted") == ["m", None]
    assert values(found, "utf8.metadata.y") == ["m", None]


def test_a_value_that_moves_replaces_what_stands_there_and_may_move_on_itself() -> None:
    lines: list[Line] = [
        {
            "timestamp": 1,
            "labels": {"x": "l", "x_extracted": "l"},
            "metadata": {"x": "m1", "x_extracted": "m2"},
        }
    ]
    [row] = asked(lines, Compat("metadata", "metadata", ("label",))).rows
    assert {name: text for name, text in row.items() if ".metadata." in name} == {
        "utf8.metadata.x_extracted": "m1",
        "utf8.metadata.x_extracted_extracted": "m2",
    }


def test_a_second_parse_replaces_what_it_finds_and_the_first_error_stays() -> None:
    again = expand("PARSE_LOGFMT(metadata.more, [], false, false)")
    first = expand('PARSE_REGEXP(builtin.message, "(?P<a>.)(?P<b>.)")')
    line: Line = {"timestamp": 1, "line": "xy", "metadata": {"more": "a=z"}}
    [row] = asked([line], again, first).rows
    assert (row["utf8.parsed.a"], row["utf8.parsed.b"]) == ("z", "y")
    for above, below, error in (
        (again, expand("PARSE_JSON(builtin.message, [], false, false)"), "JSONParserErr"),
        (expand('PARSE_REGEXP(builtin.message, "(")'), again, "RegexpParseErr"),
    ):
        [row] = asked([{**line, "metadata": {"more": "a=z"}}], above, below).rows
        assert (row[ERROR], row["utf8.parsed.a"]) == (error, "z")


@pytest.mark.parametrize(
    ("operation", "texts", "value"),
    [
        ("max", ["1", "NaN"], None),
        ("min", ["1", "NaN"], None),
        ("sum", ["1", "NaN"], None),
        ("max", ["-0", "-0"], "0.0"),
        ("bytes", ["é", ""], "2.0"),
    ],
)
def test_an_aggregate_of_nan_is_nan_and_a_zero_is_plus_zero(
    operation: str, texts: list[str], value: str | None
) -> None:
    window = RangeAggregation(operation, at(5), at(5), 0, 5 * 10**9)
    [row] = asked(said(*texts), window, expand("CAST_FLOAT(builtin.message)")).rows
    assert repr(row[VALUE]) == (value or "nan")


def test_a_step_of_0_is_one_window_at_the_start_wherever_the_end_is() -> None:
    for end in (at(3), None):
        assert values(counted([{"timestamp": 9}], end=end, step_ns=0), VALUE) == [1.0]


def test_a_row_without_a_time_lies_in_no_window_and_at_no_instant() -> None:
    timeless = Projection((column("builtin.message"),))
    window = RangeAggregation("count", at(5), at(5), 0, 9 * 10**9)
    for node in (window, VectorAggregation("count")):
        assert asked(said("a"), node, timeless).rows == ()


def test_a_duration_meets_seconds_and_a_size_meets_bytes() -> None:
    for text, cast in (("GT(generated.value, 500ms)", "0.6"), ("LT(generated.value, 2kB)", "1999")):
        kept = asked(
            said(cast, "1e3" if "GT" in text else "2000"),
            Filter((expression(text), expression("LT(generated.value, 2kB)"))),
            expand("CAST_FLOAT(builtin.message)"),
        )
        assert len(kept.rows) == 1 + ("GT" in text)


def test_nan_is_below_every_number() -> None:
    for ascending, first in ((True, "NaN"), (False, "1")):
        top = TopK(column("generated.value"), ascending=ascending, k=1)
        found = asked(said("1", "NaN", "-Inf"), top, expand("CAST_FLOAT(builtin.message)"))
        assert values(found, "utf8.builtin.message") == [first]


def test_an_answer_says_whether_it_is_settled_which_rows_there_are() -> None:
    keep = Filter((expression('EQ(builtin.message, "a")'),))
    assert asked(said("a", "b"), keep, Limit(fetch=2)).determined
    assert not asked(said("a", "b"), keep, Limit(fetch=1)).determined


def test_drop_takes_every_column_of_that_name_and_a_list_keeps_the_listed_ones() -> None:
    lines = [{"timestamp": 2, "labels": {"x": "l", "y": "l"}, "metadata": {"x": "m"}}]
    for node, expected in (
        (Projection((column("ambiguous.x"),), all=True, drop=True), ["utf8.label.y"]),
        (
            Projection((column("label.x"),), all=True, drop=True),
            ["utf8.label.y", "utf8.metadata.x"],
        ),
    ):
        assert sorted(asked(lines, node).rows[0])[2:] == expected
    kept = asked(lines, Projection((column("ambiguous.x"),)))
    assert sorted(kept.rows[0]) == ["utf8.label.x", "utf8.metadata.x"]


def test_rows_that_tie_for_the_last_place_are_interchangeable() -> None:
    lines = [{"timestamp": time, "line": text} for time, text in ((3, "a"), (2, "b"), (2, "c"))]
    found = asked(lines, TopK(k=2))
    rows = [{"timestamp_ns.builtin.timestamp": f"1970-01-01T00:00:0{3 - n}Z"} for n in (0, 1, 1)]
    a, b, c = [{**row, "utf8.builtin.message": text} for row, text in zip(rows, "abc", strict=True)]
    for good in ([a, b], [c, a]):
        assert same_answer(found, Answer.from_json(good)) is None
    for bad in ([b, c], [a], [a, b, c], [a, a]):
        assert same_answer(found, Answer.from_json(bad)) is not None


def test_a_topk_of_a_topk_gives_the_same() -> None:
    lines = [{"timestamp": time, "line": text} for time, text in ((3, "a"), (2, "b"), (2, "c"))]
    once, twice = asked(lines, TopK(k=2)), asked(lines, TopK(k=2), TopK(k=2))
    assert (once.rows, once.low, once.high) == (twice.rows, twice.low, twice.high)
    assert sorted(map(str, once.pool)) == sorted(map(str, twice.pool))
    assert values(asked(lines, TopK(k=1), TopK(k=2)), "utf8.builtin.message") == ["a"]


@pytest.mark.parametrize(
    ("ascending", "nulls_first", "first"),
    [(True, True, None), (True, False, "1"), (False, True, "2"), (False, False, None)],
)
def test_a_missing_key_is_smaller_than_all_or_larger(
    ascending: bool, nulls_first: bool, first: str | None
) -> None:
    lines = [{"timestamp": 1, "metadata": {"x": x}} for x in ("1", "2")]
    top = TopK(column("metadata.x"), ascending, nulls_first, k=1)
    assert values(asked([*lines, {"timestamp": 1}], top), "utf8.metadata.x") == [first]


def test_any_rows_will_do_where_rows_without_order_are_limited() -> None:
    found = asked(said("a", "b", "b"), Limit(skip=1, fetch=1))
    assert (found.rows, len(found.pool), found.low, found.high) == ((), 3, 1, 1)
    assert len(asked(said("a", "b"), Limit(0, 5)).rows) == 2
    assert asked(said("a", "b"), Limit(2, 5)).rows == asked(said("a"), Limit(0, 0)).rows == ()


def test_rows_filtered_after_a_limit_are_bounded_in_number() -> None:
    keep = Filter((expression('EQ(builtin.message, "a")'),))
    found = asked(said("a", "a", "b"), keep, Limit(fetch=2))
    assert (len(found.pool), found.low, found.high) == (2, 1, 2)


def test_what_is_undetermined_is_not_aggregated() -> None:
    total = RangeAggregation("count", at(5), at(5), 0, 9 * 10**9)
    assert len(asked(said("a", "b"), total, Limit(fetch=2)).rows) == 1
    with pytest.raises(CannotAnswer, match="undetermined: RangeAggregation"):
        asked(said("a", "b"), total, Limit(fetch=1))


def test_an_average_of_series_divides_by_those_that_are_there() -> None:
    lines: list[Line] = [
        {"timestamp": 4, "labels": {"n": n}, "stream_id": i} for i, n in enumerate("aab")
    ]
    found = asked(
        lines,
        VectorAggregation("avg"),
        RangeAggregation("count", at(5), at(5), 0, 5 * 10**9, without=True),
    )
    assert values(found, VALUE) == [1.5]


@pytest.mark.parametrize("node", [Join(), PointersScan(), ScanSet((PointersScan(),))])
def test_what_has_no_data_here_is_refused_by_name(node: Node) -> None:
    name = "Join" if isinstance(node, Join) else "PointersScan"
    with pytest.raises(CannotAnswer, match=f"unsupported: .*: {name} has no answer here"):
        answer(chain(TopK(), node), {})


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([VectorAggregation("bytes")], "unsupported: VectorAggregation: bytes"),
        (
            [Filter((expression("GT(builtin.message, 1)"),))],
            "types: Filter: got GT of text and num",
        ),
        ([Filter((expression("LT(builtin.timestamp, 5)"),))], "types: Filter"),
        (
            [Filter((expression("builtin.message"),))],
            "types: Filter: builtin.message is no predicate",
        ),
        ([Filter((expression('MATCH_PATTERN(label.x, "y")'),))], "unsupported: Filter: MATCH_PATT"),
        ([Projection(all=True, drop=True)], "arity: Projection: got no expression"),
        ([expand('EQ(label.x, "")')], "types: Projection"),
        ([TopK(), DataObjScan(location="b")], "no-object: DataObjScan: there is no b section 0"),
    ],
)
def test_a_plan_without_an_answer_is_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(CannotAnswer) as refused:
        asked(said("x"), *nodes)
    assert str(refused.value).startswith(message)


def test_a_node_of_one_input_refuses_two_and_batching_refuses_none() -> None:
    plan = chain(Filter(), SCAN)
    plan.add_edge(plan.root(), plan.add(DataObjScan(location="a")))
    with pytest.raises(CannotAnswer, match="arity: Filter: got 2 inputs, expected one"):
        answer(plan, {})
    with pytest.raises(CannotAnswer, match="arity: Batching: got 0 inputs"):
        answer(chain(Batching(5)), {})
