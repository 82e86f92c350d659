"""Lines become columns, texts become numbers."""

import math

import pytest
from executed import Row, through
from hypothesis import given
from hypothesis import strategies as st

from workflow import PlanError
from workflow.execute.casts import parse_byte_size, seconds
from workflow.execute.parse import clean_key, logfmt_pairs
from workflow.expressions import parse_expression
from workflow.plan import Filter, Projection

LINE = "utf8.builtin.message"
ERROR = "utf8.generated.__error__"
DETAILS = "utf8.generated.__error_details__"
VALUE = "float64.generated.value"


def expanded(expression: str, *rows: Row) -> list[Row]:
    node = Projection(
        expressions=(parse_expression(expression, quotes=False),), all=True, expand=True
    )
    return through(node, rows)


def parsed(expression: str, *lines: str) -> list[Row]:
    """Parsed values by key; an error under its name."""
    found = expanded(expression, *({LINE: line} for line in lines))
    return [
        {name.split(".", 2)[2]: value for name, value in row.items() if name not in (LINE, DETAILS)}
        for row in found
    ]


LOGFMT = "PARSE_LOGFMT(builtin.message, [], false, false)"
JSON = "PARSE_JSON(builtin.message, [], false, false)"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=1 b=two", {"a": "1", "b": "two"}),
        ('msg="request 2" a="" b', {"msg": "request 2"}),
        (r'msg="say \"hi\" \u00e9\n" a="b\\"', {"msg": 'say "hi" é\n', "a": "b\\"}),
        ("a=first a=second", {"a": "first"}),
        ("a= a=second", {"a": "second"}),
        ("9x=1 b-c=2 d.e=3", {"_9x": "1", "b_c": "2", "d_e": "3"}),
        ("  a=1\tb=2  ", {"a": "1", "b": "2"}),
        ('a="1"b=2', {"a": "1", "b": "2"}),
        ("", {}),
        ("just words", {}),
        ("a=1 b=2=3", {"__error__": "LogfmtParserErr"}),
        ("a=1 =2", {"__error__": "LogfmtParserErr"}),
        ('a=1 b="open', {"__error__": "LogfmtParserErr"}),
        ('a=1 b"c', {"__error__": "LogfmtParserErr"}),
        (r'a="\x"', {"__error__": "LogfmtParserErr"}),
        ("é=1", {"_": "1"}),
    ],
)
def test_logfmt(line: str, expected: Row) -> None:
    assert parsed(LOGFMT, line) == [expected]


@given(st.lists(st.sampled_from(["a", "é", "=", '"', " ", "\t", "b=", '="x y"', " k=v ", "\x7f"])))
def test_a_pair_with_an_escape_behind_them_changes_no_pairs(parts: list[str]) -> None:
    line = "".join(parts)
    try:
        longer = logfmt_pairs(line + r' z="\n"')  # lines with an escape are read another way
    except ValueError:
        return
    assert [*logfmt_pairs(line), ("z", "\n")] == longer


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{"a": "x", "b": 1.50, "c": true, "d": false}',
            {"a": "x", "b": "1.50", "c": "true", "d": "false"},
        ),
        ('{"a": {"b": {"c": 1}}, "d": 2}', {"a_b_c": "1", "d": "2"}),
        ('{"a": [1], "b": null, "c": {}, "d": ""}', {"d": ""}),
        ('{"a": 1, "a": 2}', {"a": "1"}),
        ('{"a": {"b": 1}, "a_b": 2}', {"a_b": "1"}),
        ('{"9": 1, "x-y": {"8": 2}}', {"_9": "1", "x_y__8": "2"}),
        (r'{"a": "\u00e9\ud83d\ude00", "b": "x\ud800"}', {"a": "é😀", "b": ""}),
        ('{"a": 12345678901234567890}', {"a": "12345678901234567890"}),
        ('{"": 1, "a": {"": 2}}', {"a": "2"}),
        ("[1]", {"__error__": "JSONParserErr"}),
        ("1", {"__error__": "JSONParserErr"}),
        ("", {"__error__": "JSONParserErr"}),
        ('{"a": NaN}', {"__error__": "JSONParserErr"}),
        ('{"a": 1', {"__error__": "JSONParserErr"}),
        ('{"a": ' + "[" * 100_000, {"__error__": "JSONParserErr"}),
    ],
)
def test_json(line: str, expected: Row) -> None:
    assert parsed(JSON, line) == [expected]


def test_only_requested_keys_become_columns_and_only_where_they_occur() -> None:
    assert parsed("PARSE_LOGFMT(builtin.message, [a, z], false, false)", "a=1 b=2", "b=3") == [
        {"a": "1"},
        {},
    ]
    assert parsed(
        "PARSE_JSON(builtin.message, [a_b], false, false)", '{"a": {"b": 1, "c": 2}}'
    ) == [{"a_b": "1"}]


def test_empty_values_are_kept_on_demand() -> None:
    assert parsed("PARSE_LOGFMT(builtin.message, [], false, true)", 'a= b="" c') == [
        {"a": "", "b": "", "c": ""}
    ]


def test_a_bad_line_stays_beside_good_ones() -> None:
    rows = expanded(LOGFMT, {LINE: "a=1"}, {LINE: "a=1=2"}, {"utf8.label.x": "no line"})
    assert [row.get("utf8.parsed.a") for row in rows] == ["1", None, None]
    assert [ERROR in row for row in rows] == [False, True, False]
    assert rows[1][DETAILS] == "unexpected '=' at 4"


