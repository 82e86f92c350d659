r"""One line of a log as it comes, in three forms, and what of it is kept.

Times: RFC 3339, or a whole number since the epoch; in UTC if they name no zone.  The whole line is
the message, except in JSON, where it has a field.  Whatever a line may hold is bounded: `Limits`.

>>> json_line('{"timestamp": "1970-01-01T00:00:01Z", "line": "hi", "object": 3}', Limits())
Line(ns=1000000000, message='hi', labels=(), metadata=(), stream_id=None, object=3)
>>> LogfmtReader(Limits(), label_keys=("app",)).line("ts=1 app=x msg=hi").labels
(('app', 'x'),)
>>> TextReader(Limits(), pattern="[%d/%b/%Y %H:%M:%S %z]").line("[01/Jan/1970 01:00:01 +0100]").ns
1000000000
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from properties.oracle.parsing import ParseError, parse_logfmt
from workflow.times import Timestamp

__all__ = ["BadLine", "Limits", "Line", "LogfmtReader", "Pairs", "TextReader", "json_line"]

Pairs = tuple[tuple[str, str], ...]

_I64: Final = 2**63
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_FIELDS: Final = ("timestamp", "line", "labels", "metadata", "stream_id", "object")
_TIME_KEYS: Final = ("ts", "time", "timestamp")
_SECOND: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_DIRECTIVES: Final = {
    "Y": r"(?P<Y>\d{4})",
    "m": r"(?P<m>\d\d?)",
    "b": f"(?P<b>{'|'.join(_MONTHS)})",
    "d": r"(?P<d>\d\d?)",
    "H": r"(?P<H>\d\d?)",
    "M": r"(?P<M>\d\d)",
    "S": r"(?P<S>\d\d)",
    "f": r"(?P<f>\d{1,9})",
    "z": r"(?P<z>Z|[+-]\d\d:?\d\d)",
    "s": r"(?P<s>\d{1,19})",
    "%": "%",
}
_USUAL: Final = re.compile(
    rf"{_DIRECTIVES['Y']}-{_DIRECTIVES['m']}-{_DIRECTIVES['d']}[T ]"
    rf"{_DIRECTIVES['H']}:{_DIRECTIVES['M']}:{_DIRECTIVES['S']}"
    rf"(?:[.,]{_DIRECTIVES['f']})? ?{_DIRECTIVES['z']}?",
    re.ASCII,
)


class BadLine(ValueError):
    """A line that is refused: what was seen, and what would be right."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an input may hold."""

    line_bytes: int = 256 * 1024
    labels: int = 64  # of a line, and as many of metadata
    name_bytes: int = 1024
    value_bytes: int = 2048
    names: int = 1000  # of labels and of metadata, in a bucket
    streams: int = 100_000
    objects: int = 10_000
    input_bytes: int = 16 * 2**30  # unpacked


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log.  Labels and metadata are sorted by name and hold no empty text."""

    ns: int
    message: str
    labels: Pairs = ()
    metadata: Pairs = ()
    stream_id: int | None = None
    object: int | None = None


def json_line(text: str, limits: Limits) -> Line:
    """A line as a JSON object, as data/input.jsonl of the tests has them.  Raises BadLine."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise BadLine("got no JSON, expected an object") from None
    if not isinstance(value, dict):
        raise BadLine(f"got {type(value).__name__}, expected an object")
    for name in value:
        if name not in _FIELDS:
            raise BadLine(f"got field {_short(name)}, expected {', '.join(_FIELDS)}")
    for name in ("timestamp", "line"):
        if name not in value:
            raise BadLine(f"got no {name}, expected one")
    return Line(
        _json_time(value["timestamp"]),
        _text(value["line"], "line"),
        _pairs(value.get("labels", {}), "labels", limits),
        _pairs(value.get("metadata", {}), "metadata", limits),
        _whole(value.get("stream_id"), "stream_id", _I64 // 2),
        _whole(value.get("object"), "object", limits.objects),
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _json_time(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_range(value, str(value))
    return _time(_text(value, "timestamp"))


def _in_range(ns: int, shown: str) -> int:
    if not -_I64 <= ns < _I64:
        raise BadLine(f"got time {shown}, expected one from 1677 to 2262")
    return ns


def _time(text: str) -> int:
    """RFC 3339, or a whole number of seconds, milli-, micro- or nanoseconds, as its size tells."""
    if text.isdecimal() and text.isascii() and len(text) <= 19:
        digits = len(text)
        return _in_range(int(text) * 1000 ** max(0, 3 - max(0, digits - 9) // 3), text)
    try:
        return _in_range(Timestamp.parse(text).ns, text)
    except ValueError as error:
        raise BadLine(str(error) if len(text) <= 60 else f"got time {_short(text)}") from None


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise BadLine(f"got {_short(value)} as {field}, expected text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadLine(f"got half a letter in {field}, expected Unicode") from None
    return value


def _whole(value: object, field: str, end: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
        raise BadLine(f"got {_short(value)} as {field}, expected 0 to {end - 1}")
    return value


def _pairs(value: object, field: str, limits: Limits) -> Pairs:
    if not isinstance(value, Mapping):
        raise BadLine(f"got {_short(value)} as {field}, expected an object")
    if len(value) > limits.labels:
        raise BadLine(f"got {len(value)} {field}, expected {limits.labels} at most")
    for name, text in value.items():
        if not _LABEL.fullmatch(name) or len(name) > limits.name_bytes:
            raise BadLine(f"got {_short(name)} in {field}, expected letters, digits and _")
        size = len(_text(text, f"{field}.{name[:40]}").encode())
        if size > limits.value_bytes:
            right = f"{limits.value_bytes} at most"
            raise BadLine(f"got {size} bytes as {field}.{name[:40]}, expected {right}")
    return tuple(sorted((name, text) for name, text in value.items() if text))


class LogfmtReader:
    """Lines in logfmt: the time and the labels are among the pairs, the line is the message.

    Raises BadLine for labels that no line may have.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        time_key: str | None = None,
        label_keys: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits
        self._time_keys = _TIME_KEYS if time_key is None else (time_key,)
        self._label_keys = label_keys
        self._labels = dict(_pairs(labels or {}, "labels", limits))

    def line(self, text: str) -> Line:
        """Raises BadLine."""
        try:
            pairs = parse_logfmt(text, keep_empty=False)
        except ParseError:
            raise BadLine("got no logfmt, expected key=value pairs") from None
        time = next((pairs[key] for key in self._time_keys if key in pairs), None)
        if time is None:
            raise BadLine(f"got no time, expected {' or '.join(self._time_keys)}")
        found = {key: pairs[key] for key in self._label_keys if key in pairs}
        return Line(_time(time), text, _pairs({**self._labels, **found}, "labels", self._limits))


class TextReader:
    """Lines of plain text in which a time stands somewhere; the first one counts.

    A pattern is text with ``%Y %m %b %d %H %M %S %f %z %s``; without one it is a date and a time as
    in RFC 3339, a blank, a comma and no zone allowed.  Raises BadLine for a pattern without a date.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        pattern: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._find = _USUAL if pattern is None else _compiled(pattern)
        self._labels = _pairs(labels or {}, "labels", limits)

    def line(self, text: str) -> Line:
        """Raises BadLine."""
        match = self._find.search(text)
        if match is None:
            raise BadLine("got no time, expected one that the pattern finds")
        return Line(_matched(match.groupdict()), text, self._labels)


def _compiled(pattern: str) -> re.Pattern[str]:
    out, names = [], ""
    parts = re.split(r"%(.?)", pattern, flags=re.DOTALL)
    for index, part in enumerate(parts):
        if index % 2 == 0:
            out.append(re.escape(part))
        elif part not in _DIRECTIVES or part in names:
            known = " ".join(f"%{name}" for name in _DIRECTIVES)
            raise BadLine(f"got %{part} in the pattern, expected each of {known} once at most")
        else:
            out.append(_DIRECTIVES[part])
            names += part if part != "%" else ""
    if "s" not in names and not ("Y" in names and "d" in names and ("m" in names or "b" in names)):
        raise BadLine(f"got pattern {_short(pattern)}, expected %s, or %Y, %m or %b, and %d in it")
    return re.compile("".join(out), re.ASCII)


def _matched(parts: Mapping[str, str | None]) -> int:
    """Nanoseconds since the epoch."""
    fraction = int((parts.get("f") or "").ljust(9, "0"))
    if parts.get("s"):
        return _in_range(int(parts["s"] or 0) * _SECOND + fraction, str(parts["s"]))
    month = _MONTHS.index(parts["b"] or "") + 1 if parts.get("b") else int(parts["m"] or 0)
    hour, minute, second = (int(parts.get(name) or 0) for name in "HMS")
    year, day = int(parts["Y"] or 0), int(parts["d"] or 0)
    try:
        wall = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise BadLine(f"got a time that does not exist ({error})") from None
    zone = (parts.get("z") or "Z").replace(":", "")
    if zone != "Z":
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
        wall_ns = (wall - _EPOCH + (away if zone[0] == "-" else -away)) // timedelta(seconds=1)
    else:
        wall_ns = (wall - _EPOCH) // timedelta(seconds=1)
    return _in_range(wall_ns * _SECOND + fraction, str(wall))
