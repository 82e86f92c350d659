"""What README shows is what a user sees.

After a change that is meant, `python tests/test_readme.py` writes the blocks anew.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner

from scenarios.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n\$ (.*)\n((?:.*\n)*?)```$", README, re.MULTILINE)


CODE = re.search(
    r"^```python\n(from hypothesis .*?)^```\n.*?^```\n(FAILED .*?)^```$",
    README,
    re.MULTILINE | re.DOTALL,
)


def failing_test(folder: Path) -> str:
    """The report that pytest shows for the test in README, in a folder of its own."""
    assert CODE is not None
    (folder / "test_mine.py").write_text(CODE[1], encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    words = ("-p", "no:cacheprovider", "--hypothesis-profile=ci")  # the same examples every time
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [
        line.removeprefix("E").strip("\n")[7:]
        for line in done.stdout.splitlines()
        if line[:1] == "E"
    ]
    text = "\n".join(lines)
    return text[text.index("FAILED ") : text.index("Failing test case")].rstrip() + "\n"


def test_the_first_test_fails_as_shown(tmp_path: Path) -> None:
    assert CODE is not None
    assert failing_test(tmp_path) == CODE[2]


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


def test_the_commands_over_rows_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    section = README.partition("## Real rows")[2].partition("\n## ")[0]
    commands = re.findall(r"^\| `windtunnel (.*?)`", section, re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        result = CliRunner().invoke(cli, shlex.split(command), catch_exceptions=False)
        assert result.exit_code == 0, f"{command}\n{result.output}"


if __name__ == "__main__":
    assert CODE is not None
    with TemporaryDirectory() as folder:
        text = README.replace(CODE[2], failing_test(Path(folder)))
    for command, shown in BLOCKS:
        words = shlex.split(command.replace("make ", "windtunnel "))
        text = text.replace(shown, CliRunner().invoke(cli, words[1:]).output)
    (ROOT / "README.md").write_text(text, encoding="utf-8")
