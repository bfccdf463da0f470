"""Where each pixel of a camera looks. Knows neither calibration files (`landing.calibration`) nor motion."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PINHOLE, FISHEYE = "pinhole", "fisheye"

COEFFICIENTS = {PINHOLE: ("k1", "k2", "p1", "p2", "k3"), FISHEYE: ("k1", "k2", "k3", "k4")}
"""The models and what `distortion` holds, in the order of OpenCV."""

ASSUMED_FIELD_OF_VIEW_DEG = 75.0
"""Along the longer side when nobody calibrated the camera; the map fitted in sync absorbs the error."""

MAX_SIDE_PX = 2**15
MAX_COEFFICIENT = 1000.0
"""Of distortion; fits of long lenses reach some hundreds."""

_FOCAL_SIDES = (0.05, 50.0)
"""Focal length over the longer side: the least is a fisheye that sees everything in a twentieth of the picture's side,
the most a view of one degree."""

_SQUARE_PIXELS = 2.1
"""Anamorphic lenses squeeze by two at most; scaling to whole pixels may add a little."""

_SEEN_SHARE_MIN = 0.25
"""Of the picture: a round picture that just fits a 21:9 frame fills a third of it."""

_WIDEST_RAD = math.radians(140.0)
"""From the optical axis. No lens sees farther round its own body."""

_AHEAD_MIN = 0.2
"""Cosine to the axis below which a pinhole's picture runs off to infinity."""

_THETA_STEPS = 8192
"""Of the table that is searched for the angle: its steps bend by less than a millionth of a radian."""

_BACK_PX = 0.05
"""Beyond the turning point of a distortion's polynomial no ray meets the pixel; the search ends elsewhere then."""


