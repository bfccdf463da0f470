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
    that the step may lie in belongs to neither side.
    """
    count = len(windows.lag_s)
    if count < 2 * _SIDE_MIN + 1:
        return None
    root = 1.0 / np.hypot(windows.sd_s, WINDOW_FLOOR_S)
    since = windows.centre_s - windows.centre_s.mean()
    best: tuple[float, int, float, float, float] | None = None
    for index in range(_SIDE_MIN, count - _SIDE_MIN):
        keep = np.arange(count) != index
        is_after = (np.arange(count) > index).astype(np.float64)[keep]
        one = np.column_stack([np.ones(count - 1), since[keep]])
        two = np.column_stack([1.0 - is_after, is_after, since[keep]])
        single, _ = _fit(one, windows.lag_s[keep], root[keep])
        double, (before, after, slope) = _fit(two, windows.lag_s[keep], root[keep])
        gain = single - double
        if abs(after - before) > _STEP_MIN_S and gain > max(_GAIN_MIN, best[0] if best else 0.0):
            best = gain, index, before, after, slope
    if best is None:
        return None
    _, index, before, after, slope = best
    centre_s = float(windows.centre_s.mean())
    return Step(float(windows.centre_s[index]), LagLine(centre_s, before, slope), LagLine(centre_s, after, slope))


def _fit(
    columns: NDArray[np.float64], lag_s: NDArray[np.float64], root: NDArray[np.float64]
) -> tuple[float, list[float]]:
    """Chi square and solution of weighted least squares, the last column under the prior."""
    prior = np.append(np.zeros(columns.shape[1] - 1), 1.0 / DRIFT_PRIOR)
    design = np.vstack([columns * root[:, None], prior])
    target = np.append(lag_s * root, 0.0)
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    return float(((target - design @ solution) ** 2).sum()), [float(value) for value in solution]
