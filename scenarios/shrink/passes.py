"""Ways to take away: as many as possible at once, and a number as far down as it goes."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

__all__ = ["fewest", "grouped", "lowest"]

T = TypeVar("T")


def fewest(
    items: Sequence[T],
    keep: Callable[[list[T]], bool],
    *,
    left: Callable[[], Collection[T]] | None = None,
) -> None:
    """Take away all, halves, quarters, ... at last one by one, until none can go (ddmin).

    ``keep`` tries to do with fewer items and says whether that worked; ``left`` names those that
    are still there, where others may go along with them.
    """
    rest = list(items)
    chunk = len(rest)
    while chunk:
        went = False
        start = 0
        while start < len(rest):
            fewer = rest[:start] + rest[start + chunk :]
            if keep(fewer):
                went = True
                there = fewer if left is None else left()
                # What stands before was tried already; of that, what went along moves us back.
                before = [each for each in rest[:start] if each in there]
                rest = [each for each in fewer if each in there]
                start = len(before)
            else:
                start += chunk
        if chunk > 1:
            chunk = min(chunk // 2, len(rest))
        elif not went:
            return
        else:
            chunk = min(1, len(rest))


def lowest(value: int, least: int, attempt: Callable[[int], bool]) -> None:
    """Bring a number down: to the least or a little more, else by halving what is left."""
    if value <= least or attempt(least):
        return
    low, high = least, value  # `low` does not work, `high` does
    # What works need not be one stretch: something small is worth a look of its own.
    for more in (1, 2, 4):
        if least + more < high:
            if attempt(least + more):
                high = least + more
                break
            low = least + more
    while high - low > 1:
        middle = (low + high) // 2
        if attempt(middle):
            high = middle
        else:
            low = middle


def grouped(items: Iterable[T], key: Callable[[T], object]) -> list[list[T]]:
    """Items with one key together, in the order in which the keys come."""
    groups: dict[object, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
