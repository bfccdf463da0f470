"""Orientations as what a gyro would have felt, and headsets that are aligned by them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.sync.alignment import align_gyro
from harchive_dagster.sync.orientation_rates import head_turning, relative_rotations, turning


def orientations(steps_rad):
    """Where a body points that turns by these steps, in its own axes."""
    turned, found = Rotation.identity(), []
    for step in Rotation.from_rotvec(steps_rad):
        turned = turned * step
        found.append(turned)
    return Rotation.concatenate(found).as_quat()[:, [3, 0, 1, 2]]


def make_pose(wxyz, t_device_ns, joints=("head",), oriented=0):
    every = np.full((len(wxyz), len(joints), 4), np.nan)
    every[:, oriented] = wxyz
    return PoseStream("headset", "head", t_device_ns, joints, orientation_wxyz=every)


def test_rotations_between_orientations_are_those_that_made_them():
    steps = np.random.default_rng(1).normal(size=(50, 3)) * 0.1
    steps[0] = 0
    flipped = orientations(steps) * np.where(np.arange(50) % 2, -1, 1)[:, None]
    found, is_known = relative_rotations(flipped)
    np.testing.assert_allclose(found, steps, atol=1e-12)
    assert is_known.tolist() == [False] + [True] * 49


def test_what_is_not_known_touches_its_neighbours_only():
    quaternions = orientations(np.full((20, 3), 0.01))
    quaternions[7] = np.nan
    found, is_known = relative_rotations(quaternions)
    assert np.flatnonzero(~is_known).tolist() == [0, 7, 8]
    np.testing.assert_allclose(found[is_known], 0.01)
    rates = turning("a", "head", np.arange(20) * 10_000_000, quaternions)
    np.testing.assert_allclose(rates.gyro_rad_s, 1.0)
    assert len(rates) == 17


@pytest.mark.parametrize(
    ("joints", "oriented", "is_found"),
    [
        (("head",), 0, True),
        (("anything",), 0, True),
        (("wrist", "camera"), [0, 1], True),
        (("wrist", "thumb"), [0, 1], False),
        (("head", "camera"), [0, 1], False),
        (("head", "wrist"), 1, True),
    ],
)
def test_the_joint_that_is_the_head_is_the_only_one_that_turns_or_named_so(joints, oriented, is_found):
    wxyz = orientations(np.full((10, 3), 0.01))
    wxyz = wxyz if isinstance(oriented, int) else wxyz[:, None]
    pose = make_pose(wxyz, np.arange(10), joints, oriented)
    assert (head_turning(pose) is not None) == is_found


def test_positions_alone_turn_nothing():
    assert head_turning(PoseStream("p", "head", np.arange(5), ("head",), position_m=np.zeros((5, 1, 3)))) is None


@pytest.mark.parametrize("step", [2, 7])
def test_a_headset_s_orientations_are_aligned_as_a_gyro_is(make_session, step):
    session = make_session(8, duration_s=30.0, drift_ppm=20.0)
    gyro = session.imu.gyro_rad_s - session.bias_rad_s
    periods_s = np.diff(session.imu.t_device_ns, prepend=session.imu.t_device_ns[0])[:, None] * 1e-9
    mean = np.vstack([gyro[:1], (gyro[1:] + gyro[:-1]) / 2])
    # 100 and 29 orientations a second, of a headset that says where it points and nothing else.
    pose = make_pose(orientations(mean * periods_s)[::step], session.imu.t_device_ns[::step])
    alignment = align_gyro(*session.seen, head_turning(pose))
    assert alignment.is_accepted, alignment.detail
    assert alignment.stream_id == "headset"
    assert abs(session.error_ms(alignment)) < 1.5
