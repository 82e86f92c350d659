"""Instants, spans and ranges of time, in the forms that a plan prints.

Units: an instant is an integer count of nanoseconds since the Unix epoch, a span a count of
    nanoseconds.  Integers, so that no comparison depends on rounding.
Unset: the reference marks an unset instant by the first second of year 1.  Here it is None, and
    `format_instant` prints it the reference's way.

>>> str(Timestamp.parse("2025-01-01T00:00:00.25Z"))
'2025-01-01T00:00:00.25Z'
>>> format_duration(90_000_000_000)
'1m30s'
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = [
    "UNSET_TEXT",
    "TimeRange",
    "Timestamp",
    "format_duration",
    "format_instant",
    "parse_duration",
    "parse_instant",
]

UNSET_TEXT: Final = "0001-01-01T00:00:00Z"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_SECOND: Final = 1_000_000_000
_DURATION: Final = re.compile(
    r"(-?)(?=\d)(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)(?:\.(\d+))?(s|ms|µs|us|ns))?", re.ASCII
)
_UNITS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": _SECOND}


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant.  Equality and order look at the instant only, printing also at the zone."""

    ns: int  # since the Unix epoch
    offset_minutes: int = field(default=0, compare=False)  # east of UTC

    @classmethod
    def parse(cls, text: str) -> "Timestamp":
        """Read RFC 3339 with up to nine fractional digits.  Raises ValueError."""
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(f"got {text!r}, expected an RFC 3339 time such as {UNSET_TEXT}")
        *date, fraction, sign, hours, minutes = match.groups()
        try:
            wall = datetime(*(int(part) for part in date), tzinfo=UTC)  # type: ignore[arg-type,misc]
        except ValueError as error:
            raise ValueError(f"got {text!r}, expected a date that exists: {error}") from None
        offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1) if sign else 0
        seconds = (wall - _EPOCH) // timedelta(seconds=1) - offset * 60
        return cls(seconds * _SECOND + int((fraction or "").ljust(9, "0")), offset)

    def __str__(self) -> str:
        seconds, fraction = divmod(self.ns, _SECOND)
        wall = _EPOCH + timedelta(seconds=seconds, minutes=self.offset_minutes)
        # isoformat pads the year to four digits on every platform, strftime does not.
        text = wall.replace(tzinfo=None).isoformat(timespec="seconds")
        if fraction:
            text += f".{fraction:09d}".rstrip("0")
        if not self.offset_minutes:
            return text + "Z"
        hours, minutes = divmod(abs(self.offset_minutes), 60)
        return f"{text}{'-' if self.offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}"


_UNSET: Final = Timestamp.parse(UNSET_TEXT)


def format_instant(instant: Timestamp | None) -> str:
    """RFC 3339; an unset instant prints as the first second of year 1."""
    return UNSET_TEXT if instant is None else str(instant)


def parse_instant(text: str) -> Timestamp | None:
    """The instant that `format_instant` printed; the unset one in any zone.  Raises ValueError."""
    instant = Timestamp.parse(text)
    return None if instant == _UNSET else instant


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From start to end, both inclusive; None leaves a bound unset (semantics 1.8)."""

    start: Timestamp | None = None
    end: Timestamp | None = None

    @property
    def is_zero(self) -> bool:
        """Whether neither bound is set."""
        return self.start is None and self.end is None

    def merge(self, other: "TimeRange") -> "TimeRange":
        """The smallest range that covers both, bound by bound; an unset bound gives way."""
        if self.is_zero:  # how every sum begins: half the time of a fragment's range
            return other
        return TimeRange(
            min((t for t in (self.start, other.start) if t is not None), default=None),
            max((t for t in (self.end, other.end) if t is not None), default=None),
        )

    def overlaps(self, other: "TimeRange") -> bool:
        """Whether the two share an instant; an unset bound counts as year 1, as it prints."""
        return _rank(self.start) <= _rank(other.end) and _rank(other.start) <= _rank(self.end)

    def __str__(self) -> str:
        return f"start={format_instant(self.start)} end={format_instant(self.end)}"


def _rank(instant: Timestamp | None) -> tuple[bool, int]:
    return (False, 0) if instant is None else (True, instant.ns)


def format_duration(ns: int) -> str:
    """A span as Go prints it: 0s, 30s, 1m0s, 1h30m0s, 1.5s, 250ms."""
    sign, rest = ("-" if ns < 0 else ""), abs(ns)
    if rest == 0:
        return "0s"
    if rest < _SECOND:
        unit = next(u for u in ("ms", "µs", "ns") if rest >= _UNITS[u])
        return f"{sign}{_decimal(rest, _UNITS[unit])}{unit}"
    minutes, rest = divmod(rest, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_decimal(rest, _SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    return f"{whole}.{str(unit + part)[1:]}".rstrip("0") if part else str(whole)


def parse_duration(text: str) -> int:
    """The span that `format_duration` printed, in nanoseconds.  Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"got {text!r}, expected a duration such as 0s, 250ms or 1h30m0s")
    sign, hours, minutes, whole, fraction, unit = match.groups()
    total = int(hours or 0) * 3600 * _SECOND + int(minutes or 0) * 60 * _SECOND
    if unit:
        scale = _UNITS[unit]
        digits = fraction or ""
        total += int(whole) * scale + int(digits or 0) * scale // 10 ** len(digits)
    return -total if sign else total
