"""What there is to see in the synthetic world: a far panorama, near planes and one photographed person.

Built once per scene from scikit-image's bundled pictures; drawing it from a moving camera is `scene`'s work.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

PANORAMA_PX_PER_RAD = 400
PANORAMA_ELEVATION_RAD = 1.5
"""The panorama reaches this far above and below the horizon."""

FACE_IN_PERSON_PX = (182, 59, 88, 118)
"""x, y, w, h of the face (brow to chin, ear to ear) in the person's texture: measured on astronaut.png."""

FACE_HEIGHT_M = 0.20

_PERSON_OUTLINE_PX = (
    # Hair, collar ring, suit and sleeves of astronaut.png, drawn by hand; the flag, shuttle and helmet stay out.
    *((190, 27), (215, 19), (250, 17), (278, 31), (294, 55), (299, 80), (296, 102), (283, 116), (273, 122)),
    *((269, 145), (262, 160), (285, 174), (300, 205), (303, 240), (330, 280), (350, 310), (356, 345)),
    *((320, 365), (298, 390), (280, 440)),
    *((278, 511), (22, 511), (22, 420), (40, 300), (70, 260), (117, 225), (115, 190), (128, 164), (165, 150)),
    *((180, 145), (179, 130), (164, 112), (157, 85), (167, 52)),
)
_PERSON_BELOW_PICTURE_PX = 500  # the suit goes on below the photograph, so that nobody floats


@dataclass(frozen=True, eq=False)
class Plane:
    """A textured parallelogram in the world (metres; x right, y down, z forward).

    Attributes:
        texture: uint8 [h, w, 3], BGR.
        mask: uint8 [h, w], 255 where the texture is seen; None where all of it is.
        origin_m: [3], the texture's top-left corner.
        along_m: [3], from there to its top-right corner.
        down_m: [3], from the top-left to the bottom-left corner.
    """

    texture: Picture
    mask: Picture | None
    origin_m: NDArray[np.float64]
    along_m: NDArray[np.float64]
    down_m: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sprite:
    """A cut-out with its mask, at full and at half size (small copies must not be drawn from a large texture)."""

    texture: Picture
    mask: Picture
    half_texture: Picture
    half_mask: Picture


@dataclass(frozen=True, eq=False)
class Scenery:
    """One place to work in.

    Attributes:
        panorama: uint8 [2 * PANORAMA_ELEVATION_RAD * PANORAMA_PX_PER_RAD, 2 pi * PANORAMA_PX_PER_RAD, 3], BGR,
            by elevation downwards and azimuth to the right; straight ahead is in the middle.
        planes: near surfaces, farthest first.
        person: the only face there is.
        glove: what covers the worker's hands.
    """

    panorama: Picture
    planes: tuple[Plane, ...]
    person: Sprite
    glove: tuple[Picture, Picture]


@lru_cache(maxsize=4)
def make_scenery(seed: int) -> Scenery:
    """A place whose colours, blotches and pictures on the wall depend on the seed."""
    rng = np.random.default_rng([seed, 0x5CE])
    return Scenery(panorama=_panorama(rng), planes=_near_planes(rng), person=_person(), glove=_glove(rng))


def photograph(name: str) -> Picture:
    """A picture that ships inside scikit-image's wheel, BGR; nothing is downloaded."""
    import cv2
    import skimage

    encoded = np.fromfile(Path(skimage.__file__).parent / "data" / name, dtype=np.uint8)
    picture: Any = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(picture, dtype=np.uint8)


def _panorama(rng: np.random.Generator) -> Picture:
    import cv2

    height = round(2 * PANORAMA_ELEVATION_RAD * PANORAMA_PX_PER_RAD)
    width = round(2 * np.pi * PANORAMA_PX_PER_RAD)
    wall, floor, ceiling = (
        _tiled(_tinted(photograph(name), rng, paleness), height, width)
        for name, paleness in (("brick.png", 0.75), ("gravel.png", 0.4), ("grass.png", 0.85))
    )
    row_of = {"ceiling": int(0.28 * height), "floor": int(0.66 * height)}
    panorama = wall
    panorama[: row_of["ceiling"]] = cv2.GaussianBlur(ceiling[: row_of["ceiling"]], (0, 0), 3)
    panorama[row_of["floor"] :] = floor[row_of["floor"] :]
    pictures = [photograph(name) for name in ("coffee.png", "hubble_deep_field.jpg", "moon.png")]
    order = rng.permutation(len(pictures))
    for index, column in enumerate(np.linspace(0.18, 0.82, 7)):
        picture = pictures[order[index % len(pictures)]]
        _hang(panorama, picture, center=(int(column * width), int(height * rng.uniform(0.38, 0.52))), rng=rng)
    return _blotched(panorama, rng)


