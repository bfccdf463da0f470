"""How a gyro sits on the camera: the map from its axes to the picture's at given lags. Lags are found elsewhere."""

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.sync.interval_rates import SampledSignal
from harchive_dagster.sync.lag_search import VisualRates, gyro_means, is_covered

CAUCHY_SCALE = 2.385
"""Standard deviations at which the Cauchy weight is one half: 95 % efficient on Gaussian errors (Holland & Welsch)."""


def compared(
    visual: VisualRates, gyro: SampledSignal, lag_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gyro means and visual rates of the intervals that have both, [n, 3] each."""
    is_both = visual.is_usable & is_covered(visual.edges_s, gyro, lag_s)
    return gyro_means(visual.edges_s, gyro, lag_s)[is_both], visual.high_passed[is_both]


def fit_map(visual: VisualRates, gyro: SampledSignal, lag_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Free 3 x 3 map from gyro rows to visual rows, least squares with Cauchy weights."""
    means, seen = compared(visual, gyro, lag_s)
    weight = np.ones(len(means))
    mapping: NDArray[np.float64] = np.zeros((3, 3))
    for _ in range(4):
        weighted = means * weight[:, None]
        covariance = weighted.T @ means
        ridge = (1e-12 + 1e-9 * float(np.trace(covariance))) * np.eye(3)
        mapping = np.asarray(np.linalg.solve(covariance + ridge, weighted.T @ seen), dtype=np.float64)
        error = np.linalg.norm(seen - means @ mapping, axis=1)
        scale = CAUCHY_SCALE * 1.4826 * float(np.median(error)) + 1e-9 if len(error) else 1.0
        weight = 1.0 / (1.0 + (error / scale) ** 2)
    return mapping


def steadied(
    visual: VisualRates, gyro: SampledSignal, lag_s: NDArray[np.float64], mapping: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The map with its unmoved axes made sensible, and how much better a mirrored rotation would do.

    Axes without motion are noise in the free map. They are pulled towards the rotation that fits the data directly,
    with a weight of 2 % of the mean motion.
    """
    means, seen = compared(visual, gyro, lag_s)
    covariance = means.T @ means
    rotation, scale, mirror_ratio = _procrustes(means, seen)
    pull = 0.02 * float(np.trace(covariance)) / 3 + 1e-12
    steady = np.linalg.solve(covariance + pull * np.eye(3), covariance @ mapping + pull * scale * rotation.T)
    return np.asarray(steady, dtype=np.float64), mirror_ratio


def rotation_of(mapping: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nearest rotation from sensor to camera axes (Kabsch); a wrong focal length only scales two camera axes."""
    left, _, right = np.linalg.svd(mapping.T)
    handed = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))])
    return np.asarray(left @ handed @ right, dtype=np.float64)


def bias_of(
    visual: VisualRates, raw: SampledSignal, lag_s: NDArray[np.float64], mapping: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the gyro reads beyond what the picture shows: median over the intervals, sensor axes."""
    is_both = visual.is_usable & is_covered(visual.edges_s, raw, lag_s)
    if not is_both.any():
        return np.zeros(3)
    excess = gyro_means(visual.edges_s, raw, lag_s) - visual.rate_rad_s @ np.linalg.pinv(mapping)
    return np.asarray(np.median(excess[is_both], axis=0), dtype=np.float64)


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """A rotation matrix as w, x, y, z with w >= 0."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = (float(value) for value in Rotation.from_matrix(rotation).as_quat(canonical=True))
    return w, x, y, z


def _procrustes(means: NDArray[np.float64], seen: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Best rotation and scale from gyro to picture; unexplained variance of it over that of the best mirrored one."""
    left, gains, right = np.linalg.svd(seen.T @ means)
    sign = float(np.sign(np.linalg.det(left @ right))) or 1.0
    felt, total = float((means**2).sum()) + 1e-30, float((seen**2).sum()) + 1e-30
    proper = float(gains[0] + gains[1] + sign * gains[2])
    mirrored = float(gains[0] + gains[1] - sign * gains[2])
    unexplained = [max(1.0 - max(gain, 0.0) ** 2 / (felt * total), 1e-6) for gain in (proper, mirrored)]
    return left @ np.diag([1.0, 1.0, sign]) @ right, proper / felt, unexplained[0] / unexplained[1]
