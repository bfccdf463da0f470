"""Do the windows of a line form two lines? Finds steps too small to be searched for; nothing is aligned here."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.sync.clock_line import DRIFT_PRIOR, WINDOW_FLOOR_S, WindowLags
from harchive_dagster.sync.section_lags import LagLine

_SIDE_MIN = 2
_GAIN_MIN = 25.0
"""Drop of chi square, five standard deviations. A step too many costs little, one missed halves into every error."""

_STEP_MIN_S = 0.005
"""Between walking and sitting the lag itself differs by up to 3 ms: parallax while walking is locked to the steps."""


class Step(NamedTuple):
    """Where the lag steps, and the lines on both sides."""

    at_s: float
    before: LagLine
    after: LagLine


def find_step(windows: WindowLags) -> Step | None:
    """The most likely step, or None.

    Two levels with one slope against one level with a slope; the slope is held by the prior of the drift. The window
    that the step may lie in belongs to neither side. All places are tried at once.
    """
    count = len(windows.lag_s)
    if count < 2 * _SIDE_MIN + 1:
        return None
    weight = 1.0 / (windows.sd_s**2 + WINDOW_FLOOR_S**2)
    centre_s, level_s = float(windows.centre_s.mean()), float(windows.lag_s.mean())
    since, lag_s = windows.centre_s - centre_s, windows.lag_s - level_s
    places = np.arange(_SIDE_MIN, count - _SIDE_MIN)
    # Of each window: its weight, and its weighted time, lag, time², time x lag.
    moments = weight * np.stack([np.ones(count), since, lag_s, since**2, since * lag_s])
    total = np.concatenate([np.zeros((5, 1)), np.cumsum(moments, axis=1)], axis=1)
    before, after = total[:, places], total[:, -1:] - total[:, places + 1]
    levels = _solve([before, after])
    gain = levels.explained - _solve([before + after]).explained
    step_s = levels.solution[:, 1] - levels.solution[:, 0]
    gain = np.where(np.abs(step_s) > _STEP_MIN_S, gain, 0.0)
    best = int(np.argmax(gain))
    if gain[best] <= _GAIN_MIN:
        return None
    first, second, slope = (float(value) for value in levels.solution[best])
    sides = (LagLine(centre_s, level_s + side, slope) for side in (first, second))
    return Step(float(windows.centre_s[places[best]]), *sides)


class _Solved(NamedTuple):
    """Weighted least squares at P places: drop of chi square [P], levels and slope [P, G + 1]."""

    explained: NDArray[np.float64]
    solution: NDArray[np.float64]


def _solve(groups: list[NDArray[np.float64]]) -> _Solved:
    """One level per group and a common slope, from the groups' moments ([5, P] each)."""
    size = len(groups)
    normal = np.zeros((groups[0].shape[1], size + 1, size + 1))
    target = np.zeros((groups[0].shape[1], size + 1))
    normal[:, size, size] = DRIFT_PRIOR**-2
    for index, (ones, time, lag, time_time, time_lag) in enumerate(groups):
        normal[:, index, index] = ones
        normal[:, index, size] = normal[:, size, index] = time
        normal[:, size, size] += time_time
        target[:, index] = lag
        target[:, size] += time_lag
    solution = np.linalg.solve(normal, target[..., None])[..., 0]
    return _Solved((solution * target).sum(axis=1), solution.astype(np.float64, copy=False))
