"""Logs become a bucket: what is read, what is refused, and what is left of a failure."""

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result
from commands import windtunnel
from stored import stored, vector_cases, vector_lines

from properties.oracle import Answer, answer, same_answer
from scenarios.data import BadLine, Limits, Line, Store, bind, rebind
from scenarios.data.lines import LogfmtReader, TextReader, json_line
from scenarios.data.source import numbered_lines
from scenarios.inputs import InputError
from workflow import Plan, PlanError, partition, plan_from_json
from workflow.expressions import parse_column, parse_expression
from workflow.objects import Bucket
from workflow.plan import DataObjScan, Limit, Parallelize, PointersScan, ScanSet, TopK
from workflow.times import TimeRange, Timestamp

INPUT = Path(__file__).parent / "data" / "input.jsonl"


def imported(tmp_path: Path, *lines: Any, words: tuple[object, ...] = ()) -> Result:
    """What is said of lines that are imported into the bucket ``out``."""
    text = "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines)
    file = tmp_path / "in.jsonl"
    file.write_text(text, encoding="utf-8")
    return windtunnel("data", "import", file, "--out", tmp_path / "out", *words)


def line(second: int, text: str = "x", **fields: Any) -> dict[str, Any]:
    """A line in the form of the JSON input."""
    return {"timestamp": second * 10**9, "line": text, **fields}


