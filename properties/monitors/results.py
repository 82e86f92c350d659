"""Results: what a reader is told, and when (P1 to P7 of the invariants over a trace).

Refinements of the rules' letter:
    a reader that closed is not judged for how its results end: it asked for nothing more;
    P2  a cancelled root never goes with an end without an error (hazard W6), though it has no
        parents that could be alive;
    P2  a task that no call named, or only one made while somebody needed it, was not given up;
    P3  an end without an error stays as well (hazard E3);
    P4  a reader counts as blocked only if it looked last and found nothing: one that pauses is
        not; "no further event" is no tick beyond the slack of the cluster, or the trace's end;
    P7  a run without trouble may fail by an operator's own error, which a task's Failed shows.
"""

from typing import Any, Final

from properties.monitors.monitor import Level, Monitor
from properties.monitors.needs import Needs
from properties.monitors.story import Story, manifest_of
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "BlockedReaderWakes",
    "CloseOfResultsEndsBoth",
    "ErrorBeforeEnd",
    "FirstEndStays",
    "NoErrorOutOfNothing",
    "RecordsInOrder",
    "SoundEnd",
]


class ErrorBeforeEnd(Monitor):
    """P1."""

    rule = "P1"
    sentence = "a task that failed before the reader's end makes that end an error"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._failed: dict[str, Event] = {}

    def on_task_event(self, event: Event) -> None:
        """Remember the first failure."""
        if event.details["state"] == "Failed" and self.story.ends.get(event.subject) is event:
            self._failed.setdefault(manifest_of(event.subject), event)

    def on_read_eof(self, event: Event) -> None:
        """Nothing may have failed."""
        manifest = manifest_of(event.subject)
        failed = self._failed.get(manifest)
        if failed is None or manifest in self.story.reader_closed:
            return
        if self.story.reader_ended[manifest] is event:
            self.violated(
                f"the reader of {manifest} saw the end although {failed.subject} had Failed",
                failed,
                event,
                right="the reader's end is an error",
            )


class SoundEnd(Monitor):
    """P2."""

    rule = "P2"
    sentence = "a reader sees the end only when all is over, done or no longer needed"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._needs: Final = Needs(story)
        self._given_up: dict[str, Event] = {}  # by task: a cancel call when nobody needed it
        self._needed: dict[str, str] = {}  # by task: who did, at a call that is not in order

    def on_task_event(self, event: Event) -> None:
        """Perhaps a report of times."""
        self._needs.report(event)

    def on_call(self, event: Event) -> None:
        """Who is cancelled, and does anybody need it?"""
        if event.details["method"] != "cancel":
            return
        for index in event.details["tasks"]:
            task = f"{event.subject}/t{index}"
            if self.story.terminal(task):
                continue
            parent = self._needs.needed_by(task)
            if parent is None:
                self._given_up.setdefault(task, event)
            else:
                self._needed.setdefault(task, parent)

    def on_read_eof(self, event: Event) -> None:
        """Everything must be in order now."""
        manifest = manifest_of(event.subject)
        shape = self.story.shapes.get(manifest)
        if (
            shape is None
            or manifest in self.story.reader_closed
            or self.story.reader_ended[manifest] is not event
        ):
            return
        if shape.results not in self.story.closes:
            self.violated(
                f"the reader of {manifest} saw the end while {shape.results} was not Closed",
                event,
                right="the results stream is Closed before the end",
            )
        for task in shape.tasks:
            end = self.story.ends.get(task)
            wrong = self._wrong(task, end, root=not shape.parents[task])
            if wrong:
                self.violated(
                    f"the reader of {manifest} saw the end although {task} {wrong}",
                    *([end] if end is not None else []),
                    event,
                    right="every task is over, and was either done or no longer needed",
                )

    def _wrong(self, task: str, end: Event | None, *, root: bool) -> str:
        if end is None:
            return f"was {self.story.states.get(task, 'Created')}"
        if end.details["state"] == "Failed":
            return "had Failed"
        if end.details["state"] != "Cancelled":
            return ""
        if root:
            return "had been Cancelled, and is the root"
        if task in self._given_up:
            return ""
        if task in self._needed:
            return f"had been Cancelled while {self._needed[task]} could still use it"
        return "had been Cancelled, and nobody had asked for that"


