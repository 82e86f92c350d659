"""A simulated cluster that is as fast as recorded runs were: what is derived from them, and how.

Only what crosses the border is looked at: starts, states of tasks and streams with their times,
the rows that a task read, the results.  Times are integer microseconds.

At work: a task that reads no stream, while it runs and no sink of it is Blocked.  One that reads
others, while a source of it is Blocked (who sends there waits for it), and after the last word of
its sources, while no sink is Blocked; else it waits, or keeps up with who sends, at no cost.

Overlap: of tasks at work at once, how many really advance, for they may share a lock or have too
few processors.  That many are taken which make tasks of one kind most alike, by the time that each
of their rows takes: a task that had others beside it, and one that had none.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any, ClassVar, Final

from simpy.events import Event as Due

from properties.monitors.story import TERMINAL
from sim.choices import Tame
from sim.costs import Costs, Meter
from sim.job import Job
from sim.latency import Constant
from sim.parts import Parts
from sim.rows import Record, Work
from sim.scenario import Cluster, Scenario
from sim.scheduler import Connection, Execution
from sim.simulate import simulate
from sim.worker import Worker
from workflow import Task, partition, smallest_limits
from workflow.sections import Sections
from workflow.trace import Event

__all__ = ["Like", "Model", "Pace", "Spell", "Timed", "alone", "fit", "fitted", "kind_of", "timed"]

_POINTS: Final = 32  # of a table of what was observed
_QUANTUM: Final = 500  # ticks of work, then it is looked again who else is at work
_TENTHS: Final = 10  # of an overlap
_SCANS: Final = " that scans"
_THOUSANDTHS: Final = 1_000
_AS_GOOD: Final = 0.05  # share by which one overlap may fit worse than the best
_ALIKE: Final = 3  # observations of a kind, to say that they differ


@dataclass(slots=True)
class Spell:
    """A task's time: when it ran, when it was at work, and how many were at work then."""

    kind: str
    reads_streams: bool
    begun: int
    end: int = -1
    state: str = ""  # in which it ended
    rows: int = 0
    at_work: list[tuple[int, int]] = field(default_factory=list)
    beside: dict[int, int] = field(default_factory=dict)  # ticks at work, by how many were

    @property
    def work(self) -> int:
        """Ticks at work."""
        return sum(end - begun for begun, end in self.at_work)

    def share(self, tenths: int) -> int:
        """Ticks that its work would take alone, if so many tenths of tasks can advance at once."""
        return sum(
            ticks * min(_TENTHS * count, tenths) // (_TENTHS * count)
            for count, ticks in self.beside.items()
        )


@dataclass(slots=True)
class Timed:
    """What a recorded run says about time."""

    spells: list[Spell]
    starts: list[int]  # until the word that a task runs, but for those that wait for a slot
    deliveries: list[int]  # of results, from the offer to the reader
    scans: int  # tasks that read no stream and ran at once, at most
    makespan: int  # from the manifest to what the reader saw last
    ending: int  # of that, what comes after the end of the task that writes the results


def kind_of(root: str, *, reads_streams: bool) -> str:
    """What a task is called: its topmost node, and whether it is one that scans."""
    return root if reads_streams else root + _SCANS


def _kind_of(task: Mapping[str, Any]) -> str:
    root = (task["fragment"] or "?").split(maxsplit=1)[0]
    return kind_of(root, reads_streams=bool(task["sources"]))


def timed(events: Sequence[Event]) -> Timed:
    """Read one run of one workflow."""
    story = _Story(events)
    spells = list(story.spells.values())
    _count_beside(spells)
    leaves = sorted((s for s in spells if not s.reads_streams), key=lambda spell: spell.begun)
    scans = _most_at_once(leaves)
    waited = {id(spell) for spell in leaves[scans:]}
    ended = min((spell.end for spell in spells), default=0)
    starts = [
        # Of those that were asked for at once, the calls take time, too: one after the other.
        spell.begun - (story.first if story.started[name] <= ended else story.started[name])
        for name, spell in story.spells.items()
        if name in story.started and id(spell) not in waited
    ]
    ending = max(0, story.last - story.root_end)
    return Timed(spells, sorted(starts), story.deliveries, scans, story.last - story.first, ending)


