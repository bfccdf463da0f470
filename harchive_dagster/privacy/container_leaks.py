"""Lists what a rendered file carries besides one plain video track. Pictures are judged in `audit`."""

import mmap
from collections.abc import Iterator
from pathlib import Path

from harchive_dagster.recording.container import open_video

_KNOWN_METADATA = {
    "major_brand": None,
    "minor_version": None,
    "compatible_brands": None,
    "language": "und",
    "handler_name": "VideoHandler",
}
"""What the container itself needs; None allows any value. Everything else counts as a leak, also what nobody
thought of."""

_KNOWN_BOXES = {
    "": {"ftyp", "free", "mdat", "moov"},
    "moov": {"mvhd", "trak"},
    "moov/trak": {"tkhd", "edts", "mdia"},
    "moov/trak/mdia": {"mdhd", "hdlr", "minf"},
    "moov/trak/mdia/minf": {"vmhd", "dinf", "stbl"},
}
"""The boxes of a plain MP4 with one video track (ISO/IEC 14496-12), by the box they lie in."""

_EMPTY_USER_DATA = (
    b"\x00\x00\x00\x35meta\x00\x00\x00\x00"
    b"\x00\x00\x00\x21hdlr\x00\x00\x00\x00\x00\x00\x00\x00mdirappl" + bytes(9) + b"\x00\x00\x00\x08ilst"
)
"""FFmpeg's muxer always writes this: user data whose list of tags is empty."""

_DATED_BOXES = {"mvhd", "tkhd", "mdhd"}


def container_leaks(path: Path) -> tuple[list[str], bool]:
    """One entry for each thing in an MP4 that a plain one does not need, and whether it has sound.

    Raises:
        RecordingError: FFmpeg cannot open the file.
    """
    tags, has_audio = _stray_tags(path)
    return [*tags, *_stray_boxes(path)], has_audio


def _stray_tags(path: Path) -> tuple[list[str], bool]:
    """What FFmpeg shows of the container beyond one plain video track, and whether there is audio."""
    with open_video(path) as container:
        tags = {f"file tag {name}": (name, value) for name, value in container.metadata.items()}
        for stream in container.streams:
            tags |= {f"stream {stream.index} tag {name}": (name, value) for name, value in stream.metadata.items()}
        leaks = [place for place, (name, value) in tags.items() if not _is_known(name, value)]
        leaks += [f"stream {other.index} of type {other.type}" for other in container.streams if other.type != "video"]
        leaks += [f"stream {other.index} is a second video" for other in container.streams.video[1:]]
        leaks += ["chapters"] * bool(container.chapters())
        return leaks, bool(container.streams.audio)


def _is_known(name: str, value: str) -> bool:
    return name in _KNOWN_METADATA and _KNOWN_METADATA[name] in (None, value)


def _stray_boxes(path: Path) -> list[str]:
    """Boxes that a plain MP4 does not have (`udta`, `meta`, `uuid`, ...), filled padding, and dates."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return list(_stray_in(data, 0, len(data), ""))


def _stray_in(data: mmap.mmap, start: int, stop: int, parent: str) -> Iterator[str]:
    for name, first, last in _boxes(data, start, stop):
        place = f"{parent}/{name}".lstrip("/")
        if name == "udta" and data[first:last] == _EMPTY_USER_DATA:
            continue
        if name not in _KNOWN_BOXES[parent]:
            yield f"box {place}"
        elif name == "free" and any(data[first:last]):
            yield "box free is not empty"
        elif name in _DATED_BOXES and _is_dated(data, first):
            yield f"box {place} has a date"
        elif place in _KNOWN_BOXES:
            yield from _stray_in(data, first, last, place)


def _boxes(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """Name and content range of the boxes side by side in a range."""
    while start + 8 <= stop:
        size, header = int.from_bytes(data[start : start + 4]), 8
        name = data[start + 4 : start + 8].decode("latin-1")
        if size == 1:  # a 64-bit size follows the name
            size, header = int.from_bytes(data[start + 8 : start + 16]), 16
        end = start + size if size else stop  # 0 means: to the end
        if (size and size < header) or end > stop:
            yield "broken", start, stop
            return
        yield name, start + header, end
        start = end


def _is_dated(data: mmap.mmap, content: int) -> bool:
    # Version 1 has 64-bit creation and modification times, version 0 has 32-bit ones; after version and flags.
    length = 16 if data[content] == 1 else 8
    return any(data[content + 4 : content + 4 + length])
