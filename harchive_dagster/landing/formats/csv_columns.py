"""Chosen columns of a CSV file, and what is wrong with it in words that quote none of its rows: they may say where
somebody was. What the columns mean is not known here.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from harchive_dagster.landing.formats.tabular_kinds import ColumnError, check_width

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_HEADER_BYTES = 2**20
"""Names of 20,000 columns of 52 characters; one block of Arrow's CSV reader, which the header must fit into."""

# Arrow's own words up to where it begins to quote the file.
_WRONG_WIDTH = re.compile(r"CSV parse error: (?:Row #(\d+): )?Expected (\d+) columns, got (\d+)")
_WRONG_CELL = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to (\w+)")


def header_names(file: BinaryIO) -> list[str]:
    """The names in the first line, as they are there; none where it is no text. Leaves the file at its beginning."""
    raw = file.readline(_MAX_HEADER_BYTES)
    file.seek(0)
    try:
        # A lone carriage return ends a line for Arrow, too.
        line = raw.decode("utf-8-sig").partition("\n")[0].partition("\r")[0]
        return next(csv.reader([line]), [])
    except (UnicodeDecodeError, csv.Error):
        return []


def read_columns(file: BinaryIO, type_of: "Callable[[str], pa.DataType | None]") -> "pa.Table":
    """Those columns that have a type; of the others nothing is converted or kept.

    Args:
        file: the CSV, at its beginning.
        type_of: what a column's cells are, by its name; None where it is not wanted.

    Raises:
        ColumnError: a wanted column is repeated, or the file is no table of such cells.
        OSError: it cannot be read.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = header_names(file)
    check_width(len(names))
    types = {name: kind for name in names if (kind := type_of(name)) is not None}
    if not types:
        raise ColumnError("cannot be read: its first line names no column that is known")
    name, count = Counter(name for name in names if name in types).most_common(1)[0]
    if count > 1:
        raise ColumnError(f"has column {name[:80]!r} {count} times, expected once")
    try:
        return arrow_csv.read_csv(
            file,
            # In several threads Arrow does not know the row that it stumbles over.
            read_options=arrow_csv.ReadOptions(use_threads=False),
            convert_options=arrow_csv.ConvertOptions(include_columns=list(types), column_types=types),
        )
    except MemoryError:
        raise ColumnError("cannot be read: it does not fit into memory") from None
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise ColumnError(f"cannot be read: {_problem(str(error), names)}") from None


def _problem(words: str, names: list[str]) -> str:
    """What Arrow says, without what it quotes; rows are counted with the header and without empty lines."""
    found = _WRONG_WIDTH.match(words)
    if found:
        return f"{_row(found[1])} has {found[3]} columns, expected {found[2]}"
    found = _WRONG_CELL.match(words)
    if found:
        return f"{_row(found[2])} has a cell in column {names[int(found[1])][:80]!r} that is no {found[3]}"
    return "it is no CSV"


def _row(number: str | None) -> str:
    return f"row {number}" if number else "a row"
