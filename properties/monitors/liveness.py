"""Liveness: a run ends, without a time-out's help, and nobody starves (L1 to L7).

Refinements of the rules' letter:
    L1, L2  a consumer that never looked is no reading consumer: a run may wait for it for ever;
    L3  a time-out counts only if a message there and one back must come within it; the bound on
        time is judged where a scenario says how long its clients pause;
    L4, L7  "a bounded number of steps" is slack + detect + 4 x slowest x factor ticks;
    L5  the part that one trace shows: a manifest without trouble of its own ends without an error
        whatever happens to another.  Timings need two runs;
    L5, L6  a task that its worker reports as Failed is an operator's own error, and excused.
"""

from typing import Final

from properties.monitors.monitor import Level, Monitor
from properties.monitors.story import TERMINAL, Story, attempt_of, manifest_of
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "AnotherRunIsLeftAlone",
    "LeaveHurtsNobody",
    "NoRescueByTimeout",
    "NobodyStarves",
    "NothingIsStuck",
    "ReadinessComesBack",
    "RunEnds",
]


class _Readers:
    """Which consumers have ever looked."""

    def __init__(self, story: Story) -> None:
        self._story: Final = story
        self._looked: dict[str, None] = {}

    def look(self, event: Event) -> None:
        """A reader did something."""
        self._looked.setdefault(manifest_of(event.subject))

    def ended(self, manifest: str) -> bool:
        """Whether the reader has its end, or wants none."""
        return manifest in self._story.reader_ended or manifest in self._story.reader_closed

    def waiting(self) -> list[str]:
        """Manifests that were started, whose reader looked, and has no end."""
        story = self._story
        started = dict.fromkeys(manifest_of(task) for task in story.started)
        return [
            m for m in started if m in story.registered and m in self._looked and not self.ended(m)
        ]

    def deaf(self) -> bool:
        """Whether a run was started whose consumer does not read, and so may block it."""
        started = dict.fromkeys(manifest_of(task) for task in self._story.started)
        return any(m not in self._looked and not self.ended(m) for m in started)


class RunEnds(Monitor):
    """L1."""

    rule = "L1"
    sentence = "a run whose consumer reads comes to its end"
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._readers: Final = _Readers(story)
        self.on_read = self.on_read_wait = self._readers.look

    def at_end(self, event: Event) -> None:
        """Every reader has its end."""
        if event.details.get("over_budget"):
            self.violated(
                "the run was still going on when its steps were used up",
                event,
                right="a run ends",
            )
        for manifest in self._readers.waiting():
            self.violated(
                f"the reader of {manifest} never saw an end",
                self.story.registered[manifest],
                event,
                right="it sees the end or an error",
            )


class NothingIsStuck(Monitor):
    """L2."""

    rule = "L2"
    sentence = "where nothing is due, nobody waits"
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._readers: Final = _Readers(story)
        self.on_read = self.on_read_wait = self._readers.look

    def at_end(self, event: Event) -> None:
        """Nobody waits."""
        stuck = event.details.get("stuck")
        if not stuck or (self._readers.deaf() and not self._readers.waiting()):
            return
        shown = "; ".join(f"{who} waits for {what}" for who, what in stuck[:3])
        more = f"; and {len(stuck) - 3} more" if len(stuck) > 3 else ""
        self.violated(
            f"nothing is due, and {shown}{more}", event, right="all is over, and nobody waits"
        )


