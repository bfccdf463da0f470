"""GoPro's satellite fixes, GPS5 and GPS9, as a location stream. Files, times and other sensors are elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.gpmf_clock import sample_times_s
from harchive_dagster.landing.formats.gpmf_track import Chunk, DeviceTelemetry
from harchive_dagster.landing.formats.klv import GpmfError, number, scaled, text
from harchive_dagster.landing.formats.protocol import Dropped
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.wall_clock import utc_ns

_COLUMNS = {"GPS5": 5, "GPS9": 9}
"""Both begin with latitude, longitude, altitude, speed over ground, speed in space; GPS9 goes on with days since 2000,
seconds of the day, dilution of precision and fix."""

_LOWEST_FIX = 2
"""GPSF and GPS9 say 0 without a lock, 2 for a flat and 3 for a full one."""

_EPOCH_2000_NS = 946_684_800 * 10**9


@dataclass(frozen=True, eq=False)
class _Fixes:
    times_s: NDArray[np.float64]
    values: NDArray[np.float64]
    fix: NDArray[np.float64]
    utc_ns: NDArray[np.int64] | None


def location_key(device: DeviceTelemetry) -> str | None:
    """The sensor that a location is read from; GPS9, where a camera writes both, has a time and a fix per sample."""
    return next((key for key in ("GPS9", "GPS5") if key in device.chunks), None)


def location(device: DeviceTelemetry, stream: StreamSpec) -> tuple[LocationStream, tuple[Dropped, ...]]:
    """The fixes of one device. Samples without a fix repeat a place from long ago: they are dropped.

    Raises:
        GpmfError: there is no fix at all, or the samples cannot be used.
        LandingError: they are no valid stream.
    """
    key = location_key(device) or "GPS5"
    chunks = device.chunks[key]
    times_s = sample_times_s(device, key)
    values = np.concatenate([scaled(chunk.sensor, _COLUMNS[key]) for chunk in chunks])
    fixes = _gps9(times_s, values) if key == "GPS9" else _gps5(chunks, times_s, values)
    is_fixed = fixes.fix >= _LOWEST_FIX
    without = int((~is_fixed).sum())
    if without == len(is_fixed):
        raise GpmfError(f"has {without} {key} samples and none with a satellite fix")
    latitude, longitude, altitude, speed = fixes.values[is_fixed, :4].T
    found = LocationStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=np.rint(fixes.times_s[is_fixed] * 1e9).astype(np.int64),
        latitude_deg=latitude,
        longitude_deg=longitude,
        altitude_m=altitude,
        speed_m_s=speed,
        utc_ns=None if fixes.utc_ns is None else fixes.utc_ns[is_fixed],
    )
    return found, (Dropped(f"{key} samples", without, "they have no satellite fix"),) if without else ()


def _gps9(times_s: NDArray[np.float64], values: NDArray[np.float64]) -> _Fixes:
    days, seconds = values[:, 5], values[:, 6]
    # 2000 to 2100: anything else is not a date, and would not fit nanoseconds either.
    is_dated = ((days >= 0) & (days <= 36_525) & (seconds >= 0) & (seconds < 86_401)).all()
    utc_ns = None
    if is_dated:
        whole_ms = days.astype(np.int64) * 86_400_000 + np.rint(seconds * 1e3).astype(np.int64)
        utc_ns = _EPOCH_2000_NS + whole_ms * 1_000_000
    return _Fixes(times_s, values, values[:, 8], utc_ns)


def _gps5(chunks: Sequence[Chunk], times_s: NDArray[np.float64], values: NDArray[np.float64]) -> _Fixes:
    counts = [chunk.sensor.count for chunk in chunks]
    # Cameras always write GPSF; a file rewritten without it is believed.
    properties = [chunk.sensor.properties for chunk in chunks]
    fix = [number(one["GPSF"]) if "GPSF" in one else float(_LOWEST_FIX) for one in properties]
    begin_ns = [_gpsu_ns(chunk) for chunk in chunks]
    known_ns = [value for value in begin_ns if value is not None]
    utc_ns = None
    if len(known_ns) == len(begin_ns):
        first = np.cumsum(counts) - counts
        since_s = times_s - np.repeat(times_s[first], counts)
        utc_ns = np.repeat(np.array(known_ns, dtype=np.int64), counts) + np.rint(since_s * 1e9).astype(np.int64)
    return _Fixes(times_s, values, np.repeat(fix, counts), utc_ns)


def _gpsu_ns(chunk: Chunk) -> int | None:
    """UTC of a chunk's first sample, from yymmddhhmmss.sss; None where it is missing or no date."""
    item = chunk.sensor.properties.get("GPSU")
    if item is None:
        return None
    try:
        return utc_ns(datetime.strptime("20" + text(item)[:16], "%Y%m%d%H%M%S.%f").replace(tzinfo=UTC))
    except ValueError:
        return None
