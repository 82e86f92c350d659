"""Rules of what is limited: tables, slots, buffers, sections, leases and attempts.

Source: "Invariants over a trace of events", M1 to M7.

Refinements:
    M1, M2: judged where every manifest was unregistered and the run was not cut short.
    M3: after a crash nobody counts the idle slots of the dead.
    M4: a sender may go on after a refusal, which is no event; so what is under way is judged only
        while its reader can take it, and only where the Runner is sound.
    M5: a section without any event inside is not recorded; a trace without sections is not judged.
    M6: a manifest that was unregistered hears of no loss any more.
"""

from collections import Counter
from typing import Final

from properties.monitors.monitor import Level, Monitor
from properties.monitors.rest import over_budget, unsettled
from properties.monitors.story import TERMINAL, Story, attempt_of, manifest_of, worker_of
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "BoundedBuffers",
    "LeasesComeBack",
    "NoWaitInSection",
    "NothingKeptOfConnections",
    "NothingKeptOfManifests",
    "PacedAttempts",
    "SlotsConserved",
]


class _Tables(Monitor):
    """What the tables hold at the end, which come before it."""

    level = Level.WORLD
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._tables: dict[str, Event] = {}  # by whose they are

    def on_tables(self, event: Event) -> None:
        if event.details["when"] == "end":
            self._tables[event.subject] = event

    def _judge(self, *names: str) -> None:
        """The tables of workers with these names are empty."""
        for worker, event in self._tables.items():
            if worker != "scheduler":
                self._judge_table(event, names)

    def _judge_table(self, event: Event, names: tuple[str, ...]) -> None:
        for name in names:
            count = event.details.get(name, 0)
            if count:
                self.violated(f"{event.subject} still keeps {count} {name}", event, right="none")


class NothingKeptOfManifests(_Tables):
    """M1."""

    rule, sentence = "M1", "nothing is kept of a manifest that is unregistered"

    def at_end(self, event: Event) -> None:
        why = unsettled(self.story, event)
        if not why and "scheduler" not in self._tables:
            why = "the trace does not show the tables at the end"
        if why:
            self.cannot_judge(why)
            return
        scheduler = self._tables["scheduler"]
        self._judge_table(scheduler, tuple(n for n in scheduler.details if n != "when"))
        self._judge("jobs")


class NothingKeptOfConnections(_Tables):
    """M2."""

    rule, sentence = "M2", "no activity, channel or link outlives the run"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._activities: Event | None = None

    def on_activities(self, event: Event) -> None:
        self._activities = event

    def at_end(self, event: Event) -> None:
        why = unsettled(self.story, event)
        if why or self._activities is None:
            self.cannot_judge(why or "the trace does not show what still runs at the end")
            return
        for name in self._activities.details["running"]:
            self.violated(f"{name} still runs at the end", self._activities, right="none")
        self._judge("channels", "links")


class SlotsConserved(Monitor):
    """M3."""

    rule, sentence = "M3", "each execution takes one slot of its worker, and frees it once"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._busy: dict[str, dict[str, Event]] = {}  # by worker
        self._dying: dict[tuple[str, str], Event] = {}  # executions of workers that crashed

    def on_run(self, event: Event) -> None:
        busy = self._busy.setdefault(event.details["worker"], {})
        if event.subject in busy:
            self.violated(
                f"{event.subject} took a second slot of {event.details['worker']}",
                busy[event.subject],
                event,
                right="one slot",
            )
        busy[event.subject] = event
        self._judge_idle(event)

    def on_over(self, event: Event) -> None:
        worker = event.details["worker"]
        if event.details.get("crashed"):
            taken = self._dying.pop((worker, event.subject), None)
        else:
            taken = self._busy.get(worker, {}).pop(event.subject, None)
        if taken is None:
            self.violated(
                f"{event.subject} freed a slot of {worker} that it does not hold",
                event,
                right="one slot freed for each taken",
            )
        elif not event.details.get("crashed"):
            self._judge_idle(event)

    def on_crash(self, event: Event) -> None:
        for execution, taken in self._busy.pop(event.subject, {}).items():
            self._dying[event.subject, execution] = taken

    def on_restart(self, event: Event) -> None:
        self._busy.pop(event.subject, None)

    def _judge_idle(self, event: Event) -> None:
        worker, idle = event.details["worker"], event.details["idle"]
        right = self.story.cluster.get("slots", 0) - len(self._busy[worker])
        if idle != right or right < 0:
            self.violated(
                f"{worker} has {idle} idle slots and runs {len(self._busy[worker])}",
                event,
                right=f"{self.story.cluster.get('slots', 0)} slots in all",
            )

    def at_end(self, event: Event) -> None:
        why = unsettled(self.story, event)
        if why:
            self.cannot_judge(why)
            return
        left = [(w, e, taken) for w, busy in self._busy.items() for e, taken in busy.items()]
        left += [(w, e, taken) for (w, e), taken in self._dying.items()]
        for worker, execution, taken in left:
            self.violated(
                f"{execution} still holds a slot of {worker} at the end", taken, event, right="none"
            )