class NoRescueByTimeout(Monitor):
    """L3."""

    rule = "L3"
    sentence = "without a fault no time-out fires, and time passes only in work and messages"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._worked = 0

    def on_ack_timeout(self, event: Event) -> None:
        """Never without a fault."""
        cluster = self.story.cluster
        round_trip = 2 * (cluster.get("slowest", 0) + cluster.get("slack", 0))
        if not self.story.faults and round_trip < cluster.get("ack_timeout", 0):
            self.violated(
                f"a time-out took back {event.subject}, and nothing had gone wrong",
                event,
                right="the acknowledgement comes in time",
            )

    def on_over(self, event: Event) -> None:
        """Work takes time."""
        self._worked += event.details.get("worked", 0)

    def at_end(self, event: Event) -> None:
        """The last reader's end came in time."""
        scenario, cluster = self.story.scenario, self.story.cluster
        ends = (*self.story.reader_ended.values(), *self.story.reader_closed.values())
        if scenario is None or self.story.faults or not ends:
            return
        last = max(ends, key=lambda each: (each.tick, each.seq))
        clients = 0
        for workload in scenario.workloads:
            client = workload.client
            clients += workload.arrival + client.stall_ticks
            clients += max(client.pause.table()) * (event.seq + 1)
            clients += (client.cancel_at or 0) + (client.close_at or 0)
        each = cluster.get("slowest", 0) + cluster.get("slack", 0)
        bound = self._worked + each * (event.seq + 1) + clients
        if last.tick > bound:
            self.violated(
                f"the last reader ended at tick {last.tick}, and work and messages take at most"
                f" {bound}",
                last,
                event,
                right="no time passes but in work and messages",
            )


class _Slots:
    """What waits for a slot, and who asks for a task."""

    def __init__(self, story: Story) -> None:
        self._story: Final = story
        self.queued: dict[str, Event] = {}
        self.ready: dict[str, int] = {}
        self._gone: dict[str, None] = {}

    def queue(self, event: Event) -> None:
        """A task waits."""
        self.queued[event.subject] = event

    def assign(self, event: Event) -> None:
        """It is on its way to a worker, which has a slot less."""
        self.queued.pop(attempt_of(event.subject)[0], None)
        connection = event.details["worker"]
        if self.ready.get(connection, 0) > 1:
            self.ready[connection] -= 1
        else:
            self.ready.pop(connection, None)

    def on_ready(self, event: Event) -> None:
        """A slot asks."""
        if event.subject not in self._gone:
            self.ready[event.subject] = self.ready.get(event.subject, 0) + 1

    def move(self, event: Event) -> None:
        """What is over waits no more."""
        if event.details["state"] in TERMINAL:
            self.queued.pop(event.subject, None)

    def lost(self, event: Event) -> None:
        """Its slots ask no more."""
        self._gone[event.subject] = None
        self.ready.pop(event.subject, None)

    @property
    def bound(self) -> int:
        """Ticks within which the two must have met."""
        cluster = self._story.cluster
        slowest = cluster.get("slowest", 0) * cluster.get("factor", 1)
        return int(cluster.get("slack", 0) + cluster.get("detect", 0) + 4 * slowest)


class NobodyStarves(Monitor):
    """L4."""

    rule = "L4"
    sentence = "a task that waits and a slot that is free do not stay so"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._slots: Final = _Slots(story)
        self._since: Event | None = None

    def _both(self, event: Event) -> None:
        """Look before the event counts: the time until now has passed as it was."""
        since = self._since
        if since is not None and event.tick - since.tick > self._slots.bound:
            self._starved(since, event)
            self._since = event

    def _changed(self, event: Event) -> None:
        if not (self._slots.queued and self._slots.ready):
            self._since = None
        elif self._since is None:
            self._since = event

    def on_queue(self, event: Event) -> None:
        """A task waits."""
        self._both(event)
        self._slots.queue(event)
        self._changed(event)

    def on_ready(self, event: Event) -> None:
        """A slot asks."""
        self._both(event)
        self._slots.on_ready(event)
        self._changed(event)

    def on_assign(self, event: Event) -> None:
        """They have met."""
        self._both(event)
        self._slots.assign(event)
        self._since = None  # each step counts anew
        self._changed(event)

    def on_move(self, event: Event) -> None:
        """Perhaps an end."""
        self._both(event)
        self._slots.move(event)
        self._changed(event)

    def on_worker_lost(self, event: Event) -> None:
        """Slots less."""
        self._both(event)
        self._slots.lost(event)
        self._changed(event)

    on_worker_gone = on_worker_lost
    on_task_event = on_over = on_run = on_report = on_receive = on_call = _both
    on_read = on_read_wait = on_read_eof = on_read_error = _both

    def at_end(self, event: Event) -> None:
        """Both would stay for ever."""
        if self._since is not None and not event.details.get("over_budget"):
            self._starved(self._since, event)

    def _starved(self, since: Event, event: Event) -> None:
        task, connection = next(iter(self._slots.queued)), next(iter(self._slots.ready))
        self.violated(
            f"{task} waits from tick {since.tick} to {event.tick} while {connection} asks for a"
            " task",
            self._slots.queued[task],
            since,
            event,
            right="a free slot gets a task that waits",
        )


