"""Rules of streams, S1 to S7 of the invariants over a trace.

S2 holds the Runner's own moves to the table of legal ones, where they are visible: handlers may
hear of them in another order.  They hear of no stream's end twice in any order.

S3 judges what is certain.  A sender's own word closes a stream behind its last record, so nothing
is accepted after it; a stream closed over its sender's head by a cancellation, a failure or a loss
may still have records under way, whose sender does not know yet.  And an execution sends nothing
once its cancellation has reached it.

S5 asks for the word within the time that messages take at most, as long as the receiver's
execution needs it: not once it is over, stopped, or lost with its worker.
"""

from typing import Final

from properties.monitors.executions import FollowsExecutions
from properties.monitors.monitor import Level, Monitor
from properties.monitors.story import Story, attempt_of, worker_of
from workflow import StreamState
from workflow.runner import LEGAL_STREAM_MOVES
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "BoundToTheReader",
    "CloseReachesTheReader",
    "EndOfInput",
    "NothingAfterClose",
    "SingleSender",
    "SinksClose",
    "StreamsMoveForward",
]

_SCHEDULER: Final = "scheduler"
_STATES: Final = {str(state): state for state in StreamState}
_RANK: Final = {"Idle": 0, "Open": 1, "Blocked": 1, "Closed": 2}
_MESSAGES: Final = 4  # that lie at most between a stream's close and its reader's knowledge


def _over_budget(monitor: Monitor, end: Event) -> bool:
    """Whether a run was broken off, so that what is missing might yet have come."""
    if end.details.get("over_budget"):
        monitor.cannot_judge("the run was broken off before it came to rest")
    return bool(end.details.get("over_budget"))


class SingleSender(Monitor):
    """S1."""

    rule = "S1"
    sentence = "all records of a stream come from one attempt on one worker"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._workers: dict[str, str] = {}  # by execution: where it runs
        self._first: dict[str, tuple[str, str, Event]] = {}  # by stream

    def on_run(self, event: Event) -> None:
        """An execution begins on a worker."""
        self._workers[event.subject] = event.details["worker"]

    def on_receive(self, event: Event) -> None:
        """A record is accepted."""
        sender = event.details["sender"]
        worker = self._workers.get(sender, "")
        first = self._first.get(event.subject)
        if first is None:
            self._first[event.subject] = (sender, worker, event)
        elif first[:2] != (sender, worker):
            self.violated(
                f"records of {event.subject} were accepted from {_who(*first[:2])}"
                f" and from {_who(sender, worker)}",
                first[2],
                event,
                right="records of one attempt on one worker",
            )


def _who(execution: str, worker: str) -> str:
    return f"{execution} on {worker}" if worker else execution


class StreamsMoveForward(Monitor):
    """S2."""

    rule = "S2"
    sentence = "a stream opens and blocks before it closes, and closes once"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._last: dict[str, Event] = {}  # by stream: its last move
        self._told: dict[str, Event] = {}  # by stream: what its handler heard last

    def on_move(self, event: Event) -> None:
        """The Runner's own state of a stream changes."""
        new = _STATES.get(event.details["state"])
        if new is None or "/s" not in event.subject:
            return
        last = self._last.get(event.subject)
        old = _STATES[last.details["state"]] if last else StreamState.IDLE
        if new not in LEGAL_STREAM_MOVES[old]:
            legal = " or ".join(str(state) for state in LEGAL_STREAM_MOVES[old])
            self._wrong(event, str(old), last, f"{legal or 'nothing'} after {old}")
        self._last[event.subject] = event

    def on_stream_event(self, event: Event) -> None:
        """A handler hears of it."""
        last, new = self._told.get(event.subject), event.details["state"]
        old = last.details["state"] if last else "Idle"
        back = _RANK[new] < _RANK[old] and not self._reordered()
        if back or (old == new == "Closed"):
            self._wrong(event, old, last, "Idle, then Open and Blocked, then Closed once")
        if old != "Closed":
            self._told[event.subject] = event

    def _reordered(self) -> bool:
        scenario = self.story.scenario
        delayed = scenario is not None and any(scenario.cluster.notify.table())
        return bool(self.story.cluster) or delayed

    def _wrong(self, event: Event, old: str, last: Event | None, right: str) -> None:
        self.violated(
            f"{event.subject} went from {old} to {event.details['state']}",
            *([last] if last else []),
            event,
            right=right,
        )


