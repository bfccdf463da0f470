"""The measured relation of a sensor's clock to the camera's, and the evidence for it. How it is measured is
`alignment`'s business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SyncError
from harchive_dagster.reasons import Reason

EVER_NS = 1 << 62
"""Farther than any clock counts: 146 years."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ClockMapping:
    """`t_session = (1 + drift_ppm * 1e-6) * t_device + offset_ns`, and how the sensor sits on the camera.

    Attributes:
        offset_ns: session time at device time zero. With a device clock counting from boot this lies far outside the
            recording; compare alignments by where they put an instant of the recording.
        drift_ppm: how much faster session time runs than device time. Shrunk towards 0 where the recording is too
            short to tell.
        camera_from_sensor: quaternion w, x, y, z that rotates a sensor-axes vector into camera axes.
        gyro_bias_rad_s: float64 [3], sensor axes.
        device_start_ns, device_end_ns: the device times it holds for, half-open.
    """

    offset_ns: int
    drift_ppm: float
    camera_from_sensor: tuple[float, float, float, float]
    gyro_bias_rad_s: NDArray[np.float64]
    device_start_ns: int = -EVER_NS
    device_end_ns: int = EVER_NS

    def to_session_ns(self, t_device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map device times onto the camera's clock, rounded to the nanosecond."""
        # The whole number stays whole: a float64 of a clock counting from 1970 resolves 256 ns only.
        drifted = np.rint(t_device_ns.astype(np.float64) * (self.drift_ppm * 1e-6)).astype(np.int64)
        return np.asarray(t_device_ns + drifted + self.offset_ns, dtype=np.int64)

    def to_device_ns(self, t_session_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `to_session_ns`, exact to 2 ns."""
        drift = self.drift_ppm * 1e-6
        since = t_session_ns - self.offset_ns
        drifted = np.rint(since.astype(np.float64) * (drift / (1.0 + drift))).astype(np.int64)
        return np.asarray(since - drifted, dtype=np.int64)

    def is_broken(self, start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> NDArray[np.bool_]:  # noqa: ARG002
        """As in `PiecewiseClock`: one line has no breaks."""
        return np.zeros(len(start_ns), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class PiecewiseClock:
    """A device clock that was set, stopped or lost samples: one mapping for each piece that could be aligned.

    Instants that belong to no piece are mapped by the piece before them; `is_broken` tells them.

    Attributes:
        pieces: at least one, in the order of device time, not overlapping.
    """

    pieces: tuple[ClockMapping, ...]

    @property
    def longest(self) -> ClockMapping:
        """The piece that holds for most device time."""
        return max(self.pieces, key=lambda piece: piece.device_end_ns - piece.device_start_ns)

    @property
    def camera_from_sensor(self) -> tuple[float, float, float, float]:
        """As in `ClockMapping`: the mount does not change with the clock."""
        return self.longest.camera_from_sensor

    @property
    def gyro_bias_rad_s(self) -> NDArray[np.float64]:
        """As in `ClockMapping`."""
        return self.longest.gyro_bias_rad_s

    def to_session_ns(self, t_device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map device times onto the camera's clock."""
        starts_ns = np.array([piece.device_start_ns for piece in self.pieces[1:]], dtype=np.int64)
        return self._by_piece(t_device_ns, starts_ns, [piece.to_session_ns for piece in self.pieces])

    def to_device_ns(self, t_session_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `to_session_ns`."""
        starts_ns = self._bounds_ns[1:, 0]
        return self._by_piece(t_session_ns, starts_ns, [piece.to_device_ns for piece in self.pieces])

    def is_broken(self, start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether some of the session time [start, end) belongs to no piece, or to two. [N] each."""
        bounds_ns = self._bounds_ns
        first, last = (np.searchsorted(bounds_ns[1:, 0], t_ns, side="right") for t_ns in (start_ns, end_ns - 1))
        return np.asarray((first != last) | (start_ns < bounds_ns[first, 0]) | (end_ns > bounds_ns[first, 1]))

    @property
    def _bounds_ns(self) -> NDArray[np.int64]:
        """Session time of every piece's start and end, [K, 2]."""
        ends = [np.array([piece.device_start_ns, piece.device_end_ns]) for piece in self.pieces]
        return np.array([piece.to_session_ns(end) for piece, end in zip(self.pieces, ends, strict=True)])

    def _by_piece(
        self,
        t_ns: NDArray[np.int64],
        starts_ns: NDArray[np.int64],
        maps: Sequence[Callable[[NDArray[np.int64]], NDArray[np.int64]]],
    ) -> NDArray[np.int64]:
        piece = np.searchsorted(starts_ns, t_ns, side="right")
        mapped = np.empty_like(t_ns)
        for index, to_other in enumerate(maps):
            mapped[piece == index] = to_other(t_ns[piece == index])
        return mapped


Clock = ClockMapping | PiecewiseClock
"""What a stream's times are mapped with."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ClockAlignment(ClockMapping):
    """A mapping with what speaks for it, and the verdict.

    Attributes:
        stream_id: the sensor stream.
        piece_index: which piece of the recording, from 0; a clock that was never set has one.
        method: name and version of the method.
        offset_sd_ns: standard uncertainty of where the mapping puts an instant at mid-recording, and so of the offset;
            95 % of true values lie within 1.96 of it. None where nothing was measured.
        drift_sd_ppm: standard uncertainty of the drift; None where it was not measured.
        residual_ms: robust RMS of the windows' offsets about the line.
        max_residual_ms: the largest of them.
        correlation: share of the visual rotation's variance that the gyro explains (adjusted R2), 0 to 1.
        distinctness: unexplained variance at the best other lag over that at the chosen lag; 1 is a tie.
        confidence: 0 to 1; correlation, distinctness and residual in one figure, for sorting.
        window_count: windows with enough motion to be timed on their own.
        is_accepted: the alignment may be used.
        reason: why not, else None.
        detail: the same as one human sentence; empty when accepted.
        search_offset_ns: int64 [L], the lags tried in the coarse search, as offsets at mid-recording without drift.
        search_score: float64 [L], the score of each.
        window_t_ns: int64 [W], session times of the windows' centres.
        window_residual_ns: float64 [W], each window's offset minus the line's.
    """

    stream_id: str
    method: str
    offset_sd_ns: float | None
    drift_sd_ppm: float | None
    residual_ms: float
    max_residual_ms: float
    correlation: float
    distinctness: float
    confidence: float
    window_count: int
    is_accepted: bool
    reason: Reason | None
    detail: str
    search_offset_ns: NDArray[np.int64]
    search_score: NDArray[np.float64]
    window_t_ns: NDArray[np.int64]
    window_residual_ns: NDArray[np.float64]
    piece_index: int = 0

    def __post_init__(self) -> None:
        if self.is_accepted != (self.reason is None):
            raise ValueError("an alignment has a reason exactly when it is not accepted")
        arrays: list[NDArray[Any]] = [
            self.gyro_bias_rad_s,
            self.search_offset_ns,
            self.search_score,
            self.window_t_ns,
            self.window_residual_ns,
        ]
        for array in arrays:
            array.setflags(write=False)


def refusal(alignment: ClockAlignment) -> SyncError:
    """The error that sets a session aside whose stream could not be aligned.

    Raises:
        ValueError: the alignment was accepted.
    """
    if alignment.reason is None:
        raise ValueError("an accepted alignment is no refusal")
    return SyncError(
        alignment.reason,
        alignment.detail,
        mend="Check that the sensor was fixed to the camera and recorded at the same time, and that the camera's "
        "stabilisation was off.",
        evidence={
            "stream_id": alignment.stream_id,
            "correlation": round(alignment.correlation, 3),
            "distinctness": round(alignment.distinctness, 3),
            "window_count": alignment.window_count,
        },
    )
