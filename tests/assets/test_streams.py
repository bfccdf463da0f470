"""A glove and a depth camera through the whole chain: rows at their true times, clean copies, nothing private."""

import io
import zipfile

import dagster as dg
import numpy as np
import pytest

from harchive_dagster.demo.glove import HAND_STREAM_ID, JOINTS, TOUCH_STREAM_ID, grip_n, hand_position_m
from harchive_dagster.lake import ledgers, schemas, stream_schemas
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE, SHARED

GLOVED = "s-gloved"
BROKEN = "s-broken-glove"
DURATION_S = 10.0
DEPTH_HZ = 10.0


def add_depth(house, clock_ns):
    """Ten pictures a second; each is as far away as its session time says: 1 m, and a metre more every 10 s."""
    import cv2

    names, pictures = [], {}
    for index in range(int(DURATION_S * DEPTH_HZ)):
        picture = np.full((24, 32), 1000 + round(index / DEPTH_HZ * 100), dtype=np.uint16)
        picture[:, :8] = 0
        name = f"{index:04d}.png"
        pictures[name] = cv2.imencode(".png", picture)[1].tobytes()
        names.append(f"{name},{clock_ns(index * round(1e9 / DEPTH_HZ))}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("timestamps.csv", "\n".join(["file,t_device_ns", *names]) + "\n")
        for name, content in pictures.items():
            archive.writestr(name, content)
    path = house.folder_of(GLOVED) / "depth.zip"
    path.write_bytes(packed.getvalue())
    house.declare(
        path,
        format="depth_pictures",
        stream_id="head_depth",
        placement="head",
        kind="depth",
        rate_hz=DEPTH_HZ,
        clock="cap_clock",
    )


def add_pad(house):
    """A pressure pad whose clock counts from its own start, which nobody can place."""
    path = house.folder_of(GLOVED) / "pad.csv"
    path.write_text("t_device_ns,cell_0_0_n\n" + "".join(f"{index * 20_000_000},1.5\n" for index in range(400)))
    house.declare(path, format="csv", stream_id="pad", placement="left_hand", kind="tactile", rate_hz=50.0)


@pytest.fixture(scope="module")
def day(tmp_path_factory, make_house):
    """One session with everything and private time, and one whose pose file is broken."""
    house = make_house(tmp_path_factory.mktemp("streams"))
    small = {"has_glove": True, "duration_s": DURATION_S, "has_face": False, "width_px": 320, "height_px": 180}
    truth = house.add(session_id=GLOVED, has_private=True, **small)
    add_depth(house, lambda t_ns: round((t_ns - truth.offset_ns) / (1 + truth.drift_ppm * 1e-6)))
    add_pad(house)
    house.add(session_id=BROKEN, **small)
    pose = house.folder_of(BROKEN) / "hand.csv"
    pose.write_text(pose.read_text().replace("wrist_qz", "wrist_roll"))
    house.declare(pose)
    result = house.run()
    assert result.success, [
        str(event.event_specific_data)[:3000] for event in result.all_events if event.is_step_failure
    ]
    return house, result, truth


def rows_of(day, table):
    return day[0].lake.read(table).to_pandas()


def private_ns(day):
    return [marker.at_ns for marker in day[2].markers if marker.kind in ("private_start", "private_end")]


def test_only_the_session_with_a_glove_has_rows(day):
    for table in stream_schemas.STREAM_TABLES:
        assert set(rows_of(day, table)["session_id"]) == {GLOVED}


def test_poses_on_the_gyro_s_clock_are_where_the_hand_was(day):
    poses = rows_of(day, stream_schemas.POSE_SAMPLES)
    assert set(poses["clock"]) == {SHARED}
    assert set(poses["joint"]) == set(JOINTS)
    wrist = poses[poses["joint"] == "wrist"].sort_values("t_ns")
    assert len(wrist) == pytest.approx(DURATION_S * 60, abs=2)
    found_m = wrist[["x_m", "y_m", "z_m"]].to_numpy()
    # 0.63 m/s at the fastest: 5 ms of wrong time would be 3 mm.
    np.testing.assert_allclose(found_m, hand_position_m(wrist["t_ns"].to_numpy() / 1e9)[:, 0], atol=3e-3)
    lost = poses[poses["joint"] == "index_tip"]["x_m"].isna().mean()
    assert 0.02 < lost < 0.2


def test_a_stream_that_cannot_be_placed_in_time_is_left_out_and_the_check_warns(day):
    assert "pad" not in set(rows_of(day, stream_schemas.TACTILE_SAMPLES)["stream_id"])
    (check,) = [c for c in day[1].get_asset_check_evaluations() if c.check_name == "synced_streams_suite"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"Nothing of stream pad of {GLOVED} could be used." in check.description
    (made,) = day[1].asset_materializations_for_node("synced_streams")
    left_out = made.metadata["left_out"].value
    assert any("pad: 400 samples (the clock counts from the device's start" in one for one in left_out)


def test_pressure_on_a_wall_clock_is_taken_relative_to_the_start(day):
    touch = rows_of(day, stream_schemas.TACTILE_SAMPLES).sort_values("t_ns")
    assert set(touch["clock"]) == {DEVICE}
    assert touch["t_ns"].iloc[0] == 0
    assert touch["t_device_ns"].iloc[0] > 1e18
    values = np.stack(touch["values"].to_list()).reshape(-1, 4, 3)
    np.testing.assert_allclose(values[:, 1, 1], grip_n(touch["t_ns"].to_numpy() / 1e9), atol=1e-5)
    assert set(touch["unit"]) == {"N"}


def test_depth_pictures_are_figures_at_their_times(day):
    depth = rows_of(day, stream_schemas.DEPTH_FRAMES).sort_values("t_ns")
    assert set(depth["clock"]) == {SHARED}
    assert set(depth["valid_fraction"]) == {0.75}
    np.testing.assert_allclose(depth["median_m"], 1 + depth["t_ns"] / 1e10, atol=1e-3)
    assert (depth["width_px"].iloc[0], depth["height_px"].iloc[0]) == (32, 24)


def test_what_lies_outside_the_recording_is_cut_and_told(day):
    _, result, _ = day
    (event,) = result.asset_materializations_for_node("synced_streams")
    left_out = event.metadata["left_out"].value
    # Two seconds of lead before and after, at 60 and 50 samples a second.
    told = next(line for line in left_out if line.startswith(f"{GLOVED} {TOUCH_STREAM_ID}"))
    assert told == f"{GLOVED} {TOUCH_STREAM_ID}: 200 samples (outside the recording by the device clock)"
    assert any(line.startswith(f"{GLOVED} {HAND_STREAM_ID}: 2") for line in left_out)
    assert event.metadata["streams"].value == 4
    assert event.metadata["streams_on_device_clocks"].value == 1


def test_a_session_with_a_broken_pose_file_is_quarantined_and_no_other(day):
    (row,) = day[0].lake.read(ledgers.QUARANTINE).to_pylist()
    assert (row["session_id"], row["stage"], row["reason"]) == (BROKEN, "synced_streams", "sensor_unreadable")
    assert "wrist_qz" in row["detail"]
    published = set(day[0].lake.read(schemas.EPISODES).column("session_pseudonym").to_pylist())
    assert published == {day[0].pseudonyms.session(GLOVED)}


@pytest.mark.parametrize(
    "table",
    [stream_schemas.IMU_SAMPLES, stream_schemas.POSE_SAMPLES, stream_schemas.DEPTH_FRAMES],
    ids=lambda t: t.name,
)
def test_published_copies_hold_the_rest_and_nothing_private(day, table):
    start_ns, end_ns = private_ns(day)
    copy = rows_of(day, stream_schemas.WORKER_DAY_COPIES[table.name])
    assert len(copy[(copy["t_ns"] >= start_ns) & (copy["t_ns"] < end_ns)]) == 0
    share = len(copy) / len(rows_of(day, table))
    assert share == pytest.approx(1 - (end_ns - start_ns) / (DURATION_S * 1e9), abs=0.03)
    assert set(copy["session_pseudonym"]) == {day[0].pseudonyms.session(GLOVED)}


def test_what_nobody_put_on_the_picture_s_clock_is_not_published_beside_private_time(day):
    assert len(rows_of(day, stream_schemas.WORKER_DAY_COPIES["tactile_samples"])) == 0


def test_no_file_that_labs_read_names_a_stream(day):
    files = [path for path in (day[0].lake.root / "published").rglob("*") if path.is_file()]
    assert {path.parts[-4] for path in files} >= {"imu_samples", "pose_samples", "depth_frames"}
    for path in files:
        content = path.read_bytes()
        assert not [
            name for name in (HAND_STREAM_ID, TOUCH_STREAM_ID, "head_depth", "head_imu") if name.encode() in content
        ], path


def test_episodes_say_that_a_hand_was_worn(day):
    placements = {tuple(row["placements"]) for row in day[0].lake.read(schemas.EPISODES).to_pylist()}
    assert placements == {("head", "right_hand")}


def test_a_worker_day_without_such_streams_has_empty_tables(materialized):
    for table in (*stream_schemas.STREAM_TABLES, *stream_schemas.WORKER_DAY_COPIES.values()):
        assert materialized.house.lake.version(table) is not None
        assert (materialized.house.lake.read(table).num_rows == 0) == (table.name != "imu_samples")


def test_native_samples_lie_where_the_head_s_clock_puts_them(day):
    truth = day[2]
    native = rows_of(day, stream_schemas.IMU_SAMPLES).sort_values("t_ns")
    assert set(native["clock"]) == {CONTENT}
    true_ns = native["t_device_ns"] * (1 + truth.drift_ppm * 1e-6) + truth.offset_ns
    assert np.abs(native["t_ns"] - true_ns).max() < 5e6
    # 200 Hz, of which one in a hundred was lost.
    assert len(native) == pytest.approx(DURATION_S * 200 * 0.99, rel=0.02)
    recorded = rows_of(day, schemas.SENSOR_SAMPLES).set_index(["session_id", "t_device_ns"])["gyro_x_rad_s"]
    kept = native.set_index(["session_id", "t_device_ns"])["gyro_x_rad_s"]
    assert (kept == recorded.loc[kept.index]).all()


def test_running_it_again_commits_nothing(day):
    house, _, _ = day
    tables = [*stream_schemas.STREAM_TABLES, *stream_schemas.WORKER_DAY_COPIES.values()]
    before = [house.lake.version(table) for table in tables]
    assert house.run(selection=["synced_streams", "segments", "episodes"]).success
    assert [house.lake.version(table) for table in tables] == before
