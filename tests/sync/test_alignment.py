import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.reasons import Reason
from harchive_dagster.sync.alignment import align_gyro


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("manner", ["work", "walk"])
@pytest.mark.parametrize("drift_ppm", [-80.0, 0.0, 80.0])
def test_a_short_clip_is_aligned_at_its_middle_whatever_its_drift(make_session, seed, manner, drift_ppm):
    session = make_session(seed, manner=manner, drift_ppm=drift_ppm, offset_s=-4.3 + 2.1 * seed)
    alignment = align_gyro(*session.seen, session.imu)
    assert alignment.is_accepted, alignment.detail
    assert abs(session.error_ms(alignment)) < 1.0
    assert max(abs(session.error_ms(alignment, share)) for share in (0.0, 1.0)) < 2.0
    assert alignment.confidence > 0.7


def test_over_a_short_clip_the_drift_is_shrunk_and_says_how_uncertain_it_is(make_session):
    found, spreads = [], []
    for seed in range(6):
        session = make_session(seed, drift_ppm=-60.0)
        alignment = align_gyro(*session.seen, session.imu)
        found.append(alignment.drift_ppm)
        spreads.append(alignment.drift_sd_ppm)
    assert -55 < np.mean(found) < -10  # drawn from the true -60 towards 0, sign kept
    assert 15 < np.mean(spreads) < 50
    assert (np.abs(np.array(found) + 60.0) < 3 * np.array(spreads)).all()


@pytest.mark.parametrize("drift_ppm", [-70.0, 45.0])
def test_over_minutes_the_drift_is_measured(make_session, drift_ppm):
    session = make_session(3, duration_s=180.0, manner="walk", drift_ppm=drift_ppm, offset_s=3.0)
    alignment = align_gyro(*session.seen, session.imu, search_s=5.0)
    assert alignment.is_accepted, alignment.detail
    assert alignment.drift_ppm == pytest.approx(drift_ppm, abs=5)
    assert alignment.drift_sd_ppm < 5
    assert max(abs(session.error_ms(alignment, share)) for share in (0.0, 0.5, 1.0)) < 1.0


@pytest.mark.slow
def test_over_an_hour_a_large_drift_is_followed_although_it_carries_the_lag_far_away(make_session):
    session = make_session(4, duration_s=3600.0, drift_ppm=250.0)
    alignment = align_gyro(*session.seen, session.imu)
    assert alignment.is_accepted, alignment.detail
    assert alignment.drift_ppm == pytest.approx(250.0, abs=1)
    assert max(abs(session.error_ms(alignment, share)) for share in (0.0, 0.5, 1.0)) < 2.0


def test_a_variable_frame_rate_changes_nothing(make_session):
    session = make_session(5, is_variable_rate=True, drift_ppm=20.0)
    assert abs(session.error_ms(align_gyro(*session.seen, session.imu))) < 1.0


@pytest.mark.parametrize("device_epoch_s", [1e5, 1.7e9])
def test_a_device_clock_that_counts_from_elsewhere_is_found_by_its_start(make_session, device_epoch_s):
    session = make_session(6, device_epoch_s=device_epoch_s, drift_ppm=30.0)
    alignment = align_gyro(*session.seen, session.imu)
    assert alignment.is_accepted, alignment.detail
    assert abs(session.error_ms(alignment)) < 1.0


def test_an_expected_offset_moves_the_search(make_session):
    session = make_session(7, offset_s=30.0)
    assert not align_gyro(*session.seen, session.imu, search_s=1.0, expected_offset_ns=28_000_000_000).is_accepted
    alignment = align_gyro(*session.seen, session.imu, search_s=1.0, expected_offset_ns=29_800_000_000)
    assert alignment.is_accepted, alignment.detail
    assert abs(session.error_ms(alignment)) < 1.0


@pytest.mark.parametrize("focal_error", [0.7, 1.0, 1.5])
def test_the_mount_and_the_bias_are_found_in_spite_of_a_wrong_focal_length(make_session, focal_error):
    session = make_session(8, focal_error=focal_error)
    alignment = align_gyro(*session.seen, session.imu)
    w, x, y, z = alignment.camera_from_sensor
    error = Rotation.from_quat([x, y, z, w]) * session.mount.inv()
    assert np.degrees(error.magnitude()) < 1.5
    assert np.allclose(alignment.gyro_bias_rad_s, session.bias_rad_s, atol=0.02)


def test_lost_frames_and_private_time_are_left_out(make_session):
    session = make_session(9)
    rotation, inliers = session.rotation_rad.copy(), session.rotation_inliers.copy()
    lost = np.r_[100:150, 300:303, 420:421]
    rotation[lost], inliers[lost] = 0.0, 0
    alignment = align_gyro(session.pts_ns, rotation, inliers, session.imu)
    assert alignment.is_accepted, alignment.detail
    assert abs(session.error_ms(alignment)) < 1.0


def test_moments_when_a_near_object_filled_the_picture_do_not_move_the_offset(make_session):
    session = make_session(10)
    rotation = session.rotation_rad.copy()
    for start in (90, 210, 360, 480):
        rotation[start : start + 8] += [0.02, 0.05, -0.02]
    alignment = align_gyro(session.pts_ns, rotation, session.rotation_inliers, session.imu)
    assert alignment.is_accepted, alignment.detail
    assert abs(session.error_ms(alignment)) < 1.5