def _near_planes(rng: np.random.Generator) -> tuple[Plane, ...]:
    import cv2

    table = _blotched(_tiled(_tinted(photograph("grass.png"), rng, 0.6), 600, 900), rng)
    for center in ((180, 200), (700, 180), (470, 430)):
        board = cv2.GaussianBlur(_tinted(photograph("brick.png")[:300, :420], rng, 0.3), (0, 0), 1.5)
        _hang(table, np.asarray(board, np.uint8), center=center, rng=rng, height_px=170)
    shelf = _blotched(_tiled(_tinted(photograph("brick.png"), rng, 0.5), 700, 500), rng)
    for row in (150, 370, 590):
        for column in (110, 250, 390):
            parcel = _tinted(photograph("brick.png")[:260, :260], rng, 0.2)
            _hang(shelf, parcel, center=(column, row), rng=rng, height_px=120)
    return (
        Plane(shelf, None, np.array([0.9, -0.9, 2.4]), np.array([1.2, 0.0, -0.4]), np.array([0.0, 1.9, 0.0])),
        Plane(shelf[:, ::-1], None, np.array([-2.3, -0.6, 1.6]), np.array([1.0, 0.0, 0.7]), np.array([0.0, 1.6, 0.0])),
        Plane(table, None, np.array([-1.1, 0.55, 1.5]), np.array([2.2, 0.0, 0.0]), np.array([0.0, 0.0, -1.2])),
    )


def _person() -> Sprite:
    import cv2

    photo = photograph("astronaut.png")
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(_PERSON_OUTLINE_PX, np.int32)], 255)
    texture, mask = (
        np.asarray(cv2.copyMakeBorder(part, 0, _PERSON_BELOW_PICTURE_PX, 0, 0, cv2.BORDER_REFLECT_101), np.uint8)
        for part in (photo, mask)
    )
    mask[512:] = mask[511]
    # The mirrored half would be a second face upside down: only the suit may continue.
    texture[512:] = cv2.resize(photo[430:511], (photo.shape[1], _PERSON_BELOW_PICTURE_PX))
    size = (texture.shape[1] // 2, texture.shape[0] // 2)
    half_texture = np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA), np.uint8)
    half_mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return Sprite(texture, mask, half_texture, half_mask)


def _glove(rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Texture and mask of a gloved fist with a wrist, pointing up; 160 px high."""
    import cv2

    # A knitted look: pebbles or leaves in this round shape are sometimes taken for a face.
    texture = _tinted(photograph("brick.png")[:160, :110], rng, 0.5)
    mask = np.zeros((160, 110), np.uint8)
    cv2.ellipse(mask, (55, 60), (46, 52), 0, 0, 360, (255,), -1)
    cv2.rectangle(mask, (25, 80), (85, 160), (255,), -1)
    return texture, mask


def _tiled(picture: Picture, height: int, width: int) -> Picture:
    """Mirrored copies side by side: no seams."""
    tile = np.concatenate([picture, picture[:, ::-1]], axis=1)
    tile = np.concatenate([tile, tile[::-1]], axis=0)
    rows, columns = -(-height // tile.shape[0]), -(-width // tile.shape[1])
    return np.tile(tile, (rows, columns, 1))[:height, :width].copy()


def _tinted(picture: Picture, rng: np.random.Generator, paleness: float) -> Picture:
    """Coloured by chance (BGR), never reddish: leaves and pebbles in the colour of skin are taken for faces."""
    tint = paleness + (1 - paleness) * rng.uniform((0.5, 0.5, 0.1), (1.0, 1.0, 0.5))
    return np.clip(picture * tint, 0, 255).astype(np.uint8)


def _blotched(picture: Picture, rng: np.random.Generator) -> Picture:
    """Uneven light, so that a repeating texture does not look the same twice."""
    import cv2

    height, width = picture.shape[:2]
    coarse = rng.uniform(0.7, 1.15, (max(3, height // 90), max(3, width // 90))).astype(np.float32)
    light = cv2.merge([cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)] * 3)
    return np.asarray(cv2.multiply(picture, light, dtype=cv2.CV_8U), np.uint8)


def _hang(
    ground: Picture, picture: Picture, *, center: tuple[int, int], rng: np.random.Generator, height_px: int = 230
) -> None:
    """Puts a framed picture onto the ground, in place."""
    import cv2

    scale = height_px * rng.uniform(0.8, 1.1) / picture.shape[0]
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(small, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=(40, 40, 40))
    height, width = framed.shape[:2]
    top, left = center[1] - height // 2, center[0] - width // 2
    ground[top : top + height, left : left + width] = framed
