"""Reads one line of a printed plan: its properties, without its place in the tree.

Properties stand in a fixed order under fixed names.  A location and a sort column may hold spaces,
so each ends wherever the next property may start, and the line as a whole tells which it was; a
line with more than one reading is refused.  Errors are ExpressionErrors, with a position in the
line.

>>> LineReader("Limit offset=2 limit=5").read(FORMS["Limit"], 5)
{'skip': 2, 'fetch': 5}
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from workflow._messages import hint, short, shown
from workflow.expression_reader import ExpressionReader
from workflow.expressions import Column, Expression, ExpressionError, parse_column, parse_words
from workflow.times import Timestamp, parse_duration, parse_instant

__all__ = ["FORMS", "Form", "LineReader", "Property", "Values"]

Values = dict[str, object]  # by the names of a node's fields

_KEY: Final = re.compile(r" ([^ =]+)=")
_PREDICATE: Final = re.compile(r" predicate\[([0-9]{1,9})\]=")
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a line: its printed name, the field it fills and how its value reads."""

    key: str
    attribute: str
    read: Callable[[str, int], object] = lambda text, _: text  # the value, where it stands
    # A word ends at a space, a text where the next property may start, a list at its bracket,
    # and expressions end the line.
    shape: Literal["word", "text", "list", "expressions"] = "word"
    sets: Mapping[str, object] = field(default_factory=dict)  # what else it says


@dataclass(frozen=True, slots=True)
class Form:
    """What stands on the line of one kind of node, in order."""

    fixed: tuple[Property, ...] = ()
    choices: tuple[Property, ...] = ()  # at most one of them
    predicates: bool = False  # any number of them
    otherwise: Mapping[str, object] = field(default_factory=dict)  # without any of the choices

    @property
    def keys(self) -> list[str]:
        """The names of all properties."""
        keys = [each.key for each in (*self.fixed, *self.choices)]
        return [*keys, "predicate[0]"] if self.predicates else keys


