"""Monitors inside a run, over what was saved of it, and over a Runner recorded at its border."""

from collections.abc import Generator
from typing import Any

import pytest
from cases import build, load_cases
from simpy.events import Event

from properties.judged import judged
from properties.monitors import MONITORS, Level, Monitor, judge_trace
from properties.mutants import MUTANTS
from scenarios.shelf import find_scenario
from sim.choices import Seeded
from sim.inline import InlineRunner
from sim.job import Job
from sim.parts import SOUND, Parts
from sim.scenario import Scenario, Workload
from sim.scheduler import Connection, Execution
from sim.worker import Worker
from workflow import GraphError, Identifiers, Plan, Workflow
from workflow.trace import Recorder, Trace, read_trace

CASES = load_cases()


def recorded(name: str, *, ends: bool = True) -> Trace:
    """What crosses the border in a run of a case; `ends`: it says that nothing more will."""
    runner = InlineRunner(rows_per_scan=6)
    recorder = Recorder(runner)
    workflow = Workflow(build(CASES[name])[0], recorder, ids=Identifiers(name))
    results = recorder.reader(workflow.run())
    for _ in runner.read(results):
        pass
    results.close()
    workflow.close()
    if ends:
        recorder.finish()
    return recorder.trace


def test_the_first_violation_stops_a_run() -> None:
    parts = MUTANTS["end-told-twice"].parts
    scenario = find_scenario("log-search")
    stopped = judged(scenario, Seeded(0), parts=parts)
    whole = judged(scenario, Seeded(0), parts=parts, stop=False)
    assert [violation.rule for violation in stopped.violations] == ["T2"]
    events = len(stopped.outcome.trace.events)
    assert stopped.outcome.trace.events == whole.outcome.trace.events[:events]
    assert events < len(whole.outcome.trace.events)


def test_a_saved_trace_gets_the_verdicts_that_its_run_got() -> None:
    for name in ("worker-lost", "impatient-users", "short-circuit"):
        scenario = find_scenario(name)
        for mutant in ("sound", "failure-keeps-sinks-open", "errors-flattened"):
            parts = SOUND if mutant == "sound" else MUTANTS[mutant].parts
            run = judged(scenario, Seeded(3), parts=parts, stop=False)
            saved = read_trace(run.outcome.trace.lines())
            assert tuple(judge_trace(saved, monitors=MONITORS, scenario=scenario)) == run.verdicts


def test_a_runner_recorded_at_its_border_is_judged_by_the_rules_of_the_border() -> None:
    for name in ("V04", "V10", "V36", "V43"):
        verdicts = {each.rule: each for each in judge_trace(recorded(name), monitors=MONITORS)}
        assert not [each for each in verdicts.values() if each.word == "violated"]
        judged_rules = [rule for rule, each in verdicts.items() if each.word == "holds"]
        assert len(judged_rules) >= 28, judged_rules
        for monitor in MONITORS:
            if monitor.level is not Level.BORDER:
                assert verdicts[monitor.rule].word == "not judged"
                assert verdicts[monitor.rule].why.startswith("the trace does not show ")


def test_without_an_end_what_must_have_come_is_not_judged() -> None:
    verdicts = judge_trace(recorded("V04", ends=False), monitors=MONITORS)
    waiting = [each.rule for each in verdicts if "nothing more would happen" in each.why]
    assert "T4" in waiting
    assert "L1" in waiting


def test_a_handler_for_no_kind_of_event_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Typo\.on_cal: .*did you mean on_call\?"):
        type("Typo", (Monitor,), {"rule": "X1", "on_cal": lambda _self, _event: None})


class FallsOver(Worker):
    """Has no room for any task, and does not know how to say so."""

    def on_assign(self, _connection: Connection, _execution: Execution) -> None:
        raise LookupError("no room")


class RaisesInAProcess(Job):
    """Falls over when it is to start."""

    def run(self) -> Generator[Event, Any, None]:
        raise LookupError("no rows")


@pytest.mark.parametrize(
    ("parts", "seen"),
    [
        (Parts(worker=FallsOver), "no room (test_judged.py, on_assign)"),
        (Parts(job=RaisesInAProcess), "no rows (test_judged.py, run)"),
    ],
    ids=["in a call", "in a process"],
)
def test_what_a_part_raises_ends_the_run_and_is_a_violation(parts: Parts, seen: str) -> None:
    run = judged(find_scenario("log-search"), Seeded(0), parts=parts)
    [violation] = run.violations
    assert (violation.rule, violation.seen) == ("raised LookupError", seen)
    last = run.outcome.trace.events[-1]
    assert (last.kind, last.seq) == ("process_failed", *violation.events)


def test_a_plan_that_the_engine_refuses_is_no_violation() -> None:
    with pytest.raises(GraphError):
        judged(Scenario(workloads=(Workload(plan=Plan()),)), Seeded(0))
