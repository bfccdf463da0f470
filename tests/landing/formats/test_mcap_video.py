import base64
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from mcap.writer import Writer

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import mcap_container
from harchive_dagster.landing.formats.mcap_records import MAGIC
from harchive_dagster.landing.formats.mcap_video import extract_video, video_channels
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.reasons import Reason

START_NS = 1_700_000_000_123_456_789
WIDTH, HEIGHT = 64, 48
SCHEMAS = {
    "json": "foxglove.CompressedVideo",
    "protobuf": "foxglove.CompressedVideo",
    "cdr": "foxglove_msgs/msg/CompressedVideo",
}


def _times(count: int = 12) -> list[int]:
    """A camera that is not quite regular."""
    return [START_NS + number * 33_333_333 + (number % 3) * 1_234_567 for number in range(count)]


def _encoded(
    codec: str = "h264", count: int = 12, *, b_frames: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> list[bytes]:
    """Pictures in Annex B form, a key picture each five."""
    library = {"h264": "libx264", "hevc": "libx265"}[codec]
    encoder = av.CodecContext.create(library, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    x265 = f"log-level=none:bframes={b_frames}:keyint=5:min-keyint=5:repeat-headers=1:pools=1:frame-threads=1"
    encoder.options = (
        {"x265-params": x265}
        if codec == "hevc"
        else {"bf": str(b_frames), "g": "5", "threads": "1", "sc_threshold": "0"}
    )
    packets = []
    for number in range(count):
        pixels = np.full((size[1], size[0], 3), 20 * number, dtype=np.uint8)
        pixels[: 4 * number % size[1]] = 255
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in [*packets, *encoder.encode(None)]]


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _message(encoding: str, time_ns: int, data: bytes, form: str = "h264") -> bytes:
    sec, nsec = divmod(time_ns, 10**9)
    if encoding == "json":
        text = {"timestamp": {"sec": sec, "nsec": nsec}, "frame_id": "cam", "format": form}
        return json.dumps(text | {"data": base64.b64encode(data).decode()}).encode()
    if encoding == "protobuf":
        stamp = b"\x08" + _varint(sec) + b"\x10" + _varint(nsec)
        return _field(1, stamp) + _field(2, b"cam") + _field(3, data) + _field(4, form.encode())
    texts = b"\4\0\0\0cam\0" + len(data).to_bytes(4, "little") + data
    texts += bytes(-len(texts) % 4) + (len(form) + 1).to_bytes(4, "little") + form.encode() + b"\0"
    return b"\0\1\0\0" + sec.to_bytes(4, "little") + nsec.to_bytes(4, "little") + texts


def _video(
    path: Path,
    pictures: Sequence[bytes],
    *,
    encoding: str = "protobuf",
    form: str = "h264",
    times: Sequence[int] | None = None,
    logged: Sequence[int] | None = None,
) -> Path:
    times = times or _times(len(pictures))
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=2_000)
        writer.start()
        schema = writer.register_schema(SCHEMAS[encoding], encoding, b"")
        channel = writer.register_channel("/camera", encoding, schema)
        other = writer.register_channel("/other", "json", 0)
        for data, time_ns, log_ns in zip(pictures, times, logged or times, strict=True):
            writer.add_message(
                channel, log_time=log_ns + 9, publish_time=log_ns + 9, data=_message(encoding, time_ns, data, form)
            )
            writer.add_message(other, log_time=log_ns + 9, publish_time=0, data=b"{}")
        writer.finish()
    return path


def _frames(source: Path) -> tuple[list[np.ndarray[Any, Any]], list[int]]:
    with av.open(str(source)) as container:
        decoded = list(container.decode(video=0))
    return [frame.to_ndarray(format="gray") for frame in decoded], [
        round(frame.pts * frame.time_base * 10**9) for frame in decoded if frame.pts is not None and frame.time_base
    ]


def _decoded(pictures: Sequence[bytes], codec: str) -> list[np.ndarray[Any, Any]]:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for data in pictures for frame in decoder.decode(av.Packet(data))]
    return [frame.to_ndarray(format="gray") for frame in [*frames, *decoder.decode(None)]]


@pytest.mark.parametrize("encoding", sorted(SCHEMAS))
@pytest.mark.parametrize(("codec", "form"), [("h264", "h264"), ("hevc", "h265")])
def test_pictures_and_times_in_the_mp4_are_those_of_the_messages(
    tmp_path: Path, encoding: str, codec: str, form: str
) -> None:
    pictures = _encoded(codec)
    path = _video(tmp_path / "a.mcap", pictures, encoding=encoding, form=form)
    assert video_channels(path) == (Channel("/camera", "video", pytest.approx(29.9, abs=0.3)),)
    report = extract_video(path, "/camera", tmp_path / "out.mp4")
    assert (report.frame_count, report.first_time_ns, report.dropped) == (12, START_NS, ())
    frames, times_ns = _frames(tmp_path / "out.mp4")
    np.testing.assert_array_equal(frames, _decoded(pictures, codec))
    np.testing.assert_allclose(times_ns, np.array(_times()) - START_NS, atol=500)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.mcap", "out.mp4"]


def test_the_mp4_can_be_sought_by_its_key_pictures(tmp_path: Path) -> None:
    extract_video(_video(tmp_path / "a.mcap", _encoded()), "/camera", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size] == (
            [True] + [False] * 4
        ) * 2 + [
            True,
            False,
        ]


