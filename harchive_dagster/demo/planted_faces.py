"""Moving pictures with people in them whose faces' boxes are known exactly: the ground truth of face recall.

Cut-outs of a person before a far ground, seen from a worker's moving head. Nothing is written or judged here. There is
no motion blur, no lens distortion and no head that turns away: recall on such pictures is an upper bound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.demo.motion import HeadMotion, make_motion
from harchive_dagster.demo.scene import Box, Camera
from harchive_dagster.demo.scenery import FACE_HEIGHT_M, FACE_IN_PERSON_PX, PANORAMA_PX_PER_RAD, Picture, make_scenery
from harchive_dagster.demo.timeline import default_phases

FACE_HEIGHT_PX = (30.0, 200.0)
_LASTS_S = (1.5, 4.5)
_BREAK_S = (0.1, 0.6)
_LANES = 3
"""People that may be about at once: one may pass before the other, and the head turns away from each now and then."""

_WALK_M_S = 1.3

_DARK_SHARE = 0.25
_DARK_GAIN, _DARK_NOISE = 0.28, 2.5
_DIMMING_S = 0.5
_SCREEN_BGR = (92, 100, 104)
_KNOWN_SHARE = 0.5
"""Of a face's box that has to be seen for it to count."""

_GRID_PX = 8


class Manner(StrEnum):
    """What makes a face hard to find or to follow."""

    PASSING = "passing"  # walks in on one side and out on the other
    RETURNING = "returning"  # walks in, stays, and leaves where it came from
    SUDDEN = "sudden"  # is in full view from one frame to the next, and gone as suddenly
    TURNING = "turning"  # nods sideways, up to 40 degrees in the picture's plane
    HALF_HIDDEN = "half_hidden"  # something covers the lower or the left half


@dataclass(frozen=True, eq=False)
class Cutout:
    """A person to put into pictures.

    Attributes:
        texture: uint8 [h, w, 3], BGR.
        mask: uint8 [h, w], 255 where the person is.
        face: in the texture's pixels.
    """

    texture: Picture
    mask: NDArray[np.uint8]
    face: Box


@dataclass(frozen=True)
class KnownFace:
    """One face in one frame.

    Attributes:
        person: one number for each appearance.
        manner: of that appearance.
        box: of the face as drawn, of the half that is seen where it is half hidden; may reach beyond the picture.
        height_px: of the face held upright.
        seen_share: of the box that shows this face (inside the picture, behind nothing).
    """

    person: int
    manner: Manner
    box: Box
    height_px: float
    seen_share: float


@dataclass(frozen=True, eq=False)
class KnownFrame:
    """A picture (BGR uint8 [h, w, 3]) and the faces of which at least half is seen in it."""

    picture: Picture
    faces: tuple[KnownFace, ...]
    is_dark: bool


@dataclass(frozen=True)
class _Appearance:
    person: int
    start_s: float
    end_s: float
    manner: Manner
    cutout: int
    height_px: float
    growth: float  # of the face from beginning to end, as a factor
    side: float
    elevation_rad: float
    phase_rad: float
    heading_rad: tuple[float, float]  # yaw and pitch that the worker has on average meanwhile


def portrait() -> Cutout:
    """The demo's person (NASA, public domain)."""
    sprite = make_scenery(0).person
    return Cutout(sprite.texture, sprite.mask, Box(*map(float, FACE_IN_PERSON_PX)))


def planted_faces(
    duration_s: float,
    *,
    seed: int,
    face_share: float = 1.0,
    camera: Camera | None = None,
    fps: float = 30.0,
    ground: Picture | None = None,
    people: Sequence[Cutout] = (),
) -> Iterator[KnownFrame]:
    """Pictures of a walking and working head's camera, with people who come and go.

    The last quarter is dark and noisy. People stand still in the world or walk, so that they shake in the picture as
    the ground does, and leave it when the head turns.

    Args:
        duration_s: length of the clip.
        seed: the only source of chance.
        face_share: of the time in which somebody is about; at 1.0 three people take turns without end.
        camera: full HD where none is given.
        fps: pictures a second.
        ground: BGR picture, one of its pixels for one of the camera's, mirrored at its borders; without it the demo's.
        people: cut-outs to choose from; without them the demo's person.
    """
    camera = camera or Camera(1920, 1080)
    people = people or (portrait(),)
    rng = np.random.default_rng([seed, 0xFACE])
    motion = make_motion(default_phases(duration_s), rng)
    appearances = _appearances(duration_s, face_share, len(people), camera, motion, rng)
    px_per_rad = camera.focal_px
    if ground is None:
        ground, px_per_rad = make_scenery(seed).panorama, PANORAMA_PX_PER_RAD
    for index in range(round(duration_s * fps)):
        t_s = index / fps
        turn = motion.world_from_camera(np.array([t_s]))[0]
        picture = _seen_ground(ground, px_per_rad, camera, turn)
        owner = np.zeros(picture.shape[:2], np.uint16)
        drawn = [
            (one, _draw(picture, owner, one, people[one.cutout], camera, turn, t_s))
            for one in appearances
            if one.start_s <= t_s < one.end_s
        ]
        dimness = float(np.clip((t_s - (1 - _DARK_SHARE) * duration_s) / _DIMMING_S, 0.0, 1.0))
        faces = [
            KnownFace(one.person, one.manner, box, _height_px(one, t_s), _seen_share(owner, box, one.person))
            for one, box in drawn
            if box is not None
        ]
        known = tuple(face for face in faces if face.seen_share >= _KNOWN_SHARE)
        yield KnownFrame(_dimmed(picture, dimness, rng), known, dimness == 1.0)


