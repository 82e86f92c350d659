"""Few lines become many: varied, repeated, and each at a time of its own.

Half of the lines are as they were but for their numbers.  The others are what queries look for:
JSON, a request, a timeout, a latency without a unit, and what no parser takes.  Some have one label
more, which is called as a key of the lines is, or metadata.

>>> given = [Line(0, "level=error status=200 latency=5ms", (("app", "shop"),))]
>>> [line.ns for line in varied_lines(given, 3, first=0, last=3)]
[0, 1, 2]
"""

import json
import re
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from properties.oracle.parsing import ParseError, parse_logfmt
from scenarios.data.lines import Line, Pairs

__all__ = ["varied_lines"]

_MINUTE: Final = 60 * 10**9
_NUMBER: Final = re.compile(r"\b(latency=|bytes=|request )\d+")
_STATUS: Final = re.compile(r"\bstatus=\d+")
_LATENCY: Final = re.compile(r"\blatency=(\d+)ms")
_LEVEL: Final = ("level", "info")


def varied_lines(
    given: Sequence[Line], rows: int, *, first: int, last: int, seed: int = 0
) -> Iterator[Line]:
    """So many lines in the order of their times, from `first` to before `last` in nanoseconds.

    The same for the same seed.  No two have the same time, and each full minute has a line.
    Raises ValueError for no lines, and for more rows than nanoseconds.
    """
    if not given or not 0 < rows <= last - first:
        span = f"{last - first} ns"
        raise ValueError(f"got {rows} rows in {span} of {len(given)} lines, expected fewer of some")
    chance = Random(f"windtunnel/varied/{seed}")
    for index in range(rows):
        begin, end = (first + (last - first) * each // rows for each in (index, index + 1))
        minute = -(-begin // _MINUTE) * _MINUTE
        ns = minute if minute < end else chance.randrange(begin, end)
        line = chance.choice(given)
        labels = line.labels
        if chance.random() < 0.1 and _LEVEL[0] not in dict(labels):
            labels = tuple(sorted((*labels, _LEVEL)))
        yield Line(ns, _message(line.message, chance), labels, _metadata(chance))


def _metadata(chance: Random) -> Pairs:
    which = chance.random()
    if which < 0.1:
        return (("zone", chance.choice("abc")),)
    return (("level", "warn"),) if which < 0.15 else ()


def _message(text: str, chance: Random) -> str:
    text = _NUMBER.sub(lambda found: f"{found[1]}{chance.randrange(5_000)}", text)
    text = _STATUS.sub(f"status={chance.choice((200, 200, 404, 500, 503))}", text)
    which = chance.random()
    if which < 0.5:
        return text
    if which < 0.6:
        return f"{chance.choice(('GET', 'POST', 'PUT'))} /item/{chance.randrange(9)} {text}"
    if which < 0.7:
        why = chance.choice(("upstream timeout", "deadline exceeded", "healthz timeout"))
        return f'{text} why="{why}"'
    if which < 0.8:
        host = chance.choice(("", " host=h0", " host=h1"))
        return _LATENCY.sub(r"latency=\1.5", text) + host
    if which < 0.95:
        return _as_json(text)
    return f'{text} why="cut sho'


def _as_json(text: str) -> str:
    try:
        return json.dumps(parse_logfmt(text, keep_empty=True))
    except ParseError:
        return json.dumps({"msg": text})
