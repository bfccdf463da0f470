"""Project Aria recordings (VRS): the glasses' inertial sensors and their own odometry.

Pictures, sound, location and everything else in a recording are not read here. The container is unpacked by Meta's
native library, which is an extra to install and runs in a process of its own: see `isolation`.
"""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats.protocol import (
    MAX_SAMPLES,
    Channel,
    Dropped,
    Reading,
    choose_channel,
    damaged,
    unreadable,
)
from harchive_dagster.landing.isolation import Arrays, IsolatedCallError, call_isolated
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream

if TYPE_CHECKING:
    from projectaria_tools.core.data_provider import VrsDataProvider
    from projectaria_tools.core.stream_id import StreamId

_MAGIC = b"VisionRe"
"""The first two of the file header's three magic numbers (VRS, FileFormat.cpp)."""

_PLACEMENT = "head"
"""Aria are glasses."""

_NOT_INSTALLED = frozenset({"ModuleNotFoundError", "ImportError"})
"""What importing the library raises where it, or a system library that it needs, is missing."""

_MEMORY_BYTES = 4 * 2**30
"""The library holds an index of some 32 bytes a record: a recording of two hours needs about 1 GB."""

_SECONDS = 120
_BYTES_PER_SECOND = 20_000_000
"""A file that was cut off has no index, and the library then walks through all of it, from a slow disk."""

_INERTIAL_ROW = np.dtype([("t_ns", "<i8"), ("is_valid", "?"), ("accel", "<f8", 3), ("gyro", "<f8", 3)])
_POSE_ROW = np.dtype([("t_ns", "<i8"), ("quality", "<f8"), ("pose", "<f8", 7)])


class AriaVrsReader:
    """VRS as Project Aria glasses of both generations write it. A channel's name is the label of its sensor.

    Times are the device's own clock. Inertial samples are in each sensor's own axes and as measured: the recording's
    factory calibration is not applied. A pose is that of the device (on Aria Gen 2 its front left camera) in the
    odometry's own world.
    """

    name = "vrs"

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """The inertial sensors and the odometry; one channel without a name where the library is not installed."""
        if not _has_magic(path):
            return ()
        try:
            found = _isolated(list_channels, path)
        except IsolatedCallError as error:
            if error.error_name in _NOT_INSTALLED:
                return (Channel("", "imu", placement=_PLACEMENT),)
            raise damaged(path, str(error)) from None
        rows = zip(found["label"].tolist(), found["kind"].tolist(), found["rate_hz"].tolist(), strict=True)
        return tuple(Channel(label, kind, rate_hz or None, _PLACEMENT) for label, kind, rate_hz in rows)

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """All valid samples of one sensor."""
        found = self.probe(path)
        if not found:
            raise unreadable(path, stream, "is no VRS recording, or holds nothing of what is read from one")
        if [one.name for one in found] == [""]:
            raise _not_installed(path, stream)
        chosen = choose_channel(path, stream, channel, found)
        unpack, build = _KINDS[chosen.kind]
        try:
            return build(stream, _isolated(unpack, path, chosen.name))
        except IsolatedCallError as error:
            raise unreadable(path, stream, str(error)) from None


def _has_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _not_installed(path: Path, stream: StreamSpec) -> LandingError:
    return LandingError(
        Reason.READER_NOT_INSTALLED,
        f"stream {stream.stream_id!r}: file {path.name!a} is a VRS recording, and what reads those is not installed.",
        mend='Run: pip install "harchive-dagster[aria]". Then run the worker-day again.',
        evidence={"file": path.name},
    )


def _isolated(function: Callable[..., Arrays], path: Path, *arguments: str) -> dict[str, NDArray[Any]]:
    seconds = _SECONDS + path.stat().st_size // _BYTES_PER_SECOND
    return call_isolated(function, str(path.absolute()), *arguments, memory_bytes=_MEMORY_BYTES, seconds=seconds)


def _imu(stream: StreamSpec, rows: Mapping[str, NDArray[Any]]) -> Reading:
    is_valid = rows["is_valid"]
    left_out = (
        Dropped("inertial samples", int((~is_valid).sum()), "the device marked them invalid"),
        Dropped(
            "magnetometer samples", int(rows["mag_count"]), "they were taken at other times than the inertial ones"
        ),
    )
    return Reading(
        ImuStream(
            stream_id=stream.stream_id,
            placement=stream.placement,
            t_device_ns=rows["t_ns"][is_valid],
            accel_m_s2=rows["accel"][is_valid],
            gyro_rad_s=rows["gyro"][is_valid],
        ),
        tuple(dropped for dropped in left_out if dropped.count),
    )


