"""`windtunnel show`: what it is given, what it prints, what it writes."""

import json
import webbrowser
from dataclasses import replace
from pathlib import Path

import pytest
from commands import windtunnel
from shown_runs import failing

from scenarios.archive import OURS, load_failure, save
from scenarios.failure_report import describe_failure
from scenarios.report.shown import describe_shown, load_shown, shown_failure
from scenarios.runs import run, save_trace, saved_trace
from scenarios.shelf import find_scenario
from sim.choices import Seeded
from sim.parts import SOUND

HEADER = '{"format":"windtunnel.trace","version":1,"versions":{},"ran":{}}'
FOREIGN = Path(__file__).parent / "data" / "traces.jsonl"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A saved run in which every rule holds."""
    place = tmp_path / "run.jsonl"
    save_trace(place, saved_trace(run(find_scenario("count-over-time"), Seeded(1), seed=1)))
    return place


def test_a_failure_is_told_as_when_it_was_found() -> None:
    result = windtunnel("show", "lost-tasks-stay")
    assert result.exit_code == 0
    failure = load_failure(OURS / "lost-tasks-stay.json")
    report = describe_failure(failure, failure.run(stop=False), saved="lost-tasks-stay", kept=True)
    assert result.stdout.splitlines() == list(report)


def test_a_found_failure_says_how_to_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    failure = load_failure(OURS / "slot-kept.json")
    save(failure)
    lines = windtunnel("show", failure.name).stdout.splitlines()
    assert f"  replay  windtunnel replay .windtunnel/failures/{failure.name}.json" in lines
    assert lines[-1] == f"  keep    windtunnel keep {failure.name}"


def test_a_failure_whose_fault_is_mended_says_so() -> None:
    failure = load_failure(OURS / "slot-kept.json")
    failure = replace(failure, parts=SOUND)
    lines = list(describe_shown(shown_failure(failure, saved="x.json")))
    assert lines[0].startswith("HOLDS   M3 holds now: ")
    assert lines[1].startswith("  was     ")
    assert lines[2] == "  now     no rule is broken in the run that is left of it"
    assert lines[3] == "  replay  windtunnel replay x.json"


def test_a_trace_is_told_with_its_verdict(trace: Path) -> None:
    lines = windtunnel("show", trace).stdout.splitlines()
    assert lines[0] == "HOLDS   count-over-time seed 1: no rule is broken, 62 rules judged"
    assert lines[-1] == f"  replay  windtunnel replay {trace}"


def test_a_trace_from_the_standard_input_has_no_command(trace: Path) -> None:
    result = windtunnel("show", "-", stdin=trace.read_bytes())
    assert result.exit_code == 0
    assert "replay" not in result.stdout


def test_of_many_foreign_runs_the_first_that_breaks_a_rule_is_shown() -> None:
    lines = windtunnel("show", FOREIGN).stdout.splitlines()
    assert lines[0].startswith("FAILED  T1 ")
    assert lines[1].startswith("  file    this is run 24 of the 27 runs in")
    assert any(line.startswith("  also    ") for line in lines)


def test_what_broke_first_comes_first() -> None:
    shown = failing()
    assert [each.rule for each in shown.violations] == ["A1", "A2"]
    assert shown.title.startswith("A1 ")
    assert shown.story[-1].seq == shown.violations[0].events[-1]


def test_files_are_written_and_said(trace: Path, tmp_path: Path) -> None:
    page, perfetto = tmp_path / "run.html", tmp_path / "run.json"
    result = windtunnel("show", trace, "--html", page, "--perfetto", perfetto)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"page       {page}", f"perfetto   {perfetto}"]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(perfetto.read_text(encoding="utf-8"))["traceEvents"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.html", "run.json", "run.jsonl"]


def test_diagrams_are_printed(trace: Path) -> None:
    lines = windtunnel("show", trace, "--mermaid").stdout.splitlines()
    assert lines[:2] == ["```mermaid", "flowchart BT"]


def test_two_runs_stand_on_one_page(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    result = windtunnel("show", "lost-tasks-stay", "--beside", trace, "--html", page)
    assert result.exit_code == 0, result.output
    assert page.read_text(encoding="utf-8").count('class="run"') == 2


def test_a_page_is_opened_in_a_browser(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_(url: str) -> bool:
        opened.append(url)
        return len(opened) == 1

    monkeypatch.setattr(webbrowser, "open", open_)
    monkeypatch.chdir(tmp_path)
    result = windtunnel("show", trace, "--open")
    place = Path(".windtunnel/pictures/count-over-time-seed-1.html")
    assert result.stdout == f"page       {place}\n"
    assert result.stderr == ""
    assert opened == [place.absolute().as_uri()]
    again = windtunnel("show", trace, "--open", "--html", "mine.html")
    assert again.stderr == "windtunnel: no browser was found; open the page by hand\n"
    assert opened[-1].endswith("/mine.html")


def test_bad_input_is_one_line(trace: Path, tmp_path: Path) -> None:
    for words, said in (
        (["nothing-there"], "nothing-there: got no file and no saved failure, expected one"),
        (["x" * 300], "x" * 57 + "...: got no file"),
        ([trace, "--html", tmp_path / "no" / "x.html"], "x.html: cannot be written (No such file"),
    ):
        result = windtunnel("show", *words)
        assert type(result.exception).__name__ == "InputError"
        assert said in str(result.exception)
    for words, said in (
        ([trace, "--beside", trace], "--beside needs a page"),
        (["-", "--beside", "-", "--open"], "can be read once only"),
    ):
        result = windtunnel("show", *words)
        assert result.exit_code == 2
        assert said in result.stderr


def test_what_is_no_trace_is_refused_with_its_line(tmp_path: Path) -> None:
    place = tmp_path / "t.jsonl"
    for text, said in (
        ("", "t.jsonl: got an empty file, expected a trace"),
        ("{}\n", "t.jsonl:1: got no 'format' and no kind 'run', expected a trace"),
        (HEADER + "\n", "t.jsonl: got a header without any event"),
        (HEADER + '\n{"seq":0}\n', "t.jsonl:2: tick: got None, expected an integer"),
    ):
        place.write_text(text, encoding="utf-8")
        result = windtunnel("show", place)
        assert str(result.exception).endswith(said)


def test_a_failure_of_another_rule_than_the_first_is_found() -> None:
    # Its run breaks another rule first, which stops it.
    failure = load_failure(OURS / "W1-token-leak.json")
    assert failure.run().first.rule != failure.rule
    assert load_shown("W1-token-leak").violations[0].rule == failure.rule
