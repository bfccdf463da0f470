"""Sidecar CSV and Parquet files with columns named as ours. What a table must hold is said in `tabular_kinds`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harchive_dagster.landing.formats.csv_columns import header_names, read_columns
from harchive_dagster.landing.formats.protocol import (
    MAX_SAMPLES,
    MAX_UNPACKED_BYTES,
    Channel,
    Reading,
    choose_channel,
    damaged,
    unreadable,
)
from harchive_dagster.landing.formats.tabular_kinds import (
    KINDS,
    TIME_COLUMN,
    WHOLE_COLUMNS,
    ColumnError,
    check_type,
    check_width,
)
from harchive_dagster.landing.manifest import StreamSpec

if TYPE_CHECKING:
    import pyarrow as pa


class _Tabular(ABC):
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

    @abstractmethod
    def _column_names(self, path: Path) -> list[str]:
        """What the file says its columns are called."""

    @abstractmethod
    def _load(self, path: Path, is_mine: Callable[[str], bool]) -> "pa.Table":
        """The columns whose names `is_mine` takes."""


class CsvReader(_Tabular):
    """Comma-separated values with a header line, UTF-8."""

    name = "csv"

    def _column_names(self, path: Path) -> list[str]:
        """The names in the first line; none where it is no text."""
        try:
            with path.open("rb") as file:
                return header_names(file)
        except OSError:
            return []

    def _load(self, path: Path, is_mine: Callable[[str], bool]) -> "pa.Table":
        import pyarrow as pa

        def type_of(name: str) -> pa.DataType | None:
            if not is_mine(name):
                return None
            return pa.int64() if name in WHOLE_COLUMNS else pa.float64()

        with path.open("rb") as file:
            return read_columns(file, type_of)


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
            check_width(len(file.schema_arrow))
            mine = [field for field in file.schema_arrow if is_mine(field.name)]
            for field in mine:
                # Before reading: a column of texts in a dictionary unpacks to a thousand times what is claimed here.
                check_type(field.name, field.type)
                if "." in field.name:  # which would also read a struct's field of that name
                    raise ColumnError(f"has column {field.name[:80]!r}, which has a dot in its name")
            metadata = file.metadata
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
            if rows > MAX_SAMPLES:
                raise ColumnError(f"claims {rows} samples, at most {MAX_SAMPLES} are read")
            # Of all columns: pyarrow aborts the process where a single column's own entry is damaged.
            claimed_bytes = max(rows * len(mine) * 8, sum(group.total_byte_size for group in groups))
            if claimed_bytes > MAX_UNPACKED_BYTES:
                raise ColumnError(f"claims {claimed_bytes} bytes, at most {MAX_UNPACKED_BYTES} are read")
            table = file.read(columns=[field.name for field in mine])
            return table.select([i for i, name in enumerate(table.column_names) if is_mine(name)])


CSV = CsvReader()
PARQUET = ParquetReader()
