"""The monitors of single tasks (T1 to T10): stories that break each, and some that do not."""

import pytest
from stories import CLUSTER, END, LANES, REGISTERED, holds, violated

from properties.monitors.monitor import Monitor
from properties.monitors.tasks import (
    MONITORS,
    AcceptedMeansOwned,
    EveryStartedTaskEnds,
    FencedAttempts,
    LegalTaskMoves,
    NoGoingBack,
    NoTaskFallsOut,
    OneLiveExecution,
    OneTerminal,
    TimesAndStatistics,
    TruthfulOutcomes,
)

BORDER = REGISTERED
ENGINE = (*REGISTERED, LANES)
WORLD = (CLUSTER, *REGISTERED, LANES)
STARTED = (
    "call m0 method=start tasks=[1]",
    "queue m0/t1 place=1 again=false",
    "move m0/t1 state=Pending",
    "return m0 method=start tasks=[1] error=null",
)
HANDED = (*WORLD, *STARTED, "@5 assign m0/t1 worker=w0 closed=[]")
OWNED = (*HANDED, "@6 accept m0/t1 worker=w0", "owner m0/t1 worker=w0", "move m0/t1 state=Running")
REPORTED = "@9 report m0/t1 worker=w0 state={0} changed=true"
LATE = "@9 report m0/t1 worker=w0 state=Failed changed=false"
ENDS = "move m0/t1 state={0}"
AGAIN = ("@6 refuse m0/t1 worker=w0 leaving=false", "queue m0/t1 place=1 again=true")
SECOND = ("@7 assign m0/t1.2 worker=w1 closed=[]",)


def test_every_rule_of_tasks_has_a_monitor() -> None:
    assert [monitor.rule for monitor in MONITORS] == [f"T{number}" for number in range(1, 11)]


HOLDS: list[tuple[type[Monitor], tuple[str, ...]]] = [
    (LegalTaskMoves, (*BORDER, "task_event m0/t1 state=Running", "task_event m0/t1 state=Failed")),
    (LegalTaskMoves, (*WORLD, "move m0/t1 state=Running", "move m0/t1 state=Running")),
    # Late reports come in another order than the moves.
    (LegalTaskMoves, (*OWNED, "task_event m0/t1 state=Running", "task_event m0/t1 state=Pending")),
    (OneTerminal, (*BORDER, "task_event m0/t1 state=Failed", "task_event m0/t1 state=Running")),
    (OneTerminal, (*ENGINE, "task_event m0/t1 state=Failed", "task_event m0/t1 state=Failed")),
    (NoGoingBack, (*ENGINE, "recorded m0/t1 state=Running", "recorded m0/t1 state=Running")),
    (EveryStartedTaskEnds, (*BORDER, *STARTED, "task_event m0/t1 state=Failed", END)),
    (
        EveryStartedTaskEnds,
        (*BORDER, "return m0 method=start tasks=[1] error=no", END),
    ),
    (FencedAttempts, (*OWNED, REPORTED.format("Completed"))),
    (FencedAttempts, (*HANDED, *AGAIN, *SECOND, LATE)),
    (OneLiveExecution, (*OWNED, "run m0/t1 worker=w0 idle=1", "worker_lost w0", *SECOND,
                        "run m0/t1.2 worker=w1 idle=1")),
    (OneLiveExecution, (*OWNED, "run m0/t1 worker=w0 idle=1", "crash w0", *SECOND,
                        "run m0/t1.2 worker=w1 idle=1")),
    (OneLiveExecution, (*OWNED, "run m0/t1 worker=w0 idle=1", "stopped m0/t1 worker=w0", *SECOND,
                        "run m0/t1.2 worker=w1 idle=1")),
    (AcceptedMeansOwned, (*OWNED, "@9 worker_lost w0", ENDS.format("Failed"), END)),
    (AcceptedMeansOwned, (*HANDED, ENDS.format("Cancelled"), "@6 accept m0/t1 worker=w0", END)),
    (AcceptedMeansOwned, (*HANDED, *AGAIN, "@8 accept m0/t1 worker=w0", END)),
    (NoTaskFallsOut, (*HANDED, *AGAIN, *SECOND, "@8 worker_lost w1",
                      "queue m0/t1 place=1 again=true", END)),
    (NoTaskFallsOut, (*HANDED, "@6 ack_timeout m0/t1 worker=w0", "@7 revoked m0/t1 worker=w0",
                      "queue m0/t1 place=1 again=true", END)),
    (NoTaskFallsOut, (*OWNED, "@9 owner m0/t1 worker=null", ENDS.format("Failed"), END)),
    (NoTaskFallsOut, (CLUSTER.replace("sound", "reference"), *HANDED[1:],
                      "@6 ack_timeout m0/t1 worker=w0", "queue m0/t1 place=1 again=true", END)),
    (TruthfulOutcomes, (*OWNED, "@9 " + ENDS.format("Completed"),
                        REPORTED.format("Completed"), END)),
    (TruthfulOutcomes, (*OWNED, "worker_lost w0", "owner m0/t1 worker=null",
                        ENDS.format("Failed"), END)),
    (TruthfulOutcomes, (*OWNED, "worker_gone w0", ENDS.format("Cancelled"), END)),
    (TruthfulOutcomes, (*OWNED, "call m0 method=cancel tasks=[1]", ENDS.format("Cancelled"), END)),
    (TruthfulOutcomes, (*OWNED, "call m0 method=unregister_manifest", ENDS.format("Cancelled"),
                        END)),
    (TruthfulOutcomes, (*BORDER, "task_event m0/t1 state=Cancelled", END)),
    (TimesAndStatistics, (*OWNED, "run m0/t1 worker=w0 idle=1",
                          "@9 over m0/t1 worker=w0 idle=2 worked=3 crashed=false")),
    (TimesAndStatistics, (*ENGINE, 'task_event m0/t1 state=Completed statistics={"rows":2}',
                          'task_event m0/t1 state=Completed statistics={"rows":2}',
                          'statistics m0 total={"rows":2}')),
]  # fmt: skip


