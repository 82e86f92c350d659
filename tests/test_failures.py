"""Failures that last: from a run to a file or a code, back again, and into a library."""

import json
import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from properties.judged import judged
from properties.monitors import MONITORS, Monitor
from properties.monitors.story import Story
from properties.mutants import MUTANTS
from scenarios.archive import find_failure, keep, kept, load_failure, save
from scenarios.codes import pack, unpack
from scenarios.explain import Explained, explain
from scenarios.failure import (
    Failure,
    Origin,
    failure_from_code,
    failure_from_json,
    failure_of,
    failure_to_code,
    failure_to_json,
)
from scenarios.inputs import InputError
from scenarios.named import find_class, name_of, name_parts, parts_named
from scenarios.replay import replay_code, replay_failure
from scenarios.shelf import find_scenario
from scenarios.testing import Violated, check, check_kept
from sim.choices import Seeded
from sim.parts import SOUND, Parts
from sim.scheduler import Connection, Execution
from sim.worker import Worker
from workflow import Task, Workflow
from workflow.trace import Event

LEAK = MUTANTS["W1-token-leak"].parts


@cache
def found(folder: Path) -> Explained:
    """The token leak in a scenario of the library, reduced and saved."""
    run = judged(find_scenario("one-token"), Seeded(1), parts=LEAK)
    origin = Origin(test="tests/test_mine.py::test_it", seed=1)
    return explain(run, parts=LEAK, origin=origin, folder=folder)


@pytest.fixture(scope="session")
def leak(tmp_path_factory: pytest.TempPathFactory) -> Failure:
    return found(tmp_path_factory.getbasetemp() / "found").failure


# To a file and back.


def test_a_failure_equals_itself_after_its_file(leak: Failure, tmp_path: Path) -> None:
    assert load_failure(save(leak, tmp_path)) == leak


def test_a_saved_failure_says_what_it_is_in_its_first_lines(leak: Failure, tmp_path: Path) -> None:
    head = save(leak, tmp_path).read_text(encoding="utf-8").splitlines()[1:6]
    assert [line.strip().partition(":")[0] for line in head] == [
        '"format"', '"version"', '"name"', '"rule"', '"sentence"'
    ]  # fmt: skip


def test_saving_the_same_failure_again_changes_nothing(leak: Failure, tmp_path: Path) -> None:
    before = save(leak, tmp_path).read_bytes()
    assert save(leak, tmp_path).read_bytes() == before
    assert len([*tmp_path.iterdir()]) == 1


def changed(value: dict[str, Any], path: str, to: Any) -> dict[str, Any]:
    """A copy with another value at a dotted path; `...`: none."""
    copy: dict[str, Any] = json.loads(json.dumps(value))
    *way, last = path.split(".")
    inner = copy
    for key in way:
        inner = inner[key]
    if to is ...:
        del inner[last]
    else:
        inner[last] = to
    return copy


