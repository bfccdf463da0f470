"""Contradictions within one manifest, and with the folders it lies in. Single fields are checked as they are read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from harchive_dagster.landing.fields import parse_day
from harchive_dagster.landing.layout import link_on_path

if TYPE_CHECKING:
    from harchive_dagster.landing.manifest import Manifest, ManifestFile, Marker

_PUBLISHED_KINDS = ("imu", "pose", "tactile", "depth")


def contradictions(manifest: "Manifest", folder: Path) -> Iterator[str]:
    """Everything that is wrong between fields, one sentence each.

    A field that holds a placeholder was reported when it was read, and is passed over here.
    """
    yield from _folder_problems(manifest, folder)
    yield from _file_problems(manifest, folder)
    if list(manifest.markers) != sorted(manifest.markers, key=lambda marker: marker.at_ns):
        yield "markers are not sorted by at_ns"
    yield from _pairing_problems(manifest.markers, "task")
    yield from _pairing_problems(manifest.markers, "private")


def _folder_problems(manifest: "Manifest", folder: Path) -> Iterator[str]:
    for name, value, place in (
        ("session_id", manifest.session_id, folder),
        ("worker_id", manifest.worker_id, folder.parent),
    ):
        if value and value != place.name:
            yield f"{name} is {value!r}, the folder says {place.name!a}"
    if manifest.collected_on == date.min:
        return
    if parse_day(folder.parent.parent.name) != manifest.collected_on:
        yield f"collected_on is '{manifest.collected_on}', the folder says {folder.parent.parent.name!a}"
    # started_at may be written in UTC and a shift may pass midnight: one day apart is no contradiction.
    apart_days = abs((manifest.started_at.date() - manifest.collected_on).days)
    if manifest.started_at.year > 1 and apart_days > 1:
        yield f"started_at is {manifest.started_at.isoformat()}, {apart_days} days from collected_on"


def _file_problems(manifest: "Manifest", folder: Path) -> Iterator[str]:
    files = manifest.files
    yield from _repeated_files(files)
    for stream_id in repeated([file.stream_id or "" for file in manifest.sensor_files]):
        yield f"stream {stream_id!r} has more than one sensor file"
    for kind in _PUBLISHED_KINDS:
        worn = [stream.placement for stream in manifest.rig.streams if stream.kind == kind]
        for placement in repeated(worn):
            yield f"two {kind} streams are worn at {placement!r}, and published rows are told apart by placement"
    videos = sum(file.role == "video" for file in files)
    if files and videos != 1:
        yield f"{videos} files have the role video, expected exactly one"
    streams = {stream.stream_id for stream in manifest.rig.streams}
    for file in files:
        if file.stream_id and file.stream_id not in streams:
            yield f"file {file.path!r} belongs to stream {file.stream_id!r}, which the rig does not declare"
        link = link_on_path(folder, file.path)
        if link is not None:
            yield f"file {file.path!r} is reached through the link {link!r}"


def _repeated_files(files: "Sequence[ManifestFile]") -> Iterator[str]:
    """One file may hold several streams, and a video telemetry: then every declaration says the same of its bytes."""
    for path in repeated([file.path for file in files]):
        same = [file for file in files if file.path == path]
        if len({(file.bytes, file.sha256) for file in same}) > 1:
            yield f"file {path!r} is declared more than once, with different sizes or digests"
        if any(file.role not in ("video", "sensor") for file in same) or repeated(
            [f"{file.role} {file.stream_id}" for file in same]
        ):
            yield f"file {path!r} is declared more than once for the same thing"


def _pairing_problems(markers: "Sequence[Marker]", kind: str) -> Iterator[str]:
    opened: Marker | None = None
    for index, marker in enumerate(markers):
        if marker.kind == f"{kind}_start":
            if opened is not None:
                yield f"markers[{index}] starts {kind} time that was already started at {opened.at_ns} ns"
            opened = marker
        elif marker.kind == f"{kind}_end":
            if opened is None:
                yield f"markers[{index}] ends {kind} time that was never started"
            elif marker.at_ns <= opened.at_ns:
                yield f"markers[{index}] ends {kind} time at {marker.at_ns} ns, not after its start"
            opened = None
    if opened is not None:
        yield f"{kind} time started at {opened.at_ns} ns is never ended"


def repeated(values: Iterable[str]) -> list[str]:
    """The values that occur more than once, sorted; empty texts are placeholders and do not count."""
    return sorted(value for value, count in Counter(values).items() if value and count > 1)