def rows(bucket: Path) -> list[tuple[str, int, int, int, str]]:
    """Location, section, stream, second and message of every row."""
    return [
        (location, section, row["stream_id"], row["timestamp"].value // 10**9, row["message"])
        for (location, section), batches in Bucket(bucket).load().items()
        for batch in batches
        for row in _rows(batch)
    ]


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    names = batch.schema.names
    return [
        {
            name: batch.column(name)[i] if name == "timestamp" else batch.column(name)[i].as_py()
            for name in names
        }
        for i in range(batch.num_rows)
    ]


def test_lines_go_to_the_objects_that_they_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = windtunnel("data", "import", INPUT, "--out", out)
    assert result.output.splitlines() == [
        "imported   960 lines of 3 streams",
        "from       2025-01-01T00:00:00.173Z",
        "to         2025-01-01T00:55:57.157Z",
        f"into       {out}: 8 sections in 8 objects",
    ]
    for (location, section), batches in Bucket(out).load().items():
        mine = [each for each in vector_lines() if f"objects/{each['object']}" == location]
        assert section == 0
        assert pa.Table.from_batches(batches) == stored(mine)


@pytest.mark.parametrize("sections", [None, 1, 2, 8])
def test_any_layout_of_the_lines_gives_the_answers_of_the_reference(
    tmp_path: Path, sections: int | None
) -> None:
    words = () if sections is None else ("--sections", sections)
    windtunnel("data", "import", INPUT, "--out", tmp_path / "out", *words)
    bucket = Bucket(tmp_path / "out")
    listed, objects = bucket.sections(), bucket.load()
    assert len(listed) == (sections or 8)
    for case in vector_cases():
        plan = rebind(plan_from_json(case["plan"]), listed)
        assert same_answer(Answer.from_json(case["rows"]), answer(plan, objects)) is None


def test_targets_that_are_bound_anew_are_those_of_the_reference(tmp_path: Path) -> None:
    windtunnel("data", "import", INPUT, "--out", tmp_path / "out")
    sections = Bucket(tmp_path / "out").sections()
    seen = 0
    for case in vector_cases():
        plan = plan_from_json(case["plan"])
        bound = rebind(plan, sections)
        [old], [new] = ([n for n in p if isinstance(n, ScanSet)] for p in (plan, bound))
        for target, mine in zip(old.targets, new.targets, strict=True):
            assert isinstance(target, DataObjScan)
            assert isinstance(mine, DataObjScan)
            assert target.location == mine.location
            if target.stream_ids == mine.stream_ids:  # else the query selects some streams only
                assert target.max_time_range == mine.max_time_range
                seen += 1
        assert plan.ids[old] == bound.ids[new]
    assert seen > 90


def test_a_plan_that_wants_the_oldest_rows_reads_the_oldest_section_first(tmp_path: Path) -> None:
    imported(tmp_path, *(line(n, object=n) for n in (2, 1, 3)))
    for ascending, order in ((True, "123"), (False, "321")):
        plan = Plan()
        plan.add_edge(plan.add(TopK(ascending=ascending)), plan.add(ScanSet()))
        [scan] = rebind(plan, Bucket(tmp_path / "out").sections()).leaves()
        assert isinstance(scan, ScanSet)
        assert "".join(t.location[-1] for t in scan.targets) == order


def bound_to(tmp_path: Path, *scans: DataObjScan, lone: bool = False) -> tuple[Plan, Plan]:
    """A plan over these scans, and what it is in a bucket of two streams in two sections."""
    lines = [line(n, object=n, stream_id=n, labels={"app": f"a{n}"}) for n in (1, 2)]
    imported(tmp_path, *lines)
    plan, top = Plan(), Limit(fetch=9)
    plan.add(top)
    for node in scans if lone else (ScanSet(scans),):
        plan.add_edge(top, plan.add(node))
    return plan, bind(plan, Bucket(tmp_path / "out").sections())


def own(number: int, **fields: Any) -> DataObjScan:
    return DataObjScan(location=f"objects/{number}", **fields)


@pytest.mark.parametrize("ids", [None, (), (1,)])
@pytest.mark.parametrize("lone", [True, False])
def test_a_plan_of_the_bucket_keeps_what_it_says(
    tmp_path: Path, ids: tuple[int, ...] | None, lone: bool
) -> None:
    plan, bound = bound_to(tmp_path, own(1, stream_ids=ids), lone=lone)
    assert bound is plan


@pytest.mark.parametrize(
    "foreign",
    [
        own(7),
        own(1, section=1),
        own(1, stream_ids=(1, 5)),
        own(1, max_time_range=TimeRange(Timestamp(2**60), None)),
        own(1, max_time_range=TimeRange(None, Timestamp(-5))),
    ],
)
def test_a_plan_from_elsewhere_is_bound_anew(tmp_path: Path, foreign: DataObjScan) -> None:
    _, bound = bound_to(tmp_path, foreign)
    [scans] = bound.leaves()
    assert isinstance(scans, ScanSet)
    assert [(each.location, each.stream_ids) for each in scans.targets] == [  # type: ignore[union-attr]
        ("objects/2", (2,)),
        ("objects/1", (1,)),
    ]


@pytest.mark.parametrize("lone", [True, False])
def test_a_plan_of_which_a_part_is_missing_is_refused_with_that_part(
    tmp_path: Path, lone: bool
) -> None:
    with pytest.raises(PlanError) as refused:
        bound_to(tmp_path, own(2), own(7, section=3), lone=lone)
    assert refused.value.rule == "rebind"
    assert "got section 3 of objects/7, which the bucket does not have" in str(refused.value)
    assert "section 0 of objects/2 is there" in str(refused.value)
    assert "--rebind" in str(refused.value)


def test_a_lone_scan_is_bound_to_all_sections_in_one_task(tmp_path: Path) -> None:
    app, odd = parse_column("label.app"), parse_expression('NEQ(label.app, "a2")')
    _, bound = bound_to(tmp_path, own(7, projections=(app,), predicates=(odd,)), lone=True)
    assert len(partition(bound)) == 1
    assert len(list(bound.leaves())) == 2
    found = answer(bound, Bucket(tmp_path / "out").load())
    assert found.to_json() == [{"utf8.label.app": "a1"}]


def test_a_lone_scan_below_a_parallelize_stays_one_task(tmp_path: Path) -> None:
    imported(tmp_path, *(line(n, object=n) for n in (1, 2, 3)))
    plan = Plan()
    nodes = [plan.add(node) for node in (TopK(k=9), Parallelize(), TopK(k=2), own(9))]
    for parent, child in pairwise(nodes):
        plan.add_edge(parent, child)
    bound = bind(plan, Bucket(tmp_path / "out").sections())
    assert len(partition(bound)) == len(partition(plan)) == 2
    assert len(answer(bound, Bucket(tmp_path / "out").load()).rows) == 2


def test_a_set_of_index_objects_is_not_bound_to_data() -> None:
    plan = Plan()
    plan.add_edge(plan.add(Limit()), plan.add(ScanSet((PointersScan(),))))
    with pytest.raises(PlanError, match="rebind: ScanSet: got index objects as targets"):
        rebind(plan, [])


def test_sections_are_sorted_by_stream_then_newest_first_and_cut_by_time(tmp_path: Path) -> None:
    lines = [line(n, f"m{n}", labels={"app": "ab"[n % 2]}) for n in (5, 2, 4, 1, 3, 6)]
    imported(tmp_path, *lines, words=("--sections", 2))
    assert rows(tmp_path / "out") == [
        ("objects/0", 0, 1, 3, "m3"),
        ("objects/0", 0, 1, 1, "m1"),
        ("objects/0", 0, 2, 2, "m2"),
        ("objects/1", 0, 1, 5, "m5"),
        ("objects/1", 0, 2, 6, "m6"),
        ("objects/1", 0, 2, 4, "m4"),
    ]


def test_runs_that_were_spilled_give_the_same_bucket(tmp_path: Path) -> None:
    lines = [Line(n * 7 % 100, f"m{n}", metadata=(("n", str(n)),)) for n in range(100)]
    for name, run_rows in (("spilled", 7), ("whole", 1000)):
        with Store(tmp_path / name, sections=3, run_rows=run_rows) as store:
            for each in lines:
                store.add(each)
            store.finish()
    assert Bucket(tmp_path / "spilled").load() == Bucket(tmp_path / "whole").load()


def test_an_object_of_many_rows_has_several_sections(tmp_path: Path) -> None:
    with Store(tmp_path / "out", section_rows=10) as store:
        for n in range(25):
            store.add(Line(n, "x", labels=(("n", str(n % 2)),), object=4))
        stored_ = store.finish()
    assert (stored_.sections, stored_.objects) == (3, 1)
    sections = Bucket(tmp_path / "out").sections()
    assert [(s.location, s.section, s.rows) for s in sections] == [
        ("objects/4", n, count) for n, count in enumerate([8, 8, 9])
    ]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("nonsense", "got no JSON, expected an object"),
        ("[" * 100_000, "got no JSON, expected an object"),
        ("[]", "got list, expected an object"),
        ({"line": "x"}, "got no timestamp, expected one"),
        (line(1, extra=1), "got field 'extra', expected timestamp, line, labels"),
        ({"timestamp": "noon", "line": "x"}, "got 'noon', expected an RFC 3339 time"),
        (line(10**12), "got time 1000000000000000000000, expected one from 1677 to 2262"),
        (line(1, labels={"a b": "x"}), "got 'a b' in labels, expected letters, digits and _"),
        (line(1, labels={"a": 1}), "got 1 as labels.a, expected text"),
        (line(1, labels={f"l{n}": "x" for n in range(65)}), "got 65 labels, expected 64 at most"),
        (line(1, labels={"a": "x" * 2049}), "got 2049 bytes as labels.a, expected 2048 at most"),
        (line(1, object=-1), "got -1 as object, expected 0 to 9999"),
        (line(1, stream_id=True), "got True as stream_id, expected 0 to"),
        (line(1, "\ud800"), "got half a letter in line, expected Unicode"),
        (line(1, "x" * 300_000), "got a longer line, expected 262144 bytes"),
        (line(1, object=1), "got an object, expected none as in those before"),
        (line(1, stream_id=1, labels={"a": "b"}), "got stream_id 1 with other labels, expected"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_others_are_imported(
    tmp_path: Path, bad: Any, message: str
) -> None:
    result = imported(tmp_path, line(1, "first"), "", bad, line(2, "last"))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"windtunnel: {tmp_path}/in.jsonl:3: {message}")
    assert result.stderr.count("\n") == 1
    assert "imported   2 lines of 1 stream\nrefused    1 line\n" in result.stdout
    assert [row[-1] for row in rows(tmp_path / "out")] == ["last", "first"]


def test_strict_stops_at_the_first_bad_line_and_leaves_nothing(tmp_path: Path) -> None:
    result = imported(tmp_path, line(1), "bad", line(2), words=("--strict",))
    assert isinstance(result.exception, InputError)
    assert str(result.exception).endswith("in.jsonl:2: got no JSON, expected an object")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


def test_of_many_bad_lines_the_first_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    result = imported(tmp_path, line(1), *["bad"] * 30)
    said = result.stderr.splitlines()
    assert len(said) == 21
    assert said[-1] == "windtunnel: ... and 10 more lines are refused"


def test_bytes_that_are_no_text_cost_their_line_only(tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"\xef\xbb\xbfone\r\n\xff\xfe\ntwo")
    seen = list(numbered_lines(str(file), Limits()))
    assert [(n, s if isinstance(s, str) else type(s)) for n, s in seen] == [
        (1, "one"),
        (2, BadLine),
        (3, "two"),
    ]


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_bytes(b"a" * 1000 + b"\nshort\n" + b"b" * 11)
    seen = list(numbered_lines(str(file), Limits(line_bytes=10)))
    assert [n if isinstance(s, BadLine) else s for n, s in seen] == [1, "short", 3]


def test_gzip_is_unpacked_and_bounded(tmp_path: Path) -> None:
    file = tmp_path / "in.gz"
    file.write_bytes(gzip.compress(b"a\nb\n" * 1000))
    assert len(list(numbered_lines(str(file), Limits()))) == 2000
    with pytest.raises(InputError, match="got more bytes, expected 3000 at most"):
        list(numbered_lines(str(file), Limits(input_bytes=3000)))


def test_damaged_gzip_is_named_with_the_line_that_was_reached(tmp_path: Path) -> None:
    file = tmp_path / "in.gz"
    file.write_bytes(gzip.compress(b"first\n" * 3)[:-8])
    with pytest.raises(InputError, match=r"in.gz:4: got damaged gzip data \(Compressed file ended"):
        list(numbered_lines(str(file), Limits()))


def test_a_bucket_is_never_written_over(tmp_path: Path) -> None:
    imported(tmp_path, line(1, "old"))
    result = imported(tmp_path, line(1, "new"))
    assert "is there already, expected a new or an empty folder" in str(result.exception)
    assert [row[-1] for row in rows(tmp_path / "out")] == ["old"]


def test_an_input_without_lines_makes_no_bucket(tmp_path: Path) -> None:
    assert "got no lines, expected one at least" in str(imported(tmp_path).exception)
    assert not (tmp_path / "out").exists()
    missing = windtunnel("data", "import", tmp_path / "none", "--out", tmp_path / "out")
    assert "none: cannot be read (No such file or directory)" in str(missing.exception)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match=r"file/out: cannot be written \(Not a directory\)"):
        Store(tmp_path / "file" / "out").__enter__()


