"""Scenarios as TOML and JSON: exact round trips, and every mistake told in words, all at once."""

import copy
import dataclasses
import json
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim import _scenario_fields as tables
from sim._scenario_report import Lines
from sim.latency import (
    Bimodal,
    Constant,
    Empirical,
    Exponential,
    Latency,
    Lognormal,
    Uniform,
)
from sim.scenario import (
    CONNECTION_FAULTS,
    Client,
    Cluster,
    Data,
    Fault,
    FaultKind,
    Scenario,
    Workload,
)
from sim.scenario_file import (
    ScenarioError,
    describe_format,
    scenario_from_json,
    scenario_from_toml,
    scenario_to_json,
    scenario_to_toml,
)
from workflow import (
    Options,
    Plan,
    TimeRange,
    Timestamp,
    plan_from_text,
)
from workflow.expressions import parse_expression
from workflow.plan import (
    NODE_KINDS,
    DataObjScan,
    Filter,
    Limit,
    Node,
    Parallelize,
    PointersScan,
    ScanSet,
    TopK,
)

FOLDER: Final = Path(__file__).parent / "data" / "scenarios"
ALL_FIELDS: Final = (FOLDER / "all-fields.toml").read_text(encoding="utf-8")
SMALLEST: Final = (FOLDER / "smallest.toml").read_text(encoding="utf-8")
LIMIT: Final = 'plan_text = "Limit offset=0 limit=5"'


def find_plan(name: str) -> Plan:
    """A library of one."""
    if name != "tiny":
        raise KeyError(name)
    return plan_from_text("Limit offset=0 limit=1")


def read(text: str, **more: Any) -> Scenario:
    more = {"where": "s.toml", "folder": FOLDER, "find_plan": find_plan, **more}
    return scenario_from_toml(text, plan_names=["tiny"], **more)


def problems(text: str, **more: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(text, **more)
    return list(caught.value.problems)


# Scenarios of every kind.

TICKS: Final = st.integers(0, 10**15)
TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["\x7f", '"""', "\r\n", "\\", "#", "\ufeff", "= [x]"]
)
PAIRS: Final = st.tuples(TICKS, TICKS).map(sorted)
LATENCIES: Final[st.SearchStrategy[Latency]] = st.one_of(
    st.builds(Constant, TICKS),
    PAIRS.map(lambda p: Uniform(p[0], p[1])),
    st.builds(Exponential, TICKS),
    st.builds(Lognormal, TICKS, st.integers(0, 10_000)),
    st.builds(lambda p, percent: Bimodal(p[0], p[1], percent), PAIRS, st.integers(0, 100)),
    st.lists(TICKS, min_size=1, max_size=4).map(lambda ticks: Empirical(tuple(ticks))),
)
CLUSTERS: Final = st.builds(
    Cluster,
    workers=st.integers(1, 10_000),
    slots=st.integers(1, 1_000),
    buffer=st.integers(1, 100_000),
    profile=st.sampled_from(["sound", "reference"]),
    slack=TICKS,
    control=LATENCIES,
    data=LATENCIES,
    work=LATENCIES,
    costs=st.dictionaries(st.sampled_from([*NODE_KINDS]), st.integers(1, 10**9)).map(
        lambda costs: tuple(costs.items())
    ),
    notify=LATENCIES,
    ack_timeout=TICKS,
    detect=TICKS,
)
MAYBE_TICKS: Final = st.none() | TICKS
MAYBE_RECORDS: Final = st.none() | st.integers(0, 10**9)
CLIENTS: Final = st.builds(
    Client,
    pause=LATENCIES,
    never_reads=st.booleans(),
    close_after=MAYBE_RECORDS,
    stall_after=MAYBE_RECORDS,
    stall_ticks=TICKS,
    cancel_at=MAYBE_TICKS,
    close_at=MAYBE_TICKS,
)
# A limit of one task could make a plan hang, which is refused.
LIMITS: Final = st.sampled_from([0, -1, 10**9])
OPTIONS: Final = st.builds(
    Options,
    tenant=TEXTS,
    actor=st.lists(TEXTS, max_size=3).map(tuple),
    max_running_scan_tasks=LIMITS,
    max_running_other_tasks=LIMITS,
    debug_tasks=st.booleans(),
    debug_streams=st.booleans(),
)
MAYBE_INSTANTS: Final = st.none() | st.builds(Timestamp, st.integers(1, 10**18))
SCANS: Final = st.builds(
    DataObjScan,
    location=TEXTS,
    section=st.integers(0, 9),
    stream_ids=st.none() | st.lists(st.integers(-9, 9), max_size=2).map(tuple),
    predicates=st.just((parse_expression('EQ(label.app, "a")'),)),
    max_time_range=st.builds(TimeRange, MAYBE_INSTANTS, MAYBE_INSTANTS),
)
POINTERS: Final = st.builds(PointersScan, location=TEXTS, selector=TEXTS, start=MAYBE_INSTANTS)


