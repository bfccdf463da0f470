"""Session time of streams that show no rotation of their own: by a gyro on the same hardware clock, or by the
device's word. How a gyro's clock is measured is `alignment`'s business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.wall_clock import counts_from_1970, utc_ns
from harchive_dagster.sync.clock import Clock, ClockMapping, PiecewiseClock

CONTENT = "content"
"""Measured: the stream's own rotation was found in the picture's."""

SHARED = "shared"
"""Mapped like an inertial stream on the same hardware clock, which was itself measured."""

EVENT = "event"
"""Measured: knocks that both this stream and a measured one felt."""

DEVICE = "device"
"""What the device claims: nothing was measured."""

CLOCK_SOURCES = (CONTENT, SHARED, EVENT, DEVICE)


@dataclass(frozen=True, eq=False)
class StreamClock:
    """How one stream's device time becomes session time, and which of `CLOCK_SOURCES` says so."""

    source: str
    mapping: Clock

    def to_session_ns(self, t_device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map device times onto the camera's clock."""
        return self.mapping.to_session_ns(t_device_ns)

    def is_timed(self, t_device_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which samples have a place on the camera's clock, [N].

        Those of a stretch that no piece of the clock holds for have none, nor those that would come before an earlier
        one.
        """
        pieces = self.mapping.pieces if isinstance(self.mapping, PiecewiseClock) else (self.mapping,)
        is_held = np.zeros(len(t_device_ns), dtype=np.bool_)
        for piece in pieces:
            is_held |= (t_device_ns >= piece.device_start_ns) & (t_device_ns < piece.device_end_ns)
        t_ns = np.where(is_held, self.to_session_ns(t_device_ns), np.iinfo(np.int64).min)
        latest_ns = np.maximum.accumulate(t_ns)
        return np.asarray(is_held & np.append(True, latest_ns[1:] > latest_ns[:-1]))


def stream_clock(
    first_device_ns: int, sharing: Sequence[Clock], started_at: datetime, *, readout_ms: float | None = None
) -> StreamClock:
    """The clock of one stream; the first of the measured ones that it shares a clock with, or else its device's claim.

    Args:
        first_device_ns: as in `claimed_offset_ns`.
        sharing: measured mappings of streams on the same hardware clock.
        started_at: as in `claimed_offset_ns`.
        readout_ms: as in `device_claim`.
    """
    if sharing:
        return StreamClock(SHARED, sharing[0])
    return StreamClock(DEVICE, device_claim(first_device_ns, started_at, readout_ms=readout_ms))


def claimed_offset_ns(first_device_ns: int, started_at: datetime) -> int | None:
    """The offset of a device whose clock counts UTC; None where it counts from elsewhere.

    Args:
        first_device_ns: device time of the stream's first sample, by which a clock that counts from 1970 is known.
        started_at: aware; wall clock at the first frame, where device time that counts from 1970 has its zero.
    """
    return -utc_ns(started_at) if counts_from_1970(first_device_ns) else None


def device_claim(first_device_ns: int, started_at: datetime, *, readout_ms: float | None = None) -> ClockMapping:
    """Device time at its word: since the first frame, or since 1970.

    Args:
        first_device_ns: as in `claimed_offset_ns`.
        started_at: as in `claimed_offset_ns`.
        readout_ms: of the camera's rolling shutter. A frame's session time is when its middle row is exposed, as
            measured clocks have it; cameras stamp the first row, and by its clock the middle row is half of this later.
    """
    return ClockMapping(
        offset_ns=(claimed_offset_ns(first_device_ns, started_at) or 0) - round((readout_ms or 0.0) * 0.5e6),
        drift_ppm=0.0,
        camera_from_sensor=(1.0, 0.0, 0.0, 0.0),
        gyro_bias_rad_s=np.zeros(3),
    )