@pytest.mark.parametrize(
    ("path", "to", "said"),
    [
        ("format", "windtunnel.trace", "format: got 'windtunnel.trace', expected"),
        ("version", 2, "version: got 2, expected 1"),
        ("rule", 7, "rule: got 7, expected a text"),
        ("rule", ..., "rule: got nothing, expected a text"),
        ("rule", "Z9", "rule: got 'Z9', which is none of ours or of its monitors"),
        ("marks", "abc", "marks: got 'abc', expected 4 digits an event"),
        ("expect", "luck", "expect: got 'luck', expected 'holds' or 'violated'"),
        ("proof", ["x"], "proof: got ['x'], expected a list of integers"),
        ("choices", {"tie:w0": -1}, "choices: tie:w0: got -1, expected an integer >= 0"),
        ("choices", [], "choices: got [], expected an object of integers"),
        ("cause", "bad luck", "cause: got 'bad luck', expected a list of texts"),
        ("versions", {"python": 3}, "versions: got {'python': 3}, expected an object of texts"),
        ("origin.seed", "7", "origin.seed: got '7', expected an integer or null"),
        ("origin.runs", None, "origin.runs: got nothing, expected an integer"),
        ("scenario.cluster.workers", 0, "scenario: [cluster] workers: got 0"),
        ("parts", {"wrkflow": "a:B"}, "parts: got 'wrkflow', expected workflow, scheduler"),
        ("parts", {"workflow": "nowhere.at.all:B"}, "which cannot be imported (ModuleNotFound"),
        ("parts", {"workflow": "workflow:Nobody"}, "no such class there; expected a subclass of"),
        ("parts", {"workflow": "workflow:Plan"}, "expected a subclass of Workflow"),
        ("parts", {"workflow": "Mine"}, "expected package.module:Class or file.py:Class"),
        ("monitors", ["workflow:Plan"], "expected a subclass of Monitor"),
        ("first", [{"seq": 0}], "first: 'tick': got nothing, expected a field of an event"),
        ("last", [{"seq": "0", "tick": 0, "kind": "a", "subject": "b"}], "last: got {'seq': '0'"),
    ],
)
def test_a_damaged_file_is_refused_by_field(leak: Failure, path: str, to: Any, said: str) -> None:
    value = changed(failure_to_json(leak), path, to)
    with pytest.raises(InputError) as refused:
        failure_from_json(value, where="x.json")
    assert str(refused.value).startswith("x.json: ")
    assert said in str(refused.value)


def test_a_file_cut_anywhere_is_one_clear_error(leak: Failure, tmp_path: Path) -> None:
    path = save(leak, tmp_path)
    text = path.read_text(encoding="utf-8").rstrip()
    for at in range(0, len(text), 997):
        path.write_text(text[:at], encoding="utf-8")
        with pytest.raises(InputError, match="got no JSON"):
            load_failure(path)


# Replay.


def test_a_failure_replays_from_its_file_and_from_its_code(leak: Failure) -> None:
    again = replay_failure(leak)
    assert (again.verdict, again.reason) == ("SAME", "")
    code = failure_to_code(leak, again.run.outcome.digest)
    assert len(code) < 400, "a reduced failure has a short code"
    assert replay_code(code).verdict == "SAME"
    assert replay_code(code).run.outcome.digest == again.run.outcome.digest


def test_with_the_fault_mended_it_is_fixed(leak: Failure) -> None:
    again = replay_failure(leak, parts=SOUND)
    assert again.verdict == "FIXED"
    assert again.seen is not None
    assert not again.run.violations


def test_a_choice_that_is_asked_no_more_is_a_divergence_that_names_it(leak: Failure) -> None:
    other = replace(leak, choices={**leak.choices, "tie:m7/t1 dreams": 1})
    again = replay_failure(other, parts=SOUND)
    assert again.verdict == "DIVERGED"
    assert "recorded choices were not asked, 'tie:m7/t1 dreams' first" in again.reason
    assert replay_failure(other).verdict == "SAME", "the rule is broken all the same"


def test_other_events_around_the_same_violation_are_said(leak: Failure) -> None:
    marks = list(leak.marks)
    marks[3] = "0000"
    again = replay_failure(replace(leak, marks=tuple(marks)))
    assert again.verdict == "SAME"
    assert again.reason == "the rule is broken again, by other events from #3 on"
    assert again.recorded is not None
    assert again.recorded.seq == 3
    far = [*leak.marks, *["0000"] * 100]
    far_off = replay_failure(replace(leak, marks=tuple(far), first=(), last=()))
    assert far_off.unkept == len(leak.marks)


def test_another_rule_instead_is_a_divergence(leak: Failure) -> None:
    violation = replace(leak.violation, rule="D7")
    again = replay_failure(replace(leak, violation=violation))
    assert again.verdict == "DIVERGED"
    assert again.reason.startswith(f"another rule is broken instead: {leak.rule}")


# Names of classes.


