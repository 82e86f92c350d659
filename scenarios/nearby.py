"""Runs near a recorded one: where to look when a change of the code has moved what was recorded.

A reduced failure stands on the brink: a time-out of 7 ticks where 8 are too many, a delay that is
just long enough to lose a race.  One step more in the code and it does not happen, though the fault
is still there.  So what was recorded is moved a little, one thing at a time: an answer, a moment of
the scenario, then the choices that were not recorded, from a few seeds.  In this order, which is
always the same, and no more than `RUNS`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, Final

from scenarios.failure import Failure
from sim.choices import Choices, Deltas, Seeded
from sim.latency import Latency
from sim.scenario import Client, Cluster, Scenario

__all__ = ["RUNS", "Nearby", "nearby"]

RUNS: Final = 100

_ANSWERS: Final = 20  # runs with another answer
_MOMENTS: Final = 40  # runs with another moment
_MOVES: Final = (1, -1, 2, -2, 4, -4, 8, -8)  # of an answer
_RARELY: Final = 8  # one in so many choices is not the tamest


@dataclass(frozen=True, slots=True)
class Nearby:
    """A run to try, and what is changed in it."""

    what: str
    scenario: Scenario
    choices: Choices


def nearby(failure: Failure) -> Iterator[Nearby]:
    """The runs near a failure, at most `RUNS`, the same ones every time."""
    yield from islice(_all(failure), RUNS)


def _all(failure: Failure) -> Iterator[Nearby]:
    scenario, answers = failure.scenario, failure.choices
    yield from islice(_answers(scenario, answers), _ANSWERS)
    for what, changed in islice(_moments(scenario), _MOMENTS):
        yield Nearby(what, changed, Deltas(answers))
    seed = 0
    while True:
        what = f"what was not recorded is drawn from seed {seed}"
        yield Nearby(f"{what}, rarely", scenario, _Over(answers, seed, rarely=True))
        yield Nearby(what, scenario, _Over(answers, seed, rarely=False))
        seed += 1


class _Over(Choices):
    """Recorded answers over those of a seed."""

    def __init__(self, answers: Mapping[str, int], seed: int, *, rarely: bool) -> None:
        super().__init__()
        self._recorded = answers
        self._seeded = Seeded(seed)
        self._rarely = rarely

    def _answer(self, decision: str, n: int) -> int:
        if decision in self._recorded:
            return min(self._recorded[decision], n - 1)
        if self._rarely and self._seeded._answer(f"near {decision}", _RARELY):
            return 0
        return self._seeded._answer(decision, n)

    def _rare(self, decision: str, per_million: int) -> int:
        if decision in self._recorded:
            return min(self._recorded[decision], 1)
        return self._seeded._rare(decision, per_million)


def _answers(scenario: Scenario, answers: Mapping[str, int]) -> Iterator[Nearby]:
    for move in _MOVES:
        for name, answer in answers.items():
            if answer + move >= 0:
                what = f"{name} is answered with {answer + move} instead of {answer}"
                yield Nearby(what, scenario, Deltas({**answers, name: answer + move}))


# Moments: the numbers of a scenario that say when something happens, or how long it takes.  Those
# that are as by default were not needed for the failure.

_Change = Callable[[int], Scenario]

_TIMES: Final = ("ack_timeout", "detect", "slack")
_LATENCIES: Final = ("control", "data", "work", "notify")
_CLIENT: Final = ("cancel_at", "close_at", "close_after", "stall_after", "stall_ticks")
_FAULT: Final = ("at", "nth", "ticks")


def _moments(scenario: Scenario) -> Iterator[tuple[str, Scenario]]:
    moments = list(_numbers(scenario))
    tried = {(name, number): None for name, number, _ in moments}
    for move in _LATER:
        for name, number, change in moments:
            moved = move(number)
            if moved >= 0 and (name, moved) not in tried:
                tried[name, moved] = None
                yield f"{name} is {moved} instead of {number}", change(moved)


def _plus(ticks: int) -> Callable[[int], int]:
    return lambda number: number + ticks


def _times(quarters: int) -> Callable[[int], int]:
    return lambda number: number * quarters // 4


# A step more makes everything after it later, by a little or by its share.
_LATER: Final = (*map(_plus, (1, 2, 3, 4, 6, 8, -1, -2)), *map(_times, (6, 8, 16)))


def _numbers(scenario: Scenario) -> Iterator[tuple[str, int, _Change]]:
    for place in range(len(scenario.faults)):
        for name in _FAULT:
            value = getattr(scenario.faults[place], name)
            if value is not None and not (name == "ticks" and not value):
                yield f"{name} of fault {place}", value, _fault(scenario, place, name)
    for place, workload in enumerate(scenario.workloads):
        if workload.arrival:
            yield f"arrival of workload {place}", workload.arrival, _arrival(scenario, place)
        plain = Client()
        for name in _CLIENT:
            value = getattr(workload.client, name)
            if value is not None and value != getattr(plain, name):
                yield f"{name} of workload {place}", value, _client(scenario, place, name)
        if workload.client.pause != plain.pause:
            whose = f"pause of workload {place}"
            yield from _shape(whose, workload.client.pause, _client(scenario, place, "pause"))
    cluster, usual = scenario.cluster, Cluster()
    for name in _TIMES:
        if getattr(cluster, name) != getattr(usual, name):
            yield name, getattr(cluster, name), _cluster(scenario, name)
    for name in _LATENCIES:
        if getattr(cluster, name) != getattr(usual, name):
            yield from _shape(name, getattr(cluster, name), _cluster(scenario, name))


def _shape(
    name: str, shape: Latency, change: Callable[[Any], Scenario]
) -> Iterator[tuple[str, int, _Change]]:
    for each in fields(shape):
        value = getattr(shape, each.name)
        if type(value) is int and not each.name.endswith("percent"):
            yield f"{each.name} of {name}", value, _number(shape, each.name, change)


def _number(shape: Latency, name: str, change: Callable[[Any], Scenario]) -> _Change:
    def changed(number: int) -> Scenario:
        new: dict[str, Any] = {name: number}
        return change(replace(shape, **new))

    return changed


def _fault(scenario: Scenario, place: int, name: str) -> _Change:
    def changed(number: int) -> Scenario:
        new: dict[str, Any] = {name: number}
        faults = list(scenario.faults)
        faults[place] = replace(faults[place], **new)
        return replace(scenario, faults=tuple(faults))

    return changed


def _arrival(scenario: Scenario, place: int) -> _Change:
    return lambda number: _workload(scenario, place, arrival=number)


def _client(scenario: Scenario, place: int, name: str) -> Callable[[Any], Scenario]:
    def changed(value: Any) -> Scenario:
        new: dict[str, Any] = {name: value}
        client = replace(scenario.workloads[place].client, **new)
        return _workload(scenario, place, client=client)

    return changed


def _workload(scenario: Scenario, place: int, **new: Any) -> Scenario:
    workloads = list(scenario.workloads)
    workloads[place] = replace(workloads[place], **new)
    return replace(scenario, workloads=tuple(workloads))


def _cluster(scenario: Scenario, name: str) -> Callable[[Any], Scenario]:
    def changed(value: Any) -> Scenario:
        new: dict[str, Any] = {name: value}
        return replace(scenario, cluster=replace(scenario.cluster, **new))

    return changed
