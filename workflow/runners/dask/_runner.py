"""DaskRunner: the tasks of workflows in the workers of a Dask cluster."""

import logging
import queue
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from time import monotonic
from typing import Any, Final

import dask
import pyarrow as pa
from distributed import Client, LocalCluster, Security

from workflow.capture import Statistics
from workflow.manifest import Manifest
from workflow.runner import RunnerError
from workflow.runners.base import BaseRunner, Job, Pipeline
from workflow.runners.channel import Channel, WriterOutlet
from workflow.runners.dask._flight import Certificates, Peer
from workflow.runners.dask._hub import HubPlugin
from workflow.runners.dask._link import Link, WorkerInfo
from workflow.runners.dask._streams import Pull
from workflow.runners.dask._wire import Message, task_json
from workflow.runners.task import ROWS, Stopped
from workflow.sections import Sections
from workflow.stream import Stream, StreamState
from workflow.task import ContributingTimeRange, Task, TaskState, TaskStatus
from workflow.times import Timestamp

__all__ = ["DaskRunner", "NoWorkers", "TaskFailed", "WorkerLost", "local_cluster"]

_TICK: Final = 0.25  # seconds between two looks at who is alive
_JOINING: Final = 15.0  # seconds for a worker to come, as one that is started again


class NoWorkers(RunnerError):
    """No worker of the cluster can run a task."""


class WorkerLost(Exception):
    """The task's worker was lost while it ran: which one, and how that was noticed."""


class TaskFailed(Exception):
    """What a task raised in its worker.

    ``kind``: the name of the exception's class.  ``trace``: the traceback there.
    """

    def __init__(self, kind: str, text: str, worker: WorkerInfo, trace: str) -> None:
        super().__init__(kind, text, worker)
        self.kind = kind
        self.text = text
        self.worker = worker
        self.trace = trace

    def __str__(self) -> str:
        return f"{self.kind}: {self.text} (on {self.worker})"


class _Stream(Channel["_Job"]):
    """A stream whose sender is in a worker."""

    def __init__(self, stream: Stream, sender: "_Job | None", reader: "_Job | None") -> None:
        super().__init__(stream, sender, reader)
        self.sent: int | None = None  # batches, once its sender has completed
        self.told = False  # its reader may know that it is over
        self.offered = 0  # batches of results
        self.drained = False  # nothing more of the results is to come
        self.is_read = False  # it is of results, and has a thread that reads it
        self.pull: Pull | None = None  # what brings the results


@dataclass(eq=False)
class _Job(Job[_Stream]):
    link: "Link[_Job] | None" = None
    due: TaskStatus | None = None  # how it ends, once its results are read
    has_slot: bool = False