class BoundedBuffers(Monitor):
    """M4."""

    rule, sentence = "M4", "a stream holds no more batches than its buffer, and one on its way"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._held: Counter[tuple[str, str]] = Counter()  # by stream and reading execution
        self._flying: dict[tuple[str, str], Event] = {}  # by stream and sending execution
        self._closed: dict[str, None] = {}  # streams that are not read any more
        self._done: dict[str, None] = {}  # tasks that do not read any more
        self._offered: Counter[str] = Counter()  # by manifest: results taken and not read
        self._ended: dict[str, None] = {}  # manifests whose results are over

    def on_receive(self, event: Event) -> None:
        stream, reader = event.subject, event.details["task"]
        self._flying.pop((stream, event.details["sender"]), None)
        if reader == "scheduler":
            return
        self._held[stream, reader] += 1
        held, most = self._held[stream, reader], self.story.cluster["buffer"]
        if held > most:
            self.violated(
                f"{stream} holds {held} batches at {reader}", event, right=f"at most {most}"
            )

    def on_take(self, event: Event) -> None:
        self._held[event.subject, event.details["task"]] -= 1

    def on_send(self, event: Event) -> None:
        stream, sender = event.subject, event.details["task"]
        before = self._flying.get((stream, sender))
        self._flying[stream, sender] = event
        if before is not None and self._is_read(stream):
            self.violated(
                f"{sender} sent {event.details['number']} to {stream} while"
                f" {before.details['number']} was on its way",
                before,
                event,
                right="one batch at a time",
            )

    def _is_read(self, stream: str) -> bool:
        shape = self.story.shape(stream)
        if shape is None or self.story.cluster.get("profile") != "sound" or stream in self._closed:
            return False
        if stream == shape.results:
            return shape.name not in self._ended
        return not any(reader in self._done for reader in shape.readers.get(stream, ()))

    def on_write_done(self, event: Event) -> None:
        manifest = manifest_of(event.subject)
        if event.details["outcome"] != "taken" or manifest in self._ended:
            return
        self._offered[manifest] += 1
        most = 1 if self.story.cluster else 2  # without, a read may be told after the next write
        if self._offered[manifest] > most:
            self.violated(
                f"the results of {manifest} hold {self._offered[manifest]} batches",
                event,
                right=f"at most {most}",
            )

    def on_read(self, event: Event) -> None:
        self._offered[manifest_of(event.subject)] -= 1

    # Where nothing is read any more.

    def on_input_end(self, event: Event) -> None:
        self._closed.update(dict.fromkeys(event.details["streams"]))

    def on_told_closed(self, event: Event) -> None:
        self._closed[event.subject] = None

    def on_move(self, event: Event) -> None:
        if event.details["state"] == "Closed":
            self._closed[event.subject] = None
        elif event.details["state"] in TERMINAL:
            self._done[event.subject] = None

    def _leaves(self, event: Event) -> None:
        self._done[attempt_of(event.subject)[0]] = None

    on_over = on_stopped = on_ack_timeout = on_refuse = on_revoked = _leaves

    def _ends(self, event: Event) -> None:
        self._ended[manifest_of(event.subject)] = None

    on_close_results = on_results_error = on_results_end = on_read_error = on_ask = _ends

    def on_call(self, event: Event) -> None:
        if event.details["method"] == "unregister_manifest":
            self._ends(event)


