import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from mcap_files import (
    DEFINITIONS,
    JITTER_NS,
    SPECS,
    header,
    imu,
    imus,
    read,
    stamp_of,
    times_of,
    write_ros,
    xyz,
)

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import mcap_container
from harchive_dagster.landing.formats.mcap_recording import MCAP
from harchive_dagster.landing.formats.mcap_records import MAGIC
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.landing.formats.registry import probe
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _pose(time_ns: int, number: int) -> dict[str, Any]:
    pose = {"position": xyz((0.1 * number, 1.0, 2.0)), "orientation": {"x": 0.6, "y": 0.0, "z": 0.0, "w": 0.8}}
    return {"header": header(time_ns, "map"), "pose": pose}


def _fix(time_ns: int, number: int, status: int = 0) -> dict[str, Any]:
    return {
        "header": header(time_ns, "gps"),
        "status": {"status": status, "service": 1},
        "latitude": 12.9 + 1e-6 * number,
        "longitude": 77.6,
        "altitude": 900.0,
        "position_covariance": [0.0] * 9,
        "position_covariance_type": 0,
    }


def _imu_of(path: Path) -> ImuStream:
    stream = read(path).stream
    assert isinstance(stream, ImuStream)
    return stream


def _refuses(path: Path, problem: str, kind: str = "imu") -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        read(path, kind)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


def _assert_is_imus(imu: ImuStream, count: int = 20) -> None:
    numbers = np.arange(count)
    np.testing.assert_array_equal(imu.t_device_ns, times_of(count))
    np.testing.assert_allclose(imu.gyro_rad_s, np.column_stack([0.001 * numbers, 0 * numbers - 0.5, 0 * numbers + 2.0]))
    np.testing.assert_allclose(imu.accel_m_s2, np.column_stack([0 * numbers + 0.1, 0.01 * numbers, 0 * numbers + 9.81]))


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("chunk_size", [300, 1_000_000])
def test_ros_imu_messages_are_read_as_written(tmp_path: Path, compression: CompressionType, chunk_size: int) -> None:
    path = write_ros(
        tmp_path / "a.mcap",
        {"/imu": ("sensor_msgs/msg/Imu", imus())},
        compression=compression,
        chunk_size=chunk_size,
    )
    _assert_is_imus(_imu_of(path))
    assert probe(path) == ("mcap", (Channel("/imu", "imu", pytest.approx(100.0)),))


def test_frame_ids_of_changing_length_do_not_shift_the_numbers(tmp_path: Path) -> None:
    messages = [
        imu(time_ns, number, header=header(time_ns, "f" * (number % 11))) for number, time_ns in enumerate(times_of(20))
    ]
    _assert_is_imus(_imu_of(write_ros(tmp_path / "a.mcap", {"/imu": ("sensor_msgs/msg/Imu", messages)})))


def _cdr(layout: str, *values: Any, order: str = "<", code: bytes | None = None) -> bytes:
    """A message by hand: `layout` in struct's letters, aligned as CDR is."""
    body = b""
    for letter, value in zip(layout, values, strict=True):
        size = struct.calcsize(f"={letter}")
        body += bytes(-len(body) % size) + struct.pack(order + letter, value)
    return (code or (b"\0\1" if order == "<" else b"\0\0")) + b"\0\0" + body


def _imu_cdr(number: int, *, order: str = "<", padding: int = 0, code: bytes | None = None) -> bytes:
    stamp = stamp_of(times_of(number + 1)[-1])
    numbers = [0.0] * 13 + [0.001 * number, -0.5, 2.0] + [0.0] * 9 + [0.1, 0.01 * number, 9.81] + [0.0] * 9
    text = b"imu\0"
    layout = "iIi" + "b" * len(text) + "d" * 37
    return _cdr(layout, *stamp.values(), len(text), *text, *numbers, order=order, code=code) + bytes(padding)


