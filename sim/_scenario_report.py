"""What is wrong with a scenario's text, and on which line: the problems of one reading.

tomllib says nothing about where a value stood, so `Lines` looks for the keys once more.

>>> lines = Lines("[cluster]\\nslots = 2 # few\\nworkers = 3")
>>> report = Report("s.toml", lines)
>>> report.mismatch(("cluster", "workers"), 3, "a miracle")
>>> report.found
('s.toml:3: [cluster] workers: got 3, expected a miracle',)
"""

import json
import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

__all__ = ["Lines", "NoToml", "Place", "Report", "one_of", "parse_toml", "short"]

Json = Any  # what the json module gives and takes

Place = tuple[str | int, ...]  # keys and indices, from the top down


class NoToml(ValueError):
    """A text that is no TOML; `args` is where, and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)

    def __str__(self) -> str:
        return "{}: got no TOML: {}".format(*self.args)


class Report:
    """The problems found so far.  Without `lines`, in a value that comes from no text."""

    def __init__(self, where: str, lines: "Lines | None") -> None:
        self._where = where
        self.lines = lines
        self._found: list[tuple[int, str]] = []

    @property
    def noun(self) -> str:
        """What a table is called in the form at hand."""
        return "an object" if self.lines is None else "a table"

    def add(self, path: Place, message: str, *, line: int | None = None) -> None:
        """Note a problem of what stands at `path`."""
        where = self._where
        if self.lines is not None:
            line = line or self.lines.of(path)
            where = f"{where}:{line}"
        label = _label(path)
        text = f"{where}: {label}: {message}" if label else f"{where}: {message}"
        self._found.append((line or 0, text))

    def mismatch(self, path: Place, value: object, expected: str) -> None:
        """Note a value that is not what it should be."""
        self.add(path, f"got {self.shown(value)}, expected {expected}")

    def shown(self, value: object) -> str:
        """A value from outside, which may be of any size."""
        if value is None or isinstance(value, bool):
            return json.dumps(value)
        if isinstance(value, int):
            bits = value.bit_length()
            return str(value) if bits <= 70 else f"an integer of {bits} bits"
        if isinstance(value, str):
            return short(value)
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, dict):
            return self.noun
        if value == []:
            return "an empty list"
        return "a list" if isinstance(value, list) else f"a {type(value).__name__}"

    @property
    def found(self) -> tuple[str, ...]:
        """All problems, in the order of their lines."""
        return tuple(text for _, text in sorted(self._found, key=lambda found: found[0]))


def _label(path: Place) -> str:
    """``[workload 0.client] pause.mean``."""
    head, rest = "", list(path)
    if len(path) > 1 and path[0] in {"workload", "fault"}:
        head, rest = f"{path[0]} {path[1]}", rest[2:]
        if len(path) > 3 and path[2] == "client":
            head, rest = f"{head}.client", rest[1:]
    elif len(path) > 1 and path[0] == "cluster":
        head, rest = "cluster", rest[1:]
    name = ""
    for part in rest:
        if isinstance(part, int):
            name += f"[{part}]"
        else:
            plain = part if re.fullmatch(r"[\w-]{1,40}", part, re.ASCII) else short(part)
            name += f".{plain}" if name else plain
    return f"[{head}] {name}".rstrip() if head else name


def short(text: str) -> str:
    """A text in quotes, at most 60 characters of it."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def one_of(names: Sequence[str], got: object) -> str:
    """What was expected instead of `got`: the names, and the nearest."""
    listed = f"one of {', '.join(names)}"
    near = get_close_matches(got[:100], names, 1) if isinstance(got, str) else []
    return listed + (f"; did you mean {near[0]!r}?" if near else "")


def parse_toml(text: str, where: str) -> dict[str, Json]:
    """Read a text whose line ends are LF.  Raises NoToml, and nothing else."""
    try:
        text.encode()
        return tomllib.loads(text)
    except UnicodeEncodeError as error:
        line, problem = text.count("\n", 0, error.start) + 1, "half of a surrogate pair"
        place = f"{where}:{line}"
    except tomllib.TOMLDecodeError as error:
        # The position is part of the message, up to Python 3.13 only there.
        message = str(error)
        match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        if match is None:
            place, problem = where, message
        else:
            line = int(match[1]) if match[1] else text.count("\n") + (text[-1:] != "\n")
            place = f"{where}:{line}:{match[2]}" if match[2] else f"{where}:{max(line, 1)}"
            problem = message[: match.start()]
    except RecursionError:
        place, problem = where, "values nested too deeply"
    except ValueError:  # an integer of thousands of digits
        place, problem = where, "a number too long to read"
    raise NoToml(place, problem)


# No field lies deeper, and each level of a key is remembered.
_DEEPEST: Final = 12
_KEY: Final = r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
_ONE_KEY: Final = re.compile(_KEY)
_KEYS: Final = re.compile(rf"[ \t]*(?:{_KEY})(?:[ \t]*\.[ \t]*(?:{_KEY}))*[ \t]*")
_SPACE: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_LONG_TEXT: Final = re.compile(r"""[ \t]*(?:\"{3}|'{3})\n""")
_TOKEN: Final = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'{3}.*?\'{3}(?:'{0,2})'''
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}]|\n|[^"'\#\[\]{}\n]+""",
    re.DOTALL,
)


class Lines:
    """On which line of a TOML text each key and each header stands.

    Of a text that tomllib would not read, as much as makes sense.
    """

    def __init__(self, text: str) -> None:
        self._line: dict[Place, int] = {}
        self.text_line: dict[Place, int] = {}  # on which a text of several lines begins
        self._last: dict[Place, int] = {}  # index in a list of tables
        self._read(text)

    def of(self, path: Place) -> int:
        """The line of a key; of what it would stand in, if it is not there."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._line:
                return self._line[path[:end]]
        return 1

    def _read(self, text: str) -> None:
        at, number = 0, 1
        table: Place = ()
        while True:
            start = _SPACE.match(text, at)
            number += text.count("\n", at, start.end() if start else at)
            at = start.end() if start else at
            brackets = 2 if text.startswith("[[", at) else int(text.startswith("[", at))
            keys = _KEYS.match(text, at + brackets)
            if keys is None:
                return
            names = tuple(_name(key) for key in _ONE_KEY.findall(keys[0])[:_DEEPEST])
            at = keys.end() + (brackets or 1)
            if brackets:
                table = self._table(names, is_list=brackets == 2)
                self._put(table, 0, number)
                continue
            path = (*table, *names)
            self._put(path, len(table), number)
            if _LONG_TEXT.match(text, at):
                self.text_line[path] = number + 1
            end = _end_of_value(text, at)
            number += text.count("\n", at, end)
            at = end

    def _table(self, names: tuple[str, ...], *, is_list: bool) -> Place:
        path: Place = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self._last:
                path = (*path, self._last[path])
        path = (*path, names[-1])
        if is_list:
            self._last[path] = self._last.get(path, -1) + 1
            path = (*path, self._last[path])
        return path

    def _put(self, path: Place, known: int, number: int) -> None:
        for end in range(known + 1, len(path) + 1):
            self._line.setdefault(path[:end], number)


def _name(key: str) -> str:
    if key[0] == '"':
        name: str = tomllib.loads(f"key = {key}")["key"]
        return name
    return key.strip("'")


def _end_of_value(text: str, at: int) -> int:
    depth = 0
    while (token := _TOKEN.match(text, at)) is not None:
        if token[0] == "\n" and not depth:
            break
        depth += (token[0] in {"[", "{"}) - (token[0] in {"]", "}"})
        at = token.end()
    return at
