"""Hiding in planes: what is inside goes, what is outside stays, and what was hidden can be told from what was not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.privacy.detection import Box
from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.redaction import Redaction, covered_fraction, detail_left, hide


def redaction(x=60.0, y=40.0, w=80.0, h=100.0, **overrides):
    values = {"frame_index": 0, "track_id": 1, "kind": "face", "source": "detected", "score": 0.9} | overrides
    return Redaction(x=x, y=y, w=w, h=h, **values)


def noise_planes(width_px=320, height_px=240, subsampling=2, seed=0):
    random = np.random.default_rng(seed)
    small = (-(-height_px // subsampling), -(-width_px // subsampling))
    shapes = [(height_px, width_px), small, small]
    return [random.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


def boxes_anywhere():
    return st.builds(
        redaction, x=st.floats(-400, 400), y=st.floats(-300, 300), w=st.floats(0.5, 700), h=st.floats(0.5, 500)
    )


def boxes_around():
    """Of the kind that is not lengthened, their centres in a picture of 96 x 80, none of a single pixel."""
    return st.builds(
        lambda x, y, w, h: redaction(x=x - w / 2, y=y - h / 2, w=w, h=h, kind="screen"),
        st.floats(0, 96),
        st.floats(0, 80),
        st.floats(8, 200),
        st.floats(8, 200),
    )


@pytest.mark.parametrize(("width_px", "height_px", "subsampling"), [(320, 240, 2), (321, 241, 1), (321, 241, 2)])
def test_every_plane_loses_its_detail_inside_and_keeps_every_value_outside(width_px, height_px, subsampling):
    planes = noise_planes(width_px, height_px, subsampling)
    before = [plane.copy() for plane in planes]
    hide(planes, [redaction(kind="screen")])
    for plane, original in zip(planes, before, strict=True):
        step = round(width_px / plane.shape[1])
        inside = (slice(40 // step, 140 // step), slice(60 // step, 140 // step))
        inner = (slice(60 // step, 120 // step), slice(75 // step, 125 // step))
        assert plane[inner].std() < 0.3 * original[inner].std()
        outside = np.ones(plane.shape, bool)
        margin = 6 // step + 1
        outside[
            inside[0].start - margin : inside[0].stop + margin, inside[1].start - margin : inside[1].stop + margin
        ] = False
        assert (plane == original)[outside].all()


def test_a_box_keeps_at_most_four_by_four_values():
    planes = noise_planes()
    hide(planes, [redaction(w=160.0, h=160.0)])
    hidden = planes[0][60:180, 80:200].astype(float)
    # Within one cell a bilinear surface has no curvature along either axis.
    curvature = np.abs(np.diff(hidden, 2, axis=1))
    assert (curvature > 1.5).mean() < 0.1


def test_a_face_is_hidden_with_its_neck_and_nothing_else_is():
    for kind, is_hidden in (("face", True), ("screen", False)):
        planes = noise_planes()
        hide(planes, [redaction(kind=kind)])
        below = slice(150, 160), slice(90, 110)
        assert (planes[0][below] != noise_planes()[0][below]).mean() == pytest.approx(0.99 * is_hidden, abs=0.02)


def test_a_filled_box_is_one_grey_and_passes_for_hidden():
    planes = noise_planes()
    one = redaction(kind="screen")
    hide(planes, [one], Hiding.FILL)
    assert (planes[0][38:142, 58:142] == 128).all()
    assert (planes[0][:30] == noise_planes()[0][:30]).all()
    assert detail_left(planes[0], [one]) == [0.0]


def test_hiding_works_in_place_and_gives_the_same_bytes_in_any_order():
    overlapping = [redaction(track_id=1), redaction(x=100.0, track_id=2), redaction(x=80.0, y=90.0, track_id=3)]
    one, other = noise_planes(), noise_planes()
    hide(one, overlapping)
    hide(other, overlapping[::-1])
    assert all((a == b).all() for a, b in zip(one, other, strict=True))
    assert not (one[0] == noise_planes()[0]).all()


def test_private_time_leaves_one_grey_and_nothing_else():
    planes = noise_planes()
    hide(planes, [redaction(), redaction(kind="private", source="private_time")])
    assert all((plane == 128).all() for plane in planes)


@settings(deadline=None)
@given(boxes_anywhere())
def test_boxes_partly_or_wholly_outside_the_picture_are_fine(box):
    planes = noise_planes(64, 48)
    hide(planes, [box])
    (detail,) = detail_left(planes[0], [box])
    assert detail < 3.0 or np.isinf(detail)


@settings(deadline=None)
@given(st.lists(boxes_anywhere(), min_size=2, max_size=5))
def test_overlapping_hidden_boxes_show_no_detail(boxes):
    planes = noise_planes(96, 80)
    hide(planes, boxes)
    assert all(detail < 3.0 or np.isinf(detail) for detail in detail_left(planes[0], boxes))


@settings(deadline=None)
@given(st.lists(boxes_around(), min_size=1, max_size=3))
def test_every_pixel_under_an_ellipse_is_hidden_and_no_other(boxes):
    # Of a chequerboard no value outlives averaging.
    planes = [np.indices(shape, np.uint8).sum(0, np.uint8) % 2 * 255 for shape in [(80, 96), (40, 48), (80, 96)]]
    before = [plane.copy() for plane in planes]
    hide(planes, boxes)
    for plane, original in zip(planes, before, strict=True):
        step = 80 // plane.shape[0]
        y, x = ((places + 0.5) * step for places in np.indices(plane.shape))
        outside = np.full(plane.shape, np.inf)
        for box in boxes:
            across, down = ((x - box.x) / box.w - 0.5) / 0.55, ((y - box.y) / box.h - 0.5) / 0.55
            outside = np.minimum(outside, across**2 + down**2)
        is_hidden = plane != original
        assert is_hidden[outside < 1 - 1e-9].all()
        assert not is_hidden[outside > 1.0002].any()


@settings(deadline=None)
@given(boxes_anywhere(), st.integers(0, 255))
def test_where_all_is_of_one_value_hiding_changes_none(box, value):
    planes = [np.full(shape, value, np.uint8) for shape in [(61, 83), (31, 42), (31, 42)]]
    hide(planes, [box])
    assert all((plane == value).all() for plane in planes)


@settings(deadline=None)
@given(st.lists(boxes_anywhere(), max_size=3), st.sampled_from(Hiding))
def test_planes_of_one_size_are_hidden_each_by_itself(boxes, how):
    luma, blue, red = noise_planes(96, 80)
    together = [plane.copy() for plane in (luma, blue, red)]
    hide(together, boxes, how)
    for plane in (blue, red):
        hide([luma.copy(), plane], boxes, how)
    assert (together[1] == blue).all()
    assert (together[2] == red).all()


@settings(deadline=None)
@given(st.builds(redaction, x=st.floats(0, 90), y=st.floats(0, 50), w=st.floats(30, 200), h=st.floats(30, 140)))
def test_a_hidden_box_equals_its_surface_to_rounding(box):
    planes = noise_planes(320, 240)
    hide(planes, [box])
    assert detail_left(planes[0], [box])[0] < 1.0


def test_of_two_overlapping_boxes_the_one_that_is_not_hidden_shows_detail():
    beneath, above = redaction(), redaction(x=100.0, track_id=2)
    planes = noise_planes()
    hide(planes, [above])
    details = detail_left(planes[0], [beneath, above])
    assert details[0] > 20
    assert details[1] < 1


def test_what_later_boxes_cover_is_theirs_and_a_rim_around_them_cannot_be_told():
    later = redaction(x=58.0, y=48.0, w=84.0, h=84.0, kind="screen", track_id=2)
    small = redaction(x=80.0, y=70.0, w=40.0, h=40.0, kind="screen")
    rim = redaction(x=54.0, y=44.0, w=92.0, h=92.0, kind="screen")
    assert detail_left(noise_planes()[0], [small, later])[0] == 0.0
    assert detail_left(noise_planes()[0], [rim, later])[0] == np.inf


@pytest.mark.parametrize("size_px", [20.0, 44.0, 160.0])
def test_a_visible_area_shows_detail(size_px):
    (detail,) = detail_left(noise_planes()[0], [redaction(w=size_px, h=size_px)])
    assert detail > 20


def test_a_hidden_area_that_slipped_aside_shows_detail():
    planes = noise_planes()
    hide(planes, [redaction(x=100.0)])
    (detail,) = detail_left(planes[0], [redaction(x=60.0)])
    assert detail > 10


def test_private_time_that_is_not_grey_shows_detail():
    private = redaction(kind="private", source="private_time")
    assert detail_left(noise_planes()[0], [private])[0] > 20
    assert detail_left(np.full((48, 64), 128, np.uint8), [private]) == [0.0]


def test_coverage_counts_ellipses_together_and_once():
    box = Box("face", 60, 40, 80, 100, 1.0)
    whole = redaction(x=48.0, y=25.0, w=104.0, h=130.0)
    assert covered_fraction(box, [whole]) == 1.0
    assert covered_fraction(box, []) == 0.0
    half = redaction(x=-1000.0, y=-1910.0, w=1100.0, h=4000.0)
    assert covered_fraction(box, [half]) == covered_fraction(box, [half, half])
    assert 0.0 < covered_fraction(box, [redaction(x=20.0)]) < 1.0
    assert covered_fraction(box, [redaction(x=500.0, kind="private", source="private_time")]) == 1.0


@pytest.mark.parametrize(
    ("override", "culprit"),
    [
        ({"frame_index": -1}, "frame_index is -1"),
        ({"w": 0.0}, "empty or not finite"),
        ({"x": float("inf")}, "empty or not finite"),
        ({"source": "guessed"}, "source is 'guessed'"),
    ],
)
def test_an_impossible_redaction_cannot_be_made(override, culprit):
    with pytest.raises(ValueError, match=culprit):
        redaction(**override)
