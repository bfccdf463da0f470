"""Offset and drift from many short windows, each timed on its own against a fixed map. The coarse search and the
verdict are made elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.sync.interval_rates import SampledSignal
from harchive_dagster.sync.lag_search import VisualRates, gyro_means, is_covered
from harchive_dagster.sync.mount import CAUCHY_SCALE

_WINDOW_S = (1.2, 8.0)
_WINDOWS_WANTED = 5
"""A 6 s clip gives four windows, a 20 s clip five of 4 s; from 40 s on windows have 8 s, where one alone is timed to
2 ms and a step of the clock is between two windows before long."""

_WINDOW_SCORE_MIN = 0.3
_WINDOW_SD_MAX_S = 0.008
_WINDOW_INTERVALS_MIN = 24

_REACH_STEP_S = 0.010
_REACH_BASE_S = 0.030
_REACH_PER_S = 400e-6
_REACH_MAX_S = 0.5
"""A window is looked for where 400 ppm could have carried it, but not farther: steps repeat after half a second."""

DRIFT_PRIOR = 100e-6
"""Standard deviation of the drift before anything is measured. Crystals differ by some 20 ppm, but sensors that time
their samples by an oscillator of their own by 100 and more."""

WINDOW_FLOOR_S = 0.0005
"""Windows differ by this much for reasons their noise does not show."""

_ROWS_S, _ROWS_LAST_S = 0.001, 3.0
"""With a rolling shutter the time that a picture tells is that of the rows where its features lie; they wander by a
sixteenth of the picture within seconds, which is 1 ms of 16."""

_BLOCK_S = 1.0
"""Tracking errors last for tenths of a second; blocks of this length are independent of each other."""

_SHARED_AXES_GAIN, _WINDOW_AXES_GAIN = 0.85, 0.7
"""Calibrated with benchmarks/sync.py, so that 95 % intervals hold the truth in 90 to 99 % of the trials: a good part of
how far the axes disagree is shared by all windows, some of it comes and goes between them."""


@dataclass(frozen=True, eq=False)
class WindowLags:
    """Every window that could be timed: centre, lag, standard deviation, in seconds of the session; [W] each.

    Attributes:
        locked_sd_s: of an error that all windows share.
    """

    centre_s: NDArray[np.float64]
    lag_s: NDArray[np.float64]
    sd_s: NDArray[np.float64]
    locked_sd_s: float = 0.0


@dataclass(frozen=True, eq=False)
class ClockLine:
    """`lag(t) = lag_s + slope * (t - centre_s)` over session time t.

    Attributes:
        centre_s: the windows' centre of gravity, where offset and drift are independent.
        lag_s: session time minus device time there.
        lag_sd_s: its standard uncertainty there.
        slope: 1e6 * slope is the drift in ppm of session time.
        slope_sd: its standard uncertainty, prior included.
    """

    centre_s: float
    lag_s: float
    lag_sd_s: float
    slope: float
    slope_sd: float

    def at(self, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lag at session times."""
        return self.lag_s + self.slope * (t_s - self.centre_s)

    def sd_at(self, t_s: float) -> float:
        """Standard uncertainty of the lag at a session time."""
        return float(np.hypot(self.lag_sd_s, self.slope_sd * (t_s - self.centre_s)))


