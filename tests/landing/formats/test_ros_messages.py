import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from mcap_ros2.writer import Writer as RosWriter

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import mcap_container, ros_messages
from harchive_dagster.landing.formats.mcap_recording import MCAP
from harchive_dagster.landing.formats.mcap_records import MAGIC
from harchive_dagster.landing.formats.protocol import Channel, Reading
from harchive_dagster.landing.formats.registry import probe
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

SPECS = {kind: StreamSpec(kind, "head", kind, 100.0) for kind in ("imu", "pose", "tactile", "depth", "gps")}

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

START_NS = 1_700_000_000_000_000_000

STEP_NS = 10_000_000

JITTER_NS = 2_345_678  # a message is logged later than it was measured

RULE = "=" * 80

HEADER = f"{RULE}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"

POSE = f"""{RULE}\nMSG: geometry_msgs/Pose\nPoint position\nQuaternion orientation
{RULE}\nMSG: geometry_msgs/Point\nfloat64 x\nfloat64 y\nfloat64 z
{RULE}\nMSG: geometry_msgs/Quaternion\nfloat64 x 0\nfloat64 y 0\nfloat64 z 0\nfloat64 w 1
"""

DEFINITIONS = {
    "sensor_msgs/msg/Imu": f"""std_msgs/Header header
geometry_msgs/Quaternion orientation
float64[9] orientation_covariance
geometry_msgs/Vector3 angular_velocity
float64[9] angular_velocity_covariance
geometry_msgs/Vector3 linear_acceleration
float64[9] linear_acceleration_covariance
{HEADER}{POSE}{RULE}\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n""",
    "geometry_msgs/msg/PoseStamped": f"std_msgs/Header header\nPose pose\n{HEADER}{POSE}",
    "geometry_msgs/msg/PoseArray": f"std_msgs/Header header\nPose[] poses\n{HEADER}{POSE}",
    "sensor_msgs/msg/NavSatFix": f"""std_msgs/Header header
NavSatStatus status
float64 latitude
float64 longitude
float64 altitude
float64[9] position_covariance
uint8 position_covariance_type
{HEADER}{RULE}\nMSG: sensor_msgs/NavSatStatus\nint8 status\nuint16 service\n""",
    **{name.replace("/", "/msg/"): text for name, text in ros_messages.DEFINITIONS.items()},
}


