"""What is hidden where, and the hiding itself: 8-bit luma and chroma planes, changed in place. No file is
opened here.

A redaction's box becomes an ellipse that is averaged down to at most four cells along its longer axis and
smoothed between them. That leaves about three cells across a face, far fewer than recognition needs, and
nothing to sharpen back. Who wants nothing of the person left, not even the colours, has it filled instead.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

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

_TESTED = 32
"""Points a side, at least, at which a hidden area is held against its surface: eight to a cell. With 64 the same
areas are called hidden, for three times the work."""

_ENOUGH = 100
"""Tested points of which one edge, sharpened by the encoder, does not make the mean."""

_PROBES = 24
"""Points a side at which coverage is sampled: 4 % of a box's side, finer than detections repeat."""


_Sampled = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[Any]]
"""The values of an array at some rows and columns, a grid: of a large one few are needed."""


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
        planes: uint8 planes, luma first; a smaller plane is subsampled by a whole factor.
        redactions: those of this frame, in any order; one of kind "private" turns the whole frame grey.
        how: what is put there.
    """
    if any(redaction.kind == PRIVATE_KIND for redaction in redactions):
        for plane in planes:
            plane[:] = _FLAT
        return
    for redaction in _in_order(redactions):
        for plane in planes:
            patch = _Patch.of(redaction, plane, planes[0])
            if patch is None:
                continue
            if how is Hiding.FILL:
                patch.view(plane)[:] = _FLAT
            else:
                np.copyto(patch.view(plane), patch.mosaic(plane), where=patch.mask())


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
    details = {id(one): _detail(luma, one, ordered[place + 1 :]) for place, one in enumerate(ordered)}
    return [details[id(redaction)] for redaction in redactions]


def covered_fraction(box: Rectangle, redactions: Sequence[Redaction]) -> float:
    """Share of a box, 0 to 1, that lies under the ellipses of the given redactions of its frame together."""
    if any(redaction.kind == PRIVATE_KIND for redaction in redactions):
        return 1.0
    steps = (np.arange(_PROBES) + 0.5) / _PROBES
    x, y = np.meshgrid(box.x + box.w * steps, box.y + box.h * steps)
    is_covered = np.zeros(x.shape, bool)
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
    cells: tuple[int, int]  # columns, rows: the order cv2 wants

    @classmethod
    def of(cls, redaction: Redaction, plane: NDArray[np.uint8], luma: NDArray[np.uint8]) -> Self | None:
        step_y = round(luma.shape[0] / plane.shape[0])
        step_x = round(luma.shape[1] / plane.shape[1])
        centre_x, centre_y, radius_x, radius_y = _ellipse(redaction)
        columns = _span((centre_x - radius_x) / step_x, (centre_x + radius_x) / step_x, plane.shape[1])
        rows = _span((centre_y - radius_y) / step_y, (centre_y + radius_y) / step_y, plane.shape[0])
        if columns is None or rows is None:
            return None
        cell_px = max(_MIN_CELL_PX, 2 * max(radius_x, radius_y) / _CELLS)
        cells = (
            max(1, int((columns.stop - columns.start) * step_x / cell_px)),
            max(1, int((rows.stop - rows.start) * step_y / cell_px)),
        )
        return cls(redaction, rows, columns, (step_y, step_x), cells)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def mask(self) -> NDArray[np.bool_]:
        return self.is_inside(self.redaction, *map(np.arange, self.shape))

    def is_inside(self, redaction: Redaction, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether the pixels in some of the patch's rows and columns, a grid, lie under a redaction's ellipse."""
        y = (self.rows.start + rows + 0.5) * self.steps[0]
        x = (self.columns.start + columns + 0.5) * self.steps[1]
        return _inside(redaction, x[None, :], y[:, None])

    def view(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return plane[self.rows, self.columns]

    def mosaic(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        height, width = self.shape
        cells = cv2.resize(self.view(plane), self.cells, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)

    def surface(self, sampled: _Sampled, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
        """The smooth surface through the values at the cell centres, at some of the patch's rows and columns."""
        lengths = list(zip(self.shape, self.cells[::-1], strict=True))
        centres = [(np.arange(cells) + 0.5) * length / cells - 0.5 for length, cells in lengths]
        pixels = [
            (at + 0.5) * cells / length - 0.5 for at, (length, cells) in zip((rows, columns), lengths, strict=True)
        ]
        at_centres = _bilinear(sampled, self.shape, *centres)
        return _bilinear(lambda y, x: at_centres[np.ix_(y, x)], at_centres.shape, *pixels)


def _detail(luma: NDArray[np.uint8], redaction: Redaction, hidden_later: Sequence[Redaction]) -> float:
    patch = _Patch.of(redaction, luma, luma)
    if patch is None:
        return 0.0

    def is_own(rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.bool_]:
        own = patch.is_inside(redaction, rows, columns)
        for later in hidden_later:
            own &= ~patch.is_inside(later, rows, columns)
        return own

    if min(patch.shape) < _MIN_CELL_PX:
        # Under one cell the surface bends between neighbouring pixels, and is not found again.
        return math.inf if is_own(*map(np.arange, patch.shape)).any() else 0.0
    values = patch.view(luma)
    step = max(1, min(patch.shape) // _TESTED)
    while True:
        rows, columns = (np.arange(0, length, step) for length in patch.shape)
        mask = is_own(rows, columns)
        is_testable = mask & (patch.surface(is_own, rows, columns) > _FULLY_HIDDEN)
        if step == 1 or np.count_nonzero(is_testable) >= _ENOUGH:
            break
        step = max(1, step // 2)  # nearly all lies under later ones
    if not is_testable.any():
        return math.inf if mask.any() else 0.0  # what is wholly under later ones, these answer for
    surface = patch.surface(lambda y, x: values[np.ix_(y, x)], rows, columns)
    return float(np.abs(values[np.ix_(rows, columns)] - surface)[is_testable].mean())


def _bilinear(
    sampled: _Sampled, shape: tuple[int, ...], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values between the pixels of an array at rows `y` and columns `x` (a grid), as bilinear resizing has them."""
    (above, below, down), (left, right, aside) = (
        _neighbours(at, length) for at, length in zip((y, x), shape, strict=True)
    )
    upper = sampled(above, left) * (1 - aside) + sampled(above, right) * aside
    lower = sampled(below, left) * (1 - aside) + sampled(below, right) * aside
    return np.asarray(upper * (1 - down[:, None]) + lower * down[:, None])


def _neighbours(at: NDArray[np.float64], length: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    inside = np.clip(at, 0, length - 1)
    before = inside.astype(np.intp)
    return before, np.minimum(before + 1, length - 1), inside - before


def _in_order(redactions: Sequence[Redaction]) -> list[Redaction]:
    return sorted(redactions, key=lambda redaction: (redaction.track_id, redaction.x, redaction.y))


def _ellipse(redaction: Redaction) -> tuple[float, float, float, float]:
    # Of the coded picture: where the display is turned, the neck lies elsewhere, and a cheek is hidden wider.
    neck = _NECK if redaction.kind == FACE_KIND else 0.0
    half_w, half_h = redaction.w / 2, redaction.h * (1 + neck) / 2
    return redaction.x + half_w, redaction.y + half_h, half_w * _ELLIPSE_SCALE, half_h * _ELLIPSE_SCALE


def _inside(redaction: Redaction, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    centre_x, centre_y, radius_x, radius_y = _ellipse(redaction)
    return np.asarray(((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 <= 1.0)


def _span(start: float, stop: float, length: int) -> slice | None:
    first, last = max(0, math.floor(start)), min(length, math.ceil(stop))
    return slice(first, last) if first < last else None
