"""Filters and arithmetic, row by row."""

import math

import pytest
from executed import Row, through

from workflow import PlanError
from workflow.execute import ExecutionError
from workflow.expressions import parse_expression
from workflow.plan import Filter, Projection

VALUE = "float64.generated.value"
LEVEL = "utf8.parsed.level"
TIME = "timestamp_ns.builtin.timestamp"


def kept(predicate: str, *rows: Row) -> list[Row]:
    """Those of the rows that pass, with `n` to tell them apart."""
    return through(Filter(predicates=(parse_expression(predicate),)), rows)


def computed(expression: str, *values: float | None) -> list[float | None]:
    node = Projection(expressions=(parse_expression(expression),), all=True, expand=True)
    rows: list[Row] = [{VALUE: value, "utf8.label.n": str(n)} for n, value in enumerate(values)]
    return [row.get(VALUE) for row in through(node, rows)]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("EQ", [2.0]),
        ("NEQ", [1.0, 3.0]),
        ("GT", [3.0]),
        ("GTE", [2.0, 3.0]),
        ("LT", [1.0]),
        ("LTE", [1.0, 2.0]),
    ],
)
def test_a_number_that_is_missing_makes_every_comparison_false(
    operator: str, expected: list[float]
) -> None:
    rows: list[Row] = [{VALUE: value, LEVEL: "x"} for value in (1.0, 2.0, 3.0, None)]
    assert [row[VALUE] for row in kept(f"{operator}(generated.value, 2)", *rows)] == expected
    assert kept(f"{operator}(generated.value, 2)", {LEVEL: "x"}) == []


def test_times_compare_by_the_nanosecond() -> None:
    rows: list[Row] = [{TIME: 1}, {TIME: 2}, {TIME: None, LEVEL: "x"}]
    found = kept("GTE(builtin.timestamp, 1970-01-01T00:00:00.000000002Z)", *rows)
    assert found == [{TIME: 2}]


def test_a_text_that_is_missing_is_the_empty_text_whether_its_column_is_there_or_not() -> None:
    with_column = [{LEVEL: "info", "utf8.label.n": "1"}, {"utf8.label.n": "2"}]
    for predicate, expected in [
        ('EQ(parsed.level, "")', ["2"]),
        ('NEQ(parsed.level, "info")', ["2"]),
        ('NOT_MATCH_STR(parsed.level, "in")', ["2"]),
        ('MATCH_RE(parsed.level, "^$")', ["2"]),
        ('EQ(parsed.level, "info")', ["1"]),
    ]:
        together = kept(predicate, *with_column)
        apart = [*kept(predicate, with_column[0]), *kept(predicate, with_column[1])]
        assert [row["utf8.label.n"] for row in together] == expected
        assert apart == together


def test_ambiguous_reads_the_first_kind_that_has_a_value_in_each_row() -> None:
    kinds = ("generated", "parsed", "metadata", "label")
    for place, kind in enumerate(kinds):
        row = {f"utf8.{each}.x": each for each in kinds[place:]}
        assert kept(f'EQ(ambiguous.x, "{kind}")', row, {"utf8.label.x": "other"}) == [row]


def test_a_label_called_value_is_read_beside_the_number_called_value() -> None:
    row = {VALUE: 1.0, "utf8.label.value": "low"}
    assert kept('EQ(ambiguous.value, "low")', row) == [row]
    assert kept('EQ(ambiguous.value, "")', {VALUE: 1.0}) == [{VALUE: 1.0}]


@pytest.mark.parametrize("others", [[], [{VALUE: 1.0, "utf8.label.value": "low"}]])
def test_what_a_column_is_does_not_depend_on_other_rows(others: list[Row]) -> None:
    for predicate in ("EQ(ambiguous.value, 1)", "GT(ambiguous.timestamp, 1970-01-01T00:00:00Z)"):
        with pytest.raises(ExecutionError, match=r"got a text and a (number|time)"):
            kept(predicate, {VALUE: 1.0, TIME: 1}, *others)