class LineReader:
    """Finds the one reading of a line."""

    def __init__(self, text: str, *, quotes: bool = True, column: int = 1) -> None:
        self.text = text
        self._quotes = quotes
        self._column = column  # of the first character, for messages
        self._failure: ExpressionError | None = None  # the first, with each value at its shortest
        self._expressions: ExpressionReader | None = None

    def read(self, form: Form, start: int) -> Values:
        """The properties from `start` to the end of the line.  Raises ExpressionError."""
        found: list[tuple[Values, Callable[[], Values]]] = []
        splits: list[int] = []
        for end, split, values in self._heads(form, 0, start, {}):
            if tail := self._tail(form, end):
                found.append((values, tail))
                splits.append(split)
                if len(found) > 1:
                    one, two = (self._column + each for each in splits)
                    raise ExpressionError(
                        "ambiguous-value",
                        splits[0],
                        f"got a value that may end before column {one} or before column {two},"
                        " expected one reading",
                    )
        if found:
            values, tail = found[0]
            return values | tail()
        assert self._failure is not None  # noqa: S101 (each way to end a reading notes why)
        raise self._failure

    def _fail(self, rule: str, position: int, message: str) -> None:
        if self._failure is None:
            self._failure = ExpressionError(rule, position, message)

    def _heads(
        self, form: Form, index: int, at: int, values: Values
    ) -> Iterator[tuple[int, int, Values]]:
        """Each way to read the fixed properties: where they end, where the text among them did."""
        if index == len(form.fixed):
            yield at, at, values
            return
        current = form.fixed[index]
        start = at + len(current.key) + 2
        if not self.text.startswith(f" {current.key}=", at):
            self._unexpected(form, at, f"{current.key}=")
            return
        for end in self._ends(form, index, start):
            try:
                value = self._value(current, start, end)
            except ExpressionError as error:
                self._fail(*error.args)
                continue
            for last, split, rest in self._heads(
                form, index + 1, end, {**values, current.attribute: value}
            ):
                yield last, end if current.shape == "text" else split, rest

    def _value(self, current: Property, start: int, end: int) -> object:
        if current.shape == "list":
            return current.read(self.text[start + 1 : end - 1], start + 1)
        return current.read(self.text[start:end], start)

    def _ends(self, form: Form, index: int, start: int) -> Iterator[int]:
        current = form.fixed[index]
        if current.shape == "text":
            following = f" {form.fixed[index + 1].key}="
            end = self.text.find(following, start)
            if end < 0:
                self._no_end(form, start, following)
            while end >= 0:
                yield end
                end = self.text.find(following, end + 1)
            return
        end = self._end_of_list(start) if current.shape == "list" else self.text.find(" ", start)
        if end >= 0:
            yield end
        elif current.shape == "word":
            yield len(self.text)

    def _end_of_list(self, start: int) -> int:
        """-1 where no list starts."""
        end = self.text.find(")", start) + 1
        if end and self.text.startswith("(", start):
            return end
        self._fail(
            "bad-list", start, f"got {shown(self.text, start)}, expected a list in round brackets"
        )
        return -1

    def _no_end(self, form: Form, start: int, following: str) -> None:
        for match in _KEY.finditer(self.text, start):
            if match[1] in form.keys or hint(match[1], form.keys):
                self._unexpected(form, match.start(), following[1:])
                return
        self._unexpected(form, len(self.text), following[1:])

    def _unexpected(self, form: Form, at: int, expected: str) -> None:
        if at == len(self.text):
            self._fail("missing-property", at, f"got the end of the line, expected {expected}")
        elif not (match := _KEY.match(self.text, at)):
            self._fail("text-left", at, f"got {shown(self.text, at)}, expected {expected}")
        elif match[1] in form.keys:
            self._fail("property-order", at + 1, f"got {match[1]}=, expected {expected}")
        else:
            self._fail(
                "unknown-property",
                at + 1,
                f"got {short(match[1])}, expected {expected}{hint(match[1], form.keys)}",
            )

    def _tail(self, form: Form, at: int) -> Callable[[], Values] | None:
        """What makes the values of the rest of the line, None where it cannot be read."""
        values = dict(form.otherwise)
        choices = form.choices
        for choice in choices:
            start = at + len(choice.key) + 2
            if not self.text.startswith(f" {choice.key}=", at):
                continue
            values = dict(choice.sets)
            if choice.shape == "expressions":
                return self._list_tail(choice, start, values)
            at = self._end_of_list(start)
            if at < 0:
                return None
            try:
                values[choice.attribute] = self._value(choice, start, at)
            except ExpressionError as error:
                self._fail(*error.args)
                return None
            choices = ()
            break
        if at == len(self.text):
            return lambda: values
        if form.predicates and self.text.startswith(" predicate[0]=", at):
            return self._predicates_tail(at, values)
        expected = [f"{each.key}=" for each in choices]
        if form.predicates:
            expected.append("predicate[0]=")
        self._unexpected(form, at, " or ".join([*expected, "the end of the line"]))
        return None

    def _reader(self) -> ExpressionReader:
        if self._expressions is None:
            self._expressions = ExpressionReader(
                self.text, quotes=self._quotes, column=self._column
            )
        return self._expressions

    def _list_tail(
        self, choice: Property, start: int, values: Values
    ) -> Callable[[], Values] | None:
        if not self.text.startswith("(", start):
            self._end_of_list(start)  # says what is wrong
            return None
        reader = self._reader()
        ends, last = reader.ends_of_list(start), len(self.text) - start
        if ends >> last & 1:
            return lambda: values | {choice.attribute: reader.build_list(start, 1 << last)}
        if ends:
            end = start + (ends & -ends).bit_length() - 1
            self._fail(
                "text-left", end, f"got {shown(self.text, end)}, expected the end of the line"
            )
        elif reader.failure:
            self._fail(*reader.failure.args)
        return None

    def _predicates_tail(self, at: int, values: Values) -> Callable[[], Values] | None:
        chain = _Chain(self._reader())
        if chain.follow(at):
            return lambda: values | {"predicates": tuple(chain.build())}
        if failure := self._reader().failure:
            self._fail(*failure.args)
        return None


class _Chain:
    """The predicates at the end of a line, in every way that their numbers allow."""

    def __init__(self, reader: ExpressionReader) -> None:
        self._reader = reader
        self._places: dict[int, list[int]] = {}  # where predicate i may be named
        for match in _PREDICATE.finditer(reader.text):
            self._places.setdefault(int(match[1]), []).append(match.start())
        self._layers: list[list[int]] = []  # the places of predicate i that can be reached

    def _start(self, index: int, place: int) -> int:
        return place + len(f" predicate[{index}]=")

    def follow(self, first: int) -> bool:
        """Find the places, and say whether the end of the line is reached."""
        places, complete = [first], False
        dead: list[tuple[int, int]] = []
        while places:
            index = len(self._layers)
            self._layers.append(places)
            reached: dict[int, None] = {}
            for place in places:
                start = self._start(index, place)
                ends = self._reader.ends(start)
                leads = self._leads(start, ends, self._places.get(index + 1, ()))
                complete |= bool(leads >> len(self._reader.text) - start & 1)
                reached.update(
                    (each, None)
                    for each in self._places.get(index + 1, ())
                    if each > start and leads >> each - start & 1
                )
                if wrong := ends & ~leads:
                    dead.append((index + 1, start + (wrong & -wrong).bit_length() - 1))
            places = sorted(reached)
        if not complete and dead:
            index, end = dead[0]
            self._reader.fail(
                ExpressionError(
                    "text-left",
                    end,
                    f"got {shown(self._reader.text, end)}, expected predicate[{index}]= or the end"
                    " of the line",
                )
            )
        return complete

    def _leads(self, start: int, ends: int, places: list[int] | tuple[()]) -> int:
        """Those of `ends` after which the line ends, or one of `places` comes."""
        goals = 1 << len(self._reader.text) - start
        for each in places:
            if each > start:
                goals |= 1 << each - start
        return ends & goals

    def build(self) -> Iterator[Expression]:
        """The predicates.  Raises ExpressionError where they have more than one reading."""
        live: list[list[int]] = [[]]  # places from which the end can be reached, last first
        for index in reversed(range(len(self._layers))):
            live.append(
                [place for place in self._layers[index] if self._onward(index, place, live[-1])]
            )
        live.reverse()
        place = self._layers[0][0]
        for index in range(len(self._layers)):
            leads = self._onward(index, place, live[index + 1])
            start = self._start(index, place)
            yield self._reader.build(start, leads)
            place = start + leads.bit_length() - 1  # the only one, else `build` had raised
            if place == len(self._reader.text):
                return

    def _onward(self, index: int, place: int, places: list[int]) -> int:
        start = self._start(index, place)
        return self._leads(start, self._reader.ends(start), places)


