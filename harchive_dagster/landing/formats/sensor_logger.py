"""Exports of the phone app Sensor Logger (Kelvin Choi): a zip archive with one CSV file per sensor.

Columns, units and axes follow its documentation, github.com/tszheichoi/awesome-sensor-logger (README.md, UNITS.md,
COORDINATES.md, CROSSPLATFORM.md). How a sensor's CSV becomes rows is in `sensor_logger_rows`.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.archives import Archive, looks_like_zip, open_archive
from harchive_dagster.landing.formats.protocol import Channel, Dropped, Reading, Stream, choose_channel, unreadable
from harchive_dagster.landing.formats.sensor_logger_rows import MAX_HEADER_BYTES, SensorRows, rows_at, sensor_rows
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream

STANDARD_GRAVITY_M_S2 = 9.80665
"""What the app takes one g for (UNITS.md)."""

_IN_G_BELOW_M_S2 = STANDARD_GRAVITY_M_S2**0.5
"""Between 1 and 9.8: nobody is at a median of three g, nor for most of the time in free fall."""

_XYZ = ("x", "y", "z")
_WRIST_COLUMNS = tuple(f"{what}{axis}" for what in ("rotationRate", "acceleration", "gravity") for axis in "XYZ")
_QUATERNION = ("qw", "qx", "qy", "qz")
_FIX = ("latitude", "longitude", "altitude", "speed", "horizontalAccuracy")

_WITH_GRAVITY = (("TotalAcceleration",), ("Accelerometer", "Gravity"), ("AccelerometerUncalibrated",))
"""Sensors whose sum is acceleration with gravity, best first: `Accelerometer` is without it on both systems."""

_MAG_COVERAGE = 0.99
"""A magnetometer that starts late is left out rather than let it cost the gyroscope samples that sync needs."""

_KINDS = {"phone": "imu", "WristMotion": "imu", "Orientation": "pose", "Location": "gps"}
"""By the channel's name."""

_SENSORS = frozenset({"Gyroscope", "Magnetometer", *(name for names in _WITH_GRAVITY for name in names), *_KINDS})

_METADATA = "Metadata.csv"
_MAX_METADATA_BYTES = 2**16
_VIDEO_NAME = re.compile(r"Camera/(\d{10,16})\.mp4")


@dataclass(frozen=True)
class CameraVideo:
    """A video inside an export.

    Attributes:
        member: its name in the archive.
        session_start_ms: milliseconds since 1970, UTC, when the recording session began. The first picture comes up
            to about 0.7 s later (VIDEO_SYNCHRONIZATION.md), so that this is no clock to sync with.
    """

    member: str
    session_start_ms: int


@dataclass(frozen=True)
class _Export:
    """One open export.

    Attributes:
        sensors: members that have rows, by the sensor's name.
        is_reversed: acceleration is the reaction's opposite: -1 g on the axis that points up, at rest.
    """

    archive: Archive
    sensors: Mapping[str, str]
    is_reversed: bool

    def rows(self, stream: StreamSpec, sensor: str, columns: tuple[str, ...]) -> SensorRows:
        return sensor_rows(self.archive, self.sensors[sensor], stream, columns)


class SensorLoggerReader:
    """Sensor Logger's "Zip and CSV" export, of iOS and Android, standardised or not.

    Channels: "phone" and "WristMotion" (imu), "Orientation" (pose), "Location" (gps). Device time is the column
    `time`: nanoseconds since 1970 by the phone's clock. Text that the wearer wrote and the device's name are not read.
    """

    name = "sensor_logger"

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """The channels whose files are there; whether their rows can be used shows when they are read."""
        if not looks_like_zip(path):
            return ()
        with open_archive(path) as archive:
            export = _export(archive)
            return _channels(export) if export else ()

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """One channel; see `_phone`, `_wrist`, `_orientation` and `_location` for what each holds."""
        if not path.is_file():
            raise unreadable(path, stream, "is not there")
        with open_archive(path) as archive:
            export = _export(archive)
            if export is None:
                raise unreadable(path, stream, "is no export of Sensor Logger: it has no Metadata.csv with a platform")
            chosen = choose_channel(path, stream, channel, _channels(export))
            result, dropped = _READ[chosen.name](export, stream)
            return Reading(result, dropped)


