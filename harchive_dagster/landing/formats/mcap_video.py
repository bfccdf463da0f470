"""Compressed video in MCAP messages, put into an MP4 as it is. No picture is decoded; no sensor topic is read here."""

import errno
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError, SettingsError
from harchive_dagster.landing.formats.mcap_container import Topic, batches_of, is_mcap, topics_of
from harchive_dagster.landing.formats.mcap_pictures import Picture, holds_video, picture_of
from harchive_dagster.landing.formats.mcap_records import ContentError, words
from harchive_dagster.landing.formats.mcap_samples import STAMP, Samples, device_time, joined, with_record_times
from harchive_dagster.landing.formats.protocol import Channel, Dropped, damaged
from harchive_dagster.reasons import Reason

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_CODECS = {"h264": "h264", "h265": "hevc", "hevc": "hevc"}
"""FFmpeg's names, by what a message's `format` says."""

_PARAMETER_SETS = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}
_KEY_PICTURES = {"h264": frozenset({5}), "hevc": frozenset(range(16, 22))}
_PICTURES = {"h264": frozenset(range(1, 6)), "hevc": frozenset(range(32))}
"""NAL unit types: ITU-T H.264 table 7-1, H.265 table 7-1."""

_TARGET_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""What only writing can run into."""

_NAL_UNIT = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)

# FFmpeg's muxer keeps the distance of two frames in 31 bits, and shortens what is longer: 35 minutes of microseconds,
# but only 2 s of nanoseconds.
_TICKS_PER_S = 1_000_000
_NS_PER_TICK = 1_000_000_000 // _TICKS_PER_S
_MAX_STEP_TICKS = 2**31 - 1


@dataclass(frozen=True)
class ExtractedVideo:
    """What was written.

    Attributes:
        frame_count: of the MP4.
        first_time_ns: the first frame's time on the clock of the file's messages; it is 0 in the MP4.
        dropped: what is not in the MP4, or was not used for its times.
    """

    frame_count: int
    first_time_ns: int
    dropped: tuple[Dropped, ...]


def video_channels(path: Path) -> tuple[Channel, ...]:
    """Topics with compressed video, of kind "video"; none where the file is no MCAP.

    Raises:
        LandingError: the file is MCAP, and damaged.
    """
    if not is_mcap(path):
        return ()
    try:
        return tuple(Channel(topic.name, "video", topic.rate_hz) for topic in topics_of(path) if holds_video(topic))
    except (ContentError, OSError, MemoryError) as error:
        raise damaged(path, words(error)) from None


def extract_video(path: Path, channel: str, target: Path) -> ExtractedVideo:
    """Put the pictures of one topic into an MP4, as they are, each at its message's time.

    Takes H.264 and H.265 in Annex B form, one picture a message, without reordered pictures (B frames), which is what
    Foxglove asks of CompressedVideo. The time is the message's stamp, or else its publish or log time, rounded to the
    microsecond after subtracting the first.

    Args:
        path: an MCAP file.
        channel: a name that `video_channels` gave.
        target: where the MP4 appears, whole or not at all; an older one is replaced.

    Raises:
        LandingError: VIDEO_UNREADABLE, the topic is no video, or cannot be put into an MP4.
        SettingsError: the target cannot be written.
    """
    import av

    partial = begun(target)
    try:
        topic = _video_topic(path, channel)
        time_ns, dropped = _times(path, topic)
        report = _written(path, topic, time_ns, partial)
        partial.replace(target)
    except (ContentError, OSError, MemoryError, av.FFmpegError) as error:
        if isinstance(error, OSError) and error.errno in _TARGET_FAULTS:
            raise not_written(target, error) from None
        raise _unreadable(path, channel, words(error)) from None
    finally:
        partial.unlink(missing_ok=True)
    return ExtractedVideo(report.frame_count, report.first_time_ns, (*dropped, *report.dropped))


def begun(target: Path) -> Path:
    """A hidden empty file beside the target, which takes its name when it is whole.

    Raises:
        SettingsError: there can be none.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.touch()
    except OSError as error:
        raise not_written(target, error) from None
    return partial


def not_written(target: Path, error: OSError) -> SettingsError:
    """What keeps a video's file from being written; the recording is not at fault."""
    return SettingsError(
        f"{str(target)!a} cannot be written: {error.strerror}.",
        consequence="Nothing was written.",
        mend="Name a file in a folder that can be written, on a disk with room.",
    )


def _video_topic(path: Path, channel: str) -> Topic:
    if not is_mcap(path):
        raise ContentError("is no MCAP file")
    topics = [topic for topic in topics_of(path) if holds_video(topic)]
    for topic in topics:
        if topic.name == channel:
            return topic
    names = ", ".join(ascii(topic.name) for topic in topics[:8]) or "none"
    raise ContentError(f"has no such topic of compressed video; it has {names}")


