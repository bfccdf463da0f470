"""What a model's numbers mean, for each layout that a card may name. Feeding and running it is `operator_model`'s."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.model_card import ModelCard, unusable_model

Candidates = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""Boxes [N, 4] (x, y, w, h), scores [N] and classes [N]."""

_SCORE_SLACK = 1e-2
"""Half floats round a sigmoid's 1 up by less."""


def candidates(outputs: Mapping[str, NDArray[Any]], card: ModelCard) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes and scores of the card's classes, before thresholds and suppression.

    Args:
        outputs: as the model gave them, by name, in the file's order; finite.
        card: of the model.

    Returns:
        float64 [N, 4] (x, y, w, h in input pixels) and [N].

    Raises:
        SettingsError: they are not what the layout allows.
    """
    boxes, scores, classes = _READERS[card.layout](outputs, card)
    if scores.min(initial=0.0) < -_SCORE_SLACK or scores.max(initial=0.0) > 1 + _SCORE_SLACK:
        raise unusable_model(card, f"its scores reach {scores.min():.3g} to {scores.max():.3g}, and must be 0 to 1")
    is_meant = np.isin(classes, card.classes) if card.classes else np.ones(len(classes), np.bool_)
    if card.is_in_fractions:
        boxes = boxes * np.array([card.input_width_px, card.input_height_px] * 2, np.float64)
    return boxes[is_meant], np.clip(scores[is_meant], 0.0, 1.0)


def _yolo(outputs: Mapping[str, NDArray[Any]], card: ModelCard) -> Candidates:
    answer = _only(outputs, card, least_channels=5, channel_axis=1).T
    return _centred(answer[:, :4], answer[:, 4:])


def _yolov5(outputs: Mapping[str, NDArray[Any]], card: ModelCard) -> Candidates:
    answer = _only(outputs, card, least_channels=6, channel_axis=2)
    return _centred(answer[:, :4], answer[:, 4:5] * answer[:, 5:])


def _only(
    outputs: Mapping[str, NDArray[Any]], card: ModelCard, *, least_channels: int, channel_axis: int
) -> NDArray[np.float64]:
    """The first output without its leading 1."""
    name, answer = next(iter(outputs.items()))
    channels = answer.shape[channel_axis] if answer.ndim == 3 else 0
    # A picture has more places to look at than classes; the other way round it is the other layout.
    if channels < least_channels or answer.shape[0] != 1 or channels > answer.shape[3 - channel_axis]:
        shape = "x".join(map(str, answer.shape))
        wanted = f"1x{least_channels} or morexN" if channel_axis == 1 else f"1xNx{least_channels} or more"
        raise unusable_model(card, f"its output {name} is {shape}, and the layout {card.layout} is {wanted}")
    return np.asarray(answer[0], np.float64)


def _end2end(outputs: Mapping[str, NDArray[Any]], card: ModelCard) -> Candidates:
    name, answer = next(iter(outputs.items()))
    rows = _flat(answer, 2)
    if rows.ndim != 2 or rows.shape[1] != 6:
        shape = "x".join(map(str, answer.shape))
        raise unusable_model(card, f"its output {name} is {shape}, and the layout end2end is 1xNx6")
    return _between(rows[:, :4]), rows[:, 4], rows[:, 5].astype(np.int64)


def _between(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([edges[:, :2], edges[:, 2:] - edges[:, :2]])


def _centred(boxes: NDArray[np.float64], by_class: NDArray[np.float64]) -> Candidates:
    corners = boxes[:, :2] - boxes[:, 2:] / 2
    return np.hstack([corners, boxes[:, 2:]]), by_class.max(axis=1), by_class.argmax(axis=1)


def _boxes(outputs: Mapping[str, NDArray[Any]], card: ModelCard) -> Candidates:
    boxes_name, scores_name, labels_name = card.outputs
    edges, scores = _flat(outputs[boxes_name], 2), _flat(outputs[scores_name], 1)
    labels = _flat(outputs[labels_name], 1) if labels_name in outputs else np.zeros(scores.shape)
    if edges.shape != (scores.size, 4) or labels.shape != scores.shape or scores.ndim != 1:
        shapes = ", ".join(f"{name} {'x'.join(map(str, values.shape))}" for name, values in outputs.items())
        raise unusable_model(card, f"its outputs are {shapes}, and the layout boxes is Nx4, N and perhaps N")
    return _between(edges), scores, labels.astype(np.int64)


def _flat(values: NDArray[Any], axes: int) -> NDArray[np.float64]:
    has_batch = values.ndim == axes + 1 and values.shape[0] == 1
    return np.asarray(values[0] if has_batch else values, np.float64)


_READERS: dict[str, Callable[[Mapping[str, NDArray[Any]], ModelCard], Candidates]] = {
    "yolo": _yolo,
    "yolov5": _yolov5,
    "end2end": _end2end,
    "boxes": _boxes,
}