class Mine(Workflow):
    """A class of a test."""


class Odd(Worker):
    """Has no room for any task, and does not know how to say so."""

    def on_assign(self, _connection: Connection, _execution: Execution) -> None:
        raise LookupError("no room")


class Watch(Monitor):
    """A rule of a test's own."""

    rule, sentence = "X1", "no task is ever queued"

    def on_queue(self, event: Event) -> None:
        self.violated(f"{event.subject} waits", event)


def test_a_class_of_a_test_is_named_by_its_file_and_found_again() -> None:
    assert name_of(Mine) == "tests/test_failures.py:Mine"
    assert find_class(name_of(Mine), "x", of=Workflow) is Mine
    parts = Parts(workflow=Mine)
    assert parts_named(name_parts(parts), "x") == parts
    assert name_parts(SOUND) == {}


def test_a_file_that_is_not_loaded_is_loaded_for_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "driver.py").write_text(
        "from beside import Base\nclass Ours(Base): pass\n", encoding="utf-8"
    )
    (tmp_path / "beside.py").write_text("from workflow import Workflow as Base\n", encoding="utf-8")
    found = find_class("driver.py:Ours", "x", of=Workflow)
    assert issubclass(found, Workflow)
    assert find_class("driver.py:Ours", "x", of=Workflow) is found


def test_a_class_of_a_package_may_import_from_beside_it_and_replaces_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "ours_alone"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "base.py").write_text("from workflow import Workflow as Base\n", encoding="utf-8")
    engine = "from .base import Base\nclass Ours(Base): pass\n"
    (package / "engine.py").write_text(engine, encoding="utf-8")
    assert issubclass(find_class("ours_alone/engine.py:Ours", "x", of=Workflow), Workflow)

    before = sys.modules["workflow"]
    (tmp_path / "mine").mkdir()
    alone = "from workflow import Workflow\nclass Mine(Workflow): pass\n"
    (tmp_path / "mine" / "workflow.py").write_text(alone, encoding="utf-8")
    assert issubclass(find_class("mine/workflow.py:Mine", "x", of=Workflow), Workflow)
    assert sys.modules["workflow"] is before


@pytest.mark.parametrize("line", ["raise SystemExit(0)", "import pytest; pytest.skip('no')", "1/0"])
def test_a_module_that_does_not_want_to_be_imported_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unwilling.py").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match="which cannot be imported"):
        find_class("unwilling.py:Ours", "x", of=Workflow)


def test_a_class_made_in_a_function_is_refused_with_the_reason() -> None:
    class Local(Workflow):
        pass

    with pytest.raises(InputError, match="a class made inside of a function"):
        find_class(name_of(Local), "x", of=Workflow)


def test_a_rule_of_ones_own_is_saved_and_replayed(tmp_path: Path) -> None:
    with pytest.raises(Violated, match="X1 no task is ever queued"):
        check(find_scenario("demo"), 0, monitors=(Watch,), folder=tmp_path)
    [path] = tmp_path.iterdir()
    failure = load_failure(path)
    assert failure.monitors == (Watch,)
    assert replay_failure(failure).verdict == "SAME"
    code = failure_to_code(failure, replay_failure(failure).run.outcome.digest)
    assert failure_from_code(unpack(code)[0], where="x").monitors == (Watch,)


# Saved without being asked for.


def test_check_gives_the_run_if_nothing_is_wrong(tmp_path: Path) -> None:
    assert check(find_scenario("demo"), 7, folder=tmp_path).outcome.ends[0].end == "eof"
    assert not [*tmp_path.iterdir()]


def test_check_saves_a_failure_and_says_how_to_replay_it(tmp_path: Path) -> None:
    with pytest.raises(Violated) as violated:
        check(find_scenario("one-token"), 1, parts=LEAK, folder=tmp_path)
    [path] = tmp_path.iterdir()
    text = str(violated.value)
    assert f"\n  replay  windtunnel replay {path}\n" in text
    assert f"\n  keep    windtunnel keep {path}" in text
    assert "::test_check_saves_a_failure_and_says_how_to_replay_it\n" in text
    assert load_failure(path).origin.test.startswith("tests/test_failures.py::test_check_saves")


