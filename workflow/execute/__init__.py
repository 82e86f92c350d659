"""Fragments over real rows: see `Execution`.

A sans-IO machine like the rest of the engine, over `pyarrow.RecordBatch`es; docs/execution.md has
its rules where the reference leaves a choice.
"""

from workflow.execute.errors import ExecutionError
from workflow.execute.execution import Execution, Source
from workflow.execute.scan import ScanSource

__all__ = ["Execution", "ExecutionError", "ScanSource", "Source"]
