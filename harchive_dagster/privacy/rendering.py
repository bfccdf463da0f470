"""Makes the video that may be shown: the same frames at the same times, redactions hidden, nothing else in
the file.

Every frame is encoded anew. What to hide comes from `tracking`, how from `redaction`; whether it worked is
`audit`'s business.
"""

import hashlib
import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harchive_dagster.errors import PrivacyError, SettingsError
from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.redaction import Redaction, hide, planes_of
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import open_video, video_stream
from harchive_dagster.recording.decoding import iterate_frames

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.stream import VideoStream

RENDERER_VERSION = "1"
"""Raised whenever the same input would give other bytes."""

_ENCODER_OPTIONS = {"preset": "superfast", "crf": "20"}
"""Half the time of veryfast for a fifth more bytes. And veryfast gave other bytes in one of thirty renderings of the
same pictures (its macroblock-tree look-ahead), which would make an unchanged worker-day look changed."""
_KEYFRAME_DISTANCE = 30
"""A lab that seeks to any frame decodes at most a second of 30 fps video for it."""

_DROP_SEI = "filter_units=remove_types=6"
"""x264 writes its version and settings into a user-data message; nobody needs them, and without SEI no other
can slip in."""

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True)
class RenderedGroup:
    """Consecutive frames of the rendered file, in presentation order, that a decoder can start with."""

    first_frame: int
    frame_count: int
    is_copied: bool


@dataclass(frozen=True)
class RenderReport:
    """What was written.

    Attributes:
        codec: FFmpeg's name of the video codec.
        frame_count: frames written, all of the source's.
        redacted_frame_count: those in which something was hidden.
        copied_fraction: share of frames taken over without encoding; this renderer takes over none.
        sha256, bytes: of the file.
        renderer_version: which version of this module wrote it.
        groups: all frames, in order, and whether they were copied.
    """

    codec: str
    frame_count: int
    redacted_frame_count: int
    copied_fraction: float
    sha256: str
    bytes: int
    renderer_version: str
    groups: tuple[RenderedGroup, ...]


@dataclass(frozen=True)
class _Look:
    """What the source says about how its pictures are shown; the rendered file says the same."""

    width_px: int
    height_px: int
    pixel_format: str
    time_base: Fraction
    frame_rate: Fraction | None
    sample_aspect_ratio: Fraction | None
    color: dict[str, int]
    display_matrix: tuple[int, ...] | None


def render_anonymized(
    source: Path, target: Path, redactions: Sequence[Redaction], *, how: Hiding = Hiding.MOSAIC
) -> RenderReport:
    """Write an MP4 (H.264) of a video's pictures with the redactions hidden.

    Frame count, presentation times since the first frame (exact, in the source's time base), coded size,
    pixel shape, display rotation and colour tags are the source's. Audio, data tracks and all metadata are
    left out. Redactions are in pixels of the
    coded picture: display rotation is carried over as a display matrix, not applied.

    The result is 8-bit: deeper sources are reduced. Chroma becomes 4:2:0; only odd sizes, which 4:2:0 H.264
    cannot express, become 4:4:4. The same input gives the same bytes (same encoder build).

    Args:
        source: the recording.
        target: where the file appears, whole or not at all; an older one is replaced.
        redactions: what to hide, for any frames.
        how: what is put in its place.

    Raises:
        RecordingError: the source cannot be decoded to its end.
        PrivacyError: NOT_ANONYMIZABLE when a redaction names a frame that the source does not have, or the
            picture changes its size or format midway.
        SettingsError: `target` is the source.
    """
    if target.exists() and target.samefile(source):
        raise SettingsError(
            f"{target.name!r} is both source and target.",
            consequence="Nothing was written.",
            mend="Render to another path.",
        )
    by_frame: dict[int, list[Redaction]] = defaultdict(list)
    for redaction in redactions:
        by_frame[redaction.frame_index].append(redaction)
    with _appearing_whole(target) as partial:
        frame_count = _render(source, partial, by_frame, how)
        if by_frame and max(by_frame) >= frame_count:
            raise _not_anonymizable(source, f"has {frame_count} frames, but frame {max(by_frame)} is to be redacted")
        with partial.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = partial.stat().st_size
    groups = (RenderedGroup(0, frame_count, is_copied=False),)
    return RenderReport("h264", frame_count, len(by_frame), 0.0, digest, size, RENDERER_VERSION, groups)


@contextmanager
def _appearing_whole(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    # A fixed name: what a killed process leaves behind is overwritten by the next one.
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _render(source: Path, partial: Path, by_frame: dict[int, list[Redaction]], how: Hiding) -> int:
    import av

    writer: _Writer | None = None
    # bitexact keeps the muxer's name and version out of the file.
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(partial), "w", format="mp4", options=options) as container:
        for decoded in iterate_frames(source):
            if writer is None:
                look = _look(source, decoded.frame)
                writer = _Writer(container, look, first_pts=decoded.frame.pts or 0)
            if not writer.fits(decoded.frame):
                raise _not_anonymizable(source, f"changes its picture size or format at frame {decoded.frame_index}")
            writer.write(decoded.frame, by_frame.get(decoded.frame_index, ()), how)
        if writer is None:
            raise _not_anonymizable(source, "has no frames")
        return writer.finish()


