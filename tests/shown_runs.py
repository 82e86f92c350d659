"""Runs to show: small, large, failing, recorded, and one whose every name is hostile."""

from dataclasses import replace
from functools import cache
from typing import Any, Final

from crafted import merged
from stories import END, REGISTERED, told

from properties.mutants import MUTANTS
from scenarios.report.shown import Shown, shown_trace
from scenarios.runs import run, saved_trace
from scenarios.shelf import find_scenario
from sim.choices import Seeded
from sim.scenario import Cluster, Scenario, Workload
from workflow.trace import Event, Trace

__all__ = ["HOSTILE", "demo", "failing", "hostile", "large", "passing", "recorded"]

# What ends a script, opens a tag, breaks a line of JavaScript, turns text around, ends a diagram.
HOSTILE: Final = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    "\"'`;{}[]()#35;&lt; --> end \u2028\u2029\u202e\x00\x1b[31m ]]> ``` %% é \U0001f300"
)


def shown(trace: Trace, name: str = "run.jsonl") -> Shown:
    """A trace, as if it came from a file."""
    return shown_trace(iter([f"{line}\n" for line in trace.lines()]), name=name)


@cache
def demo() -> Shown:
    """Three workloads with a failing task and a dying worker; every rule holds."""
    return shown(saved_trace(run(find_scenario("demo"), Seeded(7), target="demo", seed=7)))


@cache
def passing() -> Shown:
    """One token for twelve scans."""
    return shown(saved_trace(run(find_scenario("one-token"), Seeded(1), seed=1)))


@cache
def failing() -> Shown:
    """The same with a workflow that leaks a token."""
    parts = MUTANTS["W1-token-leak"].parts
    return shown(saved_trace(run(find_scenario("one-token"), Seeded(1), seed=1, parts=parts)))


@cache
def large() -> Shown:
    """Ten thousand events, most of them of streams that block."""
    scenario = find_scenario("slow-reader")
    [workload] = scenario.workloads
    scenario = replace(scenario, workloads=(replace(workload, rows_per_scan=600),))
    found = shown(saved_trace(run(scenario, Seeded(4), seed=4)))
    assert len(found.events) > 10_000
    return found


@cache
def recorded() -> Shown:
    """What a recorded Runner did, whose clock began anywhere and went back by a little."""
    lines = [
        *REGISTERED,
        "call m0 method=start tasks=[0,1,2]",
        "task_event m0/t0 state=Running",
        "@2000000100 task_event m0/t1 state=Running",
        "@2000000099 stream_event m0/s1 state=Open",
        "@2000000300 stream_event m0/s0 state=Blocked",
        "@2000000400 write m0/s0 rows=3",
        "write_done m0/s0 outcome=taken",
        "read m0/s0 rows=3",
        "stream_event m0/s0 state=Open",
        "@2000000500 task_event m0/t1 state=Failed error=broken",
        "task_event m0/t0 state=Cancelled",
        END,
    ]
    first = "@2000000000 " + lines[0]
    return shown(Trace({"name": "mine"}, told(first, *lines[1:])))


@cache
def hostile() -> Shown:
    """A run whose names, texts and messages are all hostile, and one of whose rules is broken."""
    scenario = Scenario(
        name=HOSTILE,
        sentence=HOSTILE,
        cluster=Cluster(workers=1),
        workloads=(Workload(plan=merged("a"), plan_name=HOSTILE, query=HOSTILE),),
    )
    trace = saved_trace(run(scenario, Seeded(1), seed=1))
    events = [_hostile(event) for event in trace.events]
    events.insert(20, Event(20, events[19].tick, HOSTILE, HOSTILE, {HOSTILE: HOSTILE, "n": 1}))
    # Twice the same token: a rule that sees it says so, with the names in it.
    again = next(event for event in events if event.kind == "acquire")
    events.insert(again.seq + 1, again)
    events = [replace(event, seq=seq) for seq, event in enumerate(events)]
    return shown(Trace(trace.ran, events), name=HOSTILE)


def _hostile(event: Event) -> Event:
    details: dict[str, Any] = dict(event.details)
    for key in ("worker", "to", "error", "error_type", "connection"):
        if isinstance(details.get(key), str) and details[key] != "scheduler":
            details[key] = HOSTILE
    if event.kind == "manifest":
        details["tenant"] = HOSTILE
        details["tasks"] = [
            {**task, "fragment": f"Merge {HOSTILE}\n\u2514\u2500\u2500 {HOSTILE}"}
            for task in details["tasks"]
        ]
    subject = HOSTILE if event.subject in ("w0", "scheduler") else event.subject
    return replace(event, subject=subject, details=details)