def test_more_streams_or_names_than_allowed_are_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "out", limits=Limits(streams=2, names=2)) as store:
        store.add(Line(1, "x", (("a", "1"),)))
        store.add(Line(1, "x", (("a", "2"),)))
        with pytest.raises(BadLine, match="got one more stream, expected 2 at most"):
            store.add(Line(1, "x", (("a", "3"),)))
        with pytest.raises(BadLine, match="got one more name of metadata, expected 2 at most"):
            store.add(Line(1, "x", (("a", "1"),), (("a", "1"), ("b", "1"), ("c", "1"))))
        assert store.finish().rows == 2


def test_logfmt_has_its_time_and_its_labels_among_its_pairs(tmp_path: Path) -> None:
    file = tmp_path / "in.logfmt"
    file.write_text('time=1700000000 app=shop msg="a b"\nmsg=late\n', encoding="utf-8")
    words = ("--label-key", "app", "--label", "env=prod")
    result = windtunnel("data", "import", file, "--out", tmp_path / "out", *words)
    assert "in.logfmt:2: got no time, expected ts or time or timestamp" in result.stderr
    [[batch]] = Bucket(tmp_path / "out").load().values()
    [row] = _rows(batch)
    assert row.pop("timestamp").value == 1_700_000_000 * 10**9
    assert row == {
        "stream_id": 1,
        "message": 'time=1700000000 app=shop msg="a b"',
        "label.app": "shop",
        "label.env": "prod",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-01T00:00:00.25Z", "2025-01-01T00:00:00.25Z"),
        ("1700000000", "2023-11-14T22:13:20Z"),
        ("1700000000123", "2023-11-14T22:13:20.123Z"),
        ("1700000000123456", "2023-11-14T22:13:20.123456Z"),
        ("1700000000123456789", "2023-11-14T22:13:20.123456789Z"),
    ],
)
def test_a_time_is_rfc3339_or_a_number_whose_size_tells_its_unit(text: str, expected: str) -> None:
    assert str(Timestamp(LogfmtReader(Limits()).line(f"ts={text}").ns)) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (None, "at 2025-01-02 03:04:05,678 INFO", "2025-01-02T03:04:05.678Z"),
        (None, "2025-01-02T03:04:05+02:00 x", "2025-01-02T01:04:05Z"),
        ("%d/%b/%Y:%H:%M:%S %z", '"GET" [02/Jan/2025:03:04:05 -0100]', "2025-01-02T04:04:05Z"),
        ("[%s.%f]", "[1700000000.5]", "2023-11-14T22:13:20.5Z"),
        ("%Y%%%m%%%d", "2025%01%02", "2025-01-02T00:00:00Z"),
    ],
)
def test_text_has_its_time_where_the_pattern_finds_it(
    pattern: str | None, text: str, expected: str
) -> None:
    assert str(Timestamp(TextReader(Limits(), pattern=pattern).line(text).ns)) == expected


