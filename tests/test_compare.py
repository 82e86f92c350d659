"""`windtunnel compare`: a real runner held to the simulator, and what each verdict finds."""

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import sleep

import pytest
from commands import filled, windtunnel
from faulty_local import (
    ClosesBeforeTheLastRecord,
    CompletesBeforeItCloses,
    EndsTwice,
    HasHiddenErrors,
    LeavesSinksOpen,
    LosesCancels,
    PendsAfterItRuns,
    SendsAgain,
)

from scenarios.compare import Comparison, compare, describe_comparison
from scenarios.disturbed import Breaking, Endless
from scenarios.inputs import InputError
from scenarios.runs import load_target
from sim.scenario import Scenario
from workflow import Task
from workflow.runners.local import LocalRunner, _Job
from workflow.sections import Sections


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket of 600 lines in three sections."""
    place = tmp_path_factory.mktemp("made") / "logs"
    return filled(place, rows=600, seed=5, sections=3)


@pytest.fixture
def scenario(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A plan over it, with nothing in the current folder."""
    monkeypatch.chdir(tmp_path)
    return load_target("sum-by-level", bucket=str(made))[0]


def told(found: Comparison) -> str:
    """What a user reads."""
    return "\n".join(describe_comparison(found))


def rules_of(found: Comparison) -> dict[str, None]:
    """The rules that were violated."""
    return {
        verdict.rule: None
        for run in found.runs
        for verdict in run.verdicts
        if verdict.word == "violated"
    }


def test_a_sound_runner_passes_all(scenario: Scenario) -> None:
    found = compare(scenario, LocalRunner, name="local", runs=3)
    assert found.right
    assert [run.judged for run in found.of("read")] == [True] * 3
    assert found.saved is None
    lines = told(found).splitlines()
    assert lines[0] == "runner     local, 3 runs of sum-by-level, and 3 that are cut short"
    assert re.match(r"rules      3\d hold, 0 violated, ", lines[1])
    assert lines[2] == "answer     right in 3 of 3 runs, wrong in 0"
    assert lines[3] == "cancel     2 of 2 runs ended with every task over"
    assert lines[4] == "failure    told as it was in 1 of 1 run"
    assert lines[5].startswith("time       real ")
    assert lines[6].startswith("           fitted to the other 2 runs: a start ")
    assert any("a task of RangeAggregation that scans: " in line for line in lines)


def test_the_simulated_time_is_of_the_same_tasks(scenario: Scenario) -> None:
    found = compare(scenario, LocalRunner, name="local", runs=4)
    assert {*found.kinds} == {"RangeAggregation that scans", "VectorAggregation"}
    assert (len(found.real), len(found.simulated), found.own) == (2, 20, False)
    assert min(found.simulated) > 0
    for kind in found.kinds.values():
        assert len(kind.real) * 20 == len(kind.simulated) * 2
        assert kind.alone


def test_a_single_run_is_fitted_to_itself_and_that_is_said(scenario: Scenario) -> None:
    found = compare(scenario, LocalRunner, name="local", runs=1)
    assert found.own
    assert "fitted to the same 1 run: " in told(found)


def test_a_record_that_is_sent_again_is_a_wrong_answer(scenario: Scenario) -> None:
    found = compare(scenario, SendsAgain, name="again", runs=2)
    assert not found.right
    assert all(run.difference for run in found.of("read"))
    assert "answer     right in 0 of 2 runs, wrong in 2\n           got " in told(found)


def test_a_cancel_that_is_lost_shows_as_a_task_that_runs_on(scenario: Scenario) -> None:
    found = compare(scenario, LosesCancels, name="lost", runs=1, bound=1.0)
    assert not found.right
    assert {"C5"} <= {*rules_of(found)}
    words = told(found)
    assert "cancel     0 of 2 runs ended with every task over\n" in words
    assert re.search("still at it, cancelled: .*m0/t1", words)
    # One that fails cancels tasks, too, which may or may not be over in time by themselves.
    told_apart = [run for run in found.runs if run.how != "failing"]
    assert all(run.given_up == (run.how in ("cancelled", "closed")) for run in told_apart)


def test_a_failure_that_is_told_as_a_cancellation_is_found(scenario: Scenario) -> None:
    found = compare(scenario, HasHiddenErrors, name="hidden", runs=1)
    assert not found.right
    assert "failure    told as it was in 0 of 1 run" in told(found)
    assert "VIOLATED   a failure is told as it was: got " in told(found)


def test_sinks_of_a_failed_task_that_stay_open_break_s4(scenario: Scenario) -> None:
    found = compare(scenario, LeavesSinksOpen, name="open", runs=1, bound=1.0)
    assert not found.right
    assert {"S4"} <= {*rules_of(found)}


def test_an_end_that_is_told_after_its_reader_has_ended_is_found(scenario: Scenario) -> None:
    found = compare(scenario, CompletesBeforeItCloses, name="early", runs=1)
    assert not found.right
    assert re.search(
        r"VIOLATED   a stream's end is told before its reader acts on it: m0/t0 is Completed, and"
        r" the end of m0/s1.* was not told",
        told(found),
    )


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        (ClosesBeforeTheLastRecord, ["S3"]),
        (PendsAfterItRuns, ["T1"]),
        (EndsTwice, ["R5", "T1"]),
    ],
)
def test_what_is_told_wrongly_breaks_a_rule_and_is_kept(
    kind: type[LocalRunner], rules: list[str], scenario: Scenario
) -> None:
    found = compare(scenario, kind, name="faulty: one", runs=2)
    assert not found.right
    assert {*rules} <= {*rules_of(found)}
    assert found.saved == Path(".windtunnel/compared-faulty--one.jsonl")
    checked = windtunnel("check", found.saved)
    assert checked.exit_code == 1
    for rule in rules:
        assert f"violated    {rule} " in checked.stdout


