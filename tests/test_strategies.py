"""The strategies: all that may occur does, each scenario can run, and what is drawn shrinks."""

import inspect
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest
from hypothesis import Phase, find, given, note, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.vendor.pretty import pretty

import sim.latency
import sim.scenario
import workflow
from properties import strategies
from properties.judged import judged
from properties.strategies import (
    REFUSALS,
    TROUBLE,
    clients,
    clusters,
    drawn_choices,
    faults,
    from_plan,
    latencies,
    plans,
    refused_plans,
    scenarios,
    sections,
    seeds,
    workloads,
)
from sim.choices import Deltas, Seeded
from sim.inline import InlineRunner
from sim.latency import Bimodal, Constant, Empirical, Exponential, Lognormal, Uniform
from sim.scenario import FAULT_KINDS, Client, Cluster, Fault, Scenario, Workload
from sim.scenario_file import scenario_from_json, scenario_to_json
from sim.simulate import simulate
from workflow import (
    GraphError,
    Options,
    Plan,
    Workflow,
    partition,
    plan_from_json,
    plan_to_json,
)
from workflow.execute import Execution
from workflow.plan import NODE_KINDS, DataObjScan, Filter, Merge, Node, Parallelize, ScanSet

T = TypeVar("T")

SHAPES = (Constant, Uniform, Exponential, Lognormal, Bimodal, Empirical)
NAMES = {
    name: getattr(module, name)
    for module in (sim.latency, sim.scenario, workflow)
    for name in module.__all__
}
SURELY = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=5_000,
    phases=(Phase.generate, Phase.shrink),
)


def simplest(strategy: st.SearchStrategy[T], condition: Callable[[T], bool] = bool) -> T:
    return find(strategy, condition, settings=SURELY)


def always(_value: object) -> bool:
    return True


@cache
def calm() -> Scenario:
    return simplest(scenarios(), always)


@cache
def drawn(count: int) -> tuple[Scenario, ...]:
    """The same scenarios each time."""
    seen: list[Scenario] = []

    @settings(SURELY, max_examples=count)
    @given(scenarios())
    def draw(scenario: Scenario) -> None:
        seen.append(scenario)

    draw()
    return tuple(seen)


# What is drawn.


def below(plan: Plan, node: Node) -> Iterator[Node]:
    return (each for each in plan.walk(node) if each is not node)


def of_plan(plan: Plan) -> Iterator[str]:
    tasks = partition(plan)
    for node in plan:
        yield node.kind
        for target in getattr(node, "targets", ()):
            yield f"target {target.kind}"
        if isinstance(node, ScanSet) and not node.targets:
            yield "empty scan set"
        if isinstance(node, Parallelize) and any(
            isinstance(each, Parallelize) for each in below(plan, node)
        ):
            yield "nested Parallelize"
        if len(plan.parents(node)) > 1:
            yield "shared node"
    if any(len(tasks.parents(task)) > 1 for task in tasks):
        yield "task with several parents"


def of_workload(workload: Workload) -> Iterator[str]:
    client = workload.client
    if workload.options.max_running_scan_tasks:
        yield "limited scans"
    if workload.options.max_running_other_tasks:
        yield "limited others"
    for name in ("close_after", "stall_after", "cancel_at", "close_at"):
        if getattr(client, name) is not None:
            yield f"client {name}"
    yield "client never reads" if client.never_reads else "client reads"
    yield "rows" if workload.rows_per_scan else "no rows"


def of_fault(fault: Fault) -> Iterator[str]:
    for when in ("at", "nth", "per_million"):
        if getattr(fault, when) is not None:
            yield f"{fault.kind} {when}"
    for whom in ("worker", "task", "workload"):
        if getattr(fault, whom) is not None:
            yield f"fault of one {whom}"
    if fault.nth == -1:
        yield "a failure at the end"
    if fault.silent:
        yield "a failure without an error"


def features(scenario: Scenario) -> Iterator[str]:
    for workload in scenario.workloads:
        yield from of_plan(workload.plan)
        yield from of_workload(workload)
    for fault in scenario.faults:
        yield from of_fault(fault)
    cluster = scenario.cluster
    for name in ("control", "data", "work"):
        yield f"{name} {type(getattr(cluster, name)).__name__}"
    for name in ("slack", "ack_timeout", "detect", "notify"):
        if getattr(cluster, name) != getattr(Cluster(), name):
            yield f"another {name}"
    yield f"{len(scenario.workloads)} workloads"
    yield f"{cluster.workers} workers"
    yield "trouble" if scenario.faults else "calm"


