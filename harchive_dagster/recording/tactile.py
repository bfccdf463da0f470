"""Tactile arrays: what a glove or a fingertip pad felt. No file formats here."""

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

TACTILE_UNITS = frozenset({"raw", "N", "Pa"})
"""Counts of the converter, force per cell, pressure per cell."""


@dataclass(frozen=True, eq=False)
class TactileStream:
    """One array of pressure cells over time, on the device's own clock.

    Attributes:
        stream_id: the manifest's name for the stream.
        placement: where it is worn (left_hand, ...).
        t_device_ns: int64 [N], strictly increasing.
        values: float32 [N, R, C], row-major cells; R is 1 for a list of cells without a layout.
        unit: one of `TACTILE_UNITS`.

    Raises:
        LandingError: wrong shapes, an unknown unit, values that are not finite, or time that does not increase.
    """

    stream_id: str
    placement: str
    t_device_ns: NDArray[np.int64]
    values: NDArray[np.float32]
    unit: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "t_device_ns", read_only(self.t_device_ns, np.int64))
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused below
            object.__setattr__(self, "values", read_only(self.values, np.float32))
        check_samples(self.stream_id, self.t_device_ns, {"values": self.values})
        if self.values.ndim != 3 or not self.values.size:
            raise unreadable(
                self.stream_id, f"has values of shape {self.values.shape}, expected samples x rows x columns"
            )
        if self.unit not in TACTILE_UNITS:
            raise unreadable(self.stream_id, f"has unit {self.unit!r}, known are {', '.join(sorted(TACTILE_UNITS))}")
        check_finite(self.stream_id, {"values": self.values})
        check_increasing(self.stream_id, self.t_device_ns)

    def __len__(self) -> int:
        return len(self.t_device_ns)

    @property
    def rate_hz(self) -> float:
        """Median sampling rate; gaps do not bias it."""
        return median_rate_hz(self.t_device_ns)