_OF_A_TASK: Final = ("task_failure", "cancel_task", "lost_ack", "late_ack", "refused_assignment")


class AnotherRunIsLeftAlone(Monitor):
    """L5."""

    rule = "L5"
    sentence = "a run without trouble of its own ends well, whatever happens to another"
    level = Level.WORLD
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._own_error: dict[str, Event] = {}
        self._refused: dict[str, Event] = {}
        self._readers: Final = _Readers(story)
        self.on_read = self.on_read_wait = self._readers.look

    def on_report(self, event: Event) -> None:
        """A worker's word that a task failed by itself."""
        if event.details["state"] == "Failed":
            self._own_error.setdefault(manifest_of(event.subject), event)

    def on_return(self, event: Event) -> None:
        """A call that was refused is trouble, too."""
        if event.details["error"] is not None:
            self._refused.setdefault(event.subject, event)

    def at_end(self, event: Event) -> None:
        """Those without trouble ended well."""
        story = self.story
        if len(story.shapes) < 2:
            return
        troubled = {**story.asked, **self._own_error, **self._refused}
        for fault in story.faults:
            if fault.details.get("fault") not in _OF_A_TASK:
                return  # trouble for everybody
            troubled[manifest_of(fault.subject)] = fault
        waiting = self._readers.waiting()
        for manifest in story.shapes:
            end = story.reader_ended.get(manifest)
            if manifest in troubled or (manifest in story.reader_closed and end is None):
                continue
            if end is not None and end.kind == "read_error":
                seen = f"the reader of {manifest} got {end.details.get('error')!r}"
            elif manifest in waiting:
                seen = f"the reader of {manifest} never saw an end"
            else:
                continue
            self.violated(
                f"{seen}, and it had no trouble of its own",
                *([end] if end is not None else []),
                event,
                right="it ends without an error",
            )


class LeaveHurtsNobody(Monitor):
    """L6."""

    rule = "L6"
    sentence = "a worker that leaves in good order fails no task and no run"
    level = Level.WORLD
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._own_error: dict[str, Event] = {}  # by task: its worker said so
        self._left: list[Event] = []
        self._refused: dict[str, Event] = {}

    def on_leaving(self, event: Event) -> None:
        """A worker leaves."""
        self._left.append(event)

    def on_report(self, event: Event) -> None:
        """An operator's own error."""
        if event.details["state"] == "Failed":
            self._own_error.setdefault(attempt_of(event.subject)[0], event)

    def on_return(self, event: Event) -> None:
        """A call that was refused is other trouble."""
        if event.details["error"] is not None:
            self._refused.setdefault(event.subject, event)

    def at_end(self, _event: Event) -> None:
        """If nothing else went wrong, nothing has gone wrong."""
        faults = self.story.faults
        left = [*self._left, *faults]
        if not left or any(fault.details.get("fault") != "worker_leave" for fault in faults):
            return
        for task, end in self.story.ends.items():
            if end.details["state"] == "Failed" and task not in self._own_error:
                self.violated(
                    f"{task} Failed, and a worker's leave was the only trouble",
                    left[0],
                    end,
                    right="its worker ends it before it goes",
                )
        excused = dict.fromkeys(manifest_of(task) for task in self._own_error)
        for manifest, end in self.story.reader_ended.items():
            if (
                end.kind == "read_error"
                and manifest not in excused
                and manifest not in self.story.asked
                and manifest not in self._refused
            ):
                self.violated(
                    f"the reader of {manifest} got {end.details.get('error')!r}, and a worker's"
                    " leave was the only trouble",
                    left[0],
                    end,
                    right="it ends without an error",
                )


