"""What is hidden where, and the hiding itself: 8-bit luma and chroma planes, changed in place. No file is
opened here.

A redaction's box becomes an ellipse that is averaged down to at most four cells along its longer axis and
smoothed between them. That leaves about three cells across a face, far fewer than recognition needs, and
nothing to sharpen back. Who wants nothing of the person left, not even the colours, has it filled instead.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.detection import Rectangle
from harchive_dagster.privacy.hiding import Hiding

if TYPE_CHECKING:
    import av

SOURCES = ("detected", "tracked", "interpolated", "padded", "private_time", "reviewed")
"""How a redaction's box is known: the `source` column of the redactions table."""

PRIVATE_KIND = "private"
FACE_KIND = "face"

_ELLIPSE_SCALE = 1.1
"""Semi-axes over half a box. Tracking enlarges a detection 1.3 times, and 1.3 * 1.1 > sqrt(2): the ellipse
then holds the whole detected box, corners included."""

_NECK = 0.3
"""Of its height, by which a face's box is lengthened downwards: over chin, neck and collar. A face detector at full
size takes a collar under a hidden head for a face: in 141 pictures of a person in a space suit 83 times at 0.2 or more,
and up to 0.52. Lengthened by 0.1 it does so 65 times up to 0.55, by 0.2 27 times up to 0.33, by 0.3 6 times up to 0.28.
Coarser cells (up to 0.61), a wider ellipse (0.52) and grey (0.57) do not help."""

_CELLS = 4
"""Along the longer axis of the ellipse. With six, face detectors still report the blob on a pair of shoulders
as a face (score 0.8), which no audit could tell from a miss without looking closer; with four they do not
(below 0.45)."""

_MIN_CELL_PX = 4.0
"""A tiny face gets fewer, not smaller, cells."""

_FLAT = 128
"""Mid grey and no colour, in limited and in full range."""

_FULLY_HIDDEN = 0.999
"""Bilinear weight above which a pixel depends on hidden cell centres only."""

_PARTS = 128
"""Of a semi-axis, whose squares 16 bits hold. The border of an ellipse is so exact to a 16000th of its size."""

_TESTED = 32
"""Points a side, at least, at which a hidden area is held against its surface: eight to a cell. With 64 the same
areas are called hidden, for three times the work."""

_ENOUGH = 100
"""Tested points of which one edge, sharpened by the encoder, does not make the mean."""

_PROBES = 24
"""Points a side at which coverage is sampled: 4 % of a box's side, finer than detections repeat."""


@dataclass(frozen=True)
class Redaction:
    """One thing to hide in one frame, in pixels of the coded picture (display rotation not applied).

    Attributes:
        frame_index: in presentation order, from 0.
        track_id: unique in its session; the same thing over time.
        kind: face | text | screen | plate | person, or private for a whole frame.
        x, y: top-left corner; may lie outside the picture. Boxes are not clipped to it.
        w, h: size.
        source: one of SOURCES.
        score: of the detection it rests on; 1 for private time and for what a reviewer added.
    """

    frame_index: int
    track_id: int
    kind: str
    x: float
    y: float
    w: float
    h: float
    source: str
    score: float

    def __post_init__(self) -> None:
        if self.frame_index < 0:
            raise ValueError(f"frame_index is {self.frame_index}, expected 0 or more")
        if not (math.isfinite(self.x + self.y + self.w + self.h) and self.w > 0 and self.h > 0):
            raise ValueError(f"box ({self.x}, {self.y}, {self.w}, {self.h}) is empty or not finite")
        if self.source not in SOURCES:
            raise ValueError(f"source is {self.source!r}, expected one of {SOURCES}")


