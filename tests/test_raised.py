"""What a part raises is a violation, wherever it raises it, and ends the run."""

import inspect
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from simpy.events import Event as Wait
from strict_runner import StrictRunner

from properties.judged import Judged, judged
from properties.monitors import MONITORS, Monitor
from scenarios.shelf import find_scenario
from sim.channel import Channel, Input
from sim.choices import Seeded
from sim.job import Job
from sim.parts import Parts
from sim.scheduler import Scheduler
from sim.simulate import simulate
from sim.worker import Worker
from workflow import Manifest, Plan, PlanError, RunnerError, Task, UnknownTask, Workflow
from workflow.plan import DataObjScan
from workflow.raised import describe_raised
from workflow.trace import Event

PARTS: Final[dict[str, type]] = {
    "workflow": Workflow,
    "scheduler": Scheduler,
    "worker": Worker,
    "job": Job,
    "channel": Channel,
    "input": Input,
}
SCENARIOS: Final = ("demo", "impatient-users", "worker-lost")
METHODS: Final = [
    (part, name)
    for part, base in PARTS.items()
    for name, member in vars(base).items()
    if inspect.isfunction(member) or isinstance(member, property)
]
# What no run of these scenarios calls: it takes other trouble, or somebody else who asks.
NOT_CALLED: Final = {
    "workflow": ("__len__", "__str__", "_raised", "_watch_closed", "stream_state", "when_closed"),
    "scheduler": ("_ack_timeout", "_refuse", "name", "on_revoked", "queued", "running"),
    "worker": (
        "_half_open",
        "_missed",
        "_reconnect",
        "_restart",
        "_slow_link",
        "_speaks",
        "cut",
        "on_revoke",
    ),
    "job": ("_bind_one_by_one", "_report_range", "die", "links"),
    "channel": (),
    "input": ("__str__",),
}


class Faulty:
    """A part with one method that raises, and whether it was called."""

    def __init__(
        self, part: str, name: str, error: Exception, *, works_first: bool = False
    ) -> None:
        self.called = False
        member = vars(PARTS[part])[name]
        original: Any = member.fget if isinstance(member, property) else member

        def raises(*args: Any, **kwargs: Any) -> Any:
            self.called = True
            if works_first:
                original(*args, **kwargs)
            raise error

        method = property(raises) if isinstance(member, property) else raises
        self.parts = Parts(**{part: type("Faulty", (PARTS[part],), {name: method})})

    def run(
        self,
        scenario: str,
        *,
        stop: bool = True,
        monitors: Sequence[type[Monitor]] = MONITORS,
    ) -> Judged:
        short = replace(find_scenario(scenario), max_steps=20_000)  # a hang would take all
        return judged(short, Seeded(0), parts=self.parts, stop=stop, monitors=monitors)


@pytest.mark.parametrize(("part", "name"), METHODS)
def test_whatever_method_of_a_part_raises_it_is_a_violation(part: str, name: str) -> None:
    called = False
    for scenario in SCENARIOS:
        faulty = Faulty(part, name, LookupError(f"in {name}"))
        run = faulty.run(scenario)
        assert not run.outcome.over_budget
        if faulty.called:
            called = True
            assert run.first.rule == "raised LookupError", scenario
            assert run.first.seen == f"in {name} (test_raised.py, raises)"
            told = run.outcome.trace.events[run.first.events[0]]
            assert told.kind in ("raised", "process_failed")
        else:
            assert run.violations == ()
    assert called is (name not in NOT_CALLED[part])


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("scheduler", "unregister_manifest"),
        ("scheduler", "register_manifest"),
        ("scheduler", "listen"),
        ("scheduler", "start"),
        ("scheduler", "cancel"),
        ("scheduler", "tables"),
        ("workflow", "__init__"),
        ("workflow", "_end"),
        ("workflow", "_leave"),
        ("workflow", "_reader_gone"),
        ("workflow", "_finish"),
        ("workflow", "_dispatch"),
    ],
)
@pytest.mark.parametrize("stop", [True, False], ids=["stops", "runs on"])
def test_so_it_is_where_the_work_was_done_before(part: str, name: str, stop: bool) -> None:
    faulty = Faulty(part, name, ValueError("too late"), works_first=True)
    run = faulty.run("impatient-users", stop=stop)
    assert run.first.rule == "raised ValueError"
    assert run.first.seen == "too late (test_raised.py, raises)"


def test_an_engine_that_cannot_start_anything_comes_to_its_end_without_a_judge_too() -> None:
    faulty = Faulty("workflow", "_dispatch", ValueError("no"))
    outcome = simulate(find_scenario("demo"), Seeded(0), parts=faulty.parts)
    assert {end.error for end in outcome.ends} == {"ValueError: no"}
    assert outcome.raised is None


