"""What one look at a video leaves behind: a row a frame, and the detections. Types only; `look` fills them."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """Something that may identify a person, in pixels of the source picture as coded (display rotation not applied).

    `x`, `y` is the top-left corner; both may lie outside the picture when something is cut by its border. `is_slow`
    says that the slower of two detectors found it.
    """

    frame_index: int
    kind: str  # face | text | screen | plate | person
    x: float
    y: float
    w: float
    h: float
    score: float
    model: str = ""
    model_version: str = ""
    is_slow: bool = False


@dataclass(frozen=True, eq=False)
class FrameObservations:
    """One entry per decoded frame, in presentation order. Arrays are read-only and of one length N.

    Attributes:
        pts_ns: int64, zero at the first frame (session time).
        is_keyframe: bool.
        sharpness: float64, variance of the Laplacian of the small luma picture.
        luma_mean, luma_std: float64, 0-255.
        clipped_fraction: float64, share of pixels at or near black or white.
        obstructed_fraction: float64, share of picture blocks without any texture (a hand, a cloth, a cap on the lens).
        rotation_rad: float64 [N, 3], camera rotation since the previous frame about camera axes x right, y down,
            z forward (right-handed rotation vector of the camera body); zeros for frame 0 and where not estimable.
        rotation_inliers: int32, feature pairs that agree with the rotation; 0 where it was not estimable.
        motion_px: float64, median feature displacement since the previous frame at source width.
        is_detected: bool, the privacy detector ran on this frame, or saw nobody at a glance.
        is_slow_detected: bool, the slower of two ran on this frame.
    """

    pts_ns: NDArray[np.int64]
    is_keyframe: NDArray[np.bool_]
    sharpness: NDArray[np.float64]
    luma_mean: NDArray[np.float64]
    luma_std: NDArray[np.float64]
    clipped_fraction: NDArray[np.float64]
    obstructed_fraction: NDArray[np.float64]
    rotation_rad: NDArray[np.float64]
    rotation_inliers: NDArray[np.int32]
    motion_px: NDArray[np.float64]
    is_detected: NDArray[np.bool_]
    is_slow_detected: NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.pts_ns)
        for field in fields(self):
            array: NDArray[Any] = getattr(self, field.name)
            if len(array) != count:
                raise ValueError(f"{field.name} has {len(array)} entries, pts_ns has {count}")
            array.setflags(write=False)
        if self.rotation_rad.shape != (count, 3):
            raise ValueError(f"rotation_rad has shape {self.rotation_rad.shape}, expected ({count}, 3)")

    def __len__(self) -> int:
        return len(self.pts_ns)