def _negatives(session, other):
    rng = np.random.default_rng(0)
    gyro = session.imu.gyro_rad_s
    return {
        "another recording's sensor": other.imu,
        "time reversed": session.with_gyro(gyro[::-1]),
        "noise": session.with_gyro(rng.normal(size=gyro.shape) * 0.3),
        "a dead gyro": session.with_gyro(np.zeros_like(gyro)),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("manner", ["work", "walk"])
@pytest.mark.parametrize("what", ["another recording's sensor", "time reversed", "noise", "a dead gyro"])
def test_a_sensor_that_did_not_see_this_motion_is_refused(make_session, what, manner, seed):
    session, other = make_session(seed, manner=manner), make_session(seed + 100, manner=manner)
    alignment = align_gyro(*session.seen, _negatives(session, other)[what])
    assert not alignment.is_accepted
    assert alignment.reason is Reason.SYNC_UNKNOWN
    assert "head_imu" in alignment.detail


@pytest.mark.parametrize("signs", [(-1, -1, -1), (1, 1, -1)])
def test_a_sensor_with_a_mirrored_axis_is_refused_as_implausible(make_session, signs):
    session = make_session(11)
    alignment = align_gyro(*session.seen, session.with_gyro(session.imu.gyro_rad_s * signs))
    assert alignment.reason is Reason.SENSOR_IMPLAUSIBLE
    assert "mirrored" in alignment.detail


def test_sitting_still_is_unknown_for_want_of_motion(make_session):
    session = make_session(12, manner="still")
    alignment = align_gyro(*session.seen, session.imu)
    assert alignment.reason is Reason.SYNC_UNKNOWN
    assert "too little motion" in alignment.detail


def test_motion_in_one_moment_only_is_too_few_windows(make_session):
    session = make_session(13)
    rotation, gyro = session.rotation_rad * 0.01, session.imu.gyro_rad_s * 0.01
    device = session.imu.t_device_ns * 1e-9 + 0.8
    rotation[450:570] = session.rotation_rad[450:570]
    moving = (device >= 15.0) & (device < 19.0)
    gyro[moving] = session.imu.gyro_rad_s[moving]
    rotation += np.random.default_rng(0).normal(size=rotation.shape) * 5e-4
    alignment = align_gyro(session.pts_ns, rotation, session.rotation_inliers, session.with_gyro(gyro))
    assert alignment.reason is Reason.SYNC_UNKNOWN
    assert "windows can be timed" in alignment.detail


def test_a_motion_that_repeats_is_refused_because_another_lag_fits_as_well(make_session):
    session = make_session(14, dropped_share=0.0)
    swing = np.array([0.3, 0.5, 0.2])
    pts_s = session.pts_ns * 1e-9
    angle = -np.cos(2 * np.pi * 1.9 * pts_s)[:, None] * swing / (2 * np.pi * 1.9)
    rotation = np.vstack([np.zeros(3), np.diff(angle, axis=0)]) + session.rotation_rad * 0.01
    device_s = session.imu.t_device_ns * 1e-9 + 0.8
    gyro = np.sin(2 * np.pi * 1.9 * device_s)[:, None] * swing
    alignment = align_gyro(session.pts_ns, rotation, session.rotation_inliers, session.with_gyro(gyro))
    assert alignment.reason is Reason.SYNC_UNKNOWN
    assert "another lag" in alignment.detail


def test_an_offset_at_the_edge_of_the_search_is_out_of_limits(make_session):
    session = make_session(15, offset_s=2.0)
    alignment = align_gyro(*session.seen, session.imu, search_s=2.01)
    assert alignment.reason is Reason.SYNC_OUT_OF_LIMITS
    assert "edge of the search" in alignment.detail


def test_a_clock_that_runs_wild_is_out_of_limits(make_session):
    session = make_session(16, duration_s=60.0, drift_ppm=900.0)
    alignment = align_gyro(*session.seen, session.imu)
    assert alignment.reason is Reason.SYNC_OUT_OF_LIMITS
    assert "drift" in alignment.detail


@pytest.mark.parametrize(
    ("frames", "match"), [(1, "1 frames"), (2, "2 frames"), (20, "could be estimated for"), (100, "could be estimated")]
)
def test_too_short_a_recording_is_unknown_not_a_crash(make_session, frames, match):
    session = make_session(17)
    alignment = align_gyro(*(array[:frames] for array in session.seen), session.imu)
    assert alignment.reason is Reason.SYNC_UNKNOWN
    assert match in alignment.detail


def test_a_recording_whose_sensor_ran_at_another_time_is_unknown(make_session):
    session = make_session(18, offset_s=1000.0)
    alignment = align_gyro(*session.seen, session.imu, expected_offset_ns=0)
    assert alignment.reason is Reason.SYNC_UNKNOWN


def test_a_sensor_that_stopped_early_aligns_if_it_covers_most(make_session):
    session = make_session(19)
    keep = session.imu.t_device_ns * 1e-9 + 0.8 < 15.0
    imu = type(session.imu)(
        "head_imu", "head", session.imu.t_device_ns[keep], session.imu.accel_m_s2[keep], session.imu.gyro_rad_s[keep]
    )
    alignment = align_gyro(*session.seen, imu)
    assert alignment.is_accepted, alignment.detail
    assert abs(session.error_ms(alignment, 0.4)) < 1.0


def test_the_evidence_for_the_picture_is_kept(make_session):
    session = make_session(20)
    alignment = align_gyro(*session.seen, session.imu, search_s=3.0)
    peak_ns = alignment.search_offset_ns[np.argmax(alignment.search_score)]
    assert peak_ns == pytest.approx(session.offset_ns, abs=20_000_000)
    assert len(alignment.window_t_ns) == len(alignment.window_residual_ns) == alignment.window_count
    assert alignment.max_residual_ms == pytest.approx(np.abs(alignment.window_residual_ns).max() * 1e-6)
    assert (np.diff(alignment.window_t_ns) > 0).all()
    assert not alignment.search_score.flags.writeable
