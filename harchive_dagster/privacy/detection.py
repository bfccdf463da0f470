"""What finding something in one picture means: a box, and whatever gives boxes. The models have modules of their own,
linking over time is `tracking`'s business, hiding `redaction`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError

KINDS = ("face", "text", "screen", "plate", "person")
"""What may identify somebody, as tables name it."""

_MOST_CANDIDATES = 3000
"""Suppression compares every box with every better one; no picture holds so many people."""


class Rectangle(Protocol):
    """Anything with a top-left corner and a size, in pixels."""

    @property
    def x(self) -> float:
        """Left edge."""

    @property
    def y(self) -> float:
        """Upper edge."""

    @property
    def w(self) -> float:
        """Width."""

    @property
    def h(self) -> float:
        """Height."""


@dataclass(frozen=True)
class Box:
    """Something found in one picture, in that picture's pixels; it may reach over the picture's border.

    Attributes:
        kind: one of `KINDS`.
        score: the model's confidence, 0 to 1.
        model, model_version: who found it; empty where no model did (a known face, a box between two found ones).
        is_hint: too weak to count alone; only detectors that are asked for hints give any.
    """

    kind: str
    x: float
    y: float
    w: float
    h: float
    score: float
    model: str = ""
    model_version: str = ""
    is_hint: bool = False


class Detector(Protocol):
    """What finds identifying things in a picture; name and version end up beside every detection."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def version(self) -> str:
        """Says exactly which weights answered."""

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Boxes in one RGB picture of shape [H, W, 3], best score first.

        Raises:
            SettingsError: the model gives no usable answer. Never an empty list for that.
        """


@dataclass(frozen=True)
class UnionDetector:
    """What any of several detectors finds. Each box keeps its model; boxes of two models on one thing are both kept."""

    members: tuple[Detector, ...]

    @property
    def name(self) -> str:
        """Of all members."""
        return "+".join(member.name for member in self.members)

    @property
    def version(self) -> str:
        """Of all members, in the same order."""
        return "+".join(member.version for member in self.members)

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Boxes of every member in one RGB picture of shape [H, W, 3], best score first."""
        return sorted((box for member in self.members for box in member.detect(rgb)), key=lambda box: -box.score)


def intersection_over_union(a: Rectangle, b: Rectangle) -> float:
    """Shared area of two rectangles over their joint area, 0 to 1."""
    shared_w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    shared_h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    if shared_w <= 0 or shared_h <= 0:
        return 0.0
    shared = shared_w * shared_h
    return shared / (a.w * a.h + b.w * b.h - shared)


def suppressed(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], kind: str, found_by: Detector, *, max_iou: float
) -> list[Box]:
    """The best of each heap of overlapping candidates, best score first (greedy non-maximum suppression).

    Args:
        boxes: float64 [N, 4], x, y, w, h.
        scores: float64 [N].
        kind: of all of them.
        found_by: whose name and version the boxes bear.
        max_iou: candidates that share more than this with a better one are the same thing.
    """
    import cv2

    if not len(scores):
        return []
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, max_iou, top_k=_MOST_CANDIDATES)
    chosen = np.asarray(kept, np.int64).ravel()
    return [
        Box(kind, x, y, w, h, score, found_by.name, found_by.version)
        for (x, y, w, h), score in zip(boxes[chosen].tolist(), scores[chosen].tolist(), strict=True)
    ]


def require_finite(detector: Detector, outputs: Sequence[NDArray[np.floating]]) -> None:
    """Refuse numbers that are none. No comparison holds for them, so they would pass for "nobody is there".

    Raises:
        SettingsError: an output has NaN or infinity.
    """
    # A sum is finite only if every term is; it is a tenth of the time of looking at each.
    if not all(np.isfinite(output.sum(dtype=np.float64)) for output in outputs):
        raise SettingsError(
            f"The model {detector.name} {detector.version} gives numbers that are not finite.",
            consequence="Nobody can tell who is in the picture, so no recording can be anonymized.",
            mend="Reinstall or export the model again, in 32-bit floats.",
        )
