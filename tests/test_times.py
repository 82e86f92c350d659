"""Instants, spans and ranges: what they print, what they read, and the laws that they obey."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import instants, ranges, spans

from workflow import TimeRange, Timestamp
from workflow.times import (
    UNSET_TEXT,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
)

HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2025-01-01T01:00:00.25+01:00", 1735689600_250000000),
        ("2024-12-31T18:30:00.25-05:30", 1735689600_250000000),
        ("2024-02-29T12:00:00Z", 1709208000 * 10**9),
        ("0001-01-01T00:00:00.000000001Z", -62135596800 * 10**9 + 1),
        ("9999-12-31T23:59:59.999999999Z", 253402300800 * 10**9 - 1),
        # Outside of the calendar in UTC, inside of it in its own zone.
        ("0001-01-01T00:00:00+01:00", (-62135596800 - 3600) * 10**9),
        ("9999-12-31T23:59:59-23:59", (253402300799 + 23 * 3600 + 59 * 60) * 10**9),
    ],
)
def test_an_instant_is_read_to_the_nanosecond_and_printed_in_its_own_zone(
    text: str, ns: int
) -> None:
    instant = Timestamp.parse(text)
    assert instant.ns == ns
    assert str(instant) == text


def test_a_fraction_loses_its_trailing_zeros() -> None:
    assert str(Timestamp.parse("2025-01-01T00:00:00.500Z")) == "2025-01-01T00:00:00.5Z"
    assert str(Timestamp.parse("2025-01-01T00:00:00.000Z")) == "2025-01-01T00:00:00Z"
    assert str(Timestamp.parse("2025-01-01T00:00:00-00:00")) == "2025-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-01-01",
        "2025-01-01T00:00:00",
        "2025-01-01 00:00:00Z",
        "2025-01-01t00:00:00z",
        "25-01-01T00:00:00Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00.1234567890Z",
        "2025-01-01T00:00:00,5Z",
        "2025-01-01T00:00:00+0100",
        "2025-01-01T00:00:00+01:60",
        "2025-01-01T00:00:00+24:00",
        "2025-01-01T00:00:00Z\n",
        "٢٠٢٥-01-01T00:00:00Z",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an RFC 3339 time") as refused:
        Timestamp.parse(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2025-02-29T00:00:00Z", "day"),
        ("2025-13-01T00:00:00Z", "month"),
        ("2025-00-01T00:00:00Z", "month"),
        ("2025-01-01T24:00:00Z", "hour"),
        ("2016-12-31T23:59:60Z", "second"),  # a leap second, which Go refuses too
        ("0000-01-01T00:00:00Z", "year"),
    ],
)
def test_a_date_that_does_not_exist_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"expected a date that exists: .*{why}"):
        Timestamp.parse(text)


@given(instants())
def test_an_instant_reads_back_with_its_zone(instant: Timestamp) -> None:
    twin = Timestamp.parse(str(instant))
    assert (twin.ns, twin.offset_minutes) == (instant.ns, instant.offset_minutes)
    assert parse_instant(format_instant(instant)) == instant


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001
def test_an_instant_prints_the_time_that_the_calendar_says(when: datetime) -> None:
    micros = (when.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )
    text = str(Timestamp(micros * 1000))
    assert datetime.fromisoformat(text) == when.replace(tzinfo=UTC)


@given(instants(), instants())
def test_instants_are_equal_and_ordered_by_when_they_are_whatever_their_zone(
    one: Timestamp, other: Timestamp
) -> None:
    assert (one == other) == (one.ns == other.ns)
    assert (one < other) == (one.ns < other.ns)
    assert Timestamp(one.ns, 60) == one
    assert hash(Timestamp(one.ns, 60)) == hash(one)


def test_the_first_second_of_year_1_is_how_unset_prints_and_reads() -> None:
    assert format_instant(None) == UNSET_TEXT == "0001-01-01T00:00:00Z"
    assert parse_instant(UNSET_TEXT) is None
    assert parse_instant("0001-01-01T00:00:00.000Z") is None
    assert parse_instant("0001-01-01T01:00:00+01:00") is None
    assert parse_instant("0001-01-01T00:00:00+01:00") is not None
    assert str(TimeRange()) == f"start={UNSET_TEXT} end={UNSET_TEXT}"


# What Go's time.Duration prints.
DURATIONS = {
    0: "0s",
    1: "1ns",
    -1: "-1ns",
    1_100: "1.1µs",
    999_999: "999.999µs",
    2_200_000: "2.2ms",
    250_000_000: "250ms",
    999_999_999: "999.999999ms",
    10**9: "1s",
    1_500_000_000: "1.5s",
    3_300_000_000: "3.3s",
    60 * 10**9: "1m0s",
    4 * 60 * 10**9 + 5 * 10**9 + 1_000_000: "4m5.001s",
    -90 * 10**9: "-1m30s",
    HOUR: "1h0m0s",
    HOUR + 30 * 60 * 10**9: "1h30m0s",
    100 * HOUR + 1: "100h0m0.000000001s",
    2**63 - 1: "2562047h47m16.854775807s",
    -(2**63): "-2562047h47m16.854775808s",
}


@pytest.mark.parametrize("ns", DURATIONS)
def test_a_span_prints_as_go_prints_it_and_reads_back(ns: int) -> None:
    assert format_duration(ns) == DURATIONS[ns]
    assert parse_duration(DURATIONS[ns]) == ns


@given(spans)
def test_a_span_reads_back(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns


def test_spans_are_read_in_the_ways_that_people_write_them() -> None:
    assert parse_duration("1h") == HOUR
    assert parse_duration("90m") == 90 * 60 * 10**9
    assert parse_duration("1h5s") == HOUR + 5 * 10**9
    assert parse_duration("3us") == parse_duration("3µs") == 3_000


@pytest.mark.parametrize(
    "text",
    ["", "-", "s", "5", "1.5", ".5s", "1s1m", "1m1h", "--1s", "1 s", "1d", "1.5h", "s1", "1S"],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as") as refused:
        parse_duration(text)
    assert repr(text) in str(refused.value)


def at(start: int | None, end: int | None) -> TimeRange:
    return TimeRange(
        None if start is None else Timestamp(start), None if end is None else Timestamp(end)
    )


@given(ranges, ranges, ranges)
def test_merging_ranges_needs_no_order(a: TimeRange, b: TimeRange, c: TimeRange) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(a) == a
    assert a.merge(TimeRange()) == TimeRange().merge(a) == a
    assert a.merge(b).is_zero == (a.is_zero and b.is_zero)


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        (at(10, 50), at(20, 60), at(10, 60)),
        (at(10, None), at(20, 60), at(10, 60)),
        (at(None, 50), at(20, 60), at(20, 60)),
        (at(None, 50), at(20, None), at(20, 50)),
        (at(0, 0), at(None, None), at(0, 0)),  # the epoch is an instant like any other
        (at(-5, 0), at(0, 5), at(-5, 5)),
    ],
)
def test_ranges_merge_bound_by_bound(one: TimeRange, other: TimeRange, merged: TimeRange) -> None:
    assert one.merge(other) == merged


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (at(1, 2), at(2, 3), True),  # both ends inclusive
        (at(1, 2), at(3, 4), False),
        (at(1, 9), at(3, 4), True),
        (at(None, 2), at(1, 1), True),
        (at(None, 2), at(3, 3), False),
        (at(5, None), at(9, 9), False),  # an unset end is year 1, as it prints
        (at(-9, None), at(-5, -5), False),  # before the epoch too
        (at(None, -5), at(-9, -7), True),
        (at(None, None), at(None, None), True),
    ],
)
def test_ranges_overlap_if_they_share_an_instant(
    one: TimeRange, other: TimeRange, overlap: bool
) -> None:
    assert one.overlaps(other) == other.overlaps(one) == overlap


small = st.integers(-3, 3)


@given(st.tuples(small, small).map(sorted), st.tuples(small, small).map(sorted))
def test_set_ranges_overlap_as_sets_do(one: list[int], other: list[int]) -> None:
    shared = set(range(one[0], one[1] + 1)) & set(range(other[0], other[1] + 1))
    assert at(*one).overlaps(at(*other)) == bool(shared)
