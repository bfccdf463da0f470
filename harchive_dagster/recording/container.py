"""What a video file declares and what of it is really there, read from its packets. No picture is decoded."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import RecordingError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.mp4_index import index_problem

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_VARIABLE_RATE_TOLERANCE = 0.1
"""Frame steps of a constant-rate camera differ by time-base rounding: 1 ms at worst, 3 % at 30 fps."""

_SAMPLE_TABLE_FORMATS = {"mov", "mp4"}
"""Containers whose index lists every sample; elsewhere (Matroska) it lists keyframes only."""

_CONTAINERS = "mov,mp4,matroska,webm"
"""FFmpeg knows hundreds of formats, play lists that point to other people's files among them: only these are tried."""

_READ_BYTES = 2**18
"""At a time, where Python reads for FFmpeg. Larger pieces are read again after every jump."""

MAX_PICTURE_PX = 8192 * 4320
"""8K. A decoder keeps some twenty pictures, so that a few bytes of header could claim all memory."""

_MAX_FRAMES = 16 * 3600 * 240
"""16 h at 240 frames/s, as long and as fast as the suite of the stage lets through."""


class SeekableFile(Protocol):
    """As much of a binary file as a demuxer needs."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes from the present position."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to another position."""
        ...

    def tell(self) -> int:
        """The present position."""
        ...


@dataclass(frozen=True)
class VideoFacts:
    """What the packets of one video track say.

    Attributes:
        width_px, height_px: of the coded picture; display rotation is not applied.
        fps: measured, (frames - 1) / span of presentation times; 0 for a single frame.
        frame_count: frames that a decoder gives out.
        duration_ns: from the first presentation time to the end of the last frame.
        codec: FFmpeg's name of the codec (h264, hevc, ...).
        is_variable_rate: some frame step differs by more than 10 % from the median step.
        min_step_ns, max_step_ns: shortest and longest distance of two frames; 0 for a single frame.
        keyframe_count: packets flagged as keyframes.
        has_audio: an audio track is present.
        data_track_count: tracks that are neither video nor audio (telemetry, time code, subtitles).
    """

    width_px: int
    height_px: int
    fps: float
    frame_count: int
    duration_ns: int
    codec: str
    is_variable_rate: bool
    min_step_ns: int
    max_step_ns: int
    keyframe_count: int
    has_audio: bool
    data_track_count: int


@dataclass(frozen=True)
class _Packets:
    pts_ns: NDArray[np.int64]
    last_duration_ns: int
    keyframe_count: int
    readable_count: int


def probe_video(path: Path | str, *, content: SeekableFile | None = None) -> VideoFacts:
    """Demux a video once and measure it.

    Args:
        path: an MP4, MOV, Matroska or WebM file.
        content: the same file, already open, if somebody wants to see what is read of it.

    Returns:
        The facts of its video track.

    Raises:
        RecordingError: VIDEO_UNREADABLE when no container, no frame, or no video track or more than one is found, the
            codec is unknown, the picture too large, or a frame has no time of its own; VIDEO_TRUNCATED when fewer
            samples can be read than the container's sample table declares.
    """
    with open_video(path, content=content) as container:
        stream = video_stream(container, path)
        _leave_out_others(container, stream)
        packets = _read_packets(container, stream, path)
        declared = _declared_count(container, stream)
        if packets.readable_count < declared:
            raise _truncated(path, packets, declared)
        if not len(packets.pts_ns):
            raise unreadable(path, "has a video track without a single frame")
        return _facts(container, stream, packets)


def open_video(path: Path | str, *, content: SeekableFile | None = None) -> "InputContainer":
    """Open a container for reading; the caller closes it.

    Raises:
        RecordingError: VIDEO_UNREADABLE when the file is missing or is no video container.
    """
    import av

    try:
        problem = index_problem(path)
        if problem:
            raise unreadable(path, problem)
        return av.open(
            str(path) if content is None else content,
            "r",
            container_options={"format_whitelist": _CONTAINERS},
            buffer_size=_READ_BYTES,
        )
    except (av.FFmpegError, OSError, UnicodeError) as error:
        raise unreadable(path, f"cannot be opened as a video ({_words(error)})") from error


def video_stream(container: "InputContainer", path: Path | str) -> "VideoStream":
    """The one video track that is not a cover picture.

    Which of two tracks the sensors and the consent belong to, nothing in a file says: neither is taken on trust.

    Raises:
        RecordingError: VIDEO_UNREADABLE when there is none, more than one, or one that cannot be decoded here.
    """
    import av

    tracks = [one for one in container.streams.video if not one.disposition & av.stream.Disposition.attached_pic]
    if not tracks:
        raise unreadable(path, "has no video track")
    if len(tracks) > 1:
        raise unreadable(path, f"has {len(tracks)} video tracks, expected one", video_tracks=len(tracks))
    context = tracks[0].codec_context
    if context is None:
        raise unreadable(path, "has a video track of a codec that is not known here")
    if not 0 < context.width * context.height <= MAX_PICTURE_PX:
        raise unreadable(path, f"has pictures of {context.width} x {context.height} px, at most 8K can be read")
    return tracks[0]


