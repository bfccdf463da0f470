import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer
from mcap_files import JITTER_NS, SPECS, START_NS, imu, imus, read, times_of, xyz

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import mcap_container
from harchive_dagster.landing.formats.mcap_recording import MCAP
from harchive_dagster.landing.formats.mcap_records import MAGIC
from harchive_dagster.landing.formats.mcap_samples import nanoseconds
from harchive_dagster.landing.formats.protocol import TimeSource
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _raw(
    path: Path,
    topics: Mapping[str, Sequence[bytes]],
    *,
    encoding: str = "json",
    schema_name: str = "Any",
    log_times: Sequence[int] | None = None,
    publish_times: Sequence[int] | None = None,
    **options: Any,
) -> Path:
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start(profile="", library="tests")
        schema = writer.register_schema(name=schema_name, encoding="jsonschema", data=b"{}")
        for topic, messages in topics.items():
            channel = writer.register_channel(topic=topic, message_encoding=encoding, schema_id=schema)
            logged = log_times or [time_ns + JITTER_NS for time_ns in times_of(len(messages))]
            for number, (message, log_ns) in enumerate(zip(messages, logged, strict=True)):
                published = publish_times[number] if publish_times else log_ns
                writer.add_message(channel_id=channel, log_time=log_ns, publish_time=published, data=message)
        writer.finish()
    return path


def _json(path: Path, messages: Sequence[Any], **options: Any) -> Path:
    return _raw(path, {"/topic": [json.dumps(message).encode() for message in messages]}, **options)


def _imu_of(path: Path) -> ImuStream:
    stream = read(path).stream
    assert isinstance(stream, ImuStream)
    return stream


def _refuses(path: Path, problem: str, kind: str = "imu", reason: Reason = Reason.SENSOR_UNREADABLE) -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        read(path, kind)
    assert caught.value.reason is reason


def _assert_is_imus(imu: ImuStream, count: int = 20) -> None:
    numbers = np.arange(count)
    np.testing.assert_array_equal(imu.t_device_ns, times_of(count))
    np.testing.assert_allclose(imu.gyro_rad_s, np.column_stack([0.001 * numbers, 0 * numbers - 0.5, 0 * numbers + 2.0]))
    np.testing.assert_allclose(imu.accel_m_s2, np.column_stack([0 * numbers + 0.1, 0.01 * numbers, 0 * numbers + 9.81]))


def test_nested_json_imu_messages_are_read_as_written(tmp_path: Path) -> None:
    _assert_is_imus(_imu_of(_json(tmp_path / "a.mcap", imus())))


@pytest.mark.parametrize("field", ["angular_velocity", "linear_acceleration"])
def test_an_imu_that_says_it_lacks_a_sensor_is_refused(tmp_path: Path, field: str) -> None:
    messages = imus(**{f"{field}_covariance": [-1.0] + [0.0] * 8})
    path = _json(tmp_path / "a.mcap", messages)
    _refuses(path, f"20 messages that it has no {field.replace('_', ' ')} .*REP 145")


def test_flat_json_has_the_columns_and_the_time_of_our_own_tables(tmp_path: Path) -> None:
    names = [f"{what}_{axis}_{unit}" for what, unit in (("gyro", "rad_s"), ("accel", "m_s2")) for axis in "xyz"]
    rows = [{"t_device_ns": 17 + n, "note": "x", **dict.fromkeys(names, n + 1)} for n in range(50)]
    reading = read(_json(tmp_path / "a.mcap", rows, chunk_size=500))
    assert (reading.dropped, reading.time_source) == ((), TimeSource.STAMP)
    np.testing.assert_array_equal(reading.stream.t_device_ns, np.arange(50) + 17)
    assert isinstance(reading.stream, ImuStream)
    np.testing.assert_array_equal(reading.stream.accel_m_s2[:, 2], np.arange(50) + 1.0)


def test_flat_json_of_more_columns_than_any_array_has_is_refused(tmp_path: Path) -> None:
    row = {"t_device_ns": 1} | {f"cell_0_{place}": 1 for place in range(20_000)}
    _refuses(_json(tmp_path / "a.mcap", [row] * 2), "has 20001 columns, at most 20000 are read", kind="tactile")