class _Story:
    """The events of a run, task by task and stream by stream."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.spells: dict[str, Spell] = {}
        self.started: dict[str, int] = {}
        self.deliveries: list[int] = []
        self.first = self.last = events[0].tick if events else 0
        self._tasks: dict[str, Mapping[str, Any]] = {}
        self._blocked: dict[str, list[tuple[int, int]]] = {}
        self._since: dict[str, int] = {}
        self._told: dict[str, list[int]] = {}  # of each stream, when
        self._closed: dict[str, list[int]] = {}  # the same of its end, once
        self._offered: list[int] = []
        self._taken: list[int] = []
        self._read: list[int] = []
        for event in events:
            handle = getattr(self, f"_on_{event.kind}", None)
            if handle is not None:
                handle(event)
        for name, spell in self.spells.items():
            if spell.end < 0:
                spell.end = max(self.last, spell.begun)
            spell.at_work = self._at_work(name, spell)
        ends = [s.end for name, s in self.spells.items() if 0 in self._tasks[name]["sinks"]]
        self.root_end = max(ends, default=self.last)
        for taken, read in zip(self._taken, self._read, strict=False):
            self.deliveries.append(read - taken)

    def _on_manifest(self, event: Event) -> None:
        self.first = event.tick
        for index, task in enumerate(event.details["tasks"]):
            self._tasks[f"{event.subject}/t{index}"] = task

    def _on_call(self, event: Event) -> None:
        if event.details["method"] == "start":
            for index in event.details["tasks"]:
                self.started.setdefault(f"{event.subject}/t{index}", event.tick)

    def _on_task_event(self, event: Event) -> None:
        name, state = event.subject, event.details["state"]
        spell = self.spells.get(name)
        if state == "Running" and spell is None and name in self._tasks:
            task = self._tasks[name]
            self.spells[name] = Spell(_kind_of(task), bool(task["sources"]), event.tick)
        elif state in TERMINAL and spell is not None and spell.end < 0:
            spell.end, spell.state = event.tick, state
            spell.rows = event.details.get("statistics", {}).get("rows", 0)

    def _on_stream_event(self, event: Event) -> None:
        name, state = event.subject, event.details["state"]
        if state == "Blocked":
            self._since.setdefault(name, event.tick)
        elif name in self._since:
            self._blocked.setdefault(name, []).append((self._since.pop(name), event.tick))
        self._told.setdefault(name, []).append(event.tick)
        if state == "Closed" and name not in self._closed:
            self._closed[name] = [event.tick]

    def _on_write(self, event: Event) -> None:
        self._offered.append(event.tick)

    def _on_write_done(self, event: Event) -> None:
        if event.details["outcome"] == "taken" and self._offered:
            self._taken.append(self._offered[-1])

    def _on_read(self, event: Event) -> None:
        self._read.append(event.tick)
        self.last = event.tick

    def _on_read_eof(self, event: Event) -> None:
        self.last = event.tick

    def _on_read_error(self, event: Event) -> None:
        self.last = event.tick

    def _at_work(self, name: str, spell: Spell) -> list[tuple[int, int]]:
        place, task = name.partition("/")[0], self._tasks[name]
        whole = (spell.begun, spell.end)
        if spell.reads_streams:
            sources = [f"{place}/s{index}" for index in task["sources"]]
            last = self._last_word(sources, spell)
            busy = [span for each in sources for span in self._blocked.get(each, [])]
            busy.append((last, spell.end))
        else:
            busy = [whole]
        full = [
            span for index in task["sinks"] for span in self._blocked.get(f"{place}/s{index}", [])
        ]
        return list(_within(whole, busy, full))

    def _last_word(self, sources: Sequence[str], spell: Spell) -> int:
        """When the last of its sources was told to be over, or to bring something.

        One that ended before them had enough: if any were over, from the first of these on.
        """
        closed = [tick for each in sources for tick in self._closed.get(each, [])]
        closed = [tick for tick in closed if tick <= spell.end]
        if closed and len(closed) < len(sources):
            return min(closed)
        told = [tick for each in sources for tick in self._told.get(each, [])]
        return max((tick for tick in told if tick <= spell.end), default=spell.begun)


def _within(
    whole: tuple[int, int], busy: Sequence[tuple[int, int]], full: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """What of `whole` is in some of `busy` and in none of `full`."""
    edges = sorted({*whole, *(edge for span in (*busy, *full) for edge in span)})
    for begun, end in pairwise(edges):
        inside = whole[0] <= begun and end <= whole[1]
        if inside and _covers(busy, begun, end) and not _covers(full, begun, end):
            yield begun, end


def _covers(spans: Sequence[tuple[int, int]], begun: int, end: int) -> bool:
    return any(first <= begun and end <= last for first, last in spans)


def _count_beside(spells: Sequence[Spell]) -> None:
    """How many were at work at each moment of each one's work."""
    changes: dict[int, int] = {}
    for spell in spells:
        for begun, end in spell.at_work:
            changes[begun] = changes.get(begun, 0) + 1
            changes[end] = changes.get(end, 0) - 1
    count, loads = 0, []
    for tick, until in pairwise(sorted(changes)):
        count += changes[tick]
        loads.append((tick, until, count))
    for spell in spells:
        for begun, end in spell.at_work:
            for tick, until, load in loads:
                if begun <= tick and until <= end:
                    spell.beside[load] = spell.beside.get(load, 0) + until - tick