@pytest.mark.parametrize("text", ["no time", "2025-13-01 00:00:00", "9999-01-01 00:00:00"])
def test_text_without_a_time_is_refused(text: str) -> None:
    with pytest.raises(BadLine, match="got "):
        TextReader(Limits()).line(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--time-pattern", "%H:%M"), "got pattern '%H:%M', expected %s, or %Y, %m or %b, and %d"),
        (("--time-pattern", "%Q"), "got %Q in the pattern, expected each of %Y %m"),
        (("--time-key", "t"), "--time-key is for logfmt, and this is text."),
        (("--label", "app"), "got --label app, expected NAME=VALUE."),
        (("--label", "a b=x"), "got 'a b' in labels, expected letters"),
        (("--sections", "0"), "0 is not in the range"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    result = windtunnel("data", "import", "-", "--out", tmp_path / "out", *words, stdin=b"")
    assert result.exit_code == 2
    assert message in result.stderr


def test_lines_may_come_from_the_standard_input(tmp_path: Path) -> None:
    words = ("--out", tmp_path / "out", "--format", "jsonl")
    result = windtunnel("data", "import", "-", *words, stdin=json.dumps(line(1)).encode())
    assert result.exit_code == 0
    assert len(rows(tmp_path / "out")) == 1


def test_labels_without_a_value_are_no_labels() -> None:
    read = json_line(json.dumps(line(1, labels={"a": "", "b": "x"})), Limits())
    assert read.labels == (("b", "x"),)


def test_made_lines_are_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        words = ("--rows", 500, "--seed", seed, "--sections", 3, "--out", tmp_path / name)
        assert windtunnel("data", "make", *words).exit_code == 0
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name / "objects").iterdir()}
        for name in "abc"
    ]
    assert sorted(contents[0]) == ["0.parquet", "1.parquet", "2.parquet"]
    assert contents[0] == contents[1] != contents[2]


