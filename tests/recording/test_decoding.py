from fractions import Fraction

import av
import numpy as np
import pytest

from harchive_dagster.errors import RecordingError
from harchive_dagster.recording.decoding import in_rgb, iterate_frames, small_luma


def test_frames_come_in_presentation_order_with_their_own_times(make_clip, panning):
    times = [0, 30, 80, 110, 200, 240, 280, 330]
    path = make_clip(panning(8), pts_ms=times, b_frames=2, gop=4)
    frames = list(iterate_frames(path))
    assert [frame.frame_index for frame in frames] == list(range(8))
    assert [frame.pts_ns for frame in frames] == [time * 1_000_000 for time in times]
    assert frames[0].is_keyframe
    assert not all(frame.is_keyframe for frame in frames)


def test_session_time_starts_at_the_first_frame_wherever_the_file_starts(make_clip, panning):
    path = make_clip(panning(3), pts_ms=[5000, 5040, 5090])
    assert [frame.pts_ns for frame in iterate_frames(path)] == [0, 40_000_000, 90_000_000]


def test_the_picture_is_the_one_that_was_encoded(make_clip, panning):
    pictures = panning(3)
    for frame, picture in zip(iterate_frames(make_clip(pictures)), pictures, strict=True):
        decoded = frame.frame.to_ndarray()[: picture.shape[0], : picture.shape[1]]
        assert np.abs(decoded.astype(int) - picture).mean() < 4


def test_damage_inside_the_file_is_an_error_that_names_the_last_good_frame(make_clip, panning):
    path = make_clip(panning(30), gop=30)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + (len(content) - content.index(b"mdat")) * 2 // 3
    content[start : start + 600] = bytes(600)
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="damaged") as caught:
        list(iterate_frames(path))
    assert 0 < caught.value.evidence["last_good_frame"] < 29


def test_a_cut_file_never_ends_as_if_it_were_whole(make_clip, panning):
    path = make_clip(panning(30))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(RecordingError):
        list(iterate_frames(path))


def test_a_file_that_cannot_be_opened_is_an_error_of_the_recording(tmp_path):
    with pytest.raises(RecordingError, match="cannot be opened"):
        next(iterate_frames(tmp_path / "absent.mp4"))


def _frame(luma, *, color_range, pixel_format="yuv420p"):
    height, width = luma.shape
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = luma
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(format=pixel_format)
    frame.color_range = color_range
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


@pytest.mark.parametrize(
    ("color_range", "stored", "shown"), [(1, 16, 0), (1, 235, 255), (1, 5, 0), (2, 16, 16), (2, 235, 235)]
)
def test_black_is_zero_and_white_is_255_whatever_range_the_file_uses(color_range, stored, shown):
    frame = _frame(np.full((90, 160), stored, np.uint8), color_range=color_range)
    assert (small_luma(frame) == shown).all()
    assert np.abs(in_rgb(frame).astype(int) - shown).max() <= 1


@pytest.mark.parametrize(
    ("size", "small"), [((1080, 1920), (270, 480)), ((1080, 608), (480, 270)), ((90, 160), (90, 160))]
)
def test_the_longer_side_becomes_480_px_and_small_pictures_stay(size, small):
    assert small_luma(_frame(np.full(size, 99, np.uint8), color_range=2)).shape == small


def test_other_pixel_formats_are_converted():
    gradient = np.tile(np.linspace(16, 235, 160).astype(np.uint8), (90, 1))
    direct = small_luma(_frame(gradient, color_range=1))
    deep = small_luma(_frame(gradient, color_range=1, pixel_format="yuv420p10le"))
    assert np.abs(direct.astype(int) - deep).max() <= 2
