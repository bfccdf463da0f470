"""Attempts at a task that a robot can learn from, cut out of a session and scored. Labels come from `segments`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.intervals import Interval, merged, overlap_ns, without
from harchive_dagster.labels.segments import Segment, content_id
from harchive_dagster.landing.manifest import Marker, marked_intervals_ns

_KEPT_IDLE_NS = 500_000_000  # a policy should see the start of a movement, not the wait for it
_OBSTRUCTED = 0.5  # a frame with more of its blocks covered shows too little of the hands
_MOSTLY = 0.5
# Variance of the Laplacian at which the sharpness term is 0.5; 100 is the customary border between blurred and sharp.
_HALF_SHARPNESS = 100.0


@dataclass(frozen=True)
class Episode:
    """One attempt at a task, or one stretch of free recording.

    Attributes:
        episode_id: made of the content: unchanged as long as task and times are.
        episode_index: its place among the session's episodes.
        start_ns, end_ns: half-open, session time; never includes private time.
        frame_start, frame_end: half-open; exactly the frames with start_ns <= pts < end_ns.
        outcome: success | failure | unknown. Markers never tell success, and a `mistake` may have been mended within
            the attempt, so this is always `unknown` until somebody judges the picture.
        quality_score: geometric mean of the terms, so that one bad term cannot be bought off by the others.
        quality_terms: each in [0, 1]: visibility, sharpness, sync, continuity, activity.
    """

    episode_id: str
    episode_index: int
    task_id: str | None
    start_ns: int
    end_ns: int
    frame_start: int
    frame_end: int
    outcome: str
    quality_score: float
    quality_terms: dict[str, float]


@dataclass(frozen=True)
class _Recording:
    """What is known of each frame, and of the session's clock."""

    pts_ns: NDArray[np.int64]
    obstructed_fraction: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    has_gap: NDArray[np.bool_]
    sync_confidence: float
    idle: list[Interval]

    @property
    def interval(self) -> Interval:
        """From the first frame to the end of the last, which is taken to last as long as the median one."""
        steps = np.diff(self.pts_ns)
        last_ns = int(np.median(steps)) if len(steps) else 1
        return int(self.pts_ns[0]), int(self.pts_ns[-1]) + last_ns

    def frames(self, interval: Interval) -> tuple[int, int]:
        first, last = np.searchsorted(self.pts_ns, interval, side="left")
        return int(first), int(last)


def build_episodes(
    *,
    markers: Sequence[Marker],
    task_id: str | None,
    pts_ns: NDArray[np.int64],
    segments: Sequence[Segment],
    obstructed_fraction: NDArray[np.float64],
    sharpness: NDArray[np.float64],
    sync_confidence: float,
    has_gap: NDArray[np.bool_],
    min_duration_s: float = 2.0,
) -> tuple[list[Episode], list[str]]:
    """Cut a session into episodes.

    One for each task_start..task_end pair, or one of the whole recording where there is none. Private time splits it;
    each piece loses idle time at both ends but for half a second. Pieces that are too short or mostly
    obstructed are left out.

    Args:
        markers: the manifest's, sorted.
        task_id: the session's task; None for free recording.
        pts_ns: int64 [N], strictly increasing, session time.
        segments: the session's; idle ones of the activity layer are used.
        obstructed_fraction: [N], share of each frame's blocks that are covered; not finite counts as covered.
        sharpness: [N], variance of the Laplacian of each frame; not finite counts as blurred.
        sync_confidence: of the session's clock alignment, 0 to 1.
        has_gap: [N], the sensor window of the frame is not whole.
        min_duration_s: shortest episode.

    Returns:
        The episodes in order of time, and one sentence for each span that was left out.

    Raises:
        ValueError: the arrays differ in length.
    """
    lengths = {len(pts_ns), len(obstructed_fraction), len(sharpness), len(has_gap)}
    if len(lengths) > 1:
        raise ValueError(f"per-frame arrays have lengths {sorted(lengths)}")
    if len(pts_ns) == 0:
        return [], ["the recording has no frames"]
    idle = merged((s.start_ns, s.end_ns) for s in segments if s.layer == "activity" and s.label == "idle")
    recording = _Recording(
        pts_ns=pts_ns,
        obstructed_fraction=np.nan_to_num(obstructed_fraction, nan=1.0),
        sharpness=np.nan_to_num(sharpness, nan=0.0, posinf=0.0, neginf=0.0),
        has_gap=has_gap,
        sync_confidence=sync_confidence,
        idle=idle,
    )
    private = marked_intervals_ns(markers, "private")
    episodes: list[Episode] = []
    rejected: list[str] = []
    for span in marked_intervals_ns(markers, "task") or (recording.interval,):
        pieces = without(_clipped(span, recording.interval), private)
        if not pieces:
            rejected.append(f"span {_seconds(span)} left out: all of it is private or outside the recording")
        for piece in pieces:
            interval = _trimmed(piece, idle)
            reason = _reason_against(piece, interval, recording, min_duration_s)
            if reason is None:
                episodes.append(_episode(len(episodes), task_id, interval, recording))
            else:
                rejected.append(f"span {_seconds(piece)} left out: {reason}")
    return episodes, rejected


