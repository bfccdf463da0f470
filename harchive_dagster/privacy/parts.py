"""What is kept of a rendering so that the next one need not repeat it: finished parts, and each group's key.

A part holds the packets of a few groups; a key names everything that a group's bytes depend on. Both lie in the
restricted zone beside the rendered file. Nothing is encoded here.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harchive_dagster.privacy.picture_groups import PictureGroup, video_packets
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.recording.container import open_video, video_stream

_LENGTH_BYTES = 4
_FINISHED = ".part"
_PARTS = ".parts"
_KEYS = ".groups"


def group_key(group: PictureGroup, redactions: dict[int, list[Redaction]], setup: str) -> str:
    """A digest of all that an encoded group's bytes depend on.

    Args:
        group: says what the source's packets are.
        redactions: by frame.
        setup: what is the same for all groups: the encoder and its settings.
    """
    hidden = sorted(
        (index - group.first_frame, one.track_id, one.x, one.y, one.w, one.h, one.kind)
        for index in group.frames
        for one in redactions.get(index, ())
    )
    return hashlib.sha256(f"{setup}|{group.content}|{hidden}".encode()).hexdigest()


def part_path(folder: Path, keys: Iterable[str]) -> Path:
    """Where the part that consists of the groups with these keys lies, once it is complete."""
    return folder / f"{hashlib.sha256(''.join(keys).encode()).hexdigest()}{_FINISHED}"


def written_part(path: Path, groups: Iterable[Iterator[bytes]]) -> Iterator[int]:
    """Write a part, which appears whole; an interrupted one leaves nothing.

    Yields:
        After each group the number of its packets.
    """
    # One name for each process: what a killed one leaves is swept with the folder.
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        with draft.open("wb") as file:
            for group in groups:
                count = 0
                for packet in group:
                    file.write(len(packet).to_bytes(_LENGTH_BYTES) + packet)
                    count += 1
                yield count
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def sweep_drafts(folder: Path) -> None:
    """Remove what is not a finished part, and the folder if nothing else is in it."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.suffix != _FINISHED:
                path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()


def part_packets(path: Path) -> Iterator[bytes]:
    """The packets of a part in order."""
    with path.open("rb") as file:
        while length := file.read(_LENGTH_BYTES):
            yield file.read(int.from_bytes(length))


def keys_path(rendered: Path) -> Path:
    """Where the keys of a rendered file's groups are kept."""
    return rendered.with_suffix(_KEYS)


def parts_folder(target: Path) -> Path:
    """Where the parts of a file lie while it is made."""
    return target.with_name(f".{target.name}{_PARTS}")


def earlier_file(folder: Path, name: str) -> Path | None:
    """The newest file of a session in a folder, `<name>-<start of its digest>.mp4`, whose groups' keys were kept."""
    kept = [path for path in folder.glob(f"*{_KEYS}") if path.stem.rpartition("-")[0] == name]
    newest = max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest and newest.with_name(newest.name.removesuffix(_KEYS) + ".mp4")


def drop_parts(folder: Path) -> None:
    """Remove the finished parts of all interrupted calls in a folder: of recordings, too, that may not be shown now."""
    for parts in folder.glob(f".*{_PARTS}"):
        shutil.rmtree(parts)


@dataclass(frozen=True)
class _KeptGroup:
    key: str | None
    packet_count: int


def keep_keys(rendered: Path, sha256: str, groups: Sequence[PictureGroup], keys: Sequence[str | None]) -> None:
    """Write down which group lies where in a rendered file; None for copied ones."""
    rows = [[key, group.frame_count] for group, key in zip(groups, keys, strict=True)]
    path = keys_path(rendered)
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(json.dumps({"sha256": sha256, "groups": rows}))
    draft.replace(path)


class EarlierFile:
    """The groups of an earlier rendered file that can be taken over; of a missing or changed file there are none."""

    def __init__(self, rendered: Path | None, wanted: Iterable[str]) -> None:
        self._path = rendered
        self._places: dict[str, tuple[int, int]] = {}
        wanted = set(wanted)
        position = 0
        for kept in _kept_groups(rendered, wanted) if rendered else ():
            if kept.key in wanted:
                self._places.setdefault(kept.key, (position, kept.packet_count))
            position += kept.packet_count
        self._reader, self._position = self._read(), 0

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def packets(self, key: str) -> Iterator[bytes]:
        """The packets of a group, to be used up before the next call.

        The file is read once if groups are asked for in the order in which they lie there.
        """
        start, count = self._places[key]
        if start < self._position:
            self._reader, self._position = self._read(), 0
        yield from islice(self._reader, start - self._position, start - self._position + count)
        self._position = start + count

    def _read(self) -> Iterator[bytes]:
        if self._path:
            with open_video(self._path) as container:
                for packet in video_packets(container, video_stream(container, self._path), self._path):
                    yield bytes(packet)


def _kept_groups(rendered: Path, wanted: set[str]) -> list[_KeptGroup]:
    try:
        kept: Any = json.loads(keys_path(rendered).read_text())
        groups = [_KeptGroup(None if key is None else str(key), int(count)) for key, count in kept["groups"]]
        # Reading the whole file for its digest is worth it only where something can be taken from it.
        if wanted.isdisjoint(group.key for group in groups if group.key):
            return []
        with rendered.open("rb") as file:
            is_same = hashlib.file_digest(file, "sha256").hexdigest() == kept["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # nothing kept, or not by this version: everything is encoded anew
    return groups if is_same else []
