"""One CSV file of a Sensor Logger export as rows in order of time. Which files make a stream is in `sensor_logger`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.archives import Archive
from harchive_dagster.landing.formats.protocol import MAX_SAMPLES, Dropped, unreadable
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason

if TYPE_CHECKING:
    import pyarrow as pa

_TIME = "time"
MAX_HEADER_BYTES = 10_000
"""Twenty times the app's longest."""

_MAX_LATE_SHARE = 0.01
_ALWAYS_ALLOWED_LATE = 3
"""What a phone had cached comes out of order when a recording begins, in short files as in long ones."""

_GAP_STEPS = 5
"""A phone that is busy skips a sample or two; over more, a straight line would be an invention."""


@dataclass(frozen=True, eq=False)
class SensorRows:
    """One sensor's rows.

    Attributes:
        name: the sensor's, as its file is called.
        t_ns: int64 [N], strictly increasing, nanoseconds since 1970 by the phone's clock.
        values: float64 [N, columns]; NaN where a cell is empty.
        dropped: what was done to bring them into order.
    """

    name: str
    t_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    dropped: tuple[Dropped, ...]


def sensor_rows(archive: Archive, member: str, stream: StreamSpec, columns: tuple[str, ...]) -> SensorRows:
    """Read columns by their names: the app writes z before y before x.

    Rows are sorted by time and repeated times left out (README.md, "Removing Duplicated Entries").

    Raises:
        LandingError: SENSOR_UNREADABLE for columns that are missing or repeated, cells that are no numbers, or no
            rows; SENSOR_NOT_MONOTONIC when more than 1 % of the rows are out of order.
    """
    import pyarrow as pa

    name = member.rpartition("/")[2].removesuffix(".csv")
    try:
        batches = list(_batches(archive, member, stream, columns))
    except (pa.ArrowException, UnicodeDecodeError, MemoryError):
        # Arrow quotes the line that it cannot read, which may be where somebody was.
        raise _unusable(archive, stream, member, "cannot be read as rows of numbers") from None
    t_ns = np.concatenate([batch.column(_TIME).to_numpy() for batch in batches])
    values = np.column_stack(
        [
            np.concatenate([batch.column(column).to_numpy(zero_copy_only=False) for batch in batches])
            for column in columns
        ]
    )
    if t_ns.min() < 0:
        raise _unusable(archive, stream, member, "has times before 1970")
    return _in_order(name, stream, t_ns, values)


def rows_at(t_ns: NDArray[np.int64], rows: SensorRows) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values on straight lines between a sensor's rows.

    Args:
        t_ns: int64 [M], the wanted times, not negative.
        rows: at least one.

    Returns:
        float64 [M, columns], and bool [M]: whether there are rows on both sides, not far from each other. Values of
        the others mean nothing.
    """
    if len(rows.t_ns) < 2:
        return np.zeros((len(t_ns), rows.values.shape[1])), np.zeros(len(t_ns), dtype=np.bool_)
    steps_ns = np.diff(rows.t_ns)
    left = np.clip(np.searchsorted(rows.t_ns, t_ns, side="right") - 1, 0, len(steps_ns) - 1)
    share = (t_ns - rows.t_ns[left]) / steps_ns[left]
    is_covered = (share >= 0) & (share <= 1) & (steps_ns[left] <= _GAP_STEPS * float(np.median(steps_ns)))
    with np.errstate(over="ignore", invalid="ignore"):
        values = rows.values[left] + share[:, None] * (rows.values[left + 1] - rows.values[left])
    return values, is_covered


def _batches(archive: Archive, member: str, stream: StreamSpec, columns: tuple[str, ...]) -> "Iterator[pa.RecordBatch]":
    """Only the wanted columns, piece by piece, so that a small archive cannot unpack to more rows than are read."""
    import pyarrow as pa
    from pyarrow import csv

    with archive.open(member) as file:
        names = [name.strip().strip('"') for name in file.readline(MAX_HEADER_BYTES).decode("utf-8-sig").split(",")]
        for column in (_TIME, *columns):
            if names.count(column) != 1:
                problem = f"has column {column!r} {names.count(column)} times, expected once"
                raise _unusable(archive, stream, member, problem)
        types = {_TIME: pa.int64()} | dict.fromkeys(columns, pa.float64())
        reading = csv.open_csv(
            file,
            read_options=csv.ReadOptions(column_names=names),
            convert_options=csv.ConvertOptions(include_columns=list(types), column_types=types),
        )
        count = 0
        with reading as batches:
            for batch in batches:
                if batch.column(_TIME).null_count:
                    raise _unusable(archive, stream, member, "has rows without a time")
                count += batch.num_rows
                if count > MAX_SAMPLES:
                    raise _unusable(archive, stream, member, f"has more than {MAX_SAMPLES} rows")
                yield batch


def _in_order(name: str, stream: StreamSpec, t_ns: NDArray[np.int64], values: NDArray[np.float64]) -> SensorRows:
    late = int((t_ns < np.maximum.accumulate(t_ns)).sum())
    if late > max(_ALWAYS_ALLOWED_LATE, _MAX_LATE_SHARE * len(t_ns)):
        raise LandingError(
            Reason.SENSOR_NOT_MONOTONIC,
            f"stream {stream.stream_id!r}: {late} of {len(t_ns)} rows of {name} are out of order of time.",
            mend="Check whether the phone's clock was set during the recording; otherwise export it again.",
            evidence={"count": late, "rows": len(t_ns)},
        )
    order = np.argsort(t_ns, kind="stable")
    t_ns, values = t_ns[order], values[order]
    is_first = np.append(True, t_ns[1:] != t_ns[:-1])
    changes = (
        Dropped(f"{name} rows out of order", late, "put back in order of time"),
        Dropped(f"{name} rows", int((~is_first).sum()), "their time was there before"),
    )
    return SensorRows(name, t_ns[is_first], values[is_first], tuple(one for one in changes if one.count))


def _unusable(archive: Archive, stream: StreamSpec, member: str, problem: str) -> LandingError:
    return unreadable(archive.path, stream, f"holds {member[:80]!a}, which {problem}")
