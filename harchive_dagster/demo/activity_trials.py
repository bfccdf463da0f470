"""Recordings without pictures, for trials of proposals: generated head motion of known activities. Seeded; nothing is
proposed or measured here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.motion import (
    PEAK_OF_MIN_JERK,
    HeadMotion,
    Phase,
    PhaseKind,
    make_motion,
    min_jerk,
    moving_along,
)
from harchive_dagster.demo.sensors import DeviceClock, SensorErrors, measure, random_quaternion
from harchive_dagster.labels.layers import CAMERA_COVERED, HEAD_TURN, IDLE, LOCOMOTION, MANIPULATION
from harchive_dagster.sync.interval_rates import SampledSignal

ACTIVITY_OF = {PhaseKind.STILL: IDLE, PhaseKind.WALK: LOCOMOTION, PhaseKind.WORK: MANIPULATION}

_FPS = 30
_RATE_HZ = 200.0
_MEDIAN_PHASE_S = {PhaseKind.STILL: 7.0, PhaseKind.WALK: 9.0, PhaseKind.WORK: 15.0}
_PHASE_SPREAD = 0.6  # of the logarithm: one phase in twenty lasts a third of the median, one in twenty three times it
_SHORTEST_PHASE_S = 2.0
_TURN_EVERY_S = 20.0
_TURN_RAD = (0.7, 2.1)  # 40 to 120 degrees; a glance of the generated motion stays below
_TURN_RAD_S = (1.2, 3.5)  # peaks of 70 to 200 degrees a second, the usual range of voluntary head turns
_CORNER_RAD_S = (0.6, 1.5)  # who walks around a corner turns with the whole body, slowly
_KNOCKING_SHARE = 0.3  # of the stretches of work are hammering or chopping
_KNOCKS_HZ = (1.3, 3.5)
_KNOCKS_M_S2 = (0.3, 1.2)  # what of it reaches the head
_NODDING_SHARE = 0.25  # of the stretches of standing are spent talking
_NODS_HZ = (0.7, 1.8)
_NODS_RAD = (0.01, 0.05)
_FINE_SHARE = 0.2  # of the stretches of work hold the head as still as if nothing were done
_FINE_GAIN = (0.2, 0.5)
_COVERED_EVERY_S = 120.0
_COVERED_S = (1.5, 12.0)


@dataclass(frozen=True, eq=False)
class ActivityTrial:
    """One recording.

    Attributes:
        t_ns: int64 [N], the frames' session times.
        accel_m_s2, gyro_rad_s: float64 [N, 3], a frame's means, in sensor axes that share nothing with the camera's.
        obstructed_fraction: float64 [N].
        spans: (start_ns, end_ns, activity), in order, without gaps.
    """

    t_ns: NDArray[np.int64]
    accel_m_s2: NDArray[np.float64]
    gyro_rad_s: NDArray[np.float64]
    obstructed_fraction: NDArray[np.float64]
    spans: tuple[tuple[int, int, str], ...]


def make_activity_trial(seed: int, duration_s: float = 300.0) -> ActivityTrial:
    """Draw a recording: phases in any order, turns of the head within them, corners while walking, a lens covered now
    and then, livelier and calmer people, and knocking at work that is as fast as steps.
    """
    rng = np.random.default_rng([seed, 277])
    phases = _phases(duration_s, rng)
    turns, motion = _lively(phases, make_motion(phases, rng), rng)
    t_s = np.arange(round(duration_s * _FPS)) / _FPS
    accel, gyro = _sensed(motion, t_s, rng)
    covered = _covers(duration_s, rng)
    spans = [(phase.start_s, phase.end_s, ACTIVITY_OF[phase.kind]) for phase in phases]
    for label, over in ((HEAD_TURN, turns), (CAMERA_COVERED, covered)):
        for start_s, end_s in over:
            spans = _overlaid(spans, (start_s, end_s, label))
    return ActivityTrial(
        t_ns=np.rint(t_s * 1e9).astype(np.int64),
        accel_m_s2=accel,
        gyro_rad_s=gyro,
        obstructed_fraction=_obstruction(t_s, covered, rng),
        spans=tuple((round(start_s * 1e9), round(end_s * 1e9), label) for start_s, end_s, label in spans),
    )


def _phases(duration_s: float, rng: np.random.Generator) -> list[Phase]:
    phases: list[Phase] = []
    start_s, kind = 0.0, PhaseKind(rng.choice(list(PhaseKind)))
    while start_s < duration_s:
        lasts_s = max(_SHORTEST_PHASE_S, _MEDIAN_PHASE_S[kind] * float(np.exp(_PHASE_SPREAD * rng.standard_normal())))
        end_s = start_s + lasts_s
        end_s = duration_s if end_s > duration_s - _SHORTEST_PHASE_S else round(end_s, 3)
        phases.append(Phase(kind, start_s, end_s))
        kind = PhaseKind(rng.choice([other for other in PhaseKind if other is not kind]))
        start_s = end_s
    return phases


def _lively(
    phases: list[Phase], motion: HeadMotion, rng: np.random.Generator
) -> tuple[list[tuple[float, float]], HeadMotion]:
    """The turns of the head (not the corners), and the motion with everything that `make_motion` does not know."""
    time_s = motion.time_s
    angles = motion.angles_rad * rng.uniform(0.7, 1.4)
    position = motion.position_m * rng.uniform(0.6, 1.4)
    for phase in phases:
        if phase.kind is PhaseKind.STILL and rng.random() < _NODDING_SHARE:
            angles[:, 1] += rng.uniform(*_NODS_RAD) * _swinging(time_s, phase, rng.uniform(*_NODS_HZ))
        if phase.kind is PhaseKind.WORK and rng.random() < _FINE_SHARE:
            angles *= 1 - (1 - rng.uniform(*_FINE_GAIN)) * _during(time_s, phase)[:, None]
        if phase.kind is PhaseKind.WORK and rng.random() < _KNOCKING_SHARE:
            hz = rng.uniform(*_KNOCKS_HZ)
            position[:, 1] += rng.uniform(*_KNOCKS_M_S2) / (2 * np.pi * hz) ** 2 * _swinging(time_s, phase, hz)
    turns = _turned(phases, time_s, angles, rng)
    return turns, moving_along(time_s, angles, position)


def _turned(
    phases: list[Phase], time_s: NDArray[np.float64], angles_rad: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Adds turns and corners in place; returns the turns."""
    turns: list[tuple[float, float]] = []
    for phase in phases:
        is_walk = phase.kind is PhaseKind.WALK
        for start_s in _now_and_then(phase.start_s + 0.5, phase.end_s - 0.5, _TURN_EVERY_S, rng):
            turn_rad = rng.uniform(*_TURN_RAD)
            lasts_s = PEAK_OF_MIN_JERK * turn_rad / rng.uniform(*(_CORNER_RAD_S if is_walk else _TURN_RAD_S))
            lasts_s = max(0.6, lasts_s)
            if start_s + lasts_s > phase.end_s - 0.5 or (turns and start_s < turns[-1][1] + 1.0):
                continue
            angles_rad[:, 0] += rng.choice([-1.0, 1.0]) * turn_rad * min_jerk((time_s - start_s) / lasts_s)
            if not is_walk:
                turns.append((start_s, start_s + lasts_s))
    return turns


