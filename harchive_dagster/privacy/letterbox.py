"""Puts a picture into a network's input without stretching it, and boxes back. Which network it is matters not here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fitted:
    """A picture as a network sees it.

    Attributes:
        picture: uint8 [h, w, 3], at most as large as the source.
        scale: input pixels per source pixel, across and down; they differ by rounding only.
    """

    picture: NDArray[np.uint8]
    scale: tuple[float, float]

    def at_source(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes [N, 4] (x, y, w, h) of the input, in pixels of the source."""
        return np.asarray(boxes / np.array(self.scale * 2), np.float64)

    def canvas(self, width_px: int, height_px: int) -> NDArray[np.uint8]:
        """uint8 [height, width, 3] with the picture in the upper left corner and zeros around it."""
        import cv2

        rows, columns = self.picture.shape[:2]
        border = (0, height_px - rows, 0, width_px - columns)
        return np.asarray(cv2.copyMakeBorder(self.picture, *border, cv2.BORDER_CONSTANT), np.uint8)

    def planes(self, width_px: int, height_px: int) -> NDArray[np.float32]:
        """The canvas as float32 [1, 3, height, width]."""
        import cv2

        # Split first: half the time of a transposed copy.
        return np.array(cv2.split(self.canvas(width_px, height_px)), np.float32)[None]


def fit(rgb: NDArray[np.uint8], width_px: int, height_px: int) -> Fitted:
    """Scale a picture down (never up) with its proportions kept until it fits.

    Stretching loses faces in portrait video; enlarging costs time and finds nothing new.
    """
    import cv2

    source_h, source_w = rgb.shape[:2]
    scale = min(1.0, width_px / source_w, height_px / source_h)
    if scale == 1.0:
        return Fitted(rgb, (1.0, 1.0))
    size = max(1, round(source_w * scale)), max(1, round(source_h * scale))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Fitted(small, (size[0] / source_w, size[1] / source_h))


def fit_turned(rgb: NDArray[np.uint8], long_px: int, short_px: int) -> Fitted:
    """As `fit`, into an input that is as upright as the picture."""
    is_upright = rgb.shape[0] > rgb.shape[1]
    return fit(rgb, *((short_px, long_px) if is_upright else (long_px, short_px)))


def next_step(length_px: int, step_px: int) -> int:
    """The least multiple of a network's step that holds a length."""
    return -(-length_px // step_px) * step_px
