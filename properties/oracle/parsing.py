r"""What PARSE_LOGFMT, PARSE_JSON and PARSE_REGEXP find in a line (semantics 11.3, 11.7).

Each gives the pairs of a line, or an error's name instead.  A line with an error gives no pairs,
not even those before it.

>>> parse_logfmt('level=warn msg="say \\"hi\\"" empty= 1st=x', keep_empty=False)
{'level': 'warn', 'msg': 'say "hi"', '_1st': 'x'}
>>> parse_json('{"a": {"b c": 1.50}, "list": [1], "none": null}')
{'a_b_c': '1.50'}
>>> parse_regexp(["GET /x", "?"], r"(?P<verb>GET|POST) (\S+)")
[{'verb': 'GET'}, {}]
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["ParseError", "parse_json", "parse_logfmt", "parse_regexp"]

Pairs = dict[str, str]

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"
_ESCAPES: Final = {
    **{letter: letter for letter in "\"\\/'"},
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_UNKNOWN: Final = "\ufffd"
_DEEPEST: Final = 256  # JSON values inside of one another: beyond, a line is none


class ParseError(ValueError):
    """A line that a parser gives up on; the error's name goes into ``__error__``."""


def _clean(key: str) -> str:
    """A key as a column's name: other letters become ``_``, and a digit in front gets one."""
    key = key.strip()
    head = "_" if key[:1] in tuple("0123456789") else ""
    return head + "".join(letter if letter in _LETTERS else "_" for letter in key)


def parse_logfmt(line: str, *, keep_empty: bool) -> Pairs:
    """The pairs of a line; the first of a repeated key.  Raises ParseError."""
    found: Pairs = {}
    for key, value in _logfmt_pairs(line):
        name = _clean(key)
        if name and (value or keep_empty):
            found.setdefault(name, value)
    return found


def _logfmt_pairs(line: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(line):
        if line[at] <= " ":
            at += 1
            continue
        end = _until(line, at, '="')
        key = line[at:end]
        if not key or _UNKNOWN in key or line[end : end + 1] == '"':
            raise ParseError("LogfmtParserErr")
        if line[end : end + 1] != "=":
            yield key, ""
            at = end
            continue
        at = end + 1
        if line[at : at + 1] == '"':
            value, at = _quoted(line, at)
        else:
            end = _until(line, at, '="')
            if line[end : end + 1] in ("=", '"'):
                raise ParseError("LogfmtParserErr")
            value, at = line[at:end], end
        yield key, value


def _until(line: str, at: int, stops: str) -> int:
    """Where a word that begins at `at` ends: at a blank, at one of `stops`, or with the line."""
    while at < len(line) and line[at] > " " and line[at] not in stops:
        at += 1
    return at


def _quoted(line: str, at: int) -> tuple[str, int]:
    """The text whose opening quote is at `at`, and where it ends."""
    end, escaped = at + 1, False
    while end < len(line) and line[end] != '"':
        escaped = escaped or line[end] == "\\"
        end += 2 if line[end] == "\\" else 1
    if end >= len(line):
        raise ParseError("LogfmtParserErr")
    inner = line[at + 1 : end]
    return (_unescaped(inner) if escaped else inner), end + 1


def _unescaped(text: str) -> str:
    units: list[str] = []
    at = 0
    while at < len(text):
        letter = text[at]
        if letter < " ":
            raise ParseError("LogfmtParserErr")
        if letter != "\\":
            units.append(letter)
            at += 1
        elif text[at + 1] in _ESCAPES:
            units.append(_ESCAPES[text[at + 1]])
            at += 2
        else:
            digits = text[at + 2 : at + 6]
            if text[at + 1] != "u" or len(digits) < 4 or digits.strip("0123456789abcdefABCDEF"):
                raise ParseError("LogfmtParserErr")
            units.append(chr(int(digits, 16)))
            at += 6
    return _joined("".join(units))


def _joined(text: str) -> str:
    """Pairs of surrogates become one letter, half a pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Number(str):
    """A number as it is spelled in the line."""

    __slots__ = ()


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


class _Object(list[tuple[str, Any]]):
    """The pairs of an object in the order of the line, repeated keys included."""


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_float=_Number,
    parse_int=_Number,
    parse_constant=_no_constant,
)


def parse_json(line: str) -> Pairs:
    """The pairs of an object, nested keys joined with ``_``.  Raises ParseError for no object."""
    if _depth(line) > _DEEPEST:
        raise ParseError("JSONParserErr")
    try:
        value: Any = _JSON.decode(line)
    except (ValueError, RecursionError):
        raise ParseError("JSONParserErr") from None
    if not isinstance(value, _Object):
        raise ParseError("JSONParserErr")
    found: Pairs = {}
    for name, text in _json_pairs(value, ()):
        if name:
            found.setdefault(name, text)
    return found


def _depth(line: str) -> int:
    """How many objects and lists stand inside of one another, if the line is JSON."""
    depth = deepest = at = 0
    in_text = False
    while at < len(line):
        letter = line[at]
        if in_text:
            at += letter == "\\"
            in_text = letter != '"'
        elif letter == '"':
            in_text = True
        elif letter in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "}]":
            depth -= 1
        at += 1
    return deepest


def _json_pairs(value: _Object, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, each in value:
        path = (*above, _clean(key)) if _clean(key) else above
        if isinstance(each, _Object):
            yield from _json_pairs(each, path)
        elif isinstance(each, bool):
            yield "_".join(path), "true" if each else "false"
        elif isinstance(each, str):
            yield "_".join(path), str(each) if isinstance(each, _Number) else _json_text(each)


def _json_text(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return ""  # half a surrogate pair: the reference cannot unescape the text
    return text.replace(_UNKNOWN, " ")


def parse_regexp(lines: Sequence[str], pattern: str) -> list[Pairs] | None:
    """The named groups of each line, no pairs where the pattern does not match.

    None for a pattern that is invalid, or names no group or one twice.
    """
    try:
        found = pc.extract_regex(pa.array(lines, pa.string()), _without_unnamed(pattern))
    except pa.ArrowInvalid:
        return None
    names = [field.name for field in found.type]
    if not names or len(dict.fromkeys(names)) < len(names):
        return None
    return [each or {} for each in found.to_pylist()]


def _without_unnamed(pattern: str) -> str:
    """The pattern with ``(?:`` for each unnamed group, which the kernel does not take."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        size = 1
        if pattern.startswith("\\Q", at):
            end = pattern.find("\\E", at)
            size = (len(pattern) if end < 0 else end + 2) - at
        elif pattern[at] == "\\":
            size = 2
        elif pattern[at] == "[":
            size = _class_end(pattern, at) - at
        piece = pattern[at : at + size]
        out.append("(?:" if piece == "(" and pattern[at + 1 : at + 2] != "?" else piece)
        at += size
    return "".join(out)


def _class_end(pattern: str, start: int) -> int:
    """Where the class of letters that opens at `start` ends."""
    at = start + 2 if pattern.startswith("[^", start) else start + 1
    first = at
    while at < len(pattern):
        if pattern.startswith("[:", at) and ":]" in pattern[at + 2 :]:
            at = pattern.index(":]", at + 2) + 2
        elif pattern[at] == "\\":
            at += 2
        elif pattern[at] == "]" and at > first:
            return at + 1
        else:
            at += 1
    return len(pattern)
