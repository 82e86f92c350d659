"""Parse functions over arbitrary text: two implementations, one answer, however rows are cut.

`WINDTUNNEL_EXAMPLES=20000` looks at more lines than a run of all tests has time for.
"""

import json
import os
from random import Random
from typing import Any, Final

import pyarrow as pa
import pytest
from executed import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import chain

from properties.oracle import Answer, answer, same_answer
from workflow.expressions import Call, Literal, parse_column
from workflow.plan import DataObjScan, Projection

MESSAGE: Final = parse_column("builtin.message")
PARSED: Final = "utf8.parsed."
ERROR: Final = "utf8.generated.__error__"
MANY: Final = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=int(os.environ.get("WINDTUNNEL_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)

any_text: Final = st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)  # Arrow has no half


def made_of(*pieces: str) -> st.SearchStrategy[str]:
    """Texts of these pieces, and of anything."""
    piece = st.one_of(*[st.sampled_from(pieces)] * 5, st.characters(exclude_categories=["Cs"]))
    return st.lists(piece, max_size=14).map("".join)


# What parts, quotes, escapes or ends; what is no letter, no text, or only half of one.
ODD: Final = (
    " ", "\t", "\n", "\x00", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufffd", "😀",
    "\\", "\\\\", '\\"', "\\'", "\\/", "\\n", "\\u", "\\u0000", "\\u00e9", "\\ud800", "\\udc00",
    "\\ud83d\\ude00", "\\ufffd", "\\x", '"', "=", "a", "b", "_", "9",
)  # fmt: skip
LOGFMT: Final = (*ODD, "a=", "b=", 'a="', '" ', "c=1", "a.b", "level=warn", "a=2 ")
JSON: Final = (
    *ODD, "{", "}", "[", "]", ":", ",", '{"a":', '"a":', '"b"', "1", "-0", "1e999", "9" * 400,
    "1.50", "01", "true", "false", "null", "NaN", "-Infinity", '{"a":{"b":',
)  # fmt: skip
PATTERN: Final = (
    "(?P<a>", "(?P<b>", ")", "(", "(?:", "(?i)", "(?<n>", "[", "]", "[^", "[]", "[:alpha:]",
    "[[:alpha:](]", "[:", ":]", "-", "^", "$", "|", ".", "*", "+", "?", "{2}", "\\", "\\(", "\\[",
    "\\Q", "\\E", "\\d", "\\pL", "\\b", "a", "b", "=", "\x00", "\ufffd",
)  # fmt: skip

keys: Final = st.text(st.sampled_from('ab_ .-9é\ufffd\ud800\xa0\x1f"\\'), max_size=4)
leaves: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(allow_nan=True),
    st.text(st.sampled_from('ab "\\\x00\x1f\x7f\ud800\udc00\ufffd\u2028'), max_size=5),
)