class Slow(LocalRunner):
    """Takes its time to start anything."""

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        sleep(0.06)
        super().start(tasks)


def test_what_is_only_slow_times_out_nowhere_in_the_simulation(scenario: Scenario) -> None:
    assert scenario.cluster.ack_timeout == 20_000
    found = compare(scenario, Slow, name="slow", runs=1)
    assert min(found.simulated) > 60_000


class Deaf(LocalRunner):
    """Starts nothing."""

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""


class Sleeps(LocalRunner):
    """Tasks that scan take some time more, in later runs."""

    def begin(self, job: _Job) -> bool:
        """See `BaseRunner`."""
        begun = super().begin(job)
        if job.takes_slot:
            sleep(0.3)
        return begun


def test_a_kind_that_is_suddenly_slower_is_named(scenario: Scenario) -> None:
    reading = 0

    def make(data: Sections) -> LocalRunner:
        nonlocal reading
        reading += not isinstance(data, Endless | Breaking)
        return (Sleeps if reading > 6 else LocalRunner)(data)

    found = compare(scenario, make, name="sleeps", runs=9)
    assert found.right
    slower = next(line for line in told(found).splitlines() if line.startswith("SLOWER"))
    assert slower.startswith("SLOWER     a task of RangeAggregation that scans is at work for ")
    assert "; in earlier runs, " in slower


def test_a_kind_that_is_always_slow_is_named(scenario: Scenario) -> None:
    found = compare(scenario, Sleeps, name="sleeps", runs=2)
    slower = next(line for line in told(found).splitlines() if line.startswith("SLOWER"))
    assert slower.startswith("SLOWER     a task of RangeAggregation that scans is at work for ")
    assert " of them on one processor, " in slower


def test_a_run_that_does_not_end_is_given_up(scenario: Scenario) -> None:
    found = compare(scenario, Deaf, name="deaf", runs=1, patience=0.3, bound=0.1)
    assert not found.right
    assert found.runs[0].given_up
    assert "given up   1 run that did not end\n" in told(found)
    assert rules_of(found)


class Broken:
    """Rows that break off."""

    def batches(self, location: str, section: int, rows: int) -> object:
        """See `workflow.sections.Sections`."""
        raise LookupError(f"{location} {section} {rows} is gone")


def broken(data: Sections) -> LocalRunner:
    """A runner that reads other rows than it should."""
    del data
    return LocalRunner(Broken())  # type: ignore[arg-type]


def test_a_run_that_fails_has_no_answer_to_compare(scenario: Scenario) -> None:
    found = compare(scenario, broken, name="broken", runs=1)
    assert found.right  # a task may fail
    assert "right in 0 of 1 run, wrong in 0, none to compare in 1\n" in told(found)
    assert "LookupError: " in told(found)


def test_without_data_there_is_nothing_to_compare() -> None:
    with pytest.raises(InputError, match=r"got no data, expected a bucket: --data BUCKET"):
        compare(load_target("sum-by-level")[0], LocalRunner, name="local")


def test_the_command_compares_and_says_it_as_json(made: Path, scenario: Scenario) -> None:
    assert scenario.data is not None
    done = windtunnel(
        "compare", "sum-by-level", "--data", made, "--runs", 1, "--slots", 1, "--json"
    )
    assert done.exit_code == 0
    shown = json.loads(done.stdout)
    assert shown["right"] is True
    assert [(run["how"], run["answer"]) for run in shown["runs"]] == [
        ("read", "right"),
        ("cancelled", None),
        ("closed", None),
        ("failing", None),
    ]
    assert shown["runs"][0]["rules"]["T1"] == "holds"
    assert {*shown["kinds"]} == {"RangeAggregation that scans", "VectorAggregation"}
    assert shown["fitted"]["runs"] == 1


def test_a_runner_of_ones_own_is_named(made: Path, scenario: Scenario) -> None:
    assert scenario.data is not None
    Path("mine.py").write_text(
        "from functools import partial\n\nfrom workflow.runners.local import LocalRunner\n\n"
        "make = partial(LocalRunner, slots=1)\nnumber = 3\n",
        "utf-8",
    )
    plan = ("compare", "sum-by-level", "--data", made, "--runs", 1)
    assert windtunnel(*plan, "--runner", "mine.py:make").exit_code == 0
    for name, seen in (
        ("mine.py:number", "got 'mine.py:number', 3; expected something to call"),
        ("mine.py:other", "nothing of that name there; expected something to call"),
        ("mine", "got 'mine', expected dask, local, package.module:FACTORY or file.py:FACTORY"),
    ):
        assert seen in str(windtunnel(*plan, "--runner", name).exception)
    refused = windtunnel(*plan, "--runner", "mine.py:make", "--slots", 2)
    assert refused.exit_code == 2
    assert "--slots is for --runner dask or local" in refused.output


def test_several_plans_run_one_after_the_other(made: Path) -> None:
    scenario, _ = load_target("two-queries", bucket=str(made))
    found = compare(scenario, partial(LocalRunner, slots=2), name="local", runs=2)
    assert [run.workload for run in found.of("read")] == [0, 1, 0, 1]
    assert found.right
