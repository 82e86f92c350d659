"""A tree drawn as text: one line a node, comments before children (semantics 9).

>>> print(render(Tree("root", children=[Tree("leaf", (("n", "1"), ("keys", ("a", "b"))))])), end="")
root
└── leaf n=1 keys=(a, b)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["MAX_LINES", "Tree", "TreeTooLarge", "render", "render_lines"]

# A node with several parents prints under each, so a ladder of diamonds doubles at each step.
MAX_LINES: Final = 5_000_000


class TreeTooLarge(ValueError):
    """A graph whose printed form would not fit; `args` is the bound in lines."""

    def __str__(self) -> str:
        return (
            f"printed form: more than {self.args[0]:,} lines, since nodes with several parents"
            " print under each of them; the JSON form stays small"
        )


@dataclass(slots=True, eq=False)
class Tree:
    """A node to draw: ``name <id> key=value key=(a, b)``, its comments, its children."""

    name: str
    properties: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    id: str = ""
    comments: list["Tree"] = field(default_factory=list)
    children: list["Tree"] = field(default_factory=list)

    def line(self) -> str:
        """The node's own line, without its place in the tree."""
        parts = [self.name]
        if self.id:
            parts.append(f"<{self.id}>")
        for key, value in self.properties:
            shown = value if isinstance(value, str) else f"({', '.join(value)})"
            parts.append(f"{key}={shown}")
        return " ".join(parts)


def render_lines(tree: Tree) -> Iterator[str]:
    """The lines of the drawing, top down, without line ends.  Raises TreeTooLarge."""
    # (node, what stands before its line, what stands before the lines below it)
    stack: list[tuple[Tree, str, str]] = [(tree, "", "")]
    lines = 0
    while stack:
        node, lead, prefix = stack.pop()
        lines += 1
        if lines > MAX_LINES:
            raise TreeTooLarge(MAX_LINES)
        yield lead + node.line()
        comment_prefix = prefix + ("│   " if node.children else "    ")
        below = _branches(node.comments, comment_prefix) + _branches(node.children, prefix)
        stack.extend(reversed(below))


def _branches(nodes: list[Tree], prefix: str) -> list[tuple[Tree, str, str]]:
    last = len(nodes) - 1
    return [
        (node, prefix + "└── ", prefix + "    ")
        if index == last
        else (node, prefix + "├── ", prefix + "│   ")
        for index, node in enumerate(nodes)
    ]


def render(tree: Tree) -> str:
    """The whole drawing, each line ended."""
    return "".join(line + "\n" for line in render_lines(tree))
