"""Reads a plan from the tree that `plan_to_text` prints (semantics 9).

What the text does not carry stays unset: stream ids and the predicates of a PointersScan (only
their numbers print), selectors, the time ranges of targets, series limits, and the expressions of
a Projection that neither expands nor drops.  A text in quotes holds no line break.
Sharing: a node with several parents prints under each of them, so that equal subtrees may be one
node or several.  The text cannot tell; the caller can, though only for all of them at once.

>>> plan = plan_from_text('''
...     Limit offset=0 limit=5
...     └── Merge
... ''')
>>> [plan.name(node) for node in plan]
['node 0 (Limit)', 'node 1 (Merge)']
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from workflow._messages import hint, short, shown
from workflow.expressions import ExpressionError
from workflow.plan import NODE_KINDS, Node, Plan, PlanError
from workflow.plan_line_reader import FORMS, LineReader, Values
from workflow.plan_text import TARGET_TYPES
from workflow.times import TimeRange

__all__ = ["PlanTextError", "plan_from_text"]

_BAR: Final = "│   "
_GAP: Final = "    "
_BRANCHES: Final = ("├── ", "└── ")
_LEAD: Final = re.compile("[│ ]*")
_TARGET: Final = "@target"
_TIME_RANGE: Final = "@max_time_range"
_COMMENTS: Final = {"DataObjScan": _TIME_RANGE, "ScanSet": _TARGET}


class PlanTextError(PlanError):
    """A printed plan that cannot be read, or not in one way only.

    ``rule`` names what was broken; ``line`` and ``column`` count from 1.
    """

    def __init__(self, rule: str, line: int, column: int, message: str) -> None:
        super().__init__(rule, f"line {line}, column {column}", message)
        self.args = (rule, line, column, message)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.args[3]}"


def plan_from_text(text: str, *, shared: bool | None = None, quotes: bool = True) -> Plan:
    """The plan that prints as `text`; its nodes are numbered in the order of their lines.

    Equal subtrees under different parents are one node with ``shared=True`` (wherever one node
    can stand in both places) and several with ``shared=False``; without either they are refused.
    With ``quotes=False`` no text in quotes holds a double quote, so that each has one reading.
    CRLF, a byte order mark, blank lines around and indentation of all lines are let through.
    Raises PlanTextError.
    """
    tree = _Tree(quotes)
    for number, line in _lines(text.removeprefix("\ufeff")):
        tree.add(number, line)
    tree.end()
    return tree.plan(shared)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # One at a time: the lines of a deep tree are mostly prefix and may fill the memory.
    number, start = 1, 0
    while start < len(text):
        end = text.find("\n", start)
        if end < 0:
            end = len(text)
        yield number, text[start:end].removesuffix("\r")
        number, start = number + 1, end + 1


@dataclass(slots=True, eq=False)
class _Entry:
    """The line of a node, and what stands below it."""

    line: int
    column: int
    kind: str
    parent: int  # its index; -1 for a root
    is_last: bool  # among its siblings, as drawn
    content: str
    values: Values
    comments: list[str] = field(default_factory=list)
    comment_line: int = 0  # the first one's
    lead: str = ""  # what stands between the node's own prefix and its comments
    ended: bool = False  # the last comment was drawn as such
    targets: list[Node] = field(default_factory=list)

    def make(self) -> Node:
        kind: Callable[..., Node] = NODE_KINDS[self.kind]
        if self.kind != "ScanSet":
            return kind(**self.values)
        values = {name: value for name, value in self.values.items() if name != "num_targets"}
        return kind(**values, targets=tuple(self.targets))


class _Tree:
    """The lines so far.  `_path` leads from the root to the last node."""

    def __init__(self, quotes: bool) -> None:
        self._quotes = quotes
        self._entries: list[_Entry] = []
        self._path: list[_Entry] = []
        self._indices: list[int] = []  # of the entries on the path
        self._prefix = ""  # of what stands below the last node
        self._indent: str | None = None
        self._blank = 0  # the line of a blank line that no other has followed yet

    def add(self, number: int, line: str) -> None:
        """Take the next line."""
        if not line.strip(" \t"):
            self._blank = self._blank or number
            return
        if self._indent is None:
            self._indent = line[: len(line) - len(line.lstrip(" \t"))]
            self._blank = 0
        if not line.startswith(self._indent):
            message = f"got {shown(line, 0)}, expected the indentation of the first line"
            raise PlanTextError("bad-indent", number, 1, message)
        line = line[len(self._indent) :]
        match = _LEAD.match(line)
        at = match.end() if match else 0
        is_root = at == 0 and not line.startswith(_BRANCHES)
        self._check_blank(number, line, is_root)
        branch = line[at : at + 4]
        if is_root:
            self._leave(0, number, 0)
            self._node(number, line, 0, _BRANCHES[1])
        elif branch not in _BRANCHES or at % 4:
            raise self._bad_prefix(number, at, shown(line, at), "a branch, '├── ' or '└── '")
        elif line.startswith("@", at + 4):
            self._comment(number, line, at, branch)
        else:
            self._child(number, line, at, branch)

    def end(self) -> None:
        """Check that nothing is missing below the last line."""
        self._leave(0, 0, 0)

    def _error(self, rule: str, line: int, at: int, message: str) -> PlanTextError:
        return PlanTextError(rule, line, self._column(at), message)

    def _bad_prefix(self, line: int, at: int, got: str, expected: str) -> PlanTextError:
        return self._error("bad-prefix", line, at, f"got {got}, expected {expected}")

    def _column(self, at: int) -> int:
        return len(self._indent or "") + at + 1

    def _check_blank(self, number: int, line: str, is_root: bool) -> None:
        blank, self._blank = self._blank, 0
        if is_root and self._entries and blank != number - 1:
            expected = "a line of the tree, or one blank line and another root"
            raise self._bad_prefix(number, 0, shown(line, 0), expected)
        if blank and not is_root:
            expected = "a root after a blank line"
            raise self._bad_prefix(number, 0, shown(line, 0), expected)

    def _check_prefix(self, number: int, line: str, size: int) -> None:
        if not line.startswith(self._prefix[:size]):
            at = next(i for i in range(size) if line[i] != self._prefix[i])
            raise self._bad_prefix(number, at, repr(line[at]), repr(self._prefix[at]))

    def _child(self, number: int, line: str, at: int, branch: str) -> None:
        depth = at // 4 + 1
        if depth > len(self._path):
            furthest = self._column(len(self._prefix))
            expected = f"one at column {furthest} or before" if self._path else "a root"
            raise self._bad_prefix(number, at, "a branch to a node", expected)
        self._check_prefix(number, line, at)
        self._leave(depth, number, at)
        self._node(number, line, at, branch)

    def _leave(self, depth: int, number: int, at: int) -> None:
        """What stands at this depth or deeper is complete, since the next node stands there."""
        if self._path:
            self._check_comments(self._path[-1], has_children=depth == len(self._path))
        ended = self._path[depth:]
        if depth and ended:
            sibling, *ended = ended
            if sibling.is_last:
                expected = f"the one in line {sibling.line} drawn with '├── ', or no other"
                raise self._bad_prefix(number, at, "another node", expected)
        for entry in reversed(ended):
            if not entry.is_last:
                expected = "'└── ', or another node below the same one"
                raise PlanTextError(
                    "bad-prefix", entry.line, entry.column - 4, f"got '├── ', expected {expected}"
                )
        del self._path[depth:], self._indices[depth:]

    def _node(self, number: int, line: str, at: int, branch: str) -> None:
        """Take a node whose branch starts at `at`, or a root."""
        parent = self._indices[-1] if self._indices else -1
        start = 0 if parent < 0 else at + 4
        is_last = branch == _BRANCHES[1]
        content, column = line[start:], self._column(start)
        kind = _word(content)
        if kind not in NODE_KINDS:
            kinds = ", ".join(NODE_KINDS)
            message = f"got {short(kind)}, expected one of {kinds}{hint(kind, NODE_KINDS)}"
            raise PlanTextError("unknown-kind", number, column, message)
        values = self._read(number, content, column, kind, len(kind))
        entry = _Entry(number, column, kind, parent, is_last, content, values)
        self._indices.append(len(self._entries))
        self._entries.append(entry)
        self._path.append(entry)
        self._prefix = "" if parent < 0 else self._prefix[:at] + (_GAP if is_last else _BAR)

    def _read(self, number: int, content: str, column: int, form: str, start: int) -> Values:
        reader = LineReader(content, quotes=self._quotes, column=column)
        try:
            return reader.read(FORMS[form], start)
        except ExpressionError as error:
            raise PlanTextError(
                error.rule, number, column + error.position, error.message
            ) from None

    def _comment(self, number: int, line: str, at: int, branch: str) -> None:
        place = len(self._prefix) + 4
        if not self._path or at != place:
            expected = f"one at column {self._column(place)}" if self._path else "a root"
            raise self._bad_prefix(number, at, "a branch to a comment", expected)
        self._check_prefix(number, line, place - 4)
        entry, lead = self._path[-1], line[place - 4 : place]
        if lead not in {_BAR, _GAP} or (entry.comments and lead != entry.lead):
            expected = repr(entry.lead) if entry.comments else f"{_BAR!r} or {_GAP!r}"
            raise self._bad_prefix(number, place - 4, repr(lead), expected)
        if entry.ended:
            expected = "the one before drawn with '├── ', or no other"
            raise self._bad_prefix(number, at, "another comment", expected)
        entry.lead, entry.ended = lead, branch == _BRANCHES[1]
        entry.comment_line = entry.comment_line or number
        content = line[at + 4 :]
        self._read_comment(entry, number, content, self._column(at + 4))
        entry.comments.append(content)

    def _read_comment(self, entry: _Entry, number: int, content: str, column: int) -> None:
        name = _word(content)
        if name != _COMMENTS.get(entry.kind):
            expected = _COMMENTS.get(entry.kind, f"no comment below {entry.kind}")
            message = f"got {short(name)}, expected {expected}{hint(name, _COMMENTS.values())}"
            raise PlanTextError("unknown-comment", number, column, message)
        if name == _TIME_RANGE:
            if entry.comments:
                message = f"got another {_TIME_RANGE}, expected one"
                raise PlanTextError("comment-count", number, column, message)
            values = self._read(number, content, column, name, len(name))
            make: Callable[..., TimeRange] = TimeRange
            entry.values["max_time_range"] = make(**values)
            return
        self._read_target(entry, number, content, column)

    def _read_target(self, entry: _Entry, number: int, content: str, column: int) -> None:
        start = len(_TARGET) + 1 + len("type=")
        if not content.startswith(f"{_TARGET} type="):
            message = f"got {shown(content, len(_TARGET))}, expected ' type='"
            raise PlanTextError("missing-property", number, column + len(_TARGET), message)
        name = _word(content, start)
        if name not in TARGET_TYPES:
            names = " or ".join(TARGET_TYPES)
            message = f"got {short(name)}, expected {names}{hint(name, TARGET_TYPES)}"
            raise PlanTextError("unknown-target-type", number, column + start, message)
        kind = TARGET_TYPES[name].__name__
        values = self._read(number, content, column, kind, start + len(name))
        make: Callable[..., Node] = NODE_KINDS[kind]
        entry.targets.append(make(**values))

    def _check_comments(self, entry: _Entry, *, has_children: bool) -> None:
        """The comments are complete, and it is known whether children follow."""
        count = len(entry.comments)
        if entry.kind == "ScanSet" and count != entry.values["num_targets"]:
            message = f"got {count} {_TARGET} comments, expected num_targets="
            message += f"{entry.values['num_targets']} of them"
            raise PlanTextError("comment-count", entry.line, entry.column, message)
        if entry.kind == "DataObjScan" and not count:
            message = f"got no comment below, expected {_TIME_RANGE}"
            raise PlanTextError("comment-count", entry.line, entry.column, message)
        if not count:
            return
        place = entry.column  # where the node's own prefix ends
        lead = _BAR if has_children else _GAP
        if entry.lead != lead:
            some = "children" if has_children else "no children"
            message = f"got {entry.lead!r} before the comments of a node with {some}, expected"
            raise PlanTextError("bad-prefix", entry.comment_line, place, f"{message} {lead!r}")
        if not entry.ended:
            line = entry.comment_line + count - 1
            message = "got '├── ', expected '└── ' or another comment of the same node"
            raise PlanTextError("bad-prefix", line, place + 4, message)

    def plan(self, shared: bool | None) -> Plan:
        """The plan of all lines."""
        subtrees = self._subtrees()
        if shared is None:
            self._check_unshared(subtrees)
        plan = Plan()
        nodes: list[Node] = []
        known: dict[tuple[int, int], Node] = {}
        # One node is never twice a child of the same one, so equal siblings are told apart.
        siblings: dict[tuple[int, int], int] = {}
        for entry, subtree in zip(self._entries, subtrees, strict=True):
            place = entry.parent, subtree
            occurrence = siblings[place] = siblings.get(place, -1) + 1
            node = known.get((subtree, occurrence)) if shared and entry.parent >= 0 else None
            if node is None:
                node = plan.add(entry.make())
                plan.ids[node] = len(plan.ids)
                if entry.parent >= 0:
                    known[subtree, occurrence] = node
            nodes.append(node)
            if entry.parent >= 0:
                plan.add_edge(nodes[entry.parent], node)
        return plan

    def _subtrees(self) -> list[int]:
        """A number for each line's subtree, the same for equal ones."""
        numbers: dict[tuple[str, tuple[str, ...], tuple[int, ...]], int] = {}
        found = [0] * len(self._entries)
        children: list[list[int]] = [[] for _ in self._entries]  # last first
        for index in reversed(range(len(self._entries))):  # children before parents
            entry = self._entries[index]
            key = entry.content, tuple(entry.comments), tuple(children[index])
            found[index] = numbers.setdefault(key, len(numbers))
            if entry.parent >= 0:
                children[entry.parent].append(found[index])
        return found

    def _check_unshared(self, subtrees: list[int]) -> None:
        first: dict[int, _Entry] = {}
        # From the top, so that the topmost of two equal subtrees is met first.
        for entry, subtree in zip(self._entries, subtrees, strict=True):
            if entry.parent < 0:
                continue
            other = first.setdefault(subtree, entry)
            if other.parent != entry.parent:
                raise PlanTextError(
                    "ambiguous-sharing",
                    entry.line,
                    entry.column,
                    f"got the same subtree as in line {other.line}, expected to be told whether"
                    " the two are one node: shared=True reads them as one, shared=False as two",
                )


def _word(text: str, start: int = 0) -> str:
    end = text.find(" ", start)
    return text[start:] if end < 0 else text[start:end]
