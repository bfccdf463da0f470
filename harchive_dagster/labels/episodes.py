"""Attempts at a task that a robot can learn from, cut out of a session and scored. Labels come from `segments`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.intervals import Interval, merged, overlap_ns, without
from harchive_dagster.labels.outcomes import UNKNOWN, outcome_of
from harchive_dagster.labels.segments import Segment, content_id
from harchive_dagster.landing.manifest import Marker, marked_intervals_ns

_KEPT_IDLE_NS = 500_000_000  # a policy should see the start of a movement, not the wait for it
OBSTRUCTED = 0.5
"""A frame with a larger share of its blocks covered shows too little of the hands."""
_MOSTLY = 0.5
_MOSTLY_IDLE = 0.8  # looking and thinking belong to work; four fifths of an attempt do not
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
        action_start_ns, action_end_ns: from the first action inside to the end of the last: labelled ones, else
            proposed manipulation; None where there is neither.
        transition_start_ns, transition_end_ns: the gaps between consecutive actions, in order.
        trimmed_idle_s: seconds of rest that were cut off both ends.
        outcome: success | failure | unknown, from annotators or the worker's task_end; a `mistake` may have been mended
            within the attempt and decides nothing.
        outcome_source: annotator | worker_marker; None where nobody judged.
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
    action_start_ns: int | None
    action_end_ns: int | None
    transition_start_ns: tuple[int, ...]
    transition_end_ns: tuple[int, ...]
    trimmed_idle_s: float
    outcome: str
    outcome_source: str | None
    quality_score: float
    quality_terms: dict[str, float]


@dataclass(frozen=True)
class RejectedSpan:
    """A stretch that made no episode.

    Attributes:
        start_ns, end_ns: half-open, session time, before idle ends were trimmed; may lie outside the recording.
        reason: one of `REJECTIONS`.
        detail: one clause for a person.
    """

    start_ns: int
    end_ns: int
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"span {self.start_ns / 1e9:.2f}-{self.end_ns / 1e9:.2f} s left out: {self.detail}"


REJECTIONS = ("no_frame", "private", "short", "idle", "obstructed", "unsynced")
"""Why a span made no episode. Codes are part of the data contract: add, never rename."""


@dataclass(frozen=True)
class _Recording:
    """What is known of each frame, and of the session's clock."""

    pts_ns: NDArray[np.int64]
    obstructed_fraction: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    has_gap: NDArray[np.bool_]
    is_synced: NDArray[np.bool_]
    sync_confidence: float
    idle: list[Interval]
    actions: list[Interval]

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
    is_synced: NDArray[np.bool_],
    annotations: Sequence[Annotation] = (),
    min_duration_s: float = 2.0,
) -> tuple[list[Episode], list[RejectedSpan]]:
    """Cut a session into episodes.

    One for each task_start..task_end pair, or one of the whole recording where there is none. Private time splits it;
    each piece loses idle time at both ends but for half a second. Pieces that are too short, idle, mostly
    obstructed or mostly without sensors are left out. Of a span that private time splits, each piece has the outcome.

    Args:
        markers: the manifest's, sorted.
        task_id: the session's task; None for free recording.
        pts_ns: int64 [N], strictly increasing, session time.
        segments: the session's; idle ones of the activity layer are used.
        obstructed_fraction: [N], share of each frame's blocks that are covered; not finite counts as covered.
        sharpness: [N], variance of the Laplacian of each frame; not finite counts as blurred.
        sync_confidence: of the session's clock alignment, 0 to 1.
        has_gap: [N], the sensor window of the frame is not whole.
        is_synced: [N], at least one sensor was measured at the frame.
        annotations: the session's; those of the episode layer judge outcomes.
        min_duration_s: shortest episode.

    Returns:
        The episodes in order of time, and the spans that were left out.

    Raises:
        ValueError: the arrays differ in length.
    """
    lengths = {len(pts_ns), len(obstructed_fraction), len(sharpness), len(has_gap), len(is_synced)}
    if len(lengths) > 1:
        raise ValueError(f"per-frame arrays have lengths {sorted(lengths)}")
    if len(pts_ns) == 0:
        return [], [RejectedSpan(0, 0, "no_frame", "the recording has no frames")]
    idle = merged((s.start_ns, s.end_ns) for s in segments if s.layer == "activity" and s.label == "idle")
    recording = _Recording(
        pts_ns=pts_ns,
        obstructed_fraction=np.nan_to_num(obstructed_fraction, nan=1.0),
        sharpness=np.nan_to_num(sharpness, nan=0.0, posinf=0.0, neginf=0.0),
        has_gap=has_gap,
        is_synced=is_synced,
        sync_confidence=sync_confidence,
        idle=idle,
        actions=_actions(segments),
    )
    private = marked_intervals_ns(markers, "private")
    episodes: list[Episode] = []
    rejected: list[RejectedSpan] = []
    for span in marked_intervals_ns(markers, "task") or (recording.interval,):
        pieces = without(_clipped(span, recording.interval), private)
        if not pieces:
            rejected.append(RejectedSpan(*span, "private", "all of it is private or outside the recording"))
        outcome = outcome_of(span, markers, annotations)
        for piece in pieces:
            interval = _trimmed(piece, idle)
            found = _reason_against(piece, interval, recording, min_duration_s)
            if found is None:
                episode = _episode(len(episodes), task_id, piece, interval, recording)
                episodes.append(replace(episode, outcome=outcome.name, outcome_source=outcome.source))
            else:
                rejected.append(RejectedSpan(*piece, *found))
    return episodes, rejected


