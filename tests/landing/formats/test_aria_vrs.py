"""Needs the library of the `aria` extra; small recordings are written here, after the layout in VRS's FileFormat.h."""

import contextlib
import ctypes
import json
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats.aria_vrs import VRS, inertial_rows, list_channels
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.landing.formats.registry import probe
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.pose import PoseStream

IMU = StreamSpec(stream_id="imu_head", placement="head", kind="imu", rate_hz=800.0)
POSE = StreamSpec(stream_id="odometry", placement="head", kind="pose", rate_hz=800.0)

RECORD_HEADER = struct.Struct("<IIiIdHBBI")
CONFIGURATION, DATA = 2, 3
INERTIAL, MAGNETIC = 1202, 1203
SIZES = {"Bool": 1, "uint32_t": 4, "uint64_t": 8, "int64_t": 8, "double": 8}
CONFIGURATION_FIELDS = (
    ("stream_index", "uint32_t"),
    ("device_id", "uint64_t"),
    ("nominal_rate", "double"),
    ("has_accelerometer", "Bool"),
    ("has_gyroscope", "Bool"),
    ("has_magnetometer", "Bool"),
    *((name, "text") for name in ("device_type", "device_version", "device_serial", "sensor_model")),
    *((name, "text") for name in ("factory_calibration", "online_calibration", "description")),
)
DATA_FIELDS = (
    ("accelerometer_valid", "Bool"),
    ("gyroscope_valid", "Bool"),
    ("magnetometer_valid", "Bool"),
    ("temperature_deg_c", "double"),
    ("capture_timestamp_ns", "int64_t"),
    ("arrival_timestamp_ns", "int64_t"),
    ("accelerometer", "vector"),
    ("gyroscope", "vector"),
    ("magnetometer", "vector"),
)

pytest.importorskip("projectaria_tools")


def _layout(fields: tuple[tuple[str, str], ...]) -> str:
    pieces: list[dict[str, object]] = []
    offset = texts = 0
    for name, kind in fields:
        if kind == "text":
            pieces.append({"name": name, "type": "DataPieceString", "index": texts})
            texts += 1
        elif kind == "vector":
            pieces.append({"name": name, "type": "DataPieceArray<float>", "offset": offset, "size": 3})
            offset += 12
        else:
            pieces.append({"name": name, "type": f"DataPieceValue<{kind}>", "offset": offset})
            offset += SIZES[kind]
    return json.dumps({"data_layout": pieces}, separators=(",", ":"))


def _tags(tags: dict[str, str]) -> bytes:
    texts = [text.encode() for pair in tags.items() for text in pair]
    return struct.pack("<I", len(tags)) + b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _record(stream: tuple[int, int], kind: int, payload: bytes = b"", time_s: float = 0.0) -> bytes:
    header = (RECORD_HEADER.size + len(payload), 0, stream[0], 2, time_s, stream[1], kind, 0, 0)
    return RECORD_HEADER.pack(*header) + payload


def recording(
    times_ns: np.ndarray,
    *,
    streams: tuple[tuple[int, int], ...] = ((INERTIAL, 1), (INERTIAL, 2), (MAGNETIC, 1)),
    invalid: tuple[int, ...] = (),
    device_type: str = "Oatmeal",
) -> bytes:
    """A recording in which every stream has a sample at each time: gravity on z, a slow turn about all axes."""
    layouts = {
        "DL:Configuration:2:0": _layout(CONFIGURATION_FIELDS),
        "DL:Data:2:0": _layout(DATA_FIELDS),
        "RF:Configuration:2": "data_layout",
        "RF:Data:2": "data_layout",
    }
    description = struct.pack("<I", len(streams))
    description += b"".join(struct.pack("<iH", *stream) + _tags({}) + _tags(layouts) for stream in streams)
    description += _tags({"device_type": device_type})
    configuration = struct.pack("<IQd3?56x", 0, 1, 800.0, True, True, False)
    records = [_record((2, 0), DATA, description)]
    records += [_record(stream, CONFIGURATION, configuration) for stream in streams]
    for index, t_ns in enumerate(np.asarray(times_ns).tolist()):
        is_valid = index not in invalid
        sample = struct.pack("<3?dqq9f", is_valid, is_valid, False, 25, t_ns, t_ns, 0, 0, 9.81, 0.1, 0.2, 0.3, 0, 0, 0)
        records += [_record(stream, DATA, sample, t_ns / 1e9) for stream in streams]
    raw = struct.pack("<8sQIIqqqQQQ4s4s", b"VisionRe", 7, 80, 32, 0, 80, 0, 0, 0, 0, b"cord", b"VRS1")
    before = 0
    for record in records:  # each names the size of the one before it, by which a lost index is rebuilt
        raw += record[:4] + struct.pack("<I", before) + record[8:]
        before = len(record)
    return raw


