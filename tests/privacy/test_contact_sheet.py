"""The contact sheet: the riskiest moments first, each with its reason, as many as fit and no more."""

import cv2
import numpy as np

from harchive_dagster.privacy.contact_sheet import RiskiestMoments, contact_sheet
from harchive_dagster.privacy.detection import Box

TILE_PX, CAPTION_PX = 240, 18


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def shade(level, width_px=48, height_px=48):
    return np.full((height_px, width_px, 3), level, np.uint8)


def collected(*moments):
    """Moments as (frame, reason, risk, grey level)."""
    riskiest = RiskiestMoments()
    for frame, why, risk, level in moments:
        riskiest.add(frame, why, risk, shade(level), None, is_hit=False)
    return riskiest


def test_the_riskiest_moment_stands_first():
    sheet = pixels(contact_sheet(collected((1, "a", 0.1, 50), (2, "b", 0.9, 150), (3, "c", 0.5, 250))))
    assert sheet.shape == (TILE_PX + CAPTION_PX, 3 * TILE_PX, 3)
    assert [int(sheet[100, 100 + TILE_PX * place, 0]) for place in range(3)] == [150, 250, 50]


def test_one_reason_takes_one_tile_at_its_riskiest_frame():
    moments = collected((1, "end of track 1", 0.4, 50), (2, "end of track 1", 0.6, 150), (3, "end of track 1", 0.5, 9))
    assert [(one.frame_index, one.risk) for one in moments.in_order()] == [(2, 0.6)]


def test_one_thing_takes_one_tile_whatever_its_reasons_say():
    riskiest = RiskiestMoments()
    for frame, why, risk in ((1, "face 0.21 suspected", 1.21), (2, "face 0.31 suspected", 1.31)):
        riskiest.add(frame, why, risk, shade(9), None, is_hit=True, about="a lamp")
    assert [(one.frame_index, one.why) for one in riskiest.in_order()] == [(2, "face 0.31 suspected")]


def test_only_the_riskiest_are_kept_whatever_the_order_they_come_in():
    many = [(number, f"reason {number}", number / 100, number) for number in range(100)]
    expected = list(range(99, 75, -1))
    for order in (many, many[::-1], many[50:] + many[:50]):
        assert [one.frame_index for one in collected(*order).in_order()] == expected
    assert pixels(contact_sheet(collected(*many), most=6)).shape[1] == 6 * TILE_PX


def test_every_tile_is_captioned_with_its_own_frame_and_reason():
    sheet = pixels(contact_sheet(collected((1, "a", 0.9, 50), (2, "b", 0.5, 50))))
    captions = sheet[TILE_PX:, :TILE_PX], sheet[TILE_PX:, TILE_PX:]
    assert all(caption.max() > 150 for caption in captions)
    assert (captions[0] != captions[1]).any()


def test_a_hit_is_shown_from_near_and_outlined():
    picture = shade(90, 1920, 1080)
    picture[500:560, 900:950] = (255, 0, 0)
    moments = RiskiestMoments()
    moments.add(1, "face 0.61 found", 2.6, picture, Box("face", 900, 500, 50, 60, 0.61), is_hit=True)
    moments.add(1, "end of track 1", 0.6, picture, Box("face", 900, 500, 50, 60, 0.61), is_hit=False)
    hit, plain = (one.tile for one in moments.in_order())
    assert (plain == (0, 0, 255)).all(axis=2).mean() > 0.02
    changed = (hit != plain).any(axis=2)
    assert 100 < changed.sum() < 1000


def test_no_moment_at_all_is_a_black_tile_and_the_same_moments_give_the_same_bytes():
    assert pixels(contact_sheet(RiskiestMoments())).max() == 0
    assert contact_sheet(collected((1, "a", 0.9, 50))) == contact_sheet(collected((1, "a", 0.9, 50)))
