"""Our own CSV form: whole nanoseconds, nothing rounded, no frame numbers. Other tables of labels belong elsewhere."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from harchive_dagster.labels.formats.csv_rows import csv_bytes, rows_of
from harchive_dagster.labels.formats.documents import AnnotationFile
from harchive_dagster.labels.formats.protocol import UNNAMED, Box, Drawn, Job, Reading, Source
from harchive_dagster.labels.formats.proxy import video_named_in
from harchive_dagster.landing.fields import Fields, Findings, parse_json, parse_moment

REQUIRED_COLUMNS = ("annotation_id", "annotator", "layer", "start_ns", "end_ns", "verb", "noun", "text")
OPTIONAL_COLUMNS = ("tool", "tool_version", "created_at_utc", "boxes")

_UNNAMED_TOOL = "csv"
_UNNAMED_VERSION = "1"
_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_MAX_PX = 2.0**15


class PlainCsv:
    """One row a label. Ends are exclusive; `boxes` is a JSON list of the fields of `Box`.

    A job has an empty column `annotator`, for its annotator to fill in; the file's name may say it for all. Rows that
    nobody claims are refused.
    """

    name = "csv"

    def is_mine(self, file: AnnotationFile) -> bool:
        """Whatever is neither JSON nor XML; a header that does not fit is told when it is read."""
        return not file.is_json and not file.is_xml

    def read(self, file: AnnotationFile, source: Source) -> Reading:
        """Rows with wrong cells become problems. They say everything themselves, but whose they are: the name may."""
        if named := video_named_in(file.name):
            source.require_own(named[0])
        annotator = source.annotator if source.annotator != UNNAMED else ""
        labels, problems = [], []
        for place, row in rows_of(file, REQUIRED_COLUMNS, OPTIONAL_COLUMNS, is_closed=True):
            wrong = list(_problems(row))
            problems += [f"{place}: {problem}" for problem in wrong]
            if not wrong:
                labels.append(_drawn(row, place, annotator))
        return Reading(tuple(labels), tuple(problems))

    def write(self, job: Job) -> dict[str, bytes]:
        """One file."""
        has_boxes = any(label.boxes for label in job.labels)
        columns = [*REQUIRED_COLUMNS, *(name for name in OPTIONAL_COLUMNS if has_boxes or name != "boxes")]
        return {f"{job.name}.csv": csv_bytes(columns, [_row(label, has_boxes=has_boxes) for label in job.labels])}


def _problems(row: Mapping[str, str]) -> Iterator[str]:
    if row.get("created_at_utc") and parse_moment(row["created_at_utc"]) is None:
        yield f"created_at_utc is {row['created_at_utc']!a}, expected an RFC 3339 time with offset"
    for name in ("start_ns", "end_ns"):
        if not _WHOLE_NUMBER.fullmatch(row[name]):
            yield f"{name} is {row[name]!a}, expected whole nanoseconds from the first frame"
    findings = Findings()
    _boxes(row.get("boxes", ""), findings)
    yield from findings.problems


def _drawn(row: Mapping[str, str], place: str, annotator: str) -> Drawn:
    created = row.get("created_at_utc")
    return Drawn(
        annotation_id=row["annotation_id"],
        annotator=row["annotator"] or annotator,
        layer=row["layer"],
        start_ns=int(row["start_ns"]),
        end_ns=int(row["end_ns"]),
        verb=row["verb"],
        noun=row["noun"],
        text=row["text"],
        tool=row.get("tool") or _UNNAMED_TOOL,
        tool_version=row.get("tool_version") or _UNNAMED_VERSION,
        created_at_utc=parse_moment(created) if created else None,
        boxes=_boxes(row.get("boxes", ""), Findings()),
        place=place,
    )


def _boxes(cell: str, findings: Findings) -> tuple[Box, ...]:
    try:
        document = parse_json(cell.encode(), "boxes") if cell else []
    except ValueError as error:
        findings.problems.append(str(error))
        return ()
    return boxes_of(document, findings)


def boxes_of(document: Any, findings: Findings | None = None) -> tuple[Box, ...]:
    """The inverse of `box_document` for a list of boxes; what is wrong with them is noted in `findings`."""
    noted = Findings() if findings is None else findings
    return tuple(_box(fields) for fields in Fields({"boxes": document}, noted).mappings("boxes"))


def _box(fields: Fields) -> Box:
    numbers = {name: fields.number(name, low=-_MAX_PX, high=_MAX_PX) for name in ("x_px", "y_px", "w_px", "h_px")}
    return Box(
        frame_index=fields.integer("frame_index"),
        is_visible=fields.text("visible", choices=("yes", "no")) == "yes",
        rotation_deg=fields.number("rotation_deg", low=-360, high=360),
        **numbers,
    )


def box_document(box: Box) -> dict[str, Any]:
    """A box as JSON holds it, here and in the column `attributes` of the lake."""
    return {
        "frame_index": box.frame_index,
        "x_px": box.x_px,
        "y_px": box.y_px,
        "w_px": box.w_px,
        "h_px": box.h_px,
        "rotation_deg": box.rotation_deg,
        "visible": "yes" if box.is_visible else "no",
    }


def _row(label: Drawn, *, has_boxes: bool) -> dict[str, object]:
    created = label.created_at_utc
    row = {name: getattr(label, name) for name in REQUIRED_COLUMNS} | {
        "tool": label.tool,
        "tool_version": label.tool_version,
        "created_at_utc": created.astimezone(UTC).isoformat() if created else "",
    }
    return row | {"boxes": json.dumps([box_document(box) for box in label.boxes])} if has_boxes else row
