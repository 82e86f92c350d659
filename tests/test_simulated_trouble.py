"""Trouble in the simulated cluster: what each fault does, and what it leaves alone."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    CALM,
    is_over,
    logs,
    newest,
    of,
    rows,
    scenario,
    stream_states,
    task_ends,
    went_well,
)

from sim.choices import Deltas, Seeded, Tame
from sim.latency import Bimodal, Constant, Exponential
from sim.runner import SimRunner
from sim.scenario import Client, Cluster, Fault, FaultKind, Scenario, Workload
from sim.simulate import Outcome, simulate

WILD = Cluster(slack=50)
TWO = (Workload(plan=logs(3)), Workload(plan=newest(6, 3), arrival=4_000))
UNDISTURBED = simulate(scenario(*TWO), Tame())


def same_rows(outcome: Outcome) -> None:
    """Every workload gave what it gives without trouble."""
    went_well(outcome)
    for index in range(len(outcome.ends)):
        assert rows(outcome, index) == rows(UNDISTURBED, index)


def attempts(outcome: Outcome) -> dict[str, list[str]]:
    """The executions of each task that began."""
    found: dict[str, list[str]] = {}
    for event in of(outcome, "run"):
        found.setdefault(event.subject.partition(".")[0], []).append(event.subject)
    return found


def one_sender_each(outcome: Outcome) -> None:
    """Of each stream's task one execution alone sent anything."""
    senders: dict[str, str] = {}
    for event in of(outcome, "send"):
        assert senders.setdefault(event.subject, event.details["task"]) == event.details["task"]


def everywhere(kind: FaultKind, count: int, **details: Any) -> Iterator[Outcome]:
    """A fault at each of its first occasions, until there are no more."""
    for nth in range(count):
        outcome = simulate(scenario(*TWO, faults=(Fault(kind=kind, nth=nth, **details),)), Tame())
        if not outcome.counts.get(f"fault {kind}"):
            return
        yield outcome
    raise AssertionError(f"{kind} has more than {count} occasions")


# Assignments.


@pytest.mark.parametrize("kind", ["lost_ack", "late_ack", "refused_assignment"])
def test_an_assignment_that_goes_wrong_changes_no_row(kind: FaultKind) -> None:
    seen = 0
    for outcome in everywhere(kind, 20, ticks=3_000):
        same_rows(outcome)
        one_sender_each(outcome)
        seen += 1
    assert seen >= 8  # the tasks of both

    for seed in range(25):
        outcome = simulate(
            scenario(
                *TWO, cluster=WILD, faults=(Fault(kind=kind, per_million=400_000, ticks=2_000),)
            ),
            Seeded(seed),
        )
        same_rows(outcome)
        one_sender_each(outcome)


def test_a_report_stands_in_for_an_acknowledgement_that_got_lost() -> None:
    for outcome in everywhere("lost_ack", 20):
        assert "ack timeouts" not in outcome.counts
        assert all(len(names) == 1 for names in attempts(outcome).values())


def test_the_reference_runs_a_task_twice_whose_acknowledgement_got_lost() -> None:
    outcome = simulate(
        scenario(
            cluster=replace(CALM, profile="reference"),
            faults=(Fault(kind="lost_ack", nth=1),),
        ),
        Tame(),
    )
    assert outcome.counts["ack timeouts"] == 1
    assert attempts(outcome)["m0/t1"] == ["m0/t1", "m0/t1.2"]
    assert outcome.makespan > CALM.ack_timeout


def test_an_answer_that_comes_too_late_leaves_one_execution_that_counts() -> None:
    again = 0
    for seed in range(80):
        outcome = simulate(
            scenario(*TWO, cluster=replace(WILD, control=Exponential(mean=400), ack_timeout=1_200)),
            Seeded(seed),
        )
        same_rows(outcome)
        one_sender_each(outcome)
        again += sum(len(names) > 1 for names in attempts(outcome).values())
    assert again > 10


def test_a_refused_task_keeps_its_place_in_the_queue() -> None:
    outcome = simulate(
        scenario(
            Workload(plan=logs(4)),
            cluster=replace(CALM, workers=1, slots=2),
            faults=(Fault(kind="refused_assignment", nth=1),),
        ),
        Tame(),
    )
    went_well(outcome)
    assigned = [event.subject for event in of(outcome, "assign")]
    assert assigned == ["m0/t0", "m0/t1", "m0/t1.2", "m0/t2", "m0/t3", "m0/t4"]


