import numpy as np
import pytest

from harchive_dagster.demo.motion import GRAVITY_M_S2, LEAD_S, HeadMotion, Phase, PhaseKind, make_motion
from harchive_dagster.errors import SettingsError

EVERYTHING = (
    Phase(PhaseKind.STILL, 0.0, 3.0),
    Phase(PhaseKind.WALK, 3.0, 9.0),
    Phase(PhaseKind.WORK, 9.0, 15.0),
)


def motion(*phases: Phase, seed: int = 1) -> HeadMotion:
    return make_motion(phases or EVERYTHING, np.random.default_rng(seed))


def during(head: HeadMotion, values: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    return values[(head.time_s >= start_s) & (head.time_s < end_s)]


def test_the_gyro_is_what_turns_one_orientation_into_the_next() -> None:
    head = motion()
    rotations = head.world_from_camera(head.time_s)
    turns = np.einsum("nji,njk->nik", rotations[:-1], rotations[1:])
    rates = np.stack([turns[:, 2, 1], turns[:, 0, 2], turns[:, 1, 0]], axis=1) / np.diff(head.time_s)[:, None]
    between = (head.gyro_rad_s[1:] + head.gyro_rad_s[:-1]) / 2
    np.testing.assert_allclose(rates, between, atol=0.01)


def test_the_accelerometer_integrates_to_the_position() -> None:
    head = motion()
    world = np.einsum("nij,nj->ni", head.world_from_camera(head.time_s), head.accel_m_s2)
    step_s = float(np.diff(head.time_s)[0])
    velocity = np.cumsum(world + np.array([0.0, GRAVITY_M_S2, 0.0]), axis=0) * step_s
    moved = np.cumsum(velocity, axis=0) * step_s
    # Two constants of integration are free: start position and start velocity.
    line = np.stack([np.ones_like(head.time_s), head.time_s], axis=1)
    error = moved - head.position_m
    error -= line @ np.linalg.lstsq(line, error, rcond=None)[0]
    assert np.abs(error).max() < 0.005


def test_a_still_head_feels_only_gravity_and_hardly_turns() -> None:
    head = motion(Phase(PhaseKind.STILL, 0.0, 10.0))
    assert np.linalg.norm(head.accel_m_s2, axis=1) == pytest.approx(GRAVITY_M_S2, abs=0.5)
    assert head.accel_m_s2[:, 1].max() < -9.0
    assert np.sqrt((head.gyro_rad_s**2).mean()) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_magnitudes_are_those_of_a_person(seed: int) -> None:
    head = motion(seed=seed)
    walking = during(head, head.gyro_rad_s, 3.5, 8.5)
    assert 0.8 < np.abs(walking).max() < 2.5
    assert during(head, head.angles_rad, 11.0, 15.0)[:, 1].mean() < -0.2  # the worker looks down at the work
    assert np.abs(head.angles_rad[:, 0]).max() < 1.2
    assert np.abs(head.position_m).max() < 0.5


def test_walking_bobs_twice_a_second() -> None:
    head = motion(Phase(PhaseKind.WALK, 0.0, 20.0))
    power = np.abs(np.fft.rfft(head.accel_m_s2[:, 1] - head.accel_m_s2[:, 1].mean())) ** 2
    frequency = np.fft.rfftfreq(len(head.time_s), 1e-3)
    assert 1.7 < frequency[np.argmax(power)] < 2.3


def test_nearly_all_motion_is_below_eight_hertz() -> None:
    head = motion()
    power = (np.abs(np.fft.rfft(head.gyro_rad_s, axis=0)) ** 2).sum(axis=1)
    frequency = np.fft.rfftfreq(len(head.time_s), 1e-3)
    assert power[frequency > 8.0].sum() < 0.01 * power.sum()


def test_the_motion_is_known_before_and_after_the_video() -> None:
    head = motion()
    assert head.time_s[0] == -LEAD_S
    assert head.time_s[-1] == pytest.approx(15.0 + LEAD_S)


def test_the_same_seed_gives_the_same_motion_and_another_seed_another() -> None:
    np.testing.assert_array_equal(motion(seed=3).gyro_rad_s, motion(seed=3).gyro_rad_s)
    assert np.abs(motion(seed=3).gyro_rad_s - motion(seed=4).gyro_rad_s).max() > 0.1


@pytest.mark.parametrize(
    "phases",
    [
        pytest.param((), id="none"),
        pytest.param((Phase(PhaseKind.WALK, 1.0, 2.0),), id="late start"),
        pytest.param((Phase(PhaseKind.WALK, 0.0, 2.0), Phase(PhaseKind.WORK, 3.0, 4.0)), id="gap"),
        pytest.param((Phase(PhaseKind.WALK, 0.0, 2.0), Phase(PhaseKind.WORK, 1.0, 4.0)), id="overlap"),
        pytest.param((Phase(PhaseKind.WALK, 0.0, 0.0),), id="empty phase"),
    ],
)
def test_phases_with_holes_are_refused(phases: tuple[Phase, ...]) -> None:
    with pytest.raises(SettingsError, match="do not follow each other"):
        make_motion(phases, np.random.default_rng(0))
