"""How usable one picture is: sharpness, exposure, obstruction. Measured on a small luma picture; no thresholds on
sessions here, the gates decide what is good enough.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_BLACK, _WHITE = 4, 251
"""Sensor noise keeps clipped pixels a few levels off the ends."""

_GRID = 8
"""Blocks a side: one block is about a palm's width at arm's length in a head-worn picture."""

_CELLS = 6
"""Cells a side of a block: averages of some 50 px, in which the noise of a dark sensor drowns."""

_TEXTURE_MIN = 1.5
"""Standard deviation of a block's cells about their plane. Noise of 5 levels leaves 0.7; walls with any grain or edge
lie above 2."""

_DARK_MEAN = 40.0
_UNIFORM_STD = 12.0
"""A palm or cloth on the lens is dark, or glows evenly; a smooth but real scene still shades across a block."""


@dataclass(frozen=True)
class PictureQuality:
    """Figures of one picture; units as in `FrameObservations`."""

    sharpness: float
    luma_mean: float
    luma_std: float
    clipped_fraction: float
    obstructed_fraction: float


NOT_LOOKED_AT = PictureQuality(0.0, 0.0, 0.0, 0.0, 0.0)
"""What private time leaves behind."""


def measure_quality(luma: NDArray[np.uint8]) -> PictureQuality:
    """Measure one picture.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000). Figures compare only between
    pictures of the same size.

    Args:
        luma: uint8 [h, w], full range, small (about 480 px on the longer side).

    Returns:
        The figures of the picture.
    """
    import cv2

    _, spread = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    mean, std = cv2.meanStdDev(luma)
    clipped = np.count_nonzero((luma <= _BLACK) | (luma >= _WHITE)) / luma.size
    return PictureQuality(
        sharpness=float(np.ravel(spread)[0]) ** 2,
        luma_mean=float(np.ravel(mean)[0]),
        luma_std=float(np.ravel(std)[0]),
        clipped_fraction=float(clipped),
        obstructed_fraction=_obstructed_fraction(luma),
    )


def _obstructed_fraction(luma: NDArray[np.uint8]) -> float:
    """Share of blocks without texture that are dark or of one even tone."""
    import cv2

    side = _GRID * _CELLS
    averaged = cv2.resize(luma, (side, side), interpolation=cv2.INTER_AREA).astype(np.float64)
    tiles = averaged.reshape(_GRID, _CELLS, _GRID, _CELLS).swapaxes(1, 2)
    blocks = tiles.reshape(_GRID * _GRID, _CELLS * _CELLS)
    # Light falls off evenly under a palm: a plane is no texture. The basis is orthonormal and its first vector is
    # constant, so that squares can be taken apart.
    level, across, down = (blocks @ _planes()).T ** 2 / blocks.shape[1]
    variance = np.einsum("ij,ij->i", blocks, blocks) / blocks.shape[1] - level
    is_flat = (level < _DARK_MEAN**2) | (variance < _UNIFORM_STD**2)
    is_smooth = variance - across - down < _TEXTURE_MIN**2
    return float(np.count_nonzero(is_smooth & is_flat) / len(blocks))


@cache
def _planes() -> NDArray[np.float64]:
    """An orthonormal basis [cells, 3] of all planes over a block's cells."""
    row, column = np.divmod(np.arange(_CELLS * _CELLS), _CELLS)
    return np.linalg.qr(np.column_stack([np.ones(len(row)), row, column]))[0]