def _actions(segments: Iterable[Segment]) -> list[Interval]:
    """Labelled actions, each on its own: two that touch are two. Proposed manipulation where nobody labelled."""
    by_layer = {
        layer: sorted((s.start_ns, s.end_ns) for s in segments if s.layer == layer and (label in (None, s.label)))
        for layer, label in (("action", None), ("activity", "manipulation"))
    }
    return by_layer["action"] or by_layer["activity"]


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


def _reason_against(
    span: Interval, interval: Interval, recording: _Recording, min_duration_s: float
) -> tuple[str, str] | None:
    duration_s = (interval[1] - interval[0]) / 1e9
    if duration_s < min_duration_s:
        is_idle = interval != span and (span[1] - span[0]) / 1e9 >= min_duration_s
        trimmed = " after idle ends were trimmed" if interval != span else ""
        return "idle" if is_idle else "short", f"{duration_s:.2f} s long{trimmed}, shorter than {min_duration_s:g} s"
    first, last = recording.frames(interval)
    if first >= last:
        return "no_frame", "it holds no frame"
    covered = float(np.mean(recording.obstructed_fraction[first:last] > OBSTRUCTED))
    if covered > _MOSTLY:
        return "obstructed", f"the view is obstructed in {covered:.0%} of its frames"
    unsynced = 1.0 - float(np.mean(recording.is_synced[first:last]))
    if unsynced > _MOSTLY:
        return "unsynced", f"no sensor was measured at {unsynced:.0%} of its frames"
    resting = _idle_fraction(interval, recording)
    if resting > _MOSTLY_IDLE:
        return "idle", f"the worker rests for {resting:.0%} of it"
    return None


def _episode(index: int, task_id: str | None, span: Interval, interval: Interval, recording: _Recording) -> Episode:
    start_ns, end_ns = interval
    first, last = recording.frames(interval)
    terms = _quality_terms(interval, recording)
    actions = [_clipped(action, interval) for action in recording.actions if overlap_ns(action, interval)]
    acted = (actions[0][0], max(end for _, end in actions)) if actions else None
    gaps = without(acted, actions) if acted else []
    return Episode(
        episode_id=content_id("ep", task_id, start_ns, end_ns),
        episode_index=index,
        task_id=task_id,
        start_ns=start_ns,
        end_ns=end_ns,
        frame_start=first,
        frame_end=last,
        action_start_ns=acted[0] if acted else None,
        action_end_ns=acted[1] if acted else None,
        transition_start_ns=tuple(start for start, _ in gaps),
        transition_end_ns=tuple(end for _, end in gaps),
        trimmed_idle_s=((span[1] - span[0]) - (end_ns - start_ns)) / 1e9,
        outcome=UNKNOWN,
        outcome_source=None,
        quality_score=float(np.prod(list(terms.values())) ** (1 / len(terms))),
        quality_terms=terms,
    )


def _quality_terms(interval: Interval, recording: _Recording) -> dict[str, float]:
    first, last = recording.frames(interval)
    sharpness = float(np.median(recording.sharpness[first:last]))
    terms = {
        "visibility": 1.0 - float(np.mean(recording.obstructed_fraction[first:last])),
        "sharpness": sharpness / (sharpness + _HALF_SHARPNESS),
        "sync": recording.sync_confidence if np.isfinite(recording.sync_confidence) else 0.0,
        "continuity": 1.0 - float(np.mean(recording.has_gap[first:last])),
        "activity": 1.0 - _idle_fraction(interval, recording),
    }
    return {name: float(np.clip(term, 0.0, 1.0)) for name, term in terms.items()}


def _idle_fraction(interval: Interval, recording: _Recording) -> float:
    return sum(overlap_ns(interval, idle) for idle in recording.idle) / (interval[1] - interval[0])
