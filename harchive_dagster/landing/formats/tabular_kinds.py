"""What a table of each kind of stream must hold, and the stream made of it. How a table is loaded is in `tabular`.

One row is one sample; every table has `t_device_ns`. Columns that the kind does not claim are neither converted nor
kept; Parquet's are not even read.

- imu: `accel_{x,y,z}_m_s2`, `gyro_{x,y,z}_rad_s`, and `mag_{x,y,z}_ut` where there is a magnetometer.
- pose: for each joint `<joint>_{x,y,z}_m`, `<joint>_q{w,x,y,z}`, or both, and `<joint>_confidence` where the device
  gives one. A joint is named with a-z, 0-9 and _ only. An empty cell means "not tracked".
- tactile: `cell_<row>_<column>` counted from 0, a full grid. The unit is the name's ending: `_n` for newtons, `_pa` for
  pascals, `_raw` or nothing for counts of the converter; all cells have the same one.
- gps: `latitude_deg`, `longitude_deg`, `altitude_m`, `speed_m_s`, and `utc_ns` where the receiver gives it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.protocol import Stream
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

if TYPE_CHECKING:
    import pyarrow as pa

MAX_COLUMNS = 20_000
"""A tactile array of 128 x 128 cells, and more joints than anybody has. Every column costs some hundred bytes for each
block of rows, however few its cells: many would make a small file large in memory."""

TIME_COLUMN = "t_device_ns"
UTC_COLUMN = "utc_ns"
WHOLE_COLUMNS = frozenset({TIME_COLUMN, UTC_COLUMN})
"""Nanoseconds since 1970 lose their last digits as float64."""

ACCEL_COLUMNS = ("accel_x_m_s2", "accel_y_m_s2", "accel_z_m_s2")
GYRO_COLUMNS = ("gyro_x_rad_s", "gyro_y_rad_s", "gyro_z_rad_s")
MAG_COLUMNS = ("mag_x_ut", "mag_y_ut", "mag_z_ut")
LOCATION_COLUMNS = ("latitude_deg", "longitude_deg", "altitude_m", "speed_m_s")

_POSITION = ("x_m", "y_m", "z_m")
_ORIENTATION = ("qw", "qx", "qy", "qz")
_CONFIDENCE = ("confidence",)
_POSE_COLUMN = re.compile(rf"(?P<joint>.+)_(?P<part>{'|'.join((*_POSITION, *_ORIENTATION, *_CONFIDENCE))})", re.DOTALL)

# Four digits each: far beyond any array, and small enough that a hostile index is no large number.
_CELL_COLUMN = re.compile(r"cell_(?P<row>0|[1-9]\d{0,3})_(?P<column>0|[1-9]\d{0,3})(?:_(?P<unit>n|pa|raw))?", re.ASCII)
_UNITS = {None: "raw", "raw": "raw", "n": "N", "pa": "Pa"}


class ColumnError(ValueError):
    """A column that is not what it must be; the message continues a sentence begun with the file's name."""


def column(table: "pa.Table", name: str, *, may_be_empty: bool = False) -> NDArray[Any]:
    """One column: int64 for times, float64 for every other.

    Args:
        table: as loaded.
        name: of the column.
        may_be_empty: empty cells become NaN instead of an error.

    Raises:
        ColumnError: the column is missing, repeated, mistyped, or has empty cells.
    """
    import pyarrow as pa

    # By the schema's own index: to look through all names for each of them takes minutes for an array of 128 x 128.
    positions = table.schema.get_all_field_indices(name)
    if len(positions) != 1:
        raise ColumnError(f"has column {name[:80]!r} {len(positions)} times, expected once")
    values = table.column(positions[0])
    check_type(name, values.type)
    if values.null_count and not may_be_empty:
        raise ColumnError(f"has {values.null_count} empty cells in column {name[:80]!r}")
    is_time = name in WHOLE_COLUMNS
    try:
        array: NDArray[Any] = values.cast(pa.int64() if is_time else pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        raise ColumnError(f"has values in column {name[:80]!r} that do not fit") from None
    return array


def check_width(count: int) -> None:
    """Refuse tables of too many columns.

    Raises:
        ColumnError: there are more than `MAX_COLUMNS`.
    """
    if count > MAX_COLUMNS:
        raise ColumnError(f"has {count} columns, at most {MAX_COLUMNS} are read")


def check_type(name: str, found: "pa.DataType") -> None:
    """Refuse what is no plain number: int64 is expected for times, float64 for every other.

    A column that is empty throughout may have no type; whether it may be empty is not judged here.

    Raises:
        ColumnError: with both types.
    """
    import pyarrow as pa

    is_time = name in WHOLE_COLUMNS
    is_number = pa.types.is_integer(found) or (pa.types.is_floating(found) and not is_time)
    if not (is_number or pa.types.is_null(found)):
        expected = "int64" if is_time else "float64"
        # A nested type's own words go through all its fields.
        raise ColumnError(f"has column {name[:80]!r} of type {str(found)[:80]}, expected {expected}")


def columns(table: "pa.Table", names: tuple[str, ...], *, may_be_empty: bool = False) -> NDArray[np.float64]:
    """Several columns side by side, float64 [N, len(names)]."""
    return np.column_stack([column(table, name, may_be_empty=may_be_empty) for name in names])


@dataclass(frozen=True)
class TabularKind:
    """How one kind of stream lies in a table.

    Attributes:
        is_mine: whether a column belongs to the kind; others are passed over.
        is_marked_by: whether a table with these column names holds the kind.
        build: the stream out of the table; raises ColumnError or LandingError.
    """

    is_mine: Callable[[str], bool]
    is_marked_by: Callable[[frozenset[str]], bool]
    build: Callable[["pa.Table", StreamSpec], Stream]


def _imu(table: "pa.Table", stream: StreamSpec) -> ImuStream:
    has_mag = any(name in table.column_names for name in MAG_COLUMNS)
    return ImuStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=column(table, TIME_COLUMN),
        accel_m_s2=columns(table, ACCEL_COLUMNS),
        gyro_rad_s=columns(table, GYRO_COLUMNS),
        mag_ut=columns(table, MAG_COLUMNS) if has_mag else None,
    )