class NothingAfterClose(FollowsExecutions):
    """S3."""

    rule = "S3"
    sentence = "nothing is written to a stream after it has closed"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._writes: dict[str, Event] = {}  # by stream: an offer under way after the close
        self._late: dict[str, tuple[Event, Event]] = {}  # by stream: the close, a record behind it

    def on_write(self, event: Event) -> None:
        """A record is offered to the results."""
        if event.subject in self.story.closes:
            self._writes[event.subject] = event

    def on_write_done(self, event: Event) -> None:
        """It was taken, or was not."""
        write = self._writes.pop(event.subject, None)
        if write is not None and event.details["outcome"] == "taken":
            self.violated(
                f"a record was written to {event.subject}, which had been reported Closed",
                self.story.closes[event.subject],
                write,
                event,
                right="no record after the end",
            )

    def on_receive(self, event: Event) -> None:
        """A record is accepted; its sender may yet say that it had reached its end."""
        close = self.stream_ends.get(event.subject)
        if close is None:
            return
        task, _ = attempt_of(event.details["sender"])
        end = self.task_ends.get(task)
        if end is None:
            self._late.setdefault(event.subject, (close, event))
        elif end.details["state"] == "Completed":
            self._accepted(task, close, event)

    def on_move(self, event: Event) -> None:
        super().on_move(event)
        shape = self.story.shape(event.subject)
        if shape is None or event.details["state"] != "Completed":
            return
        for stream in shape.sinks.get(event.subject, ()):
            if stream in self._late:
                self._accepted(event.subject, *self._late.pop(stream))

    def _accepted(self, task: str, close: Event, receive: Event) -> None:
        self.violated(
            f"record {receive.details['number']} of {receive.subject} was accepted after the"
            f" stream had closed, and {task} completed",
            close,
            receive,
            right="all records of a task that completes before its streams close",
        )

    def on_send(self, event: Event) -> None:
        """A record leaves."""
        execution = event.details["task"]
        end = self.ends.get(execution)
        if end is not None:
            self.violated(
                f"{execution} sent record {event.details['number']} of {event.subject} after it"
                f" was {end.kind}",
                end,
                event,
                right="no record of an execution that was stopped or is over",
            )


class SinksClose(FollowsExecutions):
    """S4."""

    rule = "S4"
    sentence = "the streams of a task close with it"
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._last: dict[str, Event] = {}  # by stream: the last record accepted

    def on_receive(self, event: Event) -> None:
        """A record is accepted."""
        self._last[event.subject] = event

    def at_end(self, event: Event) -> None:
        if _over_budget(self, event):
            return
        for task, end in self.story.ends.items():
            shape = self.story.shape(task)
            for stream in shape.sinks.get(task, ()) if shape else ():
                self._judge(task, end, stream)

    def _judge(self, task: str, end: Event, stream: str) -> None:
        state, last = end.details["state"], self._last.get(stream)
        if stream not in self.story.closes:
            self.violated(
                f"{task} was {state}, and its {stream} was never reported Closed",
                end,
                right=f"{stream} Closed",
            )
            return
        close = self.stream_ends.get(stream)
        if state == "Completed" and close and last and last.seq > close.seq:
            self.violated(
                f"{stream} of {task}, which completed, closed before its last record was accepted",
                close,
                last,
                right="the close after the last record",
            )


