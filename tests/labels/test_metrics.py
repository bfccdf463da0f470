"""Every figure against a second implementation that reads like the papers: frames, loops, no arrays."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.labels import metrics
from harchive_dagster.labels.evaluation import DETECTION_IOUS, SEGMENT_IOUS, evaluate, first_overlap
from harchive_dagster.labels.spans import Spans, overlapping

FRAME_NS = 40_000_000
IDLE = ""


def spans_of(rows):
    """Spans from (recording, label, first frame, frame after the last, score)."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return Spans(
        np.array(columns[0], dtype=object),
        np.array(columns[1], dtype=object),
        np.array(columns[2], dtype=np.int64) * FRAME_NS,
        np.array(columns[3], dtype=np.int64) * FRAME_NS,
        np.array(columns[4], dtype=float),
    )


def frames_of(rows, recording, count):
    frames = [IDLE] * count
    for name, label, start, end, _ in rows:
        if name == recording:
            frames[start:end] = [label] * (end - start)
    return frames


def rows_of(frames_by_recording):
    """The labelled runs of each recording's frames."""
    rows = []
    for recording, frames in frames_by_recording.items():
        changes = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(frames)) if a != b), len(frames)]
        rows += [(recording, frames[a], a, b, 1.0) for a, b in pairwise(changes) if a < b and frames[a] != IDLE]
    return rows


def iou(a, b):
    common = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return common / ((a[1] - a[0]) + (b[1] - b[0]) - common)


def slow_average_precision(truth, predicted, label, threshold):
    """For each detection, best first: right if a true span that nobody took reaches the IoU; area under the curve."""
    true = [row for row in truth if row[1] == label]
    taken, right = set(), []
    for said in sorted((row for row in predicted if row[1] == label), key=lambda r: (-r[4], r[0], r[2], r[3])):
        free = [(iou(said[2:4], t[2:4]), -t[2], i) for i, t in enumerate(true) if t[0] == said[0] and i not in taken]
        best = max(free, default=(0, 0, None))
        right.append(best[0] >= threshold)
        if right[-1]:
            taken.add(best[2])
    curve = [(sum(right[:n]) / len(true), sum(right[:n]) / n) for n in range(1, len(right) + 1)]
    area, reached = 0.0, 0.0
    for recall, _ in curve:
        if recall > reached:
            area += (recall - reached) * max(p for r, p in curve if r >= recall)
            reached = recall
    return area


def slow_f1(truth, predicted, threshold, label=None):
    hits, true_positives, false_positives = set(), 0, 0
    for said in sorted(predicted, key=lambda r: (r[0], r[2])):
        overlaps = [iou(said[2:4], t[2:4]) * (t[0] == said[0] and t[1] == said[1]) for t in truth]
        best = overlaps.index(max(overlaps)) if overlaps else None
        is_mine = label in (None, said[1])
        if best is not None and overlaps[best] >= threshold and best not in hits:
            hits.add(best)
            true_positives += is_mine
        else:
            false_positives += is_mine
    misses = sum(label in (None, t[1]) for i, t in enumerate(truth) if i not in hits)
    if not true_positives:
        return 0.0
    precision = true_positives / (true_positives + false_positives)
    recall = true_positives / (true_positives + misses)
    return 2 * precision * recall / (precision + recall)