def chain(*nodes: Node) -> Plan:
    plan = Plan()
    for node in nodes:
        plan.add(node)
        if len(plan) > 1:
            plan.add_edge(nodes[len(plan) - 2], node)
    return plan


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    targets = draw(st.lists(SCANS | POINTERS, max_size=3).map(tuple))
    shapes: list[list[Node]] = [
        [Limit(fetch=5)],
        [TopK(k=3), Parallelize(), ScanSet(targets=targets)],
        [Limit(fetch=2), Filter(), draw(SCANS)],
        [draw(POINTERS)],
    ]
    plan = chain(*shapes[draw(st.integers(0, 3))])
    if draw(st.booleans()):
        plan.ids.update(zip(plan, draw(st.permutations(range(7, 7 + len(plan)))), strict=True))
    return plan


WORKLOADS: Final = st.builds(
    Workload,
    plan=plans(),
    plan_name=TEXTS | st.just("tiny"),
    query=TEXTS,
    arrival=TICKS,
    options=OPTIONS,
    rows_per_scan=st.integers(0, 1_000_000),
    batch_rows=st.integers(1, 1_000_000),
    client=CLIENTS,
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    cluster = draw(CLUSTERS)
    workloads = draw(st.lists(WORKLOADS, min_size=1, max_size=2).map(tuple))
    faults = []
    for _ in range(draw(st.integers(0, 2))):
        when = draw(st.sampled_from(["at", "nth", "per_million"]))
        kind: FaultKind = draw(st.sampled_from(get_args(FaultKind)))
        of_worker = kind in ("worker_crash", "worker_leave") and when == "at"
        of_task = not of_worker and kind not in CONNECTION_FAULTS
        faults.append(
            Fault(
                kind=kind,
                at=draw(TICKS) if when == "at" else None,
                nth=draw(st.integers(0, 10**9)) if when == "nth" else None,
                per_million=draw(st.integers(0, 10**6)) if when == "per_million" else None,
                worker=draw(st.none() | st.integers(0, cluster.workers - 1)),
                task=draw(st.sampled_from([None, 0])) if of_task else None,
                workload=draw(st.none() | st.integers(0, len(workloads) - 1)) if of_task else None,
                ticks=max(draw(TICKS), 1 if kind == "late_ack" else 0),
                factor=draw(st.integers(1, 10**6)),
                silent=draw(st.booleans()),
            )
        )
    return Scenario(
        name=draw(TEXTS),
        sentence=draw(TEXTS),
        cluster=cluster,
        workloads=workloads,
        faults=tuple(faults),
        max_steps=draw(st.integers(1, 10**12)),
    )


@given(scenarios())
def test_a_scenario_comes_back_from_toml_as_it_went(scenario: Scenario) -> None:
    assert scenario_from_toml(scenario_to_toml(scenario)) == scenario


@given(scenarios())
def test_a_scenario_comes_back_from_json_as_it_went(scenario: Scenario) -> None:
    text = json.dumps(scenario_to_json(scenario))
    assert scenario_from_json(json.loads(text)) == scenario


def test_every_field_of_a_scenario_is_in_the_file() -> None:
    owners = [
        (Scenario, tables.TOP),
        (Cluster, tables.CLUSTER),
        (Workload, tables.WORKLOAD),
        (Options, tables.WORKLOAD),
        (Client, tables.CLIENT),
        (Fault, tables.FAULT),
        (Data, tables.DATA),
    ]
    for owner, table in owners:
        elsewhere = {"cluster", "workloads", "faults", "data", "plan", "options", "client"}
        part = "options." if owner is Options else ""
        attributes = {field.attribute for field in table.values()}
        for field in dataclasses.fields(owner):
            if owner not in {Scenario, Workload} or field.name not in elsewhere:
                assert part + field.name in attributes


def test_a_file_with_all_that_there_is_can_be_read() -> None:
    scenario = read(ALL_FIELDS)
    assert scenario.cluster == Cluster(
        workers=3,
        slots=2,
        buffer=4,
        profile="reference",
        slack=10,
        control=Constant(50),
        data=Uniform(100, 300),
        work=Lognormal(400, 80),
        costs=(("DataObjScan", 900), ("TopK", 10**9)),
        notify=Bimodal(1, 900, 10),
        ack_timeout=3_000_000,
        detect=2_000_000,
    )
    names = [each.plan_name for each in scenario.workloads]
    assert names == ["tiny", "plans/two.txt", "", "two nodes"]
    assert scenario.workloads[0].client.pause == Empirical((30, 10))
    assert scenario.workloads[0].options == Options(
        tenant="acme",
        actor=("team", "user"),
        max_running_scan_tasks=2,
        max_running_other_tasks=1,
    )
    [scan] = scenario.workloads[3].plan.leaves()
    assert isinstance(scan, DataObjScan)
    assert (str(scan.max_time_range.start), scan.max_time_range.end) == (
        "2025-01-01T00:00:00Z",
        None,
    )
    assert scenario.faults[0] == Fault(kind="task_failure", nth=-1, task=2, workload=2, silent=True)


def test_comments_blank_lines_indentation_and_line_ends_do_not_matter() -> None:
    scenario = read(ALL_FIELDS)
    before, tree, after = re.split('("""\\n(?:[^"]|"(?!""))*""")', ALL_FIELDS)
    noise = [
        re.sub(r"(?m)^(?=\S)", "\t# [x] = {\n\n  ", re.sub("(?m)(?<=\\S)$", " # \"'[", part))
        for part in (before.removesuffix("plan_text = "), after)
    ]
    assert read(noise[0] + "plan_text = " + tree + noise[1]) == scenario
    assert read("\ufeff" + ALL_FIELDS.replace("\n", "\r\n")) == scenario


@given(st.randoms(use_true_random=False))
def test_the_order_of_fields_and_sections_does_not_matter(chance: random.Random) -> None:
    scenario = read(ALL_FIELDS)
    head, *blocks = scenario_to_toml(scenario).split("\n\n")
    groups: list[list[str]] = []  # a workload and its own sections stay together
    for block in blocks:
        if block.startswith("[workload."):
            groups[-1].append(block)
        else:
            groups.append([block])
    kinds = ["[cluster]", "[[workload]]", "[[fault]]"]
    chance.shuffle(kinds)
    groups.sort(key=lambda group: kinds.index(group[0].partition("\n")[0]))
    mixed = [head]
    for first, *rest in groups:
        chance.shuffle(rest)
        for block in [first, *rest]:
            title, *lines = block.strip().split("\n")
            if "plan_json" not in title:
                chance.shuffle(lines)
            mixed.append("\n".join([title, *lines]))
    assert read("\n".join(mixed)) == scenario


def test_what_is_at_its_default_is_not_written() -> None:
    plain = Scenario(workloads=(Workload(plan=find_plan("tiny"), plan_name="tiny"),))
    assert scenario_to_toml(plain, find_plan=find_plan) == (
        'format = 1\n\n[[workload]]\nplan = "tiny"\n'
    )


def test_a_plan_is_written_by_name_only_if_the_library_has_it_so() -> None:
    other = Workload(plan=plan_from_text("Limit offset=0 limit=2"), plan_name="tiny")
    unknown = Workload(plan=find_plan("tiny"), plan_name="huge")
    for workload in [other, unknown]:
        scenario = Scenario(workloads=(workload,))
        text = scenario_to_toml(scenario, find_plan=find_plan)
        assert "plan_json" in text
        assert read(text) == scenario


def test_json_is_written_in_full_and_toml_and_json_say_the_same() -> None:
    written = scenario_to_json(read(SMALLEST))
    assert written["cluster"]["workers"] == 2
    assert written["workload"][0]["client"]["cancel_at"] is None
    assert list(written) == [
        "format", "name", "sentence", "max_steps", "cluster", "workload", "fault",
    ]  # fmt: skip
    assert scenario_from_json(scenario_to_json(read(ALL_FIELDS))) == read(ALL_FIELDS)


# Mistakes.

WORKLOAD: Final = f"format = 1\n[[workload]]\n{LIMIT}\n"
# For each a title, the text and what is told about it.
MISTAKES: Final[dict[str, str]] = {
    chapter.partition("\n")[0]: chapter.partition("\n")[2]
    for chapter in (FOLDER / "mistakes.txt").read_text(encoding="utf-8").split("### ")[1:]
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_with_its_line_what_was_seen_and_what_would_be_right(what: str) -> None:
    text, _, expected = MISTAKES[what].partition("\n--->\n")
    assert "\n".join(problems(text)) == expected.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{WORKLOAD}arrival = 0x{'f' * 5000}",
            "s.toml:4: [workload 0] arrival: got an integer of 20000 bits, expected an integer",
        ),
        (f"format = {'[' * 100_000}", "s.toml: got no TOML: values nested too deeply"),
        (f"format = {'9' * 5_000}", "s.toml: got no TOML: a number too long to read"),
        ("format = 1\nname = '\ud800'", "s.toml:2: got no TOML: half of a surrogate pair"),
    ],
)
def test_what_is_too_much_for_a_reader_is_told_too(text: str, expected: str) -> None:
    [problem] = problems(text)
    assert problem.startswith(expected)


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    found = problems(
        "format = 1\nmax_step = 3\n[cluster]\nworkers = 0\ncontrol = { shape = 'constant' }\n"
        "[[workload]]\narival = 3\n[workload.client]\npause = 1\n[[fault]]\nkind = 'x'\n"
    )
    assert [re.match(r"s\.toml:(\d+): ([^:]*):", each).groups() for each in found] == [  # type: ignore[union-attr]
        ("2", "max_step"),
        ("4", "[cluster] workers"),
        ("5", "[cluster] control.ticks"),
        ("6", "[workload 0]"),
        ("7", "[workload 0] arival"),
        ("9", "[workload 0.client] pause"),
        ("10", "[fault 0]"),
        ("11", "[fault 0] kind"),
    ]