def time_windows(visual: VisualRates, gyro: SampledSignal, mapping: NDArray[np.float64], line: ClockLine) -> WindowLags:
    """Time each window with the map held fixed.

    A grid around the line's prediction finds the right valley, Gauss-Newton its bottom; the curvature there gives the
    standard deviation. All windows are worked on at once.

    Args:
        visual: the visual rates.
        gyro: the high-passed gyro.
        mapping: 3 x 3, gyro row vectors times this give visual rates.
        line: where the windows are expected.

    Returns:
        The windows with enough motion to tell.
    """
    span_s = float(visual.edges_s[-1] - visual.edges_s[0])
    length_s = float(np.clip(span_s / _WINDOWS_WANTED, *_WINDOW_S))
    middles = (visual.edges_s[1:] + visual.edges_s[:-1]) / 2
    weight = _trust(visual, gyro, mapping, line.at(middles))
    window = _windows(middles, weight > 0, length_s)
    count = int(window.max()) + 1
    totals = _sums(window, weight, count)
    centre_s = _sums(window, weight * middles, count) / np.maximum(totals, 1.0)
    around = line.at(centre_s)

    def misfit(lag_s: NDArray[np.float64]) -> NDArray[np.float64]:
        error = visual.high_passed - gyro_means(visual.edges_s, gyro, lag_s[window]) @ mapping
        return _sums(window, weight * (error**2).sum(axis=1), count)

    reach_s = min(_REACH_BASE_S + _REACH_PER_S * span_s, _REACH_MAX_S)
    shifts = np.arange(-reach_s, reach_s + _REACH_STEP_S / 2, _REACH_STEP_S)
    lag_s = around + shifts[np.argmin([misfit(around + shift) for shift in shifts], axis=0)]
    for _ in range(6):
        pull, stiffness = _pulls(visual, gyro, mapping, weight, lag_s[window])
        step = _sums(window, pull.sum(axis=1), count) / np.maximum(_sums(window, stiffness, count), 1e-30)
        lag_s = lag_s + np.clip(step, -_REACH_STEP_S, _REACH_STEP_S)
    left = misfit(lag_s)
    energy = _sums(window, weight * (visual.high_passed**2).sum(axis=1), count)
    blocks = window * (1 + int(span_s / _BLOCK_S)) + (middles / _BLOCK_S).astype(np.intp)
    sd_s, locked_sd_s = _spread(visual, gyro, mapping, window, weight, lag_s, blocks)
    is_timed = (totals >= _WINDOW_INTERVALS_MIN) & (left < (1.0 - _WINDOW_SCORE_MIN) * energy)
    is_timed &= sd_s < _WINDOW_SD_MAX_S
    return WindowLags(centre_s[is_timed], lag_s[is_timed], sd_s[is_timed], locked_sd_s)


def fit_line(windows: WindowLags) -> ClockLine:
    """Robust line through the windows' lags: iterated Cauchy weights; the slope is then weighed against a prior.

    The prior (0 +- 50 ppm) decides where a recording is too short to show its drift, and is without effect where it
    is long: over 20 s the slope ends nearer to 0 with an uncertainty near 40 ppm, over minutes it follows the windows.
    The lag at the centre does not depend on it.

    Args:
        windows: at least one.
    """
    count = len(windows.lag_s)
    base = 1.0 / (windows.sd_s**2 + WINDOW_FLOOR_S**2)
    weight = base
    lag_s, slope, centre_s, information, excess = float(windows.lag_s[0]), 0.0, 0.0, 0.0, 1.0
    for _ in range(20):
        centre_s = float(np.average(windows.centre_s, weights=weight))
        since = windows.centre_s - centre_s
        lag_s = float(np.average(windows.lag_s, weights=weight))
        information = float((weight * since**2).sum())
        slope = float((weight * since * (windows.lag_s - lag_s)).sum()) / max(information, 1e-9)
        normed = (windows.lag_s - lag_s - slope * since) * np.sqrt(base)
        # Windows that scatter more than their noise says widen the weights and the uncertainty alike. Two parameters
        # were fitted to them.
        excess = max(1.0, 1.4826 * float(np.median(np.abs(normed))) * np.sqrt(count / max(count - 2.0, 0.5)))
        weight = base / (1.0 + (normed / (excess * CAUCHY_SCALE)) ** 2)
    variance = excess**2 / max(information, 1e-9)
    share = DRIFT_PRIOR**2 / (DRIFT_PRIOR**2 + variance)
    lag_sd_s = float(np.hypot(excess / np.sqrt(weight.sum()), windows.locked_sd_s))
    return ClockLine(centre_s, lag_s, lag_sd_s, share * slope, float(np.sqrt(share * variance)))


