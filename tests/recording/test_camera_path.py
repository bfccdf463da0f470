"""Far points go through the picture as the camera's turning says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from harchive_dagster.recording.camera_path import CameraPath
from harchive_dagster.recording.lens import Lens

FOCAL_PX, WIDTH, HEIGHT = 600.0, 1280, 720
LENS = Lens("pinhole", WIDTH, HEIGHT, FOCAL_PX, FOCAL_PX, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, (0.0,) * 5)
turns = st.lists(st.tuples(*[st.floats(-0.03, 0.03)] * 3), min_size=2, max_size=12)


def path(rotation_rad):
    return CameraPath.of(np.array(rotation_rad, float), LENS)


def seen_at(ray_in_world, world_from_camera):
    x, y, z = world_from_camera.inv().apply(ray_in_world)
    return np.array([x / z, y / z]) * FOCAL_PX + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]


@settings(deadline=None)
@given(turns, st.floats(-0.4, 0.4), st.floats(-0.3, 0.3))
def test_a_far_point_is_found_again_in_every_frame_from_any_other(rotation_rad, x, y):
    camera = Rotation.identity()
    places = []
    for rotation in rotation_rad:
        camera = camera * Rotation.from_rotvec(rotation)
        places.append(seen_at(np.array([x, y, 1.0]), camera))
    for here in (0, len(places) - 1):
        for there, expected in enumerate(places):
            assert path(rotation_rad).carried(places[here], here, there) == pytest.approx(expected, abs=1e-6)


def test_turning_the_head_right_moves_what_is_ahead_to_the_left():
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    x, y = path([[0, 0, 0], [0, 0.1, 0]]).carried(centre, 0, 1)
    assert (x, y) == pytest.approx((centre[0] - FOCAL_PX * np.tan(0.1), centre[1]))


def test_what_the_camera_has_turned_away_from_stays_where_it_was():
    point = np.array([100.0, 100.0])
    assert path([[0, 0, 0], [0, 2.0, 0]]).carried(point, 0, 1) is point


def test_rotations_that_are_no_numbers_count_as_none():
    camera = path([[0, 0, 0], [np.nan, np.inf, 0], [0, 0.1, 0]])
    assert camera.is_turned.tolist() == [False, False, True]
    assert camera.carried(np.array([5.0, 6.0]), 0, 1) == pytest.approx([5.0, 6.0])
