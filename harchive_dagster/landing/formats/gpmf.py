"""GoPro telemetry as streams: what ACCL, GYRO, CORI and IORI mean, in SI units and one set of axes. How bytes and
tracks lie, when samples were taken and what GPS says is in `klv`, `gpmf_track`, `gpmf_clock` and `gpmf_location`.

Axes, as GoPro draws them for the HERO5 and every later camera maps onto by ORIN: z points up out of the camera, y out
of its back, x to its left as seen from behind; right-handed. Checked on a MAX against gravity and the motion of its
picture. A Fusion, which is older than ORIN and turned its sensor, comes out with y up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.gpmf_clock import sample_times_s
from harchive_dagster.landing.formats.gpmf_location import location, location_key
from harchive_dagster.landing.formats.gpmf_track import (
    Chunk,
    DeviceTelemetry,
    Telemetry,
    UnopenableError,
    read_telemetry,
)
from harchive_dagster.landing.formats.klv import GpmfError, Item, numbers, scaled, text
from harchive_dagster.landing.formats.protocol import (
    Channel,
    Dropped,
    Reading,
    Stream,
    choose_channel,
    damaged,
    unreadable,
)
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream

_PROBED_PAYLOADS = 4
"""Some sensors start seconds after the camera."""

_DEFAULT_ORDER = "ZXY"
"""What the HERO5 wrote before there was ORIN, and what ORIO still asks for (gopro/gpmf-parser, issue 165)."""

_FARTHEST_PERIODS = 4.0
"""An accelerometer gap longer than this is not interpolated across."""

_WXZY = [0, 1, 3, 2]
"""CORI and IORI store w, x, z, y (gopro/gpmf-parser, issue 180). Put in order w, x, y, z, CORI turns as the gyro says,
and gravity (GRAV, stored as x, z, y too) stands still when turned by it: checked on a MAX."""


@dataclass(frozen=True, eq=False)
class FrameTelemetry:
    """What a camera says of its frames, on the clock of the streams; arrays are empty where it says nothing.

    Attributes:
        camera_t_ns, camera_wxyz: int64 [N], float64 [N, 4]; unit quaternions that turn the camera's axes now into its
            axes when the capture started (CORI).
        image_t_ns, image_wxyz: int64 [M], float64 [M, 4]; unit quaternions that turn the picture's axes into the
            camera's (IORI): the identity unless it is stabilised. The picture itself turns as camera * image.
        exposure_t_ns, exposure_s: int64 [K], float64 [K]; start of each exposure and its length (SHUT).
    """

    camera_t_ns: NDArray[np.int64]
    camera_wxyz: NDArray[np.float64]
    image_t_ns: NDArray[np.int64]
    image_wxyz: NDArray[np.float64]
    exposure_t_ns: NDArray[np.int64]
    exposure_s: NDArray[np.float64]


def frame_telemetry(path: Path) -> FrameTelemetry | None:
    """Orientation of camera and picture, and exposures; None where a file has none of them.

    Raises:
        LandingError: SENSOR_UNREADABLE, the telemetry is damaged.
    """
    try:
        telemetry = read_telemetry(path)
        for device in telemetry.devices.values() if telemetry else ():
            if {"CORI", "IORI", "SHUT"} & set(device.chunks):
                camera_s, camera = _quaternions(device, "CORI")
                image_s, image = _quaternions(device, "IORI")
                exposure_s, exposure = _samples(device, "SHUT", 1)
                return FrameTelemetry(_ns(camera_s), camera, _ns(image_s), image, _ns(exposure_s), exposure[:, 0])
    except GpmfError as error:
        raise damaged(path, str(error)) from None
    return None


class GpmfReader:
    """GoPro Metadata Format: the `gpmd` track of an MP4, or a file of bare payloads.

    Device time is the container's: the first frame is where the container plays it, and sensors are placed around it
    by the camera's own stamps. A file of bare payloads begins at zero, with the stamp of its first frame if it has one.
    What remains is the camera's own error (10 ms have been seen), which clock alignment finds.
    """

    name = "gpmf"

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """Channels `imu`, `orientation` (joints `camera` and `image`) and `location`.

        Where several devices have the same, each name ends in the device's number: `imu.1`, `imu.2`.
        """
        try:
            telemetry = read_telemetry(path, payload_limit=_PROBED_PAYLOADS)
        except UnopenableError:
            return ()
        except GpmfError as error:
            raise damaged(path, str(error)) from None
        return tuple(_channels(telemetry)) if telemetry else ()

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """One channel; what it leaves out, and sensors that no channel has, are in `dropped`."""
        try:
            telemetry = read_telemetry(path)
            if telemetry is None:
                raise GpmfError("has no GoPro telemetry")
            found = _channels(telemetry)
            chosen = choose_channel(path, stream, channel, tuple(found))
            device = telemetry.devices[found[chosen]]
            result, dropped = _BUILDERS[chosen.kind](device, stream)
            return Reading(result, (*telemetry.dropped, *dropped, *_unread(device)))
        except GpmfError as error:
            raise unreadable(path, stream, str(error)) from None


def _imu(device: DeviceTelemetry, stream: StreamSpec) -> tuple[Stream, tuple[Dropped, ...]]:
    """ACCL at the times of GYRO, linearly interpolated where their times differ: both are low-passed by the camera."""
    gyro_s, gyro = _vectors(device, "GYRO")
    accel_s, accel = _vectors(device, "ACCL")
    dropped: tuple[Dropped, ...] = ()
    if not np.array_equal(gyro_s, accel_s):
        if len(accel_s) < 2 or (np.diff(accel_s) <= 0).any():
            raise GpmfError(f"has {len(accel_s)} ACCL samples whose time does not increase")
        is_between = _is_between(gyro_s, accel_s)
        is_used = (accel_s >= gyro_s[0]) & (accel_s <= gyro_s[-1])
        gyro_s, gyro = gyro_s[is_between], gyro[is_between]
        accel = np.column_stack([np.interp(gyro_s, accel_s, axis) for axis in accel.T])
        dropped = (
            Dropped("GYRO samples", int((~is_between).sum()), "there is no acceleration around them"),
            Dropped("ACCL samples", int((~is_used).sum()), "they are outside the gyro's span"),
        )
    imu = ImuStream(stream.stream_id, stream.placement, _ns(gyro_s), accel, gyro)
    return imu, tuple(one for one in dropped if one.count)


def _orientation(device: DeviceTelemetry, stream: StreamSpec) -> tuple[Stream, tuple[Dropped, ...]]:
    """CORI, and the IORI of the same moment (both are stamped per frame); NaN where there is none."""
    camera_s, camera = _quaternions(device, "CORI")
    if "IORI" not in device.chunks:
        return _pose(stream, camera_s, ("camera",), camera[:, None]), ()
    image_s, image = _quaternions(device, "IORI")
    nearest = _nearest(image_s, camera_s)
    period_s = float(np.median(np.diff(camera_s))) if len(camera_s) > 1 else np.inf
    is_same = np.abs(image_s[nearest] - camera_s) < period_s / 2
    matched = np.where(is_same[:, None], image[nearest], np.nan)
    unmatched = len(image_s) - len(np.unique(nearest[is_same]))
    dropped = (Dropped("IORI samples", unmatched, "no CORI is at their time"),) if unmatched else ()
    return _pose(stream, camera_s, ("camera", "image"), np.stack([camera, matched], axis=1)), dropped


def _pose(
    stream: StreamSpec, times_s: NDArray[np.float64], joints: tuple[str, ...], wxyz: NDArray[np.float64]
) -> PoseStream:
    return PoseStream(stream.stream_id, stream.placement, _ns(times_s), joints, orientation_wxyz=wxyz)


_Builder = Callable[[DeviceTelemetry, StreamSpec], tuple[Stream, tuple[Dropped, ...]]]
_BUILDERS: Mapping[str, _Builder] = {"imu": _imu, "pose": _orientation, "gps": location}
"""By stream kind."""


def _channels(telemetry: Telemetry) -> dict[Channel, str]:
    """Every channel and the identifier of the device it comes from."""
    found: list[tuple[str, str, str, str]] = []
    for identifier, device in telemetry.devices.items():
        if "GYRO" in device.chunks and "ACCL" in device.chunks:
            found.append(("imu", "imu", identifier, "GYRO"))
        if "CORI" in device.chunks:
            found.append(("orientation", "pose", identifier, "CORI"))
        gps = location_key(device)
        if gps:
            found.append(("location", "gps", identifier, gps))
    names = [name for name, *_ in found]
    channels = {}
    for name, kind, identifier, key in found:
        full_name = name if names.count(name) == 1 else f"{name}.{identifier}"
        channels[Channel(full_name, kind, _declared_rate_hz(telemetry.devices[identifier].chunks[key]))] = identifier
    return channels


def _declared_rate_hz(chunks: Sequence[Chunk]) -> float | None:
    played_s = sum(chunk.end_s - chunk.start_s for chunk in chunks)
    return sum(chunk.sensor.count for chunk in chunks) / played_s if played_s > 0 else None


def _unread(device: DeviceTelemetry) -> list[Dropped]:
    read = {"ACCL", "GYRO", "CORI", "IORI", location_key(device)}
    return [
        Dropped(f"{key} samples", count, "no kind of stream holds them")
        for key, count in device.counts.items()
        if count and key not in read
    ]


def _samples(device: DeviceTelemetry, key: str, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times [N] in seconds and values [N, columns] of one sensor; both empty where a device does not have it."""
    if key not in device.chunks:
        return np.empty(0), np.empty((0, columns))
    times_s = sample_times_s(device, key)
    return times_s, np.concatenate([scaled(chunk.sensor, columns) for chunk in device.chunks[key]])


