"""A sensor's samples on the frames of the video, in camera axes. The clocks' relation is taken as given."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.clock import Clock
from harchive_dagster.sync.interval_rates import SampledSignal

_GAP_S = 0.020
_GAP_PERIODS = 2.0
"""A value is measured when a native sample lies within 20 ms (or two periods of a slow sensor): hands and head turn
below 5 Hz, a line between samples 40 ms apart still follows them."""

_GAIN = 0.033
"""Madgwick's step for an inertial sensor without magnetometer (his report of 2010, section 6)."""

_LEVEL_S = 1.0
"""The start level is the mean specific force over this long: one step of walking averages out."""


@dataclass(frozen=True, eq=False)
class SyncedFrames:
    """One entry per frame; arrays are read-only and of one length N. All vectors are in camera axes.

    Attributes:
        t_ns: int64, session time of the frame.
        accel_m_s2: float64 [N, 3], specific force (gravity included), mean over one frame step centred on the frame.
        gyro_rad_s: float64 [N, 3], likewise; as measured, the bias is not subtracted.
        orientation_wxyz: float64 [N, 4], unit quaternion that rotates camera axes into the session's level frame: z
            up, x along the camera's horizontal viewing direction at the first frame, right-handed. Heading drifts, as
            no magnetometer is used. Consecutive signs agree.
        imu_window: float64 [N, K, 6], accel then gyro, means over K equal parts of [pts_i, pts_i+1).
        has_gap: bool, no native sample near the frame or near some instant of its interval: values are interpolated
            across the gap, or held beyond the sensor's ends; or the clock was set within the frame, or is unknown.
    """

    t_ns: NDArray[np.int64]
    accel_m_s2: NDArray[np.float64]
    gyro_rad_s: NDArray[np.float64]
    orientation_wxyz: NDArray[np.float64]
    imu_window: NDArray[np.float64]
    has_gap: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for field in fields(self):
            array: NDArray[Any] = getattr(self, field.name)
            if len(array) != len(self.t_ns):
                raise ValueError(f"{field.name} has {len(array)} entries, t_ns has {len(self.t_ns)}")
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.t_ns)


def synced_frames(pts_ns: NDArray[np.int64], imu: ImuStream, mapping: Clock, *, window_size: int = 8) -> SyncedFrames:
    """Put a sensor on the frames.

    Means are exact integrals of the linearly interpolated samples, so nothing above the frame rate folds down, and a
    variable frame rate needs no special case.

    Args:
        pts_ns: int64 [N], strictly increasing, N >= 2.
        imu: the stream that was aligned.
        mapping: of its accepted mapping.
        window_size: K, samples per frame in `imu_window`.

    Raises:
        ValueError: fewer than 2 frames, or a window without samples.
    """
    if len(pts_ns) < 2 or window_size < 1:
        raise ValueError(f"{len(pts_ns)} frames and a window of {window_size} samples cannot be resampled")
    origin_ns = int(imu.t_device_ns[0])
    signal = _in_camera_axes(imu, mapping, origin_ns)
    steps_ns = np.diff(pts_ns)
    ends_ns = np.append(pts_ns[1:], pts_ns[-1] + round(float(np.median(steps_ns))))
    frame_s = _device_s(mapping, pts_ns, origin_ns)
    end_s = _device_s(mapping, ends_ns, origin_ns)
    following = end_s - frame_s
    width = (following + np.append(following[0], following[:-1])) / 2
    at_frame = signal.mean_between(frame_s - width / 2, frame_s + width / 2)
    parts = np.linspace(0.0, 1.0, window_size + 1)
    edges = frame_s[:, None] + parts * following[:, None]
    return SyncedFrames(
        t_ns=pts_ns.copy(),
        accel_m_s2=at_frame[:, :3].copy(),
        gyro_rad_s=at_frame[:, 3:].copy(),
        orientation_wxyz=_orientation(signal, imu, mapping, frame_s),
        imu_window=signal.mean_between(edges[:, :-1], edges[:, 1:]),
        has_gap=_has_gap(signal.t_s, frame_s, end_s) | mapping.is_broken(pts_ns, ends_ns),
    )


