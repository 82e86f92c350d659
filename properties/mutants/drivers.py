"""Workflows that are not wrong themselves, but ask more of a Runner than the real one does.

With a sound Runner no rule is violated in their runs.
"""

from contextlib import suppress
from typing import Any

from sim.job import Job
from sim.rows import Pieces, Record
from workflow import ManifestRefused, Task, TaskStatus, Workflow

__all__ = ["EmptyBatches", "RegistersTwice", "StartsAgain"]


class RegistersTwice(Workflow):
    """Registers its manifest again, and expects to be refused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with suppress(ManifestRefused):
            self._runner.register_manifest(self.manifest)


class StartsAgain(Workflow):
    """Starts each task once more when it is over."""

    def _task_ended(self, task: Task, status: TaskStatus) -> None:
        super()._task_ended(task, status)
        if not self._closed:
            self._runner.start([task])


class EmptyBatches(Job):
    """Sends an empty batch before each batch, as an operator that filters may."""

    def _send_all(self, record: Record) -> Any:
        if not any(stream.receiver is None for stream in self.execution.record.sinks):
            yield from super()._send_all(Pieces(()))
        yield from super()._send_all(record)
