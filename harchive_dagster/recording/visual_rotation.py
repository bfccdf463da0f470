"""Camera rotation from one picture to the next, from feature tracks. Knows nothing of clocks or inertial sensors."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.lens import Lens, RayTable

_FEATURES_MAX = 200
_FEATURES_MIN = 150
"""Below this the set is renewed: old tracks gather on near things, which do not show the rotation; renewing every frame
would cost half as much again."""

_WINDOW_PX = (11, 11)
_PYRAMID_LEVELS = 3
"""Three halvings follow about 50 px a frame: a quick turn of the head at 30 fps and 480 px."""

_LK_STEPS, _LK_STEP_PX = 12, 0.02
"""A hundred tracks are averaged: steps below a fiftieth of a pixel cost time and tell nothing."""

_ROUND_TRIP_PX = 0.7
_INLIER_PX = 1.5
_INLIERS_MIN = 12
_INLIER_SHARE_MIN = 0.2
"""Hands and near things move on their own: a fifth of the tracks is enough when they agree on one rotation."""

_CAUCHY_PX = (8.0, 4.0, 2.0, 1.0, 1.0, 1.0)
"""Scale of the robust weights per iteration: wide first, so that the start (the median flow) may be rough."""

_CUT_FEATURES = 24
_CUT_SURVIVORS = 0.25
"""Of a cut's unrelated pictures some tracks come back by chance; of a few weak features none may come back."""

_CUT_LEVELS = 40.0
"""Mean grey-level change of a thumbnail that no motion between two frames makes."""


@dataclass(frozen=True, eq=False)
class RotationStep:
    """Motion from the previous picture to this one.

    Attributes:
        rotation_rad: float64 [3], rotation vector of the camera body in camera axes (x right, y down, z forward):
            turning the head right is positive about y. Zeros where not estimable.
        inliers: tracks that agree with it; 0 where not estimable.
        motion_px: median displacement of the tracks, in pixels of the picture passed in.
        is_scene_cut: this picture does not continue the previous one (also when almost all tracks were lost).
    """

    rotation_rad: NDArray[np.float64]
    inliers: int
    motion_px: float
    is_scene_cut: bool


def nothing_estimated(*, motion_px: float = 0.0, is_scene_cut: bool = False) -> RotationStep:
    """The step of a first picture, of private time and of lost tracks."""
    return RotationStep(np.zeros(3), 0, motion_px, is_scene_cut)


@dataclass
class RotationTracker:
    """Follows features from picture to picture (pyramidal Lucas-Kanade, checked there and back).

    Args:
        lens: of the camera; pictures passed to `step` may be smaller than those it was calibrated with.
    """

    lens: Lens
    _previous: NDArray[np.uint8] | None = field(default=None, init=False)
    _thumbnail: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0), np.uint8), init=False)
    _points: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32), init=False)
    _table: RayTable | None = field(default=None, init=False)

    def reset(self) -> None:
        """Forget the previous picture: the next step starts afresh."""
        self._previous = None
        self._points = np.empty((0, 2), np.float32)

    def step(self, luma: NDArray[np.uint8]) -> RotationStep:
        """Take the next picture.

        Args:
            luma: uint8 [h, w]; all pictures of one tracker have the same size, else the tracker starts afresh.

        Returns:
            The motion since the previous picture; nothing for the first.
        """
        previous, previous_thumbnail = self._previous, self._thumbnail
        self._previous, self._thumbnail = luma, _thumbnail(luma)
        if previous is None or previous.shape != luma.shape or min(luma.shape) < min(_WINDOW_PX):
            self._points = np.empty((0, 2), np.float32)
            return nothing_estimated()
        table = self._rays_of(luma)
        if len(self._points) < _FEATURES_MIN:
            self._points = _find_features(previous, table.is_seen)
        before, after = _track(previous, luma, self._points)
        is_lost = len(self._points) >= _CUT_FEATURES and len(after) < _CUT_SURVIVORS * len(self._points)
        self._points = after
        if is_lost or _mean_change(previous_thumbnail, self._thumbnail) > _CUT_LEVELS:
            self._points = np.empty((0, 2), np.float32)
            return nothing_estimated(is_scene_cut=True)
        if len(after) < _INLIERS_MIN:
            return nothing_estimated()
        motion_px = float(np.median(np.hypot(*(after - before).T)))
        both, px_per_rad = table.at(np.concatenate([before, after]))
        rays, target = both[: len(before)], both[len(before) :]
        px_per_rad = px_per_rad[len(before) :]
        is_seen = np.isfinite(rays[:, 0] + target[:, 0] + px_per_rad)  # a ray is known whole or not at all
        if np.count_nonzero(is_seen) < _INLIERS_MIN:
            return nothing_estimated(motion_px=motion_px)
        rotation, residual_px = fit_rotation(rays[is_seen], target[is_seen], px_per_rad[is_seen])
        inliers = int(np.count_nonzero(residual_px < _INLIER_PX))
        if inliers < max(_INLIERS_MIN, _INLIER_SHARE_MIN * len(after)):
            return nothing_estimated(motion_px=motion_px)
        return RotationStep(rotation, inliers, motion_px, is_scene_cut=False)

    def _rays_of(self, luma: NDArray[np.uint8]) -> RayTable:
        if self._table is None or self._table.px_per_rad.shape != luma.shape:
            self._table = RayTable.of(self.lens, luma.shape[1], luma.shape[0])
        return self._table


