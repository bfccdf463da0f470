"""Proposals of the activity layer: idle, head turn, locomotion and manipulation from the head's motion, and a covered
camera from the frames. What speaks for an activity is for `proposals_evidence`; hands would need a model of hands.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.episodes import OBSTRUCTED
from harchive_dagster.labels.intervals import Interval, without
from harchive_dagster.labels.layers import CAMERA_COVERED
from harchive_dagster.labels.proposals_confidence import load_calibration
from harchive_dagster.labels.proposals_evidence import CELL_NS, MOVEMENTS, Evidence, weigh
from harchive_dagster.labels.segments import Segment, make_segment

MOTION_MODEL = ("head-motion-changes", "2.0.0")
COVER_MODEL = ("frame-obstruction", "1.0.0")
"""Name and version."""

MIN_DURATION_NS = 500_000_000
_MIN_CELLS = MIN_DURATION_NS // CELL_NS
# Two cuts pay for themselves where two quantities lie 4 off what is around for 0.4 s (8 cells x 2 x 16 > 2 x 120).
# Tuned on generated recordings, where 100 to 150 do nearly as well.
_PENALTY = 120.0
_BLOCK_CELLS = 6_000  # five minutes; the search takes quadratic time where nothing changes

Stretch: TypeAlias = tuple[int, int]
"""Cells, half-open."""

_UNCOVERED_NS = 500_000_000  # fingers that move over the lens let light through for shorter
_COVERED_NS = 1_000_000_000  # a hand that passes in front of the lens is gone sooner
_LONGEST_FRAME_NS = 1_000_000_000  # nothing is said about time in which the camera took no pictures


@dataclass(frozen=True)
class Proposal:
    """One activity from when to when.

    Attributes:
        start_ns, end_ns: half-open, session time.
        label: one of the activities.
        strength: what its confidence is computed from besides its duration: what speaks for it, and by how much more
            than for the next best; means over its time.
    """

    start_ns: int
    end_ns: int
    label: str
    strength: tuple[float, float]


def propose_activity(
    t_ns: NDArray[np.int64],
    accel: NDArray[np.float64],
    gyro: NDArray[np.float64],
    pts_ns: NDArray[np.int64],
    obstructed_fraction: NDArray[np.float64],
) -> list[Segment]:
    """Propose the activity layer.

    Args:
        t_ns: int64 [N], session time, increasing; any rate from about 10 Hz on.
        accel: [N, 3] specific force in m/s^2, in any axes that it shares with `gyro`.
        gyro: [N, 3] in rad/s. Samples with a value that is not finite count as missing.
        pts_ns: int64 [M], session time of the frames, increasing.
        obstructed_fraction: [M], share of each frame's blocks without texture. Private frames carry zeros.

    Returns:
        Segments without overlaps, in order. Of less than a second of motion there are none; time without samples has
        none, nor time without frames a covered one. Confidence: `proposals_confidence`.

    Raises:
        ValueError: the arrays' shapes do not belong together.
    """
    calibration = load_calibration()
    return [
        make_segment(
            layer="activity",
            interval=(found.start_ns, found.end_ns),
            label=found.label,
            source="model",
            confidence=calibration.confidence(found.label, *found.strength, found.end_ns - found.start_ns),
            model=model,
            model_version=version,
        )
        for found in activities(t_ns, accel, gyro, pts_ns, obstructed_fraction)
        for model, version in [COVER_MODEL if found.label == CAMERA_COVERED else MOTION_MODEL]
    ]


def activities(
    t_ns: NDArray[np.int64],
    accel: NDArray[np.float64],
    gyro: NDArray[np.float64],
    pts_ns: NDArray[np.int64],
    obstructed_fraction: NDArray[np.float64],
    cut: Callable[[Evidence], list[Stretch]] | None = None,
) -> list[Proposal]:
    """What `propose_activity` makes segments of, before their confidence. Same arguments and errors.

    `cut` is how time is cut into stretches of one activity each, for benchmarks to compare; by `changes` otherwise.
    """
    if accel.shape != (len(t_ns), 3) or gyro.shape != (len(t_ns), 3):
        raise ValueError(f"accel {accel.shape} and gyro {gyro.shape} must both be ({len(t_ns)}, 3)")
    if obstructed_fraction.shape != pts_ns.shape:
        raise ValueError(
            f"obstructed_fraction {obstructed_fraction.shape} must have the shape {pts_ns.shape} of pts_ns"
        )
    covered = _covered(pts_ns, obstructed_fraction)
    evidence = weigh(t_ns, accel, gyro)
    moving = labelled(evidence, (cut or changes)(evidence)) if evidence else []
    return sorted([*covered, *_uncovered(moving, covered)], key=lambda found: found.start_ns)


def changes(evidence: Evidence) -> list[Stretch]:
    """Stretches of cells between which the evidence changes; only measured ones.

    Change points in the mean by PELT (Killick, Fearnhead & Eckley 2012), in blocks that end at a change where there is
    one in their second half, so that hours in which nothing happens take no longer than others.
    """
    stretches: list[Stretch] = []
    for start, end in runs_of(evidence.is_measured):
        first = start
        while first < end:
            last = min(first + _BLOCK_CELLS, end)
            cuts = [first + cut for cut in _change_points(evidence.log_odds[first:last])]
            if last < end and cuts and cuts[-1] - first > _BLOCK_CELLS // 2:
                last = cuts.pop()
            edges = [first, *cuts, last]
            stretches += pairwise(edges)
            first = last
    return stretches


def _change_points(log_odds: NDArray[np.float64]) -> list[int]:
    from ruptures import KernelCPD

    if len(log_odds) < 2 * _MIN_CELLS:
        return []
    ends = KernelCPD(kernel="linear", min_size=_MIN_CELLS).fit(log_odds).predict(pen=_PENALTY)
    return [int(end) for end in ends[:-1]]


def labelled(evidence: Evidence, stretches: Sequence[Stretch]) -> list[Proposal]:
    """The activity that explains each stretch best; neighbours of one activity are one."""
    log_shares = evidence.log_shares
    sums = np.concatenate([np.zeros((1, len(MOVEMENTS))), np.cumsum(log_shares, axis=0)])
    runs: list[tuple[int, int, int]] = []
    for first, last in stretches:
        best = int(np.argmax(sums[last] - sums[first]))
        if runs and runs[-1][1:] == (first, best):
            first = runs.pop()[0]
        runs.append((first, last, best))
    found = []
    for first, last, best in runs:
        means = (sums[last] - sums[first]) / (last - first)
        interval = _time(evidence, first, last)
        if interval[1] - interval[0] >= MIN_DURATION_NS:
            margin = means[best] - np.delete(means, best).max()
            found.append(Proposal(*interval, MOVEMENTS[best], (float(means[best]), float(margin))))
    return found


def _time(evidence: Evidence, first: int, last: int) -> Interval:
    return evidence.start_ns + first * CELL_NS, min(evidence.start_ns + last * CELL_NS, evidence.end_ns)


def runs_of(is_so: NDArray[np.bool_]) -> Iterator[Stretch]:
    """Where it is so, half-open."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_so, [False]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _covered(pts_ns: NDArray[np.int64], obstructed_fraction: NDArray[np.float64]) -> list[Proposal]:
    if len(pts_ns) < 2:
        return []
    steps_ns = np.diff(pts_ns)
    usual_ns = int(np.median(steps_ns))
    # A frame lasts until the next one, and as long as usual where the camera stopped.
    has_next = np.append(steps_ns < _LONGEST_FRAME_NS, False)
    ends_ns = pts_ns + np.where(has_next, np.append(steps_ns, 0), usual_ns)
    is_covered = obstructed_fraction > OBSTRUCTED
    goes_on = is_covered[:-1] & is_covered[1:] & has_next[:-1]
    starts = np.flatnonzero(is_covered & ~np.append(False, goes_on))
    lasts = np.flatnonzero(is_covered & ~np.append(goes_on, False))
    spans: list[Interval] = []
    for start_ns, end_ns in zip(pts_ns[starts].tolist(), ends_ns[lasts].tolist(), strict=True):
        if spans and start_ns - spans[-1][1] < _UNCOVERED_NS:
            start_ns = spans.pop()[0]
        spans.append((start_ns, end_ns))
    return [
        Proposal(*span, CAMERA_COVERED, _cover_strength(obstructed_fraction[_within(pts_ns, span)]))
        for span in spans
        if span[1] - span[0] >= _COVERED_NS
    ]


def _within(pts_ns: NDArray[np.int64], span: Interval) -> slice:
    first, last = np.searchsorted(pts_ns, span, side="left")
    return slice(int(first), int(last))


def _cover_strength(fraction: NDArray[np.float64]) -> tuple[float, float]:
    mean = float(np.mean(np.nan_to_num(fraction, nan=OBSTRUCTED)))
    return mean, mean - OBSTRUCTED


def _uncovered(moving: Sequence[Proposal], covered: Sequence[Proposal]) -> Iterator[Proposal]:
    """Movements while the camera sees: of the others no picture could say whether they are right."""
    holes = [(one.start_ns, one.end_ns) for one in covered]
    for found in moving:
        for start_ns, end_ns in without((found.start_ns, found.end_ns), holes):
            if end_ns - start_ns >= MIN_DURATION_NS:
                yield Proposal(start_ns, end_ns, found.label, found.strength)
