"""Damaged videos by the thousand: probing and decoding end in figures or in a refusal, never in anything else."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from harchive_dagster.recording.container import probe_video
from harchive_dagster.recording.decoding import iterate_frames, small_luma

CODECS = {
    "h264": ("libx264", "mp4", {"preset": "ultrafast"}),
    "hevc": ("libx265", "mp4", {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"}),
    "vp9": ("libvpx-vp9", "mkv", {"cpu-used": "8", "deadline": "realtime"}),
    "av1": ("libsvtav1", "mp4", {"preset": "12"}),
}
SIZE = (64, 48)


def _clip(folder: Path, codec: str) -> Path:
    """Twelve pictures of a moving edge in one to four kilobytes."""
    encoder, suffix, options = CODECS[codec]
    path = folder / f"{codec}.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=25, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 6, 2 if codec == "h264" else 0
        for number in range(12):
            picture = np.full(SIZE[::-1], 16, np.uint8)
            picture[:, : 5 * number] = 235
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def exercise_probe(path: Path) -> None:
    facts = probe_video(path)
    assert facts.frame_count > 0
    assert facts.duration_ns >= 0


def exercise_decoding(path: Path) -> None:
    last_ns = -1
    for decoded in iterate_frames(path):
        assert decoded.pts_ns > last_ns
        last_ns = decoded.pts_ns
        small_luma(decoded.frame)


EXERCISES = [pytest.param(exercise_probe, 2_000, id="probe"), pytest.param(exercise_decoding, 500, id="decoding")]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("exercise", "count"), EXERCISES)
def test_damaged_videos_give_figures_or_a_refusal(
    tmp_path: Path,
    survive_mutations: Callable[..., dict[str, int]],
    exercise: Callable[[Path], None],
    count: int,
    codec: str,
) -> None:
    survive_mutations(exercise, [_clip(tmp_path, codec)], count)


@pytest.mark.fuzz
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("exercise", [exercise_probe, exercise_decoding])
def test_fifty_thousand_damaged_videos_give_figures_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]], exercise: Callable[[Path], None], codec: str
) -> None:
    survive_mutations(exercise, [_clip(tmp_path, codec)], 50_000)
