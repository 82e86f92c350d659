"""Where failures lie: found ones below ``.windtunnel/failures``, kept ones in a library.

Ours, of the mutants, are in the library that comes with the package.  A found failure is saved
without being asked for, under the name that the report says; nothing here deletes one.  `keep`
moves it into a library of kept failures, where a test runs it from then on.
"""

import json
import os
from collections.abc import Iterator
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

_TEST: Final = '''\
"""Failures that were kept: what was broken holds, and stays so."""

import pytest

from scenarios.archive import kept
from scenarios.failure import Failure
from scenarios.testing import check_kept


@pytest.mark.parametrize("failure", kept("{folder}"), ids=lambda failure: failure.name)
def test_what_was_broken_holds(failure: Failure) -> None:
    check_kept(failure)
'''


def save(failure: Failure, folder: Path = FAILURES) -> Path:
    """Write a failure under its name, and say where.  Raises InputError."""
    return write_failure(failure, folder / f"{failure.name}.json")


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


def find_failure(name: str, folders: tuple[Path, ...] = (FAILURES, KEPT, OURS)) -> Path | None:
    """The file of a failure: a path as it is, or its name in one of the folders."""
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


def kept(folder: str | Path = KEPT) -> list[Failure]:
    """Every failure of a folder, by name."""
    return [load_failure(path) for path in _files(Path(folder))]


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.json"))


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
    new = into / f"{name or failure.name}.json"
    if new.exists():
        raise InputError(str(new), "is there already; another name would be --name NAME")
    write_failure(failure, new)
    path.unlink()
    test = tests / f"test_kept_in_{into.name}.py"
    if test.exists():
        return new, None
    try:
        tests.mkdir(parents=True, exist_ok=True)
        test.write_text(_TEST.format(folder=into.as_posix()), encoding="utf-8")
    except OSError as error:
        raise InputError(str(test), f"cannot be written ({error.strerror})") from None
    return new, test
