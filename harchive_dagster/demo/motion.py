"""How a worker's head moves: seeded, band-limited rotation and translation on the camera's clock.

The one source that both the pictures and the inertial samples are computed from. No pixels, no sensor errors here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError

GRAVITY_M_S2 = 9.80665
LEAD_S = 3.0
"""The motion is known this long before the first and after the last frame: sensors run longer than the video."""

_GRID_HZ = 1000.0
_BLEND_S = 0.5
PEAK_OF_MIN_JERK = 1.875
"""Peak rate of a minimum-jerk move over its mean rate."""


class PhaseKind(StrEnum):
    """What the body is doing."""

    STILL = "still"
    WALK = "walk"
    WORK = "work"


@dataclass(frozen=True)
class Phase:
    """One stretch of one kind of movement, in session time [start_s, end_s)."""

    kind: PhaseKind
    start_s: float
    end_s: float


@dataclass(frozen=True)
class _Manner:
    """How one kind of phase moves the head; magnitudes are those of ordinary walking and bench work."""

    glance_every_s: float
    yaw_reach_rad: float
    pitch_reach_rad: float
    peak_rate_rad_s: tuple[float, float]
    pitch_level_rad: float
    tremor_rad: float
    gait_gain: float
    sway_m: float


_MANNERS = {
    PhaseKind.STILL: _Manner(4.0, 0.10, 0.04, (0.1, 0.3), 0.0, 0.0015, 0.0, 0.01),
    PhaseKind.WALK: _Manner(1.4, 0.85, 0.15, (0.8, 1.5), 0.0, 0.015, 1.0, 0.06),
    PhaseKind.WORK: _Manner(1.6, 0.35, 0.12, (0.4, 0.9), -0.45, 0.010, 0.0, 0.03),
}


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """The camera's path on a dense grid. World and neutral camera axes: x right, y down, z forward.

    Attributes:
        time_s: float64 [N], session time, from -LEAD_S to duration + LEAD_S.
        angles_rad: float64 [N, 3], yaw (right), pitch (up) and roll (clockwise); world from camera is
            Ry(yaw) Rx(pitch) Rz(roll).
        position_m: float64 [N, 3], world axes.
        gyro_rad_s: float64 [N, 3], angular velocity of the body in camera axes.
        accel_m_s2: float64 [N, 3], specific force in camera axes (at rest it points up: y = -9.81).
    """

    time_s: NDArray[np.float64]
    angles_rad: NDArray[np.float64]
    position_m: NDArray[np.float64]
    gyro_rad_s: NDArray[np.float64]
    accel_m_s2: NDArray[np.float64]

    def __post_init__(self) -> None:
        for array in (self.time_s, self.angles_rad, self.position_m, self.gyro_rad_s, self.accel_m_s2):
            array.setflags(write=False)

    def at(self, values: NDArray[np.float64], t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """One of the [N, 3] attributes, interpolated at session times `t_s` [M]: float64 [M, 3]."""
        return np.stack([np.interp(t_s, self.time_s, values[:, axis]) for axis in range(3)], axis=1)

    def world_from_camera(self, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotation matrices at session times `t_s` [M]: float64 [M, 3, 3]."""
        return rotation_matrices(self.at(self.angles_rad, t_s))

    def smooth_heading(self, t_s: float) -> tuple[float, float]:
        """Yaw and pitch (rad) averaged over the second around `t_s`: where the worker faces, without glances."""
        near = np.abs(self.time_s - t_s) < 0.5
        yaw, pitch, _ = self.angles_rad[near].mean(axis=0)
        return float(yaw), float(pitch)


