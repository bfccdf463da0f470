"""The one look at every frame: quality, rotation and privacy detections in a single decoding pass. Nothing is
hidden, written or judged here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError
from harchive_dagster.recording.decoding import DecodedFrame, iterate_frames, small_luma
from harchive_dagster.recording.lens import Lens, assumed_lens
from harchive_dagster.recording.observations import Detection, FrameObservations
from harchive_dagster.recording.picture_quality import NOT_LOOKED_AT, PictureQuality, measure_quality
from harchive_dagster.recording.visual_rotation import RotationStep, RotationTracker, nothing_estimated

_T = TypeVar("_T")

_DARK_LUMA = 60.0
"""Below this mean level detectors miss faces between sparse frames; a lit kitchen lies above 80."""

_FAST_SHARE = 0.02
"""Of the picture's width per frame: at 30 fps a face crosses the picture in under two seconds."""


class DetectedBox(Protocol):
    """What the look reads of a detector's box; pixels of the picture passed in."""

    @property
    def kind(self) -> str:
        """One of face, text, screen, plate, person."""
        ...

    @property
    def x(self) -> float:
        """Left edge."""
        ...

    @property
    def y(self) -> float:
        """Top edge."""
        ...

    @property
    def w(self) -> float:
        """Width."""
        ...

    @property
    def h(self) -> float:
        """Height."""
        ...

    @property
    def score(self) -> float:
        """The model's confidence, 0 to 1."""
        ...


class FrameDetector(Protocol):
    """What the look needs of a privacy detector."""

    @property
    def name(self) -> str:
        """The model, as the detections table names it."""
        ...

    @property
    def version(self) -> str:
        """Version of model and settings."""
        ...

    def detect(self, rgb: NDArray[np.uint8]) -> Sequence[DetectedBox]:
        """Find what may identify a person in an H x W x 3 picture."""
        ...


