"""The inertial stream as arrays. Validated once at construction; readers build it, sync consumes it.

No file formats here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError
from harchive_dagster.reasons import Reason

_MEND = "Re-export the sensor file from the device, or remove the stream from the manifest's rig."


def _frozen(values: Any, dtype: type) -> NDArray[Any]:
    array: NDArray[Any] = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class ImuStream:
    """One IMU's samples at its native rate, in the sensor's own axes and on the device's own clock.

    Attributes:
        stream_id: the manifest's name for the stream.
        placement: where it is worn (head, left_wrist, ...).
        t_device_ns: int64 [N], strictly increasing.
        accel_m_s2: float64 [N, 3], specific force (gravity included).
        gyro_rad_s: float64 [N, 3].
        mag_ut: float64 [N, 3], or None where the device has no magnetometer.

    Raises:
        LandingError: wrong shapes, no samples, values that are not finite, or time that does not increase.
    """

    stream_id: str
    placement: str
    t_device_ns: NDArray[np.int64]
    accel_m_s2: NDArray[np.float64]
    gyro_rad_s: NDArray[np.float64]
    mag_ut: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_device_ns", _frozen(self.t_device_ns, np.int64))
        object.__setattr__(self, "accel_m_s2", _frozen(self.accel_m_s2, np.float64))
        object.__setattr__(self, "gyro_rad_s", _frozen(self.gyro_rad_s, np.float64))
        if self.mag_ut is not None:
            object.__setattr__(self, "mag_ut", _frozen(self.mag_ut, np.float64))
        self._check_shapes()
        self._check_finite()
        self._check_time()

    def __len__(self) -> int:
        return len(self.t_device_ns)

    @property
    def rate_hz(self) -> float:
        """Median sampling rate; gaps do not bias it."""
        return float(1e9 / np.median(np.diff(self.t_device_ns))) if len(self) > 1 else 0.0

    def _vectors(self) -> dict[str, NDArray[np.float64]]:
        vectors = {"accel_m_s2": self.accel_m_s2, "gyro_rad_s": self.gyro_rad_s}
        if self.mag_ut is not None:
            vectors["mag_ut"] = self.mag_ut
        return vectors

    def _check_shapes(self) -> None:
        count = len(self.t_device_ns)
        if self.t_device_ns.ndim != 1 or count < 2:
            raise LandingError(
                Reason.SENSOR_UNREADABLE,
                f"stream {self.stream_id!r} has {count} samples; at least 2 are needed.",
                mend=_MEND,
            )
        for name, vector in self._vectors().items():
            if vector.shape != (count, 3):
                raise LandingError(
                    Reason.SENSOR_UNREADABLE,
                    f"stream {self.stream_id!r}: {name} has shape {vector.shape}, expected ({count}, 3).",
                    mend=_MEND,
                )

    def _check_finite(self) -> None:
        for name, vector in self._vectors().items():
            is_bad = ~np.isfinite(vector).all(axis=1)
            if is_bad.any():
                first = int(np.argmax(is_bad))
                raise LandingError(
                    Reason.SENSOR_UNREADABLE,
                    f"stream {self.stream_id!r}: {name} is not finite in {int(is_bad.sum())} samples, "
                    f"first at row {first}.",
                    mend=_MEND,
                    evidence={"row": first, "count": int(is_bad.sum())},
                )

    def _check_time(self) -> None:
        steps_ns = np.diff(self.t_device_ns)
        if (steps_ns <= 0).any():
            worst = int(np.argmin(steps_ns))
            raise LandingError(
                Reason.SENSOR_NOT_MONOTONIC,
                f"stream {self.stream_id!r}: device time goes back by {-int(steps_ns[worst])} ns after row {worst} "
                f"({int((steps_ns <= 0).sum())} such steps).",
                mend=_MEND,
                evidence={"row": worst, "step_ns": int(steps_ns[worst]), "count": int((steps_ns <= 0).sum())},
            )