def _raw(path: Path, kind: str, messages: Sequence[bytes]) -> Path:
    """One topic of messages as they are."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        channel = writer.register_channel("/a", "cdr", writer.register_schema(kind, "ros2msg", b""))
        for time_ns, message in zip(times_of(len(messages)), messages, strict=True):
            writer.add_message(channel, log_time=time_ns, publish_time=time_ns, data=message)
        writer.finish()
    return path


def test_big_endian_and_padded_messages_are_read(tmp_path: Path) -> None:
    messages = [_imu_cdr(n, order="<>"[n % 2], padding=n % 4) for n in range(20)]
    path = _raw(tmp_path / "a.mcap", "sensor_msgs/msg/Imu", messages)
    _assert_is_imus(_imu_of(path))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (_imu_cdr(3)[:-8], r"messages of \d+ bytes that are not laid out as sensor_msgs/Imu"),
        (_imu_cdr(3, padding=8), "not laid out as sensor_msgs/Imu"),
        (_imu_cdr(3)[:10], "messages of 10 bytes"),
        (b"", "messages of 0 bytes"),
        (_imu_cdr(3, code=b"\0\7"), "representation 0x0007, only plain CDR"),
        (_imu_cdr(3, code=b"\1\1"), "representation 0x0101"),
        (_imu_cdr(3)[:12] + b"\xff\xff\xff\xff" + _imu_cdr(3)[16:], "not laid out"),
    ],
)
def test_ros_messages_of_another_layout_are_refused(tmp_path: Path, message: bytes, problem: str) -> None:
    messages = [_imu_cdr(number) for number in range(3)] + [message]
    path = _raw(tmp_path / "a.mcap", "sensor_msgs/msg/Imu", messages)
    _refuses(path, problem)


@pytest.mark.parametrize("field", ["angular_velocity", "linear_acceleration"])
def test_an_imu_that_says_it_lacks_a_sensor_is_refused(tmp_path: Path, field: str) -> None:
    messages = imus(**{f"{field}_covariance": [-1.0] + [0.0] * 8})
    path = write_ros(tmp_path / "a.mcap", {"/imu": ("sensor_msgs/msg/Imu", messages)})
    _refuses(path, f"20 messages that it has no {field.replace('_', ' ')} .*REP 145")


def test_ros_poses_and_positions_are_read_as_written(tmp_path: Path) -> None:
    times = times_of(12)
    arrays = [
        {"header": header(t, "hand"), "poses": [_pose(t, n + joint)["pose"] for joint in range(3)]}
        for n, t in enumerate(times)
    ]
    path = write_ros(
        tmp_path / "a.mcap",
        {
            "/head": ("geometry_msgs/msg/PoseStamped", [_pose(t, n) for n, t in enumerate(times)]),
            "/hand": ("geometry_msgs/msg/PoseArray", arrays),
            "/gps": ("sensor_msgs/msg/NavSatFix", [_fix(t, n) for n, t in enumerate(times)]),
        },
    )
    assert [(one.name, one.kind) for one in MCAP.probe(path)] == [("/gps", "gps"), ("/hand", "pose"), ("/head", "pose")]
    head, hand = read(path, "pose", "/head").stream, read(path, "pose", "/hand").stream
    assert isinstance(head, PoseStream)
    assert isinstance(hand, PoseStream)
    assert head.position_m is not None
    assert hand.position_m is not None
    assert hand.orientation_wxyz is not None
    np.testing.assert_allclose(head.position_m[:, 0, 0], 0.1 * np.arange(12))
    assert hand.joints == ("joint_0", "joint_1", "joint_2")
    np.testing.assert_allclose(hand.position_m[5, :, 0], [0.5, 0.6, 0.7])
    np.testing.assert_allclose(hand.orientation_wxyz[5, 2], [0.8, 0.6, 0, 0])
    gps = read(path, "gps").stream
    assert isinstance(gps, LocationStream)
    # A microdegree of latitude in 10 ms.
    np.testing.assert_allclose(gps.speed_m_s, 11.12, rtol=1e-3)
    np.testing.assert_array_equal(gps.t_device_ns, times)
    _refuses(path, "does not have a channel to choose by itself .* it has '/hand', '/head'", "pose")


def test_pose_arrays_of_changing_length_are_refused(tmp_path: Path) -> None:
    arrays = [{"header": header(t), "poses": [_pose(t, n)["pose"]] * (1 + n % 2)} for n, t in enumerate(times_of(6))]
    _refuses(write_ros(tmp_path / "a.mcap", {"/p": ("geometry_msgs/msg/PoseArray", arrays)}), "'position_m'", "pose")
    empty = [array | {"poses": []} for array in arrays]
    _refuses(write_ros(tmp_path / "a.mcap", {"/p": ("geometry_msgs/msg/PoseArray", empty)}), "empty ones", "pose")


def test_positions_without_a_fix_are_dropped_and_said_to_be(tmp_path: Path) -> None:
    fixes = [_fix(t, n, status=-1 if n < 3 else 0) for n, t in enumerate(times_of(12))]
    fixes[5]["altitude"] = float("nan")
    reading = read(write_ros(tmp_path / "a.mcap", {"/gps": ("sensor_msgs/msg/NavSatFix", fixes)}), "gps")
    assert len(reading.stream) == 9
    assert np.isnan(reading.stream.altitude_m).sum() == 1
    assert [str(one) for one in reading.dropped] == ["3 positions (the receiver had no fix)"]
    nowhere = [_fix(t, n, status=-1) for n, t in enumerate(times_of(12))]
    path = write_ros(tmp_path / "b.mcap", {"/gps": ("sensor_msgs/msg/NavSatFix", nowhere)})
    _refuses(path, "no sample left: 12 positions", "gps")


def _array(values: Sequence[float], sizes: Sequence[int]) -> dict[str, Any]:
    dimensions = [{"label": "d", "size": size, "stride": 0} for size in sizes]
    return {"layout": {"dim": dimensions, "data_offset": 0}, "data": [float(value) for value in values]}


@pytest.mark.parametrize(("sizes", "shape"), [((2, 3), (2, 3)), ((), (1, 6)), ((6,), (1, 6)), ((1, 2, 3), (2, 3))])
def test_a_float_array_is_tactile_in_counts_timed_by_its_publishing(
    tmp_path: Path, sizes: tuple[int, ...], shape: tuple[int, int]
) -> None:
    arrays = [_array(np.arange(6) + n, sizes) for n in range(8)]
    tactile = read(write_ros(tmp_path / "a.mcap", {"/t": ("std_msgs/msg/Float32MultiArray", arrays)}), "tactile").stream
    assert isinstance(tactile, TactileStream)
    assert tactile.unit == "raw"
    np.testing.assert_array_equal(tactile.values[7], (np.arange(6) + 7).reshape(shape))
    np.testing.assert_array_equal(tactile.t_device_ns, np.array(times_of(8)) + JITTER_NS)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ([_array(range(6), (2, 3)), _array(range(6), (3, 2))], "changes its array's layout"),
        ([_array(range(6), (2, 3)), _array(range(4), (2, 2))], "changes its array's layout"),
        ([_array(range(6), (4, 3))] * 2, "arrays of 6 values that are said to be 4 x 3"),
        ([_array(range(6), (0, 0))] * 2, "said to be 0 x 0"),
        ([_array((), ())] * 2, "not laid out"),
    ],
)
def test_float_arrays_without_one_layout_are_refused(tmp_path: Path, arrays: list[Any], problem: str) -> None:
    _refuses(write_ros(tmp_path / "a.mcap", {"/t": ("std_msgs/msg/Float32MultiArray", arrays)}), problem, "tactile")


@FUZZ
@given(payloads=st.lists(st.binary(max_size=120), min_size=1, max_size=4), kind=st.sampled_from(sorted(DEFINITIONS)))
def test_any_bytes_as_ros_messages_give_a_stream_or_a_landing_error(
    tmp_path: Path, payloads: list[bytes], kind: str
) -> None:
    messages = [b"\0\1\0\0" + payload for payload in payloads]
    path = _raw(tmp_path / "a.mcap", kind, messages)
    for spec in SPECS.values():
        try:
            is_sound = len(MCAP.read(path, spec).stream) > 1
        except LandingError as error:
            is_sound = error.reason in {Reason.SENSOR_UNREADABLE, Reason.SENSOR_NOT_MONOTONIC}
        assert is_sound


def test_batches_do_not_show_in_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcap_container, "_BATCH_MESSAGES", 3)
    _assert_is_imus(_imu_of(write_ros(tmp_path / "a.mcap", {"/imu": ("sensor_msgs/msg/Imu", imus())})))


SEPARATOR = b"\n~~\n"


def exercise_ros(path: Path) -> None:
    """A damaged file as it is; what is no MCAP file, as the messages of one: the damage is behind all checks then."""
    raw = path.read_bytes()
    if not raw.startswith(MAGIC):
        kind, *messages = raw.split(SEPARATOR)
        path = _raw(path.with_name("made.mcap"), kind.decode("ascii", "replace"), messages)
    for channel in MCAP.probe(path):
        MCAP.read(path, SPECS[channel.kind], channel.name)
    if not MCAP.probe(path):
        read(path)


def _seeds(folder: Path) -> list[Path]:
    """Without checksums, and most without compression, so that damage reaches the messages."""
    times = times_of(4)
    topics: dict[str, tuple[str, list[Any]]] = {
        "/imu": ("sensor_msgs/msg/Imu", imus(4)),
        "/pose": ("geometry_msgs/msg/PoseStamped", [_pose(t, n) for n, t in enumerate(times)]),
        "/gps": ("sensor_msgs/msg/NavSatFix", [_fix(t, n) for n, t in enumerate(times)]),
        "/tactile": ("std_msgs/msg/Float32MultiArray", [_array(range(6), (2, 3))] * 4),
    }
    packed = {"/imu": topics["/imu"]}
    loose = []
    for kind, messages in topics.values():
        path = folder / kind.rpartition("/")[2]
        with write_ros(folder / "one.mcap", {"/a": (kind, messages)}).open("rb") as file:
            path.write_bytes(
                SEPARATOR.join([kind.encode(), *(one.data for _, _, one in make_reader(file).iter_messages())])
            )
        loose.append(path)
    return [
        *loose,
        write_ros(folder / "ros.mcap", topics, compression=CompressionType.NONE, enable_crcs=False),
        write_ros(folder / "lz4.mcap", packed, compression=CompressionType.LZ4, enable_crcs=False),
    ]


def test_a_thousand_damaged_ros_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_ros, _seeds(tmp_path), 1_000)


@pytest.mark.fuzz
def test_fifty_thousand_damaged_ros_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_ros, _seeds(tmp_path), 50_000)
