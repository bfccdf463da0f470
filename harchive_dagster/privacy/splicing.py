"""Puts copied and encoded groups of pictures into one MP4, at the source's times. No picture is decoded here."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.group_encoding import encoder_record, set_up_encoder
from harchive_dagster.privacy.picture_format import PictureFormat
from harchive_dagster.privacy.picture_groups import GroupedVideo, PictureGroup, video_packets
from harchive_dagster.recording.container import open_video, video_stream
from harchive_dagster.recording.nal_units import IDR_SLICE, OWN_LENGTH_SIZE, joined, slices, unit_type

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream


def splice(
    source: Path,
    target: Path,
    grouped: GroupedVideo,
    picture: PictureFormat,
    *,
    is_copied: Sequence[bool],
    set_id: int,
    encoded: Iterator[bytes],
) -> None:
    """Write an MP4 of all groups.

    Of copied packets only the coded slices come along: messages may hold places and names. The parameter sets of the
    source and of the encoder all go into the track's record, where every player looks for them first.

    Args:
        source: the recording.
        target: overwritten.
        grouped: the recording's groups.
        picture: how its pictures are shown.
        is_copied: for each group.
        set_id: of the encoder's parameter sets.
        encoded: the packets of the other groups, in order.
    """
    import av

    # bitexact keeps the muxer's name and version out of the file.
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(target), "w", format="mp4", options=options) as container:
        stream = _add_stream(container, picture, set_id, grouped if any(is_copied) else None)
        copied = _copied_packets(source, grouped, is_copied) if any(is_copied) else iter(())
        first_pts = int(grouped.packets.pts[grouped.packets.is_shown].min())
        for group, is_copy in zip(grouped.groups, is_copied, strict=True):
            times = _times(grouped, group, is_copy=is_copy, has_copies=any(is_copied))
            payloads = islice(copied if is_copy else encoded, group.frame_count)
            for (pts, dts, duration), payload in zip(times.tolist(), payloads, strict=True):
                packet: av.Packet[Any] = av.Packet(payload)
                packet.stream, packet.time_base = stream, picture.time_base
                packet.pts, packet.dts, packet.duration = pts - first_pts, dts - first_pts, duration
                packet.is_keyframe = unit_type(payload[OWN_LENGTH_SIZE:]) == IDR_SLICE
                container.mux(packet)


def _copied_packets(source: Path, grouped: GroupedVideo, is_copied: Sequence[bool]) -> Iterator[bytes]:
    length_size = grouped.record.length_size if grouped.record else OWN_LENGTH_SIZE
    with open_video(source) as container:
        packets = video_packets(container, video_stream(container, source), source)
        for group, is_copy in zip(grouped.groups, is_copied, strict=True):
            for packet in islice(packets, group.packet_count):
                if is_copy:
                    yield joined(slices(bytes(packet), length_size))


def _times(grouped: GroupedVideo, group: PictureGroup, *, is_copy: bool, has_copies: bool) -> NDArray[np.int64]:
    """int64 [frames, 3]: presentation time, decoding time and duration of a group's packets in ticks of the source.

    Encoded pictures come in the order of presentation, but between copied ones with B frames their decoding times must
    lie as the source's do. The source's own, in order, do: no more than i frames of a group are shown before its i-th
    decoding time, as each frame is decoded before it is shown.
    """
    packets, shown = grouped.packets, grouped.packets.is_shown[group.packets]
    pts, duration = packets.pts[group.packets][shown], packets.duration[group.packets][shown]
    if not is_copy:
        order = np.argsort(pts)
        pts, duration = pts[order], duration[order]
    dts = packets.dts[group.packets][shown] if has_copies and packets.dts is not None else pts
    return np.column_stack([pts, dts, duration])


def _add_stream(
    container: "OutputContainer", picture: PictureFormat, set_id: int, copied_from: GroupedVideo | None
) -> "VideoStream":
    stream = container.add_stream("libx264", rate=picture.frame_rate)
    stream.time_base = picture.time_base
    # Nothing is encoded by this one: it knows the parameter sets, and fills in the track's description.
    set_up_encoder(stream.codec_context, picture, set_id)
    record = encoder_record(stream.codec_context)
    if copied_from and copied_from.record:
        record = copied_from.record.joined_with(record)
    stream.codec_context.extradata = record.written()
    if picture.display_matrix:
        stream.set_display_matrix(picture.display_matrix)
    return stream
