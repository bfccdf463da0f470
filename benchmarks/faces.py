"""How many known faces stay hidden, by the distance between looks, and what a look costs.

    python benchmarks/faces.py [seconds] [name]     # of the clips whose names begin so; 20 s take a good minute each

Every figure is seeded. A face counts as hidden in a frame if four fifths of what the picture shows of its box lie under
that frame's ellipses. Where HARCHIVE_REALDATA names the folder of real recordings, people and ground are cut out of
them too, and the recordings themselves are measured against what the detector finds on every frame at full size, which
is not the truth.
"""

import os
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.clip import ClipTags, write_clip
from harchive_dagster.demo.planted_faces import Cutout, KnownFace, KnownFrame, planted_faces, portrait
from harchive_dagster.demo.scene import Box as KnownBox
from harchive_dagster.privacy.centerface import CenterFaceDetector
from harchive_dagster.privacy.detection import Box, Detector
from harchive_dagster.privacy.redaction import Redaction, covered_fraction, hide
from harchive_dagster.privacy.second_look import SecondLook
from harchive_dagster.privacy.tracking import build_redactions
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.look import look

FPS = 30
HIDDEN = 0.8
DETECT_EVERY = (1, 3, 7, 10)
DEFAULT_EVERY = 7
HEIGHTS_PX = {">=44 px": (44.0, 1e9), "36-44 px": (36.0, 44.0), "<36 px": (0.0, 36.0)}
FULL_SIZE_SCORE = 0.5


@dataclass(frozen=True)
class Clip:
    """A recording and the faces in each of its frames."""

    name: str
    path: Path
    faces: Sequence[Sequence[KnownFace | Box]]


