"""The report of a failure, to the letter, and the words that events have in it.

After a change that is meant, `python tests/test_failure_report.py` writes the file anew.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from properties.judged import judged
from properties.monitors.monitor import KINDS
from properties.mutants import MUTANTS
from scenarios.explain import Explained, explain
from scenarios.failure import Origin
from scenarios.shelf import find_scenario, scenario_names
from scenarios.wording import WIDTH, choice_in_words, fault_in_words, in_words
from sim.choices import Seeded
from sim.parts import SOUND
from sim.scenario import FAULT_KINDS, Fault
from workflow.trace import Event

FILE = Path(__file__).parent / "data" / "reports.txt"

# A mutant, or "" for the reference profile; a scenario; where it was found.
FAILURES = {
    "nothing but the plan": ("W1-token-leak", "one-token", Origin(target="one-token", seed=1)),
    "a fault": (
        "lost-tasks-stay",
        "worker-lost",
        Origin(test="tests/test_mine.py::test_mine", seed=0),
    ),
    "a choice": ("hasty-time-out", "two-queries", Origin(test="tests/test_mine.py::test_drawn")),
    "the reference profile": (
        "",
        "sum-by-level",
        Origin(target="sum-by-level", seed=0, profile="reference"),
    ),
}


def explained(name: str, folder: Path) -> Explained:
    """The first failing run of a mutant, reduced."""
    mutant, target, origin = FAILURES[name]
    parts = MUTANTS[mutant].parts if mutant else SOUND
    scenario = find_scenario(target)
    if not mutant:
        scenario = replace(scenario, cluster=replace(scenario.cluster, profile="reference"))
    for seed in range(200):
        run = judged(scenario, Seeded(seed), parts=parts)
        if run.violations:
            return explain(run, parts=parts, origin=origin, folder=folder)
    raise AssertionError(f"{name}: nothing broke")


def reports(folder: Path) -> str:
    """Each failure's report."""
    text = ""
    for name in FAILURES:
        lines = "\n".join(explained(name, folder).lines())
        text += f"=== {name}\n{lines}\n".replace(str(folder), ".windtunnel/failures")
    return text


def test_a_report_looks_as_it_did(tmp_path: Path) -> None:
    assert reports(tmp_path) == FILE.read_text(encoding="utf-8")


def test_a_report_is_a_screen_of_lines_that_do_not_wrap(tmp_path: Path) -> None:
    for name in FAILURES:
        lines = [*explained(name, tmp_path).lines()]
        assert lines[0].startswith("FAILED  ")
        assert len(lines) <= 40
        commands = ("windtunnel ", "pytest ")
        told = [line for line in lines if not line[10:].startswith(commands)]
        assert max(map(len, told)) <= WIDTH


def test_every_kind_of_event_has_words_of_its_own() -> None:
    seen: dict[str, None] = {}
    for name in scenario_names():
        for seed in range(2):
            for event in judged(find_scenario(name), Seeded(seed)).outcome.trace.events:
                seen[event.kind] = None
                text = in_words(event)
                assert "{" not in text
                assert "=" not in text or "=" in str(event.details), event
                assert not text.startswith(f"{event.kind} "), event
    rare = (
        "close_workflow",
        "process_failed",
        "raised",
        "enter",
        "exit",
        "ack_timeout",
        "revoked",
        "crash",
        "restart",
    )
    assert not [kind for kind in KINDS if kind not in seen and kind not in rare]


def test_an_event_that_lacks_a_detail_is_shown_as_it_is() -> None:
    assert in_words(Event(0, 0, "assign", "m0/t1", {"to": "w1"})) == "assign m0/t1 to=w1"


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_is_told_with_whom_it_strikes_and_when(kind: str) -> None:
    fault = Fault(kind=kind, worker=1, per_million=2_000)  # type: ignore[arg-type]
    told = f"fault {kind} of worker 1 by chance, 2,000 in a million"
    assert fault_in_words(fault) == told
    assert fault_in_words(replace(fault, per_million=None, at=9_000)).endswith(" at 9,000 us")
    assert fault_in_words(replace(fault, per_million=None, nth=2)).endswith(" at occasion 2")


def test_every_site_of_choices_has_words_of_its_own() -> None:
    sites: dict[str, str] = {}
    for name in scenario_names():
        deltas = judged(find_scenario(name), Seeded(1)).outcome.deltas
        sites.update({key.partition(":")[0]: key for key in deltas})
    assert len(sites) >= 8
    for key in sites.values():
        assert "is not the first" not in choice_in_words(key, 1), key


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        FILE.write_text(reports(Path(folder)), encoding="utf-8")
    sys.stdout.write(f"wrote {FILE}\n")
