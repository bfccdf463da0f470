"""The figures that session rules judge: one row per session (or stream), computed from the tables about to be written.

A fact is a measurement; the limit it is held against is in `suites`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from harchive_dagster.privacy.anonymize import AnonymizedVideo
from harchive_dagster.privacy.redaction import PRIVATE_KIND
from harchive_dagster.recording.private_time import shows_private_time

Intervals = Sequence[tuple[int, int]]
"""Half-open [start, end) in session time, ns."""


def upload_facts(sessions: pa.Table, now: datetime) -> pd.DataFrame:
    """Container and wall-clock figures of each session."""
    frame: pd.DataFrame = sessions.to_pandas()
    started = pd.to_datetime(frame["started_at_utc"], utc=True)
    collected = pd.to_datetime(frame["collected_on"], utc=True)
    frame["day_offset_days"] = (started.dt.floor("D") - collected).dt.days
    frame["future_s"] = (started - pd.Timestamp(now)).dt.total_seconds()
    return frame[["session_id", "duration_ns", "fps", "width_px", "day_offset_days", "future_s"]]


def sensor_facts(samples: pa.Table, declared_hz: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """Rate, gaps and magnitudes of each stream; `declared_hz` is by (session_id, stream_id)."""
    rows = []
    for (session_id, stream_id), stream in samples.to_pandas().groupby(["session_id", "stream_id"], sort=True):
        t_device_ns = stream["t_device_ns"].to_numpy()
        steps_ns = np.diff(t_device_ns)
        accel = np.linalg.norm(stream[[f"accel_{axis}_m_s2" for axis in "xyz"]].to_numpy(), axis=1)
        gyro = np.linalg.norm(stream[[f"gyro_{axis}_rad_s" for axis in "xyz"]].to_numpy(), axis=1)
        rows.append(
            {
                "session_id": session_id,
                "stream_id": stream_id,
                "min_step_ns": int(steps_ns.min(initial=np.iinfo(np.int64).max)),
                "rate_ratio": float(1e9 / np.median(steps_ns) / declared_hz[session_id, stream_id]),
                "max_gap_s": float(steps_ns.max(initial=0) / 1e9),
                "span_s": float((t_device_ns[-1] - t_device_ns[0]) / 1e9),
                "accel_median_m_s2": float(np.median(accel)),
                "accel_max_m_s2": float(accel.max()),
                "gyro_max_rad_s": float(gyro.max()),
            }
        )
    names = (
        "min_step_ns",
        "rate_ratio",
        "max_gap_s",
        "span_s",
        "accel_median_m_s2",
        "accel_max_m_s2",
        "gyro_max_rad_s",
    )
    return pd.DataFrame(rows, columns=["session_id", "stream_id", *names])


def frame_facts(
    frames: pa.Table,
    declared_frames: Mapping[str, int],
    private_intervals_ns: Mapping[str, Intervals],
    detect_every: Mapping[str, int],
) -> pd.DataFrame:
    """Completeness of the look at each session's frames.

    Args:
        frames: rows of the frames table.
        declared_frames: by session, frames that the container holds.
        private_intervals_ns: by session; nothing is looked at inside them.
        detect_every: by session, the longest allowed distance between frames on which the privacy detector ran.
    """
    rows = []
    by_session = dict(list(frames.to_pandas().groupby("session_id", sort=True)))
    for session_id, declared in sorted(declared_frames.items()):
        mine = by_session.get(session_id, frames.to_pandas().iloc[:0])
        pts_ns = mine["pts_ns"].to_numpy()
        is_seen = ~shows_private_time(pts_ns, private_intervals_ns.get(session_id, ()))
        obstructed = mine["obstructed_fraction"].to_numpy()[is_seen]
        rows.append(
            {
                "session_id": session_id,
                "missing_frames": abs(declared - len(mine)),
                "min_step_ns": int(np.diff(pts_ns).min(initial=np.iinfo(np.int64).max)),
                "obstructed_median": float(np.median(obstructed)) if len(obstructed) else 1.0,
                "undetected_gaps": _long_runs(is_seen & ~mine["is_detected"].to_numpy(), detect_every[session_id]),
            }
        )
    names = ("missing_frames", "min_step_ns", "obstructed_median", "undetected_gaps")
    return pd.DataFrame(rows, columns=["session_id", *names])


def _long_runs(is_blind: NDArray[np.bool_], longest: int) -> int:
    """Runs of frames without a detector run that are `longest` or more long."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_blind.view(np.int8), [0]])))
    lengths = edges[1::2] - edges[::2]
    return int((lengths >= longest).sum())