class ReadinessComesBack(Monitor):
    """L7."""

    rule = "L7"
    sentence = "a worker that refused a task gets another once it has a free slot"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._slots: Final = _Slots(story)
        self._refused: dict[str, Event] = {}  # by connection: its last refusal for now
        self._owed: Event | None = None  # the ready after one, while tasks wait
        self._up: dict[str, str] = {}  # by worker: its connection
        self._leaving: dict[str, Event] = {}
        self._idle: dict[str, int] = {}

    def on_worker_up(self, event: Event) -> None:
        """A worker is there."""
        worker = event.subject.partition(".")[0]
        self._up[worker] = event.subject
        self._idle.setdefault(worker, self.story.cluster.get("slots", 0))

    def _down(self, event: Event) -> None:
        self._time(event)
        worker = event.subject.partition(".")[0]
        if self._up.get(worker) == event.subject:
            del self._up[worker]
        self._slots.lost(event)

    on_worker_lost = on_worker_gone = _down

    def on_crash(self, event: Event) -> None:
        """Back with all slots, if at all."""
        self._up.pop(event.subject, None)
        self._idle[event.subject] = self.story.cluster.get("slots", 0)
        self._leaving.pop(event.subject, None)

    def on_leaving(self, event: Event) -> None:
        """Takes no more tasks."""
        self._leaving[event.subject] = event

    def _slot(self, event: Event) -> None:
        self._time(event)
        if "idle" in event.details:
            self._idle[event.details["worker"]] = event.details["idle"]

    on_run = on_over = _slot

    def on_queue(self, event: Event) -> None:
        """A task waits."""
        self._time(event)
        self._slots.queue(event)

    def on_move(self, event: Event) -> None:
        """Perhaps an end."""
        self._time(event)
        self._slots.move(event)
        if not self._slots.queued:
            self._owed = None

    def on_refuse(self, event: Event) -> None:
        """Too busy, for now."""
        self._time(event)
        if not event.details.get("leaving"):
            self._refused[event.details["worker"]] = event

    def on_ready(self, event: Event) -> None:
        """It asks again."""
        self._time(event)
        self._slots.on_ready(event)
        if self._owed is None and event.subject in self._refused and self._slots.queued:
            self._owed = event

    def on_assign(self, event: Event) -> None:
        """Somebody got a task."""
        self._time(event)
        self._slots.assign(event)
        self._owed = None

    def _time(self, event: Event) -> None:
        owed = self._owed
        if owed is not None and event.tick - owed.tick > self._slots.bound:
            self._owed = None
            self._forgotten(owed, event)

    on_task_event = on_report = on_receive = on_call = _time
    on_read = on_read_wait = on_read_eof = on_read_error = _time

    def _forgotten(self, owed: Event, event: Event) -> None:
        self.violated(
            f"{owed.subject} asked for a task after it had refused one, and got none although"
            f" {next(iter(self._slots.queued))} waits",
            self._refused[owed.subject],
            owed,
            event,
            right="a task that waits is assigned",
        )

    def at_end(self, event: Event) -> None:
        """No task waits while a worker that is there to stay has a free slot."""
        if event.details.get("over_budget") or not self._slots.queued:
            return
        task, queued = next(iter(self._slots.queued.items()))
        for worker, connection in self._up.items():
            if self._idle.get(worker, 0) > 0 and worker not in self._leaving:
                refused = self._refused.get(connection)
                self.violated(
                    f"{task} waits for ever while {worker} has {self._idle[worker]} free slots",
                    queued,
                    *([refused] if refused is not None else []),
                    event,
                    right="a worker with a free slot asks for a task",
                )


MONITORS: Final[tuple[type[Monitor], ...]] = (
    RunEnds,
    NothingIsStuck,
    NoRescueByTimeout,
    NobodyStarves,
    AnotherRunIsLeftAlone,
    LeaveHurtsNobody,
    ReadinessComesBack,
)
