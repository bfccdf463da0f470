"""How a recording's pictures are to be shown, and its frames brought to what is encoded: 8 bits, planar.

The rendered file says the same of itself. Nothing is hidden or encoded here.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harchive_dagster.errors import PrivacyError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import open_video, video_stream
from harchive_dagster.recording.decoding import iterate_frames

if TYPE_CHECKING:
    import av

_LIMITED_RANGE, _FULL_RANGE = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG

_MATRIX_OF_RGB = 1  # AVCOL_SPC_BT709
"""RGB has no matrix (its tag is 0, which says RGB): what it becomes does, and says so."""


@dataclass(frozen=True)
class PictureFormat:
    """What the source says about how its pictures are shown.

    Attributes:
        width_px, height_px: of the coded picture.
        source_format: FFmpeg's name of the pixel format that its decoder gives.
        pixel_format: that of the rendered pictures.
        time_base: seconds of a tick.
        frame_rate: as the container claims; None where it does not.
        sample_aspect_ratio: None or 0 where it is not said.
        color: range, primaries, transfer and matrix as FFmpeg numbers them.
        display_matrix: of a rotated picture.
    """

    width_px: int
    height_px: int
    source_format: str
    pixel_format: str
    time_base: Fraction
    frame_rate: Fraction | None
    sample_aspect_ratio: Fraction | None
    color: dict[str, int]
    display_matrix: tuple[int, ...] | None

    def fits(self, frame: "av.VideoFrame") -> bool:
        """Whether a frame of the source still has this size and format."""
        size = (self.width_px, self.height_px)
        return (frame.width, frame.height) == size and frame.format.name == self.source_format


def picture_format(source: Path) -> PictureFormat:
    """What the first frame and the track of a recording say.

    Raises:
        RecordingError: the first frame cannot be decoded.
    """
    with open_video(source) as container:
        stream = video_stream(container, source)
        frame_rate, sample_aspect_ratio = stream.average_rate, stream.sample_aspect_ratio
    frame = next(iterate_frames(source)).frame
    name = frame.format.name
    # 4:2:0 H.264 has no odd sizes.
    same = ("yuv444p", "yuvj444p") if frame.width % 2 or frame.height % 2 else ("yuv420p", "yuvj420p")
    is_full_range = name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    return PictureFormat(
        width_px=frame.width,
        height_px=frame.height,
        source_format=name,
        pixel_format=name if name in same else same[0],
        time_base=frame.time_base or Fraction(1, 1),  # never missing on a decoded frame; the fallback is for the type
        frame_rate=frame_rate,
        sample_aspect_ratio=sample_aspect_ratio,
        color={
            "color_range": _FULL_RANGE if is_full_range else int(frame.color_range),
            "color_primaries": int(frame.color_primaries),
            "color_trc": int(frame.color_trc),
            "colorspace": int(frame.colorspace),
        }
        | ({"color_range": _LIMITED_RANGE, "colorspace": _MATRIX_OF_RGB} if frame.format.is_rgb else {}),
        display_matrix=_display_matrix(frame),
    )


def encodable(frame: "av.VideoFrame", wanted: PictureFormat) -> "av.VideoFrame":
    """The frame in 8 planar bits, brightness unchanged; the frame itself where it is that already."""
    if frame.format.name == wanted.pixel_format:
        return frame
    color_range = wanted.color["color_range"]
    if frame.format.is_rgb:
        return frame.reformat(
            format=wanted.pixel_format, dst_colorspace=wanted.color["colorspace"], dst_color_range=color_range
        )
    return frame.reformat(format=wanted.pixel_format, src_color_range=color_range, dst_color_range=color_range)


def not_anonymizable(source: Path, what: str) -> PrivacyError:
    """The error of a recording that does not fit what was seen in it; `what` continues the sentence."""
    return PrivacyError(
        Reason.NOT_ANONYMIZABLE,
        f"video {source.name!r} {what}.",
        mend="Look at the recording again (frame_observations) and rebuild its redactions.",
        evidence={"file": source.name},
    )


def _display_matrix(frame: "av.VideoFrame") -> tuple[int, ...] | None:
    side_data: Any = frame.side_data  # iterates over its items; the stub says mapping
    for item in side_data:
        if item.type.name == "DISPLAYMATRIX":
            return struct.unpack("=9i", bytes(item))
    return None