class FirstEndStays(Monitor):
    """P3."""

    rule = "P3"
    sentence = "the first error set is the reader's end, and an end once seen stays"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._decided: dict[str, Event] = {}  # results_end before any error

    def on_results_end(self, event: Event) -> None:
        """The end is decided; an error after it comes too late."""
        if event.subject not in self.story.first_error:
            self._decided.setdefault(event.subject, event)

    def on_read(self, event: Event) -> None:
        """No record after an end."""
        self._after(event, f"a record of {event.details.get('rows')} rows")

    def on_read_eof(self, event: Event) -> None:
        """No end after an error; and none instead of one that was set."""
        manifest = manifest_of(event.subject)
        error = self.story.first_error.get(manifest)
        if self.story.reader_ended[manifest] is not event:
            self._after(event, "the end")
        elif (
            error is not None
            and manifest not in self._decided
            and manifest not in self.story.reader_closed
        ):
            self.violated(
                f"the reader of {manifest} saw the end although an error had been set:"
                f" {error.details.get('error')!r}",
                error,
                event,
                right="the reader gets the first error set",
            )

    def on_read_error(self, event: Event) -> None:
        """The first error set, and each time the same."""
        manifest = manifest_of(event.subject)
        if self.story.reader_ended[manifest] is not event:
            self._after(event, f"error {event.details.get('error')!r}")
            return
        if manifest not in self.story.limits:
            return
        error = self.story.first_error.get(manifest)
        if error is None or error.details.get("error") != event.details.get("error"):
            first = "no error" if error is None else repr(error.details.get("error"))
            self.violated(
                f"the reader of {manifest} got {event.details.get('error')!r}, set first was"
                f" {first}",
                *([error] if error is not None else []),
                event,
                right="the reader gets the first error set",
            )

    def _after(self, event: Event, got: str) -> None:
        first = self.story.reader_ended.get(manifest_of(event.subject))
        if first is None or first is event:
            return
        same = event.kind == first.kind and event.details.get("error") == first.details.get("error")
        if not same:
            was = "the end" if first.kind == "read_eof" else f"{first.details.get('error')!r}"
            self.violated(
                f"the reader of {manifest_of(event.subject)} got {got} after {was}",
                first,
                event,
                right="every later read gives the same",
            )


class BlockedReaderWakes(Monitor):
    """P4."""

    rule = "P4"
    sentence = "a reader that is blocked when the end is decided is woken"
    level = Level.ENGINE

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._blocked: dict[str, Event] = {}
        self._owed: dict[str, Event] = {}  # by manifest: the decision that a blocked reader awaits

    def on_read_wait(self, event: Event) -> None:
        """Blocked; wrong if its end is decided."""
        manifest = manifest_of(event.subject)
        self._late(event)
        self._blocked[manifest] = event

    def _looked(self, event: Event) -> None:
        self._late(event)
        manifest = manifest_of(event.subject)
        self._blocked.pop(manifest, None)
        self._owed.pop(manifest, None)

    on_read = on_read_eof = on_read_error = on_close_results = _looked

    def _decided(self, event: Event) -> None:
        if event.subject in self._blocked:
            self._owed.setdefault(event.subject, event)

    on_results_error = on_results_end = _decided

    def _late(self, event: Event) -> None:
        if not self._owed or not self.story.cluster:
            return
        for manifest, decision in list(self._owed.items()):
            if event.tick - decision.tick > self.story.cluster.get("slack", 0):
                self._asleep(manifest, decision, event)

    on_call = on_task_event = on_task_event_done = on_stream_event = on_report = _late
    on_run = on_over = on_move = on_ready = on_recorded = _late

    def _asleep(self, manifest: str, decision: Event, event: Event) -> None:
        del self._owed[manifest]
        self.violated(
            f"the reader of {manifest} was blocked when its end was decided, and still is at tick"
            f" {event.tick}",
            self._blocked[manifest],
            decision,
            event,
            right="the decision wakes the reader",
        )

    def at_end(self, event: Event) -> None:
        """Who is still blocked sleeps for ever."""
        for manifest, decision in list(self._owed.items()):
            self._asleep(manifest, decision, event)


class _Write:
    __slots__ = ("event", "outcome", "was_read")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.outcome = ""
        self.was_read = False


class RecordsInOrder(Monitor):
    """P5."""

    rule = "P5"
    sentence = "records come out as they were written, and all that were taken before the end"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._open: dict[str, list[_Write]] = {}  # offers under way, a stack for each stream
        self._unread: dict[str, dict[int, _Write]] = {}  # by seq, in order

    def on_write(self, event: Event) -> None:
        """An offer: a reader that it wakes may read before it returns."""
        write = _Write(event)
        self._open.setdefault(event.subject, []).append(write)
        self._unread.setdefault(event.subject, {})[event.seq] = write

    def on_write_done(self, event: Event) -> None:
        """Whether it was taken."""
        under_way = self._open.get(event.subject)
        if not under_way:
            return
        write = under_way.pop()
        write.outcome = event.details["outcome"]
        if write.outcome != "taken":
            self._unread[event.subject].pop(write.event.seq, None)
            if write.was_read:
                self.violated(
                    f"a record on {event.subject} was read, and its writer told {write.outcome}",
                    write.event,
                    event,
                    right="what was read was taken",
                )

    def on_read(self, event: Event) -> None:
        """The oldest that is not read."""
        unread = self._unread.get(event.subject, {})
        write = next(iter(unread.values()), None)
        if write is None or _record(write.event, event) != _record(event, write.event):
            self.violated(
                f"the reader of {event.subject} got {_shown(event)},"
                f" next was {'nothing' if write is None else _shown(write.event)}",
                *([write.event] if write is not None else []),
                event,
                right="records are read in the order in which they were written",
            )
            # Go on behind it, so that one wrong record is told once.
            write = next(
                (w for w in unread.values() if _record(w.event, event) == _record(event, w.event)),
                None,
            )
        if write is not None:
            write.was_read = True
            del unread[write.event.seq]

    def on_read_eof(self, event: Event) -> None:
        """Everything taken was read."""
        if manifest_of(event.subject) in self.story.reader_closed:
            return
        lost = [w for w in self._unread.get(event.subject, {}).values() if w.outcome == "taken"]
        for write in lost:
            del self._unread[event.subject][write.event.seq]
            self.violated(
                f"the reader of {event.subject} saw the end before {_shown(write.event)},"
                " which had been taken",
                write.event,
                event,
                right="a record that was taken is read before the end",
            )


