"""What every format reader offers, and what it gives back. How a format is laid out belongs to its own module."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeAlias

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.depth import DepthStream
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.recording.pose import PoseStream
from harchive_dagster.recording.tactile import TactileStream

Stream: TypeAlias = ImuStream | PoseStream | TactileStream | DepthStream | LocationStream

KIND_OF: Mapping[type[Stream], str] = {
    ImuStream: "imu",
    PoseStream: "pose",
    TactileStream: "tactile",
    DepthStream: "depth",
    LocationStream: "gps",
}
"""A manifest's stream kind, by what a reader gives for it."""

MAX_SAMPLES = 50_000_000
"""14 hours at 1 kHz, about 4 GB as arrays: a small compressed file may not claim more than a host can hold."""

MAX_UNPACKED_BYTES = 8 * 2**30
"""What one archive may unpack to; a day of wrist data is 1 GB."""


@dataclass(frozen=True)
class Channel:
    """One stream inside a file, as probing found it.

    Attributes:
        name: what a manifest's `channel` says to address it; empty where a file holds one stream only.
        kind: one of the manifest's stream kinds.
        rate_hz: measured, or as the file declares it; None where it takes reading everything to know.
        placement: where the file itself says that it was worn; None where it does not.
    """

    name: str
    kind: str
    rate_hz: float | None = None
    placement: str | None = None


@dataclass(frozen=True)
class Dropped:
    """Something that was in a file and is not in the stream: nothing is left out silently.

    Attributes:
        what: of which there were `count`, such as "samples outside the video".
        count: how many.
        why: one clause.
    """

    what: str
    count: int
    why: str

    def __str__(self) -> str:
        return f"{self.count} {self.what} ({self.why})"


class TimeSource(Enum):
    """Whose clock a stream's device times are of. Streams whose sources do not agree never share a clock."""

    DEVICE = "device"
    """The one device that wrote the file: all its streams are timed alike."""

    STAMP = "stamp"
    """Whoever made the message: each topic of a file may have its own clock."""

    PUBLISH = "publish"
    """The publisher of the message, on whichever machine it ran."""

    LOG = "log"
    """The recorder, when the message came in: all topics of a file are timed alike."""

    @property
    def is_one_per_file(self) -> bool:
        """Whether two streams of one file that have this source are on one clock, without anybody saying so."""
        return self in (TimeSource.DEVICE, TimeSource.LOG)

    def agrees_with(self, other: "TimeSource") -> bool:
        """Whether times of both can be of one clock: a stamp is a device's own time, when a message came is not."""
        return self is other or {self, other} == {TimeSource.DEVICE, TimeSource.STAMP}


@dataclass(frozen=True)
class Reading:
    """What one channel of one file gave: the stream, what was left out of it, and whose clock it is on."""

    stream: Stream
    dropped: tuple[Dropped, ...] = ()
    time_source: TimeSource = TimeSource.DEVICE


class FormatReader(Protocol):
    """One file format. Content decides, never the file's name."""

    @property
    def name(self) -> str:
        """What a manifest's `format` says."""
        ...

    def probe(self, path: Path) -> tuple[Channel, ...]:
        """The streams in a file; empty where the file is not of this format at all.

        Looks at as little as it can: a header, an index, a few rows. May say yes to a file that `read` then refuses.

        Raises:
            LandingError: the file is of this format, and damaged.
        """
        ...

    def read(self, path: Path, stream: StreamSpec, channel: str = "") -> Reading:
        """One stream: SI units, sensor axes, device time as int64 ns.

        Args:
            path: the file.
            stream: the rig's declaration; its kind says what is wanted, its id and placement go into the result.
            channel: a name that `probe` gave; may be empty where there is one channel of that kind only.

        Raises:
            LandingError: SENSOR_UNREADABLE for a file, channel or value that cannot be used; SENSOR_NOT_MONOTONIC
                for device time that does not increase. Nothing else, whatever the bytes are.
        """
        ...


def unreadable(path: Path, stream: StreamSpec, problem: str, *, mend: str | None = None) -> LandingError:
    """The error of a sensor file that cannot be used; `problem` continues the sentence begun with its name."""
    return LandingError(
        Reason.SENSOR_UNREADABLE,
        f"stream {stream.stream_id!r}: file {path.name!a} {problem}.",
        mend=mend or "Re-export the sensor file from the device, or remove the stream from the manifest's rig.",
        evidence={"file": path.name},
    )


def damaged(path: Path, problem: str) -> LandingError:
    """The error of a file that is of a format, and cannot be probed."""
    return LandingError(
        Reason.SENSOR_UNREADABLE,
        f"file {path.name!a} {problem}.",
        mend="Copy the file from the device again.",
        evidence={"file": path.name},
    )


def choose_channel(path: Path, stream: StreamSpec, channel: str, found: tuple[Channel, ...]) -> Channel:
    """The channel that a manifest means: the one it names, or the only one of the stream's kind.

    Raises:
        LandingError: SENSOR_UNREADABLE when there is none, or several to choose from.
    """
    fitting = [one for one in found if one.kind == stream.kind and channel in ("", one.name)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(sorted(ascii(one.name) for one in found if one.kind == stream.kind)[:8]) or "none"
    wanted = f"channel {channel!a}" if channel else "a channel to choose by itself"
    raise unreadable(
        path,
        stream,
        f"does not have {wanted} of kind {stream.kind!r}; it has {names}",
        mend="Name one of them as the file's `channel` in the manifest.",
    )
