"""Rotation between orientations: what a gyro would have felt. Knows neither devices nor clocks."""

import numpy as np
from numpy.typing import NDArray


def relative_rotations(*factors_wxyz: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How a body turned since the entry before.

    Args:
        factors_wxyz: float64 [N, 4] each, unit quaternions whose product, in this order, turns the body's axes into
            those of a fixed frame; NaN where not known.

    Returns:
        Rotation vectors [N, 3] in the body's axes, zero for the first entry and where not known; and whether they are
        known [N].
    """
    from scipy.spatial.transform import Rotation

    count = len(factors_wxyz[0])
    turns = np.zeros((count, 3))
    is_given = np.all([np.isfinite(wxyz).all(axis=1) for wxyz in factors_wxyz], axis=0)
    is_known = is_given & np.concatenate([[False], is_given[:-1]])
    if not is_known.any():
        return turns, np.zeros(count, dtype=np.bool_)
    body = Rotation.identity(count)
    for wxyz in factors_wxyz:
        body = body * Rotation.from_quat(np.where(is_given[:, None], wxyz, [1.0, 0.0, 0.0, 0.0])[:, [1, 2, 3, 0]])
    turns[1:] = (body[:-1].inv() * body[1:]).as_rotvec()
    turns[~is_known] = 0.0
    return turns, is_known
