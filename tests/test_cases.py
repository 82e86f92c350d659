"""Small plans, each with the tasks that the reference cuts it into."""

from dataclasses import replace
from itertools import pairwise

import pytest
from cases import DATA, build, describe, load_cases, second

from workflow import (
    GraphError,
    Identifiers,
    Plan,
    TimeRange,
    partition,
    sprint,
)
from workflow.expressions import Call, Column, ColumnType, Expression, Literal
from workflow.partition import attach_results
from workflow.plan import DataObjScan, Filter, Merge, RangeAggregation, ScanSet, TopK

CASES = load_cases()


def cut(name: str) -> list[str]:
    plan, names = build(CASES[name])
    return describe(partition(plan), names)


def test_all_58_cases_are_there() -> None:
    assert len(CASES) == 58


@pytest.mark.parametrize("name", CASES)
def test_a_plan_becomes_the_tasks_of_its_case(name: str) -> None:
    case = CASES[name]
    if case.error and not case.tasks:
        with pytest.raises(GraphError) as refused:
            cut(name)
        assert refused.value.rule == case.error
        return
    seen = cut(name)
    if name == "V48":  # two roots, whose order the reference leaves open
        seen.sort(key=lambda line: line.split(" ")[1], reverse=True)
        seen = [f"T{i} {line.split(' ', 1)[1]}" for i, line in enumerate(seen, 1)]
    assert seen == case.tasks
    if case.error:
        plan, _ = build(case)
        with pytest.raises(GraphError) as refused:
            attach_results(partition(plan), ids=Identifiers("results"))
        assert refused.value.rule == case.error


def test_the_predicates_of_a_scan_set_come_before_the_ones_of_its_target() -> None:
    late: Expression = Call("GT", (Column(ColumnType.BUILTIN, "timestamp"), Literal(second(5))))
    bad: Expression = Call("NEQ", (Column(ColumnType.LABEL, "err"), Literal("")))
    plan, _ = build(CASES["V06"])
    scan_set = next(node for node in plan if isinstance(node, ScanSet))
    target = replace(scan_set.targets[0], predicates=(bad,))
    changed = replace(scan_set, targets=(target,), predicates=(late,))
    plan.inject(scan_set, changed)
    plan.eliminate(scan_set)
    [_, shard] = partition(plan).preorder()
    [scan] = shard.fragment
    assert isinstance(scan, DataObjScan)
    assert scan.predicates == (late, bad)


def test_shards_of_a_nested_branch_read_streams_without_a_tenant() -> None:
    plan, _ = build(CASES["V36"])
    tasks = partition(plan, tenant="acme")
    root, *rest = tasks.preorder()
    assert [stream.tenant for stream in root.source_streams()] == ["acme", "acme"]
    twins = [stream for task in rest for stream in task.source_streams()]
    assert [stream.tenant for stream in twins] == [""] * 4


def test_a_plan_stays_as_it_is_when_it_is_cut() -> None:
    plan, names = build(CASES["V36"])
    before = [(node, plan.children(node), plan.parents(node)) for node in plan]
    first = describe(partition(plan), names)
    assert [(node, plan.children(node), plan.parents(node)) for node in plan] == before
    assert describe(partition(plan), names) == first


def test_errors_name_the_node_and_what_would_be_right() -> None:
    for name, message in {
        "V49": "two-shardable: Parallelize: got 2 scan sets in one branch (ScanSet and ScanSet),"
        " expected at most 1",
        "V51": "parallelize-arity: Parallelize: got 2 children, expected 1",
        "V52": "no-root: got no nodes, expected a node without a parent",
        "V53": "many-roots: got 2 nodes without a parent (DataObjScan, DataObjScan), expected 1",
    }.items():
        with pytest.raises(GraphError) as refused:
            cut(name)
        assert str(refused.value) == message


def test_a_cycle_is_shown_as_a_path() -> None:
    plan = Plan()
    for number, node in enumerate((Merge(), Filter(), TopK())):
        plan.ids[plan.add(node)] = number
    merge, filter_, top = plan
    plan.add_edge(merge, filter_)
    plan.add_edge(filter_, top)
    plan.add_edge(top, filter_)
    with pytest.raises(GraphError) as refused:
        partition(plan)
    assert str(refused.value) == "cycle: node 1 (Filter) > node 2 (TopK) > node 1 (Filter)"


def test_a_chain_of_ten_thousand_breakers_needs_no_recursion() -> None:
    plan = Plan()
    nodes = [plan.add(TopK()) for _ in range(10_000)]
    for parent, child in pairwise(nodes):
        plan.add_edge(parent, child)
    tasks = partition(plan)
    attach_results(tasks, ids=Identifiers("results"))
    assert len(tasks) == 10_000
    assert sprint(tasks).count("┌ Task") == 10_000


def test_the_printed_form_of_v28_is_the_known_text() -> None:
    app: Expression = Call("EQ", (Column(ColumnType.LABEL, "app"), Literal("x")))
    plan = Plan()
    merge, fa, fb = plan.add(Merge()), plan.add(Filter(predicates=(app,))), plan.add(Filter())
    sums = plan.add(
        RangeAggregation(
            operation="sum",
            start=second(60),
            end=second(120),
            step_ns=30 * 10**9,
            range_ns=60 * 10**9,
        )
    )
    scan = plan.add(DataObjScan(location="obj", max_time_range=TimeRange(second(10), second(130))))
    for parent, child in ((merge, fa), (merge, fb), (fa, sums), (fb, sums), (sums, scan)):
        plan.add_edge(parent, child)
    ids = Identifiers()
    tasks = partition(plan, ids=ids)
    results = attach_results(tasks, ids=ids)
    t1, t2 = tasks.preorder()
    text = sprint(tasks)
    known = [t1.id, t2.id, *(stream.id for stream in t1.source_streams()), results.id]
    for number, identifier in enumerate(known, 1):
        text = text.replace(str(identifier), f"ID{number}")
    assert text == (DATA / "v28.txt").read_text(encoding="utf-8")
