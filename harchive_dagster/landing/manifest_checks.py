"""Contradictions within one manifest, and with the folders it lies in. Single fields are checked as they are read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.fields import parse_day
from harchive_dagster.landing.layout import link_on_path
from harchive_dagster.reasons import Reason

if TYPE_CHECKING:
    from harchive_dagster.landing.manifest import Manifest, ManifestFile, Marker

_PUBLISHED_KINDS = ("imu", "pose", "tactile", "depth")

_LATE_PRESS_NS = 1_000_000_000
"""The button outlives the camera by a moment; a figure in another unit, or of another recording, is farther off."""

_SHOWN_MARKERS = 4


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
    yield from _stream_problems(manifest)
    for stream_id in repeated([file.stream_id or "" for file in manifest.sensor_files]):
        yield f"stream {stream_id!r} has more than one sensor file"
    videos = sum(file.role == "video" for file in files)
    if files and videos != 1:
        yield f"{videos} files have the role video, expected exactly one"
    lenses = sum(file.role == "calibration" and not file.stream_id for file in files)
    if lenses > 1:
        yield f"{lenses} files are calibrations of the camera, expected at most one"
    streams = {stream.stream_id for stream in manifest.rig.streams}
    for file in files:
        if file.stream_id and file.stream_id not in streams:
            yield f"file {file.path!r} belongs to stream {file.stream_id!r}, which the rig does not declare"
        link = link_on_path(folder, file.path)
        if link is not None:
            yield f"file {file.path!r} is reached through the link {link!r}"


def _stream_problems(manifest: "Manifest") -> Iterator[str]:
    streams = {stream.stream_id: stream for stream in manifest.rig.streams}
    recorded = {file.stream_id for file in manifest.sensor_files}
    is_told = bool(manifest.files) and all(
        file.role and (file.stream_id or file.role != "sensor") for file in manifest.files
    )
    for kind in _PUBLISHED_KINDS:
        worn = [stream for stream in streams.values() if stream.kind == kind]
        for placement in repeated([stream.placement for stream in worn]):
            yield f"two {kind} streams are worn at {placement!r}, and published rows are told apart by placement"
        for stream in worn:
            if is_told and stream.stream_id and stream.stream_id not in recorded:
                yield f"stream {stream.stream_id!r} is of kind {kind!r} and has no sensor file"
    channels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file in manifest.sensor_files:
        if file.path and file.stream_id in streams:
            channels[file.path, streams[file.stream_id].kind].append(file.channel)
    for (path, kind), named in channels.items():
        if len(named) > 1 and "" in named:
            yield f"file {path!r} holds {len(named)} streams of kind {kind!r}, and not each names its channel"
        for channel in repeated(named):
            yield f"channel {channel!r} of file {path!r} is declared for two streams of kind {kind!r}"


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


def require_private_within(markers: "Sequence[Marker]", duration_ns: int) -> None:
    """Refuse private time that is not in the video: what the worker wanted cut would be published whole.

    Args:
        markers: in session time.
        duration_ns: of the video.

    Raises:
        LandingError: MANIFEST_INVALID, naming each marker more than a second beyond the video's end.
    """
    late = [
        f"markers[{index}] ({marker.kind}) is at {marker.at_ns / 1e9:.3f} s"
        for index, marker in enumerate(markers)
        if marker.kind.startswith("private_") and marker.at_ns > duration_ns + _LATE_PRESS_NS
    ]
    if late:
        raise LandingError(
            Reason.MANIFEST_INVALID,
            f"{'; '.join(late[:_SHOWN_MARKERS])}, beyond the video, which lasts {duration_ns / 1e9:.3f} s.",
            mend="Correct the markers: at_ns counts nanoseconds from the first frame.",
            evidence={"late_markers": len(late), "duration_ns": duration_ns},
        )


def repeated(values: Iterable[str]) -> list[str]:
    """The values that occur more than once, sorted; empty texts are placeholders and do not count."""
    return sorted(value for value, count in Counter(values).items() if value and count > 1)
