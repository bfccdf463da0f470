import base64
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.writer import CompressionType, Writer
from mcap_files import header, stamp_of, times_of, write_ros

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats.mcap_recording import MCAP
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.depth import DepthStream

SPEC = StreamSpec("depth_head", "head", "depth", 30.0)


def _json(path: Path, messages: Sequence[Any]) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        schema = writer.register_schema("foxglove.CompressedImage", "jsonschema", b"{}")
        channel = writer.register_channel("/depth", "json", schema)
        for time_ns, message in zip(times_of(len(messages)), messages, strict=True):
            data = json.dumps(message).encode()
            writer.add_message(channel, log_time=time_ns, publish_time=time_ns, data=data)
        writer.finish()
    return path


def _refuses(path: Path, problem: str) -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        MCAP.read(path, SPEC)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


DEPTHS_MM = np.array([[0, 500, 1000, 65535], [700, 0, 0, 900]], dtype=np.uint16)


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def _image(time_ns: int, encoding: str, rows: bytes, step: int, **overrides: Any) -> dict[str, Any]:
    message = {"header": header(time_ns, "depth"), "height": 2, "width": 4, "encoding": encoding, "is_bigendian": 0}
    return message | {"step": step, "data": rows} | overrides


def _depth_topic(name: str, count: int = 5) -> tuple[str, list[Any]]:
    times = times_of(count)
    metres = DEPTHS_MM.astype(np.float32) / 1000
    padded = b"".join(row.tobytes() + b"\xff\xff" for row in DEPTHS_MM.astype(">u2"))
    sensor, foxglove = "sensor_msgs/msg", "foxglove_msgs/msg"
    return {
        "16UC1": (f"{sensor}/Image", [_image(t, "16UC1", padded, 10, is_bigendian=1) for t in times]),
        "32FC1": (
            f"{sensor}/Image",
            [_image(t, "32FC1", np.where(metres == 0, np.inf, metres).tobytes(), 16) for t in times],
        ),
        "png": (
            f"{sensor}/CompressedImage",
            [{"header": header(t, "depth"), "format": "16UC1; png", "data": _png(DEPTHS_MM)} for t in times],
        ),
        "compressedDepth": (
            f"{sensor}/CompressedImage",
            [
                {
                    "header": header(t, "depth"),
                    "format": "16UC1; compressedDepth png",
                    "data": bytes(12) + _png(DEPTHS_MM),
                }
                for t in times
            ],
        ),
        "foxglove": (
            f"{foxglove}/CompressedImage",
            [{"timestamp": stamp_of(t), "frame_id": "d", "data": _png(DEPTHS_MM), "format": "png"} for t in times],
        ),
    }[name]


@pytest.mark.parametrize("name", ["16UC1", "32FC1", "png", "compressedDepth", "foxglove"])
def test_depth_pictures_become_figures(tmp_path: Path, name: str) -> None:
    path = write_ros(tmp_path / "a.mcap", {"/depth": _depth_topic(name)})
    assert [one.kind for one in MCAP.probe(path)] == ["depth"]
    depth = MCAP.read(path, SPEC).stream
    assert isinstance(depth, DepthStream)
    assert (depth.width_px, depth.height_px) == (4, 2)
    np.testing.assert_array_equal(depth.t_device_ns, times_of(5))
    figures = [depth.valid_fraction[4], depth.min_m[4], depth.median_m[4], depth.max_m[4]]
    np.testing.assert_allclose(figures, [5 / 8, 0.5, 0.9, 65.535], rtol=1e-6)


def test_depth_pictures_in_json_are_read_and_have_their_own_stamps(tmp_path: Path) -> None:
    encoded = base64.b64encode(_png(DEPTHS_MM)).decode()
    messages = [
        {"timestamp": {"sec": t // 10**9, "nsec": t % 10**9}, "frame_id": "d", "data": encoded, "format": "png"}
        for t in times_of(4)
    ]
    path = _json(tmp_path / "a.mcap", messages)
    depth = MCAP.read(path, SPEC).stream
    np.testing.assert_array_equal(depth.t_device_ns, times_of(4))
    messages[2]["data"] = "?"
    _refuses(_json(tmp_path / "a.mcap", messages), "no base64")


def _bomb_png() -> bytes:
    whole = bytearray(_png(DEPTHS_MM))
    whole[16:24] = struct.pack(">II", 60_000, 60_000)
    return bytes(whole)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data": _png(DEPTHS_MM)[:60]}, "cannot be decoded"),
        ({"data": _png(DEPTHS_MM.astype(np.uint8))}, "show no depth"),
        ({"data": b"\xff\xd8jpeg"}, "show no depth"),
        ({"data": _bomb_png()}, "60000x60000 px that cannot be decoded, or is too large"),
        ({"data": _png(DEPTHS_MM.T)}, "changes its picture size: 2x4 and 4x2|changes its picture size: 4x2 and 2x4"),
        ({"format": "32FC1; compressedDepth png"}, "show no depth"),
    ],
)
def test_a_compressed_picture_that_is_no_depth_is_refused(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    kind, messages = _depth_topic("png")
    messages[3] |= changes
    _refuses(write_ros(tmp_path / "a.mcap", {"/depth": (kind, messages)}), problem)


@pytest.mark.parametrize(
    "changes", [{"step": 7}, {"data": bytes(19)}, {"width": 0}, {"height": 3}, {"height": 2**31}, {"width": 2**31}]
)
def test_a_raw_picture_whose_size_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    kind, messages = _depth_topic("16UC1")
    messages[3] |= changes
    _refuses(write_ros(tmp_path / "a.mcap", {"/depth": (kind, messages)}), "has a picture of")


def test_colour_pictures_are_no_channels(tmp_path: Path) -> None:
    rgb = [_image(t, "rgb8", bytes(24), 12) for t in times_of(3)]
    path = write_ros(tmp_path / "a.mcap", {"/rgb": ("sensor_msgs/msg/Image", rgb), "/depth": _depth_topic("16UC1", 3)})
    assert [one.name for one in MCAP.probe(path)] == ["/depth"]


def exercise_depth(path: Path) -> None:
    MCAP.read(path, SPEC, "/raw")
    MCAP.read(path, SPEC, "/png")


def _seeds(folder: Path) -> list[Path]:
    """Without compression and checksums, so that damage reaches the pictures."""
    topics = {"/raw": _depth_topic("16UC1", 3), "/png": _depth_topic("png", 3)}
    return [write_ros(folder / "depth.mcap", topics, compression=CompressionType.NONE, enable_crcs=False)]


def test_five_hundred_damaged_depth_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_depth, _seeds(tmp_path), 500)


@pytest.mark.fuzz
def test_fifty_thousand_damaged_depth_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_depth, _seeds(tmp_path), 50_000)
