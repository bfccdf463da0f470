"""Where the camera's own turning takes what is seen. What is hidden, is `tracking`'s business."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.lens import Lens


@dataclass(frozen=True, eq=False)
class CameraPath:
    """How a camera was turned in every frame of a session.

    What stands still in the world moves through the picture as the camera turns; nearly all that a head-worn camera's
    picture moves within a fraction of a second is that.

    Attributes:
        first_from_frame: float64 [N, 3, 3], directions in the first frame's camera axes from those in a frame's.
        is_turned: bool [N], a rotation since the frame before was measured.
        lens: of the source picture.
    """

    first_from_frame: NDArray[np.float64]
    is_turned: NDArray[np.bool_]
    lens: Lens

    @classmethod
    def of(cls, rotation_rad: NDArray[np.float64], lens: Lens) -> Self:
        """The path of a session.

        Args:
            rotation_rad: float64 [N, 3], as in `FrameObservations`; not finite counts as none.
            lens: what the rotations were measured with, of the source picture's size: with another one they are angles
                of another camera.
        """
        import cv2

        known_rad = np.nan_to_num(rotation_rad, posinf=0.0, neginf=0.0)
        # SciPy's rotations take a quarter of a second to load, these as long for two hours of frames.
        turns = [np.asarray(cv2.Rodrigues(turn_rad)[0]) for turn_rad in known_rad]
        first_from_frame = np.array(list(accumulate(turns, np.matmul))).reshape(-1, 3, 3)
        return cls(first_from_frame, np.asarray(known_rad.any(axis=1)), lens)

    def carried(self, point_px: NDArray[np.float64], from_frame: int, to_frame: int) -> NDArray[np.float64]:
        """Where a far point [2] of one frame is in another; where it was, if that is no longer before the camera."""
        there_px = self.way(point_px, from_frame, np.array([to_frame]))[0]
        return there_px if np.isfinite(there_px).all() else point_px

    def way(self, point_px: NDArray[np.float64], from_frame: int, to_frames: NDArray[np.intp]) -> NDArray[np.float64]:
        """Where a far point [2] of one frame is in each of M others, [M, 2]; NaN where it is not before the camera."""
        ray = self.first_from_frame[from_frame] @ self.lens.rays(point_px[None])[0]
        return self.lens.pixels(ray @ self.first_from_frame[to_frames])