def test_the_error_can_be_rebuilt_from_its_args() -> None:
    error = ScenarioError(("a:1: x", "a:2: y"))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert (type(again), again.args, again.problems) == (ScenarioError, error.args, error.problems)
    assert str(again) == "a:1: x\na:2: y"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v.pop("format"), "format: got nothing, expected 1, the only format"),
        (lambda v: v.update(workload={}), "workload: got an object, expected a list of tables"),
        (lambda v: v["workload"][0].update(client=[]), "[workload 0] client: got an empty list"),
        (lambda v: v["cluster"].update(workers=None), "[cluster] workers: got null, expected an"),
        (lambda v: v.update(name="\ud800"), "name: got '\\ud800', expected a text"),
        (
            lambda v: v["workload"][0].update(plan_json=None, plan="tiny"),
            "[workload 0] plan: got 'tiny', expected plan_text or plan_json: here is no library",
        ),
        (
            lambda v: v["workload"][0].update(plan_json=None, plan_file="x.txt"),
            "[workload 0] plan_file: got 'x.txt', expected plan_text or plan_json: here is no",
        ),
    ],
)
def test_mistakes_in_json_are_told_without_a_line(
    change: Callable[[Any], object], expected: str
) -> None:
    value = scenario_to_json(read(SMALLEST)) | {"name": "x"}
    value["workload"][0]["plan_name"] = ""
    change(value)
    with pytest.raises(ScenarioError) as caught:
        scenario_from_json(value, where="trace 3")
    [problem] = caught.value.problems
    assert problem.startswith(f"trace 3: {expected}")


