"""How fast sensor files become streams, beside pandas.read_csv and pyarrow.csv on the same samples, in one run.

    python benchmarks/sensor_parsing.py [rows]

The inputs are written here, from a seed; what only a device writes (GPMF, VRS) is taken from the folder that
HARCHIVE_REALDATA names. Every figure is the best of three. A VRS file is read twice in a process of its own, once for
its channels; in a short recording that is all the time it takes.
"""

import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from mcap.writer import Writer
from numpy.typing import NDArray
from pyarrow import csv, parquet

from harchive_dagster.landing.formats.protocol import FormatReader
from harchive_dagster.landing.formats.registry import reader_named
from harchive_dagster.landing.formats.tabular_kinds import ACCEL_COLUMNS, GYRO_COLUMNS, TIME_COLUMN
from harchive_dagster.landing.manifest import StreamSpec

RATE_HZ = 200.0
START_NS = 1_767_225_600_000_000_000  # as long as a wall clock's, which is what text parsers pay for
REPEATS = 3
STREAM = StreamSpec(stream_id="imu_head", placement="head", kind="imu", rate_hz=RATE_HZ)

# sensor_msgs/msg/Imu with a frame_id of three letters, as CDR.
CDR_IMU = np.dtype(
    [
        ("encapsulation", "V4"),
        ("sec", "<i4"),
        ("nanosec", "<u4"),
        ("frame_id_length", "<u4"),
        ("frame_id", "S4"),
        ("orientation", "<f8", 4),
        ("orientation_covariance", "<f8", 9),
        ("angular_velocity", "<f8", 3),
        ("angular_velocity_covariance", "<f8", 9),
        ("linear_acceleration", "<f8", 3),
        ("linear_acceleration_covariance", "<f8", 9),
    ]
)


@dataclass(frozen=True)
class Samples:
    """What is written in every format: int64 [N], float64 [N, 3], float64 [N, 3]."""

    t_ns: NDArray[np.int64]
    accel_m_s2: NDArray[np.float64]
    gyro_rad_s: NDArray[np.float64]

    def table(self) -> pa.Table:
        """With the columns that CSV and Parquet have."""
        columns = dict(zip(ACCEL_COLUMNS, self.accel_m_s2.T, strict=True))
        columns |= dict(zip(GYRO_COLUMNS, self.gyro_rad_s.T, strict=True))
        return pa.table({TIME_COLUMN: self.t_ns} | columns)


@dataclass(frozen=True)
class Figure:
    """One line of the table; without a time, the reason why."""

    name: str
    rows: int = 0
    seconds: float = 0.0
    recorded_s: float = 0.0
    skipped: str = ""

    @property
    def rows_per_s(self) -> float:
        """Of a figure that was not skipped."""
        return self.rows / self.seconds


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        figures = list(_figures(_samples(count), Path(folder)))
    pandas, arrow = (figure.rows_per_s for figure in figures[:2])
    print(f"{'':24}{'rows':>9}{'ms':>10}{'rows/s':>13}{'x pandas':>10}{'x pyarrow':>11}{'x real time':>13}")
    for figure in figures:
        if figure.skipped:
            print(f"{figure.name:24}{'skipped: ' + figure.skipped:>9}")
            continue
        print(
            f"{figure.name:24}{figure.rows:9,}{figure.seconds * 1e3:10.1f}{figure.rows_per_s:13,.0f}"
            f"{figure.rows_per_s / pandas:10.2f}{figure.rows_per_s / arrow:11.2f}"
            f"{figure.recorded_s / figure.seconds:13,.1f}"
        )


def _figures(samples: Samples, folder: Path) -> Iterator[Figure]:
    table = samples.table()
    csv_path = folder / "imu.csv"
    csv.write_csv(table, csv_path)
    parquet.write_table(table, folder / "imu.parquet")
    recorded_s = len(samples.t_ns) / RATE_HZ
    for name, job in {
        "pandas.read_csv": lambda: pd.read_csv(csv_path),
        "pyarrow.csv.read_csv": lambda: csv.read_csv(csv_path),
    }.items():
        yield Figure(name, len(samples.t_ns), _best_s(job), recorded_s)
    yield _read("csv", csv_path)
    yield _read("parquet", folder / "imu.parquet")
    yield _read("mcap", _write_mcap(folder / "json.mcap", "json", _json_messages(samples)), "mcap, JSON")
    yield _read("mcap", _write_mcap(folder / "cdr.mcap", "cdr", _cdr_messages(samples)), "mcap, ROS 2 CDR")
    yield _read("sensor_logger", _write_sensor_logger(folder / "export.zip", samples))
    real = Path(os.environ.get("HARCHIVE_REALDATA", folder / "nothing"))
    yield _read("gpmf", real / "gopro_max_walk.mp4")
    yield _read("vrs", real / "aria_gen2_multi_stream.vrs")


