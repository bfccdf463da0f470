"""Where the audit looks: around track ends, where things are weak or fast, and at chance times everywhere."""

import numpy as np
import pytest

from harchive_dagster.privacy.audit_plan import Area, plan_looks
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import RenderedGroup


def track(frames, *, number=1, x=400.0, y=400.0, size=(60.0, 80.0), score=0.9, kind="face"):
    return [Redaction(frame, number, kind, x, y, *size, "detected", score) for frame in frames]


def plan(frame_count, redactions=(), *, groups=None, motion_px=None, fps=30, seed=0):
    pts_ns = (np.arange(frame_count) * 1e9 / fps).round().astype(np.int64)
    groups = groups or (RenderedGroup(0, frame_count, is_copied=False),)
    motion_px = np.zeros(frame_count) if motion_px is None else motion_px
    return plan_looks(pts_ns, redactions, groups, motion_px=motion_px, seed=seed)


def whole(looks):
    return sorted(frame for frame, found in looks.items() if any(one.is_whole for one in found))


def windows(looks):
    return sorted(frame for frame, found in looks.items() if any(one.window for one in found))


@pytest.mark.parametrize("frame_count", [1, 2, 5, 40])
def test_short_clips_are_looked_at_six_times_or_in_every_frame(frame_count):
    looks = plan(frame_count)
    assert {0, frame_count - 1} <= set(looks)
    assert len(looks) >= min(6, frame_count)


def test_no_second_passes_without_a_look_at_the_whole_picture_at_times_that_chance_sets():
    frames = whole(plan(30 * 120))
    assert np.diff(frames).max() <= 27
    assert 142 <= len(frames) <= 162
    assert len(set(np.diff(frames))) > 5
    assert frames == whole(plan(30 * 120))
    assert frames != whole(plan(30 * 120, seed=1))


@pytest.mark.parametrize("length", [30, 15, 45, 250])
def test_copied_groups_are_looked_at_as_often_and_where_that_is_soon_at_their_second_picture(length):
    groups = [RenderedGroup(first, length, is_copied=True) for first in range(0, 30 * length, length)]
    frames = whole(plan(30 * length, groups=groups))
    assert np.diff(frames).max() <= 33
    seconds = [frame for frame in frames[1:-1] if frame % length == 1]
    assert len(seconds) >= (len(frames) - 2 if length <= 30 else 29)


@pytest.mark.parametrize("fps", [29.97, 30, 59.94, 10])
def test_groups_of_about_a_second_are_decoded_no_farther_than_their_second_picture(fps):
    length = round(fps)
    groups = [RenderedGroup(first, length, is_copied=True) for first in range(0, 30 * length, length)]
    frames = whole(plan(30 * length, groups=groups, fps=fps))
    assert {frame % length for frame in frames[1:-1]} == {1}


def test_windows_at_full_size_meet_every_part_of_the_picture_copied_groups_a_third_as_often():
    groups = (RenderedGroup(0, 9000, is_copied=False), RenderedGroup(9000, 9000, is_copied=True))
    looks = plan(18000, groups=groups)
    frames = windows(looks)
    encoded, copied = sum(frame < 9000 for frame in frames), sum(frame >= 9000 for frame in frames)
    assert encoded == pytest.approx(9000 / 24 / 2, rel=0.1)
    assert copied == pytest.approx(9000 / 24 / 6, rel=0.1)
    met = np.zeros((1080, 1920), int)
    for found in looks.values():
        for area in [Area.window(one.window, (960, 540), 1920, 1080) for one in found if one.window]:
            assert (area.x1 - area.x0, area.y1 - area.y0) == (960, 540)
            met[area.y0 : area.y1, area.x0 : area.x1] += 1
    assert met.min() > 0.04 * len(frames)


@pytest.mark.parametrize("at", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.8)])
def test_a_window_on_a_picture_no_larger_than_it_is_the_picture(at):
    assert Area.window(at, (960, 540), 640, 360) == Area(0, 0, 640, 360)


def test_the_frames_beside_both_ends_of_every_track_are_looked_at_where_there_are_any():
    looks = plan(600, track(range(200, 300)) + track(range(600), number=2, x=1500.0))
    assert "start of track 1" in [one.why for one in looks[199]]
    for frame in (300, 301):
        assert "end of track 1" in [one.why for one in looks[frame]]
    assert not any(
        "track 2" in one.why for found in looks.values() for one in found if one.why[:5] in ("start", "end o")
    )


def test_inside_a_track_no_second_passes_without_a_look_at_its_surroundings():
    frames = sorted(
        frame for frame, found in plan(600, track(range(50, 550))).items() if any(one.near for one in found)
    )
    assert (frames[0], frames[-1]) == (49, 551)
    assert np.diff(frames).max() <= 30


def test_the_weakest_and_the_fastest_frames_of_a_track_are_looked_at():
    motion_px = np.zeros(600)
    motion_px[[215, 247]] = 30.0
    weak = [*track(range(200, 220)), *track([220], score=0.21), *track(range(221, 260))]
    looks = plan(600, weak, motion_px=motion_px)
    assert [one.why for one in looks[220]] == ["weakest of track 1"]
    assert [one.why for one in looks[215]] == [one.why for one in looks[247]] == ["fast motion, track 1"]


def test_weak_and_fast_things_are_riskier_than_steady_ones():
    motion_px = np.zeros(600)
    motion_px[250] = 30.0
    steady, weak = track(range(200, 300)), track(range(200, 300), number=2, x=0.0, y=0.0, score=0.2)
    looks = [one for found in plan(600, steady + weak, motion_px=motion_px).values() for one in found]
    risk = {one.why: one.risk for one in looks}
    assert risk["weakest of track 2"] > risk.get("weakest of track 1", 0.5)
    assert risk["end of track 2"] > risk["end of track 1"] > risk["chance"]
    assert max(one.risk for one in looks if one.why == "fast motion, track 1") > 0.5


@pytest.mark.parametrize(
    ("size", "apart_px", "looks"), [((60.0, 80.0), 30.0, 1), ((60.0, 80.0), 150.0, 2), ((300.0, 400.0), 150.0, 1)]
)
def test_two_things_side_by_side_take_one_look_if_each_lies_well_inside_the_others_surroundings(size, apart_px, looks):
    one = track(range(200, 300), size=size)
    other = track(range(200, 300), number=2, x=one[0].x + apart_px, size=size)
    assert len(plan(600, one + other)[199]) == looks


def test_private_time_is_no_track_and_motion_that_is_not_known_is_none():
    private = track(range(100, 200), kind="private")
    assert all(one.near is None for found in plan(600, private).values() for one in found)
    assert plan(600, track(range(9)), motion_px=np.full(600, np.nan)) == plan(600, track(range(9)))


@pytest.mark.parametrize("at", [(-500.0, -500.0), (5000.0, 5000.0), (0.0, 700.0), (610.0, 300.0)])
@pytest.mark.parametrize("size_px", [(640, 360), (200, 90)])
def test_surroundings_are_squares_of_one_size_that_never_leave_the_picture(at, size_px):
    area = Area.around(track([0], x=at[0], y=at[1])[0], *size_px)
    assert 0 <= area.x0 < area.x1 <= size_px[0]
    assert 0 <= area.y0 < area.y1 <= size_px[1]
    assert area.x1 - area.x0 == area.y1 - area.y0 == min(256, *size_px)