def _appearances(
    duration_s: float, face_share: float, cutouts: int, camera: Camera, motion: HeadMotion, rng: np.random.Generator
) -> list[_Appearance]:
    """Who comes when; a face that is about all the time comes in lanes, one appearance after another in each."""
    found: list[_Appearance] = []
    manners = list(Manner)
    scale = camera.width_px / 1920
    low, high = (np.log(px * scale) for px in FACE_HEIGHT_PX)
    for lane in range(_LANES if face_share >= 1 else 1):
        at_s = -rng.uniform(0, 1) * (lane > 0)
        while at_s < duration_s:
            lasts_s = rng.uniform(*_LASTS_S)
            rest_s = rng.uniform(*_BREAK_S) if face_share >= 1 else lasts_s * (1 / face_share - 1)
            begins_s = at_s if face_share >= 1 else at_s + rest_s * rng.uniform(0.2, 0.8)
            found.append(
                _Appearance(
                    person=len(found) + 1,
                    start_s=begins_s,
                    end_s=begins_s + lasts_s,
                    manner=manners[len(found) % len(manners)],
                    cutout=int(rng.integers(cutouts)),
                    height_px=float(np.exp(rng.uniform(low, high))),
                    growth=rng.uniform(0.8, 1.3),
                    side=float(rng.choice([-1.0, 1.0])),
                    elevation_rad=rng.uniform(-0.05, 0.15),
                    phase_rad=rng.uniform(0, 2 * np.pi),
                    heading_rad=_mean_heading(motion, begins_s, begins_s + lasts_s),
                )
            )
            at_s += lasts_s + rest_s
    return found


def _mean_heading(motion: HeadMotion, start_s: float, end_s: float) -> tuple[float, float]:
    is_meanwhile = (motion.time_s >= start_s) & (motion.time_s <= end_s)
    yaw, pitch, _ = motion.angles_rad[is_meanwhile].mean(axis=0).tolist() if is_meanwhile.any() else (0.0, 0.0, 0.0)
    return yaw, pitch


def _share(one: _Appearance, t_s: float) -> float:
    return (t_s - one.start_s) / (one.end_s - one.start_s)


def _height_px(one: _Appearance, t_s: float) -> float:
    return float(one.height_px * one.growth ** _share(one, t_s))


def _azimuth_rad(one: _Appearance, camera: Camera, t_s: float) -> float:
    """Beside the place that the worker faces on average meanwhile."""
    rate_rad_s = _WALK_M_S / (camera.focal_px * FACE_HEIGHT_M / one.height_px)
    lasts_s = one.end_s - one.start_s
    from_middle_s = t_s - (one.start_s + one.end_s) / 2
    if one.manner is Manner.PASSING:
        return one.side * rate_rad_s * from_middle_s
    if one.manner is Manner.RETURNING:  # stands still in the middle third
        return one.side * (0.3 + rate_rad_s * max(0.0, abs(from_middle_s) - lasts_s / 6))
    return one.side * 0.25