def _topic_messages(kind: str) -> list[dict[str, Any]]:
    rows = [{"t_device_ns": 10 + n} for n in range(9)]
    extra = {
        "joints": {"joints": ["wrist", "tip"], "position_m": [[1, 2, 3], [None, None, None]], "confidence": [1, 0]},
        "tactile": {"values": [1, 2, 3, 4, 5, 6], "rows": 2, "columns": 3, "unit": "N"},
        "gps": {"latitude": 1.5, "longitude": 2.5, "altitude": 3, "status": {"status": 0}},
        "pose": {"pose": {"position": xyz((1, 2, 3)), "orientation": {"x": 0.6, "y": 0, "z": 0, "w": 0.8}}},
    }[kind]
    return [row | extra for row in rows]


def test_json_joints_are_read_and_what_was_not_tracked_is_nan(tmp_path: Path) -> None:
    pose = read(_json(tmp_path / "a.mcap", _topic_messages("joints")), "pose").stream
    assert isinstance(pose, PoseStream)
    assert pose.joints == ("wrist", "tip")
    assert pose.orientation_wxyz is None
    assert pose.position_m is not None
    assert pose.confidence is not None
    np.testing.assert_array_equal(pose.position_m[4], [[1, 2, 3], [np.nan] * 3])
    np.testing.assert_array_equal(pose.confidence[4], [1, 0])


def test_json_poses_tactile_arrays_and_positions_are_read_as_written(tmp_path: Path) -> None:
    pose, tactile, gps = (
        read(_json(tmp_path / "a.mcap", _topic_messages(kind)), kind).stream for kind in ("pose", "tactile", "gps")
    )
    assert isinstance(pose, PoseStream)
    assert pose.orientation_wxyz is not None
    np.testing.assert_allclose(pose.orientation_wxyz[0, 0], [0.8, 0.6, 0, 0])
    assert isinstance(tactile, TactileStream)
    assert tactile.unit == "N"
    np.testing.assert_array_equal(tactile.values[8], [[1, 2, 3], [4, 5, 6]])
    assert isinstance(gps, LocationStream)
    assert (gps.latitude_deg[0], gps.longitude_deg[0], gps.altitude_m[0], gps.speed_m_s[0]) == (1.5, 2.5, 3.0, 0.0)
    np.testing.assert_array_equal(gps.t_device_ns, np.arange(9) + 10)


@pytest.mark.parametrize("batch", [1, 1000])
@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("imu", {"angular_velocity": {"x": 1.0, "y": 2.0}}, "gyro_rad_s that is not finite in 1 samples"),
        ("imu", {"angular_velocity": "fast"}, "value that does not fit"),
        ("imu", {"linear_acceleration": None}, "accel_m_s2 that is not finite"),
        ("imu", {"angular_velocity": {"x": "1", "y": 0, "z": 0}}, "value that does not fit"),
        ("imu", {"angular_velocity_covariance": [0.0]}, "'angular_velocity_covariance' is not of shape 9"),
        ("joints", {"joints": ["wrist", "thumb"]}, "changes 'joints'"),
        ("joints", {"position_m": [[1, 2, 3]]}, "'position_m' is not of shape 2 x 3"),
        ("joints", {"position_m": [[1, 2], [3, 4]]}, "'position_m' is not of shape 2 x 3"),
        ("tactile", {"values": [1, 2]}, "'values' is not of shape 6"),
        ("tactile", {"rows": 3}, "changes 'rows'"),
        ("tactile", {"values": [1, 2, 3, 4, 5, None]}, "values that is not finite"),
        ("gps", {"latitude": 91.0}, "not on Earth"),
    ],
)
def test_a_json_message_unlike_the_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, kind: str, changes: dict[str, Any], problem: str
) -> None:
    monkeypatch.setattr(mcap_container, "_BATCH_MESSAGES", batch)
    messages: list[dict[str, Any]] = imus(9) if kind == "imu" else _topic_messages(kind)
    messages[5] |= changes
    _refuses(_json(tmp_path / "a.mcap", messages), problem, "pose" if kind == "joints" else kind)


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("joints", {"joints": ["Serial 12", "index_tip"]}, "joint named"),
        ("joints", {"joints": [{}]}, "joints without a name"),
        ("joints", {"position_m": None}, "'position_m' is not of shape"),
        ("tactile", {"rows": 0}, "without rows and columns from 1"),
        ("tactile", {"columns": 10**200}, "without rows and columns from 1"),
        ("tactile", {"unit": None}, "and a unit"),
        ("tactile", {"unit": "kg"}, "unit 'kg'"),
    ],
)
def test_json_topics_that_cannot_be_a_stream_are_refused(
    tmp_path: Path, kind: str, changes: dict[str, Any], problem: str
) -> None:
    messages = [message | changes for message in _topic_messages(kind)]
    _refuses(_json(tmp_path / "a.mcap", messages), problem, "pose" if kind == "joints" else kind)


