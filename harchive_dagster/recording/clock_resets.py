"""Device clocks that were set back while sampling went on: carried on, so that time increases again. What the time is
on the camera's clock is `sync`'s business.
"""

import numpy as np
from numpy.typing import NDArray

RESETS_MAX = 3
"""A clock is set when a device starts anew or learns the time. More often than that, rows are in disorder."""

PAUSE_NS = 1_000_000_000
"""Left between the last time before a reset and the first after it, so that nothing is interpolated across it."""

_EVEN_NS = 1_000_000_000
_EVEN_PERIODS = 5.0
"""For a second on both sides of a reset samples follow each other evenly; a row in the wrong place is followed by a
jump back to where time was."""


def carried_on(t_device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The times with everything after a reset moved on by a constant, to a second after the last time before it.

    Args:
        t_device_ns: int64 [N]; anything else is left to whoever checks the samples.

    Returns:
        int64 [N]; the same array where nothing was reset, or where going back looks like disorder instead.
    """
    if t_device_ns.ndim != 1 or t_device_ns.dtype != np.int64:
        return t_device_ns
    steps_ns = np.diff(t_device_ns)
    back = np.flatnonzero(t_device_ns[1:] <= t_device_ns[:-1])  # not by difference, which may overflow
    if not 0 < len(back) <= RESETS_MAX or not (steps_ns > 0).any():
        return t_device_ns
    longest_ns = _EVEN_PERIODS * float(np.median(steps_ns[steps_ns > 0]))
    bounds = [0, *(int(index) + 1 for index in back), len(t_device_ns)]
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        times_ns = t_device_ns[start:stop]
        inner_ns = np.diff(times_ns)
        is_begin = times_ns[:-1] - times_ns[0] < _EVEN_NS
        is_end = times_ns[-1] - times_ns[1:] < _EVEN_NS
        is_beside_reset = (is_begin & (start > 0)) | (is_end & (stop < len(t_device_ns)))
        if times_ns[-1] - times_ns[0] < _EVEN_NS or (inner_ns[is_beside_reset] > longest_ns).any():
            return t_device_ns
    moves_ns = np.zeros(len(t_device_ns), dtype=np.int64)
    moves_ns[back + 1] = PAUSE_NS - steps_ns[back]
    return np.asarray(t_device_ns + np.cumsum(moves_ns), dtype=np.int64)
