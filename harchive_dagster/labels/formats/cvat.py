"""CVAT's "CVAT for video 1.1" XML: docs.cvat.ai, "XML annotation format". Reading; writing is in `cvat_job`."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harchive_dagster.labels.formats.box_tracks import in_order, seen_ns, visible_runs
from harchive_dagster.labels.formats.cvat_job import job_files
from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.protocol import Box, Drawn, Job, Reading, Source
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.layers import OBJECT_LAYER, SPAN_LAYERS

if TYPE_CHECKING:
    from lxml.etree import _Element

_SHAPES = ("box", "polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")
_WORDS = ("verb", "noun", "text")
_FRAME = re.compile(r"[0-9]{1,9}", re.ASCII)
_MAX_PX = 2.0**20


@dataclass(frozen=True)
class Cvat:
    """Frames are those of the video, counted from 0; a track ends at the first frame in which it is `outside`.

    CVAT has no spans of time for videos, so a layer is a label, and a span a track of that label about the whole
    picture, with attributes verb, noun and text. Every other track is an object, named by its label. Who drew is the
    assignee, else whom the file's name says: a task's owner is who made the task.
    """

    name = "cvat"

    def is_mine(self, file: AnnotationFile) -> bool:
        """Whether the root is `annotations`."""
        return file.is_xml and file.xml.tag == "annotations"

    def read(self, file: AnnotationFile, source: Source) -> Reading:
        """All tracks."""
        root = file.xml
        if root.find("image") is not None:
            raise FileProblemError('it is "CVAT for images"; export the task as "CVAT for video 1.1"')
        unit = _unit(root)
        # Versions before 2 name the video beside the task, not in it.
        proxy = source.frames_of(_text(unit, "source"), _text(root, "meta/source"), _text(unit, "name"), file.name)
        _require_frames(unit, proxy)
        annotator = _text(unit, "assignee/username") or source.annotator
        version = _text(root, "version")
        labels, problems = [], []
        for number, track in enumerate(root.iterfind("track")):
            place = f"track {track.get('id', f'no. {number}')!a}"
            try:
                drawn = list(_track(track, str(number), proxy))
            except FileProblemError as error:
                problems.append(f"{place}: {error}")
            else:
                labels += [replace(one, annotator=annotator, tool_version=version, place=place) for one in drawn]
        return Reading(tuple(labels), tuple(problems))

    def write(self, job: Job) -> dict[str, bytes]:
        """The annotations to upload, and the task's labels for its constructor."""
        return job_files(job)


def _unit(root: "_Element") -> "_Element":
    """The task's or job's own description."""
    for name in ("task", "job"):
        unit = root.find(f"meta/{name}")
        if unit is not None:
            return unit
    raise FileProblemError("its meta describes no task; export the task, not its project")


def _text(element: "_Element", path: str) -> str:
    return (element.findtext(path) or "").strip()


def _require_frames(unit: "_Element", proxy: Proxy) -> None:
    """Refuse what was drawn on a video with other frames, or on a choice of them."""
    if _text(unit, "frame_filter"):
        raise FileProblemError(
            f"its task has the frame filter {_text(unit, 'frame_filter')!a}, so its frames are others"
        )
    size, is_part = _text(unit, "size"), unit.tag == "job"
    if size and not _FRAME.fullmatch(size):
        raise FileProblemError(f"its task's size is {size!a}, expected a number of frames")
    if size and (int(size) > proxy.frame_count if is_part else int(size) != proxy.frame_count):
        raise FileProblemError(
            f"its {unit.tag} has {size} frames, the proxy {proxy.frame_count}: drawn at another frame rate, or on "
            "another video"
        )


def _track(track: "_Element", number: str, proxy: Proxy) -> Iterator[Drawn]:
    name = (track.get("label") or "").strip()
    shapes = [shape for shape in track if shape.tag in _SHAPES]
    boxes = in_order(_box(shape) for shape in shapes)
    words = _words(shapes)
    blank = Drawn(
        annotation_id=number, annotator="", layer=OBJECT_LAYER, start_ns=0, end_ns=0, tool="cvat", proxy=proxy
    )
    if name not in SPAN_LAYERS:
        start_ns, end_ns = seen_ns(boxes, proxy)
        keyframes = {_frame(shape) for shape in shapes if shape.get("keyframe") != "0"}
        kept = tuple(box for box in boxes if box.frame_index in keyframes)
        yield replace(blank, noun=name, text=words["text"], start_ns=start_ns, end_ns=end_ns, boxes=kept)
        return
    runs = visible_runs(boxes, proxy.frame_count)
    if not runs:
        raise FileProblemError("it is never visible")
    for index, (first, after) in enumerate(runs):
        start_ns, end_ns = proxy.span_ns(first, after)
        own = number if index == 0 else f"{number}.{index}"
        span = replace(blank, annotation_id=own, layer=name, start_ns=start_ns, end_ns=end_ns)
        yield replace(span, verb=words["verb"], noun=words["noun"], text=words["text"])


def _words(shapes: list["_Element"]) -> dict[str, str]:
    """The attributes that our labels have, from the first shape that has each."""
    found: dict[str, str] = {}
    for shape in shapes:
        for attribute in shape.iterfind("attribute"):
            found.setdefault(attribute.get("name") or "", (attribute.text or "").strip())
    return {name: found.get(name, "") for name in _WORDS}


def _frame(shape: "_Element") -> int:
    written = shape.get("frame") or ""
    if not _FRAME.fullmatch(written):
        raise FileProblemError(f"frame is {written!a}, expected a whole number")
    return int(written)


def _box(shape: "_Element") -> Box:
    """The box of a shape; about the points of one that is drawn by points."""
    left, top, right, bottom = _sides(shape)
    return Box(
        frame_index=_frame(shape),
        x_px=left,
        y_px=top,
        w_px=right - left,
        h_px=bottom - top,
        is_visible=shape.get("outside") != "1",
        rotation_deg=_number(shape.get("rotation") or "0") % 360,
    )


def _sides(shape: "_Element") -> tuple[float, float, float, float]:
    if shape.tag == "box":
        left, top, right, bottom = (_number(shape.get(name) or "") for name in ("xtl", "ytl", "xbr", "ybr"))
        return left, top, right, bottom
    points = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
    if not all(len(pair) == 2 for pair in points):
        raise FileProblemError(f"a {shape.tag} cannot be read as an object; draw boxes")
    xs, ys = ([_number(pair[axis]) for pair in points] for axis in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -_MAX_PX <= value <= _MAX_PX:
        raise FileProblemError(f"a coordinate is {text[:40]!a}, expected pixels")
    return value
