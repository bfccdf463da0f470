"""Where the audit looks: at which frames, at which part of them, and why. Nothing is decoded or judged here."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.detection import Rectangle
from harchive_dagster.privacy.redaction import PRIVATE_KIND, Redaction
from harchive_dagster.privacy.rendering import RenderedGroup

_WHOLE_APART_NS = (700_000_000, 900_000_000)
"""Whoever was overlooked for a second is met by a look at the whole picture, for half a second three in five times. The
distance is a matter of chance, so that looks fall between detection's frames. At detection's size each takes 55 ms:
2.3 ms a frame at 30 frames/s."""

_LATEST_NS = 1_100_000_000
"""Where groups of a second were copied, the next look may wait as long for the group's second picture: to decode two is
a tenth of the time of decoding half a group, and detection, which looks at key frames, has not seen the second."""

_LEAST_WHOLE = 6
"""A clip of seconds is looked at as often as one of six."""

_WINDOW_EACH, _WINDOW_EACH_COPIED = 2, 6
"""Every so many looks at a whole picture, a part of it as large as detection's input is looked at in full size: in an
input of the same shape. One look at all of a 1080p picture in full size takes as long as four windows, at another
network's session besides. Where groups were copied nothing was found and nothing was changed."""

_NEAR_EVERY_NS = 500_000_000
"""Inside a track, one look at its surroundings. Tried with redactions that were spoilt on purpose (late, early, small,
cut at their ends, with gaps): three looks at each end and one a second inside notice a tenth less, and are more looks
at tracks of less than three seconds."""

_BEFORE_START, _AFTER_END = (1,), (1, 2)
"""Frames before a track's first one and after its last: people report faces that slip through there. A second look
after the end notices some that the first does not; a second before the start, or one at the end itself, hardly any."""

NEAR_PX = 256
"""Side of the surroundings that are looked at, at least. At full size they take 6 ms."""

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
        """The square around a box, moved into the picture: of one shape at the border, too, where a network would
        have to be set up for each other one.
        """
        side = int(min(_near_side(box), width_px, height_px))
        x0 = int(np.clip(box.x + (box.w - side) / 2, 0, width_px - side))
        y0 = int(np.clip(box.y + (box.h - side) / 2, 0, height_px - side))
        return cls(x0, y0, x0 + side, y0 + side)

    @classmethod
    def window(cls, at: tuple[float, float], size_px: tuple[int, int], width_px: int, height_px: int) -> "Area":
        """A part of a picture, of a size in pixels; `at` says where, 0 at the left or upper border, 1 at the other."""
        width, height = min(size_px[0], width_px), min(size_px[1], height_px)
        x0, y0 = round(at[0] * (width_px - width)), round(at[1] * (height_px - height))
        return cls(x0, y0, x0 + width, y0 + height)


@dataclass(frozen=True)
class Look:
    """One picture, or a part of it, that the audit searches.

    Attributes:
        frame_index: of the rendered file.
        why: in a few words, for the contact sheet.
        near: the redaction whose surroundings are searched; None for the whole picture or a window.
        risk: 0 to 1, how much a person would want to see it.
        window: where a part is searched at full size, as `Area.window` has it.
    """

    frame_index: int
    why: str
    near: Redaction | None
    risk: float
    window: tuple[float, float] | None = None

    @property
    def is_whole(self) -> bool:
        """The whole picture is searched, at the size that detection uses."""
        return self.near is None and self.window is None


def plan_looks(
    pts_ns: NDArray[np.int64],
    redactions: Sequence[Redaction],
    groups: Sequence[RenderedGroup],
    *,
    motion_px: NDArray[np.float64],
    seed: int,
) -> dict[int, list[Look]]:
    """Looks by frame, denser around tracks.

    Whole pictures at detection's size at chance times, every 0.8 s on average (six at least; where groups were copied
    about every second), and the first and the last one; in every second of them (every sixth of copied ones) a window
    at full size, at a chance place. The surroundings of every track beside both its ends, and twice a second
    in between, where the camera moves fastest; and where its score is lowest.

    Args:
        pts_ns: int64 [N], N >= 1, session time of the frames.
        redactions: what was to be hidden.
        groups: of the rendered file.
        motion_px: float64 [N], displacement since the previous frame; not finite counts as none.
        seed: the same seed gives the same looks.
    """
    looks: dict[int, list[Look]] = defaultdict(list)
    random = np.random.default_rng(seed)
    copied = _Copied.of(groups, len(pts_ns))
    for number, frame in enumerate(_whole_frames(pts_ns, copied, random)):
        looks[frame].append(Look(frame, "chance", None, 0.0))
        # Drawn beyond the borders and cut there: else the picture's rim would hardly ever be in a window.
        x, y = np.clip(random.uniform(-0.5, 1.5, 2), 0.0, 1.0).tolist()
        if number % (_WINDOW_EACH_COPIED if copied.is_copied[frame] else _WINDOW_EACH) == 0:
            looks[frame].append(Look(frame, "full size", None, 0.0, (x, y)))
    tracks: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions:
        if redaction.kind != PRIVATE_KIND:
            tracks[redaction.track_id].append(redaction)
    for track in tracks.values():
        for look in _along(sorted(track, key=lambda one: one.frame_index), pts_ns, np.nan_to_num(motion_px)):
            looks[look.frame_index] = _with(look, looks[look.frame_index])
    return dict(looks)


