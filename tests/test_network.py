"""Links: in order on one link, in any order across links, nothing after a cut."""

from collections.abc import Sequence
from functools import partial

import pytest

from sim.choices import Choices, Deltas, Recorded, Seeded, Tame
from sim.clock import Clock
from sim.network import Link

SPREAD = (0, 1, 5, 40, 300)


def run(clock: Clock) -> None:
    while not clock.idle:
        clock.step()


class Line:
    """A link whose arrivals are noted with their ticks."""

    def __init__(self, clock: Clock, name: str = "w0>", table: Sequence[int] = SPREAD) -> None:
        self.clock = clock
        self.link = Link(clock, name, table)
        self.arrived: list[tuple[int, int]] = []  # number, tick

    def send(self, number: int, *, extra: int = 0) -> None:
        self.link.send(f"message {number}", self.note, number, extra=extra)

    def note(self, number: int) -> None:
        self.arrived.append((number, self.clock.tick))

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.arrived]


@pytest.mark.parametrize("slack", [0, 3, 1_000])
@pytest.mark.parametrize("gap", [0, 1, 20])
def test_a_link_keeps_its_order_under_every_tie_and_slack(slack: int, gap: int) -> None:
    for seed in range(40):
        clock = Clock(Seeded(seed), slack=slack)
        line = Line(clock)
        sent: list[int] = []

        def send(number: int, line: Line = line, sent: list[int] = sent) -> None:
            sent.append(number)
            line.send(number, extra=7 if number % 5 == 0 else 0)

        for number in range(12):
            clock.after(gap * number, f"send {number}", partial(send, number))
        run(clock)
        assert len(sent) == 12
        assert line.numbers == sent
        ticks = [tick for _, tick in line.arrived]
        assert ticks == sorted(ticks)


def test_messages_sent_from_within_an_arrival_keep_the_order_too() -> None:
    for seed in range(40):
        clock = Clock(Seeded(seed), slack=9)
        link = Link(clock, "l", (0, 0, 1, 30))
        seen: list[int] = []

        def arrive(number: int, link: Link = link, seen: list[int] = seen) -> None:
            seen.append(number)
            if number < 20:
                link.send(f"m{number + 2}", arrive, number + 2)

        link.send("m0", arrive, 0)
        link.send("m1", arrive, 1)
        run(clock)
        assert seen == list(range(22))


def test_messages_of_two_links_overtake_each_other() -> None:
    orders = set()
    for seed in range(100):
        clock = Clock(Seeded(seed))
        seen: list[str] = []
        for name in ("a", "b"):
            link = Link(clock, name, SPREAD)
            for number in range(2):
                link.send(f"m{number}", seen.append, f"{name}{number}")
        run(clock)
        orders.add(tuple(seen))
    # Every one of the six ways to shuffle a0 a1 into b0 b1, and no other.
    assert len(orders) == 6
    assert all(o.index("a0") < o.index("a1") and o.index("b0") < o.index("b1") for o in orders)


def test_the_latency_of_a_message_does_not_depend_on_other_messages() -> None:
    class Draws(Seeded):
        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.latencies: dict[str, int] = {}

        def ticks(self, site: str, key: str, table: Sequence[int]) -> int:
            answer = self.latencies[key] = super().ticks(site, key, table)
            return answer

    for seed in range(20):
        drawn = []
        for others in (0, 3):
            choices = Draws(seed)
            line = Line(Clock(choices))
            for number in (*range(100, 100 + others), 1, 2, 3):
                line.send(number)
            drawn.append([choices.latencies[f"w0>/message {number}"] for number in (1, 2, 3)])
        assert drawn[0] == drawn[1]


def test_a_cut_loses_what_is_under_way_and_what_comes_later() -> None:
    clock = Clock(Tame())
    line = Line(clock, table=(10,))
    line.send(1)
    clock.after(5, "send", lambda: line.send(2))
    clock.after(12, "cut", line.link.cut)
    clock.after(14, "send", lambda: line.send(3))
    run(clock)
    assert line.arrived == [(1, 10)]
    assert not line.link.alive


def test_a_cut_at_the_very_tick_of_an_arrival_is_a_tie() -> None:
    def arrivals(choices: Choices) -> list[int]:
        clock = Clock(choices)
        line = Line(clock, table=(10,))
        line.send(1)
        clock.after(10, "cut", line.link.cut)
        run(clock)
        return line.numbers

    assert arrivals(Deltas({})) == [1]
    assert arrivals(Deltas({"tie:w0>/message 1": 1})) == []


def test_a_mute_link_loses_only_what_is_sent_meanwhile() -> None:
    clock = Clock(Tame())
    line = Line(clock, table=(10,))
    line.send(1)
    line.link.mute = True  # what is under way still comes
    line.send(2)
    line.send(3)
    line.link.mute = False
    line.send(4)
    run(clock)
    assert line.numbers == [1, 4]
    assert line.link.lost == 2
    assert line.link.alive


def test_a_lost_message_costs_no_choice() -> None:
    recorded = Recorded(Seeded(1))
    clock = Clock(recorded)
    line = Line(clock)
    line.link.mute = True
    line.send(1)
    line.link.mute = False
    line.link.cut()
    line.send(2)
    assert clock.idle
    assert recorded.decisions == 0


def test_a_slow_link_takes_as_many_times_as_long() -> None:
    clock = Clock(Tame())
    line = Line(clock, table=(10,))
    line.send(1)
    line.link.factor = 25
    line.send(2)
    line.send(3, extra=7)
    line.link.factor = 1
    line.send(4)  # fast again, but never before those sent earlier
    run(clock)
    assert line.arrived == [(1, 10), (2, 250), (3, 257), (4, 257)]
