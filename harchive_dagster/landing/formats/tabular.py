"""Sidecar CSV and Parquet files with columns named as ours. What a table must hold is said in `tabular_kinds`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harchive_dagster.landing.formats.protocol import (
    MAX_SAMPLES,
    MAX_UNPACKED_BYTES,
    Channel,
    Reading,
    choose_channel,
    damaged,
    unreadable,
)
from harchive_dagster.landing.formats.tabular_kinds import KINDS, TIME_COLUMN, WHOLE_COLUMNS, ColumnError
from harchive_dagster.landing.manifest import StreamSpec

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_HEADER_BYTES = 1_000_000
"""Names of a tactile array of 256 x 256 cells; one block of Arrow's CSV reader, which the header must fit into."""


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
                first_line = file.readline(_MAX_HEADER_BYTES)
            return [name.strip().strip('"') for name in first_line.decode("utf-8-sig").split(",")]
        except (OSError, UnicodeDecodeError):
            return []

    def _load(self, path: Path, is_mine: Callable[[str], bool]) -> "pa.Table":
        import pyarrow as pa
        from pyarrow import csv

        types = {name: pa.int64() if name in WHOLE_COLUMNS else pa.float64() for name in self._column_names(path)}
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
            names = [name for name in file.schema_arrow.names if is_mine(name)]
            claimed_bytes = file.metadata.num_rows * len(names) * 8
            if claimed_bytes > MAX_UNPACKED_BYTES:
                raise ValueError(f"it claims {claimed_bytes} bytes, at most {MAX_UNPACKED_BYTES} are read")
            table = file.read(columns=names)
            return table.select([i for i, name in enumerate(table.column_names) if is_mine(name)])


CSV = CsvReader()
PARQUET = ParquetReader()
