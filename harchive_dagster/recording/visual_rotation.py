"""Camera rotation from one picture to the next, from feature tracks. Knows nothing of clocks or inertial sensors."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_FIELD_OF_VIEW_DEG = 75.0
"""Assumed along the longer side when nobody calibrated the camera; the map fitted in sync absorbs the error."""

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


def default_focal_px(width_px: int, height_px: int) -> float:
    """Focal length of a picture of this size under the assumed field of view."""
    return max(width_px, height_px) / 2 / math.tan(math.radians(DEFAULT_FIELD_OF_VIEW_DEG) / 2)


def nothing_estimated(*, motion_px: float = 0.0, is_scene_cut: bool = False) -> RotationStep:
    """The step of a first picture, of private time and of lost tracks."""
    return RotationStep(np.zeros(3), 0, motion_px, is_scene_cut)


@dataclass
class RotationTracker:
    """Follows features from picture to picture (pyramidal Lucas-Kanade, checked there and back).

    Args:
        focal_px: focal length in pixels of the pictures passed to `step`.
    """

    focal_px: float
    _previous: NDArray[np.uint8] | None = field(default=None, init=False)
    _points: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32), init=False)

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
        previous = self._previous
        self._previous = luma
        if previous is None or previous.shape != luma.shape:
            self._points = np.empty((0, 2), np.float32)
            return nothing_estimated()
        if len(self._points) < _FEATURES_MIN:
            self._points = _find_features(previous)
        before, after = _track(previous, luma, self._points)
        is_lost = len(self._points) >= _CUT_FEATURES and len(after) < _CUT_SURVIVORS * len(self._points)
        self._points = after
        if is_lost or _thumbnail_change(previous, luma) > _CUT_LEVELS:
            self._points = np.empty((0, 2), np.float32)
            return nothing_estimated(is_scene_cut=True)
        if len(after) < _INLIERS_MIN:
            return nothing_estimated()
        motion_px = float(np.median(np.hypot(*(after - before).T)))
        centre = np.array([(luma.shape[1] - 1) / 2, (luma.shape[0] - 1) / 2])
        rotation, residual_px = fit_rotation(before - centre, after - centre, self.focal_px)
        inliers = int(np.count_nonzero(residual_px < _INLIER_PX))
        if inliers < max(_INLIERS_MIN, _INLIER_SHARE_MIN * len(after)):
            return nothing_estimated(motion_px=motion_px)
        return RotationStep(rotation, inliers, motion_px, is_scene_cut=False)


def fit_rotation(
    before_px: NDArray[np.floating], after_px: NDArray[np.floating], focal_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit one rotation to point pairs: Gauss-Newton on re-projection with Cauchy weights, annealed.

    Args:
        before_px: [N, 2], relative to the principal point, N >= 3.
        after_px: [N, 2], where the same points are in the next picture.
        focal_px: focal length in the same pixels.

    Returns:
        The rotation vector [3] of the camera body, and the residual length in pixels of every pair [N].
    """
    import cv2

    rays = np.column_stack([before_px / focal_px, np.ones(len(before_px))])
    target = np.asarray(after_px / focal_px, dtype=np.float64)
    flow = np.median(target - rays[:, :2], axis=0)
    # A point ahead of a camera that turns right (+y) moves left; one that tilts up (+x) sees it move down.
    body = np.asarray(cv2.Rodrigues(np.array([flow[1], -flow[0], 0.0]))[0])
    residual = np.zeros_like(target)
    for scale_px in _CAUCHY_PX:
        turned = rays @ body  # = (body.T @ rays.T).T, the old rays seen from the turned camera
        x, y = turned[:, 0] / turned[:, 2], turned[:, 1] / turned[:, 2]
        residual = target - np.column_stack([x, y])
        weight = 1.0 / (1.0 + (residual**2).sum(axis=1) * (focal_px / scale_px) ** 2)
        jacobian = np.stack([x * y, -(1 + x * x), y, 1 + y * y, -x * y, -x], axis=1).reshape(-1, 2, 3)
        weighted = jacobian * weight[:, None, None]
        normal = np.einsum("nki,nkj->ij", weighted, jacobian)
        gradient = np.einsum("nki,nk->i", weighted, residual)
        # The ridge matters only where all points sit in one spot and roll is not observable.
        step = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(3), gradient)
        body = body @ np.asarray(cv2.Rodrigues(step)[0])
    rotation = np.asarray(cv2.Rodrigues(body)[0], dtype=np.float64).ravel()
    return rotation, np.hypot(residual[:, 0], residual[:, 1]) * focal_px


def _find_features(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    import cv2

    found = cv2.goodFeaturesToTrack(luma, maxCorners=_FEATURES_MAX, qualityLevel=0.01, minDistance=10)
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


def _thumbnail_change(previous: NDArray[np.uint8], luma: NDArray[np.uint8]) -> float:
    import cv2

    small = [cv2.resize(picture, (32, 18), interpolation=cv2.INTER_AREA) for picture in (previous, luma)]
    return float(np.mean(cv2.absdiff(small[0], small[1])))
