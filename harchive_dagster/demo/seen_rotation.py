"""What tracking features would report of a head's motion, without drawing a picture: true rotation plus the errors that
tracking makes. For trials by the hundred; what pictures really give is measured on rendered clips.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.motion import HeadMotion

_TRACKS = 120  # an ordinary picture's


@dataclass(frozen=True)
class TrackingErrors:
    """How wrong tracked rotation is. Defaults: at least what rendered clips with near surfaces show.

    Attributes:
        noise_rad: standard deviation of one step about one axis, independent from step to step.
        wander_rad_s: standard deviation of an error that lasts a few tenths of a second (features come and go).
        nearness_per_m: mean of 1 / distance; the camera's translation over it passes for rotation. Walking, it repeats
            with every step and is locked to the rotation that is looked for.
        row_share: standard deviation of where the tracked features lie, in picture heights from the middle row.
        readout_s: of the rolling shutter, so that features above the middle are seen earlier.
        intrusions_per_s: how often something near fills the picture for up to half a second.
        lost_share: of the steps, in runs.
        focal_gain: two values; the assumed focal length over the true one lies between them.
    """

    noise_rad: float = 4e-4
    wander_rad_s: float = 0.02
    nearness_per_m: float = 0.3
    row_share: float = 0.06
    readout_s: float = 0.016
    intrusions_per_s: float = 0.05
    lost_share: float = 0.01
    focal_gain: tuple[float, float] = (0.8, 1.3)


def seen_rotation(
    motion: HeadMotion, pts_s: NDArray[np.float64], errors: TrackingErrors, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Rotation since the previous frame as tracked, and the tracks that agreed.

    Args:
        motion: the head's.
        pts_s: float64 [M], exposure of the middle row.
        errors: how wrong it is.
        rng: the only source of chance.

    Returns:
        float64 [M, 3] rotation vectors in camera axes, and int32 [M], 0 where not estimable (the first is not).
    """
    from scipy.spatial.transform import Rotation

    count = len(pts_s)
    steps_s = np.diff(pts_s)
    seen_s = pts_s + errors.readout_s * errors.row_share * _slow_noise(rng, pts_s, lasts_s=3.0)
    poses = Rotation.from_matrix(motion.world_from_camera(seen_s))
    turned = np.asarray((poses[:-1].inv() * poses[1:]).as_rotvec())
    velocity = np.diff(motion.at(motion.position_m, seen_s), axis=0) / steps_s[:, None]
    moved = np.asarray(poses[:-1].inv().apply(velocity))
    nearness = errors.nearness_per_m * np.exp(0.7 * _slow_noise(rng, pts_s[1:], lasts_s=4.0))
    # A step to the right moves what is near to the left, as a turn to the right does; a step down, as a tilt down does.
    # Where what is near lies on one side of the picture only, the same motion passes for roll.
    lever = 0.5 * _slow_noise(rng, pts_s[1:], lasts_s=4.0)
    rate = nearness[:, None] * np.column_stack([-moved[:, 1], moved[:, 0], lever * moved[:, 1]])
    rate += errors.wander_rad_s * np.column_stack([_slow_noise(rng, pts_s[1:], lasts_s=0.3) for _ in range(3)])
    for start in np.flatnonzero(rng.random(count - 1) < errors.intrusions_per_s * steps_s):
        length = int(rng.integers(4, 15))
        rate[start : start + length] += rng.normal(size=3) * 0.6
    gain = rng.uniform(*errors.focal_gain)
    rotation = np.zeros((count, 3))
    rotation[1:] = turned * [gain, gain, 1.0] + rate * steps_s[:, None]
    rotation[1:] += rng.normal(size=(count - 1, 3)) * errors.noise_rad
    inliers = np.full(count, _TRACKS, np.int32)
    inliers[0] = 0
    for start in np.flatnonzero(rng.random(count) < errors.lost_share / 6):
        inliers[start : start + int(rng.integers(2, 10))] = 0
    rotation[inliers == 0] = 0.0
    return rotation, inliers


def _slow_noise(rng: np.random.Generator, t_s: NDArray[np.float64], *, lasts_s: float) -> NDArray[np.float64]:
    """Noise of unit variance whose correlation falls off over `lasts_s` (first-order autoregressive)."""
    from scipy.signal import lfilter

    keep = float(np.exp(-np.median(np.diff(t_s)) / lasts_s))
    drawn = rng.standard_normal(len(t_s)) * np.sqrt(1 - keep**2)
    drawn[0] = rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], drawn), dtype=np.float64)
