"""What a file is, by its content: a video, sensor streams, or both. What an upload makes of it is for `packing`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harchive_dagster.errors import SessionRejectedError
from harchive_dagster.landing.fields import parse_moment
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.landing.formats.registry import READERS, probe, read_stream
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.landing.placing import SourceFile
from harchive_dagster.recording.container import VideoFacts, open_video, probe_video

_MP4_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
"""What an MP4 or QuickTime file can begin with; the four bytes before it are the box's size."""

_MATROSKA_MAGIC = b"\x1a\x45\xdf\xa3"


@dataclass(frozen=True)
class InspectedFile:
    """One file and what it holds.

    Attributes:
        video: None where it is no video.
        video_format: mp4 or mkv; empty where it is no video.
        created_at: what the container says about when it was recorded; None where it says nothing.
        sensor_format: what a manifest's `format` says; empty where there are no streams.
        channels: the streams in it.
    """

    source: SourceFile
    video: VideoFacts | None
    video_format: str
    created_at: datetime | None
    sensor_format: str
    channels: tuple[Channel, ...]


def inspect_file(path: Path, problems: list[str]) -> InspectedFile | None:
    """Hash a file and find out what it is; None, with sentences in `problems`, where it cannot be packed."""
    shown = ascii(path.name)
    try:
        source = SourceFile.of(path)
        video_format = _video_format(path)
    except OSError as error:
        problems.append(f"file {shown} cannot be read: {error.strerror}")
        return None
    known = len(problems)
    sensor_format, channels = _probe_streams(path, problems)
    if any(channel.kind == "depth" for channel in channels):
        video_format = ""  # pictures of distances may come as a video, which is not the cap's
    video = _probe_video(path, problems) if video_format else None
    if len(problems) > known:
        return None
    if not (video or channels):
        formats = ", ".join(sorted(reader.name for reader in READERS))
        problems.append(f"file {shown} is no MP4, MOV or Matroska video and of no known sensor format ({formats})")
        return None
    created_at = _creation_time(path) if video else None
    return InspectedFile(source, video, video_format, created_at, sensor_format, channels)


def measured_rate_hz(file: InspectedFile, spec: StreamSpec, channel: Channel) -> float:
    """A stream's rate: what probing found, else by reading all of it.

    Raises:
        LandingError: the stream cannot be read.
    """
    if channel.rate_hz is not None:
        return channel.rate_hz
    reading = read_stream(file.source.path, spec, file_format=file.sensor_format, channel=channel.name)
    return reading.stream.rate_hz


def _video_format(path: Path) -> str:
    with path.open("rb") as content:
        start = content.read(8)
    if start.startswith(_MATROSKA_MAGIC):
        return "mkv"
    return "mp4" if start[4:] in _MP4_BOXES else ""


def _probe_streams(path: Path, problems: list[str]) -> tuple[str, tuple[Channel, ...]]:
    try:
        found = probe(path)
    except SessionRejectedError as error:
        problems.append(error.detail.rstrip("."))
        return "", ()
    return found or ("", ())


def _probe_video(path: Path, problems: list[str]) -> VideoFacts | None:
    try:
        return probe_video(path)
    except SessionRejectedError as error:
        problems.append(error.detail.rstrip("."))
        return None


def _creation_time(path: Path) -> datetime | None:
    with open_video(path) as container:
        return parse_moment(container.metadata.get("creation_time", ""))