def test_a_folder_that_cannot_be_written_hides_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(Violated) as violated:
        check(find_scenario("one-token"), 1, parts=LEAK, folder=tmp_path / "file" / "below")
    assert "\n  replay  windtunnel replay z" in str(violated.value)
    assert "\n  unsaved " in str(violated.value)


def test_the_environment_can_name_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_ARTIFACTS", str(tmp_path / "elsewhere"))
    with pytest.raises(Violated):
        check(find_scenario("one-token"), 1, parts=LEAK)
    assert len([*(tmp_path / "elsewhere").iterdir()]) == 1


def test_what_is_raised_in_a_run_is_reduced_and_saved_too(tmp_path: Path) -> None:
    with pytest.raises(Violated, match=r"FAILED  raised LookupError nothing that a run is made of"):
        check(find_scenario("demo"), 0, parts=Parts(worker=Odd), folder=tmp_path)
    [path] = tmp_path.iterdir()
    assert path.name.startswith("raised-LookupError-")
    assert replay_failure(load_failure(path)).verdict == "SAME"


class Once(Workflow):
    """Loses a token, but only in the first run of a process."""

    runs = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Once.runs += 1
        self.first = Once.runs == 1

    def _release(self, task: Task) -> None:
        if not self.first:
            super()._release(task)


class Broken(Monitor):
    """A rule that cannot look."""

    rule, sentence = "X2", "nothing is accepted"

    def on_accept(self, event: Event) -> None:
        raise KeyError(event.subject)