class Remembering:
    """A detector that looks at the same picture only once."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._found: dict[int, list[Box]] = {}

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """As the detector that is asked."""
        key = zlib.crc32(np.ascontiguousarray(rgb))
        if key not in self._found:
            self._found[key] = self._detector.detect(rgb)
        return self._found[key]


def planted_clip(folder: Path, name: str, seconds: float, frames: Iterable[KnownFrame]) -> Clip:
    """Writes full-HD pictures as a cap would, and keeps what is known of them."""
    faces: list[tuple[KnownFace, ...]] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            faces.append(frame.faces)
            yield frame.picture

    path = folder / f"{name.replace(' ', '_').replace(',', '')}.mp4"
    tags = ClipTags(created_at=datetime(2026, 1, 1, tzinfo=UTC), location="+00.0000+000.0000/", serial="0")
    write_clip(path, pictures(), fps=FPS, size_px=(1920, 1080), duration_s=seconds, tags=tags, has_audio=False)
    return Clip(name, path, faces)


def real_person(street: Path) -> Cutout:
    """The person of `street_one_person.mp4`, who stands before a white wall."""
    import cv2

    picture = next(f for f in iterate_frames(street) if f.frame_index == 120).frame.to_ndarray(format="bgr24")
    _, parts = cv2.connectedComponents((picture.min(axis=2) > 185).astype(np.uint8))
    wall = np.setdiff1d(np.concatenate([parts[:600, 0], parts[:600, -1], parts[0]]), [0])
    mask = np.where(np.isin(parts, wall), 0, 255).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    _, parts, figures, _ = cv2.connectedComponentsWithStats(mask)
    person = np.where(parts == 1 + np.argmax(figures[1:, cv2.CC_STAT_AREA]), 255, 0).astype(np.uint8)
    (face,) = CenterFaceDetector(input_width_px=1920, input_height_px=1088).detect(picture[:, :, ::-1])
    return Cutout(picture, cv2.erode(person, np.ones((3, 3), np.uint8)), KnownBox(face.x, face.y, face.w, face.h))


def real_ground(table: Path) -> NDArray[np.uint8]:
    """The room of `egocentric_two_faces.mp4`, its two people hidden."""
    picture = next(iterate_frames(table)).frame.to_ndarray(format="bgr24")
    planes = [np.ascontiguousarray(picture[:, :, channel]) for channel in range(3)]
    for face in CenterFaceDetector(input_width_px=2560, input_height_px=1920).detect(picture[:, :, ::-1]):
        area = (face.x - 0.3 * face.w, face.y - 0.3 * face.h, 1.6 * face.w, 1.6 * face.h)
        hide(planes, [Redaction(0, 1, "face", *area, "detected", 1.0)])
    return np.dstack(planes)


def clips(folder: Path, seconds: float, realdata: Path | None) -> dict[str, Callable[[], Clip]]:
    """By name, what makes each: dense and sparse ones, and the real recordings."""

    def planted(name: str, seed: int, **what: Any) -> Callable[[], Clip]:
        return lambda: planted_clip(folder, name, seconds, planted_faces(seconds, seed=seed, **what))

    makers = {"dense": planted("dense", 1), "sparse": planted("sparse", 3, face_share=0.15)}
    if realdata is None:
        return makers
    street, table = realdata / "street_one_person.mp4", realdata / "egocentric_two_faces.mp4"
    person, ground = real_person(street), real_ground(table)
    everybody = (person, portrait())
    return makers | {
        "real dense": planted("real dense", 2, ground=ground, people=everybody),
        "real dense, one": planted("real dense, one", 4, ground=ground, people=[person]),
        "real sparse": planted("real sparse", 3, face_share=0.15, ground=ground, people=everybody),
        "street": lambda: recorded("street", street),
        "table": lambda: recorded("table", table),
    }


def recorded(name: str, path: Path) -> Clip:
    """A recording with what the detector finds on every frame at full size."""
    full_size = CenterFaceDetector(input_width_px=2560, input_height_px=1920)
    found = [full_size.detect(frame.frame.to_ndarray(format="rgb24")) for frame in iterate_frames(path)]
    return Clip(name, path, [[box for box in here if box.score >= FULL_SIZE_SCORE] for here in found])


def hidden_shares(clip: Clip, redactions: Sequence[Redaction], size_px: tuple[int, int]) -> list[tuple[float, float]]:
    """Height, and the share of the box that is hidden, of every known face of every frame."""
    by_frame: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions:
        by_frame[redaction.frame_index].append(redaction)
    shares = []
    for index, faces in enumerate(clip.faces):
        for face in faces:
            box = face.box if isinstance(face, KnownFace) else face
            height_px = face.height_px if isinstance(face, KnownFace) else face.h
            left, top = max(0.0, box.x), max(0.0, box.y)
            right, bottom = min(box.x + box.w, size_px[0]), min(box.y + box.h, size_px[1])
            seen = KnownBox(left, top, right - left, bottom - top)
            shares.append((height_px, covered_fraction(seen, by_frame[index])))
    return shares


def recall(shares: Sequence[tuple[float, float]], lowest_px: float, highest_px: float) -> str:
    """Share of frames in which faces of these heights are hidden, of how many."""
    hidden = [share >= HIDDEN for height_px, share in shares if lowest_px <= height_px < highest_px]
    return f"{100 * np.mean(hidden):6.2f} % of {len(hidden):4d}" if hidden else f"{'none':>16}"


def measure(clip: Clip) -> None:
    first = next(iterate_frames(clip.path)).frame
    size_px = first.width, first.height
    detector, glance = Remembering(SecondLook.for_picture(*size_px)), CenterFaceDetector.for_glances(*size_px)
    for every in DETECT_EVERY:
        seen, found = look(clip.path, detector=detector, glance=glance, detect_every=every)
        redactions = build_redactions(
            found,
            pts_ns=seen.pts_ns,
            is_detected=seen.is_detected,
            width_px=size_px[0],
            height_px=size_px[1],
            motion_px=seen.motion_px,
            rotation_rad=seen.rotation_rad,
        )
        shares = hidden_shares(clip, redactions, size_px)
        area = sum(one.w * one.h for one in redactions) / (size_px[0] * size_px[1] * len(seen))
        cells = "  ".join(f"{name} {recall(shares, *heights)}" for name, heights in HEIGHTS_PX.items())
        looked_at = f"{100 * seen.is_detected.mean():5.1f} % looked at"
        print(f"{clip.name:22} every {every:2d}  {looked_at}  {cells}  {100 * area:5.1f} % hidden", flush=True)
    started = time.process_time()
    seen, _ = look(clip.path, detector=SecondLook.for_picture(*size_px), glance=glance, detect_every=DEFAULT_EVERY)
    with_ms = (time.process_time() - started) / len(seen) * 1e3
    started = time.process_time()
    look(clip.path, detector=None)
    without_ms = (time.process_time() - started) / len(seen) * 1e3
    print(
        f"{clip.name:22} a look takes {with_ms:.1f} CPU ms a frame, {without_ms:.1f} without the detector", flush=True
    )


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    named = os.environ.get("HARCHIVE_REALDATA")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in clips(Path(folder), seconds, Path(named) if named else None).items():
            if name.startswith(wanted):
                measure(make())


if __name__ == "__main__":
    main()
