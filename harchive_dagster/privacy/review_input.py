"""Times and boxes as a reviewer writes them, checked against the recording. What they do is in `corrections`."""

import math
import re
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError

_MOMENT = re.compile(r"(?P<seconds>\d{1,6}(?:\.\d{1,9})?)s|(?P<frame>\d{1,9})f", re.ASCII)

PixelBox = tuple[float, float, float, float]
"""x, y, w, h in pixels of the coded picture."""


def interval_ns(first: str, last: str, pts_ns: NDArray[np.int64]) -> tuple[int, int]:
    """Half-open session time from two moments, each in seconds ("12.3s") or as a frame ("369f", counted from 0).

    A frame as the last moment belongs to the interval; seconds are its end.

    Raises:
        SettingsError: a moment is neither, lies behind the recording's last frame, or the end is not after the start.
    """
    start_ns, end_ns = moment_ns(first, pts_ns), moment_ns(last, pts_ns)
    if last.endswith("f"):
        end_ns += 1
    if end_ns <= start_ns:
        raise _unusable(f"the time from {first} to {last} is empty", "Give an end after the start.")
    return start_ns, end_ns


def moment_ns(text: str, pts_ns: NDArray[np.int64]) -> int:
    """Session time of one moment.

    Raises:
        SettingsError: it is no moment of the recording.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise _unusable(f"{text!a} is no time", "Write seconds as 12.3s and frames, counted from 0, as 369f.")
    frame = found["frame"]
    last_s = pts_ns[-1] * 1e-9
    t_ns = int(Decimal(found["seconds"]) * 10**9) if frame is None else -1
    # A second of grace: people round up where the recording ends.
    if t_ns > pts_ns[-1] + 10**9 or (frame is not None and int(frame) >= len(pts_ns)):
        raise _unusable(
            f"{text} lies behind the recording, whose last frame is {len(pts_ns) - 1}f at {last_s:.3f}s",
            "Give a time inside it.",
        )
    return t_ns if frame is None else int(pts_ns[int(frame)])


def require_box(box: PixelBox, width_px: int, height_px: int) -> None:
    """Refuse a box that hides nothing of a picture.

    Raises:
        SettingsError: it is empty, not finite or outside the picture.
    """
    x, y, w, h = box
    is_sound = all(map(math.isfinite, box)) and w > 0 and h > 0
    if not (is_sound and x < width_px and y < height_px and x + w > 0 and y + h > 0):
        raise _unusable(
            f"the box {x:g},{y:g},{w:g},{h:g} hides nothing of a picture of {width_px}x{height_px} px",
            "Give x,y,w,h in pixels of the picture as it is coded (before any display rotation).",
        )


def _unusable(what: str, mend: str) -> SettingsError:
    return SettingsError(f"Not a correction: {what}.", consequence="Nothing was put on record.", mend=mend)
