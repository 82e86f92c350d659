"""The monitors of tokens (A1 to A5): stories that break each, and some that do not."""

import pytest
from stories import CLUSTER, END, LANES, REGISTERED, holds, verdict, violated

from properties.monitors.admission import (
    MONITORS,
    ExactReturn,
    NoHoldAndWait,
    StartedOnce,
    TokensConserved,
    TokensNotIdle,
)
from properties.monitors.monitor import Monitor

ONE_SCAN = "admission m0 scan=1 other=0"
ENGINE = (*REGISTERED, ONE_SCAN)
WORLD = (CLUSTER, *REGISTERED, ONE_SCAN)
ROOT = ("acquire m0/t0 lane=other", "call m0 method=start tasks=[0]")
FIRST = ("acquire m0/t1 lane=scan", "call m0 method=start tasks=[1]")
SECOND = ("acquire m0/t2 lane=scan", "call m0 method=start tasks=[2]")
OVER = "recorded m0/t1 state=Completed"
BACK = "release m0/t1 lane=scan"
STARTS = tuple(f"call m0 method=start tasks=[{task}]" for task in range(3))
STUCK = "end run over_budget=false stuck="
NO_SCAN = '["m0/t2","a token of the lane scan"]'
READS = '["m0/t0","input from m0/s1, m0/s2"]'
FULL = '["m0/t1","room in m0/s1"]'
HELD_UP = '["m0/t0","room in m0/s0"]'


def test_every_rule_of_tokens_has_a_monitor() -> None:
    assert [monitor.rule for monitor in MONITORS] == [f"A{number}" for number in range(1, 6)]


HOLDS: list[tuple[type[Monitor], tuple[str, ...]]] = [
    (TokensConserved, (*ENGINE, *ROOT, *FIRST, OVER, BACK, *SECOND, END)),
    # A lane without a limit gives any number of tokens.
    (TokensConserved, (*REGISTERED, LANES, *FIRST, *SECOND, END)),
    (TokensConserved, (*REGISTERED, LANES, "call m0 method=start tasks=[1]", END)),
    (ExactReturn, (*ENGINE, *FIRST, OVER, BACK, END)),
    (ExactReturn, (*ENGINE, *FIRST, END)),
    (ExactReturn, (*ENGINE, "recorded m0/t1 state=Cancelled", END)),
    (TokensNotIdle, (*WORLD, *ROOT, *FIRST, "@5 " + OVER, BACK, *SECOND, "@6 " + END)),
    (TokensNotIdle, (*WORLD, *ROOT, *FIRST, "@5 " + OVER, BACK, "call m0 method=cancel tasks=[2]",
                     "@6 " + END)),
    (TokensNotIdle, (*WORLD, *ROOT, *FIRST, "@5 " + OVER, BACK, "stop m0", "@6 " + END)),
    (TokensNotIdle, (*WORLD, "@6 " + END)),
    # Who holds the token goes on, or waits for the user.
    (NoHoldAndWait, (*WORLD, *ROOT, *FIRST,
                     f'{STUCK}[{READS},{NO_SCAN},["m0/t1","work"]]')),
    (NoHoldAndWait, (*WORLD, *ROOT, *FIRST,
                     f'{STUCK}[["m0","nothing: it stalls"],{NO_SCAN},{FULL},{HELD_UP}]')),
    (NoHoldAndWait, (*WORLD, *ROOT, *FIRST, END)),
    (StartedOnce, (*REGISTERED, *STARTS, END)),
    (StartedOnce, (*REGISTERED, *STARTS[:2], "task_event m0/t2 state=Cancelled", END)),
    (StartedOnce, (*REGISTERED, *STARTS[:2], "call m0 method=cancel tasks=[2]", END)),
    (StartedOnce, (*REGISTERED, *STARTS[:2], "close_results m0/s0", END)),
    (StartedOnce, (*REGISTERED, *STARTS[:2], "ask m0 what=cancel", END)),
    (StartedOnce, (*REGISTERED, *STARTS[:2], "read_error m0/s0 error=no", END)),
    (StartedOnce, (*REGISTERED, *STARTS[:2], "call m0 method=unregister_manifest", END)),
    (StartedOnce, (*REGISTERED, END)),
]  # fmt: skip


@pytest.mark.parametrize(("monitor", "story"), HOLDS)
def test_a_rule_holds(monitor: type[Monitor], story: tuple[str, ...]) -> None:
    holds(monitor, story)


BROKEN: list[tuple[type[Monitor], tuple[str, ...], str]] = [
    (TokensConserved, (*ENGINE, *FIRST, *SECOND), "2 tasks hold a token of the lane scan"),
    (TokensConserved, (*ENGINE, OVER, *FIRST), "got a token after its end was recorded"),
    (TokensConserved, (*ENGINE, BACK), "that it does not hold"),
    (TokensConserved, (*ENGINE, *FIRST, OVER, "acquire m0/t0 lane=other"), "keeps its token"),
    (TokensConserved, (*WORLD, *FIRST, OVER, "@5 " + BACK), "keeps its token"),
    (TokensConserved, (*ENGINE, *FIRST, OVER, END), "keeps its token"),
    (TokensConserved, (*ENGINE, "call m0 method=start tasks=[1]"), "started without a token"),
    (ExactReturn, (*ENGINE, *FIRST, BACK, *FIRST), "got a second token"),
    (ExactReturn, (*ENGINE, *FIRST, OVER, END), "took 1 tokens and gave 0 back"),
    (TokensNotIdle, (*WORLD, *ROOT, *FIRST, "@5 " + OVER, BACK, "@6 acquire m0/t2 lane=scan"),
     "m0/t2 waits, and the lane scan has a free token"),
    (TokensNotIdle, (*ENGINE, *FIRST, END), "m0/t0 waits, and the lane other has a free token"),
    (NoHoldAndWait, (*WORLD, *ROOT, *FIRST, f"{STUCK}[{FULL},{NO_SCAN},{READS}]"),
     "m0/t2 waits for a token of the lane scan of m0, and all who hold one"),
    (NoHoldAndWait, (*WORLD, *ROOT, "run m0/t0.2 worker=w0 idle=0",
                     f'{STUCK}[["m0/t0.2","input from m0/s1"],["m0/t1","a free slot"]]'),
     "m0/t1 waits for a free slot"),
    (StartedOnce, (*REGISTERED, STARTS[0], STARTS[0]), "m0/t0 was started a second time"),
    (StartedOnce, (*REGISTERED, *STARTS[:2], END), "m0/t2 was never started"),
    (StartedOnce, (*REGISTERED, *STARTS[:2], "read_eof m0/s0", "call m0 method=unregister_manifest",
                   END), "m0/t2 was never started"),
]  # fmt: skip


@pytest.mark.parametrize(("monitor", "story", "seen"), BROKEN)
def test_a_broken_rule_is_seen(monitor: type[Monitor], story: tuple[str, ...], seen: str) -> None:
    violated(monitor, story, seen)


def test_a_run_cut_short_does_not_show_whether_all_was_started() -> None:
    end = "end run stuck=null over_budget=true"
    assert verdict(StartedOnce, (*REGISTERED, STARTS[0], end)).word == "not judged"
