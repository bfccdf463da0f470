import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.recording.picture_quality import measure_quality


@pytest.fixture(scope="module")
def view():
    rng = np.random.default_rng(1)
    picture = cv2.resize(rng.normal(size=(12, 20)), (480, 270), interpolation=cv2.INTER_CUBIC)
    picture = 120 + 40 * picture + cv2.resize(rng.normal(size=(90, 160)) * 15, (480, 270))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _covered(kind: str) -> np.ndarray:
    rng = np.random.default_rng(2)
    across = np.linspace(-1, 1, 480)[None, :] * np.linspace(-1, 1, 270)[:, None]
    picture = {
        "cap": np.full((270, 480), 6.0) + rng.normal(size=(270, 480)) * 3,
        "glowing palm": 90 + 25 * across + rng.normal(size=(270, 480)) * 4,
        "dark cloth": 30 + 8 * across + rng.normal(size=(270, 480)) * 5,
        "blown out": np.full((270, 480), 255.0),
    }[kind]
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["cap", "glowing palm", "dark cloth", "blown out"])
def test_a_covered_lens_is_obstructed(kind):
    assert measure_quality(_covered(kind)).obstructed_fraction > 0.9


def test_an_ordinary_view_is_not_obstructed(view, scene):
    assert measure_quality(view).obstructed_fraction < 0.3
    assert measure_quality(scene.seen(Rotation.identity())).obstructed_fraction < 0.3


def test_a_dim_room_is_not_taken_for_a_covered_lens(view):
    assert measure_quality((view * 0.3).astype(np.uint8)).obstructed_fraction < 0.3


def test_a_hand_over_half_of_the_lens_covers_half_of_the_blocks(view):
    half = view.copy()
    half[:, :240] = _covered("glowing palm")[:, :240]
    assert measure_quality(half).obstructed_fraction == pytest.approx(0.5, abs=0.1)


def test_blur_lowers_sharpness_and_nothing_else_much(view):
    blurred = cv2.GaussianBlur(view, (0, 0), 2.0)
    assert measure_quality(blurred).sharpness < 0.3 * measure_quality(view).sharpness
    assert measure_quality(blurred).luma_mean == pytest.approx(measure_quality(view).luma_mean, abs=1)


def test_figures_have_their_stated_units():
    picture = np.zeros((100, 200), np.uint8)
    picture[:, 100:] = 255
    quality = measure_quality(picture)
    assert quality.luma_mean == pytest.approx(127.5)
    assert quality.luma_std == pytest.approx(127.5)
    assert quality.clipped_fraction == 1.0
    assert measure_quality(np.full((100, 200), 128, np.uint8)).clipped_fraction == 0.0
