"""From detections on some frames to redactions on all frames they may concern. When in doubt, it hides more.

Finding is `detection`'s business, hiding `redaction`'s; no pixel is touched here.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import PrivacyError
from harchive_dagster.privacy.detection import Box, intersection_over_union
from harchive_dagster.privacy.redaction import PRIVATE_KIND, Redaction
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.observations import Detection
from harchive_dagster.recording.private_time import shows_private_time

MASK_SCALE = 1.3
"""A detector's box ends at brows and chin; 1.3 times its size takes in hair line, ears and jaw."""

_PAD_MARGIN_FRAMES = 2
"""Beyond the detection stride: people report faces that slip through for one or two frames at a track's ends."""

_MAX_MISSED = 3
_MAX_BRIDGE_NS = 700_000_000
"""A track survives this many missed detection frames, or this long: a turned head or a passing hand."""

_MAX_BLIND_NS = 2_000_000_000
"""A stretch without detection longer than this can hold a whole unseen encounter."""

_GATE_SIZES = 1.0
_GATE_SIZES_PER_MISS = 0.25
_GATE_MOTIONS = 1.5
"""How far a thing may have gone between two sightings: in its own sizes, plus what the camera moved (walking
shakes are not uniform over the picture, hence more than once)."""

_MAX_SIZE_RATIO = 2.5
_STEADY_IOU = 0.3
"""Below this overlap a straight path between two sightings is a guess, and both ends are hidden throughout."""

_CREEP_PER_FRAME = 0.02
"""Growth with distance from a sighting, in sizes a frame, where the camera seems still."""


@dataclass(frozen=True)
class _Growth:
    """Extra margin on each side away from a sighting: a share of the camera's motion, bounded in sizes of the box."""

    per_motion: float
    max_sizes: float

    def margin_px(self, size_px: float, motion_px: float, frames: int) -> float:
        return min(self.per_motion * motion_px + _CREEP_PER_FRAME * size_px * frames, self.max_sizes * size_px)


_BETWEEN = _Growth(per_motion=0.5, max_sizes=1.0)
_BEYOND = _Growth(per_motion=1.0, max_sizes=1.5)


def build_redactions(
    detections: Sequence[Detection],
    *,
    pts_ns: NDArray[np.int64],
    is_detected: NDArray[np.bool_],
    width_px: int,
    height_px: int,
    motion_px: NDArray[np.float64],
    private_intervals_ns: Sequence[tuple[int, int]] = (),
) -> list[Redaction]:
    """Link detections into tracks and say for every frame what has to be hidden.

    Every detection is hidden, also a single weak one. A track is hidden without a hole from one detection
    stride and two frames before its first sighting to as much after its last (the clip's ends and private
    time permitting), in a box 1.3 times the detection that grows with distance from the nearest sighting.
    Boxes are not clipped to the picture.

    Args:
        detections: in any order; the result does not depend on it.
        pts_ns: int64 [N], session time of every frame, strictly increasing.
        is_detected: bool [N], the detector ran on this frame.
        width_px: of the coded picture.
        height_px: of the coded picture.
        motion_px: float64 [N], typical displacement since the previous frame; not finite counts as none.
        private_intervals_ns: half-open intervals of session time; every frame shown in one is hidden whole,
            also the frame that an interval starts in.

    Returns:
        Redactions by frame and track; `track_id` counts from 1 in order of first sighting, private time last.

    Raises:
        PrivacyError: NOT_ANONYMIZABLE when arrays disagree, a detection or interval is impossible, or more
            than two seconds outside private time were not looked at.
    """
    timeline = _timeline(pts_ns, is_detected, motion_px, private_intervals_ns)
    for detection in detections:
        _check_detection(detection, len(pts_ns))
    tracks = _link(sorted(detections, key=_order), timeline)
    redactions = [
        redaction for number, hits in enumerate(tracks, start=1) for redaction in _cover(number, hits, timeline)
    ]
    runs = _runs(timeline.is_private)
    for number, (start, stop) in enumerate(runs, start=len(tracks) + 1):
        redactions.extend(
            Redaction(frame, number, PRIVATE_KIND, 0.0, 0.0, float(width_px), float(height_px), "private_time", 1.0)
            for frame in range(start, stop)
        )
    return sorted(redactions, key=lambda redaction: (redaction.frame_index, redaction.track_id))