def _most_at_once(spells: Sequence[Spell]) -> int:
    edges = [(spell.begun, 1) for spell in spells] + [(spell.end, -1) for spell in spells]
    count = most = 0
    for _, change in sorted(edges):  # an end before a beginning of the same moment
        count += change
        most = max(most, count)
    return most


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the tasks of a kind are at work, by the rows that they read."""

    fixed: int  # ticks of each
    row: int  # thousandths of a tick for each row

    def ticks(self, rows: int) -> int:
        """Of a task in the middle that reads so many rows, in thousandths."""
        return self.fixed * _THOUSANDTHS + self.row * rows


@dataclass(frozen=True, slots=True)
class Like:
    """How one run differed from the middle of all: what slows a run down slows all of its tasks."""

    starts: tuple[int, ...]  # until the word that a task runs, from the manifest or its own call
    spread: Mapping[str, tuple[int, ...]]  # by kind: ticks in thousandths of `Pace`


@dataclass(frozen=True, slots=True)
class Model:
    """What was fitted to some runs."""

    runs: int
    start: int  # until the word that a task runs, in the middle
    word: int  # between scheduler and worker: half of a start, or of what follows a last source
    delivery: int  # a record on its way, there or back
    ending: int  # from the end of the task that writes the results to what the reader saw last
    overlap: int  # tenths of tasks that advance at once, where more are at work
    kinds: Mapping[str, Pace]  # of task
    scans: Mapping[int, int]  # by workload: tasks that scan, at once
    likes: Mapping[int, tuple[Like, ...]]  # by workload: its runs

    def pace(self, kind: str) -> Pace:
        """Of a kind; of one that never came to its end, that of any other that scans."""
        if kind in self.kinds or not kind.endswith(_SCANS):
            return self.kinds.get(kind, _AT_ONCE)
        return next((self.kinds[each] for each in self.kinds if each.endswith(_SCANS)), _AT_ONCE)


_AT_ONCE: Final = Pace(0, 0)


def fit(runs: Sequence[tuple[int, Timed]]) -> Model:
    """What the runs, each with the number of its workload, have in common, and how they differ."""
    every = [run for _, run in runs]
    starts = [ticks for run in every for ticks in run.starts]
    deliveries = sorted(ticks for run in every for ticks in run.deliveries)
    delivery = deliveries[len(deliveries) // 4] // 2 if deliveries else 0
    overlap = _overlap([spell for run in every for spell in _counted(run)])
    # A word of an end, and one that it had an effect, lie in what a reader does after its sources.
    tails = [spell.work for run in every for spell in _counted(run) if spell.reads_streams]
    word = int(min((median(each) for each in (starts, tails) if each), default=0)) // 2
    seen = [list(_observed(run, overlap, word)) for run in every]
    pooled: dict[str, list[tuple[int, int]]] = {}
    for kind, rows, ticks in (each for run in seen for each in run):
        pooled.setdefault(kind, []).append((rows, ticks))
    kinds = {kind: _pace(found) for kind, found in pooled.items()}
    # Of a task with few rows, a moment's delay is many times what it takes.
    least = {
        kind: median(kinds[kind].ticks(rows) for rows, _ in found) / 2
        for kind, found in pooled.items()
    }
    scans: dict[int, int] = {}
    likes: dict[int, tuple[Like, ...]] = {}
    for (number, run), observed in zip(runs, seen, strict=True):
        scans[number] = max(scans.get(number, 1), run.scans)
        spread: dict[str, list[int]] = {}
        for kind, rows, ticks in observed:
            middle = kinds[kind].ticks(rows)
            if middle > least[kind]:
                share = _THOUSANDTHS**2 * ticks // middle
                spread.setdefault(kind, []).append(share)
        like = Like(tuple(run.starts), {kind: _some(found) for kind, found in spread.items()})
        likes[number] = (*likes.get(number, ()), like)
    start = int(median(starts)) if starts else 0
    ending = int(median(run.ending for run in every))
    return Model(len(runs), start, word, delivery, ending, overlap, kinds, scans, likes)


def _counted(run: Timed) -> list[Spell]:
    return [spell for spell in run.spells if spell.state == "Completed" and spell.work]


def _observed(run: Timed, overlap: int, word: int) -> Iterator[tuple[str, int, int]]:
    """Kinds, rows and ticks of tasks."""
    for spell in _counted(run):
        ticks = spell.share(overlap)
        if spell.reads_streams:  # of what stands after its last source, some is the word of that
            ticks = max(0, ticks - 2 * word)
        yield spell.kind, spell.rows, ticks


def _pace(seen: Sequence[tuple[int, int]]) -> Pace:
    """A line through rows and ticks: from the middle of the smaller half to that of the larger."""
    ordered = sorted(seen)
    half = len(ordered) // 2
    small, large = ordered[:half] or ordered, ordered[half:]
    rows = [median(each for each, _ in part) for part in (small, large)]
    ticks = [median(each for _, each in part) for part in (small, large)]
    fixed, row = 0.0, 0.0
    if rows[1] > 2 * rows[0]:
        row = max(0.0, (ticks[1] - ticks[0]) / (rows[1] - rows[0]))
        fixed = max(0.0, median(each - row * count for count, each in ordered))
    elif rows[1]:
        row = median(each / max(count, 1) for count, each in ordered)
    else:
        fixed = ticks[1]
    return Pace(round(fixed), round(row * _THOUSANDTHS))


def _some(values: Sequence[int]) -> tuple[int, ...]:
    """At most `_POINTS` of them, ascending, evenly spread."""
    ordered = sorted(values)
    if len(ordered) <= _POINTS:
        return tuple(ordered)
    step = len(ordered) / _POINTS
    return tuple(ordered[int((at + 0.5) * step)] for at in range(_POINTS))


def _overlap(spells: Sequence[Spell]) -> int:
    """In tenths: what makes the tasks of each kind most alike; the least of those as good."""
    most = max((count for spell in spells for count in spell.beside), default=1)
    tenths = range(_TENTHS, _TENTHS * most + 1, max(1, _TENTHS * most // 40))
    unlike = {each: _unlike(spells, each) for each in tenths}
    good = min(unlike.values()) * (1 + _AS_GOOD) + _AS_GOOD / 10
    return next(each for each, value in unlike.items() if value <= good)


def _unlike(spells: Sequence[Spell], tenths: int) -> float:
    """How far the tasks of a kind lie from the middle of it, in shares of that; 0: all alike."""
    kinds: dict[str, list[float]] = {}
    for spell in spells:
        if spell.rows and not spell.reads_streams:
            kinds.setdefault(spell.kind, []).append(spell.share(tenths) / spell.rows)
    total = count = 0.0
    for paces in kinds.values():
        middle = median(paces)
        if len(paces) >= _ALIKE and middle > 0:
            total += sum(min(abs(pace - middle) / middle, 1) for pace in paces)
            count += len(paces)
    return total / count if count else 0.0


class _Account(Meter):
    """One task's time."""

    def __init__(self, pace: Pace, share: int) -> None:
        super().__init__(Costs(()))
        self._pace = pace
        self._share = share  # thousandths
        self._read = 0
        self._told = 0
        self.due = 0  # rows that are read next

    def ticks(self, rows: Mapping[str, int]) -> int:
        """See `Meter`.  What each task takes comes with its first batch, or its end."""
        del rows
        self._read, self.due = self._read + self.due, 0
        total = self._pace.ticks(self._read) * self._share // _THOUSANDTHS**2
        told, self._told = self._told, total
        return total - told