def rotation_matrices(angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ry(yaw) Rx(pitch) Rz(roll) for angles [M, 3]: float64 [M, 3, 3]."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles_rad).T, np.sin(angles_rad).T
    rows = [
        [cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp],
        [cp * sr, cp * cr, -sp],
        [-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def make_motion(phases: Sequence[Phase], rng: np.random.Generator) -> HeadMotion:
    """A head's path through the phases, which must follow each other without gaps from zero.

    Args:
        phases: at least one; the first and the last go on for LEAD_S beyond the video.
        rng: the only source of chance.

    Raises:
        SettingsError: phases that are empty, overlap or leave gaps.
    """
    _check_phases(phases)
    end_s = phases[-1].end_s
    time_s = np.arange(round((end_s + 2 * LEAD_S) * _GRID_HZ) + 1) / _GRID_HZ - LEAD_S
    angles = np.stack([*_glances(time_s, phases, rng), np.zeros_like(time_s)], axis=1)
    tremor = _per_phase(time_s, phases, "tremor_rad")
    for axis in range(3):
        angles[:, axis] += tremor * _band_noise(rng, len(time_s), low_hz=0.3, high_hz=3.5)
    sway = _per_phase(time_s, phases, "sway_m")
    position = np.stack([sway * _band_noise(rng, len(time_s), low_hz=0.05, high_hz=0.5) for _ in range(3)], axis=1)
    _add_gait(time_s, _per_phase(time_s, phases, "gait_gain"), rng, angles, position)
    return moving_along(time_s, angles, position)


def moving_along(
    time_s: NDArray[np.float64], angles_rad: NDArray[np.float64], position_m: NDArray[np.float64]
) -> HeadMotion:
    """The motion along a path; the arguments are the attributes of `HeadMotion`, on a grid of a millisecond."""
    world_from_camera = rotation_matrices(angles_rad)
    velocity = np.gradient(position_m, 1 / _GRID_HZ, axis=0)
    acceleration = np.gradient(velocity, 1 / _GRID_HZ, axis=0)
    specific_force = acceleration - np.array([0.0, GRAVITY_M_S2, 0.0])
    return HeadMotion(
        time_s=time_s,
        angles_rad=angles_rad,
        position_m=position_m,
        gyro_rad_s=_body_rates(angles_rad),
        accel_m_s2=np.einsum("nji,nj->ni", world_from_camera, specific_force),
    )


def _check_phases(phases: Sequence[Phase]) -> None:
    starts = [phase.start_s for phase in phases]
    ends = [phase.end_s for phase in phases]
    is_whole = bool(phases) and starts == [0.0, *ends[:-1]] and all(a < b for a, b in zip(starts, ends, strict=True))
    if not is_whole:
        raise SettingsError(
            f"phases {list(phases)!r} do not follow each other from 0 s without gaps.",
            consequence="No motion can be made of them.",
            mend="Start the first phase at 0 and each other one where the one before it ends.",
        )


def _per_phase(time_s: NDArray[np.float64], phases: Sequence[Phase], name: str) -> NDArray[np.float64]:
    """A manner's number over time, blended smoothly from phase to phase."""
    values = np.array([getattr(_MANNERS[phase.kind], name) for phase in phases], dtype=np.float64)
    index = np.searchsorted([phase.end_s for phase in phases[:-1]], time_s, side="right")
    window = np.hanning(round(_BLEND_S * _GRID_HZ) + 2)[1:-1]
    padded = np.pad(values[index], (len(window) // 2, len(window) - 1 - len(window) // 2), mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _glances(
    time_s: NDArray[np.float64], phases: Sequence[Phase], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Yaw and pitch as a chain of minimum-jerk moves from one point of interest to the next."""
    yaw, pitch = np.zeros_like(time_s), np.zeros_like(time_s)
    at_yaw, at_pitch = 0.0, _MANNERS[phases[0].kind].pitch_level_rad
    pitch += at_pitch
    for index, phase in enumerate(phases):
        manner = _MANNERS[phase.kind]
        start_s = -LEAD_S if index == 0 else phase.start_s
        end_s = phase.end_s + (LEAD_S if index == len(phases) - 1 else 0.0)
        while start_s < end_s:
            # Turning mostly away from where it looks now keeps the head inside its reach and busy.
            side = -1.0 if at_yaw > 0 or (at_yaw == 0 and rng.random() < 0.5) else 1.0
            to_yaw = side * manner.yaw_reach_rad * rng.uniform(0.3, 1.0)
            to_pitch = manner.pitch_level_rad + manner.pitch_reach_rad * rng.uniform(-1.0, 1.0)
            reach = max(abs(to_yaw - at_yaw), abs(to_pitch - at_pitch))
            lasts_s = max(0.4, PEAK_OF_MIN_JERK * reach / rng.uniform(*manner.peak_rate_rad_s))
            share = min_jerk((time_s - start_s) / lasts_s)
            yaw += (to_yaw - at_yaw) * share
            pitch += (to_pitch - at_pitch) * share
            at_yaw, at_pitch = to_yaw, to_pitch
            start_s += max(lasts_s, manner.glance_every_s * rng.uniform(0.7, 1.3))
    return yaw, pitch


def min_jerk(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a smooth movement has come, 0 to 1, when `share` of its time is over; at rest before 0 and after 1."""
    s = np.clip(share, 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def _band_noise(rng: np.random.Generator, count: int, *, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Noise of unit RMS between two frequencies, with soft edges."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / _GRID_HZ)
    spectrum *= np.exp(-((frequency / high_hz) ** 4)) * (1 - np.exp(-((frequency / low_hz) ** 4)))
    noise = np.fft.irfft(spectrum, count)
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)


def _add_gait(
    time_s: NDArray[np.float64],
    gain: NDArray[np.float64],
    rng: np.random.Generator,
    angles: NDArray[np.float64],
    position: NDArray[np.float64],
) -> None:
    """The bob of each step (about 2 Hz) and the sway of each stride (half of it), added in place."""
    steps = 2 * np.pi * rng.uniform(1.8, 2.2) * time_s + rng.uniform(0, 2 * np.pi)
    position[:, 1] += 0.018 * gain * np.sin(steps)
    position[:, 0] += 0.020 * gain * np.sin(steps / 2)
    angles[:, 1] += 0.012 * gain * np.sin(steps + 0.7)
    angles[:, 0] += 0.015 * gain * np.sin(steps / 2 + 0.4)
    angles[:, 2] += 0.012 * gain * np.sin(steps / 2)


def _body_rates(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angular velocity in camera axes from the rates of yaw, pitch and roll."""
    yaw_rate, pitch_rate, roll_rate = np.gradient(angles, 1 / _GRID_HZ, axis=0).T
    pitch, roll = angles[:, 1], angles[:, 2]
    return np.stack(
        [
            yaw_rate * np.cos(pitch) * np.sin(roll) + pitch_rate * np.cos(roll),
            yaw_rate * np.cos(pitch) * np.cos(roll) - pitch_rate * np.sin(roll),
            roll_rate - yaw_rate * np.sin(pitch),
        ],
        axis=1,
    )
