"""Trouble: when does which fault happen?

A fault happens at a tick, at the n-th occasion of its kind, or with a chance at each occasion.
Occasions are met by whoever could suffer them; a chance is keyed by the identities of occasion
and fault, and each fault counts every occasion of its own, so that one fault more does not move
the others.  Of several that would happen at one occasion the first does.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from sim.choices import Choices
from sim.scenario import Fault, FaultKind

__all__ = ["Faults"]


class Faults:
    """The faults of a scenario, asked at each occasion."""

    def __init__(
        self, faults: Sequence[Fault], choices: Choices, fired: Callable[[Fault, str], None]
    ) -> None:
        self._choices = choices
        self._fired = fired
        self._by_kind: dict[str, list[tuple[int, Fault]]] = {}
        self._labels: list[str] = []
        same: Counter[str] = Counter()
        for index, fault in enumerate(faults):
            self._by_kind.setdefault(fault.kind, []).append((index, fault))
            label = _label(fault)
            same[label] += 1
            self._labels.append(f"{label}#{same[label]}" if same[label] > 1 else label)
        self._met: dict[int, int] = {}  # occasions of each fault so far
        self._armed: dict[int, None] = {}  # at a tick that has come

    def timed(self) -> list[tuple[int, Fault]]:
        """The faults that happen at a tick, for the world to schedule."""
        return [
            (index, fault)
            for faults in self._by_kind.values()
            for index, fault in faults
            if fault.at is not None
        ]

    def label(self, index: int) -> str:
        """What a fault is called in choices: by what it is, not by its place in the list."""
        return self._labels[index]

    def arm(self, index: int) -> None:
        """The tick of a fault has come: it happens at the next occasion that fits."""
        self._armed[index] = None

    def met(
        self,
        kind: FaultKind,
        subject: str,
        *,
        worker: int | None = None,
        task: int | None = None,
        workload: int | None = None,
        place: int | None = None,
    ) -> Fault | None:
        """An occasion for a fault of this kind.  Gives the fault that happens, if one does.

        `place` counts instead of the occasions met so far, where a kind says so: the step of a
        task, -1 being its last.
        """
        found: Fault | None = None
        for index, fault in self._by_kind.get(kind, ()):
            if (
                (fault.worker is not None and fault.worker != worker)
                or (fault.task is not None and fault.task != task)
                or (fault.workload is not None and fault.workload != workload)
            ):
                continue
            count = self._met.get(index, 0)
            self._met[index] = count + 1
            if found is None and self._happens(
                index, fault, count if place is None else place, subject
            ):
                self._fired(fault, subject)
                found = fault
        return found

    def _happens(self, index: int, fault: Fault, count: int, subject: str) -> bool:
        if fault.at is not None:
            return self._armed.pop(index, _NOT_ARMED) is not _NOT_ARMED
        if fault.nth is not None:
            # Once: a step number comes again with every task.
            if fault.nth != count or self._armed.get(index, _NOT_ARMED) is not _NOT_ARMED:
                return False
            self._armed[index] = None
            return True
        key = f"{self._labels[index]}/{subject}"
        return self._choices.chance("fault", key, fault.per_million or 0)


def _label(fault: Fault) -> str:
    whom = (("w", fault.worker), ("t", fault.task), ("workload ", fault.workload))
    parts = [f"{name}{index}" for name, index in whom if index is not None]
    when = "at" if fault.at is not None else "nth" if fault.nth is not None else ""
    return "/".join(filter(None, (fault.kind, *parts, when)))


_NOT_ARMED = object()