def camera_videos(path: Path) -> tuple[CameraVideo, ...]:
    """The videos in an export, in order of time; none where it is no export.

    Raises:
        LandingError: a damaged or unsafe archive.
    """
    if not looks_like_zip(path):
        return ()
    with open_archive(path) as archive:
        if _export(archive) is None:
            return ()
        folder = _folder(archive)
        found = ((name, _VIDEO_NAME.fullmatch(name.removeprefix(folder))) for name in archive.sizes)
        videos = [CameraVideo(name, int(match[1])) for name, match in found if match]
        return tuple(sorted(videos, key=lambda video: video.session_start_ms))


def _export(archive: Archive) -> _Export | None:
    facts = _metadata(archive)
    platform = facts.get("platform", "").lower()
    if platform not in {"ios", "android"}:
        return None
    is_standardised = facts.get("standardisation", "").lower() == "true"
    members = {sensor: f"{_folder(archive)}{sensor}.csv" for sensor in _SENSORS}
    sensors = {sensor: member for sensor, member in members.items() if _has_rows(archive, member)}
    return _Export(archive, sensors, is_reversed=platform == "ios" and not is_standardised)


def _has_rows(archive: Archive, member: str) -> bool:
    """A sensor that was switched on and gave nothing leaves an empty file, or a header."""
    if member not in archive.sizes:
        return False
    with archive.open(member) as file:
        return bool(file.readline(MAX_HEADER_BYTES)) and bool(file.readline(MAX_HEADER_BYTES).strip())


def _folder(archive: Archive) -> str:
    """What stands before every member's name: nothing, or a folder."""
    return (archive.find(_METADATA) or "")[: -len(_METADATA)]


def _metadata(archive: Archive) -> dict[str, str]:
    """Names and values of Metadata.csv; empty where there is none. Holds the device's name: none of it is shown."""
    member = archive.find(_METADATA)
    if member is None:
        return {}
    raw = archive.read(member, at_most_bytes=_MAX_METADATA_BYTES)
    try:
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error):
        return {}
    return {name.strip(): value.strip() for name, value in zip(rows[0], rows[1], strict=False)} if rows[1:] else {}


def _channels(export: _Export) -> tuple[Channel, ...]:
    there = set(export.sensors)
    if "Gyroscope" in there and any(there & set(names) for names in _WITH_GRAVITY):
        there.add("phone")
    return tuple(Channel(name, kind) for name, kind in _KINDS.items() if name in there)


def _phone(export: _Export, stream: StreamSpec) -> tuple[Stream, tuple[Dropped, ...]]:
    """Gyroscope samples, with acceleration and magnetic field interpolated to their times."""
    with_gravity = next((names for names in _WITH_GRAVITY if set(names) <= set(export.sensors)), None)
    if with_gravity is None:
        raise unreadable(
            export.archive.path,
            stream,
            "has acceleration without gravity only",
            mend="Switch on the sensor Gravity in Sensor Logger for the next recording.",
        )
    gyro = export.rows(stream, "Gyroscope", _XYZ)
    parts = [export.rows(stream, name, _XYZ) for name in with_gravity]
    placed = [rows_at(gyro.t_ns, part) for part in parts]
    is_kept = np.logical_and.reduce([is_covered for _, is_covered in placed])
    mag, mag_dropped = _magnetic_field(export, stream, gyro.t_ns, is_kept)
    if mag is not None:
        is_kept &= np.isfinite(mag).all(axis=1)
    if not is_kept.any():
        problem = f"has no sample of the gyroscope between samples of {' and '.join(with_gravity)}"
        raise unreadable(export.archive.path, stream, problem)
    lost = Dropped("Gyroscope samples", int((~is_kept).sum()), "no samples of the other sensors around them")
    imu = ImuStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=gyro.t_ns[is_kept],
        accel_m_s2=_specific_force_m_s2(np.add.reduce([values[is_kept] for values, _ in placed]), export),
        gyro_rad_s=gyro.values[is_kept],
        mag_ut=None if mag is None else mag[is_kept],
    )
    everything = (*gyro.dropped, *(one for part in parts for one in part.dropped), *mag_dropped)
    return imu, (*everything, lost) if lost.count else everything


