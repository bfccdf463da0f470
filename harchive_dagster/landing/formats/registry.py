"""The list of formats, and how a file finds its reader. A new format is one module and one line here."""

from pathlib import Path

from harchive_dagster.landing.formats.aria_vrs import VRS
from harchive_dagster.landing.formats.depth_pictures import DEPTH_PICTURES, DEPTH_VIDEO
from harchive_dagster.landing.formats.gpmf import GPMF
from harchive_dagster.landing.formats.mcap_recording import MCAP
from harchive_dagster.landing.formats.protocol import Channel, FormatReader, Reading, unreadable
from harchive_dagster.landing.formats.sensor_logger import SENSOR_LOGGER
from harchive_dagster.landing.formats.tabular import CSV, PARQUET
from harchive_dagster.landing.manifest import StreamSpec

READERS: tuple[FormatReader, ...] = (
    CSV,
    PARQUET,
    MCAP,
    GPMF,
    VRS,
    SENSOR_LOGGER,
    DEPTH_PICTURES,
    DEPTH_VIDEO,
)
"""In the order in which a file of unknown format is tried."""


def reader_named(name: str) -> FormatReader | None:
    """The reader of a manifest's `format`; None where nobody reads it."""
    return next((reader for reader in READERS if reader.name == name), None)


def read_stream(path: Path, stream: StreamSpec, *, file_format: str, channel: str = "") -> Reading:
    """Read one stream with the reader that the manifest names.

    Raises:
        LandingError: nobody reads that format, or the file cannot be used.
    """
    reader = reader_named(file_format)
    if reader is None:
        known = ", ".join(sorted(reader.name for reader in READERS))
        raise unreadable(path, stream, f"has format {file_format!r}, known are {known}")
    return reader.read(path, stream, channel)


def probe(path: Path) -> tuple[str, tuple[Channel, ...]] | None:
    """Which format a file has, by its content, and what streams are in it; None where no reader knows it.

    Raises:
        LandingError: it is of a known format, and damaged.
    """
    for reader in READERS:
        channels = reader.probe(path)
        if channels:
            return reader.name, channels
    return None
