"""Faces are where the truth says, seeded, and about as often as asked for."""

import itertools

import cv2
import numpy as np
import pytest

from harchive_dagster.demo.planted_faces import Cutout, Manner, planted_faces, portrait
from harchive_dagster.demo.scene import Box, Camera

GREY = np.full((90, 160, 3), 128, np.uint8)


def frames(duration_s, **overrides):
    defaults = {"seed": 5, "camera": Camera(320, 180), "fps": 2, "ground": GREY}
    return list(planted_faces(duration_s, **defaults | overrides))


def disc():
    """A person who is nothing but one red ellipse of a face."""
    texture = np.zeros((200, 100, 3), np.uint8)
    texture[:, :, 2] = 255
    mask = np.zeros((200, 100), np.uint8)
    cv2.ellipse(mask, (50, 100), (40, 80), 0, 0, 360, 255, -1)
    return Cutout(texture, mask, Box(10.0, 20.0, 80.0, 160.0))


def outline(picture):
    is_red = (picture[:, :, 2] > 150) & (picture[:, :, 1] < 60)
    rows, columns = np.nonzero(is_red)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_box_is_the_outline_of_the_face_in_the_picture():
    compared = set()
    for frame in frames(40.0, camera=Camera(640, 360), face_share=0.5, people=[disc()]):
        for face in frame.faces if len(frame.faces) == 1 and not frame.is_dark else ():
            box = face.box
            expected = (box.x, box.y, box.x + box.w, box.y + box.h)
            is_inside = min(expected) > 1 and expected[2] < 639 and expected[3] < 359
            if is_inside and face.manner is not Manner.HALF_HIDDEN:
                assert outline(frame.picture) == pytest.approx(expected, abs=2.0)
                compared.add(face.manner)
    assert Manner.TURNING in compared
    assert len(compared) > 2


def test_a_half_hidden_face_has_the_box_of_the_half_that_is_seen():
    seen = [face for frame in frames(20.0) for face in frame.faces if face.manner is Manner.HALF_HIDDEN]
    assert seen
    for face in seen:
        ratio = face.box.h / face.height_px
        assert ratio == pytest.approx(0.5) or (ratio == pytest.approx(1.0) and face.box.w < 0.5 * face.box.h)


def test_the_same_seed_gives_the_same_pictures_and_another_one_others():
    first, again, other = frames(2.0), frames(2.0), frames(2.0, seed=6)
    assert all(np.array_equal(a.picture, b.picture) and a.faces == b.faces for a, b in zip(first, again, strict=True))
    assert any(a.faces != b.faces for a, b in zip(first, other, strict=True))


def test_sparse_clips_show_somebody_in_about_the_share_of_time_asked_for():
    def share(face_share):
        clips = (frames(24.0, face_share=face_share, seed=seed) for seed in range(3))
        return np.mean([bool(frame.faces) for frame in itertools.chain(*clips)])

    assert 0.05 < share(0.15) < 0.25
    assert share(1.0) > 0.6


def test_the_last_quarter_is_dark_and_faces_are_of_every_manner():
    clip = frames(20.0)
    assert {face.manner for frame in clip for face in frame.faces} == set(Manner)
    light, dark = ([f.picture.mean() for f in clip if f.is_dark is is_dark] for is_dark in (False, True))
    assert len(dark) == pytest.approx(len(clip) / 4, abs=2)
    assert np.median(dark) < 0.5 * np.median(light)


def test_the_portrait_s_face_lies_inside_its_outline():
    person = portrait()
    face = person.face
    inside = person.mask[int(face.y) : int(face.y + face.h), int(face.x) : int(face.x + face.w)]
    assert (inside > 0).mean() > 0.95
