"""What a process of `scenarios.determinism` does: make one trace under its conditions, save it.

``python -m scenarios._traced WORK``, with `Work` as a JSON object.
"""

import gc
import importlib
import json
import platform
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scenarios.runs import load_target, run, saved_trace
from sim.choices import Seeded
from sim.parts import Parts
from sim.scenario import Profile
from workflow import Workflow
from workflow.trace import Trace, write_trace

__all__ = ["Work", "main"]

_OF_EACH_SIZE: Final = 2_000  # objects; a run of the library makes fewer before it begins
_SIZES: Final = range(16, 480, 16)  # bytes, as far as Python's own allocator goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to run: a target as `windtunnel run` takes it, or else a function; and how.

    ``function`` and ``workflow_type`` are import paths, ``package.module:name``.  Without a place
    for the trace the imports are tried, and nothing runs.
    """

    target: str = ""
    bucket: str = ""
    seed: int = 0
    profile: Profile | None = None
    workflow_type: str = ""
    function: str = ""
    collects: bool = True  # whether the garbage collector is on
    shuffles: bool = False  # whether to fill the heap with holes first
    trace: str = ""  # the file


def main() -> None:
    """The entry point of the process."""
    work = Work(**json.loads(sys.argv[1]))
    if not work.collects:
        gc.disable()
    make = _imported(work.function) if work.function else None
    workflow_type = _imported(work.workflow_type) if work.workflow_type else Workflow
    if not work.trace:
        sys.stdout.write(platform.python_version())
        return
    kept = _holes() if work.shuffles else []
    trace = make() if make is not None else _run(work, workflow_type)
    kept.clear()  # not before: the objects between the holes keep them where they are
    if not isinstance(trace, Trace):
        raise TypeError(f"{work.function}: got {type(trace).__name__}, expected a Trace")
    with Path(work.trace).open("w", encoding="utf-8", newline="\n") as out:
        write_trace(out, trace)


def _imported(place: str) -> Any:
    module, _, path = place.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{place}: got {type(found).__name__}, expected something to call")
    return found


def _holes() -> list[object]:
    """Free every other one of many objects, in any order: new objects go where those were.

    Without this the addresses of a run's objects would mostly rise in the order in which they
    are made, in every process, and an order by `id` would not show.
    """
    objects: list[object] = []
    for number in range(_OF_EACH_SIZE):
        objects += (object(), 2**40 + number, *(bytes(size) for size in _SIZES))
    random.Random(len(objects)).shuffle(objects)
    del objects[::2]
    return objects


def _run(work: Work, workflow_type: type[Workflow]) -> Trace:
    scenario, name = load_target(work.target, seed=work.seed, bucket=work.bucket)
    return saved_trace(
        run(
            scenario,
            Seeded(work.seed),
            target=name,
            seed=work.seed,
            profile=work.profile,
            parts=Parts(workflow=workflow_type),
        )
    )


if __name__ == "__main__":
    main()