def _draw(
    picture: Picture,
    owner: NDArray[np.uint16],
    one: _Appearance,
    cutout: Cutout,
    camera: Camera,
    turn: NDArray[np.float64],
    t_s: float,
) -> Box | None:
    """Draws a person over the picture, in place; the box of the face, or None behind the camera."""
    import cv2

    yaw, pitch = one.heading_rad
    azimuth = yaw + _azimuth_rad(one, camera, t_s)
    # Whoever walks bobs with every step.
    down = -np.tan(pitch + one.elevation_rad + 0.006 * np.sin(12.0 * t_s + one.phase_rad))
    x, y, z = turn.T @ np.array([np.sin(azimuth), down, np.cos(azimuth)])
    if z < 0.1:
        return None
    middle = camera.matrix[:2] @ np.array([x / z, y / z, 1.0])
    tilt = np.deg2rad(40.0) * np.sin(2.5 * t_s + one.phase_rad) * (one.manner is Manner.TURNING)
    height_px = _height_px(one, t_s)
    scale = height_px / cutout.face.h
    texture, mask = cutout.texture, cutout.mask
    shrink = 1.0
    while scale / shrink < 0.5:  # bilinear sampling looks at four pixels only
        shrink /= 2
    if shrink < 1:
        texture, mask = (
            np.asarray(cv2.resize(part, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
            for part in (texture, mask)
        )
    cosine, sine = np.cos(tilt) * scale / shrink, np.sin(tilt) * scale / shrink
    linear = np.array([[cosine, -sine], [sine, cosine]])
    face = cutout.face
    centre = shrink * np.array([face.x + face.w / 2, face.y + face.h / 2]) - 0.5
    affine = np.column_stack([linear, middle - linear @ centre])
    _paste(picture, owner, texture, mask, affine, one.person)
    width = face.w * scale
    # The outline of a turned ellipse, not of the turned box: a face has no corners.
    half_w = np.hypot(width * np.cos(tilt), height_px * np.sin(tilt)) / 2
    half_h = np.hypot(width * np.sin(tilt), height_px * np.cos(tilt)) / 2
    box = Box(float(middle[0] - half_w), float(middle[1] - half_h), float(2 * half_w), float(2 * half_h))
    if one.manner is Manner.HALF_HIDDEN:
        return _half_hidden(picture, owner, box, is_left=one.side > 0)
    return box


def _paste(
    picture: Picture,
    owner: NDArray[np.uint16],
    texture: Picture,
    mask: NDArray[np.uint8],
    affine: NDArray[np.float64],
    person: int,
) -> None:
    import cv2

    height, width = mask.shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]]) @ affine.T
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int), picture.shape[1::-1])
    if left >= right or top >= bottom:
        return
    shifted = affine - np.array([[0, 0, left], [0, 0, top]])
    size = (int(right - left), int(bottom - top))
    warped = cv2.warpAffine(texture, shifted, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(mask, shifted, size, flags=cv2.INTER_LINEAR)
    region = np.s_[top:bottom, left:right]
    alpha = share[:, :, None].astype(np.float32) / 255
    picture[region] = (picture[region] * (1 - alpha) + warped * alpha + 0.5).astype(np.uint8)
    owner[region][share > 127] = person


def _half_hidden(picture: Picture, owner: NDArray[np.uint16], box: Box, *, is_left: bool) -> Box:
    """Puts something grey before the left or the lower half of a face, in place; the box of the other half."""
    left, top, right, bottom = box.x - 0.3 * box.w, box.y - 0.3 * box.h, box.x + 1.3 * box.w, box.y + 1.3 * box.h
    if is_left:
        right = box.x + box.w / 2
        rest = Box(right, box.y, box.w / 2, box.h)
    else:
        top = box.y + box.h / 2
        rest = Box(box.x, box.y, box.w, box.h / 2)
    height, width = owner.shape
    columns = slice(*(int(np.clip(edge, 0, width)) for edge in (left, right)))
    rows = slice(*(int(np.clip(edge, 0, height)) for edge in (top, bottom)))
    picture[rows, columns] = _SCREEN_BGR
    owner[rows, columns] = 0
    return rest


def _seen_share(owner: NDArray[np.uint16], box: Box, person: int) -> float:
    left, top = max(0, round(box.x)), max(0, round(box.y))
    right, bottom = round(box.x + box.w), round(box.y + box.h)
    if right <= left or bottom <= top:
        return 0.0
    return float(np.count_nonzero(owner[top:bottom, left:right] == person) / (box.w * box.h))


def _seen_ground(ground: Picture, px_per_rad: float, camera: Camera, turn: NDArray[np.float64]) -> Picture:
    """The ground as the inside of a sphere, its middle straight ahead in the world."""
    import cv2

    size = (camera.width_px, camera.height_px)
    # Directions bend so little that every eighth pixel is enough; the centre of coarse cell i is (i + 0.5) * 8 - 0.5.
    columns, rows = (-(-length // _GRID_PX) + 2 for length in size)
    x, y = ((np.arange(count) - 0.5) * _GRID_PX - 0.5 for count in (columns, rows))
    grid = np.stack([*np.meshgrid(x, y), np.ones((rows, columns))], axis=-1) @ np.linalg.inv(camera.matrix).T
    right, down, ahead = np.moveaxis(grid @ turn.T, -1, 0)
    inside = np.s_[_GRID_PX : _GRID_PX + size[1], _GRID_PX : _GRID_PX + size[0]]
    angles = np.arctan2(right, ahead), np.arctan2(down, np.hypot(right, ahead))
    map_x, map_y = (
        cv2.resize((angle * px_per_rad + (length - 1) / 2).astype(np.float32), (columns * _GRID_PX, rows * _GRID_PX))[
            inside
        ]
        for angle, length in zip(angles, ground.shape[1::-1], strict=True)
    )
    seen = cv2.remap(ground, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(seen, np.uint8)


def _dimmed(picture: Picture, dimness: float, rng: np.random.Generator) -> Picture:
    if not dimness:
        return picture
    import cv2

    noise = _DARK_NOISE * dimness * rng.standard_normal(picture.shape[:2], dtype=np.float32)
    darker = cv2.convertScaleAbs(picture, alpha=1 - (1 - _DARK_GAIN) * dimness)
    return np.asarray(cv2.add(darker, cv2.merge([noise] * 3), dtype=cv2.CV_8U), np.uint8)
