from itertools import pairwise

import numpy as np
import pytest

from harchive_dagster.demo.clock_trials import (
    ClockTrial,
    clock_restarted,
    clock_set,
    make_trial,
    samples_lost,
    video_paused,
)
from harchive_dagster.sync.clock import PiecewiseClock
from harchive_dagster.sync.clock_breaks import align_pieces
from harchive_dagster.sync.resampling import synced_frames

_AT_S = 26.0


@pytest.fixture(scope="module")
def trial() -> ClockTrial:
    return make_trial(1, "work", 48.0)


def aligned(trial: ClockTrial, **options) -> PiecewiseClock:
    return PiecewiseClock(
        tuple(piece for piece in align_pieces(*trial.seen, trial.imu, **options) if piece.is_accepted)
    )


def far_share(trial: ClockTrial, clock: PiecewiseClock) -> float:
    """Of the samples that have a session time, how many are put more than 4 ms off."""
    errors_ms = trial.errors_ms(clock)
    return float((np.abs(errors_ms[~np.isnan(errors_ms)]) > 4.0).mean())


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda t: clock_restarted(t, _AT_S), id="restarted"),
        pytest.param(lambda t: clock_set(t, _AT_S, -0.5), id="set back"),
        pytest.param(lambda t: clock_set(t, _AT_S, 0.4), id="set ahead"),
        pytest.param(lambda t: clock_set(t, _AT_S, 1200.0), id="set ahead by minutes"),
        pytest.param(lambda t: clock_set(t, _AT_S, 1.7e9), id="learned the year"),
        pytest.param(lambda t: samples_lost(t, _AT_S, 0.04, does_clock_run=False), id="eight samples lost"),
        pytest.param(lambda t: samples_lost(t, _AT_S, 2.0, does_clock_run=False), id="two seconds lost"),
        pytest.param(lambda t: video_paused(t, _AT_S, 0.1), id="video paused shortly"),
        pytest.param(lambda t: video_paused(t, _AT_S, 3.0), id="video paused"),
    ],
)
def test_a_clock_that_breaks_is_aligned_on_both_sides_of_the_break(trial, break_it):
    broken = break_it(trial)
    clock = aligned(broken)
    assert len(clock.pieces) == 2
    assert far_share(broken, clock) < 0.02  # the cut itself is found to a few frames


@pytest.mark.parametrize("lasting_s", [3.0, 7.0])
def test_a_gap_during_which_the_clock_runs_on_is_no_break(trial, lasting_s):
    gap = samples_lost(trial, 20.0, lasting_s, does_clock_run=True)
    clock = aligned(gap)
    assert len(clock.pieces) == 1
    assert far_share(gap, clock) == 0.0


@pytest.mark.parametrize("manner", ["walk", "mixed"])
def test_a_clock_that_runs_through_is_one_piece_that_holds_for_all_samples(manner):
    trial = make_trial(2, manner, 48.0)
    (piece,) = align_pieces(*trial.seen, trial.imu)
    assert (piece.device_start_ns, piece.device_end_ns) == (trial.imu.t_device_ns[0], trial.imu.t_device_ns[-1] + 1)


def test_two_breaks_make_three_pieces_in_order_that_do_not_overlap():
    trial = make_trial(4, "work", 75.0)
    broken = clock_set(samples_lost(trial, 25.0, 1.0, does_clock_run=False), 52.0, -0.7)
    pieces = align_pieces(*broken.seen, broken.imu)
    assert [(piece.piece_index, piece.is_accepted) for piece in pieces] == [(0, True), (1, True), (2, True)]
    assert all(a.device_end_ns <= b.device_start_ns for a, b in pairwise(pieces))
    assert far_share(broken, PiecewiseClock(pieces)) < 0.02


def test_a_stretch_whose_motion_is_another_one_is_a_piece_of_its_own_and_its_frames_are_gaps(trial):
    is_foreign = trial.session_s > 30.0
    foreign = np.resize(make_trial(9, "work", 48.0).imu.gyro_rad_s, trial.imu.gyro_rad_s.shape)
    gyro = np.where(is_foreign[:, None], foreign, trial.imu.gyro_rad_s)
    imu = type(trial.imu)("head_imu", "head", trial.imu.t_device_ns, trial.imu.accel_m_s2, gyro)
    first, second = align_pieces(*trial.seen, imu)
    assert first.is_accepted
    assert not second.is_accepted
    assert "its motion is not the picture's" in second.detail
    frames = synced_frames(trial.pts_ns, imu, PiecewiseClock((first,)))
    is_late = trial.pts_ns > 33e9
    assert frames.has_gap[is_late].all()
    assert not frames.has_gap[trial.pts_ns < 27e9].any()


def test_frames_in_lost_time_are_gaps_and_all_others_are_measured(trial):
    broken = samples_lost(trial, _AT_S, 2.0, does_clock_run=False)
    frames = synced_frames(broken.pts_ns, broken.imu, aligned(broken))
    times_s = broken.pts_ns * 1e-9
    assert frames.has_gap[(times_s > _AT_S + 0.3) & (times_s < _AT_S + 1.7)].all()
    assert not frames.has_gap[np.abs(times_s - _AT_S - 1.0) > 1.3].any()
    assert np.isfinite(frames.imu_window).all()


def test_a_wrong_expected_offset_does_not_hide_the_one_without_it(trial):
    assert len(aligned(trial, expected_offset_ns=500_000_000_000).pieces) == 1