class _Crowd(Worker):
    """A worker that knows how many of its tasks are at work, and how many it was given."""

    at_work = 0
    begun = 0


class _Fitted(Job):
    """A task at work as long as one of its kind was; more slowly, where others are, too."""

    model: ClassVar[Model]
    like: ClassVar[Like]

    def __init__(self, worker: Worker, connection: Connection, execution: Execution) -> None:
        super().__init__(worker, connection, execution)
        self._account = self._meter = self._drawn(self.task)

    def _drawn(self, task: Task) -> _Account:
        reads = next(task.source_streams(), None) is not None
        kind = kind_of(task.fragment.root().kind, reads_streams=reads)
        spread = self.like.spread.get(kind, (_THOUSANDTHS,))
        share = self.worker.world.choices.ticks("pace", self.name, spread)
        return _Account(self.model.pace(kind), share)

    def _live(self) -> Generator[Due, Any, None]:
        late = self._start() - 2 * self.model.word
        yield from self._pause("start", max(0, late))
        yield from super()._live()

    def _start(self) -> int:
        """The n-th that starts takes as long as the n-th did; who had to wait for a slot, least."""
        starts = self.like.starts or (0,)
        if not isinstance(self.worker, _Crowd):
            return starts[0]
        place, self.worker.begun = self.worker.begun, self.worker.begun + 1
        return starts[place] if place < len(starts) else starts[0]

    def _process(
        self, work: Work[Any], source: Sequence[str], record: Record
    ) -> Generator[Due, Any, None]:
        self._account.due = record.rows
        yield from super()._process(work, source, record)

    def _pause(self, label: str, ticks: int) -> Generator[Due, Any, None]:
        if label != "work" or not isinstance(self.worker, _Crowd):
            yield from super()._pause(label, ticks)
            return
        self.worker.at_work += 1
        try:
            for done in range(0, ticks, _QUANTUM):
                part = min(_QUANTUM, ticks - done)
                share = max(_TENTHS * self.worker.at_work, self.model.overlap)
                yield from super()._pause(label, part * share // self.model.overlap)
        finally:
            self.worker.at_work -= 1


def fitted(
    model: Model, scenario: Scenario, number: int, *, like: int, batch_rows: int | None
) -> tuple[Scenario, Parts]:
    """One workload alone in a cluster like that, and the parts that it is made of.

    ``like``: which of its runs; those of one number take turns.
    ``batch_rows``: what the runner reads at once, if it says so.
    """

    class Fitted(_Fitted):
        pass

    runs = model.likes[number]
    Fitted.model, Fitted.like = model, runs[like % len(runs)]
    workload = scenario.workloads[number]
    tasks = partition(workload.plan)
    plain, slowest = Cluster(), max(*Fitted.like.starts, model.word, model.delivery)
    options = workload.options
    leaves = sum(next(task.source_streams(), None) is None for task in tasks)
    if 0 < model.scans.get(number, 0) < leaves and not options.max_running_scan_tasks:
        both = options.max_running_other_tasks > 0
        least = smallest_limits(tasks, both=both).scan
        options = replace(options, max_running_scan_tasks=max(model.scans[number], least))
    cluster = replace(
        plain,
        workers=1,
        slots=len(tasks),
        control=Constant(ticks=model.word),
        data=Constant(ticks=model.delivery),
        # Nothing may time out that is only slow.
        ack_timeout=max(plain.ack_timeout, 8 * slowest),
        detect=max(plain.detect, 8 * slowest),
    )
    alone = replace(
        workload,
        arrival=4 * slowest + 1,  # its worker is there
        options=options,
        batch_rows=batch_rows or workload.batch_rows,
    )
    parts = Parts(worker=_Crowd, job=Fitted)
    return replace(scenario, cluster=cluster, faults=(), workloads=(alone,)), parts


def alone(scenario: Scenario, number: int, rows: Sections) -> dict[str, list[int]]:
    """By kind, how long tasks of a workload are at work with the costs of the scenario's cluster.

    Nothing is between them, and none waits for another one's processor.
    """
    workload = scenario.workloads[number]
    none = Constant(ticks=0)
    cluster = replace(
        scenario.cluster,
        workers=1,
        slots=len(partition(workload.plan)),
        control=none,
        data=none,
        notify=none,
    )
    only = replace(scenario, cluster=cluster, faults=(), workloads=(workload,))
    kinds: dict[str, str] = {}
    found: dict[str, list[int]] = {}
    for event in simulate(only, Tame(), data=rows).trace.events:
        if event.kind == "manifest":
            for index, task in enumerate(event.details["tasks"]):
                kinds[f"{event.subject}/t{index}"] = _kind_of(task)
        elif event.kind == "over":
            found.setdefault(kinds[event.subject], []).append(event.details["worked"])
    return found
