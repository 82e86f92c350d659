"""The printed workflow, to the character where the reference says how."""

import io

import pytest
from cases import Case, build, load_cases, second

from sim.inline import InlineRunner
from workflow import (
    Identifiers,
    Plan,
    TaskGraph,
    TimeRange,
    Workflow,
    fprint,
    partition,
    plan_to_text,
    sprint,
    tree,
)
from workflow.expressions import Call, Column, ColumnType, Literal
from workflow.partition import attach_results
from workflow.plan import (
    Compat,
    DataObjScan,
    Filter,
    Limit,
    Merge,
    Node,
    PointersScan,
    Projection,
    RangeAggregation,
    ScanSet,
    VectorAggregation,
)
from workflow.tree import TreeTooLarge

CASES = load_cases()
ZERO = "0001-01-01T00:00:00Z"
APP = Column(ColumnType.LABEL, "app")


def text_of(tasks: TaskGraph) -> str:
    """The printed form, each identifier replaced by how many came before it: <1>, <2>, ..."""
    text = sprint(tasks)
    known = [task.id for task in tasks.preorder()]
    known += [stream.id for task in tasks.preorder() for stream in task.source_streams()]
    known += [stream.id for stream in tasks.root().sink_streams()]
    for number, each in enumerate(known, 1):
        text = text.replace(str(each), f"<{number}>")
    return text


def tasks_of(case: Case) -> TaskGraph:
    ids = Identifiers()
    tasks = partition(build(case)[0], ids=ids)
    attach_results(tasks, ids=ids)
    return tasks


def only(node: Node) -> str:
    plan = Plan()
    plan.add(node)
    return plan_to_text(plan)


J04 = f"""\
┌ Task <1>
│ @max_time_range start=1970-01-01T00:00:01Z end=1970-01-01T00:00:09Z
│
│ Join
│ │   └── @sink stream=<4>
│ ├── Filter
│ │   └── Merge
│ │       │   └── @source stream=<3>
│ │       └── DataObjScan location=x streams=0 section_id=0 projections=()
│ │               └── @max_time_range start=1970-01-01T00:00:01Z end=1970-01-01T00:00:09Z
│ └── Filter
│     └── Merge
│         └── DataObjScan location=x streams=0 section_id=0 projections=()
│                 └── @max_time_range start=1970-01-01T00:00:01Z end=1970-01-01T00:00:09Z
└
┌ Task <2>
│ @max_time_range start={ZERO} end={ZERO}
│
│ TopK sort_by=builtin.timestamp ascending=false nulls_first=false k=0
│     └── @sink stream=<3>
└
"""


def test_j04_a_node_with_two_parents_prints_under_both_and_its_streams_once() -> None:
    nodes = "j=Join; f1=Filter; f2=Filter; m=Merge; k=TopK; x=Scan(1..9)"
    case = Case("", nodes, "j > f1 f2; f1 > m; f2 > m; m > k x")
    assert text_of(tasks_of(case)) == J04


def test_j04_a_shard_with_two_parents_prints_under_both() -> None:
    text = text_of(tasks_of(CASES["V40"]))
    assert [text.count(f"DataObjScan location={scan} ") for scan in ("a", "b")] == [2, 2]
    assert (text.count("@source"), text.count("@sink")) == (2, 3)


def test_j05_an_unset_range_prints_year_1_twice() -> None:
    assert f"│ @max_time_range start={ZERO} end={ZERO}\n│\n│ VectorAggregation" in text_of(
        tasks_of(CASES["V45"])
    )


def test_a_half_set_range_prints_what_is_set() -> None:
    scan = DataObjScan(location="o", max_time_range=TimeRange(None, second(1)))
    assert only(scan) == (
        "DataObjScan location=o streams=0 section_id=0 projections=()\n"
        f"    └── @max_time_range start={ZERO} end=1970-01-01T00:00:01Z\n"
    )


