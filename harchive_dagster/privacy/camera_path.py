"""Where the camera's own turning takes what is seen. What is hidden, is `tracking`'s business."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import numpy as np
from numpy.typing import NDArray

_AHEAD_MIN = 0.2
"""Cosine to the axis below which a pinhole's picture runs off to infinity."""


@dataclass(frozen=True, eq=False)
class CameraPath:
    """How a camera was turned in every frame of a session.

    What stands still in the world moves through the picture as the camera turns; nearly all that a head-worn camera's
    picture moves within a fraction of a second is that.

    Attributes:
        first_from_frame: float64 [N, 3, 3], directions in the first frame's camera axes from those in a frame's.
        is_turned: bool [N], a rotation since the frame before was measured.
        focal_px: of a pinhole, in pixels of the source picture.
        centre_px: float64 [2], where its axis meets the picture.
    """

    first_from_frame: NDArray[np.float64]
    is_turned: NDArray[np.bool_]
    focal_px: float
    centre_px: NDArray[np.float64]

    @classmethod
    def of(cls, rotation_rad: NDArray[np.float64], *, focal_px: float, width_px: int, height_px: int) -> Self:
        """The path of a session.

        Args:
            rotation_rad: float64 [N, 3], as in `FrameObservations`; not finite counts as none.
            focal_px: what the rotations were measured with: with another one they are angles of another camera.
            width_px: of the source picture.
            height_px: of the source picture.
        """
        from scipy.spatial.transform import Rotation

        known_rad = np.nan_to_num(rotation_rad, posinf=0.0, neginf=0.0)
        turns = Rotation.from_rotvec(known_rad).as_matrix()
        centre_px = np.array([(width_px - 1) / 2, (height_px - 1) / 2])
        first_from_frame = np.array(list(accumulate(turns, np.matmul))).reshape(-1, 3, 3)
        return cls(first_from_frame, np.asarray(known_rad.any(axis=1)), focal_px, centre_px)

    def carried(self, point_px: NDArray[np.float64], from_frame: int, to_frame: int) -> NDArray[np.float64]:
        """Where a far point [2] of one frame is in another; where it was, if that is no longer before the camera."""
        ray = np.append((point_px - self.centre_px) / self.focal_px, 1.0)
        turned = self.first_from_frame[to_frame].T @ (self.first_from_frame[from_frame] @ ray)
        if turned[2] < _AHEAD_MIN * np.linalg.norm(turned):
            return point_px
        return np.asarray(turned[:2] / turned[2] * self.focal_px + self.centre_px)
