"""Opens a rendered video like a stranger would and lists what is still in it. Nothing is mended here.

Also the seeded test: how many planted faces the session's own detector finds in the session's own pictures.
"""

import mmap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import PrivacyError, SettingsError
from harchive_dagster.privacy.detection import Box, Detector
from harchive_dagster.privacy.redaction import PRIVATE_KIND, Redaction, covered_fraction, detail_left, planes_of
from harchive_dagster.privacy.tracking import MASK_SCALE
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import open_video
from harchive_dagster.recording.decoding import iterate_frames

if TYPE_CHECKING:
    import av

_MAX_DETAIL = 6.0
"""Grey levels of `detail_left`. At the renderer's quality hidden areas show at most 1.4 in pictures of 608x1080 and up,
3.1 where the picture is only 480 wide and the encoder's noise weighs more; visible faces 14 and more."""

_MIN_COVERED = 0.8
"""Share of a found box that hidden area must cover. Two looks at one face place its box within a few per
cent; a face that is a fifth uncovered shows an eye or the mouth."""

_TRACK_END_FRAMES = 2
"""Frames on both sides of a track's ends that are always looked at: that is where faces slip through."""

_TRUTH_COVERED = 0.8

_KNOWN_METADATA = {
    "major_brand": None,
    "minor_version": None,
    "compatible_brands": None,
    "language": "und",
    "handler_name": "VideoHandler",
}
"""What the container itself needs; None allows any value. Everything else counts as a leak, also what nobody
thought of."""

_KNOWN_SIDE_DATA = {"DISPLAYMATRIX"}

_KNOWN_BOXES = {
    "": {"ftyp", "free", "mdat", "moov"},
    "moov": {"mvhd", "trak"},
    "moov/trak": {"tkhd", "edts", "mdia"},
    "moov/trak/mdia": {"mdhd", "hdlr", "minf"},
    "moov/trak/mdia/minf": {"vmhd", "dinf", "stbl"},
}
"""The boxes of a plain MP4 with one video track (ISO/IEC 14496-12), by the box they lie in."""

_EMPTY_USER_DATA = (
    b"\x00\x00\x00\x35meta\x00\x00\x00\x00"
    b"\x00\x00\x00\x21hdlr\x00\x00\x00\x00\x00\x00\x00\x00mdirappl" + bytes(9) + b"\x00\x00\x00\x08ilst"
)
"""FFmpeg's muxer always writes this: user data whose list of tags is empty."""

_DATED_BOXES = {"mvhd", "tkhd", "mdhd"}

_FACE_CROP = (slice(0, 230), slice(110, 330))
_FACE_IN_CROP = Box("face", 71.0, 58.0, 90.0, 121.0, 1.0)
"""Rows and columns of the portrait of Eileen Collins (NASA, public domain; `skimage.data.astronaut`), and the
face in them."""

_FACE_HEIGHT_PX = (44, 160)
_FACE_GAIN = (0.45, 1.2)


@dataclass(frozen=True)
class Residual:
    """Something that is still to be seen in a rendered frame.

    Attributes:
        cause: "uncovered" for something the detector found outside the hidden area; "not_hidden" for a
            redaction whose area still shows detail.
    """

    frame_index: int
    kind: str
    x: float
    y: float
    w: float
    h: float
    score: float
    cause: str


@dataclass(frozen=True)
class AuditReport:
    """What the audit of one rendered video found.

    Attributes:
        frame_count: frames decoded from the rendered file.
        is_pts_equal: as many frames as the source, each at exactly the source's time.
        max_pts_error_ns: largest difference over the frames that both have.
        audit_frames: frames that were searched.
        audit_residual_faces: residuals of every kind and cause.
        residuals: them.
        has_audio: an audio track is present.
        metadata_leaks: one entry for each thing in the container that a plain MP4 does not need.
    """

    frame_count: int
    is_pts_equal: bool
    max_pts_error_ns: int
    audit_frames: int
    audit_residual_faces: int
    residuals: list[Residual]
    has_audio: bool
    metadata_leaks: list[str]

    @property
    def is_clean(self) -> bool:
        """Nothing speaks against publishing."""
        return self.is_pts_equal and not (self.residuals or self.has_audio or self.metadata_leaks)


