"""Which sightings are of the same thing. What is hidden between and around them is `tracking`'s business."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.timeline import Timeline
from harchive_dagster.recording.observations import Detection

_GATE_SIZES = 1.0
_GATE_SIZES_PER_MISS = 0.25
_GATE_MOTIONS = 1.0
"""How far from where the camera's turning takes it a thing may be at the next sighting: in its own sizes, plus what the
camera moved (near things move more than the turning says, and lenses bend)."""

_GATE_SIZES_PER_S, _GATE_SIZES_GONE = 20.0, 5.0
"""What it may have gone itself: whoever passes close goes nearly a size a frame, and would be a new thing at every
look, of unknown speed. With 6 and 2 the last frames of a generated visit stayed bare; boxes take a tenth more of dense
pictures.
"""

_MAX_SIZE_RATIO = 2.5


def link(detections: Iterable[Detection], timeline: Timeline) -> list[list[Detection]]:
    """Tracks as lists of sightings, one at most per frame, by first sighting, whatever the order of `detections`."""
    by_frame: dict[int, list[Detection]] = defaultdict(list)
    for detection in sorted(detections, key=_order):
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


def _match(tracks: list[list[Detection]], found: list[Detection], timeline: Timeline) -> dict[int, int]:
    """Which detection continues which track: greedily, the nearest pair first.

    Nearest in pixels, not by what is plausible: otherwise a track that was last seen long ago wins.
    """
    pairs = sorted(
        (apart_px, track_index, index)
        for track_index, track in enumerate(tracks)
        for index, detection in enumerate(found)
        if (apart_px := _apart_px(track[-1], detection, timeline)) < np.inf
    )
    continued: dict[int, int] = {}
    taken: set[int] = set()
    for _, track_index, index in pairs:
        if index not in continued and track_index not in taken:
            continued[index] = track_index
            taken.add(track_index)
    return continued


def _apart_px(last: Detection, found: Detection, timeline: Timeline) -> float:
    """Distance of two sightings beside the camera's turning; infinite if they are hardly the same thing."""
    size_px = max(last.w, last.h)
    ratio = max(found.w, found.h) / size_px
    if last.kind != found.kind or not 1 / _MAX_SIZE_RATIO <= ratio <= _MAX_SIZE_RATIO:
        return np.inf
    missed = timeline.missed(last.frame_index, found.frame_index)
    apart_s = float(timeline.pts_ns[found.frame_index] - timeline.pts_ns[last.frame_index]) * 1e-9
    gone_sizes = min(_GATE_SIZES_PER_S * apart_s, _GATE_SIZES_GONE)
    gate_px = size_px * (_GATE_SIZES + _GATE_SIZES_PER_MISS * missed + gone_sizes)
    gate_px += _GATE_MOTIONS * timeline.motion_px(last.frame_index, found.frame_index)
    expected = timeline.camera.carried(_centre(last), last.frame_index, found.frame_index)
    apart_px = float(np.linalg.norm(_centre(found) - expected))
    return apart_px if apart_px <= gate_px else np.inf


def _centre(detection: Detection) -> NDArray[np.float64]:
    return np.array([detection.x + detection.w / 2, detection.y + detection.h / 2])


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
