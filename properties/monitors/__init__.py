"""The rules that must hold over a trace, each a small named monitor.

>>> [monitor.rule for monitor in MONITORS][:6]
['R1', 'R2', 'R3', 'R4', 'R5', 'R6']
"""

from typing import Final

from properties.monitors import (
    admission,
    cancellation,
    data,
    liveness,
    registration,
    resources,
    results,
    streams,
    tasks,
)
from properties.monitors.judge import Judge, Verdict, judge_trace
from properties.monitors.monitor import Level, Monitor, Violation

__all__ = ["MONITORS", "Judge", "Level", "Monitor", "Verdict", "Violation", "judge_trace"]

# In the order in which they are shown.
MONITORS: Final[tuple[type[Monitor], ...]] = (
    *registration.MONITORS,
    *streams.MONITORS,
    *tasks.MONITORS,
    *admission.MONITORS,
    *results.MONITORS,
    *cancellation.MONITORS,
    *resources.MONITORS,
    *liveness.MONITORS,
    *data.MONITORS,
)
