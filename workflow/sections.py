"""Where the scans of a run get their rows: a bucket, memory, or whatever else has sections."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Sections"]


class Sections(Protocol):
    """Real rows for the scans of a run; always the same ones."""

    def batches(self, location: str, section: int, rows: int) -> "Iterable[pa.RecordBatch]":
        """A section in storage form, in batches of `rows` or fewer.

        A LookupError or ValueError is the failure of the task that reads.  May be called from
        several threads at once where the tasks of a run have threads.
        """
