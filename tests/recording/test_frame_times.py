"""Every picture carries its own number as black and white blocks, so that a decoded picture says which one it is: frame
times are then held against the presentation times that were meant, for every way a recorder may write them down.
"""

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from harchive_dagster.errors import RecordingError
from harchive_dagster.recording.container import probe_video
from harchive_dagster.recording.decoding import iterate_frames, small_luma

BITS, BLOCK_PX, COLUMNS = 12, 32, 4
MS = 1_000_000
QUIET_X265 = "log-level=none:pools=none:frame-threads=1"


@dataclass(frozen=True)
class Kind:
    """One way of writing a recording."""

    codec: str = "libx264"
    suffix: str = "mp4"
    pixels: str = "yuv420p"
    times_ms: Sequence[int] = tuple(range(0, 960, 40))
    b_frames: int = 0
    gop: int = 8
    size: tuple[int, int] = (COLUMNS * BLOCK_PX, BITS // COLUMNS * BLOCK_PX)
    time_base: Fraction = Fraction(1, 1000)
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "18"})
    container: dict[str, str] = field(default_factory=dict)
    rotation_deg: int = 0


def numbered(number: int, kind: Kind) -> av.VideoFrame:
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8).reshape(-1, COLUMNS)
    luma = np.full(kind.size[::-1], 16, np.uint8)
    blocks = np.kron(bits * 219 + 16, np.ones((BLOCK_PX, BLOCK_PX), np.uint8)).astype(np.uint8)
    luma[: blocks.shape[0], : blocks.shape[1]] = blocks
    planes = [luma, np.full((2, *((np.array(luma.shape) + 1) // 2)), 128, np.uint8)]
    frame = av.VideoFrame(*kind.size, "yuv420p")
    for plane, content in zip(frame.planes, (planes[0], *planes[1]), strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[: content.shape[0], : content.shape[1]] = content
    return frame.reformat(format=kind.pixels)


def number_in(frame: av.VideoFrame) -> int:
    luma = small_luma(frame)
    middles = luma[BLOCK_PX // 2 :: BLOCK_PX, BLOCK_PX // 2 :: BLOCK_PX][: BITS // COLUMNS, :COLUMNS]
    return sum(1 << bit for bit, level in enumerate(middles.ravel()) if level > 127)


def write(folder: Path, kind: Kind) -> Path:
    path = folder / f"cap.{kind.suffix}"
    with av.open(str(path), "w", options=kind.container) as container:
        stream = container.add_stream(kind.codec, rate=25, options=kind.options)
        stream.width, stream.height = kind.size
        stream.pix_fmt = kind.pixels
        stream.time_base = stream.codec_context.time_base = kind.time_base
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = kind.gop, kind.b_frames
        stream.codec_context.thread_count = 1
        if kind.rotation_deg:
            stream.set_display_rotation(kind.rotation_deg)
        for number, time_ms in enumerate(kind.times_ms):
            frame = numbered(number, kind)
            frame.pts, frame.time_base = round(Fraction(time_ms, 1000) / kind.time_base), kind.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def seen_in(path: Path) -> list[tuple[int, int]]:
    """Number and session time of every frame, by both readers, which have to agree."""
    frames = [(number_in(one.frame), one.pts_ns) for one in iterate_frames(path)]
    facts = probe_video(path)
    assert facts.frame_count == len(frames)
    steps_ns = np.diff([pts_ns for _, pts_ns in frames])
    assert (facts.min_step_ns, facts.max_step_ns) == (steps_ns.min(), steps_ns.max())
    assert facts.fps == pytest.approx(len(steps_ns) * 1e9 / frames[-1][1])
    assert frames[-1][1] < facts.duration_ns <= frames[-1][1] + max(steps_ns.max(), 40 * MS)
    return frames


def meant(kind: Kind) -> list[tuple[int, int]]:
    return [(number, (time_ms - kind.times_ms[0]) * MS) for number, time_ms in enumerate(kind.times_ms)]


UNEVEN = (0, 33, 67, 101, 240, 241, 260, 400, 433, 800, 807, 1500, 1533, 1567, 1600, 1700)
X265 = {"preset": "ultrafast", "x265-params": QUIET_X265}
VP9 = {"cpu-used": "8", "deadline": "realtime", "crf": "20", "b": "0"}
VP9_WITH_HIDDEN_FRAMES = {"cpu-used": "5", "deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "8", "crf": "20"}
AV1 = {"preset": "12", "crf": "30", "svtav1-params": "lookahead=0"}
KINDS = {
    "h264": Kind(),
    "h264 with B frames": Kind(b_frames=3),
    "h264 with B pyramid and open GOP": Kind(
        b_frames=3, options={"preset": "fast", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}
    ),
    "h264 of variable rate": Kind(times_ms=UNEVEN),
    "h264 of variable rate with B frames": Kind(times_ms=UNEVEN, b_frames=2),
    "h264 with its index first": Kind(b_frames=2, container={"movflags": "faststart"}),
    "h264 in fragments": Kind(b_frames=2, container={"movflags": "frag_keyframe+empty_moov"}),
    "h264 in fragments with an index": Kind(container={"movflags": "frag_keyframe+empty_moov+default_base_moof+dash"}),
    "h264 with negative composition offsets": Kind(b_frames=2, container={"movflags": "negative_cts_offsets"}),
    "h264 without an edit list": Kind(b_frames=2, container={"use_editlist": "0"}),
    "h264 that starts late": Kind(times_ms=[5000 + 40 * index for index in range(20)], b_frames=2),
    "h264 at 90 kHz": Kind(times_ms=UNEVEN, time_base=Fraction(1, 90_000)),
    "h264 at 30000/1001 Hz ticks": Kind(time_base=Fraction(1, 30_000), times_ms=range(0, 1000, 25)),
    "h264 turned by a quarter": Kind(rotation_deg=90),
    "h264 10 bit": Kind(pixels="yuv420p10le"),
    "h264 4:2:2": Kind(pixels="yuv422p"),
    "h264 4:4:4 of odd size": Kind(pixels="yuv444p", size=(131, 99)),
    "h264 full range": Kind(pixels="yuvj420p"),
    "h264 of intra frames only": Kind(gop=1),
    "h264 in mov": Kind(suffix="mov", b_frames=2),
    "h264 in matroska": Kind(suffix="mkv", b_frames=2, times_ms=UNEVEN),
    "hevc": Kind(codec="libx265", options=X265),
    "hevc with B frames": Kind(codec="libx265", options=X265, b_frames=3, times_ms=UNEVEN),
    "hevc with open GOP": Kind(
        codec="libx265",
        options={"preset": "fast", "x265-params": f"{QUIET_X265}:open-gop=1:keyint=8:min-keyint=8"},
        b_frames=3,
    ),
    "hevc 10 bit 4:2:2": Kind(codec="libx265", options=X265, pixels="yuv422p10le"),
    "vp9 in webm": Kind(codec="libvpx-vp9", suffix="webm", options=VP9, times_ms=UNEVEN),
    "vp9 with hidden frames": Kind(codec="libvpx-vp9", suffix="mkv", options=VP9_WITH_HIDDEN_FRAMES),
    "vp9 of odd size in mp4": Kind(codec="libvpx-vp9", options=VP9, size=(131, 99)),
    "av1": Kind(codec="libsvtav1", options=AV1, times_ms=UNEVEN),
    "av1 in matroska": Kind(codec="libsvtav1", suffix="mkv", options=AV1),
    "mpeg-4": Kind(codec="mpeg4", options={"qscale": "2"}),
    "motion jpeg in mov": Kind(codec="mjpeg", suffix="mov", pixels="yuvj420p", options={"qscale": "2"}),
    "prores": Kind(codec="prores_ks", suffix="mov", pixels="yuv422p10le", options={}),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_every_picture_has_the_time_that_it_was_meant_to_be_shown_at(tmp_path: Path, kind: Kind) -> None:
    assert seen_in(write(tmp_path, kind)) == meant(kind)


def boxes(content: bytes, start: int, end: int) -> dict[str, tuple[int, int]]:
    """First box of each name side by side in a range: where it starts and ends."""
    found: dict[str, tuple[int, int]] = {}
    while start < end:
        size = int.from_bytes(content[start : start + 4])
        found.setdefault(content[start + 4 : start + 8].decode("latin-1"), (start, start + size))
        start += size
    return found


def resized(content: bytes, start: int, end: int, inner: bytes) -> bytes:
    """A box with other content."""
    return struct.pack(">I", 8 + len(inner)) + content[start + 4 : start + 8] + inner


def with_edits(path: Path, edits_ms: Sequence[tuple[int, int]]) -> Path:
    """Replace the edit list; an edit is a duration and the media time that it begins at, -1 for nothing to show."""
    content = path.read_bytes()
    moov = boxes(content, 0, len(content))["moov"]
    assert moov[1] == len(content), "the index has to come last, so that no sample moves"
    trak = boxes(content, moov[0] + 8, moov[1])["trak"]
    inside = boxes(content, trak[0] + 8, trak[1])
    mdhd = boxes(content, inside["mdia"][0] + 8, inside["mdia"][1])["mdhd"]
    timescale = int.from_bytes(content[mdhd[0] + 20 : mdhd[0] + 24])
    entries = b"".join(
        struct.pack(">IiHH", duration_ms, -1 if media_ms < 0 else media_ms * timescale // 1000, 1, 0)
        for duration_ms, media_ms in edits_ms
    )
    elst = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits_ms)) + entries
    edts = struct.pack(">I4s", 8 + len(elst), b"edts") + elst
    rest = b"".join(content[start:end] for name, (start, end) in inside.items() if name not in ("tkhd", "edts"))
    inner = content[slice(*inside["tkhd"])] + edts + rest
    before, after = content[moov[0] + 8 : trak[0]], content[trak[1] : moov[1]]
    path.write_bytes(content[: moov[0]] + resized(content, *moov, before + resized(content, *trak, inner) + after))
    return path


def spaced(*numbers: int) -> list[tuple[int, int]]:
    return [(number, 40 * MS * index) for index, number in enumerate(numbers)]


EDITS: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]] = {
    "a late start": ([(500, -1), (960, 0)], spaced(*range(24))),
    "a start between two keyframes": ([(760, 200)], spaced(*range(5, 24))),
    "a start between two frames": ([(750, 210)], spaced(*range(6, 24))),
    "an early end": ([(400, 0)], spaced(*range(10))),
}


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize(("edits", "expected"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_list_decides_what_is_shown_and_when(
    tmp_path: Path, edits: Sequence[tuple[int, int]], expected: list[tuple[int, int]], b_frames: int
) -> None:
    kind = Kind(b_frames=b_frames, container={"movflags": "negative_cts_offsets"})
    assert seen_in(with_edits(write(tmp_path, kind), edits)) == expected


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        ([(400, 0), (400, 560)], "joins 2 pieces"),
        ([(120, -1), (200, 80), (200, 640)], "joins 2 pieces"),
        ([(10, 0)] * 65, "an edit list of 65 pieces"),
    ],
)
def test_a_recording_that_was_cut_apart_is_refused_because_its_times_cannot_be_relied_on(
    tmp_path: Path, edits: Sequence[tuple[int, int]], problem: str
) -> None:
    path = with_edits(write(tmp_path, Kind()), edits)
    for reader in (probe_video, lambda path: list(iterate_frames(path))):
        with pytest.raises(RecordingError, match=problem):
            reader(path)


def test_a_recording_that_plays_at_another_speed_is_refused(tmp_path: Path) -> None:
    path = with_edits(write(tmp_path, Kind()), [(960, 0)])
    content = path.read_bytes()
    rate_at = content.index(b"elst") + 20
    path.write_bytes(content[:rate_at] + b"\0\2" + content[rate_at + 2 :])
    with pytest.raises(RecordingError, match="the speed it was recorded at"):
        probe_video(path)


def test_two_frames_at_one_time_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, Kind())
    content = path.read_bytes()
    stts = content.index(b"stts")
    path.write_bytes(content[: stts + 16] + bytes(4) + content[stts + 20 :])
    for reader in (probe_video, lambda path: list(iterate_frames(path))):
        with pytest.raises(RecordingError, match=r"two frames at one time|goes back in time"):
            reader(path)


def test_a_recording_that_does_not_start_with_a_keyframe_never_passes_as_whole(tmp_path: Path) -> None:
    whole = write(tmp_path, Kind(b_frames=2))
    path = tmp_path / "headless.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in itertools.islice(source.demux(video=0), 1, None):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with pytest.raises(RecordingError, match=r"damaged|could be decoded"):
        list(iterate_frames(path))
