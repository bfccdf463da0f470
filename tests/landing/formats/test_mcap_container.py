import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import mcap_container, mcap_records
from harchive_dagster.landing.formats.mcap_recording import MCAP
from harchive_dagster.landing.formats.mcap_records import MAGIC, MAX_RECORD_BYTES
from harchive_dagster.landing.formats.tabular_kinds import ACCEL_COLUMNS, GYRO_COLUMNS
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream

SPEC = StreamSpec("imu", "head", "imu", 100.0)

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

START_NS = 1_700_000_000_000_000_000

STEP_NS = 10_000_000


def _times(count: int) -> list[int]:
    return [START_NS + number * STEP_NS for number in range(count)]


def _rows(count: int = 20) -> list[dict[str, Any]]:
    columns = (*ACCEL_COLUMNS, *GYRO_COLUMNS)
    return [
        {"t_device_ns": time_ns, **dict.fromkeys(columns, 0.5 * number)} for number, time_ns in enumerate(_times(count))
    ]


def _json(path: Path, messages: Sequence[Any], **options: Any) -> Path:
    """One topic of JSON messages; the options are the writer's."""
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start()
        schema = writer.register_schema(name="Imu", encoding="jsonschema", data=b"{}")
        channel = writer.register_channel(topic="/topic", message_encoding="json", schema_id=schema)
        for time_ns, message in zip(_times(len(messages)), messages, strict=True):
            data = json.dumps(message).encode()
            writer.add_message(channel_id=channel, log_time=time_ns, publish_time=time_ns, data=data)
        writer.finish()
    return path


def _refuses(path: Path, problem: str) -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        MCAP.read(path, SPEC)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


def _assert_is_whole(path: Path) -> None:
    stream = MCAP.read(path, SPEC).stream
    assert isinstance(stream, ImuStream)
    np.testing.assert_array_equal(stream.t_device_ns, _times(20))
    np.testing.assert_array_equal(stream.gyro_rad_s[:, 1], 0.5 * np.arange(20))


@pytest.mark.parametrize(
    "options",
    [
        {"use_chunking": False, "enable_data_crcs": True},
        {"use_chunking": False, "enable_crcs": False},
        {"repeat_channels": False, "repeat_schemas": False, "use_statistics": False, "use_summary_offsets": False},
        {"use_statistics": False},
    ],
)
def test_a_file_without_chunks_summary_or_checksums_is_read_as_any_other(
    tmp_path: Path, options: dict[str, bool]
) -> None:
    path = _json(tmp_path / "a.mcap", _rows(), **options)
    _assert_is_whole(path)
    assert [(channel.name, channel.kind) for channel in MCAP.probe(path)] == [("/topic", "imu")]


def _sound(folder: Path, **options: Any) -> Path:
    return _json(folder / "sound.mcap", _rows(), **options)


def test_a_truncated_upload_is_said_to_be_one_wherever_it_was_cut(tmp_path: Path) -> None:
    raw = _sound(tmp_path).read_bytes()
    path = tmp_path / "cut.mcap"
    for length in range(len(MAGIC), len(raw), 97):
        path.write_bytes(raw[:length])
        _refuses(path, "was cut off: it does not end as MCAP does, so its upload is not whole")
        with pytest.raises(LandingError, match="was cut off"):
            MCAP.probe(path)


def test_a_file_that_is_not_there_or_no_mcap_is_unreadable_and_has_no_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    _refuses(path, "is not there")
    for content in (b"", MAGIC[:-1], b"junk" * 100):
        path.write_bytes(content)
        _refuses(path, "does not begin as MCAP does")
        assert MCAP.probe(path) == ()
    path.unlink()
    path.mkdir()
    assert MCAP.probe(path) == ()
    _refuses(path, "is not there")


def _chunk_at(raw: bytes) -> int:
    """Where the first chunk's body begins."""
    at = len(MAGIC)
    while raw[at] != 0x06:
        at += 9 + int.from_bytes(raw[at + 1 : at + 9], "little")
    return at + 9


def _with_chunk(raw: bytes, offset: int, patch: bytes) -> bytes:
    at = _chunk_at(raw) + offset
    return raw[:at] + patch + raw[at + len(patch) :]


@pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.LZ4])
@pytest.mark.parametrize(
    ("offset", "patch", "problem"),
    [
        (16, struct.pack("<Q", 2**40), "claims to unpack to 1099511627776 bytes, at most"),
        (16, struct.pack("<Q", 10), "does not unpack to the 10 bytes that it claims"),
        (16, struct.pack("<Q", MAX_RECORD_BYTES), f"does not unpack to the {MAX_RECORD_BYTES} bytes"),
        (24, b"\1\2\3\4", "chunk whose checksum is wrong"),
        (32, b"bro", "is compressed with b?'?.*known are lz4 and zstd"),
        (28, b"\xff\xff\xff\xff", "chunk that is too short"),
        (48, b"\0" * 20, "cannot be unpacked"),
    ],
)
def test_a_chunk_that_lies_is_refused(
    tmp_path: Path, compression: CompressionType, offset: int, patch: bytes, problem: str
) -> None:
    raw = _sound(tmp_path, compression=compression).read_bytes()
    path = tmp_path / "lies.mcap"
    path.write_bytes(_with_chunk(raw, offset, patch))
    with pytest.raises(LandingError, match=problem):
        MCAP.read(path, SPEC)