def test_a_refused_task_costs_its_query_nothing() -> None:
    refusals = tuple(Fault(kind="refused_assignment", nth=n, workload=0) for n in range(1, 9))
    outcome = simulate(
        scenario(
            Workload(plan=logs(12)),
            Workload(plan=logs(12)),
            cluster=replace(CALM, workers=1, slots=4),
            faults=refusals,
        ),
        Tame(),
    )
    went_well(outcome)
    assert len(list(of(outcome, "refuse"))) == 8
    accepted = [event.subject.partition("/")[0] for event in of(outcome, "accept")]
    assert Counter(accepted[:14])["m0"] >= 6


def test_the_word_of_an_execution_that_was_given_up_does_not_count() -> None:
    struck: Counter[str] = Counter()
    for seed in range(150):
        outcome = simulate(
            scenario(
                cluster=replace(WILD, control=Exponential(mean=400), ack_timeout=1_200),
                faults=(Fault(kind="task_failure", nth=0),),
            ),
            Seeded(seed),
        )
        is_over(outcome)
        execution = next(of(outcome, "fault")).subject.removesuffix("/start")
        given_up = [event.subject for event in of(outcome, "ack_timeout")]
        struck[outcome.ends[0].end] += 1
        assert (outcome.ends[0].end == "eof") == (execution in given_up)
    assert struck["eof"] > 2


def test_a_task_cancelled_on_its_way_to_a_worker_is_stopped_there() -> None:
    # Assigned at 10, taken at 20, known to be taken at 30; the second query needs both slots.
    for tick in range(11, 32):
        outcome = simulate(
            scenario(
                Workload(plan=logs(1), client=Client(cancel_at=tick)),
                Workload(plan=logs(1), arrival=1_000),
                cluster=replace(CALM, workers=1, slots=2),
            ),
            Tame(),
        )
        is_over(outcome)
        assert [end.end for end in outcome.ends] == ["error", "eof"]
        assert not list(of(outcome, "send", subject="m0/s1"))


def test_streams_that_end_before_their_reader_is_there_have_ended_for_it() -> None:
    early = 0
    for seed in range(40):
        outcome = simulate(
            scenario(
                Workload(plan=logs(4), rows_per_scan=0),
                cluster=replace(WILD, workers=5, slots=1),
                faults=(Fault(kind="late_ack", per_million=300_000, ticks=900),),
            ),
            Seeded(seed),
        )
        went_well(outcome)
        assert outcome.ends[0].rows == 0
        taken = next(e.seq for e in of(outcome, "accept") if e.subject == "m0/t0")
        early += any(e.seq < taken for e in of(outcome, "stream_event", subject="m0/s1"))
    assert early > 3


# Workers.


def test_a_crash_fails_what_ran_there_and_nothing_else() -> None:
    ends: Counter[str] = Counter()
    for tick in range(30, 1_500, 30):
        outcome = simulate(
            scenario(*TWO, faults=(Fault(kind="worker_crash", at=tick, worker=0),)), Tame()
        )
        is_over(outcome)
        if outcome.ends[0].end == "error":
            assert outcome.ends[0].error == "ConnectionLost: connection to worker w0 lost"
        ends[outcome.ends[0].end] += 1
        # The other worker is still there for the next.
        assert rows(outcome, 1) == rows(UNDISTURBED, 1)
        later = {e.details["worker"] for e in of(outcome, "run") if e.subject.startswith("m1")}
        assert later == {"w1"}
    assert ends["error"] > 5
    assert ends["eof"] > 5


def test_a_worker_that_comes_back_works_again() -> None:
    one = replace(CALM, workers=1)
    for back in (1, 200, 3_000):
        outcome = simulate(
            scenario(*TWO, cluster=one, faults=(Fault(kind="worker_crash", at=100, ticks=back),)),
            Tame(),
        )
        is_over(outcome)
        assert [end.end for end in outcome.ends] == ["error", "eof"]
        assert rows(outcome, 1) == rows(UNDISTURBED, 1)
        assert [event.subject for event in of(outcome, "worker_up")] == ["w0", "w0.2"]


def test_one_that_left_and_crashed_comes_back_to_work() -> None:
    two = (Workload(plan=logs(1)), Workload(plan=logs(1), arrival=4_000))
    faults = (
        Fault(kind="worker_leave", at=100, worker=0),
        Fault(kind="worker_crash", at=150, ticks=50, worker=0),
    )
    outcome = simulate(scenario(*two, cluster=replace(CALM, slots=1), faults=faults), Tame())
    is_over(outcome)
    assert [end.end for end in outcome.ends] == ["error", "eof"]  # which takes both workers


