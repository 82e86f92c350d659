"""The machine around the operators: sources, ends, refusals."""

import pyarrow as pa
import pytest
from executed import batch_of, chain, rows_of

from workflow import Identifiers, Plan, PlanError, RootError, Stream, partition
from workflow.execute import Execution, ExecutionError, ScanSource
from workflow.expressions import parse_expression
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
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    TopK,
    VectorAggregation,
)
from workflow.times import Timestamp

N = "utf8.label.n"
TIME = "timestamp_ns.builtin.timestamp"
RANGE = RangeAggregation(
    operation="count", start=Timestamp(0), end=Timestamp(9), step_ns=1, range_ns=1
)


def plan_of(edges: dict[Node, list[Node]]) -> Plan:
    plan = Plan()
    for parent, children in edges.items():
        plan.add(parent)
        for child in children:
            plan.add(child)
            plan.add_edge(parent, child)
    return plan


def streams(count: int) -> list[Stream]:
    ids = Identifiers()
    return [Stream(ids.make()) for _ in range(count)]


def one(text: str) -> pa.RecordBatch:
    return batch_of([{N: text}])


def test_all_sources_are_wanted_node_after_node_and_taken_in_any_order() -> None:
    first, second = Merge(), Merge()
    plan = plan_of({Merge(): [first, second]})
    a, b, c = streams(3)
    execution = Execution(plan, {second: [c], first: [a, b]})
    assert execution.wants() == execution.sources == [a, b, c]
    out = [*execution.push(c, one("1")), *execution.push(a, one("2")), *execution.push(c, one("3"))]
    assert [row[N] for row in rows_of(out)] == ["1", "2", "3"]
    for source in (c, a, b):
        assert not execution.done
        execution.end(source)
    assert execution.done
    assert execution.wants() == []


def test_an_empty_batch_is_no_end_and_gives_nothing() -> None:
    plan, bottom, stream = chain(TopK())
    execution = Execution(plan, {bottom: [stream]})
    assert execution.push(stream, one("x").slice(1)) == []
    assert execution.wants() == [stream]
    execution.push(stream, one("x"))
    assert rows_of(execution.end(stream)) == [{N: "x"}]


@pytest.mark.parametrize(
    "node",
    [
        Projection(expressions=(parse_expression("ABS(generated.value)"),), expand=True),
        Filter(),
        Limit(fetch=1),
        RANGE,
        VectorAggregation(operation="sum"),
        Merge(),
        Compat(),
        TopK(),
        Parallelize(),
        ScanSet(),
    ],
)
def test_a_node_without_inputs_is_done_at_once(node: Node) -> None:
    execution = Execution(plan_of({node: []}))
    assert execution.done
    assert execution.wants() == []
    below = Execution(plan_of({Batching(batch_size=3): [Merge()]}))
    assert below.done


@pytest.mark.parametrize("node", [Join(), PointersScan(location="index/1")])
def test_join_and_pointers_scan_are_refused_by_name(node: Node) -> None:
    plan = plan_of({Merge(): [node]})
    plan.ids[node] = 5
    with pytest.raises(PlanError) as refused:
        Execution(plan)
    assert refused.value.rule == "not-executable"
    assert refused.value.where == f"node 5 ({node.kind})"


def test_a_scan_set_of_pointers_is_refused() -> None:
    with pytest.raises(PlanError, match="not-executable: ScanSet: got a PointersScan as a target"):
        Execution(plan_of({ScanSet(targets=(PointersScan(),)): []}))


@pytest.mark.parametrize(
    "node",
    [
        Projection(expressions=(parse_expression("label.x"),)),
        Filter(),
        Limit(fetch=1),
        Compat(),
        Parallelize(),
        Batching(batch_size=1),
        DataObjScan(),
        ScanSet(),
    ],
)
def test_a_wrong_number_of_inputs_is_refused(node: Node) -> None:
    with pytest.raises(PlanError) as refused:
        Execution(plan_of({node: [Merge(), Merge()]}))
    assert refused.value.rule == "arity"
    with pytest.raises(PlanError, match="arity"):
        Execution(plan_of({Batching(): []}))


@pytest.mark.parametrize("over", [Batching(batch_size=2), Filter(), TopK(k=1), Merge()])
def test_above_a_parallelize_of_no_target_a_task_has_an_empty_answer(over: Node) -> None:
    top, below = Limit(fetch=3), Parallelize()
    plan = plan_of({top: [over], over: [below], below: [ScanSet()]})
    [lowest] = partition(plan).leaves()
    assert list(lowest.source_streams()) == []
    for execution in (Execution.of(lowest), Execution(plan)):
        assert (execution.wants(), execution.done) == ([], True)


def test_all_streams_of_a_node_are_one_input() -> None:
    node = Filter()
    sources = streams(3)
    execution = Execution(plan_of({node: []}), {node: sources})
    assert execution.wants() == sources