def synced_facts(synced: pa.Table, frame_counts: Mapping[str, int]) -> pd.DataFrame:
    """Completeness of each stream on each session's frames."""
    rows = []
    table = synced.select(["session_id", "stream_id", "t_ns", "has_gap"]).to_pandas()
    for (session_id, stream_id), stream in table.groupby(["session_id", "stream_id"], sort=True):
        rows.append(
            {
                "session_id": session_id,
                "stream_id": stream_id,
                "missing_frames": abs(frame_counts[session_id] - len(stream)),
                "min_step_ns": int(np.diff(stream["t_ns"].to_numpy()).min(initial=np.iinfo(np.int64).max)),
                "gap_fraction": float(stream["has_gap"].mean()),
            }
        )
    names = ("missing_frames", "min_step_ns", "gap_fraction")
    return pd.DataFrame(rows, columns=["session_id", "stream_id", *names])


def redaction_facts(
    redactions: pa.Table, lifted: pa.Table, detections: pa.Table, sessions: Sequence[str]
) -> pd.DataFrame:
    """Detections that no redaction of their frame covers, frames missing inside tracks, and private time that a
    correction lifted, by session. What a reviewer lifted accounts for a detection as what is hidden does.
    """
    boxes = pa.concat_tables([redactions, lifted.drop_columns(["correction_id"])]).to_pandas()
    removed = lifted.to_pandas()
    seen = detections.to_pandas()
    rows = []
    for session_id in sorted(sessions):
        mine = boxes[boxes["session_id"] == session_id]
        found = seen[seen["session_id"] == session_id].reset_index(drop=True)
        is_private = (removed["session_id"] == session_id) & (removed["kind"] == PRIVATE_KIND)
        rows.append(
            {
                "session_id": session_id,
                "uncovered_detections": _uncovered(found, mine),
                "track_holes": _holes(mine),
                "lifted_private": int(is_private.sum()),
            }
        )
    return pd.DataFrame(rows, columns=["session_id", "uncovered_detections", "track_holes", "lifted_private"])


def _uncovered(found: pd.DataFrame, boxes: pd.DataFrame) -> int:
    found = found.assign(detection=np.arange(len(found)))
    pairs = found.merge(boxes, on="frame_index", suffixes=("", "_hidden"))
    # Half a pixel: boxes are floats, and clipping to the picture may round.
    is_covered = (
        (pairs["x_hidden"] <= pairs["x"].clip(lower=0) + 0.5)
        & (pairs["y_hidden"] <= pairs["y"].clip(lower=0) + 0.5)
        & (pairs["x_hidden"] + pairs["w_hidden"] >= pairs["x"] + pairs["w"] - 0.5)
        & (pairs["y_hidden"] + pairs["h_hidden"] >= pairs["y"] + pairs["h"] - 0.5)
    )
    return len(found) - int(pairs.loc[is_covered, "detection"].nunique())


def _holes(boxes: pd.DataFrame) -> int:
    # Private time may come in several pieces, so a hole between those is meant.
    tracks = boxes[boxes["source"] != "private_time"].groupby("track_id")["frame_index"]
    if tracks.ngroups == 0:
        return 0
    return int((tracks.max() - tracks.min() + 1 - tracks.count()).sum())


def video_facts(videos: Mapping[str, AnonymizedVideo], frame_counts: Mapping[str, int]) -> pd.DataFrame:
    """What the audit of each rendered file found, against the source."""
    rows = [
        {
            "session_id": session_id,
            "frame_count_error": abs(video.audit.frame_count - frame_counts[session_id]),
            "max_pts_error_ns": video.audit.max_pts_error_ns,
            "leak_count": len(video.audit.metadata_leaks) + int(video.audit.has_audio),
            "audit_frames": video.audit.audit_frames,
            "audit_residual_faces": len(video.audit.residuals),
            "copy_differences": len(video.audit.copy_differences),
            "seeded_recall": video.seeded.large,
        }
        for session_id, video in sorted(videos.items())
    ]
    names = ("frame_count_error", "max_pts_error_ns", "leak_count", "audit_frames", "audit_residual_faces")
    return pd.DataFrame(rows, columns=["session_id", *names, "copy_differences", "seeded_recall"])


