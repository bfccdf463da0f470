"""Decodes groups of pictures, hides what is to be hidden and encodes them anew, each with an encoder of its own.

So a group's bytes depend on nothing outside it. Which groups, and where the result goes, is `rendering`'s business.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.picture_format import PictureFormat, encodable, not_anonymizable
from harchive_dagster.privacy.picture_groups import PictureGroup, video_packets
from harchive_dagster.privacy.redaction import Redaction, hide, planes_of
from harchive_dagster.recording.container import MAX_PICTURE_PX, open_video, unreadable, video_stream
from harchive_dagster.recording.nal_units import (
    OWN_LENGTH_SIZE,
    PICTURE_PARAMETERS,
    SEQUENCE_PARAMETERS,
    is_slice,
    joined,
    unit_type,
    units_of_stream,
)
from harchive_dagster.recording.parameter_sets import AvcRecord

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

KEYFRAME_DISTANCE = 30
"""A lab that seeks to any frame decodes at most a second of 30 fps video for it."""

_ENCODER_OPTIONS = {"preset": "superfast", "qp": "20"}
"""One quantiser for all pictures. A rate factor (crf 20) makes x264 search every picture once more at half its size, to
tell how difficult it is: a quarter of its time. It put 40.7 to 47.8 dB (PSNR) into pictures of five clips, light and
dark; this puts 43.5 to 47.3, in 52 to 137 % of its bytes.

Superfast takes half the time of veryfast for a fifth more bytes. And veryfast gave other bytes in one of thirty
renderings of the same pictures (its macroblock-tree look-ahead), which would make an unchanged worker-day look changed.
"""

_X264_OPTIONS = "scenecut=0:cabac=0:weightp=0:partitions=none:8x8dct=0:no-deblock=1"
"""Key frames at even distances: looking for cuts takes 6 % of the encoder's time. A cut costs some bytes instead.

The rest saves a sixth to a third of the encoder's time, and without arithmetic coding (cabac) decoding takes half as
long, the audit's too. Leaving the edges of blocks unsmoothed (deblock) saves a tenth more, for 0.3 dB at 46.
"""

_CPU_AVX2, _CPU_AVX_512F = 11, 13  # CV_CPU_AVX2 and CV_CPU_AVX_512F: OpenCV's Python has no names for them

_WITHOUT_AVX_512 = "asm=avx2"
"""The same bytes: x264's vectors of 512 bits took 10 to 20 % longer than those of 256 on five clips, on a Xeon of the
fourth generation."""

_NO_TYPE = 0  # AV_PICTURE_TYPE_NONE


@dataclass(frozen=True)
class EncodingTask:
    """Consecutive groups for one process; can be pickled.

    Attributes:
        source: the recording.
        picture: how its pictures are shown.
        set_id: of the encoder's parameter sets.
        groups: in order.
        first_pts: of the first packet that each group is decoded from.
        redactions: what to hide, by frame; frames with nothing to hide are left out.
    """

    source: Path
    picture: PictureFormat
    set_id: int
    groups: tuple[PictureGroup, ...]
    first_pts: tuple[int, ...]
    redactions: dict[int, list[Redaction]]
    how: Hiding


def encoder_setup() -> str:
    """The encoder's settings and build, which its bytes depend on besides the pictures."""
    import av

    return f"{_ENCODER_OPTIONS} {_X264_OPTIONS} {KEYFRAME_DISTANCE} {av.__version__} {av.library_versions}"


