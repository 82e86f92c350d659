"""A copy of the tree with one edit, and what failures say in it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.edits.inside import CHANGES

__all__ = ["EDITS", "PATCHES", "replayed_under"]

ROOT: Final = Path(__file__).resolve().parents[2]
PATCHES: Final = Path(__file__).parent

# Every edit: patches by their names, then what is changed in scenarios.
EDITS: Final = (
    "log-line",
    "unrelated-task",
    "unrelated-await",
    "fault-kind",
    "racing-step-work",
    "racing-step-report",
    "racing-step-assign",
    *filter(None, CHANGES),
)

_COPIED: Final = ("workflow", "sim", "properties", "scenarios", "benchmarks")


@contextmanager
def _copy(edit: str) -> Iterator[Path]:
    """A copy of the tree in which an edit was made.  Raises RuntimeError if it does not apply."""
    with TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _COPIED:
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        if edit not in CHANGES:
            patch = PATCHES / f"{edit}.patch"
            done = subprocess.run(  # noqa: S603 - a patch of this project
                ["git", "apply", "--whitespace=nowarn", str(patch)],  # noqa: S607 - as on the PATH
                cwd=tree,
                # Not as part of a repository that the folder may lie in.
                env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"{edit}: {done.stderr.strip()}")
        yield tree


def replayed_under(edit: str, records: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """What each record says after an edit: see `inside.replayed`.  "" changes nothing.

    Raises RuntimeError if the patch does not apply or the changed tree does not run.
    """
    with _copy(edit) as tree:
        done = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-m", "benchmarks.edits.inside", edit if edit in CHANGES else ""],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            input="".join(json.dumps(record) + "\n" for record in records),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{edit}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]
