"""Curves of what sensors and camera felt, small enough for a page: magnitudes, thinned by least and greatest value.

Which tables they come from is in `gathering`, how they are drawn in the page's template.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1_000_000, 1000
"""The drawing's own units: whole numbers that are finer than a frame in two hours, and than a pixel on any screen."""

_BINS = 6000
"""Places along a curve: two hours then take 120 kB, and zoomed in to a minute there is still a point a second."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity over time.

    Attributes:
        name: what it is called beside the others of its track.
        t_ns: int64 [N], increasing, session time.
        values: float64 [N]; NaN where there is nothing to show.
    """

    name: str
    t_ns: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """A curve as an SVG path in a box of `WIDTH` x `HEIGHT`."""

    name: str
    path: str


@dataclass(frozen=True)
class Track:
    """Curves on one scale.

    Attributes:
        name, unit: what is drawn.
        low, high: values at the lower and the upper edge.
    """

    name: str
    unit: str
    low: float
    high: float
    drawings: tuple[Drawing, ...]


def drawn_track(name: str, unit: str, curves: list[Curve], duration_ns: int) -> Track:
    """Curves on a common scale, from the least value of any to the greatest; flat where there is none."""
    finite = [curve.values[np.isfinite(curve.values)] for curve in curves]
    values = np.concatenate(finite) if finite else np.empty(0)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    drawings = tuple(Drawing(curve.name, _path(curve, duration_ns, low, high)) for curve in curves)
    return Track(name, unit, low, high, drawings)


def thinned(t_ns: NDArray[np.int64], values: NDArray[np.float64], duration_ns: int, bins: int) -> NDArray[np.intp]:
    """Which samples to keep so that a curve looks the same: of each bin of time the least and the greatest.

    Args:
        t_ns: int64 [N], increasing.
        values: float64 [N]; what is not finite is not kept, and what stands on its two sides is kept on each.
        duration_ns: what the bins divide.
        bins: how many; at most two samples are kept of each, and of each side of a hole in it.

    Returns:
        Indices, increasing.
    """
    index = np.flatnonzero(np.isfinite(values))
    if not len(index):
        return index
    place = t_ns[index] * bins // max(duration_ns, 1)
    hole = np.cumsum(~np.isfinite(values))[index]
    group = np.cumsum(np.diff(place, prepend=place[0]).astype(bool) | np.diff(hole, prepend=hole[0]).astype(bool))
    order = np.lexsort((values[index], group))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(starts[1:], len(group)) - 1
    kept: NDArray[np.intp] = index[np.unique(np.concatenate([order[starts], order[ends]]))]
    return kept


def _path(curve: Curve, duration_ns: int, low: float, high: float) -> str:
    kept = thinned(curve.t_ns, curve.values, duration_ns, _BINS)
    hole = np.cumsum(~np.isfinite(curve.values))[kept]
    x = np.rint(curve.t_ns[kept] / max(duration_ns, 1) * WIDTH).astype(np.int64)
    y = np.rint((high - curve.values[kept]) / (high - low if high > low else 1.0) * HEIGHT).astype(np.int64)
    begins = np.diff(hole, prepend=-1).astype(bool)
    points = zip(np.where(begins, "M", "L").tolist(), x.tolist(), y.tolist(), strict=True)
    return "".join(f"{command}{left} {top}" for command, left, top in points)
