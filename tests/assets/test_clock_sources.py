"""Sensors that do not turn with the picture: a wrist beside the head, and a task that can do with less."""

import json
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import dagster as dg
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harchive_dagster.demo.breakage import Breakage
from harchive_dagster.labels.task_catalog import SYNC_DEVICE_TIME_OK, load_task_catalog
from harchive_dagster.lake import ledgers, schemas, session_timing, stream_schemas
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE, EVENT

CLAPPED, CLAIMED, FOREIGN = "s-clapped", "s-claimed", "s-foreign"
CLAPS_S = (2.0, 3.1, 7.7)


def with_claps(lines, at_s, zero_s):
    """The rows of a sensor's CSV with a jolt at each of these times."""
    header, *rows = lines
    times_s = np.array([int(row.split(",", 1)[0]) for row in rows]) * 1e-9 - zero_s
    for clap_s in at_s:
        place = int(np.argmin(np.abs(times_s - clap_s)))
        cells = rows[place].split(",")
        rows[place] = ",".join([cells[0], *(f"{float(cell) + 30:.6f}" for cell in cells[1:4]), *cells[4:]])
    return [header, *rows]


def started_s(house, session_id):
    """When a recording began, in whole seconds since 1970."""
    said = json.loads((house.folder_of(session_id) / "manifest.json").read_text())["started_at"]
    return int(datetime.fromisoformat(said).timestamp())


def add_wrist(house, session_id, truth, *, side="left", claps_s=(), zero_s=0):
    """A wrist that lies on a table, its clock `zero_s` ahead; the head feels its claps as well."""
    folder = house.folder_of(session_id)
    head = folder / "imu.csv"
    lines = head.read_text().splitlines()
    head.write_text("\n".join(with_claps(lines, claps_s, -truth.offset_ns * 1e-9)) + "\n")
    house.declare(head)
    still = [lines[0]]
    still += [f"{index * 5_000_000 + zero_s * 10**9},0,0,9.81,0,0,0" for index in range(2000)]
    wrist = folder / f"{side}_wrist.csv"
    wrist.write_text("\n".join(with_claps(still, claps_s, zero_s)) + "\n")
    house.declare(wrist, format="csv", stream_id=wrist.stem, placement=wrist.stem, kind="imu", rate_hz=200.0)


def add_headset(house, session_id, zero_s):
    """What the cap's gyro felt as orientations, on a clock of their own that is `zero_s` ahead of the gyro's."""
    path = house.folder_of(session_id) / "headset.csv"
    table = np.genfromtxt(path.with_name("imu.csv"), delimiter=",", skip_header=1)
    turned, lines = Rotation.identity(), ["t_device_ns,head_qw,head_qx,head_qy,head_qz"]
    for row, step_s in zip(table, np.diff(table[:, 0], prepend=table[0, 0]) * 1e-9, strict=True):
        turned = turned * Rotation.from_rotvec(row[4:7] * step_s)
        x, y, z, w = turned.as_quat()
        lines.append(f"{round(row[0] + zero_s * 1e9)},{w:.7f},{x:.7f},{y:.7f},{z:.7f}")
    path.write_text("\n".join(lines) + "\n")
    house.declare(path, format="csv", stream_id="headset", placement="head", kind="pose", rate_hz=200.0)


@pytest.fixture(scope="module")
def day(tmp_path_factory, make_house):
    house = make_house(tmp_path_factory.mktemp("clocks"))
    small = {"duration_s": 10.0, "has_face": False, "width_px": 320, "height_px": 180}
    clapped = house.add(session_id=CLAPPED, **small)
    add_wrist(house, CLAPPED, clapped, claps_s=CLAPS_S, zero_s=4)
    add_wrist(house, CLAPPED, clapped, side="right")
    add_headset(house, CLAPPED, zero_s=2.5)
    claimed = house.add(session_id=CLAIMED, has_private=True, **small)
    add_wrist(house, CLAIMED, claimed, zero_s=started_s(house, CLAIMED))
    house.add(session_id=FOREIGN, task_id="wipe_table", broken=Breakage.FOREIGN_IMU, **small | {"duration_s": 12.0})
    catalog = load_task_catalog()
    lenient = {
        name: replace(task, sync=SYNC_DEVICE_TIME_OK) if name == "wipe_table" else task
        for name, task in catalog.tasks.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_timing, "load_task_catalog", lambda: replace(catalog, tasks=MappingProxyType(lenient)))
        result = house.run()
    assert result.success
    return house, result


