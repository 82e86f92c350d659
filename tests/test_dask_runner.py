"""DaskRunner on real worker processes.  `make cluster` repeats what chance decides."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from time import sleep
from typing import Any

import pyarrow as pa
import pytest
from cluster import OnACluster, OverWires, cluster, dask_client, whole
from distributed import Client, Security
from numbered import FAILS, Numbered
from pyarrow import flight
from stored import chain
from test_local_runner import CASES, Breaks, held, many, plan_of, wrong
from threads import recorded, threads_left, until

from properties.contract.bench import Work
from workflow import Identifiers, Options, Task, TaskState, Workflow
from workflow.plan import DataObjScan, Limit, Merge
from workflow.runners.dask import (
    DaskRunner,
    TaskFailed,
    WorkerInfo,
    WorkerLost,
    local_cluster,
)
from workflow.sections import Sections

__all__ = ["dask_client"]  # a fixture

RUNS = int(os.environ.get("WINDTUNNEL_CLUSTER_RUNS", "1"))
LOSS = 5.0  # seconds in which a lost worker is noticed


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert threads_left() == []


class TestOnACluster(OnACluster):
    """Processes and a network, and whatever the system makes of them."""

    @pytest.fixture(scope="class", autouse=True, params=range(RUNS))
    @classmethod
    def _again(cls) -> None:
        """All tests so many times, one time after the other."""


# Answers.


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("query", CASES)
def test_each_query_gives_the_rows_of_the_reference(
    dask_client: Client, query: str, count: int
) -> None:
    runner = DaskRunner(whole(dask_client), held(count), buffer=2, batch_rows=50)
    ran = recorded(plan_of(query, count), runner)
    assert (ran.error, wrong(query, ran), ran.violations) == (None, None, [])


@pytest.mark.parametrize("seed", range(10 if RUNS == 1 else 200))
def test_whatever_is_done_to_a_run_it_keeps_the_rules(dask_client: Client, seed: int) -> None:
    draw = Random(seed)
    query, count = draw.choice(list(CASES)), draw.choice((1, 2, 8))
    after, at = draw.choice((0, 1, 2)), draw.choice((0, 1))
    deeds: dict[str, dict[str, Any]] = {
        "reads": {},
        "reads slowly": {"pause": 0.007},
        "cancels": {"after": after, "then": lambda workflow: workflow.cancel("enough")},
        "closes": {"after": after, "then": Workflow.close},
        "meets damage": {},
        "loses a worker": {"after": after, "then": lambda _workflow: kill_one(runner)},
    }
    deed = draw.choice(list(deeds))
    data: Any = held(count)
    if deed == "meets damage":
        data = Breaks(data, f"objects/{draw.randrange(count)}", at)
    runner: DaskRunner = DaskRunner(
        whole(dask_client),
        data,
        slots=draw.choice((1, 2, 4)),
        buffer=draw.choice((1, 3)),
        batch_rows=draw.choice((10, 60, 500)),
    )
    options = Options(max_running_scan_tasks=draw.choice((0, 0, 2)))
    ran = recorded(plan_of(query, count), runner, options=options, **deeds[deed])
    assert ran.violations == []
    if ran.error is None:
        assert wrong(query, ran) is None


def kill_one(runner: DaskRunner) -> None:
    workers = runner.workers()
    if workers:
        os.kill(workers[0].pid, signal.SIGKILL)


# Workers are lost.


class Endless:
    """Twenty rows, and where the location says so these again and again."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        yield from Numbered().batches(location, section, rows)
        while location == "endless":
            yield from Numbered().batches(location, section, rows)


