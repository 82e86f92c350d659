"""Is a smaller run a failing one too?  The runs of a shrinking, and the smallest so far.

A run counts if the same rule is violated.  Whether another one is violated before it is looked at
only where the run that shrinking began with had none before it: then the result has none either, so
that a replay, which stops at the first violation, shows the rule that it was shrunk for.

Most candidates do not fail at all.  So each is judged by the rule's own monitor first; only one
that would be taken is judged by all of them.  That saves a quarter of the time, and the results
are the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from properties.judged import Judged, judged
from properties.monitors import Monitor
from scenarios.held import rows_of
from scenarios.shrink.aim import aimed
from scenarios.shrink.names import Edit, Shape, renamed, shape_of
from scenarios.shrink.size import Size, size_of
from sim.choices import Choices, Deltas, Seeded
from sim.parts import Parts
from sim.scenario import Client, Scenario
from workflow import GraphError, Plan
from workflow.limits import LimitTooSmall
from workflow.plan_json import plan_to_json

__all__ = ["Run", "Spent", "Trial"]

_LEAST_STEPS: Final = 1_000  # that a candidate may take, however short the run it comes from
_AIMS: Final = 8  # moments at which trouble is tried, for each task less
_ROWS_A_STEP: Final = 20  # of data: what they cost in time, about
_LONGER: Final = 4  # times as many steps a candidate may take


class Spent(Exception):
    """There is no budget left for another run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A failing run."""

    scenario: Scenario
    choices: dict[str, int]
    judged: Judged
    size: Size


class _Asking(Deltas):
    """Keeps what it was asked."""

    def __init__(self, answers: Mapping[str, int]) -> None:
        super().__init__(answers)
        self.asked: list[str] = []

    def _answer(self, decision: str, n: int) -> int:
        self.asked.append(decision)
        return super()._answer(decision, n)


class Trial:
    """Tries candidates, and keeps the smallest that fails.

    Raises ValueError if the run to begin with does not violate the rule, `Spent` once ``max_steps``
    simulated steps are used up.
    """

    def __init__(
        self,
        scenario: Scenario,
        choices: Choices,
        rule: str,
        *,
        parts: Parts,
        monitors: Sequence[type[Monitor]],
        max_steps: int,
    ) -> None:
        self._rule: Final = rule
        self._parts: Final = parts
        self._all: Final = tuple(monitors)
        # What a part raised has no monitor of its own: it may have been a monitor that raised it.
        own = tuple(each for each in monitors if each.rule == rule)
        self._own: Final = own or self._all
        self._max_steps: Final = max_steps
        self._shapes: dict[Plan, Shape] = {}
        self._texts: dict[Plan, str] = {}
        self._known: dict[tuple[str, tuple[tuple[str, int], ...]], None] = {}
        self.runs = 0
        self.steps = 0
        run = self._judged(scenario, choices, self._own)
        if not self._fails(run):
            raise ValueError(f"shrink(rule): got {rule!r}, which the run does not violate")
        self._first = True
        whole = self._judged(scenario, Deltas(run.outcome.deltas), self._all)
        self._first = self._fails(whole)
        self.best = self._run(scenario, whole if self._first else run)

    # What is tried.

    def choices(self, choices: Mapping[str, int]) -> bool:
        """The same scenario with other choices."""
        return self.run(self.best.scenario, choices)

    def edit(self, edit: Edit, *, seeds: int = 0) -> bool:
        """A changed scenario: with the choices as they were, with none, then from a few seeds."""
        try:
            moved = renamed(self.best.choices, self.best.scenario, edit, self.shape)
        except GraphError:  # a plan that cannot be cut
            return False
        if self.run(edit.scenario, moved) or (moved and self.run(edit.scenario, {})):
            return True
        if not seeds or not self._allowed(edit.scenario):
            return False
        # A large step is worth a long search: without it there would be many small ones.
        gone = max(1, self.best.size.tasks - self.tasks(edit.scenario))
        return (
            any(self._seeded(edit.scenario, seed) for seed in range(seeds * gone))
            or self.aim(edit.scenario, moved, most=_AIMS * gone)
            or (bool(moved) and self.aim(edit.scenario, {}, most=_AIMS * gone))
        )

    def aim(self, scenario: Scenario, choices: Mapping[str, int], *, most: int) -> bool:
        """The same schedule, with trouble at each moment at which it could strike."""
        if not (scenario.faults or any(each.client != Client() for each in scenario.workloads)):
            return False
        short = replace(scenario, max_steps=self._cap(scenario))
        try:
            run = self._judged(short, Deltas(choices), self._own)
        except (GraphError, LimitTooSmall):
            return False
        ticks = [event.tick for event in run.outcome.trace.events]
        return any(self.run(other, choices) for other in aimed(scenario, ticks, most))

    def needs(self, edit: Edit, choices: Mapping[str, int]) -> bool:
        """Whether the rule holds in a run that is the smallest but for one thing."""
        scenario = edit.scenario
        short = replace(scenario, max_steps=self._cap(scenario))
        run = self._judged(short, Deltas(choices), self._all if self._first else self._own)
        return not self._counts(run)

    def restart(self, choices: Choices, shrunk: Callable[["Trial"], None]) -> bool:
        """Begin with another schedule; taken if what it shrinks to is smaller."""
        kept = self.best
        try:
            short = replace(kept.scenario, max_steps=self._cap(kept.scenario))
            run = self._judged(short, choices, self._own)
            if not self._counts(run):
                return False
            if self._first:
                run = self._judged(short, Deltas(run.outcome.deltas), self._all)
                if not self._counts(run):
                    return False
            self.best = self._run(kept.scenario, run)
            shrunk(self)
        finally:
            if not self.best.size < kept.size:
                self.best = kept
        return self.best is not kept

    def run(self, scenario: Scenario, choices: Mapping[str, int]) -> bool:
        """Whether this run fails and is smaller; then it is the smallest so far."""
        return self._once(scenario, tuple(sorted(choices.items())), lambda: Deltas(choices))

    def _seeded(self, scenario: Scenario, seed: int) -> bool:
        return self._once(scenario, (("seed", seed),), lambda: Seeded(seed))

    def _once(
        self, scenario: Scenario, answers: tuple[tuple[str, int], ...], make: Callable[[], Choices]
    ) -> bool:
        """What was tried is not tried again: if it was taken, what came after it is smaller."""
        key = (self._text(scenario), answers)
        if key in self._known:
            return False
        taken = self._taken(scenario, make)
        self._known[key] = None
        return taken

    def _taken(self, scenario: Scenario, choices: Callable[[], Choices]) -> bool:
        try:
            if not self._allowed(scenario):
                return False
            short = replace(scenario, max_steps=self._cap(scenario))
            run = self._judged(short, choices(), self._own)
            if not self._counts(run) or not self._smaller(scenario, run):
                return False
            if self._first:
                run = self._judged(short, choices(), self._all)
                if not self._counts(run):
                    return False
        except (GraphError, LimitTooSmall):  # the engine refuses the plan or the limits
            return False
        self.best = self._run(scenario, run)
        return True

    def _counts(self, run: Judged) -> bool:
        """Whether it fails, and not because it was cut short."""
        return self._fails(run) and (not run.outcome.over_budget or self._endless)

    def _fails(self, run: Judged) -> bool:
        return any(violation.rule == self._rule for violation in run.violations)

    @property
    def _endless(self) -> bool:
        return self.best.judged.outcome.over_budget

    def _cap(self, scenario: Scenario) -> int:
        left = self._max_steps - self.steps - 1  # the step too many counts as well
        steps = scenario.max_steps
        if left <= 0 or (self._endless and left < steps):
            raise Spent
        if not self._endless:
            steps = min(steps, max(_LEAST_STEPS, _LONGER * self.best.judged.outcome.steps))
        return min(steps, left)

    def _allowed(self, scenario: Scenario) -> bool:
        """A task keeps its slot while it waits: too few, and a run hangs with no fault in it."""
        return self.room(scenario) >= min(self.tasks(scenario), self.room(self.best.scenario))

    def _judged(
        self, scenario: Scenario, choices: Choices, monitors: Sequence[type[Monitor]]
    ) -> Judged:
        self.runs += 1
        rows = rows_of(scenario)
        run = judged(scenario, choices, parts=self._parts, monitors=monitors, stop=True, data=rows)
        self.steps += run.outcome.steps + (0 if rows is None else rows.total // _ROWS_A_STEP)
        return run

    def _smaller(self, scenario: Scenario, run: Judged) -> bool:
        return self._size(scenario, run) < self.best.size

    def _run(self, scenario: Scenario, run: Judged) -> Run:
        # It was given fewer steps than its scenario allows, and did not need them.
        whole = Judged(replace(run.outcome, scenario=scenario), run.verdicts)
        return Run(scenario, run.outcome.deltas, whole, self._size(scenario, run))

    def _size(self, scenario: Scenario, run: Judged) -> Size:
        outcome = run.outcome
        return size_of(
            scenario,
            outcome.deltas,
            tasks=self.tasks(scenario),
            events=len(outcome.trace.events),
        )

    # What is known of plans, which do not change.

    def shape(self, plan: Plan) -> Shape:
        """Tasks and streams.  Raises GraphError for a plan that cannot be cut."""
        if plan not in self._shapes:
            self._shapes[plan] = shape_of(plan)
        return self._shapes[plan]

    def tasks(self, scenario: Scenario) -> int:
        """Of all workloads."""
        return sum(self.shape(each.plan).tasks for each in scenario.workloads)

    def room(self, scenario: Scenario) -> int:
        """The slots of all workers."""
        return scenario.cluster.workers * scenario.cluster.slots

    def asked(self) -> list[str]:
        """Every decision of the smallest run, in the order in which they were asked."""
        asking = _Asking(self.best.choices)
        self._judged(self.best.scenario, asking, self._all if self._first else self._own)
        return asking.asked

    def proof(self) -> str:
        """The names in the events that prove the violation of the smallest run."""
        judged = self.best.judged
        [violation, *_] = (v for v in judged.violations if v.rule == self._rule)
        events = judged.outcome.trace.events
        return "\n".join(
            f"{events[seq].subject} {'' if events[seq].kind == 'manifest' else events[seq].details}"
            for seq in violation.events
        )

    def _text(self, scenario: Scenario) -> str:
        """Two scenarios with the same text are the same run."""
        parts = [repr(replace(scenario, workloads=()))]
        for workload in scenario.workloads:
            if workload.plan not in self._texts:
                self._texts[workload.plan] = repr(plan_to_json(workload.plan))
            parts.append(self._texts[workload.plan])
            parts.append(repr((workload.arrival, workload.options, workload.rows_per_scan)))
            parts.append(repr((workload.batch_rows, workload.client)))
        return "\n".join(parts)