EXPECTED = (
    *NODE_KINDS,
    "target DataObjScan",
    "target PointersScan",
    "empty scan set",
    "nested Parallelize",
    "shared node",
    "task with several parents",
    "limited scans",
    "limited others",
    *(f"client {name}" for name in ("close_after", "stall_after", "cancel_at", "close_at")),
    "client never reads",
    "client reads",
    "no rows",
    "rows",
    *(f"{kind} {when}" for kind in FAULT_KINDS for when in ("at", "nth", "per_million")),
    *(f"fault of one {whom}" for whom in ("worker", "task", "workload")),
    "a failure at the end",
    "a failure without an error",
    *(f"{name} {shape.__name__}" for name in ("control", "data", "work") for shape in SHAPES),
    *(f"another {name}" for name in ("slack", "ack_timeout", "detect", "notify")),
    *(f"{count} workloads" for count in (1, 2, 3)),
    *(f"{count} workers" for count in (1, 2, 3, 4)),
    "calm",
    "trouble",
)


def test_everything_that_may_occur_does_within_a_thousand_draws() -> None:
    seen = Counter(each for scenario in drawn(1_000) for each in dict.fromkeys(features(scenario)))
    assert [each for each in EXPECTED if not seen[each]] == []
    assert seen["calm"] > 100


def test_a_scenario_is_the_same_after_a_round_trip_through_its_file() -> None:
    # What reads it refuses plans and limits that cannot run, and faults about what is not there.
    for scenario in drawn(1_000)[:300]:
        assert scenario_from_json(scenario_to_json(scenario)) == scenario


def test_tasks_have_slots_enough_on_any_worker() -> None:
    for scenario in drawn(1_000)[:300]:
        tasks = sum(len(partition(workload.plan)) for workload in scenario.workloads)
        assert scenario.cluster.slots >= tasks


@settings(max_examples=100)
@given(scenarios(), seeds())
def test_sound_parts_break_no_rule(scenario: Scenario, seed: int) -> None:
    assert judged(scenario, Seeded(seed)).violations == ()


@settings(max_examples=40)
@given(scenarios(max_workloads=1), drawn_choices())
def test_sound_parts_break_no_rule_whatever_hypothesis_answers(
    scenario: Scenario, choices: Any
) -> None:
    assert judged(scenario, choices).violations == ()


@given(plans(min_tasks=3, max_tasks=5))
def test_a_plan_runs_and_has_as_many_tasks_as_was_asked(plan: Plan) -> None:
    assert 3 <= len(Workflow(plan, InlineRunner())) <= 5


@given(plans(min_targets=1, max_targets=2))
def test_a_scan_set_has_as_many_targets_as_was_asked(plan: Plan) -> None:
    for node in plan:
        assert not isinstance(node, ScanSet) or 1 <= len(node.targets) <= 2


EXECUTE = [kind for kind in NODE_KINDS if kind not in ("Join", "PointersScan")]


def test_plans_that_execute_have_every_kind_of_node_that_does() -> None:
    seen: Counter[str] = Counter()

    @settings(SURELY, max_examples=300)
    @given(plans(executable=True))
    def draw(plan: Plan) -> None:
        seen.update(of_plan(plan))

    draw()
    shapes = ["target DataObjScan", "empty scan set", "nested Parallelize", "shared node"]
    assert [each for each in [*EXECUTE, *shapes] if not seen[each]] == []
    assert not seen["Join"] + seen["PointersScan"] + seen["target PointersScan"]


@given(plans(executable=True, min_tasks=2, max_tasks=5))
def test_a_plan_that_executes_makes_an_execution_of_each_task(plan: Plan) -> None:
    tasks = partition(plan)
    assert 2 <= len(tasks) <= 5
    for task in tasks:
        read = Execution.of(task).sources
        assert all(stream in read for stream in task.source_streams())


@given(sections(min_rows=2, max_rows=5))
def test_a_section_is_in_storage_form(section: pa.RecordBatch) -> None:
    assert 2 <= section.num_rows <= 5
    streams, times = (section.column(name).cast("int64") for name in ("stream_id", "timestamp"))
    order = [(s, -t) for s, t in zip(streams.to_pylist(), times.to_pylist(), strict=True)]
    assert order == sorted(order)
    assert not section.column("message").null_count


def test_a_shrunk_section_has_no_row() -> None:
    assert simplest(sections(), always).num_rows == 0
    assert len(simplest(plans(executable=True), always)) == 1


