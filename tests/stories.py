"""Hand-made traces for monitors: short to write, judged one rule at a time.

A story is lines of ``kind subject key=value ...``; values are JSON, or bare words.  A line may
begin with ``@tick``; without one an event happens at the tick of the one before.

>>> [event.kind for event in told("manifest m0 streams=1 tasks=[]", "@5 end run")]
['manifest', 'end']
"""

import json
import shlex
from collections.abc import Iterable
from typing import Any

from properties.monitors.judge import Verdict, judge_trace
from properties.monitors.monitor import Monitor
from sim.scenario import Scenario
from workflow.trace import Event

# A root that reads two scans: m0/t0 reads m0/s1 from m0/t1 and m0/s2 from m0/t2.
FAN = (
    "manifest m0 tenant='' actor=[] streams=3 tasks="
    '[{"fragment":"Merge","lane":"other","max_time_range":[null,null],"sources":[1,2],"sinks":[0],'
    '"children":[1,2]},'
    '{"fragment":"scan","lane":"scan","max_time_range":[null,null],"sources":[],"sinks":[1],'
    '"children":[]},'
    '{"fragment":"scan","lane":"scan","max_time_range":[null,null],"sources":[],"sinks":[2],'
    '"children":[]}]'
)
REGISTERED = (
    FAN,
    "call m0 method=register_manifest",
    "return m0 method=register_manifest error=null",
)
CLUSTER = (
    "cluster cluster workers=2 slots=2 buffer=1 profile=sound ack_timeout=5000 detect=1000"
    " slack=0 reconnect=1000 slowest=50 factor=1"
)
LANES = "admission m0 scan=0 other=0"
END = "end run stuck=null over_budget=false"


def told(*lines: str) -> list[Event]:
    """The events that the lines describe, numbered from 0."""
    events: list[Event] = []
    tick = 0
    for line in lines:
        words = _words(line)
        if words[0].startswith("@"):
            tick = int(words.pop(0)[1:])
        kind, subject, *rest = words
        details = {key: _value(text) for key, _, text in (word.partition("=") for word in rest)}
        events.append(Event(len(events), tick, kind, subject, details))
    return events


def verdict(
    monitor: type[Monitor], lines: Iterable[str], *, scenario: Scenario | None = None
) -> Verdict:
    """What one monitor says of a story."""
    (found,) = judge_trace(told(*lines), monitors=[monitor], scenario=scenario)
    return found


def holds(
    monitor: type[Monitor], lines: Iterable[str], *, scenario: Scenario | None = None
) -> None:
    """The rule is judged, and holds."""
    found = verdict(monitor, lines, scenario=scenario)
    assert found.word == "holds", f"{found}: {[str(each) for each in found.violations]}"


def violated(
    monitor: type[Monitor], lines: Iterable[str], seen: str, *, scenario: Scenario | None = None
) -> None:
    """The rule is violated, and what was seen has this phrase."""
    found = verdict(monitor, lines, scenario=scenario)
    assert found.word == "violated", str(found)
    assert seen in found.violations[0].seen, found.violations[0].seen
    assert found.violations[0].events, "nothing proves it"


def _words(line: str) -> list[str]:
    # JSON keeps its quotes: only spaces outside of brackets and quotes part words.
    words: list[str] = []
    word, depth, quote = "", 0, ""
    for letter in line:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        if letter == " " and not depth and not quote:
            words.append(word)
            word = ""
        else:
            word += letter
    return [each for each in (*words, word) if each]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return shlex.split(text)[0] if text[:1] in ("'", '"') else text
