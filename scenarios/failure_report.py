"""A failure on one screen: what broke, where in the story, how little it takes, how to replay.

Each line has a job, and none is longer than `WIDTH` but commands, which are there to be copied.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import wrap
from typing import Final, Literal

from properties.judged import Judged
from properties.monitors import Violation
from scenarios.archive import FAILURES
from scenarios.failure import Failure, failure_to_code
from scenarios.named import is_local
from scenarios.wording import WIDTH, counted, cut, line_of
from sim.scenario import Client, Cluster, Scenario
from workflow import Options, partition
from workflow.plan_text import plan_to_text
from workflow.trace import Event

__all__ = ["Fact", "describe_facts", "describe_failure", "facts_of", "story_of"]

_LABEL: Final = 10  # columns before what a line says
_MOST_EVENTS: Final = 9
_MOST_PLAN: Final = 12  # lines
_MOST_CAUSES: Final = 6

# What moves a story on, of those events that only surround what proves the failure.
_TELLING: Final = (
    "ack_timeout", "acquire", "ask", "assign", "bind", "call", "crash", "fault", "process_failed",
    "raised", "read_eof", "read_error", "recorded", "refuse", "release", "report", "results_end",
    "results_error", "run", "send", "stopped", "stream_event", "task_event", "tell_cancel",
    "told_closed", "worker_gone", "worker_lost",
)  # fmt: skip
# Of a scan, what hardly ever matters.
_DULL: Final = re.compile(
    r" type=ScanTypeDataObject| streams=0| section_id=0| projections=\(\)| ranges? .*"
)
_NO_TIMES: Final = "@max_time_range start=0001-01-01T00:00:00Z end=0001-01-01T00:00:00Z"
_TROUBLE: Final = (
    "ack_timeout",
    "crash",
    "fault",
    "leaving",
    "process_failed",
    "raised",
    "worker_lost",
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A part of the report.  ``kind``: a ``text``, ``lines`` as they are, the ``story``, or a
    ``command`` to be copied."""

    label: str
    lines: tuple[str, ...]
    kind: Literal["text", "lines", "story", "command"] = "text"
    events: tuple[Event, ...] = ()  # of a story, one for each line


def describe_failure(
    failure: Failure, run: Judged, *, saved: str = "", trouble: str = "", kept: bool = False
) -> Iterator[str]:
    """The report.

    ``run`` is the failure's own; ``saved`` the file that it stands in, ``trouble`` why it stands
    in none, ``kept`` whether that file is in a library already.
    """
    facts = facts_of(failure, run, saved=saved, trouble=trouble, kept=kept)
    yield from describe_facts(f"FAILED  {failure.rule} {failure.violation.sentence}", facts)


def describe_facts(title: str, facts: Iterable[Fact]) -> Iterator[str]:
    """A title and facts as lines."""
    yield _plain(title)
    for fact in facts:
        if fact.kind == "command":
            yield f"{'  ' + fact.label:<{_LABEL}}{fact.lines[0]}"
        elif fact.kind == "text":
            yield from _said(fact.label, fact.lines[0])
        else:
            yield from _block(fact.label, fact.lines)


def facts_of(
    failure: Failure, run: Judged, *, saved: str = "", trouble: str = "", kept: bool = False
) -> Iterator[Fact]:
    """What stands below the rule in a report, see `describe_failure`."""
    violation = failure.violation
    events = run.outcome.trace.events
    story = tuple(story_of(violation, events))
    for label, text in (
        ("when", _when(failure, events)),
        ("seen", violation.seen),
        ("right", violation.right),
        ("in", _size(failure)),
        ("with", ", ".join(_unusual(failure.scenario))),
    ):
        if text:
            yield Fact(label, (text,))
    yield Fact("plan", tuple(_plans(failure.scenario)), "lines")
    yield Fact("story", tuple(map(line_of, story)), "story", story)
    if failure.cause:
        yield Fact("cause", tuple(_causes(failure)), "lines")
    if trouble:
        yield Fact("unsaved", (trouble,))
    for label, command in _commands(failure, run, saved, kept=kept):
        yield Fact(label, (command,), "command")


def _commands(
    failure: Failure, run: Judged, saved: str, *, kept: bool
) -> Iterator[tuple[str, str]]:
    origin = failure.origin
    code = failure_to_code(failure, run.outcome.digest)
    if saved:
        yield "replay", f"windtunnel replay {shlex.quote(saved)}"
    if code and not any(map(is_local, failure.classes)):
        yield "code" if saved else "replay", f"windtunnel replay {code}"
    if origin.test:
        seed = "" if origin.seed is None else f" --windtunnel-seed={origin.seed}"
        yield "pytest", f"pytest {shlex.quote(origin.test)}{seed}"
    elif origin.target and origin.seed is not None:
        words = [origin.target, "--seed", str(origin.seed)]
        data = failure.scenario.data
        words += ["--data", data.bucket] if data is not None else []
        words += ["--profile", origin.profile] if origin.profile else []
        words += ["--mutant", origin.mutant] if origin.mutant else []
        yield "whole", f"windtunnel run {shlex.join(words)}"
    if saved and not kept:
        found = Path(saved).parent == FAILURES
        yield "keep", f"windtunnel keep {shlex.quote(failure.name if found else saved)}"


