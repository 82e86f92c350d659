"""What a monitor is: a small named state machine over the events of a trace.

A monitor has a rule's id and sentence, a method ``on_<kind>`` for each kind of event that it looks
at, and `at_end`, called with the event that says that nothing more will happen.  It sees nothing
but events, and what `Story` has made of them; so it works inside a run, over a saved trace, and
over what a real Runner was recorded to do.

>>> class NoFault(Monitor):
...     rule, sentence = "X1", "nothing goes wrong"
...     def on_fault(self, event: Event) -> None:
...         self.violated(f"{event.subject} suffered", event, right="no fault")
"""

import difflib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final

from properties.monitors.story import Story
from workflow.trace import Event

__all__ = ["KINDS", "Level", "Monitor", "Violation"]

# Every kind of event that a trace can have; docs/traces.md describes them.
KINDS: Final = (
    "accept", "ack_timeout", "acquire", "activities", "admission", "ask", "assign", "bind", "call",
    "close_results", "close_workflow", "cluster", "connect", "crash", "end", "enter", "exit",
    "fault", "input_end", "leaving", "manifest", "move", "over", "owner", "process_failed", "queue",
    "raised", "read", "read_eof", "read_error", "read_wait", "ready", "receive", "recorded",
    "refuse", "release", "report", "restart", "results_end", "results_error", "return", "revoked",
    "run", "send", "statistics", "stop", "stopped", "stream_event", "tables", "take", "task_event",
    "task_event_done", "tell_cancel", "told_closed", "worker_gone", "worker_lost", "worker_up",
    "write", "write_done",
)  # fmt: skip

_MOST: Final = 20  # violations that a monitor keeps; a run with more shows nothing new


class Level(IntEnum):
    """How much a trace shows."""

    BORDER = 0  # what crosses between a Workflow and its Runner: any recorded Runner
    ENGINE = 1  # also what a Workflow decides: tokens, states, the end of the results
    WORLD = 2  # also what happens inside of a Runner: the simulated cluster


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that does not hold: its id and sentence, what was seen, and what proves it.

    ``events`` are the numbers (`Event.seq`) of the events that prove it, the last one being where
    it broke; ``right`` says what would have been right.
    """

    rule: str
    sentence: str
    seen: str
    events: tuple[int, ...] = ()
    right: str = ""

    def __str__(self) -> str:
        return f"{self.rule} {self.sentence}: {self.seen}"


class Monitor:
    """The base of all monitors.  A class is a rule; an object judges one trace."""

    rule: ClassVar[str]
    sentence: ClassVar[str]
    level: ClassVar[Level] = Level.BORDER  # what it takes to judge the rule at all
    final: ClassVar[bool] = False  # judged only where a trace says that nothing more will happen

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith("on_") and name.removeprefix("on_") not in KINDS:
                near = difflib.get_close_matches(name, [f"on_{kind}" for kind in KINDS], 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise TypeError(
                    f"{cls.__name__}.{name}: got a handler for a kind of events that does not"
                    f" exist{hint}"
                )

    def __init__(self, story: Story) -> None:
        self.story: Final = story
        self.violations: list[Violation] = []
        self.unjudged = ""  # why the rule, or a part of it, could not be judged

    def at_end(self, event: Event) -> None:
        """Nothing more will happen: judge what must have come by now."""

    def violated(self, seen: str, *events: Event, right: str = "") -> None:
        """The rule does not hold."""
        self.story.broken = True
        if len(self.violations) < _MOST:
            proof = tuple(event.seq for event in events)
            self.violations.append(Violation(self.rule, self.sentence, seen, proof, right))

    def cannot_judge(self, why: str) -> None:
        """The trace does not show enough; the first reason stays."""
        self.unjudged = self.unjudged or why