def test_it_comes_before_the_rules_that_it_makes_break() -> None:
    faulty = Faulty("workflow", "_task_changed", LookupError("no such task"))
    run = faulty.run("demo")
    rules = [violation.rule for violation in run.violations]
    assert len(rules) > 1
    assert run.first.rule == "raised LookupError"


class NoTask(Monitor):
    """Violated as soon as anything runs."""

    rule, sentence = "X1", "no task runs"

    def on_run(self, event: Event) -> None:
        self.violated("a task runs", event)


def test_what_broke_in_an_earlier_step_comes_before_it() -> None:
    faulty = Faulty("job", "_process", LookupError("no row"))
    run = faulty.run("demo", stop=False, monitors=[NoTask])
    assert {violation.rule for violation in run.violations} == {"X1", "raised LookupError"}
    assert run.first.rule == "X1"


class DiesLoudly(Job):
    """Raises when the run closes it."""

    def run(self) -> Generator[Wait, Any, None]:
        try:
            yield from super().run()
        except GeneratorExit:
            raise LookupError("not yet") from None


def test_what_is_raised_while_a_run_is_closed_is_told_last() -> None:
    parts = Parts(job=DiesLoudly)
    run = judged(find_scenario("demo"), Seeded(0), parts=parts, monitors=[NoReceipt])
    assert [violation.rule for violation in run.violations] == ["X2", "raised LookupError"]
    assert run.first.rule == "X2"
    [*_, last] = run.outcome.trace.events
    assert last.kind == "process_failed"


class NoReceipt(Monitor):
    """Violated once a task has begun and got something."""

    rule, sentence = "X2", "nothing is received"

    def on_receive(self, event: Event) -> None:
        self.violated("a batch has come", event)


class Unspeakable(Exception):
    """Raises when it is asked for its text."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (LookupError("a\x1b[31m\nb"), r"a\x1b[31m\nb"),
        (Unspeakable(), "<its text raises ValueError>"),
    ],
    ids=["that moves the cursor", "that there is none of"],
)
@pytest.mark.parametrize(
    ("part", "name"), [("workflow", "_task_changed"), ("scheduler", "start"), ("job", "run")]
)
def test_a_message_is_shown_as_it_can_be(part: str, name: str, error: Exception, seen: str) -> None:
    run = Faulty(part, name, error).run("demo")
    assert run.first.rule == f"raised {type(error).__name__}"
    assert run.first.seen == f"{seen} (test_raised.py, raises)"


@pytest.mark.parametrize(("part", "name"), [("job", "run"), ("scheduler", "register_manifest")])
def test_only_an_engine_can_refuse_a_plan(part: str, name: str) -> None:
    refusal = PlanError("odd", "", "not today")
    assert Faulty(part, name, refusal).run("demo").first.rule == "raised PlanError"
    with pytest.raises(PlanError, match="not today"):
        Faulty("workflow", "_partition", refusal).run("demo")


def test_a_refusal_that_the_protocol_allows_is_for_the_rules_to_judge() -> None:
    for error in (UnknownTask(("t",)), RunnerError("no room")):
        run = Faulty("scheduler", "start", error).run("demo")
        assert "R6" in [violation.rule for violation in run.violations]
        assert not any(violation.rule.startswith("raised") for violation in run.violations)
    run = Faulty("scheduler", "unregister_manifest", UnknownTask(("t",))).run("demo")
    assert run.first.rule == "raised UnknownTask"


# The bare engine.


def observed(error: Exception) -> list[tuple[str, dict[str, Any]]]:
    """What a workflow tells whose Runner raises at the first start."""
    told: list[tuple[str, dict[str, Any]]] = []

    def observe(kind: str, _subject: Manifest | Task | Any, /, **details: Any) -> None:
        told.append((kind, details))

    plan = Plan()
    plan.add(DataObjScan(location="objects/0"))
    runner = StrictRunner()
    runner.refuse["start"] = error
    workflow = Workflow(plan, runner, observe=observe)
    results = workflow.run()
    with pytest.raises(type(error)):
        results.poll()
    return told


def test_an_engine_tells_its_observer_what_a_handler_raised_and_where() -> None:
    [details] = [details for kind, details in observed(OSError("no")) if kind == "raised"]
    assert (details["error_type"], details["error"]) == ("OSError", "no")
    assert details["place"].startswith("strict_runner.py, ")


def test_an_engine_says_nothing_of_the_kind_about_a_refusal() -> None:
    assert "raised" not in [kind for kind, _ in observed(UnknownTask(("t",)))]


def test_what_was_never_raised_has_no_place() -> None:
    assert describe_raised(OSError("no"))["place"] == ""