@pytest.mark.parametrize("rule", REFUSALS)
def test_a_plan_is_refused_for_the_rule_that_was_asked(rule: str) -> None:
    @settings(max_examples=40)
    @given(refused_plans(rules=[rule]))
    def refused(plan: Plan) -> None:
        with pytest.raises(GraphError) as caught:
            Workflow(plan, InlineRunner())
        assert caught.value.rule == rule

    refused()


def test_plans_are_refused_for_each_rule() -> None:
    def rule(plan: Plan) -> str:
        with pytest.raises(GraphError) as caught:
            Workflow(plan, InlineRunner())
        return caught.value.rule

    seen: dict[str, None] = {}

    @settings(SURELY, max_examples=100)
    @given(refused_plans())
    def draw(plan: Plan) -> None:
        seen[rule(plan)] = None

    draw()
    assert sorted(seen) == sorted(REFUSALS)


@given(
    scenarios(
        min_workloads=2,
        max_workloads=2,
        min_tasks=2,
        max_tasks=3,
        min_workers=3,
        max_workers=5,
        min_rows=7,
        max_rows=8,
        min_faults=1,
        max_faults=2,
        trouble=["slow_link", "limits"],
    )
)
def test_a_scenario_keeps_within_its_bounds(scenario: Scenario) -> None:
    assert len(scenario.workloads) == 2
    for workload in scenario.workloads:
        assert 2 <= len(partition(workload.plan)) <= 3
        assert 7 <= workload.rows_per_scan <= 8
        assert workload.client == Client()
    assert 3 <= scenario.cluster.workers <= 5
    assert 1 <= len(scenario.faults) <= 2
    assert [fault.kind for fault in scenario.faults if fault.kind != "slow_link"] == []
    assert scenario.cluster.slack == 0


@given(scenarios(trouble=()))
def test_without_trouble_every_reader_comes_to_the_end(scenario: Scenario) -> None:
    assert scenario.faults == ()
    ends = [end.end for end in simulate(scenario, Seeded(1)).ends]
    assert ends == ["eof"] * len(scenario.workloads)


def test_every_workload_of_a_given_plan_runs_it() -> None:
    plan = plan_of(Filter(), DataObjScan())

    @settings(max_examples=20)
    @given(from_plan(plan, min_workloads=2, max_rows=3))
    def same(scenario: Scenario) -> None:
        assert [workload.plan for workload in scenario.workloads] == [plan] * len(
            scenario.workloads
        )
        assert len(scenario.workloads) >= 2

    same()


def plan_of(*nodes: Node) -> Plan:
    plan = Plan()
    for above, node in zip((None, *nodes), nodes, strict=False):
        plan.add(node)
        if above is not None:
            plan.add_edge(above, node)
    return plan


@given(clusters(min_workers=2, max_workers=3, min_slots=1, max_slots=2))
def test_a_cluster_keeps_within_its_bounds(cluster: Cluster) -> None:
    assert 2 <= cluster.workers <= 3
    assert 1 <= cluster.slots <= 2


@given(faults(kinds=["half_open", "cancel_task"], max_worker=1, max_task=2))
def test_a_fault_is_of_a_kind_and_about_somebody_that_was_named(fault: Fault) -> None:
    assert fault.kind in ("half_open", "cancel_task")
    assert fault.worker in (None, 0, 1)
    assert fault.task in (None, 0, 1, 2)
    assert fault.workload is None


@given(latencies(min_ticks=5, max_ticks=9))
def test_a_latency_is_in_order_and_its_constants_are_within_the_bounds(latency: Any) -> None:
    table = latency.table()
    assert list(table) == sorted(table)
    assert not isinstance(latency, Constant) or 5 <= latency.ticks <= 9


@given(seeds())
def test_a_seed_is_a_number_of_63_bits(seed: int) -> None:
    assert 0 <= seed < 2**63


# What it shrinks to.


def test_the_simplest_plan_is_one_scan() -> None:
    assert [node.kind for node in simplest(plans(), always)] == ["DataObjScan"]


def test_the_simplest_scenario_is_one_scan_on_one_worker_without_trouble() -> None:
    scenario = calm()
    [workload] = scenario.workloads
    tick = Constant(ticks=1)
    assert len(workload.plan) == 1
    assert (workload.client, workload.options, workload.arrival) == (Client(), Options(), 0)
    assert scenario.faults == ()
    assert scenario.cluster == Cluster(workers=1, slots=1, control=tick, data=tick, work=tick)


