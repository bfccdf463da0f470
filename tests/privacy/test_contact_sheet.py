"""The contact sheet: the frames asked for, in order, captioned, and nothing that the video does not have."""

import cv2
import numpy as np
import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.contact_sheet import contact_sheet
from harchive_dagster.privacy.redaction import Redaction


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture(scope="module")
def shades(tmp_path_factory, write_clip):
    """Eight plain frames, each 25 levels brighter than the one before."""
    video = tmp_path_factory.mktemp("shades") / "video.mp4"
    write_clip(video, [np.full((96, 160, 3), 25 * place + 20, np.uint8) for place in range(8)], b_frames=2)
    return video


def test_tiles_stand_in_the_order_asked_for_and_rows_are_filled_up(shades):
    sheet = pixels(contact_sheet(shades, [6, 0, 3], columns=2, tile_width_px=80))
    assert sheet.shape == (2 * (48 + 18), 2 * 80, 3)
    levels = [int(sheet[y : y + 40, x : x + 70].mean()) for y, x in ((2, 5), (2, 85), (68, 5), (68, 85))]
    assert levels == pytest.approx([170, 20, 95, 0], abs=6)


def test_every_tile_is_captioned_with_its_own_number(shades):
    sheet = pixels(contact_sheet(shades, [1, 7], tile_width_px=80))
    captions = sheet[48:66, :80], sheet[48:66, 80:]
    assert all(caption.max() > 150 for caption in captions)
    assert (captions[0] != captions[1]).any()


def test_redactions_are_outlined_only_in_their_frame(shades):
    box = Redaction(2, 1, "face", 40, 20, 60, 60, "detected", 0.9)
    plain = pixels(contact_sheet(shades, [2, 3], tile_width_px=160))
    outlined = pixels(contact_sheet(shades, [2, 3], tile_width_px=160, redactions=[box]))
    changed = (plain != outlined).any(axis=2)
    assert changed[20, 40:100].all()
    assert not changed[:, 160:].any()


def test_the_same_video_gives_the_same_bytes(shades):
    assert contact_sheet(shades, [0, 4]) == contact_sheet(shades, [0, 4])


@pytest.mark.parametrize(
    ("frames", "options", "culprit"),
    [
        ([], {}, "frames \\[\\]"),
        ([8], {}, "no frame 8"),
        ([-1], {}, "frames \\[-1\\]"),
        ([0], {"columns": 0}, "0 columns"),
        ([0], {"tile_width_px": 0}, "0 px"),
    ],
)
def test_a_sheet_that_cannot_be_drawn_is_refused(shades, frames, options, culprit):
    with pytest.raises(SettingsError, match=culprit):
        contact_sheet(shades, frames, **options)
