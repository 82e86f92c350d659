"""Words for messages: a value cut short, the rest of a text, the nearest valid name.

>>> short("a" * 50), hint("EQL", ["EQ"]), shown("EQ(", 3)
("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'", "; did you mean 'EQ'?", 'the end')
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["hint", "short", "shown"]


def hint(name: str, names: Iterable[str]) -> str:
    """The end of a message that got `name`: the nearest of `names`, if any is near."""
    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def short(text: str) -> str:
    """`text` in quotes, at most 40 characters of it."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def shown(text: str, start: int) -> str:
    """What stands in `text` from `start` on."""
    return short(text[start : start + 41]) if start < len(text) else "the end"
