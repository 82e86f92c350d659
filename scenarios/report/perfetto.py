"""A trace as JSON that the Perfetto UI opens: the Trace Event Format.

Processes are the groups of a picture, threads its lanes.  A slot has a slice for each attempt and,
inside of it, one for each state; so slices of a thread nest, as the format demands.  Batches are
flows from who sends to who receives, buffers and tokens are counters, faults, ends and violations
are instants.  Ticks are microseconds, as the format has them; the same trace gives the same bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from properties.monitors.story import manifest_of
from scenarios.report.lanes import GROUPS, Lane, Picture, Span, picture_of
from scenarios.report.shown import Shown
from scenarios.wording import in_words
from workflow.trace import Event

__all__ = ["perfetto_of"]

_Entry = dict[str, Any]

_COUNTERS: Final = len(GROUPS) + 1  # the process of the counters
_RESULTS: Final = _COUNTERS + 1  # and of who reads results
_FLOW: Final = "batch"


def perfetto_of(shown: Shown) -> str:
    """The file's text: an event a line."""
    picture = picture_of(shown.events, scenario=shown.scenario)
    entries = _Writing(shown, picture).entries()
    lines = (json.dumps(entry, sort_keys=True, separators=(",", ":")) for entry in entries)
    head = json.dumps({"name": shown.name, "title": shown.title}, sort_keys=True)
    body = ",\n".join(lines)
    return f'{{"displayTimeUnit":"ms","otherData":{head},"traceEvents":[\n{body}\n]}}\n'


