"""Session time of streams that show no rotation of their own: by a gyro on the same hardware clock, or by the
device's word. How a gyro's clock is measured is `alignment`'s business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.sync.clock import ClockMapping

SHARED = "shared"
"""Mapped like an inertial stream on the same hardware clock, which was aligned with the picture."""

DEVICE = "device"
"""What the device claims: nothing was measured."""

CLOCK_SOURCES = (SHARED, DEVICE)

_UTC_FROM_NS = 10**17
"""Above it, device time counts from 1970: it is March 1973 then, and 3.2 years for a clock that counts from boot."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class StreamClock:
    """How one stream's device time becomes session time, and which of `CLOCK_SOURCES` says so."""

    source: str
    mapping: ClockMapping

    def to_session_ns(self, t_device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map device times onto the camera's clock."""
        return self.mapping.to_session_ns(t_device_ns)


def counts_from_1970(first_device_ns: int) -> bool:
    """Whether device time is UTC. Any other counts from the device's start and says nothing of the recording's."""
    return first_device_ns > _UTC_FROM_NS


def stream_clock(first_device_ns: int, sharing: Sequence[ClockMapping], started_at: datetime) -> StreamClock:
    """The clock of one stream.

    Args:
        first_device_ns: device time of the stream's first sample, by which a clock that counts from 1970 is known.
        sharing: accepted mappings of inertial streams on the same hardware clock; the first one is taken.
        started_at: aware; wall clock at the first frame, where device time that counts from 1970 has its zero.
    """
    if sharing:
        return StreamClock(SHARED, sharing[0])
    zero_ns = _utc_ns(started_at) if counts_from_1970(first_device_ns) else 0
    return StreamClock(DEVICE, _shifted(-zero_ns))


def _shifted(offset_ns: int) -> ClockMapping:
    return ClockMapping(
        offset_ns=offset_ns, drift_ppm=0.0, camera_from_sensor=(1.0, 0.0, 0.0, 0.0), gyro_bias_rad_s=np.zeros(3)
    )


def _utc_ns(moment: datetime) -> int:
    """Whole microseconds, as a float of seconds since 1970 is off by 200 ns."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
