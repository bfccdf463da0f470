"""Turns in-memory results into rows of the contract's tables, and back. Column by column, no loops over rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harchive_dagster.errors import LakeError
from harchive_dagster.lake import schemas
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.observations import FrameObservations
from harchive_dagster.sync.clock import EVER_NS, ClockMapping, PiecewiseClock
from harchive_dagster.sync.stream_clock import StreamClock
from harchive_dagster.worker_day import WorkerDay

if TYPE_CHECKING:
    from harchive_dagster.privacy.anonymize import AnonymizedVideo
    from harchive_dagster.sync.clock import ClockAlignment
    from harchive_dagster.sync.resampling import SyncedFrames
    from harchive_dagster.sync.session_clocks import StreamTiming

_T = TypeVar("_T")

_KEYS = ("collected_on", "worker_id", "session_id")
_AXES = "xyz"
_QUATERNION = "wxyz"
_FRAME_MEASURES = (
    "is_keyframe",
    "sharpness",
    "luma_mean",
    "luma_std",
    "clipped_fraction",
    "obstructed_fraction",
    "rotation_inliers",
    "motion_px",
    "is_detected",
    "is_slow_detected",
)


def session_rows(
    contract: TableContract, worker_day: WorkerDay, session_id: str, columns: Mapping[str, Any]
) -> pa.Table:
    """One session's rows from columns of equal length (scalars are repeated); keys are added."""
    length = next(len(values) for values in columns.values() if _is_column(values))
    constants = {"collected_on": worker_day.collected_on, "worker_id": worker_day.worker_id, "session_id": session_id}
    arrays = []
    for field in contract.columns:
        values = constants.get(field.name, columns.get(field.name))
        arrays.append(
            pa.array(values, type=field.type)
            if _is_column(values)
            else pa.repeat(pa.scalar(values, type=field.type), length)
        )
    return pa.Table.from_arrays(arrays, schema=contract.schema)


def _is_column(values: Any) -> bool:
    return isinstance(values, list | np.ndarray | pa.Array)


def together(contract: TableContract, tables: Sequence[pa.Table]) -> pa.Table:
    """The sessions of a worker-day in one table, in the contract's order; empty when there are none."""
    return contract.conform(pa.concat_tables([contract.empty(), *tables]))


def records(contract: TableContract, worker_day: WorkerDay, session_id: str, items: Sequence[Any]) -> pa.Table:
    """One row per frozen dataclass; its fields are columns."""
    fields = [name for name in contract.schema.names if name not in _KEYS]
    rows = [asdict(item) for item in items]
    return session_rows(contract, worker_day, session_id, {name: [row[name] for row in rows] for name in fields})


def imu_rows(worker_day: WorkerDay, session_id: str, stream: ImuStream) -> pa.Table:
    """Rows of sensor_samples."""
    columns: dict[str, Any] = {
        "stream_id": stream.stream_id,
        "placement": stream.placement,
        "kind": "imu",
        "t_device_ns": stream.t_device_ns,
    }
    for index, axis in enumerate(_AXES):
        columns[f"accel_{axis}_m_s2"] = stream.accel_m_s2[:, index]
        columns[f"gyro_{axis}_rad_s"] = stream.gyro_rad_s[:, index]
        columns[f"mag_{axis}_ut"] = None if stream.mag_ut is None else stream.mag_ut[:, index]
    return session_rows(schemas.SENSOR_SAMPLES, worker_day, session_id, columns)


def imu_streams(rows: pa.Table) -> list[ImuStream]:
    """The streams of one session's sensor_samples rows."""
    streams = []
    for stream_id in sorted(rows.column("stream_id").unique().to_pylist()):
        mine = rows.filter(pc.equal(rows.column("stream_id"), stream_id)).sort_by("t_device_ns")
        has_mag = mine.column("mag_x_ut").null_count == 0
        streams.append(
            ImuStream(
                stream_id=stream_id,
                placement=mine.column("placement")[0].as_py(),
                t_device_ns=mine.column("t_device_ns").to_numpy(),
                accel_m_s2=_stack(mine, "accel_{}_m_s2", _AXES),
                gyro_rad_s=_stack(mine, "gyro_{}_rad_s", _AXES),
                mag_ut=_stack(mine, "mag_{}_ut", _AXES) if has_mag else None,
            )
        )
    return streams