@pytest.mark.parametrize("value", [None, 3, "x", [], [{}], {1: 2}, {"workload": [None]}])
def test_what_is_no_scenario_at_all_is_told_so_too(value: object) -> None:
    with pytest.raises(ScenarioError):
        scenario_from_json(value)


# Plans in files.

TREE: Final = "Limit offset=0 limit=5\n"


def with_file(name: str) -> str:
    return f"format = 1\n[[workload]]\nplan_file = {json.dumps(name)}"


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Path:
    """A folder with a plan in it and a plan outside."""
    folder = tmp_path / "inside"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "plan.txt").write_text(TREE)
    (tmp_path / "outside.txt").write_text(TREE)
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "good-link.txt").symlink_to(folder / "below" / "plan.txt")
    (folder / "dir.txt").mkdir()
    (folder / "circle.txt").symlink_to(folder / "circle.txt")
    return folder


@pytest.mark.parametrize("name", ["below/plan.txt", "below/../below/plan.txt", "good-link.txt"])
def test_a_plan_file_may_stand_in_the_folder_or_below(place: Path, name: str) -> None:
    scenario = read(with_file(name), folder=place)
    assert scenario.workloads[0].plan_name == name
    assert scenario.workloads[0] == Workload(plan=plan_from_text(TREE), plan_name=name)