def _clipped(span: Interval, bounds: Interval) -> Interval:
    return max(span[0], bounds[0]), min(span[1], bounds[1])


def _trimmed(span: Interval, idle: Sequence[Interval]) -> Interval:
    start_ns, end_ns = span
    for idle_start_ns, idle_end_ns in idle:
        if idle_start_ns <= span[0] < idle_end_ns:
            start_ns = max(start_ns, min(idle_end_ns, end_ns) - _KEPT_IDLE_NS)
        if idle_start_ns < span[1] <= idle_end_ns:
            end_ns = min(end_ns, max(idle_start_ns, span[0]) + _KEPT_IDLE_NS)
    # Idle from end to end: both trims cross, and what is left is the last moment.
    return start_ns, max(end_ns, start_ns + 1)


def _reason_against(span: Interval, interval: Interval, recording: _Recording, min_duration_s: float) -> str | None:
    duration_s = (interval[1] - interval[0]) / 1e9
    if duration_s < min_duration_s:
        trimmed = " after idle ends were trimmed" if interval != span else ""
        return f"{duration_s:.2f} s long{trimmed}, shorter than {min_duration_s:g} s"
    first, last = recording.frames(interval)
    if first >= last:
        return "it holds no frame"
    covered = float(np.mean(recording.obstructed_fraction[first:last] > _OBSTRUCTED))
    if covered > _MOSTLY:
        return f"the view is obstructed in {covered:.0%} of its frames"
    return None


def _episode(index: int, task_id: str | None, interval: Interval, recording: _Recording) -> Episode:
    start_ns, end_ns = interval
    first, last = recording.frames(interval)
    terms = _quality_terms(interval, recording)
    return Episode(
        episode_id=content_id("ep", task_id, start_ns, end_ns),
        episode_index=index,
        task_id=task_id,
        start_ns=start_ns,
        end_ns=end_ns,
        frame_start=first,
        frame_end=last,
        outcome="unknown",
        quality_score=float(np.prod(list(terms.values())) ** (1 / len(terms))),
        quality_terms=terms,
    )


def _quality_terms(interval: Interval, recording: _Recording) -> dict[str, float]:
    first, last = recording.frames(interval)
    sharpness = float(np.median(recording.sharpness[first:last]))
    idle_ns = sum(overlap_ns(interval, idle) for idle in recording.idle)
    terms = {
        "visibility": 1.0 - float(np.mean(recording.obstructed_fraction[first:last])),
        "sharpness": sharpness / (sharpness + _HALF_SHARPNESS),
        "sync": recording.sync_confidence if np.isfinite(recording.sync_confidence) else 0.0,
        "continuity": 1.0 - float(np.mean(recording.has_gap[first:last])),
        "activity": 1.0 - idle_ns / (interval[1] - interval[0]),
    }
    return {name: float(np.clip(term, 0.0, 1.0)) for name, term in terms.items()}


def _seconds(interval: Interval) -> str:
    return f"{interval[0] / 1e9:.2f}-{interval[1] / 1e9:.2f} s"
