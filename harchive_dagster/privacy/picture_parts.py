"""Parts of decoded pictures in RGB, without converting the rest. What is looked for in them is `audit`'s business."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.audit_plan import Area
from harchive_dagster.privacy.redaction import planes_of
from harchive_dagster.recording.decoding import in_rgb

if TYPE_CHECKING:
    import av


def rgb_of(frame: "av.VideoFrame", area: Area, *, most_px: int | None = None) -> NDArray[np.uint8]:
    """An area of an 8-bit planar frame as uint8 [h, w, 3], converted without the rest of the picture.

    Args:
        frame: decoded.
        area: of it.
        most_px: a longer side is scaled down to it before the colours are converted: a square of 877 px costs 0.6 ms
            so, scaled after it 3 ms.
    """
    width, height = area.x1 - area.x0, area.y1 - area.y0
    scale = 1.0 if most_px is None else min(1.0, most_px / max(width, height))
    # Colour planes may have one value for two pixels: the part begins and ends at an even one.
    left, top = area.x0 // 2 * 2, area.y0 // 2 * 2
    right, bottom = min(area.x1 + area.x1 % 2, frame.width), min(area.y1 + area.y1 % 2, frame.height)
    part = _part_of(frame, left, top, right, bottom)
    if scale < 1.0:
        # An odd border widens what is seen by a pixel, which is less than one of the small picture.
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        return in_rgb(part, (width, height))
    rgb = in_rgb(part)
    return np.ascontiguousarray(rgb[area.y0 - top : area.y1 - top, area.x0 - left : area.x1 - left])


def _part_of(frame: "av.VideoFrame", left: int, top: int, right: int, bottom: int) -> "av.VideoFrame":
    import av

    if (right - left, bottom - top) == (frame.width, frame.height):
        return frame
    part = av.VideoFrame(right - left, bottom - top, frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    luma = planes_of(frame)[0]
    for old, new in zip(planes_of(frame), planes_of(part), strict=True):
        x, y = left * old.shape[1] // luma.shape[1], top * old.shape[0] // luma.shape[0]
        new[:] = old[y : y + new.shape[0], x : x + new.shape[1]]
    return part
