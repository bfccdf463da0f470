import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from harchive_dagster.recording.lens import Lens, RayTable, assumed_lens
from harchive_dagster.recording.visual_rotation import RotationTracker

PINHOLE = Lens("pinhole", 1920, 1080, 1000.0, 1005.0, 950.0, 545.0, (-0.21, 0.06, 0.001, -0.0007, -0.008))
FISHEYE = Lens("fisheye", 1920, 1080, 820.0, 822.0, 965.0, 532.0, (-0.03, 0.008, -0.012, 0.004))


def _matrix(lens):
    return np.array([[lens.fx_px, 0, lens.cx_px], [0, lens.fy_px, lens.cy_px], [0, 0, 1.0]])


def _projected(lens, rays):
    """Where OpenCV's own forward model puts rays."""
    project = cv2.fisheye.projectPoints if lens.model == "fisheye" else cv2.projectPoints
    nothing = np.zeros((3, 1))
    if lens.model == "fisheye":
        return project(rays[:, None], nothing, nothing, _matrix(lens), np.array(lens.distortion))[0].reshape(-1, 2)
    return project(rays, nothing, nothing, _matrix(lens), np.array(lens.distortion))[0].reshape(-1, 2)


@pytest.mark.parametrize("lens", [PINHOLE, FISHEYE, assumed_lens(1920, 1080)], ids=["pinhole", "fisheye", "assumed"])
@given(x=st.floats(0, 1919), y=st.floats(0, 1079))
def test_a_ray_meets_the_pixel_that_it_was_asked_for(lens, x, y):
    rays = lens.rays(np.array([[x, y]]))
    assert np.linalg.norm(rays) == pytest.approx(1.0)
    assert np.allclose(_projected(lens, rays), [[x, y]], atol=0.01)


def test_the_axis_looks_straight_ahead():
    for lens in (PINHOLE, FISHEYE):
        assert np.allclose(lens.rays(np.array([[lens.cx_px, lens.cy_px]])), [[0, 0, 1]], atol=1e-9)


def test_a_fisheye_looks_behind_itself():
    lens = Lens("fisheye", 1000, 1000, 250.0, 250.0, 499.5, 499.5, (0.0,) * 4)
    assert np.allclose(
        lens.rays(np.array([[499.5 + 250 * np.radians(100), 499.5]])), [[0.98481, 0, -0.17365]], atol=1e-5
    )
    assert np.isnan(lens.rays(np.array([[999.0, 999.0]]))).all()


@pytest.mark.parametrize(
    "lens",
    [replace(PINHOLE, distortion=(-0.5, 0, 0, 0, 0)), replace(FISHEYE, distortion=(-0.4, 0, 0, 0))],
    ids=["pinhole", "fisheye"],
)
def test_where_the_distortion_folds_over_there_is_no_ray(lens):
    rays = lens.rays(np.array([[0.0, 0.0], [lens.cx_px + 100, lens.cy_px]]))
    assert np.isnan(rays[0]).all()
    assert np.isfinite(rays[1]).all()


@settings(deadline=None)
@given(st.integers(40, 400), st.sampled_from([PINHOLE, FISHEYE, replace(FISHEYE, cx_px=0.0, fy_px=FISHEYE.fx_px * 2)]))
def test_a_lens_looks_the_same_way_in_pictures_of_any_size(width, lens):
    height = round(width * 9 / 16)
    shares = np.array([[0.1, 0.1], [0.3, 0.8], [0.9, 0.5]])
    rays, _ = RayTable.of(lens, width, height).at(shares * (width, height) - 0.5)
    assert np.allclose(rays, lens.rays(shares * (1920, 1080) - 0.5), atol=2e-3)