def set_up_encoder(
    encoder: "av.VideoCodecContext", picture: PictureFormat, set_id: int, frame_count: int = KEYFRAME_DISTANCE
) -> None:
    """Open an x264 encoder without B frames, in one thread.

    Args:
        encoder: not open yet.
        picture: what it will be given.
        set_id: of its parameter sets.
        frame_count: how many frames; key frames divide them evenly, so that none is the last: two key frames one
            after another, of two encoders, could bear the same id (ITU-T H.264, 7.4.3).
    """
    from av.codec.context import Flags

    encoder.width, encoder.height, encoder.pix_fmt = picture.width_px, picture.height_px, picture.pixel_format
    encoder.time_base = picture.time_base
    if picture.frame_rate:
        encoder.framerate = picture.frame_rate
    encoder.max_b_frames = 0  # decoding order is presentation order
    parts = -(-frame_count // KEYFRAME_DISTANCE)
    encoder.gop_size = max(2, -(-frame_count // parts))  # with 1 it would write other parameter sets
    encoder.thread_count = 1  # more threads change the bytes
    encoder.flags |= Flags.global_header
    for name, value in picture.color.items():
        setattr(encoder, name, value)
    if picture.sample_aspect_ratio:
        encoder.sample_aspect_ratio = picture.sample_aspect_ratio
    parameters = [_X264_OPTIONS, f"sps-id={set_id}", *chosen_vectors()]
    encoder.options = {**_ENCODER_OPTIONS, "x264-params": ":".join(parameters)}
    encoder.open()


def chosen_vectors() -> list[str]:
    """Parameters that keep x264 from the processor's widest vectors; none where there is no choice."""
    import cv2

    is_choice = cv2.checkHardwareSupport(_CPU_AVX2) and cv2.checkHardwareSupport(_CPU_AVX_512F)
    return [_WITHOUT_AVX_512] if is_choice else []


def encoder_record(encoder: "av.VideoCodecContext") -> AvcRecord:
    """The parameter sets that an open encoder's pictures refer to."""
    found = units_of_stream(encoder.extradata or b"")
    sequence_sets, picture_sets = (
        tuple(unit for unit in found if unit_type(unit) == kind) for kind in (SEQUENCE_PARAMETERS, PICTURE_PARAMETERS)
    )
    return AvcRecord(OWN_LENGTH_SIZE, sequence_sets, picture_sets)


def encoded_groups(task: EncodingTask) -> Iterator[Iterator[bytes]]:
    """Encode the groups of a task, one after another; each has to be used up before the next.

    Yields:
        For each group its packets: units with lengths in four bytes, coded slices only.

    Raises:
        RecordingError: a picture cannot be decoded, or other pictures come out than the packets declare.
        PrivacyError: NOT_ANONYMIZABLE when the picture changes its size or format.
    """
    with open_video(task.source) as container:
        stream = video_stream(container, task.source)
        # As in `decoding`: one thread finds damage that more would miss.
        stream.codec_context.thread_count = 1
        stream.thread_type = "NONE"
        stream.codec_context.options = {"max_pixels": str(MAX_PICTURE_PX)}
        for run, pts in _runs(task):
            packets = _packets_from(container, stream, task.source, run[0], pts)
            for group in run:
                frames = _decoded(islice(packets, group.lead + group.packet_count), stream, group, task)
                yield _encoded(frames, group, task)
                stream.codec_context.flush_buffers()


def _runs(task: EncodingTask) -> Iterator[tuple[list[PictureGroup], int]]:
    """Groups that lie side by side, with the time of the first packet of each run."""
    breaks = [
        place
        for place, (before, after) in enumerate(pairwise(task.groups), start=1)
        if before.packets.stop != after.decoded_from
    ]
    for start, stop in pairwise([0, *breaks, len(task.groups)]):
        yield list(task.groups[start:stop]), task.first_pts[start]


def _packets_from(
    container: "InputContainer", stream: "VideoStream", source: Path, group: PictureGroup, first_pts: int
) -> "Iterator[av.Packet[Any]]":
    if group.decoded_from:
        container.seek(first_pts, stream=stream)
    packets = video_packets(container, stream, source)
    # A seek ends at some key frame at or before the time; presentation times are unique.
    for packet in packets:
        if packet.pts == first_pts:
            return chain([packet], packets)
    raise unreadable(source, f"cannot be read from frame {group.first_frame} on", frame_index=group.first_frame)


def _decoded(
    packets: "Iterator[av.Packet[Any]]", stream: "VideoStream", group: PictureGroup, task: EncodingTask
) -> "Iterator[av.VideoFrame]":
    """A group's frames; those that it only needs for decoding are left out."""
    import av

    first = group.first_frame - group.lead
    index, latest = first, -math.inf
    try:
        for packet in chain(packets, [None]):
            for frame in stream.codec_context.decode(packet):
                # A concealed error smears the old picture over the new: a face may hide in it.
                if frame.is_corrupt:
                    raise unreadable(task.source, f"is damaged at frame {index}", frame_index=index)
                if not task.picture.fits(frame):
                    raise not_anonymizable(task.source, f"changes its picture size or format at frame {index}")
                ticks = -math.inf if frame.pts is None else frame.pts
                if ticks <= latest:
                    raise unreadable(task.source, f"goes back in time at frame {index}", frame_index=index)
                if index >= group.first_frame:
                    yield frame
                index, latest = index + 1, ticks
    except av.FFmpegError as error:
        raise unreadable(task.source, f"is damaged at frame {index}", frame_index=index) from error
    if index != group.frames.stop:
        raise unreadable(
            task.source,
            f"declares {group.frames.stop - first} frames from frame {first} on, but {index - first} could be decoded",
            frame_index=first,
        )


def _encoded(frames: "Iterator[av.VideoFrame]", group: PictureGroup, task: EncodingTask) -> Iterator[bytes]:
    import av

    encoder = av.VideoCodecContext.create("libx264", "w")
    set_up_encoder(encoder, task.picture, task.set_id, group.frame_count)
    first_pts: int | None = None
    for index, decoded in enumerate(frames, start=group.first_frame):
        first_pts = decoded.pts if first_pts is None else first_pts
        ticks = (decoded.pts or 0) - (first_pts or 0)
        frame = encodable(decoded, task.picture)
        if index in task.redactions:
            frame.make_writable()  # the decoder still needs its own
            hide(planes_of(frame), task.redactions[index], task.how)
        frame.pts, frame.time_base = ticks, task.picture.time_base
        frame.pict_type = _NO_TYPE  # or the encoder would follow the source's choice of key frames
        for packet in encoder.encode(frame):
            yield _stripped(packet)
    for packet in encoder.encode(None):
        yield _stripped(packet)


def _stripped(packet: "av.Packet[Any]") -> bytes:
    """Coded slices only: the encoder writes its version and settings into a message, and captions come along."""
    return joined([unit for unit in units_of_stream(bytes(packet)) if is_slice(unit)])
