"""Where the audit looks: at which frames, at which part of them, and why. Nothing is decoded or judged here."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.detection import Rectangle
from harchive_dagster.privacy.redaction import PRIVATE_KIND, Redaction
from harchive_dagster.privacy.rendering import RenderedGroup

_WHOLE_EVERY_NS = 4_000_000_000
"""A look at a whole 1080p picture at full size takes 250 to 300 ms: 2.3 ms a frame at 30 frames/s."""

_COPIED_SHARE = 3
"""Every third of these looks is kept where groups were copied: nothing was found and nothing was changed there, and
each takes decoding half a group besides."""

_LEAST_WHOLE = 6
"""A clip of seconds is looked at as often as one of 24 s."""

_OVERVIEW_EVERY_NS = 900_000_000
"""Whoever was overlooked for a second is met by one of these looks. At detection's own size they take a quarter of the
time of full size; and no multiple of detection's usual distance, so that they fall between its frames."""

_NEAR_EVERY_NS = 1_000_000_000
"""Inside a track, one look at its surroundings."""

_BESIDE_ENDS = (-2, -1, 0)
"""Frames before a track's first one (and, mirrored, after its last): people report faces that slip through there."""

NEAR_PX = 320
"""Side of the surroundings that are looked at, at least. At full size they take 9 ms."""

_NEAR_SIZES = 2.5
"""And in sizes of what is hidden, so that an uncovered face beside it is seen whole."""


@dataclass(frozen=True)
class Area:
    """A part of a picture, in whole pixels: columns from x0 to x1, rows from y0 to y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def around(cls, box: Rectangle, width_px: int, height_px: int) -> "Area":
        """The square around a box, cut at the picture's border; a single pixel where it lies outside."""
        half = max(NEAR_PX, _NEAR_SIZES * max(box.w, box.h)) / 2
        x, y = box.x + box.w / 2, box.y + box.h / 2
        x0, y0 = int(np.clip(x - half, 0, width_px - 1)), int(np.clip(y - half, 0, height_px - 1))
        return cls(x0, y0, int(np.clip(x + half, x0 + 1, width_px)), int(np.clip(y + half, y0 + 1, height_px)))


@dataclass(frozen=True)
class Look:
    """One picture, or a part of it, that the audit searches.

    Attributes:
        frame_index: of the rendered file.
        why: in a few words, for the contact sheet.
        near: the redaction whose surroundings are searched; None for the whole picture.
        risk: 0 to 1, how much a person would want to see it.
        is_overview: the whole picture, at the size that detection uses.
    """

    frame_index: int
    why: str
    near: Redaction | None
    risk: float
    is_overview: bool = False


def plan_looks(
    pts_ns: NDArray[np.int64],
    redactions: Sequence[Redaction],
    groups: Sequence[RenderedGroup],
    *,
    motion_px: NDArray[np.float64],
    seed: int,
) -> dict[int, list[Look]]:
    """Looks by frame, denser around tracks.

    Whole pictures at full size at chance times, one every four seconds (six at least, and a third as many where groups
    were copied), and the first and the last one; at detection's size one every 0.9 s, copied or not. The surroundings
    of every track three frames from its ends on, and once every second in between, where the camera moves fastest; and
    where its score is lowest.

    Args:
        pts_ns: int64 [N], N >= 1, session time of the frames.
        redactions: what was to be hidden.
        groups: of the rendered file.
        motion_px: float64 [N], displacement since the previous frame; not finite counts as none.
        seed: the same seed gives the same looks.
    """
    looks: dict[int, list[Look]] = defaultdict(list)
    for frame in _whole_frames(pts_ns, groups, seed):
        looks[frame].append(Look(frame, "chance", None, 0.0))
    for frame in _overview_frames(pts_ns, seed):
        looks[frame] = looks[frame] or [Look(frame, "overview", None, 0.0, is_overview=True)]
    tracks: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions:
        if redaction.kind != PRIVATE_KIND:
            tracks[redaction.track_id].append(redaction)
    for track in tracks.values():
        for look in _along(sorted(track, key=lambda one: one.frame_index), pts_ns, np.nan_to_num(motion_px)):
            looks[look.frame_index] = _with(look, looks[look.frame_index])
    return dict(looks)


def _whole_frames(pts_ns: NDArray[np.int64], groups: Sequence[RenderedGroup], seed: int) -> Iterator[int]:
    random = np.random.default_rng(seed)
    is_copied = np.zeros(len(pts_ns), bool)
    for group in groups:
        is_copied[group.first_frame : group.first_frame + group.frame_count] = group.is_copied
    count = max(_LEAST_WHOLE, int((pts_ns[-1] - pts_ns[0]) // _WHOLE_EVERY_NS))
    edges = np.linspace(0, len(pts_ns), min(count, len(pts_ns)) + 1).astype(int)
    for number, (start, stop) in enumerate(pairwise(edges)):
        frame = int(random.integers(start, stop))
        if not is_copied[frame] or number % _COPIED_SHARE == 0:
            yield frame
    yield from {0, len(pts_ns) - 1}


def _overview_frames(pts_ns: NDArray[np.int64], seed: int) -> set[int]:
    phase_ns = int(np.random.default_rng([seed, 1]).integers(_OVERVIEW_EVERY_NS))
    times_ns = np.arange(int(pts_ns[0]) + phase_ns, int(pts_ns[-1]) + 1, _OVERVIEW_EVERY_NS)
    return set(np.searchsorted(pts_ns, times_ns).tolist())


def _along(track: list[Redaction], pts_ns: NDArray[np.int64], motion_px: NDArray[np.float64]) -> Iterator[Look]:
    first, last = track[0], track[-1]
    for step in _BESIDE_ENDS:
        for end, frame, name in ((first, first.frame_index + step, "start"), (last, last.frame_index - step, "end")):
            if 0 <= frame < len(pts_ns):
                # A track that was seen only just is the one whose end may be wrong.
                yield Look(frame, f"{name} of track {end.track_id}", end, 0.5 + 0.3 * (1 - end.score))
    weakest = min(track, key=lambda one: one.score)
    yield Look(weakest.frame_index, f"weakest of track {weakest.track_id}", weakest, 0.9 - 0.5 * weakest.score)
    for part in _seconds_of(track, pts_ns):
        fastest = max(part, key=lambda one: motion_px[one.frame_index])
        # Relative to what moves: a quarter of its own size in one frame leaves it hardly where it was looked for.
        share = min(1.0, motion_px[fastest.frame_index] / (0.25 * max(fastest.w, fastest.h)))
        yield Look(fastest.frame_index, f"fast motion, track {fastest.track_id}", fastest, 0.7 * share)


def _seconds_of(track: list[Redaction], pts_ns: NDArray[np.int64]) -> Iterable[list[Redaction]]:
    parts: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in track:
        since_ns = int(pts_ns[redaction.frame_index] - pts_ns[track[0].frame_index])
        parts[since_ns // _NEAR_EVERY_NS].append(redaction)
    return parts.values()


def _with(look: Look, others: list[Look]) -> list[Look]:
    """The looks at one frame and one more; of two at the same thing the riskier."""
    same = [other for other in others if _is_close(look, other)]
    if any(other.risk >= look.risk for other in same):
        return others
    return [other for other in others if other not in same] + [look]


def _is_close(look: Look, other: Look) -> bool:
    # A quarter of the side of the surroundings: what is no farther away lies well inside them.
    a, b = look.near, other.near
    if a is None or b is None:
        return False
    return abs(a.x + a.w / 2 - b.x - b.w / 2) + abs(a.y + a.h / 2 - b.y - b.h / 2) < NEAR_PX / 4