def annotation_facts(
    annotations: pa.Table, durations_ns: Mapping[str, int], layers: Sequence[str], sessions: Sequence[str]
) -> pd.DataFrame:
    """Labels outside their recording or on an unknown layer, by session."""
    table = annotations.to_pandas()
    rows = []
    for session_id in sorted(sessions):
        mine = table[table["session_id"] == session_id]
        is_outside = (mine["start_ns"] < 0) | (mine["end_ns"] > durations_ns[session_id])
        rows.append(
            {
                "session_id": session_id,
                "outside_session": int(is_outside.sum()),
                "layer_unknown": int((~mine["layer"].isin(list(layers))).sum()),
            }
        )
    return pd.DataFrame(rows, columns=["session_id", "outside_session", "layer_unknown"])


def segment_facts(
    segments: pa.Table, durations_ns: Mapping[str, int], agreement_margins: Mapping[str, float]
) -> pd.DataFrame:
    """Overlaps within a layer, segments outside their recording, and agreement, by session.

    Args:
        segments: rows of the segments table.
        durations_ns: by session.
        agreement_margins: by session that several people labelled, how much more they agree than they must; 0 for the
            others, where there is nothing to agree on.
    """
    rows = []
    table = segments.to_pandas()
    for session_id in sorted(durations_ns):
        mine = table[table["session_id"] == session_id]
        ordered = mine.sort_values(["layer", "start_ns", "end_ns"])
        is_same_layer = ordered["layer"].eq(ordered["layer"].shift())
        overlap = is_same_layer & (ordered["start_ns"] < ordered["end_ns"].shift())
        is_outside = (mine["start_ns"] < 0) | (mine["end_ns"] > durations_ns[session_id])
        rows.append(
            {
                "session_id": session_id,
                "overlap_count": int(overlap.sum()),
                "outside_session": int(is_outside.sum()),
                "agreement_margin": agreement_margins.get(session_id, 0.0),
            }
        )
    return pd.DataFrame(rows, columns=["session_id", "overlap_count", "outside_session", "agreement_margin"])


def episode_facts(
    episodes: pd.DataFrame, media: Mapping[str, bool], synced_counts: Mapping[str, NDArray[np.int64]]
) -> pd.DataFrame:
    """Episodes whose media file or whose synced rows are not there, by session.

    Args:
        episodes: with session_id, frame_start, frame_end.
        media: by session, whether its anonymized file exists.
        synced_counts: by session, the number of synced rows of each frame.
    """
    rows = []
    for session_id, mine in episodes.groupby("session_id", sort=True):
        counts = synced_counts.get(str(session_id), np.zeros(0, dtype=np.int64))
        missing = 0
        for start, end in zip(mine["frame_start"], mine["frame_end"], strict=True):
            inside = counts[start:end]
            missing += (end - start - len(inside)) + int((inside == 0).sum())
        rows.append(
            {
                "session_id": session_id,
                "missing_media": 0 if media.get(str(session_id)) else len(mine),
                "missing_synced_frames": missing,
            }
        )
    return pd.DataFrame(rows, columns=["session_id", "missing_media", "missing_synced_frames"])


def judged_synced_frames(synced: pa.Table) -> pd.DataFrame:
    """Rows of synced_frames with the length and peak of each window and the norm of each orientation."""
    frame: pd.DataFrame = synced.drop_columns(["imu_window"]).to_pandas()
    windows = synced.column("imu_window").combine_chunks()
    lengths = windows.value_lengths().to_numpy(zero_copy_only=False)
    values = np.abs(windows.flatten().to_numpy())
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(lengths) else np.zeros(0, np.int64)
    frame["window_length"] = lengths
    # An infinite or missing number is its window's peak, so it cannot hide behind finite neighbours.
    frame["window_peak"] = np.maximum.reduceat(values, starts) if len(values) else np.zeros(len(frame))
    frame["orientation_norm"] = (frame[[f"orientation_q{part}" for part in "wxyz"]] ** 2).sum(axis=1) ** 0.5
    return frame
