"""The reference says what the code says.

After a change of fields, faults or shapes, `python tests/test_docs.py` writes the tables anew.
"""

import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from properties.judged import judged
from properties.monitors.monitor import KINDS
from properties.mutants import MUTANTS
from scenarios import cli as front
from scenarios.cli import cli
from scenarios.explain import explain
from scenarios.failure import failure_to_json
from scenarios.report.summary import run_as_json
from scenarios.runs import Run, load_target, run, saved_trace
from scenarios.shelf import find_scenario, scenario_names
from sim.choices import Seeded
from sim.scenario import FAULT_KINDS, Profile
from sim.scenario_file import FormatRow, describe_format
from sim.simulate import Outcome

DOCS = Path(__file__).parent.parent / "docs"
SCENARIOS = DOCS / "scenarios.md"
CLI = (DOCS / "cli.md").read_text(encoding="utf-8")
FAILURES = (DOCS / "failures.md").read_text(encoding="utf-8")
TRACES = (DOCS / "traces.md").read_text(encoding="utf-8")


def table(*rows: tuple[str, ...]) -> str:
    """Rows as Markdown, the first one its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def fields() -> Iterator[str]:
    """A table for each section of the file."""
    for section, rows in sections().items():
        if not section.startswith("shape"):
            yield f"### {f'`{section}`' if section else 'At the top'}\n"
            yield (
                table(
                    ("field", "values", "default", "meaning"),
                    *(
                        (code(row.name), row.values, code(row.default), row.sentence)
                        for row in rows
                    ),
                )
                + "\n"
            )


def faults() -> Iterator[str]:
    """The kinds of fault."""
    yield table(
        ("kind", "what happens", "an occasion is one of the"),
        *((code(kind), *words) for kind, words in FAULT_KINDS.items()),
    )


def shapes() -> Iterator[str]:
    """The shapes of latency."""
    for section, (shape, *rest) in sections().items():
        if section.startswith("shape"):
            yield f"`{section}`: {shape.sentence}\n"
            yield (
                table(
                    ("field", "values", "meaning"),
                    *((code(row.name), row.values, row.sentence) for row in rest),
                )
                + "\n"
            )


def code(text: str) -> str:
    """As code, unless it is empty."""
    required = text == "required"
    return text if required or not text else f"`{text}`"


def sections() -> dict[str, list[FormatRow]]:
    """The rows of each section."""
    found: dict[str, list[FormatRow]] = {}
    for row in describe_format():
        found.setdefault(row.section, []).append(row)
    return found


def written_anew(text: str) -> str:
    """The text with its tables as they should be."""
    for name, make in (("fields", fields), ("faults", faults), ("shapes", shapes)):
        begin, end = f"<!-- {name}: written by tests/test_docs.py -->\n", "<!-- end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        content = "\n".join(make()).rstrip("\n")
        text = f"{before}{begin}\n{content}\n\n{end}{after}"
    return text


def below(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    rest = text.partition(f"# {heading}\n")[2]
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of all tables below a heading, without their heads."""
    lines = [line for line in below(text, heading).splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line, after in pairwise([*lines, ""])
        if not line.startswith("|--") and not after.startswith("|--")
    ]


def test_the_tables_of_the_scenario_file_are_those_of_the_code() -> None:
    text = SCENARIOS.read_text(encoding="utf-8")
    assert written_anew(text) == text


def test_the_scenario_shown_runs(tmp_path: Path) -> None:
    text = SCENARIOS.read_text(encoding="utf-8")
    [shown] = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    file = tmp_path / "two-tenants.toml"
    file.write_text(shown, encoding="utf-8")
    scenario, _ = load_target(str(file))
    for seed in range(5):
        assert run(scenario, Seeded(seed)).violations == ()
    result = CliRunner().invoke(cli, ["run", str(file), "--seed", "7"])
    assert result.exit_code == 0
    assert "worker_crash x1" in result.stdout


