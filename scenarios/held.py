"""The rows of a scenario that runs over a bucket: read once, and kept while they are in use.

What reads and executes is loaded only when there is such a scenario.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from scenarios.inputs import InputError
from sim.scenario import Data, Scenario

if TYPE_CHECKING:
    from sim.real import Held

__all__ = ["Rows", "pinned", "rows_of"]

_BUCKETS: Final = 2  # that are kept in memory
_CUTS: Final = 64  # of them, which cost next to nothing


class Rows:
    """The first rows of each section that is held.  `longest` is the largest section, in rows."""

    def __init__(self, held: "Held", sizes: dict[tuple[str, int], int], rows: int | None) -> None:
        self._held = held
        self._rows = rows
        kept = [size if rows is None else min(size, rows) for size in sizes.values()]
        self.longest: Final = max(kept, default=0)
        self.total: Final = sum(kept)

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `sim.rows.Sections`."""
        left = self._rows
        for batch in self._held.batches(location, section, rows):
            if left is None:
                yield batch
                continue
            if not left:
                return
            yield batch.slice(0, left)
            left -= min(left, batch.num_rows)


def pinned(scenario: Scenario) -> Scenario:
    """The scenario with the digest of its data in it.  Raises InputError."""
    data = scenario.data
    if data is None or data.digest:
        return scenario
    return replace(scenario, data=replace(data, digest=_digest(data.bucket)))


def rows_of(scenario: Scenario) -> Rows | None:
    """The rows that a scenario runs over, the same object every time; None: they are made up.

    Raises InputError if they cannot be read, or are not those that the scenario knows.
    """
    data = pinned(scenario).data
    if data is None:
        return None
    # Another folder may have become the current one since these were read.
    place = data.bucket if "://" in data.bucket else str(Path(data.bucket).absolute())
    return _cut(replace(data, bucket=place), data.bucket)


@lru_cache(maxsize=_CUTS)
def _cut(data: Data, shown: str) -> Rows:
    held, sizes = _held(data.bucket, data.digest, shown)
    return Rows(held, sizes, data.rows)


@lru_cache(maxsize=_BUCKETS)
def _held(_place: str, digest: str, shown: str) -> "tuple[Held, dict[tuple[str, int], int]]":
    from sim.real import Held  # noqa: PLC0415
    from workflow.objects import Bucket, DataError  # noqa: PLC0415

    if (seen := _digest(shown)) != digest:
        raise InputError(
            shown, f"got lines with the digest {seen}, expected {digest}, over which this was run"
        )
    try:
        sections = Bucket(shown).load()
    except DataError as error:
        raise InputError("", str(error)) from None
    sizes = {key: sum(batch.num_rows for batch in some) for key, some in sections.items()}
    return Held(sections), sizes


def _digest(place: str) -> str:
    from workflow.objects import Bucket, DataError  # noqa: PLC0415

    try:
        return Bucket(place).digest()
    except DataError as error:
        raise InputError("", str(error)) from None
