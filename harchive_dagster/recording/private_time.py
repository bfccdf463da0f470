"""Which frames show private time. What becomes of them is decided by whoever asks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def shows_private_time(pts_ns: NDArray[np.int64], intervals_ns: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Whether each frame of one video is on screen at any moment of the intervals.

    A frame stays on screen until the next one, so the frame that an interval starts in belongs to it.

    Args:
        pts_ns: int64 [N], increasing session time.
        intervals_ns: half-open [start, end) in session time.
    """
    is_private = np.zeros(len(pts_ns), dtype=np.bool_)
    shown_until_ns = np.append(pts_ns[1:], np.iinfo(np.int64).max)
    for start_ns, end_ns in intervals_ns:
        is_private |= (pts_ns < end_ns) & (shown_until_ns > start_ns)
    return is_private
