"""Lines become columns: PARSE_LOGFMT, PARSE_JSON and PARSE_REGEXP (semantics 11.3, 11.7).

A line that cannot be parsed gets no parsed values and an error; one that a regular expression
does not match gets neither.  Of repeated keys the first counts.  There is no kernel for logfmt or
for one JSON value a row: these two go line by line.

>>> logfmt_pairs('a=1 msg="two words" flag')
[('a', '1'), ('msg', 'two words'), ('flag', '')]
>>> clean_key("9.to-5")
'_9_to_5'
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from workflow.execute.rows import Rows
from workflow.execute.scalars import NULL_TEXT, TRUE, text
from workflow.expressions import Call, Column, Literal
from workflow.plan import PlanError

__all__ = [
    "PARSERS",
    "Parsed",
    "Parser",
    "clean_key",
    "json_pairs",
    "logfmt_pairs",
    "parse",
    "parser_of",
]

_Pair = tuple[str, str]

_DEEPEST: Final = 256  # values inside of one another, in JSON
_UNKNOWN: Final = "\ufffd"
_BLANK: Final = re.compile(r"[\x00-\x20]")
_NO_BLANK: Final = re.compile(r"[^\x00-\x20]")
_QUOTED: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")
_BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]', re.DOTALL)
# What may be in a pattern: a quotation, an escape, a class of letters, a group without a name.
_PIECE: Final = re.compile(
    r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:.*?:\]|\\.|[^\]])*\]?|\((?!\?)", re.DOTALL
)
_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parse found: a text column for each key that occurs, and which rows failed."""

    columns: dict[str, pa.Array]
    failed: pa.Array | None  # None: no row did
    details: pa.Array | None
    error: str


@dataclass(frozen=True, slots=True)
class Parser:
    """A parse function with its arguments read."""

    source: Column
    keys: tuple[str, ...]
    keep_empty: bool
    pattern: str
    operator: str


class _BadLineError(ValueError):
    """A line that is not of the form; says why."""


def parser_of(call: Call, where: str) -> Parser:
    """The arguments of a parse function.  Raises PlanError (``parse-arguments``)."""
    shape = {
        "PARSE_LOGFMT": (Column, tuple, bool, bool),
        "PARSE_JSON": (Column, tuple, bool, bool),
        "PARSE_REGEXP": (Column, str),
    }[call.operator]
    values = [arg.value if isinstance(arg, Literal) else arg for arg in call.args]
    if len(values) != len(shape) or not all(map(isinstance, values, shape)):
        wanted = "a column, a list of keys and two flags" if len(shape) == 4 else "a column, a text"
        raise PlanError("parse-arguments", where, f"got {call}, expected {wanted}")
    read: list[Any] = values
    if len(shape) == 2:
        return Parser(read[0], (), True, read[1], call.operator)
    # JSON keeps empty values whatever the flag says; no parse gives part of a bad line, so that
    # `strict` changes nothing.
    keep = read[3] or call.operator == "PARSE_JSON"
    return Parser(read[0], read[1], keep, "", call.operator)


def parse(parser: Parser, rows: Rows) -> Parsed:
    """Parse one column of some rows."""
    return PARSERS[parser.operator](parser, rows.text(parser.source))


def _by_line(
    parser: Parser, lines: pa.Array, error: str, pairs_of: Callable[[str], Iterable[_Pair]]
) -> Parsed:
    wanted = dict.fromkeys(parser.keys)
    count = len(lines)
    found: dict[str, list[str | None]] = {}
    failures: dict[int, str] = {}
    for place, line in enumerate(lines.to_pylist()):
        try:
            pairs = pairs_of(line)
        except _BadLineError as bad:
            failures[place] = str(bad)
            continue
        for key, value in pairs:
            if not key or (wanted and key not in wanted) or not (value or parser.keep_empty):
                continue
            if key not in found:
                found[key] = [None] * count
            if found[key][place] is None:
                found[key][place] = value
    columns = {key: pa.array(values, pa.string()) for key, values in found.items()}
    if not failures:
        return Parsed(columns, None, None, error)
    details = pa.array([failures.get(place) for place in range(count)], pa.string())
    return Parsed(columns, pc.is_valid(details), details, error)


def clean_key(key: str) -> str:
    """A key as the name of a column: letters, digits and ``_``, no digit first."""
    if key.isidentifier() and key.isascii():
        return key
    key = key.strip()
    cleaned = "".join(each if each in _WORD else "_" for each in key)
    return f"_{cleaned}" if cleaned[:1].isdigit() else cleaned


# logfmt

# Most lines have neither escapes nor mistakes: two passes of a pattern read them.
_PLAIN: Final = r'([^\x00-\x20="\ufffd]++)(?:=(?:"([^"\\]*+)"|([^\x00-\x20="]*+)))?+'
_PLAIN_LINE: Final = re.compile(rf"[\x00-\x20]*+(?:{_PLAIN}(?:[\x00-\x20]++|\Z))*+")
_PLAIN_PAIR: Final = re.compile(_PLAIN).findall