@pytest.mark.parametrize(
    ("node", "line"),
    [
        (Filter(), "Filter"),
        (Limit(skip=2, fetch=5), "Limit offset=2 limit=5"),
        (Projection(all=True), "Projection all=true"),
        (Projection(expand=True, drop=True), "Projection all=false expand=()"),
        (
            Projection(drop=True, expressions=(APP, APP)),
            "Projection all=false drop=(label.app, label.app)",
        ),
        (
            RangeAggregation(step_ns=90 * 10**9, range_ns=1),
            (
                f"RangeAggregation operation=invalid start={ZERO} end={ZERO} step=1m30s range=1ns"
                " group_by=()"
            ),
        ),
        (
            VectorAggregation(operation="sum", group_by=(APP,)),
            "VectorAggregation operation=sum group_by=(label.app)",
        ),
        (VectorAggregation(without=True), "VectorAggregation operation=invalid"),
        (
            VectorAggregation(without=True, group_by=(APP,)),
            "VectorAggregation operation=invalid group_without=(label.app)",
        ),
        (
            Compat(collisions=("label", "parsed")),
            "Compat src=metadata dst=metadata collisions=(label, parsed)",
        ),
        (
            PointersScan(location="i", predicates=(APP,)),
            f"PointersScan location=i num_predicates=1 start={ZERO} end={ZERO}",
        ),
        (ScanSet(), "ScanSet num_targets=0"),
    ],
    ids=lambda value: value.split(" ")[0] if isinstance(value, str) else "",
)
def test_a_node_prints_its_properties_in_the_order_of_the_reference(node: Node, line: str) -> None:
    assert only(node) == line + "\n"


def test_the_targets_of_a_scan_set_are_comments_without_ranges_of_their_own() -> None:
    late = Call("GT", (Column(ColumnType.BUILTIN, "timestamp"), Literal(second(5))))
    scans = ScanSet(
        targets=(
            DataObjScan(location="o", section=3, stream_ids=(1, 2), predicates=(late,)),
            PointersScan(location="i", end=second(1)),
        ),
        projections=(APP,),
        predicates=(Call("EQ", (APP, Literal("x"))),),
    )
    assert only(scans) == (
        'ScanSet num_targets=2 projections=(label.app) predicate[0]=EQ(label.app, "x")\n'
        "    ├── @target type=ScanTypeDataObject location=o streams=2 section_id=3 projections=()"
        " predicate[0]=GT(builtin.timestamp, 1970-01-01T00:00:05Z)\n"
        f"    └── @target type=ScanTypePointers location=i num_predicates=0 start={ZERO}"
        " end=1970-01-01T00:00:01Z\n"
    )


def test_sources_come_before_sinks_and_after_a_nodes_own_comments() -> None:
    text = text_of(tasks_of(CASES["V31"]))
    assert (
        "│ TopK sort_by=builtin.timestamp ascending=false nulls_first=false k=0\n"
        "│     ├── @source stream=<8>\n"
        "│     └── @sink stream=<6>\n"
    ) in text


@pytest.mark.parametrize("name", ["V04", "V28", "V36", "V40", "V45"])
def test_fprint_writes_what_sprint_returns(name: str) -> None:
    tasks, out = tasks_of(CASES[name]), io.StringIO()
    fprint(out, tasks)
    assert out.getvalue() == sprint(tasks)


def test_a_workflow_prints_as_its_tasks_do() -> None:
    workflow = Workflow(build(CASES["V36"])[0], InlineRunner())
    out = io.StringIO()
    fprint(out, workflow)
    assert str(workflow) == sprint(workflow) == sprint(workflow.tasks) == out.getvalue()


def test_no_task_prints_nothing() -> None:
    assert sprint(TaskGraph()) == ""


def test_a_fragment_that_prints_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan()
    top: Node = plan.add(Merge())
    for _ in range(60):
        left, right, bottom = plan.add(Filter()), plan.add(Filter()), plan.add(Merge())
        for side in (left, right):
            plan.add_edge(top, side)
            plan.add_edge(side, bottom)
        top = bottom
    monkeypatch.setattr(tree, "MAX_LINES", 500)
    with pytest.raises(TreeTooLarge):
        sprint(partition(plan))