def fit_rotation(
    before: NDArray[np.float64], after: NDArray[np.float64], px_per_rad: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit one rotation to pairs of rays: Gauss-Newton on the sphere with Cauchy weights, annealed.

    Args:
        before: [N, 3], unit vectors in camera axes, N >= 3.
        after: [N, 3], where the same points are seen in the next picture.
        px_per_rad: [N], what an angle is in pixels there: tracks are equally exact in pixels, not in angle.

    Returns:
        The rotation vector [3] of the camera body, and the residual length in pixels of every pair [N].
    """
    import cv2

    # What a camera sees turns against it: after = before - turn x before, so after x before is the turn across the ray.
    body = np.asarray(cv2.Rodrigues(np.median(np.cross(after, before), axis=0))[0])
    identity, px2_per_rad2 = np.eye(3), px_per_rad**2
    residual_px2 = np.zeros(len(before))
    for scale_px in _CAUCHY_PX:
        turned = before @ body  # = (body.T @ before.T).T, the old rays seen from the turned camera
        apart = after - turned
        residual_px2 = np.einsum("ij,ij->i", apart, apart) * px2_per_rad2
        weight = px2_per_rad2 / (1.0 + residual_px2 / scale_px**2)
        weighted = turned * weight[:, None]
        total = weight.sum()
        # The ridge, a billionth of the trace, matters only where all points sit in one spot and roll is not observable.
        normal = total * (1.0 + 2e-9) * identity - weighted.T @ turned
        mixed = after.T @ weighted
        gradient = np.array([mixed[1, 2] - mixed[2, 1], mixed[2, 0] - mixed[0, 2], mixed[0, 1] - mixed[1, 0]])
        _, step = cv2.solve(normal, gradient[:, None])
        body = body @ np.asarray(cv2.Rodrigues(step)[0])
    return np.asarray(cv2.Rodrigues(body)[0], dtype=np.float64).ravel(), np.sqrt(residual_px2)


def _find_features(luma: NDArray[np.uint8], is_seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    import cv2

    found = cv2.goodFeaturesToTrack(
        luma, maxCorners=_FEATURES_MAX, qualityLevel=0.01, minDistance=10, mask=is_seen.view(np.uint8)
    )
    corners: Any = () if found is None else found  # the stubs leave out that a flat picture gives None
    return np.array(corners, dtype=np.float32).reshape(-1, 2)


def _track(
    previous: NDArray[np.uint8], luma: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The pairs that come back to where they started."""
    if not len(points):
        return points, points
    there, is_found = _flow(previous, luma, points)
    back, is_found_back = _flow(luma, previous, there)
    round_trip = np.hypot(*(back - points).T)
    height, width = luma.shape
    is_inside = ((there >= 0) & (there <= (width - 1, height - 1))).all(axis=1)
    is_good = is_found & is_found_back & is_inside & (round_trip < _ROUND_TRIP_PX)
    return points[is_good], there[is_good]


def _flow(
    source: NDArray[np.uint8], target: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    import cv2

    moved, is_found, _ = cv2.calcOpticalFlowPyrLK(
        source,
        target,
        points,
        np.empty_like(points),
        winSize=_WINDOW_PX,
        maxLevel=_PYRAMID_LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _LK_STEPS, _LK_STEP_PX),
    )
    return np.asarray(moved, dtype=np.float32).reshape(-1, 2), np.ravel(is_found).astype(np.bool_)


def _thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(luma, (32, 18), interpolation=cv2.INTER_AREA), np.uint8)


def _mean_change(previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> float:
    import cv2

    return float(np.mean(cv2.absdiff(previous, current)))
