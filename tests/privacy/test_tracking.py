"""Tracks: nothing found stays visible, no holes, padded ends, private time whole."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import PrivacyError
from harchive_dagster.privacy.redaction import covered_fraction
from harchive_dagster.privacy.tracking import build_redactions
from harchive_dagster.recording.lens import Lens
from harchive_dagster.recording.observations import Detection

STEP_NS = 33_333_333


def detection(frame_index=0, x=100.0, y=80.0, w=40.0, h=50.0, **overrides):
    return Detection(frame_index=frame_index, kind="face", x=x, y=y, w=w, h=h, score=0.9, **overrides)


def build(detections, *, frame_count=60, stride=6, motion=0.0, **overrides):
    arguments = {
        "pts_ns": np.arange(frame_count, dtype=np.int64) * STEP_NS,
        "is_detected": np.arange(frame_count) % stride == 0,
        "width_px": 640,
        "height_px": 360,
        "motion_px": np.full(frame_count, motion),
    } | overrides
    return build_redactions(detections, **arguments)


def by_track(redactions):
    tracks = defaultdict(list)
    for redaction in redactions:
        tracks[redaction.track_id].append(redaction)
    return tracks


def sighted(redactions):
    """Tracks with a sighting; the others are of places that came back into view."""
    return [track for track in by_track(redactions).values() if any(one.source == "detected" for one in track)]


@st.composite
def looks(draw):
    """A clip's detection stride, uneven frame times, camera motion, and detections anywhere, also over the border."""
    frame_count = draw(st.integers(1, 50))
    stride = draw(st.integers(1, 8))
    steps_ns = draw(st.lists(st.integers(1_000_000, 60_000_000), min_size=frame_count, max_size=frame_count))
    motion = draw(st.lists(st.floats(0, 40), min_size=frame_count, max_size=frame_count))
    frame = st.integers(0, (frame_count - 1) // stride).map(lambda place: place * stride)
    found = st.builds(
        Detection,
        frame,
        st.sampled_from(["face", "plate"]),
        st.floats(-60, 640),
        st.floats(-60, 360),
        st.floats(4, 200),
        st.floats(4, 200),
        st.floats(0.2, 1),
    )
    return {
        "detections": draw(st.lists(found, max_size=12)),
        "pts_ns": np.cumsum([0, *steps_ns[1:]]).astype(np.int64),
        "is_detected": np.arange(frame_count) % stride == 0,
        "width_px": 640,
        "height_px": 360,
        "motion_px": np.array(motion),
    }, stride


@settings(deadline=None)
@given(looks())
def test_every_detection_lies_under_a_redaction_of_its_frame(look):
    arguments, _ = look
    redactions = build_redactions(**arguments)
    for found in arguments["detections"]:
        here = [one for one in redactions if one.frame_index == found.frame_index and one.source == "detected"]
        assert covered_fraction(found, here) == 1.0


@settings(deadline=None)
@given(looks())
def test_tracks_have_one_redaction_a_frame_and_no_holes(look):
    for track in by_track(build_redactions(**look[0])).values():
        frames = [redaction.frame_index for redaction in track]
        assert frames == list(range(frames[0], frames[-1] + 1))


@settings(deadline=None)
@given(looks())
def test_tracks_reach_one_stride_over_both_ends_as_far_as_the_clip_goes(look):
    arguments, stride = look
    frame_count = len(arguments["pts_ns"])
    for track in sighted(build_redactions(**arguments)):
        seen = [redaction.frame_index for redaction in track if redaction.source == "detected"]
        assert track[0].frame_index <= max(0, seen[0] - stride)
        assert track[-1].frame_index >= min(frame_count - 1, seen[-1] + stride)


@settings(deadline=None)
@given(looks(), st.randoms())
def test_the_order_of_detections_does_not_matter(look, random):
    arguments, _ = look
    shuffled = list(arguments["detections"])
    random.shuffle(shuffled)
    assert build_redactions(**arguments | {"detections": shuffled}) == build_redactions(**arguments)


@settings(deadline=None)
@given(looks())
def test_frames_without_a_sighting_hide_at_least_what_was_seen_next_to_them(look):
    """A padded box contains the sighting it grew from, so something that stayed still is hidden."""
    for track in sighted(build_redactions(**look[0])):
        first = next(redaction for redaction in track if redaction.source == "detected")
        for redaction in track[: track.index(first)]:
            assert redaction.x <= first.x + 1e-6
            assert redaction.y <= first.y + 1e-6
            assert redaction.x + redaction.w >= first.x + first.w - 1e-6
            assert redaction.y + redaction.h >= first.y + first.h - 1e-6


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 6),
    st.floats(-4, 4),
    st.floats(-3, 3),
    st.floats(40, 160),
)
def test_a_face_that_moves_steadily_is_one_track_and_hidden_in_every_frame(stride, step_x, step_y, size_px):
    truth = [detection(frame, 300 + step_x * frame, 150 + step_y * frame, size_px, size_px) for frame in range(60)]
    redactions = build([truth[frame] for frame in range(0, 60, stride)], stride=stride)
    assert set(by_track(redactions)) == {1}
    for frame, box in enumerate(truth):
        assert covered_fraction(box, [one for one in redactions if one.frame_index == frame]) > 0.99


