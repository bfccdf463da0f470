import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.lake import schemas
from harchive_dagster.review.session_tracks import public_motion, session_tracks
from harchive_dagster.review.traces import HEIGHT, WIDTH, Curve, drawn_track, thinned

VALUES = st.lists(st.one_of(st.integers(-5, 5).map(float), st.just(float("nan"))), min_size=1, max_size=80)


@given(VALUES, st.integers(1, 12))
def test_the_least_and_greatest_value_of_every_bin_are_kept(values, bins):
    values = np.array(values)
    t_ns = np.arange(len(values), dtype=np.int64) * 7
    duration_ns = len(values) * 7
    kept = thinned(t_ns, values, duration_ns, bins)
    assert np.array_equal(kept, np.unique(kept))
    assert np.isfinite(values[kept]).all()
    place = t_ns * bins // duration_ns
    for number in range(bins):
        mine = values[(place == number) & np.isfinite(values)]
        if len(mine):
            chosen = values[kept][place[kept] == number]
            assert (chosen.min(), chosen.max()) == (mine.min(), mine.max())


@given(VALUES, st.integers(1, 12))
def test_a_curve_is_drawn_on_both_sides_of_every_hole_and_never_across(values, bins):
    values = np.array(values)
    t_ns = np.arange(len(values), dtype=np.int64) * 7
    kept = set(thinned(t_ns, values, len(values) * 7, bins).tolist())
    runs = np.split(np.arange(len(values)), np.flatnonzero(np.diff(np.isfinite(values))) + 1)
    finite = [set(run.tolist()) for run in runs if np.isfinite(values[run]).all()]
    assert all(run & kept for run in finite)
    track = drawn_track("x", "", [Curve("x", t_ns, values)], len(values) * 7)
    assert track.drawings[0].path.count("M") == len(finite)


def points(path):
    return [(command, int(x), int(y)) for command, x, y in re.findall(r"([ML])(\d+) (\d+)", path)]


def test_two_hours_take_no_more_than_two_points_a_bin_and_stay_in_their_box():
    t_ns = np.arange(7200 * 60, dtype=np.int64) * 16_666_667
    values = np.sin(t_ns * 1e-9) + np.random.default_rng(0).normal(size=len(t_ns))
    track = drawn_track("turning", "rad/s", [Curve("felt", t_ns, values)], 7200 * 10**9)
    found = points(track.drawings[0].path)
    assert len(found) <= 12_000
    assert len(track.drawings[0].path) < 160_000
    assert (track.low, track.high) == (values.min(), values.max())
    assert {min(y for _, _, y in found), max(y for _, _, y in found)} == {0, HEIGHT}
    assert max(x for _, x, _ in found) <= WIDTH


def test_a_flat_curve_and_none_at_all_are_drawn():
    t_ns = np.arange(3, dtype=np.int64)
    assert drawn_track("x", "", [Curve("x", t_ns, np.ones(3))], 3).drawings[0].path.startswith("M0 0")
    nothing = drawn_track("x", "", [Curve("x", t_ns, np.full(3, np.nan))], 3)
    assert (nothing.drawings[0].path, nothing.low, nothing.high) == ("", 0.0, 0.0)


COUNT, STEP_NS = 30, 10**8
NOTHING = np.empty(0, dtype=np.int64)


def frames():
    rotation = {f"rotation_{axis}_rad": np.full(COUNT, 0.01) for axis in "xyz"}
    inliers = np.where(np.arange(COUNT) < 10, 0, 50)
    return {"pts_ns": np.arange(COUNT, dtype=np.int64) * STEP_NS, "rotation_inliers": inliers, **rotation}


def synced(stream_id="head_imu", placement="head", clock="content", gap=None):
    rows = []
    for index in range(COUNT):
        row = {
            "session_id": "ses-1",
            "stream_id": stream_id,
            "placement": placement,
            "clock": clock,
            "frame_index": index,
            "t_ns": index * STEP_NS,
            "has_gap": index == gap,
        }
        row |= {f"accel_{axis}_m_s2": value for axis, value in zip("xyz", (3.0, 4.0, 0.0), strict=True)}
        row |= {f"gyro_{axis}_rad_s": value for axis, value in zip("xyz", (0.0, 0.6, 0.8), strict=True)}
        rows.append(row)
    names = list(rows[0])
    return schemas.pa.Table.from_pylist(
        rows, schema=schemas.pa.schema([schemas.SYNCED_FRAMES.schema.field(n) for n in names])
    )


def test_sensors_timed_by_the_picture_share_its_track_and_others_have_their_own():
    both = schemas.pa.concat_tables([synced(), synced("wrist_imu", "right_wrist", "event")])
    tracks = session_tracks(frames(), both, COUNT * STEP_NS, NOTHING)
    assert [(track.name, [one.name for one in track.drawings]) for track in tracks] == [
        ("turning", ["seen in the picture", "felt, head"]),
        ("acceleration, head", ["felt, head"]),
        ("turning, right_wrist", ["felt, right_wrist"]),
        ("acceleration, right_wrist", ["felt, right_wrist"]),
    ]
    assert tracks[1].low == tracks[1].high == 5.0


def test_where_nothing_was_measured_nothing_is_drawn():
    turning, accel = session_tracks(frames(), synced(gap=12), COUNT * STEP_NS, NOTHING)
    seen = points(turning.drawings[0].path)
    assert min(x for _, x, _ in seen) == round(WIDTH * 9.5 / COUNT)  # turning is seen between two frames
    assert [command for command, *_ in points(accel.drawings[0].path)].count("M") == 2


def test_private_time_has_no_motion_and_of_an_unmeasured_clock_nothing_is_left():
    pts_ns = frames()["pts_ns"]
    private = np.arange(5, 15)
    kept = public_motion(synced(), pts_ns, COUNT * STEP_NS, private)
    assert kept.column("frame_index").to_pylist() == [*range(5), *range(15, COUNT)]
    assert public_motion(synced(clock="device"), pts_ns, COUNT * STEP_NS, private).num_rows == 0
    assert public_motion(synced(clock="device"), pts_ns, COUNT * STEP_NS, NOTHING).num_rows == COUNT


def test_of_time_that_a_reviewer_made_private_no_turning_is_drawn_though_the_picture_showed_it():
    private = np.arange(14, 20)
    track = session_tracks(frames(), synced().slice(0, 0), COUNT * STEP_NS, private)[0]
    seen = points(track.drawings[0].path)
    turned = [10, 11, 12, 13, *range(21, COUNT)]  # of 14 to 19 and of the step from 19 to 20 nothing is said
    assert [x for _, x, _ in seen] == [round(WIDTH * (index - 0.5) / COUNT) for index in turned]
    assert [command for command, *_ in seen].count("M") == 2
