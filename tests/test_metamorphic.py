"""What must not matter to an answer in the simulated cluster, plan by plan."""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import pyarrow as pa
from executed import permuted, run
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.judged import judged
from properties.oracle import Answer, CannotAnswer, answer, same_answer
from properties.strategies import plans, sections, seeds
from sim.choices import Seeded
from sim.real import Held
from sim.scenario import Cluster, Fault, Scenario, Workload
from workflow import Plan, partition
from workflow.plan import Parallelize

PLACES: Final = [(f"objects/{number // 2}", number % 2) for number in range(4)]
EXAMPLES: Final = 25
TROUBLE: Final = (
    Fault(kind="slow_worker", per_million=200_000, factor=7),
    Fault(kind="slow_link", per_million=100_000, factor=9),
    Fault(kind="refused_assignment", per_million=200_000),
    Fault(kind="late_ack", per_million=200_000, ticks=20_000),
)


@dataclass(frozen=True)
class Case:
    plan: Plan
    sections: dict[tuple[str, int], pa.RecordBatch]
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rows = st.sampled_from((4, 6, 0))
    data = {place: draw(sections(min_rows=draw(rows))) for place in PLACES}
    targets = draw(st.sampled_from((1, 1, 1, 0)))
    return Case(draw(plans(executable=True, min_targets=targets)), data, draw(seeds()))


def uncut(plan: Plan) -> Plan:
    """The plan without a Parallelize, so that its scan sets are read in one task."""
    other = plan.clone()
    for node in list(other):
        if isinstance(node, Parallelize):
            other.eliminate(node)
    return other


def scenario(plan: Plan, **changes: Any) -> Scenario:
    """A calm cluster with a slot for every task, but for the changes."""
    fields: dict[str, Any] = {"batch_rows": 1_000, "faults": (), "slack": 0, "buffer": 1, **changes}
    cluster = Cluster(
        slots=len(partition(plan)), slack=fields["slack"], buffer=fields["buffer"], workers=2
    )
    workload = Workload(plan=plan, batch_rows=fields["batch_rows"])
    return Scenario(cluster=cluster, workloads=(workload,), faults=fields["faults"])


def variants(case: Case) -> dict[str, tuple[Scenario, int]]:
    """Scenarios that must answer alike, and their seeds."""
    plan, random = case.plan, Random(case.seed)
    return {
        "calm": (scenario(plan), case.seed),
        "rows one by one": (scenario(plan, batch_rows=1), case.seed),
        "other batches": (scenario(plan, batch_rows=3, buffer=3), case.seed),
        "another schedule": (scenario(plan, batch_rows=3, slack=5_000), case.seed + 1),
        "trouble": (scenario(plan, batch_rows=2, faults=TROUBLE, slack=300), case.seed + 2),
        "shards permuted": (scenario(permuted(plan, random), batch_rows=3), case.seed),
        "not cut": (scenario(uncut(plan)), case.seed),
    }


def determined(case: Case) -> bool:
    """Whether it is settled which rows the plan answers, if any."""
    try:
        return answer(case.plan, case.sections).determined
    except CannotAnswer:
        return False


def test_neither_batches_nor_schedule_nor_cut_nor_order_matter_to_an_answer() -> None:
    seen: Counter[str] = Counter()

    @settings(deadline=None, derandomize=True, database=None, max_examples=EXAMPLES)
    @given(cases())
    def agrees(case: Case) -> None:
        data = Held({place: [batch] for place, batch in case.sections.items()})
        answers: dict[str, Answer] = {}
        for name, (made, seed) in variants(case).items():
            ran = judged(made, Seeded(seed), data=data)
            assert ran.violations == (), f"{name}: {ran.violations[0]}"
            [end] = ran.outcome.ends
            if end.end == "eof":
                answers[name] = Answer.from_batches(end.batches)
            seen[end.end] += 1
        if not determined(case):
            return
        seen["determined"] += 1
        answers["in one process"] = Answer.from_batches(run(case.plan, case.sections))
        assert len(answers) == 8
        for name, other in answers.items():
            difference = same_answer(answers["calm"], other)
            assert difference is None, f"{name}: {difference}"
            seen["rows"] += len(other.rows)

    agrees()
    assert seen["determined"] > EXAMPLES // 2
    assert seen["rows"] > 10 * EXAMPLES
