"""Depth pictures: 16-bit gray PNGs in a zip archive, or a 16-bit gray video. Only figures are kept of each picture.

The archive holds the PNGs, `timestamps.csv` (columns `file`, `t_device_ns`) and, where a count is not a millimetre,
`depth.json` with {"unit_m": 0.001}. A count of 0 means that the pixel has no depth.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError, RecordingError
from harchive_dagster.landing.archives import Archive, looks_like_zip, open_archive
from harchive_dagster.landing.fields import INT64_MAX
from harchive_dagster.landing.formats.csv_columns import header_names, read_columns
from harchive_dagster.landing.formats.depth_counts import (
    MAX_PICTURE_PX,
    MILLIMETRE_M,
    PNG_START_BYTES,
    decoded_png,
    figures,
    png_size,
)
from harchive_dagster.landing.formats.protocol import (
    MAX_UNPACKED_BYTES,
    Channel,
    Dropped,
    Reading,
    choose_channel,
    unreadable,
)
from harchive_dagster.landing.formats.tabular_kinds import TIME_COLUMN, ColumnError, column
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.recording.container import open_video, video_stream
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.depth import DepthStream

if TYPE_CHECKING:
    import pyarrow as pa

_TIMESTAMPS = "timestamps.csv"
_FILE_COLUMN = "file"
_MAX_TIMESTAMPS_BYTES = 32 * 2**20  # a line of 160 bytes for as many pictures as an archive may hold
_UNIT = "depth.json"
_MAX_UNIT_BYTES = 4096

_MAX_TOTAL_PX = 4 * MAX_UNPACKED_BYTES
"""An hour of 640 x 480 at 30 a second. Pictures of something real take more than two bits a pixel packed, so that an
archive of them reaches its bound in bytes first; those of nothing would be decoded for hours."""

_CHANNEL = Channel("", "depth")


class DepthPicturesReader:
    """A zip archive with one 16-bit gray PNG for each depth picture."""

    name = "depth_pictures"

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """One channel where the archive has a list of pictures with times."""
        if not looks_like_zip(path):
            return ()
        with open_archive(path) as archive:
            return (_CHANNEL,) if _lists_pictures(archive) else ()

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """Figures of every listed picture."""
        choose_channel(path, stream, channel, (_CHANNEL,))
        if not path.is_file():
            raise unreadable(path, stream, "is not there")
        with open_archive(path) as archive:
            if not _lists_pictures(archive):
                raise unreadable(path, stream, f"has no {_TIMESTAMPS} with the columns {_FILE_COLUMN}, {TIME_COLUMN}")
            names, t_device_ns = _listed(archive, stream)
            pictures = zip(t_device_ns.tolist(), _pictures(archive, stream, names), strict=True)
            depth = _stream(path, stream, pictures, _unit_m(archive, stream))
            extra = sum(name.lower().endswith(".png") for name in archive.sizes) - len(names)
            return Reading(depth, (Dropped("depth pictures", extra, f"not in {_TIMESTAMPS}"),) if extra else ())


class DepthVideoReader:
    """A Matroska file whose video is 16-bit gray, such as FFV1; one count is a millimetre.

    Device time is the container's own presentation time. Matroska does not count its pictures: a file that broke off is
    read as far as it goes.
    """

    name = "depth_video"

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """One channel where the video track is 16-bit gray; other videos are not ours to judge."""
        try:
            return (_CHANNEL,) if _begins_as_matroska(path) and _is_gray16(path) else ()
        except RecordingError:
            return ()

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """Figures of every picture."""
        choose_channel(path, stream, channel, (_CHANNEL,))
        if not path.is_file():
            raise unreadable(path, stream, "is not there")
        try:
            if not (_begins_as_matroska(path) and _is_gray16(path)):
                raise unreadable(path, stream, "is no Matroska file with a 16-bit gray video")
            return Reading(_stream(path, stream, _frames(path, stream), MILLIMETRE_M))
        except RecordingError as error:
            raise unreadable(path, stream, f"cannot be decoded: {error.detail[:200].rstrip('.')}") from None


def _lists_pictures(archive: Archive) -> bool:
    member = archive.find(_TIMESTAMPS)
    if member is None:
        return False
    with archive.open(member) as file:
        first_line = file.readline(1000)
    return {_FILE_COLUMN, TIME_COLUMN} <= set(header_names(io.BytesIO(first_line)))


def _listed(archive: Archive, stream: StreamSpec) -> tuple[list[str], NDArray[np.int64]]:
    """Members and times, as the list has them."""
    import pyarrow as pa

    listing = archive.find(_TIMESTAMPS) or _TIMESTAMPS
    raw = io.BytesIO(archive.read(listing, at_most_bytes=_MAX_TIMESTAMPS_BYTES))
    types = {_FILE_COLUMN: pa.string(), TIME_COLUMN: pa.int64()}
    try:
        table = read_columns(raw, types.get)
        t_device_ns, files = column(table, TIME_COLUMN), _files(table)
    except ColumnError as error:
        raise unreadable(archive.path, stream, f"holds {listing[:80]!a}, which {error}") from None
    folder = listing[: -len(_TIMESTAMPS)]
    names = [folder + file for file in files]
    absent = next((name for name in names if name not in archive.sizes), None)
    if absent is not None or len(set(names)) != len(names):
        problem = "lists a picture twice" if absent is None else f"lists {absent[:80]!a}, which it does not hold"
        raise unreadable(archive.path, stream, problem)
    return names, t_device_ns


def _files(table: "pa.Table") -> list[str]:
    if _FILE_COLUMN not in table.column_names or table.column(_FILE_COLUMN).null_count:
        raise ColumnError(f"has no column {_FILE_COLUMN!r}, or one with empty cells")
    files: list[str] = table.column(_FILE_COLUMN).to_pylist()
    return files


def _unit_m(archive: Archive, stream: StreamSpec) -> float:
    member = archive.find(_UNIT)
    if member is None:
        return MILLIMETRE_M
    try:
        said = json.loads(archive.read(member, at_most_bytes=_MAX_UNIT_BYTES))
    except (ValueError, RecursionError):
        said = None
    unit_m = said.get("unit_m") if isinstance(said, dict) else None
    # A metre or more would put the nearest thing farther away than 16 bits of millimetres put the farthest.
    if isinstance(unit_m, bool) or not isinstance(unit_m, int | float) or not 0 < unit_m < 1:
        raise unreadable(archive.path, stream, f"holds {_UNIT} without a unit_m above 0 and below 1")
    return float(unit_m)


def _pictures(archive: Archive, stream: StreamSpec, names: Sequence[str]) -> Iterator[NDArray[np.uint16]]:
    total_px = 0
    for name in names:
        with archive.open(name) as member:
            height, width = png_size(member.read(PNG_START_BYTES))
        px = height * width
        # Packed pixels never take much more than the pixels themselves; the rest would be other things.
        if not 0 < px <= MAX_PICTURE_PX or archive.sizes[name] > 4 * px + 2**16:
            raise _no_picture(archive, stream, name)
        total_px += px
    if total_px > _MAX_TOTAL_PX:
        problem = f"holds pictures of {total_px} pixels together, at most {_MAX_TOTAL_PX} are read"
        raise unreadable(archive.path, stream, problem)
    for name in names:
        with archive.open(name) as member:
            picture = decoded_png(member.read())
        if picture is None:
            raise _no_picture(archive, stream, name)
        yield picture


def _no_picture(archive: Archive, stream: StreamSpec, name: str) -> LandingError:
    problem = f"holds {name[:80]!a}, which is no 16-bit gray PNG of at most {MAX_PICTURE_PX} pixels"
    return unreadable(archive.path, stream, problem)


def _begins_as_matroska(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x1aE\xdf\xa3"
    except OSError:
        return False


def _is_gray16(path: Path) -> bool:
    with open_video(path) as container:
        track = video_stream(container, path)
        px = track.width * track.height
        return track.pix_fmt in {"gray16le", "gray16be"} and 0 < px <= MAX_PICTURE_PX


def _frames(path: Path, stream: StreamSpec) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    for decoded in iterate_frames(path):
        frame = decoded.frame
        if not frame.format.name.startswith("gray16") or frame.pts is None or frame.time_base is None:
            raise unreadable(path, stream, f"has no 16-bit gray picture at frame {decoded.frame_index}")
        t_ns = round(frame.pts * Fraction(frame.time_base) * 10**9)
        if abs(t_ns) > INT64_MAX:
            raise unreadable(path, stream, f"has a time beyond 292 years at frame {decoded.frame_index}")
        yield t_ns, frame.to_ndarray().astype(np.uint16, copy=False)


def _stream(
    path: Path, stream: StreamSpec, pictures: Iterable[tuple[int, NDArray[np.uint16]]], unit_m: float
) -> DepthStream:
    times: list[int] = []
    rows: list[tuple[float, float, float, float]] = []
    shape: tuple[int, ...] = (0, 0)
    for t_ns, picture in pictures:
        if times and picture.shape != shape:
            problem = f"changes its pictures from {shape} to {picture.shape} rows and columns at picture {len(times)}"
            raise unreadable(path, stream, problem)
        shape = picture.shape
        times.append(t_ns)
        rows.append(figures(picture, unit_m))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return DepthStream(
        stream_id=stream.stream_id,
        placement=stream.placement,
        t_device_ns=np.array(times, dtype=np.int64),
        width_px=shape[1],
        height_px=shape[0],
        valid_fraction=table[:, 0],
        min_m=table[:, 1],
        median_m=table[:, 2],
        max_m=table[:, 3],
    )


DEPTH_PICTURES = DepthPicturesReader()
DEPTH_VIDEO = DepthVideoReader()
