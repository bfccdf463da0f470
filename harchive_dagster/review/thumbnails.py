"""Small pictures of an anonymized video, evenly over its time. Reads what was rendered; hides and judges nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harchive_dagster.errors import LakeError

if TYPE_CHECKING:
    import av

HEIGHT_PX = 72
_EVERY_NS = 2_000_000_000
_LEAST, _MOST = 16, 128
"""Pictures of a recording: enough to fill a wide screen, and for long ones to see more on zooming in."""
_QUARTER_TURN_DEG = 90
_QUALITY = 80  # of JPEG: about 3 kB each


@dataclass(frozen=True)
class Thumbnail:
    """One small picture.

    Attributes:
        start_ns, end_ns: the stretch that it stands for, session time.
        width_px: as shown; the height is `HEIGHT_PX`.
        jpeg: the file.
    """

    start_ns: int
    end_ns: int
    width_px: int
    jpeg: bytes


def thumbnails(video: Path, duration_ns: int) -> list[Thumbnail]:
    """Pictures of equal stretches of a video, each from its stretch's first half where that has a picture.

    Args:
        video: an anonymized file, whose first frame is at 0.
        duration_ns: of the recording.

    Raises:
        LakeError: the file cannot be decoded.
    """
    import av

    count = int(np.clip(duration_ns // _EVERY_NS, _LEAST, _MOST))
    stretches_ns = list(pairwise(duration_ns * place // count for place in range(count + 1)))
    try:
        with av.open(video) as container:
            frames = _frames_near(container, stretches_ns)
            # The last stretches may have none: a frame can be shown for long.
            return [_thumbnail(frame, *stretch) for stretch, frame in zip(stretches_ns, frames, strict=False)]
    except av.FFmpegError as error:
        raise LakeError(
            f"The anonymized video {video.name} cannot be decoded: {error.strerror}.",
            consequence="No page was written.",
            mend="Run its worker-day again: a damaged file is rendered anew.",
        ) from error


def _frames_near(
    container: "av.container.InputContainer", stretches_ns: list[tuple[int, int]]
) -> Iterator["av.VideoFrame"]:
    """Of each stretch the first frame from a little before it on: a keyframe that is near enough saves decoding.

    Nothing is decoded twice, however far keyframes are apart.
    """
    stream = container.streams.video[0]
    ns_per_tick = float(stream.time_base or 1) * 1e9
    keyframes_ns = np.array([entry.timestamp * ns_per_tick for entry in stream.index_entries if entry.is_keyframe])
    decoded, frame, frame_ns = container.decode(stream), None, -np.inf
    for start_ns, end_ns in stretches_ns:
        if np.any((keyframes_ns > frame_ns) & (keyframes_ns <= start_ns)):
            container.seek(int(start_ns / ns_per_tick), stream=stream)
            decoded, frame_ns = container.decode(stream), -np.inf
        while frame_ns < start_ns - (end_ns - start_ns) // 2:
            frame = next(decoded, None)
            if frame is None:
                return
            frame_ns = (frame.pts or 0) * ns_per_tick
        assert frame is not None
        yield frame


def _thumbnail(frame: "av.VideoFrame", start_ns: int, end_ns: int) -> Thumbnail:
    import cv2

    # PyAV counts the turn to the viewer's upright counterclockwise, as rot90 does.
    picture = np.rot90(frame.to_ndarray(format="bgr24"), frame.rotation // _QUARTER_TURN_DEG)
    height_px, width_px = picture.shape[:2]
    size = (max(1, round(width_px * HEIGHT_PX / height_px)), HEIGHT_PX)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return Thumbnail(start_ns, end_ns, size[0], bytes(encoded))
