"""Real runners by what the command line calls them: of this project by name, others by a factory.

A further one of ours is one entry of `_OURS`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Final

import click

from scenarios.inputs import InputError
from scenarios.named import find_callable
from workflow import Runner
from workflow.raised import text_of
from workflow.sections import Sections

__all__ = [
    "FITS",
    "SLOTS",
    "WORKERS",
    "Make",
    "Room",
    "check_room",
    "close_runner",
    "runner_named",
]

Make = Callable[[Sections], Runner]  # one with threads or processes of its own

SLOTS: Final = 4  # of a LocalRunner, and of each worker of a DaskRunner
WORKERS: Final = 2  # of a cluster that is made for a DaskRunner


@dataclass(frozen=True, slots=True)
class Room:
    """What a runner is given to work with; None is its own choice."""

    slots: int | None = None
    workers: int | None = None
    cluster: str | None = None  # a scheduler's address


@contextmanager
def _local(room: Room) -> Iterator[Make]:
    from workflow.runners.local import LocalRunner  # noqa: PLC0415 - heavy

    yield partial(LocalRunner, slots=room.slots or SLOTS)


@contextmanager
def _dask(room: Room) -> Iterator[Make]:
    if room.workers is not None and room.cluster is not None:
        raise click.UsageError("--workers and --cluster exclude each other.")
    try:
        from distributed import Client  # noqa: PLC0415 - heavy, and may not be there

        from workflow.runners.dask import DaskRunner, local_cluster  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError(
            "--runner", f"dask needs {error.name}: pip install 'windtunnel[cluster]'"
        ) from None
    with ExitStack() as stack:
        if room.cluster is None:
            client = stack.enter_context(local_cluster(room.workers or WORKERS))
        else:
            try:
                client = stack.enter_context(Client(room.cluster, timeout=10))  # type: ignore[no-untyped-call]
            except (OSError, ValueError) as error:
                said = f"got {room.cluster!r:.80}, where no scheduler answers ({error!s:.120})"
                raise InputError("--cluster", said) from None
        yield partial(DaskRunner, client, slots=room.slots or SLOTS)


_OURS: Final[dict[str, Callable[[Room], AbstractContextManager[Make]]]] = {
    "dask": _dask,
    "local": _local,
}
FITS: Final[dict[str, tuple[str, ...]]] = {  # options, and whose they are
    "slots": ("dask", "local"),
    "workers": ("dask",),
    "cluster": ("dask",),
}


def check_room(name: str, room: Room) -> None:
    """Raises click.UsageError for an option that a runner has no use for."""
    for option in fields(Room):
        if getattr(room, option.name) is not None and name not in FITS[option.name]:
            fitting = " or ".join(FITS[option.name])
            raise click.UsageError(f"--{option.name} is for --runner {fitting}.")


@contextmanager
def runner_named(name: str, room: Room) -> Iterator[Make]:
    """What makes the runner: one of ours, or ``package.module:FACTORY`` or ``file.py:FACTORY``.

    A factory is called with the rows.  A cluster is there for as long as the context lasts.  Raises
    InputError for one that is not there; what it makes raises InputError if the factory raises.
    """
    check_room(name, room)
    ours = _OURS.get(name)
    if ours is not None:
        with ours(room) as make:
            yield make
        return
    if ":" not in name:
        known = ", ".join(_OURS)
        raise InputError(
            "--runner",
            f"got {name!r:.80}, expected {known}, package.module:FACTORY or file.py:FACTORY",
        )
    yield partial(_made, find_callable(name, "--runner"), name)


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
