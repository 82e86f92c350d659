"""Each precondition of a hazard is seen where it is met, and not in a quiet run."""

from dataclasses import replace
from typing import Any

import pytest
from crafted import merged, outcome_of

from properties.coverage import PRECONDITIONS, features
from sim.scenario import Client, Fault
from sim.simulate import Outcome
from workflow.trace import Event, Trace

# t0 reads t1 and t2; where `shared` is set, t3 reads t2 as well.
TASKS = [
    {"sinks": [0], "sources": [1, 2], "children": [1, 2]},
    {"sinks": [1], "sources": [], "children": []},
    {"sinks": [2], "sources": [], "children": []},
]
SHARED = [
    {"sinks": [0], "sources": [1, 2, 3], "children": [1, 2, 3]},
    {"sinks": [1], "sources": [], "children": []},
    {"sinks": [2, 4], "sources": [], "children": []},
    {"sinks": [3], "sources": [4], "children": [2]},
]

Step = tuple[str, str, dict[str, Any]]


def start(*tasks: int) -> Step:
    """The workflow starts tasks."""
    return "call", "m0", {"method": "start", "tasks": list(tasks)}


def cancel(*tasks: int) -> Step:
    """The workflow cancels tasks."""
    return "call", "m0", {"method": "cancel", "tasks": list(tasks)}


def task(index: int, state: str, **details: Any) -> Step:
    """A task's state is reported."""
    return "task_event", f"m0/t{index}", {"state": state, **details}


def stream(index: int, state: str) -> Step:
    """A stream's state is reported."""
    return "stream_event", f"m0/s{index}", {"state": state}


def offered(outcome: str) -> Step:
    """A record was offered to the results."""
    return "write_done", "m0/s0", {"outcome": outcome}


READ: Step = ("read", "m0/s0", {"rows": 1, "ids": ["m0/t1.0:0-0"]})


def failed(error: str = "no luck") -> Step:
    """The reader gets the error."""
    return "read_error", "m0/s0", {"error": error}


QUIET = (
    start(0, 1, 2),
    *(task(index, state) for index in (0, 1, 2) for state in ("Pending", "Running")),
    *(stream(index, "Open") for index in (0, 1, 2)),
    offered("full"),
    offered("taken"),
    READ,
    task(1, "Completed"),
    stream(1, "Closed"),
    task(2, "Completed"),
    stream(2, "Closed"),
    task(0, "Completed"),
    stream(0, "Closed"),
    ("read_eof", "m0/s0", {}),
)

MET: dict[str, tuple[Step, ...]] = {
    "W1": (start(0, 1), cancel(2), start(1)),
    "W2": (start(0, 1), task(0, "Pending"), task(1, "Cancelled"), task(1, "Pending")),
    "W5": (start(0), stream(0, "Closed"), task(0, "Completed")),
    "W6": (failed("task x was cancelled, and not by this workflow"),),
    "W7": (task(1, "Running"), task(1, "Failed")),
    "W8": (start(0, 1, 2), stream(1, "Closed"), task(0, "Cancelled")),
    "W9": (task(1, "Running"), task(2, "Running"), task(2, "Failed", error="no luck")),
    "W10": (task(3, "Running", contributing="2025-01-01T00:00:00Z", less_than=False),),
    "W12": (task(0, "Running", contributing="2025-01-01T00:00:00Z", less_than=False),),
    "W13": (task(1, "Running"), task(1, "Completed"), task(1, "Running")),
    "E1": (offered("taken"), failed()),
    "E2": (offered("taken"), READ, offered("full"), failed()),
}

# Almost: what a hazard needs, but for one thing.
MISSED: dict[str, tuple[Step, ...]] = {
    "W1": (start(0, 1, 2), cancel(2), start()),
    "W2": (start(0), task(0, "Pending"), task(1, "Cancelled")),
    "W5": (start(0), task(0, "Completed"), stream(0, "Closed")),
    "W6": (failed("cancelled by the user"),),
    "W7": (task(1, "Running"), task(1, "Failed", error="no luck")),
    "W8": (stream(1, "Closed"), task(1, "Completed"), stream(2, "Open"), task(0, "Cancelled")),
    "W9": (task(1, "Running"), task(1, "Completed"), task(2, "Running"), task(2, "Failed")),
    "W10": (task(0, "Running"), task(3, "Running")),
    "W12": (task(0, "Running"),),
    "W13": (task(1, "Running"), task(1, "Completed"), task(2, "Running")),
    "E1": (offered("taken"), READ, failed()),
    "E2": (offered("full"), READ, offered("taken"), failed()),
}


def outcome(steps: tuple[Step, ...], tasks: list[dict[str, list[int]]]) -> Outcome:
    """An outcome with a trace of these steps and nothing else."""
    all_steps: list[Step] = [("manifest", "m0", {"streams": 5, "tasks": tasks}), *steps]
    events = [Event(seq, seq, *step) for seq, step in enumerate(all_steps)]
    return replace(RUN, trace=Trace({}, events), counts={}, ends=())


RUN = outcome_of(merged("a", "b"))


def test_every_precondition_is_tried() -> None:
    assert list(MET) == list(MISSED) == list(PRECONDITIONS)


@pytest.mark.parametrize("name", MET)
def test_a_precondition_is_seen_when_it_is_met(name: str) -> None:
    assert name in features(outcome(MET[name], SHARED if name == "W10" else TASKS))


@pytest.mark.parametrize("name", MISSED)
def test_a_precondition_is_not_seen_when_one_thing_is_missing(name: str) -> None:
    assert name not in features(outcome(MISSED[name], SHARED if name == "W10" else TASKS))


def test_a_quiet_run_meets_none() -> None:
    assert features(outcome(QUIET, TASKS)) == [
        "task Pending",
        "task Running",
        "stream Open",
        "task Completed",
        "stream Closed",
    ]


def test_w10_needs_a_child_with_two_readers() -> None:
    assert "W10" not in features(outcome(MET["W12"], TASKS))


def test_each_manifest_is_looked_at_by_itself() -> None:
    mixed = outcome((offered("taken"), ("read_error", "m1/s0", {"error": "no luck"})), TASKS)
    assert "E1" not in features(mixed)


def test_a_real_run_shows_its_faults_states_and_ends() -> None:
    quiet = features(RUN)
    assert {"stream Open", "stream Closed", "task Completed", "end eof"} <= set(quiet)
    assert not [name for name in quiet if name.startswith("fault ")]
    trouble = outcome_of(
        merged("a", "b"),
        faults=[Fault(kind="task_failure", nth=1, silent=True)],
        client=Client(),
    )
    assert {"fault task_failure", "task Failed", "end error", "W7"} <= set(features(trouble))
    assert len(quiet) == len(set(quiet))
