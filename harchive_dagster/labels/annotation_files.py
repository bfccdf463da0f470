"""Labels that people drew, read from our own CSV form. Merging annotators and pseudonyms belong elsewhere."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.taxonomy import Taxonomy, load_taxonomy
from harchive_dagster.landing.fields import INT64_MAX, parse_moment
from harchive_dagster.reasons import Reason

LAYERS = ("activity", "action", "step", "episode")
REQUIRED_COLUMNS = ("annotation_id", "annotator", "layer", "start_ns", "end_ns", "verb", "noun", "text")
OPTIONAL_COLUMNS = ("tool", "tool_version", "created_at_utc")

_UNNAMED_TOOL = "csv"
_UNNAMED_VERSION = "1"
_MAX_FILE_BYTES = 64 * 2**20  # a label a second for a day, with long texts, is under 20 MB
_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_SHOWN_PROBLEMS = 5
_KEPT_PROBLEMS = 200


@dataclass(frozen=True)
class Annotation:
    """One label as one annotator drew it. `annotator` is the name in the file: pseudonymise it before it is stored.

    Attributes:
        verb, noun: canonical where the taxonomy knows the word, else as written.
        attributes: a JSON object; `is_known_verb`, `is_known_noun`, and what was written where that differs.
        created_at_utc: aware; None where the file does not say.
    """

    annotation_id: str
    annotator: str
    tool: str
    tool_version: str
    layer: str
    start_ns: int
    end_ns: int
    verb: str | None
    noun: str | None
    text: str | None
    attributes: str
    created_at_utc: datetime | None
    source_file_sha256: str


def read_annotations(folder: Path, *, session_pseudonym: str, duration_ns: int | None = None) -> list[Annotation]:
    """Read every label file of one session: `<folder>/<session_pseudonym>/*.csv`.

    Annotators see pseudonyms only, so their files are filed by pseudonym. No folder means no labels yet.

    Args:
        folder: the folder of all sessions' annotations.
        session_pseudonym: whose labels to read.
        duration_ns: the recording's length; labels must end by then. Not checked where None.

    Returns:
        The labels, sorted by layer, start and id.

    Raises:
        LabelError: ANNOTATION_INVALID with every problem, each with its file and line, in `evidence["problems"]`.
    """
    reading = _Reading(load_taxonomy(), INT64_MAX if duration_ns is None else duration_ns)
    for path in sorted((folder / session_pseudonym).glob("*.csv")):
        if not path.name.startswith("."):
            reading.read(path)
    if reading.problems:
        count = len(reading.problems)
        shown = "; ".join(reading.problems[:_SHOWN_PROBLEMS])
        more = f"; and {count - _SHOWN_PROBLEMS} more" if count > _SHOWN_PROBLEMS else ""
        raise LabelError(
            Reason.ANNOTATION_INVALID,
            f"annotations of session {session_pseudonym!r} have {count} problem(s): {shown}{more}.",
            mend="Correct the lines in the annotation tool, and export the file again.",
            evidence={"problems": reading.problems[:_KEPT_PROBLEMS], "count": count},
        )
    return sorted(reading.annotations, key=lambda a: (a.layer, a.start_ns, a.end_ns, a.annotation_id))


class _Reading:
    """The labels and problems gathered over one session's files."""

    def __init__(self, taxonomy: Taxonomy, duration_ns: int) -> None:
        self.annotations: list[Annotation] = []
        self.problems: list[str] = []
        self._taxonomy = taxonomy
        self._duration_ns = duration_ns
        self._seen: dict[str, str] = {}

    def read(self, path: Path) -> None:
        try:
            raw = _bytes_of(path)
            rows = list(_rows(raw))
        except (OSError, ValueError, csv.Error) as error:
            self.problems.append(f"{path.name!a} cannot be read: {error}")
            return
        sha256 = hashlib.sha256(raw).hexdigest()
        for line, row in rows:
            place = f"{path.name!a} line {line}"
            problems = [*_row_problems(row, self._duration_ns), *self._repeat_problem(row, place)]
            if problems:
                self.problems += [f"{place}: {problem}" for problem in problems]
            else:
                self.annotations.append(_annotation(row, self._taxonomy, sha256))

    def _repeat_problem(self, row: Mapping[str, str], place: str) -> Iterator[str]:
        annotation_id = row["annotation_id"]
        if annotation_id and self._seen.setdefault(annotation_id, place) != place:
            yield f"annotation_id {annotation_id!a} was used in {self._seen[annotation_id]}"