def alignments_of(day, session_id):
    rows = day[0].lake.read(schemas.CLOCK_ALIGNMENTS).to_pylist()
    return {row["stream_id"]: row for row in rows if row["session_id"] == session_id}


def test_nobody_is_set_aside(day):
    assert day[0].lake.read(ledgers.QUARANTINE).to_pylist() == []


def test_a_wrist_that_was_clapped_with_is_timed_by_the_claps(day):
    found = alignments_of(day, CLAPPED)
    assert (found["head_imu"]["clock"], found["left_wrist"]["clock"]) == (CONTENT, EVENT)
    assert found["left_wrist"]["offset_ns"] == pytest.approx(-4e9, abs=10e6)
    assert found["left_wrist"]["window_count"] == len(CLAPS_S)


def test_a_wrist_whose_clock_says_nothing_of_the_recording_is_left_out_and_the_check_warns(day):
    wrist = alignments_of(day, CLAPPED)["right_wrist"]
    assert (wrist["clock"], wrist["is_accepted"]) == (DEVICE, False)
    (check,) = [c for c in day[1].get_asset_check_evaluations() if c.check_name == "clock_alignments_suite"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"Nothing times stream right_wrist of {CLAPPED}, and it is left out." in check.description
    for table in (schemas.SYNCED_FRAMES, stream_schemas.IMU_SAMPLES):
        assert "right_wrist" not in day[0].lake.read(table).column("stream_id").to_pylist()


def test_a_headset_on_a_clock_of_its_own_is_timed_by_its_orientations(day):
    found = alignments_of(day, CLAPPED)
    assert (found["headset"]["clock"], found["headset"]["is_accepted"]) == (CONTENT, True)
    # The gyro's samples became orientations half a period late.
    assert found["headset"]["offset_ns"] == pytest.approx(found["head_imu"]["offset_ns"] - 2.5e9, abs=5e6)
    poses = day[0].lake.read(stream_schemas.POSE_SAMPLES).to_pandas()
    assert set(poses["clock"]) == {CONTENT}
    expected_ns = poses["t_device_ns"] + found["headset"]["offset_ns"]
    assert np.abs(poses["t_ns"] - expected_ns).max() < 2e6


def test_a_wrist_that_shares_nothing_keeps_its_claim_and_every_row_says_so(day):
    wrist = alignments_of(day, CLAIMED)["left_wrist"]
    assert (wrist["clock"], wrist["is_accepted"]) == (DEVICE, True)
    assert wrist["offset_ns"] == -started_s(day[0], CLAIMED) * 10**9
    for table in (schemas.SYNCED_FRAMES, stream_schemas.IMU_SAMPLES):
        rows = day[0].lake.read(table).to_pandas()
        mine = rows[(rows["session_id"] == CLAIMED) & (rows["stream_id"] == "left_wrist")]
        assert set(mine["clock"]) == {DEVICE}
        # The wrist lay still, z up: its values are in its own axes.
        np.testing.assert_allclose(mine["accel_z_m_s2"], 9.81, atol=1e-6)


def test_what_nobody_measured_is_not_published_beside_private_time(day):
    pseudonym = day[0].pseudonyms.session(CLAIMED)
    for name in ("synced_frames", "imu_samples"):
        rows = day[0].lake.read(schemas.WORKER_DAY_COPIES[name]).to_pandas()
        assert set(rows[rows["session_pseudonym"] == pseudonym]["placement"]) == {"head"}


def test_a_task_that_can_do_with_device_time_is_published_with_it_and_claims_no_quality(day):
    (row,) = alignments_of(day, FOREIGN).values()
    assert (row["clock"], row["confidence"], row["correlation"]) == (DEVICE, 0, 0)
    pseudonym = day[0].pseudonyms.session(FOREIGN)
    episodes = [row for row in day[0].lake.read(schemas.EPISODES).to_pylist() if row["session_pseudonym"] == pseudonym]
    assert len(episodes) >= 1
    assert {row["quality_score"] for row in episodes} == {0.0}
