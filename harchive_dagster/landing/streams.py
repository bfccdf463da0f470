"""The sensor streams of one upload, by way of its manifest. How a file format is read is in `formats`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats.protocol import KIND_OF, Dropped, Reading, TimeSource
from harchive_dagster.landing.formats.registry import read_stream
from harchive_dagster.landing.manifest import Manifest, ManifestFile, StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.depth import DepthStream
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

S = TypeVar("S", ImuStream, PoseStream, TactileStream, DepthStream, LocationStream)


def read_streams(
    folder: Path, manifest: Manifest, kind: type[S]
) -> Iterator[tuple[S, StreamSpec, tuple[Dropped, ...]]]:
    """Read every stream of one kind that the manifest declares a file for, sorted by stream id, one at a time.

    Args:
        folder: the session's.
        manifest: what it says about itself.
        kind: which streams are wanted, such as `ImuStream`.

    Yields:
        The stream, the rig's declaration of it, and what reading left out.

    Raises:
        LandingError: a file cannot be read.
    """
    for stream, spec, reading in readings_of(folder, manifest, kind):
        yield stream, spec, reading.dropped


def readings_of(
    folder: Path, manifest: Manifest, kind: type[S], *, placement: str | None = None
) -> Iterator[tuple[S, StreamSpec, Reading]]:
    """As `read_streams`, with everything that reading told; only those of one placement, if it is given."""
    declared = [(file, manifest.stream_of(file)) for file in manifest.sensor_files]
    for file, spec in sorted(declared, key=lambda pair: pair[1].stream_id):
        if spec.kind == KIND_OF[kind] and placement in (None, spec.placement):
            reading = _read(folder, file, spec)
            assert isinstance(reading.stream, kind), f"{file.format} gave {type(reading.stream)} for {spec.kind}"
            yield reading.stream, spec, reading


def time_source_of(folder: Path, manifest: Manifest, stream_id: str) -> TimeSource:
    """Whose clock a stream is on that another stage has read: no table keeps it, so its file is read again.

    Raises:
        LandingError: the file cannot be read.
    """
    file = next(file for file in manifest.sensor_files if file.stream_id == stream_id)
    return _read(folder, file, manifest.stream_of(file)).time_source


def _read(folder: Path, file: ManifestFile, spec: StreamSpec) -> Reading:
    return read_stream(folder / file.path, spec, file_format=file.format, channel=file.channel)


def require_inertial(manifest: Manifest) -> None:
    """Refuse an upload without any inertial stream: nothing could put it on the camera's clock.

    Raises:
        LandingError: SENSOR_MISSING.
    """
    if not any(manifest.stream_of(file).kind == "imu" for file in manifest.sensor_files):
        raise LandingError(
            Reason.SENSOR_MISSING,
            "the upload has no inertial stream.",
            mend="Check that the cap's motion sensor was recording, and that the manifest lists its file.",
            evidence={"streams": [spec.stream_id for spec in manifest.rig.streams]},
        )
