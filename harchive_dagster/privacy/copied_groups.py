"""Proves from the packets alone that copied groups of pictures are the source's, and that the picture stream of a
rendered file carries pictures only.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harchive_dagster.privacy.rendering import RenderedGroup
from harchive_dagster.recording.container import open_video, video_stream
from harchive_dagster.recording.group_decoding import shown_packets
from harchive_dagster.recording.nal_units import slices, unit_type, units

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MOST_NAMED = 5
"""Differences that are listed; one is enough to keep a file back."""

_PICTURES_ONLY = {1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12}
"""Slices, parameter sets, delimiters and filler of H.264: nothing in which words can be written, as in messages (6)."""

_PARAMETER_SETS = {7, 8}


def copy_differences(source: Path, rendered: Path, groups: Sequence[RenderedGroup]) -> list[str]:
    """In what the copied frames are not bit-exactly the source's; empty where they are.

    Every packet of a copied group must hold the coded slices of the source's packet at the same place, under parameter
    sets that the source has. Then it decodes to the same pictures.

    Raises:
        RecordingError: one of the files cannot be read to its end.
    """
    is_copied = [group.is_copied for group in groups for _ in range(group.frame_count)]
    if not any(is_copied):
        return []
    with open_video(source) as before, open_video(rendered) as after:
        return list(_differences(before, after, is_copied, source, rendered))[:_MOST_NAMED]


def stray_units(rendered: Path) -> list[str]:
    """Kinds of units in a rendered H.264 stream that no picture needs.

    Raises:
        RecordingError: the file cannot be read to its end.
    """
    with open_video(rendered) as container:
        stream = video_stream(container, rendered)
        length_size = _length_size(stream)
        if length_size is None:
            return ["a picture stream that is not H.264 as MP4 has it"]
        kinds: set[int] = set()
        for packet in shown_packets(container, stream, rendered):
            try:
                kinds.update(unit_type(unit) for unit in units(bytes(packet), length_size))
            except ValueError as error:
                return [f"a picture that is not made of units: {error}"]
    return [f"units of type {kind} in the picture stream" for kind in sorted(kinds - _PICTURES_ONLY)]


def _differences(
    before: "InputContainer", after: "InputContainer", is_copied: Sequence[bool], source: Path, rendered: Path
) -> Iterator[str]:
    old, new = video_stream(before, source), video_stream(after, rendered)
    lengths = _length_size(old), _length_size(new)
    if lengths[0] is None or lengths[1] is None:
        yield "source or rendered file is not H.264 with length-prefixed units"
        return
    known = set(_parameter_sets(old))
    if not known <= set(_parameter_sets(new)):
        yield "the source's parameter sets are not among those of the rendered file"
    pairs = zip_longest(shown_packets(before, old, source), shown_packets(after, new, rendered))
    for place, (packet, copy) in enumerate(pairs):
        if packet is None or copy is None or place >= len(is_copied):
            yield f"the files have different numbers of frames from {place} on"
            return
        try:
            if is_copied[place] and not _is_same(bytes(packet), bytes(copy), lengths[0], lengths[1], known):
                yield f"frame {place} (in decoding order) is not the source's"
        except ValueError as error:
            yield f"frame {place} (in decoding order) is not made of units: {error}"


def _is_same(packet: bytes, copy: bytes, length_size: int, copy_length_size: int, known: set[bytes]) -> bool:
    carried = {unit for unit in units(copy, copy_length_size) if unit_type(unit) in _PARAMETER_SETS}
    own = known | {unit for unit in units(packet, length_size) if unit_type(unit) in _PARAMETER_SETS}
    found = slices(copy, copy_length_size)
    return bool(found) and carried <= own and found == slices(packet, length_size)


def _length_size(stream: "VideoStream") -> int | None:
    """Bytes of each unit's length; None where the stream has no avcC record (ISO/IEC 14496-15, 5.3.3.1)."""
    record = stream.codec_context.extradata or b""
    is_avc = stream.codec_context.name == "h264" and len(record) > 6 and record[0] == 1
    return (record[4] & 3) + 1 if is_avc else None


def _parameter_sets(stream: "VideoStream") -> Iterator[bytes]:
    record: Any = stream.codec_context.extradata
    position = 5
    for mask in (0x1F, 0xFF):  # the number of sequence sets shares its byte with reserved bits
        count = record[position] & mask
        position += 1
        for _ in range(count):
            size = int.from_bytes(record[position : position + 2])
            yield bytes(record[position + 2 : position + 2 + size])
            position += 2 + size
