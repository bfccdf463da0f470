"""Decodes chosen groups of pictures of a video instead of all of it. For whole files there is `decoding`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.container import MAX_PICTURE_PX, open_video, ticks_to_ns, unreadable, video_stream
from harchive_dagster.recording.decoding import DecodedFrame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream


@dataclass(frozen=True, eq=False)
class PacketTimes:
    """When the frames of a video are shown, as its packets say.

    Attributes:
        pts_ns: int64 [N], ascending, zero at the first frame.
        first_ticks: the first frame's time in the stream's time base.
    """

    pts_ns: NDArray[np.int64]
    first_ticks: int

    @classmethod
    def of(cls, path: Path) -> "PacketTimes":
        """Read them without decoding.

        Raises:
            RecordingError: the file cannot be read to its end, is empty, or a frame has no time.
        """
        with open_video(path) as container:
            stream = video_stream(container, path)
            return cls.from_ticks([packet.pts for packet in shown_packets(container, stream, path)], stream, path)

    @classmethod
    def from_ticks(cls, ticks: Sequence[int | None], stream: "VideoStream", path: Path) -> "PacketTimes":
        """Those of packets that were read already, in any order.

        Raises:
            RecordingError: there is none, or one has no time.
        """
        known = sorted(tick for tick in ticks if tick is not None)
        if not known or len(known) < len(ticks):
            raise unreadable(path, f"has times for {len(known)} of its {len(ticks)} frames")
        return cls(ticks_to_ns([tick - known[0] for tick in known], stream, path), known[0])


@dataclass(frozen=True)
class GroupPart:
    """What of one closed group of pictures is wanted: from its first frame on, as far as `needed`."""

    first_frame: int
    frame_count: int
    needed: int


def iterate_groups(path: Path, parts: Sequence[GroupPart], times: PacketTimes) -> Iterator[DecodedFrame]:
    """Decode closed groups of pictures, each from its first frame, skipping what lies between.

    Args:
        path: the video file.
        parts: ascending, without overlap. A group is decoded no farther than it is needed.
        times: of the same file.

    Yields:
        Their frames in presentation order.

    Raises:
        RecordingError: a picture is damaged, missing, or not at the time that its packet has.
    """
    with open_video(path) as container:
        stream = video_stream(container, path)
        decoder = stream.codec_context
        decoder.thread_count = 1  # as in `decoding`: with more, damage may be noticed too late
        stream.thread_type = "NONE"
        decoder.options = {"max_pixels": str(MAX_PICTURE_PX)}
        packets = enumerate(shown_packets(container, stream, path))
        for part in parts:
            index = part.first_frame
            for frame in _frames_of(decoder, packets, part, path):
                ticks = (frame.pts or 0) - times.first_ticks
                pts_ns = int(ticks_to_ns([ticks], stream, path)[0])
                if index >= len(times.pts_ns) or pts_ns != times.pts_ns[index]:
                    raise unreadable(path, f"shows frame {index} at {pts_ns} ns, not when its packet says")
                yield DecodedFrame(index, pts_ns, bool(frame.key_frame), frame)
                if index == part.needed:
                    break
                index += 1
            else:
                raise unreadable(path, f"has no frame {index}, though it has a packet for it", frame_index=index)


def shown_packets(container: "InputContainer", stream: "VideoStream", path: Path) -> "Iterator[av.Packet[Any]]":
    """A stream's packets in decoding order, without those that nothing is shown of.

    Raises:
        RecordingError: the end of the file cuts one.
    """
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise unreadable(path, "ends within a frame")
        if packet.size and not packet.is_discard:
            yield packet


def _frames_of(decoder: Any, packets: Any, part: GroupPart, path: Path) -> "Iterator[av.VideoFrame]":
    import av

    stop = part.first_frame + part.frame_count
    try:
        for number, packet in packets:
            if number >= part.first_frame:
                yield from _whole(decoder.decode(packet), path)
            if number == stop - 1:
                yield from _whole(decoder.decode(None), path)
                break
    except av.FFmpegError as error:
        raise unreadable(path, f"is damaged between frames {part.first_frame} and {stop - 1}") from error
    finally:
        decoder.flush_buffers()


def _whole(frames: "list[av.VideoFrame]", path: Path) -> "Iterator[av.VideoFrame]":
    for frame in frames:
        if frame.is_corrupt:  # a concealed error smears the old picture over the new
            raise unreadable(path, "is damaged")
        yield frame