class _Writer:
    def __init__(self, container: "OutputContainer", look: _Look, *, first_pts: int) -> None:
        import av

        self._container = container
        self._look = look
        self._first_pts = first_pts
        self._stream = _add_stream(container, look)
        self._without_sei = av.BitStreamFilterContext(_DROP_SEI, "h264")
        self._durations: dict[int, int] = {}
        self._count = 0
        self._source_format: str | None = None

    def fits(self, frame: "av.VideoFrame") -> bool:
        self._source_format = self._source_format or frame.format.name
        size = (self._look.width_px, self._look.height_px)
        return (frame.width, frame.height) == size and frame.format.name == self._source_format

    def write(self, frame: "av.VideoFrame", redactions: Sequence[Redaction], how: Hiding) -> None:
        import av

        # A new frame: the decoder keeps references to its own, and theirs carry captions and other side data along.
        clean = av.VideoFrame(frame.width, frame.height, self._look.pixel_format)
        planes = planes_of(clean)
        for plane, original in zip(planes, planes_of(_eight_bit(frame, self._look)), strict=True):
            plane[:] = original
        hide(planes, redactions, how)
        for name, value in self._look.color.items():
            setattr(clean, name, value)
        clean.pts = (frame.pts or 0) - self._first_pts
        clean.time_base = self._look.time_base
        self._durations[clean.pts] = frame.duration or 0
        self._mux(self._stream.encode(clean))
        self._count += 1

    def finish(self) -> int:
        self._mux(self._stream.encode(None))
        return self._count

    def _mux(self, packets: "list[av.Packet[Any]]") -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts or 0)
            for filtered in self._without_sei.filter(packet):
                filtered.stream = self._stream
                filtered.duration = duration  # the encoder forgets it; times cannot tell the last frame's
                self._container.mux(filtered)


def _look(source: Path, frame: "av.VideoFrame") -> _Look:
    with open_video(source) as container:
        stream = video_stream(container, source)
        frame_rate, sample_aspect_ratio = stream.average_rate, stream.sample_aspect_ratio
    is_odd = frame.width % 2 or frame.height % 2
    is_full_range = frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    return _Look(
        width_px=frame.width,
        height_px=frame.height,
        pixel_format="yuv444p" if is_odd else "yuv420p",
        time_base=frame.time_base or Fraction(1, 1),  # never missing on a decoded frame; the fallback is for the type
        frame_rate=frame_rate,
        sample_aspect_ratio=sample_aspect_ratio,
        color={
            "color_range": _FULL_RANGE if is_full_range else int(frame.color_range),
            "color_primaries": int(frame.color_primaries),
            "color_trc": int(frame.color_trc),
            "colorspace": int(frame.colorspace),
        },
        display_matrix=_display_matrix(frame),
    )


def _display_matrix(frame: "av.VideoFrame") -> tuple[int, ...] | None:
    side_data: Any = frame.side_data  # iterates over its items; the stub says mapping
    for item in side_data:
        if item.type.name == "DISPLAYMATRIX":
            return struct.unpack("=9i", bytes(item))
    return None


def _add_stream(container: "OutputContainer", look: _Look) -> "VideoStream":
    stream = container.add_stream("libx264", rate=look.frame_rate, options=_ENCODER_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = look.width_px, look.height_px, look.pixel_format
    stream.time_base = look.time_base
    context = stream.codec_context
    context.time_base = look.time_base
    context.max_b_frames = 0  # decoding order is presentation order: no edit list, first frame at zero
    context.gop_size = _KEYFRAME_DISTANCE
    context.thread_count = 1  # more threads change the bytes
    for name, value in look.color.items():
        setattr(context, name, value)
    if look.sample_aspect_ratio:
        context.sample_aspect_ratio = look.sample_aspect_ratio
    if look.display_matrix:
        stream.set_display_matrix(look.display_matrix)
    return stream


def _eight_bit(frame: "av.VideoFrame", look: _Look) -> "av.VideoFrame":
    if frame.format.name in (look.pixel_format, look.pixel_format.replace("yuv", "yuvj")):
        return frame
    if frame.format.is_rgb:
        return frame.reformat(format=look.pixel_format)
    color_range = look.color["color_range"]
    return frame.reformat(format=look.pixel_format, src_color_range=color_range, dst_color_range=color_range)


def _not_anonymizable(source: Path, what: str) -> PrivacyError:
    return PrivacyError(
        Reason.NOT_ANONYMIZABLE,
        f"video {source.name!r} {what}.",
        mend="Look at the recording again (frame_observations) and rebuild its redactions.",
        evidence={"file": source.name},
    )
