"""Every rule about a run can fail, and holds where it should; the answer by hand."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crafted import (
    chain,
    edited,
    is_event,
    limited,
    merged,
    newest,
    outcome_of,
    saying,
    scan,
    with_events,
)

from properties.answer import Answer, answer_of
from properties.invariants import INVARIANTS, check
from scenarios.shelf import load_plan
from sim.latency import Bimodal, Constant
from sim.scenario import Client, Cluster, Fault, Workload
from sim.simulate import Outcome, StuckReport
from workflow import Options
from workflow.plan import Merge, ScanSet
from workflow.trace import Event

QUIET = outcome_of(merged("a", "b"))
FAILING = outcome_of(merged("a", "b"), faults=[Fault(kind="task_failure", nth=2, task=1)])


def broken(outcome: Outcome) -> dict[str, str]:
    """What is wrong, by rule: the first of each."""
    found: dict[str, str] = {}
    for violation in check(outcome):
        assert violation.sentence == INVARIANTS[violation.rule][0]
        found.setdefault(violation.rule, violation.seen)
    return found


def with_end(outcome: Outcome, **changes: Any) -> Outcome:
    """The outcome with another end of its workload."""
    return replace(outcome, ends=(replace(outcome.ends[0], **changes),))


def test_a_quiet_run_and_one_with_a_failure_break_no_rule() -> None:
    assert QUIET.ends[0].end == "eof"
    assert FAILING.ends[0].end == "error"
    assert broken(QUIET) == broken(FAILING) == {}


def test_every_rule_has_its_tests() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for rule in INVARIANTS:
        name = rule.lower().replace("-", "_")
        assert re.search(rf"^def test_{name}_fails_", text, re.MULTILINE), rule
        assert re.search(rf"^def test_{name}_holds_", text, re.MULTILINE), rule


def test_a_violation_says_rule_sentence_and_what_was_seen() -> None:
    [violation] = check(replace(QUIET, kept={"tasks": 1}))
    assert str(violation) == (
        "RUN-10 an unregistered manifest leaves nothing behind:"
        " the scheduler still keeps {'tasks': 1}"
    )


# RUN-1: the run ends.


def test_run_1_fails_when_a_run_is_stuck_or_takes_too_many_steps() -> None:
    stuck = replace(QUIET, stuck=StuckReport((("client 0", "a record"), ("m0/t1", "room"))))
    assert broken(stuck) == {
        "RUN-1": "nothing can happen any more: client 0 waits for a record; m0/t1 waits for room"
    }
    assert "RUN-1" in broken(replace(QUIET, over_budget=True))


def test_run_1_holds_for_a_reader_that_never_reads_but_is_cancelled() -> None:
    idle = outcome_of(merged("a", "b"), client=Client(never_reads=True, cancel_at=50_000))
    assert idle.ends[0].end == "error"
    assert broken(idle) == {}


# RUN-2: a task only moves as the table of states allows.


def test_run_2_fails_when_a_task_runs_after_its_end() -> None:
    late = edited(
        QUIET,
        is_event("task_event", "m0/t1", state="Completed"),
        lambda event: (event, Event(0, event.tick, "task_event", "m0/t1", {"state": "Running"})),
    )
    assert list(broken(late)) == ["RUN-2"]
    assert broken(late)["RUN-2"].startswith("m0/t1 went from Completed to Running (event ")


def test_run_2_fails_when_a_task_completes_without_having_run() -> None:
    skipped = with_events(
        QUIET,
        [e for e in QUIET.trace.events if not is_event("task_event", "m0/t1", state="Running")(e)],
    )
    assert broken(skipped)["RUN-2"].startswith("m0/t1 went from Pending to Completed")


def test_run_2_holds_where_reports_may_overtake_each_other() -> None:
    notify = Bimodal(short=0, long=3_000, long_percent=40)
    for seed in range(10):
        assert broken(outcome_of(merged("a", "b"), seed=seed, cluster=Cluster(notify=notify))) == {}


# RUN-3: a stream only moves as the table of states allows.


def test_run_3_fails_when_a_stream_opens_after_its_end() -> None:
    reopened = edited(
        QUIET,
        is_event("stream_event", "m0/s1", state="Closed"),
        lambda event: (event, saying(event, state="Open")),
    )
    assert list(broken(reopened)) == ["RUN-3"]
    assert "m0/s1 went from Closed to Open" in broken(reopened)["RUN-3"]


def test_run_3_holds_when_streams_block_and_go_on() -> None:
    slow = outcome_of(merged("a", "b"), client=Client(pause=Constant(ticks=5_000)))
    states = [e.details["state"] for e in slow.trace.events if e.kind == "stream_event"]
    assert {"Open", "Blocked", "Closed"} == set(states)
    assert broken(slow) == {}


# RUN-4: every stream has one sender and one reader.


@pytest.mark.parametrize("side", ["sinks", "sources"])
def test_run_4_fails_when_a_stream_lacks_an_end(side: str) -> None:
    def without(event: Event) -> list[Event]:
        tasks = [dict(task) for task in event.details["tasks"]]
        victim = next(task for task in tasks if task[side] and task[side] != [0])
        victim[side] = victim[side][1:]
        return [saying(event, tasks=tasks)]

    cut = edited(QUIET, is_event("manifest", "m0"), without)
    senders, readers = (0, 1) if side == "sinks" else (1, 0)
    assert f"has {senders} senders and {readers} readers" in broken(cut)["RUN-4"]


def test_run_4_holds_for_scans_that_two_tasks_read() -> None:
    shared = outcome_of(load_plan("shared-scans").plan)
    [manifest] = [event for event in shared.trace.events if event.kind == "manifest"]
    assert any(len(task["sinks"]) == 2 for task in manifest.details["tasks"])
    assert broken(shared) == {}


# RUN-5: a task ends once.


def test_run_5_fails_when_an_end_is_told_twice() -> None:
    twice = edited(
        QUIET, is_event("task_event", "m0/t2", state="Completed"), lambda event: (event, event)
    )
    assert broken(twice)["RUN-5"] == "m0/t2 ended 2 times"


def test_run_5_holds_when_every_task_is_cancelled_by_the_user() -> None:
    cancelled = outcome_of(merged("a", "b"), client=Client(cancel_at=1_000))
    assert cancelled.ends[0].states == {"Cancelled": 3}
    assert broken(cancelled) == {}


# RUN-6: tokens are conserved.


def test_run_6_fails_when_a_token_stays_away() -> None:
    assert broken(with_end(QUIET, tokens={"scan": 1, "other": 0})) == {
        "RUN-6": "workload 0 ended with tokens in use: {'scan': 1, 'other': 0}"
    }


def test_run_6_fails_when_more_tasks_run_than_there_are_tokens() -> None:
    [workload] = QUIET.scenario.workloads
    one = replace(workload, options=Options(max_running_scan_tasks=1))
    tighter = replace(QUIET, scenario=replace(QUIET.scenario, workloads=(one,)))
    assert broken(tighter)["RUN-6"].startswith("2 scan tasks of m0 ran with 1 tokens (event ")


def test_run_6_holds_for_four_scans_and_one_token() -> None:
    one = Options(max_running_scan_tasks=1)
    assert broken(outcome_of(merged("a", "b", "c", "d"), options=one)) == {}


# RUN-7: the end comes last.


def test_run_7_fails_when_the_end_follows_a_failure() -> None:
    hushed = edited(
        QUIET,
        is_event("task_event", "m0/t1", state="Completed"),
        lambda event: (saying(event, state="Failed"),),
    )
    assert broken(hushed) == {"RUN-7": "the reader saw the end although m0/t1 had failed"}


def test_run_7_fails_when_the_end_overtakes_a_task() -> None:
    eof = next(event for event in QUIET.trace.events if event.kind == "read_eof")
    early = edited(
        with_events(QUIET, [event for event in QUIET.trace.events if event is not eof]),
        is_event("task_event", "m0/t0", state="Completed"),
        lambda event: (eof, event),
    )
    assert broken(early) == {"RUN-7": "the reader saw the end while m0/t0 was not over"}


def test_run_7_holds_when_the_reader_has_closed_before() -> None:
    closed = edited(
        QUIET,
        is_event("task_event", "m0/t1", state="Completed"),
        lambda event: (Event(0, 0, "close_results", "m0/s0"), saying(event, state="Failed")),
    )
    assert broken(closed) == {}


# RUN-8: no row is lost or doubled.


@pytest.mark.parametrize(
    ("tamper", "seen"),
    [
        (lambda names: names[1:], "workload 0: got 10 rows, expected 12 (m0/t"),
        (lambda names: (*names, names[0]), " came too often (and 1 more)"),
        (lambda names: (*names, "m9/t9.0:0-0"), "row m9/t9.0:0 does not belong to the answer"),
    ],
    ids=["lost", "doubled", "foreign"],
)
def test_run_8_fails_when_a_row_is(tamper: object, seen: str) -> None:
    assert callable(tamper)
    tampered = with_end(QUIET, row_names=tamper(QUIET.ends[0].row_names))
    assert list(broken(tampered)) == ["RUN-8"]
    assert seen in broken(tampered)["RUN-8"]


def test_run_8_fails_when_a_limit_gives_too_many_or_too_few_rows() -> None:
    outcome = outcome_of(limited(1, 3, "a", "b"))
    names = outcome.ends[0].row_names
    assert broken(outcome) == {}
    for other, seen in (((*names, "m0/t1.0:5-5"), "at most 3"), (names[1:], "expected 3")):
        assert seen in broken(with_end(outcome, row_names=other))["RUN-8"]


def test_run_8_holds_for_a_reader_that_leaves_early_with_a_part() -> None:
    part = outcome_of(merged("a", "b"), client=Client(close_after=1))
    assert part.ends[0].end == "closed"
    assert 0 < part.ends[0].rows < 12
    assert broken(part) == {}


# RUN-9: every started task ends, and only trouble is an error.


def test_run_9_fails_on_an_error_without_trouble() -> None:
    assert broken(replace(FAILING, counts={})) == {
        "RUN-9": "workload 0 ended with an error without any trouble: " + FAILING.ends[0].error
    }


def test_run_9_fails_when_a_task_is_left_behind() -> None:
    left = with_end(QUIET, states={"Completed": 2, "Running": 1})
    assert broken(left) == {"RUN-9": "workload 0 left tasks {'Completed': 2, 'Running': 1}"}


def test_run_9_holds_when_the_user_asked_for_the_error() -> None:
    cancelled = outcome_of(merged("a", "b"), client=Client(cancel_at=2_000))
    assert cancelled.ends[0].error == "WorkflowCancelled: cancelled by the user"
    assert not any(name.startswith("fault ") for name in cancelled.counts)
    assert broken(cancelled) == {}


# RUN-10: an unregistered manifest leaves nothing behind.


def test_run_10_fails_when_the_scheduler_still_knows_a_task() -> None:
    kept = {"manifests": 0, "tasks": 1, "streams": 0, "queued": 0}
    assert list(broken(replace(QUIET, kept=kept))) == ["RUN-10"]


def test_run_10_holds_when_the_workflow_is_closed_in_the_middle() -> None:
    closed = outcome_of(merged("a", "b"), client=Client(close_at=2_000))
    assert closed.kept
    assert not any(closed.kept.values())
    assert broken(closed) == {}


# The answer, by hand.


def rows(*names: str) -> Counter[str]:
    """``t1.0:0-2`` as three rows of m0."""
    counted: Counter[str] = Counter()
    for name in names:
        of, _, run = name.partition(":")
        first, _, last = run.partition("-")
        counted.update(f"m0/{of}:{row}" for row in range(int(first), int(last or first) + 1))
    return counted


def answer(workload: Workload) -> Answer:
    """As the first manifest of a run."""
    return answer_of(workload, "m0")


def test_a_merge_has_every_row_of_every_scan() -> None:
    workload = Workload(plan=merged("a", "b"), rows_per_scan=3, batch_rows=2)
    assert answer(workload) == Answer(rows("t1.0:0-2", "t2.0:0-2"), 6, exact=True)


def test_a_limit_skips_and_takes_any_rows() -> None:
    workload = Workload(plan=limited(2, 3, "a", "b"), rows_per_scan=4)
    assert answer(workload) == Answer(rows("t1.0:0-3", "t2.0:0-3"), 3, exact=False)


def test_a_limit_larger_than_its_input_takes_what_is_left_after_the_skip() -> None:
    workload = Workload(plan=limited(5, 100, "a", "b"), rows_per_scan=3)
    assert answer(workload).count == 1
    assert answer(Workload(plan=limited(7, 100, "a", "b"), rows_per_scan=3)).count == 0


def test_a_topk_takes_the_newest_rows_and_of_one_instant_the_first_scan_s() -> None:
    # Three rows each: a at 10, 5 and 0 seconds, b at 20, 15 and 10.
    plan = newest(3, scan("a", 0, 10), scan("b", 10, 20))
    workload = Workload(plan=plan, rows_per_scan=3)
    assert answer(workload) == Answer(rows("t2.0:0-1", "t1.0:0"), 3, exact=True)


def test_scans_that_two_tasks_read_count_in_both() -> None:
    # t1 and t4 keep their 10 newest rows.  Both read t2 (minutes 5 to 15) and t3 (20 to 35), and
    # each a scan of its own: t1 40 to 50, t4 0 to 10.  With four rows each, t1 keeps its own
    # four, t3's four, and t2's of 15:00 and 11:40.  t4 keeps t3's four, those two, then 10:00 of
    # its own, 8:20 of t2, 6:40 of its own, 5:00 of t2.
    workload = Workload(plan=load_plan("shared-scans").plan, rows_per_scan=4)
    by_t1 = rows("t1.0:0-3", "t3.0:0-3", "t2.0:0-1")
    by_t4 = rows("t3.0:0-3", "t2.0:0-3", "t4.0:0-1")
    assert answer(workload) == Answer(by_t1 + by_t4, 20, exact=True)


def test_scans_without_rows_and_no_scans_at_all_answer_nothing() -> None:
    nothing = Answer(Counter(), 0, exact=True)
    assert answer(Workload(plan=merged("a", "b"), rows_per_scan=0)) == nothing
    assert answer(Workload(plan=chain(Merge(), ScanSet()))) == nothing


def test_an_answer_forgives_a_part_only_of_a_run_that_was_not_read_to_its_end() -> None:
    exact = Answer(rows("t1.0:0-2"), 3, exact=True)
    assert not list(exact.wrong(rows("t1.0:0-1"), whole=False))
    assert list(exact.wrong(rows("t1.0:0-1"), whole=True)) == [
        "got 2 rows, expected 3 (m0/t1.0:2, ...)"
    ]
