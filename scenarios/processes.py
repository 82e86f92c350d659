"""Processes of this machine for work that is heavy."""

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from typing import Final

__all__ = ["fresh_processes"]

_IGNORE: Final = (signal.SIGINT, signal.SIG_IGN)


def fresh_processes(count: int, *, once: bool = False) -> ProcessPoolExecutor:
    """So many processes that know nothing of this one, to be shut down.

    A copy of this one would miss the threads of Arrow.  An interrupt from the keyboard reaches all
    of them: this one ends the others.  ``once``: a new process for each piece of work, whose memory
    the system gets back.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        count, context, signal.signal, _IGNORE, max_tasks_per_child=1 if once else None
    )
