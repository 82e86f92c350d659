"""Faults: each meets its own occasions, whichever others there are."""

from collections.abc import Sequence

from sim.choices import Choices, Recorded, Seeded, Tame
from sim.faults import Faults
from sim.scenario import Fault


def hits(faults: Sequence[Fault], choices: Choices, occasions: int = 30) -> list[int]:
    """At which occasions of a refused assignment one of the faults happened."""
    fired: list[str] = []
    table = Faults(faults, choices, lambda _kind, subject: fired.append(subject))
    found = [
        number
        for number in range(occasions)
        if table.met("refused_assignment", f"t{number}", worker=number % 2, task=number)
    ]
    assert fired == [f"t{number}" for number in found]
    return found


def refused(**details: int) -> Fault:
    return Fault(kind="refused_assignment", **details)  # type: ignore[arg-type]


def test_the_nth_occasion_is_that_of_whom_the_fault_is_aimed_at() -> None:
    assert hits([refused(nth=3)], Tame()) == [3]
    assert hits([refused(nth=3, worker=1)], Tame()) == [7]
    assert hits([refused(nth=0, task=5)], Tame()) == [5]
    assert hits([refused(nth=1, task=5)], Tame()) == []


def test_a_fault_counts_the_occasions_that_another_one_took() -> None:
    assert hits([refused(nth=3), refused(nth=5)], Tame()) == [3, 5]
    assert hits([refused(nth=5), refused(nth=3)], Tame()) == [3, 5]
    assert hits([refused(per_million=1_000_000), refused(nth=5)], Tame(), 4) == [0, 1, 2, 3]


def test_a_chance_stays_with_its_fault_and_its_occasion() -> None:
    rare = refused(per_million=200_000)
    other = refused(per_million=200_000, worker=1)
    for seed in range(20):
        alone = hits([rare], Seeded(seed))
        assert hits([refused(nth=2_000), rare], Seeded(seed)) == alone
        assert hits([rare, refused(nth=2_000)], Seeded(seed)) == alone
        both = hits([other, rare], Seeded(seed))
        assert both == sorted({*alone, *hits([other], Seeded(seed))})
        assert set(hits([refused(per_million=400_000)], Seeded(seed))) >= set(alone)


def test_two_equal_faults_have_chances_of_their_own() -> None:
    rare = refused(per_million=200_000)
    total = sum(len(hits([rare, rare], Seeded(seed))) for seed in range(60))
    single = sum(len(hits([rare], Seeded(seed))) for seed in range(60))
    assert 1.4 * single < total < 2.1 * single


def test_a_fault_whose_tick_has_come_waits_for_one_occasion_that_fits() -> None:
    fired: list[str] = []
    table = Faults(
        [refused(at=7, worker=1), refused(at=9)], Tame(), lambda _kind, s: fired.append(s)
    )
    assert [index for index, _ in table.timed()] == [0, 1]

    def meet(worker: int) -> bool:
        return table.met("refused_assignment", f"w{worker}", worker=worker) is not None

    assert not meet(1)
    table.arm(0)
    table.arm(1)
    # The second of the two is still there after the first took an occasion.
    assert [meet(0), meet(0), meet(1), meet(1)] == [True, False, True, False]
    assert fired == ["w0", "w1"]


def test_what_is_not_left_to_chance_costs_no_choice() -> None:
    recorded = Recorded(Seeded(1))
    hits([refused(nth=2), refused(per_million=0), refused(per_million=1_000_000)], recorded)
    assert recorded.decisions == 0


def test_a_label_tells_a_fault_by_what_it_is() -> None:
    faults = [
        refused(nth=1),
        refused(per_million=5),
        refused(per_million=9),
        refused(at=3, worker=2),
    ]
    table = Faults(faults, Tame(), lambda *_: None)
    assert [table.label(index) for index in range(4)] == [
        "refused_assignment/nth",
        "refused_assignment",
        "refused_assignment#2",
        "refused_assignment/w2/at",
    ]