def _integer(low: int, bits: int, text: str, position: int) -> int:
    if _INTEGER.fullmatch(text) and low <= (value := int(text)) < 2**bits:
        return value
    raise ExpressionError(
        "bad-number",
        position,
        f"got {short(text)}, expected an integer from {low} to 2^{bits} - 1",
    )


_count = partial(_integer, 0, 63)
_count_32 = partial(_integer, 0, 32)
_any_integer = partial(_integer, -(2**63), 63)


def _count_if_any(text: str, position: int) -> int | None:
    return _count(text, position) or None


def _flag(text: str, position: int) -> bool:
    if text not in {"true", "false"}:
        raise ExpressionError("bad-flag", position, f"got {short(text)}, expected true or false")
    return text == "true"


def _instant(text: str, position: int) -> Timestamp | None:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise ExpressionError("bad-time", position, str(error)) from None


def _duration(text: str, position: int) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ExpressionError("bad-duration", position, str(error)) from None


def _word(text: str, position: int) -> str:
    if not text:
        raise ExpressionError("bad-word", position, "got nothing, expected a word")
    return text


def _columns(text: str, position: int) -> tuple[Column, ...]:
    columns = []
    for item in text.split(", ") if text else ():
        columns.append(parse_column(item, position))
        position += len(item) + 2
    return tuple(columns)


def _some_columns(text: str, position: int) -> tuple[Column, ...]:
    if not text:
        raise ExpressionError(
            "bad-list", position, "got no columns, expected one, or the property left out"
        )
    return _columns(text, position)


_LOCATION: Final = Property("location", "location", shape="text")
_START: Final = Property("start", "start", _instant)
_END: Final = Property("end", "end", _instant)
_OPERATION: Final = Property("operation", "operation", _word)
_GROUPING: Final = (
    Property("group_without", "group_by", _some_columns, "list", {"without": True}),
    Property("group_by", "group_by", _columns, "list", {"without": False}),
)
_WITHOUT: Final = {"without": True}

# By kind of node, and for the one comment that has a form of its own.
FORMS: Final[dict[str, Form]] = {
    "@max_time_range": Form((_START, _END)),
    "DataObjScan": Form(
        (
            _LOCATION,
            Property("streams", "stream_count", _count_if_any),
            Property("section_id", "section", _count),
            Property("projections", "projections", _columns, "list"),
        ),
        predicates=True,
    ),
    "Projection": Form(
        (Property("all", "all", _flag),),
        (
            Property("expand", "expressions", shape="expressions", sets={"expand": True}),
            Property("drop", "expressions", shape="expressions", sets={"drop": True}),
        ),
    ),
    "Filter": Form(predicates=True),
    "Limit": Form((Property("offset", "skip", _count_32), Property("limit", "fetch", _count_32))),
    "RangeAggregation": Form(
        (
            _OPERATION,
            _START,
            _END,
            Property("step", "step_ns", _duration),
            Property("range", "range_ns", _duration),
        ),
        _GROUPING,
        otherwise=_WITHOUT,
    ),
    "VectorAggregation": Form((_OPERATION,), _GROUPING, otherwise=_WITHOUT),
    "Merge": Form(),
    "Compat": Form(
        (
            Property("src", "source", _word),
            Property("dst", "destination", _word),
            Property("collisions", "collisions", parse_words, "list"),
        )
    ),
    "TopK": Form(
        (
            Property("sort_by", "sort_by", parse_column, "text"),
            Property("ascending", "ascending", _flag),
            Property("nulls_first", "nulls_first", _flag),
            Property("k", "k", _count),
        )
    ),
    "Parallelize": Form(),
    "ScanSet": Form(
        (Property("num_targets", "num_targets", _count),),
        (Property("projections", "projections", _some_columns, "list"),),
        predicates=True,
    ),
    "Join": Form(),
    "PointersScan": Form(
        (
            _LOCATION,
            Property("num_predicates", "predicate_count", _count_if_any),
            _START,
            _END,
        )
    ),
    "Batching": Form((Property("batch_size", "batch_size", _any_integer),)),
}
