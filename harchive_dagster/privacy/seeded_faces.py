"""How many known faces the session's own detector finds in the session's own pictures. No video is opened here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import PrivacyError, SettingsError
from harchive_dagster.privacy.detection import Box, Detector, Rectangle
from harchive_dagster.privacy.model_file import bundled_model as bundled_file
from harchive_dagster.privacy.tracking import MASK_SCALE
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.opencv_threads import one_opencv_thread

Picture = NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]."""

_LARGE_PX, _SMALL_PX = (44.0, 160.0), (36.0, 44.0)
"""Heights from brow to chin. From 44 px on nobody may be missed; below that it is reported."""

_TURN_DEG = 20.0
_SLANT = 0.06
"""Share of its size that each corner is moved by: a head turned or a camera tilted by some ten degrees."""

_LIGHT = (0.6, 1.4)
"""Brightness of a planted portrait over that of the picture it is planted into."""

_DARKEST_LUMA = 30.0
_MOST_GAIN = 1.5
"""A portrait made brighter than that only clips."""

_BLUR = 0.02
"""Largest standard deviation over the face's height: at 100 px a hand that is waved at arm's length."""

_CELL_PX = 400
"""A picture is divided into cells of at least this, with one face each: the largest fits in, turned."""

_MOST_IN_PICTURE = 8
"""As many as full HD has cells: one look at a picture judges them all."""

_TRUTH_COVERED = 0.8


@dataclass(frozen=True, eq=False)
class _Portrait:
    picture: Picture
    face: Box


@dataclass(frozen=True)
class SeededRecall:
    """Share of planted faces that were found.

    Attributes:
        large: of those 44 to 160 px high.
        small: of those 36 to 44 px high.
    """

    large: float
    small: float


@one_opencv_thread()
def seeded_recall(
    pictures: Sequence[Picture], detector: Detector, *, seed: int, plants: int = 24, small_plants: int = 12
) -> SeededRecall:
    """Plant portraits into copies of a session's pictures and count those that its detector finds.

    Two portraits (see `_portraits`) at sizes spread evenly over their logarithm (smaller where the picture is too
    small), at random places, mirrored, turned in the picture by up to 20 degrees, slightly slanted, blurred, and 0.6 to
    1.4 times as bright as the picture on the whole. One counts as found when a detected box, enlarged as tracking
    enlarges it, covers 80 % of it. Two frontal faces: the figure shows whether detection works under this session's
    light and clutter, not how good it is on people in general.

    Args:
        pictures: at least one, none of private time.
        detector: the one that looked at the session.
        seed: the same seed gives the same plants.
        plants: how many of 44 px and more.
        small_plants: how many of less.

    Raises:
        PrivacyError: NOT_ANONYMIZABLE when there is no picture or no plant to judge by.
        SettingsError: a portrait is not installed.
    """
    if not pictures or plants < 1 or small_plants < 1:
        raise PrivacyError(
            Reason.NOT_ANONYMIZABLE,
            f"the detector cannot be tried on {len(pictures)} frames with {plants} and {small_plants} planted faces.",
            mend="Give at least one frame of the session that is not private, and one plant of either size.",
        )
    random = np.random.default_rng(seed)
    wanted = ((_LARGE_PX, plants), (_SMALL_PX, small_plants))
    drawn = [np.exp(random.uniform(np.log(least), np.log(most), count)) for (least, most), count in wanted]
    heights = [float(height) for height in random.permutation(np.concatenate(drawn))]
    found: dict[bool, list[bool]] = {False: [], True: []}
    for picture, truths in _planted(pictures, heights, random):
        boxes = detector.detect(picture)
        for height, truth in truths:
            found[height >= _LARGE_PX[0]].append(any(_covers(box, truth) for box in boxes))
    return SeededRecall(float(np.mean(found[True])), float(np.mean(found[False])))


def _planted(
    pictures: Sequence[Picture], heights: list[float], random: np.random.Generator
) -> Iterator[tuple[Picture, list[tuple[float, Box]]]]:
    """Copies with faces of these heights, each with the heights asked for and the boxes of what was planted."""
    waiting = list(heights)
    while waiting:
        picture = pictures[int(random.integers(len(pictures)))].copy()
        brightness = max(_DARKEST_LUMA, float(picture[::4, ::4].mean()))
        cells = _cells(picture)
        truths = []
        for cell in random.permutation(len(cells))[:_MOST_IN_PICTURE]:
            if waiting:
                height = waiting.pop()
                light = brightness * float(random.uniform(*_LIGHT))
                truths.append((height, _plant(picture, cells[int(cell)], height, light, random)))
        yield picture, truths


