"""The fields of a scenario's file: what each may hold, its default, and what it means.

One table drives the reading and the writing of both forms, and the reference.

>>> CLUSTER["workers"].kind.expected, CLUSTER["workers"].default
('an integer from 1 to 10_000', 2)
"""

import dataclasses
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from sim._scenario_report import Place, Report, one_of
from sim.latency import Bimodal, Constant, Empirical, Exponential, Latency, Lognormal, Uniform
from sim.scenario import FAULT_KINDS, Client, Cluster, Data, Fault, Profile, Scenario, Workload
from workflow import Options
from workflow.plan import NODE_KINDS
from workflow.version import VERSION

__all__ = [
    "CLIENT",
    "CLUSTER",
    "DATA",
    "FAULT",
    "FORMAT",
    "REQUIRED",
    "SECTIONS",
    "TABLES",
    "TOP",
    "VERSION_OF_FORMAT",
    "WORKLOAD",
    "Field",
    "Kind",
    "Table",
    "read_table",
    "to_toml",
    "toml_pairs",
    "write_table",
]

Json = Any  # what the json module gives and takes

FORMAT: Final = 1

_TICKS: Final = 10**15  # 31 years
_COUNT: Final = 10**9


class Bad:
    """Stands for a value that was not read, after a report of why."""


class Kind(ABC):
    """What a field may hold; `expected` says it in words."""

    expected: str

    @abstractmethod
    def read(self, report: Report, path: Place, value: Json) -> Any:
        """The value, or Bad."""

    def write(self, value: Any) -> Json:
        return value


class _Checked(Kind):
    """A kind that only has to look at a value."""

    @abstractmethod
    def fits(self, value: Json) -> bool: ...

    def hint(self, _value: Json) -> str:
        return self.expected

    def read(self, report: Report, path: Place, value: Json) -> Any:
        if self.fits(value):
            return value
        report.mismatch(path, value, self.hint(value))
        return Bad


class _Integer(_Checked):
    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.expected = f"an integer from {low:_} to {high:_}"

    def fits(self, value: Json) -> bool:
        return type(value) is int and self.low <= value <= self.high  # `type`: true is no count


class _Index(_Checked):
    """Of how many is known only when all has been read: see `_check_index`."""

    def __init__(self, of: str) -> None:
        self.expected = f"the number of a {of}, counted from 0"

    def fits(self, value: Json) -> bool:
        return type(value) is int


class _Flag(_Checked):
    expected = "true or false"

    def fits(self, value: Json) -> bool:
        return type(value) is bool


class _Text(_Checked):
    expected = "a text"

    def fits(self, value: Json) -> bool:
        return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)


class _Choice(_Checked):
    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.expected = f"one of {', '.join(self.names)}"

    def fits(self, value: Json) -> bool:
        return isinstance(value, str) and value in self.names

    def hint(self, value: Json) -> str:
        return one_of(self.names, value)


class _Any(_Checked):
    """Looked at by whoever knows more."""

    def __init__(self, expected: str) -> None:
        self.expected = expected

    def fits(self, _value: Json) -> bool:
        return True


class _List(_Checked):
    """Of tables, looked at one by one later."""

    def __init__(self, expected: str, least: int) -> None:
        self.expected, self.least = expected, least

    def fits(self, value: Json) -> bool:
        return isinstance(value, list) and len(value) >= self.least


class _Version(_Checked):
    expected = f"{FORMAT}, the only format that windtunnel {VERSION} reads"

    def fits(self, value: Json) -> bool:
        return type(value) is int and value == FORMAT

    def hint(self, value: Json) -> str:
        is_newer = type(value) is int and value > FORMAT
        return f"{self.expected}; this one is of a newer version" if is_newer else self.expected


class _Maybe(Kind):
    """Unset, or of a kind.  In TOML what is unset is not there."""

    def __init__(self, of: Kind) -> None:
        self.of = of
        self.expected = of.expected

    def read(self, report: Report, path: Place, value: Json) -> Any:
        return value if value is None else self.of.read(report, path, value)


