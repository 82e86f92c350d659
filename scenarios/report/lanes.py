"""A trace as lanes over time: what a picture of a run shows, before it is drawn.

A lane is a task, a slot of a worker, a worker, a stream, a workflow, or a fault.  Spans begin and
end at events, by their number, so that the same lanes serve an axis of time and one of events; a
span that nothing ends lasts to the end of the run.  Docs: docs/pictures.md.

>>> picture = picture_of([
...     Event(0, 0, "task_event", "m0/t0", {"state": "Running"}),
...     Event(1, 9, "task_event", "m0/t0", {"state": "Completed"}),
... ])
>>> [lane] = picture.lanes
>>> lane.name, lane.spans[0].state, lane.spans[0].end, lane.ends
('m0/t0', 'Running', 1, [(1, 'Completed')])
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from properties.monitors.story import TERMINAL, attempt_of, manifest_of, worker_of
from sim.scenario import Scenario
from workflow.trace import Event

__all__ = ["GROUPS", "Chart", "Lane", "Picture", "Span", "picture_of"]

GROUPS: Final = ("Faults", "Workers", "Slots", "Tasks", "Streams", "Workflow")

_OPEN: Final = -1  # the end of a span that nothing ends
_UNTIL: Final = {  # by kind of fault: the kinds of events that end it, for the same subject
    "connection_cut": ("connect",),
    "half_open": ("worker_lost", "connect"),
    "late_ack": ("accept", "ack_timeout"),
    "lost_ack": ("ack_timeout", "worker_lost"),
    "refused_assignment": ("refuse",),
    "worker_crash": ("restart",),
    "worker_leave": ("worker_gone",),
}
_OF_WORKERS: Final = ("slow_link", "slow_worker", "worker_crash", "worker_leave")
_LASTING: Final = ("slow_worker", "slow_link")  # to the end of the run


@dataclass(slots=True)
class Span:
    """A state from event `start` to event `end`; -1: to the end of the run."""

    start: int
    state: str
    end: int = _OPEN
    about: str = ""  # the task or the stream that it belongs to, where the lane is of neither
    label: str = ""


@dataclass(slots=True)
class Lane:
    """A row of the picture."""

    group: str
    name: str
    label: str
    note: str = ""  # after the label: what kind of task, say
    about: dict[str, None] = field(default_factory=dict)  # what a filter finds it by
    spans: list[Span] = field(default_factory=list)
    below: list[Span] = field(default_factory=list)  # a thin line: who holds a token, when
    ends: list[tuple[int, str]] = field(default_factory=list)  # an event, and the state it ends in
    steps: list[tuple[int, int]] = field(default_factory=list)  # of a stream: batches in its buffer
    events: list[int] = field(default_factory=list)

    def change(self, seq: int, state: str, about: str = "", label: str = "") -> None:
        """Another state begins; the one before ends."""
        self.stop(seq)
        self.spans.append(Span(seq, state, _OPEN, about or self.name, label))

    def stop(self, seq: int) -> None:
        """The state ends."""
        if self.spans and self.spans[-1].end == _OPEN:
            self.spans[-1].end = seq

    @property
    def state(self) -> str:
        """The one that lasts; empty if none does."""
        return self.spans[-1].state if self.spans and self.spans[-1].end == _OPEN else ""


@dataclass(slots=True)
class Chart:
    """A count over the run: its value from each event on."""

    name: str
    steps: list[tuple[int, int]] = field(default_factory=list)
    limit: int = 0  # 0: none
    about: str = ""  # the manifest, if it is of one

    def add(self, seq: int, by: int) -> None:
        """It grows or shrinks."""
        self.steps.append((seq, (self.steps[-1][1] if self.steps else 0) + by))


@dataclass(slots=True)
class Picture:
    """All lanes in their order, and the charts below."""

    lanes: list[Lane]
    charts: list[Chart]
    simulated: bool  # whether the trace shows the inside of a cluster
    places: list[int]  # by event: the lane that it stands in
    order: bool  # whether it is better drawn by the number of an event than by its time
    manifests: dict[str, list[Mapping[str, Any]]]  # by name: its tasks, as the event has them


def picture_of(events: Sequence[Event], *, scenario: Scenario | None = None) -> Picture:
    """What a trace shows.  A scenario tells how long a fault was to last."""
    drawing = _Drawing(scenario)
    for event in events:
        drawing.add(event)
    return drawing.finished(events)


class _Drawing:
    def __init__(self, scenario: Scenario | None) -> None:
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._slots: dict[str, list[Lane]] = {}  # by worker
        self._on: dict[str, Lane] = {}  # by attempt: its slot
        self._slot_of: dict[str, Lane] = {}  # by task: where its last attempt runs
        self._sender: dict[str, str] = {}  # by stream
        self._sources: dict[str, list[str]] = {}  # by task
        self._charts: dict[str, Chart] = {}
        self._held: dict[str, int] = {}  # by stream: batches in its buffer
        self._places: list[Lane] = []
        self._manifests: dict[str, list[Mapping[str, Any]]] = {}
        self._faults: list[tuple[Lane, Event]] = []  # that still hold
        self._ticks = {} if scenario is None else _ticks(scenario)
        self._until: dict[int, int] = {}  # by the event of a fault: the tick at which it ends
        self._cluster = False

    def add(self, event: Event) -> None:
        """The next event."""
        place = self._home(event)
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            place = handler(self, event) or place
        self._places.append(place)
        place.events.append(event.seq)
        self._end_faults(event)

    # Lanes.

    def _lane(self, group: str, name: str, label: str = "") -> Lane:
        lane = self._lanes.get((group, name))
        if lane is None:
            lane = self._lanes[group, name] = Lane(group, name, label or name, about={name: None})
        return lane

    def _task(self, name: str) -> Lane:
        return self._lane("Tasks", attempt_of(name)[0])

    def _home(self, event: Event) -> Lane:
        """Where it stands: by its subject."""
        subject = event.subject
        name = "/".join(subject.split("/")[:2])
        if name.count("/") == 1:
            head, _, rest = name.partition("/")
            if rest[:1] == "t" and rest[1:2].isdigit():
                return self._task(name)
            if rest[:1] == "s" and rest[1:2].isdigit():
                return self._lane("Streams", name)
            name = head
        if (group := ("Workers", worker_of(name))) in self._lanes:
            return self._lanes[group]
        if manifest_of(name) in self._manifests or name == "m?":
            return self._lane("Workflow", manifest_of(name))
        return self._lane("Workflow", "run", "the run")

    # What each kind of event draws.

    def _begin(self, event: Event) -> None:
        self._cluster = True
        slots = event.details["slots"]
        for index in range(min(event.details["workers"], 1000)):
            worker = self._lane("Workers", f"w{index}")
            self._slots[worker.name] = [
                self._lane("Slots", f"{worker.name}/{slot}", f"{worker.name} slot {slot}")
                for slot in range(min(slots, 1000))
            ]

    def _manifest(self, event: Event) -> None:
        name, tasks = event.subject, event.details["tasks"]
        self._manifests[name] = tasks
        for index, task in enumerate(tasks):
            lane = self._task(f"{name}/t{index}")
            lane.note = _operator(task)
            self._sources[lane.name] = [f"{name}/s{stream}" for stream in task["sources"]]
            for stream in (*task["sources"], *task["sinks"]):
                lane.about[f"{name}/s{stream}"] = None
            self._sender |= {f"{name}/s{stream}": lane.name for stream in task["sinks"]}
        readers = {s: f"t{i}" for i, task in enumerate(tasks) for s in task["sources"]}
        senders = {s: f"t{i}" for i, task in enumerate(tasks) for s in task["sinks"]}
        # Those of a refused manifest may be thousands that nothing ever speaks of.
        for stream in sorted({*readers, *senders} - {-1}):
            lane = self._lane("Streams", f"{name}/s{stream}")
            reader = readers.get(stream, "results" if stream == 0 else "nobody")
            lane.note = f"{senders.get(stream, 'nobody')} \u2192 {reader}"
            for end in (senders.get(stream), readers.get(stream)):
                if end is not None:
                    lane.about[f"{name}/{end}"] = None
            lane.change(event.seq, "Idle")

    def _task_event(self, event: Event) -> None:
        lane, state = self._task(event.subject), event.details["state"]
        if state in TERMINAL:
            lane.stop(event.seq)
            lane.ends.append((event.seq, state))
        elif not lane.ends and not (state == "Pending" and lane.spans):
            lane.change(event.seq, state)

    def _stream_event(self, event: Event) -> None:
        lane, state = self._lane("Streams", event.subject), event.details["state"]
        if state == "Closed":
            lane.stop(event.seq)
            lane.ends.append((event.seq, state))
        elif not lane.ends:
            lane.change(event.seq, state)
        sender = self._sender.get(event.subject)
        if sender is None:
            return
        slot = self._slot_of.get(sender)
        for each in (self._task(sender), slot):
            if each is None or each.state not in ("Running", "Blocked"):
                continue
            now = "Blocked" if state == "Blocked" else "Running"
            if each.state != now and (each is not slot or each.spans[-1].about == sender):
                each.change(event.seq, now, sender)

    def _acquire(self, event: Event) -> None:
        self._task(event.subject).below.append(Span(event.seq, "Token", _OPEN, event.subject))
        self._token(event, 1)

    def _release(self, event: Event) -> None:
        held = self._task(event.subject).below
        if held and held[-1].end == _OPEN:
            held[-1].end = event.seq
        self._token(event, -1)

    def _token(self, event: Event, by: int) -> None:
        name, lane = manifest_of(event.subject), event.details["lane"]
        self._chart(f"{name} {lane} tokens", name).add(event.seq, by)

    def _admission(self, event: Event) -> None:
        for lane in ("scan", "other"):
            chart = self._chart(f"{event.subject} {lane} tokens", event.subject)
            chart.limit = event.details[lane]

    def _chart(self, name: str, about: str = "") -> Chart:
        return self._charts.setdefault(name, Chart(name, about=about))

    def _run(self, event: Event) -> Lane:
        worker = worker_of(event.details["worker"])
        slots = self._slots.setdefault(worker, [])
        free = next((lane for lane in slots if not lane.state), None)
        if free is None:  # a part under test may run more than there is room for
            number = len(slots)
            free = self._lane("Slots", f"{worker}/{number}", f"{worker} slot {number}")
            slots.append(free)
        task, _ = attempt_of(event.subject)
        free.change(event.seq, "Running", task, event.subject)
        free.about[task] = None
        self._on[event.subject] = free
        self._slot_of[task] = free
        return free

    def _stopped(self, event: Event) -> Lane | None:
        lane = self._on.get(event.subject)
        if lane is not None and lane.state:
            lane.change(event.seq, "Stopping", lane.spans[-1].about)
        return lane

    def _over(self, event: Event) -> Lane | None:
        lane = self._on.pop(event.subject, None)
        if lane is not None:
            lane.stop(event.seq)
            if event.details["crashed"]:
                lane.ends.append((event.seq, "Crashed"))
        # What its buffers still hold goes with it.
        for stream in self._sources.get(attempt_of(event.subject)[0], ()):
            self._hold(event.seq, stream, -self._held.get(stream, 0))
        return lane

    def _worker(self, event: Event) -> Lane | None:
        lane = self._lanes.get(("Workers", worker_of(event.subject)))
        state = _WORKERS[event.kind]
        if lane is not None and not (lane.state == "Down" and event.kind == "worker_lost"):
            lane.change(event.seq, state)
        return lane

    def _fault(self, event: Event) -> None:
        kind, (head, _, rest) = event.details["fault"], event.subject.partition("/")
        lane = self._lane("Faults", f"fault {event.seq}", kind)
        lane.note = event.subject
        lane.about = {}
        if head in self._manifests:
            task = attempt_of(f"{head}/{rest.partition('/')[0]}")[0]
            slot = self._slot_of.get(task)
            if kind in _OF_WORKERS and slot is not None:
                lane.about[slot.name.partition("/")[0]] = None
            lane.about[task] = None
        else:
            lane.about[worker_of(head)] = None
        lane.change(event.seq, "Fault", next(iter(lane.about)), kind)
        lane.events.append(event.seq)
        if kind in _UNTIL:
            self._faults.append((lane, event))
            if kind == "half_open" and self._ticks.get(kind):
                self._until[event.seq] = event.tick + self._ticks[kind]
        elif kind not in _LASTING:
            lane.spans[-1].end = event.seq  # it strikes, and that is all

    def _end_faults(self, event: Event) -> None:
        for held in list(self._faults):
            lane, fault = held
            if event.seq == fault.seq:
                continue
            kind = fault.details["fault"]
            whom = (attempt_of(event.subject)[0], worker_of(event.subject))
            over = event.kind in _UNTIL[kind] and any(each in lane.about for each in whom)
            late = self._until.get(fault.seq)
            if over or (late is not None and event.tick >= late):
                lane.spans[-1].end = event.seq
                self._faults.remove(held)

    def _received(self, event: Event) -> None:
        if event.details["task"] != "scheduler":
            self._hold(event.seq, event.subject, 1)

    def _taken(self, event: Event) -> None:
        self._hold(event.seq, event.subject, -1)

    def _written(self, event: Event) -> None:
        if event.details["outcome"] == "taken":
            self._hold(event.seq, event.subject, 1)

    def _hold(self, seq: int, stream: str, by: int) -> None:
        before = self._held.get(stream, 0)
        now = self._held[stream] = max(0, before + by)
        if now != before:
            self._lane("Streams", stream).steps.append((seq, now))
            self._chart("batches buffered").add(seq, now - before)

    # The end.

    def finished(self, events: Sequence[Event]) -> Picture:
        """The picture: lanes that show something, group by group."""
        lanes = [
            lane
            for group in GROUPS
            for lane in self._in_order(group)
            if lane.spans or lane.events or lane.ends or group == "Slots"
        ]
        index = {id(lane): number for number, lane in enumerate(lanes)}
        return Picture(
            lanes,
            sorted(
                (chart for chart in self._charts.values() if chart.steps),
                key=lambda chart: (bool(chart.about), not chart.limit),
            ),
            self._cluster,
            [index[id(lane)] for lane in self._places],
            _crowded(events),
            self._manifests,
        )

    def _in_order(self, group: str) -> Iterator[Lane]:
        found = [lane for (of, _), lane in self._lanes.items() if of == group]
        if group == "Slots":  # one more than a worker has comes after its others
            for slots in self._slots.values():
                used = [lane for lane in slots if lane.spans]
                yield from used or slots[:1]
        elif group == "Workers":
            for lane in found:
                slots = self._slots.get(lane.name, [])
                lane.note = f"{sum(bool(slot.spans) for slot in slots)} of {len(slots)} slots used"
                yield lane
        elif group == "Workflow":  # what befell all of them first
            yield from sorted(found, key=lambda lane: lane.name != "run")
        else:
            yield from found


def _operator(task: Mapping[str, Any]) -> str:
    """The topmost operator of a task."""
    return str(task.get("fragment") or "").partition("\n")[0].partition(" ")[0]


def _ticks(scenario: Scenario) -> dict[str, int]:
    """How long faults of a kind last, where all of that kind last as long."""
    found: dict[str, dict[int, None]] = {}
    for fault in scenario.faults:
        found.setdefault(fault.kind, {})[fault.ticks] = None
    return {kind: next(iter(ticks)) for kind, ticks in found.items() if len(ticks) == 1}


def _crowded(events: Sequence[Event]) -> bool:
    """Whether time would hide the story: most events share a tick, or one pause is nearly all."""
    ticks = list(dict.fromkeys(event.tick for event in events))
    if len(ticks) < 2 or len(ticks) * 6 < len(events):
        return True
    pause = max(after - before for before, after in pairwise(ticks))
    return pause * 2 > ticks[-1] - ticks[0]


_WORKERS: Final = {
    "connect": "Connecting",
    "crash": "Down",
    "leaving": "Leaving",
    "restart": "Connecting",
    "worker_gone": "Gone",
    "worker_lost": "Lost",
    "worker_up": "Up",
}
_HANDLERS: Final = {
    "acquire": _Drawing._acquire,
    "admission": _Drawing._admission,
    "cluster": _Drawing._begin,
    "fault": _Drawing._fault,
    "manifest": _Drawing._manifest,
    "over": _Drawing._over,
    "read": _Drawing._taken,
    "receive": _Drawing._received,
    "release": _Drawing._release,
    "run": _Drawing._run,
    "stopped": _Drawing._stopped,
    "stream_event": _Drawing._stream_event,
    "take": _Drawing._taken,
    "task_event": _Drawing._task_event,
    "write_done": _Drawing._written,
    **dict.fromkeys(_WORKERS, _Drawing._worker),
}