class CloseReachesTheReader(FollowsExecutions):
    """S5."""

    rule = "S5"
    sentence = "the execution that reads a stream is told once that it has ended"
    level = Level.WORLD
    final = True

    def at_end(self, event: Event) -> None:
        if _over_budget(self, event):
            return
        for stream, close in self.stream_ends.items():
            shape = self.story.shape(stream)
            for reader in shape.readers.get(stream, ()) if shape else ():
                if reader in self.current:
                    self._judge(stream, close, self.current[reader], event)

    def _judge(self, stream: str, close: Event, accept: Event, end: Event) -> None:
        execution = accept.subject
        told = self.told.get(execution, {}).get(stream, [])
        if len(told) > 1:
            self.violated(
                f"{execution} was told {len(told)} times that {stream} had ended",
                *told[:3],
                right="once",
            )
            return
        if told:
            return
        over = self.end_of(execution)
        until = end.tick if over is None else over.tick
        # Who is over before the word can have come does without it.
        if over is None or until - max(close.tick, accept.tick) > self._patience():
            self.violated(
                f"{execution} was never told that {stream} had ended",
                close,
                accept,
                *([over] if over else []),
                right="the word at the hand-off, or after it",
            )

    def _patience(self) -> int:
        cluster = self.story.cluster
        slowest = int(cluster.get("slowest", 0)) * int(cluster.get("factor", 1))
        return _MESSAGES * (slowest + int(cluster.get("slack", 0)))


class BoundToTheReader(FollowsExecutions):
    """S6."""

    rule = "S6"
    sentence = "a sender is told where its reader is, once for each pair of attempts"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._owners: dict[str, Event] = {}  # by task
        self._bound: dict[tuple[str, str, str | None], Event] = {}
        self._listening: dict[str, int] = {}  # by stream: listeners that were not refused

    def on_owner(self, event: Event) -> None:
        """A task gets or loses the worker that runs it."""
        if event.details["worker"] is None:
            self._owners.pop(event.subject, None)
        else:
            self._owners[event.subject] = event

    def on_call(self, event: Event) -> None:
        """A listener may be bound to before the call returns."""
        self._listen(event, 1)

    def on_return(self, event: Event) -> None:
        """Unless it was refused."""
        if event.details["error"] is not None:
            self._listen(event, -1)

    def _listen(self, event: Event, change: int) -> None:
        if event.details["method"] == "listen":
            stream = f"{event.subject}/s{event.details['stream']}"
            self._listening[stream] = self._listening.get(stream, 0) + change

    def on_bind(self, event: Event) -> None:
        """A sender is told where to send."""
        stream, sender, reader = event.subject, event.details["task"], event.details["reader"]
        shape = self.story.shape(stream)
        before = self._bound.setdefault((stream, sender, reader), event)
        if before is not event:
            self._wrong(
                f"{sender} was told twice where {reader or 'the listener'} reads {stream}",
                before,
                event,
                right="once for each pair of attempts",
            )
        self._owned(sender, "sends", stream, event)
        for role, execution, known in (
            ("sender", sender, shape.senders if shape else {}),
            ("reader", reader, shape.readers if shape else {}),
        ):
            names = known.get(stream, [])
            seen = [] if execution is None else [attempt_of(execution)[0]]
            if shape is not None and names != seen:
                shown = " and ".join(names) or "none of the tasks"
                self._wrong(
                    f"{stream} was bound with {execution or 'a listener'} as its {role}",
                    event,
                    right=f"{shown} as its {role}",
                )
        if reader is None:
            self._to_listener(stream, event)
            return
        owner = self._owned(reader, "reads", stream, event)
        if owner is not None and worker_of(owner.details["worker"]) != event.details["to"]:
            self._wrong(
                f"{sender} was told to send {stream} to {event.details['to']}",
                owner,
                event,
                right=f"{worker_of(owner.details['worker'])}, which runs {reader}",
            )

    def _to_listener(self, stream: str, event: Event) -> None:
        if event.details["to"] != _SCHEDULER or not self._listening.get(stream):
            self._wrong(
                f"{event.details['task']} was told to send {stream} to {event.details['to']}"
                + ("" if self._listening.get(stream) else ", where nobody listens"),
                event,
                right="the scheduler, once there is a listener",
            )

    def _owned(self, execution: str, role: str, stream: str, event: Event) -> Event | None:
        task, _ = attempt_of(execution)
        owner, accept = self._owners.get(task), self.current.get(task)
        if owner is None or owner.details["worker"] in self.gone:
            self._wrong(
                f"{stream} was bound while no worker that is up ran {execution}, which {role} it",
                *([owner] if owner else []),
                event,
                right="a bind once both ends have an owner",
            )
            return None
        if accept is not None and accept.subject != execution:
            self._wrong(
                f"{stream} was bound for {execution} while {accept.subject} {role} it",
                accept,
                event,
                right="the attempt that runs",
            )
        return owner

    def _wrong(self, seen: str, *events: Event, right: str) -> None:
        self.violated(seen, *events, right=right)