def test_a_single_weak_detection_is_hidden_for_a_stride_and_two_frames_around():
    redactions = build([Detection(30, "face", 10, 10, 20, 20, 0.2)])
    assert [redaction.frame_index for redaction in redactions] == list(range(22, 39))
    assert {redaction.source for redaction in redactions if redaction.frame_index != 30} == {"padded"}


def test_two_missed_detection_frames_are_bridged():
    redactions = build([detection(12), detection(30)])
    assert set(by_track(redactions)) == {1}
    assert {one.source for one in redactions if 12 < one.frame_index < 30} == {"interpolated"}


def test_a_sighting_long_after_is_a_new_track():
    redactions = build([detection(0), detection(90)], frame_count=100)
    assert set(by_track(redactions)) == {1, 2}


def test_a_jump_that_nothing_explains_parts_a_track_and_one_that_goes_on_does_not():
    assert len(by_track(build([detection(0, x=50), detection(6, x=250)], motion=50.0))) == 2
    steady = [detection(frame, x=50 + 15 * frame) for frame in (0, 6, 12)]
    assert len(by_track(build(steady, motion=50.0))) == 1


def test_whoever_goes_while_somebody_else_comes_is_hidden_to_the_end():
    goes = {frame: detection(frame, x=300 - 14 * frame) for frame in range(18)}
    comes = {frame: detection(frame, x=500 + 3 * frame) for frame in range(15, 40)}
    sightings = [goes[0], goes[6], goes[12], *(comes[frame] for frame in (18, 24, 30, 36))]
    redactions = build(sightings, motion=60.0)
    for truth in (goes, comes):
        for frame, box in truth.items():
            assert covered_fraction(box, [one for one in redactions if one.frame_index == frame]) > 0.99


def test_different_kinds_are_never_one_track():
    plate = Detection(6, "plate", 100, 80, 40, 50, 0.9)
    assert [one[0].kind for one in by_track(build([detection(0), plate])).values()] == ["face", "plate"]


def test_two_faces_side_by_side_keep_their_tracks():
    faces = [detection(frame, x=x + frame) for frame in range(0, 60, 6) for x in (100, 160)]
    tracks = by_track(build(faces))
    assert set(tracks) == {1, 2}
    for track in tracks.values():
        steps = np.diff([redaction.x + redaction.w / 2 for redaction in track if redaction.source == "detected"])
        assert steps == pytest.approx(6.0)


