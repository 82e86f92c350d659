"""Data objects in Parquet files, sound ones and others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored import stored

from workflow.objects import Bucket, DataError, storage_schema
from workflow.times import TimeRange, Timestamp

LINES: list[dict[str, Any]] = [
    {"timestamp": 5, "stream_id": 2, "line": "b", "labels": {"app": "y"}},
    {"timestamp": 1, "stream_id": 1, "line": "a", "metadata": {"id": "7"}},
    {"timestamp": 3, "stream_id": 1, "line": "c"},
]


def write(folder: Path, name: str, *tables: pa.Table, **settings: Any) -> Path:
    """A file with a section for each table."""
    path = folder / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, tables[0].schema, **settings) as writer:
        for table in tables:
            writer.write_table(table)
    return path


def everything(bucket: Bucket, **settings: Any) -> list[pa.RecordBatch]:
    """All batches of a bucket."""
    return [
        batch
        for each in bucket.sections()
        for batch in bucket.read(each.location, each.section, **settings)
    ]


def test_sections_are_listed_with_their_streams_and_exact_ranges(tmp_path: Path) -> None:
    table = stored(LINES)
    write(tmp_path, "objects/10", table)
    write(tmp_path, "objects/9", table.slice(0, 2), table.slice(2, 0), table.slice(2))
    (tmp_path / "notes.txt").write_text("not ours", encoding="utf-8")
    write(tmp_path, "_temporary", table)
    seen = [
        (each.location, each.section, each.rows, each.stream_ids, each.time_range)
        for each in Bucket(tmp_path).sections()
    ]

    def between(first: int, last: int) -> TimeRange:
        return TimeRange(Timestamp(first * 10**9), Timestamp(last * 10**9))

    assert seen == [
        ("objects/9", 0, 2, (1,), between(1, 3)),
        ("objects/9", 2, 1, (2,), between(5, 5)),
        ("objects/10", 0, 3, (1, 2), between(1, 5)),
    ]


def test_a_range_is_read_from_the_rows_where_the_file_has_no_statistics(tmp_path: Path) -> None:
    write(tmp_path, "a", stored(LINES), write_statistics=False)
    [section] = Bucket(tmp_path).sections()
    assert section.time_range == TimeRange(Timestamp(10**9), Timestamp(5 * 10**9))


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_a_section_is_read_in_batches_as_it_was_stored(tmp_path: Path, batch_rows: int) -> None:
    table = stored(LINES)
    write(tmp_path, "a", table)
    batches = everything(Bucket(tmp_path), batch_rows=batch_rows)
    assert max(batch.num_rows for batch in batches) <= batch_rows
    assert pa.Table.from_batches(batches) == table


def test_columns_may_be_chosen_and_the_order_is_checked_all_the_same(tmp_path: Path) -> None:
    table = stored(LINES)
    write(tmp_path, "a", table)
    batches = everything(Bucket(tmp_path), columns=lambda name: name == "label.app")
    chosen = ["stream_id", "timestamp", "label.app"]
    assert pa.Table.from_batches(batches) == table.select(chosen)
    write(tmp_path, "a", table.take([1, 0, 2]))
    with pytest.raises(DataError, match="the newest row of a stream first"):
        everything(Bucket(tmp_path), columns=lambda _: False)


def test_a_scan_gets_a_section_as_it_asks_for_more(tmp_path: Path) -> None:
    table = stored(LINES)
    write(tmp_path, "a", table)
    batches = Bucket(tmp_path).batches("a", 0, 2)
    assert next(batches).num_rows == 2
    (tmp_path / "a.parquet").unlink()  # what is open stays readable
    assert sum(batch.num_rows for batch in batches) == table.num_rows - 2
    with pytest.raises(DataError, match="no such file"):
        next(Bucket(tmp_path).batches("a", 0, 2))


def test_a_bucket_may_be_a_url(tmp_path: Path) -> None:
    write(tmp_path, "a", stored(LINES))
    assert Bucket(tmp_path.as_uri()).load() == Bucket(tmp_path).load()


def test_the_storage_form_has_its_columns_sorted() -> None:
    assert storage_schema(["b", "a"], ["z"]).names[3:] == ["label.a", "label.b", "metadata.z"]


def refused(bucket: Path) -> str:
    """What is said of a bucket whose only file is `a`, without its folder."""
    with pytest.raises(DataError) as error:
        everything(Bucket(bucket))
    text = str(error.value)
    assert text.startswith(str(bucket))
    assert "\n" not in text
    return text.removeprefix(f"{bucket}/a.parquet: ")


def changed(name: str, values: pa.Array) -> pa.Table:
    """The rows with another column of that name."""
    table = stored(LINES)
    if name not in table.column_names:
        return table.append_column(name, values)
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (stored(LINES).drop(["message"]), "column message: got 0 of it, expected one, as string"),
        (changed("stream_id", pa.array([1, 1, 2], pa.int32())), "column stream_id: got int32, exp"),
        (
            changed("timestamp", pa.array([3, 1, 5], pa.timestamp("us", "UTC"))),
            "column timestamp: got timestamp[us, tz=UTC], expected timestamp[ns, tz=UTC]",
        ),
        (changed("label.app", pa.array([1, 2, 3])), "column label.app: got int64, expected string"),
        (
            changed("level", pa.array(["x"] * 3)),
            "column level: got a column of that name, expected",
        ),
        (changed("label.", pa.array(["x"] * 3)), "column label.: got a column of that name"),
        (
            changed("message", pa.array(["x", None, "y"])),
            "column message: got null in row 1, expected a value",
        ),
        (
            changed("stream_id", pa.array([2, 1, 1], pa.int64())),
            "column stream_id: got 1 after 2 in row 1, expected ascending streams",
        ),
        (
            changed("timestamp", pa.array([3, 4, 5], pa.timestamp("ns", "UTC"))),
            "column timestamp: got 4 after 3 in row 1, expected the newest row of a stream first",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, table: pa.Table, message: str) -> None:
    write(tmp_path, "a", table)
    assert refused(tmp_path).startswith(message)


def test_a_wrong_order_is_seen_across_batches_too(tmp_path: Path) -> None:
    write(tmp_path, "a", changed("stream_id", pa.array([1, 2, 1], pa.int64())))
    with pytest.raises(DataError, match="got 1 after 2 in row 2, expected ascending"):
        everything(Bucket(tmp_path), batch_rows=2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "got Parquet file size is 0 bytes, expected a Parquet file"),
        (lambda _: b"timestamp,message\n", "got Parquet magic bytes not found in footer"),
        (lambda raw: raw[: len(raw) // 2], "got Parquet magic bytes not found in footer"),
        (
            lambda raw: raw[:40] + b"\xff" * 9 + raw[49:],
            "column stream_id: got damage in section 0 (",
        ),
    ],
    ids=["empty", "text", "cut off", "overwritten"],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = write(tmp_path, "a", stored(LINES), write_page_checksum=True)
    path.write_bytes(damage(path.read_bytes()))
    assert refused(tmp_path).startswith(message)


def test_a_row_outside_of_the_range_that_its_section_claims_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a", stored(LINES))
    raw = path.read_bytes()
    at = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")  # where the statistics are
    latest, earlier = (second * 10**9 for second in (5, 4))
    claims = raw[at:].replace(latest.to_bytes(8, "little"), earlier.to_bytes(8, "little"))
    path.write_bytes(raw[:at] + claims)
    assert refused(tmp_path) == (
        "column timestamp: got 1970-01-01T00:00:05Z in row 2, expected"
        " 1970-01-01T00:00:01Z to 1970-01-01T00:00:04Z as its section claims"
    )


def test_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"\xff\xfe", b"c"], pa.binary()).cast(pa.string(), safe=False)
    write(tmp_path, "a", changed("message", raw))
    assert refused(tmp_path) == (
        "column message: got Invalid UTF8 sequence at string index 1, expected text in UTF-8"
    )


def test_a_place_that_is_no_bucket_is_refused(tmp_path: Path) -> None:
    for place in (str(tmp_path / "none"), "file:///nowhere/at/all", "nonsense://x"):
        with pytest.raises(DataError) as error:
            Bucket(place).sections()
        assert str(error.value).startswith(f"{place}: got ")


@pytest.mark.parametrize("location", ["../a", "/a", "", "x/../../a"])
def test_a_location_outside_of_the_bucket_is_refused(tmp_path: Path, location: str) -> None:
    write(tmp_path, "a", stored(LINES))
    with pytest.raises(DataError, match="expected one inside of the bucket"):
        list(Bucket(tmp_path / "inner").read(location, 0))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a", stored(LINES))
    with pytest.raises(DataError, match="got no section 1, expected 0 to 0"):
        list(Bucket(tmp_path).read("a", 1))
    with pytest.raises(DataError, match="got no such file"):
        list(Bucket(tmp_path).read("b", 0))
