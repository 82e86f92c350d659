"""What operators cost here: rows per millisecond for each kind of node, measured.

The one place that looks at a clock for them, the processor's.  A run that takes the figures as
`Cluster.costs` does not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from time import process_time_ns
from typing import Final

import pyarrow as pa

from scenarios.data.rebind import rebind
from scenarios.inputs import InputError, NamedPlan
from sim.scenario import Scenario
from workflow.execute import Execution, ExecutionError, ScanSource
from workflow.objects import Bucket, DataError
from workflow.plan import NODE_KINDS, Plan, PlanError

__all__ = ["BATCH_ROWS", "Measured", "costs_of", "measure", "with_measured"]

BATCH_ROWS: Final = 1_000  # that a scan reads at once, as in a run over a bucket

_LARGEST: Final = 10**9  # in a scenario's file
_MILLISECOND: Final = 10**6  # in nanoseconds
_SCAN: Final = "DataObjScan"


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of node, over all plans."""

    kind: str
    rows: int  # that went in
    ns: int  # of the processor

    @property
    def rate(self) -> int:
        """Rows per millisecond, at least 1."""
        return min(max(self.rows * _MILLISECOND // max(self.ns, 1), 1), _LARGEST)


def measure(
    plans: Iterable[NamedPlan], place: str, *, batch_rows: int = BATCH_ROWS
) -> tuple[list[Measured], dict[str, str]]:
    """Run plans over a bucket, each whole in one piece; and what could not run, with the reason.

    Reading a section counts for its scan, decoding and checks included.  Everything runs once
    before it counts: what is loaded on first use is no cost of a row.  Raises InputError for a
    bucket that cannot be read.
    """
    total: dict[str, list[int]] = {}
    refused: dict[str, str] = {}
    try:
        bucket = Bucket(place)
        sections = bucket.sections()
        for each in plans:
            try:
                for some in (sections[:1], sections):
                    bound = rebind(each.plan, some)
                    found = list(_run(bound, bucket, batch_rows))
            except (PlanError, ExecutionError, LookupError) as error:
                refused[each.name] = str(error)
                continue
            for kind, rows, ns in found:
                sums = total.setdefault(kind, [0, 0])
                sums[0] += rows
                sums[1] += ns
    except DataError as error:
        raise InputError("", str(error)) from None
    measured = [Measured(kind, *total[kind]) for kind in NODE_KINDS if kind in total]
    return [each for each in measured if each.rows], refused


def _run(plan: Plan, bucket: Bucket, batch_rows: int) -> Iterator[tuple[str, int, int]]:
    """Kinds with their rows and nanoseconds."""
    execution = Execution(plan, timer=process_time_ns)
    reading = 0
    for source in execution.sources:
        if isinstance(source, ScanSource):
            reading += _read(execution, source, bucket, batch_rows)
    rows, spent = execution.rows_in(), execution.spent()
    spent[_SCAN] = spent.get(_SCAN, 0) + reading
    return ((kind, rows.get(kind, 0), ns) for kind, ns in spent.items())


def _read(execution: Execution, source: ScanSource, bucket: Bucket, batch_rows: int) -> int:
    """Push a section as far as it is wanted; nanoseconds of reading alone."""
    target, reading = source.target, 0
    batches = bucket.read(
        target.location, target.section, batch_rows=batch_rows, columns=source.reads
    )
    while execution.takes(source):
        start = process_time_ns()
        batch: pa.RecordBatch | None = next(batches, None)
        reading += process_time_ns() - start
        if batch is None:
            break
        execution.push(source, batch)
    execution.end(source)
    return reading


def costs_of(measured: Iterable[Measured]) -> tuple[tuple[str, int], ...]:
    """The figures as `Cluster.costs` has them."""
    return tuple((each.kind, each.rate) for each in measured)


def with_measured(scenario: Scenario, place: str) -> Scenario:
    """The scenario, with the costs of its own plans over a bucket in place of drawn work.

    Raises InputError for a bucket that cannot be read, and a plan that cannot run over it.
    """
    plans = [
        NamedPlan(each.plan_name or f"workload {number}", each.plan)
        for number, each in enumerate(scenario.workloads)
    ]
    rows = max((each.batch_rows for each in scenario.workloads), default=1)
    measured, refused = measure(plans, place, batch_rows=rows)
    for name, reason in refused.items():
        raise InputError(name, reason)
    costs = costs_of(measured)
    return replace(scenario, cluster=replace(scenario.cluster, costs=costs))
