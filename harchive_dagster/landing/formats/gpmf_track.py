"""Where GPMF telemetry lies in a file: a track of an MP4, or bare payloads. Finds every sensor's chunks and when the
container plays them; the numbers inside are read elsewhere.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from harchive_dagster.landing.formats.klv import Device, GpmfError, Sensor, devices, items
from harchive_dagster.landing.formats.protocol import Dropped

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_MAX_BYTES = 2**29
"""Telemetry that one file may hold: a day of a MAX. Sample tables can list the same bytes again and again."""

_MAX_ITEMS = 4_000_000
"""Payloads, devices and items that are kept, some 300 bytes each: twenty hours of a MAX."""

_KEPT = frozenset({"ACCL", "GYRO", "CORI", "IORI", "GRAV", "SHUT", "ISOE", "ISOG", "GPS5", "GPS9"})
"""Sensors that are read, or whose stamps are a frame's; of all others only the number of samples is kept."""

_NOMINAL_PAYLOAD_S = 1.001
"""What a GoPro puts into one payload: 30 frames at 29.97 Hz. Only bare payloads need to be told."""

_MOVIE_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
"""One of them begins an MP4 or QuickTime file, after four bytes of length."""


class UnopenableError(GpmfError):
    """A file that is not there, or no container: nothing says that it is of this format."""


@dataclass(frozen=True)
class Payload:
    """One payload's bytes and when the container plays it, in seconds from the container's zero."""

    start_s: float
    end_s: float
    data: bytes


@dataclass(frozen=True)
class Chunk:
    """What one payload holds of one sensor."""

    start_s: float
    end_s: float
    sensor: Sensor


@dataclass(frozen=True)
class DeviceTelemetry:
    """All payloads of one device, sorted by sensor.

    Attributes:
        chunks: by the samples' key, in order of payloads; chunks without samples are left out.
        counts: samples of every sensor, by key; also of those whose chunks are not kept.
        is_timed: the container says when a payload is played; nominal times otherwise.
    """

    chunks: Mapping[str, Sequence[Chunk]]
    counts: Mapping[str, int]
    is_timed: bool


@dataclass(frozen=True)
class Telemetry:
    """All payloads of a file.

    Attributes:
        devices: by their identifiers.
        dropped: payloads that could not be taken apart.
    """

    devices: Mapping[str, DeviceTelemetry]
    dropped: tuple[Dropped, ...] = ()


def read_telemetry(path: Path, *, payload_limit: int | None = None) -> Telemetry | None:
    """Find the telemetry of an MP4, a MOV or a file of bare payloads.

    A payload that is damaged is left out and counted: its samples become a gap.

    Args:
        path: the file.
        payload_limit: how many payloads to look at; all of them by default.

    Returns:
        The telemetry; None where the file has none.

    Raises:
        UnopenableError: the file cannot be read at all.
        GpmfError: it has too much telemetry, or no payload that can be taken apart.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
        if head[:4] == b"DEVC":
            return _sorted(_bare_payloads(path), payload_limit, is_timed=False)
        if head[4:] not in _MOVIE_BOXES:
            return None
        payloads = _track_payloads(path)
        first = next(payloads, None)
        return None if first is None else _sorted(chain((first,), payloads), payload_limit, is_timed=True)
    except OSError as error:
        raise UnopenableError(f"cannot be read ({error.strerror or type(error).__name__})") from None


@dataclass
class _Collected:
    """One device while its payloads come in."""

    chunks: defaultdict[str, list[Chunk]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, device: Device, payload: Payload) -> int:
        """Take in a device's part of a payload; how many items of it are kept."""
        kept = 0
        for sensor in device.sensors:
            self.counts[sensor.key] += sensor.count
            if sensor.count and sensor.key in _KEPT:
                self.chunks[sensor.key].append(Chunk(payload.start_s, payload.end_s, sensor))
                kept += len(sensor.samples) + len(sensor.properties)
        return kept


def _sorted(payloads: Iterable[Payload], limit: int | None, *, is_timed: bool) -> Telemetry:
    collected: defaultdict[str, _Collected] = defaultdict(_Collected)
    seen = damaged = total_bytes = total_items = 0
    for payload in islice(payloads, limit):
        seen += 1
        total_bytes += len(payload.data)
        found = _readable_devices(payload.data)
        damaged += not found
        total_items += 1 + sum(1 + collected[device.identifier].add(device, payload) for device in found)
        if total_bytes > _MAX_BYTES or total_items > _MAX_ITEMS:
            raise GpmfError(f"has more than {_MAX_BYTES} bytes or {_MAX_ITEMS} items of telemetry")
    if damaged == seen:
        raise GpmfError(f"has {seen} payloads of telemetry and none that can be read")
    return Telemetry(
        {name: DeviceTelemetry(one.chunks, one.counts, is_timed) for name, one in collected.items()},
        (Dropped("payloads of telemetry", damaged, "they are damaged"),) if damaged else (),
    )


def _bare_payloads(path: Path) -> Iterator[Payload]:
    """Payloads that follow each other without a container: a device that comes again begins the next one."""
    if path.stat().st_size > _MAX_BYTES:
        raise GpmfError(f"has more than {_MAX_BYTES} bytes of telemetry")
    whole = path.read_bytes()
    for place, (start, end) in enumerate(_bare_bounds(whole)):
        yield Payload(place * _NOMINAL_PAYLOAD_S, (place + 1) * _NOMINAL_PAYLOAD_S, whole[start:end])


def _bare_bounds(whole: bytes) -> Iterator[tuple[int, int]]:
    start = at = 0
    known = set[str]()
    try:
        for item in items(whole):
            end = at + 8 + -(-len(item.data) // 4) * 4
            identifiers = {device.identifier for device in _readable_devices(whole[at:end])}
            # A damaged device stands alone, so that its neighbours stay whole.
            if start < at and (not identifiers or not known or identifiers & known):
                yield start, at
                start, known = at, set()
            known |= identifiers
            at = end
    except GpmfError:  # the last device is cut off
        if start < at:
            yield start, at
        yield at, len(whole)
        return
    yield start, at


def _readable_devices(part: bytes) -> tuple[Device, ...]:
    """The devices of a payload; none where it is damaged."""
    try:
        return devices(part)
    except GpmfError:
        return ()


def _track_payloads(path: Path) -> Iterator[Payload]:
    """The packets of the first data track whose packets begin with DEVC.

    PyAV does not tell a data track's format (`gpmd`), and handler names are free text, so content decides. Other
    tracks are passed over by the demuxer, which then does not read their bytes.
    """
    import av
    from av.stream import Discard

    try:
        # Only the MP4 demuxer: guessing could end in one that opens other files.
        with av.open(str(path), format="mov", metadata_errors="replace") as container:
            for stream in container.streams:
                if stream.type != "data":
                    stream.discard = Discard.all
            if container.streams.data:
                yield from _data_packets(container)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
        raise UnopenableError(f"cannot be read as a video ({problem})") from None


def _data_packets(container: "InputContainer") -> Iterator[Payload]:
    from av.stream import Discard

    track: av.stream.Stream | None = None
    for packet in container.demux(*container.streams.data):
        if not packet.size or packet.pts is None or (track is not None and packet.stream.index != track.index):
            continue
        data = bytes(packet)
        if track is None and data[:4] != b"DEVC":
            packet.stream.discard = Discard.all
            continue
        track = packet.stream
        start_s = float(packet.pts * packet.time_base)
        yield Payload(start_s, start_s + float((packet.duration or 0) * packet.time_base), data)
