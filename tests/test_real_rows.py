"""Plans over real rows in the simulated cluster: whatever the schedule, the same answer."""

import json
from collections.abc import Iterable
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from commands import imported, saved, windtunnel
from stored import objects_of, over, vector_cases, vector_lines

from properties.judged import Judged, judged
from properties.monitors import MONITORS, judge_trace
from properties.mutants import MUTANTS
from properties.oracle import Answer, same_answer
from scenarios.inputs import InputError
from scenarios.well_formed import check_events
from sim.choices import Seeded
from sim.job import Job
from sim.parts import SOUND, Parts
from sim.real import Held, RealRecord
from sim.rows import Record
from sim.scenario import Client, Cluster, Fault, Scenario, Workload
from sim.simulate import simulate
from workflow import Options, Plan, plan_from_json, plan_to_json
from workflow.plan import DataObjScan, ScanSet

CASES = {case["query"]: case for case in vector_cases()}
LOGS = '{app="shop"}'
SUMS = 'sum by (level) (count_over_time({app="shop"} | json [5m]))'

# None of it loses data: there are more slots than tasks, and nobody dies.
TROUBLE = (
    Fault(kind="slow_worker", per_million=200_000, factor=7),
    Fault(kind="slow_link", per_million=100_000, factor=9),
    Fault(kind="refused_assignment", per_million=200_000),
    Fault(kind="late_ack", per_million=200_000, ticks=20_000),
)


@cache
def data(count: int) -> Held:
    """The lines of the vectors in so many objects."""
    return Held(_objects(count))


@cache
def _objects(count: int) -> dict[tuple[str, int], pa.Table]:
    if count == 8:  # as the reference had them: each a slice of time
        return objects_of(vector_lines(), (line["object"] for line in vector_lines()))
    return objects_of(vector_lines(), cycle(range(count)))


@cache
def plan_of(query: str, count: int = 8) -> Plan:
    """A query's plan over so many objects."""
    plan = plan_from_json(CASES[query]["plan"])
    return plan if count == 8 else over(plan, _objects(count))


def troubled(*plans: Plan, **workload: Any) -> Scenario:
    """The plans in a cluster with trouble."""
    fields = {"batch_rows": 60, **workload}
    return Scenario(
        cluster=Cluster(workers=3, slots=6, slack=300),
        workloads=tuple(Workload(plan=plan, **fields) for plan in plans),
        faults=TROUBLE,
    )


def calm(plan: Plan, **workload: Any) -> Scenario:
    """The plan in a cluster without trouble."""
    return Scenario(workloads=(Workload(plan=plan, **{"batch_rows": 60, **workload}),))


def word(run: Judged, rule: str = "D1") -> str:
    """What the monitor of a rule says."""
    [verdict] = [verdict for verdict in run.verdicts if verdict.rule == rule]
    return verdict.word


def states(run: Judged, workload: int = 0) -> dict[str, int]:
    """How many tasks ended how."""
    return run.outcome.ends[workload].states


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("query", CASES)
def test_each_query_gives_the_rows_of_the_reference_under_trouble(query: str, count: int) -> None:
    right = Answer.from_json(CASES[query]["rows"])
    for seed in range(2):
        run = judged(troubled(plan_of(query, count)), Seeded(seed), data=data(count))
        assert run.violations == ()
        assert word(run) == "holds"
        seen = Answer.from_batches(run.outcome.ends[0].batches)
        assert same_answer(right, seen) is None


def test_two_queries_at_once_each_get_their_own_answer() -> None:
    both = troubled(plan_of(LOGS), plan_of(SUMS))
    run = judged(both, Seeded(5), data=data(8))
    assert (run.violations, word(run)) == ((), "holds")
    assert run.outcome.ends[0].rows != run.outcome.ends[1].rows


def test_trouble_and_order_make_different_runs_of_one_answer() -> None:
    runs = [simulate(troubled(plan_of(SUMS)), Seeded(seed), data=data(8)) for seed in range(4)]
    assert len({run.digest for run in runs}) == 4
    assert sum(run.counts.get("fault refused_assignment", 0) for run in runs) > 0
    assert simulate(troubled(plan_of(SUMS)), Seeded(3), data=data(8)).digest == runs[3].digest


def test_enough_new_rows_cancel_the_scans_of_older_ones() -> None:
    one = Options(max_running_scan_tasks=1)
    run = judged(calm(plan_of(LOGS), options=one), Seeded(0), data=data(8))
    assert (run.violations, word(run)) == ((), "holds")
    assert states(run)["Cancelled"] >= 6
    assert run.outcome.ends[0].rows == 100


