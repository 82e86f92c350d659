"""The monitors of what is limited (M1 to M7): stories that break each, and some that do not."""

import pytest
from stories import CLUSTER, END, LANES, REGISTERED, holds, verdict, violated

from properties.monitors.monitor import Monitor
from properties.monitors.resources import (
    MONITORS,
    BoundedBuffers,
    LeasesComeBack,
    NothingKeptOfConnections,
    NothingKeptOfManifests,
    NoWaitInSection,
    PacedAttempts,
    SlotsConserved,
)

WORLD = (CLUSTER, *REGISTERED, LANES)
GONE = (*WORLD, "return m0 method=unregister_manifest error=null")
TABLES = "tables scheduler when=end manifests=0 tasks={0} streams=0 queued=0"
AT_WORKER = "tables w0 when=end jobs={0} channels={1} links=0"
IDLE = "activities run running=[]"
RUNS = "run m0/t1 worker=w0 idle=1"
OVER = "over m0/t1 worker=w0 idle={0} worked=0 crashed={1}"
SEND = "send m0/s1 task=m0/t1 number={0} rows=1"
RECEIVE = "receive m0/s1 task=m0/t0 sender=m0/t1 number={0} rows=1"
TAKE = "take m0/s1 task=m0/t0 sender=m0/t1 number={0} rows=1"
TAKEN = "write_done m0/s0 outcome=taken"
LOST = ("acquire m0/t1 lane=scan", "owner m0/t1 worker=w0", "worker_lost w0")
BACK = "release m0/t1 lane=scan"


def test_every_rule_of_resources_has_a_monitor() -> None:
    assert [monitor.rule for monitor in MONITORS] == [f"M{number}" for number in range(1, 8)]


HOLDS: list[tuple[type[Monitor], tuple[str, ...]]] = [
    (NothingKeptOfManifests, (*GONE, TABLES.format(0), AT_WORKER.format(0, 0), END)),
    (NothingKeptOfConnections, (*GONE, AT_WORKER.format(0, 0), IDLE, END)),
    (SlotsConserved, (*GONE, RUNS, OVER.format(2, "false"), END)),
    # A dead worker does not count; after its restart all slots are free.
    (SlotsConserved, (*GONE, RUNS, "crash w0", OVER.format(1, "true"), "restart w0", RUNS,
                      OVER.format(2, "false"), END)),
    (BoundedBuffers, (*WORLD, SEND.format(1), RECEIVE.format(1), SEND.format(2), TAKE.format(1),
                      RECEIVE.format(2))),
    # Refused: the sender goes on.
    (BoundedBuffers, (*WORLD, SEND.format(1), "stopped m0/t0 worker=w1", SEND.format(2))),
    (BoundedBuffers, (*WORLD, SEND.format(1), 'input_end m0/t0 streams=["m0/s1"]',
                      SEND.format(2))),
    (BoundedBuffers, (*WORLD, TAKEN, "read m0/s0 rows=1", TAKEN)),
    (BoundedBuffers, (*REGISTERED, TAKEN, TAKEN)),
    (NoWaitInSection, (*WORLD, "@5 enter scheduler", "exit scheduler", "@6 read_wait m0/s0", END)),
    (LeasesComeBack, (*WORLD, *LOST, "owner m0/t1 worker=null", BACK, END)),
    (PacedAttempts, (*WORLD, "connect w0 connection=w0", "@1000 connect w0 connection=w0.2")),
    (PacedAttempts, (*WORLD, "connect w0 connection=w0", "@5 restart w0",
                     "connect w0 connection=w0.2")),
    (PacedAttempts, (*WORLD, "refuse m0/t1 worker=w0 leaving=true",
                     "assign m0/t1.2 worker=w0.2 closed=[]")),
]  # fmt: skip


@pytest.mark.parametrize(("monitor", "story"), HOLDS)
def test_a_rule_holds(monitor: type[Monitor], story: tuple[str, ...]) -> None:
    holds(monitor, story)


BROKEN: list[tuple[type[Monitor], tuple[str, ...], str]] = [
    (NothingKeptOfManifests, (*GONE, TABLES.format(3), END), "scheduler still keeps 3 tasks"),
    (NothingKeptOfManifests, (*GONE, TABLES.format(0), AT_WORKER.format(1, 0), END),
     "w0 still keeps 1 jobs"),
    (NothingKeptOfConnections, (*GONE, AT_WORKER.format(0, 2), IDLE, END), "keeps 2 channels"),
    (NothingKeptOfConnections, (*GONE, 'activities run running=["task m0/t1"]', END),
     "task m0/t1 still runs"),
    (SlotsConserved, (*WORLD, RUNS, OVER.format(1, "false")), "w0 has 1 idle slots and runs 0"),
    (SlotsConserved, (*WORLD, OVER.format(2, "false")), "that it does not hold"),
    (SlotsConserved, (*WORLD, RUNS, RUNS), "took a second slot"),
    (SlotsConserved, (*GONE, RUNS, END), "still holds a slot of w0 at the end"),
    (SlotsConserved, (*GONE, RUNS, "crash w0", END), "still holds a slot of w0 at the end"),
    (BoundedBuffers, (*WORLD, RECEIVE.format(1), RECEIVE.format(2)), "holds 2 batches at m0/t0"),
    (BoundedBuffers, (*WORLD, SEND.format(1), SEND.format(2)), "while 1 was on its way"),
    (BoundedBuffers, (*WORLD, TAKEN, TAKEN), "results of m0 hold 2 batches"),
    (BoundedBuffers, (*REGISTERED, TAKEN, TAKEN, TAKEN), "results of m0 hold 3 batches"),
    (NoWaitInSection, (*WORLD, "enter scheduler", "@5 exit scheduler"), "took 5 ticks"),
    (NoWaitInSection, (*WORLD, "enter scheduler", "read_wait m0/s0"), "a reader waits inside"),
    (NoWaitInSection, (*WORLD, "enter scheduler", END), "was never left"),
    (LeasesComeBack, (*WORLD, *LOST, END), "came back 0 times after w0 was lost"),
    (LeasesComeBack, (*WORLD, *LOST, BACK, BACK, END), "came back 2 times after w0 was lost"),
    (PacedAttempts, (*WORLD, "connect w0 connection=w0", "@999 connect w0 connection=w0.2"),
     "tried again after 999 ticks"),
    (PacedAttempts, (*WORLD, "refuse m0/t1 worker=w0 leaving=true",
                     "assign m0/t1.2 worker=w0 closed=[]"), "handed to w0, which leaves"),
]  # fmt: skip


@pytest.mark.parametrize(("monitor", "story", "seen"), BROKEN)
def test_a_broken_rule_is_seen(monitor: type[Monitor], story: tuple[str, ...], seen: str) -> None:
    violated(monitor, story, seen)


@pytest.mark.parametrize("monitor", [NothingKeptOfManifests, NothingKeptOfConnections])
def test_what_is_kept_while_a_manifest_is_registered_is_not_judged(monitor: type[Monitor]) -> None:
    assert verdict(monitor, (*WORLD, TABLES.format(3), IDLE, END)).word == "not judged"


def test_sections_that_are_not_shown_are_not_judged() -> None:
    assert verdict(NoWaitInSection, (*WORLD, END)).word == "not judged"