def _write(folder: Path, count: int = 40, **changes: object) -> Path:
    path = folder / "recording.vrs"
    path.write_bytes(recording(10**9 + np.arange(count) * 1_250_000, **changes))
    return path


def read_imu(path: Path, channel: str = "imu-left") -> ImuStream:
    imu = VRS.read(path, IMU, channel).stream
    assert isinstance(imu, ImuStream)
    return imu


def test_every_inertial_sensor_is_a_channel_on_the_head(tmp_path):
    path = _write(tmp_path)
    left, right = (Channel(name, "imu", 800.0, "head") for name in ("imu-left", "imu-right"))
    assert probe(path.rename(tmp_path / "named.mp4")) == ("vrs", (left, right))


def test_samples_are_read_as_written(tmp_path):
    imu = read_imu(_write(tmp_path))
    assert (imu.stream_id, imu.placement, imu.mag_ut) == ("imu_head", "head", None)
    np.testing.assert_array_equal(imu.t_device_ns, 10**9 + np.arange(40) * 1_250_000)
    np.testing.assert_array_equal(imu.accel_m_s2, np.tile(np.float32([0, 0, 9.81]), (40, 1)))
    np.testing.assert_array_equal(imu.gyro_rad_s, np.tile(np.float32([0.1, 0.2, 0.3]), (40, 1)))


def test_what_is_left_out_is_counted(tmp_path):
    reading = VRS.read(_write(tmp_path, invalid=(0, 7)), IMU, "imu-left")
    assert len(reading.stream) == 38
    assert [str(dropped) for dropped in reading.dropped] == [
        "2 inertial samples (the device marked them invalid)",
        "40 magnetometer samples (they were taken at other times than the inertial ones)",
    ]


@pytest.mark.parametrize(("device_type", "first"), [("Oatmeal", "imu-left"), ("Aria", "imu-right")])
def test_both_generations_of_glasses_number_their_sensors_their_own_way(tmp_path, device_type, first):
    path = _write(tmp_path, streams=((INERTIAL, 1),), device_type=device_type)
    assert [channel.name for channel in VRS.probe(path)] == [first]
    assert len(VRS.read(path, IMU).stream) == 40


@pytest.mark.parametrize(
    ("channel", "kind", "problem"),
    [
        ("", "imu", "a channel to choose by itself of kind 'imu'; it has 'imu-left', 'imu-right'"),
        ("imu-top", "imu", "channel 'imu-top' of kind 'imu'; it has 'imu-left', 'imu-right'"),
        ("imu-left", "pose", "channel 'imu-left' of kind 'pose'; it has none"),
    ],
)
def test_a_channel_has_to_be_one_of_those_in_the_file(tmp_path, channel, kind, problem):
    with pytest.raises(LandingError, match=problem):
        VRS.read(_write(tmp_path, 4), StreamSpec("x", "head", kind, 800.0), channel)


@pytest.mark.parametrize("size", [8, 80, 500, 3000])
def test_a_recording_that_was_cut_short_is_unreadable(tmp_path, size):
    path = _write(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LandingError, match=r"cannot be read|holds nothing") as caught:
        VRS.read(path, IMU, "imu-left")
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


