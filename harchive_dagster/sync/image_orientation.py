"""The camera's own rotation where stabilisation hides it in the picture: told by the camera, checked by the picture.
How sensors are aligned with it is `alignment`'s business, how telemetry is read that of the formats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SyncError
from harchive_dagster.reasons import Reason
from harchive_dagster.sync.alignment import Signals, refine
from harchive_dagster.sync.clock import ClockAlignment
from harchive_dagster.sync.lag_search import search_lag
from harchive_dagster.sync.mount import rotation_of
from harchive_dagster.sync.orientation_rates import relative_rotations, turning
from harchive_dagster.sync.verdict import is_distinct

METHOD = "image_orientation/1"

CAMERA_FROM_TELEMETRY = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])
"""From GoPro's axes (z up out of the camera, y out of its back, x to its left) to x right, y down, z forward."""

_STABILISED_RAD_S = 0.02
"""Root mean square rate at which a picture is turned against its camera; while stabilisation is off it stands still."""

_SEARCH_S = 1.0
"""Both are stamped by one device, frame by frame: a lag of more than a few frames would be another recording's."""

_AXES_MAX_RAD = 0.6
"""Between fitted and documented axes. A picture that hardly moves gives them to 10 degrees; a wrong order of axes is
off by 90."""

_CERTAIN_INLIERS = 1000
"""Of a rotation that was measured by the camera: as good as any number of tracked features."""


@dataclass(frozen=True, eq=False)
class CameraRotation:
    """The camera's rotation as sensors on the same head feel it; arguments of `alignment.align_gyro`.

    Attributes:
        t_ns: int64 [M], session time.
        rotation_rad: float64 [M, 3], since the previous entry, camera axes.
        rotation_inliers: int32 [M], 0 where not known.
        correlation, distinctness, offset_sd_ns: of the check against the picture, as in `ClockAlignment`; None where
            this is the picture's own rotation.
    """

    t_ns: NDArray[np.int64]
    rotation_rad: NDArray[np.float64]
    rotation_inliers: NDArray[np.int32]
    correlation: float | None = None
    distinctness: float | None = None
    offset_sd_ns: float = 0.0

    def qualified(self, alignments: Sequence[ClockAlignment]) -> tuple[ClockAlignment, ...]:
        """Alignments with this rotation as alignments with the picture: no better than what the picture confirmed."""
        if self.correlation is None or self.distinctness is None:
            return tuple(alignments)
        confirmed = self.correlation * (1.0 - 1.0 / self.distinctness)
        return tuple(
            replace(
                alignment,
                method=METHOD,
                offset_sd_ns=alignment.offset_sd_ns and float(np.hypot(alignment.offset_sd_ns, self.offset_sd_ns)),
                correlation=min(alignment.correlation, self.correlation),
                distinctness=min(alignment.distinctness, self.distinctness),
                confidence=min(alignment.confidence, confirmed),
            )
            for alignment in alignments
        )


def is_stabilised(image_t_ns: NDArray[np.int64], image_wxyz: NDArray[np.float64]) -> bool:
    """Whether a camera turned its pictures: their orientation against the camera changes.

    Args:
        image_t_ns: int64 [M]; may be empty.
        image_wxyz: float64 [M, 4], NaN where not known.
    """
    stream = turning("image", "head", image_t_ns, image_wxyz)
    return stream is not None and float(np.sqrt((stream.gyro_rad_s**2).sum(axis=1).mean())) > _STABILISED_RAD_S


