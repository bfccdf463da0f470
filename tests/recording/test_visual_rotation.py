import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from harchive_dagster.recording.lens import Lens
from harchive_dagster.recording.visual_rotation import RotationTracker, fit_rotation

FOCAL_PX = 240.0
LENS = Lens("pinhole", 320, 180, FOCAL_PX, FOCAL_PX, 159.5, 89.5, (0.0,) * 5)


def _step(scene, rotation_rad, start=(0.0, 0.0, 0.0)):
    tracker = RotationTracker(LENS)
    first = Rotation.from_rotvec(start)
    tracker.step(scene.seen(first))
    return tracker.step(scene.seen(first * Rotation.from_rotvec(rotation_rad)))


@pytest.mark.parametrize(
    ("rotation_rad", "words"),
    [
        ((0, 0.03, 0), "head turns right"),
        ((0, -0.1, 0), "head turns left fast"),
        ((0.02, 0, 0), "head tilts up"),
        ((0, 0, 0.04), "head leans"),
        ((-0.02, 0.03, 0.025), "all at once"),
        ((0.001, -0.002, 0.001), "almost still"),
    ],
)
def test_the_rotation_between_two_pictures_is_recovered(scene, rotation_rad, words):
    step = _step(scene, rotation_rad)
    assert step.inliers > 50, words
    assert np.allclose(step.rotation_rad, rotation_rad, atol=4e-4), words


def test_turning_right_moves_the_scene_left_and_is_positive_about_y(scene):
    before = scene.seen(Rotation.identity())
    tracker = RotationTracker(LENS)
    tracker.step(before)
    moved_left = np.roll(before, -6, axis=1)
    moved_left[:, -6:] = moved_left[:, -7:-6]
    assert tracker.step(moved_left).rotation_rad[1] == pytest.approx(6 / FOCAL_PX, rel=0.2)


def test_steps_add_up_along_a_turn(scene):
    tracker = RotationTracker(LENS)
    angles = np.cumsum(np.sin(np.arange(60) / 9.0) * 0.01)
    steps = [tracker.step(scene.seen(Rotation.from_rotvec([0, angle, 0]))) for angle in angles]
    assert sum(step.rotation_rad[1] for step in steps) == pytest.approx(angles[-1] - angles[0], abs=0.003)


def test_motion_is_the_displacement_in_pixels(scene):
    assert _step(scene, (0, 0.05, 0)).motion_px == pytest.approx(0.05 * FOCAL_PX, rel=0.15)


def test_something_near_that_moves_on_its_own_does_not_pull_the_rotation(scene):
    tracker = RotationTracker(LENS)
    first, second = scene.seen(Rotation.identity()), scene.seen(Rotation.from_rotvec([0, 0.02, 0]))
    other = scene.seen(Rotation.from_rotvec([0.5, 0.3, 0]))
    first[100:, 100:220], second[100:, 100:220] = other[:80, 100:220], other[:80, 91:211]
    tracker.step(first)
    assert np.allclose(tracker.step(second).rotation_rad, [0, 0.02, 0], atol=1.5e-3)


def test_the_first_picture_has_no_rotation(scene):
    step = RotationTracker(LENS).step(scene.seen(Rotation.identity()))
    assert (step.inliers, step.motion_px, step.is_scene_cut) == (0, 0.0, False)
    assert not step.rotation_rad.any()


def test_a_scene_cut_is_flagged_and_not_measured(scene):
    tracker = RotationTracker(LENS)
    tracker.step(scene.seen(Rotation.identity()))
    step = tracker.step(scene.seen(Rotation.from_rotvec([0.3, 0.9, 0])))
    assert step.is_scene_cut
    assert step.inliers == 0
    assert not step.rotation_rad.any()


def test_a_light_that_goes_on_is_a_cut(scene):
    tracker = RotationTracker(LENS)
    picture = scene.seen(Rotation.identity())
    tracker.step((picture * 0.2).astype(np.uint8))
    assert tracker.step(picture).is_scene_cut


def test_a_picture_without_texture_gives_no_rotation_and_no_cut():
    tracker = RotationTracker(LENS)
    flat = np.full((180, 320), 90, np.uint8)
    tracker.step(flat)
    step = tracker.step(flat + np.uint8(2))
    assert (step.inliers, step.is_scene_cut) == (0, False)


def test_tracking_resumes_after_a_reset_without_measuring_across_it(scene):
    tracker = RotationTracker(LENS)
    tracker.step(scene.seen(Rotation.identity()))
    tracker.reset()
    assert tracker.step(scene.seen(Rotation.from_rotvec([0, 0.02, 0]))).inliers == 0
    resumed = tracker.step(scene.seen(Rotation.from_rotvec([0, 0.03, 0])))
    assert resumed.rotation_rad[1] == pytest.approx(0.01, abs=4e-4)


def test_a_picture_of_another_size_starts_afresh(scene):
    tracker = RotationTracker(LENS)
    picture = scene.seen(Rotation.identity())
    tracker.step(picture)
    assert tracker.step(cv2.resize(picture, (160, 90))).inliers == 0


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-0.15, 0.15)] * 3), st.integers(0, 2**31))
def test_the_fit_is_exact_on_exact_pairs_with_a_third_of_them_wrong(rotation_rad, seed):
    rng = np.random.default_rng(seed)
    flat = rng.uniform([-240, -135], [240, 135], (120, 2)) / 313.0
    before = np.column_stack([flat, np.ones(120)])
    after = Rotation.from_rotvec(rotation_rad).inv().apply(before)
    after[:40, :2] += rng.uniform(15, 60, (40, 2)) / 313.0 * after[:40, 2:]
    before, after = (rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (before, after))
    rotation, residual_px = fit_rotation(before, after, np.full(120, 313.0))
    assert np.allclose(rotation, rotation_rad, atol=2e-3)
    assert np.median(residual_px[40:]) < 1.0
