"""Rotation between orientations: what a gyro would have felt. Knows neither devices nor clocks."""

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream

_HEAD_JOINTS = ("head", "camera", "device")
"""Of a pose with several joints: the one that is fixed to the head."""

_RATES_MIN = 3


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


def turning(
    stream_id: str, placement: str, t_ns: NDArray[np.int64], *factors_wxyz: NDArray[np.float64]
) -> ImuStream | None:
    """Orientations as what a gyro in the body would have measured: each mean rate at the middle of its interval.

    The specific force is zero: alignment reads rotation only.

    Args:
        stream_id: of the result.
        placement: of the result.
        t_ns: int64 [N], strictly increasing.
        factors_wxyz: as in `relative_rotations`.

    Returns:
        The rates, or None where there are fewer than 3.
    """
    turns, is_known = relative_rotations(*factors_wxyz)
    if np.count_nonzero(is_known) < _RATES_MIN:
        return None
    rates = (turns[1:] / np.diff(t_ns)[:, None] * 1e9)[is_known[1:]]
    middles_ns = (t_ns[:-1] + np.diff(t_ns) // 2)[is_known[1:]]
    return ImuStream(stream_id, placement, middles_ns, np.zeros_like(rates), rates)


def head_turning(pose: PoseStream) -> ImuStream | None:
    """The rotation of whatever a pose says the head is; None where it does not say, or gives no orientations."""
    if pose.orientation_wxyz is None:
        return None
    is_oriented: NDArray[np.bool_] = np.asarray(np.isfinite(pose.orientation_wxyz).all(axis=2))
    oriented = [index for index in range(len(pose.joints)) if is_oriented[:, index].any()]
    named = [index for index in oriented if pose.joints[index] in _HEAD_JOINTS]
    chosen = oriented if len(oriented) == 1 else named
    if len(chosen) != 1:
        return None
    return turning(pose.stream_id, pose.placement, pose.t_device_ns, pose.orientation_wxyz[:, chosen[0]])
