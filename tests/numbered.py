"""Rows for runners under test.  Light, since each worker process imports it."""

from collections.abc import Iterator

import pyarrow as pa

FAILS = "fails"  # the location of a section that breaks off after its first batch
ROWS = 20  # of each section, the most that a test of the contract asks


class Numbered:
    """Every section has the same rows, whose messages are their numbers."""

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        del section
        for start in range(0, ROWS, rows):
            numbers = range(start, min(start + rows, ROWS))
            yield pa.RecordBatch.from_pydict({"message": [str(number) for number in numbers]})
            if location == FAILS:
                raise ValueError("the section is damaged")