def test_what_contributes_is_reported_as_the_rows_tell_it() -> None:
    outcome = simulate(calm(plan_of(LOGS)), Seeded(0), data=data(8))
    edges = [
        event.details["contributing"]
        for event in outcome.trace.events
        if event.kind == "task_event" and "contributing" in event.details
    ]
    times = {line["timestamp"] for line in vector_lines()}
    assert edges
    assert all(edge[:19] in {time[:19] for time in times} for edge in edges)


class DoublesABatch(Job):
    """Sends its first batch twice, as two batches."""

    def _send_all(self, record: Record) -> Any:
        if not self._sent:
            yield from super()._send_all(record)
        yield from super()._send_all(record)


class ForgetsABatch(Job):
    """Never sends its first batch."""

    _forgot = False

    def _send_all(self, record: Record) -> Any:
        if self._forgot:
            yield from super()._send_all(record)
        self._forgot = True


class LosesARow(Job):
    """An operator that is off by one: of what comes out the last row is missing."""

    def _send_all(self, record: Record) -> Any:
        yield from super()._send_all(RealRecord(record.batch.slice(0, record.rows - 1)))


class ChangesANumber(Job):
    """An operator that computes something else."""

    def _send_all(self, record: Record) -> Any:
        batch = record.batch
        index = batch.schema.get_field_index("float64.generated.value")
        if index >= 0:
            more = pa.array([each.as_py() + 1 for each in batch.column(index)], pa.float64())
            batch = batch.set_column(index, batch.schema.names[index], more)
        yield from super()._send_all(RealRecord(batch))


@pytest.mark.parametrize("fault", [DoublesABatch, ForgetsABatch, LosesARow, ChangesANumber])
def test_a_wrong_answer_breaks_d1(fault: type[Job]) -> None:
    run = judged(calm(plan_of(SUMS)), Seeded(1), parts=Parts(job=fault), data=data(8))
    assert {violation.rule for violation in run.violations} == {"D1"}
    violation = run.first
    assert violation.seen.startswith("the reader of m0 got ")
    assert "float64.generated.value=" in violation.seen
    assert "\n" not in violation.seen
    [seq] = violation.events
    assert run.outcome.trace.events[seq].kind == "read_eof"


@pytest.mark.parametrize("name", ["drops-a-batch", "sends-twice", "ended-by-an-empty-batch"])
def test_what_a_stream_loses_or_doubles_breaks_d1_too(name: str) -> None:
    counted = calm(plan_of('count_over_time({app="shop"}[5m])'), batch_rows=20)
    parts = MUTANTS[name].parts
    run = judged(counted, Seeded(1), parts=parts, data=data(8), stop=False)
    assert "D1" in {violation.rule for violation in run.violations}


def test_without_a_section_the_task_fails_with_that_error() -> None:
    run = judged(calm(plan_of(LOGS)), Seeded(1), data=Held({}))
    end = run.outcome.ends[0]
    assert (end.end, run.violations) == ("error", ())
    assert end.error == "LookupError: got section 0 of 'objects/7', expected one of the data"
    assert word(run) == "not judged"


def test_rows_that_a_fragment_cannot_work_on_fail_its_task() -> None:
    wrong = {key: table.rename_columns(_renamed(table)) for key, table in _objects(8).items()}
    run = judged(calm(plan_of(LOGS)), Seeded(1), data=Held(wrong))
    end = run.outcome.ends[0]
    assert (end.end, run.violations) == ("error", ())
    assert end.error.startswith("ExecutionError: storage-column")
    assert "got a column 'text'" in end.error


def test_a_fragment_that_cannot_execute_fails_its_task() -> None:
    plan = Plan()
    plan.add(DataObjScan(location="objects/0", stream_count=3))
    run = judged(calm(plan), Seeded(1), data=data(8))
    assert (run.outcome.ends[0].end, run.violations) == ("error", ())
    assert run.outcome.ends[0].error.startswith("PlanError: stream-ids")


def _renamed(table: pa.Table) -> Iterable[str]:
    return ["text" if name == "message" else name for name in table.column_names]


def test_a_reader_that_leaves_early_is_not_judged() -> None:
    early = calm(plan_of(LOGS), client=Client(cancel_at=3_000))
    run = judged(early, Seeded(1), data=data(8))
    assert (run.outcome.ends[0].end, run.violations, word(run)) == ("error", (), "not judged")