def test_a_find_goes_to_the_nearest_track_not_to_one_that_was_lost_long_ago():
    lost = detection(6, x=200.0)
    steady = [detection(frame, x=260.0 - 10 * (frame > 6)) for frame in (6, 12, 18)]
    tracks = sighted(build([lost, *steady, detection(24, x=228.0)]))
    frames = [[one.frame_index for one in track if one.source == "detected"] for track in tracks]
    assert sorted(frames) == [[6], [6, 12, 18, 24]]


def test_a_moving_camera_makes_boxes_between_sightings_larger():
    sightings = [detection(0), detection(6)]
    still, shaky = (next(one for one in build(sightings, motion=motion) if one.frame_index == 3) for motion in (0, 10))
    assert shaky.w > still.w + 20


def test_interpolation_follows_time_not_frame_numbers():
    pts_ns = np.array([0, 10, 20, 100], np.int64) * 1_000_000
    redactions = build(
        [detection(0, x=100), detection(3, x=110)],
        pts_ns=pts_ns,
        is_detected=np.array([True, False, False, True]),
        motion_px=np.zeros(4),
    )
    centres = [redaction.x + redaction.w / 2 for redaction in redactions]
    assert centres == pytest.approx([120, 121, 122, 130])


def test_boxes_are_not_clipped_to_the_picture():
    (seen,) = [one for one in build([detection(12, x=-20.0, y=-10.0)]) if one.source == "detected"]
    assert seen.x == pytest.approx(-26.0)
    assert seen.y == pytest.approx(-17.5)


def test_private_time_hides_whole_frames_also_the_one_it_starts_in():
    redactions = build([], private_intervals_ns=[(10 * STEP_NS + 1, 13 * STEP_NS)])
    assert [(one.frame_index, one.kind, one.source) for one in redactions] == [
        (frame, "private", "private_time") for frame in (10, 11, 12)
    ]
    assert {(one.x, one.y, one.w, one.h) for one in redactions} == {(0, 0, 640, 360)}


def test_private_time_need_not_be_looked_at_but_tracks_reach_up_to_it():
    is_detected = np.arange(300) % 6 == 0
    is_detected[60:240] = False
    private = [(60 * STEP_NS, 240 * STEP_NS)]
    redactions = build(
        [detection(54), detection(240)],
        frame_count=300,
        is_detected=is_detected,
        private_intervals_ns=private,
    )
    faces = [one.frame_index for one in redactions if one.kind == "face"]
    assert set(range(52, 62)) | set(range(232, 248)) <= set(faces)
    assert len(by_track(redactions)) == 3
    assert {one.frame_index for one in redactions if one.kind == "private"} == set(range(60, 240))


def test_overlapping_private_intervals_are_one_run():
    redactions = build([], private_intervals_ns=[(0, 5 * STEP_NS), (3 * STEP_NS, 8 * STEP_NS)])
    assert [one.frame_index for one in redactions] == list(range(8))
    assert {one.track_id for one in redactions} == {1}


def test_motion_that_is_not_a_number_counts_as_none():
    motion_px = np.full(60, np.nan)
    assert build([detection(6)], motion_px=motion_px) == build([detection(6)])


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"detections": [detection(60)]}, "frame 60 of 60"),
        ({"detections": [detection(-1)]}, "frame -1 of 60"),
        ({"detections": [detection(w=0.0)]}, "frame 0 has the box"),
        ({"detections": [detection(x=float("nan"))]}, "frame 0 has the box"),
        ({"motion_px": np.zeros(3)}, "3 motion values"),
        ({"rotation_rad": np.zeros((59, 3))}, "59 rotations"),
        ({"is_detected": np.ones(61, bool)}, "61 detection flags"),
        ({"pts_ns": np.zeros(60, np.int64)}, "does not increase after frame 0"),
        ({"private_intervals_ns": [(5, 5)]}, "ends at 5 ns"),
        ({"is_detected": np.zeros(60, bool)}, "nobody looked for people between 0 ns"),
        ({"is_detected": np.arange(90) == 0, "frame_count": 90}, "nobody looked for people"),
    ],
)
def test_what_cannot_be_hidden_safely_is_refused(change, culprit):
    with pytest.raises(PrivacyError, match=culprit):
        build(**{"detections": []} | change)


