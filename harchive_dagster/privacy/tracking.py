"""From detections on some frames to redactions on all frames they may concern. When in doubt, it hides more.

Finding is `detection`'s business, hiding `redaction`'s; no pixel is touched here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.linking import link
from harchive_dagster.privacy.redaction import PRIVATE_KIND, Redaction
from harchive_dagster.privacy.timeline import Timeline, impossible, runs
from harchive_dagster.recording.camera_path import CameraPath
from harchive_dagster.recording.lens import Lens, assumed_lens
from harchive_dagster.recording.observations import Detection

MASK_SCALE = 1.3
"""A detector's box ends at brows and chin; 1.3 times its size takes in hair line, ears and jaw."""

_CUT_RATIO = 1.5
"""Beyond this ratio of two sightings' widths or heights one shows a part only, most often at the picture's border: its
middle is not the thing's, and both places are hidden throughout in the larger size."""

_APART_SIZES = 0.7
"""Where the two sightings around a frame place a thing farther apart than that, its path is a guess, and all between
both places is hidden."""


@dataclass(frozen=True)
class _Growth:
    """Extra margin on each side away from a sighting, bounded in sizes of the box.

    Attributes:
        per_motion: share of what the camera moved since; its turning is already followed, nearness and lens are not.
        per_frame: sizes a frame, for what the thing itself does.
        max_sizes: the bound.
    """

    per_motion: float
    per_frame: float
    max_sizes: float

    def margin_px(self, size_px: float, motion_px: float, frames: int) -> float:
        return min(self.per_motion * motion_px + self.per_frame * size_px * frames, self.max_sizes * size_px)


_FASTER = 2.0
"""Whoever comes or goes is faster at the picture's border than on average between the two looks next to it."""

_SHIFT_SIZES = 2.0
"""How far, in sizes of its box, something may go on as before: whoever runs past goes half a size a frame."""

_BETWEEN = _Growth(per_motion=0.15, per_frame=0.02, max_sizes=0.6)
_BEYOND = _Growth(per_motion=0.5, per_frame=0.06, max_sizes=2.0)
"""Chosen on clips of `benchmarks/anonymize.py`: smaller ones leave faces bare that come in or go while the head turns
fast."""

_RETURNS_NS = 2_000_000_000
"""How long a place is remembered that the camera turned away from; after that whoever was there may be anywhere."""

_ROUNDING_PX = 1.0
"""Of a place that is carried to another frame and has not moved."""


@dataclass(frozen=True)
class _Area:
    """A rectangle by its centre, in pixels."""

    centre: NDArray[np.float64]
    size: NDArray[np.float64]

    @classmethod
    def of(cls, hit: Detection) -> "_Area":
        return cls(np.array([hit.x + hit.w / 2, hit.y + hit.h / 2]), np.array([hit.w, hit.h]))

    @property
    def longest_px(self) -> float:
        return float(self.size.max())

    def at(self, centre: NDArray[np.float64]) -> "_Area":
        return _Area(centre, self.size)

    def grown(self, margin_px: float) -> "_Area":
        return _Area(self.centre, self.size + 2 * margin_px)

    def with_(self, other: "_Area") -> "_Area":
        low = np.minimum(self.centre - self.size / 2, other.centre - other.size / 2)
        high = np.maximum(self.centre + self.size / 2, other.centre + other.size / 2)
        return _Area((low + high) / 2, high - low)


@dataclass(frozen=True, eq=False)
class _Track:
    """Sightings that are surely of one thing.

    Attributes:
        ways_in, ways_out: how it may have moved at either end, in pixels a frame beside the camera's turning.
    """

    hits: list[Detection]
    timeline: Timeline
    ways_in: Sequence[NDArray[np.float64]]
    ways_out: Sequence[NDArray[np.float64]]