def _trust(
    visual: VisualRates, gyro: SampledSignal, mapping: NDArray[np.float64], lag_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cauchy weight of every interval: a near object that filled the picture for a moment must not move a window."""
    is_both = visual.is_usable & is_covered(visual.edges_s, gyro, lag_s)
    error = np.linalg.norm(visual.high_passed - gyro_means(visual.edges_s, gyro, lag_s) @ mapping, axis=1)
    scale = CAUCHY_SCALE * 1.4826 * float(np.median(error[is_both])) if is_both.any() else 1.0
    return np.where(is_both, 1.0 / (1.0 + (error / max(scale, 1e-9)) ** 2), 0.0)


def _windows(middles: NDArray[np.float64], is_used: NDArray[np.bool_], length_s: float) -> NDArray[np.intp]:
    """The window of every interval: equal stretches of what lies between the first and the last interval used."""
    used = np.flatnonzero(is_used)
    if not len(used):
        return np.zeros(len(middles), dtype=np.intp)
    first_s, last_s = middles[used[0]], middles[used[-1]]
    count = max(1, round((last_s - first_s) / length_s))
    share = (middles - first_s) / max(last_s - first_s, 1e-9) * count
    return np.asarray(np.clip(share, 0, count - 1), dtype=np.intp)


def _sums(window: NDArray[np.intp], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sum of the values of each window."""
    return np.bincount(window, values, count).astype(np.float64, copy=False)


def _pulls(
    visual: VisualRates,
    gyro: SampledSignal,
    mapping: NDArray[np.float64],
    weight: NDArray[np.float64],
    lag_s: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each interval contributes to the slope (by axis, [N, 3]) and to the curvature ([N]) of the misfit."""
    start_s, end_s = visual.edges_s[:-1] - lag_s, visual.edges_s[1:] - lag_s
    # The mean over an interval changes with the lag by the difference of the signal at the interval's ends.
    change = (gyro.value_at(start_s) - gyro.value_at(end_s)) / (end_s - start_s)[:, None] @ mapping
    error = visual.high_passed - gyro_means(visual.edges_s, gyro, lag_s) @ mapping
    return weight[:, None] * change * error, weight * (change**2).sum(axis=1)


def _spread(
    visual: VisualRates,
    gyro: SampledSignal,
    mapping: NDArray[np.float64],
    window: NDArray[np.intp],
    weight: NDArray[np.float64],
    lag_s: NDArray[np.float64],
    block: NDArray[np.intp],
) -> tuple[NDArray[np.float64], float]:
    """Standard deviation of each window's lag from the intervals' own pulls, which need not be independent.

    A sandwich estimate (White 1980) for independent intervals, widened by how much more the sums over blocks of the
    whole recording vary than independent intervals would let them. An error that all windows share shows in how far
    the three axes disagree: the same estimate with each axis for a block.
    """
    pulls, stiffness = _pulls(visual, gyro, mapping, weight, lag_s[window])
    pull = pulls.sum(axis=1)
    curvature = np.maximum(_sums(window, stiffness, len(lag_s)), 1e-30)
    inflation = max(1.0, float((np.bincount(block, pull) ** 2).sum() / max((pull**2).sum(), 1e-30)))
    by_axis = np.column_stack([_sums(window, column, len(lag_s)) for column in pulls.T])
    axes = 1.5 * (by_axis**2).sum(axis=1)
    shared = float(np.sqrt(1.5 * (by_axis.sum(axis=0) ** 2).sum()) / curvature.sum())
    alone = np.sqrt(inflation * _sums(window, pull**2, len(lag_s)) + _WINDOW_AXES_GAIN**2 * axes) / curvature
    span_s = float(visual.edges_s[-1] - visual.edges_s[0])
    rows_s = _ROWS_S * float(np.sqrt(_ROWS_LAST_S / (_ROWS_LAST_S + span_s)))
    return alone, float(np.hypot(_SHARED_AXES_GAIN * shared, rows_s))
