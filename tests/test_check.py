"""`windtunnel check`: saved and foreign traces, judged."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import scenarios.check as checking
from properties.monitors import MONITORS
from properties.monitors.monitor import Level, Monitor
from scenarios.cli import cli
from scenarios.inputs import InputError
from scenarios.runs import run, saved_trace
from scenarios.shelf import find_scenario
from sim.choices import Seeded
from workflow.trace import Event

DOCS = Path(__file__).parent.parent / "docs"
FOREIGN = Path(__file__).parent / "data" / "traces.jsonl"
HEADER = '{"format":"windtunnel.trace","version":1,"versions":{},"ran":{"name":"mine"}}'


class CallsSucceed(Monitor):
    """A rule that four of the foreign runs violate."""

    rule, sentence = "X1", "no call comes back with an error"

    def on_return(self, event: Event) -> None:
        """A call is over."""
        if event.details["error"] is not None:
            method = event.details["method"]
            self.violated(f"{method} came back with an error", event, right=f"{method} succeeds")


class RowsAreRead(Monitor):
    """A rule that needs the scenario."""

    rule, sentence, final = "X2", "the scenario is known", True

    def at_end(self, _: Event) -> None:
        """Nothing more will happen."""
        if self.story.scenario is None:
            self.cannot_judge("the scenario is not known")


class Deep(Monitor):
    """A rule that needs the inside of the cluster."""

    rule, sentence, level = "X3", "workers do not crash", Level.WORLD


@pytest.fixture(autouse=True)
def _three_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "MONITORS", (CallsSucceed, RowsAreRead, Deep))


def check(*words: str, stdin: str | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["check", *words], input=stdin)


def lines_of(run_number: int) -> list[str]:
    """One of the foreign runs, line by line."""
    chosen: list[str] = []
    inside = False
    for line in FOREIGN.read_text("utf-8").splitlines():
        fields = json.loads(line)
        if fields["kind"] == "run":
            inside = fields["run"] == run_number
        chosen += [line] if inside else []
    return chosen


def own(*events: dict[str, Any], header: str = HEADER) -> str:
    """A trace of ours as somebody would make it."""
    numbered = [{"seq": seq, "tick": 0, **event} for seq, event in enumerate(events)]
    return "\n".join([header, *(json.dumps(event) for event in numbered)]) + "\n"


def test_every_foreign_run_is_judged_and_those_that_violate_a_rule_are_told() -> None:
    result = check(str(FOREIGN))
    assert result.exit_code == 1
    heads = [line for line in result.stdout.splitlines() if line.startswith("run ")]
    assert len(heads) == 27
    assert [head.split(":")[0] for head in heads if ", 1 violated" in head] == [
        "run 111",
        "run 123",
        "run 135",
        "run 147",
    ]


def test_a_run_is_a_line_then_what_is_violated_then_what_cannot_be_judged(tmp_path: Path) -> None:
    file = tmp_path / "border.jsonl"
    file.write_text("\n".join([*lines_of(0), *lines_of(135)]) + "\n", encoding="utf-8")
    result = check(str(file))
    shown = result.stdout.splitlines()
    assert shown[3:] == [
        "run 135: 51 events; 0 rules hold, 1 violated, 2 not judged",
        "  violated    X1 no call comes back with an error",
        "    seen      cancel came back with an error",
        f"    proof     event 21, on line 117 of {file}",
        "    right     cancel succeeds",
        "    seen      cancel came back with an error",
        f"    proof     event 25, on line 121 of {file}",
        "    right     cancel succeeds",
        "    seen      cancel came back with an error",
        f"    proof     event 29, on line 125 of {file}",
        "    right     cancel succeeds",
        "    and 1 more",
        "  noted       cancel came back with an error (event 21)",
        "  noted       cancel came back with an error (event 25)",
        "  noted       cancel came back with an error (event 29)",
        "  noted       m0/t0 was started although it was over (event 48)",
        "  noted       start came back with an error (event 49)",
        "  not judged: X2: the scenario is not known",
        "  not judged: X3: the trace does not show the inside of the Runner",
    ]
    assert shown[:3] == [
        "run 0: 93 events; 1 rule holds, 0 violated, 2 not judged",
        "  not judged: X2: the scenario is not known",
        "  not judged: X3: the trace does not show the inside of the Runner",
    ]


def test_the_lines_that_are_named_are_those_that_prove_it() -> None:
    text = FOREIGN.read_text("utf-8").splitlines()
    for line in check(str(FOREIGN), "--json").stdout.splitlines():
        for rule in json.loads(line)["rules"]:
            for violation in rule["violations"]:
                [number] = violation["lines"]
                assert json.loads(text[number - 1])["error"]


def test_json_has_an_object_for_each_run_and_all_of_its_rules() -> None:
    stdin = "\n".join(lines_of(111)) + "\n"
    result = check("-", "--json", stdin=stdin)
    assert result.exit_code == 1
    [line] = result.stdout.splitlines()
    shown = json.loads(line)
    assert {key: shown[key] for key in ("file", "run", "events", "counts")} == {
        "file": "stdin",
        "run": "run 111",
        "events": 104,
        "counts": {"holds": 0, "violated": 1, "not judged": 2},
    }
    assert [rule["rule"] for rule in shown["rules"]] == ["X1", "X2", "X3"]
    assert shown["rules"][0]["violations"] == [
        {
            "seen": "cancel came back with an error",
            "events": [96],
            "lines": [98],
            "right": "cancel succeeds",
        }
    ]
    assert shown["rules"][2]["why"] == "the trace does not show the inside of the Runner"


def test_all_lists_every_rule() -> None:
    result = check("-", "--all", stdin="\n".join(lines_of(0)) + "\n")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "  holds       X1 no call comes back with an error",
        "  not judged  X2 the scenario is known (the scenario is not known)",
        "  not judged  X3 workers do not crash (the trace does not show the inside of the Runner)",
    ]


def test_a_saved_trace_is_judged_with_the_scenario_of_its_header() -> None:
    saved = saved_trace(run(find_scenario("slow-reader"), Seeded(3), seed=3))
    result = check("-", "--json", stdin="\n".join(saved.lines()) + "\n")
    shown = json.loads(result.stdout)
    assert shown["run"] == "slow-reader seed 3"
    assert [rule["verdict"] for rule in shown["rules"]][:2] == ["holds", "holds"]


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_judged(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"kind":"walk"}\n', encoding="utf-8")
    result = check(str(bad), str(FOREIGN))
    assert result.exit_code == 2
    assert result.stdout.count(f"{FOREIGN}: run ") == 27
    assert result.stderr == (
        f"windtunnel: {bad}:1: got no 'format' and no kind 'run', expected the header of a trace or"
        " the first line of a foreign one\n"
    )


def test_runs_before_a_bad_line_are_judged() -> None:
    result = check("-", stdin="\n".join([*lines_of(0), '{"kind":']) + "\n")
    assert result.exit_code == 2
    assert "stdin:95: got a line that is no JSON" in result.stderr


MANIFEST = {
    "kind": "manifest",
    "subject": "m0",
    "tenant": "",
    "actor": [],
    "streams": 1,
    "tasks": [
        {
            "fragment": "scan",
            "lane": "scan",
            "max_time_range": [None, None],
            "sources": [],
            "sinks": [0],
        }
    ],
}
PENDING = {"kind": "task_event", "subject": "m0/t0", "state": "Pending"}
START = {"kind": "call", "subject": "m0", "method": "start", "tasks": [0]}


def test_a_trace_that_somebody_made_is_judged() -> None:
    end = {"kind": "end", "subject": "run", "stuck": None, "over_budget": False}
    result = check("-", stdin=own(MANIFEST, START, PENDING, end))
    assert result.exit_code == 0
    assert result.stdout.startswith("mine: 4 events; 1 rule holds, 0 violated, 2 not judged\n")


def test_without_an_end_what_must_have_come_by_then_is_not_judged() -> None:
    result = check("-", stdin=own(MANIFEST, START, PENDING))
    assert "X2: the trace does not say that nothing more would happen" in result.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "stdin: got an empty file, expected a trace"),
        ("[]\n", "stdin:1: got '[]', expected an object"),
        (HEADER + "\n", "stdin: got a header without any event"),
        (own(PENDING), "stdin:2: subject: got 'm0/t0', expected a manifest seen before"),
        (own(MANIFEST, PENDING | {"subject": "m0/t1"}), "stdin:3: got number 1 of 1 tasks"),
        (own(MANIFEST, PENDING | {"subject": "m0"}), "stdin:3: subject: got 'm0', expected a task"),
        (own(MANIFEST, PENDING | {"state": "Idle"}), "stdin:3: state: got 'Idle', expected one of"),
        (own(MANIFEST, START | {"tasks": [7]}), "stdin:3: got number 7 of 1 tasks"),
        (own(MANIFEST, START | {"tasks": 7}), "stdin:3: tasks: got 7, expected a list of"),
        (own(MANIFEST | {"tasks": [{}]}), "stdin:2: tasks[0]: lane: got nothing, expected one of"),
        (own({"kind": "end", "subject": "run"}), "stdin:2: end: expected stuck"),
        (
            own({key: value for key, value in MANIFEST.items() if key != "streams"}),
            "stdin:2: streams: got nothing, expected an integer from 0",
        ),
        (
            own(header=HEADER.replace('{"name":"mine"}', '{"scenario":3}')),
            "stdin:1: ran.scenario: ",
        ),
    ],
)
def test_bad_input_is_one_line(text: str, message: str) -> None:
    result = check("-", stdin=text)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"windtunnel: {message}")
    assert result.stderr.count("\n") == 1


DAMAGES: tuple[Any, ...] = ("lost", 5, "m9/t9", [])


def test_a_trace_damaged_anywhere_is_judged_or_refused_with_its_line() -> None:
    lines = list(saved_trace(run(find_scenario("worker-lost"), Seeded(7), seed=7)).lines())
    refused = 0
    # An event of each kind: more would show nothing new.
    kinds = {json.loads(line)["kind"]: number for number, line in enumerate(lines) if number}
    for number in kinds.values():
        event = json.loads(lines[number])
        details = [key for key in event if key not in ("seq", "tick", "kind", "subject")]
        for key in [*details, "subject"]:
            for damage in DAMAGES:
                changed = {**event, key: damage}
                if damage == "lost":
                    del changed[key]
                whole = [*lines[:number], json.dumps(changed), *lines[number + 1 :]]
                try:
                    list(checking.check_trace(whole, name="damaged", monitors=MONITORS))
                except InputError as error:
                    refused += 1
                    assert str(error).startswith("damaged:")  # noqa: PT017 - others are judged
    assert refused > 100


def test_nothing_to_check_is_wrong_usage() -> None:
    assert check().exit_code == 2


def test_the_fields_of_json_are_those_that_are_described() -> None:
    section = (DOCS / "cli.md").read_text("utf-8").partition("\n## check\n")[2]
    described = re.findall(r"`(\w+)`", re.findall(r"^\| `--json` \|(.*)", section, re.MULTILINE)[0])
    result = check("-", "--json", stdin="\n".join(lines_of(111)) + "\n")
    shown = json.loads(result.stdout)
    rule = shown["rules"][0]
    assert {*shown, *rule, *rule["violations"][0]} == {*described} - {"holds", "violated"}


def test_what_becomes_of_every_kind_of_foreign_line_is_described() -> None:
    section = (DOCS / "traces.md").read_text("utf-8").partition("## Traces from elsewhere")[2]
    kinds = {json.loads(line)["kind"] for line in FOREIGN.read_text("utf-8").splitlines()}
    assert {*re.findall(r"`(\w+)`", section)} >= kinds | {"read_error"}
