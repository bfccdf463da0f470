"""Head rotations with a known clock, as the picture and the sensor would report them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.clock import ClockAlignment

_GRID_HZ = 500.0
_LEAD_S = 3.0


@dataclass(frozen=True, eq=False)
class Session:
    """One synthetic recording; `offset_ns` and `drift_ppm` are its true clock."""

    pts_ns: np.ndarray
    rotation_rad: np.ndarray
    rotation_inliers: np.ndarray
    imu: ImuStream
    offset_ns: int
    drift_ppm: float
    mount: Rotation
    bias_rad_s: np.ndarray
    rate_rad_s: np.ndarray  # true rate at the frames, camera axes

    @property
    def seen(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.pts_ns, self.rotation_rad, self.rotation_inliers

    def with_gyro(self, gyro_rad_s: np.ndarray) -> ImuStream:
        return replace(self.imu, gyro_rad_s=gyro_rad_s)

    def error_ms(self, alignment: ClockAlignment, share: float = 0.5) -> float:
        """How far the alignment puts an instant of the recording from where it was."""
        at_ns = int(self.pts_ns[-1] * share)
        device_ns = round((at_ns - self.offset_ns) / (1 + self.drift_ppm * 1e-6))
        return float(alignment.to_session_ns(np.array([device_ns]))[0] - at_ns) * 1e-6


def make_session(
    seed: int = 0,
    *,
    duration_s: float = 20.0,
    manner: str = "work",
    drift_ppm: float = 0.0,
    offset_s: float = 0.8,
    device_epoch_s: float = 0.0,
    focal_error: float = 1.2,
    is_variable_rate: bool = False,
    dropped_share: float = 0.01,
    visual_noise_rad: float = 3e-4,
    imu_lead_s: float = 2.0,
) -> Session:
    """Draw a recording; the device clock starts `device_epoch_s` late and `offset_s` off."""
    rng = np.random.default_rng(seed)
    grid_s = np.arange(-_LEAD_S, duration_s + _LEAD_S, 1 / _GRID_HZ)
    rate = _head_rate(rng, grid_s, manner)
    if is_variable_rate:
        pts_s = np.cumsum(np.concatenate([[0.0], rng.uniform(0.025, 0.06, int(duration_s / 0.0425))]))
    else:
        pts_s = np.arange(int(duration_s * 30)) / 30
    pts_ns = np.rint(pts_s * 1e9).astype(np.int64)
    turned = np.vstack([np.zeros(3), np.cumsum((rate[1:] + rate[:-1]) / 2 / _GRID_HZ, axis=0)])
    rotation = np.vstack([np.zeros(3), np.diff(_at(pts_s, grid_s, turned), axis=0)])
    rotation = rotation * [focal_error, focal_error, 1.0] + rng.normal(size=rotation.shape) * visual_noise_rad
    inliers = np.full(len(pts_ns), 90, np.int32)
    inliers[0] = 0
    mount = Rotation.random(random_state=seed)
    bias = rng.normal(size=3) * 0.01
    sample_s = np.arange(-imu_lead_s, duration_s + imu_lead_s, 1 / 200)
    sample_s = sample_s[rng.random(len(sample_s)) >= dropped_share]
    gyro = mount.inv().apply(_at(sample_s, grid_s, rate)) + bias + rng.normal(size=(len(sample_s), 3)) * 0.005
    device_s = (sample_s - offset_s) / (1 + drift_ppm * 1e-6)
    device_ns = np.rint(device_s * 1e9).astype(np.int64) + round(device_epoch_s * 1e9)
    accel = mount.inv().apply(np.tile([0.0, -9.81, 0.0], (len(sample_s), 1)))
    return Session(
        pts_ns=pts_ns,
        rotation_rad=rotation,
        rotation_inliers=inliers,
        imu=ImuStream("head_imu", "head", device_ns, accel, gyro),
        offset_ns=round((offset_s - (1 + drift_ppm * 1e-6) * device_epoch_s) * 1e9),
        drift_ppm=drift_ppm,
        mount=mount,
        bias_rad_s=bias,
        rate_rad_s=_at(pts_s, grid_s, rate),
    )


def _head_rate(rng: np.random.Generator, grid_s: np.ndarray, manner: str) -> np.ndarray:
    rate = np.zeros((len(grid_s), 3))
    for width_s, gain in ((0.4, 0.5), (0.12, 0.35)):
        drawn = gaussian_filter1d(rng.normal(size=rate.shape), width_s * _GRID_HZ, axis=0)
        rate += gain * drawn / drawn.std(axis=0) * [0.6, 1.0, 0.35]
    if manner == "walk":
        rate *= 0.3
        pace_hz = rng.uniform(1.7, 2.1)
        for axis, gain in enumerate((0.25, 0.15, 0.1)):
            step, sway = rng.uniform(0, 2 * np.pi, 2)
            rate[:, axis] += gain * np.sin(2 * np.pi * pace_hz * grid_s + step)
            rate[:, axis] += 0.4 * gain * np.sin(np.pi * pace_hz * grid_s + sway)
    return rate * 0.02 if manner == "still" else rate


def _at(t_s: np.ndarray, grid_s: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.column_stack([np.interp(t_s, grid_s, column) for column in values.T])


@pytest.fixture(scope="session", name="make_session")
def make_session_fixture():
    return make_session


def make_alignment(**overrides) -> ClockAlignment:
    values = {
        "stream_id": "head_imu",
        "method": "test/1",
        "offset_ns": 0,
        "drift_ppm": 0.0,
        "offset_sd_ns": 500_000.0,
        "drift_sd_ppm": 1.0,
        "residual_ms": 0.5,
        "max_residual_ms": 1.0,
        "correlation": 0.9,
        "distinctness": 5.0,
        "confidence": 0.8,
        "window_count": 5,
        "camera_from_sensor": (1.0, 0.0, 0.0, 0.0),
        "gyro_bias_rad_s": np.zeros(3),
        "is_accepted": True,
        "reason": None,
        "detail": "",
        "search_offset_ns": np.zeros(1, np.int64),
        "search_score": np.zeros(1),
        "window_t_ns": np.zeros(1, np.int64),
        "window_residual_ns": np.zeros(1),
    }
    return ClockAlignment(**{**values, **overrides})


@pytest.fixture(scope="session", name="make_alignment")
def make_alignment_fixture():
    return make_alignment