def test_a_face_that_moves_on_after_its_last_sighting_is_hidden_on_its_way():
    redactions = build([detection(12, x=100), detection(18, x=124)])
    for frame in range(19, 25):
        went_on = detection(frame, x=124 + 4.0 * (frame - 18))
        stayed = detection(frame, x=124)
        here = [one for one in redactions if one.frame_index == frame]
        assert covered_fraction(went_on, here) == covered_fraction(stayed, here) == 1.0


def test_where_detection_was_denser_than_usual_the_pad_is_still_a_usual_stride():
    is_detected = np.arange(60) % 6 == 0
    is_detected[[29, 31]] = True
    frames = [one.frame_index for one in build([detection(30)], is_detected=is_detected)]
    assert (frames[0], frames[-1]) == (30 - 6 - 2, 30 + 6 + 2)


def test_somebody_who_runs_past_is_one_track_and_hidden_before_and_after():
    truth = {frame: detection(frame, x=16.0 * (frame - 15)) for frame in range(12, 42)}
    redactions = build([truth[frame] for frame in (18, 24, 30, 36)])
    assert set(by_track(redactions)) == {1}
    for frame, box in truth.items():
        assert covered_fraction(box, [one for one in redactions if one.frame_index == frame]) > 0.99


def test_somebody_who_is_five_sizes_farther_at_the_next_look_is_hidden_on_the_way():
    redactions = build([detection(18, x=400.0), detection(24, x=200.0)])
    for frame in range(18, 25):
        there = detection(frame, x=400.0 - 200 * (frame - 18) / 6)
        assert covered_fraction(there, [one for one in redactions if one.frame_index == frame]) > 0.95


def turning(frame_count=60, rate_rad=0.02):
    """A camera that turns right at a steady rate, and what stands still before it, 1000 px of focal length away."""
    rotation_rad = np.tile([0.0, rate_rad, 0.0], (frame_count, 1))
    centre_px = 319.5 - 1000 * np.tan(rate_rad * (np.arange(frame_count) - frame_count / 2))
    return {
        "rotation_rad": rotation_rad,
        "lens": Lens("pinhole", 640, 360, 1000.0, 1000.0, 319.5, 179.5, (0.0,) * 5),
        "motion": 1000 * rate_rad,
    }, centre_px


def test_boxes_follow_a_turning_camera_between_and_beyond_sightings():
    camera, x = turning()
    sightings = [detection(frame, x[frame] - 20) for frame in (24, 30, 36)]
    redactions = build(sightings, **camera)
    assert set(by_track(redactions)) == {1}
    for redaction in redactions:
        truth = detection(redaction.frame_index, x[redaction.frame_index] - 20)
        assert covered_fraction(truth, [redaction]) > 0.99
    between = next(one for one in redactions if one.frame_index == 27)
    assert between.x + between.w / 2 == pytest.approx(x[27], abs=0.5)


def test_a_measured_rotation_lets_boxes_be_smaller_than_motion_that_nothing_explains():
    camera, x = turning()
    sightings = [detection(frame, x[frame] - 20) for frame in (24, 30)]
    known = build(sightings, **camera)
    unknown = build(sightings, motion=camera["motion"])
    at = {name: next(one for one in boxes if one.frame_index == 27) for name, boxes in (("k", known), ("u", unknown))}
    assert at["u"].w > at["k"].w + 20


