"""Fragments driven by a loop: sections of stored lines in, an answer out."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import pyarrow as pa

from workflow import Identifiers, Plan, Stream, Timestamp, partition
from workflow.execute import Execution, ScanSource, Source
from workflow.partition import attach_results
from workflow.plan import DataObjScan, Merge, Node, ScanSet
from workflow.task import Task

DATA: Final = Path(__file__).parent / "data"

Row = dict[str, Any]
Answer = Counter[tuple[tuple[str, Any], ...]]
Sections = Mapping[tuple[str, int], pa.RecordBatch]


def section(lines: Iterable[Mapping[str, Any]]) -> pa.RecordBatch:
    """Lines as they are stored: by stream, newest first."""
    ordered = sorted(
        lines, key=lambda line: (line["stream_id"], -Timestamp.parse(line["timestamp"]).ns)
    )
    labels = sorted({name for line in ordered for name in line["labels"]})
    metadata = sorted({name for line in ordered for name in line.get("metadata", {})})
    columns = {
        "stream_id": pa.array([line["stream_id"] for line in ordered], pa.int64()),
        "timestamp": pa.array(
            [Timestamp.parse(line["timestamp"]).ns for line in ordered], pa.timestamp("ns", "UTC")
        ),
        "message": pa.array([line["line"] for line in ordered], pa.string()),
    }
    for kind, names in (("labels", labels), ("metadata", metadata)):
        for name in names:
            values = [line.get(kind, {}).get(name) for line in ordered]
            columns[f"{kind.removesuffix('s')}.{name}"] = pa.array(values, pa.string())
    return pa.RecordBatch.from_pydict(columns)


@cache
def input_lines() -> list[Row]:
    return [json.loads(line) for line in (DATA / "input.jsonl").read_text("utf-8").splitlines()]


@cache
def objects(count: int) -> Sections:
    """The lines of the vectors in so many objects instead of eight."""
    return {
        (f"objects/{number}", 0): section(
            line for line in input_lines() if line["object"] % count == number
        )
        for number in range(count)
    }


def rebound(plan: Plan, sections: Sections, *, keep_ids: bool = True) -> Plan:
    """The plan with every scan set's targets replaced by these sections."""
    swapped: dict[Node, Node] = {}
    for node in plan:
        if isinstance(node, ScanSet):
            first = node.targets[0]
            assert isinstance(first, DataObjScan)
            ids = first.stream_ids if keep_ids else None
            swapped[node] = replace(
                node,
                targets=tuple(
                    DataObjScan(location=location, section=number, stream_ids=ids)
                    for location, number in sections
                ),
            )
    twin = Plan()
    for node in plan:
        twin.add(swapped.get(node, node))
    for node in plan:
        for child in plan.children(node):
            twin.add_edge(swapped.get(node, node), swapped.get(child, child))
    return twin


def permuted(plan: Plan, random: Random) -> Plan:
    """The plan with the targets of each scan set, and what each node reads, in another order."""
    twins: dict[Node, Node] = {}
    for node in plan:
        twins[node] = node
        if isinstance(node, ScanSet):
            twins[node] = replace(
                node, targets=tuple(random.sample(node.targets, len(node.targets)))
            )
    other = Plan()
    for node in random.sample(list(plan), len(plan)):
        other.add(twins[node])
    edges = list(plan.edges())
    for parent, child in random.sample(edges, len(edges)):
        other.add_edge(twins[parent], twins[child])
    return other


def cut(batch: pa.RecordBatch, random: Random | None) -> Iterator[pa.RecordBatch]:
    """The rows of a batch in pieces, some of them empty."""
    start = 0
    while random is not None and start < batch.num_rows:
        length = random.choice((0, 1, 2, 7, 50, 500))
        yield batch.slice(start, length)
        start += length
    yield batch.slice(start)


def run(plan: Plan, sections: Sections, random: Random | None = None) -> list[pa.RecordBatch]:
    """What a whole plan gives as one execution."""
    execution = Execution(plan)
    inputs = {
        source: deque(cut(sections[source.target.location, source.target.section], random))
        for source in execution.wants()
        if isinstance(source, ScanSource)
    }
    out: list[pa.RecordBatch] = []
    while wanted := execution.wants():
        source = wanted[0] if random is None else random.choice(wanted)
        batches = inputs[source]  # type: ignore[index]
        out += execution.push(source, batches.popleft()) if batches else execution.end(source)
    assert execution.done
    return out


