"""Sidecar CSV and Parquet files with columns named as ours. What a table of each kind must hold is said here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.landing.formats.protocol import (
    MAX_SAMPLES,
    Channel,
    Reading,
    Stream,
    choose_channel,
    damaged,
    unreadable,
)
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.recording.imu import ImuStream

if TYPE_CHECKING:
    import pyarrow as pa

TIME_COLUMN = "t_device_ns"
ACCEL_COLUMNS = ("accel_x_m_s2", "accel_y_m_s2", "accel_z_m_s2")
GYRO_COLUMNS = ("gyro_x_rad_s", "gyro_y_rad_s", "gyro_z_rad_s")
MAG_COLUMNS = ("mag_x_ut", "mag_y_ut", "mag_z_ut")


class ColumnError(ValueError):
    """A column that is not what it must be; the message continues a sentence begun with the file's name."""


def column(table: "pa.Table", name: str) -> NDArray[Any]:
    """One column without empty cells: int64 for the time column, float64 for every other.

    Raises:
        ColumnError: the column is missing, repeated, mistyped, or has empty cells.
    """
    import pyarrow as pa

    count = table.column_names.count(name)
    if count != 1:
        raise ColumnError(f"has column {name!r} {count} times, expected once")
    values = table.column(name)
    is_time = name == TIME_COLUMN
    if not (pa.types.is_integer(values.type) or (pa.types.is_floating(values.type) and not is_time)):
        expected = "int64" if is_time else "float64"
        raise ColumnError(f"has column {name!r} of type {values.type}, expected {expected}")
    if values.null_count:
        raise ColumnError(f"has {values.null_count} empty cells in column {name!r}")
    try:
        array: NDArray[Any] = values.cast(pa.int64() if is_time else pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        raise ColumnError(f"has values in column {name!r} that do not fit") from None
    return array


def columns(table: "pa.Table", names: tuple[str, ...]) -> NDArray[np.float64]:
    """Several columns side by side, float64 [N, len(names)]."""
    return np.column_stack([column(table, name) for name in names])


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


@dataclass(frozen=True)
class TabularKind:
    """How one kind of stream lies in a table.

    Attributes:
        is_mine: whether a column belongs to the kind; others are not even read.
        is_marked_by: whether a table with these column names holds the kind.
        build: the stream out of the table; raises ColumnError or LandingError.
    """

    is_mine: Callable[[str], bool]
    is_marked_by: Callable[[frozenset[str]], bool]
    build: Callable[["pa.Table", StreamSpec], Stream]


_IMU_COLUMNS = frozenset({TIME_COLUMN, *ACCEL_COLUMNS, *GYRO_COLUMNS, *MAG_COLUMNS})

KINDS: Mapping[str, TabularKind] = {
    "imu": TabularKind(_IMU_COLUMNS.__contains__, lambda names: "gyro_x_rad_s" in names, _imu),
}
"""By a manifest's stream kind."""


class _Tabular:
    """What CSV and Parquet share: a table is loaded, then its kind makes a stream of it."""

    name: str

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """One channel per kind whose columns are there."""
        names = frozenset(self._column_names(path))
        if TIME_COLUMN not in names:
            return ()
        return tuple(Channel("", kind) for kind, layout in KINDS.items() if layout.is_marked_by(names))

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """All rows of one kind."""
        import pyarrow as pa

        layout = KINDS.get(stream.kind)
        if layout is None or channel:
            choose_channel(path, stream, channel, self.probe(path))
            raise unreadable(path, stream, f"has no layout for kind {stream.kind!r} as {self.name}")
        if not path.is_file():
            raise unreadable(path, stream, "is not there")
        try:
            return Reading(layout.build(self._load(path, layout.is_mine), stream))
        except ColumnError as error:
            raise unreadable(path, stream, str(error)) from None
        except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            raise unreadable(path, stream, f"cannot be read: {first_line[:200]!a}") from None

    def _column_names(self, path: Path) -> list[str]:
        raise NotImplementedError

    def _load(self, path: Path, is_mine: Callable[[str], bool]) -> "pa.Table":
        raise NotImplementedError


class CsvReader(_Tabular):
    """Comma-separated values with a header line, UTF-8."""

    name = "csv"

    def _column_names(self, path: Path) -> list[str]:
        """The names in the first line; none where it is no text."""
        try:
            with path.open("rb") as file:
                first_line = file.readline(100_000)
            return [name.strip().strip('"') for name in first_line.decode("utf-8-sig").split(",")]
        except (OSError, UnicodeDecodeError):
            return []

    def _load(self, path: Path, is_mine: Callable[[str], bool]) -> "pa.Table":
        import pyarrow as pa
        from pyarrow import csv

        types = {name: pa.int64() if name == TIME_COLUMN else pa.float64() for name in self._column_names(path)}
        options = csv.ConvertOptions(column_types={name: kind for name, kind in types.items() if is_mine(name)})
        table = csv.read_csv(path, convert_options=options)
        # By position: names may repeat, which is judged later; one that is not UTF-8 fails here.
        return table.select([i for i, name in enumerate(table.column_names) if is_mine(name)])


class ParquetReader(_Tabular):
    """Apache Parquet."""

    name = "parquet"

    def _column_names(self, path: Path) -> list[str]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with path.open("rb") as file:
                if file.read(4) != b"PAR1":
                    return []
            return list(parquet.read_schema(path).names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged(path, f"begins as Parquet and cannot be read: {str(error)[:200]!a}") from None

    def _load(self, path: Path, is_mine: Callable[[str], bool]) -> "pa.Table":
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_SAMPLES:
                raise ValueError(f"it claims {file.metadata.num_rows} samples, at most {MAX_SAMPLES} are read")
            table = file.read(columns=[name for name in file.schema_arrow.names if is_mine(name)])
            return table.select([i for i, name in enumerate(table.column_names) if is_mine(name)])


CSV = CsvReader()
PARQUET = ParquetReader()
