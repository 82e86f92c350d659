"""A page about a run, or two side by side: its story in words, then the picture of it.

One file of HTML that needs no other: style, script and data stand in it, and its policy lets
nothing else in.  The same runs give the same bytes.  docs/pictures.md says what each mark means.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from itertools import zip_longest
from typing import Any, Final

from properties.judged import escaped
from scenarios.failure_report import Fact
from scenarios.inputs import InputError
from scenarios.report.causes import causes_of
from scenarios.report.graph import graph_svg
from scenarios.report.lanes import GROUPS, Lane, Picture, picture_of
from scenarios.report.shown import Shown
from scenarios.wording import counted, in_words
from workflow.trace import Event

__all__ = ["KEYS", "MOST_EVENTS", "page_of"]

MOST_EVENTS: Final = 100_000  # of a run; a browser would take minutes for more

_LONG: Final = 2_000  # characters of a detail; the trace has all of it
_ITEMS: Final = 40  # of a list in a detail
_GRAPHS: Final = 12  # manifests that are drawn
_COMMAND: Final = "command"
_TROUBLED: Final = ("Down", "Gone", "Leaving", "Lost")
_HINT: Final = (
    "Click an event, or press Enter on one, to see what it says, what led to it and what followed"
    " from it."
)
KEYS: Final = (
    (("\u2190", "\u2192"), "along a lane"),
    (("\u2191", "\u2193"), "to the next lane"),
    (("Page Up", "Page Down"), "event by event"),
    (("Enter",), "its details"),
    (("c",), "to its cause"),
    (("v",), "to where it broke"),
    (("+", "-", "0"), "zoom"),
    (("Shift \u2190", "Shift \u2192"), "move in time"),
    (("Esc",), "let go"),
)
_LEGEND: Final = (
    ("Pending", "pending, idle"),
    ("Running", "running"),
    ("Open", "stream open"),
    ("Blocked", "blocked, no room"),
    ("Stopping", "told to stop"),
    ("Down", "worker lost"),
    ("Fault", "a fault holds"),
    ("dense", "too much to tell apart"),
)
_ENDS: Final = (
    ("Completed", "M3 6l3 3.5l6 -8", "completed"),
    ("Cancelled", "M4 2l8 8m0 -8l-8 8", "cancelled"),
    ("Failed", "M8 1v6m0 3v1.5", "failed"),
    ("Closed", "M8 1v10", "stream closed"),
)


def page_of(shown: Shown, beside: Shown | None = None) -> str:
    """The page.  Raises InputError for a run of too many events."""
    both = [shown] if beside is None else [shown, beside]
    for each in both:
        if len(each.events) > MOST_EVENTS:
            raise InputError(
                each.name,
                f"got {counted(len(each.events), 'event')}, a page shows at most {MOST_EVENTS:,};"
                " --perfetto takes them all",
            )
    drawn = [(each, picture_of(each.events, scenario=each.scenario)) for each in both]
    pictures = [picture for _, picture in drawn]
    runs = [{**_run(each, picture), "off": _quiet(pictures)} for each, picture in drawn]
    # As the policy names what may run by its hash, nothing that slipped in could.
    text = "\n".join(_page(drawn, _data(runs)))
    return text.encode("utf-8", "backslashreplace").decode()


def _page(drawn: Sequence[tuple[Shown, Picture]], data: str) -> Iterator[str]:
    style, script = _asset("page.css"), _asset("page.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    title = " \u00b7 ".join(shown.name for shown, _ in drawn)
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_text(policy)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_text(title)}</title>"
    yield f"<style>{style}</style></head>"
    yield f'<body class="{"two" if len(drawn) > 1 else "one"}">'
    yield '<header class="heads">'
    for number, (shown, _) in enumerate(drawn):
        yield from _head(number, shown, together=len(drawn) > 1)
    if len(drawn) > 1:
        yield f'<p class="differs">{_text(_difference(*(shown for shown, _ in drawn)))}</p>'
    yield "</header><main>"
    yield _PATTERNS
    yield from _controls(drawn)
    yield '<div class="work"><div class="pictures">'
    for number, (shown, picture) in enumerate(drawn):
        yield from _picture(number, shown, picture, together=len(drawn) > 1)
    yield '</div><aside class="side">'
    yield (
        f'<section id="details" aria-live="polite" aria-label="The event" data-hint="{_HINT}">'
        "</section>"
    )
    if len(drawn) == 1:
        yield from _plan(0, drawn[0][1])
    yield "</aside></div>"
    yield from _legend()
    yield "</main>"
    yield f'<script type="application/json" id="runs">{data}</script>'
    yield f"<script>{script}</script>"
    yield "</body></html>\n"


@cache
def _asset(name: str) -> str:
    return (files("scenarios.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _plain(text: str) -> str:
    """Without control characters, which could hide or turn around what stands beside them."""
    return text if text.isprintable() else escaped(text)


def _text(text: str) -> str:
    return escape(_plain(text))


# In words.


def _head(number: int, shown: Shown, *, together: bool) -> Iterator[str]:
    word, mark = ("FAILED", "failed") if shown.broken else ("HOLDS", "holds")
    level = 2 if together else 1
    yield f'<section class="head"><p class="above"><span class="{mark}">{word}</span> '
    yield f"{_text(_above(shown))}</p>"
    yield f"<h{level}>{_text(shown.title)}</h{level}>"
    yield '<div class="told">'
    commands = [fact for fact in shown.facts if fact.kind == _COMMAND]
    if commands:
        yield '<dl class="facts commands">'
        for fact in commands:
            yield f"<dt>{_text(fact.label)}</dt>"
            yield f'<dd><code tabindex="0">{_text(fact.lines[0])}</code></dd>'
        yield "</dl>"
    yield '<dl class="facts">'
    for fact in shown.facts:
        if fact.kind not in (_COMMAND, "story"):
            yield f"<dt>{_text(fact.label)}</dt><dd>{_fact(fact)}</dd>"
    yield "</dl>"
    for fact in shown.facts:
        if fact.kind == "story":
            yield from _story(number, shown, fact.events)
    yield "</div></section>"


def _above(shown: Shown) -> str:
    words = [shown.name]
    if shown.scenario is not None:
        named = shown.scenario.name
        said = f"{named}: {shown.scenario.sentence}" if shown.scenario.sentence else named
        words = [said] if shown.name.startswith(named) else [shown.name, said]
    return " \u00b7 ".join(words)


def _fact(fact: Fact) -> str:
    if fact.kind == "text":
        return _text(" ".join(fact.lines[0].split()))
    kind = ' class="tree"' if fact.label == "plan" else ""
    return f"<pre{kind}>" + "\n".join(map(_text, fact.lines)) + "</pre>"


def _story(number: int, shown: Shown, events: Sequence[Event]) -> Iterator[str]:
    proof = shown.violations[0].events if shown.violations else ()
    yield '<ul class="events" aria-label="The story">'
    for event in events:
        kind = "event proof" if event.seq in proof else "event"
        yield (
            f'<li><button type="button" class="{kind}" data-run="{number}"'
            f' data-event="{event.seq}"><span class="seq">#{event.seq}</span>'
            f'<span class="tick">{event.tick:,} \u00b5s</span>'
            f"<span>{_text(in_words(event))}</span></button></li>"
        )
    yield "</ul>"


def _difference(left: Shown, right: Shown) -> str:
    """The first event in which two runs differ, whenever it happened; of unlike ones their time."""
    kinds = [
        "a simulated run" if _is_simulated(each) else "a recorded run" for each in (left, right)
    ]
    if kinds[0] != kinds[1]:
        times = [f"{each.events[-1].tick:,} \u00b5s" for each in (left, right)]
        return f"Left is {kinds[0]} of {times[0]}, right {kinds[1]} of {times[1]}."
    for place, (one, other) in enumerate(zip_longest(left.events, right.events)):
        if one is None or other is None or _said(one) != _said(other):
            return (
                f"The first {counted(place, 'event')} are the same, but for their times."
                f"  Then, left: {_next(one)}.  Right: {_next(other)}."
            )
    return "Both are the same, event by event, but for their times."


def _is_simulated(shown: Shown) -> bool:
    return any(event.kind == "cluster" for event in shown.events)


def _kind(shown: Shown) -> str:
    word = "simulated" if _is_simulated(shown) else "recorded"
    return f"a {word} run of {shown.events[-1].tick:,} \u00b5s"


def _said(event: Event) -> tuple[str, str, str]:
    return event.kind, event.subject, in_words(event)


def _next(event: Event | None) -> str:
    return "nothing more" if event is None else f"#{event.seq} {in_words(event)}"


# The frame of the picture.


def _controls(drawn: Sequence[tuple[Shown, Picture]]) -> Iterator[str]:
    yield '<div class="bar" role="toolbar" aria-label="The picture">'
    yield '<label for="only">Show <select id="only"><option value="">everything</option>'
    for group in ("Tasks", "Streams"):
        lanes = {
            lane.name: lane for _, picture in drawn for lane in picture.lanes if lane.group == group
        }
        if lanes:
            yield f'<optgroup label="{group}">'
            for name, lane in lanes.items():
                value = _text(name)
                yield f'<option value="{value}">{_text(f"{name} {lane.note}".strip())}</option>'
            yield "</optgroup>"
    yield "</select></label>"
    yield (
        '<span class="joined" role="group" aria-label="The axis">'
        '<button type="button" id="by-time">by time</button>'
        '<button type="button" id="by-event">by event</button></span>'
        '<span class="joined" role="group" aria-label="Zoom">'
        '<button type="button" id="out" aria-label="zoom out">\u2212</button>'
        '<button type="button" id="fit">all</button>'
        '<button type="button" id="in" aria-label="zoom in">+</button></span>'
    )
    if len(drawn) > 1:
        yield '<label><input type="checkbox" id="own"> each run to its own length</label>'
    groups = [
        group
        for group in GROUPS
        if any(lane.group == group for _, picture in drawn for lane in picture.lanes)
    ]
    yield '<fieldset aria-label="Lanes">'
    for group in groups:
        yield f'<label><input type="checkbox" data-group="{group}"> {group}</label>'
    yield "</fieldset></div>"


def _picture(number: int, shown: Shown, picture: Picture, *, together: bool) -> Iterator[str]:
    yield f'<section class="run" id="run-{number}">'
    if together:
        word = "fails" if shown.broken else "holds"
        yield f"<h2>{_text(shown.name)} {word}</h2>"
    label = _text(f"Events of {shown.name} over time")
    yield '<svg class="ruler" height="52" aria-hidden="true"></svg>'
    yield (
        f'<div class="lanes" tabindex="0" role="listbox" aria-label="{label}"'
        f' aria-describedby="keys"><svg></svg></div>'
    )
    yield '<svg class="charts" height="0" aria-hidden="true"></svg>'
    yield '<div class="tip" aria-hidden="true" hidden></div>'
    if together:
        yield from _plan(number, picture)
    yield "</section>"


def _plan(number: int, picture: Picture) -> Iterator[str]:
    manifests = list(picture.manifests.items())
    if not manifests:
        return
    yield f'<section class="graph-of-{number}"><h2>The plan, cut into tasks</h2>'
    yield '<div class="plans">'
    for name, tasks in manifests[:_GRAPHS]:
        yield f'<div class="plan" tabindex="0">{_plain_svg(name, tasks)}</div>'
    if len(manifests) > _GRAPHS:
        yield f'<p class="hint">and {counted(len(manifests) - _GRAPHS, "more plan")}</p>'
    yield "</div></section>"


def _plain_svg(name: str, tasks: Sequence[Mapping[str, Any]]) -> str:
    return graph_svg(name, [_clean(task) for task in tasks])


def _legend() -> Iterator[str]:
    yield '<ul class="legend" aria-label="What the marks mean">'
    for state, words in _LEGEND:
        yield (
            '<li><svg width="26" height="12" aria-hidden="true">'
            f'<path class="s-{state}" d="M0 1H26V11H0z"/></svg>{words}</li>'
        )
    for state, shape, words in _ENDS:
        yield (
            '<li><svg width="16" height="12" aria-hidden="true">'
            f'<path class="end e-{state}" d="{shape}"/></svg>{words}</li>'
        )
    yield (
        '<li><svg width="26" height="12" aria-hidden="true">'
        '<path class="s-Token" d="M0 5H26V8H0z"/></svg>holds a token</li>'
        '<li><svg width="16" height="14" aria-hidden="true">'
        '<circle class="ring proof" cx="8" cy="7" r="5.5"/></svg>proves the failure</li>'
        '<li><svg width="16" height="12" aria-hidden="true">'
        '<circle class="ring told" cx="8" cy="6" r="3"/></svg>told above</li></ul>'
    )
    yield '<p class="keys" id="keys">Drag to move, Ctrl and the wheel to zoom; a lane\u2019s name'
    yield "shows it alone. Keys in the picture: "
    said = []
    for keys, words in KEYS:
        said.append(" ".join(f"<kbd>{key}</kbd>" for key in keys) + f" {words}")
    yield ", ".join(said) + ".</p>"


_PATTERNS: Final = """<svg width="0" height="0" aria-hidden="true"><defs>
<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse"><rect width="5" height="5" \
fill="var(--pending)" opacity=".28"/><circle cx="2.5" cy="2.5" r="1.1" fill="var(--pending)"/>\
</pattern>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" \
patternTransform="rotate(45)"><rect width="6" height="6" fill="var(--blocked)" opacity=".35"/>\
<rect width="3" height="6" fill="var(--blocked)"/></pattern>
<pattern id="cross" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" \
fill="var(--stopping)" opacity=".2"/><path d="M0 0L6 6M6 0L0 6" stroke="var(--stopping)"/>\
</pattern>
<pattern id="down" width="4" height="4" patternUnits="userSpaceOnUse"><rect width="4" height="4" \
fill="var(--bad)" opacity=".18"/><path d="M0 2H4" stroke="var(--bad)" stroke-width="1.2"/>\
</pattern>
<pattern id="open" width="7" height="10" patternUnits="userSpaceOnUse"><rect width="7" \
height="10" fill="var(--open)" opacity=".32"/><path d="M3.5 0V10" stroke="var(--open)" \
stroke-width="1.4"/></pattern>
<pattern id="fault" width="7" height="7" patternUnits="userSpaceOnUse" \
patternTransform="rotate(-45)"><rect width="7" height="7" fill="var(--fault)" opacity=".25"/>\
<rect width="2.4" height="7" fill="var(--fault)"/></pattern>
</defs></svg>"""


# The data.


def _data(runs: Sequence[Mapping[str, Any]]) -> str:
    """JSON that may stand in a script element, whatever texts are in it."""
    text = json.dumps(runs, separators=(",", ":"))  # ASCII only, so U+2028 is an escape already
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _run(shown: Shown, picture: Picture) -> dict[str, Any]:
    events = shown.events
    names = _Numbers()
    kinds = _Numbers()
    value = {
        "name": shown.name,
        "order": picture.order,
        "ticks": [event.tick for event in events],
        "kinds": [kinds.of(event.kind) for event in events],
        "subjects": [names.of(event.subject) for event in events],
        "words": [in_words(event) for event in events],
        "details": [_details(event) for event in events],
        "causes": causes_of(events),
        "places": picture.places,
        "lanes": [_lane(lane) for lane in picture.lanes],
        "faults": list(_faults(picture)),
        "charts": [
            {
                "name": chart.name,
                "about": chart.about,
                "limit": chart.limit,
                "peak": max(count for _, count in chart.steps),
                "steps": chart.steps,
            }
            for chart in picture.charts
        ],
        "violations": [
            {
                "rule": each.rule,
                "sentence": each.sentence,
                "seen": each.seen,
                "right": each.right,
                "events": [seq for seq in each.events if seq < len(events)],
            }
            for each in shown.violations
        ],
        "story": [event.seq for event in shown.story],
    }
    value |= {"kindNames": kinds.names, "names": names.names}
    cleaned: dict[str, Any] = _clean(value)
    return cleaned


def _quiet(pictures: Sequence[Picture]) -> list[str]:
    """The groups of lanes that are not shown at first: what tells little, or one run alone has."""
    groups = [dict.fromkeys(lane.group for lane in picture.lanes) for picture in pictures]
    quiet = [group for group in GROUPS if any(group not in each for each in groups)]
    if all(picture.simulated for picture in pictures):
        quiet += ["Workflow"]
        states = [
            span.state
            for picture in pictures
            for lane in picture.lanes
            if lane.group == "Workers"
            for span in lane.spans
        ]
        quiet += [] if any(state in _TROUBLED for state in states) else ["Workers"]
    # A fault is never a detail, though only one of two runs may have it.
    return [group for group in dict.fromkeys(quiet) if group != "Faults"]


class _Numbers:
    """Names that stand once, and are meant by their number."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, name: str) -> int:
        """Its number."""
        return self._known.setdefault(name, len(self._known))

    @property
    def names(self) -> list[str]:
        """All, by number."""
        return list(self._known)


