"""Scenarios over a bucket, and their answers as people and programs read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from properties.oracle import Answer
from scenarios.data.rebind import rebind
from scenarios.inputs import InputError
from scenarios.runs import roomy
from sim.real import Held
from sim.scenario import Scenario
from workflow.objects import Bucket, DataError
from workflow.plan import PlanError

__all__ = ["answer_rows", "over_bucket", "table"]

_BATCH: Final = 1_000  # rows that a scan reads at once
_WIDEST: Final = 60  # letters of a cell


def over_bucket(scenario: Scenario, place: str) -> tuple[Scenario, Held]:
    """The scenario with each of its plans bound to a bucket, a slot for every task, and the rows.

    Raises InputError for a bucket that cannot be read, and a plan that cannot be bound.
    """
    try:
        bucket = Bucket(place)
        sections = bucket.sections()
        workloads = tuple(
            replace(each, plan=rebind(each.plan, sections), batch_rows=_BATCH)
            for each in scenario.workloads
        )
        held = Held(bucket.load())
    except DataError as error:
        raise InputError("", str(error)) from None
    except PlanError as error:
        raise InputError(scenario.name, str(error)) from None
    cluster = scenario.cluster
    slots = max([cluster.slots, *(roomy(each.plan).slots for each in workloads)])
    return replace(scenario, workloads=workloads, cluster=replace(cluster, slots=slots)), held


def answer_rows(batches: Sequence[pa.RecordBatch]) -> list[dict[str, Any]]:
    """What a reader got, row by row: times in RFC 3339, null where a row has no value."""
    columns = tuple(dict.fromkeys(name for batch in batches for name in batch.schema.names))
    return replace(Answer.from_batches(batches), columns=columns).to_json()


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows below the names of their columns; long values are cut."""
    if not rows:
        return
    columns = list(rows[0])
    cells = [columns, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    text = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
