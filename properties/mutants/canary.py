"""The canary: a mutant that breaks a rule openly, so that it shows whether anybody looks.

If it is not caught, it is not the monitors that are blind, but what runs them and reports.
"""

from typing import Any, Final

from properties.mutants.mutant import Mutant
from sim.parts import Parts
from workflow import Results, Workflow

__all__ = ["CANARY"]


class _Canary(Workflow):
    """Says that its root has gone from Completed back to Created."""

    def run(self, **kwargs: Any) -> Results:
        for state in ("Completed", "Created"):
            self._observe("recorded", self.tasks.root(), state=state)
        return super().run(**kwargs)


CANARY: Final = Mutant(
    sentence="a workflow says that its root has gone from Completed back to Created",
    rules=("T3",),
    parts=Parts(workflow=_Canary),
    scenarios=("count-over-time",),
    runs=1,
)