def _clean(value: Any) -> Any:
    """The same with texts that show as they are."""
    if isinstance(value, str):
        # A fragment has lines, which are no danger.
        return "\n".join(map(_plain, value.split("\n")))
    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def _details(event: Event) -> list[list[str]]:
    return [[key, _short(value)] for key, value in event.details.items()]


def _short(value: Any) -> str:
    """A detail as it reads: a text as it is, a list by its items, the rest as JSON."""
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        items = [_short(each) for each in value[:_ITEMS]]
        rest = f" and {len(value) - _ITEMS:,} more" if len(value) > _ITEMS else ""
        text = (", ".join(items) or "none") + rest
    elif isinstance(value, str):
        text = value
    elif value is None:
        text = "none"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[:_LONG]} \u2026 ({len(text):,} characters)"


def _lane(lane: Lane) -> dict[str, Any]:
    return {
        "group": lane.group,
        "name": lane.name,
        "label": lane.label,
        "note": lane.note,
        "about": list(lane.about),
        "spans": [
            [span.start, span.end, span.state, span.about, span.label] for span in lane.spans
        ],
        "below": [[span.start, span.end, span.state, span.about, ""] for span in lane.below],
        "ends": lane.ends,
        "steps": lane.steps,
        "peak": max((count for _, count in lane.steps), default=0),
        "events": lane.events,
    }


def _faults(picture: Picture) -> Iterator[dict[str, Any]]:
    for lane in picture.lanes:
        if lane.group != "Faults":
            continue
        about = next(iter(lane.about))  # a worker, if it is one that is struck
        struck = [
            each.name
            for each in picture.lanes
            if each.group in ("Tasks", "Workers", "Slots")
            and (each.name == about or each.name.startswith(f"{about}/"))
        ]
        for span in lane.spans:
            yield {"start": span.start, "end": span.end, "lanes": struck}
