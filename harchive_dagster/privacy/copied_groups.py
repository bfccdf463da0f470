"""Proves from the packets alone that copied groups of pictures are the source's, and that the picture stream of a
rendered file carries pictures only.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harchive_dagster.privacy.rendering import RenderedGroup
from harchive_dagster.recording.container import open_video, video_stream
from harchive_dagster.recording.group_decoding import PacketTimes, shown_packets
from harchive_dagster.recording.nal_units import is_slice, slices, unit_type, units
from harchive_dagster.recording.parameter_sets import AvcRecord

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

_MOST_NAMED = 5
"""Differences that are listed; one is enough to keep a file back."""

_PICTURES_ONLY = {1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12}
"""Slices, parameter sets, delimiters and filler of H.264: nothing in which words can be written, as in messages (6)."""

_PARAMETER_SETS = {7, 8}


@dataclass(frozen=True, eq=False)
class PacketProof:
    """What the packets of a rendered file show.

    Attributes:
        times: when its frames are shown.
        stray_units: kinds of units in its H.264 stream that no picture needs.
        copy_differences: in what its copied frames are not bit-exactly the source's; empty where they are.
    """

    times: PacketTimes
    stray_units: list[str]
    copy_differences: list[str]


def prove_packets(source: Path, rendered: Path, groups: Sequence[RenderedGroup]) -> PacketProof:
    """Read the packets of a rendered file once, beside the source's where groups were copied.

    Every packet of a copied group must hold the coded slices of the source's packet at the same place, under parameter
    sets that the source has. Then it decodes to the same pictures.

    Raises:
        RecordingError: one of the files cannot be read to its end, or a frame has no time.
    """
    is_copied = [group.is_copied for group in groups for _ in range(group.frame_count)]
    ticks: list[int | None] = []
    with ExitStack() as files:
        container = files.enter_context(open_video(rendered))
        stream = video_stream(container, rendered)
        record = _record(stream)
        original = None
        if any(is_copied):
            before = files.enter_context(open_video(source))
            track = video_stream(before, source)
            original = _Original(_record(track), shown_packets(before, track, source), is_copied)
            original.compare_sets(record)
        strays = _Strays(record)
        for place, packet in enumerate(shown_packets(container, stream, rendered)):
            ticks.append(packet.pts)
            found = strays.take(bytes(packet))
            if original:
                original.compare(place, found)
        if original:
            original.end(len(ticks))
        times = PacketTimes.from_ticks(ticks, stream, rendered)
    return PacketProof(times, strays.named(), original.differences[:_MOST_NAMED] if original else [])


class _Strays:
    """The kinds of units in a stream."""

    def __init__(self, record: AvcRecord | None) -> None:
        self._record = record
        self._kinds: set[int] = set()
        self._problem = None if record else "a picture stream that is not H.264 as MP4 has it"

    def take(self, payload: bytes) -> list[bytes] | None:
        """The units of a packet; None where it is not made of any."""
        if self._record is None:
            return None
        try:
            found = list(units(payload, self._record.length_size))
        except ValueError as error:
            self._problem = f"a picture that is not made of units: {error}"
            return None
        self._kinds.update(map(unit_type, found))
        return found

    def named(self) -> list[str]:
        if self._problem:
            return [self._problem]
        return [f"units of type {kind} in the picture stream" for kind in sorted(self._kinds - _PICTURES_ONLY)]


class _Original:
    """The source's packets, read as those of the rendered file come along."""

    def __init__(
        self, record: AvcRecord | None, packets: "Iterator[av.Packet[Any]]", is_copied: Sequence[bool]
    ) -> None:
        self._record, self._packets, self._is_copied = record, packets, is_copied
        self._sets = {*record.sequence_sets, *record.picture_sets} if record else set()
        self._has_ended = False
        self.differences: list[str] = []

    def compare_sets(self, record: AvcRecord | None) -> None:
        if self._record is None or record is None:
            self.differences.append("source or rendered file is not H.264 with length-prefixed units")
        elif not self._sets <= {*record.sequence_sets, *record.picture_sets}:
            self.differences.append("the source's parameter sets are not among those of the rendered file")

    def compare(self, place: int, copy: list[bytes] | None) -> None:
        """Hold a packet's units against the source's packet at the same place."""
        packet = next(self._packets, None)
        if packet is None or place >= len(self._is_copied):
            self._end_at(place)
        elif self._is_copied[place] and len(self.differences) < _MOST_NAMED:
            self._compare(place, bytes(packet), copy)

    def end(self, count: int) -> None:
        """The rendered file has ended after so many packets."""
        if count < len(self._is_copied) or next(self._packets, None) is not None:
            self._end_at(count)

    def _compare(self, place: int, packet: bytes, copy: list[bytes] | None) -> None:
        try:
            is_same = copy is not None and self._record is not None and self._is_same(packet, copy, self._record)
        except ValueError as error:
            self.differences.append(f"frame {place} (in decoding order) is not made of units: {error}")
            return
        if not is_same:
            self.differences.append(f"frame {place} (in decoding order) is not the source's")

    def _is_same(self, packet: bytes, copy: list[bytes], record: AvcRecord) -> bool:
        carried = {unit for unit in copy if unit_type(unit) in _PARAMETER_SETS}
        own = self._sets | {unit for unit in units(packet, record.length_size) if unit_type(unit) in _PARAMETER_SETS}
        found = [unit for unit in copy if is_slice(unit)]
        return bool(found) and carried <= own and found == slices(packet, record.length_size)

    def _end_at(self, place: int) -> None:
        if not self._has_ended:
            self.differences.append(f"the files have different numbers of frames from {place} on")
        self._has_ended = True


def _record(stream: "VideoStream") -> AvcRecord | None:
    """None where the stream is not H.264 as MP4 has it."""
    try:
        return AvcRecord.parse(stream.codec_context.extradata or b"") if stream.codec_context.name == "h264" else None
    except ValueError:
        return None