class Large:
    """Endless, and more in each batch than a socket takes."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        for batch in Endless().batches(location, section, rows):
            numbers = batch.column("message").to_pylist()
            texts = [f"{number:1000000}" for number in numbers]
            yield pa.RecordBatch.from_pydict({"message": texts})


def spread(runner: DaskRunner) -> tuple[Work, dict[Task, WorkerInfo]]:
    """A parent and children on both workers, all at work: with whom each is."""
    work = Work(runner, "spread")
    children = tuple(work.leaf(chain(DataObjScan(location="endless"))) for _ in range(3))
    work.sink(work.merge(children))
    work.register()
    writer = work.listen(work.tasks[0], room=50)
    work.start()
    assert until(lambda: writer.turned_away > 0)
    places: dict[Task, WorkerInfo] = {}
    for task in work.tasks:
        worker = runner.worker_of(task)
        assert worker is not None
        places[task] = worker
    assert len(dict.fromkeys(places.values())) == 2
    return work, places


def killed(_runner: DaskRunner, worker: WorkerInfo) -> None:
    os.kill(worker.pid, signal.SIGKILL)


def stopped(_runner: DaskRunner, worker: WorkerInfo) -> None:
    os.kill(worker.pid, signal.SIGSTOP)


def cut_off(runner: DaskRunner, worker: WorkerInfo) -> None:
    assert isinstance(runner, OverWires)
    runner.wires[worker.pid].cut()


@pytest.mark.parametrize(
    ("lose", "of", "data"),
    [
        (killed, "the parent", Endless),
        (stopped, "the parent", Endless),
        (stopped, "the parent", Large),  # what it does not take fills the network
        (cut_off, "the parent", Endless),
        (killed, "a child", Endless),
        (stopped, "a child", Endless),
        (cut_off, "a child", Endless),
    ],
)
def test_the_tasks_of_a_lost_worker_have_failed_within_five_seconds(
    dask_client: Client,
    lose: Callable[[DaskRunner, WorkerInfo], None],
    of: str,
    data: Callable[[], Sections],
) -> None:
    kind = OverWires if lose is cut_off else DaskRunner
    with kind(whole(dask_client), data(), buffer=4, batch_rows=8) as runner:
        work, places = spread(runner)
        parent, child = work.tasks[0], work.tasks[1]
        lost = places[parent if of == "the parent" else child]
        mine = [task for task in work.tasks if places[task] == lost]
        lose(runner, lost)
        try:
            assert until(lambda: work.over(*mine), LOSS)
            assert [work.ends(task) for task in mine] == [[TaskState.FAILED]] * len(mine)
            others = [task for task in work.tasks if task not in mine]
            assert not any(TaskState.FAILED in work.ends(task) for task in others)
            # The same Runner goes on with who is left.
            workflow = Workflow(many(3), runner, ids=Identifiers("next"))
            assert sum(batch.num_rows for batch in runner.read(workflow.run())) == 5
            workflow.close()
            work.unregister()
            assert until(lambda: not any(runner.tables().values()))
        finally:
            if lose is stopped:
                os.kill(lost.pid, signal.SIGKILL)
    # And so does the cluster.
    with DaskRunner(whole(dask_client), Numbered(), batch_rows=8) as runner:
        workflow = Workflow(many(3), runner, ids=Identifiers("after"))
        assert sum(batch.num_rows for batch in runner.read(workflow.run())) == 5


def test_the_error_names_the_worker_and_how_its_loss_was_noticed(dask_client: Client) -> None:
    with DaskRunner(whole(dask_client), Endless(), buffer=2) as runner:
        workflow = Workflow(chain(Merge(), DataObjScan(location="endless")), runner)
        results = workflow.run()
        read = runner.read(results)
        next(read)
        worker = runner.worker_of(next(iter(workflow.manifest.tasks)))
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost, match=rf"worker {worker.address}\b"):
            list(read)


def test_a_worker_that_was_stopped_and_goes_on_takes_part_again(dask_client: Client) -> None:
    with DaskRunner(whole(dask_client), Endless(), buffer=2, patience=2.0) as runner:
        work, places = spread(runner)
        lost = places[work.tasks[1]]
        os.kill(lost.pid, signal.SIGSTOP)
        try:
            assert until(lambda: len(runner.workers()) == 1)
        finally:
            os.kill(lost.pid, signal.SIGCONT)
        assert until(lambda: lost in runner.workers())
        work.unregister()
        spread(runner)


def test_a_worker_that_comes_later_takes_tasks(dask_client: Client) -> None:
    with DaskRunner(whole(dask_client), Endless(), buffer=2) as runner:
        first = runner.workers()
        os.kill(first[0].pid, signal.SIGKILL)
        assert until(lambda: len(runner.workers()) == 2 and first[0] not in runner.workers())
        spread(runner)


def test_tasks_wait_for_a_worker_where_there_is_none(dask_client: Client) -> None:
    with DaskRunner(whole(dask_client), Numbered(), batch_rows=8) as runner:
        for worker in runner.workers():
            os.kill(worker.pid, signal.SIGKILL)
        assert until(lambda: not runner.workers())
        workflow = Workflow(many(3), runner)
        assert sum(batch.num_rows for batch in runner.read(workflow.run())) == 5
        workflow.close()


def retire(client: Client, worker: WorkerInfo) -> threading.Thread:
    call = partial(client.retire_workers, [worker.address], close_workers=True)
    retiring = threading.Thread(target=call)
    retiring.start()
    return retiring


def test_a_worker_that_is_retired_ends_its_tasks_first() -> None:
    with cluster() as client, DaskRunner(client, Slow(), batch_rows=1) as runner:
        workflow = Workflow(many(4), runner)
        results = workflow.run()
        tasks = workflow.manifest.tasks
        assert until(lambda: any(workflow.state(each) is TaskState.RUNNING for each in tasks))
        worker = runner.workers()[0]
        retiring = retire(client, worker)
        assert sum(batch.num_rows for batch in runner.read(results)) == 5
        retiring.join()
        assert until(lambda: worker not in runner.workers())
        workflow.close()


def test_what_a_retired_worker_does_not_end_in_time_has_failed_with_the_reason() -> None:
    with cluster() as client, DaskRunner(client, Endless(), buffer=2, grace=0.5) as runner:
        workflow = Workflow(chain(Merge(), DataObjScan(location="endless")), runner)
        read = runner.read(workflow.run())
        next(read)
        [task] = workflow.manifest.tasks
        worker = runner.worker_of(task)
        assert worker is not None
        retiring = retire(client, worker)
        with pytest.raises(TaskFailed, match="WorkerRetired: the worker was retired and the task"):
            list(read)
        retiring.join()
        # Who is left goes on.
        workflow = Workflow(many(3), runner, ids=Identifiers("next"))
        assert sum(batch.num_rows for batch in runner.read(workflow.run())) == 5


class Slow:
    """Twenty rows, a hundredth of a second each."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        for batch in Numbered().batches(location, section, rows):
            sleep(0.01)
            yield batch


