import numpy as np
import pytest

from harchive_dagster.demo.clock_trials import (
    MANNERS,
    clock_restarted,
    clock_set,
    make_trial,
    phases_in,
    samples_lost,
    video_paused,
)
from harchive_dagster.demo.motion import make_motion
from harchive_dagster.demo.scene import Camera, render
from harchive_dagster.demo.scenery import make_scenery
from harchive_dagster.demo.seen_rotation import TrackingErrors, seen_rotation

PERFECT = TrackingErrors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (1.0, 1.0))


@pytest.mark.parametrize("manner", MANNERS)
def test_perfect_tracking_sees_what_a_gyro_would_integrate(manner):
    motion = make_motion(phases_in(manner, 6.0), np.random.default_rng(1))
    pts_s = np.arange(180) / 30
    rotation, inliers = seen_rotation(motion, pts_s, PERFECT, np.random.default_rng(2))
    total = np.cumsum(motion.gyro_rad_s, axis=0) / 1000
    turned = np.diff(motion.at(total, pts_s), axis=0)
    assert np.allclose(rotation[1:], turned, atol=1e-3)  # within a frame axes turn by less than 3 degrees
    assert inliers[0] == 0
    assert (inliers[1:] > 0).all()


def test_the_same_seed_makes_the_same_trial_and_another_makes_another():
    first, again, other = (make_trial(seed, "work", 5.0) for seed in (3, 3, 4))
    assert (first.rotation_rad == again.rotation_rad).all()
    assert (first.imu.gyro_rad_s == again.imu.gyro_rad_s).all()
    assert (first.rotation_rad != other.rotation_rad).any()


def test_samples_know_their_session_time_to_the_jitter_of_their_stamps():
    trial = make_trial(5, "walk", 5.0)
    assert trial.session_s[0] == pytest.approx(-2.0, abs=0.002)
    assert trial.session_s[-1] == pytest.approx(7.0, abs=0.02)


def test_breaks_change_the_clock_and_not_what_is_true():
    trial = make_trial(6, "work", 8.0)
    ahead, anew = clock_set(trial, 4.0, 0.5), clock_restarted(trial, 4.0)
    assert (ahead.session_s == trial.session_s).all()
    assert ahead.imu.t_device_ns[-1] - trial.imu.t_device_ns[-1] == 500_000_000
    assert (np.diff(anew.imu.t_device_ns) > 0).all()
    lost = samples_lost(trial, 4.0, 1.0, does_clock_run=False)
    assert np.diff(lost.imu.t_device_ns).max() < 60_000_000
    assert np.diff(lost.session_s).max() == pytest.approx(1.0, abs=0.03)


def test_while_the_video_is_paused_samples_have_no_session_time():
    trial = make_trial(7, "work", 8.0)
    paused = video_paused(trial, 4.0, 1.0)
    assert np.isnan(paused.session_s).sum() == pytest.approx(200, abs=10)
    assert len(paused.pts_ns) == len(trial.pts_ns) - 30
    assert np.diff(paused.pts_ns).max() < 40_000_000


def test_with_a_rolling_shutter_the_middle_row_stays_and_the_others_lean_with_the_turn():
    motion = make_motion(phases_in("walk", 4.0), np.random.default_rng(3))
    fastest = int(np.argmax(np.abs(motion.gyro_rad_s[3000:6000, 1]))) + 3000
    t_s = motion.time_s[[fastest]]
    camera, scenery = Camera(640, 360), make_scenery(1)
    still, rolled = (
        next(render(scenery, motion, camera, t_s, readout_s=readout_s))[0].astype(int) for readout_s in (0.0, 0.03)
    )
    change = np.abs(still - rolled).mean(axis=(1, 2))
    assert change[178:182].mean() < 0.2 * change[[5, 354]].mean()