class _Writing:
    def __init__(self, shown: Shown, picture: Picture) -> None:
        self._shown = shown
        self._events = shown.events
        self._picture = picture
        # Slices end by the last event: a span that nothing ends does, too.
        self._end = shown.events[-1].tick if shown.events else 0
        self._threads: dict[int, tuple[int, int]] = {}  # by lane's number: process, thread
        numbers = dict.fromkeys(GROUPS, 0)
        for index, lane in enumerate(picture.lanes):
            numbers[lane.group] += 1
            self._threads[index] = (GROUPS.index(lane.group) + 1, numbers[lane.group])

    def entries(self) -> Iterator[_Entry]:
        """Everything: names first, then what happened, lane by lane."""
        yield from self._names()
        for index, lane in enumerate(self._picture.lanes):
            if lane.group in ("Slots", "Tasks"):
                yield from self._nested(lane, self._threads[index])
            else:
                for span in lane.spans:
                    yield self._slice(span.state, span, self._threads[index])
            yield from self._instants(lane, self._threads[index])
        yield from self._readers()
        yield from self._flows()
        for chart in self._picture.charts:
            for seq, count in chart.steps:
                yield self._entry("C", chart.name, seq, (_COUNTERS, 0), args={"count": count})
        for violation in self._shown.violations:
            seq = violation.events[-1] if violation.events else len(self._events) - 1
            if 0 <= seq < len(self._events):
                args = {"sentence": violation.sentence, "seen": violation.seen}
                where = self._threads[self._picture.places[seq]]
                yield self._entry("i", f"{violation.rule} broken", seq, where, args=args, s="g")

    def _names(self) -> Iterator[_Entry]:
        used = dict.fromkeys(pid for pid, _ in self._threads.values())
        processes = {pid: GROUPS[pid - 1] for pid in used}
        if self._picture.charts:
            processes[_COUNTERS] = "Counts"
        if self._picture.manifests:
            processes[_RESULTS] = "Readers"
        for pid, name in processes.items():
            yield _meta("process_name", pid, 0, name=name)
            yield _meta("process_sort_index", pid, 0, sort_index=pid)
        for index, lane in enumerate(self._picture.lanes):
            pid, tid = self._threads[index]
            yield _meta("thread_name", pid, tid, name=f"{lane.label} {lane.note}".strip())
            yield _meta("thread_sort_index", pid, tid, sort_index=tid)
        for number, name in enumerate(self._picture.manifests, 1):
            yield _meta("thread_name", _RESULTS, number, name=f"reader of {name}")

    def _tick(self, seq: int) -> int:
        return self._end if seq < 0 else self._events[seq].tick

    def _entry(self, ph: str, name: str, seq: int, where: tuple[int, int], **more: Any) -> _Entry:
        pid, tid = where
        return {"ph": ph, "name": name, "ts": self._tick(seq), "pid": pid, "tid": tid, **more}

    def _slice(self, name: str, span: Span, where: tuple[int, int], end: int = 0) -> _Entry:
        last = self._tick(end or span.end)
        duration = max(0, last - self._tick(span.start))
        args = {"event": span.start, "about": span.about}
        return self._entry("X", name, span.start, where, dur=duration, args=args)

    def _nested(self, lane: Lane, where: tuple[int, int]) -> Iterator[_Entry]:
        """A slice for an attempt, or for a task, around those of its states."""
        for spans in _runs_of(lane):
            head = spans[0]
            name = head.label or lane.label
            yield self._slice(name, head, where, end=spans[-1].end)
            for span in spans:
                yield self._slice(span.state, span, where)

    def _instants(self, lane: Lane, where: tuple[int, int]) -> Iterator[_Entry]:
        for seq, state in lane.ends:
            yield self._entry("i", state, seq, where, s="t", args={"event": seq})
        if lane.group in ("Workers", "Workflow", "Faults"):
            for seq in lane.events:
                words = in_words(self._events[seq])
                yield self._entry("i", words, seq, where, s="t", args={"event": seq})

    def _readers(self) -> Iterator[_Entry]:
        """A slice for the time from the first to the last event of a manifest's results."""
        for number, name in enumerate(self._picture.manifests, 1):
            seqs = [event.seq for event in self._events if event.subject == f"{name}/s0"]
            if seqs:
                span = Span(seqs[0], "", seqs[-1], f"{name}/s0")
                yield self._slice(f"results of {name}", span, (_RESULTS, number))

    # Flows.

    def _flows(self) -> Iterator[_Entry]:
        lanes = self._picture.lanes
        slots: dict[str, int] = {}  # by attempt: its lane
        sent: dict[tuple[str, str, int], tuple[Event, tuple[int, int]]] = {}
        offered: dict[str, list[tuple[Event, tuple[int, int]]]] = {}
        tasks = {lane.name: index for index, lane in enumerate(lanes) if lane.group == "Tasks"}
        senders = _senders(self._picture.manifests)
        number = 0
        for event in self._events:
            details = event.details
            begun: tuple[Event, tuple[int, int]] | None = None
            if event.kind == "run":
                slots[event.subject] = self._picture.places[event.seq]
            elif event.kind == "send" and details["task"] in slots:
                key = (event.subject, str(details["task"]), int(details["number"]))
                sent[key] = (event, self._threads[slots[details["task"]]])
            elif event.kind == "receive":
                key = (event.subject, str(details["sender"]), int(details["number"]))
                begun = sent.pop(key, None)
            elif event.kind == "write" and not self._picture.simulated:
                sender = tasks.get(senders.get(event.subject, ""))
                if sender is not None:
                    offers = offered.setdefault(event.subject, [])
                    offers.append((event, self._threads[sender]))
            elif event.kind == "write_done" and details["outcome"] != "taken":
                offered.get(event.subject, [])[-1:] = []
            elif event.kind == "read" and offered.get(event.subject):
                begun = offered[event.subject].pop(0)
            if begun is None:
                continue
            to = self._reader(event, slots)
            if to is None:
                continue
            number += 1
            start, where = begun
            rows = {"rows": start.details.get("rows"), "stream": event.subject}
            flow = {"cat": _FLOW, "id": number}
            yield self._entry("s", event.subject, start.seq, where, args=rows, **flow)
            yield self._entry("f", event.subject, event.seq, to, bp="e", **flow)

    def _reader(self, event: Event, slots: Mapping[str, int]) -> tuple[int, int] | None:
        task = event.details.get("task", "scheduler")
        if task != "scheduler":
            lane = slots.get(str(task))
            return None if lane is None else self._threads[lane]
        names = list(self._picture.manifests)
        name = manifest_of(event.subject)
        return (_RESULTS, names.index(name) + 1) if name in names else None


def _senders(manifests: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """The task that writes each stream."""
    return {
        f"{name}/s{stream}": f"{name}/t{index}"
        for name, tasks in manifests.items()
        for index, task in enumerate(tasks)
        for stream in task["sinks"]
    }


def _runs_of(lane: Lane) -> Iterator[list[Span]]:
    """Spans that follow each other and are of one attempt."""
    run: list[Span] = []
    for span in lane.spans:
        if run and (span.label or run[-1].end != span.start):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _meta(kind: str, pid: int, tid: int, **args: Any) -> _Entry:
    return {"ph": "M", "name": kind, "ts": 0, "pid": pid, "tid": tid, "args": args}
