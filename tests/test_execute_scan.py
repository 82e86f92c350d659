"""A section as it is stored becomes rows with the columns asked for."""

from dataclasses import replace

import pyarrow as pa
import pytest
from executed import Row, rows_of, section

from workflow import Plan, PlanError, Timestamp
from workflow.execute import Execution, ExecutionError, ScanSource
from workflow.expressions import parse_column, parse_expression
from workflow.plan import DataObjScan, ScanSet

LINES = [
    {
        "stream_id": number,
        "timestamp": f"2025-01-01T00:00:0{second}Z",
        "line": f"line {second}",
        "labels": {"app": "shop", "pod": f"p{number}"} if number < 3 else {"app": "bank"},
        "metadata": {"trace": f"t{second}", "pod": "other"} if second == 1 else {},
    }
    for number in (1, 2, 3)
    for second in (1, 2)
]
TIME = "timestamp_ns.builtin.timestamp"
LINE = "utf8.builtin.message"


def scanned(scan: DataObjScan, batch: pa.RecordBatch | None = None) -> list[Row]:
    plan = Plan()
    plan.ids[plan.add(scan)] = 7
    execution = Execution(plan)
    [source] = execution.wants()
    out = execution.push(source, section(LINES) if batch is None else batch)
    assert execution.end(source) == []
    return rows_of(out)


def columns(*texts: str) -> tuple[object, ...]:
    return tuple(parse_column(text) for text in texts)


def test_all_columns_but_the_stream_come_under_their_full_names() -> None:
    rows = scanned(DataObjScan())
    assert len(rows) == 6
    assert rows[1] == {
        TIME: Timestamp.parse("2025-01-01T00:00:01Z").ns,
        LINE: "line 1",
        "utf8.label.app": "shop",
        "utf8.label.pod": "p1",
        "utf8.metadata.trace": "t1",
        "utf8.metadata.pod": "other",
    }


def test_rows_keep_their_order() -> None:
    rows = scanned(DataObjScan())
    assert [row[LINE] for row in rows] == ["line 2", "line 1"] * 3


def test_only_the_listed_streams_are_read() -> None:
    assert {row["utf8.label.app"] for row in scanned(DataObjScan(stream_ids=(3,)))} == {"bank"}
    assert len(scanned(DataObjScan(stream_ids=(1, 3, 9)))) == 4
    assert scanned(DataObjScan(stream_ids=())) == []


def test_projections_choose_columns_and_ambiguous_takes_labels_and_metadata() -> None:
    listed = columns("ambiguous.pod", "label.app", "ambiguous.level")
    rows = scanned(DataObjScan(projections=listed))  # type: ignore[arg-type]
    assert rows[1] == {
        "utf8.label.pod": "p1",
        "utf8.metadata.pod": "other",
        "utf8.label.app": "shop",
    }
    assert rows[4] == {"utf8.label.app": "bank"}


def test_rows_without_any_column_are_rows_all_the_same() -> None:
    plan = Plan()
    plan.add(DataObjScan(projections=columns("label.none")))  # type: ignore[arg-type]
    execution = Execution(plan)
    [source] = execution.wants()
    [batch] = execution.push(source, section(LINES))
    assert (batch.num_rows, batch.num_columns) == (6, 0)


def test_predicates_read_what_projections_leave_out() -> None:
    scan = DataObjScan(
        projections=columns("ambiguous.app"),  # type: ignore[arg-type]
        predicates=(
            parse_expression('MATCH_STR(builtin.message, "2")'),
            parse_expression('EQ(ambiguous.pod, "p2")'),
        ),
    )
    assert scanned(scan) == [{"utf8.label.app": "shop"}]


