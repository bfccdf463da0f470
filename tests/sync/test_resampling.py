import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.resampling import synced_frames

PTS_NS = np.arange(120, dtype=np.int64) * 33_333_333


def _imu(t_s, *, accel=None, gyro=None):
    count = len(t_s)
    return ImuStream(
        "head_imu",
        "head",
        np.rint(t_s * 1e9).astype(np.int64),
        np.tile([0.0, -9.81, 0.0], (count, 1)) if accel is None else accel,
        np.zeros((count, 3)) if gyro is None else gyro,
    )


def _grid(start=-1.0, end=6.0, rate_hz=200.0):
    return np.arange(start, end, 1 / rate_hz)


def test_a_slow_signal_is_reproduced_at_the_frames(make_alignment):
    t_s = _grid()
    gyro = np.column_stack([np.sin(2 * t_s), np.cos(t_s), 0.1 * t_s])
    frames = synced_frames(PTS_NS, _imu(t_s, gyro=gyro), make_alignment())
    at_s = PTS_NS * 1e-9
    assert np.allclose(frames.gyro_rad_s, np.column_stack([np.sin(2 * at_s), np.cos(at_s), 0.1 * at_s]), atol=1e-3)
    assert frames.t_ns.tolist() == PTS_NS.tolist()
    assert not frames.has_gap.any()


def test_vibration_above_the_frame_rate_does_not_fold_down(make_alignment):
    t_s = _grid(rate_hz=1000.0)
    gyro = np.tile(np.sin(2 * np.pi * 90.0 * t_s)[:, None], (1, 3))
    frames = synced_frames(PTS_NS, _imu(t_s, gyro=gyro), make_alignment())
    assert np.abs(frames.gyro_rad_s).max() < 0.12


def test_the_clock_decides_which_samples_belong_to_a_frame(make_alignment):
    t_s = _grid(end=8.0)
    imu = _imu(t_s, gyro=np.column_stack([t_s, t_s, t_s]))
    frames = synced_frames(PTS_NS, imu, make_alignment(offset_ns=-500_000_000, drift_ppm=100.0))
    expected = (PTS_NS * 1e-9 + 0.5) / (1 + 1e-4)
    assert np.allclose(frames.gyro_rad_s[:, 0], expected, atol=1e-6)


def test_vectors_are_turned_into_camera_axes(make_alignment):
    mount = Rotation.from_rotvec([0.3, -0.8, 1.1])
    x, y, z, w = mount.as_quat()
    t_s = _grid()
    in_camera = np.tile([0.1, -0.2, 0.3], (len(t_s), 1))
    imu = _imu(t_s, accel=mount.inv().apply(np.tile([0, -9.81, 0], (len(t_s), 1))), gyro=mount.inv().apply(in_camera))
    frames = synced_frames(PTS_NS, imu, make_alignment(camera_from_sensor=(w, x, y, z)))
    assert np.allclose(frames.gyro_rad_s, [0.1, -0.2, 0.3])
    assert np.allclose(frames.accel_m_s2, [0, -9.81, 0])
    assert np.allclose(frames.imu_window, [0, -9.81, 0, 0.1, -0.2, 0.3])


@pytest.mark.parametrize("window_size", [1, 4, 8, 20])
def test_a_window_holds_the_frames_interval_in_equal_parts(make_alignment, window_size):
    t_s = _grid()
    frames = synced_frames(
        PTS_NS, _imu(t_s, gyro=np.column_stack([t_s] * 3)), make_alignment(), window_size=window_size
    )
    assert frames.imu_window.shape == (120, window_size, 6)
    step_s = 0.033333333
    parts = (np.arange(window_size) + 0.5) / window_size * step_s
    assert np.allclose(frames.imu_window[:, :, 3], (PTS_NS * 1e-9)[:, None] + parts, atol=1e-6)


def test_windows_of_a_variable_rate_follow_each_other_without_overlap(make_alignment):
    rng = np.random.default_rng(0)
    pts_ns = np.cumsum(rng.integers(20_000_000, 80_000_000, 60)) - 20_000_000
    t_s = _grid()
    gyro = rng.normal(size=(len(t_s), 3))
    frames = synced_frames(pts_ns, _imu(t_s, gyro=gyro), make_alignment())
    steps_s = np.diff(pts_ns) * 1e-9
    turned = (frames.imu_window[:-1, :, 3:].mean(axis=1) * steps_s[:, None]).sum(axis=0)
    inside = (t_s >= pts_ns[0] * 1e-9) & (t_s < pts_ns[-1] * 1e-9)
    assert np.allclose(turned, gyro[inside].sum(axis=0) / 200, atol=0.02)


def test_upright_and_at_rest_the_camera_is_level_and_looks_along_x(make_alignment):
    frames = synced_frames(PTS_NS, _imu(_grid()), make_alignment())
    orientation = Rotation.from_quat(frames.orientation_wxyz[:, [1, 2, 3, 0]])
    assert np.allclose(orientation.apply([0, 0, 1]), [1, 0, 0], atol=1e-3)  # forward
    assert np.allclose(orientation.apply([0, 1, 0]), [0, 0, -1], atol=1e-3)  # down
    assert np.allclose(orientation.apply([1, 0, 0]), [0, -1, 0], atol=1e-3)  # right


