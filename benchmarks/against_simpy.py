"""The simulator beside bare SimPy that passes as many messages among as many processes.

What is measured is what Windtunnel adds to its substrate: choices, tasks and their states, the
trace, the workflow itself.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import cycle
from unittest.mock import patch

import simpy

from benchmarks.measure import Figure, Sizes, interleaved
from benchmarks.shapes import scenario
from sim.choices import Seeded
from sim.clock import Clock, Process
from sim.latency import Exponential
from sim.network import Link
from sim.scenario import Scenario
from sim.simulate import simulate

__all__ = ["against_simpy"]


@dataclass(slots=True)
class _Counts:
    messages: int = 0
    processes: int = 0


def _counted(run: Scenario) -> tuple[_Counts, int]:
    """How many messages and processes a run has, and how many events."""
    counts = _Counts()
    arrive, spawn = Link._arrive, Clock.spawn

    def counting_arrive(link: Link) -> None:
        counts.messages += 1
        arrive(link)

    def counting_spawn(clock: Clock, name: str, generator: Process) -> None:
        counts.processes += 1
        spawn(clock, name, generator)

    with (
        patch.object(Link, "_arrive", counting_arrive),
        patch.object(Clock, "spawn", counting_spawn),
    ):
        steps = simulate(run, Seeded(7)).steps
    return counts, steps


def _bare(messages: int, processes: int) -> simpy.Environment:
    """Pairs of processes; each message takes its time, is put into a store and got from it."""
    world = simpy.Environment()
    delays = cycle(Exponential(mean=400).table())
    pairs = max(processes // 2, 1)
    for pair in range(pairs):
        count = messages // pairs + (pair < messages % pairs)
        store = simpy.Store(world)
        world.process(_sender(world, store, count, delays))
        world.process(_receiver(store, count))
    return world


def _sender(
    world: simpy.Environment, store: simpy.Store, count: int, delays: Iterator[int]
) -> Generator[simpy.Event, object, None]:
    for number in range(count):
        yield world.timeout(next(delays))
        yield store.put(number)


def _receiver(store: simpy.Store, count: int) -> Generator[simpy.Event, object, None]:
    for _ in range(count):
        yield store.get()


def _bare_events(messages: int, processes: int) -> int:
    world, events = _bare(messages, processes), 0
    while world.peek() != float("inf"):
        world.step()
        events += 1
    return events


def against_simpy(sizes: Sizes) -> Iterator[Figure]:
    """Events and messages a second of both, and how many times as long a message takes."""
    for shape in ("topk", "merge"):
        run = scenario(shape, sizes.tasks[:2][-1], sizes.records)
        counts, steps = _counted(run)
        messages, processes = counts.messages, counts.processes
        bare_events = _bare_events(messages, processes)
        times = interleaved(
            {
                "windtunnel": lambda run=run: simulate(run, Seeded(7)),  # type: ignore[misc]
                "simpy": lambda m=messages, p=processes: _bare(m, p).run(),  # type: ignore[misc]
            },
            sizes.repeats,
        )
        case = f"{shape}, {messages:,} messages"
        for who, events in (("windtunnel", steps), ("simpy", bare_events)):
            yield Figure("simpy", case, f"{who}: events", events / times[who], "/s")
            yield Figure("simpy", case, f"{who}: messages", messages / times[who], "/s")
        ratio = times["windtunnel"] / times["simpy"]
        yield Figure("simpy", case, "time a message, windtunnel : simpy", ratio, "x")