# Who may come in.


class Hubs(DaskRunner):
    """Keeps what one needs to speak to its hubs."""

    @property
    def locations(self) -> list[str]:
        return list(self._links)

    @property
    def secret(self) -> str:
        return self._secret


def exchange(location: str, secret: str, command: bytes) -> Any:
    """The first chunk that a hub answers, or its refusal."""
    headers = [(b"authorization", secret.encode())] if secret else []
    with flight.connect(location) as client:
        descriptor = flight.FlightDescriptor.for_command(command)
        writer, reader = client.do_exchange(descriptor, flight.FlightCallOptions(headers=headers))
        with writer:
            return reader.read_chunk()


@pytest.mark.parametrize("secret", ["", "a guess"])
def test_a_hub_lets_nobody_in_without_the_secret_of_the_run(
    dask_client: Client, secret: str
) -> None:
    with Hubs(whole(dask_client), Numbered()) as runner:
        for command in (b'{"control":true}', b'{"stream":"x"}', b"x"):
            with pytest.raises(flight.FlightUnauthenticatedError, match="serves another run"):
                exchange(runner.locations[0], secret, command)
        assert sum(b.num_rows for b in runner.read(Workflow(many(3), runner).run())) == 5


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (b'{"stream":"x"}', "stream x is not known here"),
        (b'{"control":true}', "this hub has a client already"),
        (b"[]", r"got \[\], expected a message"),
        (b"\xff{", "utf-8"),
    ],
)
def test_a_hub_says_why_it_refuses_an_exchange(
    dask_client: Client, command: bytes, refusal: str
) -> None:
    with Hubs(whole(dask_client), Numbered()) as runner:
        with pytest.raises(pa.ArrowException, match=refusal):
            exchange(runner.locations[0], runner.secret, command)
        assert sum(b.num_rows for b in runner.read(Workflow(many(3), runner).run())) == 5


