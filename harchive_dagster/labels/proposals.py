"""Proposals from head motion alone: idle, head_turn, locomotion or manipulation. Hands need pictures.

Simple thresholds on a few physical features; each threshold says where it comes from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.layers import ACTIVITIES
from harchive_dagster.labels.segments import Segment, make_segment

MODEL_NAME = "head-motion-thresholds"
MODEL_VERSION = "1.0.0"

_CELL_NS = 50_000_000  # 20 Hz: four times the top of the gait band
_CELL_HZ = 1e9 / _CELL_NS
_GRAVITY_S = 2.0  # longer than a step, shorter than a change of posture
_TURN_S = 0.5  # a glance to the side lasts about this long
_STILLNESS_S = 1.0
_GAIT_S = 2.0  # three to five steps
_GAIT_BAND_HZ = (1.5, 2.5)  # cadence of adults, 90 to 150 steps a minute
# Half-way points of the scores:
_TURN_RAD_S = 0.6  # 35 deg/s held for half a second; sway while walking stays under 0.3
_GAIT_RMS_M_S2 = 0.5  # the head bobs with 1 m/s^2 and more even in a slow walk
_GAIT_SHARE = 0.4  # of all vertical motion; hammering and chopping spread over other rates
_STILL_GYRO_RAD_S = 0.1  # a resting head sways by a few hundredths
_STILL_ACCEL_M_S2 = 0.25
_SWITCH_MARGIN = 0.15  # hysteresis: another activity must be this much better to take over
_MIN_DURATION_S = 0.5
_LONGEST_GAP_S = 1.0  # nothing is said about time further than half of this from any sample
_MIN_CONFIDENCE = 0.01


@dataclass(frozen=True)
class _Cells:
    """Motion on a regular grid of `_CELL_NS`: the means of the samples in each cell, holes interpolated."""

    accel: NDArray[np.float64]
    gyro: NDArray[np.float64]
    is_measured: NDArray[np.bool_]


def propose_activity(t_ns: NDArray[np.int64], accel: NDArray[np.float64], gyro: NDArray[np.float64]) -> list[Segment]:
    """Propose the activity layer from the head's motion.

    Args:
        t_ns: int64 [N], session time, increasing; any rate from about 10 Hz on.
        accel: [N, 3] specific force in m/s^2, in any axes that it shares with `gyro`.
        gyro: [N, 3] in rad/s. Samples with a value that is not finite count as missing.

    Returns:
        Segments without overlaps, in order, within [t_ns[0], t_ns[-1] + one sampling step). Empty under one second.
        Time without samples has no segment.

    Raises:
        ValueError: the arrays' shapes do not belong together.
    """
    count = len(t_ns)
    if accel.shape != (count, 3) or gyro.shape != (count, 3):
        raise ValueError(f"accel {accel.shape} and gyro {gyro.shape} must both be ({count}, 3)")
    is_finite = np.isfinite(accel).all(axis=1) & np.isfinite(gyro).all(axis=1)
    t_ns, accel, gyro = t_ns[is_finite], accel[is_finite], gyro[is_finite]
    if len(t_ns) < 2 or t_ns[-1] - t_ns[0] < 1_000_000_000:
        return []
    end_ns = int(t_ns[-1] + np.median(np.diff(t_ns)))
    cells = _on_grid(t_ns, accel, gyro, end_ns)
    scores = _scores(cells)
    segments = []
    for first, last, activity in _runs(_decided(scores, cells.is_measured)):
        start_ns = int(t_ns[0]) + first * _CELL_NS
        confidence = float(np.mean(scores[first:last, activity]))
        segments.append(
            make_segment(
                layer="activity",
                interval=(start_ns, min(int(t_ns[0]) + last * _CELL_NS, end_ns)),
                label=ACTIVITIES[activity],
                source="model",
                confidence=float(np.clip(confidence, _MIN_CONFIDENCE, 1.0)),
                model=MODEL_NAME,
                model_version=MODEL_VERSION,
            )
        )
    return segments


def _on_grid(t_ns: NDArray[np.int64], accel: NDArray[np.float64], gyro: NDArray[np.float64], end_ns: int) -> _Cells:
    count = -(-(end_ns - int(t_ns[0])) // _CELL_NS)
    cell = (t_ns - t_ns[0]) // _CELL_NS
    samples = np.bincount(cell, minlength=count)
    is_filled = samples > 0
    filled = np.flatnonzero(is_filled)

    def mean(column: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(cell, weights=column, minlength=count)
        return np.interp(np.arange(count), filled, sums[filled] / samples[filled])

    reach = int(_LONGEST_GAP_S / 2 * _CELL_HZ)
    near = np.convolve(is_filled, np.ones(2 * reach + 1), mode="full")[reach : reach + count] > 0.5
    return _Cells(
        accel=np.column_stack([mean(axis) for axis in accel.T]),
        gyro=np.column_stack([mean(axis) for axis in gyro.T]),
        is_measured=near,
    )


def _rolling_mean(values: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Centred mean along the first axis; at the ends over what there is."""
    half = max(1, round(seconds * _CELL_HZ / 2))
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


