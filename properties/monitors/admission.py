"""Rules of tokens: who may start, and when.

Source: "Invariants over a trace of events", A1 to A5.

Refinements:
    A1: between the recorded end of a task and the release of its token lies a part of one step, so
        the release is due before the next token is given, and before time moves on.
    A3: judged from the first token of a manifest (before it nobody has asked it to run) until its
        user, an error, or a stop ends the dispatch.
    A4: judged where a run is stuck: the waits that its end names are the graph.
    A5: a task that was cancelled or over before its turn needs no start; a run that its reader
        stalls on purpose need not come to all of its tasks.
"""

from collections import Counter
from typing import Final

from properties.monitors.monitor import Level, Monitor
from properties.monitors.rest import RestMonitor, is_task, over_budget
from properties.monitors.story import TERMINAL, Story, attempt_of, manifest_of
from workflow.trace import Event

__all__ = [
    "MONITORS",
    "ExactReturn",
    "NoHoldAndWait",
    "StartedOnce",
    "TokensConserved",
    "TokensNotIdle",
]

_SLOT: Final = "a free slot"
_OF_LANE: Final = "a token of the lane "
_FROM_SENDERS: Final = ("input from ",)
_FROM_READERS: Final = ("room in ", "an answer on ", "the reader of ")


class TokensConserved(RestMonitor):
    """A1."""

    rule = "A1"
    sentence = "a token belongs to one unfinished task, and a lane has no more than its limit"
    level = Level.ENGINE

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._holders: dict[tuple[str, str], dict[str, Event]] = {}  # by manifest and lane
        self._over: dict[str, Event] = {}  # by task: its recorded end
        self._due: dict[str, dict[str, Event]] = {}  # by manifest: ends whose token is not back

    def on_acquire(self, event: Event) -> None:
        self.arrive(event)
        task, lane = event.subject, event.details["lane"]
        manifest = manifest_of(task)
        self._judge_due(self._due.pop(manifest, {}), event)
        if task in self._over:
            self.violated(
                f"{task} got a token after its end was recorded",
                self._over[task],
                event,
                right="no token for a task that is over",
            )
        holders = self._holders.setdefault((manifest, lane), {})
        holders[task] = event
        limit = self.story.limits.get(manifest, {}).get(lane, 0)
        if 0 < limit < len(holders):
            self.violated(
                f"{len(holders)} tasks hold a token of the lane {lane} of {manifest}",
                *holders.values(),
                right=f"at most {limit}",
            )

    def on_release(self, event: Event) -> None:
        self.arrive(event)
        task, lane = event.subject, event.details["lane"]
        manifest = manifest_of(task)
        if self._holders.get((manifest, lane), {}).pop(task, None) is None:
            self.violated(
                f"{task} gave back a token of the lane {lane} that it does not hold",
                event,
                right="one release for each token",
            )
        self._due.get(manifest, {}).pop(task, None)

    def on_recorded(self, event: Event) -> None:
        self.arrive(event)
        task = event.subject
        if not is_task(task) or event.details["state"] not in TERMINAL:
            return
        self._over.setdefault(task, event)
        if self._holds(task):
            self._due.setdefault(manifest_of(task), {}).setdefault(task, event)

    def on_call(self, event: Event) -> None:
        self.arrive(event)
        if event.details["method"] != "start" or event.subject not in self.story.shapes:
            return
        limits = self.story.limits.get(event.subject, {})
        for index in event.details["tasks"]:
            task = f"{event.subject}/t{index}"
            if limits.get(self.story.lane(task), 0) and not self._holds(task):
                self.violated(
                    f"{task} was started without a token", event, right="a token before the start"
                )

    def _holds(self, task: str) -> bool:
        return task in self._holders.get((manifest_of(task), self.story.lane(task)), {})

    def _judge_due(self, due: dict[str, Event], *now: Event) -> None:
        for task, recorded in due.items():
            self.violated(
                f"{task} is {recorded.details['state']}, and keeps its token",
                recorded,
                *now,
                right="its token goes back at once",
            )

    def at_rest(self) -> None:
        for due in self._due.values():
            self._judge_due(due)
        self._due.clear()