def test_a_fragment_needs_one_root() -> None:
    with pytest.raises(RootError):
        Execution(plan_of({Merge(): [], TopK(): []}))
    with pytest.raises(RootError):
        Execution(Plan())


def test_a_node_with_two_readers_gives_its_rows_to_both() -> None:
    shared = Merge()
    left = Filter(predicates=(parse_expression('EQ(label.n, "1")'),))
    right = Filter()
    execution = Execution(
        plan_of({Merge(): [left, right], left: [shared], right: [shared]}),
        {shared: (sources := streams(1))},
    )
    out = execution.push(sources[0], batch_of([{N: "1"}, {N: "2"}]))
    assert sorted(row[N] for row in rows_of(out)) == ["1", "1", "2"]
    assert execution.end(sources[0]) == []
    assert execution.done


def test_what_only_a_limit_read_is_wanted_no_more() -> None:
    limit, other, shared, own = Limit(fetch=1), Merge(), Merge(), Merge()
    a, b, c = streams(3)
    plan = plan_of({Merge(): [limit, other], limit: [Merge()], other: [shared]})
    between = plan.children(limit)[0]
    plan.add(own)
    plan.add_edge(between, own)
    plan.add_edge(between, shared)
    execution = Execution(plan, {own: [a], shared: [b], other: [c]})
    assert execution.wants() == [a, b, c]
    execution.push(a, one("1"))
    assert execution.wants() == [b, c]
    assert execution.sources == [a, b, c]
    assert not execution.takes(a)
    assert rows_of(execution.push(b, one("2"))) == [{N: "2"}]
    assert execution.push(a, one("3")) == []
    for source in (a, b, c):
        execution.end(source)
    assert execution.done


def test_the_end_of_a_limit_ends_what_lies_above() -> None:
    plan, bottom, stream = chain(Batching(batch_size=100), TopK(), Limit(fetch=1))
    execution = Execution(plan, {bottom: [stream]})
    assert rows_of(execution.push(stream, batch_of([{N: "1"}, {N: "2"}]))) == [{N: "1"}]
    assert execution.done


def test_a_host_that_breaks_the_order_of_calls_is_told() -> None:
    plan, bottom, stream = chain(Filter())
    execution = Execution(plan, {bottom: [stream]})
    [other] = streams(1)
    with pytest.raises(ExecutionError, match="not-a-source: stream "):
        execution.push(other, one("x"))
    with pytest.raises(ExecutionError, match="not-a-source: stream "):
        execution.end(other)
    with pytest.raises(TypeError, match="got Table, expected a RecordBatch"):
        execution.push(stream, pa.table({N: ["x"]}))
    execution.end(stream)
    with pytest.raises(ExecutionError, match="not-a-source"):
        execution.end(stream)
    with pytest.raises(ExecutionError, match="not-a-source"):
        execution.push(stream, one("x"))


def test_after_a_failure_nothing_is_wanted_and_the_failure_stays() -> None:
    node = Filter(predicates=(parse_expression("EQ(label.n, 1)"),))
    plan, bottom, stream = chain(node)
    execution = Execution(plan, {bottom: [stream]})
    with pytest.raises(ExecutionError) as first:
        execution.push(stream, one("x"))
    assert execution.wants() == []
    assert not execution.takes(stream)
    assert not execution.done
    with pytest.raises(ExecutionError) as second:
        execution.end(stream)
    assert second.value is first.value


def test_a_plan_may_be_deep() -> None:
    plan, bottom, stream = chain(*(Filter() for _ in range(5_000)))
    execution = Execution(plan, {bottom: [stream]})
    assert rows_of(execution.push(stream, one("x"))) == [{N: "x"}]
    execution.end(stream)
    assert execution.done


def test_a_task_brings_its_fragment_and_its_streams() -> None:
    top, scans = TopK(k=1), ScanSet(targets=(DataObjScan(location="a"), DataObjScan(location="b")))
    tasks = partition(plan_of({top: [mark := Parallelize()], mark: [scans]}))
    root = tasks.root()
    assert Execution.of(root).wants() == list(root.source_streams())
    for task, location in zip(tasks.children(root), "ab", strict=True):
        [source] = Execution.of(task).wants()
        assert isinstance(source, ScanSource)
        assert source.target.location == location


def test_two_runs_give_the_same_bytes() -> None:
    def once() -> list[pa.RecordBatch]:
        plan, bottom, stream = chain(RANGE)
        execution = Execution(plan, {bottom: [stream]})
        execution.push(stream, batch_of([{TIME: n % 5, N: str(n)} for n in range(50)]))
        return execution.end(stream)

    assert [batch.equals(other) for batch, other in zip(once(), once(), strict=True)] == [True]
