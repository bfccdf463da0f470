"""Parts of decoded pictures in RGB, without converting the rest. What is looked for in them is `audit`'s business."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.audit_plan import Area
from harchive_dagster.privacy.redaction import planes_of

if TYPE_CHECKING:
    import av


def rgb_of(frame: "av.VideoFrame", area: Area) -> NDArray[np.uint8]:
    """An area of an 8-bit planar frame as uint8 [h, w, 3]: a square of 256 px takes a twentieth of all of 1080p."""
    import av

    if (area.x1 - area.x0, area.y1 - area.y0) == (frame.width, frame.height):
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    # Colour planes may have one value for two pixels: the part begins and ends at an even one.
    left, top = area.x0 // 2 * 2, area.y0 // 2 * 2
    right, bottom = min(area.x1 + area.x1 % 2, frame.width), min(area.y1 + area.y1 % 2, frame.height)
    part = av.VideoFrame(right - left, bottom - top, frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    luma = planes_of(frame)[0]
    for old, new in zip(planes_of(frame), planes_of(part), strict=True):
        x, y = left * old.shape[1] // luma.shape[1], top * old.shape[0] // luma.shape[0]
        new[:] = old[y : y + new.shape[0], x : x + new.shape[1]]
    rgb = np.asarray(part.to_ndarray(format="rgb24"), np.uint8)
    return np.ascontiguousarray(rgb[area.y0 - top : area.y1 - top, area.x0 - left : area.x1 - left])
