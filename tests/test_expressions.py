"""Printed expressions read back, and everything else is refused with its place."""

import math
import pickle
import re
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workflow.expression_reader import ARITY, MAX_DEPTH
from workflow.expressions import (
    ByteSize,
    Call,
    Column,
    ColumnType,
    Duration,
    Expression,
    ExpressionError,
    Literal,
    parse_column,
    parse_expression,
    parse_plain,
    parse_words,
)
from workflow.times import Timestamp

APP = Column(ColumnType.LABEL, "app")
FIRST_NS, LAST_NS = (
    Timestamp.parse(text).ns for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z")
)


def readings(text: str) -> list[Expression]:
    """Every reading of a short text: the slow oracle, which tries all ends of everything."""
    return [value for value, end in _values(text, 0) if end == len(text)]


def _values(text: str, at: int) -> Iterator[tuple[Expression, int]]:
    rest = range(at + 1, len(text) + 1)
    if text[at : at + 1] == '"':
        for end in rest:
            if end - at > 1 and text[end - 1] == '"':
                yield Literal(text[at + 1 : end - 1]), end
    elif text[at : at + 1] == "[":
        for end in rest:
            if text[end - 1] == "]" and "[" not in text[at + 1 : end] and end - at > 1:
                try:
                    yield Literal(parse_words(text[at + 1 : end - 1])), end
                except ExpressionError:
                    continue
    elif match := re.compile(r"([A-Z][A-Z0-9_]*)\(").match(text, at):
        arity = ARITY.get(match[1])
        if arity is None and text.startswith(")", match.end()):
            yield Call(match[1], ()), match.end() + 1
        for args, end in _arguments(text, match.end()):
            if arity in {None, len(args)}:
                yield Call(match[1], args), end
    else:
        for end in rest:
            if not re.search(r'[,()\[\]"]', text[at:end]):
                try:
                    yield parse_plain(text[at:end]), end
                except ExpressionError:
                    continue


def _arguments(text: str, at: int) -> Iterator[tuple[tuple[Expression, ...], int]]:
    for value, end in _values(text, at):
        if text.startswith(")", end):
            yield (value,), end + 1
        if text.startswith(", ", end):
            for others, last in _arguments(text, end + 2):
                yield (value, *others), last


NAMES = st.text(
    st.characters(exclude_characters=',()[]"\n', exclude_categories=["Cs"]), min_size=1
).filter(lambda name: name == name.strip())
COLUMNS = st.builds(Column, st.sampled_from(ColumnType), NAMES)
# A whole number between these prints as an int does, but may have more digits than a float holds.
FLOATS = st.floats(allow_nan=False).filter(
    lambda x: not (x.is_integer() and 2**53 <= abs(x) < 2**63)
)
PLAIN_LITERALS = st.builds(
    Literal,
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | FLOATS
    | st.builds(Timestamp, st.integers(FIRST_NS, LAST_NS))
    | st.builds(Duration, st.integers(-(2**63), 2**63 - 1))
    | st.builds(ByteSize, st.from_regex(r"[0-9]{1,3}(\.[0-9])? ([kMGTPE]i?)?B", fullmatch=True))
    | st.lists(NAMES, max_size=3).map(tuple),
)
PLAIN_TEXTS = st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]))
NASTY_TEXTS = st.lists(
    st.sampled_from(['"', ", ", ")", "(", "EQ(", "1", "\\", " predicate[1]=", "label.a"])
).map("".join)


