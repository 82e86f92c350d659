"""What README shows is what a user sees."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from scenarios.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n\$ (.*)\n((?:.*\n)*?)```$", README, re.MULTILINE)


def test_readme_shows_commands() -> None:
    assert [command for command, _ in BLOCKS] == [
        "make demo",
        "windtunnel partition scenarios/library/plans/two-scans.txt",
    ]


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_a_command_in_readme_prints_what_stands_below_it(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command.replace("make ", "windtunnel "))
    result = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output == shown