def test_a_recording_that_was_cut_off_among_its_samples_is_read_up_to_there(tmp_path):
    path = _write(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert 30 < len(read_imu(path)) < 40


def test_device_time_that_goes_back_is_refused(tmp_path):
    path = tmp_path / "recording.vrs"
    path.write_bytes(recording(np.array([5, 6, 6, 7]) * 10**6))
    with pytest.raises(LandingError) as caught:
        read_imu(path)
    assert caught.value.reason is Reason.SENSOR_NOT_MONOTONIC


@contextlib.contextmanager
def _quiet_library() -> Iterator[None]:
    """The library logs to the process's own streams, some kilobytes a file."""
    kept = {stream: os.dup(stream) for stream in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in kept:
        os.dup2(nowhere, stream)
    os.close(nowhere)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what C has buffered would come out behind the fuzzer's own last line
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)


def exercise_unpacking(path: Path) -> None:
    """What otherwise runs in a child, here without one: starting it for each file would take hours."""
    try:
        with _quiet_library():
            list_channels(str(path))
            inertial_rows(str(path), "imu-left")
    except (RuntimeError, ValueError, MemoryError, OverflowError, UnicodeDecodeError) as error:
        raise LandingError(Reason.SENSOR_UNREADABLE, str(error), mend="") from None


def exercise_reader(path: Path) -> None:
    VRS.probe(path)
    VRS.read(path, IMU, "imu-left")


def test_two_thousand_damaged_recordings_leave_the_library_standing(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_unpacking, [_write(tmp_path, 10)])


def test_damaged_recordings_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_reader, [_write(tmp_path, 10)], 12)


@pytest.mark.fuzz
def test_fifty_thousand_damaged_recordings_leave_the_library_standing(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_unpacking, [_write(tmp_path, 10)], 50_000)


@pytest.mark.slow
def test_a_hundred_and_fifty_damaged_recordings_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_reader, [_write(tmp_path, 10)], 150)


def _declared_counts(path: Path) -> Counter[tuple[int, int]]:
    """Data records of each stream, by walking the container's record headers without the library."""
    raw = path.read_bytes()
    counts: Counter[tuple[int, int]] = Counter()
    at = struct.unpack_from("<q", raw, 40)[0]
    while at < len(raw):
        size, _, kind, _, _, number, record_kind, _, _ = RECORD_HEADER.unpack_from(raw, at)
        counts[kind, number] += record_kind == DATA
        at += size
    return counts


@pytest.mark.realdata
def test_a_real_recording_gives_every_sample_that_its_container_declares(realdata):
    path = realdata / "aria_gen2_multi_stream.vrs"
    assert {(one.name, one.kind, one.rate_hz) for one in VRS.probe(path)} == {
        ("imu-left", "imu", 800.0),
        ("imu-right", "imu", 800.0),
        ("vio_high_frequency", "pose", 800.0),
    }
    declared = _declared_counts(path)
    left, right = read_imu(path, "imu-left"), read_imu(path, "imu-right")
    assert (len(left), len(right)) == (declared[1202, 1], declared[1202, 2]) == (160, 159)
    assert [imu.rate_hz for imu in (left, right)] == pytest.approx([800, 800], rel=0.01)
    pose = VRS.read(path, POSE).stream
    assert len(pose) == declared[371, 3]
    assert pose.rate_hz == pytest.approx(800, rel=0.01)


@pytest.mark.realdata
def test_a_real_recording_shows_gravity_once_the_head_s_own_acceleration_is_taken_off(realdata):
    path = realdata / "aria_gen2_multi_stream.vrs"
    pose = VRS.read(path, POSE).stream
    assert isinstance(pose, PoseStream)
    assert pose.position_m is not None
    time_s = (pose.t_device_ns - pose.t_device_ns[0]) / 1e9
    acceleration_m_s2 = 2 * np.polyfit(time_s, pose.position_m[:, 0], 2)[0]
    force_m_s2 = np.linalg.norm(acceleration_m_s2 + np.array([0, 0, 9.81]))  # 10.3: the head is moving up
    for name in ("imu-left", "imu-right"):
        imu = read_imu(path, name)
        assert np.linalg.norm(imu.accel_m_s2.mean(axis=0)) == pytest.approx(force_m_s2, abs=0.3)
        turn_rad_s = np.linalg.norm(imu.gyro_rad_s.mean(axis=0))
        assert turn_rad_s == pytest.approx(_turn_rad_s(pose), rel=0.25)


def _turn_rad_s(pose: PoseStream) -> float:
    """How fast the pose turns, from its first and last quaternion."""
    assert pose.orientation_wxyz is not None
    first, last = pose.orientation_wxyz[0, 0], pose.orientation_wxyz[-1, 0]
    return float(2 * np.arccos(min(1.0, abs(first @ last))) / np.ptp(pose.t_device_ns) * 1e9)
