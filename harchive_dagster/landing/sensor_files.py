"""Readers of inertial sensor files, one per format, all giving an `ImuStream`. Clock mapping belongs to `sync`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream

if TYPE_CHECKING:
    import pyarrow as pa

TIME_COLUMN = "t_device_ns"
ACCEL_COLUMNS = ("accel_x_m_s2", "accel_y_m_s2", "accel_z_m_s2")
GYRO_COLUMNS = ("gyro_x_rad_s", "gyro_y_rad_s", "gyro_z_rad_s")
MAG_COLUMNS = ("mag_x_ut", "mag_y_ut", "mag_z_ut")
_COLUMNS = (TIME_COLUMN, *ACCEL_COLUMNS, *GYRO_COLUMNS, *MAG_COLUMNS)

# 14 hours at 1 kHz, about 4 GB as arrays: a small compressed file may not claim more than a host can hold.
_MAX_SAMPLES = 50_000_000
# Gravity alone is 9.8; the median of hours of work stays near it. In g it would be 1, in milli-g 1000.
_ACCEL_MEDIAN_M_S2 = (5.0, 15.0)
# Wrists reach 35 rad/s in a throw; consumer gyroscopes saturate at 2000 deg/s = 34.9. In deg/s, turns exceed 50.
_GYRO_MAX_RAD_S = 50.0
_RATE_TOLERANCE = 0.2
_MEND = "Re-export the sensor file from the device, or remove the stream from the manifest's rig."


def read_imu(path: Path, stream: StreamSpec, *, file_format: str | None = None) -> ImuStream:
    """Read one inertial sensor file.

    Args:
        path: the file.
        stream: the rig's declaration of the stream.
        file_format: a key of `READERS`; by default the file name's suffix.

    Returns:
        The samples as they are in the file: device clock, sensor axes.

    Raises:
        LandingError: SENSOR_UNREADABLE for an unknown format, missing, repeated or mistyped columns, empty cells,
            values that are not finite, or bytes that are not the format at all; SENSOR_NOT_MONOTONIC for device
            time that does not increase.
    """
    name = file_format if file_format is not None else path.suffix.removeprefix(".").lower()
    reader = READERS.get(name)
    if reader is None:
        raise _unreadable(path, stream, f"has format {name!r}, known are {', '.join(sorted(READERS))}")
    table = _read(reader, path, stream)
    has_mag = any(column in table.column_names for column in MAG_COLUMNS)
    return ImuStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=_column(table, TIME_COLUMN, path, stream),
        accel_m_s2=_vector(table, ACCEL_COLUMNS, path, stream),
        gyro_rad_s=_vector(table, GYRO_COLUMNS, path, stream),
        mag_ut=_vector(table, MAG_COLUMNS, path, stream) if has_mag else None,
    )


def check_plausible(imu: ImuStream, declared_rate_hz: float) -> None:
    """Refuse streams whose unit or rate cannot be what was declared.

    Raises:
        LandingError: SENSOR_IMPLAUSIBLE, naming every figure out of bounds.
    """
    with np.errstate(over="ignore"):  # absurd but finite values may overflow; infinity is out of bounds too
        accel = float(np.median(np.linalg.norm(imu.accel_m_s2, axis=1)))
        gyro = float(np.max(np.linalg.norm(imu.gyro_rad_s, axis=1)))
    low, high = _ACCEL_MEDIAN_M_S2
    problems = []
    if not low <= accel <= high:
        problems.append(f"median |accel| is {accel:.3g} m/s^2, expected {low:g} to {high:g} (in g, or no gravity?)")
    if not gyro < _GYRO_MAX_RAD_S:
        problems.append(f"max |gyro| is {gyro:.3g} rad/s, expected under {_GYRO_MAX_RAD_S:g} (in degrees?)")
    if not abs(imu.rate_hz - declared_rate_hz) <= _RATE_TOLERANCE * declared_rate_hz:
        problems.append(f"rate is {imu.rate_hz:.4g} Hz, declared {declared_rate_hz:g} (within {_RATE_TOLERANCE:.0%})")
    if problems:
        raise LandingError(
            Reason.SENSOR_IMPLAUSIBLE,
            f"stream {imu.stream_id!r}: {'; '.join(problems)}.",
            mend="Export SI units (m/s^2 with gravity, rad/s), and declare the device's true rate.",
            evidence={
                "accel_median_m_s2": accel if np.isfinite(accel) else None,
                "gyro_max_rad_s": gyro if np.isfinite(gyro) else None,
                "rate_hz": imu.rate_hz,
                "declared_rate_hz": declared_rate_hz,
            },
        )


def _unreadable(path: Path, stream: StreamSpec, problem: str) -> LandingError:
    return LandingError(
        Reason.SENSOR_UNREADABLE,
        f"stream {stream.stream_id!r}: file {path.name!r} {problem}.",
        mend=_MEND,
        evidence={"file": path.name},
    )


def _read(reader: "Callable[[Path], pa.Table]", path: Path, stream: StreamSpec) -> "pa.Table":
    import pyarrow as pa

    if not path.is_file():
        raise _unreadable(path, stream, "is not there")
    try:
        table = reader(path)
        # By position: names may repeat, which is judged later; one that is not UTF-8 fails here.
        return table.select([i for i, name in enumerate(table.column_names) if name in _COLUMNS])
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise _unreadable(path, stream, f"cannot be read: {first_line[:200]!a}") from None


def _read_csv(path: Path) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv

    types = {name: pa.int64() if name == TIME_COLUMN else pa.float64() for name in _COLUMNS}
    return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types))


def _read_parquet(path: Path) -> "pa.Table":
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        if file.metadata.num_rows > _MAX_SAMPLES:
            raise ValueError(f"it claims {file.metadata.num_rows} samples, at most {_MAX_SAMPLES} are read")
        return file.read(columns=[name for name in file.schema_arrow.names if name in _COLUMNS])


def _column(table: "pa.Table", name: str, path: Path, stream: StreamSpec) -> NDArray[Any]:
    import pyarrow as pa

    count = table.column_names.count(name)
    if count != 1:
        raise _unreadable(path, stream, f"has column {name!r} {count} times, expected once")
    column = table.column(name)
    is_time = name == TIME_COLUMN
    if not (pa.types.is_integer(column.type) or (pa.types.is_floating(column.type) and not is_time)):
        expected = "int64" if is_time else "float64"
        raise _unreadable(path, stream, f"has column {name!r} of type {column.type}, expected {expected}")
    if column.null_count:
        raise _unreadable(path, stream, f"has {column.null_count} empty cells in column {name!r}")
    try:
        values: NDArray[Any] = column.cast(pa.int64() if is_time else pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        raise _unreadable(path, stream, f"has values in column {name!r} that do not fit") from None
    return values


def _vector(table: "pa.Table", names: tuple[str, str, str], path: Path, stream: StreamSpec) -> NDArray[np.float64]:
    return np.column_stack([_column(table, name, path, stream) for name in names])


READERS: "dict[str, Callable[[Path], pa.Table]]" = {"csv": _read_csv, "parquet": _read_parquet}
"""File formats by name. A reader gives a table with the columns above; `read_imu` checks what is in it."""