def _stamp(time_ns: int) -> dict[str, int]:
    return {"sec": time_ns // 10**9, "nanosec": time_ns % 10**9}


def _header(time_ns: int, frame_id: str = "imu_link") -> dict[str, Any]:
    return {"stamp": _stamp(time_ns), "frame_id": frame_id}


def _xyz(values: Sequence[float]) -> dict[str, float]:
    return dict(zip("xyz", map(float, values), strict=False))


def _imu(time_ns: int, number: int, **overrides: Any) -> dict[str, Any]:
    message = {
        "header": _header(time_ns),
        "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
        "orientation_covariance": [-1.0] + [0.0] * 8,
        "angular_velocity": _xyz((0.001 * number, -0.5, 2.0)),
        "angular_velocity_covariance": [0.0] * 9,
        "linear_acceleration": _xyz((0.1, 0.01 * number, 9.81)),
        "linear_acceleration_covariance": [0.0] * 9,
    }
    return message | overrides


def _pose(time_ns: int, number: int) -> dict[str, Any]:
    pose = {"position": _xyz((0.1 * number, 1.0, 2.0)), "orientation": {"x": 0.6, "y": 0.0, "z": 0.0, "w": 0.8}}
    return {"header": _header(time_ns, "map"), "pose": pose}


def _fix(time_ns: int, number: int, status: int = 0) -> dict[str, Any]:
    return {
        "header": _header(time_ns, "gps"),
        "status": {"status": status, "service": 1},
        "latitude": 12.9 + 1e-6 * number,
        "longitude": 77.6,
        "altitude": 900.0,
        "position_covariance": [0.0] * 9,
        "position_covariance_type": 0,
    }


def _times(count: int) -> list[int]:
    return [START_NS + number * STEP_NS for number in range(count)]


def _ros(
    path: Path,
    topics: Mapping[str, tuple[str, Sequence[Any]]],
    times: Sequence[int] | None = None,
    **options: Any,
) -> Path:
    """Topics of (type, messages); each message is logged JITTER_NS after its time."""
    with path.open("wb") as file, RosWriter(file, **options) as writer:
        for topic, (kind, messages) in topics.items():
            schema = writer.register_msgdef(kind, DEFINITIONS[kind])
            for time_ns, message in zip(times or _times(len(messages)), messages, strict=True):
                writer.write_message(topic, schema, message, log_time=time_ns + JITTER_NS)
    return path


def _imus(count: int = 20, **overrides: Any) -> list[dict[str, Any]]:
    return [_imu(time_ns, number, **overrides) for number, time_ns in enumerate(_times(count))]


def _read(path: Path, kind: str = "imu", channel: str = "") -> Reading:
    return MCAP.read(path, SPECS[kind], channel)


def _imu_of(path: Path) -> ImuStream:
    stream = _read(path).stream
    assert isinstance(stream, ImuStream)
    return stream


def _refuses(path: Path, problem: str, kind: str = "imu") -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        _read(path, kind)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


def _assert_is_imus(imu: ImuStream, count: int = 20) -> None:
    numbers = np.arange(count)
    np.testing.assert_array_equal(imu.t_device_ns, _times(count))
    np.testing.assert_allclose(imu.gyro_rad_s, np.column_stack([0.001 * numbers, 0 * numbers - 0.5, 0 * numbers + 2.0]))
    np.testing.assert_allclose(imu.accel_m_s2, np.column_stack([0 * numbers + 0.1, 0.01 * numbers, 0 * numbers + 9.81]))


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("chunk_size", [300, 1_000_000])
def test_ros_imu_messages_are_read_as_written(tmp_path: Path, compression: CompressionType, chunk_size: int) -> None:
    path = _ros(
        tmp_path / "a.mcap", {"/imu": ("sensor_msgs/msg/Imu", _imus())}, compression=compression, chunk_size=chunk_size
    )
    _assert_is_imus(_imu_of(path))
    assert probe(path) == ("mcap", (Channel("/imu", "imu", pytest.approx(100.0)),))


def test_frame_ids_of_changing_length_do_not_shift_the_numbers(tmp_path: Path) -> None:
    messages = [
        _imu(time_ns, number, header=_header(time_ns, "f" * (number % 11))) for number, time_ns in enumerate(_times(20))
    ]
    _assert_is_imus(_imu_of(_ros(tmp_path / "a.mcap", {"/imu": ("sensor_msgs/msg/Imu", messages)})))


def _cdr(layout: str, *values: Any, order: str = "<", code: bytes | None = None) -> bytes:
    """A message by hand: `layout` in struct's letters, aligned as CDR is."""
    body = b""
    for letter, value in zip(layout, values, strict=True):
        size = struct.calcsize(f"={letter}")
        body += bytes(-len(body) % size) + struct.pack(order + letter, value)
    return (code or (b"\0\1" if order == "<" else b"\0\0")) + b"\0\0" + body


def _imu_cdr(number: int, *, order: str = "<", padding: int = 0, code: bytes | None = None) -> bytes:
    stamp = _stamp(_times(number + 1)[-1])
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
        for time_ns, message in zip(_times(len(messages)), messages, strict=True):
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
    messages = _imus(**{f"{field}_covariance": [-1.0] + [0.0] * 8})
    path = _ros(tmp_path / "a.mcap", {"/imu": ("sensor_msgs/msg/Imu", messages)})
    _refuses(path, f"20 messages that it has no {field.replace('_', ' ')} .*REP 145")


def test_ros_poses_and_positions_are_read_as_written(tmp_path: Path) -> None:
    times = _times(12)
    arrays = [
        {"header": _header(t, "hand"), "poses": [_pose(t, n + joint)["pose"] for joint in range(3)]}
        for n, t in enumerate(times)
    ]
    path = _ros(
        tmp_path / "a.mcap",
        {
            "/head": ("geometry_msgs/msg/PoseStamped", [_pose(t, n) for n, t in enumerate(times)]),
            "/hand": ("geometry_msgs/msg/PoseArray", arrays),
            "/gps": ("sensor_msgs/msg/NavSatFix", [_fix(t, n) for n, t in enumerate(times)]),
        },
    )
    assert [(one.name, one.kind) for one in MCAP.probe(path)] == [("/gps", "gps"), ("/hand", "pose"), ("/head", "pose")]
    head, hand = _read(path, "pose", "/head").stream, _read(path, "pose", "/hand").stream
    assert isinstance(head, PoseStream)
    assert isinstance(hand, PoseStream)
    assert head.position_m is not None
    assert hand.position_m is not None
    assert hand.orientation_wxyz is not None
    np.testing.assert_allclose(head.position_m[:, 0, 0], 0.1 * np.arange(12))
    assert hand.joints == ("joint_0", "joint_1", "joint_2")
    np.testing.assert_allclose(hand.position_m[5, :, 0], [0.5, 0.6, 0.7])
    np.testing.assert_allclose(hand.orientation_wxyz[5, 2], [0.8, 0.6, 0, 0])
    gps = _read(path, "gps").stream
    assert isinstance(gps, LocationStream)
    # A microdegree of latitude in 10 ms.
    np.testing.assert_allclose(gps.speed_m_s, 11.12, rtol=1e-3)
    np.testing.assert_array_equal(gps.t_device_ns, times)
    _refuses(path, "does not have a channel to choose by itself .* it has '/hand', '/head'", "pose")


def test_pose_arrays_of_changing_length_are_refused(tmp_path: Path) -> None:
    arrays = [{"header": _header(t), "poses": [_pose(t, n)["pose"]] * (1 + n % 2)} for n, t in enumerate(_times(6))]
    _refuses(_ros(tmp_path / "a.mcap", {"/p": ("geometry_msgs/msg/PoseArray", arrays)}), "'position_m'", "pose")
    empty = [array | {"poses": []} for array in arrays]
    _refuses(_ros(tmp_path / "a.mcap", {"/p": ("geometry_msgs/msg/PoseArray", empty)}), "empty ones", "pose")


def test_positions_without_a_fix_are_dropped_and_said_to_be(tmp_path: Path) -> None:
    fixes = [_fix(t, n, status=-1 if n < 3 else 0) for n, t in enumerate(_times(12))]
    fixes[5]["altitude"] = float("nan")
    reading = _read(_ros(tmp_path / "a.mcap", {"/gps": ("sensor_msgs/msg/NavSatFix", fixes)}), "gps")
    assert len(reading.stream) == 9
    assert np.isnan(reading.stream.altitude_m).sum() == 1
    assert [str(one) for one in reading.dropped] == ["3 positions (the receiver had no fix)"]
    nowhere = [_fix(t, n, status=-1) for n, t in enumerate(_times(12))]
    path = _ros(tmp_path / "b.mcap", {"/gps": ("sensor_msgs/msg/NavSatFix", nowhere)})
    _refuses(path, "no sample left: 12 positions", "gps")


def _array(values: Sequence[float], sizes: Sequence[int]) -> dict[str, Any]:
    dimensions = [{"label": "d", "size": size, "stride": 0} for size in sizes]
    return {"layout": {"dim": dimensions, "data_offset": 0}, "data": [float(value) for value in values]}


@pytest.mark.parametrize(("sizes", "shape"), [((2, 3), (2, 3)), ((), (1, 6)), ((6,), (1, 6)), ((1, 2, 3), (2, 3))])
def test_a_float_array_is_tactile_in_counts_timed_by_its_publishing(
    tmp_path: Path, sizes: tuple[int, ...], shape: tuple[int, int]
) -> None:
    arrays = [_array(np.arange(6) + n, sizes) for n in range(8)]
    tactile = _read(_ros(tmp_path / "a.mcap", {"/t": ("std_msgs/msg/Float32MultiArray", arrays)}), "tactile").stream
    assert isinstance(tactile, TactileStream)
    assert tactile.unit == "raw"
    np.testing.assert_array_equal(tactile.values[7], (np.arange(6) + 7).reshape(shape))
    np.testing.assert_array_equal(tactile.t_device_ns, np.array(_times(8)) + JITTER_NS)


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
    _refuses(_ros(tmp_path / "a.mcap", {"/t": ("std_msgs/msg/Float32MultiArray", arrays)}), problem, "tactile")


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
    _assert_is_imus(_imu_of(_ros(tmp_path / "a.mcap", {"/imu": ("sensor_msgs/msg/Imu", _imus())})))


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
        _read(path)


def _seeds(folder: Path) -> list[Path]:
    """Without checksums, and most without compression, so that damage reaches the messages."""
    times = _times(4)
    topics: dict[str, tuple[str, list[Any]]] = {
        "/imu": ("sensor_msgs/msg/Imu", _imus(4)),
        "/pose": ("geometry_msgs/msg/PoseStamped", [_pose(t, n) for n, t in enumerate(times)]),
        "/gps": ("sensor_msgs/msg/NavSatFix", [_fix(t, n) for n, t in enumerate(times)]),
        "/tactile": ("std_msgs/msg/Float32MultiArray", [_array(range(6), (2, 3))] * 4),
    }
    packed = {"/imu": topics["/imu"]}
    loose = []
    for kind, messages in topics.values():
        path = folder / kind.rpartition("/")[2]
        with _ros(folder / "one.mcap", {"/a": (kind, messages)}).open("rb") as file:
            path.write_bytes(
                SEPARATOR.join([kind.encode(), *(one.data for _, _, one in make_reader(file).iter_messages())])
            )
        loose.append(path)
    return [
        *loose,
        _ros(folder / "ros.mcap", topics, compression=CompressionType.NONE, enable_crcs=False),
        _ros(folder / "lz4.mcap", packed, compression=CompressionType.LZ4, enable_crcs=False),
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
