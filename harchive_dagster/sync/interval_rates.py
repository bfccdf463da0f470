"""Exact means of sampled signals over any time interval, and the high-pass that both clocks' signals share. Knows
neither video nor inertial sensors.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

HIGH_PASS_S = 1.0
"""Mean over this long is subtracted: removes gyro bias and slow visual error, keeps head turns and steps."""


@dataclass(frozen=True, eq=False)
class SampledSignal:
    """A signal given by samples, linear in between and constant beyond its ends.

    Its integral is known exactly, so its mean over any interval is too: no resampling grid, no aliasing, and
    variable frame rates need no special case.

    Args:
        t_s: float64 [N], strictly increasing, N >= 2.
        values: float64 [N, C].
    """

    t_s: NDArray[np.float64]
    values: NDArray[np.float64]
    _total: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        trapezoids = 0.5 * (self.values[1:] + self.values[:-1]) * np.diff(self.t_s)[:, None]
        total = np.vstack([np.zeros((1, self.values.shape[1])), np.cumsum(trapezoids, axis=0)])
        object.__setattr__(self, "_total", total)

    def integral_at(self, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Integral from the first sample to `t_s` ([...]); returns [..., C]."""
        left, into, slope = self._locate(t_s)
        inside = np.clip(into, 0.0, None)
        at_left = self.values[left]
        # Before the first sample `into` is negative and the value constant; after the last the slope is zero.
        linear = self._total[left] + at_left * into[..., None]
        return np.asarray(linear + 0.5 * slope * (inside**2)[..., None], dtype=np.float64)

    def value_at(self, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Linear interpolation at `t_s` ([...]); returns [..., C]."""
        left, into, slope = self._locate(t_s)
        return np.asarray(self.values[left] + slope * np.clip(into, 0.0, None)[..., None], dtype=np.float64)

    def mean_between(self, start_s: NDArray[np.float64], end_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Exact mean over [start, end) ([...], start < end); returns [..., C]."""
        return (self.integral_at(end_s) - self.integral_at(start_s)) / (end_s - start_s)[..., None]

    def high_passed(self) -> "SampledSignal":
        """The signal minus its centred moving mean over `HIGH_PASS_S` (zero phase)."""
        half = HIGH_PASS_S / 2
        return SampledSignal(self.t_s, self.values - self.mean_between(self.t_s - half, self.t_s + half))

    def _locate(self, t_s: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        left = np.clip(np.searchsorted(self.t_s, t_s, side="right") - 1, 0, len(self.t_s) - 1)
        right = np.minimum(left + 1, len(self.t_s) - 1)
        width = np.where(right > left, self.t_s[right] - self.t_s[left], 1.0)
        slope = (self.values[right] - self.values[left]) / width[..., None]
        return left, t_s - self.t_s[left], slope


def high_pass_steps(
    edges_s: NDArray[np.float64], rates: NDArray[np.float64], is_valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """High-pass rates that are constant over the intervals between `edges_s`, as `SampledSignal.high_passed` does.

    Args:
        edges_s: float64 [N + 1], strictly increasing.
        rates: float64 [N, C].
        is_valid: bool [N]; other rates are bridged linearly before the mean is taken.

    Returns:
        The high-passed rates, and where they can be trusted: valid themselves, a whole window inside the recording,
        and at least four fifths of that window valid.
    """
    widths = np.diff(edges_s)
    middles = edges_s[:-1] + widths / 2
    index = np.flatnonzero(is_valid)
    if not len(index):
        return np.zeros_like(rates), np.zeros_like(is_valid)
    bridged = np.column_stack([np.interp(middles, middles[index], column[index]) for column in rates.T])
    columns = np.column_stack([bridged, is_valid])
    total = np.vstack([np.zeros((1, columns.shape[1])), np.cumsum(columns * widths[:, None], axis=0)])
    low, high = middles - HIGH_PASS_S / 2, middles + HIGH_PASS_S / 2

    def total_at(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([np.interp(t_s, edges_s, column) for column in total.T])

    inside = np.minimum(high, edges_s[-1]) - np.maximum(low, edges_s[0])
    means = (total_at(high) - total_at(low)) / inside[:, None]
    is_whole = (low >= edges_s[0]) & (high <= edges_s[-1])
    return bridged - means[:, :-1], is_valid & is_whole & (means[:, -1] >= 0.8)
