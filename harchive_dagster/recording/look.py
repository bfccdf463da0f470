"""The one look at every frame: quality, rotation and privacy detections in a single decoding pass. Nothing is
hidden, written or judged here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError
from harchive_dagster.recording.cadence import FrameDetector, GlanceDetector, Watch
from harchive_dagster.recording.camera_path import CameraPath
from harchive_dagster.recording.decoding import DecodedFrame, iterate_frames, small_luma
from harchive_dagster.recording.hints import confirmed
from harchive_dagster.recording.lens import Lens, assumed_lens
from harchive_dagster.recording.observations import Detection, FrameObservations
from harchive_dagster.recording.opencv_threads import one_opencv_thread
from harchive_dagster.recording.picture_quality import NOT_LOOKED_AT, PictureQuality, measure_quality
from harchive_dagster.recording.visual_rotation import RotationStep, RotationTracker, nothing_estimated

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class _Sight:
    """What came of one frame beside detections."""

    quality: PictureQuality
    step: RotationStep


@one_opencv_thread()
def look(
    path: Path | str,
    *,
    detector: FrameDetector | None,
    detect_every: int = 7,
    glance: GlanceDetector | None = None,
    slow_detector: FrameDetector | None = None,
    private_intervals_ns: Iterable[tuple[int, int]] = (),
    lens: Lens | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[FrameObservations, list[Detection]]:
    """Decode a video once and write down everything that needs pixels.

    The detector runs on the first and last frame of every stretch that is not private, after a scene cut, every
    `detect_every` frames, and twice as soon after a look that found more than the one before it. `is_detected` says
    where. What is to be seen for less than that between two looks can be missed. The slower detector runs at both ends
    and after cuts too, but only once a second between. Hints of the first are detections where `hints` confirms them.

    With `glance`, two of three looks are only glances while nobody is in sight. Where one sees anything it becomes a
    look; and where a look finds somebody or gives a hint, so do the glances before it.

    Frames in private time are decoded (later frames refer to them) but nothing is computed from them: quality 0,
    rotation 0 with 0 inliers, no detection, and no motion is measured across them.

    Args:
        path: the video file.
        detector: the privacy detector, or None to detect nothing.
        detect_every: frames between detections, at least 1.
        glance: tells for less whether the detector would find anything; none of its boxes is kept.
        slow_detector: one for what moves slowly and costs much to find, or None.
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
    watches = [] if detector is None else [Watch(detector, False, detect_every, glance)]
    watches += [] if slow_detector is None else [Watch(slow_detector, True, detect_every)]
    eyes = _Eyes(watches, lens)
    is_start = True
    frames = _with_privacy(iterate_frames(path), private)
    for (current, is_private), following in _with_next(frames):
        if is_private:
            eyes.forget()
            rows.add(current, _Sight(NOT_LOOKED_AT, nothing_estimated()))
            is_start = True
        else:
            is_end = following is None or following[1]
            rows.add(current, eyes.see(current, is_forced=is_start or is_end))
            is_start = False
        if progress is not None:
            progress(current.frame_index + 1)
    seen = rows.observations(eyes.watches)
    return seen, sorted(eyes.detections + eyes.confirmed_hints(seen), key=lambda found: found.frame_index)


@dataclass
class _Eyes:
    """What is remembered from frame to frame."""

    watches: Sequence[Watch]
    lens: Lens | None
    detections: list[Detection] = field(default_factory=list)
    _hints: list[Detection] = field(default_factory=list)
    _tracker: RotationTracker | None = None
    _size_px: tuple[int, int] = (0, 0)

    def forget(self) -> None:
        if self._tracker is not None:
            self._tracker.reset()

    def see(self, current: DecodedFrame, *, is_forced: bool) -> _Sight:
        luma = small_luma(current.frame)
        scale = luma.shape[1] / current.frame.width
        if self._tracker is None:
            self._size_px = current.frame.width, current.frame.height
            self._tracker = RotationTracker(self.lens or assumed_lens(*self._size_px))
        quality = measure_quality(luma)
        step = self._tracker.step(luma)
        at_source = RotationStep(step.rotation_rad, step.inliers, step.motion_px / scale, step.is_scene_cut)
        self._detect(current, is_forced=is_forced or step.is_scene_cut, is_cut=step.is_scene_cut)
        return _Sight(quality, at_source)

    def _detect(self, current: DecodedFrame, *, is_forced: bool, is_cut: bool) -> None:
        for watch in self.watches:
            if not is_forced and not watch.is_due(current):
                continue
            for frame_index, boxes in watch.looks(current, is_forced=is_forced, is_cut=is_cut):
                for box in boxes:
                    place = (box.kind, box.x, box.y, box.w, box.h, box.score)
                    found = Detection(frame_index, *place, box.model, box.model_version, watch.is_slow)
                    (self._hints if box.is_hint else self.detections).append(found)

    def confirmed_hints(self, seen: FrameObservations) -> list[Detection]:
        """Those of the first detector's; the slower one's finds lie too far apart to say anything of each other."""
        if self._tracker is None:
            return []
        return confirmed(
            [hint for hint in self._hints if not hint.is_slow],
            [found for found in self.detections if not found.is_slow],
            looked_at=np.flatnonzero(seen.is_detected),
            pts_ns=seen.pts_ns,
            camera=CameraPath.of(seen.rotation_rad, self._tracker.lens.scaled_to(*self._size_px)),
        )


class _Rows:
    def __init__(self) -> None:
        self._frames: list[tuple[int, bool]] = []
        self._sights: list[_Sight] = []

    def add(self, current: DecodedFrame, sight: _Sight) -> None:
        self._frames.append((current.pts_ns, current.is_keyframe))
        self._sights.append(sight)

    def observations(self, watches: Iterable[Watch]) -> FrameObservations:
        pts_ns, is_keyframe = zip(*self._frames, strict=True)
        steps = [sight.step for sight in self._sights]

        is_looked_at = np.zeros((2, len(steps)), np.bool_)
        for watch in watches:
            is_looked_at[int(watch.is_slow), watch.looked_at] = True

        def figures(name: str) -> NDArray[Any]:
            return np.array([getattr(sight.quality, name) for sight in self._sights], dtype=np.float64)

        return FrameObservations(
            pts_ns=np.array(pts_ns, dtype=np.int64),
            is_keyframe=np.array(is_keyframe, dtype=np.bool_),
            sharpness=figures("sharpness"),
            luma_mean=figures("luma_mean"),
            luma_std=figures("luma_std"),
            clipped_fraction=figures("clipped_fraction"),
            obstructed_fraction=figures("obstructed_fraction"),
            rotation_rad=np.array([step.rotation_rad for step in steps], dtype=np.float64),
            rotation_inliers=np.array([step.inliers for step in steps], dtype=np.int32),
            motion_px=np.array([step.motion_px for step in steps], dtype=np.float64),
            is_detected=is_looked_at[0],
            is_slow_detected=is_looked_at[1],
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
