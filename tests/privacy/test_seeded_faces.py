"""Planted faces: what is planted is what is said, found where it can be seen, and the same for the same seed."""

import numpy as np
import pytest

from harchive_dagster.errors import PrivacyError, SettingsError
from harchive_dagster.privacy import seeded_faces
from harchive_dagster.privacy.detection import Box
from harchive_dagster.privacy.seeded_faces import SeededRecall, seeded_recall


class Sees:
    """A detector that reports the same boxes in every picture, and keeps the pictures."""

    name, version = "sees", "1"

    def __init__(self, *boxes):
        self.boxes = list(boxes)
        self.pictures = []

    def detect(self, rgb):
        self.pictures.append(rgb)
        return self.boxes


@pytest.fixture(scope="module")
def frames(face_at):
    return [face_at(319, 255), face_at(639, 479, width_px=640, height_px=480)]


def test_planted_faces_are_found_by_the_detector_and_not_by_a_blind_one(detector, frames):
    found = seeded_recall(frames[1:], detector, seed=3, plants=12, small_plants=6)
    assert found.large >= 0.9
    assert found.small >= 0.6
    assert seeded_recall(frames, Sees(), seed=3) == SeededRecall(0.0, 0.0)
    assert seeded_recall(frames, Sees(Box("face", 0, 0, 5, 5, 1.0)), seed=3) == SeededRecall(0.0, 0.0)
    assert seeded_recall(frames, Sees(Box("face", 0, 0, 640, 480, 1.0)), seed=3) == SeededRecall(1.0, 1.0)


def test_small_and_large_faces_are_counted_apart(detector, frames):
    class OnlyLarge(Sees):
        def detect(self, rgb):
            return [box for box in detector.detect(rgb) if box.h > 46]

    found = seeded_recall(frames[1:], OnlyLarge(), seed=3, plants=12, small_plants=6)
    assert found.large > 0.7
    assert found.small < 0.3


def test_planting_leaves_the_frames_alone_and_repeats_with_its_seed(frames):
    originals = [frame.copy() for frame in frames]
    one, same, other = Sees(), Sees(), Sees()
    for eye, seed in ((one, 1), (same, 1), (other, 2)):
        seeded_recall(frames, eye, seed=seed, plants=6, small_plants=2)
    assert all((a == b).all() for a, b in zip(frames, originals, strict=True))
    assert all((a == b).all() for a, b in zip(one.pictures, same.pictures, strict=True))
    assert not all(a.shape == b.shape and (a == b).all() for a, b in zip(one.pictures, other.pictures, strict=True))


def test_every_plant_changes_its_picture_and_is_as_dark_as_that():
    eye = Sees()
    dark = np.full((480, 640, 3), 40, np.uint8)
    seeded_recall([dark], eye, seed=0, plants=6, small_plants=2)
    assert len(eye.pictures) == 8
    for picture in eye.pictures:
        planted = picture[(picture != 40).any(axis=2)]
        assert len(planted) > 500
        assert planted.mean() < 80


def test_a_large_picture_takes_several_faces_at_once():
    eye = Sees()
    seeded_recall([np.full((1080, 1920, 3), 90, np.uint8)], eye, seed=0, plants=12, small_plants=4)
    assert len(eye.pictures) == 2


def test_a_portrait_that_is_not_installed_is_an_error_and_no_recall(monkeypatch):
    seeded_faces._portraits.cache_clear()
    monkeypatch.setattr(seeded_faces, "bundled_file", lambda *_: None)
    with pytest.raises(SettingsError, match=r"data/astronaut\.png of the 'skimage' distribution is not installed"):
        seeded_recall([np.zeros((64, 64, 3), np.uint8)], Sees(), seed=0)


@pytest.mark.parametrize(("width_px", "height_px"), [(64, 48), (33, 200), (16, 16)])
def test_pictures_that_are_smaller_than_a_face_are_fine(width_px, height_px):
    picture = np.zeros((height_px, width_px, 3), np.uint8)
    assert seeded_recall([picture], Sees(), seed=0, plants=3, small_plants=1) == SeededRecall(0.0, 0.0)


@pytest.mark.parametrize(
    ("frames", "plants", "small"),
    [([], 4, 4), ([np.zeros((64, 64, 3), np.uint8)], 0, 4), ([np.zeros((64, 64, 3), np.uint8)], 4, 0)],
)
def test_recall_without_evidence_is_refused(frames, plants, small):
    with pytest.raises(PrivacyError, match="cannot be tried"):
        seeded_recall(frames, Sees(), seed=0, plants=plants, small_plants=small)
