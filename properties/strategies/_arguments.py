"""Whether the arguments of a strategy are right: said when it is drawn from, as Hypothesis does."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches

from hypothesis.errors import InvalidArgument

__all__ = ["check_bounds", "check_count", "check_names"]


def check_count(name: str, value: object, *, least: int = 0) -> int:
    """A count of at least `least`, with its type known.  Raises InvalidArgument."""
    if type(value) is not int or value < least:
        raise InvalidArgument(f"{name}: got {value!r}, expected an integer >= {least}")
    return value


def check_bounds(what: str, low: object, high: object, *, least: int = 0) -> None:
    """``min_what`` and ``max_what`` as a pair.  Raises InvalidArgument."""
    bottom = check_count(f"min_{what}", low, least=least)
    top = check_count(f"max_{what}", high, least=least)
    if bottom > top:
        raise InvalidArgument(f"max_{what}: got {top}, expected at least min_{what} = {bottom}")


def check_names(name: str, chosen: object, known: Sequence[str]) -> list[str]:
    """The chosen ones of the known names, in their order.  Raises InvalidArgument."""
    expected = f"a collection of {', '.join(known)}"
    if isinstance(chosen, str) or not isinstance(chosen, Collection):
        raise InvalidArgument(f"{name}: got {chosen!r}, expected {expected}")
    for each in chosen:
        if each not in known:
            close = get_close_matches(each, known, 1) if isinstance(each, str) else []
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InvalidArgument(f"{name}: got {each!r} in it, expected {expected}{hint}")
    return [each for each in known if each in chosen]