def camera_rotation(
    picture: CameraRotation,
    camera_t_ns: NDArray[np.int64],
    camera_wxyz: NDArray[np.float64],
    image_t_ns: NDArray[np.int64],
    image_wxyz: NDArray[np.float64],
) -> CameraRotation:
    """What the camera of a stabilised picture did, on the picture's clock.

    The picture turns as camera * image, one sample of each for every frame: the frames' times are those samples'. What
    could be wrong is which frame a sample belongs to, so the picture's own rotation must show that product's, and at
    a lag of less than half a frame. Finer than that the picture does not time it: little motion is left in it.

    Args:
        picture: what was seen.
        camera_t_ns: int64 [N].
        camera_wxyz: float64 [N, 4], turns the camera's axes now into its first ones.
        image_t_ns: int64 [M].
        image_wxyz: float64 [M, 4], turns the picture's axes into the camera's.

    Raises:
        SyncError: SYNC_UNKNOWN, the picture does not confirm it.
    """
    if len(camera_t_ns) < 3 or len(picture.t_ns) < 3:
        raise _unconfirmed(f"{len(camera_t_ns)} orientations and {len(picture.t_ns)} frames cannot be compared")
    t_ns = _on_frames(camera_t_ns, picture.t_ns)
    matched = _nearest(image_wxyz, image_t_ns, camera_t_ns)
    stream = turning("image_orientation", "head", t_ns, camera_wxyz, matched)
    if stream is None:
        raise _unconfirmed("the camera tells its picture's orientation for a moment only")
    signals = Signals.of(picture.t_ns, picture.rotation_rad, picture.rotation_inliers, stream)
    same_clock_s = signals.centre_s(0)
    search = search_lag(signals.visual, signals.gyro, centre_s=same_clock_s, search_s=_SEARCH_S)
    if not is_distinct(search):
        raise _unconfirmed(f"no lag explains the picture's rotation by it: R2 is {search.score:.2f}")
    fit = refine(signals.visual, signals.gyro, search)
    half_frame_s = float(np.median(np.diff(picture.t_ns))) * 0.5e-9
    middle_s = float(signals.visual.middles_s.mean())
    lag_s = float(fit.line.at(np.array([middle_s]))[0]) - same_clock_s
    sd_s = fit.line.sd_at(middle_s)
    if abs(lag_s) > half_frame_s or sd_s > half_frame_s or not len(fit.windows.lag_s):
        raise _unconfirmed(f"the picture follows it by {lag_s * 1e3:.0f} ms, uncertain by {sd_s * 1e3:.0f} ms")
    apart = rotation_of(fit.steady_map) @ CAMERA_FROM_TELEMETRY.T
    if np.arccos(np.clip((np.trace(apart) - 1) / 2, -1.0, 1.0)) > _AXES_MAX_RAD:
        raise _unconfirmed("the picture turns about other axes than it says")
    turns, is_known = relative_rotations(camera_wxyz)
    return CameraRotation(
        t_ns=t_ns,
        rotation_rad=turns @ CAMERA_FROM_TELEMETRY.T,
        rotation_inliers=np.where(is_known, _CERTAIN_INLIERS, 0).astype(np.int32),
        correlation=fit.score,
        distinctness=search.distinctness,
        offset_sd_ns=sd_s * 1e9,
    )


def _on_frames(t_ns: NDArray[np.int64], pts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sample times moved by a constant onto the frames: the first sample is the first frame's."""
    begun_ns = t_ns - t_ns[0] + pts_ns[0]
    after = np.clip(np.searchsorted(pts_ns, begun_ns), 1, len(pts_ns) - 1)
    before_ns, after_ns = pts_ns[after - 1] - begun_ns, pts_ns[after] - begun_ns
    nearest_ns = np.where(-before_ns <= after_ns, before_ns, after_ns)
    return np.asarray(begun_ns + round(float(np.median(nearest_ns))), dtype=np.int64)


def _nearest(wxyz: NDArray[np.float64], t_ns: NDArray[np.int64], asked_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sample of the same frame, NaN where there is none."""
    if len(t_ns) < 2:
        return np.full((len(asked_ns), 4), np.nan)
    after = np.clip(np.searchsorted(t_ns, asked_ns), 1, len(t_ns) - 1)
    index = np.where(asked_ns - t_ns[after - 1] <= t_ns[after] - asked_ns, after - 1, after)
    is_same = np.abs(t_ns[index] - asked_ns) < np.median(np.diff(t_ns)) / 2
    return np.where(is_same[:, None], wxyz[index], np.nan)


def _unconfirmed(problem: str) -> SyncError:
    return SyncError(
        Reason.SYNC_UNKNOWN,
        f"the picture is stabilised in the camera, and does not confirm the orientation the camera tells: {problem}.",
        mend="Record with stabilisation switched off, or move the head more.",
    )
