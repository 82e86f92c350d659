"""Mermaid, checked by its structure: every line is one that its grammar knows."""

import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path

import pytest
from commands import windtunnel
from hypothesis import given
from hypothesis.strategies import text
from shown_runs import HOSTILE, demo, failing, hostile, recorded

from scenarios.report.lanes import picture_of
from scenarios.report.mermaid import (
    MOST_EVENTS,
    escape_label,
    flowchart,
    mermaid_of,
    sequence_diagram,
)
from scenarios.report.shown import Shown, load_shown

PLANS = Path(__file__).parent.parent / "scenarios" / "library" / "plans"
LABEL = r"(?:[A-Za-z0-9 _.,/()=+\-]|#[0-9]+;)*"
FLOWCHART = re.compile(
    rf'flowchart BT|  subgraph t\d+\["{LABEL}"\]|    t\d+n\d+\["{LABEL}"\]'
    r'|    t\d+n\d+ --> t\d+n\d+|  end|  t\d+ -- "s\d+" --> (?:t\d+|results)'
    rf'|  results\(\["results"\]\)|  more\["{LABEL}"\]'
)
SEQUENCE = re.compile(
    rf"sequenceDiagram|  participant \w+ as {LABEL}|  Note over \w+(?:,\w+)?: {LABEL}"
    rf"|  \w+->>\w+: {LABEL}|  rect rgb\(\d+, \d+, \d+\)|  end"
)


def read(label: str) -> str:
    """A label as Mermaid shows it."""
    return unescape(re.sub(r"#([0-9]+);", r"&#\1;", label))


def diagrams(lines: Iterable[str]) -> list[list[str]]:
    """The lines of each block."""
    found: list[list[str]] = []
    inside = False
    for line in lines:
        if line == "```mermaid":
            assert not inside
            found.append([])
            inside = True
        elif line == "```":
            assert inside
            inside = False
        else:
            assert inside, line
            found[-1].append(line)
    assert not inside
    return found


def check(lines: list[str]) -> None:
    """Every line is one of the grammar's, blocks are closed, and names are declared."""
    form = FLOWCHART if lines[0] == "flowchart BT" else SEQUENCE
    assert [line for line in lines if form.fullmatch(line) is None] == []
    depth = 0
    for line in lines:
        depth += line.startswith(("  subgraph", "  rect")) - (line == "  end")
        assert depth in (0, 1)
    assert depth == 0
    if form is SEQUENCE:
        declared = re.findall(r"^  participant (\w+) as", "\n".join(lines), re.MULTILINE)
        used = re.findall(
            r"^  (?:Note over )?(\w+)(?:(?:->>|,)(\w+))?: ", "\n".join(lines), re.MULTILINE
        )
        assert {name for pair in used for name in pair if name} <= set(declared)
    else:
        boxes = set(re.findall(r"subgraph (t\d+)", "\n".join(lines))) | {"results"}
        ends = re.findall(r"^  (t\d+) -- .* --> (\w+)$", "\n".join(lines), re.MULTILINE)
        assert {name for pair in ends for name in pair} <= boxes


@pytest.mark.parametrize("shown", [demo(), failing(), recorded(), hostile()], ids="dfrh")
def test_every_diagram_has_the_form_of_one(shown: Shown) -> None:
    found = diagrams(mermaid_of(shown))
    manifests = sum(event.kind == "manifest" for event in shown.events)
    assert len(found) == manifests + bool(shown.violations)
    for lines in found:
        check(lines)


@given(text())
def test_any_text_is_a_label(label: str) -> None:
    assert re.fullmatch(LABEL, escape_label(label))
    assert re.search(r"\bend\b", escape_label(label), re.IGNORECASE) is None


def test_a_label_reads_as_it_was_written() -> None:
    for label in ('a "quoted" `word`; #35; &amp; <b>', "the end", "End of ending", "{x} --> [y]"):
        assert read(escape_label(label)) == label
    assert read(escape_label("two\nlines")) == "two lines"
    assert read(escape_label("\u202eback")) == "\\u202eback"
    assert read(escape_label(HOSTILE)).startswith("</script><script>window.hacked=1")
    assert len(read(escape_label("x" * 99))) == 60


def test_a_flowchart_has_each_task_with_its_operators_and_each_stream() -> None:
    [tasks] = picture_of(failing().events).manifests.values()
    lines = [*flowchart("m0", tasks)]
    assert sum(line.startswith("  subgraph") for line in lines) == len(tasks)
    assert '  t0 -- "s0" --> results' in lines
    assert '  t12 -- "s12" --> t0' in lines
    # An operator points at the one that reads it.
    assert '    t1n2["DataObjScan location=objects/05/0000000005.dataobj stream..."]' in lines
    assert "    t1n2 --> t1n1" in lines


def test_many_tasks_are_cut() -> None:
    tasks = [{"fragment": "Scan", "sources": [], "sinks": [i]} for i in range(300)]
    lines = [*flowchart("m0", tasks)]
    check(lines)
    assert '  more["and 200 more tasks"]' in lines


def test_a_sequence_tells_the_story_and_ends_where_it_breaks() -> None:
    lines = [*sequence_diagram(failing())]
    assert lines[1:5] == [
        "  participant workflow as workflow",
        "  participant scheduler as scheduler",
        "  participant p2 as w0",
        "  Note over workflow,p2: t=5,296 us",
    ]
    told = [line for line in lines if re.search(r": \d+\. ", line)]
    assert 2 <= len(told) <= MOST_EVENTS
    numbers = [int(re.findall(r": (\d+)\. ", line)[0]) for line in told]
    assert numbers == sorted(numbers)
    assert numbers[-1] == failing().violations[0].events[-1]
    assert lines[-3:] == [
        "  rect rgb(255, 225, 225)",
        "  Note over workflow: A1 broken, m0/t2 got a token after its #101;nd was recorded",
        "  end",
    ]


def test_messages_go_from_who_says_to_who_hears() -> None:
    lines = [*sequence_diagram(load_shown("lost-tasks-stay"))]
    for line in (
        "  workflow->>scheduler: 9. the workflow calls start of m0/t0",
        "  scheduler->>p2: 24. m0/t0 is assigned to w0",
        "  p2->>scheduler: 30. the scheduler hears from w0#58; m0/t0 is Running",
        "  scheduler->>workflow: 34. m0/t0 is Running",
        "  Note over p2: 37. w0 dies",
    ):
        assert line in lines


def test_a_plan_is_drawn_as_it_was_cut() -> None:
    result = windtunnel("partition", PLANS / "shared-scans.json", "--mermaid")
    assert result.exit_code == 0
    [lines] = diagrams(result.stdout.splitlines())
    check(lines)
    # Two scans, each of which two tasks read: a stream for each.
    assert [line for line in lines if " -- " in line] == [
        '  t0 -- "s0" --> results',
        '  t1 -- "s1" --> t0',
        '  t2 -- "s3" --> t1',
        '  t2 -- "s5" --> t4',
        '  t3 -- "s4" --> t1',
        '  t3 -- "s6" --> t4',
        '  t4 -- "s2" --> t0',
    ]
    assert windtunnel("partition", "x", "--json", "--mermaid").exit_code == 2
