"""Recordings without pictures, for trials of clock alignment: head motion as features and a sensor report it, on clocks
whose truth is known, and what can happen to those clocks. Seeded; nothing is measured here.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.motion import HeadMotion, Phase, PhaseKind, make_motion
from harchive_dagster.demo.seen_rotation import TrackingErrors, seen_rotation
from harchive_dagster.demo.sensors import DeviceClock, SensorErrors, measure, random_quaternion
from harchive_dagster.demo.timeline import default_phases
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.clock import Clock

MANNERS = ("walk", "work", "mixed")
"""Walking all the time, working head-down all the time, and a session's usual script with a still beginning."""

_FPS = 30
_RATE_HZ = 200.0
_LARGEST_OFFSET_S = 5.0
_LARGEST_DRIFT_PPM = 200.0


@dataclass(frozen=True, eq=False)
class ClockTrial:
    """One recording.

    Attributes:
        pts_ns, rotation_rad, rotation_inliers: as one look at the video would give them.
        imu: the sensor's stream.
        session_s: float64 [N], the true session time of each of its samples; NaN while the video was paused.
    """

    pts_ns: NDArray[np.int64]
    rotation_rad: NDArray[np.float64]
    rotation_inliers: NDArray[np.int32]
    imu: ImuStream
    session_s: NDArray[np.float64]

    @property
    def seen(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]:
        """What `align_gyro` takes of the video."""
        return self.pts_ns, self.rotation_rad, self.rotation_inliers

    def errors_ms(self, clock: Clock) -> NDArray[np.float64]:
        """How far a clock puts each sample taken during the video from where it was; NaN as in `session_s`."""
        error_ms = clock.to_session_ns(self.imu.t_device_ns) * 1e-6 - self.session_s * 1e3
        return np.asarray(error_ms[~((self.session_s < 0) | (self.session_s > self.pts_ns[-1] * 1e-9))])

    def error_ms(self, clock: Clock) -> float:
        """The error in the middle of a recording whose clocks ran through."""
        errors_ms = self.errors_ms(clock)
        return float(errors_ms[len(errors_ms) // 2])


def phases_in(manner: str, duration_s: float) -> tuple[Phase, ...]:
    """The phases of a session in which one of `MANNERS`, or "still", lasts."""
    return default_phases(duration_s) if manner == "mixed" else (Phase(PhaseKind(manner), 0.0, duration_s),)


def sense(
    motion: HeadMotion, duration_s: float, rng: np.random.Generator, errors: SensorErrors | None = None
) -> tuple[ImuStream, DeviceClock]:
    """A sensor with a clock and a mount drawn by chance."""
    clock = DeviceClock(
        offset_ns=round(rng.uniform(-1, 1) * _LARGEST_OFFSET_S * 1e9),
        drift_ppm=float(rng.uniform(-1, 1) * _LARGEST_DRIFT_PPM),
    )
    imu = measure(
        motion,
        duration_s=duration_s,
        rate_hz=_RATE_HZ,
        clock=clock,
        camera_from_sensor=random_quaternion(rng),
        errors=errors or SensorErrors(),
        rng=rng,
    )
    return imu, clock


def make_trial(seed: int, manner: str, duration_s: float, errors: TrackingErrors | None = None) -> ClockTrial:
    """Draw a recording: offset within 5 s, drift within 200 ppm, any mount.

    Args:
        seed: the only source of chance.
        manner: one of `MANNERS`, or "still".
        duration_s: of the video, at 30 frames a second.
        errors: of the tracking.
    """
    rng = np.random.default_rng([seed, 77])
    motion = make_motion(phases_in(manner, duration_s), rng)
    pts_s = np.arange(int(duration_s * _FPS)) / _FPS
    rotation, inliers = seen_rotation(motion, pts_s, errors or TrackingErrors(), rng)
    imu, clock = sense(motion, duration_s, rng)
    return ClockTrial(np.rint(pts_s * 1e9).astype(np.int64), rotation, inliers, imu, true_session_s(imu, clock))


def true_session_s(imu: ImuStream, clock: DeviceClock) -> NDArray[np.float64]:
    """When each sample was taken, up to its timestamp's jitter."""
    drifted = np.rint(imu.t_device_ns * (clock.drift_ppm * 1e-6)).astype(np.int64)
    return np.asarray((imu.t_device_ns + drifted + clock.offset_ns) * 1e-9, dtype=np.float64)


def clock_set(trial: ClockTrial, at_s: float, by_s: float) -> ClockTrial:
    """From a moment on the device's clock shows another time; sampling goes on."""
    moved_ns = trial.imu.t_device_ns + np.where(trial.session_s >= at_s, round(by_s * 1e9), 0)
    return replace(trial, imu=replace(trial.imu, t_device_ns=moved_ns))


def clock_restarted(trial: ClockTrial, at_s: float) -> ClockTrial:
    """From a moment on the device's clock counts from zero again."""
    first = int(np.argmax(trial.session_s >= at_s))
    return clock_set(trial, at_s, -int(trial.imu.t_device_ns[first]) * 1e-9)


def samples_lost(trial: ClockTrial, at_s: float, lasting_s: float, *, does_clock_run: bool) -> ClockTrial:
    """Samples are missing; the device's time runs on meanwhile, as in any gap, or stands still."""
    after = trial.session_s >= at_s + lasting_s
    keep = (trial.session_s < at_s) | after
    # The next sample follows its predecessor at once.
    missing_ns = round(lasting_s * 1e9) - round(1e9 / _RATE_HZ)
    times_ns = trial.imu.t_device_ns - np.where(after & (not does_clock_run), missing_ns, 0)
    imu = replace(
        trial.imu,
        t_device_ns=times_ns[keep],
        accel_m_s2=trial.imu.accel_m_s2[keep],
        gyro_rad_s=trial.imu.gyro_rad_s[keep],
    )
    return replace(trial, imu=imu, session_s=trial.session_s[keep])


def video_paused(trial: ClockTrial, at_s: float, lasting_s: float) -> ClockTrial:
    """The video stands still and goes on as if nothing had been; the sensor never stops."""
    times_s = trial.pts_ns * 1e-9
    keep = (times_s < at_s) | (times_s >= at_s + lasting_s)
    first = int(np.argmax(times_s >= at_s + lasting_s))
    inliers = trial.rotation_inliers.copy()
    inliers[first] = 0
    resumed_s = np.where(trial.session_s >= at_s + lasting_s, trial.session_s - lasting_s, np.nan)
    return ClockTrial(
        np.where(times_s >= at_s, trial.pts_ns - round(lasting_s * 1e9), trial.pts_ns)[keep],
        trial.rotation_rad[keep],
        inliers[keep],
        trial.imu,
        np.where(trial.session_s < at_s, trial.session_s, resumed_s),
    )