def _plain(line: str) -> str:
    """A line without control characters, which a message may hold, that fits."""
    line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)
    return cut(line)


def _said(label: str, text: str) -> Iterator[str]:
    lines = wrap(" ".join(text.split()), WIDTH - _LABEL, max_lines=3, placeholder=" ...")
    yield from _block(label, lines)


def _block(label: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield _plain(f"{'  ' + label if not number else '':<{_LABEL}}{line}")


def _when(failure: Failure, events: Sequence[Event]) -> str:
    last = failure.violation.events[-1] if failure.violation.events else len(events) - 1
    text = f"t={events[last].tick:,} us, event {last} of {len(events)}"
    origin = failure.origin
    if origin.runs:
        text += f" (found in {origin.events:,} events, reduced in {origin.runs:,} runs)"
    return text


def _size(failure: Failure) -> str:
    scenario = failure.scenario
    tasks = sum(len(partition(each.plan)) for each in scenario.workloads)
    cluster = scenario.cluster
    said = [
        counted(tasks, "task"),
        f"{counted(cluster.workers, 'worker')} of {counted(cluster.slots, 'slot')}",
        counted(len(scenario.faults), "fault") if scenario.faults else "no faults",
        f"{counted(len(failure.choices), 'choice')} not the tamest",
    ]
    if len(scenario.workloads) > 1:
        said.insert(0, counted(len(scenario.workloads), "workload"))
    if cluster.profile != "sound":
        said.append(f"{cluster.profile} profile")
    return ", ".join(said)


def _unusual(scenario: Scenario) -> Iterator[str]:
    """What is not as it is by default, but for what `_size` tells and how long things take."""
    for name in ("buffer", "slack", "ack_timeout", "detect"):
        value = getattr(scenario.cluster, name)
        if value != getattr(Cluster(), name):
            yield f"{name} {value:,}"
    if scenario.data is not None:
        rows = scenario.data.rows
        some = "" if rows is None else f", of each section {counted(rows, 'row')} at most"
        yield f"data {scenario.data.bucket}{some}"
    for index, workload in enumerate(scenario.workloads):
        whose = f"workload {index}: " if len(scenario.workloads) > 1 else ""
        for part, plain in ((workload.options, Options()), (workload.client, Client())):
            for field in fields(part):
                value = getattr(part, field.name)
                if value != getattr(plain, field.name) and field.name != "pause":
                    shown = f"{value:,}" if type(value) is int else value
                    of = "client " if plain == Client() else ""
                    yield f"{whose}{of}{field.name} {shown}"


def _plans(scenario: Scenario) -> list[str]:
    lines = [
        _DULL.sub("", line).rstrip()
        for workload in scenario.workloads
        for line in plan_to_text(workload.plan).splitlines()
        if line.strip() and _NO_TIMES not in line
    ]
    if len(lines) > _MOST_PLAN:
        lines = [*lines[: _MOST_PLAN - 1], f"... {len(lines) - _MOST_PLAN + 1} more lines"]
    return lines


def story_of(
    violation: Violation, events: Sequence[Event], *, most: int = _MOST_EVENTS
) -> list[Event]:
    """What proves it, the trouble before it, and what befell those that it is about."""
    proof = [seq for seq in violation.events if seq < len(events)]
    chosen = {seq: events[seq] for seq in proof[-most:]}
    last = max(chosen, default=len(events) - 1)
    about = dict.fromkeys(_task(event.subject) for event in chosen.values())
    before = [event for event in reversed(events[: last + 1]) if event.kind in _TELLING]
    for more in (
        [event for event in before if event.kind in _TROUBLE],
        [event for event in before if _task(event.subject) in about],
        before,
    ):
        for event in more:
            if len(chosen) < most:
                chosen[event.seq] = event
    return [chosen[seq] for seq in sorted(chosen)]


def _task(subject: str) -> str:
    """The task of an attempt; anything else as it is."""
    return subject.partition(".")[0] if "/t" in subject else subject


def _causes(failure: Failure) -> list[str]:
    causes = failure.cause
    lines = ["none of these can be left out:" if len(causes) > 1 else "this cannot be left out:"]
    lines += [f"- {cause}" for cause in causes[:_MOST_CAUSES]]
    if len(causes) > _MOST_CAUSES:
        lines.append(f"- and {len(causes) - _MOST_CAUSES} more")
    return lines
