"""Choices: an answer belongs to what it is about, and to nothing else."""

import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from sim.choices import Choices, Deltas, Recorded, Seeded, Tame

SITES = ("latency", "tie", "place", "fault", "work")
KEYS = tuple(f"m0/t{i}" for i in range(40))
ASKED = [(site, key, n) for site in SITES for key in KEYS for n in (2, 8, 32)]

# Run in other processes: prints what a seed answers, asked in the order of a set.
SHOW = """
from sim.choices import Seeded
choices = Seeded(11)
keys = {f"m{i}/t{j}" for i in range(3) for j in range(9)}
answers = {key: choices.index("latency", key, 1000) for key in keys}
print(sorted(answers.items()), [choices.chance("fault", key, 500_000) for key in sorted(keys)])
"""


def answers(choices: Choices, asked: list[tuple[str, str, int]]) -> dict[tuple[str, str, int], int]:
    return {(site, key, n): choices.index(f"{site}{n}", key, n) for site, key, n in asked}


def test_an_answer_does_not_depend_on_what_else_is_asked_or_when() -> None:
    alone = {ask: answers(Seeded(3), [ask])[ask] for ask in ASKED}
    for order in range(5):
        mixed = list(ASKED)
        random.Random(order).shuffle(mixed)
        choices = Seeded(3)
        for number, key in enumerate(KEYS):  # further decisions before and between
            choices.index("more", key, number + 2)
            choices.chance("more", key, 1 + number)
        assert answers(choices, mixed) == alone


def test_the_same_key_asked_again_is_a_decision_of_its_own() -> None:
    choices = Seeded(5)
    again = [choices.index("tie", "m0/t1", 1000) for _ in range(50)]
    assert len(set(again)) > 40
    # And as independent of others as the first one.
    other = Seeded(5)
    seen = []
    for key in range(50):
        other.index("tie", f"m0/t{key + 2}", 1000)
        seen.append(other.index("tie", "m0/t1", 1000))
    assert seen == again


def test_site_and_key_and_seed_each_make_another_decision() -> None:
    def sample(seed: int, site: str, name: str) -> list[int]:
        return [Seeded(seed).index(site, f"{name}{i}", 1000) for i in range(60)]

    base = sample(1, "tie", "m0/t")
    for other in (sample(2, "tie", "m0/t"), sample(1, "slack", "m0/t"), sample(1, "tie", "m1/t")):
        assert sum(a == b for a, b in zip(base, other, strict=True)) < 6


def test_answers_are_spread_evenly() -> None:
    for n in (2, 3, 8, 32):
        choices = Seeded(0)
        draws = 3_200
        counts = Counter(choices.index("latency", f"link/{i}", n) for i in range(draws))
        assert sorted(counts) == list(range(n))
        expected = draws / n
        chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
        # Mean n - 1, standard deviation sqrt(2 (n - 1)): six of them above the mean.
        assert chi_squared < n - 1 + 6 * (2 * (n - 1)) ** 0.5


@pytest.mark.parametrize("per_million", [1_000, 50_000, 500_000, 990_000])
def test_a_chance_comes_true_as_often_as_it_says(per_million: int) -> None:
    choices = Seeded(9)
    asked = 20_000
    hits = sum(choices.chance("fault", f"t{i}", per_million) for i in range(asked))
    p = per_million / 1_000_000
    assert abs(hits - asked * p) <= 5 * (asked * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("choices", [Tame(), Seeded(1), Deltas({}), Recorded(Seeded(2))])
def test_what_never_or_always_happens_is_not_asked(choices: Choices) -> None:
    recorded = Recorded(choices)
    assert not any(recorded.chance("fault", f"t{i}", 0) for i in range(200))
    assert all(recorded.chance("fault", f"t{i}", 1_000_000) for i in range(200))
    assert recorded.index("place", "t", 1) == 0
    assert recorded.pick("place", "t", ["w0"]) == "w0"
    assert recorded.decisions == 0


def test_a_chance_is_the_same_draw_whatever_the_rate() -> None:
    # So a higher rate only adds faults: what fell in the lower one stays.
    few, many = Seeded(4), Seeded(4)
    keys = [f"t{i}" for i in range(3_000)]
    rare = {key for key in keys if few.chance("fault", key, 20_000)}
    common = {key for key in keys if many.chance("fault", key, 80_000)}
    assert rare < common


def test_deltas_give_back_what_was_recorded_and_say_what_was_not_asked() -> None:
    def run(choices: Choices) -> list[object]:
        return [
            *(choices.index(site, key, n) for site, key, n in ASKED),
            *(choices.index("tie", "again", 8) for _ in range(30)),
            *(choices.chance("fault", key, 300_000) for key in KEYS),
            *(choices.ticks("latency", key, (1, 5, 9, 400)) for key in KEYS),
        ]

    recorded = Recorded(Seeded(21))
    seen = run(recorded)
    assert seen == run(Seeded(21))  # recording changes nothing
    replay = Deltas(recorded.deltas)
    assert run(replay) == seen
    assert replay.unused == {}

    more = Deltas({**recorded.deltas, "latency:m9/t9": 3, "tie:again#30": 1})
    assert run(more) == seen
    assert more.unused == {"latency:m9/t9": 3, "tie:again#30": 1}
    assert more.answers["tie:again#30"] == 1


def test_a_delta_that_is_too_large_is_cut_to_the_last_option() -> None:
    choices = Deltas({"place:t": 9})
    assert choices.pick("place", "t", ["w0", "w1", "w2"]) == "w2"


def test_only_answers_that_are_not_the_tamest_are_kept() -> None:
    recorded = Recorded(Seeded(8))
    given = {f"tie:{key}": recorded.index("tie", key, 4) for key in KEYS}
    assert recorded.decisions == len(KEYS)
    assert recorded.deltas == {name: answer for name, answer in given.items() if answer}
    assert 0 in given.values()


def test_tame_is_the_first_option_always() -> None:
    tame = Tame()
    assert [tame.index("tie", "t", n) for n in (1, 2, 32)] == [0, 0, 0]
    assert tame.ticks("latency", "t", (3, 50, 700)) == 3
    assert not tame.chance("fault", "t", 999_999)
    recorded = Recorded(tame)
    recorded.index("tie", "t", 8)
    assert recorded.deltas == {}


def test_another_process_with_another_hash_seed_answers_alike() -> None:
    shown = {
        subprocess.run(
            [sys.executable, "-c", SHOW],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "12345", "random")
    }
    assert len(shown) == 1
    assert "True" in shown.pop()
