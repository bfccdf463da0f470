from dataclasses import replace

import cv2
import numpy as np
import pytest

from harchive_dagster.demo.motion import HeadMotion, Phase, PhaseKind, make_motion
from harchive_dagster.demo.scene import Camera, Visit, render, render_covered
from harchive_dagster.demo.scenery import Picture, Scenery, make_scenery

CAMERA = Camera(640, 360)
WALK = make_motion((Phase(PhaseKind.WALK, 0.0, 6.0),), np.random.default_rng(5))
VISIT = Visit(start_s=0.0, end_s=6.0, face_px=(70.0, 90.0), side=-1.0, is_crossing=True)


@pytest.fixture(scope="module")
def scenery() -> Scenery:
    return make_scenery(1)


def luma(scenery: Scenery, motion: HeadMotion, t_s: list[float]) -> list[Picture]:
    return [cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p, _ in render(scenery, motion, CAMERA, np.array(t_s))]


def tracked(before: Picture, after: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Feature positions in two pictures, by Lucas-Kanade checked there and back."""
    start = cv2.goodFeaturesToTrack(before, 200, 0.01, 8)
    end, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None)
    again, found_again, _ = cv2.calcOpticalFlowPyrLK(after, before, end, None)
    is_good = (found[:, 0] & found_again[:, 0]).astype(bool) & (np.abs(again - start).max(axis=(1, 2)) < 0.5)
    return start[is_good, 0], end[is_good, 0]


def moved_by_rotation(points: np.ndarray, after_from_before: np.ndarray) -> np.ndarray:
    rays = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ np.linalg.inv(CAMERA.matrix).T
    seen = rays @ after_from_before.T @ CAMERA.matrix.T
    return seen[:, :2] / seen[:, 2:]


def integrated_gyro(motion: HeadMotion, start_s: float, end_s: float, rate_hz: float = 200.0) -> np.ndarray:
    """Rotation of the camera body from gyro samples alone: start-from-end axes."""
    rotation = np.eye(3)
    step_s = 1 / rate_hz
    for t_s in np.arange(start_s, end_s - 1e-9, step_s):
        rate = motion.at(motion.gyro_rad_s, np.array([t_s + step_s / 2]))[0]
        rotation = rotation @ cv2.Rodrigues(rate * step_s)[0]
    return rotation


@pytest.mark.parametrize("start_s", [0.5, 1.7, 3.1, 4.4])
def test_the_picture_moves_as_the_gyro_says(scenery: Scenery, start_s: float) -> None:
    motion = replace(WALK, position_m=np.zeros_like(WALK.position_m))
    before, after = tracked(*luma(scenery, motion, [start_s, start_s + 0.1]))
    assert len(before) > 60
    turned = integrated_gyro(motion, start_s, start_s + 0.1)
    error = np.linalg.norm(moved_by_rotation(before, turned.T) - after, axis=1)
    assert np.median(error) < 0.3


def test_a_gyro_with_one_wrong_sign_does_not_explain_the_picture(scenery: Scenery) -> None:
    motion = replace(WALK, position_m=np.zeros_like(WALK.position_m))
    start_s = float(WALK.time_s[np.argmax(np.where(WALK.time_s < 5, np.abs(WALK.gyro_rad_s).min(axis=1), 0))])
    before, after = tracked(*luma(scenery, motion, [start_s, start_s + 0.1]))
    for axis in range(3):
        signs = np.ones(3)
        signs[axis] = -1
        flipped = replace(motion, gyro_rad_s=motion.gyro_rad_s * signs)
        turned = integrated_gyro(flipped, start_s, start_s + 0.1)
        error = np.linalg.norm(moved_by_rotation(before, turned.T) - after, axis=1)
        assert np.median(error) > 1.0


def test_a_sideways_step_moves_near_things_only(scenery: Scenery) -> None:
    at_rest = replace(WALK, angles_rad=np.zeros_like(WALK.angles_rad), position_m=np.zeros_like(WALK.position_m))
    aside = replace(at_rest, position_m=np.full_like(WALK.position_m, [0.1, 0.0, 0.0]))
    before, after = (luma(scenery, motion, [1.0])[0] for motion in (at_rest, aside))
    start, end = tracked(before, after)
    shift = end - start
    # Far things stay. The farthest near plane is 2.4 m away; what lies between are corners where one hides the other.
    assert (np.abs(shift).max(axis=1) < 0.2).sum() > 20
    is_near = shift[:, 0] < -0.95 * CAMERA.focal_px * 0.1 / 2.4
    assert is_near.sum() > 20
    assert np.median(np.abs(shift[is_near, 1])) < 0.2
    assert (shift[:, 0] > 1).mean() < 0.05  # the camera went right: nothing may follow it


def test_pictures_are_sharp_and_bright_enough_to_track(scenery: Scenery) -> None:
    for picture in luma(scenery, WALK, [0.0, 2.0, 4.0]):
        assert 50 < picture.mean() < 180
        assert cv2.Laplacian(picture, cv2.CV_64F).var() > 100


def test_the_face_enters_stays_and_leaves(scenery: Scenery) -> None:
    t_s = np.arange(0, 6, 0.1)
    boxes = [box for _, box in render(scenery, WALK, CAMERA, t_s, visits=(VISIT,))]
    is_seen = np.array([box is not None for box in boxes])
    assert not is_seen[0]
    assert not is_seen[-1]
    assert is_seen.sum() > 15


def test_a_face_box_is_at_least_half_inside_the_picture_and_of_the_asked_size(scenery: Scenery) -> None:
    for _, box in render(scenery, WALK, CAMERA, np.arange(0, 6, 0.1), visits=(VISIT,)):
        if box is not None:
            width = min(box.x + box.w, CAMERA.width_px) - max(box.x, 0)
            height = min(box.y + box.h, CAMERA.height_px) - max(box.y, 0)
            assert width * height >= 0.5 * box.w * box.h
            assert 50 < box.h < 150


def test_without_a_visit_there_is_no_face(scenery: Scenery) -> None:
    assert all(box is None for _, box in render(scenery, WALK, CAMERA, np.array([1.0, 2.0])))


def test_hands_cover_only_the_lower_part_of_the_picture(scenery: Scenery) -> None:
    t_s = np.array([1.0])
    ((bare, _),) = render(scenery, WALK, CAMERA, t_s)
    ((busy, _),) = render(scenery, WALK, CAMERA, t_s, has_hands=np.array([True]))
    rows = np.flatnonzero((bare != busy).any(axis=(1, 2)))
    assert len(rows) > 20
    assert rows.min() > 0.6 * CAMERA.height_px


def test_looking_all_around_never_shows_what_lies_behind(scenery: Scenery) -> None:
    """A plane behind the camera would appear mirrored if it were projected."""
    turned = replace(WALK, angles_rad=np.full_like(WALK.angles_rad, [2.8, 0.0, 0.0]))
    no_planes = Scenery(scenery.panorama, (), scenery.person, scenery.glove)
    (with_planes, _), (without, _) = (next(render(s, turned, CAMERA, np.array([1.0]))) for s in (scenery, no_planes))
    np.testing.assert_array_equal(with_planes, without)


def test_a_covered_lens_is_dark_and_has_no_texture() -> None:
    for picture in render_covered(CAMERA, 3, np.random.default_rng(0)):
        assert picture.shape == (360, 640, 3)
        assert picture.mean() < 30
        assert cv2.Laplacian(picture, cv2.CV_64F).var() < 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_privacy_detector_sees_the_face_and_nothing_else(seed: int) -> None:
    from harchive_dagster.privacy.centerface import CenterFaceDetector

    detector = CenterFaceDetector(score_threshold=0.3)
    t_s = np.arange(0, 6, 0.25)
    seen = shown = 0
    for picture, box in render(make_scenery(seed), WALK, CAMERA, t_s, visits=(VISIT,)):
        found = detector.detect(np.ascontiguousarray(picture[:, :, ::-1]))
        if box is not None:
            shown += 1
            seen += any(abs(f.x + f.w / 2 - box.x - box.w / 2) < box.w / 3 for f in found)
    nobody = [
        detector.detect(np.ascontiguousarray(p[:, :, ::-1])) for p, _ in render(make_scenery(seed), WALK, CAMERA, t_s)
    ]
    assert shown > 5
    assert seen >= 0.95 * shown
    assert not any(nobody)