def _magnetic_field(
    export: _Export, stream: StreamSpec, t_ns: NDArray[np.int64], is_wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.float64] | None, tuple[Dropped, ...]]:
    """In µT at given times, NaN where it was not measured; None where that is much of the wanted ones."""
    if "Magnetometer" not in export.sensors:
        return None, ()
    rows = export.rows(stream, "Magnetometer", _XYZ)
    values, is_covered = rows_at(t_ns, rows)
    is_usable = is_covered & np.isfinite(values).all(axis=1)
    if is_usable[is_wanted].sum() < _MAG_COVERAGE * is_wanted.sum():
        return None, (Dropped("Magnetometer samples", len(rows.t_ns), "they do not cover the gyroscope's time"),)
    return np.where(is_usable[:, None], values, np.nan), rows.dropped


def _wrist(export: _Export, stream: StreamSpec) -> tuple[Stream, tuple[Dropped, ...]]:
    """A watch's samples; the export does not say on which wrist it was."""
    rows = export.rows(stream, "WristMotion", _WRIST_COLUMNS)
    imu = ImuStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=rows.t_ns,
        accel_m_s2=_specific_force_m_s2(rows.values[:, 3:6] + rows.values[:, 6:9], export),
        gyro_rad_s=rows.values[:, 0:3],
    )
    return imu, rows.dropped


def _specific_force_m_s2(with_gravity: NDArray[np.float64], export: _Export) -> NDArray[np.float64]:
    """+9.81 on the axis that points up at rest, whatever the platform's sign and unit.

    Signs: COORDINATES.md and CROSSPLATFORM.md (iOS has the opposite of Android on all axes, unless standardised; a
    watch has its phone's). Units: m/s² or g by sensor, platform and switch (UNITS.md); the median length tells which
    for certain.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.median(np.linalg.norm(with_gravity, axis=1))
    unit = STANDARD_GRAVITY_M_S2 if length < _IN_G_BELOW_M_S2 else 1.0
    return with_gravity * (-unit if export.is_reversed else unit)


def _orientation(export: _Export, stream: StreamSpec) -> tuple[Stream, tuple[Dropped, ...]]:
    """The phone's attitude as its system gives it: to magnetic north on Android, to true north on iOS."""
    rows = export.rows(stream, "Orientation", _QUATERNION)
    pose = PoseStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=rows.t_ns,
        joints=("phone",),
        orientation_wxyz=rows.values[:, None, :],
    )
    return pose, rows.dropped


def _location(export: _Export, stream: StreamSpec) -> tuple[Stream, tuple[Dropped, ...]]:
    """Fixes; a negative accuracy says that the phone has none, a negative speed that it does not know it (UNITS.md)."""
    rows = export.rows(stream, "Location", _FIX)
    latitude, longitude, altitude, speed, accuracy = rows.values.T
    is_known = np.isfinite(latitude) & np.isfinite(longitude) & (accuracy >= 0)
    unknown = Dropped("Location fixes", int((~is_known).sum()), "the phone marked them as invalid or incomplete")
    fixes = LocationStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=rows.t_ns[is_known],
        latitude_deg=latitude[is_known],
        longitude_deg=longitude[is_known],
        altitude_m=altitude[is_known],
        speed_m_s=np.where(speed[is_known] >= 0, speed[is_known], np.nan),
    )
    return fixes, (*rows.dropped, unknown) if unknown.count else rows.dropped


_READ: Mapping[str, Callable[[_Export, StreamSpec], tuple[Stream, tuple[Dropped, ...]]]] = {
    "phone": _phone,
    "WristMotion": _wrist,
    "Orientation": _orientation,
    "Location": _location,
}

SENSOR_LOGGER = SensorLoggerReader()