@dataclass(frozen=True, eq=False)
class _Copied:
    """Which frames were copied (bool [N]), and those that cost least: each copied group's second, which is decoded
    soonest, and the last of all, which is looked at anyway.
    """

    is_copied: NDArray[np.bool_]
    cheapest: NDArray[np.int64]

    @classmethod
    def of(cls, groups: Sequence[RenderedGroup], frame_count: int) -> "_Copied":
        is_copied = np.zeros(frame_count, bool)
        for group in groups:
            is_copied[group.first_frame : group.first_frame + group.frame_count] = group.is_copied
        seconds = [group.first_frame + min(1, group.frame_count - 1) for group in groups if group.is_copied]
        return cls(is_copied, np.array([*seconds, frame_count - 1], np.int64))


def _whole_frames(pts_ns: NDArray[np.int64], copied: _Copied, random: np.random.Generator) -> Iterator[int]:
    """Ascending, each once; the first and the last frame are among them."""
    share = min(1.0, float(pts_ns[-1] - pts_ns[0]) / (_LEAST_WHOLE * _WHOLE_APART_NS[1]))
    frame, last = 0, len(pts_ns) - 1
    while frame < last:
        yield frame
        due_ns = int(pts_ns[frame] + share * random.uniform(*_WHOLE_APART_NS))
        due = max(frame + 1, int(np.searchsorted(pts_ns, due_ns, side="right")) - 1)
        if due < last and copied.is_copied[due]:
            latest = int(np.searchsorted(pts_ns, pts_ns[frame] + int(share * _LATEST_NS), side="right")) - 1
            reachable = copied.cheapest[: np.searchsorted(copied.cheapest, latest, side="right")]
            due = int(reachable[-1]) if len(reachable) and reachable[-1] > frame else due
        frame = due
    yield last


def _along(track: list[Redaction], pts_ns: NDArray[np.int64], motion_px: NDArray[np.float64]) -> Iterator[Look]:
    first, last = track[0], track[-1]
    starts = [(first, first.frame_index - frames, "start") for frames in _BEFORE_START]
    for end, frame, name in [*starts, *((last, last.frame_index + frames, "end") for frames in _AFTER_END)]:
        if 0 <= frame < len(pts_ns):
            # A track that was seen only just is the one whose end may be wrong.
            yield Look(frame, f"{name} of track {end.track_id}", end, 0.5 + 0.3 * (1 - end.score))
    weakest = min(track, key=lambda one: one.score)
    yield Look(weakest.frame_index, f"weakest of track {weakest.track_id}", weakest, 0.9 - 0.5 * weakest.score)
    for part in _parts_of(track, pts_ns):
        fastest = max(part, key=lambda one: motion_px[one.frame_index])
        # Relative to what moves: a quarter of its own size in one frame leaves it hardly where it was looked for.
        share = min(1.0, motion_px[fastest.frame_index] / (0.25 * max(fastest.w, fastest.h)))
        yield Look(fastest.frame_index, f"fast motion, track {fastest.track_id}", fastest, 0.7 * share)


def _parts_of(track: list[Redaction], pts_ns: NDArray[np.int64]) -> Iterable[list[Redaction]]:
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
    apart_px = abs(a.x + a.w / 2 - b.x - b.w / 2) + abs(a.y + a.h / 2 - b.y - b.h / 2)
    return apart_px < min(_near_side(a), _near_side(b)) / 4


def _near_side(box: Rectangle) -> float:
    return max(NEAR_PX, _NEAR_SIZES * max(box.w, box.h))
