"""Whether two answers are the same, and what is said if they are not."""

import math
from itertools import permutations
from typing import Any

import pyarrow as pa
import pytest

from properties.oracle import Answer, CannotAnswer, same_answer

VALUE = "float64.generated.value"
TIME = "timestamp_ns.builtin.timestamp"
APP = "utf8.label.app"


def rows(*values: Any) -> Answer:
    """A row for each pair of an app and a number."""
    return Answer.from_json([{APP: app, VALUE: value} for app, value in values])


def test_order_does_not_count_but_number_does() -> None:
    right = rows(("a", 1), ("a", 1), ("b", 2))
    for some in permutations(right.rows):
        assert same_answer(right, Answer(some)) is None
    assert same_answer(right, rows(("a", 1), ("b", 2), ("b", 2))) is not None


def test_null_and_a_missing_column_are_the_same() -> None:
    assert same_answer(rows((None, 1)), Answer.from_json([{VALUE: 1}])) is None
    assert same_answer(rows(("", 1)), Answer.from_json([{VALUE: 1}])) is not None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1.0, 1.0 + 1e-12, True),
        (1e20, 1e20 + 1e10, True),
        (1.0, 1.00001, False),
        (0.0, 1e-6, False),
        ("NaN", math.nan, True),
        ("NaN", 0, False),
        ("+Inf", "+Inf", True),
        ("+Inf", "-Inf", False),
        ("+Inf", 1e300, False),
    ],
)
def test_numbers_are_the_same_within_the_tolerance(a: Any, b: Any, same: bool) -> None:
    assert (same_answer(rows(("x", a)), rows(("x", b))) is None) == same


def test_close_numbers_are_paired_whichever_way_they_are_off() -> None:
    right = rows(*(("x", n) for n in (1, 2, 3)))
    assert same_answer(right, rows(*(("x", n * (1 + 1e-13)) for n in (3, 1, 2)))) is None


def test_what_an_error_says_does_not_count() -> None:
    right = Answer.from_json([{"utf8.generated.__error__": "E", VALUE: 0}])
    seen = {"utf8.generated.__error__": "E", "utf8.generated.__error_details__": "why", VALUE: 0}
    assert same_answer(right, Answer.from_json([seen])) is None
    assert same_answer(right, Answer.from_json([{VALUE: 0}])) is not None


def test_a_difference_shows_the_smallest_rows_and_the_nearest() -> None:
    right = rows(*((chr(97 + n), n) for n in range(6)))
    seen = rows(("f", 5), ("c", 7))
    assert str(same_answer(right, seen)).splitlines() == [
        "got 2 rows, expected 6: 5 missing, 1 too many",
        "  missing   float64.generated.value=0 utf8.label.app='a'",
        "  missing   float64.generated.value=1 utf8.label.app='b'",
        "  missing   float64.generated.value=2 utf8.label.app='c'",
        "            ... and 2 more",
        "  too many  float64.generated.value=7 utf8.label.app='c'",
        "  nearest   differs in float64.generated.value: expected 2, got 7",
    ]


def test_any_rows_of_a_pool_will_do_in_the_right_number() -> None:
    [a, b, c] = rows(("a", 1), ("b", 2), ("c", 3)).rows
    right = Answer((a,), (b, c), 1, 1)
    assert same_answer(right, Answer((b, a))) is None
    assert str(same_answer(right, Answer((a,)))) == "got 1 rows, expected 2"
    assert str(same_answer(right, Answer((a, b, c)))) == "got 3 rows, expected 2"
    assert same_answer(right, Answer((b, c))) is not None
    assert same_answer(right, right) is None


def test_json_shows_every_column_in_every_row_and_reads_back() -> None:
    listed = [
        {TIME: "2025-01-01T00:00:00.25Z", VALUE: 8, APP: None},
        {TIME: None, VALUE: 0.5, APP: "x"},
        {TIME: None, VALUE: "-Inf", APP: None},
    ]
    assert Answer.from_json(listed).to_json() == listed


def test_batches_are_read_by_the_names_of_their_columns() -> None:
    batch = pa.record_batch(
        {
            TIME: pa.array([1_500_000_000], pa.timestamp("ns", "UTC")),
            VALUE: pa.array([2.0]),
            APP: pa.array([None], pa.string()),
        }
    )
    assert Answer.from_batches([batch]).to_json() == [{TIME: "1970-01-01T00:00:01.5Z", VALUE: 2}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "data: rows: got dict, expected a list"),
        ([1], "data: rows[0]: got int, expected an object"),
        ([{VALUE: "x"}], f"data: rows[0].{VALUE}: got 'x'"),
        ([{TIME: "noon"}], f"data: rows[0].{TIME}: got 'noon'"),
        ([{"app": "x"}], "data: rows[0].app: got 'x'"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(CannotAnswer) as refused:
        Answer.from_json(value)
    assert str(refused.value).startswith(message)