def test_the_table_agrees_with_the_lens_between_pixels():
    lens = replace(FISHEYE, width_px=480, height_px=270, fx_px=205.0, fy_px=205.5, cx_px=241.0, cy_px=133.0)
    points = np.random.default_rng(0).uniform(0, [479, 269], (500, 2)).astype(np.float32)
    rays, px_per_rad = RayTable.of(lens, 480, 270).at(points)
    assert np.abs(rays - lens.rays(points)).max() < 1e-5
    right, down = (lens.rays(points + half) - lens.rays(points - half) for half in ([0.5, 0], [0, 0.5]))
    assert np.allclose(px_per_rad**2 * np.linalg.norm(np.cross(right, down), axis=1), 1.0, rtol=0.02)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "omni"}, "model is 'omni', expected one of fisheye, pinhole"),
        ({"distortion": (0.1,)}, "distortion has 1 numbers, fisheye has k1, k2, k3, k4"),
        ({"distortion": (0.1, float("nan"), 0.0, 0.0)}, "distortion is [0.1, nan, 0.0, 0.0]"),
        ({"distortion": (1e9, 0.0, 0.0, 0.0)}, "expected numbers up to 1000"),
        ({"width_px": 0}, "the picture is 0 x 1080"),
        ({"height_px": 10**9}, "the picture is 1920 x 1000000000"),
        ({"fx_px": 0.0}, "focal lengths are 0 and 822"),
        ({"fy_px": float("inf")}, "focal lengths are 820 and inf"),
        ({"fx_px": 300.0}, "which no pixel's shape explains"),
        ({"cx_px": -1.0}, "the centre (-1, 532) lies outside the picture"),
        ({"cy_px": float("nan")}, "lies outside the picture"),
        ({"distortion": (-9.0, 0.0, 0.0, 0.0)}, "folds all but"),
    ],
)
def test_a_camera_that_cannot_be_is_not_made(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        replace(FISHEYE, **change)


def test_the_assumed_field_of_view_is_75_degrees_along_the_longer_side():
    for size in ((1920, 1080), (1080, 1920)):
        lens = assumed_lens(*size)
        ends = (
            [(-0.5, lens.cy_px), (1919.5, lens.cy_px)]
            if size[0] == 1920
            else [(lens.cx_px, -0.5), (lens.cx_px, 1919.5)]
        )
        one, other = lens.rays(np.array(ends))
        assert np.degrees(np.arccos(one @ other)) == pytest.approx(75.0)


WIDE = Lens("fisheye", 480, 270, 480 / np.radians(140), 480 / np.radians(140), 239.5, 134.5, (-0.02, 0.004, 0.0, 0.0))


def _seen(panorama, body):
    """What a camera with the lens `WIDE` sees all round itself when its body is turned."""
    points = np.stack(np.meshgrid(np.arange(480.0), np.arange(270.0)), axis=-1).reshape(-1, 2)
    x, y, z = body.apply(WIDE.rays(points)).T.reshape(3, 270, 480).astype(np.float32)
    across = (np.arctan2(x, z) / np.float32(2 * np.pi) + np.float32(0.5)) * np.float32(panorama.shape[1])
    down = (np.arcsin(y) / np.float32(np.pi) + np.float32(0.5)) * np.float32(panorama.shape[0])
    return cv2.remap(panorama, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


@pytest.fixture(scope="module")
def panorama():
    rng = np.random.default_rng(3)
    grain = sum(
        cv2.resize(rng.normal(size=(n, 2 * n)), (2048, 1024), interpolation=cv2.INTER_CUBIC) for n in (40, 90, 200)
    )
    return np.clip(128 + 40 * grain / grain.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("turn", [(0, 0.05, 0), (0.05, 0, 0), (-0.03, 0.04, 0.02)])
def test_rotation_seen_through_a_wide_lens_is_right_with_its_calibration_and_wrong_without(panorama, turn):
    start = Rotation.from_rotvec([0.1, 0.4, -0.05])
    pictures = [_seen(panorama, start), _seen(panorama, start * Rotation.from_rotvec(turn))]
    found = {}
    for name, lens in (("known", WIDE), ("assumed", assumed_lens(480, 270))):
        tracker = RotationTracker(lens)
        tracker.step(pictures[0])
        found[name] = tracker.step(pictures[1])
    off = {name: np.linalg.norm(step.rotation_rad - turn) / np.linalg.norm(turn) for name, step in found.items()}
    assert off["known"] < 0.01
    assert off["assumed"] > 0.03
    assert found["known"].inliers > 1.2 * found["assumed"].inliers


def test_a_picture_too_small_to_follow_anything_in_gives_no_rotation():
    tracker = RotationTracker(assumed_lens(1920, 2))
    flat = np.zeros((1, 480), np.uint8)
    tracker.step(flat)
    assert tracker.step(flat).inliers == 0


@pytest.mark.parametrize("lens", [PINHOLE, FISHEYE, assumed_lens(1920, 1080)], ids=["pinhole", "fisheye", "assumed"])
@given(x=st.floats(0, 1919), y=st.floats(0, 1079), length=st.floats(0.1, 9.0))
def test_a_pixel_is_found_again_along_its_ray(lens, x, y, length):
    rays = length * lens.rays(np.array([[x, y]]))
    assert np.allclose(lens.pixels(rays), [[x, y]], atol=0.01)


@pytest.mark.parametrize("lens", [PINHOLE, FISHEYE])
def test_nothing_is_seen_straight_behind(lens):
    assert np.isnan(lens.pixels(np.array([[0.0, 0.01, -1.0]]))).all()
