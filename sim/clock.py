"""Virtual time: SimPy's environment with integer ticks, chosen ties and honest endings.

A tick is a microsecond.  Events due at one tick are a tie; who goes first is a choice, keyed by
the event's name.  With `slack`, an event may also come up to that many ticks later than it asked
for.  Time never runs backwards, and no float ever reaches the heap.

What differs from SimPy: an exception comes through as it was raised, not rebuilt, and at the step
in which it was raised; a step budget ends a livelock; who still waits when nothing is due is known
by name; `close` ends what still waits, in the order in which it was begun.
"""

from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any, Final

import simpy
from simpy.core import EmptySchedule
from simpy.events import NORMAL, URGENT, Event, EventPriority

from sim.choices import Choices

__all__ = ["Clock", "Process", "StepBudgetExceeded"]

# How finely a tie is broken.  Two events may still draw alike: then the older goes first.
TIE_LEVELS: Final = 8

Process = Generator[Event, Any, None]


class StepBudgetExceeded(Exception):
    """The run took more steps than it may: `args` is the budget."""

    def __str__(self) -> str:
        return f"the run was not over after {self.args[0]:,} steps"


class Clock(simpy.Environment):
    """Runs processes in virtual time.  ``now`` is an integer."""

    def __init__(self, choices: Choices, *, slack: int = 0, max_steps: int = 2_000_000) -> None:
        super().__init__()
        self.choices: Final = choices
        self.steps = 0
        self._slack = slack
        self._max_steps = max_steps
        self._tick = 0
        self._now = 0
        self._heap: list[tuple[int, int, int, Event | Callable[[], None]]] = []
        self._urgent: deque[Event] = deque()
        self._generators: dict[str, Process] = {}
        self._names: dict[str, int] = {}
        self._failed: list[tuple[str, BaseException]] = []
        self.on_failure: Callable[[str, BaseException], None] | None = None

    # SimPy's own interface.

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: Any = 0) -> None:
        """Put an event on the heap.  Raises TypeError for a delay that is no integer."""
        if priority == URGENT and type(delay) is int and not delay:
            self._urgent.append(event)
        else:
            # SimPy's processes have names too, but their ends wake nobody: nothing is to be
            # decided.
            self._put(delay, event.name if isinstance(event, _NamedEvent) else None, event)

    def _put(self, delay: Any, name: str | None, due: Event | Callable[[], None]) -> None:
        if type(delay) is not int or delay < 0:
            raise TypeError(f"schedule(delay): got {delay!r}, expected an integer >= 0")
        tie = 0
        if name is not None:
            tie = self.choices.index("tie", name, TIE_LEVELS)
            if self._slack:
                delay += self.choices.index("slack", name, self._slack + 1)
        heappush(self._heap, (self._tick + delay, tie, next(self._eid), due))

    def step(self) -> None:
        """Handle the next event."""
        self.steps += 1
        if self.steps > self._max_steps:
            raise StepBudgetExceeded(self._max_steps)
        if self._urgent:
            event = self._urgent.popleft()
        elif self._heap:
            self._tick, _, _, due = heappop(self._heap)
            self._now = self._tick
            if not isinstance(due, Event):
                due()
                return
            event = due
        else:
            raise EmptySchedule
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        for callback in callbacks:
            callback(event)
        if self._failed:
            failed, self._failed = self._failed, []
            for name, error in failed:  # one event can wake several
                if self.on_failure is not None:
                    self.on_failure(name, error)
            raise failed[0][1]  # as it was raised: SimPy would rebuild it from its args
        if not event._ok and not hasattr(event, "_defused"):
            raise event._value

    @property
    def idle(self) -> bool:
        """Whether nothing is due any more."""
        return not self._heap and not self._urgent

    # What the world uses.

    @property
    def tick(self) -> int:
        """The time, as the integer that it is."""
        return self._tick

    def after(self, delay: int, name: str, call: Callable[[], None]) -> None:
        """Call later.  `name` tells the event's identity to ties."""
        # Without an event around the call: more than half of all steps are such calls, and an
        # event doubles what one costs.
        self._put(delay, name, call)

    def pause(self, delay: int, name: str) -> Event:
        """An event for a process to yield: `delay` ticks pass."""
        event = self.named(name)
        event._ok, event._value = True, None
        self.schedule(event, NORMAL, delay)
        return event

    def named(self, name: str) -> Event:
        """An event with an identity, to be triggered by whoever knows it."""
        event = _NamedEvent(self)
        event.name = name
        return event

    def spawn(self, name: str, generator: Process) -> None:
        """Begin a process.  What it raises comes out of `step`, as it was raised."""
        first = name
        while name in self._names:  # one that is over keeps its name too
            self._names[first] += 1
            name = f"{first}#{self._names[first]}"
        self._names[name] = 1
        self._generators[name] = generator
        self.process(self._run(name, generator))

    def _run(self, name: str, generator: Process) -> Process:
        try:
            yield from generator
        except GeneratorExit:  # closed from outside
            raise
        except BaseException as error:  # noqa: BLE001 - raised by the very step it happened in
            # Not left to the process' own end: that is an event of its own, which a run that
            # stops now would never see.  Neither is an interrupt from the keyboard.
            self._failed.append((name, error))
        finally:
            self._generators.pop(name, None)

    @property
    def busy(self) -> bool:
        """Whether a process is not over."""
        return bool(self._generators)

    @property
    def waiting(self) -> list[str]:
        """The processes that are not over, in the order in which they were begun."""
        return list(self._generators)

    def runs(self, name: str) -> bool:
        """Whether the process of this name is not over."""
        return name in self._generators

    def close(self) -> None:
        """End what still waits, in the order in which it was begun.

        What one of them raises at its end is raised once all are closed.
        """
        generators, self._generators = list(self._generators.values()), {}
        raised: BaseException | None = None
        for generator in generators:
            try:
                generator.close()
            except BaseException as error:  # noqa: BLE001 - raised below
                raised = raised or error
        if raised is not None:
            raise raised


class _NamedEvent(Event):
    name: str
