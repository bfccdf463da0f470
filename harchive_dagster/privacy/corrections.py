"""What a reviewer changed about what is hidden, laid over what tracking built. No table is read here, no pixel touched.

Adding hides more. Removing lifts exactly the boxes that the reviewer looked at, found again by time and place: whatever
else comes to be there, or whatever the thing's track comes to cover, stays hidden.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.detection import Rectangle
from harchive_dagster.privacy.redaction import PRIVATE_KIND, Redaction
from harchive_dagster.privacy.tracking import MASK_SCALE
from harchive_dagster.recording.private_time import shows_private_time
from harchive_dagster.worker_day import WorkerDay

ADD = "add"
REMOVE = "remove"

REVIEWED = "reviewed"
"""The `source` of redactions that a reviewer added."""

_REVIEWED_TRACKS = 10**9
"""Tracks of corrections count from here, so that adding one renumbers nothing: a look finds far fewer things."""

_SAME_IOU = 0.5
"""A redaction is the removed thing's in a frame when its box shares this much with the one that was looked at."""

_SAME_SHARE = 0.8
"""So many of a track's frames must be: somebody who walks past a picture on the wall is at its place for a few."""

_SIZE_RATIO = 2.0
"""An audit works at another operating point, and sees one thing up to so much larger or smaller than detection did."""


class Finding(Rectangle, Protocol):
    """Something that an audit still sees."""

    @property
    def frame_index(self) -> int:
        """Frame."""

    @property
    def kind(self) -> str:
        """What it was taken for."""

    @property
    def cause(self) -> str:
        """Why it counts; "uncovered" where nothing hides it."""


_Finding = TypeVar("_Finding", bound=Finding)


