"""Cuts a recording into groups of pictures that stand for themselves, and says whether they may be copied.

Only packets are read. What becomes of a group is for `rendering` to decide.
"""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.container import open_video, unreadable, video_stream
from harchive_dagster.recording.nal_units import (
    IDR_SLICE,
    PICTURE_PARAMETERS,
    SEQUENCE_PARAMETERS,
    is_slice,
    unit_type,
    units,
)
from harchive_dagster.recording.parameter_sets import AvcRecord, SequenceSet, picture_set_ids

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_SHORTEST_GROUP_S = Fraction(1, 2)
"""Shorter ones are joined: every encoder starts anew with a key frame, which costs bytes."""

_LEAST_PART = 2
"""Frames."""

_MOV = "mov"
_PARTITIONS = range(2, 5)
"""Slices in parts, of a profile that no camera uses."""

_DIGEST_BYTES = 32
_HEVC_SLICES = range(32)
_HEVC_CLOSED = (19, 20)
"""IDR pictures; a CRA picture may be followed by ones that need what was before it (ITU-T H.265, table 7-1)."""

_HEVC_LENGTH_AT = 21
"""Byte of an hvcC record whose last two bits are a unit's length size less one."""

_KEYFRAME_CLOSED = {"av1", "vp8", "vp9", "mjpeg", "prores", "ffv1"}
"""Codecs in which nothing behind a key frame needs anything before it. Of others only the first frame is trusted."""


@dataclass(frozen=True)
class PictureGroup:
    """Consecutive packets that decode without any later, and whose frames are shown before any later group's.

    Attributes:
        first_packet, packet_count: in the order of decoding.
        first_frame, frame_count: in the order of presentation; frames that an edit list hides do not count.
        is_closed: starts with a picture that a decoder can start at; False only for a recording's first group.
        content: digest of the packets and their times, also of those that it needs.
        lead: packets before it that it needs for decoding, one for each frame; 0 but for the rest of a group that was
            cut in two.
    """

    first_packet: int
    packet_count: int
    first_frame: int
    frame_count: int
    is_closed: bool
    content: str
    lead: int = 0

    @property
    def decoded_from(self) -> int:
        """The first packet that a decoder needs."""
        return self.first_packet - self.lead

    @property
    def packets(self) -> slice:
        """Its place among the packets."""
        return slice(self.first_packet, self.first_packet + self.packet_count)

    @property
    def frames(self) -> range:
        """Its frames' indices."""
        return range(self.first_frame, self.first_frame + self.frame_count)

    @property
    def hides_frames(self) -> bool:
        """Some of its packets are never shown: nobody has looked at them."""
        return self.frame_count < self.packet_count

    def split(self, head: int) -> "tuple[PictureGroup, PictureGroup]":
        """A closed group's first packets, which are its first frames, and the rest, which needs them."""
        rest = replace(
            self,
            first_packet=self.first_packet + head,
            packet_count=self.packet_count - head,
            first_frame=self.first_frame + head,
            frame_count=self.frame_count - head,
            is_closed=False,
            content=f"{self.content}+{head}",
            lead=head,
        )
        return replace(self, packet_count=head, frame_count=head, content=f"{self.content}-{head}"), rest