class _Many(Kind):
    def __init__(self, of: Kind, *, words: str, least: int = 0) -> None:
        self.of, self.least, self.expected = of, least, words

    def read(self, report: Report, path: Place, value: Json) -> Any:
        if not isinstance(value, list) or len(value) < self.least:
            report.mismatch(path, value, self.expected)
            return Bad
        read = [self.of.read(report, (*path, i), each) for i, each in enumerate(value)]
        return Bad if any(each is Bad for each in read) else tuple(read)

    def write(self, value: Any) -> Json:
        return [self.of.write(each) for each in value]


class _Costs(Kind):
    """Whole numbers by the kind of node."""

    expected = "a table such as { DataObjScan = 900, Filter = 8_000 }"

    def read(self, report: Report, path: Place, value: Json) -> Any:
        if not isinstance(value, dict):
            report.mismatch(path, value, self.expected)
            return Bad
        costs = []
        for kind, each in value.items():
            if kind not in NODE_KINDS:
                expected = one_of(list(NODE_KINDS), kind)
                report.add((*path, str(kind)), f"got an unknown kind of node, expected {expected}")
            elif _RATE.read(report, (*path, kind), each) is not Bad:
                costs.append((kind, each))
        return tuple(costs) if len(costs) == len(value) else Bad

    def write(self, value: Any) -> Json:
        return dict(value)


class REQUIRED:
    """In place of a default."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a table."""

    name: str
    kind: Kind
    sentence: str
    default: Any = REQUIRED
    attribute: str = ""  # where an object has it; "" for what is only of the file


Table = Mapping[str, Field]


def _table(cls: type, kinds: Mapping[str, tuple[Kind, str]], *, inside: str = "") -> Table:
    """The fields of a dataclass, with its defaults."""
    table = {}
    for field in dataclasses.fields(cls):
        if field.name in kinds:
            kind, sentence = kinds[field.name]
            default = REQUIRED if field.default is dataclasses.MISSING else field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            table[field.name] = Field(field.name, kind, sentence, default, inside + field.name)
    return table


def read_table(report: Report, path: Place, value: Json, table: Table) -> dict[str, Any]:
    """The fields of a table, without those that were wrong."""
    if not isinstance(value, dict):
        report.mismatch(path, value, report.noun)
        return {}
    for key in value:
        if key not in table:
            report.add(
                (*path, str(key)), f"got an unknown key, expected {one_of(list(table), key)}"
            )
    values = {}
    for name, field in table.items():
        if name in value:
            read = field.kind.read(report, (*path, name), value[name])
            if read is not Bad:
                values[name] = read
        elif field.default is REQUIRED:
            report.add((*path, name), f"got nothing, expected {field.kind.expected}")
        else:
            values[name] = field.default
    return values


def write_table(thing: object, table: Table) -> dict[str, Json]:
    """All fields that `thing` has, as JSON."""
    written = {}
    for name, field in table.items():
        if field.attribute:
            value = thing
            for attribute in field.attribute.split("."):
                value = getattr(value, attribute)
            written[name] = field.kind.write(value)
    return written


def toml_pairs(thing: object, table: Table) -> Iterator[str]:
    """A line of TOML for each field that is not at its default."""
    for name, value in write_table(thing, table).items():
        field = table[name]
        if field.default is REQUIRED or value != field.kind.write(field.default):
            yield f"{name} = {to_toml(value)}"


def to_toml(value: Json) -> str:
    """JSON as a TOML value; what is null is left out of tables, and "" in lists."""
    if isinstance(value, dict):
        pairs = [
            f"{key} = {to_toml(each)}"
            for key, each in value.items()
            if each is not None and each != [None, None]
        ]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(to_toml, value))}]"
    if value is None:
        return '""'
    # JSON's escapes are TOML's, and DEL is the one character that only TOML has to escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Shape(Kind):
    expected = 'a latency such as { shape = "exponential", mean = 200 }'

    def read(self, report: Report, path: Place, value: Json) -> Any:
        if not isinstance(value, dict):
            report.mismatch(path, value, self.expected)
            return Bad
        name = _SHAPE.read(report, (*path, "shape"), value.get("shape"))
        if name is Bad:
            return Bad
        make: Callable[..., Latency]
        make, table = _SHAPES[name]
        values = read_table(report, path, value, table)
        for low, high in (("low", "high"), ("short", "long")):
            if low in values and high in values and values[low] > values[high]:
                report.mismatch((*path, low), values[low], f"at most {high} = {values[high]}")
        if len(values) < len(table):
            return Bad
        del values["shape"]
        return make(**values)

    def write(self, value: Latency) -> Json:
        name = next(name for name, (make, _) in _SHAPES.items() if type(value) is make)
        return {"shape": name, **write_table(value, _SHAPES[name][1])}


