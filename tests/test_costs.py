"""Work that takes as long as it costs, instead of a time that is drawn."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from commands import filled, windtunnel
from hypothesis import given
from hypothesis import strategies as st
from stored import chain

from properties.judged import judged
from properties.monitors import Monitor
from scenarios.data import rebind
from scenarios.data.costs import Measured
from scenarios.failure import failure_from_json, failure_of, failure_to_json
from scenarios.runs import run, saved_trace
from scenarios.shelf import find_scenario
from scenarios.shrink import shrink
from sim.choices import Seeded
from sim.costs import Costs, Meter
from sim.latency import Constant
from sim.real import Held
from sim.scenario import Cluster, Fault, Scenario, Workload
from sim.scenario_file import scenario_from_json, scenario_to_json
from sim.simulate import Outcome, simulate
from workflow import Plan, Timestamp, plan_to_json
from workflow.execute import Execution
from workflow.expressions import parse_column, parse_expression
from workflow.objects import Bucket
from workflow.plan import (
    DataObjScan,
    Filter,
    Limit,
    Merge,
    Node,
    Parallelize,
    RangeAggregation,
    ScanSet,
    VectorAggregation,
)
from workflow.trace import Event

APP = parse_column("ambiguous.app")
WINDOWS = RangeAggregation(
    operation="count",
    start=Timestamp(0),
    end=Timestamp(0),
    range_ns=10**18,
    group_by=(APP,),
)


def at_once(plan: Plan, costs: dict[str, int], **workload: Any) -> Scenario:
    """A cluster in which nothing but work takes time."""
    none = Constant(ticks=0)
    return Scenario(
        cluster=Cluster(control=none, data=none, costs=tuple(costs.items())),
        workloads=(Workload(plan=plan, **workload),),
    )


def ran(scenario: Scenario, data: Held | None = None) -> Outcome:
    """A run in which no rule is violated."""
    found = judged(scenario, Seeded(1), data=data)
    assert found.violations == ()
    return found.outcome


def stored(*apps: str) -> Held:
    """A section with a row for each of these labels."""
    columns = {
        "stream_id": pa.array(range(len(apps)), pa.int64()),
        "timestamp": pa.array([0] * len(apps), pa.timestamp("ns", "UTC")),
        "message": pa.array([""] * len(apps)),
        "label.app": pa.array(apps),
    }
    return Held({("objects/0", 0): pa.table(columns)})


def over(*nodes: Node) -> Plan:
    return chain(*nodes, DataObjScan(location="objects/0"))


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 10**9), min_size=1),
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**6)), max_size=8),
)
def test_many_batches_take_as_long_as_one_of_all_their_rows(
    rates: dict[str, int], batches: list[dict[str, int]]
) -> None:
    costs = Costs(tuple(rates.items()))
    total = {kind: sum(each.get(kind, 0) for each in batches) for kind in "abcd"}
    meter = Meter(costs)
    assert sum(meter.ticks(each) for each in batches) == Meter(costs).ticks(total)


def test_an_execution_tells_how_many_rows_went_into_each_kind_of_node() -> None:
    kept = Filter(predicates=(parse_expression('EQ(label.app, "a")'),))
    every = Filter()
    plan = chain(Merge(), every, kept, ScanSet(targets=(DataObjScan(), DataObjScan())))
    execution = Execution(plan)
    batch = pa.RecordBatch.from_pydict({"label.app": ["a", "b", "b"]})
    first, second = execution.wants()
    execution.push(first, batch)
    execution.push(second, batch)
    assert execution.rows_in() == {"DataObjScan": 6, "ScanSet": 6, "Filter": 8, "Merge": 2}
    assert execution.rows_in() == {}


def test_what_is_held_back_goes_into_the_next_node_at_the_end() -> None:
    execution = Execution(chain(VectorAggregation(operation="sum"), WINDOWS, DataObjScan()))
    [source] = execution.wants()
    [batch] = stored("a", "b", "a").batches("objects/0", 0, 9)
    execution.push(source, batch)
    assert execution.rows_in() == {"DataObjScan": 3, "RangeAggregation": 3}
    execution.end(source)
    assert execution.rows_in() == {"VectorAggregation": 2}


def test_a_timer_of_the_host_tells_where_the_time_goes() -> None:
    ticking: Callable[[], int] = count().__next__
    execution = Execution(chain(Merge(), DataObjScan()), timer=ticking)
    [source] = execution.wants()
    execution.push(source, pa.RecordBatch.from_pydict({"message": ["a"]}))
    execution.end(source)
    assert execution.spent() == {"DataObjScan": 2, "Merge": 2}  # a push and an end of each
    assert execution.spent() == {}


@pytest.mark.parametrize("batch_rows", [1, 3, 7, 100])
def test_a_scan_takes_what_its_rows_cost_in_any_cut(batch_rows: int) -> None:
    scenario = at_once(over(), {"DataObjScan": 3}, rows_per_scan=20, batch_rows=batch_rows)
    assert ran(scenario).makespan == 6_666


def test_made_up_rows_count_once_for_each_node_and_unlisted_kinds_cost_nothing() -> None:
    plan = over(Limit(fetch=50), Filter(), Filter())
    fields = {"rows_per_scan": 10, "batch_rows": 5}
    assert ran(at_once(plan, {"Filter": 1}, **fields)).makespan == 20_000
    assert ran(at_once(plan, {"Filter": 1, "DataObjScan": 2}, **fields)).makespan == 25_000
    assert ran(at_once(plan, {"TopK": 1}, **fields)).makespan == 0


def test_real_rows_count_where_they_come_also_at_the_end_of_a_source() -> None:
    plan = over(VectorAggregation(operation="sum"), WINDOWS)
    data = stored("a", "b", "a", "b")
    kept = over(Filter(), Filter(predicates=(parse_expression('EQ(label.app, "a")'),)))
    assert ran(at_once(kept, {"Filter": 1}), data).makespan == 6_000
    assert ran(at_once(plan, {"RangeAggregation": 1}), data).makespan == 4_000
    # Two series at one instant come out of the first.
    assert ran(at_once(plan, {"VectorAggregation": 1}), data).makespan == 2_000


def test_a_slow_worker_takes_its_factor_as_long() -> None:
    scenario = at_once(over(), {"DataObjScan": 1}, rows_per_scan=10)
    slow = replace(scenario, faults=(Fault(kind="slow_worker", nth=0, factor=7),))
    assert ran(slow).makespan == 7 * ran(scenario).makespan == 70_000


def test_work_at_a_cost_is_no_choice() -> None:
    scenario = find_scenario("count-over-time")
    costly = replace(scenario, cluster=replace(scenario.cluster, costs=(("DataObjScan", 5),)))
    runs = [simulate(each, Seeded(3)) for each in (costly, costly, scenario)]
    assert runs[0].digest == runs[1].digest != runs[2].digest
    asked = [{name.partition(":")[0] for name in each.deltas} for each in runs]
    assert "work" in asked[2]
    assert "work" not in asked[0]


@pytest.mark.parametrize("name", ["worker-lost", "slow-reader", "sum-by-level", "short-circuit"])
def test_costs_of_any_size_violate_no_rule(name: str) -> None:
    scenario = find_scenario(name)
    for rate in (1, 1_000):
        costs = (("DataObjScan", rate), ("TopK", 2 * rate), ("RangeAggregation", rate))
        costly = replace(scenario, cluster=replace(scenario.cluster, costs=costs))
        for seed in range(4):
            assert judged(costly, Seeded(seed)).violations == ()


def bucket_of(folder: Path, rows: int = 400) -> Path:
    """Made lines in four sections."""
    return filled(folder / "bucket", rows=rows, seed=1, sections=4)


def test_a_slower_table_gives_a_longer_makespan_and_the_same_answer(tmp_path: Path) -> None:
    bucket = Bucket(bucket_of(tmp_path))
    windows = replace(
        WINDOWS,
        start=Timestamp.parse("2025-01-01T00:00:00Z"),
        end=Timestamp.parse("2025-01-01T01:00:00Z"),
        step_ns=900 * 10**9,
        range_ns=900 * 10**9,
    )
    nodes = (VectorAggregation(operation="sum", group_by=(APP,)), windows, Parallelize(), ScanSet())
    plan, data = rebind(chain(*nodes), bucket.sections()), Held(bucket.load())
    slow, same, fast = (
        simulate(
            Scenario(
                cluster=Cluster(costs=(("DataObjScan", rate), ("RangeAggregation", 2 * rate))),
                workloads=(Workload(plan=plan, batch_rows=60),),
            ),
            Seeded(2),
            data=data,
        )
        for rate in (10, 10, 1_000)
    )
    assert slow.digest == same.digest
    assert slow.makespan > fast.makespan + 5_000
    assert slow.ends[0].batches == fast.ends[0].batches != ()


class NoLongWork(Monitor):
    rule, sentence = "X1", "no task works for long"

    def on_over(self, event: Event) -> None:
        if event.details["worked"] > 15_000:
            self.violated(event.subject, event)


def test_a_trace_and_a_failure_keep_the_costs() -> None:
    scenario = at_once(over(), {"DataObjScan": 1, "Filter": 9})
    assert scenario_from_json(saved_trace(run(scenario, Seeded(0))).ran["scenario"]) == scenario
    failed = judged(scenario, Seeded(0), monitors=[NoLongWork])
    kept = failure_to_json(failure_of(failed, "X1", monitors=[NoLongWork]))
    again = failure_from_json(kept)
    assert again.scenario == scenario
    assert again.run().outcome.digest == failed.outcome.digest


def test_without_costs_a_file_says_nothing_of_them() -> None:
    assert "costs" not in scenario_to_json(Scenario())["cluster"]


def test_a_small_failure_has_only_the_costs_that_it_takes() -> None:
    scenario = at_once(over(Filter()), {"Filter": 1, "TopK": 1, "DataObjScan": 500})
    small = shrink(scenario, Seeded(0), "X1", monitors=[NoLongWork]).scenario
    assert len(small.cluster.costs) == 1
    assert shrink(small, Seeded(0), "X1", monitors=[NoLongWork]).scenario == small


def test_costs_are_measured_and_can_be_pasted_into_a_scenario(tmp_path: Path) -> None:
    bucket = bucket_of(tmp_path)
    result = windtunnel("data", "costs", bucket, "--plan", "log-search")
    assert result.exit_code == 0
    costs = tomllib.loads(result.stdout)["cluster"]["costs"]
    assert {"DataObjScan", "ScanSet", "TopK"} <= set(costs)
    path = tmp_path / "s.toml"
    path.write_text(
        f'format = 1\n[[workload]]\nplan = "log-search"\n{result.stdout}', encoding="utf-8"
    )
    twice = [windtunnel("run", path, "--data", bucket, "--json").stdout for _ in range(2)]
    assert twice[0] == twice[1]
    assert json.loads(twice[0])["violations"] == []


def test_what_was_measured_is_told_as_json_too(tmp_path: Path) -> None:
    bucket = bucket_of(tmp_path)
    told = json.loads(windtunnel("data", "costs", bucket, "--json").stdout)
    assert {"log-search", "sum-by-level"} <= set(told["plans"])
    scan = told["costs"]["DataObjScan"]
    assert scan["rows"] > 400
    assert scan["rows_per_ms"] == Measured("DataObjScan", scan["rows"], scan["ns"]).rate


def test_a_rate_is_a_whole_number_that_a_scenario_may_have() -> None:
    assert Measured("TopK", 10**9, 0).rate == 10**9
    assert Measured("TopK", 1, 10**9).rate == 1
    assert Measured("TopK", 5, 2_000_000).rate == 2


def test_a_run_may_measure_first(tmp_path: Path) -> None:
    bucket = bucket_of(tmp_path)
    result = windtunnel("run", "log-search", "--data", bucket, "--measured", "--json")
    assert result.exit_code == 0
    assert "windtunnel: measured, for [cluster]: costs = { DataObjScan = " in result.stderr
    assert json.loads(result.stdout)["violations"] == []
    assert "--measured is for --data" in windtunnel("run", "log-search", "--measured").output


def test_plans_that_cannot_run_are_refused(tmp_path: Path) -> None:
    bucket = bucket_of(tmp_path)
    unknown = windtunnel("data", "costs", bucket, "--plan", "log-serch")
    assert "did you mean 'log-search'?" in str(unknown.exception)
    plan = tmp_path / "p.json"
    plan.write_text(json.dumps(plan_to_json(over())), encoding="utf-8")
    assert windtunnel("data", "costs", bucket, "--plan", plan).exit_code == 0
    other = chain(DataObjScan(location="elsewhere"))
    plan.write_text(json.dumps(plan_to_json(other)), encoding="utf-8")
    # A plan from elsewhere reads all that there is, as in a run.
    assert "DataObjScan = " in windtunnel("data", "costs", bucket, "--plan", plan).stdout
    assert "none: " in str(windtunnel("data", "costs", tmp_path / "none").exception)