@dataclass(frozen=True)
class Lens:
    """One calibrated camera. Pixel centres are whole numbers; camera axes are x right, y down, z forward.

    `pinhole` is OpenCV's model with radial and tangential distortion (Brown 1966). `fisheye` is the one of Kannala and
    Brandt (*A generic camera model and calibration method for conventional, wide-angle, and fish-eye lenses*, 2006) in
    the form of `cv2.fisheye`: the distance from the centre is a polynomial of the angle from the axis.

    Attributes:
        width_px, height_px: of the pictures that it was calibrated with.
        fx_px, fy_px: focal lengths.
        cx_px, cy_px: where the optical axis meets the picture.
        distortion: as in `COEFFICIENTS`.

    Raises:
        ValueError: such a camera cannot be; the message says what is wrong.
    """

    model: str
    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...]

    def __post_init__(self) -> None:
        problem = self._contradiction()
        if problem:
            raise ValueError(problem)

    def _contradiction(self) -> str:
        coefficients = COEFFICIENTS.get(self.model)
        if coefficients is None:
            return f"model is {self.model[:40]!r}, expected one of {', '.join(sorted(COEFFICIENTS))}"
        if len(self.distortion) != len(coefficients):
            return f"distortion has {len(self.distortion)} numbers, {self.model} has {', '.join(coefficients)}"
        if not all(abs(value) <= MAX_COEFFICIENT for value in self.distortion):
            return f"distortion is {list(self.distortion)}, expected numbers up to {MAX_COEFFICIENT:g}"
        if not (1 <= self.width_px <= MAX_SIDE_PX and 1 <= self.height_px <= MAX_SIDE_PX):
            return f"the picture is {self.width_px} x {self.height_px}, expected 1 to {MAX_SIDE_PX} pixels a side"
        low, high = (share * max(self.width_px, self.height_px) for share in _FOCAL_SIDES)
        if not (low <= self.fx_px <= high and low <= self.fy_px <= high):
            return f"focal lengths are {self.fx_px:g} and {self.fy_px:g}, expected {low:g} to {high:g} pixels"
        if not 1 / _SQUARE_PIXELS <= self.fx_px / self.fy_px <= _SQUARE_PIXELS:
            return f"focal lengths are {self.fx_px:g} and {self.fy_px:g}, which no pixel's shape explains"
        if not (-0.5 <= self.cx_px <= self.width_px - 0.5 and -0.5 <= self.cy_px <= self.height_px - 0.5):
            return f"the centre ({self.cx_px:g}, {self.cy_px:g}) lies outside the picture"
        grid = np.stack(np.meshgrid(np.linspace(0, 1, 33), np.linspace(0, 1, 33)), axis=-1).reshape(-1, 2)
        seen = float(np.isfinite(self.rays(grid * (self.width_px - 1, self.height_px - 1))).all(axis=1).mean())
        if seen < _SEEN_SHARE_MIN:
            return f"its distortion folds all but {seen:.0%} of the picture over"
        return ""

    def rays(self, points_px: NDArray[np.floating]) -> NDArray[np.float64]:
        """The directions that points [N, 2] look in: unit vectors [N, 3]; NaN where the model has none."""
        flat = (np.asarray(points_px, dtype=np.float64) - (self.cx_px, self.cy_px)) / (self.fx_px, self.fy_px)
        if self.model == FISHEYE:
            return self._bent(flat)
        if any(self.distortion):
            flat = self._straightened(np.asarray(points_px, dtype=np.float64))
        rays = np.column_stack([flat, np.ones(len(flat))])
        return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))

    def pixels(self, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where directions [N, 3] of any length are seen, [N, 2], also beyond the picture; NaN where they cannot be."""
        import cv2

        if self.model == FISHEYE:
            across = np.hypot(rays[:, 0], rays[:, 1])
            theta = np.arctan2(across, rays[:, 2])
            distances, angles = self._angle_by_distance
            distance = np.interp(theta, angles, distances, right=np.nan)
            flat = rays[:, :2] / np.maximum(across, 1e-12)[:, None] * distance[:, None]
        else:
            is_ahead = rays[:, 2] > _AHEAD_MIN * np.linalg.norm(rays, axis=1)
            ahead = np.where(is_ahead[:, None], rays, (0.0, 0.0, 1.0))
            seen = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), np.eye(3), np.array(self.distortion))[0]
            flat = np.where(is_ahead[:, None], np.asarray(seen, dtype=np.float64).reshape(-1, 2), np.nan)
        return np.asarray(flat * (self.fx_px, self.fy_px) + (self.cx_px, self.cy_px))

    def scaled_to(self, width_px: int, height_px: int) -> "Lens":
        """The same lens for pictures that are a scaled copy of those that it was calibrated with."""
        across, down = width_px / self.width_px, height_px / self.height_px
        # Corners stay corners, and lie half a pixel outside the centres of the first and last pixels.
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            fx_px=self.fx_px * across,
            fy_px=self.fy_px * down,
            cx_px=(self.cx_px + 0.5) * across - 0.5,
            cy_px=(self.cy_px + 0.5) * down - 0.5,
        )

    def _bent(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        distance = np.hypot(flat[:, 0], flat[:, 1])
        theta = np.interp(distance, *self._angle_by_distance, right=np.nan)
        across = np.sin(theta) / np.maximum(distance, 1e-12)
        return np.column_stack([flat * across[:, None], np.cos(theta)])

    @cached_property
    def _angle_by_distance(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances from the centre over the focal length, increasing, and the angles from the axis that they show."""
        theta = np.linspace(0.0, _WIDEST_RAD, _THETA_STEPS)
        distance = theta * np.polyval([*self.distortion[::-1], 1.0], theta**2)
        turns_back = np.flatnonzero(np.diff(distance) <= 0)
        end = int(turns_back[0]) + 1 if len(turns_back) else len(theta)
        return distance[:end], theta[:end]

    def _straightened(self, points_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points as a pinhole without distortion would show them at focal length 1; NaN where none does."""
        import cv2

        matrix = np.array([[self.fx_px, 0, self.cx_px], [0, self.fy_px, self.cy_px], [0, 0, 1.0]])
        distortion = np.array(self.distortion)
        steps = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
        found = cv2.undistortPoints(points_px[:, None], matrix, distortion, criteria=steps)
        flat = np.asarray(found, dtype=np.float64).reshape(-1, 2)
        ahead = np.column_stack([flat, np.ones(len(flat))])
        back = np.asarray(cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), matrix, distortion)[0]).reshape(-1, 2)
        with np.errstate(invalid="ignore"):
            is_met = np.hypot(*(back - points_px).T) < _BACK_PX
        return np.where(is_met[:, None], flat, np.nan)


def assumed_lens(width_px: int, height_px: int) -> Lens:
    """What is taken for a camera that nobody calibrated."""
    focal_px = max(width_px, height_px) / 2 / math.tan(math.radians(ASSUMED_FIELD_OF_VIEW_DEG) / 2)
    centre = (width_px - 1) / 2, (height_px - 1) / 2
    return Lens(PINHOLE, width_px, height_px, focal_px, focal_px, *centre, (0.0,) * 5)


@dataclass(frozen=True, eq=False)
class RayTable:
    """A lens's rays at every pixel of a picture, computed once for many pictures.

    Attributes:
        rays: float64 [h, w, 3], unit vectors; NaN where the lens sees nothing.
        px_per_rad: float64 [h, w], how far a feature moves there when the camera turns, the mean of both directions.
    """

    rays: NDArray[np.float64]
    px_per_rad: NDArray[np.float64]

    @classmethod
    def of(cls, lens: Lens, width_px: int, height_px: int) -> "RayTable":
        """The table of pictures that are a scaled copy of those that the lens was calibrated with; 2 pixels or more."""
        points = np.stack(np.meshgrid(np.arange(float(width_px)), np.arange(float(height_px))), axis=-1)
        rays = lens.scaled_to(width_px, height_px).rays(points.reshape(-1, 2)).reshape(height_px, width_px, 3)
        right, down = np.gradient(rays, axis=1), np.gradient(rays, axis=0)
        return cls(rays, 1.0 / np.sqrt(np.linalg.norm(np.cross(right, down), axis=-1)))

    @cached_property
    def is_seen(self) -> NDArray[np.bool_]:
        """Where there is a ray and its neighbours', [h, w]."""
        return np.isfinite(self.px_per_rad)

    def at(self, points_px: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rays [N, 3] and pixels per radian [N] of points [N, 2] inside the picture."""
        height, width = self.px_per_rad.shape
        low = np.clip(points_px.astype(np.int64), 0, (width - 2, height - 2))
        right, down = np.asarray(points_px - low, dtype=np.float64).T[:, :, None]
        corner = low[:, 1] * width + low[:, 0]
        rays = self.rays.reshape(-1, 3)
        upper = rays[corner] * (1 - right) + rays[corner + 1] * right
        lower = rays[corner + width] * (1 - right) + rays[corner + width + 1] * right
        return upper * (1 - down) + lower * down, self.px_per_rad.ravel()[corner]