def _in_camera_axes(imu: ImuStream, mapping: Clock, origin_ns: int) -> SampledSignal:
    rotation = _matrix(mapping.camera_from_sensor)
    values = np.hstack([imu.accel_m_s2 @ rotation.T, imu.gyro_rad_s @ rotation.T])
    return SampledSignal((imu.t_device_ns - origin_ns).astype(np.float64) * 1e-9, values)


def _device_s(mapping: Clock, t_session_ns: NDArray[np.int64], origin_ns: int) -> NDArray[np.float64]:
    return (mapping.to_device_ns(t_session_ns) - origin_ns).astype(np.float64) * 1e-9


def _has_gap(
    sample_s: NDArray[np.float64], start_s: NDArray[np.float64], end_s: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether some instant of [start, end) is farther from every sample than the tolerance."""
    steps = np.diff(sample_s)
    near_s = max(_GAP_S, _GAP_PERIODS * float(np.median(steps)))
    holes = np.flatnonzero(steps > 2 * near_s)
    hole_start = np.concatenate([[-np.inf], sample_s[holes] + near_s, [sample_s[-1] + near_s]])
    hole_end = np.concatenate([[sample_s[0] - near_s], sample_s[holes + 1] - near_s, [np.inf]])
    begun = np.searchsorted(hole_start, end_s, side="left")
    over = np.searchsorted(hole_end, start_s, side="right")
    return np.asarray(begun > over)


def _orientation(
    signal: SampledSignal, imu: ImuStream, mapping: Clock, frame_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Madgwick's filter at the native rate, read off at the frames."""
    from ahrs.common.orientation import acc2q
    from ahrs.filters import Madgwick

    # A regular grid keeps the filter's time step true where samples were dropped.
    rate_hz = imu.rate_hz
    grid_s = np.arange(0.0, float(signal.t_s[-1]) + 1.0 / rate_hz, 1.0 / rate_hz)
    values = signal.value_at(grid_s)
    bias = _matrix(mapping.camera_from_sensor) @ mapping.gyro_bias_rad_s
    level = acc2q(values[: max(1, round(_LEVEL_S * rate_hz)), :3].mean(axis=0))
    turned = Madgwick(gyr=values[:, 3:] - bias, acc=values[:, :3], frequency=rate_hz, gain_imu=_GAIN, q0=level).Q
    position = np.clip(frame_s * rate_hz, 0, len(grid_s) - 1)
    left = np.minimum(position.astype(np.intp), len(grid_s) - 2)
    share = (position - left)[:, None]
    first, second = turned[left], turned[left + 1]
    same_sign = np.where((first * second).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    # Neighbours are a few milliradians apart: the chord equals the arc.
    blended = (1 - share) * first + share * same_sign * second
    return _facing_first_view(blended / np.linalg.norm(blended, axis=1, keepdims=True))


def _facing_first_view(camera_to_level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn about the vertical so that the first frame looks along x, and make signs continuous."""
    from scipy.spatial.transform import Rotation

    rotations = Rotation.from_quat(camera_to_level[:, [1, 2, 3, 0]])
    view = rotations[0].apply([0.0, 0.0, 1.0])
    turned = Rotation.from_euler("z", -float(np.arctan2(view[1], view[0]))) * rotations
    quaternions = np.asarray(turned.as_quat(), dtype=np.float64)[:, [3, 0, 1, 2]]
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(axis=1))
    signs = np.concatenate([[1.0 if quaternions[0, 0] >= 0 else -1.0], np.where(flips < 0, -1.0, 1.0)])
    return quaternions * np.cumprod(signs)[:, None]


def _matrix(quaternion_wxyz: tuple[float, float, float, float]) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    w, x, y, z = quaternion_wxyz
    return np.asarray(Rotation.from_quat([x, y, z, w]).as_matrix(), dtype=np.float64)