def test_one_that_is_back_before_it_was_missed_does_not_answer_for_its_former_connection() -> None:
    # The scheduler learns of the crash 300 ticks after the worker is back.
    outcome = simulate(
        scenario(
            Workload(plan=logs(1)),
            Workload(plan=logs(1), arrival=250),
            cluster=replace(CALM, workers=1, slots=4, slack=300),
            faults=(Fault(kind="worker_crash", at=200, ticks=1),),
        ),
        Deltas({"slack:w0 breaks": 300}),
    )
    is_over(outcome)
    assert [end.end for end in outcome.ends] == ["error", "eof"]
    assert [event.details["worker"] for event in of(outcome, "assign")][-4:] == [
        "w0", "w0", "w0.2", "w0.2"
    ]  # fmt: skip


def test_a_worker_crashed_or_cut_anywhere_keeps_all_of_its_slots() -> None:
    # A slot lost with a task would leave the second query waiting, which needs both.
    for kind, ticks in (("connection_cut", 0), ("half_open", 0), ("half_open", 90)):
        fault = Fault(kind=kind, nth=0, ticks=ticks)  # type: ignore[arg-type]
        for nth in range(99):
            outcome = simulate(
                Scenario(
                    cluster=replace(CALM, workers=1, slots=2, detect=2_000),
                    workloads=(Workload(plan=logs(3)), Workload(plan=logs(3), arrival=9_000)),
                    faults=(replace(fault, nth=nth),),
                ),
                Tame(),
            )
            is_over(outcome)
            ends = [outcome.ends[0].error, outcome.ends[1].error]
            assert "" in ends  # it struck one of the two at most
            assert set(ends) <= {"", "ConnectionLost: connection to worker w0 lost"}
            # Also if it was only silent, and for a while: something got lost.
            assert nth > 20 or [e.subject for e in of(outcome, "worker_lost")] == ["w0"]
            if not outcome.counts.get(f"fault {kind}"):
                break
        assert 40 < nth < 98


def test_what_was_under_way_from_a_worker_dies_with_it() -> None:
    # In the reference, with late news: else nobody would take it anyway.
    cluster = replace(
        CALM, data=Constant(ticks=500), profile="reference", notify=Constant(ticks=1_500)
    )
    for back in (0, 1):
        fault = Fault(kind="worker_crash", at=900, ticks=back, worker=0)
        outcome = simulate(scenario(*TWO, cluster=cluster, faults=(fault,)), Tame())
        is_over(outcome)
        sent = [event.tick for event in of(outcome, "send", subject="m0/s0")]
        assert 400 < sent[-1] < 900  # and under way until 500 later
        assert not list(of(outcome, "write", subject="m0/s0"))
        assert outcome.ends[1].end == "eof"


def test_nothing_is_written_to_a_stream_that_has_closed() -> None:
    # A batch that waits at the scheduler for room is no exception, however late the news.
    waited = 0
    for seed in range(40):
        outcome = simulate(
            scenario(
                Workload(plan=logs(1), client=Client(pause=Constant(ticks=2_000))),
                cluster=replace(CALM, notify=Bimodal(short=0, long=50_000, long_percent=50)),
                faults=(Fault(kind="cancel_task", at=900, task=0),),
            ),
            Seeded(seed),
        )
        is_over(outcome)
        closed = next(
            event.seq
            for event in of(outcome, "stream_event", subject="m0/s0")
            if event.details["state"] == "Closed"
        )
        assert all(event.seq < closed for event in of(outcome, "write"))
        waited += [e.details["outcome"] for e in of(outcome, "write_done")][-1] == "full"
    assert waited > 5


def test_a_worker_that_leaves_changes_no_row() -> None:
    cluster = replace(CALM, workers=3)
    gone = 0
    for tick in range(0, 900, 15):
        for worker in (0, 1):
            outcome = simulate(
                scenario(
                    *TWO,
                    cluster=cluster,
                    faults=(Fault(kind="worker_leave", at=tick, worker=worker),),
                ),
                Tame(),
            )
            same_rows(outcome)
            assert ["Failed"] not in task_ends(outcome).values()
            told = next(of(outcome, "fault")).seq
            assert not [
                event
                for event in of(outcome, "run")
                if event.seq > told and event.details["worker"] == f"w{worker}"
            ]
            for event in of(outcome, "worker_gone"):
                gone += 1
                assert event.subject == f"w{worker}"
                accepted = list(of(outcome, "accept"))
                assert all(
                    e.seq < event.seq or e.details["worker"] != f"w{worker}" for e in accepted
                )
    assert gone > 60


