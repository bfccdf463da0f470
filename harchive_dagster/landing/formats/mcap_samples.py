"""What messages of any encoding are decoded into, and the streams made of it. How they are encoded is not known here.

Columns by a stream's kind, the first axis being samples (N):

- every kind: `stamp_ns` int64 [N], where the messages have one; -1 where it cannot be a time.
- imu: `accel_m_s2`, `gyro_rad_s` [N, 3]; `has_accel`, `has_gyro` bool [N], where messages can say that they have none.
- pose: `position_m` [N, J, 3], `orientation_wxyz` [N, J, 4], `confidence` [N, J]; fact: `joints`.
- tactile: `values` [N, R, C]; fact: `unit`.
- depth: the columns of a `DepthStream`; facts: `width_px`, `height_px`.
- gps: `latitude_deg`, `longitude_deg`, `altitude_m` [N]; `has_fix` bool [N].
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.mcap_container import Batch
from harchive_dagster.landing.formats.mcap_records import ContentError
from harchive_dagster.landing.formats.protocol import Dropped, Reading, Stream, TimeSource
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.recording.depth import DepthStream
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

STAMP = "stamp_ns"
_LOG = "log_time_ns"
_PUBLISH = "publish_time_ns"

_EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG


@dataclass(frozen=True)
class Samples:
    """Messages as arrays.

    Attributes:
        columns: by name, one row per message.
        facts: what is the same for every message of a topic.
    """

    columns: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def nanoseconds(seconds: NDArray[Any], fraction_ns: NDArray[Any]) -> NDArray[np.int64]:
    """Stamps as int64 ns; -1 for what is no time after 1970, or does not fit."""
    is_time = (seconds >= 0) & (seconds < 2**63 // 10**9) & (fraction_ns >= 0) & (fraction_ns < 10**9)
    whole, rest = (np.where(is_time, part, 0).astype(np.int64) for part in (seconds, fraction_ns))
    return np.where(is_time, whole * 10**9 + rest, np.int64(-1))


def with_record_times(samples: Samples, batch: Batch) -> Samples:
    """Samples that also know when their messages were recorded and published."""
    times = {_LOG: batch.log_time_ns, _PUBLISH: batch.publish_time_ns}
    return Samples({**samples.columns, **times}, samples.facts)


def joined(parts: Sequence[Samples]) -> Samples:
    """All batches of a topic, in the order of their log times. One decoder made them: the names are the same.

    Raises:
        ContentError: they do not have the same shapes or facts.
    """
    first = parts[0]
    for part in parts[1:]:
        changed = [name for name, fact in first.facts.items() if part.facts[name] != fact]
        changed += [name for name, one in first.columns.items() if one.shape[1:] != part.columns[name].shape[1:]]
        if changed:
            raise ContentError(f"changes {changed[0]!r} between its messages")
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns}
    order = np.argsort(columns[_LOG], kind="stable")
    return Samples({name: values[order] for name, values in columns.items()}, first.facts)


def reading_of(samples: Samples, stream: StreamSpec) -> Reading:
    """The stream of joined samples, timed by `device_time`.

    Raises:
        ContentError: the samples say themselves that they lack what the stream needs.
        LandingError: they make no valid stream.
    """
    samples, dropped = _with_fix(samples) if stream.kind == "gps" else (samples, ())
    if not len(samples):
        raise ContentError(f"has no sample left: {'; '.join(map(str, dropped))}")
    time_ns, source, untimed = device_time(samples)
    return Reading(_BUILDERS[stream.kind](samples, time_ns, stream), (*dropped, *untimed), source)


def device_time(samples: Samples) -> tuple[NDArray[np.int64], TimeSource, tuple[Dropped, ...]]:
    """The sample times: the messages' own stamps, or when they were published, or when they were logged.

    The first of these that is never zero and always increases; a stamp is the sensor's own time, the others have the
    jitter of the way to the recorder. Where none does, the first that is there, for the stream to refuse.

    Publish times that are the log times are the recorder's: it writes those where it knows no others (MCAP
    specification, Message).
    """
    names = {STAMP: "header stamps", _PUBLISH: "publish times", _LOG: "log times"}
    sources = {STAMP: TimeSource.STAMP, _PUBLISH: TimeSource.PUBLISH, _LOG: TimeSource.LOG}
    if np.array_equal(samples.columns[_PUBLISH], samples.columns[_LOG]):
        sources[_PUBLISH] = TimeSource.LOG
    candidates = {name: samples.columns[name] for name in names if name in samples.columns}
    left_out: list[Dropped] = []
    for name, times in candidates.items():
        if (times > 0).all() and (times < 2**63).all() and (times[1:] > times[:-1]).all():
            return times.astype(np.int64), sources[name], tuple(left_out)
        left_out.append(Dropped(names[name], len(times), "they are not set, or do not increase"))
    present = [times for times in candidates.values() if (times > 0).any() and (times < 2**63).all()]
    return (present or [np.zeros(len(samples))])[0].astype(np.int64), TimeSource.STAMP, ()


def _imu(samples: Samples, time_ns: NDArray[np.int64], stream: StreamSpec) -> Stream:
    for name, what in (("has_gyro", "angular velocity"), ("has_accel", "linear acceleration")):
        has_it = samples.columns.get(name)
        if has_it is not None and not has_it.all():
            raise ContentError(
                f"says in {int((~has_it).sum())} messages that it has no {what} (covariance -1, REP 145)"
            )
    return ImuStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=time_ns,
        accel_m_s2=samples.columns["accel_m_s2"],
        gyro_rad_s=samples.columns["gyro_rad_s"],
    )


def _pose(samples: Samples, time_ns: NDArray[np.int64], stream: StreamSpec) -> Stream:
    return PoseStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=time_ns,
        joints=samples.facts["joints"],
        position_m=samples.columns.get("position_m"),
        orientation_wxyz=samples.columns.get("orientation_wxyz"),
        confidence=samples.columns.get("confidence"),
    )


def _tactile(samples: Samples, time_ns: NDArray[np.int64], stream: StreamSpec) -> Stream:
    return TactileStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=time_ns,
        values=samples.columns["values"],
        unit=samples.facts["unit"],
    )


def _depth(samples: Samples, time_ns: NDArray[np.int64], stream: StreamSpec) -> Stream:
    return DepthStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=time_ns,
        width_px=samples.facts["width_px"],
        height_px=samples.facts["height_px"],
        valid_fraction=samples.columns["valid_fraction"],
        min_m=samples.columns["min_m"],
        median_m=samples.columns["median_m"],
        max_m=samples.columns["max_m"],
    )


def _with_fix(samples: Samples) -> tuple[Samples, tuple[Dropped, ...]]:
    """Samples with a place: a receiver that has none says so."""
    has_fix = samples.columns["has_fix"]
    kept = Samples({name: values[has_fix] for name, values in samples.columns.items()}, samples.facts)
    missing = int((~has_fix).sum())
    return kept, (Dropped("positions", missing, "the receiver had no fix"),) if missing else ()


def _location(samples: Samples, time_ns: NDArray[np.int64], stream: StreamSpec) -> Stream:
    latitude_deg, longitude_deg = samples.columns["latitude_deg"], samples.columns["longitude_deg"]
    return LocationStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=time_ns,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        altitude_m=samples.columns["altitude_m"],
        speed_m_s=_speed_m_s(time_ns, latitude_deg, longitude_deg),
    )


def _speed_m_s(
    time_ns: NDArray[np.int64], latitude_deg: NDArray[np.float64], longitude_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Speed over ground from one position to the next (haversine); the messages have none. The first repeats."""
    if len(time_ns) < 2:
        return np.zeros(len(time_ns))
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    half_chord = (
        np.sin(np.diff(latitude) / 2) ** 2
        + np.cos(latitude[1:]) * np.cos(latitude[:-1]) * np.sin(np.diff(longitude) / 2) ** 2
    )
    distance_m = 2 * _EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(half_chord, 0, 1)))
    elapsed_ns = np.diff(time_ns)
    speed = distance_m * 1e9 / np.where(elapsed_ns > 0, elapsed_ns, 1)  # time that stands still is refused elsewhere
    return np.concatenate([speed[:1], speed])


_BUILDERS: Mapping[str, Callable[[Samples, NDArray[np.int64], StreamSpec], Stream]] = {
    "imu": _imu,
    "pose": _pose,
    "tactile": _tactile,
    "depth": _depth,
    "gps": _location,
}