def test_a_file_that_unpacks_to_more_than_it_may_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcap_records, "MAX_UNPACKED_BYTES", 1_000)
    monkeypatch.setattr(mcap_records, "_MAX_UNPACKING_RATIO", 1)
    rows = [row | {"pad": "0" * 100_000} for row in _rows(3)]
    _refuses(_json(tmp_path / "a.mcap", rows), "unpacks to more than")


@pytest.mark.parametrize(
    ("module", "name", "problem"),
    [
        (mcap_container, "MAX_SAMPLES", "has more than 7 messages on topic"),
        (mcap_records, "_MAX_RECORDS", "has more than 7 records"),
    ],
)
@pytest.mark.parametrize("use_chunking", [True, False])
def test_more_messages_than_a_host_can_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, problem: str, use_chunking: bool
) -> None:
    monkeypatch.setattr(module, name, 7)
    monkeypatch.setattr(mcap_container, "_BATCH_MESSAGES", 4)
    _refuses(_sound(tmp_path, use_chunking=use_chunking), problem)


def test_batches_do_not_show_in_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcap_container, "_BATCH_MESSAGES", 3)
    _assert_is_whole(_sound(tmp_path))


def _damaged_summary(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """With a changed summary and no checksum over it."""
    footer_at = len(raw) - 8 - 20
    start, offsets, _ = struct.unpack_from("<QQI", raw, footer_at)
    summary = change(raw[start : footer_at - 9])
    footer = struct.pack("<QQI", start, offsets, 0)
    return raw[:start] + summary + raw[footer_at - 9 : footer_at] + footer + MAGIC


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda summary: summary.replace(b"/topic", b"/tropc"), "summary that does not fit its data"),
        (lambda summary: summary[:-3], "ends inside a record"),
        (lambda summary: summary.replace(b"/topic", b"\xff\xfe/pic"), "channel record that cannot be read"),
        (lambda summary: summary.replace(struct.pack("<Q", 20), struct.pack("<Q", 21)), "its summary says 21"),
        (lambda summary: b"\x03" + struct.pack("<Q", 2**60) + summary[9:], "ends inside a record"),
    ],
)
def test_a_summary_that_does_not_fit_is_refused(tmp_path: Path, change: Callable[[bytes], bytes], problem: str) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(_damaged_summary(_sound(tmp_path).read_bytes(), change))
    _refuses(path, problem)


def test_a_channel_whose_schema_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = Writer(file, repeat_schemas=False)
        writer.start()
        schema = writer.register_schema("sensor_msgs/msg/Imu", "ros2msg", b"")
        channel = writer.register_channel("/imu", "cdr", schema)
        writer.add_message(channel, log_time=1, publish_time=1, data=b"")
        writer.finish()
    _refuses(path, "has topic '/imu' with schema 1, which is missing")


@pytest.mark.parametrize("options", [{"enable_data_crcs": True}, {"enable_data_crcs": True, "use_chunking": False}])
def test_data_whose_checksum_is_wrong_are_refused(tmp_path: Path, options: dict[str, bool]) -> None:
    raw = bytearray(_sound(tmp_path, **options).read_bytes())
    raw[20] ^= 1  # inside the header record
    path = tmp_path / "a.mcap"
    path.write_bytes(raw)
    _refuses(path, "has data whose checksum is wrong")


def test_the_summary_is_checked_by_its_checksum(tmp_path: Path) -> None:
    raw = _sound(tmp_path).read_bytes()
    start = struct.unpack_from("<Q", raw, len(raw) - 28)[0]
    path = tmp_path / "a.mcap"
    path.write_bytes(raw[: start + 20] + b"!" + raw[start + 21 :])
    with pytest.raises(LandingError, match="summary whose checksum is wrong"):
        MCAP.probe(path)


def test_large_attachments_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = Writer(file, enable_data_crcs=True)
        writer.start()
        channel = writer.register_channel("/imu", "json", 0)
        writer.add_attachment(create_time=0, log_time=0, name="v", media_type="video/mp4", data=bytes(5_000_000))
        for row, time_ns in zip(_rows(), _times(20), strict=True):
            message = json.dumps(row).encode()
            writer.add_message(channel, log_time=time_ns, publish_time=time_ns, data=message)
        writer.finish()
    _assert_is_whole(path)


@FUZZ
@given(content=st.binary(max_size=300))
def test_garbage_behind_the_magic_raises_nothing_but_a_landing_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mcap"
    footer = b"\x02" + struct.pack("<QQQI", 20, 0, 0, 0)
    path.write_bytes(MAGIC + content + footer + MAGIC)
    with pytest.raises(LandingError):
        MCAP.read(path, SPEC)
