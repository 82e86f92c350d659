"""Rows through `workflow.execute` beside DuckDB, over the same Parquet files.

What is measured is the whole way of a query from the files to its answer: finding the sections,
decoding, checking, filter, windows, series.  Both read only the columns that the query needs.  The
answers must be equal, or there are no figures.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pyarrow as pa

from benchmarks.measure import Figure, Sizes, interleaved_spent
from scenarios.data import Line, Store, made_lines, rebind
from workflow import Plan
from workflow.execute import Execution, ScanSource
from workflow.expressions import parse_column, parse_expression
from workflow.objects import Bucket
from workflow.plan import Filter, Node, Projection, RangeAggregation, ScanSet, VectorAggregation
from workflow.times import Timestamp

__all__ = ["against_duckdb"]

_SECTIONS: Final = 8
_BATCH_ROWS: Final = 32_768
_THREADS: Final = (1, 2)  # of DuckDB

_START: Final = Timestamp.parse("2025-01-01T00:00:00Z")  # of the made lines, an hour of them
_END: Final = Timestamp.parse("2025-01-01T01:00:00Z")
_STEP: Final = 60 * 10**9
_PANES: Final = 5  # steps in a range

_LIFTED: Final = re.compile(r"(?:^| )(level|bytes)=([^ ]+)")

_Answer = list[tuple[int, str, float]]  # end of the window in nanoseconds, level, value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """One question, as a plan and in SQL."""

    name: str
    columns: tuple[str, ...]  # that the scan gives
    predicates: tuple[str, ...]  # of the filter
    expand: tuple[str, ...] = ()
    operation: str = "count"
    where: str  # the same as the predicates
    level: str = 'coalesce("metadata.level", "label.level", \'\')'
    value: str = "count(*)"

    def plan(self) -> Plan:
        """Sum by level over windows by pod and level over what the filter keeps."""
        by = tuple(parse_column(f"ambiguous.{name}") for name in ("level", "pod"))
        windows = RangeAggregation(
            operation=self.operation,
            start=_START,
            end=_END,
            step_ns=_STEP,
            range_ns=_PANES * _STEP,
            group_by=by,
        )
        nodes: list[Node] = [VectorAggregation(operation="sum", group_by=by[:1]), windows]
        if self.expand:
            expressions = tuple(parse_expression(each) for each in self.expand)
            nodes.append(Projection(expressions=expressions, all=True, expand=True))
        nodes.append(Filter(predicates=tuple(parse_expression(each) for each in self.predicates)))
        nodes.append(ScanSet(projections=tuple(parse_column(each) for each in self.columns)))
        plan = Plan()
        for node in nodes:
            plan.add(node)
        for parent, child in pairwise(nodes):
            plan.add_edge(parent, child)
        return plan

    def sql(self, files: str) -> str:
        """The same over `files`: a value for each step, then windows of steps."""
        step = f"(epoch_ns(timestamp) - {_START.ns} + {_STEP - 1}) // {_STEP}"
        first, last = _START.ns - _PANES * _STEP, _END.ns
        return f"""
            WITH panes AS (
                SELECT {step} AS pane, {self.level} AS level, "label.pod" AS pod,
                    {self.value} AS value
                FROM read_parquet('{files}', union_by_name = true)
                WHERE {self.where}
                    AND epoch_ns(timestamp) > {first} AND epoch_ns(timestamp) <= {last}
                GROUP BY ALL
            ), windows AS (
                SELECT number, level, pod, sum(value) AS value
                FROM panes JOIN range({(_END.ns - _START.ns) // _STEP + 1}) AS windows(number)
                    ON pane BETWEEN number - {_PANES - 1} AND number
                GROUP BY ALL
            )
            SELECT {_START.ns} + number * {_STEP}, level, CAST(sum(value) AS DOUBLE)
            FROM windows GROUP BY ALL ORDER BY ALL
        """  # noqa: S608 - made here alone


_SCANNED: Final = ("builtin.timestamp", "ambiguous.env", "ambiguous.level", "label.pod")
_KEPT: Final = ('EQ(ambiguous.env, "prod")', 'NEQ(ambiguous.level, "debug")')
_KEPT_SQL: Final = (
    "\"label.env\" = 'prod' AND coalesce(\"metadata.level\", \"label.level\", '') <> 'debug'"
)

_QUERIES: Final = (
    _Query(name="count by level", columns=_SCANNED, predicates=_KEPT, where=_KEPT_SQL),
    _Query(
        name="sum by level",
        columns=(*_SCANNED, "metadata.bytes"),
        predicates=_KEPT,
        expand=("CAST_FLOAT(metadata.bytes)",),
        operation="sum",
        where=_KEPT_SQL,
        value='sum(coalesce(try_cast("metadata.bytes" AS DOUBLE), 0))',
    ),
    _Query(
        name="count of lines that hold a text",
        columns=(*_SCANNED, "builtin.message"),
        predicates=(*_KEPT[:1], 'MATCH_STR(builtin.message, "status=500")'),
        where="\"label.env\" = 'prod' AND contains(message, 'status=500')",
    ),
    _Query(
        name="count by a level parsed from the line",
        columns=("builtin.timestamp", "builtin.message", "label.env", "label.pod"),
        predicates=_KEPT[:1],
        expand=("PARSE_LOGFMT(builtin.message, [level], false, false)",),
        where="\"label.env\" = 'prod'",
        level="regexp_extract(message, '(?:^| )level=([^ ]*)', 1)",
    ),
)


def _lines(rows: int) -> Iterator[Line]:
    """Made lines, with the level and the bytes of those in logfmt also as metadata."""
    for line in made_lines(rows, seed=7):
        lifted = dict(_LIFTED.findall(line.message))
        metadata = tuple(sorted({**dict(line.metadata), **lifted}.items()))
        yield Line(line.ns, line.message, line.labels, metadata)


def _batches(
    execution: Execution, bucket: Bucket
) -> Iterator[tuple[ScanSource, pa.RecordBatch | None]]:
    """What an execution reads, section by section; None is the end of one."""
    for source in execution.wants():
        assert isinstance(source, ScanSource)
        target = source.target
        for batch in bucket.read(
            target.location, target.section, batch_rows=_BATCH_ROWS, columns=source.reads
        ):
            yield source, batch
        yield source, None


def _opened(query: _Query, place: Path) -> tuple[Execution, Bucket]:
    bucket = Bucket(place)
    return Execution(rebind(query.plan(), bucket.sections())), bucket


def _reading(query: _Query, place: Path) -> None:
    """What `_ours` does but for the work on rows."""
    for _ in _batches(*_opened(query, place)):
        pass


def _ours(query: _Query, place: Path) -> _Answer:
    execution, bucket = _opened(query, place)
    out: list[pa.RecordBatch] = []
    for source, batch in _batches(execution, bucket):
        out += execution.end(source) if batch is None else execution.push(source, batch)
    [answer] = out
    names = ("timestamp_ns.builtin.timestamp", "utf8.ambiguous.level", "float64.generated.value")
    times, levels, values = (answer.column(name) for name in names)
    return sorted(
        zip(
            times.cast(pa.int64()).to_pylist(),
            (level or "" for level in levels.to_pylist()),
            values.to_pylist(),
            strict=True,
        )
    )


def _connected(threads: int) -> duckdb.DuckDBPyConnection:
    # Without its cache of files, which would spare it work that is done here in each round.
    return duckdb.connect(config={"threads": threads, "enable_external_file_cache": False})


def _theirs(query: _Query, place: Path, connection: duckdb.DuckDBPyConnection) -> _Answer:
    return connection.execute(query.sql(f"{place}/objects/*.parquet")).fetchall()


def against_duckdb(sizes: Sizes) -> Iterator[Figure]:
    """Processor and wall time of both, and how many times as long it takes here."""
    with TemporaryDirectory(prefix="windtunnel-") as folder:
        place = Path(folder) / "bucket"
        with Store(place, sections=_SECTIONS) as store:
            for line in _lines(sizes.rows):
                store.add(line)
            store.finish()
        engines = {threads: _connected(threads) for threads in _THREADS}
        try:
            for query in _QUERIES:
                yield from _compared(query, place, engines, sizes.repeats)
        finally:
            for connection in engines.values():
                connection.close()


def _compared(
    query: _Query, place: Path, engines: dict[int, duckdb.DuckDBPyConnection], repeats: int
) -> Iterator[Figure]:
    calls: dict[str, Callable[[], object]] = {
        "windtunnel": partial(_ours, query, place),
        **{
            f"DuckDB, {threads} thread{'s' * (threads > 1)}": partial(_theirs, query, place, engine)
            for threads, engine in engines.items()
        },
    }
    ours, *others = (call() for call in calls.values())  # also warms all of them up
    for other in others:
        if other != ours:
            raise AssertionError(f"{query.name}: got {ours} here, and {other} from DuckDB")
    spent = interleaved_spent({**calls, "reading": partial(_reading, query, place)}, repeats)
    ours_spent = spent.pop("windtunnel")
    reading = spent.pop("reading").processor / ours_spent.processor
    yield Figure("rows", query.name, "windtunnel: processor", ours_spent.processor * 1000, "ms")
    yield Figure("rows", query.name, "windtunnel: wall", ours_spent.wall * 1000, "ms")
    yield Figure("rows", query.name, "windtunnel: share of reading", reading * 100, "%")
    for who, each in spent.items():
        for what in ("processor", "wall"):
            theirs: float = getattr(each, what)
            mine: float = getattr(ours_spent, what)
            yield Figure("rows", query.name, f"{who}: {what}", theirs * 1000, "ms")
            yield Figure("rows", query.name, f"windtunnel : {who}, {what}", mine / theirs, "x")