def test_a_stream_has_one_reader(dask_client: Client) -> None:
    with Hubs(whole(dask_client), Endless(), buffer=1) as runner:
        work, _ = spread(runner)
        [results] = work.tasks[0].sink_streams()
        place = runner.worker_of(work.tasks[0])
        [location] = [k for k, link in runner._links.items() if link.worker == place]
        command = f'{{"stream":"{results.id}"}}'.encode()
        with pytest.raises(pa.ArrowException, match="has a reader already"):
            exchange(location, runner.secret, command)


def test_where_dask_has_tls_the_records_have_it_too() -> None:
    security = Security.temporary()  # type: ignore[no-untyped-call]
    with (
        local_cluster(2, security=security) as client,
        Hubs(client, Numbered(), buffer=1, batch_rows=8) as runner,
    ):
        assert all(each.startswith("grpc+tls://127.0.0.1:") for each in runner.locations)
        assert sum(b.num_rows for b in runner.read(Workflow(many(3), runner).run())) == 5
        plain = runner.locations[0].replace("grpc+tls", "grpc").partition("#")[0]
        with pytest.raises(flight.FlightUnavailableError):
            exchange(plain, runner.secret, b'{"control":true}')
        with pytest.raises(flight.FlightUnavailableError):  # nobody without a certificate
            exchange(runner.locations[0].partition("#")[0], runner.secret, b'{"control":true}')


# Odds and ends.


def test_an_error_comes_back_with_its_kind_its_text_and_its_traceback(dask_client: Client) -> None:
    with DaskRunner(whole(dask_client), Numbered(), batch_rows=8) as runner:
        workflow = Workflow(chain(DataObjScan(location=FAILS)), runner)
        with pytest.raises(
            TaskFailed, match=r"^ValueError: the section is damaged \(on worker "
        ) as it:
            list(runner.read(workflow.run()))
        assert 'raise ValueError("the section is damaged")' in it.value.trace


def test_a_task_that_cannot_be_sent_has_failed_with_the_reason(dask_client: Client) -> None:
    with DaskRunner(whole(dask_client), Numbered()) as runner:
        plan = chain(Limit(skip=2**32), DataObjScan(location="objects/0"))
        with pytest.raises(TaskFailed, match="skip: got 4294967296, expected an integer"):
            list(runner.read(Workflow(plan, runner).run()))


def test_batches_of_one_stream_may_have_different_columns(dask_client: Client) -> None:
    with DaskRunner(whole(dask_client), Motley(), buffer=1) as runner:
        work = Work(runner, "motley")
        children = tuple(work.leaf(chain(DataObjScan(location=f"{n}"))) for n in range(3))
        work.sink(work.merge((work.merge(children[:2]),), children[2:]))
        work.register()
        writer = work.listen(work.tasks[0])
        work.start()
        assert until(work.over)
        columns = sorted(name for batch in writer.batches for name in batch.schema.names)
        assert [c for c in columns if c.startswith("utf8.label.")] == [
            "utf8.label.column_0",
            "utf8.label.column_1",
            "utf8.label.column_2",
        ]


class Motley:
    """Each section has a column of its own."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        del section, rows
        yield pa.RecordBatch.from_pydict({"message": ["x"], f"label.column_{location}": ["y"]})


@pytest.mark.parametrize("name", ["slots", "buffer", "batch_rows"])
@pytest.mark.parametrize("value", [0, True, 1.5])
def test_a_number_that_is_no_count_is_refused(dask_client: Client, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"DaskRunner\({name}\): got {value}, expected 1 or more"):
        DaskRunner(dask_client, Numbered(), **{name: value})