def test_the_simplest_of_the_others() -> None:
    assert simplest(clients(), always) == Client()
    assert simplest(seeds(), always) == 0
    assert simplest(latencies(min_ticks=3), always) == Constant(ticks=3)
    assert simplest(faults(kinds=["slow_link"], max_worker=5), always) == Fault(
        kind="slow_link", nth=0, factor=2
    )
    assert simplest(clusters(), always).workers == 1
    assert len(simplest(workloads(), always).plan) == 1


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_all_trouble_but_the_one_that_matters_is_switched_off(kind: str) -> None:
    scenario = simplest(scenarios(), lambda each: any(f.kind == kind for f in each.faults))
    [fault] = scenario.faults
    assert (fault.kind, fault.worker, fault.task, fault.workload) == (kind, None, None, None)
    assert fault.nth == 0
    assert (scenario.cluster, scenario.workloads) == (calm().cluster, calm().workloads)


def test_a_condition_on_one_part_leaves_the_others_simple() -> None:
    busy = simplest(scenarios(), lambda each: each.workloads[0].client.cancel_at is not None)
    assert (busy.faults, busy.cluster, len(busy.workloads)) == ((), calm().cluster, 1)
    many = simplest(scenarios(), lambda each: len(each.workloads) > 1 and each.cluster.slack > 99)
    assert (many.faults, many.cluster.slack) == ((), 100)
    assert [len(workload.plan) for workload in many.workloads] == [1, 1]


def test_a_task_with_several_parents_has_no_more_around_it_than_it_needs() -> None:
    def shared(plan: Plan) -> bool:
        tasks = partition(plan)
        return any(len(tasks.parents(task)) > 1 for task in tasks)

    plan = simplest(plans(), shared)
    # Two shards read one task, and something reads them.
    assert len(partition(plan)) == 4
    assert len(plan) == 6


def test_answers_are_drawn_one_by_one_and_shrink_to_the_tamest() -> None:
    def ask(choices: Any) -> list[int]:
        return [choices.index("tie", f"t{i}", 10) for i in range(20)]

    @st.composite
    def answers(draw: st.DrawFn) -> list[int]:
        return ask(draw(drawn_choices()))

    assert simplest(answers(), always) == [0] * 20
    assert simplest(answers(), lambda each: each[7] > 3 and each[11] > 0) == [
        {7: 4, 11: 1}.get(i, 0) for i in range(20)
    ]


def test_a_chance_is_about_as_likely_as_it_says_and_shrinks_to_nothing() -> None:
    @st.composite
    def happened(draw: st.DrawFn) -> int:
        choices = draw(drawn_choices())
        return sum(choices.chance("fault", str(i), 50_000) for i in range(100))

    seen: list[int] = []

    @settings(SURELY, max_examples=200)
    @given(happened())
    def draw(count: int) -> None:
        seen.append(count)

    draw()
    assert 0 < sum(seen) < 0.5 * 100 * len(seen)
    assert simplest(happened(), always) == 0
    assert simplest(happened(), lambda count: count > 1) == 2


def test_answers_beyond_the_bound_are_the_tamest() -> None:
    @given(drawn_choices(max_answers=3))
    def bound(choices: Any) -> None:
        answers = [choices.index("tie", f"t{i}", 10) for i in range(9)]
        assert answers[3:] == [0] * 6

    bound()


def test_what_a_run_was_answered_makes_the_same_run() -> None:
    scenario = drawn(1_000)[3]

    @settings(max_examples=20)
    @given(drawn_choices())
    def again(choices: Any) -> None:
        outcome = simulate(scenario, choices)
        assert simulate(scenario, Deltas(outcome.deltas)).digest == outcome.digest

    again()


# How it prints.


def test_what_prints_makes_an_equal_value() -> None:
    for scenario in drawn(1_000)[:100]:
        for text in (repr(scenario), pretty(scenario)):
            assert eval(text, dict(NAMES)) == scenario  # noqa: S307 (what a reader would do)
        for workload in scenario.workloads:
            text = repr(workload.plan)
            plan = eval(text, {"plan_from_json": plan_from_json})  # noqa: S307
            assert plan_to_json(plan) == plan_to_json(workload.plan)