def _pose(stream: StreamSpec, rows: Mapping[str, NDArray[Any]]) -> Reading:
    pose = rows["pose"][:, None, :]
    return Reading(
        PoseStream(
            stream_id=stream.stream_id,
            placement=stream.placement,
            t_device_ns=rows["t_ns"],
            joints=("device",),
            position_m=pose[..., 4:],
            orientation_wxyz=pose[..., :4],
            confidence=np.clip(rows["quality"], 0.0, 1.0)[:, None],
        )
    )


# What follows runs in the child. The library hands out one sample a call, so these loops cannot be vectorised; they
# take some 3 microseconds a sample.


def list_channels(path: str) -> Arrays:
    """Label, kind and nominal rate (0 where there is none) of every stream that is read, as arrays of equal length."""
    provider = _open(path)
    kinds = {"IMU": "imu", "VIO_HIGH_FREQ": "pose"}
    found: list[tuple[str, str, float]] = []
    for stream in provider.get_all_streams():
        kind = kinds.get(provider.get_sensor_data_type(stream).name)
        label = provider.get_label_from_stream_id(stream)
        if kind and label and provider.get_num_data(stream):
            rate_hz = float(provider.get_nominal_rate_hz(stream))
            found.append((label, kind, rate_hz if math.isfinite(rate_hz) and rate_hz > 0 else 0.0))
    labels, kinds_found, rates_hz = zip(*found, strict=True) if found else ((), (), ())
    return {"label": np.array(labels, str), "kind": np.array(kinds_found, str), "rate_hz": np.array(rates_hz, float)}


def inertial_rows(path: str, label: str) -> Arrays:
    """Times, validity, m/s² and rad/s of one inertial sensor, and how many samples its magnetometers took."""
    provider = _open(path)
    stream, count = _stream(provider, label)
    samples = (provider.get_imu_data_by_index(stream, index) for index in range(count))
    rows = np.fromiter(
        (
            (one.capture_timestamp_ns, one.accel_valid and one.gyro_valid, one.accel_msec2, one.gyro_radsec)
            for one in samples
        ),
        _INERTIAL_ROW,
        count,
    )
    mag_count = sum(
        provider.get_num_data(other)
        for other in provider.get_all_streams()
        if provider.get_sensor_data_type(other).name == "MAGNETOMETER"
    )
    return _columns(rows) | {"mag_count": np.array(mag_count)}


def pose_rows(path: str, label: str) -> Arrays:
    """Times, quality and [w, x, y, z, x m, y m, z m] of the device in the odometry's world."""
    provider = _open(path)
    stream, count = _stream(provider, label)
    samples = (provider.get_vio_high_freq_data_by_index(stream, index) for index in range(count))
    microsecond = timedelta(microseconds=1)
    rows = np.fromiter(
        (
            (
                one.tracking_timestamp // microsecond * 1_000,
                one.quality_score,
                one.transform_odometry_device.to_quat_and_translation().ravel(),
            )
            for one in samples
        ),
        _POSE_ROW,
        count,
    )
    return _columns(rows)


def _columns(rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: rows[name] for name in rows.dtype.names or ()}


def _open(path: str) -> "VrsDataProvider":
    from projectaria_tools.core.data_provider import create_vrs_data_provider

    provider = create_vrs_data_provider(path)
    if provider is None:
        raise ValueError("the container cannot be opened")
    return provider


def _stream(provider: "VrsDataProvider", label: str) -> "tuple[StreamId, int]":
    stream = provider.get_stream_id_from_label(label)
    count = provider.get_num_data(stream)
    if count > MAX_SAMPLES:
        raise ValueError(f"it claims {count} samples, at most {MAX_SAMPLES} are read")
    return stream, count


_KINDS: Mapping[
    str, tuple[Callable[[str, str], Arrays], Callable[[StreamSpec, Mapping[str, NDArray[Any]]], Reading]]
] = {
    "imu": (inertial_rows, _imu),
    "pose": (pose_rows, _pose),
}
"""By a manifest's stream kind: what unpacks it in the child, and what makes a stream of that."""

VRS = AriaVrsReader()