@pytest.mark.parametrize(
    "scan",
    [
        DataObjScan(),
        DataObjScan(projections=columns("label.app")),  # type: ignore[arg-type]
        DataObjScan(projections=columns("ambiguous.pod", "builtin.message"), stream_ids=(2, 3)),  # type: ignore[arg-type]
        DataObjScan(
            projections=columns("metadata.trace"),  # type: ignore[arg-type]
            predicates=(parse_expression('NOT(EQ(ambiguous.app, "bank"))'),),
        ),
    ],
)
def test_columns_that_a_scan_does_not_read_may_be_left_out(scan: DataObjScan) -> None:
    whole = section(LINES)
    source = ScanSource(scan, 0, scan)
    names = [name for name in whole.schema.names if source.reads(name) or name == "timestamp"]
    assert scanned(scan, whole.select(names)) == scanned(scan)


def test_a_scan_reads_what_it_gives_and_what_its_predicates_and_streams_need() -> None:
    scan = DataObjScan(
        projections=columns("ambiguous.pod"),  # type: ignore[arg-type]
        predicates=(parse_expression('NOT(EQ(label.app, "bank"))'),),
    )
    source = ScanSource(scan, 0, scan)
    assert [name for name in section(LINES).schema.names if source.reads(name)] == [
        "label.app",
        "label.pod",
        "metadata.pod",
    ]
    listed = replace(scan, stream_ids=(1,))
    assert ScanSource(listed, 0, listed).reads("stream_id")


def test_texts_may_be_stored_in_other_forms() -> None:
    stored = pa.RecordBatch.from_pydict(
        {
            "timestamp": pa.array([1], pa.timestamp("us", "UTC")),
            "message": pa.array(["x"], pa.large_string()),
            "label.app": pa.array(["shop"]).dictionary_encode(),
        }
    )
    expected = {TIME: 1000, LINE: "x", "utf8.label.app": "shop"}
    assert scanned(DataObjScan(), stored) == [expected]


def test_of_two_columns_with_one_name_the_first_value_counts() -> None:
    stored = pa.RecordBatch.from_arrays(
        [pa.array([None, "a", None]), pa.array(["b", "c", None])], ["label.app", "label.app"]
    )
    assert scanned(DataObjScan(), stored) == [
        {"utf8.label.app": "b"},
        {"utf8.label.app": "a"},
        {},
    ]


def test_a_column_of_no_known_kind_fails_the_task() -> None:
    stored = pa.RecordBatch.from_pydict({"level": ["info"]})
    with pytest.raises(ExecutionError, match=r"storage-column: node 7 .*got a column 'level'"):
        scanned(DataObjScan(), stored)
    with pytest.raises(ExecutionError, match="got no column stream_id"):
        scanned(DataObjScan(stream_ids=(1,)), pa.RecordBatch.from_pydict({"message": ["x"]}))


def test_streams_known_by_their_number_alone_cannot_be_read() -> None:
    with pytest.raises(PlanError, match="got 3 streams without their ids"):
        scanned(DataObjScan(stream_count=3))


def test_a_scan_set_adds_its_projections_and_predicates_to_each_target() -> None:
    second = parse_expression('MATCH_STR(builtin.message, "2")')
    targets = (
        DataObjScan(location="a", stream_ids=(1,)),
        DataObjScan(location="b", predicates=(parse_expression('EQ(label.pod, "p2")'),)),
    )
    plan = Plan()
    plan.add(
        ScanSet(
            targets=targets,
            projections=columns("label.pod"),  # type: ignore[arg-type]
            predicates=(second,),
        )
    )
    execution = Execution(plan)
    first, other = execution.wants()
    assert isinstance(first, ScanSource)
    assert isinstance(other, ScanSource)
    assert [first.target.location, other.target.location] == ["a", "b"]
    assert len(other.target.predicates) == 2
    out = execution.push(other, section(LINES)) + execution.push(first, section(LINES))
    assert rows_of(out) == [{"utf8.label.pod": "p2"}, {"utf8.label.pod": "p1"}]


def test_two_targets_that_are_one_object_are_two_sources() -> None:
    target = DataObjScan(location="a")
    plan = Plan()
    plan.add(ScanSet(targets=(target, target)))
    assert len(Execution(plan).wants()) == 2
