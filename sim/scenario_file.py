'''A scenario as a file: TOML to write by hand, JSON to keep in traces and saved failures.

``format = 1`` comes first, then ``name``, ``sentence``, ``max_steps``, tables ``[cluster]`` and
``[data]``, and lists of tables ``[[workload]]`` and ``[[fault]]``.  A field that is left out has its default.  One
table of fields, below, drives both forms and `describe_format`.

Plan: exactly one of ``plan`` (a name that the caller's `find_plan` knows), ``plan_file`` (.json or
    .txt, in the scenario's folder), ``plan_text`` (the printed tree) and ``plan_json``.  The JSON
    form always has ``plan_json``.
Null: TOML has none.  A property of a plan that is unset is left out there, and in a
    ``max_time_range`` that is open on one side the text "" stands for the open one.
Errors: all at once, in the order of their lines, each with the line that it is about or, where
    that lies within a longer value, the line at which the value begins.

>>> scenario = scenario_from_toml("""
... format = 1
... cluster = { workers = 3, control = { shape = "constant", ticks = 50 } }
... [[workload]]
... plan_text = "Limit offset=0 limit=5"
... """)
>>> scenario.cluster.workers, scenario_from_json(scenario_to_json(scenario)) == scenario
(3, True)
>>> print(scenario_to_toml(scenario))
format = 1
<BLANKLINE>
[cluster]
workers = 3
control = { shape = "constant", ticks = 50 }
<BLANKLINE>
[[workload]]
<BLANKLINE>
[workload.plan_json]
nodes = [
  { id = 0, type = "Limit", props = { fetch = 5, skip = 0 } },
]
edges = []
<BLANKLINE>
>>> scenario_from_toml('format = 1\\n[[workload]]\\nplan_txt = ""')
Traceback (most recent call last):
sim.scenario_file.ScenarioError: scenario.toml:2: [workload 0]: got no plan, expected exactly one of plan, plan_file, plan_text, plan_json
scenario.toml:3: [workload 0] plan_txt: got an unknown key, expected one of plan, plan_file, plan_text, plan_shared, plan_json, plan_name, query, arrival, tenant, actor, max_running_scan_tasks, max_running_other_tasks, debug_tasks, debug_streams, rows_per_scan, batch_rows, client; did you mean 'plan_text'?
'''  # noqa: E501 (messages do not wrap)

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from sim._scenario_fields import (
    CLIENT,
    CLUSTER,
    DATA,
    FAULT,
    FORMAT,
    REQUIRED,
    SECTIONS,
    TABLES,
    TOP,
    VERSION_OF_FORMAT,
    WORKLOAD,
    read_table,
    to_toml,
    toml_pairs,
    write_table,
)
from sim._scenario_plans import FindPlan, Plans
from sim._scenario_report import Lines, NoToml, Place, Report, parse_toml
from sim.scenario import CONNECTION_FAULTS, Client, Cluster, Data, Fault, Scenario, Workload
from workflow import (
    GraphError,
    LimitTooSmall,
    Manifest,
    Options,
    Plan,
    RecordWriter,
    Runner,
    Stream,
    Task,
    Workflow,
    plan_to_json,
)

__all__ = [
    "FORMAT",
    "FormatRow",
    "ScenarioError",
    "describe_format",
    "scenario_from_json",
    "scenario_from_toml",
    "scenario_to_json",
    "scenario_to_toml",
]

Json = Any  # what the json module gives and takes

_PLANS: Final = ("plan", "plan_file", "plan_text", "plan_json")
_WHEN: Final = ("at", "nth", "per_million")


class ScenarioError(ValueError):
    """A scenario that cannot be read; ``problems`` has a line for each mistake."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True, slots=True)
class FormatRow:
    """A field of the format, in words."""

    section: str  # as its header is written; "" at the top
    name: str
    values: str
    default: str
    sentence: str


def scenario_from_toml(
    text: str,
    *,
    where: str = "scenario.toml",
    folder: Path | None = None,
    find_plan: FindPlan | None = None,
    plan_names: Iterable[str] = (),
    allow_outside: bool = False,
) -> Scenario:
    """Read a scenario.  Raises ScenarioError, with all that is wrong.

    `where` names the text in errors.  Without a `folder` no ``plan_file`` can be read, and with
    one only files below it, symbolic links resolved, unless `allow_outside`.  `find_plan` gives
    the plan of a name, and raises LookupError for one unknown; `plan_names` are those to propose.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        value = parse_toml(text, where)
    except NoToml as error:
        raise ScenarioError((str(error),)) from None
    plans = Plans(folder, find_plan, tuple(plan_names), allow_outside)
    return _scenario(value, Report(where, Lines(text)), plans)


def scenario_from_json(value: object, *, where: str = "scenario") -> Scenario:
    """Read what `scenario_to_json` wrote.  Raises ScenarioError, with all that is wrong."""
    return _scenario(value, Report(where, None), Plans())


