"""Depth pictures as figures: when each was taken and what it holds. The pictures themselves stay in the upload."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.sample_checks import (
    check_increasing,
    check_samples,
    median_rate_hz,
    read_only,
    unreadable,
)


@dataclass(frozen=True, eq=False)
class DepthStream:
    """One depth camera over time, on the device's own clock.

    Attributes:
        stream_id: the manifest's name for the stream.
        placement: where it is worn (head, ...).
        t_device_ns: int64 [N], strictly increasing.
        width_px, height_px: of every picture.
        valid_fraction: float64 [N], share of pixels with a depth (not 0, not NaN).
        min_m, median_m, max_m: float64 [N] over the valid pixels; NaN where there is none.

    Raises:
        LandingError: wrong shapes, fractions outside 0 to 1, negative or infinite depths, or time that does not
            increase.
    """

    stream_id: str
    placement: str
    t_device_ns: NDArray[np.int64]
    width_px: int
    height_px: int
    valid_fraction: NDArray[np.float64]
    min_m: NDArray[np.float64]
    median_m: NDArray[np.float64]
    max_m: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_device_ns", read_only(self.t_device_ns, np.int64))
        names = ("valid_fraction", "min_m", "median_m", "max_m")
        figures = {name: read_only(getattr(self, name), np.float64) for name in names}
        for name, array in figures.items():
            object.__setattr__(self, name, array)
        check_samples(self.stream_id, self.t_device_ns, figures)
        if self.width_px < 1 or self.height_px < 1:
            raise unreadable(self.stream_id, f"has pictures of {self.width_px}x{self.height_px} px")
        if not ((self.valid_fraction >= 0) & (self.valid_fraction <= 1)).all():
            raise unreadable(self.stream_id, "has valid fractions outside 0 to 1")
        for name in names[1:]:
            if ((figures[name] < 0) | np.isinf(figures[name])).any():
                raise unreadable(self.stream_id, f"has {name} that is negative or infinite")
        check_increasing(self.stream_id, self.t_device_ns)

    def __len__(self) -> int:
        return len(self.t_device_ns)

    @property
    def rate_hz(self) -> float:
        """Median sampling rate; gaps do not bias it."""
        return median_rate_hz(self.t_device_ns)
