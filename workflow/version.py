"""The version that traces and saved failures name."""

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = "0.1.0"