@dataclass(frozen=True, eq=False)
class Packets:
    """Times of all packets in the order of decoding, in the track's time base.

    Attributes:
        pts, dts, duration: int64 [N]; `dts` is None where some packet has none.
        is_shown: bool [N].
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64] | None
    duration: NDArray[np.int64]
    is_shown: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GroupedVideo:
    """A recording in groups.

    Attributes:
        packets: all of them.
        groups: in order; together they hold every packet.
        keyframe_count: packets flagged as key frames.
        record: the track's parameter sets where groups may be copied; None where not.
        copy_obstacle: why no group may be copied, as "codec hevc"; None where they may.
    """

    packets: Packets
    groups: tuple[PictureGroup, ...]
    keyframe_count: int
    record: AvcRecord | None
    copy_obstacle: str | None


def longest_head(group: PictureGroup, packets: Packets, most: int) -> int:
    """How many of a closed group's packets, `most` at most, are also its first frames and can do without the others.

    Packets never need later ones; what is left has to be shown later too. Both parts have two frames at least (one key
    frame after another must differ in an id that each encoder starts at zero); 0 where the group cannot be cut so.
    """
    pts = packets.pts[group.packets]
    shown_later = np.minimum.accumulate(pts[::-1])[::-1]
    shown_before = np.maximum.accumulate(pts)
    cuts = np.flatnonzero(shown_before[:-1] < shown_later[1:]) + 1
    cuts = cuts[(cuts >= _LEAST_PART) & (cuts <= min(most, group.packet_count - _LEAST_PART))]
    return int(cuts[-1]) if len(cuts) and not group.hides_frames else 0


def video_packets(container: "InputContainer", stream: "VideoStream", path: Path) -> "Iterator[av.Packet[Any]]":
    """The packets of a track that hold a picture, in the order of decoding.

    Raises:
        RecordingError: one is cut off, or the file cannot be read to its end.
    """
    import av

    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_corrupt:
                raise unreadable(path, "is damaged: a packet is cut off")
            yield packet
    except av.FFmpegError as error:
        raise unreadable(path, "is damaged: it cannot be read to its end") from error


def group_pictures(path: Path) -> GroupedVideo:
    """Read a recording's packets and cut it where a closed picture starts.

    Raises:
        RecordingError: VIDEO_UNREADABLE when the container cannot be read to its end or a packet has no time.
    """
    with open_video(path) as container:
        stream = video_stream(container, path)
        base = stream.time_base or Fraction(1, 1)  # never missing on a demuxed track; the fallback is for the type
        scan = _Scan(stream, is_mov=_MOV in container.format.name.split(","))
        for packet in video_packets(container, stream, path):
            if packet.pts is None:
                raise unreadable(path, f"has a frame without a presentation time (packet {len(scan.pts)})")
            scan.take(packet)
        if not any(scan.is_shown):
            raise unreadable(path, "has a video track without a single frame")
        packets = scan.packets()
        is_closed = np.frombuffer(scan.is_closed, bool)
        groups = tuple(_groups(packets, is_closed, scan, _SHORTEST_GROUP_S / base))
        record, obstacle = scan.verdict(packets)
        return GroupedVideo(packets, groups, scan.keyframe_count, record, obstacle)


class _Scan:
    def __init__(self, stream: "VideoStream", *, is_mov: bool) -> None:
        self.pts, self._dts, self._duration = array("q"), array("q"), array("q")
        self.is_shown, self.is_closed, self.digests = bytearray(), bytearray(), bytearray()
        self.keyframe_count = 0
        self._has_all_dts = True
        self._codec = stream.codec_context.codec.canonical_name
        self.setup = stream.codec_context.extradata or b""
        self._record: AvcRecord | None = None
        self._obstacle = self._first_obstacle(is_mov=is_mov)

    def take(self, packet: "av.Packet[Any]") -> None:
        payload = bytes(packet)
        if packet.has_sidedata("new_extradata"):  # a track with several descriptions, each with its parameter sets
            self._obstacle = self._obstacle or "changing parameter sets"
        self.pts.append(packet.pts or 0)
        self._has_all_dts &= packet.dts is not None
        self._dts.append(packet.dts or 0)
        self._duration.append(packet.duration or 0)
        self.is_shown.append(not packet.is_discard)
        self.keyframe_count += packet.is_keyframe
        self.is_closed.append(self._starts_closed(payload, is_keyframe=packet.is_keyframe))
        self.digests += hashlib.sha256(payload).digest()

    def packets(self) -> Packets:
        dts = np.array(self._dts, np.int64) if self._has_all_dts else None
        pts, duration = np.array(self.pts, np.int64), np.array(self._duration, np.int64)
        return Packets(pts, dts, duration, np.frombuffer(self.is_shown, bool))

    def verdict(self, packets: Packets) -> tuple[AvcRecord | None, str | None]:
        obstacle = self._obstacle or self._obstacle_in_times(packets)
        return (None if obstacle else self._record), obstacle

    def _obstacle_in_times(self, packets: Packets) -> str | None:
        pts, dts = packets.pts, packets.dts
        if dts is None or (np.diff(dts) <= 0).any() or (dts > pts).any():
            return "decoding times out of order"
        is_reordered = self._record and (np.diff(pts) < 0).any()
        if self._record and is_reordered and SequenceSet.parse(self._record.sequence_sets[0]).reorder_depth is None:
            # A decoder has to guess how long it must wait, and drops pictures when it guesses wrong at a seam.
            return "reordering of unknown depth"
        return None

    def _first_obstacle(self, *, is_mov: bool) -> str | None:
        if self._codec != "h264":
            return f"codec {self._codec}"
        try:
            self._record = AvcRecord.parse(self.setup)
            pictures = [picture_set_ids(unit) for unit in self._record.picture_sets]
            known = [SequenceSet.parse(unit) for unit in self._record.sequence_sets]
        except ValueError:
            return "parameter sets cannot be read"
        if not is_mov:
            return "container other than MP4 or MOV"
        if len(known) != 1 or not pictures or any(of != known[0].set_id for _, of in pictures):
            return "several sequence parameter sets"
        if known[0].bit_depth != 8:
            return f"{known[0].bit_depth} bits"
        if known[0].chroma_format != 1:
            return "chroma other than 4:2:0"
        if not known[0].is_progressive:
            return "interlaced"
        return None if self._record.free_id else "no parameter set id left"

    def _starts_closed(self, payload: bytes, *, is_keyframe: bool) -> bool:
        if self._codec == "h264" and self._record:
            return self._starts_with_idr(payload, self._record)
        if self._codec == "hevc" and len(self.setup) > _HEVC_LENGTH_AT:
            length_size = 1 + (self.setup[_HEVC_LENGTH_AT] & 3)
            try:
                kinds = [kind for unit in units(payload, length_size) if (kind := unit[0] >> 1 & 63) in _HEVC_SLICES]
            except ValueError:
                return False
            return bool(kinds) and all(kind in _HEVC_CLOSED for kind in kinds)
        return is_keyframe and self._codec in _KEYFRAME_CLOSED

    def _starts_with_idr(self, payload: bytes, record: AvcRecord) -> bool:
        kinds = []
        try:
            for unit in units(payload, record.length_size):
                kind = unit_type(unit)
                if is_slice(unit):
                    kinds.append(kind)
                elif kind in (SEQUENCE_PARAMETERS, PICTURE_PARAMETERS):
                    known = record.sequence_sets if kind == SEQUENCE_PARAMETERS else record.picture_sets
                    if unit not in known and unit.rstrip(b"\x00") not in known:
                        self._obstacle = self._obstacle or "changing parameter sets"
        except ValueError:
            self._obstacle = self._obstacle or "packets that are not AVC samples"
            return False
        if not kinds or any(kind in _PARTITIONS for kind in kinds):
            self._obstacle = self._obstacle or "packets without whole slices"
        return bool(kinds) and all(kind == IDR_SLICE for kind in kinds)


def _groups(packets: Packets, is_closed: NDArray[np.bool_], scan: _Scan, shortest: Fraction) -> Iterator[PictureGroup]:
    starts = [0]
    earliest_behind = np.minimum.accumulate(packets.pts[::-1])[::-1]
    latest_before = np.maximum.accumulate(packets.pts)
    shown_before = np.concatenate([[0], np.cumsum(packets.is_shown)])
    for place in np.flatnonzero(is_closed[1:]) + 1:
        if latest_before[place - 1] >= earliest_behind[place]:
            continue
        span = int(earliest_behind[place] - earliest_behind[starts[-1]])
        # Two frames at least: one key frame after another must differ in an id that each encoder starts at zero.
        if span >= shortest and shown_before[place] - shown_before[starts[-1]] > 1:
            starts.append(int(place))
    if len(starts) > 1 and shown_before[-1] == shown_before[starts[-1]]:
        starts.pop()  # nothing behind the last cut is shown
    for start, stop in zip(starts, [*starts[1:], len(packets.pts)], strict=True):
        first, end = int(shown_before[start]), int(shown_before[stop])
        times = np.column_stack([packets.pts[start:stop] - packets.pts[start], packets.is_shown[start:stop]])
        digests = scan.digests[_DIGEST_BYTES * start : _DIGEST_BYTES * stop]
        content = hashlib.sha256(scan.setup + digests + times.astype("<i8").tobytes()).hexdigest()
        yield PictureGroup(start, stop - start, first, end - first, bool(is_closed[start]), content)
