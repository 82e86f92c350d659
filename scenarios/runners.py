"""Real runners by what the command line calls them: of this project by name, others by a factory.

A further one of ours is one entry of `_OURS`.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import click

from scenarios.inputs import InputError
from scenarios.named import find_callable
from workflow import Runner
from workflow.raised import text_of
from workflow.sections import Sections

__all__ = ["SLOTS", "Make", "close_runner", "runner_named"]

Make = Callable[[Sections], Runner]  # one with threads or processes of its own

SLOTS: Final = 4  # of a LocalRunner, unless told


def _local(slots: int | None) -> Make:
    from workflow.runners.local import LocalRunner  # noqa: PLC0415 - heavy

    return partial(LocalRunner, slots=slots or SLOTS)


_OURS: Final[dict[str, Callable[[int | None], Make]]] = {"local": _local}


def runner_named(name: str, *, slots: int | None = None) -> Make:
    """What makes the runner: ``local``, ``package.module:FACTORY`` or ``file.py:FACTORY``.

    A factory is called with the rows.  Raises InputError for one that is not there; what it makes
    raises InputError if the factory raises.
    """
    ours = _OURS.get(name)
    if ours is not None:
        return ours(slots)
    if slots is not None:
        raise click.UsageError(f"--slots is for --runner {' or '.join(_OURS)}.")
    if ":" not in name:
        known = ", ".join(_OURS)
        raise InputError(
            "--runner",
            f"got {name!r:.80}, expected {known}, package.module:FACTORY or file.py:FACTORY",
        )
    return partial(_made, find_callable(name, "--runner"), name)


def _made(factory: Callable[[Sections], Runner], name: str, data: Sections) -> Runner:
    try:
        runner = factory(data)
    except Exception as error:  # somebody else's code may raise whatever it likes
        said = f"{type(error).__name__}: {text_of(error)}"
        raise InputError("--runner", f"{name} raised {said}") from error
    missing = [each for each in _METHODS if not callable(getattr(runner, each, None))]
    if missing:
        raise InputError(
            "--runner", f"{name} gave {runner!r:.60}, which has no {', '.join(missing)}"
        )
    return runner


_METHODS: Final = ("register_manifest", "unregister_manifest", "listen", "start", "cancel")


def close_runner(runner: Runner) -> None:
    """End a runner that has a `close`."""
    close = getattr(runner, "close", None)
    if close is not None:
        close()
