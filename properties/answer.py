"""What a simulated workload must answer, computed in one go without a cluster.

Every task's rows are computed from its children's, leaves first, by the same `Fragment` that the
workers run.  Where a plan limits rows without ordering them, any rows of the input will do: then
only their number and their origin are known.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sim.rows import Fragment, Pieces, Scan, scans_of
from sim.scenario import Workload
from workflow import Task, partition
from workflow.plan import Limit

__all__ = ["Answer", "answer_of"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows by name with how often each comes; ``count`` of them where any will do."""

    rows: Counter[str]
    count: int
    exact: bool

    def wrong(self, seen: Counter[str], whole: bool) -> Iterator[str]:
        """What is wrong with the rows seen; `whole` when the reader came to the end."""
        extra = seen - self.rows
        if extra:
            name, times = next(iter(extra.items()))
            what = "came too often" if name in self.rows else "does not belong to the answer"
            yield f"row {name} {what} (and {extra.total() - times} more)"
        if seen.total() > self.count:
            yield f"got {seen.total()} rows, expected at most {self.count}"
        if whole and seen.total() < self.count:
            missing = self.rows - seen
            names = ", ".join(list(missing)[:3])
            shown = f" ({names}, ...)" if self.exact else ""
            yield f"got {seen.total()} rows, expected {self.count}{shown}"


def answer_of(workload: Workload, manifest: str) -> Answer:
    """The answer of a workload whose manifest has that name."""
    rows = _evaluate(workload, manifest, unlimited=False)
    if not any(isinstance(node, Limit) for node in workload.plan):
        return Answer(rows, rows.total(), exact=True)
    allowed = _evaluate(workload, manifest, unlimited=True)
    return Answer(allowed, rows.total(), exact=False)


def _evaluate(workload: Workload, manifest: str, *, unlimited: bool) -> Counter[str]:
    tasks = partition(workload.plan)
    order = {task: index for index, task in enumerate(tasks.preorder())}
    given: dict[Task, list[Pieces]] = {}
    for task in tasks.walk(tasks.root(), order="post"):
        scans = scans_of(task, f"{manifest}/t{order[task]}", workload)
        fragment = Fragment(task, scans, unlimited=unlimited)
        records = [record for scan in scans for record in scan.records(workload.batch_rows)]
        for child in tasks.children(task):
            records.extend(given[child])
        out = [each for record in records for each in fragment.push((), record)]
        given[task] = out + fragment.finish()
    rows: Counter[str] = Counter()
    for record in given[tasks.root()]:
        rows.update(_names(record.pieces))
    return rows


def _names(pieces: tuple[tuple[Scan, int, int], ...]) -> Iterator[str]:
    for scan, low, high in pieces:
        for row in range(low, high):
            yield f"{scan.name}:{row}"
