"""Scalars with their type.

A plain value beside an array makes pyarrow look for pandas each time, which takes ten times as
long as the kernel takes for a small batch.
"""

from typing import Final

import pyarrow as pa

__all__ = [
    "FALSE",
    "NO_TEXT",
    "NULL_FLOAT",
    "NULL_TEXT",
    "TRUE",
    "float64",
    "int8",
    "int64",
    "text",
]


def int8(value: int) -> pa.Scalar:
    """A small whole number."""
    return pa.scalar(value, pa.int8())


def int64(value: int) -> pa.Scalar:
    """A whole number."""
    return pa.scalar(value, pa.int64())


def float64(value: float) -> pa.Scalar:
    """A number."""
    return pa.scalar(value, pa.float64())


def text(value: str) -> pa.Scalar:
    """A text."""
    return pa.scalar(value, pa.string())


TRUE: Final = pa.scalar(True, pa.bool_())
FALSE: Final = pa.scalar(False, pa.bool_())
NO_TEXT: Final = text("")
NULL_TEXT: Final = pa.scalar(None, pa.string())
NULL_FLOAT: Final = pa.scalar(None, pa.float64())
