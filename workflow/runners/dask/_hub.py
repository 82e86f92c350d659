"""A hub: what runs tasks in a worker of the cluster, for one DaskRunner.

It does as its client says over one exchange, and says there what its tasks do.  When that exchange
ends, the hub's work is over.
"""

import asyncio
import os
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final

import pyarrow as pa
from distributed import Worker
from distributed.core import Status
from distributed.diagnostics.plugin import WorkerPlugin

from workflow.graph import GraphError
from workflow.runners._delivery import Delivery
from workflow.runners.dask._flight import Certificates, Peer, Server
from workflow.runners.dask._streams import Inbox, Pull, Sink, Source, serve_sink
from workflow.runners.dask._wire import Message, decode, decode_task, encode
from workflow.runners.task import Stopped, TaskRun
from workflow.sections import Sections
from workflow.stream import Stream, StreamState
from workflow.task import ContributingTimeRange, Task

__all__ = ["Hub", "HubPlugin"]

_SHUTDOWN: Final = 2.0  # seconds; an exchange with a peer that is stopped may not end sooner


class HubPlugin(WorkerPlugin):
    """Gives each worker a hub, and tells the client where by an event of topic ``topic``."""

    def __init__(
        self, topic: str, secret: str, data: Sections, *, buffer: int, batch_rows: int, grace: float
    ) -> None:
        self.topic = topic
        self.secret = secret
        self.data = data
        self.buffer = buffer
        self.batch_rows = batch_rows
        self.grace = grace
        self._hub: Hub | None = None

    def setup(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin`."""
        self._hub = Hub(
            self.data,
            worker.ip,
            self.secret,
            Certificates.of(worker.security, "worker", worker.address),
            buffer=self.buffer,
            batch_rows=self.batch_rows,
        )
        said = {"hub": self._hub.location, "worker": worker.address, "pid": os.getpid()}
        # Again whenever it has lost its client, as after a pause: the client may still be there.
        self._hub.free = partial(worker.log_event, self.topic, said)
        self._hub.free()

    async def teardown(self, worker: Worker) -> None:
        """See `distributed.WorkerPlugin`.  Where the worker leaves, running tasks may end first."""
        hub, self._hub = self._hub, None
        if hub is None:
            return
        if worker.status in (Status.closing, Status.closing_gracefully):
            await asyncio.to_thread(hub.retire, self.grace)
        await asyncio.to_thread(hub.close)


class Hub:
    """The tasks in one process.  ``location``: where its peers find it."""

    def __init__(
        self,
        data: Sections,
        host: str,
        secret: str,
        certificates: Certificates | None,
        *,
        buffer: int,
        batch_rows: int,
    ) -> None:
        self.buffer: Final = buffer
        self.batch_rows: Final = batch_rows
        self.data: Final = data
        self._secret = secret
        self._certificates = certificates
        self._lock = threading.Lock()
        self._abandoning = threading.Lock()
        self._works: dict[str, _Work] = {}
        self._sinks: dict[str, Sink] = {}
        self._sources: dict[str, tuple[_Work, Source]] = {}
        self._peers: dict[str, Peer] = {}
        self._voice: Delivery | None = None  # what goes to the client, in order
        self._client: Any = None  # the writer of its exchange
        self._streams = 0  # that are being read from elsewhere
        self.free: Callable[[], None] = lambda: None  # called when it has no client any more
        self._server = Server(host, secret, certificates, self._serve)
        self.location: Final = self._server.location

    # Exchanges, each on a thread of the server.

    def _serve(self, command: Message, reader: Any, writer: Any) -> None:
        if command.get("control") is True:
            self._obey(reader, writer)
            return
        with self._lock:
            sink = self._sinks.get(str(command.get("stream")))
            if sink is None:
                raise pa.ArrowKeyError(f"stream {command.get('stream')} is not known here")
            self._streams += 1
        try:
            serve_sink(sink, reader, writer)
        finally:
            with self._lock:
                self._streams -= 1

    def _obey(self, reader: Any, writer: Any) -> None:
        with self._lock:
            if self._voice is not None:
                raise pa.ArrowInvalid("this hub has a client already")
            self._voice = Delivery("windtunnel hub")
            self._client = writer
        try:
            while True:
                message = decode(reader.read_chunk().app_metadata)
                _ORDERS[message["do"]](self, message)
        except (StopIteration, pa.ArrowException):
            pass  # the client has gone
        finally:
            self._abandon()
            self.free()

    def say(self, message: Message) -> None:
        """To the client, after all that was said before."""
        voice = self._voice
        if voice is not None:
            voice.post(partial(self._write, encode(message)))

    def _write(self, data: bytes) -> None:
        client = self._client
        if client is not None:
            with suppress(pa.ArrowException, OSError):  # it has gone, which `_obey` sees
                client.write_metadata(data)

    # What the client orders.

    def _do_run(self, message: Message) -> None:
        try:
            task = decode_task(message["task"])
        except (GraphError, ValueError) as error:  # what the plan's JSON cannot hold
            told = {"kind": type(error).__name__, "text": str(error), "trace": ""}
            name = message["task"]["id"]
            self.say({"is": "over", "task": name, "rows": 0, "sent": {}, "error": told})
            return
        work = _Work(self, task, message["quiet"], message["unread"])
        with self._lock:
            self._works[work.id] = work
            self._sinks.update(work.sinks)
            self._sources.update((each, (work, source)) for each, source in work.sources.items())
        work.start()

    def _do_connect(self, message: Message) -> None:
        name, location = message["stream"], message["at"]
        with self._lock:
            found = self._sources.get(name)
            sink = self._sinks.get(name) if location == self.location else None
        if found is None:
            return
        work, source = found
        if sink is not None:
            source.grant, source.leave = sink.grant, sink.leave
            sink.attach(_Direct(work.inbox, source))
            sink.grant(self.buffer)
        else:
            work.run_beside(partial(self._pull, work, source, name, location))
        if work.over:
            source.leave()

    def _do_end(self, message: Message) -> None:
        with self._lock:
            found = self._sources.get(message["stream"])
        if found is not None:
            work, source = found
            work.inbox.expect(source, message["after"])

    def _do_unread(self, message: Message) -> None:
        with self._lock:
            sink = self._sinks.get(message["stream"])
        if sink is not None:
            sink.leave()

    def _do_stop(self, message: Message) -> None:
        with self._lock:
            work = self._works.get(message["task"])
        if work is not None:
            work.stop()

    def _do_forget(self, message: Message) -> None:
        with self._lock:
            work = self._works.pop(message["task"], None)
            for name in (*work.sinks, *work.sources) if work is not None else ():
                self._sinks.pop(name, None)
                self._sources.pop(name, None)
        if work is not None:
            work.stop()

    def _do_ping(self, message: Message) -> None:
        del message
        self.say({"is": "alive"})

    # Streams from elsewhere.

    def _pull(self, work: "_Work", source: Source, name: str, location: str) -> None:
        try:
            pull = Pull(self._peer(location), name, self.buffer)
            source.grant, source.finish, source.leave = pull.grant, pull.cancel, pull.cancel
            if work.over or source.over:  # before there was anything to end
                pull.cancel()
            for batch in pull.batches():
                work.inbox.put(source, batch)
            why = "it ended early"
        except (pa.ArrowException, OSError) as error:
            why = str(error)
            with self._lock:
                self._peers.pop(location, None)  # whoever comes there next is somebody else
        if not (work.over or source.over):
            self.say({"is": "broken", "task": work.id, "stream": name, "why": why})

    def _peer(self, location: str) -> Peer:
        with self._lock:
            peer = self._peers.get(location)
            if peer is None:
                peer = self._peers[location] = Peer(location, self._secret, self._certificates)
            return peer

    # The end.

    def retire(self, grace: float) -> None:
        """Take nothing new; return once all is over, or after so many seconds.

        What still runs then is Failed, with the reason.
        """
        self.say({"is": "leaving"})
        end = monotonic() + grace
        while monotonic() < end and self._is_busy():
            threading.Event().wait(0.02)
        with self._lock:
            left = [work for work in self._works.values() if not work.over]
        for work in left:
            work.fail(
                "WorkerRetired", f"the worker was retired and the task did not end in {grace:g} s"
            )
        voice = self._voice
        if voice is not None:
            voice.flush()

    def _is_busy(self) -> bool:
        with self._lock:
            if self._voice is None:
                return False
            return self._streams > 0 or any(not work.over for work in self._works.values())

    def _abandon(self) -> None:
        """Nobody wants any of it any more."""
        with self._abandoning:  # the client's exchange must not end before all of it is done
            with self._lock:
                voice, self._voice = self._voice, None
                works = list(self._works.values())
                self._works.clear()
                self._sinks.clear()
                self._sources.clear()
            for work in works:
                work.stop()
            for work in works:
                work.join(_SHUTDOWN)
            if voice is not None:
                voice.close()
            self._client = None  # see `BatchWriter.release`

    def close(self) -> None:
        """End all of it."""
        self.free = lambda: None
        self._abandon()
        with self._lock:
            peers = list(self._peers.values())
            self._peers.clear()
        for peer in peers:
            peer.close()
        # It waits for each exchange, and one with a process that is stopped does not end.
        ending = threading.Thread(target=self._server.shutdown, daemon=True)
        ending.start()
        ending.join(_SHUTDOWN)


class _Direct:
    """From a sink to an inbox of the same hub."""

    def __init__(self, inbox: Inbox, source: Source) -> None:
        self._inbox = inbox
        self._source = source

    def write(self, batch: pa.RecordBatch) -> None:
        self._inbox.put(self._source, batch)


class _Work:
    """A task here: its thread, its inbox and its sinks.  See `task.Host`."""

    def __init__(self, hub: Hub, task: Task, quiet: list[str], unread: list[str]) -> None:
        self.id = str(task.id)
        self.inbox = Inbox()
        self.sources = {
            str(stream.id): Source(stream, hub.buffer) for stream in task.source_streams()
        }
        self.sinks = {
            str(stream.id): _sink(hub, self.id, stream, quiet) for stream in task.sink_streams()
        }
        for name in unread:
            self.sinks[name].leave()
        self.over = False
        self._hub = hub
        self._lock = threading.Lock()
        self._run = TaskRun(
            task, hub.data, self.inbox, list(self.sinks.values()), self, batch_rows=hub.batch_rows
        )
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self.run_beside(self._work)

    def run_beside(self, call: Callable[[], None]) -> None:
        """On a thread that `join` waits for."""
        thread = threading.Thread(target=call, name=f"windtunnel task {self.id}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """It is not to go on, and says nothing more."""
        with self._lock:
            self.over = True
        self._end()

    def fail(self, kind: str, text: str, trace: str = "") -> None:
        """It is not to go on, and has failed."""
        self._tell({"kind": kind, "text": text, "trace": trace})

    def join(self, seconds: float) -> None:
        """Wait for its threads, at most so long for each."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(seconds)

    # See `task.Host`.

    def check(self) -> None:
        if self.over:
            raise Stopped

    def narrow(self, range_: ContributingTimeRange) -> None:
        instant, below = str(range_.timestamp), range_.less_than
        self._hub.say({"is": "range", "task": self.id, "timestamp": instant, "less_than": below})

    # On its thread.

    def _work(self) -> None:
        self._hub.say({"is": "running", "task": self.id})
        try:
            self._run.run()
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - whatever it is, the task has failed with it
            self.fail(type(error).__name__, str(error), traceback.format_exc())
        else:
            self._tell(None)

    def _tell(self, error: Message | None) -> None:
        with self._lock:
            if self.over:
                return
            self.over = True
        sent = {name: sink.sent for name, sink in self.sinks.items()}
        end = {"is": "over", "task": self.id, "rows": self._run.rows, "sent": sent, "error": error}
        self._hub.say(end)
        self._end()

    def _end(self) -> None:
        self.inbox.close()
        for sink in self.sinks.values():
            sink.stop()
        for source in self.sources.values():
            source.leave()


def _sink(hub: Hub, task: str, stream: Stream, quiet: list[str]) -> Sink:
    name = str(stream.id)

    def report(state: StreamState) -> None:
        if name not in quiet:  # of results, only the client knows what becomes of them
            hub.say({"is": "stream", "task": task, "stream": name, "state": state})

    return Sink(report)


_ORDERS: Final[dict[str, Callable[[Hub, Message], None]]] = {
    "run": Hub._do_run,
    "connect": Hub._do_connect,
    "end": Hub._do_end,
    "unread": Hub._do_unread,
    "stop": Hub._do_stop,
    "forget": Hub._do_forget,
    "ping": Hub._do_ping,
}