def slow_edit(true, said):
    table = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(true) + 1)] for i in range(len(said) + 1)]
    for i in range(1, len(said) + 1):
        for j in range(1, len(true) + 1):
            change = table[i - 1][j - 1] + (said[i - 1] != true[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, change)
    return 1 - table[-1][-1] / max(len(true), len(said)) if true or said else 1.0


FRAMES = st.lists(st.sampled_from(["wash", "wipe", "fold", IDLE]), min_size=12, max_size=12)
RECORDINGS = st.fixed_dictionaries({"a": FRAMES, "b": FRAMES, "c": FRAMES})
DETECTIONS = st.lists(
    st.builds(
        lambda recording, label, start, length, score: (recording, label, start, start + length, score / 8),
        st.sampled_from("abc"),
        st.sampled_from(["wash", "wipe", "fold"]),
        st.integers(0, 10),
        st.integers(1, 6),
        st.integers(0, 8),
    ),
    max_size=25,
    unique=True,
)


@settings(deadline=None, max_examples=100)
@given(frames=RECORDINGS, detections=DETECTIONS)
def test_average_precision_is_what_its_definition_says(frames, detections):
    truth = rows_of(frames)
    found = metrics.average_precision(spans_of(truth), spans_of(detections), DETECTION_IOUS)
    assert found.keys() == {row[1] for row in truth}
    for label, values in found.items():
        slow = [slow_average_precision(truth, detections, label, threshold) for threshold in DETECTION_IOUS]
        assert values == pytest.approx(slow, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(true=RECORDINGS, said=RECORDINGS)
def test_segmental_figures_are_what_their_definitions_say_of_frames(true, said):
    truth, predicted = rows_of(true), rows_of(said)
    if not truth:
        return
    found = evaluate(spans_of(truth), spans_of(predicted), list(true))
    assert found.all_classes.f1 == pytest.approx([slow_f1(truth, predicted, k) for k in SEGMENT_IOUS], abs=1e-9)
    for label, scores in found.classes.items():
        assert scores.f1 == pytest.approx([slow_f1(truth, predicted, k, label) for k in SEGMENT_IOUS], abs=1e-9)
        is_mine = [(t, s) for name in true for t, s in zip(true[name], said[name], strict=True) if t == label]
        assert scores.accuracy == pytest.approx(sum(t == s for t, s in is_mine) / len(is_mine), abs=1e-9)
    edits = [slow_edit(*([row[1] for row in rows if row[0] == name] for rows in (truth, predicted))) for name in true]
    assert found.edit_score == pytest.approx(sum(edits) / len(edits), abs=1e-9)
    right = total = 0
    for name in true:
        last = max((row[3] for row in truth + predicted if row[0] == name), default=0)
        right += sum(t == s for t, s in zip(true[name][:last], said[name][:last], strict=True))
        total += last
    assert found.frame_accuracy == pytest.approx(right / total, abs=1e-9)


def test_average_precision_of_a_case_worked_by_hand():
    """Three true spans; right, wrong, right in order of score: 1/3 x 1 + 1/3 x 2/3."""
    truth = [("a", "wash", 0, 10, 1), ("a", "wash", 20, 30, 1), ("b", "wash", 0, 10, 1)]
    said = [("a", "wash", 0, 9, 0.9), ("a", "wash", 1, 10, 0.8), ("b", "wash", 3, 13, 0.7)]
    found = metrics.average_precision(spans_of(truth), spans_of(said), (0.5, 0.6))
    assert found == {"wash": pytest.approx([1 / 3 + 1 / 3 * 2 / 3, 1 / 3])}


def test_segments_of_a_case_worked_by_hand():
    """A span cut in two counts once and is wrong once; a label with another's time is wrong twice."""
    truth = spans_of([("a", "wash", 0, 10, 1), ("a", "wipe", 10, 20, 1)])
    said = spans_of([("a", "wash", 0, 6, 1), ("a", "wash", 7, 10, 1), ("a", "fold", 10, 20, 1)])
    counts = metrics.segment_counts(truth, said, 0.25)
    assert counts == {"fold": (0, 1, 0), "wash": (1, 1, 0), "wipe": (0, 0, 1)}
    found = evaluate(truth, said)
    assert found.all_classes.f1 == pytest.approx((2 / 5, 2 / 5, 2 / 5))
    assert found.edit_score == pytest.approx(1 - 2 / 3)
    assert (found.all_classes.accuracy, found.frame_accuracy) == pytest.approx((9 / 20, 9 / 20))
    assert found.unknown_labels == ("fold",)


def test_spans_of_one_label_that_touch_are_one_segment_and_two_instances():
    truth = spans_of([("a", "wash", 0, 5, 1), ("a", "wash", 5, 10, 1)])
    said = spans_of([("a", "wash", 0, 10, 1)])
    found = evaluate(truth, said)
    assert (found.all_classes.f1, found.edit_score) == ((1, 1, 1), 1)
    assert found.all_classes.average_precision == (0.5,) * 5


@settings(deadline=None)
@given(frames=RECORDINGS)
def test_a_perfect_prediction_has_one_everywhere(frames):
    truth = spans_of(rows_of(frames))
    if not len(truth):
        return
    found = evaluate(truth, truth)
    for scores in (found.all_classes, *found.classes.values()):
        assert (*scores.average_precision, *scores.f1, scores.accuracy) == (1,) * 9
    assert (found.edit_score, found.frame_accuracy) == (1, 1)


@settings(deadline=None)
@given(true=RECORDINGS, said=RECORDINGS, detections=DETECTIONS, seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_labels_do_not_matter(true, said, detections, seed: random.Random):
    truth = rows_of(true)
    if not truth:
        return
    renamed = {"wash": "Z", "wipe": "M", "fold": "A"}
    for predicted in (rows_of(said), detections):
        before = evaluate(spans_of(truth), spans_of(predicted))
        other = [[(r[0], renamed[r[1]], *r[2:]) for r in seed.sample(rows, len(rows))] for rows in (truth, predicted)]
        after = evaluate(spans_of(other[0]), spans_of(other[1]))
        assert after.classes == {renamed[label]: scores for label, scores in before.classes.items()}
        assert (after.all_classes.f1, after.edit_score) == (before.all_classes.f1, before.edit_score)
        assert after.all_classes.average_precision == pytest.approx(before.all_classes.average_precision, abs=1e-12)


@settings(deadline=None)
@given(true=RECORDINGS, said=RECORDINGS)
def test_a_stricter_overlap_never_has_a_higher_f1(true, said):
    truth = spans_of(rows_of(true))
    if len(truth):
        found = evaluate(truth, spans_of(rows_of(said)))
        for scores in found.classes.values():
            assert list(scores.f1) == sorted(scores.f1, reverse=True)


@settings(deadline=None)
@given(frames=RECORDINGS, detections=DETECTIONS)
def test_pairs_are_those_that_a_look_at_all_of_them_finds(frames, detections):
    truth = rows_of(frames)
    left, right = spans_of(detections), spans_of(truth)
    pairs = overlapping(left, right, is_same_label=True, min_iou=0.2)
    wanted = [
        (i, j)
        for i, a in enumerate(detections)
        for j, b in enumerate(truth)
        if a[:2] == b[:2] and iou(a[2:4], b[2:4]) >= 0.2
    ]
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == wanted


def test_pairs_are_the_same_whatever_the_size_of_the_parts(monkeypatch):
    truth = spans_of([("a", "wash", n, n + 1, 1) for n in range(0, 60, 2)])
    said = spans_of([("a", "wash", 0, 10 + n, 1) for n in range(30)])
    whole = overlapping(said, truth, is_same_label=True)
    monkeypatch.setattr("harchive_dagster.labels.spans._PAIRS_AT_A_TIME", 7)
    parts = overlapping(said, truth, is_same_label=True)
    assert len(whole.left) > 100
    assert [a.tolist() for a in (whole.left, whole.right)] == [a.tolist() for a in (parts.left, parts.right)]


def test_predictions_that_overlap_are_detections_only():
    truth = spans_of([("a", "wash", 0, 10, 1)])
    found = evaluate(truth, spans_of([("a", "wash", 0, 10, 0.9), ("a", "wipe", 5, 12, 0.1)]))
    assert found.all_classes.average_precision == (1,) * 5
    assert (found.all_classes.f1, found.edit_score, found.frame_accuracy) == ((), None, None)
    assert first_overlap(truth) is None