@pytest.mark.parametrize(
    "message", [b"", b"null", b"[1]", b"{", b"\xff", b"[" * 100_000, b'{"a":' + b"1" * 5000 + b"}"]
)
def test_a_message_that_is_no_json_object_is_refused_and_spoils_no_other_topic(tmp_path: Path, message: bytes) -> None:
    good = [json.dumps(one).encode() for one in imus()]
    _refuses(_raw(tmp_path / "a.mcap", {"/imu": [*good, message]}), "message that is no JSON|that is no object")
    path = _raw(tmp_path / "b.mcap", {"/imu": good, "/other": [message]})
    _assert_is_imus(_imu_of(path))


def test_topics_of_other_encodings_are_no_channels(tmp_path: Path) -> None:
    path = _raw(tmp_path / "a.mcap", {"/a": [b"{}"]}, encoding="protobuf")
    assert MCAP.probe(path) == ()
    _refuses(path, "does not have a channel to choose by itself of kind 'imu'; it has none")


@pytest.mark.parametrize(
    ("stamps", "dropped"),
    [
        ([0] * 20, "20 header stamps (they are not set, or do not increase)"),
        ([START_NS] * 20, "20 header stamps (they are not set, or do not increase)"),
        (times_of(20)[::-1], "20 header stamps (they are not set, or do not increase)"),
        ([-(10**9), *times_of(19)], "20 header stamps (they are not set, or do not increase)"),
    ],
)
def test_stamps_that_are_no_times_give_way_to_publish_times_and_that_is_said(
    tmp_path: Path, stamps: list[int], dropped: str
) -> None:
    messages = [imu(stamp, n) for n, stamp in enumerate(stamps)]
    published = [time_ns + 5 for time_ns in times_of(20)]
    reading = read(_json(tmp_path / "a.mcap", messages, publish_times=published))
    np.testing.assert_array_equal(reading.stream.t_device_ns, published)
    assert [str(one) for one in reading.dropped] == [dropped]


def test_log_times_are_the_last_resort(tmp_path: Path) -> None:
    messages = [imu(0, n) for n in range(20)]
    reading = read(_json(tmp_path / "a.mcap", messages, publish_times=[0] * 20))
    np.testing.assert_array_equal(reading.stream.t_device_ns, np.array(times_of(20)) + JITTER_NS)
    assert [one.what for one in reading.dropped] == ["header stamps", "publish times"]


@pytest.mark.parametrize(
    ("has_stamps", "published_after_ns", "source"),
    [
        (True, 5, TimeSource.STAMP),
        (False, 5, TimeSource.PUBLISH),
        (False, None, TimeSource.LOG),
        (False, JITTER_NS, TimeSource.LOG),  # the recorder knew no publish time, and wrote its own
    ],
)
def test_a_reading_says_whose_clock_its_times_are_of(
    tmp_path: Path, has_stamps: bool, published_after_ns: int | None, source: TimeSource
) -> None:
    published = [0 if published_after_ns is None else time_ns + published_after_ns for time_ns in times_of(20)]
    messages = imus() if has_stamps else [imu(0, n) for n in range(20)]
    assert read(_json(tmp_path / "a.mcap", messages, publish_times=published)).time_source is source


def test_time_that_increases_nowhere_is_refused(tmp_path: Path) -> None:
    messages = [imu(START_NS, n) for n in range(20)]
    path = _json(tmp_path / "a.mcap", messages, log_times=[START_NS] * 20)
    _refuses(path, "goes back by 0 ns", reason=Reason.SENSOR_NOT_MONOTONIC)
    beyond = _json(tmp_path / "b.mcap", [imu(0, n) for n in range(3)], log_times=[2**64 - 3, 2**64 - 2, 2**64 - 1])
    _refuses(beyond, "goes back", reason=Reason.SENSOR_NOT_MONOTONIC)