def scenario_to_json(scenario: Scenario) -> dict[str, Json]:
    """Write a scenario in full, so that it stays the same when defaults change."""
    return {
        "format": FORMAT,
        **write_table(scenario, TOP),
        "cluster": _without_empty("costs", write_table(scenario.cluster, CLUSTER)),
        "workload": [
            {
                **write_table(each, WORKLOAD),
                "client": write_table(each.client, CLIENT),
                "plan_json": plan_to_json(each.plan),
            }
            for each in scenario.workloads
        ],
        "fault": [write_table(each, FAULT) for each in scenario.faults],
        **({"data": write_table(scenario.data, DATA)} if scenario.data is not None else {}),
    }


def _without_empty(name: str, table: dict[str, Json]) -> dict[str, Json]:
    """A table without what is not there: earlier files, and what is made of them, stay the same."""
    return {key: value for key, value in table.items() if value or key != name}


def scenario_to_toml(scenario: Scenario, *, find_plan: FindPlan | None = None) -> str:
    """Write a scenario, without what is at its default.

    A plan is written by its name if `find_plan` knows it under it, else inline.
    """
    blocks = [[f"format = {FORMAT}", *toml_pairs(scenario, TOP)]]
    if cluster := [*toml_pairs(scenario.cluster, CLUSTER)]:
        blocks.append(["[cluster]", *cluster])
    for each in scenario.workloads:
        plan_json = plan_to_json(each.plan)
        is_known = bool(each.plan_name) and _finds(find_plan, each.plan_name, plan_json)
        pairs = [*toml_pairs(each, WORKLOAD)]
        if is_known:
            pairs = [re.sub("^plan_name =", "plan =", pair) for pair in pairs]
        blocks.append(["[[workload]]", *pairs])
        if client := [*toml_pairs(each.client, CLIENT)]:
            blocks.append(["[workload.client]", *client])
        if not is_known:
            nodes = [f"  {to_toml(node)}," for node in plan_json["nodes"]]
            edges = f"edges = {to_toml(plan_json['edges'])}"
            blocks.append(["[workload.plan_json]", "nodes = [", *nodes, "]", edges])
    if scenario.data is not None:
        blocks.append(["[data]", *toml_pairs(scenario.data, DATA)])
    blocks += [["[[fault]]", *toml_pairs(each, FAULT)] for each in scenario.faults]
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks)


def describe_format() -> list[FormatRow]:
    """All fields, for the reference."""
    rows = []
    for section, table in SECTIONS.items():
        for field in table.values():
            default = "required" if field.default is REQUIRED else ""
            if field.default is not REQUIRED and field.default is not None:
                default = to_toml(field.kind.write(field.default))
            rows.append(
                FormatRow(section, field.name, field.kind.expected, default, field.sentence)
            )
    return rows


def _scenario(value: Json, report: Report, plans: Plans) -> Scenario:
    version = value.get("format") if isinstance(value, dict) else None
    if type(version) is int and version != FORMAT:  # then nothing else can be judged
        report.mismatch(("format",), version, VERSION_OF_FORMAT.hint(version))
        raise ScenarioError(report.found)
    top = read_table(report, (), value, {**TOP, **TABLES})
    cluster = read_table(report, ("cluster",), top.get("cluster", {}), CLUSTER)
    workloads = [
        _Reading(report, ("workload", index), each, plans)
        for index, each in enumerate(top.get("workload", ()))
    ]
    faults = [
        _fault(report, ("fault", index), each, cluster, workloads)
        for index, each in enumerate(top.get("fault", ()))
    ]
    data = _data(report, top.get("data"), plans)
    if report.found:
        raise ScenarioError(report.found)
    return Scenario(
        **{name: top[name] for name in TOP if name != "format"},
        cluster=Cluster(**cluster),
        workloads=tuple(each.workload() for each in workloads),
        faults=tuple(Fault(**each) for each in faults),
        data=None if data is None else Data(**data),
    )


def _data(report: Report, value: Json, plans: Plans) -> dict[str, Any] | None:
    if value is None:
        return None
    data = read_table(report, ("data",), value, DATA)
    if "bucket" in data:
        place = plans.place(data["bucket"])
        if place is None:
            expected = "a folder in the scenario's folder or below"
            report.mismatch(("data", "bucket"), data["bucket"], expected)
        data["bucket"] = place
    return data


