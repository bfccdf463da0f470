"""Other ways to cut a recording into activities, which benchmarks/proposals.py compares with the pipeline's.

All but the first get the same evidence and name their stretches by the same rule, so that only the cuts differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.layers import HEAD_TURN, IDLE, LOCOMOTION, MANIPULATION
from harchive_dagster.labels.proposals import MIN_DURATION_NS, Proposal, Stretch, runs_of
from harchive_dagster.labels.proposals_evidence import CELL_HZ, CELL_NS, Evidence

MIN_CELLS = MIN_DURATION_NS // CELL_NS


@dataclass(frozen=True)
class Rival:
    """A way to cut, and the values of its one parameter that are tried."""

    name: str
    cut: Callable[[float, Evidence], list[Stretch]]
    values: tuple[float, ...]

    def with_value(self, value: float) -> Callable[[Evidence], list[Stretch]]:
        """The way to cut with that value."""
        return partial(self.cut, value)


def _measured(evidence: Evidence, inside: Callable[[NDArray[np.float64]], list[int]]) -> list[Stretch]:
    """Cuts of each measured stretch's log-odds, as stretches."""
    stretches: list[Stretch] = []
    for first, last in runs_of(evidence.is_measured):
        edges = [first, *(first + cut for cut in inside(evidence.log_odds[first:last])), last]
        stretches += pairwise(edges)
    return stretches


def _windows(threshold: float, evidence: Evidence) -> list[Stretch]:
    """Where the means of the 0.8 s before and after differ most, and by more than the threshold."""
    from scipy.signal import find_peaks

    half = round(0.8 * CELL_HZ)

    def inside(log_odds: NDArray[np.float64]) -> list[int]:
        if len(log_odds) <= 2 * half:
            return []
        sums = np.concatenate([np.zeros((1, log_odds.shape[1])), np.cumsum(1 / (1 + np.exp(-log_odds)), axis=0)])
        middle = np.arange(half, len(log_odds) - half)
        apart = np.zeros(len(log_odds))
        apart[middle] = np.linalg.norm(sums[middle + half] - 2 * sums[middle] + sums[middle - half], axis=1) / half
        return find_peaks(apart, height=threshold, distance=half)[0].tolist()

    return _measured(evidence, inside)


def _ruptures(method: str, penalty: float, evidence: Evidence) -> list[Stretch]:
    import ruptures

    def inside(log_odds: NDArray[np.float64]) -> list[int]:
        search = {
            "rbf": lambda: ruptures.KernelCPD(kernel="rbf", min_size=MIN_CELLS, params={"gamma": 1 / 16}),
            "cosine": lambda: ruptures.KernelCPD(kernel="cosine", min_size=MIN_CELLS),
            "bottom-up": lambda: ruptures.BottomUp(model="l2", min_size=MIN_CELLS, jump=2),
            "pelt": lambda: ruptures.KernelCPD(kernel="linear", min_size=MIN_CELLS),
        }[method]()
        if len(log_odds) < 2 * MIN_CELLS:
            return []
        return [int(end) for end in search.fit(log_odds).predict(pen=penalty)[:-1]]

    return _measured(evidence, inside)


def _cheapest_labels(penalty: float, evidence: Evidence) -> list[Stretch]:
    """The labelling with most evidence when every change costs the penalty (Viterbi)."""
    stretches: list[Stretch] = []
    for first, last in runs_of(evidence.is_measured):
        path = _viterbi(evidence.log_shares[first:last], penalty)
        edges = [first, *(first + np.flatnonzero(np.diff(path)) + 1).tolist(), last]
        stretches += pairwise(edges)
    return stretches


def _viterbi(log_shares: NDArray[np.float64], penalty: float) -> NDArray[np.int64]:
    count, size = log_shares.shape
    came_from = np.tile(np.arange(size), (count, 1))
    best = log_shares[0].copy()
    for index in range(1, count):
        leader = int(np.argmax(best))
        changed = best[leader] - penalty
        came_from[index, best < changed] = leader
        best = np.maximum(best, changed) + log_shares[index]
    path = np.empty(count, dtype=np.int64)
    path[-1] = np.argmax(best)
    for index in range(count - 1, 0, -1):
        path[index - 1] = came_from[index, path[index]]
    return path


