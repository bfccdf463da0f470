"""Predicted and true spans from CSV files and from segments tables. Comparing them is in `evaluation`."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harchive_dagster.errors import EvaluationError
from harchive_dagster.labels.evaluation import first_overlap
from harchive_dagster.labels.layers import LAYERS
from harchive_dagster.labels.spans import Spans

NAMES = ("label", "verb", "noun")
"""Columns of a segments table by which spans can be compared."""

_COLUMNS = ("session", "layer", "start_ns", "end_ns", *NAMES, "score")
_MAX_FILE_BYTES = 2**30  # ten million predictions, at a hundred bytes each
_TIME = "^[0-9]{1,15}$"  # up to eleven days; sums over ten thousand recordings still fit 64 bits
_SHOWN_CHARACTERS = 60
_SHOWN_PROBLEMS = 5


def read_spans(path: Path, *, layer: str = "action", by: str = "label") -> Spans:
    """The spans of one layer in a CSV file.

    Columns, in any order: session, start_ns, end_ns and the one that spans are compared by; layer (where the column is
    missing, all are of the wanted one) and score, if wanted. A file with scores is one of detections, whose spans may
    overlap.

    Args:
        path: of the file.
        layer: which spans are taken; the others are checked all the same.
        by: label, verb or noun; rows where it is empty are left out.

    Raises:
        EvaluationError: not such a file: the first thing that is wrong with it, and its row.
    """
    rows = _read(path, layer, by)
    _require(path, rows, "session", pc.not_equal(rows["session"], ""), "a session")
    _require(path, rows, "layer", pc.is_in(rows["layer"], pa.array(LAYERS)), f"one of {', '.join(LAYERS)}")
    for name in ("start_ns", "end_ns"):
        _require(path, rows, name, pc.match_substring_regex(rows[name], _TIME), "whole nanoseconds, 15 digits at most")
    start_ns, end_ns = (rows[name].cast(pa.int64()).to_numpy() for name in ("start_ns", "end_ns"))
    _require(path, rows, "end_ns", pa.array(start_ns < end_ns), "a time after start_ns")
    spans = Spans(_texts(rows["session"]), _texts(rows[by]), start_ns, end_ns, _scores(path, rows))
    is_wanted = (_texts(rows["layer"]) == layer) & (spans.label != "")
    if "score" not in rows.column_names:
        _require_one_at_a_time(path, spans, np.flatnonzero(is_wanted))
    return spans[is_wanted]


def spans_of_segments(
    segments: pa.Table, session_column: str, *, layer: str, by: str = "label", sources: Sequence[str]
) -> Spans:
    """The spans of one layer and some sources in rows of a segments table; without those that have no word in `by`."""
    is_wanted = pc.and_(
        pc.and_(pc.equal(segments["layer"], layer), pc.is_in(segments["source"], pa.array(list(sources), pa.string()))),
        pc.is_valid(segments[by]),
    )
    rows = segments.filter(is_wanted)
    start_ns, end_ns = (rows[name].to_numpy() for name in ("start_ns", "end_ns"))
    return Spans(_texts(rows[session_column]), _texts(rows[by]), start_ns, end_ns, np.ones(len(start_ns)))


def _read(path: Path, layer: str, by: str) -> pa.Table:
    """All rows as text, trimmed, without a column that nobody knows."""
    from pyarrow import csv

    try:
        size = path.stat().st_size
        if not path.is_file() or size > _MAX_FILE_BYTES:
            raise ValueError(f"it has {size} bytes, or is no file; at most {_MAX_FILE_BYTES} are read")
        with path.open("rb") as file:
            header = file.readline(1 << 16).decode("utf-8-sig")
        names = [name.strip().strip('"') for name in header.split(",")]
        rows = csv.read_csv(
            path,
            read_options=csv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=csv.ParseOptions(ignore_empty_lines=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (OSError, ValueError) as error:  # Arrow's errors are ValueErrors
        raise _error(path, f"cannot be read: {str(error)[:300]}") from None
    problems = [f"lacks {name}" for name in ("session", "start_ns", "end_ns", by) if name not in names]
    problems += [f"{name[:_SHOWN_CHARACTERS]!a} is unknown" for name in names if name not in _COLUMNS]
    problems += [f"{name} is there twice" for name in _COLUMNS if names.count(name) > 1]
    if problems:
        raise _error(path, f"has wrong columns: {', '.join(problems[:_SHOWN_PROBLEMS])}")
    trimmed = {name: pc.utf8_trim_whitespace(rows[name]) for name in names}
    layers = trimmed.get("layer", pa.chunked_array([pa.repeat(layer, rows.num_rows)]))
    # Spreadsheets leave rows of nothing but commas at the end.
    is_said = reduce(pc.or_, (pc.not_equal(column, "") for column in trimmed.values()))
    return pa.table({**trimmed, "layer": layers}).filter(is_said)


def _scores(path: Path, rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if "score" not in rows.column_names:
        return np.ones(rows.num_rows)
    is_number = pc.match_substring_regex(rows["score"], r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$")
    _require(path, rows, "score", is_number, "a number")
    scores: np.ndarray[tuple[int], np.dtype[np.float64]] = rows["score"].cast(pa.float64()).to_numpy()
    _require(path, rows, "score", pa.array(np.isfinite(scores)), "a finite number")
    return scores


def _texts(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.asarray(column.to_pylist(), dtype=object)


def _require(path: Path, rows: pa.Table, name: str, is_fine: pa.Array | pa.ChunkedArray, expected: str) -> None:
    wrong = pc.index(is_fine, False).as_py()
    if wrong >= 0:
        found = rows[name][wrong].as_py()[:_SHOWN_CHARACTERS]
        raise _error(path, f"has {name} {found!a} in row {wrong + 1}, expected {expected}")


def _require_one_at_a_time(path: Path, spans: Spans, wanted: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
    if (pair := first_overlap(spans[wanted])) is not None:
        first, second = (wanted[index] for index in pair)
        raise _error(
            path,
            f"has two labels at a time: rows {first + 1} and {second + 1} of {spans.recording[first]!a} overlap "
            "(detections, which may, have a column score)",
        )


def _error(path: Path, problem: str) -> EvaluationError:
    return EvaluationError(
        f"{path.name!a} {problem}.",
        consequence="Nothing was compared.",
        mend="Correct the file; docs/evaluation.md has its columns and an example.",
    )
