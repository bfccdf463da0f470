"""Knocks that two sensors felt: they time one by the other, and what only looks like knocks does not."""

import numpy as np
import pytest

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.clock import ClockMapping
from harchive_dagster.sync.shared_events import METHOD, align_events, knock_times_ns

HEAD_CLOCK = ClockMapping(
    offset_ns=-3_000_000_000, drift_ppm=20.0, camera_from_sensor=(1.0, 0.0, 0.0, 0.0), gyro_bias_rad_s=np.zeros(3)
)


def make_imu(knocks_s, *, seed=0, duration_s=60.0, rate_hz=200.0, zero_ns=0, step_hz=0.0, noise_m_s2=0.3):
    """A sensor whose device time is session time plus `zero_ns`; a knock rings for 15 ms."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(int(duration_s * rate_hz)) / rate_hz + rng.uniform(0, 1 / rate_hz)
    force = 9.81 + noise_m_s2 * rng.normal(size=len(t_s))
    if step_hz:
        force += 4.0 * np.clip(np.sin(2 * np.pi * step_hz * t_s), 0.9, 1) * 10 - 36
    for at_s in knocks_s:
        since = t_s - at_s
        force += 40.0 * np.where(since >= 0, np.exp(-np.abs(since) / 0.006) * np.cos(2 * np.pi * 60 * since), 0.0)
    accel = np.column_stack([np.zeros((len(t_s), 2)), force])
    t_device_ns = np.rint(t_s * 1e9).astype(np.int64) + zero_ns
    return ImuStream("wrist", "left_wrist", t_device_ns, accel, np.zeros_like(accel))


def head_imu(knocks_s, **overrides):
    """The same on a head whose clock is `HEAD_CLOCK`."""
    felt = make_imu(knocks_s, seed=1, **overrides)
    return ImuStream("head", "head", HEAD_CLOCK.to_device_ns(felt.t_device_ns), felt.accel_m_s2, felt.gyro_rad_s)


def offset_error_ms(alignment, zero_ns):
    return abs(alignment.offset_ns + zero_ns) / 1e6


@pytest.mark.parametrize("zero_ns", [0, 4_000_000_000, -9_000_000_000, 86_400_000_000_000, 1_772_424_000_000_000_000])
def test_two_claps_time_a_wrist_to_a_sample(zero_ns):
    claps_s = (4.0, 7.3)
    alignment = align_events(make_imu(claps_s, zero_ns=zero_ns), head_imu(claps_s), HEAD_CLOCK, claimed_ns=0)
    assert alignment.is_accepted
    assert (alignment.method, alignment.window_count) == (METHOD, 2)
    assert offset_error_ms(alignment, zero_ns) < 6
    assert alignment.offset_sd_ns < 5e6


def test_a_wall_clock_s_claim_is_where_the_search_begins():
    claps_s = (4.0, 7.3, 50.0)
    zero_ns = 1_772_424_000_000_000_000
    wrist = make_imu(claps_s, zero_ns=zero_ns + 2_000_000_000)
    alignment = align_events(wrist, head_imu(claps_s), HEAD_CLOCK, claimed_ns=-zero_ns)
    assert offset_error_ms(alignment, zero_ns + 2_000_000_000) < 6
    assert align_events(wrist, head_imu(claps_s), HEAD_CLOCK, claimed_ns=-zero_ns, search_s=1.0) is None


@pytest.mark.parametrize(
    ("wrist_s", "head_s"),
    [
        ((4.0,), (4.0,)),
        ((4.0, 7.3), (4.0, 8.1)),
        ((4.0, 7.3), ()),
        ((), ()),
        ((4.0, 7.0, 10.0, 13.0), (4.0, 7.0, 10.0, 13.0)),
    ],
    ids=["one clap", "other intervals", "nothing on the head", "no claps", "claps at one interval"],
)
def test_knocks_that_do_not_agree_or_agree_twice_tell_nothing(wrist_s, head_s):
    assert align_events(make_imu(wrist_s), head_imu(head_s), HEAD_CLOCK, claimed_ns=0) is None


def test_claps_among_others_that_only_one_felt_are_found():
    shared_s = (3.0, 9.4, 31.0, 47.7)
    wrist = make_imu((*shared_s, 12.0, 20.5, 21.1, 40.2), zero_ns=1_000_000_000)
    alignment = align_events(wrist, head_imu((*shared_s, 5.0, 17.8)), HEAD_CLOCK, claimed_ns=0)
    assert alignment.window_count == 4
    assert offset_error_ms(alignment, 1_000_000_000) < 6


def test_steps_are_no_knocks():
    assert len(knock_times_ns(make_imu((), step_hz=1.9))) == 0
    assert align_events(make_imu((), step_hz=1.9), head_imu((), step_hz=1.9), HEAD_CLOCK, claimed_ns=0) is None


def test_knocks_at_random_times_agree_less_than_once_in_a_hundred_recordings():
    rng = np.random.default_rng(0)
    taken = 0
    for index in range(200):
        wrist, head = (np.sort(rng.uniform(1, 29, rng.integers(2, 9))) for _ in "ab")
        wrist_imu = make_imu(wrist, seed=index, duration_s=30.0)
        taken += align_events(wrist_imu, head_imu(head, duration_s=30.0), HEAD_CLOCK, claimed_ns=0) is not None
    assert taken <= 2