def expressions(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Expression]:
    """Expressions with text literals from `texts`."""

    def calls(args: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        known = st.sampled_from(list(ARITY)).flatmap(
            lambda name: st.builds(
                Call, st.just(name), st.tuples(*[args for _ in range(ARITY[name])])
            )
        )
        unknown = st.builds(
            Call,
            st.sampled_from(["IN", "NOW", "F2", "A_B"]),
            st.lists(args, max_size=3).map(tuple),
        )
        return known | unknown

    return st.recursive(COLUMNS | PLAIN_LITERALS | st.builds(Literal, texts), calls, max_leaves=8)


@given(expressions(PLAIN_TEXTS))
def test_what_prints_reads_back_where_no_text_holds_a_quote(expression: Expression) -> None:
    text = str(expression)
    again = parse_expression(text, quotes=False)
    assert again == expression
    assert str(again) == text


@given(expressions(NASTY_TEXTS))
def test_what_prints_reads_back_unless_it_has_two_readings(expression: Expression) -> None:
    text = str(expression)
    try:
        again = parse_expression(text)
    except ExpressionError as error:
        assert error.rule == "ambiguous-text"  # noqa: PT017 (either is right)
        return
    assert again == expression


TOKENS = ['"', '"', '"', ", ", ")", "EQ(", "NOT(", "IN(", "label.a", "1", "x", "[", "]", " "]


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_a_text_reads_as_the_slow_oracle_says(text: str) -> None:
    expected = readings(text)
    if len(expected) == 1:
        assert parse_expression(text) == expected[0]
        return
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text)
    assert (refused.value.rule == "ambiguous-text") == bool(expected)


@given(expressions(NASTY_TEXTS))
def test_a_printed_expression_has_as_many_readings_as_the_slow_oracle_says(
    expression: Expression,
) -> None:
    text = str(expression)
    assume(len(text) < 60)
    if readings(text) == [expression]:
        assert parse_expression(text) == expression
    else:
        with pytest.raises(ExpressionError, match=r"^ambiguous-text"):
            parse_expression(text)