def test_messages_that_were_written_out_of_order_are_sorted_by_log_time(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(20)
    messages = [imus()[n] for n in order]
    path = _json(tmp_path / "a.mcap", messages, log_times=[times_of(20)[n] for n in order], chunk_size=400)
    _assert_is_imus(_imu_of(path))


def test_two_publishers_of_one_topic_are_one_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        ids = [writer.register_channel("/imu", "json", 0, metadata={"host": host}) for host in "ab"]
        for number, time_ns in enumerate(times_of(20)):
            message = json.dumps(imu(time_ns, number)).encode()
            writer.add_message(ids[number % 2], log_time=time_ns, publish_time=time_ns, data=message)
        writer.finish()
    assert len(set(ids)) == 2
    _assert_is_imus(_imu_of(path))


@pytest.mark.parametrize("seconds", [-1, 0, 1, 2**31, 2**62])
@pytest.mark.parametrize("fraction_ns", [-1, 0, 999_999_999, 10**9])
def test_a_stamp_is_a_time_or_minus_one(seconds: int, fraction_ns: int) -> None:
    is_time = 0 <= seconds < 2**40 and 0 <= fraction_ns < 10**9
    expected = seconds * 10**9 + fraction_ns if is_time else -1
    assert nanoseconds(np.array([seconds]), np.array([fraction_ns])).tolist() == [expected]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*"xyzw", "sec", "position"]), inner),
    max_leaves=6,
)

JSON_KEYS = ["header", "timestamp", "t_device_ns", "angular_velocity", "linear_acceleration", "pose", "joints",
             "position_m", "values", "rows", "columns", "unit", "latitude", "longitude", "altitude", "gyro_x_rad_s",
             "angular_velocity_covariance", "status", "confidence"]  # fmt: skip


@FUZZ
@given(messages=st.lists(st.dictionaries(st.sampled_from(JSON_KEYS), JSON_VALUES, min_size=3), min_size=1, max_size=3))
def test_any_json_messages_give_a_stream_or_a_landing_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(mcap_container, "_BATCH_MESSAGES", 2)
    path = _json(tmp_path / "a.mcap", messages)
    for spec in SPECS.values():
        try:
            is_sound = len(MCAP.read(path, spec).stream) > 1
        except LandingError as error:
            is_sound = error.reason in {Reason.SENSOR_UNREADABLE, Reason.SENSOR_NOT_MONOTONIC}
        assert is_sound


SEPARATOR = b"\n~~\n"


def exercise_mcap(path: Path) -> None:
    """A damaged file as it is; what is no MCAP file, as the messages of one: the damage is behind all checks then."""
    raw = path.read_bytes()
    if not raw.startswith(MAGIC):
        path = _raw(path.with_name("made.mcap"), {"/a": raw.split(SEPARATOR)})
    for channel in MCAP.probe(path):
        MCAP.read(path, SPECS[channel.kind], channel.name)
    if not MCAP.probe(path):
        read(path)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _seeds(folder: Path) -> list[Path]:
    """Without checksums, and most without compression, so that damage reaches the messages."""
    bare = {"compression": CompressionType.NONE, "enable_crcs": False}
    texts = {kind: [json.dumps(one).encode() for one in _topic_messages(kind)] for kind in ("joints", "tactile", "gps")}
    texts["imu"] = [json.dumps(one).encode() for one in imus(9)]
    return [
        _raw(folder / "json.mcap", texts, **bare),
        _json(folder / "zstd.mcap", imus(4), enable_crcs=False),
        _json(folder / "loose.mcap", imus(4), use_chunking=False, enable_crcs=False),
        *(_written(folder / kind, SEPARATOR.join(messages)) for kind, messages in texts.items()),
    ]


def test_a_thousand_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_mcap, _seeds(tmp_path), 1_000)


@pytest.mark.fuzz
def test_fifty_thousand_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_mcap, _seeds(tmp_path), 50_000)