def test_a_trace_of_real_rows_alone_is_not_held_to_made_up_ones() -> None:
    scenario = calm(plan_of(SUMS))
    trace = simulate(scenario, Seeded(1), data=data(8)).trace
    check_events(trace.events, name="trace")
    [d1] = [
        verdict
        for verdict in judge_trace(trace, monitors=MONITORS, scenario=scenario)
        if verdict.rule == "D1"
    ]
    assert (d1.word, d1.why) == (
        "not judged",
        "the rows are real, and a trace does not show what they should be",
    )


def test_without_data_nothing_of_it_is_there() -> None:
    outcome = simulate(calm(plan_of(LOGS), rows_per_scan=20), Seeded(1), parts=SOUND)
    assert outcome.ends[0].batches == ()
    assert "rows" not in outcome.trace.events[0].details
    assert outcome.ends[0].row_names[0].startswith("m0/t")


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The lines of the vectors as a bucket."""
    return imported(tmp_path)


@pytest.mark.parametrize("query", [LOGS, SUMS])
def test_the_command_prints_the_answer_of_the_reference(
    query: str, bucket: Path, tmp_path: Path
) -> None:
    result = windtunnel("run", saved(query, tmp_path), "--data", bucket, "--json")
    assert result.exit_code == 0
    [workload] = json.loads(result.stdout)["workloads"]
    by_text = sorted(map(json.dumps, _sorted(workload["answer"])))
    assert by_text == sorted(map(json.dumps, _sorted(CASES[query]["rows"])))


def _sorted(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(sorted(row.items())) for row in rows]


def test_the_command_prints_a_table_and_how_to_see_it_again(bucket: Path, tmp_path: Path) -> None:
    result = windtunnel("run", saved(SUMS, tmp_path), "--data", bucket)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split()[:2] == ["float64.generated.value", "timestamp_ns.builtin.timestamp"]
    assert lines.index("") == 61  # a head and sixty rows
    assert "2025-01-01T00:" in lines[1]
    assert lines[-1].startswith("replay     ")


def test_the_command_reads_what_a_plan_of_the_bucket_says_and_with_rebind_everything(
    bucket: Path, tmp_path: Path
) -> None:
    plan = Plan()
    plan.add(DataObjScan(location="objects/0", stream_ids=(2,)))
    place = tmp_path / "plan.json"
    place.write_text(json.dumps(plan_to_json(plan)), encoding="utf-8")
    wanted = [line for line in vector_lines() if (line["object"], line["stream_id"]) == (0, 2)]
    for words, count in ((), len(wanted)), (("--rebind",), 960):
        result = windtunnel("run", place, "--data", bucket, "--json", *words)
        assert result.exit_code == 0, result.output
        [workload] = json.loads(result.stdout)["workloads"]
        assert len(workload["answer"]) == count
    assert 0 < len(wanted) < 960


def test_the_command_refuses_a_plan_of_which_a_part_is_missing(
    bucket: Path, tmp_path: Path
) -> None:
    plan = Plan()
    places = ("objects/0", "objects/99")
    plan.add(ScanSet(tuple(DataObjScan(location=place) for place in places)))
    place = tmp_path / "plan.json"
    place.write_text(json.dumps(plan_to_json(plan)), encoding="utf-8")
    result = windtunnel("run", place, "--data", bucket)
    assert isinstance(result.exception, InputError)
    assert "section 0 of objects/99, which the bucket does not have" in str(result.exception)
    assert windtunnel("run", place, "--data", bucket, "--rebind").exit_code == 0
    alone = windtunnel("run", place, "--rebind")
    assert (alone.exit_code, "--rebind is for --data" in alone.output) == (2, True)


def test_the_command_tells_a_wrong_answer(bucket: Path, tmp_path: Path) -> None:
    plan = saved(LOGS, tmp_path)
    result = windtunnel("run", plan, "--data", bucket, "--mutant", "sends-twice")
    assert result.exit_code == 1
    assert "VIOLATED   D3" in result.stdout
    assert "FAILED  D3" in result.stdout
    assert f"  with    data {bucket}" in result.stdout


def test_the_command_refuses_what_is_no_bucket(tmp_path: Path) -> None:
    result = windtunnel("run", saved(LOGS, tmp_path), "--data", tmp_path / "none")
    assert result.exit_code != 0
    assert "none: got no such file or folder" in str(result.exception)
