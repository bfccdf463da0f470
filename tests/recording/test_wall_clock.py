from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.recording.wall_clock import counts_from_1970, utc_moment, utc_ns

INDIA = timezone(timedelta(hours=5, minutes=30))


@given(st.integers(0, 7 * 10**15), st.sampled_from([UTC, INDIA]))
def test_a_moment_comes_back_from_its_nanoseconds(since_1970_us, zone):
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_1970_us)).astimezone(zone)
    assert utc_ns(moment) == since_1970_us * 1000
    assert utc_moment(utc_ns(moment)) == utc_moment(utc_ns(moment) + 999) == moment


@pytest.mark.parametrize(
    ("year", "is_utc"), [(1970, False), (1980, False), (2000, False), (2001, True), (2026, True), (2100, True)]
)
def test_clocks_that_count_from_their_start_or_were_never_set_are_not_taken_for_utc(year, is_utc):
    assert counts_from_1970(utc_ns(datetime(year, 1, 1, tzinfo=UTC))) is is_utc