def _vectors(device: DeviceTelemetry, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and x, y, z of an inertial sensor."""
    times_s, values = _samples(device, key, 3)
    # Axes are said anew in every payload, and never change within a recording.
    matrix = axes_matrix(device.chunks[key][0].sensor.properties)
    with np.errstate(invalid="ignore"):  # the stream refuses what is not finite, and says where
        return times_s, values @ matrix.T


def _quaternions(device: DeviceTelemetry, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times_s, values = _samples(device, key, 4)
    # A quaternion of length zero says that there is none: NaN, as everywhere in poses.
    is_known = (values != 0).any(axis=1, keepdims=True)
    return times_s, np.where(is_known, values[:, _WXZY], np.nan)


def axes_matrix(properties: Mapping[str, Item]) -> NDArray[np.float64]:
    """What turns an inertial sensor's stored numbers into x, y, z: float64 [3, 3], applied to column vectors.

    ORIN names the stored axes in order, lower case for negated ones. Without it MTRX turns the stored numbers into
    ORIO's order; without either they are stored as Z, X, Y.

    Raises:
        GpmfError: they are no axes.
    """
    if "ORIN" in properties:
        return _named_axes(text(properties["ORIN"]))
    if "MTRX" not in properties:
        return _named_axes(_DEFAULT_ORDER)
    matrix = numbers(properties["MTRX"]).ravel()
    if len(matrix) != 9 or not np.isin(np.abs(matrix), (0, 1)).all() or abs(np.linalg.det(matrix.reshape(3, 3))) != 1:
        raise GpmfError("has a MTRX that does not turn axes into axes")
    order = text(properties["ORIO"]) if "ORIO" in properties else _DEFAULT_ORDER
    return _named_axes(order) @ matrix.reshape(3, 3)


def _named_axes(names: str) -> NDArray[np.float64]:
    if sorted(names.upper()) != ["X", "Y", "Z"]:
        raise GpmfError(f"has axes named {names[:20]!a}, expected X, Y and Z in some order")
    matrix = np.zeros((3, 3))
    for place, axis in enumerate(names):
        matrix["XYZ".index(axis.upper()), place] = 1.0 if axis.isupper() else -1.0
    return matrix


def _nearest(known_s: NDArray[np.float64], asked_s: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which known time is nearest to each asked one."""
    after = np.minimum(np.searchsorted(known_s, asked_s), len(known_s) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(asked_s - known_s[before]) <= np.abs(known_s[after] - asked_s), before, after)


def _is_between(asked_s: NDArray[np.float64], known_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a time lies between two known ones that are neighbours, not the ends of a gap."""
    after = np.clip(np.searchsorted(known_s, asked_s), 1, len(known_s) - 1)
    steps_s = np.diff(known_s)
    is_between: NDArray[np.bool_] = (asked_s >= known_s[0]) & (asked_s <= known_s[-1])
    is_between &= steps_s[after - 1] <= _FARTHEST_PERIODS * np.median(steps_s)
    return is_between


def _ns(times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(times_s * 1e9).astype(np.int64)


GPMF = GpmfReader()
