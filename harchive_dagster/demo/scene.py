"""Draws the scenery as a moving camera sees it, and says where the face is in each picture.

Planes and a pinhole camera without motion blur; a rolling shutter and another lens before it where asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.motion import HeadMotion
from harchive_dagster.demo.scenery import (
    FACE_HEIGHT_M,
    FACE_IN_PERSON_PX,
    PANORAMA_ELEVATION_RAD,
    PANORAMA_PX_PER_RAD,
    Picture,
    Plane,
    Scenery,
)
from harchive_dagster.recording.lens import Lens

_HALF_FIELD_RAD = float(np.deg2rad(40.0))  # a cap camera in its linear mode sees about 80 degrees across
_NEAR_M = 0.05
_GRID_PX = 8  # ray directions are computed on this grid: the bend in between is below 0.02 px
_VISIBLE_SHARE = 0.5
_AWAY_RAD = 1.25  # beside the picture, whatever the head does


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; top-left corner first. It may reach beyond the picture."""

    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class Visit:
    """One time that somebody comes into view, moves about and leaves.

    Attributes:
        start_s, end_s: session time.
        face_px: height of the face when entering and when leaving.
        side: -1 enters from the left, +1 from the right.
        is_crossing: leaves on the other side.
    """

    start_s: float
    end_s: float
    face_px: tuple[float, float]
    side: float
    is_crossing: bool


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with square pixels and its centre in the middle."""

    width_px: int
    height_px: int
    half_field_rad: float = _HALF_FIELD_RAD

    @property
    def focal_px(self) -> float:
        """Focal length; the same horizontal field of view at every size."""
        return float(self.width_px / 2 / np.tan(self.half_field_rad))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The 3x3 intrinsic matrix, for pixel centres at integers."""
        f = self.focal_px
        return np.array([[f, 0, (self.width_px - 1) / 2], [0, f, (self.height_px - 1) / 2], [0, 0, 1.0]])


@dataclass(frozen=True, eq=False)
class View:
    """Where the camera is in one frame."""

    world_from_camera: NDArray[np.float64]
    position_m: NDArray[np.float64]


def render(
    scenery: Scenery,
    motion: HeadMotion,
    camera: Camera,
    t_s: NDArray[np.float64],
    *,
    visits: tuple[Visit, ...] = (),
    has_hands: NDArray[np.bool_] | None = None,
    readout_s: float = 0.0,
    lens: Lens | None = None,
) -> Iterator[tuple[Picture, Box | None]]:
    """Pictures of the scene at session times `t_s` [M], each with the face's box.

    With a `readout_s` rows are exposed one after another, the middle one at `t_s`; faces' boxes and hands stay as they
    are at `t_s`. With a `lens` the pictures are those that it makes of what the pinhole camera sees, which has to see
    more; the boxes are still the pinhole camera's.

    Yields:
        BGR uint8 [height, width, 3] (a new array each), and the face's box where at least half of it is inside
        the picture.
    """
    rotations, positions = motion.world_from_camera(t_s), motion.at(motion.position_m, t_s)
    rays = _coarse_rays(camera)
    taken = _Taken.by(lens or camera, readout_s)
    for index, t in enumerate(t_s):
        view = View(rotations[index], positions[index])
        picture = _far(scenery.panorama, camera, view, rays)
        for plane in scenery.planes:
            _draw(picture, plane, camera, view)
        face = None
        for visit in visits:
            if visit.start_s <= t < visit.end_s:
                person = _person_plane(scenery, visit, motion, camera, float(t))
                _draw(picture, person, camera, view)
                face = _face_box(person, camera, view)
        if readout_s or lens:
            picture = _retaken(picture, motion, camera, view, taken, float(t))
        if has_hands is not None and has_hands[index]:
            _draw_hands(picture, scenery.glove, float(t))
        yield picture, face


def render_covered(camera: Camera, count: int, rng: np.random.Generator) -> Iterator[Picture]:
    """Pictures of a lens with a cloth over it: nearly black, hardly any texture, light seeping in."""
    import cv2

    coarse = rng.uniform(8.0, 20.0, (3, 4)).astype(np.float32)
    glow = cv2.resize(coarse, (camera.width_px, camera.height_px), interpolation=cv2.INTER_CUBIC)
    for index in range(count):
        luma = np.clip(glow + 1.5 * np.sin(index / 9.0), 0, 255).astype(np.uint8)
        yield np.repeat(luma[:, :, None], 3, axis=2)