def test_made_lines_have_the_trouble_of_real_ones(tmp_path: Path) -> None:
    windtunnel("data", "make", "--rows", 2000, "--seed", 1, "--out", tmp_path / "out")
    found: dict[str, int] = {}
    bucket = Bucket(tmp_path / "out")
    plan = rebind(plan_from_json(vector_cases()[13]["plan"]), bucket.sections())
    for row in answer(plan, bucket.load()).rows:
        for name in row:
            found[name] = found.get(name, 0) + 1
    for name in ("utf8.metadata.trace_id", "utf8.parsed.pod_extracted", "utf8.parsed.level"):
        assert found[name] > 10, name


def test_no_layout_of_made_lines_changes_an_answer(tmp_path: Path) -> None:
    buckets = []
    for sections in (1, 5):
        place = tmp_path / str(sections)
        windtunnel("data", "make", "--rows", 500, "--sections", sections, "--out", place)
        buckets.append(Bucket(place))
    text = INPUT.with_name("logql.jsonl").read_text(encoding="utf-8")
    rows_seen = 0
    for case in list(map(json.loads, text.splitlines()))[:11]:
        plan = plan_from_json(case["plan"])
        one, five = (answer(rebind(plan, each.sections()), each.load()) for each in buckets)
        assert same_answer(one, five) is None, case["query"]
        rows_seen += len(one.rows)
    assert rows_seen > 1000
