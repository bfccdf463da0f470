"""A session's frames as tracks see them: when it was looked for people, what is private, how the camera moved. Nothing
is linked or hidden here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import PrivacyError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.camera_path import CameraPath
from harchive_dagster.recording.private_time import shows_private_time

_PAD_NS = 200_000_000
_PAD_MARGIN_FRAMES = 2
"""Beyond what is known: detectors lose a face at the picture's border or behind a hand before it is gone."""

_UNEXPLAINED = 3.0
"""Weight of motion in a frame whose rotation could not be measured: nothing says where things went then."""

_MAX_MISSED = 3
_MAX_BRIDGE_NS = 700_000_000
"""A track survives this many missed detection frames, or this long: a turned head or a passing hand."""

_MAX_BLIND_NS = 2_000_000_000
"""A stretch without detection longer than this can hold a whole unseen encounter."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames of one session for the detections of one detector.

    Attributes:
        pts_ns: int64 [N], strictly increasing.
        detected: indices of the frames that the detector ran on.
        settled: those and private frames: nothing unknown remains there.
        is_private: bool [N].
        path_px: float64 [N], camera motion summed up to each frame, thrice where no rotation explains it.
        camera: how it was turned.
    """

    pts_ns: NDArray[np.int64]
    detected: NDArray[np.intp]
    settled: NDArray[np.intp]
    is_private: NDArray[np.bool_]
    path_px: NDArray[np.float64]
    camera: CameraPath

    @classmethod
    def of(
        cls,
        pts_ns: NDArray[np.int64],
        is_detected: NDArray[np.bool_],
        motion_px: NDArray[np.float64],
        camera: CameraPath,
        private_intervals_ns: Sequence[tuple[int, int]],
    ) -> Self:
        """Checked.

        Raises:
            PrivacyError: NOT_ANONYMIZABLE when arrays disagree, an interval is impossible, or more than two seconds
                outside private time were not looked at.
        """
        if not len(pts_ns) == len(is_detected) == len(motion_px) == len(camera.first_from_frame):
            raise impossible(
                f"{len(pts_ns)} frames have {len(is_detected)} detection flags, {len(motion_px)} motion values and "
                f"{len(camera.first_from_frame)} rotations."
            )
        if (np.diff(pts_ns) <= 0).any():
            raise impossible(f"frame time does not increase after frame {int(np.argmax(np.diff(pts_ns) <= 0))}.")
        is_private = shows_private_time(pts_ns, _checked_intervals(private_intervals_ns))
        is_settled = np.asarray(is_detected, bool) | is_private
        _check_blind_time(pts_ns, is_settled)
        steps = np.nan_to_num(np.abs(np.asarray(motion_px, np.float64)), posinf=0.0)
        return cls(
            pts_ns=pts_ns,
            detected=np.flatnonzero(is_detected),
            settled=np.flatnonzero(is_settled),
            is_private=is_private,
            path_px=np.cumsum(np.where(camera.is_turned, steps, _UNEXPLAINED * steps)),
            camera=camera,
        )

    def motion_px(self, first: int, last: int) -> float:
        """What the camera moved between two frames, summed up."""
        return float(self.path_px[last] - self.path_px[first])

    def is_bridgeable(self, last_seen: int, frame: int) -> bool:
        """Whether a track may go on at `frame` that was last seen at `last_seen`."""
        if self.is_private[last_seen:frame].any():
            return False
        is_soon = int(self.pts_ns[frame] - self.pts_ns[last_seen]) <= _MAX_BRIDGE_NS
        return is_soon or self.missed(last_seen, frame) <= _MAX_MISSED

    def missed(self, last_seen: int, frame: int) -> int:
        """Detection frames between two."""
        return int(np.searchsorted(self.detected, frame) - np.searchsorted(self.detected, last_seen, side="right"))

    def near(self, frame: int, step: int, within_ns: int) -> NDArray[np.intp]:
        """Frames after one (before it, if `step` is -1), nearest first, up to private time or a distance in time."""
        end_ns = int(self.pts_ns[frame]) + step * within_ns
        last = int(np.searchsorted(self.pts_ns, end_ns)) - (step > 0)
        frames = np.arange(frame + step, last + step, step)
        return np.asarray(frames[np.cumsum(self.is_private[frames]) == 0])

    def start_before(self, first: int) -> int:
        """The first frame that may show what was first seen in `first`: at least back to the look that did not."""
        earlier = self.settled[: np.searchsorted(self.settled, first)]
        settled = int(earlier[-1]) if len(earlier) else 0
        padded = int(np.searchsorted(self.pts_ns, self.pts_ns[first] - _PAD_NS))
        return max(0, min(settled, padded) - _PAD_MARGIN_FRAMES)

    def stop_after(self, last: int) -> int:
        """The frame after the last one that may show what was last seen in `last`."""
        later = self.settled[np.searchsorted(self.settled, last, side="right") :]
        settled = int(later[0]) if len(later) else len(self.pts_ns) - 1
        padded = int(np.searchsorted(self.pts_ns, self.pts_ns[last] + _PAD_NS, side="right")) - 1
        return min(len(self.pts_ns), max(settled, padded) + _PAD_MARGIN_FRAMES + 1)


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open index ranges in which the flags are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def impossible(what: str) -> PrivacyError:
    """The error of input that no redactions can rest on."""
    return PrivacyError(
        Reason.NOT_ANONYMIZABLE,
        f"redactions cannot be built: {what}",
        mend="Look at the recording again (frame_observations), and check the manifest's private markers.",
    )


def _checked_intervals(intervals_ns: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    for start_ns, end_ns in intervals_ns:
        if end_ns <= start_ns:
            raise impossible(f"private time ends at {end_ns} ns, not after its start at {start_ns} ns.")
    return intervals_ns


def _check_blind_time(pts_ns: NDArray[np.int64], is_settled: NDArray[np.bool_]) -> None:
    for start, stop in runs(~is_settled):
        from_ns = int(pts_ns[start])
        to_ns = int(pts_ns[min(stop, len(pts_ns) - 1)])
        if to_ns - from_ns > _MAX_BLIND_NS or stop - start == len(pts_ns):
            raise impossible(f"nobody looked for people between {from_ns} ns and {to_ns} ns.")
