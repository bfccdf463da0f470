"""Device clocks that were set while sampling went on: carried on from where they were, so that time increases and never
leaps by years. What the time is on the camera's clock is `sync`'s business.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_RESETS_MAX = 3
"""A clock is set when a device starts anew or learns the time. More often than that, rows are in disorder."""

_AHEAD_MIN_NS = 3_600_000_000_000
"""A device that learns the time jumps ahead by years; nobody's recording has a gap of an hour. Shorter jumps may be
gaps, which only the picture can tell."""

PAUSE_NS = 1_000_000_000
"""Left between the last time before a reset and the first after it, so that nothing is interpolated across it."""

_EVEN_NS = 1_000_000_000
_EVEN_PERIODS = 5.0
"""For a second on both sides of a reset samples follow each other evenly; a row in the wrong place is followed by a
jump back to where time was, and one that is late by jitter goes back by less."""


def carried_on(t_device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The times with everything after a reset moved by a constant, to a second after the last time before it.

    Args:
        t_device_ns: int64 [N]; anything else is left to whoever checks the samples.

    Returns:
        int64 [N]; the same array where nothing was reset, or where going back looks like disorder instead.
    """
    if t_device_ns.ndim != 1 or t_device_ns.dtype != np.int64:
        return t_device_ns
    steps_ns = np.diff(t_device_ns)
    # As unsigned numbers steps back are the largest of all, and a step too long for int64 is one too.
    is_set = steps_ns.view(np.uint64) > _AHEAD_MIN_NS
    resets = np.flatnonzero(is_set)
    if not 0 < len(resets) <= _RESETS_MAX or is_set.all():
        return t_device_ns
    even_ns = _EVEN_PERIODS * float(np.median(steps_ns[~is_set]))
    is_slight = (steps_ns[resets] < 0) & (steps_ns[resets] > -even_ns)
    bounds = [0, *(int(index) + 1 for index in resets), len(t_device_ns)]
    runs = [t_device_ns[start:stop] for start, stop in pairwise(bounds)]
    if is_slight.any() or not all(
        _runs_on(times_ns, even_ns, follows=index > 0, precedes=index < len(resets))
        for index, times_ns in enumerate(runs)
    ):
        return t_device_ns
    moves_ns = np.zeros(len(t_device_ns), dtype=np.int64)
    moves_ns[resets + 1] = PAUSE_NS - steps_ns[resets]
    return np.asarray(t_device_ns + np.cumsum(moves_ns), dtype=np.int64)


def _runs_on(times_ns: NDArray[np.int64], even_ns: float, *, follows: bool, precedes: bool) -> bool:
    """Whether a run between resets is long enough, and even beside the reset that it follows or precedes."""
    is_begin = times_ns[:-1] - times_ns[0] < _EVEN_NS
    is_end = times_ns[-1] - times_ns[1:] < _EVEN_NS
    is_beside = (is_begin & follows) | (is_end & precedes)
    return bool(times_ns[-1] - times_ns[0] >= _EVEN_NS and (np.diff(times_ns)[is_beside] <= even_ns).all())
