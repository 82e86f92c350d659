"""What the simulated cluster promises: streams, slots, fairness, limits, and honest endings."""

from collections import Counter
from dataclasses import replace

import pytest
from cases import Case, build, load_cases, second
from worlds import (
    CALM,
    chain,
    is_over,
    limited,
    logs,
    newest,
    of,
    rows,
    scenario,
    stream_states,
    task_ends,
    went_well,
)

from properties.judged import judged
from sim.choices import Deltas, Seeded, Tame
from sim.latency import Bimodal, Constant, Exponential
from sim.parts import Parts
from sim.scenario import Client, Cluster, Fault, Scenario, Workload
from sim.simulate import Outcome, simulate
from workflow import Options, StreamState, Task, TaskStatus, TimeRange, Workflow
from workflow.expressions import Column, ColumnType
from workflow.plan import DataObjScan, Parallelize, ScanSet, TopK
from workflow.runner import LEGAL_STREAM_MOVES

STATES = {str(state): state for state in StreamState}
WILD = Cluster(slack=50)


# Streams.


def test_a_slow_reader_blocks_streams_that_open_again_and_close() -> None:
    outcome = simulate(
        scenario(Workload(plan=logs(2), client=Client(pause=Constant(ticks=5_000)))), Tame()
    )
    went_well(outcome)
    for stream in ("m0/s0", "m0/s2"):  # the results, and what feeds them
        states = stream_states(outcome, stream)
        assert states[:3] == ["Open", "Blocked", "Open"]
        assert states[-2:] == ["Open", "Closed"]
        assert states[1:-1] == ["Blocked", "Open"] * (len(states) // 2 - 1)
    assert outcome.counts["blocked ticks"] > 10_000


def test_a_fast_reader_blocks_nothing() -> None:
    outcome = simulate(scenario(Workload(plan=logs(1)), cluster=replace(CALM, buffer=4)), Tame())
    went_well(outcome)
    assert stream_states(outcome, "m0/s0") == ["Open", "Closed"]
    assert stream_states(outcome, "m0/s1") == ["Open", "Closed"]


def test_streams_only_move_as_they_may_whatever_happens() -> None:
    faults = (
        Fault(kind="worker_crash", per_million=40_000, ticks=900),
        Fault(kind="connection_cut", per_million=10_000),
        Fault(kind="task_failure", per_million=10_000),
        Fault(kind="late_ack", per_million=200_000, ticks=700),
    )
    kinds: Counter[str] = Counter()
    for seed in range(60):
        outcome = simulate(
            scenario(
                Workload(plan=logs(), client=Client(pause=Exponential(mean=1_500))),
                Workload(plan=newest(5, 4), arrival=700),
                cluster=WILD,
                faults=faults,
            ),
            Seeded(seed),
        )
        is_over(outcome)
        recorded: dict[str, StreamState] = {}
        for event in of(outcome, "stream_event"):
            old = recorded.get(event.subject, StreamState.IDLE)
            new = STATES[event.details["state"]]
            assert new in LEGAL_STREAM_MOVES[old], event
            recorded[event.subject] = new
            kinds[event.details["state"]] += 1
        assert list(recorded.values()) == [StreamState.CLOSED] * len(recorded)
        assert len(recorded) == 3 + 1 + 4 + 1
        kinds.update(end.end for end in outcome.ends)
    assert min(kinds[name] for name in ("Open", "Blocked", "Closed", "eof", "error")) > 10


@pytest.mark.parametrize("buffer", [1, 2, 5])
def test_a_buffer_holds_as_much_as_it_may_and_no_more(buffer: int) -> None:
    slow = Workload(plan=logs(2), rows_per_scan=60, client=Client(pause=Constant(ticks=9_000)))
    ahead: Counter[str] = Counter()
    most: Counter[str] = Counter()
    outcome = simulate(scenario(slow, cluster=replace(CALM, buffer=buffer)), Tame())
    went_well(outcome)
    for event in of(outcome, "send", "take", "write_done", "read"):
        if event.kind == "write_done":
            ahead["results"] += event.details["outcome"] == "taken"
        elif event.kind == "read":
            ahead["results"] -= 1
        else:
            ahead[event.subject] += 1 if event.kind == "send" else -1
        for stream, batches in ahead.items():
            most[stream] = max(most[stream], batches)
    # One more is on its way or waits for room; the results themselves hold one.
    assert (most["m0/s1"], most["m0/s2"], most["results"]) == (buffer + 1, buffer + 1, 1)
    assert outcome.counts["peak buffer"] == buffer


# Slots.


def busiest(outcome: Outcome, workers: int) -> list[int]:
    """The most tasks that ran at once on each worker."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for event in of(outcome, "run", "over"):
        worker = event.details["worker"]
        running[worker] += 1 if event.kind == "run" else -1
        most[worker] = max(most[worker], running[worker])
        assert running[worker] >= 0
    return [most[f"w{index}"] for index in range(workers)]


@pytest.mark.parametrize("slots", [3, 5])
def test_a_worker_runs_as_many_tasks_at_once_as_it_has_slots(slots: int) -> None:
    for seed in range(20):
        outcome = simulate(
            scenario(Workload(plan=logs(20)), cluster=Cluster(workers=2, slots=slots)), Seeded(seed)
        )
        went_well(outcome)
        assert busiest(outcome, 2) == [slots, slots]


def test_a_worker_that_comes_back_has_no_more_slots_than_before() -> None:
    # Its dead tasks end when they next look, long after it is back.
    cluster = Cluster(workers=1, slots=3, work=Exponential(mean=4_000), slack=20)
    for seed in range(40):
        outcome = simulate(
            scenario(
                *(Workload(plan=logs(6), arrival=2_000 * i) for i in range(3)),
                cluster=cluster,
                faults=(Fault(kind="worker_crash", per_million=150_000, ticks=1),),
            ),
            Seeded(seed),
        )
        assert busiest(outcome, 1) == [3]


# A queue that is fair.


def test_a_small_query_is_not_kept_waiting_by_a_large_one_before_it() -> None:
    # Each root holds a slot; two are left for scans.
    outcome = simulate(
        scenario(
            Workload(plan=logs(30)),
            Workload(plan=logs(6), arrival=400),
            cluster=replace(CALM, workers=1, slots=4),
        ),
        Tame(),
    )
    went_well(outcome)
    assigned = [event.subject.partition("/")[0] for event in of(outcome, "assign")]
    after = assigned[assigned.index("m1") :]
    # From its arrival on the small one gets every second slot at least.
    assert Counter(after[:13])["m1"] >= 6
    assert outcome.ends[1].tick < outcome.ends[0].tick / 2


def test_many_queries_of_one_tenant_count_as_one_against_another_tenant() -> None:
    def workload(tenant: str) -> Workload:
        return Workload(plan=logs(12), options=Options(tenant=tenant))

    outcome = simulate(
        scenario(
            *(workload("many") for _ in range(4)),
            workload("one"),
            cluster=replace(CALM, workers=1, slots=7),
        ),
        Tame(),
    )
    went_well(outcome)
    assigned = [event.subject.partition("/")[0] for event in of(outcome, "assign")]
    assert Counter(assigned[5:27])["m4"] >= 10
    assert outcome.ends[4].tick < min(end.tick for end in outcome.ends[:4])


@pytest.mark.parametrize("client", [Client(stall_after=1, stall_ticks=400_000), Client()])
def test_a_stalled_reader_does_not_touch_the_rows_of_another_query(client: Client) -> None:
    for seed in range(10):
        alone = simulate(
            scenario(Workload(plan=logs(4)), Workload(plan=newest(7, 3)), cluster=WILD),
            Seeded(seed),
        )
        outcome = simulate(
            scenario(
                Workload(plan=logs(4), client=client), Workload(plan=newest(7, 3)), cluster=WILD
            ),
            Seeded(seed),
        )
        went_well(outcome)
        assert rows(outcome, 1) == rows(alone, 1)
        assert rows(outcome, 0) == rows(alone, 0)
        assert outcome.ends[1].tick < 100_000
        if client.stall_ticks:  # once, not at every wake
            assert 400_000 < outcome.ends[0].tick < 800_000


def test_a_reader_stalls_once_and_not_at_every_wake() -> None:
    first = [
        next(of(simulate(scenario(Workload(plan=logs(1), client=client)), Tame()), "read")).tick
        for client in (Client(), Client(stall_after=0, stall_ticks=50))
    ]
    assert first[0] > 50  # it stalled while there was nothing to read
    assert first[1] == first[0]


def test_queries_that_arrive_at_one_tick_each_get_their_own_data() -> None:
    for seed in range(40):
        outcome = simulate(
            scenario(
                *(
                    Workload(plan=logs(2), arrival=900, rows_per_scan=5 * (index + 1))
                    for index in range(3)
                ),
                cluster=WILD,
            ),
            Seeded(seed),
        )
        went_well(outcome)
        assert [end.rows for end in outcome.ends] == [10, 20, 30]
        names = [{row.partition("/")[0] for row in rows(outcome, index)} for index in range(3)]
        assert names == [{"m0"}, {"m1"}, {"m2"}]


# Ending early because nobody needs more.


def test_a_limit_that_is_reached_cancels_the_scans() -> None:
    for seed in range(30):
        outcome = simulate(
            scenario(Workload(plan=limited(7, 6), rows_per_scan=100), cluster=WILD), Seeded(seed)
        )
        went_well(outcome)
        assert outcome.ends[0].rows == 7
        assert outcome.ends[0].states == {"Completed": 1, "Cancelled": 6}


class Thorough(Workflow):
    """Does not listen to which times still matter."""

    def _task_changed(self, task: Task, status: TaskStatus) -> None:
        super()._task_changed(task, replace(status, contributing_time_range=None))


@pytest.mark.parametrize("k", [8, 12])  # within a scan, and at the very instant where two meet
@pytest.mark.parametrize("ascending", [False, True])
def test_short_circuiting_changes_no_row(ascending: bool, k: int) -> None:
    cut_short = 0
    plan = chain(TopK(k=k, ascending=ascending), *list(newest(1, 6))[1:])
    for seed in range(50):  # times four
        # With no limit and slow messages scans start in any order, far apart.
        limits = Options(max_running_scan_tasks=seed % 4)
        cluster = WILD if seed % 4 else replace(WILD, control=Exponential(mean=9_000))
        one = scenario(Workload(plan=plan, options=limits, rows_per_scan=12), cluster=cluster)
        short = simulate(one, Seeded(seed))
        thorough = simulate(one, Seeded(seed), parts=Parts(workflow=Thorough))
        went_well(short)
        went_well(thorough)
        assert short.ends[0].row_names == thorough.ends[0].row_names
        assert thorough.ends[0].states == {"Completed": 7}
        cut_short += short.ends[0].states.get("Cancelled", 0)
    assert cut_short > 20


@pytest.mark.parametrize("ascending", [False, True])
def test_a_row_of_the_very_instant_at_which_others_end_still_counts(ascending: bool) -> None:
    # Task 2 fills the TopK up to the instant at which the rows of task 1, which is slow, begin.
    bounds = [(10, 20), (0, 10)] if ascending else [(0, 10), (10, 20)]
    targets = ScanSet(
        targets=tuple(
            DataObjScan(max_time_range=TimeRange(second(start), second(end)))
            for start, end in bounds
        )
    )
    outcome = simulate(
        scenario(
            Workload(
                plan=chain(TopK(k=12, ascending=ascending), Parallelize(), targets),
                rows_per_scan=12,
            ),
            cluster=replace(CALM, workers=3, slots=1),
            faults=(Fault(kind="slow_worker", nth=0, task=1, factor=1_000),),
        ),
        Tame(),
    )
    went_well(outcome)
    reports = [e for e in of(outcome, "task_event") if "contributing" in e.details]
    assert reports  # long before
    assert outcome.ends[0].row_names == ("m0/t1.0:0-0", "m0/t2.0:0-10")


@pytest.mark.parametrize("profile", ["sound", "reference"])
def test_only_the_reference_lets_a_batching_root_hide_what_matters(profile: str) -> None:
    # Hazard W12.
    cluster = replace(CALM, profile=profile)  # type: ignore[arg-type]
    reports = {}
    for batching in (False, True):
        workload = Workload(
            plan=newest(5, 4, batching=batching), options=Options(max_running_scan_tasks=1)
        )
        outcome = simulate(scenario(workload, cluster=cluster), Tame())
        went_well(outcome)
        assert outcome.ends[0].rows == 5
        reports[batching] = sum("contributing" in e.details for e in of(outcome, "task_event"))
    assert reports[False] > 0
    assert (reports[True] > 0) == (profile == "sound")


def test_a_topk_by_another_column_says_nothing_about_times() -> None:
    top = TopK(k=5, sort_by=Column(ColumnType.LABEL, "size"))
    outcome = simulate(scenario(Workload(plan=chain(top, *list(newest(1, 4))[1:]))), Tame())
    went_well(outcome)
    assert not any("contributing" in e.details for e in of(outcome, "task_event"))
    assert outcome.ends[0].states == {"Completed": 5}


# Readers and users.


def test_a_reader_that_closes_early_stops_everything() -> None:
    for seed in range(20):
        for after in (0, 1, 3):
            outcome = simulate(
                scenario(Workload(plan=logs(4), client=Client(close_after=after)), cluster=WILD),
                Seeded(seed),
            )
            is_over(outcome)
            assert outcome.ends[0].end == "closed"
            assert outcome.ends[0].records == after
            assert outcome.ends[0].states["Cancelled"] >= 1


def test_a_reader_that_never_reads_is_named_with_all_who_wait_for_it() -> None:
    outcome = simulate(
        scenario(Workload(plan=logs(1), client=Client(never_reads=True)), Workload(plan=logs(2))),
        Tame(),
    )
    assert outcome.stuck is not None
    assert dict(outcome.stuck.waiting) == {
        "client 0": "a record or the end",
        "m0/t0": "room in m0/s0",
        "m0/t1": "room in m0/s1",
    }
    assert [end.end for end in outcome.ends] == ["unfinished", "eof"]


def test_a_reader_that_never_reads_still_hears_of_a_failure() -> None:
    outcome = simulate(
        scenario(
            Workload(plan=logs(2), client=Client(never_reads=True)),
            faults=(Fault(kind="task_failure", nth=1, task=2),),
        ),
        Tame(),
    )
    is_over(outcome)
    assert outcome.ends[0].error == "TaskError: task m0/t2 failed at its batch 1"


@pytest.mark.parametrize(
    ("user", "error"),
    [
        ("cancel_at", "WorkflowCancelled: cancelled by the user"),
        ("close_at", "WorkflowClosed: the workflow was closed before its results had ended"),
    ],
)
def test_a_user_may_end_a_run_at_any_tick(user: str, error: str) -> None:
    ends: Counter[str] = Counter()
    for tick in range(0, 900, 9):
        outcome = simulate(
            scenario(Workload(plan=logs(2), client=Client(**{user: tick}))),  # type: ignore[arg-type]
            Tame(),
        )
        is_over(outcome)
        ends[outcome.ends[0].error] += 1
    assert set(ends) == {error, ""}
    assert min(ends.values()) > 10


# Honest endings.


class ForgetsScans(Workflow):
    """Never lets a scan start."""

    def _may_start(self, task: Task) -> bool:
        return task.lane != "scan" and super()._may_start(task)


class Withholds(Workflow):
    """Never gives a token away."""

    def _dispatch(self) -> bool:
        return False


def test_a_deadlock_is_no_success_and_says_who_waits_for_what() -> None:
    outcome = simulate(scenario(Workload(plan=logs(2))), Tame(), parts=Parts(workflow=ForgetsScans))
    assert outcome.stuck is not None
    assert outcome.stuck.waiting == (
        ("client 0", "a record or the end"),
        ("m0/t0", "input from m0/s1, m0/s2"),
    )
    assert str(outcome.stuck).splitlines()[1] == "m0/t0 waits for input from m0/s1, m0/s2"
    assert outcome.ends[0].end == "unfinished"
    assert outcome.ends[0].states == {"Created": 2, "Running": 1}

    outcome = simulate(scenario(Workload(plan=logs(1))), Tame(), parts=Parts(workflow=Withholds))
    assert outcome.stuck is not None
    assert outcome.stuck.waiting[1:] == (
        ("m0/t0", "a token of the lane other"),
        ("m0/t1", "a token of the lane scan"),
    )


def test_tasks_that_hold_every_slot_while_they_wait_for_one_are_stuck() -> None:
    outcome = simulate(scenario(cluster=replace(CALM, workers=1, slots=1)), Tame())
    assert outcome.stuck is not None
    assert outcome.stuck.waiting == (
        ("client 0", "a record or the end"),
        ("m0/t0", "input from m0/s1, m0/s2, m0/s3"),
        ("m0/t1", "a free slot"),
        ("m0/t2", "a free slot"),
        ("m0/t3", "a free slot"),
    )


def test_a_run_that_never_ends_is_over_budget_and_not_stuck() -> None:
    livelock = replace(
        scenario(faults=(Fault(kind="connection_cut", per_million=1_000_000),)), max_steps=4_000
    )
    for choices in (Tame(), Seeded(1)):
        outcome = simulate(livelock, choices)
        assert outcome.over_budget
        assert outcome.stuck is None
        assert outcome.steps == 4_001
        assert outcome.ends[0].end == "unfinished"


def test_what_is_closed_after_the_run_is_no_part_of_it() -> None:
    # Tasks that still wait are ended by hand then, and would report.
    outcome = simulate(
        scenario(
            cluster=replace(CALM, workers=1, slots=1, profile="reference"),
            faults=(Fault(kind="connection_cut", nth=5),),
        ),
        Tame(),
    )
    assert outcome.stuck is not None
    assert not list(of(outcome, "over", "fault"))
    assert outcome.ends[0].states == {"Running": 1, "Pending": 3}
    assert outcome.counts.get("fault connection_cut") is None


# Reports that overtake each other.


@pytest.mark.parametrize(("case", "scans"), [("V36", 4), ("V36", 0), ("V04", 1), ("V04", 2)])
def test_reports_in_any_order_hang_no_run_and_bring_every_token_back(case: str, scans: int) -> None:
    plan, _ = build(load_cases()[case])
    faults = (
        Fault(kind="task_failure", per_million=15_000),
        Fault(kind="worker_crash", per_million=15_000, ticks=3_000),
        Fault(kind="connection_cut", per_million=2_000),
        Fault(kind="refused_assignment", per_million=50_000),
        Fault(kind="cancel_task", per_million=15_000),
    )
    ends: Counter[str] = Counter()
    for seed in range(75):  # times four
        client = Client(
            close_after=2 if seed % 7 == 0 else None, cancel_at=9_000 if seed % 5 == 0 else None
        )
        outcome = simulate(
            Scenario(
                cluster=Cluster(
                    slack=(0, 30)[seed % 2], notify=Bimodal(short=0, long=5_000, long_percent=30)
                ),
                workloads=(
                    Workload(
                        plan=plan, options=Options(max_running_scan_tasks=scans), client=client
                    ),
                ),
                faults=faults if seed % 3 else (),
            ),
            Seeded(seed),
        )
        is_over(outcome)
        ends[outcome.ends[0].end] += 1
        over = Counter(
            event.subject
            for event in of(outcome, "task_event", "stream_event")
            if event.details["state"] in ("Completed", "Closed")
        )
        for event in of(outcome, "task_event", "stream_event"):
            if event.details["state"] in ("Completed", "Closed"):
                del over[event.subject]
            elif event.subject not in over:
                ends["overtaken"] += event.details["state"] in ("Pending", "Running", "Open")
        if outcome.ends[0].end == "eof":
            assert outcome.ends[0].states == {"Completed": 5}
    assert ends["eof"] > 15
    assert ends["error"] > 10
    assert ends["overtaken"] > 10


def test_every_task_has_been_told_of_before_a_close_returns() -> None:
    late = replace(CALM, notify=Bimodal(short=0, long=50_000, long_percent=60))
    for tick in range(50, 800, 50):
        outcome = simulate(
            scenario(Workload(plan=logs(3), client=Client(close_at=tick)), cluster=late),
            Seeded(tick),
        )
        is_over(outcome)
        assert outcome.ends[0].error.startswith("WorkflowClosed")
        assert set(task_ends(outcome)) == {f"m0/t{index}" for index in range(4)}
        last = max(event.seq for event in of(outcome, "task_event", "stream_event"))
        gone = next(
            e.seq for e in of(outcome, "return") if e.details["method"] == "unregister_manifest"
        )
        assert last < gone


class Stop(BaseException):
    """Not an Exception, as what Hypothesis ends an example with; not to be rebuilt either."""

    def __init__(self, *, draws: int) -> None:
        super().__init__()
        self.draws = draws


class Stopping(Seeded):
    """Gives up at some decision."""

    def __init__(self, stop_at: int) -> None:
        super().__init__(1)
        self.left = stop_at

    def _answer(self, decision: str, n: int) -> int:
        self.left -= 1
        assert self.left >= 0, "asked again"
        if not self.left:
            raise Stop(draws=n)
        return super()._answer(decision, n)


def test_a_source_of_choices_may_give_up_at_any_decision() -> None:
    one = scenario(Workload(plan=logs(2)), cluster=WILD)
    for stop_at in range(1, simulate(one, Seeded(1)).decisions + 1):
        with pytest.raises(Stop) as caught:
            simulate(one, Stopping(stop_at))
        assert caught.value.draws > 1


def test_a_run_is_told_by_its_deltas_alone() -> None:
    wild = scenario(cluster=WILD, faults=(Fault(kind="worker_crash", per_million=90_000, ticks=5),))
    for seed in range(10):
        outcome = simulate(wild, Seeded(seed))
        replay = Deltas(outcome.deltas)
        assert simulate(wild, replay).digest == outcome.digest
        assert replay.unused == {}


def test_all_shards_of_a_branch_read_their_nodes_in_one_order_which_differs_between_seeds() -> None:
    nodes = (
        "k=TopK; p=Parallelize; m=Merge; f1=Filter; f2=Filter;"
        " so=ScanSet[a(1..2), b(3..4), c(5..6)]; q1=Parallelize;"
        " s1=ScanSet[x(1..2)]; q2=Parallelize; s2=ScanSet[y(1..2)]"
    )
    edges = "k > p; p > m; m > f1 f2 so; f1 > q1; f2 > q2; q1 > s1; q2 > s2"
    plan, _ = build(Case("", nodes, edges))
    orders: Counter[str] = Counter()
    for seed in range(20):
        run = judged(
            Scenario(
                cluster=Cluster(workers=2, slots=6),
                workloads=(Workload(plan=plan, rows_per_scan=6, batch_rows=2),),
            ),
            Seeded(seed),
        )
        assert not run.violations
        outcome = run.outcome
        first: dict[str, str] = {}
        for event in of(outcome, "take"):
            if event.details["task"] != "m0/t0":
                first.setdefault(event.details["task"], _sender(outcome, event.subject))
        assert len(first) == 3
        assert len(dict.fromkeys(first.values())) == 1, first
        orders.update(list(dict.fromkeys(first.values())))
    assert len(orders) == 2


def _sender(outcome: Outcome, stream: str) -> str:
    [manifest] = of(outcome, "manifest")
    number = int(stream.rpartition("/s")[2])
    return next(
        f"t{index}"
        for index, task in enumerate(manifest.details["tasks"])
        if number in task["sinks"]
    )


def test_a_reader_that_never_reads_gets_no_row_even_at_the_end() -> None:
    run = judged(
        Scenario(
            workloads=(Workload(plan=newest(5, 3), client=Client(never_reads=True)),),
        ),
        Seeded(1),
    )
    assert (run.outcome.ends[0].end, run.outcome.ends[0].rows) == ("closed", 0)
    assert not run.violations