class ExactReturn(Monitor):
    """A2."""

    rule = "A2"
    sentence = "a task takes at most one token, and gives it back once when it is over"
    level = Level.ENGINE
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._acquired: dict[str, Event] = {}
        self._acquires: Counter[str] = Counter()
        self._releases: Counter[str] = Counter()
        self._over: dict[str, Event] = {}

    def on_acquire(self, event: Event) -> None:
        first = self._acquired.setdefault(event.subject, event)
        self._acquires[event.subject] += 1
        if first is not event:
            self.violated(f"{event.subject} got a second token", first, event, right="one token")

    def on_release(self, event: Event) -> None:
        self._releases[event.subject] += 1

    def on_recorded(self, event: Event) -> None:
        if is_task(event.subject) and event.details["state"] in TERMINAL:
            self._over.setdefault(event.subject, event)

    def at_end(self, event: Event) -> None:
        for task, ended in self._over.items():
            taken, returned = self._acquires[task], self._releases[task]
            if taken != returned:
                self.violated(
                    f"{task} is over, took {taken} tokens and gave {returned} back",
                    ended,
                    event,
                    right="as many given back as taken",
                )


class TokensNotIdle(RestMonitor):
    """A3."""

    rule = "A3"
    sentence = "no token stays free while a task of its lane waits for one"
    level = Level.ENGINE

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._waiting: dict[tuple[str, str], dict[str, None]] = {}  # by manifest and lane
        self._holders: dict[tuple[str, str], dict[str, None]] = {}
        self._lanes: dict[str, dict[str, None]] = {}
        self._runs: dict[str, None] = {}  # manifests with a token given
        self._done: dict[str, None] = {}  # manifests whose dispatch has ended
        self._touched: dict[str, Event] = {}  # since the last rest

    def on_manifest(self, event: Event) -> None:
        self.arrive(event)
        for index, task in enumerate(event.details["tasks"]):
            lane = task.get("lane", "")
            self._lanes.setdefault(event.subject, {})[lane] = None
            waiting = self._waiting.setdefault((event.subject, lane), {})
            waiting[f"{event.subject}/t{index}"] = None

    def on_acquire(self, event: Event) -> None:
        manifest = self._touch(event)
        lane = event.details["lane"]
        self._runs[manifest] = None
        self._waits_no_more(event.subject)
        self._holders.setdefault((manifest, lane), {})[event.subject] = None

    def on_release(self, event: Event) -> None:
        manifest = self._touch(event)
        self._holders.get((manifest, event.details["lane"]), {}).pop(event.subject, None)

    def on_recorded(self, event: Event) -> None:
        self._touch(event)
        if is_task(event.subject) and event.details["state"] in TERMINAL:
            self._waits_no_more(event.subject)

    def on_call(self, event: Event) -> None:
        self._touch(event)
        if event.details["method"] == "cancel":
            for index in event.details["tasks"]:
                self._waits_no_more(f"{event.subject}/t{index}")
        elif event.details["method"] == "unregister_manifest":
            self._done[event.subject] = None

    def on_stop(self, event: Event) -> None:
        self._done[self._touch(event)] = None

    def on_ask(self, event: Event) -> None:
        self.on_stop(event)

    def on_results_error(self, event: Event) -> None:
        self.on_stop(event)

    def _touch(self, event: Event) -> str:
        self.arrive(event)
        manifest = manifest_of(event.subject)
        self._touched[manifest] = event
        return manifest

    def _waits_no_more(self, task: str) -> None:
        if manifest_of(task) in self.story.shapes:
            lane = (manifest_of(task), self.story.lane(task))
            self._waiting.get(lane, {}).pop(task, None)

    def at_rest(self) -> None:
        for manifest, last in self._touched.items():
            if manifest not in self._runs or manifest in self._done:
                continue
            for lane in self._lanes.get(manifest, ()):
                waiting = self._waiting[manifest, lane]
                limit = self.story.limits.get(manifest, {}).get(lane, 0)
                held = len(self._holders.get((manifest, lane), ()))
                if waiting and (not limit or held < limit):
                    self.violated(
                        f"{next(iter(waiting))} waits, and the lane {lane} has a free token"
                        f" ({held} held, limit {limit or 'none'})",
                        last,
                        right="the task gets the token at once",
                    )
        self._touched.clear()


