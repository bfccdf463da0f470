import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.reasons import Reason
from harchive_dagster.sync.clock import ClockMapping, PiecewiseClock, refusal

EPOCHS_NS = st.integers(-(10**12), 2 * 10**18)  # from clocks that count from power-on to clocks that count from 1970


@given(
    st.lists(EPOCHS_NS, min_size=1, max_size=20),
    st.integers(-2 * 10**18, 2 * 10**18),
    st.floats(-500, 500),
)
def test_mapping_there_and_back_returns_within_two_nanoseconds(make_alignment, times_ns, offset_ns, drift_ppm):
    alignment = make_alignment(offset_ns=offset_ns, drift_ppm=drift_ppm)
    t_ns = np.array(times_ns, dtype=np.int64)
    assert np.abs(alignment.to_device_ns(alignment.to_session_ns(t_ns)) - t_ns).max() <= 2


@given(st.integers(0, 10**15), st.integers(1, 10**12), st.floats(-500, 500))
def test_mapping_keeps_the_order_of_instants(make_alignment, start_ns, step_ns, drift_ppm):
    alignment = make_alignment(drift_ppm=drift_ppm)
    mapped = alignment.to_session_ns(np.array([start_ns, start_ns + max(step_ns, 3)], dtype=np.int64))
    assert mapped[0] < mapped[1]


def test_the_mapping_is_the_documented_one(make_alignment):
    alignment = make_alignment(offset_ns=250_000_000, drift_ppm=40.0)
    device_ns = np.array([0, 10_000_000_000], dtype=np.int64)
    assert alignment.to_session_ns(device_ns).tolist() == [250_000_000, 10_250_400_000]


def test_nanoseconds_survive_a_clock_that_counts_from_1970(make_alignment):
    alignment = make_alignment(offset_ns=-1_700_000_000_000_000_000)
    device_ns = 1_700_000_000_000_000_000 + np.arange(5, dtype=np.int64)
    assert alignment.to_session_ns(device_ns).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("is_accepted", "reason"), [(True, Reason.SYNC_UNKNOWN), (False, None)])
def test_a_refusal_has_a_reason_and_an_acceptance_has_none(make_alignment, is_accepted, reason):
    with pytest.raises(ValueError, match="exactly when"):
        make_alignment(is_accepted=is_accepted, reason=reason)


def test_a_refusal_names_the_stream_and_carries_its_reason_and_evidence(make_alignment):
    error = refusal(
        make_alignment(is_accepted=False, reason=Reason.SYNC_UNKNOWN, detail="stream 'head_imu': too little motion.")
    )
    assert error.reason is Reason.SYNC_UNKNOWN
    assert "head_imu" in str(error)
    assert error.evidence["window_count"] == 5


def test_an_accepted_alignment_is_no_refusal(make_alignment):
    with pytest.raises(ValueError, match="no refusal"):
        refusal(make_alignment())


S = 1_000_000_000


def make_piece(device_start_s, device_end_s, offset_s):
    return ClockMapping(
        offset_ns=round(offset_s * S),
        drift_ppm=0.0,
        camera_from_sensor=(1.0, 0.0, 0.0, 0.0),
        gyro_bias_rad_s=np.zeros(3),
        device_start_ns=device_start_s * S,
        device_end_ns=device_end_s * S,
    )


LOST_TWO_SECONDS = PiecewiseClock((make_piece(0, 10, 0.0), make_piece(10, 30, 2.0)))
PAUSED_THREE_SECONDS = PiecewiseClock((make_piece(0, 10, 0.0), make_piece(13, 30, -3.0)))


@pytest.mark.parametrize(
    ("clock", "device_s", "session_s"),
    [(LOST_TWO_SECONDS, [9, 10, 15], [9, 12, 17]), (PAUSED_THREE_SECONDS, [9, 13, 15], [9, 10, 12])],
)
def test_each_piece_maps_its_own_times_there_and_back(clock, device_s, session_s):
    device_ns, session_ns = np.array(device_s) * S, np.array(session_s) * S
    assert clock.to_session_ns(device_ns).tolist() == session_ns.tolist()
    assert clock.to_device_ns(session_ns).tolist() == device_ns.tolist()


@pytest.mark.parametrize(
    ("clock", "start_s", "end_s", "is_broken"),
    [
        (LOST_TWO_SECONDS, 8.0, 9.0, False),
        (LOST_TWO_SECONDS, 9.5, 10.5, True),
        (LOST_TWO_SECONDS, 10.5, 11.5, True),
        (LOST_TWO_SECONDS, 11.5, 12.5, True),
        (LOST_TWO_SECONDS, 12.0, 13.0, False),
        (PAUSED_THREE_SECONDS, 9.0, 10.0, False),
        (PAUSED_THREE_SECONDS, 9.9, 10.1, True),
        (PAUSED_THREE_SECONDS, 10.0, 11.0, False),
        (PAUSED_THREE_SECONDS, -1.0, 0.5, True),
        (PAUSED_THREE_SECONDS, 26.5, 27.5, True),
    ],
)
def test_time_that_belongs_to_no_piece_or_to_two_is_broken(clock, start_s, end_s, is_broken):
    ends_ns = (np.array([round(t_s * S)]) for t_s in (start_s, end_s))
    assert clock.is_broken(*ends_ns).tolist() == [is_broken]


def test_the_mount_is_that_of_the_longest_piece():
    assert LOST_TWO_SECONDS.longest is LOST_TWO_SECONDS.pieces[1]