def test_a_still_thing_is_one_track_however_far_the_camera_turned_and_another_one_is_not():
    camera, x = turning(rate_rad=0.05)
    still = [detection(24, x[24] - 20), detection(30, x[30] - 20)]
    assert len(by_track(build(still, **camera | {"motion": 0.0}))) == 1
    beside = [detection(24, x[24] - 20), detection(30, x[24] - 20)]
    assert len(by_track(build(beside, **camera | {"motion": 0.0}))) == 2


def test_a_place_that_the_camera_turns_back_to_is_hidden_until_a_look_sees_nobody_there():
    yaw_rad = 0.25 * (1 - np.cos(np.arange(101) * 2 * np.pi / 50))  # out of the picture around frames 25 and 75
    x = 319.5 - 1000 * np.tan(yaw_rad)
    redactions = build(
        [detection(50, x[50] - 20)],
        frame_count=101,
        is_detected=np.isin(np.arange(101), [0, 20, 30, 50, 70, 80, 100]),
        rotation_rad=np.column_stack([np.zeros(101), np.diff(yaw_rad, prepend=0), np.zeros(101)]),
        lens=Lens("pinhole", 640, 360, 1000.0, 1000.0, 319.5, 179.5, (0.0,) * 5),
    )
    for frame in range(1, 100):
        box = detection(frame, x[frame] - 20)
        if box.x + box.w > 0:
            assert covered_fraction(box, [one for one in redactions if one.frame_index == frame]) > 0.99
    assert not {0, 24, 76, 100} & {one.frame_index for one in redactions}


def test_where_both_ends_disagree_about_a_path_both_places_are_hidden():
    redactions = build([detection(0, x=100), detection(6, x=150)], motion=5.0)
    middle = [one for one in redactions if one.frame_index == 3]
    assert covered_fraction(detection(3, x=105), middle) == covered_fraction(detection(3, x=145), middle) == 1.0


def test_what_the_slower_detector_found_is_hidden_until_its_own_next_look():
    is_slow_detected = np.isin(np.arange(90), [0, 30, 60, 89])
    text = Detection(30, "text", 100, 80, 60, 20, 0.9, is_slow=True)
    face = detection(30)
    tracks = by_track(build([text, face], frame_count=90, is_slow_detected=is_slow_detected))
    frames = {one[0].kind: (one[0].frame_index, one[-1].frame_index) for one in tracks.values()}
    assert frames["text"][0] == 0
    assert frames["text"][1] >= 60
    assert frames["face"] == (22, 38)


def test_sightings_of_the_slower_detector_are_one_track_over_its_own_gaps():
    is_slow_detected = np.isin(np.arange(90), [0, 30, 60, 89])
    text = [Detection(frame, "text", 100, 80, 60, 20, 0.9, is_slow=True) for frame in (0, 30, 60)]
    assert len(by_track(build(text, frame_count=90, is_slow_detected=is_slow_detected))) == 1


@pytest.mark.parametrize("is_slow_detected", [None, np.zeros(60, bool)])
def test_a_find_of_a_slower_detector_that_never_ran_is_refused(is_slow_detected):
    with pytest.raises(PrivacyError, match="1 detections of the slower detector"):
        build([Detection(6, "text", 1, 1, 9, 9, 0.9, is_slow=True)], is_slow_detected=is_slow_detected)


def test_a_slower_detector_that_stopped_looking_is_refused():
    is_slow_detected = np.arange(200) == 0
    with pytest.raises(PrivacyError, match="nobody looked for people"):
        build([], frame_count=200, is_slow_detected=is_slow_detected)


def test_a_face_on_its_way_out_of_the_picture_stays_hidden_whole_between_its_last_sightings():
    sightings = [detection(12, x=80, w=70, h=80), detection(18, x=35, w=70, h=80), detection(24, x=0, w=46, h=52)]
    here = [one for one in build(sightings) if one.frame_index == 20]
    # It hurries: it is where the sightings alone would put it two frames later.
    assert covered_fraction(detection(20, x=0, w=70, h=80), here) >= 0.95
