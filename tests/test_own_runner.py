"""The runner of docs/runners.md keeps the contract, answers right, and is as short as said."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import filled, windtunnel

PAGE = Path(__file__).parent.parent / "docs" / "runners.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both blocks of the page as files."""
    section = PAGE.read_text(encoding="utf-8").partition("## Write your own runner\n")[2]
    runner, test = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.py").write_text(runner, encoding="utf-8")
    (tmp_path / "test_mine.py").write_text(test, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_has_at_most_sixty_lines(folder: Path) -> None:
    lines = [line for line in (folder / "mine.py").read_text("utf-8").splitlines() if line]
    assert len(lines) <= 60
    assert f"These are {len(lines)} lines without the empty ones." in PAGE.read_text("utf-8")
    assert not [line for line in lines if ";" in line or len(line) > 100]


def test_it_keeps_the_contract(folder: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", "test_mine.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout
    # Nothing is skipped but what becomes of a worker: it has none.
    passed, skipped = re.findall(r"(\d+) (?:passed|skipped)", result.stdout.splitlines()[-1])
    assert int(passed) > 70
    assert result.stdout.count("`lose_worker` is False") == 1
    assert int(skipped) in (3, 4)  # one of these tests may find its task over already


@pytest.mark.parametrize("plan", ["sum-by-level", "limited"])
def test_it_is_compared_and_found_sound(plan: str, folder: Path) -> None:
    bucket = filled(folder / "bucket", rows=300, seed=5, sections=3)
    command = (plan, "--data", bucket, "--runner", "mine.py:Mine")
    result = windtunnel("compare", *command, "--runs", 2)
    assert result.exit_code == 0, result.output
    assert "answer     right in 2 of 2 runs, wrong in 0" in result.stdout
    assert windtunnel("run", *command).exit_code == 0