class DaskRunner(BaseRunner[_Job, _Stream]):
    """Implements `workflow.Runner` over `data`, in the workers of a cluster; to be closed.

    ``client`` stays its owner's.  ``data`` goes to each worker, by pickling.  ``slots``: how many
    tasks that read no stream a worker has at work at once, of one pipeline.  ``buffer``: the
    batches that a stream between two tasks holds.  ``batch_rows``: the most rows that a scan reads
    at once.  ``patience``: seconds without a word after which a worker is lost.  ``grace``: seconds
    that a worker which is retired gives its running tasks.

    Raises ValueError for a number that is too small, TypeError for an asynchronous client, and
    NoWorkers if the cluster has none.
    """

    def __init__(
        self,
        client: Client,
        data: Sections,
        *,
        slots: int = 4,
        buffer: int = 16,
        batch_rows: int = 8192,
        patience: float = 3.0,
        grace: float = 10.0,
    ) -> None:
        for name, value in (("slots", slots), ("buffer", buffer), ("batch_rows", batch_rows)):
            if type(value) is not int or value < 1:
                raise ValueError(f"DaskRunner({name}): got {value!r}, expected 1 or more")
        if not patience > 0:
            raise ValueError(
                f"DaskRunner(patience): got {patience!r}, expected more than 0 seconds"
            )
        if client.asynchronous:
            raise TypeError("DaskRunner(client): got an asynchronous Client, expected another")
        super().__init__()
        self.slots: Final = slots
        self.buffer: Final = buffer
        self.batch_rows: Final = batch_rows
        self.patience: Final = patience
        self._client = client
        self._certificates = Certificates.of(
            client.security, "client", str(client.scheduler_info()["address"])
        )
        self._links: dict[str, Link[_Job]] = {}  # by location
        self._jobs_by_id: dict[str, _Job] = {}
        self._homeless: dict[_Job, float] = {}  # tasks without a worker, since when
        self._pumps: dict[threading.Thread, None] = {}
        self._changed = threading.Condition(self._lock)
        self._announced: queue.SimpleQueue[tuple[str, str, int] | None] = queue.SimpleQueue()
        self._secret = secrets.token_hex(32)
        self._topic = f"windtunnel-{secrets.token_hex(8)}"
        plugin = HubPlugin(
            self._topic, self._secret, data, buffer=buffer, batch_rows=batch_rows, grace=grace
        )
        self._warden = threading.Thread(target=self._watch, name="windtunnel warden", daemon=True)
        self._warden.start()
        try:
            self._send_hubs(plugin)
        except BaseException:
            self.close()
            raise

    def _send_hubs(self, plugin: HubPlugin) -> None:
        """Have a hub in each worker that answers."""
        self._client.subscribe_topic(self._topic, self._announce)
        sent = _Beside(partial(self._client.register_plugin, plugin, name=self._topic))
        sent.wait(self.patience + 1)  # a worker that is stopped does not answer
        if isinstance(sent.error, OSError):
            pass  # nor does one that has just died
        elif sent.error is not None:
            raise sent.error
        count = 1
        if sent.result is not None:
            count = len(sent.result)
            for event in self._client.get_events(self._topic):
                self._announce(event)
        end = monotonic() + _JOINING
        with self._changed:
            while len(self._links) < max(count, 1):
                if not self._changed.wait(end - monotonic()):
                    break
            if not self._links:
                raise NoWorkers(f"got no worker of {self._client!r} within {_JOINING:g} s")

    # What a user calls besides the protocol.

    def workers(self) -> list[WorkerInfo]:
        """The workers that can run tasks."""
        with self._lock:
            return [link.worker for link in self._hubs()]

    def worker_of(self, task: Task) -> WorkerInfo | None:
        """The worker that has a task, or had it last."""
        with self._lock:
            job = self._jobs.get(task)
            return job.link.worker if job is not None and job.link is not None else None

    def tables(self) -> Mapping[str, int]:
        """How much is kept, by kind."""
        tables = super().tables()
        with self._lock:
            placed = sum(len(link.jobs) for link in self._links.values())
            return {
                **tables,
                "names": len(self._jobs_by_id),
                "placed": placed,
                "homeless": len(self._homeless),
                "pumps": len(self._pumps),
            }

    def close(self) -> None:
        """Cancel all tasks, deliver what is to be told, and leave the cluster: see `BaseRunner`."""
        self.refuse_own(self._pumps)
        with self._lock:
            again = self._closed
        self.end_everything()
        if again:
            return
        with self._lock:
            pumps = list(self._pumps)
        for pump in pumps:
            pump.join()
        self._announced.put(None)
        self._warden.join()
        with self._lock:
            links = list(self._links.values())
            self._links.clear()
        for link in links:
            link.close()
        self._client.unsubscribe_topic(self._topic)
        # A worker that is stopped, or dies now, keeps nobody waiting, and no thread either.
        scheduler: Any = self._client.scheduler
        with suppress(TimeoutError, OSError, ValueError):
            self._client.sync(
                scheduler.unregister_worker_plugin,
                name=self._topic,
                callback_timeout=self.patience,
            )
        self.end_delivery()

    # What the account of tasks and streams asks, with its lock held.

    def make_job(self, task: Task, manifest: Manifest, pipeline: Pipeline) -> _Job:
        """See `BaseRunner`."""
        job = self._jobs_by_id[str(task.id)] = _Job(task, manifest, pipeline)
        return job

    def make_channel(self, stream: Stream, sender: _Job | None, reader: _Job | None) -> _Stream:
        """See `BaseRunner`."""
        return _Stream(stream, sender, reader)

    def capacity(self) -> int:
        """See `BaseRunner`."""
        return self.slots * max(1, len(self._hubs()))

    def launch(self, job: _Job) -> None:
        """See `BaseRunner`."""
        job.has_slot = job.takes_slot
        hubs = self._hubs()
        if not hubs:
            self._homeless.setdefault(job, monotonic())
            return
        link = job.link = min(hubs, key=lambda each: len(each.jobs))
        link.jobs[job] = None
        readers = {str(each.stream.id): each.reader for each in job.sinks}
        order = {
            "do": "run",
            "task": task_json(job.task),
            "quiet": [name for name, reader in readers.items() if reader is None],
            "unread": [
                name for name, reader in readers.items() if reader and reader.state.terminal
            ],
        }
        link.order(order)
        for stream in job.task.source_streams():
            channel = self._channels[stream]
            self._connect(channel)
            if channel.told:
                self._order_end(channel)

    def _connect(self, channel: _Stream) -> None:
        """Have its reader open a stream, if both of its ends are placed."""
        sender, reader = channel.sender, channel.reader
        if sender is None or sender.link is None:
            return
        if sender.state not in (TaskState.RUNNING, TaskState.COMPLETED):
            return
        if reader is None:
            self.listened(channel)
        elif reader.link is not None and not reader.state.terminal:
            order = {"do": "connect", "stream": str(channel.stream.id), "at": sender.link.location}
            reader.link.order(order)

    def listened(self, channel: _Stream) -> None:
        """See `BaseRunner`."""
        job = channel.sender
        if channel.writer is None or channel.is_read or job is None or job.link is None:
            return
        if job.state is not TaskState.RUNNING:
            return
        channel.is_read = True
        call = partial(self._pump, job, channel, job.link)
        pump = threading.Thread(target=call, name="windtunnel results", daemon=True)
        self._pumps[pump] = None
        pump.start()

    def halt(self, job: _Job) -> None:
        """See `BaseRunner`."""
        self._homeless.pop(job, None)
        if job.link is not None:
            job.link.jobs.pop(job, None)
            job.link.order({"do": "stop", "task": str(job.task.id)})
        for stream in job.task.source_streams():
            sender = self._channels[stream].sender
            if sender is not None and sender.link is not None:
                sender.link.order({"do": "unread", "stream": str(stream.id)})
        if job.state is not TaskState.COMPLETED:
            for channel in job.sinks:
                if channel.pull is not None:
                    channel.pull.cancel()
        if job.has_slot:
            job.has_slot = False
            self._delivery.post(partial(self.free_slot, job))

    def forget(self, job: _Job) -> None:
        """See `BaseRunner`."""
        if job.link is not None:
            job.link.order({"do": "forget", "task": str(job.task.id)})
        del self._jobs_by_id[str(job.task.id)]

    def _hubs(self) -> list[Link[_Job]]:
        return [each for each in self._links.values() if not (each.gone or each.leaving)]

    def _order_end(self, channel: _Stream) -> None:
        if channel.reader is not None and channel.reader.link is not None:
            order = {"do": "end", "stream": str(channel.stream.id), "after": channel.sent}
            channel.reader.link.order(order)

    # Without it.

    def tell_reader(self, channel: _Stream) -> None:
        """See `BaseRunner`."""
        with self._lock:
            channel.told = True
            self._order_end(channel)

    # The results, on a thread for each.

    def _pump(self, job: _Job, channel: _Stream, link: Link[_Job]) -> None:
        why = "it ended early"
        try:
            self._read_results(job, channel, link)
        except Stopped:
            pass
        except (pa.ArrowException, OSError) as error:
            why = str(error).splitlines()[0]
        with self._lock:
            if not (channel.drained or job.state.terminal):
                self._end(job, _failed(_broken(link, why)))
            self._pumps.pop(threading.current_thread(), None)

    def _read_results(self, job: _Job, channel: _Stream, link: Link[_Job]) -> None:
        pull = Pull(link.peer, str(channel.stream.id), self.buffer)
        with self._lock:
            channel.pull = pull
            over = job.state.terminal or channel.drained
        if over:
            pull.cancel()
        outlet = WriterOutlet(channel, partial(self.show, job.manifest))
        taken = 0  # since credits were granted last
        with closing(pull.batches()) as batches:
            for batch in batches:
                unread = not outlet.send(batch)
                with self._lock:
                    channel.offered += 1
                    if unread or channel.offered == channel.sent:
                        self._drain(job, channel)
                taken += 1
                if 2 * taken >= self.buffer:
                    pull.grant(taken)
                    taken = 0

    # With the lock held.

    def _drain(self, job: _Job, channel: _Stream) -> None:
        """Nothing more of the results is to come, or wanted."""
        channel.drained = True
        if channel.pull is not None:
            channel.pull.cancel()
        self._end_if_read(job)

    def _end_if_read(self, job: _Job) -> None:
        """A task that has completed is told so once its results are read."""
        if job.due is not None and all(c.drained for c in job.sinks if c.reader is None):
            self._end(job, job.due)

    # What hubs say, each on a thread of its own.

    def _hear(self, link: Link[_Job], message: Message) -> None:
        with self._lock:
            _WORDS[message["is"]](self, link, message)

    def _say_nothing(self, link: Link[_Job], message: Message) -> None:
        pass

    def _say_leaving(self, link: Link[_Job], message: Message) -> None:
        del message
        link.leaving = True

    def _say_running(self, link: Link[_Job], message: Message) -> None:
        job = self._job(link, message)
        if job is not None and job.state is TaskState.PENDING:
            self._set(job, TaskStatus(TaskState.RUNNING))
            for channel in job.sinks:
                self._connect(channel)

    def _say_range(self, link: Link[_Job], message: Message) -> None:
        job = self._job(link, message)
        if job is not None:
            instant = Timestamp.parse(message["timestamp"])
            self._narrow(job, ContributingTimeRange(instant, message["less_than"]))

    def _say_stream(self, link: Link[_Job], message: Message) -> None:
        job = self._job(link, message)
        for channel in job.sinks if job is not None else ():
            if job is not None and str(channel.stream.id) == message["stream"]:
                self._change(job.manifest, channel, StreamState(message["state"]))

    def _say_over(self, link: Link[_Job], message: Message) -> None:
        job = self._job(link, message)
        if job is None or job.state.terminal:
            return
        statistics = Statistics({ROWS: message["rows"]})
        error = message["error"]
        if error is not None:
            failure = TaskFailed(error["kind"], error["text"], link.worker, error["trace"])
            self._end(job, TaskStatus(TaskState.FAILED, failure, statistics=statistics))
            return
        job.due = TaskStatus(TaskState.COMPLETED, statistics=statistics)
        for channel in job.sinks:
            channel.sent = message["sent"][str(channel.stream.id)]
            if channel.reader is None and channel.offered == channel.sent:
                self._drain(job, channel)
        self._end_if_read(job)

    def _say_broken(self, link: Link[_Job], message: Message) -> None:
        """A reader has lost its sender."""
        reader = self._job(link, message)
        for stream in reader.task.source_streams() if reader is not None else ():
            if str(stream.id) == message["stream"]:
                self._fail_for(self._channels[stream], message["why"])

    def _fail_for(self, channel: _Stream, why: str) -> None:
        """Whoever is to blame has failed, or else the reader, which misses records."""
        sender, reader = channel.sender, channel.reader
        if sender is None or reader is None or sender.link is None:
            return
        if sender.state in (TaskState.RUNNING, TaskState.COMPLETED):
            over = reader if sender.state is TaskState.COMPLETED else sender
            self._end(over, _failed(_broken(sender.link, why)))

    def _job(self, link: Link[_Job], message: Message) -> _Job | None:
        """The task that a hub speaks of, if it is still there."""
        job = self._jobs_by_id.get(message["task"])
        return job if job is not None and job.link is link else None

    # Who is there.

    def _announce(self, event: tuple[float, Any]) -> None:
        """A worker has a hub: called by Dask, on its thread."""
        said = event[1]
        self._announced.put((said["hub"], said["worker"], said["pid"]))

    def _watch(self) -> None:
        """The warden: meets who comes, and loses who says nothing."""
        looked = monotonic()
        while True:
            try:
                announced = self._announced.get(timeout=_TICK)
                if announced is None:
                    return
                self._meet(*announced)
            except queue.Empty:
                pass
            self._bury()
            now = monotonic()
            if now - looked >= _TICK:
                # If this process was stopped itself, nobody is late but us.
                slept, looked = now - looked > self.patience / 2, now
                self._look(now, slept=slept)

    def _bury(self) -> None:
        """Close the links that are gone."""
        with self._lock:
            gone = [each for each in self._links.values() if each.gone]
            for link in gone:
                del self._links[link.location]
        for link in gone:
            link.close()

    def _meet(self, location: str, address: str, pid: int) -> None:
        self._bury()  # it may have been lost there
        if location in self._links:
            return
        peer = Peer(location, self._secret, self._certificates)
        try:
            link: Link[_Job] = Link(
                WorkerInfo(address, pid), peer, location, self._hear, self._lose
            )
        except (pa.ArrowException, OSError):  # it has gone again
            peer.close()
            return
        link.open()
        with self._changed:
            self._links[location] = link
            homeless = list(self._homeless)
            self._homeless.clear()
            for job in homeless:
                self.launch(job)
            for job in [*self._jobs.values()]:
                self._fill_slots(job.pipeline)
            self._changed.notify_all()

    def _look(self, now: float, *, slept: bool) -> None:
        with self._lock:
            links = list(self._links.values())
            for job, since in list(self._homeless.items()):
                if now - since > _JOINING:
                    self._end(job, _failed(NoWorkers(f"no worker came within {_JOINING:g} s")))
        for link in links:
            if slept:
                link.heard = now
            if now - link.heard > self.patience:
                self._lose(link, f"it said nothing for {self.patience:g} s")
            else:
                link.order({"do": "ping"})

    def _lose(self, link: Link[_Job], why: str) -> None:
        """A worker is lost: what ran there has failed, what had not begun goes elsewhere."""
        with self._lock:
            if link.gone:
                return
            link.break_off()
            for job in list(link.jobs):
                if job.state is TaskState.PENDING:
                    del link.jobs[job]
                    job.link = None
                    self.launch(job)
                else:
                    self._end(job, _failed(WorkerLost(f"{link.worker} was lost: {why}")))


