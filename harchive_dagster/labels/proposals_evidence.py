"""What speaks for each activity at each moment, from the head's motion. Cutting time into segments is for `proposals`.

Nothing here was learnt: a few physical quantities, each with the border that its comment gives a reason for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.layers import HEAD_TURN, IDLE, LOCOMOTION, MANIPULATION

CELL_NS = 50_000_000
"""Evidence is on a grid of 20 Hz: four times the top of the gait band."""

CELL_HZ = 1e9 / CELL_NS

MOVEMENTS = (IDLE, HEAD_TURN, LOCOMOTION, MANIPULATION)
"""The activities that the head's motion tells of, in the order of the columns."""

MAX_LOG_ODDS = 4.0
"""Odds of 50 to 1. What is clearer than that is not surer: it would only drown the other quantities."""

_GRAVITY_S = 2.0  # longer than a step, shorter than a change of posture
_POSTURE_S = 0.7  # the head is lifted and lowered more slowly; what the hands do shakes it faster
_STIRRING_S = 0.6
_TURN_S = 0.3  # half of a quick turn
_GAIT_S = 1.5  # two to four steps
_GAIT_BAND_HZ = (1.4, 2.6)  # cadence of adults, 84 to 156 steps a minute
_GAIT_SHARE = 0.6  # of all vertical motion; hammering and chopping spread over other rates
_LONGEST_GAP_S = 1.0  # nothing is said about time further than half of this from any sample
# Borders, where the odds are even, and how fast the odds change: the exponent of the quantity in them.
_STIRRING_RAD_S, _STIRRING_EXPONENT = 0.05, 3.0  # a resting head sways by 0.03, one above working hands by 0.15
_GAIT_M_S2, _GAIT_EXPONENT = 0.75, 4.0  # the head bobs with 1 m/s^2 and more even in a slow walk
_TURN_RAD_S, _TURN_EXPONENT = 0.75, 4.0  # 43 deg/s held for a third of a second; looking from hand to hand is slower
_SMALLEST = 1e-4  # of any quantity: a sensor that gives zeros has finite odds