def test_a_part_that_keeps_state_is_told_to_and_not_saved(tmp_path: Path) -> None:
    with pytest.raises(Violated, match="the same run went otherwise when it was made again"):
        check(find_scenario("demo"), 0, parts=Parts(workflow=Once), folder=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_rule_that_raises_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(Violated, match=r"raised KeyError (?s:.*)\(test_failures\.py, on_accept\)"):
        check(find_scenario("demo"), 0, monitors=(Broken,), folder=tmp_path)


def test_a_part_made_in_a_function_is_told_and_no_command_is_promised(tmp_path: Path) -> None:
    class Local(LEAK.workflow):  # type: ignore[name-defined, misc]
        pass

    with pytest.raises(Violated) as violated:
        check(find_scenario("one-token"), 1, parts=Parts(workflow=Local), folder=tmp_path)
    text = str(violated.value)
    assert "only its own test can run it again" in text
    assert "windtunnel replay" not in text
    assert "windtunnel keep" not in text
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scenario": "demo"}, "check(scenario): got 'demo', expected a Scenario"),
        ({"choices": "x"}, "check(choices): got 'x', expected a seed or Choices"),
        ({"choices": -1}, "check(choices): got -1, expected a seed >= 0"),
        ({"parts": Workflow}, "check(parts): got <class 'workflow"),
        ({"parts": Parts(workflow=str)}, "check(parts): workflow: got <class 'str'>, expected"),  # type: ignore[arg-type]
        ({"monitors": [Watch(Story())]}, "expected subclasses of Monitor"),
        ({"monitors": [Monitor]}, "check(monitors): Monitor has no rule, a text"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        check(**{"scenario": find_scenario("demo"), **arguments})


def test_our_own_rules_named_again_are_not_judged_twice(tmp_path: Path) -> None:
    with pytest.raises(Violated):
        check(find_scenario("demo"), 0, monitors=[*MONITORS, Watch], folder=tmp_path)
    [path] = tmp_path.iterdir()
    assert load_failure(path).monitors == (Watch,)


# Kept.


def test_keep_moves_a_failure_and_writes_a_test_once(leak: Failure, tmp_path: Path) -> None:
    path = save(leak, tmp_path / "failures")
    into, tests = tmp_path / "library", tmp_path / "tests"
    new, test = keep(path, name="lost-token", into=into, tests=tests)
    assert not path.exists()
    assert new == into / "lost-token.json"
    assert test is not None
    assert test.name.endswith("_library.py")
    compile(test.read_text(encoding="utf-8"), str(test), "exec")
    other = save(leak, tmp_path / "failures")
    assert keep(other, into=into, tests=tests)[1] is None
    assert [load_failure(each).rule for each in kept(into)] == [leak.rule] * 2


def test_libraries_of_one_name_have_tests_of_their_own(leak: Failure, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    written = [
        keep(save(leak, tmp_path), into=tmp_path / name / "library", tests=tests)[1]
        for name in ("a", 'b"')
    ]
    assert written[0] != written[1]
    for test in written:
        assert test is not None
        compile(test.read_text(encoding="utf-8"), str(test), "exec")


def test_an_empty_library_is_an_error_and_no_test_that_passes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got no kept failure there"):
        kept(tmp_path)


def test_a_name_that_leads_elsewhere_is_refused(leak: Failure, tmp_path: Path) -> None:
    for name in ("a/b", "../escaped", ".hidden", "x y"):
        with pytest.raises(InputError, match="got it as a name"):
            keep(save(leak, tmp_path), name=name, into=tmp_path / "library", tests=tmp_path)


def test_keep_overwrites_nothing_and_loses_nothing(leak: Failure, tmp_path: Path) -> None:
    into = tmp_path / "library"
    keep(save(leak, tmp_path), name="it", into=into, tests=tmp_path)
    path = save(leak, tmp_path)
    with pytest.raises(InputError, match=r"it\.json: is there already"):
        keep(path, name="it", into=into, tests=tmp_path)
    assert path.exists()


def test_a_kept_failure_that_must_hold_fails_until_it_is_mended(leak: Failure) -> None:
    with pytest.raises(Violated, match="SAME"):
        check_kept(leak)
    check_kept(replace(leak, parts=SOUND))


def test_a_kept_failure_that_must_be_violated_fails_once_it_holds(leak: Failure) -> None:
    check_kept(replace(leak, expect="violated"))
    with pytest.raises(Violated, match="FIXED"):
        check_kept(replace(leak, expect="violated", parts=SOUND))


def test_a_failure_is_found_by_its_name_or_its_path(leak: Failure, tmp_path: Path) -> None:
    path = save(leak, tmp_path)
    assert find_failure(leak.name, (tmp_path,)) == path
    assert find_failure(str(path), ()) == path
    assert find_failure("nobody", (tmp_path,)) is None
    assert find_failure("x" * 5_000, (tmp_path,)) is None
    other = tmp_path / "plan.json"
    other.write_text('{"nodes": []}', encoding="utf-8")
    assert find_failure(str(other), ()) is None


# Codes.


def test_a_code_gives_back_what_it_was_made_of_whatever_that_is() -> None:
    what: dict[str, Any] = {
        "rule": "T1",
        "text": "\ud800 \N{SNOWMAN}",
        "list": [1, None, {"a": []}],
    }
    assert unpack(pack(what, digest="0" * 32)) == (what, "0" * 12)


def test_what_is_too_long_for_a_line_has_no_code() -> None:
    assert not pack({"x": [number * 7919 % 10007 for number in range(5_000)]}, digest="0" * 32)


def test_the_dictionary_of_codes_stays_as_it_is() -> None:
    assert unpack("zQ6k_wIObBkiDm8ajhT75hf5oSTs4Slq8xevQbv7VAgA@000000000000")[0]["rule"] == "A2"


def test_a_run_that_does_not_break_the_rule_is_no_failure_of_it() -> None:
    run = judged(find_scenario("demo"), Seeded(0))
    with pytest.raises(ValueError, match="which this run does not violate"):
        failure_of(run, "A2")
