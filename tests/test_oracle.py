"""The single-process answer over the data that the reference has answered."""

from itertools import cycle
from typing import Any

import pytest
from stored import objects_of, over, vector_cases, vector_lines

from properties.oracle import Answer, answer, same_answer
from workflow import plan_from_json

LAYOUTS = {"one object": 1, "two objects": 2, "eight other objects": 8}


def by_query(case: dict[str, Any]) -> str:
    """What a case is called."""
    return str(case["query"])


@pytest.mark.parametrize("case", vector_cases(), ids=by_query)
def test_every_query_gives_the_rows_of_the_reference(case: dict[str, Any]) -> None:
    objects = objects_of(vector_lines(), (line["object"] for line in vector_lines()))
    found = answer(plan_from_json(case["plan"]), objects)
    assert same_answer(Answer.from_json(case["rows"]), found) is None
    assert sorted(map(repr, map(sorted_items, found.to_json()))) == sorted(
        map(repr, map(sorted_items, case["rows"]))
    )


def sorted_items(row: dict[str, Any]) -> list[tuple[str, Any]]:
    """A row as a list, so that only its columns and values count."""
    return sorted(row.items())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", vector_cases(), ids=by_query)
def test_no_layout_of_the_same_lines_changes_an_answer(case: dict[str, Any], layout: str) -> None:
    objects = objects_of(vector_lines(), cycle(range(LAYOUTS[layout])))
    found = answer(over(plan_from_json(case["plan"]), objects), objects)
    assert same_answer(Answer.from_json(case["rows"]), found) is None


def test_an_answer_that_lost_a_row_is_told_from_the_right_one() -> None:
    noticed = 0
    for case in vector_cases():
        rows = Answer.from_json(case["rows"])
        difference = same_answer(rows, Answer(rows.rows[1:]))
        noticed += difference is not None
        assert (difference is None) == (not rows.rows)
    assert noticed == 12
