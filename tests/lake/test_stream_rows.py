"""Streams as rows: one per sample and joint, in session time, nothing outside the recording, no NaN."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.lake import schemas
from harchive_dagster.lake.stream_rows import TABLE_OF, stream_rows
from harchive_dagster.recording.depth import DepthStream
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream
from harchive_dagster.sync.clock import EVER_NS, ClockMapping, PiecewiseClock
from harchive_dagster.sync.stream_clock import SHARED, StreamClock, stream_clock
from harchive_dagster.worker_day import WorkerDay

DAY = WorkerDay(date(2026, 3, 2), "worker-01")
STARTED_AT = datetime(2026, 3, 2, 4, tzinfo=UTC)
STARTED_NS = 1_772_424_000_000_000_000
TIMES_NS = np.array([-10, 0, 10, 20, 30])


def make_pose(**overrides):
    joints = ("wrist", "index_tip")
    position_m = np.arange(30.0).reshape(5, 2, 3)
    position_m[2, 1] = np.nan
    orientation = np.tile([0.0, 0.0, 1.0, 0.0], (5, 2, 1))
    arrays = {"position_m": position_m, "orientation_wxyz": orientation, "confidence": np.full((5, 2), 0.5)}
    fixed = {"stream_id": "hand", "placement": "left_hand", "t_device_ns": TIMES_NS, "joints": joints}
    return PoseStream(**fixed | arrays | overrides)


def make_tactile(**overrides):
    fixed = {"stream_id": "touch", "placement": "left_hand", "t_device_ns": TIMES_NS, "unit": "N"}
    return TactileStream(**fixed | {"values": np.arange(30).reshape(5, 2, 3)} | overrides)


def make_piece(offset_ns, *, start_ns=-EVER_NS, end_ns=EVER_NS):
    neutral = {"drift_ppm": 0.0, "camera_from_sensor": (1.0, 0.0, 0.0, 0.0), "gyro_bias_rad_s": np.zeros(3)}
    return ClockMapping(offset_ns=offset_ns, device_start_ns=start_ns, device_end_ns=end_ns, **neutral)


def make_depth(**overrides):
    figures = {name: np.array([1.0, 2.0, np.nan, 4.0, 5.0]) for name in ("min_m", "median_m", "max_m")}
    fixed = {"stream_id": "depth", "placement": "head", "t_device_ns": TIMES_NS, "width_px": 64, "height_px": 48}
    return DepthStream(**fixed | figures | {"valid_fraction": np.full(5, 0.25)} | overrides)


def make_imu(**overrides):
    vectors = {"accel_m_s2": np.arange(15.0).reshape(5, 3), "gyro_rad_s": np.arange(15.0).reshape(5, 3) / 10}
    return ImuStream(**{"stream_id": "cap", "placement": "head", "t_device_ns": TIMES_NS} | vectors | overrides)


def rows_of(stream, duration_ns=30, clock=None):
    clock = clock or stream_clock(int(stream.t_device_ns[0]), [], STARTED_AT)
    table, outside = stream_rows(DAY, "s-one", stream, clock, duration_ns)
    return TABLE_OF[type(stream)].conform(table).to_pylist(), outside


def test_a_pose_has_a_row_per_sample_and_joint():
    rows, outside = rows_of(make_pose())
    assert outside == 2
    assert [(row["t_ns"], row["joint"]) for row in rows] == [
        (t_ns, joint) for t_ns in (0, 10, 20) for joint in ("index_tip", "wrist")
    ]
    assert [rows[1][name] for name in ("x_m", "y_m", "z_m")] == [6, 7, 8]
    assert [rows[0][name] for name in ("qw", "qx", "qy", "qz", "confidence")] == [0, 0, 1, 0, 0.5]
    assert {(row["session_id"], row["stream_id"], row["placement"], row["clock"]) for row in rows} == {
        ("s-one", "hand", "left_hand", "device")
    }


def test_native_samples_keep_their_own_axes():
    rows, outside = rows_of(make_imu())
    assert (len(rows), outside) == (3, 2)
    assert [rows[0][f"accel_{axis}_m_s2"] for axis in "xyz"] == [3, 4, 5]
    assert [rows[0][f"gyro_{axis}_rad_s"] for axis in "xyz"] == pytest.approx([0.3, 0.4, 0.5])
    assert {row["mag_x_ut"] for row in rows} == {None}
    with_field, _ = rows_of(make_imu(mag_ut=np.full((5, 3), 40.0)))
    assert {row["mag_z_ut"] for row in with_field} == {40.0}


def test_samples_that_no_piece_of_a_clock_holds_for_are_left_out():
    # Twenty steps of device time pass unseen between the pieces, and one sample lies there.
    pieces = (make_piece(0, end_ns=5), make_piece(-20, start_ns=30))
    rows, outside = rows_of(
        make_imu(t_device_ns=np.array([0, 4, 12, 30, 40])), 30, StreamClock(SHARED, PiecewiseClock(pieces))
    )
    assert [row["t_ns"] for row in rows] == [0, 4, 10, 20]
    assert outside == 1


def test_samples_of_a_clock_that_was_set_back_never_overtake_each_other():
    pieces = (make_piece(0, end_ns=20), make_piece(-8, start_ns=20))
    rows, outside = rows_of(
        make_imu(t_device_ns=np.array([5, 15, 20, 25, 35])), 30, StreamClock(SHARED, PiecewiseClock(pieces))
    )
    assert [row["t_ns"] for row in rows] == [5, 15, 17, 27]
    assert outside == 1


def test_what_was_not_tracked_is_null_and_never_nan():
    lost = rows_of(make_pose())[0][2]
    assert (lost["joint"], lost["x_m"], lost["y_m"], lost["z_m"]) == ("index_tip", None, None, None)
    assert rows_of(make_depth())[0][1]["median_m"] is None


@pytest.mark.parametrize(
    ("missing", "column", "other"),
    [("position_m", "x_m", "qz"), ("orientation_wxyz", "qw", "x_m"), ("confidence", "confidence", "qw")],
)
def test_what_a_device_does_not_give_is_null(missing, column, other):
    rows, _ = rows_of(make_pose(**{missing: None}))
    assert {row[column] for row in rows} == {None}
    assert {row[other] for row in rows} != {None}


def test_a_pressure_array_keeps_its_cells_in_order():
    rows, outside = rows_of(make_tactile())
    assert (len(rows), outside) == (3, 2)
    assert rows[0]["values"] == [6, 7, 8, 9, 10, 11]
    assert (rows[0]["row_count"], rows[0]["column_count"], rows[0]["unit"]) == (2, 3, "N")


def test_a_depth_picture_becomes_its_figures():
    rows, outside = rows_of(make_depth())
    assert (len(rows), outside) == (3, 2)
    assert (rows[0]["min_m"], rows[0]["valid_fraction"], rows[0]["width_px"]) == (2.0, 0.25, 64)


@pytest.mark.parametrize(
    "stream", [make_imu(), make_pose(), make_tactile(), make_depth()], ids=lambda stream: stream.stream_id
)
@pytest.mark.parametrize("duration_ns", [1, 10])
def test_a_stream_with_fewer_than_two_samples_inside_has_no_rows(stream, duration_ns):
    assert rows_of(stream, duration_ns) == ([], 5)


def test_device_time_stays_beside_session_time():
    rows, _ = rows_of(make_tactile(t_device_ns=TIMES_NS + STARTED_NS))
    assert [(row["t_device_ns"] - STARTED_NS, row["t_ns"]) for row in rows] == [(0, 0), (10, 10), (20, 20)]


def test_published_copies_have_neither_stream_nor_device_time():
    times = {"t_device_ns", "offset_ns", "device_start_ns", "device_end_ns"}
    for published in schemas.WORKER_DAY_COPIES.values():
        assert not {"stream_id", "worker_id", "session_id", *times} & set(published.schema.names)


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=30, unique=True), st.integers(1, 100))
def test_every_sample_is_a_row_or_counted_as_left_out(times, duration_ns):
    t_ns = np.array(sorted(times))
    stream = make_tactile(t_device_ns=t_ns, values=np.zeros((len(t_ns), 1, 1)))
    rows, outside = rows_of(stream, duration_ns)
    assert len(rows) + outside == len(t_ns)
    assert all(0 <= row["t_ns"] < duration_ns for row in rows)
    inside = [t for t in t_ns.tolist() if 0 <= t < duration_ns]
    assert [row["t_ns"] for row in rows] == (inside if len(inside) > 1 else [])
