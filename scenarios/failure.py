"""A failure: a run that broke a rule, and all that it takes to see it again.

As a file it is one JSON object: the scenario in full, the choices that were not the tamest, each
under its own identity, the rule, the classes that ran, a mark for each event, the first and the
last events in full, and versions.  So it still says something when the code around it has changed.
"""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from properties.judged import Judged, judged
from properties.monitors import MONITORS, Monitor, Violation
from scenarios.codes import pack
from scenarios.held import rows_of
from scenarios.inputs import InputError
from scenarios.named import find_class, name_of, name_parts, parts_named
from sim.choices import Choices, Deltas
from sim.parts import SOUND, Parts
from sim.scenario import Scenario
from sim.scenario_file import ScenarioError, scenario_from_json, scenario_to_json
from workflow.trace import Event
from workflow.version import VERSION

__all__ = [
    "FORMAT",
    "Failure",
    "Origin",
    "failure_from_code",
    "failure_from_json",
    "failure_of",
    "failure_to_code",
    "failure_to_json",
    "mark",
]

FORMAT: Final = "windtunnel.failure"
FORMAT_VERSION: Final = 1

_SHOWN: Final = 100  # of the first events, and of the last
_MARK: Final = 4  # digits
_UNFIT: Final = re.compile(r"[^\w.-]+")  # for the name of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a failure was found, and what it took to make it small."""

    test: str = ""  # a test's id, as pytest takes it
    target: str = ""  # what `windtunnel run` takes, with the seed
    seed: int | None = None
    profile: str = ""  # that was asked for, if it is not the scenario's own
    mutant: str = ""  # that was put in
    events: int = 0  # of the run in which it was found
    choices: int = 0  # not the tamest, in that run
    runs: int = 0  # that it took to reduce it


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that broke a rule."""

    scenario: Scenario
    choices: Mapping[str, int]
    violation: Violation
    parts: Parts = SOUND
    monitors: tuple[type[Monitor], ...] = ()  # beside those of `MONITORS`
    origin: Origin = Origin()
    expect: str = "holds"  # what a test of it wants: that the rule "holds", or is "violated"
    marks: tuple[str, ...] = ()  # of each event, see `mark`
    first: tuple[Event, ...] = ()
    last: tuple[Event, ...] = ()
    cause: tuple[str, ...] = ()  # what it does not happen without, in words
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """The id of the rule that was broken."""
        return self.violation.rule

    @property
    def name(self) -> str:
        """What it is called: the rule, and a few digits of what the run depends on."""
        what = [scenario_to_json(self.scenario), dict(self.choices), self.classes]
        digest = hashlib.sha256(json.dumps([self.rule, *what], sort_keys=True).encode())
        return f"{_UNFIT.sub('-', self.rule)}-{digest.hexdigest()[:6]}"

    @property
    def classes(self) -> list[str]:
        """The names of the parts and the rules that are not ours."""
        return [*name_parts(self.parts).values(), *map(name_of, self.monitors)]

    def run(
        self, choices: Choices | None = None, *, parts: Parts | None = None, stop: bool = True
    ) -> Judged:
        """Run it again.

        Raises what the engine raises for a plan that it refuses, and InputError if the data is not
        that over which it was run.
        """
        return judged(
            self.scenario,
            Deltas(self.choices) if choices is None else choices,
            parts=self.parts if parts is None else parts,
            monitors=(*MONITORS, *self.monitors),
            stop=stop,
            data=rows_of(self.scenario),
        )


def mark(event: Event) -> str:
    """Four digits that tell one event from another; a sum of all that it says."""
    text = json.dumps(event.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_MARK]


def failure_of(
    run: Judged,
    rule: str,
    *,
    parts: Parts = SOUND,
    monitors: Sequence[type[Monitor]] = (),
    origin: Origin | None = None,
    cause: Sequence[str] = (),
) -> Failure:
    """The failure that a run is.  Raises ValueError if it did not break the rule."""
    for violation in run.violations:
        if violation.rule == rule:
            break
    else:
        raise ValueError(f"rule: got {rule!r}, which this run does not violate")
    events = run.outcome.trace.events
    return Failure(
        scenario=run.outcome.scenario,
        choices=dict(sorted(run.outcome.deltas.items())),
        violation=violation,
        parts=parts,
        monitors=tuple(monitors),
        origin=origin or Origin(),
        marks=tuple(map(mark, events)),
        first=tuple(events[:_SHOWN]),
        last=tuple(events[_SHOWN:][-_SHOWN:]),
        cause=tuple(cause),
        versions={"windtunnel": VERSION, "python": platform.python_version()},
    )


def failure_to_json(failure: Failure) -> dict[str, Any]:
    """Write it in full, so that it stays the same when defaults change."""
    violation = failure.violation
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "name": failure.name,
        "rule": failure.rule,
        "sentence": violation.sentence,
        "seen": violation.seen,
        "right": violation.right,
        "proof": list(violation.events),
        "expect": failure.expect,
        "cause": list(failure.cause),
        "origin": asdict(failure.origin),
        "parts": name_parts(failure.parts),
        "monitors": [name_of(monitor) for monitor in failure.monitors],
        "scenario": scenario_to_json(failure.scenario),
        "choices": dict(sorted(failure.choices.items())),
        "marks": "".join(failure.marks),
        "first": [event.to_json() for event in failure.first],
        "last": [event.to_json() for event in failure.last],
        "versions": dict(failure.versions),
    }


def failure_to_code(failure: Failure, digest: str) -> str:
    """What of it is needed to run it again, in one line; empty if that would be too long.

    ``digest`` is its run's.
    """
    what: dict[str, Any] = {
        "rule": failure.rule,
        "scenario": scenario_to_json(failure.scenario),
        "choices": dict(sorted(failure.choices.items())),
    }
    if parts := name_parts(failure.parts):
        what["parts"] = parts
    if failure.monitors:
        what["monitors"] = [name_of(monitor) for monitor in failure.monitors]
    return pack(what, digest=digest)


def failure_from_code(what: dict[str, Any], *, where: str) -> Failure:
    """The failure of a code that was unpacked.  Raises InputError."""
    empty = {"parts": {}, "monitors": [], "marks": "", "first": [], "last": [], "versions": {}}
    words = {"sentence": "", "seen": "", "right": "", "expect": "holds", "proof": [], "cause": []}
    origin = {"origin": asdict(Origin())}
    form = {"format": FORMAT, "version": FORMAT_VERSION}
    return failure_from_json({**empty, **words, **origin, **what, **form}, where=where)


def failure_from_json(value: object, *, where: str = "failure") -> Failure:
    """Read what `failure_to_json` wrote, and import its classes.  Raises InputError."""
    reading = _Reading(where)
    table = reading.table(value)
    if table.get("format") != FORMAT:
        raise InputError(where, f"format: got {table.get('format')!r:.60}, expected {FORMAT!r}")
    if type(table.get("version")) is not int or table["version"] != FORMAT_VERSION:
        raise InputError(
            where, f"version: got {table.get('version')!r:.60}, expected {FORMAT_VERSION}"
        )
    try:
        scenario = scenario_from_json(table.get("scenario"), where=f"{where}: scenario")
    except ScenarioError as error:
        raise InputError("", str(error)) from None
    marks = reading.text(table, "marks")
    if len(marks) % _MARK or not re.fullmatch("[0-9a-f]*", marks):
        raise InputError(where, f"marks: got {marks!r:.60}, expected {_MARK} digits an event")
    monitors = tuple(
        find_class(name, f"{where}: monitors", of=Monitor)
        for name in reading.texts(table, "monitors")
    )
    rule = reading.text(table, "rule")
    known = [each.rule for each in (*MONITORS, *monitors)]
    if rule not in known and not rule.startswith("raised "):
        raise InputError(where, f"rule: got {rule!r:.60}, which is none of ours or of its monitors")
    expect = reading.text(table, "expect")
    if expect not in ("holds", "violated"):
        raise InputError(where, f"expect: got {expect!r:.60}, expected 'holds' or 'violated'")
    return Failure(
        scenario=scenario,
        choices=reading.counts(table, "choices"),
        violation=Violation(
            rule,
            reading.text(table, "sentence"),
            reading.text(table, "seen"),
            tuple(reading.integers(table, "proof")),
            reading.text(table, "right"),
        ),
        parts=parts_named(table.get("parts"), where),
        monitors=monitors,
        origin=reading.origin(table),
        expect=expect,
        marks=tuple(marks[place : place + _MARK] for place in range(0, len(marks), _MARK)),
        first=reading.events(table, "first"),
        last=reading.events(table, "last"),
        cause=tuple(reading.texts(table, "cause")),
        versions=reading.versions(table),
    )


class _Reading:
    """Reads fields of a failure; each problem names the field."""

    def __init__(self, where: str) -> None:
        self._where = where

    def _wrong(self, field: str, got: object, expected: str) -> InputError:
        shown = "nothing" if got is None else f"{got!r:.60}"
        return InputError(self._where, f"{field}: got {shown}, expected {expected}")

    def table(self, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InputError(self._where, f"got {value!r:.60}, expected an object")
        return value

    def text(self, table: dict[str, Any], field: str) -> str:
        value = table.get(field)
        if not isinstance(value, str):
            raise self._wrong(field, value, "a text")
        return value

    def _list(self, table: dict[str, Any], field: str, of: type, expected: str) -> list[Any]:
        value = table.get(field)
        if not isinstance(value, list) or not all(type(each) is of for each in value):
            raise self._wrong(field, value, expected)
        return value

    def texts(self, table: dict[str, Any], field: str) -> list[str]:
        return self._list(table, field, str, "a list of texts")

    def integers(self, table: dict[str, Any], field: str) -> list[int]:
        return self._list(table, field, int, "a list of integers")

    def counts(self, table: dict[str, Any], field: str) -> dict[str, int]:
        value = table.get(field)
        if not isinstance(value, dict):
            raise self._wrong(field, value, "an object of integers")
        for key, answer in value.items():
            if type(answer) is not int or answer < 0:
                raise self._wrong(f"{field}: {key:.60}", answer, "an integer >= 0")
        return value

    def versions(self, table: dict[str, Any]) -> dict[str, str]:
        value = table.get("versions")
        if not isinstance(value, dict) or not all(type(each) is str for each in value.values()):
            raise self._wrong("versions", value, "an object of texts")
        return value

    def origin(self, table: dict[str, Any]) -> Origin:
        value = table.get("origin")
        if not isinstance(value, dict):
            raise self._wrong("origin", value, "an object")
        kinds = {
            "test": str,
            "target": str,
            "profile": str,
            "mutant": str,
            "events": int,
            "choices": int,
            "runs": int,
        }
        for name, kind in kinds.items():
            if type(value.get(name)) is not kind:
                expected = "a text" if kind is str else "an integer"
                raise self._wrong(f"origin.{name}", value.get(name), expected)
        seed = value.get("seed")
        if seed is not None and type(seed) is not int:
            raise self._wrong("origin.seed", seed, "an integer or null")
        return Origin(seed=seed, **{name: value[name] for name in kinds})

    def events(self, table: dict[str, Any], field: str) -> tuple[Event, ...]:
        found = []
        for entry in self._list(table, field, dict, "a list of events"):
            details = dict(entry)
            try:
                seq, tick = details.pop("seq"), details.pop("tick")
                kind, subject = details.pop("kind"), details.pop("subject")
            except KeyError as error:
                raise self._wrong(f"{field}: {error}", None, "a field of an event") from None
            if (type(seq), type(tick), type(kind), type(subject)) != (int, int, str, str):
                raise self._wrong(field, entry, "events with seq, tick, kind and subject")
            found.append(Event(seq, tick, kind, subject, details))
        return tuple(found)