@dataclass(frozen=True)
class Correction:
    """One decision of a reviewer about one recording; its fields are the columns of `redaction_corrections`.

    Attributes:
        worker_day: of the session.
        correction_id: unique in the lake.
        action: ADD or REMOVE.
        kind: what it is, as in redactions; "private" for the whole frame.
        start_ns: session time from which on it holds.
        end_ns: exclusive.
        path_ns: session times that its box is known at, increasing: of every frame of a removed track, at the start
            and perhaps the end of what is added. Between them it moves straight.
        path_px: x, y, w, h for each of these times, one after the other.
        video_sha256: of the recording that was looked at.
        revoked_at_utc: since when it holds no more.
    """

    worker_day: WorkerDay
    session_id: str
    correction_id: str
    action: str
    kind: str
    start_ns: int
    end_ns: int
    path_ns: tuple[int, ...]
    path_px: tuple[float, ...]
    video_sha256: str
    reason: str
    made_by: str
    made_at_utc: datetime
    revoke_reason: str | None = None
    revoked_by: str | None = None
    revoked_at_utc: datetime | None = None

    @property
    def is_standing(self) -> bool:
        """Nobody revoked it."""
        return self.revoked_at_utc is None

    @property
    def track_id(self) -> int:
        """The track that its redactions have, where it adds some."""
        return _REVIEWED_TRACKS + int(self.correction_id.rpartition("-")[2], 16)

    def boxes_at(self, t_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Its box at the given session times: float64 [N, 4]."""
        known = np.reshape(self.path_px, (-1, 4))
        return np.column_stack([np.interp(t_ns, self.path_ns, known[:, column]) for column in range(4)])


@dataclass(frozen=True)
class Lifted(Redaction):
    """A redaction that is not hidden any more, and the correction that says so."""

    correction_id: str


@dataclass(frozen=True)
class Corrected:
    """What is hidden and what is not any more, by frame and track.

    Attributes:
        frame_counts: by standing correction, the frames in which it hides or lifts something.
    """

    redactions: list[Redaction]
    lifted: list[Lifted]
    frame_counts: dict[str, int]


def apply_corrections(
    redactions: Sequence[Redaction],
    corrections: Sequence[Correction],
    *,
    pts_ns: NDArray[np.int64],
    video_sha256: str,
) -> Corrected:
    """Lay the standing corrections of one session over what tracking built for it.

    What no correction touches comes out as it went in, track numbers included. Private time and what reviewers
    added are never lifted. What was removed from another video (an upload that was replaced) stays hidden; what was
    added to another is hidden all the same.

    Args:
        redactions: of the session.
        corrections: of the session, in the order they were made.
        pts_ns: int64 [N], session time of every frame, strictly increasing.
        video_sha256: of the recording.
    """
    standing = [one for one in corrections if one.is_standing]
    removals = [one for one in standing if one.action == REMOVE and one.video_sha256 == video_sha256]
    lifted_by = _lifted_by(redactions, removals, pts_ns) if removals and redactions else {}
    added = [redaction for one in standing if one.action == ADD for redaction in _added(one, pts_ns)]
    hidden = [redaction for place, redaction in enumerate(redactions) if place not in lifted_by]
    lifted = [Lifted(**vars(redactions[place]), correction_id=by) for place, by in sorted(lifted_by.items())]
    counts = {one.correction_id: 0 for one in standing}
    by_track = {one.track_id: one.correction_id for one in standing}
    for correction_id in [*lifted_by.values(), *(by_track[redaction.track_id] for redaction in added)]:
        counts[correction_id] += 1
    in_order = sorted([*hidden, *added], key=lambda redaction: (redaction.frame_index, redaction.track_id))
    return Corrected(in_order, lifted, counts)


def without_effect(corrections: Sequence[Correction], corrected: Corrected) -> list[str]:
    """One sentence for every correction that changes nothing any more: somebody should look at the session again."""
    idle = [one for one in corrections if corrected.frame_counts.get(one.correction_id) == 0]
    return [
        f"correction {one.correction_id} of {one.session_id} ({one.action} {one.kind}, {one.start_ns * 1e-9:.3f} s to "
        f"{one.end_ns * 1e-9:.3f} s) matches nothing in this recording any more, and what was found there is hidden"
        for one in idle
    ]


def without_accepted(residuals: Sequence[_Finding], lifted: Sequence[Lifted]) -> tuple[list[_Finding], int]:
    """What an audit found, without what a reviewer said is nobody; and how many that were.

    A lifted redaction accounts for one uncovered residual of its frame and kind at most: the one most of which lies
    in its box and that has about the size the thing was detected in. Somebody beside it, in front of it as well, or
    where nothing was lifted stays a residual, as does everything that was to be hidden and is not.

    Args:
        residuals: of one rendered video.
        lifted: of that session.
    """
    sizes = _sizes_by_track(lifted)
    by_frame: dict[int, list[int]] = defaultdict(list)
    for place, one in enumerate(lifted):
        by_frame[one.frame_index].append(place)
    pairs = sorted(
        (-inside, place, number)
        for number, residual in enumerate(residuals)
        for place in by_frame.get(residual.frame_index, ())
        if (lifted[place].kind, "uncovered") == (residual.kind, residual.cause)
        and (inside := _inside_share(residual, lifted[place])) >= _SAME_SHARE
        and _is_of_size(residual, *sizes[lifted[place].track_id])
    )
    used: set[int] = set()
    accepted: set[int] = set()
    for _, place, number in pairs:
        if place not in used and number not in accepted:
            used.add(place)
            accepted.add(number)
    return [residual for number, residual in enumerate(residuals) if number not in accepted], len(accepted)


def path_of(track: Sequence[Redaction], pts_ns: NDArray[np.int64]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """What a removal remembers of a track: the time and box of each of its redactions.

    Args:
        track: redactions of one track, by frame.
        pts_ns: int64 [N], session time of every frame.
    """
    times = tuple(int(pts_ns[one.frame_index]) for one in track)
    return times, tuple(number for one in track for number in (one.x, one.y, one.w, one.h))


def _added(correction: Correction, pts_ns: NDArray[np.int64]) -> list[Redaction]:
    frames = np.flatnonzero(shows_private_time(pts_ns, [(correction.start_ns, correction.end_ns)]))
    boxes = correction.boxes_at(pts_ns[frames])
    if correction.kind != PRIVATE_KIND:
        # As for detections: the ellipse that is hidden then holds the whole box, corners included.
        boxes += np.hstack([-boxes[:, 2:], 2 * boxes[:, 2:]]) * (MASK_SCALE - 1) / 2
    return [
        Redaction(frame, correction.track_id, correction.kind, x, y, w, h, REVIEWED, 1.0)
        for frame, (x, y, w, h) in zip(frames.tolist(), boxes.tolist(), strict=True)
    ]


def _lifted_by(
    redactions: Sequence[Redaction], removals: Sequence[Correction], pts_ns: NDArray[np.int64]
) -> dict[int, str]:
    """By place in the redactions, the removal that lifts it: in a frame the one most like what was removed, if any."""
    frame = np.array([one.frame_index for one in redactions])
    track = np.array([one.track_id for one in redactions])
    kind = np.array([one.kind for one in redactions])
    box = np.array([(one.x, one.y, one.w, one.h) for one in redactions])
    is_left = kind != PRIVATE_KIND
    t_ns = pts_ns[frame]
    lifted_by: dict[int, str] = {}
    for removal in removals:
        near = is_left & (kind == removal.kind) & (t_ns >= removal.start_ns) & (t_ns < removal.end_ns)
        places = np.flatnonzero(near)
        shared = _overlap(box[places], removal.boxes_at(t_ns[places]))
        lifted = places[_most_alike(frame[places], track[places], shared)]
        is_left[lifted] = False
        lifted_by |= dict.fromkeys(lifted.tolist(), removal.correction_id)
    return lifted_by


def _most_alike(frame: NDArray[np.int64], track: NDArray[np.int64], shared: NDArray[np.float64]) -> NDArray[np.intp]:
    """At most one index a frame: the greatest share among tracks that are at the removed thing's place throughout."""
    _, number = np.unique(track, return_inverse=True)
    throughout = np.bincount(number, weights=shared >= _SAME_IOU) / np.bincount(number) >= _SAME_SHARE
    order = np.lexsort((-shared, frame))
    order = order[((shared >= _SAME_IOU) & throughout[number])[order]]
    _, first = np.unique(frame[order], return_index=True)
    return np.asarray(order[first], np.intp)


def _sizes_by_track(lifted: Sequence[Lifted]) -> dict[int, tuple[float, float]]:
    """By track, what its thing may measure: boxes between detections are grown, and say little about it."""
    tracks: dict[int, list[Lifted]] = defaultdict(list)
    for one in lifted:
        tracks[one.track_id].append(one)
    sizes = {}
    for track_id, track in tracks.items():
        sides = [max(one.w, one.h) for one in track if one.source == "detected"] or [max(one.w, one.h) for one in track]
        sizes[track_id] = (min(sides) / _SIZE_RATIO, max(sides) * _SIZE_RATIO)
    return sizes


def _is_of_size(residual: Rectangle, least_px: float, greatest_px: float) -> bool:
    return least_px <= MASK_SCALE * max(residual.w, residual.h) <= greatest_px


def _inside_share(residual: Rectangle, box: Rectangle) -> float:
    shared_w = min(residual.x + residual.w, box.x + box.w) - max(residual.x, box.x)
    shared_h = min(residual.y + residual.h, box.y + box.h) - max(residual.y, box.y)
    return max(0.0, shared_w) * max(0.0, shared_h) / (residual.w * residual.h)


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union, row by row, of boxes x, y, w, h [N, 4]."""
    sides = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    return np.asarray(shared / (np.prod(a[:, 2:], axis=1) + np.prod(b[:, 2:], axis=1) - shared))
