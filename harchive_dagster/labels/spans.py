"""Labelled spans of many recordings as columns, and which of them overlap. What follows from that is in `metrics`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

_PAIRS_AT_A_TIME = 4_000_000
"""A detector that proposes spans as long as the recording overlaps everything: about 200 MB are enough for a while."""


@dataclass(frozen=True)
class Spans:
    """Half-open spans [start_ns, end_ns), each with a recording, a label and a score.

    Attributes:
        recording, label: [N] objects, text; whatever names a recording and a class.
        start_ns, end_ns: int64 [N]; start_ns < end_ns.
        score: float64 [N]; the surer, the higher. All equal where nothing was scored.
    """

    recording: NDArray[np.object_]
    label: NDArray[np.object_]
    start_ns: Numbers
    end_ns: Numbers
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start_ns)

    def __getitem__(self, chosen: NDArray[np.bool_] | Numbers) -> "Spans":
        """The spans of a mask or of indices."""
        return Spans(
            self.recording[chosen], self.label[chosen], self.start_ns[chosen], self.end_ns[chosen], self.score[chosen]
        )

    def is_of(self, recordings: Sequence[str]) -> NDArray[np.bool_]:
        """Bool [N]: which spans are of one of these recordings."""
        return np.isin(self.recording, np.array(list(recordings), dtype=object))


@dataclass(frozen=True)
class Pairs:
    """Spans of two sets that overlap.

    Attributes:
        left, right: int64 [M], indices into the two sets; sorted by left, then by right.
        common_ns: int64 [M], how long both last together.
        iou: float64 [M], temporal intersection over union.
    """

    left: Numbers
    right: Numbers
    common_ns: Numbers
    iou: NDArray[np.float64]


def numbered(names: NDArray[np.object_]) -> tuple[list[str], Numbers]:
    """The distinct names, sorted, and for each name its place among them."""
    import pandas as pd

    codes, distinct = pd.factorize(names, sort=True)  # hashes: NumPy's unique would sort a million strings
    return distinct.tolist(), codes.astype(np.int64)


def overlapping(left: Spans, right: Spans, *, is_same_label: bool, min_iou: float = 0.0) -> Pairs:
    """Every pair of the same recording (and label) that overlaps.

    Args:
        left: may overlap each other.
        right: sorted by recording, label (where it must be the same) and start, without overlaps within one of these.
        is_same_label: pairs have the same label.
        min_iou: pairs below are left out.
    """
    groups, right_groups = _groups(left, right, is_same_label)
    moments = np.unique(np.concatenate([left.start_ns, left.end_ns, right.start_ns, right.end_ns]))

    def key(group: Numbers, t_ns: Numbers) -> Numbers:
        """One number that sorts by group, then by time: ranks, as nanoseconds times groups would overflow."""
        return group * len(moments) + np.searchsorted(moments, t_ns)

    order = np.argsort(key(right_groups, right.start_ns), kind="stable")
    ends, starts = key(right_groups, right.end_ns)[order], key(right_groups, right.start_ns)[order]
    first = np.searchsorted(ends, key(groups, left.start_ns), side="right")
    count = np.maximum(np.searchsorted(starts, key(groups, left.end_ns), side="left") - first, 0)
    blocks = [_block(left, right, order, first, count, part, min_iou) for part in _parts(count)]
    return Pairs(
        *(np.concatenate([getattr(block, name) for block in blocks]) for name in ("left", "right", "common_ns", "iou"))
    )


def _groups(left: Spans, right: Spans, is_same_label: bool) -> tuple[Numbers, Numbers]:
    """For every span of both sets the number of its recording (and label)."""
    _, group = numbered(np.concatenate([left.recording, right.recording]))
    if is_same_label:
        labels, label = numbered(np.concatenate([left.label, right.label]))
        _, group = np.unique(group * max(len(labels), 1) + label, return_inverse=True)
    return group[: len(left)], group[len(left) :]


def _parts(count: Numbers) -> Iterator[Numbers]:
    """The left spans in parts that have a bounded number of pairs each."""
    total = np.cumsum(count)
    cuts = np.searchsorted(total, np.arange(_PAIRS_AT_A_TIME, total[-1] if len(total) else 0, _PAIRS_AT_A_TIME))
    yield from np.split(np.arange(len(count)), cuts)


def _block(
    left: Spans, right: Spans, order: Numbers, first: Numbers, count: Numbers, part: Numbers, min_iou: float
) -> Pairs:
    repeats = count[part]
    i = np.repeat(part, repeats)
    within = np.arange(len(i)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    j = order[np.repeat(first[part], repeats) + within]
    common_ns = np.minimum(left.end_ns[i], right.end_ns[j]) - np.maximum(left.start_ns[i], right.start_ns[j])
    union_ns = (left.end_ns[i] - left.start_ns[i]) + (right.end_ns[j] - right.start_ns[j]) - common_ns
    iou = common_ns / union_ns
    kept = iou >= min_iou
    return Pairs(i[kept], j[kept], common_ns[kept], iou[kept])
