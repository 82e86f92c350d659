"""Read the results of a workflow whose Runner has threads of its own: where a reader waits."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from workflow.results import EndOfStream
from workflow.runners._gate import Gate

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Readable", "read"]


class Readable(Protocol):
    """`workflow.Results`, or a recorder's."""

    def poll(self) -> "pa.RecordBatch | None":
        """The next record, None if there is none yet; raises EndOfStream or what ended it."""

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` once, at the next change."""


def read(results: Readable) -> "Iterator[pa.RecordBatch]":
    """Every record, as they come.  Raises the error that ends them.

    Whoever stops before the end closes the results, or the workflow.
    """
    changed = Gate()
    watched = False
    while True:
        try:
            batch = results.poll()
        except EndOfStream:
            return
        if batch is not None:
            yield batch
            watched = False
        elif watched:
            changed.wait()
            watched = False
        else:  # watch first, then look again
            changed.shut()
            results.watch(changed.open)
            watched = True
