"""The single-process answer: what a plan must give, computed in plain Python over dicts.

Independent of the engine's execution on purpose, so that it can judge it.  Slow and simple: all
rows are in memory.  Sources: semantics 11, 11.7 included; choices of ours stand in `evaluate` and
`rows`.

>>> import pyarrow as pa
>>> from workflow import Plan
>>> from workflow.plan import DataObjScan, TopK
>>> section = pa.table({
...     "stream_id": pa.array([1, 1], pa.int64()),
...     "timestamp": pa.array([2, 1], pa.timestamp("ns", "UTC")),
...     "message": ["late", "early"],
... })
>>> plan = Plan()
>>> plan.add_edge(plan.add(TopK(k=1)), plan.add(DataObjScan(location="a")))
>>> [row] = answer(plan, {("a", 0): section}).to_json()
>>> row["timestamp_ns.builtin.timestamp"], row["utf8.builtin.message"]
('1970-01-01T00:00:00.000000002Z', 'late')
"""

from properties.oracle.answer import TOLERANCE, Answer, Difference, answer, same_answer
from properties.oracle.evaluate import Objects
from properties.oracle.rows import CannotAnswer

__all__ = [
    "TOLERANCE",
    "Answer",
    "CannotAnswer",
    "Difference",
    "Objects",
    "answer",
    "same_answer",
]
