"""The figures that the suite of `synced_streams` judges: one row per stream, from the rows about to be written.

The figures of the other stages are in `facts`.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_STREAM = ["session_id", "stream_id"]
_COLUMNS = (
    *("clock", "sample_count", "min_step_ns", "rate_ratio", "max_gap_s", "outside_recording"),
    *("norm_error", "not_finite"),
)


def stream_facts(
    tables: Iterable[pa.Table], declared_hz: Mapping[tuple[str, str], float], durations_ns: Mapping[str, int]
) -> pd.DataFrame:
    """Rate, gaps, times and values of each stream.

    Args:
        tables: rows of imu_samples, pose_samples, tactile_samples and depth_frames.
        declared_hz: by (session_id, stream_id).
        durations_ns: by session.
    """
    rows = []
    for table in tables:
        values = _value_facts(table)
        times = table.select([*_STREAM, "clock", "t_device_ns", "t_ns"]).group_by(
            [*_STREAM, "clock", "t_device_ns", "t_ns"]
        )
        samples = times.aggregate([]).to_pandas().sort_values([*_STREAM, "t_device_ns"])
        for (session_id, stream_id), stream in samples.groupby(_STREAM, sort=True):
            timing = _timing(stream, declared_hz[session_id, stream_id], durations_ns[session_id])
            if "gyro_x_rad_s" in table.column_names:
                # Gaps of inertial streams are judged frame by frame, by `synced_frames`.
                timing["max_gap_s"] = 0.0
            identity = {"session_id": session_id, "stream_id": stream_id, "clock": stream["clock"].iloc[0]}
            rows.append(identity | timing | values[session_id, stream_id])
    return pd.DataFrame(rows, columns=[*_STREAM, *_COLUMNS])


def _timing(stream: pd.DataFrame, declared_hz: float, duration_ns: int) -> dict[str, object]:
    t_ns = stream["t_ns"].to_numpy()
    steps_ns = np.diff(t_ns)
    return {
        "sample_count": len(t_ns),
        "min_step_ns": int(steps_ns.min(initial=np.iinfo(np.int64).max)),
        "rate_ratio": float(1e9 / np.median(np.diff(stream["t_device_ns"].to_numpy())) / declared_hz),
        "max_gap_s": float(steps_ns.max(initial=0) / 1e9),
        "outside_recording": int(((t_ns < 0) | (t_ns >= duration_ns)).sum()),
    }


def _value_facts(table: pa.Table) -> dict[tuple[str, str], dict[str, object]]:
    """By stream, what is wrong with its values."""
    figures = {
        "norm_error": _norm_error(table),
        "not_finite": _not_finite(table),
    }
    grouped = pa.table({**{name: table.column(name) for name in _STREAM}, **figures}).group_by(_STREAM)
    kinds = {"norm_error": "max", "not_finite": "sum"}
    found = grouped.aggregate(list(kinds.items())).to_pylist()
    return {
        (row["session_id"], row["stream_id"]): {name: row[f"{name}_{kind}"] for name, kind in kinds.items()}
        for row in found
    }


def _norm_error(table: pa.Table) -> NDArray[np.float64]:
    """How far each quaternion's length is from 1; 0 where there is none, infinite where it has holes."""
    if "qw" not in table.column_names:
        return np.zeros(table.num_rows)
    parts = np.column_stack([table.column(f"q{part}").to_numpy() for part in "wxyz"])
    is_given = ~np.isnan(parts)
    error = np.abs(np.linalg.norm(parts, axis=1) - 1)
    return np.where(is_given.all(axis=1), error, np.where(is_given.any(axis=1), np.inf, 0.0))


def _not_finite(table: pa.Table) -> NDArray[np.int64]:
    """Infinities and NaN in each row; nulls are none of them."""
    count = np.zeros(table.num_rows, dtype=np.int64)
    for field in table.schema:
        if pa.types.is_floating(field.type):
            count += pc.fill_null(pc.invert(pc.is_finite(table.column(field.name))), False).to_numpy()
        elif pa.types.is_list(field.type):
            lists = table.column(field.name).combine_chunks()
            is_odd = ~np.isfinite(lists.flatten().to_numpy())
            count += np.bincount(pc.list_parent_indices(lists), weights=is_odd, minlength=len(count)).astype(np.int64)
    return count