class _Beside:
    """A call on a thread of its own, which may take longer than one waits for it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self._call = call
        self._thread = threading.Thread(target=self._make, name="windtunnel call", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # noqa: BLE001 - for whoever waits
            self.error = error

    def wait(self, seconds: float) -> None:
        """Until it has returned, at most so long."""
        self._thread.join(seconds)


@contextmanager
def local_cluster(workers: int = 2, security: Security | None = None) -> Iterator[Client]:
    """A client of a cluster of this machine, for as long as the context lasts.

    Its workers are processes with one thread for Dask; one that says nothing for ten seconds is
    started again.
    """
    settings = {
        "distributed.scheduler.allowed-failures": 0,  # nothing runs twice unnoticed
        "distributed.scheduler.worker-ttl": "10s",  # minutes, unless told
        # Else one that is started again when another loss of it is that old, is given up.
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        with _deaf_to_interrupts():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                memory_limit=None,
                security=security,
                silence_logs=logging.CRITICAL,  # a worker's loss is told by its tasks
            )
            stack.enter_context(cluster)
            client = stack.enter_context(Client(cluster))
        yield client


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C goes to every process of a terminal, and is for this one alone.

    The threads and processes that begin in the context never get it; this thread does afterwards.
    """
    resource_tracker.ensure_running()  # where it starts, SIGINT is let in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _failed(error: Exception) -> TaskStatus:
    return TaskStatus(TaskState.FAILED, error)


def _broken(link: Link[_Job], why: str) -> WorkerLost:
    return WorkerLost(f"{link.worker}: a stream from it broke off ({why:.160})")


_WORDS: Final[dict[str, Callable[[DaskRunner, Link[_Job], Message], None]]] = {
    "alive": DaskRunner._say_nothing,
    "leaving": DaskRunner._say_leaving,
    "running": DaskRunner._say_running,
    "range": DaskRunner._say_range,
    "stream": DaskRunner._say_stream,
    "over": DaskRunner._say_over,
    "broken": DaskRunner._say_broken,
}