class _Running:
    """The tasks of a plan, and what is under way between them."""

    def __init__(self, plan: Plan, sections: Sections, random: Random, *, encode: bool) -> None:
        ids = Identifiers()
        tasks = partition(plan, ids=ids)
        self.results = attach_results(tasks, ids=ids)
        self.random = random
        self.encode = encode
        self.executions = {task: Execution.of(task) for task in tasks}
        # A section that two tasks read is one source of each.
        self.scans: dict[tuple[Task, Source], deque[pa.RecordBatch]] = {}
        self.streams: dict[Source, deque[pa.RecordBatch]] = {self.results: deque()}
        self.over: dict[Source, None] = {}
        for task, execution in self.executions.items():
            for source in execution.sources:
                if isinstance(source, ScanSource):
                    target = source.target
                    pieces = cut(sections[target.location, target.section], random)
                    self.scans[task, source] = deque(pieces)
                    self.over[source] = None
                else:
                    self.streams[source] = deque()
            self._settle(task)

    def _settle(self, task: Task) -> None:
        if self.executions[task].done:
            self.over.update(dict.fromkeys(task.sink_streams()))

    def _buffer(self, task: Task, source: Source) -> deque[pa.RecordBatch]:
        scanned = self.scans.get((task, source))
        return self.streams[source] if scanned is None else scanned

    def _choices(self) -> list[tuple[Task, Source]]:
        return [
            (task, source)
            for task, execution in self.executions.items()
            for source in execution.wants()
            if self._buffer(task, source) or source in self.over
        ]

    def step(self) -> bool:
        choices = self._choices()
        if not choices:
            return False
        task, source = self.random.choice(choices)
        execution, buffer = self.executions[task], self._buffer(task, source)
        given = execution.push(source, buffer.popleft()) if buffer else execution.end(source)
        for batch in given:
            assert batch.num_rows
            for stream in task.sink_streams():
                self.streams[stream].append(through_ipc(batch) if self.encode else batch)
        self._settle(task)
        return True


def run_tasks(
    plan: Plan, sections: Sections, random: Random, *, encode: bool = False
) -> list[pa.RecordBatch]:
    """What the tasks of a plan give, each batch taken from any source that has one."""
    running = _Running(plan, sections, random, encode=encode)
    while running.step():
        pass
    assert all(execution.done for execution in running.executions.values())
    return list(running.streams[running.results])


def through_ipc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch as it comes out of Arrow's own encoding."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch()


def answer(rows: Iterable[Row]) -> Answer:
    """Rows as a multiset, each with every column of the answer."""
    listed = list(rows)
    names = sorted({name for row in listed for name in row})
    return Counter(tuple((name, row.get(name)) for name in names) for row in listed)


def json_rows(batches: Sequence[pa.RecordBatch]) -> list[Row]:
    """Rows as the vectors write them."""
    return [row for batch in batches for row in _rows(batch)]


def _rows(batch: pa.RecordBatch) -> Iterator[Row]:
    columns = {name: [_value(each) for each in batch.column(name)] for name in batch.schema.names}
    for place in range(batch.num_rows):
        yield {name: values[place] for name, values in columns.items()}


def _value(scalar: pa.Scalar) -> Any:
    if not scalar.is_valid:
        return None
    return str(Timestamp(scalar.value)) if pa.types.is_timestamp(scalar.type) else scalar.as_py()


def feed(
    plan: Plan,
    inputs: Mapping[Stream, Sequence[pa.RecordBatch]],
    sources: Mapping[Node, Sequence[Stream]],
    choose: Callable[[list[Source]], Source] = lambda wanted: wanted[0],
) -> list[pa.RecordBatch]:
    """What a fragment over streams gives."""
    execution = Execution(plan, sources)
    waiting = {stream: deque(batches) for stream, batches in inputs.items()}
    out: list[pa.RecordBatch] = []
    while wanted := execution.wants():
        source = choose(wanted)
        assert isinstance(source, Stream)
        batches = waiting[source]
        out += execution.push(source, batches.popleft()) if batches else execution.end(source)
    return out


_TYPES: Final = {
    "timestamp_ns": pa.timestamp("ns", "UTC"),
    "float64": pa.float64(),
    "utf8": pa.string(),
}


def batch_of(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows by full names of columns, times in nanoseconds."""
    names = sorted({name for row in rows for name in row})
    if not names:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(rows), pa.struct([])))
    arrays = [
        pa.array([row.get(name) for row in rows], _TYPES[name.split(".")[0]]) for name in names
    ]
    return pa.RecordBatch.from_arrays(arrays, names)


def rows_of(batches: Iterable[pa.RecordBatch]) -> list[Row]:
    """Rows without their nulls, times in nanoseconds."""
    return [
        {
            name: column[place].value
            if pa.types.is_timestamp(column.type)
            else column[place].as_py()
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if column[place].is_valid
        }
        for batch in batches
        for place in range(batch.num_rows)
    ]


def chain(*nodes: Node) -> tuple[Plan, Merge, Stream]:
    """A fragment of nodes above one another, the last one above a Merge that reads a stream."""
    plan = Plan()
    bottom = Merge()
    line = [plan.add(node) for node in (*nodes, bottom)]
    for number, node in enumerate(line):
        plan.ids[node] = number
    for parent, child in pairwise(line):
        plan.add_edge(parent, child)
    return plan, bottom, Stream(Identifiers().make())


def through(nodes: Node | Sequence[Node], *batches: Sequence[Row]) -> list[Row]:
    """The rows that come out of a chain of nodes for these batches."""
    plan, bottom, stream = chain(*([nodes] if isinstance(nodes, Node) else nodes))
    given = [batch_of(batch) for batch in batches]
    return rows_of(feed(plan, {stream: given}, {bottom: [stream]}))
