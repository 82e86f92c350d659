"""A queue that is fair among scopes: who has been charged least goes next (semantics 6.4).

Scopes form a tree, named by paths such as ``(tenant, actor, manifest)``.  A scope holds values
and further scopes, each with a rank: what it was charged so far, or where it came in.  `pop`
goes down from the root, at each scope to the lowest rank.

Tie: of two equal ranks the one whose next value was pushed earlier, so that a queue in which
    nothing is ever charged is first in, first out as a whole (case G02).
Coming in: a value, and a new scope, get the lowest rank of those beside it that hold values, so
    that nobody waits for a newcomer to catch up.  A scope that was empty is lifted to that rank,
    unless its own is higher: to have been idle is no credit.
Coming back: `requeue` puts a value where it was, as if it had not been popped.

Every call is O(depth * log n), but for `unregister`, which also looks at each value it removes.

>>> queue: FairQueue[str] = FairQueue()
>>> for scope in [("a",), ("b",)]:
...     queue.register(scope)
>>> for scope, value in [(("a",), "a1"), (("a",), "a2"), (("b",), "b1")]:
...     _ = queue.push(scope, value)
>>> value, ticket = queue.pop()
>>> queue.charge(ticket.scope, 1)
>>> value, queue.peek()[0]
('a1', 'b1')
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

__all__ = ["FairQueue", "Scope", "ScopeExists", "ScopeUnknown", "Ticket"]

T = TypeVar("T")

Scope = tuple[str, ...]


class ScopeExists(ValueError):
    """A scope was registered that is there already; `args` is its path."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)

    def __str__(self) -> str:
        return f"register(scope): got {_shown(self.args[0])}, expected one that is not there yet"


class ScopeUnknown(LookupError):
    """A scope was used that is not registered; `args` is its path."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)

    def __str__(self) -> str:
        return f"scope: got {_shown(self.args[0])}, expected a registered one"


def _shown(scope: Scope) -> str:
    return repr("/".join(scope)) if scope else "the root"


@dataclass(frozen=True, slots=True)
class Ticket(Generic[T]):
    """The place that a popped value had: what `requeue` needs to put it back."""

    scope: Scope
    value: T
    rank: int
    sequence: int


class _Entry:
    """Something with a place in its scope's heap."""

    __slots__ = ("index", "rank", "sequence")

    def __init__(self, rank: int, sequence: int) -> None:
        self.rank = rank
        self.sequence = sequence
        self.index = -1  # in the heap; -1: not in it

    def precedes(self, other: "_Entry") -> bool:
        return (self.rank, self.sequence) < (other.rank, other.sequence)


class _Leaf(_Entry, Generic[T]):
    __slots__ = ("value",)

    def __init__(self, rank: int, sequence: int, value: T) -> None:
        super().__init__(rank, sequence)
        self.value = value


class _Node(_Entry, Generic[T]):
    """A scope, in its parent's heap while it holds values.  Its sequence is its next value's."""

    __slots__ = ("children", "heap", "name", "parent", "size")

    def __init__(self, name: str, parent: "_Node[T] | None") -> None:
        super().__init__(parent.lowest(0) if parent else 0, 0)
        self.name = name
        self.parent = parent
        self.children: dict[str, _Node[T]] = {}
        self.heap: list[_Entry] = []
        self.size = 0  # values in it and below

    def lowest(self, default: int) -> int:
        return self.heap[0].rank if self.heap else default


