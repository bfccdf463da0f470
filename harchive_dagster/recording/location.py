"""Positions on Earth as a receiver gave them. They help to check a wall clock and are never stored in a table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.sample_checks import (
    check_finite,
    check_increasing,
    check_samples,
    median_rate_hz,
    read_only,
    unreadable,
)


@dataclass(frozen=True, eq=False)
class LocationStream:
    """One satellite receiver's fixes, on the device's own clock.

    Attributes:
        stream_id: the manifest's name for the stream.
        placement: where it is worn.
        t_device_ns: int64 [N], strictly increasing.
        latitude_deg, longitude_deg: float64 [N], WGS 84.
        altitude_m, speed_m_s: float64 [N]; NaN where the receiver does not know.
        utc_ns: int64 [N], the receiver's own UTC since 1970; None where the file has none.

    Raises:
        LandingError: wrong shapes, places that are not on Earth, infinities, or time that does not
            increase.
    """

    stream_id: str
    placement: str
    t_device_ns: NDArray[np.int64]
    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    altitude_m: NDArray[np.float64]
    speed_m_s: NDArray[np.float64]
    utc_ns: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_device_ns", read_only(self.t_device_ns, np.int64))
        names = ("latitude_deg", "longitude_deg", "altitude_m", "speed_m_s")
        figures = {name: read_only(getattr(self, name), np.float64) for name in names}
        for name, array in figures.items():
            object.__setattr__(self, name, array)
        if self.utc_ns is not None:
            object.__setattr__(self, "utc_ns", read_only(self.utc_ns, np.int64))
        check_samples(
            self.stream_id, self.t_device_ns, figures | ({} if self.utc_ns is None else {"utc_ns": self.utc_ns})
        )
        check_finite(self.stream_id, {name: figures[name] for name in names[:2]})
        if any(np.isinf(array).any() for array in figures.values()):
            raise unreadable(self.stream_id, "has infinite heights or speeds")
        if (np.abs(self.latitude_deg) > 90).any() or (np.abs(self.longitude_deg) > 180).any():
            raise unreadable(self.stream_id, "has places that are not on Earth")
        check_increasing(self.stream_id, self.t_device_ns)

    def __len__(self) -> int:
        return len(self.t_device_ns)

    @property
    def rate_hz(self) -> float:
        """Median sampling rate; gaps do not bias it."""
        return median_rate_hz(self.t_device_ns)
