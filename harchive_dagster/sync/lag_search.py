"""How well a gyro explains the picture's rotation at a given lag, and where it explains it best. Lags only: drift,
windows and verdicts are `alignment`'s business.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.sync.interval_rates import HIGH_PASS_S, SampledSignal, high_pass_steps

_INLIERS_MIN = 12
_COARSE_S = 0.020
"""Head motion lies below about 5 Hz, so its correlation peak is 100 ms wide; 20 ms cannot miss it."""

_FINE_S = 0.001
SECTION_S = 180.0
"""Over this long a drift of 100 ppm smears a peak by 18 ms: less than its width."""

_OTHER_PEAK_S = 0.3
"""Lags farther than this from the best are rivals; steps repeat after 0.5 s, one head turn is over by then."""

_MIN_COVERED = 0.5
_MIN_INTERVALS = 45
_CHUNK_ROWS = 400_000


@dataclass(frozen=True, eq=False)
class VisualRates:
    """The picture's rotation as mean rates over frame intervals.

    Attributes:
        edges_s: float64 [N + 1], presentation times.
        rate_rad_s: float64 [N, 3], camera axes; zero where not estimable.
        high_passed: float64 [N, 3].
        is_usable: bool [N], the high-passed rate can be trusted.
    """

    edges_s: NDArray[np.float64]
    rate_rad_s: NDArray[np.float64]
    high_passed: NDArray[np.float64]
    is_usable: NDArray[np.bool_]

    @property
    def middles_s(self) -> NDArray[np.float64]:
        """Middle of every interval, [N]."""
        return (self.edges_s[1:] + self.edges_s[:-1]) / 2

    def where(self, is_wanted: NDArray[np.bool_]) -> "VisualRates":
        """The same with only these intervals usable."""
        return VisualRates(self.edges_s, self.rate_rad_s, self.high_passed, self.is_usable & is_wanted)

    def around(self, middle_s: float, length_s: float) -> "VisualRates":
        """The intervals within a stretch of this length around a time, which some lie in."""
        edges_s = np.array([middle_s - length_s / 2, middle_s + length_s / 2])
        start, stop = np.clip(np.searchsorted(self.edges_s, edges_s), 0, len(self.is_usable))
        return self.part(int(start), int(stop))

    def part(self, start: int, stop: int) -> "VisualRates":
        """The intervals start ... stop - 1."""
        return VisualRates(
            self.edges_s[start : stop + 1],
            self.rate_rad_s[start:stop],
            self.high_passed[start:stop],
            self.is_usable[start:stop],
        )


@dataclass(frozen=True, eq=False)
class LagSearch:
    """What the search found.

    Attributes:
        best_s: lag in seconds, session time minus device time.
        middle_s: session time in the middle of the stretch that was searched.
        score: adjusted R2 there; 0 when no lag overlaps enough.
        rival_score: the best score at any lag that is not the same peak.
        tried_s, tried_score: the coarse search, [L] each.
    """

    best_s: float
    middle_s: float
    score: float
    rival_score: float
    tried_s: NDArray[np.float64]
    tried_score: NDArray[np.float64]

    @property
    def distinctness(self) -> float:
        """Variance left unexplained by the rival over that left by the best; 1 is a tie."""
        return float((1.0 - self.rival_score) / max(1.0 - self.score, 1e-6))


def visual_rates(
    pts_ns: NDArray[np.int64], rotation_rad: NDArray[np.float64], rotation_inliers: NDArray[np.int32]
) -> VisualRates:
    """Turn rotations between frames into rates; entry i is the interval [pts_i, pts_i+1).

    Args:
        pts_ns: int64 [M], strictly increasing, M >= 3.
        rotation_rad: float64 [M, 3], rotation since the previous frame.
        rotation_inliers: int32 [M].
    """
    edges_s = pts_ns.astype(np.float64) * 1e-9
    rate = rotation_rad[1:] / np.diff(edges_s)[:, None]
    high_passed, is_usable = high_pass_steps(edges_s, rate, rotation_inliers[1:] >= _INLIERS_MIN)
    return VisualRates(edges_s, rate, high_passed, is_usable)


def search_lag(visual: VisualRates, gyro: SampledSignal, *, centre_s: float, search_s: float) -> LagSearch:
    """Find the lag at which a free linear map of the gyro explains most of the visual rotation.

    The map is free (3 x 3) so that axis order, mounting, sign and a wrong focal length cost nothing; it is fitted
    anew at every lag. Coarse steps of 20 ms, then 1 ms, then a parabola through the best three.

    Args:
        visual: the visual rates.
        gyro: the gyro, already high-passed, in seconds of the device.
        centre_s: middle of the search.
        search_s: half its width.
    """
    section = _liveliest(visual)
    steps = int(np.ceil(search_s / _COARSE_S))
    tried = centre_s + np.arange(-steps, steps + 1, dtype=np.float64) * _COARSE_S
    scores = score_lags(section, gyro, tried)
    coarse_s = float(tried[np.argmax(scores)])
    fine = coarse_s + np.arange(-30, 31, dtype=np.float64) * _FINE_S
    fine_scores = score_lags(section, gyro, fine)
    best_s, best = _peak(fine, fine_scores)
    rivals = scores[np.abs(tried - best_s) > _OTHER_PEAK_S]
    middle_s = float(section.edges_s[0] + section.edges_s[-1]) / 2
    return LagSearch(best_s, middle_s, best, float(rivals.max(initial=0.0)), tried, scores)


def score_lags(visual: VisualRates, gyro: SampledSignal, lags_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted R2 of the free map at every lag [L]; 0 where the gyro covers less than half of the intervals."""
    chunk = max(1, _CHUNK_ROWS // len(visual.edges_s))
    parts = [_score_chunk(visual, gyro, lags_s[i : i + chunk]) for i in range(0, len(lags_s), chunk)]
    return np.concatenate(parts)


def gyro_means(
    edges_s: NDArray[np.float64], gyro: SampledSignal, lag_s: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Mean of the gyro over every interval between edges, at one lag or at one lag per interval ([N]).

    Returns:
        float64 [N, 3].
    """
    return gyro.mean_between(edges_s[:-1] - lag_s, edges_s[1:] - lag_s)


def is_covered(
    edges_s: NDArray[np.float64], gyro: SampledSignal, lag_s: NDArray[np.float64] | float
) -> NDArray[np.bool_]:
    """Intervals that the gyro covers with a whole high-pass window; shapes as in `gyro_means`."""
    first, last = gyro.t_s[0] + HIGH_PASS_S / 2, gyro.t_s[-1] - HIGH_PASS_S / 2
    return np.asarray((edges_s[:-1] - lag_s >= first) & (edges_s[1:] - lag_s <= last))


def _score_chunk(visual: VisualRates, gyro: SampledSignal, lags_s: NDArray[np.float64]) -> NDArray[np.float64]:
    edges = visual.edges_s[None, :] - lags_s[:, None]
    total = gyro.integral_at(edges)
    means = np.diff(total, axis=1) / np.diff(visual.edges_s)[None, :, None]
    first, last = gyro.t_s[0] + HIGH_PASS_S / 2, gyro.t_s[-1] - HIGH_PASS_S / 2
    weight = (visual.is_usable & (edges[:, :-1] >= first) & (edges[:, 1:] <= last)).astype(np.float64)
    weighted = (means * weight[..., None]).swapaxes(1, 2)
    covariance = weighted @ means
    cross = weighted @ visual.high_passed
    energy = weight @ (visual.high_passed**2).sum(axis=1)
    # Keeps a silent gyro solvable; far below the noise of any real one.
    ridge = 1e-12 + 1e-9 * np.trace(covariance, axis1=1, axis2=2)
    solution = np.linalg.solve(covariance + ridge[:, None, None] * np.eye(3), cross)
    explained = (solution * cross).sum(axis=(1, 2)) / np.maximum(energy, 1e-30)
    count = weight.sum(axis=1)
    enough = count >= max(_MIN_INTERVALS, _MIN_COVERED * visual.is_usable.sum())
    adjusted = 1.0 - (1.0 - explained) * count / np.maximum(count - 3.0, 1.0)
    return np.where(enough, np.clip(adjusted, 0.0, 1.0), 0.0)


def _liveliest(visual: VisualRates) -> VisualRates:
    """The stretch of at most `SECTION_S` with the most rotation."""
    energy = (visual.high_passed**2).sum(axis=1) * visual.is_usable
    total = np.concatenate([[0.0], np.cumsum(energy)])
    stop = np.searchsorted(visual.edges_s, visual.edges_s[:-1] + SECTION_S, side="right") - 1
    start = int(np.argmax(total[stop] - total[:-1]))
    return visual.part(start, int(stop[start]))


def _peak(lags_s: NDArray[np.float64], scores: NDArray[np.float64]) -> tuple[float, float]:
    """Vertex of the parabola through the best point and its neighbours."""
    best = int(np.argmax(scores))
    if best in (0, len(scores) - 1):
        return float(lags_s[best]), float(scores[best])
    left, middle, right = scores[best - 1 : best + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(lags_s[best] + shift * _FINE_S), float(middle)