@pytest.mark.parametrize(
    "name", ["../outside.txt", "link.txt", "up/outside.txt", "below/../../outside.txt", "/"]
)
def test_a_plan_file_may_not_stand_outside_unless_allowed(place: Path, name: str) -> None:
    name = str(place.parent / "outside.txt") if name == "/" else name
    [problem] = problems(with_file(name), folder=place)
    assert problem.startswith("s.toml:3: [workload 0] plan_file: got '")
    assert problem.endswith("expected a file in the scenario's folder or below")
    assert len(read(with_file(name), folder=place, allow_outside=True).workloads) == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.txt", None, "expected a file that is there"),
        ("below", None, "expected a name that ends in .json or .txt"),
        ("dir.txt", None, "expected a file that is there"),
        ("circle.txt", None, "expected a file that is there"),
        ("a\0b.txt", None, "expected a name that ends in .json or .txt"),
        ("a.toml", b"", "expected a name that ends in .json or .txt"),
        ("", None, "expected a name that ends in .json or .txt"),
        ("a.txt", b"\xff", "which is no UTF-8"),
        ("a.txt", b"Limit", "where at line 1, column 6: got the end of the line, expected offset="),
        ("a.json", b"{\n!", "which is no JSON: line 2, column 1: "),
        ("a.json", b"[" * 100_000, "which is JSON nested too deeply"),
        ("a.json", b"9" * 5_000, "which cannot be read"),
        ("a.json", b"{}", "which is no plan: json: plan: got no 'edges', expected"),
        ("a.json", b'{"plan": 3}', "which is no plan: json: plan: got 3, expected an object"),
    ],
)
def test_what_is_wrong_with_a_plan_file_is_told_at_its_workload(
    place: Path, name: str, content: bytes | None, expected: str
) -> None:
    if content is not None:
        (place / name).write_bytes(content)
    [problem] = problems(with_file(name), folder=place)
    assert problem.startswith(f"s.toml:3: [workload 0] plan_file: got {name!r}, {expected}")


