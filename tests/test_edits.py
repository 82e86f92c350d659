"""The edits under which failures are replayed: each applies, and a few failures survive it."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.edits.__main__ import table
from benchmarks.edits.baselines import Stream, Tape, Taped
from benchmarks.edits.copies import EDITS, PATCHES, replayed_under
from benchmarks.edits.inside import CHANGES, SAME
from benchmarks.edits.recorded import FORMS, record, sensitive
from scenarios.shelf import find_scenario
from sim.choices import Seeded
from sim.simulate import simulate

FEW = ("binds-too-early", "W2-token-by-state", "one-too-many")
RACING = "racing-step"


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return [record(name) for name in FEW]


def test_every_patch_is_an_edit_that_is_measured() -> None:
    assert {path.stem for path in PATCHES.glob("*.patch")} == {*EDITS} - {*CHANGES}


@pytest.mark.parametrize("edit", EDITS)
def test_a_few_failures_survive(edit: str, records: list[dict[str, Any]]) -> None:
    for words in replayed_under(edit, records):
        assert words["sound"] == "", words
        for form in ("kept", "found"):
            assert words[form].startswith(SAME), words
            assert edit.startswith((RACING, "unrelated-workload")) or words[form] == SAME


def test_a_tree_that_a_patch_does_not_fit_is_refused(
    records: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.edits.copies.PATCHES", tmp_path)
    text = (PATCHES / "fault-kind.patch").read_text(encoding="utf-8")
    (tmp_path / "fault-kind.patch").write_text(text.replace("cancel_task", "no_such_kind"))
    with pytest.raises(RuntimeError, match=r"fault-kind: .*scenario\.py"):
        replayed_under("fault-kind", records)


def test_a_tape_gives_the_run_that_it_was_recorded_from() -> None:
    scenario = find_scenario("sum-by-level")
    taped = Taped(Seeded(3))
    whole = simulate(scenario, taped)
    assert simulate(scenario, Tape(taped.answers)).digest == whole.digest
    assert simulate(scenario, Tape(taped.answers[1:])).digest != whole.digest


def test_one_stream_gives_the_same_run_for_a_seed_and_another_for_the_next() -> None:
    scenario = find_scenario("sum-by-level")
    digests = [simulate(scenario, Stream(seed)).digest for seed in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]


def test_those_with_most_choices_left_come_first() -> None:
    plain: dict[str, Any] = {"found": {"choices": {}}}
    some = [
        {"name": "sure", "left": 0, "runs": 1, **plain},
        {"name": "rare", "left": 0, "runs": 9, **plain},
        {"name": "tight", "left": 2, "runs": 1, **plain},
    ]
    assert sensitive(some, 2) == ["tight", "rare"]


def test_the_table_counts_what_is_found_again_and_what_only_nearby() -> None:
    lost = dict.fromkeys(FORMS, "FIXED every recorded choice was asked")
    near = dict.fromkeys(FORMS, "SAME found again nearby, in run 1")
    found = {"": {"a": dict.fromkeys(FORMS, SAME), "b": near, "c": lost}}
    assert list(table(found, ["a", "b", "c"]))[2:] == [
        f"| none | {' | '.join(['2 (1)'] * len(FORMS))} |"
    ]