def test_the_last_worker_neither_leaves_nor_stays_dead() -> None:
    for kind in ("worker_leave", "worker_crash"):
        faults = tuple(Fault(kind=kind, at=100, worker=w) for w in (0, 1))
        for seed in range(10):
            outcome = simulate(scenario(*TWO, cluster=WILD, faults=faults), Seeded(seed))
            is_over(outcome)
            assert outcome.ends[1].end == "eof"


def test_slow_workers_and_links_change_only_times() -> None:
    for kind in ("slow_worker", "slow_link"):
        fault = Fault(kind=kind, nth=0, factor=40)
        one = replace(CALM, workers=1, slots=8)
        outcome = simulate(scenario(*TWO, cluster=one, faults=(fault,)), Tame())
        same_rows(outcome)
        assert outcome.ends[0].tick > 2 * UNDISTURBED.ends[0].tick
    for seed in range(10):
        slow = (
            Fault(kind="slow_worker", per_million=200_000, factor=9),
            Fault(kind="slow_link", per_million=50_000, factor=9),
        )
        same_rows(simulate(scenario(*TWO, cluster=WILD, faults=slow), Seeded(seed)))


# Tasks.


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(
    ("step", "where"), [(0, "start"), (1, "batch 1"), (3, "batch 3"), (-1, "end")]
)
@pytest.mark.parametrize("task", [0, 2])
def test_the_reader_gets_the_error_of_the_task_that_failed(
    task: int, step: int, where: str, silent: bool
) -> None:
    fault = Fault(kind="task_failure", nth=step, task=task, workload=0, silent=silent)
    outcome = simulate(scenario(*TWO, faults=(fault,)), Tame())
    is_over(outcome)
    end = outcome.ends[0]
    assert end.end == "error"
    if silent:
        assert end.error.startswith("TaskFailed: task 0")
        assert end.error.endswith(" failed without an error")
    else:
        assert end.error == f"TaskError: task m0/t{task} failed at its {where}"
    assert task_ends(outcome)[f"m0/t{task}"] == ["Failed"]
    assert Counter(end.states)["Failed"] == 1
    assert rows(outcome, 1) == rows(UNDISTURBED, 1)


def test_each_of_two_failures_strikes_a_task_of_its_own() -> None:
    fault = Fault(kind="task_failure", nth=1, workload=0)
    outcome = simulate(scenario(faults=(fault, fault)), Tame())
    assert outcome.counts["fault task_failure"] == 2
    assert len({event.subject.partition("/b")[0] for event in of(outcome, "fault")}) == 2


def test_the_user_may_cancel_any_task_at_any_tick() -> None:
    for when in ({"at": 90}, {"nth": 0}, {"per_million": 1_000_000}):
        for task in range(4):
            fault = Fault(kind="cancel_task", task=task, workload=0, **when)  # type: ignore[arg-type]
            outcome = simulate(scenario(*TWO, faults=(fault,)), Tame())
            is_over(outcome)
            assert outcome.counts["fault cancel_task"] == 1
            assert outcome.ends[0].error.startswith("TaskCancelled: task 0")
            assert outcome.ends[0].error.endswith("was cancelled, and not by this workflow")
            assert task_ends(outcome)[f"m0/t{task}"] == ["Cancelled"]
            assert rows(outcome, 1) == rows(UNDISTURBED, 1)


def test_to_cancel_a_task_of_a_query_that_is_gone_is_no_error() -> None:
    fault = Fault(kind="cancel_task", nth=0, workload=0)
    outcome = simulate(
        scenario(
            Workload(plan=logs(1), client=Client(close_at=100)),
            Workload(plan=logs(1), arrival=200),
            cluster=replace(CALM, work=Constant(ticks=400)),
            faults=(fault,),
        ),
        Tame(),
    )
    is_over(outcome)
    assert [end.end for end in outcome.ends] == ["error", "eof"]