def test_without_a_library_or_a_folder_there_are_no_plans_in_them() -> None:
    text = "format = 1\n[[workload]]\nplan = 'tiny'\n[[workload]]\nplan_file = 'x.txt'"
    first, second = problems(text, folder=None, find_plan=None)
    inline = "expected plan_text or plan_json"
    assert first == f"s.toml:3: [workload 0] plan: got 'tiny', {inline}: here is no library"
    assert second == (
        f"s.toml:5: [workload 1] plan_file: got 'x.txt', {inline}: here is no folder to look in"
    )


def test_a_plan_of_the_library_that_cannot_be_read_is_told() -> None:
    def broken(_name: str) -> Plan:
        raise ValueError("no such luck")

    assert problems("format = 1\n[[workload]]\nplan = 'a'", find_plan=broken) == [
        "s.toml:3: [workload 0] plan: got 'a', which cannot be read: no such luck"
    ]


# The lines of keys.


def test_each_key_is_found_on_its_line() -> None:
    lines = ALL_FIELDS.splitlines()
    found = Lines(ALL_FIELDS)
    expected: dict[tuple[str | int, ...], str] = {
        ("cluster", "data"): "data = ",
        ("workload", 0): "[[workload]]  # 0",
        ("workload", 0, "client"): "[workload.client]",
        ("workload", 0, "client", "never_reads"): "never_reads",
        ("workload", 2): "[[workload]]  # 2",
        ("workload", 2, "plan_text"): "plan_text",
        ("workload", 2, "arrival"): "[[workload]]  # 2",
        ("workload", 3, "client", "pause", "mean"): "client.pause",
        ("workload", 3, "plan_json", "nodes", 1, "type"): 'type = "DataObjScan"',
        ("workload", 3, "plan_json", "nodes", 1, "props", "location"): "location",
        ("fault", 2, "at"): "at = 7_000",
    }
    for path, start in expected.items():
        assert lines[found.of(path) - 1].startswith(start)
    assert lines[found.text_line["workload", 2, "plan_text"] - 1].startswith("TopK")


def test_texts_and_brackets_that_look_like_keys_are_none() -> None:
    found = Lines(
        "a = '''\n[x]\nb = 1 ''''\n"
        'c = "[" # [y]\n'
        "d = [ { e = ']' }, # [z]\n  [2],\n]\n"
        '"f\\u0067".\'h\' . i = """\\"""" + \n"""""\n'
        "[ j . k ]\nl = {m=1}"
    )
    assert [found.of((name,)) for name in ("a", "c", "d", "fg", "j")] == [1, 4, 5, 8, 10]
    assert [found.of(("j", "k", "l", "m")), found.of(("x",)), found.of(("b",))] == [11, 1, 1]


# No text leads to anything but a scenario or a ScenarioError.

ODD: Final = [
    "true", "-1", "1.5", "nan", "''", "[]", "{}", "2025-01-01", "0x7f", '"""', "[[", "]", "=", "\n",
    "\r", "\0", "\ud800", "9" * 30, "a.b", "[workload.client]", "[[fault]]", "# ", "\\", "{",
    "null", '["", ""]', "props", "id = 0", "└── ", "Parallelize", "cluster.workers = 3",
]  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from([ALL_FIELDS, SMALLEST, scenario_to_toml(read(ALL_FIELDS))]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 30))
        how = draw(st.sampled_from(["odd", "value", "cut", "twice", "line", "character"]))
        if how == "odd":
            text = text[:start] + draw(st.sampled_from(ODD)) + text[start:]
        elif how == "value":
            values = list(re.finditer(r"(?<== )[^\n{}]+|(?<= )\w+(?= =)", text))
            if values:
                found = draw(st.sampled_from(values))
                text = text[: found.start()] + draw(st.sampled_from(ODD)) + text[found.end() :]
        elif how == "cut":
            text = text[:start] + text[end:]
        elif how == "twice":
            text = text[:end] + text[start:]
        elif how == "line":
            lines = text.split("\n")
            line = lines.pop(draw(st.integers(0, len(lines) - 1)))
            lines.insert(draw(st.integers(0, len(lines))), line)
            text = "\n".join(lines)
        else:
            text = text[:start] + draw(st.characters()) + text[start + 1 :]
    return text