# The fields: their order is that of the file and of the reference.

_ONE_TICK: Final = _Integer(0, _TICKS)
_RECORDS: Final = _Integer(0, _COUNT)
_RATE: Final = _Integer(1, _COUNT)
_PERCENT: Final = _Integer(0, 100)

_SHAPE: Final = _Choice(["constant", "uniform", "exponential", "lognormal", "bimodal", "empirical"])


def _shape(cls: type[Latency], **kinds: tuple[Kind, str]) -> tuple[type[Latency], Table]:
    sentence = (cls.__doc__ or "").partition("\n")[0]
    return cls, {"shape": Field("shape", _SHAPE, sentence), **_table(cls, kinds)}


_SHAPES: Final[dict[str, tuple[type[Latency], Table]]] = {
    "constant": _shape(Constant, ticks=(_ONE_TICK, "the delay")),
    "uniform": _shape(
        Uniform, low=(_ONE_TICK, "the shortest"), high=(_ONE_TICK, "the longest, >= low")
    ),
    "exponential": _shape(Exponential, mean=(_ONE_TICK, "the mean")),
    "lognormal": _shape(
        Lognormal,
        median=(_ONE_TICK, "half are shorter"),
        spread=(_Integer(0, 10_000), "percent: one standard deviation up is that much longer"),
    ),
    "bimodal": _shape(
        Bimodal,
        short=(_ONE_TICK, "most"),
        long=(_ONE_TICK, "the others, >= short"),
        long_percent=(_PERCENT, "how many are long, in steps of 1/32, rounded up"),
    ),
    "empirical": _shape(
        Empirical,
        ticks=(
            _Many(_ONE_TICK, words=f"a list of at least one integer from 0 to {_TICKS:_}", least=1),
            "what was measured, in any order",
        ),
    ),
}

_LATENCY: Final = _Shape()

VERSION_OF_FORMAT: Final = _Version()

TOP: Final[Table] = {
    "format": Field("format", VERSION_OF_FORMAT, "the first key: the version of this form"),
    **_table(
        Scenario,
        {
            "name": (_Text(), "what reports call the scenario"),
            "sentence": (_Text(), "what it is about"),
            "max_steps": (_Integer(1, 10**12), "a run that takes more is taken for a livelock"),
        },
    ),
}
TABLES: Final[Table] = {
    "cluster": Field("cluster", _Any("a table"), "", {}),
    "workload": Field("workload", _List("a list of tables, [[workload]], at least one", 1), ""),
    "fault": Field("fault", _List("a list of tables, [[fault]]", 0), "", []),
    "data": Field("data", _Any("a table"), "", None),
}

CLUSTER: Final = _table(
    Cluster,
    {
        "workers": (_Integer(1, 10_000), "workers, numbered from 0"),
        "slots": (_Integer(1, 1_000), "tasks that a worker runs at once"),
        "buffer": (_Integer(1, 100_000), "batches that a stream holds at its reader"),
        "profile": (_Choice(get_args(Profile)), "how scheduler and workers behave"),
        "slack": (_ONE_TICK, "ticks within which events may change order"),
        "control": (_LATENCY, "a message between scheduler and worker"),
        "data": (_LATENCY, "a batch, and its acknowledgement"),
        "work": (_LATENCY, "a task at one batch"),
        "costs": (
            _Costs(),
            "or rows per millisecond (1 to 1_000_000_000) by kind of node, see Costs",
        ),
        "notify": (_LATENCY, "a state change on its way to the workflow's handler"),
        "ack_timeout": (_ONE_TICK, "until an assignment without an answer is taken back"),
        "detect": (_ONE_TICK, "until a connection that went silent counts as lost"),
    },
)