def test_pictures_before_the_first_key_picture_are_dropped_and_said_to_be(tmp_path: Path) -> None:
    path = _video(tmp_path / "a.mcap", _encoded()[3:], times=_times()[3:])
    report = extract_video(path, "/camera", tmp_path / "out.mp4")
    assert (report.frame_count, report.first_time_ns) == (7, _times()[5])
    assert [(one.what, one.count) for one in report.dropped] == [("pictures", 2)]
    assert _frames(tmp_path / "out.mp4")[1][0] == 0


def test_stamps_that_are_not_set_give_way_to_publish_times(tmp_path: Path) -> None:
    path = _video(tmp_path / "a.mcap", _encoded(), times=[0] * 12, logged=_times())
    report = extract_video(path, "/camera", tmp_path / "out.mp4")
    assert report.first_time_ns == START_NS + 9
    assert [one.what for one in report.dropped] == ["header stamps"]


def test_a_pause_of_half_an_hour_is_kept_and_one_of_an_hour_refused(tmp_path: Path) -> None:
    times = [time_ns + (1800 * 10**9 if number > 5 else 0) for number, time_ns in enumerate(_times())]
    extract_video(_video(tmp_path / "a.mcap", _encoded(), times=times), "/camera", tmp_path / "out.mp4")
    np.testing.assert_allclose(_frames(tmp_path / "out.mp4")[1], np.array(times) - START_NS, atol=500)
    times = [time_ns + (1800 * 10**9 if number > 5 else 0) for number, time_ns in enumerate(times)]
    with pytest.raises(LandingError, match="3600 s without a picture"):
        extract_video(_video(tmp_path / "a.mcap", _encoded(), times=times), "/camera", tmp_path / "out.mp4")


def _changed(number: int, data: bytes) -> Callable[[], list[bytes]]:
    def build() -> list[bytes]:
        pictures = _encoded()
        pictures[number] = data
        return pictures

    return build


@pytest.mark.parametrize(
    ("build", "options", "problem"),
    [
        (_encoded, {"form": "vp9"}, "is 'vp9' video, only h264 and h265"),
        (_encoded, {"form": "h265"}, "no key picture with its parameter sets|reordered|Invalid data"),
        (lambda: _encoded()[1:4], {}, "no key picture with its parameter sets"),
        (lambda: [len(one).to_bytes(4, "big") + one[4:] for one in _encoded()], {}, "no key picture"),
        (lambda: _encoded(b_frames=2), {}, "has reordered pictures"),
        (_encoded, {"times": _times()[::-1], "logged": _times()[::-1]}, "not in the order of their log times"),
        (_encoded, {"times": [5] * 12, "logged": [5] * 12}, "whose times do not increase by a microsecond"),
        (_changed(7, b"\0\0\0\1\x67junk"), {}, "a message without a picture, the 8."),
        (_changed(7, b""), {}, "a message without a picture"),
        (_changed(0, b"\0\0\0\1\x67\0\0\0\1\x68\0\0\0\1\x65" + b"\xff" * 50), {}, "topic '/camera': "),
        (list, {}, "no messages"),
    ],
)
def test_video_that_cannot_be_put_into_an_mp4_is_refused_and_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    build: Callable[[], list[bytes]],
    options: dict[str, Any],
    problem: str,
) -> None:
    monkeypatch.setattr(mcap_container, "_BATCH_MESSAGES", 1)
    path = _video(tmp_path / "a.mcap", build(), **options)
    with pytest.raises(LandingError, match=problem) as caught:
        extract_video(path, "/camera", tmp_path / "out.mp4")
    assert caught.value.reason is Reason.VIDEO_UNREADABLE
    assert [one.name for one in tmp_path.iterdir()] == ["a.mcap"]


@pytest.mark.parametrize(
    ("channel", "content", "problem"),
    [
        ("/other", None, "no such topic of compressed video; it has '/camera'"),
        ("", None, "no such topic"),
        ("/camera", b"junk", "is no MCAP file"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, channel: str, content: bytes | None, problem: str) -> None:
    path = _video(tmp_path / "a.mcap", _encoded())
    if content:
        path.write_bytes(content)
    with pytest.raises(LandingError, match=problem):
        extract_video(path, channel, tmp_path / "out.mp4")


def test_a_damaged_file_has_no_video_channels_to_offer(tmp_path: Path) -> None:
    path = _video(tmp_path / "a.mcap", _encoded())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LandingError, match="was cut off"):
        video_channels(path)
    path.write_bytes(b"junk")
    assert video_channels(path) == ()


SEPARATOR = b"\n~~\n"


def exercise_video(path: Path) -> None:
    """A damaged file as it is; what is no MCAP file, as the pictures of one: the damage is behind all checks then."""
    raw = path.read_bytes()
    if not raw.startswith(MAGIC):
        codec, *pictures = raw.split(SEPARATOR)
        path = _video(path.with_name("made.mcap"), pictures, form=codec.decode("ascii", "replace"))
    for channel in video_channels(path):
        extract_video(path, channel.name, path.with_suffix(".mp4"))
    if not video_channels(path):
        extract_video(path, "/camera", path.with_suffix(".mp4"))


def _seeds(folder: Path) -> list[Path]:
    files = [_video(folder / f"{kind}.mcap", _encoded(count=7), encoding=kind) for kind in sorted(SCHEMAS)]
    for codec in ("h264", "hevc"):
        (folder / codec).write_bytes(SEPARATOR.join([codec.encode(), *_encoded(codec, count=7)]))
    return [*files, folder / "h264", folder / "hevc"]


def test_five_hundred_damaged_videos_end_in_an_mp4_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_video, _seeds(tmp_path), 500)


@pytest.mark.fuzz
def test_fifty_thousand_damaged_videos_end_in_an_mp4_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    survive_mutations(exercise_video, _seeds(tmp_path), 50_000)