def _is_pose(name: str) -> bool:
    return name == TIME_COLUMN or _POSE_COLUMN.fullmatch(name) is not None


def _has_joint(names: frozenset[str]) -> bool:
    return any(name.endswith(("_x_m", "_qw")) for name in names)


def _pose(table: "pa.Table", stream: StreamSpec) -> PoseStream:
    parts = _parts_by_joint(table.column_names)
    joints = tuple(joint for joint, found in parts.items() if found - set(_CONFIDENCE))
    if not joints:
        raise ColumnError("has no joint: no column ends in _x_m or _qw")
    confidence = _stacked(table, parts, joints, _CONFIDENCE)
    return PoseStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=column(table, TIME_COLUMN),
        joints=joints,
        position_m=_stacked(table, parts, joints, _POSITION),
        orientation_wxyz=_stacked(table, parts, joints, _ORIENTATION),
        confidence=None if confidence is None else confidence[:, :, 0],
    )


def _parts_by_joint(names: Sequence[str]) -> dict[str, set[str]]:
    """What is given of each joint, in the order in which the joints appear."""
    parts: dict[str, set[str]] = {}
    for name in names:
        found = _POSE_COLUMN.fullmatch(name)
        if found:
            parts.setdefault(found["joint"], set()).add(found["part"])
    return parts


def _stacked(
    table: "pa.Table", parts: Mapping[str, set[str]], joints: Sequence[str], wanted: tuple[str, ...]
) -> NDArray[np.float64] | None:
    """float64 [N, joints, len(wanted)], NaN for joints without these columns; None where no joint has them."""
    if not any(parts[joint] & set(wanted) for joint in joints):
        return None
    stacked = np.full((table.num_rows, len(joints), len(wanted)), np.nan)
    for index, joint in enumerate(joints):
        if parts[joint] & set(wanted):
            stacked[:, index] = columns(table, tuple(f"{joint}_{part}" for part in wanted), may_be_empty=True)
    return stacked


def _is_tactile(name: str) -> bool:
    return name == TIME_COLUMN or _CELL_COLUMN.fullmatch(name) is not None


def _tactile(table: "pa.Table", stream: StreamSpec) -> TactileStream:
    cells = {}
    for name in table.column_names:
        found = _CELL_COLUMN.fullmatch(name)
        if found:
            cells[name] = (int(found["row"]), int(found["column"]), _UNITS[found["unit"]])
    units = sorted({unit for _, _, unit in cells.values()})
    if len(units) != 1:
        raise ColumnError(f"has cells in {' and '.join(units)}, expected one unit" if units else "has no tactile cell")
    rows = 1 + max(row for row, _, _ in cells.values())
    width = 1 + max(place for _, place, _ in cells.values())
    if len({cell[:2] for cell in cells.values()}) != len(cells) or len(cells) != rows * width:
        raise ColumnError(f"has {len(cells)} cells, expected each of {rows} x {width} once")
    values = np.empty((table.num_rows, rows, width), dtype=np.float32)
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which the stream refuses
        for name, (row, place, _) in cells.items():
            values[:, row, place] = column(table, name)
    return TactileStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=column(table, TIME_COLUMN),
        values=values,
        unit=units[0],
    )


def _location(table: "pa.Table", stream: StreamSpec) -> LocationStream:
    return LocationStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=column(table, TIME_COLUMN),
        **{name: column(table, name) for name in LOCATION_COLUMNS},
        utc_ns=column(table, UTC_COLUMN) if UTC_COLUMN in table.column_names else None,
    )


_IMU_COLUMNS = frozenset({TIME_COLUMN, *ACCEL_COLUMNS, *GYRO_COLUMNS, *MAG_COLUMNS})
_LOCATION_COLUMNS = frozenset({TIME_COLUMN, *LOCATION_COLUMNS, UTC_COLUMN})

KINDS: Mapping[str, TabularKind] = {
    "imu": TabularKind(_IMU_COLUMNS.__contains__, lambda names: "gyro_x_rad_s" in names, _imu),
    "pose": TabularKind(_is_pose, _has_joint, _pose),
    "tactile": TabularKind(_is_tactile, lambda names: any(map(_CELL_COLUMN.fullmatch, names)), _tactile),
    "gps": TabularKind(_LOCATION_COLUMNS.__contains__, lambda names: "latitude_deg" in names, _location),
}
"""By a manifest's stream kind."""