def frame_rows(worker_day: WorkerDay, session_id: str, seen: FrameObservations) -> pa.Table:
    """Rows of frames."""
    columns: dict[str, Any] = {"frame_index": np.arange(len(seen)), "pts_ns": seen.pts_ns}
    columns |= {name: getattr(seen, name) for name in _FRAME_MEASURES}
    for index, axis in enumerate(_AXES):
        columns[f"rotation_{axis}_rad"] = seen.rotation_rad[:, index]
    return session_rows(schemas.FRAMES, worker_day, session_id, columns)


def frame_observations(rows: pa.Table) -> FrameObservations:
    """The observations of one session's frames rows."""
    ordered = rows.sort_by("frame_index")
    arrays = {name: ordered.column(name).to_numpy() for name in ("pts_ns", *_FRAME_MEASURES)}
    return FrameObservations(rotation_rad=_stack(ordered, "rotation_{}_rad", _AXES), **arrays)


def alignment_rows(
    worker_day: WorkerDay, session_id: str, timing: "StreamTiming", readout_ms: float | None
) -> pa.Table:
    """The rows of clock_alignments of one stream, one for each piece of its clock."""
    pieces = [_alignment_row(worker_day, session_id, timing, piece, readout_ms) for piece in timing.pieces]
    return pa.concat_tables(pieces)


def _alignment_row(
    worker_day: WorkerDay,
    session_id: str,
    timing: "StreamTiming",
    alignment: "ClockAlignment",
    readout_ms: float | None,
) -> pa.Table:
    names = (
        "stream_id",
        "piece_index",
        "device_start_ns",
        "device_end_ns",
        "method",
        "offset_ns",
        "offset_sd_ns",
        "drift_ppm",
        "drift_sd_ppm",
        "residual_ms",
        "max_residual_ms",
        "correlation",
    )
    columns: dict[str, Any] = {name: [getattr(alignment, name)] for name in (*names, "confidence", "window_count")}
    columns |= {"placement": timing.stream.placement, "clock": timing.clock, "readout_ms": readout_ms}
    columns["is_accepted"] = [alignment.is_accepted]
    columns["reason"] = [alignment.reason.value if alignment.reason else None]
    for axis, bias in zip(_AXES, alignment.gyro_bias_rad_s, strict=True):
        columns[f"gyro_bias_{axis}_rad_s"] = [bias]
    for part, value in zip(_QUATERNION, alignment.camera_from_sensor, strict=True):
        columns[f"camera_from_sensor_q{part}"] = [value]
    return session_rows(schemas.CLOCK_ALIGNMENTS, worker_day, session_id, columns)


def synced_rows(
    worker_day: WorkerDay, session_id: str, stream: ImuStream, clock: str, synced: "SyncedFrames"
) -> pa.Table:
    """Rows of synced_frames of one stream; `clock` says what its times rest on."""
    count = len(synced)
    columns: dict[str, Any] = {
        "stream_id": stream.stream_id,
        "placement": stream.placement,
        "clock": clock,
        "frame_index": np.arange(count),
        "t_ns": synced.t_ns,
        "has_gap": synced.has_gap,
        "imu_window": list_column(synced.imu_window.reshape(count, -1)),
    }
    for index, axis in enumerate(_AXES):
        columns[f"accel_{axis}_m_s2"] = synced.accel_m_s2[:, index]
        columns[f"gyro_{axis}_rad_s"] = synced.gyro_rad_s[:, index]
    for index, part in enumerate(_QUATERNION):
        columns[f"orientation_q{part}"] = synced.orientation_wxyz[:, index]
    return session_rows(schemas.SYNCED_FRAMES, worker_day, session_id, columns)


def list_column(matrix: NDArray[Any]) -> pa.Array:
    """A matrix as a list of float32 per row."""
    count, width = matrix.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.astype(np.float32).ravel()))


def _stack(rows: pa.Table, pattern: str, parts: str) -> NDArray[Any]:
    return np.column_stack([rows.column(pattern.format(part)).to_numpy() for part in parts])


def video_row(worker_day: WorkerDay, session_id: str, video: "AnonymizedVideo", media: Path) -> pa.Table:
    """The row of anonymized_videos of one rendered file; its uri is relative to the media folder."""
    render = (
        "sha256",
        "bytes",
        "codec",
        "frame_count",
        "redacted_frame_count",
        "copied_fraction",
        "whole_reencode_reason",
        "renderer_version",
    )
    columns: dict[str, Any] = {name: [getattr(video.render, name)] for name in render}
    columns |= {
        "uri": [video.path.relative_to(media).as_posix()],
        "audit_frames": [video.audit.audit_frames],
        "audit_residual_faces": [len(video.audit.residuals)],
        "audit_suspects": [len(video.audit.suspects)],
        "seeded_recall": [video.seeded.large],
        "seeded_recall_small": [video.seeded.small],
        "model_version": [video.audit.model_version],
    }
    return session_rows(schemas.ANONYMIZED_VIDEOS, worker_day, session_id, columns)


