"""Large doubtful finds are looked at again in a smaller picture: nobody is lost by it, and who was missed is found."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.privacy.centerface import HINT_SCORE, CenterFaceDetector
from harchive_dagster.privacy.detection import Box, intersection_over_union
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.privacy.second_look import SecondLook

FULL_HD = np.zeros((1080, 1920, 3), np.uint8)


@dataclass
class Looks:
    """Answers with what it was given, and counts how often it was asked."""

    boxes: list[Box]
    name: str = "faces"
    version: str = "w"
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, rgb):
        self.asked.append(rgb.shape)
        return self.boxes


def box(score, *, x=600.0, y=200.0, size_px=400.0):
    return Box("face", x, y, size_px, size_px, score, "faces", "w", is_hint=score < 0.2)


def told(usual, smaller, rgb=FULL_HD):
    """What is given away, as (left edge, score, is_hint), and how often the smaller picture was looked at."""
    second = Looks(list(smaller))
    found = SecondLook(Looks(list(usual)), second).detect(rgb)
    return [(one.x, one.score, one.is_hint) for one in found], len(second.asked)


def boxes(lowest):
    return st.lists(
        st.builds(
            lambda score, x, y, size_px: box(score, x=x, y=y, size_px=size_px),
            st.floats(lowest, 1.0),
            st.floats(-300, 1900),
            st.floats(-300, 1000),
            st.floats(10, 1500),
        ),
        max_size=6,
    )


@pytest.mark.parametrize(
    "usual",
    [
        [],
        [box(0.25, size_px=300)],  # weak, of ordinary size
        [box(0.5, size_px=900)],  # large, sure
        [box(0.1, size_px=200), box(0.9, size_px=1000)],
    ],
)
def test_the_smaller_picture_is_looked_at_only_where_something_large_is_in_doubt(usual):
    expected = sorted(((one.x, one.score, one.is_hint) for one in usual), key=lambda row: -row[1])
    assert told(usual, [box(0.9, size_px=900)]) == (expected, 0)


def test_what_is_large_in_a_small_picture_is_so_in_pixels_that_the_network_sees():
    usual = [box(0.25, x=0, y=0, size_px=140)]
    assert told(usual, [], np.zeros((360, 640, 3), np.uint8)) == ([(0, 0.25, False)], 0)


@pytest.mark.parametrize(
    ("shape", "large_px"),
    [((1080, 1920), 307.2), ((1920, 1080), 307.2), ((1440, 1920), 384), ((1920, 1440), 384), ((1080, 1080), 288)],
)
def test_where_the_small_picture_shows_less_of_a_face_only_larger_ones_are_in_doubt(shape, large_px):
    picture = np.zeros((*shape, 3), np.uint8)
    assert told([box(0.25, size_px=large_px - 1)], [], picture) == ([(600, 0.25, False)], 0)
    assert told([box(0.25, size_px=large_px + 1)], [], picture) == ([(600, 0.25, False)], 1)
    hint_px = large_px * 60 / 51.2
    assert told([box(0.25, size_px=hint_px - 1)], [], picture) == ([(600, 0.25, False)], 1)
    assert told([box(0.25, size_px=hint_px + 1)], [], picture) == ([(600, 0.25, True)], 1)


def test_a_large_weak_find_that_nothing_confirms_is_only_a_hint():
    assert told([box(0.49), box(0.7, x=1400)], [box(0.9, x=10, size_px=100)]) == (
        [(1400, 0.7, False), (600, 0.49, True)],
        1,
    )


@pytest.mark.parametrize("seen", [box(0.13), box(0.13, size_px=30), box(0.13, x=990, y=590), box(0.9, x=250)])
def test_whatever_is_seen_in_its_place_confirms_a_large_weak_find(seen):
    found, _ = told([box(0.2)], [seen])
    assert (600, 0.2, False) in found


def test_a_hint_is_no_more_than_that_for_being_confirmed():
    assert told([box(0.1)], [box(0.19)]) == ([(600, 0.1, True)], 1)


def test_what_is_weaker_than_a_hint_asks_for_the_second_look_and_is_not_given_away():
    assert told([box(0.03)], [box(0.1)]) == ([], 1)


@pytest.mark.parametrize(
    ("seen", "is_added"),
    [
        (box(0.2, size_px=800), True),
        (box(0.19, size_px=800), False),
        (box(0.9, size_px=300), False),
        (box(0.9, x=1405), False),  # of what the usual look found
        (box(0.9, x=1520), True),  # of something else, or the better outline
    ],
)
def test_large_faces_that_only_the_second_look_sees_clearly_are_added(seen, is_added):
    found, _ = told([box(0.05), box(0.8, x=1400)], [seen])
    assert found == sorted([(1400, 0.8, False)] + is_added * [(seen.x, seen.score, False)], key=lambda row: -row[1])


@settings(deadline=None)
@given(boxes(0.03), boxes(0.12))
def test_nothing_that_the_usual_look_gives_away_disappears(usual, smaller):
    found, _ = told(usual, smaller)
    scores = [score for _, score, _ in found]
    assert scores == sorted(scores, reverse=True)
    assert {(one.x, one.score) for one in usual if one.score >= 0.07} <= {(x, score) for x, score, _ in found}
    firm = {(one.x, one.score) for one in usual if not one.is_hint and (one.score >= 0.5 or one.w < 359)}
    assert firm <= {(x, score) for x, score, is_hint in found if not is_hint}


def test_a_face_that_fills_a_shaken_picture_is_found_though_the_usual_look_has_not_even_a_hint_of_it():
    import skimage.data

    face = cv2.resize(skimage.data.astronaut()[86:150, 168:284], (960, 540), interpolation=cv2.INTER_CUBIC)
    face = cv2.blur(face, (1, 80))
    assert CenterFaceDetector(hint_score=HINT_SCORE).detect(face) == []
    (found,) = SecondLook.for_picture(960, 540).detect(face)
    assert intersection_over_union(found, Box("face", 108, 0, 745, 540, 1.0)) > 0.6
    assert not found.is_hint


def test_whoever_looks_at_moving_pictures_looks_twice_and_every_box_says_so(face_at):
    weights = CenterFaceDetector().version
    detector = DetectorChoice.of(("centerface",)).face_detectors(320, 256, has_hints=True)
    (found,) = (one for one in detector.detect(face_at()) if not one.is_hint)
    assert (found.model, found.model_version) == (detector.name, detector.version)
    assert detector.version == f"{weights}+second-look"
    assert DetectorChoice.of(("centerface",)).face_detectors(320, 256).version == weights
