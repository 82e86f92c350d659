"""The judge: passes the events of a trace to every monitor, and says what each found.

>>> class NoFault(Monitor):
...     rule, sentence = "X1", "nothing goes wrong"
...     def on_fault(self, event: Event) -> None:
...         self.violated(f"{event.subject} suffered", event)
>>> judge_trace([Event(0, 0, "fault", "w0")], monitors=[NoFault])[0].violations[0].seen
'w0 suffered'
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from properties.monitors.monitor import Level, Monitor, Violation
from properties.monitors.story import Story
from sim.scenario import Scenario
from workflow.trace import Event, Trace

__all__ = ["Judge", "Verdict", "judge_trace"]

Word = Literal["holds", "violated", "not judged"]

_SHOWN_BY: Final = {"admission": Level.ENGINE, "cluster": Level.WORLD}
_WHY: Final = {
    Level.BORDER: "the trace has no manifest",
    Level.ENGINE: "the trace does not show what the workflow decides",
    Level.WORLD: "the trace does not show the inside of the Runner",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a monitor says of a trace.  ``why`` is the reason of "not judged"."""

    rule: str
    sentence: str
    word: Word
    violations: tuple[Violation, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        return f"{self.rule} {self.word}" + (f": {self.why}" if self.why else "")


class Judge:
    """Judges one run, event by event."""

    def __init__(
        self, monitors: Sequence[type[Monitor]], *, scenario: Scenario | None = None
    ) -> None:
        self._story: Final = Story(scenario)
        self._monitors: Final = [monitor(self._story) for monitor in monitors]
        self._levels: dict[Level, None] = {}
        self._ended = False
        self._handlers: dict[str, list[Callable[[Event], None]]] = {}

    def on(self, event: Event) -> bool:
        """An event has happened.  True if a rule is violated, now or before."""
        self._story.tell(event)
        level = _SHOWN_BY.get(event.kind)
        if level is not None:
            self._levels[level] = None
        elif event.kind == "manifest":
            self._levels[Level.BORDER] = None
        handlers = self._handlers.get(event.kind)
        if handlers is None:
            handlers = self._handlers[event.kind] = self._find(event.kind)
        for handle in handlers:
            handle(event)
        if event.kind == "end":
            self._ended = True
            for monitor in self._monitors:
                if monitor.level in self._levels:
                    monitor.at_end(event)
        return self._story.broken

    def _find(self, kind: str) -> list[Callable[[Event], None]]:
        return [
            getattr(monitor, f"on_{kind}")
            for monitor in self._monitors
            if hasattr(monitor, f"on_{kind}")
        ]

    def violations(self) -> list[Violation]:
        """Everything found so far, rule by rule."""
        return [violation for monitor in self._monitors for violation in monitor.violations]

    def verdicts(self) -> list[Verdict]:
        """What each monitor says of what it saw."""
        return [self._verdict(monitor) for monitor in self._monitors]

    def _verdict(self, monitor: Monitor) -> Verdict:
        found = tuple(monitor.violations)
        if found:
            return Verdict(monitor.rule, monitor.sentence, "violated", found)
        why = monitor.unjudged
        if monitor.level not in self._levels:
            why = _WHY[monitor.level]
        elif monitor.final and not self._ended:
            why = "the trace does not say that nothing more would happen"
        word: Word = "not judged" if why else "holds"
        return Verdict(monitor.rule, monitor.sentence, word, (), why)


def judge_trace(
    trace: Trace | Iterable[Event],
    *,
    monitors: Sequence[type[Monitor]],
    scenario: Scenario | None = None,
) -> list[Verdict]:
    """The verdict of each monitor over a whole trace."""
    judge = Judge(monitors, scenario=scenario)
    for event in trace.events if isinstance(trace, Trace) else trace:
        judge.on(event)
    return judge.verdicts()