@given(
    st.text() | st.lists(st.sampled_from([*TOKENS, *ARITY, "2025-", "(", "9", "."])).map("".join)
)
def test_any_other_text_is_refused_with_a_place_in_it(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ExpressionError as error:
        assert 0 <= error.position <= len(text)  # noqa: PT017 (either is right)
    else:
        str(expression)


def test_arity_tells_where_a_text_ends() -> None:
    text = 'AND(EQ(label.app, "a"), EQ(label.app, "b"))'
    assert parse_expression(text) == Call(
        "AND", (Call("EQ", (APP, Literal("a"))), Call("EQ", (APP, Literal("b"))))
    )
    assert parse_expression('EQ(label.app, "a", "b")') == Call("EQ", (APP, Literal('a", "b')))


def test_a_text_holds_quotes_commas_brackets_and_backslashes() -> None:
    inner = '(?P<verb>GET|POST), "(\\S+)", \\'
    expression = Call("MATCH_RE", (APP, Literal(inner)))
    assert parse_expression(f'MATCH_RE(label.app, "{inner}")') == expression


def test_many_texts_in_deep_brackets_are_told_apart_quickly() -> None:
    expression: Expression = Call("EQ", (APP, Literal("v0")))
    for i in range(1, MAX_DEPTH):
        expression = Call("OR", (expression, Call("EQ", (APP, Literal(f"v{i}")))))
    assert parse_expression(str(expression)) == expression


def test_a_list_of_very_many_texts_is_refused_at_once() -> None:
    with pytest.raises(ExpressionError, match=r"^ambiguous-text"):
        parse_expression("IN(" + ", ".join(['"x"'] * 2_000) + ")")


@pytest.mark.parametrize("copies", [MAX_DEPTH, MAX_DEPTH + 1, 100_000])
def test_depth_is_bounded_without_deep_recursion(copies: int) -> None:
    text = "NOT(" * copies + "true" + ")" * copies
    if copies > MAX_DEPTH:
        with pytest.raises(ExpressionError, match=r"^too-deep") as refused:
            parse_expression(text)
        assert refused.value.position == 4 * MAX_DEPTH
        return
    expression = parse_expression(text)
    assert str(expression) == text
    assert pickle.loads(pickle.dumps(expression)) == expression  # noqa: S301 (our own)
    assert hash(expression) == hash(parse_expression(text))


def test_numbers_that_are_no_numbers_print_as_the_reference_does() -> None:
    assert [str(Literal(x)) for x in (math.inf, -math.inf, math.nan)] == ["+Inf", "-Inf", "NaN"]
    assert parse_expression("-Inf") == Literal(-math.inf)
    assert math.isnan(float(str(parse_expression("NaN"))))


def test_a_whole_number_is_an_int_within_64_bits_and_else_a_float() -> None:
    for text, kind in (("9223372036854775807", int), ("9223372036854775808", float), ("-0", float)):
        literal = parse_expression(text)
        assert isinstance(literal, Literal)
        assert type(literal.value) is kind
    assert str(parse_expression("-0")) == "-0"


GOLDEN = {
    "": "bad-expression: column 1: got the end, expected a column, an operator or a literal",
    "EQ(labl.app, 1)": "unknown-column-type: column 4: got 'labl', expected a column type (builtin,"
    " label, metadata, parsed, ambiguous, generated), a dot and a name; did you mean 'label'?",
    'AND(EQ(label.a, "x"), EQ(lable.b, "y"))': "unknown-column-type: column 26: got 'lable',"
    " expected a column type (builtin, label, metadata, parsed, ambiguous, generated), a dot and a"
    " name; did you mean 'label'?",
    'IN(label.a, "x", "y")': "ambiguous-text: column 15: got a text that starts at column 13 and"
    " may end at column 15 or at column 20, expected one reading; if no text here holds a double"
    " quote, quotes=False reads it",
    'EQ(label.a, "x': "text-not-ended: column 13: got '\"x', expected a closing quote before a"
    " comma and a space, a closing bracket or the end of the line",
    "eq(label.a, 1)": "bad-expression: column 1: got 'eq' before a bracket, expected an operator in"
    " upper case; did you mean 'EQ'?",
    "NOT(label.a, 1)": "wrong-arity: column 12: got more, expected NOT to have 1 argument",
    "EQ(label.a)": "wrong-arity: column 11: got only 1, expected EQ to have 2 arguments",
    "EQ(label.a,1)": "bad-expression: column 11: got ',1)', expected a comma and a space or a"
    " closing"
    " bracket after an argument of EQ",
    "GT(builtin.timestamp, 2025-13-01T00:00:00Z)": "bad-time: column 23: got"
    " '2025-13-01T00:00:00Z', expected a date that exists: month must be in 1..12",
    "0001-01-01T00:00:00+01:00": "bad-time: column 1: got '0001-01-01T00:00:00+01:00', expected a"
    " year from 1 to 9999 in UTC",
    "12x": "bad-literal: column 1: got '12x', expected a number, a time, a duration such as 1m30s"
    " or a size such as 10 MiB",
    "1h5": "bad-literal: column 1: got '1h5', expected a duration such as 0s, 250ms or 1h30m0s",
    "9" * 400: f"bad-literal: column 1: got '{'9' * 37}...', expected a number that a float can"
    " hold",
    "flase": "bad-expression: column 1: got 'flase', expected a column such as label.app, an"
    " operator or a literal; did you mean 'false'?",
    "EQ(1, 2) 3": "text-left: column 9: got ' 3', expected the end",
    "[a,b]": "bad-list-item: column 2: got 'a,b', expected words between a comma and one space,"
    " without white space at their ends and without brackets, commas and quotes",
    "label. x": "bad-column-name: column 7: got ' x', expected a name without white space at its"
    " ends",
    "NOT(" * 201: "too-deep: column 801: got more than 200 operators inside each other, expected"
    " up to 200",
}


@pytest.mark.parametrize("text", GOLDEN)
def test_a_refusal_says_what_was_seen_where_and_what_would_be_right(text: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text)
    assert str(refused.value) == GOLDEN[text]


def test_a_column_refuses_what_only_an_expression_may_hold() -> None:
    assert parse_column("label.a b.c=d") == Column(ColumnType.LABEL, "a b.c=d")
    with pytest.raises(ExpressionError) as refused:
        parse_column("label.a(b)")
    assert str(refused.value) == (
        "bad-column-name: column 8: got '(' in a column's name, expected none of , ( ) [ ] and"
        " quotes"
    )


def test_an_error_survives_pickling() -> None:
    error = ExpressionError("bad-time", 3, "got 1")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert (str(again), again.args) == (str(error), ("bad-time", 3, "got 1"))