def commands(group: click.Group = cli, before: str = "") -> dict[str, click.Command]:
    """Every command by its words, those of groups included."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{before}{name} ")
        else:
            found[before + name] = command
    return found


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_described(name: str) -> None:
    command = commands()[name]
    assert f"| `windtunnel {name}" in CLI
    section = below(CLI, name)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert option in section, option


def test_the_exit_codes_are_those_of_the_code() -> None:
    shown = [int(row[0]) for row in rows_of(CLI, "Exit codes")]
    assert shown == [
        0,
        front.VIOLATED,
        front.BAD_INPUT,
        front.DIVERGED,
        front.OUR_BUG,
        front.INTERRUPTED,
        front.READER_GONE,
    ]


def keys(value: dict[str, Any]) -> Iterator[str]:
    """Every field, those of lists of objects included."""
    for key, each in value.items():
        yield key
        if isinstance(each, list):
            yield from (f"{key}[].{inner}" for inner in dict.fromkeys(k for x in each for k in x))


def test_the_fields_of_a_run_are_those_that_are_described() -> None:
    scenario = find_scenario("empty-scans")
    stuck = next(
        finished
        for finished in (run(scenario, Seeded(seed), profile="reference") for seed in range(200))
        if finished.outcome.stuck is not None
    )
    described = [row[0].strip("`") for row in rows_of(CLI, "Fields of `run --json`")]
    assert described == list(keys(run_as_json(stuck)))


def test_the_fields_of_a_failure_are_those_that_are_described(tmp_path: Path) -> None:
    run = judged(find_scenario("one-token"), Seeded(1), parts=MUTANTS["W1-token-leak"].parts)
    explained = explain(run, parts=MUTANTS["W1-token-leak"].parts, folder=tmp_path)
    value = failure_to_json(explained.failure)
    described = [row[0].strip("`") for row in rows_of(FAILURES, "The file")]
    assert described == list(value)
    shown = run_as_json(Run(run), explained)["failure"]
    assert list(shown) == ["name", "rule", "saved", "report"]


def outcomes() -> Iterator[Outcome]:
    """Runs of the whole library, in both profiles."""
    profiles: tuple[Profile, ...] = ("sound", "reference")
    for name in scenario_names():
        for seed in range(3):
            for profile in profiles:
                yield run(find_scenario(name), Seeded(seed), profile=profile).outcome


def test_every_event_that_occurs_is_described_with_its_details_and_counts_with_their_names() -> (
    None
):
    described = {
        kind: set(re.findall(r"`(\w+)`", row[2]))
        for heading in (
            "Between workflow and Runner",
            "Inside the workflow",
            "Inside the simulated cluster",
        )
        for row in rows_of(TRACES, heading)
        for kind in re.findall(r"`(\w+)`", row[0])
    }
    seen: dict[str, None] = {}
    for outcome in outcomes():
        for event in outcome.trace.events:
            seen[event.kind] = None
            if event.kind not in ("tables", "statistics"):  # whose details are names of things
                assert set(event.details) <= described.get(event.kind, set()), event
        for name in outcome.counts:
            if not name.startswith(("fault ", "hazard ")):
                assert f"`{name}`" in CLI, name
    # A broken engine, an assignment without an answer for seconds, a worker that comes back.
    rare = (
        "process_failed",
        "raised",
        "enter",
        "exit",
        "ack_timeout",
        "revoked",
        "crash",
        "restart",
    )
    assert set(described) - set(seen) <= set(rare)
    assert {*described, "close_workflow"} == set(KINDS)


def test_the_header_is_described() -> None:
    finished = run(find_scenario("count-over-time"), Seeded(1), target="count-over-time", seed=1)
    head = json.loads(next(saved_trace(finished).lines()))
    described = {row[0].strip("`") for row in rows_of(TRACES, "The header")}
    assert described == {*head, *head["ran"], "parts"}


if __name__ == "__main__":
    SCENARIOS.write_text(written_anew(SCENARIOS.read_text("utf-8")), encoding="utf-8")
    sys.stdout.write(f"wrote {SCENARIOS}\n")
