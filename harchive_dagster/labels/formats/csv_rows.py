"""Rows of a CSV file by column name, and back. Which columns there are is for the formats made of them."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError

_OTHER_SEPARATORS = (";", "\t")
"""What spreadsheets write where the comma is the decimal sign, or for "Text"."""


def header_of(file: AnnotationFile) -> list[str]:
    """The column names, trimmed; empty for an empty file.

    Raises:
        FileProblemError: the first line is no CSV.
    """
    try:
        return [name.strip() for name in next(csv.reader(io.StringIO(file.text, newline=""), strict=True), [])]
    except csv.Error as error:
        raise FileProblemError(f"it cannot be read: {error}") from None


def rows_of(
    file: AnnotationFile, required: Sequence[str], optional: Sequence[str], *, is_closed: bool
) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and cells, trimmed, of every row that is not empty.

    Args:
        file: with a header in its first line.
        required: columns that must be there.
        optional: columns that may.
        is_closed: refuse every other column.

    Raises:
        FileProblemError: it is not of that form.
    """
    header = header_of(file)
    if not header:
        raise FileProblemError("it cannot be read: its first line, which names the columns, is empty")
    if len(header) == 1 and (other := next((mark for mark in _OTHER_SEPARATORS if mark in header[0]), None)):
        raise FileProblemError(f"it cannot be read: its columns are separated by {other!a}; save it with commas")
    missing = [name for name in required if name not in header]
    unknown = [name for name in header if is_closed and name not in (*required, *optional)]
    if missing or unknown or len(set(header)) < len(header):
        raise FileProblemError(
            f"it cannot be read: its header lacks {missing}, has unknown {unknown}, "
            f"and repeats {sorted({name for name in header if header.count(name) > 1})}"
        )
    reader = csv.reader(io.StringIO(file.text, newline=""), strict=True)
    try:
        next(reader)
        for cells in reader:
            if not any(map(str.strip, cells)):  # spreadsheets leave rows of nothing but commas at the end
                continue
            if len(cells) != len(header):
                raise FileProblemError(
                    f"it cannot be read: line {reader.line_num} has {len(cells)} cells, the header has {len(header)}"
                )
            named = zip(header, (cell.strip() for cell in cells), strict=True)
            yield f"line {reader.line_num}", dict(named)
    except csv.Error as error:
        raise FileProblemError(f"it cannot be read: {error}") from None


def csv_bytes(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> bytes:
    """A whole file."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
