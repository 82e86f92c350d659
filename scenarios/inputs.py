"""Plans as a user has them: JSON, JSON Lines with many, or the printed tree.

>>> [named] = read_plans("Limit offset=0 limit=3\\n", name="pasted")
>>> named.name, len(named.plan)
('pasted', 1)
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow import GraphError, Plan, plan_from_json, plan_from_text

__all__ = [
    "InputError",
    "NamedPlan",
    "Unreadable",
    "is_there",
    "lines_of",
    "load_plans",
    "read_plans",
]


class InputError(ValueError):
    """An input that cannot be read: where, what was seen, what would be right.

    A message that names its place itself, or several, comes without a `where`.
    """

    def __init__(self, where: str, message: str) -> None:
        super().__init__(where, message)

    def __str__(self) -> str:
        return ": ".join(part for part in self.args if part)


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """A plan and what it is called."""

    name: str
    plan: Plan
    query: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A plan of several that cannot be read, while the others can."""

    name: str
    rule: str
    error: InputError


def is_there(place: str) -> bool:
    """Whether something can be read under this name: a file, a pipe, no folder."""
    try:
        return Path(place).exists() and not Path(place).is_dir()
    except (OSError, ValueError):  # no name that a file could have
        return False


def lines_of(place: str) -> Iterator[str]:
    """The lines of a file, or of the standard input for ``-``.  Raises InputError."""
    try:
        if place == "-":
            yield from _decoded(sys.stdin.buffer, "stdin")
            return
        with Path(place).open("rb") as file:
            yield from _decoded(file, place)
    except OSError as error:
        raise InputError(place, f"cannot be read ({error.strerror})") from None


def _decoded(lines: Iterable[bytes], shown: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{shown}:{number}", "got bytes that are no UTF-8") from None


def load_plans(
    place: str, *, shared: bool | None = None, quotes: bool = True
) -> Iterator[NamedPlan | Unreadable]:
    """Every plan in a file, or in the standard input for ``-``.  Raises InputError.

    Where a printed plan leaves it open, `shared` says whether equal subtrees are one node or
    two, and ``quotes=False`` that no text in it holds a double quote.
    """
    try:
        if place == "-":
            raw, name, shown = sys.stdin.buffer.read(), "stdin", "stdin"
        else:
            raw, name, shown = Path(place).read_bytes(), Path(place).stem, place
    except OSError as error:
        raise InputError(place, f"cannot be read ({error.strerror})") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{shown}:{line}", "got bytes that are no UTF-8") from None
    lines = Path(place).suffix == ".jsonl"
    return read_plans(text, name=name, shown=shown, lines=lines, shared=shared, quotes=quotes)


def read_plans(
    text: str,
    *,
    name: str,
    shown: str | None = None,
    lines: bool = False,
    shared: bool | None = None,
    quotes: bool = True,
) -> Iterator[NamedPlan | Unreadable]:
    """The plans in a text: JSON if it begins with ``{``, one on each line with `lines`."""
    shown = shown or name
    if not text.lstrip().startswith(("{", "[")) and not lines:
        yield _named(
            name,
            shown,
            lambda: NamedPlan(name, plan_from_text(text, shared=shared, quotes=quotes)),
        )
        return
    if not lines:
        try:
            json.loads(text)
        except ValueError as error:
            # Several objects, one a line, whatever the file is called.
            lines = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
        except RecursionError:
            pass
    if not lines:
        yield _read_json(text, name, shown)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield _read_json(line, name, f"{shown}:{number}")


def _read_json(text: str, name: str, shown: str) -> NamedPlan | Unreadable:
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        place = (
            f"{shown}:{error.lineno}:{error.colno}" if "\n" in text else f"{shown}:{error.colno}"
        )
        return Unreadable(name, "json", InputError(place, f"got no JSON: {error.msg}"))
    except RecursionError:
        return Unreadable(name, "json", InputError(shown, "got JSON nested too deeply"))
    query = ""
    if isinstance(value, dict) and "plan" in value:
        name = value["name"] if isinstance(value.get("name"), str) else name
        query = value["query"] if isinstance(value.get("query"), str) else ""
        value = value["plan"]
    return _named(name, shown, lambda: NamedPlan(name, plan_from_json(value), query))


def _named(name: str, shown: str, read: Any) -> NamedPlan | Unreadable:
    try:
        named: NamedPlan = read()
    except GraphError as error:
        return Unreadable(name, error.rule, InputError(shown, str(error)))
    return named
