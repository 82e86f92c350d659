"""Finds the one reading of a printed expression whose texts are not escaped.

Since a text may hold quotes, it may end at any quote that a separator follows, and only arity and
brackets tell which.  The reader follows all of these ends at once.

>>> ExpressionReader('AND(EQ(label.a, "x"), EQ(label.b, "y"))').whole().args[1].args[1].value
'y'
>>> ExpressionReader('IN(label.a, "x", "y")').whole().args
Traceback (most recent call last):
...
workflow.expressions.ExpressionError: ambiguous-text: column 15: got a text that starts at \
column 13 and may end at column 15 or at column 20, expected one reading; if no text here holds \
a double quote, quotes=False reads it
"""

import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from workflow._messages import hint, short, shown
from workflow.expressions import (
    Call,
    Column,
    Expression,
    ExpressionError,
    Literal,
    parse_plain,
    parse_words,
)

__all__ = ["ARITY", "MAX_DEPTH", "ExpressionReader"]

# How many arguments the reference's operators take.  Other operators may take any number.
ARITY: Final[dict[str, int]] = {
    **dict.fromkeys(("EQ", "NEQ", "GT", "GTE", "LT", "LTE", "AND", "OR", "XOR"), 2),
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "MOD", "POW", "PARSE_REGEXP"), 2),
    **dict.fromkeys(("MATCH_STR", "MATCH_RE", "MATCH_PATTERN"), 2),
    **dict.fromkeys(("NOT_MATCH_STR", "NOT_MATCH_RE", "NOT_MATCH_PATTERN"), 2),
    **dict.fromkeys(("NOT", "ABS", "CAST_FLOAT", "CAST_BYTES", "CAST_DURATION"), 1),
    **dict.fromkeys(("PARSE_LOGFMT", "PARSE_JSON"), 4),
}

MAX_DEPTH: Final = 200  # calls inside calls; keeps the recursion of reading and printing bounded

_MAX_WORK: Final = 20_000_000  # 64-bit words of masks: about a second

_OPERATOR: Final = re.compile(r"([A-Z][A-Z0-9_]*)\(")
_PLAIN: Final = re.compile(r'[^,()\[\]"]*')
_LIST: Final = re.compile(r'\[([^()\[\]"]*)\]')
# In a printed plan a predicate may also end before the next one.
_TEXT_END: Final = re.compile(r'"(?=, |\)|\Z| predicate\[)')

_REMEDY: Final = "if no text here holds a double quote, quotes=False reads it"