class EndOfInput(FollowsExecutions):
    """S7."""

    rule = "S7"
    sentence = "an input ends once all of its streams have ended and all their records were read"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._unread: dict[tuple[str, str], dict[tuple[str, int], Event]] = {}
        self._over: dict[tuple[str, str], Event] = {}  # by execution and stream: the input's end

    def on_receive(self, event: Event) -> None:
        """A record waits to be read."""
        key = (event.details["task"], event.subject)
        if key in self._over:
            self.violated(
                f"record {event.details['number']} of {event.subject} was accepted after"
                f" {event.details['task']} had read that input to its end",
                self._over[key],
                event,
                right="no record after the end",
            )
        if event.details["task"] != _SCHEDULER:
            record = (event.details["sender"], event.details["number"])
            self._unread.setdefault(key, {})[record] = event

    def on_take(self, event: Event) -> None:
        """It is read."""
        waiting = self._unread.get((event.details["task"], event.subject), {})
        waiting.pop((event.details["sender"], event.details["number"]), None)

    def on_input_end(self, event: Event) -> None:
        """An execution has read an input to its end."""
        execution = event.subject
        for stream in event.details["streams"]:
            key = (execution, stream)
            waiting = self._unread.get(key)
            if key in self._over:
                self.violated(
                    f"{execution} came to the end of {stream} twice",
                    self._over[key],
                    event,
                    right="one end of each input",
                )
            elif not self.knows_ended(execution, stream):
                self.violated(
                    f"{execution} came to the end of an input although it had not heard that"
                    f" {stream} had ended",
                    event,
                    right="the end once all streams of the input have ended",
                )
            elif waiting:
                receive = next(iter(waiting.values()))
                self.violated(
                    f"{execution} came to the end of an input with record"
                    f" {receive.details['number']} of {stream} unread",
                    receive,
                    event,
                    right="the end once all records of the input were read",
                )
            self._over.setdefault(key, event)

    def on_move(self, event: Event) -> None:
        super().on_move(event)
        shape = self.story.shape(event.subject)
        accept = self.current.get(event.subject)
        if shape is None or accept is None or event.details["state"] != "Completed":
            return
        if _may_end_early(shape.tasks[event.subject].get("fragment")):
            return
        for stream in shape.sources[event.subject]:
            if (accept.subject, stream) not in self._over:
                self.violated(
                    f"{event.subject} completed and {accept.subject} had not come to the end"
                    f" of {stream}",
                    accept,
                    event,
                    right="the end of every input, as nothing in the task limits its rows",
                )


def _may_end_early(fragment: str | None) -> bool:
    """Whether a task may be done before its input is."""
    return fragment is None or "Limit offset=" in fragment


MONITORS: Final[tuple[type[Monitor], ...]] = (
    SingleSender,
    StreamsMoveForward,
    NothingAfterClose,
    SinksClose,
    CloseReachesTheReader,
    BoundToTheReader,
    EndOfInput,
)