def audit_rendered(
    rendered: Path,
    source_pts_ns: NDArray[np.int64],
    redactions: Sequence[Redaction],
    *,
    detector: Detector,
    sample_every: int,
    score_threshold: float,
) -> AuditReport:
    """Decode a rendered video and look for whatever should not be in it.

    Every `sample_every`-th frame is searched, and all frames around the two ends of each track. In a searched
    frame

    - every redaction must be hidden: its area equals the smooth surface that hiding leaves (see
      `detail_left`), and private time is plain grey; otherwise it is a residual, "not_hidden";
    - every detection must lie under hidden redactions of its frame with at least 80 % of its box; otherwise
      it is a residual, "uncovered". So a head-shaped blob that the detector takes for a face is none, and a
      face that is boxed in the tables but visible in the picture is one.

    Args:
        rendered: the file to judge.
        source_pts_ns: int64 [N], session time of the source's frames.
        redactions: what was to be hidden.
        detector: best one that works at another operating point than the one that made the redactions (a
            larger input).
        sample_every: distance of the frames searched in any case.
        score_threshold: detections below it are ignored.

    Raises:
        RecordingError: the rendered file cannot be decoded to its end.
        SettingsError: `sample_every` is not positive.
    """
    if sample_every < 1:
        raise SettingsError(
            f"sample_every is {sample_every}.",
            consequence="No frame would be audited.",
            mend="Give the distance of the audited frames, 1 or more.",
        )
    by_frame: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions:
        by_frame[redaction.frame_index].append(redaction)
    wanted = _sample(len(source_pts_ns), redactions, sample_every)
    pts_ns: list[int] = []
    residuals: list[Residual] = []
    side_data: set[str] = set()
    for decoded in iterate_frames(rendered):
        pts_ns.append(decoded.pts_ns)
        side_data.update(_side_data_names(decoded.frame))
        if decoded.frame_index in wanted:
            here = by_frame.get(decoded.frame_index, [])
            residuals += _residuals(decoded.frame_index, decoded.frame, here, detector, score_threshold)
    common = min(len(pts_ns), len(source_pts_ns))
    errors_ns = np.abs(np.array(pts_ns[:common], np.int64) - source_pts_ns[:common])
    max_error_ns = int(errors_ns.max(initial=0))
    tags, has_audio = _stray_tags(rendered)
    leaks = [*tags, *_stray_boxes(rendered), *(f"frame side data {name}" for name in side_data - _KNOWN_SIDE_DATA)]
    return AuditReport(
        frame_count=len(pts_ns),
        is_pts_equal=len(pts_ns) == len(source_pts_ns) and max_error_ns == 0,
        max_pts_error_ns=max_error_ns,
        audit_frames=len([frame for frame in wanted if frame < len(pts_ns)]),
        audit_residual_faces=len(residuals),
        residuals=residuals,
        has_audio=has_audio,
        metadata_leaks=sorted(leaks),
    )


def seeded_recall(frames_rgb: Sequence[NDArray[np.uint8]], detector: Detector, *, seed: int, plants: int = 24) -> float:
    """Share of planted known faces that a detector finds in a session's own pictures.

    One public-domain portrait is pasted into copies of real frames, its face 44 to 160 pixels high (less
    where the picture is too small), at random places and brightness. It counts as found when a detected box,
    enlarged as tracking enlarges it, covers 80 % of the face. One upright, frontal face of one person: the
    figure shows whether detection works under this session's light and clutter, not how good it is on people
    in general.

    Args:
        frames_rgb: uint8 [H, W, 3] each, at least one.
        detector: the one that looked at the session.
        seed: the same seed gives the same plants.
        plants: how many faces to plant, one a picture.

    Raises:
        PrivacyError: NOT_ANONYMIZABLE when there is no frame or no plant to judge by.
    """
    if not frames_rgb or plants < 1:
        raise PrivacyError(
            Reason.NOT_ANONYMIZABLE,
            f"the detector cannot be tried on {len(frames_rgb)} frames with {plants} planted faces.",
            mend="Give at least one frame of the session and one plant.",
        )
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(plants):
        picture, truth = _planted(frames_rgb[int(random.integers(len(frames_rgb)))], random)
        found += any(_covers(box, truth) for box in detector.detect(picture))
    return found / plants