def test_only_what_is_not_at_its_default_prints() -> None:
    assert repr(Fault(kind="half_open", at=3)) == "Fault(kind='half_open', at=3)"
    assert repr(Workload(plan=plan_of(Filter()), client=Client(close_at=0))) == (
        "Workload(plan=plan_from_json({'nodes': [{'id': 0, 'type': 'Filter'}], 'edges': []}),"
        " client=Client(close_at=0))"
    )
    assert pretty(Client()) == "Client()"


def test_a_plan_that_is_none_prints_too() -> None:
    plan = plan_of(Merge(), Filter())
    plan.add_edge(*reversed(list(plan)))
    assert (repr(plan), pretty(plan)) == ("Plan of 2 nodes", "Plan of 2 nodes")


# Wrong arguments.


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (plans(min_tasks=0), "min_tasks: got 0, expected an integer >= 1"),
        (plans(min_tasks=5, max_tasks=4), "max_tasks: got 4, expected at least min_tasks = 5"),
        (plans(max_targets=True), "max_targets: got True, expected an integer >= 0"),
        (clusters(max_workers=0), "max_workers: got 0, expected an integer >= 1"),
        (clusters(min_slots=20), "max_slots: got 12, expected at least min_slots = 20"),
        (workloads(max_rows=-1), "max_rows: got -1, expected an integer >= 0"),
        (latencies(min_ticks="1"), "min_ticks: got '1', expected an integer >= 0"),  # type: ignore[arg-type]
        (faults(kinds=[]), "kinds: got [], expected at least one"),
        (faults(kinds="half_open"), "kinds: got 'half_open', expected a collection of task_fai"),  # type: ignore[arg-type]
        (faults(max_worker=-1), "max_worker: got -1, expected an integer >= 0"),
        (refused_plans(rules=["diamnd"]), "did you mean 'diamond'?"),
        (scenarios(trouble=["crash"]), "trouble: got 'crash' in it, expected a collection of"),
        (scenarios(min_faults=1, trouble=["limits"]), "min_faults: got 1, expected 0"),
        (scenarios(min_workloads=0), "min_workloads: got 0, expected an integer >= 1"),
        (scenarios(plans=5), "plans: got 5, expected a strategy of plans"),  # type: ignore[arg-type]
        (scenarios(plans=st.just(7)), "plans: got 7 from it, expected a Plan"),  # type: ignore[arg-type]
        (from_plan(7), "plan: got 7, expected a Plan"),  # type: ignore[arg-type]
        (from_plan(Plan()), "plan: got one that cannot run: no-root"),
        (drawn_choices(max_answers=-1), "max_answers: got -1, expected an integer >= 0"),
    ],
)
def test_a_wrong_argument_is_told_when_drawn(
    strategy: st.SearchStrategy[Any], message: str
) -> None:
    @given(strategy)
    def draw(value: object) -> None:
        note(f"drew {value!r}")

    with pytest.raises(InvalidArgument) as caught:
        draw()
    assert message in str(caught.value)


def test_trouble_has_every_fault_and_more() -> None:
    assert [name for name in TROUBLE if name in FAULT_KINDS] == list(FAULT_KINDS)
    assert len(TROUBLE) > len(FAULT_KINDS)


def test_each_strategy_and_argument_is_described() -> None:
    page = (Path(__file__).parent.parent / "docs/strategies.md").read_text(encoding="utf-8")
    rows = [row.split("|") for row in page.splitlines() if row.startswith("| `")]
    drawing = [each for each in map(strategies.__dict__.get, strategies.__all__) if callable(each)]
    for strategy in drawing:
        name = strategy.__name__
        assert any(row[1].startswith(f" `{name}(") for row in rows), name
        for argument in inspect.signature(strategy).parameters.values():
            if argument.kind is argument.KEYWORD_ONLY:
                assert any(
                    f"`{argument.name}`" in row[1] and f"`{name}`" in row[2] for row in rows
                ), f"{argument.name} of {name}"


# What Hypothesis knows without being told.


@pytest.mark.parametrize("kind", [Plan, Cluster, Client, Workload, Fault, Scenario])
def test_hypothesis_draws_a_value_from_its_type(kind: type) -> None:
    assert isinstance(simplest(st.from_type(kind), always), kind)


def test_hypothesis_is_not_made_heavier_than_the_types_are() -> None:
    script = (
        "import sys, hypothesis; from hypothesis import strategies as st;"
        "heavy = [name for name in ('properties.strategies', 'pyarrow', 'sim.simulate', 'simpy')"
        " if name in sys.modules];"
        "from sim.scenario import Scenario;"
        "print(heavy, st.from_type(Scenario))"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[] scenarios()\n", "")