class ExpressionReader:
    """Finds the readings of the expressions that stand in one text.

    First `ends` says where the value at a position may end, then `build` makes the only reading
    that leads to an end.  Sets of positions are bit masks, bit i for i characters after the start
    of the value in question: many quotes make many ends, and masks keep that cheap.
    """

    def __init__(self, text: str, *, quotes: bool = True, column: int = 1) -> None:
        self.text = text
        self.failure: ExpressionError | None = None  # the first, with each text as short as can be
        self._quotes = quotes
        self._column = column  # of the first character, for messages
        self._text_ends = _mask(len(text), (m.end() for m in _TEXT_END.finditer(text)))
        self._commas = _mask(len(text), (m.start() for m in re.finditer(", ", text)))
        self._closings = _mask(len(text), (m.start() for m in re.finditer(r"\)", text)))
        self._ends: dict[int, int] = {}
        # Of a call: where its arguments may start, by index; one mask for all if any number goes.
        self._starts: dict[int, list[int]] = {}
        self._work = 0

    def whole(self) -> Expression:
        """The one expression that is all of the text.  Raises ExpressionError."""
        ends, size = self.ends(0), len(self.text)
        if ends >> size & 1:
            return self.build(0, 1 << size)
        if not ends and self.failure:
            raise self.failure
        end = _lowest(ends)
        raise ExpressionError("text-left", end, f"got {shown(self.text, end)}, expected the end")

    def fail(self, error: ExpressionError) -> int:
        """Note why a reading ended, for the case that there is no other; the empty mask."""
        if self.failure is None:
            self.failure = error
        return 0

    def ends(self, start: int, depth: int = 0) -> int:
        """Where a value that starts here may end.  Raises ExpressionError where it is too deep."""
        found = self._ends.get(start)
        if found is None:
            if self.text.startswith('"', start):
                found = self._ends_of_text(start)
            elif match := _OPERATOR.match(self.text, start):
                found = self._ends_of_call(start, match.end(), match[1], depth)
            else:
                try:
                    found = 1 << self._plain(start)[1] - start
                except ExpressionError as error:
                    found = self.fail(error)
            self._ends[start] = found
        return found

    def build(self, start: int, ends: int, depth: int = 0) -> Expression:
        """The value that starts here, in the only reading with one of these ends.

        Raises ExpressionError (``ambiguous-text``) where there are several.
        """
        if self.text.startswith('"', start):
            first = start + _lowest(ends)
            if more := ends & ends - 1:
                other = start + _lowest(more)
                at, one, two = (self._column + each for each in (start, first - 1, other - 1))
                raise ExpressionError(
                    "ambiguous-text",
                    first - 1,
                    f"got a text that starts at column {at} and may end at column {one} or at"
                    f" column {two}, expected one reading; {_REMEDY}",
                )
            return Literal(self.text[start + 1 : first - 1])
        if match := _OPERATOR.match(self.text, start):
            _check_depth(start, depth)
            operator, first = match[1], match.end()
            return Call(operator, tuple(self._arguments(start, first, operator, ends, depth)))
        return self._plain(start)[0]

    def ends_of_list(self, start: int) -> int:
        """As `ends`, for expressions in round brackets that start here."""
        return self._ends_of_call(start, start + 1, "", -1)

    def build_list(self, start: int, ends: int) -> tuple[Expression, ...]:
        """As `build`, for expressions in round brackets that start here."""
        return tuple(self._arguments(start, start + 1, "", ends, -1))

    def _ends_of_text(self, start: int) -> int:
        end = self.text.find('"', start + 1) + 1
        found = 1 << end - start if end else 0
        if self._quotes:
            found = self._text_ends >> start & ~3  # not its own opening quote
        self._spend(found)
        return found or self.fail(
            ExpressionError(
                "text-not-ended",
                start,
                f"got {shown(self.text, start)}, expected a closing quote before a comma and a"
                " space, a closing bracket or the end of the line",
            )
        )

    def _ends_of_call(self, start: int, first: int, operator: str, depth: int) -> int:
        _check_depth(start, depth)
        arity = ARITY.get(operator)
        starts = [0] * (arity or 1)
        self._starts[start] = starts
        if arity is None and self.text.startswith(")", first):
            return 1 << first + 1 - start
        commas, closings = self._commas >> start, self._closings >> start
        starts[0] = 1 << first - start
        found = 0
        for index in range(len(starts)):
            todo = starts[index]
            while todo:
                at = _lowest(todo)
                todo ^= 1 << at
                ends = self.ends(start + at, depth + 1) << at
                self._spend(ends)
                more, closed = ends & commas, ends & closings
                if arity is None:
                    starts[0] |= more << 2
                    todo |= more << 2
                elif index + 1 < arity:
                    starts[index + 1] |= more << 2
                    closed = 0
                else:
                    more = 0
                found |= closed << 1
                dead = ends & ~(more | closed)
                if dead and self.failure is None:
                    self._note_dead_end(
                        start, operator, index, dead=_lowest(dead), more=more, depth=depth
                    )
        return found

    def _note_dead_end(
        self, start: int, operator: str, index: int, *, dead: int, more: int, depth: int
    ) -> None:
        # Shorter texts come first, also in what they lead to.
        more &= (1 << dead) - 1
        while more and self.failure is None:
            at = _lowest(more)
            more ^= 1 << at
            self.ends(start + at + 2, depth + 1)
        end = start + dead
        if self.text.startswith((", ", ")"), end):
            arity = ARITY[operator]
            got = "more" if self.text[end] == "," else f"only {index + 1}"
            noun = "argument" if arity == 1 else "arguments"
            message = f"got {got}, expected {operator} to have {arity} {noun}"
            self.fail(ExpressionError("wrong-arity", end, message))
        else:
            message = (
                f"got {shown(self.text, end)}, expected a comma and a space or a closing bracket"
                f" after {f'an argument of {operator}' if operator else 'an item'}"
            )
            self.fail(ExpressionError("bad-expression", end, message))

    def _arguments(
        self, start: int, first: int, operator: str, ends: int, depth: int
    ) -> Iterator[Expression]:
        starts, closings = self._starts[start], ends >> 1
        arity = ARITY.get(operator)
        if not starts[0]:
            return
        # The starts from which an end can be reached, from the last argument to the first.
        live = [0] * len(starts)

        def follow(index: int) -> int:
            if arity is None:
                return closings | live[0] >> 2
            return closings if index + 1 == arity else live[index + 1] >> 2

        for index in reversed(range(len(starts))):
            todo = starts[index]
            while todo:
                at = todo.bit_length() - 1
                todo ^= 1 << at
                if self._ends[start + at] << at & follow(index):
                    live[index] |= 1 << at
                self._spend(follow(index))
        at = first - start
        for index in count():
            layer = min(index, len(starts) - 1)
            leads = self._ends[start + at] << at & follow(layer)
            yield self.build(start + at, leads >> at, depth + 1)
            end = _lowest(leads)  # the only one, else `build` had raised
            if self.text[start + end] == ")":
                return
            at = end + 2

    def _plain(self, start: int) -> tuple[Column | Literal, int]:
        """The value without quotes that starts here, and where it ends."""
        if match := _LIST.match(self.text, start):
            return Literal(parse_words(match[1], start + 1)), match.end()
        end = _plain_end(self.text, start)
        if start == end:
            raise ExpressionError(
                "bad-expression",
                start,
                f"got {shown(self.text, start)}, expected a column, an operator or a literal",
            )
        if self.text.startswith("(", end):
            raise ExpressionError(
                "bad-expression",
                start,
                f"got {short(self.text[start:end])} before a bracket, expected an operator in"
                f" upper case{hint(self.text[start:end].upper(), ARITY)}",
            )
        return parse_plain(self.text[start:end], start), end

    def _spend(self, mask: int) -> None:
        self._work += (mask.bit_length() >> 6) + 1
        if self._work > _MAX_WORK:
            raise ExpressionError(
                "too-many-readings",
                0,
                "got more ways for values to end than can be told apart, expected a shorter text or"
                f" fewer double quotes; {_REMEDY}",
            )


def _plain_end(text: str, start: int) -> int:
    match = _PLAIN.match(text, start)
    end = match.end() if match else start
    if text.startswith("[", end) and text.endswith(" predicate", start, end):
        return end - len(" predicate")
    return end


def _check_depth(start: int, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise ExpressionError(
            "too-deep",
            start,
            f"got more than {MAX_DEPTH} operators inside each other, expected up to {MAX_DEPTH}",
        )


def _mask(size: int, positions: Iterable[int]) -> int:
    bits = bytearray(size // 8 + 1)
    for each in positions:
        bits[each >> 3] |= 1 << (each & 7)
    return int.from_bytes(bits, "little")


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
