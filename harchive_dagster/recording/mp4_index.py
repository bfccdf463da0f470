"""What the index of an MP4 or MOV claims, looked at before a demuxer believes it. Samples and pictures are not read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MATROSKA = b"\x1a\x45\xdf\xa3"
_NESTS = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"free", b"hoov"}
"""The last two are padding, but FFmpeg looks for a lost index there."""

_INDEXES = {b"moov", b"moof"}

_COUNT_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4}
"""Boxes that say how many samples there are, and where in their content they do (ISO/IEC 14496-12, 8.7.3 and 8.8.8)."""

_MAX_BOXES = 1_000_000
"""16 h in fragments of a second have 630,000 with two tracks."""

_MAX_EDITS = 64
_RATE_ONE = b"\x00\x01\x00\x00"


def index_problem(path: Path | str) -> str | None:
    """Why the index cannot be used, as the rest of a sentence; None where nothing speaks against it.

    FFmpeg makes room for every sample that an index claims, some 70 bytes each, so that two kilobytes could take
    gigabytes; and it times frames wrongly where an edit list joins pieces of a recording with B frames.
    A file whose boxes make no sense is left to the demuxer to refuse.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        if file.read(len(_MATROSKA)) == _MATROSKA:
            return None
        return _first_problem(file, file.seek(0, os.SEEK_END))


def _first_problem(file: BinaryIO, size: int) -> str | None:
    claimed = media_bytes = 0
    has_index = False
    for number, (name, start, end) in enumerate(_boxes(file, size)):
        if number == _MAX_BOXES:
            return f"consists of more than {_MAX_BOXES} boxes"
        if name == b"cmov":
            return "has a compressed index, which is not read"
        has_index = has_index or name in _INDEXES
        media_bytes += end - start if name == b"mdat" else 0
        if name in _COUNT_AT:
            claimed += _integer(file, start + _COUNT_AT[name], 4)
            # The smallest sample has one byte.
            if claimed > size:
                return f"has an index that claims {claimed} samples in a file of {size} bytes"
        if name == b"elst" and (problem := _edit_problem(file, start, end)):
            return problem
    if media_bytes and not has_index:
        # Written last by many cameras: one that lost its power has left none.
        return f"has no index (moov), so none of its {media_bytes} bytes of pictures and sound has a time"
    return None


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name and range of the content of every box; a nest's are walked too, at whatever depth they are."""
    ranges = [(0, size)]
    while ranges:
        start, end = ranges.pop()
        file.seek(start)
        header = file.read(16)
        length, name, content = int.from_bytes(header[:4]), header[4:8], start + 8
        if length == 1:  # a 64-bit size follows the name
            length, content = int.from_bytes(header[8:16]), start + 16
        stop = start + length if length else end  # 0 means: to the end
        # Cut off or damaged: what is inside is still walked, what follows cannot be found.
        is_whole = content <= stop <= end
        stop = min(stop, end)
        if len(header) < 8 or stop < content:
            continue
        if is_whole and stop < end:
            ranges.append((stop, end))
        if name in _NESTS:
            ranges.append((content, stop))
        yield name, content, stop


def _edit_problem(file: BinaryIO, start: int, end: int) -> str | None:
    """An edit list may shift and trim a recording, not cut it apart or change its speed."""
    is_long = _integer(file, start, 1) == 1
    count = _integer(file, start + 4, 4)
    time_width = 8 if is_long else 4
    width = 2 * time_width + len(_RATE_ONE)
    if count > _MAX_EDITS or start + 8 + count * width > end:
        return f"has an edit list of {count} pieces"
    file.seek(start + 8)
    edits = [file.read(width) for _ in range(count)]
    # A media time of -1 shows nothing for a while.
    shown = [edit for edit in edits if edit[time_width : 2 * time_width] != b"\xff" * time_width]
    if len(shown) > 1:
        return f"was cut: its edit list joins {len(shown)} pieces"
    if any(edit[2 * time_width :] != _RATE_ONE for edit in shown):
        return "does not play at the speed it was recorded at, says its edit list"
    return None


def _integer(file: BinaryIO, start: int, width: int) -> int:
    file.seek(start)
    return int.from_bytes(file.read(width))
