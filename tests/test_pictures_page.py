"""docs/pictures.md says what the picture shows, and its example is what the tool makes.

After a change that is meant, `python tests/test_pictures_page.py` makes the example anew.
"""

import os
import re
import sys
from pathlib import Path

import pytest
from commands import windtunnel

from scenarios.report import page
from scenarios.report.mermaid import mermaid_of
from scenarios.report.shown import load_shown

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "pictures.md"
EXAMPLE = DOCS / "lost-task.html"


def example(folder: Path) -> str:
    """The example, made as the page says."""
    place = folder / "made.html"
    made = windtunnel("show", "lost-task.jsonl", "--html", place)
    assert made.exit_code == 0, made.output
    return place.read_text(encoding="utf-8")


def written_anew(text: str) -> str:
    """The page with its diagrams as they should be."""
    head, _, _ = text.partition("```mermaid\n")
    return head + "\n".join(mermaid_of(load_shown("lost-task.jsonl"))) + "\n"


def test_the_example_is_what_the_tool_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DOCS)
    assert example(tmp_path) == EXAMPLE.read_text(encoding="utf-8")
    assert EXAMPLE.stat().st_size < 100_000


def test_the_diagrams_are_what_the_tool_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS)
    text = PAGE.read_text(encoding="utf-8")
    assert written_anew(text) == text


def test_every_state_that_has_a_mark_is_described() -> None:
    style = (Path(page.__file__).parent / "page.css").read_text(encoding="utf-8")
    states = dict.fromkeys(re.findall(r"\.[se]-([A-Z]\w+)", style))
    marks = PAGE.read_text(encoding="utf-8").partition("### What the marks mean")[2]
    marks = marks.partition("###")[0]
    assert [state for state in states if not re.search(rf"\b{state}\b", marks)] == []


def test_every_key_is_described_with_what_the_page_says_of_it() -> None:
    text = PAGE.read_text(encoding="utf-8")
    described = dict(re.findall(r"^\| (\S.*?) \| (.+?) \|$", text, re.MULTILINE))
    for keys, words in page.KEYS:
        named = next(key for key, said in described.items() if said == words)
        assert all(key.split()[-1] in named for key in keys)


def main() -> None:
    """Write the example and the diagrams."""
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    windtunnel("show", "lost-task.jsonl", "--html", EXAMPLE.name)
    sys.stdout.write(f"wrote {EXAMPLE.name} and the diagrams of {PAGE.name}\n")


if __name__ == "__main__":
    os.chdir(DOCS)
    main()
