"""Turns native samples, poses, pressure arrays and depth pictures of a session into rows in session time. Column by
column.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harchive_dagster.lake import stream_schemas
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.lake.rows import list_column, session_rows
from harchive_dagster.lake.standing import StandingSession
from harchive_dagster.landing.formats.protocol import Dropped, Reading, TimeSource
from harchive_dagster.landing.manifest import Manifest, StreamSpec
from harchive_dagster.landing.streams import readings_of, time_source_of
from harchive_dagster.recording.depth import DepthStream
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream
from harchive_dagster.recording.wall_clock import counts_from_1970
from harchive_dagster.sync.stream_clock import DEVICE, StreamClock, stream_clock
from harchive_dagster.worker_day import WorkerDay

NarrowStream: TypeAlias = ImuStream | PoseStream | TactileStream | DepthStream

_POSE_VALUES = ("x_m", "qw")

TABLE_OF: Mapping[type[NarrowStream], TableContract] = {
    ImuStream: stream_schemas.IMU_SAMPLES,
    DepthStream: stream_schemas.DEPTH_FRAMES,
    TactileStream: stream_schemas.TACTILE_SAMPLES,
    PoseStream: stream_schemas.POSE_SAMPLES,
}


_UNTIMED = "the clock counts from the device's start, and no aligned gyro is known to share it"


@dataclass(frozen=True)
class StreamRows:
    """One stream's rows of its kind's table, and what was left out on the way."""

    spec: StreamSpec
    contract: TableContract
    rows: pa.Table
    left_out: tuple[Dropped, ...]

    @property
    def is_lost(self) -> bool:
        """Whether a declared stream gave nothing: no sample inside the recording, or none with a value."""
        values = [name for name in _POSE_VALUES if name in self.rows.column_names]
        return all(self.rows.column(name).null_count == self.rows.num_rows for name in values or ["t_ns"])


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
    specs = {spec.stream_id: spec for spec in manifest.rig.streams}
    source_of = cache(partial(time_source_of, session.folder, manifest))
    measured = {stream_id: clock.mapping for stream_id, clock in clocks.items() if clock.source != DEVICE}
    for stream in inertial:
        if stream.stream_id in clocks:
            yield _timed(session, stream, specs[stream.stream_id], clocks[stream.stream_id], ())
    found: Iterator[tuple[NarrowStream, StreamSpec, Reading]] = itertools.chain(
        readings_of(session.folder, manifest, DepthStream),
        readings_of(session.folder, manifest, TactileStream),
        readings_of(session.folder, manifest, PoseStream),
    )
    for narrow, spec, reading in found:
        others = sharing_clock(manifest, spec.stream_id, reading.time_source, measured, source_of)
        clock = clocks.get(spec.stream_id) or stream_clock(
            int(narrow.t_device_ns[0]),
            [measured[other] for other in others],
            manifest.started_at,
            readout_ms=manifest.rig.readout_ms,
        )
        yield _timed(session, narrow, spec, clock, reading.dropped)


def _timed(
    session: StandingSession,
    stream: NarrowStream,
    spec: StreamSpec,
    clock: StreamClock,
    dropped: tuple[Dropped, ...],
) -> StreamRows:
    """A stream by its clock; nothing of it where that clock says nothing of the recording's.

    Inertial streams are past that question: `session_clocks` accepts no such clock of theirs.
    """
    worker_day = WorkerDay(session.manifest.collected_on, session.manifest.worker_id)
    is_timed = clock.source != DEVICE or isinstance(stream, ImuStream) or counts_from_1970(int(stream.t_device_ns[0]))
    duration_ns = session.row["duration_ns"] if is_timed else 0
    rows, outside = stream_rows(worker_day, session.session_id, stream, clock, duration_ns)
    why = f"outside the recording by the {clock.source} clock" if is_timed else _UNTIMED
    cut = (Dropped("samples", outside, why),)
    return StreamRows(spec, TABLE_OF[type(stream)], rows, dropped + (cut if outside else ()))


def sharing_clock(
    manifest: Manifest,
    stream_id: str,
    source: TimeSource,
    aligned: Collection[str],
    source_of: Callable[[str], TimeSource],
) -> tuple[str, ...]:
    """Ids of the aligned streams on the very clock of a stream, sorted.

    Args:
        manifest: which says what is on one hardware clock.
        stream_id: of the stream.
        source: of its times.
        aligned: ids of aligned streams.
        source_of: gives that of an aligned stream; asked only where it decides.
    """
    others = manifest.sharing_clock_with(stream_id, is_one_per_file=source.is_one_per_file)
    return tuple(other for other in others if other in aligned and source.agrees_with(source_of(other)))


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