def _read(file_format: str, path: Path, name: str = "") -> Figure:
    name = name or file_format
    reader = reader_named(file_format)
    if reader is None:
        return Figure(name, skipped="no reader of that name")
    if not path.is_file():
        return Figure(name, skipped="no recording; HARCHIVE_REALDATA names the folder")
    channel = next(channel.name for channel in reader.probe(path) if channel.kind == "imu")
    t_ns = _times_ns(reader, path, channel)
    seconds = _best_s(lambda: reader.read(path, STREAM, channel))
    return Figure(name, len(t_ns), seconds, float(np.ptp(t_ns)) / 1e9)


def _times_ns(reader: FormatReader, path: Path, channel: str) -> NDArray[np.int64]:
    return reader.read(path, STREAM, channel).stream.t_device_ns


def _best_s(job: Callable[[], object]) -> float:
    times_s = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        job()
        times_s.append(time.perf_counter() - started)
    return min(times_s)


def _samples(count: int) -> Samples:
    rng = np.random.default_rng(20)
    t_ns = START_NS + (np.arange(count) * 1e9 / RATE_HZ).astype(np.int64)
    return Samples(t_ns, rng.normal((0.1, 0.2, 9.81), 1.0, (count, 3)), rng.normal(0.0, 0.5, (count, 3)))


def _json_messages(samples: Samples) -> Iterator[bytes]:
    for t_ns, accel, gyro in zip(
        samples.t_ns.tolist(), samples.accel_m_s2.tolist(), samples.gyro_rad_s.tolist(), strict=True
    ):
        vectors = ('{{"x":{},"y":{},"z":{}}}'.format(*vector) for vector in (gyro, accel))
        yield '{{"t_device_ns":{},"angular_velocity":{},"linear_acceleration":{}}}'.format(t_ns, *vectors).encode()


def _cdr_messages(samples: Samples) -> Iterator[bytes]:
    messages = np.zeros(len(samples.t_ns), CDR_IMU)
    messages["encapsulation"] = np.void(b"\x00\x01\x00\x00")
    messages["sec"], messages["nanosec"] = np.divmod(samples.t_ns, 10**9)
    messages["frame_id_length"], messages["frame_id"] = 4, b"imu"
    messages["orientation"] = (0.0, 0.0, 0.0, 1.0)
    messages["angular_velocity"], messages["linear_acceleration"] = samples.gyro_rad_s, samples.accel_m_s2
    return (message.tobytes() for message in messages)


def _write_mcap(path: Path, encoding: str, messages: Iterator[bytes]) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library="benchmark")
        schema_encoding = {"json": "jsonschema", "cdr": "ros2msg"}[encoding]
        schema = writer.register_schema(name="sensor_msgs/msg/Imu", encoding=schema_encoding, data=b"{}")
        channel = writer.register_channel(topic="/head/imu", message_encoding=encoding, schema_id=schema)
        for index, message in enumerate(messages):
            log_time = START_NS + int(index * 1e9 / RATE_HZ)
            writer.add_message(
                channel_id=channel, log_time=log_time, publish_time=log_time, sequence=index, data=message
            )
        writer.finish()
    return path


def _write_sensor_logger(path: Path, samples: Samples) -> Path:
    elapsed_s = (samples.t_ns - samples.t_ns[0]) / 1e9
    metadata = "version,device name,platform,appVersion,standardisation\n3,phone,android,1.47.1,false\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Metadata.csv", metadata)
        for name, xyz in {"TotalAcceleration": samples.accel_m_s2, "Gyroscope": samples.gyro_rad_s}.items():
            columns = {"time": samples.t_ns, "seconds_elapsed": elapsed_s} | dict(zip("zyx", xyz.T[::-1], strict=True))
            with archive.open(f"{name}.csv", "w") as file:
                csv.write_csv(pa.table(columns), file)
    return path


if __name__ == "__main__":
    main()