def logfmt_pairs(line: str) -> list[_Pair]:
    """Keys and values; a key without a value has an empty one.  Raises an error for a bad line.

    White space and control characters part pairs.  A value with ``=`` or ``"`` in it stands in
    double quotes, in which a backslash escapes as in JSON.
    """
    if _PLAIN_LINE.fullmatch(line):
        return [(clean_key(key), quoted or bare) for key, quoted, bare in _PLAIN_PAIR(line)]
    pairs: list[_Pair] = []
    begin = _NO_BLANK.search(line)
    while begin is not None:
        place = begin.start()
        stop = _BLANK.search(line, place)
        word = line[place : stop.start() if stop else len(line)]
        key, equal, value = word.partition("=")
        if not key or '"' in key:
            raise _unexpected(word, '"' if key else "=", place)
        if _UNKNOWN in key:
            raise _unexpected(word, _UNKNOWN, place)
        if value.startswith('"'):
            value, place = _quoted(line, place + len(key) + 1)
        elif "=" in value or '"' in value:
            after = len(key) + len(equal)
            wrong = next(each for each in value if each in '="')
            raise _unexpected(value, wrong, place + after)
        else:
            place += len(word)
        pairs.append((clean_key(key), value))
        begin = _NO_BLANK.search(line, place)
    return pairs


def _unexpected(text: str, character: str, place: int) -> _BadLineError:
    return _BadLineError(f"unexpected {character!r} at {place + text.index(character) + 1}")


def _quoted(line: str, start: int) -> tuple[str, int]:
    """The text whose quote opens at `start`, and where it is over."""
    found = _QUOTED.match(line, start)
    if found is None:
        raise _BadLineError(f"the quote at {start + 1} does not end")
    text = found[0]
    if "\\" not in text:
        return text[1:-1], found.end()
    try:
        # JSON has one escape less.  With an escape there may be no control character, as in JSON.
        value = json.loads(_ESCAPE.sub(lambda each: "'" if each[1] == "'" else each[0], text))
    except ValueError:
        raise _BadLineError(f"a bad escape in the quote at {start + 1}") from None
    return _HALF_PAIR.sub(_UNKNOWN, value), found.end()


# JSON


def json_pairs(line: str) -> list[_Pair]:
    """Keys and texts of a JSON object, nested keys joined by ``_``.  Raises an error for others.

    Numbers and truths keep their spelling; lists and nulls are left out.  A text with half a
    surrogate pair, which is no text, is empty, and U+FFFD becomes a space.
    """
    if _too_deep(line):  # where the parser itself would give up depends on who called it
        raise _BadLineError(f"more than {_DEEPEST} values inside of one another")
    try:
        value = _JSON.decode(line)
    except (ValueError, RecursionError) as error:
        raise _BadLineError(f"not JSON: {type(error).__name__}") from None
    if not isinstance(value, _Object):
        raise _BadLineError("not a JSON object")
    pairs: list[_Pair] = []
    stack = [("", iter(value.pairs))]
    while stack:
        prefix, rest = stack[-1]
        for key, each in rest:
            name = clean_key(key)
            name = f"{prefix}_{name}" if prefix and name else prefix or name
            if isinstance(each, _Object):
                stack.append((name, iter(each.pairs)))
                break
            if isinstance(each, bool):
                pairs.append((name, "true" if each else "false"))
            elif isinstance(each, str):
                pairs.append((name, "" if _HALF_PAIR.search(each) else each.replace(_UNKNOWN, " ")))
        else:
            stack.pop()
    return pairs


class _Object:
    """A JSON object with its keys in order, also those that come twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_Object, parse_float=str, parse_int=str, parse_constant=_no_constant
)


def _too_deep(line: str) -> bool:
    if line.count("{") + line.count("[") <= _DEEPEST:
        return False
    depth = 0
    for found in _BRACKETS.finditer(line):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if depth > _DEEPEST:
            return True
    return False


# regular expressions


def _by_pattern(parser: Parser, lines: pa.Array) -> Parsed:
    error = "RegexpParseErr"
    reason = ""
    try:
        groups = pc.extract_regex(lines, _named_groups_only(parser.pattern))
        names = [groups.type.field(place).name for place in range(groups.type.num_fields)]
        if not names:
            reason = "at least one group needs a name"
        elif len(dict.fromkeys(names)) < len(names):
            reason = "a name stands twice"
    except pa.ArrowInvalid as invalid:
        reason = str(invalid)
    if reason:
        count = len(lines)
        return Parsed({}, pa.repeat(TRUE, count), pa.repeat(text(reason), count), error)
    matched = pc.is_valid(groups)
    columns = {
        name: pc.if_else(matched, groups.field(place), NULL_TEXT)
        for place, name in enumerate(names)
    }
    return Parsed(columns, None, None, error)


def _named_groups_only(pattern: str) -> str:
    """The pattern with groups that have no name made groups that capture nothing.

    The kernel refuses a pattern with unnamed groups.
    """
    return _PIECE.sub(lambda piece: "(?:" if piece[0] == "(" else piece[0], pattern)


PARSERS: Final[dict[str, Callable[[Parser, pa.Array], Parsed]]] = {
    "PARSE_LOGFMT": lambda parser, lines: _by_line(parser, lines, "LogfmtParserErr", logfmt_pairs),
    "PARSE_JSON": lambda parser, lines: _by_line(parser, lines, "JSONParserErr", json_pairs),
    "PARSE_REGEXP": _by_pattern,
}