def _pictures(path: Path, topic: Topic) -> Iterator[Picture]:
    for batch in batches_of(path, topic):
        for payload in batch.payloads:
            yield picture_of(topic, payload)


def _times(path: Path, topic: Topic) -> tuple[NDArray[np.int64], tuple[Dropped, ...]]:
    """When each picture was taken, in the file's order, which is the order of decoding."""
    parts, logged = [], []
    for batch in batches_of(path, topic):
        logged.append(batch.log_time_ns)
        stamps = np.array([picture_of(topic, payload).stamp_ns for payload in batch.payloads], dtype=np.int64)
        parts.append(with_record_times(Samples({STAMP: stamps}, {}), batch))
    if not parts:
        raise ContentError("has no messages on it")
    log_ns = np.concatenate(logged)
    if (log_ns[1:] < log_ns[:-1]).any():
        raise ContentError("has pictures that are not in the order of their log times")
    time_ns, _, dropped = device_time(joined(parts))
    return time_ns, dropped


def _written(path: Path, topic: Topic, time_ns: NDArray[np.int64], target: Path) -> ExtractedVideo:
    import av

    pictures = _pictures(path, topic)
    skipped = 0
    for first in pictures:
        codec = _codec(first)
        kinds = _nal_kinds(first.data, codec)
        if kinds & _KEY_PICTURES[codec] and kinds >= _PARAMETER_SETS[codec]:
            break
        skipped += 1
    else:
        raise ContentError("has no key picture with its parameter sets")
    why = "they come before the first key picture with its parameter sets"
    dropped = (Dropped("pictures", skipped, why),) if skipped else ()
    times = (time_ns[skipped:] - time_ns[skipped] + _NS_PER_TICK // 2) // _NS_PER_TICK
    steps = np.diff(times)
    if (steps < 1).any():
        raise ContentError("has pictures whose times do not increase by a microsecond each, in the order of decoding")
    longest = int(steps.max(initial=0))
    if longest > _MAX_STEP_TICKS:
        raise ContentError(f"has {longest // _TICKS_PER_S} s without a picture, at most 2147 s fit into an MP4")
    options = {"fflags": "+bitexact", "movflags": "+faststart", "video_track_timescale": str(_TICKS_PER_S)}
    with (
        # The muxer wants parameter sets and the picture's size: FFmpeg's own parser takes them from the key picture.
        av.open(io.BytesIO(first.data), format=codec) as single,
        av.open(str(target), "w", format="mp4", options=options) as output,
    ):
        source = single.streams.video[0]
        if source.codec_context.has_b_frames:
            raise ContentError("has reordered pictures (B frames): messages do not say when those are shown")
        track = output.add_stream_from_template(source)
        count = _mux(output, track, codec, first, pictures, times)
    return ExtractedVideo(count, int(time_ns[skipped]), dropped)


def _mux(
    output: "OutputContainer",
    track: "VideoStream",
    codec: str,
    first: Picture,
    rest: Iterator[Picture],
    times: NDArray[np.int64],
) -> int:
    from fractions import Fraction

    import av

    picture: Picture | None = first
    for count, ticks in enumerate(times, start=1):
        assert picture is not None, "there are as many times as pictures"
        if _codec(picture) != codec:
            raise ContentError(f"changes its codec from {codec} to {picture.format[:40]!a}")
        kinds = _nal_kinds(picture.data, codec)
        if not kinds & _PICTURES[codec]:
            raise ContentError(f"has a message without a picture, the {count}. after the first key picture")
        packet = av.Packet(picture.data)
        packet.stream = track
        packet.time_base = Fraction(1, _TICKS_PER_S)
        packet.pts = packet.dts = int(ticks)
        packet.is_keyframe = bool(kinds & _KEY_PICTURES[codec])
        output.mux(packet)
        picture = next(rest, None)
    return len(times)


def _codec(picture: Picture) -> str:
    try:
        return _CODECS[picture.format.lower()]
    except KeyError:
        raise ContentError(f"is {picture.format[:40]!a} video, only h264 and h265 can be put into an MP4") from None


def _nal_kinds(data: bytes, codec: str) -> set[int]:
    """Types of the NAL units in a picture; none where it is not in Annex B form."""
    heads = (found[1][0] for found in _NAL_UNIT.finditer(data))
    return {head & 0x1F if codec == "h264" else head >> 1 & 0x3F for head in heads}


def _unreadable(path: Path, channel: str, problem: str) -> LandingError:
    return LandingError(
        Reason.VIDEO_UNREADABLE,
        f"file {path.name!a}, topic {channel[:80]!a}: {problem[:300]}.",
        mend="Record the video as H.264 or H.265 in Annex B form without B frames, or export it as an MP4.",
        evidence={"file": path.name, "channel": channel},
    )
