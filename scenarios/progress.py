"""How far a run on a real runner is, as one line that is rewritten while it takes long.

What it counts was told by the runner or read: a scan that is at work counts once it is over.
"""

import shutil
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Final, Self, TextIO

from scenarios.wording import counted
from workflow.trace import Event as Recorded

__all__ = ["Progress"]

_AFTER: Final = 2.0  # seconds; who waits no longer than that needs no word
_EVERY: Final = 0.2
_TERMINAL: Final = ("Completed", "Cancelled", "Failed")
_ERASE: Final = "\r\x1b[2K"


class Progress:
    """Writes to `out`, a terminal, from a thread of its own; `with` ends it, and wipes the line."""

    def __init__(self, out: TextIO, *, after: float = _AFTER, every: float = _EVERY) -> None:
        self._out = out
        self._after = after
        self._every = every
        self._scans: dict[str, None] = {}  # tasks that read no stream
        self._tasks = 0
        self._over: dict[str, None] = {}
        self._rows = 0
        self._batches = 0
        self._begun = monotonic()
        self._done = Event()
        self._thread = Thread(target=self._show, name="windtunnel progress", daemon=True)

    def see(self, event: Recorded) -> None:
        """An event between workflow and runner."""
        if event.kind == "manifest":
            for index, task in enumerate(event.details["tasks"]):
                self._tasks += 1
                if not task["sources"]:
                    self._scans[f"{event.subject}/t{index}"] = None
        elif event.kind == "task_event" and event.details["state"] in _TERMINAL:
            if event.subject not in self._over and event.subject in self._scans:
                self._rows += event.details.get("statistics", {}).get("rows", 0)
            self._over[event.subject] = None

    def batch(self) -> None:
        """The reader got one more."""
        self._batches += 1

    def line(self) -> str:
        """What there is to say now."""
        return (
            f"{len(self._over):,} of {counted(self._tasks, 'task')} over,"
            f" {counted(self._rows, 'row')} read by those that scan,"
            f" {counted(self._batches, 'result batch', 'result batches')},"
            f" {monotonic() - self._begun:.0f} s"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _show(self) -> None:
        shown = False
        pause = self._after
        while not self._done.wait(pause):
            room = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be rewritten
            self._out.write(_ERASE + self.line()[:room])
            self._out.flush()
            shown, pause = True, self._every
        if shown:
            self._out.write(_ERASE)
            self._out.flush()
