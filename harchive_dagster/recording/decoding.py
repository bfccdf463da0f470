"""Pictures in presentation order with exact session times. What is seen in them is `look`'s business."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import RecordingError
from harchive_dagster.recording.container import MAX_PICTURE_PX, open_video, ticks_to_ns, unreadable, video_stream

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """One decoded picture.

    Attributes:
        frame_index: 0, 1, 2, ... in presentation order.
        pts_ns: session time, zero at the first frame.
        is_keyframe: the decoder can start here.
        frame: the coded picture. Display rotation (a phone's portrait flag) is NOT applied: width and height are
            those of the coded picture, and so are all pixel coordinates derived from it.
    """

    frame_index: int
    pts_ns: int
    is_keyframe: bool
    frame: "av.VideoFrame"

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """The picture as `in_rgb` gives it; whoever keeps the frame keeps it too."""
        return in_rgb(self.frame)


def iterate_frames(path: Path | str) -> Iterator[DecodedFrame]:
    """Decode a video from its first to its last frame, in one thread.

    Args:
        path: the video file.

    Yields:
        Frames in presentation order; `pts_ns` is strictly increasing.

    Raises:
        RecordingError: VIDEO_UNREADABLE when the file cannot be opened, a picture cannot be decoded (also when
            the decoder conceals the damage), fewer pictures than coded frames come out, a picture has no time,
            time does not increase, or nothing can be decoded.
    """
    with open_video(path) as container:
        stream = video_stream(container, path)
        # With more threads FFmpeg may hand out a frame before it knows that it is damaged: two damaged H.264 files
        # passed as whole in 39 of 120 tries. Nor did they save processor time.
        stream.codec_context.thread_count = 1
        stream.thread_type = "NONE"
        # Pictures may come larger than the container declares.
        stream.codec_context.options = {"max_pixels": str(MAX_PICTURE_PX)}
        first_ticks: int | None = None
        last_ns = -1
        index = 0
        for frame in _decoded(container, stream, path):
            if frame.pts is None:
                raise unreadable(path, f"has no presentation time at frame {index}", frame_index=index)
            first_ticks = frame.pts if first_ticks is None else first_ticks
            pts_ns = int(ticks_to_ns([frame.pts - first_ticks], stream, path)[0])
            if pts_ns <= last_ns:
                raise unreadable(
                    path,
                    f"goes back in time at frame {index}: {pts_ns} ns after {last_ns} ns",
                    frame_index=index,
                    pts_ns=pts_ns,
                    previous_pts_ns=last_ns,
                )
            yield DecodedFrame(index, pts_ns, bool(frame.key_frame), frame)
            last_ns = pts_ns
            index += 1
        if not index:
            raise unreadable(path, "has a video track without a single frame")


def small_luma(frame: "av.VideoFrame", *, longest_px: int = 480) -> NDArray[np.uint8]:
    """The brightness of a picture, small enough to measure every frame.

    Args:
        frame: any 8-bit or deeper pixel format.
        longest_px: length of the longer side of the result; smaller pictures keep their size.

    Returns:
        uint8 [h, w], full range (0 black, 255 white) whatever range the file uses.
    """
    from av.video.reformatter import ColorRange

    scale = min(1.0, longest_px / max(frame.width, frame.height))
    # FFmpeg's average of areas takes a third of the time of OpenCV's, and stretches the range in the same go.
    small = frame.reformat(
        width=max(1, round(frame.width * scale)),
        height=max(1, round(frame.height * scale)),
        format="gray",
        dst_color_range=ColorRange.JPEG,
        interpolation="AREA",
        threads=1,
    )
    plane = small.planes[0]
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: small.height, : small.width].copy()


def in_rgb(frame: "av.VideoFrame", size_px: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A picture as uint8 [h, w, 3], red first.

    Args:
        frame: any pixel format.
        size_px: width and height to scale to on the way: half of full HD takes half the time, a quarter an eighth.
    """
    width, height = size_px or (None, None)
    how = "AREA" if size_px else None
    # Told nothing, FFmpeg starts a thread for each processor at each picture, which costs a fifth more.
    rgb = frame.reformat(width=width, height=height, format="rgb24", interpolation=how, threads=1)
    return np.asarray(rgb.to_ndarray(), np.uint8)


def _decoded(container: "InputContainer", stream: "VideoStream", path: Path | str) -> "Iterator[av.VideoFrame]":
    import av

    shown = count = 0
    time_s = 0.0
    try:
        for packet in container.demux(stream):
            # The packet is cut by the end of the file.
            if packet.is_corrupt:
                raise _damaged(path, count, time_s)
            shown += bool(packet.size) and not packet.is_discard
            for frame in packet.decode():
                # A concealed error smears the old picture over the new: a face may hide in it.
                if frame.is_corrupt:
                    raise _damaged(path, count, time_s)
                time_s = frame.time if frame.time is not None else time_s
                yield frame
                count += 1
    except av.FFmpegError as error:
        raise _damaged(path, count, time_s) from error
    if count != shown:
        raise unreadable(
            path,
            f"holds {shown} coded frames, but {count} could be decoded",
            coded_frames=shown,
            decoded_frames=count,
        )


def _damaged(path: Path | str, count: int, time_s: float) -> RecordingError:
    return unreadable(
        path,
        f"is damaged: the last good frame is {count - 1}, {time_s:.3f} s",
        last_good_frame=count - 1,
        last_good_s=time_s,
    )
