"""The inertial stream as arrays. Validated once at construction; readers build it, sync consumes it.

No file formats here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.clock_resets import carried_on
from harchive_dagster.recording.sample_checks import (
    check_finite,
    check_increasing,
    check_samples,
    median_rate_hz,
    read_only,
    unreadable,
)


@dataclass(frozen=True, eq=False)
class ImuStream:
    """One IMU's samples at its native rate, in the sensor's own axes and on the device's own clock.

    Attributes:
        stream_id: the manifest's name for the stream.
        placement: where it is worn (head, left_wrist, ...).
        t_device_ns: int64 [N], strictly increasing. Given to the constructor, it may have been set back while sampling
            went on, up to three times; it is carried on (`clock_resets`).
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
        object.__setattr__(self, "t_device_ns", read_only(carried_on(np.asarray(self.t_device_ns)), np.int64))
        vectors = {"accel_m_s2": self.accel_m_s2, "gyro_rad_s": self.gyro_rad_s}
        if self.mag_ut is not None:
            vectors["mag_ut"] = self.mag_ut
        vectors = {name: read_only(vector, np.float64) for name, vector in vectors.items()}
        for name, vector in vectors.items():
            object.__setattr__(self, name, vector)
        check_samples(self.stream_id, self.t_device_ns, vectors)
        for name, vector in vectors.items():
            if vector.shape[1:] != (3,):
                raise unreadable(self.stream_id, f"has {name} of shape {vector.shape}, expected 3 columns")
        check_finite(self.stream_id, vectors)
        check_increasing(self.stream_id, self.t_device_ns)

    def __len__(self) -> int:
        return len(self.t_device_ns)

    @property
    def rate_hz(self) -> float:
        """Median sampling rate; gaps do not bias it."""
        return median_rate_hz(self.t_device_ns)
