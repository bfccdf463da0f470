"""Which clock times a stream without a gyro, and that times go there and back unharmed."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.sync.clock import ClockMapping
from harchive_dagster.sync.stream_clock import DEVICE, SHARED, claimed_offset_ns, stream_clock

STARTED_AT = datetime(2026, 3, 2, 9, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
STARTED_NS = 1_772_424_000_000_000_000
DAY_NS = 86_400_000_000_000

session_times = st.lists(st.integers(0, DAY_NS), min_size=1, max_size=20).map(sorted).map(np.array)


def make_mapping(offset_ns: int = -5_000_000_000, drift_ppm: float = 40.0) -> ClockMapping:
    return ClockMapping(
        offset_ns=offset_ns,
        drift_ppm=drift_ppm,
        camera_from_sensor=(1.0, 0.0, 0.0, 0.0),
        gyro_bias_rad_s=np.zeros(3),
    )


def test_an_aligned_gyro_on_the_same_clock_comes_before_everything_the_device_claims():
    clock = stream_clock(STARTED_NS, [make_mapping(offset_ns=7), make_mapping(offset_ns=8)], STARTED_AT)
    assert (clock.source, clock.mapping.offset_ns) == (SHARED, 7)


@pytest.mark.parametrize(
    ("device_ns", "session_ns"),
    [
        (STARTED_NS, 0),
        (STARTED_NS + 1, 1),
        (STARTED_NS - 250, -250),
        (0, 0),
        (12_000_000_001, 12_000_000_001),
        (-4, -4),
        (30 * 365 * DAY_NS, 30 * 365 * DAY_NS),
    ],
)
def test_device_time_alone_is_taken_at_its_word(device_ns, session_ns):
    clock = stream_clock(device_ns, [], STARTED_AT)
    assert clock.source == DEVICE
    assert clock.to_session_ns(np.array([device_ns])).tolist() == [session_ns]


@pytest.mark.parametrize("first_ns", [STARTED_NS, STARTED_NS - 4 * 10**9, STARTED_NS - 400 * DAY_NS])
def test_a_clock_that_counts_utc_is_expected_where_the_wall_clocks_say(first_ns):
    assert claimed_offset_ns(first_ns, STARTED_AT + timedelta(milliseconds=250)) == -STARTED_NS - 250_000_000


@pytest.mark.parametrize("first_ns", [0, -5 * 10**9, 10**17, 946_684_800 * 10**9])
def test_a_clock_that_counts_from_elsewhere_or_was_never_set_is_not_expected_anywhere(first_ns):
    assert claimed_offset_ns(first_ns, STARTED_AT) is None


@pytest.mark.parametrize(("device_ns", "session_ns"), [(STARTED_NS, -8_250_000), (0, -8_250_000)])
def test_a_claim_is_moved_to_when_the_middle_row_is_exposed(device_ns, session_ns):
    clock = stream_clock(device_ns, [], STARTED_AT, readout_ms=16.5)
    assert clock.to_session_ns(np.array([device_ns])).tolist() == [session_ns]


def test_a_measured_clock_has_the_middle_row_already():
    assert stream_clock(0, [make_mapping(offset_ns=7)], STARTED_AT, readout_ms=16.5).mapping.offset_ns == 7


@given(session_times, st.dates(date(2001, 1, 1), date(2100, 1, 1)), st.times())
def test_utc_device_time_is_exact_to_the_nanosecond(session_ns, day, at):
    started_at = datetime.combine(day, at, tzinfo=UTC)
    # By the calendar and not by the module's own arithmetic.
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    since_midnight_s = at.hour * 3600 + at.minute * 60 + at.second
    device_ns = session_ns + (days * 86_400 + since_midnight_s) * 1_000_000_000 + at.microsecond * 1000
    clock = stream_clock(int(device_ns[0]), [], started_at)
    np.testing.assert_array_equal(clock.to_session_ns(device_ns), session_ns)


@given(session_times, st.integers(-(10**18), 10**18), st.floats(-500, 500))
def test_a_shared_clock_goes_there_and_back(session_ns, offset_ns, drift_ppm):
    mapping = make_mapping(offset_ns, drift_ppm)
    device_ns = mapping.to_device_ns(session_ns)
    back_ns = stream_clock(int(device_ns[0]), [mapping], STARTED_AT).to_session_ns(device_ns)
    # A float64 of 1e18 ns times 500 ppm resolves 0.1 ns; rounding twice may cost a nanosecond each.
    assert np.abs(back_ns - session_ns).max() <= 2


@given(session_times, st.sampled_from([0, STARTED_NS]))
def test_no_clock_changes_the_order_of_samples(session_ns, zero_ns):
    clock = stream_clock(int(session_ns[0]) + zero_ns, [], STARTED_AT)
    assert (np.diff(clock.to_session_ns(session_ns + zero_ns)) == np.diff(session_ns)).all()
