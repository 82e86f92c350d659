"""Which plans answer the same whole and cut into tasks."""

from collections.abc import Sequence

import pytest
from stored import chain

from properties.oracle.shards import shards_add_up
from workflow.plan import (
    Batching,
    Filter,
    Limit,
    Merge,
    Node,
    Parallelize,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)


def top(k: int = 3) -> Node:
    return TopK(k=k)


SAME: dict[str, Sequence[Node]] = {
    "a TopK that stands above once more": [top(), Parallelize(), top()],
    "through two Parallelize": [top(), Parallelize(), Parallelize(), top()],
    "two Parallelize, and nothing to add up": [Filter(), Parallelize(), Parallelize()],
    "a smaller TopK above": [top(2), Parallelize(), top(3)],
    "row by row": [top(), Parallelize(), Filter()],
    "a Parallelize on top, which is not cut": [Parallelize(), top()],
    "counts that are summed": [
        VectorAggregation(operation="sum"), Parallelize(), RangeAggregation(operation="count"),
    ],
    "the least of the least": [
        VectorAggregation(operation="min"), Parallelize(), RangeAggregation(operation="min"),
    ],
    "a Limit that stands above once more": [Limit(fetch=2), Parallelize(), Limit(fetch=2)],
}  # fmt: skip
OTHER: dict[str, Sequence[Node]] = {
    "a TopK below alone": [Merge(), Parallelize(), top()],
    "a larger TopK above": [top(4), Parallelize(), top(3)],
    "below a Parallelize that is on top": [Parallelize(), Parallelize(), top()],
    "an average of averages": [
        VectorAggregation(operation="avg"), Parallelize(), RangeAggregation(operation="avg"),
    ],
    "the least of counts": [
        VectorAggregation(operation="min"), Parallelize(), RangeAggregation(operation="count"),
    ],
    "rows that are skipped for each shard": [
        Limit(fetch=2), Parallelize(), Limit(skip=1, fetch=2),
    ],
    "two operators that collect": [top(), Parallelize(), top(), Limit(fetch=1), Batching()],
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_it_answers_the_same(name: str) -> None:
    assert shards_add_up(chain(*SAME[name], ScanSet()))


@pytest.mark.parametrize("name", OTHER)
def test_it_may_answer_otherwise(name: str) -> None:
    assert not shards_add_up(chain(*OTHER[name], ScanSet()))