def test_a_regular_expression_fills_its_named_groups() -> None:
    pattern = r"(?P<verb>GET|POST) (?P<path>\S+)( (?P<rest>.*))?"
    assert parsed(f'PARSE_REGEXP(builtin.message, "{pattern}")', "x GET /a", "PUT /b") == [
        {"verb": "GET", "path": "/a", "rest": ""},
        {},
    ]


@pytest.mark.parametrize(
    "pattern", [r"\((?P<a>x)\)(y|z)", r"[(](?P<a>x)[])](y)", r"\Q(\E(?P<a>x)\)(?:y)([^](]|y)?"]
)
def test_groups_without_a_name_capture_nothing(pattern: str) -> None:
    assert parsed(f'PARSE_REGEXP(builtin.message, "{pattern}")', "(x)y") == [{"a": "x"}]


@pytest.mark.parametrize("pattern", ["(?P<a>", "no group at all", "(unnamed)", "(?P<a>x)(?P<a>y)"])
def test_a_useless_pattern_flags_every_row(pattern: str) -> None:
    assert parsed(f'PARSE_REGEXP(builtin.message, "{pattern}")', "x", "y") == [
        {"__error__": "RegexpParseErr"},
        {"__error__": "RegexpParseErr"},
    ]


def test_a_second_parse_replaces_values_and_keeps_what_it_does_not_find() -> None:
    first = Projection(expressions=(parse_expression(LOGFMT),), expand=True)
    second = Projection(
        expressions=(parse_expression('PARSE_REGEXP(builtin.message, "b=(?P<b>.)")'),), expand=True
    )
    [row] = through([second, first], [{LINE: "a=1 b=23"}])
    assert row == {LINE: "a=1 b=23", "utf8.parsed.a": "1", "utf8.parsed.b": "2"}


def test_the_first_error_of_a_row_stays() -> None:
    first = Projection(expressions=(parse_expression(JSON),), expand=True)
    second = Projection(expressions=(parse_expression("CAST_FLOAT(parsed.a)"),), expand=True)
    rows = through([second, first], [{LINE: "no"}, {LINE: '{"a": "no"}'}, {LINE: '{"a": 1}'}])
    assert [row.get(ERROR) for row in rows] == ["JSONParserErr", "SampleExtractionErr", None]
    assert [row[VALUE] for row in rows] == [0, 0, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12.0),
        ("-1.5e3", -1500.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("0x1p-2", 0.25),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("1e999", None),
        ("429ms", None),
        (" 1", None),
        ("1\n", None),
        ("1_0", None),
        ("", None),
        (None, None),
    ],
)
def test_a_text_that_is_no_number_gives_0_and_an_error(
    text: str | None, expected: float | None
) -> None:
    [row] = expanded("CAST_FLOAT(parsed.x)", {"utf8.parsed.x": text, LINE: "line"})
    assert row[VALUE] == (expected or 0)
    assert row.get(ERROR) == (None if expected is not None else "SampleExtractionErr")


def test_nan_is_a_number() -> None:
    [row] = expanded("CAST_FLOAT(parsed.x)", {"utf8.parsed.x": "nan"})
    assert math.isnan(row[VALUE])
    assert ERROR not in row


def test_rows_beside_a_failed_one_have_no_error() -> None:
    cast = Projection(expressions=(parse_expression("CAST_DURATION(parsed.x)"),), expand=True)
    filter_ = Filter(predicates=(parse_expression('EQ(generated.__error__, "")'),))
    rows = [{"utf8.parsed.x": "897ms"}, {"utf8.parsed.x": "fast"}, {LINE: "nothing"}]
    expected = [{"utf8.parsed.x": "897ms", VALUE: 0.897}]
    assert through([filter_, cast], rows) == expected
    assert through([filter_, cast], *([row] for row in rows)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h15m30.918s", 4530.918),
        ("-1.5h", -5400.0),
        ("+5µs", 5e-06),
        ("1.s", 1.0),
        (".5s", 0.5),
        ("13.543642159s", 13.543642159000001),  # whole seconds and the rest are divided apart
        ("0", 0.0),
        ("2562047h47m16.854775807s", 9223372036.854776),
        ("2562047h47m16.854775808s", None),
        ("", None),
        ("-", None),
        ("5", None),
        ("1d", None),
        ("1h2", None),
        (".s", None),
        ("1..5s", None),
        ("1 s", None),
    ],
)
def test_durations(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12.0),
        ("1,024 B", 1024.0),
        ("1.5 MiB", 1572864.0),
        ("2kb", 2000.0),
        ("4.35 kB", 4350.0),
        ("16EiB", None),
        ("B", None),
        ("1.2.3", None),
        ("1 parsec", None),
        ("-1", None),
    ],
)
def test_sizes(text: str, expected: float | None) -> None:
    assert parse_byte_size(text) == expected


@pytest.mark.parametrize(
    ("key", "cleaned"), [("a.b", "a_b"), (" x ", "x"), ("1", "_1"), ("é", "_"), ("", "")]
)
def test_keys_become_names(key: str, cleaned: str) -> None:
    assert clean_key(key) == cleaned


@pytest.mark.parametrize(
    "expression",
    [
        "PARSE_LOGFMT(builtin.message, [], 1, false)",
        'PARSE_REGEXP("text", "x")',
        'EQ(label.a, "x")',
        "CAST_FLOAT(CAST_FLOAT(label.a))",
        "label.a",
    ],
)
def test_what_gives_no_column_is_not_expanded(expression: str) -> None:
    with pytest.raises(PlanError, match=r"node 0 \(Projection\)"):
        expanded(expression)
