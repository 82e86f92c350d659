"""Runners that meet the real world: the only place below `scenarios/` with threads and clocks.

`workflow.runners.local` runs tasks on threads of this process; `workflow.runners.task` is what any
such runner does with one task; `workflow.runners.reading` reads results, and waits for them.
"""