@pytest.mark.parametrize(("monitor", "story"), HOLDS)
def test_a_rule_holds(monitor: type[Monitor], story: tuple[str, ...]) -> None:
    holds(monitor, story)


BROKEN: list[tuple[type[Monitor], tuple[str, ...], str]] = [
    (LegalTaskMoves, (*BORDER, "task_event m0/t1 state=Failed"), "from Created to Failed"),
    (LegalTaskMoves, (*OWNED, "move m0/t1 state=Pending"), "from Running to Pending"),
    (OneTerminal, (*BORDER, "task_event m0/t1 state=Failed", "task_event m0/t1 state=Failed"),
     "was reported Failed after it was Failed"),
    (OneTerminal, (*ENGINE, "recorded m0/t1 state=Failed", "recorded m0/t1 state=Running"),
     "recorded m0/t1 Running after Failed"),
    (NoGoingBack, (*ENGINE, "recorded m0/t1 state=Running", "recorded m0/t1 state=Pending"),
     "back from Running to Pending"),
    (EveryStartedTaskEnds, (*BORDER, *STARTED, "task_event m0/t1 state=Running", END),
     "still Running at the end"),
    (FencedAttempts, (*HANDED, *AGAIN, *SECOND, REPORTED.format("Failed")),
     "while m0/t1.2 is current"),
    (FencedAttempts, (*HANDED, *AGAIN, REPORTED.format("Failed")), "was back in the queue"),
    (FencedAttempts, (*OWNED, "worker_lost w0", REPORTED.format("Failed")), "after w0 was lost"),
    (FencedAttempts, (*HANDED, "owner m0/t1 worker=w1"), "not its worker"),
    (FencedAttempts, (*OWNED, "return m0 method=unregister_manifest error=null",
                      REPORTED.format("Failed")), "its manifest was unregistered"),
    (FencedAttempts, (*WORLD, "owner m0/t1 worker=w1"), "never handed off"),
    (OneLiveExecution, (*OWNED, "run m0/t1 worker=w0 idle=1", *SECOND,
                        "run m0/t1.2 worker=w1 idle=1"), "while m0/t1 runs on w0"),
    (AcceptedMeansOwned, (*HANDED, "@6 accept m0/t1 worker=w0", END), "nobody owns it"),
    (AcceptedMeansOwned, (*OWNED, "@9 worker_lost w0", END), "owned by w0, which is gone"),
    (NoTaskFallsOut, (*HANDED, "@6 refuse m0/t1 worker=w0 leaving=false", END), "neither queued"),
    (NoTaskFallsOut, (*HANDED, "@6 refuse m0/t1 worker=w0 leaving=false",
                      "@7 queue m0/t1 place=1 again=true", END), "neither queued"),
    (NoTaskFallsOut, (*HANDED, "@6 ack_timeout m0/t1 worker=w0", "queue m0/t1 place=1 again=true",
                      END), "queued and handed off"),
    (NoTaskFallsOut, (*HANDED, AGAIN[0], "queue m0/t1 place=7 again=true"), "back to place 7"),
    (TruthfulOutcomes, (*OWNED, ENDS.format("Completed"), END), "did not say so"),
    (TruthfulOutcomes, (*OWNED, ENDS.format("Cancelled"), END), "nobody asked"),
    (TruthfulOutcomes, (*OWNED, ENDS.format("Cancelled"), "@9 call m0 method=cancel tasks=[1]",
                        END), "nobody asked"),
    (TruthfulOutcomes, (*OWNED, ENDS.format("Failed"), END), "neither its execution"),
    (TruthfulOutcomes, (*OWNED, "call m0 method=cancel tasks=[1]", "worker_lost w0",
                        ENDS.format("Failed"), END), "its cancel was asked before"),
    (TruthfulOutcomes, (*BORDER, "task_event m0/t1 state=Completed", END), "never started"),
    (TimesAndStatistics, (*WORLD, "assign m0/t1 worker=w0 closed=[]"), "before it was queued"),
    (TimesAndStatistics, (*OWNED, ENDS.format("Failed"), *SECOND), "assigned after it was Failed"),
    (TimesAndStatistics, (*OWNED, "run m0/t1 worker=w0 idle=1",
                          "@9 over m0/t1 worker=w0 idle=2 worked=4 crashed=false"),
     "worked 4 ticks in an execution of 3"),
    (TimesAndStatistics, (*ENGINE, 'task_event m0/t1 state=Completed statistics={"rows":2}',
                          'statistics m0 total={"rows":4}'), "got the statistics"),
]  # fmt: skip


@pytest.mark.parametrize(("monitor", "story", "seen"), BROKEN)
def test_a_rule_is_broken(monitor: type[Monitor], story: tuple[str, ...], seen: str) -> None:
    violated(monitor, story, seen)
