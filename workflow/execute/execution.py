"""A fragment as a machine: batches of its sources go in, batches of its root come out.

Nothing here blocks, waits, reads or asks for the time.  A host pushes batches of the sources that
`wants` names, in whatever order it has them, says when one is over, and sends on what comes out.

* A source is a stream, or a `ScanSource`: a section of a data object that the host reads.
* An empty batch never is an end, and no batch that comes out is empty.
* What is held is bounded by the operators (K rows, one batch's size, a row for each series and
  window), never by the order of the inputs: each batch goes through at once.  So a host that cannot
  send what came out pushes nothing more, and that is all of the backpressure.
* Once a Limit has passed its rows, what lies below is wanted no more, and the rest may be dropped.

>>> from workflow.plan import DataObjScan
>>> plan = Plan()
>>> scan = plan.add(DataObjScan(location="objects/1"))
>>> execution = Execution(plan)
>>> [source] = execution.wants()
>>> print(source)
section 0 of objects/1
>>> [batch] = execution.push(source, pa.RecordBatch.from_pydict({"message": ["hello"]}))
>>> batch.to_pylist(), execution.end(source), execution.done
([{'utf8.builtin.message': 'hello'}], [], True)
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from workflow.execute.aggregate import RangeAggregationWork, VectorAggregationWork
from workflow.execute.errors import ExecutionError
from workflow.execute.operator import Operator, Pass
from workflow.execute.passing import (
    BatchingWork,
    CompatWork,
    FilterWork,
    LimitWork,
    ProjectionWork,
)
from workflow.execute.rows import Rows
from workflow.execute.scan import ScanSource, ScanWork
from workflow.execute.topk import TopKWork
from workflow.plan import (
    Batching,
    Compat,
    DataObjScan,
    Filter,
    Join,
    Limit,
    Merge,
    Node,
    Parallelize,
    Plan,
    PlanError,
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)
from workflow.stream import Stream
from workflow.task import ContributingTimeRange, Task

__all__ = ["Execution", "Source"]

Source = Stream | ScanSource

_LEAVES = (DataObjScan, ScanSet)
_ONE_INPUT = (Projection, Filter, Limit, Compat, Parallelize, Batching)


@dataclass(eq=False, slots=True)
class _Station:
    """An operator in its place."""

    work: Operator
    kind: str  # of its node
    readers: list["_Station"] = field(default_factory=list)
    feeders: list["_Station"] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    inputs: int = 0  # that are not over
    closed: bool = False  # gives no more, or nobody reads it any more


class Execution:
    """One fragment at work: a task's with its `sources`, or a whole plan.

    ``timer``, a clock of the host in any unit, lets `spent` tell where the time goes.

    Raises PlanError when it is made of a fragment that cannot execute: Join and PointersScan
    (``not-executable``), a wrong number of inputs (``arity``), what an operator refuses.  Raises
    ExecutionError later, for rows that it cannot work on; it is then over for good.
    """

    def __init__(
        self,
        fragment: Plan,
        sources: Mapping[Node, Iterable[Stream]] | None = None,
        *,
        timer: Callable[[], int] | None = None,
    ) -> None:
        fragment.check_acyclic()
        self._fragment = fragment
        self._of_task = sources is not None
        self._open: dict[Source, _Station] = {}  # in the order in which the nodes read them
        self._wanted: dict[Source, None] = {}
        self._failure: ExecutionError | None = None
        self._timer = timer
        self._rows_in: dict[str, int] = {}
        self._spent: dict[str, int] = {}
        streams = {node: list(each) for node, each in (sources or {}).items()}
        root = fragment.root()
        stations = {
            node: _Station(self._work(node, streams), node.kind) for node in fragment.preorder()
        }
        for node, station in stations.items():
            for child in fragment.children(node):
                _connect(stations[child], station)
            self._attach(node, station, streams.get(node, []))
        self._root = stations[root]
        self._top = self._outermost_top(root, stations)
        for station in reversed(stations.values()):  # readers come after what they read
            if not station.inputs or station.work.done:
                self._flow([(station, None)])

    @classmethod
    def of(cls, task: Task) -> "Execution":
        """A task's fragment and its streams."""
        return cls(task.fragment, task.sources)

    # What the host asks.

    @property
    def sources(self) -> list[Source]:
        """All sources that are not over, node after node."""
        return list(self._open)

    def wants(self) -> list[Source]:
        """The sources whose next batch can be pushed; none once it is done or has failed."""
        return [] if self._failure is not None else list(self._wanted)

    def takes(self, source: Source) -> bool:
        """Whether `wants` has this source."""
        return self._failure is None and source in self._wanted

    @property
    def done(self) -> bool:
        """Whether nothing will come out any more."""
        return self._root.closed

    @property
    def contributing(self) -> ContributingTimeRange | None:
        """Which times can still change the answer, as far as the rows so far tell.

        None unless the outermost operator is a TopK by time alone that has its K rows.  The
        range only ever gets narrower.  A Batching above a TopK does not hide it.
        """
        return None if self._top is None else self._top.contributing

    def rows_in(self) -> dict[str, int]:
        """How many rows went into the nodes of each kind since this was asked last.

        A target of a ScanSet is a DataObjScan, and its rows go into the set, too.
        """
        rows, self._rows_in = self._rows_in, {}
        return rows

    def spent(self) -> dict[str, int]:
        """How long the nodes of each kind took since this was asked last, by the timer."""
        spent, self._spent = self._spent, {}
        return spent

    # What the host says.

    def push(self, source: Source, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        """Take a batch; what comes out.  One of a source that nobody wants is left out."""
        station = self._station(source)
        if not isinstance(batch, pa.RecordBatch):
            raise TypeError(f"push(batch): got {type(batch).__name__}, expected a RecordBatch")
        if not batch.num_rows or source not in self._wanted:
            return []
        return self._flow([(station, Rows.of(batch))])

    def end(self, source: Source) -> list[pa.RecordBatch]:
        """The source is over; what comes out."""
        station = self._station(source)
        del self._open[source]
        self._wanted.pop(source, None)
        return self._over(station)

    # The machine.

    def _station(self, source: Source) -> _Station:
        if self._failure is not None:
            raise self._failure
        station = self._open.get(source)
        if station is None:
            raise ExecutionError("not-a-source", str(source), "got it, expected one of `sources`")
        return station

    def _over(self, station: _Station) -> list[pa.RecordBatch]:
        station.inputs -= 1
        return self._flow([] if station.inputs else [(station, None)])

    def _flow(self, first: list[tuple[_Station, Rows | None]]) -> list[pa.RecordBatch]:
        """Let rows, or with None an end, go through; what reaches the root comes out.

        A queue and no recursion, since plans may be deep.
        """
        out: list[pa.RecordBatch] = []
        queue = deque(first)
        while queue:
            station, rows = queue.popleft()
            if station.closed:
                continue
            given = self._given(station, rows)
            for each in given:
                if not each.count:
                    continue
                queue.extend((reader, each) for reader in station.readers)
                if station is self._root:
                    out.append(each.tidy().batch())
            if rows is None:
                self._close(station)
                for reader in station.readers:
                    reader.inputs -= 1
                    if not reader.inputs:
                        queue.append((reader, None))
            elif station.work.done:
                queue.append((station, None))
        return out

    def _given(self, station: _Station, rows: Rows | None) -> list[Rows]:
        timer, kind = self._timer, station.kind
        start = 0 if timer is None else timer()
        if rows is not None:
            self._rows_in[kind] = self._rows_in.get(kind, 0) + rows.count
        try:
            given = station.work.finish() if rows is None else station.work.push(rows)
        except ExecutionError as error:
            self._failure = error
            raise
        if timer is not None:
            self._spent[kind] = self._spent.get(kind, 0) + timer() - start
        return given

    def _close(self, station: _Station) -> None:
        """This one is done: what only it reads is not wanted any more."""
        stack = [station]
        while stack:
            closing = stack.pop()
            closing.closed = True
            for source in closing.sources:
                self._wanted.pop(source, None)
            stack.extend(
                feeder
                for feeder in closing.feeders
                if not feeder.closed and all(reader.closed for reader in feeder.readers)
            )

    # Building.

    def _attach(self, node: Node, station: _Station, streams: list[Stream]) -> None:
        """Give a station its streams, or a scan its sections."""
        attached: list[tuple[Source, _Station]] = [(stream, station) for stream in streams]
        if isinstance(node, DataObjScan):
            attached.append((ScanSource(node, 0, node), station))
        elif isinstance(node, ScanSet):
            for index, target in enumerate(node.targets):
                scan = self._target(node, target)
                reader = _Station(ScanWork(scan, self._fragment.name(node)), scan.kind)
                _connect(reader, station)
                attached.append((ScanSource(node, index, scan), reader))
        for source, reader in attached:
            self._open[source] = reader
            self._wanted[source] = None
            reader.sources.append(source)
            reader.inputs += 1

    def _target(self, node: ScanSet, target: DataObjScan | PointersScan) -> DataObjScan:
        """A target with what the set adds to it, as partitioning does it."""
        if isinstance(target, PointersScan):
            raise _not_executable(self._fragment.name(node), "a PointersScan as a target")
        return replace(
            target,
            projections=node.projections + target.projections,
            predicates=node.predicates + target.predicates,
        )

    def _work(self, node: Node, streams: Mapping[Node, list[Stream]]) -> Operator:
        where = self._fragment.name(node)
        if isinstance(node, Join | PointersScan):
            raise _not_executable(where, f"a {node.kind}")
        # All streams of a node are one input.
        inputs = len(self._fragment.children(node)) + bool(streams.get(node))
        if isinstance(node, _LEAVES) and inputs:
            raise PlanError("arity", where, f"got {inputs} inputs, expected a leaf")
        if isinstance(node, _ONE_INPUT) and inputs > 1:
            raise PlanError("arity", where, f"got {inputs} inputs, expected 1")
        # In a task it may have stood above a Parallelize of no target, of which nothing is left.
        if isinstance(node, Batching) and not inputs and not self._of_task:
            raise PlanError("arity", where, "got no input, expected 1")
        return _operator(node, where)

    def _outermost_top(self, root: Node, stations: Mapping[Node, _Station]) -> TopKWork | None:
        node = root
        while isinstance(node, Batching | Parallelize) and self._fragment.children(node):
            [node] = self._fragment.children(node)
        work = stations[node].work
        return work if isinstance(work, TopKWork) else None


def _connect(feeder: _Station, reader: _Station) -> None:
    feeder.readers.append(reader)
    reader.feeders.append(feeder)
    reader.inputs += 1


def _not_executable(where: str, seen: str) -> PlanError:
    return PlanError(
        "not-executable", where, f"got {seen}, expected a node that executes here: it has no rows"
    )


def _operator(node: Node, where: str) -> Operator:
    if isinstance(node, DataObjScan):
        return ScanWork(node, where)
    if isinstance(node, Projection):
        return ProjectionWork(node, where)
    if isinstance(node, Filter):
        return FilterWork(node, where)
    if isinstance(node, Limit):
        return LimitWork(node)
    if isinstance(node, RangeAggregation):
        return RangeAggregationWork(node, where)
    if isinstance(node, VectorAggregation):
        return VectorAggregationWork(node, where)
    if isinstance(node, Compat):
        return CompatWork(node)
    if isinstance(node, TopK):
        return TopKWork(node)
    if isinstance(node, Batching):
        return BatchingWork(node.batch_size)
    if isinstance(node, Merge | Parallelize | ScanSet):
        return Pass()
    raise PlanError("not-executable", where, f"got {node.kind}, expected one of the known kinds")