def test_and_or_xor_not_see_no_nulls() -> None:
    rows: list[Row] = [
        {VALUE: None, LEVEL: "x"},
        {VALUE: 1.0, LEVEL: "x"},
        {VALUE: 5.0, LEVEL: "y"},
    ]
    one, two = "GT(generated.value, 2)", 'EQ(parsed.level, "x")'
    assert kept(f"AND({one}, {two})", *rows) == []
    assert len(kept(f"OR({one}, {two})", *rows)) == 3
    assert len(kept(f"XOR({one}, {two})", *rows)) == 3
    assert len(kept(f"NOT({one})", *rows)) == 2
    assert kept(f"AND({one}, null)", *rows) == []


def test_nothing_equals_the_absent_value() -> None:
    rows: list[Row] = [{VALUE: None, LEVEL: "x"}, {VALUE: 1.0}]
    assert kept("EQ(generated.value, null)", *rows) == []
    assert kept("NEQ(parsed.level, null)", *rows) == []


def test_patterns_are_re2_and_match_anywhere() -> None:
    rows: list[Row] = [{LEVEL: text} for text in ("warning", "WARN", "info", "a.b", "axb", "a\nb")]
    assert kept('MATCH_RE(parsed.level, "arn")', *rows) == [{LEVEL: "warning"}]
    assert len(kept('MATCH_RE(parsed.level, "(?i)warn")', *rows)) == 2
    assert kept('MATCH_STR(parsed.level, "a.b")', *rows) == [{LEVEL: "a.b"}]
    assert {LEVEL: "a\nb"} not in kept('MATCH_RE(parsed.level, "a.b")', *rows)
    assert kept(r'MATCH_RE(parsed.level, "^\pL+ing$")', *rows) == [{LEVEL: "warning"}]


@pytest.mark.parametrize(
    "predicate",
    [
        'EQ(generated.value, "1")',
        "EQ(parsed.level, 1)",
        "GT(builtin.timestamp, 1)",
        "AND(parsed.level, true)",
        "ADD(parsed.level, 1)",
        "ADD(generated.value, 1)",
        'MATCH_STR(generated.value, "1")',
    ],
)
def test_operands_of_two_types_fail_the_task(predicate: str) -> None:
    with pytest.raises(ExecutionError, match=r"operand-types: node 0 \(Filter\): .*expected") as no:
        kept(predicate, {VALUE: 1.0, LEVEL: "1", TIME: 1})
    assert no.value.rule == "operand-types"


@pytest.mark.parametrize(
    ("predicate", "rule"),
    [
        ('MATCH_RE(parsed.level, "(")', "pattern"),
        (r'MATCH_RE(parsed.level, "(a)\1")', "pattern"),  # RE2 has no back references
        ('MATCH_RE(parsed.level, "(?=a)")', "pattern"),
        ("MATCH_RE(parsed.level, label.x)", "pattern"),
        ('MATCH_PATTERN(parsed.level, "<_>")', "operator"),
        ("GT(CAST_FLOAT(parsed.level), 1)", "operator"),
        ("AND(true)", "arity"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_any_row(predicate: str, rule: str) -> None:
    expression = parse_expression(predicate, quotes=False) if rule != "arity" else None
    if expression is None:
        from workflow.expressions import Call, Literal  # noqa: PLC0415

        expression = Call("AND", (Literal(True),))
    with pytest.raises(PlanError) as refused:
        through(Filter(predicates=(expression,)), [])
    assert refused.value.rule == rule
    assert refused.value.where == "node 0 (Filter)"


def test_arithmetic_with_a_missing_number_gives_none() -> None:
    assert computed("MUL(generated.value, 100)", 0.5, None, -2.0) == [50.0, None, -200.0]
    assert computed("SUB(10, generated.value)", 1.0, None) == [9.0, None]
    assert computed("ADD(generated.value, null)", 1.0) == [None]


def test_arithmetic_follows_the_rules_of_floats() -> None:
    assert computed("DIV(generated.value, 0)", 1.0, -1.0) == [math.inf, -math.inf]
    assert computed("MOD(generated.value, 3)", 7.5, -7.5, None) == [1.5, -1.5, None]
    [nan] = computed("MOD(generated.value, 0)", 7.5)
    assert nan is not None
    assert math.isnan(nan)
    assert computed("POW(generated.value, 2)", 3.0) == [9.0]
    assert computed("ABS(generated.value)", -3.0, None) == [3.0, None]
    assert computed("DIV(MUL(generated.value, 2), 4)", 3.0) == [1.5]