@dataclass(frozen=True, eq=False)
class _Timeline:
    pts_ns: NDArray[np.int64]
    detected: NDArray[np.intp]  # indices of frames the detector ran on
    settled: NDArray[np.intp]  # those and private frames: nothing unknown remains there
    is_private: NDArray[np.bool_]
    path_px: NDArray[np.float64]  # camera motion summed up to each frame
    stride: int

    def motion_px(self, first: int, last: int) -> float:
        return float(self.path_px[last] - self.path_px[first])

    def is_bridgeable(self, last_seen: int, frame: int) -> bool:
        if self.is_private[last_seen:frame].any():
            return False
        is_soon = int(self.pts_ns[frame] - self.pts_ns[last_seen]) <= _MAX_BRIDGE_NS
        return is_soon or self.missed(last_seen, frame) <= _MAX_MISSED

    def missed(self, last_seen: int, frame: int) -> int:
        return int(np.searchsorted(self.detected, frame) - np.searchsorted(self.detected, last_seen, side="right"))

    def start_before(self, first: int) -> int:
        earlier = self.settled[: np.searchsorted(self.settled, first)]
        settled = int(earlier[-1]) if len(earlier) else 0
        return max(0, min(settled, first - self.stride) - _PAD_MARGIN_FRAMES)

    def stop_after(self, last: int) -> int:
        later = self.settled[np.searchsorted(self.settled, last, side="right") :]
        settled = int(later[0]) if len(later) else len(self.pts_ns) - 1
        return min(len(self.pts_ns), max(settled, last + self.stride) + _PAD_MARGIN_FRAMES + 1)


def _timeline(
    pts_ns: NDArray[np.int64],
    is_detected: NDArray[np.bool_],
    motion_px: NDArray[np.float64],
    private_intervals_ns: Sequence[tuple[int, int]],
) -> _Timeline:
    if not len(pts_ns) == len(is_detected) == len(motion_px):
        raise _impossible(
            f"{len(pts_ns)} frames have {len(is_detected)} detection flags and {len(motion_px)} motion values."
        )
    if (np.diff(pts_ns) <= 0).any():
        raise _impossible(f"frame time does not increase after frame {int(np.argmax(np.diff(pts_ns) <= 0))}.")
    is_private = shows_private_time(pts_ns, _checked_intervals(private_intervals_ns))
    is_settled = np.asarray(is_detected, bool) | is_private
    _check_blind_time(pts_ns, is_settled)
    detected = np.flatnonzero(is_detected)
    steps = np.nan_to_num(np.asarray(motion_px, np.float64), posinf=0.0, neginf=0.0)
    return _Timeline(
        pts_ns=pts_ns,
        detected=detected,
        settled=np.flatnonzero(is_settled),
        is_private=is_private,
        path_px=np.cumsum(np.abs(steps)),
        stride=int(np.median(np.diff(detected))) if len(detected) > 1 else len(pts_ns),
    )