def unreadable(path: Path | str, what: str, **evidence: Any) -> RecordingError:
    """The error of a video that cannot be used; `what` continues the sentence begun with the file's name."""
    return RecordingError(
        Reason.VIDEO_UNREADABLE,
        f"video {Path(path).name!r} {what}.",
        mend="Copy the file from the camera again, or remove the session from the upload.",
        evidence={"file": Path(path).name, **evidence},
    )


def ticks_to_ns(ticks: Sequence[int], stream: "VideoStream", path: Path | str) -> NDArray[np.int64]:
    """Exact nanoseconds (rounded to the nearest) from time-base ticks counted from the first frame.

    Raises:
        RecordingError: VIDEO_UNREADABLE when the times are further apart than 292 years: 64 bits cannot hold them.
    """
    base = stream.time_base
    if base is None:  # libav gives every demuxed stream one; kept for the type
        raise ValueError("the stream has no time base")
    # Plain whole numbers: they have no end, and where only one is asked for an array would cost ten times as much.
    step, whole = 2 * base.numerator * 1_000_000_000, 2 * base.denominator
    try:
        return np.array([(int(tick) * step + base.denominator) // whole for tick in ticks], dtype=np.int64)
    except OverflowError:
        raise unreadable(path, "has frames that are centuries apart") from None


def _leave_out_others(container: "InputContainer", stream: "VideoStream") -> None:
    """Sound and telemetry are passed over: a file that does not interleave its tracks is read from end to end."""
    import av

    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all


def _read_packets(container: "InputContainer", stream: "VideoStream", path: Path | str) -> _Packets:
    ticks = array("q")
    last_duration = keyframe_count = readable_count = 0
    latest: int | None = None
    for packet in _demuxed(container, stream, path):
        if not packet.size or packet.is_corrupt:
            continue
        readable_count += 1
        if packet.is_discard:  # before the edit list's start: needed for decoding, never shown
            continue
        if packet.pts is None:
            raise unreadable(path, f"has a frame without a presentation time (packet {readable_count - 1})")
        if len(ticks) == _MAX_FRAMES:
            raise unreadable(path, f"has more than {_MAX_FRAMES} frames")
        if latest is None or packet.pts >= latest:
            latest, last_duration = packet.pts, packet.duration or 0
        ticks.append(packet.pts)
        keyframe_count += packet.is_keyframe
    if not ticks:
        return _Packets(np.empty(0, np.int64), 0, keyframe_count, readable_count)
    shown = sorted(ticks)
    pts_ns = ticks_to_ns([one - shown[0] for one in shown], stream, path)
    if (np.diff(pts_ns) <= 0).any():
        at_ns = int(pts_ns[np.argmin(np.diff(pts_ns))])
        raise unreadable(path, f"shows two frames at one time, {at_ns} ns after the first", pts_ns=at_ns)
    return _Packets(pts_ns, int(ticks_to_ns([last_duration], stream, path)[0]), keyframe_count, readable_count)


def _demuxed(
    container: "InputContainer", stream: "VideoStream", path: Path | str
) -> "Iterator[av.Packet[VideoStream]]":
    import av

    try:
        yield from container.demux(stream)
    except (av.FFmpegError, OSError) as error:
        raise unreadable(path, f"cannot be demuxed to its end ({_words(error)})") from error


def _declared_count(container: "InputContainer", stream: "VideoStream") -> int:
    if _SAMPLE_TABLE_FORMATS & set(container.format.name.split(",")):
        return len(stream.index_entries)
    return stream.frames


def _facts(container: "InputContainer", stream: "VideoStream", packets: _Packets) -> VideoFacts:
    steps_ns = np.diff(packets.pts_ns)
    span_ns = int(packets.pts_ns[-1])
    median_ns = float(np.median(steps_ns)) if len(steps_ns) else 0.0
    last_ns = packets.last_duration_ns or round(median_ns)
    others = [other for other in container.streams if other.type not in ("video", "audio")]
    return VideoFacts(
        width_px=stream.codec_context.width,
        height_px=stream.codec_context.height,
        fps=len(steps_ns) * 1e9 / span_ns if span_ns else 0.0,
        frame_count=len(packets.pts_ns),
        duration_ns=span_ns + last_ns,
        codec=stream.codec_context.name,
        is_variable_rate=bool((np.abs(steps_ns - median_ns) > _VARIABLE_RATE_TOLERANCE * median_ns).any()),
        min_step_ns=int(steps_ns.min()) if len(steps_ns) else 0,
        max_step_ns=int(steps_ns.max()) if len(steps_ns) else 0,
        keyframe_count=packets.keyframe_count,
        has_audio=bool(container.streams.audio),
        data_track_count=len(others),
    )


def _truncated(path: Path | str, packets: _Packets, declared: int) -> RecordingError:
    last_good_s = float(packets.pts_ns[-1]) / 1e9 if len(packets.pts_ns) else 0.0
    return RecordingError(
        Reason.VIDEO_TRUNCATED,
        f"video {Path(path).name!r} is cut off: its index declares {declared} frames, "
        f"{packets.readable_count} can be read, the last at {last_good_s:.3f} s.",
        mend="Upload the whole file again.",
        evidence={
            "file": Path(path).name,
            "declared_frames": declared,
            "readable_frames": packets.readable_count,
            "last_good_s": last_good_s,
            "bytes": Path(path).stat().st_size,
        },
    )


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
