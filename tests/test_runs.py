"""From a name to a run, from a run to a file or a code, and back; and everything that can break."""

import itertools
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from properties.judged import Judged, judged
from properties.mutants import MUTANTS
from scenarios import cli, runs
from scenarios.inputs import InputError
from scenarios.replay import replay_code, replay_trace
from scenarios.report.summary import describe_replay, describe_run, run_as_json
from scenarios.runs import Run, load_target, run, saved_trace
from scenarios.shelf import find_scenario, scenario_names
from sim.choices import Choices, Seeded, Tame
from sim.scenario import Scenario, Workload
from sim.scenario_file import scenario_to_toml
from workflow import Plan
from workflow.plan import Merge, ScanSet
from workflow.trace import read_trace
from workflow.version import VERSION

DATA = Path(__file__).parent / "data"
TREE = "Limit offset=0 limit=3\n"
SCENARIO = """
format = 1
name = "mine"
[[workload]]
plan = "count-over-time"
[[fault]]
kind = "cancel_task"
at = 4_000
"""


def program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[Any, str, str]:
    """The whole program in this process: its exit code, output, and errors."""
    monkeypatch.setattr(sys, "argv", ["windtunnel", *words])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr()
    return stopped.value.code, said.out, said.err


def process(*words: str, hash_seed: str = "0", **more: Any) -> subprocess.CompletedProcess[bytes]:
    """The whole program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "scenarios", *words],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONUTF8": "1"},
        check=False,
        **{"capture_output": True, **more},
    )


def worker_lost() -> Run:
    """A run with trouble, and so with choices."""
    return run(find_scenario("worker-lost"), Seeded(3), target="worker-lost", seed=3)


# Targets.


def test_a_library_scenario_is_found_by_its_name() -> None:
    scenario, name = load_target("slow-reader")
    assert (scenario.name, name) == ("slow-reader", "slow-reader")


def test_a_scenario_file_may_use_a_plan_of_the_library_and_gets_its_query(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    scenario, name = load_target(str(file))
    assert (scenario.name, name) == ("mine", "")
    assert scenario.workloads[0].query == 'count_over_time({app="shop"}[5m])'


def test_a_scenario_file_may_use_a_plan_beside_it(tmp_path: Path) -> None:
    (tmp_path / "limit.txt").write_text(TREE, encoding="utf-8")
    file = tmp_path / "mine.toml"
    file.write_text('format = 1\n[[workload]]\nplan_file = "limit.txt"\n', encoding="utf-8")
    assert [node.kind for node in load_target(str(file))[0].workloads[0].plan] == ["Limit"]


def test_a_plan_is_a_scenario_of_its_own(tmp_path: Path) -> None:
    tree, tagged = tmp_path / "tree.txt", tmp_path / "tagged.json"
    tree.write_text(TREE, encoding="utf-8")
    case = json.loads((DATA / "logql.jsonl").read_text(encoding="utf-8").partition("\n")[0])
    tagged.write_text(json.dumps(case), encoding="utf-8")
    for target, name, query in (
        (str(tree), "tree", ""),
        (str(tagged), case["name"], case["query"]),
        ("log-lines", "log-lines", '{app="shop"} | drop level'),
    ):
        scenario, library_name = load_target(target)
        [workload] = scenario.workloads
        assert (scenario.name, library_name) == (name, "")
        assert (workload.plan_name, workload.query) == (name, query)


def test_a_file_goes_before_a_library_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text(TREE, encoding="utf-8")
    assert load_target("demo")[1] == ""
    Path("demo").unlink()
    Path("demo").mkdir()
    assert load_target("demo")[1] == "demo"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("slow-raeder", "got no file, and no scenario or plan of the library; did you mean 'slow"),
        ("regexp-serch", "did you mean 'regexp-search'?"),
        ("x" * 300, "; see windtunnel list"),
        (".", "got no file"),
        ("nowhere.toml", "got no file"),
    ],
)
def test_an_unknown_target_is_answered_with_the_nearest(target: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        load_target(target)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 220


def test_every_mistake_of_a_scenario_file_is_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(
        'format = 1\nnam = "x"\n[cluster]\nslots = 0\n[[workload]]\nplan = "log-line"\n',
        encoding="utf-8",
    )
    code, out, err = program(capsys, monkeypatch, "run", str(file))
    lines = err.splitlines()
    assert (code, out, len(lines)) == (2, "", 3)
    for line, number, message in zip(
        lines,
        (2, 4, 6),
        ("did you mean 'name'?", "slots: got 0, expected", "did you mean 'log-lines'?"),
        strict=True,
    ):
        assert line.startswith(f"windtunnel: {file}:{number}: ")
        assert message in line


def test_a_plan_that_cannot_run_is_bad_input(tmp_path: Path) -> None:
    # Its scan has two ways into one task, and one of them may wait for the other.
    kinds = ["Join", "Filter", "Filter", "Parallelize", "ScanSet"]
    nodes = [{"id": index, "type": kind, "props": {}} for index, kind in enumerate(kinds)]
    nodes[4]["props"] = {"targets": [{"type": "DataObjScan", "props": {"location": "a"}}]}
    plan = {"nodes": nodes, "edges": [[0, 1], [0, 2], [1, 3], [2, 3], [3, 4]]}
    file = tmp_path / "diamond.json"
    file.write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_target(str(file))
    assert str(refused.value).startswith(f"{file}: got a plan that cannot run: diamond: ")


# Replay.


@pytest.mark.parametrize(
    "name", ["demo", "slow-reader", "rate-by-level-and-env", "worker-lost", "one-token"]
)
def test_a_run_is_the_same_in_another_process_with_other_hashes_and_replays(
    tmp_path: Path, name: str
) -> None:
    files = [tmp_path / "0.jsonl", tmp_path / "12345.jsonl"]
    outs = [
        process("run", name, "--seed", "7", "--json", "--trace", str(file), hash_seed=file.stem)
        for file in files
    ]
    assert [out.returncode for out in outs] == [0, 0]
    assert outs[0].stdout == outs[1].stdout
    assert files[0].read_bytes() == files[1].read_bytes()
    with files[0].open(encoding="utf-8") as lines:
        assert replay_trace(lines, name="0.jsonl").verdict == "SAME"
    shown = json.loads(outs[0].stdout)
    assert replay_code(shown["replay"]).verdict == "SAME"


def test_replay_in_another_process_says_same(tmp_path: Path) -> None:
    file = tmp_path / "a trace.jsonl"
    said = process("run", "worker-lost", "--seed", "3", "--trace", str(file), hash_seed="1").stdout
    assert f"replay     windtunnel replay '{file}'\n".encode() in said
    again = process("replay", str(file), hash_seed="2")
    assert again.returncode == 0
    assert again.stdout.startswith(b"SAME       all ")


def test_a_saved_trace_is_read_as_it_was_written() -> None:
    saved = saved_trace(worker_lost())
    assert read_trace(saved.lines(), name="x") == saved
    assert saved.ran["target"] == "worker-lost"
    assert saved.ran["seed"] == 3
    assert saved.ran["violations"] == []


def test_every_library_scenario_replays_from_its_code() -> None:
    for name in scenario_names():
        finished = run(find_scenario(name), Seeded(1), target=name, seed=1)
        assert finished.code == f"{name}@1@sound@{finished.outcome.digest[:12]}"
        assert replay_code(finished.code).verdict == "SAME", name


def test_a_run_of_a_file_replays_from_a_code_that_carries_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    scenario, name = load_target(str(file))
    finished = run(scenario, Seeded(4), target=name, seed=4)
    assert finished.code.startswith("z")
    file.unlink()
    assert replay_code(finished.code).verdict == "SAME"
    other = finished.code[:-12] + "0123456789ab"
    assert replay_code(other).verdict == "DIVERGED"


def test_a_run_too_large_for_a_code_says_how_to_keep_it() -> None:
    scenario = replace(find_scenario("demo"), sentence="".join(map(chr, range(256, 4000))))
    finished = run(scenario, Seeded(1), seed=1)
    assert finished.code == ""
    assert run_as_json(finished)["replay"] is None
    assert list(describe_run(finished))[-1] == (
        "replay     save it with --trace FILE, then: windtunnel replay FILE"
    )


def test_a_code_with_another_digest_diverges(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = program(capsys, monkeypatch, "replay", "worker-lost@3@sound@000000000000")
    assert code == 3
    assert out.splitlines()[0] == "DIVERGED   this is not the run that was recorded"
    assert ", not 000000000000" in out


def test_an_edited_event_diverges_and_is_shown() -> None:
    saved = saved_trace(worker_lost())
    at = next(i for i, event in enumerate(saved.events) if event.kind == "accept")
    saved.events[at] = replace(saved.events[at], tick=1)
    replay = replay_trace(saved.lines(), name="x")
    assert replay.verdict == "DIVERGED"
    assert replay.recorded == saved.events[at]
    assert replay.seen is not None
    assert replay.seen.seq == at
    lines = list(describe_replay(replay))
    assert "the file was edited or cut off" in lines[2]
    assert lines[3].startswith(f"recorded   event {at} at 1 us: accept m0/t")
    assert lines[4].startswith(f"now        event {at} at ")


@pytest.mark.parametrize("keep", [0, 10, 50])
def test_a_trace_cut_off_between_two_lines_diverges_where_it_ends(keep: int) -> None:
    lines = list(saved_trace(worker_lost()).lines())[: keep + 1]
    replay = replay_trace(iter(lines), name="x")
    assert (replay.verdict, replay.recorded) == ("DIVERGED", None)
    assert replay.seen is not None
    assert replay.seen.seq == keep
    assert "cut off" in replay.reason


def test_a_world_that_changed_diverges_at_its_first_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished = worker_lost()

    def changed(scenario: Scenario, choices: Choices, **more: Any) -> Judged:
        cluster = replace(scenario.cluster, slots=1)
        return judged(replace(scenario, cluster=cluster), choices, **more)

    monkeypatch.setattr(runs, "judged", changed)
    replay = replay_trace(saved_trace(finished).lines(), name="x")
    assert replay.verdict == "DIVERGED"
    before = finished.outcome.trace.events
    after = replay.run.outcome.trace.events
    first = next(i for i, (a, b) in enumerate(itertools.zip_longest(before, after)) if a != b)
    assert (replay.recorded, replay.seen) == (before[first], after[first])
    assert "recorded choices were not asked" in replay.reason
    assert "first" in replay.reason


def test_an_engine_that_changed_but_not_its_choices_is_named_as_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = saved_trace(worker_lost())
    monkeypatch.setattr("sim.scheduler.Scheduler.on_hello", lambda *_words: None)
    replay = replay_trace(saved.lines(), name="x")
    assert replay.verdict == "DIVERGED"
    assert replay.reason == "the code, or something that it depends on, is not what it was"
    saved.versions = {"windtunnel": "0.0.1"}
    replay = replay_trace(saved.lines(), name="x")
    assert replay.reason == f"recorded with windtunnel 0.0.1, this is windtunnel {VERSION}"


def violating() -> Run:
    """A run of a faulty engine, which breaks a rule."""
    faulty = MUTANTS["W7-silent-failure"].parts
    scenario = find_scenario("error-rate")
    for seed in range(200):
        finished = run(scenario, Seeded(seed), seed=seed, parts=faulty)
        if finished.violations:
            return finished
    raise AssertionError("the mutant broke nothing")


def test_a_violation_that_is_gone_is_fixed_and_one_that_stays_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = violating()
    saved = saved_trace(finished)
    file = tmp_path / "found.jsonl"
    file.write_text("\n".join(saved.lines()) + "\n", encoding="utf-8")
    code, out, _ = program(capsys, monkeypatch, "replay", str(file))
    assert code == 1
    assert out.startswith("SAME       all ")
    assert f"VIOLATED   {finished.violations[0]}"[:300] in out

    saved.ran = {name: value for name, value in saved.ran.items() if name != "parts"}
    file.write_text("\n".join(saved.lines()) + "\n", encoding="utf-8")
    code, out, _ = program(capsys, monkeypatch, "replay", str(file))
    assert code == 0
    assert out.startswith("FIXED      what was violated holds now\n")
    assert "\nrecorded   event " in out


def test_a_rule_that_changed_is_said_to_have() -> None:
    saved = saved_trace(worker_lost())
    saved.ran = {**saved.ran, "violations": ["X0 once there was a rule: and it was broken"]}
    replay = replay_trace(saved.lines(), name="x")
    assert replay.verdict == "FIXED"
    assert replay.reason == "the events are as recorded: it is the rules that changed"


# Damaged files and codes.

GOOD = [*saved_trace(worker_lost()).lines()]


def header(**changes: Any) -> bytes:
    """The file with another header."""
    value = json.loads(GOOD[0])
    value["ran"].update(changes.pop("ran", {}))
    return "\n".join([json.dumps({**value, **changes}), *GOOD[1:]]).encode()


def scenario_with(**changes: Any) -> bytes:
    """The file with another scenario."""
    return header(ran={"scenario": {**json.loads(GOOD[0])["ran"]["scenario"], **changes}})


DAMAGED = {
    "empty": (b"", ": got an empty file, expected a trace"),
    "binary": (bytes(range(128, 256)) * 9, ":1: got bytes that are no UTF-8"),
    "binary later": ("\n".join(GOOD).encode() + b"\n\xff\n", f":{len(GOOD) + 1}: got bytes that"),
    "cut in the header": (GOOD[0].encode()[:500], ":1: got a line that is no JSON"),
    "cut in an event": ("\n".join(GOOD).encode()[:-5], f":{len(GOOD)}: got a line that is no JSON"),
    "no trace": (b'{"nodes": []}', ":1: format: got None, expected 'windtunnel.trace'"),
    "a list": (b"[]", ":1: got '[]', expected an object"),
    "huge line": (b"x" * 5_000_000, ":1: got a line that is no JSON"),
    "deep": (b"[" * 100_000, ":1: got a line that is no JSON"),
    "other version": (header(version=2), ":1: version: got 2, expected 1"),
    "no versions": (header(versions=3), ":1: versions: got 3, expected an object"),
    "no scenario": (
        header(ran={"scenario": None}),
        ":1: ran.scenario: got null, expected an object",
    ),
    "unknown field": (
        scenario_with(wrkers=3),
        ":1: ran.scenario: wrkers: got an unknown key, expected one of ",
    ),
    "unknown fault": (
        scenario_with(fault=[{"kind": "worker_crsh", "at": 3}]),
        "did you mean 'worker_crash'?",
    ),
    "newer scenario": (scenario_with(format=2), "this one is of a newer version"),
    "no choices": (header(ran={"choices": None}), ":1: ran.choices: got nothing, expected an"),
    "choices of texts": (header(ran={"choices": {"a": "b"}}), ":1: ran.choices: a: got 'b', expec"),
    "choices below 0": (header(ran={"choices": {"a": -1}}), ":1: ran.choices: a: got -1, expected"),
    "choices of truth": (header(ran={"choices": {"a": True}}), ":1: ran.choices: a: got True, ex"),
    "no tick": (
        "\n".join([GOOD[0], GOOD[1].replace('"tick"', '"tock"')]).encode(),
        ":2: tick: got None, expected an integer",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_trace_is_one_line_that_names_file_and_field(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    content, message = DAMAGED[name]
    file = tmp_path / "t.jsonl"
    file.write_bytes(content)
    code, out, err = program(capsys, monkeypatch, "replay", str(file))
    assert (code, out) == (2, "")
    assert err.startswith(f"windtunnel: {file}")
    assert message in err
    assert err.count("\n") == 1
    assert len(err) < 700


def test_a_trace_without_a_scenario_says_what_replays() -> None:
    value = json.loads(GOOD[0])
    del value["ran"]["scenario"]
    with pytest.raises(InputError) as refused:
        replay_trace(iter([json.dumps(value)]), name="x")
    assert str(refused.value) == (
        "x:1: ran.scenario: got nothing, expected what windtunnel run --trace saves"
    )


@pytest.mark.parametrize(
    "code",
    [
        "demo",
        "demo@7",
        "demo@7@sound",
        "demo@7@sound@",
        "demo@7@sound@xyz",
        "demo@-7@sound@0123456789ab",
        "demo@\u00b2@sound@0123456789ab",
        "demo@99999999999999999999@sound@0123456789ab",
        "demo@9999999999999999999@sound@0123456789ab",
        "demo@7@solid@0123456789ab",
        "dmo@7@sound@0123456789ab",
        "z@0123456789ab",
        "zAAAA@0123456789ab",
        "z" + "x" * 900 + "@0123456789ab",
        "nowhere.jsonl",
        "",
    ],
)
def test_a_damaged_code_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    status, out, err = program(capsys, monkeypatch, "replay", code)
    assert (status, out) == (2, "")
    assert err.startswith("windtunnel: ")
    assert err.count("\n") == 1
    assert len(err) < 250


def test_no_cut_and_no_changed_letter_of_a_code_breaks_anything(tmp_path: Path) -> None:
    file = tmp_path / "tiny.txt"
    file.write_text(TREE, encoding="utf-8")
    scenario, _ = load_target(str(file))
    code = run(scenario, Tame()).code
    assert replay_code(code).verdict == "SAME"
    for at in range(0, len(code), 3):
        for damaged in (code[:at], code[:at] + "Q" + code[at + 1 :], code[:at] + code[at + 1 :]):
            with suppress(InputError):
                replay_code(damaged)


# Exit codes.


def test_a_fine_run_exits_with_0_and_a_violated_one_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program(capsys, monkeypatch, "run", "count-over-time")[0] == 0

    monkeypatch.chdir(tmp_path)
    finished = violating()
    words = ("run", "error-rate", "--seed", str(finished.seed), "--mutant", "W7-silent-failure")
    code, out, _ = program(capsys, monkeypatch, *words)
    assert code == 1
    assert f"VIOLATED   {finished.violations[0]}"[:300] in out
    assert "all hold" not in out
    code, out, _ = program(capsys, monkeypatch, *words, "--json")
    assert code == 1
    assert json.loads(out)["violations"][0]["rule"] == finished.violations[0].rule


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "demo", "--seed", "-1"),
        ("run", "demo", "--seed", "x"),
        ("run", "demo", "--profile", "solid"),
        ("run", "demo", "--trase", "x"),
        ("rnu", "demo"),
        ("search", "--seeds", "0"),
        ("search", "--mutant", "W99"),
        (),
    ],
)
def test_wrong_usage_exits_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    code, out, err = program(capsys, monkeypatch, *words)
    assert (code, out) == (2, "")
    assert "Usage: windtunnel" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [RuntimeError("oh"), OSError(5, "oh", "file"), KeyError("oh")])
def test_a_fault_of_our_own_exits_with_70_and_shows_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_words: Any, **_more: Any) -> Run:
        raise error

    monkeypatch.setattr(cli, "run", fail)
    code, out, err = program(capsys, monkeypatch, "run", "demo")
    assert (code, out) == (70, "")
    assert err.startswith("Traceback")
    assert err.endswith("windtunnel: this is a fault of windtunnel's own; please report it\n")


def test_an_interrupt_exits_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_words: Any, **_more: Any) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", stop)
    code, out, err = program(capsys, monkeypatch, "run", "demo")
    assert (code, out, err.strip()) == (130, "", "windtunnel: interrupted")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = process(
            "run", "count-over-time", capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert done.stderr == b"windtunnel: the output cannot be written (No space left on device)\n"


def test_a_reader_that_went_away_is_no_error_to_speak_of() -> None:
    into, out = os.pipe()
    os.close(into)
    done = process("list", capture_output=False, stdout=out, stderr=subprocess.PIPE)
    os.close(out)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_terminal_without_our_letters_gets_what_it_can_show() -> None:
    command = [sys.executable, "-m", "scenarios", "run", "count-over-time"]
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, env=env, check=True, capture_output=True)
    assert b"\\u2501" in done.stdout
    done = subprocess.run([*command, "--json"], env=env, check=True, capture_output=True)
    assert json.loads(done.stdout)["scenario"] == "count-over-time"


# Where a trace is saved.


def test_a_trace_goes_through_a_link_and_into_a_device_and_leaves_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, link = tmp_path / "there.jsonl", tmp_path / "link.jsonl"
    there.write_text("old", encoding="utf-8")
    link.symlink_to(there)
    code, _, _ = program(capsys, monkeypatch, "run", "count-over-time", "--trace", str(link))
    assert code == 0
    assert link.is_symlink()
    assert there.read_text(encoding="utf-8").startswith('{"format":"windtunnel.trace"')
    assert sorted(tmp_path.iterdir()) == [link, there]
    code, out, _ = program(capsys, monkeypatch, "run", "count-over-time", "--trace", os.devnull)
    assert code == 0
    assert not Path(os.devnull).is_file()
    assert "replay     windtunnel replay count-over-time@0@sound@" in out


def test_a_trace_that_cannot_be_saved_costs_nothing_that_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kept.jsonl"
    place.write_text("old", encoding="utf-8")

    def full(*_words: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "write_trace", full)
    code, out, err = program(capsys, monkeypatch, "run", "count-over-time", "--trace", str(place))
    assert (code, out) == (2, "")
    assert err == f"windtunnel: {place}: cannot be written (No space left on device)\n"
    assert list(tmp_path.iterdir()) == [place]
    assert place.read_text(encoding="utf-8") == "old"


def test_a_scenario_of_another_profile_keeps_it_in_code_and_trace() -> None:
    finished = run(
        find_scenario("max-of-sums"), Seeded(2), target="max-of-sums", seed=2, profile="reference"
    )
    assert f"@2@reference@{finished.outcome.digest[:12]}" in finished.code
    assert replay_code(finished.code).verdict == "SAME"
    assert replay_trace(saved_trace(finished).lines(), name="x").verdict == "SAME"


def test_a_plan_without_rows_runs_too() -> None:
    plan = Plan()
    above, below = plan.add(Merge()), plan.add(ScanSet())
    plan.add_edge(above, below)
    finished = run(Scenario(workloads=(Workload(plan=plan),)), Tame())
    assert (finished.outcome.ends[0].end, finished.violations) == ("eof", ())
    assert scenario_to_toml(finished.outcome.scenario)
