"""Rows for runs that are cut short: sections that do not end, and sections that break off."""

from collections.abc import Iterator
from time import monotonic, sleep
from typing import Final

import pyarrow as pa

from workflow.sections import Sections

__all__ = ["BROKEN", "Breaking", "Endless"]

BROKEN: Final = "this section breaks off, as it was told to"

_PAUSE: Final = 0.001  # seconds, so that who reads on for nothing does not take the whole machine


class Endless:
    """Each section again and again, for so many seconds or until it is told to stop.

    A copy in another process knows the seconds alone.
    """

    def __init__(self, sections: Sections, seconds: float) -> None:
        self._sections = sections
        self._until = monotonic() + seconds

    def stop(self) -> None:
        """Let each section end after its next batch."""
        self._until = monotonic()

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        while True:
            for batch in self._sections.batches(location, section, rows):
                yield batch
                if monotonic() >= self._until:
                    return
                sleep(_PAUSE)
            if monotonic() >= self._until:
                return
            sleep(_PAUSE)


class Breaking:
    """Each section breaks off with a ValueError after its first batch."""

    def __init__(self, sections: Sections) -> None:
        self._sections = sections

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        for batch in self._sections.batches(location, section, rows):
            yield batch.slice(0, 1)
            break
        raise ValueError(BROKEN)
