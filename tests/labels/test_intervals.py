from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.labels.intervals import Interval, merged, overlap_ns, temporal_iou, total_ns, without

TIMES = st.integers(0, 40)
INTERVALS = st.lists(st.tuples(TIMES, TIMES), max_size=6)
PROPER = st.tuples(TIMES, TIMES).map(lambda pair: (min(pair), max(pair)))


def _moments(intervals: list[Interval]) -> set[int]:
    return {moment for start, end in intervals for moment in range(start, end)}


@given(intervals=INTERVALS)
def test_merged_intervals_cover_the_same_time_and_never_touch(intervals: list[Interval]) -> None:
    result = merged(intervals)
    assert _moments(result) == _moments(intervals)
    assert all(a[1] < b[0] for a, b in pairwise(result))
    assert total_ns(intervals) == len(_moments(intervals))


@given(interval=PROPER, holes=INTERVALS)
def test_what_is_left_is_the_interval_without_the_holes(interval: Interval, holes: list[Interval]) -> None:
    left = without(interval, holes)
    assert _moments(left) == _moments([interval]) - _moments(holes)
    assert left == merged(left)


@given(a=PROPER, b=PROPER)
def test_overlap_and_iou_agree_with_counting_moments(a: Interval, b: Interval) -> None:
    common, union = _moments([a]) & _moments([b]), _moments([a, b])
    assert overlap_ns(a, b) == len(common)
    assert temporal_iou(a, b) == (len(common) / len(union) if union else 0.0)