class NoHoldAndWait(Monitor):
    """A4."""

    rule = "A4"
    sentence = "those who hold all tokens or slots do not all wait for one who needs one of them"
    level = Level.WORLD
    final = True

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._holders: dict[str, dict[str, Event]] = {_SLOT: {}}  # by what; tasks or executions

    def on_acquire(self, event: Event) -> None:
        self._of_lane(event)[event.subject] = event

    def on_release(self, event: Event) -> None:
        self._of_lane(event).pop(event.subject, None)

    def on_run(self, event: Event) -> None:
        self._holders[_SLOT][event.subject] = event

    def on_over(self, event: Event) -> None:
        self._holders[_SLOT].pop(event.subject, None)

    def _of_lane(self, event: Event) -> dict[str, Event]:
        what = f"{_OF_LANE}{event.details['lane']}"
        return self._holders.setdefault(_of_manifest(event.subject, what), {})

    def at_end(self, event: Event) -> None:
        waits: dict[str, list[str]] = {}  # by task: for what
        waiters: dict[str, dict[str, None]] = {}  # by what is held
        for who, what in event.details.get("stuck") or ():
            task = attempt_of(who)[0]
            waits.setdefault(task, []).append(what)
            if what == _SLOT or what.startswith(_OF_LANE):
                waiters.setdefault(_of_manifest(task, what), {})[task] = None
        for held, waiting in waiters.items():
            holders = self._holders.get(held, {})
            if holders and all(self._reaches(attempt_of(h)[0], waiting, waits) for h in holders):
                self.violated(
                    f"{', '.join(waiting)} {'waits' if len(waiting) == 1 else 'wait'} for"
                    f" {held}, and all who hold one wait for them: {', '.join(holders)}",
                    *holders.values(),
                    event,
                    right="one of them can go on",
                )

    def _reaches(self, start: str, goals: dict[str, None], waits: dict[str, list[str]]) -> bool:
        """Whether a task waits, through others, for one of the goals."""
        seen: dict[str, None] = {start: None}
        left = [start]
        while left:
            task = left.pop()
            for what in waits.get(task, ()):
                for other in self._others(task, what):
                    if other in goals:
                        return True
                    if other not in seen:
                        seen[other] = None
                        left.append(other)
        return False

    def _others(self, task: str, what: str) -> list[str]:
        """Whom a wait is for."""
        if what == _SLOT or what.startswith(_OF_LANE):
            return [attempt_of(h)[0] for h in self._holders.get(_of_manifest(task, what), ())]
        shape = self.story.shape(task)
        if shape is None:
            return []
        for starts, ends in ((_FROM_SENDERS, shape.senders), (_FROM_READERS, shape.readers)):
            for start in starts:
                if what.startswith(start):
                    names = what.removeprefix(start).removesuffix(" to be known").split(", ")
                    return [each for name in names for each in ends.get(name, ())]
        return []


def _of_manifest(task: str, what: str) -> str:
    """What is waited for, by a name that no other manifest has: slots are everybody's."""
    return what if what == _SLOT else f"{what} of {manifest_of(task)}"


class StartedOnce(Monitor):
    """A5."""

    rule = "A5"
    sentence = "a run without trouble starts each of its tasks once"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self._starts: dict[str, Event] = {}
        self._run: dict[str, Event] = {}  # manifests of which something was started

    def on_call(self, event: Event) -> None:
        if event.details["method"] != "start":
            return
        self._run.setdefault(event.subject, event)
        for index in event.details["tasks"]:
            task = f"{event.subject}/t{index}"
            if task in self._starts:
                self.violated(
                    f"{task} was started a second time",
                    self._starts[task],
                    event,
                    right="one start",
                )
            self._starts.setdefault(task, event)

    def at_end(self, event: Event) -> None:
        if over_budget(event):
            self.cannot_judge("the run was cut short by its budget")
            return
        if any("stalls" in what for _, what in event.details.get("stuck") or ()):
            return
        for manifest in self._run:
            shape = self.story.shapes.get(manifest)
            if shape is None or self._in_trouble(manifest):
                continue
            for task in shape.tasks:
                if not (
                    task in self._starts or task in self.story.ends or task in self.story.cancelled
                ):
                    self.violated(
                        f"{task} was never started", self._run[manifest], event, right="one start"
                    )

    def _in_trouble(self, manifest: str) -> bool:
        story = self.story
        if any(manifest in each for each in (story.first_error, story.asked, story.reader_closed)):
            return True
        ended = story.reader_ended.get(manifest)
        if ended is not None and ended.kind == "read_error":
            return True
        left = story.unregistering.get(manifest)
        return left is not None and (ended is None or left.seq < ended.seq)


MONITORS: Final[tuple[type[Monitor], ...]] = (
    TokensConserved,
    ExactReturn,
    TokensNotIdle,
    NoHoldAndWait,
    StartedOnce,
)