def _coarse_grid(width_px: int, height_px: int) -> NDArray[np.float64]:
    """Pixels at the centres of a coarse grid: float64 [gh, gw, 2]."""
    columns, rows = -(-width_px // _GRID_PX), -(-height_px // _GRID_PX)
    # cv2.resize puts the centre of coarse cell i onto pixel (i + 0.5) * grid - 0.5.
    x = (np.arange(columns + 2) - 0.5) * _GRID_PX - 0.5
    y = (np.arange(rows + 2) - 0.5) * _GRID_PX - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def _coarse_rays(camera: Camera) -> NDArray[np.float64]:
    """Ray directions in camera axes at the centres of the coarse grid: float64 [gh, gw, 3]."""
    grid = _coarse_grid(camera.width_px, camera.height_px)
    return np.asarray(np.dstack([grid, np.ones(grid.shape[:2])]) @ np.linalg.inv(camera.matrix).T)


@dataclass(frozen=True, eq=False)
class _Taken:
    """How a lens and a rolling shutter take a picture: each cell of the coarse grid looks its way at its time.

    Attributes:
        rays: float64 [gh, gw, 3], in camera axes.
        row_s: float64 [gh], exposure against the middle row's.
    """

    width_px: int
    height_px: int
    rays: NDArray[np.float64]
    row_s: NDArray[np.float64]

    @classmethod
    def by(cls, lens: Lens | Camera, readout_s: float) -> "_Taken":
        grid = _coarse_grid(lens.width_px, lens.height_px)
        rays = _coarse_rays(lens) if isinstance(lens, Camera) else lens.rays(grid.reshape(-1, 2))
        row_s = readout_s * (grid[:, 0, 1] / lens.height_px - 0.5)
        return cls(lens.width_px, lens.height_px, rays.reshape(*grid.shape[:2], 3), row_s)


def _retaken(picture: Picture, motion: HeadMotion, camera: Camera, view: View, taken: _Taken, t_s: float) -> Picture:
    """The picture as another lens and shutter see it; of the motion in between only the rotation is regarded."""
    import cv2

    then = motion.world_from_camera(t_s + taken.row_s)
    in_view = np.einsum("ji,rjk,rck->rci", view.world_from_camera, then, taken.rays) @ camera.matrix.T
    size = (taken.rays.shape[1] * _GRID_PX, taken.rays.shape[0] * _GRID_PX)
    inside = np.s_[_GRID_PX : _GRID_PX + taken.height_px, _GRID_PX : _GRID_PX + taken.width_px]
    # Divided last: between the grid's cells rays run straight, and the pixels that they meet do not.
    x, y, z = cv2.split(cv2.resize(in_view.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)[inside])
    retaken = cv2.remap(picture, x / z, y / z, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(retaken, np.uint8)


def _far(panorama: Picture, camera: Camera, view: View, rays: NDArray[np.float64]) -> Picture:
    import cv2

    x, y, z = np.moveaxis(rays @ view.world_from_camera.T, -1, 0)
    azimuth, elevation_down = np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))
    middle = (panorama.shape[1] - 1) / 2
    columns = (middle + azimuth * PANORAMA_PX_PER_RAD).astype(np.float32)
    rows = ((elevation_down + PANORAMA_ELEVATION_RAD) * PANORAMA_PX_PER_RAD).astype(np.float32)
    size = (columns.shape[1] * _GRID_PX, columns.shape[0] * _GRID_PX)
    inside = np.s_[_GRID_PX : _GRID_PX + camera.height_px, _GRID_PX : _GRID_PX + camera.width_px]
    map_x, map_y = (cv2.resize(m, size, interpolation=cv2.INTER_LINEAR)[inside] for m in (columns, rows))
    picture = cv2.remap(panorama, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(picture, np.uint8)


def _draw(picture: Picture, plane: Plane, camera: Camera, view: View) -> None:
    """Draws a plane over the picture, in place; what lies behind the camera is cut off first."""
    import cv2

    height, width = plane.texture.shape[:2]
    homography = _homography(plane, camera, view)
    outline = _clipped(_corners(0, 0, width, height) @ homography.T)
    if len(outline) < 3:
        return
    points = np.clip(outline[:, :2] / outline[:, 2:], -30_000, 30_000)  # fillConvexPoly counts in int16-like ranges
    left, top = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, (camera.width_px, camera.height_px))
    if left >= right or top >= bottom:
        return
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    size = (int(right - left), int(bottom - top))
    warped = cv2.warpPerspective(
        plane.texture, shift @ homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(mask, np.round(points - (left, top)).astype(np.int32), (255,))
    if plane.mask is not None:
        mask &= np.asarray(cv2.warpPerspective(plane.mask, shift @ homography, size, flags=cv2.INTER_NEAREST), np.uint8)
    region = picture[top:bottom, left:right]
    cv2.copyTo(warped, mask, region)


def _homography(plane: Plane, camera: Camera, view: View) -> NDArray[np.float64]:
    """Picture pixels from texture pixels; the third coordinate is the depth in metres."""
    height, width = plane.texture.shape[:2]
    world = np.stack([plane.along_m / width, plane.down_m / height, plane.origin_m - view.position_m], axis=1)
    return np.asarray(camera.matrix @ view.world_from_camera.T @ world)


def _corners(x: float, y: float, w: float, h: float) -> NDArray[np.float64]:
    return np.array([[x, y, 1], [x + w, y, 1], [x + w, y + h, 1], [x, y + h, 1.0]])


def _clipped(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of a convex polygon (homogeneous, depth last) in front of the camera."""
    kept: list[NDArray[np.float64]] = []
    for here, after in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if here[2] >= _NEAR_M:
            kept.append(here)
        if (here[2] >= _NEAR_M) != (after[2] >= _NEAR_M):
            kept.append(here + (after - here) * (_NEAR_M - here[2]) / (after[2] - here[2]))
    return np.array(kept).reshape(-1, 3)


def _person_plane(scenery: Scenery, visit: Visit, motion: HeadMotion, camera: Camera, t_s: float) -> Plane:
    """The person as an upright cut-out that faces the worker, near where the worker's head points on average."""
    share = (t_s - visit.start_s) / (visit.end_s - visit.start_s)
    face_px = visit.face_px[0] + (visit.face_px[1] - visit.face_px[0]) * share
    distance = camera.focal_px * FACE_HEIGHT_M / face_px
    yaw, pitch = motion.smooth_heading(t_s)
    azimuth = yaw + _whereabouts(visit, share)
    elevation = pitch + 0.05 + 0.03 * np.sin(2.0 * t_s)
    face = distance * np.array([np.sin(azimuth), -np.tan(elevation), np.cos(azimuth)])
    sprite = scenery.person
    is_small = face_px < 0.6 * FACE_IN_PERSON_PX[3]
    texture, mask = (sprite.half_texture, sprite.half_mask) if is_small else (sprite.texture, sprite.mask)
    metre_per_px = FACE_HEIGHT_M / FACE_IN_PERSON_PX[3]
    height, width = (size * metre_per_px for size in sprite.mask.shape)
    right, down = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)]), np.array([0.0, 1.0, 0.0])
    x, y, w, h = FACE_IN_PERSON_PX
    origin = face - right * (x + w / 2) * metre_per_px - down * (y + h / 2) * metre_per_px
    return Plane(texture, mask, origin, right * width, down * height)