def _cells(picture: Picture) -> list[tuple[slice, slice]]:
    edges = [np.linspace(0, length, max(1, length // _CELL_PX) + 1).astype(int) for length in picture.shape[:2]]
    rows, columns = ([slice(int(a), int(b)) for a, b in pairwise(one)] for one in edges)
    return [(row, column) for row in rows for column in columns]


def _plant(
    picture: Picture, cell: tuple[slice, slice], height_px: float, light: float, random: np.random.Generator
) -> Box:
    """Draw one portrait into a cell of the picture, in place; returns the box of its face."""
    import cv2

    portraits = _portraits()
    portrait = portraits[int(random.integers(len(portraits)))]
    rows, columns = cell
    onto, (x, y), (width, height) = _placement(
        portrait, columns.stop - columns.start, rows.stop - rows.start, height_px, random
    )
    x, y = columns.start + x, rows.start + y
    view = picture[y : y + height, x : x + width]
    gain = min(_MOST_GAIN, light / float(portrait.picture.mean()))
    lit = np.clip(portrait.picture * gain, 0, 255).astype(np.uint8)
    # Warping looks at four pixels only: what is made smaller has to be smoothed before.
    shrink = max(portrait.picture.shape[1] / width, portrait.picture.shape[0] / height)
    sigma = max(0.0, 0.5 * (shrink - 1)) + float(random.uniform(0, _BLUR)) * portrait.face.h
    lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), sigma), np.uint8) if sigma > 0 else lit
    warped = cv2.warpPerspective(lit, onto, (width, height), borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpPerspective(np.ones(lit.shape[:2], np.float32), onto, (width, height))[..., None]
    view[:] = np.rint(warped * share + view * (1 - share)).astype(np.uint8)
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    face = portrait.face
    rim = np.stack([face.x + face.w / 2 * (1 + np.cos(angle)), face.y + face.h / 2 * (1 + np.sin(angle))], axis=-1)
    seen = cv2.perspectiveTransform(rim[None].astype(np.float64), onto)[0]
    (x0, y0), (x1, y1) = seen.min(axis=0), seen.max(axis=0)
    return Box("face", x + float(x0), y + float(y0), float(x1 - x0), float(y1 - y0), 1.0)


def _placement(
    portrait: _Portrait, width_px: int, height_px: int, face_px: float, random: np.random.Generator
) -> tuple[NDArray[np.float64], tuple[int, int], tuple[int, int]]:
    """Puts a portrait somewhere into a cell, wholly: a homography, the corner it is counted from, and the extent."""
    import cv2

    tall, wide = portrait.picture.shape[:2]
    corners = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], np.float64)
    shape = corners - [wide / 2, tall / 2]
    shape += random.uniform(-_SLANT, _SLANT, (4, 2)) * [wide, tall]
    shape[:, 0] *= random.choice([-1.0, 1.0])
    turn = np.deg2rad(random.uniform(-_TURN_DEG, _TURN_DEG))
    shape = shape @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    extent = np.ptp(shape, axis=0)
    room = np.array([width_px, height_px])
    scale = min(face_px / portrait.face.h, *((room - 1) / extent))
    size = np.minimum(np.ceil(scale * extent).astype(int) + 1, room)
    corner = random.integers(0, room - size, endpoint=True)
    shape = scale * (shape - shape.min(axis=0))
    onto = cv2.getPerspectiveTransform(corners.astype(np.float32), shape.astype(np.float32))
    return np.asarray(onto, np.float64), (int(corner[0]), int(corner[1])), (int(size[0]), int(size[1]))


@cache
def _portraits() -> tuple[_Portrait, ...]:
    """Eileen Collins (NASA; scikit-image's `astronaut`) and Grace Hopper (US Navy; matplotlib's sample data), cut to
    head and shoulders. Both are works of the United States government in the public domain.
    """
    astronaut = _picture_of("skimage", "data/astronaut.png")
    admiral = _picture_of("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")
    return (
        _Portrait(astronaut[0:230, 110:330], Box("face", 71.0, 58.0, 90.0, 121.0, 1.0)),
        _Portrait(admiral[30:430, 70:470], Box("face", 105.0, 102.0, 182.0, 205.0, 1.0)),
    )


def _picture_of(package: str, relative: str) -> Picture:
    """A picture that an installed package brings, RGB. The package is not imported: each takes 0.2 s."""
    import cv2

    path = bundled_file(package, relative)
    bgr = None if path is None else cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SettingsError(
            f"The picture {relative} of the {package!r} distribution is not installed.",
            consequence="The face detector cannot be tried, so no recording can be anonymized.",
            mend="Reinstall the package with its dependencies.",
        )
    return np.asarray(bgr[..., ::-1], np.uint8)


def _covers(box: Rectangle, truth: Rectangle) -> bool:
    extra_w, extra_h = (MASK_SCALE - 1) / 2 * box.w, (MASK_SCALE - 1) / 2 * box.h
    shared_w = min(box.x + box.w + extra_w, truth.x + truth.w) - max(box.x - extra_w, truth.x)
    shared_h = min(box.y + box.h + extra_h, truth.y + truth.h) - max(box.y - extra_h, truth.y)
    return max(0.0, shared_w) * max(0.0, shared_h) >= _TRUTH_COVERED * truth.w * truth.h