def _score(value: NDArray[np.float64], half_way: float) -> NDArray[np.float64]:
    """0 to 1, 0.5 at `half_way`, steep around it."""
    squared = value**2
    score: NDArray[np.float64] = squared / (squared + half_way**2)
    return score


def _scores(cells: _Cells) -> NDArray[np.float64]:
    """How well each of `ACTIVITIES` explains each cell, [cells, 4] in [0, 1]."""
    gravity = _rolling_mean(cells.accel, _GRAVITY_S)
    up = gravity / np.maximum(np.linalg.norm(gravity, axis=1, keepdims=True), 1e-6)
    dynamic = cells.accel - gravity
    is_turning = _score(_rolling_mean((cells.gyro * up).sum(axis=1), _TURN_S), _TURN_RAD_S)
    is_walking = _gait_score((dynamic * up).sum(axis=1))
    is_moving = np.maximum(
        _score(_rolling_rms(np.linalg.norm(cells.gyro, axis=1), _STILLNESS_S), _STILL_GYRO_RAD_S),
        _score(_rolling_rms(np.linalg.norm(dynamic, axis=1), _STILLNESS_S), _STILL_ACCEL_M_S2),
    )
    # Manipulation is what is left: the head moves, but neither turns nor walks.
    is_working = is_moving * (1 - is_turning) * (1 - is_walking)
    return np.column_stack([1 - is_moving, is_turning, is_walking, is_working])


def _gait_score(vertical: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import butter, sosfiltfilt

    band = butter(2, _GAIT_BAND_HZ, btype="bandpass", fs=_CELL_HZ, output="sos")
    # Half a second of odd padding keeps the ends quiet; the input is at least a second long.
    in_band = _rolling_rms(sosfiltfilt(band, vertical, padlen=round(_CELL_HZ / 2)), _GAIT_S)
    share = in_band**2 / np.maximum(_rolling_rms(vertical, _GAIT_S) ** 2, 1e-9)
    score: NDArray[np.float64] = _score(in_band, _GAIT_RMS_M_S2) * np.clip(share / _GAIT_SHARE, 0.0, 1.0)
    return score


def _decided(scores: NDArray[np.float64], is_measured: NDArray[np.bool_]) -> list[int]:
    """The activity of each cell, with hysteresis; -1 where nothing was measured."""
    best = np.argmax(scores, axis=1)
    decided: list[int] = []
    current = -1
    for index, candidate in enumerate(best.tolist()):
        if not is_measured[index]:
            current = -1
        elif current < 0 or scores[index, candidate] > scores[index, current] + _SWITCH_MARGIN:
            current = candidate
        decided.append(current)
    return decided


def _runs(decided: list[int]) -> list[tuple[int, int, int]]:
    """Runs (first cell, cell after the last, activity). One shorter than the minimum joins the run before it."""
    shortest = round(_MIN_DURATION_S * _CELL_HZ)
    runs: list[tuple[int, int, int]] = []
    first = 0
    for index in range(1, len(decided) + 1):
        if index < len(decided) and decided[index] == decided[first]:
            continue
        _append_run(runs, (first, index, decided[first]), shortest)
        first = index
    return [run for run in runs if run[2] >= 0 and run[1] - run[0] >= shortest]


def _append_run(runs: list[tuple[int, int, int]], run: tuple[int, int, int], shortest: int) -> None:
    first, last, activity = run
    before = runs[-1] if runs else None
    if before is None or activity < 0 or before[2] < 0:
        runs.append(run)
    elif last - first < shortest or activity == before[2]:
        runs[-1] = (before[0], last, before[2])
    elif before[1] - before[0] < shortest:  # the first run after a start or a hole has none before it to join
        runs[-1] = (before[0], last, activity)
    else:
        runs.append(run)