class _Reading:
    """A workload: its fields, its plan, and how many tasks that makes, as far as they are known."""

    def __init__(self, report: Report, path: Place, value: Json, plans: Plans) -> None:
        self.values = read_table(report, path, value, WORKLOAD)
        self.client = read_table(report, (*path, "client"), self.values.get("client", {}), CLIENT)
        self.options = self._of("options")
        self.plan: Plan | None = None
        self.plan_name: str = self.values.get("plan_name", "")
        self.tasks: int | None = None
        if not isinstance(value, dict):
            return
        given = [name for name in _PLANS if value.get(name) is not None]
        if len(given) != 1:
            seen = " and ".join(given) or "no plan"
            report.add(path, f"got {seen}, expected exactly one of {', '.join(_PLANS)}")
        elif given[0] in self.values:
            self._read_plan(report, path, given[0], plans)

    def _read_plan(self, report: Report, path: Place, key: str, plans: Plans) -> None:
        shared = self.values.get("plan_shared")
        content = self.values[key]
        is_tree = key == "plan_text" or (key == "plan_file" and content.endswith(".txt"))
        if shared is not None and not is_tree:
            report.mismatch((*path, "plan_shared"), shared, "it only beside a printed tree")
        if key in {"plan", "plan_file"}:
            if self.plan_name:
                expected = f"none beside {key}, which names the plan"
                report.mismatch((*path, "plan_name"), self.plan_name, expected)
            self.plan_name = content
        self.plan = plans.read(report, path, key, content, shared)
        if self.plan is None:
            return
        try:
            self.tasks = len(Workflow(self.plan, _Nobody(), Options(**self.options)))
        except LimitTooSmall as error:
            report.add(
                (*path, error.option),
                f"got {error.limit}, expected at least {error.smallest}, or 0 for no limit:"
                " with fewer this plan can hang",
            )
        except GraphError as error:
            report.add((*path, key), f"got a plan that cannot run: {error}")

    def _of(self, part: str) -> dict[str, Any]:
        return {
            name: self.values[name]
            for name, field in WORKLOAD.items()
            if field.attribute.rpartition(".")[0] == part
            and field.attribute
            and name in self.values
        }

    def workload(self) -> Workload:
        """The workload, if nothing was reported."""
        return Workload(
            **{**self._of(""), "plan_name": self.plan_name},
            plan=cast("Plan", self.plan),
            options=Options(**self.options),
            client=Client(**self.client),
        )


class _Nobody(Runner):
    """Lets a Workflow be made, which says whether its plan can run."""

    def register_manifest(self, _manifest: Manifest) -> None: ...

    def unregister_manifest(self, _manifest: Manifest) -> None: ...

    def listen(self, _stream: Stream, _writer: RecordWriter) -> None: ...

    def start(self, _tasks: Sequence[Task]) -> None: ...

    def cancel(self, _tasks: Sequence[Task]) -> None: ...


def _fault(
    report: Report,
    path: Place,
    value: Json,
    cluster: Mapping[str, Any],
    workloads: Sequence[_Reading],
) -> dict[str, Any]:
    fault = read_table(report, path, value, FAULT)
    if not isinstance(value, dict):
        return fault
    given = [name for name in _WHEN if value.get(name) is not None]
    if len(given) != 1:
        seen = " and ".join(given) or "none"
        report.add(path, f"got {seen}, expected exactly one of {', '.join(_WHEN)}")
    if fault.get("nth") == -1 and fault.get("kind", "task_failure") != "task_failure":
        report.mismatch((*path, "nth"), -1, "an integer >= 0: only a task_failure has a last one")

    kind = fault.get("kind", "")
    if kind == "late_ack" and not fault.get("ticks", 0):
        report.mismatch((*path, "ticks"), 0, "an integer >= 1: how much later it comes")
    whole = kind in CONNECTION_FAULTS
    if whole or (kind in ("worker_crash", "worker_leave") and value.get("at") is not None):
        about = "the connection" if whole else "the worker"
        for name in ("task", "workload"):
            if fault.get(name) is not None:
                expected = f"none: a {kind} {'' if whole else 'at a tick '}strikes {about}"
                report.mismatch((*path, name), fault[name], expected)

    def check_index(name: str, count: int | None, of: str) -> None:
        index = fault.get(name)
        if index is not None and count is not None and not 0 <= index < count:
            allowed = f"an integer from 0 to {count - 1}" if count > 1 else "0"
            report.mismatch((*path, name), index, f"{allowed}, as there {_are(count, of)}")

    check_index("worker", cluster.get("workers"), "worker")
    check_index("workload", len(workloads), "workload")
    of = fault.get("workload")
    if of is None:
        counts = [each.tasks for each in workloads]
        known = [count for count in counts if count is not None]
        if known and len(known) == len(counts):
            check_index("task", max(known), "task" if len(known) == 1 else "task at most")
    elif 0 <= of < len(workloads):
        check_index("task", workloads[of].tasks, "task")
    return fault


def _are(count: int, of: str) -> str:
    noun, _, rest = of.partition(" ")
    return " ".join(
        part for part in (f"is 1 {noun}" if count == 1 else f"are {count} {noun}s", rest) if part
    )


def _finds(find_plan: FindPlan | None, name: str, plan_json: Json) -> bool:
    if find_plan is None:
        return False
    try:
        return bool(plan_to_json(find_plan(name)) == plan_json)
    except (LookupError, OSError, ValueError):
        return False
