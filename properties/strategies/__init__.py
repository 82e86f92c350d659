"""Hypothesis strategies for everything that a scenario is made of; see docs/strategies.md.

>>> scenarios(max_workers=2, trouble=())
scenarios(max_workers=2, trouble=())
"""

from properties.strategies._choices import drawn_choices, seeds
from properties.strategies._clusters import clusters, latencies
from properties.strategies._faults import faults
from properties.strategies._plans import plans
from properties.strategies._refusals import REFUSALS, refused_plans
from properties.strategies._rows import sections
from properties.strategies._scenarios import TROUBLE, from_plan, scenarios
from properties.strategies._workloads import clients, workloads

__all__ = [
    "REFUSALS",
    "TROUBLE",
    "clients",
    "clusters",
    "drawn_choices",
    "faults",
    "from_plan",
    "latencies",
    "plans",
    "refused_plans",
    "scenarios",
    "sections",
    "seeds",
    "workloads",
]