def _checked_intervals(intervals_ns: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    for start_ns, end_ns in intervals_ns:
        if end_ns <= start_ns:
            raise _impossible(f"private time ends at {end_ns} ns, not after its start at {start_ns} ns.")
    return intervals_ns


def _check_blind_time(pts_ns: NDArray[np.int64], is_settled: NDArray[np.bool_]) -> None:
    for start, stop in _runs(~is_settled):
        from_ns = int(pts_ns[start])
        to_ns = int(pts_ns[min(stop, len(pts_ns) - 1)])
        if to_ns - from_ns > _MAX_BLIND_NS or stop - start == len(pts_ns):
            raise _impossible(f"nobody looked for faces between {from_ns} ns and {to_ns} ns.")


def _check_detection(detection: Detection, frame_count: int) -> None:
    if not 0 <= detection.frame_index < frame_count:
        raise _impossible(f"a detection is on frame {detection.frame_index} of {frame_count}.")
    box = (detection.x, detection.y, detection.w, detection.h)
    if not (np.isfinite(box).all() and detection.w > 0 and detection.h > 0):
        raise _impossible(f"the detection on frame {detection.frame_index} has the box {box}.")


def _impossible(what: str) -> PrivacyError:
    return PrivacyError(
        Reason.NOT_ANONYMIZABLE,
        f"redactions cannot be built: {what}",
        mend="Look at the recording again (frame_observations), and check the manifest's private markers.",
    )


def _order(detection: Detection) -> tuple[int, str, float, float, float, float, float]:
    return (
        detection.frame_index,
        detection.kind,
        detection.x,
        detection.y,
        detection.w,
        detection.h,
        detection.score,
    )


def _link(detections: list[Detection], timeline: _Timeline) -> list[list[Detection]]:
    """Tracks as lists of sightings, one at most per frame, by first sighting."""
    by_frame: dict[int, list[Detection]] = defaultdict(list)
    for detection in detections:
        by_frame[detection.frame_index].append(detection)
    tracks: list[list[Detection]] = []
    alive: list[list[Detection]] = []
    for frame, found in by_frame.items():
        alive = [track for track in alive if timeline.is_bridgeable(track[-1].frame_index, frame)]
        continued = _match(alive, found, timeline)
        for index, detection in enumerate(found):
            if index in continued:
                alive[continued[index]].append(detection)
            else:
                tracks.append([detection])
                alive.append(tracks[-1])
    return tracks


def _match(tracks: list[list[Detection]], found: list[Detection], timeline: _Timeline) -> dict[int, int]:
    """Which detection continues which track: greedily, the nearest pair first."""
    pairs = sorted(
        (cost, track_index, index)
        for track_index, track in enumerate(tracks)
        for index, detection in enumerate(found)
        if (cost := _cost(track[-1], detection, timeline)) <= 1.0
    )
    continued: dict[int, int] = {}
    taken: set[int] = set()
    for _, track_index, index in pairs:
        if index not in continued and track_index not in taken:
            continued[index] = track_index
            taken.add(track_index)
    return continued


def _cost(last: Detection, found: Detection, timeline: _Timeline) -> float:
    """Distance of two sightings over what is plausible; above 1 they are not the same thing."""
    size_px = max(last.w, last.h)
    ratio = max(found.w, found.h) / size_px
    if last.kind != found.kind or not 1 / _MAX_SIZE_RATIO <= ratio <= _MAX_SIZE_RATIO:
        return np.inf
    missed = timeline.missed(last.frame_index, found.frame_index)
    gate_px = size_px * (_GATE_SIZES + _GATE_SIZES_PER_MISS * missed)
    gate_px += _GATE_MOTIONS * timeline.motion_px(last.frame_index, found.frame_index)
    return float(np.linalg.norm(_centre(found) - _centre(last)) / gate_px)


def _cover(number: int, hits: list[Detection], timeline: _Timeline) -> Iterator[Redaction]:
    first, last = hits[0], hits[-1]
    before = range(timeline.start_before(first.frame_index), first.frame_index)
    after = range(last.frame_index + 1, timeline.stop_after(last.frame_index))
    velocity_in, velocity_out = _velocity(hits[:2]), _velocity(hits[-2:])
    for frame in before:
        yield _redaction(frame, number, _beyond(first, frame, velocity_in, timeline), "padded")
    for here, following in zip(hits, [*hits[1:], None], strict=True):
        yield _redaction(here.frame_index, number, _as_box(here), "detected")
        if following is not None:
            for frame in range(here.frame_index + 1, following.frame_index):
                yield _redaction(frame, number, _between(here, following, frame, timeline), "interpolated")
    for frame in after:
        yield _redaction(frame, number, _beyond(last, frame, velocity_out, timeline), "padded")


def _between(a: Detection, b: Detection, frame: int, timeline: _Timeline) -> Box:
    start, mid, end = (float(timeline.pts_ns[index]) for index in (a.frame_index, frame, b.frame_index))
    share = (mid - start) / (end - start)
    if intersection_over_union(a, b) < _STEADY_IOU:
        box = _hull(a, b)
    else:
        x, y, w, h = (1 - share) * _numbers(a) + share * _numbers(b)
        box = Box(a.kind, x, y, w, h, 0.0)
    motion_px = min(timeline.motion_px(a.frame_index, frame), timeline.motion_px(frame, b.frame_index))
    frames = min(frame - a.frame_index, b.frame_index - frame)
    margin_px = _BETWEEN.margin_px(max(a.w, a.h, b.w, b.h), motion_px, frames)
    return _grown(box, margin_px, min(a.score, b.score))


def _beyond(hit: Detection, frame: int, velocity: NDArray[np.float64], timeline: _Timeline) -> Box:
    """Where something may be before its first or after its last sighting: it stayed there, or it moved on as before."""
    size_px = max(hit.w, hit.h)
    shift = np.clip(velocity * (frame - hit.frame_index), -size_px, size_px)
    went_on = Box(hit.kind, hit.x + shift[0], hit.y + shift[1], hit.w, hit.h, hit.score)
    early, late = sorted((frame, hit.frame_index))
    margin_px = _BEYOND.margin_px(size_px, timeline.motion_px(early, late), late - early)
    return _grown(_hull(hit, went_on), margin_px, hit.score)


def _velocity(hits: list[Detection]) -> NDArray[np.float64]:
    """Pixels a frame between two sightings; zero for one."""
    if len(hits) < 2:
        return np.zeros(2)
    return np.asarray((_centre(hits[1]) - _centre(hits[0])) / (hits[1].frame_index - hits[0].frame_index))


def _redaction(frame: int, number: int, box: Box, source: str) -> Redaction:
    extra_w, extra_h = (MASK_SCALE - 1) * box.w, (MASK_SCALE - 1) * box.h
    return Redaction(
        frame,
        number,
        box.kind,
        float(box.x - extra_w / 2),
        float(box.y - extra_h / 2),
        float(box.w + extra_w),
        float(box.h + extra_h),
        source,
        box.score,
    )


def _as_box(detection: Detection) -> Box:
    return Box(detection.kind, detection.x, detection.y, detection.w, detection.h, detection.score)


def _hull(a: Detection | Box, b: Detection | Box) -> Box:
    x, y = min(a.x, b.x), min(a.y, b.y)
    return Box(a.kind, x, y, max(a.x + a.w, b.x + b.w) - x, max(a.y + a.h, b.y + b.h) - y, a.score)


def _grown(box: Box, margin_px: float, score: float) -> Box:
    return Box(box.kind, box.x - margin_px, box.y - margin_px, box.w + 2 * margin_px, box.h + 2 * margin_px, score)


def _centre(box: Detection | Box) -> NDArray[np.float64]:
    return np.array([box.x + box.w / 2, box.y + box.h / 2])


def _numbers(box: Detection) -> NDArray[np.float64]:
    return np.array([box.x, box.y, box.w, box.h])


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open index ranges in which the flags are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
