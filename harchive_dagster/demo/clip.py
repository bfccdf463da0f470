"""Writes a clip as a camera cap would: H.264 and a sound track in MP4, with tags that must not leave the house."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harchive_dagster.demo.scenery import Picture

if TYPE_CHECKING:
    import av
    import av.audio.stream
    import av.container

_AUDIO_HZ = 16_000
_AUDIO_SAMPLES = 1024  # what one AAC frame holds
_TONE_HZ = 220.0


@dataclass(frozen=True)
class ClipTags:
    """What the cap writes about its wearer into the file, to be removed later.

    Attributes:
        created_at: with an offset.
        location: ISO 6709, e.g. "+12.9716+077.5946/".
        serial: of the device.
    """

    created_at: datetime
    location: str
    serial: str


def write_clip(
    path: Path,
    pictures: Iterable[Picture],
    *,
    fps: int,
    size_px: tuple[int, int],
    duration_s: float,
    tags: ClipTags,
    has_audio: bool = True,
) -> int:
    """Encodes pictures (BGR, all of `size_px`, width first, both even) with a key frame every second.

    The index comes first (faststart), so that a file cut short still opens. Threads are off: the same pictures
    give the same bytes.

    Returns:
        the number of frames written.
    """
    import av
    import cv2

    # use_metadata_tags keeps the tags that the MP4 muxer does not know by name.
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart+use_metadata_tags"}) as container:
        container.metadata.update(_tag_texts(tags))
        # zerolatency is what wearable encoders do: no B frames, no look-ahead. It is also the fastest.
        options = {"preset": "superfast", "tune": "zerolatency", "crf": "26", "g": str(fps), "sc_threshold": "0"}
        video = container.add_stream("libx264", rate=fps, options=options)
        video.width, video.height = size_px
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=_AUDIO_HZ, layout="mono") if has_audio else None
        sound = _sound(duration_s) if audio is not None else iter(())
        count = 0
        for picture in pictures:
            planar = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planar, format="yuv420p")
            frame.pts = count
            container.mux(video.encode(frame))
            count += 1
            if audio is not None:
                _mux_sound_until(count / fps, sound, audio, container)
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return count


def _tag_texts(tags: ClipTags) -> dict[str, str]:
    return {
        "creation_time": tags.created_at.isoformat(),
        "location": tags.location,
        "com.apple.quicktime.location.ISO6709": tags.location,
        "make": "Harchive Cap Works",
        "model": "CapOne",
        "serial_number": tags.serial,
    }


def _sound(duration_s: float) -> Iterator["av.AudioFrame"]:
    """A quiet tone."""
    import av

    for start in range(0, int(duration_s * _AUDIO_HZ), _AUDIO_SAMPLES):
        phase = 2 * np.pi * _TONE_HZ / _AUDIO_HZ * np.arange(start, start + _AUDIO_SAMPLES)
        frame = av.AudioFrame.from_ndarray((0.02 * np.sin(phase, dtype=np.float32))[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = _AUDIO_HZ, start
        yield frame


def _mux_sound_until(
    t_s: float,
    sound: Iterator["av.AudioFrame"],
    audio: "av.audio.stream.AudioStream",
    container: "av.container.OutputContainer",
) -> None:
    """Sound is written as the pictures go, as a recorder does, so that a cut hits both."""
    for frame in sound:
        container.mux(audio.encode(frame))
        if frame.pts is not None and frame.pts / _AUDIO_HZ >= t_s:
            return