@settings(max_examples=400, deadline=None)
@given(mutations())
@example("format = 1\n[workload.plan_json" + ".a" * 3_000 + "]")
@example("format = 1\n[[workload]]\n[workload.plan_json.nodes" + ".a" * 3_000 + "]")
@example(".".join("a" * 2_000) + " = 1")
@example("format = 1\n[[workload]]\nplan_json.nodes = [{props={max_time_range=['',1]}}]")
def test_any_text_gives_a_scenario_or_problems_with_lines(text: str) -> None:
    found: tuple[str, ...] = ()
    try:
        scenario = read(text)
    except ScenarioError as error:
        found = error.problems
    else:
        assert read(scenario_to_toml(scenario)) == scenario
    for problem in found:
        assert re.match(r"s\.toml(:\d+)*: .", problem)
        assert "\n" not in problem
        problem.encode()
        place = re.match(r"s\.toml:(\d+)", problem)
        assert place is None or 1 <= int(place[1]) <= text.count("\n") + 1


VALUES: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [None, True, -1, 1.5, 10**30, "", "x", "\ud800", [], [1], [None], {}, {"shape": []}, {"a": {}}]
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_json_gives_a_scenario_or_problems(data: st.DataObject) -> None:
    value: Any = copy.deepcopy(scenario_to_json(read(ALL_FIELDS)))
    for _ in range(data.draw(st.integers(1, 3))):
        at, steps = value, data.draw(st.integers(0, 6))
        for step in range(steps + 1):
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if step < steps and isinstance(at[key], dict | list) and at[key]:
                at = at[key]
                continue
            if isinstance(at, dict) and data.draw(st.booleans()):
                del at[key]
            else:
                at[key] = copy.deepcopy(data.draw(VALUES))
            break
    found: tuple[str, ...] = ()
    try:
        scenario = scenario_from_json(value)
    except ScenarioError as error:
        found = error.problems
    else:
        assert scenario_from_json(scenario_to_json(scenario)) == scenario
    assert all(problem.startswith("scenario: ") for problem in found)


def test_the_reference_has_every_field_with_its_range_and_default() -> None:
    rows = {(row.section, row.name): row for row in describe_format()}
    row = rows["[cluster]", "workers"]
    assert (row.values, row.default) == ("an integer from 1 to 10_000", "2")
    assert rows["[cluster]", "notify"].default == '{ shape = "constant", ticks = 0 }'
    assert rows["[[fault]]", "kind"].default == "required"
    assert rows["[[fault]]", "worker"].default == ""
    assert rows['shape = "uniform"', "low"].sentence == "the shortest"
    assert all(row.sentence and row.values for row in rows.values())


def test_the_defaults_of_the_reference_are_those_of_the_reader() -> None:
    lines: dict[str, list[str]] = {
        "": [],
        "[cluster]": [],
        "[[workload]]": [],
        "[workload.client]": [],
    }
    for row in describe_format():
        if row.section in lines and row.default not in {"", "required"} and row.name != "client":
            lines[row.section].append(f"{row.name} = {row.default}")
    lines[""].append("format = 1")
    lines["[[workload]]"].append(LIMIT)
    text = "\n".join("\n".join([section, *pairs]) for section, pairs in lines.items())
    assert read(text) == read(f"format = 1\n[[workload]]\n{LIMIT}")


def test_a_fault_of_a_connection_or_of_a_worker_at_a_tick_takes_no_task() -> None:
    text = ALL_FIELDS[: ALL_FIELDS.index("[[fault]]")]
    for kind, when, about in (
        ("half_open", "nth = 1", "a half_open strikes the connection"),
        ("worker_crash", "at = 1", "a worker_crash at a tick strikes the worker"),
    ):
        with pytest.raises(ScenarioError) as refused:
            read(f"{text}[[fault]]\nkind = '{kind}'\n{when}\ntask = 0\n")
        [problem] = refused.value.problems
        assert problem.endswith(f"[fault 0] task: got 0, expected none: {about}")
