"""Identifiers replay: the same seed and clock give the same ones, in any process and thread."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from workflow import Identifiers


def made(ids: Identifiers, n: int = 50) -> list[str]:
    return [str(ids.make()) for _ in range(n)]


def test_the_same_seed_gives_the_same_ones() -> None:
    assert made(Identifiers("a")) == made(Identifiers("a"))
    ticks, tocks = count(5), count(5)
    assert made(Identifiers("a", lambda: next(ticks))) == made(
        Identifiers("a", lambda: next(tocks))
    )


@given(st.lists(st.text(max_size=8), min_size=2, max_size=6, unique=True), st.integers(0, 9))
def test_different_seeds_give_different_ones_also_while_the_clock_stands(
    seeds: list[str], now: int
) -> None:
    together = [each for seed in seeds for each in made(Identifiers(seed, lambda: now), 20)]
    assert len(set(together)) == 20 * len(seeds)


@given(st.text(max_size=8), st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_none_is_made_twice_and_none_is_zero_whatever_the_clock_does(
    seed: str, ticks: list[int]
) -> None:
    clock: Iterator[int] = iter(ticks)
    ids = Identifiers(seed, lambda: next(clock))
    seen = [ids.make() for _ in ticks]
    assert len(set(seen)) == len(ticks)
    assert all(int(each) for each in seen)
    assert [each.milliseconds for each in seen] == ticks


def test_they_depend_on_nothing_of_the_process() -> None:
    program = (
        "from workflow import Identifiers\n"
        "ids = Identifiers('seed', lambda: 1_735_689_600_000)\n"
        "print(*[ids.make() for _ in range(50)])\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    here = made(Identifiers("seed", lambda: 1_735_689_600_000))
    assert [text.split() for text in printed] == [here, here]


def test_threads_may_share_one() -> None:
    ids = Identifiers("shared")
    with ThreadPoolExecutor(4) as pool:
        seen = [each for part in pool.map(lambda _: made(ids, 2_000), range(4)) for each in part]
    assert len(set(seen)) == 8_000