def look(
    path: Path | str,
    *,
    detector: FrameDetector | None,
    detect_every: int = 5,
    private_intervals_ns: Iterable[tuple[int, int]] = (),
    lens: Lens | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[FrameObservations, list[Detection]]:
    """Decode a video once and write down everything that needs pixels.

    The detector runs on the first and last frame of every stretch that is not private, after a scene cut, every
    `detect_every` frames, and twice as often while the picture is dark or moves fast. `is_detected` says where.

    Frames in private time are decoded (later frames refer to them) but nothing is computed from them: quality 0,
    rotation 0 with 0 inliers, no detection, and no motion is measured across them.

    Args:
        path: the video file.
        detector: the privacy detector, or None to detect nothing.
        detect_every: frames between detections in calm and bright pictures, at least 1.
        private_intervals_ns: half-open [start, end) in session time.
        lens: the camera's; without it a 75 degree field of view without distortion is assumed.
        progress: called after every frame with the number of frames looked at.

    Returns:
        One entry per frame, and the detections in frame order.

    Raises:
        RecordingError: the video cannot be decoded from its first to its last frame.
        SettingsError: `detect_every` below 1, or a private interval that ends before it starts.
    """
    private = _checked_intervals(private_intervals_ns)
    if detect_every < 1:
        raise _unusable(f"detect_every is {detect_every}", "Give 1 or more frames.")
    rows = _Rows()
    eyes = _Eyes(detector, detect_every, lens)
    is_start = True
    frames = _with_privacy(iterate_frames(path), private)
    for (current, is_private), following in _with_next(frames):
        if is_private:
            eyes.forget()
            rows.add(current, NOT_LOOKED_AT, nothing_estimated(), is_detected=False)
            is_start = True
        else:
            is_end = following is None or following[1]
            rows.add(current, *eyes.see(current, is_forced=is_start or is_end))
            is_start = False
        if progress is not None:
            progress(current.frame_index + 1)
    return rows.observations(), eyes.detections


@dataclass
class _Eyes:
    """What is remembered from frame to frame."""

    detector: FrameDetector | None
    detect_every: int
    lens: Lens | None
    detections: list[Detection] = field(default_factory=list)
    _tracker: RotationTracker | None = None
    _since_detection: int = 0

    def forget(self) -> None:
        if self._tracker is not None:
            self._tracker.reset()

    def see(self, current: DecodedFrame, *, is_forced: bool) -> tuple[PictureQuality, RotationStep, bool]:
        luma = small_luma(current.frame)
        scale = luma.shape[1] / current.frame.width
        if self._tracker is None:
            self._tracker = RotationTracker(self.lens or assumed_lens(current.frame.width, current.frame.height))
        quality = measure_quality(luma)
        step = self._tracker.step(luma)
        is_hard = quality.luma_mean < _DARK_LUMA or step.motion_px > _FAST_SHARE * luma.shape[1]
        stride = max(1, self.detect_every // 2) if is_hard else self.detect_every
        self._since_detection += 1
        is_due = is_forced or step.is_scene_cut or self._since_detection >= stride
        at_source = RotationStep(step.rotation_rad, step.inliers, step.motion_px / scale, step.is_scene_cut)
        return quality, at_source, is_due and self._detect(current)

    def _detect(self, current: DecodedFrame) -> bool:
        if self.detector is None:
            return False
        rgb = np.asarray(current.frame.to_ndarray(format="rgb24"), dtype=np.uint8)
        self.detections.extend(
            Detection(current.frame_index, box.kind, box.x, box.y, box.w, box.h, box.score)
            for box in self.detector.detect(rgb)
        )
        self._since_detection = 0
        return True


class _Rows:
    def __init__(self) -> None:
        self._frames: list[tuple[int, bool, bool]] = []
        self._qualities: list[PictureQuality] = []
        self._steps: list[RotationStep] = []

    def add(self, current: DecodedFrame, quality: PictureQuality, step: RotationStep, is_detected: bool) -> None:
        self._frames.append((current.pts_ns, current.is_keyframe, is_detected))
        self._qualities.append(quality)
        self._steps.append(step)

    def observations(self) -> FrameObservations:
        pts_ns, is_keyframe, is_detected = zip(*self._frames, strict=True)

        def figures(name: str) -> NDArray[Any]:
            return np.array([getattr(quality, name) for quality in self._qualities], dtype=np.float64)

        return FrameObservations(
            pts_ns=np.array(pts_ns, dtype=np.int64),
            is_keyframe=np.array(is_keyframe, dtype=np.bool_),
            sharpness=figures("sharpness"),
            luma_mean=figures("luma_mean"),
            luma_std=figures("luma_std"),
            clipped_fraction=figures("clipped_fraction"),
            obstructed_fraction=figures("obstructed_fraction"),
            rotation_rad=np.array([step.rotation_rad for step in self._steps], dtype=np.float64),
            rotation_inliers=np.array([step.inliers for step in self._steps], dtype=np.int32),
            motion_px=np.array([step.motion_px for step in self._steps], dtype=np.float64),
            is_detected=np.array(is_detected, dtype=np.bool_),
        )


def _with_privacy(
    frames: Iterator[DecodedFrame], intervals_ns: Sequence[tuple[int, int]]
) -> Iterator[tuple[DecodedFrame, bool]]:
    """Each frame, and whether it is on screen at any moment of the intervals, as in `shows_private_time`."""
    for current, following in _with_next(frames):
        until_ns = following.pts_ns if following else np.iinfo(np.int64).max
        yield current, any(start < until_ns and current.pts_ns < end for start, end in intervals_ns)


def _with_next(values: Iterator[_T]) -> Iterator[tuple[_T, _T | None]]:
    current = next(values, None)
    while current is not None:
        following = next(values, None)
        yield current, following
        current = following


def _checked_intervals(intervals_ns: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    intervals = tuple((int(start), int(end)) for start, end in intervals_ns)
    for start, end in intervals:
        if end < start:
            raise _unusable(f"private interval [{start}, {end}) ends before it starts", "Give start before end.")
    return intervals


def _unusable(culprit: str, mend: str) -> SettingsError:
    return SettingsError(f"{culprit}.", consequence="No frame was looked at.", mend=mend)
