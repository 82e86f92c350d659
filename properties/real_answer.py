"""D1 where the rows are real: what a reader got is what `properties.oracle` answers."""

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import pyarrow as pa

from properties.judged import escaped
from properties.monitors import Verdict, Violation
from properties.oracle import Answer, CannotAnswer, answer, same_answer
from sim.simulate import Outcome
from workflow import Plan, plan_from_json, plan_to_json
from workflow.plan import DataObjScan, ScanSet
from workflow.sections import Sections

__all__ = ["judge_answers", "right_answer"]

_BATCH: Final = 65_536  # rows
_KEPT: Final = 64  # answers


def judge_answers(verdict: Verdict, outcome: Outcome, data: Sections) -> Verdict:
    """The verdict of D1 on a run over data; `verdict` is what the trace alone gives."""
    found: list[Violation] = []
    whys: dict[str, None] = {}
    compared = 0
    order = sorted(
        range(len(outcome.ends)),
        key=lambda index: (outcome.scenario.workloads[index].arrival, index),
    )
    for number, index in enumerate(order):
        end = outcome.ends[index]
        if end.end != "eof":
            continue
        right = right_answer(outcome.scenario.workloads[index].plan, data)
        if isinstance(right, str):
            whys[right] = None
            continue
        compared += 1
        difference = same_answer(right, Answer.from_batches(end.batches))
        if difference is not None:
            lines = [escaped(line.strip()) for line in str(difference).split("\n")]
            found.append(
                Violation(
                    verdict.rule,
                    verdict.sentence,
                    f"the reader of m{number} {'; '.join(lines)}",
                    _ends(outcome, f"m{number}/"),
                    "the rows that the plan gives in one process",
                )
            )
    if found or verdict.violations:
        return replace(verdict, word="violated", violations=(*verdict.violations, *found), why="")
    if compared == len(outcome.ends):
        return replace(verdict, word="holds", why="")
    why = next(iter(whys), "a reader did not come to the end of its answer")
    return replace(verdict, word="not judged", why=why)


def right_answer(plan: Plan, data: Sections) -> Answer | str:
    """What a plan answers over data, computed once for both; or why there is no right answer."""
    return _right(_Question(_text(plan), data))


def _ends(outcome: Outcome, results: str) -> tuple[int, ...]:
    """The event that says that a reader has seen the end."""
    for event in reversed(outcome.trace.events):
        if event.kind == "read_eof" and event.subject.startswith(results):
            return (event.seq,)
    return ()


def _text(plan: Plan) -> str:
    return json.dumps(plan_to_json(plan))


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """A plan over data.  Two are equal if the plans say the same, and the data is the same."""

    plan: str
    data: Sections

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Question) and self.plan == other.plan and self.data is other.data

    def __hash__(self) -> int:
        return hash(self.plan)


@lru_cache(maxsize=_KEPT)
def _right(question: _Question) -> Answer | str:
    """The right answer, or why there is none."""
    plan = plan_from_json(json.loads(question.plan))
    objects: dict[tuple[str, int], list[pa.RecordBatch]] = {}
    try:
        for node in plan:
            targets = node.targets if isinstance(node, ScanSet) else (node,)
            for target in targets:
                if isinstance(target, DataObjScan):
                    key = target.location, target.section
                    if key not in objects:
                        objects[key] = list(question.data.batches(*key, _BATCH))
        return answer(plan, objects)
    except (CannotAnswer, LookupError, ValueError) as error:
        return f"there is no right answer: {error}"