class FairQueue(Generic[T]):
    """Values in scopes.  The root, the empty path, is a scope that is always there."""

    def __init__(self) -> None:
        self._root: Final[_Node[T]] = _Node("", None)
        self._pushed = 0
        self._queued: dict[int, None] = {}  # sequences of the values in the queue

    def __len__(self) -> int:
        return self._root.size

    def register(self, scope: Scope) -> None:
        """Add a scope, and those above it that are missing.  Raises ScopeExists."""
        node = self._root
        is_new = False
        for name in scope:
            below = node.children.get(name)
            if below is None:
                below = node.children[name] = _Node(name, node)
                is_new = True
            node = below
        if not is_new:
            raise ScopeExists(scope)

    def unregister(self, scope: Scope) -> None:
        """Remove a scope with all that is in it, and those above it that this leaves empty.

        What they were charged is forgotten.  Raises ScopeUnknown.
        """
        node = self._find(scope)
        self._forget(node)
        removed, node.size = node.size, 0
        node.heap, node.children = [], {}
        while node.parent is not None:
            above = node.parent
            above.size -= removed
            if node.heap or node.children:
                _settle(node)
            else:
                if node.index >= 0:
                    _remove(above.heap, node)
                del above.children[node.name]
            node = above

    def push(self, scope: Scope, value: T) -> int:
        """Add a value as the last of its scope; gives its place.  Raises ScopeUnknown."""
        node = self._find(scope)
        self._pushed += 1
        self._add(node, _Leaf(node.lowest(0), self._pushed, value), lift=True)
        return self._pushed

    def peek(self) -> tuple[T, Ticket[T]] | None:
        """What `pop` would give; None from an empty queue."""
        front = self._front()
        return None if front is None else (front[1].value, _ticket(*front))

    def pop(self) -> tuple[T, Ticket[T]] | None:
        """Take out the next value; None from an empty queue.  Nobody is charged for it."""
        front = self._front()
        if front is None:
            return None
        node, leaf = front
        ticket = _ticket(node, leaf)
        del self._queued[leaf.sequence]
        _remove(node.heap, leaf)
        above: _Node[T] | None = node
        while above is not None:
            above.size -= 1
            _settle(above)
            above = above.parent
        return leaf.value, ticket

    def charge(self, scope: Scope, cost: int) -> None:
        """Add a cost to a scope and all above it; a refund is negative.  Raises ScopeUnknown."""
        node = self._find(scope)
        while node.parent is not None:
            node.rank += cost
            if node.index >= 0:
                _sift(node.parent.heap, node)
            node = node.parent

    def requeue(self, ticket: Ticket[T]) -> None:
        """Put a popped value back in its place.

        Raises ScopeUnknown, and ValueError for one that is in the queue.
        """
        node = self._find(ticket.scope)
        if ticket.sequence in self._queued:
            raise ValueError(f"requeue(ticket): got {ticket}, expected one not in the queue")
        self._add(node, _Leaf(ticket.rank, ticket.sequence, ticket.value), lift=False)

    def _find(self, scope: Scope) -> _Node[T]:
        node: _Node[T] | None = self._root
        for name in scope:
            node = node.children.get(name) if node else None
        if node is None:
            raise ScopeUnknown(scope)
        return node

    def _front(self) -> tuple[_Node[T], _Leaf[T]] | None:
        node = self._root
        while node.heap:
            entry = node.heap[0]
            if isinstance(entry, _Leaf):
                return node, entry
            node = cast("_Node[T]", entry)
        return None

    def _add(self, node: _Node[T], leaf: _Leaf[T], *, lift: bool) -> None:
        self._queued[leaf.sequence] = None
        _insert(node.heap, leaf)
        above: _Node[T] | None = node
        while above is not None:
            above.size += 1
            if above.parent and above.index < 0 and lift:
                above.rank = max(above.rank, above.parent.lowest(above.rank))
            _settle(above)
            above = above.parent

    def _forget(self, node: _Node[T]) -> None:
        stack: list[_Entry] = [node]
        while stack:
            entry = stack.pop()
            if isinstance(entry, _Node):
                stack += entry.heap
            else:
                del self._queued[entry.sequence]


def _ticket(node: _Node[T], leaf: _Leaf[T]) -> Ticket[T]:
    names: list[str] = []
    above = node
    while above.parent is not None:
        names.append(above.name)
        above = above.parent
    return Ticket(tuple(reversed(names)), leaf.value, leaf.rank, leaf.sequence)


def _settle(node: _Node[T]) -> None:
    """Bring a scope's place among its siblings up to date with its heap."""
    if node.parent is None:
        return
    if node.heap:
        node.sequence = node.heap[0].sequence
        if node.index < 0:
            _insert(node.parent.heap, node)
        else:
            _sift(node.parent.heap, node)
    elif node.index >= 0:
        _remove(node.parent.heap, node)


# A heap whose entries know their index, so that any of them can move: heapq has no such thing.


def _insert(heap: list[_Entry], entry: _Entry) -> None:
    entry.index = len(heap)
    heap.append(entry)
    _sift(heap, entry)


def _remove(heap: list[_Entry], entry: _Entry) -> None:
    last = heap.pop()
    if last is not entry:
        last.index = entry.index
        heap[last.index] = last
        _sift(heap, last)
    entry.index = -1


def _sift(heap: list[_Entry], entry: _Entry) -> None:
    """Move an entry whose key may have changed, up or down to where it belongs."""
    at = entry.index
    while at and entry.precedes(heap[(at - 1) // 2]):
        heap[at] = heap[(at - 1) // 2]
        heap[at].index = at
        at = (at - 1) // 2
    while (least := 2 * at + 1) < len(heap):
        if least + 1 < len(heap) and heap[least + 1].precedes(heap[least]):
            least += 1
        if not heap[least].precedes(entry):
            break
        heap[at] = heap[least]
        heap[at].index = at
        at = least
    heap[at] = entry
    entry.index = at
