"""Finds too weak to count alone, where a surer find before or after says that somebody is there. Nothing is hidden or
made into tracks here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.camera_path import CameraPath
from harchive_dagster.recording.observations import Detection

_APART_SIZES = 0.7
_SIZE_RATIO = 1.6
"""How far from where the camera's turning takes a find, in the larger one's sizes, and how much larger or smaller a
hint may be to be of the same thing. Wider limits follow shoulders and hands for seconds."""

_MAX_NS = 500_000_000
"""Between a find and a hint of it: two looks in calm pictures."""


def confirmed(
    hints: Sequence[Detection],
    detections: Iterable[Detection],
    *,
    looked_at: NDArray[np.intp],
    pts_ns: NDArray[np.int64],
    camera: CameraPath,
) -> list[Detection]:
    """Hints that carry on a detection, over as many looks as there are hints, in either direction of time.

    Where somebody is found again at the next look, hints beside him are of nobody else.

    Args:
        hints: what the detector saw below its threshold.
        detections: what it found.
        looked_at: frames that it ran on, increasing.
        pts_ns: int64 [N], session time of every frame.
        camera: how it was turned.
    """
    unused, found = _by_frame(hints), _by_frame(detections)
    kept: list[Detection] = []
    for frames in (looked_at, looked_at[::-1]):
        lost: list[Detection] = []  # last seen at an earlier look
        for frame in frames.tolist():
            lost = [one for one in lost if abs(int(pts_ns[frame] - pts_ns[one.frame_index])) <= _MAX_NS]
            lost, _ = _unmatched(lost, found[frame], camera)
            lost, taken = _unmatched(lost, unused[frame], camera)
            kept += taken
            found[frame] += taken
            unused[frame] = [hint for hint in unused[frame] if hint not in taken]
            lost += found[frame]
    return kept


def _unmatched(
    lost: list[Detection], here: Sequence[Detection], camera: CameraPath
) -> tuple[list[Detection], list[Detection]]:
    """Those that are not found again, and the finds that others are found again in: the nearest pair first."""
    pairs = sorted(
        (apart, index, place)
        for index, one in enumerate(lost)
        for place, other in enumerate(here)
        if (apart := _apart(one, other, camera)) <= _APART_SIZES
    )
    partner: dict[int, int] = {}
    for _, index, place in pairs:
        if index not in partner and place not in partner.values():
            partner[index] = place
    left = [one for index, one in enumerate(lost) if index not in partner]
    return left, [here[place] for place in partner.values()]


def _by_frame(detections: Iterable[Detection]) -> defaultdict[int, list[Detection]]:
    frames = defaultdict(list)
    for one in detections:
        frames[one.frame_index].append(one)
    return frames


def _apart(known: Detection, other: Detection, camera: CameraPath) -> float:
    """Distance from where the known one would be, in sizes; infinite if they cannot be the same thing."""
    sizes_px = max(known.w, known.h), max(other.w, other.h)
    if known.kind != other.kind or max(sizes_px) > _SIZE_RATIO * min(sizes_px):
        return np.inf
    expected = camera.carried(_centre(known), known.frame_index, other.frame_index)
    return float(np.linalg.norm(_centre(other) - expected)) / max(sizes_px)


def _centre(one: Detection) -> NDArray[np.float64]:
    return np.array([one.x + one.w / 2, one.y + one.h / 2])
