"""Corrections over what tracking built: they change what they are about, and nothing else."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harchive_dagster.privacy.audit import Finding
from harchive_dagster.privacy.corrections import (
    Correction,
    Lifted,
    apply_corrections,
    path_of,
    without_accepted,
    without_effect,
)
from harchive_dagster.privacy.redaction import Redaction, covered_fraction
from harchive_dagster.worker_day import WorkerDay

STEP_NS = 33_333_333
FRAMES = 60
PTS_NS = np.arange(FRAMES, dtype=np.int64) * STEP_NS
VIDEO = "5" * 64


def track(track_id=1, x=100.0, y=80.0, *, frames=range(10, 40), speed=0.0, **overrides):
    values = {"kind": "face", "w": 40.0, "h": 50.0, "source": "detected", "score": 0.7} | overrides
    return [
        Redaction(frame_index=frame, track_id=track_id, x=x + speed * (frame - frames[0]), y=y, **values)
        for frame in frames
    ]


def correction(number=1, **overrides):
    values = {
        "worker_day": WorkerDay(date(2026, 3, 2), "worker-01"),
        "session_id": "ses-0042",
        "correction_id": f"c-{number:012x}",
        "action": "add",
        "kind": "face",
        "start_ns": int(PTS_NS[10]),
        "end_ns": int(PTS_NS[20]),
        "path_ns": (int(PTS_NS[10]),),
        "path_px": (300.0, 100.0, 40.0, 60.0),
        "video_sha256": VIDEO,
        "reason": "seen on the sheet",
        "made_by": "anna",
        "made_at_utc": datetime(2026, 3, 3, tzinfo=UTC),
    }
    return Correction(**values | overrides)


def removal(removed, number=1, **overrides):
    times, boxes = path_of(removed, PTS_NS)
    values = {"action": "remove", "kind": removed[0].kind, "path_ns": times, "path_px": boxes}
    return correction(number, **values | {"start_ns": times[0], "end_ns": times[-1] + 1} | overrides)


def apply(redactions, *corrections, video=VIDEO):
    return apply_corrections(redactions, corrections, pts_ns=PTS_NS, video_sha256=video)


@st.composite
def scenes(draw):
    """Tracks of any kind at any place and time, also private time; they may overlap, but are nowhere the same box."""
    tracks = []
    for number in range(1, 1 + draw(st.integers(1, 5))):
        first = draw(st.integers(0, FRAMES - 1))
        frames = range(first, draw(st.integers(first + 1, FRAMES)))
        kind, source = draw(st.sampled_from([("face", "detected"), ("text", "padded"), ("private", "private_time")]))
        x, y, speed = draw(st.tuples(st.integers(-60, 600), st.integers(-60, 300), st.integers(-9, 9)))
        size = {"w": draw(st.integers(4, 200)), "h": draw(st.integers(4, 200))}
        tracks.append(track(number, x, y, frames=frames, speed=speed, kind=kind, source=source, **size))
    places = [(one.frame_index, one.kind, one.x, one.y, one.w, one.h) for mine in tracks for one in mine]
    assume(len(places) == len(set(places)))
    return tracks


def flat(tracks):
    return sorted((one for mine in tracks for one in mine), key=lambda one: (one.frame_index, one.track_id))


@settings(deadline=None)
@given(scenes(), st.data())
def test_removing_a_track_lifts_that_one_in_every_frame_and_no_other(tracks, data):
    liked = [mine for mine in tracks if mine[0].kind != "private"]
    if not liked:
        return
    removed = data.draw(st.sampled_from(liked))
    corrected = apply(flat(tracks), removal(removed))
    assert [(one.frame_index, one.track_id) for one in corrected.lifted] == [
        (one.frame_index, one.track_id) for one in removed
    ]
    assert corrected.redactions == [one for one in flat(tracks) if one.track_id != removed[0].track_id]
    assert corrected.frame_counts == {"c-000000000001": len(removed)}


@settings(deadline=None)
@given(scenes())
def test_an_addition_leaves_every_other_redaction_as_it_was(tracks):
    corrected = apply(flat(tracks), correction())
    assert [one for one in corrected.redactions if one.source != "reviewed"] == flat(tracks)
    assert corrected.lifted == []


@settings(deadline=None)
@given(scenes(), st.permutations(range(5)))
def test_a_removal_survives_another_numbering_of_the_tracks(tracks, numbers):
    if tracks[0][0].kind == "private":
        return
    renumbered = [[replace(one, track_id=100 + numbers[at]) for one in mine] for at, mine in enumerate(tracks)]
    corrected = apply(flat(renumbered), removal(tracks[0]))
    assert {one.track_id for one in corrected.lifted} == {100 + numbers[0]}
    assert len(corrected.lifted) == len(tracks[0])


def test_what_is_added_is_hidden_whole_from_its_first_frame_to_its_last():
    (box,) = track(x=300.0, y=100.0, w=40.0, h=60.0, frames=range(1))
    added = apply([], correction()).redactions
    assert [one.frame_index for one in added] == list(range(10, 20))
    assert {(one.kind, one.source, one.score) for one in added} == {("face", "reviewed", 1.0)}
    assert all(covered_fraction(box, [one]) == 1.0 for one in added)


def test_an_added_frame_is_hidden_also_where_the_time_begins_while_it_is_on_screen():
    late = correction(start_ns=int(PTS_NS[10]) + STEP_NS // 2)
    assert apply([], late).redactions[0].frame_index == 10


def test_a_moving_addition_goes_straight_from_box_to_box():
    ends = (int(PTS_NS[10]), int(PTS_NS[20]))
    moving = correction(end_ns=ends[1] + 1, path_ns=ends, path_px=(0.0, 0.0, 40.0, 40.0, 100.0, 50.0, 60.0, 40.0))
    centres = [(one.x + one.w / 2, one.y + one.h / 2) for one in apply([], moving).redactions]
    assert np.allclose(centres, np.linspace((20, 20), (130, 70), 11), atol=1e-6)


def test_an_added_whole_frame_is_hidden_as_private_time_is():
    whole = correction(kind="private", path_px=(0.0, 0.0, 640.0, 360.0))
    assert {(one.kind, one.x, one.w) for one in apply([], whole).redactions} == {("private", 0.0, 640.0)}


def test_corrections_have_tracks_of_their_own():
    added = apply(track(), correction(1), correction(2)).redactions
    assert len({one.track_id for one in added}) == 3


@pytest.mark.parametrize("kind", ["face", "private"])
def test_private_time_is_never_lifted(kind):
    private = track(kind="private", source="private_time", x=0.0, y=0.0, w=640.0, h=360.0)
    corrected = apply(private, removal(private, kind=kind))
    assert (corrected.redactions, corrected.lifted) == (private, [])


def test_what_another_reviewer_added_is_not_lifted_by_a_removal():
    added = apply([], correction(1)).redactions
    assert apply([], correction(1), removal(added, 2)).redactions == added


def test_a_removal_in_part_leaves_the_rest_of_the_track_hidden():
    whole = track()
    corrected = apply(whole, removal(whole[5:12]))
    assert [one.frame_index for one in corrected.lifted] == list(range(15, 22))
    assert [one.frame_index for one in corrected.redactions] == [*range(10, 15), *range(22, 40)]


def test_somebody_who_walks_past_the_removed_thing_stays_hidden():
    walker = track(2, x=-20.0, speed=8.0)
    for scene in ([*track(), *walker], walker):  # also where the thing itself is not found this time
        corrected = apply(scene, removal(track()))
        assert {one.track_id for one in corrected.lifted} <= {1}
        assert [one for one in corrected.redactions if one.track_id == 2] == walker


def test_a_track_that_goes_on_elsewhere_stays_hidden_there():
    clock = track(frames=range(10, 40))
    linked = [*clock[:27], *track(x=180.0, frames=range(37, 50))]
    corrected = apply(linked, removal(clock))
    assert {one.frame_index for one in corrected.redactions} == set(range(37, 50))


def test_a_removed_thing_that_is_found_a_little_beside_is_still_removed():
    corrected = apply(track(7, x=104.0, w=44.0), removal(track()))
    assert corrected.redactions == []


def test_two_boxes_on_one_thing_take_two_removals():
    first, second = track(1), track(2, x=102.0)
    scene = sorted([*first, *second], key=lambda one: (one.frame_index, one.track_id))
    assert apply(scene, removal(first, 1)).redactions == second
    assert apply(scene, removal(second, 2), removal(first, 1)).redactions == []


def test_what_is_lifted_is_the_first_removals_and_a_second_one_has_no_effect():
    corrected = apply(track(), removal(track(), 1), removal(track(), 2))
    assert corrected.frame_counts == {"c-000000000001": 30, "c-000000000002": 0}


@pytest.mark.parametrize(
    ("redactions", "overrides", "video"),
    [
        (track(x=300.0), {}, VIDEO),
        (track(frames=range(45, 55)), {}, VIDEO),
        (track(kind="text"), {}, VIDEO),
        (track(w=130.0, h=160.0), {}, VIDEO),
        (track(), {}, "7" * 64),
        ([], {}, VIDEO),
    ],
    ids=["elsewhere", "later", "another kind", "much larger", "another video", "nothing there"],
)
def test_a_removal_that_matches_nothing_lifts_nothing_and_is_reported(redactions, overrides, video):
    gone = removal(track(), **overrides)
    corrected = apply(redactions, gone, video=video)
    assert (corrected.redactions, corrected.lifted) == (redactions, [])
    (sentence,) = without_effect([gone], corrected)
    assert "c-000000000001 of ses-0042 (remove face, 0.333 s to 1.300 s) matches nothing" in sentence


def test_an_addition_holds_for_another_video_too():
    assert apply([], correction(), video="7" * 64).redactions


def test_a_revoked_correction_does_nothing_and_is_not_reported():
    revoked = {"revoked_at_utc": datetime(2026, 3, 4, tzinfo=UTC)}
    both = [correction(1, **revoked), removal(track(), 2, **revoked)]
    corrected = apply(track(), *both)
    assert corrected.redactions == track()
    assert without_effect(both, corrected) == []


def lifted_track(**overrides):
    return [Lifted(**vars(one), correction_id="c-1") for one in track(**overrides)]


def residual(frame_index=20, x=105.0, y=86.0, **overrides):
    values = {"kind": "face", "w": 30.0, "h": 38.0, "score": 0.9, "cause": "uncovered"} | overrides
    return Finding(frame_index=frame_index, x=x, y=y, **values)


def test_what_a_reviewer_removed_is_no_residual_and_is_counted():
    assert without_accepted([residual(), residual(21)], lifted_track()) == ([], 2)


@pytest.mark.parametrize(
    "left",
    [
        residual(45),
        residual(x=140.0),
        residual(kind="text"),
        residual(cause="not_hidden"),
        residual(w=8.0, h=10.0),
        residual(x=60.0, y=40.0, w=120.0, h=130.0),
    ],
    ids=["when nothing was lifted", "beside it", "another kind", "badly hidden", "much smaller", "much larger"],
)
def test_whatever_else_the_audit_finds_stays_a_residual(left):
    assert without_accepted([left], lifted_track()) == ([left], 0)


def test_somebody_in_front_of_the_removed_thing_stays_a_residual():
    thing, somebody = residual(), residual(x=108.0, w=34.0)
    left, count = without_accepted([somebody, thing], lifted_track(w=60.0, h=70.0))
    assert (len(left), count) == (1, 1)


def test_a_box_grown_between_detections_accepts_nothing_of_its_own_size():
    grown = [replace(one, source="padded", w=200.0, h=250.0, x=20.0, y=0.0) for one in lifted_track()[1:]]
    lifted = [lifted_track()[0], *grown]
    assert without_accepted([residual(x=40.0, y=10.0, w=120.0, h=150.0)], lifted)[1] == 0
    assert without_accepted([residual()], lifted)[1] == 1
