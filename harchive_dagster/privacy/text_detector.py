"""The text detector: where lines of text are, not what they say. Documents, screens and plates are found by their text.

Its weights (PP-OCRv6, small) come with the rapidocr distribution and are read from there, never copied. The network and
how its map becomes boxes: Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2020.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.detection import Box, require_finite
from harchive_dagster.privacy.letterbox import fit_turned, next_step
from harchive_dagster.privacy.model_file import bundled_model, inference_session, weights_version

if TYPE_CHECKING:
    from onnx import ModelProto

_SHAPE_STEP_PX = 32
"""The backbone halves the picture five times."""

_TEXT_CHANCE = 0.3
"""A pixel above it belongs to a line of text, as in the paper."""

_UNCLIP = 1.6
"""The network is trained on lines shrunk towards their middle; grown again by this times area over outline."""

_MIN_LINE_PX = 3
"""Lines lower than this in the input are specks of noise."""

_MAX_LINE_SHARE = 0.25
"""Of the input's shorter side. Higher things are no lines but whatever stands before a plain wall: the model takes a
person there for one character, over the whole picture and at a score of 0.8."""


class TextDetector:
    """PP-OCRv6's text detector on the CPU, on one thread.

    Args:
        input_width_px: longest side of the network's input, for a landscape picture.
        input_height_px: its shortest side.
        score_threshold: mean chance of a line's pixels below which it is dropped. Between 0.5 and 0.7 as much generated
            text is found; of what is found in a film of a person in a lettered shirt, more is text the higher it is.

    Raises:
        SettingsError: the model file is not installed.
    """

    name = "pp-ocrv6-det-small"

    def __init__(self, *, input_width_px: int = 960, input_height_px: int = 544, score_threshold: float = 0.6) -> None:
        self._long_px = max(input_width_px, input_height_px)
        self._short_px = min(input_width_px, input_height_px)
        self._score_threshold = score_threshold
        self._model_path = _model_path()
        self.version = weights_version(self._model_path)

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Lines of text in one RGB picture.

        Args:
            rgb: uint8 [H, W, 3], red first.

        Returns:
            Upright boxes of kind "text" in pixels of `rgb` that hold each line, best score first.

        Raises:
            SettingsError: the model gives numbers that are not finite.
        """
        fitted = fit_turned(rgb, self._long_px, self._short_px)
        height_px, width_px = (next_step(length_px, _SHAPE_STEP_PX) for length_px in fitted.picture.shape[:2])
        bgr = fitted.planes(width_px, height_px)[:, ::-1]  # what it was trained on
        planes = bgr / np.float32(127.5) - np.float32(1.0)
        (maps,) = _session(self._model_path, width_px, height_px).run(None, {"x": planes})
        require_finite(self, [maps])
        boxes, scores = _lines(maps[0, 0], self._score_threshold)
        best_first = np.argsort(-scores, kind="stable")
        found = zip(fitted.at_source(boxes[best_first]).tolist(), scores[best_first].tolist(), strict=True)
        return [Box("text", x, y, w, h, score, self.name, self.version) for (x, y, w, h), score in found]


def _model_path() -> Path:
    path = bundled_model("rapidocr", "models/PP-OCRv6_det_small.onnx")
    if path is None:
        raise SettingsError(
            "The text model PP-OCRv6_det_small.onnx of the 'rapidocr' distribution is not installed.",
            consequence="Text cannot be looked for.",
            mend="Install it (make text, or pip install --no-deps rapidocr), or take text out of HARCHIVE_DETECTORS.",
        )
    return path


@lru_cache(maxsize=1)  # it holds on to 150 MB
def _session(path: Path, width_px: int, height_px: int) -> Any:
    return inference_session(_fixed_model(path, (1, 3, height_px, width_px)).SerializeToString())


def _fixed_model(path: Path, shape: tuple[int, int, int, int]) -> "ModelProto":
    """The model with one fixed input shape and with its denormal weights set to zero.

    Up to 63 % of a layer's weights are smaller than a 32-bit float can hold in full (1.2e-38); processors take a
    hundred times as long over such numbers. Without them the answers are the same and take a quarter of the time.
    """
    import onnx

    model = onnx.load(str(path))
    for dimension, length in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = length
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32:
            is_normal = np.abs(values) >= np.finfo(np.float32).tiny
            weight.CopyFrom(onnx.numpy_helper.from_array(np.where(is_normal, values, np.float32(0)), weight.name))
    return model


def _lines(chance: NDArray[np.float32], threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes [N, 4] (x, y, w, h in input pixels) and scores [N] of the lines in a map of chances [H, W]."""
    import cv2

    contours, _ = cv2.findContours((chance > _TEXT_CHANCE).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    highest_px = _MAX_LINE_SHARE * min(chance.shape)
    boxes, scores = [], []
    for contour in contours:
        centre, (across_px, along_px), angle_deg = cv2.minAreaRect(contour)
        score = _mean_inside(chance, contour)
        if not _MIN_LINE_PX <= min(across_px, along_px) <= highest_px or score < threshold:
            continue
        # The paper offsets the outline; of an oblong that gives an oblong larger by this on every side.
        margin_px = _UNCLIP * across_px * along_px / (2 * (across_px + along_px))
        grown = across_px + 2 * margin_px, along_px + 2 * margin_px
        corners = cv2.boxPoints((centre, grown, angle_deg))
        low, high = corners.min(axis=0), corners.max(axis=0)
        boxes.append([*low, *(high - low)])
        scores.append(score)
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64)


def _mean_inside(chance: NDArray[np.float32], contour: Any) -> float:
    import cv2

    x, y, w, h = cv2.boundingRect(contour)
    inside = np.zeros((h, w), np.uint8)
    cv2.drawContours(inside, [contour], 0, 1, thickness=cv2.FILLED, offset=(-x, -y))
    return float(cv2.mean(chance[y : y + h, x : x + w], mask=inside)[0])