@dataclass(frozen=True)
class _Cells:
    """Motion on a regular grid of `CELL_NS`: the means of the samples in each cell, holes interpolated."""

    accel: NDArray[np.float64]
    gyro: NDArray[np.float64]
    is_measured: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of N cells, the first of which starts at `start_ns`.

    Attributes:
        start_ns, end_ns: session time; the last cell may be cut short by the end.
        log_odds: float64 [N, 3], within ± `MAX_LOG_ODDS`: the head stirs, it bobs in the rhythm of steps, it turns
            about the vertical.
        is_measured: bool [N]; elsewhere there is no sample near.
    """

    start_ns: int
    end_ns: int
    log_odds: NDArray[np.float64]
    is_measured: NDArray[np.bool_]

    @property
    def log_shares(self) -> NDArray[np.float64]:
        """Float64 [N, 4], logarithms of what speaks for each of `MOVEMENTS`; their exponentials add up to 1.

        Whoever walks, walks, wherever the head turns meanwhile; whoever turns the head does that first; hands work
        where the head stirs and does neither.
        """
        stirs, walks, turns = (-np.logaddexp(0.0, -self.log_odds)).T
        rests, stays, looks_ahead = (-np.logaddexp(0.0, self.log_odds)).T
        return np.column_stack([stays + looks_ahead + rests, stays + turns, walks, stays + looks_ahead + stirs])


def weigh(t_ns: NDArray[np.int64], accel: NDArray[np.float64], gyro: NDArray[np.float64]) -> Evidence | None:
    """Weigh the head's motion.

    Args:
        t_ns: int64 [N], session time, increasing; any rate from about 10 Hz on.
        accel: [N, 3] specific force in m/s^2, in any axes that it shares with `gyro`.
        gyro: [N, 3] in rad/s. Samples with a value that is not finite count as missing.

    Returns:
        None of less than a second.
    """
    is_finite = np.isfinite(accel).all(axis=1) & np.isfinite(gyro).all(axis=1)
    t_ns, accel, gyro = t_ns[is_finite], accel[is_finite], gyro[is_finite]
    if len(t_ns) < 2 or t_ns[-1] - t_ns[0] < 1_000_000_000:
        return None
    end_ns = int(t_ns[-1] + np.median(np.diff(t_ns)))
    cells = _on_grid(t_ns, accel, gyro, end_ns)
    log_odds = np.clip(_log_odds(cells), -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return Evidence(int(t_ns[0]), end_ns, log_odds, cells.is_measured)


def _on_grid(t_ns: NDArray[np.int64], accel: NDArray[np.float64], gyro: NDArray[np.float64], end_ns: int) -> _Cells:
    count = -(-(end_ns - int(t_ns[0])) // CELL_NS)
    cell = (t_ns - t_ns[0]) // CELL_NS
    samples = np.bincount(cell, minlength=count)
    is_filled = samples > 0
    filled = np.flatnonzero(is_filled)

    def mean(column: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(cell, weights=column, minlength=count)
        return np.interp(np.arange(count), filled, sums[filled] / samples[filled])

    reach = int(_LONGEST_GAP_S / 2 * CELL_HZ)
    near = np.convolve(is_filled, np.ones(2 * reach + 1), mode="full")[reach : reach + count] > 0.5
    return _Cells(
        accel=np.column_stack([mean(axis) for axis in accel.T]),
        gyro=np.column_stack([mean(axis) for axis in gyro.T]),
        is_measured=near,
    )


def _log_odds(cells: _Cells) -> NDArray[np.float64]:
    gravity = _rolling_mean(cells.accel, _GRAVITY_S)
    up = gravity / np.maximum(np.linalg.norm(gravity, axis=1, keepdims=True), 1e-6)
    yaw = (cells.gyro * up).sum(axis=1)
    # Glances are turns about the vertical, which say nothing about hands.
    tilting = cells.gyro - up * yaw[:, None]
    tilting -= _rolling_mean(tilting, _POSTURE_S)
    stirring = _rolling_rms(np.linalg.norm(tilting, axis=1), _STIRRING_S)
    turning = np.abs(_rolling_mean(yaw, _TURN_S))
    bobbing = _bobbing(((cells.accel - gravity) * up).sum(axis=1))
    return np.column_stack(
        [
            _STIRRING_EXPONENT * np.log(np.maximum(stirring, _SMALLEST) / _STIRRING_RAD_S),
            _GAIT_EXPONENT * np.log(np.maximum(bobbing, _SMALLEST) / _GAIT_M_S2),
            _TURN_EXPONENT * np.log(np.maximum(turning, _SMALLEST) / _TURN_RAD_S),
        ]
    )


def _bobbing(vertical: NDArray[np.float64]) -> NDArray[np.float64]:
    """RMS of vertical motion in the rhythm of steps, m/s^2; less where most of the motion has another rhythm."""
    from scipy.signal import butter, sosfiltfilt

    band = butter(2, _GAIT_BAND_HZ, btype="bandpass", fs=CELL_HZ, output="sos")
    # Half a second of odd padding keeps the ends quiet; the input is at least a second long.
    in_band = _rolling_rms(sosfiltfilt(band, vertical, padlen=round(CELL_HZ / 2)), _GAIT_S)
    share = in_band**2 / np.maximum(_rolling_rms(vertical, _GAIT_S) ** 2, 1e-9)
    bobbing: NDArray[np.float64] = in_band * np.minimum(share / _GAIT_SHARE, 1.0)
    return bobbing


def _rolling_mean(values: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Centred mean along the first axis; at the ends over what there is."""
    half = max(1, round(seconds * CELL_HZ / 2))
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    width = (high - low).reshape(-1, *[1] * (values.ndim - 1))
    means: NDArray[np.float64] = (sums[high] - sums[low]) / width
    return means


def _rolling_rms(values: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    # A difference of running sums can fall a rounding error below zero.
    rms: NDArray[np.float64] = np.sqrt(np.maximum(_rolling_mean(values**2, seconds), 0.0))
    return rms
