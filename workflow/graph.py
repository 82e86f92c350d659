"""A directed acyclic graph with ordered children: the shape of plans, fragments and workflows.

Nodes are told apart by identity (give them ``eq=False``).  Children and parents keep the order
in which their edges came.  Sources: semantics 2.3; unlike the reference, a clone shares nothing
with its original but the nodes, and a cycle is found and shown.

>>> graph = Graph[str]()
>>> _ = [graph.add(node) for node in "lsf"]
>>> graph.add_edge("l", "s"); graph.add_edge("s", "f")
>>> list(graph.walk("l")), graph.roots(), graph.leaves()
(['l', 's', 'f'], ['l'], ['f'])
"""

from collections.abc import Iterator
from typing import Generic, Literal, Self, TypeVar

__all__ = ["CycleError", "Graph", "GraphError", "RootError"]

N = TypeVar("N")


class GraphError(ValueError):
    """A graph was asked for something that its nodes or edges do not allow.

    ``rule`` is a stable name of what was broken.
    """

    rule = "graph"


class RootError(GraphError):
    """A graph has no root, or several, where exactly one is needed.

    ``rule`` is ``no-root`` or ``many-roots``, as the reference names them.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


class CycleError(GraphError):
    """A graph that has to be acyclic is not; ``path`` starts and ends at one node."""

    rule = "cycle"

    def __init__(self, path: tuple[object, ...]) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return "cycle: " + " > ".join(str(node) for node in self.path)


class Graph(Generic[N]):
    """Nodes in order of arrival, each with ordered parents and children."""

    def __init__(self) -> None:
        # Dicts as ordered sets: lists would make removing an edge of a wide node quadratic.
        self._children: dict[N, dict[N, None]] = {}
        self._parents: dict[N, dict[N, None]] = {}

    def __len__(self) -> int:
        return len(self._children)

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self)} node{'' if len(self) == 1 else 's'}"

    def __iter__(self) -> Iterator[N]:
        return iter(self._children)

    def __contains__(self, node: object) -> bool:
        return node in self._children

    def add(self, node: N) -> N:
        """Put a node in and return it; no effect for None or a node that is there already."""
        if node is not None and node not in self._children:
            self._children[node] = {}
            self._parents[node] = {}
        return node

    def add_edge(self, parent: N, child: N) -> None:
        """Let data flow from child to parent; an edge that is there already changes nothing."""
        for role, node in (("parent", parent), ("child", child)):
            if node not in self._children:
                raise GraphError(f"add_edge({role}): got {node!r}, expected a node of the graph")
        self._children[parent][child] = None
        self._parents[child][parent] = None

    def children(self, node: N) -> list[N]:
        """The nodes that this one reads from, in order; empty for an unknown node."""
        return list(self._children.get(node, ()))

    def parents(self, node: N) -> list[N]:
        """The nodes that read from this one, in order; empty for an unknown node."""
        return list(self._parents.get(node, ()))

    def roots(self) -> list[N]:
        """Nodes without parents, in order of arrival."""
        return [node for node, parents in self._parents.items() if not parents]

    def leaves(self) -> list[N]:
        """Nodes without children, in order of arrival."""
        return [node for node, children in self._children.items() if not children]

    def root(self) -> N:
        """The only root.  Raises RootError with rule ``no-root`` or ``many-roots``."""
        roots = self.roots()
        if len(roots) == 1:
            return roots[0]
        if roots:
            names = ", ".join(self.name(node) for node in roots[:5])
            more = f" and {len(roots) - 5} more" if len(roots) > 5 else ""
            raise RootError(
                "many-roots", f"got {len(roots)} nodes without a parent ({names}{more}), expected 1"
            )
        if self._children:  # every node has a parent
            self.check_acyclic()
        raise RootError("no-root", "got no nodes, expected a node without a parent")

    def name(self, node: N) -> str:
        """How messages call this node."""
        return str(node)

    def eliminate(self, node: N) -> None:
        """Take a node out and join its parents to its children, these at the end."""
        if node not in self._children:
            raise GraphError(f"eliminate(node): got {node!r}, expected a node of the graph")
        children, parents = self._children.pop(node), self._parents.pop(node)
        for parent in parents:
            del self._children[parent][node]
            self._children[parent].update(children)
        for child in children:
            del self._parents[child][node]
            self._parents[child].update(parents)

    def inject(self, parent: N, node: N) -> N:
        """Put a new node between a parent and all of its children, and return it."""
        if parent not in self._children:
            raise GraphError(f"inject(parent): got {parent!r}, expected a node of the graph")
        if node is None or node in self._children:
            raise GraphError(f"inject(node): got {node!r}, expected a node not yet in the graph")
        self.add(node)
        self._children[node] = self._children[parent]
        for child in self._children[node]:
            # In place, so that the order of the child's parents stays.
            self._parents[child] = {
                (node if each == parent else each): None for each in self._parents[child]
            }
        self._children[parent] = {node: None}
        self._parents[node] = {parent: None}
        return node

    def clone(self) -> Self:
        """A graph of the same nodes that can be changed without touching this one."""
        twin = type(self)()
        twin._children = {node: dict(edges) for node, edges in self._children.items()}
        twin._parents = {node: dict(edges) for node, edges in self._parents.items()}
        return twin

    def walk(self, *starts: N, order: Literal["pre", "post"] = "pre") -> Iterator[N]:
        """Depth first along the children, from one start after the other, each node once."""
        seen: dict[N, None] = {}
        for start in starts:
            if start not in self._children:
                raise GraphError(f"walk(start): got {start!r}, expected a node of the graph")
            if start in seen:
                continue
            seen[start] = None
            stack = [(start, iter(self._children[start]))]  # no recursion: plans may be deep
            if order == "pre":
                yield start
            while stack:
                node, rest = stack[-1]
                child = next((c for c in rest if c not in seen), None)
                if child is None:
                    stack.pop()
                    if order == "post":
                        yield node
                    continue
                seen[child] = None
                if order == "pre":
                    yield child
                stack.append((child, iter(self._children[child])))

    def preorder(self) -> Iterator[N]:
        """Every node of an acyclic graph once, depth first, root after root."""
        return self.walk(*self.roots())

    def edges(self) -> Iterator[tuple[N, N]]:
        """Every edge of an acyclic graph, each after its child's whole subtree."""
        seen: dict[N, None] = {}
        for root in self.roots():
            seen[root] = None
            stack = [(root, iter(self._children[root]))]
            while stack:
                node, rest = stack[-1]
                child = next(rest, None)
                if child is None:
                    stack.pop()
                    if stack:
                        yield stack[-1][0], node
                elif child in seen:
                    yield node, child
                else:
                    seen[child] = None
                    stack.append((child, iter(self._children[child])))

    def check_acyclic(self) -> None:
        """Raises CycleError with the path, if following children ever comes back."""
        done: dict[N, None] = {}
        for start in self._children:
            if start in done:
                continue
            path = {start: None}
            stack = [(start, iter(self._children[start]))]
            while stack:
                node, rest = stack[-1]
                child = next((c for c in rest if c not in done), None)
                if child is None:
                    stack.pop()
                    del path[node]
                    done[node] = None
                elif child in path:
                    nodes = list(path)
                    loop = [*nodes[nodes.index(child) :], child]
                    raise CycleError(tuple(self.name(each) for each in loop))
                else:
                    path[child] = None
                    stack.append((child, iter(self._children[child])))