def _spelled(value: Any, escaped: bool) -> str:
    """JSON, with a key as often as it comes."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        pairs = (f"{_spelled(key, escaped)}: {_spelled(each, escaped)}" for key, each in value)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_spelled(each, escaped) for each in value) + "]"
    text = json.dumps(value, ensure_ascii=escaped)
    return text if escaped else json.dumps(value) if _half(text) else text


def _half(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.tuples(keys, inner), min_size=1, max_size=4)


spelled: Final = st.builds(
    _spelled,
    _objects(st.recursive(leaves, lambda some: _objects(some) | st.lists(some, max_size=3))),
    st.booleans(),
)
deep: Final = st.builds(
    lambda depth, opened, closed: opened * depth + "1" + closed * depth,
    st.integers(254, 258) | st.sampled_from((1, 1_100, 60_000)),
    st.sampled_from(('{"a":', '{"":', '{"a":1,"b":', '{"a":"]","b":')),
    st.sampled_from(("}", "}", ', "c": 2}', "]")),
)


def agree(call: Call, lines: list[str], seed: int) -> Answer:
    """The rows that both give, in one batch, in some, and one by one."""
    stored = pa.RecordBatch.from_pydict(
        {
            "stream_id": pa.array([1] * len(lines), pa.int64()),
            "timestamp": pa.array(range(len(lines), 0, -1), pa.timestamp("ns", "UTC")),
            "message": pa.array(lines, pa.string()),
        }
    )
    plan = chain(Projection((call,), all=True, expand=True), DataObjScan(location="a"))
    right = answer(plan, {("a", 0): stored})
    for random in (None, Random(seed)):
        seen = Answer.from_batches(run(plan, {("a", 0): stored}, random))
        assert (difference := same_answer(right, seen)) is None, difference
    apart = [
        batch
        for place in range(len(lines))
        for batch in run(plan, {("a", 0): stored.slice(place, 1)})
    ]
    assert (difference := same_answer(right, Answer.from_batches(apart))) is None, difference
    return right


def parser(name: str, wanted: list[str], strict: bool, keep_empty: bool) -> Call:
    return Call(name, (MESSAGE, Literal(tuple(wanted)), Literal(strict), Literal(keep_empty)))


settings_of_a_parse: Final = (
    st.lists(st.sampled_from(("a", "b", "a_b", "_", "zz")), max_size=2),
    st.booleans(),
    st.booleans(),
)


@MANY
@given(
    st.lists(any_text | made_of(*LOGFMT), min_size=1, max_size=5),
    *settings_of_a_parse,
    st.integers(0, 9),
)
def test_logfmt(lines: list[str], wanted: list[str], strict: bool, keep: bool, seed: int) -> None:
    agree(parser("PARSE_LOGFMT", wanted, strict, keep), lines, seed)


@MANY
@given(
    st.lists(any_text | made_of(*JSON) | spelled | spelled | deep, min_size=1, max_size=5),
    *settings_of_a_parse,
    st.integers(0, 9),
)
def test_json(lines: list[str], wanted: list[str], strict: bool, keep: bool, seed: int) -> None:
    agree(parser("PARSE_JSON", wanted, strict, keep), lines, seed)


@MANY
@given(
    made_of(*PATTERN),
    st.lists(any_text | made_of("a", "b", "=", "(", ")", "\n", "]"), min_size=1, max_size=5),
    st.integers(0, 9),
)
def test_regular_expressions(pattern: str, lines: list[str], seed: int) -> None:
    agree(Call("PARSE_REGEXP", (MESSAGE, Literal(pattern))), lines, seed)


def one(name: str, line: str) -> dict[str, Any]:
    """What both find in a line: values by key, or an error."""
    [row] = agree(parser(name, [], False, False), [line], 0).rows
    return {
        column.removeprefix(PARSED): value
        for column, value in row.items()
        if column.startswith((PARSED, ERROR))
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a\ufffd=1 b=2", {ERROR: "LogfmtParserErr"}),
        ("a=\ufffd", {"a": "\ufffd"}),
        (r'a="x\ud800y"', {"a": "x\ufffdy"}),
        (r'a="\ud83d\ude00"', {"a": "😀"}),
        (r"""a="\\'" b="\'" """, {"a": r"\'", "b": "'"}),
        ('a="\x1f"', {"a": "\x1f"}),
        ('a="\\n\x1f"', {ERROR: "LogfmtParserErr"}),
    ],
)
def test_letters_that_logfmt_takes_and_refuses(line: str, expected: dict[str, str]) -> None:
    assert one("PARSE_LOGFMT", line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r'{"a": "x\ud800", "b": "y"}', {"a": "", "b": "y"}),
        ('{"a": "x\ufffdy"}', {"a": "x y"}),
        ('\ufeff{"a": 1}', {ERROR: "JSONParserErr"}),
        ('{"a": ' + "9" * 5_000 + "}", {"a": "9" * 5_000}),
        (r'{"a": "\u0000"}', {"a": "\x00"}),
    ],
)
def test_letters_that_json_takes_and_refuses(line: str, expected: dict[str, str]) -> None:
    assert one("PARSE_JSON", line) == expected


@pytest.mark.parametrize("brackets", ["{}", "[]"])
def test_json_may_be_256_values_deep_wherever_it_is_parsed(brackets: str) -> None:
    opened = '{"a":' if brackets == "{}" else '{"a":1,"b":['
    inner = "[" if brackets == "[]" else opened

    def nested(depth: int) -> str:
        closing = brackets[1] * (depth - 1) + "}"
        return opened + inner * (depth - (2 if brackets == "[]" else 1)) + "1" + closing

    def deeper(frames: int) -> tuple[bool, bool]:
        if frames:
            return deeper(frames - 1)
        return tuple(ERROR in one("PARSE_JSON", nested(depth)) for depth in (256, 257))  # type: ignore[return-value]

    assert deeper(0) == (False, True)
    assert deeper(200) == (False, True)


@pytest.mark.parametrize(
    ("pattern", "before_x"),
    [("[[:alpha:](](?P<a>x)", "(b"), ("[[:](?P<a>x)", ":["), ("[](](?P<a>x)(y)?", "(]")],
)
def test_a_bracket_in_a_class_of_letters_groups_nothing(pattern: str, before_x: str) -> None:
    call = Call("PARSE_REGEXP", (MESSAGE, Literal(pattern)))
    rows = agree(call, [f"{letter}x" for letter in "(:[]b"], 0).rows
    found = [letter for letter, row in zip("(:[]b", rows, strict=True) if f"{PARSED}a" in row]
    assert sorted(found) == sorted(before_x)


def test_long_lines_are_read_in_one_pass() -> None:
    pairs = one("PARSE_LOGFMT", "a=1 " * 60_000 + 'b="' + '\\"' * 60_000 + '"')
    assert pairs == {"a": "1", "b": '"' * 60_000}