def planes_of(frame: "av.VideoFrame") -> list[NDArray[np.uint8]]:
    """Writable views of an 8-bit planar frame's planes, luma first, without the padding at the end of each line."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]


def hide(planes: Sequence[NDArray[np.uint8]], redactions: Sequence[Redaction], how: Hiding = Hiding.MOSAIC) -> None:
    """Hide one frame's redactions in place.

    Args:
        planes: uint8 planes, luma first, without gaps in their rows; a smaller plane is subsampled by a whole factor,
            four at most.
        redactions: those of this frame, in any order; one of kind "private" turns the whole frame grey.
        how: what is put there.
    """
    if any(redaction.kind == PRIVATE_KIND for redaction in redactions):
        for plane in planes:
            plane[:] = _FLAT
        return
    by_shape: dict[tuple[int, ...], list[NDArray[np.uint8]]] = defaultdict(list)
    for plane in planes:
        by_shape[plane.shape].append(plane)
    for redaction in _in_order(redactions):
        for shape, alike in by_shape.items():
            patch = _Patch.of(redaction, shape, planes[0].shape)
            if patch is None:
                continue
            views = [plane[patch.rows, patch.columns] for plane in alike]
            if how is Hiding.FILL:
                for view in views:
                    view[:] = _FLAT
            else:
                patch.blur(views)


def detail_left(luma: NDArray[np.uint8], redactions: Sequence[Redaction]) -> list[float]:
    """How far a rendered frame is from being hidden where it should be.

    What `hide` leaves is the bilinear surface through its cell centres. So the surface is rebuilt from the
    rendered picture at these centres alone; a hidden area equals it up to what the encoder changed, a face
    does not.

    Args:
        luma: uint8 [H, W] of the rendered frame.
        redactions: those of this frame.

    Returns:
        For each redaction, in the given order, the mean absolute difference in grey levels (0-255); 0 where
        it lies outside the picture, infinite where it is too small or too overlapped to tell.
    """
    if any(redaction.kind == PRIVATE_KIND for redaction in redactions):
        difference = float(np.abs(luma.astype(np.int16) - _FLAT).mean())
        return [difference] * len(redactions)
    ordered = _in_order(redactions)
    patches = [_Patch.of(one, luma.shape, luma.shape) for one in ordered]
    details = {
        id(one): 0.0 if patch is None else _detail(luma, patch, patch.overlapped(patches[place:]))
        for place, (one, patch) in enumerate(zip(ordered, patches, strict=True), start=1)
    }
    return [details[id(redaction)] for redaction in redactions]


def covered_fraction(box: Rectangle, redactions: Sequence[Redaction]) -> float:
    """Share of a box, 0 to 1, that lies under the ellipses of the given redactions of its frame together."""
    if any(redaction.kind == PRIVATE_KIND for redaction in redactions):
        return 1.0
    steps = (np.arange(_PROBES) + 0.5) / _PROBES
    x, y = box.x + box.w * steps, box.y + box.h * steps
    is_covered = np.zeros((_PROBES, _PROBES), bool)
    for redaction in redactions:
        is_covered |= _inside(redaction, x, y)
    return float(is_covered.mean())


@dataclass(frozen=True, eq=False)
class _Patch:
    """The part of one plane under one redaction: its rows and columns, how many luma pixels each of its pixels takes,
    and the mosaic's grid.
    """

    redaction: Redaction
    rows: slice
    columns: slice
    steps: tuple[int, int]  # down and across
    cells: tuple[int, int]  # down and across

    @classmethod
    def of(cls, redaction: Redaction, shape: tuple[int, ...], luma_shape: tuple[int, ...]) -> Self | None:
        step_y = round(luma_shape[0] / shape[0])
        step_x = round(luma_shape[1] / shape[1])
        centre_x, centre_y, radius_x, radius_y = _ellipse(redaction)
        columns = _span((centre_x - radius_x) / step_x, (centre_x + radius_x) / step_x, shape[1])
        rows = _span((centre_y - radius_y) / step_y, (centre_y + radius_y) / step_y, shape[0])
        if columns is None or rows is None:
            return None
        cell_px = max(_MIN_CELL_PX, 2 * max(radius_x, radius_y) / _CELLS)
        cells = (
            max(1, int((rows.stop - rows.start) * step_y / cell_px)),
            max(1, int((columns.stop - columns.start) * step_x / cell_px)),
        )
        return cls(redaction, rows, columns, (step_y, step_x), cells)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def overlapped(self, others: "Sequence[_Patch | None]") -> list[Redaction]:
        """Redactions of those patches of the same plane that share pixels with this one."""
        return [other.redaction for other in others if other is not None and self._overlaps(other)]

    def _overlaps(self, other: "_Patch") -> bool:
        return all(
            own.start < its.stop and its.start < own.stop
            for own, its in ((self.rows, other.rows), (self.columns, other.columns))
        )

    def is_own(
        self, hidden_later: Sequence[Redaction], rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        """Whether the pixels in some of the patch's rows and columns, a grid, lie under its redaction's ellipse and
        under none of those hidden later.
        """
        y = (self.rows.start + rows + 0.5) * self.steps[0]
        x = (self.columns.start + columns + 0.5) * self.steps[1]
        own = _inside(self.redaction, x, y)
        for later in hidden_later:
            own &= ~_inside(later, x, y)
        return own

    def blur(self, views: Sequence[NDArray[np.uint8]]) -> None:
        """Put the surface through its cells into views of the patch in planes of one size."""
        import cv2

        height, width = self.shape
        mask = self.is_own((), np.arange(height), np.arange(width)).view(np.uint8)
        for view in views:
            surface = cv2.resize(_averaged(view, self.cells), (width, height), interpolation=cv2.INTER_LINEAR)
            cv2.copyTo(surface, mask, view)


def _averaged(view: NDArray[np.uint8], cells: tuple[int, int]) -> NDArray[np.uint8]:
    """The mean of each cell, of all its pixels. In whole rows down first, which is ten times as fast as INTER_AREA over
    both axes. A cell has a row at least, for no plane is subsampled by more than `_MIN_CELL_PX`.
    """
    import cv2

    down, across = cells
    edges = [at * len(view) // down for at in range(down + 1)]
    bands = [cv2.reduce(view[start:stop], 0, cv2.REDUCE_AVG, dtype=cv2.CV_8U) for start, stop in pairwise(edges)]
    return np.asarray(cv2.resize(np.concatenate(bands), (across, down), interpolation=cv2.INTER_AREA), np.uint8)


def _detail(luma: NDArray[np.uint8], patch: _Patch, hidden_later: Sequence[Redaction]) -> float:
    down, across = (_Axis.of(length, cells) for length, cells in zip(patch.shape, patch.cells, strict=True))
    near = patch.is_own(hidden_later, down.near, across.near)
    # Under one cell the surface bends between neighbouring pixels, and is not found again.
    if min(patch.shape) < _MIN_CELL_PX or not near.any():
        # What is wholly under later ones, these answer for.
        return math.inf if patch.is_own(hidden_later, *map(np.arange, patch.shape)).any() else 0.0
    values = luma[patch.rows, patch.columns]
    step = max(1, min(patch.shape) // _TESTED)
    while True:
        own = patch.is_own(hidden_later, *(np.arange(0, length, step) for length in patch.shape))
        weights = down.weights(step), across.weights(step).T
        is_testable = own & (weights[0] @ near @ weights[1] > _FULLY_HIDDEN)
        count = np.count_nonzero(is_testable)
        if step == 1 or count >= _ENOUGH:
            break
        step = max(1, step // 2)  # nearly all lies under later ones
    if not count:
        return math.inf if own.any() else 0.0
    surface = weights[0] @ values[np.ix_(down.near, across.near)] @ weights[1]
    return float((np.abs(values[::step, ::step] - surface) * is_testable).sum() / count)


@dataclass(frozen=True, eq=False)
class _Axis:
    """One axis of a patch, and how the smooth surface through its cell centres comes about along it.

    Attributes:
        length: pixels.
        cells: of the mosaic.
        near: places of the pixels beside the centres: those before all of them, then those after.
        share: float64 [cells], of the pixels after.
    """

    length: int
    cells: int
    near: NDArray[np.intp]
    share: NDArray[np.float64]

    @classmethod
    def of(cls, length: int, cells: int) -> Self:
        centres = (np.arange(cells, dtype=np.float64) + 0.5) * (length / cells) - 0.5
        before = centres.astype(np.intp)
        return cls(length, cells, np.concatenate([before, np.minimum(before + 1, length - 1)]), centres - before)

    def weights(self, step: int) -> NDArray[np.float64]:
        """Float64 [N, 2 * cells]: of the pixels near the centres in every step-th of the N places, as bilinear
        resizing has it.
        """
        along = (np.arange(0, self.length, step) + 0.5) * (self.cells / self.length) - 0.5
        clipped = np.minimum(np.maximum(along, 0), self.cells - 1)
        between = np.maximum(1 - np.abs(clipped[:, None] - np.arange(self.cells)), 0)
        return np.concatenate([between * (1 - self.share), between * self.share], axis=1)


def _in_order(redactions: Sequence[Redaction]) -> list[Redaction]:
    return sorted(redactions, key=lambda redaction: (redaction.track_id, redaction.x, redaction.y))


def _ellipse(redaction: Redaction) -> tuple[float, float, float, float]:
    # Of the coded picture: where the display is turned, the neck lies elsewhere, and a cheek is hidden wider.
    neck = _NECK if redaction.kind == FACE_KIND else 0.0
    half_w, half_h = redaction.w / 2, redaction.h * (1 + neck) / 2
    return redaction.x + half_w, redaction.y + half_h, half_w * _ELLIPSE_SCALE, half_h * _ELLIPSE_SCALE


def _inside(redaction: Redaction, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the points at columns `x` and rows `y`, a grid, lie under an ellipse."""
    centre_x, centre_y, radius_x, radius_y = _ellipse(redaction)
    across = ((x - centre_x) * (_PARTS / radius_x)) ** 2
    left = _PARTS**2 - ((y - centre_y) * (_PARTS / radius_y)) ** 2
    # One comparison of small integers a point, for it is much of what hiding costs. Both sides are rounded alike: no
    # point under the ellipse is lost.
    return np.asarray(np.minimum(across, 32767).astype(np.int16) <= np.maximum(left, -1).astype(np.int16)[:, None])


def _span(start: float, stop: float, length: int) -> slice | None:
    first, last = max(0, math.floor(start)), min(length, math.ceil(stop))
    return slice(first, last) if first < last else None