def _record(event: Event, other: Event) -> Any:
    """What tells a record from another, as far as both events say it."""
    both = "ids" in event.details and "ids" in other.details
    return event.details["ids" if both else "rows"]


def _shown(event: Event) -> str:
    ids = event.details.get("ids")
    return f"rows {', '.join(ids)}" if ids else f"a record of {event.details.get('rows')} rows"


class CloseOfResultsEndsBoth(Monitor):
    """P6."""

    rule = "P6"
    sentence = "after the reader has closed, nothing is taken, read or waited for"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._late: dict[str, list[Event]] = {}  # offers under way; a stack for each stream
        self._waits: dict[str, Event] = {}

    def on_write(self, event: Event) -> None:
        """An offer."""
        self._late.setdefault(event.subject, []).append(event)

    def on_write_done(self, event: Event) -> None:
        """One that began after the close is told so."""
        offers = self._late.get(event.subject)
        closed = self.story.reader_closed.get(manifest_of(event.subject))
        offer = offers.pop() if offers else event
        outcome = event.details["outcome"]
        if closed is not None and offer.seq > closed.seq and outcome != "closed":
            self.violated(
                f"a write on {event.subject} was told {outcome} after the reader had closed",
                closed,
                event,
                right="it is told that nobody reads",
            )

    def on_read(self, event: Event) -> None:
        """No record any more."""
        closed = self.story.reader_closed.get(manifest_of(event.subject))
        if closed is not None:
            self.violated(
                f"{_shown(event)} came out of {event.subject} after the reader had closed",
                closed,
                event,
                right="a read gives the error or the end",
            )
        self._waits.pop(event.subject, None)

    def on_read_wait(self, event: Event) -> None:
        """Blocked: wrong at the end, if it had closed."""
        if manifest_of(event.subject) in self.story.reader_closed:
            self._waits[event.subject] = event

    def _ended(self, event: Event) -> None:
        self._waits.pop(event.subject, None)

    on_read_eof = on_read_error = _ended

    def at_end(self, event: Event) -> None:
        """Nobody waits who has closed."""
        for stream, wait in self._waits.items():
            self.violated(
                f"the reader of {stream} waits for ever, after it had closed",
                self.story.reader_closed[manifest_of(stream)],
                wait,
                event,
                right="a read gives the error or the end",
            )


class NoErrorOutOfNothing(Monitor):
    """P7."""

    rule = "P7"
    sentence = "an error of the start is the reader's, and without trouble there is none"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._refused: dict[str, Event] = {}
        self._failed: dict[str, Event] = {}

    def on_return(self, event: Event) -> None:
        """Perhaps a start that was refused."""
        if event.details["method"] == "start" and event.details["error"] is not None:
            self._refused.setdefault(event.subject, event)

    def on_task_event(self, event: Event) -> None:
        """A failure of a task explains an error."""
        if event.details["state"] == "Failed":
            self._failed.setdefault(manifest_of(event.subject), event)

    def on_read_eof(self, event: Event) -> None:
        """No start may have been refused."""
        manifest = manifest_of(event.subject)
        refused = self._refused.get(manifest)
        if refused is None or manifest in self.story.reader_closed:
            return
        if self.story.reader_ended[manifest] is event:
            self.violated(
                f"the reader of {manifest} saw the end although a start had been refused:"
                f" {refused.details['error']!r}",
                refused,
                event,
                right="the reader's end is that error or an earlier one",
            )

    def on_read_error(self, event: Event) -> None:
        """Something must have gone wrong.  Only a cluster shows all that can."""
        story, manifest = self.story, manifest_of(event.subject)
        if (
            story.cluster
            and not story.faults
            and manifest not in story.asked
            and manifest not in self._refused
            and manifest not in self._failed
            and manifest not in story.reader_closed
            and story.reader_ended[manifest] is event
        ):
            self.violated(
                f"the reader of {manifest} got {event.details.get('error')!r} although nothing had"
                " gone wrong",
                event,
                right="a run without trouble ends without an error",
            )


MONITORS: Final[tuple[type[Monitor], ...]] = (
    ErrorBeforeEnd,
    SoundEnd,
    FirstEndStays,
    BlockedReaderWakes,
    RecordsInOrder,
    CloseOfResultsEndsBoth,
    NoErrorOutOfNothing,
)
