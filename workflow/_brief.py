"""Values that print as short Python: only what is not at its default.

>>> from workflow import Options
>>> Options(tenant="first")
Options(tenant='first')
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Protocol

__all__ = ["Brief", "Printer"]


class Printer(Protocol):
    """What IPython and Hypothesis give to ``_repr_pretty_``."""

    def group(self, indent: int, open: str, close: str) -> AbstractContextManager[None]:  # noqa: A002 (theirs)
        """What stands in one line if there is room."""

    def text(self, text: str) -> None:
        """Write."""

    def breakable(self) -> None:
        """A space, or a new line."""

    def pretty(self, value: object) -> None:
        """Write a value."""


class Brief:
    """Of a dataclass declared with ``repr=False``: shows what is not at its default.

    What is shown gives an equal value where the names in it are imported.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._shown())
        return f"{type(self).__name__}({shown})"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        del cycle  # a value cannot hold itself
        with printer.group(1, f"{type(self).__name__}(", ")"):
            for index, (name, value) in enumerate(self._shown()):
                if index:
                    printer.text(",")
                    printer.breakable()
                printer.text(f"{name}=")
                printer.pretty(value)

    def _shown(self) -> Iterator[tuple[str, object]]:
        for field in fields(self):
            value = getattr(self, field.name)
            default = field.default
            if field.default_factory is not MISSING:
                default = field.default_factory()
            if default is MISSING or value != default:
                yield field.name, value
