"""Poses as arrays: a camera's or headset's orientation, a hand's or body's joints. No file formats here."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.sample_checks import (
    check_increasing,
    check_samples,
    median_rate_hz,
    read_only,
    unreadable,
)

JOINT_NAME = "[a-z0-9_]{1,40}"
"""No free text. Which of them a lab sees is decided by `labels.joints`."""

_NORM_TOLERANCE = 0.02
"""Quaternions stored as int16 or half floats are off by under 1e-3; 2 % still tells them from other numbers."""


@dataclass(frozen=True, eq=False)
class PoseStream:
    """Joints over time, on the device's own clock. What was not tracked is NaN.

    Attributes:
        stream_id: the manifest's name for the stream.
        placement: where it is worn, or what it shows (head, left_hand, ...).
        t_device_ns: int64 [N], strictly increasing.
        joints: names of the J joints; a single one for the pose of one thing.
        position_m: float64 [N, J, 3]; None where the device gives orientation only.
        orientation_wxyz: float64 [N, J, 4], unit quaternions (made so, w first); None where positions are all there is.
        confidence: float64 [N, J] in 0 to 1, or None where the device gives none.

    Raises:
        LandingError: wrong shapes, neither positions nor orientations, infinities, quaternions that are not of unit
            length, joints named twice, or time that does not increase.
    """

    stream_id: str
    placement: str
    t_device_ns: NDArray[np.int64]
    joints: tuple[str, ...]
    position_m: NDArray[np.float64] | None = None
    orientation_wxyz: NDArray[np.float64] | None = None
    confidence: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_device_ns", read_only(self.t_device_ns, np.int64))
        expected = {"position_m": (3,), "orientation_wxyz": (4,), "confidence": ()}
        given = {
            name: read_only(getattr(self, name), np.float64) for name in expected if getattr(self, name) is not None
        }
        if not {"position_m", "orientation_wxyz"} & set(given):
            raise unreadable(self.stream_id, "has neither positions nor orientations")
        check_samples(self.stream_id, self.t_device_ns, given)
        if not self.joints or len(set(self.joints)) != len(self.joints):
            raise unreadable(self.stream_id, f"has {len(self.joints)} joints, expected at least one and distinct names")
        odd = [joint for joint in self.joints if not re.fullmatch(JOINT_NAME, joint)]
        if odd:
            raise unreadable(self.stream_id, f"has a joint named {odd[0][:60]!a}, expected up to 40 of a-z, 0-9 and _")
        for name, array in given.items():
            if array.shape[1:] != (len(self.joints), *expected[name]):
                raise unreadable(self.stream_id, f"has {name} of shape {array.shape} for {len(self.joints)} joints")
            if np.isinf(array).any():
                raise unreadable(self.stream_id, f"has infinite values in {name}")
            object.__setattr__(self, name, array)
        self._check_confidence()
        self._normalise()
        check_increasing(self.stream_id, self.t_device_ns)

    def __len__(self) -> int:
        return len(self.t_device_ns)

    @property
    def rate_hz(self) -> float:
        """Median sampling rate; gaps do not bias it."""
        return median_rate_hz(self.t_device_ns)

    def _check_confidence(self) -> None:
        if self.confidence is not None and ((self.confidence < 0) | (self.confidence > 1)).any():
            raise unreadable(self.stream_id, "has confidences outside 0 to 1")

    def _normalise(self) -> None:
        if self.orientation_wxyz is None:
            return
        with np.errstate(over="ignore"):
            norm = np.linalg.norm(self.orientation_wxyz, axis=-1, keepdims=True)
        is_bad = np.abs(norm - 1) > _NORM_TOLERANCE  # false for NaN, which means "not tracked"
        if is_bad.any():
            worst = float(norm[is_bad][0])
            raise unreadable(self.stream_id, f"has {int(is_bad.sum())} quaternions of length {worst:.3g}, expected 1")
        object.__setattr__(self, "orientation_wxyz", read_only(self.orientation_wxyz / norm, np.float64))