def test_selectors_aim_a_fault_at_whom_they_name() -> None:
    aimed: tuple[FaultKind, ...] = (
        "lost_ack", "late_ack", "refused_assignment", "slow_worker", "worker_crash", "cancel_task"
    )  # fmt: skip
    for kind in aimed:
        for task, workload in ((1, 0), (0, 1), (3, 1)):
            fault = Fault(kind=kind, nth=0, task=task, workload=workload, ticks=50)
            outcome = simulate(scenario(*TWO, faults=(fault,)), Tame())
            assert [e.subject for e in of(outcome, "fault")] == [f"m{workload}/t{task}"]
            other = simulate(scenario(*TWO, faults=(replace(fault, task=9),)), Tame())
            assert other.digest == UNDISTURBED.digest


# The two profiles.


def closed_before_the_end(outcome: Outcome, stream: str) -> bool:
    gone = next(e.seq for e in of(outcome, "call") if e.details["method"] == "unregister_manifest")
    return any(
        event.seq < gone and event.details["state"] == "Closed"
        for event in of(outcome, "stream_event", subject=stream)
    )


def test_a_task_that_fails_or_is_lost_closes_its_sinks_but_not_in_the_reference() -> None:
    for fault in (
        Fault(kind="task_failure", nth=1, task=2, workload=0),
        Fault(kind="worker_crash", nth=0, task=2, workload=0),
    ):
        for profile in ("sound", "reference"):
            cluster = replace(CALM, profile=profile, workers=4, slots=1)
            outcome = simulate(
                scenario(Workload(plan=logs(3)), cluster=cluster, faults=(fault,)), Tame()
            )
            is_over(outcome)
            assert task_ends(outcome)["m0/t2"] == ["Failed"]
            assert closed_before_the_end(outcome, "m0/s2") == (profile == "sound")
            assert stream_states(outcome, "m0/s2")[-1] == "Closed"


@pytest.mark.parametrize("profile", ["sound", "reference"])
def test_a_completion_that_comes_after_a_cancel_is_refused(profile: str) -> None:
    cluster = replace(CALM, profile=profile, buffer=8, control=Constant(ticks=100))  # type: ignore[arg-type]
    refused = 0
    for tick in range(300, 900, 20):
        outcome = simulate(
            scenario(cluster=cluster, faults=(Fault(kind="cancel_task", at=tick, task=2),)), Tame()
        )
        is_over(outcome)  # among others: every task has one end
        sent = [event.tick for event in of(outcome, "send", subject="m0/s2")]
        # There is room, so the last batch of four was acknowledged 40 ticks later: all was done.
        if len(sent) == 4 and tick > sent[-1] + 40 and list(of(outcome, "fault")):
            assert task_ends(outcome)["m0/t2"] == ["Cancelled"]
            refused += 1
    assert refused > 1


def test_a_cancelled_task_says_no_more_in_the_sound_profile() -> None:
    # The reference's worker reports "context canceled", and its scheduler refuses that.
    for profile in ("sound", "reference"):
        outcome = simulate(
            scenario(
                Workload(plan=logs(3), client=Client(cancel_at=150)),
                cluster=replace(CALM, profile=profile),
            ),
            Tame(),
        )
        is_over(outcome)
        assert set(map(tuple, task_ends(outcome).values())) == {("Cancelled",)}


# A table of faults that do nothing must do nothing.


def test_a_fault_does_not_move_the_others_in_the_list() -> None:
    here = (
        Fault(kind="task_failure", per_million=30_000),
        Fault(kind="late_ack", per_million=200_000, ticks=500),
        Fault(kind="connection_cut", nth=30),
    )
    never: tuple[Fault, ...] = (
        Fault(kind="task_failure", nth=99_999),
        Fault(kind="late_ack", nth=99_999),
        Fault(kind="connection_cut", nth=99_999),
    )
    for seed in range(50):
        plain = simulate(scenario(*TWO, cluster=WILD, faults=here), Seeded(seed))
        more = simulate(scenario(*TWO, cluster=WILD, faults=(*never, *here)), Seeded(seed))
        assert more.digest == plain.digest
        assert more.deltas == plain.deltas


def test_a_workflow_on_the_bare_runner_meets_the_faults_of_a_tick() -> None:
    fault = Fault(kind="worker_crash", at=10, ticks=500)
    runner = SimRunner(Scenario(cluster=Cluster(workers=2), faults=(fault,)), Seeded(1))
    while runner.tick < 10:
        runner.step()
    assert [event.details["fault"] for event in runner.trace.events if event.kind == "fault"] == [
        "worker_crash"
    ]
