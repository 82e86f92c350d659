"""A partitioned plan as a drawing: a box for each task, its operators in it, streams as lines.

Readers stand above those who send to them, so a plan reads as it prints; a task that several read
stands below the first of them, with dashed lines to the others.  As SVG, with the same bytes for
the same tasks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

__all__ = ["Operator", "graph_svg", "operators_of"]

_WIDE: Final = 46  # characters in a line of a box
_CHAR: Final = 6.7  # pixels of a character
_LINE: Final = 16  # pixels from line to line
_INDENT: Final = 16  # pixels from a reader to its senders
_PAD: Final = 8
_GAP: Final = 14  # between boxes
_MOST: Final = 200  # boxes; more tell nothing
_OPERATORS: Final = 12  # lines in a box


@dataclass(frozen=True, slots=True)
class Operator:
    """A line of a printed fragment: how deep it stands, its name, and its arguments."""

    depth: int
    name: str
    arguments: str


def operators_of(task: Mapping[str, Any]) -> list[Operator]:
    """The operators of a task as a trace describes it."""
    found = []
    for line in str(task.get("fragment") or "").splitlines():
        text = line.lstrip(" \u2502\u251c\u2514\u2500")
        if text and not text.startswith("@max_time_range"):
            name, _, arguments = text.partition(" ")
            found.append(Operator((len(line) - len(text)) // 4, name, arguments))
    return found


def graph_svg(manifest: str, tasks: Sequence[Mapping[str, Any]]) -> str:
    """The drawing, for the tasks of a manifest as its event describes them."""
    return "".join(_Drawing(manifest, tasks).parts())


@dataclass(slots=True)
class _Box:
    task: int
    depth: int
    top: int
    lines: list[tuple[str, str]]  # what a line says, and in full

    @property
    def left(self) -> int:
        return self.depth * _INDENT + 2

    @property
    def height(self) -> int:
        return _LINE * (len(self.lines) + 1) + _PAD


class _Drawing:
    def __init__(self, manifest: str, tasks: Sequence[Mapping[str, Any]]) -> None:
        self._manifest = manifest
        self._tasks = tasks
        self._boxes: dict[int, _Box] = {}
        self._extra: list[tuple[int, int]] = []  # streams to readers further up: task, stream
        self._readers = {s: i for i, task in enumerate(tasks) for s in task["sources"]}
        self._senders = {s: i for i, task in enumerate(tasks) for s in task["sinks"]}
        self._width = int(_CHAR * _WIDE) + 2 * _PAD
        self._place()

    def _place(self) -> None:
        roots = [i for i, task in enumerate(self._tasks) if not self._has_reader(task)]
        top = 0
        waiting = [(root, 0, -1) for root in reversed(roots or range(len(self._tasks)))]
        while waiting:
            index, depth, stream = waiting.pop()
            if index in self._boxes:
                self._extra.append((index, stream))
                continue
            if len(self._boxes) == _MOST:
                break
            # A deep chain still fits: beyond some levels it goes straight down.
            box = _Box(index, min(depth, 12), top, self._lines(self._tasks[index]))
            self._boxes[index] = box
            top += box.height + _GAP
            waiting += [
                (self._senders[s], depth + 1, s)
                for s in reversed(self._tasks[index]["sources"])
                if s in self._senders
            ]

    def _has_reader(self, task: Mapping[str, Any]) -> bool:
        return any(stream in self._readers for stream in task["sinks"])

    def _lines(self, task: Mapping[str, Any]) -> list[tuple[str, str]]:
        operators = operators_of(task)
        lines = []
        for each in operators[:_OPERATORS]:
            text = f"{'  ' * min(each.depth, 8)}{each.name} {each.arguments}".rstrip()
            lines.append((text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}\u2026", text))
        if len(operators) > _OPERATORS:
            lines.append((f"\u2026 {len(operators) - _OPERATORS} more", ""))
        return lines or [("a fragment that is too large to print", "")]

    def parts(self) -> Iterator[str]:
        """The SVG, piece by piece."""
        boxes = self._boxes.values()
        width = max((box.left for box in boxes), default=0) + self._width + 4
        bottom = max((box.top + box.height for box in boxes), default=0)
        rest = len(self._tasks) - len(self._boxes)
        height = bottom + (_LINE + _GAP if rest else 4)
        name = escape(self._manifest)
        yield (
            f'<svg class="graph" role="group" aria-label="The tasks of {name}, readers above'
            f' their senders" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        )
        for box in boxes:
            yield from self._streams(box)
        for index, stream in self._extra:
            yield from self._dashed(index, stream)
        for box in boxes:
            yield from self._box(box)
        if rest:
            yield f'<text x="2" y="{height - 6}">\u2026 and {rest:,} more tasks</text>'
        yield "</svg>"

    def _streams(self, box: _Box) -> Iterator[str]:
        """The line from a box up to its reader's left edge."""
        for stream in self._tasks[box.task]["sinks"]:
            reader = self._boxes.get(self._readers.get(stream, -1))
            if reader is None or reader.top > box.top or reader.depth >= box.depth:
                continue
            x, y = reader.left + 7, box.top + 11
            start = reader.top + reader.height
            yield (
                f'<path class="edge" d="M{box.left} {y}H{x}V{start}">'
                f"<title>{self._named(stream)}</title></path>"
            )

    def _dashed(self, index: int, stream: int) -> Iterator[str]:
        reader, box = self._boxes.get(self._readers.get(stream, -1)), self._boxes[index]
        if reader is None:
            return
        x = max(reader.left, box.left) + self._width
        y, end = box.top + 11, reader.top + 11
        yield (
            f'<path class="edge more" d="M{box.left + self._width} {y}H{x + 2}V{end}'
            f'H{reader.left + self._width}"><title>{self._named(stream)}</title></path>'
        )

    def _named(self, stream: int) -> str:
        reader, sender = self._readers.get(stream), self._senders.get(stream)
        ends = f"t{sender} to " + ("the results" if reader is None else f"t{reader}")
        return escape(f"{self._manifest}/s{stream}: {ends}")

    def _box(self, box: _Box) -> Iterator[str]:
        task = self._tasks[box.task]
        name = escape(f"{self._manifest}/t{box.task}")
        lane = escape(str(task.get("lane", "")))
        sinks = ", ".join(f"s{stream}" for stream in task["sinks"])
        yield (
            f'<g class="task" data-name="{name}" tabindex="0" role="button"'
            f' aria-label="task {name}: show it alone"><rect x="{box.left}" y="{box.top}"'
            f' width="{self._width}" height="{box.height}" rx="3"/>'
            f'<text x="{box.left + _PAD}" y="{box.top + _LINE - 2}" class="name">{name}</text>'
            f'<text x="{box.left + self._width - _PAD}" y="{box.top + _LINE - 2}" class="lane"'
            f' text-anchor="end">{lane} \u2192 {sinks}</text>'
        )
        for number, (line, full) in enumerate(box.lines, 2):
            y = box.top + _LINE * number - 2
            title = f"<title>{escape(full)}</title>" if full else ""
            yield (
                f'<text x="{box.left + _PAD}" y="{y}" xml:space="preserve">'
                f"{escape(line)}{title}</text>"
            )
        yield "</g>"