def _whereabouts(visit: Visit, share: float) -> float:
    """Azimuth beside the worker's heading: in from one side, a slow walk in the middle, out again."""
    leaves_at = -visit.side if visit.is_crossing else visit.side
    return float(
        np.interp(
            share,
            [0.0, 0.25, 0.75, 1.0],
            [visit.side * _AWAY_RAD, visit.side * 0.3, leaves_at * 0.25, leaves_at * _AWAY_RAD],
        )
    )


def _face_box(person: Plane, camera: Camera, view: View) -> Box | None:
    scale = person.texture.shape[1] / 512
    corners = _corners(*(value * scale for value in FACE_IN_PERSON_PX)) @ _homography(person, camera, view).T
    if (corners[:, 2] < _NEAR_M).any():
        return None
    points = corners[:, :2] / corners[:, 2:]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    inside_w = min(right, camera.width_px) - max(left, 0.0)
    inside_h = min(bottom, camera.height_px) - max(top, 0.0)
    if inside_w <= 0 or inside_h <= 0 or inside_w * inside_h < _VISIBLE_SHARE * (right - left) * (bottom - top):
        return None
    return Box(float(left), float(top), float(right - left), float(bottom - top))


def _draw_hands(picture: Picture, glove: tuple[Picture, Picture], t_s: float) -> None:
    """Two gloved hands that work at the lower edge of the picture, in place."""
    import cv2

    height, width = picture.shape[:2]
    scale = 0.30 * height / glove[0].shape[0]
    texture, mask = (cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST) for part in glove)
    for side in (-1, 1):
        left = int(width * (0.5 + side * 0.17 + 0.04 * np.sin(2.1 * t_s + side)) - texture.shape[1] / 2)
        top = int(height * (0.76 + 0.05 * np.sin(2.9 * t_s + 2 * side)))
        region = picture[top : top + texture.shape[0], left : left + texture.shape[1]]
        seen = np.s_[: region.shape[0], : region.shape[1]]
        cv2.copyTo(texture[:, ::side][seen].copy(), mask[:, ::side][seen].copy(), region)
