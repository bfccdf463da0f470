"""Arithmetic on half-open intervals [start_ns, end_ns) of whole nanoseconds. Knows nothing of what they mean."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Interval: TypeAlias = tuple[int, int]


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same time as sorted intervals that neither overlap nor touch; empty ones are dropped."""
    result: list[Interval] = []
    for start_ns, end_ns in sorted(intervals):
        if start_ns >= end_ns:
            continue
        if result and start_ns <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end_ns))
        else:
            result.append((start_ns, end_ns))
    return result


def without(interval: Interval, holes: Iterable[Interval]) -> list[Interval]:
    """What is left of an interval, in order, when all holes are cut out."""
    left: list[Interval] = []
    start_ns, end_ns = interval
    for hole_start_ns, hole_end_ns in merged(holes):
        if start_ns < min(hole_start_ns, end_ns):
            left.append((start_ns, min(hole_start_ns, end_ns)))
        start_ns = max(start_ns, hole_end_ns)
    if start_ns < end_ns:
        left.append((start_ns, end_ns))
    return left


def overlap_ns(a: Interval, b: Interval) -> int:
    """How long both last together."""
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))


def temporal_iou(a: Interval, b: Interval) -> float:
    """Intersection over union of two intervals, 0 to 1; 0 where both are empty."""
    common_ns = overlap_ns(a, b)
    union_ns = (a[1] - a[0]) + (b[1] - b[0]) - common_ns
    return common_ns / union_ns if union_ns > 0 else 0.0


def total_ns(intervals: Sequence[Interval]) -> int:
    """How long the intervals last in all, time that several share counted once."""
    return sum(end_ns - start_ns for start_ns, end_ns in merged(intervals))