def test_orientation_follows_a_turn_and_a_nod_less_the_bias(make_alignment):
    t_s = _grid()
    bias = np.array([0.03, -0.05, 0.02])
    rate = np.where((t_s >= 1.0) & (t_s < 2.0), 0.8, 0.0)  # to the right
    imu = _imu(t_s, gyro=np.column_stack([np.zeros_like(rate), rate, np.zeros_like(rate)]) + bias)
    frames = synced_frames(PTS_NS, imu, make_alignment(gyro_bias_rad_s=bias))
    forward = Rotation.from_quat(frames.orientation_wxyz[:, [1, 2, 3, 0]]).apply([0.0, 0.0, 1.0])
    # x ahead, z up: right is -y, so turning right is a negative heading.
    heading = np.arctan2(forward[:, 1], forward[:, 0])
    assert heading[PTS_NS < 900_000_000] == pytest.approx(0.0, abs=0.01)
    assert heading[PTS_NS > 2_100_000_000] == pytest.approx(-0.8, abs=0.02)
    assert np.abs(forward[:, 2]).max() < 0.01


def test_orientation_starts_level_in_a_tilted_camera(make_alignment):
    tilt = Rotation.from_rotvec([-0.5, 0, 0])  # the body looks down
    t_s = _grid()
    accel = tilt.inv().apply(np.tile([0, -9.81, 0], (len(t_s), 1)))
    frames = synced_frames(PTS_NS, _imu(t_s, accel=accel), make_alignment())
    forward = Rotation.from_quat(frames.orientation_wxyz[:, [1, 2, 3, 0]]).apply([0.0, 0.0, 1.0])
    assert np.allclose(forward, [np.cos(0.5), 0, -np.sin(0.5)], atol=2e-3)


def test_quaternions_are_unit_and_do_not_jump_sign(make_alignment):
    t_s = _grid(end=20.0)
    imu = _imu(t_s, gyro=np.tile([0.0, 2.5, 0.0], (len(t_s), 1)))
    pts_ns = np.arange(500, dtype=np.int64) * 33_333_333
    quaternions = synced_frames(pts_ns, imu, make_alignment()).orientation_wxyz
    assert np.allclose(np.linalg.norm(quaternions, axis=1), 1.0)
    assert ((quaternions[1:] * quaternions[:-1]).sum(axis=1) > 0.9).all()


def test_frames_beyond_the_sensor_are_held_finite_and_flagged(make_alignment):
    t_s = _grid(start=1.0, end=3.0)
    imu = _imu(t_s, gyro=np.column_stack([t_s, t_s, t_s]))
    frames = synced_frames(PTS_NS, imu, make_alignment())
    at_s = PTS_NS * 1e-9
    for array in (frames.accel_m_s2, frames.gyro_rad_s, frames.orientation_wxyz, frames.imu_window):
        assert np.isfinite(array).all()
    assert frames.has_gap[(at_s < 0.97) | (at_s > 3.0)].all()
    assert not frames.has_gap[(at_s > 1.0) & (at_s < 2.95)].any()
    assert np.allclose(frames.gyro_rad_s[at_s < 0.9], 1.0)


@pytest.mark.parametrize(("hole_s", "is_flagged"), [(0.010, False), (0.030, False), (0.120, True), (1.0, True)])
def test_holes_longer_than_the_tolerance_are_flagged_where_they_are(make_alignment, hole_s, is_flagged):
    t_s = _grid()
    t_s = t_s[(t_s < 1.5) | (t_s > 1.5 + hole_s)]
    has_gap = synced_frames(PTS_NS, _imu(t_s), make_alignment()).has_gap
    at_s = PTS_NS * 1e-9
    assert has_gap.any() == is_flagged
    assert not has_gap[(at_s < 1.48) | (at_s > 1.5 + hole_s)].any()
    if is_flagged:
        assert has_gap[(at_s > 1.51) & (at_s < 1.45 + hole_s)].all()


def test_a_slow_sensor_is_not_all_gaps(make_alignment):
    assert not synced_frames(PTS_NS, _imu(_grid(rate_hz=25.0)), make_alignment()).has_gap.any()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 200_000_000), min_size=1, max_size=20),
    st.integers(-(10**10), 10**10),
    st.floats(-400, 400),
    st.integers(2, 60),
)
def test_whatever_the_times_every_frame_has_a_finite_row(make_alignment, steps_ns, offset_ns, drift_ppm, samples):
    pts_ns = np.cumsum([0, *steps_ns]).astype(np.int64)
    imu = _imu(np.arange(samples) / 100.0)
    frames = synced_frames(pts_ns, imu, make_alignment(offset_ns=offset_ns, drift_ppm=drift_ppm))
    assert len(frames) == len(pts_ns)
    assert np.isfinite(frames.imu_window).all()
    assert np.allclose(np.linalg.norm(frames.orientation_wxyz, axis=1), 1.0)


def test_a_single_frame_cannot_be_resampled(make_alignment):
    with pytest.raises(ValueError, match="1 frames"):
        synced_frames(PTS_NS[:1], _imu(_grid()), make_alignment())
