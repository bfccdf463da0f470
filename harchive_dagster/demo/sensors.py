"""What a head-worn inertial sensor would have recorded of a motion: its mount, its clock and its errors.

Writes the sensor files of an upload; the readers of such files live in `landing`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.motion import HeadMotion
from harchive_dagster.recording.imu import ImuStream

HEAD_STREAM_ID = "head_imu"

SENSOR_LEAD_S = 2.0
"""The sensor runs this long before the first and after the last frame."""

COLUMNS = (
    "t_device_ns",
    *("accel_x_m_s2", "accel_y_m_s2", "accel_z_m_s2"),
    *("gyro_x_rad_s", "gyro_y_rad_s", "gyro_z_rad_s"),
)


@dataclass(frozen=True)
class DeviceClock:
    """t_session = (1 + drift_ppm * 1e-6) * t_device + offset_ns."""

    offset_ns: int
    drift_ppm: float

    def device_ns(self, t_session_ns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Device time of session times."""
        return (t_session_ns - self.offset_ns) / (1 + self.drift_ppm * 1e-6)


@dataclass(frozen=True)
class SensorErrors:
    """How imperfect the sensor is. Defaults: a consumer MEMS part that nobody calibrated.

    Attributes:
        gyro_noise_rad_s, accel_noise_m_s2: standard deviation of a sample.
        gyro_bias_rad_s, accel_bias_m_s2: standard deviation of the constant bias an axis has.
        jitter_ns: standard deviation of a timestamp.
        dropped_share: of the samples, at random.
    """

    gyro_noise_rad_s: float = 0.005
    accel_noise_m_s2: float = 0.05
    gyro_bias_rad_s: float = 0.01
    accel_bias_m_s2: float = 0.05
    jitter_ns: float = 200_000.0
    dropped_share: float = 0.01

    @classmethod
    def none(cls) -> "SensorErrors":
        """A perfect sensor."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def random_quaternion(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A uniformly random rotation: w, x, y, z with w >= 0."""
    values = rng.standard_normal(4)
    values *= np.copysign(1.0, values[0]) / np.linalg.norm(values)
    w, x, y, z = (float(value) for value in values)
    return w, x, y, z


def quaternion_matrix(quaternion: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """The rotation matrix of a unit quaternion w, x, y, z."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def measure(
    motion: HeadMotion,
    *,
    duration_s: float,
    rate_hz: float,
    clock: DeviceClock,
    camera_from_sensor: tuple[float, float, float, float],
    errors: SensorErrors,
    rng: np.random.Generator,
) -> ImuStream:
    """The sensor's samples from SENSOR_LEAD_S before the first frame to as long after the last.

    Device time shares its zero roughly with the recording's start, so that samples from before are negative.
    """
    count = int((duration_s + 2 * SENSOR_LEAD_S) * rate_hz)
    t_s = np.arange(count) / rate_hz - SENSOR_LEAD_S
    t_s = t_s[rng.random(count) >= errors.dropped_share]
    # Beyond 40 % of a sample's interval two neighbours might swap.
    jitter_limit_ns = 0.4e9 / rate_hz
    jitter_ns = np.clip(errors.jitter_ns * rng.standard_normal(len(t_s)), -jitter_limit_ns, jitter_limit_ns)
    to_camera = quaternion_matrix(camera_from_sensor)

    def sensed(vectors: NDArray[np.float64], noise: float, bias: float) -> NDArray[np.float64]:
        in_sensor_axes = motion.at(vectors, t_s) @ to_camera
        return in_sensor_axes + bias * rng.standard_normal(3) + noise * rng.standard_normal((len(t_s), 3))

    return ImuStream(
        stream_id=HEAD_STREAM_ID,
        placement="head",
        t_device_ns=np.round(clock.device_ns(t_s * 1e9) + jitter_ns).astype(np.int64),
        accel_m_s2=sensed(motion.accel_m_s2, errors.accel_noise_m_s2, errors.accel_bias_m_s2),
        gyro_rad_s=sensed(motion.gyro_rad_s, errors.gyro_noise_rad_s, errors.gyro_bias_rad_s),
    )


def write_imu(path: Path, imu: ImuStream) -> None:
    """Writes the samples as CSV or, by the name's ending, as Parquet."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pa_parquet

    # Seven decimals are far below any sensor's noise and halve the CSV.
    values = np.round(np.concatenate([imu.accel_m_s2, imu.gyro_rad_s], axis=1), 7)
    table = pa.table(dict(zip(COLUMNS, [imu.t_device_ns, *values.T], strict=True)))
    if path.suffix == ".parquet":
        pa_parquet.write_table(table, path)
    else:
        pa_csv.write_csv(table, path, pa_csv.WriteOptions(quoting_style="none"))