def _bytes_of(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is not a regular file")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"it has more than {_MAX_FILE_BYTES} bytes")
    return path.read_bytes()


def _rows(raw: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number (of the row's last line) and cells, trimmed. Raises ValueError or csv.Error for anything else."""
    text = raw.decode("utf-8-sig")  # spreadsheets put a byte order mark in front
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    unknown = [name for name in header if name not in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)]
    if missing or unknown or len(set(header)) < len(header):
        raise ValueError(
            f"its header lacks {missing}, has unknown {unknown}, "
            f"and repeats {sorted({name for name in header if header.count(name) > 1})}"
        )
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ValueError(f"line {reader.line_num} has {len(cells)} cells, the header has {len(header)}")
        yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _row_problems(row: Mapping[str, str], duration_ns: int) -> Iterator[str]:
    for name in ("annotation_id", "annotator"):
        if not row[name]:
            yield f"{name} is empty"
    if row["layer"] not in LAYERS:
        yield f"layer is {row['layer']!a}, expected one of {', '.join(LAYERS)}"
    if not row["verb"] and not row["text"]:
        yield "neither verb nor text says what is seen"
    if row.get("created_at_utc") and parse_moment(row["created_at_utc"]) is None:
        yield f"created_at_utc is {row['created_at_utc']!a}, expected an RFC 3339 time with offset"
    yield from _time_problems(row, duration_ns)


def _time_problems(row: Mapping[str, str], duration_ns: int) -> Iterator[str]:
    wrong = [name for name in ("start_ns", "end_ns") if not _WHOLE_NUMBER.fullmatch(row[name])]
    for name in wrong:
        yield f"{name} is {row[name]!a}, expected whole nanoseconds from the first frame"
    if wrong:
        return
    start_ns, end_ns = int(row["start_ns"]), int(row["end_ns"])
    if start_ns >= end_ns:
        yield f"start_ns {start_ns} is not before end_ns {end_ns}"
    if end_ns > duration_ns:
        yield f"end_ns {end_ns} is after the recording's end at {duration_ns}"


def _annotation(row: Mapping[str, str], taxonomy: Taxonomy, sha256: str) -> Annotation:
    attributes: dict[str, str | bool] = {}
    words: dict[str, str | None] = {}
    for name, canonical in (("verb", taxonomy.canonical_verb), ("noun", taxonomy.canonical_noun)):
        written = row[name]
        known = canonical(written) if written else None
        words[name] = known or written or None
        if written:
            attributes[f"is_known_{name}"] = known is not None
        if known is not None and known != written:
            attributes[f"{name}_as_written"] = written
    created = row.get("created_at_utc")
    return Annotation(
        annotation_id=row["annotation_id"],
        annotator=row["annotator"],
        tool=row.get("tool") or _UNNAMED_TOOL,
        tool_version=row.get("tool_version") or _UNNAMED_VERSION,
        layer=row["layer"],
        start_ns=int(row["start_ns"]),
        end_ns=int(row["end_ns"]),
        verb=words["verb"],
        noun=words["noun"],
        text=row["text"] or None,
        attributes=json.dumps(attributes, ensure_ascii=False, sort_keys=True),
        created_at_utc=parse_moment(created) if created else None,
        source_file_sha256=sha256,
    )