def _sample(frame_count: int, redactions: Sequence[Redaction], sample_every: int) -> set[int]:
    frames: dict[int, list[int]] = defaultdict(list)
    for redaction in redactions:
        frames[redaction.track_id].append(redaction.frame_index)
    # Half a stride late: detection runs from frame 0 in even strides, and the audit is to look where it did not.
    wanted = set(range(sample_every // 2 if sample_every > 2 else 0, frame_count, sample_every)) | {0, frame_count - 1}
    for track in frames.values():
        for end in (min(track), max(track)):
            wanted.update(range(end - _TRACK_END_FRAMES, end + _TRACK_END_FRAMES + 1))
    return {frame for frame in wanted if 0 <= frame < frame_count}


def _residuals(
    frame_index: int,
    frame: "av.VideoFrame",
    redactions: list[Redaction],
    detector: Detector,
    score_threshold: float,
) -> Iterator[Residual]:
    details = detail_left(planes_of(frame)[0], redactions)
    hidden = [redaction for redaction, detail in zip(redactions, details, strict=True) if detail <= _MAX_DETAIL]
    for redaction, detail in zip(redactions, details, strict=True):
        # An infinite detail is an area too small to judge; it does not count as cover either.
        if _MAX_DETAIL < detail < np.inf:
            yield _residual(frame_index, redaction, "not_hidden")
    if any(redaction.kind == PRIVATE_KIND for redaction in hidden):
        return
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    for box in detector.detect(rgb):
        if box.score >= score_threshold and covered_fraction(box, hidden) < _MIN_COVERED:
            yield _residual(frame_index, box, "uncovered")


def _side_data_names(frame: "av.VideoFrame") -> set[str]:
    side_data: Any = frame.side_data  # iterates over its items; the stub says mapping
    return {item.type.name for item in side_data}


def _residual(frame_index: int, box: Box | Redaction, cause: str) -> Residual:
    return Residual(frame_index, box.kind, box.x, box.y, box.w, box.h, box.score, cause)


def _stray_tags(path: Path) -> tuple[list[str], bool]:
    """What FFmpeg shows of the container beyond one plain video track, and whether there is audio."""
    with open_video(path) as container:
        tags = {f"file tag {name}": (name, value) for name, value in container.metadata.items()}
        for stream in container.streams:
            tags |= {f"stream {stream.index} tag {name}": (name, value) for name, value in stream.metadata.items()}
        leaks = [place for place, (name, value) in tags.items() if not _is_known(name, value)]
        leaks += [f"stream {other.index} of type {other.type}" for other in container.streams if other.type != "video"]
        leaks += [f"stream {other.index} is a second video" for other in container.streams.video[1:]]
        leaks += ["chapters"] * bool(container.chapters())
        return leaks, bool(container.streams.audio)


def _is_known(name: str, value: str) -> bool:
    return name in _KNOWN_METADATA and _KNOWN_METADATA[name] in (None, value)


def _stray_boxes(path: Path) -> list[str]:
    """Boxes that a plain MP4 does not have (`udta`, `meta`, `uuid`, ...), filled padding, and dates."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return list(_stray_in(data, 0, len(data), ""))


def _stray_in(data: mmap.mmap, start: int, stop: int, parent: str) -> Iterator[str]:
    for name, first, last in _boxes(data, start, stop):
        place = f"{parent}/{name}".lstrip("/")
        if name == "udta" and data[first:last] == _EMPTY_USER_DATA:
            continue
        if name not in _KNOWN_BOXES[parent]:
            yield f"box {place}"
        elif name == "free" and any(data[first:last]):
            yield "box free is not empty"
        elif name in _DATED_BOXES and _is_dated(data, first):
            yield f"box {place} has a date"
        elif place in _KNOWN_BOXES:
            yield from _stray_in(data, first, last, place)


def _boxes(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """Name and content range of the boxes side by side in a range."""
    while start + 8 <= stop:
        size, header = int.from_bytes(data[start : start + 4]), 8
        name = data[start + 4 : start + 8].decode("latin-1")
        if size == 1:  # a 64-bit size follows the name
            size, header = int.from_bytes(data[start + 8 : start + 16]), 16
        end = start + size if size else stop  # 0 means: to the end
        if (size and size < header) or end > stop:
            yield "broken", start, stop
            return
        yield name, start + header, end
        start = end


def _is_dated(data: mmap.mmap, content: int) -> bool:
    # Version 1 has 64-bit creation and modification times, version 0 has 32-bit ones; after version and flags.
    length = 16 if data[content] == 1 else 8
    return any(data[content + 4 : content + 4 + length])


def _planted(frame: NDArray[np.uint8], random: np.random.Generator) -> tuple[NDArray[np.uint8], Box]:
    import cv2
    import skimage.data

    portrait: NDArray[np.uint8] = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    crop = portrait[_FACE_CROP]
    fits = min(frame.shape[0] / crop.shape[0], frame.shape[1] / crop.shape[1])
    scale = min(fits, float(random.uniform(*_FACE_HEIGHT_PX)) / _FACE_IN_CROP.h)
    width, height = max(1, int(crop.shape[1] * scale)), max(1, int(crop.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    face = cv2.resize(crop, (width, height), interpolation=how)
    face = np.clip(face * random.uniform(*_FACE_GAIN), 0, 255).astype(np.uint8)
    x = int(random.integers(frame.shape[1] - width + 1))
    y = int(random.integers(frame.shape[0] - height + 1))
    picture = frame.copy()
    picture[y : y + height, x : x + width] = face
    at = _FACE_IN_CROP
    return picture, Box("face", x + at.x * scale, y + at.y * scale, at.w * scale, at.h * scale, 1.0)


def _covers(box: Box, truth: Box) -> bool:
    extra_w, extra_h = (MASK_SCALE - 1) / 2 * box.w, (MASK_SCALE - 1) / 2 * box.h
    shared_w = min(box.x + box.w + extra_w, truth.x + truth.w) - max(box.x - extra_w, truth.x)
    shared_h = min(box.y + box.h + extra_h, truth.y + truth.h) - max(box.y - extra_h, truth.y)
    return max(0.0, shared_w) * max(0.0, shared_h) >= _TRUTH_COVERED * truth.w * truth.h
