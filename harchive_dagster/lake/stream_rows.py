"""Turns native samples, poses, pressure arrays and depth pictures of a session into rows in session time. Column by
column.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harchive_dagster.lake import stream_schemas
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.lake.rows import list_column, session_rows
from harchive_dagster.lake.standing import StandingSession
from harchive_dagster.landing.formats.protocol import Dropped
from harchive_dagster.landing.manifest import Manifest, StreamSpec
from harchive_dagster.landing.streams import read_streams
from harchive_dagster.recording.depth import DepthStream
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream
from harchive_dagster.sync.stream_clock import DEVICE, StreamClock, stream_clock
from harchive_dagster.worker_day import WorkerDay

NarrowStream: TypeAlias = ImuStream | PoseStream | TactileStream | DepthStream

TABLE_OF: Mapping[type[NarrowStream], TableContract] = {
    ImuStream: stream_schemas.IMU_SAMPLES,
    DepthStream: stream_schemas.DEPTH_FRAMES,
    TactileStream: stream_schemas.TACTILE_SAMPLES,
    PoseStream: stream_schemas.POSE_SAMPLES,
}


@dataclass(frozen=True)
class StreamRows:
    """One stream's rows of its kind's table, and what was left out on the way."""

    spec: StreamSpec
    contract: TableContract
    rows: pa.Table
    left_out: tuple[Dropped, ...]


def read_stream_rows(
    session: StandingSession, inertial: Sequence[ImuStream], clocks: Mapping[str, StreamClock]
) -> Iterator[StreamRows]:
    """Every stream of a session in session time, one at a time; inertial ones where they have a clock.

    Args:
        session: what it is and where its files lie.
        inertial: its inertial streams, as taken in.
        clocks: by stream, those that clock alignment accepted.

    Raises:
        LandingError: a file cannot be read.
    """
    manifest = session.manifest
    worker_day = WorkerDay(manifest.collected_on, manifest.worker_id)
    specs = {spec.stream_id: spec for spec in manifest.rig.streams}
    found: Iterator[tuple[NarrowStream, StreamSpec, tuple[Dropped, ...]]] = itertools.chain(
        ((stream, specs[stream.stream_id], ()) for stream in inertial if stream.stream_id in clocks),
        read_streams(session.folder, manifest, DepthStream),
        read_streams(session.folder, manifest, TactileStream),
        read_streams(session.folder, manifest, PoseStream),
    )
    for stream, spec, dropped in found:
        clock = clocks.get(spec.stream_id) or _clock_of(stream, manifest, clocks)
        rows, outside = stream_rows(worker_day, session.session_id, stream, clock, session.row["duration_ns"])
        cut = (Dropped("samples", outside, f"outside the recording by the {clock.source} clock"),)
        yield StreamRows(spec, TABLE_OF[type(stream)], rows, dropped + cut if outside else dropped)


def _clock_of(stream: NarrowStream, manifest: Manifest, clocks: Mapping[str, StreamClock]) -> StreamClock:
    """Of a stream that clock alignment does not know."""
    others = [clocks[other] for other in manifest.sharing_clock_with(stream.stream_id) if other in clocks]
    sharing = [other.mapping for other in others if other.source != DEVICE]
    first_ns = int(stream.t_device_ns[0])
    return stream_clock(first_ns, sharing, manifest.started_at, readout_ms=manifest.rig.readout_ms)


def stream_rows(
    worker_day: WorkerDay, session_id: str, stream: NarrowStream, clock: StreamClock, duration_ns: int
) -> tuple[pa.Table, int]:
    """Rows of the table of a stream's kind, of samples inside the recording.

    Args:
        worker_day: of the session.
        session_id: its id.
        stream: as read.
        clock: what makes session time of its device time.
        duration_ns: length of the recording, which lasts from 0 to it.

    Returns:
        The rows, and how many samples lie outside the recording, or where its clock is not known, and are left out. A
        single sample inside tells no rate, so it is left out as well.
    """
    t_ns = clock.to_session_ns(stream.t_device_ns)
    inside = np.flatnonzero((t_ns >= 0) & (t_ns < duration_ns) & clock.is_timed(stream.t_device_ns))
    if len(inside) < 2:
        inside = inside[:0]
    values, rows_a_sample = _values(stream, inside)
    columns: dict[str, Any] = {
        "stream_id": stream.stream_id,
        "placement": stream.placement,
        "clock": clock.source,
        "t_device_ns": np.repeat(stream.t_device_ns[inside], rows_a_sample),
        "t_ns": np.repeat(t_ns[inside], rows_a_sample),
    }
    rows = session_rows(TABLE_OF[type(stream)], worker_day, session_id, columns | values)
    return rows, len(stream) - len(inside)


def _values(stream: NarrowStream, at: NDArray[np.int64]) -> tuple[dict[str, Any], int]:
    """The columns of a kind at some samples, and how many rows each sample has."""
    if isinstance(stream, ImuStream):
        return _imu_values(stream, at), 1
    if isinstance(stream, PoseStream):
        return _pose_values(stream, at), len(stream.joints)
    if isinstance(stream, TactileStream):
        return _tactile_values(stream, at), 1
    return _depth_values(stream, at), 1


def _imu_values(stream: ImuStream, at: NDArray[np.int64]) -> dict[str, Any]:
    vectors = {"accel_{}_m_s2": stream.accel_m_s2, "gyro_{}_rad_s": stream.gyro_rad_s, "mag_{}_ut": stream.mag_ut}
    return {
        name.format(axis): values[at, index]
        for name, values in vectors.items()
        if values is not None
        for index, axis in enumerate("xyz")
    }


def _pose_values(stream: PoseStream, at: NDArray[np.int64]) -> dict[str, Any]:
    joint_index = np.tile(np.arange(len(stream.joints)), len(at))
    columns: dict[str, Any] = {"joint": pa.array(stream.joints, type=pa.string()).take(pa.array(joint_index))}
    if stream.position_m is not None:
        position_m = stream.position_m[at]
        columns |= {f"{axis}_m": _nullable(position_m[:, :, index]) for index, axis in enumerate("xyz")}
    if stream.orientation_wxyz is not None:
        orientation = stream.orientation_wxyz[at]
        columns |= {f"q{part}": _nullable(orientation[:, :, index]) for index, part in enumerate("wxyz")}
    if stream.confidence is not None:
        columns["confidence"] = _nullable(stream.confidence[at])
    return columns


def _tactile_values(stream: TactileStream, at: NDArray[np.int64]) -> dict[str, Any]:
    _, rows, width = stream.values.shape
    return {
        "row_count": rows,
        "column_count": width,
        "unit": stream.unit,
        "values": list_column(stream.values[at].reshape(len(at), rows * width)),
    }


def _depth_values(stream: DepthStream, at: NDArray[np.int64]) -> dict[str, Any]:
    figures = {name: _nullable(getattr(stream, name)[at]) for name in ("valid_fraction", "min_m", "median_m", "max_m")}
    return {"width_px": stream.width_px, "height_px": stream.height_px, **figures}


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    """Row by row, with NaN as null: tables hold no NaN."""
    return pa.array(values.ravel(), from_pandas=True)