def build_redactions(
    detections: Sequence[Detection],
    *,
    pts_ns: NDArray[np.int64],
    is_detected: NDArray[np.bool_],
    width_px: int,
    height_px: int,
    motion_px: NDArray[np.float64],
    rotation_rad: NDArray[np.float64] | None = None,
    lens: Lens | None = None,
    is_slow_detected: NDArray[np.bool_] | None = None,
    private_intervals_ns: Sequence[tuple[int, int]] = (),
) -> list[Redaction]:
    """Link detections into tracks and say for every frame what has to be hidden.

    Every detection is hidden, also a single weak one. A track is hidden without a hole from before the last look that
    did not find it (and a fifth of a second before its first sighting at least) to as long after its last, the clip's
    ends and private time permitting, in a box 1.3 times the detection that grows with distance from the nearest
    sighting. Between looks boxes follow the camera's turning as `look` measured it. A place that was out of the
    picture at every look since is hidden when it is in it again. Boxes are not clipped to the picture.

    Args:
        detections: in any order; the result does not depend on it.
        pts_ns: int64 [N], session time of every frame, strictly increasing.
        is_detected: bool [N], the detector ran on this frame.
        width_px: of the coded picture.
        height_px: of the coded picture.
        motion_px: float64 [N], typical displacement since the previous frame; not finite counts as none.
        rotation_rad: float64 [N, 3], the camera's since the previous frame; without it margins grow instead.
        lens: what the rotations were measured with; without it what is assumed for uncalibrated cameras.
        is_slow_detected: bool [N], the slower detector ran on this frame; without it, it never did.
        private_intervals_ns: half-open intervals of session time; every frame shown in one is hidden whole,
            also the frame that an interval starts in.

    Returns:
        Redactions by frame and track; `track_id` counts from 1 in order of first sighting, then come finds of the
        slower detector, places that came back into view between two looks, and private time.

    Raises:
        PrivacyError: NOT_ANONYMIZABLE when arrays disagree, a detection or interval is impossible, or more
            than two seconds outside private time were not looked at.
    """
    camera = CameraPath.of(
        np.zeros((len(pts_ns), 3)) if rotation_rad is None else rotation_rad,
        (lens or assumed_lens(width_px, height_px)).scaled_to(width_px, height_px),
    )
    timeline = Timeline.of(pts_ns, is_detected, motion_px, camera, private_intervals_ns)
    for detection in detections:
        _check_detection(detection, len(pts_ns))
    tracks = _tracks([found for found in detections if not found.is_slow], timeline)
    slow = [found for found in detections if found.is_slow]
    if is_slow_detected is not None and is_slow_detected.any():
        slow_timeline = Timeline.of(pts_ns, is_slow_detected, motion_px, camera, private_intervals_ns)
        tracks += _tracks(slow, slow_timeline)
    elif slow:
        raise impossible(f"{len(slow)} detections of the slower detector are on frames that it did not run on.")
    redactions = [redaction for number, track in enumerate(tracks, start=1) for redaction in _cover(number, track)]
    returns = [way for track in tracks for way in _returns(track, width_px, height_px)]
    for number, (hit, frames) in enumerate(returns, start=len(tracks) + 1):
        redactions.extend(
            _redaction(frame, number, hit, _beyond(hit, frame, (), timeline), "padded", hit.score) for frame in frames
        )
    for number, (start, stop) in enumerate(runs(timeline.is_private), start=len(tracks) + len(returns) + 1):
        redactions.extend(
            Redaction(frame, number, PRIVATE_KIND, 0.0, 0.0, float(width_px), float(height_px), "private_time", 1.0)
            for frame in range(start, stop)
        )
    return sorted(redactions, key=lambda redaction: (redaction.frame_index, redaction.track_id))


def _check_detection(detection: Detection, frame_count: int) -> None:
    if not 0 <= detection.frame_index < frame_count:
        raise impossible(f"a detection is on frame {detection.frame_index} of {frame_count}.")
    box = (detection.x, detection.y, detection.w, detection.h)
    if not (np.isfinite(box).all() and detection.w > 0 and detection.h > 0):
        raise impossible(f"the detection on frame {detection.frame_index} has the box {box}.")


def _tracks(detections: Sequence[Detection], timeline: Timeline) -> list[_Track]:
    """Linked sightings, parted where a link may be wrong: then one thing went and another came, or it flew across."""
    tracks = []
    for hits in link(detections, timeline):
        ways = [_velocity(here, there, timeline) for here, there in pairwise(hits)]
        ends = [index + 1 for index in range(len(ways)) if _is_doubtful(index, hits, ways)]
        for start, stop in pairwise([0, *ends, len(hits)]):
            ways_in, ways_out = ways[max(0, start - 1) : start + 1], ways[stop - 2 if stop > 1 else 0 : stop]
            tracks.append(_Track(hits[start:stop], timeline, ways_in, ways_out))
    return sorted(tracks, key=lambda track: track.hits[0].frame_index)


def _is_doubtful(index: int, hits: Sequence[Detection], ways: Sequence[NDArray[np.float64]]) -> bool:
    """Whether a link asks for a jump that neither the camera's turning nor the links beside it explain."""
    here, there = hits[index : index + 2]
    frames = there.frame_index - here.frame_index
    known = [np.zeros(2), *ways[max(0, index - 1) : index], *ways[index + 1 : index + 2]]
    apart_px = min(float(np.linalg.norm(ways[index] - way)) * frames for way in known)
    return apart_px > _APART_SIZES * max(_Area.of(here).longest_px, _Area.of(there).longest_px)


