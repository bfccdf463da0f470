"""The figures by which labs compare predicted spans with true ones. Reading files and choosing sessions is elsewhere.

Sources, and where definitions differ, are in docs/evaluation.md.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.labels.spans import Pairs, Spans, numbered, overlapping


def average_precision(truth: Spans, predicted: Spans, thresholds: Sequence[float]) -> dict[str, list[float]]:
    """Interpolated average precision of each class of the truth at each temporal IoU, as ActivityNet computes it.

    Predictions take their turn by falling score; each takes the free true span of its recording and class that it
    overlaps most, if their IoU reaches the threshold. Equal scores: by recording, start, end; equal IoU: the earlier.

    Args:
        truth: spans of one class and recording do not overlap.
        predicted: may overlap.
        thresholds: of the temporal IoU, above 0.
    """
    order = np.lexsort((predicted.end_ns, predicted.start_ns, numbered(predicted.recording)[1], -predicted.score))
    ranked = predicted[order]
    truth = _in_time(truth)
    pairs = overlapping(ranked, truth, is_same_label=True, min_iou=min(thresholds))
    is_hit = np.stack([_hits(pairs, len(ranked), len(truth), threshold) for threshold in thresholds])
    labels, classes, ranked_classes = _classes(truth, ranked)
    counts = np.bincount(classes, minlength=len(labels)).tolist()
    return {
        label: [_interpolated(hits, counts[code]) for hits in is_hit[:, ranked_classes == code]]
        for code, label in enumerate(labels)
        if counts[code]
    }


def _classes(truth: Spans, predicted: Spans) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """All labels, sorted, and the place of each span's label among them."""
    labels, codes = numbered(np.concatenate([truth.label, predicted.label]))
    return labels, codes[: len(truth)], codes[len(truth) :]


def _hits(pairs: Pairs, count: int, truth_count: int, threshold: float) -> NDArray[np.bool_]:
    """Which predictions take a true span; earlier ones come first."""
    kept = np.flatnonzero(pairs.iou >= threshold)
    kept = kept[np.lexsort((pairs.right[kept], -pairs.iou[kept], pairs.left[kept]))]
    hits, taken = np.zeros(count, dtype=bool), np.zeros(truth_count, dtype=bool)
    # Whether a true span is free depends on every prediction before: the one loop that cannot be an array operation.
    for i, j in zip(pairs.left[kept].tolist(), pairs.right[kept].tolist(), strict=True):
        if not hits[i] and not taken[j]:
            hits[i] = taken[j] = True
    return hits


def _interpolated(is_hit: NDArray[np.bool_], truth_count: int) -> float:
    """Area under precision over recall, where precision is the best at that recall or a higher one (VOC 2010)."""
    precision = np.cumsum(is_hit) / np.arange(1, len(is_hit) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[is_hit].sum() / truth_count)


def runs(spans: Spans) -> Spans:
    """Spans in order of recording and time, those of one label that touch made one, as they are on a frame grid.

    Args:
        spans: without overlaps within a recording.
    """
    ordered = _in_time(spans)
    continues = np.zeros(len(ordered), dtype=bool)
    continues[1:] = (
        (ordered.recording[1:] == ordered.recording[:-1])
        & (ordered.label[1:] == ordered.label[:-1])
        & (ordered.start_ns[1:] == ordered.end_ns[:-1])
    )
    first = ordered[~continues]
    last = ordered[~np.append(continues[1:], False)] if len(ordered) else ordered
    return Spans(first.recording, first.label, first.start_ns, last.end_ns, first.score)


def segment_counts(truth: Spans, predicted: Spans, threshold: float) -> dict[str, tuple[int, int, int]]:
    """By class: true positives, false positives and false negatives of segments, as Lea et al. count them.

    Each prediction goes to the true segment of its class that it overlaps most; where several reach the threshold with
    the same one, the first counts and the others are wrong.

    Args:
        truth: what `runs` returns.
        predicted: what `runs` returns.
        threshold: of the temporal IoU, above 0.
    """
    pairs = overlapping(predicted, truth, is_same_label=True)
    order = np.lexsort((pairs.right, -pairs.iou, pairs.left))
    _, position = np.unique(pairs.left[order], return_index=True)
    best = order[position]
    found = np.unique(pairs.right[best[pairs.iou[best] >= threshold]])
    labels, classes, predicted_classes = _classes(truth, predicted)
    rights, truths, predictions = (
        np.bincount(codes, minlength=len(labels)) for codes in (classes[found], classes, predicted_classes)
    )
    columns = (rights.tolist(), (predictions - rights).tolist(), (truths - rights).tolist())
    return dict(zip(labels, zip(*columns, strict=True), strict=True))


def f1(true_positives: int, false_positives: int, false_negatives: int) -> float:
    """Harmonic mean of precision and recall; 0 where nothing is right."""
    count = 2 * true_positives + false_positives + false_negatives
    return 2 * true_positives / count if count else 0.0


def edit_score(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """1 - Levenshtein distance / the longer sequence's length, 0 to 1; 1 where both are empty."""
    if not truth and not predicted:
        return 1.0
    codes = {label: code for code, label in enumerate(dict.fromkeys([*truth, *predicted]))}
    wanted = np.array([codes[label] for label in truth], dtype=np.int64)
    steps = np.arange(len(truth) + 1)
    row = steps
    for number, label in enumerate(predicted, 1):
        row = np.concatenate([[number], np.minimum(row[1:] + 1, row[:-1] + (wanted != codes[label]))])
        # Insertions along the row: what is reached from any cell to the left, one step each.
        row = np.minimum.accumulate(row - steps) + steps
    return 1.0 - float(row[-1]) / max(len(truth), len(predicted))


def time_shares(truth: Spans, predicted: Spans) -> tuple[int, int, dict[str, tuple[int, int]]]:
    """How much time has the right label: frame accuracy on ever finer frames.

    A recording lasts from 0 to the last end of either; time without a label is background, which can be right too.

    Args:
        truth: without overlaps within a recording.
        predicted: without overlaps within a recording.

    Returns:
        Right time and all time, ns; and by class of the truth, right time and its time, ns.
    """
    pairs = overlapping(predicted, truth, is_same_label=False)
    labels, classes, predicted_classes = _classes(truth, predicted)
    is_right = predicted_classes[pairs.left] == classes[pairs.right]
    lengths_ns = truth.end_ns - truth.start_ns
    by_class = {}
    for code, label in enumerate(labels):
        is_mine = is_right & (classes[pairs.right] == code)
        if class_ns := int(lengths_ns[classes == code].sum()):
            by_class[label] = (int(pairs.common_ns[is_mine].sum()), class_ns)
    labelled_ns = int(lengths_ns.sum() + (predicted.end_ns - predicted.start_ns).sum() - pairs.common_ns.sum())
    right_ns = int(pairs.common_ns[is_right].sum())
    extent_ns = _extent_ns(truth, predicted)
    return right_ns + extent_ns - labelled_ns, extent_ns, by_class


def _extent_ns(truth: Spans, predicted: Spans) -> int:
    _, recording = numbered(np.concatenate([truth.recording, predicted.recording]))
    last_ns = np.zeros(int(recording.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(last_ns, recording, np.concatenate([truth.end_ns, predicted.end_ns]))
    return int(last_ns.sum())


def _in_time(spans: Spans) -> Spans:
    return spans[np.lexsort((spans.start_ns, numbered(spans.recording)[1]))]