WORKLOAD: Final[Table] = {
    "plan": Field("plan", _Maybe(_Text()), "the plan: a name of the library", None),
    "plan_file": Field(
        "plan_file", _Maybe(_Text()), "or a .json or .txt file in the scenario's folder", None
    ),
    "plan_text": Field("plan_text", _Maybe(_Text()), "or the printed tree", None),
    "plan_shared": Field(
        "plan_shared",
        _Maybe(_Flag()),
        "whether equal subtrees of a printed tree are one node, where that is open",
        None,
    ),
    "plan_json": Field("plan_json", _Any("a table of nodes and edges"), "or nodes and edges", None),
    **_table(
        Workload,
        {
            "plan_name": (_Text(), "what reports call a plan that is written inline"),
            "query": (_Text(), "the query that the plan is for"),
            "arrival": (_ONE_TICK, "tick at which it arrives"),
        },
    ),
    **_table(
        Options,
        {
            "tenant": (_Text(), "whose query it is"),
            "actor": (_Many(_Text(), words="a list of texts"), "who is served in turn"),
            "max_running_scan_tasks": (
                _Integer(-_COUNT, _COUNT),
                "how many tasks that read storage run at once; below 1 all",
            ),
            "max_running_other_tasks": (
                _Integer(-_COUNT, _COUNT),
                "how many of the other tasks run at once; below 1 all",
            ),
            "debug_tasks": (_Flag(), "a line in the log for each event of a task"),
            "debug_streams": (_Flag(), "a line in the log for each event of a stream"),
        },
        inside="options.",
    ),
    **_table(
        Workload,
        {
            "rows_per_scan": (_Integer(0, 1_000_000), "rows that a scan finds"),
            "batch_rows": (_Integer(1, 1_000_000), "rows of a batch"),
        },
    ),
    "client": Field("client", _Any("a table"), "[workload.client], see there", {}),
}

CLIENT: Final = _table(
    Client,
    {
        "pause": (_LATENCY, "between two reads"),
        "never_reads": (_Flag(), "whether nobody reads the results"),
        "close_after": (_Maybe(_RECORDS), "records read, then the results are closed"),
        "stall_after": (_Maybe(_RECORDS), "records read, then nothing for stall_ticks"),
        "stall_ticks": (_ONE_TICK, "how long the stall lasts"),
        "cancel_at": (_Maybe(_ONE_TICK), "tick at which the user cancels the run"),
        "close_at": (_Maybe(_ONE_TICK), "tick at which the workflow is closed"),
    },
)

FAULT: Final = _table(
    Fault,
    {
        "kind": (_Choice(FAULT_KINDS), "what goes wrong"),
        "at": (_Maybe(_ONE_TICK), "the tick at which it does"),
        "nth": (
            _Maybe(_Integer(-1, _COUNT)),
            "or the occasion, from 0; -1, a task's end, only of task_failure",
        ),
        "per_million": (_Maybe(_Integer(0, 1_000_000)), "or the chance at each occasion"),
        "worker": (_Maybe(_Index("worker")), "only this one"),
        "task": (_Maybe(_Index("task in the manifest")), "only this one"),
        "workload": (_Maybe(_Index("workload")), "only tasks of this one"),
        "ticks": (_ONE_TICK, "how long, where the kind says so"),
        "factor": (_Integer(1, 1_000_000), "how many times as long, of slow_worker and slow_link"),
        "silent": (_Flag(), "of task_failure: without an error object"),
    },
)

DATA: Final = _table(
    Data,
    {
        "bucket": (_Text(), "the folder of log lines that scans read; in the scenario's folder"),
        "digest": (_Text(), "what `windtunnel` knows them by; without it any lines will do"),
        "rows": (_Maybe(_Integer(0, _COUNT)), "of each section only so many rows, its first ones"),
    },
)

SECTIONS: Final[dict[str, Table]] = {
    "": TOP,
    "[cluster]": CLUSTER,
    "[[workload]]": WORKLOAD,
    "[workload.client]": CLIENT,
    "[[fault]]": FAULT,
    "[data]": DATA,
    **{f'shape = "{name}"': table for name, (_, table) in _SHAPES.items()},
}