def _cover(number: int, track: _Track) -> Iterator[Redaction]:
    hits, timeline = track.hits, track.timeline
    first, last = hits[0], hits[-1]
    for frame in range(timeline.start_before(first.frame_index), first.frame_index):
        yield _redaction(frame, number, first, _beyond(first, frame, track.ways_in, timeline), "padded", first.score)
    for here, following in zip(hits, [*hits[1:], None], strict=True):
        yield _redaction(here.frame_index, number, here, _Area.of(here), "detected", here.score)
        if following is not None:
            score = min(here.score, following.score)
            for frame in range(here.frame_index + 1, following.frame_index):
                yield _redaction(frame, number, here, _between(here, following, frame, timeline), "interpolated", score)
    for frame in range(last.frame_index + 1, timeline.stop_after(last.frame_index)):
        yield _redaction(frame, number, last, _beyond(last, frame, track.ways_out, timeline), "padded", last.score)


def _returns(track: _Track, width_px: int, height_px: int) -> Iterator[tuple[Detection, range]]:
    """Frames beyond a track's ends in which its place is in the picture again, if it was out of it at every look since.

    A look that did not find somebody settles that he is gone only if it could have seen him.
    """
    timeline = track.timeline
    for hit, edge, step in (
        (track.hits[0], timeline.start_before(track.hits[0].frame_index) - 1, -1),
        (track.hits[-1], timeline.stop_after(track.hits[-1].frame_index), 1),
    ):
        frames = timeline.near(hit.frame_index, step, _RETURNS_NS)
        if not len(frames):
            continue
        seen = _Area.of(hit)
        place_px = timeline.camera.way(seen.centre, hit.frame_index, frames)
        half_px = np.array([width_px, height_px]) / 2
        # A face was found at its hit, so a look can also find it that far outside.
        found_px = np.maximum(np.abs(seen.centre - half_px), half_px) + _ROUNDING_PX
        with np.errstate(invalid="ignore"):
            from_middle_px = np.abs(place_px - half_px)
            is_settled = np.isin(frames, timeline.settled) & (from_middle_px <= found_px).all(axis=1)
            is_in_view = (from_middle_px < half_px + MASK_SCALE * seen.size / 2).all(axis=1)
        is_in_view &= (np.cumsum(is_settled) == 0) & (step * (frames - edge) >= 0)
        for start, stop in runs(is_in_view):
            low, high = sorted((int(frames[start]), int(frames[stop - 1])))
            yield hit, range(low, high + 1)


def _between(a: Detection, b: Detection, frame: int, timeline: Timeline) -> _Area:
    start, mid, end = (float(timeline.pts_ns[index]) for index in (a.frame_index, frame, b.frame_index))
    share = (mid - start) / (end - start)
    here, there = _Area.of(a), _Area.of(b)
    is_cut = bool((np.maximum(here.size, there.size) > _CUT_RATIO * np.minimum(here.size, there.size)).any())
    size = np.maximum(here.size, there.size) if is_cut else (1 - share) * here.size + share * there.size
    from_a = _Area(timeline.camera.carried(here.centre, a.frame_index, frame), size)
    from_b = _Area(timeline.camera.carried(there.centre, b.frame_index, frame), size)
    motion_px = min(timeline.motion_px(a.frame_index, frame), timeline.motion_px(frame, b.frame_index))
    frames = min(frame - a.frame_index, b.frame_index - frame)
    is_guess = is_cut or np.linalg.norm(from_a.centre - from_b.centre) > _APART_SIZES * size.max()
    area = from_a.with_(from_b) if is_guess else from_a.at((1 - share) * from_a.centre + share * from_b.centre)
    return area.grown(_BETWEEN.margin_px(float(size.max()), motion_px, frames))


def _beyond(hit: Detection, frame: int, ways: Sequence[NDArray[np.float64]], timeline: Timeline) -> _Area:
    """Where something may be before its first or after its last sighting: it stayed there, or it moved on as before."""
    seen = _Area.of(hit)
    area = stayed = seen.at(timeline.camera.carried(seen.centre, hit.frame_index, frame))
    reach_px = _SHIFT_SIZES * seen.longest_px
    for way in ways:
        shift = np.clip(_FASTER * way * (frame - hit.frame_index), -reach_px, reach_px)
        area = area.with_(stayed.at(stayed.centre + shift))
    early, late = sorted((frame, hit.frame_index))
    return area.grown(_BEYOND.margin_px(seen.longest_px, timeline.motion_px(early, late), late - early))


def _velocity(here: Detection, there: Detection, timeline: Timeline) -> NDArray[np.float64]:
    """Pixels a frame between two sightings, beside what the camera's turning did."""
    carried = timeline.camera.carried(_Area.of(here).centre, here.frame_index, there.frame_index)
    return np.asarray((_Area.of(there).centre - carried) / (there.frame_index - here.frame_index))


def _redaction(frame: int, number: int, hit: Detection, area: _Area, source: str, score: float) -> Redaction:
    w, h = (MASK_SCALE * area.size).tolist()
    x, y = area.centre.tolist()
    return Redaction(frame, number, hit.kind, x - w / 2, y - h / 2, w, h, source, score)
