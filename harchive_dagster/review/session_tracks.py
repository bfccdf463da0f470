"""The curves of one session, from its rows: how the camera turned, and what sensors felt. Reads no table itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harchive_dagster.delivery.publishing import without_private_time
from harchive_dagster.privacy.redaction import PRIVATE_KIND
from harchive_dagster.review.lanes import flagged
from harchive_dagster.review.traces import Curve, Track, drawn_track
from harchive_dagster.sync.stream_clock import CONTENT

_STREAM = ["placement", "stream_id", "clock"]


def public_motion(synced: pa.Table, pts_ns: NDArray[np.int64], end_ns: int, private: NDArray[np.int64]) -> pa.Table:
    """One session's synced frames outside private time, as they are published.

    Args:
        synced: rows of `synced_frames`.
        pts_ns: int64 [N], session time of the frames.
        end_ns: when the last frame ends.
        private: indices of the frames that are hidden whole.
    """
    if not len(private) or not synced.num_rows:
        return synced
    spans = flagged(pts_ns, end_ns, np.isin(np.arange(len(pts_ns)), private), PRIVATE_KIND)
    session_id = synced.column("session_id")[0].as_py()
    return without_private_time(synced, {session_id: [(span.start_ns, span.end_ns) for span in spans]})


def unmeasured(synced: pa.Table) -> NDArray[np.int64]:
    """Indices of frames that a sensor has no sample for."""
    indices: NDArray[np.int64] = synced.filter(synced.column("has_gap")).column("frame_index").to_numpy()
    return indices


def session_tracks(
    frames: Mapping[str, NDArray[Any]], synced: pa.Table, duration_ns: int, private: NDArray[np.int64]
) -> list[Track]:
    """How fast the camera turned as the picture shows it, and what each sensor felt.

    Sensors whose clock was measured by the picture's turning share its track: where the two curves do not lie on each
    other, the clock is wrong.

    Args:
        frames: columns of `frames`, [N] each, in order.
        synced: rows of `synced_frames` that may be shown.
        duration_ns: of the recording.
        private: indices of the frames that are hidden whole, of which nothing is drawn.
    """
    pts_ns = frames["pts_ns"]
    turning, others = [_seen(frames, private)], []
    for placement, stream_id, clock in _streams(synced):
        accel, gyro = (
            Curve(f"felt, {placement}", pts_ns, _magnitude(synced, stream_id, pattern, len(pts_ns)))
            for pattern in ("accel_{}_m_s2", "gyro_{}_rad_s")
        )
        if clock == CONTENT:
            turning.append(gyro)
        else:
            others.append(drawn_track(f"turning, {placement}", "rad/s", [gyro], duration_ns))
        others.append(drawn_track(f"acceleration, {placement}", "m/s²", [accel], duration_ns))
    return [drawn_track("turning", "rad/s", turning, duration_ns), *others]


def _streams(synced: pa.Table) -> list[tuple[str, str, str]]:
    found = synced.select(_STREAM).group_by(_STREAM).aggregate([]).to_pylist()
    return sorted((row["placement"], row["stream_id"], row["clock"]) for row in found)


def _magnitude(synced: pa.Table, stream_id: str, pattern: str, frame_count: int) -> NDArray[np.float64]:
    """Length of a stream's vector by frame; NaN where nothing was measured."""
    is_measured = pc.and_(pc.equal(synced.column("stream_id"), stream_id), pc.invert(synced.column("has_gap")))
    mine = synced.filter(is_measured)
    axes = np.stack([mine.column(pattern.format(axis)).to_numpy() for axis in "xyz"])
    found = np.full(frame_count, np.nan)
    found[mine.column("frame_index").to_numpy()] = np.linalg.norm(axes, axis=0)
    return found


def _seen(frames: Mapping[str, NDArray[Any]], private: NDArray[np.int64]) -> Curve:
    """How fast the picture turned from frame to frame, halfway between them; NaN where that could not be told.

    Of time that a reviewer made private the rows of `frames` still say it; the turn out of it is private as well.
    """
    pts_ns = frames["pts_ns"]
    angle_rad = np.linalg.norm(np.stack([frames[f"rotation_{axis}_rad"] for axis in "xyz"]), axis=0)
    step_ns = np.diff(pts_ns, prepend=pts_ns[0])
    is_private = np.isin(np.arange(len(pts_ns)), np.append(private, private + 1))
    is_told = (frames["rotation_inliers"] > 0) & (step_ns > 0) & ~is_private
    rates_rad_s = np.divide(angle_rad, step_ns * 1e-9, out=np.full(len(step_ns), np.nan), where=is_told)
    return Curve("seen in the picture", pts_ns - step_ns // 2, rates_rad_s)
