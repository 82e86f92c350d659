"""Why no mutant has violated a rule, for the rules of which that is true."""

from typing import Final

__all__ = ["EXPLAINED"]

EXPLAINED: Final[dict[str, str]] = {}