def _now_and_then(start_s: float, end_s: float, every_s: float, rng: np.random.Generator) -> list[float]:
    count = rng.poisson(max(0.0, end_s - start_s) / every_s)
    return sorted(rng.uniform(start_s, max(start_s, end_s), count).tolist())


def _during(time_s: NDArray[np.float64], phase: Phase) -> NDArray[np.float64]:
    """1 within a phase, 0 outside, with a second's blend inside of it."""
    return min_jerk(time_s - phase.start_s) * min_jerk(phase.end_s - time_s)


def _swinging(time_s: NDArray[np.float64], phase: Phase, hz: float) -> NDArray[np.float64]:
    swing: NDArray[np.float64] = _during(time_s, phase) * np.sin(2 * np.pi * hz * time_s)
    return swing


def _sensed(
    motion: HeadMotion, t_s: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a sensor with a perfect clock gives each frame: means over one frame's time around it, as in synced rows."""
    imu = measure(
        motion,
        duration_s=float(t_s[-1]),
        rate_hz=_RATE_HZ,
        clock=DeviceClock(offset_ns=0, drift_ppm=0.0),
        camera_from_sensor=random_quaternion(rng),
        errors=SensorErrors(),
        rng=rng,
    )
    values = np.hstack([imu.accel_m_s2, imu.gyro_rad_s])
    signal = SampledSignal(np.asarray(imu.t_device_ns * 1e-9, dtype=np.float64), values)
    means = signal.mean_between(t_s - 0.5 / _FPS, t_s + 0.5 / _FPS)
    return means[:, :3], means[:, 3:]


def _covers(duration_s: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    covers: list[tuple[float, float]] = []
    for start_s in _now_and_then(0.0, duration_s, _COVERED_EVERY_S, rng):
        end_s = min(duration_s, start_s + rng.uniform(*_COVERED_S))
        if end_s - start_s > 1.0 and (not covers or start_s > covers[-1][1] + 2.0):
            covers.append((start_s, end_s))
    return covers


def _obstruction(
    t_s: NDArray[np.float64], covers: list[tuple[float, float]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Plain walls hide up to a third of the blocks, hands near the lens more for a moment, a cloth nearly all."""
    walls = 0.17 + 0.15 * np.sin(2 * np.pi * t_s / rng.uniform(5.0, 20.0) + rng.uniform(0, 6))
    fraction = walls + 0.03 * rng.standard_normal(len(t_s))
    for at_s in _now_and_then(0.0, float(t_s[-1]), 30.0, rng):
        fraction += rng.uniform(0.1, 0.6) * (np.abs(t_s - at_s) < rng.uniform(0.1, 0.4))
    for start_s, end_s in covers:
        # A hand takes a third of a second to close and to open.
        closed = np.clip(np.minimum(t_s - start_s, end_s - t_s) / 0.3 + 0.5, 0.0, 1.0)
        fraction += closed * (rng.uniform(0.75, 1.0) - fraction)
    return np.clip(np.round(fraction * 64) / 64, 0.0, 1.0)


def _overlaid(spans: list[tuple[float, float, str]], over: tuple[float, float, str]) -> list[tuple[float, float, str]]:
    """The spans with one more on top, which hides what lies beneath."""
    start_s, end_s, _ = over
    before = [(start, min(end, start_s), label) for start, end, label in spans if start < start_s]
    after = [(max(start, end_s), end, label) for start, end, label in spans if end > end_s]
    return [*before, over, *after]
