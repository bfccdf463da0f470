"""Which streams of one upload are taken to be on one clock: a wrong yes would put private time at a public place."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import Writer

from harchive_dagster.lake.standing import StandingSession
from harchive_dagster.lake.stream_rows import read_stream_rows
from harchive_dagster.landing.formats.protocol import TimeSource
from harchive_dagster.landing.manifest import Manifest, ManifestFile, Rig, Site, StreamSpec, WorkerAttributes
from harchive_dagster.sync.clock import ClockMapping
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE, SHARED, StreamClock

START_NS = 1_772_424_000_000_000_000
COUNT = 20
STEP_NS = 10_000_000
LATE_NS = 800_000_000

STAMPED = {"stamp"}
UNSTAMPED_AND_PUBLISHED = {"publish"}
LOGGED = set()

MAPPING = ClockMapping(
    offset_ns=-START_NS, drift_ppm=0.0, camera_from_sensor=(1.0, 0.0, 0.0, 0.0), gyro_bias_rad_s=np.zeros(3)
)


def message(kind, time_ns):
    x = {"x": 0.0, "y": 0.0, "z": 1.0}
    stamp = {"header": {"stamp": {"sec": time_ns // 10**9, "nanosec": time_ns % 10**9}, "frame_id": "one_for_all"}}
    if kind == "imu":
        return stamp | {"angular_velocity": x, "linear_acceleration": x}
    return stamp | {"pose": {"position": x, "orientation": x | {"w": 0.0}}}


def write_mcap(path, **topics):
    """One JSON topic for each kind, with what of a message's own times is set; logged 0.8 s late."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        for kind, given in topics.items():
            channel = writer.register_channel(f"/{kind}", "json", 0)
            for number in range(COUNT):
                time_ns = START_NS + number * STEP_NS
                data = json.dumps(message(kind, time_ns if "stamp" in given else 0)).encode()
                published = time_ns + 5 if "publish" in given else time_ns + LATE_NS
                writer.add_message(channel, log_time=time_ns + LATE_NS, publish_time=published, data=data)
        writer.finish()


def write_csv(path, kind):
    names = (
        [f"{what}_{axis}_{unit}" for what, unit in (("gyro", "rad_s"), ("accel", "m_s2")) for axis in "xyz"]
        if kind == "imu"
        else [f"wrist_{axis}_m" for axis in "xyz"]
    )
    rows = [[START_NS + number * STEP_NS, *[1] * len(names)] for number in range(COUNT)]
    path.write_text("\n".join(",".join(map(str, row)) for row in [["t_device_ns", *names], *rows]) + "\n")


def session(folder, *, imu="a.mcap", pose="a.mcap", clocks=(None, None)):
    streams = tuple(
        StreamSpec(kind, "head", kind, 100.0, clock) for kind, clock in zip(("imu", "pose"), clocks, strict=True)
    )
    files = tuple(
        ManifestFile(path, "sensor", kind, path.rpartition(".")[2], 1, "0" * 64)
        for kind, path in (("imu", imu), ("pose", pose))
    )
    manifest = Manifest(
        session_id="s-one",
        worker_id="worker-01",
        collected_on=date(2026, 3, 2),
        started_at=datetime(2026, 3, 2, 4, tzinfo=UTC),
        consent_id="consent",
        task_id=None,
        site=Site("IN", None, "home"),
        rig=Rig("cap", "cam", "serial", streams),
        files=files,
        markers=(),
        worker_attributes=WorkerAttributes(),
        sha256="0" * 64,
    )
    return StandingSession("s-one", {"duration_ns": 10**10}, manifest, folder)


def clock_of_the_pose(standing):
    (found,) = read_stream_rows(standing, [], {"imu": StreamClock(CONTENT, MAPPING)})
    (clock,) = set(found.rows["clock"].to_pylist())
    return clock


@pytest.mark.parametrize(
    ("imu", "pose", "clocks", "clock"),
    [
        # Each topic's stamps may come from a device of its own, so that somebody has to say that they do not.
        (STAMPED, STAMPED, (None, None), DEVICE),
        (STAMPED, STAMPED, ("cap", None), DEVICE),
        (STAMPED, STAMPED, ("cap", "glove"), DEVICE),
        (STAMPED, STAMPED, ("cap", "cap"), SHARED),
        # Whatever is said: when a message came is not when its sample was taken.
        (STAMPED, LOGGED, (None, None), DEVICE),
        (STAMPED, LOGGED, ("cap", "cap"), DEVICE),
        (LOGGED, STAMPED, ("cap", "cap"), DEVICE),
        (STAMPED, UNSTAMPED_AND_PUBLISHED, ("cap", "cap"), DEVICE),
        (LOGGED, UNSTAMPED_AND_PUBLISHED, (None, None), DEVICE),
        # Publishers may run on several machines; the recorder is one.
        (UNSTAMPED_AND_PUBLISHED, UNSTAMPED_AND_PUBLISHED, (None, None), DEVICE),
        (UNSTAMPED_AND_PUBLISHED, UNSTAMPED_AND_PUBLISHED, ("cap", "cap"), SHARED),
        (LOGGED, LOGGED, (None, None), SHARED),
        (LOGGED, LOGGED, ("cap", "glove"), DEVICE),
    ],
)
def test_topics_of_one_recording_share_a_clock_only_where_their_times_are_of_one(
    tmp_path: Path, imu, pose, clocks, clock
):
    write_mcap(tmp_path / "a.mcap", imu=imu, pose=pose)
    assert clock_of_the_pose(session(tmp_path, clocks=clocks)) == clock


@pytest.mark.parametrize(
    ("pose", "clocks", "clock"),
    [
        (STAMPED, ("cap", "cap"), SHARED),
        (STAMPED, (None, None), DEVICE),
        (LOGGED, ("cap", "cap"), DEVICE),
        (UNSTAMPED_AND_PUBLISHED, ("cap", "cap"), DEVICE),
    ],
)
def test_a_named_clock_joins_a_device_s_own_file_and_stamps_but_nothing_else(tmp_path: Path, pose, clocks, clock):
    write_csv(tmp_path / "imu.csv", "imu")
    write_mcap(tmp_path / "a.mcap", pose=pose)
    assert clock_of_the_pose(session(tmp_path, imu="imu.csv", clocks=clocks)) == clock


def test_a_stream_whose_clock_was_not_aligned_shares_none_and_is_not_read_again(tmp_path: Path):
    write_mcap(tmp_path / "a.mcap", pose=STAMPED)  # and no inertial topic, which reading it would complain about
    (found,) = read_stream_rows(session(tmp_path, clocks=("cap", "cap")), [], {})
    assert set(found.rows["clock"].to_pylist()) == {DEVICE}


@pytest.mark.parametrize("one", TimeSource)
@pytest.mark.parametrize("other", TimeSource)
def test_time_sources_agree_both_ways_and_with_themselves(one, other):
    assert one.agrees_with(one)
    assert one.agrees_with(other) == other.agrees_with(one)
