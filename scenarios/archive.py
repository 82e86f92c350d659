"""Where failures lie: found ones below ``.windtunnel/failures``, kept ones in a library.

Ours, of the mutants, are in the library that comes with the package.  A found failure is saved
without being asked for, under the name that the report says; nothing here deletes one.  `keep`
moves it into a library of kept failures, where a test runs it from then on.
"""

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from scenarios.failure import FORMAT, Failure, failure_from_json, failure_to_json
from scenarios.inputs import InputError, is_there

__all__ = [
    "ARTIFACTS",
    "FAILURES",
    "KEPT",
    "OURS",
    "find_failure",
    "found_folder",
    "keep",
    "kept",
    "load_failure",
    "save",
    "write_failure",
]

FAILURES: Final = Path(".windtunnel/failures")
KEPT: Final = Path("scenarios/library")
OURS: Final = Path(__file__).parent / "library" / "mutants"  # of each mutant one
ARTIFACTS: Final = "WINDTUNNEL_ARTIFACTS"  # the environment's word for another place of found ones

_LONG: Final = 160  # characters of a line of JSON that is not broken up
_DEEP: Final = 5  # levels that are
_HEAD: Final = 200  # bytes that say what a file is

_NAME: Final = re.compile(r"\w[\w.-]*")  # of a kept failure: one file in its folder

_TEST: Final = '''\
"""Failures that were kept: what was broken holds, and stays so."""

from pathlib import Path

import pytest

from scenarios.archive import kept
from scenarios.testing import check_kept

LIBRARY = Path(__file__).parent / {folder!r}


@pytest.mark.parametrize("path", kept(LIBRARY), ids=lambda path: path.stem)
def test_what_was_broken_holds(path: Path) -> None:
    check_kept(path)
'''


def found_folder() -> Path:
    """Where failures are saved: as the environment says under `ARTIFACTS`, else `FAILURES`."""
    return Path(os.environ.get(ARTIFACTS) or FAILURES)


def save(failure: Failure, folder: Path | None = None) -> Path:
    """Write a failure under its name, by default into `found_folder`, and say where.

    Raises InputError.
    """
    return write_failure(failure, (folder or found_folder()) / f"{failure.name}.json")


def write_failure(failure: Failure, path: Path) -> Path:
    """Write a failure to a file, and give it back.  Raises InputError."""
    text = _legible(failure_to_json(failure))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, whoever else saves the same one now.
        part = path.with_name(f".{path.name}-{os.getpid()}.part")
        try:
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(str(path), f"cannot be written ({error.strerror})") from None
    return path


def _legible(value: dict[str, Any]) -> str:
    """JSON with a line for each field, and for each item of those that are long."""
    lines = [f" {json.dumps(key)}: {_spread(each, '  ')}" for key, each in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def _spread(value: Any, indent: str) -> str:
    text = json.dumps(value)
    if len(text) <= _LONG or not isinstance(value, dict | list) or len(indent) > _DEEP:
        return text
    if isinstance(value, list):
        items, ends = [_spread(each, f"{indent} ") for each in value], "[]"
    else:
        items = [f"{json.dumps(k)}: {_spread(value[k], f'{indent} ')}" for k in value]
        ends = "{}"
    body = ",\n".join(f"{indent}{item}" for item in items)
    return f"{ends[0]}\n{body}\n{indent[:-1]}{ends[1]}"


def load_failure(path: Path) -> Failure:
    """Read a file that `save` wrote.  Raises InputError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), f"got no JSON ({error})") from None
    return failure_from_json(value, where=str(path))


def find_failure(name: str, folders: Sequence[Path] | None = None) -> Path | None:
    """The file of a failure: a path as it is, or its name in one of the folders.

    By default those are `found_folder`, `KEPT` and `OURS`.
    """
    if folders is None:
        folders = (found_folder(), KEPT, OURS)
    for place in (name, *(str(folder / f"{name}.json") for folder in folders)):
        if is_there(place) and _is_failure(Path(place)):
            return Path(place)
    return None


def _is_failure(path: Path) -> bool:
    """Whether a file's first line but one is that of a failure, whatever is wrong further on."""
    if not path.is_file():  # a pipe can be read once only
        return False
    with suppress(OSError), path.open("rb") as file:
        return f'"{FORMAT}"'.encode() in file.read(_HEAD)
    return False


def kept(folder: str | Path = KEPT) -> list[Path]:
    """The file of every failure of a folder, by name.  Raises InputError if there is none."""
    found = sorted(Path(folder).glob("*.json"))
    if not found:
        raise InputError(str(folder), "got no kept failure there, expected some")
    return found


def keep(
    path: Path,
    *,
    name: str = "",
    into: Path = KEPT,
    tests: Path = Path("tests"),
    expect: Literal["holds", "violated"] = "holds",
) -> tuple[Path, Path | None]:
    """Move a failure into a library; gives its new place, and the test if one was written.

    The test runs every kept failure of the folder, so it is written once.  ``expect`` is what it
    wants to see: a fault under repair that its rule "holds", one put in on purpose that the rule
    is "violated".  Raises InputError.
    """
    failure = replace(load_failure(path), expect=expect)
    name = name or failure.name
    if not _NAME.fullmatch(name):
        raise InputError(name, "got it as a name, expected letters, digits, and . _ - between them")
    new = into / f"{name}.json"
    if new.exists():
        raise InputError(str(new), "is there already; another name would be --as NAME")
    write_failure(failure, new)
    path.unlink()
    test = tests / f"test_kept_in_{re.sub(r'[^A-Za-z0-9]+', '_', str(into)).strip('_')}.py"
    if test.exists():
        return new, None
    way = os.path.relpath(into, tests).replace(os.sep, "/")
    try:
        tests.mkdir(parents=True, exist_ok=True)
        test.write_text(_TEST.format(folder=way), encoding="utf-8")
    except OSError as error:
        raise InputError(str(test), f"cannot be written ({error.strerror})") from None
    return new, test
