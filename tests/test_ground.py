"""The promises that the repository makes about itself."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("workflow", "sim", "properties", "scenarios")

# A run must be a function of its seed: below scenarios/ nothing may read the machine's clock,
# its entropy or its scheduler.
BANNED_MODULES: Final = frozenset(
    {
        "_thread",
        "asyncio",
        "concurrent",
        "multiprocessing",
        "random",
        "secrets",
        "threading",
        "time",
        "uuid",
    }
)
BANNED_NAMES: Final = frozenset(
    {
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "os.getrandom",
        "os.urandom",
        "ulid.ULID.from_datetime",  # both fill the rest from the machine's entropy
        "ulid.ULID.from_timestamp",
    }
)
NEED_A_SEED: Final = frozenset({"random.Random", "ulid.ULID"})  # without one they ask the machine
ALLOWED: Final = {
    "workflow/mailbox.py": frozenset({"threading"}),  # the one lock
}
EXEMPT: Final = ("workflow/runners/", "properties/pytest_plugin.py")  # they meet the real world
SEEDED_RANDOM: Final = ("sim/", "properties/")  # the engine has no use for chance at all


def breaches(source: str, path: str) -> list[str]:
    """What in `source`, the text of the file at `path`, could make two runs differ."""
    if path.startswith(EXEMPT):
        return []
    allowed = ALLOWED.get(path, frozenset())
    if path.startswith(SEEDED_RANDOM):
        allowed |= {"random"}
    tree = ast.parse(source)
    origins: dict[str, str] = {}  # local name -> where it comes from
    found = []
    for node in ast.walk(tree):
        for local, origin in _imported(node):
            origins[local] = origin
            module, _, name = origin.partition(".")
            loose = module == "random" and name not in {"", "Random"}
            if (module in BANNED_MODULES - allowed) or origin in BANNED_NAMES or loose:
                found.append(f"{path}:{_line(node)}: imports {origin}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = _dotted(node, origins)
            loose = name.startswith("random.") and not name.startswith("random.Random")
            if name in BANNED_NAMES or loose:
                found.append(f"{path}:{node.lineno}: uses {name}")
        elif isinstance(node, ast.Call) and not node.args and not node.keywords:
            name = _dotted(node.func, origins)
            if name in NEED_A_SEED:
                found.append(f"{path}:{node.lineno}: calls {name} without a seed")
    return found


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Each name that an import binds, and the full name of what it stands for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]  # all that a plain "import a.b" binds
            yield (alias.asname, alias.name) if alias.asname else (top, top)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _line(node: ast.AST) -> int:
    assert isinstance(node, ast.stmt)
    return node.lineno


def _dotted(node: ast.expr, origins: dict[str, str]) -> str:
    """`node` as a full dotted name, or "" where it does not start at an import."""
    if isinstance(node, ast.Name):
        return origins.get(node.id, "")
    if isinstance(node, ast.Attribute):
        start = _dotted(node.value, origins)
        return start and f"{start}.{node.attr}"
    return ""


def addresses(text: str) -> list[str]:
    """The lines of a lock file that tie it to a registry or to a machine."""
    pattern = re.compile(r"://|(^|\s)--?(index|extra-index|find-links|i\b|f\b|e\b)|(^|[\s=@])/\w")
    return [line for line in text.splitlines() if pattern.search(line)]


def newest_version(changelog: str) -> str:
    match = re.search(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    assert match is not None, "CHANGELOG.md names no version"
    return match[1]


def untyped(root: Path) -> list[str]:
    return [name for name in PACKAGES if not (root / name / "py.typed").is_file()]


def locations(python: str, directory: Path) -> dict[str, list[str]]:
    """Where a Python started in `directory` finds each package."""
    script = (
        "import json, sys; from importlib.util import find_spec; "
        "print(json.dumps({name: list(find_spec(name).submodule_search_locations) "
        "for name in sys.argv[1:]}))"
    )
    # No -I, so that the check of this check can put an impostor in front through the directory.
    ran = subprocess.run(
        [python, "-c", script, *PACKAGES], cwd=directory, capture_output=True, text=True, check=True
    )
    answer: dict[str, list[str]] = json.loads(ran.stdout)
    return answer


def test_nothing_below_scenarios_reads_the_clock_the_entropy_or_the_scheduler() -> None:
    found = []
    for package in ("workflow", "sim", "properties"):
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            found += breaches(file.read_text(encoding="utf-8"), path)
    assert found == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sim/a.py", "import time"),
        ("sim/a.py", "import time as clock"),
        ("sim/a.py", "def f():\n    from time import monotonic"),
        ("sim/a.py", "import concurrent.futures"),
        ("sim/a.py", "import asyncio"),
        ("sim/a.py", "import secrets"),
        ("sim/a.py", "import uuid"),
        ("sim/a.py", "import threading"),
        ("sim/a.py", "from random import choice"),
        ("sim/a.py", "import random\nrandom.choice([1])"),
        ("sim/a.py", "import random as r\nr.seed(1)"),
        ("sim/a.py", "import random\nrandom.Random()"),
        ("sim/a.py", "from random import Random as R\nR()"),
        ("sim/a.py", "from random import SystemRandom"),
        ("sim/a.py", "from datetime import datetime\ndatetime.now()"),
        ("sim/a.py", "import datetime as dt\ndt.datetime.now(dt.UTC)"),
        ("sim/a.py", "from datetime import date as d\nd.today()"),
        ("sim/a.py", "import os\nos.urandom(8)"),
        ("sim/a.py", "from os import urandom"),
        ("sim/a.py", "from ulid import ULID\nULID()"),
        ("sim/a.py", "from ulid import ULID\nULID.from_timestamp(1.0)"),
        ("properties/a.py", "import time"),
        ("workflow/a.py", "import threading"),
        ("workflow/a.py", "from random import Random"),
        ("workflow/mailbox.py", "import time"),
    ],
)
def test_the_scan_catches_a_source_of_difference(path: str, source: str) -> None:
    assert len(breaches(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sim/a.py", "import random\nrandom.Random(7).random()"),
        ("sim/a.py", "from random import Random\nRandom(7)\ndef f(r: Random) -> None: ..."),
        ("sim/a.py", "from datetime import UTC, datetime\ndatetime(1970, 1, 1, tzinfo=UTC)"),
        ("sim/a.py", "def f(clock, random):\n    return clock.now(), random.choice([1])"),
        ("sim/a.py", "from .time import now"),
        ("sim/a.py", "from ulid import ULID\nULID(bytes(16))"),
        ("workflow/mailbox.py", "import threading"),
        ("workflow/runners/real.py", "import asyncio, time"),
        ("properties/pytest_plugin.py", "import time"),
    ],
)
def test_the_scan_leaves_what_is_allowed_alone(path: str, source: str) -> None:
    assert breaches(source, path) == []


def test_every_import_package_says_that_it_is_typed() -> None:
    assert untyped(ROOT) == []


def test_a_package_without_its_typing_mark_is_noticed(tmp_path: Path) -> None:
    for name in PACKAGES[1:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "py.typed").touch()
    assert untyped(tmp_path) == ["workflow"]


def test_the_lock_file_is_tied_to_no_registry_and_no_machine() -> None:
    assert addresses((ROOT / "requirements/dev.txt").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://packages.example/simple",
        "--extra-index-url=file:wheels",
        "-i packages.example",
        "--find-links wheels",
        "-e .",
        "click @ https://packages.example/click.whl",
        "click @ file:///wheels/click.whl",
        "    # via -r /home/someone/pyproject.toml",
    ],
)
def test_an_address_in_a_lock_file_is_noticed(line: str) -> None:
    assert addresses(f"click==8.1.0 \\\n    --hash=sha256:00\n{line}\n") == [line]


def test_every_pin_of_the_lock_file_has_a_hash() -> None:
    text = (ROOT / "requirements/dev.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert pins
    assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_the_import_packages_are_those_of_this_checkout(tmp_path: Path) -> None:
    # Other distributions have import packages named workflow and properties.
    assert locations(sys.executable, tmp_path) == {name: [str(ROOT / name)] for name in PACKAGES}


def test_an_import_package_from_elsewhere_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "properties").mkdir()
    (tmp_path / "properties/__init__.py").touch()
    assert locations(sys.executable, tmp_path)["properties"] == [str(tmp_path / "properties")]


def test_the_changelog_ends_at_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert newest_version(changelog) == project["version"]


def test_the_newest_version_is_read_from_the_first_heading_that_has_one() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2000-01-02\n\n## [0.1.0] - 2000-01-01\n"
    assert newest_version(text) == "0.2.0"
    with pytest.raises(AssertionError, match="names no version"):
        newest_version("# Changelog\n\n## [Unreleased]\n")
