"""One depth picture, whatever it came in: a 16-bit gray PNG taken apart, and the figures that are kept of it."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_PICTURE_PX = 4096 * 4096
"""Four times the largest depth camera; 32 MB unpacked."""

MILLIMETRE_M = 0.001
"""What one count of a 16-bit picture means unless it is said otherwise (REP 118; RealSense, Kinect, Azure Kinect)."""

_PNG_START = struct.Struct(">8sI4sIIBB")
"""Signature; length and name of the first chunk; width, height, bit depth, colour type (W3C, PNG, 11.2.1)."""

PNG_START_BYTES = _PNG_START.size


def png_size(start: bytes) -> tuple[int, int]:
    """Rows and columns that a 16-bit gray PNG says it has; 0, 0 for anything else."""
    if len(start) < PNG_START_BYTES:
        return 0, 0
    signature, _, chunk, width, height, bits, colours = _PNG_START.unpack(start[:PNG_START_BYTES])
    is_gray16 = (signature, chunk, bits, colours) == (b"\x89PNG\r\n\x1a\n", b"IHDR", 16, 0)
    return (height, width) if is_gray16 else (0, 0)


def decoded_png(png: bytes) -> NDArray[np.uint16] | None:
    """The counts of a 16-bit gray PNG; None where it is not one, is too large, or is damaged."""
    import cv2

    height, width = png_size(png)
    if not 0 < height * width <= MAX_PICTURE_PX:  # before decoding: a small file may claim a huge picture
        return None
    try:
        picture: NDArray[Any] | None = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    is_whole = picture is not None and picture.dtype == np.uint16 and picture.shape == (height, width)
    return picture if is_whole else None


def figures(picture: NDArray[Any], unit_m: float) -> tuple[float, float, float, float]:
    """Share of pixels with a depth; least, median and greatest depth in metres, NaN where there is none.

    No depth is 0, and in pictures of floating point also NaN and infinity (REP 118).
    """
    counts = picture[np.isfinite(picture) & (picture != 0)]
    if not counts.size:
        return 0.0, np.nan, np.nan, np.nan
    least, middle, greatest = (float(count) * unit_m for count in (counts.min(), np.median(counts), counts.max()))
    return counts.size / picture.size, least, middle, greatest
