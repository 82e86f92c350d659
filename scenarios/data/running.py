"""Scenarios over a bucket, and their answers as people and programs read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from properties.oracle import Answer
from scenarios.data.rebind import bind, rebind
from scenarios.held import pinned
from scenarios.inputs import InputError
from scenarios.runs import roomy
from scenarios.shelf import plan_names
from scenarios.wording import counted
from sim.scenario import Data, Fault, Scenario, Workload
from workflow import GraphError, partition, smallest_limits
from workflow.objects import Bucket, DataError, Section

__all__ = ["answer_lines", "answer_rows", "over"]

_BATCH: Final = 1_000  # rows that a scan reads at once
_WIDEST: Final = 60  # letters of a cell
_MOST: Final = 200  # rows of a table


def over(scenario: Scenario, data: Data, *, anew: bool = False) -> Scenario:
    """The scenario over data, each of its plans bound to it.

    A plan that reads sections of it stays as it is, unless it is to be bound `anew`, or one of the
    library: then it reads all of them.  There is a slot for every task, limits are as large as the
    plans now need, and a fault of a task that is not there strikes the last one.  Raises InputError
    for a bucket that cannot be read, and a plan that cannot be bound.
    """
    try:
        sections = Bucket(data.bucket).sections()
        workloads = tuple(_bound(each, sections, anew=anew) for each in scenario.workloads)
    except DataError as error:
        raise InputError("", str(error)) from None
    except GraphError as error:
        raise InputError(scenario.name, str(error)) from None
    cluster = scenario.cluster
    slots = max([cluster.slots, *(roomy(each.plan).slots for each in workloads)])
    return pinned(
        replace(
            scenario,
            workloads=workloads,
            cluster=replace(cluster, slots=slots),
            faults=tuple(_aimed(each, workloads) for each in scenario.faults),
            data=data,
        )
    )


def _bound(workload: Workload, sections: Sequence[Section], *, anew: bool) -> Workload:
    # A plan of the library is from elsewhere, though its objects may be called as those here.
    anew = anew or workload.plan_name in plan_names()
    plan = (rebind if anew else bind)(workload.plan, sections)
    options = workload.options
    smallest = smallest_limits(
        partition(plan),
        both=options.max_running_scan_tasks > 0 and options.max_running_other_tasks > 0,
    )
    options = replace(
        options,
        max_running_scan_tasks=_enough(options.max_running_scan_tasks, smallest.scan),
        max_running_other_tasks=_enough(options.max_running_other_tasks, smallest.other),
    )
    return replace(workload, plan=plan, options=options, batch_rows=_batch(workload))


def _enough(limit: int, smallest: int) -> int:
    return max(limit, smallest) if limit > 0 else limit


def _aimed(fault: Fault, workloads: Sequence[Workload]) -> Fault:
    if fault.task is None:
        return fault
    chosen = workloads if fault.workload is None else workloads[fault.workload : fault.workload + 1]
    last = max(len(partition(each.plan)) for each in chosen) - 1
    return replace(fault, task=min(fault.task, last))


def _batch(workload: Workload) -> int:
    """What a scan reads at once: as the scenario says, if it does not say the default."""
    default = Workload(plan=workload.plan).batch_rows
    return _BATCH if workload.batch_rows == default else workload.batch_rows


def answer_rows(batches: Sequence[pa.RecordBatch]) -> list[dict[str, Any]]:
    """What a reader got, row by row: times in RFC 3339, null where a row has no value."""
    columns = tuple(dict.fromkeys(name for batch in batches for name in batch.schema.names))
    return replace(Answer.from_batches(batches), columns=columns).to_json()


def answer_lines(batches: Sequence[pa.RecordBatch]) -> Iterator[str]:
    """The first rows as a table, how many are left out, and how to get them."""
    room, first = _MOST, []
    for batch in batches:
        first.append(batch.slice(0, room))  # at the end none, for the sake of their columns
        room -= first[-1].num_rows
    yield from _table(answer_rows(first))
    rest = sum(batch.num_rows for batch in batches) - _MOST
    if rest > 0:
        rows = counted(rest, "more row")
        yield f"... and {rows}: --to FILE.parquet (.csv, .jsonl) saves all, --json prints all"


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
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
