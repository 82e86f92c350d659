"""`make answers`: every answer of the reference under many schedules."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from stored import DATA

from scenarios.answers import HARMLESS, TARGETS, answers, cases, main, scenario_of
from sim.scenario import FAULT_KINDS
from workflow.plan import ScanSet

LOGS = '{app="shop"}'


def test_each_query_gives_the_answer_of_the_reference_under_two_schedules(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--schedules", "2", "--processes", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    of_queries = [line for line in lines if " runs " in line and " right " in line]
    assert [line[-len(case.query) :] for line, case in zip(of_queries, cases(), strict=True)] == [
        case.query for case in cases()
    ]
    assert all(line.startswith("    6 runs      6 right") for line in of_queries)
    assert lines[-1].startswith("84 of 84 answers are right, in ")


def test_a_seed_decides_the_cluster_the_batches_the_shards_and_the_trouble() -> None:
    [case, *_] = cases()
    made = [scenario_of(case, 8, seed) for seed in range(100)]
    assert made[3] == scenario_of(case, 8, 3)
    assert {fault.kind for each in made for fault in each.faults} == {*HARMLESS}
    assert {*HARMLESS} < {*FAULT_KINDS}
    sizes = [each.workloads[0].batch_rows for each in made]
    assert (min(sizes) < 10, max(sizes) > 900, max(sizes) <= 1_000) == (True, True, True)
    assert {each.cluster.workers for each in made} == {1, 2, 3, 4}
    orders = {
        tuple(target.location for target in node.targets)
        for each in made
        for node in each.workloads[0].plan
        if isinstance(node, ScanSet)
    }
    assert len(orders) > 1
    assert len({tuple(sorted(order)) for order in orders}) == 1


def test_the_same_lines_lie_in_one_two_and_eight_objects() -> None:
    [case, *_] = cases()
    for count in TARGETS:
        plan = scenario_of(case, count, 0).workloads[0].plan
        [scans] = [node for node in plan if isinstance(node, ScanSet)]
        assert len(scans.targets) == count


def test_two_processes_find_what_one_finds() -> None:
    some = cases()[:1]
    one, two = (answers(some, seeds=range(3), targets=(2,), processes=count)[1] for count in (1, 2))
    assert replace(one, seconds=0) == replace(two, seconds=0)
    assert one.runs == 3


def test_a_wrong_answer_is_told_with_the_command_that_shows_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "input.jsonl").write_bytes((DATA / "input.jsonl").read_bytes())
    results = (DATA / "results.jsonl").read_text(encoding="utf-8")
    wrong = results.replace("request 1", "request 0", 1)
    assert wrong != results
    (tmp_path / "results.jsonl").write_text(wrong, encoding="utf-8")
    given = ["--folder", str(tmp_path), "--schedules", "2", "--targets", "2", "--processes", "1"]
    assert main([*given, "--only", LOGS]) == 1
    told = capsys.readouterr().out
    assert "0 of 2 answers are right" in told
    [_, again] = [line for line in told.splitlines() if line.startswith("WRONG  ")]
    assert main(shlex.split(again)[4:]) == 1
    assert "1 missing, 1 too many" in capsys.readouterr().out


def test_an_unknown_query_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--only", "nothing"])
    assert refused.value.code == 2
    assert LOGS in capsys.readouterr().err
