"""Weak finds count where a surer one before or after carries on to them."""

import numpy as np
import pytest

from harchive_dagster.recording.camera_path import CameraPath
from harchive_dagster.recording.hints import confirmed
from harchive_dagster.recording.lens import assumed_lens
from harchive_dagster.recording.observations import Detection

FRAMES, STEP_NS = 60, 33_333_333
LENS = assumed_lens(640, 360)


def seen(frame_index, x=300.0, *, size_px=40.0, kind="face", score=0.1):
    return Detection(frame_index, kind, x, 150.0, size_px, size_px, score)


def kept(hints, found, *, looked_at=range(0, FRAMES, 6), rotation_rad=None):
    return confirmed(
        hints,
        found,
        looked_at=np.array(looked_at),
        pts_ns=np.arange(FRAMES, dtype=np.int64) * STEP_NS,
        camera=CameraPath.of(np.zeros((FRAMES, 3)) if rotation_rad is None else rotation_rad, LENS),
    )


def test_hints_before_and_after_a_find_are_followed_from_look_to_look():
    hints = [seen(frame, 300.0 + 2 * frame) for frame in (6, 12, 24, 30)]
    assert sorted(hint.frame_index for hint in kept(hints, [seen(18, 336.0, score=0.9)])) == [6, 12, 24, 30]


def test_a_look_without_a_hint_is_bridged_and_two_are_not():
    find = seen(18, score=0.9)
    assert kept([seen(30)], [find]) == [seen(30)]
    assert kept([seen(36)], [find]) == []


@pytest.mark.parametrize("other", [{"x": 340.0}, {"size_px": 80.0}, {"size_px": 20.0}, {"kind": "plate"}], ids=str)
def test_a_hint_elsewhere_of_another_size_or_kind_is_of_nobody(other):
    assert kept([seen(24, **other)], [seen(18, score=0.9)]) == []


def test_hints_beside_somebody_who_is_found_again_are_of_nobody():
    assert kept([seen(24, 310.0)], [seen(18, score=0.9), seen(24, score=0.9)]) == []


def test_of_several_hints_the_nearest_carries_on():
    assert kept([seen(24, 320.0), seen(24, 305.0)], [seen(18, score=0.9)]) == [seen(24, 305.0)]


def test_hints_are_expected_where_the_cameras_turning_takes_a_find():
    rate_rad = 0.02
    moved_px = LENS.fx_px * np.tan(6 * rate_rad)
    turning = np.tile([0.0, rate_rad, 0.0], (FRAMES, 1))
    find, hint = seen(18, 299.5, score=0.9), seen(24, 299.5 - moved_px)
    assert kept([hint], [find], rotation_rad=turning) == [hint]
    assert kept([hint], [find]) == []


def test_without_a_find_no_hint_counts():
    assert kept([seen(frame) for frame in range(0, FRAMES, 6)], []) == []