class NoWaitInSection(Monitor):
    """M5."""

    rule, sentence = "M5", "nobody waits inside of an exclusive section"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._open: dict[str, Event] = {}
        self._seen = False

    def on_enter(self, event: Event) -> None:
        self._seen = True
        self._open[event.subject] = event

    def on_exit(self, event: Event) -> None:
        entered = self._open.pop(event.subject, None)
        if entered is not None and event.tick > entered.tick:
            self.violated(
                f"the section {event.subject} took {event.tick - entered.tick} ticks",
                entered,
                event,
                right="no time passes inside",
            )

    def on_read_wait(self, event: Event) -> None:
        for name, entered in self._open.items():
            self.violated(
                f"a reader waits inside of the section {name}", entered, event, right="no wait"
            )

    def at_end(self, event: Event) -> None:
        if not self._seen:
            self.cannot_judge("the trace shows no exclusive section")
        for name, entered in self._open.items():
            self.violated(f"the section {name} was never left", entered, event, right="an exit")


class LeasesComeBack(Monitor):
    """M6."""

    rule, sentence = "M6", "the token of a task whose worker is lost comes back once"
    level = Level.WORLD
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._owner: dict[str, str] = {}
        self._owned: dict[str, dict[str, None]] = {}  # by connection
        self._held: dict[str, None] = {}
        self._lost: dict[str, Event] = {}
        self._releases: Counter[str] = Counter()

    def on_owner(self, event: Event) -> None:
        task, worker = event.subject, event.details["worker"]
        self._owned.get(self._owner.pop(task, ""), {}).pop(task, None)
        if worker is not None:
            self._owner[task] = worker
            self._owned.setdefault(worker, {})[task] = None

    def on_acquire(self, event: Event) -> None:
        self._held[event.subject] = None

    def on_release(self, event: Event) -> None:
        self._held.pop(event.subject, None)
        self._releases[event.subject] += 1

    def on_worker_lost(self, event: Event) -> None:
        for task in self._owned.get(event.subject, ()):
            if task in self._held:
                self._lost.setdefault(task, event)

    def at_end(self, event: Event) -> None:
        if over_budget(event):
            self.cannot_judge("the run was cut short by its budget")
            return
        for task, lost in self._lost.items():
            count = self._releases[task]
            if count != 1:
                self.violated(
                    f"the token of {task} came back {count} times after {lost.subject} was lost",
                    lost,
                    event,
                    right="once",
                )


class PacedAttempts(Monitor):
    """M7."""

    rule = "M7"
    sentence = "attempts to connect keep their distance, and who leaves is offered nothing more"
    level = Level.WORLD

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._attempts: dict[str, Event] = {}  # by worker: the last
        self._leaving: dict[str, Event] = {}  # by connection: its permanent refusal

    def on_connect(self, event: Event) -> None:
        last = self._attempts.get(event.subject)
        self._attempts[event.subject] = event
        least = self.story.cluster.get("reconnect", 0)
        if last is not None and event.tick - last.tick < least:
            self.violated(
                f"{event.subject} tried again after {event.tick - last.tick} ticks",
                last,
                event,
                right=f"at least {least} ticks",
            )

    def on_restart(self, event: Event) -> None:
        self._attempts.pop(event.subject, None)

    def on_refuse(self, event: Event) -> None:
        if event.details["leaving"]:
            self._leaving.setdefault(event.details["worker"], event)

    def on_assign(self, event: Event) -> None:
        refused = self._leaving.get(event.details["worker"])
        if refused is not None:
            self.violated(
                f"{event.subject} was handed to {event.details['worker']}, which leaves",
                refused,
                event,
                right=f"another worker than {worker_of(event.details['worker'])}",
            )


MONITORS: Final[tuple[type[Monitor], ...]] = (
    NothingKeptOfManifests,
    NothingKeptOfConnections,
    SlotsConserved,
    BoundedBuffers,
    NoWaitInSection,
    LeasesComeBack,
    PacedAttempts,
)