CHOSEN = Rival("ruptures, PELT (the pipeline's)", partial(_ruptures, "pelt"), (60.0, 90.0, 120.0, 150.0))

RIVALS = (
    Rival("means of windows differ", _windows, (0.2, 0.3, 0.4, 0.5, 0.6)),
    Rival("cheapest labels (Viterbi)", _cheapest_labels, (6.0, 8.0, 10.0, 12.0, 14.0)),
    Rival("ruptures, bottom-up", partial(_ruptures, "bottom-up"), (120.0, 150.0, 200.0, 300.0)),
    Rival("ruptures, kernel rbf", partial(_ruptures, "rbf"), (4.5, 6.0, 8.0, 11.0)),
    Rival("ruptures, kernel cosine", partial(_ruptures, "cosine"), (1.5, 3.0, 4.5, 6.0)),
    CHOSEN,
)


def thresholds(t_ns: NDArray[np.int64], accel: NDArray[np.float64], gyro: NDArray[np.float64]) -> list[Proposal]:
    """Version 1.0.0 of the proposals: scores by thresholds, hysteresis between them, short runs joined; no covers."""
    scores = _threshold_scores(*_means(t_ns, accel, gyro))
    names = (IDLE, HEAD_TURN, LOCOMOTION, MANIPULATION)
    decided, current = [], int(np.argmax(scores[0]))
    for row in scores:
        best = int(np.argmax(row))
        current = best if row[best] > row[current] + 0.15 else current
        decided.append(current)
    edges = [0, *(np.flatnonzero(np.diff(decided)) + 1).tolist(), len(decided)]
    runs: list[tuple[int, int, int]] = []
    for first, last in pairwise(edges):
        which = decided[first]
        if runs and (last - first < MIN_CELLS or runs[-1][2] == which):
            first, _, which = runs.pop()
        runs.append((first, last, which))
    zero = int(t_ns[0])
    return [
        Proposal(zero + first * CELL_NS, zero + last * CELL_NS, names[which], (0.0, 0.0)) for first, last, which in runs
    ]


def _means(
    t_ns: NDArray[np.int64], accel: NDArray[np.float64], gyro: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each cell; trials have samples in every one."""
    cell = (t_ns - t_ns[0]) // CELL_NS
    sums = np.column_stack([np.bincount(cell, weights=axis) for axis in np.hstack([accel, gyro]).T])
    means = sums / np.bincount(cell)[:, None]
    return means[:, :3], means[:, 3:]


def _threshold_scores(accel: NDArray[np.float64], gyro: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import butter, sosfiltfilt

    def mean(values: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
        return uniform_filter1d(values, 2 * max(1, round(seconds * CELL_HZ / 2)) + 1, axis=0, mode="nearest")

    def score(value: NDArray[np.float64], half_way: float) -> NDArray[np.float64]:
        return value**2 / (value**2 + half_way**2)

    gravity = mean(accel, 2.0)
    up = gravity / np.linalg.norm(gravity, axis=1, keepdims=True)
    dynamic = accel - gravity
    vertical = (dynamic * up).sum(axis=1)
    band = butter(2, (1.5, 2.5), btype="bandpass", fs=CELL_HZ, output="sos")
    in_band = mean(sosfiltfilt(band, vertical) ** 2, 2.0)
    share = in_band / np.maximum(mean(vertical**2, 2.0), 1e-9)
    turning = score(mean((gyro * up).sum(axis=1), 0.5), 0.6)
    walking = score(np.sqrt(in_band), 0.5) * np.clip(share / 0.4, 0.0, 1.0)
    moving = np.maximum(
        score(np.sqrt(mean((gyro**2).sum(axis=1), 1.0)), 0.1), score(np.sqrt(mean((dynamic**2).sum(axis=1), 1.0)), 0.25)
    )
    return np.column_stack([1 - moving, turning, walking, moving * (1 - turning) * (1 - walking)])