def objects(kind: Callable[..., _T], rows: pa.Table) -> list[_T]:
    """The inverse of `records`: one frozen dataclass per row."""
    return [kind(**row) for row in rows.drop_columns(list(_KEYS)).to_pylist()]


def head_motion(synced: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Session time, specific force and angular velocity of the head's stream (of the first where there is none)."""
    placements = synced.column("placement").to_pylist()
    place = "head" if "head" in placements else min(placements, default="head")
    mine = synced.filter(pc.equal(synced.column("placement"), place))
    streams = mine.column("stream_id").to_pylist()
    mine = mine.filter(pc.equal(mine.column("stream_id"), min(streams, default=""))).sort_by("frame_index")
    return mine.column("t_ns").to_numpy(), _stack(mine, "accel_{}_m_s2", _AXES), _stack(mine, "gyro_{}_rad_s", _AXES)


def placements(synced: pa.Table, session_id: str) -> list[str]:
    """Where the sensors of a session were worn."""
    return sorted(of_session(synced, session_id).column("placement").unique().to_pylist())


def with_uris(videos: pa.Table, uris: Mapping[str, str]) -> pa.Table:
    """The rows of anonymized_videos under other names."""
    renamed = pa.array([uris[session_id] for session_id in videos.column("session_id").to_pylist()], type=pa.string())
    position = videos.column_names.index("uri")
    return videos.set_column(position, videos.schema.field("uri"), renamed)


def clock_mappings(alignments: pa.Table) -> dict[str, PiecewiseClock]:
    """By stream, the accepted pieces of one session's clock_alignments rows."""
    pieces: dict[str, list[ClockMapping]] = {}
    last_index = {row["stream_id"]: row["piece_index"] for row in alignments.sort_by("piece_index").to_pylist()}
    for row in alignments.sort_by("piece_index").to_pylist():
        if row["is_accepted"]:
            mapping = ClockMapping(
                offset_ns=row["offset_ns"],
                drift_ppm=row["drift_ppm"],
                camera_from_sensor=tuple(row[f"camera_from_sensor_q{part}"] for part in _QUATERNION),
                gyro_bias_rad_s=np.array([row[f"gyro_bias_{axis}_rad_s"] for axis in _AXES]),
                # Where a sensor began late or ended early is for its samples to say, not for its clock.
                device_start_ns=row["device_start_ns"] if row["piece_index"] else -EVER_NS,
                device_end_ns=EVER_NS if row["piece_index"] == last_index[row["stream_id"]] else row["device_end_ns"],
            )
            pieces.setdefault(row["stream_id"], []).append(mapping)
    return {stream_id: PiecewiseClock(tuple(mine)) for stream_id, mine in pieces.items()}


def stream_clocks(alignments: pa.Table) -> dict[str, StreamClock]:
    """By stream, the accepted clocks of one session's clock_alignments rows, and what they rest on."""
    sources = {row["stream_id"]: row["clock"] for row in alignments.select(["stream_id", "clock"]).to_pylist()}
    return {
        stream_id: StreamClock(sources[stream_id], clock) for stream_id, clock in clock_mappings(alignments).items()
    }


def of_session(rows: pa.Table, session_id: str) -> pa.Table:
    """One session's rows of a worker-day's table."""
    return rows.filter(pc.equal(rows.column("session_id"), session_id))


def present(rows: pa.Table, session_id: str, table: str) -> pa.Table:
    """One session's rows, which an earlier stage must have written.

    Raises:
        LakeError: there are none.
    """
    mine = of_session(rows, session_id)
    if not mine.num_rows:
        raise LakeError(
            f"Table {table} holds nothing of session {session_id}, which was not set aside either.",
            consequence="Nothing was written.",
            mend="Materialize the stages before this one for the worker-day first, or the whole chain.",
        )
    return mine


def only_sessions(rows: pa.Table, session_ids: Sequence[str]) -> pa.Table:
    """Rows of these sessions."""
    return rows.filter(_is_of(rows, session_ids))


def without_sessions(rows: pa.Table, session_ids: Sequence[str]) -> pa.Table:
    """Rows of every session but these."""
    return rows.filter(pc.invert(_is_of(rows, session_ids)))


def _is_of(rows: pa.Table, session_ids: Sequence[str]) -> pa.Array:
    return pc.is_in(rows.column("session_id"), value_set=pa.array(list(session_ids), type=pa.string()))
