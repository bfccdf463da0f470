"""All inertial streams of one upload, by way of its manifest. How a file format is read is in `sensor_files`."""

from pathlib import Path

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.manifest import Manifest, StreamSpec
from harchive_dagster.landing.sensor_files import read_imu
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream


def read_streams(folder: Path, manifest: Manifest) -> list[tuple[ImuStream, StreamSpec]]:
    """Read every inertial stream that the manifest declares, sorted by stream id.

    Raises:
        LandingError: a file cannot be read, or no inertial stream is there at all.
    """
    declared = [(file, manifest.stream_of(file)) for file in manifest.sensor_files]
    inertial = sorted(
        ((file, spec) for file, spec in declared if spec.kind == "imu"), key=lambda pair: pair[1].stream_id
    )
    if not inertial:
        raise LandingError(
            Reason.SENSOR_MISSING,
            "the upload has no inertial stream.",
            mend="Check that the cap's motion sensor was recording, and that the manifest lists its file.",
            evidence={"streams": [spec.stream_id for spec in manifest.rig.streams]},
        )
    return [(read_imu(folder / file.path, spec, file_format=file.format), spec) for file, spec in inertial]
