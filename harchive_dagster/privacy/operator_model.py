"""Runs a model that an operator brings, by its card. What the card may say is in `model_card`, what the model's numbers
mean in `model_outputs`.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.detection import Box, require_finite, suppressed
from harchive_dagster.privacy.letterbox import fit
from harchive_dagster.privacy.model_card import ModelCard, unusable_model
from harchive_dagster.privacy.model_file import best_providers, inference_session, weights_version
from harchive_dagster.privacy.model_graph import read_graph
from harchive_dagster.privacy.model_outputs import candidates

_NMS_IOU = 0.45
"""What YOLO's own tools take; models of the layout `boxes` have suppressed by themselves, at a similar figure."""

_TRIAL_LEVELS = (0, 127, 255)


class OperatorModel:
    """A model file by its card, on a graphics card where ONNX Runtime offers one, else on one thread of the CPU.

    It is tried once on plain pictures, so that a model which cannot work fails here and not on a recording.

    Args:
        card: of the model.
        threshold_share: of the card's threshold that is asked for; the audit looks with a lower one.

    Raises:
        SettingsError: the file is missing or no model, wants other input than its card says, or answers in another
            layout.
    """

    def __init__(self, card: ModelCard, *, threshold_share: float = 1.0) -> None:
        self._card = card
        self._threshold = card.threshold * threshold_share
        graph = read_graph(card)
        self._input, self._outputs = graph.input, graph.outputs
        self.name = card.name
        try:
            weights = weights_version(*graph.files)
            self._session = _session(str(card.path))
        except Exception as error:  # ONNX Runtime has a dozen kinds, without a common base; OSError for lost weights
            raise unusable_model(card, f"it cannot be loaded: {_said(error)}") from None
        self.version = f"{card.version}-{weights}" if card.version else weights
        for level in _TRIAL_LEVELS:
            self.detect(np.full((card.input_height_px, card.input_width_px, 3), level, np.uint8))

    @property
    def providers(self) -> tuple[str, ...]:
        """What runs it, best first, as ONNX Runtime names them."""
        return tuple(self._session.get_providers())

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Boxes of the card's kind in one RGB picture of shape [H, W, 3], best score first.

        Raises:
            SettingsError: the model fails, or gives what its layout does not allow.
        """
        card = self._card
        fitted = fit(rgb, card.input_width_px, card.input_height_px)
        try:
            answers = self._session.run(list(self._outputs), {self._input.name: self._input.tensor(fitted, card)})
        except Exception as error:  # as above
            raise unusable_model(card, f"it fails: {_said(error)}") from None
        outputs = {name: np.asarray(answer) for name, answer in zip(self._outputs, answers, strict=True)}
        require_finite(self, [answer for answer in outputs.values() if answer.dtype.kind == "f"])
        boxes, scores = candidates(outputs, card)
        is_sure = scores >= self._threshold
        found = suppressed(fitted.at_source(boxes[is_sure]), scores[is_sure], card.kind, self, max_iou=_NMS_IOU)
        return [box for box in found if box.w > 0 and box.h > 0]


@lru_cache(maxsize=8)  # the audit runs the same file at another threshold
def _session(path: str) -> Any:
    return inference_session(path, best_providers())


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
